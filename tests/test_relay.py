# SPDX-License-Identifier: ISC
"""Mail going out: next hops, their answers, connection reuse, LMTP, name lookups."""
import re
import time

import pytest

from harness import Close, Hang, free_port, make_message, smtp_send, wait_until

TO = "user@far.example"


@pytest.fixture
def relay(instance, sink):
    """An instance whose mail goes to a sink; retries come fast."""
    def make(start=True, keywords=None, **main):
        next_hop = sink(**({"keywords": keywords} if keywords is not None else {}))
        system = instance(start=start, main={
            "relayhost": next_hop.nexthop, "minimal_backoff_time": "1s", "maximal_backoff_time": "2s",
            "queue_run_delay": "1s", "smtp_mail_timeout": "3s", **main})
        return system, next_hop
    return make


def test_message_is_relayed_as_it_came(relay):
    system, next_hop = relay()
    data = make_message("joe@client.example", TO, subject="over", body="one\n.two\n..three\n\nfour\n")
    smtp_send(system, "joe@client.example", TO, data)
    (message,) = next_hop.wait(1, instance=system)
    assert (message.sender, message.recipients) == ("joe@client.example", [TO])
    assert any(option.startswith("SIZE=") for option in message.mail_options)
    head, _, body = message.data.partition(b"\r\n\r\n")
    assert body == data.partition(b"\r\n\r\n")[2]
    assert head.startswith(b"Received: from client.example (")
    assert b"\n" not in message.data.replace(b"\r\n", b"")
    system.wait_queue_empty()
    system.log.wait_for(rf"to=<{TO}>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:{next_hop.port}, delay=[\d.]+, "
                        r"delays=[\d./]+, (?:tls=\S+, )?dsn=2\.0\.0, status=sent \(250 2\.0\.0 Ok: queued as SINK\)$")


def test_relaying_for_strangers_is_refused(instance):
    system = instance(main={"mynetworks": "192.0.2.0/24"})
    with system.dialogue(ehlo="client.example") as talk:
        talk.expect("MAIL FROM:<joe@client.example>", 250)
        code, text = talk.command(f"RCPT TO:<{TO}>")
        assert code in (454, 554) and text.endswith(f"<{TO}>: Relay access denied")
        assert talk.command("RCPT TO:<user%far.example@test.example>")[0] // 100 in (4, 5)
        assert talk.command("RCPT TO:<@test.example:user@far.example>")[0] // 100 in (4, 5)
        assert talk.command('RCPT TO:<"user@far.example"@test.example>')[0] // 100 in (2, 4, 5)
    system.log.wait_for(r"NOQUEUE: reject: RCPT from \S+\[127\.0\.0\.1\]: [45]54 [45]\.7\.1 <user@far\.example>: "
                        r"Relay access denied; from=<joe@client\.example> to=<user@far\.example> proto=ESMTP "
                        r"helo=<client\.example>$")


@pytest.mark.dromos
@pytest.mark.parametrize("lists", [
    {"smtpd_relay_restrictions": "", "smtpd_recipient_restrictions": ""},
    {"smtpd_relay_restrictions": "permit", "smtpd_recipient_restrictions": "permit"},
    {"smtpd_relay_restrictions": "", "smtpd_recipient_restrictions": "permit_mynetworks"},
], ids=["empty", "permit", "incomplete"])
def test_no_configuration_makes_an_open_relay(instance, lists):
    """Lists that hold no refusal of relaying are no configuration: the server says which parameters, and serves nobody."""
    system = instance(main={"mynetworks": "192.0.2.0/24", **lists})
    with system.dialogue(greet=False) as talk:
        system.log.wait_for(r"smtpd\[\d+\]: fatal: .*in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at "
                            r"least one working instance of: reject_unauth_destination")
        talk.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            talk.reply()


@pytest.mark.dromos
def test_the_net_stands_under_all_lists(instance):
    """Strangers get nothing relayed, even where a list before the refusal permits it."""
    system = instance(main={"mynetworks": "192.0.2.0/24", "smtpd_relay_restrictions": "check_sender_access static:OK, reject_unauth_destination",
                            "smtpd_recipient_restrictions": "permit"})
    with system.dialogue(ehlo="client.example") as talk:
        assert talk.command("MAIL FROM:<joe@client.example>")[0] // 100 in (2, 4, 5)
        assert talk.command(f"RCPT TO:<{TO}>")[0] // 100 in (4, 5)


def test_relay_domains_are_relayed_for_strangers(relay):
    system, next_hop = relay(mynetworks="192.0.2.0/24", relay_domains="far.example")
    smtp_send(system, "joe@client.example", TO)
    next_hop.wait(1, instance=system)


def test_many_messages_reuse_connections(relay):
    system, next_hop = relay()
    with system.dialogue(ehlo="client.example") as talk:
        for number in range(60):
            talk.envelope("joe@client.example", f"user{number}@far.example")
            talk.expect(f"Subject: {number}\r\n\r\n.", 250)
    next_hop.wait(60, instance=system)
    system.wait_queue_empty()
    assert next_hop.connections < 40
    assert sorted(m.recipients[0] for m in next_hop.messages) == sorted(f"user{n}@far.example" for n in range(60))


def test_many_recipients_travel_together_within_the_limit(relay):
    system, next_hop = relay(default_destination_recipient_limit="20")
    recipients = [f"u{number}@far.example" for number in range(50)]
    smtp_send(system, "joe@client.example", recipients)
    wait_until(lambda: sum(len(m.recipients) for m in next_hop.messages) == 50, 20, "50 recipients")
    assert max(len(m.recipients) for m in next_hop.messages) == 20 and len(next_hop.messages) == 3
    system.wait_queue_empty()


def test_refused_recipient_bounces_and_the_others_get_it(relay):
    system, next_hop = relay()
    next_hop.on("rcpt", "550 5.1.1 no such user", when=lambda s: s.recipient == "gone@far.example")
    smtp_send(system, "joe@client.example", [TO, "gone@far.example"])
    messages = next_hop.wait(2, instance=system)
    assert messages[0].recipients == [TO]
    assert messages[1].sender == "" and messages[1].recipients == ["joe@client.example"]
    system.log.wait_for(r"to=<gone@far\.example>, relay=\S+, .*dsn=5\.1\.1, status=bounced \(host "
                        r"127\.0\.0\.1\[127\.0\.0\.1\] said: 550 5\.1\.1 no such user \(in reply to RCPT TO command\)\)$")
    system.wait_queue_empty()


STAGES = {"connect": "421 4.3.2 not now", "ehlo": "421 4.3.2 not now", "mail": "450 4.1.8 later",
          "rcpt": "450 4.2.1 later", "data": "451 4.3.0 later", "eod": "451 4.3.0 later"}


@pytest.mark.parametrize("stage", STAGES)
def test_temporary_refusal_is_retried(relay, stage):
    system, next_hop = relay()
    next_hop.on(stage, STAGES[stage], times=2 if stage in ("connect", "ehlo") else 1)
    smtp_send(system, "joe@client.example", TO)
    system.log.wait_for(r"dsn=4\.\d\.\d, status=deferred \(host ")
    next_hop.wait(1, timeout=30, instance=system)
    system.wait_queue_empty()
    assert next_hop.count == 1


@pytest.mark.parametrize("stage", ["mail", "data", "eod"])
def test_permanent_refusal_bounces(relay, stage):
    system, next_hop = relay()
    next_hop.on(stage, "554 5.7.1 never", times=1)
    smtp_send(system, "joe@client.example", TO)
    (bounce,) = next_hop.wait(1, instance=system)
    assert bounce.sender == "" and "554 5.7.1 never" in re.sub(r"\r\n\s+", " ", bounce.text)
    system.wait_queue_empty()


@pytest.mark.parametrize("stage", ["connect", "ehlo", "mail", "rcpt", "data", "eod"])
def test_next_hop_that_hangs(relay, stage):
    """A sink that says nothing more: the message is deferred with a clear line, and delivered when it speaks again."""
    limits = {name: "1s" for name in ("smtp_helo_timeout", "smtp_mail_timeout", "smtp_rcpt_timeout",
                                      "smtp_data_init_timeout", "smtp_data_xfer_timeout", "smtp_data_done_timeout",
                                      "smtp_connect_timeout", "smtp_quit_timeout", "smtp_rset_timeout")}
    system, next_hop = relay(**limits)
    next_hop.on(stage, Hang())
    smtp_send(system, "joe@client.example", TO)
    system.log.wait_for(r"dsn=4\.4\.2, status=deferred \(conversation with 127\.0\.0\.1\[127\.0\.0\.1\] timed out while "
                        r"(receiving the initial server greeting|performing the EHLO handshake|sending MAIL FROM|"
                        r"sending RCPT TO|sending DATA command|sending end of data -- message may be sent more than "
                        r"once|sending message body)\)$")
    next_hop.forget()
    next_hop.wait(1, timeout=30, instance=system)
    system.wait_queue_empty()


@pytest.mark.parametrize("stage", ["connect", "ehlo", "mail", "rcpt", "data", "eod"])
def test_next_hop_that_hangs_up(relay, stage):
    system, next_hop = relay()
    next_hop.on(stage, Close(), times=2)
    smtp_send(system, "joe@client.example", TO)
    system.log.wait_for(r"status=deferred \((lost connection with 127\.0\.0\.1\[127\.0\.0\.1\] while|"
                        r"connect to 127)")
    next_hop.wait(1, timeout=30, instance=system)
    system.wait_queue_empty()


def test_next_hop_that_is_down_and_comes_back(instance, sink):
    port = free_port()
    system = instance(main={"relayhost": f"[127.0.0.1]:{port}", "minimal_backoff_time": "1s",
                            "maximal_backoff_time": "2s", "queue_run_delay": "1s"})
    smtp_send(system, "joe@client.example", TO)
    system.log.wait_for(rf"to=<{TO}>, relay=none, .*dsn=4\.4\.1, status=deferred \(connect to "
                        rf"127\.0\.0\.1\[127\.0\.0\.1\]:{port}: Connection refused\)$")
    system.log.wait_for(rf"smtp\[\d+\]: connect to 127\.0\.0\.1\[127\.0\.0\.1\]:{port}: Connection refused$")
    assert system.wait_queued("deferred")
    next_hop = sink(port=port)
    next_hop.wait(1, timeout=30, instance=system)
    system.wait_queue_empty()


@pytest.mark.parametrize("reply", [pytest.param("999 what", marks=pytest.mark.dromos), "", "2", "abc def ghi", "25 0 x", "250-never\r\n251 ends",
                                   "250 " + "x" * 100_000], ids=range(7))
def test_nonsense_from_the_next_hop_is_temporary(relay, reply):
    system, next_hop = relay(keywords=["8BITMIME"], smtp_rcpt_timeout="2s", smtp_mail_timeout="2s",
                             smtp_rset_timeout="1s", smtp_quit_timeout="1s")
    next_hop.on("mail", (reply + "\r\n").encode(), times=2)
    smtp_send(system, "joe@client.example", TO)
    next_hop.wait(1, timeout=30, instance=system)
    system.wait_queue_empty()
    assert next_hop.messages[0].recipients == [TO]


def test_server_without_extensions(relay):
    system, next_hop = relay(keywords=[])
    smtp_send(system, "joe@client.example", TO, mail_options=["RET=HDRS", "ENVID=x"])
    (message,) = next_hop.wait(1, instance=system)
    assert message.mail_options == []


def test_server_that_refuses_ehlo_gets_helo(relay):
    system, next_hop = relay()
    next_hop.on("ehlo", "502 5.5.1 what")
    smtp_send(system, "joe@client.example", TO)
    next_hop.wait(1, instance=system)
    assert any(command.startswith("HELO ") for command in next_hop.commands)


def test_size_is_announced_and_respected(relay):
    system, next_hop = relay(keywords=["SIZE 8000", "ENHANCEDSTATUSCODES"], bounce_size_limit="500")
    smtp_send(system, "joe@client.example", TO, make_message(size=10_000))
    system.log.wait_for(r"dsn=5\.3\.4, status=bounced \(message size \d+ exceeds size limit 8000 of server ")
    next_hop.wait(1, instance=system)
    assert next_hop.messages[0].sender == ""


def test_dsn_parameters_are_handed_on(relay):
    system, next_hop = relay()
    with system.dialogue(ehlo="client.example") as talk:
        talk.expect("MAIL FROM:<joe@client.example> RET=HDRS ENVID=id+2B7", 250)
        talk.expect(f"RCPT TO:<{TO}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;old+3Duser@old.example", 250)
        talk.expect("DATA", 354)
        talk.expect("Subject: dsn\r\n\r\n.", 250)
    (message,) = next_hop.wait(1, instance=system)
    assert {"RET=HDRS", "ENVID=id+2B7"} <= set(message.mail_options)
    assert set(message.rcpt_options[0]) == {"NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;old+3Duser@old.example"}


def test_unicode_mail_needs_a_capable_server(relay):
    system, next_hop = relay(keywords=["8BITMIME", "ENHANCEDSTATUSCODES"])
    with system.dialogue(ehlo="client.example") as talk:
        talk.expect("MAIL FROM:<joe@client.example> SMTPUTF8", 250)
        talk.expect("RCPT TO:<jörg@far.example>", 250)
        talk.expect("DATA", 354)
        talk.expect("Subject: utf8\r\n\r\n.", 250)
    system.log.wait_for(r"dsn=5\.6\.7, status=bounced \(SMTPUTF8 is required, but was not offered by host ")


def test_unicode_mail_is_relayed(relay):
    system, next_hop = relay()
    with system.dialogue(ehlo="client.example") as talk:
        talk.expect("MAIL FROM:<joe@client.example> SMTPUTF8", 250)
        talk.expect("RCPT TO:<jörg@far.example>", 250)
        talk.expect("DATA", 354)
        talk.expect("Subject: utf8 ö\r\n\r\n.", 250)
    (message,) = next_hop.wait(1, instance=system)
    assert "SMTPUTF8" in message.mail_options and message.recipients == ["jörg@far.example"]


def test_large_message_is_relayed_byte_for_byte(relay):
    system, next_hop = relay()
    body = b"".join(b".%d " % n + b"x" * (n % 900) + b"\r\n" for n in range(3000))
    smtp_send(system, "joe@client.example", TO, b"Subject: big\r\n\r\n" + body)
    (message,) = next_hop.wait(1, timeout=40, instance=system)
    assert message.data.endswith(b"\r\n\r\n" + body)


def test_long_lines_are_folded_for_smtp(relay):
    system, next_hop = relay()
    smtp_send(system, "joe@client.example", TO, b"Subject: long\r\n\r\n" + b"y" * 5000 + b"\r\nend\r\n")
    (message,) = next_hop.wait(1, instance=system)
    body = message.data.partition(b"\r\n\r\n")[2]
    assert all(len(line) <= 998 for line in body.split(b"\r\n"))
    assert body.replace(b"\r\n ", b"") == b"y" * 5000 + b"\r\nend\r\n"


def test_transport_maps_choose_the_next_hop(instance, sink):
    first, second = sink(), sink()
    system = instance(start=False, main={"relayhost": first.nexthop})
    system.main["transport_maps"] = system.table("transport", f"special.example smtp:{second.nexthop}\n"
                                                              "dead.example error:5.1.2 no such place\n"
                                                              "void.example discard:swallowed\n")
    system.write()
    system.start()
    smtp_send(system, "joe@client.example", "a@special.example")
    assert second.wait(1, instance=system)[0].recipients == ["a@special.example"]
    smtp_send(system, "joe@client.example", "a@other.example")
    assert first.wait(1, instance=system)[0].recipients == ["a@other.example"]
    smtp_send(system, "joe@client.example", "a@void.example")
    system.log.wait_for(r"postfix/discard\[\d+\]: \w+: to=<a@void\.example>, relay=none, .*status=sent \(swallowed\)$")
    with system.dialogue(ehlo="client.example") as talk:
        talk.expect("MAIL FROM:<joe@client.example>", 250)
        assert talk.command("RCPT TO:<a@dead.example>")[0] in (250, 550)
    system.wait_queue_empty()


def test_lmtp_answers_each_recipient(instance, sink, workdir):
    path = workdir / "lmtp.sock"
    next_hop = sink(path=path)
    next_hop.on("eod", "550 5.2.2 full", when=lambda s: s.recipient == "full@virt.example")
    next_hop.on("eod", "450 4.2.0 busy", when=lambda s: s.recipient == "busy@virt.example", times=1)
    system = instance(main={"virtual_mailbox_domains": "virt.example", "virtual_transport": f"lmtp:unix:{path}",
                            "virtual_mailbox_maps": "", "minimal_backoff_time": "1s", "maximal_backoff_time": "1s",
                            "queue_run_delay": "1s", "relayhost": "[127.0.0.1]:1"})
    smtp_send(system, "joe@client.example", ["ok@virt.example", "full@virt.example", "busy@virt.example"])
    messages = next_hop.wait(2, timeout=30, instance=system)
    assert messages[0].recipients == ["ok@virt.example"] and messages[-1].recipients == ["busy@virt.example"]
    assert any(command.startswith("LHLO ") for command in next_hop.commands)
    system.log.wait_for(r"postfix/lmtp\[\d+\]: \w+: to=<ok@virt\.example>, relay=\S+\[" + re.escape(str(path)) +
                        r"\], .*status=sent \(250 2\.0\.0 delivered\)$")
    system.log.wait_for(r"to=<full@virt\.example>, .*dsn=5\.2\.2, status=bounced")


def test_lmtp_over_tcp(instance, sink):
    next_hop = sink()
    system = instance(main={"mailbox_transport": f"lmtp:inet:127.0.0.1:{next_hop.port}"})
    smtp_send(system, "joe@client.example", "anyone@test.example")
    (message,) = next_hop.wait(1, instance=system)
    assert message.recipients == ["anyone@test.example"]


def test_slow_next_hop_does_not_block_another(instance, sink):
    slow, quick = sink(), sink()
    slow.on("mail", Hang(15))
    system = instance(start=False, main={"relayhost": quick.nexthop})
    system.main["transport_maps"] = system.table("transport", f"slow.example smtp:{slow.nexthop}\n")
    system.write()
    system.start()
    for number in range(10):
        smtp_send(system, "joe@client.example", f"u{number}@slow.example")
    start = time.monotonic()
    smtp_send(system, "joe@client.example", TO)
    quick.wait(1, timeout=8, instance=system)
    assert time.monotonic() - start < 8


@pytest.fixture
def resolving(instance, dns):
    """An instance that asks a name server of the test."""
    def make(records, **main):
        server = dns(records)
        system = instance(start=False, main={"minimal_backoff_time": "1s", "maximal_backoff_time": "2s",
                                             "queue_run_delay": "1s", "smtp_connect_timeout": "2s", **main})
        system.environment["DROMOS_DNS_SERVERS"] = server.address
        system.main["smtp_tcp_port"] = system.main.get("smtp_tcp_port", "")
        return system, server
    return make


def start_with_port(system, port):
    system.main["smtp_tcp_port"] = str(port)
    system.write()
    system.start()


@pytest.mark.dns
def test_mx_records_are_tried_in_order(resolving, sink):
    next_hop = sink()
    system, server = resolving({
        ("far.example", "MX"): [(10, "down.far.example"), (20, "up.far.example")],
        ("down.far.example", "A"): ["127.0.0.3"], ("up.far.example", "A"): ["127.0.0.1"]})
    start_with_port(system, next_hop.port)
    smtp_send(system, "joe@client.example", TO)
    next_hop.wait(1, instance=system)
    system.log.wait_for(rf"connect to down\.far\.example\[127\.0\.0\.3\]:{next_hop.port}: Connection refused$")
    system.log.wait_for(rf"relay=up\.far\.example\[127\.0\.0\.1\]:{next_hop.port}, .*status=sent")


@pytest.mark.dns
def test_domain_without_mx_uses_its_address(resolving, sink):
    next_hop = sink()
    system, _ = resolving({("far.example", "A"): ["127.0.0.1"]})
    start_with_port(system, next_hop.port)
    smtp_send(system, "joe@client.example", TO)
    next_hop.wait(1, instance=system)


@pytest.mark.dns
def test_domain_that_does_not_exist_bounces(resolving, sink):
    next_hop = sink()
    system, _ = resolving({("client.example", "MX"): [(0, "mx.client.example")],
                           ("mx.client.example", "A"): ["127.0.0.1"]})
    start_with_port(system, next_hop.port)
    smtp_send(system, "joe@client.example", "a@nowhere.example")
    system.log.wait_for(r"dsn=5\.4\.4, status=bounced \(Host or domain name not found\. Name service error for "
                        r"name=nowhere\.example type=A+: Host not found\)$")
    (bounce,) = next_hop.wait(1, instance=system)
    assert bounce.recipients == ["joe@client.example"]


@pytest.mark.dns
@pytest.mark.parametrize("trouble", ["SERVFAIL", "TIMEOUT"])
def test_name_service_trouble_defers(resolving, sink, trouble):
    """DNS dead: nothing bounces; mail goes out when DNS is back."""
    next_hop = sink()
    system, server = resolving({("mx.far.example", "A"): ["127.0.0.1"]})
    server.default = trouble
    server.records[("far.example", "MX")] = trouble
    start_with_port(system, next_hop.port)
    smtp_send(system, "joe@client.example", TO)
    system.log.wait_for(r"dsn=4\.4\.3, status=deferred \(Host or domain name not found\. Name service error for "
                        r"name=far\.example type=MX: Host not found, try again\)$", timeout=40)
    server.records[("far.example", "MX")] = [(5, "mx.far.example")]
    server.default = "NXDOMAIN"
    next_hop.wait(1, timeout=40, instance=system)
    system.wait_queue_empty()


@pytest.mark.dns
def test_null_mx_bounces(resolving, sink):
    system, _ = resolving({("far.example", "MX"): [(0, "")]})
    start_with_port(system, sink().port)
    smtp_send(system, "", TO)
    system.log.wait_for(r"dsn=5\.1\.0, status=bounced \(Domain far\.example does not accept mail \(nullMX\)\)$")


@pytest.mark.dns
def test_mx_that_points_to_ourselves_is_a_loop(resolving, sink):
    system, _ = resolving({("far.example", "MX"): [(10, "mx.test.example")], ("mx.test.example", "A"): ["127.0.0.1"]})
    start_with_port(system, sink().port)
    smtp_send(system, "", TO)
    system.log.wait_for(r"dsn=5\.4\.6, status=bounced \(mail for far\.example loops back to myself\)$")


@pytest.mark.dns
def test_smtp_fallback_relay(resolving, sink):
    fallback = sink()
    system, _ = resolving({("far.example", "A"): ["127.0.0.9"]},
                          smtp_fallback_relay=f"[127.0.0.1]:{fallback.port}")
    start_with_port(system, 9)
    smtp_send(system, "joe@client.example", TO)
    fallback.wait(1, instance=system)


def test_postmaster_hears_of_servers_that_break_the_protocol(instance, sink):
    """notify_classes: replies that say "I do not know this command", and ones that nobody asked for; not refusals."""
    back, far, other = sink(), sink(), sink()
    system = instance(start=False, main={"relayhost": back.nexthop, "notify_classes": "protocol", "error_notice_recipient": "pm@client.example"})
    system.main["transport_maps"] = system.table("transport", f"far.example smtp:{far.nexthop}\nother.example smtp:{other.nexthop}\n")
    system.write()
    system.start()
    far.on("rcpt", "501 5.5.4 syntax")
    other.on("rcpt", "550 5.1.1 unknown")
    smtp_send(system, "joe@client.example", "a@other.example", b"Subject: x\r\n\r\nsecret body\r\n")
    smtp_send(system, "joe@client.example", "a@far.example", b"Subject: x\r\n\r\nsecret body\r\n")
    back.wait(3, instance=system)
    (report,) = [m for m in back.messages if "pm@client.example" in m.recipients]
    assert report.sender == "double-bounce@mx.test.example"
    assert re.search(r"Subject: Postfix SMTP client: errors from 127\.0\.0\.1\[127\.0\.0\.1\]:\d+\r\n", report.text)
    assert re.search(r"\r\n\r\nUnexpected response from 127\.0\.0\.1\[127\.0\.0\.1\]:\d+\.\r\n\r\nTranscript of session follows\.\r\n\r\n In:  220 ",
                     report.text)
    assert " Out: RCPT TO:<a@far.example>" in report.text and " In:  501 5.5.4 syntax\r\n" in report.text
    assert "secret body" not in report.text
