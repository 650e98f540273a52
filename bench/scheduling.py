# SPDX-License-Identifier: ISC
"""Workloads of the queue manager: lists, a destination that hangs, a large deferred queue.

Mail enters as finished queue files, so that only scheduling and delivery are measured; both systems read the same ones.
"""
import os
import re
import socket
import statistics
import subprocess
import threading
import time

from suites import Suite, debian_postfix, postfix_flavour  # first: it makes the harness importable
import queue_commands
import spool
from harness import ensure_accounts, is_listening, wait_until
from harness.queue_file import put_queue_file, queue_file_bytes

RUN_TIMEOUT = 900
ALIASES = 50  # destinations of one sink: its port is written with so many leading zeros
HANG_ADDRESS = "127.0.2.1"


class Destinations:
    """Domains d0.dest.example, d1... that are different destinations: a few sinks, reached under many names."""

    def __init__(self, port, count):
        self.port, self.count = port, count
        flavour = postfix_flavour(debian_postfix())
        account = ["-u", ensure_accounts().owner] if os.geteuid() == 0 else []
        self.sinks = []
        for number in range((count + ALIASES - 1) // ALIASES):
            command = [flavour.command_directory / "smtp-sink", *account, f"127.0.1.{number + 1}:{port}", "1024"]
            self.sinks.append(subprocess.Popen(command, env={"PATH": "/usr/bin:/bin", **flavour.environment}, cwd="/",
                                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                               stderr=subprocess.DEVNULL))
        for number in range(len(self.sinks)):
            wait_until(lambda: is_listening(port, f"127.0.1.{number + 1}"), 10, "smtp-sink to listen")

    def transport_map(self):
        lines = [f"d{n}.dest.example smtp:[127.0.1.{n // ALIASES + 1}]:{'0' * (n % ALIASES)}{self.port}"
                 for n in range(self.count)]
        return "\n".join([*lines, f"hang.example smtp:[{HANG_ADDRESS}]:{self.port}"]) + "\n"

    def close(self):
        for sink in self.sinks:
            sink.terminate()
            sink.wait(10)


class Hanging:
    """A host that takes connections and says nothing."""

    def __init__(self, port):
        self.listener = socket.create_server((HANG_ADDRESS, port), backlog=1000)
        self.held = []
        self.thread = threading.Thread(target=self._hold, daemon=True)
        self.thread.start()

    def _hold(self):
        while True:
            try:
                self.held.append(self.listener.accept()[0])
            except OSError:
                return

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)
        for connection in self.held:
            connection.close()


def prepare(suite, destinations):
    """Gives the suite the transport map; it must be running."""
    suite.instance.set(transport_maps=suite.instance.table("destinations", destinations.transport_map()))
    time.sleep(1)


def _kick(instance):
    instance.run("postkick", "public", "qmgr", "I", check=False)  # Postfix's may end by SIGPIPE after its work


def _sent(instance, mark):
    return instance.log.count(r"status=sent", mark)


def _drain(suite, recipients, start, mark):
    """Recipients per second until all have been sent."""
    instance = suite.instance
    wait_until(lambda: not any(instance.queue_ids(queue) for queue in ("incoming", "active")), RUN_TIMEOUT,
               "the queue to drain", 0.01)
    elapsed = time.monotonic() - start
    sent = _sent(instance, mark)
    if sent != recipients:
        raise RuntimeError(f"{suite.name}: {sent} of {recipients} recipients sent; {instance.log.text()[-2000:]}")
    return recipients / elapsed


def list_to_many(suite, destinations, messages):
    """Messages with 50 recipients in 50 domains each."""
    instance = suite.instance
    count = min(50, destinations.count)
    content = queue_file_bytes("from@client.example", [f"to@d{n}.dest.example" for n in range(count)], "x" * 60 + "\n")
    mark = instance.log.mark()
    for _ in range(messages):
        put_queue_file(instance, "incoming", content)
    start = time.monotonic()
    _kick(instance)
    return _drain(suite, messages * count, start, mark)


def list_to_one(suite, destinations, messages, recipients=10000):
    """Messages to so many recipients each, all in one of the domains."""
    instance = suite.instance
    content = queue_file_bytes("from@client.example", [f"to{n}@d{destinations.count - 1}.dest.example" for n in range(recipients)])
    mark = instance.log.mark()
    for _ in range(messages):
        put_queue_file(instance, "incoming", content)
    start = time.monotonic()
    _kick(instance)
    return _drain(suite, messages * recipients, start, mark)


def _delays(instance, mark):
    return [float(delay) for delay in re.findall(r"to=<to@d\d+\.dest\.example>.* delay=([\d.]+), .*status=sent",
                                                 instance.log.text(mark))]


def slowdown_beside_hanging(suite, destinations, hanging_messages, seconds=60, rate=100):
    """How many times as long mail to all destinations takes while so much waits for one that hangs. Two systems get the same
    mail at the same time, one of them has the hanging mail besides: what else the machine does slows both."""
    plain = Suite("plain", suite.instance.flavour, suite.folder.parent / "plain", destinations.port)
    plain.start()
    hanging = Hanging(destinations.port)
    try:
        prepare(plain, destinations)
        for number in range(hanging_messages):
            put_queue_file(suite.instance, "incoming",
                           queue_file_bytes("from@client.example", [f"u{number}@hang.example"]))
        _kick(suite.instance)
        time.sleep(4)
        both = (plain.instance, suite.instance)
        marks = [instance.log.mark() for instance in both]
        _feed(both, destinations, seconds, rate)
        means = [statistics.mean(_delays(instance, mark)) * 1000 for instance, mark in zip(both, marks)]
        suite.notes.append(f"mean delay {means[0]:.1f} ms without, {means[1]:.1f} ms with; "
                           f"{len(hanging.held)} connections hang, {len(suite.instance.queue_ids('active'))} messages active")
        return means[1] / means[0]
    finally:
        plain.stop()
        suite.instance.stop()
        for queue in ("active", "incoming", "deferred"):
            for path in suite.instance.queue_files(queue)[queue]:
                path.unlink(missing_ok=True)
        suite.instance.start(timeout=60)
        hanging.close()


def _feed(instances, destinations, seconds, rate):
    """The same messages to each instance, to one destination after the other, at a steady rate; waits until all are sent."""
    contents = [queue_file_bytes("from@client.example", [f"to@d{n}.dest.example"]) for n in range(destinations.count)]
    marks = [instance.log.mark() for instance in instances]
    start, sent = time.monotonic(), 0
    while time.monotonic() - start < seconds:
        for instance in instances if sent // 10 % 2 else reversed(instances):
            for number in range(sent, sent + 10):
                arrival = b"%d %06d" % divmod(time.time_ns() // 1000, 1000000)
                put_queue_file(instance, "incoming", re.sub(rb"\d{10} \d{6}", arrival, contents[number % len(contents)], count=1))
            _kick(instance)
        sent += 10
        time.sleep(max(0.0, start + sent / rate - time.monotonic()))
    for instance, mark in zip(instances, marks):
        wait_until(lambda i=instance, m=mark: len(_delays(i, m)) == sent, 60,
                   lambda: f"{sent} messages; {instance.log.text()[-2000:]}", 0.2)


def _drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as control:
        control.write("3")


def _delays_of_new(instance, count):
    """Seconds that each of so many new messages takes, one a second."""
    delays = []
    for _ in range(count):
        queue_id = put_queue_file(instance, "incoming", queue_file_bytes("from@client.example", ["new@d0.dest.example"]))
        at, begin = instance.log.mark(), time.monotonic()
        _kick(instance)
        wait_until(lambda: instance.log.find(rf"{queue_id}: to=.*status=sent", at), 60, "a new message", 0.01)
        delays.append(time.monotonic() - begin)
        time.sleep(1)
    return delays


def _peak_memory(instance):
    """MiB that the queue manager has had at most."""
    (pid,) = instance.pids("qmgr")
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1)) / 1024


def start_with_deferred(suite, destinations, count, is_cold=False):
    """Starts with so many deferred messages, all due. Mean seconds that new messages take meanwhile; in the notes, the time
    to the first delivery and the memory of the queue manager. Cold: nothing of the queue, which has defer logs, is in memory at the
    start, nor when postqueue -p lists it."""
    instance = suite.instance
    instance.stop()
    spool.fill(instance.queue_directory, count, instance.accounts.owner_uid, due_in=-9, has_logs=is_cold,
               domains=[f"d{number}.dest.example" for number in range(destinations.count)])
    mark = instance.log.mark()
    if is_cold:
        _drop_caches()
    start = time.monotonic()
    instance.start(timeout=60)
    wait_until(lambda: instance.log.find("status=sent", mark), 120, "the first delivery", 0.02)
    first = time.monotonic() - start
    delays = _delays_of_new(instance, 20)
    suite.notes.append(f"first delivery after {first:.2f} s; queue manager at most {_peak_memory(instance):.0f} MiB; worst new message "
                       f"{max(delays):.2f} s; {_sent(instance, mark)} deferred messages delivered meanwhile")
    if is_cold:
        _drop_caches()
        suite.notes.append(f"postqueue -p: first line after {queue_commands.until_first_line(suite):.2f} s")
    return statistics.mean(delays)
