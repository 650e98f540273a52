// SPDX-License-Identifier: ISC
// dovecot_protocol_test.c: Dovecot's greeting, answers and requests, well-formed and otherwise.
#include <check.h>
#include <stdlib.h>

#include "lib/sasl/dovecot_protocol.h"

static int add_all(struct dovecot_greeting *g, const char *const *lines)
{
    struct err err = ERR_INIT;
    int rc = 0;
    *g = (struct dovecot_greeting){.count = 0};
    for (size_t i = 0; rc == 0 && lines[i] != NULL; i++)
        rc = dovecot_greeting_add(g, str_from(lines[i]), &err);
    return rc;
}

START_TEST(greeting)
{
    static const char *const lines[] = {"VERSION\t1\t2",
                                        "MECH\tPLAIN\tplaintext",
                                        "MECH\tCRAM-MD5\tdictionary\tactive",
                                        "MECH\tANONYMOUS\tanonymous",
                                        "MECH\tGSSAPI\tforward-secrecy\tmutual-auth",
                                        "MECH\tEXTERNAL\tprivate",
                                        "SPID\t7",
                                        "CUID\t1",
                                        "COOKIE\tab",
                                        "DONE",
                                        NULL};
    struct dovecot_greeting g;
    struct buf list = BUF_INIT;

    ck_assert_int_eq(add_all(&g, lines), 0);
    ck_assert(g.is_done);
    dovecot_greeting_list(&g, SASL_NO_ANONYMOUS, &list);
    ck_assert_str_eq(buf_cstr(&list), "PLAIN CRAM-MD5 GSSAPI");
    buf_clear(&list);
    dovecot_greeting_list(&g, SASL_NO_PLAINTEXT | SASL_NO_ACTIVE, &list);
    ck_assert_str_eq(buf_cstr(&list), "ANONYMOUS GSSAPI");
    buf_clear(&list);
    dovecot_greeting_list(&g, SASL_MUTUAL_AUTH, &list);
    ck_assert_str_eq(buf_cstr(&list), "GSSAPI");
    ck_assert(dovecot_greeting_has(&g, SASL_NO_ANONYMOUS, STR("plain")));
    ck_assert(!dovecot_greeting_has(&g, SASL_NO_PLAINTEXT, STR("PLAIN")));
    ck_assert(dovecot_greeting_has(&g, 0, STR("EXTERNAL")));
    ck_assert(!dovecot_greeting_has(&g, 0, STR("FOO")));
    buf_release(&list);
}
END_TEST

START_TEST(greeting_refused)
{
    static const char *const bad[][4] = {{"VERSION\t2\t0"},
                                         {"VERSION"},
                                         {"VERSION\tx"},
                                         {"MECH"},
                                         {"MECH\t"},
                                         {"MECH\ta b"},
                                         {"MECH\t0123456789012345678901234567890123456789012345678901234567890123456"},
                                         {"SPID\t1", "DONE"},
                                         {"VERSION\t1\t1", "DONE"}};
    struct dovecot_greeting g;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(add_all(&g, bad[i]) < 0, "%s", bad[i][0]);
    g = (struct dovecot_greeting){.count = 0};
    for (int i = 0; i < DOVECOT_MECHANISMS_MAX; i++)
        ck_assert_int_eq(dovecot_greeting_add(&g, STR("MECH\tX"), NULL), 0);
    ck_assert_int_lt(dovecot_greeting_add(&g, STR("MECH\tX"), NULL), 0);
}
END_TEST

START_TEST(answers)
{
    static const struct {
        const char *line;
        int rc;
        enum sasl_outcome outcome;
        const char *username, *reason, *challenge;
    } cases[] = {
        {"OK\t1\tuser=fred", 1, SASL_ANSWER_ACCEPTED, "fred", "", ""},
        {"OK\t1\tx=y\tuser=a\001tb", 1, SASL_ANSWER_ACCEPTED, "a?b", "", ""},
        {"OK\t1", 1, SASL_ANSWER_TEMPORARY, "", "Authentication backend error", ""},
        {"FAIL\t1\tuser=fred\treason=no way", 1, SASL_ANSWER_REFUSED, "fred", "no way", ""},
        {"FAIL\t1\ttemp", 1, SASL_ANSWER_TEMPORARY, "", "", ""},
        {"FAIL\t1\tcode=temp_fail", 1, SASL_ANSWER_TEMPORARY, "", "", ""},
        {"FAIL\t1", 1, SASL_ANSWER_REFUSED, "", "", ""},
        {"CONT\t1\tVXNlcm5hbWU6", 1, SASL_ANSWER_CONTINUE, "", "", "VXNlcm5hbWU6"},
        {"CONT\t1\t", 1, SASL_ANSWER_CONTINUE, "", "", ""},
        {"CONT\t1", 1, SASL_ANSWER_CONTINUE, "", "", ""},
        {"CONT\t1\tx\r\n250 ok", -1, SASL_ANSWER_TEMPORARY, "", "", ""},
        {"OK", -1, SASL_ANSWER_TEMPORARY, "", "", ""},
        {"OK\t0\tuser=fred", -1, SASL_ANSWER_TEMPORARY, "", "", ""},
        {"FAIL\t99999999999", -1, SASL_ANSWER_TEMPORARY, "", "", ""},
        {"WHAT\t1", 0, SASL_ANSWER_TEMPORARY, "", "", ""},
        {"", 0, SASL_ANSWER_TEMPORARY, "", "", ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sasl_answer a = SASL_ANSWER_INIT;
        uint32_t id = 0;
        ck_assert_int_eq(dovecot_answer_parse(str_from(cases[i].line), &id, &a, NULL), cases[i].rc);
        ck_assert_msg(a.outcome == cases[i].outcome, "%s", cases[i].line);
        ck_assert_str_eq(buf_cstr(&a.username), cases[i].username);
        ck_assert_str_eq(buf_cstr(&a.reason), cases[i].reason);
        ck_assert_str_eq(buf_cstr(&a.challenge), cases[i].challenge);
        ck_assert(cases[i].rc != 1 || id == 1);
        sasl_answer_clear(&a);
    }
}
END_TEST

START_TEST(requests)
{
    struct sasl_peer peer = {.client_address = STR("192.0.2.1"),
                             .client_port = STR("1234"),
                             .server_address = STR("192.0.2.2"),
                             .server_port = STR("25"),
                             .is_encrypted = true,
                             .certificate_name = STR("mallory")};
    struct dovecot_request r = {7, STR("PLAIN"), STR("sm\ttp"), STR("AGE="), &peer};
    struct buf b = BUF_INIT;

    dovecot_add_auth(&b, &r);
    ck_assert_str_eq(buf_cstr(&b),
                     "AUTH\t7\tPLAIN\tservice=sm\001ttp\tnologin\tlip=192.0.2.2\tlport=25\trip=192.0.2.1\trport=1234"
                     "\tsecured\tresp=AGE=\n");
    r.response = STR_NULL;
    buf_clear(&b);
    dovecot_add_auth(&b, &r);
    ck_assert_int_lt(str_find_str(buf_str(&b), STR("resp=")), 0);
    peer.has_valid_certificate = true;
    peer.certificate_name = STR("fred\tnologin");
    buf_clear(&b);
    dovecot_add_auth(&b, &r);
    ck_assert(str_ends(buf_str(&b), STR("\tsecured\tvalid-client-cert\tcert_username=fred\001tnologin\n")));
    buf_release(&b);
}
END_TEST

START_TEST(base64)
{
    static const char *const good[] = {"", "AAAA", "QQ==", "QUE=", "+/+/"}, *const bad[] = {
                                                                                "A",    "AAA",   "A===",    "=AAA",
                                                                                "AA=A", "A\tAA", "QQ==QQ=="};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_msg(dovecot_is_base64(str_from(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!dovecot_is_base64(str_from(bad[i])), "%s", bad[i]);
}
END_TEST

START_TEST(security_words)
{
    unsigned flags;
    ck_assert_int_eq(sasl_security_parse(STR("noplaintext, noanonymous"), &flags, NULL), 0);
    ck_assert_uint_eq(flags, SASL_NO_PLAINTEXT | SASL_NO_ANONYMOUS);
    ck_assert_int_eq(sasl_security_parse(STR(""), &flags, NULL), 0);
    ck_assert_uint_eq(flags, 0);
    ck_assert_int_lt(sasl_security_parse(STR("noplaintext foo"), &flags, NULL), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dovecot_protocol");
    TCase *tcase = tcase_create("lines");
    tcase_add_test(tcase, greeting);
    tcase_add_test(tcase, greeting_refused);
    tcase_add_test(tcase, answers);
    tcase_add_test(tcase, requests);
    tcase_add_test(tcase, base64);
    tcase_add_test(tcase, security_words);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
