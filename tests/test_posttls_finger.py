# SPDX-License-Identifier: ISC
"""posttls-finger: what it says of servers; the same lines as Debian's program for the same server."""
import re
import ssl
import subprocess

import pytest

from harness import Authority, DnsServer, SignedDns, free_port, is_listening, tlsa_line, wait_until
from harness.certificates import Identity


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def leaf(authority):
    return authority.issue("mx.far.example")


@pytest.fixture
def finger(instance):
    system = instance(start=False)

    def run(*arguments, status=0, dns=None):
        if dns:
            system.environment["DROMOS_DNS_SERVERS"] = dns
        result = system.run("posttls-finger", *arguments, check=False, timeout=60)
        assert result.returncode == status, result.stdout + result.stderr
        return result.stdout + result.stderr

    return run


def test_says_the_conversation_and_the_certificate(finger, sink, leaf):
    server = sink(tls=leaf.server_context())
    out = finger("-l", "encrypt", "-L", "summary,peercert", server.nexthop).splitlines()
    place = f"127.0.0.1[127.0.0.1]:{server.port}"
    assert out[:3] == [f"posttls-finger: Connected to {place}", "posttls-finger: < 220 sink.example ESMTP",
                       "posttls-finger: > EHLO mx.test.example"]
    assert f"posttls-finger: {place}: subject_CN=mx.far.example, issuer_CN=Test Authority, fingerprint={leaf.fingerprint}, " \
           f"pkey_fingerprint={leaf.key_fingerprint}" in out
    assert any(re.match(rf"posttls-finger: Untrusted TLS connection established to {re.escape(place)}: TLSv1\.3 with cipher \S+ \(\d+/\d+ bits\)", line)
               for line in out)
    assert out[-2:] == ["posttls-finger: > QUIT", "posttls-finger: < 221 2.0.0 bye"]


@pytest.mark.parametrize("level, match, is_verified", [
    ("secure", ["mx.far.example"], True), ("verify", [".far.example"], True), ("secure", ["no.match.example"], False), ("secure", [], False)])
def test_names(finger, sink, authority, leaf, level, match, is_verified):
    server = sink(tls=leaf.server_context())
    out = finger("-c", "-l", level, "-F", authority.cert, server.nexthop, *match)
    assert ("Verified TLS connection" in out) == is_verified and ("hostname mismatch" in out) != is_verified, out
    assert "EHLO" not in out


def test_fingerprints_and_chain(finger, sink, leaf):
    server = sink(tls=leaf.server_context())
    out = finger("-c", "-C", "-l", "fingerprint", "-d", "sha256", server.nexthop, leaf.fingerprint)
    assert "Matched fingerprint: " + leaf.fingerprint.replace(":", "") in out
    assert "Verified TLS connection" in out
    assert "Certificate chain\n 0 subject: /CN=mx.far.example\n    issuer: /CN=Test Authority\n" in out
    assert out.count("-----BEGIN CERTIFICATE-----") == 2
    assert "Verified" not in finger("-c", "-l", "fingerprint", "-d", "sha256", server.nexthop, "00:11")


def test_failures_and_mistakes(finger, sink, leaf):
    assert re.search(r"Failed to establish session to \[127\.0\.0\.1\]:1 via 127\.0\.0\.1: connect to 127\.0\.0\.1\[127\.0\.0\.1\]:1: Connection refused",
                     finger("[127.0.0.1]:1"))
    assert 'Invalid TLS level "bogus"' in finger("-l", "bogus", "x.example", status=1)
    assert "usage: posttls-finger" in finger(status=1)
    plain = sink()
    assert "TLS connection established" not in finger(plain.nexthop)


def test_wrapper_lmtp_and_reconnecting(finger, sink, leaf):
    wrapped = sink(tls=leaf.server_context(), wrapper=True)
    assert "TLS connection established" in finger("-c", "-w", "-l", "encrypt", wrapped.nexthop)
    lmtp = sink(tls=leaf.server_context())
    assert "> LHLO mx.test.example" in finger("-S", "-l", "encrypt", lmtp.nexthop)
    server = sink(tls=leaf.server_context())
    out = finger("-r", "1", "-m", "2", "-l", "encrypt", server.nexthop)
    assert "Reconnecting after 1 seconds" in out and "Found a previously used server.  Done reconnecting." in out


@pytest.mark.dromos
def test_own_certificate(finger, sink, authority, leaf):
    server = sink(tls=leaf.server_context(asks=authority))
    own = authority.issue("client.example")
    out = finger("-c", "-l", "encrypt", "-k", own.cert, "-K", own.key, server.nexthop)
    assert "client-signature ECDSA" in out, out


@pytest.mark.dromos
@pytest.mark.skipif(not SignedDns.is_available(), reason="nsd, unbound or ldnsutils are not installed")
def test_dane(finger, sink, leaf, workdir):
    server = sink(tls=leaf.server_context())
    lines = ["far IN MX 10 mx.far", "mx.far IN A 127.0.0.1", tlsa_line(f"_{server.port}._tcp.mx.far", leaf.tlsa())]
    with SignedDns(workdir / "dns", {"example": lines}) as dns:
        out = finger("-c", "-l", "dane", f"far.example:{server.port}", dns=dns.address)
    assert f"using DANE RR: 1 record of _{server.port}._tcp.mx.far.example" in out and "Verified TLS connection" in out, out


@pytest.mark.dromos
def test_mail_exchangers_are_tried_in_order(finger, sink, leaf):
    server = sink(tls=leaf.server_context())
    with DnsServer({("far.example", "MX"): [(20, "mx.far.example"), (10, "dead.far.example")], ("mx.far.example", "A"): ["127.0.0.1"],
                    ("dead.far.example", "A"): ["127.0.0.9"]}) as dns:
        out = finger("-l", "encrypt", f"far.example:{server.port}", dns=dns.address)
    assert re.search(r"via dead\.far\.example: connect to dead\.far\.example\[127\.0\.0\.9\]:\d+: Connection refused[^$]*Connected to mx\.far\.example", out)


def test_what_is_told(finger, sink, leaf):
    server = sink(tls=leaf.server_context())
    for words in ("0", "none", "1", "routine", "summary", "2", "debug", "3", "ssl-expert", "4", "ssl-developer", "ssl-debug",
                  "ssl-handshake-packet-dump", "ssl-session-packet-dump", "untrusted", "peercert", "certmatch", "cache", "verbose"):
        out = finger("-c", "-l", "encrypt", "-L", words, server.nexthop)
        assert "unknown" not in out, out
        assert ("Untrusted TLS connection" in out) == (words in ("1", "routine", "summary", "2", "debug", "3", "ssl-expert", "4", "ssl-developer")), words
        assert ("SSL_connect:SSLv3/TLS write finished" in out) >= (words in ("2", "debug", "ssl-debug")), words
        assert ("setting up TLS connection to" in out) == (words in ("2", "debug", "3", "ssl-expert", "4", "ssl-developer", "verbose")), words
    out = finger("-L", "summary,bogus", "-l", "encrypt", server.nexthop)
    assert 'warning: unknown -L option value "bogus"' in out and "> QUIT" in out


def test_reconnecting_tells_of_sessions(finger, sink, leaf, authority):
    server = sink(tls=leaf.server_context())
    out = finger("-r", "1", "-m", "1", "-l", "verify", "-F", authority.cert, server.nexthop, "mx.far.example").split("Reconnecting after 1 seconds")
    name = rf"session \[127\.0\.0\.1\]:{server.port}&[0-9A-Fa-f]+"
    assert re.search(rf"looking for {name} in memory cache[^$]*reloaded {name} from memory cache[^$]*Reusing old session[^$]*save {name} to memory", out[1])
    assert "< 220 " in out[1] and "> QUIT" in out[1] and "EHLO" not in out[1] and "EHLO" in out[0]
    assert out[1].count("Verified TLS connection") == 1 and "subject_CN=" not in out[1] and "subject_CN=" in out[0]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1 is deprecated")
def test_defaults(finger, sink, leaf):
    assert re.search(r"connect to 127\.0\.0\.1\[127\.0\.0\.1\]:25: ", finger("-w", "[127.0.0.1]"))
    old = leaf.server_context()
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1
    old.set_ciphers("ALL:@SECLEVEL=0")
    server = sink(tls=old)
    overrides = ("-o", "smtp_tls_mandatory_protocols=>=TLSv1.3", "-o", "smtp_tls_mandatory_ciphers=high")
    assert "TLS connection established to" in finger("-l", "encrypt", *overrides, server.nexthop)
    good = sink(tls=leaf.server_context())
    assert 'invalid cipher grade: "bogus"' in finger("-g", "bogus", good.nexthop)
    for level in ("dane", "dane-only"):
        out = finger("-l", level, good.nexthop)
        assert ('no TLSA records found, resorting to "secure"' in out) == (level == "dane-only") and "Untrusted TLS connection" in out, out


def test_own_certificates_in_files(finger, sink, authority, leaf, tmp_path):
    server = sink(tls=leaf.server_context(asks=authority))
    own = authority.issue("one.example")
    both = tmp_path / "both"
    both.write_text(own.key.read_text() + own.cert.read_text())
    for arguments in (("-K", both), ("-k", both), ("-H", both), ("-k", own.cert, "-K", own.key)):
        assert "client-signature ECDSA" in finger("-c", "-l", "encrypt", *arguments, server.nexthop)
    assert "-H" in finger("-H", both, "-k", own.cert, server.nexthop, status=1)


@pytest.mark.dromos
@pytest.mark.parametrize("arguments", [("-H", "{rsa},{ec}"), ("-H", "{ec} {rsa}"), ("-H", "{rsa}", "-H", "{ec}"), ("-H", "{both}")])
def test_own_certificates_of_several_kinds(finger, leaf, tmp_path, arguments):
    own = {kind: Identity(tmp_path, "client.example", kind, label=kind) for kind in ("rsa", "ec")}
    files = {kind: identity.both for kind, identity in own.items()}
    files["both"] = tmp_path / "all"
    files["both"].write_bytes(own["rsa"].both.read_bytes() + own["ec"].both.read_bytes())
    for signatures, shown in (("RSA-PSS+SHA256", "client-signature RSA-PSS"), ("ECDSA+SHA256", "client-signature ECDSA")):
        port = free_port()
        server = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", leaf.cert, "-key", leaf.key, "-verify", "1",
                                   "-client_sigalgs", signatures, "-naccept", "1"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: is_listening(port), 10, "s_server")
            out = finger("-c", "-w", "-t", "1", "-l", "encrypt", *[a.format(**files) for a in arguments], f"[127.0.0.1]:{port}")
        finally:
            server.kill()
            server.wait(5)
        assert shown in out, out


def test_trust_anchors_of_several_files(finger, sink, authority, leaf, tmp_path):
    server = sink(tls=leaf.server_context())
    other = Authority(tmp_path / "other")
    for arguments, is_verified in ((("-A", other.cert), False), (("-A", other.cert, "-A", authority.cert), True), (("-A", authority.cert, "-A", other.cert), True)):
        assert ("Verified TLS connection" in finger("-c", "-l", "secure", *arguments, server.nexthop, "mx.far.example")) == is_verified


@pytest.mark.dromos
def test_services(finger, sink, leaf):
    server = sink(tls=leaf.server_context())
    records = {("_submission._tcp.far.example", "SRV"): [(20, 0, 1, "mx.far.example"), (10, 5, server.port, "mx.far.example"), (10, 50, 9, "dead.far.example")],
               ("_smtp._tcp.far.example", "SRV"): [(0, 0, 0, ".")], ("mx.far.example", "A"): ["127.0.0.1"], ("dead.far.example", "A"): ["127.0.0.9"]}
    with DnsServer(records) as dns:
        out = finger("-R", "-l", "encrypt", "far.example:submission", dns=dns.address)
        assert re.search(rf"connect to dead\.far\.example\[127\.0\.0\.9\]:9: [^$]*Connected to mx\.far\.example\[127\.0\.0\.1\]:{server.port}\b", out), out
        assert "Domain far.example does not offer the service smtp" in finger("-R", "far.example", dns=dns.address)
        assert "type=SRV: Host not found" in finger("-R", "far.example:pop3", dns=dns.address)
        assert "type=MX" not in out


@pytest.mark.dromos
def test_what_is_not_there_is_said(finger, sink, leaf):
    server = sink(tls=leaf.server_context())
    out = finger("-x", "-X", "-l", "encrypt", server.nexthop)
    assert "warning: raw public keys (RFC 7250) are not supported here" in out and "warning: no tlsproxy service is used" in out
    assert "Untrusted TLS connection" in out
    assert "-S" in finger("unix:/nowhere", status=1)
