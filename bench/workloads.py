# SPDX-License-Identifier: ISC
"""The workloads: each takes a suite and gives one figure."""
import os
import socket
import subprocess
import time
from pathlib import Path

from suites import TOP, debian_postfix, postfix_flavour  # first: it makes the harness importable
from measure import apart, SystemCalls, cpu_seconds, pss_kib
from scheduling import Destinations, prepare
from harness import Instance, ensure_accounts, free_port, is_listening, wait_until

RUN_TIMEOUT = 900  # seconds for one run of one workload


class Tools:
    """Debian's smtp-source and smtp-sink, and our bench/sessions."""

    def __init__(self, build):
        self.flavour = postfix_flavour(debian_postfix())
        self.sessions = Path(build) / "bench" / "sessions"
        self.sink_port = free_port()
        self.sink = None
        self.many = None
        self.prepared = set()

    def destinations(self, suite):
        """A thousand destinations, and the suite's transport map for them."""
        self.many = self.many or Destinations(free_port(), 1000)
        if suite.name not in self.prepared:
            self.prepared.add(suite.name)
            prepare(suite, self.many)
        return self.many

    def environment(self):
        return {"PATH": "/usr/bin:/bin", **self.flavour.environment}

    def start_sink(self):
        account = ["-u", ensure_accounts().owner] if os.geteuid() == 0 else []
        command = [self.flavour.command_directory / "smtp-sink", *account, f"127.0.0.1:{self.sink_port}", "1024"]
        self.sink = subprocess.Popen(command, env=self.environment(), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        wait_until(lambda: is_listening(self.sink_port), 10, "smtp-sink to listen")

    def stop_sink(self):
        if self.sink:
            self.sink.terminate()
            self.sink.wait(10)
        if self.many:
            self.many.close()

    def source(self, port, messages, *, sessions=20, size=4096, kept=True, recipient="to@sink.example", recipients=1):
        command = [str(self.flavour.command_directory / "smtp-source"), "-s", str(sessions), "-l", str(size), "-m",
                   str(messages), "-r", str(recipients), "-f", "from@client.example", "-t", recipient,
                   "-M", "client.example", *(["-d"] if kept else []), f"127.0.0.1:{port}"]
        result = subprocess.run(command, env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True,
                                text=True, timeout=RUN_TIMEOUT, check=False)
        if result.returncode != 0:
            raise RuntimeError(f"smtp-source: {result.stderr[-500:]}")


def _has_file(folder):
    """Whether there is a file at or below folder; stops at the first, so that a look at a full queue costs little."""
    try:
        with os.scandir(folder) as entries:
            return any(_has_file(entry.path) if entry.is_dir(follow_symlinks=False) else True for entry in entries)
    except FileNotFoundError:
        return False


def _queue_is_empty(instance):
    # In the direction in which files move, so that none slips by between two looks.
    return not any(_has_file(instance.queue_directory / queue) for queue in ("maildrop", "incoming", "active"))


def relay(tools, suite, messages, **options):
    """Messages per second from the first connection until the last has left the queue; the CPU time per message
    (milliseconds) is remembered in suite.last_cpu."""
    instance = suite.instance
    cpu = cpu_seconds(instance)
    start = time.monotonic()
    tools.source(instance.port, messages, **options)
    wait_until(lambda: _queue_is_empty(instance), RUN_TIMEOUT, "the queue to drain", 0.01)
    elapsed = time.monotonic() - start
    suite.last_cpu = (cpu_seconds(instance) - cpu) / messages * 1000
    deferred = instance.queue_ids("deferred")
    if deferred:
        raise RuntimeError(f"{suite.name}: {len(deferred)} messages deferred; {instance.log.text()[-2000:]}")
    return messages / elapsed


def maildir(tools, suite, messages):
    """Messages per second into one Maildir. What earlier rounds delivered stays until the end: no mail server deletes thousands of files
    just before it delivers as many, and some file systems look at each of those again."""
    mail = suite.folder / "mail"
    rate = relay(tools, suite, messages, recipient="a@virt.example")
    found = len(suite.instance.maildir_messages_names(mail / "box"))
    if found != messages:
        raise RuntimeError(f"{suite.name}: {found} of {messages} messages in the Maildir")
    (mail / "box").rename(mail / f"box.{time.monotonic_ns()}")
    return rate


def connections(tools, suite, count, port=None, mode="rate"):
    result = subprocess.run([tools.sessions, mode, str(port or suite.instance.port), "20", str(count)], capture_output=True,
                            text=True, timeout=RUN_TIMEOUT, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{suite.name}: {result.stderr}")
    return float(result.stdout)


def refusals(tools, suite, count, port):
    """Sessions whose one recipient is refused, at the port that has the wanted restrictions. The rate; suite.notes has the processor time."""
    cpu = cpu_seconds(suite.instance)
    rate = connections(tools, suite, count, port, "refused")
    suite.notes = [f"{(cpu_seconds(suite.instance) - cpu) / count * 1000:.3f} ms of CPU a session"]
    return rate


def refusals_apart(tools, suite, count, port):
    """The same, the suite on a processor of its own."""
    with apart(suite.instance):
        return refusals(tools, suite, count, port)


class Held:
    """So many sessions after EHLO, held open for the duration of a with block."""

    def __init__(self, tools, suite, count):
        self.command = [tools.sessions, "hold", str(suite.instance.port), str(count)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()  # the program gives up by itself after 30 s of silence
        if not line.startswith("held"):
            self.process.wait(10)
            raise RuntimeError("the sessions were not taken")
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(30)


def idle_memory(tools, suite, count):
    """KiB of all processes per session that is idle after EHLO."""
    before = pss_kib(suite.instance)
    with Held(tools, suite, count):
        time.sleep(1)
        after = pss_kib(suite.instance)
    time.sleep(1)
    return (after - before) / count


def relay_among_idle(tools, suite, count, messages):
    with Held(tools, suite, count):
        return relay(tools, suite, messages)


def system_calls(tools, suite, messages):
    calls = SystemCalls(suite.instance)
    try:
        relay(tools, suite, messages, sessions=20)
    finally:
        counts = calls.finish()
    suite.last_calls = counts
    return sum(counts.values()) / messages


def cold_start(tools, suite, count):
    """Milliseconds (the least of `count`) from a connection to the greeting of an SMTP server that is started for it, with a
    main.cf of 1,000 lines more. The kernel's part (fork, exec, shared libraries) is included."""
    running = suite.instance
    extra = {f"site_parameter_{i}": f"value {i} of $myhostname and $mydomain" for i in range(1000)}
    one = Instance(suite.folder / "cold", flavour=running.flavour, main=extra, inet_row="")
    one.inet_row = f"127.0.0.1:{one.port} inet n - n - 1 smtpd\n  -o max_use=1 -o smtpd_peername_lookup=no"
    one.write()
    one.start()
    times = []
    try:
        for _ in range(count):
            begin = time.monotonic()
            with socket.create_connection(("127.0.0.1", one.port), 10) as client:
                if not client.recv(100).startswith(b"220"):
                    raise RuntimeError(f"{suite.name}: no greeting")
                times.append((time.monotonic() - begin) * 1000)
                client.sendall(b"QUIT\r\n")
                client.recv(100)
            time.sleep(0.05)
    finally:
        one.stop()
        one.remove()
    return min(times)


def build_directory():
    return TOP / "build"
