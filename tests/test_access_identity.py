# SPDX-License-Identifier: ISC
"""Restrictions that ask who the client has proved to be: by its certificate, or by a login."""
import os

import pytest

from harness.certificates import Authority
from harness.sasl import FakeAuthServer, plain
from test_tls_server import client_context, secured

BASE = {"mynetworks": "192.0.2.0/24", "defer_transports": "local smtp relay virtual", "smtpd_error_sleep_time": "0"}
FAR = "x@far.example"  # nobody may send there without proof


@pytest.fixture(scope="module")
def identities(tmp_path_factory):
    folder = tmp_path_factory.mktemp("identities")
    os.chmod(folder, 0o755)
    authority = Authority(folder)
    return {"server": authority.issue("mx.test.example"), "known": authority.issue("known.example"), "other": authority.issue("other.example")}


@pytest.fixture
def guarded(instance, identities):
    """An instance that asks for certificates."""
    return instance(start=False, main={**BASE, "smtpd_tls_security_level": "may", "smtpd_tls_cert_file": identities["server"].cert,
                                       "smtpd_tls_key_file": identities["server"].key, "smtpd_tls_ask_ccert": "yes",
                                       "smtpd_tls_fingerprint_digest": "sha256"})


def verdict(talk, recipient=FAR):
    talk.expect("MAIL FROM:<a@client.example>", 250)
    return talk.command(f"RCPT TO:<{recipient}>")


def shown(one, identity, recipient=FAR):
    """The reply to RCPT for a client with this certificate, or with none."""
    with secured(one, client_context(identity)) as talk:
        return verdict(talk, recipient)


@pytest.mark.parametrize("kind", ["fingerprint", "key_fingerprint"])
def test_permit_tls_clientcerts(guarded, identities, kind):
    guarded.main["relay_clientcerts"] = guarded.table("certs", f"{getattr(identities['known'], kind)} known\n")
    guarded.main["smtpd_relay_restrictions"] = "permit_tls_clientcerts, reject_unauth_destination"
    guarded.write()
    guarded.start()
    assert shown(guarded, identities["known"])[0] == 250
    for who in (identities["other"], None):
        assert shown(guarded, who) == (554, f"5.7.1 <{FAR}>: Relay access denied")
    with guarded.dialogue(ehlo="client.example") as talk:
        assert verdict(talk)[0] == 554


@pytest.mark.parametrize("order, text", [
    ("", "by certificate"),  # the default asks for the certificate first
    ("cert_fingerprint, pubkey_fingerprint", "by certificate"),
    ("pubkey_fingerprint, cert_fingerprint", "by key"),
    ("pubkey_fingerprint", "by key"),
])
def test_check_ccert_access_searches_in_the_order_given(guarded, identities, order, text):
    known = identities["known"]
    table = guarded.table("ccert", f"{known.fingerprint} REJECT by certificate\n{known.key_fingerprint} REJECT by key\n")
    restriction = f"check_ccert_access {{ {table}, {{ search_order = {order} }} }}" if order else f"check_ccert_access {table}"
    guarded.main["smtpd_recipient_restrictions"] = restriction
    guarded.write()
    guarded.start()
    mark = guarded.log.mark()
    code, reply = shown(guarded, known, "r@test.example")
    assert code == 554 and reply == f"5.7.1 <known.example>: Client certificate rejected: {text}"
    guarded.log.wait_for(r"NOQUEUE: reject: RCPT from unknown\[127.0.0.1\]: 554 5.7.1 <known.example>: Client certificate rejected", start=mark)
    for who in (identities["other"], None):
        assert shown(guarded, who, "r@test.example")[0] == 250


def test_check_ccert_access_may_let_a_client_relay(guarded, identities):
    table = guarded.table("ccert", f"{identities['known'].fingerprint} OK\n")
    guarded.main["smtpd_relay_restrictions"] = f"check_ccert_access {table}, reject_unauth_destination"
    guarded.write()
    guarded.start()
    assert shown(guarded, identities["known"])[0] == 250
    assert shown(guarded, identities["other"])[0] == 554


# ---- Logins

@pytest.fixture
def login_server(instance):
    """(instance, start): an instance that takes logins; start(parameters) runs it."""
    one = instance(start=False, main={**BASE, "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot"})
    server = FakeAuthServer(one.directory / "auth", answer=lambda fields: f"OK\t{fields[1]}\tuser={one.login}")

    def start(login="fred", **main):
        one.login = login
        one.main.update({"smtpd_sasl_path": one.directory / "auth", **main})
        one.write()
        return one.start()

    yield one, start
    server.close()


def logged_in(one, login):
    """The reply to RCPT after a login as somebody, or without."""
    one.login = login
    with one.dialogue(ehlo="client.example") as talk:
        if login:
            talk.expect("AUTH PLAIN " + plain(login, "secret"), 235)
        return verdict(talk)


def test_permit_sasl_authenticated(login_server):
    one, start = login_server
    start(smtpd_relay_restrictions="permit_sasl_authenticated, reject_unauth_destination")
    assert logged_in(one, "fred")[0] == 250
    assert logged_in(one, None) == (554, f"5.7.1 <{FAR}>: Relay access denied")


def test_check_sasl_access(login_server):
    one, start = login_server
    table = one.table("logins", "fred REJECT not any more\nbarney@test.example OK\nwilma DEFER later\n")
    start(smtpd_relay_restrictions=f"check_sasl_access {table}, permit_sasl_authenticated, reject_unauth_destination")
    mark = one.log.mark()
    assert logged_in(one, "fred") == (554, "5.7.1 <fred>: SASL login name rejected: not any more")
    one.log.wait_for(r"reject: RCPT from unknown\[127.0.0.1\]: 554 5.7.1 <fred>: SASL login name rejected: not any more", start=mark)
    assert logged_in(one, "barney@test.example")[0] == 250
    code, text = logged_in(one, "wilma")
    assert code == 450 and "<wilma>: SASL login name rejected: later" in text
    assert logged_in(one, "pebbles")[0] == 250  # in no table: her login is what counts
    assert logged_in(one, None)[0] == 554
