// SPDX-License-Identifier: ISC
// smtp_pure_test.c: unit tests of next hops, replies, command lines and content on the wire.
#include <check.h>
#include <stdlib.h>

#include "smtp/smtp.h"
#include "smtp/smtp_content.h"

static const char *nexthop(const char *text, bool is_lmtp, struct buf *b)
{
    const struct smtp_nexthop_rules rules = {is_lmtp, is_lmtp ? 24 : 25};
    struct arena arena = ARENA_INIT;
    struct smtp_destination d;
    struct err err = ERR_INIT;

    buf_clear(b);
    if (smtp_nexthop_parse(str_from(text), &rules, &arena, &d, &err) < 0)
        buf_add_cstr(b, "bad");
    else if (d.path.len > 0)
        buf_addf(b, "unix " STR_FMT, STR_ARG(d.path));
    else
        buf_addf(b, "%s " STR_FMT " %u", d.is_host ? "host" : "mx", STR_ARG(d.host), (unsigned)d.port);
    arena_release(&arena);
    return buf_cstr(b);
}

START_TEST(next_hops_are_parsed)
{
    struct buf b = BUF_INIT;

    ck_assert_str_eq(nexthop("Example.COM", false, &b), "mx example.com 25");
    ck_assert_str_eq(nexthop("example.com:2525", false, &b), "mx example.com 2525");
    ck_assert_str_eq(nexthop("[mail.example.com]", false, &b), "host mail.example.com 25");
    ck_assert_str_eq(nexthop("[127.0.0.1]:1025", false, &b), "host 127.0.0.1 1025");
    ck_assert_str_eq(nexthop("[::1]:1025", false, &b), "host ::1 1025");
    ck_assert_str_eq(nexthop("[IPv6:2001:db8::1]", false, &b), "host 2001:db8::1 25");
    ck_assert_str_eq(nexthop("[127.0.0.1", false, &b), "bad");
    ck_assert_str_eq(nexthop("[]", false, &b), "bad");
    ck_assert_str_eq(nexthop("", false, &b), "bad");
    ck_assert_str_eq(nexthop("example.com:", false, &b), "bad");
    ck_assert_str_eq(nexthop("example.com:0", false, &b), "bad");
    ck_assert_str_eq(nexthop("example.com:65536", false, &b), "bad");
    ck_assert_str_eq(nexthop("unix:/x", false, &b), "bad"); // LMTP only
    ck_assert_str_eq(nexthop("unix:/var/Run/lmtp", true, &b), "unix /var/Run/lmtp");
    ck_assert_str_eq(nexthop("unix:private/lmtp", true, &b), "unix private/lmtp");
    ck_assert_str_eq(nexthop("unix:", true, &b), "bad");
    ck_assert_str_eq(nexthop("inet:mail.example.com", true, &b), "host mail.example.com 24");
    ck_assert_str_eq(nexthop("inet:[::1]:2003", true, &b), "host ::1 2003");
    ck_assert_str_eq(nexthop("localhost:2003", true, &b), "host localhost 2003");
    buf_release(&b);
}
END_TEST

static int feed(struct smtp_reply *r, const char *line)
{
    return smtp_reply_add_line(r, (struct raw){(const unsigned char *)line, strlen(line)});
}

START_TEST(replies_are_gathered)
{
    struct smtp_reply r = {.text = BUF_INIT};
    struct arena arena = ARENA_INIT;

    ck_assert_int_eq(feed(&r, "550-5.1.1 no such"), 0);
    ck_assert_int_eq(feed(&r, "550 5.1.1 user\033[1m"), 1);
    ck_assert_int_eq(r.code, 550);
    ck_assert(str_is(smtp_reply_joined(&r, &arena), STR("550-5.1.1 no such 550 5.1.1 user?[1m")));
    ck_assert(str_is(smtp_reply_dsn(&r, '5', &arena), STR("5.1.1")));
    ck_assert(str_is(smtp_reply_dsn(&r, '4', &arena), STR("4.1.1"))); // the class is ours to say
    smtp_reply_clear(&r);
    ck_assert_int_eq(feed(&r, "550 2.1.1 confused"), 1);
    ck_assert(str_is(smtp_reply_dsn(&r, '5', &arena), STR("5.0.0")));
    smtp_reply_clear(&r);
    ck_assert_int_eq(feed(&r, "250"), 1);
    ck_assert(str_is(smtp_reply_dsn(&r, '2', &arena), STR("2.0.0")));
    smtp_reply_clear(&r);
    ck_assert_int_eq(feed(&r, "hello"), -1);
    ck_assert(r.is_malformed);
    smtp_reply_clear(&r);
    for (int i = 0; i < SMTP_REPLY_LINES_MAX; i++)
        ck_assert_int_eq(feed(&r, "250-more"), 0);
    ck_assert_int_eq(feed(&r, "250-more"), -1);
    ck_assert_uint_le(r.text.len, SMTP_REPLY_KEPT + 1);
    smtp_reply_release(&r);
    arena_release(&arena);
}
END_TEST

START_TEST(features_are_read)
{
    struct smtp_reply r = {.text = BUF_INIT};
    int64_t limit;

    feed(&r, "250-mx.example at your service");
    feed(&r, "250-pipelining");
    feed(&r, "250-SIZE 1000");
    feed(&r, "250-AUTH=LOGIN");
    feed(&r, "250-XFORWARD NAME addr nonsense");
    feed(&r, "250-8BITMIMEX");
    feed(&r, "250 DSN");
    ck_assert_uint_eq(smtp_reply_features(&r, STR(""), &limit), SMTP_HAS_PIPELINING | SMTP_HAS_SIZE | SMTP_HAS_AUTH |
                                                                    SMTP_HAS_XFORWARD_NAME | SMTP_HAS_XFORWARD_ADDR |
                                                                    SMTP_HAS_DSN);
    ck_assert_int_eq(limit, 1000);
    ck_assert_uint_eq(smtp_reply_features(&r, STR("dsn, Pipelining size"), &limit),
                      SMTP_HAS_AUTH | SMTP_HAS_XFORWARD_NAME | SMTP_HAS_XFORWARD_ADDR);
    ck_assert_int_eq(limit, 0);
    ck_assert(str_is(smtp_reply_first_word(&r), STR("mx.example")));
    smtp_reply_release(&r);
}
END_TEST

static void expect_wire(size_t limit, const char *const *pieces, const char *wire)
{
    struct smtp_content c = {.line_limit = limit};
    struct buf out = BUF_INIT;

    for (size_t i = 0; pieces[i] != NULL; i++) { // a piece that ends in '$' ends the line
        struct str text = str_from(pieces[i]);
        bool ended = text.len > 0 && text.ptr[text.len - 1] == '$';
        smtp_content_add(&c, &out, str_slice(text, 0, text.len - ended), ended);
    }
    smtp_content_end(&c, &out);
    ck_assert_str_eq(buf_cstr(&out), wire);
    buf_release(&out);
}
#define PIECES(...)                                                                                                    \
    (const char *const[])                                                                                              \
    {                                                                                                                  \
        __VA_ARGS__, NULL                                                                                              \
    }

START_TEST(content_is_written_for_the_wire)
{
    expect_wire(998, PIECES("Subject: x$", "$", "a$"), "Subject: x\r\n\r\na\r\n.\r\n");
    expect_wire(998, PIECES(".$", "..$", ".a$", "a.$"), "..\r\n...\r\n..a\r\na.\r\n.\r\n");
    expect_wire(998, PIECES("no", " newline"), "no newline\r\n.\r\n");
    expect_wire(998, PIECES(".", "$", "", ".$"), "..\r\n..\r\n.\r\n");
    expect_wire(998, PIECES("a\r\n.\r\nMAIL\n.\n\r$"), "a  .  MAIL .  \r\n.\r\n"); // nothing is smuggled
    expect_wire(998, PIECES("a\r$", ".\r$"), "a \r\n.. \r\n.\r\n");
}
END_TEST

START_TEST(long_lines_are_broken)
{
    expect_wire(5, PIECES("12345$", "123456$"), "12345\r\n12345\r\n 6\r\n.\r\n");
    expect_wire(5, PIECES("12345", "6789", "0$"), "12345\r\n 6789\r\n 0\r\n.\r\n");
    expect_wire(5, PIECES("....$", "1234...$"), ".....\r\n1234.\r\n ..\r\n.\r\n");
    expect_wire(1, PIECES("123$"), "12\r\n 3\r\n.\r\n");
    expect_wire(0, PIECES("1234567890$"), "1234567890\r\n.\r\n");
}
END_TEST

START_TEST(commands_carry_what_is_offered)
{
    const struct delivery_request r = {.sender = STR("a b@c"),
                                       .message_size = 77,
                                       .encoding = STR("8bit"),
                                       .ret_flags = 2,
                                       .envelope_id = STR("id+1"),
                                       .sendopts = 8};
    const struct delivery_recipient rcpt = {.address = STR("x@y"), .dsn_orcpt = STR("rfc822;o=p@q"), .notify = 14};
    const struct delivery_recipient never = {.address = STR("x@y"), .original = STR("o@p"), .notify = 1};
    const unsigned all = SMTP_HAS_SIZE | SMTP_HAS_8BITMIME | SMTP_HAS_DSN | SMTP_HAS_SMTPUTF8;
    struct buf b = BUF_INIT;

    smtp_command_mail(&b, &r, all, true);
    smtp_command_rcpt(&b, &rcpt, all, true);
    smtp_command_rcpt(&b, &never, all, true);
    ck_assert_str_eq(buf_cstr(&b), "MAIL FROM:<\"a b\"@c> SIZE=77 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=id+2B1\r\n"
                                   "RCPT TO:<x@y> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;o+3Dp@q\r\n"
                                   "RCPT TO:<x@y> NOTIFY=NEVER ORCPT=rfc822;o@p\r\n");
    buf_clear(&b);
    smtp_command_mail(&b, &r, 0, true);
    smtp_command_rcpt(&b, &rcpt, 0, true);
    ck_assert_str_eq(buf_cstr(&b), "MAIL FROM:<\"a b\"@c>\r\nRCPT TO:<x@y>\r\n");
    ck_assert(smtp_address_is_sendable(STR("\303\251@x")));
    ck_assert(!smtp_address_is_sendable(STR("a@b\r\nRCPT TO:<c@d>")));
    buf_release(&b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("smtp_pure");
    TCase *tc = tcase_create("pure");

    tcase_add_test(tc, next_hops_are_parsed);
    tcase_add_test(tc, replies_are_gathered);
    tcase_add_test(tc, features_are_read);
    tcase_add_test(tc, content_is_written_for_the_wire);
    tcase_add_test(tc, long_lines_are_broken);
    tcase_add_test(tc, commands_carry_what_is_offered);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
