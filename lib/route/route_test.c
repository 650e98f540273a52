// SPDX-License-Identifier: ISC
// route_test.c: classes, resolution, standard form, mappings and recipient checks.
#include <check.h>
#include <stdio.h>

#include "lib/base/log.h"
#include "lib/route/route.h"

static struct settings set;
static struct route *route;
static struct arena arena;

static void setup(void)
{
    log_open(LOG_TO_FD, -1, "test", "test");
    arena = ARENA_INIT;
    set = (struct settings){0};
    set.myhostname = STR("mx.example.com");
    set.mydomain = STR("example.com");
    set.myorigin = STR("example.com");
    set.mydestination = STR("mx.example.com, localhost, example.com");
    set.inet_interfaces = STR("127.0.0.1");
    set.virtual_alias_maps = STR("inline:{v.example=x, a@v.example=b@c.example, canon@example.com=root}");
    set.virtual_alias_domains = set.virtual_alias_maps;
    set.virtual_mailbox_domains = STR("vm.example");
    set.virtual_mailbox_maps = STR("inline:{joe@vm.example=joe/}");
    set.relay_domains = STR("relay.example");
    set.parent_domain_matches_subdomains = STR("relay_domains");
    set.local_transport = STR("local:mx.example.com");
    set.virtual_transport = STR("virtual");
    set.relay_transport = STR("relay");
    set.default_transport = STR("smtp");
    set.local_recipient_maps = STR("inline:{root=x, joe=y}");
    set.recipient_delimiter = STR("+");
    set.empty_address_recipient = STR("MAILER-DAEMON");
    set.empty_address_relayhost_maps_lookup_key = STR("<>");
    set.empty_address_default_transport_maps_lookup_key = STR("<>");
    set.unknown_local_recipient_reject_code = set.unknown_virtual_alias_reject_code = 550;
    set.unknown_virtual_mailbox_reject_code = set.unknown_relay_recipient_reject_code = 550;
    set.double_bounce_sender = STR("double-bounce");
    set.propagate_unmatched_extensions = STR("canonical, virtual");
    set.append_at_myorigin = set.append_dot_mydomain = set.swap_bangpath = set.allow_percent_hack = true;
    set.resolve_dequoted_address = set.show_user_unknown_table_name = set.relocated_prefix_enable = true;
}

static void open_route(void)
{
    struct err err = ERR_INIT;
    if (route == NULL)
        route = route_open(&set, &err);
    ck_assert_msg(route != NULL, "%s", err.text);
}

static void teardown(void)
{
    route_close(route);
    route = NULL;
    arena_release(&arena);
}

// "transport|nexthop|recipient", or "!" on failure; "(routed)" at the end.
static const char *resolve_from(const char *sender, const char *recipient)
{
    struct route_result result;
    struct err err = ERR_INIT;
    open_route();
    if (route_resolve(route, str_from(sender), str_from(recipient), &arena, &result, &err) < 0)
        return "!";
    return arena_strf(&arena, STR_FMT "|" STR_FMT "|" STR_FMT "%s", STR_ARG(result.transport), STR_ARG(result.nexthop),
                      STR_ARG(result.recipient), result.has_source_route ? "(routed)" : "")
        .ptr;
}

static const char *resolve(const char *recipient)
{
    return resolve_from("s@sender.example", recipient);
}

START_TEST(each_class_has_its_transport)
{
    ck_assert_str_eq(resolve("joe@Example.com"), "local|mx.example.com|joe@Example.com");
    ck_assert_str_eq(resolve("joe@[127.0.0.1]"), "local|mx.example.com|joe@[127.0.0.1]");
    ck_assert_str_eq(resolve("joe"), "local|mx.example.com|joe@example.com");
    ck_assert_str_eq(resolve(""), "local|mx.example.com|MAILER-DAEMON@example.com");
    ck_assert_str_eq(resolve("@example.com"), "local|mx.example.com|MAILER-DAEMON@example.com");
    ck_assert_str_eq(resolve("@far.example"), "smtp|far.example|@far.example");
    ck_assert_str_eq(resolve("%far.example@example.com"), "smtp|far.example|@far.example(routed)");
    ck_assert_str_eq(resolve("z@v.example"), "error|5.1.1 User unknown in virtual alias table|z@v.example");
    ck_assert_str_eq(resolve("joe@vm.example"), "virtual|vm.example|joe@vm.example");
    ck_assert_str_eq(resolve("u@sub.relay.example"), "relay|sub.relay.example|u@sub.relay.example");
    ck_assert_str_eq(resolve("u@Far.example"), "smtp|far.example|u@Far.example");
    ck_assert_str_eq(resolve("u@[192.0.2.1]"), "smtp|[192.0.2.1]|u@[192.0.2.1]");
}
END_TEST

START_TEST(bad_addresses_resolve_to_an_error)
{
    const char *want = "error|5.1.3 Bad recipient address syntax|";
    ck_assert_int_eq(strncmp(resolve("u@-bad-.example"), want, strlen(want)), 0);
    ck_assert_int_eq(strncmp(resolve("u@192.0.2.1"), want, strlen(want)), 0);
    ck_assert_int_eq(strncmp(resolve("-u@far.example"), want, strlen(want)), 0);
    ck_assert_int_eq(strncmp(resolve("u@"), want, strlen(want)), 0);
    ck_assert_int_eq(strncmp(resolve("a\nb@far.example"), want, strlen(want)), 0);
    static const char *const bad[] = {"-u@far.example",
                                      "u@-bad.example",
                                      "u@192.0.2.1",
                                      "u@@example.com",
                                      "u%@example.com",
                                      "-u",
                                      "-u%far.example@example.com"};
    static const char *const good[] = {"u",
                                       "@far.example",
                                       "u@far.example",
                                       "u@@far",
                                       "u@[192.0.2.1]",
                                       "u-@far.example",
                                       "u@far.example.",
                                       "u%far.example@example.com"};
    struct err err = ERR_INIT;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(route_address_is_malformed(route, str_from(bad[i]), &err) == 1, "%s", bad[i]);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_msg(route_address_is_malformed(route, str_from(good[i]), &err) == 0, "%s", good[i]);
    struct route_result result;
    ck_assert_int_eq(route_resolve(route, STR(""), STR("joe\0x"), &arena, &result, NULL), 0);
    ck_assert_int_eq(result.class, ROUTE_ERROR);
}
END_TEST

START_TEST(odd_addresses_may_be_let_in)
{
    struct err err = ERR_INIT;
    set.resolve_numeric_domain = set.allow_min_user = true;
    ck_assert_str_eq(resolve("-u@192.0.2.1"), "smtp|[192.0.2.1]|-u@[192.0.2.1]");
    ck_assert_str_eq(resolve("u@[192.0.2.1]"), "smtp|[192.0.2.1]|u@[192.0.2.1]");
    ck_assert_str_eq(resolve("joe@127.0.0.1"), "local|mx.example.com|joe@[127.0.0.1]");
    ck_assert_int_eq(route_address_is_malformed(route, STR("-u@192.0.2.1"), &err), 0);
    ck_assert_int_eq(route_address_is_malformed(route, STR("u@123"), &err), 1);
    set.resolve_numeric_domain = set.allow_min_user = false;
}
END_TEST

START_TEST(routes_through_us_are_followed_and_flagged)
{
    ck_assert_str_eq(resolve("u%far.example@example.com"), "smtp|far.example|u@far.example(routed)");
    ck_assert_str_eq(resolve("u@far.example@example.com"), "smtp|far.example|u@far.example(routed)");
    ck_assert_str_eq(resolve("far.example!u@example.com"), "smtp|far.example|u@far.example(routed)");
    ck_assert_str_eq(resolve("u%x@far.example"), "smtp|far.example|u%x@far.example(routed)");
}
END_TEST

START_TEST(relayhost_and_sender_maps_choose_the_next_hop)
{
    set.relayhost = STR("[gw.example]:587");
    set.sender_dependent_relayhost_maps =
        STR("inline:{@s1.example=[one.example], {d@s2.example = DUNNO}, <>=null.example}");
    set.sender_dependent_default_transport_maps = STR("inline:{@s3.example=slow:, @s4.example=x:y}");
    ck_assert_str_eq(resolve("u@far.example"), "smtp|[gw.example]:587|u@far.example");
    ck_assert_str_eq(resolve("u@relay.example"), "relay|[gw.example]:587|u@relay.example");
    ck_assert_str_eq(resolve("joe@example.com"), "local|mx.example.com|joe@example.com");
    ck_assert_str_eq(resolve_from("a@s1.example", "u@far.example"), "smtp|[one.example]|u@far.example");
    ck_assert_str_eq(resolve_from("d@s2.example", "u@far.example"), "smtp|[gw.example]:587|u@far.example");
    ck_assert_str_eq(resolve_from("", "u@far.example"), "smtp|null.example|u@far.example");
    ck_assert_str_eq(resolve_from("a@s3.example", "u@far.example"), "slow|[gw.example]:587|u@far.example");
    ck_assert_str_eq(resolve_from("a@s4.example", "u@far.example"), "x|y|u@far.example");
}
END_TEST

START_TEST(transport_maps_override)
{
    set.transport_maps =
        STR("inline:{a.example=slow:, b.example=:[b.gw], .c.example=uucp:host, {e.example = error:5.7.1 no mail},"
            " n.example=:, u@x.example=t1:h1, *=smtp:[star.example]}");
    ck_assert_str_eq(resolve("u@a.example"), "slow|a.example|u@a.example");
    ck_assert_str_eq(resolve("u@b.example"), "smtp|[b.gw]|u@b.example");
    ck_assert_str_eq(resolve("u@x.c.example"), "uucp|host|u@x.c.example");
    ck_assert_str_eq(resolve("u@c.example"), "smtp|[star.example]|u@c.example");
    ck_assert_str_eq(resolve("u@e.example"), "error|5.7.1 no mail|u@e.example");
    ck_assert_str_eq(resolve("u@n.example"), "smtp|n.example|u@n.example");
    ck_assert_str_eq(resolve("u+ext@x.example"), "t1|h1|u+ext@x.example");
}
END_TEST

START_TEST(failing_tables_are_temporary)
{
    struct route_unknown why = {.arena = &arena};
    struct err err = ERR_INIT;
    set.transport_maps = STR("fail:x");
    set.local_recipient_maps = STR("fail:x");
    ck_assert_str_eq(resolve("u@a.example"), "!");
    ck_assert_int_eq(route_recipient_exists(route, STR("joe@example.com"), &why, &err), -1);
    ck_assert_int_eq(err.kind, ERR_TEMPORARY);
}
END_TEST

static const char *rewrite(bool is_local, const char *address)
{
    struct str result;
    open_route();
    ck_assert_int_eq(route_rewrite(route, is_local, str_from(address), &arena, &result, NULL), 0);
    return arena_cstr(&arena, result);
}

START_TEST(standard_form_completes_addresses)
{
    ck_assert_str_eq(rewrite(true, "joe"), "joe@example.com");
    ck_assert_str_eq(rewrite(true, "joe@host"), "joe@host.example.com");
    ck_assert_str_eq(rewrite(true, "joe@[1.2.3.4]"), "joe@[1.2.3.4]");
    ck_assert_str_eq(rewrite(true, "joe@a.b."), "joe@a.b");
    ck_assert_str_eq(rewrite(true, "site!joe"), "joe@site.example.com");
    ck_assert_str_eq(rewrite(true, "joe%site.x"), "joe@site.x");
    ck_assert_str_eq(rewrite(true, "@r1,@r2:joe@a.b"), "joe@a.b");
    ck_assert_str_eq(rewrite(true, ""), "");
    ck_assert_str_eq(rewrite(false, "joe"), "joe");
    set.remote_header_rewrite_domain = STR("invalid.example");
    ck_assert_str_eq(rewrite(false, "joe"), "joe@invalid.example");
}
END_TEST

// "yes", "!" or why not: "550 5.1.1 text".
static const char *answer(int found, const struct route_unknown *why)
{
    if (found != 0)
        return found > 0 ? "yes" : "!";
    return arena_strf(&arena, "%d " STR_FMT " " STR_FMT, (int)why->code, STR_ARG(why->status), STR_ARG(why->text)).ptr;
}

static const char *exists(const char *recipient)
{
    struct route_unknown why = {.arena = &arena};
    struct err err = ERR_INIT;
    open_route();
    return answer(route_recipient_exists(route, str_from(recipient), &why, &err), &why);
}

static const char *sender_exists(const char *sender)
{
    struct route_unknown why = {.arena = &arena};
    struct err err = ERR_INIT;
    open_route();
    return answer(route_sender_exists(route, str_from(sender), &why, &err), &why);
}

START_TEST(recipients_are_checked_by_class)
{
    ck_assert_str_eq(exists("joe@example.com"), "yes");
    ck_assert_str_eq(exists("joe+ext@localhost"), "yes");
    ck_assert_str_eq(exists("nobody@example.com"), "550 5.1.1 User unknown in local recipient table");
    ck_assert_str_eq(exists("canon@example.com"), "yes");
    ck_assert_str_eq(exists("PostMaster@example.com"), "yes");
    ck_assert_str_eq(exists("a@v.example"), "yes");
    ck_assert_str_eq(exists("b@v.example"), "550 5.1.1 User unknown in virtual alias table");
    ck_assert_str_eq(exists("postmaster@v.example"), "550 5.1.1 User unknown in virtual alias table");
    ck_assert_str_eq(exists("joe@vm.example"), "yes");
    ck_assert_str_eq(exists("jane@vm.example"), "550 5.1.1 User unknown in virtual mailbox table");
    ck_assert_str_eq(exists("any@relay.example"), "yes");
    ck_assert_str_eq(exists("any@far.example"), "yes");
    teardown();
    set.relay_recipient_maps = STR("inline:{x@relay.example=ok}");
    set.unknown_relay_recipient_reject_code = 454;
    set.unknown_local_recipient_reject_code = 450;
    set.show_user_unknown_table_name = false;
    ck_assert_str_eq(exists("any@relay.example"), "454 5.1.1 User unknown");
    ck_assert_str_eq(exists("x@relay.example"), "yes");
    ck_assert_str_eq(exists("nobody@example.com"), "450 5.1.1 User unknown");
}
END_TEST

START_TEST(transports_refuse_before_the_maps_of_the_class)
{
    set.transport_maps =
        STR("inline:{{far.example = error:5.7.1 no mail}, {slow.example = retry:4.2.1 wait}, {no.example=error:never},"
            " {ghost@example.com = error:5.1.6 went away}, {a@v.example = error:5.7.1 unused}}");
    ck_assert_str_eq(exists("x@far.example"), "550 5.7.1 no mail");
    ck_assert_str_eq(exists("x@slow.example"), "450 4.2.1 wait");
    ck_assert_str_eq(exists("x@no.example"), "550 5.1.1 never");
    ck_assert_str_eq(exists("ghost@example.com"), "550 5.1.6 went away");
    ck_assert_str_eq(exists("a@v.example"), "yes");
}
END_TEST

START_TEST(senders_are_checked_likewise)
{
    set.sender_canonical_maps = STR("inline:{masked@example.com=joe@example.com}");
    ck_assert_str_eq(sender_exists(""), "yes");
    ck_assert_str_eq(sender_exists("joe@example.com"), "yes");
    ck_assert_str_eq(sender_exists("masked@example.com"), "yes");
    ck_assert_str_eq(exists("masked@example.com"), "550 5.1.1 User unknown in local recipient table");
    ck_assert_str_eq(sender_exists("nobody@example.com"), "550 5.1.0 User unknown in local recipient table");
    ck_assert_str_eq(sender_exists("b@v.example"), "550 5.1.1 User unknown in virtual alias table");
    ck_assert_str_eq(sender_exists("any@far.example"), "yes");
}
END_TEST

START_TEST(only_our_classes_may_be_relayed_to)
{
    struct err err = ERR_INIT;
    open_route();
    ck_assert_int_eq(route_is_authorized_destination(route, STR("x@example.com"), &err), 1);
    ck_assert_int_eq(route_is_authorized_destination(route, STR("x@v.example"), &err), 1);
    ck_assert_int_eq(route_is_authorized_destination(route, STR("x@vm.example"), &err), 1);
    ck_assert_int_eq(route_is_authorized_destination(route, STR("x@a.relay.example"), &err), 1);
    ck_assert_int_eq(route_is_authorized_destination(route, STR("x@far.example"), &err), 0);
    ck_assert_int_eq(route_is_authorized_destination(route, STR("x%far.example@example.com"), &err), 0);
    ck_assert_int_eq(route_is_authorized_destination(route, STR("x@far.example@example.com"), &err), 0);
    ck_assert_int_eq(route_is_authorized_destination(route, STR("far.example!x@example.com"), &err), 0);
    ck_assert_int_eq(route_is_authorized_destination(route, STR("x@far.example@relay.example"), &err), 0);
    ck_assert_int_eq(route_is_authorized_destination(route, STR("x@"), &err), 0);
}
END_TEST

START_TEST(canonical_maps_one_address)
{
    struct table_list *maps = table_list_open(
        STR("inline:{joe@a.example=joseph@b.example, @c.example=@d.example, jane=jane.doe, {two@a.example = x, y}}"),
        0);
    struct err err = ERR_INIT;
    struct str mapped;
    open_route();
    ck_assert_int_eq(route_canonical(route, maps, STR("joe+q@a.example"), &arena, &mapped, &err), 1);
    ck_assert(str_is(mapped, STR("joseph+q@b.example")));
    ck_assert_int_eq(route_canonical(route, maps, STR("any+q@c.example"), &arena, &mapped, &err), 1);
    ck_assert(str_is(mapped, STR("any+q@d.example")));
    ck_assert_int_eq(route_canonical(route, maps, STR("jane@example.com"), &arena, &mapped, &err), 1);
    ck_assert(str_is(mapped, STR("jane.doe@example.com")));
    ck_assert_int_eq(route_canonical(route, maps, STR("jane@far.example"), &arena, &mapped, &err), 0);
    ck_assert_int_eq(route_canonical(route, maps, STR("two@a.example"), &arena, &mapped, &err), -1);
    table_list_close(maps);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("route");
    TCase *tc = tcase_create("route");
    int failed;
    SRunner *runner;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, each_class_has_its_transport);
    tcase_add_test(tc, bad_addresses_resolve_to_an_error);
    tcase_add_test(tc, odd_addresses_may_be_let_in);
    tcase_add_test(tc, routes_through_us_are_followed_and_flagged);
    tcase_add_test(tc, relayhost_and_sender_maps_choose_the_next_hop);
    tcase_add_test(tc, transport_maps_override);
    tcase_add_test(tc, failing_tables_are_temporary);
    tcase_add_test(tc, standard_form_completes_addresses);
    tcase_add_test(tc, recipients_are_checked_by_class);
    tcase_add_test(tc, transports_refuse_before_the_maps_of_the_class);
    tcase_add_test(tc, senders_are_checked_likewise);
    tcase_add_test(tc, only_our_classes_may_be_relayed_to);
    tcase_add_test(tc, canonical_maps_one_address);
    suite_add_tcase(s, tc);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
