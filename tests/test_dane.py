# SPDX-License-Identifier: ISC
"""DANE (RFC 7672) with zones signed for the purpose, a real name server and a validating resolver."""
import re

import pytest

from harness import Authority, SignedDns, tlsa_line

pytestmark = [pytest.mark.dromos,
              pytest.mark.skipif(not SignedDns.is_available(), reason="nsd, unbound or ldnsutils are not installed")]

SENT = r"dsn=2\.0\.0, status=sent"
DEFERRED = r"dsn=4\.7\.[45], status=deferred"
# name: (certificate, TLSA records as (leaf, usage, selector, matching), STARTTLS?, level, what is expected)
CASES = {
    "ee": ("good", [("good", 3, 1, 1)], True, "dane", rf"tls=dane, {SENT}"),
    "eefull": ("stranger", [("stranger", 3, 0, 0)], True, "dane", rf"tls=dane, {SENT}"),
    "eeexpired": ("expired", [("expired", 3, 1, 1)], True, "dane", rf"tls=dane, {SENT}"),
    "ta": ("ta", [("ta", 2, 0, 1)], True, "dane", rf"tls=dane, {SENT}"),
    "taname": ("other", [("other", 2, 0, 1)], True, "dane", rf"tls=!dane:nocertmatch, {DEFERRED}"),
    "mixed": ("mixed", [("stranger", 3, 1, 1), ("mixed", 2, 1, 2)], True, "dane", rf"tls=dane, {SENT}"),
    "wrong": ("good", [("stranger", 3, 1, 1)], True, "dane", rf"tls=!dane:nocertmatch, {DEFERRED} \(Server certificate not verified\)"),
    "digests": ("good", [("good", 3, 1, 1), ("stranger", 3, 1, 2)], True, "dane", rf"tls=!dane:nocertmatch, {DEFERRED}"),
    "bogus": ("good", [("good", 3, 1, 1)], True, "dane", rf"{DEFERRED} \(TLSA lookup error for mx\.bogus\.example:\d+\)"),
    "absent": ("stranger", [], True, "dane", rf"tls=dane:may, {SENT}"),
    "absentplain": ("stranger", [], False, "dane", rf"tls=dane:none, {SENT}"),
    "stripped": ("good", [("good", 3, 1, 1)], False, "dane", rf"tls=!dane:nostarttls, {DEFERRED} \(TLS is required, but was not offered"),
    "unusable": ("stranger", [("stranger", 0, 0, 1), ("stranger", 1, 1, 1)], True, "dane", rf"tls=dane:encrypt, {SENT}"),
    "unusableplain": ("stranger", [("stranger", 0, 0, 1)], False, "dane", rf"{DEFERRED} \(TLS is required, but was not offered"),
    "only": ("good", [("good", 3, 1, 1)], True, "dane-only", rf"tls=dane-only, {SENT}"),
    "onlyabsent": ("good", [], True, "dane-only", rf"{DEFERRED} \(no TLSA records found\)"),
    "onlyunusable": ("good", [("good", 0, 0, 1)], True, "dane-only", rf"{DEFERRED} \(TLSA records unusable\)"),
}
# In the unsigned zone.
INSECURE = {
    "plain": ("good", [("stranger", 3, 1, 1)], True, "dane", rf"tls=dane:may, {SENT}"),
    "plainonly": ("good", [("good", 3, 1, 1)], True, "dane-only", rf"{DEFERRED} \(non DNSSEC destination\)"),
}


@pytest.fixture(scope="module")
def leaves(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("ca"))
    stranger = Authority(tmp_path_factory.mktemp("stranger"))
    return {"good": authority.issue("unrelated.example"), "stranger": stranger.issue("x.example"),
            "expired": authority.issue("x.example", days=-1), "ta": authority.issue("mx.ta.example"),
            "other": authority.issue("mx.other.example"), "mixed": authority.issue("mx.mixed.example"),
            "alias": authority.issue("target.alias.example")}


def records(name, port, leaves, tlsa):
    return [f"{name} IN MX 10 mx.{name}", f"mx.{name} IN A 127.0.0.1",
            *(tlsa_line(f"_{port}._tcp.mx.{name}", leaves[leaf].tlsa(*kind)) for leaf, *kind in tlsa)]


def run(instance, dns, routes, policies, names):
    system = instance(start=False)
    system.main.update({
        "transport_maps": f"texthash:{system.file('routes', routes)}", "smtp_tls_policy_maps": f"texthash:{system.file('policies', policies)}",
        "smtp_tls_security_level": "dane", "smtp_dns_support_level": "dnssec", "smtp_tls_loglevel": "1", "minimal_backoff_time": "300s"})
    system.environment["DROMOS_DNS_SERVERS"] = dns.address
    system.write()
    system.start()
    with system.dialogue(ehlo="client.example") as talk:
        for name in names:
            talk.envelope("joe@client.example", f"u@{name}")
            talk.expect("Subject: x\r\n\r\n.", 250)
    return system, {name: system.log.wait_for(rf"to=<u@{re.escape(name)}>,.*", 60).group(0) for name in names}


def test_levels_and_records(instance, sink, leaves, workdir):
    zones = {"example": [], "test": []}
    routes, policies, expected, sinks = "", "", {}, {}
    for zone, cases in (("example", CASES), ("test", INSECURE)):
        for name, (leaf, tlsa, has_tls, level, pattern) in cases.items():
            server = sink(tls=leaves[leaf].server_context() if has_tls else None)
            domain = f"{name}.{zone}"
            zones[zone] += records(name, server.port, leaves, tlsa)
            routes += f"{domain} smtp:{domain}:{server.port}\n"
            if level != "dane":
                policies += f"{domain}:{server.port} {level}\n"
            expected[domain], sinks[domain] = pattern, server
    tampered = [f"_{sinks['bogus.example'].port}._tcp.mx.bogus"]
    with SignedDns(workdir / "dns", {"example": zones["example"]}, {"test": zones["test"]}, tampered) as dns:
        system, lines = run(instance, dns, routes, policies, list(expected))
    wrong = [f"{domain}: {lines[domain]}" for domain, pattern in expected.items() if not re.search(pattern, lines[domain])]
    assert not wrong, "\n".join(wrong) + system.log.text()[-8000:]
    for domain, pattern in expected.items():
        assert bool(sinks[domain].messages) == (SENT in pattern), domain
    assert system.log.find(r"Verified TLS connection established to mx\.ee\.example")
    assert system.log.find(r"TLS policy for ee\.example/mx\.ee\.example: dane, decided by DANE$")
    assert system.log.find(r"TLS policy for unusable\.example/mx\.unusable\.example: encrypt, decided by DANE$")


@pytest.mark.parametrize("insecure, level, verdicts", [
    ("dane", "half-dane", (SENT, DEFERRED)), ("encrypt", "encrypt", (SENT, SENT)), ("may", "may", (SENT, SENT))])
def test_insecure_mx_records_and_aliases(instance, sink, leaves, workdir, insecure, level, verdicts):
    """An MX record that nobody signed names a host with TLSA records; and hosts that are aliases."""
    right, wrong, alias = (sink(tls=leaves[name].server_context()) for name in ("good", "good", "alias"))
    signed = ["right IN A 127.0.0.1", tlsa_line(f"_{right.port}._tcp.right", leaves["good"].tlsa()),
              "wrong IN A 127.0.0.1", tlsa_line(f"_{wrong.port}._tcp.wrong", leaves["stranger"].tlsa()),
              "alias IN MX 10 mx.alias", "mx.alias IN CNAME target.alias", "target.alias IN A 127.0.0.1",
              tlsa_line(f"_{alias.port}._tcp.target.alias", leaves["alias"].tlsa(2, 0, 1))]
    unsigned = ["right IN MX 10 right.example.", "wrong IN MX 10 wrong.example."]
    routes = (f"right.test smtp:right.test:{right.port}\nwrong.test smtp:wrong.test:{wrong.port}\n"
              f"alias.example smtp:alias.example:{alias.port}\n")
    with SignedDns(workdir / "dns", {"example": signed}, {"test": unsigned}) as dns:
        system, lines = run_with(instance, dns, routes, insecure)
    assert re.search(verdicts[0], lines["right.test"]), lines
    assert re.search(verdicts[1], lines["wrong.test"]), lines
    assert system.log.find(rf"TLS policy for right\.test/right\.example: {level}, decided by ")
    assert re.search(rf"tls=dane, {SENT}", lines["alias.example"]), lines


def run_with(instance, dns, routes, insecure):
    def make(start):
        system = instance(start=start)
        system.main["smtp_tls_dane_insecure_mx_policy"] = insecure
        return system
    return run(make, dns, routes, "", ["right.test", "wrong.test", "alias.example"])


def test_dane_needs_dnssec_lookups(instance, sink, leaves):
    server = sink(tls=leaves["good"].server_context())
    system = instance(main={"relayhost": server.nexthop, "smtp_tls_security_level": "dane"})
    with system.dialogue(ehlo="client.example") as talk:
        talk.envelope("joe@client.example", "u@far.example")
        talk.expect("Subject: x\r\n\r\n.", 250)
    system.log.wait_for(rf"to=<u@far\.example>.*tls=dane:may, {SENT}")
    assert system.log.find(r"warning: .*dane configured with dnssec lookups disabled")


def test_sessions_are_resumed_while_the_records_stay(instance, sink, leaves, workdir):
    server = sink(tls=leaves["good"].server_context())
    port = server.port
    first = {"example": records("ee", port, leaves, [("good", 3, 1, 1)])}
    second = {"example": records("ee", port, leaves, [("stranger", 3, 1, 1)])}

    def deliver(number):
        with system.dialogue(ehlo="client.example") as talk:
            talk.envelope("joe@client.example", f"u{number}@ee.example")
            talk.expect("Subject: x\r\n\r\n.", 250)
        return system.log.wait_for(rf"to=<u{number}@ee\.example>,.*", 60).group(0)

    def make():
        one = instance(start=False)
        one.main["smtp_tls_session_cache_database"] = "btree:$data_directory/smtp_scache"
        return one

    with SignedDns(workdir / "dns", first) as dns:
        system, lines = run(lambda start: make(), dns, f"ee.example smtp:ee.example:{port}\n", "", ["ee.example"])
        assert re.search(SENT, lines["ee.example"])
        assert re.search(rf"tls=dane, {SENT}", deliver(2))
    assert [message.tls_resumed for message in server.messages] == [False, True]
    system.stop()
    with SignedDns(workdir / "dns2", second) as dns:
        system.environment["DROMOS_DNS_SERVERS"] = dns.address
        system.write()
        system.start()
        assert re.search(rf"tls=!dane:nocertmatch, {DEFERRED}", deliver(3))
