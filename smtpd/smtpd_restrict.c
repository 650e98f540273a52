// SPDX-License-Identifier: ISC
// smtpd_restrict.c: relay control: the restriction lists and the net under them.
//
// Whatever main.cf says or leaves out, a client outside mynetworks reaches only domains that this server is responsible
// for: that check stands after all lists and no list can switch it off.
// Suspends: table lookups.
#include "smtpd/smtpd.h"

#define LIST_SEPARATORS ", \t\r\n"

enum walk { WALK_ON, WALK_PERMIT, WALK_REJECT };

// What is being decided: the list, and the name that its replies speak of.
struct question {
    const char *parameter;
    struct str name;      // client, HELO name, sender or recipient
    const char *what;     // "Recipient address rejected"
    struct str recipient; // "" before RCPT
    struct smtpd_verdict *verdict;
};

static const struct {
    const char *parameter, *what;
} list_texts[] = {
    {"smtpd_client_restrictions", "Client host rejected"},     {"smtpd_helo_restrictions", "Helo command rejected"},
    {"smtpd_sender_restrictions", "Sender address rejected"},  {"smtpd_relay_restrictions", "Recipient address rejected"},
    {"smtpd_recipient_restrictions", "Recipient address rejected"}, {"smtpd_data_restrictions", "Data command rejected"},
    {"smtpd_end_of_data_restrictions", "End-of-data rejected"},
};

static const char *list_text(const char *parameter)
{
    for (size_t i = 0; i < sizeof(list_texts) / sizeof(list_texts[0]); i++)
        if (strcmp(list_texts[i].parameter, parameter) == 0)
            return list_texts[i].what;
    return "Access denied";
}

static enum walk refuse(struct question *q, struct str item, int64_t code, const char *status)
{
    struct smtpd_verdict *v = q->verdict;
    struct buf restriction = BUF_INIT;
    v->action = SMTPD_REJECT;
    v->code = code >= 400 && code <= 599 ? (int)code : 554;
    v->parameter = q->parameter;
    buf_add_printable(&restriction, item, sizeof(v->restriction) - 1);
    memcpy(v->restriction, buf_cstr(&restriction), restriction.len + 1);
    buf_release(&restriction);
    strncpy(v->status, status, sizeof(v->status) - 1);
    v->status[0] = (char)('0' + v->code / 100);
    return WALK_REJECT;
}

static void explain(struct question *q, const char *text)
{
    struct buf b = BUF_INIT;
    buf_add_char(&b, '<');
    address_add_log(&b, q->name);
    buf_addf(&b, ">: %s", text);
    buf_truncate(&b, b.len < sizeof(q->verdict->text) ? b.len : sizeof(q->verdict->text) - 1);
    memcpy(q->verdict->text, buf_cstr(&b), b.len + 1);
    buf_release(&b);
}

static enum walk refuse_temporarily(struct question *q, struct str item)
{
    enum walk w = refuse(q, item, 451, "4.3.0");
    explain(q, "Temporary lookup failure");
    return w;
}

static enum walk refuse_list(struct question *q, struct str item, int64_t code, const char *status, const char *why)
{
    struct buf text = BUF_INIT;
    buf_addf(&text, "%s: %s", q->what, why);
    enum walk w = refuse(q, item, code, status);
    explain(q, buf_cstr(&text));
    buf_release(&text);
    return w;
}

// permit_auth_destination, reject_unauth_destination and defer_unauth_destination ask the same question.
static enum walk judge_destination(struct smtpd_session *s, struct question *q, struct str item) CO
{
    struct err err = ERR_INIT;
    if (q->recipient.ptr == NULL)
        return WALK_ON;
    int found = route_is_authorized_destination(s->daemon->route, q->recipient, &err);
    if (found < 0) {
        log_warn("%s: " STR_FMT ": %s", q->parameter, STR_ARG(item), err.text);
        return refuse_temporarily(q, item);
    }
    if (str_starts_nocase(item, STR("permit")))
        return found ? WALK_PERMIT : WALK_ON;
    if (found)
        return WALK_ON;
    int64_t code = s->settings->relay_domains_reject_code;
    bool defers = str_starts_nocase(item, STR("defer"));
    enum walk w = refuse(q, item, defers ? code - 100 : code, "5.7.1");
    explain(q, "Relay access denied");
    return w;
}

static bool takes_argument(struct str item)
{
    static const char *const prefixes[] = {"check_", "reject_rbl_client", "reject_rhsbl_", "permit_dnswl_client",
                                           "permit_rhswl_client", "sleep"};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (str_starts_nocase(item, str_from(prefixes[i])))
            return !str_is_nocase(item, STR("check_relay_domains"));
    return false;
}

// Restrictions that this server does not evaluate pass; the net still stands. Words that are no restriction at all are a
// configuration error and a temporary refusal, as for any typo in a security setting.
static bool is_restriction_name(struct smtpd_session *s, struct str item)
{
    static const char *const prefixes[] = {"permit", "reject", "check_", "defer", "warn_if_reject", "sleep"};
    struct str class, rest = s->settings->smtpd_restriction_classes;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (str_starts_nocase(item, str_from(prefixes[i])))
            return true;
    while (str_token(&rest, LIST_SEPARATORS, &class))
        if (str_is_nocase(class, item))
            return true;
    return str_find(item, ':') >= 0; // a bare table
}

static enum walk judge_item(struct smtpd_session *s, struct question *q, struct str item) CO
{
    const struct settings *set = s->settings;
    if (str_is_nocase(item, STR("permit")))
        return WALK_PERMIT;
    if (str_is_nocase(item, STR("reject")))
        return refuse_list(q, item, set->reject_code, "5.7.1", "Access denied");
    if (str_is_nocase(item, STR("defer")))
        return refuse_list(q, item, set->defer_code, "4.3.2", "Try again later");
    if (str_is_nocase(item, STR("permit_mynetworks")))
        return s->is_mynetworks ? WALK_PERMIT : WALK_ON;
    if (str_is_nocase(item, STR("permit_inet_interfaces")))
        return s->is_standalone || net_addr_is_same_host(&s->peer, &s->local) ? WALK_PERMIT : WALK_ON;
    if (str_is_nocase(item, STR("permit_auth_destination")) || str_is_nocase(item, STR("reject_unauth_destination")) ||
        str_is_nocase(item, STR("defer_unauth_destination")))
        return judge_destination(s, q, item);
    if (is_restriction_name(s, item))
        return WALK_ON;
    log_warn("unknown smtpd restriction: \"" STR_FMT "\" in %s", STR_ARG(item), q->parameter);
    enum walk w = refuse(q, item, 451, "4.3.5");
    strcpy(q->verdict->text, "Server configuration error");
    return w;
}

static enum walk walk_list(struct smtpd_session *s, struct question *q, struct str list) CO
{
    struct str item, rest = list;
    bool only_warns = false;
    while (str_token_braced(&rest, LIST_SEPARATORS, &item)) {
        if (takes_argument(item)) {
            struct str argument;
            (void)str_token_braced(&rest, LIST_SEPARATORS, &argument);
        }
        if (str_is_nocase(item, STR("warn_if_reject"))) {
            only_warns = true;
            continue;
        }
        enum walk w = judge_item(s, q, item);
        if (w == WALK_REJECT && only_warns) {
            log_info("NOQUEUE: reject_warning: %s from " STR_FMT ": %d %s %s; proto=%s", s->stage, STR_ARG(s->client_log),
                     q->verdict->code, q->verdict->status, q->verdict->text, s->protocol);
            q->verdict->action = SMTPD_PASS;
        } else if (w != WALK_ON) {
            return w;
        }
        only_warns = false;
    }
    return WALK_ON;
}

void smtpd_restrict_stage(struct smtpd_session *s, const char *parameter, struct str list, struct str name,
                          struct smtpd_verdict *v_r)
{
    struct question q = {.parameter = parameter, .name = name, .what = list_text(parameter), .verdict = v_r};
    *v_r = (struct smtpd_verdict){.action = SMTPD_PASS};
    (void)walk_list(s, &q, list);
}

// smtpd_reject_unlisted_recipient: does the mailbox exist, as far as the tables of its class know?
static void judge_unlisted(struct smtpd_session *s, struct question *q) CO
{
    struct err err = ERR_INIT;
    struct str reason = STR("User unknown");
    const struct settings *set = s->settings;
    int found = route_recipient_exists(s->daemon->route, q->recipient, &s->transaction_arena, &reason, &err);
    if (found > 0)
        return;
    if (found < 0) {
        log_warn("recipient lookup for " STR_FMT ": %s", STR_ARG(q->recipient), err.text);
        (void)refuse_temporarily(q, STR("smtpd_reject_unlisted_recipient"));
        return;
    }
    int64_t code = 550;
    if (str_find_str(reason, STR("local recipient")) >= 0)
        code = set->unknown_local_recipient_reject_code;
    else if (str_find_str(reason, STR("virtual alias")) >= 0)
        code = set->unknown_virtual_alias_reject_code;
    else if (str_find_str(reason, STR("virtual mailbox")) >= 0)
        code = set->unknown_virtual_mailbox_reject_code;
    else if (str_find_str(reason, STR("relay recipient")) >= 0)
        code = set->unknown_relay_recipient_reject_code;
    long table_words = str_find_str(reason, STR(" in "));
    if (!set->show_user_unknown_table_name && table_words > 0)
        reason = arena_str(&s->transaction_arena, str_slice(reason, 0, (size_t)table_words));
    else
        reason = arena_str(&s->transaction_arena, reason);
    (void)refuse_list(q, STR("smtpd_reject_unlisted_recipient"), code, "5.1.1", reason.ptr);
}

static bool is_bare_postmaster(struct str recipient)
{
    return str_is_nocase(recipient, STR("postmaster"));
}

void smtpd_restrict_recipient(struct smtpd_session *s, struct str recipient, struct smtpd_verdict *v_r)
{
    const struct settings *set = s->settings;
    struct question q = {.recipient = recipient, .verdict = v_r};
    const struct {
        const char *parameter;
        struct str list, name;
        bool is_delayed;
    } relay = {"smtpd_relay_restrictions", set->smtpd_relay_restrictions, recipient, false},
      rcpt = {"smtpd_recipient_restrictions", set->smtpd_recipient_restrictions, recipient, false},
      lists[] = {{"smtpd_client_restrictions", set->smtpd_client_restrictions, s->client_log, true},
                 {"smtpd_helo_restrictions", set->smtpd_helo_restrictions, s->helo, true},
                 {"smtpd_sender_restrictions", set->smtpd_sender_restrictions, s->transaction.sender, true},
                 set->smtpd_relay_before_recipient_restrictions ? relay : rcpt,
                 set->smtpd_relay_before_recipient_restrictions ? rcpt : relay};

    *v_r = (struct smtpd_verdict){.action = SMTPD_PASS};
    if (s->is_standalone || is_bare_postmaster(recipient))
        return;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (lists[i].is_delayed && !set->smtpd_delay_reject)
            continue;
        q.parameter = lists[i].parameter;
        q.name = lists[i].name;
        q.what = list_text(q.parameter);
        if (walk_list(s, &q, lists[i].list) == WALK_REJECT)
            return;
    }
    q.name = recipient;
    q.parameter = "mynetworks";
    if (!s->is_mynetworks && judge_destination(s, &q, STR("reject_unauth_destination")) == WALK_REJECT)
        return;
    q.parameter = "smtpd_reject_unlisted_recipient";
    q.what = "Recipient address rejected";
    if (set->smtpd_reject_unlisted_recipient)
        judge_unlisted(s, &q);
}
