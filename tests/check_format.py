# SPDX-License-Identifier: ISC
"""Layout: every C file is as clang-format leaves it. Its versions differ in small things, so only one of them judges."""
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
VERSION = 14  # Debian 12's


def main():
    said = subprocess.run(["clang-format", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\d+)", said)
    if found is None or int(found[1]) != VERSION:
        print(f"format: not checked: clang-format {VERSION} settles layout, and this is: {said.strip()}")
        return 0
    files = sorted(path for suffix in ("c", "h") for path in TOP.rglob(f"*.{suffix}")
                   if not path.relative_to(TOP).parts[0].startswith("build"))
    result = subprocess.run(["clang-format", "--dry-run", "-Werror", *map(str, files)], capture_output=True, text=True, check=False)
    wrong = sorted({line.split(":")[0] for line in result.stderr.splitlines() if "error:" in line})
    for path in wrong:
        print(f"{Path(path).relative_to(TOP)}: not as clang-format leaves it (clang-format -i)")
    print(f"format: {len(files)} files, {len(wrong)} breaches")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
