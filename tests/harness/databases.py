# SPDX-License-Identifier: ISC
"""Database servers of the distribution, started on loopback in a directory of their own by an unprivileged account."""
import os
import pwd
import shutil
import signal
import subprocess
from glob import glob
from pathlib import Path

from .accounts import ensure_accounts
from .waiting import free_port, is_listening, wait_until


def find_program(*names):
    """The first of these programs that is installed, or None. PostgreSQL keeps its own out of the path."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", *sorted(glob("/usr/lib/postgresql/*/bin"))])
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


class DatabaseServer:
    """One server: `port`, and stop() and start() for tests of what happens without it."""
    programs = ()

    def __init__(self, directory):
        self.directory = Path(directory)
        self.port = free_port()
        self.process = None
        self.account = ensure_accounts()
        self.directory.mkdir(parents=True)
        os.chmod(self.directory, 0o700)
        if self.account.is_root:
            entry = pwd.getpwnam(self.account.owner)
            os.chown(self.directory, entry.pw_uid, entry.pw_gid)
        self.prepare()
        self.start()
        self.fill()

    @classmethod
    def is_installed(cls):
        return all(find_program(name) for name in cls.programs)

    def _identity(self):
        if not self.account.is_root:
            return {}
        entry = pwd.getpwnam(self.account.owner)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def _env(self):
        return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(self.directory), "LC_ALL": "C"}

    def run(self, name, *arguments, input=None):
        result = subprocess.run([find_program(name), *map(str, arguments)], input=input, text=True, capture_output=True,
                                timeout=120, cwd=self.directory, env=self._env(), **self._identity())
        assert result.returncode == 0, f"{name} {arguments}: {result.stdout}{result.stderr}"
        return result.stdout

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        os.chmod(path, 0o644)
        return path

    def start(self):
        with open(self.directory / "output", "ab") as output:
            self.process = subprocess.Popen([find_program(self.programs[0]), *map(str, self.arguments())], stdin=subprocess.DEVNULL,
                                            stdout=output, stderr=output, cwd=self.directory, env=self._env(), **self._identity())
        wait_until(lambda: is_listening(self.port) or self.process.poll() is not None, 60,
                   lambda: f"{self.programs[0]}: {(self.directory / 'output').read_text(errors='replace')[-2000:]}", 0.05)
        assert self.process.poll() is None, (self.directory / "output").read_text(errors="replace")[-2000:]

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.process = None

    stop_signal = signal.SIGTERM

    def prepare(self):
        pass

    def fill(self):
        pass


class PostgreSQL(DatabaseServer):
    programs = ("postgres", "initdb", "psql")
    stop_signal = signal.SIGINT  # without waiting for clients

    def prepare(self):
        password = self.write("password", "secret\n")
        self.run("initdb", "-D", "data", "-U", "mail", "-A", "scram-sha-256", "--pwfile", password, "-E", "UTF8", "--no-sync")

    def arguments(self):
        return ["-D", self.directory / "data", "-p", self.port, "-k", self.directory, "-c", "listen_addresses=127.0.0.1",
                "-c", "fsync=off", "-c", "max_connections=30", "-c", "shared_buffers=16MB"]

    def execute(self, sql):
        url = f"postgresql://mail:secret@127.0.0.1:{self.port}/postgres"

        def connects():
            try:
                return self.run("psql", "-q", "-v", "ON_ERROR_STOP=1", url, input=sql) is not None
            except AssertionError as problem:
                if "starting up" in str(problem):
                    return False
                raise
        wait_until(connects, 30, "PostgreSQL to take queries", 0.2)


class MariaDB(DatabaseServer):
    programs = ("mariadbd", "mariadb-install-db", "mariadb")

    def prepare(self):
        self.run("mariadb-install-db", "--no-defaults", f"--datadir={self.directory}/data", "--auth-root-authentication-method=normal",
                 "--skip-test-db")

    def arguments(self):
        return ["--no-defaults", f"--datadir={self.directory}/data", f"--socket={self.directory}/socket", f"--port={self.port}",
                "--bind-address=127.0.0.1", f"--pid-file={self.directory}/pid", "--innodb-buffer-pool-size=8M", "--skip-name-resolve",
                "--innodb-flush-log-at-trx-commit=0", f"--tmpdir={self.directory}"]

    def execute(self, sql):
        self.run("mariadb", "--no-defaults", f"--socket={self.directory}/socket", "-u", "root", input=sql)


class OpenLDAP(DatabaseServer):
    programs = ("slapd", "slapadd")
    SUFFIX = "dc=test,dc=example"

    def __init__(self, directory, entries):
        self.entries = entries
        super().__init__(directory)

    def prepare(self):
        (self.directory / "data").mkdir()
        os.chmod(self.directory / "data", 0o700)
        if self.account.is_root:
            shutil.chown(self.directory / "data", self.account.owner)
        schemas = "".join(f"include /etc/ldap/schema/{name}.schema\n" for name in ("core", "cosine", "inetorgperson"))
        self.write("slapd.conf", f"{schemas}modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {self.directory}/pid\n"
                                 f"database mdb\nmaxsize 16777216\nsuffix {self.SUFFIX}\nrootdn cn=admin,{self.SUFFIX}\nrootpw secret\n"
                                 f"directory {self.directory}/data\naccess to * by anonymous auth by * read\n")
        self.run("slapadd", "-f", "slapd.conf", "-l", self.write("entries.ldif", self.entries))

    def arguments(self):
        return ["-f", self.directory / "slapd.conf", "-h", f"ldap://127.0.0.1:{self.port}", "-d", "0"]


class Redis(DatabaseServer):
    programs = ("redis-server", "redis-cli")

    def arguments(self):
        return ["--port", self.port, "--bind", "127.0.0.1", "--save", "", "--requirepass", "secret", "--dir", self.directory]

    def command(self, *words):
        return self.run("redis-cli", "-p", self.port, "-a", "secret", "--no-auth-warning", *words)


class Memcached(DatabaseServer):
    programs = ("memcached",)

    def arguments(self):
        return ["-l", "127.0.0.1", "-p", self.port, "-U", "0", "-m", "8"]
