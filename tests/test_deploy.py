# SPDX-License-Identifier: ISC
"""Ways to run it: Debian's own master.cf, an ordinary user, chroot, installation below another root."""
import os
import pwd
import re
import subprocess
from pathlib import Path

import pytest

from harness import smtp_send

TOP = Path(__file__).resolve().parents[1]

# The rows of Debian 12's master.cf.dist as of postfix 3.7.11, comments left out.
DEBIAN_ROWS = """
smtp      inet  n       -       y       -       -       smtpd
pickup    unix  n       -       y       60      1       pickup
cleanup   unix  n       -       y       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       y       1000?   1       tlsmgr
rewrite   unix  -       -       y       -       -       trivial-rewrite
bounce    unix  -       -       y       -       0       bounce
defer     unix  -       -       y       -       0       bounce
trace     unix  -       -       y       -       0       bounce
verify    unix  -       -       y       -       1       verify
flush     unix  n       -       y       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
smtp      unix  -       -       y       -       -       smtp
relay     unix  -       -       y       -       -       smtp
        -o syslog_name=postfix/$service_name
#       -o smtp_helo_timeout=5 -o smtp_connect_timeout=5
showq     unix  n       -       y       -       -       showq
error     unix  -       -       y       -       -       error
retry     unix  -       -       y       -       -       error
discard   unix  -       -       y       -       -       discard
local     unix  -       n       n       -       -       local
virtual   unix  -       n       n       -       -       virtual
lmtp      unix  -       -       y       -       -       lmtp
anvil     unix  -       -       y       -       1       anvil
scache    unix  -       -       y       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
maildrop  unix  -       n       n       -       -       pipe
  flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient}
uucp      unix  -       n       n       -       -       pipe
  flags=Fqhu user=uucp argv=uux -r -n -z -a$sender - $nexthop!rmail ($recipient)
ifmail    unix  -       n       n       -       -       pipe
  flags=F user=ftn argv=/usr/lib/ifmail/ifmail -r $nexthop ($recipient)
bsmtp     unix  -       n       n       -       -       pipe
  flags=Fq. user=bsmtp argv=/usr/lib/bsmtp/bsmtp -t$nexthop -f$sender $recipient
scalemail-backend unix -       n       n       -       2       pipe
  flags=R user=scalemail argv=/usr/lib/scalemail/bin/scalemail-store ${nexthop} ${user} ${extension}
mailman   unix  -       n       n       -       -       pipe
  flags=FRX user=list argv=/usr/lib/mailman/bin/postfix-to-mailman.py ${nexthop} ${user}
"""


@pytest.mark.root
def test_debians_master_cf(instance, sink):
    """Every row as Debian ships it, chroot column included; only the port is another."""
    next_hop = sink()
    system = instance(start=False, standard_rows="", main={"relayhost": next_hop.nexthop})
    rows = DEBIAN_ROWS.replace("smtp      inet", f"127.0.0.1:{system.port} inet")
    system.inet_row = ""
    system.standard_rows = rows
    system.write()
    system.start()
    smtp_send(system, "joe@client.example", "user@far.example")
    next_hop.wait(1, instance=system)
    smtp_send(system, "joe@client.example", f"{system.person}@test.example")
    system.log.wait_for(r"postfix/local\[\d+\]: \w+: to=<.*status=sent \(delivered to mailbox\)")
    system.run("sendmail", "user@far.example", input="Subject: x\n\nx\n")
    next_hop.wait(2, instance=system)
    system.wait_queue_empty()
    if not system.flavour.is_postfix:
        for program in ("scache", "pipe"):
            if not (system.flavour.daemon_directory / program).exists():
                assert system.log.count(rf"{program}\b.*(not|No such)") <= 8


@pytest.mark.root
def test_chroot_column_is_honoured(instance, sink):
    next_hop = sink()
    system = instance(start=False, main={"relayhost": next_hop.nexthop})
    system.inet_row = f"127.0.0.1:{system.port} inet n - y - - smtpd"
    system.standard_rows = system.standard_rows.replace("smtp       unix       - - n", "smtp       unix       - - y")
    system.write()
    system.start()
    with system.dialogue(ehlo="client.example") as talk:
        for pid in system.pids("smtpd"):
            assert os.readlink(f"/proc/{pid}/root") == str(system.queue_directory)
            assert os.stat(f"/proc/{pid}").st_uid == system.accounts.owner_uid
        talk.expect("QUIT", 221)
    smtp_send(system, "joe@client.example", "user@far.example")
    next_hop.wait(1, instance=system)
    for pid in system.pids("smtp"):
        assert os.readlink(f"/proc/{pid}/root") == str(system.queue_directory)


@pytest.mark.root
@pytest.mark.dns
def test_name_service_works_in_the_chroot(instance, sink, dns):
    next_hop = sink()
    server = dns({("far.example", "MX"): [(5, "mx.far.example")], ("mx.far.example", "A"): ["127.0.0.1"]})
    system = instance(start=False, main={"smtp_tcp_port": next_hop.port})
    system.environment["DROMOS_DNS_SERVERS"] = server.address
    system.standard_rows = system.standard_rows.replace("smtp       unix       - - n", "smtp       unix       - - y")
    system.write()
    system.start()
    smtp_send(system, "joe@client.example", "user@far.example")
    next_hop.wait(1, instance=system)


@pytest.mark.root
def test_privileges_are_dropped(instance, sink):
    """No process that talks to the network runs as root; root is kept by master and the agents that need it."""
    next_hop = sink()
    system = instance(main={"relayhost": next_hop.nexthop})
    smtp_send(system, "joe@client.example", "user@far.example")
    next_hop.wait(1, instance=system)
    with system.dialogue(ehlo="client.example"):
        owner = system.accounts.owner_uid
        seen = {}
        for pid, name in system.processes().items():
            status = Path(f"/proc/{pid}/status").read_text()
            seen[name] = {int(uid) for uid in re.search(r"^Uid:\s+(.*)$", status, re.MULTILINE).group(1).split()}
        for name in ("smtpd", "cleanup", "qmgr", "smtp"):
            if name in seen:
                assert seen[name] == {owner}, f"{name} runs as {seen[name]}"
        assert "smtpd" in seen and "qmgr" in seen


@pytest.mark.dromos
def test_rootless(instance, sink, accounts, virtual):
    """Started by an ordinary user, everything runs as that user and delivers to that user."""
    next_hop = sink()
    system = instance(start=False, user=accounts.person, main={"relayhost": next_hop.nexthop})
    system.main.update(virtual(system.mail_directory, "alice"))
    system.write()
    system.start()
    uid = pwd.getpwnam(accounts.person).pw_uid
    smtp_send(system, "joe@client.example", "user@far.example")
    next_hop.wait(1, instance=system)
    smtp_send(system, "joe@client.example", f"{accounts.person}@test.example")
    system.log.wait_for(r"status=sent \(delivered to mailbox\)")
    smtp_send(system, "joe@client.example", "alice@virt.example")
    system.wait_maildir(system.mail_directory / "alice")
    system.run("sendmail", "user@far.example", input="Subject: x\n\nx\n")
    next_hop.wait(2, instance=system)
    assert all(os.stat(f"/proc/{pid}").st_uid == uid for pid in system.processes())
    assert (system.mail_directory / accounts.person).stat().st_uid == uid
    assert "Mail queue is empty" in system.run("postqueue", "-p").stdout
    system.wait_queue_empty()


@pytest.mark.dromos
def test_rootless_delivers_to_nobody_else(instance, accounts):
    system = instance(start=False, user=accounts.person, main={"relayhost": "[127.0.0.1]:1"})
    system.start()
    smtp_send(system, "", "daemon@test.example")
    system.log.wait_for(r"to=<daemon@test\.example>.*status=(bounced|deferred)")


@pytest.mark.dromos
def test_make_install_lays_out_a_tree(workdir):
    destination = workdir / "root"
    result = subprocess.run(["make", "-s", "install", f"DESTDIR={destination}", "prefix=/usr"], cwd=TOP,
                            capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    for path in ("usr/sbin/postfix", "usr/sbin/postconf", "usr/sbin/sendmail", "usr/lib/postfix/sbin/master",
                 "usr/lib/postfix/sbin/smtpd", "usr/lib/postfix/sbin/lmtp", "etc/postfix/master.cf"):
        assert (destination / path).exists(), f"{path} missing"
    assert os.path.lexists(destination / "usr/bin/mailq") and os.path.lexists(destination / "usr/bin/newaliases")


def test_two_instances_side_by_side(instance, sink):
    next_hop = sink()
    first = instance(main={"relayhost": next_hop.nexthop})
    second = instance(main={"relayhost": f"[127.0.0.1]:{first.port}", "myhostname": "second.test.example"})
    smtp_send(second, "joe@client.example", "user@far.example")
    (message,) = next_hop.wait(1, instance=second)
    assert message.data.count(b"Received: ") == 2


def test_manual_of_parameters(flavour):
    """postconf(5) comes from the table of parameters: each is there, with its default."""
    if flavour.is_postfix:
        pytest.skip("states something of ours")
    text = subprocess.run(["awk", "-f", TOP / "conf/manual.awk", TOP / "conf/params.def"], capture_output=True, text=True, timeout=20,
                          check=True).stdout
    for line in (TOP / "tests/data/parameters.tsv").read_text().splitlines()[1:]:
        name = line.split("\t")[0]
        assert f"\n.It Va {name}\n" in text, name
    assert "default: ${{$compatibility_level} <level {1} ? {yes} : {no}}; read by trivial-rewrite" in text
