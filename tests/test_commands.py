# SPDX-License-Identifier: ISC
"""The administrator's commands: postfix, postconf, postmap, postlog, postlock, postkick."""
import os
import re
import shutil
import subprocess
import time

import pytest

from harness import dromos_flavour, is_listening, smtp_send, wait_until

pytestmark = pytest.mark.dromos  # an unpacked Debian package lacks the installed files that its scripts want


@pytest.fixture
def stopped(instance):
    return instance(start=False)


def master_pid(system):
    return int((system.queue_directory / "pid" / "master.pid").read_text().strip())


def test_start_status_reload_stop(stopped):
    system = stopped
    assert system.run("postfix", "status", check=False).returncode == 1
    system.run("postfix", "start")
    try:
        wait_until(lambda: is_listening(system.port), 10, "the listener")
        pid = master_pid(system)
        assert len((system.queue_directory / "pid" / "master.pid").read_bytes()) == 33
        result = system.run("postfix", "status")
        assert f"the Postfix mail system is running: PID: {pid}" in result.stderr
        again = system.run("postfix", "start", check=False)
        assert again.returncode == 1 and "already running" in again.stderr
        system.run("postfix", "reload")
        system.log.wait_for(r"master\[\d+\]: reload -- version \S+, configuration ")
        smtp_send(system, "a@b.example", f"{system.person}@test.example")
        system.log.wait_for("status=sent")
    finally:
        system.run("postfix", "stop", check=False)
    wait_until(lambda: not is_listening(system.port), 10, "the listener to go")
    assert system.run("postfix", "status", check=False).returncode == 1
    assert system.run("postfix", "stop", check=False).returncode == 1
    for line in (r"postfix-script\[\d+\]: starting the Postfix mail system$",
                 r"master\[\d+\]: daemon started -- version \S+, configuration ",
                 r"postfix-script\[\d+\]: stopping the Postfix mail system$", r"terminating on signal 15$"):
        system.log.wait_for(line)


def test_start_in_foreground(stopped):
    system = stopped
    child = subprocess.Popen([system.program("postfix"), "start-fg"], env=system.env(), stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until(lambda: is_listening(system.port), 10, "the listener")
        assert child.poll() is None
    finally:
        child.terminate()
        child.wait(15)
    wait_until(lambda: not is_listening(system.port), 10, "the listener to go")


def test_check_makes_missing_directories(stopped):
    system = stopped
    (system.queue_directory / "hold").rmdir()
    system.run("postfix", "check")
    assert (system.queue_directory / "hold").stat().st_mode & 0o777 == 0o700


def test_unknown_command(stopped):
    result = stopped.run("postfix", "dance", check=False)
    assert result.returncode == 1 and "dance" in result.stderr


def test_flush(stopped):
    system = stopped
    system.start()
    system.run("postfix", "flush")


def test_postconf_prints_what_is_set(stopped):
    system = stopped
    lines = system.run("postconf", "-n").stdout.splitlines()
    assert "myhostname = mx.test.example" in lines and lines == sorted(lines)
    assert system.run("postconf", "-h", "mydomain").stdout == "test.example\n"
    assert system.run("postconf", "-d", "queue_run_delay").stdout == "queue_run_delay = 300s\n"
    assert system.run("postconf", "mydestination").stdout == \
        "mydestination = $myhostname, test.example, localhost\n"
    assert system.run("postconf", "-x", "mydestination").stdout == \
        "mydestination = mx.test.example, test.example, localhost\n"
    everything = system.run("postconf").stdout.splitlines()
    assert len(everything) > 800 and "smtpd_timeout = ${stress?{10}:{300}}s" in everything


def test_postconf_edits(stopped):
    system = stopped
    system.run("postconf", "-e", "relayhost = [192.0.2.1]", "message_size_limit=1234567")
    assert system.run("postconf", "-h", "relayhost", "message_size_limit").stdout == "[192.0.2.1]\n1234567\n"
    text = (system.config_directory / "main.cf").read_text()
    assert text.count("relayhost") == 1
    system.run("postconf", "-X", "message_size_limit")
    assert system.run("postconf", "-h", "message_size_limit").stdout == "10240000\n"


def test_postconf_warns_about_what_nobody_reads(stopped):
    system = stopped
    system.set(reload=False, no_such_parameter="1")
    result = system.run("postconf", "-n")
    assert re.search(r"warning: \S+main\.cf: unused parameter: no_such_parameter=1", result.stderr)


@pytest.mark.parametrize("kind", ["hash", "lmdb", "btree"])
def test_postmap_builds_and_answers(stopped, kind):
    system = stopped
    path = system.file("table", "# comment\nUpper.Example one two\n  continued\nuser@x.example  target\n")
    system.run("postmap", f"{kind}:{path}")
    assert system.run("postmap", "-q", "upper.example", f"{kind}:{path}").stdout == "one two  continued\n"
    assert system.run("postmap", "-q", "nothing", f"{kind}:{path}", check=False).returncode == 1
    listed = sorted(system.run("postmap", "-s", f"{kind}:{path}").stdout.splitlines())
    assert listed == ["upper.example\tone two  continued", "user@x.example\ttarget"]


@pytest.mark.parametrize("table, key, value", [
    ("inline:{ a=1, {b = two words} }", "b", "two words"),
    ("static:same", "anything", "same"),
    ("static:{some words}", "anything", "some words"),
])
def test_tables_without_files(stopped, table, key, value):
    assert stopped.run("postmap", "-q", key, table).stdout == value + "\n"


def test_cidr_and_texthash(stopped):
    system = stopped
    cidr = system.file("cidr", "192.0.2.0/24 net\n!198.51.100.0/24 other\n2001:db8::/32 six\n")
    assert system.run("postmap", "-q", "192.0.2.77", f"cidr:{cidr}").stdout == "net\n"
    assert system.run("postmap", "-q", "2001:db8::1", f"cidr:{cidr}").stdout == "six\n"
    text = system.file("text", "key  value here\n")
    assert system.run("postmap", "-q", "KEY", f"texthash:{text}").stdout == "value here\n"


def test_changed_table_is_seen_without_a_reload(instance, sink):
    """An administrator edits the text and runs postmap; running daemons follow."""
    first, second = sink(), sink()
    system = instance(start=False)
    path = system.file("transport", f"far.example smtp:{first.nexthop}\n")
    system.run("postmap", f"hash:{path}")
    system.main["transport_maps"] = f"hash:{path}"
    system.write()
    system.start()
    smtp_send(system, "a@b.example", "u@far.example")
    first.wait(1, instance=system)
    time.sleep(1.1)
    path.write_text(f"far.example smtp:{second.nexthop}\n")
    system.run("postmap", f"hash:{path}")

    def arrives():
        smtp_send(system, "a@b.example", "u@far.example")
        return second.count
    wait_until(arrives, 15, lambda: f"the new next hop; log:\n{system.log.text()[-3000:]}", 1.0)


def test_postlog(stopped):
    system = stopped
    result = system.run("postlog", "-t", "postfix/mytag", "-p", "warn", "hello", "there")
    assert "warning: hello there" in result.stderr
    system.start()
    system.run("postlog", "-t", "postfix/mytag", "-p", "warn", "hello", "there")
    system.log.wait_for(r" postfix/mytag\[\d+\]: warning: hello there$")


def test_postlock_runs_a_command(stopped):
    path = stopped.directory / "box"
    path.write_text("")
    result = stopped.run("postlock", str(path), "sh", "-c", "echo held; exit 7", check=False)
    assert result.returncode == 7 and result.stdout == "held\n"


def test_postkick_without_a_system(stopped):
    assert stopped.run("postkick", "public", "qmgr", "D", check=False).returncode in (0, 1)


def test_postqueue_while_down(stopped):
    result = stopped.run("postqueue", "-f", check=False)
    assert result.returncode == 69
    assert "Cannot flush mail queue - mail system is down" in result.stderr


@pytest.mark.root
def test_queue_listing_while_down(instance, sink):
    system = instance(main={"relayhost": "[127.0.0.1]:1", "minimal_backoff_time": "1000s"})
    smtp_send(system, "a@b.example", "u@far.example")
    (queue_id,) = system.wait_queued("deferred")
    system.stop()
    assert queue_id in system.run("postqueue", "-p").stdout


@pytest.mark.root
def test_set_permissions(instance, flavour, workdir):
    """On a copy of the programs: the build's own must not become set-gid, as they would refuse other configurations."""
    copy = workdir / "bin"
    shutil.copytree(flavour.command_directory, copy, symlinks=True)
    system = instance(start=False, flavour=dromos_flavour(copy))
    os.chmod(system.queue_directory / "maildrop", 0o700)
    os.chmod(system.queue_directory / "public", 0o700)
    result = system.run("postfix", "set-permissions", check=False)
    assert result.returncode == 0, result.stderr
    maildrop = (system.queue_directory / "maildrop").stat()
    assert maildrop.st_mode & 0o777 == 0o730 and maildrop.st_gid == system.accounts.drop_gid
    assert (system.queue_directory / "public").stat().st_mode & 0o777 == 0o710
    for name in ("postdrop", "postqueue"):
        program = (copy / name).stat()
        assert program.st_mode & 0o7777 == 0o2755 and program.st_gid == system.accounts.drop_gid
