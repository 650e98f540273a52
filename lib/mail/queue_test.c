// SPDX-License-Identifier: ISC
// queue_test.c: queue records, ids, directories, and whole files: good, cut short, and looping.
#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/mail/queue_file.h"
#include "lib/mail/queue_id.h"

static struct arena arena = ARENA_INIT;
static int dirfd = -1;
static char dir[] = "/tmp/queue_test.XXXXXX";

static void expect_str(struct str got, const char *want)
{
    ck_assert_msg(str_is(got, str_from(want)), "got \"" STR_FMT "\", want \"%s\"", STR_ARG(got), want);
}

static int file_of(const struct buf *b)
{
    int fd = openat(dirfd, "file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, b->ptr, b->len), (ssize_t)b->len);
    return fd;
}

START_TEST(test_records)
{
    struct buf b = BUF_INIT;
    struct record r;
    bool in_line = false;
    queue_record_add_content(&b, STR("one\ntwo and more\n\nhalf"), 8, &in_line);
    ck_assert(in_line);
    static const struct {
        char type;
        const char *text;
    } want[] = {{'N', "one"}, {'L', "two and "}, {'N', "more"}, {'N', ""}, {'L', "half"}};
    struct raw rest = {(unsigned char *)b.ptr, b.len};
    for (size_t i = 0; i < 5; i++) {
        ck_assert_int_eq(queue_record_decode(rest, &r), 1);
        ck_assert_int_eq(r.type, want[i].type);
        expect_str(r.data, want[i].text);
        rest = (struct raw){rest.ptr + r.size, rest.len - r.size};
    }
    ck_assert_uint_eq(rest.len, 0);
    ck_assert_int_eq(queue_record_decode(rest, &r), 0);
    ck_assert_int_eq(queue_record_decode((struct raw){(const unsigned char *)"N\xff\xff\xff\xff\xff\x01", 7}, &r), -1);
    ck_assert_int_eq(queue_record_decode((struct raw){(const unsigned char *)"N\xff\xff\xff\x7f", 5}, &r), -1);
    ck_assert_int_lt(queue_record_add_text(&b, REC_RCPT, STR("a\nRb")), 0);
    ck_assert_int_lt(queue_record_add_attr(&b, "x", str_of("a\0b", 3)), 0);
    ck_assert_str_eq(queue_record_name('R'), "recipient");
    ck_assert_ptr_null(queue_record_name('?'));
    buf_release(&b);
}
END_TEST

START_TEST(test_ids_and_paths)
{
    struct buf b = BUF_INIT;
    struct queue_layout layout = {.hash_names = STR("deferred, defer"), .hash_depth = 1};
    queue_id_add(&b, false, 1795354007563540, 0x94383);
    expect_str(buf_str(&b), "8995494383");
    ck_assert_int_eq(queue_path(&layout, "deferred", STR("89654A94383"), &b), 0);
    expect_str(buf_str(&b), "deferred/8/89654A94383");
    ck_assert_int_eq(queue_path(&layout, "active", STR("89654A94383"), &b), 0);
    expect_str(buf_str(&b), "active/89654A94383");
    ck_assert_int_eq(queue_path(&layout, "deferred", STR("4jXVK344qjz1cbqn"), &b), 0);
    expect_str(buf_str(&b), "deferred/8/4jXVK344qjz1cbqn");
    layout.hash_depth = 3;
    ck_assert_int_eq(queue_path(&layout, "defer", STR("AB"), &b), 0);
    expect_str(buf_str(&b), "defer/A/B/_/AB");
    ck_assert_int_lt(queue_path(&layout, "defer", STR("../x"), &b), 0);
    ck_assert_int_lt(queue_path(&layout, "de/fer", STR("AB"), &b), 0);
    buf_clear(&b);
    queue_id_add(&b, true, 1795354007575521, 12345);
    ck_assert(queue_id_is_long(buf_str(&b)));
    expect_str(str_slice(buf_str(&b), 6, 11), "44qjz");
    buf_release(&b);
}
END_TEST

START_TEST(test_create_move_scan)
{
    struct buf id = BUF_INIT;
    struct err err = ERR_INIT;
    struct stat st;
    struct str name;
    struct queue_layout layout = {.hash_names = STR("deferred"), .hash_depth = 2};
    ck_assert_int_eq(mkdirat(dirfd, "incoming", 0700), 0);
    ck_assert_int_eq(mkdirat(dirfd, "deferred", 0700), 0);
    struct queue_new made = {.queue = "incoming", .mode = 0600, .id = &id};
    int fd = queue_file_create(dirfd, &layout, &made, &err);
    ck_assert_msg(fd >= 0, "%s", err.text);
    ck_assert_int_eq(fstat(fd, &st), 0);
    struct buf want = BUF_INIT;
    queue_id_add(&want, false, made.created_us, (uint64_t)st.st_ino);
    expect_str(buf_str(&id), buf_cstr(&want));
    close(fd);
    ck_assert_int_eq(queue_file_move(dirfd, &layout, buf_str(&id), "incoming", "deferred", &err), 1);
    ck_assert_int_eq(queue_file_move(dirfd, &layout, buf_str(&id), "incoming", "deferred", &err), 0);
    struct queue_scan *scan = queue_scan_open(dirfd, "deferred", &err);
    ck_assert_ptr_nonnull(scan);
    ck_assert_int_eq(queue_scan_next(scan, &name, &err), 1);
    expect_str(name, buf_cstr(&id));
    ck_assert_int_eq(queue_scan_next(scan, &name, &err), 0);
    queue_scan_close(scan);
    fd = queue_file_open(dirfd, &layout, "deferred", buf_str(&id), O_RDONLY, &err);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert_int_eq(queue_file_remove(dirfd, &layout, "deferred", buf_str(&id), &err), 1);
    ck_assert_int_eq(queue_file_remove(dirfd, &layout, "deferred", buf_str(&id), &err), 0);
    ck_assert_int_lt(queue_file_open(dirfd, &layout, "deferred", buf_str(&id), O_RDONLY, &err), 0);
    ck_assert_int_eq(err.kind, ERR_TEMPORARY);
    buf_release(&id);
    buf_release(&want);
}
END_TEST

START_TEST(test_create_staged)
{
    struct buf id = BUF_INIT, path = BUF_INIT;
    struct err err = ERR_INIT;
    struct stat st;
    struct queue_layout layout = {.is_staged = true};
    struct queue_new made = {.queue = "incoming", .mode = 0600, .id = &id};
    (void)!mkdirat(dirfd, "incoming", 0700);
    ck_assert(!queue_is_staged(dirfd));
    int fd = queue_file_create(dirfd, &layout, &made, &err);
    ck_assert_msg(fd >= 0, "%s", err.text); // in incoming/: there is no directory
    close(fd);
    ck_assert_int_eq(queue_file_remove(dirfd, &layout, "incoming", buf_str(&id), &err), 1);
    ck_assert_int_eq(mkdirat(dirfd, "staging", 0700), 0);
    for (unsigned i = 0; i < QUEUE_STAGING_DIRS; i++) {
        buf_clear(&path);
        buf_addf(&path, "staging/%02x", i);
        ck_assert_int_eq(mkdirat(dirfd, buf_cstr(&path), 0700), 0);
    }
    ck_assert(queue_is_staged(dirfd));
    fd = queue_file_create(dirfd, &layout, &made, &err);
    ck_assert_msg(fd >= 0, "%s", err.text);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_uint_eq(st.st_nlink, 1);
    close(fd);
    ck_assert_int_eq(queue_file_remove(dirfd, &layout, "incoming", buf_str(&id), &err), 1);
    for (unsigned i = 0; i < QUEUE_STAGING_DIRS; i++) {
        buf_clear(&path);
        buf_addf(&path, "staging/%02x", i);
        ck_assert_int_eq(unlinkat(dirfd, buf_cstr(&path), AT_REMOVEDIR), 0); // empty
    }
    buf_release(&id);
    buf_release(&path);
}
END_TEST

// A small complete file, with the size record's first field off by `lie`.
static void build_file(struct buf *b, int64_t lie)
{
    bool in_line = false;
    struct buf content = BUF_INIT;
    size_t size_at = b->len;
    queue_record_addf(b, REC_SIZE, "%15d %15d %15d %15d %15d %15d", 0, 0, 0, 0, 0, 0);
    queue_record_add(b, REC_TIME, STR("1795354007 563540"));
    ck_assert_int_eq(queue_record_add_attr(b, "rewrite_context", STR("local")), 0);
    ck_assert_int_eq(queue_record_add_attr(b, "trace_flags", STR("1024")), 0);
    queue_record_add(b, REC_FROM, STR("s@x"));
    ck_assert_int_eq(queue_record_add_attr(b, "notify_flags", STR("6")), 0);
    ck_assert_int_eq(queue_record_add_attr(b, "dsn_orig_rcpt", STR("rfc822;o@x")), 0);
    queue_record_add(b, REC_ORCPT, STR("o@x"));
    queue_record_add(b, REC_RCPT, STR("r1@x"));
    queue_record_add(b, REC_ORCPT, STR("gone@x"));
    queue_record_add(b, REC_DONE, STR("gone@x"));
    queue_record_add(b, REC_RCPT, STR("r2@x"));
    queue_record_add(b, REC_MESSAGE, STR(""));
    size_t data = b->len;
    queue_record_add_content(&content, STR("Subject: x\n\nbody\n"), 2048, &in_line);
    buf_add_str(b, buf_str(&content));
    long long size = (long long)content.len + lie;
    queue_record_add(b, REC_EXTRACTED, STR(""));
    queue_record_add(b, REC_RCPT, STR("r3@x"));
    queue_record_add(b, REC_END, STR(""));
    char text[120];
    snprintf(text, sizeof text, "%15lld %15zu %15d %15d %15lld %15d", size, data, 3, 0, size, 0);
    memcpy(b->ptr + size_at + 2, text, strlen(text));
    buf_release(&content);
}

START_TEST(test_envelope)
{
    for (int lie = 0; lie < 2; lie++) {
        struct buf b = BUF_INIT;
        struct queue_envelope e;
        struct err err = ERR_INIT;
        build_file(&b, lie * 7);
        int fd = file_of(&b);
        ck_assert_msg(queue_envelope_read(fd, &arena, 0, 0, &e, &err) == 0, "%s", err.text);
        expect_str(e.sender, "s@x");
        ck_assert_int_eq(e.arrival_us, 563540);
        ck_assert_int_eq(e.trace_flags, 1024);
        expect_str(queue_envelope_attr(&e, "rewrite_context"), "local");
        ck_assert_uint_eq(e.recipient_count_read, 3);
        expect_str(e.recipients[0].original, "o@x");
        expect_str(e.recipients[0].dsn_orcpt, "rfc822;o@x");
        ck_assert_int_eq(e.recipients[0].notify, 6);
        expect_str(e.recipients[1].address, "r2@x");
        expect_str(e.recipients[1].original, "");
        expect_str(e.recipients[2].address, "r3@x");
        ck_assert_int_eq(b.ptr[e.recipients[2].offset], 'R');
        ck_assert_int_eq(b.ptr[e.trace_flags_offset], 'A');
        ck_assert_int_eq(queue_recipient_mark_done(fd, e.recipients[0].offset, &err), 0);
        ck_assert_int_eq(queue_envelope_read(fd, &arena, 1, 0, &e, &err), 0);
        ck_assert_uint_eq(e.recipient_count_read, 1);
        expect_str(e.recipients[0].address, "r2@x");
        int64_t next = e.next_recipient_offset;
        ck_assert_int_gt(next, 0);
        ck_assert_int_eq(queue_envelope_read(fd, &arena, 1, next, &e, &err), 0);
        expect_str(e.recipients[0].address, "r3@x");
        ck_assert_int_eq(e.next_recipient_offset, 0);
        close(fd);
        buf_release(&b);
    }
}
END_TEST

START_TEST(test_content)
{
    struct buf b = BUF_INIT;
    struct queue_envelope e;
    struct err err = ERR_INIT;
    struct str line;
    bool ended;
    build_file(&b, 0);
    int fd = file_of(&b);
    ck_assert_int_eq(queue_envelope_read(fd, &arena, 0, 0, &e, &err), 0);
    struct queue_reader *r = queue_reader_open(fd, e.data_offset, &err);
    static const char *const want[] = {"Subject: x", "", "body"};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(queue_reader_next(r, &line, &ended, &err), 1);
        expect_str(line, want[i]);
        ck_assert(ended);
    }
    ck_assert_int_eq(queue_reader_next(r, &line, &ended, &err), 0);
    queue_reader_close(r);
    close(fd);
    buf_release(&b);
}
END_TEST

// Every prefix of a good file is corrupt, none crashes or hangs.
START_TEST(test_truncated)
{
    struct buf b = BUF_INIT;
    struct queue_envelope e;
    build_file(&b, 0);
    for (size_t len = 0; len < b.len; len++) {
        struct err err = ERR_INIT;
        struct buf cut = BUF_INIT;
        buf_add(&cut, b.ptr, len);
        int fd = file_of(&cut);
        ck_assert_int_lt(queue_envelope_read(fd, &arena, 0, 0, &e, &err), 0);
        ck_assert_int_eq(err.kind, ERR_PERMANENT);
        close(fd);
        buf_release(&cut);
    }
    buf_release(&b);
}
END_TEST

START_TEST(test_pointers)
{
    struct buf b = BUF_INIT;
    struct err err = ERR_INIT;
    struct record record;
    queue_record_addf(&b, REC_POINTER, "%15d", 0);
    queue_record_add(&b, REC_NORM, STR("a"));
    queue_record_addf(&b, REC_POINTER, "%15d", 17);
    int fd = file_of(&b);
    struct record_walk *w = record_walk_open(fd, 0, true, &err);
    int rc = 1;
    for (int i = 0; i < 1000 && rc > 0; i++)
        rc = record_walk_next(w, &record, &err);
    ck_assert_int_eq(rc, -1);
    ck_assert_int_eq(err.kind, ERR_PERMANENT);
    record_walk_close(w);
    close(fd);
    buf_release(&b);
}
END_TEST

// As a milter leaves a file: a header inserted and a recipient added behind the end, reached by pointers.
START_TEST(test_edited_file)
{
    struct buf b = BUF_INIT;
    struct err err = ERR_INIT;
    struct queue_envelope e;
    struct str line;
    bool ended;
    queue_record_addf(&b, REC_SIZE, "%15d %15d %15d %15d %15d %15d", 0, 0, 1, 0, 0, 0);
    queue_record_add(&b, REC_FROM, STR("s@x"));
    queue_record_add(&b, REC_RCPT, STR("r1@x"));
    queue_record_addf(&b, REC_POINTER, "%15d", 0);
    queue_record_add(&b, REC_MESSAGE, STR(""));
    int64_t data = (int64_t)b.len;
    queue_record_add(&b, REC_NORM, STR("Subject: x"));
    size_t jump = b.len;
    queue_record_addf(&b, REC_POINTER, "%15d", 0);
    size_t back = b.len;
    queue_record_add(&b, REC_NORM, STR(""));
    queue_record_add(&b, REC_EXTRACTED, STR(""));
    size_t jump2 = b.len;
    queue_record_addf(&b, REC_POINTER, "%15d", 0);
    size_t end = b.len;
    queue_record_add(&b, REC_END, STR(""));
    char number[40];
    snprintf(number, sizeof number, "%15zu", b.len);
    memcpy(b.ptr + jump + 2, number, 15);
    queue_record_add(&b, REC_NORM, STR("X-Added: y"));
    queue_record_addf(&b, REC_POINTER, "%15zu", back);
    snprintf(number, sizeof number, "%15zu", b.len);
    memcpy(b.ptr + jump2 + 2, number, 15);
    queue_record_add(&b, REC_RCPT, STR("r2@x"));
    queue_record_addf(&b, REC_POINTER, "%15zu", end);
    int fd = file_of(&b);
    ck_assert_msg(queue_envelope_read(fd, &arena, 0, 0, &e, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(e.recipient_count_read, 2);
    expect_str(e.recipients[1].address, "r2@x");
    struct queue_reader *r = queue_reader_open(fd, data, &err);
    static const char *const want[] = {"Subject: x", "X-Added: y", ""};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(queue_reader_next(r, &line, &ended, &err), 1);
        expect_str(line, want[i]);
    }
    ck_assert_int_eq(queue_reader_next(r, &line, &ended, &err), 0);
    queue_reader_close(r);
    close(fd);
    buf_release(&b);
}
END_TEST

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    return remove(path);
}

int main(void)
{
    Suite *s = suite_create("queue");
    TCase *t = tcase_create("queue");
    if (mkdtemp(dir) == NULL || (dirfd = open(dir, O_RDONLY | O_DIRECTORY)) < 0)
        return EXIT_FAILURE;
    tcase_add_test(t, test_records);
    tcase_add_test(t, test_ids_and_paths);
    tcase_add_test(t, test_create_move_scan);
    tcase_add_test(t, test_create_staged);
    tcase_add_test(t, test_envelope);
    tcase_add_test(t, test_content);
    tcase_add_test(t, test_truncated);
    tcase_add_test(t, test_pointers);
    tcase_add_test(t, test_edited_file);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    arena_release(&arena);
    close(dirfd);
    (void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
