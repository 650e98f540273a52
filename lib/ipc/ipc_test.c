// SPDX-License-Identifier: ISC
// ipc_test.c: the frame codec, connections on a socketpair, descriptors, and the options of a daemon.
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/ipc/ipc_pool.h"
#include "lib/ipc/service_internal.h"

static struct raw as_raw(const struct buf *b)
{
    return (struct raw){(const unsigned char *)b->ptr, b->len};
}

static void build(struct ipc_msg *m)
{
    ipc_begin(m, 77, "deliver");
    ipc_add_str(m, "sender", STR("a@example"));
    ipc_add_int(m, "size", -12);
    ipc_add_str(m, "rcpt", STR("one"));
    ipc_add_str(m, "rcpt", STR(""));
    ck_assert_int_eq(ipc_end(m), 0);
}

START_TEST(fields_come_back)
{
    struct ipc_msg m = IPC_MSG_INIT;
    struct ipc_view v;
    struct err err = ERR_INIT;
    size_t size = 0, at = 0;
    struct str name, value;
    int64_t number;
    build(&m);
    ck_assert_int_eq(ipc_decode(as_raw(&m.data), &v, &size, &err), 1);
    ck_assert_uint_eq(size, m.data.len);
    ck_assert_uint_eq(v.id, 77);
    ck_assert(str_is(v.verb, STR("deliver")));
    ck_assert(ipc_get_str(&v, "sender", &value) && str_is(value, STR("a@example")));
    ck_assert(ipc_get_int(&v, "size", &number) && number == -12);
    ck_assert(!ipc_get_int(&v, "sender", &number));
    ck_assert(!ipc_get_str(&v, "verb", &value));
    ck_assert_int_eq(ipc_int_or(&v, "absent", 5), 5);
    int fields = 0;
    while (ipc_next(&v, &at, &name, &value))
        fields++;
    ck_assert_int_eq(fields, 4);
    ipc_msg_release(&m);
}
END_TEST

START_TEST(every_cut_is_incomplete_and_every_lie_is_refused)
{
    struct ipc_msg m = IPC_MSG_INIT;
    struct ipc_view v;
    struct err err = ERR_INIT;
    size_t size;
    build(&m);
    for (size_t len = 0; len < m.data.len; len++)
        ck_assert_int_eq(ipc_decode((struct raw){(unsigned char *)m.data.ptr, len}, &v, &size, &err), 0);
    static const int lies[] = {0, 1, 2, 6, 7, 12, 13}; // magic, version, field count, length, name length, name
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        m.data.ptr[lies[i]] ^= 0x55;
        ck_assert_int_eq(ipc_decode(as_raw(&m.data), &v, &size, &err), -1);
        m.data.ptr[lies[i]] ^= 0x55;
    }
    m.data.ptr[17]++; // the verb's length now reaches into the next field
    ck_assert_int_eq(ipc_decode(as_raw(&m.data), &v, &size, &err), -1);
    ipc_msg_release(&m);
}
END_TEST

START_TEST(too_large_is_taken_back)
{
    struct ipc_msg m = IPC_MSG_INIT;
    char *big = mem_alloc(IPC_FRAME_MAX);
    build(&m);
    size_t before = m.data.len;
    ipc_begin(&m, 2, "big");
    ipc_add_str(&m, "text", str_of(big, IPC_FRAME_MAX));
    ipc_add_str(&m, "more", STR("x"));
    ck_assert_int_eq(ipc_end(&m), -1);
    ck_assert_uint_eq(m.data.len, before);
    mem_free(big);
    ipc_msg_release(&m);
}
END_TEST

// ---- Connections

struct pair {
    int fds[2];
    bool is_done;
};

static void talk(void *arg)
{
    co_assert_running();
    struct pair *p = arg;
    struct ipc_conn *a = ipc_conn_new(p->fds[0]), *b = ipc_conn_new(p->fds[1]);
    struct ipc_msg m = IPC_MSG_INIT;
    struct ipc_view v;
    struct err err = ERR_INIT;
    int64_t soon = clock_ms() + 5000;
    build(&m);
    build(&m);
    ck_assert_int_eq(ipc_send(a, &m, soon, &err), 0);
    ipc_begin(&m, 3, "here");
    ipc_end(&m);
    int null = open("/dev/null", O_RDONLY);
    ck_assert_int_eq(ipc_send_fd(a, &m, null, soon, &err), 0);
    ck_assert_int_eq(ipc_recv(b, &v, soon, &err), 1);
    ck_assert_int_eq(v.fd, -1);
    ck_assert(ipc_has_input(b));
    ck_assert_int_eq(ipc_recv(b, &v, soon, &err), 1);
    ck_assert_int_eq(ipc_recv(b, &v, soon, &err), 1);
    ck_assert(str_is(v.verb, STR("here")));
    ck_assert_int_ge(v.fd, 0);
    close(v.fd);
    close(null);
    ck_assert(ipc_is_alive(b));
    ck_assert_int_eq(ipc_recv(b, &v, clock_ms() + 20, &err), -1);
    ck_assert_int_eq(err.kind, ERR_TIMEOUT);
    ipc_conn_free(a);
    ck_assert(!ipc_is_alive(b));
    ck_assert_int_eq(ipc_recv(b, &v, soon, &err), 0);
    ipc_conn_free(b);
    ipc_msg_release(&m);
    p->is_done = true;
    co_loop_stop();
}

static void send_big(void *arg)
{
    co_assert_running();
    struct ipc_conn *c = arg;
    struct err err = ERR_INIT;
    struct ipc_msg m = IPC_MSG_INIT;
    char *text = mem_alloc(900 * 1024);
    memset(text, 'x', 900 * 1024);
    for (int i = 0; i < 3; i++) {
        ipc_begin(&m, (uint32_t)i, "big");
        ipc_add_str(&m, "text", str_of(text, 900 * 1024));
        ck_assert_int_eq(ipc_end(&m), 0);
        ck_assert_int_eq(ipc_send(c, &m, clock_ms() + 5000, &err), 0);
    }
    mem_free(text);
    ipc_msg_release(&m);
}

static void receive_big(void *arg)
{
    co_assert_running();
    struct pair *p = arg;
    struct ipc_conn *a = ipc_conn_new(p->fds[0]), *b = ipc_conn_new(p->fds[1]);
    struct ipc_view v;
    struct err err = ERR_INIT;
    struct co *one = co_ref(co_spawn("one", send_big, a)), *two = co_ref(co_spawn("two", send_big, a));
    for (int i = 0; i < 6; i++) { // frames of two senders arrive whole, one after the other
        ck_assert_int_eq(ipc_recv(b, &v, clock_ms() + 5000, &err), 1);
        ck_assert_uint_eq(ipc_str_or(&v, "text", STR("")).len, 900 * 1024);
    }
    ck_assert_int_eq(co_join(one, clock_ms() + 5000), 0);
    ck_assert_int_eq(co_join(two, clock_ms() + 5000), 0);
    co_unref(one);
    co_unref(two);
    ipc_conn_free(a);
    ipc_conn_free(b);
    p->is_done = true;
    co_loop_stop();
}

// Idle connections come back while their peers live, the last one first; what is over the limit is closed.
static void keep_idle(void *arg)
{
    co_assert_running();
    struct pair *p = arg;
    struct ipc_pool pool = {.count = 0};
    struct ipc_conn *first = ipc_conn_new(p->fds[0]), *peer = ipc_conn_new(p->fds[1]);
    ck_assert_ptr_null(ipc_pool_take(&pool));
    ipc_pool_give(&pool, first);
    for (int i = 0; i < IPC_POOL_MAX; i++) {
        int fds[2];
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        ipc_pool_give(&pool, ipc_conn_new(fds[0]));
        close(fds[1]); // its end is seen when it is taken
    }
    ck_assert_uint_eq(pool.count, IPC_POOL_MAX);
    ck_assert_ptr_eq(ipc_pool_take(&pool), first);
    ck_assert_uint_eq(pool.count, 0);
    ipc_pool_give(&pool, first);
    ipc_pool_clear(&pool);
    ck_assert_uint_eq(pool.count, 0);
    ck_assert(!ipc_is_alive(peer));
    ipc_conn_free(peer);
    p->is_done = true;
    co_loop_stop();
}

static void run(void (*fn)(void *))
{
    struct pair p = {.is_done = false};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p.fds), 0);
    co_loop_init();
    co_spawn("test", fn, &p);
    co_loop_run(1000);
    co_loop_free();
    ck_assert(p.is_done);
}

START_TEST(frames_and_descriptors_travel)
{
    run(talk);
}
END_TEST

START_TEST(large_frames_of_two_senders_do_not_mix)
{
    run(receive_big);
}
END_TEST

// ---- Options of a daemon

// `line` is split at blanks; '|' stands for a blank within an argument.
static int parse(const char *line, struct arena *arena, struct service_options *o_r)
{
    char *argv[40] = {arena_cstr(arena, STR("smtpd"))};
    int argc = 1;
    struct str rest = str_from(line), token;
    while (argc < 39 && str_token(&rest, " ", &token)) {
        argv[argc] = arena_cstr(arena, token);
        for (char *p = argv[argc++]; *p; p++)
            *p = *p == '|' ? ' ' : *p;
    }
    char **kept = ARENA_ARRAY(arena, char *, 40);
    memcpy(kept, argv, sizeof argv);
    struct err err = ERR_INIT;
    return service_options_parse(o_r, arena, argc, kept, &err);
}

START_TEST(idle_connections_are_kept)
{
    run(keep_idle);
}
END_TEST

START_TEST(options_are_parsed)
{
    struct arena arena = ARENA_INIT;
    struct service_options o;
    ck_assert_int_eq(
        parse("-n submission -t inet -u -c -o stress= -s 2 -v -o {|a|=|b|c|} -o x=y -l flags=DR -q", &arena, &o), 0);
    ck_assert_str_eq(o.name, "submission");
    ck_assert_str_eq(o.type, "inet");
    ck_assert(o.is_unpriv && o.is_chroot && o.is_one && !o.is_unlimited && !o.is_standalone);
    ck_assert_uint_eq(o.listeners, 2);
    ck_assert_str_eq(o.overrides[0], "stress=");
    ck_assert_str_eq(o.overrides[1], "a=b c");
    ck_assert_str_eq(o.overrides[2], "x=y");
    ck_assert_ptr_null(o.overrides[3]);
    ck_assert_str_eq(o.rest[0], "flags=DR"); // options end at the first argument
    ck_assert_str_eq(o.rest[1], "-q");
    ck_assert_int_eq(parse("-o novalue", &arena, &o), -1);
    ck_assert_int_eq(parse("-Q", &arena, &o), -1);
    ck_assert_int_eq(parse("-s 9999", &arena, &o), -1);
    arena_release(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ipc");
    TCase *t = tcase_create("ipc");
    tcase_add_test(t, fields_come_back);
    tcase_add_test(t, every_cut_is_incomplete_and_every_lie_is_refused);
    tcase_add_test(t, too_large_is_taken_back);
    tcase_add_test(t, frames_and_descriptors_travel);
    tcase_add_test(t, large_frames_of_two_senders_do_not_mix);
    tcase_add_test(t, idle_connections_are_kept);
    tcase_add_test(t, options_are_parsed);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
