// SPDX-License-Identifier: ISC
// lint_test.c: what is found in configurations with one mistake each.
#include <check.h>
#include <stdlib.h>

#include "lib/conf/conf_private.h"
#include "lib/conf/lint.h"
#include "lib/conf/master_cf.h"

#define CLEAN "myhostname = a.example\nmynetworks = 127.0.0.0/8 192.168.1.0/24\nalias_maps =\nalias_database =\n"
#define ROWS                                                                                                           \
    "smtp inet n - n - - smtpd\nsmtp unix - - n - - smtp\nrelay unix - - n - - smtp\nlocal unix - n n - - local\n"     \
    "virtual unix - n n - - virtual\n"

// The text of all findings, one a line: "CODE LINE TEXT".
static void find(const char *main_text, const char *master_text, struct buf *out)
{
    static const char *const types[] = {"hash", "lmdb", "static", "texthash", NULL};
    static const struct master_cf_defaults defaults = {100, false};
    struct lint l = {.arena = ARENA_INIT, .table_types = types, .master_path = "master.cf"};
    struct master_cf_rows rows = {0};
    struct err err = ERR_INIT;
    struct conf *c = conf_new("/nowhere");
    buf_clear(out);
    ck_assert_int_eq(conf_override(c, STR("compatibility_level"), STR("9")),
                     0); // old defaults have a test of their own
    ck_assert_int_eq(conf_parse(c, str_from(main_text), &err), 0);
    ck_assert_int_eq(master_cf_parse(str_from(master_text), "master.cf", &defaults, &l.arena, &rows, &err), 0);
    l.conf = c;
    l.rows = rows.rows;
    l.row_count = rows.count;
    lint_run(&l);
    for (size_t i = 0; i < l.count; i++)
        buf_addf(out, "%s %u " STR_FMT "\n", l.findings[i].code, l.findings[i].line, STR_ARG(l.findings[i].text));
    lint_release(&l);
    conf_free(c);
}

static void expect(const char *main_text, const char *master_text, const char *beginning)
{
    struct buf out = BUF_INIT;
    find(main_text, master_text, &out);
    ck_assert_msg(strncmp(buf_cstr(&out), beginning, strlen(beginning)) == 0 && (beginning[0] != '\0' || out.len == 0),
                  "found: %s, expected: %s", buf_cstr(&out), beginning);
    buf_release(&out);
}

START_TEST(clean)
{
    expect(CLEAN, ROWS, "");
    expect(CLEAN "x = 1\nmyorigin = $x\nstrict = reject\nsmtpd_restriction_classes = strict\n", ROWS, "");
    expect(CLEAN "tl_server_host = a\ntransport_maps = ldap:tl\n", ROWS, "unknown-type 6");
    expect(CLEAN "relay_destination_concurrency_limit = 3\n", ROWS "slow unix - - n - - smtp\n", "unreached-service 6");
}
END_TEST

START_TEST(names)
{
    expect(CLEAN "mydestinatoin = a\n", ROWS,
           "unknown-name 5 unknown parameter mydestinatoin: did you mean mydestination?");
    expect(CLEAN "zork_zork = a\n", ROWS, "unknown-name 5 unknown parameter zork_zork, which");
    expect(CLEAN "slow_destination_concurrency_limit = 2\n", ROWS, "unknown-service 5");
    expect(CLEAN, ROWS "x unix - - n - - smtp -o smtp_hello_name=x\n",
           "unknown-name 6 unknown parameter smtp_hello_name: did you mean smtp_helo_name");
}
END_TEST

START_TEST(values)
{
    expect(CLEAN "queue_run_delay = soon\n", ROWS, "bad-value 5");
    expect(CLEAN "default_process_limit = -3\n", ROWS, "bad-value 5");
    expect(CLEAN "append_dot_mydomain = maybe\n", ROWS, "bad-value 5");
    expect(CLEAN "smtp_delivery_slot_cost = x\n", ROWS, "bad-value 5");
    expect(CLEAN "myorigin = ${x\n", ROWS, "bad-value 5");
}
END_TEST

START_TEST(old_defaults)
{
    struct lint l = {.arena = ARENA_INIT};
    struct err err = ERR_INIT;
    struct conf *c = conf_new("/nowhere");
    ck_assert_int_eq(
        conf_parse(c, STR("compatibility_level = 2\nsmtp_tls_security_level = dane\nmynetworks_style = class\n"), &err),
        0);
    l.conf = c;
    lint_old_defaults(&l);
    ck_assert_uint_ge(l.count, 3);
    for (size_t i = 0; i < l.count; i++) {
        ck_assert_uint_eq(l.findings[i].line, 1);
        ck_assert(str_find_str(l.findings[i].text, STR("smtp_tls_security_level")) < 0); // set
        ck_assert(str_find_str(l.findings[i].text, STR("append_dot_mydomain")) < 0);     // changed before level 2
    }
    ck_assert(
        str_starts(l.findings[l.count - 2].text,
                   STR("using backwards-compatible default setting smtpd_relay_before_recipient_restrictions=no")));
    lint_release(&l);
    conf_free(c);
}
END_TEST

START_TEST(tables)
{
    expect(CLEAN "relocated_maps = hash:/nonexistent/x\n", ROWS, "missing-table 5");
    expect(CLEAN "relocated_maps = proxy:lmdb:/nonexistent/x\n", ROWS, "missing-table 5");
    expect(CLEAN "relocated_maps = zork:/x\n", ROWS, "unknown-type 5");
    expect(CLEAN "relocated_maps = /etc/x\n", ROWS, "bad-table 5");
    expect(CLEAN "smtpd_client_restrictions = check_client_access texthash:/nonexistent\n", ROWS, "missing-table 5");
}
END_TEST

START_TEST(restrictions)
{
    expect(CLEAN "smtpd_client_restrictions = permit, reject\n", ROWS, "unreached-restriction 5");
    expect(CLEAN "smtpd_client_restrictions = warn_if_reject reject, permit\n", ROWS, "");
    expect(CLEAN "smtpd_client_restrictions = pemit_mynetworks\n", ROWS, "unknown-restriction 5");
    expect(CLEAN "smtpd_client_restrictions = check_client_access\n", ROWS, "bad-restriction 5");
    expect(CLEAN, ROWS "x inet n - n - - smtpd -o smtpd_relay_restrictions=reject,permit_mynetworks\n",
           "unreached-restriction 6");
}
END_TEST

START_TEST(relay)
{
    const char *const closed = "";
    expect("smtpd_authorized_xclient_hosts = 0.0.0.0/0\n", ROWS, "open-relay 1");
    expect("smtpd_authorized_xclient_hosts = 127.0.0.1 [::]/0\n", ROWS, "open-relay 1");
    expect("smtpd_authorized_xclient_hosts = static:all\n", ROWS, "open-relay 1");
    expect("smtpd_authorized_xclient_hosts = !0.0.0.0/0 10.0.0.0/8\n", ROWS, closed);
    expect("mynetworks = 10.0.0.0/8\ndefault_transport = nowhere\n", ROWS, "unknown-service 2");
}
END_TEST

START_TEST(distance)
{
    ck_assert_uint_eq(lint_distance(STR("abc"), STR("abc"), 2), 0);
    ck_assert_uint_eq(lint_distance(STR("abc"), STR("abd"), 2), 1);
    ck_assert_uint_eq(lint_distance(STR("abc"), STR("acbx"), 2), 2);
    ck_assert_uint_eq(lint_distance(STR("kitten"), STR("sitting"), 5), 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lint");
    TCase *tc = tcase_create("lint");
    tcase_add_test(tc, clean);
    tcase_add_test(tc, names);
    tcase_add_test(tc, values);
    tcase_add_test(tc, old_defaults);
    tcase_add_test(tc, tables);
    tcase_add_test(tc, restrictions);
    tcase_add_test(tc, relay);
    tcase_add_test(tc, distance);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
