// SPDX-License-Identifier: ISC
// mailbox_test.c: mailbox files and Maildirs as another program finds them.
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/agent/mailbox.h"
#include "lib/base/log.h"
#include "lib/mail/queue_record.h"

static char dir[64];
static struct mailbox_writer writer;
static struct mailbox_content content;
static struct arena arena;
static int queue_fd;

static void load(const char *text)
{
    struct buf b = BUF_INIT;
    struct err err = ERR_INIT;
    bool in_line = false;
    char name[] = "/tmp/mailbox-queue-XXXXXX";

    queue_fd = mkstemp(name);
    unlink(name);
    queue_record_add_content(&b, str_from(text), 2048, &in_line);
    queue_record_add(&b, REC_EXTRACTED, STR(""));
    ck_assert_int_eq((int)write(queue_fd, b.ptr, b.len), (int)b.len);
    buf_release(&b);
    ck_assert_msg(mailbox_content_load(&content, queue_fd, 0, &err) == 0, "%s", err.text);
}

static void setup(void)
{
    static const struct settings set = {.deliver_lock_attempts = 2, .deliver_lock_delay = 0, .stale_lock_time = 500};
    struct err err = ERR_INIT;

    log_open(LOG_TO_FD, -1, "test", "test");
    strcpy(dir, "/tmp/mailbox-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    arena = ARENA_INIT;
    ck_assert_int_eq(mailbox_writer_init(&writer, &set, STR("fcntl, dotlock"), 0, &err), 0);
    load("Subject: x\nDelivered-To: Loop@Example.com\n\nFrom here on\n>From quoted\nbody\n");
}

static void teardown(void)
{
    char command[128];
    mailbox_content_release(&content);
    mailbox_writer_release(&writer);
    arena_release(&arena);
    close(queue_fd);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
}

static struct mailbox_message message(void)
{
    return (struct mailbox_message){&content, STR("s@sender.example"), STR("Orig@example.com"), STR("joe@example.com")};
}

static const char *path(const char *name)
{
    return arena_strf(&arena, "%s/%s", dir, name).ptr;
}

static const char *read_file(const char *name)
{
    static char text[100000];
    int fd = open(name, O_RDONLY);
    ssize_t n;
    ck_assert_int_ge(fd, 0);
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

static struct delivery_report append(const char *name)
{
    struct delivery_report report = {0};
    struct mailbox_file file = {path(name), true, "joe", geteuid(), getegid()};
    struct mailbox_message m = message();
    mailbox_append(&writer, &m, &file, &arena, &report);
    return report;
}

START_TEST(mailbox_has_from_lines_and_quotes_them)
{
    struct delivery_report report = append("joe");
    const char *text = read_file(path("joe"));
    struct stat st;
    ck_assert_int_eq(report.status, DELIVERY_SENT);
    ck_assert(str_is(report.text, STR("delivered to mailbox")));
    ck_assert_int_eq(strncmp(text, "From s@sender.example  ", 23), 0);
    ck_assert_ptr_nonnull(strstr(text, "\nReturn-Path: <s@sender.example>\nX-Original-To: Orig@example.com\n"
                                       "Delivered-To: joe@example.com\nSubject: x\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n\n>From here on\n>From quoted\nbody\n\n"));
    ck_assert_int_eq(stat(path("joe"), &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    ck_assert_int_lt(access(path("joe.lock"), F_OK), 0);
    append("joe");
    ck_assert_int_eq(stat(path("joe"), &st), 0);
    ck_assert_int_eq((int)st.st_size, 2 * (int)strlen(text));
}
END_TEST

START_TEST(a_mailbox_over_its_limit_keeps_its_length)
{
    struct stat before, after;
    struct delivery_report report;
    append("joe");
    stat(path("joe"), &before);
    writer.size_limit = before.st_size + 10;
    report = append("joe");
    stat(path("joe"), &after);
    ck_assert_int_eq(report.status, DELIVERY_BOUNCED);
    ck_assert(str_is(report.dsn, STR("5.2.2")));
    ck_assert(str_starts(report.text, STR("cannot update mailbox ")));
    ck_assert(str_ends(report.text, STR(" for user joe. File too large")));
    ck_assert_int_eq((int)before.st_size, (int)after.st_size);
}
END_TEST

START_TEST(links_and_locks_defer)
{
    struct delivery_report report;
    append("joe");
    ck_assert_int_eq(link(path("joe"), path("jane")), 0);
    ck_assert_int_eq(append("jane").status, DELIVERY_DEFERRED);
    ck_assert_int_eq(unlink(path("jane")), 0);
    // Only root's links in directories that nobody else can write to are followed; the target is a file of this test.
    ck_assert_int_eq(symlink(path("joe"), path("sym")), 0);
    ck_assert_int_eq(chmod(dir, 0770), 0);
    ck_assert_int_ne(append("sym").status, DELIVERY_SENT);
    close(open(path("joe.lock"), O_CREAT | O_WRONLY, 0600));
    report = append("joe");
    ck_assert_int_eq(report.status, DELIVERY_DEFERRED);
    ck_assert(str_is(report.dsn, STR("4.2.0")));
}
END_TEST

// The only entry of a directory.
static const char *only_entry(const char *name)
{
    DIR *d = opendir(name);
    struct dirent *e;
    const char *found = NULL;
    ck_assert_ptr_nonnull(d);
    while ((e = readdir(d)) != NULL)
        if (e->d_name[0] != '.') {
            ck_assert_ptr_null(found);
            found = arena_strf(&arena, "%s/%s", name, e->d_name).ptr;
        }
    closedir(d);
    return found;
}

START_TEST(maildir_is_made_and_filled)
{
    struct delivery_report report = {0};
    struct mailbox_message m = message();
    const char *file;
    mailbox_deliver_maildir(&writer, &m, path("a/b/Maildir/"), &arena, &report);
    ck_assert_int_eq(report.status, DELIVERY_SENT);
    ck_assert(str_is(report.text, STR("delivered to maildir")));
    file = only_entry(path("a/b/Maildir/new"));
    ck_assert_ptr_nonnull(file);
    ck_assert_str_eq(read_file(file), "Return-Path: <s@sender.example>\nX-Original-To: Orig@example.com\n"
                                      "Delivered-To: joe@example.com\nSubject: x\nDelivered-To: Loop@Example.com\n\n"
                                      "From here on\n>From quoted\nbody\n");
    ck_assert_ptr_null(only_entry(path("a/b/Maildir/tmp")));
    ck_assert_int_eq(access(path("a/b/Maildir/cur"), F_OK), 0);
}
END_TEST

// Processes of the same number in two containers may share a Maildir: neither takes the other's file.
START_TEST(another_delivery_under_the_same_name_is_left_alone)
{
    struct delivery_report report = {0};
    struct mailbox_message m = message();
    const char *names[3]; // the second may end during the test
    mailbox_deliver_maildir(&writer, &m, path("M"), &arena, &report);
    for (int64_t i = 0, now = clock_wall(); i < 3; i++) {
        names[i] =
            arena_strf(&arena, "%s/tmp/%lld.P%u.%s", path("M"), (long long)(now + i), writer.pid, writer.host).ptr;
        int fd = open(names[i], O_WRONLY | O_CREAT | O_EXCL, 0600);
        ck_assert_int_eq((int)write(fd, "half", 4), 4);
        close(fd);
    }
    mailbox_deliver_maildir(&writer, &m, path("M"), &arena, &report);
    ck_assert_int_eq(report.status, DELIVERY_DEFERRED);
    for (size_t i = 0; i < 3; i++)
        ck_assert_str_eq(read_file(names[i]), "half");
}
END_TEST

START_TEST(large_messages_are_streamed)
{
    struct delivery_report report = {0};
    struct mailbox_message m;
    struct buf text = BUF_INIT;
    struct stat st;
    mailbox_content_release(&content);
    close(queue_fd);
    for (int i = 0; i < 40000; i++)
        buf_addf(&text, "From line %d of a long message\n", i);
    load(buf_cstr(&text));
    ck_assert(!content.is_whole);
    m = message();
    m.original_to = m.delivered_to = STR("");
    mailbox_deliver_maildir(&writer, &m, path("M"), &arena, &report);
    ck_assert_int_eq(report.status, DELIVERY_SENT);
    ck_assert_int_eq(stat(only_entry(path("M/new")), &st), 0);
    ck_assert_int_eq((int)st.st_size, (int)text.len + 32);
    buf_release(&text);
}
END_TEST

START_TEST(delivered_to_is_seen_in_the_header_only)
{
    ck_assert(mailbox_content_was_delivered_to(&content, STR("loop@example.com")));
    ck_assert(!mailbox_content_was_delivered_to(&content, STR("joe@example.com")));
    mailbox_content_release(&content);
    close(queue_fd);
    load("Subject: x\n\nDelivered-To: joe@example.com\n");
    ck_assert(!mailbox_content_was_delivered_to(&content, STR("joe@example.com")));
}
END_TEST

START_TEST(a_missing_parent_that_cannot_be_made_fails)
{
    struct delivery_report report = {0};
    struct mailbox_message m = message();
    mailbox_deliver_maildir(&writer, &m, "/proc/nowhere/Maildir", &arena, &report);
    ck_assert_int_ne(report.status, DELIVERY_SENT);
    ck_assert(str_starts(report.text, STR("maildir delivery failed: ")));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("mailbox");
    TCase *tc = tcase_create("mailbox");
    int failed;
    SRunner *runner;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, mailbox_has_from_lines_and_quotes_them);
    tcase_add_test(tc, a_mailbox_over_its_limit_keeps_its_length);
    tcase_add_test(tc, links_and_locks_defer);
    tcase_add_test(tc, maildir_is_made_and_filled);
    tcase_add_test(tc, another_delivery_under_the_same_name_is_left_alone);
    tcase_add_test(tc, large_messages_are_streamed);
    tcase_add_test(tc, delivered_to_is_seen_in_the_header_only);
    tcase_add_test(tc, a_missing_parent_that_cannot_be_made_fails);
    suite_add_tcase(s, tc);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
