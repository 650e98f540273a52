# SPDX-License-Identifier: ISC
"""permit_mx_backup, and whose message headers are completed: local_header_rewrite_clients."""
import re

import pytest

from harness.sasl import FakeAuthServer, plain

BASE = {"local_recipient_maps": "", "defer_transports": "local smtp relay virtual", "smtpd_error_sleep_time": "0"}
# One zone for all: we are the second exchanger of `backed`, the first of `first`, none of `strange`.
ZONE = {
    ("backed.example", "MX"): [(10, "primary.example"), (20, "mx.test.example")],
    ("addressed.example", "MX"): [(10, "primary.example"), (20, "us.example")],
    ("away.example", "MX"): [(10, "elsewhere.example"), (20, "mx.test.example")],
    ("half.example", "MX"): [(10, "two-homes.example"), (20, "mx.test.example")],
    ("strange.example", "MX"): [(10, "primary.example")],
    ("dead.example", "MX"): "SERVFAIL",
    ("mx.test.example", "A"): ["127.0.0.1"],
    ("us.example", "A"): ["127.0.0.1"],
    ("primary.example", "A"): ["198.51.100.7"],
    ("elsewhere.example", "A"): ["203.0.113.7"],
    ("two-homes.example", "A"): ["198.51.100.8", "203.0.113.8"],
}
DENIED = 554


@pytest.mark.dns
@pytest.mark.dromos
@pytest.mark.parametrize("networks, codes", [
    ("", {"backed": 250, "addressed": 250, "away": 250, "half": 250, "strange": DENIED, "unknown": DENIED}),
    ("198.51.100.0/24", {"backed": 250, "addressed": 250, "away": DENIED, "half": DENIED, "strange": DENIED}),
])
def test_permit_mx_backup(instance, dns, networks, codes):
    server = dns(ZONE)
    one = instance(start=False, main={**BASE, "mynetworks": "192.0.2.0/24", "permit_mx_backup_networks": networks,
                                      "smtpd_relay_restrictions": "permit_mx_backup, reject_unauth_destination"})
    one.environment["DROMOS_DNS_SERVERS"] = server.address
    one.start()
    with one.dialogue(ehlo="client.example") as talk:
        talk.expect("MAIL FROM:<a@client.example>", 250)
        got = {name: talk.command(f"RCPT TO:<u@{name}.example>")[0] for name in codes}
        assert got == codes
        assert talk.command("RCPT TO:<u%far.example@backed.example>")[0] == DENIED  # not a way around
        assert talk.command("RCPT TO:<u@dead.example>")[0] // 100 == 4


# ---- local_header_rewrite_clients

MESSAGE = "Subject: x\r\nFrom: joe\r\nTo: jane@host\r\n\r\nbody\r\n."


def headers(one, login=None):
    """The header lines From and To as the queue file has them."""
    with one.dialogue(ehlo="client.example") as talk:
        if login:
            talk.expect("AUTH PLAIN " + plain(login, "secret"), 235)
        talk.envelope("a@client.example", "r@test.example")
        code, text = talk.command(MESSAGE)
        assert code == 250
    queue_id = re.search(r"queued as (\w+)", text).group(1)
    one.wait_queued("deferred")
    content = one.run("postcat", "-q", queue_id).stdout
    return [line for line in content.splitlines() if line.startswith(("From:", "To:"))]


COMPLETED = ["From: joe@test.example", "To: jane@host.test.example"]
AS_SENT = ["From: joe", "To: jane@host"]


@pytest.mark.parametrize("clients, domain, expected", [
    ("permit_mynetworks", "", COMPLETED),
    ("permit_inet_interfaces", "", COMPLETED),
    ("check_address_map inline:{127.0.0.1=x}", "", COMPLETED),
    ("check_address_map inline:{127.0.0=x}", "", AS_SENT),  # the whole address only
    ("permit_sasl_authenticated", "", AS_SENT),
    ("", "", AS_SENT),
    ("", "invalid.example", ["From: joe@invalid.example", "To: jane@host.invalid.example"]),
])
def test_local_header_rewrite_clients(instance, clients, domain, expected):
    one = instance(main={**BASE, "myorigin": "test.example", "append_dot_mydomain": "yes", "local_header_rewrite_clients": clients,
                         "remote_header_rewrite_domain": domain})
    assert headers(one) == expected


def test_headers_of_those_who_log_in(instance):
    one = instance(start=False, main={**BASE, "myorigin": "test.example", "append_dot_mydomain": "yes", "smtpd_sasl_auth_enable": "yes",
                                      "smtpd_sasl_type": "dovecot", "local_header_rewrite_clients": "permit_sasl_authenticated"})
    server = FakeAuthServer(one.directory / "auth")
    try:
        one.main["smtpd_sasl_path"] = one.directory / "auth"
        one.write()
        one.start()
        assert headers(one, "fred") == COMPLETED
        assert headers(one) == AS_SENT
    finally:
        server.close()
