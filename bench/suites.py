# SPDX-License-Identifier: ISC
"""The two mail systems that are compared, and Debian's package unpacked without installing it."""
import os
import pwd
import resource
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests"))

import restrictions
from harness.debian import add_libraries, download  # noqa: E402
from harness import Instance, dromos_flavour, ensure_accounts, free_port, postfix_flavour  # noqa: E402

SCRATCH = Path(__file__).resolve().parent / "scratch"
LIBRARIES = Path("usr/lib/x86_64-linux-gnu")


def debian_postfix():
    """The root folder of Debian's unpacked postfix package; downloads it, and the libraries it misses, when needed."""
    given = os.environ.get("DROMOS_POSTFIX_ROOT")
    if given:
        return Path(given)
    root = SCRATCH / "postfix-root"
    smtpd = root / "usr/lib/postfix/sbin/smtpd"
    if smtpd.exists():
        return root
    downloads = SCRATCH / "packages"
    print("downloading Debian's postfix package (unpacked into bench/scratch, not installed)", flush=True)
    archive = download("postfix", downloads)
    if archive is None:
        sys.exit("Debian's postfix package cannot be downloaded")
    subprocess.run(["dpkg-deb", "-x", archive, root], check=True, timeout=60)
    add_libraries(root, downloads, smtpd)
    return root


def _more_descriptors():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Suite:
    """One of the two, with its queue in a given folder and its mail going to a given sink port."""

    def __init__(self, name, flavour, folder, sink_port):
        self.name = name
        self.folder = Path(folder)
        self.notes = []  # further figures of the last run
        accounts = ensure_accounts()
        person = pwd.getpwnam(accounts.person)
        self.instance = Instance(self.folder, flavour=flavour, inet_row="", main={
            "relayhost": f"[127.0.0.1]:{sink_port}",
            "virtual_mailbox_domains": "virt.example",
            "virtual_mailbox_base": self.folder / "mail",
            "virtual_mailbox_maps": "static:box/",
            "virtual_uid_maps": f"static:{person.pw_uid}",
            "virtual_gid_maps": f"static:{person.pw_gid}",
            "virtual_minimum_uid": "1",
        })
        # Room for thousands of sessions; every other limit is the default.
        self.instance.inet_row = f"127.0.0.1:{self.instance.port} inet n - n - 6000 smtpd"
        self.refusing_port, self.long_refusing_port = free_port(), free_port()
        self._add_refusing(self.refusing_port, restrictions.SHORT)
        self.instance.write()
        self._add_refusing(self.long_refusing_port, restrictions.long_list(self.instance))
        self.instance.write()

    def _add_refusing(self, port, recipient_restrictions):
        self.instance.rows.append(f"127.0.0.1:{port} inet n - n - 6000 smtpd -o {{ smtpd_recipient_restrictions = {recipient_restrictions} }}")

    def start(self):
        if not self.instance.flavour.is_postfix:
            self.instance.run("postfix", "check")  # as a start by `postfix start` does
        self.instance.start(preexec=_more_descriptors, timeout=60)

    def stop(self):
        self.instance.stop(timeout=60)
        self.instance.remove()


def make_suites(wanted, folder, sink_port):
    """{name: Suite} of those asked for and possible here."""
    suites = {}
    if "postfix" in wanted:
        if os.geteuid() != 0:
            print("Postfix starts only as root: measuring ours alone", flush=True)
        else:
            suites["postfix"] = Suite("postfix", postfix_flavour(debian_postfix()), folder / "postfix", sink_port)
    if "dromos" in wanted:
        suites["dromos"] = Suite("dromos", dromos_flavour(), folder / "dromos", sink_port)
    return suites
