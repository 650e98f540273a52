# SPDX-License-Identifier: ISC
"""Tables that ask a server: each against the real one, as the distribution packages it."""
import socket

import pytest

from harness import find_program, make_message, smtp_send, wait_until
from harness.databases import MariaDB, Memcached, OpenLDAP, PostgreSQL, Redis

pytestmark = pytest.mark.dromos

ROWS = [("u@d.example", "one"), ("u@d.example", "two"), ("plain", "p"), ("it's \"q\"\\", "quoted"), ("empty@d.example", ""),
        ("way@d.example", "x@y.example"), ("back\\", "slash")]


class Tables:
    """Asks tables of one type with postmap; `settings` are the lines every configuration file of the test has."""

    def __init__(self, instance, kind, settings):
        self.instance = instance
        self.kind = kind
        self.settings = settings
        self.count = 0

    def open(self, **lines):
        self.count += 1
        text = "".join(f"{name} = {value}\n" for name, value in {**self.settings, **lines}.items() if value is not None)
        return f"{self.kind}:{self.instance.file(f'{self.kind}{self.count}.cf', text)}"

    def ask(self, table, key):
        """The value, None for "not found"; a failure raises."""
        result = self.instance.run("postmap", "-q", key, table, check=False)
        if result.returncode == 0:
            return result.stdout.rstrip("\n")
        if "fatal:" in result.stderr:
            raise LookupError(result.stderr)
        return None


def server(kind, *arguments):
    """A module's server of this kind, made by its fixture."""
    def make(tmp_path_factory):
        if not kind.is_installed():
            pytest.skip(f"{kind.programs[0]} is not installed")
        # UNIX-domain socket paths are short
        import tempfile
        import os
        import shutil
        folder = tempfile.mkdtemp(prefix="db-", dir=os.environ.get("DROMOS_TEST_TMP", "/tmp"))
        os.chmod(folder, 0o755)
        one = kind(f"{folder}/s", *arguments)
        yield one
        one.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return make


@pytest.fixture(scope="module")
def system(shared_instance):
    return shared_instance(start=False)


def need(system, kind):
    if kind not in system.run("postconf", "-m").stdout.split():
        pytest.skip(f"{kind} is not built")


# ---- SQL: what PostgreSQL, MariaDB and SQLite have in common

@pytest.fixture(scope="module")
def postgresql(tmp_path_factory):
    for one in server(PostgreSQL)(tmp_path_factory):
        rows = ",".join("({})".format(",".join("'" + text.replace("'", "''") + "'" for text in row)) for row in ROWS)
        one.execute(f"CREATE TABLE alias(name text, target text); INSERT INTO alias VALUES {rows};"
                    "CREATE FUNCTION find(text) RETURNS SETOF text AS 'SELECT target FROM alias WHERE name = $1' LANGUAGE SQL;")
        yield one


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory):
    for one in server(MariaDB)(tmp_path_factory):
        rows = ",".join("({})".format(",".join("'" + text.replace("\\", "\\\\").replace("'", "''") + "'" for text in row))
                        for row in ROWS)
        one.execute("CREATE DATABASE mail; USE mail; CREATE TABLE alias(name varchar(99), target varchar(99));"
                    f"INSERT INTO alias VALUES {rows}; CREATE USER 'mail'@'127.0.0.1' IDENTIFIED BY 'secret';"
                    "CREATE USER 'mail'@'localhost' IDENTIFIED BY 'secret';"
                    "GRANT SELECT, EXECUTE ON mail.* TO 'mail'@'127.0.0.1', 'mail'@'localhost';"
                    "CREATE PROCEDURE find(k varchar(99)) SELECT target FROM alias WHERE name = k;")
        yield one


@pytest.fixture(scope="module")
def sqlite(system):
    if find_program("sqlite3") is None:
        pytest.skip("sqlite3 is not installed")
    import sqlite3
    path = system.directory / "aliases.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE alias(name text, target text)")
        database.executemany("INSERT INTO alias VALUES (?, ?)", ROWS)
    return path


@pytest.fixture(params=["pgsql", "mysql", "sqlite"])
def sql(request, system):
    need(system, request.param)
    if request.param == "sqlite":
        return Tables(system, "sqlite", {"dbpath": request.getfixturevalue("sqlite")})
    one = request.getfixturevalue("postgresql" if request.param == "pgsql" else "mariadb")
    settings = {"hosts": f"127.0.0.1:{one.port}", "user": "mail", "password": "secret",
                "dbname": "postgres" if request.param == "pgsql" else "mail"}
    return Tables(system, request.param, settings)


QUERY = "SELECT target FROM alias WHERE name = '%s'"


def test_sql_finds_rows(sql):
    table = sql.open(query=QUERY)
    assert sql.ask(table, "plain") == "p"
    assert sorted(sql.ask(table, "u@d.example").split(",")) == ["one", "two"]
    assert sql.ask(table, "U@D.Example") is not None  # keys are folded
    assert sql.ask(table, "nobody") is None
    assert sql.ask(table, "empty@d.example") is None


def test_sql_keys_are_data(sql):
    table = sql.open(query=QUERY)
    assert sql.ask(table, "it's \"q\"\\") == "quoted"
    assert sql.ask(table, "back\\") == "slash"
    for key in ("x' OR '1'='1", "x\\' OR 1=1 -- ", "'; DROP TABLE alias; --", "%", "ü\u2019 OR 1=1"):
        assert sql.ask(table, key) is None
    assert sql.ask(table, "plain") == "p"


def test_sql_templates(sql):
    assert sql.ask(sql.open(query="SELECT target FROM alias WHERE name = '%u@%d'"), "way@d.example") == "x@y.example"
    assert sql.ask(sql.open(query="SELECT target FROM alias WHERE name = '%u@%d'"), "plain") is None
    assert sql.ask(sql.open(query="SELECT '%1/%2/%u/%d/%%'"), "a@b.c.d") == "d/c/a/b.c.d/%"
    assert sql.ask(sql.open(query="SELECT '%4'"), "a@b.c.d") is None
    table = sql.open(query=QUERY, result_format="<%s:%u:%d:%S:%U:%D:%1>")
    assert sql.ask(table, "way@d.example") == "<x@y.example:x:y.example:way@d.example:way:d.example:example>"
    assert sql.ask(table, "u@d.example") is None  # the results have no domain
    assert sql.ask(sql.open(table="alias", select_field="target", where_field="name",
                            additional_conditions="AND target <> 'one'"), "u@d.example") == "two"


def test_sql_limits_and_domains(sql):
    table = sql.open(query=QUERY, domain="d.example, other.example")
    assert sql.ask(table, "way@d.example") == "x@y.example"
    assert sql.ask(table, "plain") is None
    assert sql.ask(table, "a@elsewhere.example") is None
    with pytest.raises(LookupError, match="expansion limit"):
        sql.ask(sql.open(query=QUERY, expansion_limit="1"), "u@d.example")
    assert sql.ask(sql.open(query=QUERY, expansion_limit="1"), "plain") == "p"


def test_sql_errors_are_failures(sql):
    for query in ("SELECT nothing FROM nowhere WHERE x = '%s'", "SELEC"):
        with pytest.raises(LookupError):
            sql.ask(sql.open(query=query), "plain")
    with pytest.raises(LookupError, match="template"):
        sql.ask(sql.open(query="SELECT '%q'"), "plain")
    with pytest.raises(LookupError, match="query"):
        sql.ask(sql.open(), "plain")


def test_pgsql_functions_and_uris(system, postgresql):
    need(system, "pgsql")
    settings = {"hosts": f"postgresql://mail:secret@127.0.0.1:{postgresql.port}/postgres"}
    tables = Tables(system, "pgsql", settings)
    assert tables.ask(tables.open(select_function="find"), "plain") == "p"
    tables.settings = {"hosts": f"unix:{postgresql.directory}/.s.PGSQL.{postgresql.port}", "user": "mail", "password": "secret",
                       "dbname": "postgres"}
    # the socket lies in a directory of the server's account, which only root may enter besides
    assert tables.ask(tables.open(query="SELECT name, target FROM alias WHERE name = '%s'"), "plain") == "plain,p"


def test_mysql_sockets_and_procedures(system, mariadb):
    need(system, "mysql")
    tables = Tables(system, "mysql", {"hosts": f"unix:{mariadb.directory}/socket", "user": "mail", "password": "secret", "dbname": "mail"})
    assert tables.ask(tables.open(query=QUERY), "plain") == "p"
    assert tables.ask(tables.open(query="CALL find('%s')"), "plain") == "p"


def test_a_dead_host_is_passed_over(system, postgresql):
    need(system, "pgsql")
    settings = {"hosts": f"inet:127.0.0.1:1, inet:127.0.0.1:{postgresql.port}", "user": "mail", "password": "secret", "dbname": "postgres"}
    tables = Tables(system, "pgsql", settings)
    assert tables.ask(tables.open(query=QUERY), "plain") == "p"


@pytest.mark.parametrize("kind, lines", [
    ("pgsql", {"hosts": "127.0.0.1:1", "query": QUERY}), ("mysql", {"hosts": "127.0.0.1:1", "query": QUERY}),
    ("redis", {"hosts": "127.0.0.1:1"}), ("memcache", {"memcache": "inet:127.0.0.1:1", "retry_pause": "0"}),
    ("ldap", {"server_host": "127.0.0.1:1", "query_filter": "(mail=%s)"}), ("sqlite", {"dbpath": "/nonexistent/x", "query": QUERY})])
def test_a_dead_server_is_a_failure(system, kind, lines):
    need(system, kind)
    tables = Tables(system, kind, lines)
    with pytest.raises(LookupError, match="connect|unavailable|open"):
        tables.ask(tables.open(), "key@d.example")


def test_a_wrong_password_is_a_failure(sql):
    if sql.kind == "sqlite":
        pytest.skip("no password")
    with pytest.raises(LookupError, match="(?i)password|denied"):
        sql.ask(sql.open(query=QUERY, password="wrong"), "plain")


def test_parameters_in_main_cf_serve_names_without_a_path(system, sqlite):
    need(system, "sqlite")
    system.set(old_dbpath=str(sqlite), old_query=QUERY)
    assert system.run("postmap", "-q", "plain", "sqlite:old").stdout == "p\n"


# ---- LDAP

ENTRIES = """dn: dc=test,dc=example
objectClass: dcObject
objectClass: organization
dc: test
o: test

dn: ou=people,dc=test,dc=example
objectClass: organizationalUnit
ou: people

dn: cn=ann,ou=people,dc=test,dc=example
objectClass: inetOrgPerson
cn: ann
sn: a
mail: ann@d.example
description: ann-box
title: boss

dn: cn=bob,ou=people,dc=test,dc=example
objectClass: inetOrgPerson
cn: bob
sn: b
mail: bob@d.example
mail: robert@d.example
description: bob-box

dn: cn=odd,ou=people,dc=test,dc=example
objectClass: inetOrgPerson
cn: odd
sn: o
mail: a*b(c)@d.example
description: odd-box

dn: cn=both,dc=test,dc=example
objectClass: groupOfNames
cn: both
description: group-text
member: cn=ann,ou=people,dc=test,dc=example
member: cn=bob,ou=people,dc=test,dc=example

dn: cn=url,dc=test,dc=example
objectClass: groupOfNames
objectClass: labeledURIObject
cn: url
labeledURI: ldap:///ou=people,dc=test,dc=example??one?(sn=a)
member: cn=ann,ou=people,dc=test,dc=example

dn: cn=loop,dc=test,dc=example
objectClass: groupOfNames
cn: loop
member: cn=loop,dc=test,dc=example
"""


@pytest.fixture(scope="module")
def slapd(tmp_path_factory):
    yield from server(OpenLDAP, ENTRIES)(tmp_path_factory)


@pytest.fixture
def ldap(system, slapd):
    need(system, "ldap")
    return Tables(system, "ldap", {"server_host": f"ldap://127.0.0.1:{slapd.port}", "search_base": "dc=test,dc=example",
                                   "version": "3", "bind_dn": "cn=admin,dc=test,dc=example", "bind_pw": "secret"})


def test_ldap_attributes(ldap):
    table = ldap.open(query_filter="(mail=%s)", result_attribute="description")
    assert ldap.ask(table, "ann@d.example") == "ann-box"
    assert ldap.ask(table, "nobody@d.example") is None
    assert ldap.ask(ldap.open(query_filter="(cn=%u)", result_attribute="mail"), "bob@x.example") == "bob@d.example,robert@d.example"
    assert ldap.ask(ldap.open(query_filter="(cn=%u)", result_attribute="mail", result_format="%u+%S"), "ann@x.y") == "ann+ann@x.y"
    assert ldap.ask(ldap.open(query_filter="(cn=%u)", result_attribute="mail", result_filter="<%s>"), "ann@x.y") == "<ann@d.example>"
    with pytest.raises(LookupError, match="expansion limit|Size limit"):
        ldap.ask(ldap.open(query_filter="(cn=%u)", result_attribute="mail", expansion_limit="1"), "bob@x.example")


def test_ldap_keys_are_data(ldap):
    table = ldap.open(query_filter="(mail=%s)", result_attribute="description")
    assert ldap.ask(table, "a*b(c)@d.example") == "odd-box"
    for key in ("*", "*@d.example", "ann@d.example)(cn=*", "\\2a", "x)(|(cn=*"):
        assert ldap.ask(table, key) is None


def test_ldap_base_and_scope(ldap):
    people = "ou=people,dc=test,dc=example"
    table = {"query_filter": "(cn=%s)", "result_attribute": "cn"}
    assert ldap.ask(ldap.open(**table, search_base="dc=test,dc=example", scope="one"), "ann") is None
    assert ldap.ask(ldap.open(**table, search_base=people, scope="one"), "ann") == "ann"
    assert ldap.ask(ldap.open(**table, search_base=f"cn=%s,{people}", scope="base"), "ann") == "ann"
    assert ldap.ask(ldap.open(**table, search_base=f"cn=%s,{people}", scope="base"), "x,ou=people") is None
    assert ldap.ask(ldap.open(**table, search_base="ou=%s,dc=test,dc=example"), "none") is None
    with pytest.raises(LookupError, match="No such object"):
        ldap.ask(ldap.open(**table, search_base="ou=none,dc=test,dc=example"), "ann")


def test_ldap_special_terminal_and_leaf_attributes(ldap):
    table = ldap.open(query_filter="(cn=%s)", result_attribute="mail", special_result_attribute="member, labeledURI",
                      terminal_result_attribute="title", leaf_result_attribute="description")
    assert ldap.ask(table, "bob") == "bob@d.example,robert@d.example,bob-box"
    assert ldap.ask(table, "ann") == "boss"
    assert sorted(ldap.ask(table, "both").split(",")) == ["bob-box", "bob@d.example", "boss", "robert@d.example"]
    assert ldap.ask(table, "url") == "boss,boss"
    with pytest.raises(LookupError, match="recursion limit"):
        ldap.ask(table, "loop")


def test_ldap_wrong_password_is_a_failure(ldap):
    with pytest.raises(LookupError, match="Invalid credentials"):
        ldap.ask(ldap.open(query_filter="(mail=%s)", bind_pw="wrong"), "ann@d.example")
    with pytest.raises(LookupError, match="(?i)filter"):
        ldap.ask(ldap.open(query_filter="(mail=%s"), "ann@d.example")


# ---- Redis

@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    for one in server(Redis)(tmp_path_factory):
        one.command("SET", "plain", "p")
        one.command("SET", "user:u@d.example", "box of u")
        one.command("SADD", "set:s", "a")
        one.command("RPUSH", "list:l@d.example", "x@y.example", "z@y.example")
        one.command("HSET", "hash", "h k", "of hash")
        yield one


def test_redis(system, redis):
    need(system, "redis")
    tables = Tables(system, "redis", {"hosts": f"inet:127.0.0.1:{redis.port}", "password": "secret"})
    assert tables.ask(tables.open(), "plain") == "p"
    assert tables.ask(tables.open(), "nobody") is None
    assert tables.ask(tables.open(query="GET user:%u@%d"), "U@D.example") == "box of u"
    assert tables.ask(tables.open(query="SMEMBERS set:%s"), "s") == "a"
    assert tables.ask(tables.open(query="LRANGE list:%s 0 -1", result_format="%u"), "l@d.example") == "x,z"
    assert tables.ask(tables.open(query="HGET hash %s"), "h k") == "of hash"
    assert tables.ask(tables.open(query="EXISTS %s"), "plain") == "1"
    assert tables.ask(tables.open(), "x\nDEL plain") is None
    assert tables.ask(tables.open(), "plain") == "p"
    assert tables.ask(tables.open(dbname="3"), "plain") is None
    for lines, message in (({"password": "wrong"}, "AUTH"), ({"query": "NOSUCH %s"}, "NOSUCH|unknown"), ({"query": "LLEN %s"}, "WRONGTYPE")):
        with pytest.raises(LookupError, match=message):
            tables.ask(tables.open(**lines), "plain")


# ---- memcached

@pytest.fixture(scope="module")
def memcached(tmp_path_factory):
    yield from server(Memcached)(tmp_path_factory)


def talk(one, text):
    with socket.create_connection(("127.0.0.1", one.port), timeout=10) as conn:
        conn.sendall(text)
        return conn.recv(4096)


def test_memcache(system, memcached):
    tables = Tables(system, "memcache", {"memcache": f"inet:127.0.0.1:{memcached.port}"})
    assert talk(memcached, b"set u@d.example 0 60 9\r\nu's value\r\n") == b"STORED\r\n"
    assert talk(memcached, b"set big 0 60 20000\r\n" + b"x" * 20000 + b"\r\n") == b"STORED\r\n"
    assert tables.ask(tables.open(), "u@d.example") == "u's value"
    assert tables.ask(tables.open(), "nobody") is None
    assert tables.ask(tables.open(), "two words") is None
    assert tables.ask(tables.open(), "x" * 300) is None
    assert tables.ask(tables.open(key_format="%u@d.example"), "u@x.example") == "u's value"
    with pytest.raises(LookupError):
        tables.ask(tables.open(retry_pause="0"), "big")


def test_memcache_backup_fills_the_cache(system, memcached):
    tables = Tables(system, "memcache", {"memcache": f"inet:127.0.0.1:{memcached.port}"})
    table = tables.open(backup="inline:{b@d.example=backed}", key_format="backup-%s", key_digest="sha256")
    assert tables.ask(table, "b@d.example") == "backed"
    import hashlib
    key = hashlib.sha256(b"backup-b@d.example").hexdigest().encode()
    assert b"backed" in talk(memcached, b"get " + key + b"\r\n")
    assert talk(memcached, b"set " + key + b" 0 60 5\r\nfresh\r\n") == b"STORED\r\n"
    assert tables.ask(table, "b@d.example") == "fresh"
    dead = tables.open(memcache="inet:127.0.0.1:1", backup="inline:{b@d.example=backed}", retry_pause="0")
    result = system.run("postmap", "-q", "b@d.example", dead)
    assert result.stdout == "backed\n" and "asking the backup" in result.stderr


# ---- Through proxymap: a daemon without client libraries asks it

@pytest.fixture
def mail_system(instance, redis):
    one = instance(start=False, main={"virtual_mailbox_domains": "virt.example", "virtual_transport": "discard:",
                                      "smtpd_error_sleep_time": "0"})
    need(one, "redis")
    one.main["virtual_mailbox_maps"] = f"redis:{one.file('boxes.cf', f'hosts=127.0.0.1:{redis.port}' + chr(10) + 'password=secret' + chr(10))}"
    one.write()
    one.start()
    redis.command("SET", "known@virt.example", "box")
    return one


def recipient(system, address):
    with system.dialogue(ehlo="client.example") as dialogue:
        assert dialogue.command("MAIL FROM:<a@b.example>")[0] == 250
        return dialogue.command(f"RCPT TO:<{address}>")[0]


@pytest.mark.root
def test_chrooted_daemons_ask_proxymap(mail_system):
    mail_system.stop()
    mail_system.inet_row = f"127.0.0.1:{mail_system.port} inet n - y - - smtpd"
    mail_system.set(proxymap_service_name="maps")
    mail_system.standard_rows = mail_system.standard_rows.replace("proxymap   unix", "maps       unix")
    mail_system.write()
    mail_system.start()
    assert recipient(mail_system, "known@virt.example") == 250
    assert recipient(mail_system, "unknown@virt.example") == 550


def test_daemons_ask_proxymap(mail_system, redis):
    assert recipient(mail_system, "known@virt.example") == 250
    assert recipient(mail_system, "unknown@virt.example") == 550
    assert len(mail_system.pids("proxymap")) == 1
    # a dead server defers, and is logged once
    redis.stop()
    mark = mail_system.log.mark()
    assert recipient(mail_system, "known@virt.example") // 100 == 4
    assert recipient(mail_system, "other@virt.example") // 100 == 4
    assert mail_system.log.count(r"proxymap\[\d+\]: warning: table redis:.*connect", mark) == 1
    redis.start()
    redis.command("SET", "known@virt.example", "box")

    def works():
        return recipient(mail_system, "known@virt.example") == 250
    wait_until(works, 20, "the server to be asked again", 0.3)


# ---- Local delivery opens databases itself, and takes no answers from strangers

def test_local_aliases_from_a_database(instance, sqlite):
    one = instance(start=False)
    need(one, "sqlite")
    import sqlite3
    with sqlite3.connect(sqlite) as database:
        database.execute("INSERT INTO alias VALUES ('team', ?)", (one.person,))
    path = one.file("aliases.cf", f"dbpath = {sqlite}\nquery = {QUERY}\n")
    one.main.update(alias_maps=f"proxy:sqlite:{path}", local_recipient_maps="")
    one.write()
    one.start()
    smtp_send(one, "a@b.example", "team@test.example", make_message("a@b.example", "team@test.example", subject="by alias"))
    one.log.wait_for(r"local\[\d+\]: \w+: to=<\S+@\S+>, orig_to=<team@test.example>, .*status=sent")
    assert not one.pids("proxymap")
    one.set(alias_maps="tcp:127.0.0.1:1")
    mark = one.log.mark()
    smtp_send(one, "a@b.example", "team@test.example", make_message("a@b.example", "team@test.example"))
    one.log.wait_for(r"local\[\d+\]: \w+: to=<team@test.example>, .*status=deferred", start=mark)
    assert one.log.find(r"tcp map is not allowed for security-sensitive data", mark)
