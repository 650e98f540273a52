// SPDX-License-Identifier: ISC
// table_test.c: lookup tables: each type, change detection, the source grammars, making tables.
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/net/addr.h"
#include "lib/table/table.h"

static char dir[64];

static void setup(void)
{
    strcpy(dir, "/tmp/table-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    log_open(LOG_TO_FD, -1, "test", "test");
    clock_fake_set(1000, 1000000);
}

static void teardown(void)
{
    char command[128];
    clock_fake_end();
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
}

static const char *path(const char *name)
{
    static char full[200];
    snprintf(full, sizeof(full), "%s/%s", dir, name);
    return full;
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(path(name), "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static void pass_seconds(int seconds)
{
    clock_fake_set(clock_ms() + seconds * 1000, clock_wall_us());
}

// "value", or "-" when absent, or "!" when the lookup fails.
static const char *ask(struct table *t, const char *key)
{
    static char answer[1000];
    struct buf value = BUF_INIT;
    struct err err = ERR_INIT;
    int found = table_lookup(t, str_from(key), &value, &err);
    snprintf(answer, sizeof(answer), "%s", found < 0 ? "!" : found == 0 ? "-" : buf_cstr(&value));
    buf_release(&value);
    return answer;
}

static struct table *open_named(const char *type, const char *name, unsigned flags)
{
    char full[300];
    snprintf(full, sizeof(full), "%s:%s", type, path(name));
    return table_open(str_from(full), flags);
}

static void check_one(const char *type_name, const char *key, const char *want)
{
    struct table *t = table_open(str_from(type_name), 0);
    ck_assert_str_eq(ask(t, key), want);
    table_close(t);
}

START_TEST(simple_types_answer)
{
    check_one("static:all", "x", "all");
    check_one("static:{two words}", "x", "two words");
    check_one("inline:{a=b, {C = d e}}", "c", "d e");
    check_one("inline:{a=b, {C = d e}}", "A", "b");
    check_one("inline:{a=b}", "z", "-");
    check_one("inline:a=b", "a", "!");
    check_one("fail:x", "a", "!");
    check_one("nosuch:x", "a", "!");
    check_one("plain", "a", "!");
    check_one("proxy:static:y", "a", "y");
    check_one("internal:x", "a", "-");
    check_one("nis:mail.aliases", "root", "-");
    check_one("randmap:{only}", "a", "only");
    check_one("unix:passwd.byname", "root", "root:x:0:0:root:/root:/bin/bash");
    check_one("unix:passwd.byname", "no-such-user", "-");
    check_one("unix:other", "root", "!");
}
END_TEST

START_TEST(texthash_reads_the_source_grammar)
{
    struct table *t;
    write_file(
        "t", "# comment\nfoo@bar.com  One Two  \n\nKey2\n# inside\n  continued\n\"a b\"@c  x\nbad\nfoo@bar.com dup\n");
    t = open_named("texthash", "t", 0);
    ck_assert_str_eq(ask(t, "FOO@bar.com"), "One Two");
    ck_assert_str_eq(ask(t, "key2"), "continued");
    ck_assert_str_eq(ask(t, "\"a b\"@c"), "x");
    ck_assert_str_eq(ask(t, "bad"), "-");
    table_close(t);
    write_file("t2", "key2\n# inside\n  continued\n  twice\n");
    t = open_named("texthash", "t2", 0);
    ck_assert_str_eq(ask(t, "key2"), "continued  twice");
    table_close(t);
}
END_TEST

START_TEST(a_changed_text_is_taken_up_after_a_second)
{
    struct table *t;
    write_file("t", "a one\n");
    t = open_named("texthash", "t", 0);
    ck_assert_str_eq(ask(t, "a"), "one");
    write_file("t", "a another\n");
    ck_assert_str_eq(ask(t, "a"), "one");
    pass_seconds(2);
    ck_assert_str_eq(ask(t, "a"), "another");
    ck_assert(!table_needs_restart());
    table_close(t);
}
END_TEST

START_TEST(a_missing_table_fails_until_it_appears)
{
    struct table *t = open_named("texthash", "late", 0);
    ck_assert_str_eq(ask(t, "a"), "!");
    write_file("late", "a b\n");
    pass_seconds(2);
    ck_assert_str_eq(ask(t, "a"), "b");
    table_close(t);
}
END_TEST

static void build(const char *name, const char *key, const char *value, bool keeps)
{
    char full[300];
    struct err err = ERR_INIT;
    struct table_writer *w;
    snprintf(full, sizeof(full), "lmdb:%s", path(name));
    w = table_writer_open(str_from(full), keeps, 0, &err);
    ck_assert_msg(w != NULL, "%s", err.text);
    ck_assert_int_eq(table_writer_put(w, str_from(key), str_from(value), false, &err), 1);
    ck_assert_int_eq(table_writer_put(w, str_from(key), STR("second"), false, &err), 0);
    ck_assert_msg(table_writer_commit(w, &err) == 0, "%s", err.text);
}

START_TEST(lmdb_is_replaced_under_a_reader)
{
    struct table *t;
    struct str key, value;
    size_t cursor = 0;
    build("m", "k", "v1", false);
    t = open_named("lmdb", "m", 0);
    ck_assert_str_eq(ask(t, "K"), "v1");
    ck_assert_str_eq(ask(t, "other"), "-");
    build("m", "k2", "v2", true);
    pass_seconds(2);
    ck_assert_str_eq(ask(t, "k2"), "v2");
    ck_assert_str_eq(ask(t, "k"), "v1");
    ck_assert_int_eq(table_next(t, &cursor, &key, &value, NULL), 1);
    ck_assert(str_is(key, STR("k")) && str_is(value, STR("v1")));
    ck_assert_int_eq(table_next(t, &cursor, &key, &value, NULL), 1);
    ck_assert_int_eq(table_next(t, &cursor, &key, &value, NULL), 0);
    table_close(t);
    ck_assert_int_lt(access(path("m.lmdb.tmp"), F_OK), 0);
}
END_TEST

START_TEST(cdb_is_built_and_read)
{
    char full[300];
    struct err err = ERR_INIT;
    struct table *t;
    struct str key, value;
    size_t cursor = 0;
    struct table_writer *w;
    snprintf(full, sizeof(full), "cdb:%s", path("c"));
    w = table_writer_open(str_from(full), false, 0, &err);
    if (w == NULL && strstr(err.text, "unsupported") != NULL)
        return; // built without libcdb
    ck_assert_msg(w != NULL, "%s", err.text);
    ck_assert_int_eq(table_writer_put(w, STR("k"), STR("one"), false, &err), 1);
    ck_assert_int_eq(table_writer_put(w, STR("k"), STR("two"), false, &err), 0);
    ck_assert_int_eq(table_writer_put(w, STR("k"), STR("three"), true, &err), 1);
    ck_assert_int_eq(table_writer_put(w, STR("l"), STR(""), false, &err), 1);
    ck_assert_msg(table_writer_commit(w, &err) == 0, "%s", err.text);
    t = open_named("cdb", "c", 0);
    ck_assert_str_eq(ask(t, "K"), "three");
    ck_assert_str_eq(ask(t, "l"), "");
    ck_assert_str_eq(ask(t, "m"), "-");
    ck_assert_int_eq(table_next(t, &cursor, &key, &value, NULL), 1);
    ck_assert(str_is(key, STR("k")) && str_is(value, STR("three")));
    ck_assert_int_eq(table_next(t, &cursor, &key, &value, NULL), 1);
    ck_assert_int_eq(table_next(t, &cursor, &key, &value, NULL), 0);
    ck_assert_ptr_null(table_writer_open(str_from(full), true, 0, &err));
    table_close(t);
    t = open_named("hash", "c", 0); // which honours it
    ck_assert_str_eq(ask(t, "K"), "three");
    cursor = 0;
    ck_assert_int_eq(table_next(t, &cursor, &key, &value, NULL), 1);
    ck_assert_int_lt(access(path("c.lmdb"), F_OK), 0);
    table_close(t);
    write_file("d.cdb", "this is no constant database");
    check_one("cdb:/no/such/file", "a", "!");
    t = open_named("cdb", "d", 0);
    ck_assert_str_eq(ask(t, "a"), "!");
    table_close(t);
}
END_TEST

START_TEST(caches_are_changed_in_place)
{
    struct err err = ERR_INIT;
    struct buf key = BUF_INIT, value = BUF_INIT;
    struct table *t = open_named("btree", "cache", TABLE_WRITE), *other;
    ck_assert_msg(table_is_usable(t, &err), "%s", err.text);
    ck_assert_str_eq(ask(t, "a"), "-");
    ck_assert_int_eq(table_update(t, STR("Abc"), STR("one"), &err), 0);
    ck_assert_int_eq(table_update(t, STR("x@y"), STR("two"), &err), 0);
    ck_assert_int_eq(table_update(t, STR("abc"), STR("three"), &err), 0);
    ck_assert_str_eq(ask(t, "ABC"), "three");
    ck_assert_int_eq(table_next_after(t, STR(""), &key, &value, &err), 1);
    ck_assert_str_eq(buf_cstr(&key), "abc");
    ck_assert_int_eq(table_next_after(t, buf_str(&key), &key, &value, &err), 1);
    ck_assert_str_eq(buf_cstr(&key), "x@y");
    ck_assert_str_eq(buf_cstr(&value), "two");
    ck_assert_int_eq(table_next_after(t, STR("b"), &key, &value, &err), 1);
    ck_assert_str_eq(buf_cstr(&key), "x@y");
    ck_assert_int_eq(table_next_after(t, STR("x@y"), &key, &value, &err), 0);
    ck_assert_int_eq(table_delete(t, STR("abc"), &err), 1);
    ck_assert_int_eq(table_delete(t, STR("abc"), &err), 0);
    ck_assert_int_eq(table_update(t, STR(""), STR("x"), &err), -1);
    other = open_named("lmdb", "cache", TABLE_WRITE);
    ck_assert(!table_is_usable(other, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "in use"));
    table_close(other);
    table_close(t);
    t = open_named("hash", "cache", TABLE_WRITE);
    ck_assert_str_eq(ask(t, "x@y"), "two");
    table_close(t);
    other = open_named("lmdb", "cache", 0);
    ck_assert_str_eq(ask(other, "x@y"), "two");
    ck_assert_int_eq(table_update(other, STR("a"), STR("b"), &err), -1);
    table_close(other);
    other = open_named("texthash", "cache", TABLE_WRITE);
    ck_assert(!table_is_usable(other, &err));
    table_close(other);
    buf_release(&key);
    buf_release(&value);
}
END_TEST

START_TEST(a_damaged_cache_is_begun_anew)
{
    struct err err = ERR_INIT;
    struct table *t;
    write_file("bad.lmdb",
               "this is no database, and yet it is longer than a header would be: "
               "................................................................................................");
    t = open_named("lmdb", "bad", TABLE_WRITE);
    ck_assert_msg(table_is_usable(t, &err), "%s", err.text);
    ck_assert_int_eq(table_update(t, STR("k"), STR("v"), &err), 0);
    ck_assert_str_eq(ask(t, "k"), "v");
    table_close(t);
}
END_TEST

static int owner_of(const char *name, uid_t *uid_r)
{
    struct table *t = table_open(str_from(name), 0);
    int known = table_owner(t, uid_r);
    table_close(t);
    return known;
}

START_TEST(owners_are_the_least_trusted)
{
    char name[400];
    uid_t uid = 12345;
    write_file("mine", "a b\n");
    ck_assert_int_eq(chown(path("mine"), geteuid() == 0 ? 4242 : geteuid(), (gid_t)-1), 0);
    ck_assert_int_eq(owner_of("static:x", &uid), 0);
    ck_assert_int_eq(owner_of("tcp:127.0.0.1:1", &uid), -1);
    ck_assert_int_eq(owner_of("unionmap:{static:x, inline:{a=b}}", &uid), 0);
    ck_assert_int_eq(owner_of("unionmap:{static:x, tcp:127.0.0.1:1}", &uid), -1);
    snprintf(name, sizeof(name), "unionmap:{static:x, texthash:%s, static:y}", path("mine"));
    ck_assert_int_eq(owner_of(name, &uid), 1);
    ck_assert_uint_eq(uid, geteuid() == 0 ? 4242 : geteuid());
    ck_assert_int_eq(owner_of("texthash:/no/such/file", &uid), -1);
}
END_TEST

START_TEST(hash_rebuilds_an_old_index)
{
    struct table *t;
    struct stat st;
    mode_t old = umask(077);
    write_file("h", "a one\n");
    ck_assert_int_eq(chmod(path("h"), 0644), 0);
    t = open_named("hash", "h", 0);
    umask(old);
    ck_assert_str_eq(ask(t, "a"), "one");
    ck_assert_int_eq(stat(path("h.lmdb"), &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0644);
    table_close(t);
    ck_assert_int_eq(unlink(path("h.lmdb")), 0);
    t = open_named("hash", "h", TABLE_NO_REBUILD);
    ck_assert_str_eq(ask(t, "a"), "one");
    ck_assert_int_lt(access(path("h.lmdb"), F_OK), 0);
    table_close(t);
}
END_TEST

START_TEST(an_alias_file_keeps_its_grammar)
{
    struct table *t;
    write_file("aliases", "# local aliases\nroot: joe,\n  jane\nPostmaster: root\n");
    for (unsigned flags = 0; flags <= TABLE_NO_REBUILD; flags += TABLE_NO_REBUILD) {
        unlink(path("aliases.lmdb"));
        t = open_named("hash", "aliases", flags);
        ck_assert_str_eq(ask(t, "root"), "joe,  jane");
        ck_assert_str_eq(ask(t, "postmaster"), "root");
        ck_assert_str_eq(ask(t, "root:"), "-");
        table_close(t);
    }
    write_file("passwords", "[gw.example]:587 user:secret\n2001:db8::1 x\n");
    t = open_named("hash", "passwords", 0);
    ck_assert_str_eq(ask(t, "[gw.example]:587"), "user:secret");
    table_close(t);
}
END_TEST

START_TEST(many_keys_and_long_values_survive)
{
    char full[300], key[32];
    char *value = mem_alloc(100001);
    struct err err = ERR_INIT;
    struct table_writer *w;
    struct table *t;
    memset(value, 'x', 100000);
    snprintf(full, sizeof(full), "lmdb:%s", path("many"));
    w = table_writer_open(str_from(full), false, TABLE_NO_NUL, &err);
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "key%d", i);
        ck_assert_int_eq(table_writer_put(w, str_from(key), str_from(key + 3), false, &err), 1);
    }
    ck_assert_int_eq(table_writer_put(w, STR("long"), str_from(value), false, &err), 1);
    ck_assert_int_eq(table_writer_delete(w, STR("key77"), &err), 1);
    ck_assert_int_eq(table_writer_delete(w, STR("key77"), &err), 0);
    ck_assert_int_eq(table_writer_commit(w, &err), 0);
    t = open_named("lmdb", "many", 0);
    ck_assert_str_eq(ask(t, "key19999"), "19999");
    ck_assert_str_eq(ask(t, "key77"), "-");
    ck_assert_int_eq((int)strlen(ask(t, "long")), 999); // as much as ask() shows
    table_close(t);
    mem_free(value);
}
END_TEST

START_TEST(cidr_follows_postfix)
{
    static const char *const cases[][2] = {{"1.1.1.1", "a"},    {"2.2.1.1", "two"}, {"2.3.1.1", "rest"},
                                           {"2.4.1.1", "not"},  {"3.1.1.1", "-"},   {"::1", "six"},
                                           {"4.4.4.4", "rest"}, {"foo", "-"}};
    struct table *t;
    write_file("c", " lead x\n1.0.0.0/8 a\nif 2.0.0.0/8\n2.2.0.0/16 two\n!2.3.0.0/16 not\nendif\nif !3.0.0.0/8\n"
                    "0.0.0.0/0 rest\nendif\nendif\n1.1.1.1/8 bad\nxx yy\n9.9.9.9\n[::1]/128 six\nif 1.1.1.1\n");
    t = open_named("cidr", "c", 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_str_eq(ask(t, cases[i][0]), cases[i][1]);
    table_close(t);
    check_one("cidr:{{1.2.3.0/24 r1}, {1.2.3.4/24 r2}}", "1.2.3.4", "r1");
}
END_TEST

// Against a walk through the rules: nested, equal and disjoint networks of both families.
START_TEST(cidr_index_finds_the_first_network)
{
    struct buf rules = BUF_INIT;
    unsigned long state = 7;
    static char nets[400][40];
    struct table *t;

    for (int i = 0; i < 400; i++) {
        unsigned bits, a, b;
        state = state * 6364136223846793005UL + 1442695040888963407UL;
        bits = 8 + (unsigned)(state >> 33) % 17;
        a = (unsigned)(state >> 40) % 4;
        b = (unsigned)(state >> 50) % 256;
        b = bits <= 8 ? 0 : bits >= 16 ? b : b & (0xff00U >> (bits - 8));
        if (i % 5 == 0)
            snprintf(nets[i], sizeof(nets[i]), "2001:%x::/%u", a * 16 + 1, 16 + bits);
        else
            snprintf(nets[i], sizeof(nets[i]), "%u.%u.0.0/%u", a, b, bits);
        buf_addf(&rules, "%s r%d\n", nets[i], i);
    }
    write_file("net", buf_cstr(&rules));
    t = open_named("cidr", "net", 0);
    for (int i = 0; i < 4000; i++) {
        char address[40], want[20] = "-";
        struct net_addr addr;
        struct net_cidr net;
        state = state * 6364136223846793005UL + 1442695040888963407UL;
        if (i % 5 == 0)
            snprintf(address, sizeof(address), "2001:%x:%x::1", (unsigned)(state >> 33) % 70,
                     (unsigned)(state >> 40) % 3);
        else
            snprintf(address, sizeof(address), "%u.%u.%u.%u", (unsigned)(state >> 33) % 5,
                     (unsigned)(state >> 36) % 256, (unsigned)(state >> 44) % 2, (unsigned)(state >> 50) % 256);
        ck_assert_int_eq(net_addr_parse(str_from(address), 0, &addr), 0);
        for (int k = 399; k >= 0; k--)
            if (net_cidr_parse(str_from(nets[k]), &net, NULL) == 0 && net_cidr_matches(&net, &addr))
                snprintf(want, sizeof(want), "r%d", k);
        ck_assert_msg(strcmp(ask(t, address), want) == 0, "%s: %s, not %s", address, ask(t, address), want);
    }
    table_close(t);
    check_one("cidr:{{255.255.255.255/32 last}, {0.0.0.0/32 first}}", "255.255.255.255", "last");
    buf_release(&rules);
}
END_TEST

START_TEST(alias_sources_have_their_own_grammar)
{
    struct table_text *text;
    struct str key, value;
    struct err err = ERR_INIT;
    unsigned line;
    write_file("al",
               "root: me, you\n\"x y\": z\n\"plain\": p\nAbc: \"|cmd a, b\", :include:/x\n noval\nnoval2\na: b: c\n"
               "root@dom: x\n");
    text = table_text_open(path("al"), TABLE_ALIAS_SOURCE, &err);
    ck_assert_int_eq(table_text_next(text, &key, &value, &line, &err), 1);
    ck_assert(str_is(key, STR("root")) && str_is(value, STR("me, you")));
    ck_assert_int_eq(table_text_next(text, &key, &value, &line, &err), 1);
    ck_assert(str_is(key, STR("\"x y\"")) && str_is(value, STR("z")));
    ck_assert_int_eq(table_text_next(text, &key, &value, &line, &err), 1);
    ck_assert(str_is(key, STR("plain")));
    ck_assert_int_eq(table_text_next(text, &key, &value, &line, &err), 1);
    ck_assert(str_is(key, STR("abc")) && str_is(value, STR("\"|cmd a, b\", :include:/x noval")));
    ck_assert_uint_eq(line, 4);
    ck_assert_int_eq(table_text_next(text, &key, &value, &line, &err), 1);
    ck_assert(str_is(key, STR("a")) && str_is(value, STR("b: c")));
    ck_assert_int_eq(table_text_next(text, &key, &value, &line, &err), 0);
    table_text_close(text);
}
END_TEST

START_TEST(lists_take_the_first_hit_and_stop_at_errors)
{
    struct table_list *l = table_list_open(STR("inline:{a=1}, inline:{a=2,b=3} fail:x"), 0);
    struct buf value = BUF_INIT;
    struct err err = ERR_INIT;
    ck_assert_int_eq(table_list_lookup(l, STR("a"), &value, NULL, &err), 1);
    ck_assert_str_eq(buf_cstr(&value), "1");
    ck_assert_int_eq(table_list_lookup(l, STR("b"), &value, NULL, &err), 1);
    ck_assert_int_eq(table_list_lookup(l, STR("c"), &value, NULL, &err), -1);
    ck_assert_int_eq(err.kind, ERR_TEMPORARY);
    table_list_close(l);
    l = table_list_open(STR(""), 0);
    ck_assert(table_list_is_empty(l));
    ck_assert_int_eq(table_list_lookup(l, STR("c"), &value, NULL, &err), 0);
    table_list_close(l);
    buf_release(&value);
}
END_TEST

static const char *ask_address(const char *tables, const char *address, unsigned keys, bool is_local)
{
    static char answer[200];
    struct table_list *l = table_list_open(str_from(tables), 0);
    struct table_address_query q = {str_from(address), STR("+"), keys, is_local};
    struct buf value = BUF_INIT;
    struct str extension;
    int found = table_list_lookup_address(l, &q, &value, &extension, NULL);
    snprintf(answer, sizeof(answer), "%s%s" STR_FMT,
             found > 0    ? buf_cstr(&value)
             : found == 0 ? "-"
                          : "!",
             extension.len ? " " : "", STR_ARG(extension));
    buf_release(&value);
    table_list_close(l);
    return answer;
}

START_TEST(address_keys_come_in_the_documented_order)
{
    const unsigned keys = ADDRESS_KEY_FULL | ADDRESS_KEY_LOCALPART | ADDRESS_KEY_AT_DOMAIN;
    const unsigned transport = ADDRESS_KEY_FULL | ADDRESS_KEY_DOMAIN | ADDRESS_KEY_PARENTS_DOTTED;
    ck_assert_str_eq(ask_address("inline:{u+x@d=1,u@d=2}", "u+x@d", keys, true), "1");
    ck_assert_str_eq(ask_address("inline:{u=3,u@d=2}", "u+x@d", keys, true), "2 +x");
    ck_assert_str_eq(ask_address("inline:{u=3,@d=4}", "u+x@d", keys, true), "3 +x");
    ck_assert_str_eq(ask_address("inline:{u=3,@d=4}", "u+x@d", keys, false), "4");
    ck_assert_str_eq(ask_address("inline:{{\"a b\"@d = q},{a b@d = p}}", "a b@d", keys, false), "q");
    ck_assert_str_eq(ask_address("inline:{{a b@d = p}}", "a b@d", keys, false), "p");
    ck_assert_str_eq(ask_address("inline:{d.e=1,.d.e=2}", "u@c.d.e", transport, false), "2");
    ck_assert_str_eq(ask_address("inline:{d.e=1,.d.e=2}", "u@d.e", transport, false), "1");
    ck_assert_str_eq(ask_address("inline:{d.e=1}", "u@c.d.e", ADDRESS_KEY_DOMAIN, false), "1");
    ck_assert_str_eq(ask_address("inline:{u@=1}", "u+y@c.d.e", ADDRESS_KEY_DOMAIN | ADDRESS_KEY_LOCAL_AT, false),
                     "1 +y");
    ck_assert_str_eq(ask_address("static:all", "u@c", ADDRESS_KEY_AT_DOMAIN, false), "all");
    ck_assert_str_eq(ask_address("", "u@c", keys, true), "-");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("table");
    TCase *tc = tcase_create("table");
    int failed;
    SRunner *runner;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, simple_types_answer);
    tcase_add_test(tc, texthash_reads_the_source_grammar);
    tcase_add_test(tc, a_changed_text_is_taken_up_after_a_second);
    tcase_add_test(tc, a_missing_table_fails_until_it_appears);
    tcase_add_test(tc, lmdb_is_replaced_under_a_reader);
    tcase_add_test(tc, cdb_is_built_and_read);
    tcase_add_test(tc, caches_are_changed_in_place);
    tcase_add_test(tc, a_damaged_cache_is_begun_anew);
    tcase_add_test(tc, owners_are_the_least_trusted);
    tcase_add_test(tc, hash_rebuilds_an_old_index);
    tcase_add_test(tc, an_alias_file_keeps_its_grammar);
    tcase_add_test(tc, many_keys_and_long_values_survive);
    tcase_add_test(tc, cidr_follows_postfix);
    tcase_add_test(tc, cidr_index_finds_the_first_network);
    tcase_add_test(tc, alias_sources_have_their_own_grammar);
    tcase_add_test(tc, lists_take_the_first_hit_and_stop_at_errors);
    tcase_add_test(tc, address_keys_come_in_the_documented_order);
    suite_add_tcase(s, tc);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
