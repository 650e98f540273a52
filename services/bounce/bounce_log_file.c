// SPDX-License-Identifier: ISC
// bounce_log_file.c: appending to and reading the per-message logs.
//
// A recipient is marked as done after its bounce or trace entry is on stable storage; a defer entry only explains, and
// is not synchronised: without it the message is still tried again. Suspends: appending (a pool job). Limits: READ_MAX
// bytes are read.
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/sys/sys.h"
#include "services/bounce/bounce.h"

enum { READ_MAX = 16 * 1024 * 1024, OPEN_TRIES = 10, JOB_SECONDS = 90 };

struct append_job {
    struct queue_layout layout; // its text belongs to the settings, which outlive every job
    const char *which;
    struct buf id, block;
    int result;
    struct err err;
};

static void free_job(void *data)
{
    struct append_job *job = data;
    buf_release(&job->id);
    buf_release(&job->block);
    mem_free(job);
}

// Opens and locks. A file that a notification removed meanwhile is left for a new one.
static int open_locked(struct append_job *job, struct stat *st_r)
{
    for (int attempt = 0; attempt < OPEN_TRIES; attempt++) {
        int fd = queue_file_open(AT_FDCWD, &job->layout, job->which, buf_str(&job->id), O_WRONLY | O_APPEND | O_CREAT,
                                 &job->err);
        if (fd < 0)
            return -1;
        if (sys_flock(fd, SYS_LOCK_EXCLUSIVE, true) == 1 && fstat(fd, st_r) == 0 && st_r->st_nlink > 0)
            return fd;
        close(fd);
    }
    return err_set(&job->err, ERR_TEMPORARY, "cannot lock %s/%s", job->which, buf_cstr(&job->id));
}

// The directory entry of a new file must be as durable as the file.
static int sync_directory(const struct append_job *job)
{
    struct buf path = BUF_INIT;
    int rc = -1;
    if (queue_path(&job->layout, job->which, buf_str(&job->id), &path) == 0) {
        buf_truncate(&path, (size_t)str_rfind(buf_str(&path), '/'));
        int fd = open(buf_cstr(&path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0) {
            rc = fsync(fd);
            close(fd);
        }
    }
    buf_release(&path);
    return rc;
}

static void append_main(void *data)
{
    struct append_job *job = data;
    struct stat st;
    job->result = -1;
    int fd = open_locked(job, &st);
    if (fd < 0)
        return;
    bool must_last = strcmp(job->which, QUEUE_DEFER) != 0;
    int rc = sys_write_all(fd, job->block.ptr, job->block.len);
    if (rc == 0 && must_last)
        rc = fsync(fd);
    if (rc == 0 && must_last && st.st_size == 0)
        rc = sync_directory(job);
    if (rc < 0) {
        err_errno(&job->err, "write %s/%s", job->which, buf_cstr(&job->id));
        (void)!ftruncate(fd, st.st_size); // no half block
    }
    job->result = rc;
    close(fd);
}

int bounce_file_append(const struct queue_layout *layout, const char *which, struct str id, struct str block,
                       struct err *err)
{
    struct append_job *job = MEM_NEW(struct append_job);
    job->layout = *layout;
    job->which = which;
    job->err = ERR_INIT;
    buf_add_str(&job->id, id);
    buf_add_str(&job->block, block);
    if (co_job(append_main, job, free_job, clock_deadline(JOB_SECONDS)) < 0)
        return err_errno(err, "append to %s log", which);
    int rc = job->result;
    if (rc < 0 && err != NULL)
        *err = job->err;
    free_job(job);
    return rc;
}

int bounce_file_read(const struct queue_layout *layout, const char *which, struct str id, struct buf *text_r,
                     struct err *err)
{
    struct buf path = BUF_INIT;
    int rc = -1;
    buf_clear(text_r);
    if (queue_path(layout, which, id, &path) < 0)
        err_set(err, ERR_PERMANENT, "invalid queue id");
    else if (faccessat(AT_FDCWD, buf_cstr(&path), F_OK, 0) < 0)
        rc = errno == ENOENT ? 0 : err_errno(err, "open %s", buf_cstr(&path));
    else
        rc = sys_read_file(buf_cstr(&path), READ_MAX, text_r, err) < 0 ? -1 : 1;
    buf_release(&path);
    return rc;
}
