# SPDX-License-Identifier: ISC
"""MTA-STS (RFC 8461): policies over HTTPS, kept to, kept, renewed; and web servers that hang or serve garbage."""
import http.server
import re
import threading
import time

import pytest

from harness import Authority, DnsServer, wait_until

pytestmark = pytest.mark.dromos

DOMAIN = "far.example"
MX = "mx.far.example"


class PolicyServer:
    """HTTPS for every mta-sts.DOMAIN: `answer` is a policy, or a function of the request handler."""

    def __init__(self, leaf):
        self.answer = b""
        self.requests = []
        self.content_type = "text/plain; charset=utf-8"
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append((self.headers["Host"], self.path))
                if callable(outer.answer):
                    outer.answer(self)
                    return
                self.send_response(200)
                self.send_header("Content-Type", outer.content_type)
                self.send_header("Content-Length", str(len(outer.answer)))
                self.end_headers()
                self.wfile.write(outer.answer)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.socket = leaf.server_context().wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self):
        return "127.0.0.1:%d" % self.server.server_address[1]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def policy(mode="enforce", mx=(MX,), max_age=86400):
    return "".join(["version: STSv1\r\n", f"mode: {mode}\r\n", *(f"mx: {name}\r\n" for name in mx), f"max_age: {max_age}\r\n"]).encode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def leaves(authority):
    return {"mx": authority.issue(MX), "web": authority.issue("mta-sts." + DOMAIN), "wrong": authority.issue("web.other.example"),
            "expired": authority.issue("mta-sts." + DOMAIN, days=-1)}


class World:
    """A domain with a record, a web server, a mail server; and a system that sends there."""

    def __init__(self, instance, sink, authority, leaves, web="web", mx_leaf="mx", web_leaf=None, **main):
        self.web = PolicyServer(web_leaf or leaves[web])
        self.mail = sink(tls=leaves[mx_leaf].server_context())
        self.dns = DnsServer({(DOMAIN, "MX"): [(10, MX)], (MX, "A"): ["127.0.0.1"], ("_mta-sts." + DOMAIN, "TXT"): ["v=STSv1; id=20260101T1;"]})
        self.system = instance(start=False)
        ca = self.system.file("ca.pem", authority.cert.read_text())
        self.system.main.update({
            "transport_maps": f"inline:{{{DOMAIN}=smtp:{DOMAIN}:{self.mail.port}}}", "smtp_tls_security_level": "may",
            "smtp_mta_sts": "yes", "smtp_tls_CAfile": ca, "mtasts_CAfile": ca, "mtasts_fetch_address": self.web.address,
            "mtasts_check_time": "1s", "mtasts_fetch_timeout": "2s", "smtp_tls_loglevel": "1", **main})
        self.system.environment["DROMOS_DNS_SERVERS"] = self.dns.address
        self.system.write()
        self.sent = 0

    def start(self):
        self.system.start()
        return self

    def send(self):
        """The status line of one more message."""
        self.sent += 1
        with self.system.dialogue(ehlo="client.example") as talk:
            talk.envelope("joe@client.example", f"u{self.sent}@{DOMAIN}")
            talk.expect("Subject: x\r\n\r\n.", 250)
        return self.system.log.wait_for(rf"to=<u{self.sent}@{re.escape(DOMAIN)}>,.*", 30).group(0)

    def close(self):
        self.web.close()
        self.dns.close()


@pytest.fixture
def world(instance, sink, authority, leaves):
    made = []

    def make(**options):
        made.append(World(instance, sink, authority, leaves, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_enforced_policy_is_kept_to(world):
    w = world()
    w.web.answer = policy(mx=("*.far.example",))
    w.start()
    assert re.search(r"tls=secure, .*status=sent", w.send()), w.system.log.text()[-5000:]
    assert w.web.requests == [("mta-sts." + DOMAIN, "/.well-known/mta-sts.txt")]
    assert w.system.log.find(rf"TLS policy for {DOMAIN}/{MX}: secure, decided by STS$")
    assert w.system.log.find(rf"Verified TLS connection established to {MX}")
    assert w.system.log.find(rf"mtasts\[\d+\]: MTA-STS policy of {DOMAIN}: mode enforce, id 20260101T1, valid for 86400 s")
    assert w.send() and len(w.web.requests) == 1  # kept


def test_enforced_policy_refuses_other_hosts_and_certificates(world):
    w = world(mx_leaf="wrong")
    w.web.answer = policy()
    w.start()
    assert re.search(r"dsn=4\.7\.5, status=deferred \(Server certificate not verified\)", w.send())
    w.web.answer = policy(mx=("elsewhere.example",))
    w.dns.records[("_mta-sts." + DOMAIN, "TXT")] = ["v=STSv1; id=2"]
    time.sleep(1.2)
    connections = w.mail.connections
    assert re.search(rf"dsn=4\.7\.5, status=deferred \(MX host {MX} matches no name of the MTA-STS policy of {DOMAIN}\)", w.send())
    assert w.mail.connections == connections  # not even connected to
    assert not w.mail.messages


def test_enforced_policy_needs_starttls(world):
    w = world()
    w.mail.tls = None
    w.web.answer = policy()
    w.start()
    assert re.search(r"dsn=4\.7\.4, status=deferred \(TLS is required, but was not offered by host", w.send())


@pytest.mark.parametrize("mode", ["testing", "none"])
def test_policies_that_do_not_enforce(world, mode):
    w = world(mx_leaf="wrong")
    w.web.answer = policy(mode=mode, mx=("elsewhere.example",))
    w.start()
    assert re.search(r"tls=may, .*status=sent", w.send())
    assert bool(w.system.log.find(r"MX host \S+ of \S+ matches no name of its MTA-STS policy \(which is in testing mode\)")) == (mode == "testing")


def hang(handler):
    time.sleep(6)


def endless(handler):
    handler.send_response(200)
    handler.send_header("Content-Type", "text/plain")
    handler.end_headers()
    try:
        handler.wfile.write(policy())
        for _ in range(4000):
            handler.wfile.write(b"x: " + b"y" * 200 + b"\r\n")
    except OSError:
        pass


def redirect(handler):
    handler.send_response(302)
    handler.send_header("Location", "https://mta-sts.far.example/other")
    handler.end_headers()


def missing(handler):
    handler.send_error(404)


FAULTS = {"hang": hang, "endless": endless, "redirect": redirect, "missing": missing, "garbage": b"\xff\xfe garbage \0",
          "empty": b"", "no mx": policy(mx=()), "bad age": policy().replace(b"86400", b"-1"),
          "other version": policy().replace(b"STSv1", b"STSv2")}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_web_servers_are_as_no_policy(world, fault):
    """RFC 8461 3.3: mail goes as it would without a policy; a policy in force stays in force."""
    w = world(mx_leaf="wrong")
    w.web.answer = FAULTS[fault]
    w.start()
    assert re.search(r"tls=may, .*status=sent", w.send())
    assert w.system.log.find(rf"warning: MTA-STS policy of {DOMAIN}: ")


@pytest.mark.parametrize("web", ["wrong", "expired"])
def test_web_server_must_be_the_right_one(world, web):
    w = world(web=web)
    w.web.answer = policy()
    w.start()
    assert re.search(r"tls=may, .*status=sent", w.send())
    assert not w.web.requests
    assert w.system.log.find(rf"warning: MTA-STS policy of {DOMAIN}: ")


def test_policy_is_text(world):
    w = world()
    w.web.content_type = "text/html"
    w.web.answer = policy()
    w.start()
    assert "tls=may," in w.send()


def test_policy_in_force_survives_faults_restarts_and_missing_records(world):
    w = world(mx_leaf="wrong")
    w.web.answer = policy()
    w.start()
    assert "status=deferred (Server certificate not verified)" in w.send()
    w.web.answer = missing
    w.dns.records[("_mta-sts." + DOMAIN, "TXT")] = ["v=STSv1; id=3"]
    time.sleep(1.2)
    assert "status=deferred (Server certificate not verified)" in w.send()
    assert w.system.log.find(r"the former one stays in force")
    w.dns.records[("_mta-sts." + DOMAIN, "TXT")] = "SERVFAIL"
    w.system.restart()
    assert "status=deferred (Server certificate not verified)" in w.send()
    del w.dns.records[("_mta-sts." + DOMAIN, "TXT")]
    time.sleep(1.2)
    assert "status=deferred (Server certificate not verified)" in w.send()


def test_policy_expires_and_is_renewed_ahead(world):
    w = world(mtasts_refresh_time="1s", mtasts_check_time="600s")
    w.web.answer = policy(max_age=6)
    w.start()
    assert "tls=secure," in w.send()
    wait_until(lambda: len(w.web.requests) >= 2, 15, lambda: f"a renewal; {w.system.log.text()[-3000:]}")
    w.web.answer = missing
    time.sleep(7)
    assert "tls=may," in w.send()


@pytest.mark.parametrize("text", ["v=STSv1", "v=STSv1; id=", "v=STSv1; id=a-b", "v=STSv2; id=1", "id=1; v=STSv1"])
def test_bad_records_are_no_records(world, text):
    w = world()
    w.web.answer = policy()
    w.dns.records[("_mta-sts." + DOMAIN, "TXT")] = [text, "v=spf1 -all"]
    w.start()
    assert "tls=may," in w.send()
    assert not w.web.requests


def test_local_policy_and_dane_come_first(world, leaves):
    w = world(mx_leaf="wrong")
    w.system.main["smtp_tls_policy_maps"] = f"inline:{{{{{DOMAIN}:{w.mail.port}=encrypt}}}}"
    w.system.write()
    w.web.answer = policy()
    w.start()
    assert "tls=encrypt," in w.send()
    assert w.system.log.find(r": encrypt, decided by smtp_tls_policy_maps$") and not w.web.requests
    w.dns.secure.add("*")
    w.dns.records[(f"_{w.mail.port}._tcp.{MX}", "TLSA")] = [leaves["wrong"].tlsa()]
    w.system.set(smtp_tls_policy_maps="", smtp_tls_security_level="dane", smtp_dns_support_level="dnssec")
    assert "tls=dane," in w.send()
    assert w.system.log.find(r": dane, decided by DANE$")


def test_off_by_default(world):
    w = world(smtp_mta_sts="no")
    w.web.answer = policy()
    w.start()
    assert "tls=may," in w.send()
    assert not w.web.requests and ("_mta-sts." + DOMAIN, "TXT") not in w.dns.queries


def test_mail_waits_when_the_service_is_not_there(world):
    w = world(master_service_disable="mtasts/unix")
    w.web.answer = policy()
    w.start()
    assert re.search(rf"dsn=4\.7\.5, status=deferred \(cannot learn the MTA-STS policy of {DOMAIN}\)", w.send())
    assert not w.mail.messages


def test_web_servers_that_hang_hold_up_their_own_domains_only(world, authority):
    slow = [f"slow{i}.example" for i in range(20)]
    leaf = authority.issue(*(f"mta-sts.{name}" for name in (DOMAIN, *slow)))
    w = world(web_leaf=leaf, mtasts_fetch_timeout="9s")
    w.dns.records.update({("_mta-sts." + name, "TXT"): ["v=STSv1; id=1;"] for name in slow})
    w.dns.records.update({(name, "MX"): [(10, MX)] for name in slow})
    routes = ",".join(f"{{{name}=smtp:{name}:{w.mail.port}}}" for name in (DOMAIN, *slow))
    w.system.main["transport_maps"] = f"inline:{{{routes}}}"
    w.system.write()
    released = threading.Event()

    def answer(handler):
        if handler.headers["Host"] != "mta-sts." + DOMAIN:
            released.wait(30)
        handler.send_response(200)
        handler.send_header("Content-Type", "text/plain")
        handler.end_headers()
        handler.wfile.write(policy())

    w.web.answer = answer
    w.start()
    with w.system.dialogue(ehlo="client.example") as talk:
        for name in slow:
            talk.envelope("joe@client.example", f"joe@{name}")
            talk.expect("Subject: x\r\n\r\n.", 250)
    wait_until(lambda: len(w.web.requests) == len(slow), 8, lambda: f"a question for each: {w.web.requests}")
    begun = time.monotonic()
    assert re.search(r"tls=secure.*status=sent", w.send())
    assert time.monotonic() - begun < 4
    assert not w.system.log.find(r"to=<joe@slow")
    released.set()
    wait_until(lambda: w.system.log.count(r"to=<joe@slow\d+\.example>,.*tls=secure.*status=sent") == len(slow), 20,
               lambda: w.system.log.text()[-3000:])
