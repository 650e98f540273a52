// SPDX-License-Identifier: ISC
// stream_test.c: unit tests of line streams on socketpairs.
#include <check.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/net/stream.h"

static struct stream *s; // under test
static int peer;         // the other end

static void (*body)(void);

static void run_body(void *arg)
{
    co_assert_running();
    body();
    co_loop_stop();
}

static void drive(void (*fn)(void))
{
    int pair[2];

    co_loop_init();
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    s = stream_new(pair[0]);
    peer = pair[1];
    stream_set_deadline(s, clock_ms() + 5000);
    body = fn;
    co_spawn("test", run_body, NULL);
    co_loop_run(1000);
    stream_free(s);
    if (peer >= 0)
        close(peer);
    co_loop_free();
}

static void peer_says(const char *text)
{
    ck_assert_int_eq(write(peer, text, strlen(text)), (ssize_t)strlen(text));
}

static void peer_leaves(void)
{
    close(peer);
    peer = -1;
}

static void expect_line(size_t max, const char *text, enum line_end wanted) CO
{
    struct raw line;
    enum line_end end;
    struct err err = ERR_INIT;
    int got = stream_read_line(s, max, &line, &end, &err);

    ck_assert_msg(got == 1, "no line but %d: %s", got, err.text);
    ck_assert_msg(str_is(raw_unchecked(line), str_from(text)), "\"" STR_FMT "\" is not \"%s\"",
                  STR_ARG(raw_unchecked(line)), text);
    ck_assert_int_eq(end, wanted);
}

static void expect_end(void) CO
{
    struct raw line;
    enum line_end end;

    ck_assert_int_eq(stream_read_line(s, 100, &line, &end, NULL), 0);
}

static void line_ends_body(void)
{
    co_assert_running();
    peer_says("one\r\ntwo\nth\rree\r\n\r\n\n\r\r\nlast");
    peer_leaves();
    expect_line(100, "one", LINE_CRLF);
    expect_line(100, "two", LINE_LF);
    expect_line(100, "th\rree", LINE_CRLF);
    expect_line(100, "", LINE_CRLF);
    expect_line(100, "", LINE_LF);
    expect_line(100, "\r", LINE_CRLF);
    expect_line(100, "last", LINE_EOF);
    expect_end();
}
START_TEST(line_ends_are_told_apart)
{
    drive(line_ends_body);
}
END_TEST

static void limits_body(void)
{
    co_assert_running();
    peer_says("12345\r\n123456\r\n1234567890\n12345\n12345");
    expect_line(5, "12345", LINE_CRLF); // the line end does not count
    expect_line(5, "12345", LINE_CUT);
    expect_line(5, "6", LINE_CRLF);
    expect_line(5, "12345", LINE_CUT);
    expect_line(5, "67890", LINE_LF);
    expect_line(5, "12345", LINE_LF);
    peer_says("\r");
    peer_says("\n1234567");
    expect_line(5, "12345", LINE_CRLF);
    expect_line(5, "12345", LINE_CUT); // without waiting for more
    peer_leaves();
    expect_line(5, "67", LINE_EOF);
}
START_TEST(long_lines_are_cut)
{
    drive(limits_body);
}
END_TEST

static void byte_writer(void *arg)
{
    const char *text = arg;

    co_assert_running();
    for (size_t i = 0; text[i] != '\0'; i++) {
        ck_assert_int_eq(write(peer, &text[i], 1), 1);
        (void)!co_yield ();
    }
}

static void split_body(void)
{
    co_assert_running();
    stream_set_read_size(s, 1);
    static char pieces[] = "a\r\nbc\r\r\n";
    co_spawn("writer", byte_writer, pieces);
    expect_line(100, "a", LINE_CRLF);
    expect_line(100, "bc\r", LINE_CRLF);
    stream_set_read_size(s, 4096);
    struct buf big = BUF_INIT;
    for (int i = 0; i < 20000; i++)
        buf_add_char(&big, 'x');
    buf_add_cstr(&big, "\r\n");
    peer_says(buf_cstr(&big));
    buf_truncate(&big, 20000);
    expect_line(20000, buf_cstr(&big), LINE_CRLF);
    ck_assert_uint_eq(stream_buffered(s), 0);
    stream_idle(s);
    buf_release(&big);
}
START_TEST(lines_arrive_in_pieces)
{
    drive(split_body);
}
END_TEST

static void peek_body(void)
{
    struct raw data;
    struct err err = ERR_INIT;

    co_assert_running();
    peer_says("head\r\nabc");
    expect_line(100, "head", LINE_CRLF);
    ck_assert_int_eq(stream_peek(s, &data, &err), 1);
    ck_assert(str_is(raw_unchecked(data), STR("abc")));
    stream_consume(s, 1);
    peer_says("d");
    ck_assert_int_eq(stream_peek_more(s, 2, &data, &err), 1);
    ck_assert(str_is(raw_unchecked(data), STR("bcd")));
    stream_discard_input(s);
    ck_assert(stream_is_alive(s));
    peer_says("?");
    co_sleep_until(clock_ms() + 20); // the loop hears of it
    ck_assert(!stream_is_alive(s));
    ck_assert(stream_is_readable_now(s));
    peer_leaves();
    ck_assert_int_eq(stream_peek_more(s, 1, &data, &err), 0);
    ck_assert(!stream_is_alive(s));
}
START_TEST(content_is_peeked)
{
    drive(peek_body);
}
END_TEST

static void write_body(void)
{
    char text[64];
    struct err err = ERR_INIT;

    co_assert_running();
    stream_printf(s, "EHLO %s\r\n", "x");
    stream_write_str(s, STR("DATA\r\n"));
    ck_assert_uint_eq(stream_unflushed(s), 14);
    ck_assert_int_eq(stream_flush(s, &err), 0);
    ck_assert_int_eq(read(peer, text, sizeof text), 14); // in one piece
    ck_assert_int_eq(memcmp(text, "EHLO x\r\nDATA\r\n", 14), 0);
    peer_leaves();
    stream_write_str(s, STR("x"));
    ck_assert_int_eq(stream_flush(s, &err), -1);
    ck_assert_int_eq(err.kind, ERR_PROTOCOL);
    struct raw data;
    ck_assert_int_eq(stream_peek(s, &data, &err), -1); // failed for good
}
START_TEST(writes_are_gathered)
{
    drive(write_body);
}
END_TEST

static void deadline_body(void)
{
    struct raw line;
    enum line_end end;
    struct err err = ERR_INIT;

    co_assert_running();
    peer_says("partial");
    stream_set_deadline(s, clock_ms() + 20);
    ck_assert_int_eq(stream_read_line(s, 100, &line, &end, &err), -1);
    ck_assert_int_eq(err.kind, ERR_TIMEOUT);
}
START_TEST(waits_have_deadlines)
{
    drive(deadline_body);
}
END_TEST

static void connect_body(void)
{
    struct net_addr nobody;
    struct err err = ERR_INIT;

    co_assert_running();
    ck_assert_int_eq(net_addr_parse(STR("127.0.0.1"), 0, &nobody), 0);
    int fd = net_listen(&nobody, 1, &err);
    ck_assert_int_ge(fd, 0);
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    struct net_addr here;
    net_addr_from((struct sockaddr *)&sa, len, &here);
    struct stream *client = stream_connect(&here, NULL, clock_ms() + 5000, &err);
    ck_assert_msg(client != NULL, "%s", err.text);
    stream_free(client);
    close(fd);
    ck_assert_ptr_null(stream_connect(&here, NULL, clock_ms() + 5000, &err));
    ck_assert_int_ne(err.errnum, 0);
}
START_TEST(connects)
{
    drive(connect_body);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream");
    TCase *tc = tcase_create("stream");

    tcase_add_test(tc, line_ends_are_told_apart);
    tcase_add_test(tc, long_lines_are_cut);
    tcase_add_test(tc, lines_arrive_in_pieces);
    tcase_add_test(tc, content_is_peeked);
    tcase_add_test(tc, writes_are_gathered);
    tcase_add_test(tc, waits_have_deadlines);
    tcase_add_test(tc, connects);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
