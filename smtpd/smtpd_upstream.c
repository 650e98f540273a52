// SPDX-License-Identifier: ISC
// smtpd_upstream.c: a proxy in front of this server says who its client is (smtpd_upstream_proxy_protocol).
// Trust: whoever reaches this port is believed: the parameter is for ports that only the proxy can reach.
// Suspends: for the header, at most smtpd_upstream_proxy_timeout.
#include "lib/net/proxy_protocol.h"
#include "smtpd/smtpd.h"

static int read_header(struct smtpd_session *s, struct proxy_header *header_r, struct buf *seen, struct err *err) CO
{
    struct raw input;
    size_t have = 0, size;
    stream_set_deadline(s->stream, clock_deadline(s->settings->smtpd_upstream_proxy_timeout));
    for (;;) {
        int got = stream_peek_more(s->stream, have, &input, err);
        if (got == 0)
            return err_set(err, ERR_PROTOCOL, "unexpected EOF");
        if (got < 0)
            return err->kind == ERR_TIMEOUT ? err_set(err, ERR_TIMEOUT, "timeout error") : -1;
        have = input.len;
        int rc = proxy_protocol_parse(input, header_r, &size, err);
        if (rc > 0)
            stream_consume(s->stream, size);
        if (rc < 0)
            buf_add_escaped(seen, raw_unchecked(input), 100);
        if (rc != 0)
            return rc;
    }
}

bool smtpd_upstream_take(struct smtpd_session *s)
{
    struct proxy_header header;
    struct buf seen = BUF_INIT;
    struct err err = ERR_INIT;
    struct str protocol = s->settings->smtpd_upstream_proxy_protocol;
    if (protocol.len == 0 || s->is_standalone)
        return true;
    if (!str_is_nocase(protocol, STR("haproxy"))) {
        log_error("unknown smtpd_upstream_proxy_protocol value: " STR_FMT ": use haproxy", STR_ARG(protocol));
        return false;
    }
    int rc = read_header(s, &header, &seen, &err);
    if (rc < 0)
        log_warn("haproxy read: %s%s%s", err.text, seen.len > 0 ? ": " : "", buf_cstr(&seen));
    buf_release(&seen);
    if (rc > 0 && !header.is_local) {
        s->peer = header.peer;
        s->local = header.local;
    }
    return rc > 0;
}
