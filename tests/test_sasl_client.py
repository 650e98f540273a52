# SPDX-License-Identifier: ISC
"""Our own logins at other servers: whose credentials go where, by which mechanism, and what a refusal means."""
import grp
import os
import pwd
import shutil
import time

import pytest

from harness import postfix_flavour, smtp_send
from harness.certificates import Authority
from harness.debian import debian_commands
from harness.sasl import AuthSink, CyrusFiles, Dovecot

SECRET = "s3cret-Words"
ALL = "SCRAM-SHA-256 SCRAM-SHA-1 DIGEST-MD5 CRAM-MD5 LOGIN PLAIN".split()


@pytest.fixture
def peer():
    """A function that makes servers and closes them."""
    made = []

    def make(**options):
        made.append(AuthSink(**{"users": {"fred": SECRET}, **options}))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def system(instance):
    """A function that starts an instance which relays to a server with a password table."""
    def make(server, passwords=None, relayhost=None, **main):
        one = instance(start=False, main={"relayhost": relayhost or f"[127.0.0.1]:{server.port}", "smtp_sasl_auth_enable": "yes",
                                          "smtp_sasl_security_options": "noanonymous", "minimal_backoff_time": "3600s",
                                          "notify_classes": ""})
        text = passwords if passwords is not None else f"[127.0.0.1]:{server.port} fred:{SECRET}\n"
        one.main["smtp_sasl_password_maps"] = one.table("passwords", text)
        os.chmod(one.config_directory / "passwords", 0o600)
        one.main.update(main)
        one.write()
        return one.start()
    return make


def send(one, sender="fred@test.example", recipient="a@far.example"):
    """Sends a message and returns its status line."""
    mark = one.log.mark()
    smtp_send(one, sender, [recipient])
    return one.log.wait_for(rf"to=<{recipient}>, relay.* dsn=(\S+), status=(\w+) \((.*)\)$", start=mark)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_mechanisms(system, peer, mechanism):
    server = peer(mechanisms=mechanism)
    one = system(server)
    assert send(one)[2] == "sent"
    assert server.messages == [("fred", "fred@test.example", ["a@far.example"])]
    assert SECRET not in one.log.text()


def test_password_by_host_and_next_hop(system, peer):
    server = peer(mechanisms="PLAIN", users={"byhost": "one", "byhop": "two"})
    one = system(server, f"127.0.0.1 byhost:one\n[127.0.0.1]:{server.port} byhop:two\n")
    assert send(one)[2] == "sent" and server.messages[-1][0] == "byhost"
    (one.config_directory / "passwords").write_text(f"[127.0.0.1]:{server.port} byhop:two\n", encoding="ascii")
    one.reload()
    assert send(one)[2] == "sent" and server.messages[-1][0] == "byhop"


def test_without_password_or_offer(system, peer):
    server = peer(mechanisms="PLAIN")
    one = system(server, "other.example fred:x\n")
    assert send(one)[2] == "sent" and server.messages[-1][0] is None
    silent = peer(mechanisms="")
    two = system(silent)
    assert send(two)[2] == "sent" and not silent.logins


def test_by_sender(system, peer):
    """Each sender logs in as who the table says, on a connection that nobody else uses."""
    server = peer(mechanisms="PLAIN", users={"u1": "p1", "u2": "p2", "u3": "p3"})
    one = system(server, f"ann@a.example u1:p1\n@b.example u2:p2\n[127.0.0.1]:{server.port} u3:p3\nlocal u2:p2\n",
                 smtp_sender_dependent_authentication="yes", smtp_connection_cache_destinations=f"[127.0.0.1]:{server.port}, 127.0.0.1")
    senders = {"ann@a.example": "u1", "ann+x@a.example": "u3", "bob@b.example": "u2", "cee@c.example": "u3", "local@test.example": "u2"}
    for _ in range(3):
        for sender, user in senders.items():
            assert send(one, sender, f"{user}@far.example")[2] == "sent"
            assert server.messages[-1] == (user, sender, [f"{user}@far.example"])
    assert {login[1][1] for login in server.logins} == {"u1", "u2", "u3"}
    if not one.flavour.is_postfix:
        assert server.sessions < 15, "connections are kept, but for one user"


def test_sender_dependent_relayhost(system, peer):
    first, second = peer(mechanisms="PLAIN", users={"u1": "p1"}), peer(mechanisms="PLAIN", users={"u2": "p2"})
    one = system(first, "ann@a.example u1:p1\nbob@b.example u2:p2\n", smtp_sender_dependent_authentication="yes",
                 sender_dependent_relayhost_maps=f"inline:{{ {{ann@a.example=[127.0.0.1]:{first.port}}}, {{bob@b.example=[127.0.0.1]:{second.port}}} }}")
    assert send(one, "ann@a.example", "x@far.example")[2] == "sent"
    assert send(one, "bob@b.example", "y@far.example")[2] == "sent"
    assert [m[0] for m in first.messages] == ["u1"] and [m[0] for m in second.messages] == ["u2"]


@pytest.mark.parametrize("reply, dsn", [("535 5.7.8 no", "4.7.8"), ("535 no", "4.0.0"), ("454 4.7.0 later", "4.7.0"), ("534 5.7.9 weak", "4.7.9")])
def test_refusals_wait(system, peer, reply, dsn):
    one = system(peer(mechanisms="PLAIN", script={"AUTH": reply}))
    got = send(one)
    assert got[1] == dsn and got[2] == "deferred"
    assert got[3] == f"SASL authentication failed; server 127.0.0.1[127.0.0.1] said: {reply}"


def test_refusals_bounce_if_told(system, peer):
    one = system(peer(mechanisms="PLAIN", script={"AUTH": "535 5.7.8 no"}), smtp_sasl_auth_soft_bounce="no")
    assert send(one).group(1, 2) == ("5.7.8", "bounced")


@pytest.mark.parametrize("main, mechanisms, reason", [
    ({"smtp_sasl_mechanism_filter": "cram-md5"}, "PLAIN LOGIN", "SASL authentication failed: server 127.0.0.1[127.0.0.1] offered no compatible "
     "authentication mechanisms for this type of connection security"),
    ({"smtp_sasl_security_options": "noplaintext"}, "PLAIN LOGIN",
     "SASL authentication failed; cannot authenticate to server 127.0.0.1[127.0.0.1]: no mechanism available"),
    ({}, "FOO BAR", "SASL authentication failed; cannot authenticate to server 127.0.0.1[127.0.0.1]: no mechanism available"),
    ({"smtp_sasl_password_maps": "fail:x"}, "PLAIN", "local data error while talking to 127.0.0.1[127.0.0.1]"),
], ids=["filter", "options", "unknown", "table"])
def test_nothing_fits(system, peer, main, mechanisms, reason):
    server = peer(mechanisms=mechanisms)
    got = send(system(server, **main))
    assert (got[2], got[3]) == ("deferred", reason) and not server.logins


def test_filter_leaves_one(system, peer):
    server = peer()
    assert send(system(server, smtp_sasl_mechanism_filter="!plain, !cram-md5, static:rest"))[2] == "sent"
    assert server.logins[0][0] == "LOGIN"


@pytest.mark.parametrize("script", [{"AUTH": "334 !!!!"}, {"AUTH": "334 " + "QUFB" * 3000}, {"AUTH": "334"}, {"AUTH": "221 bye"},
                                    {"AUTH": "garbage"}, {"AUTH": "235-no\r\n235-end"}], ids=["garbage", "long", "empty", "221", "no reply", "endless"])
def test_servers_that_lie(system, peer, script):
    server = peer(mechanisms="LOGIN", script=script)
    one = system(server, smtp_helo_timeout="2s")
    assert send(one)[2] in ("deferred", "sent")
    if "221" not in script["AUTH"]:
        assert not server.messages
    assert SECRET not in one.log.text() and "panic" not in one.log.text()


def test_a_server_that_hangs_delays_nobody_else(system, peer):
    stuck = peer(mechanisms="PLAIN", script={"AUTH": None})
    fine = peer(mechanisms="PLAIN")
    one = system(stuck, f"[127.0.0.1]:{stuck.port} fred:{SECRET}\n[127.0.0.1]:{fine.port} fred:{SECRET}\n", smtp_helo_timeout="6s",
                 transport_maps=f"inline:{{fine.example=smtp:[127.0.0.1]:{fine.port}}}")
    for number in range(5):
        smtp_send(one, "fred@test.example", [f"stuck{number}@far.example"])
    begun = time.monotonic()
    assert send(one, recipient="a@fine.example")[2] == "sent"
    assert time.monotonic() - begun < 3
    one.log.wait_for(r"to=<stuck0@far.example>.*dsn=4.4.2, status=deferred \(conversation with 127.0.0.1\[127.0.0.1\] timed out "
                     r"while performing the EHLO handshake\)", 20)


@pytest.mark.parametrize("soft", ["yes", "no"])
def test_negative_cache(system, peer, soft):
    """A refused password is not tried again until it changes; what is kept of it does not tell it."""
    server = peer(mechanisms="PLAIN", users={"fred": "right"})
    one = system(server, smtp_sasl_auth_soft_bounce=soft, smtp_sasl_auth_cache_name="proxy:btree:$data_directory/sasl_cache")
    got = send(one, recipient="a@far.example")
    assert got[3].startswith("SASL authentication failed; server 127.0.0.1[127.0.0.1] said: 535")
    got = send(one, "bob@test.example", recipient="b@far.example")
    assert got[3].startswith("SASL [CACHED] authentication failed; server 127.0.0.1 said: 535 5.7.8")
    assert (got[1], got[2]) == (("4.7.8", "deferred") if soft == "yes" else ("5.7.8", "bounced"))
    assert len([login for login in server.logins if login[1][1] == "fred"]) == 1
    if not one.flavour.is_postfix:
        kept = b"".join(path.read_bytes() for path in one.data_directory.iterdir() if path.is_file())
        assert b"fred" in kept and SECRET.encode() not in kept
    (one.config_directory / "passwords").write_text(f"[127.0.0.1]:{server.port} fred:right\n", encoding="ascii")
    one.reload()
    assert send(one, "cee@test.example", "c@far.example")[2] == "sent"


# ---- Bearer tokens

@pytest.mark.dromos
@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_bearer_tokens(system, peer, mechanism):
    server = peer(users={"fred@test.example": "ya29.token"})
    one = system(server, f"[127.0.0.1]:{server.port} fred@test.example:ya29.token\n", smtp_sasl_mechanism_filter=mechanism.lower())
    assert send(one)[2] == "sent"
    assert server.messages[0][0] == "fred@test.example"
    shown = server.logins[0][1]
    if mechanism == "XOAUTH2":
        assert shown == "user=fred@test.example\1auth=Bearer ya29.token\1\1"
    else:
        assert shown == f"n,a=fred@test.example,\1host=127.0.0.1\1port={server.port}\1auth=Bearer ya29.token\1\1"


@pytest.mark.dromos
@pytest.mark.parametrize("chroot", ["n", pytest.param("y", marks=pytest.mark.root)])
def test_a_renewed_token_is_seen_without_reload(instance, system, peer, chroot):
    """The table is the token file: whoever renews the token writes it, and nothing else."""
    server = peer(mechanisms="XOAUTH2", users={"fred@test.example": "token-2"})
    one = system(server, f"[127.0.0.1]:{server.port} fred@test.example:token-1\n")
    if chroot == "y":
        one.stop()
        one.standard_rows = one.standard_rows.replace("smtp       unix  - - n", "smtp       unix  - - y")
        one.write()
        one.start()
    got = send(one, recipient="a@far.example")
    assert got[2] == "deferred" and "535 5.7.8" in got[3]
    assert server.logins[1][0] == "dismissed"
    time.sleep(1.1)  # a change is noticed once a second
    new = one.config_directory / "passwords.new"
    new.write_text(f"[127.0.0.1]:{server.port} fred@test.example:token-2\n", encoding="ascii")
    os.chmod(new, 0o600)
    os.rename(new, one.config_directory / "passwords")
    for number in range(5):  # a process that is busy just then still has the old one
        if send(one, recipient=f"b{number}@far.example")[2] == "sent":
            break
        time.sleep(0.5)
    assert server.messages and server.messages[0][0] == "fred@test.example"
    assert "token-" not in one.log.text()


# ---- Over TLS

@pytest.mark.dromos
@pytest.mark.skipif(not shutil.which("saslpasswd2"), reason="sasl2-bin is not installed")
@pytest.mark.parametrize("level, plain, tls, verified, status", [
    ("none", "noplaintext", "noanonymous", "noanonymous", "deferred"),
    ("encrypt", "noplaintext", "noanonymous", "noplaintext", "sent"),
    ("encrypt", "noanonymous", "noplaintext", "noanonymous", "deferred"),
    ("verify", "noplaintext", "noplaintext", "noanonymous", "sent"),
])
def test_options_by_protection(instance, level, plain, tls, verified, status):
    """A provider that takes PLAIN: shown to nobody, to any server over TLS, or to the right one only."""
    there = instance(start=False, name="there", main={"mynetworks": "192.0.2.0/24", "defer_transports": "smtp", "smtpd_tls_security_level": "may",
                                                      "smtpd_relay_restrictions": "permit_sasl_authenticated, reject_unauth_destination"})
    authority = Authority(there.directory / "ca")
    leaf = authority.issue("127.0.0.1")
    there.main.update({"smtpd_tls_cert_file": leaf.cert, "smtpd_tls_key_file": leaf.key,
                       **CyrusFiles(there.directory / "sasl", users=(("fred", SECRET),), mech_list="PLAIN").main})
    there.write()
    there.start()
    one = instance(start=False, name="here", main={
        "relayhost": f"[127.0.0.1]:{there.port}", "smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": plain,
        "smtp_sasl_tls_security_options": tls, "smtp_sasl_tls_verified_security_options": verified, "smtp_tls_security_level": level,
        "smtp_tls_CAfile": authority.cert, "smtp_tls_verify_cert_match": "127.0.0.1",
        "smtp_sasl_password_maps": f"inline:{{ {{[127.0.0.1]:{there.port}=fred:{SECRET}}} }}"})
    one.start()
    got = send(one)
    assert got[2] == status, got[0]
    if status == "sent":
        there.log.wait_for(r"sasl_method=PLAIN, sasl_username=fred@test.example")
    else:
        assert got[3] == "SASL authentication failed; cannot authenticate to server 127.0.0.1[127.0.0.1]: no mechanism available"


# ---- LMTP, and real servers

def test_lmtp_has_its_own_parameters(system, peer):
    server = peer(mechanisms="PLAIN")
    one = system(server, "", smtp_sasl_auth_enable="no", lmtp_sasl_auth_enable="yes", lmtp_sasl_security_options="noanonymous",
                 lmtp_sasl_password_maps=f"inline:{{ {{[127.0.0.1]:{server.port}=fred:{SECRET}}}, {{127.0.0.1=fred:{SECRET}}} }}",
                 relayhost="", default_transport=f"lmtp:inet:127.0.0.1:{server.port}")
    assert send(one)[2] == "sent" and server.messages[0][0] == "fred"


def group_of(user):
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


@pytest.fixture(scope="module")
def debian(tmp_path_factory):
    found = debian_commands(tmp_path_factory.mktemp("debian"))
    if found is None:
        pytest.skip("Debian's Postfix cannot be had")
    return postfix_flavour(found.commands.parents[1])


def receiver(instance, accounts, flavour, workdir):
    """A Postfix of either kind that relays for who logs in, with Dovecot's passwords."""
    one = instance(start=False, name="receiver", flavour=flavour,
                   main={"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": "private/auth",
                         "mynetworks": "192.0.2.0/24", "defer_transports": "smtp", "smtpd_error_sleep_time": "0",
                         "smtpd_relay_restrictions": "permit_sasl_authenticated, reject_unauth_destination"})
    server = Dovecot(workdir / "dovecot", one.queue_directory / "private" / "auth", accounts.owner, group_of(accounts.owner),
                     users=(("fred", SECRET),))
    one.start()
    return one, server


@pytest.mark.root
@pytest.mark.dromos
@pytest.mark.skipif(not os.path.exists("/usr/sbin/dovecot"), reason="dovecot-core is not installed")
def test_debians_postfix_as_server(instance, system, accounts, debian, workdir):
    there, server = receiver(instance, accounts, debian, workdir)
    try:
        one = system(there)
        for mechanism in ALL:
            one.set(smtp_sasl_mechanism_filter=mechanism.lower())
            assert send(one, recipient=f"{mechanism.lower()}@far.example")[2] == "sent"
            there.log.wait_for(rf"client=.*, sasl_method={mechanism}, sasl_username=fred")
        (one.config_directory / "passwords").write_text(f"[127.0.0.1]:{there.port} fred:wrong\n", encoding="ascii")
        one.reload()
        assert send(one, recipient="no@far.example")[2] == "deferred"
    finally:
        server.close()


@pytest.mark.root
@pytest.mark.dromos
@pytest.mark.skipif(not shutil.which("saslpasswd2"), reason="sasl2-bin is not installed")
def test_debians_postfix_as_client(instance, debian):
    here = instance(start=False, name="here", main={"mynetworks": "192.0.2.0/24", "defer_transports": "smtp", "smtpd_error_sleep_time": "0",
                                                    "smtpd_relay_restrictions": "permit_sasl_authenticated, reject_unauth_destination"})
    here.main.update(CyrusFiles(here.directory / "sasl", users=(("fred", SECRET),), mech_list=" ".join(ALL)).main)
    here.write()
    here.start()
    there = instance(start=False, name="there", flavour=debian,
                     main={"relayhost": f"[127.0.0.1]:{here.port}", "smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": "noanonymous"})
    there.main["smtp_sasl_password_maps"] = f"texthash:{there.file('passwords', f'[127.0.0.1]:{here.port} fred:{SECRET}' + chr(10))}"
    for mechanism in ALL:
        there.set(smtp_sasl_mechanism_filter=mechanism.lower())
        there.restart()  # an idle agent of Debian's takes one more message by its old settings
        assert send(there, recipient=f"{mechanism.lower()}@far.example")[2] == "sent"
        here.log.wait_for(rf"client=.*, sasl_method={mechanism}, sasl_username=fred@test.example")
