# SPDX-License-Identifier: ISC
"""Several instances on one host: postmulti, and `postfix` without a configuration directory, which runs it."""
import json
import os
import shutil
import subprocess

import pytest

from harness import dromos_flavour, is_listening, wait_until
from harness.queue_file import put_queue_file, queue_file_bytes

pytestmark = [pytest.mark.dromos, pytest.mark.root]


@pytest.fixture
def family(instance, flavour, workdir):
    """A primary instance and two more: one enabled in group mta, one not in group msa. Returns {name: instance}. They have a copy
    of the programs: creating an instance makes some set-gid, and the build's own would refuse other tests' configurations."""
    programs = dromos_flavour(shutil.copytree(flavour.command_directory, workdir / "bin", symlinks=True))
    made = {"-": instance(start=False, name="primary", flavour=programs)}
    for name, group, enabled in (("postfix-one", "mta", "yes"), ("postfix-two", "msa", "no")):
        made[name] = instance(start=False, name=name, flavour=programs, main={"multi_instance_name": name, "multi_instance_group": group,
                                                            "multi_instance_enable": enabled})
    made["-"].main.update(multi_instance_directories=f"{made['postfix-one'].config_directory}, {made['postfix-two'].config_directory}",
                          multi_instance_wrapper="${command_directory}/postmulti -p --", multi_instance_enable="yes")
    made["-"].write()
    return made


def listed(system, *options):
    """{name: (group, enabled, directory)} in the order of the listing."""
    lines = system.run("postmulti", "-l", *options).stdout.splitlines()
    return {fields[0]: tuple(fields[1:]) for fields in (line.split() for line in lines)}


def test_listing(family):
    primary = family["-"]
    lines = primary.run("postmulti", "-l").stdout.splitlines()
    assert lines == [f"{'-':<15} {'-':<15} {'y':<9} {primary.config_directory}",
                     f"{'postfix-one':<15} {'mta':<15} {'y':<9} {family['postfix-one'].config_directory}",
                     f"{'postfix-two':<15} {'msa':<15} {'n':<9} {family['postfix-two'].config_directory}"]
    assert list(listed(primary, "-R")) == ["postfix-two", "postfix-one", "-"]
    assert list(listed(primary, "-g", "msa")) == ["postfix-two"]
    assert list(listed(primary, "-i", "-")) == ["-"]
    assert list(listed(primary, "-i", family["postfix-one"].config_directory)) == ["postfix-one"]
    assert listed(primary, "-i", "nobody") == {}
    entries = [json.loads(line) for line in primary.run("postmulti", "-l", "-j").stdout.splitlines()]
    assert [(entry["name"], entry["enabled"]) for entry in entries] == [("", True), ("postfix-one", True), ("postfix-two", False)]


@pytest.mark.parametrize("options, text", [
    ([], "Specify exactly one of '-e', '-l', '-p', '-x'"), (["-l", "-p", "x"], "Specify exactly one of"),
    (["-l", "x"], "Command not allowed with '-l'"), (["-p"], "Command required with '-p' or '-x' option"),
    (["-l", "-a", "-i", "-"], "Specify no more than one of '-a', '-g', '-i'"), (["-e", "frob"], "Invalid '-e' edit action 'frob'."),
    (["-e", "enable"], "Select an instance via '-i name'"), (["-e", "disable", "-i", "nobody"], "No instance named nobody"),
    (["-e", "deport", "-i", "-"], "Cannot remove the primary instance"), (["-z"], "Usage:postmulti"),
    (["-e", "create", "-I", "bad name"], "Unsafe characters in new instance name: 'bad name'"),
    (["-e", "create", "-I", "other"], "New instance name must start with 'postfix-'"),
    (["-e", "create"], "Missing config_directory parameter value"),
    (["-e", "create", "-I", "postfix-x", "myhostname=x.example"], "Parameter 'myhostname' not valid with action create"),
    (["-e", "create", "-I", "postfix-x", "queue_directory=x"], "not an absolute path"),
    (["-e", "import", "config_directory=/nonexistent"], "/nonexistent/main.cf"),
])
def test_mistakes(family, options, text):
    before = listed(family["-"])
    result = family["-"].run("postmulti", *options, check=False)
    assert result.returncode == 1 and text in result.stderr
    assert listed(family["-"]) == before


def test_commands_for_each(family):
    primary = family["-"]
    script = 'echo "$MAIL_CONFIG $config_directory $queue_directory $multi_instance_name $multi_instance_enable"'
    lines = primary.run("postmulti", "-x", "sh", "-c", script).stdout.splitlines()
    assert lines == [" ".join([str(system.config_directory)] * 2 + [str(system.queue_directory)] +
                              ([name] if name != "-" else [""]) + ["no" if name == "postfix-two" else "yes"])
                     for name, system in family.items()]
    assert primary.run("postmulti", "-g", "mta", "-x", "false", check=False).returncode == 1
    assert primary.run("postmulti", "-x", primary.program("postconf"), "-h", "multi_instance_group").stdout == "\nmta\nmsa\n"


def test_start_and_stop(family):
    """What is not enabled is only checked; stopping goes the other way round."""
    primary = family["-"]
    primary.run("postmulti", "-p", "start")
    try:
        wait_until(lambda: is_listening(primary.port) and is_listening(family["postfix-one"].port), 20, "both instances")
        assert not is_listening(family["postfix-two"].port)
        status = primary.run("postmulti", "-p", "status", check=False)
        assert status.returncode == 1 and status.stderr.count("is running: PID:") == 2
        assert primary.run("postmulti", "-g", "mta", "-p", "status").returncode == 0
        assert primary.run("postmulti", "-p", "reload").returncode == 0
        assert primary.run("postmulti", "-p", "flush").returncode == 0
        mark = family["postfix-one"].log.mark()
        family["postfix-one"].log.wait_for(r"postfix-one/(qmgr|master)\[", start=0)
        assert mark > 0
    finally:
        stopped = primary.run("postmulti", "-p", "stop", check=False)
    assert stopped.stderr.count("stopping the Postfix mail system") == 2
    assert not is_listening(primary.port) and not is_listening(family["postfix-one"].port)


def test_names_groups_and_state(family):
    primary, one = family["-"], family["postfix-one"]
    primary.run("postmulti", "-e", "disable", "-i", "postfix-one")
    primary.run("postmulti", "-e", "enable", "-i", "postfix-two")
    assert [entry[1] for entry in listed(primary).values()] == ["y", "n", "y"]
    primary.run("postmulti", "-e", "assign", "-i", "postfix-one", "-I", "postfix-uno", "-G", "-")
    assert listed(primary)["postfix-uno"] == ("-", "n", str(one.config_directory))
    assert primary.run("postmulti", "-e", "assign", "-i", "postfix-uno", "-I", "postfix-two", check=False).returncode == 1
    primary.run("postmulti", "-e", "deport", "-i", "postfix-uno")
    assert "postfix-uno" not in listed(primary) and one.queue_directory.exists()
    primary.run("postmulti", "-e", "import", "-I", "postfix-back", "-G", "grp", f"config_directory={one.config_directory}")
    assert listed(primary)["postfix-back"] == ("grp", "n", str(one.config_directory))
    again = primary.run("postmulti", "-e", "import", f"config_directory={one.config_directory}", check=False)
    assert again.returncode == 1 and "conflicts with instance" in again.stderr


def test_life_of_an_instance(family, workdir):
    primary = family["-"]
    places = [f"{what}_directory={workdir}/new-{what}" for what in ("config", "queue", "data")]
    mode = primary.program("postdrop").stat().st_mode
    primary.run("postmulti", "-e", "create", "-I", "postfix-new", "-G", "mta", *places)
    assert primary.program("postdrop").stat().st_mode == mode  # the programs are everybody's
    assert listed(primary)["postfix-new"] == ("mta", "n", f"{workdir}/new-config")
    environment = {**primary.env(), "MAIL_CONFIG": f"{workdir}/new-config"}
    shown = subprocess.run([primary.program("postconf"), "-n"], env=environment, capture_output=True, text=True, check=True).stdout
    for line in ("master_service_disable = inet", "authorized_submit_users =", "multi_instance_name = postfix-new",
                 f"queue_directory = {workdir}/new-queue", f"mail_owner = {primary.owner}"):
        assert line in [text.rstrip() for text in shown.splitlines()], line
    deferred = workdir / "new-queue" / "deferred"
    assert deferred.stat().st_uid == primary.accounts.owner_uid and (workdir / "new-config" / "master.cf").exists()
    clash = primary.run("postmulti", "-e", "create", "-I", "postfix-new2", f"config_directory={workdir}/c2", places[1],
                        f"data_directory={workdir}/d2", check=False)
    assert clash.returncode == 1 and "queue_directory=" in clash.stderr and not (workdir / "c2").exists()

    primary.run("postmulti", "-e", "enable", "-i", "postfix-new")
    refused = primary.run("postmulti", "-e", "destroy", "-i", "postfix-new", check=False)
    assert refused.returncode == 1 and "is enabled" in refused.stderr
    primary.run("postmulti", "-e", "disable", "-i", "postfix-new")
    mail = deferred / "ABCDEF123"
    mail.write_bytes(queue_file_bytes("s@b.example", ["r@far.example"]))
    refused = primary.run("postmulti", "-e", "destroy", "-i", "postfix-new", check=False)
    assert refused.returncode == 1 and "has mail in its deferred queue" in refused.stderr and mail.exists()
    mail.unlink()
    os.symlink(workdir / "primary", workdir / "new-queue" / "link")
    primary.run("postmulti", "-e", "destroy", "-i", "postfix-new")
    assert "postfix-new" not in listed(primary)
    assert not any((workdir / f"new-{what}").exists() for what in ("config", "queue", "data"))
    assert (workdir / "primary" / "etc" / "main.cf").exists()


def test_a_running_instance_is_not_destroyed(family):
    primary, two = family["-"], family["postfix-two"]
    two.start()
    refused = primary.run("postmulti", "-e", "destroy", "-i", "postfix-two", check=False)
    assert refused.returncode == 1 and "is running" in refused.stderr and two.is_running
    put_queue_file(two, "hold", queue_file_bytes("s@b.example", ["r@far.example"]))
    two.stop()
    assert primary.run("postmulti", "-e", "destroy", "-i", "postfix-two", check=False).returncode == 1


def test_init_comes_first(instance):
    system = instance(start=False)
    assert listed(system) == {"-": ("-", "n", str(system.config_directory))}
    refused = system.run("postmulti", "-e", "create", "-I", "postfix-a", check=False)
    assert refused.returncode == 1 and "run 'postmulti -e init' first" in refused.stderr
    system.run("postmulti", "-e", "init")
    assert system.run("postconf", "-h", "multi_instance_enable").stdout == "yes\n"
    assert system.run("postconf", "-h", "multi_instance_wrapper").stdout == "${command_directory}/postmulti -p --\n"


NAMESPACE = """set -e
mount -t tmpfs tmpfs {mount}
mkdir {mount}/upper {mount}/work
mount -t overlay overlay -o lowerdir=/etc,upperdir={mount}/upper,workdir={mount}/work /etc
mkdir -p /etc/postfix
cp {config}/* /etc/postfix/
exec "$@"
"""


def in_default_place(system, workdir, *command):
    """Runs a command where this configuration is in /etc/postfix: in a mount namespace of its own."""
    mount = workdir / "mount"
    mount.mkdir(exist_ok=True)
    script = workdir / "namespace.sh"
    script.write_text(NAMESPACE.format(mount=mount, config=system.config_directory))
    environment = system.env()
    del environment["MAIL_CONFIG"]
    return subprocess.run(["unshare", "-m", "bash", script, *map(str, command)], env=environment, capture_output=True, text=True,
                          timeout=60, check=False, stdin=subprocess.DEVNULL)


@pytest.fixture
def default_place(family, workdir):
    if shutil.which("unshare") is None or in_default_place(family["-"], workdir, "true").returncode != 0:
        pytest.skip("no mount namespaces here")
    return lambda *command: in_default_place(family["-"], workdir, *command)


def test_postfix_runs_the_wrapper(family, default_place):
    postfix = family["-"].program("postfix")
    result = default_place(postfix, "status")
    assert result.returncode == 1 and result.stderr.count("is not running") == 3
    result = default_place("env", f"MAIL_CONFIG={family['postfix-one'].config_directory}", postfix, "status")
    assert result.stderr.count("is not running") == 1
    assert default_place(postfix, "-c", family["postfix-one"].config_directory, "status").stderr.count("is not running") == 1
    assert "does not support multi-instance" in default_place(postfix, "start-fg").stderr
    refused = default_place("env", f"MAIL_CONFIG={family['postfix-one'].config_directory}", family["-"].program("postmulti"), "-l")
    assert refused.returncode == 1 and "Non-default configuration directory: MAIL_CONFIG=" in refused.stderr
