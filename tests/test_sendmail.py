# SPDX-License-Identifier: ISC
"""Local submission: sendmail, postdrop, pickup; newaliases; what happens while the system is down."""
import email
import re
import subprocess
import time

import pytest

from harness import wait_until

pytestmark = pytest.mark.sanitize

TO = "user@far.example"


@pytest.fixture
def relay(instance, sink):
    def make(start=True, **main):
        next_hop = sink()
        return instance(start=start, main={"relayhost": next_hop.nexthop, **main}), next_hop
    return make


def submit(system, *arguments, text="Subject: hi\n\nbody\n", **options):
    return system.run("sendmail", *arguments, input=text, **options)


def test_submission_is_relayed(relay):
    system, next_hop = relay()
    submit(system, "-f", "me@test.example", TO, text="Subject: local\nTo: x@y.example\n\none\n..two\n")
    (message,) = next_hop.wait(1, instance=system)
    assert (message.sender, message.recipients) == ("me@test.example", [TO])
    parsed = email.message_from_bytes(message.data)
    assert parsed["Subject"] == "local" and parsed["From"] and parsed["Date"] and parsed["Message-Id"]
    assert re.fullmatch(r"by mx\.test\.example \(.*, from userid \d+\)\s+id \w+; .*", parsed["Received"], re.DOTALL)
    assert parsed.get_payload() == "one\r\n..two\r\n"
    system.log.wait_for(r"postfix/pickup\[\d+\]: \w+: uid=\d+ from=<me@test\.example>$")
    system.wait_queue_empty()


def test_sender_is_the_login_name(relay):
    system, next_hop = relay()
    submit(system, TO)
    name = system.user or ("root" if system.accounts.is_root else system.owner)
    assert next_hop.wait(1, instance=system)[0].sender == f"{name}@mx.test.example"


def test_recipients_from_headers(relay):
    system, next_hop = relay()
    submit(system, "-t", "-f", "me@test.example", text="To: a@far.example, \"B, C\" <b@far.example>\nCc: c@far.example\n"
           "Bcc: d@far.example\nSubject: many\n\nbody\n")
    wait_until(lambda: sum(len(m.recipients) for m in next_hop.messages) == 4, 20, "four recipients")
    recipients = {r for m in next_hop.messages for r in m.recipients}
    assert recipients == {f"{user}@far.example" for user in "abcd"}
    assert b"Bcc:" not in next_hop.messages[0].data and b"Cc: c@far.example" in next_hop.messages[0].data


def test_dot_ends_input_unless_told_otherwise(relay):
    system, next_hop = relay()
    submit(system, TO, text="Subject: a\n\nbefore\n.\nafter\n")
    submit(system, "-i", TO, text="Subject: b\n\nbefore\n.\nafter\n")
    submit(system, "-oi", TO, text="Subject: b\n\nbefore\n.\nafter\n")
    messages = {}
    for message in next_hop.wait(3, instance=system):
        messages.setdefault(message.data.partition(b"Subject: ")[2][:1], message.data)
    assert messages[b"a"].endswith(b"\r\n\r\nbefore\r\n")
    assert messages[b"b"].endswith(b"\r\n\r\nbefore\r\n.\r\nafter\r\n")


def test_carriage_returns_and_from_lines_are_dropped(relay):
    system, next_hop = relay()
    submit(system, TO, text="From someone Mon Jan  1 00:00:00 2024\nSubject: x\r\n\r\nline\r\n")
    (message,) = next_hop.wait(1, instance=system)
    assert message.data.endswith(b"\r\n\r\nline\r\n") and b"someone" not in message.data


@pytest.mark.parametrize("arguments", [["-f", "", TO], ["-f", "<>", TO], ["-r", "<>", TO]])
def test_null_sender(relay, arguments):
    system, next_hop = relay()
    submit(system, *arguments)
    assert next_hop.wait(1, instance=system)[0].sender == ""


def test_full_name(relay):
    system, next_hop = relay()
    submit(system, "-F", "Joe Q. Public", "-f", "joe@test.example", TO)
    (message,) = next_hop.wait(1, instance=system)
    assert email.message_from_bytes(message.data)["From"] in (
        '"Joe Q. Public" <joe@test.example>', "Joe Q. Public <joe@test.example>")


def test_dsn_options(relay):
    system, next_hop = relay()
    submit(system, "-N", "failure,delay", "-R", "hdrs", "-f", "me@test.example", TO)
    (message,) = next_hop.wait(1, instance=system)
    assert "RET=HDRS" in message.mail_options and "NOTIFY=FAILURE,DELAY" in message.rcpt_options[0]


@pytest.mark.parametrize("arguments, code", [([], 75), (["-n", TO], 75), (["-bx", TO], 75), (["-bh"], 0),
                                             (["-q15m"], 0)])
def test_exit_codes(relay, arguments, code):
    system, _ = relay()
    assert submit(system, *arguments, check=False).returncode == code


def test_message_too_large(relay):
    system, next_hop = relay(message_size_limit="20000")
    result = submit(system, TO, text="Subject: big\n\n" + "x" * 70 + "\n" + ("y" * 70 + "\n") * 1000, check=False)
    assert result.returncode != 0
    assert not system.queue_ids()


def test_mail_submitted_while_down_waits(relay):
    system, next_hop = relay(start=False)
    result = submit(system, "-f", "me@test.example", TO, check=False)
    assert result.returncode == 0
    (path,) = system.queue_files("maildrop")["maildrop"]
    assert path.stat().st_mode & 0o777 == 0o744
    system.start()
    next_hop.wait(1, timeout=30, instance=system)
    system.wait_queue_empty()


@pytest.mark.root
def test_ordinary_user_submits(relay, accounts):
    """postdrop is set-group-id in an installation; here the group is given to the person's process instead."""
    system, next_hop = relay(start=False)
    maildrop = system.queue_directory / "maildrop"
    import os
    os.chown(maildrop, accounts.owner_uid, accounts.person_gid)
    os.chown(system.queue_directory / "public", accounts.owner_uid, accounts.person_gid)
    system.start()
    submit(system, TO, user=accounts.person)
    (message,) = next_hop.wait(1, timeout=30, instance=system)
    assert message.sender == f"{accounts.person}@mx.test.example"
    system.log.wait_for(rf"uid={accounts.person_uid} from=<{accounts.person}>")


def test_garbage_in_maildrop_does_not_stop_pickup(relay):
    system, next_hop = relay(start=False)
    path = system.queue_directory / "maildrop" / "0DEAD12345"
    path.write_bytes(b"S\x03me\xff\xff\xff\xffnonsense" * 20)
    path.chmod(0o744)
    if system.accounts.is_root:
        import os
        os.chown(path, system.accounts.owner_uid, -1)
    system.start()
    submit(system, TO)
    next_hop.wait(1, timeout=30, instance=system)


def test_bs_speaks_smtp(relay):
    system, next_hop = relay()
    result = submit(system, "-bs", text="EHLO me.example\r\nMAIL FROM:<me@test.example>\r\n"
                    f"RCPT TO:<{TO}>\r\nDATA\r\nSubject: bs\r\n\r\nbody\r\n.\r\nQUIT\r\n")
    codes = [line[:3] for line in result.stdout.splitlines() if line[3:4] == " "]
    assert codes == ["220", "250", "250", "250", "354", "250", "221"]
    assert next_hop.wait(1, instance=system)[0].recipients == [TO]


def test_many_submissions_at_once(relay):
    system, next_hop = relay()
    children = [subprocess.Popen([str(system.program("sendmail")), "-f", "me@test.example", f"u{n}@far.example"],
                                 stdin=subprocess.PIPE, env=system.env()) for n in range(20)]
    for child in children:
        child.communicate(b"Subject: x\n\nbody\n", timeout=30)
        assert child.returncode == 0
    next_hop.wait(20, timeout=30, instance=system)
    system.wait_queue_empty()


def test_newaliases(instance):
    system = instance(start=False)
    path = system.file("aliases", "root: someone\n")
    system.main.update(alias_database=f"hash:{path}", alias_maps=f"hash:{path}")
    system.write()
    system.run("sendmail", "-bi")
    assert system.run("postalias", "-q", "root", f"hash:{path}").stdout == "someone\n"
    time.sleep(0.01)


def test_postdrop_refuses_nonsense(relay):
    system, _ = relay()
    result = system.run("postdrop", "-r", input=b"garbage" * 100, check=False)
    assert result.returncode != 0 or not system.queue_ids("maildrop")
    wait_until(lambda: not system.queue_ids("maildrop"), 5, "no leftover in maildrop")
