// SPDX-License-Identifier: ISC
// net_test.c: unit tests of addresses, networks and host:port texts.
#include <check.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/net/addr.h"

static const char *text_of(const char *text, struct buf *b)
{
    struct net_addr addr;

    buf_clear(b);
    if (net_addr_parse(str_from(text), 25, &addr) < 0)
        return "bad";
    net_addr_add_text(b, &addr);
    buf_addf(b, " %u", (unsigned)net_addr_port(&addr));
    return buf_cstr(b);
}

START_TEST(addresses_are_read_and_printed)
{
    struct buf b = BUF_INIT;

    ck_assert_str_eq(text_of("1.2.3.4", &b), "1.2.3.4 25");
    ck_assert_str_eq(text_of("[::1]", &b), "::1 25");
    ck_assert_str_eq(text_of("2001:DB8:0:0::1", &b), "2001:db8::1 25");
    ck_assert_str_eq(text_of("1.2.3", &b), "bad");
    ck_assert_str_eq(text_of("", &b), "bad");
    ck_assert_str_eq(text_of("[]", &b), "bad");
    ck_assert_str_eq(text_of("host", &b), "bad");
    ck_assert_str_eq(text_of("1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb", &b), "bad");
    buf_release(&b);
}
END_TEST

START_TEST(mapped_addresses_become_plain)
{
    struct net_addr six, four, plain;

    ck_assert_int_eq(net_addr_parse(STR("::ffff:10.1.2.3"), 99, &six), 0);
    net_addr_from((const struct sockaddr *)&six.sa, six.len, &four);
    ck_assert_int_eq(net_addr_parse(STR("10.1.2.3"), 0, &plain), 0);
    ck_assert(net_addr_is_same_host(&four, &plain));
    ck_assert_uint_eq(net_addr_port(&four), 99);
    ck_assert(!net_addr_is_loopback(&four));
}
END_TEST

static bool network_has(const char *network, const char *address)
{
    struct net_cidr cidr;
    struct net_addr addr;
    struct err err = ERR_INIT;

    ck_assert_msg(net_cidr_parse(str_from(network), &cidr, &err) == 0, "%s: %s", network, err.text);
    ck_assert_int_eq(net_addr_parse(str_from(address), 0, &addr), 0);
    return net_cidr_matches(&cidr, &addr);
}

START_TEST(networks_hold_their_addresses)
{
    ck_assert(network_has("10.0.0.0/8", "10.255.1.2"));
    ck_assert(!network_has("10.0.0.0/8", "11.0.0.0"));
    ck_assert(network_has("192.168.4.0/22", "192.168.7.255"));
    ck_assert(!network_has("192.168.4.0/22", "192.168.8.0"));
    ck_assert(network_has("0.0.0.0/0", "203.0.113.9"));
    ck_assert(!network_has("0.0.0.0/0", "::1"));
    ck_assert(network_has("1.2.3.4", "1.2.3.4"));
    ck_assert(network_has("[2001:db8::]/33", "2001:db8:7fff::1"));
    ck_assert(!network_has("[2001:db8::]/33", "2001:db8:8000::1"));
    ck_assert(network_has("[::1/128]", "::1"));
}
END_TEST

START_TEST(bad_networks_are_refused)
{
    static const char *const bad[] = {"10.0.0.1/8", "10.0.0.0/33", "[::1]/129", "10.0.0.0/", "10/8", "", "1.2.3.4/x"};
    struct net_cidr cidr;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(net_cidr_parse(str_from(bad[i]), &cidr, NULL) < 0, "%s was taken", bad[i]);
}
END_TEST

static const char *split(const char *text, const char *port, struct buf *b)
{
    struct str host_r, port_r;

    buf_clear(b);
    if (net_split_host_port(str_from(text), str_from(port), &host_r, &port_r) < 0)
        return "bad";
    buf_addf(b, STR_FMT "|" STR_FMT, STR_ARG(host_r), STR_ARG(port_r));
    return buf_cstr(b);
}

START_TEST(hosts_and_ports_are_split)
{
    struct buf b = BUF_INIT;
    uint16_t port;

    ck_assert_str_eq(split("host:25", "", &b), "host|25");
    ck_assert_str_eq(split("smtp", "", &b), "|smtp");
    ck_assert_str_eq(split("host", "25", &b), "host|25");
    ck_assert_str_eq(split("[::1]:587", "", &b), "::1|587");
    ck_assert_str_eq(split("[::1]", "24", &b), "::1|24");
    ck_assert_str_eq(split("::1", "24", &b), "bad");
    ck_assert_str_eq(split("[::1", "24", &b), "bad");
    ck_assert_str_eq(split("host:", "24", &b), "bad");
    ck_assert_str_eq(split("[h]x", "24", &b), "bad");
    ck_assert_int_eq(net_port_by_name(STR("2525"), &port), 0);
    ck_assert_uint_eq(port, 2525);
    ck_assert_int_eq(net_port_by_name(STR("smtp"), &port), 0);
    ck_assert_uint_eq(port, 25);
    ck_assert_int_lt(net_port_by_name(STR("65536"), &port), 0);
    ck_assert_int_lt(net_port_by_name(STR("no-such-service"), &port), 0);
    buf_release(&b);
}
END_TEST

START_TEST(this_host_has_interfaces)
{
    struct net_interface *list;
    size_t count;
    bool has_loopback = false;

    ck_assert_int_eq(net_interfaces(&list, &count, NULL), 0);
    for (size_t i = 0; i < count; i++)
        if (net_addr_is_loopback(&list[i].addr) && net_addr_family(&list[i].addr) == AF_INET)
            has_loopback = list[i].prefix_bits == 8;
    ck_assert(has_loopback);
    mem_free(list);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("net");
    TCase *tc = tcase_create("addresses");

    tcase_add_test(tc, addresses_are_read_and_printed);
    tcase_add_test(tc, mapped_addresses_become_plain);
    tcase_add_test(tc, networks_hold_their_addresses);
    tcase_add_test(tc, bad_networks_are_refused);
    tcase_add_test(tc, hosts_and_ports_are_split);
    tcase_add_test(tc, this_host_has_interfaces);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
