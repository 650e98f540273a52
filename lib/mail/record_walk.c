// SPDX-License-Identifier: ISC
// record_walk.c: the records of a queue file one after the other, following pointer records when asked.
// Trust: the file may be garbage. Limits: one record in memory; a cycle of pointers is refused.
#include <errno.h>
#include <unistd.h>

#include "lib/mail/queue_file.h"

enum { FIRST_READ = 8192, NEXT_READ = 65536 };

struct record_walk {
    int fd;
    bool follows;
    struct buf window; // bytes of the file from window_at on
    int64_t window_at;
    int64_t at; // offset of the next record
    bool has_read;
    // Brent's cycle detection over the offsets of pointer records: the walk has no other state, so to meet one again is
    // a loop.
    int64_t seen;
    uint64_t jumps, mark;
};

struct record_walk *record_walk_open(int fd, int64_t offset, bool follows_pointers, struct err *err)
{
    if (offset < 0) {
        err_set(err, ERR_PERMANENT, "negative offset in a queue file");
        return NULL;
    }
    struct record_walk *w = MEM_NEW(struct record_walk);
    *w = (struct record_walk){
        .fd = fd, .follows = follows_pointers, .at = offset, .window_at = offset, .seen = -1, .mark = 1};
    return w;
}

void record_walk_close(struct record_walk *w)
{
    if (w == NULL)
        return;
    buf_release(&w->window);
    mem_free(w);
}

void record_walk_seek(struct record_walk *w, int64_t offset)
{
    w->at = offset;
}

int64_t record_walk_tell(const struct record_walk *w)
{
    return w->at;
}

// Reads more of the file behind the window. 1, 0 end of file, -1.
static int fill(struct record_walk *w, struct err *err)
{
    if (w->at < w->window_at || w->at >= w->window_at + (int64_t)w->window.len) {
        buf_clear(&w->window);
        w->window_at = w->at;
    } else if (w->has_read) {
        buf_consume(&w->window, (size_t)(w->at - w->window_at));
        w->window_at = w->at;
    }
    size_t want = w->has_read ? NEXT_READ : FIRST_READ;
    buf_reserve(&w->window, want);
    ssize_t got;
    do
        got = pread(w->fd, w->window.ptr + w->window.len, want, (off_t)(w->window_at + (int64_t)w->window.len));
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_errno(err, "read queue file");
    w->has_read = true;
    w->window.len += (size_t)got;
    w->window.ptr[w->window.len] = '\0';
    return got > 0;
}

static struct raw buffered(const struct record_walk *w)
{
    int64_t skip = w->at - w->window_at;
    if (skip < 0 || skip >= (int64_t)w->window.len)
        return (struct raw){NULL, 0};
    return (struct raw){(const unsigned char *)w->window.ptr + skip, w->window.len - (size_t)skip};
}

static int read_record(struct record_walk *w, struct record *record_r, struct err *err)
{
    for (;;) {
        struct raw input = buffered(w);
        int rc = queue_record_decode(input, record_r);
        if (rc < 0)
            return err_set(err, ERR_PERMANENT, "malformed record at offset %lld", (long long)w->at);
        if (rc > 0) {
            record_r->offset = w->at;
            w->at += (int64_t)record_r->size;
            return 1;
        }
        rc = fill(w, err);
        if (rc < 0)
            return -1;
        if (rc == 0 && input.len == 0)
            return 0;
        if (rc == 0)
            return err_set(err, ERR_PERMANENT, "queue file ends inside a record at offset %lld", (long long)w->at);
    }
}

static int follow(struct record_walk *w, const struct record *pointer, struct err *err)
{
    int64_t target;
    if (str_to_i64(str_trim(pointer->data), &target) < 0 || target < 0)
        return err_set(err, ERR_PERMANENT, "malformed pointer record at offset %lld", (long long)pointer->offset);
    if (target == 0)
        return 0;
    if (pointer->offset == w->seen)
        return err_set(err, ERR_PERMANENT, "pointer records form a loop");
    if (++w->jumps == w->mark) {
        w->seen = pointer->offset;
        w->mark *= 2;
    }
    w->at = target;
    return 0;
}

int record_walk_next(struct record_walk *w, struct record *record_r, struct err *err)
{
    for (;;) {
        int rc = read_record(w, record_r, err);
        if (rc <= 0 || !w->follows || record_r->type != REC_POINTER)
            return rc;
        if (follow(w, record_r, err) < 0)
            return -1;
    }
}
