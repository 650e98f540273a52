# SPDX-License-Identifier: ISC
"""Submission as people run it: the rows of Debian's master.cf, uncommented, with nothing changed but the ports."""
import os
import re
import shutil
import smtplib
import ssl
import subprocess
from pathlib import Path

import pytest

from harness import free_port, is_listening, make_message, wait_until
from harness.certificates import Authority
from harness.debian import debian_commands
from harness.sasl import CyrusFiles, plain, saslauthd

SECRET = "s3cret-Words"
HOST = "mx.test.example"
MUA = ("client", "helo", "sender")
pytestmark = [pytest.mark.root, pytest.mark.dromos,
              pytest.mark.skipif(not (shutil.which("saslpasswd2") and shutil.which("msmtp")), reason="sasl2-bin or msmtp is not installed")]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The text of Debian's master.cf."""
    commands = debian_commands(tmp_path_factory.mktemp("debian"))
    path = commands and Path(commands.commands).parents[1] / "usr/share/postfix/master.cf.dist"
    if not path or not path.exists():
        pytest.skip("Debian's Postfix package cannot be had")
    return path.read_text(encoding="utf-8")


def uncomment(text, name, address):
    """The service of that name with its options uncommented, its port column replaced."""
    rows, lines = [], text.splitlines()
    start = next(i for i, line in enumerate(lines) if re.match(rf"#{name}\s+inet", line))
    rows.append(re.sub(rf"^#{name}", address, lines[start]))
    for line in lines[start + 1:]:
        if re.match(r"#  -o ", line):
            rows.append(line[1:])
        elif not re.match(r"#     ", line):
            break
    return "\n".join(rows)


class Submission:
    def __init__(self, one, submission, submissions, authority):
        self.one, self.submission, self.submissions, self.authority = one, submission, submissions, authority

    def start(self):
        self.one.start()
        wait_until(lambda: is_listening(self.submission) and is_listening(self.submissions), 20, self.one.trouble)
        return self

    @property
    def context(self):
        return ssl.create_default_context(cafile=str(self.authority.cert))


def build(make, shipped, name, mua=False):
    one = make(start=False, name=name, main={"mynetworks": "192.0.2.0/24", "smtpd_error_sleep_time": "0", "defer_transports": "smtp"})
    authority = Authority(one.directory / "ca")
    leaf = authority.issue(HOST)
    ports = free_port(), free_port()
    text = shipped
    if mua:  # as older master.cf files have it: lists of main.cf by $-expansion
        for which in (*MUA, "recipient"):
            text = re.sub(rf"#  -o smtpd_{which}_restrictions=.*", f"#  -o smtpd_{which}_restrictions=$mua_{which}_restrictions", text)
        one.main.update({"mua_client_restrictions": "permit_sasl_authenticated, reject", "mua_helo_restrictions": "permit_mynetworks",
                         "mua_sender_restrictions": "check_sender_access inline:{bad@test.example=REJECT}",
                         "mua_recipient_restrictions": "permit_sasl_authenticated, reject"})
    rows = [uncomment(text, "submission", f"127.0.0.1:{ports[0]}"), uncomment(text, "submissions", f"127.0.0.1:{ports[1]}")]
    one.inet_row = re.search(r"^smtp      inet.*$", text, re.MULTILINE)[0].replace("smtp ", f"127.0.0.1:{one.port} ", 1)
    one.standard_rows = "\n".join(line for line in text.splitlines() if not re.match(r"smtp +inet", line))
    one.rows = rows
    one.main.update({"smtpd_tls_cert_file": leaf.cert, "smtpd_tls_key_file": leaf.key, "smtpd_tls_security_level": "may"})
    # Debian's way: everything that the chrooted server asks lies below the queue directory.
    files = CyrusFiles(one.config_directory / "sasl", users=(("fred", SECRET),), database=one.queue_directory / "etc-sasldb2")
    files.configure(pwcheck_method="auxprop", auxprop_plugin="sasldb", sasldb_path="/etc-sasldb2", mech_list="PLAIN LOGIN CRAM-MD5")
    one.main["smtpd_sasl_local_domain"] = "test.example"
    one.write()
    return Submission(one, *ports, authority).start()


@pytest.fixture(scope="module")
def system(shared_instance, shipped):
    return build(shared_instance, shipped, "debian")


def queued(one, mark, service, user="fred@test.example", method="(PLAIN|LOGIN|CRAM-MD5)"):
    return one.log.wait_for(rf"postfix/{service}/smtpd\[\d+\]: (\w+): client=\S+, sasl_method={method}, sasl_username={user}$", start=mark)[1]


def test_the_public_port_offers_no_login(system):
    with system.one.dialogue(ehlo="x") as talk:
        assert "AUTH" not in talk.ehlo_reply[1] and "STARTTLS" in talk.ehlo_reply[1]
        assert talk.command("AUTH PLAIN " + plain("fred", SECRET))[0] == 503


def test_submission_wants_tls_first(system):
    with smtplib.SMTP("127.0.0.1", system.submission, timeout=20) as client:
        client.ehlo()
        assert client.has_extn("starttls") and not client.has_extn("auth")
        assert client.docmd("AUTH", "PLAIN " + plain("fred", SECRET))[0] in (530, 538)
        assert client.docmd("MAIL", "FROM:<a@b.example>")[0] == 530


def test_smtplib_by_starttls(system):
    mark = system.one.log.mark()
    with smtplib.SMTP("127.0.0.1", system.submission, timeout=20) as client:
        client._host = HOST  # the name that the certificate is for
        client.starttls(context=system.context)
        client.login("fred", SECRET)
        client.sendmail("fred@test.example", ["a@far.example"], make_message())
    name = queued(system.one, mark, "submission")
    system.one.log.wait_for(rf"{name}: to=<a@far.example>", start=mark)
    assert re.search(r"with ESMTPSA id ", system.one.run("postcat", "-q", name).stdout)


def test_smtplib_by_wrapper(system):
    mark = system.one.log.mark()
    context = system.context
    context.check_hostname = False
    with smtplib.SMTP_SSL("127.0.0.1", system.submissions, timeout=20, context=context) as client:
        client.login("fred", SECRET)
        client.sendmail("fred@test.example", ["a@far.example"], make_message())
    queued(system.one, mark, "submissions")


@pytest.mark.parametrize("service", ["submission", "submissions"])
def test_nobody_sends_without_login(system, service):
    context = system.context
    context.check_hostname = False
    if service == "submissions":
        client = smtplib.SMTP_SSL("127.0.0.1", system.submissions, timeout=20, context=context)
    else:
        client = smtplib.SMTP("127.0.0.1", system.submission, timeout=20)
        client.starttls(context=context)
    with client:
        client.ehlo("x")
        assert client.mail("fred@test.example")[0] == 250
        code, text = client.rcpt("root@test.example")
        assert code == 554 and b"Access denied" in text
        client.rset()
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("fred", "wrong")
        client.login("fred", SECRET)
        client.mail("fred@test.example")
        assert client.rcpt("root@test.example")[0] == 250


def msmtp(system, port, *options, password=SECRET, auth="on"):
    config = system.one.file("msmtprc", f"""account default
host 127.0.0.1
port {port}
from fred@test.example
auth {auth}
user fred
password {password}
tls on
tls_trust_file {system.authority.cert}
tls_host_override {HOST}
""" + "".join(line + "\n" for line in options))
    os.chmod(config, 0o600)
    return subprocess.run(["msmtp", "-C", config, "a@far.example"], input="Subject: from msmtp\n\nHello.\n", capture_output=True, text=True,
                          timeout=60, check=False)


@pytest.mark.parametrize("auth", ["plain", "login", "cram-md5"])
@pytest.mark.parametrize("service", ["submission", "submissions"])
def test_msmtp(system, service, auth):
    mark = system.one.log.mark()
    port, options = (system.submission, ()) if service == "submission" else (system.submissions, ("tls_starttls off",))
    done = msmtp(system, port, *options, auth=auth)
    assert done.returncode == 0, done.stderr
    queued(system.one, mark, service, method=auth.upper())
    assert msmtp(system, port, *options, auth=auth, password="wrong").returncode == 77


@pytest.mark.parametrize("auth", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize("service, tls", [("submission", "--tls"), ("submissions", "--tls-on-connect")])
def test_swaks(system, service, tls, auth):
    mark = system.one.log.mark()
    port = getattr(system, service)
    done = subprocess.run(["swaks", "--server", f"127.0.0.1:{port}", tls, "--auth", auth, "--auth-user", "fred", "--auth-password", SECRET,
                           "--from", "fred@test.example", "--to", "a@far.example"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    queued(system.one, mark, service, method=auth)


def test_login_is_offered_after_starttls(system):
    with smtplib.SMTP("127.0.0.1", system.submission, timeout=20) as client:
        context = system.context
        context.check_hostname = False
        client.starttls(context=context)
        client.ehlo("x")
        assert client.has_extn("auth") and not client.has_extn("starttls")


def test_mua_restrictions(instance, shipped):
    system = build(instance, shipped, "mua", mua=True)
    context = system.context
    context.check_hostname = False
    with smtplib.SMTP_SSL("127.0.0.1", system.submissions, timeout=20, context=context) as client:
        client.ehlo("x")
        client.mail("fred@test.example")
        assert client.rcpt("root@test.example")[0] == 554
        client.rset()
        client.login("fred", SECRET)
        client.mail("bad@test.example")
        assert client.rcpt("root@test.example")[0] == 554
        client.rset()
        client.mail("fred@test.example")
        assert client.rcpt("a@far.example")[0] == 250


def test_saslauthd_in_the_chroot(instance, shipped, workdir):
    """Debian's documented way: saslauthd -m /var/spool/postfix/var/run/saslauthd, pwcheck_method: saslauthd, nothing else."""
    if subprocess.run(["unshare", "-m", "true"], check=False, timeout=10).returncode != 0:
        pytest.skip("no mount namespaces here")
    system = build(instance, shipped, "debian")
    one = system.one
    one.stop()
    (one.config_directory / "sasl" / "smtpd.conf").write_text("pwcheck_method: saslauthd\nmech_list: PLAIN LOGIN\n", encoding="ascii")
    folder = one.queue_directory / "var/run/saslauthd"
    folder.mkdir(parents=True)
    services, check = workdir / "pam.d", workdir / "check"
    services.mkdir()
    check.write_text('#!/bin/sh\nread -r password\n[ "$PAM_USER:$password" = "fred:' + SECRET + '" ]\n', encoding="ascii")
    check.chmod(0o755)
    (services / "smtp").write_text(f"auth required pam_exec.so quiet expose_authtok {check}\naccount required pam_permit.so\n", encoding="ascii")
    server = saslauthd(folder, "pam", before=["unshare", "-m", "sh", "-c", f'mount --bind {services} /etc/pam.d && exec "$@"', "sh"])
    try:
        os.chmod(folder, 0o755)
        os.chmod(folder / "mux", 0o777)
        system.start()
        context = system.context
        context.check_hostname = False
        with smtplib.SMTP_SSL("127.0.0.1", system.submissions, timeout=20, context=context) as client:
            client.login("fred", SECRET)
        with smtplib.SMTP_SSL("127.0.0.1", system.submissions, timeout=20, context=context) as client:
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("fred", "wrong")
    finally:
        server.close()
