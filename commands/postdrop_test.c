// SPDX-License-Identifier: ISC
// postdrop_test.c: which records of a submission are stored, dropped or refused.
#include <check.h>
#include <stdlib.h>

#include "commands/postdrop.h"

// Takes records written as "Stext|Rtext|..." and gives what is stored in the same form. Returns the status.
static int take(const char *input, int64_t limit, struct buf *stored_r, bool *is_done_r)
{
    struct postdrop_input in;
    struct buf out = BUF_INIT;
    struct err err = ERR_INIT;
    struct str rest = str_from(input), item;
    struct record r;
    int status = 0;
    bool has_more = true;
    buf_clear(stored_r);
    postdrop_input_init(&in, limit);
    while (status == 0 && has_more) {
        has_more = str_cut(&rest, '|', &item);
        r = (struct record){.type = item.ptr[0], .data = str_slice(item, 1, item.len)};
        status = postdrop_input_take(&in, &r, &out, &err);
    }
    struct raw records = {(const unsigned char *)out.ptr, out.len};
    while (records.len > 0 && queue_record_decode(records, &r) == 1) {
        buf_addf(stored_r, "%c" STR_FMT "|", r.type, STR_ARG(r.data));
        records.ptr += r.size;
        records.len -= r.size;
    }
    *is_done_r = in.segment == POSTDROP_DONE;
    ck_assert(status == 0 || err.text[0] != '\0');
    postdrop_input_release(&in);
    buf_release(&out);
    return status;
}

static void expect_stored(const char *input, const char *expected)
{
    struct buf stored = BUF_INIT;
    bool is_done;
    ck_assert_int_eq(take(input, 0, &stored, &is_done), 0);
    ck_assert_str_eq(buf_cstr(&stored), expected);
    ck_assert(is_done);
    buf_release(&stored);
}

START_TEST(stores_known_records)
{
    expect_stored("T1 2|Aencoding=8bit|Fjoe|Sa@b|Aclient_name=evil|Anotify_flags=12|Rc@d|M|Nhello|Lpart|Nend|X|Re@f|E",
                  "Aencoding=8bit|Fjoe|Sa@b|Anotify_flags=12|Rc@d|M|Nhello|Lpart|Nend|X|Re@f|E|");
    expect_stored("S|ienvid|n4|Rx|M|X|E", "S|Aenvelope_id=envid|Anotify_flags=4|Rx|M|X|E|");
    expect_stored("C 1 2 3 4 5 63|Sa|Rx|M|X|E",
                  "C             -1              -1              -1              -1              -1              33|"
                  "Sa|Rx|M|X|E|");
    expect_stored("Sa|Atrace_flags=256|Anotify_flags=99|Arewrite_context=x|Rx|M|X|E", "Sa|Rx|M|X|E|");
}
END_TEST

static const struct {
    const char *input;
    int status;
} refused[] = {
    {"Sa|Rb|M|X|Q", POSTDROP_BAD},
    {"Sa|Sb|Rc|M|X|E", POSTDROP_BAD},
    {"Rb|Sa|M|X|E", POSTDROP_BAD},
    {"Sa|M|X|E", POSTDROP_BAD},
    {"Rb", POSTDROP_BAD},
    {"Sa|Oold|Rb|M|X|E", POSTDROP_BAD},
    {"Sa\nb|Rb|M|X|E", POSTDROP_BAD},
    {"Sa|Rb\r|M|X|E", POSTDROP_BAD},
    {"Sa|Rb|M|p123|X|E", POSTDROP_BAD},
    {"Sa|Rb|M|X|Ssecond|E", POSTDROP_BAD},
    {"Cx|Sa", POSTDROP_BAD},
    {"Sa|Rb|M|X|E|Rc", POSTDROP_BAD},
    {"Sa|R|M|X|E", POSTDROP_BAD},
    {"Sa|Rb|M|N12345678901|X|E", POSTDROP_SIZE},
    {"Sa|Lsmtp:filter|Rb|M|X|E", POSTDROP_BAD},
};

START_TEST(refuses)
{
    struct buf stored = BUF_INIT;
    bool is_done;
    ck_assert_int_eq(take(refused[_i].input, 10, &stored, &is_done), refused[_i].status);
    buf_release(&stored);
}
END_TEST

START_TEST(needs_an_end)
{
    struct buf stored = BUF_INIT;
    bool is_done;
    ck_assert_int_eq(take("Sa|Rb|M|Nx|X", 0, &stored, &is_done), 0);
    ck_assert(!is_done);
    buf_release(&stored);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("postdrop");
    TCase *tc = tcase_create("postdrop");
    tcase_add_test(tc, stores_known_records);
    tcase_add_loop_test(tc, refuses, 0, sizeof(refused) / sizeof(refused[0]));
    tcase_add_test(tc, needs_an_end);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
