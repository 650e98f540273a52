# SPDX-License-Identifier: ISC
"""postqueue, postsuper and postcat: side by side with Debian's on equal spools, and the criteria that only ours has."""
import fcntl
import json
import os
import re
import shlex
import subprocess
import time

import pytest

from harness import Sink, dromos_flavour, postfix_flavour, wait_until
from harness.debian import debian_commands
from harness.queue_file import log_entry, put_queue_file, put_queue_log, queue_file_bytes, record

pytestmark = [pytest.mark.dromos, pytest.mark.root]

NOW = int(time.time())


def fill(system):
    """A spool with some of everything. Returns {name: queue id}."""
    def put(queue, sender, recipients, age, **options):
        return put_queue_file(system, queue, queue_file_bytes(sender, recipients, arrival=NOW - age), **options)

    submission = b"".join([record("T", f"{NOW - 20} 5"), record("A", "rewrite_context=local"), record("F", "Joe"),
                           record("S", "joe"), record("R", "me@x.example"), record("M", ""), record("N", "Subject: x"),
                           record("N", ""), record("N", "hi"), record("X", ""), record("R", "hdr@x.example"),
                           record("E", "")])
    ids = {
        "plain": put("deferred", "a@b.example", ["u@far.example", "v@far.example", "w@near.example"], 4000,
                     mtime=NOW + 5000),
        "null": put("deferred", "", ["\"odd user\"@far.example", "space user@x.example"], 100000, mtime=NOW + 5000),
        "held": put("hold", "held@b.example", ["y@far.example"], 5, mtime=NOW + 5000),
        "expired": put("hold", "exp@b.example", ["x@far.example"], 50, mode=0o710),
        "active": put("active", "act@b.example", ["act@far.example", "al@far.example"], 7),
        "incoming": put("incoming", "inc@b.example", ["i@far.example"], 0),
        "garbage": put_queue_file(system, "incoming", b"garbage garbage"),
        "dropped": put_queue_file(system, "maildrop", submission, mode=0o744),
        "dropped2": put_queue_file(system, "maildrop", submission, mode=0o744),
    }
    put_queue_log(system, "defer", ids["plain"],
                  log_entry("u@far.example", "connect refused") + log_entry("v@far.example", "connect refused") +
                  log_entry("w@near.example", "other reason " + "long " * 30, status="4.2.2"))
    return ids


# ---- Side by side

@pytest.fixture(scope="module")
def debian(tmp_path_factory):
    found = debian_commands(tmp_path_factory.mktemp("debian"))
    if found is None:
        pytest.skip("Debian's Postfix commands cannot be had here")
    return postfix_flavour(found.commands.parents[1])


def outcome(system, ids, command, arguments, input=None):
    """Status and output, with the ids' names in the place of the ids."""
    for name, queue_id in ids.items():
        arguments = [argument.replace("{" + name + "}", queue_id) for argument in arguments]
        input = input and input.replace("{" + name + "}", queue_id)
    result = system.run(command, *arguments, check=False, input=input)
    text = f"{result.returncode}\n{result.stdout}\n{result.stderr}"
    for name, queue_id in ids.items():
        text = text.replace(queue_id, name.upper())
    text = re.sub(r"\b(deferred|defer)/\w/", r"\1/x/", text)
    text = re.sub(r"/\S+/(post\w+)(?=[: ])", r"\1", text)
    return text.replace(str(system.queue_directory), "SPOOL")


def spool(system, ids):
    """Where each file is, with its mode, and whether it waits for a later time."""
    found = set()
    for paths in system.queue_files("maildrop", "incoming", "active", "deferred", "hold", "defer", "bounce").values():
        for path in paths:
            status = path.stat()
            name = {queue_id: name for name, queue_id in ids.items()}.get(path.name, path.name)
            queue = path.relative_to(system.queue_directory).parts[0]
            found.add(f"{queue} {name} {status.st_mode & 0o777:o} {status.st_mtime > time.time() + 100}")
    return found


READING = [
    "postqueue -p", "postqueue -j", "postqueue -x", "postqueue", "postqueue -p extra", "postqueue -p -j",
    "postqueue -i ../x", "postqueue -s far.example", "postqueue -s x..y",
    "postcat -q {plain}", "postcat -q {null} {held}", "postcat -bq {plain}", "postcat -hq {plain}",
    "postcat -eq {plain}", "postcat -beq {plain}", "postcat -oq {plain}", "postcat -dq {plain}",
    "postcat -odq {active}", "postcat -rq {plain}", "postcat -ohq {plain}", "postcat -q nosuch123", "postcat -q bad/x",
    "postcat /nonexistent/file", "postcat -q {garbage}", "postcat -q {dropped}", "postcat -q {expired}",
]


def test_reading_as_debian(instance, debian, workdir):
    ours = instance(start=False)
    theirs = instance(start=False, flavour=debian, queue_directory=ours.queue_directory)
    ids = fill(ours)
    for line in READING:
        command, *arguments = line.split()
        wanted = outcome(theirs, ids, command, arguments)
        got = outcome(ours, ids, command, arguments)
        if line == "postqueue -j":  # newer Postfix, like ours, tells the original address, too
            got = re.sub(r'"orig_address": ".*?(?<!\\)", ', "", got)
        assert got == wanted, line


CHANGING = [
    ["-d {null}", "-d {null}", "-d NOTTHERE12", "-d bad/id", "-d {dropped}", "-h {dropped2}", "-r {dropped2}"],
    ["-h {plain} -H {held}", "-e {plain}", "-e {plain}", "-f {plain}", "-f {held}", "-f {expired}", "-e {active}"],
    ["-h ALL", "-h ALL", "-f ALL", "-H ALL", "-e ALL", "-h ALL hold", "-h ALL deferred", "-d ALL deferred", "-d ALL"],
    ["-H {held} deferred", "-H {held} hold", "-d {held} deferred hold", "-d ALL nosuch", "-d ALL corrupt", "-d ALL -",
     "-d ALL incoming", "-d", "-s active", "-p maildrop", "-h ALL -d ALL hold"],
    ["-h {null} -h {plain} -d {plain} -e {null}", "-d - < {held}\nbad id\n\n{active}\n", "-h - -d - < {null}\n",
     "-h - < ALL\n", "-f ALL -H ALL -h ALL -d ALL"],
]


@pytest.mark.parametrize("steps", CHANGING, ids=range(len(CHANGING)))
def test_changing_as_debian(instance, debian, steps):
    ours = instance(start=False)
    theirs = instance(start=False, flavour=debian, main={"maillog_file": ""})  # one that mail_owner cannot write
    systems = [(theirs, fill(theirs)), (ours, fill(ours))]
    for step in steps:
        options, _, input = step.partition(" < ")
        results = []
        for system, ids in systems:
            text = outcome(system, ids, "postsuper", options.split(), input or None)
            lines = [line for line in text.splitlines() if "fatal: usage" not in line]
            results.append((lines, spool(system, ids)))
        assert results[1][0] == results[0][0], step
        assert results[1][1] ^ results[0][1] == set(), step


def test_requeue_as_debian(instance, debian):
    """But for the time, which becomes now, so that pickup need not correct it."""
    ours = instance(start=False)
    theirs = instance(start=False, flavour=debian, main={"maillog_file": ""})
    results = []
    for system in (theirs, ours):
        ids = fill(system)
        text = outcome(system, ids, "postsuper", ["-r", "{plain}", "-r", "{active}", "-r", "ALL"])
        results.append((text, {line.rsplit(" ", 1)[0] for line in spool(system, ids)}))
    assert results[1] == results[0]


# ---- Criteria

@pytest.fixture
def filled(instance):
    system = instance(start=False)
    return system, fill(system)


def chosen(system, ids, *criteria):
    """The names of the messages that a listing with these criteria shows."""
    names = {queue_id: name for name, queue_id in ids.items()}
    lines = system.run("postqueue", "-j", *criteria).stdout.splitlines()
    return {names[json.loads(line)["queue_id"]] for line in lines}


def test_criteria_choose(filled):
    system, ids = filled
    readable = set(ids) - {"garbage"}
    assert chosen(system, ids) == readable
    assert chosen(system, ids, "--from", "A@b.example") == {"plain"}
    assert chosen(system, ids, "--from", "@b.example") == {"plain", "held", "expired", "active", "incoming"}
    assert chosen(system, ids, "--from", "<>") == {"null"}
    assert chosen(system, ids, "--to", "al@*") == {"active"}
    assert chosen(system, ids, "--to-domain", "near.example") == {"plain"}
    assert chosen(system, ids, "--age", ">1d") == {"null"}
    assert chosen(system, ids, "--age", ">1d", "--age", ">1h") == {"plain", "null"}
    assert chosen(system, ids, "--status", "4.2.*") == {"plain"}
    assert chosen(system, ids, "--reason", "REFUSED") == {"plain"}
    assert chosen(system, ids, "--reason", "refused", "--to-domain", "near.example") == set()
    assert chosen(system, ids, "--queue", "hold,incoming") == {"held", "expired", "incoming"}
    assert chosen(system, ids, "--size", ">1M") == set()
    assert system.run("postqueue", "-p", "--size", ">1M").stdout == "Mail queue is empty\n"
    shown = system.run("postqueue", "--from", "a@b.example").stdout
    assert ids["plain"] in shown and shown.endswith("in 1 Request.\n") and "w@near.example" in shown
    assert system.run("postqueue", "--count", "--queue", "hold").stdout == "2\n"
    for bad in (["--age", "soon"], ["--queue", "attic"], ["--size", ">1h"], ["--colour", "red"], ["-i", "ABCDEF1", "--count"],
                ["--top", "secrets"], ["-f", "--top", "senders"]):
        assert system.run("postqueue", *bad, check=False).returncode == 69, bad


def test_actions_on_what_is_chosen(filled):
    system, ids = filled
    before = spool(system, ids)
    result = system.run("postsuper", "-h", "ALL", "--to-domain", "far.example", "--dry-run")
    assert sorted(result.stdout.splitlines()) == \
        sorted(f"{ids[name]}: would be placed on hold" for name in ("plain", "null", "active", "incoming"))
    assert system.run("postsuper", "-d", "ALL", "--from", "*@b.example", "--count").stdout == "5\n"
    assert spool(system, ids) == before
    result = system.run("postsuper", "-d", "ALL", "--reason", "refused")
    assert result.stderr == f"postsuper: {ids['plain']}: removed\npostsuper: Deleted: 1 message\n"
    result = system.run("postsuper", "-d", "-", "--age", ">1d", input=f"{ids['null']}\n{ids['held']}\n")
    assert result.stderr == f"postsuper: {ids['null']}: removed\npostsuper: Deleted: 1 message\n"
    assert {line.split()[1] for line in spool(system, ids)} == set(ids) - {"plain", "null"}
    for bad in (["--from", "x"], ["-s", "--from", "x"], ["-d", "ALL", "--age", "x"]):
        assert system.run("postsuper", *bad, check=False).returncode == 1, bad
    assert "Released from hold: 1 message" in \
        system.run("postsuper", "-H", "ALL", "--queue", "hold", "--from", "held@*").stderr


def test_flush_of_what_is_chosen(instance):
    near, far = Sink(), Sink()
    system = instance(start=False, main={"relayhost": far.nexthop, "queue_run_delay": "1000s"})
    system.main["transport_maps"] = system.table("transport", f"near.example smtp:{near.nexthop}\n")
    system.write()
    for recipient in ("a@near.example", "b@near.example", "c@far.example"):
        put_queue_file(system, "deferred", queue_file_bytes("s@b.example", [recipient]), mtime=NOW + 5000)
    system.start()
    try:
        assert system.run("postqueue", "-f", "--to-domain", "near.example", "--count").stdout == "2\n"
        assert len(system.run("postqueue", "-f", "--to-domain", "near.example", "--dry-run").stdout.split()) == 2
        time.sleep(0.5)
        assert near.count == far.count == 0
        system.run("postqueue", "-f", "--to-domain", "near.example")
        near.wait(2, instance=system)
        wait_until(lambda: len(system.queue_ids("deferred")) == 1, 10, "one message left")
        assert far.count == 0
    finally:
        near.close()
        far.close()


def test_top(filled):
    system, ids = filled
    lines = system.run("postqueue", "--top", "destinations").stdout.splitlines()
    assert lines[0].split() == ["messages", "recipients", "oldest", "destination"]
    assert lines[1].split() == ["6", "8", "27h", "far.example"] and len(lines) == 4
    groups = [json.loads(line) for line in system.run("postqueue", "--top", "reasons", "-j").stdout.splitlines()]
    assert {"connect refused": (1, 2), "(none recorded)": (7, 11)}.items() <= \
        {group["reason"]: (group["messages"], group["recipients"]) for group in groups}.items()
    shown = system.run("postqueue", "--top", "senders", "--limit", "1", "--queue", "deferred,hold").stdout
    assert shown.count("\n") == 3 and shown.endswith("(3 more)\n")


def test_listing_into_a_pipe_that_ends(instance):
    """No complaint when the reader has seen enough."""
    system = instance(start=False)
    for number in range(1500):
        put_queue_file(system, "deferred", queue_file_bytes(f"s{number}@b.example", ["r@far.example"] * 3))
    system.start()
    done = subprocess.run(["bash", "-c", f"{system.program('postqueue')} -p | head -1"], env=system.env(), timeout=60,
                          capture_output=True, text=True, check=False)
    assert done.stdout.startswith("-Queue ID-") and done.stderr == ""


@pytest.fixture
def long_queue(instance):
    """More than fits into the pipes between showq and a reader that stands still."""
    system = instance(start=False)
    for number in range(4000):
        put_queue_file(system, "deferred", queue_file_bytes(f"s{number}@b.example", ["r@far.example"] * 3),
                       mtime=time.time() + 900)
    system.start()
    return system


def listing(system, **options):
    return subprocess.Popen([system.program("postqueue"), "-p"], env=system.env(), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, **options)


def test_progress_on_a_terminal(long_queue):
    """How many messages have come, on one line that is cleared in the end."""
    terminal, stderr = os.openpty()
    with listing(long_queue, stderr=stderr) as process, open(terminal, "rb", buffering=0) as screen:
        os.close(stderr)
        time.sleep(0.6)
        assert process.stdout.read().endswith(b" in 4000 Requests.\n")
        assert process.wait(20) == 0
        shown = screen.read(10000)
    assert re.fullmatch(rb"(\r\d+ messages)+\r\x1b\[K", shown), shown


def test_service_lists_what_the_files_say(instance):
    """The same through the service, whose jobs read ahead, as straight from the files: order too, and lists longer than a frame."""
    system = instance(start=False)
    later = time.time() + 900
    for number in range(500):
        put_queue_file(system, "deferred", queue_file_bytes(f"s{number}@b.example", ["r@far.example"]), mtime=later)
        if number % 100 == 0:
            many = [f"recipient{i}@far.example" for i in range(number * 50)]
            put_queue_file(system, "hold", queue_file_bytes("many@b.example", many or ["one@far.example"]), mtime=later)
    direct = system.run("postqueue", "-j")
    assert direct.stdout.count('"address": "recipient19999@') == 1
    system.start()
    assert system.run("postqueue", "-j").stdout == direct.stdout


@pytest.mark.alone
def test_listings_side_by_side(long_queue):
    """Three long listings under way do not keep a fourth waiting, and lose nothing."""
    others = [listing(long_queue, stderr=subprocess.PIPE) for _ in range(3)]
    try:
        time.sleep(0.3)
        start = time.monotonic()
        with listing(long_queue, stderr=subprocess.PIPE) as fourth:
            assert fourth.stdout.readline().startswith(b"-Queue ID-")
            assert fourth.stdout.readline() and time.monotonic() - start < 1
            assert all(process.poll() is None for process in others)
            assert fourth.stdout.read().endswith(b" in 4000 Requests.\n")
        assert all(process.poll() is None for process in others)
        for process in others:
            output, errors = process.communicate(timeout=30)
            assert output.endswith(b" in 4000 Requests.\n") and output.count(b"r@far.example") == 12000
            assert (process.returncode, errors) == (0, b"")
    finally:
        for process in others:
            if process.poll() is None:
                process.kill()
                process.wait()


def test_without_rights(instance):
    system = instance(start=False, flavour=dromos_flavour())
    result = system.run("postsuper", "-d", "ALL", check=False, user=system.person)
    assert result.returncode == 1 and "use of this command is reserved for the superuser" in result.stderr


# ---- qshape

def fill_shapes(system):
    """Mail to domains of several levels, of several ages. A burst to one with a very long name."""
    domains = [["a.example"], ["b.example", "sub.b.example"], ["x.sub.b.example", "a.example", "a.example"], ["Aa.TEST"]]
    for number in range(24):
        age = (10, 200, 400, 1500, 9000, 100000)[number % 6]
        recipients = [f"u{i}@{domain}" for i, domain in enumerate(domains[number % 4])]
        put_queue_file(system, ("deferred", "incoming", "hold")[number % 3],
                       queue_file_bytes(("s@from.example", "", "t@other.example")[number % 3], recipients, arrival=NOW - age))
    put_queue_file(system, "deferred", queue_file_bytes("a@x.example", [f"u{i}@{'a' * 50}.example" for i in range(1200)]))
    for number in range(9):
        put_queue_file(system, "deferred", queue_file_bytes("a@x.example", [f"u@s{number}.corp.test"], arrival=NOW - 200 * number))


SHAPES = ["", "deferred", "-s deferred hold", "-p deferred", "-b 3 -t 10 deferred", "-l deferred", "-w 20 deferred",
          "-w 100 -p -m 2 deferred", "-n 2 -N 5 deferred", "maildrop", "-b 15 deferred", "-b 1 hold", "-b 0 -t 0 deferred",
          "-l -b 4 -t 60 -p deferred hold incoming", "-b 20 -w 150 deferred"]


def test_qshape_as_debian(instance, debian, workdir):
    """Lines are sorted: Debian's leaves the order of equal rows open."""
    script = debian.command_directory / "qshape"
    system = instance(start=False)
    fill_shapes(system)
    environment = {**system.env(), **debian.environment, "PATH": f"{debian.command_directory}:/usr/bin:/bin"}
    for options in SHAPES:
        wanted = subprocess.run(["perl", script, *options.split()], env=environment, capture_output=True, text=True, timeout=60,
                                check=False)
        got = system.run("qshape", *options.split())
        assert sorted(got.stdout.splitlines()) == sorted(wanted.stdout.splitlines()), options
        assert wanted.returncode == 0 and got.stdout.splitlines()[1].split()[0] == "TOTAL"


def test_qshape_draws_on_a_terminal(instance):
    system = instance(start=False)
    fill_shapes(system)
    shown = subprocess.run(["script", "-qec", f"{system.program('qshape')} deferred", "/dev/null"], env=system.env(),
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True).stdout
    assert re.search(r"< +5 min \|#{40} 1\d{3}", shown) and re.search(r"1280\+ min \|#? ?\d+", shown)


# ---- postkick and postlock

LOCKING = ["postkick", "postkick public qmgr", "postkick public qmgr D", "postkick private nosuch X", "postkick -z", "postlock",
           "postlock BOX", "postlock BOX true", "postlock BOX false", "postlock BOX sh -c 'exit 9'", "postlock BOX /nonexistent",
           "postlock -l fcntl BOX true", "postlock -l dotlock BOX true", "postlock -z", "postlock BOX sh -c 'kill -9 $$'"]
LOCKING_STATUS = ["postlock -l bogus BOX true", "postlock /nonexistent/x true", "postlock FOLDER true", "postlock HELD true",
                  "postkick public ../x D", "postkick elsewhere qmgr D"]


def test_small_commands_as_debian(instance, debian, workdir):
    limits = {"deliver_lock_attempts": "2", "deliver_lock_delay": "1s"}
    ours = instance(start=False, main=limits)
    theirs = instance(start=False, flavour=debian, main={**limits, "maillog_file": ""})
    for name in ("box", "held"):
        (workdir / name).write_text("")
    with open(workdir / "held", "r+", encoding="ascii") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        for line in LOCKING + LOCKING_STATUS:
            words = [word.replace("BOX", str(workdir / "box")).replace("HELD", str(workdir / "held"))
                     .replace("FOLDER", str(workdir)) for word in shlex.split(line)]
            wanted, got = (outcome(system, {}, words[0], words[1:]) for system in (theirs, ours))
            if line in LOCKING_STATUS:  # said in other words
                wanted, got = wanted.split("\n", 1)[0], got.split("\n", 1)[0]
            assert got == wanted, line
