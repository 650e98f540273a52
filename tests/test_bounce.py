# SPDX-License-Identifier: ISC
"""Notifications: RFC 3464 reports for failure, delay and success; and the mail that must not be bounced."""
import email
import email.policy
import re

import pytest

from harness import free_port, make_message, smtp_send, wait_until

pytestmark = pytest.mark.sanitize


@pytest.fixture
def reporting(instance, sink):
    """An instance that sends mail for client.example to a sink, and knows where other mail goes by a transport map."""
    def make(transport="", **main):
        back = sink()
        system = instance(start=False, main={"relayhost": back.nexthop, "minimal_backoff_time": "1s",
                                             "maximal_backoff_time": "1s", "queue_run_delay": "1s", **main})
        if transport:
            system.main["transport_maps"] = system.table("transport", transport)
        system.write()
        return system.start(), back
    return make


def parse(received):
    """(message, text part, list of report fields (per message, then per recipient), returned part)."""
    message = email.message_from_bytes(received.data, policy=email.policy.default)
    assert message.get_content_type() == "multipart/report", received.text
    assert message.get_param("report-type") == "delivery-status"
    text, report, returned = message.get_payload()
    assert report.get_content_type() == "message/delivery-status"
    return message, text.get_content(), report.get_payload(), returned


def test_failure_report(reporting, sink):
    far = sink()
    far.on("rcpt", "550 5.1.2 bad destination")
    system, back = reporting(f"far.example smtp:{far.nexthop}\n")
    with system.dialogue(ehlo="client.example") as talk:
        talk.expect("MAIL FROM:<joe@client.example> ENVID=QQ123", 250)
        talk.expect("RCPT TO:<user@far.example> ORCPT=rfc822;orig@far.example", 250)
        talk.expect("DATA", 354)
        talk.expect(make_message("joe@client.example", subject="lost") + b".\r\n", 250)
    (bounce,) = back.wait(1, instance=system)
    assert bounce.sender == "" and bounce.recipients == ["joe@client.example"]
    message, text, fields, returned = parse(bounce)
    assert message["Subject"] == "Undelivered Mail Returned to Sender"
    assert message["To"] == "joe@client.example" and "MAILER-DAEMON@mx.test.example" in message["From"]
    assert message["Auto-Submitted"] == "auto-replied"
    assert ("<user@far.example>: host 127.0.0.1[127.0.0.1] said: 550 5.1.2 bad destination (in reply to RCPT TO "
            "command)") in re.sub(r"\s+", " ", text)
    per_message, per_recipient = fields
    assert per_message["Reporting-MTA"] == "dns; mx.test.example"
    assert per_message["Original-Envelope-Id"] == "QQ123"
    assert per_message["Arrival-Date"]
    assert per_recipient["Final-Recipient"] == "rfc822; user@far.example"
    assert per_recipient["Original-Recipient"].replace(" ", "") == "rfc822;orig@far.example"
    assert per_recipient["Action"] == "failed" and per_recipient["Status"] == "5.1.2"
    assert returned.get_content_type() == "message/rfc822"
    assert returned.get_payload()[0]["Subject"] == "lost"
    queue_id = re.search(r"bounce\[\d+\]: (\w+): sender non-delivery notification: \w+$", system.log.text(),
                         re.MULTILINE)
    assert queue_id
    system.wait_queue_empty()
    assert not system.queue_files("bounce", "defer")["bounce"]


def test_remote_reply_is_reported(reporting, sink):
    far = sink()
    far.on("rcpt", "550-5.1.1 no such user\n550 5.1.1 here")
    system, back = reporting(f"far.example smtp:{far.nexthop}\n")
    smtp_send(system, "joe@client.example", "user@far.example")
    _, _, (_, fields), _ = parse(back.wait(1, instance=system)[0])
    assert fields["Status"] == "5.1.1" and fields["Remote-MTA"] == "dns; 127.0.0.1"
    assert re.sub(r"\s+", " ", fields["Diagnostic-Code"]) == "smtp; 550-5.1.1 no such user 550 5.1.1 here"


def test_original_recipient_is_named_without_being_asked(reporting, sink):
    far = sink()
    far.on("rcpt", "550 5.1.1 unknown")
    system, back = reporting(f"far.example smtp:{far.nexthop}\n", virtual_alias_maps="inline:{old@there.example=user@far.example}")
    smtp_send(system, "joe@client.example", "old@there.example")
    (bounce,) = back.wait(1, instance=system)
    _, _, (_, per_recipient), _ = parse(bounce)
    assert per_recipient["Final-Recipient"] == "rfc822; user@far.example"
    assert per_recipient["Original-Recipient"].replace(" ", "") == "rfc822;old@there.example"


def test_several_recipients_in_one_report(reporting, sink):
    far = sink()
    far.on("rcpt", "550 5.1.1 unknown")
    system, back = reporting(f"far.example smtp:{far.nexthop}\n")
    smtp_send(system, "joe@client.example", [f"u{n}@far.example" for n in range(5)])
    _, _, fields, _ = parse(back.wait(1, instance=system)[0])
    assert len(fields) == 6
    assert {f["Final-Recipient"] for f in fields[1:]} == {f"rfc822; u{n}@far.example" for n in range(5)}
    system.wait_queue_empty()
    assert back.count == 1


def test_bounce_of_a_bounce_is_dropped(reporting, sink):
    far = sink()
    far.on("rcpt", "550 5.1.1 unknown")
    system, back = reporting(f"far.example smtp:{far.nexthop}\n")
    smtp_send(system, "", "user@far.example")
    system.log.wait_for(r"status=bounced")
    system.wait_queue_empty()
    assert back.count == 0


def test_bounce_that_cannot_be_delivered_does_not_loop(reporting, sink):
    far = sink()
    far.on("rcpt", "550 5.1.1 unknown")
    system, back = reporting(f"far.example smtp:{far.nexthop}\nclient.example smtp:{far.nexthop}\n")
    smtp_send(system, "joe@client.example", "user@far.example")
    system.log.wait_for(r"(?s)(status=bounced.*){2}")
    system.wait_queue_empty()
    assert system.log.count(r"notification: \w+$") == 1


def test_notify_never_is_respected(reporting, sink):
    far = sink()
    far.on("rcpt", "550 5.1.1 unknown")
    system, back = reporting(f"far.example smtp:{far.nexthop}\n")
    smtp_send(system, "joe@client.example", "user@far.example", rcpt_options=["NOTIFY=NEVER"])
    system.log.wait_for(r"status=bounced")
    system.wait_queue_empty()
    assert back.count == 0


def test_headers_only_when_asked(reporting, sink):
    far = sink()
    far.on("rcpt", "550 5.1.1 unknown")
    system, back = reporting(f"far.example smtp:{far.nexthop}\n")
    smtp_send(system, "joe@client.example", "user@far.example", make_message(body="secret body\n"),
              mail_options=["RET=HDRS"])
    bounce = back.wait(1, instance=system)[0]
    _, _, _, returned = parse(bounce)
    assert returned.get_content_type() == "text/rfc822-headers" and b"secret body" not in bounce.data


def test_large_message_is_returned_without_its_body(reporting, sink):
    far = sink()
    far.on("rcpt", "550 5.1.1 unknown")
    system, back = reporting(f"far.example smtp:{far.nexthop}\n", bounce_size_limit="2000")
    smtp_send(system, "joe@client.example", "user@far.example", make_message(size=20_000))
    assert len(back.wait(1, instance=system)[0].data) < 8000


def test_report_may_be_larger_than_a_message(reporting, sink):
    """The report wraps a message that itself was within message_size_limit."""
    far = sink()
    far.on("rcpt", "550 5.1.1 unknown")
    system, back = reporting(f"far.example smtp:{far.nexthop}\n", message_size_limit="20000", bounce_size_limit="50000")
    smtp_send(system, "joe@client.example", "user@far.example", make_message(size=19_000))
    assert len(back.wait(1, instance=system)[0].data) > 20_000


def test_success_report_for_local_delivery(reporting, virtual, workdir):
    system, back = reporting(**virtual(workdir / "m", "alice"))
    (workdir / "m").mkdir()
    (workdir / "m").chmod(0o1777)
    smtp_send(system, "joe@client.example", "alice@virt.example", rcpt_options=["NOTIFY=SUCCESS"])
    (report,) = back.wait(1, instance=system)
    message, _, (_, fields), _ = parse(report)
    assert message["Subject"] == "Successful Mail Delivery Report"
    assert fields["Action"] == "delivered" and fields["Status"] == "2.0.0"


def test_relayed_report_when_the_next_hop_has_no_dsn(reporting, sink):
    far = sink(keywords=["8BITMIME"])
    system, back = reporting(f"far.example smtp:{far.nexthop}\n")
    smtp_send(system, "joe@client.example", "user@far.example", rcpt_options=["NOTIFY=SUCCESS"])
    _, _, (_, fields), _ = parse(back.wait(1, instance=system)[0])
    assert fields["Action"] == "relayed"


def test_delay_warning(reporting):
    system, back = reporting(f"far.example smtp:[127.0.0.1]:{free_port()}\n", delay_warning_time="1s")
    smtp_send(system, "joe@client.example", "user@far.example")
    (warning,) = back.wait(1, timeout=30, instance=system)
    message, _, (_, fields), _ = parse(warning)
    assert message["Subject"] == "Delayed Mail (still being retried)"
    assert fields["Action"] == "delayed" and fields["Will-Retry-Until"]
    assert system.queue_ids("deferred", "active", "incoming")


def test_unicode_report(reporting, sink):
    far = sink()
    far.on("rcpt", "550 5.1.1 unknown")
    system, back = reporting(f"far.example smtp:{far.nexthop}\n")
    with system.dialogue(ehlo="client.example") as talk:
        talk.expect("MAIL FROM:<joe@client.example> SMTPUTF8", 250)
        talk.expect("RCPT TO:<jörg@far.example>", 250)
        talk.expect("DATA", 354)
        talk.expect("Subject: ü\r\n\r\n.", 250)
    text = back.wait(1, instance=system)[0].text
    assert "message/global-delivery-status" in text and "jörg@far.example" in text


def test_bounce_of_a_message_with_boundary_like_lines(reporting, sink):
    far = sink()
    far.on("rcpt", "550 5.1.1 unknown")
    system, back = reporting(f"far.example smtp:{far.nexthop}\n")
    smtp_send(system, "joe@client.example", "user@far.example",
              b"Subject: x\r\n\r\n--1234.5678/mx.test.example\r\n--\r\nFrom me\r\n.dot\r\n")
    _, _, _, returned = parse(back.wait(1, instance=system)[0])
    assert "--1234.5678/mx.test.example" in returned.as_string()


def test_no_bounce_file_is_left(reporting, sink):
    far = sink()
    far.on("rcpt", "550 5.1.1 unknown")
    system, back = reporting(f"far.example smtp:{far.nexthop}\n")
    for number in range(10):
        smtp_send(system, f"joe{number}@client.example", "user@far.example")
    back.wait(10, instance=system)
    system.wait_queue_empty()
    wait_until(lambda: not any(system.queue_files("bounce", "defer", "trace").values()), 5, "no logs left")
