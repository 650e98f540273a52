# SPDX-License-Identifier: ISC
"""Which programs an instance runs: ours from the build tree, or Debian's Postfix from an unpacked package.

Running the same tests on Postfix shows that a test states what administrators know, not what we happen to do.
The choice: DROMOS_BIN names a folder with our programs (default build/bin); DROMOS_TEST_POSTFIX names the root folder
of an unpacked Debian package and selects Postfix.
"""
import os
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Flavour:
    name: str                 # "dromos" or "postfix"
    command_directory: Path
    daemon_directory: Path
    environment: dict = field(default_factory=dict)  # for every program of the suite
    parameters: dict = field(default_factory=dict)   # main.cf settings that make the programs run where they are

    @property
    def is_postfix(self):
        return self.name == "postfix"

    @property
    def is_usable(self):
        return os.access(self.daemon_directory / "master", os.X_OK)


def dromos_flavour(bin_directory=None):
    path = Path(bin_directory or os.environ.get("DROMOS_BIN") or TOP / "build" / "bin").resolve()
    return Flavour("dromos", path, path)


def postfix_flavour(root):
    root = Path(root).resolve()
    libraries = root / "usr/lib/postfix"
    return Flavour(
        "postfix", root / "usr/sbin", libraries / "sbin",
        {"LD_LIBRARY_PATH": f"{libraries}:{root / 'usr/lib/x86_64-linux-gnu'}"},
        {
            "shlib_directory": str(libraries),
            "meta_directory": str(root / "etc/postfix"),
            "import_environment": "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C LD_LIBRARY_PATH",
        })


def selected_flavour():
    root = os.environ.get("DROMOS_TEST_POSTFIX")
    return postfix_flavour(root) if root else dromos_flavour()
