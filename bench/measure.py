# SPDX-License-Identifier: ISC
"""What a running suite costs: processor time, memory, system calls."""
import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(instance):
    """User and system time of all processes of the suite so far, those that ended (reaped by master) included."""
    total = 0
    for pid in [instance.process.pid, *instance.processes()]:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(int(field) for field in fields[11:15])
    return total / TICKS


def pss_kib(instance):
    """Proportional set size of all processes of the suite: shared pages are counted once."""
    total = 0
    for pid in [instance.process.pid, *instance.processes()]:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
                match = re.search(r"^Pss:\s+(\d+) kB", rollup.read(), re.MULTILINE)
        except OSError:
            continue
        total += int(match.group(1)) if match else 0
    return total


def _pin(instance, processors):
    for pid in [instance.process.pid, *instance.processes()]:
        with contextlib.suppress(OSError):  # ended meanwhile
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), processors)


@contextlib.contextmanager
def apart(instance):
    """The suite has one processor, which it shares with nobody; what is started meanwhile, the client, has the others. So a client that
    costs as much as the suite does not halve the rate of the faster one."""
    every = os.sched_getaffinity(0)
    last = max(every)
    if len(every) < 2:
        raise RuntimeError("one processor cannot be shared out")
    _pin(instance, {last})
    os.sched_setaffinity(0, every - {last})
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)
        _pin(instance, every)


class SystemCalls:
    """Counts the system calls of all processes of a suite, and of those it starts meanwhile, with strace."""

    def __init__(self, instance):
        self.output = tempfile.NamedTemporaryFile("r", prefix="bench-strace-")
        pids = [instance.process.pid, *instance.processes()]
        command = ["strace", "-f", "-c", "-q", "-o", self.output.name]
        for pid in pids:
            command += ["-p", str(pid)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, start_new_session=True)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not all(self._is_traced(pid) for pid in pids):
            time.sleep(0.05)
        if self.process.poll() is not None:
            raise RuntimeError("strace ended: " + self.process.stderr.read().decode())

    @staticmethod
    def _is_traced(pid):
        try:
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
                return not re.search(r"^TracerPid:\s+0$", status.read(), re.MULTILINE)
        except OSError:
            return True

    def finish(self):
        """Ends the tracing; returns {call: count}."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        counts = {}
        for line in self.output.read().splitlines():
            fields = line.split()
            if len(fields) >= 5 and fields[0][0].isdigit() and fields[-1] != "total":
                counts[fields[-1]] = int(fields[3])
        self.output.close()
        return counts
