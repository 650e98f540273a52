// SPDX-License-Identifier: ISC
// cleanup_content_fuzz.c: content that arrives in pieces is stored as the same text as in one piece, header section
// included.
#include <stdlib.h>

#include "cleanup/cleanup.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

struct feed {
    struct cleanup_message *message;
    struct str text;
    size_t piece;
};

static void feed_content(void *arg)
{
    co_assert_running();
    struct feed *f = arg;
    cleanup_begin_content(f->message);
    for (size_t at = 0; at < f->text.len; at += f->piece)
        cleanup_take_text(f->message, str_slice(f->text, at, at + f->piece));
    cleanup_end_content(f->message);
    co_loop_stop();
}

static struct buf stored(const struct cleanup_message *m)
{
    struct buf text = BUF_INIT;
    struct record r;
    struct raw rest = {(const unsigned char *)m->out.ptr + m->data_offset, m->out.len - (size_t)m->data_offset};
    while (rest.len > 0) {
        if (queue_record_decode(rest, &r) != 1 || (r.type != REC_NORM && r.type != REC_CONT))
            abort();
        buf_add_str(&text, r.data);
        if (r.type == REC_NORM)
            buf_add_char(&text, '\n');
        rest = (struct raw){rest.ptr + r.size, rest.len - r.size};
    }
    return text;
}

static struct buf run(struct cleanup *daemon, struct str text, size_t piece, unsigned flags)
{
    struct cleanup_message m;
    cleanup_message_init(&m, daemon);
    m.flags = flags;
    buf_add_cstr(&m.id, "12345ABC");
    m.sender = STR("joe@client.example");
    m.created_us = m.arrival_us = 1795354007563540;
    m.received_before = m.received_after = STR("");
    struct feed f = {&m, text, piece};
    co_loop_init();
    co_spawn("feed", feed_content, &f);
    co_loop_run(1000);
    co_loop_free();
    struct buf result = BUF_INIT;
    if (m.result.code == 0)
        result = stored(&m);
    else
        buf_addf(&result, "%d", m.result.code);
    cleanup_message_release(&m);
    return result;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static struct settings settings;
    settings = (struct settings){.header_size_limit = 60,
                                 .line_length_limit = 20,
                                 .hopcount_limit = 1000000,
                                 .cleanup_replace_stray_cr_lf = true,
                                 .myhostname = STR("h"),
                                 .message_drop_headers = STR("bcc")};
    struct cleanup daemon = {.settings = &settings};
    if (size < 2)
        return 0;
    unsigned flags = data[1] & (SUBMIT_EXTRACT | SUBMIT_ADD_MISSING);
    struct str text = str_of((const char *)data + 2, size - 2);
    struct buf whole = run(&daemon, text, size, flags), parts = run(&daemon, text, 1 + data[0] % 50, flags);
    if (!str_is(buf_str(&whole), buf_str(&parts)))
        abort();
    buf_release(&whole);
    buf_release(&parts);
    return 0;
}
