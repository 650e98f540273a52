# SPDX-License-Identifier: ISC
"""postfix logrotate, upgrade-configuration, set-permissions with parameters, and what check finds."""
import gzip
import os
import shutil
import smtplib
import threading
import time

import pytest

from harness import dromos_flavour, is_listening, smtp_send, wait_until

pytestmark = [pytest.mark.dromos, pytest.mark.root]


def rotated(system):
    return sorted(path for path in system.log.path.parent.iterdir() if path.name.startswith("mail.log."))


def test_logrotate(instance):
    system = instance()
    smtp_send(system, "a@b.example", f"{system.person}@test.example", subject="before")
    system.log.wait_for("status=sent")
    before = system.log.text()
    system.run("postfix", "logrotate")
    (old,) = rotated(system)
    assert old.suffix == ".gz"
    with gzip.open(old, "rt") as text:
        assert text.read().startswith(before)
    smtp_send(system, "a@b.example", f"{system.person}@test.example", subject="after")
    system.log.wait_for("status=sent")
    assert "reload -- version" in system.log.text() or "reload -- version" in gzip.open(old, "rt").read()
    again = system.run("postfix", "logrotate", check=False)  # in the same second, or a later one
    assert again.returncode == 0 or "exists already" in again.stderr


def test_logrotate_loses_no_line(instance):
    """A session that lasts logs its end to the file that it began with: that is compressed afterwards."""
    system = instance()
    with smtplib.SMTP("127.0.0.1", system.port) as client:
        client.ehlo("client.example")
        rotation = threading.Thread(target=lambda: system.run("postfix", "logrotate", timeout=90))
        rotation.start()
        wait_until(lambda: rotated(system), 10, "the rotated file")
        time.sleep(2.5)
        assert rotated(system)[0].suffix != ".gz"
    rotation.join(90)
    (old,) = rotated(system)
    assert old.suffix == ".gz"
    assert "disconnect from" in gzip.open(old, "rt").read() + system.log.text()


@pytest.mark.parametrize("main, text", [({"maillog_file": ""}, "maillog_file is not set"),
                                        ({"maillog_file": "/dev/stdout"}, "is a device")])
def test_nothing_to_rotate(instance, main, text):
    result = instance(start=False, main=main).run("postfix", "logrotate", check=False)
    assert result.returncode == 1 and text in result.stderr


def test_upgrade_of_an_old_configuration(instance):
    """A master.cf of long ago gets the rows that it lacks, once; what is there stays as it is."""
    system = instance(start=False)
    path = system.config_directory / "master.cf"
    names = ("tlsmgr", "verify", "proxywrite", "retry", "postlog", "scache")
    old = "".join(line for line in path.read_text().splitlines(True) if line.split()[:1] and line.split()[0] not in names)
    path.write_text(old)
    result = system.run("postfix", "upgrade-configuration", "mydomain=upgraded.example")
    text = path.read_text()
    assert text.startswith(old) and all(f"adding missing entry for {name} service" in result.stderr for name in names)
    assert system.run("postconf", "-h", "mydomain").stdout == "upgraded.example\n"
    assert system.run("postfix", "upgrade-configuration").stderr == "" and path.read_text() == text
    for name in names:
        assert system.run("postconf", "-M", f"{name}/unix{'-dgram' if name == 'postlog' else ''}").stdout.count("\n") == 1, name
    system.start()
    assert is_listening(system.port)
    assert system.run("postfix", "upgrade-configuration", "no parameter", check=False).returncode == 1


def test_check_of_programs_and_permissions(instance, flavour, workdir):
    copy = workdir / "bin"
    shutil.copytree(flavour.command_directory, copy, symlinks=True)
    system = instance(start=False, flavour=dromos_flavour(copy))
    os.chown(copy / "smtpd", system.accounts.owner_uid, -1)
    os.chmod(copy / "qmgr", 0o777)
    os.chmod(system.queue_directory / "active", 0o755)
    result = system.run("postfix", "check")
    for line in (f"not owned by root: {copy}/smtpd", f"group or other writable: {copy}/qmgr",
                 f"mode is 0755, should be 0700: {system.queue_directory}/active",
                 f"not set-gid or not owner+group+world executable: {copy}/postdrop"):
        assert f"warning: {line}" in result.stderr
    result = system.run("postfix", "set-permissions", f"setgid_group={system.accounts.drop_group}", "biff=no")
    assert (system.queue_directory / "active").stat().st_mode & 0o777 == 0o700
    assert (copy / "postdrop").stat().st_mode & 0o7777 == 0o2755
    os.chown(copy / "smtpd", 0, -1)
    os.chmod(copy / "qmgr", 0o755)
    result = system.run("postfix", "check")
    assert "not owned" not in result.stderr and "writable" not in result.stderr and "mode is" not in result.stderr
