# SPDX-License-Identifier: ISC
"""The SMTP server's session beyond single commands: limits by client, proxies, reports to the postmaster, times of stress."""
import os
import re
import resource
import time

import pytest

from harness import Dialogue, make_message, smtp_send, wait_until

pytestmark = pytest.mark.sanitize

STRANGER = {"mynetworks": "192.0.2.0/24", "smtpd_relay_restrictions": "reject_unauth_destination", "smtpd_error_sleep_time": "0"}


def test_connections_at_a_time_and_statistics(instance):
    system = instance(main={**STRANGER, "smtpd_client_connection_count_limit": "2", "anvil_status_update_time": "1s"})
    with system.dialogue(), system.dialogue():
        with system.dialogue() as third:
            assert third.greeting == (421, "4.7.0 mx.test.example Error: too many connections from 127.0.0.1")
            assert third.is_closed()
    system.log.wait_for(r"warning: Connection concurrency limit exceeded: 3 from unknown\[127\.0\.0\.1\] for service \S+")
    system.log.wait_for(r"anvil\[\d+\]: statistics: max connection count 3 for \(\S+:127\.0\.0\.1\) at \w{3} [ \d]\d [\d:]{8}$")
    system.log.wait_for(r"statistics: max connection rate \d+/60s for \(\S+:127\.0\.0\.1\) at ")
    system.log.wait_for(r"statistics: max cache size 1 at ")

    def is_free():
        with system.dialogue() as talk:
            return talk.greeting[0] == 220
    wait_until(is_free, 10, "the closed connections to be forgotten")


@pytest.mark.dromos
def test_connections_of_a_dead_process_are_forgotten(instance):
    system = instance(main={**STRANGER, "smtpd_client_connection_count_limit": "2"})
    held = [system.dialogue() for _ in range(2)]
    for pid in system.pids("smtpd"):
        __import__("os").kill(pid, 9)
    for talk in held:
        talk.close()

    def is_free():
        with system.dialogue() as talk:
            return talk.greeting[0] == 220
    wait_until(is_free, 15, "room again")


def test_exceptions_are_not_counted(instance):
    system = instance(main={"smtpd_client_connection_count_limit": "1"})  # mynetworks are the default exceptions
    with system.dialogue() as one, system.dialogue() as other:
        assert one.greeting[0] == other.greeting[0] == 220


@pytest.mark.dromos
def test_a_dead_anvil_limits_nobody(instance):
    system = instance(start=False, main={**STRANGER, "smtpd_client_connection_count_limit": "1"})
    system.standard_rows = "\n".join(row for row in system.standard_rows.splitlines() if not row.startswith("anvil"))
    system.write()
    system.start()
    with system.dialogue() as one, system.dialogue() as other:
        assert one.greeting[0] == other.greeting[0] == 220
    system.log.wait_for(r"warning: the anvil service cannot be asked about unknown\[127\.0\.0\.1\]")


def test_report_to_the_postmaster(instance):
    system = instance(main={**STRANGER, "notify_classes": "policy, protocol", "local_recipient_maps": "",
                            "defer_transports": "local"})
    with system.dialogue(ehlo="client.example") as talk:
        talk.expect("NONSENSE", 500)
        talk.expect("MAIL FROM:<a@b.example>", 250)
        talk.expect("RCPT TO:<" + "long." * 15 + "name@elsewhere.example>", 554)
        talk.expect("QUIT", 221)
    queue_id = system.wait_queued("deferred")[0]
    text = system.run("postcat", "-q", queue_id).stdout
    assert "sender: double-bounce@mx.test.example" in text
    assert re.search(r"^recipient: postmaster@mx.test.example$", text, re.MULTILINE)
    assert "From: Mail Delivery System <MAILER-DAEMON@mx.test.example>\n" in text
    assert "To: Postmaster <postmaster@mx.test.example>\n" in text
    assert "Subject: Postfix SMTP server: errors from unknown[127.0.0.1]\n" in text
    body = text.split("Transcript of session follows.\n\n")[1]
    assert body.startswith(" Out: 220 mx.test.example ESMTP Postfix\n In:  EHLO client.example\n Out: 250-mx.test.example\n")
    assert " In:  NONSENSE\n Out: 500 5.5.2 Error: command not recognized\n" in body
    assert ">:\n     Relay access denied\n" in body  # a long line goes on below
    assert f" Out: 554 5.7.1 <{'long.' * 15}name@elsewhere.example>: Relay access denied" in " ".join(body.split()).replace("Out: ", " Out: ")
    assert " In:  QUIT\n Out: 221 2.0.0 Bye\n\n\nFor other details, see the local mail logfile\n" in body


def test_no_report_without_trouble_of_its_class(instance):
    system = instance(main={**STRANGER, "notify_classes": "resource, software", "defer_transports": "local"})
    with system.dialogue(ehlo="client.example") as talk:
        talk.expect("NONSENSE", 500)
        talk.expect("MAIL FROM:<a@b.example>", 250)
        talk.expect("RCPT TO:<x@elsewhere.example>", 554)
        talk.expect("QUIT", 221)
    system.log.wait_for("disconnect from")
    time.sleep(0.3)
    assert system.queue_counts() == {}


def test_xforward_between_two_servers(instance):
    """The second server's log and queue files name the client of the first."""
    second = instance(main={"smtpd_authorized_xforward_hosts": "127.0.0.0/8", "defer_transports": "local"}, name="second")
    first = instance(main={"relayhost": f"[127.0.0.1]:{second.port}", "smtp_send_xforward_command": "yes", "mydestination": "",
                           "smtpd_authorized_xclient_hosts": "127.0.0.0/8"}, name="first")
    with first.dialogue() as talk:
        talk.expect("XCLIENT NAME=spike.example ADDR=127.0.0.9 PORT=4321 PROTO=ESMTP HELO=spike.helo", 220)
        talk.envelope("a@b.example", "user@test.example")
        first_id = re.search(r"queued as (\w+)", talk.expect("Subject: x\r\n\r\ny\r\n.", 250)).group(1)
    second.log.wait_for(rf"client=unknown\[127\.0\.0\.1\], orig_queue_id={first_id}, orig_client=spike\.example\[127\.0\.0\.9\]")
    queue_id = second.wait_queued("deferred")[0]
    envelope = second.run("postcat", "-eq", queue_id).stdout
    for attribute in ("log_client_name=spike.example", "log_client_address=127.0.0.9", "log_client_port=4321",
                      "log_helo_name=spike.helo", "log_protocol_name=ESMTP", f"log_ident={first_id}", "client_address=127.0.0.1"):
        assert f"named_attribute: {attribute}\n" in envelope, attribute
    assert "with ESMTP" in second.run("postcat", "-hq", queue_id).stdout


def test_xclient_is_logged_as_the_client_that_it_names(instance):
    system = instance(main={"smtpd_authorized_xclient_hosts": "127.0.0.0/8", "mynetworks": "127.0.0.0/8"})
    with system.dialogue(ehlo="proxy.example") as talk:
        talk.expect("XCLIENT NAME=spike.example ADDR=192.0.2.7", 220)
        talk.expect("EHLO spike.example", 250)
        talk.expect("MAIL FROM:<a@b.example>", 250)
        talk.expect("RCPT TO:<user@elsewhere.example>", 454)
    system.log.wait_for(r"disconnect from spike\.example\[192\.0\.2\.7\] ehlo=2 xclient=\S+ mail=1 rcpt=0/1 commands=[34]/5")


PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([192, 0, 2, 7, 192, 0, 2, 8]) + b"\x04\xd2\0\x19"


@pytest.mark.dromos  # a header in two pieces
@pytest.mark.parametrize("header", [b"PROXY TCP4 192.0.2.7 192.0.2.8 1234 25\r\n", PROXY_V2], ids=["v1", "v2"])
def test_proxy_header_names_the_client(instance, header):
    system = instance(main={"smtpd_upstream_proxy_protocol": "haproxy", "smtpd_client_port_logging": "yes", "smtpd_upstream_proxy_timeout": "2s"})
    with system.dialogue(greet=False) as talk:
        talk.send(header[:7])
        time.sleep(0.1)
        talk.send(header[7:])
        assert talk.reply()[0] == 220
        talk.expect("EHLO x", 250)
        talk.expect("MAIL FROM:<a@b.example>", 250)
        talk.expect("RCPT TO:<user@elsewhere.example>", 454)
    system.log.wait_for(r"connect from unknown\[192\.0\.2\.7\]:1234")


def test_without_a_proxy_header_nothing_goes(instance):
    system = instance(main={"smtpd_upstream_proxy_protocol": "haproxy", "smtpd_upstream_proxy_timeout": "1s"})
    with system.dialogue(greet=False) as talk:
        assert talk.reply() == (421, "4.3.0 mx.test.example Server local error")
        assert talk.is_closed()
    system.log.wait_for(r"warning: haproxy read: timeout error")


def test_keywords_by_client(instance):
    system = instance(main={"smtpd_discard_ehlo_keywords": "dsn",
                            "smtpd_discard_ehlo_keyword_address_maps": "inline:{{127.0.0.1=etrn, chunking, silent-discard}}"})
    with system.dialogue(ehlo="client.example") as talk:
        offered = talk.ehlo_reply[1].split("\n")
        assert "DSN" in offered and "ETRN" not in offered and "CHUNKING" not in offered
        assert talk.command("BDAT 0 LAST")[0] in (502, 521)


def test_footer_of_some_replies(instance):
    system = instance(start=False, main={**STRANGER, "smtpd_reject_footer": "general"})
    system.set(smtpd_reject_footer_maps=system.table("footers", "/Relay access denied/ \\c. Ask $$server_name\n", "regexp"))
    system.start()
    with system.dialogue(ehlo="client.example") as talk:
        assert talk.expect("NONSENSE", 500) == "5.5.2 Error: command not recognized\n5.5.2 general"
        talk.expect("MAIL FROM:<a@b.example>", 250)
        assert talk.expect("RCPT TO:<x@elsewhere.example>", 554) == \
            "5.7.1 <x@elsewhere.example>: Relay access denied. Ask mx.test.example"


def test_what_clients_say_is_not_expanded_in_a_footer(instance):
    system = instance(main={**STRANGER, "smtpd_reject_footer": "about $sender"})
    with system.dialogue(ehlo="client.example") as talk:
        talk.expect("MAIL FROM:<${myhostname}@b.example>", 250)
        assert talk.expect("RCPT TO:<x@elsewhere.example>", 554).endswith("5.7.1 about ${myhostname}@b.example")


@pytest.mark.dromos  # since Postfix 3.11
def test_replies_can_be_replaced(instance):
    system = instance(start=False, main=STRANGER)
    system.set(smtpd_reject_filter_maps=system.table("filter", "/^554 5.7.1 (.*): Relay access denied/ 550 5.7.1 $1: not here\n", "pcre"))
    system.start()
    with system.dialogue(ehlo="client.example") as talk:
        talk.expect("MAIL FROM:<a@b.example>", 250)
        assert talk.command("RCPT TO:<x@elsewhere.example>") == (550, "5.7.1 <x@elsewhere.example>: not here")
    system.log.wait_for(r"reply filter in: 554 5\.7\.1 ")
    system.log.wait_for(r"reply filter out: 550 5\.7\.1 <x@elsewhere\.example>: not here")


def test_debug_peers_are_logged(instance):
    system = instance(main={"debug_peer_list": "127.0.0.1"})
    with system.dialogue(ehlo="client.example") as talk:
        talk.expect("NOOP", 250)
    system.log.wait_for(r"< unknown\[127\.0\.0\.1\]: NOOP")
    system.log.wait_for(r"> unknown\[127\.0\.0\.1\]: 250 2\.0\.0 Ok")


def test_slow_content_ends_with_the_request_deadline(instance):
    system = instance(main={"smtpd_per_request_deadline": "yes", "smtpd_timeout": "2s", "smtpd_min_data_rate": "500"})
    with system.dialogue(ehlo="client.example") as talk:
        talk.envelope("a@b.example", "user@test.example")
        start = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - start < 15:
                talk.send(b"x\r\n")
                time.sleep(0.2)
        assert 1.5 < time.monotonic() - start < 6
    system.log.wait_for(r"timeout after DATA \(\d+ bytes\) from unknown")


@pytest.mark.dromos
def test_silent_clients_go_when_all_places_are_taken(instance):
    system = instance(start=False, main={"smtpd_timeout": "${stress?{2}:{300}}s", "smtpd_client_connection_count_limit": "0"})
    system.inet_row = f"127.0.0.1:{system.port} inet n - n - 6 smtpd"
    system.write()
    system.start()
    held = [system.dialogue() for _ in range(6)]
    start = time.monotonic()
    with system.dialogue() as late:  # waits until somebody is dropped
        assert late.greeting[0] == 220
        assert time.monotonic() - start < 10
    system.log.wait_for(r"warning: service .* has reached its process limit \"6\"")
    assert held[0].reply()[0] == 421
    for talk in held:
        talk.close()


def private_kib(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
            total += sum(int(line.split()[1]) for line in rollup if line.startswith(("Private_Clean", "Private_Dirty")))
    return total


def greeting_ms(system):
    start = time.perf_counter()
    with system.dialogue() as talk:
        assert talk.greeting[0] == 220
    return (time.perf_counter() - start) * 1000


@pytest.mark.alone
@pytest.mark.dromos
@pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="the sanitizer's own memory is not what is measured")
def test_idle_and_slow_clients_are_cheap(instance, is_full):
    """With --full, 10,000 of them: within 64 KiB each, and a normal client is greeted in under 50 ms."""
    count = 10000 if is_full else 500
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    system = instance(start=False, main={"smtpd_client_connection_count_limit": "0"})
    system.inet_row = f"127.0.0.1:{system.port} inet n - n - {count + 100} smtpd"
    system.write()
    system.start()
    greeting_ms(system)
    before = private_kib(system.pids("smtpd"))
    clients = [system.dialogue(ehlo="client.example") for _ in range(count)]
    assert (private_kib(system.pids("smtpd")) - before) / count < 64
    greetings = [greeting_ms(system) for _ in range(20)]
    for number, client in enumerate(clients):
        client.send(b"N")  # slowly
        if number % (count // 10) == 0:
            greetings.append(greeting_ms(system))
    greetings.sort()
    assert greetings[len(greetings) // 2] < 50, greetings
    for client in clients:
        client.close()


@pytest.mark.alone
def test_soft_errors_slow_the_client_down(instance):
    system = instance(main={"smtpd_soft_error_limit": "2", "smtpd_hard_error_limit": "5", "smtpd_error_sleep_time": "1s"})
    with system.dialogue(ehlo="client.example") as talk:
        start = time.monotonic()
        talk.expect("NONSENSE", 500)
        talk.expect("NONSENSE", 500)
        assert time.monotonic() - start < 0.8
        talk.expect("NONSENSE", 500)
        talk.expect("NONSENSE", 500)
        assert time.monotonic() - start > 1.5


def test_other_sessions_do_not_wait_for_a_slowed_one(instance):
    system = instance(main={"smtpd_soft_error_limit": "1", "smtpd_error_sleep_time": "3s", "default_process_limit": "50"})
    slow = [Dialogue("127.0.0.1", system.port, ehlo="client.example") for _ in range(20)]
    for talk in slow:
        talk.send(b"NONSENSE\r\n")
    start = time.monotonic()
    smtp_send(system, message=make_message(recipient="user@test.example"))
    assert time.monotonic() - start < 2
    for talk in slow:
        talk.close()
