# SPDX-License-Identifier: ISC
"""postmap: messages as keys, values from files; and daemons that notice changed tables by themselves."""
import time

import pytest

from harness.client import Dialogue

pytestmark = pytest.mark.dromos

MESSAGE = ("From: x\nContent-Type: multipart/mixed;\n boundary=\"q r\"\n\npre\n--q r\nContent-Type: message/rfc822\n\n"
           "Subject: inner\n\ninner body\n--q r--\npost\n")


@pytest.mark.parametrize("flags, keys", [
    ("-h", ["From: x", "Content-Type: multipart/mixed;\n boundary=\"q r\""]),
    ("-hm", ["From: x", "Content-Type: multipart/mixed;\n boundary=\"q r\"", "Content-Type: message/rfc822", "Subject: inner"]),
    ("-bm", ["pre", "--q r", "inner body", "--q r--", "post"]),
])
def test_message_as_keys(instance, flags, keys):
    system = instance(start=False)
    system.write()
    result = system.run("postmap", flags, "-q", "-", "regexp:{{/^./ hit}}", input=MESSAGE)
    assert result.stdout == "".join(f"{key}\thit\n" for key in keys)


@pytest.mark.parametrize("kind", ["lmdb", "texthash"])
def test_changed_table_is_noticed(instance, kind):
    """Without a reload, by a server that has answered from the old table."""
    system = instance(start=False)
    path = system.config_directory / "relay"

    def write(text):
        path.write_text(text)
        if kind == "lmdb":
            system.run("postmap", f"lmdb:{path}")

    system.write()
    write("old.example ok\n")
    system.set(reload=False, relay_domains=f"{kind}:{path}", mynetworks="192.0.2.0/24", smtpd_peername_lookup="no")
    system.start()

    def code(domain):
        with Dialogue("127.0.0.1", system.port, ehlo="c.example") as client:
            client.command("MAIL FROM:<a@c.example>")
            return str(client.command(f"RCPT TO:<b@{domain}>"))

    assert "250" in code("old.example") and "Relay access denied" in code("new.example")
    time.sleep(1.1)  # times of files are compared
    write("new.example ok\n")
    deadline = time.monotonic() + 10
    while "250" not in code("new.example"):
        assert time.monotonic() < deadline, "the change was not noticed"
        time.sleep(0.2)
    assert "Relay access denied" in code("old.example")
