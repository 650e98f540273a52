#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""compare_access.py: has the same dialogues with Debian's SMTP server and with ours, and prints where they differ.

usage: compare_access.py BIN ROOT [-v] [/N] [CASE...]   BIN: the folder of our programs; ROOT: unpacked Debian packages;
/N: every Nth case; CASE: regular expressions of names

Both servers run with the same main.cf, tables and name server in a network of their own (unshare), where client addresses and
the name server's port can be chosen freely. Compared are all replies and the lines in the log about decisions. The cases are in
data/access_cases.py, what may differ and why in data/access_allowed.txt. The exit status is 77 where there is no unshare.
"""
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from data import access_cases  # noqa: E402
from harness import Dialogue, DnsServer, Instance  # noqa: E402
from harness.flavour import dromos_flavour, postfix_flavour  # noqa: E402

INSIDE = "DROMOS_COMPARE_INSIDE"
ADDRESSES = ("192.0.2.1/32", "192.0.2.10/32", "192.0.2.11/32", "192.0.2.12/32", "192.0.2.13/32", "192.0.2.14/32", "192.0.2.99/32",
             "198.51.100.7/32", "2001:db8::1/128", "2001:db8:0:1::25/128")
VERBS = "reject|reject_warning|hold|discard|filter|redirect|bcc|info|warn|permit|hangup"


def enter_network():
    """Starts this program again in a network and with a resolv.conf of its own."""
    if os.environ.get(INSIDE):
        return
    probe = subprocess.run(["unshare", "-mn", "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        print("no unshare here")
        sys.exit(77)
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", "-mn", sys.executable, *sys.argv])


def prepare_network(folder):
    resolv = folder / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    subprocess.run(["mount", "--bind", resolv, "/etc/resolv.conf"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in ADDRESSES:
        subprocess.run(["ip", "addr", "add", address, "dev", "lo", *(["nodad"] if ":" in address else [])], check=True)
    return DnsServer(access_cases.RECORDS, port=53)


def write_tables(folder):
    for name, text in access_cases.TABLES.items():
        (folder / name).write_text(expand(text, folder))


def expand(text, folder):
    return re.sub(r"@(\w+)@", lambda found: f"texthash:{folder}/{found[1]}", text)


def first_port(flavour):
    return 20000 if flavour.is_postfix else 22000


def make_instance(folder, flavour, cases, tables):
    """One SMTP service for each case: the lists as -o options on a port of its own."""
    rows = []
    for number, case in enumerate(cases):
        options = "".join(f" -o {{ {name} = {expand(value, tables)} }}" for name, value in case.options.items())
        for host in ("192.0.2.1", "[2001:db8::1]") if ":" in case.client else ("192.0.2.1",):
            rows.append(f"{host}:{first_port(flavour) + number} inet n - n - - smtpd{options}")
    main = {name: expand(value, tables) for name, value in access_cases.MAIN.items()}
    main = {**main, "inet_interfaces": "127.0.0.1, 192.0.2.1"}
    return Instance(folder, main=main, rows=rows, flavour=flavour).start(timeout=40)


def talk(instance, number, case, tables):
    """The replies of one dialogue, and what the log says about it."""
    mark = instance.log.mark()
    host = "2001:db8::1" if ":" in case.client else "192.0.2.1"
    replies = []
    try:
        dialogue = Dialogue(host, first_port(instance.flavour) + number, source=case.client)
        replies.append("%d %s" % dialogue.greeting)
        for line in case.lines:
            reply = dialogue.command(line.encode("utf-8") + b"\r\n")
            replies.append("%d" % reply[0] if line[:4] == "EHLO" and reply[0] == 250 else "%d %s" % reply)
        dialogue.socket.close()
    except OSError:
        replies.append("closed")
    log = ""
    try:
        instance.log.wait_for(r"disconnect from|fatal:", 10, mark)
        log = instance.log.text(mark)
    except AssertionError:
        replies.append("no end in the log")
    return [clean(reply, tables) for reply in replies], decisions(log, tables)


def clean(text, tables):
    text = re.sub(r"queued as \w+", "queued as ID", text)
    text = re.sub(r"\]:\d{5}\b", "]:PORT", text)
    return text.replace(str(tables) + "/", "")


def decisions(log, tables):
    found = []
    for line in log.splitlines():
        line = re.sub(r"^.*?smtpd\[\d+\]: ", "", line)
        line = re.sub(r"^(NOQUEUE|[0-9A-F]{8,20}): ", "", line)
        if re.match(rf"({VERBS}): ", line) and "hostname" not in line[:20]:
            found.append(clean(line, tables))
    return found


def read_allowed(path):
    """Rules "case pattern TAB replies|log TAB reason"."""
    rules = []
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            pattern, what, reason = line.split("\t")
            rules.append((re.compile(pattern), what, reason))
    return rules


def is_allowed(rules, name, what):
    return any(pattern.fullmatch(name) and what == rule for pattern, rule, _ in rules)


def stream(instance, cases, tables, results):
    for number, case in enumerate(cases):
        results.append(talk(instance, number, case, tables))


def compare(cases, theirs, ours, is_verbose):
    rules = read_allowed(Path(__file__).parent / "data/access_allowed.txt")
    wrong = explained = 0
    for case, (their_replies, their_log), (our_replies, our_log) in zip(cases, theirs, ours):
        for what, left, right in (("replies", their_replies, our_replies), ("log", their_log, our_log)):
            if left == right:
                if is_verbose:
                    print(f"  same {what} {case.name}: {left}")
                continue
            allowed = is_allowed(rules, case.name, what)
            explained += allowed
            wrong += not allowed
            if is_verbose or not allowed:
                print(f"{'(' if allowed else ''}{what} of {case.name}:")
                for index in range(max(len(left), len(right))):
                    one, other = (side[index] if index < len(side) else "-" for side in (left, right))
                    if one != other:
                        print(f"    theirs {one}\n    ours   {other}")
    print(f"{len(cases)} cases, {explained} explained differences, {wrong} others")
    return wrong


def main():
    arguments = [word for word in sys.argv[1:] if word != "-v"]
    if len(arguments) < 2:
        sys.exit(__doc__)
    enter_network()
    step = [int(word[1:]) for word in arguments[2:] if re.fullmatch(r"/\d+", word)] or [1]
    wanted = [word for word in arguments[2:] if not word.startswith("/")]
    cases = [case for case in access_cases.CASES if not wanted or any(re.search(word, case.name) for word in wanted)][::step[0]]
    with tempfile.TemporaryDirectory(prefix="access-") as name:
        folder = Path(name)
        os.chmod(folder, 0o755)
        tables = folder / "tables"
        tables.mkdir()
        write_tables(tables)
        prepare_network(folder)
        instances, results = [], [[], []]
        try:
            for flavour in (postfix_flavour(arguments[1]), dromos_flavour(arguments[0])):
                instances.append(make_instance(folder / flavour.name, flavour, cases, tables))
            threads = [threading.Thread(target=stream, args=(one, cases, tables, found)) for one, found in zip(instances, results)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            for one in instances:
                one.stop()
        wrong = compare(cases, *results, "-v" in sys.argv)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
