# SPDX-License-Identifier: ISC
"""How long the commands take that list and handle a full queue."""
import os
import select
import subprocess
import time

import spool

COMMAND_TIMEOUT = 300


def _run(suite, command, *arguments):
    """Seconds that one command takes. (subprocess's own waiting with a time-out looks every 50 ms only.)"""
    instance = suite.instance
    start = time.monotonic()
    # Postfix's postsuper cannot write maillog_file, and says so with its exit status when all is done.
    with subprocess.Popen([str(instance.program(command)), *arguments], env=instance.env(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        ended = os.pidfd_open(process.pid)
        is_in_time = select.select([ended], [], [], COMMAND_TIMEOUT)[0]
        elapsed = time.monotonic() - start
        os.close(ended)
        if not is_in_time:
            process.kill()
            raise RuntimeError(f"{suite.name}: {command} took more than {COMMAND_TIMEOUT} s")
    return elapsed


def _expect(suite, queue, count):
    found = len(suite.instance.queue_ids(queue))
    if found != count:
        raise RuntimeError(f"{suite.name}: {found} messages in {queue}, not {count}")


def _fill(suite, count):
    instance = suite.instance
    if len(instance.queue_ids("deferred")) != count:
        _run(suite, "postsuper", "-d", "ALL")
        spool.fill(instance.queue_directory, count, instance.accounts.owner_uid)
    _expect(suite, "deferred", count)


def listing(suite, count, option):
    _fill(suite, count)
    return _run(suite, "postqueue", option)


def hold(suite, count):
    _fill(suite, count)
    elapsed = _run(suite, "postsuper", "-h", "ALL")
    _expect(suite, "hold", count)
    _run(suite, "postsuper", "-H", "ALL")
    return elapsed


def release(suite, count):
    _fill(suite, count)
    _run(suite, "postsuper", "-h", "ALL")
    elapsed = _run(suite, "postsuper", "-H", "ALL")
    _expect(suite, "deferred", count)
    return elapsed


def delete(suite, count):
    _fill(suite, count)
    elapsed = _run(suite, "postsuper", "-d", "ALL")
    _expect(suite, "deferred", 0)
    return elapsed


def until_first_line(suite):
    """Seconds until postqueue -p has printed something. The rest of the listing is not waited for."""
    start = time.monotonic()
    with subprocess.Popen([str(suite.instance.program("postqueue")), "-p"], env=suite.instance.env(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdout.readline()
        elapsed = time.monotonic() - start
        process.kill()
    return elapsed


def first_line(suite, count):
    _fill(suite, count)
    return until_first_line(suite)
