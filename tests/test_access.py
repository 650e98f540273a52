# SPDX-License-Identifier: ISC
"""Restriction lists at work: what they do to the message, what the log says, and how they wait for the name server."""
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import Dialogue
from harness.debian import debian_commands

HERE = Path(__file__).resolve().parent
BASE = {"local_recipient_maps": "", "defer_transports": "local smtp relay virtual"}


def talk(mail, sender="s@sender.example", recipient="r@test.example", body="Subject: x\r\n\r\nbody\r\n."):
    dialogue = Dialogue("127.0.0.1", mail.port, ehlo="helo.example")
    dialogue.expect(f"MAIL FROM:<{sender}>", 250)
    code, text = dialogue.command(f"RCPT TO:<{recipient}>")
    if code == 250 and body:
        dialogue.expect("DATA", 354)
        code, text = dialogue.command(body)
    dialogue.socket.close()
    return code, text


def queued(mail, text):
    """(queue, postcat's output) of the message that a reply names."""
    queue_id = text.rsplit(" ", 1)[1]
    for _ in range(50):
        found = [queue for queue in ("hold", "deferred", "active", "incoming") if list((mail.queue_directory / queue).rglob(queue_id))]
        if found and found[0] in ("hold", "deferred"):
            break
        time.sleep(0.1)
    return found[0] if found else None, mail.run("postcat", "-q", queue_id, check=False).stdout


@pytest.mark.parametrize("stage", ["sender", "data", "end_of_data"])
@pytest.mark.parametrize("action, queue, pattern", [
    ("HOLD", "hold", "MESSAGE CONTENTS"),
    ("REDIRECT other@test.example", "deferred", "redirect_to: other@test.example"),
    ("FILTER smtp:[127.0.0.1]:9", "deferred", "content_filter: smtp:[127.0.0.1]:9"),
    ("BCC copy@test.example", "deferred", "recipient: copy@test.example"),
])
def test_actions_reach_the_queue_file(instance, stage, action, queue, pattern):
    mail = instance(main={**BASE, f"smtpd_{stage}_restrictions": f"check_sender_access inline:{{{{sender.example={action}}}}}"})
    code, text = talk(mail)
    assert code == 250
    where, content = queued(mail, text)
    assert where == queue and pattern in content, content
    stage_name = {"sender": "RCPT", "data": "DATA", "end_of_data": "END-OF-MESSAGE"}[stage]
    mail.log.wait_for(rf": {action.split()[0].lower()}: {stage_name} from unknown\[127.0.0.1\]: <s@sender.example>: Sender address triggers {action.split()[0]}")


def test_prepended_headers_stand_above_received(instance):
    mail = instance(main={**BASE, "smtpd_sender_restrictions": "check_sender_access inline:{{sender.example=PREPEND X-One: 1}}",
                          "smtpd_data_restrictions": "check_sender_access inline:{{sender.example=PREPEND X-Two: 2}}"})
    _, content = queued(mail, talk(mail)[1])
    assert content.index("X-One: 1\nX-Two: 2\nReceived:") > 0


def test_discarded_mail_is_accepted_and_gone(instance):
    mail = instance(main={**BASE, "smtpd_end_of_data_restrictions": "check_sender_access inline:{sender.example=DISCARD}"})
    code, text = talk(mail)
    assert code == 250
    mail.log.wait_for(r": discard: END-OF-MESSAGE from ")
    assert not [one for queue in ("hold", "deferred", "active", "incoming") for one in (mail.queue_directory / queue).rglob(text.rsplit(" ", 1)[1])]


def test_refused_content_is_forgotten_and_the_session_goes_on(instance):
    mail = instance(main={**BASE, "smtpd_end_of_data_restrictions": "check_sender_access inline:{{bad.example=REJECT not this}}"})
    dialogue = Dialogue("127.0.0.1", mail.port, ehlo="helo.example")
    for sender, expected in (("x@bad.example", 554), ("x@good.example", 250), ("x@bad.example", 554)):
        dialogue.envelope(sender, "r@test.example")
        assert dialogue.command("Subject: x\r\n\r\nbody\r\n.")[0] == expected
    dialogue.socket.close()
    mail.log.wait_for(r"disconnect from")
    assert mail.log.count(r": reject: END-OF-MESSAGE from .*End-of-data|: reject: END-OF-MESSAGE from ") == 2


def test_hangup_closes_without_a_reply(instance):
    mail = instance(main={**BASE, "smtpd_sender_restrictions": "check_sender_access inline:{sender.example=HANGUP}"})
    with pytest.raises((ConnectionResetError, OSError)):
        talk(mail)
    mail.log.wait_for(r"NOQUEUE: hangup: RCPT from unknown\[127.0.0.1\]: ; from=<s@sender.example>")


@pytest.mark.dromos
def test_the_log_can_say_what_decided(instance):
    mail = instance(main={**BASE, "smtpd_log_decision": "yes", "smtpd_restriction_classes": "strict", "strict": "permit_mynetworks, reject",
                          "mynetworks": "192.0.2.0/24", "smtpd_recipient_restrictions": "reject_non_fqdn_sender, check_sender_access inline:{sender.example=strict}"})
    assert talk(mail)[0] == 554
    mail.log.wait_for(r"reject: RCPT from .*; from=<s@sender.example> to=<r@test.example> proto=ESMTP helo=<helo.example> "
                      r"decision=<smtpd_recipient_restrictions\[2\] reject>")


@pytest.mark.dromos
@pytest.mark.parametrize("lists", [{"smtpd_relay_restrictions": "permit"}, {"smtpd_relay_restrictions": "permit_mynetworks", "smtpd_recipient_restrictions": "permit"}])
def test_nothing_is_served_when_nothing_stops_relaying(instance, lists):
    mail = instance(main={**BASE, **lists})
    with pytest.raises(OSError):
        talk(mail)
    mail.log.wait_for(r"fatal: in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance of")


@pytest.mark.dromos
def test_sender_tables_cannot_open_the_relay(instance):
    mail = instance(main={**BASE, "mynetworks": "192.0.2.0/24", "smtpd_relay_restrictions": "check_sender_access inline:{sender.example=OK}, reject"})
    assert talk(mail, recipient="x@far.example") == (554, "5.7.1 <x@far.example>: Relay access denied")
    assert talk(mail)[0] == 250



@pytest.mark.dns
def test_questions_of_one_list_run_side_by_side(instance, dns):
    server = dns({("1.0.0.127.good.example", "A"): ["127.0.0.2"], **{(f"1.0.0.127.l{n}.example", "A"): "TIMEOUT" for n in range(6)}})
    mail = instance(start=False, main={**BASE, "mynetworks": "192.0.2.0/24", "smtpd_recipient_restrictions":
                                       ", ".join(f"reject_rbl_client l{n}.example" for n in range(6)) + ", reject_rbl_client good.example"})
    mail.environment["DROMOS_DNS_SERVERS"] = server.address
    mail.start()
    begun = time.monotonic()
    dialogue = Dialogue("127.0.0.1", mail.port, ehlo="x", timeout=60)
    dialogue.expect("MAIL FROM:<a@b.example>", 250)
    dialogue.send(b"RCPT TO:<r@test.example>\r\n")
    other = Dialogue("127.0.0.1", mail.port, ehlo="y")  # nobody else waits
    assert time.monotonic() - begun < 2
    other.expect("NOOP", 250)
    assert dialogue.reply()[0] == 554
    assert time.monotonic() - begun < 25  # one list's silence, not six of them
    count = len(server.queries)
    dialogue.expect("RCPT TO:<r2@test.example>", 554)
    assert len(server.queries) == count  # the answers, and the silence, are remembered
    mail.log.wait_for(r"warning: 1.0.0.127.l0.example: RBL lookup error: .*try again")


@pytest.mark.dns
def test_forged_and_missing_names(instance, dns):
    server = dns({("1.0.0.127.in-addr.arpa", "PTR"): ["forged.example"], ("forged.example", "A"): ["192.0.2.1"]})
    mail = instance(start=False, main={**BASE, "smtpd_peername_lookup": "yes", "unknown_client_reject_code": "550", "mynetworks": "192.0.2.0/24",
                                       "smtpd_client_restrictions": "permit_mynetworks, reject_unknown_client_hostname"})
    mail.environment["DROMOS_DNS_SERVERS"] = server.address
    mail.start()
    dialogue = Dialogue("127.0.0.1", mail.port, ehlo="x")
    dialogue.expect("MAIL FROM:<a@b.example>", 250)
    code, text = dialogue.command("RCPT TO:<r@test.example>")
    assert (code, text) in ((550, "5.7.25 Client host rejected: cannot find your hostname, [127.0.0.1]"), (250, "2.1.5 Ok"))
    assert (code == 250) == bool(mail.log.find(r"connect from localhost"))  # the machine's hosts file may name 127.0.0.1


@pytest.mark.root
@pytest.mark.dromos
def test_replies_and_log_are_those_of_debians_server(workdir, flavour, is_full):
    debian = debian_commands(workdir)
    if debian is None:
        pytest.skip("Debian's packages cannot be had")
    command = [sys.executable, str(HERE / "compare_access.py"), str(flavour.command_directory), str(debian.commands.parents[1]), "/1" if is_full else "/7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900 if is_full else 300, check=False)
    if done.returncode == 77:
        pytest.skip("no network namespaces here")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
