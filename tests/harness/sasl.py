# SPDX-License-Identifier: ISC
"""What logs in, and what checks logins: Cyrus's files, saslauthd, Dovecot's authentication service, and fakes of both sides."""
import base64
import hashlib
import hmac
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from .waiting import wait_until

REALM = "test.example"


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def plain(user, password, authzid=""):
    """The initial response of AUTH PLAIN."""
    return b64(f"{authzid}\0{user}\0{password}")


class CyrusFiles:
    """smtpd.conf and a sasldb in a folder of their own; .main are the main.cf parameters that lead there."""

    def __init__(self, folder, users=(("fred", "secret"),), database=None, **options):
        self.folder = Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.database = Path(database or self.folder / "sasldb")
        for user, password in users:
            self.add(user, password)
        self.configure(pwcheck_method="auxprop", auxprop_plugin="sasldb", sasldb_path=self.database, **options)
        self.main = {"smtpd_sasl_auth_enable": "yes", "cyrus_sasl_config_path": self.folder, "smtpd_sasl_local_domain": REALM}

    def add(self, user, password):
        subprocess.run(["saslpasswd2", "-p", "-c", "-f", str(self.database), "-u", REALM, user], input=password.encode(), check=True,
                       timeout=20)
        os.chmod(self.database, 0o644)

    def configure(self, **options):
        text = "".join(f"{name}: {value}\n" for name, value in options.items())
        (self.folder / "smtpd.conf").write_text(text, encoding="utf-8")


class Program:
    """A server in the foreground whose process id is known; ends with everything it started (its process group)."""

    def __init__(self, command, ready, log, **options):
        self.log = Path(log)
        with open(log, "ab") as output:
            self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            start_new_session=True, **options)
        wait_until(lambda: ready() or self.process.poll() is not None, 20, lambda: f"{command}: {self.log.read_text(errors='replace')}")
        assert self.process.poll() is None, f"{command} ended: {self.log.read_text(errors='replace')}"

    def signal(self, number):
        os.killpg(self.process.pid, number)

    def close(self):
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGKILL)
                self.process.wait(5)


def _accepts(path):
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
            return True
        except OSError:
            return False


def saslauthd(folder, mechanism, *options, before=()):
    """saslauthd -a mechanism with its socket in folder; `before` is a command that runs it."""
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    command = [*before, shutil.which("saslauthd") or "/usr/sbin/saslauthd", "-a", mechanism, "-m", folder, "-n", "5", "-d", *options]
    return Program(command, lambda: _accepts(folder / "mux"), folder / "log")


DOVECOT_CONF = """
base_dir = {folder}/run
log_path = {folder}/log
info_log_path = {folder}/log
auth_verbose = yes
protocols =
ssl = no
default_internal_user = {user}
default_login_user = {user}
default_internal_group = {group}
auth_mechanisms = {mechanisms}
auth_failure_delay = 0
disable_plaintext_auth = no
{passdb}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service auth {{
  unix_listener {socket} {{
    mode = 0666
  }}
  {listeners}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""

PASSWORDS = "passdb {{\n driver = passwd-file\n args = scheme=PLAIN username_format=%n {folder}/users\n}}"
CERTIFICATES = "auth_ssl_username_from_cert = yes\npassdb {{\n driver = static\n args = nopassword=y\n}}"


class Dovecot:
    """Dovecot with nothing but its authentication service, listening on `socket`."""

    def __init__(self, folder, socket_path, user, group, users=(("fred", "secret"),), port=None,
                 mechanisms="plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256 external anonymous",
                 trusts_certificates=False):
        self.folder = Path(folder)
        self.folder.mkdir(exist_ok=True)
        os.chmod(self.folder, 0o755)
        self.socket = Path(socket_path)
        text = "".join(f"{name}:{{PLAIN}}{password}::::::\n" for name, password in users)
        (self.folder / "users").write_text(text, encoding="utf-8")
        os.chmod(self.folder / "users", 0o644)
        listeners = f"inet_listener {{\n address = 127.0.0.1\n port = {port}\n }}" if port else ""
        passdb = (CERTIFICATES if trusts_certificates else PASSWORDS).format(folder=self.folder)
        (self.folder / "dovecot.conf").write_text(DOVECOT_CONF.format(passdb=passdb, folder=self.folder, socket=self.socket, user=user, group=group,
                                                                      mechanisms=mechanisms, listeners=listeners), encoding="utf-8")
        self.program = None
        self.start()

    def start(self):
        command = [shutil.which("dovecot") or "/usr/sbin/dovecot", "-F", "-c", self.folder / "dovecot.conf"]
        self.program = Program(command, lambda: _accepts(self.socket), self.folder / "out")

    def close(self):
        self.program.close()


class FakeAuthServer:
    """Speaks Dovecot's authentication protocol as its `answer` says: a function of the request's fields (a list of strings)
    that returns a line without its end, None for silence, or Exception to close the connection."""

    GREETING = ("VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nMECH\tCRAM-MD5\tdictionary\tactive\n"
                "MECH\tANONYMOUS\tanonymous\nSPID\t1\nCUID\t1\nCOOKIE\t00ff\nDONE\n")

    def __init__(self, path, answer=None, greeting=GREETING):
        self.answer = answer or (lambda fields: f"OK\t{fields[1]}\tuser=fred")
        self.greeting = greeting
        self.requests = []
        self.connections = 0
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        os.chmod(path, 0o666)
        self.socket.listen(50)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, connection.makefile("rwb", buffering=0) as stream:
            try:
                stream.write(self.greeting.encode())
                for line in stream:
                    fields = line.decode().rstrip("\n").split("\t")
                    self.requests.append(fields)
                    if fields[0] not in ("AUTH", "CONT"):
                        continue
                    answer = self.answer(fields)
                    if answer is Exception:
                        return
                    if answer is not None:
                        stream.write(answer.encode() + b"\n")
            except OSError:
                pass

    def close(self):
        self.socket.close()


def slow_mux(path, seconds):
    """Something in saslauthd's place that takes connections and says nothing for so long; returns what closes it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    os.chmod(path, 0o666)
    listener.listen(50)
    kept = []

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            kept.append(connection)
            threading.Timer(seconds, connection.close).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener


def scram(dialogue, mechanism, user, password):
    """AUTH SCRAM-SHA-1 or -256 (RFC 5802) on a dialogue, the server's signature checked; the last reply."""
    name = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}[mechanism]
    first = f"n={user},r=clientnonce0123"
    code, text = dialogue.command(f"AUTH {mechanism} {b64('n,,' + first)}")
    if code != 334:
        return code, text
    server_first = base64.b64decode(text).decode()
    fields = dict(field.split("=", 1) for field in server_first.split(","))
    salted = hashlib.pbkdf2_hmac(name, password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
    client_key = hmac.digest(salted, b"Client Key", name)
    without_proof = f"c=biws,r={fields['r']}"
    message = ",".join((first, server_first, without_proof)).encode()
    signature = hmac.digest(hashlib.new(name, client_key).digest(), message, name)
    proof = bytes(a ^ b for a, b in zip(client_key, signature))
    code, text = dialogue.command(b64(f"{without_proof},p={b64(proof)}"))
    if code == 334:
        server_signature = hmac.digest(hmac.digest(salted, b"Server Key", name), message, name)
        assert base64.b64decode(text) == b"v=" + base64.b64encode(server_signature)
        return dialogue.command("")
    return code, text


class AuthSink:
    """An SMTP server that checks logins and takes messages: .logins (mechanism, what was shown), .messages (identity, sender, recipients)."""

    def __init__(self, mechanisms="PLAIN LOGIN CRAM-MD5 XOAUTH2 OAUTHBEARER", users=None, refusal="535 5.7.8 Error: authentication failed",
                 script=None):
        self.mechanisms = mechanisms
        self.users = users if users is not None else {"fred": "secret"}
        self.refusal = refusal
        self.script = script or {}  # command word: reply, or None to hang
        self.logins = []
        self.messages = []
        self.sessions = 0
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.sessions += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _check(self, read, say, mechanism, initial):
        """The user who logged in, or None."""
        def ask(challenge=""):
            say("334 " + b64(challenge))
            return base64.b64decode(read())

        if mechanism == "PLAIN":
            shown = (base64.b64decode(initial) if initial else ask()).decode().split("\0")
            self.logins.append((mechanism, tuple(shown)))
            return shown[1] if self.users.get(shown[1]) == shown[2] else None
        if mechanism == "LOGIN":
            user, password = ask("Username:").decode(), ask("Password:").decode()
            self.logins.append((mechanism, (user, password)))
            return user if self.users.get(user) == password else None
        if mechanism == "CRAM-MD5":
            user, digest = ask("<1.2@sink>").decode().rsplit(" ", 1)
            wanted = hmac.new(self.users.get(user, "").encode(), b"<1.2@sink>", "md5").hexdigest()
            self.logins.append((mechanism, user))
            return user if digest == wanted else None
        if mechanism in ("XOAUTH2", "OAUTHBEARER"):
            shown = base64.b64decode(initial).decode()
            self.logins.append((mechanism, shown))
            token = shown.split("auth=Bearer ")[1].split("\1")[0]
            user = shown.split("user=")[1].split("\1")[0] if mechanism == "XOAUTH2" else shown.split("a=")[1].split(",")[0]
            if self.users.get(user) == token:
                return user
            self.logins.append(("dismissed", ask('{"status":"401"}')))
        return None

    def _serve(self, connection):
        with connection, connection.makefile("rwb", buffering=0) as stream:
            def say(text):
                stream.write(text.encode() + b"\r\n")

            def read():
                line = stream.readline()
                if not line:
                    raise ConnectionResetError
                return line.decode().rstrip("\r\n")

            try:
                self._converse(read, say)
            except (OSError, ValueError, IndexError):
                pass

    def _converse(self, read, say):
        user = sender = None
        recipients = []
        say("220 sink ESMTP")
        while True:
            line = read()
            verb = line.split(" ")[0].upper()
            if verb in self.script:
                if self.script[verb] is None:
                    time.sleep(3600)
                say(self.script[verb])
            elif verb in ("EHLO", "LHLO"):
                say("250-sink" + (f"\r\n250-AUTH {self.mechanisms}\r\n250-AUTH={self.mechanisms}" if self.mechanisms else "") + "\r\n250 8BITMIME")
            elif verb == "AUTH":
                words = line.split(" ")
                user = self._check(read, say, words[1].upper(), words[2] if len(words) > 2 else None)
                say("235 2.7.0 welcome" if user else self.refusal)
            elif verb == "MAIL":
                sender, recipients = line.split("<", 1)[1].split(">")[0], []
                say("250 2.1.0 ok")
            elif verb == "RCPT":
                recipients.append(line.split("<", 1)[1].split(">")[0])
                say("250 2.1.5 ok")
            elif verb == "DATA":
                say("354 go on")
                while read() != ".":
                    pass
                self.messages.append((user, sender, recipients))
                say("250 2.0.0 taken")
            elif verb == "QUIT":
                say("221 2.0.0 bye")
                return
            else:
                say("250 2.0.0 ok" if verb in ("RSET", "NOOP") else "500 5.5.2 what?")

    def close(self):
        self.socket.close()
