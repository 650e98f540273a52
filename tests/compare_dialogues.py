#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Says the same to Debian's SMTP server and to ours, with the same main.cf, and shows where the answers or the stored messages differ.

    tests/compare_dialogues.py [--show] [-k WORD] POSTFIX_ROOT [FILE...]

POSTFIX_ROOT is the root folder of an unpacked Debian package. A file of dialogues (tests/data/dialogues/*.txt) begins with lines
"% parameter = value"; then dialogues follow:

    case TITLE
    > LINE          sends LINE and CR LF, reads one reply
    >> BYTES        sends BYTES (backslash escapes), reads nothing
    < N             reads N replies
    repeat N LINE   as > LINE, N times
    closed          notes whether the server closes the connection
    connect         closes and opens a new connection
    also            opens a new connection and leaves the others open

LINE knows the same escapes as BYTES. `allowed.tsv` beside the files says what may differ, and why.
"""
import argparse
import codecs
import os
import re
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import Instance, dromos_flavour, postfix_flavour, wait_until  # noqa: E402
from harness.client import Dialogue  # noqa: E402
from harness.comparison import read_allowed  # noqa: E402

FOLDER = Path(__file__).resolve().parent / "data/dialogues"
MAIN = {
    "smtpd_error_sleep_time": "0", "defer_transports": "smtp relay local virtual", "relay_domains": "relay.example",
    "local_recipient_maps": "inline:{user=x, other=x, postmaster=x}", "message_size_limit": "100000",
    "smtpd_recipient_limit": "5", "smtpd_timeout": "20s", "always_add_missing_headers": "no",
    # What newer releases take for granted:
    "smtpd_forbid_bare_newline": "normalize", "smtpd_forbid_bare_newline_exclusions": "", "smtpd_forbid_unauth_pipelining": "yes",
    "smtpd_forbidden_commands": "CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}", "respectful_logging": "yes",
    "smtpd_relay_before_recipient_restrictions": "yes", "smtpd_client_connection_count_limit": "0",
    "smtpd_client_event_limit_exceptions": "",
}


@dataclass
class Case:
    title: str
    steps: list = field(default_factory=list)


@dataclass
class Script:
    name: str
    main: dict
    cases: list


def unescape(text):
    return codecs.decode(text.encode("latin-1", "backslashreplace"), "unicode_escape").encode("latin-1")


def read_script(path):
    main, cases = {}, []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word == "%":
            name, _, value = rest.partition("=")
            main[name.strip()] = value.strip()
        elif word == "case":
            cases.append(Case(rest))
        else:
            cases[-1].steps.append((word, rest))
    return Script(path.stem, main, cases)


class Server:
    """One instance and what it said."""

    def __init__(self, folder, flavour, script):
        self.instance = Instance(folder, flavour=flavour, main={**MAIN, **self._placed(script.main, folder)})

    @staticmethod
    def _placed(main, folder):
        return {name: value.replace("DIR", str(folder / "etc")) for name, value in main.items()}

    def play(self, case):
        said = []
        open_ones = []

        def connect():
            open_ones.append(Dialogue("127.0.0.1", self.instance.port, timeout=8, greet=False))
            said.append(self._reply(open_ones[-1]))

        try:
            connect()
            for word, rest in case.steps:
                if word == "connect":
                    open_ones[-1].close()
                    connect()
                elif word == "also":
                    connect()
                else:
                    self._step(open_ones[-1], word, rest, said)
        finally:
            for one in open_ones:
                one.close()
        return [self._mask(text) for text in said] + self._stored(said)

    def _step(self, talk, word, rest, said):
        count = 1
        if word == "repeat":
            number, _, rest = rest.partition(" ")
            count, word = int(number), ">"
        for _ in range(count):
            if word in (">", ">>"):
                said.append(f"C: {rest}")
                try:
                    talk.send(unescape(rest) + (b"\r\n" if word == ">" else b""))
                except OSError:
                    said.append("CANNOT SEND")
            for _ in range({">": 1, "<": int(rest) if word == "<" else 0}.get(word, 0)):
                said.append(self._reply(talk))
            if word == "closed":
                said.append("CLOSED" if talk.is_closed(1.5) else "OPEN")

    @staticmethod
    def _reply(talk):
        try:
            code, text = talk.reply()
            return f"{code} {text}"
        except ConnectionError:
            return "CLOSED"
        except TimeoutError:
            return "SILENT"
        except ValueError as error:
            return f"GARBAGE {error}"

    @staticmethod
    def _mask(text):
        return re.sub(r"queued as \w+", "queued as ID", text)

    def _stored(self, said):
        result = []
        for reply in said:
            found = re.search(r"queued as (\w+)", reply)
            if found:
                result += self._message(found.group(1))
        return result

    def _message(self, queue_id):
        paths = wait_until(lambda: [path for path in self.instance.queue_files("deferred", "hold", "active", "incoming")
                                    .get("deferred", []) + self.instance.queue_files("hold")["hold"] if path.name == queue_id],
                           20, f"message {queue_id} in the deferred queue")
        return describe(paths[0].read_bytes())


def records(data):
    at = 0
    while at < len(data):
        kind, length, shift = chr(data[at]), 0, 0
        while True:
            at += 1
            length |= (data[at] & 0x7F) << shift
            shift += 7
            if not data[at] & 0x80:
                break
        yield kind, data[at + 1:at + 1 + length].decode("latin-1")
        at += 1 + length


KEPT_ATTRIBUTES = ("encoding", "rewrite_context", "dsn_orig_rcpt", "notify_flags", "envelope_id", "ret_flags")
CLIENT_ATTRIBUTES = ("client_name", "reverse_client_name", "client_address", "helo_name", "protocol_name", "sasl_username",
                     "sasl_method", "sasl_sender")


def describe(data):
    """The envelope and content of a queue file, without what must differ between two systems."""
    lines, content = [], []
    for kind, text in records(data):
        name = text.partition("=")[0]
        if kind == "S":
            lines.append(f"sender <{text}>")
        elif kind == "R":
            lines.append(f"recipient <{text}>")
        elif kind == "A" and (name in KEPT_ATTRIBUTES or name in CLIENT_ATTRIBUTES
                              or (name.startswith("log_") and name[4:] in CLIENT_ATTRIBUTES)):
            lines.append(f"attribute {text}")
        elif kind in "NL" and lines:
            content.append(text + ("\n" if kind == "N" else ""))
    text = "".join(content)
    text = re.sub(r"id \w+(;?)(?=\n)", r"id ID\1", text, count=1)
    text = re.sub(r"\w\w\w, [ \d]\d \w\w\w \d{4} [\d:]{8} [-+]\d{4} \(\w+\)", "DATE", text)
    text = re.sub(r"(?im)^message-id: <\d{14}\.\w+@.*$", "Message-Id: MADE", text)
    return ["stored: " + "; ".join(sorted(lines)), "content: " + repr(text)]


def parts(said):
    """(code, enhanced code, text) of a reply; other entries have a text only."""
    match = re.match(r"(\d{3}) (?:(\d\.\d+\.\d+) )?(.*)", said, re.DOTALL)
    return match.groups() if match else ("", "", said)


def differences(theirs, ours):
    """Names of what differs: code, status, text, stored, content, count."""
    found = set()
    if len(theirs) != len(ours):
        found.add("count")
    for one, other in zip(theirs, ours):
        if one.startswith(("stored: ", "content: ")) or other.startswith(("stored: ", "content: ")):
            if one != other:
                found.add("content" if one.startswith("content: ") else "stored")
            continue
        for what, left, right in zip(("code", "status", "text"), parts(one), parts(other)):
            if what == "text" and one.startswith("250") and "PIPELINING" in one:
                left, right = sorted((left or "").split("\n")), sorted((right or "").split("\n"))
            if left != right:
                found.add(what)
    return found


@dataclass
class Difference:
    case: str
    what: set
    theirs: list
    ours: list


def compare(root, paths, word="", bin_directory=None):
    """Plays every dialogue on both. Returns (number of dialogues, differences without an explanation, explained ones)."""
    rules = read_allowed(FOLDER / "allowed.tsv")
    count, unexplained, explained = 0, [], []
    for path in paths:
        script = read_script(path)
        cases = [case for case in script.cases if word in f"{script.name}: {case.title}"]
        if not cases:
            continue
        with tempfile.TemporaryDirectory(prefix="dromos-", dir=os.environ.get("DROMOS_TEST_TMP", "/tmp")) as folder:
            os.chmod(folder, 0o755)
            debian = Server(Path(folder) / "p", postfix_flavour(root), script)
            ours = Server(Path(folder) / "d", dromos_flavour(bin_directory), script)
            with debian.instance, ours.instance:
                for case in cases:
                    count += 1
                    one = Difference(f"{script.name}: {case.title}", set(), debian.play(case), ours.play(case))
                    one.what = differences(one.theirs, one.ours)
                    allowed = set().union(*(what for pattern, what, _ in rules if pattern.search(one.case)))
                    if one.what - allowed:
                        unexplained.append(one)
                    elif one.what:
                        explained.append(one)
    return count, unexplained, explained


def show(difference):
    """P is what Debian's server said, D what ours did."""
    print(f"--- {difference.case}: {', '.join(sorted(difference.what))}")
    for number in range(max(len(difference.theirs), len(difference.ours))):
        left = difference.theirs[number] if number < len(difference.theirs) else "(nothing)"
        right = difference.ours[number] if number < len(difference.ours) else "(nothing)"
        left, right = left.replace("\n", " | "), right.replace("\n", " | ")
        if left == right:
            print(f"    {left}")
        else:
            print(f"  P {left}\n  D {right}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="also show the explained differences")
    parser.add_argument("-k", default="", metavar="WORD", help="only dialogues whose name contains WORD")
    parser.add_argument("root", type=Path)
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args()
    count, unexplained, explained = compare(options.root, options.files or sorted(FOLDER.glob("*.txt")), options.k)
    for difference in unexplained + (explained if options.show else []):
        show(difference)
    print(f"{count} dialogues, {len(explained)} differ for a known reason, {len(unexplained)} differ without")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
