#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""check_layers.py: includes point only downward, and what is private to a module stays there.

A module may include itself and modules of a lower rank. Daemons and commands are on top and never include each other.
Prints each breach as file:line and exits with status 1 if there is one.
"""
import pathlib
import re
import sys

RANKS = [
    ["lib/base", "conf"],  # conf/ is data: the table of parameters
    ["lib/co"],
    ["lib/net", "lib/sys"],
    ["lib/conf", "lib/mail"],
    ["lib/ipc"],
    ["lib/table"],
    ["lib/route", "lib/sasl", "lib/milter", "lib/tlspolicy"],
    ["lib/agent", "lib/access"],
]
TOP = len(RANKS)
RANK_OF = {module: rank for rank, modules in enumerate(RANKS) for module in modules}

# Narrower than the ranks say: the mail formats do no I/O of their own.
ONLY = {"lib/mail": {"lib/base", "lib/sys"}}

# Headers of the system and of other libraries, and the only modules that may know them.
HOMES = {
    r"event2/|event\.h": ["lib/co"],
    r"ares": ["lib/net"],
    r"lmdb\.h": ["lib/table"],
    r"pcre2": ["lib/table"],
    r"libpq-fe\.h|mysql\.h|sqlite3\.h|ldap\.h|hiredis/|cdb\.h": ["lib/table"],
    r"openssl/(?!evp\.h|crypto\.h|opensslv\.h)": ["lib/net"],
    r"seccomp\.h": ["lib/sys"],
    r"curl/": ["services/mtasts"],
    r"sasl/": ["lib/sasl", "lib/table"],
    r"linux/|sys/(epoll|eventfd|signalfd|timerfd|inotify|prctl|capability)\.h": ["lib/sys", "lib/co"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')
PRIVATE = re.compile(r"_(internal|private|impl)\.h$")


def module_of(path):
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] in ("lib", "services") else parts[0]


def breach(path, bracket, target):
    """What is wrong with this include, or None."""
    module = module_of(path)
    if bracket == "<":
        for pattern, homes in HOMES.items():
            if re.match(pattern, target) and module not in homes + ["tests", "bench"] and not path.endswith("_test.c"):
                return "<%s> belongs to %s" % (target, " and ".join(homes))
        return None
    if "/" not in target:
        return '"%s" has no folder: write the path from the top of the tree' % target
    other = module_of(target)
    if other == module or module in ("tests", "bench"):
        return None
    if PRIVATE.search(target):
        return "%s is private to %s" % (target, other)
    if other not in RANK_OF:
        return "%s is not a library" % other
    if module in ONLY and other not in ONLY[module]:
        return "%s may include %s only" % (module, ", ".join(sorted(ONLY[module])))
    if module.startswith("lib/") and module not in RANK_OF:
        return "%s has no rank: add it to tests/check_layers.py" % module
    if RANK_OF[other] >= RANK_OF.get(module, TOP):
        return "%s does not stand above %s" % (module, other)
    return None


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    breaches = files = 0
    for file in sorted(root.rglob("*.[ch]")):
        path = file.relative_to(root).as_posix()
        if path.startswith(("build", "run/", "bench/scratch", ".")):
            continue
        files += 1
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            found = INCLUDE.match(line)
            wrong = found and breach(path, found[1], found[2])
            if wrong:
                print("%s:%d: %s" % (path, number, wrong))
                breaches += 1
    print("layers: %d files, %d breaches" % (files, breaches))
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
