# SPDX-License-Identifier: ISC
"""Signed zones on loopback: nsd serves them, unbound validates. SignedDns.is_available() tells whether they are installed.

    with SignedDns(directory, {"example": [...lines...]}, unsigned={"plain.test": [...]}) as dns: dns.address

Lines are in zone-file syntax, names relative to the zone; "tampered" names lines (as they stand) whose data change after signing.
"""
import re
import shutil
import socket
import subprocess
from pathlib import Path

from .waiting import free_port, wait_until

PROGRAMS = ("nsd", "unbound", "ldns-keygen", "ldns-signzone")


def _find(name):
    return shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")


def tlsa_line(owner, data):
    """A line for the data that Leaf.tlsa makes."""
    return f"{owner} IN TLSA {data[0]} {data[1]} {data[2]} {data[3:].hex()}"


class SignedDns:
    @staticmethod
    def is_available():
        return all(_find(program) for program in PROGRAMS)

    def __init__(self, directory, signed, unsigned=None, tampered=()):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.zones = {}
        self.anchors = []
        self.processes = []
        for name, lines in (unsigned or {}).items():
            self.zones[name] = self._write(name, lines)
        for name, lines in signed.items():
            self.zones[name] = self._sign(name, lines, tampered)
        self.server_port, self.port = free_port(), free_port()
        self._write_configuration()

    def _write(self, name, lines):
        path = self.directory / f"{name}.zone"
        head = [f"$ORIGIN {name}.", "$TTL 300", "@ IN SOA ns hostmaster 1 3600 600 86400 300", "@ IN NS ns", "ns IN A 127.0.0.1"]
        path.write_text("\n".join([*head, *lines]) + "\n")
        return path

    def _run(self, *command):
        return subprocess.run([_find(command[0]), *map(str, command[1:])], cwd=self.directory, check=True, capture_output=True,
                              text=True, timeout=60).stdout

    def _sign(self, name, lines, tampered):
        path = self._write(name, lines)
        key = self._run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", f"{name}.").strip()
        self.anchors.append(self.directory / f"{key}.key")
        signed = self.directory / f"{name}.signed"
        self._run("ldns-signzone", "-f", signed, path, key)
        text = signed.read_text()
        for owner in tampered:
            text, count = re.subn(rf"^({re.escape(owner)}\.{re.escape(name)}\.\s+\d+\s+IN\s+TLSA\s.*)$", _flip, text, flags=re.MULTILINE)
            assert count == 1, (owner, count)
        signed.write_text(text)
        return signed

    def _write_configuration(self):
        zones = "".join(f'zone:\n  name: "{name}"\n  zonefile: "{path}"\n' for name, path in self.zones.items())
        (self.directory / "nsd.conf").write_text(
            f'server:\n  ip-address: 127.0.0.1@{self.server_port}\n  username: ""\n  chroot: ""\n  zonesdir: "{self.directory}"\n'
            f'  database: ""\n  pidfile: "{self.directory}/nsd.pid"\n  xfrdfile: "{self.directory}/xfrd.state"\n'
            f'  zonelistfile: "{self.directory}/zone.list"\n  logfile: "{self.directory}/nsd.log"\n'
            f'remote-control:\n  control-enable: no\n{zones}')
        stubs = "".join(f'stub-zone:\n  name: "{name}"\n  stub-addr: 127.0.0.1@{self.server_port}\n' for name in self.zones)
        anchors = "".join(f'  trust-anchor-file: "{path}"\n' for path in self.anchors)
        (self.directory / "unbound.conf").write_text(
            f'server:\n  interface: 127.0.0.1@{self.port}\n  do-daemonize: no\n  chroot: ""\n  username: ""\n'
            f'  directory: "{self.directory}"\n  pidfile: ""\n  use-syslog: no\n  logfile: "{self.directory}/unbound.log"\n'
            f'  do-not-query-localhost: no\n  module-config: "validator iterator"\n  access-control: 127.0.0.0/8 allow\n'
            f'  local-zone: "test." nodefault\n  verbosity: 1\n  num-threads: 1\n{anchors}'
            f'remote-control:\n  control-enable: no\n{stubs}')

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def _start(self, name, *arguments):
        self.processes.append(subprocess.Popen([_find(name), *map(str, arguments)], cwd=self.directory, stdin=subprocess.DEVNULL,
                                               stdout=subprocess.DEVNULL, stderr=open(self.directory / f"{name}.err", "wb")))

    def __enter__(self):
        self._start("nsd", "-d", "-c", self.directory / "nsd.conf")
        self._start("unbound", "-d", "-c", self.directory / "unbound.conf")
        for port in (self.server_port, self.port):
            wait_until(lambda: _listens(port), 20, lambda: "name server: " + "".join(
                path.read_text(errors="replace") for path in self.directory.glob("*.log")))
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def _flip(match):
    """Another last digit."""
    line = match.group(1).rstrip()
    return line[:-1] + ("0" if line[-1] != "0" else "1")


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
