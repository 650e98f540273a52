#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""compare_postmap.py: asks our postmap and Debian's the same questions, and prints where they differ.

usage: compare_postmap.py BIN ROOT...   BIN: the folder of our programs; ROOT: unpacked Debian packages (postfix first, then
postfix-pcre, postfix-lmdb, postfix-sqlite, postfix-cdb as wanted)

Compared are the exit status, standard output and, with --messages, what is written on standard error.
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

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
ALIASES = TEXT_KEYS

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


class Postmap:
    def __init__(self, folder, program, environment):
        self.folder, self.program, self.environment = folder, program, {**os.environ, "LC_ALL": "C", **environment}

    def run(self, *arguments, data=None):
        result = subprocess.run([str(self.program), "-c", str(self.folder), *arguments], input=data, capture_output=True, timeout=60,
                                env=self.environment, stdin=subprocess.DEVNULL if data is None else None)
        return result.returncode, result.stdout, result.stderr


def make_ours(top, folder):
    (folder / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = mx.test.example\nmaillog_file = /dev/null\n"
                                    "maillog_file_prefixes = /dev\ndefault_database_type = lmdb\n")
    return Postmap(folder, Path(top) / "postmap", {})


def make_debian(roots, folder):
    found = {}
    for root in roots:
        for path in Path(root).glob("usr/lib/postfix/postfix-*.so"):
            found[path.stem.removeprefix("postfix-")] = path
    lines = [f"{name} {found[name]} {' '.join(symbols)}\n" for name, symbols in PLUGINS.items() if name in found]
    (folder / "dynamicmaps.cf").write_text("".join(lines))
    library = Path(roots[0]) / "usr/lib/postfix"
    (folder / "main.cf").write_text(f"compatibility_level = 3.6\nmyhostname = mx.test.example\nmeta_directory = {folder}\n"
                                    f"shlib_directory = {library}\ndefault_database_type = lmdb\n")
    return Postmap(folder, Path(roots[0]) / "usr/sbin/postmap", {"LD_LIBRARY_PATH": str(library)})


def cases(work):
    """(table, key) pairs; tables are built by whoever asks."""
    for name, text, keys, kinds in (("patterns", PATTERNS, PATTERN_KEYS, ("regexp", "pcre")), ("networks", CIDR, CIDR_KEYS, ("cidr",)),
                                    ("text", TEXT, TEXT_KEYS, ("texthash", "lmdb", "cdb"))):
        (work / name).write_text(text)
        for kind in kinds:
            yield from ((f"{kind}:{work / name}", key) for key in keys)
    for table, keys in INLINE:
        yield from ((table, key) for key in keys)
    import sqlite3
    with sqlite3.connect(work / "db") as database:
        database.execute("CREATE TABLE t(k text, v text, w text)")
        database.executemany("INSERT INTO t VALUES (?,?,?)", [("u@d.x", "one", "w1"), ("u@d.x", "two", None), ("plain", "p", ""),
                                                              ("a@b.c", "x@y.z", "q"), ("it's", "quote", "z")])
    for number, lines in enumerate(SQL):
        (work / f"s{number}.cf").write_text(f"dbpath = {work / 'db'}\n{lines}\n")
        yield from ((f"sqlite:{work / f's{number}.cf'}", key) for key in SQL_KEYS)


def differences(ours, theirs, work, with_messages):
    count = different = 0
    for table, key in cases(work):
        answers = []
        for one in (theirs, ours):
            if table.startswith(("lmdb:/tmp", "cdb:/tmp")) and not table.endswith("nonexistent/x"):
                one.run(table)
            answers.append(one.run("-q", key, table))
        count += 1
        (code, out, err), (our_code, our_out, our_err) = answers
        shown = table.replace(str(work), "W")
        if (code, out) != (our_code, our_out):
            different += 1
            print(f"{shown} [{key!r}]\n  Postfix: {code} {out!r} {err.decode(errors='replace').strip()[-160:]!r}\n"
                  f"  ours:    {our_code} {our_out!r} {our_err.decode(errors='replace').strip()[-160:]!r}")
        elif with_messages and err != our_err:
            print(f"{shown} [{key!r}]\n  Postfix: {err.decode(errors='replace')!r}\n  ours:    {our_err.decode(errors='replace')!r}")
    return count, different


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--messages"]
    if len(arguments) < 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="compare-") as name:
        work = Path(name)
        for folder in ("ours", "theirs", "work"):
            (work / folder).mkdir()
        ours = make_ours(arguments[0], work / "ours")
        theirs = make_debian(arguments[1:], work / "theirs")
        count, different = differences(ours, theirs, work / "work", "--messages" in sys.argv)
    print(f"{count} questions, {different} answered differently")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
