// SPDX-License-Identifier: ISC
// posttls_finger_session.c: a conversation with one server, and what is told about its TLS.
// Trust: the server is hostile: lines, replies and waits are bounded. Suspends: everywhere.
#include <stdio.h>
#include <string.h>

#include "commands/posttls_finger.h"
#include "lib/ipc/tls_service.h"

#define LINE_MAX  2048
#define LINES_MAX 500
#define GREETING  220
#define NAMES_MAX 210

// ---- SMTP

// Reads a reply; *has_starttls_r (may be NULL): one of its lines offers STARTTLS. The code, or -1.
static int read_reply(struct finger_session *s, struct stream *stream, int64_t timeout, bool *has_starttls_r) CO
{
    struct err err = ERR_INIT;
    struct raw raw;
    enum line_end end;
    int64_t code;

    stream_set_deadline(stream, clock_deadline(timeout));
    for (int i = 0; i < LINES_MAX; i++) {
        int got = stream_read_line(stream, LINE_MAX, &raw, &end, &err);
        if (got <= 0 || end == LINE_EOF) {
            finger_say("%s: %s", s->host->place.ptr, got < 0 ? err.text : "lost connection");
            return -1;
        }
        struct str line = raw_unchecked(raw);
        if (!s->f->says_nothing && !s->is_silent)
            finger_say("< " STR_FMT, STR_ARG(line));
        if (line.len < 3 || str_to_i64(str_slice(line, 0, 3), &code) < 0)
            return -1;
        if (has_starttls_r != NULL && str_is_nocase(str_trim(str_slice(line, 4, line.len)), STR("STARTTLS")))
            *has_starttls_r = true;
        if (line.len == 3 || line.ptr[3] != '-')
            return (int)code;
    }
    return -1;
}

static int command(struct finger_session *s, struct stream *stream, const char *text, bool *has_starttls_r) CO
{
    struct err err = ERR_INIT;

    if (!s->f->says_nothing && !s->is_silent)
        finger_say("> %s", text);
    stream_printf(stream, "%s\r\n", text);
    stream_set_deadline(stream, clock_deadline(s->f->command_timeout));
    if (stream_flush(stream, &err) < 0) {
        finger_say("%s: %s", s->host->place.ptr, err.text);
        return -1;
    }
    return read_reply(s, stream, s->f->command_timeout, has_starttls_r);
}

static int hello(struct finger_session *s, struct stream *stream, bool *has_starttls_r) CO
{
    struct str line = arena_strf(&s->f->arena, "%s " STR_FMT, s->f->is_lmtp ? "LHLO" : "EHLO",
                                 STR_ARG(s->f->settings.smtp_helo_name));

    return command(s, stream, line.ptr, has_starttls_r);
}

// ---- TLS

static size_t add_names(struct finger_session *s, struct str *names)
{
    struct tls_words *match = &s->f->match;
    size_t count = 0;

    if (tls_level_is_dane(s->level)) {
        names[count++] = s->dane.base;
        names[count++] = s->host->name;
        if (s->is_mx_secure)
            names[count++] = s->nexthop;
    }
    if (match->count == 0)
        tls_words_add(match, s->level == TLS_LEVEL_VERIFY ? STR("hostname") : STR("nexthop dot-nexthop"), " ",
                      &s->f->arena);
    for (size_t i = 0; i < match->count && count < NAMES_MAX; i++) {
        struct str word = match->items[i];
        if (str_is_nocase(word, STR("hostname")))
            word = s->host->name;
        else if (str_is_nocase(word, STR("nexthop")))
            word = s->nexthop;
        else if (str_is_nocase(word, STR("dot-nexthop")))
            word = arena_strf(&s->f->arena, "." STR_FMT, STR_ARG(s->nexthop));
        names[count++] = word;
    }
    return count;
}

// Without the colons.
static void say_fingerprint(const char *place, struct str digest)
{
    struct buf text = BUF_INIT;
    struct str byte;

    while (str_token(&digest, ":", &byte))
        buf_add_str(&text, byte);
    finger_say("%s: Matched fingerprint: %s", place, buf_cstr(&text));
    buf_release(&text);
}

static void say_match(struct finger_session *s, const struct tls_info *info)
{
    const char *place = s->host->place.ptr;

    if (info->is_matched && s->level == TLS_LEVEL_FINGERPRINT)
        say_fingerprint(place, str_from(info->fingerprint));
    else if (info->is_matched && tls_level_must_match(s->level))
        finger_say("%s: matched peername: %s", place, info->subject);
    else if (info->is_trusted && tls_level_must_match(s->level) && s->level != TLS_LEVEL_FINGERPRINT)
        finger_say("server certificate verification failed for %s: num=62:hostname mismatch", place);
    else if (info->trouble[0] != '\0' && (s->level >= TLS_LEVEL_VERIFY || (s->f->log & FINGER_LOG_UNTRUSTED)))
        finger_say("certificate verification failed for %s: %s", place, info->trouble);
}

static void say_tls(struct finger_session *s, const struct tls_info *info)
{
    struct buf line = BUF_INIT;
    const char *status =
        !info->has_certificate                                                                  ? "Anonymous"
        : info->is_matched && tls_level_must_match(s->level) && s->level != TLS_LEVEL_HALF_DANE ? "Verified"
        : (info->is_trusted && !tls_level_must_match(s->level)) || (info->is_matched && s->level == TLS_LEVEL_HALF_DANE)
            ? "Trusted"
            : "Untrusted";

    if (info->is_resumed && (s->f->log & FINGER_LOG_SUMMARY))
        finger_say("%s: Reusing old session", s->host->place.ptr);
    if ((s->f->log & (FINGER_LOG_MATCH | FINGER_LOG_UNTRUSTED)) && info->has_certificate)
        say_match(s, info);
    if ((s->f->log & FINGER_LOG_PEER) && info->has_certificate)
        finger_say("%s: subject_CN=%s, issuer_CN=%s, fingerprint=%s, pkey_fingerprint=%s", s->host->place.ptr,
                   info->subject, info->issuer, info->fingerprint, info->key_fingerprint);
    buf_addf(&line, "%s TLS connection established to %s: ", status, s->host->place.ptr);
    tls_info_add_summary(info, &line);
    if (s->f->log & FINGER_LOG_SUMMARY)
        finger_say("%s", buf_cstr(&line));
    buf_release(&line);
}

static void say_lines(struct str lines, const char *prefix)
{
    struct str line;

    while (str_token(&lines, "\n", &line))
        finger_say("%s" STR_FMT, prefix, STR_ARG(line));
}

static void say_chain(struct finger_session *s, struct stream *stream)
{
    struct buf text = BUF_INIT;

    stream_tls_add_chain(stream, &text);
    printf("\n---\nCertificate chain\n%s", buf_cstr(&text));
    buf_release(&text);
}

static bool keeps_session(const struct finger_session *s)
{
    return s->f->reconnect_wait > 0 && (s->f->log & FINGER_LOG_CACHE);
}

static enum tls_check check_for(enum tls_level level)
{
    if (tls_level_is_dane(level))
        return TLS_CHECK_DANE;
    return level == TLS_LEVEL_FINGERPRINT ? TLS_CHECK_FINGERPRINT
           : level >= TLS_LEVEL_VERIFY    ? TLS_CHECK_NAMES
                                          : TLS_CHECK_NONE;
}

// Where its TLS session would be kept by a program that keeps them: the place, and what the verification rests on.
static void name_session(struct finger_session *s, const struct tls_client_start *start)
{
    const char *address = strchr(s->host->place.ptr, '[');
    struct buf name = BUF_INIT;

    buf_addf(&name, "%s&", address != NULL ? address : s->host->place.ptr);
    tls_client_context_add_trust(s->f->context, start, &name);
    s->session_name = arena_str(&s->f->arena, buf_str(&name));
    buf_release(&name);
    if (!keeps_session(s))
        return;
    finger_say("looking for session %s in memory cache", s->session_name.ptr);
    if (s->session.len > 0)
        finger_say("reloaded session %s from memory cache", s->session_name.ptr);
}

static int handshake(struct finger_session *s, struct stream *stream) CO
{
    struct finger *f = s->f;
    struct str *names = ARENA_ARRAY(&f->arena, struct str, NAMES_MAX + 3);
    struct tls_tlsa *tlsa = ARENA_ARRAY(&f->arena, struct tls_tlsa, s->dane.count + 1);
    const struct tls_ciphers grade = {f->grade, {s->level >= TLS_LEVEL_FINGERPRINT ? STR("aNULL") : STR("")}};
    struct buf ciphers = BUF_INIT;
    struct err err = ERR_INIT;

    for (size_t i = 0; i < s->dane.count; i++) {
        const struct dns_tlsa *r = &s->dane.records[i];
        tlsa[i] = (struct tls_tlsa){r->usage, r->selector, r->matching, r->data};
    }
    if (tls_cipher_list(&f->settings, &grade, &ciphers) < 0) {
        finger_say("warning: %s: invalid cipher grade: \"" STR_FMT "\"", s->host->place.ptr, STR_ARG(f->grade));
        return -1;
    }
    const struct tls_client_start start = {
        .server_name = tls_level_is_dane(s->level) ? s->dane.base : f->server_name,
        .ciphers = buf_str(&ciphers),
        .protocols = f->protocols,
        .check = check_for(s->level),
        .names = names,
        .name_count = add_names(s, names),
        .fingerprints = f->match.items,
        .fingerprint_count = f->match.count,
        .tlsa = tlsa,
        .tlsa_count = s->dane.count,
        .trust_anchors = buf_str(&f->anchors),
        .session = buf_str(&s->session),
        .log_level = f->log & FINGER_LOG_BYTES   ? 3
                     : f->log & FINGER_LOG_STEPS ? 2
                                                 : 0,
    };
    if (f->log & FINGER_LOG_VERBOSE) {
        finger_say("setting up TLS connection to %s", s->host->place.ptr);
        finger_say("%s: TLS cipher list \"%s\"", s->host->place.ptr, buf_cstr(&ciphers));
    }
    name_session(s, &start);
    stream_set_deadline(stream, clock_deadline(f->command_timeout));
    int rc = stream_start_tls_client(stream, f->context, &start, &err);
    buf_release(&ciphers);
    if (f->log & (FINGER_LOG_STEPS | FINGER_LOG_BYTES))
        say_lines(stream_tls_trace(stream), "");
    if (rc == 0) {
        say_tls(s, stream_tls_info(stream));
        return 0;
    }
    finger_say("SSL_connect error to %s: %s", s->host->place.ptr, err.text);
    say_lines(stream_tls_problems(stream), "warning: TLS library problem: ");
    return -1;
}

// ---- The whole

// Up to TLS: 1 it is on, 0 it is not to be, -1 the connection is of no more use.
static int begin(struct finger_session *s, struct stream *stream) CO
{
    bool has_starttls = false;

    if (s->f->is_wrapper && handshake(s, stream) < 0)
        return -1;
    if (read_reply(s, stream, s->f->connect_timeout, NULL) != GREETING)
        return -1;
    s->is_silent = s->is_again; // it was told before
    if (hello(s, stream, &has_starttls) / 100 != 2)
        return -1;
    if (s->f->is_wrapper)
        return 1;
    if (s->level == TLS_LEVEL_NONE)
        return 0;
    if (!has_starttls) {
        finger_say("%s: TLS is not offered", s->host->place.ptr);
        return 0;
    }
    if (command(s, stream, "STARTTLS", NULL) != GREETING) {
        finger_say("%s: TLS is refused", s->host->place.ptr);
        return 0;
    }
    if (handshake(s, stream) < 0)
        return -1;
    return hello(s, stream, NULL) / 100 == 2 ? 1 : -1;
}

// What the server gave for the next time. If it gave nothing, what it gave before serves again.
static void keep_session(struct finger_session *s, struct stream *stream)
{
    struct buf session = BUF_INIT;

    if (stream_tls_session(stream, &session) != 1)
        return;
    buf_wipe(&s->session);
    s->session = session;
    if (keeps_session(s))
        finger_say("save session %s to memory cache", s->session_name.ptr);
}

bool finger_converse(struct finger_session *s, struct stream *stream)
{
    bool is_known = false;
    int outcome = begin(s, stream);
    s->is_silent = false;

    const struct tls_info *info = stream_tls_info(stream);
    if (info != NULL) {
        is_known = info->is_resumed;
        if (s->f->prints_chain && !is_known)
            say_chain(s, stream);
        keep_session(s, stream);
    }
    if (outcome >= 0)
        (void)command(s, stream, "QUIT", NULL);
    stream_free(stream);
    return is_known;
}
