# SPDX-License-Identifier: ISC
"""The queue as administrators see and handle it: listing, holding, deleting, requeueing, expiry, broken files."""
import json
import os
import re
import shutil
import time

import pytest

from harness import free_port, smtp_send, wait_until

pytestmark = pytest.mark.sanitize

TO = "user@far.example"


@pytest.fixture
def stuck(instance):
    """An instance whose mail cannot leave; returns it with `count` deferred messages and the port of the next hop."""
    def make(count=1, **main):
        port = free_port()
        system = instance(main={"relayhost": f"[127.0.0.1]:{port}", "minimal_backoff_time": "1000s",
                                "maximal_backoff_time": "1000s", "queue_run_delay": "1000s", **main})
        for number in range(count):
            smtp_send(system, f"joe{number}@client.example", TO, subject=f"message {number}")
        if count:
            system.wait_queued("deferred", count)
            wait_until(lambda: not system.queue_ids("incoming", "active"), 10, "idle queue")
        return system, port
    return make


def test_listing(stuck):
    system, port = stuck(2)
    lines = system.run("postqueue", "-p").stdout.splitlines()
    assert lines[0] == "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------"
    message = re.compile(r"^(\w+) +(\d+) (\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d)  (joe\d@client\.example)$")
    found = [message.match(line) for line in lines if message.match(line)]
    assert len(found) == 2
    assert sorted(match.group(1) for match in found) == system.queue_ids("deferred")
    assert any(line.endswith(f"(connect to 127.0.0.1[127.0.0.1]:{port}: Connection refused)") for line in lines)
    assert lines.count(f"{'':41}{TO}") == 2
    assert re.fullmatch(r"-- \d+ Kbytes in 2 Requests\.", lines[-1])
    assert system.run("sendmail", "-bp").stdout.splitlines()[-1] == lines[-1]


def test_empty_listing(instance):
    system = instance()
    assert system.run("postqueue", "-p").stdout == "Mail queue is empty\n"
    assert system.run("postqueue", "-j").stdout == ""


def test_json_listing(stuck):
    system, port = stuck(1)
    (entry,) = [json.loads(line) for line in system.run("postqueue", "-j").stdout.splitlines()]
    assert entry["queue_name"] == "deferred" and entry["queue_id"] == system.queue_ids("deferred")[0]
    assert entry["sender"] == "joe0@client.example" and entry["forced_expire"] is False
    assert abs(entry["arrival_time"] - time.time()) < 120 and entry["message_size"] > 100
    (recipient,) = entry["recipients"]
    assert recipient["address"] == TO and "Connection refused" in recipient["delay_reason"]


def test_flush_delivers(stuck, sink):
    system, port = stuck(3)
    next_hop = sink(port=port)
    system.run("postqueue", "-f")
    next_hop.wait(3, instance=system)
    system.wait_queue_empty()


def test_flush_of_one_message(stuck, sink):
    system, port = stuck(2)
    chosen = system.queue_ids("deferred")[0]
    next_hop = sink(port=port)
    system.run("postqueue", "-i", chosen)
    next_hop.wait(1, instance=system)
    wait_until(lambda: chosen not in system.queue_ids("deferred", "active", "incoming"), 10, "the message to leave")
    assert len(system.queue_ids("deferred")) == 1


@pytest.mark.root
def test_hold_and_release(stuck, sink):
    system, port = stuck(2)
    chosen, other = system.queue_ids("deferred")
    result = system.run("postsuper", "-h", chosen)
    assert f"postsuper: {chosen}: placed on hold" in result.stderr
    assert "postsuper: Placed on hold: 1 message" in result.stderr
    assert system.queue_ids("hold") == [chosen]
    assert re.search(rf"^{chosen}! ", system.run("postqueue", "-p").stdout, re.MULTILINE)
    next_hop = sink(port=port)
    system.run("postqueue", "-f")
    next_hop.wait(1, instance=system)
    assert system.queue_ids("hold") == [chosen]
    result = system.run("postsuper", "-H", chosen)
    assert f"postsuper: {chosen}: released from hold" in result.stderr
    system.run("postqueue", "-f")
    next_hop.wait(2, instance=system)
    system.wait_queue_empty()


@pytest.mark.root
def test_delete(stuck):
    system, _ = stuck(3)
    chosen = system.queue_ids("deferred")[0]
    result = system.run("postsuper", "-d", chosen)
    assert f"postsuper: {chosen}: removed" in result.stderr and "postsuper: Deleted: 1 message" in result.stderr
    assert chosen not in system.queue_ids()
    assert not [p for p in system.queue_files("defer")["defer"] if p.name == chosen]
    rest = "\n".join(system.queue_ids("deferred")) + "\n"
    assert "Deleted: 2 messages" in system.run("postsuper", "-d", "-", input=rest).stderr
    assert system.run("postqueue", "-p").stdout == "Mail queue is empty\n"


@pytest.mark.root
def test_requeue(stuck, sink):
    system, port = stuck(1)
    (old,) = system.queue_ids("deferred")
    next_hop = sink(port=port)
    result = system.run("postsuper", "-r", old)
    assert f"postsuper: {old}: requeued" in result.stderr and "Requeued: 1 message" in result.stderr
    system.run("postkick", "public", "pickup", "W")
    (message,) = next_hop.wait(1, instance=system)
    assert message.recipients == [TO] and message.sender == "joe0@client.example"
    system.log.wait_for(rf"pickup\[\d+\]: \w+: uid=\d+ from=<joe0@client\.example> orig_id={old}$")
    system.wait_queue_empty()


def test_postcat_shows_envelope_and_content(stuck):
    system, _ = stuck(1)
    (queue_id,) = system.queue_ids("deferred")
    text = system.run("postcat", "-q", queue_id, user=None).stdout
    assert re.search(r"^\*\*\* ENVELOPE RECORDS deferred/(\w/)?" + queue_id + r" \*\*\*$", text, re.MULTILINE)
    for line in ("sender: joe0@client.example", f"recipient: {TO}", "Subject: message 0", "*** MESSAGE CONTENTS ",
                 "*** HEADER EXTRACTED ", "*** MESSAGE FILE END "):
        assert line in text, f"{line} not in {text}"
    assert system.run("postcat", "-bq", queue_id).stdout.strip() == "Hello."
    assert "Hello." not in system.run("postcat", "-hq", queue_id).stdout


def test_retry_comes_by_itself_with_growing_pauses(instance, sink):
    port = free_port()
    system = instance(main={"relayhost": f"[127.0.0.1]:{port}", "minimal_backoff_time": "1s",
                            "maximal_backoff_time": "4s", "queue_run_delay": "1s"})
    smtp_send(system, "joe@client.example", TO)
    system.log.wait_for(r"(?s)(status=deferred.*){3}", timeout=40)
    sink(port=port).wait(1, timeout=30, instance=system)
    system.wait_queue_empty()


def test_expired_mail_is_returned(instance, sink):
    """A message older than maximal_queue_lifetime bounces at its next try."""
    back = sink()
    system = instance(start=False, main={"relayhost": back.nexthop, "minimal_backoff_time": "1s",
                                         "maximal_backoff_time": "1s", "queue_run_delay": "1s",
                                         "maximal_queue_lifetime": "2s"})
    system.main["transport_maps"] = system.table("transport", f"far.example smtp:[127.0.0.1]:{free_port()}\n")
    system.write()
    system.start()
    smtp_send(system, "joe@client.example", TO)
    (bounce,) = back.wait(1, timeout=30, instance=system)
    assert bounce.sender == "" and bounce.recipients == ["joe@client.example"]
    system.log.wait_for(r"\w+: from=<joe@client\.example>, status=expired, returned to sender$")
    assert "Connection refused" in bounce.text
    system.wait_queue_empty()


def test_restart_delivers_what_was_queued(stuck, sink):
    system, port = stuck(5)
    system.stop()
    next_hop = sink(port=port)
    system.set(minimal_backoff_time="1s", maximal_backoff_time="1s", queue_run_delay="1s")
    for path in system.queue_files("deferred")["deferred"]:
        os.utime(path)
    system.start()
    next_hop.wait(5, timeout=30, instance=system)
    system.wait_queue_empty()


GARBAGE = {
    "random": bytes(range(256)) * 40,
    "text": b"this is no queue file\n" * 50,
    "length-overflow": b"T\xff\xff\xff\xff\xff\xff",
    "huge-length": b"C\xff\xff\xff\x7f" + b"x" * 100,
    "no-sender": b"T\x0c1700000000 0M\x00N\x01xX\x00E\x00",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_goes_to_corrupt(instance, sink, name):
    """A queue manager that meets a file it cannot read sets it aside and goes on."""
    next_hop = sink()
    system = instance(start=False, main={"relayhost": next_hop.nexthop})
    path = system.queue_directory / "incoming" / "garbage"
    path.write_bytes(GARBAGE[name])
    queue_id = f"0F00D{path.stat().st_ino:X}"
    path = path.rename(path.with_name(queue_id))
    if system.accounts.is_root:
        os.chown(path, system.accounts.owner_uid, -1)
    path.chmod(0o700)
    system.start()
    wait_until(lambda: system.queue_ids("corrupt") == [queue_id], 20,
               lambda: f"the file in corrupt/: {system.queue_counts()}; {system.log.text()[-3000:]}")
    smtp_send(system, "joe@client.example", TO)
    next_hop.wait(1, instance=system)
    system.wait_queue_empty(queues=("incoming", "active", "deferred"))


def test_truncated_files_are_set_aside_at_every_length(stuck, sink):
    system, port = stuck(1)
    (path,) = system.queue_files("deferred")["deferred"]
    whole = path.read_bytes()
    system.stop()
    next_hop = sink(port=port)
    names = []
    for length in range(1, len(whole) - 1, 37):
        copy = system.queue_directory / "incoming" / f"t{length}"
        copy.write_bytes(whole[:length])
        name = f"{length:05X}{copy.stat().st_ino:X}"
        copy = copy.rename(copy.with_name(name))
        shutil.copystat(path, copy)
        os.chown(copy, path.stat().st_uid, path.stat().st_gid)
        os.utime(copy)
        names.append(name)
    path.unlink()
    system.start()
    wait_until(lambda: not system.queue_ids("incoming", "active"), 30,
               lambda: f"all files handled: {system.queue_counts()}; {system.log.text()[-3000:]}")
    smtp_send(system, "live@client.example", TO)
    wait_until(lambda: any(m.sender == "live@client.example" for m in next_hop.messages), 20, "live mail")
    # Nothing of a damaged message may be delivered as if it were whole.
    assert all(m.sender == "live@client.example" or m.sender == "" for m in next_hop.messages)
    left = set(system.queue_ids())
    assert set(names) <= left, "a damaged file was removed"


def test_files_that_are_not_ready_are_left_alone(instance, sink):
    next_hop = sink()
    system = instance(start=False, main={"relayhost": next_hop.nexthop})
    path = system.queue_directory / "incoming" / "ABCDE12345"
    path.write_bytes(b"half a file")
    path.chmod(0o600)
    system.start()
    smtp_send(system, "joe@client.example", TO)
    next_hop.wait(1, instance=system)
    assert path.exists() and not system.queue_ids("corrupt")


def test_future_files_wait(stuck, sink):
    system, port = stuck(1)
    (path,) = system.queue_files("deferred")["deferred"]
    assert path.stat().st_mtime > time.time() + 500
    next_hop = sink(port=port)
    system.run("postkick", "public", "qmgr", "D")
    time.sleep(1.5)
    assert next_hop.count == 0 and path.exists()


@pytest.mark.root
def test_long_queue_ids(stuck):
    system, _ = stuck(1, enable_long_queue_ids="yes")
    (queue_id,) = system.queue_ids("deferred")
    assert re.fullmatch(r"[0-9BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz]{10,}z[0-9B-Zb-y]+", queue_id)
    assert system.run("postqueue", "-p").stdout.startswith(
        "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n")
    assert f"{queue_id}: removed" in system.run("postsuper", "-d", queue_id).stderr
