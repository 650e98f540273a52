// SPDX-License-Identifier: ISC
// smtpd_store.c: hands a message to cleanup: envelope, client attributes, the Received: header, content; asks for its
// queue id.
// Suspends: while cleanup is slow, and for its verdict.
#include "smtpd/smtpd.h"

#define STORE_ATTRS_MAX 24
#define STORE_SECONDS   600 // for cleanup's verdict: a queue file system may be slow

void smtpd_store_abort(struct smtpd_session *s)
{
    if (s->transaction.submit != NULL)
        submit_abort(s->transaction.submit);
    smtpd_postdrop_end(s->transaction.postdrop);
    s->transaction.submit = NULL;
    s->transaction.postdrop = NULL;
}

void smtpd_store_fail(struct smtpd_session *s, int code, const char *status, const char *reason)
{
    struct submit_result *f = &s->transaction.failure;
    if (s->transaction.is_bad)
        return; // the first failure is the reason
    s->transaction.is_bad = true;
    *f = (struct submit_result){.code = code};
    strncpy(f->status, status, sizeof(f->status) - 1);
    strncpy(f->reason, reason, sizeof(f->reason) - 1);
    smtpd_store_abort(s);
}

static void log_trouble(const struct err *err)
{
    log_warn("problem talking to service cleanup: %s", err->text);
}

static void fail_from(struct smtpd_session *s, const struct err *err)
{
    log_trouble(err);
    smtpd_store_fail(s, 451, "4.3.0", "Error: queue file write error");
}

struct attr_list {
    struct submit_attr items[STORE_ATTRS_MAX];
    size_t count;
};

static void add_attr(struct attr_list *l, const char *name, struct str value)
{
    if (value.len > 0 && l->count < STORE_ATTRS_MAX)
        l->items[l->count++] = (struct submit_attr){name, value};
}

static bool is_local_context(struct smtpd_session *s) CO
{
    if (s->forward.is_local || s->forward.is_remote)
        return s->forward.is_local;
    return smtpd_rewrites_headers(s);
}

static struct str or_unknown(struct str text)
{
    return text.len > 0 ? text : STR("unknown");
}

// Where the message came from as logs show it: what XFORWARD said, as soon as it said anything, else this client.
static void add_origin_attrs(struct smtpd_session *s, struct attr_list *l)
{
    const struct smtpd_forward *f = &s->forward;
    const struct smtpd_forward self = {.name = s->client_name,
                                       .address = s->client_address,
                                       .port = s->client_port,
                                       .helo = s->helo,
                                       .protocol = str_from(s->protocol)};
    const struct smtpd_forward *from = f->is_set ? f : &self;
    add_attr(l, "log_client_name", or_unknown(from->name));
    add_attr(l, "log_client_address", or_unknown(from->address));
    add_attr(l, "log_client_port", or_unknown(from->port));
    add_attr(l, "log_message_origin",
             f->is_set ? arena_strf(&s->transaction_arena, STR_FMT "[" STR_FMT "]", STR_ARG(or_unknown(f->name)),
                                    STR_ARG(or_unknown(f->address)))
                       : s->client_log);
    add_attr(l, "log_helo_name", from->helo);
    add_attr(l, "log_protocol_name", or_unknown(from->protocol));
    add_attr(l, "log_ident", f->ident);
}

// The log_* names are what earlier hops may override (XFORWARD); the others are always this client.
static void add_client_attrs(struct smtpd_session *s, struct attr_list *l) CO
{
    struct arena *a = &s->transaction_arena;
    struct buf address = BUF_INIT;
    struct str protocol = str_from(s->protocol);

    net_addr_add_text(&address, &s->local);
    add_attr(l, "rewrite_context", is_local_context(s) ? STR("local") : STR("remote"));
    add_attr(l, "encoding", s->transaction.encoding);
    add_origin_attrs(s, l);
    add_attr(l, "client_name", s->client_name);
    add_attr(l, "reverse_client_name", s->client_reverse);
    add_attr(l, "client_address", s->client_address);
    add_attr(l, "client_port", s->client_port);
    add_attr(l, "server_address", arena_str(a, buf_str(&address)));
    add_attr(l, "server_port", arena_strf(a, "%u", net_addr_port(&s->local)));
    add_attr(l, "helo_name", s->helo);
    add_attr(l, "protocol_name", protocol);
    add_attr(l, "sasl_method", s->sasl.method);
    add_attr(l, "sasl_username", s->sasl.username);
    add_attr(l, "sasl_sender", s->sasl.sender);
    add_attr(l, "client_address_type", arena_strf(a, "%d", net_addr_family(&s->peer)));
    buf_release(&address);
}

// A comment that ends where it should, whatever the text (RFC 5322 3.2.2).
static void add_comment(struct buf *b, const char *label, struct str text)
{
    unsigned depth = 1;
    buf_addf(b, "(%s", label);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool is_odd = c == '\\' || (c == ')' && depth == 1);
        depth += c == '(' ? 1 : 0;
        depth -= c == ')' && !is_odd ? 1 : 0;
        buf_add_char(b, is_odd ? '?' : c);
    }
    while (depth-- > 0)
        buf_add_char(b, ')');
}

// RFC 5321 4.4. The queue id stands between the two parts; cleanup alone knows it.
static void make_received(struct smtpd_session *s, struct submit_envelope *e)
{
    const struct settings *set = s->settings;
    struct smtpd_transaction *t = &s->transaction;
    struct arena *a = &s->transaction_arena;
    struct buf after = BUF_INIT;
    bool has_login = s->sasl.method.len > 0, is_extended = strcmp(s->protocol, "SMTP") != 0;
    struct str protocol =
        arena_strf(a, "%s%s%s", t->sendopts & 1 ? "UTF8SMTP" : s->protocol, is_extended && s->tls.is_on ? "S" : "",
                   is_extended && has_login ? "A" : ""); // RFC 3848
    struct buf tls = BUF_INIT, login = BUF_INIT;
    if (s->stream != NULL)
        smtpd_tls_add_received(s, &tls);
    if (has_login && set->smtpd_sasl_authenticated_header) {
        buf_add_char(&login, '\t');
        add_comment(&login, "Authenticated sender: ", s->sasl.username);
        buf_add_char(&login, '\n');
    }

    if (set->smtpd_hide_client_session) {
        e->received_before = arena_strf(a, "Received: by " STR_FMT " (" STR_FMT ") id ", STR_ARG(set->myhostname),
                                        STR_ARG(set->mail_name));
    } else {
        struct str helo = s->helo.len > 0 ? s->helo : s->client_name;
        e->received_before = arena_strf(a,
                                        "Received: from " STR_FMT " (" STR_FMT " [" STR_FMT "])\n" STR_FMT STR_FMT
                                        "\tby " STR_FMT " (" STR_FMT ") with " STR_FMT " id ",
                                        STR_ARG(helo), STR_ARG(s->client_name), STR_ARG(s->client_rfc), (int)tls.len,
                                        buf_cstr(&tls), (int)login.len, buf_cstr(&login), STR_ARG(set->myhostname),
                                        STR_ARG(set->mail_name), STR_ARG(protocol));
    }
    buf_release(&tls);
    buf_release(&login);
    if (t->recipient_count == 1) {
        buf_add_cstr(&after, "\n\tfor <");
        address_add_external(&after, t->recipients[0].address);
        buf_add_cstr(&after, ">; ");
    } else {
        buf_add_cstr(&after, ";\n\t");
    }
    clock_add_rfc5322(&after, clock_wall());
    e->received_after = arena_str(a, buf_str(&after));
    buf_release(&after);
}

// "client=C, sasl_method=M, sasl_username=U, sasl_sender=S, orig_queue_id=Q, orig_client=C2"
static struct str client_line(struct smtpd_session *s)
{
    struct buf line = BUF_INIT;
    const struct submit_attr login[] = {
        {"sasl_method", s->sasl.method}, {"sasl_username", s->sasl.username}, {"sasl_sender", s->sasl.sender}};

    buf_addf(&line, "client=" STR_FMT, STR_ARG(s->client_log));
    for (size_t i = 0; i < sizeof(login) / sizeof(login[0]); i++)
        if (login[i].value.len > 0) {
            buf_addf(&line, ", %s=", login[i].name);
            buf_add_printable(&line, login[i].value, 0);
        }
    if (s->forward.ident.len > 0) {
        buf_add_cstr(&line, ", orig_queue_id=");
        buf_add_printable(&line, s->forward.ident, 0);
    }
    if (s->forward.is_set)
        buf_addf(&line, ", orig_client=" STR_FMT "[" STR_FMT "]", STR_ARG(or_unknown(s->forward.name)),
                 STR_ARG(or_unknown(s->forward.address)));
    struct str text = arena_str(&s->transaction_arena, buf_str(&line));
    buf_release(&line);
    return text;
}

static const struct str *list_texts(struct arena *a, const struct smtpd_texts *texts, size_t *count_r)
{
    size_t count = 0;
    for (const struct smtpd_text *t = texts->first; t != NULL; t = t->next)
        count++;
    struct str *list = ARENA_ARRAY(a, struct str, count);
    *count_r = 0;
    for (const struct smtpd_text *t = texts->first; t != NULL; t = t->next)
        list[(*count_r)++] = t->text;
    return list;
}

// What restrictions asked for, up to the end of the content.
static void give_orders(struct smtpd_session *s)
{
    const struct smtpd_transaction *t = &s->transaction;
    struct submit_orders orders = {.flags = (t->is_held ? SUBMIT_HOLD : 0) | (t->is_dropped ? SUBMIT_DISCARD : 0),
                                   .filter = t->filter,
                                   .redirect = t->redirect};
    orders.bcc = list_texts(&s->transaction_arena, &t->bcc, &orders.bcc_count);
    submit_order(t->submit, &orders);
}

// What is known from MAIL on; `attrs` must live as long as *e.
static void make_envelope(struct smtpd_session *s, struct attr_list *attrs, struct submit_envelope *e) CO
{
    const struct smtpd_transaction *t = &s->transaction;
    struct str no_maps = STR("no_address_mappings"), no_checks = STR("no_header_body_checks");
    *attrs = (struct attr_list){.count = 0};
    *e = (struct submit_envelope){.sender = t->sender,
                                  .arrival_us = t->started_us,
                                  .envelope_id = t->envelope_id,
                                  .ret_flags = t->ret_flags,
                                  .sendopts = t->sendopts,
                                  .verp = t->verp,
                                  .filter = s->settings->content_filter,
                                  .flags = 0};

    if (str_find_str(s->settings->receive_override_options, no_maps) < 0)
        e->flags |= SUBMIT_MAP;
    if (str_find_str(s->settings->receive_override_options, no_checks) < 0)
        e->flags |= SUBMIT_FILTER;
    if (s->settings->always_add_missing_headers)
        e->flags |= SUBMIT_ADD_MISSING;
    add_client_attrs(s, attrs);
    e->attrs = attrs->items;
    e->attr_count = attrs->count;
    e->log_tag = arena_strf(&s->transaction_arena, STR_FMT "/smtpd[%d]", STR_ARG(s->settings->syslog_name), log_pid());
    e->log_text = client_line(s);
}

static struct submit *begin_submit(struct smtpd_session *s, const struct submit_envelope *e, struct err *err) CO
{
    return submit_begin(s->daemon->submit, e, clock_deadline(STORE_SECONDS + s->settings->smtpd_timeout), err);
}

int smtpd_store_begin(struct smtpd_session *s)
{
    struct smtpd_transaction *t = &s->transaction;
    struct attr_list attrs;
    struct submit_envelope e;
    struct err err = ERR_INIT;
    int rc = 0;

    make_envelope(s, &attrs, &e);
    e.recipients = t->recipients;
    e.recipient_count = t->recipient_count;
    make_received(s, &e);
    e.prepended = list_texts(&s->transaction_arena, &t->prepended, &e.prepended_count);
    t->content_bytes = 0;
    t->has_content = true;
    if (s->is_standalone)
        t->postdrop = smtpd_postdrop_begin(s->settings, &e, &err);
    else if (t->submit != NULL)
        rc = submit_extend(t->submit, &e, &err);
    else
        t->submit = begin_submit(s, &e, &err);
    if (rc == 0 && (t->submit != NULL || t->postdrop != NULL))
        return 0;
    fail_from(s, &err);
    return -1;
}

int smtpd_store_open(struct smtpd_session *s)
{
    struct smtpd_transaction *t = &s->transaction;
    struct attr_list attrs;
    struct submit_envelope e;
    struct err err = ERR_INIT;
    struct str id;

    if (t->submit == NULL) {
        make_envelope(s, &attrs, &e);
        t->submit = begin_submit(s, &e, &err);
    }
    int rc = t->submit != NULL ? submit_open(t->submit, &id, &err) : -1;
    if (rc > 0) {
        buf_add_str(&s->queue_id, id);
        log_info(STR_FMT ": " STR_FMT, STR_ARG(id), STR_ARG(client_line(s)));
        return 0;
    }
    if (rc < 0 && t->has_content)
        fail_from(s, &err);
    else if (rc < 0)
        log_trouble(&err);
    if (!t->has_content)
        smtpd_store_abort(s); // DATA begins anew
    return -1;
}

struct str smtpd_queue_id(struct smtpd_session *s)
{
    struct smtpd_transaction *t = &s->transaction;
    bool may_have_file =
        t->recipient_count > 0 && !s->is_standalone && !t->is_bad && !t->lacks_file && !co_is_cancelled();
    if (s->queue_id.len == 0 && may_have_file)
        t->lacks_file = smtpd_store_open(s) < 0;
    return s->queue_id.len > 0 ? buf_str(&s->queue_id) : STR("NOQUEUE");
}

static int64_t count_lines(struct str text)
{
    int64_t count = 0;
    const char *at = text.ptr, *end = text.ptr + text.len;
    while (at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        at++;
        count++;
    }
    return count;
}

void smtpd_store_text(struct smtpd_session *s, struct str text)
{
    struct smtpd_transaction *t = &s->transaction;
    struct err err = ERR_INIT;
    if (t->is_bad || text.len == 0)
        return;
    t->content_bytes += (int64_t)text.len + count_lines(text);
    if (s->settings->message_size_limit > 0 && t->content_bytes > s->settings->message_size_limit) {
        struct str id = smtpd_queue_id(s);
        log_warn(STR_FMT ": queue file size limit exceeded", STR_ARG(id));
        smtpd_store_fail(s, 552, "5.3.4", "Error: message file too big");
        return;
    }
    if (t->postdrop != NULL)
        smtpd_postdrop_text(t->postdrop, s->settings, text);
    else if (submit_write(t->submit, text, &err) < 0)
        fail_from(s, &err);
}

void smtpd_store_finish(struct smtpd_session *s, struct submit_result *result_r)
{
    struct smtpd_transaction *t = &s->transaction;
    struct err err = ERR_INIT;
    struct submit *submit = t->submit;
    if (submit != NULL)
        give_orders(s);
    t->submit = NULL;
    if (t->postdrop != NULL) {
        smtpd_postdrop_finish(t->postdrop, result_r);
        t->postdrop = NULL;
        return;
    }
    if (!t->is_bad && submit_finish(submit, result_r, &err) == 0)
        return;
    if (!t->is_bad)
        fail_from(s, &err);
    *result_r = t->failure;
}
