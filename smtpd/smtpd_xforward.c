// SPDX-License-Identifier: ISC
// smtpd_xforward.c: XFORWARD: a listed peer says where the next message came from, for logs and queue files; decisions
// stay about the peer.
// Trust: clients in smtpd_authorized_xforward_hosts only.
#include "smtpd/smtpd.h"
#include "smtpd/smtpd_attribute.h"

void smtpd_xforward_reset(struct smtpd_session *s)
{
    s->forward = (struct smtpd_forward){.is_set = false};
    arena_reset(&s->forward_arena);
}

// Each 0 or -1 (bad value). `value` is in the forward arena; "" stands for unavailable.
static int take_name(struct smtpd_forward *f, const struct smtpd_attribute *a, struct str value)
{
    f->name = value;
    return a->is_unavailable || smtpd_attribute_is_host(a) ? 0 : -1;
}

static int take_addr(struct smtpd_forward *f, const struct smtpd_attribute *a, struct str value)
{
    struct net_addr addr;
    f->address = str_starts_nocase(value, STR("IPV6:")) ? str_slice(value, 5, value.len) : value;
    return a->is_unavailable || smtpd_attribute_address(a, &addr) == 0 ? 0 : -1;
}

static int take_port(struct smtpd_forward *f, const struct smtpd_attribute *a, struct str value)
{
    uint16_t port;
    f->port = value;
    return a->is_unavailable || smtpd_attribute_port(a, &port) == 0 ? 0 : -1;
}

static int take_proto(struct smtpd_forward *f, const struct smtpd_attribute *a, struct str value)
{
    f->protocol = value;
    return value.len <= 64 ? 0 : -1;
}

static int take_helo(struct smtpd_forward *f, const struct smtpd_attribute *a, struct str value)
{
    f->helo = value;
    return 0;
}

static int take_ident(struct smtpd_forward *f, const struct smtpd_attribute *a, struct str value)
{
    f->ident = value;
    return 0;
}

static int take_source(struct smtpd_forward *f, const struct smtpd_attribute *a, struct str value)
{
    f->is_local = str_is_nocase(value, STR("LOCAL"));
    f->is_remote = str_is_nocase(value, STR("REMOTE"));
    return f->is_local || f->is_remote || a->is_unavailable ? 0 : -1;
}

static const struct {
    const char *name;
    int (*take)(struct smtpd_forward *f, const struct smtpd_attribute *a, struct str value);
} attributes[] = {{"NAME", take_name}, {"ADDR", take_addr},   {"PORT", take_port},    {"PROTO", take_proto},
                  {"HELO", take_helo}, {"IDENT", take_ident}, {"SOURCE", take_source}};

// False: the reply was sent.
static bool take_word(struct smtpd_session *s, struct smtpd_forward *f, struct str word)
{
    struct smtpd_attribute a;
    if (!smtpd_reply_attribute(s, "XFORWARD", word, &a))
        return false;
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        if (!str_is_nocase(a.name, str_from(attributes[i].name)))
            continue;
        if (attributes[i].take(f, &a, arena_str(&s->forward_arena, a.is_unavailable ? STR("") : a.value)) == 0)
            return true;
        smtpd_reply_bad_attribute(s, &a);
        return false;
    }
    smtpd_reply(s, "501 5.5.4 Bad XFORWARD attribute name: " STR_FMT, STR_ARG(a.name));
    return false;
}

void smtpd_xforward(struct smtpd_session *s, struct str arguments)
{
    struct smtpd_forward forward = s->forward;
    struct str word, rest = arguments;
    if (!smtpd_takes_attributes(s, "XFORWARD", arguments, s->may_xforward))
        return;
    while (str_token(&rest, " \t", &word))
        if (!take_word(s, &forward, word))
            return;
    forward.is_set = true;
    s->forward = forward;
    smtpd_reply(s, "250 2.0.0 Ok");
}
