# SPDX-License-Identifier: ISC
"""Runs Debian's Postfix and ours in turn on loopback with the same configuration, and prints both and the ratio.

    bench.py [--quick] [--only NAME[,NAME]] [--suite postfix|dromos] [--rounds N] [--json FILE]

Figures are the median of the rounds; the two systems alternate within a round, with pauses, because many virtual
disks are throttled after a burst. Nothing is installed; all is below bench/scratch and, for the queue in RAM, /dev/shm.
"""
import argparse
import json
import os
import shutil
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import queue_commands  # noqa: E402
import scheduling  # noqa: E402
import tls  # noqa: E402
import workloads  # noqa: E402
from suites import SCRATCH, make_suites  # noqa: E402


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    unit: str
    run: object          # function of (tools, suite, count)
    count: int           # messages or sessions of a full run
    quick: int           # the same for --quick; 0 leaves it out
    more_is_better: bool = True
    queues: tuple = ("disk", "ram")
    counts: tuple = ()   # (suite, count) where one suite is measured with another number
    rounds: int = 0      # 0: as asked for
    suites: tuple = ("postfix", "dromos")


def _relay(**options):
    return lambda tools, suite, count: workloads.relay(tools, suite, count, **options)


def _cpu(tools, suite, count):
    workloads.relay(tools, suite, count)
    return suite.last_cpu


WORKLOADS = (
    Workload("relay-kept", "relay, 20 kept sessions, 4 KiB", "messages/s", _relay(), 8000, 1500),
    Workload("relay-connect", "relay, a connection per message, 4 KiB", "messages/s", _relay(kept=False), 8000, 1500),
    Workload("relay-one", "relay, one session, 4 KiB", "messages/s", _relay(sessions=1), 2000, 300),
    Workload("relay-1mib", "relay, 1 MiB messages, 5 sessions", "messages/s", _relay(sessions=5, size=1048576), 300, 60),
    Workload("relay-50rcpt", "relay, 50 recipients, 4 KiB", "messages/s", _relay(recipients=50), 1500, 200),
    Workload("maildir", "Maildir delivery, 20 sessions, 4 KiB", "messages/s",
             lambda t, s, n: workloads.maildir(t, s, n), 6000, 1000),
    Workload("connections", "connect, EHLO, QUIT; 20 at once", "connections/s",
             lambda t, s, n: workloads.connections(t, s, n), 20000, 4000, queues=("ram",)),
    Workload("refused", "connect, EHLO, MAIL, a refused RCPT (9 restrictions), QUIT; 20 at once", "sessions/s",
             lambda t, s, n: workloads.refusals(t, s, n, s.refusing_port), 20000, 4000, queues=("ram",)),
    Workload("refused-apart", "the same, the suite on a processor of its own", "sessions/s",
             lambda t, s, n: workloads.refusals_apart(t, s, n, s.refusing_port), 20000, 4000, queues=("ram",)),
    Workload("refused-long", "the same after 46 restrictions with tables", "sessions/s",
             lambda t, s, n: workloads.refusals(t, s, n, s.long_refusing_port), 10000, 2000, queues=("ram",)),
    Workload("refused-long-apart", "the same, the suite on a processor of its own", "sessions/s",
             lambda t, s, n: workloads.refusals_apart(t, s, n, s.long_refusing_port), 10000, 2000, queues=("ram",)),
    Workload("cpu", "CPU per relayed message", "ms", _cpu, 8000, 1500, more_is_better=False, queues=("ram",)),
    Workload("syscalls", "system calls per relayed message", "calls",
             lambda t, s, n: workloads.system_calls(t, s, n), 1000, 300, more_is_better=False, queues=("ram",), rounds=1),
    Workload("memory", "memory per idle session after EHLO", "KiB",
             lambda t, s, n: workloads.idle_memory(t, s, n), 200, 100, more_is_better=False, queues=("ram",),
             counts=(("dromos", 5000),), rounds=1),
    Workload("cold-start", "SMTP server started for a connection, main.cf of 1,000 lines", "ms",
             lambda t, s, n: workloads.cold_start(t, s, n), 20, 10, more_is_better=False, queues=("ram",), rounds=1),
    Workload("relay-idle", "relay among idle sessions (200; ours 5,000)", "messages/s",
             lambda t, s, n: workloads.relay_among_idle(t, s, n, 3000), 200, 0, queues=("ram",),
             counts=(("dromos", 5000),), rounds=1),
    Workload("list-domains", "50 recipients in 50 domains a message", "recipients/s",
             lambda t, s, n: scheduling.list_to_many(s, t.destinations(s), n), 200, 50, queues=("ram",)),
    Workload("list-one", "10,000 recipients in one domain a message", "recipients/s",
             lambda t, s, n: scheduling.list_to_one(s, t.destinations(s), n), 5, 1, queues=("ram",)),
    Workload("hang", "delay of mail to 1,000 destinations beside one that hangs", "of that without",
             lambda t, s, n: scheduling.slowdown_beside_hanging(s, t.destinations(s), n), 3000, 0, queues=("ram",),
             more_is_better=False, rounds=1, suites=("dromos",)),
    Workload("tls-full", "new TLS sessions (RSA 2048), full handshakes, 20 at once", "sessions/s",
             lambda t, s, n: tls.sessions(s, n, "full"), 3000, 600, queues=("ram",)),
    Workload("tls-resumed", "new TLS sessions, resumed, 20 at once", "sessions/s",
             lambda t, s, n: tls.sessions(s, n, "resumed"), 6000, 1000, queues=("ram",)),
    Workload("tls-resumed-apart", "the same, the suite on a processor of its own", "sessions/s",
             lambda t, s, n: tls.sessions_apart(s, n, "resumed"), 6000, 1000, queues=("ram",)),
    Workload("tls-full-cpu", "CPU per new TLS session, full handshake", "ms",
             lambda t, s, n: tls.session_cpu(s, n, "full"), 3000, 600, queues=("ram",), more_is_better=False),
    Workload("tls-resumed-cpu", "CPU per new TLS session, resumed", "ms",
             lambda t, s, n: tls.session_cpu(s, n, "resumed"), 6000, 1000, queues=("ram",), more_is_better=False),
    Workload("tls-memory", "memory per idle TLS session", "KiB", lambda t, s, n: tls.idle_memory(s, n), 100, 50,
             more_is_better=False, queues=("ram",), counts=(("dromos", 2000),), rounds=1),
    Workload("tls-relay", "relay with TLS on both sides, 20 kept sessions, 4 KiB", "messages/s",
             lambda t, s, n: tls.relay(s, n), 4000, 600),
    Workload("million", "one million deferred, all due: new message, mean", "s",
             lambda t, s, n: scheduling.start_with_deferred(s, t.destinations(s), n), 1000000, 0, queues=("ram",),
             more_is_better=False, rounds=1, suites=("dromos",)),
    Workload("million-cold", "the same, none of it in memory at the start", "s",
             lambda t, s, n: scheduling.start_with_deferred(s, t.destinations(s), n, is_cold=True), 1000000, 0, queues=("disk",),
             more_is_better=False, rounds=1, suites=("dromos",)),
    Workload("queue-list", "postqueue -p of a full queue", "s", lambda t, s, n: queue_commands.listing(s, n, "-p"), 20000, 3000,
             more_is_better=False),
    Workload("queue-json", "postqueue -j of a full queue", "s", lambda t, s, n: queue_commands.listing(s, n, "-j"), 20000, 3000,
             more_is_better=False),
    Workload("queue-first", "postqueue -p, until the first line", "s", lambda t, s, n: queue_commands.first_line(s, n), 20000, 3000,
             more_is_better=False),
    Workload("queue-hold", "postsuper -h ALL", "s", lambda t, s, n: queue_commands.hold(s, n), 20000, 3000, more_is_better=False),
    Workload("queue-release", "postsuper -H ALL", "s", lambda t, s, n: queue_commands.release(s, n), 20000, 3000,
             more_is_better=False),
    Workload("queue-delete", "postsuper -d ALL", "s", lambda t, s, n: queue_commands.delete(s, n), 20000, 3000,
             more_is_better=False),
)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round, about a minute")
    parser.add_argument("--only", default="", help="names of workloads: " + ", ".join(w.name for w in WORKLOADS))
    parser.add_argument("--suite", choices=("postfix", "dromos"), help="measure one of the two")
    parser.add_argument("--queue", choices=("disk", "ram"), help="one place for the queue")
    parser.add_argument("--disk", metavar="FOLDER", help="measure 'disk' there: another file system than this folder's")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pause", type=float, default=4.0, help="seconds between runs on the disk")
    parser.add_argument("--json", help="write all figures of all runs to this file")
    parser.add_argument("--calls", action="store_true", help="list the system calls, most frequent first")
    arguments = parser.parse_args()
    names = {w.name for w in WORKLOADS}
    arguments.only = [name for name in arguments.only.split(",") if name]
    unknown = [name for name in arguments.only if name not in names]
    if unknown:
        parser.error(f"no workload {unknown[0]}; there are {', '.join(sorted(names))}")
    if arguments.quick:
        arguments.rounds, arguments.pause = 1, 0.5
    return arguments


def show(line):
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def run_workload(arguments, tools, suites, queue, workload, results):
    rounds = workload.rounds or arguments.rounds
    for number in range(rounds):
        for name, suite in suites.items():
            if name not in workload.suites:
                continue
            count = workload.quick if arguments.quick else dict(workload.counts).get(name, workload.count)
            time.sleep(arguments.pause if queue == "disk" else 0.5)
            try:
                figure = workload.run(tools, suite, count)
            except (RuntimeError, AssertionError) as error:
                show(f"{workload.name:14} {queue:4} {name:8} FAILED: {error}")
                continue
            results.setdefault((workload.name, queue), {}).setdefault(name, []).append(figure)
            show(f"{workload.name:14} {queue:4} {name:8} {figure:10.2f} {workload.unit} ({number + 1}/{rounds})")
            for line in suite.notes:
                show(f"    {line}")
            suite.notes.clear()
            if arguments.calls and workload.name == "syscalls":
                for call, times in sorted(suite.last_calls.items(), key=lambda item: -item[1])[:25]:
                    show(f"    {call:20} {times / count:8.2f}")


def run_queue(arguments, queue, folder, chosen, results):
    tools = workloads.Tools(workloads.build_directory())
    wanted = [arguments.suite] if arguments.suite else ["postfix", "dromos"]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.chmod(folder, 0o755)
    suites = make_suites(wanted, folder, tools.sink_port)
    tools.start_sink()
    try:
        for suite in suites.values():
            suite.start()
            workloads.relay(tools, suite, 200)
        for workload in chosen:
            if queue in workload.queues:
                run_workload(arguments, tools, suites, queue, workload, results)
    finally:
        for suite in suites.values():
            suite.stop()
        tools.stop_sink()
        shutil.rmtree(folder, ignore_errors=True)


def table(chosen, results):
    lines = ["| workload | queue | unit | Postfix | Dromos | ratio |", "|---|---|---|---:|---:|---:|"]
    for workload in chosen:
        for queue in workload.queues:
            figures = results.get((workload.name, queue))
            if not figures:
                continue
            middle = {name: statistics.median(values) for name, values in figures.items()}
            theirs, ours = middle.get("postfix"), middle.get("dromos")
            ratio = ""
            if theirs and ours:
                ratio = f"{ours / theirs:.1f}" if workload.more_is_better else f"1/{theirs / ours:.1f}"
            cells = [f"{value:.2f}" if value is not None and value < 10 else f"{value:.0f}" if value is not None else ""
                     for value in (theirs, ours)]
            lines.append(f"| {workload.title} | {queue} | {workload.unit} | {cells[0]} | {cells[1]} | {ratio} |")
    return "\n".join(lines)


def main():
    arguments = parse_arguments()
    chosen = [w for w in WORKLOADS if not arguments.only or w.name in arguments.only]
    if arguments.quick:
        chosen = [w for w in chosen if w.quick]
    places = {"disk": Path(arguments.disk) / "dromos-bench" if arguments.disk else SCRATCH / "run", "ram": Path("/dev/shm/dromos-bench")}
    queues = [arguments.queue] if arguments.queue else ["ram"] if arguments.quick else ["disk", "ram"]
    results = {}
    for queue in queues:
        if any(queue in w.queues for w in chosen):
            run_queue(arguments, queue, places[queue], chosen, results)
    print(table(chosen, results))
    if arguments.json:
        plain = {f"{name}/{queue}": figures for (name, queue), figures in results.items()}
        Path(arguments.json).write_text(json.dumps(plain, indent=1), encoding="utf-8")
    return 0 if results else 1


if __name__ == "__main__":
    sys.exit(main())
