# SPDX-License-Identifier: ISC
"""Clients log in: AUTH with Cyrus SASL and with Dovecot's server, what it allows, and what its absence does."""
import os
import shutil
import signal
import smtplib
import ssl
import subprocess
import time

import pytest

from harness import free_port, make_message, wait_until
from harness.certificates import Identity
from harness.sasl import CyrusFiles, Dovecot, FakeAuthServer, b64, plain, saslauthd, scram, slow_mux

SECRET = "s3cret-Words"
OPEN = {"smtpd_error_sleep_time": "0", "smtpd_soft_error_limit": "1000", "smtpd_hard_error_limit": "1000", "defer_transports": "smtp",
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject_unauth_destination", "mynetworks": "192.0.2.0/24"}
MECHANISMS = "PLAIN LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1 SCRAM-SHA-256"
needs_cyrus = pytest.mark.skipif(not shutil.which("saslpasswd2"), reason="sasl2-bin is not installed")
needs_dovecot = pytest.mark.skipif(not (shutil.which("dovecot") or os.path.exists("/usr/sbin/dovecot")), reason="dovecot-core is not installed")


@pytest.fixture(scope="module")
def cyrus(shared_instance):
    one = shared_instance(start=False, main=OPEN)
    files = CyrusFiles(one.directory / "sasl", users=(("fred", SECRET), ("barney", "other")), mech_list=MECHANISMS)
    one.main.update(files.main)
    one.write()
    return one.start()


@pytest.fixture
def made():
    """Appended objects are closed in the end."""
    things = []
    yield things
    for thing in reversed(things):
        thing.close()


def login(one, response=None, **options):
    with one.dialogue(ehlo="client.example", **options) as talk:
        return talk.command("AUTH PLAIN " + (response or plain("fred", SECRET)))


def offered(talk):
    """The mechanisms that EHLO offered; None without AUTH."""
    for line in talk.ehlo_reply[1].split("\n"):
        if line.startswith("AUTH "):
            return line.split()[1:]
    return None


def words(one):
    with one.dialogue(ehlo="client.example") as talk:
        return offered(talk)


# ---- Cyrus

pytestmark = []


@needs_cyrus
@pytest.mark.dromos
class TestCyrus:
    def test_offer(self, cyrus):
        assert sorted(words(cyrus)) == sorted(MECHANISMS.split())

    @pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
    def test_smtplib(self, cyrus, mechanism):
        with smtplib.SMTP("127.0.0.1", cyrus.port, timeout=20) as client:
            client.ehlo()
            client.user, client.password = "fred", SECRET
            method = getattr(client, "auth_" + mechanism.lower().replace("-", "_"))
            assert client.auth(mechanism, method)[0] == 235
            client.sendmail("fred@test.example", ["someone@far.example"], make_message())
        with smtplib.SMTP("127.0.0.1", cyrus.port, timeout=20) as client:
            client.ehlo()
            client.user, client.password = "fred", "wrong"
            with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
                client.auth(mechanism, getattr(client, "auth_" + mechanism.lower().replace("-", "_")))
            assert refused.value.smtp_code == 535

    @pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5"])
    def test_swaks(self, cyrus, mechanism):
        def swaks(password):
            return subprocess.run(["swaks", "--server", f"127.0.0.1:{cyrus.port}", "--from", "fred@test.example", "--to", "a@far.example",
                                   "--auth", mechanism, "--auth-user", "fred", "--auth-password", password, "--auth-hide-password"],
                                  capture_output=True, text=True, timeout=60, check=False)
        mark = cyrus.log.mark()
        done = swaks(SECRET)
        assert done.returncode == 0, done.stdout
        assert cyrus.log.find(rf": client=.*, sasl_method={mechanism}, sasl_username=fred@test.example", mark)
        assert swaks("wrong").returncode == 28

    @pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256"])
    def test_scram(self, cyrus, mechanism):
        with cyrus.dialogue(ehlo="x") as talk:
            assert scram(talk, mechanism, "fred", "wrong")[0] == 535
            assert scram(talk, mechanism, "fred", SECRET) == (235, "2.7.0 Authentication successful")

    def test_replies(self, cyrus):
        """The table of RFC 4954 and of the reply texts that clients and ban tools know."""
        mark = cyrus.log.mark()
        with cyrus.dialogue(ehlo="client.example") as talk:
            for line, code, text in (
                    ("AUTH", 501, "5.5.4 Syntax: AUTH mechanism"),
                    ("AUTH PLAIN a b", 501, "5.5.4 Syntax: AUTH mechanism"),
                    ("AUTH PLAIN " + plain("fred", "no"), 535, "5.7.8 Error: authentication failed: authentication failure"),
                    ("AUTH PLAIN " + plain("nobody", "no"), 535, "5.7.8 Error: authentication failed: authentication failure"),
                    ("AUTH PLAIN " + plain("fred", SECRET, "barney"), 535, "5.7.8 Error: authentication failed: authentication failure"),
                    ("AUTH PLAIN !!!!", 535, "5.7.8 Error: authentication failed: bad protocol / cancel"),
                    ("AUTH PLAIN =", 535, "5.7.8 Error: authentication failed: bad protocol / cancel"),
                    ("AUTH LOGIN", 334, b64("Username:")), ("*", 501, "5.7.0 Authentication aborted"),
                    ("AUTH LOGIN", 334, b64("Username:")), ("", 334, b64("Password:")), ("!", 535, None),
                    ("AUTH CRAM-MD5", 334, None), ("AAAA", 535, None),
                    ("AUTH DIGEST-MD5", 334, None), ("AAAA", 535, None),
                    ("AUTH SCRAM-SHA-1 AAAA", 535, None),
                    ("MAIL FROM:<a@b.example>", 250, "2.1.0 Ok"),
                    ("AUTH PLAIN " + plain("fred", SECRET), 503, "5.5.1 Error: MAIL transaction in progress"),
                    ("RSET", 250, "2.0.0 Ok"),
                    ("auth plain", 334, ""), (plain("fred", SECRET), 235, "2.7.0 Authentication successful"),
                    ("AUTH PLAIN " + plain("fred", SECRET), 503, "5.5.1 Error: already authenticated"),
                    ("EHLO again", 250, None),
                    ("AUTH LOGIN", 503, "5.5.1 Error: already authenticated")):
                got = talk.command(line)
                assert got[0] == code and text in (None, got[1]), f"{line}: {got}"
        cyrus.log.wait_for(r"disconnect from unknown\[127.0.0.1\] ehlo=2 auth=1/16 mail=1 rset=1", start=mark)
        for line in (r"warning: unknown\[127.0.0.1\]: SASL PLAIN authentication failed: authentication failure, sasl_username=fred@test.example",
                     r"warning: unknown\[127.0.0.1\]: SASL LOGIN authentication aborted",
                     r"warning: SASL authentication failure: Password verification failed",
                     r"warning: unknown\[127.0.0.1\]: SASL DIGEST-MD5 authentication failed: authentication failure, sasl_username=\(unavailable\)"):
            assert cyrus.log.find(line, mark), line

    @pytest.mark.parametrize("mechanism", ["FOO", "ANONYMOUS", "EXTERNAL", "X" * 100, "NTLM;", "\xe9"])
    def test_unknown_mechanism(self, cyrus, mechanism):
        with cyrus.dialogue(ehlo="x") as talk:
            assert talk.command(f"AUTH {mechanism}".encode("latin-1") + b"\r\n")[0] in (535, 500)
            assert talk.command("NOOP")[0] == 250

    def test_long_and_broken_responses(self, cyrus):
        mark = cyrus.log.mark()
        with cyrus.dialogue(ehlo="x") as talk:
            talk.expect("AUTH PLAIN", 334)
            assert talk.command(b"QUFB" * (256 * 1024) + b"\r\n") == (500, "5.5.6 SASL response limit exceeded")  # a MiB
            talk.expect("AUTH PLAIN", 334)
            assert talk.command("A" * 12288)[0] == 535
            talk.expect("AUTH PLAIN", 334)
            assert talk.command(bytes(range(128, 250)) + b"\r\n")[0] == 535
            talk.expect("AUTH PLAIN", 334)
            assert talk.command(b"\0\0\0\0\r\n")[0] == 535
            assert talk.command("AUTH PLAIN " + "A" * 3000)[0] == 500  # longer than a command may be
            assert talk.command("AUTH PLAIN " + plain("fred", SECRET))[0] == 235
        assert cyrus.log.find(r"warning: unknown\[127.0.0.1\]: SASL response longer than 12288", mark)
        assert not cyrus.log.find("QUFB", mark)

    def test_a_client_may_leave_in_the_middle(self, cyrus):
        for _ in range(20):
            with cyrus.dialogue(ehlo="x") as talk:
                talk.expect("AUTH CRAM-MD5", 334)
        assert login(cyrus)[0] == 235

    def test_many_at_a_time(self, cyrus):
        talks = [cyrus.dialogue(ehlo="x") for _ in range(40)]
        for talk in talks:
            talk.expect("AUTH LOGIN " + b64("fred"), 334)
        for talk in talks:
            talk.send(b64(SECRET) + "\r\n")
        assert {talk.reply()[0] for talk in talks} == {235}
        for talk in talks:
            talk.close()

    def test_what_a_login_allows(self, cyrus):
        with cyrus.dialogue(ehlo="x") as talk:
            talk.expect("MAIL FROM:<fred@test.example>", 250)
            assert talk.command("RCPT TO:<a@far.example>")[0] == 554
            talk.expect("RSET", 250)
            talk.expect("AUTH PLAIN " + plain("fred", SECRET), 235)
            talk.expect("MAIL FROM:<fred@test.example> AUTH=<>", 250)
            talk.expect("RCPT TO:<a@far.example>", 250)

    def test_the_message_knows_its_sender(self, cyrus):
        mark = cyrus.log.mark()
        with cyrus.dialogue(ehlo="x") as talk:
            talk.expect("AUTH PLAIN " + plain("fred", SECRET), 235)
            talk.expect("MAIL FROM:<fred@test.example> AUTH=e+3Dmc2@example.com", 250)
            talk.expect("RCPT TO:<a@far.example>", 250)
            talk.expect("DATA", 354)
            queued = talk.expect("Subject: logged in\r\n\r\nx\r\n.", 250).split()[-1]
            talk.expect("MAIL FROM:<fred@test.example>", 250)
            talk.expect("RCPT TO:<b@far.example>", 250)
            talk.expect("DATA", 354)
            second = talk.expect("Subject: again\r\n\r\nx\r\n.", 250).split()[-1]
        cyrus.log.wait_for(rf"{queued}: client=unknown\[127.0.0.1\], sasl_method=PLAIN, sasl_username=fred@test.example, "
                           r"sasl_sender=e\+3Dmc2@example.com$", start=mark)
        cyrus.log.wait_for(rf"{second}: client=unknown\[127.0.0.1\], sasl_method=PLAIN, sasl_username=fred@test.example$", start=mark)
        cyrus.log.wait_for(rf"{queued}: to=<a@far.example>.*status=deferred", start=mark)
        text = cyrus.run("postcat", "-eq", queued).stdout
        for attribute in ("sasl_method=PLAIN", "sasl_username=fred@test.example", "sasl_sender=e+3Dmc2@example.com"):
            assert attribute in text
        content = cyrus.run("postcat", "-q", queued).stdout
        assert "with ESMTPA id" in content and "Authenticated sender" not in content
        assert SECRET not in content and plain("fred", SECRET) not in content

    def test_helper_has_what_smtpd_has_not(self, cyrus):
        login(cyrus)
        names = list(cyrus.processes().values())
        assert names.count("saslserver") == names.count("smtpd") >= 1
        pid = next(pid for pid, name in cyrus.processes().items() if name == "smtpd")
        with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
            assert "libsasl2" not in maps.read()

    def test_a_dead_helper_is_replaced(self, cyrus):
        with cyrus.dialogue(ehlo="x") as talk:
            assert talk.command("AUTH PLAIN " + plain("fred", "no"))[0] == 535
            mark = cyrus.log.mark()
            for pid, name in cyrus.processes().items():
                if name == "saslserver":
                    os.kill(pid, signal.SIGKILL)
            assert talk.command("AUTH PLAIN " + plain("fred", SECRET)) == (
                454, "4.7.0 Temporary authentication failure: Connection lost to authentication server")
            talk.expect("MAIL FROM:<a@b.example>", 250)  # the session itself goes on
        cyrus.log.wait_for(r"smtpd\[\d+\]: warning: the saslserver process has ended -- restarting", start=mark)
        wait_until(lambda: login(cyrus)[0] == 235, 20, lambda: cyrus.log.text(mark))

    def test_nothing_of_a_password_is_logged(self, instance):
        one = instance(start=False, main={**OPEN, "debug_peer_list": "127.0.0.1", "debug_peer_level": "3",
                                          "notify_classes": "protocol, resource, software, policy",
                                          "smtpd_command_filter": "pcre:/dev/null"})
        one.main.update(CyrusFiles(one.directory / "sasl", users=(("fred", SECRET),)).main)
        one.inet_row = f"127.0.0.1:{one.port} inet n - n - - smtpd -v"
        one.write()
        one.start()
        shown = plain("fred", SECRET)
        with one.dialogue(ehlo="x") as talk:
            talk.command("AUTH PLAIN " + shown + "A" * 3000)
            talk.command("AUTH PLAIN " + shown[:-4])
            talk.command("AUTH PLAIN " + shown + " x")
            talk.command(b64(SECRET))  # one that came too late
            talk.expect("AUTH LOGIN", 334)
            talk.expect(b64("fred"), 334)
            talk.expect(b64(SECRET), 235)
        with one.dialogue(ehlo="x") as talk:
            talk.send(f"AUTH LOGIN\r\n{b64('fred')}\r\n{b64(SECRET)}\r\n")  # too early
            talk.is_closed()
        with one.dialogue(ehlo="x") as talk:
            talk.send(f"NOOP\r\nAUTH PLAIN {shown}\r\nNOOP\r\n")
            talk.is_closed(2)
        time.sleep(1.5)  # a report of the transcript to the postmaster
        files = [path.read_bytes() for path in one.directory.rglob("*") if path.is_file() and path.parent.name != "sasl"]
        for piece in (SECRET, shown[:12], shown[8:20], b64(SECRET)[:8]):
            assert not any(piece.encode() in content for content in files), piece


@needs_cyrus
@pytest.mark.dromos
@pytest.mark.parametrize("extra, offered", [
    ({"smtpd_sasl_security_options": "noanonymous, noplaintext"}, {"CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"}),
    ({"smtpd_sasl_security_options": "noactive, noplaintext, nodictionary"}, None),
    ({"smtpd_sasl_security_options": "mutual_auth"}, {"DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"}),
    ({"smtpd_sasl_mechanism_filter": "!plain, static:rest"}, {"LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"}),
    ({"smtpd_sasl_mechanism_filter": "login"}, {"LOGIN"}),
    ({"smtpd_sasl_exceptions_networks": "!127.0.0.2, 127.0.0.0/8"}, None),
    ({"smtpd_sasl_auth_enable": "no"}, None),
    ({"smtpd_tls_auth_only": "yes"}, None),
    ({"smtpd_discard_ehlo_keywords": "auth"}, None),
], ids=lambda value: " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "")
def test_what_is_offered(instance, extra, offered):
    one = instance(start=False, main=OPEN)
    one.main.update({**CyrusFiles(one.directory / "sasl", users=(("fred", SECRET),), mech_list=MECHANISMS).main, **extra})
    one.write()
    one.start()
    got = words(one)
    assert (set(got) if got else None) == offered
    code, text = login(one)
    if extra.get("smtpd_sasl_auth_enable") == "no":
        assert (code, text) == (503, "5.5.1 Error: authentication not enabled")
    elif "smtpd_tls_auth_only" in extra:
        assert code == 538 and text.startswith("5.7.11 ")
    elif "smtpd_discard_ehlo_keywords" in extra:
        assert (code, text) == (503, "5.5.1 Error: authentication not enabled")
    elif "smtpd_sasl_exceptions_networks" in extra:
        assert code == 235  # not announced, but it works
    else:
        assert code == 535


@needs_cyrus
@pytest.mark.dromos
def test_settings_of_the_session(instance):
    one = instance(start=False, main={**OPEN, "broken_sasl_auth_clients": "yes", "smtpd_sasl_authenticated_header": "yes",
                                      "smtpd_sender_login_maps": "inline:{ {fred@test.example = fred@test.example} }",
                                      "smtpd_sender_restrictions": "reject_sender_login_mismatch"})
    one.main.update(CyrusFiles(one.directory / "sasl", users=(("fred", SECRET), ("barney", "x")), mech_list="PLAIN").main)
    one.write()
    one.start()
    with one.dialogue(ehlo="x") as talk:
        assert "AUTH PLAIN\nAUTH=PLAIN" in talk.ehlo_reply[1]
        talk.expect("AUTH PLAIN " + plain("fred", SECRET), 235)
        talk.expect("MAIL FROM:<fred@test.example>", 250)
        talk.expect("RCPT TO:<a@far.example>", 250)
        talk.expect("DATA", 354)
        queued = talk.expect("Subject: x\r\n\r\nx\r\n.", 250).split()[-1]
    one.log.wait_for(rf"{queued}: to=<a@far.example>.*status=deferred")
    assert "\t(Authenticated sender: fred@test.example)\n" in one.run("postcat", "-q", queued).stdout


@needs_cyrus
@pytest.mark.dromos
def test_whose_address_it_is(instance):
    """reject_sender_login_mismatch and its parts, by the login of the session."""
    one = instance(start=False, main={**OPEN, "smtpd_sender_login_maps": "inline:{ {fred@test.example = fred@test.example} }",
                                      "smtpd_sender_restrictions": "reject_sender_login_mismatch"})
    one.main.update(CyrusFiles(one.directory / "sasl", users=(("fred", SECRET), ("barney", "x")), mech_list="PLAIN").main)
    one.write()
    one.start()
    for response, sender, code in ((None, "fred@test.example", 553), (plain("barney", "x"), "fred@test.example", 553),
                                   (plain("barney", "x"), "other@test.example", 553), (plain("fred", SECRET), "fred@test.example", 250)):
        with one.dialogue(ehlo="x") as talk:
            if response:
                talk.expect("AUTH PLAIN " + response, 235)
            talk.expect(f"MAIL FROM:<{sender}>", 250)
            assert talk.command("RCPT TO:<root@test.example>")[0] == code, (response, sender)


@needs_cyrus
@pytest.mark.dromos
def test_guessing_is_slow_and_limited(instance):
    one = instance(start=False, main={**OPEN, "smtpd_client_auth_rate_limit": "5", "smtpd_error_sleep_time": "1s", "smtpd_soft_error_limit": "2"})
    one.main.update(CyrusFiles(one.directory / "sasl", users=(("fred", SECRET),), mech_list="PLAIN").main)
    one.write()
    one.start()
    with one.dialogue(ehlo="x") as talk:
        begun = time.monotonic()
        for _ in range(4):
            assert talk.command("AUTH PLAIN " + plain("fred", "guess"))[0] == 535
        assert talk.command("NOOP")[0] == 250
        assert time.monotonic() - begun > 1.9
    assert login(one)[0] == 235
    with one.dialogue(ehlo="x") as talk:
        assert talk.command("AUTH PLAIN " + plain("fred", SECRET)) == (450, "4.7.1 Error: too many AUTH commands from 127.0.0.1")
    assert one.log.find(r"warning: AUTH command rate limit exceeded: 6 from unknown\[127.0.0.1\] for service ")


@needs_cyrus
@pytest.mark.root
@pytest.mark.dromos
def test_in_a_chroot(instance):
    """As Debian's master.cf has it: configuration from outside, sasldb as seen from inside."""
    one = instance(start=False, main=OPEN)
    files = CyrusFiles(one.directory / "sasl", users=(("fred", SECRET),), database=one.queue_directory / "sasldb")
    files.configure(pwcheck_method="auxprop", auxprop_plugin="sasldb", sasldb_path="/sasldb", mech_list="PLAIN")
    one.main.update(files.main)
    one.inet_row = f"127.0.0.1:{one.port} inet n - y - - smtpd"
    one.write()
    one.start()
    assert login(one)[0] == 235
    assert login(one, plain("fred", "no"))[0] == 535


@needs_cyrus
@pytest.mark.root
@pytest.mark.dromos
def test_rootless(instance, accounts):
    one = instance(start=False, main=OPEN, user=accounts.owner)
    one.main.update(CyrusFiles(one.directory / "sasl", users=(("fred", SECRET),)).main)
    one.write()
    one.start()
    assert login(one)[0] == 235


# ---- saslauthd

def with_saslauthd(instance, folder, **main):
    one = instance(start=False, main={**OPEN, "smtpd_sasl_answer_timeout": "3s", **main})
    files = CyrusFiles(one.directory / "sasl", users=())
    files.configure(pwcheck_method="saslauthd", saslauthd_path=folder / "mux", mech_list="PLAIN LOGIN")
    one.main.update(files.main)
    one.write()
    return one.start()


def open_folder(folder):
    os.chmod(folder, 0o755)
    os.chmod(folder / "mux", 0o777)


@needs_cyrus
@pytest.mark.root
@pytest.mark.dromos
def test_saslauthd_with_pam(instance, workdir, made):
    """PAM decides by a service file of the test's, seen by saslauthd alone (a mount namespace)."""
    if subprocess.run(["unshare", "-m", "true"], check=False, timeout=10).returncode != 0:
        pytest.skip("no mount namespaces here")
    services, check = workdir / "pam.d", workdir / "check"
    services.mkdir()
    check.write_text('#!/bin/sh\nread -r password\n[ "$PAM_USER:$password" = "fred:' + SECRET + '" ]\n', encoding="ascii")
    check.chmod(0o755)
    (services / "smtp").write_text(f"auth required pam_exec.so quiet expose_authtok {check}\naccount required pam_permit.so\n", encoding="ascii")
    before = ["unshare", "-m", "sh", "-c", f'mount --bind {services} /etc/pam.d && exec "$@"', "sh"]
    made.append(saslauthd(workdir / "mux.d", "pam", before=before))
    open_folder(workdir / "mux.d")
    one = with_saslauthd(instance, workdir / "mux.d")
    assert login(one)[0] == 235
    assert login(one, plain("fred", "no"))[:2] == (535, "5.7.8 Error: authentication failed: authentication failure")
    with smtplib.SMTP("127.0.0.1", one.port, timeout=20) as client:
        client.login("fred", SECRET)


@needs_cyrus
@pytest.mark.root
@pytest.mark.dromos
def test_saslauthd_with_sasldb_dead_and_alive(instance, workdir, made):
    database = workdir / "etc" / "sasldb2"
    database.parent.mkdir()
    CyrusFiles(workdir / "cyrus", users=(("fred", SECRET),), database=database)
    if subprocess.run(["unshare", "-m", "true"], check=False, timeout=10).returncode != 0:
        pytest.skip("no mount namespaces here")
    # saslauthd's sasldb is /etc/sasldb2, wherever that is for it.
    before = ["unshare", "-m", "sh", "-c",
              f'mount -t tmpfs none /mnt && cp -a /etc/. /mnt/ && cp {database} /mnt/sasldb2 && mount --bind /mnt /etc && exec "$@"', "sh"]
    server = saslauthd(workdir / "mux.d", "sasldb", before=before)
    made.append(server)
    open_folder(workdir / "mux.d")
    one = with_saslauthd(instance, workdir / "mux.d")
    fred = plain("fred@test.example", SECRET)
    assert login(one, fred)[0] == 235
    assert login(one, plain("fred@test.example", "no"))[0] == 535
    server.close()
    (workdir / "mux.d" / "mux").unlink(missing_ok=True)
    code, text = login(one, fred)
    assert code == 454 and text.startswith("4.7.0 Temporary authentication failure: "), text


@needs_cyrus
@pytest.mark.dromos
def test_slow_saslauthd_hurts_nobody_else(instance, workdir, made):
    folder = workdir / "mux.d"
    folder.mkdir()
    os.chmod(folder, 0o755)
    made.append(slow_mux(folder / "mux", 30))
    one = with_saslauthd(instance, folder)
    stuck = [one.dialogue(ehlo="x") for _ in range(30)]
    for talk in stuck:
        talk.send("AUTH PLAIN " + plain("fred", SECRET) + "\r\n")
    begun = time.monotonic()
    with one.dialogue(ehlo="x") as talk:  # a session that wants nothing of it
        talk.envelope("a@b.example", "root@test.example")
        talk.expect("Subject: x\r\n\r\nx\r\n.", 250)
    assert time.monotonic() - begun < 2
    for talk in stuck:
        assert talk.reply()[0] == 454
        talk.expect("NOOP", 250)
        talk.close()
    assert time.monotonic() - begun < 10
    assert one.log.find(r"SASL PLAIN authentication failed: Authentication server timed out, sasl_username=\(unavailable\)")


# ---- Dovecot

def with_dovecot(instance, path="private/auth", start=True, **main):
    one = instance(start=False, main={**OPEN, "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": path, **main})
    return one.start() if start else one


@needs_dovecot
@pytest.mark.root
class TestDovecot:
    @pytest.fixture(scope="class")
    def system(self, shared_instance, accounts):
        one = shared_instance(start=False, main={**OPEN, "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot",
                                                 "smtpd_sasl_path": "private/auth"})
        server = Dovecot(one.directory / "dovecot", one.queue_directory / "private" / "auth", accounts.owner,
                         pwd_group(accounts.owner), users=(("fred", SECRET),))
        one.dovecot = server
        yield one.start()
        server.close()

    def test_offer(self, system):
        assert set(words(system)) == set(MECHANISMS.split())  # noanonymous, and EXTERNAL is filtered

    @pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5"])
    def test_swaks(self, system, mechanism):
        mark = system.log.mark()
        for password, status in (("wrong", 28), (SECRET, 0)):
            done = subprocess.run(["swaks", "--server", f"127.0.0.1:{system.port}", "--from", "fred@test.example", "--to", "a@far.example",
                                   "--auth", mechanism, "--auth-user", "fred", "--auth-password", password],
                                  capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == status, done.stdout
        assert system.log.find(rf": client=.*, sasl_method={mechanism}, sasl_username=fred$", mark)
        assert system.log.find(rf"SASL {mechanism} authentication failed: .*, sasl_username=", mark)

    @pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256"])
    def test_scram(self, system, mechanism):
        with system.dialogue(ehlo="x") as talk:
            assert scram(talk, mechanism, "fred", "wrong")[0] == 535
            assert scram(talk, mechanism, "fred", SECRET)[0] == 235

    def test_replies(self, system):
        with system.dialogue(ehlo="x") as talk:
            for line, code, text in (
                    ("AUTH FOO", 535, "5.7.8 Error: authentication failed: Invalid authentication mechanism"),
                    ("AUTH ANONYMOUS", 535, "5.7.8 Error: authentication failed: Invalid authentication mechanism"),
                    ("AUTH PLAIN !!!", 535, "5.7.8 Error: authentication failed: Invalid base64 data in initial response"),
                    ("AUTH LOGIN", 334, b64("Username:")), ("a\tb", 535, "5.7.8 Error: authentication failed: Invalid base64 data in continued response"),
                    ("AUTH LOGIN", 334, None), ("*", 501, "5.7.0 Authentication aborted"),
                    ("AUTH LOGIN " + b64("fred"), 334, b64("Password:")), (b64(SECRET), 235, "2.7.0 Authentication successful")):
                got = talk.command(line)
                assert got[0] == code and text in (None, got[1]), f"{line}: {got}"

    @pytest.mark.dromos
    def test_stopped_killed_and_back(self, system):
        assert login(system)[0] == 235
        system.dovecot.close()
        code, text = login(system)
        assert (code, text) == (454, "4.7.0 Temporary authentication failure: Connection lost to authentication server")
        system.dovecot.start()
        assert login(system)[0] == 235


@needs_dovecot
@pytest.mark.root
def test_dovecot_over_tcp(instance, accounts, made):
    port = free_port()
    one = with_dovecot(instance, f"inet:127.0.0.1:{port}", start=False)
    made.append(Dovecot(one.directory / "dovecot", one.directory / "auth", accounts.owner, pwd_group(accounts.owner),
                        users=(("fred", SECRET),), port=port))
    one.start()
    assert login(one)[0] == 235


def pwd_group(user):
    import grp
    import pwd
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


def fake(one, made, **options):
    server = FakeAuthServer(one.directory / "auth", **options)
    made.append(server)
    one.main["smtpd_sasl_path"] = one.directory / "auth"
    one.write()
    one.start()
    return server


def test_dovecot_requests(instance, made):
    one = with_dovecot(instance, start=False, smtpd_sasl_service="mail")
    server = fake(one, made, answer=lambda f: f"OK\t{f[1]}\tuser=fr\u00e9d")
    with one.dialogue(ehlo="x") as talk:
        talk.expect("AUTH PLAIN " + plain("fred", SECRET), 235)
    first, second, request = server.requests[:3]
    assert first[:2] == ["VERSION", "1"] and second[0] == "CPID"
    assert request[0] == "AUTH" and request[2:5] == ["PLAIN", "service=mail", "nologin"]
    assert "lip=127.0.0.1" in request and "rip=127.0.0.1" in request and "secured" not in request
    assert request[-1] == "resp=" + plain("fred", SECRET)


@pytest.mark.parametrize("user, shown", [("fred", "fred"), ("a(b)c", "a(b)c"), ('fr)e(d\\x"y', 'fr?e(d?x"y)'), ("((", "(())"), ("x) id 1 (y", "x? id 1 (y)")])
def test_a_name_stays_in_its_comment(instance, made, user, shown):
    """Whoever has an odd name puts nothing else into the header."""
    one = with_dovecot(instance, start=False, smtpd_sasl_authenticated_header="yes")
    fake(one, made, answer=lambda f: f"OK\t{f[1]}\tuser={user}")
    with one.dialogue(ehlo="client.example") as talk:
        talk.expect("AUTH PLAIN " + plain("fred", SECRET), 235)
        talk.envelope("fred@test.example", "a@far.example")
        queued = talk.expect("Subject: x\r\n\r\nx\r\n.", 250).split()[-1]
    one.log.wait_for(rf"{queued}: to=<a@far.example>.*status=deferred")
    assert f"\t(Authenticated sender: {shown})\n" in one.run("postcat", "-q", queued).stdout


def under_tls(one, identity):
    """EHLO, STARTTLS with a client certificate (None: without one), EHLO again."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if identity:
        context.load_cert_chain(identity.cert, identity.key)
    talk = one.dialogue(ehlo="client.example")
    talk.expect("STARTTLS", 220)
    talk.socket = context.wrap_socket(talk.socket)
    talk.ehlo_reply = talk.command("EHLO client.example")
    return talk


class ClientCertificates:
    """One of fred's, one of somebody who calls himself fred; .main makes a server ask for them and take logins by them."""

    def __init__(self, folder):
        os.chmod(folder, 0o755)
        self.folder = folder
        self.authority = Identity(folder, "authority.example")
        self.fred = self.of("fred")
        self.stranger = Identity(folder, "fred", label="stranger")
        self.main = {"smtpd_sasl_mechanism_filter": "external, plain", "smtpd_tls_security_level": "may", "smtpd_tls_ask_ccert": "yes",
                     "smtpd_tls_cert_file": self.authority.cert, "smtpd_tls_key_file": self.authority.key,
                     "smtpd_tls_CAfile": self.authority.cert}

    def of(self, name, **options):
        return Identity(self.folder, name, signer=self.authority, usage="clientAuth", **options)


def with_certificates(instance, folder, **main):
    made = ClientCertificates(folder)
    return with_dovecot(instance, start=False, **made.main, **main), made.fred, made.stranger


@pytest.mark.dromos
@pytest.mark.root
@needs_dovecot
def test_external_with_dovecot(instance, accounts, made, tmp_path):
    one, fred, stranger = with_certificates(instance, tmp_path)
    made.append(Dovecot(one.directory / "dovecot", one.queue_directory / "private" / "auth", accounts.owner, pwd_group(accounts.owner),
                        trusts_certificates=True))
    one.start()
    for identity, claim, code in ((fred, "", 235), (stranger, "", 535), (None, "", 535), (fred, b64("admin"), 535)):
        with under_tls(one, identity) as talk:
            talk.expect("AUTH EXTERNAL", 334)
            talk.expect(claim, code)


@pytest.mark.dromos
def test_external_is_by_client_certificate(instance, made, tmp_path):
    """Dovecot's server hears that a trusted certificate was shown, and its name; of any other certificate it hears nothing."""
    one, fred, stranger = with_certificates(instance, tmp_path)

    def answer(fields):
        names = [field.split("=", 1)[1] for field in fields if field.startswith("cert_username=")]
        return f"OK\t{fields[1]}\tuser={names[0]}" if names and "valid-client-cert" in fields else f"FAIL\t{fields[1]}"

    server = fake(one, made, answer=answer, greeting=FakeAuthServer.GREETING.replace("SPID", "MECH\tEXTERNAL\nSPID"))
    with under_tls(one, fred) as talk:
        assert "AUTH PLAIN EXTERNAL" in talk.ehlo_reply[1]
        talk.expect("AUTH EXTERNAL =", 235)
        talk.envelope("fred@test.example", "a@far.example")  # the login lets it relay
        talk.expect("Subject: x\r\n\r\nx\r\n.", 250)
    assert one.log.find(r": client=.*, sasl_method=EXTERNAL, sasl_username=fred$")
    request = [fields for fields in server.requests if fields[0] == "AUTH"][-1]
    assert request[2] == "EXTERNAL" and request[-4:] == ["secured", "valid-client-cert", "cert_username=fred", "resp="]
    for identity in (stranger, None):
        with under_tls(one, identity) as talk:
            talk.expect("AUTH EXTERNAL =", 535)
            talk.expect("AUTH EXTERNAL " + b64("fred"), 535)
    with one.dialogue(ehlo="x") as talk:
        talk.expect("AUTH EXTERNAL =", 535)
    with under_tls(one, fred) as talk:  # what was proved under TLS stays with that session
        talk.expect("AUTH EXTERNAL", 235)
    refused = [fields for fields in server.requests if fields[0] == "AUTH"][1:-1]
    assert len(refused) == 5 and not any("cert" in field for fields in refused for field in fields[5:-1])


@pytest.mark.parametrize("attributes, is_logged_in", [
    ("ADDR=192.168.3.4 NAME=client.example", False), ("ADDR=192.168.3.4 LOGIN=barney", True), ("LOGIN=[UNAVAILABLE]", False)])
def test_a_login_stays_with_its_client(instance, made, attributes, is_logged_in):
    """XCLIENT brings another client, which is logged in only if the command says so."""
    one = with_dovecot(instance, start=False, smtpd_authorized_xclient_hosts="127.0.0.1")
    fake(one, made, answer=lambda f: f"OK\t{f[1]}\tuser=fred")
    with one.dialogue(ehlo="client.example") as talk:
        talk.expect("AUTH PLAIN " + plain("fred", SECRET), 235)
        talk.expect("XCLIENT " + attributes, 220)
        talk.expect("EHLO client.example", 250)
        talk.expect("MAIL FROM:<fred@test.example>", 250)
        talk.expect("RCPT TO:<a@far.example>", 250 if is_logged_in else 554)
        talk.expect("RSET", 250)
        talk.expect("AUTH PLAIN " + plain("fred", SECRET), 503 if is_logged_in else 235)


@pytest.mark.dromos
@pytest.mark.parametrize("kind", ["dovecot", pytest.param("cyrus", marks=needs_cyrus)])
def test_a_filter_that_cannot_be_asked_lets_nothing_pass(instance, made, kind):
    one = with_dovecot(instance, start=False, smtpd_sasl_mechanism_filter=f"tcp:127.0.0.1:{free_port()}")
    if kind == "dovecot":
        fake(one, made, answer=lambda f: f"OK\t{f[1]}\tuser=fred")
    else:
        one.main.update({**CyrusFiles(one.directory / "sasl", users=(("fred", SECRET),)).main, "smtpd_sasl_type": "cyrus",
                         "smtpd_sasl_path": "smtpd"})
        one.write()
        one.start()
    with one.dialogue(ehlo="client.example") as talk:
        assert offered(talk) is None
        talk.expect("AUTH PLAIN " + plain("fred@test.example", SECRET), 454)
    one.log.wait_for(r"warning: .*tcp:127\.0\.0\.1")


@pytest.mark.dromos
def test_dovecot_hears_of_what_is_given_up(instance, made):
    one = with_dovecot(instance, start=False)
    server = fake(one, made, answer=lambda f: f"CONT\t{f[1]}\tVXNlcm5hbWU6")
    with one.dialogue(ehlo="x") as talk:
        talk.expect("AUTH LOGIN", 334)
        talk.expect("*", 501)
        talk.expect("AUTH LOGIN", 334)
    opened = [fields[1] for fields in server.requests if fields[0] == "AUTH"]
    wait_until(lambda: [f[1] for f in server.requests if f[0] == "CANCEL"] == opened, 5, lambda: server.requests)


@pytest.mark.dromos
def test_dovecot_keeps_one_connection(instance, made):
    one = with_dovecot(instance, start=False, smtpd_sasl_answer_timeout="3s")
    server = fake(one, made, answer=lambda f: None if f[-1] == "resp=" + plain("slow", "x") else f"OK\t{f[1]}\tuser=fred")
    with one.dialogue(ehlo="x") as slow:
        slow.send("AUTH PLAIN " + plain("slow", "x") + "\r\n")
        begun = time.monotonic()
        talks = [one.dialogue(ehlo="x") for _ in range(40)]
        for talk in talks:
            talk.send("AUTH PLAIN " + plain("fred", "x") + "\r\n")
        assert {talk.reply()[0] for talk in talks} == {235}
        assert time.monotonic() - begun < 2.5
        for talk in talks:
            talk.close()
        assert slow.reply() == (454, "4.7.0 Temporary authentication failure: Authentication server timed out")
    processes = list(one.processes().values()).count("smtpd")
    assert server.connections <= processes


def verdict(kind):
    return lambda f: Exception if kind is Exception else None if kind is None else kind.format(id=f[1])


@pytest.mark.dromos
@pytest.mark.parametrize("kind, code", [
    ("FAIL\t{id}", 535), ("FAIL\t{id}\tuser=fred\ttemp", 454), ("FAIL\t{id}\treason=try later\ttemp", 454),
    ("OK\t{id}", 454), ("OK\t{id}\tuser=", 454), ("OK", 454), ("OK\t99", 454), ("CONT\t{id}\t!!!", 454),
    ("x" * 200000, 454), ("\0\0\0", 454), (Exception, 454), (None, 454), ("OK\t{id}\tuser=a\001nb", 235),
    ("FAIL\t{id}\treason=a\001r\001n250 Ok", 535),
], ids=lambda value: str(value)[:30].replace("\t", " ").replace("\0", "NUL"))
def test_dovecot_that_lies(instance, made, kind, code):
    one = with_dovecot(instance, start=False, smtpd_sasl_answer_timeout="1s")
    fake(one, made, answer=verdict(kind))
    with one.dialogue(ehlo="x") as talk:
        got = talk.command("AUTH PLAIN " + plain("fred", "x"))
        assert got[0] == code, got
        assert talk.command("NOOP") == (250, "2.0.0 Ok")


@pytest.mark.dromos
@pytest.mark.parametrize("greeting", ["", "garbage\n" * 1000, "VERSION\t2\t0\nDONE\n", "SPID\t1\nDONE\n", "x" * 200000,
                                      "VERSION\t1\t0\n" + "MECH\tA\n" * 100 + "SPID\t1\nDONE\n", "VERSION\t1\t0\nSPID\t1\nDONE\n"],
                         ids=["silence", "garbage", "version", "incomplete", "endless", "many", "none"])
def test_dovecot_that_greets_badly(instance, made, greeting):
    one = with_dovecot(instance, start=False, smtpd_sasl_answer_timeout="1s")
    fake(one, made, greeting=greeting)
    with one.dialogue(ehlo="x") as talk:
        assert "AUTH" not in talk.ehlo_reply[1]
        assert talk.command("AUTH PLAIN " + plain("fred", "x"))[0] in (454, 535)
        talk.expect("MAIL FROM:<a@b.example>", 250)


@pytest.mark.dromos
def test_a_silent_dovecot_is_waited_for_once(instance, made):
    one = with_dovecot(instance, start=False, smtpd_sasl_answer_timeout="2s")
    fake(one, made, greeting="")
    begun = time.monotonic()
    talks = [one.dialogue() for _ in range(20)]
    for talk in talks:
        talk.send("EHLO x\r\n")
    for talk in talks:
        assert "AUTH" not in talk.reply()[1]
        talk.close()
    assert time.monotonic() - begun < 5


@pytest.mark.dromos
def test_no_authentication_server(instance):
    one = with_dovecot(instance, "private/nowhere")
    with one.dialogue(ehlo="x") as talk:
        assert "AUTH" not in talk.ehlo_reply[1]
        assert talk.command("AUTH PLAIN " + plain("fred", "x"))[0] == 454
    assert one.log.find("warning: SASL: Connect to private/nowhere: No such file or directory")


# ---- EXTERNAL with Cyrus


@pytest.fixture
def external(instance, tmp_path):
    """Makes an instance whose smtpd.conf has this mech_list (None: none); .certificates are its clients'."""
    def make(mech_list, **main):
        certificates = ClientCertificates(tmp_path)
        one = instance(start=False, main={**OPEN, **certificates.main, **main})
        files = CyrusFiles(one.directory / "sasl", users=(("fred", SECRET),), **({"mech_list": mech_list} if mech_list else {}))
        one.main.update({**files.main, "smtpd_sasl_local_domain": ""})
        one.write()
        one.certificates = certificates
        return one.start()
    return make


@needs_cyrus
@pytest.mark.dromos
def test_external_with_cyrus(external):
    one = external("PLAIN EXTERNAL")
    with under_tls(one, one.certificates.fred) as talk:
        assert sorted(offered(talk)) == ["EXTERNAL", "PLAIN"]
        talk.expect("AUTH EXTERNAL", 334)
        talk.expect("", 235)
        talk.envelope("fred@test.example", "a@far.example")  # the login lets it relay
        talk.expect("Subject: x\r\n\r\nx\r\n.", 250)
    assert one.log.find(r": client=.*, sasl_method=EXTERNAL, sasl_username=fred$")
    for claim, code in (("=", 235), (b64("fred"), 235), (b64("admin"), 535), (b64("fred\0admin"), 535), (b64("Fred"), 535)):
        with under_tls(one, one.certificates.fred) as talk:
            talk.expect(f"AUTH EXTERNAL {claim}", code)
            talk.expect("AUTH PLAIN " + plain("fred@test.example", SECRET), 503 if code == 235 else 235)
    for identity in (one.certificates.stranger, None):
        with under_tls(one, identity) as talk:
            assert offered(talk) == ["PLAIN"]
            talk.expect("AUTH EXTERNAL =", 535)
            talk.expect("AUTH EXTERNAL " + b64("fred"), 535)
    with one.dialogue(ehlo="client.example") as talk:
        assert offered(talk) == ["PLAIN"]
        talk.expect("AUTH EXTERNAL " + b64("fred"), 535)


@needs_cyrus
@pytest.mark.dromos
@pytest.mark.parametrize("mech_list, main", [(None, {}), ("PLAIN", {}), ("PLAIN EXTERNALS", {}),
                                             ("PLAIN EXTERNAL", {"smtpd_sasl_mechanism_filter": "!external, static:rest"})])
def test_cyrus_takes_no_certificates_unless_told_so(external, mech_list, main):
    one = external(mech_list, **main)
    with under_tls(one, one.certificates.fred) as talk:
        assert "PLAIN" in offered(talk) and "EXTERNAL" not in offered(talk)
        talk.expect("AUTH EXTERNAL =", 535)
        talk.expect("AUTH EXTERNAL " + b64("fred"), 535)


@needs_cyrus
@pytest.mark.dromos
@pytest.mark.parametrize("subject", ["/O=fred", "/CN=fr\u00e9d", "/DC=example/CN=fred/CN=Smith"])
def test_external_wants_a_common_name_that_is_a_user_name(external, subject):
    """An organization's name is nobody's, one of two is not the other, and one that would be altered on its way could be somebody else's."""
    one = external("PLAIN EXTERNAL")
    nameless = one.certificates.of("fred", label="nameless", subject=subject)
    with under_tls(one, nameless) as talk:
        assert offered(talk) == ["PLAIN"]
        talk.expect("AUTH EXTERNAL =", 535)
    with under_tls(one, one.certificates.fred) as talk:
        assert "EXTERNAL" in offered(talk)
