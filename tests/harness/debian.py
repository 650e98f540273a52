# SPDX-License-Identifier: ISC
"""Debian's Postfix commands for comparisons: downloaded and unpacked, never installed.

DROMOS_COMPARE_POSTFIX names the root folder of an unpacked package and saves the download.
"""
import os
import subprocess
from pathlib import Path

PACKAGES = ("postfix", "postfix-lmdb", "postfix-pcre", "postfix-cdb", "postfix-sqlite")


class DebianCommands:
    def __init__(self, root):
        self.commands = Path(root) / "usr/sbin"
        self.libraries = Path(root) / "usr/lib/postfix"

    def environment(self):
        return {**os.environ, "LD_LIBRARY_PATH": str(self.libraries), "LC_ALL": "C"}


def _download(package, folder):
    command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    found = sorted(Path(folder).glob(f"{package}_*.deb"))
    return found[0] if done.returncode == 0 and found else None


def debian_commands(folder):
    """The commands, or None where the packages cannot be had."""
    known = os.environ.get("DROMOS_COMPARE_POSTFIX")
    root = Path(known) if known else Path(folder) / "root"
    for package in () if known else PACKAGES:
        archive = _download(package, folder)
        if archive is None:
            return None
        subprocess.run(["dpkg-deb", "-x", archive, root], check=True, timeout=60)
    found = DebianCommands(root)
    try:
        probe = subprocess.run([found.commands / "postconf", "-l"], env=found.environment(), capture_output=True,
                               timeout=20, check=False)
    except OSError:
        return None
    return found if probe.returncode == 0 else None
