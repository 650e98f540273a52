# SPDX-License-Identifier: ISC
"""The queue manager by itself: queue files made by hand, delivered by the discard, error and retry services."""
import fcntl
import os
import re
import time

import pytest

from harness import Hang, free_port, smtp_send, wait_until
from harness.queue_file import put_queue_file, queue_file_bytes

QUICK = {"minimal_backoff_time": "1s", "maximal_backoff_time": "2s", "queue_run_delay": "1s", "transport_retry_time": "2s"}


@pytest.fixture
def discarding(instance):
    """An instance, not started, that throws all mail away but what a transport map says."""
    def make(transport="", **main):
        system = instance(start=False, main={"default_transport": "discard:gone", **QUICK, **main})
        if transport:
            system.main["transport_maps"] = system.table("transport", transport)
        system.write()
        return system
    return make


def test_files_found_at_start(discarding):
    system = discarding()
    fresh = put_queue_file(system, "incoming", queue_file_bytes("joe@a.example", ["x@b.example", "y@c.example"]))
    due = put_queue_file(system, "deferred", queue_file_bytes("joe@a.example", ["x@b.example"]), mtime=time.time() - 9)
    left = put_queue_file(system, "active", queue_file_bytes("", ["x@b.example"]))
    later = put_queue_file(system, "deferred", queue_file_bytes("j@a.example", ["x@b.example"]), mtime=time.time() + 900)
    held = put_queue_file(system, "hold", queue_file_bytes("j@a.example", ["x@b.example"]))
    writing = put_queue_file(system, "incoming", queue_file_bytes("j@a.example", ["x@b.example"]), mode=0o600)
    system.start()
    for queue_id in (fresh, due, left):
        system.log.wait_for(rf"qmgr\[\d+\]: {queue_id}: removed$")
    assert system.log.find(rf"qmgr\[\d+\]: {fresh}: from=<joe@a.example>, size=\d+, nrcpt=2 \(queue active\)$")
    assert system.log.find(rf"discard\[\d+\]: {fresh}: to=<y@c.example>, relay=none, delay=\S+, "
                           r"delays=[\d.]+/[\d.]+/[\d.]+/[\d.]+, dsn=2\.0\.0, status=sent \(gone\)$")
    assert system.queue_ids("deferred") == [later] and system.queue_ids("hold") == [held]
    assert system.queue_ids("incoming") == [writing]


def test_many_recipients_are_read_in_batches(discarding):
    system = discarding(qmgr_message_recipient_limit="300", default_destination_recipient_limit="70")
    recipients = [f"user{number}@d{number % 7}.example" for number in range(4000)]
    queue_id = put_queue_file(system, "incoming", queue_file_bytes("joe@a.example", recipients))
    system.start()
    system.log.wait_for(rf"{queue_id}: removed$", timeout=40)
    sent = re.findall(rf"{queue_id}: to=<(\S+)>, .*status=sent", system.log.text())
    assert sorted(sent) == sorted(recipients)


def test_deferred_recipients_are_tried_again_and_alone(discarding):
    system = discarding("later.example retry:4.2.1 not now\n")
    queue_id = put_queue_file(system, "incoming", queue_file_bytes("joe@a.example", ["x@b.example", "y@later.example"]))
    system.start()
    system.log.wait_for(rf"(?s)({queue_id}: to=<y@later.example>, .*dsn=4\.2\.1, status=deferred \(not now\).*){{2}}")
    assert system.log.count(rf"{queue_id}: to=<x@b.example>.*status=sent") == 1
    (path,) = [p for p in system.queue_files("deferred", "active", "incoming")["deferred"]] or [None]
    if path:
        content = path.read_bytes()
        assert b"D\x0bx@b.example" in content and b"R\x0fy@later.example" in content


def test_transport_that_does_not_exist(discarding):
    system = discarding("odd.example nosuch:\n")
    put_queue_file(system, "incoming", queue_file_bytes("joe@a.example", ["x@odd.example", "y@b.example"]))
    system.start()
    system.log.wait_for(r"warning: connect to transport private/nosuch: No such file or directory")
    system.log.wait_for(r"to=<x@odd.example>, relay=none, .*dsn=4\.3\.0, status=deferred \(mail transport unavailable\)")
    assert system.log.find(r"to=<y@b.example>.*status=sent")


def test_deferred_transports_wait(discarding):
    system = discarding("slow.example error:5.1.1 never seen\n", defer_transports="error")
    put_queue_file(system, "incoming", queue_file_bytes("joe@a.example", ["x@slow.example"]))
    system.start()
    system.log.wait_for(r"to=<x@slow.example>, .*dsn=4\.3\.2, status=deferred \(deferred transport\)")


def test_content_filter_takes_all_recipients(discarding):
    system = discarding(default_transport="error:should not come here")
    queue_id = put_queue_file(system, "incoming", queue_file_bytes("joe@a.example", ["x@b.example", "y@c.example"],
                                                                   content_filter="discard:scan"))
    system.start()
    system.log.wait_for(rf"{queue_id}: removed$")
    assert system.log.count(rf"{queue_id}: to=<.@.\.example>, .*status=sent \(scan\)") == 2


def test_delay_warning_is_sent_once(discarding, sink):
    back = sink()
    system = discarding("later.example retry:4.2.1 not now\n", default_transport="smtp", relayhost=back.nexthop)
    queue_id = put_queue_file(system, "incoming", queue_file_bytes("joe@a.example", ["y@later.example"],
                                                                   warn_time=int(time.time()) - 5))
    system.start()
    (warning,) = back.wait(1, instance=system)
    assert warning.recipients == ["joe@a.example"] and "Delayed Mail" in warning.text
    assert "Action: delayed" in warning.text and "Will-Retry-Until: " in warning.text
    system.log.wait_for(rf"bounce\[\d+\]: {queue_id}: sender delay notification: \w+$")
    system.log.wait_for(rf"(?s)({queue_id}: to=<y@later.example>.*){{3}}")
    assert back.count == 1


def test_forced_expiry(discarding, sink):
    back = sink()
    system = discarding("later.example retry:4.2.1 not now\n", default_transport="smtp", relayhost=back.nexthop)
    queue_id = put_queue_file(system, "deferred", queue_file_bytes("joe@a.example", ["y@later.example"]), mode=0o710)
    system.start()
    (bounce,) = back.wait(1, instance=system)
    assert "Action: failed" in bounce.text and "Status: 4.7.0" in bounce.text
    system.log.wait_for(rf"{queue_id}: to=<y@later.example>.*status=deferred \(message is administratively expired\)$")
    system.log.wait_for(rf"{queue_id}: from=<joe@a.example>, status=force-expired, returned to sender$")
    system.wait_queue_empty()


@pytest.mark.parametrize("sender, classes, told", [("", "", None), ("", "2bounce", "postmaster@"),
                                                   ("double-bounce@mx.test.example", "2bounce", None)])
def test_bounces_of_bounces(discarding, sink, sender, classes, told):
    back = sink()
    system = discarding("bad.example error:5.1.1 nobody\n", default_transport="smtp", relayhost=back.nexthop,
                        mydestination="", notify_classes=classes)
    queue_id = put_queue_file(system, "incoming", queue_file_bytes(sender, ["x@bad.example"]))
    system.start()
    system.log.wait_for(rf"{queue_id}: removed$")
    if told:
        (notice,) = back.wait(1, instance=system)
        assert notice.recipients[0].startswith(told) and notice.sender.startswith("double-bounce@")
        assert "Postmaster Copy: Undelivered Mail" in notice.text
    else:
        time.sleep(1)
        assert back.count == 0
    system.wait_queue_empty()
    assert not system.queue_files("bounce")["bounce"]


def test_hanging_destination_does_not_block_others(instance, sink):
    hanging, healthy = sink(), sink()
    hanging.on("connect", Hang(60))
    system = instance(start=False, main={**QUICK})
    system.main["transport_maps"] = system.table(
        "transport", f"hang.example smtp:{hanging.nexthop}\nok.example smtp:{healthy.nexthop}\n")
    system.write()
    for number in range(60):
        put_queue_file(system, "incoming", queue_file_bytes("joe@a.example", [f"h{number}@hang.example"]))
    system.start()
    wait_until(lambda: len(system.queue_ids("active")) == 60, 10, "all hanging mail in the active queue")
    start = time.monotonic()
    for number in range(10):
        smtp_send(system, "joe@a.example", f"o{number}@ok.example")
    healthy.wait(10, timeout=10, instance=system)
    assert time.monotonic() - start < 5


def test_dead_destination_is_left_alone_for_a_while(instance):
    port = free_port()
    system = instance(start=False, main={"relayhost": f"[127.0.0.1]:{port}", "minimal_backoff_time": "600s",
                                         "initial_destination_concurrency": "1"})
    for number in range(20):
        put_queue_file(system, "incoming", queue_file_bytes("joe@a.example", [f"x{number}@b.example"]))
    system.start()
    system.wait_queued("deferred", 20)
    assert system.log.count(r"smtp\[\d+\]: \w+: to=.*status=deferred \(connect to ") < 5
    assert system.log.count(r"error\[\d+\]: \w+: to=.*dsn=4\.4\.1, status=deferred \(delivery temporarily suspended: "
                            r"connect to ") > 15


@pytest.mark.alone
def test_memory_does_not_grow_with_the_deferred_queue(discarding, is_full):
    count = 100000 if is_full else 5000
    system = discarding()
    later = time.time() + 9999
    content = queue_file_bytes("joe@a.example", ["x@b.example"])
    for _ in range(count):
        put_queue_file(system, "deferred", content, mtime=later)
    system.start()
    put_queue_file(system, "incoming", content)
    system.run("postkick", "public", "qmgr", "I")
    system.log.wait_for(r": removed$")
    time.sleep(3)
    (pid,) = system.pids("qmgr")
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        peak = int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1))
    assert peak < 12000, f"{peak} KiB after a scan of {count} files"


@pytest.mark.root
def test_structure_repair(discarding):
    """postsuper -s: names that match inodes, and the hash directories that main.cf asks for."""
    system = discarding()
    later = time.time() + 9999
    good = put_queue_file(system, "deferred", queue_file_bytes("joe@a.example", ["x@b.example"]), mtime=later)
    path = system.queue_directory / "deferred" / good[0] / good
    path.rename(system.queue_directory / "deferred" / good)  # as with hash_queue_depth 0
    copied = system.queue_directory / "hold" / "ABCDEF000"
    copied.write_bytes(queue_file_bytes("joe@a.example", ["x@b.example"]))
    copied.chmod(0o700)
    os.chown(copied, system.accounts.owner_uid, -1)
    new_id = f"ABCDE{copied.stat().st_ino:X}"
    result = system.run("postsuper", "-s")
    assert path.exists() and system.queue_ids("hold") == [new_id]
    assert "postsuper: Renamed to match inode number: 1 message" in result.stderr
    assert "QUEUE FILE NAMES WERE CHANGED TO MATCH INODE NUMBERS" in result.stderr


def test_a_file_that_an_agent_still_holds_is_skipped(discarding):
    """An agent of a former life delivers on: nobody else touches the message until it lets go."""
    system = discarding()
    queue_id = put_queue_file(system, "active", queue_file_bytes("joe@a.example", ["x@b.example"]))
    with open(system.queue_directory / "active" / queue_id, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        system.start()
        system.log.wait_for(rf"qmgr\[\d+\]: {queue_id}: skipped, still being delivered$")
        assert not system.log.find(rf"{queue_id}: to=")
    system.log.wait_for(rf"{queue_id}: removed$", timeout=15)


def test_a_long_list_does_not_hold_up_the_next_message(instance, sink):
    slow = sink()
    slow.on("rcpt", lambda session: time.sleep(0.03))
    system = instance(main={"relayhost": slow.nexthop, "smtp_destination_concurrency_limit": "1",
                            "default_destination_recipient_limit": "2", **QUICK})
    put_queue_file(system, "incoming", queue_file_bytes("list@a.example", [f"l{n}@b.example" for n in range(100)]))
    system.run("postkick", "public", "qmgr", "I")
    slow.wait(2, instance=system)
    smtp_send(system, "joe@a.example", "single@b.example")
    wait_until(lambda: any("single@b.example" in m.recipients for m in slow.messages), 10, "the single message")
    assert slow.count < 40
    slow.wait(51, timeout=30, instance=system)


def test_threaded_bounces(discarding, sink):
    back = sink()
    system = discarding("bad.example error:5.1.1 nobody\n", default_transport="smtp", relayhost=back.nexthop,
                        enable_threaded_bounces="yes")
    put_queue_file(system, "incoming", queue_file_bytes("joe@a.example", ["x@bad.example"],
                                                        attributes=[("message_id", "<one@a.example>")]))
    system.start()
    (bounce,) = back.wait(1, instance=system)
    assert "\nReferences: <one@a.example>\nIn-Reply-To: <one@a.example>\n" in bounce.text.replace("\r", "")


def test_variable_envelope_return_paths(discarding, sink):
    """With a V record each recipient gets a sender of its own, and so does each bounce."""
    back = sink()
    system = discarding("bad.example error:5.1.1 nobody\n", default_transport="smtp", relayhost=back.nexthop)
    recipients = [("x@ok.example", {"original": "alias@orig.example"}), "z@bad.example"]
    put_queue_file(system, "incoming", queue_file_bytes("owner@list.example", recipients, verp="+="))
    system.start()
    back.wait(2, instance=system)
    assert sorted((m.sender, *m.recipients) for m in back.messages) == [
        ("", "owner+z=bad.example@list.example"), ("owner+alias=orig.example@list.example", "x@ok.example")]
    system.wait_queue_empty()


def test_rate_delay_spaces_deliveries(discarding):
    system = discarding(discard_destination_rate_delay="1s")
    for number in range(4):
        put_queue_file(system, "incoming", queue_file_bytes("joe@a.example", [f"x{number}@b.example"]))
    start = time.monotonic()
    system.start()
    wait_until(lambda: system.log.count(r": removed$") == 4, 20, "all four messages")
    assert time.monotonic() - start > 2.5


def test_null_sender_postmaster_delay_notice_needs_its_class(discarding, sink):
    back = sink()
    system = discarding("later.example retry:4.2.1 not now\n", default_transport="smtp", relayhost=back.nexthop,
                        mydestination="", notify_classes="delay")
    put_queue_file(system, "incoming", queue_file_bytes("", ["y@later.example"], warn_time=int(time.time()) - 5))
    system.start()
    (notice,) = back.wait(1, instance=system)
    assert notice.recipients == ["postmaster@mx.test.example"] and notice.sender == "double-bounce@mx.test.example"
    assert "Postmaster Warning: Delayed Mail" in notice.text
