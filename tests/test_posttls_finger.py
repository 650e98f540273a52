# SPDX-License-Identifier: ISC
"""posttls-finger: what it says of servers; the same lines as Debian's program for the same server."""
import re

import pytest

from harness import Authority, DnsServer, SignedDns, tlsa_line


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
