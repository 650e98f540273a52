# SPDX-License-Identifier: ISC
"""A spool written by Debian's Postfix is picked up where it stands, and one written by ours is handed back.

The spool holds mail in maildrop, incoming, active, deferred and hold, with short and long ids, delivery status options,
logs of what bounced, recipients that are done, a warning that was sent, and (from Postfix) files that a milter edited.
Nothing may be lost, repeated or misread. Skipped where Debian's package cannot be downloaded.
"""
import os
import re
import signal
from collections import Counter

import pytest

from harness import Hang, Instance, Sink, free_port, make_message, postfix_flavour, smtp_send, wait_until
from harness.debian import debian_commands
from harness.milter import Milter, add_header, add_recipient, change_header, change_sender, delete_recipient, replace_body

pytestmark = [pytest.mark.root, pytest.mark.dromos]
EDITS = [add_header("X-Milter", "was here"), change_header("Subject", "edited subject"), replace_body("A new body\r\nof two lines\r\n"),
         add_recipient("added@far.example"), delete_recipient("gone@far.example"), change_sender("changed@client.example")]


@pytest.fixture(scope="module")
def debian(tmp_path_factory):
    found = debian_commands(tmp_path_factory.mktemp("debian"))
    if found is None:
        pytest.skip("Debian's postfix package cannot be downloaded")
    return postfix_flavour(found.commands.parents[1])


class Spool:
    """Next hops for three domains, and a spool that one system fills and another empties."""

    def __init__(self, folder):
        self.folder = folder
        self.good = Sink()        # takes mail from the beginning
        self.bad = Sink()         # refuses recipients
        self.bad.on("rcpt", "550 5.1.1 unknown")
        self.hanging = Sink()     # says nothing
        self.hanging.on("connect", Hang())
        self.back = Sink()        # senders' domain
        self.far_port = free_port()
        self.far = None           # dead while the spool is filled
        self.systems = []

    def close(self):
        for system in self.systems:
            system.stop()
        for sink in (self.good, self.bad, self.hanging, self.back, self.far):
            if sink:
                sink.close()

    def system(self, name, flavour, hanging, **options):
        system = Instance(self.folder / name, flavour=flavour, queue_directory=self.folder / "queue", main={
            "relayhost": self.back.nexthop, "minimal_backoff_time": "1s", "maximal_backoff_time": "1s", "queue_run_delay": "1s",
            "smtp_helo_timeout": "300s"}, **options)
        system.main["transport_maps"] = system.table(
            "transport", f"far.example smtp:[127.0.0.1]:{self.far_port}\ngood.example smtp:{self.good.nexthop}\n"
                         f"bad.example smtp:{self.bad.nexthop}\nhang.example smtp:{hanging}\n")
        system.write()
        self.systems.append(system)
        return system


def crash(system):
    """KILL to every process: the spool stays as it is at that moment."""
    children = system.processes()
    system.process.kill()
    for pid in children:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    system.process.wait(5)
    wait_until(lambda: not system._alive(children), 10, "daemons to end")
    system.process = None


def message(tag, **options):
    return make_message("joe@client.example", subject=f"tag {tag}", **options)


def fill_deferred(system, spool):
    smtp_send(system, "joe@client.example", ["a1@far.example", "a2@far.example"], message("plain"))
    smtp_send(system, "joe@client.example", "large@far.example", message("large", size=1_000_000))
    smtp_send(system, "joe@client.example", ["done@good.example", "part@far.example"], message("partly"))
    with system.dialogue(ehlo="client.example") as talk:
        talk.expect("MAIL FROM:<joe@client.example> ENVID=env+2B7 RET=HDRS BODY=8BITMIME", 250)
        talk.expect("RCPT TO:<dsn@far.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first+2Bone@there.example", 250)
        talk.expect("RCPT TO:<never@far.example> NOTIFY=NEVER", 250)
        talk.expect("DATA", 354)
        talk.expect(b"Subject: tag dsn\r\n\r\n8-bit \xe9\r\n..dot\r\n.\r\n", 250)
    with system.dialogue(ehlo="client.example") as talk:
        talk.expect("MAIL FROM:<joe@client.example> SMTPUTF8", 250)
        talk.expect("RCPT TO:<jörg@far.example>", 250)
        talk.expect("DATA", 354)
        talk.expect("Subject: tag utf8 ü\r\n\r\nx\r\n.\r\n", 250)
    many = [f"m{number}@far.example" for number in range(300)]
    smtp_send(system, "joe@client.example", many, message("many"))
    smtp_send(system, "joe@client.example", "quoted.\"a b\"@far.example".replace("quoted.", ""), message("quoted"))
    smtp_send(system, "", "null@far.example", message("null sender"))
    system.wait_queued("deferred", 9)  # one was there before
    wait_until(lambda: "done@good.example" in [r for m in spool.good.messages for r in m.recipients], 20, "the part that is delivered")


def change(system, **parameters):
    system.set(reload=False, **parameters)
    system.restart()


def fill_held(system):
    before = set(system.queue_ids("deferred"))
    smtp_send(system, "joe@client.example", "held@far.example", message("held"))
    wait_until(lambda: set(system.queue_ids("deferred")) - before, 20, "one more deferred message")
    (held,) = set(system.queue_ids("deferred")) - before
    system.run("postsuper", "-h", held)


def fill_active(system, spool):
    """One recipient bounced and recorded, one hanging; then the lights go out."""
    smtp_send(system, "joe@client.example", ["no@bad.example", "slow@hang.example"], message("active"))
    system.log.wait_for(r"to=<no@bad.example>.*status=bounced")
    wait_until(lambda: spool.hanging.connections > 0, 20, "the connection that hangs")
    crash(system)
    assert system.queue_ids("active") and system.queue_ids("bounce")


def fill_incoming(system, spool):
    """Without a queue manager mail stays in incoming; with the system down, in maildrop."""
    smtp_send(system, "joe@client.example", "in@far.example", message("incoming"))
    assert len(system.queue_ids("incoming")) == 1
    crash(system)
    system.run("sendmail", "-f", "joe@client.example", "-N", "failure,delay", "-V", "mailenv", "drop@far.example",
               input="Subject: tag maildrop\n\nfrom the command line\n")
    assert len(system.queue_ids("maildrop")) == 1


def fill(flavour, spool, has_milter):
    without_qmgr = "\n".join(row for row in Instance.__init__.__defaults__[3].splitlines() if not row.startswith("qmgr"))
    system = spool.system("first", flavour, spool.hanging.nexthop)
    system.set(delay_warning_time="1s")
    system.start()
    smtp_send(system, "warned@client.example", "warned@far.example", message("warned"))
    wait_until(lambda: any("warned@client.example" in m.recipients for m in spool.back.messages), 20, "the warning")
    change(system, delay_warning_time="0h", **{name: "600s" for name in ("minimal_backoff_time", "maximal_backoff_time", "queue_run_delay")})
    fill_deferred(system, spool)
    fill_held(system)
    change(system, enable_long_queue_ids="yes")
    smtp_send(system, "joe@client.example", "long@far.example", message("long id"))
    system.wait_queued("deferred", 10)
    if has_milter:
        milter = Milter(EDITS)
        change(system, smtpd_milters=f"inet:127.0.0.1:{milter.port}")
        smtp_send(system, "joe@client.example", ["kept@far.example", "gone@far.example"], message("milter"))
        system.wait_queued("deferred", 11)
        milter.close()
        change(system, smtpd_milters="")
    fill_active(system, spool)
    fill_incoming(spool.system("noqmgr", flavour, spool.hanging.nexthop, standard_rows=without_qmgr).start(), spool)


EXPECTED = {
    "plain": ["a1@far.example", "a2@far.example"], "large": ["large@far.example"], "partly": ["done@good.example", "part@far.example"],
    "dsn": ["dsn@far.example", "never@far.example"], "utf8": ["jörg@far.example"],
    "many": [f"m{number}@far.example" for number in range(300)], "quoted": ['"a b"@far.example'], "null": ["null@far.example"],
    "held": ["held@far.example"], "long": ["long@far.example"], "active": ["slow@hang.example"], "incoming": ["in@far.example"],
    "maildrop": ["drop@far.example"], "warned": ["warned@far.example"],
}


def tag(received):
    return re.search(rb"^Subject: tag (\w+)", received.data, re.MULTILINE).group(1).decode()


def check_options(messages):
    (dsn,) = [m for m in messages if m.recipients == ["dsn@far.example"] or "dsn@far.example" in m.recipients]
    assert "ENVID=env+2B7" in dsn.mail_options and "RET=HDRS" in dsn.mail_options and "BODY=8BITMIME" in dsn.mail_options
    options = dict(zip(dsn.recipients, dsn.rcpt_options))
    assert sorted(options["dsn@far.example"]) == ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;first+2Bone@there.example"]
    assert "NOTIFY=NEVER" in options["never@far.example"]
    assert dsn.data.endswith(b"\r\n8-bit \xe9\r\n.dot\r\n")
    (utf8,) = [m for m in messages if "jörg@far.example" in m.recipients]
    assert "SMTPUTF8" in utf8.mail_options and "Subject: tag utf8 ü" in utf8.text
    (dropped,) = [m for m in messages if "drop@far.example" in m.recipients]
    assert "ENVID=mailenv" in dropped.mail_options and "NOTIFY=FAILURE,DELAY" in dropped.rcpt_options[0]
    (large,) = [m for m in messages if "large@far.example" in m.recipients]
    assert len(large.data) > 1_000_000


def check_milter(messages):
    edited = [m for m in messages if b"X-Milter: was here" in m.data]
    assert sorted(r for m in edited for r in m.recipients) == ["added@far.example", "kept@far.example"]
    for one in edited:
        assert one.sender == "changed@client.example"
        assert one.data.endswith(b"\r\n\r\nA new body\r\nof two lines\r\n") and b"Subject: edited subject\r\n" in one.data
        assert b"tag milter" not in one.data


def empty(flavour, spool, has_milter):
    """The other system takes over; every next hop works now."""
    spool.far = Sink(port=spool.far_port)
    notices = spool.back.count
    system = spool.system("second", flavour, spool.far.nexthop)
    system.set(reload=False, enable_long_queue_ids="no", delay_warning_time="0h")
    system.start()
    system.log.wait_for("daemon started")  # Debian's postsuper ends with an error when it finds no log file
    system.run("postsuper", "-H", "ALL")
    system.run("postqueue", "-f")
    far = sum(len(recipients) for recipients in EXPECTED.values()) - 1 + (2 if has_milter else 0)
    wait_until(lambda: sum(len(m.recipients) for m in spool.far.messages) >= far, 60,
               lambda: f"{far} recipients, has {sum(len(m.recipients) for m in spool.far.messages)}; {system.log.text()[-4000:]}")
    system.wait_queue_empty(60)
    wait_until(lambda: spool.back.count > notices, 20, lambda: f"the bounce; {system.log.text()[-3000:]}")
    text = system.log.text()
    system.stop()
    assert not any(system.queue_files("corrupt", "bounce", "defer", "trace").values()), system.queue_files("corrupt", "bounce", "defer", "trace")
    assert "corrupt" not in text and "panic" not in text
    return system


@pytest.mark.parametrize("direction", ["take_over", "hand_back"])
def test_spool_changes_hands(direction, debian, flavour, workdir):
    first, second = (debian, flavour) if direction == "take_over" else (flavour, debian)
    has_milter = first.is_postfix
    spool = Spool(workdir)
    try:
        fill(first, spool, has_milter)
        empty(second, spool, has_milter)
        messages = spool.good.messages + spool.far.messages
        plain = [m for m in messages if b"X-Milter" not in m.data]
        got = Counter((tag(m), recipient) for m in plain for recipient in m.recipients)
        wanted = Counter((name, recipient) for name, recipients in EXPECTED.items() for recipient in recipients)
        assert got == wanted, f"missing {wanted - got}, repeated {got - wanted}"
        check_options(messages)
        if has_milter:
            check_milter(messages)
        bounces = [m for m in spool.back.messages if "joe@client.example" in m.recipients]
        assert len(bounces) == 1 and "<no@bad.example>: host" in bounces[0].text
        assert len([m for m in spool.back.messages if "warned@client.example" in m.recipients]) == 1
    finally:
        spool.close()
