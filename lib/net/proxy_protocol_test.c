// SPDX-License-Identifier: ISC
// proxy_protocol_test.c: headers of both versions, whole, in pieces, malformed.
#include <check.h>
#include <stdlib.h>

#include "lib/net/proxy_protocol.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static const struct {
    const char *text;
    size_t len;
    int rc;
    const char *peer; // "" local
    unsigned port;
} cases[] = {
#define CASE(text, rc, peer, port)                                                                                     \
    {                                                                                                                  \
        text, sizeof(text) - 1, rc, peer, port                                                                         \
    }
    CASE("PROXY TCP4 192.0.2.7 192.0.2.8 1234 25\r\n", 1, "192.0.2.7", 1234),
    CASE("PROXY TCP4 192.0.2.7 192.0.2.8 1234 25\nEHLO", 1, "192.0.2.7", 1234),
    CASE("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", 1, "2001:db8::1", 1),
    CASE("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", -1, NULL, 0),
    CASE("PROXY TCP4 192.0.2.7 192.0.2.8 65536 25\r\n", -1, NULL, 0),
    CASE("PROXY TCP4 192.0.2.7 192.0.2.8 1234\r\n", -1, NULL, 0),
    CASE("PROXY UNKNOWN\r\n", -1, NULL, 0),
    CASE("PROXY TCP4 192.0.2", 0, NULL, 0),
    CASE("PRO", 0, NULL, 0),
    CASE("EHLO x\r\n", -1, NULL, 0),
    CASE(SIGNATURE "\x21\x11\0\x0c\xc0\0\2\x07\xc0\0\2\x08\x04\xd2\0\x19", 1, "192.0.2.7", 1234),
    CASE(SIGNATURE "\x21\x11\0\x0f\xc0\0\2\x07\xc0\0\2\x08\x04\xd2\0\x19\x04\0\0rest", 1, "192.0.2.7", 1234),
    CASE(SIGNATURE "\x20\0\0\0", 1, "", 0),
    CASE(SIGNATURE "\x21\0\0\0", -1, NULL, 0),
    CASE(SIGNATURE "\x21\x12\0\x0c\xc0\0\2\x07\xc0\0\2\x08\x04\xd2\0\x19", -1, NULL, 0),
    CASE(SIGNATURE "\x21\x11\0\x03xyz", -1, NULL, 0),
    CASE(SIGNATURE "\x21\x11\xff\xff", -1, NULL, 0),
    CASE(SIGNATURE "\x31\x11\0\0", -1, NULL, 0),
    CASE(SIGNATURE "\x21\x21\0\x24", 0, NULL, 0),
    CASE("\r\n\r\n\0", 0, NULL, 0),
};

START_TEST(headers)
{
    struct proxy_header h;
    struct err err = ERR_INIT;
    struct buf text = BUF_INIT;
    size_t used = 0;
    struct raw input = {(const unsigned char *)cases[_i].text, cases[_i].len};
    ck_assert_int_eq(proxy_protocol_parse(input, &h, &used, &err), cases[_i].rc);
    if (cases[_i].rc == 1 && !h.is_local) {
        net_addr_add_text(&text, &h.peer);
        ck_assert_str_eq(buf_cstr(&text), cases[_i].peer);
        ck_assert_uint_eq(net_addr_port(&h.peer), cases[_i].port);
    }
    if (cases[_i].rc == 1) {
        ck_assert_int_eq(h.is_local, cases[_i].peer[0] == '\0');
        for (size_t cut = 0; cut < used; cut++) {
            input.len = cut;
            ck_assert_int_eq(proxy_protocol_parse(input, &h, &used, &err), 0);
        }
    }
    buf_release(&text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proxy_protocol");
    TCase *tcase = tcase_create("headers");
    tcase_add_loop_test(tcase, headers, 0, (int)(sizeof cases / sizeof cases[0]));
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
