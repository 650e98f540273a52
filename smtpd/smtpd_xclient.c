// SPDX-License-Identifier: ISC
// smtpd_xclient.c: XCLIENT: a listed peer says whose session this is; from then on the server decides as if that client
// had connected.
// Trust: clients in smtpd_authorized_xclient_hosts only; all attributes are taken together or not at all.
// Suspends: table lookups about the new client.
#include "smtpd/smtpd.h"
#include "smtpd/smtpd_attribute.h"

// What the command says; unset members leave the session as it is.
struct request {
    struct smtpd_session *session;
    struct str name, reverse, helo, login; // .ptr NULL: not given
    enum access_name_status name_status, reverse_status;
    bool has_addr, has_port, has_local, has_local_port;
    struct net_addr peer, local; // without ports; peer.len 0: unavailable
    uint16_t port, local_port;
    const char *protocol;
};

bool smtpd_reply_attribute(struct smtpd_session *s, const char *verb, struct str word, struct smtpd_attribute *a_r)
{
    switch (smtpd_attribute_parse(word, &s->transaction_arena, a_r)) {
    case SMTPD_ATTRIBUTE_OK:
        return true;
    case SMTPD_ATTRIBUTE_TOO_LONG:
        smtpd_reply(s, "501 5.5.4 Error: attribute value too long");
        return false;
    case SMTPD_ATTRIBUTE_NOT_XTEXT:
        smtpd_reply_bad_attribute(s, a_r);
        return false;
    default:
        if (a_r->name.len == 0)
            smtpd_reply(s, "501 5.5.4 Bad %s attribute name: ", verb);
        else
            smtpd_reply(s, "501 5.5.4 Error: attribute=value expected");
        return false;
    }
}

bool smtpd_takes_attributes(struct smtpd_session *s, const char *verb, struct str arguments, bool is_authorized)
{
    if (s->transaction.has_sender)
        smtpd_reply(s, "503 5.5.1 Error: MAIL transaction in progress");
    else if (arguments.len == 0)
        smtpd_reply(s, "501 5.5.4 Syntax: %s attribute=value...", verb);
    else if (!is_authorized)
        smtpd_reply(s, "550 5.7.0 Error: insufficient authorization");
    else
        return true;
    return false;
}

void smtpd_reply_bad_attribute(struct smtpd_session *s, const struct smtpd_attribute *a)
{
    smtpd_reply(s, "501 5.5.4 Bad " STR_FMT " syntax: " STR_FMT, STR_ARG(a->name), STR_ARG(a->sent));
}

// ---- Attributes: each 0 or -1 (bad value)

static int take_host(const struct smtpd_attribute *a, struct str *name_r, enum access_name_status *status_r)
{
    bool is_known = !a->is_unavailable && !a->is_try_again;
    if (is_known && !smtpd_attribute_is_host(a))
        return -1;
    *name_r = is_known ? a->value : STR("unknown");
    *status_r = is_known ? ACCESS_NAME_OK : a->is_try_again ? ACCESS_NAME_TRY_AGAIN : ACCESS_NAME_UNKNOWN;
    return 0;
}

static int take_name(struct request *r, const struct smtpd_attribute *a)
{
    return take_host(a, &r->name, &r->name_status);
}

static int take_reverse_name(struct request *r, const struct smtpd_attribute *a)
{
    return take_host(a, &r->reverse, &r->reverse_status);
}

static int take_addr(struct request *r, const struct smtpd_attribute *a)
{
    r->has_addr = true;
    r->peer = (struct net_addr){.len = 0};
    return a->is_unavailable ? 0 : smtpd_attribute_address(a, &r->peer);
}

static int take_port(struct request *r, const struct smtpd_attribute *a)
{
    r->has_port = true;
    r->port = 0;
    return a->is_unavailable ? 0 : smtpd_attribute_port(a, &r->port);
}

static int take_destaddr(struct request *r, const struct smtpd_attribute *a)
{
    r->has_local = !a->is_unavailable;
    return a->is_unavailable ? 0 : smtpd_attribute_address(a, &r->local);
}

static int take_destport(struct request *r, const struct smtpd_attribute *a)
{
    r->has_local_port = !a->is_unavailable;
    return a->is_unavailable ? 0 : smtpd_attribute_port(a, &r->local_port);
}

static int take_helo(struct request *r, const struct smtpd_attribute *a)
{
    r->helo = a->is_unavailable ? STR("") : a->value;
    return 0;
}

static int take_proto(struct request *r, const struct smtpd_attribute *a)
{
    r->protocol = str_is_nocase(a->value, STR("ESMTP"))  ? "ESMTP"
                  : str_is_nocase(a->value, STR("SMTP")) ? "SMTP"
                                                         : NULL;
    return r->protocol != NULL ? 0 : -1;
}

static int take_login(struct request *r, const struct smtpd_attribute *a)
{
    r->login = a->is_unavailable ? STR("") : a->value;
    return 0;
}

static const struct {
    const char *name;
    int (*take)(struct request *r, const struct smtpd_attribute *a);
} attributes[] = {{"NAME", take_name},        {"REVERSE_NAME", take_reverse_name},
                  {"ADDR", take_addr},        {"PORT", take_port},
                  {"HELO", take_helo},        {"PROTO", take_proto},
                  {"LOGIN", take_login},      {"DESTADDR", take_destaddr},
                  {"DESTPORT", take_destport}};

// False: the reply was sent.
static bool take_word(struct request *r, struct str word)
{
    struct smtpd_session *s = r->session;
    struct smtpd_attribute a;
    if (!smtpd_reply_attribute(s, "XCLIENT", word, &a))
        return false;
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        if (!str_is_nocase(a.name, str_from(attributes[i].name)))
            continue;
        if (attributes[i].take(r, &a) == 0)
            return true;
        smtpd_reply_bad_attribute(s, &a);
        return false;
    }
    smtpd_reply(s, "501 5.5.4 Bad XCLIENT attribute name: " STR_FMT, STR_ARG(a.name));
    return false;
}

// ---- The new client

static void become(struct smtpd_session *s, const struct request *r)
{
    struct arena *a = &s->session_arena;
    uint16_t port = net_addr_port(&s->peer), local_port = net_addr_port(&s->local);
    if (r->has_addr && r->peer.len == 0) {
        s->peer = (struct net_addr){.len = sizeof(sa_family_t)};
        s->peer.sa.ss_family = AF_UNIX; // an address that is in no list
    } else if (r->has_addr) {
        s->peer = r->peer;
    }
    net_addr_set_port(&s->peer, r->has_port ? r->port : r->has_addr ? 0 : port);
    if (r->has_local)
        s->local = r->local;
    net_addr_set_port(&s->local, r->has_local_port ? r->local_port : local_port);
    if (r->name.ptr != NULL) {
        s->client_name = arena_str(a, r->name);
        s->name_status = r->name_status;
    }
    if (r->reverse.ptr != NULL || r->name.ptr != NULL) {
        s->client_reverse = r->reverse.ptr != NULL ? arena_str(a, r->reverse) : s->client_name;
        s->reverse_status = r->reverse.ptr != NULL ? r->reverse_status : r->name_status;
    }
    s->helo = r->helo.ptr != NULL ? arena_str(a, r->helo) : STR_NULL;
    s->protocol = r->protocol != NULL ? r->protocol : "SMTP";
    // Whoever logged in before is not the new client.
    s->sasl = (struct access_sasl){.method = STR_NULL};
    if (r->login.len > 0)
        s->sasl = (struct access_sasl){.method = STR("XCLIENT"), .username = arena_str(a, r->login)};
}

void smtpd_xclient(struct smtpd_session *s, struct str arguments)
{
    struct request r = {.session = s};
    struct str word, rest = arguments;
    if (!smtpd_takes_attributes(s, "XCLIENT", arguments, s->may_xclient))
        return;
    while (str_token(&rest, " \t", &word))
        if (!take_word(&r, word))
            return;
    become(s, &r);
    smtpd_client_describe(s);
    smtpd_greet_again(s);
}
