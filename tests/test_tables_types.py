# SPDX-License-Identifier: ISC
"""Each table type by its documented rules, asked with postmap. The servers here are scripted; real ones: test_tables_servers.py."""
import socket
import threading

import pytest


@pytest.fixture(scope="module")
def system(shared_instance):
    return shared_instance(start=False)


def ask(system, table, key, kind=None):
    """The value, None for "not found"; a failure raises."""
    if kind is not None and kind not in system.run("postconf", "-m").stdout.split():
        pytest.skip(f"{kind} is not built")
    result = system.run("postmap", "-q", key, table, check=False)
    if result.returncode == 0:
        return result.stdout.rstrip("\n")
    if "fatal:" in result.stderr:
        raise LookupError(result.stderr)
    return None


PATTERNS = """# comment
if /^a/
/^a(b+)(c)?$/   $1-${2}-$(1)-$$
!/z$/    not z
endif
/^(foo|foobar)/  <$1>
/two words/
  continued
/^Case$/i  sensitive
/(unclosed/ bad
"""


@pytest.mark.parametrize("kind, foobar", [("regexp", "<foobar>"), ("pcre", "<foo>")])
def test_patterns(system, kind, foobar):
    table = f"{kind}:{system.file(f'patterns-{kind}', PATTERNS)}"
    for key, want in (("abb", "bb--bb-$"), ("ABC", "B-C-B-$"), ("ax", "not z"), ("az", None), ("foobarX", foobar),
                      ("say two words", "continued"), ("Case", "sensitive"), ("case", None)):
        assert ask(system, table, key, kind) == want, key


def test_pattern_errors_name_file_and_line(system):
    path = system.file("broken", "/fine/ x\n/(/ y\n/a/Q z\n/b\nword z\n/c/ $1\nendif\nif /q/\n")
    for kind in {"regexp", "pcre"} & set(system.run("postconf", "-m").stdout.split()):
        text = system.run("postmap", "-q", "fine", f"{kind}:{path}").stderr
        for line in (2, 3, 4, 5, 6, 7, 8):
            assert f"{kind} map {path}, line {line}: " in text, f"{kind}: line {line} in {text}"


@pytest.mark.dromos
def test_no_pattern_holds_up(system):
    table = f"pcre:{system.file('slow', '/^(a|aa|aaa|[^b]a)+$/ x' + chr(10))}"
    with pytest.raises(LookupError, match="line 1: matching takes too long"):
        ask(system, table, "a" * 4000 + "b")
    assert ask(system, table, "aaa") == "x"


def test_cidr(system):
    table = "cidr:" + str(system.file("networks", "10.1.0.0/16 inner\n10.0.0.0/8 outer\n!192.168.0.0/16 elsewhere\n2001:db8::/32 six\n"))
    for key, want in (("10.1.2.3", "inner"), ("10.2.2.3", "outer"), ("192.168.1.1", None), ("1.2.3.4", "elsewhere"), ("2001:db8::1", "six"),
                      ("name", None)):
        assert ask(system, table, key) == want, key


def test_a_large_cidr_table_is_as_fast_as_a_small_one(system):
    rules = "".join(f"{a}.{b}.{c}.0/24 r{c}\n" for a in (20, 21) for b in range(200) for c in range(250))
    table = f"cidr:{system.file('many', rules)}"
    keys = "".join(f"21.199.{n % 250}.7\n" for n in range(2000 if system.flavour.is_postfix else 40000))
    answers = system.run("postmap", "-q", "-", table, input=keys, timeout=60).stdout.splitlines()
    assert len(answers) == keys.count("\n") and answers[5] == "21.199.5.7\tr5"


def test_cdb_is_built_and_read(system):
    path = system.file("constant", "a one\nB two\na again\n")
    if "cdb" not in system.run("postconf", "-m").stdout.split():
        pytest.skip("cdb is not built")
    assert 'duplicate entry: "a"' in system.run("postmap", f"cdb:{path}").stderr
    assert ask(system, f"cdb:{path}", "b") == "two"
    assert ask(system, f"cdb:{path}", "A") == "one"
    assert ask(system, f"cdb:{path}", "c") is None


# ---- Scripted servers

class Server:
    """Answers each connection with talk(file); counts connections."""

    def __init__(self, talk):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.talk = talk
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        conn.settimeout(20)
        with conn, conn.makefile("rwb") as stream:
            try:
                self.talk(stream)
            except OSError:
                pass

    def close(self):
        self.socket.close()


@pytest.fixture
def serve():
    made = []

    def make(talk):
        made.append(Server(talk))
        return made[-1]
    yield make
    for one in made:
        one.close()


def talk_tcp(stream):
    answers = {b"get known\n": b"200 a%20value\n", b"get a%20b%25c\n": b"200 encoded\n", b"get later\n": b"400 try%20again\n",
               b"get junk\n": b"what?\n", b"get long\n": b"200 " + b"x" * 5000 + b"\n", b"get Case\n": b"200 kept\n"}
    for line in stream:
        stream.write(answers.get(line, b"500 unknown\n"))
        stream.flush()


def test_tcp(system, serve):
    server = serve(talk_tcp)
    table = f"tcp:127.0.0.1:{server.port}"
    assert ask(system, table, "known") == "a value"
    assert ask(system, table, "a b%c") == "encoded"
    assert ask(system, table, "Case") == "kept"
    assert ask(system, table, "nobody") is None
    for key in ("later", "junk", "long"):
        with pytest.raises(LookupError):
            ask(system, table, key)
    before = server.connections
    assert system.run("postmap", "-q", "-", table, input="known\nnobody\nknown\n").stdout == "known\ta value\nknown\ta value\n"
    assert server.connections == before + 1  # kept


def netstring(data):
    return b"%d:%s," % (len(data), data)


def talk_socketmap(stream):
    answers = {b"map known": netstring(b"OK a value"), b"map temp": netstring(b"TEMP later"), b"map perm": netstring(b"PERM never"),
               b"map time": netstring(b"TIMEOUT slow"), b"map junk": netstring(b"HUH"), b"map nonet": b"hello\n",
               b"map big": b"200000:" + b"x" * 1000, b"map cut": b"50:OK x"}
    while True:
        length = b""
        while not length.endswith(b":"):
            byte = stream.read(1)
            if not byte:
                return
            length += byte
        request = stream.read(int(length[:-1]) + 1)[:-1]
        stream.write(answers.get(request, netstring(b"NOTFOUND ")))
        stream.flush()
        if request in (b"map nonet", b"map cut"):
            return


def test_socketmap(system, serve):
    server = serve(talk_socketmap)
    table = f"socketmap:inet:127.0.0.1:{server.port}:map"
    assert ask(system, table, "known") == "a value"
    assert ask(system, table, "nobody") is None
    for key in ("temp", "perm", "time", "junk", "nonet", "big", "cut"):
        with pytest.raises(LookupError):
            ask(system, table, key)
    before = server.connections
    assert system.run("postmap", "-q", "-", table, input="known\nnobody\nknown\n").stdout == "known\ta value\nknown\ta value\n"
    assert server.connections == before + 1
    assert ask(system, f"socketmap:inet:127.0.0.1:{server.port}:other", "known") is None


@pytest.mark.parametrize("table", ["tcp:127.0.0.1:1", "socketmap:inet:127.0.0.1:1:map", "socketmap:unix:/nonexistent/socket:map"])
@pytest.mark.dromos
def test_nobody_listens(system, table):
    with pytest.raises(LookupError, match="connect to"):
        ask(system, table, "known")
