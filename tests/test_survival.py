# SPDX-License-Identifier: ISC
"""What must survive: killed daemons, full file systems, few descriptors, unreadable tables, stubborn clients."""
import os
import random
import re
import resource
import signal
import smtplib
import subprocess
import threading
import time

import pytest

from harness import Close, Dialogue, Hang, make_message, smtp_send, wait_until

TO = "user@far.example"
FAST = {"minimal_backoff_time": "1s", "maximal_backoff_time": "2s", "queue_run_delay": "1s", "transport_retry_time": "1s",
        "service_throttle_time": "1s", "ipc_timeout": "10s"}


class Load(threading.Thread):
    """Sends numbered messages in sessions of its own until told to stop; remembers which were acknowledged."""

    def __init__(self, system, name, count):
        super().__init__(daemon=True)
        self.system, self.prefix, self.count = system, name, count
        self.acknowledged = []
        self.doubtful = []  # sent, but the acknowledgement was lost: may arrive
        self.gave_up = None

    def run(self):
        number, deadline, session = 0, time.monotonic() + 400, None
        while number < self.count:
            if time.monotonic() > deadline:
                self.gave_up = number
                return
            mark = f"{self.prefix}-{number}"
            try:
                if session is None:
                    session = smtplib.SMTP("127.0.0.1", self.system.port, local_hostname="load.example", timeout=30)
                session.sendmail("joe@client.example", TO, f"Subject: {mark}\r\nX-Mark: {mark}\r\n\r\nbody\r\n")
                self.acknowledged.append(mark)
                number += 1
            except smtplib.SMTPResponseException:
                time.sleep(0.05)
                session = self._drop(session)
            except (smtplib.SMTPException, OSError):
                self.doubtful.append(mark)
                number += 1
                time.sleep(0.05)
                session = self._drop(session)
        self._drop(session)

    @staticmethod
    def _drop(session):
        if session is not None:
            session.close()
        return None


VICTIMS = ("smtpd", "cleanup", "qmgr", "smtp", "bounce", "trivial-rewrite", "pickup")


def marks(next_hop):
    found = {}
    for message in list(next_hop.messages):
        match = re.search(rb"^X-Mark: (\S+)", message.data, re.MULTILINE)
        found[match.group(1).decode()] = found.get(match.group(1).decode(), 0) + 1
    return found


def unexplained_duplicates(system, next_hop, killed):
    """(copies of a message that no lost acknowledgement explains, number of all copies beyond the first); killed: the
    process ids.

    Several queue ids for one message: all but one must come from a cleanup or smtpd process that was killed before it
    could say (or even log) that the message was queued. Several copies with one id: at most one may be recorded as sent; the others
    are of smtp processes that were killed before they could record it."""
    copies, found = {}, []
    text = system.log.text()
    owners = {}
    for program, pid, queue_id in re.findall(r"postfix/(cleanup|smtpd)\[(\d+)\]: (\w+): (?:message-id|client)=", text):
        owners.setdefault(queue_id, set()).add(int(pid))
    for message in list(next_hop.messages):
        mark = re.search(rb"^X-Mark: (\S+)", message.data, re.MULTILINE).group(1).decode()
        queue_id = re.search(rb"\(Postfix\).*?\sid (\w+)", message.data, re.DOTALL).group(1).decode()
        by_id = copies.setdefault(mark, {})
        by_id[queue_id] = by_id.get(queue_id, 0) + 1
    for mark, by_id in copies.items():
        said = [queue_id for queue_id in by_id if queue_id in owners and not owners[queue_id] & killed]
        if len(said) > 1:
            found.append((mark, by_id))
        for queue_id, count in by_id.items():
            recorded = len(re.findall(rf"{queue_id}: to=.*status=sent", text)) if count > 1 else 0
            if recorded > 1:
                found.append((mark, queue_id, f"{count} copies, {recorded} recorded"))
    return found, sum(sum(by_id.values()) for by_id in copies.values()) - len(copies)


def ready_files(system):
    """Messages in the queue. A file that was still being written when its writer was killed has mode 0600, was never
    acknowledged, and stays in incoming/ until `postsuper -p` clears it away."""
    def mode(path):
        try:
            return path.stat().st_mode & 0o700
        except FileNotFoundError:
            return 0
    return [path for paths in system.queue_files("maildrop", "incoming", "active", "deferred", "hold").values()
            for path in paths if mode(path) == 0o700 or path.parent.name != "incoming"]


@pytest.mark.alone
def test_every_daemon_killed_in_turn_under_load(instance, sink, is_full):
    """Each acknowledged message arrives; what arrives twice or unacknowledged is explained by a lost acknowledgement."""
    total = 20000 if is_full else 4000
    threads = 8
    next_hop = sink()
    system = instance(main={"relayhost": next_hop.nexthop, **FAST})
    loads = [Load(system, f"t{number}", total // threads) for number in range(threads)]
    for load in loads:
        load.start()
    rng, turn, killed = random.Random(7), 0, set()
    deadline = time.monotonic() + (900 if is_full else 150)
    while any(load.is_alive() for load in loads) and time.monotonic() < deadline:
        pids = system.pids(VICTIMS[turn % len(VICTIMS)])
        turn += 1
        for pid in rng.sample(pids, min(1, len(pids))):
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        time.sleep(rng.uniform(0.05, 0.35))
    for load in loads:
        load.join(120)
    assert not any(load.gave_up for load in loads), system.log.text()[-3000:]
    assert len(killed) >= 3
    acknowledged = {mark for load in loads for mark in load.acknowledged}
    doubtful = {mark for load in loads for mark in load.doubtful}
    wait_until(lambda: acknowledged <= set(marks(next_hop)), 120,
               lambda: f"{len(acknowledged - set(marks(next_hop)))} messages missing; {system.queue_counts()}; "
                       f"{system.log.text()[-4000:]}", 0.5)
    wait_until(lambda: not ready_files(system), 120, lambda: f"no file left behind: {ready_files(system)}; "
                                                             f"{system.log.text()[-3000:]}")
    found = marks(next_hop)
    assert set(found) <= acknowledged | doubtful
    unexplained, duplicates = unexplained_duplicates(system, next_hop, killed)
    print(f"{len(killed)} kills, {len(acknowledged)} acknowledged, {len(doubtful)} unanswered, {duplicates} duplicates")
    assert not unexplained, unexplained
    wait_until(lambda: not any(system.queue_files("bounce", "defer", "trace").values()), 30, "no logs left behind")
    assert not system.queue_ids("corrupt")


def test_killed_queue_manager_resumes_without_being_asked(instance, sink):
    """Nobody talks to it, and the next wake-up of master.cf is minutes away: deferred mail is tried all the same."""
    next_hop = sink()
    next_hop.on("mail", "450 4.3.2 not yet")
    system = instance(main={"relayhost": next_hop.nexthop, **FAST})
    smtp_send(system, "joe@client.example", TO)
    system.log.wait_for(r"status=deferred")
    (pid,) = system.pids("qmgr")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: system.pids("qmgr") not in ([], [pid]), 10, "the queue manager to come back")
    next_hop.forget("mail")
    next_hop.wait(1, timeout=20, instance=system)


def test_master_killed_and_started_again(instance, sink):
    next_hop = sink()
    next_hop.on("connect", "421 4.3.2 wait")
    system = instance(main={"relayhost": next_hop.nexthop, **FAST})
    for number in range(20):
        smtp_send(system, "joe@client.example", TO, b"X-Mark: m%d\r\n\r\n" % number)
    children = system.kill_master()
    wait_until(lambda: not system._alive(children), 20, "the daemons to end when master is gone")
    next_hop.forget()
    system.start()
    wait_until(lambda: set(marks(next_hop)) == {f"m{n}" for n in range(20)}, 40,
               lambda: f"20 messages, got {sorted(marks(next_hop))}; {system.log.text()[-3000:]}")
    system.wait_queue_empty()


def test_second_master_refuses_to_start(instance):
    system = instance()
    result = system.run("master", "-c", system.config_directory, "-d", check=False, timeout=20)
    assert result.returncode != 0
    assert system.is_running
    smtp_send(system, "a@b.example", f"{system.person}@test.example")


def test_reload_keeps_sessions(instance, sink):
    """A session open across a reload finishes its message, and new sessions see the new settings."""
    next_hop = sink()
    system = instance(main={"relayhost": next_hop.nexthop})
    with system.dialogue(ehlo="client.example") as talk:
        talk.envelope("joe@client.example", TO)
        talk.send(b"Subject: across\r\n\r\nfirst half\r\n")
        system.set(smtpd_banner="$myhostname changed")
        time.sleep(0.5)
        talk.expect(b"second half\r\n.\r\n", 250)
        talk.expect("QUIT", 221)
    assert b"first half\r\nsecond half\r\n" in next_hop.wait(1, instance=system)[0].data

    def changed():
        with system.dialogue() as talk:
            return talk.greeting[1] == "mx.test.example changed"
    wait_until(changed, 10, "the new banner", 0.2)


def test_reload_under_load_loses_nothing(instance, sink):
    next_hop = sink()
    system = instance(main={"relayhost": next_hop.nexthop, **FAST})
    loads = [Load(system, f"r{number}", 60) for number in range(4)]
    for load in loads:
        load.start()
    for _ in range(4):
        time.sleep(0.3)
        system.reload()
    for load in loads:
        load.join(100)
    acknowledged = {mark for load in loads for mark in load.acknowledged}
    wait_until(lambda: acknowledged <= set(marks(next_hop)), 60,
               lambda: f"missing {len(acknowledged - set(marks(next_hop)))}; {system.log.text()[-3000:]}")
    system.wait_queue_empty()
    assert max(marks(next_hop).values()) == 1, "a reload must not deliver twice"


def reload_now(system):
    system.reload()


def stop_and_start(system):
    system.restart()


def kill_queue_manager(system):
    (pid,) = system.pids("qmgr")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: system.pids("qmgr") not in ([], [pid]), 10, "the queue manager to come back")


def kill_master_and_start(system):
    """The agent outlives its master."""
    system.kill_master()
    system.start()


@pytest.mark.parametrize("is_lmtp", [False, True], ids=["smtp", "lmtp"])
@pytest.mark.parametrize("disturb, seconds", [(reload_now, 4), (stop_and_start, 1.5), (kill_queue_manager, 4),
                                              (kill_master_and_start, 4)])
def test_delivery_under_way_goes_on_to_its_end(instance, sink, disturb, seconds, is_lmtp):
    """The next hop takes its time at the end of data. It accepts, so the message must not be sent again."""
    next_hop = sink()
    arrived = threading.Event()

    def slow(_session):
        arrived.set()
        time.sleep(seconds)
    next_hop.on("eod", slow)
    system = instance(main={**FAST, **({"default_transport": f"lmtp:inet:127.0.0.1:{next_hop.port}"} if is_lmtp
                                       else {"relayhost": next_hop.nexthop})})
    smtp_send(system, "joe@client.example", TO)
    assert arrived.wait(10)
    disturb(system)
    system.wait_queue_empty()
    assert next_hop.count == 1 and next_hop.commands.count("DATA") == 1
    assert system.log.count(r"status=sent") == 1 and not system.log.find(r"status=(deferred|bounced)")


def test_changed_list_file_neither_repeats_nor_holds_up_deliveries(instance, sink):
    """The agent retires for a file that it has read: what it has it finishes, and what comes meanwhile goes to its successor."""
    slow, quick = sink(), sink()
    arrived, may_end = threading.Event(), threading.Event()

    def wait_at_the_end(_session):
        arrived.set()
        may_end.wait(20)
    slow.on("eod", wait_at_the_end)
    system = instance(start=False, main={"relayhost": quick.nexthop, **FAST})
    system.main["transport_maps"] = system.table("transport", f"slow.example smtp:{slow.nexthop}\n")
    system.main["smtp_connection_cache_destinations"] = system.file("cached", "one.example\n")
    system.write()
    system.start()
    smtp_send(system, "joe@client.example", "user@slow.example")
    assert arrived.wait(10)
    system.file("cached", "one.example, two.example\n")
    time.sleep(1.2)  # the file is looked at once a second
    smtp_send(system, "joe@client.example", TO)
    system.log.wait_for(r"smtp\[\d+\]: table \S+cached has changed -- restarting")
    smtp_send(system, "joe@client.example", TO)
    quick.wait(2, timeout=5, instance=system)
    may_end.set()
    system.wait_queue_empty()
    assert slow.commands.count("DATA") == 1 and quick.count == 2
    assert system.log.count(r"status=sent") == 3


@pytest.fixture
def small_file_system(workdir):
    """A RAM file system of 4 MiB for a queue; root only."""
    path = workdir / "small"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=755", "tmpfs", path], capture_output=True,
                             check=False, timeout=20)
    if mounted.returncode != 0:
        pytest.skip("cannot mount a file system here")
    yield path
    subprocess.run(["umount", "-l", path], check=False, timeout=20)


@pytest.mark.root
def test_full_queue_file_system(instance, sink, small_file_system):
    next_hop = sink()
    system = instance(queue_directory=small_file_system / "queue",
                      main={"relayhost": next_hop.nexthop, "message_size_limit": "1000000", "queue_minfree": "0", **FAST})
    smtp_send(system, "joe@client.example", TO)
    next_hop.wait(1, instance=system)
    ballast = small_file_system / "ballast"
    with open(ballast, "wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(b"x" * 4096)
    with system.dialogue(ehlo="client.example") as talk:
        code, _ = talk.command("MAIL FROM:<joe@client.example>")
        if code == 250:
            code, _ = talk.command(f"RCPT TO:<{TO}>")
        if code == 250:
            code, _ = talk.command("DATA")
        if code == 354:
            code, _ = talk.command(make_message(size=100_000) + b".\r\n")
        assert code // 100 == 4, "a full disk is a temporary refusal"
    system.log.wait_for(r"warning: .*(not enough free space|No space left on device)")
    ballast.unlink()

    def sent():
        try:
            return not smtp_send(system, "joe@client.example", TO)
        except (smtplib.SMTPException, OSError):
            return False
    wait_until(sent, 30, lambda: f"service to come back; {system.log.text()[-3000:]}", 0.3)
    next_hop.wait(2, timeout=30, instance=system)
    system.wait_queue_empty()


def test_few_descriptors(instance, sink):
    """With 40 descriptors a process: refusals are temporary, nothing is lost, and service comes back."""
    next_hop = sink()
    system = instance(start=False, main={"relayhost": next_hop.nexthop, **FAST})
    system.start(preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    talks = []
    for _ in range(120):
        try:
            talks.append(Dialogue("127.0.0.1", system.port, timeout=3, greet=False))
        except OSError:
            break
    time.sleep(1)
    for talk in talks:
        talk.close()

    def sent():
        try:
            return not smtp_send(system, "joe@client.example", TO)
        except (smtplib.SMTPException, OSError):
            return False
    wait_until(sent, 40, lambda: f"service to come back; {system.log.text()[-3000:]}", 0.5)
    next_hop.wait(1, timeout=30, instance=system)


@pytest.mark.parametrize("parameter", ["virtual_alias_maps", "transport_maps", "relay_domains"])
def test_missing_table_is_temporary(instance, sink, parameter):
    """A table that cannot be opened refuses mail for now, with its name in the log; service comes back with it."""
    next_hop = sink()
    system = instance(start=False, main={"relayhost": next_hop.nexthop, **FAST})
    system.main[parameter] = f"texthash:{system.config_directory}/absent"
    system.write()
    system.start()

    def attempt():
        try:
            return smtp_send(system, "joe@client.example", TO) == {}
        except smtplib.SMTPResponseException as refusal:
            assert refusal.smtp_code // 100 == 4
        except smtplib.SMTPRecipientsRefused as refusal:
            assert all(code // 100 == 4 for code, _ in refusal.recipients.values())
        except (smtplib.SMTPException, OSError):
            pass
        return False
    attempt()
    system.log.wait_for(r"(warning|error|fatal): .*absent", timeout=30)
    assert next_hop.count == 0
    system.file("absent", "")
    system.reload()
    wait_until(lambda: attempt() or next_hop.count, 60, lambda: f"recovery; {system.log.text()[-3000:]}", 0.5)
    next_hop.wait(1, timeout=40, instance=system)


def test_client_of_one_byte_a_second_is_bounded(instance):
    """smtpd_timeout limits a whole command, not each byte: a dripping client cannot hold a session for ever."""
    system = instance(main={"smtpd_timeout": "3s", "smtpd_per_request_deadline": "yes"})
    with system.dialogue(ehlo="client.example") as talk:
        start = time.monotonic()
        try:
            for byte in b"MAIL FROM:<joe@client.example>":
                talk.send(bytes([byte]))
                time.sleep(0.5)
        except OSError:
            pass
        assert talk.is_closed(timeout=10)
        assert time.monotonic() - start < 20


def test_failing_service_is_throttled_and_the_rest_works(instance, sink):
    next_hop = sink()
    system = instance(rows=["broken unix - - n - - no-such-program"], main={"relayhost": next_hop.nexthop})
    smtp_send(system, "joe@client.example", TO)
    next_hop.wait(1, instance=system)


@pytest.mark.parametrize("stage", ["connect", "mail", "eod"])
def test_many_messages_to_a_sink_that_misbehaves(instance, sink, stage):
    """One in three conversations hangs or hangs up at a stage; all messages arrive in the end."""
    next_hop = sink()
    rng = random.Random(3)
    short = {name: "1s" for name in ("smtp_helo_timeout", "smtp_mail_timeout", "smtp_data_done_timeout",
                                     "smtp_connect_timeout", "smtp_quit_timeout", "smtp_rset_timeout")}
    next_hop.on(stage, lambda session: rng.choice([None, None, None, None, Hang(2), Close()]))
    system = instance(main={"relayhost": next_hop.nexthop, **FAST, **short})
    for number in range(30):
        smtp_send(system, "joe@client.example", TO, b"X-Mark: h%d\r\n\r\n" % number)
    wait_until(lambda: len(marks(next_hop)) >= 15, 60, "half of the messages")
    next_hop.forget()
    wait_until(lambda: len(marks(next_hop)) == 30, 60,
               lambda: f"all, has {len(marks(next_hop))}; {system.queue_counts()}; {system.log.text()[-3000:]}")
    system.wait_queue_empty()


@pytest.mark.alone
def test_idle_sessions_while_mail_flows(instance, sink, is_full):
    count = 5000 if is_full else 300
    next_hop = sink()
    system = instance(start=False, main={"relayhost": next_hop.nexthop})
    system.inet_row = f"127.0.0.1:{system.port} inet n - n - 6000 smtpd"
    system.write()

    def more():
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count + 500, before[1]), before[1]))
    system.start(preexec=more)
    held = []
    try:
        for _ in range(count):
            held.append(system.dialogue(ehlo="idle.example"))
        for number in range(20):
            smtp_send(system, "joe@client.example", TO)
        next_hop.wait(20, instance=system)
        held[0].expect("NOOP", 250)
        held[-1].expect("NOOP", 250)
    finally:
        for talk in held:
            talk.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
