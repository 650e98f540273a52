// SPDX-License-Identifier: ISC
// table_socketmap.c: socketmap:inet:HOST:PORT:NAME and socketmap:unix:PATH:NAME: Sendmail's protocol in netstrings.
//
// Trust: the answer is hostile: at most REPLY_MAX bytes. Suspends: always.
#include <ctype.h>

#include "lib/table/table_peer_impl.h"

#define REPLY_MAX     100000
#define QUERY_MAX     10000
#define LENGTH_DIGITS 6
#define QUERY_SECONDS 100

struct socketmap {
    struct table_peer *peer;
    char *map;
};

struct question {
    const char *map;
    struct str key;
    struct buf *value;
};

// Takes what stands before the colon. 1 a length, 0 more input needed, -1.
static int netstring_length(struct str input, size_t *digits_r, size_t *length_r)
{
    uint64_t length;
    size_t digits = 0;

    while (digits < input.len && isdigit((unsigned char)input.ptr[digits]))
        digits++;
    if (digits > LENGTH_DIGITS)
        return -1;
    if (digits == input.len)
        return 0;
    if (input.ptr[digits] != ':' || str_to_u64(str_slice(input, 0, digits), &length) < 0 || length > REPLY_MAX)
        return -1;
    *digits_r = digits;
    *length_r = (size_t)length;
    return 1;
}

int table_socketmap_frame(struct raw input, struct str *payload_r, struct err *err)
{
    struct str text = raw_unchecked(input);
    size_t digits, length;
    int rc = netstring_length(text, &digits, &length);

    if (rc < 0)
        return err_set(err, ERR_PROTOCOL, "the reply is no netstring of at most %d bytes", REPLY_MAX);
    if (rc == 0 || text.len < digits + 1 + length + 1)
        return 0;
    if (text.ptr[digits + 1 + length] != ',')
        return err_set(err, ERR_PROTOCOL, "the reply is no netstring");
    *payload_r = str_slice(text, digits + 1, digits + 1 + length);
    return 1;
}

int table_socketmap_reply(struct str reply, struct buf *value_r, struct err *err)
{
    static const struct {
        struct str word;
        const char *kind;
    } failures[] = {{STR("TEMP"), "temporary"}, {STR("TIMEOUT"), "timeout"}, {STR("PERM"), "permanent"}};
    struct str rest = reply, word;
    bool has_blank = str_cut(&rest, ' ', &word);

    if (!has_blank)
        rest = STR("");
    if (str_is(word, STR("OK")) && has_blank && memchr(rest.ptr, 0, rest.len) == NULL) {
        buf_add_str(value_r, rest);
        return 1;
    }
    if (str_is(word, STR("NOTFOUND")))
        return 0;
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
        if (str_is(word, failures[i].word))
            return err_set(err, ERR_TEMPORARY, "socketmap server %s error: " STR_FMT, failures[i].kind,
                           STR_ARG(str_slice(rest, 0, 300)));
    return err_set(err, ERR_TEMPORARY, "socketmap server unknown error");
}

static int read_reply(struct stream *s, struct raw *input_r, struct str *payload_r, struct err *err) CO
{
    size_t have = 0;

    for (;;) {
        int rc = have == 0 ? stream_peek(s, input_r, err) : stream_peek_more(s, have, input_r, err);
        if (rc == 0 || (rc > 0 && input_r->len <= have))
            return err_set(err, ERR_PROTOCOL, "the server closed the connection");
        if (rc < 0)
            return -1;
        rc = table_socketmap_frame(*input_r, payload_r, err);
        if (rc != 0)
            return rc;
        have = input_r->len;
    }
}

static int ask(struct stream *s, void *question, bool *keeps_r, struct err *err)
{
    struct question *q = question;
    struct raw input;
    struct str payload;
    int found;

    co_assert_running();
    *keeps_r = false;
    stream_printf(s, "%zu:%s ", strlen(q->map) + 1 + q->key.len, q->map);
    stream_write_str(s, q->key);
    stream_write_str(s, STR(","));
    if (stream_flush(s, err) < 0 || read_reply(s, &input, &payload, err) < 0)
        return -1;
    found = table_socketmap_reply(payload, q->value, err);
    stream_consume(s, (size_t)(payload.ptr - (const char *)input.ptr) + payload.len + 1);
    *keeps_r = stream_buffered(s) == 0;
    return found;
}

static int socketmap_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    struct socketmap *m = t->data;
    struct question q = {m->map, key, value_r};

    co_assert_running();
    if (strlen(m->map) + 1 + key.len > QUERY_MAX)
        return 0;
    return table_peer_query(m->peer, ask, &q, clock_deadline(QUERY_SECONDS), err);
}

static void socketmap_close(void *data)
{
    struct socketmap *m = data;
    table_peer_free(m->peer);
    mem_free(m->map);
    mem_free(m);
}

static void *socketmap_open(struct table *t, struct err *err)
{
    struct str body = str_from(t->body);
    long colon = str_rfind(body, ':');
    struct socketmap *m;

    if (colon < 6 || (size_t)colon + 1 == body.len ||
        (!str_starts(body, STR("inet:")) && !str_starts(body, STR("unix:")))) {
        err_set(err, ERR_PERMANENT, "socketmap requires inet:host:port:name or unix:path:name instead of \"%s\"",
                t->body);
        return NULL;
    }
    m = MEM_NEW(struct socketmap);
    m->map = mem_dup_str(str_slice(body, (size_t)colon + 1, body.len));
    m->peer = table_peer_new(str_slice(body, 0, (size_t)colon), "", err);
    if (m->peer != NULL)
        return m;
    socketmap_close(m);
    return NULL;
}

const struct table_type table_type_socketmap = {
    "socketmap",      false, false,           socketmap_open,
    socketmap_lookup, NULL,  socketmap_close, TABLE_TYPE_KEEPS_CASE | TABLE_TYPE_REPORTS | TABLE_TYPE_OTHERS};
