# SPDX-License-Identifier: ISC
"""SMTP in, mailbox out: the first thing that must work."""
import email
import mailbox
import re
import subprocess

import pytest

from harness import make_message, smtp_send

pytestmark = pytest.mark.sanitize


@pytest.fixture
def system(instance, virtual, workdir):
    mail = workdir / "vmail"
    mail.mkdir()
    mail.chmod(0o1777)
    one = instance(main=virtual(mail, "alice", "bob"))
    one.vmail = mail
    return one


def test_message_arrives_in_a_maildir(system):
    data = make_message("joe@client.example", "alice@virt.example", subject="first", body="one\n.two\n\n..three\n")
    smtp_send(system, "joe@client.example", "alice@virt.example", data)
    (raw,) = system.wait_maildir(system.vmail / "alice")
    message = email.message_from_bytes(raw)
    assert message["Subject"] == "first"
    assert message["Return-Path"] == "<joe@client.example>"
    assert message["Delivered-To"] == "alice@virt.example"
    assert message.get_payload().replace("\r\n", "\n") == "one\n.two\n\n..three\n"
    assert b"\r" not in raw
    received = message.get_all("Received")
    assert len(received) == 1 and "from client.example" in received[0] and "with ESMTP" in received[0]
    system.wait_queue_empty()


def test_log_lines_of_one_delivery(system):
    smtp_send(system, "joe@client.example", "alice@virt.example")
    system.wait_maildir(system.vmail / "alice")
    queue_id = system.log.wait_for(r"postfix/smtpd\[\d+\]: (\w+): client=\S+\[127\.0\.0\.1\]$").group(1)
    for line in (rf"postfix/cleanup\[\d+\]: {queue_id}: message-id=<\S+>$",
                 rf"postfix/qmgr\[\d+\]: {queue_id}: from=<joe@client\.example>, size=\d+, nrcpt=1 \(queue active\)$",
                 rf"postfix/virtual\[\d+\]: {queue_id}: to=<alice@virt\.example>, relay=virtual, delay=[\d.]+, "
                 rf"delays=[\d.]+/[\d.]+/[\d.]+/[\d.]+, dsn=2\.0\.0, status=sent \(delivered to maildir\)$",
                 rf"postfix/qmgr\[\d+\]: {queue_id}: removed$",
                 r"postfix/smtpd\[\d+\]: disconnect from \S+\[127\.0\.0\.1\] ehlo=1 mail=1 rcpt=1 data=1 quit=1 "
                 r"commands=5$"):
        system.log.wait_for(line)


def test_several_recipients_get_one_copy_each(system):
    smtp_send(system, "joe@client.example", ["alice@virt.example", "bob@virt.example"])
    assert len(system.wait_maildir(system.vmail / "alice")) == 1
    assert len(system.wait_maildir(system.vmail / "bob")) == 1
    system.wait_queue_empty()


def test_duplicate_recipients_are_delivered_once(system):
    smtp_send(system, "joe@client.example", ["alice@virt.example", "ALICE@virt.example", "alice@virt.example"])
    system.wait_maildir(system.vmail / "alice")
    system.wait_queue_empty()
    assert len(system.maildir_messages(system.vmail / "alice")) == 1


def test_missing_headers_are_added(system):
    smtp_send(system, "joe@client.example", "alice@virt.example", b"Subject: bare\r\n\r\nbody\r\n")
    (raw,) = system.wait_maildir(system.vmail / "alice")
    message = email.message_from_bytes(raw)
    # local_header_rewrite_clients: mynetworks is not among the default; inet_interfaces holds 127.0.0.1, so it is ours.
    for name in ("Date", "Message-Id", "From"):
        assert message[name], f"{name} missing in {raw!r}"


def test_message_without_header_section(system):
    smtp_send(system, "joe@client.example", "alice@virt.example", b"just a line that is no header\r\nsecond\r\n")
    (raw,) = system.wait_maildir(system.vmail / "alice")
    assert raw.endswith(b"\n\njust a line that is no header\nsecond\n")


def test_empty_message(system):
    with system.dialogue(ehlo="client.example") as talk:
        talk.envelope("joe@client.example", "alice@virt.example")
        talk.expect(".", 250)
    system.wait_maildir(system.vmail / "alice")


def test_large_message_is_kept_byte_for_byte(system):
    lines = [f"{number:08d} " + "x" * (number % 900) for number in range(4000)]
    body = "\r\n".join(lines) + "\r\n"
    smtp_send(system, "joe@client.example", "alice@virt.example", b"Subject: big\r\n\r\n" + body.encode())
    (raw,) = system.wait_maildir(system.vmail / "alice", timeout=30)
    assert raw.endswith(body.replace("\r\n", "\n").encode())


def test_long_lines_survive(system):
    body = b"y" * 100_000 + b"\r\n" + b"z" * 5000 + b"\r\n"
    smtp_send(system, "joe@client.example", "alice@virt.example", b"Subject: long lines\r\n\r\n" + body)
    (raw,) = system.wait_maildir(system.vmail / "alice")
    assert raw.endswith(body.replace(b"\r\n", b"\n"))


def test_eight_bit_and_nul_free_content(system):
    body = "Größe – ☃\r\n".encode() + bytes(range(128, 256)) + b"\r\n"
    smtp_send(system, "joe@client.example", "alice@virt.example", b"Subject: 8bit\r\n\r\n" + body,
              mail_options=["BODY=8BITMIME"])
    (raw,) = system.wait_maildir(system.vmail / "alice")
    assert raw.endswith(body.replace(b"\r\n", b"\n"))


def test_virtual_mbox(instance, virtual, workdir):
    mail = workdir / "vmail"
    mail.mkdir()
    mail.chmod(0o1777)
    system = instance(main=virtual(mail, "carol", maildir=False))
    for number in (1, 2):
        smtp_send(system, "joe@client.example", "carol@virt.example",
                  f"Subject: m{number}\r\n\r\nFrom here on\r\n\r\nbye\r\n".encode())
    system.log.wait_for(r"(?s)(delivered to mailbox.*){2}")
    system.wait_queue_empty()
    box = mailbox.mbox(mail / "carol")
    assert sorted(message["Subject"] for message in box) == ["m1", "m2"]
    assert all("From here on" in message.get_payload() for message in box)


def test_local_maildir_and_mbox(instance, accounts):
    system = instance(main={"home_mailbox": None})
    smtp_send(system, "joe@client.example", f"{system.person}@test.example", subject="to mbox")
    system.log.wait_for(r"status=sent \(delivered to mailbox\)")
    box = system.mail_directory / system.person
    text = box.read_text()
    assert text.startswith("From joe@client.example ") and text.endswith("\n\n")
    assert box.stat().st_mode & 0o077 == 0 and box.stat().st_uid == (
        accounts.person_uid if accounts.is_root else box.stat().st_uid)
    system.set(reload=False, mail_spool_directory=f"{system.mail_directory}/md/")
    system.restart()
    (system.mail_directory / "md").mkdir()
    (system.mail_directory / "md").chmod(0o1777)
    smtp_send(system, "joe@client.example", f"{system.person}@test.example", subject="to maildir")
    (raw,) = system.wait_maildir(system.mail_directory / "md" / system.person)
    assert b"Subject: to maildir" in raw


def test_aliases(instance, workdir):
    system = instance(start=False)
    aliases = system.aliases(f"root: postmaster, {system.person}\npostmaster: {system.person}\n")
    system.main.update(alias_maps=aliases, mail_spool_directory=f"{system.mail_directory}/")
    system.write()
    system.start()
    smtp_send(system, "joe@client.example", "root@test.example")
    (raw,) = system.wait_maildir(system.mail_directory / system.person)
    system.wait_queue_empty()
    assert len(system.maildir_messages(system.mail_directory / system.person)) == 1, "nested aliases deliver once"
    system.log.wait_for(rf"to=<{system.person}@mx\.test\.example>, orig_to=<root@test\.example>, relay=local")


def test_unknown_local_user_bounces_with_its_reason(instance, sink):
    next_hop = sink()
    system = instance(main={"relayhost": next_hop.nexthop})
    smtp_send(system, "joe@client.example", "nobody-here@test.example")
    (bounce,) = next_hop.wait(1)
    assert bounce.sender == "" and bounce.recipients == ["joe@client.example"]
    assert re.search(r"unknown user: \"nobody-here\"", bounce.text)
    system.log.wait_for(r"dsn=5\.1\.1, status=bounced \(unknown user: \"nobody-here\"\)")


def test_virtual_alias_and_canonical(instance, virtual, workdir):
    mail = workdir / "vmail"
    mail.mkdir()
    mail.chmod(0o1777)
    parameters = virtual(mail, "alice", "bob")
    system = instance(start=False, main=parameters)
    system.main.update(
        virtual_alias_maps=system.table("valias", "team@virt.example alice@virt.example, bob@virt.example\n"
                                                  "@old.example alice@virt.example\n"),
        virtual_alias_domains="old.example",
        sender_canonical_maps=system.table("canon", "joe@client.example joseph@client.example\n"))
    system.write()
    system.start()
    smtp_send(system, "joe@client.example", "team@virt.example")
    for user in ("alice", "bob"):
        (raw,) = system.wait_maildir(mail / user)
        message = email.message_from_bytes(raw)
        assert message["X-Original-To"] == "team@virt.example"
        assert message["Return-Path"] == "<joseph@client.example>"
    smtp_send(system, "joe@client.example", "any@old.example")
    system.wait_maildir(mail / "alice", 2)


def test_swaks_as_client(system):
    result = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(system.port), "--from", "joe@client.example", "--to",
         "alice@virt.example", "--ehlo", "client.example", "--header", "Subject: by swaks", "--body", "hello"],
        capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (raw,) = system.wait_maildir(system.vmail / "alice")
    assert b"Subject: by swaks" in raw
