// SPDX-License-Identifier: ISC
// dovecot_protocol.c: reads and writes the lines of Dovecot's authentication protocol. Pure.
// Trust: see the header.
#include "lib/sasl/dovecot_protocol.h"

enum { MAJOR_VERSION = 1 };

bool dovecot_is_base64(struct str text)
{
    size_t padding = 0;

    if (text.len % 4 != 0 || text.len > SASL_TOKEN_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool is_digit =
            (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
        if (c == '=' && i + 2 >= text.len)
            padding++;
        else if (!is_digit || padding > 0)
            return false;
    }
    return true;
}

// ---- Fields

static bool next_field(struct str *rest, struct str *field_r)
{
    if (rest->ptr == NULL)
        return false;
    if (!str_cut(rest, '\t', field_r))
        *rest = STR_NULL;
    return true;
}

static void add_unescaped(struct buf *b, struct str field, size_t max)
{
    struct buf plain = BUF_INIT;
    for (size_t i = 0; i < field.len; i++) {
        char c = field.ptr[i];
        if (c == '\001' && i + 1 < field.len) {
            c = field.ptr[++i];
            c = c == '0' ? '\0' : c == '1' ? '\001' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'n' ? '\n' : c;
        }
        buf_add_char(&plain, c);
    }
    buf_add_printable(b, buf_str(&plain), max);
    buf_release(&plain);
}

static bool parse_id(struct str field, uint32_t *id_r)
{
    uint64_t value;
    if (str_to_u64(field, &value) < 0 || value == 0 || value > UINT32_MAX)
        return false;
    *id_r = (uint32_t)value;
    return true;
}

// ---- The greeting

static int add_mechanism(struct dovecot_greeting *g, struct str rest, struct err *err)
{
    static const struct {
        const char *word;
        unsigned violates;
    } flags[] = {{"plaintext", SASL_NO_PLAINTEXT},
                 {"active", SASL_NO_ACTIVE},
                 {"dictionary", SASL_NO_DICTIONARY},
                 {"anonymous", SASL_NO_ANONYMOUS}};
    struct str name, word;

    if (!next_field(&rest, &name) || name.len == 0 || name.len > SASL_NAME_MAX || !str_is_printable(name) ||
        str_find(name, ' ') >= 0)
        return err_set(err, ERR_PROTOCOL, "malformed mechanism");
    if (g->count == DOVECOT_MECHANISMS_MAX)
        return err_set(err, ERR_PROTOCOL, "too many mechanisms");
    struct dovecot_mechanism *m = &g->mechanisms[g->count++];
    *m = (struct dovecot_mechanism){.violates = SASL_FORWARD_SECRECY | SASL_MUTUAL_AUTH};
    memcpy(m->name, name.ptr, name.len);
    while (next_field(&rest, &word)) {
        for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
            if (str_is_nocase(word, str_from(flags[i].word)))
                m->violates |= flags[i].violates;
        if (str_is_nocase(word, STR("forward-secrecy")))
            m->violates &= ~(unsigned)SASL_FORWARD_SECRECY;
        else if (str_is_nocase(word, STR("mutual-auth")))
            m->violates &= ~(unsigned)SASL_MUTUAL_AUTH;
        else if (str_is_nocase(word, STR("private")))
            m->is_private = true;
    }
    return 0;
}

int dovecot_greeting_add(struct dovecot_greeting *g, struct str line, struct err *err)
{
    struct str rest = line, verb, field;
    int64_t major;

    (void)next_field(&rest, &verb);
    if (str_is(verb, STR("VERSION"))) {
        if (!next_field(&rest, &field) || str_to_i64(field, &major) < 0 || major != MAJOR_VERSION)
            return err_set(err, ERR_PROTOCOL, "unsupported version of the authentication protocol");
        g->has_version = true;
    } else if (str_is(verb, STR("MECH"))) {
        return add_mechanism(g, rest, err);
    } else if (str_is(verb, STR("SPID"))) {
        g->has_server_id = true;
    } else if (str_is(verb, STR("DONE"))) {
        if (!g->has_version || !g->has_server_id)
            return err_set(err, ERR_PROTOCOL, "incomplete greeting");
        g->is_done = true;
    } // COOKIE, CUID and what later versions add mean nothing to us
    return 0;
}

static bool is_offered(const struct dovecot_mechanism *m, unsigned security)
{
    return !m->is_private && (m->violates & security) == 0;
}

void dovecot_greeting_list(const struct dovecot_greeting *g, unsigned security, struct buf *list_r)
{
    for (unsigned i = 0; i < g->count; i++)
        if (is_offered(&g->mechanisms[i], security))
            buf_addf(list_r, "%s%s", list_r->len > 0 ? " " : "", g->mechanisms[i].name);
}

bool dovecot_greeting_has(const struct dovecot_greeting *g, unsigned security, struct str mechanism)
{
    for (unsigned i = 0; i < g->count; i++)
        if (str_is_nocase(mechanism, str_from(g->mechanisms[i].name)))
            return (g->mechanisms[i].violates & security) == 0;
    return false;
}

// ---- Answers

static int parse_verdict(struct str rest, bool is_ok, struct sasl_answer *a)
{
    struct str field;
    bool is_temporary = false;

    while (next_field(&rest, &field)) {
        if (str_starts(field, STR("user=")) && a->username.len == 0)
            add_unescaped(&a->username, str_slice(field, 5, field.len), SASL_USER_MAX);
        else if (str_starts(field, STR("reason=")) && a->reason.len == 0)
            add_unescaped(&a->reason, str_slice(field, 7, field.len), SASL_REASON_MAX);
        else if (str_is(field, STR("temp")) || str_is(field, STR("code=temp_fail")))
            is_temporary = true;
    }
    if (is_ok && a->username.len == 0) {
        sasl_answer_fail(a, SASL_ANSWER_TEMPORARY, STR("Authentication backend error"));
        return 1;
    }
    a->outcome = is_ok ? SASL_ANSWER_ACCEPTED : is_temporary ? SASL_ANSWER_TEMPORARY : SASL_ANSWER_REFUSED;
    return 1;
}

int dovecot_answer_parse(struct str line, uint32_t *id_r, struct sasl_answer *answer_r, struct err *err)
{
    struct str rest = line, verb, id, challenge = STR("");

    (void)next_field(&rest, &verb);
    bool is_ok = str_is(verb, STR("OK")), is_fail = str_is(verb, STR("FAIL"));
    if (!is_ok && !is_fail && !str_is(verb, STR("CONT")))
        return 0;
    if (!next_field(&rest, &id) || !parse_id(id, id_r))
        return err_set(err, ERR_PROTOCOL, "malformed answer: no request number");
    if (is_ok || is_fail)
        return parse_verdict(rest, is_ok, answer_r);
    (void)next_field(&rest, &challenge);
    if (!dovecot_is_base64(challenge))
        return err_set(err, ERR_PROTOCOL, "malformed answer: challenge is not base64");
    answer_r->outcome = SASL_ANSWER_CONTINUE;
    buf_add_str(&answer_r->challenge, challenge);
    return 1;
}

// ---- Requests

static void add_field(struct buf *b, const char *name, struct str value)
{
    if (value.len == 0)
        return;
    buf_addf(b, "\t%s=", name);
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        const char *escaped = c == '\0'     ? "\0010"
                              : c == '\001' ? "\0011"
                              : c == '\t'   ? "\001t"
                              : c == '\r'   ? "\001r"
                              : c == '\n'   ? "\001n"
                                            : NULL;
        if (escaped != NULL)
            buf_add_cstr(b, escaped);
        else
            buf_add_char(b, c);
    }
}

void dovecot_add_auth(struct buf *b, const struct dovecot_request *r)
{
    buf_addf(b, "AUTH\t%u\t" STR_FMT, r->id, STR_ARG(r->mechanism));
    add_field(b, "service", r->service);
    buf_add_cstr(b, "\tnologin");
    add_field(b, "lip", r->peer->server_address);
    add_field(b, "lport", r->peer->server_port);
    add_field(b, "rip", r->peer->client_address);
    add_field(b, "rport", r->peer->client_port);
    if (r->peer->is_encrypted)
        buf_add_cstr(b, "\tsecured");
    if (r->peer->has_valid_certificate) { // a name that nobody vouches for is none
        buf_add_cstr(b, "\tvalid-client-cert");
        add_field(b, "cert_username", r->peer->certificate_name);
    }
    if (r->response.ptr != NULL) { // last, as the protocol wants it
        buf_add_cstr(b, "\tresp=");
        buf_add_str(b, r->response);
    }
    buf_add_char(b, '\n');
}
