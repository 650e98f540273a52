# SPDX-License-Identifier: ISC
"""The store is put in order before the system starts: names that do not match inodes, wrong directories, long and short ids,
stray files; with Debian's postsuper on an equal spool where it can be had."""
import os
import shutil
import time

import pytest

from harness import dromos_flavour, postfix_flavour, smtp_send, wait_until
from harness.debian import debian_commands
from harness.queue_file import log_entry, put_queue_file, put_queue_log, queue_file_bytes

pytestmark = [pytest.mark.dromos, pytest.mark.root]

BASE_51 = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxy"
LOGS = ("bounce", "defer", "trace")


def base_51(number):
    text = ""
    while True:
        text = BASE_51[number % 51] + text
        number //= 51
        if number == 0:
            return text


def put_named(system, queue, name, micros="2BBB"):
    """A message under a name that tests choose; "LONG+n" is a long id whose inode is n too large. Logs come with it."""
    path = system.queue_directory / queue / f"tmp.{time.time_ns()}"
    path.write_bytes(queue_file_bytes("s@b.example", ["r@far.example"]))
    path.chmod(0o700)
    os.chown(path, system.accounts.owner_uid, -1)
    if name.startswith("LONG"):
        name = f"4jXVK3{micros}z{base_51(path.stat().st_ino + int(name[4:] or 0))}"
    path = path.rename(path.with_name(name))
    for log in LOGS:
        put_queue_log(system, log, name, log_entry("r@far.example", f"reason in {log}"))
    return path.stat().st_ino, name


def names(system, *queues):
    """{path below the queue directory: inode} of all files."""
    return {str(path.relative_to(system.queue_directory)): path.stat().st_ino
            for paths in system.queue_files(*queues).values() for path in paths}


ALL_QUEUES = ("maildrop", "incoming", "active", "deferred", "hold", *LOGS)


@pytest.fixture(scope="module")
def debian(tmp_path_factory):
    found = debian_commands(tmp_path_factory.mktemp("debian"))
    if found is None:
        pytest.skip("Debian's Postfix commands cannot be had here")
    return postfix_flavour(found.commands.parents[1])


STEPS = [
    ("-s", {}),
    ("-s", {"enable_long_queue_ids": "yes"}),
    ("-S", {"enable_long_queue_ids": "yes"}),
    ("-s", {"enable_long_queue_ids": "yes", "hash_queue_names": "deferred,defer,bounce,incoming,hold,active", "hash_queue_depth": "2"}),
    ("-s", {"hash_queue_names": "defer", "hash_queue_depth": "3"}),
    ("-s -p", {"hash_queue_names": "hold", "hash_queue_depth": "1"}),
]


def test_structure_as_debian(instance, debian):
    """Inodes stand for the files; Debian's leaves trace logs under a half-changed name, so these are looked at elsewhere."""
    ours = instance(start=False)
    theirs = instance(start=False, flavour=debian, main={"maillog_file": ""})
    systems = (theirs, ours)
    inodes = {}
    for system in systems:
        made = [put_named(system, "hold", "AAAAA1234"), put_named(system, "incoming", "LONG", "2BBB"),
                put_named(system, "deferred", "LONG+3", "2BBC"), put_named(system, "active", "ABCDE12345")]
        for number, (inode, _) in enumerate(made):
            inodes[f"{inode:X}"] = f"INODE{number}"
            inodes[base_51(inode)] = f"INODE{number}"
        for path in ("incoming/12345.1", "incoming/1234512345", "maildrop/77777.5"):
            stray = system.queue_directory / path
            stray.write_text("x")
            stray.chmod(0o600)
            os.utime(stray, (1, 1))
            os.chown(stray, system.accounts.owner_uid, -1)
            inodes[f"{stray.stat().st_ino:X}"] = "STRAY"
    for options, main in STEPS:
        results = []
        for system in systems:
            system.main = {**{k: v for k, v in system.main.items() if not k.startswith(("hash_", "enable_long"))}, **main}
            system.write()
            done = system.run("postsuper", *options.split())
            text = [line for line in done.stderr.splitlines() if "stray" not in line and "bogus" not in line]
            files = set()
            for name in names(system, *[queue for queue in ALL_QUEUES if queue != "trace"]):
                for inode, label in inodes.items():
                    if name.endswith(inode):
                        name = name[:-len(inode)] + label
                files.add(name)
            results.append((text, files))
        assert results[1] == results[0], (options, main)


@pytest.mark.parametrize("long_ids", ["yes", "no"])
def test_logs_follow(instance, long_ids):
    system = instance(start=False, main={"enable_long_queue_ids": long_ids})
    inode, old = put_named(system, "deferred", "BBBBB4711")
    system.run("postsuper", "-s")
    new = f"BBBBB{inode:X}"
    assert {name.rsplit("/")[-1] for name in names(system, *ALL_QUEUES)} == {new}
    for log in LOGS:
        (path,) = system.queue_files(log)[log]
        assert f"reason in {log}" in path.read_text()


def test_a_stopped_renaming_goes_on(instance):
    """As Postfix leaves it ("#FIX"), and as ours does: some logs have the new name, the message not yet."""
    system = instance(start=False)
    inode, name = put_named(system, "hold", "CCCCC4711")
    path = system.queue_directory / "hold" / name
    path.rename(path.with_name(f"CCCCC{inode:X}#FIX"))
    for log in ("bounce", "trace"):
        folder = system.queue_directory / log
        (folder / name).rename(folder / f"CCCCC{inode:X}#FIX")
    (system.queue_directory / "defer" / "C" / name).rename(system.queue_directory / "defer" / "C" / f"CCCCC{inode:X}")
    system.run("postsuper", "-s")
    assert set(names(system, *ALL_QUEUES)) == {f"hold/CCCCC{inode:X}", f"bounce/CCCCC{inode:X}", f"trace/CCCCC{inode:X}",
                                               f"defer/C/CCCCC{inode:X}"}
    inode, name = put_named(system, "hold", "DDDDD4711")
    (system.queue_directory / "bounce" / name).rename(system.queue_directory / "bounce" / f"DDDDD{inode:X}")
    system.run("postsuper", "-s")
    assert {path for path in names(system, *ALL_QUEUES) if "DDDDD" in path} == \
        {f"hold/DDDDD{inode:X}", f"bounce/DDDDD{inode:X}", f"trace/DDDDD{inode:X}", f"defer/D/DDDDD{inode:X}"}


def test_nothing_is_overwritten(instance):
    """A name that is taken stays as it is, the other file too, and its logs."""
    system = instance(start=False)
    inode, name = put_named(system, "hold", "EEEEE4711")
    taken = system.queue_directory / "hold" / f"EEEEE{inode:X}"
    taken.mkdir()
    before = names(system, *ALL_QUEUES)
    result = system.run("postsuper", "-s")
    assert "cannot rename hold/EEEEE4711: there is a file of the new name" in result.stderr
    assert names(system, *ALL_QUEUES) == before


def test_a_restored_spool_is_delivered(instance, sink):
    """A backup gives every file another inode, into a layout that has changed meanwhile; `postfix start` sees to it."""
    next_hop = sink()
    system = instance(start=False, main={"relayhost": next_hop.nexthop, "hash_queue_names": "incoming, deferred, defer, hold, bounce",
                                         "hash_queue_depth": "2"})
    for number in range(20):
        queue_id = put_queue_file(system, ("deferred", "incoming", "active")[number % 3],
                                  queue_file_bytes(f"s{number}@b.example", ["r@far.example"]))
        if number % 3 == 0:
            put_queue_log(system, "defer", queue_id, log_entry("r@far.example", "an old reason"))
    held = put_queue_file(system, "hold", queue_file_bytes("held@b.example", ["r@far.example"]))
    put_queue_log(system, "bounce", held, log_entry("other@far.example", "no such user", status="5.1.1", action="failed"))
    copy = system.queue_directory.with_name("restored")
    shutil.copytree(system.queue_directory, copy, copy_function=shutil.copy2)
    for folder, _, files in os.walk(copy):
        for entry in [folder, *(os.path.join(folder, name) for name in files)]:
            original = os.stat(os.path.join(system.queue_directory, os.path.relpath(entry, copy)))
            os.chown(entry, original.st_uid, original.st_gid)
    shutil.rmtree(system.queue_directory)
    copy.rename(system.queue_directory)
    system.run("postfix", "start")
    try:
        next_hop.wait(20, instance=system)
        wait_until(lambda: not system.queue_ids("incoming", "active", "deferred"), 20, lambda: f"delivered: {system.queue_counts()}")
        system.log.wait_for(r"postsuper\[\d+\]: Renamed to match inode number: 21 messages")
        system.log.wait_for("QUEUE FILE NAMES WERE CHANGED TO MATCH INODE NUMBERS")
        (path,) = system.queue_files("hold")["hold"]
        assert path.name == f"{held[:5]}{path.stat().st_ino:X}" and path.parent.parent.parent.name == "hold"
        (log,) = system.queue_files("bounce")["bounce"]
        assert log.name == path.name and not system.queue_files("defer")["defer"]
    finally:
        system.run("postfix", "stop")


def test_quick_start_skips_the_check(instance):
    system = instance(start=False)
    put_named(system, "hold", "AAAAA1234")
    (system.queue_directory / "quick-start").write_text("")
    system.run("postfix", "start")
    system.run("postfix", "stop")
    assert "hold/AAAAA1234" in names(system, "hold")
    system.run("postfix", "start")
    system.run("postfix", "quick-stop")
    assert "hold/AAAAA1234" not in names(system, "hold") and (system.queue_directory / "quick-start").exists()


def test_check_looks_at_the_queue(instance):
    system = instance(start=False, flavour=dromos_flavour())
    queue_id = put_queue_file(system, "hold", queue_file_bytes("s@b.example", ["r@far.example"]))
    os.chown(system.queue_directory / "hold" / queue_id, 0, 0)
    (system.queue_directory / "deferred" / "odd-name").write_text("x")
    result = system.run("postfix", "check")
    assert f"warning: not owned by {system.owner}: {system.queue_directory}/hold/{queue_id}" in result.stderr
    assert "warning: bogus file name: deferred/odd-name" in result.stderr


@pytest.mark.parametrize("before, after", [("no", "yes"), ("yes", "no")])
def test_switching_the_form_of_ids(instance, sink, before, after):
    """Mail queued under ids of one form leaves under the other."""
    next_hop = sink()
    system = instance(main={"relayhost": "[127.0.0.1]:1", "enable_long_queue_ids": before, "minimal_backoff_time": "1000s"})
    for number in range(3):
        smtp_send(system, f"s{number}@b.example", "r@far.example")
    system.wait_queued("deferred", 3)
    wait_until(lambda: not system.queue_ids("incoming", "active"), 10, "an idle queue")
    system.stop()
    system.main.update(relayhost=next_hop.nexthop, enable_long_queue_ids=after)
    system.write()
    system.run("postfix", "start")
    try:
        wait_until(lambda: system.run("postfix", "status", check=False).returncode == 0, 10, "the system")
        system.run("postqueue", "-f")
        next_hop.wait(3, instance=system)
        wait_until(lambda: not system.queue_ids(), 20, lambda: f"an empty queue: {system.queue_counts()}")
        assert not system.queue_files("defer")["defer"]
    finally:
        system.run("postfix", "stop")
