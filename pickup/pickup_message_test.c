// SPDX-License-Identifier: ISC
// pickup_message_test.c: maildrop files, good, bad and requeued, as submissions.
#include <check.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/mail/queue_record.h"
#include "lib/sys/sys.h"
#include "pickup/pickup.h"

// Writes records given as "Stext|Rtext" into an unlinked file.
static int file_of(const char *records)
{
    char path[] = "/tmp/pickup_test.XXXXXX";
    struct buf out = BUF_INIT;
    struct str rest = str_from(records), item;
    bool has_more = true;
    while (has_more) {
        has_more = str_cut(&rest, '|', &item);
        if (item.len > 0)
            queue_record_add(&out, (enum record_type)item.ptr[0], str_slice(item, 1, item.len));
    }
    int fd = mkstemp(path);
    ck_assert(fd >= 0 && unlink(path) == 0 && sys_write_all(fd, out.ptr, out.len) == 0);
    buf_release(&out);
    return fd;
}

static int read_as(const char *records, mode_t mode, struct arena *arena, struct pickup_message *m, struct err *err)
{
    struct stat st = {.st_mode = S_IFREG | mode, .st_uid = geteuid()};
    int fd = file_of(records);
    int status = pickup_message_read(fd, &st, arena, m, err);
    close(fd);
    return status;
}

START_TEST(fresh_message)
{
    struct arena arena = ARENA_INIT;
    struct pickup_message m;
    struct err err = ERR_INIT;
    const char *file = "T100 7|Aenvelope_id=e1|Aret_flags=2|Arewrite_context=local|Fjoe|Sa@b|Aclient_name=evil|Lsmtp:x|"
                       "Anotify_flags=12|Rc@d|Re@f|M|Nhello|X|Anotify_flags=4|Adsn_orig_rcpt=rfc822;q|Rg@h|E";
    ck_assert_msg(read_as(file, 0744, &arena, &m, &err) == 0, "%s", err.text);
    const struct submit_envelope *e = &m.envelope;
    ck_assert(!m.is_requeued && e->arrival_us == 100000007 && e->ret_flags == 2);
    ck_assert_str_eq(e->sender.ptr, "a@b");
    ck_assert_str_eq(e->fullname.ptr, "joe");
    ck_assert_str_eq(e->envelope_id.ptr, "e1");
    ck_assert(e->filter.len == 0);
    ck_assert_uint_eq(e->recipient_count, 3);
    ck_assert(e->recipients[0].notify == 12 && e->recipients[1].notify == 0 && e->recipients[2].notify == 4);
    ck_assert_str_eq(e->recipients[2].dsn_orcpt.ptr, "rfc822;q");
    ck_assert_uint_eq(e->attr_count, 1); // a client attribute is not for local users to set
    ck_assert_str_eq(e->attrs[0].name, "rewrite_context");
    ck_assert(m.data_offset > 0);
    arena_release(&arena);
}
END_TEST

START_TEST(requeued_message)
{
    struct arena arena = ARENA_INIT;
    struct pickup_message m;
    struct err err = ERR_INIT;
    const char *file =
        "C 1 2 3 4 5 1|T100 7|Aclient_name=host|Sa@b|W 0|Oold@d|Dc@d|Oe@f|Re@f|M|Nhello|X|Amessage_id=x|E";
    ck_assert_msg(read_as(file, 0700, &arena, &m, &err) == 0, "%s", err.text);
    ck_assert(m.is_requeued && m.envelope.sendopts == 1);
    ck_assert_uint_eq(m.envelope.recipient_count, 1);
    ck_assert_str_eq(m.envelope.recipients[0].address.ptr, "e@f");
    ck_assert_uint_eq(m.envelope.attr_count, 1);
    arena_release(&arena);
}
END_TEST

START_TEST(requeued_and_done)
{
    struct arena arena = ARENA_INIT;
    struct pickup_message m;
    struct err err = ERR_INIT;
    const char *file = "T100 7|Sa@b|Dc@d|Oe@f|De@f|M|Nhello|X|E";
    ck_assert_msg(read_as(file, 0700, &arena, &m, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(m.envelope.recipient_count, 0);
    ck_assert_str_eq(m.envelope.sender.ptr, "a@b");
    ck_assert_int_eq(read_as(file, 0744, &arena, &m, &err), -1); // not by postsuper
    ck_assert_int_eq(read_as("T100 7|Sa@b|M|Nhello|X|E", 0700, &arena, &m, &err), -1);
    arena_release(&arena);
}
END_TEST

static const char *const malformed[] = {
    "T1 1|Sa|Rb|M|Nx|X", "T1 1|Rb|Sa|M|X|E", "Sa|Sb|Rc|M|X|E", "Sa|M|X|E",          "Sa|Rb|M|Qz|X|E",
    "Sa|Rb|E",           "Sa\nb|Rb|M|X|E",   "Sa|Rb|M|X|Nz|E", "Sa|Ajunk|Rb|M|X|E", "",
};

START_TEST(malformed_files)
{
    struct arena arena = ARENA_INIT;
    struct pickup_message m;
    struct err err = ERR_INIT;
    ck_assert_msg(read_as(malformed[_i], 0744, &arena, &m, &err) == -1, "%s", malformed[_i]);
    ck_assert(err_is_permanent(&err));
    arena_release(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pickup_message");
    TCase *tc = tcase_create("pickup_message");
    tcase_add_test(tc, fresh_message);
    tcase_add_test(tc, requeued_message);
    tcase_add_test(tc, requeued_and_done);
    tcase_add_loop_test(tc, malformed_files, 0, sizeof(malformed) / sizeof(malformed[0]));
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
