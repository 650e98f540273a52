# SPDX-License-Identifier: ISC
"""Power is lost after each call that changed the queue, in turn: what was synced is put back on a disk, and a system that
starts on it delivers or returns every message that had been acknowledged.

Two disks are tried each time. The strict one has only what an fsync promised: content, mode and name of synced files. The
eager one has every change of names and modes, but only the synced content."""
import os
import time

import pytest

from harness import smtp_send, wait_until
from harness.crash import Disk, Interposer

pytestmark = [pytest.mark.dromos, pytest.mark.root]
FAST = {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s", "queue_run_delay": "1s", "transport_retry_time": "1s"}
SAMPLE = 5


class Story:
    """Messages of all fates under a recording system: when each was acknowledged, and when the next hop took what."""

    def __init__(self, instance, sink, workdir):
        self.crash = Interposer(workdir)
        self.taken = []         # (position, set of recipients)
        self.acknowledged = {}  # recipient: position
        self.first_seen = {}
        next_hop = sink()
        next_hop.on("rcpt", self._rcpt)
        next_hop.on("eod", self._eod)
        system = instance(start=False, main={"relayhost": next_hop.nexthop, **FAST, **self.crash.main()})
        self.crash.attach(system)
        self.crash.record()
        system.start()
        for number in range(3):
            for fate in ("good", "late", "bad", "never"):
                recipient = f"{fate}{number}@far.example"
                smtp_send(system, f"s.{fate}{number}@client.example", recipient)
                self.acknowledged[recipient] = self.crash.position
        wait_until(lambda: len(self.taken) >= 9, 30, lambda: f"nine deliveries, {self.taken}; {system.log.text()[-3000:]}")
        time.sleep(0.5)
        system.stop()
        self.journal = self.crash.journal()

    def _rcpt(self, session):
        if "<late" in session.argument:
            first = self.first_seen.setdefault(session.argument, time.monotonic())
            return "450 4.2.0 later" if time.monotonic() - first < 0.7 else None
        if "<never" in session.argument:
            return "450 4.2.0 later"
        return "550 5.1.1 nobody" if "<bad" in session.argument else None

    def _eod(self, session):
        self.taken.append((self.crash.position, set(session.recipients)))

    def taken_before(self, position):
        return set().union(*(recipients for at, recipients in self.taken if at <= position))


def write_image(system, image):
    uid = system.accounts.owner_uid
    for path, (content, mode, mtime) in image.items():
        target = system.queue_directory / path
        if not target.parent.exists():
            target.parent.mkdir(mode=0o700)
            os.chown(target.parent, uid, -1)
        target.write_bytes(content)
        target.chmod(mode)
        os.chown(target, uid, -1)
        if mtime:
            os.utime(target, (mtime, mtime))


def missing(promised, taken):
    """Recipients whose message was neither delivered nor returned (to s.RECIPIENT)."""
    return {recipient for recipient in promised
            if recipient not in taken and f"s.{recipient.split('@')[0]}@client.example" not in taken}


def test_power_loss(instance, sink, workdir, is_full, capsys):
    story = Story(instance, sink, workdir)
    points = range(len(story.journal)) if is_full else [n * (len(story.journal) - 1) // (SAMPLE - 1) for n in range(SAMPLE)]
    disk, tried, again = Disk(), 0, 0
    for number, (position, entry) in enumerate(story.journal):
        disk.apply(entry)
        if number not in points:
            continue
        promised = {recipient for recipient, at in story.acknowledged.items() if at <= position}
        before = story.taken_before(position)
        for is_eager in (False, True):
            hop = sink()
            system = instance(start=False, main={"relayhost": hop.nexthop, **FAST})
            write_image(system, disk.image(is_eager))
            system.start()

            def taken(hop=hop):
                return {recipient for message in list(hop.messages) for recipient in message.recipients}
            wait_until(lambda: not missing(promised, before | taken()), 20,
                       lambda: f"after {entry.call} {entry.path} {entry.other} ({'eager' if is_eager else 'strict'}): missing "
                               f"{missing(promised, before | taken())}; {system.log.text()[-3000:]}")
            again += len(before & taken())
            tried += 1
            system.stop()
    with capsys.disabled():
        print(f"\npower loss: {len(story.journal)} points, {tried} disks tried: nothing missing, {again} delivered again")
