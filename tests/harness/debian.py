# SPDX-License-Identifier: ISC
"""Debian's Postfix commands for comparisons: downloaded and unpacked, never installed.

DROMOS_COMPARE_POSTFIX names the root folder of an unpacked package and saves the download.
"""
import contextlib
import fcntl
import os
import re
import subprocess
import tempfile
from pathlib import Path

PACKAGES = ("postfix", "postfix-lmdb", "postfix-pcre", "postfix-cdb", "postfix-sqlite")


class DebianCommands:
    def __init__(self, root):
        self.commands = Path(root) / "usr/sbin"
        self.libraries = Path(root) / "usr/lib/postfix"

    def environment(self):
        more = Path(self.commands).parents[1] / "usr/lib/x86_64-linux-gnu"
        return {**os.environ, "LD_LIBRARY_PATH": f"{self.libraries}:{more}", "LC_ALL": "C"}


@contextlib.contextmanager
def _one_at_a_time():
    """apt-get's own locks make a second one fail instead of waiting."""
    with open(Path(tempfile.gettempdir()) / "dromos-download.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def download(package, folder):
    """The package's archive, or None where it cannot be had."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    with _one_at_a_time():
        return _download(package, folder)


def _download(package, folder):
    command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package]
    for refresh in (["apt-get", "-q", "update"], None):
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=False)
        found = sorted(Path(folder).glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime)
        if done.returncode == 0 and found:
            return found[-1]
        if refresh and os.geteuid() == 0:  # the lists may be absent or old
            subprocess.run(refresh, capture_output=True, timeout=300, check=False)
    return None


def unpack(packages, folder):
    """The root folder of the unpacked packages, or None where one cannot be had."""
    root = Path(folder) / "root"
    for package in packages:
        archive = download(package, folder)
        if archive is None:
            return None
        subprocess.run(["dpkg-deb", "-x", archive, root], check=True, timeout=60)
    return root


def add_libraries(root, folder, program):
    """Unpacks the libraries that the postfix package depends on and this machine has not."""
    found = DebianCommands(root)
    linked = subprocess.run(["ldd", program], env=found.environment(), capture_output=True, text=True, timeout=60, check=False)
    if "not found" not in linked.stdout:
        return
    depends = subprocess.run(["apt-cache", "depends", "postfix"], capture_output=True, text=True, timeout=60, check=False).stdout
    for package in re.findall(r"Depends: (lib[\w.+-]+)", depends):
        archive = None if package == "libc6" else download(package, folder)
        if archive:
            subprocess.run(["dpkg-deb", "-x", archive, root], check=True, timeout=60)


def debian_commands(folder):
    """The commands, or None where the packages cannot be had."""
    known = os.environ.get("DROMOS_COMPARE_POSTFIX")
    root = Path(known) if known else unpack(PACKAGES, folder)
    if root is None:
        return None
    found = DebianCommands(root)
    if not known:
        add_libraries(root, folder, found.libraries / "sbin" / "smtpd")
    try:
        probe = subprocess.run([found.commands / "postconf", "-l"], env=found.environment(), capture_output=True,
                               timeout=20, check=False)
    except OSError:
        return None
    return found if probe.returncode == 0 else None
