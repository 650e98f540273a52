// SPDX-License-Identifier: ISC
// cleanup_message.c: the life of one message: clearing, refusing, writing pieces of its file.
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "cleanup/cleanup.h"
#include "lib/base/log.h"

enum { KEEP_BUFFER = 128 * 1024 };

void cleanup_message_init(struct cleanup_message *m, struct cleanup *daemon)
{
    *m = (struct cleanup_message){.daemon = daemon, .fd = -1, .seen_recipients = MAP_INIT_NOCASE};
    header_scan_init(&m->scan, (size_t)daemon->settings->header_size_limit);
}

void cleanup_drop_file(struct cleanup_message *m)
{
    struct err err = ERR_INIT;
    if (m->fd < 0)
        return;
    if (queue_file_remove(m->daemon->queue_dirfd, &m->daemon->layout, m->queue, buf_str(&m->id), &err) < 0 ||
        (m->has_trace &&
         queue_file_remove(m->daemon->queue_dirfd, &m->daemon->layout, QUEUE_TRACE, buf_str(&m->id), &err) < 0))
        cleanup_warn(m, "%s", err.text);
    close(m->fd);
    m->fd = -1;
}

static void clear_buffer(struct buf *b)
{
    if (b->cap > KEEP_BUFFER)
        buf_release(b);
    buf_clear(b);
}

void cleanup_message_clear(struct cleanup_message *m)
{
    cleanup_drop_file(m);
    map_release(&m->seen_recipients);
    header_scan_release(&m->scan);
    arena_reset(&m->arena);
    clear_buffer(&m->out);
    clear_buffer(&m->line);
    clear_buffer(&m->scratch);
    buf_clear(&m->id);
    struct cleanup_message fresh;
    cleanup_message_init(&fresh, m->daemon);
    fresh.arena = m->arena;
    fresh.id = m->id;
    fresh.out = m->out;
    fresh.line = m->line;
    fresh.scratch = m->scratch;
    *m = fresh;
}

void cleanup_message_release(struct cleanup_message *m)
{
    cleanup_drop_file(m);
    map_release(&m->seen_recipients);
    header_scan_release(&m->scan);
    arena_release(&m->arena);
    buf_release(&m->id);
    buf_release(&m->out);
    buf_release(&m->line);
    buf_release(&m->scratch);
}

// ---- Refusal

void cleanup_refuse(struct cleanup_message *m, int code, const char *status, const char *reason)
{
    if (m->result.code != 0)
        return;
    m->result.code = code;
    snprintf(m->result.status, sizeof m->result.status, "%s", status);
    snprintf(m->result.reason, sizeof m->result.reason, "%s", reason);
    buf_clear(&m->out);
}

void cleanup_refuse_write(struct cleanup_message *m, const char *what)
{
    int saved = errno;
    if (m->result.code != 0)
        return;
    cleanup_warn(m, "%s: %s", what, strerror(saved));
    if (saved == ENOSPC || saved == EDQUOT)
        cleanup_refuse(m, 452, "4.3.1", "Error: insufficient system storage");
    else if (saved == EFBIG)
        cleanup_refuse(m, 552, "5.3.4", "Error: message file too big");
    else
        cleanup_refuse(m, 451, "4.3.0", "Error: queue file write error");
}

void cleanup_warn(struct cleanup_message *m, const char *format, ...)
{
    struct buf text = BUF_INIT;
    va_list ap;
    if (m->id.len > 0) {
        buf_addf(&text, "warning: " STR_FMT ": ", STR_ARG(buf_str(&m->id)));
    } else {
        buf_add_cstr(&text, "warning: ");
    }
    va_start(ap, format);
    buf_vaddf(&text, format, ap);
    va_end(ap);
    struct str tag = m->has_logged || m->id.len == 0 ? STR("") : m->log_tag;
    struct str first = arena_strf(&m->arena, STR_FMT ": " STR_FMT, STR_ARG(buf_str(&m->id)), STR_ARG(m->log_text));
    log_line_pair(tag, first, buf_str(&text));
    m->has_logged = m->has_logged || tag.len > 0;
    buf_release(&text);
}

// ---- Pieces of the file

int64_t cleanup_offset(const struct cleanup_message *m)
{
    return m->written + (int64_t)m->out.len;
}

void cleanup_flush(struct cleanup_message *m, size_t above)
{
    if (m->out.len <= above || m->fd < 0)
        return;
    size_t done = 0;
    while (done < m->out.len) {
        ssize_t n = pwrite(m->fd, m->out.ptr + done, m->out.len - done, (off_t)(m->written + (int64_t)done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            cleanup_refuse_write(m, "write queue file");
            return;
        }
        done += (size_t)n;
    }
    m->written += (int64_t)m->out.len;
    buf_clear(&m->out);
}
