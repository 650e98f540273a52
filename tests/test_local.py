# SPDX-License-Identifier: ISC
"""Local delivery: mailboxes, aliases, forwarding, users that do not exist."""
import os
import stat
import time

import pytest

from harness import make_message, smtp_send

FROM = "joe@client.example"


@pytest.fixture
def system(instance):
    """Makes an instance with aliases and parameters."""

    def make(aliases="", **main):
        one = instance(start=False, main=main)
        if aliases:
            one.main["alias_maps"] = one.aliases(aliases.replace("PERSON", one.person))
            one.write()
        return one.start()

    return make


def mailbox_text(one, name=None):
    path = one.mail_directory / (name or one.person)
    return path.read_text() if path.exists() else ""


def send(one, to, **options):
    smtp_send(one, FROM, to, make_message(FROM, to, **options))


def status_of(one, to, start=0):
    return one.log.wait_for(rf"postfix/local\[\d+\]: \w+: to=<{to}>, .*dsn=(\S+), status=(\w+) \((.*)\)$", start=start)


def test_mailbox_file(system):
    one = system()
    send(one, f"{one.person}@test.example", subject="mbox", body="one\nFrom two\n>From three\n")
    found = status_of(one, f"{one.person}@test.example")
    assert found.groups() == ("2.0.0", "sent", "delivered to mailbox")
    text = mailbox_text(one)
    assert text.startswith(f"From {FROM}  ")
    assert f"\nDelivered-To: {one.person}@test.example\n" in text
    assert "\none\n>From two\n>From three\n\n" in text
    info = (one.mail_directory / one.person).stat()
    assert stat.S_IMODE(info.st_mode) == 0o600
    assert info.st_uid == one.accounts.person_uid
    one.wait_queue_empty()
    send(one, f"{one.person}@test.example", subject="second")
    one.wait_queue_empty()
    assert mailbox_text(one).count("\nDelivered-To: ") == 2


def test_maildir_in_the_spool(system):
    one = system(mail_spool_directory="")
    one.set(mail_spool_directory=f"{one.mail_directory}/")
    send(one, f"{one.person}@test.example", subject="maildir")
    (raw,) = one.wait_maildir(one.mail_directory / one.person)
    assert raw.startswith(b"Return-Path: <joe@client.example>\n")


def test_unknown_user_bounces(system):
    one = system()
    send(one, "no-such-user@test.example")
    found = status_of(one, "no-such-user@test.example")
    assert found.groups() == ("5.1.1", "bounced", 'unknown user: "no-such-user"')


def test_aliases_nest_and_name_themselves(system):
    one = system("team: lead\nlead: PERSON\nPERSON: PERSON\n")
    send(one, "team@test.example")
    line = one.log.wait_for(rf"to=<{one.person}@mx\.test\.example>, orig_to=<team@test\.example>, relay=local, .*status=sent")
    assert line
    one.wait_queue_empty()
    assert mailbox_text(one).count("\nSubject: ") == 1


def test_alias_with_several_targets(system, sink):
    outside = sink()
    one = system("everybody: PERSON, ext@outside.example, no-such-user-here\n",
                 transport_maps=f"inline:{{outside.example=smtp:[127.0.0.1]:{outside.port}}}")
    send(one, "everybody@test.example", subject="to all")
    one.log.wait_for(rf"to=<{one.person}@mx\.test\.example>, orig_to=<everybody@test\.example>, .*status=sent \(delivered")
    one.log.wait_for(r"to=<no-such-user-here@mx\.test\.example>, orig_to=<everybody@test\.example>, .*status=bounced")
    forwarded = one.log.wait_for(r"to=<everybody@test\.example>, relay=local, .*status=sent \(forwarded as (\w+)\)").group(1)
    one.log.wait_for(rf"{forwarded}: to=<ext@outside\.example>, .*status=sent")
    message = outside.wait(1)[0]
    assert b"Delivered-To: everybody@test.example" in message.data
    assert message.data.count(b"Received: ") == 2
    assert mailbox_text(one).count("\nSubject: to all") == 1


def test_owner_alias_becomes_the_sender(system, sink):
    outside = sink()
    one = system("list: ext@outside.example\nowner-list: PERSON\n",
                 transport_maps=f"inline:{{outside.example=smtp:[127.0.0.1]:{outside.port}}}")
    send(one, "list@test.example")
    message = outside.wait(1)[0]
    assert message.sender == "owner-list@mx.test.example"
    one.wait_queue_empty()


def test_loops_end(system):
    one = system("a: b\nb: c\nc: a\n")
    send(one, "a@test.example")
    found = one.log.wait_for(r"orig_to=<a@test\.example>, .*dsn=(\S+), status=bounced \((.*)\)$")
    assert found.groups() == ("5.4.6", "alias database loop for a")
    mark = one.log.mark()
    data = make_message(FROM, "x@test.example", Delivered_To=f"{one.person}@test.example")
    smtp_send(one, FROM, f"{one.person}@test.example", data)
    assert status_of(one, f"{one.person}@test.example", mark).groups() == \
        ("5.4.6", "bounced", f"mail forwarding loop for {one.person}@test.example")


def test_files_lists_and_commands(system):
    one = system("seed: PERSON\n")
    folder = one.mail_directory
    list_file = one.file("members", f"# comment\n{one.person}, other@virt.example\n")
    os.chmod(list_file, 0o644)
    one.aliases(f"archive: {folder}/archive\nrun: \"|cat >/dev/null\"\nmembers: :include:{list_file}\n")
    one.restart()
    send(one, "archive@test.example", subject="kept")
    one.log.wait_for(rf"to=<archive@test\.example>, .*status=sent \(delivered to file: {folder}/archive\)")
    assert "\nSubject: kept\n" in mailbox_text(one, "archive")
    send(one, "run@test.example")
    one.log.wait_for(r"to=<run@test\.example>, .*dsn=4\.3\.5, status=deferred \(delivery to commands is not available")
    send(one, "members@test.example")
    one.log.wait_for(r"to=<members@test\.example>, .*status=sent \(forwarded as \w+\)")
    one.log.wait_for(rf"to=<{one.person}@\S+>, .*status=sent \(delivered to mailbox\)")


def test_luser_relay(system):
    one = system(recipient_delimiter="+")
    one.set(luser_relay=f"{one.person}+$local")
    send(one, "whoever@test.example")
    one.log.wait_for(rf"to=<{one.person}\+whoever@\S+>, orig_to=<whoever@test\.example>, .*status=sent")


def test_mailbox_transport(system, virtual, workdir):
    mail = workdir / "vmail"
    mail.mkdir()
    mail.chmod(0o1777)
    main = virtual(mail, "alice")
    main["virtual_mailbox_maps"] = "static:passed/"
    one = system(**main)
    one.set(mailbox_transport="virtual:")
    send(one, f"{one.person}@test.example", subject="passed on")
    assert len(one.wait_maildir(mail / "passed")) == 1
    one.log.wait_for(rf"postfix/virtual\[\d+\]: \w+: to=<{one.person}@test\.example>, .*status=sent")
    one.wait_queue_empty()
    assert not one.log.find("cannot mark")


def test_failing_alias_table_defers(system):
    one = system(alias_maps="fail:x")
    send(one, f"{one.person}@test.example")
    assert status_of(one, f"{one.person}@test.example").groups() == ("4.3.0", "deferred", "alias database unavailable")


def test_changed_aliases_are_taken_up(system):
    one = system("first: PERSON\n")
    send(one, "first@test.example")
    one.log.wait_for(r"orig_to=<first@test\.example>, .*status=sent")
    one.aliases(f"second: {one.person}\n")
    os.utime(one.config_directory / "aliases.lmdb")
    time.sleep(1.1)  # tables look at their files once a second
    send(one, "second@test.example")
    one.log.wait_for(r"orig_to=<second@test\.example>, .*status=sent")


def test_mailbox_size_limit(system):
    one = system(mailbox_size_limit="200000", message_size_limit="200000")
    send(one, f"{one.person}@test.example", body=("x" * 70 + "\n") * 1700)
    one.wait_queue_empty()
    size = (one.mail_directory / one.person).stat().st_size
    mark = one.log.mark()
    send(one, f"{one.person}@test.example", body=("y" * 70 + "\n") * 1700)
    found = status_of(one, f"{one.person}@test.example", mark)
    assert found.group(1) == "5.2.2" and found.group(2) == "bounced"
    one.wait_queue_empty()
    assert (one.mail_directory / one.person).stat().st_size == size


def test_edited_aliases_without_an_index(system):
    """The text is newer than the index: it is read as an alias file, also by the SMTP server."""
    one = system("first: PERSON\n", local_recipient_maps="$alias_maps")
    path = one.file("aliases", f"second: {one.person}\nthird: second\n")
    os.utime(path, (time.time() + 5, time.time() + 5))
    time.sleep(1.1)
    send(one, "third@test.example")
    one.log.wait_for(r"orig_to=<third@test\.example>, .*status=sent")
    one.restart()
    send(one, "second@test.example")
    one.log.wait_for(r"orig_to=<second@test\.example>, .*status=sent")


@pytest.mark.root
def test_rootless(instance, accounts):
    one = instance(user=accounts.person)
    send(one, f"{accounts.person}@test.example", subject="rootless")
    assert status_of(one, f"{accounts.person}@test.example").groups() == ("2.0.0", "sent", "delivered to mailbox")
    send(one, "daemon@test.example")
    assert status_of(one, "daemon@test.example").group(2) == "deferred"
