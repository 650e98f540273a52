# SPDX-License-Identifier: ISC
"""A small milter: asks to be told of the end of each message only, and answers with edits chosen by the test."""
import socket
import struct
import threading

ALL_ACTIONS = 0x1FF
END_ONLY = 0x01 | 0x02 | 0x04 | 0x08 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200  # no connect, HELO, MAIL, RCPT, body, headers …


def add_header(name, value):
    return b"h" + f"{name}\0{value}\0".encode()


def change_header(name, value, index=1):
    return b"m" + struct.pack(">I", index) + f"{name}\0{value}\0".encode()


def replace_body(text):
    return b"b" + text.encode()


def add_recipient(address):
    return b"+" + f"<{address}>\0".encode()


def delete_recipient(address):
    return b"-" + f"<{address}>\0".encode()


def change_sender(address):
    return b"e" + f"<{address}>\0".encode()


class Milter:
    """Serves on a free port until closed; `edits` are sent for each message."""

    def __init__(self, edits):
        self.edits = edits
        self.messages = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    @staticmethod
    def _receive(connection):
        head = connection.recv(4, socket.MSG_WAITALL)
        if len(head) < 4:
            return None
        return connection.recv(struct.unpack(">I", head)[0], socket.MSG_WAITALL)

    @staticmethod
    def _send(connection, data):
        connection.sendall(struct.pack(">I", len(data)) + data)

    def _serve(self, connection):
        connection.settimeout(60)
        with connection:
            try:
                while (packet := self._receive(connection)) and packet[:1] not in (b"Q", b"K"):
                    self._answer(connection, packet[:1])
            except OSError:
                pass

    def _answer(self, connection, command):
        if command == b"O":
            self._send(connection, b"O" + struct.pack(">III", 6, ALL_ACTIONS, END_ONLY))
        elif command == b"E":
            self.messages += 1
            for edit in self.edits:
                self._send(connection, edit)
            self._send(connection, b"c")
        elif command not in (b"D", b"A"):
            self._send(connection, b"c")

    def close(self):
        self.listener.close()
