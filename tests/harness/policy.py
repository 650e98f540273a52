# SPDX-License-Identifier: ISC
"""A scripted policy server (SMTPD access policy delegation) on loopback or on a UNIX socket.

    policy = PolicyServer()                       # policy.endpoint goes into check_policy_service
    policy.answer = "DUNNO"                       # or a function of the attributes
    policy.answer = lambda attributes: "REJECT no" if attributes["sender"] else "DUNNO"

An answer is an action text, bytes to send as they are, or None to close the connection without one.
"""
import os
import selectors
import socket
import threading
import time


class PolicyServer:
    def __init__(self, answer="DUNNO", path=None, delay=0.0, at_once=None):
        self.answer = answer
        self.at_once = at_once   # connections it serves at once; the others wait to be accepted (None: all)
        self.delay = delay       # seconds before each answer; the others do not wait for it
        self.requests = []       # the attributes of each, in their order
        self.connections = 0     # accepted so far
        self.open = {}           # socket -> input so far
        self._due = []           # (time, socket, bytes or None)
        self._socket = self._listen(path)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._closing = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _listen(self, path):
        if path is None:
            listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
            self.endpoint = f"inet:127.0.0.1:{listener.getsockname()[1]}"
        else:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(path))
            os.chmod(path, 0o666)
            listener.listen(4096)
            self.endpoint = f"unix:{path}"
        return listener

    def _run(self):
        while not self._closing:
            wait = 0.05 if not self._due else max(0.0, min(0.05, self._due[0][0] - time.monotonic()))
            for key, _ in self._selector.select(wait):
                if key.fileobj is self._socket:
                    if self.at_once is None or len(self.open) < self.at_once:
                        self._accept()
                else:
                    self._read(key.fileobj)
            while self._due and self._due[0][0] <= time.monotonic():
                _, connection, reply = self._due.pop(0)
                self._send(connection, reply)

    def _accept(self):
        connection, _ = self._socket.accept()
        self.connections += 1
        self.open[connection] = b""
        self._selector.register(connection, selectors.EVENT_READ)

    def _drop(self, connection):
        if connection in self.open:
            del self.open[connection]
            self._selector.unregister(connection)
            connection.close()

    def _read(self, connection):
        try:
            data = connection.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        self.open[connection] += data
        while connection in self.open and b"\n\n" in self.open[connection]:
            text, self.open[connection] = self.open[connection].split(b"\n\n", 1)
            self._respond(connection, text.decode("utf-8", "surrogateescape"))

    def _respond(self, connection, text):
        attributes = dict(line.split("=", 1) for line in text.split("\n"))
        self.requests.append(attributes)
        reply = self.answer(attributes) if callable(self.answer) else self.answer
        if isinstance(reply, str):
            reply = f"action={reply}\n\n".encode("utf-8", "surrogateescape")
        if self.delay:
            self._due.append((time.monotonic() + self.delay, connection, reply))
        else:
            self._send(connection, reply)

    def _send(self, connection, reply):
        if connection not in self.open:
            return
        if reply is None:
            self._drop(connection)
            return
        try:
            connection.sendall(reply)
        except OSError:
            self._drop(connection)

    def hang_up(self):
        """Closes what is open, as a server does that restarts."""
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self._closing = True
        self._thread.join(5)
        for connection in list(self.open):
            connection.close()
        self._socket.close()
