# SPDX-License-Identifier: ISC
"""postfix drain: nothing is taken in any more, what is queued leaves, also to another host, and then the system stops."""
import smtplib
import subprocess
import time

import pytest

from harness import Sink, free_port, is_listening, smtp_send, wait_until
from harness.queue_file import put_queue_file, queue_file_bytes

pytestmark = [pytest.mark.dromos, pytest.mark.root]


@pytest.fixture
def stuck(instance):
    """Mail whose next hop is down."""
    system = instance(main={"relayhost": f"[127.0.0.1]:{free_port()}", "minimal_backoff_time": "1000s",
                            "maximal_backoff_time": "1000s", "queue_run_delay": "1000s"})
    with smtplib.SMTP("127.0.0.1", system.port) as client:
        client.ehlo("client.example")
        client.mail("joe@client.example", ["ENVID=drain+2B1", "RET=HDRS"])
        client.rcpt("ann@far.example", ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;first@far.example"])
        client.rcpt("bob@test.example", ["NOTIFY=NEVER"])  # a local domain: the other host's as well
        client.data("Subject: drained\r\n\r\nHello.\r\n")
    smtp_send(system, "eve@client.example", "u@far.example")
    system.wait_queued("deferred", 2)
    return system


@pytest.fixture
def other_host():
    one = Sink()
    yield one
    one.close()


def test_drain_to_another_host(stuck, other_host):
    system = stuck
    result = system.run("postfix", "drain", "--to", other_host.nexthop, "--timeout", "60")
    assert "the mail queue is empty" in result.stderr
    messages = other_host.wait(2, instance=system)
    (message,) = [m for m in messages if m.sender == "joe@client.example"]
    assert {"RET=HDRS", "ENVID=drain+2B1"} <= {option.upper().replace("DRAIN", "drain") for option in message.mail_options}
    options = dict(zip(message.recipients, message.rcpt_options))
    assert set(options["ann@far.example"]) == {"NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;first@far.example"}
    assert system.queue_ids() == [] and not is_listening(system.port)
    assert system.run("postfix", "status", check=False).returncode == 1
    system.log.wait_for(r"postfix-script\[\d+\]: draining the Postfix mail system$")
    system.log.wait_for(r"master\[\d+\]: draining: no mail is accepted .* all mail goes to \[127\.0\.0\.1\]:\d+$")


def test_time_is_up_and_back_again(stuck):
    system = stuck
    result = system.run("postfix", "drain", "--timeout", "2s", check=False)
    assert result.returncode == 1 and "time is up: 2 messages are left" in result.stderr
    assert not is_listening(system.port) and system.is_running
    system.reload()  # the mark stays
    time.sleep(0.3)
    assert not is_listening(system.port)
    system.run("sendmail", "-f", "local@client.example", "u@far.example", input="Subject: submitted\n\nx\n")
    time.sleep(0.5)
    assert len(system.queue_ids("maildrop")) == 1
    system.run("postfix", "drain", "--cancel")
    wait_until(lambda: is_listening(system.port), 10, "the listener")
    system.wait_queued("deferred", 3)


def test_start_ends_a_drain(instance):
    system = instance()
    put_queue_file(system, "hold", queue_file_bytes("s@b.example", ["u@far.example"]))
    result = system.run("postfix", "drain")
    assert "the mail queue is empty" in result.stderr and "1 message is on hold" in result.stderr
    assert (system.queue_directory / "pid" / "draining").exists()
    system.run("postfix", "start")
    try:
        wait_until(lambda: is_listening(system.port), 10, "the listener")
        assert not (system.queue_directory / "pid" / "draining").exists()
    finally:
        system.run("postfix", "stop")


def test_submitted_mail_is_taken_in_first(instance, other_host):
    system = instance(main={"relayhost": other_host.nexthop})
    for number in range(5):
        system.run("sendmail", "-f", "local@client.example", f"u{number}@far.example", input="Subject: submitted\n\nx\n")
    system.run("postfix", "drain", "--timeout", "60")
    assert other_host.count == 5 and system.queue_ids() == []


def test_open_sessions_end(instance):
    """A client that stays connected cannot go on sending."""
    system = instance()
    with smtplib.SMTP("127.0.0.1", system.port) as client:
        client.ehlo("client.example")
        drain = subprocess.Popen([system.program("postfix"), "drain"], env=system.env(), stderr=subprocess.PIPE, text=True)
        assert drain.wait(60) == 0, drain.stderr.read()
        with pytest.raises((smtplib.SMTPException, OSError)):
            client.sendmail("a@b.example", "u@far.example", "Subject: late\r\n\r\nx\r\n")
    assert system.queue_ids() == []


def test_the_way_back_from_a_filter_stays(instance):
    port = free_port()
    rows = [f"127.0.0.1:{port} inet n - n - - smtpd -o content_filter= -o mynetworks=127.0.0.0/8"]
    system = instance(rows=rows, main={"relayhost": f"[127.0.0.1]:{free_port()}"})
    smtp_send(system, "joe@client.example", "u@far.example")
    system.wait_queued("deferred", 1)
    system.run("postfix", "drain", "--timeout", "1", check=False)
    assert is_listening(port) and not is_listening(system.port)


def test_bad_arguments(instance):
    system = instance()
    for words in (["--to"], ["--to", "two words"], ["--to", ""], ["--timeout", "soon"], ["--cancel", "--to", "x"], ["now"]):
        result = system.run("postfix", "drain", *words, check=False)
        assert result.returncode == 1, words
    assert is_listening(system.port) and not (system.queue_directory / "pid" / "draining").exists()
    (system.queue_directory / "pid" / "draining").write_text("two words\n")
    mark = system.log.mark()
    system.run("postfix", "reload")
    system.log.wait_for(r"error: reload: .*draining: not a next hop; the former configuration stays in use", start=mark)
    assert is_listening(system.port)
