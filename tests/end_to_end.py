# SPDX-License-Identifier: ISC
"""end_to_end.py [pytest option ...]: runs the end-to-end tests, several files side by side, then those marked `alone` one after
the other, and ends with one closing line for both. PYTEST_WORKERS sets how many run side by side (default: one more than
processors, as most tests wait most of the time)."""
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from harness import ensure_accounts

TESTS = Path(__file__).resolve().parent
KINDS = ("failed", "passed", "skipped", "error")
NOTHING_COLLECTED = 5


def run(options, counts):
    """Shows what pytest prints as it comes, adds the counts of its closing line, and returns its status."""
    command = [sys.executable, "-m", "pytest", "-q", *options, str(TESTS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        last = ""
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line if re.search(r" in \d+\.\d+s", line) else last
        status = process.wait()
    for number, kind in re.findall(r"(\d+) (failed|passed|skipped|error)", last):
        counts[kind] += int(number)
    return 0 if status == NOTHING_COLLECTED else status


def main(options):
    marks = [options[options.index("-m") + 1]] if "-m" in options else []
    if marks:
        at = options.index("-m")
        options = options[:at] + options[at + 2:]
    workers = os.environ.get("PYTEST_WORKERS") or str((os.cpu_count() or 1) + 1)
    counts = dict.fromkeys(KINDS, 0)
    ensure_accounts()  # before several want to
    begun = time.monotonic()
    side_by_side = run(["-n", workers, "--dist", "loadfile", "-m", " and ".join([*marks, "not alone"]), *options], counts)
    alone = run(["-m", " and ".join([*marks, "alone"]), *options], counts)
    texts = [f"{counts[kind]} {kind}" for kind in KINDS if counts[kind] > 0]
    print(f"==== {', '.join(texts) or 'no tests ran'} in {time.monotonic() - begun:.2f}s ====")
    return side_by_side or alone


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
