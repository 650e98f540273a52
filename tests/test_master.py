# SPDX-License-Identifier: ISC
"""Master and the service skeleton, with a daemon made for the purpose under the names of real ones."""
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import replace

import pytest

from harness import Instance, dromos_flavour
from harness.waiting import wait_until

pytestmark = [pytest.mark.dromos, pytest.mark.sanitize]

ROWS = """
qmgr   unix n - n 300 1 qmgr
smtp   unix - - n -   - smtp
one    unix - n n -   2 local
absent unix - - n -   - absent
"""


class Peer:
    """A connection to a probe: its greeting as a dict, and lines to and fro."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(10)
        self.file = sock.makefile("rwb", buffering=0)
        self.service, self.program, *facts = self.line().split()
        self.facts = {name: int(value) for name, value in (fact.split("=") for fact in facts)}

    def line(self):
        return self.file.readline().decode().strip()

    def say(self, text):
        self.file.write(text.encode() + b"\n")
        return self.line()

    def close(self):
        self.file.close()
        self.sock.close()

    @property
    def pid(self):
        return self.facts["pid"]


class Probes:
    def __init__(self, directory, programs, maxproc="-", user=None, main=None):
        real = dromos_flavour()
        self.daemons = directory / "sbin"
        self.daemons.mkdir()
        shutil.copy(real.daemon_directory / "master", self.daemons / "master")
        for name in programs:
            self.install(name)
        flavour = replace(real, daemon_directory=self.daemons)
        self.instance = Instance(directory, flavour=flavour, standard_rows=ROWS, user=user, main=main)
        os.chmod(self.instance.log.path.parent, 0o1777)  # where sanitizers write, as whatever user
        self.set_limit(maxproc)

    def install(self, name):
        probe = dromos_flavour().daemon_directory.parent / "test" / "probe"
        shutil.copy(probe, self.daemons / name)

    def set_limit(self, maxproc):
        self.instance.inet_row = f"127.0.0.1:{self.instance.port} inet n - n - {maxproc} smtpd"
        self.instance.write()

    def postfix(self, command, check=True):
        return self.instance.run("postfix", command, check=check)

    def inet(self):
        return Peer(socket.create_connection(("127.0.0.1", self.instance.port), 10))

    def unix(self, path):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(10)
        sock.connect(str(self.instance.queue_directory / path))
        return Peer(sock)

    @property
    def log(self):
        return self.instance.log

    def master_pid(self):
        return int((self.instance.queue_directory / "pid" / "master.pid").read_text())

    def reload(self):
        mark = self.log.mark()
        self.postfix("reload")
        self.log.wait_for(r"master.*reload -- version", start=mark)
        self.log.wait_for(r"qmgr.*trigger W", start=mark)


@pytest.fixture
def probes(workdir):
    made = []

    def make(programs=("qmgr", "smtpd", "smtp", "local"), **options):
        one = Probes(workdir / f"p{len(made)}" if made else workdir, programs, **options)
        made.append(one)
        one.postfix("start")
        return one

    yield make
    for one in made:
        one.postfix("stop", check=False)


def test_a_service_starts_when_a_client_comes_and_has_no_root(probes):
    p = probes()
    peer = p.inet()
    assert peer.program == "smtpd"
    assert peer.facts["uid"] != 0
    assert "exec refused" in peer.say("jail")
    assert p.unix("private/smtp").facts["limit"] > 1


def has_landlock():
    return ctypes.CDLL(None).syscall(444, None, 0, 1) >= 2


@pytest.mark.skipif(not has_landlock(), reason="this kernel has no Landlock")
@pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="the sanitizers need files of their own")
def test_what_talks_to_the_network_reaches_its_own_files_only(probes, workdir):
    for name in ("tables", "private"):
        (workdir / name).mkdir()
        os.chmod(workdir / name, 0o755)
        (workdir / name / "file").write_text("x\n")
    p = probes(main={"virtual_alias_maps": f"hash:{workdir}/tables/aliases"})
    peer = p.inet()
    assert peer.say(f"open {workdir}/tables/file") == "opened"
    assert peer.say(f"open {p.instance.config_directory}/main.cf") == "opened"
    assert peer.say(f"open {workdir}/private/file") == "Permission denied"
    assert peer.say("open /tmp") == "Permission denied"


def test_the_queue_manager_is_woken_at_once_and_by_postkick(probes):
    p = probes()
    p.log.wait_for(r"qmgr\[\d+\]: trigger W")
    p.instance.run("postkick", "public", "qmgr", "DI")
    p.log.wait_for(r"trigger D")
    p.log.wait_for(r"trigger I")


def test_a_missing_program_is_reported_once_and_found_at_reload(probes):
    p = probes()
    assert p.log.count("service absent: program .*absent not found: service is skipped") == 1
    with pytest.raises(OSError):
        p.unix("private/absent")
    p.install("absent")
    p.reload()
    assert p.unix("private/absent").program == "absent"


def test_reload_keeps_sessions_and_starts_new_processes(probes):
    p = probes()
    peer = p.inet()
    p.reload()
    assert peer.say("still here") == "still here"
    wait_until(lambda: p.inet().pid != peer.pid, 10, "a session in a new process")
    peer.close()
    wait_until(lambda: ended(peer.pid), 10, "the end of the old process")


def test_sessions_are_limited_spread_and_the_limit_is_logged(probes):
    p = probes(maxproc="4")
    peers = [p.inet() for _ in range(4)]
    assert sum(1 for peer in peers if peer.facts["limit"] in (2, 4)) == 4
    waiting = socket.create_connection(("127.0.0.1", p.instance.port), 10)
    p.log.wait_for(r'warning: service ".*" \(.*\) has reached its process limit "4"')
    waiting.settimeout(0.5)
    with pytest.raises(TimeoutError):
        waiting.recv(1)
    peers[0].close()
    assert Peer(waiting).program == "smtpd"


def test_one_session_per_process_when_asked_for(probes):
    p = probes(main={"smtpd_sessions_per_process": "1"})
    assert len({p.inet().pid for _ in range(3)}) in (1, 2, 3)
    peers = [p.inet() for _ in range(3)]
    assert len({peer.pid for peer in peers}) == 3
    assert {peer.facts["limit"] for peer in peers} == {1}


def test_delivery_agents_hold_one_session(probes):
    p = probes()
    peers = [p.unix("private/one") for _ in range(2)]
    assert len({peer.pid for peer in peers}) == 2
    assert {peer.facts["uid"] for peer in peers} == {os.geteuid()}


@pytest.mark.alone
def test_a_process_that_served_is_replaced_at_once(probes):
    p = probes()
    for end in ("abort", "exit"):
        peer = p.inet()
        peer.say(end)
        assert p.inet().pid != peer.pid
    peer = p.inet()
    os.kill(peer.pid, signal.SIGKILL)
    start = time.monotonic()
    assert p.inet().pid != peer.pid
    assert time.monotonic() - start < 2
    p.log.wait_for(r"warning: process .*smtpd pid \d+ killed by signal 9")
    p.log.wait_for(r"warning: process .*smtpd pid \d+ exit status 3")
    assert p.log.count("throttling") == 0


def test_a_program_that_cannot_start_is_throttled_and_the_rest_goes_on(probes):
    p = probes(main={"service_throttle_time": "2s"})
    (p.instance.config_directory / "broken").touch()
    sock = socket.create_connection(("127.0.0.1", p.instance.port), 10)
    p.log.wait_for(r"smtpd\[\d+\]: fatal: told to fail")
    p.log.wait_for(r"warning: .*smtpd: bad command startup -- throttling")
    time.sleep(0.5)
    assert p.log.count("smtpd: bad command startup") == 1
    (p.instance.config_directory / "broken").unlink()
    assert Peer(sock).program == "smtpd"


def ended(pid):
    """Gone, or waiting to be reaped by whoever inherits orphans."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return ") Z " in stat.read()
    except (FileNotFoundError, ProcessLookupError):  # gone before the open, or before the read
        return True


@pytest.mark.alone
def test_idle_and_used_up_processes_end_by_themselves(probes):
    p = probes(main={"max_idle": "1s", "max_use": "2", "smtpd_sessions_per_process": "1"})
    first = p.inet()
    first.close()
    second = p.inet()
    assert second.pid == first.pid
    second.close()  # the second use is the last
    wait_until(lambda: ended(first.pid), 10, "the end of the used-up process")
    third = p.inet()
    assert third.pid != first.pid
    third.close()
    wait_until(lambda: ended(third.pid), 10, "the end of the idle process")
    assert p.inet().pid != third.pid
    assert p.log.count("warning: process") == 0


def test_a_process_whose_loop_stands_still_is_ended(probes):
    p = probes(main={"daemon_timeout": "2s"})
    peer = p.inet()
    peer.file.write(b"hang\n")
    p.log.wait_for(r"warning: process .*smtpd pid \d+ killed by signal 14")
    assert p.inet().pid != peer.pid


def test_descriptors_are_passed_to_pass_services(probes):
    p = probes()
    p.instance.rows.append("handed pass - - n - - smtpd")
    p.instance.write()
    p.reload()
    ours, theirs = socket.socketpair()
    field = b"\x04verb" + (4).to_bytes(4, "little") + b"pass"
    frame = b"\xd7\x81" + (1).to_bytes(2, "little") + len(field).to_bytes(4, "little") + bytes(4) + field
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(p.instance.queue_directory / "private" / "handed"))
        socket.send_fds(sock, [frame], [theirs.fileno()])
        theirs.close()
        assert Peer(ours).service == "handed"


def test_triggers_through_a_fifo(probes):
    p = probes()
    p.postfix("stop")
    p.instance.standard_rows = ROWS.replace("qmgr   unix", "qmgr   fifo")
    p.instance.write()
    mark = p.log.mark()
    p.postfix("start")
    p.log.wait_for(r"qmgr\[\d+\]: trigger W", start=mark)
    p.instance.run("postkick", "public", "qmgr", "F")
    p.log.wait_for(r"qmgr\[\d+\]: trigger F", start=mark)


def test_the_service_manager_is_told(probes, workdir):
    p = probes()
    p.postfix("stop")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(workdir / "notify"))
        manager.settimeout(10)
        p.instance.environment["NOTIFY_SOCKET"] = str(workdir / "notify")
        p.postfix("start")
        assert manager.recv(200) == b"READY=1"
        p.postfix("reload")
        assert manager.recv(200).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(200) == b"READY=1"
        p.postfix("stop")
        assert manager.recv(200) == b"STOPPING=1"


def test_only_one_master_and_states_are_told(probes):
    p = probes()
    assert "is running: PID" in p.postfix("status").stderr
    again = p.postfix("start", check=False)
    assert again.returncode == 1 and "already running" in again.stderr
    p.postfix("stop")
    assert p.postfix("status", check=False).returncode == 1
    again = p.postfix("stop", check=False)
    assert again.returncode == 1 and "not running" in again.stderr


def test_after_the_death_of_master_a_new_one_takes_over(probes):
    p = probes()
    peer = p.inet()
    os.kill(p.master_pid(), signal.SIGKILL)
    assert peer.say("still here") == "still here"
    p.postfix("start")
    wait_until(lambda: p.inet().pid != peer.pid, 10, "a session in a new process")
    assert peer.say("still here") == "still here"


def test_a_bad_row_stops_the_start_and_not_a_reload(probes):
    p = probes()
    p.instance.inet_row = "nonsense"
    p.instance.write()
    mark = p.log.mark()
    p.postfix("reload")
    p.log.wait_for(r"master.*error: reload: .*master.cf", start=mark)
    assert p.inet().program == "smtpd"
    p.postfix("stop")
    assert p.postfix("start", check=False).returncode == 1


def test_start_fg_logs_to_standard_output(probes, workdir):
    p = probes()
    p.postfix("stop")
    p.instance.set(reload=False, maillog_file="/dev/stdout", maillog_file_prefixes="/dev/stdout")
    process = subprocess.Popen([str(p.instance.program("postfix")), "start-fg"], env=p.instance.env(), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        assert p.instance and any("qmgr" in process.stdout.readline() for _ in range(20))
    finally:
        process.terminate()
        assert process.wait(10) == 0
        process.stdout.close()


@pytest.mark.root
def test_rootless(probes, workdir):
    os.chmod(workdir, 0o777)
    p = probes(user="dromos-test")
    import pwd
    uid = pwd.getpwnam("dromos-test").pw_uid
    assert p.inet().facts["uid"] == uid
    assert p.unix("private/one").facts["uid"] == uid
