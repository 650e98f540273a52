# SPDX-License-Identifier: ISC
"""The proxymap and proxywrite services, asked in their own frames: what they allow, answer and keep."""
import socket
import struct

import pytest

from harness import wait_until

pytestmark = pytest.mark.dromos


def field(name, value):
    return bytes([len(name)]) + name.encode() + struct.pack("<I", len(value)) + value


def request(conn, verb, **fields):
    """One request and its answer as a dictionary."""
    body = field("verb", verb.encode()) + b"".join(field(name, str(value).encode()) for name, value in fields.items())
    conn.sendall(struct.pack("<BBHII", 0xD7, 1, 1 + len(fields), len(body), 7) + body)
    data = b""
    while len(data) < 12 or len(data) < 12 + struct.unpack("<I", data[4:8])[0]:
        more = conn.recv(65536)
        assert more, "the service closed the connection"
        data += more
    answer, at = {}, 12
    while at < len(data):
        end = at + 1 + data[at]
        size = struct.unpack("<I", data[end:end + 4])[0]
        answer[data[at + 1:end].decode()] = data[end + 4:end + 4 + size].decode()
        at = end + 4 + size
    return answer


@pytest.fixture
def system(instance):
    one = instance(start=False)
    listed = one.file("listed", "known value\n")
    hidden = one.file("hidden", "secret value\n")
    one.listed, one.hidden = f"texthash:{listed}", f"texthash:{hidden}"
    one.cache = f"btree:{one.data_directory}/cache"
    one.main.update(relay_recipient_maps=f"proxy:{one.listed}", relocated_maps=one.hidden,
                    proxy_write_maps=f"proxy:{one.cache}, btree:{one.data_directory}/other")
    one.write()
    return one.start()


@pytest.fixture
def connect(system):
    made = []

    def make(name):
        def try_it():
            conn = socket.socket(socket.AF_UNIX)
            conn.settimeout(20)
            try:
                conn.connect(str(system.queue_directory / "private" / name))
            except (FileNotFoundError, ConnectionRefusedError):  # master has only just begun
                conn.close()
                return None
            return conn
        made.append(wait_until(try_it, 10, f"the socket of {name}"))
        return made[-1]
    yield make
    for conn in made:
        conn.close()


def test_lookups_of_listed_tables(system, connect):
    conn = connect("proxymap")
    assert request(conn, "lookup", table=system.listed, flags=0, key="KNOWN") == {"verb": "found", "key": "", "value": "value"}
    assert request(conn, "lookup", table=system.listed, flags=0, key="x")["verb"] == "absent"
    assert request(conn, "lookup", table=f"proxy:{system.listed}", flags=0, key="known")["verb"] == "found"


def test_other_tables_are_refused(system, connect):
    conn = connect("proxymap")
    for table in (system.hidden, "texthash:/etc/passwd", "static:x", "", "unix:passwd.byname"):
        answer = request(conn, "lookup", table=table, flags=0, key="secret")
        assert answer["verb"] == "failed" and "not approved" in answer["reason"]
    assert request(conn, "lookup", table=system.hidden, flags=0, key="secret")["verb"] == "failed"
    system.log.wait_for(r'proxymap\[\d+\]: warning: request for unapproved table: "texthash:/etc/passwd"')
    assert system.log.count(f'unapproved table: "{system.hidden}"') == 1


def test_proxymap_does_not_write(system, connect):
    answer = request(connect("proxymap"), "update", table=system.listed, flags=128, key="a", value="b")
    assert answer == {"verb": "failed", "reason": "unknown request"}


def test_proxywrite_keeps_a_cache(system, connect):
    conn = connect("proxywrite")
    table = {"table": system.cache, "flags": 0}
    assert request(conn, "lookup", **table, key="a")["verb"] == "absent"
    for key in ("b", "a", "c"):
        assert request(conn, "update", **table, key=key, value=f"value of {key}")["verb"] == "found"
    assert request(connect("proxywrite"), "lookup", **table, key="b")["value"] == "value of b"
    seen, key = [], ""
    while (answer := request(conn, "next", **table, key=key))["verb"] == "found":
        key = answer["key"]
        seen.append((key, answer["value"]))
    assert seen == [(key, f"value of {key}") for key in "abc"]
    assert request(conn, "delete", **table, key="b")["verb"] == "found"
    assert request(conn, "delete", **table, key="b")["verb"] == "absent"
    assert request(conn, "lookup", table=system.listed, flags=0, key="known")["verb"] == "failed"
    assert request(conn, "lookup", table=f"btree:{system.data_directory}/other", flags=0, key="known")["verb"] == "failed"
    assert len(system.pids("proxymap")) == 1


def test_a_cache_survives_a_reload(system, connect):
    assert request(connect("proxywrite"), "update", table=system.cache, flags=0, key="k", value="v")["verb"] == "found"
    old = system.pids("proxymap")
    system.reload()
    wait_until(lambda: not set(old) & set(system.pids("proxymap")), 10, "the old process to end")
    assert request(connect("proxywrite"), "lookup", table=system.cache, flags=0, key="k")["value"] == "v"


def test_malformed_requests_end_the_connection(system, connect):
    for data in (b"\xd7\x01\xff\xff\xff\xff\xff\xff\0\0\0\0", b"\xd7\x02" + b"\0" * 30, b"\xd7\x01\0\0\0\0\0\0\0\0\0\0"):
        conn = connect("proxymap")
        conn.sendall(data)
        assert conn.recv(100) == b""
    assert request(connect("proxymap"), "lookup", table=system.listed, flags=0, key="known")["verb"] == "found"
