# SPDX-License-Identifier: ISC
"""TLS to other servers: levels, policy tables, certificates, refusals, wrapper mode, kept connections."""
import os
import re
import shutil
import smtplib
import ssl
import subprocess
from pathlib import Path

import pytest

from harness import Authority, Close, DnsServer, Hang, postfix_flavour, smtp_send, wait_until

HOST = "mx.far.example"
TOP = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.dromos  # it asks the name server of the test


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def good(authority):
    return authority.issue(HOST)


@pytest.fixture(scope="module")
def peers(authority, good, tmp_path_factory):
    """Certificates by kind."""
    stranger = Authority(tmp_path_factory.mktemp("stranger"), "Stranger")
    return {"good": good, "stranger": stranger.issue(HOST), "other": authority.issue("other.example"),
            "wild": authority.issue("*.far.example"), "expired": authority.issue(HOST, days=-1)}


@pytest.fixture
def client(instance, authority):
    """client(destinations, **main): an instance with a next hop for each name of destinations, {name: (sink, policy)}: mail
    for u@NAME.test goes to the sink under the policy. All are called mx.far.example."""
    servers = []

    def make(destinations, **main):
        dns = DnsServer({(HOST, "A"): ["127.0.0.1"]})
        servers.append(dns)
        system = instance(start=False)
        routes = "".join(f"{name}.test smtp:[{HOST}]:{sink.port}\n" for name, (sink, _) in destinations.items())
        policies = "".join(f"[{HOST}]:{sink.port} {policy}\n" for sink, policy in destinations.values() if policy)
        # The agents may read what lies in the configuration directory.
        ca = system.file("ca.pem", authority.cert.read_text())
        system.main.update({
            "transport_maps": f"texthash:{system.file('routes', routes)}",
            "smtp_tls_policy_maps": f"texthash:{system.file('policies', policies)}",
            "smtp_tls_CAfile": ca, "smtp_tls_loglevel": "1", "minimal_backoff_time": "300s", **main})
        system.environment["DROMOS_DNS_SERVERS"] = dns.address
        system.write()
        return system.start()

    yield make
    for one in servers:
        one.close()


def deliver(system, names):
    """Sends a message for each name and returns its status lines."""
    with system.dialogue(ehlo="client.example") as talk:
        for name in names:
            talk.envelope("joe@client.example", f"u@{name}.test")
            talk.expect("Subject: x\r\n\r\n.", 250)
    return {name: system.log.wait_for(rf"to=<u@{name}\.test>,.*", 30).group(0) for name in names}


# (policy, kind of certificate, what the status line must hold)
SENT = "status=sent"
LEVELS = [
    ("none", "good", rf"tls=none, .*{SENT}"),
    ("may", "stranger", rf"tls=may, .*{SENT}"),
    ("encrypt", "stranger", rf"tls=encrypt, .*{SENT}"),
    ("verify", "good", rf"tls=verify, .*{SENT}"),
    ("verify", "wild", rf"tls=verify, .*{SENT}"),
    ("verify", "stranger", r"dsn=4\.7\.5, status=deferred \(Server certificate not verified\)"),
    ("verify", "expired", r"dsn=4\.7\.5, status=deferred \(Server certificate not verified\)"),
    ("verify", "other", r"tls=!verify:nocertmatch, dsn=4\.7\.5, status=deferred \(Server certificate not verified\)"),
    ("verify match=other.example", "other", SENT),
    ("secure", "good", SENT),
    ("secure match=.far.example", "good", SENT),
    ("secure match=elsewhere.example:.test", "good", r"status=deferred \(Server certificate not verified\)"),
    ("secure match=nexthop servername=hostname", "good", SENT),
    ("secure tafile={etc}/stranger.pem", "stranger", SENT),
    ("secure tafile={etc}/stranger.pem", "good", r"status=deferred \(Server certificate not verified\)"),
    ("fingerprint match={cert}", "stranger", SENT),
    ("fingerprint match=00:11|{key}", "stranger", SENT),
    ("fingerprint match=00:11", "stranger", r"tls=!fingerprint:nocertmatch, .*status=deferred \(Server certificate not verified\)"),
    ("encrypt protocols=TLSv1.2", "good", SENT),
    ("encrypt ciphers=bogus", "good", r"dsn=4\.7\.5, status=deferred"),
    ("encrypt protocols=bogus", "good", r"dsn=4\.7\.5, status=deferred"),
]


def test_levels_and_certificates(client, sink, peers):
    destinations = {}
    texts = {}
    for number, (policy, kind, _) in enumerate(LEVELS):
        leaf = peers[kind]
        server = sink(tls=leaf.server_context())
        texts[f"d{number}"] = (policy, leaf)
        destinations[f"d{number}"] = (server, policy)
    system = None

    def fill(etc):
        return {name: (destinations[name][0], policy.format(etc=etc, cert=leaf.fingerprint, key=leaf.key_fingerprint))
                for name, (policy, leaf) in texts.items()}

    # The policies name files below the instance's own directory.
    system = client(destinations)
    system.file("stranger.pem", peers["stranger"].authority.cert.read_text())
    filled = fill(system.config_directory)
    system.file("policies", "".join(f"[{HOST}]:{s.port} {policy}\n" for s, policy in filled.values()))
    system.restart()
    lines = deliver(system, list(destinations))
    wrong = [f"{policy} with {kind}: {lines[f'd{number}']}" for number, (policy, kind, expected) in enumerate(LEVELS)
             if not re.search(expected, lines[f"d{number}"])]
    assert not wrong, "\n".join(wrong) + "\n" + system.log.text()[-6000:]
    for number, (policy, _, expected) in enumerate(LEVELS):
        if SENT in expected:
            (message,) = destinations[f"d{number}"][0].wait(1)
            assert bool(message.tls) == (policy != "none"), policy
            if "protocols=TLSv1.2" in policy:
                assert message.tls == "TLSv1.2"
    port = destinations["d3"][0].port
    assert system.log.find(rf"Verified TLS connection established to {HOST}\[127\.0\.0\.1\]:{port}: TLSv1\.3 with cipher \S+ \(\d+/\d+ bits\)")
    port = destinations["d1"][0].port
    assert system.log.find(rf"Untrusted TLS connection established to {HOST}\[127\.0\.0\.1\]:{port}: ")
    assert system.log.find(r"(server )?certificate verification failed for mx\.far\.example\[127\.0\.0\.1\]:\d+: ")


BAD_POLICIES = ["bogus", "may match=a.example", "encrypt tafile=/x", "fingerprint", "verify match=", "secure tafile=/nonexistent",
                "dane match=nexthop", "dane-only", "may foo=bar", "may ciphers=high ciphers=low", "secure ciphers",
                "encrypt connection_reuse=maybe"]


def test_bad_policies_defer(client, sink, good):
    destinations = {f"b{number}": (sink(tls=None), policy) for number, policy in enumerate(BAD_POLICIES)}
    system = client(destinations)
    lines = deliver(system, list(destinations))
    for name, (server, policy) in destinations.items():
        if policy == "secure tafile=/nonexistent" and "dsn=4.7.4" in lines[name]:
            continue  # the file is opened when TLS starts
        assert re.search(r"dsn=4\.7\.5, status=deferred \(client TLS configuration problem\)", lines[name]), (policy, lines[name])
        assert not server.messages


def garble(session):
    """Answers a handshake with what is none."""
    session.socket.sendall(b"220 go ahead\r\n")
    session.socket.recv(4096)
    return Close(b"this is no handshake\r\n")


def test_starttls_absent_refused_broken(client, sink, good):
    plain, refuses, breaks, closes, hangs = (sink(tls=good.server_context() if tls else None) for tls in (0, 1, 1, 1, 1))
    refuses.on("starttls", "454 4.7.0 not today")
    breaks.on("starttls", garble)
    closes.on("starttls", Close(b"220 2.0.0 go\r\n"))
    hangs.on("starttls", Hang())
    kinds = {"plain": plain, "refuses": refuses, "breaks": breaks, "closes": closes, "hangs": hangs}
    strict = {f"e{name}": (server, None) for name, server in kinds.items()}
    system = client(strict, smtp_tls_security_level="encrypt", smtp_starttls_timeout="2s")
    lines = deliver(system, list(strict))
    place = rf"{re.escape(HOST)}\[127\.0\.0\.1\]"
    expected = {
        "eplain": rf"tls=!encrypt:nostarttls, dsn=4\.7\.4, status=deferred \(TLS is required, but was not offered by host {place}\)",
        "erefuses": rf"dsn=4\.7\.0, status=deferred \(TLS is required, but host {place} refused to start TLS: 454 4\.7\.0 not today\)",
        "ebreaks": r"tls=!encrypt:noencryption, dsn=4\.7\.5, status=deferred \(Cannot start TLS: handshake failure\)",
        "ecloses": r"dsn=4\.7\.5, status=deferred \(Cannot start TLS: handshake failure\)",
        "ehangs": rf"dsn=4\.4\.2, status=deferred \(conversation with {place} timed out while receiving the STARTTLS response\)",
    }
    for name, pattern in expected.items():
        assert re.search(pattern, lines[name]), lines[name]
    assert not any(server.messages for server in kinds.values())
    assert system.log.find(rf"SSL_connect error to {place}:\d+: ")


def test_may_goes_on_in_the_clear(client, sink, good):
    """Not offered and refused: at once. A broken handshake: once the message has waited."""
    plain, refuses, breaks = (sink(tls=good.server_context() if tls else None) for tls in (0, 1, 1))
    refuses.on("starttls", "454 4.7.0 not today")
    breaks.on("starttls", garble)
    system = client({"plain": (plain, "may"), "refuses": (refuses, "may"), "breaks": (breaks, "may")},
                    minimal_backoff_time="2s", maximal_backoff_time="3s", queue_run_delay="1s")
    lines = deliver(system, ["plain", "refuses", "breaks"])
    assert re.search(r"tls=may:none, dsn=2\.0\.0, status=sent", lines["plain"])
    assert re.search(r"tls=may:noencryption, dsn=2\.0\.0, status=sent", lines["refuses"])
    assert re.search(r"dsn=4\.7\.5, status=deferred \(Cannot start TLS: handshake failure\)", lines["breaks"])
    breaks.wait(1, timeout=30)
    system.log.wait_for(r"to=<u@breaks\.test>.* tls=may:noencryption, .*status=sent", 30)


def test_ehlo_after_tls_counts_and_cleartext_is_forgotten(client, sink, good):
    """What was offered in the clear, or sent along with the answer to STARTTLS, means nothing under TLS."""
    server = sink(tls=good.server_context(), keywords=["PIPELINING", "SIZE 10"])
    server.on("ehlo", lambda session: None if not isinstance(session.socket, ssl.SSLSocket)
              else "250-sink.example\n250-DSN\n250 SIZE 1000000")
    injected = sink(tls=good.server_context())
    injected.on("starttls", b"220 2.0.0 ready\r\n550 5.7.1 injected\r\n250 injected\r\n")
    system = client({"ehlo": (server, "encrypt"), "injected": (injected, "encrypt")})
    lines = deliver(system, ["ehlo", "injected"])
    assert "status=sent" in lines["ehlo"], lines
    (message,) = server.wait(1)
    assert any(option.startswith("SIZE=") for option in message.mail_options)
    assert "status=sent" in lines["injected"] or "Cannot start TLS" in lines["injected"], lines
    assert "injected" not in lines["injected"].replace("u@injected.test", "")


def test_wrapper_mode(client, sink, good):
    server, plain = sink(tls=good.server_context(), wrapper=True), sink()
    system = client({"w": (server, None), "p": (plain, None)}, smtp_tls_security_level="secure", smtp_tls_wrappermode="yes",
                    smtp_starttls_timeout="3s")
    lines = deliver(system, ["w", "p"])
    assert "status=sent" in lines["w"]
    (message,) = server.wait(1)
    assert message.tls and "STARTTLS" not in server.commands
    assert re.search(r"dsn=4\.\d\.\d, status=deferred", lines["p"])
    assert not plain.messages


def test_connections_are_shared_under_one_policy_only(client, sink, good):
    server, single = sink(tls=good.server_context()), sink(tls=good.server_context())
    system = client({"r": (server, "encrypt connection_reuse=yes"), "s": (single, "encrypt")})
    for name in ("r", "s"):
        with system.dialogue(ehlo="client.example") as talk:
            for number in range(12):
                talk.envelope("joe@client.example", f"u{number}@{name}.test")
                talk.expect("Subject: x\r\n\r\n.", 250)
    server.wait(12)
    single.wait(12)
    assert server.connections < 12 and all(message.tls for message in server.messages)
    assert single.connections == 12
    system.log.wait_for(r"to=<u\d+@r\.test>.*conn_use=2.*tls=encrypt")


def test_tls_sessions_are_resumed(client, sink, good):
    server = sink(tls=good.server_context())
    system = client({"x": (server, "verify")}, smtp_tls_session_cache_database="btree:$data_directory/smtp_scache")
    for number in range(3):
        deliver(system, ["x"])
        server.wait(number + 1)
        system.wait_queue_empty()
    assert [message.tls_resumed for message in server.messages] == [False, True, True]
    assert system.log.count(r"Verified TLS connection established to") == 3


KEEPS = {"smtp_tls_session_cache_database": "btree:$data_directory/smtp_scache"}


def test_a_session_is_no_proof_when_other_authorities_are_trusted(client, sink, good, peers):
    server = sink(tls=good.server_context())
    system = client({"x": (server, "verify"), "y": (server, "verify")}, **KEEPS)
    assert SENT in deliver(system, ["x"])["x"]
    system.set(smtp_tls_CAfile=system.file("stranger.pem", peers["stranger"].authority.cert.read_text()))
    assert "status=deferred (Server certificate not verified)" in deliver(system, ["y"])["y"]


def test_a_server_that_failed_is_looked_at_anew(client, sink, good, peers):
    """It has got another certificate since, and would resume the session in which it showed the wrong one."""
    context = peers["stranger"].server_context()
    server = sink(tls=context)
    system = client({"x": (server, "verify protocols=TLSv1.2")}, **KEEPS)
    assert "status=deferred (Server certificate not verified)" in deliver(system, ["x"])["x"]
    context.load_cert_chain(good.chain, good.key)
    system.run("postqueue", "-f", check=True)
    system.log.wait_for(r"to=<u@x\.test>.*status=sent", 30)


def test_client_certificate_is_shown(client, sink, authority, good):
    server = sink(tls=good.server_context(asks=authority))
    own = authority.issue("mx.test.example")
    system = client({"c": (server, "encrypt")}, smtp_tls_cert_file=own.chain, smtp_tls_key_file=own.key)
    lines = deliver(system, ["c"])
    assert "status=sent" in lines["c"], system.log.text()[-4000:]
    (message,) = server.wait(1)
    assert message.tls_peer and (("commonName", "mx.test.example"),) in message.tls_peer["subject"]


@pytest.mark.parametrize("table, level, is_tls, is_sent", [
    (f"{HOST} MUST_NOPEERMATCH", "may", True, True), (f"{HOST} NONE", "encrypt", False, True),
    (f"{HOST} MUST", "may", True, False), (f"{HOST} MAY", "none", True, True)])
def test_per_site_tables(client, sink, peers, table, level, is_tls, is_sent):
    server = sink(tls=peers["stranger"].server_context())
    system = client({"x": (server, None)}, smtp_tls_policy_maps="", smtp_tls_per_site="inline:{{%s=%s}}" % tuple(table.split()),
                    smtp_tls_security_level=level)
    line = deliver(system, ["x"])["x"]
    assert ("status=sent" in line) == is_sent, line
    if is_sent:
        assert bool(server.wait(1)[0].tls) == is_tls


def hashed(system, name, authority):
    """A directory of authorities as OpenSSL looks them up, where the agents may read."""
    folder = system.config_directory / name
    folder.mkdir()
    folder.chmod(0o755)
    shutil.copy(authority.cert, folder / "authority.pem")
    subprocess.run(["openssl", "rehash", str(folder)], check=True, capture_output=True, timeout=60)
    return folder


@pytest.mark.parametrize("place", ["smtp_tls_CApath", "elsewhere", "nothing"])
def test_directory_of_authorities(client, sink, good, authority, place):
    """Authorities are looked up in smtp_tls_CApath during the handshake, wherever that directory is."""
    system = client({"x": (sink(tls=good.server_context()), "secure match=nexthop")}, smtp_tls_CAfile="")
    if place != "nothing":
        folder = hashed(system, "authorities", authority)
        if place == "elsewhere":
            folder = folder.rename(system.directory / "authorities")
        system.set(smtp_tls_CApath=folder)
    line = deliver(system, ["x"])["x"]
    assert ("status=deferred (Server certificate not verified)" if place == "nothing" else "status=sent") in line, line


@pytest.mark.parametrize("appends", ["yes", "no"])
def test_the_systems_authorities_count_if_told(client, sink, good, authority, appends):
    """The system's store is what OpenSSL's environment variables name: here a directory with the test's authority."""
    system = client({"x": (sink(tls=good.server_context()), "secure match=nexthop")}, smtp_tls_CAfile="", tls_append_default_CA=appends)
    folder = hashed(system, "system", authority)
    system.stop()
    system.environment["SSL_CERT_DIR"] = str(folder)
    system.set(import_environment="MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ XAUTHORITY DISPLAY LANG=C SSL_CERT_DIR DROMOS_DNS_SERVERS")
    system.start()
    line = deliver(system, ["x"])["x"]
    assert ("status=sent" if appends == "yes" else "status=deferred (Server certificate not verified)") in line, line


@pytest.mark.parametrize("main, kind, status", [
    ({}, None, "tls=none, .*status=sent"), ({"smtp_use_tls": "yes"}, "stranger", "tls=may, .*status=sent"),
    ({"smtp_use_tls": "yes"}, None, "status=sent"), ({"smtp_enforce_tls": "yes"}, "good", "tls=verify, .*status=sent"),
    ({"smtp_enforce_tls": "yes"}, "stranger", "status=deferred .Server certificate not verified"),
    ({"smtp_enforce_tls": "yes"}, None, "status=deferred .TLS is required, but was not offered"),
    ({"smtp_enforce_tls": "yes", "smtp_tls_enforce_peername": "no"}, "stranger", "tls=encrypt, .*status=sent"),
    ({"smtp_enforce_tls": "yes", "smtp_tls_security_level": "may"}, "stranger", "tls=may, .*status=sent"),
    ({"smtp_use_tls": "yes", "smtp_tls_security_level": "none"}, "good", "tls=none, .*status=sent")])
def test_old_parameters(client, sink, peers, main, kind, status):
    server = sink(tls=peers[kind].server_context() if kind else None)
    system = client({"x": (server, None)}, **{"smtp_tls_policy_maps": "", "smtp_tls_security_level": "", **main})
    line = deliver(system, ["x"])["x"]
    assert re.search(status, line), line
    if "status=sent" in line:
        assert bool(server.wait(1)[0].tls) == (kind is not None and "tls=none" not in line)


def test_starttls_offers_are_noted(client, sink, good):
    system = client({"x": (sink(tls=good.server_context()), "none")}, smtp_tls_note_starttls_offer="yes")
    deliver(system, ["x"])
    system.log.wait_for(rf"Host offered STARTTLS: \[{HOST}\]")


def test_lmtp_has_its_own_parameters(instance, sink, good, authority):
    server = sink(tls=good.server_context())
    system = instance(start=False)
    system.main.update({"transport_maps": f"inline:{{x.test=lmtp:inet:127.0.0.1:{server.port}}}", "lmtp_tls_security_level": "encrypt",
                        "smtp_tls_security_level": "none"})
    system.write()
    system.start()
    smtp_send(system, "joe@client.example", "u@x.test")
    system.log.wait_for(r"lmtp\[\d+\]: .*to=<u@x\.test>.*tls=encrypt, .*status=sent", 20)
    (message,) = server.wait(1)
    assert message.tls


# REQUIRETLS and TLS-Required (RFC 8689)

REQUIRED = {
    "offers": ("verify", "good", ["REQUIRETLS"], r"tls=verify/requiretls, dsn=2\.0\.0, status=sent"),
    "silent": ("verify", "good", [], r"tls=verify/!requiretls:none, dsn=5\.7\.30, status=bounced \(Sender requested REQUIRETLS, but REQUIRETLS is not offered by host"),
    "plain": ("may", None, [], r"tls=may:none/!requiretls:nostarttls, dsn=5\.7\.10, status=bounced \(Sender requested REQUIRETLS, but TLS is not available with host"),
    "stranger": ("encrypt", "stranger", ["REQUIRETLS"], r"tls=encrypt/!requiretls:nocertmatch, dsn=5\.7\.10, status=bounced \(Sender requested REQUIRETLS, but the certificate cannot be verified of host"),
    "named": ("encrypt match=x", "good", ["REQUIRETLS"], r"dsn=4\.7\.5, status=deferred"),
}


def test_requiretls_is_enforced(client, sink, peers):
    destinations = {name: (sink(tls=peers[kind].server_context() if kind else None, tls_keywords=keywords), policy)
                    for name, (policy, kind, keywords, _) in REQUIRED.items()}
    system = client(destinations)
    for name in destinations:
        system.run("sendmail", "-O", "REQUIRETLS=yes", "-f", "joe@test.example", f"u@{name}.test", input="Subject: x\n\nx\n")
    for name, (_, _, _, pattern) in REQUIRED.items():
        line = system.log.wait_for(rf"to=<u@{name}\.test>,.*", 30).group(0)
        assert re.search(pattern, line), line
    (message,) = destinations["offers"][0].wait(1)
    assert "REQUIRETLS" in message.mail_options
    assert not any(destinations[name][0].messages for name in REQUIRED if name != "offers")


def test_requiretls_as_far_as_possible(client, sink, peers):
    plain, silent = sink(), sink(tls=peers["stranger"].server_context())
    system = client({"plain": (plain, "may"), "silent": (silent, "may")},
                    smtp_requiretls_policy="inline:{{%s=opportunistic}}, enforce" % ".far.example")
    for name in ("plain", "silent"):
        system.run("sendmail", "-O", "REQUIRETLS=yes", "-f", "joe@test.example", f"u@{name}.test", input="Subject: x\n\nx\n")
        line = system.log.wait_for(rf"to=<u@{name}\.test>,.*", 30).group(0)
        assert re.search(r"tls=may(:none)?/requiretls:(nostarttls|nocertmatch), dsn=2\.0\.0, status=sent", line), line
    assert "REQUIRETLS" not in plain.messages[0].mail_options


def test_requiretls_comes_in_over_tls_only(instance, sink, good):
    server = sink(tls=good.server_context(), tls_keywords=["REQUIRETLS"])
    system = instance(start=False)
    system.main.update({"relayhost": server.nexthop, "smtp_tls_security_level": "fingerprint",
                        "smtp_tls_fingerprint_cert_match": good.fingerprint, "smtpd_tls_security_level": "may",
                        "smtpd_tls_cert_file": good.chain, "smtpd_tls_key_file": good.key, "smtp_requiretls_policy": "enforce"})
    system.write()
    system.start()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", system.port, timeout=20) as talk:
        talk.ehlo("client.example")
        assert not talk.has_extn("requiretls")
        assert talk.docmd("MAIL FROM:<joe@client.example> REQUIRETLS")[0] == 555
        talk.rset()
        talk.starttls(context=context)
        talk.ehlo("client.example")
        assert talk.has_extn("requiretls")
        talk.sendmail("joe@client.example", ["u@far.example"], "Subject: x\r\n\r\nx\r\n", mail_options=["REQUIRETLS"])
    (message,) = server.wait(1, instance=system)
    assert "REQUIRETLS" in message.mail_options
    system.log.wait_for(r"tls=fingerprint/requiretls, dsn=2\.0\.0, status=sent")


HEADER = "Require-TLS-ESMTP: yes"


@pytest.mark.parametrize("main, is_recorded", [({}, True), ({"requiretls_esmtp_header": "no"}, False), ({"requiretls_enable": "no"}, False)])
def test_a_header_records_requiretls(client, sink, good, main, is_recorded):
    """It comes with REQUIRETLS, once, and goes on with it through what knows the header only."""
    server = sink(tls=good.server_context(), tls_keywords=["REQUIRETLS"])
    system = client({"x": (server, "verify"), "plain": (sink(), "may")}, **main)
    system.run("sendmail", "-O", "REQUIRETLS=yes", "-f", "joe@test.example", "u@x.test", input="Subject: one\n\nx\n")
    with system.dialogue(ehlo="client.example") as talk:
        talk.envelope("joe@client.example", "v@x.test")
        talk.expect(f"Subject: two\r\n{HEADER.upper()}\r\n\r\n{HEADER}\r\n.", 250)
        talk.envelope("joe@client.example", "w@x.test")
        talk.expect(f"Subject: three\r\nRequire-TLS-ESMTP: no\r\n\r\n{HEADER}\r\n.", 250)
        talk.envelope("joe@client.example", "u@plain.test")
        talk.expect(f"Subject: four\r\n{HEADER}\r\n\r\nx\r\n.", 250)
    line = system.log.wait_for(r"to=<u@plain\.test>,.*", 30).group(0)
    assert bool(re.search(r"dsn=5\.7\.10, status=bounced \(Sender requested REQUIRETLS", line)) == is_recorded, line
    by_subject = {re.search(rb"Subject: (\w+)", m.data)[1]: m for m in server.wait(3)}
    assert ("REQUIRETLS" in by_subject[b"two"].mail_options) == is_recorded
    assert "REQUIRETLS" not in by_subject[b"three"].mail_options
    assert ("REQUIRETLS" in by_subject[b"one"].mail_options) == ("requiretls_enable" not in main)
    assert by_subject[b"one"].data.count(HEADER.encode()) == is_recorded
    assert by_subject[b"two"].data.lower().count(HEADER.lower().encode()) == 2


@pytest.mark.parametrize("value, is_sent", [("No", True), ("no", True), ("yes", False)])
def test_tls_required_no_waives_the_policy(client, sink, peers, value, is_sent):
    server = sink(tls=peers["stranger"].server_context())
    system = client({"x": (server, "verify")})
    with system.dialogue(ehlo="client.example") as talk:
        talk.envelope("joe@client.example", "u@x.test")
        talk.expect(f"TLS-Required: {value}\r\nSubject: x\r\n\r\n.", 250)
    line = system.log.wait_for(r"to=<u@x\.test>,.*", 30).group(0)
    assert bool(re.search(r"tls=may, dsn=2\.0\.0, status=sent", line)) == is_sent, line


def test_no_password_follows_into_the_clear(client, sink, good):
    """A message whose TLS handshake is disturbed again and again stays where it is when a login goes with it."""
    server = sink(tls=good.server_context(), keywords=["PIPELINING", "AUTH PLAIN"])
    server.on("starttls", garble)
    system = client({"x": (server, "may")}, smtp_sasl_auth_enable="yes", smtp_sasl_password_maps="static:joe:secret",
                    smtp_sasl_security_options="noanonymous", minimal_backoff_time="1s", maximal_backoff_time="1s",
                    queue_run_delay="1s")
    deliver(system, ["x"])
    system.log.wait_for(r"(?s)(Cannot start TLS: handshake failure.*){3}", 30)
    assert not server.messages and not any(command.startswith(("AUTH", "MAIL")) for command in server.commands)


def test_replies_that_come_too_early(client, sink, good):
    server = sink(tls=good.server_context())
    server.on("ehlo", lambda session: b"250 sink.example\r\n250 2.1.0 early\r\n" if isinstance(session.socket, ssl.SSLSocket) else None)
    system = client({"x": (server, "encrypt")}, smtp_tls_block_early_mail_reply="yes")
    assert "status=deferred (unexpected server message)" in deliver(system, ["x"])["x"]


RECEIVERS = [("none", False, SENT), ("may", True, SENT), ("encrypt", True, SENT), ("verify match=mx.far.example", True, SENT),
             ("secure match=mx.far.example", True, SENT), ("secure", True, "Server certificate not verified"),
             ("fingerprint match={cert}", True, SENT), ("fingerprint match=00:11", True, "Server certificate not verified")]


def test_debians_postfix_receives_at_each_level(instance, authority, good):
    root = Path(os.environ.get("DROMOS_POSTFIX_ROOT") or TOP / "bench/scratch/postfix-root")
    if not (root / "usr/lib/postfix/sbin/smtpd").exists():
        pytest.skip("Debian's Postfix is not unpacked")
    receivers = instance(flavour=postfix_flavour(root), main={
        "smtpd_tls_security_level": "may", "smtpd_tls_cert_file": good.chain, "smtpd_tls_key_file": good.key, "smtpd_tls_loglevel": "1",
        "mydestination": "", "relay_domains": "test", "relay_transport": "discard:"})
    system = instance(start=False)
    names = [f"d{number}" for number in range(len(RECEIVERS))]
    # The same server under a name for each policy.
    routes = "".join(f"{name}.test smtp:[{name}.localhost]:{receivers.port}\n" for name in names)
    policies = "".join(f"[{name}.localhost]:{receivers.port} {policy.format(cert=good.fingerprint)}\n"
                       for name, (policy, _, _) in zip(names, RECEIVERS))
    with DnsServer({(f"{name}.localhost", "A"): ["127.0.0.1"] for name in names}) as dns:
        system.main.update({"transport_maps": f"texthash:{system.file('routes', routes)}", "smtp_tls_loglevel": "1",
                            "smtp_tls_policy_maps": f"texthash:{system.file('policies', policies)}",
                            "smtp_tls_CAfile": system.file("ca.pem", authority.cert.read_text())})
        system.environment["DROMOS_DNS_SERVERS"] = dns.address
        system.write()
        system.start()
        lines = deliver(system, names)
    for name, (policy, is_tls, expected) in zip(names, RECEIVERS):
        assert expected in lines[name], (policy, lines[name])
    established = sum(is_tls for _, is_tls, _ in RECEIVERS)
    assert system.log.count("TLS connection established to") == established
    receivers.log.wait_for(r"(?s)(TLS connection established from.*){%d}" % established)


@pytest.mark.parametrize("pattern, enforces, is_sent", [("*.far.example", "yes", True), ("mx.elsewhere.example", "yes", False),
                                                        ("mx.elsewhere.example", "no", True)])
def test_policies_with_mx_patterns(client, sink, good, pattern, enforces, is_sent):
    """As programs that know MTA-STS policies write them into a table."""
    server = sink(tls=good.server_context())
    system = client({"x": (server, f"secure match=mx.far.example servername=hostname policy_type=sts policy_domain=far.example "
                                   f"{{ policy_string = mode: enforce }} mx_host_pattern={pattern}")},
                    smtp_tls_enforce_sts_mx_patterns=enforces)
    line = deliver(system, ["x"])["x"]
    assert ("tls=secure, dsn=2.0.0, status=sent" in line) == is_sent, line
    if not is_sent:
        assert "dsn=4.7.5, status=deferred (MX host mx.far.example matches no name of the MTA-STS policy of mx.far.example)" in line
        assert server.connections == 0


@pytest.mark.parametrize("redacts", ["yes", "no"])
def test_notices_of_requiretls_mail_hold_no_content(client, sink, redacts):
    system = client({"plain": (sink(), "may")}, requiretls_redact_dsn=redacts)
    system.run("sendmail", "-O", "REQUIRETLS=yes", "-f", f"{system.person}@test.example", "u@plain.test",
               input="Subject: kept\n\nconfidential words\n")
    box = system.mail_directory / system.person
    wait_until(lambda: box.exists() and "5.7.10" in box.read_text(), 30, lambda: f"the notice; {system.log.text()[-3000:]}")
    text = box.read_text()
    assert "Subject: kept" in text and ("confidential words" in text) == (redacts == "no")


@pytest.mark.dromos
@pytest.mark.parametrize("policy, main, who", [("verify enable_rpk=yes", {}, "smtp_tls_policy_maps"), ("verify", {"smtp_tls_enable_rpk": "yes"}, "smtp_tls_enable_rpk"),
                                               ("verify enable_rpk=no", {}, None)])
def test_certificates_serve_where_raw_keys_are_wanted(client, sink, good, policy, main, who):
    system = client({"x": (sink(tls=good.server_context()), policy)}, **main)
    for number in range(2):
        with system.dialogue(ehlo="client.example") as talk:
            talk.envelope("joe@client.example", f"u{number}@x.test")
            talk.expect("Subject: x\r\n\r\n.", 250)
        assert SENT in system.log.wait_for(rf"to=<u{number}@x\.test>,.*", 30).group(0)
    assert system.log.count("raw public keys") == bool(who)
    assert not who or system.log.find(rf"warning: {who}: raw public keys \(RFC 7250\) are not supported here: certificates are used")


@pytest.mark.dromos
def test_traces_are_bounded(client, sink, good):
    names = ["a", "b", "c", "d"]
    server = sink(tls=good.server_context())
    system = client({name: (server, "encrypt") for name in names}, smtp_tls_loglevel="3", smtp_tls_trace_size_limit="1500")
    deliver(system, names)
    handshakes = system.log.count("setting up TLS connection to")
    traces = system.log.count("the trace ends here: it is longer than 1500 bytes")
    assert 1 <= traces < handshakes and system.log.count("no TLS trace: too many within a second") == handshakes - traces


def test_log_level_by_destination(client, sink, good):
    system = client({"loud": (sink(tls=good.server_context()), "encrypt"), "quiet": (sink(tls=good.server_context()), "encrypt")},
                    smtp_tls_loglevel="0", smtp_tls_loglevel_maps="inline:{{%s=0}}" % HOST)
    deliver(system, ["loud", "quiet"])
    assert not system.log.find("TLS connection established")
    system.set(smtp_tls_loglevel_maps="inline:{{%s=1}}" % HOST)
    deliver(system, ["loud"])
    system.log.wait_for("TLS connection established")
