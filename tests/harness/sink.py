# SPDX-License-Identifier: ISC
"""A scripted SMTP or LMTP server that plays the next hop.

    sink = Sink()                              # listens on a free loopback port
    sink.on("rcpt", "450 4.2.0 later", times=1)
    sink.on("data", Hang())                    # says nothing until the sink closes
    sink.on("eod", lambda session: "250 2.0.0 kept")

With `tls` (an ssl.SSLContext) it offers STARTTLS; with `wrapper` it speaks TLS from the start.

Stages: connect ehlo helo lhlo starttls mail rcpt data eod bdat rset quit noop other. An answer is a reply text (lines joined by
newline), Hang, Close, or a function of the session that returns one of these or None for the usual reply. For LMTP
"eod" is asked once for each accepted recipient, which session.recipient names.
"""
import os
import socket
import ssl
import threading
from time import monotonic
from dataclasses import dataclass, field

from .waiting import wait_until

DEFAULT_KEYWORDS = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8", "SIZE 52428800", "CHUNKING")
STAGES = ("connect", "ehlo", "helo", "lhlo", "starttls", "mail", "rcpt", "data", "eod", "bdat", "rset", "quit", "noop", "other")


@dataclass(frozen=True)
class Hang:
    """Say nothing for so many seconds (default: until the sink is closed), then close the connection."""
    seconds: float = 3600.0


@dataclass(frozen=True)
class Close:
    """Close the connection at once."""
    first: bytes = b""  # bytes to send before


@dataclass
class Received:
    """One message as the sink took it."""
    sender: str
    mail_options: list
    recipients: list                 # addresses that were accepted
    rcpt_options: list               # options of each, in the same order
    data: bytes                      # after removal of dot-stuffing, CRLF ends kept
    helo: str = ""
    session: int = 0
    tls: str = ""                    # "TLSv1.3" …
    tls_resumed: bool = False
    tls_peer: dict = None            # the client's certificate, as ssl.getpeercert has it
    time: float = field(default_factory=monotonic)

    @property
    def text(self):
        return self.data.decode("utf-8", "replace")


class _Ended(Exception):
    pass


class Session:
    def __init__(self, sink, connection, number):
        self.sink = sink
        self.socket = connection
        self.number = number
        self.buffer = b""
        self.helo = ""
        self.argument = ""   # of the command in hand
        self.recipient = ""  # LMTP: whose answer to end of data is wanted
        self.is_lmtp = False
        self.out = b""
        self._clear()

    def _clear(self):
        self.sender = None
        self.mail_options = []
        self.recipients = []
        self.rcpt_options = []
        self.chunks = b""

    # Input and output: replies wait until there is nothing more to read, as a pipelining server's do.

    def _fill(self):
        self._flush()
        chunk = self.socket.recv(262144)
        if not chunk:
            raise _Ended
        self.buffer += chunk

    def _flush(self):
        if self.out:
            self.socket.sendall(self.out)
            self.out = b""

    def _line(self):
        while b"\n" not in self.buffer:
            self._fill()
            if len(self.buffer) > 1 << 20 and b"\n" not in self.buffer:
                raise _Ended
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r").decode("utf-8", "surrogateescape")

    def _content(self):
        """The bytes up to CR LF . CR LF, unstuffed."""
        data = self.buffer
        self.buffer = b""
        while not data.startswith(b".\r\n") and b"\r\n.\r\n" not in data:
            searched = max(0, len(data) - 5)
            parts = [data]
            tail = data[searched:]
            while b"\r\n.\r\n" not in tail and not (len(parts) == 1 and data.startswith(b".\r\n")):
                self._fill()
                parts.append(self.buffer)
                tail = (tail + self.buffer)[-(len(self.buffer) + 5):]
                self.buffer = b""
            data = b"".join(parts)
        if data.startswith(b".\r\n"):
            self.buffer = data[3:]
            return b""
        data, self.buffer = data.split(b"\r\n.\r\n", 1)
        data += b"\r\n"
        if data.startswith(b".."):
            data = data[1:]
        return data.replace(b"\r\n..", b"\r\n.")

    def _exactly(self, size):
        while len(self.buffer) < size:
            self._fill()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    # Answers

    def answer(self, stage, usual):
        """Gives the scripted or the usual answer and returns its code."""
        chosen = self.sink._choose(stage, self)
        reply = usual if chosen is None else chosen
        if isinstance(reply, Hang):
            self._flush()
            self.sink._closing.wait(reply.seconds)
            raise _Ended
        if isinstance(reply, Close):
            self.out += reply.first
            self._flush()
            raise _Ended
        if isinstance(reply, bytes):
            self.out += reply
            return int(reply[:3]) if reply[:3].isdigit() else 0
        lines = reply.split("\n")
        code = lines[0][:3]
        for index, line in enumerate(lines):
            text = line[4:] if line[:3] == code and line[3:4] in ("-", " ") else line
            separator = " " if index == len(lines) - 1 else "-"
            self.out += f"{code}{separator}{text}\r\n".encode("utf-8", "surrogateescape")
        return int(code)

    def _start_tls(self):
        self._flush()
        self.buffer = b""
        self.socket = self.sink.tls.wrap_socket(self.socket, server_side=True)
        self.sink._sockets.add(self.socket)

    def _tls_facts(self):
        if not isinstance(self.socket, ssl.SSLSocket):
            return {}
        return {"tls": self.socket.version(), "tls_resumed": self.socket.session_reused, "tls_peer": self.socket.getpeercert() or None}

    def _do_starttls(self):
        if self.sink.tls is None or isinstance(self.socket, ssl.SSLSocket):
            self.answer("starttls", "502 5.5.1 not now")
        elif self.answer("starttls", "220 2.0.0 ready") == 220:
            self._start_tls()

    def run(self):
        if self.sink.wrapper:
            self._start_tls()
        self.answer("connect", "220 sink.example ESMTP")
        while True:
            line = self._line()
            verb, _, self.argument = line.partition(" ")
            verb = verb.upper()
            self.sink.commands.append(line)
            handler = getattr(self, f"_do_{verb.lower()}", None)
            if handler is None:
                self.answer("other", "502 5.5.1 unknown command")
                continue
            handler()

    def _hello(self, stage, lines):
        self.helo = self.argument
        self._clear()
        self.answer(stage, "\n".join(lines))

    def _do_ehlo(self):
        self._hello("ehlo", ["250 sink.example", *self.sink.keywords, *self._tls_keywords()])

    def _tls_keywords(self):
        if isinstance(self.socket, ssl.SSLSocket):
            return self.sink.tls_keywords
        return ["STARTTLS"] if self.sink.tls is not None else []

    def _do_lhlo(self):
        self.is_lmtp = True
        self._hello("lhlo", ["250 sink.example", *self.sink.keywords, *self._tls_keywords()])

    def _do_helo(self):
        self._hello("helo", ["250 sink.example"])

    def _do_mail(self):
        address, options = _path(self.argument, "FROM:")
        self._clear()
        if self.answer("mail", "250 2.1.0 sender ok") // 100 == 2:
            self.sender, self.mail_options = address, options

    def _do_rcpt(self):
        address, options = _path(self.argument, "TO:")
        self.recipient = address
        usual = "503 5.5.1 need MAIL first" if self.sender is None else "250 2.1.5 recipient ok"
        if self.answer("rcpt", usual) // 100 == 2 and self.sender is not None:
            self.recipients.append(address)
            self.rcpt_options.append(options)

    def _do_data(self):
        usual = "354 go ahead" if self.recipients else "554 5.5.1 no valid recipients"
        if self.answer("data", usual) == 354:
            self._accept(self._content())

    def _do_bdat(self):
        fields = self.argument.split()
        self.chunks += self._exactly(int(fields[0]))
        if len(fields) > 1 and fields[1].upper() == "LAST":
            self._accept(self.chunks)
        else:
            self.answer("bdat", "250 2.0.0 chunk ok")

    def _accept(self, data):
        kept = list(zip(self.recipients, self.rcpt_options))
        if self.is_lmtp:
            accepted = []
            for recipient, options in kept:
                self.recipient = recipient
                if self.answer("eod", "250 2.0.0 delivered") // 100 == 2:
                    accepted.append((recipient, options))
            kept = accepted
        elif self.answer("eod", "250 2.0.0 Ok: queued as SINK") // 100 != 2:
            kept = []
        if kept:
            self.sink._keep(Received(self.sender, self.mail_options, [k[0] for k in kept], [k[1] for k in kept], data,
                                     self.helo, self.number, **self._tls_facts()))
        self._clear()

    def _do_rset(self):
        self._clear()
        self.answer("rset", "250 2.0.0 reset")

    def _do_noop(self):
        self.answer("noop", "250 2.0.0 ok")

    def _do_quit(self):
        self.answer("quit", "221 2.0.0 bye")
        self._flush()
        raise _Ended


def _path(argument, prefix):
    rest = argument[len(prefix):].strip() if argument.upper().startswith(prefix) else argument
    if rest.startswith("<") and ">" in rest:
        address, _, options = rest[1:].partition(">")
    else:
        address, _, options = rest.partition(" ")
    return address, options.split()


class Sink:
    """The server: one thread a connection. `path` makes it a UNIX socket."""

    def __init__(self, host="127.0.0.1", port=0, keywords=DEFAULT_KEYWORDS, path=None, keep=True, tls=None,
                 wrapper=False, tls_keywords=()):
        self.keywords = list(keywords)
        self.tls = tls
        self.wrapper = wrapper
        self.tls_keywords = list(tls_keywords)  # offered once TLS is on
        self.messages = []
        self.count = 0
        self.keep = keep
        self.connections = 0
        self.open_connections = 0
        self.max_open = 0
        self.commands = []
        self._script = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._sockets = set()
        self.path = path
        if path:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(str(path))
            os.chmod(path, 0o666)
            self.port = None
        else:
            self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind((host, port))
            self.port = self._listener.getsockname()[1]
        self.host = host
        self._listener.listen(512)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def nexthop(self):
        return f"[{self.host}]:{self.port}"

    def on(self, stage, answer, times=None, when=None):
        """From now on (or for `times` occasions) answers so at that stage, if `when(session)` is true."""
        assert stage in STAGES, stage
        with self._lock:
            self._script.setdefault(stage, []).append([answer, times, when])
        return self

    def forget(self, stage=None):
        """Drops the script of a stage, or all of it: usual answers again."""
        with self._lock:
            if stage is None:
                self._script.clear()
            else:
                self._script.pop(stage, None)

    def _choose(self, stage, session):
        with self._lock:
            rules = self._script.get(stage, [])
            for rule in rules:
                if rule[2] is not None and not rule[2](session):
                    continue
                if rule[1] is not None:
                    rule[1] -= 1
                    if rule[1] <= 0:
                        rules.remove(rule)
                answer = rule[0]
                break
            else:
                return None
        return answer(session) if callable(answer) else answer

    def _keep(self, received):
        with self._lock:
            self.count += 1
            if self.keep:
                self.messages.append(received)

    def _serve(self):
        number = 0
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            number += 1
            with self._lock:
                self.connections += 1
                self.open_connections += 1
                self.max_open = max(self.max_open, self.open_connections)
                self._sockets.add(connection)
            threading.Thread(target=self._session, args=(connection, number), daemon=True).start()

    def _session(self, connection, number):
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(600)
        session = Session(self, connection, number)
        try:
            session.run()
        except (_Ended, OSError, ValueError):
            pass
        finally:
            with self._lock:
                self.open_connections -= 1
                self._sockets -= {connection, session.socket}
            session.socket.close()
            connection.close()

    def wait(self, count=1, timeout=20.0, instance=None):
        """Waits until so many messages have come; returns them."""
        def describe():
            extra = f"; queue {instance.queue_counts()}; log:\n{instance.log.text()[-5000:]}" if instance else ""
            return f"{count} messages at the sink, has {self.count}; commands {self.commands[-20:]}{extra}"
        wait_until(lambda: self.count >= count, timeout, describe)
        return list(self.messages)

    def close(self):
        self._closing.set()
        # A blocked accept does not notice close() of its descriptor; shutdown wakes it.
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        with self._lock:
            connections = list(self._sockets)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._thread.join(5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
