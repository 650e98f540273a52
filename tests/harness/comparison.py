# SPDX-License-Identifier: ISC
"""Runs one command line of Debian's program and of ours on equal files, and says what differs."""
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field


@dataclass
class Outcome:
    status: int
    output: list
    messages: list          # of standard error, without the program's name
    files: dict = field(default_factory=dict)

    def differences(self, other):
        for what in ("status", "output", "messages", "files"):
            if getattr(self, what) != getattr(other, what):
                yield what


def read_cases(path):
    """(line number, first column, arguments) of each line "column | arguments"."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.strip() and not line.startswith("# "):
            column, _, arguments = line.partition(" | ")
            yield number, column.strip(), arguments


def read_allowed(path):
    """Rules "case pattern TAB what TAB reason": what may differ, and why."""
    rules = []
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            pattern, what, reason = line.split("\t")
            assert reason.strip(), line
            rules.append((re.compile(pattern), set(what.split(",")), reason))
    return rules


def run(program, arguments, folder, environment=None, stdin=""):
    command = [str(program), *shlex.split(arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, input=stdin.encode("latin-1"), capture_output=True, timeout=30,
                          check=False)
    lines = []
    for line in done.stderr.decode("latin-1").splitlines():
        line = re.sub(r"^\S*?(postconf|postmap|postalias)(\[\d+\])?: ", "", line)
        lines.append(line.replace(str(folder), "DIR"))
    output = done.stdout.decode("latin-1").replace(str(folder), "DIR")
    return Outcome(done.returncode, output.splitlines(), lines)


def copy_tree(source, target):
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def unexplained(case, debian, ours, rules):
    """The names of what differs without a rule that allows it."""
    allowed = set()
    for pattern, what, _ in rules:
        if pattern.search(case):
            allowed |= what
    return [what for what in debian.differences(ours) if what not in allowed]
