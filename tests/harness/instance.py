# SPDX-License-Identifier: ISC
"""One running mail system in a directory of its own."""
import grp
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from .accounts import ensure_accounts
from .client import Dialogue
from .flavour import selected_flavour
from .waiting import free_port, is_listening, wait_until

HASHED_QUEUES = ("incoming", "active", "deferred", "hold", "corrupt", "bounce", "defer", "trace", "flush", "saved")
CLOCK_TICK_NS = 20_000_000  # times of directories are those of the last tick
MESSAGE_QUEUES = ("maildrop", "incoming", "active", "deferred", "hold", "corrupt")

# service type private unpriv chroot wakeup maxproc command
STANDARD_ROWS = """
pickup     unix       n - n 60    1 pickup
cleanup    unix       n - n -     0 cleanup
qmgr       unix       n - n 300   1 qmgr
tlsmgr     unix       - - n 1000? 1 tlsmgr
rewrite    unix       - - n -     - trivial-rewrite
bounce     unix       - - n -     0 bounce
defer      unix       - - n -     0 bounce
trace      unix       - - n -     0 bounce
verify     unix       - - n -     1 verify
flush      unix       n - n 1000? 0 flush
proxymap   unix       - - n -     - proxymap
proxywrite unix       - - n -     1 proxymap
smtp       unix       - - n -     - smtp
relay      unix       - - n -     - smtp
showq      unix       n - n -     - showq
error      unix       - - n -     - error
retry      unix       - - n -     - error
discard    unix       - - n -     - discard
local      unix       - n n -     - local
virtual    unix       - n n -     - virtual
lmtp       unix       - - n -     - lmtp
anvil      unix       - - n -     1 anvil
scache     unix       - - n -     1 scache
postlog    unix-dgram n - n -     1 postlogd
"""


SANITIZED = "ASAN_OPTIONS" in os.environ


class LogReader:
    """Reads the file that maillog_file names."""

    def __init__(self, path):
        self.path = Path(path)

    def text(self, start=0):
        try:
            with open(self.path, "rb") as log:
                log.seek(start)
                return log.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def lines(self, start=0):
        return self.text(start).splitlines()

    def mark(self):
        """A position to give as start: only what is logged after it counts."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def find(self, pattern, start=0):
        return re.search(pattern, self.text(start), re.MULTILINE)

    def count(self, pattern, start=0):
        return len(re.findall(pattern, self.text(start), re.MULTILINE))

    def wait_for(self, pattern, timeout=20.0, start=0):
        return wait_until(lambda: self.find(pattern, start), timeout,
                          lambda: f"log line /{pattern}/ in:\n{self.text(start)[-6000:]}")


class Instance:
    """A configuration, a queue and a data directory below `directory`, and the programs of one flavour on them.

    `main` overrides main.cf parameters (None removes one of ours); `rows` are extra master.cf rows, one text each;
    `inet` gives further `-o` options for the SMTP service.
    """

    def __init__(self, directory, main=None, rows=(), flavour=None, standard_rows=STANDARD_ROWS, inet_row=None,
                 user=None, queue_directory=None):
        self.directory = Path(directory)
        self.flavour = flavour or selected_flavour()
        self.accounts = ensure_accounts()
        self.user = user  # run everything as this account (rootless); only root can choose
        self.port = free_port()
        self.config_directory = self.directory / "etc"
        self.queue_directory = Path(queue_directory or self.directory / "queue")
        self.data_directory = self.directory / "data"
        self.mail_directory = self.directory / "mail"
        self.log = LogReader(self.directory / "log" / "mail.log")
        self.main = self._default_main()
        for name, value in (main or {}).items():
            self.main[name] = value
        self.rows = list(rows)
        self.standard_rows = standard_rows
        self.inet_row = inet_row or f"127.0.0.1:{self.port} inet n - n - - smtpd"
        self.environment = {}
        self.process = None
        self._make_directories()
        self.write()

    # Configuration

    @property
    def owner(self):
        return self.user or self.accounts.owner

    @property
    def person(self):
        return self.user or self.accounts.person

    def _default_main(self):
        return {
            "compatibility_level": "3.6",
            "queue_directory": self.queue_directory,
            "data_directory": self.data_directory,
            "command_directory": self._command_directory(),
            "daemon_directory": self.flavour.daemon_directory,
            "mail_owner": self.owner,
            "setgid_group": pwd_group(self.owner) if self.user else self.accounts.drop_group,
            "default_privs": self.person if self.accounts.is_root else self.owner,
            "maillog_file": self.log.path,
            "maillog_file_prefixes": self.directory,
            "myhostname": "mx.test.example",
            "mydomain": "test.example",
            "mydestination": "$myhostname, test.example, localhost",
            "mynetworks": "127.0.0.0/8",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "relayhost": "",
            "alias_maps": "",
            "alias_database": "",
            "biff": "no",
            "local_recipient_maps": "",
            "mail_spool_directory": self.mail_directory,
            "smtp_host_lookup": "dns",
            "smtpd_peername_lookup": "no",
            "smtp_connection_cache_on_demand": "yes",
            **({"import_environment": "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C ASAN_OPTIONS UBSAN_OPTIONS"}
               if SANITIZED else {}),
            **self.flavour.parameters,
        }

    def _command_directory(self):
        """Postfix's sendmail cleans its environment before it runs postdrop, which then misses its libraries when
        they are not installed: a wrapper sets the path again."""
        if not self.flavour.is_postfix:
            return self.flavour.command_directory
        folder = self.directory / "bin"
        folder.mkdir(parents=True, exist_ok=True)
        for program in self.flavour.command_directory.iterdir():
            wrapper = folder / program.name
            wrapper.write_text(f"#!/bin/sh\nLD_LIBRARY_PATH={self.flavour.environment['LD_LIBRARY_PATH']}\n"
                               f"export LD_LIBRARY_PATH\nexec {program} \"$@\"\n", encoding="ascii")
            wrapper.chmod(0o755)
        return folder

    def _make_directories(self):
        owner = pwd.getpwnam(self.owner)
        drop_gid = owner.pw_gid if self.user else self.accounts.drop_gid
        self.directory.mkdir(parents=True, exist_ok=True)
        os.chmod(self.directory, 0o755)
        for path in (self.config_directory, self.queue_directory, self.data_directory, self.mail_directory,
                     self.log.path.parent):
            path.mkdir(parents=True, exist_ok=True)
        os.chmod(self.mail_directory, 0o1777)
        if SANITIZED:  # every daemon writes its report there; one in a chroot sees the same name below the queue directory
            for folder in self._report_folders():
                folder.mkdir(parents=True, exist_ok=True)
                os.chmod(folder, 0o1777)
        self._set_owner(self.data_directory, owner.pw_uid, owner.pw_gid, 0o700)
        if self.user:
            for path in (self.queue_directory, self.log.path.parent, self.config_directory):
                self._set_owner(path, owner.pw_uid, owner.pw_gid, 0o755)
        for name in HASHED_QUEUES + ("private",):
            self._set_owner(self.queue_directory / name, owner.pw_uid, -1, 0o700)
        self._set_owner(self.queue_directory / "maildrop", owner.pw_uid, drop_gid, 0o730)
        self._set_owner(self.queue_directory / "public", owner.pw_uid, drop_gid, 0o710)
        self._set_owner(self.queue_directory / "pid", owner.pw_uid if self.user else -1, -1, 0o755)

    def _set_owner(self, path, uid, gid, mode):
        path.mkdir(exist_ok=True)
        if self.accounts.is_root:
            os.chown(path, uid, gid)
        os.chmod(path, mode)

    def write(self):
        """Writes main.cf and master.cf from what the object holds now."""
        main = "".join(f"{name} = {value}\n" for name, value in self.main.items() if value is not None)
        (self.config_directory / "main.cf").write_text(main, encoding="utf-8")
        rows = "\n".join([self.inet_row, self.standard_rows.strip(), *self.rows])
        (self.config_directory / "master.cf").write_text(rows + "\n", encoding="utf-8")

    def set(self, reload=True, **parameters):
        """Changes main.cf parameters, and reloads when the instance runs."""
        self.main.update(parameters)
        self.write()
        if reload and self.is_running:
            self.reload()

    def file(self, name, text):
        """Writes a file into the configuration directory and returns its path."""
        path = self.config_directory / name
        path.write_text(text, encoding="utf-8")
        return path

    def table(self, name, text, kind="texthash"):
        """A lookup table as a main.cf value; kinds with an index are compiled with postmap."""
        path = self.file(name, text)
        if kind not in ("texthash", "cidr", "inline", "regexp", "pcre"):
            self.run("postmap", f"{kind}:{path}")
        return f"{kind}:{path}"

    def aliases(self, text):
        """An alias database, built with postalias, as a main.cf value."""
        path = self.file("aliases", text)
        self.run("postalias", f"hash:{path}")
        return f"hash:{path}"

    # Running

    def env(self):
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAIL_", "LC_"))}
        environment["MAIL_CONFIG"] = str(self.config_directory)
        environment["LC_ALL"] = "C"
        # The sanitizers' builds: one report file a process, looked at when the instance stops.
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name] + f":log_path={self.directory}/log/sanitizer"
        environment.update(self.flavour.environment)
        environment.update(self.environment)
        return environment

    def _identity(self, user):
        user = user or self.user
        if user is None or not self.accounts.is_root:
            return {}
        entry = pwd.getpwnam(user)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def program(self, name):
        for folder in (self.flavour.command_directory, self.flavour.daemon_directory):
            if (folder / name).exists():
                return folder / name
        return self.flavour.command_directory / name

    def run(self, name, *arguments, input=None, check=True, user=None, timeout=60):
        """Runs one of the suite's commands and returns the completed process with text output."""
        result = subprocess.run([str(self.program(name)), *map(str, arguments)], input=input, env=self.env(),
                                stdin=subprocess.DEVNULL if input is None else None, capture_output=True,
                                timeout=timeout, cwd="/", **self._identity(user),
                                text=not isinstance(input, bytes))
        if check and result.returncode != 0:
            raise AssertionError(f"{name} {arguments} exited {result.returncode}: {result.stdout}{result.stderr}")
        return result

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def start(self, timeout=20.0, wait=True, preexec=None):
        """Starts master in the foreground, as a child whose process id is known."""
        self.stderr_path = self.directory / "log" / "stderr"
        with open(self.stderr_path, "ab") as stderr:
            self.process = subprocess.Popen(
                [str(self.flavour.daemon_directory / "master"), "-c", str(self.config_directory), "-d"],
                env=self.env(), stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, cwd="/",
                start_new_session=True, preexec_fn=preexec, **self._identity(None))
        if wait:
            wait_until(lambda: is_listening(self.port) or not self.is_running, timeout,
                       lambda: f"listener on port {self.port}; {self.trouble()}")
            if not self.is_running:
                raise AssertionError(f"master ended at once; {self.trouble()}")
        return self

    def trouble(self):
        stderr = self.stderr_path.read_text(errors="replace")[-2000:] if self.stderr_path.exists() else ""
        return f"stderr: {stderr}\nlog: {self.log.text()[-4000:]}"

    def stop(self, timeout=20.0):
        """Ends the instance: TERM to master, and after the timeout KILL to what it left."""
        if self.process is None:
            return
        children = self.processes()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        self.process = None
        try:
            wait_until(lambda: not self._alive(children), 5, "daemons to follow master")
        except AssertionError:
            for pid in self._alive(children):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def restart(self):
        self.stop()
        return self.start()

    def reload(self, timeout=10.0):
        mark = self.log.mark()
        self.process.send_signal(signal.SIGHUP)
        self.log.wait_for(r"reload -- version", timeout, mark)

    def kill_master(self):
        """KILL to master alone, as a crash would; the daemons see it and end."""
        children = self.processes()
        self.process.kill()
        self.process.wait(5)
        self.process = None
        return children

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # Processes

    def processes(self):
        """{pid: program name} of master's descendants."""
        if self.process is None:
            return {}
        parents = {}
        names = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as stat:
                    head, tail = stat.read().rsplit(")", 1)
            except OSError:
                continue
            fields = tail.split()
            if fields[0] == "Z":
                continue
            parents[int(entry)] = int(fields[1])
            names[int(entry)] = head.split("(", 1)[1]
        found = {}
        frontier = {self.process.pid}
        while frontier:
            frontier = {pid for pid, parent in parents.items() if parent in frontier and pid not in found}
            found.update({pid: program_name(pid, names[pid]) for pid in frontier})
        return found

    def pids(self, name):
        return [pid for pid, program in self.processes().items() if program == name]

    def _alive(self, pids):
        alive = []
        for pid in pids:
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
                    program = cmdline.read().split(b"\0")[0].decode(errors="replace")
            except OSError:
                continue
            if os.path.basename(program) in _program_names(self.flavour):
                alive.append(pid)
        return alive

    # Queue

    def queue_files(self, *queues):
        """{queue: [paths]} of regular files, hashed directories included."""
        found = {}
        for queue in queues or MESSAGE_QUEUES:
            paths = []
            for folder, _, files in os.walk(self.queue_directory / queue):
                paths += [Path(folder) / name for name in files]
            found[queue] = sorted(paths)
        return found

    def queue_snapshot(self, *queues):
        """As queue_files, of one moment: None when a file came, went or moved while they were listed. Walking the queues one after
        the other misses a file that moves from one that comes later to one that was looked at."""
        def changes():
            return {folder: os.stat(folder).st_mtime_ns for queue in queues or MESSAGE_QUEUES
                    for folder, _, _ in os.walk(self.queue_directory / queue)}
        try:
            before, now = changes(), time.time_ns()
            found = self.queue_files(*queues)
            is_still = changes() == before and all(at < now - CLOCK_TICK_NS for at in before.values())
        except FileNotFoundError:
            return None
        return found if is_still else None

    def is_queue_empty(self, *queues):
        found = self.queue_snapshot(*queues)
        return found is not None and not any(found.values())

    def queue_ids(self, *queues):
        return sorted(path.name for paths in self.queue_files(*queues).values() for path in paths)

    def queue_counts(self):
        return {queue: len(paths) for queue, paths in self.queue_files().items() if paths}

    def wait_queue_empty(self, timeout=30.0, queues=MESSAGE_QUEUES):
        wait_until(lambda: self.is_queue_empty(*queues), timeout,
                   lambda: f"empty queue, has {self.queue_counts()}; log:\n{self.log.text()[-5000:]}", 0.05)

    def wait_queued(self, queue, count=1, timeout=20.0):
        wait_until(lambda: len(self.queue_ids(queue)) >= count, timeout,
                   lambda: f"{count} in {queue}, has {self.queue_counts()}; log:\n{self.log.text()[-5000:]}")
        return self.queue_ids(queue)

    # Mail in and out

    def dialogue(self, **options):
        return Dialogue("127.0.0.1", self.port, **options)

    def maildir_messages(self, path):
        new = Path(path) / "new"
        try:
            return [entry.read_bytes() for entry in sorted(new.iterdir())]
        except FileNotFoundError:
            return []

    def maildir_messages_names(self, path):
        """File names of the new messages, for counting without reading them."""
        try:
            return os.listdir(Path(path) / "new")
        except FileNotFoundError:
            return []

    def wait_maildir(self, path, count=1, timeout=20.0):
        wait_until(lambda: len(self.maildir_messages(path)) >= count, timeout,
                   lambda: f"{count} messages in {path}, has {len(self.maildir_messages(path))}; "
                           f"queue {self.queue_counts()}; log:\n{self.log.text()[-5000:]}")
        return self.maildir_messages(path)

    def remove(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def _report_folders(self):
        folder = self.directory / "log"
        return folder, self.queue_directory / folder.relative_to("/")

    def sanitizer_reports(self):
        """What the sanitizers found; their notes about what they support are left out."""
        texts = [path.read_text(errors="replace") for folder in self._report_folders() for path in folder.glob("sanitizer*")]
        return "".join(text for text in texts if "ERROR: " in text or "runtime error" in text)


def virtual_parameters(base, *users, maildir=True):
    """Parameters that make virt.example a virtual domain with a Maildir (or mbox) below base for each user."""
    person = pwd.getpwnam(ensure_accounts().person)
    entries = ", ".join(f"{user}@virt.example={user}{'/' if maildir else ''}" for user in users)
    return {
        "virtual_mailbox_domains": "virt.example",
        "virtual_mailbox_base": base,
        "virtual_mailbox_maps": "inline:{" + entries + "}",
        "virtual_uid_maps": f"static:{person.pw_uid}",
        "virtual_gid_maps": f"static:{person.pw_gid}",
        "virtual_minimum_uid": "1",
    }


def pwd_group(user):
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


def program_name(pid, fallback):
    """The base name of argv[0]: the kernel's own name for a process is cut at 15 bytes."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
            first = cmdline.read().split(b"\0")[0].decode(errors="replace")
    except OSError:
        return fallback
    return os.path.basename(first) or fallback


def _program_names(flavour):
    try:
        return set(os.listdir(flavour.daemon_directory))
    except OSError:
        return set()
