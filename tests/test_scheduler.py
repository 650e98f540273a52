# SPDX-License-Identifier: ISC
"""What the queue manager decides: when, in which order, and how much of the active queue for whom."""
import os
import re
import signal
import socket
import time

import pytest

from harness import Hang, free_port, smtp_send, wait_until
from harness.crash import Interposer
from harness.queue_file import put_queue_file, queue_file_bytes

pytestmark = pytest.mark.dromos
QUICK = {"minimal_backoff_time": "1s", "maximal_backoff_time": "2s", "queue_run_delay": "1s", "transport_retry_time": "2s"}


@pytest.fixture
def system(instance, request):
    """An instance, not started, that throws all mail away but what a transport map says."""
    def make(transport="", **main):
        one = instance(start=False, main={"default_transport": "discard:gone", **main})
        if transport:
            one.main["transport_maps"] = one.table("transport", transport)
        one.write()
        return one
    return make


def put(system, queue, recipients, **options):
    return put_queue_file(system, queue, queue_file_bytes("joe@a.example", recipients), **options)


def wait_sent(system, pattern, count, timeout=20):
    wait_until(lambda: system.log.count(rf"to=<{pattern}>, .*status=sent") >= count, timeout,
               lambda: f"{count} sent to {pattern}; {system.log.text()[-3000:]}")


def test_retries_come_by_the_index(system):
    """Each deferred message is tried when its time has come, although no scan of the directory is near."""
    one = system("later.example retry:4.2.1 not now\n", minimal_backoff_time="2s", maximal_backoff_time="2s",
                 queue_run_delay="300s")
    queue_id = put(one, "incoming", ["x@later.example"])
    soon = put(one, "deferred", ["y@b.example"], mtime=time.time() + 3)
    start = time.monotonic()
    one.start()
    one.log.wait_for(rf"{soon}: removed$")
    assert 2 < time.monotonic() - start < 6
    one.log.wait_for(rf"(?s)({queue_id}: to=.*){{3}}", timeout=10)


def test_files_touched_and_removed_behind_its_back(system):
    one = system(queue_run_delay="300s")
    gone, postponed, hastened = (put(one, "deferred", ["y@b.example"], mtime=time.time() + at) for at in (3, 3, 900))
    one.start()
    time.sleep(0.5)
    for queue_id, action in ((gone, os.unlink), (postponed, lambda path: os.utime(path, (time.time() + 900,) * 2)),
                             (hastened, lambda path: os.utime(path, (1, 1)))):
        action(one.queue_directory / "deferred" / queue_id[0] / queue_id)
    one.run("postkick", "public", "qmgr", "D")
    one.log.wait_for(rf"{hastened}: removed$", timeout=5)
    time.sleep(3.5)
    assert one.queue_ids("deferred") == [postponed]
    assert not one.log.find(r"warning: .*(" + gone + "|" + postponed + ")")
    one.run("postqueue", "-i", postponed)
    one.log.wait_for(rf"{postponed}: removed$", timeout=5)


def test_pauses_are_spread(system):
    one = system("later.example retry:4.2.1 not now\n", minimal_backoff_time="100s", maximal_backoff_time="1000s",
                 qmgr_retry_jitter="50")
    for _ in range(40):
        put_queue_file(one, "incoming", queue_file_bytes("j@a.example", ["x@later.example"], arrival=time.time() - 400))
    one.start()
    one.wait_queued("deferred", 40)
    time.sleep(0.3)
    pauses = [path.stat().st_mtime - time.time() for path in one.queue_files("deferred")["deferred"]]
    assert min(pauses) > 290 and max(pauses) < 510
    assert max(pauses) - min(pauses) > 60, pauses


@pytest.fixture
def half_hanging(instance, sink):
    """Mail for hang.example hangs, mail for ok.example is taken; a small active queue."""
    hanging, healthy = sink(), sink()
    hanging.on("connect", Hang(60))
    one = instance(start=False, main={**QUICK, "qmgr_message_active_limit": "40", "maximal_backoff_time": "600s",
                                      "minimal_backoff_time": "600s"})
    one.main["transport_maps"] = one.table("transport", f"hang.example smtp:{hanging.nexthop}\nok.example smtp:{healthy.nexthop}\n")
    one.write()
    return one, hanging, healthy


@pytest.mark.parametrize("queue", ["incoming", "deferred"])
def test_hanging_destination_gets_no_more_than_its_share(half_hanging, queue):
    """Ten times as much mail hangs as the active queue holds; other mail passes at once, and all comes in the end."""
    one, hanging, healthy = half_hanging
    for number in range(400):
        put(one, queue, [f"h{number}@hang.example"], mtime=time.time() - 9)
    one.start()
    wait_until(lambda: len(one.queue_ids("active")) >= 15, 10, "hanging mail in the active queue")
    time.sleep(0.5)
    assert len(one.queue_ids("active")) <= 25
    start = time.monotonic()
    for number in range(20):
        smtp_send(one, "joe@a.example", f"o{number}@ok.example")
        put(one, "deferred", [f"d{number}@ok.example"], mtime=time.time() - 9)
    one.run("postkick", "public", "qmgr", "D")
    healthy.wait(40, timeout=10, instance=one)
    assert time.monotonic() - start < 5
    assert hanging.count == 0 and len(one.queue_ids("incoming", "active", "deferred")) == 400
    hanging.forget()
    one.restart()
    hanging.wait(400, timeout=40, instance=one)
    one.wait_queue_empty()


def test_messages_for_two_hanging_and_a_healthy_one(instance, sink):
    """Each of two destinations hangs with all its mail, and no message stays in the way of the next for the healthy one."""
    first, second, healthy = sink(), sink(), sink()
    for hanging in (first, second):
        hanging.on("connect", Hang(60))
    one = instance(start=False, main={**QUICK, "qmgr_message_active_limit": "30"})
    one.main["transport_maps"] = one.table("transport", f"h1.example smtp:{first.nexthop}\nh2.example smtp:{second.nexthop}\n"
                                                        f"ok.example smtp:{healthy.nexthop}\n")
    one.write()
    for number in range(100):
        put(one, "incoming", [f"h{number}@h1.example", f"h{number}@h2.example", f"o{number}@ok.example"])
    one.start()
    healthy.wait(100, timeout=30, instance=one)
    assert first.count == second.count == 0 and healthy.count == 100


def test_messages_for_both_leave_the_active_queue_again(half_hanging):
    """Mail for a healthy and for the hanging destination is sent where it can, and does not stand in the way then."""
    one, hanging, healthy = half_hanging
    for number in range(200):
        put(one, "incoming", [f"h{number}@hang.example", f"o{number}@ok.example"])
    one.start()
    healthy.wait(200, timeout=20, instance=one)
    assert len(one.queue_ids("active")) <= 40
    smtp_send(one, "joe@a.example", "single@ok.example")
    healthy.wait(201, timeout=5, instance=one)
    hanging.forget()
    one.restart()
    hanging.wait(200, timeout=40, instance=one)
    one.wait_queue_empty()
    assert healthy.count == 201


def test_clogged_queue_is_warned_of(half_hanging):
    one, _, _ = half_hanging
    for number in range(100):
        put(one, "incoming", [f"h{number}@hang.example"])
    one.start()
    one.log.wait_for(r"qmgr\[\d+\]: warning: mail for \[127\.0\.0\.1\]:\d+ is using up \d+ of \d+ active queue entries$")
    assert one.log.find(r"warning: you may need a separate master.cf transport for \[127\.0\.0\.1\]:\d+$")
    time.sleep(2)
    assert one.log.count("is using up") == 1, "once in qmgr_clog_warn_time"


def test_new_mail_passes_retried_mail_of_the_same_destination(instance, sink):
    slow = sink()
    slow.on("eod", lambda session: time.sleep(0.05))
    one = instance(start=False, main={"relayhost": slow.nexthop, "smtp_destination_concurrency_limit": "1"})
    for number in range(300):
        put(one, "deferred", [f"old{number}@b.example"], mtime=time.time() - 9)
    one.start()
    slow.wait(5, instance=one)
    smtp_send(one, "joe@a.example", "new@b.example")
    wait_until(lambda: any("new@b.example" in message.recipients for message in list(slow.messages)), 3, "the new message")
    assert slow.count < 100


def test_both_sources_get_room(system):
    """While more mail is retried and more mail is new than the active queue holds, both move."""
    one = system(qmgr_message_active_limit="8", discard_destination_rate_delay="1s")
    for number in range(30):
        put(one, "incoming", [f"n{number}@new{number}.example"])
        put(one, "deferred", [f"o{number}@old{number}.example"], mtime=time.time() - 9)
    one.start()
    wait_sent(one, r"n\d+@\S+", 6)
    wait_sent(one, r"o\d+@\S+", 6)


def order_of(system, queue_ids):
    found = re.findall(r"qmgr\[\d+\]: (\w+): removed", system.log.text())
    return [queue_ids[queue_id] for queue_id in found if queue_id in queue_ids]


@pytest.mark.parametrize("cost, is_small_first", [("5", True), ("0", False)])
def test_delivery_slots(instance, sink, cost, is_small_first):
    """A small message goes ahead of a list with default_delivery_slot_cost, and waits for its end without."""
    slow = sink()
    slow.on("eod", lambda session: time.sleep(0.02))
    one = instance(start=False, main={"relayhost": slow.nexthop, "smtp_destination_concurrency_limit": "1",
                                      "default_delivery_slot_cost": cost, "smtp_destination_recipient_limit": "1"})
    one.main["smtp_destination_recipient_limit"] = "2"
    one.write()
    one.start()
    large = put(one, "incoming", [f"l{number}@b.example" for number in range(120)])
    one.run("postkick", "public", "qmgr", "I")
    slow.wait(3, instance=one)
    small = put(one, "incoming", ["s@b.example"])
    one.run("postkick", "public", "qmgr", "I")
    one.log.wait_for(rf"{large}: removed$")
    one.log.wait_for(rf"{small}: removed$")
    assert order_of(one, {large: "large", small: "small"}) == (["small", "large"] if is_small_first else ["large", "small"])


@pytest.mark.alone
def test_transport_rate_delay(system):
    """One delivery a second over the transport, whatever the destination."""
    one = system(discard_transport_rate_delay="1s")
    for number in range(4):
        put(one, "incoming", [f"x{number}@d{number}.example"])
    one.main["default_transport"] = "discard"
    one.write()
    start = time.monotonic()
    one.start()
    wait_sent(one, r"x\d@\S+", 4)
    assert 2.5 < time.monotonic() - start < 8


def test_feedback_is_logged_on_request(system):
    one = system(destination_concurrency_feedback_debug="yes")
    put(one, "incoming", ["x@b.example"])
    one.start()
    one.log.wait_for(r"qmgr\[\d+\]: feedback: queue gone: limit 20 window \d+ success \S+ failure \S+ fail_cohorts 0$")


def test_too_many_probes_are_put_off(system):
    one = system(address_verify_pending_request_limit="5", discard_transport_rate_delay="30s")
    one.main["default_transport"] = "discard"
    one.write()
    content = queue_file_bytes("double-bounce@mx.test.example", ["x@b.example"], attributes=[("trace_flags", "256")])
    for _ in range(20):
        put_queue_file(one, "incoming", content)
    one.start()
    one.log.wait_for(r"to=<x@b.example>.*dsn=4\.3\.2.*\(Too many address verification requests\)")


def test_changed_hash_depth(system):
    """Files of another hash_queue_depth are found and moved to where they belong."""
    one = system()
    later = put(one, "deferred", ["x@b.example"], mtime=time.time() + 900)
    path = one.queue_directory / "deferred" / later[0] / later
    due = put(one, "deferred", ["x@b.example"], mtime=time.time() - 9)
    for queue_id in (later, due):
        (one.queue_directory / "deferred" / queue_id[0] / queue_id).rename(one.queue_directory / "deferred" / queue_id)
    one.main["hash_queue_depth"] = "2"
    one.write()
    one.start()
    one.log.wait_for(rf"{due}: removed$")
    deep = one.queue_directory / "deferred" / later[0] / later[1] / later
    wait_until(deep.exists, 5, "the file two directories down")
    assert not path.exists()
    one.stop()
    one.set(hash_queue_depth="1")
    one.start()
    wait_until(path.exists, 5, "the file one directory down")


def test_a_file_may_ask_for_its_dead_destination_to_be_tried(instance):
    """Mode bit 0040 (Postfix's flush service sets it): the destination is tried again, once."""
    port = free_port()
    one = instance(start=False, main={"relayhost": f"[127.0.0.1]:{port}", "minimal_backoff_time": "600s",
                                      "initial_destination_concurrency": "1"})
    put(one, "incoming", ["x@b.example"])
    one.start()
    one.log.wait_for("to=<x@b.example>.*connect to")
    asks = put(one, "deferred", ["asks@b.example"], mtime=time.time() - 9, mode=0o740)
    one.run("postkick", "public", "qmgr", "D")
    one.log.wait_for(r"smtp\[\d+\]: \w+: to=<asks@b.example>.*status=deferred \(connect to")
    one.wait_queued("deferred", 2)
    path = one.queue_directory / "deferred" / asks[0] / asks
    assert path.stat().st_mode & 0o777 == 0o700


@pytest.mark.root
def test_unreadable_files_and_directories(system):
    """What cannot be read is said once in a while and harms nobody; it is delivered once it can be read."""
    one = system(**QUICK)
    misowned = put(one, "deferred", ["x@b.example"], mtime=time.time() - 9)
    path = one.queue_directory / "deferred" / misowned[0] / misowned
    os.chown(path, 0, 0)
    closed = one.queue_directory / "deferred" / "Z"
    closed.mkdir(mode=0o700)
    (one.queue_directory / "deferred" / "Y").write_text("no directory")
    put(one, "incoming", ["y@b.example"])
    one.start()
    wait_sent(one, "y@b.example", 1)
    one.log.wait_for(rf"warning: {misowned}: open deferred/./{misowned}: Permission denied$")
    one.log.wait_for(r"warning: deferred: open directory deferred/\.\.\./Z: Permission denied$")
    time.sleep(2)
    assert one.log.count(rf"warning: {misowned}") <= 4
    os.chown(path, one.accounts.owner_uid, -1)
    one.log.wait_for(rf"{misowned}: removed$")


def test_clock_set_back(instance, workdir):
    """Mail that was deferred by a clock that ran ahead is tried all the same."""
    crash = Interposer(workdir)
    one = instance(start=False, main={"default_transport": "retry:4.2.1 not now", "minimal_backoff_time": "3s",
                                      "maximal_backoff_time": "4s", **crash.main()})
    crash.attach(one)
    crash.set_clock(86400)
    queue_id = put_queue_file(one, "incoming", queue_file_bytes("joe@a.example", ["x@b.example"]))
    one.start()
    one.log.wait_for(rf"{queue_id}: to=<x@b.example>.*status=deferred")
    mark = one.log.mark()
    crash.set_clock(0)
    one.log.wait_for(r"warning: the clock was set back by 8\d{4} seconds$")
    one.log.wait_for(rf"{queue_id}: to=<x@b.example>.*status=deferred", start=mark)


def test_clock_set_far_forward_returns_no_mail(instance, workdir):
    """Mail that seems to be too old only because the clock was set forward is kept for a while."""
    crash = Interposer(workdir)
    one = instance(start=False, main={"default_transport": "retry:4.2.1 not now", "minimal_backoff_time": "2s",
                                      "maximal_backoff_time": "300s", **crash.main()})
    crash.attach(one)
    queue_id = put_queue_file(one, "incoming", queue_file_bytes("joe@a.example", ["x@b.example"]))
    one.start()
    one.log.wait_for(rf"{queue_id}: to=<x@b.example>.*status=deferred")
    mark = one.log.mark()
    crash.set_clock(400 * 86400)
    one.run("postqueue", "-f")
    one.log.wait_for(rf"{queue_id}: to=<x@b.example>.*status=deferred", start=mark)
    assert one.log.find("warning: the clock was set forward by")
    assert one.wait_queued("deferred") == [queue_id]  # a moment after the agent's line
    assert not one.log.find("status=expired")


# ---- Limits on recipients in memory

def unsent_before_marks(one, queue_id):
    """{number of a recipient of mark.example, which is sent as soon as it was read: how many before it were not sent yet}."""
    sent, unsent = set(), {}
    for number, domain in re.findall(rf"{queue_id}: to=<(\d+)@(slow|mark)\.example>, .*status=sent", one.log.text()):
        if domain == "mark":
            unsent[int(number)] = int(number) - sum(other < int(number) for other in sent)
        sent.add(int(number))
    return unsent


LIMITED = {"default_recipient_limit": "40", "default_recipient_refill_limit": "1"}
BATCHES = {**LIMITED, "default_recipient_refill_limit": "40", "default_recipient_refill_delay": "1000s"}


@pytest.mark.parametrize("limits, most, at_second_batch", [
    ({}, (90, 120), (25, 40)),
    (LIMITED, (20, 60), (15, 40)),
    ({**LIMITED, "smtp_recipient_limit": "20000"}, (80, 120), (15, 40)),
    (BATCHES, (20, 60), (0, 9)),
    ({**BATCHES, "smtp_recipient_refill_limit": "1"}, (20, 60), (15, 40)),
    ({**BATCHES, "smtp_recipient_refill_delay": "1s"}, (20, 60), (10, 30)),
], ids=["defaults", "limit", "limit-of-transport", "refill-limit", "refill-limit-of-transport", "refill-delay"])
def test_recipients_in_memory(instance, sink, limits, most, at_second_batch):
    """A message with more recipients than may be in memory is delivered wholly, and read as far as the limits allow."""
    slow, quick = sink(), sink()
    slow.on("eod", lambda session: time.sleep(0.3))
    one = instance(start=False, main={**limits, "smtp_destination_recipient_limit": "5",
                                      "smtp_destination_concurrency_limit": "1"})
    one.main["transport_maps"] = one.table("transport", f"slow.example smtp:{slow.nexthop}\nmark.example smtp:{quick.nexthop}\n")
    one.write()
    recipients = [f"{number}@{'slow' if number % 10 else 'mark'}.example" for number in range(120)]
    queue_id = put(one, "incoming", recipients)
    one.start()
    one.log.wait_for(rf"{queue_id}: removed$", timeout=40)
    assert sorted(to for message in slow.messages + quick.messages for to in message.recipients) == sorted(recipients)
    unsent = unsent_before_marks(one, queue_id)
    assert most[0] <= max(unsent.values()) <= most[1], unsent
    assert at_second_batch[0] <= unsent[40] <= at_second_batch[1], unsent


@pytest.mark.parametrize("extra, least, most", [("50", 5, 16), ("1000", 40, 80)])
def test_extra_recipient_limit(instance, sink, extra, least, most):
    """How many recipients of a hanging destination are in memory beside the limit of the transport."""
    hanging = sink()
    hanging.on("connect", Hang(60))
    one = instance(start=False, main={"relayhost": hanging.nexthop, "default_recipient_limit": "100",
                                      "smtp_extra_recipient_limit": extra})
    for number in range(100):
        put(one, "incoming", [f"{number}.{other}@far.example" for other in range(10)])
    one.start()
    wait_until(lambda: len(one.queue_ids("active")) >= least, 10, lambda: f"{one.queue_ids('active')} active")
    time.sleep(1)
    assert least <= len(one.queue_ids("active")) <= most
    hanging.forget()
    one.restart()
    hanging.wait(100, timeout=40, instance=one)
    one.wait_queue_empty()


# ---- Processes that hang

@pytest.mark.parametrize("limit", ["1s", "60s"])
def test_agent_that_does_not_greet(system, limit):
    """Its mail is put off after qmgr_ipc_timeout, and no other mail waits for it."""
    one = system("silent.example silent:\n", qmgr_ipc_timeout=limit)
    one.start()
    with socket.socket(socket.AF_UNIX) as agent:
        path = one.queue_directory / "private" / "silent"
        agent.bind(str(path))
        path.chmod(0o666)
        agent.listen()
        queue_id = put(one, "incoming", ["x@silent.example", "y@other.example"])
        one.run("postkick", "public", "qmgr", "I")
        one.log.wait_for(rf"{queue_id}: to=<y@other.example>, .*status=sent", timeout=5)
        if limit == "1s":
            one.log.wait_for(rf"{queue_id}: to=<x@silent.example>, .*status=deferred", timeout=15)
            one.wait_queued("deferred", 1)
        else:
            time.sleep(3)
            assert one.queue_ids("active") == [queue_id] and not one.log.find("x@silent.example")


def stopped(one, name):
    """The process that runs a service, stopped; to be continued by the test."""
    (process_id,) = set(re.findall(rf"postfix/{name}\[(\d+)\]", one.log.text()))
    os.kill(int(process_id), signal.SIGSTOP)
    return int(process_id)


def test_agent_that_stops_during_a_delivery(system):
    """After daemon_timeout the delivery counts as lost, and the message is tried again."""
    one = system(daemon_timeout="3s", qmgr_ipc_timeout="1s", **QUICK)
    one.start()
    put(one, "incoming", ["first@a.example"])
    one.run("postkick", "public", "qmgr", "I")
    wait_sent(one, "first@a.example", 1)
    agent = stopped(one, "discard")
    try:
        queue_id = put(one, "incoming", ["x@b.example"])
        one.run("postkick", "public", "qmgr", "I")
        one.log.wait_for(r"qmgr\[\d+\]: warning: private/discard: an agent went away with 1 deliveries", timeout=15)
    finally:
        os.kill(agent, signal.SIGCONT)
    one.log.wait_for(rf"{queue_id}: removed$", timeout=20)


@pytest.mark.parametrize("is_ended", [True, False])
def test_queue_manager_that_stands_still(system, is_ended):
    """It is ended after qmgr_daemon_timeout (not daemon_timeout) and started again; the mail comes through."""
    one = system(**{"qmgr_daemon_timeout" if is_ended else "daemon_timeout": "2s"}, service_throttle_time="1s")
    one.start()
    put(one, "incoming", ["first@a.example"])
    one.run("postkick", "public", "qmgr", "I")
    wait_sent(one, "first@a.example", 1)
    process_id = stopped(one, "qmgr")
    time.sleep(3)
    queue_id = put(one, "incoming", ["x@b.example"])
    os.kill(process_id, signal.SIGCONT)
    one.run("postkick", "public", "qmgr", "I", check=False)
    one.log.wait_for(rf"{queue_id}: removed$", timeout=20)
    assert bool(one.log.find(r"qmgr pid \d+ killed by signal 14")) == is_ended
    assert (f"qmgr[{process_id}]: {queue_id}: removed" in one.log.text()) != is_ended
