// SPDX-License-Identifier: ISC
// table_tcp.c: tcp:HOST:PORT: one line asks, one line answers (tcp_table(5)).
//
// Trust: the answer is hostile: at most REPLY_MAX bytes, each checked. Suspends: always.
#include <ctype.h>

#include "lib/table/table_peer_impl.h"

#define REPLY_MAX     4096
#define QUERY_SECONDS 100

struct question {
    struct str key;
    struct buf *value;
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool add_decoded(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        int high, low;
        if (text.ptr[i] != '%') {
            buf_add_char(out, text.ptr[i]);
            continue;
        }
        high = i + 2 < text.len ? hex_value(text.ptr[i + 1]) : -1;
        low = high >= 0 ? hex_value(text.ptr[i + 2]) : -1;
        if (low < 0 || high * 16 + low == 0)
            return false;
        buf_add_char(out, (char)(high * 16 + low));
        i += 2;
    }
    return true;
}

int table_tcp_reply(struct raw line, struct buf *value_r, struct err *err)
{
    struct str text = raw_unchecked(line);
    char code = text.len >= 4 && text.ptr[3] == ' ' && str_is(str_slice(text, 1, 3), STR("00")) ? text.ptr[0] : 0;

    if (code != '2' && code != '4' && code != '5')
        return err_set(err, ERR_PROTOCOL, "bad status code in reply: " STR_FMT, STR_ARG(str_slice(text, 0, 100)));
    text = str_slice(text, 4, text.len);
    if (memchr(text.ptr, 0, text.len) != NULL || !add_decoded(value_r, text)) {
        buf_clear(value_r);
        return err_set(err, ERR_PROTOCOL, "malformed reply: " STR_FMT, STR_ARG(str_slice(text, 0, 100)));
    }
    if (code == '2')
        return 1;
    if (code == '4')
        err_set(err, ERR_TEMPORARY, "the server reports: %s", buf_cstr(value_r));
    buf_clear(value_r);
    return code == '5' ? 0 : -1;
}

static int ask(struct stream *s, void *question, bool *keeps_r, struct err *err)
{
    struct question *q = question;
    struct raw line;
    enum line_end end;
    int found;

    co_assert_running();
    *keeps_r = false;
    stream_write_str(s, STR("get "));
    for (size_t i = 0; i < q->key.len; i++) {
        unsigned char c = (unsigned char)q->key.ptr[i];
        if (c <= 32 || c == '%' || c >= 127)
            stream_printf(s, "%%%02x", c);
        else
            stream_printf(s, "%c", c);
    }
    stream_write_str(s, STR("\n"));
    if (stream_flush(s, err) < 0)
        return -1;
    found = stream_read_line(s, REPLY_MAX, &line, &end, err);
    if (found == 0)
        return err_set(err, ERR_PROTOCOL, "the server closed the connection");
    if (found < 0)
        return -1;
    if (end == LINE_CUT || end == LINE_EOF)
        return err_set(err, ERR_PROTOCOL,
                       end == LINE_CUT ? "the reply is longer than %d bytes" : "the reply is cut off (limit %d)",
                       REPLY_MAX);
    *keeps_r = true;
    return table_tcp_reply(line, q->value, err);
}

static int tcp_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    struct question q = {key, value_r};
    co_assert_running();
    if (key.len == 0)
        return 0;
    return table_peer_query(t->data, ask, &q, clock_deadline(QUERY_SECONDS), err);
}

static void *tcp_open(struct table *t, struct err *err)
{
    return table_peer_new(str_from(t->body), "", err);
}

static void tcp_close(void *data)
{
    table_peer_free(data);
}

const struct table_type table_type_tcp = {
    "tcp",      false, false,     tcp_open,
    tcp_lookup, NULL,  tcp_close, TABLE_TYPE_KEEPS_CASE | TABLE_TYPE_REPORTS | TABLE_TYPE_OTHERS};
