# SPDX-License-Identifier: ISC
"""A small name server on loopback, UDP and TCP, that answers from a dictionary.

    dns = DnsServer({("example.org", "MX"): [(10, "mx.example.org")], ("mx.example.org", "A"): ["127.0.0.1"]})
    dns.records[("dead.example", "MX")] = "SERVFAIL"     # or "TIMEOUT", "REFUSED", "NXDOMAIN"

    dns.secure.update({"example.org", "mx.example.org"}) # answers about these names carry the AD bit; "*" is every name

A name without any record gives NXDOMAIN; a name with records of other types gives an empty answer.
"""
import socket
import struct
import threading

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "OPT": 41, "TLSA": 52}
TYPE_NAMES = {number: name for name, number in TYPES.items()}
RCODES = {"SERVFAIL": 2, "NXDOMAIN": 3, "REFUSED": 5}


def _encode_name(name):
    encoded = b""
    for label in name.rstrip(".").split("."):
        if label:
            raw = label.encode()
            encoded += bytes([len(raw)]) + raw
    return encoded + b"\0"


def _encode_data(kind, value):
    if kind == "A":
        return socket.inet_aton(value)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, value)
    if kind == "MX":
        return struct.pack("!H", value[0]) + _encode_name(value[1])
    if kind == "SRV":  # (priority, weight, port, target)
        return struct.pack("!HHH", *value[:3]) + _encode_name(value[3])
    if kind in ("CNAME", "PTR", "NS"):
        return _encode_name(value)
    if kind == "TXT":
        raw = value.encode()
        return b"".join(bytes([len(raw[i:i + 255])]) + raw[i:i + 255] for i in range(0, len(raw) or 1, 255))
    return value  # bytes as they are


class DnsServer:
    def __init__(self, records=None, port=0):
        self.records = dict(records or {})
        self.secure = set()
        self.queries = []
        self.default = "NXDOMAIN"  # for names without records; may be "TIMEOUT" or "SERVFAIL" to play dead
        self._closing = threading.Event()
        self._bind(port)
        for target in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=target, daemon=True).start()

    def _bind(self, port):
        for _ in range(50):
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._udp.bind(("127.0.0.1", port))
            self.port = self._udp.getsockname()[1]
            self._tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                self._tcp.bind(("127.0.0.1", self.port))
            except OSError:
                self._udp.close()
                self._tcp.close()
                continue
            self._tcp.listen(64)
            return
        raise OSError("no port free for both UDP and TCP")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def _lookup(self, name, kind):
        """(rcode, [(owner, kind, value)]) or None to stay silent."""
        answers = []
        for _ in range(8):
            found = self.records.get((name, kind))
            if isinstance(found, str):
                return None if found == "TIMEOUT" else (RCODES[found], [])
            if found is not None:
                return 0, answers + [(name, kind, value) for value in found]
            alias = self.records.get((name, "CNAME"))
            if not alias:
                break
            answers.append((name, "CNAME", alias[0]))
            name = alias[0].lower().rstrip(".")
        if answers or any(key[0] == name for key in self.records):
            return 0, answers
        return None if self.default == "TIMEOUT" else (RCODES[self.default], [])

    def _answer(self, query, limit):
        if len(query) < 12:
            return None
        ident, flags, questions = struct.unpack("!HHH", query[:6])
        if questions != 1:
            return None
        labels, offset = [], 12
        while query[offset]:
            length = query[offset]
            labels.append(query[offset + 1:offset + 1 + length].decode("utf-8", "replace"))
            offset += 1 + length
        question = query[12:offset + 5]
        number = struct.unpack("!H", query[offset + 1:offset + 3])[0]
        name = ".".join(labels).lower()
        kind = TYPE_NAMES.get(number, str(number))
        self.queries.append((name, kind))
        result = self._lookup(name, kind)
        if result is None:
            return None
        rcode, answers = result
        body = b""
        for owner, answer_kind, value in answers:
            data = _encode_data(answer_kind, value)
            body += _encode_name(owner) + struct.pack("!HHIH", TYPES[answer_kind], 1, 60, len(data)) + data
        is_secure = "*" in self.secure or {name, *(owner for owner, _, _ in answers)} <= self.secure
        authentic = 0x0020 if is_secure and flags & 0x0020 else 0
        header = struct.pack("!HHHHHH", ident, 0x8180 | (flags & 0x0100) | authentic | rcode, 1, len(answers), 0, 0)
        packet = header + question + body
        if len(packet) > limit:
            packet = struct.pack("!HHHHHH", ident, 0x8380 | rcode, 1, 0, 0, 0) + question
        return packet

    def _serve_udp(self):
        while not self._closing.is_set():
            try:
                query, peer = self._udp.recvfrom(4096)
            except OSError:
                return
            try:
                packet = self._answer(query, 512)
            except (IndexError, struct.error):
                continue
            if packet:
                self._udp.sendto(packet, peer)

    def _serve_tcp(self):
        while not self._closing.is_set():
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._tcp_session, args=(connection,), daemon=True).start()

    def _tcp_session(self, connection):
        connection.settimeout(10)
        try:
            while True:
                head = connection.recv(2, socket.MSG_WAITALL)
                if len(head) < 2:
                    return
                query = connection.recv(struct.unpack("!H", head)[0], socket.MSG_WAITALL)
                packet = self._answer(query, 65535)
                if packet is None:
                    return
                connection.sendall(struct.pack("!H", len(packet)) + packet)
        except (OSError, IndexError, struct.error):
            pass
        finally:
            connection.close()

    def close(self):
        self._closing.set()
        for sock in (self._udp, self._tcp):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
