# SPDX-License-Identifier: ISC
"""Which senders and recipients exist: by class, mapping and transport, in RCPT and VRFY. Holds for Postfix as well."""
import base64

import pytest

from harness.sasl import FakeAuthServer

MAIN = {
    "mydestination": "local.example", "myorigin": "local.example", "recipient_delimiter": "+",
    "local_recipient_maps": "inline:{joe=x, root=x, full@local.example=x}",
    "virtual_alias_domains": "alias.example",
    "virtual_alias_maps": "inline:{a@alias.example=joe@local.example, mapped@local.example=joe@local.example, @wild.example=joe@local.example}",
    "virtual_mailbox_domains": "box.example", "virtual_mailbox_maps": "inline:{box@box.example=box/}",
    "relay_domains": "relay.example, open.example", "relay_recipient_maps": "inline:{r@relay.example=x, @open.example=x}",
    "transport_maps": "inline:{{closed.example = error:5.7.1 no way}, {slow.example = retry:4.2.1 wait a bit}, "
                      "{bare.example=error:never}, {gone@local.example=error:5.1.6 moved on}}",
    "recipient_canonical_maps": "inline:{rc@local.example=joe@local.example}",
    "sender_canonical_maps": "inline:{sc@local.example=joe@local.example}",
    "relocated_maps": "inline:{{moved@local.example=new@far.example}}",
    "smtpd_relay_restrictions": "permit_mynetworks, reject", "append_dot_mydomain": "no",
    "smtpd_hard_error_limit": "1000", "smtpd_soft_error_limit": "1000",
}
LOCAL = "User unknown in local recipient table"
EXISTING = ["joe@local.example", "joe+ext@local.example", "JOE@LOCAL.EXAMPLE", "full@local.example", "full+x@local.example",
            "postmaster@local.example", "mailer-daemon@local.example", "double-bounce@local.example", "postmaster", "joe",
            "mapped@local.example", "mapped+x@local.example", "rc@local.example", "a@alias.example", "a+x@alias.example",
            "any@wild.example", "box@box.example", "box+x@box.example", "r@relay.example", "r+x@relay.example", "any@open.example",
            "any@far.example", "joe%local.example@local.example", "joe@local.example."]
UNKNOWN = {
    "nobody@local.example": (550, "5.1.1", LOCAL), "nobody+joe@local.example": (550, "5.1.1", LOCAL), "nobody": (550, "5.1.1", LOCAL),
    "+joe@local.example": (550, "5.1.1", LOCAL), "sc@local.example": (550, "5.1.1", LOCAL),
    "b@alias.example": (550, "5.1.1", "User unknown in virtual alias table"),
    "postmaster@alias.example": (550, "5.1.1", "User unknown in virtual alias table"),
    "nobox@box.example": (550, "5.1.1", "User unknown in virtual mailbox table"),
    "postmaster@box.example": (550, "5.1.1", "User unknown in virtual mailbox table"),
    "q@relay.example": (550, "5.1.1", "User unknown in relay recipient table"),
    "x%box.example@local.example": (550, "5.1.1", "User unknown in virtual mailbox table"),
    "x@closed.example": (550, "5.7.1", "no way"), "x@slow.example": (450, "4.2.1", "wait a bit"),
    "x@bare.example": (550, "5.1.1", "never"), "gone@local.example": (550, "5.1.6", "moved on"),
    "moved@local.example": (550, "5.1.6", "User has moved to new@far.example"),
}


@pytest.fixture(scope="module")
def mx(shared_instance):
    return shared_instance(main=MAIN)


def rcpt(mx, recipient, sender=""):
    with mx.dialogue(ehlo="client.example") as client:
        client.expect(f"MAIL FROM:<{sender}>", 250)
        return client.command(f"RCPT TO:<{recipient}>")


@pytest.mark.parametrize("recipient", EXISTING)
def test_who_exists(mx, recipient):
    assert rcpt(mx, recipient) == (250, "2.1.5 Ok")


@pytest.mark.parametrize("recipient", UNKNOWN)
def test_who_does_not(mx, recipient):
    code, status, text = UNKNOWN[recipient]
    assert rcpt(mx, recipient) == (code, f"{status} <{recipient}>: Recipient address rejected: {text}")


def test_vrfy_says_the_same(mx):
    with mx.dialogue(ehlo="client.example") as client:
        assert client.command("VRFY joe@local.example") == (252, "2.0.0 joe@local.example")
        assert client.command("VRFY <joe@local.example>") == (252, "2.0.0 <joe@local.example>")
        assert client.command("VRFY Joe Doe <joe@local.example>") == (252, "2.0.0 Joe Doe <joe@local.example>")
        assert client.command("VRFY nobody") == (550, f"5.1.1 <nobody>: Recipient address rejected: {LOCAL}")
        assert client.command("VRFY q@relay.example")[0] == 550
        assert client.command("VRFY any@far.example")[0] == 252


SENDERS = {"nobody@local.example": (550, "5.1.0", LOCAL), "b@alias.example": (550, "5.1.7", "User unknown in virtual alias table"),
           "nobox@box.example": (550, "5.1.0", "User unknown in virtual mailbox table"), "x@bare.example": (550, "5.1.0", "never")}


def test_senders(instance):
    mx = instance(main={**MAIN, "smtpd_reject_unlisted_sender": "yes"})
    for sender in ("", "joe@local.example", "sc@local.example", "rc@local.example", "any@far.example", "double-bounce@local.example"):
        assert rcpt(mx, "joe@local.example", sender)[0] == 250, sender
    for sender, (code, status, text) in SENDERS.items():
        assert rcpt(mx, "nobody@local.example", sender) == (code, f"{status} <{sender}>: Sender address rejected: {text}")
    assert rcpt(mx, "postmaster", "nobody@local.example")[0] == 250


def test_senders_are_refused_at_mail_without_delay(instance):
    mx = instance(main={**MAIN, "smtpd_reject_unlisted_sender": "yes", "smtpd_delay_reject": "no"})
    with mx.dialogue(ehlo="client.example") as client:
        assert client.command("MAIL FROM:<nobody@local.example>")[0] == 550
        client.expect("MAIL FROM:<joe@local.example>", 250)


def test_codes_and_names_of_tables(instance):
    mx = instance(main={**MAIN, "show_user_unknown_table_name": "no", "unknown_local_recipient_reject_code": "450",
                        "unknown_virtual_alias_reject_code": "451", "unknown_virtual_mailbox_reject_code": "452",
                        "unknown_relay_recipient_reject_code": "554"})
    for recipient, code in (("nobody@local.example", 450), ("b@alias.example", 451), ("nobox@box.example", 452), ("q@relay.example", 554)):
        assert rcpt(mx, recipient) == (code, f"{code // 100}.1.1 <{recipient}>: Recipient address rejected: User unknown")


def test_the_checks_may_be_off_or_in_a_list(instance):
    mx = instance(main={**MAIN, "receive_override_options": "no_unknown_recipient_checks", "smtpd_reject_unlisted_sender": "yes"})
    assert rcpt(mx, "nobody@local.example", "nobody@local.example")[0] == 250
    mx = instance(main={**MAIN, "smtpd_reject_unlisted_recipient": "no",
                        "smtpd_recipient_restrictions": "reject_unlisted_sender, warn_if_reject reject_unlisted_recipient, permit"})
    assert rcpt(mx, "joe@local.example", "nobody@local.example")[0] == 550
    assert rcpt(mx, "nobody@local.example")[0] == 250
    mx.log.wait_for(rf"reject_warning: RCPT from .*: 550 5.1.1 <nobody@local.example>: Recipient address rejected: {LOCAL};")


def test_a_table_that_fails_is_temporary(instance):
    mx = instance(main={**MAIN, "local_recipient_maps": "fail:x", "relay_recipient_maps": "fail:x"})
    for recipient in ("joe@local.example", "r@relay.example"):
        assert rcpt(mx, recipient) == (451, f"4.3.0 <{recipient}>: Temporary lookup failure")


def test_accounts_and_aliases_are_the_default(instance):
    mx = instance(main={**MAIN, "local_recipient_maps": None, "alias_maps": "inline:{friends=root}"})
    for recipient in ("root@local.example", "root+x@local.example", "friends@local.example", "friends+x@local.example"):
        assert rcpt(mx, recipient)[0] == 250, recipient
    assert rcpt(mx, "nosuch@local.example")[0] == 550


# Who may use a sender address

OWNERS = "inline:{{joe@local.example = joe, boss}, list@local.example=boss, @dom.example=ann@dom.example}"


def user_of(fields):
    response = next(field for field in fields if field.startswith("resp="))
    return base64.b64decode(response[5:]).split(b"\0")[1].decode()


@pytest.fixture
def logins(instance):
    """A function that says what becomes of senders for a login (None: none) under one restriction."""
    servers = []

    def make(restriction):
        mx = instance(start=False, main={
            **MAIN, "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": "private/auth",
            "smtpd_sasl_security_options": "", "smtpd_sender_login_maps": OWNERS, "smtpd_sender_restrictions": restriction})
        servers.append(FakeAuthServer(mx.queue_directory / "private/auth", lambda fields: f"OK\t{fields[1]}\tuser={user_of(fields)}"))
        mx.start()

        def ask(login, sender):
            with mx.dialogue(ehlo="client.example") as client:
                if login:
                    response = base64.b64encode(f"\0{login}\0secret".encode()).decode()
                    client.expect(f"AUTH PLAIN {response}", 235)
                client.expect(f"MAIL FROM:<{sender}>", 250)
                code, text = client.command("RCPT TO:<joe@local.example>")
                return "ok" if code == 250 else f"{code} {text}"
        return ask
    yield make
    for server in servers:
        server.close()


def not_owned(sender, login):
    return f"553 5.7.1 <{sender}>: Sender address rejected: not owned by user {login}"


def not_logged_in(sender):
    return f"553 5.7.1 <{sender}>: Sender address rejected: not logged in"


def test_owners_of_senders(logins):
    ask = logins("reject_sender_login_mismatch")
    for login, sender in (("joe", "joe@local.example"), ("JOE", "joe+x@local.example"), ("boss", "joe@local.example"),
                          ("ann@dom.example", "any@dom.example"), ("joe", ""), (None, ""), (None, "free@far.example")):
        assert ask(login, sender) == "ok", (login, sender)
    for sender in ("list@local.example", "any@dom.example", "free@far.example"):
        assert ask("joe", sender) == not_owned(sender, "joe")
    for sender in ("joe@local.example", "any@dom.example"):
        assert ask(None, sender) == not_logged_in(sender)


@pytest.mark.parametrize("restriction, known, unknown, anonymous", [
    ("reject_authenticated_sender_login_mismatch", True, True, False),
    ("reject_unauthenticated_sender_login_mismatch", False, False, True),
    ("reject_known_sender_login_mismatch", True, False, True),
])
def test_variants(logins, restriction, known, unknown, anonymous):
    ask = logins(restriction)
    assert ask("joe", "list@local.example") == (not_owned("list@local.example", "joe") if known else "ok")
    assert ask("joe", "free@far.example") == (not_owned("free@far.example", "joe") if unknown else "ok")
    assert ask(None, "list@local.example") == (not_logged_in("list@local.example") if anonymous else "ok")
    assert ask(None, "free@far.example") == "ok"
