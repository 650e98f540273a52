// SPDX-License-Identifier: ISC
// cleanup_content_test.c: what becomes of a message's content: first line, headers, body, limits; in one piece and in
// many.
#include <check.h>
#include <stdlib.h>

#include "cleanup/cleanup.h"

static struct settings settings;
static struct cleanup cleanup_daemon;
static struct cleanup_message message;

static void set_up(void)
{
    settings = (struct settings){.header_size_limit = 200,
                                 .line_length_limit = 20,
                                 .hopcount_limit = 3,
                                 .message_size_limit = 5000,
                                 .cleanup_replace_stray_cr_lf = true,
                                 .myhostname = STR("host.example"),
                                 .message_drop_headers = STR("bcc, content-length"),
                                 .enable_original_recipient = true};
    cleanup_daemon = (struct cleanup){.settings = &settings};
    cleanup_message_init(&message, &cleanup_daemon);
    message.is_local = false; // nothing is added or rewritten unless a test asks for it
    buf_add_cstr(&message.id, "12345ABC");
    message.sender = STR("joe@client.example");
    message.created_us = 1795354007563540;
    message.arrival_us = message.created_us;
    message.received_before = message.received_after = STR("");
}

static void tear_down(void)
{
    cleanup_message_release(&message);
}

struct feed {
    struct str text;
    size_t piece;
};

static void feed_content(void *arg)
{
    co_assert_running();
    struct feed *f = arg;
    cleanup_begin_content(&message);
    for (size_t at = 0; at < f->text.len; at += f->piece)
        cleanup_take_text(&message, str_slice(f->text, at, at + f->piece));
    cleanup_end_content(&message);
    co_loop_stop();
}

static void feed(struct str text, size_t piece)
{
    struct feed f = {text, piece};
    co_loop_init();
    co_spawn("feed", feed_content, &f);
    co_loop_run(1000);
    co_loop_free();
}

// The content records as text again.
static struct buf content(void)
{
    struct buf text = BUF_INIT;
    struct record r;
    struct raw rest = {(const unsigned char *)message.out.ptr + message.data_offset,
                       message.out.len - (size_t)message.data_offset};
    while (rest.len > 0) {
        ck_assert_int_eq(queue_record_decode(rest, &r), 1);
        ck_assert(r.type == REC_NORM || r.type == REC_CONT);
        ck_assert_uint_le(r.data.len, 20);
        buf_add_str(&text, r.data);
        if (r.type == REC_NORM)
            buf_add_char(&text, '\n');
        rest = (struct raw){rest.ptr + r.size, rest.len - r.size};
    }
    return text;
}

static void expect(const char *input, const char *want)
{
    for (size_t piece = 1; piece < 200; piece = piece * 3 + 1) {
        feed(str_from(input), piece);
        ck_assert_int_eq(message.result.code, 0);
        struct buf got = content();
        ck_assert_msg(str_is(buf_str(&got), str_from(want)), "pieces of %zu: got \"%s\", want \"%s\"", piece,
                      buf_cstr(&got), want);
        buf_release(&got);
        tear_down();
        set_up();
    }
}

START_TEST(test_plain)
{
    expect("A: 1\nB: 2\n\t3\n\nbody\n\nlast without end", "A: 1\nB: 2\n\t3\n\nbody\n\nlast without end\n");
    expect("", "");
    expect("A: 1\n", "A: 1\n");
    expect("\nbody\n", "\nbody\n");
    expect("A: 1\n\n", "A: 1\n\n");
}
END_TEST

START_TEST(test_first_line)
{
    expect("From joe Mon\nA: 1\n\nFrom here\n", "X-Mailbox-Line: From joe Mon\nA: 1\n\nFrom here\n");
    expect(">>From joe\n", "X-Mailbox-Line: >>From joe\n");
    expect(" indented\nA: 1\n", "\n indented\nA: 1\n");
    expect("no header\nA: 1\n", "\nno header\nA: 1\n");
}
END_TEST

START_TEST(test_headers)
{
    expect("bcc: secret\n more\nA: 1\nContent-Length: 5\n\nBcc: kept\n", "A: 1\n\nBcc: kept\n");
    expect("A: 1\nnot a header\nB: 2\n", "A: 1\n\nnot a header\nB: 2\n");
    expect("A: one\rtwo\n\nb\ro\r\n", "A: one two\n\nb o \n");
}
END_TEST

START_TEST(test_long_lines)
{
    struct buf text = BUF_INIT, want = BUF_INIT;
    buf_add_cstr(&text, "A: ");
    for (int i = 0; i < 500; i++)
        buf_add_char(&text, 'q');
    buf_add_str(&want, str_slice(buf_str(&text), 0, 200)); // header_size_limit
    buf_add_cstr(&text, "\nB: 1\n\n");
    buf_add_cstr(&want, "\nB: 1\n\n");
    for (int i = 0; i < 300; i++) {
        buf_add_char(&text, 'z');
        buf_add_char(&want, 'z');
    }
    buf_add_char(&text, '\n');
    buf_add_char(&want, '\n');
    expect(buf_cstr(&text), buf_cstr(&want));
    buf_clear(&text);
    buf_clear(&want);
    buf_add_char(&want, '\n');
    for (int i = 0; i < 700; i++) { // no header and no line end
        buf_add_char(&text, 'n');
        buf_add_char(&want, 'n');
    }
    buf_add_char(&want, '\n');
    expect(buf_cstr(&text), buf_cstr(&want));
    buf_release(&text);
    buf_release(&want);
}
END_TEST

START_TEST(test_added_headers)
{
    message.flags = SUBMIT_ADD_MISSING;
    feed(STR("Date: then\n\nbody\n"), 100);
    struct buf got = content();
    ck_assert_str_eq(
        buf_cstr(&got),
        "Date: then\nMessage-Id: <20261122132647.12345ABC@host.example>\nFrom: joe@client.example\n\nbody\n");
    buf_release(&got);
}
END_TEST

START_TEST(test_from_with_name)
{
    static const char *const pairs[][2] = {{"Joe Doe", "Joe Doe <joe@client.example>"},
                                           {"J. \"Q\" Doe", "\"J. \\\"Q\\\" Doe\" <joe@client.example>"},
                                           {"J\xc3\xb6rg", "=?utf-8?Q?J=C3=B6rg?= <joe@client.example>"}};
    for (size_t i = 0; i < 3; i++) {
        struct buf want = BUF_INIT;
        message.flags = SUBMIT_ADD_MISSING;
        message.fullname = str_from(pairs[i][0]);
        feed(STR("Date: x\nMessage-Id: y\n"), 100);
        buf_addf(&want, "Date: x\nMessage-Id: y\nFrom: %s\n", pairs[i][1]);
        struct buf got = content();
        ck_assert_str_eq(buf_cstr(&got), buf_cstr(&want));
        buf_release(&got);
        buf_release(&want);
        tear_down();
        set_up();
    }
}
END_TEST

START_TEST(test_collected_recipients)
{
    message.flags = SUBMIT_EXTRACT;
    feed(STR("To: a@b, Joe <c@d>\nBcc: e@f\nResent-To: r@s\n\nTo: x@y\n"), 7);
    ck_assert_uint_eq(message.from_headers[0].count, 3);
    ck_assert_uint_eq(message.from_headers[1].count, 1);
    ck_assert(str_is(message.from_headers[0].items[1].address, STR("c@d")));
    ck_assert(message.headers_seen & SEEN_RESENT);
}
END_TEST

START_TEST(test_limits)
{
    feed(STR("Received: 1\nReceived: 2\nreceived: 3\n\n"), 100);
    ck_assert_int_eq(message.result.code, 554);
    ck_assert_str_eq(message.result.status, "5.4.0");
    tear_down();
    set_up();
    struct buf text = BUF_INIT;
    for (int i = 0; i < 5001; i++)
        buf_add_char(&text, 'x');
    feed(buf_str(&text), 100);
    ck_assert_int_eq(message.result.code, 552);
    buf_release(&text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cleanup");
    TCase *t = tcase_create("content");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, test_plain);
    tcase_add_test(t, test_first_line);
    tcase_add_test(t, test_headers);
    tcase_add_test(t, test_long_lines);
    tcase_add_test(t, test_added_headers);
    tcase_add_test(t, test_from_with_name);
    tcase_add_test(t, test_collected_recipients);
    tcase_add_test(t, test_limits);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
