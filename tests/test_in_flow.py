# SPDX-License-Identifier: ISC
"""in_flow_delay: mail that comes faster than the queue manager takes it up waits a little, once a message."""
import contextlib
import os
import signal
import time

import pytest

from harness import wait_until

LIMIT = 5  # messages that may wait for the queue manager before others are slowed down


@contextlib.contextmanager
def stopped(mx):
    (pid,) = wait_until(lambda: mx.pids("qmgr"), 10, "a queue manager")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def seconds(mx, count):
    """How long each of so many messages took, one after the other in one session."""
    times = []
    with mx.dialogue(ehlo="client.example") as client:
        for _ in range(count):
            start = time.monotonic()
            client.envelope("a@x.example", "user@test.example")
            client.expect(b"Subject: x\r\n\r\nhello\r\n.\r\n", 250)
            times.append(time.monotonic() - start)
    return times


def system(instance, delay):
    return instance(main={"in_flow_delay": delay, "default_process_limit": str(LIMIT), "defer_transports": "local smtp"})


def test_mail_waits_while_the_queue_manager_is_behind(instance):
    mx = system(instance, "2s")
    assert max(seconds(mx, LIMIT)) < 1.5  # it keeps up
    wait_until(lambda: not mx.queue_ids("incoming"), 10, "mail taken up")
    with stopped(mx):
        times = seconds(mx, LIMIT + 2)
        assert max(times[:LIMIT]) < 1.5
        assert all(2 <= each < 3.5 for each in times[LIMIT:]), times
    wait_until(lambda: not mx.queue_ids("incoming"), 20, "mail taken up")
    assert max(seconds(mx, LIMIT + 2)) < 1.5


def test_no_delay(instance):
    mx = system(instance, "0")
    with stopped(mx):
        assert max(seconds(mx, 3 * LIMIT)) < 1.5


@pytest.mark.dromos  # its own counters
def test_counters_that_are_wrong_or_gone(instance):
    """What was taken away from incoming/ is not waited for for ever, and a new file is found by both sides."""
    mx = system(instance, "2s")
    seconds(mx, 1)
    wait_until(lambda: not mx.queue_ids("incoming"), 10, "mail taken up")
    with stopped(mx):
        seconds(mx, LIMIT)
        for name in mx.queue_ids("incoming"):
            (mx.queue_directory / "incoming" / name).unlink()
        assert max(seconds(mx, 1)) >= 2
    wait_until(lambda: not mx.queue_ids("incoming"), 20, "mail taken up")
    assert max(seconds(mx, LIMIT)) < 1.5
    (mx.queue_directory / "private" / "in_flow").unlink()
    (pid,) = mx.pids("qmgr")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: mx.pids("qmgr") not in ([], [pid]), 20, "the queue manager to come back")
    assert max(seconds(mx, 3 * LIMIT)) < 1.5
