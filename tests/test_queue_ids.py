# SPDX-License-Identifier: ISC
"""Queue ids in the log and in questions to policy servers while a message is still coming in; what becomes of its file."""
import os
import re
import signal

import pytest

from harness import make_message, wait_until
from harness.policy import PolicyServer

ID = r"[0-9A-F]{6,}"
TABLE = "check_recipient_access inline:{bad@test.example=REJECT, warn@test.example=WARN, hold@test.example=HOLD}"
MAIN = {"mynetworks": "10.0.0.0/8", "smtpd_relay_restrictions": "reject_unauth_destination", "defer_transports": "smtp local",
        "smtpd_recipient_restrictions": f"{TABLE}, permit", "smtpd_error_sleep_time": "0",
        "smtpd_data_restrictions": "check_sender_access inline:{data@x.example=REJECT}",
        "smtpd_end_of_data_restrictions": "check_sender_access inline:{end@x.example=REJECT}"}


@pytest.fixture
def policy():
    server = PolicyServer()
    yield server
    server.close()


@pytest.fixture
def mx(shared):
    shared.said_from = shared.log.mark()
    return shared


@pytest.fixture(scope="module")
def shared(shared_instance):
    return shared_instance(main=MAIN)


def said(mx, program="smtpd"):
    """What the program logged since the test began, without times and connections; nor how a session outside of a transaction ended,
    which may be logged before or after the look."""
    lines = [re.search(rf" postfix/{program}\[\d+\]: (.*)", line) for line in mx.log.lines(mx.said_from)]
    passed_over = ("connect ", "disconnect ", "NOQUEUE: lost connection ")
    return [line.group(1) for line in lines if line and not line.group(1).startswith(passed_over)]


def said_at_last(mx, pattern):
    mx.log.wait_for(pattern, start=mx.said_from)
    return said(mx)


def talk(mx, *commands, ehlo="client.example"):
    """Says the commands, gives the codes."""
    with mx.dialogue(ehlo=ehlo) as client:
        return [client.command(command)[0] for command in commands]


def is_gone(mx, queue_id):
    wait_until(lambda: queue_id not in [path.name for paths in mx.queue_files("incoming", "hold", "active", "deferred").values()
                                        for path in paths], 10, f"no file {queue_id}")


MESSAGE = b"Subject: x\r\n\r\nhello\r\n.\r\n"


@pytest.mark.sanitize
def test_from_the_first_accepted_recipient_on(mx):
    with mx.dialogue(ehlo="client.example") as client:
        for command, code in (("MAIL FROM:<a@x.example>", 250), ("RCPT TO:<bad@test.example>", 554), ("RCPT TO:<user@test.example>", 250),
                              ("RCPT TO:<bad@test.example>", 554), ("RCPT TO:<u@other.example>", 554),
                              ("RCPT TO:<warn@test.example>", 250), ("RCPT TO:<hold@test.example>", 250), ("DATA", 354)):
            client.expect(command, code)
        queue_id = re.search(r"queued as (\w+)", client.expect(MESSAGE, 250)).group(1)
        client.expect("MAIL FROM:<b@x.example>", 250)
        client.expect("RCPT TO:<bad@test.example>", 554)
        client.expect("RCPT TO:<user@test.example>", 250)
        client.expect("RCPT TO:<bad@test.example>", 554)
        client.expect("RSET", 250)
    lines = [line.partition(" from unknown")[0].partition(",")[0] for line in said(mx)]
    second = lines[-1].partition(":")[0]
    assert lines == ["NOQUEUE: reject: RCPT", f"{queue_id}: client=unknown[127.0.0.1]", f"{queue_id}: reject: RCPT",
                     f"{queue_id}: reject: RCPT", f"{queue_id}: warn: RCPT", f"{queue_id}: hold: RCPT",
                     "NOQUEUE: reject: RCPT", f"{second}: client=unknown[127.0.0.1]", f"{second}: reject: RCPT"]
    assert re.fullmatch(ID, second) and second != queue_id
    assert [line.partition("=")[0] for line in said(mx, "cleanup")] == [f"{queue_id}: message-id"]
    assert mx.wait_queued("hold") == [queue_id]
    text = mx.run("postcat", "-q", queue_id).stdout
    assert re.findall(r"^recipient: (.*)$", text, re.M) == ["user@test.example", "warn@test.example", "hold@test.example"]
    assert re.search(rf"^Received: from client\.example .*\n\s+by mx\.test\.example .* with ESMTP id {queue_id}\n?;\s+\w\w\w, ", text, re.M)
    is_gone(mx, second)
    mx.run("postsuper", "-d", queue_id)


def test_without_a_question_the_line_of_the_client_comes_with_the_message(mx):
    with mx.dialogue(ehlo="client.example") as client:
        client.envelope("a@x.example", "user@test.example")
        queue_id = re.search(r"queued as (\w+)", client.expect(MESSAGE, 250)).group(1)
    assert said(mx) == [f"{queue_id}: client=unknown[127.0.0.1]"]


@pytest.mark.parametrize("sender,stage", [("data@x.example", "DATA"), ("end@x.example", "END-OF-MESSAGE")])
def test_refused_content_leaves_no_file(mx, sender, stage):
    with mx.dialogue(ehlo="client.example") as client:
        client.expect(f"MAIL FROM:<{sender}>", 250)
        client.expect("RCPT TO:<user@test.example>", 250)
        client.expect("DATA", 554 if stage == "DATA" else 354)
        if stage != "DATA":
            client.expect(MESSAGE, 554)
    mx.log.wait_for("disconnect from", start=mx.said_from)
    first, second = [line for line in said(mx) if "lost connection" not in line]
    queue_id = first.partition(":")[0]
    assert re.fullmatch(rf"{ID}: client=unknown\[127\.0\.0\.1\]", first) and second.startswith(f"{queue_id}: reject: {stage} from")
    is_gone(mx, queue_id)


@pytest.mark.dromos  # the session's end is logged with an id since release 3.10
def test_lost_session_is_named_by_its_message_and_leaves_no_file(mx):
    talk(mx, "MAIL FROM:<a@x.example>", "RCPT TO:<user@test.example>")
    first, second = said_at_last(mx, "lost connection")
    queue_id = first.partition(":")[0]
    assert re.fullmatch(ID, queue_id) and second == f"{queue_id}: lost connection after RCPT from unknown[127.0.0.1]"
    is_gone(mx, queue_id)


def test_a_large_message_after_a_refused_recipient(mx):
    with mx.dialogue(ehlo="client.example") as client:
        client.expect("MAIL FROM:<a@x.example>", 250)
        client.expect("RCPT TO:<user@test.example>", 250)
        client.expect("RCPT TO:<bad@test.example>", 554)
        client.expect("RCPT TO:<other@test.example>", 250)
        client.expect("DATA", 354)
        message = make_message(size=300_000)
        queue_id = re.search(r"queued as (\w+)", client.expect(message + b".\r\n", 250)).group(1)
    assert len(said(mx)) == 2 and all(line.startswith(f"{queue_id}: ") for line in said(mx))
    text = mx.run("postcat", "-q", queue_id).stdout
    assert re.findall(r"^recipient: (.*)$", text, re.M) == ["user@test.example", "other@test.example"]
    assert text.count("0123456789abcdefghijklmnopqrstuvwxyz ") == message.count(b"0123456789abcdefghijklmnopqrstuvwxyz ") > 1000


def test_vrfy_in_a_transaction(mx):
    assert talk(mx, "MAIL FROM:<a@x.example>", "RCPT TO:<user@test.example>", "VRFY bad@test.example", "RCPT TO:<bad@test.example>",
                "QUIT") == [250, 250, 554, 554, 221]
    queue_id = said(mx)[0].partition(":")[0]
    assert re.fullmatch(ID, queue_id)
    assert [line.split(" from ")[0] for line in said(mx)[1:]] == [f"{queue_id}: reject: VRFY", f"{queue_id}: reject: RCPT"]


def test_policy_servers_are_told(instance, policy):
    ask = f"check_policy_service {policy.endpoint}"
    mx = instance(main={**MAIN, "smtpd_recipient_restrictions": f"{ask}, permit", "smtpd_data_restrictions": ask,
                        "smtpd_end_of_data_restrictions": ask})
    with mx.dialogue(ehlo="client.example") as client:
        client.expect("RSET", 250)
        client.expect("VRFY user@test.example", 252)
        client.envelope("a@x.example", "user@test.example", "other@test.example")
        queue_id = re.search(r"queued as (\w+)", client.expect(MESSAGE, 250)).group(1)
    told = [(request["protocol_state"], request["queue_id"]) for request in policy.requests]
    assert told == [("VRFY", ""), ("RCPT", ""), ("RCPT", queue_id), ("DATA", queue_id), ("END-OF-MESSAGE", queue_id)]
    assert mx.log.count(f"{queue_id}: client=") == 1
    assert len({request["instance"] for request in policy.requests[1:]}) == 1
    assert re.fullmatch(r"[0-9a-f]+\.[0-9a-f]+\.[0-9a-f]+\.[0-9a-f]+", policy.requests[1]["instance"])


def test_policy_servers_are_told_of_the_end_of_data_only(instance, policy):
    mx = instance(main={**MAIN, "smtpd_end_of_data_restrictions": f"check_policy_service {policy.endpoint}"})
    for body in (MESSAGE, make_message(size=200_000) + b".\r\n"):
        with mx.dialogue(ehlo="client.example") as client:
            client.envelope("a@x.example", "user@test.example")
            queue_id = re.search(r"queued as (\w+)", client.expect(body, 250)).group(1)
        assert policy.requests[-1]["queue_id"] == queue_id
        assert mx.log.count(f"{queue_id}: client=") == 1 and mx.log.count(f"{queue_id}: message-id=") == 1


def test_open_from_mail_on(instance, policy):
    mx = instance(main={**MAIN, "smtpd_delay_open_until_valid_rcpt": "no",
                        "smtpd_recipient_restrictions": f"{TABLE}, check_policy_service {policy.endpoint}, permit"})
    mx.said_from = 0
    assert talk(mx, "MAIL FROM:<a@x.example> FOO=1", "MAIL FROM:<a@x.example>", "RCPT TO:<bad@test.example>",
                "RCPT TO:<user@test.example>", "RSET", "MAIL FROM:<b@x.example>", "QUIT") == [555, 250, 554, 250, 250, 250, 221]
    lines = [line.partition(" from ")[0] for line in said(mx)]
    first, last = lines[0].partition(":")[0], lines[-1].partition(":")[0]
    assert lines == [f"{first}: client=unknown[127.0.0.1]", f"{first}: reject: RCPT", f"{last}: client=unknown[127.0.0.1]"]
    assert first != last and policy.requests[0]["queue_id"] == first
    is_gone(mx, first)
    is_gone(mx, last)


@pytest.mark.dromos  # Debian's server waits for cleanup, which fails again and again
@pytest.mark.root
@pytest.mark.parametrize("delay", ["yes", "no"])
def test_no_file_can_be_made(instance, delay):
    mx = instance(main={**MAIN, "smtpd_delay_open_until_valid_rcpt": delay})
    mx.said_from = 0
    incoming = mx.queue_directory / "incoming"
    os.chown(incoming, 0, 0)
    with mx.dialogue(ehlo="client.example") as client:
        if delay == "no":
            assert client.command("MAIL FROM:<a@x.example>") == (451, "4.3.0 Error: queue file write error")
            assert client.command("RCPT TO:<user@test.example>")[0] == 503
        else:
            assert [client.command(command)[0] for command in ("MAIL FROM:<a@x.example>", "RCPT TO:<user@test.example>",
                    "RCPT TO:<bad@test.example>", "RCPT TO:<bad@test.example>", "DATA")] == [250, 250, 554, 554, 354]
            assert client.command(MESSAGE) == (451, "4.3.0 Error: queue file write error")
            assert [line.split(":")[0] for line in said(mx)] == ["NOQUEUE"] * 2
        assert mx.log.find("postfix/cleanup.*create queue file: Permission denied")
        os.chown(incoming, mx.queue_directory.joinpath("active").stat().st_uid, -1)
        client.expect("RSET", 250)
        client.envelope("a@x.example", "user@test.example")
        client.expect(MESSAGE, 250)


def begin_with_id(mx, client):
    """A transaction whose id was asked for, by the refusal of its second recipient."""
    client.expect("MAIL FROM:<a@x.example>", 250)
    client.expect("RCPT TO:<user@test.example>", 250)
    client.expect("RCPT TO:<bad@test.example>", 554)
    return said_at_last(mx, "client=")[0].partition(":")[0]


@pytest.mark.dromos  # Debian's master waits before it starts a killed service again
@pytest.mark.parametrize("victim", ["smtpd", "cleanup"])
def test_killed_in_the_middle(instance, victim):
    mx = instance(main=MAIN)
    mx.said_from = 0
    with mx.dialogue(ehlo="client.example") as client:
        queue_id = begin_with_id(mx, client)
        assert [path.name for path in mx.queue_files("incoming")["incoming"]] == [queue_id]
        for pid in mx.pids(victim):
            os.kill(pid, signal.SIGKILL)
        if victim == "smtpd":
            assert client.is_closed()
        else:
            client.expect("DATA", 354)
            client.expect(MESSAGE, 451)
    if victim == "cleanup":  # what is not ready is nobody's mail
        assert queue_id not in mx.run("postqueue", "-p").stdout
        path = mx.queue_directory / "incoming" / queue_id
        os.utime(path, (0, path.stat().st_mtime - 8 * 86400))
        mx.run("postsuper", "-p")
    is_gone(mx, queue_id)
    with mx.dialogue(ehlo="client.example") as client:
        client.envelope("a@x.example", "user@test.example")
        client.expect(MESSAGE, 250)


def test_a_reload_in_the_middle(instance):
    mx = instance(main=MAIN)
    mx.said_from = 0
    with mx.dialogue(ehlo="client.example") as client:
        queue_id = begin_with_id(mx, client)
        mx.reload()
        mx.log.wait_for(r"reload")
        client.expect("DATA", 354)
        assert client.expect(MESSAGE, 250).endswith(f"queued as {queue_id}")
