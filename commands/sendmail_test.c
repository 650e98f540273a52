// SPDX-License-Identifier: ISC
// sendmail_test.c: command line and message input of sendmail.
#include <check.h>
#include <stdlib.h>

#include "commands/sendmail.h"
#include "lib/mail/queue_record.h"

static struct settings settings;

static int parse(const char *line, struct arena *arena, struct sendmail_options *o, struct err *err)
{
    char *argv[30];
    int argc = 0;
    struct str rest = str_from(line), word;
    while (argc < 29 && str_token(&rest, "|", &word))
        argv[argc++] = arena_cstr(arena, word);
    argv[argc] = NULL;
    int status = sendmail_options_parse(argc, argv, arena, o, err);
    buf_release(&o->warnings);
    return status;
}

static struct sendmail_options parse_well(const char *line, struct arena *arena)
{
    struct sendmail_options o;
    struct err err = ERR_INIT;
    ck_assert_msg(parse(line, arena, &o, &err) == 0, "%s: %s", line, err.text);
    return o;
}

static void expect(struct str s, const char *text)
{
    ck_assert_msg(str_is(s, str_from(text)), "got \"" STR_FMT "\"", STR_ARG(s));
}

START_TEST(options_of_enqueuing)
{
    struct arena arena = ARENA_INIT;
    struct sendmail_options o =
        parse_well("sendmail|-oi|-f|a@b|-Fjoe|-Nsuccess,DELAY|-R|hdrs|-Vid99|-B8BITMIME|x@y|-G|--|-z", &arena);
    ck_assert(o.mode == SENDMAIL_ENQUEUE && o.keeps_dot && o.is_gateway && !o.extracts);
    expect(o.sender, "a@b");
    expect(o.fullname, "joe");
    expect(o.envelope_id, "id99");
    expect(o.encoding, "8bit");
    ck_assert_int_eq(o.notify, NOTIFY_SUCCESS | NOTIFY_DELAY);
    ck_assert_int_eq(o.ret_flags, 2);
    ck_assert_uint_eq(o.recipient_count, 2);
    expect(o.recipients[0], "x@y");
    expect(o.recipients[1], "-z");
    o = parse_well("sendmail|-itv|-f|<>", &arena);
    ck_assert(o.keeps_dot && o.extracts && o.trace_flags == TRACE_RECORD);
    o = parse_well("sendmail|-bv|-vv|x", &arena);
    ck_assert_int_eq(o.trace_flags, TRACE_PROBE);
    o = parse_well("sendmail|-Am|-h|9|-em|-om|-U|-c|-m|-x|-odb|-p|ESMTP:x|-L|tag|-O|DeliveryMode=b|u", &arena);
    ck_assert_uint_eq(o.recipient_count, 1);
    o = parse_well("sendmail|-C|/etc/x/main.cf|-O|SMTPUTF8=yes|-O|REQUIRETLS=yes|-O|REQUIRETLS=no|u", &arena);
    expect(o.config_dir, "/etc/x");
    ck_assert_int_eq(o.sendopts, SENDOPT_SMTPUTF8);
    o = parse_well("sendmail|-XV-=|u", &arena);
    expect(o.verp, "-=");
    o = parse_well("sendmail|-V|E1|u", &arena);
    ck_assert_uint_eq(o.recipient_count, 2);
    ck_assert(o.verp.ptr != NULL && o.verp.len == 0);
    arena_release(&arena);
}
END_TEST

START_TEST(modes)
{
    struct arena arena = ARENA_INIT;
    ck_assert_int_eq(parse_well("/usr/bin/mailq", &arena).mode, SENDMAIL_LIST);
    ck_assert_int_eq(parse_well("newaliases|-v", &arena).mode, SENDMAIL_ALIASES);
    ck_assert_int_eq(parse_well("sendmail|-bp", &arena).mode, SENDMAIL_LIST);
    ck_assert_int_eq(parse_well("sendmail|-bs", &arena).mode, SENDMAIL_STANDALONE);
    ck_assert_int_eq(parse_well("sendmail|-I", &arena).mode, SENDMAIL_ALIASES);
    ck_assert_int_eq(parse_well("sendmail|-bd|-q15m", &arena).mode, SENDMAIL_DAEMON);
    ck_assert_int_eq(parse_well("sendmail|-q15m", &arena).mode, SENDMAIL_NOTHING);
    struct sendmail_options o = parse_well("sendmail|-qRexample.com", &arena);
    ck_assert_int_eq(o.mode, SENDMAIL_FLUSH);
    expect(o.flush_what, "-s");
    expect(o.flush_arg, "example.com");
    arena_release(&arena);
}
END_TEST

static const char *const bad_lines[] = {"sendmail|-n|x",         "sendmail|-bZ",      "sendmail|-qS1", "sendmail|-BX|x",
                                        "sendmail|-XQ",          "sendmail|-t|-bv",   "mailq|x",       "newaliases|x",
                                        "sendmail|-bs|x",        "sendmail|-bv|-v|x", "sendmail|-f",   "sendmail|-Z",
                                        "sendmail|-bv|-Nnever|x"};

START_TEST(option_errors)
{
    struct arena arena = ARENA_INIT;
    struct sendmail_options o;
    struct err err = ERR_INIT;
    ck_assert_msg(parse(bad_lines[_i], &arena, &o, &err) == -1, "%s", bad_lines[_i]);
    ck_assert(err.text[0] != '\0');
    arena_release(&arena);
}
END_TEST

// The records as text: "N:line " and "L:part ".
static void read_message(const struct sendmail_options *o, const char *fixes, struct str input, struct buf *text_r,
                         struct buf *rcpt_r)
{
    struct buf records = BUF_INIT;
    struct sendmail_message m;
    struct record r;
    settings.line_length_limit = 10;
    settings.header_size_limit = 1000;
    settings.sendmail_fix_line_endings = str_from(fixes);
    for (size_t step = 1; step <= input.len; step++) { // any chunking gives the same
        buf_clear(&records);
        buf_clear(text_r);
        buf_clear(rcpt_r);
        sendmail_message_init(&m, &settings, o, &records);
        for (size_t at = 0; at < input.len; at += step)
            sendmail_message_add(&m, str_slice(input, at, at + step));
        sendmail_message_end(&m);
        struct raw rest = {(const unsigned char *)records.ptr, records.len};
        while (rest.len > 0 && queue_record_decode(rest, &r) == 1) {
            buf_addf(text_r, "%c:" STR_FMT " ", r.type, STR_ARG(r.data));
            rest.ptr += r.size;
            rest.len -= r.size;
        }
        buf_add_str(rcpt_r, sendmail_message_recipients(&m));
        sendmail_message_release(&m);
    }
    buf_release(&records);
}

static void expect_records(const struct sendmail_options *o, const char *fixes, const char *input, const char *expected)
{
    struct buf text = BUF_INIT, rcpt = BUF_INIT;
    read_message(o, fixes, str_from(input), &text, &rcpt);
    ck_assert_str_eq(buf_cstr(&text), expected);
    buf_release(&text);
    buf_release(&rcpt);
}

START_TEST(message_lines)
{
    struct sendmail_options o = {0}, keeps = {.keeps_dot = true};
    expect_records(&o, "always", "a\nb\n", "N:a N:b ");
    expect_records(&o, "always", "a\r\n\r\nb", "N:a N: N:b ");
    expect_records(&o, "never", "a\r\nb\n", "N:a\r N:b ");
    expect_records(&o, "strict", "a\nb\r\n", "N:a N:b\r ");
    expect_records(&o, "strict", "a\r\nb\r\n", "N:a N:b ");
    expect_records(&o, "always", "a\n.\nb\n", "N:a ");
    expect_records(&o, "always", "a\n.\r\nb\n", "N:a ");
    expect_records(&keeps, "always", "a\n.\nb\n", "N:a N:. N:b ");
    expect_records(&o, "always", "From x\n>From y\na\nFrom z\n", "N:a N:From z ");
    expect_records(&o, "always", "123456789012345678901\nx\n", "L:1234567890 N:12345678901 N:x ");
    expect_records(&o, "always", "1234567890\r\nx\n", "N:1234567890 N:x ");
}
END_TEST

static void expect_recipients(const char *input, const char *expected)
{
    struct sendmail_options o = {.extracts = true};
    struct buf text = BUF_INIT, rcpt = BUF_INIT;
    read_message(&o, "always", str_from(input), &text, &rcpt);
    ck_assert_str_eq(buf_cstr(&rcpt), expected);
    buf_release(&text);
    buf_release(&rcpt);
}

START_TEST(header_recipients)
{
    expect_recipients("To: a\nSubject: x\nCC: b\n c\nbcc: d\n\nTo: e\n", "a, b c, d");
    expect_recipients("To: a    b, c  d\n", "a    b, c  d");
    expect_recipients("To: a\nResent-To: r\nCc: b\n", " r");
    expect_recipients("X: y\nhello\nTo: a\n", "");
    expect_recipients("To: a123456789012345\n z\n\n", "a123456789012345 z");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sendmail");
    TCase *tc = tcase_create("sendmail");
    tcase_add_test(tc, options_of_enqueuing);
    tcase_add_test(tc, modes);
    tcase_add_loop_test(tc, option_errors, 0, sizeof(bad_lines) / sizeof(bad_lines[0]));
    tcase_add_test(tc, message_lines);
    tcase_add_test(tc, header_recipients);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
