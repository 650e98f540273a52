// SPDX-License-Identifier: ISC
// dns_test.c: unit tests of the resolver: answers taken apart, the hosts file, lookups at a scripted server.
#include <check.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/net/dns_internal.h"

// ---- Messages made by hand

static void add_u16(struct buf *b, unsigned value)
{
    buf_add_char(b, (char)(value >> 8));
    buf_add_char(b, (char)value);
}

static void add_name(struct buf *b, const char *name)
{
    struct str label, rest = str_from(name);

    while (str_token(&rest, ".", &label)) {
        buf_add_char(b, (char)label.len);
        buf_add_str(b, label);
    }
    buf_add_char(b, 0);
}

static void add_header(struct buf *b, unsigned flags, unsigned answers)
{
    add_u16(b, 0x1234);
    add_u16(b, 0x8180 | flags);
    add_u16(b, 1);
    add_u16(b, answers);
    add_u16(b, 0);
    add_u16(b, 0);
    add_name(b, "example.com");
    add_u16(b, DNS_TYPE_MX);
    add_u16(b, 1);
}

static void add_record(struct buf *b, unsigned type, struct str data)
{
    add_u16(b, 0xc00c); // the question's name
    add_u16(b, type);
    add_u16(b, 1);
    add_u16(b, 0);
    add_u16(b, 60);
    add_u16(b, (unsigned)data.len);
    buf_add_str(b, data);
}

static void add_mx(struct buf *b, unsigned preference, const char *host)
{
    struct buf data = BUF_INIT;

    add_u16(&data, preference);
    add_name(&data, host);
    add_record(b, DNS_TYPE_MX, buf_str(&data));
    buf_release(&data);
}

static struct dns_answer parse_as(const struct buf *b, int type, struct arena *arena)
{
    struct dns_answer answer;

    dns_answer_parse((struct raw){(unsigned char *)b->ptr, b->len}, type, arena, &answer);
    return answer;
}

static struct dns_answer parse(const struct buf *b, struct arena *arena)
{
    return parse_as(b, DNS_TYPE_MX, arena);
}

START_TEST(answers_are_taken_apart)
{
    struct buf b = BUF_INIT;
    struct arena arena = ARENA_INIT;

    add_header(&b, 0x20, 2);
    add_mx(&b, 20, "MX2.Example.com");
    add_mx(&b, 10, "mx1.example.com");
    struct dns_answer a = parse(&b, &arena);
    ck_assert_int_eq(a.status, DNS_OK);
    ck_assert(a.is_secure);
    ck_assert_uint_eq(a.count, 2);
    ck_assert(str_is(a.records[0].name, STR("mx2.example.com")));
    ck_assert_uint_eq(a.records[1].preference, 10);
    for (size_t cut = 0; cut < b.len; cut++) { // no shorter piece is taken for an answer
        struct buf part = BUF_INIT;
        buf_add(&part, b.ptr, cut);
        ck_assert_int_eq(parse(&part, &arena).status, DNS_INVALID);
        buf_release(&part);
    }
    buf_release(&b);
    arena_release(&arena);
}
END_TEST

START_TEST(services_have_ports)
{
    struct buf b = BUF_INIT, data = BUF_INIT;
    struct arena arena = ARENA_INIT;

    add_header(&b, 0, 2);
    add_u16(&data, 1);
    add_u16(&data, 20);
    add_u16(&data, 465);
    add_name(&data, "Mx.Example.com");
    add_record(&b, DNS_TYPE_SRV, buf_str(&data));
    buf_truncate(&data, 6);
    add_name(&data, ""); // no such service (RFC 2782)
    add_record(&b, DNS_TYPE_SRV, buf_str(&data));
    struct dns_answer a = parse_as(&b, DNS_TYPE_SRV, &arena);
    ck_assert_int_eq(a.status, DNS_OK);
    ck_assert_uint_eq(a.count, 2);
    ck_assert(a.records[0].preference == 1 && a.records[0].weight == 20 && a.records[0].port == 465);
    ck_assert(str_is(a.records[0].name, STR("mx.example.com")) && a.records[1].name.len == 0);
    buf_clear(&b);
    add_header(&b, 0, 1);
    buf_truncate(&data, 5);
    add_record(&b, DNS_TYPE_SRV, buf_str(&data));
    ck_assert_int_eq(parse_as(&b, DNS_TYPE_SRV, &arena).status, DNS_INVALID);
    buf_release(&data);
    buf_release(&b);
    arena_release(&arena);
}
END_TEST

START_TEST(odd_answers_are_told_apart)
{
    struct buf b = BUF_INIT;
    struct arena arena = ARENA_INIT;

    add_header(&b, 3, 0);
    ck_assert_int_eq(parse(&b, &arena).status, DNS_NOT_FOUND);
    buf_clear(&b);
    add_header(&b, 2, 0);
    ck_assert_int_eq(parse(&b, &arena).status, DNS_TRY_AGAIN);
    buf_clear(&b);
    add_header(&b, 0, 0);
    ck_assert_int_eq(parse(&b, &arena).status, DNS_NO_DATA);
    buf_clear(&b);
    add_header(&b, 0, 1);
    add_mx(&b, 0, "");
    struct dns_answer a = parse(&b, &arena);
    ck_assert_int_eq(a.status, DNS_OK);
    ck_assert_uint_eq(a.records[0].name.len, 0); // null MX
    buf_clear(&b);
    add_header(&b, 0, 2);
    add_mx(&b, 5, "bad name;rm.example.com");
    add_mx(&b, 6, "good.example.com");
    a = parse(&b, &arena);
    ck_assert_uint_eq(a.count, 1);
    ck_assert(str_is(a.records[0].name, STR("good.example.com")));
    buf_clear(&b);
    add_header(&b, 0, 1);
    add_mx(&b, 5, "bad\001name.example.com");
    ck_assert_int_eq(parse(&b, &arena).status, DNS_INVALID);
    buf_clear(&b);
    add_header(&b, 0, 1);
    add_u16(&b, 0xc000 | (unsigned)b.len); // a name that points to itself
    ck_assert_int_eq(parse(&b, &arena).status, DNS_INVALID);
    buf_release(&b);
    arena_release(&arena);
}
END_TEST

START_TEST(texts_and_tlsa_records_are_bounded)
{
    struct buf b = BUF_INIT;
    struct arena arena = ARENA_INIT;

    add_header(&b, 0x20, 3);
    add_record(&b, DNS_TYPE_TXT, STR("\003v=S\005TSv1;"));
    add_record(&b, DNS_TYPE_TLSA, STR("\003\001\001\252\273"));
    add_record(&b, DNS_TYPE_CNAME, STR("\001x\004test\000"));
    struct dns_answer a = parse_as(&b, DNS_TYPE_TXT, &arena);
    ck_assert_uint_eq(a.count, 1);
    ck_assert(str_is(a.records[0].data, STR("v=STSv1;")));
    ck_assert(str_is(a.owner, STR("example.com")));
    a = parse_as(&b, DNS_TYPE_TLSA, &arena);
    ck_assert_uint_eq(a.count, 1);
    ck_assert(a.is_secure);
    ck_assert_mem_eq(a.records[0].tlsa, "\003\001\001", 3);
    ck_assert(str_is(a.records[0].data, STR("\252\273")));
    a = parse_as(&b, DNS_TYPE_CNAME, &arena);
    ck_assert(str_is(a.records[0].name, STR("x.test")));
    buf_clear(&b);
    add_header(&b, 0, 1);
    add_record(&b, DNS_TYPE_TXT, STR("\011short")); // longer than the record
    ck_assert_int_eq(parse_as(&b, DNS_TYPE_TXT, &arena).status, DNS_INVALID);
    buf_clear(&b);
    add_header(&b, 0, 1);
    add_record(&b, DNS_TYPE_TLSA, STR("\003\001\001")); // nothing to match
    ck_assert_int_eq(parse_as(&b, DNS_TYPE_TLSA, &arena).status, DNS_INVALID);
    buf_release(&b);
    arena_release(&arena);
}
END_TEST

START_TEST(names_are_checked)
{
    char label[80] = "";

    memset(label, 'a', 64);
    ck_assert(dns_name_is_valid(STR("a.b-c._d.example")));
    ck_assert(!dns_name_is_valid(STR("")));
    ck_assert(!dns_name_is_valid(STR("a..b")));
    ck_assert(!dns_name_is_valid(STR("a.")));
    ck_assert(!dns_name_is_valid(STR("a b")));
    ck_assert(!dns_name_is_valid(str_of(label, 64)));
    ck_assert(dns_name_is_valid(str_of(label, 63)));
}
END_TEST

START_TEST(hosts_file_is_read)
{
    struct dns_hosts h;

    dns_hosts_parse(&h, STR("127.0.0.1 localhost # me\n::1\tlocalhost ip6\nbad line\n\n10.0.0.1 Big.Example big"));
    const struct dns_hosts_entry *e = dns_hosts_find(&h, STR("LOCALHOST"));
    ck_assert_ptr_nonnull(e);
    ck_assert_uint_eq(e->count, 2);
    e = dns_hosts_find(&h, STR("big"));
    ck_assert_ptr_nonnull(e);
    ck_assert(!e->is_canonical);
    ck_assert_ptr_null(dns_hosts_find(&h, STR("me")));
    ck_assert_ptr_null(dns_hosts_find(&h, STR("line")));
    dns_hosts_release(&h);
}
END_TEST

// ---- Lookups at a server in a child process

#define QUESTION_AT 12

static void add_address(struct buf *b, unsigned type)
{
    add_u16(b, 0xc00c);
    add_u16(b, type);
    add_u16(b, 1);
    add_u16(b, 0);
    add_u16(b, 60);
    add_u16(b, type == DNS_TYPE_A ? 4 : 16);
    if (type == DNS_TYPE_A)
        buf_add(b, "\x0a\x00\x00\x07", 4);
    else
        buf_add(b, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07", 16);
}

// Answers by the first label: mx, both, four, none, fail; "mute" gets nothing.
static void answer_query(int fd, struct buf *q, const struct sockaddr *from, socklen_t len)
{
    struct buf a = BUF_INIT;
    size_t at = QUESTION_AT, answers = 0;
    struct str label = str_of(q->ptr + QUESTION_AT + 1, (size_t)q->ptr[QUESTION_AT]);

    while (at < q->len && q->ptr[at] != 0)
        at += 1 + (size_t)q->ptr[at];
    unsigned type = (unsigned)q->ptr[at + 1] << 8 | (unsigned char)q->ptr[at + 2];
    if (str_is(label, STR("mute")))
        return;
    buf_add(&a, q->ptr, at + 5);
    memcpy(a.ptr + 2,
           str_is(label, STR("none"))   ? "\x81\x83"
           : str_is(label, STR("fail")) ? "\x81\x82"
                                        : "\x81\xa0",
           2);
    memcpy(a.ptr + 6, "\0\0\0\0\0\0", 6); // no further records, no OPT
    bool gives_a = str_is(label, STR("both")) || str_is(label, STR("four"));
    if (type == DNS_TYPE_MX && str_is(label, STR("mx"))) {
        add_mx(&a, 20, "two.example");
        add_mx(&a, 10, "one.example");
        add_mx(&a, 20, "three.example");
        answers = 3;
    } else if ((type == DNS_TYPE_A && gives_a) || (type == DNS_TYPE_AAAA && str_is(label, STR("both")))) {
        add_address(&a, type);
        answers = 1;
    }
    a.ptr[7] = (char)answers;
    (void)!sendto(fd, a.ptr, a.len, 0, from, len);
    buf_release(&a);
}

static pid_t start_server(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sin;
    char servers[64];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, sizeof sin), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
    snprintf(servers, sizeof servers, "127.0.0.1:%d", ntohs(sin.sin_port));
    setenv("DROMOS_DNS_SERVERS", servers, 1);
    pid_t pid = fork();
    if (pid == 0) {
        char packet[600];
        struct sockaddr_storage from;
        alarm(20);
        for (;;) {
            socklen_t from_len = sizeof from;
            ssize_t n = recvfrom(fd, packet, sizeof packet, 0, (struct sockaddr *)&from, &from_len);
            if (n <= QUESTION_AT)
                continue;
            struct buf q = BUF_INIT;
            buf_add(&q, packet, (size_t)n);
            answer_query(fd, &q, (struct sockaddr *)&from, from_len);
            buf_release(&q);
        }
    }
    close(fd);
    return pid;
}

static enum dns_status ask(const char *host, int family, bool with_hosts, struct arena *arena,
                           struct dns_addresses *r) CO
{
    const struct dns_host_query query = {str_from(host), family, with_hosts};

    return dns_lookup_host(&query, arena, clock_ms() + 5000, r);
}

static void lookups(void *arg)
{
    struct arena arena = ARENA_INIT;
    struct dns_mx *mx;
    struct dns_addresses addrs;
    size_t count;
    int64_t soon = clock_ms() + 5000;

    co_assert_running();
    ck_assert_int_eq(dns_lookup_mx(STR("mx.test"), &arena, soon, &mx, &count), DNS_OK);
    ck_assert_uint_eq(count, 3);
    ck_assert(str_is(mx[0].host, STR("one.example")));
    ck_assert(str_is(mx[1].host, STR("two.example")));
    ck_assert_int_eq(dns_lookup_mx(STR("none.test"), &arena, soon, &mx, &count), DNS_NOT_FOUND);
    ck_assert_int_eq(dns_lookup_mx(STR("four.test"), &arena, soon, &mx, &count), DNS_NO_DATA);
    ck_assert_int_eq(dns_lookup_mx(STR("fail.test"), &arena, soon, &mx, &count), DNS_TRY_AGAIN);
    ck_assert_int_eq(dns_lookup_mx(STR("not a name"), &arena, soon, &mx, &count), DNS_INVALID);
    ck_assert_int_eq(ask("both.test", AF_UNSPEC, false, &arena, &addrs), DNS_OK);
    ck_assert_uint_eq(addrs.count, 2);
    ck_assert_int_eq(ask("four.test.", AF_UNSPEC, false, &arena, &addrs), DNS_OK);
    ck_assert_uint_eq(addrs.count, 1);
    ck_assert_int_eq(ask("four.test", AF_INET6, false, &arena, &addrs), DNS_NO_DATA);
    ck_assert_int_eq(ask("none.test", AF_UNSPEC, true, &arena, &addrs), DNS_NOT_FOUND);
    int64_t begun = clock_ms(); // the waiter gives up, the query is freed later
    ck_assert_int_eq(dns_lookup_mx(STR("mute.test"), &arena, begun + 50, &mx, &count), DNS_TRY_AGAIN);
    ck_assert_int_lt(clock_ms() - begun, 1000);
    arena_release(&arena);
    co_loop_stop();
}

START_TEST(lookups_ask_the_server)
{
    struct err err = ERR_INIT;
    pid_t server = start_server();

    co_loop_init();
    ck_assert_msg(dns_init(&err) == 0, "%s", err.text);
    co_spawn("lookups", lookups, NULL);
    co_loop_run(1000);
    dns_deinit();
    co_loop_free();
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dns");
    TCase *tc = tcase_create("dns");

    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, answers_are_taken_apart);
    tcase_add_test(tc, services_have_ports);
    tcase_add_test(tc, odd_answers_are_told_apart);
    tcase_add_test(tc, texts_and_tlsa_records_are_bounded);
    tcase_add_test(tc, names_are_checked);
    tcase_add_test(tc, hosts_file_is_read);
    tcase_add_test(tc, lookups_ask_the_server);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
