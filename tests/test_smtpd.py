# SPDX-License-Identifier: ISC
"""The SMTP server's side of the protocol: what a client may say when, and what it is told."""
import re
import time

import pytest

from harness import Dialogue, make_message, smtp_send, wait_until

pytestmark = pytest.mark.sanitize

ALICE = "alice@virt.example"


@pytest.fixture(scope="module")
def system(shared_instance, virtual):
    one = shared_instance(start=False, main={"smtpd_error_sleep_time": "0", "message_size_limit": "200000",
                                             "smtpd_recipient_limit": "20", "smtpd_recipient_overshoot_limit": "5",
                                             "smtpd_forbid_bare_newline_exclusions": "",  # loopback is a stranger here
                                             "relayhost": "[127.0.0.1]:1"})
    one.main.update(virtual(one.mail_directory, "alice", "bob"))
    one.write()
    one.start()
    return one


@pytest.fixture
def talk(system):
    with system.dialogue(ehlo="client.example") as dialogue:
        yield dialogue


def delivered(system, marker, timeout=20):
    """The message whose text holds marker, once it is in alice's Maildir."""
    def find():
        return [raw for raw in system.maildir_messages(system.mail_directory / "alice") if marker.encode() in raw]
    return wait_until(find, timeout, lambda: f"message with {marker}; log:\n{system.log.text()[-4000:]}")[0]


def test_greeting_and_ehlo(system):
    with system.dialogue() as talk:
        assert talk.greeting[0] == 220 and talk.greeting[1].startswith("mx.test.example ESMTP")
        code, text = talk.command("EHLO client.example")
        assert code == 250
        lines = text.split("\n")
        assert lines[0] == "mx.test.example"
        for keyword in ("PIPELINING", "SIZE 200000", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8", "CHUNKING"):
            assert keyword in lines, f"{keyword} not in {lines}"


def test_helo_offers_nothing(system):
    with system.dialogue() as talk:
        assert talk.command("HELO client.example") == (250, "mx.test.example")
        talk.envelope("a@b.example", ALICE)
        talk.expect("Subject: helo-mark\r\n\r\n.", 250)
    assert b"with SMTP id" in delivered(system, "helo-mark")


@pytest.mark.parametrize("line, code", [
    ("RCPT TO:<alice@virt.example>", 503),
    ("DATA", 503),
    ("BDAT 0 LAST", 503),
    ("MAIL FROM:<a@b.example", 501),
    ("MAIL FROM", 501),
    ("MAIL TO:<a@b.example>", 501),
    ("MAIL FROM:<a@b.example> SIZE=abc", 501),
    ("MAIL FROM:<a@b.example> SIZE=999999999", 552),
    ("MAIL FROM:<a@b.example> BODY=9BIT", 555),
    ("MAIL FROM:<a@b.example> NONSENSE=1", 555),
    ("MAIL FROM:<a@b.example> RET=SOME", 501),
    ("HELO", 501),
    ("EHLO", 501),
    ("VRFY", 501),
    ("NOOP", 250),
    ("RSET", 250),
    ("RSET x", 501),
    ("VRFY alice@virt.example", 252),
])
def test_single_commands(talk, line, code):
    assert talk.command(line)[0] == code


def test_unknown_commands_are_refused(talk):
    assert talk.command("FOO bar")[0] in (500, 502)
    assert talk.command("")[0] in (500, 502)


def test_session_survives_errors_and_takes_a_message(system, talk):
    talk.expect("MAIL FROM:<a@b.example>", 250)
    talk.expect("MAIL FROM:<a@b.example>", 503)
    talk.expect("RCPT TO:<>", 501)
    talk.expect("RCPT TO:alice@virt.example", 250)
    talk.expect("DATA now", 501)
    talk.expect("DATA", 354)
    talk.expect("Subject: survived-mark\r\n\r\n.", 250)
    delivered(system, "survived-mark")


def test_reset_forgets_the_transaction(talk):
    talk.expect("MAIL FROM:<a@b.example>", 250)
    talk.expect(f"RCPT TO:<{ALICE}>", 250)
    talk.expect("RSET", 250)
    talk.expect("DATA", 503)
    talk.expect(f"RCPT TO:<{ALICE}>", 503)


def test_hello_in_the_middle_forgets_the_transaction(talk):
    talk.expect("MAIL FROM:<a@b.example>", 250)
    talk.expect(f"RCPT TO:<{ALICE}>", 250)
    talk.expect("EHLO again.example", 250)
    talk.expect("DATA", 503)


def test_recipient_needed_before_data(talk):
    talk.expect("MAIL FROM:<a@b.example>", 250)
    talk.expect("RCPT TO:<nobody@virt.example>", 550)
    assert talk.command("DATA")[0] in (503, 554)


def test_unknown_virtual_recipient_is_refused(talk):
    talk.expect("MAIL FROM:<a@b.example>", 250)
    text = talk.expect("RCPT TO:<nobody@virt.example>", 550)
    assert text == ("5.1.1 <nobody@virt.example>: Recipient address rejected: User unknown in virtual mailbox table")


def test_pipelined_transactions(system, talk):
    talk.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@virt.example>\r\nRCPT TO:<nobody@virt.example>\r\nDATA\r\n")
    assert [code for code, _ in talk.replies(4)] == [250, 250, 550, 354]
    talk.send(b"Subject: pipe-mark-1\r\n\r\none\r\n.\r\n"
              b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@virt.example>\r\nDATA\r\n")
    assert [code for code, _ in talk.replies(4)] == [250, 250, 250, 354]
    talk.send(b"Subject: pipe-mark-2\r\n\r\ntwo\r\n.\r\nQUIT\r\n")
    assert [code for code, _ in talk.replies(2)] == [250, 221]
    delivered(system, "pipe-mark-1")
    delivered(system, "pipe-mark-2")


def test_bytes_one_at_a_time(system, talk):
    for byte in (b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@virt.example>\r\nDATA\r\n"):
        talk.send(bytes([byte]))
    assert [code for code, _ in talk.replies(3)] == [250, 250, 354]
    for byte in b"Subject: slow-mark\r\n\r\n..dot\r\n.\r\n":
        talk.send(bytes([byte]))
    assert talk.reply()[0] == 250
    assert delivered(system, "slow-mark").endswith(b"\n\n.dot\n")


def test_chunked_message(system, talk):
    talk.expect("MAIL FROM:<a@b.example>", 250)
    talk.expect(f"RCPT TO:<{ALICE}>", 250)
    first, second = b"Subject: bdat-mark\r\n\r\nfirst li", b"ne\r\n.\r\n..\r\nlast\r\n"
    talk.send(b"BDAT %d\r\n" % len(first) + first)
    assert talk.reply()[0] == 250
    talk.send(b"BDAT %d LAST\r\n" % len(second) + second)
    code, text = talk.reply()
    assert code == 250 and re.search(rf"{len(first) + len(second)} bytes queued as \w+", text)
    assert delivered(system, "bdat-mark").endswith(b"\n\nfirst line\n.\n..\nlast\n")


def test_chunks_pipelined_with_an_empty_last_one(system, talk):
    body = b"Subject: bdat0-mark\r\n\r\nx\r\n"
    talk.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@virt.example>\r\nBDAT %d\r\n" % len(body) + body
              + b"BDAT 0 LAST\r\nNOOP\r\n")
    assert [code for code, _ in talk.replies(5)] == [250, 250, 250, 250, 250]
    delivered(system, "bdat0-mark")


def test_no_data_or_recipient_after_a_chunk(talk):
    talk.expect("MAIL FROM:<a@b.example>", 250)
    talk.expect(f"RCPT TO:<{ALICE}>", 250)
    talk.send(b"BDAT 4\r\nx: \n")
    assert talk.reply()[0] == 250
    talk.expect("DATA", 503)
    talk.expect(f"RCPT TO:<{ALICE}>", 503)
    talk.expect("MAIL FROM:<a@b.example>", 503)


def test_failed_chunk_does_not_leave_a_transaction(talk):
    talk.send(b"BDAT 5 LAST\r\nQUIT\n")
    assert talk.reply()[0] in (503, 551)
    talk.expect("MAIL FROM:<a@b.example>", 250)
    assert talk.command("DATA")[0] in (503, 554)


def test_message_over_the_size_limit(system, talk):
    talk.envelope("a@b.example", ALICE)
    talk.send(b"Subject: too-big-mark\r\n\r\n" + b"0123456789abcde\r\n" * 20000 + b".\r\n")
    code, text = talk.reply()
    assert code == 552 and text.startswith("5.3.4")
    talk.expect("NOOP", 250)
    wait_until(lambda: not system.queue_ids("incoming", "active", "deferred"), 5, "the refused file to go")


def test_chunks_over_the_size_limit(talk):
    talk.expect("MAIL FROM:<a@b.example>", 250)
    talk.expect(f"RCPT TO:<{ALICE}>", 250)
    chunk = b"0123456789abcde\r\n" * 20000
    talk.send(b"BDAT %d LAST\r\n" % len(chunk) + chunk)
    assert talk.reply()[0] == 552
    talk.expect("RSET", 250)


def test_recipient_limit(talk):
    talk.expect("MAIL FROM:<a@b.example>", 250)
    for _ in range(20):
        talk.expect(f"RCPT TO:<{ALICE}>", 250)
    text = talk.expect(f"RCPT TO:<{ALICE}>", 452)
    assert text == "4.5.3 Error: too many recipients"


def test_too_many_errors_end_the_session(system):
    with system.dialogue(ehlo="client.example") as talk:
        codes = []
        for _ in range(30):
            code, text = talk.command("NONSENSE")
            codes.append(code)
            if code == 421:
                break
        assert codes[-1] == 421 and len(codes) <= 21
        assert text == "4.7.0 mx.test.example Error: too many errors"
        assert talk.is_closed()
    system.log.wait_for(r"too many errors after \w+ from \S+\[127\.0\.0\.1\]")


def test_too_many_junk_commands_end_the_session(system):
    with system.dialogue(ehlo="client.example") as talk:
        for count in range(140):
            if talk.command("NOOP")[0] == 421:
                break
        assert 100 < count < 130


@pytest.mark.dromos
def test_overlong_command(talk):
    code = talk.command("NOOP " + "x" * 100_000)[0]
    assert code == 500
    talk.expect("NOOP", 250)


def test_http_is_not_smtp(system):
    with system.dialogue() as talk:
        code, _ = talk.command("GET / HTTP/1.0")
        assert code in (221, 421, 500, 554) and talk.is_closed()
    system.log.wait_for(r"warning: non-SMTP command from \S+\[127\.0\.0\.1\]: GET / HTTP/1\.0")


def test_lost_connection_is_logged_and_leaves_nothing(system):
    mark = system.log.mark()
    with system.dialogue(ehlo="client.example") as talk:
        talk.envelope("a@b.example", ALICE)
        talk.send(b"Subject: never-mark\r\n\r\nhalf a li")
    system.log.wait_for(r"lost connection after DATA \(\d+ bytes\) from \S+\[127\.0\.0\.1\]$", start=mark)
    system.log.wait_for(r"disconnect from \S+\[127\.0\.0\.1\] ehlo=1 mail=1 rcpt=1 data=0/1 commands=3/4$", start=mark)
    wait_until(lambda: not system.queue_ids("incoming", "active"), 5, "the unfinished file to go")


def test_pregreeting_client_is_served_or_refused_but_not_confused(system):
    with Dialogue("127.0.0.1", system.port, greet=False) as talk:
        talk.send(b"EHLO client.example\r\nMAIL FROM:<a@b.example>\r\n")
        codes = [talk.reply()[0] for _ in range(2)]
        assert codes[0] in (220, 554)


@pytest.mark.parametrize("sender", ["", "a@b.example", '"quoted local"@b.example', "a+ext@b.example", "a@[127.0.0.1]",
                                    "@relay.example:a@b.example", "x" * 64 + "@b.example"])
def test_sender_forms(talk, sender):
    talk.expect(f"MAIL FROM:<{sender}>", 250)


@pytest.mark.parametrize("recipient", ["two words@virt.example", "alice@virt.example>x", "@",
                                       "alice@virt.example\x01"])
def test_bad_recipient_forms_are_not_accepted(talk, recipient):
    talk.expect("MAIL FROM:<a@b.example>", 250)
    assert talk.command(f"RCPT TO:<{recipient}>")[0] // 100 in (4, 5)


def test_unicode_address(system, talk):
    talk.expect("MAIL FROM:<jörg@b.example> SMTPUTF8", 250)
    talk.expect(f"RCPT TO:<{ALICE}>", 250)
    talk.expect("DATA", 354)
    talk.expect("Subject: utf8-mark ü\r\n\r\n.", 250)
    assert "Return-Path: <jörg@b.example>".encode() in delivered(system, "utf8-mark")


def test_dsn_parameters_are_taken(talk):
    talk.expect("MAIL FROM:<a@b.example> RET=HDRS ENVID=abc+2Bdef", 250)
    talk.expect(f"RCPT TO:<{ALICE}> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;alice@old.example", 250)
    assert talk.command(f"RCPT TO:<{ALICE}> NOTIFY=NEVER,SUCCESS")[0] == 501
    assert talk.command(f"RCPT TO:<{ALICE}> ORCPT=nonsense")[0] == 501


@pytest.mark.parametrize("option", ["NOTIFY=FAILURE NOTIFY=DELAY", "SIZE=5"])
def test_odd_recipient_options(talk, option):
    talk.expect("MAIL FROM:<a@b.example>", 250)
    assert talk.command(f"RCPT TO:<{ALICE}> {option}")[0] in (250, 501, 555)


END_OF_DATA_VARIANTS = {
    "LF.LF": b"\n.\n", "LF.CRLF": b"\n.\r\n", "CRLF.LF": b"\r\n.\n", "CR.CR": b"\r.\r", "CR.LF": b"\r.\n",
    "LF.CR": b"\n.\r", "CR.CRLF": b"\r.\r\n", "CRLF.CR": b"\r\n.\r", "CRLF NUL .CRLF": b"\r\n\0.\r\n",
    "CRLF. CRLF": b"\r\n. \r\n", "CRLF .CRLF": b"\r\n .\r\n", "CRLF.NUL CRLF": b"\r\n.\0\r\n",
    "CRCRLF.CRLF-less": b"\r\r\n.\r\r\n",
}


@pytest.mark.dromos
@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
@pytest.mark.parametrize("name", END_OF_DATA_VARIANTS)
def test_only_crlf_dot_crlf_ends_data(system, talk, name, split):
    mark = f"smuggle-{name.replace(' ', '_')}-{split}"
    variant = END_OF_DATA_VARIANTS[name]
    data = (b"Subject: " + mark.encode() + b"\r\n\r\nbefore" + variant + b"MAIL FROM:<evil@b.example>\r\n"
            b"RCPT TO:<alice@virt.example>\r\nDATA\r\nSubject: " + mark.encode() + b"-smuggled\r\n\r\nafter\r\n.\r\n")
    talk.envelope("a@b.example", ALICE)
    if split:
        position = data.index(b"before") + 6
        for start, end in ((0, position), *((i, i + 1) for i in range(position, position + len(variant))),
                           (position + len(variant), len(data))):
            talk.send(data[start:end])
            time.sleep(0.005)
    else:
        talk.send(data)
    assert talk.reply()[0] == 250
    # Exactly one reply: the next one answers the next command.
    assert talk.command("VRFY alice@virt.example")[0] == 252
    raw = delivered(system, mark)
    assert b"MAIL FROM:<evil@b.example>" in raw and b"\r" not in raw.split(b"before")[0]


@pytest.mark.dromos
def test_bare_newline_can_be_refused(instance, virtual, workdir):
    system = instance(main={**virtual(workdir / "vmail", "alice"), "smtpd_forbid_bare_newline": "reject",
                            "smtpd_forbid_bare_newline_exclusions": ""})
    with system.dialogue(ehlo="client.example") as talk:
        talk.envelope("a@b.example", ALICE)
        talk.send(b"Subject: bare\r\n\r\none\ntwo\r\n.\r\n")
        code, text = talk.reply()
        assert code == 550 and "bare <LF> received" in text
        assert talk.is_closed()


@pytest.mark.dromos
def test_an_excluded_client_is_not_noted_for_bare_newlines(instance):
    """The note is how an administrator finds clients to exclude; to those, the setting does not apply any more."""
    system = instance(main={"smtpd_forbid_bare_newline": "note", "smtpd_forbid_bare_newline_exclusions": "127.0.0.1"})
    with system.dialogue(ehlo="client.example") as talk:
        talk.expect(b"NOOP\n", 250)
        talk.envelope("a@b.example", "user@test.example")
        talk.expect(b"Subject: bare\n\none\n.\n", 250)
        talk.expect("QUIT", 221)
    system.log.wait_for(r"disconnect from unknown\[127.0.0.1\] .* commands=6$")


@pytest.mark.dromos
@pytest.mark.parametrize("value, is_noted", [("yes", False), ("note", True), ("normalize", False)])
def test_bare_newline_is_a_line_end_that_ends_no_message(instance, virtual, value, is_noted):
    """yes is another name of normalize; note is the same with a word in the log about the clients whom it concerns."""
    system = instance(start=False, main={"smtpd_forbid_bare_newline": value, "smtpd_forbid_bare_newline_exclusions": ""})
    system.main.update(virtual(system.mail_directory, "alice"))
    system.write()
    system.start()
    mark = system.log.mark()
    with system.dialogue(ehlo="client.example") as talk:
        talk.envelope("a@b.example", ALICE)
        talk.send(b"Subject: bare\r\n\r\none\ntwo\n.\nthree\n.\r\nfour\r\n.\nfive\r\n.\r\n")
        assert talk.reply()[0] == 250
        talk.send(b"NOOP\n")
        assert talk.reply()[0] == 250
        talk.expect("QUIT", 221)
    (raw,) = system.wait_maildir(system.mail_directory / "alice")
    body = raw.split(b"\n\n", 1)[1]
    assert b"\r" not in body and [line for line in body.split(b"\n") if line] == [b"one", b"two", b"three", b"four", b"five"]
    system.log.wait_for(r"disconnect from unknown\[127.0.0.1\] .* commands=6" + (" notes=bare_lf$" if is_noted else "$"), start=mark)
    with system.dialogue(ehlo="client.example") as talk:  # who sends none is not named
        talk.expect("QUIT", 221)
    system.log.wait_for(r"disconnect from unknown\[127.0.0.1\] ehlo=1 quit=1 commands=2$", start=mark)


def test_many_messages_in_one_session(system, talk):
    for number in range(120):
        talk.envelope("a@b.example", ALICE)
        talk.expect(f"Subject: many-mark-{number:03d}\r\n\r\n.", 250)
    delivered(system, "many-mark-119")


def test_content_with_everything_a_line_can_hold(system, talk):
    body = b"".join(bytes([value]) * 3 + b"\r\n" for value in range(256) if value not in (0, 10, 13))
    talk.envelope("a@b.example", ALICE)
    talk.expect(b"Subject: bytes-mark\r\n\r\n" + body.replace(b"\r\n.", b"\r\n..") + b".\r\n", 250)
    assert delivered(system, "bytes-mark").endswith(body.replace(b"\r\n", b"\n"))


def test_timeout_of_a_silent_client(instance):
    system = instance(main={"smtpd_timeout": "2s"})
    with system.dialogue(ehlo="client.example") as talk:
        start = time.monotonic()
        code, text = talk.reply()
        assert code == 421 and text == "4.4.2 mx.test.example Error: timeout exceeded"
        assert 1 <= time.monotonic() - start < 8
    system.log.wait_for(r"timeout after EHLO from \S+\[127\.0\.0\.1\]")


def test_hop_count_limit(instance, virtual):
    system = instance(start=False, main={"hopcount_limit": "10"})
    system.main.update(virtual(system.mail_directory, "alice"))
    system.write()
    system.start()
    data = b"Received: from a by b\r\n" * 11 + make_message()
    with system.dialogue(ehlo="client.example") as talk:
        talk.envelope("a@b.example", ALICE)
        code, text = talk.command(data + b".\r\n")
        assert code == 554 and "too many hops" in text


def test_twenty_sessions_at_once(system):
    sessions = [system.dialogue(ehlo=f"c{number}.example") for number in range(20)]
    for talk in sessions:
        talk.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@virt.example>\r\nDATA\r\n")
    for talk in sessions:
        assert [code for code, _ in talk.replies(3)] == [250, 250, 354]
    for number, talk in enumerate(sessions):
        talk.send(f"Subject: at-once-{number:02d}\r\n\r\n.\r\n")
    for talk in sessions:
        assert talk.reply()[0] == 250
        talk.close()
    for number in range(20):
        delivered(system, f"at-once-{number:02d}")


def test_client_limit_of_the_service(instance):
    system = instance(start=False)
    system.inet_row = f"127.0.0.1:{system.port} inet n - n - 3 smtpd"
    system.write()
    system.start()
    held = [system.dialogue(ehlo="client.example") for _ in range(3)]
    waiting = Dialogue("127.0.0.1", system.port, greet=False, timeout=1)
    with pytest.raises(TimeoutError):
        waiting.reply()
    held.pop().close()
    waiting.socket.settimeout(20)
    assert waiting.reply()[0] == 220
    waiting.close()
    for talk in held:
        talk.close()


def test_smtp_send_reports_what_was_refused(system):
    refused = smtp_send(system, "a@b.example", [ALICE, "nobody@virt.example"], subject="partly-mark")
    assert list(refused) == ["nobody@virt.example"] and refused["nobody@virt.example"][0] == 550
    delivered(system, "partly-mark")
