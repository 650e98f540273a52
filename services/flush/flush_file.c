// SPDX-License-Identifier: ISC
// flush_file.c: the file of each site (see flush.h).
// Trust: names come from addresses: letters, digits and '_' only reach the file system. Blocking: small local files.
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "services/flush/flush.h"

#define FLUSH_QUEUE "flush"

void flush_file_name(struct str site, struct buf *name_r)
{
    buf_clear(name_r);
    for (size_t i = 0; i < site.len && i < FLUSH_SITE_MAX; i++) {
        unsigned char c = (unsigned char)site.ptr[i];
        buf_add_char(name_r, c < 128 && isalnum(c) ? (char)tolower(c) : '_');
    }
}

// Opens and locks. The descriptor, or -1 (errno ENOENT without O_CREAT: there is none).
static int open_locked(const struct flush_state *st, struct str name, int flags, struct err *err)
{
    struct buf path = BUF_INIT;
    int fd = -1;
    if (queue_path(&st->layout, FLUSH_QUEUE, name, &path) < 0) {
        err_set(err, ERR_PERMANENT, "no file name: \"" STR_FMT "\"", STR_ARG(name));
        errno = EINVAL;
    } else {
        fd = open(buf_cstr(&path), flags | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 || flock(fd, LOCK_EX) < 0) {
            int error = errno;
            err_errno(err, "%s", buf_cstr(&path));
            if (fd >= 0)
                close(fd);
            fd = -1;
            errno = error;
        }
    }
    buf_release(&path);
    return fd;
}

static int read_all(int fd, struct buf *text_r, struct err *err)
{
    buf_clear(text_r);
    while (text_r->len < FLUSH_FILE_MAX) {
        buf_reserve(text_r, 65536);
        ssize_t n = pread(fd, text_r->ptr + text_r->len, 65536, (off_t)text_r->len);
        if (n < 0)
            return err_errno(err, "read the file of a site");
        if (n == 0)
            break;
        text_r->len += (size_t)n;
        text_r->ptr[text_r->len] = '\0';
    }
    return 0;
}

static bool has_line(struct str text, struct str id)
{
    struct str line;
    while (str_token(&text, "\n", &line))
        if (str_is(line, id))
            return true;
    return false;
}

int flush_file_add(const struct flush_state *st, struct str name, struct str id, struct err *err)
{
    struct buf text = BUF_INIT;
    int fd = open_locked(st, name, O_RDWR | O_CREAT | O_APPEND, err);
    if (fd < 0)
        return -1;
    int rc = read_all(fd, &text, err);
    if (rc == 0 && !has_line(buf_str(&text), id)) {
        buf_clear(&text);
        buf_addf(&text, STR_FMT "\n", STR_ARG(id));
        if (write(fd, text.ptr, text.len) != (ssize_t)text.len)
            rc = err_errno(err, "write the file of a site");
    }
    buf_release(&text);
    close(fd);
    return rc;
}

int flush_file_take(const struct flush_state *st, struct str name, struct buf *ids_r, struct err *err)
{
    int fd = open_locked(st, name, O_RDWR, err);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    int rc = read_all(fd, ids_r, err);
    if (rc == 0 && ids_r->len > 0 && ftruncate(fd, 0) < 0)
        rc = err_errno(err, "empty the file of a site");
    close(fd);
    return rc < 0 ? -1 : 1;
}

bool flush_file_is_idle(const struct flush_state *st, struct str name, int64_t seconds, bool *is_empty_r)
{
    struct buf path = BUF_INIT;
    struct stat status;
    bool is_idle = false;
    if (queue_path(&st->layout, FLUSH_QUEUE, name, &path) == 0 && stat(buf_cstr(&path), &status) == 0) {
        is_idle = status.st_mtime + seconds <= clock_wall();
        *is_empty_r = status.st_size == 0;
    }
    buf_release(&path);
    return is_idle;
}

void flush_file_remove(const struct flush_state *st, struct str name)
{
    struct buf path = BUF_INIT;
    if (queue_path(&st->layout, FLUSH_QUEUE, name, &path) == 0)
        (void)!unlink(buf_cstr(&path)); // made anew when needed
    buf_release(&path);
}
