# SPDX-License-Identifier: ISC
"""Processes killed at each system call that changes the queue, in turn, and power lost after each: nothing is lost, and
nothing is delivered again that was recorded as delivered.

A sample of the points is tried by default, all with --full. Each test prints its points and outcomes (pytest -s)."""
import collections
import re
import smtplib
import time

import pytest

from harness import smtp_send, wait_until
from harness.crash import Interposer
from harness.queue_file import log_entry, put_queue_file, put_queue_log, queue_file_bytes, record

pytestmark = [pytest.mark.dromos, pytest.mark.root]
FAST = {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s", "queue_run_delay": "1s", "transport_retry_time": "1s",
        "service_throttle_time": "1s", "ipc_timeout": "10s", "qmgr_retry_jitter": "0"}
SENDER, TO = "joe@client.example", "user@far.example"
# A message may be there twice when it was ready (or taken by the next hop) and the process died before it could say so.
SENT_UNMARKED, READY_UNSAID = "smtp pwrite", "cleanup fsync"
SAMPLE = 5  # points of each flow without --full
LEFT_BY_WRITER = ("incoming", "maildrop")  # a file that was being written when its writer was killed stays until postsuper -p


class Rig:
    """An instance whose processes can be stopped, and the next hop."""

    def __init__(self, instance, sink, workdir, **main):
        self.crash = Interposer(workdir)
        self.sink = sink()
        self.system = instance(start=False, main={"relayhost": self.sink.nexthop, **FAST, **self.crash.main(), **main})
        self.crash.attach(self.system)
        self.system.start()
        self.number = 0

    def send(self, recipient=TO):
        """One message; (its mark, whether it was acknowledged)."""
        self.number += 1
        mark = f"m{self.number}"
        try:
            return mark, smtp_send(self.system, SENDER, recipient, f"Subject: {mark}\r\nX-Mark: {mark}\r\n\r\nbody\r\n"
                                   .encode()) == {}
        except (smtplib.SMTPException, OSError):
            return mark, False

    def copies(self, mark):
        return sum(bool(re.search(rb"^X-Mark: %s\r$" % mark.encode(), message.data, re.MULTILINE)) and message.sender != ""
                   for message in list(self.sink.messages))

    def bounces(self, mark):
        return sum(message.sender == "" and b"X-Mark: %s\r\n" % mark.encode() in message.data
                   for message in list(self.sink.messages))

    def ready(self):
        """Files of messages and logs that are in the queue; None when they move."""
        files = self.system.queue_snapshot("maildrop", "incoming", "active", "deferred", "hold", "bounce", "defer", "trace")
        try:
            return files and [path for queue, paths in files.items() for path in paths
                              if queue not in LEFT_BY_WRITER or path.stat().st_mode & 0o700 == 0o700]
        except FileNotFoundError:
            return None

    def settle(self, what):
        wait_until(lambda: self.ready() == [], 30,
                   lambda: f"{what}: empty queue, has {self.ready()}; stopped at {self.crash.where}; {self.system.log.text()[-3000:]}",
                   0.02)
        assert not self.system.queue_ids("corrupt"), what
        for paths in self.system.queue_files(*LEFT_BY_WRITER).values():
            for path in paths:
                path.unlink()


def each_point(rig, flow, is_full, capsys, name):
    """Runs the flow once to count the points, then once for each with a stop there. flow(rig) returns the outcome."""
    rig.crash.arm(0)
    flow(rig)
    total = rig.crash.count
    assert total > 0, "the flow changes the queue"
    points = range(1, total + 1) if is_full else sorted({1 + number * (total - 1) // max(1, min(SAMPLE, total) - 1) for number in range(min(SAMPLE, total))})
    outcomes, places = collections.Counter(), []
    for point in points:
        rig.crash.arm(point)
        outcome = flow(rig)
        outcomes[outcome if rig.crash.has_stopped else "not reached"] += 1
        places.append(f"{point:3} {rig.crash.where or '-'}: {outcome}")
    with capsys.disabled():
        print(f"\n{name}: {total} points, {len(places)} tried: "
              + ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())))
        if is_full:
            print("\n".join(places))
    assert sum(outcomes.values()) > outcomes["not reached"]


def outcome_of(copies, acknowledged):
    return f"{'acknowledged' if acknowledged else 'refused'}, {copies} delivered"


def relay(rig, recipient=TO):
    mark, acknowledged = rig.send(recipient)
    if acknowledged:
        wait_until(lambda: rig.copies(mark), 30, lambda: f"{mark} after {rig.crash.where}; {rig.system.log.text()[-3000:]}", 0.02)
    rig.settle("relay")
    copies, where = rig.copies(mark), rig.crash.where
    assert copies <= 1 or where.startswith((SENT_UNMARKED, READY_UNSAID)), f"{copies} copies after {where}"
    return outcome_of(copies, acknowledged)


def test_commit_and_deliver(instance, sink, workdir, is_full, capsys):
    each_point(Rig(instance, sink, workdir), relay, is_full, capsys, "commit and deliver")


def test_sendmail(instance, sink, workdir, is_full, capsys):
    """postdrop, pickup and what follows are killed: mail for which sendmail ended with 0 is delivered."""
    def flow(rig):
        rig.number += 1
        mark = f"m{rig.number}"
        sent = rig.system.run("sendmail", "-f", SENDER, TO, input=f"Subject: {mark}\nX-Mark: {mark}\n\nbody\n", check=False)

        def has_come():  # pickup may have been killed with the word of new mail, or postdrop before giving it
            if rig.system.queue_ids("maildrop"):
                rig.system.run("postkick", "public", "pickup", "W", check=False)
            return rig.ready() == []
        wait_until(has_come, 30, lambda: f"{mark} after {rig.crash.where}; {rig.system.log.text()[-3000:]}", 0.1)
        rig.settle("sendmail")
        copies, where = rig.copies(mark), rig.crash.where
        is_acknowledged = sent.returncode == 0
        assert copies >= is_acknowledged, f"lost after {where}"
        assert copies <= 1 or where.startswith(("pickup unlink maildrop", SENT_UNMARKED, READY_UNSAID)), f"{copies} after {where}"
        return outcome_of(copies, is_acknowledged)
    each_point(Rig(instance, sink, workdir), flow, is_full, capsys, "sendmail")


def test_deliver_to_maildir(instance, sink, workdir, is_full, capsys, virtual):
    def flow(rig):
        box = rig.system.mail_directory / "box"
        mark, acknowledged = rig.send("box@virt.example")
        rig.settle("maildir")
        copies = sum(mark in path.read_text() for path in (box / "new").glob("*")) if (box / "new").exists() else 0
        assert copies >= acknowledged, f"{mark} lost after {rig.crash.where}; {rig.system.log.text()[-3000:]}"
        assert copies <= 1 or rig.crash.where.startswith(("virtual pwrite", READY_UNSAID)), rig.crash.where
        return outcome_of(copies, acknowledged)
    folder = workdir / "i1" / "mail"
    each_point(Rig(instance, sink, workdir, **virtual(folder, "box")), flow, is_full, capsys, "deliver to a Maildir")


def test_defer_and_deliver(instance, sink, workdir, is_full, capsys):
    rig, first_seen = Rig(instance, sink, workdir), {}

    def refuse_at_first(session):  # also at the second try within one delivery, on a fresh connection
        return "450 4.2.0 later" if time.monotonic() - first_seen.setdefault(session.argument, time.monotonic()) < 0.7 else None
    rig.sink.on("rcpt", refuse_at_first)
    each_point(rig, lambda rig: relay(rig, f"user{rig.number}@far.example"), is_full, capsys, "defer and deliver")


def bounced(rig, what):
    mark, acknowledged = rig.send()
    if acknowledged:
        wait_until(lambda: rig.bounces(mark), 30,
                   lambda: f"bounce of {mark} after {rig.crash.where}; {rig.system.log.text()[-3000:]}", 0.02)
    rig.settle(what)
    bounces, where = rig.bounces(mark), rig.crash.where
    assert bounces <= 1 or where.startswith(("bounce unlink bounce", READY_UNSAID, SENT_UNMARKED)), f"{bounces} bounces after {where}"
    assert not rig.copies(mark)
    return f"{'acknowledged' if acknowledged else 'refused'}, {bounces} returned"


def test_bounce(instance, sink, workdir, is_full, capsys):
    rig = Rig(instance, sink, workdir)
    rig.sink.on("rcpt", lambda session: "550 5.1.1 nobody" if session.sender else None)
    each_point(rig, lambda rig: bounced(rig, "bounce"), is_full, capsys, "bounce")


def test_expire(instance, sink, workdir, is_full, capsys):
    rig = Rig(instance, sink, workdir, maximal_queue_lifetime="1s")
    rig.sink.on("rcpt", lambda session: "450 4.2.0 later" if session.sender else None)
    each_point(rig, lambda rig: bounced(rig, "expire"), is_full, capsys, "expire")


@pytest.mark.parametrize("operation", ["-h", "-H", "-r", "-d"])
def test_queue_operations(instance, sink, workdir, is_full, capsys, operation):
    """postsuper is killed on its way (for -r, pickup and cleanup too), and called again: the message is there once."""
    def flow(rig):
        stop_at = rig.crash._get(4)
        rig.crash.arm(0)
        rig.sink.on("rcpt", "450 4.2.0 later")
        mark, _ = rig.send()
        wait_until(lambda: rig.system.queue_ids("deferred"), 10, "a deferred message", 0.02)
        if operation == "-H":
            rig.system.run("postsuper", "-h", "ALL")
        rig.crash.arm(stop_at)
        rig.system.run("postsuper", operation, "ALL", check=False)
        if operation == "-r":
            rig.system.run("postkick", "public", "pickup", "W", check=False)  # it may be killed on hearing that
            wait_until(lambda: rig.crash.has_stopped or not rig.system.queue_ids("maildrop"), 10, "pickup", 0.02)
        count, where = rig.crash.count, rig.crash.where
        if where.startswith("postsuper"):
            rig.system.run("postsuper", operation, "ALL")
        if operation == "-r":
            rig.system.run("postkick", "public", "pickup", "W")
        if operation == "-h":
            rig.system.run("postsuper", "-H", "ALL")
        rig.sink.forget()
        rig.system.run("postqueue", "-f")
        if operation != "-d":
            wait_until(lambda: rig.copies(mark), 30, lambda: f"{mark} after {where}; {rig.system.log.text()[-3000:]}", 0.02)
        rig.settle(operation)
        copies, where = rig.copies(mark), rig.crash.where  # maybe it has stopped since
        explained = where.startswith(("pickup unlink maildrop", READY_UNSAID, SENT_UNMARKED))
        assert copies == (operation != "-d") or explained, f"{copies} after {where}"
        rig.crash.map[0:4] = count.to_bytes(4, "little")
        return f"{copies} delivered"
    each_point(Rig(instance, sink, workdir, minimal_backoff_time="8s", maximal_backoff_time="8s"), flow, is_full, capsys,
               f"postsuper {operation}")


def test_requeue_with_a_log(instance, sink, workdir, is_full, capsys):
    """A message of which one recipient has failed and is not reported yet is requeued, and postsuper, pickup, bounce or cleanup is
    killed: the sender hears of the failure, the other recipient gets the mail, and no log is left."""
    def flow(rig):
        rig.number += 1
        mark = f"m{rig.number}"
        content = queue_file_bytes(SENDER, ["gone@far.example", TO], body=f"Subject: {mark}\nX-Mark: {mark}\n\nbody\n")
        stop_at = rig.crash._get(4)
        rig.crash.arm(0)
        queue_id = put_queue_file(rig.system, "hold", content.replace(record("R", "gone@far.example"), record("D", "gone@far.example")))
        put_queue_log(rig.system, "bounce", queue_id, log_entry("gone@far.example", "nobody", status="5.1.1", action="failed"))
        rig.crash.arm(stop_at)
        rig.system.run("postsuper", "-r", queue_id, check=False)
        rig.system.run("postsuper", "-r", "ALL")  # it may have been killed before it did anything

        def has_gone():
            rig.system.run("postkick", "public", "pickup", "W", check=False)
            return not rig.system.queue_ids("maildrop")
        wait_until(has_gone, 30, lambda: f"{mark} after {rig.crash.where}; {rig.system.log.text()[-3000:]}", 0.2)
        rig.settle("requeue with a log")
        copies, bounces, where = rig.copies(mark), rig.bounces(mark), rig.crash.where
        assert copies == 1 or copies > 1 and where.startswith(("pickup unlink maildrop", READY_UNSAID, SENT_UNMARKED)), f"{copies} after {where}"
        assert bounces == 1 or bounces > 1 and where.startswith(("bounce unlink bounce", READY_UNSAID, SENT_UNMARKED)), f"{bounces} reports after {where}"
        return f"{copies} delivered, {bounces} returned"
    each_point(Rig(instance, sink, workdir), flow, is_full, capsys, "requeue with a log")
