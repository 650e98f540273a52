# SPDX-License-Identifier: ISC
"""Address verification: probes, what the cache keeps, and what clients are told."""
import os
import signal
import subprocess
import time

import pytest

from harness import wait_until

PENDING = "Address verification in progress"


@pytest.fixture
def hop(sink):
    """A next hop that refuses some recipients: bad… for good, tmp… for now."""
    one = sink()
    one.answers = {"bad": "550 5.1.1 no such user here", "tmp": "450 4.2.0 later"}

    def answer(session):
        return next((reply for start, reply in one.answers.items() if session.recipient.startswith(start)), None)
    one.on("rcpt", answer)
    return one


@pytest.fixture
def verifying(instance, hop):
    def make(**main):
        return instance(main={
            "relayhost": f"[127.0.0.1]:{hop.port}",
            "smtpd_recipient_restrictions": "reject_unverified_recipient, permit",
            "unverified_recipient_reject_code": "550",
            "address_verify_map": "lmdb:$data_directory/verify_cache",
            "address_verify_poll_delay": "2s",
            "smtpd_reject_unlisted_recipient": "no",
            **main})
    return make


def restart(mx, **main):
    """Runs on with other parameters. A reload would leave a moment in which an old process answers."""
    mx.set(reload=False, **main)
    mx.restart()


def ask(mx, recipient, sender="sender@client.example"):
    """The reply to RCPT."""
    with mx.dialogue(ehlo="client.example") as client:
        client.expect(f"MAIL FROM:<{sender}>", 250)
        return client.command(f"RCPT TO:<{recipient}>")


def cached(mx):
    """{address: text} of the cache, read from a copy."""
    copy = mx.directory / "copy"
    subprocess.run(["cp", mx.data_directory / "verify_cache.lmdb", f"{copy}.lmdb"], check=True)
    found = mx.run("postmap", "-s", f"lmdb:{copy}").stdout
    return dict(line.split("\t", 1) for line in found.splitlines() if not line.startswith("_"))


def probes(hop):
    return [command for command in hop.commands if command.startswith("RCPT")]


@pytest.mark.dromos
@pytest.mark.sanitize
def test_the_next_hop_decides(verifying, hop):
    mx = verifying()
    assert ask(mx, "good@far.example") == (250, "2.1.5 Ok")
    code, text = ask(mx, "bad@far.example")
    assert code == 550 and text == ("5.1.1 <bad@far.example>: Recipient address rejected: undeliverable address: "
                                    "host 127.0.0.1[127.0.0.1] said: 550 5.1.1 no such user here (in reply to RCPT TO command)")
    code, text = ask(mx, "tmp@far.example")
    assert code == 450 and text.startswith("4.1.1 <tmp@far.example>: Recipient address rejected: unverified address: host 127.0.0.1")
    assert not any(command.startswith("DATA") for command in hop.commands)
    assert all("<double-bounce@" in command for command in hop.commands if command.startswith("MAIL"))
    mx.log.wait_for(r"to=<good@far.example>, .*status=deliverable \(250 2.1.5 recipient ok\)")
    mx.log.wait_for(r"to=<bad@far.example>, .*dsn=5.1.1, status=undeliverable \(host 127.0.0.1")
    mx.wait_queue_empty()
    assert not any(mx.queue_files("bounce", "defer", "trace").values())
    entries = cached(mx)
    assert entries["good@far.example"].startswith("0:0:") and entries["good@far.example"].endswith(":250 2.1.5 recipient ok")
    assert entries["bad@far.example"].startswith("2:0:") and entries["tmp@far.example"].startswith("1:0:")


@pytest.mark.dromos
def test_a_server_may_refuse_at_data(verifying, hop):
    hop.on("data", "550 5.7.1 nobody here", times=1)
    mx = verifying(smtp_address_verify_target="data")
    assert ask(mx, "late@far.example")[1].endswith("said: 550 5.7.1 nobody here (in reply to DATA command)")
    assert ask(mx, "good@far.example")[0] == 250
    mx.wait_queue_empty()
    assert not hop.messages


@pytest.mark.dromos
def test_the_cache_survives_a_restart(verifying, hop):
    mx = verifying()
    assert ask(mx, "good@far.example")[0] == 250 and ask(mx, "bad@far.example")[0] == 550
    mx.restart()
    hop.answers = {"good": "550 5.1.1 gone", "bad": "250 2.1.5 back again"}
    before = len(probes(hop))
    assert ask(mx, "good@far.example")[0] == 250
    assert "no such user here" in ask(mx, "bad@far.example")[1]
    assert len(probes(hop)) == before


@pytest.mark.dromos
def test_a_killed_service_has_lost_nothing(verifying, hop):
    mx = verifying()
    with mx.dialogue(ehlo="client.example") as client:
        client.expect("MAIL FROM:<sender@client.example>", 250)
        client.expect("RCPT TO:<good@far.example>", 250)
        for pid in mx.pids("verify"):
            os.kill(pid, signal.SIGKILL)
        client.expect("RCPT TO:<good@far.example>", 250)  # on a new connection to a new process
        client.expect("RCPT TO:<bad@far.example>", 550)
    assert len(probes(hop)) == 2
    mx.reload()
    assert ask(mx, "bad@far.example")[0] == 550 and len(probes(hop)) == 2


@pytest.mark.dromos
def test_entries_expire_and_are_refreshed(verifying, hop):
    mx = verifying(address_verify_positive_expire_time="8s", address_verify_positive_refresh_time="1s",
                   address_verify_negative_expire_time="5s")
    assert ask(mx, "good@far.example")[0] == 250 and ask(mx, "bad@far.example")[0] == 550
    known = time.monotonic()
    hop.answers = {"good": "550 5.1.1 gone"}
    time.sleep(2.1)
    assert ask(mx, "good@far.example")[0] == 250  # still known; refreshed behind the client's back
    wait_until(lambda: any("good" in probe for probe in probes(hop)[2:]), 10, lambda: "a refreshing probe")
    time.sleep(max(0.0, known + 9.1 - time.monotonic()))
    assert ask(mx, "good@far.example") == (550, "5.1.1 <good@far.example>: Recipient address rejected: undeliverable address: host "
                                                "127.0.0.1[127.0.0.1] said: 550 5.1.1 gone (in reply to RCPT TO command)")
    assert ask(mx, "bad@far.example")[0] == 250


@pytest.mark.dromos
def test_failures_that_are_not_cached_still_answer(verifying, hop):
    mx = verifying(address_verify_negative_cache="no", address_verify_poll_delay="1s", address_verify_poll_count="2")
    assert ask(mx, "bad@far.example")[0] == 550
    hop.answers = {}
    time.sleep(3.2)
    assert ask(mx, "bad@far.example")[0] == 250


@pytest.mark.dromos
def test_a_dead_next_hop_is_temporary(verifying):
    mx = verifying(relayhost="[127.0.0.1]:1")
    code, text = ask(mx, "someone@far.example")
    assert code == 450 and text.endswith("unverified address: connect to 127.0.0.1[127.0.0.1]:1: Connection refused")
    mx.wait_queue_empty()


@pytest.mark.dromos
def test_a_slow_next_hop_is_waited_for_no_longer_than_configured(verifying, hop):
    from harness import Hang
    hop.on("mail", Hang(30))
    mx = verifying(address_verify_poll_count="2", address_verify_poll_delay="1s")
    start = time.monotonic()
    code, text = ask(mx, "slow@far.example")
    assert code == 450 and text.endswith(f"unverified address: {PENDING}")
    assert 0.9 < time.monotonic() - start < 15
    assert ask(mx, "slow@far.example")[0] == 450
    assert mx.log.count(r"qmgr\[\d+\]: \w+: from=<double-bounce@") == 1  # one probe at a time


@pytest.mark.dromos
def test_codes_reasons_and_the_action_for_doubt(verifying):
    mx = verifying(unverified_recipient_reject_reason="Mailbox lookup failed", unverified_recipient_defer_code="451",
                   unverified_sender_reject_code="450", unverified_sender_tempfail_action="defer",
                   smtpd_sender_restrictions="reject_unverified_sender")
    assert ask(mx, "bad@far.example") == (550, "5.1.1 <bad@far.example>: Recipient address rejected: undeliverable address: "
                                               "Mailbox lookup failed")
    assert ask(mx, "tmp@far.example") == (451, "4.1.1 <tmp@far.example>: Recipient address rejected: unverified address: "
                                               "Mailbox lookup failed")
    code, text = ask(mx, "good@far.example", sender="bad2@far.example")
    assert code == 450 and text.startswith("4.1.7 <bad2@far.example>: Sender address rejected: unverified address: host")
    assert ask(mx, "good@far.example", sender="")[0] == 250
    restart(mx, unverified_recipient_reject_code="250", smtpd_sender_restrictions="")
    assert ask(mx, "bad@far.example")[0] == 250


@pytest.mark.dromos
def test_doubt_gives_way_to_a_later_refusal(verifying):
    mx = verifying(smtpd_recipient_restrictions="reject_unverified_recipient, check_recipient_access static:REJECT")
    assert ask(mx, "tmp@far.example") == (554, "5.7.1 <tmp@far.example>: Recipient address rejected: Access denied")
    restart(mx, unverified_recipient_tempfail_action="defer")
    assert ask(mx, "tmp@far.example")[0] == 450


@pytest.mark.dromos
def test_without_the_service_nothing_is_certain(verifying):
    mx = verifying(address_verify_service_name="elsewhere")
    assert ask(mx, "good@far.example") == (450, "4.1.1 <good@far.example>: Recipient address rejected: address verification problem")


@pytest.mark.dromos
@pytest.mark.root
def test_our_own_addresses_are_looked_at_without_delivery(verifying, hop, virtual, workdir, accounts):
    mailboxes = workdir / "boxes"
    mailboxes.mkdir()
    mx = verifying(**virtual(mailboxes, "box"), virtual_alias_domains="alias.example",
                   virtual_alias_maps="inline:{one@alias.example=" + accounts.person + "@test.example, gone@alias.example=bad@far.example, "
                                      "{two@alias.example=" + accounts.person + "@test.example bad@far.example}}",
                   alias_maps="inline:{friends=bad@far.example}", transport_maps="inline:{{closed.example=error:5.7.1 closed}}")
    assert ask(mx, f"{accounts.person}@test.example")[0] == 250
    assert ask(mx, "nosuch@test.example")[1].endswith('undeliverable address: unknown user: "nosuch"')
    assert ask(mx, "friends@test.example")[0] == 250
    assert ask(mx, "box@virt.example")[0] == 250
    assert ask(mx, "nobox@virt.example")[1].endswith('undeliverable address: unknown user: "nobox@virt.example"')
    assert ask(mx, "x@closed.example")[1].endswith("undeliverable address: closed")
    assert ask(mx, "one@alias.example")[0] == 250
    assert "no such user here" in ask(mx, "gone@alias.example")[1]
    assert ask(mx, "two@alias.example")[0] == 250
    mx.wait_queue_empty()
    assert not list(mailboxes.iterdir()) and not list(mx.mail_directory.iterdir())
    entries = cached(mx)
    assert entries["one@alias.example"].endswith("delivers to mailbox")
    assert entries["friends@test.example"].endswith("to bad@far.example")
    assert entries["two@alias.example"].endswith(":aliased to multiple recipients")


@pytest.mark.dromos
def test_probes_have_routes_and_a_sender_of_their_own(verifying, hop, sink):
    other = sink()
    mx = verifying(address_verify_relayhost=f"[127.0.0.1]:{other.port}", address_verify_sender_ttl="1h")
    assert ask(mx, "bad@far.example")[0] == 250  # the other server takes everybody
    sender = next(command for command in other.commands if command.startswith("MAIL")).split("<")[1].split(">")[0]
    assert sender.startswith("double-bounce") and len(sender.split("@")[0]) > len("double-bounce")
    assert not probes(hop)
    restart(mx, smtpd_recipient_restrictions="permit", smtpd_reject_unlisted_recipient="yes", local_recipient_maps="inline:{x=x}",
            mydestination="$myhostname, $mydomain, test.example")
    assert ask(mx, sender, sender="")[0] == 250  # servers that call back find that the sender exists
    assert ask(mx, "double-bounceXYZ@test.example", sender="")[0] == 550
    restart(mx, address_verify_sender="<>", address_verify_sender_ttl="0s",
            smtpd_recipient_restrictions="reject_unverified_recipient, permit")
    assert ask(mx, "another@far.example")[0] == 250
    assert any(command.startswith("MAIL FROM:<>") for command in other.commands)


@pytest.mark.dromos
def test_the_cache_may_be_in_memory_or_shared(verifying, hop):
    mx = verifying(address_verify_map="")
    assert ask(mx, "bad@far.example")[0] == 550
    count = len(probes(hop))
    assert ask(mx, "bad@far.example")[0] == 550 and len(probes(hop)) == count
    restart(mx, address_verify_map="proxy:lmdb:$data_directory/shared_cache")
    assert ask(mx, "bad@far.example")[0] == 550
    assert (mx.data_directory / "shared_cache.lmdb").exists()


@pytest.mark.dromos
def test_what_has_expired_is_removed(verifying):
    mx = verifying(address_verify_negative_expire_time="1s", address_verify_cache_cleanup_interval="2s")
    assert ask(mx, "bad@far.example")[0] == 550 and ask(mx, "good@far.example")[0] == 250
    mx.log.wait_for(r"verify\[\d+\]: cache lmdb:.*/verify_cache full cleanup: retained=1 dropped=1 entries", timeout=20)
    assert list(cached(mx)) == ["good@far.example"]
