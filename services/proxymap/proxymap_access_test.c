// SPDX-License-Identifier: ISC
// proxymap_access_test.c: which tables proxymap may open.
#include <check.h>
#include <stdlib.h>

#include "lib/table/table.h"
#include "services/proxymap/proxymap.h"

START_TEST(lists_allow_their_proxy_items_only)
{
    struct proxymap_access access = {MAP_INIT};
    proxymap_access_add_list(
        &access,
        STR("hash:/etc/a proxy:tcp:h:1, { check_client_access proxy:cidr:/c } proxy:unionmap:{static:a, static:b}"));
    ck_assert(proxymap_access_allows(&access, STR("tcp:h:1")));
    ck_assert(proxymap_access_allows(&access, STR("proxy:tcp:h:1")));
    ck_assert(proxymap_access_allows(&access, STR("cidr:/c")));
    ck_assert(proxymap_access_allows(&access, STR("unionmap:{static:a, static:b}")));
    ck_assert(!proxymap_access_allows(&access, STR("hash:/etc/a")));
    ck_assert(!proxymap_access_allows(&access, STR("tcp:h:2")));
    ck_assert(!proxymap_access_allows(&access, STR("")));
    proxymap_access_release(&access);
}
END_TEST

START_TEST(databases_are_allowed_where_they_are_named)
{
    struct proxymap_access access = {MAP_INIT};
    if (!table_type_is_backend(STR("sqlite")))
        return;
    proxymap_access_add_backends(
        &access, STR("permit, check_x sqlite:/a, unionmap:{hash:/h, sqlite:/b} {reject, {proxy:sqlite:/c}}"));
    ck_assert(proxymap_access_allows(&access, STR("sqlite:/a")));
    ck_assert(proxymap_access_allows(&access, STR("sqlite:/b")));
    ck_assert(proxymap_access_allows(&access, STR("sqlite:/c")));
    ck_assert(!proxymap_access_allows(&access, STR("hash:/h")));
    ck_assert(!proxymap_access_allows(&access, STR("sqlite:/d")));
    proxymap_access_release(&access);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxymap_access");
    TCase *tc = tcase_create("proxymap_access");
    int failed;
    SRunner *runner;

    tcase_add_test(tc, lists_allow_their_proxy_items_only);
    tcase_add_test(tc, databases_are_allowed_where_they_are_named);
    suite_add_tcase(s, tc);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
