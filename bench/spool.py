#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Fills a queue directory with deferred messages and their defer logs, for measurements of large queues.

    spool.py QUEUE_DIRECTORY COUNT [OWNER]

The messages are not due for a day, and are addressed to a thousand domains.
"""
import os
import pwd
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from harness.queue_file import log_entry, queue_file_bytes  # noqa: E402

DOMAINS = [f"dest{number:05}.example" for number in range(1000)]
HEX = "0123456789ABCDEF"


def _hash_directories(queue_directory, owner):
    for queue in ("deferred", "defer"):
        for digit in HEX:
            folder = Path(queue_directory) / queue / digit
            folder.mkdir(mode=0o700, exist_ok=True)
            os.chown(folder, owner, -1)


def _write(path, content, owner, mode):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    os.write(descriptor, content)
    os.fchown(descriptor, owner, -1)
    inode = os.fstat(descriptor).st_ino
    os.close(descriptor)
    return inode


def _contents(domain, now):
    """A message and its defer log."""
    message = queue_file_bytes("sender@client.example", [f"rcpt@{domain}"], body="Subject: queued\n\n" + "x" * 70 + "\n", arrival=now - 5000)
    return message, log_entry(f"rcpt@{domain}", f"connect to mx.{domain}[192.0.2.1]:25: Connection refused").encode()


def fill(queue_directory, count, owner, domains=DOMAINS, due_in=86400, has_logs=True):
    """count messages to the domains in turn, owned by the account number owner, to be tried again in so many seconds."""
    now = int(time.time())
    contents = [_contents(domain, now) for domain in domains]
    _hash_directories(queue_directory, owner)
    temporary = f"{queue_directory}/deferred/1.{os.getpid()}"
    for number in range(count):
        message, log = contents[number % len(contents)]
        inode = _write(temporary, message, owner, 0o700)
        os.utime(temporary, (now + due_in, now + due_in))
        queue_id = f"{number * 7919 % 1000000:05X}{inode:X}"
        os.rename(temporary, f"{queue_directory}/deferred/{queue_id[0]}/{queue_id}")
        if has_logs:
            _write(f"{queue_directory}/defer/{queue_id[0]}/{queue_id}", log, owner, 0o600)


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    name = sys.argv[3] if len(sys.argv) == 4 else None
    fill(sys.argv[1], int(sys.argv[2]), pwd.getpwnam(name).pw_uid if name else os.getuid())
