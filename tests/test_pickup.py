# SPDX-License-Identifier: ISC
"""pickup: what happens to local mail that cleanup refuses, and to files that are no mail."""
import os
import re
import threading
import time

import pytest

from harness import smtp_send, wait_until
from harness.queue_file import put_queue_file, queue_file_bytes

TO = "user@far.example"


@pytest.fixture
def relay(instance, sink):
    def make(start=True, **main):
        next_hop = sink()
        return instance(start=start, main={"relayhost": next_hop.nexthop, **main}), next_hop
    return make


def submit(system, *arguments, text="Subject: hi\n\nbody\n", **options):
    return system.run("sendmail", *arguments, input=text, **options)


def test_refused_mail_is_returned_to_its_sender(relay):
    """A message that has come too far is refused by cleanup: the sender hears of it, once."""
    system, next_hop = relay()
    submit(system, "-f", "me@other.example", TO, text="Received: from a\n" * 60 + "Subject: tired\n\nbody\n")
    (message,) = next_hop.wait(1, timeout=30, instance=system)
    assert (message.sender, message.recipients) == ("", ["me@other.example"])
    assert b"Subject: tired" in message.data and b"too many hops" in message.data
    wait_until(lambda: not system.queue_files("maildrop")["maildrop"], 20, "an empty maildrop")


def test_truncated_file_goes_to_corrupt(relay):
    system, _ = relay(start=False)
    path = system.queue_directory / "maildrop" / "0DEAD12345"
    path.write_bytes(b"T\x031 2S\x04me@xR\x03a@bM\x00N\x02hi")
    path.chmod(0o744)
    if system.accounts.is_root:
        os.chown(path, system.accounts.owner_uid, -1)
    system.start()
    wait_until(lambda: system.queue_files("corrupt")["corrupt"], 20, "a file in corrupt")
    assert not system.queue_files("maildrop")["maildrop"]


def test_file_that_is_being_written_is_left_alone(relay):
    system, next_hop = relay(start=False)
    path = system.queue_directory / "maildrop" / "0DEAD12345"
    path.write_bytes(b"T\x031 2S\x04me@x")
    path.chmod(0o644)
    system.start()
    submit(system, TO)
    next_hop.wait(1, timeout=30, instance=system)
    assert path.exists()


def test_mail_waits_while_cleanup_cannot_be_reached(relay):
    """A submission during a failure of cleanup stays in maildrop and goes out afterwards."""
    system, next_hop = relay(start=False)
    system.standard_rows = system.standard_rows.replace("0 cleanup\n", "0 nothere\n")
    system.write()
    system.start()
    submit(system, TO)
    wait_until(lambda: system.log.find(r"postfix/pickup\[\d+\]: warning: maildrop/"), 20, "pickup's warning")
    assert len(system.queue_files("maildrop")["maildrop"]) == 1
    system.standard_rows = system.standard_rows.replace("0 nothere\n", "0 cleanup\n")
    system.write()
    system.stop()
    system.start()
    next_hop.wait(1, timeout=30, instance=system)


@pytest.mark.root
@pytest.mark.parametrize("bounced", [False, True])
def test_requeued_mail_that_is_done_is_removed(relay, bounced):
    """postsuper -r took a message whose delivery went on to its end. A bounce that was not sent yet is sent."""
    system, next_hop = relay(start=False)
    content = queue_file_bytes("joe@a.example", [TO, "other@far.example"]).replace(b"R\x10user", b"D\x10user")
    content = content.replace(b"R\x11other", b"D\x11other")
    queue_id = put_queue_file(system, "maildrop", content)
    if bounced:
        log = system.queue_directory / "bounce" / queue_id
        log.write_text(f"<{TO}>: nobody\nrecipient={TO}\ndsn_orig_rcpt=\naction=failed\nstatus=5.1.1\nreason=nobody\n\n")
        os.chown(log, system.accounts.owner_uid, -1)
        log.chmod(0o600)
    system.start()
    system.log.wait_for(rf"pickup\[\d+\]: maildrop/{queue_id}: all recipients are done: removed$")
    system.wait_queue_empty()
    assert not system.queue_ids("corrupt", "bounce") and not system.log.find("warning: .*" + queue_id)
    if bounced:
        (notice,) = next_hop.wait(1, timeout=20, instance=system)
        assert notice.sender == "" and notice.recipients == ["joe@a.example"] and b"Subject: test" in notice.data
    else:
        assert next_hop.count == 0


@pytest.mark.root
def test_message_requeued_during_its_delivery(relay):
    """postsuper -r takes a message that the next hop is about to accept: it is delivered once, and nothing is left of it."""
    system, next_hop = relay()
    has_all = threading.Event()
    next_hop.on("eod", lambda session: has_all.set() or time.sleep(2))
    submit(system, TO)
    assert has_all.wait(20)
    (queue_id,) = system.queue_ids("active")
    assert "Requeued: 1 message" in system.run("postsuper", "-r", queue_id).stderr
    system.log.wait_for(rf"{queue_id}: to=<{TO}>, .*status=sent", timeout=10)
    system.run("postkick", "public", "pickup", "W")
    system.log.wait_for(rf"pickup\[\d+\]: maildrop/{queue_id}: all recipients are done: removed$")
    system.wait_queue_empty()
    assert next_hop.count == 1 and not system.queue_ids("corrupt")


@pytest.mark.root
@pytest.mark.parametrize("answer", [None, "450 4.2.0 later", "550 5.7.1 no"], ids=["sent", "deferred", "bounced"])
def test_report_of_a_message_requeued_during_its_delivery(instance, sink, answer):
    """One recipient has failed when postsuper -r takes the message, another is under way: what becomes of both is known at the end of
    that delivery. Every recipient that failed is reported once, nobody gets the mail twice, and no log is left of the former id."""
    back, bad, slow = sink(), sink(), sink()
    bad.on("rcpt", "550 5.1.1 unknown")
    is_under_way, may_end = threading.Event(), threading.Event()
    slow.on("rcpt", lambda session: is_under_way.set() or may_end.wait(20) and answer, times=1)
    one = instance(start=False, main={"relayhost": back.nexthop})
    one.main["transport_maps"] = one.table("transport", f"bad.example smtp:{bad.nexthop}\nslow.example smtp:{slow.nexthop}\n")
    one.write()
    one.start()
    smtp_send(one, "joe@client.example", ["x@bad.example", "y@slow.example"])
    assert is_under_way.wait(20)
    one.log.wait_for(r"to=<x@bad\.example>.*status=bounced")
    (queue_id,) = one.queue_ids("active")
    one.run("postsuper", "-r", queue_id)
    one.run("postkick", "public", "pickup", "W")
    one.log.wait_for(rf"pickup\[\d+\]: maildrop/{queue_id}: skipped, still being delivered$")
    may_end.set()
    one.log.wait_for(rf"{queue_id}: to=<y@slow\.example>")
    wait_until(lambda: one.run("postkick", "public", "pickup", "W") and not one.queue_ids("maildrop"), 20, "pickup", 0.2)
    one.wait_queue_empty()
    failed = ["x@bad.example"] + (["y@slow.example"] if answer and answer.startswith("5") else [])
    (report,) = back.wait(1, instance=one)
    assert re.findall(r"^Final-Recipient: rfc822; (\S+)", report.text, re.MULTILINE) == failed and "Subject: test" in report.text
    assert slow.count == (len(failed) == 1)
    assert not one.queue_ids("bounce", "defer", "trace")


@pytest.mark.root
def test_report_of_success_of_a_message_requeued_during_its_delivery(instance, sink):
    """Who asked for a report of success has it from the log of the former id, once."""
    back, slow = sink(), sink(keywords=["8BITMIME"])
    is_under_way, may_end = threading.Event(), threading.Event()
    slow.on("rcpt", lambda session: is_under_way.set() or may_end.wait(20) and None, times=1)
    slow.on("rcpt", "450 4.2.0 later", times=1)
    one = instance(start=False, main={"relayhost": back.nexthop, "minimal_backoff_time": "600s"})
    one.main["transport_maps"] = one.table("transport", f"slow.example smtp:{slow.nexthop}\n")
    one.write()
    one.start()
    smtp_send(one, "joe@client.example", ["x@slow.example", "y@slow.example"], rcpt_options=["NOTIFY=SUCCESS,FAILURE"])
    assert is_under_way.wait(20)
    (queue_id,) = one.queue_ids("active")
    one.run("postsuper", "-r", queue_id)
    may_end.set()
    one.log.wait_for(rf"{queue_id}: to=<y@slow\.example>, .*status=deferred")
    wait_until(lambda: one.run("postkick", "public", "pickup", "W") and not one.queue_ids("maildrop"), 20, "pickup", 0.2)
    one.wait_queue_empty()
    reports = back.wait(2, instance=one)
    assert sorted(re.search(r"^Final-Recipient: rfc822; (\S+)\r\n(?:.*\r\n)*?Action: (\w+)", report.text, re.MULTILINE).groups()
                  for report in reports) == [("x@slow.example", "relayed"), ("y@slow.example", "relayed")]
    assert [message.recipients for message in slow.messages] == [["x@slow.example"], ["y@slow.example"]]
    assert not one.queue_ids("bounce", "defer", "trace")
