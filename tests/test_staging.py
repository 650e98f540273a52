# SPDX-License-Identifier: ISC
"""Queue files that are begun in staging/: made where the file system gains by it, used where it is, and swept."""
import os
import time

import pytest

from harness import smtp_send, wait_until

pytestmark = [pytest.mark.dromos]

DIRS = [f"{i:02x}" for i in range(64)]


def has_no_journal(path):
    """An ext4 without a journal, as far as /sys tells."""
    device = os.stat(path).st_dev
    name = os.path.basename(os.path.realpath(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"))
    try:
        with open(f"/sys/fs/ext4/{name}/journal_task", encoding="ascii") as task:
            return task.read().startswith("<")
    except OSError:
        return False


def make_staging(system):
    staging = system.queue_directory / "staging"
    staging.mkdir(exist_ok=True)
    for name in DIRS:
        (staging / name).mkdir(mode=0o700, exist_ok=True)
        os.chown(staging / name, system.accounts.owner_uid, -1)
    return staging


def test_made_where_it_is_of_use(instance):
    system = instance(start=False)
    result = system.run("postfix", "check")
    staging = system.queue_directory / "staging"
    assert staging.exists() == has_no_journal(system.queue_directory), result.stderr
    if staging.exists():
        assert sorted(path.name for path in staging.iterdir()) == DIRS
        assert {path.stat().st_uid for path in staging.iterdir()} == {system.accounts.owner_uid}
        assert staging.stat().st_uid == os.geteuid()  # mail_owner can put nothing in the place of a directory


def test_mail_passes_through_it(instance, sink):
    next_hop = sink()
    system = instance(start=False, main={"relayhost": f"[127.0.0.1]:{next_hop.port}"})
    staging = make_staging(system)
    used = set()
    system.start()
    for number in range(5):
        before = {name: (staging / name).stat().st_mtime_ns for name in DIRS}
        smtp_send(system.port, "from@client.example", ["to@sink.example"], f"Subject: {number}\r\n\r\nbody\r\n")
        used |= {name for name in DIRS if (staging / name).stat().st_mtime_ns != before[name]}
    wait_until(lambda: len(next_hop.messages) == 5, 10, "five messages")
    assert len(used) > 1  # by time
    assert not any(os.listdir(staging / name) for name in DIRS)
    system.wait_queue_empty()


@pytest.mark.root
def test_what_was_left_there_is_swept(instance):
    system = instance(start=False)
    staging = make_staging(system)
    for name, age in (("05/1.2", 8 * 86400), ("3f/3.4", 60)):
        (staging / name).write_text("x")
        (staging / name).chmod(0o600)
        os.utime(staging / name, (time.time() - age,) * 2)
    result = system.run("postsuper", "-p")
    assert "removed stray file staging/05/1.2" in result.stderr
    assert not (staging / "05/1.2").exists() and (staging / "3f/3.4").exists()
    assert "bogus" not in result.stderr
