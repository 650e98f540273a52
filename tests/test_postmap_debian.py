# SPDX-License-Identifier: ISC
"""Our postmap and Debian's are asked the same questions over the same tables: exit status and standard output.

What may differ, and why, stands in data/postmap/allowed.tsv. Skipped where Debian's package cannot be downloaded.
"""
import os
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import ensure_accounts
from harness.comparison import Outcome, read_allowed, unexplained
from harness.debian import debian_commands

ALLOWED = Path(__file__).resolve().parent / "data" / "postmap" / "allowed.tsv"

PLUGINS = {"lmdb": ("dict_lmdb_open", "mkmap_lmdb_open"), "pcre": ("dict_pcre_open",), "sqlite": ("dict_sqlite_open",),
           "cdb": ("dict_cdb_open", "mkmap_cdb_open")}

PATTERNS = r"""/a(b)c/ got $1
!/x/ negated $1
/a b
/foo/
/foo/Z bar
/(/ x
 continued
foo bar
/^u(.)(q)?$/ X$2Y
/^u(.)(q)?$/ X${1}($2)
/^dd$/ $$1 $(1 ${1} $9
if /zz/
endif
endif
if !/^q/
/r/ rr
|^p/a$|  pipe
/^s\/a$/ slash
/^t\.t$/i exact
/^(k)(K)/ \1 $2
endif extra
if
/^(a|ab)(c|bcd)?(d*)/ <$1><$2><$3>
/^to: (foo|foobar)(.*)$/ <$1><$2>
/[[:digit:]]{3}/ digits
/^m$/m line
!/^./ empty
/^h(a)$/i X${1}$(1)$$
/^#!/ comment
/^w\b/ word
/^z{2,3}$/ zs
"""
PATTERN_KEYS = ["abc", "ABC", "xabcx", "x", "uz", "uzq", "dd", "zz", "r", "qr", "p/a", "s/a", "t.t", "T.T", "kK", "abcd", "abd", "to: foobarx",
                "a123b", "12", "k\nm\nl", "ha", "hA", "#!sh", "w w", "ww", "zz", "zzz", "zzzz", "]", "a\\b", "endif", "foo", " ", "éa"]
CIDR = """10.0.0.0/8 ten
10.1.0.0/16 never
192.168.0.1 host
!172.16.0.0/12 not
if 10.0.0.0/8
10.2.0.0/16 inside
endif
2001:db8::/32 six
[2001:db9::]/32 bracket
10.1.1.1/8 hostbits
1.2.3 short
4.4.4.4
999.1.1.1/8 big
::1 loop
endif
if 1.0.0.0/8
"""
CIDR_KEYS = ["10.1.2.3", "10.2.3.4", "192.168.0.1", "192.168.0.2", "172.16.1.1", "2001:db8::1", "2001:DB8:0::1", "2001:db9::1", "::1",
             "::ffff:10.1.1.1", "4.4.4.4", "foo", "10.1", "010.1.1.1", "[::1]"]
TEXT = """# comment
foo@bar.com  One Two

Key2
# inside
  continued
"a b"@c  quoted
malformed
foo@bar.com second
tab\tvalue with\ttab
key: colon
UPPER Mixed
  trailing continuation
x@y  z@w, v@u
"""
TEXT_KEYS = ["foo@bar.com", "FOO@bar.com", "key2", "Key2", '"a b"@c', "a b@c", "malformed", "tab", "key:", "key", "upper", "UPPER", "x@y", "none"]

INLINE = [
    ("inline:{a=b, {C = d e}, {e=f=g}}", ["a", "A", "c", "C", "e", "x"]),
    ("inline:{a}", ["a"]), ("inline:a=b", ["a"]), ("inline:{=b}", ["a"]), ("inline:{}", ["a"]),
    ("static:x", ["a", "b c"]), ("static:{two words}", ["a"]), ("static:{}", ["a"]),
    ("unionmap:{inline:{a=1},inline:{a=2,b=3}}", ["a", "b", "c"]), ("unionmap:{static:one}", ["a"]), ("unionmap:x", ["a"]),
    ("unionmap:{}", ["a"]), ("pipemap:{inline:{a=b},inline:{b=c}}", ["a", "b", "c"]), ("pipemap:{inline:{a=b},static:z}", ["a", "q"]),
    ("randmap:{only}", ["a"]), ("randmap:x", ["a"]), ("fail:x", ["a"]), ("environ:x", ["LC_ALL", "nosuch"]),
    ("unix:passwd.byname", ["root", "ROOT", "no-such-user"]), ("unix:group.byname", ["root", "nogroup-at-all"]), ("unix:other", ["root"]),
    ("nosuch:x", ["a"]), ("plain", ["a"]), ("internal:x", ["a"]), ("proxy:static:x", []),
    ("regexp:{{/a(.)/ $1}, {/x/ y}}", ["ab", "x", "q"]), ("pcre:{{/a(.)/ $1}, {/x/ y}}", ["ab", "x", "q"]),
    ("pcre:{{/^(?i:A)b/i x}, {/(?<n>z)/ $1}}", ["ab", "aB", "z"]), ("cidr:{{1.2.3.0/24 r1}, {1.2.3.4/24 r2}}", ["1.2.3.4", "1.2.4.4"]),
    ("pcre:{{/a.b/s one}, {/a b/x two}, {/q$/E three}, {/^(a+)/U $1}}", ["a\nb", "ab", "q\n", "aaa"]),
    ("regexp:{{/a\\(b\\)/x $1}, {/c+/x plus}, {/c\\+/ literal}}", ["ab", "c+", "cc"]),
    ("regexp:/nonexistent/x", ["a"]), ("cidr:/nonexistent/x", ["a"]), ("texthash:/nonexistent/x", ["a"]), ("lmdb:/nonexistent/x", ["a"]),
    ("cdb:/nonexistent/x", ["a"]), ("tcp:127.0.0.1:1", ["a"]), ("socketmap:inet:127.0.0.1:1:m", ["a"]), ("socketmap:x", ["a"]),
]
SQL = [
    "query = SELECT v FROM t WHERE k='%s'", "query = SELECT v,w FROM t WHERE k='%s'\nresult_format = %s:%U@%D",
    "query = SELECT v FROM t WHERE k='%s'\nresult_format = [%1|%2]", "query = SELECT v FROM t WHERE k='%s'\nresult_format = <%u><%d>",
    "query = SELECT v FROM t WHERE k='%u@%d'", "query = SELECT '%1/%2/%d/%u/%%/%S/%U/%D'",
    "query = SELECT v FROM t WHERE k='%s'\nexpansion_limit = 1", "query = SELECT v FROM t WHERE k='%s'\ndomain = d.x, foo",
    "table = t\nselect_field = v\nwhere_field = k\nadditional_conditions = AND v <> 'one'", "query = SELEC", "query = SELECT '%q'", "",
]
SQL_KEYS = ["u@d.x", "U@D.X", "plain", "a@b.c", "it's", "@d.x", "u@", "a@b@c.d"]
SETTINGS = """compatibility_level = 3.6
myhostname = mx.test.example
maillog_file = /dev/null
maillog_file_prefixes = /dev
default_database_type = lmdb
"""


class Postmap:
    """One of the two programs, with its configuration and its own copies of the indexed tables."""

    def __init__(self, folder, program, settings="", environment=None):
        self.folder, self.program = folder, program
        self.environment = environment or {**os.environ, "LC_ALL": "C"}
        folder.mkdir()
        (folder / "main.cf").write_text(SETTINGS + settings)

    def run(self, *arguments):
        done = subprocess.run([str(self.program), "-c", str(self.folder), *arguments], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=60, env=self.environment, check=False)
        return Outcome(done.returncode, done.stdout.splitlines(), [])

    def ask(self, table, key):
        return self.run("-q", key, table.replace("OWN", str(self.folder)))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    found = debian_commands(tmp_path_factory.mktemp("debian"))
    if found is None:
        pytest.skip("Debian's postfix package cannot be downloaded")
    folder = tmp_path_factory.mktemp("theirs") / "etc"
    accounts = ensure_accounts()
    one = Postmap(folder, found.commands / "postmap",
                  f"meta_directory = {folder}\nshlib_directory = {found.libraries}\nmail_owner = {accounts.owner}\n"
                  f"setgid_group = {accounts.drop_group}\n", found.environment())
    plugins = [(name, symbols, found.libraries / f"postfix-{name}.so") for name, symbols in PLUGINS.items()]
    (folder / "dynamicmaps.cf").write_text("".join(f"{name} {path} {' '.join(symbols)}\n"
                                                   for name, symbols, path in plugins if path.exists()))
    return one


@pytest.fixture(scope="module")
def ours(tmp_path_factory, flavour):
    if flavour.is_postfix:
        pytest.skip("states something of ours")
    return Postmap(tmp_path_factory.mktemp("ours") / "etc", flavour.command_directory / "postmap")


def write_tables(folder, programs):
    """The files of all tables; indexed ones are built by each program for itself."""
    for name, text in (("patterns", PATTERNS), ("networks", CIDR), ("text", TEXT)):
        (folder / name).write_text(text)
    for program in programs:
        (program.folder / "text").write_text(TEXT)
        for kind in ("lmdb", "cdb"):
            program.run(f"{kind}:{program.folder / 'text'}")
    with sqlite3.connect(folder / "db") as database:
        database.execute("CREATE TABLE t(k text, v text, w text)")
        database.executemany("INSERT INTO t VALUES (?,?,?)", [("u@d.x", "one", "w1"), ("u@d.x", "two", None), ("plain", "p", ""),
                                                              ("a@b.c", "x@y.z", "q"), ("it's", "quote", "z")])
    for number, lines in enumerate(SQL):
        (folder / f"s{number}.cf").write_text(f"dbpath = {folder / 'db'}\n{lines}\n")


def questions(folder):
    """(table, key) pairs."""
    for kind, name, keys in (("regexp", "patterns", PATTERN_KEYS), ("pcre", "patterns", PATTERN_KEYS),
                             ("cidr", "networks", CIDR_KEYS), ("texthash", "text", TEXT_KEYS)):
        yield from ((f"{kind}:{folder / name}", key) for key in keys)
    for kind in ("lmdb", "cdb"):
        yield from ((f"{kind}:OWN/text", key) for key in TEXT_KEYS)
    for table, keys in INLINE:
        yield from ((table, key) for key in keys)
    for number in range(len(SQL)):
        yield from ((f"sqlite:{folder / f's{number}.cf'}", key) for key in SQL_KEYS)


def test_as_debian(ours, theirs, tmp_path):
    rules = read_allowed(ALLOWED)
    write_tables(tmp_path, (ours, theirs))
    asked = list(questions(tmp_path))
    assert len(asked) > 200

    def compare(question):
        table, key = question
        shown = f"{table.replace(str(tmp_path), 'DIR')} | {key!r}"
        debian, mine = theirs.ask(table, key), ours.ask(table, key)
        return [f"{shown}: {what}\n  debian: {getattr(debian, what)}\n  ours:   {getattr(mine, what)}"
                for what in unexplained(shown, debian, mine, rules)]

    with ThreadPoolExecutor(24) as pool:  # Debian's programs sleep for a second before a fatal error
        found = [line for lines in pool.map(compare, asked) for line in lines]
    assert not found, "\n".join(found)
