# SPDX-License-Identifier: ISC
"""Policy delegation: what a policy server is asked, what its answers do, its limits, and servers of the distribution."""
import os
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

from harness import free_port, wait_until
from harness.debian import unpack
from harness.policy import PolicyServer

DEFAULT = (451, "4.3.5 <user@test.example>: Recipient address rejected: Server configuration problem")
ATTRIBUTES = ("request protocol_state protocol_name client_address client_name client_port reverse_client_name server_address "
              "server_port helo_name sender recipient recipient_count queue_id instance size etrn_domain stress sasl_method "
              "sasl_username sasl_sender ccert_subject ccert_issuer ccert_fingerprint ccert_pubkey_fingerprint encryption_protocol "
              "encryption_cipher encryption_keysize").split()


@pytest.fixture
def policy():
    made = []

    def make(*arguments, **options):
        made.append(PolicyServer(*arguments, **options))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture
def asking(instance):
    """An instance whose recipient list asks `service`."""
    def make(service, **main):
        return instance(main={"smtpd_recipient_restrictions": f"check_policy_service {service}, permit", "mynetworks": "10.0.0.0/8",
                              "smtpd_relay_restrictions": "reject_unauth_destination", "smtpd_soft_error_limit": "1000",
                              "smtpd_hard_error_limit": "1000", **main})
    return make


def restart(mx, **main):
    """Runs on with other parameters. A reload would leave a moment in which an old process answers."""
    mx.set(reload=False, **main)
    mx.restart()


def rcpt(mx, recipient="user@test.example"):
    with mx.dialogue(ehlo="client.example") as client:
        client.expect("MAIL FROM:<sender@client.example>", 250)
        return client.command(f"RCPT TO:<{recipient}>")


# What is asked


@pytest.mark.sanitize
def test_every_attribute_in_the_order_of_the_protocol(asking, policy):
    server = policy()
    mx = asking("{ %s, policy_context=incoming }" % server.endpoint, smtpd_delay_reject="no",
                **{f"smtpd_{name}_restrictions": f"check_policy_service {server.endpoint}"
                   for name in ("client", "helo", "sender", "data", "end_of_data")})
    with mx.dialogue(ehlo="client.example") as client:
        client.expect("MAIL FROM:<sender@client.example> SIZE=100", 250)
        client.expect("RCPT TO:<user@test.example>", 250)
        client.expect("RCPT TO:<other@test.example>", 250)
        client.expect("DATA", 354)
        client.expect(b"Subject: x\r\n\r\nhello\r\n.\r\n", 250)
        client.expect("VRFY user@test.example", 252)
    states = [request["protocol_state"] for request in server.requests]
    assert states == ["CONNECT", "EHLO", "MAIL", "RCPT", "RCPT", "DATA", "END-OF-MESSAGE", "VRFY"]
    for request in server.requests:
        assert list(request)[:len(ATTRIBUTES)] == ATTRIBUTES
        assert request["request"] == "smtpd_access_policy" and request["client_address"] == "127.0.0.1"
        assert request["server_port"] == str(mx.port) and request["encryption_keysize"] == "0"
    by_state = dict(zip(states, server.requests))  # of equal states the last one
    assert by_state["CONNECT"]["helo_name"] == "" and by_state["EHLO"]["helo_name"] == "client.example"
    assert by_state["MAIL"]["sender"] == "sender@client.example" and by_state["MAIL"]["size"] == "100"
    assert by_state["MAIL"]["instance"] == "" and by_state["VRFY"]["instance"] == ""
    assert by_state["RCPT"]["recipient"] == "other@test.example" and by_state["RCPT"]["recipient_count"] == "0"
    assert by_state["RCPT"]["policy_context"] == "incoming" and by_state["DATA"]["policy_context"] == ""
    assert by_state["DATA"]["recipient"] == "" and by_state["DATA"]["recipient_count"] == "2"
    assert by_state["END-OF-MESSAGE"]["size"] == "21"
    instances = {request["instance"] for request in server.requests[3:7]}
    assert len(instances) == 1 and re.fullmatch(r"[0-9a-f]+\.[0-9a-f]+\.[0-9a-f]+\.[0-9a-f]+", instances.pop())


@pytest.mark.dromos
def test_no_control_character_of_a_client_reaches_the_server(asking, policy):
    server = policy()
    mx = asking(server.endpoint)
    with mx.dialogue() as client:
        client.command(b"EHLO a\x01b\xff\r\n")
        client.command(b'MAIL FROM:<"a\x02action=OK"@client.example>\r\n')
        client.command("MAIL FROM:<sender@client.example>")
        client.command("RCPT TO:<user@test.example>")
    assert not any(re.search(r"[\x00-\x1f\x7f]", value) for value in server.requests[-1].values())


# What is answered


@pytest.mark.parametrize("action, reply", [
    ("DUNNO", (250, "2.1.5 Ok")), ("OK", (250, "2.1.5 Ok")), ("dunno", (250, "2.1.5 Ok")),
    ("REJECT", (554, "5.7.1 <user@test.example>: Recipient address rejected: Access denied")),
    ("REJECT 5.1.1 no such\x01user", (554, "5.1.1 <user@test.example>: Recipient address rejected: no such user")),
    ("550 5.7.9 go away", (550, "5.7.9 <user@test.example>: Recipient address rejected: go away")),
    ("DEFER_IF_PERMIT greylisted", (450, "4.7.1 <user@test.example>: Recipient address rejected: greylisted")),
    ("nonsense", (451, "4.3.5 Server configuration error")),
    (b"other=x\naction=DUNNO\naction=REJECT\n\n", (250, "2.1.5 Ok")),
])
def test_actions(asking, policy, action, reply):
    assert rcpt(asking(policy(action).endpoint)) == reply


@pytest.mark.dromos
@pytest.mark.parametrize("answer", [b"\n", b"action\n\n", b"result=OK\n\n", b"action=OK \xff\n\n", b"action=O\x00K\n\n", b"action=OK\n", None,
                                    b"action=" + b"x" * 200000, b"x=1\n" * 5000 + b"action=OK\n\n"],
                         ids=["empty", "no-value", "no-action", "no-utf8", "nul", "cut-off", "silent-end", "endless-line", "endless-lines"])
def test_malformed_answers_give_the_default_action(asking, policy, answer):
    server = policy(answer)
    mx = asking("{ %s, timeout=1s, retry_delay=1s }" % server.endpoint)
    assert rcpt(mx) == DEFAULT
    mx.log.wait_for(rf"smtpd\[\d+\]: warning: problem talking to server {server.endpoint}: ")
    assert len(server.requests) == 2  # tried twice
    server.answer = "DUNNO"
    assert rcpt(mx)[0] == 250


@pytest.mark.dromos
def test_answers_of_access_tables_and_more(asking, policy):
    server = policy("PREPEND X-Policy: seen")
    mx = asking(server.endpoint)
    with mx.dialogue(ehlo="client.example") as client:
        client.envelope("sender@client.example", "user@test.example")
        client.expect(b"Subject: x\r\n\r\nhello\r\n.\r\n", 250)
    server.answer = "HOLD for a look"
    with mx.dialogue(ehlo="client.example") as client:
        client.envelope("sender@client.example", "user@test.example")
        client.expect(b"Subject: y\r\n\r\nhello\r\n.\r\n", 250)
    mx.wait_queued("hold")
    mx.log.wait_for(r"hold: RCPT from unknown\[127.0.0.1\]: <user@test.example>: Recipient address for a look;")


# Servers that fail


@pytest.mark.dromos
def test_tries_delays_and_the_default_action(asking, policy):
    server = policy(None)
    mx = asking("{ %s, try_limit=3, retry_delay=1s, { default_action = 450 4.7.1 ask later } }" % server.endpoint)
    start = time.monotonic()
    assert rcpt(mx) == (450, "4.7.1 <user@test.example>: Recipient address rejected: ask later")
    assert 1.9 < time.monotonic() - start < 20 and len(server.requests) == 3
    assert mx.log.count("problem talking to server") == 3


@pytest.mark.dromos
def test_nobody_listens(asking):
    mx = asking("unix:private/nothing", smtpd_policy_service_try_limit="1", smtpd_policy_service_default_action="DUNNO")
    assert rcpt(mx) == (250, "2.1.5 Ok")
    mx.log.wait_for(r"warning: problem talking to server private/nothing: connect to private/nothing: .*No such file or directory")


@pytest.mark.dromos
def test_a_slow_server_is_given_up_in_time(asking, policy):
    server = policy("OK", delay=30)
    mx = asking("{ %s, timeout=1s, try_limit=1 }" % server.endpoint)
    start = time.monotonic()
    assert rcpt(mx) == DEFAULT
    assert time.monotonic() - start < 20


@pytest.mark.dromos
def test_unusable_settings_are_a_configuration_error(asking):
    mx = asking("{ inet:127.0.0.1:1, colour=blue }")
    assert rcpt(mx) == (451, "4.3.5 Server configuration error")
    mx.log.wait_for('warning: .*unknown setting "colour"')


# Connections


@pytest.mark.dromos
@pytest.mark.root
def test_connections_are_kept_and_shared(asking, policy):
    mx = asking("unix:private/policy", smtpd_sessions_per_process="1000", smtpd_policy_service_retry_delay="10s")
    server = policy("DUNNO", path=mx.queue_directory / "private/policy")
    for _ in range(5):
        assert rcpt(mx)[0] == 250
    assert len(server.requests) == 5 and server.connections <= len(mx.pids("smtpd"))
    before = server.connections
    server.hang_up()  # as a server that restarts
    start = time.monotonic()
    assert rcpt(mx)[0] == 250
    assert time.monotonic() - start < 9 and server.connections == before + 1  # no try was lost
    assert mx.log.count("problem talking to server") == 0


@pytest.mark.dromos
def test_connections_have_limits(asking, policy):
    server = policy()
    mx = asking("{ %s, request_limit=2 }" % server.endpoint, smtpd_sessions_per_process="1000")
    with mx.dialogue(ehlo="client.example") as client:
        client.expect("MAIL FROM:<sender@client.example>", 250)
        for _ in range(6):
            client.expect("RCPT TO:<user@test.example>", 250)
    assert len(server.requests) == 6 and server.connections == 3
    restart(mx, smtpd_recipient_restrictions="check_policy_service { %s, max_idle=1s }, permit" % server.endpoint)
    assert rcpt(mx)[0] == 250
    wait_until(lambda: not server.open, 10, lambda: "the idle connection to be closed")


@pytest.mark.dromos
def test_a_server_that_takes_few_connections_is_shared_by_many(asking, policy):
    server = policy("DUNNO", at_once=3, delay=0.05)
    mx = asking("{ %s, timeout=20s, try_limit=1 }" % server.endpoint, smtpd_sessions_per_process="1000")
    waiting = [mx.dialogue(ehlo="client.example") for _ in range(20)]
    start = time.monotonic()
    for client in waiting:
        client.send("MAIL FROM:<sender@client.example>\r\nRCPT TO:<user@test.example>\r\n")
    assert all([reply[0] for reply in client.replies(2)] == [250, 250] for client in waiting)
    assert time.monotonic() - start < 10
    for client in waiting:  # and no session is left behind later
        client.expect("RCPT TO:<other@test.example>", 250)
        client.close()


@pytest.mark.alone
@pytest.mark.dromos
def test_a_thousand_waiting_sessions_slow_nobody(asking, policy, is_full):
    count, delay = (1000, 5.0) if is_full else (200, 2.0)
    slow, quick = policy("DUNNO", delay=delay), policy("DUNNO")
    mx = asking("{ %s, timeout=60s }" % slow.endpoint, smtpd_sessions_per_process="2000", default_process_limit="2000",
                smtpd_client_connection_count_limit="0", smtpd_restriction_classes="slow quick",
                slow=f"check_policy_service {slow.endpoint}", quick=f"check_policy_service {quick.endpoint}",
                smtpd_recipient_restrictions="check_recipient_access inline:{user@test.example=slow, fast@test.example=quick}, permit")
    waiting = [mx.dialogue(ehlo="client.example", timeout=60) for _ in range(count)]
    for client in waiting:
        client.send("MAIL FROM:<sender@client.example>\r\nRCPT TO:<user@test.example>\r\n")
    wait_until(lambda: len(slow.requests) >= count, 30, lambda: f"all questions to be asked, {len(slow.requests)} are")
    start = time.monotonic()
    assert rcpt(mx, "fast@test.example")[0] == 250
    elapsed = time.monotonic() - start
    assert len(mx.pids("smtpd")) == 1 and slow.connections >= count
    assert all([reply[0] for reply in client.replies(2)] == [250, 250] for client in waiting)
    for client in waiting:
        client.close()
    assert elapsed < delay / 2, elapsed


# Servers of the distribution


def spoken_to(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


@pytest.mark.root
@pytest.mark.skipif(not os.access("/usr/sbin/postgrey", os.X_OK), reason="postgrey is not installed")
def test_postgrey(asking, workdir, accounts):
    database = workdir / "greylist"
    database.mkdir()
    shutil.chown(database, "postgrey", "postgrey")
    port = free_port()
    with subprocess.Popen(["/usr/sbin/postgrey", f"--inet=127.0.0.1:{port}", f"--dbdir={database}", "--delay=2",
                           f"--pidfile={database}/pid", "--greylist-text=come back later"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as postgrey:
        try:
            wait_until(lambda: spoken_to(port), 20, lambda: "postgrey")
            mx = asking(f"inet:127.0.0.1:{port}")
            code, text = rcpt(mx)
            assert code == 450 and "come back later" in text, (code, text)
            time.sleep(2.5)
            with mx.dialogue(ehlo="client.example") as client:
                client.envelope("sender@client.example", "user@test.example")
                client.expect(b"Subject: x\r\n\r\nhello\r\n.\r\n", 250)
        finally:
            postgrey.terminate()


class Inetd:
    """Runs a command for each connection, with the connection as its standard input and output (as spawn does)."""

    def __init__(self, command, environment=None):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"inet:127.0.0.1:{self._socket.getsockname()[1]}"
        self.started = []
        self._command, self._environment = command, environment
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.started.append(subprocess.Popen(self._command, stdin=connection, stdout=connection, stderr=subprocess.DEVNULL,
                                                 env={**os.environ, **(self._environment or {})}))
            connection.close()

    def close(self):
        self._socket.close()
        for process in self.started:
            process.kill()
            process.wait(10)


SPF = {("good.example", "TXT"): ["v=spf1 ip4:192.0.2.1 -all"], ("bad.example", "TXT"): ["v=spf1 -all"],
       ("client.example", "A"): ["192.0.2.1"], ("bad.example", "A"): ["192.0.2.7"], ("good.example", "A"): ["192.0.2.1"]}


def judge_spf(mx):
    """Mail of a forged and of a genuine sender from 192.0.2.1; the header of the latter."""
    with mx.dialogue() as client:
        client.expect("XCLIENT ADDR=192.0.2.1 NAME=client.example", 220)
        client.expect("EHLO client.example", 250)
        client.expect("MAIL FROM:<joe@bad.example>", 250)
        code, text = client.command("RCPT TO:<user@test.example>")
        assert code == 550 and "SPF" in text.upper(), (code, text)
        client.expect("RSET", 250)
        client.envelope("joe@good.example", "user@test.example")
        client.expect(b"Subject: x\r\n\r\nhello\r\n.\r\n", 250)
    mx.wait_queued("deferred")
    return mx.run("postcat", "-q", mx.queue_ids("deferred")[0]).stdout


def unpacked(package, folder):
    """Where a package is unpacked: these depend on the postfix package, which is not to be installed."""
    root = unpack([package], folder)
    if root is None:
        pytest.skip(f"Debian's {package} package cannot be downloaded")
    return root


SPF_SETTINGS = {"smtpd_authorized_xclient_hosts": "127.0.0.1", "local_transport": "smtp:[127.0.0.1]:1", "smtpd_peername_lookup": "no"}


@pytest.mark.dromos
def test_spf_in_perl(asking, dns, tmp_path):
    names = dns(SPF)
    inetd = Inetd(["perl", unpacked("postfix-policyd-spf-perl", tmp_path) / "usr/sbin/postfix-policyd-spf-perl"], {"RES_NAMESERVERS": "127.0.0.1", "RES_OPTIONS": f"port:{names.port}"})
    try:
        assert re.search(r"^Received-SPF: pass", judge_spf(asking(inetd.endpoint, **SPF_SETTINGS)), re.M | re.I)
    finally:
        inetd.close()


@pytest.mark.dromos
def test_spf_in_python(asking, dns, workdir, tmp_path):
    names = dns(SPF)
    root = unpacked("postfix-policyd-spf-python", tmp_path)
    # The program, with our name server put in the place of the system's.
    starter = workdir / "policyd-spf.py"
    starter.write_text("import runpy, sys\n"
                       "try:\n    import dns.resolver\n"
                       f"    dns.resolver.override_system_resolver = None\n    r = dns.resolver.Resolver(configure=False)\n"
                       f"    r.nameservers, r.port = ['127.0.0.1'], {names.port}\n    dns.resolver.default_resolver = r\n"
                       "except ImportError:\n    pass\n"
                       "try:\n    import DNS\n"
                       f"    DNS.DiscoverNameServers = lambda: None\n    DNS.defaults.update(server=['127.0.0.1'], port={names.port})\n"
                       "except ImportError:\n    pass\n"
                       f"sys.argv = ['policyd-spf', '{root}/etc/postfix-policyd-spf-python/policyd-spf.conf']\nrunpy.run_path('{root}/usr/bin/policyd-spf', run_name='__main__')\n",
                       encoding="ascii")
    inetd = Inetd(["/usr/bin/python3", str(starter)])
    try:
        assert re.search(r"^(Received-SPF: pass|Authentication-Results: .*spf=pass)", judge_spf(asking(inetd.endpoint, **SPF_SETTINGS)),
                         re.M | re.I)
    finally:
        inetd.close()
