// SPDX-License-Identifier: ISC
// access_rbl.c: DNS lists: reject_rbl_client, reject_rhsbl_*, permit_dnswl_client, permit_rhswl_client.
// Trust: answers come from the list's name servers, texts in them from anybody. Limits: TEXT_MAX bytes of explanation.
// Suspends: DNS and table lookups.
#include "lib/access/access_expand.h"
#include "lib/access/access_impl.h"
#include "lib/mail/address.h"

#define TEXT_MAX 500

// What the list is asked about.
struct listing {
    struct str asked;  // "10.2.0.192" or a domain; len 0: there is nothing to ask
    struct str query;  // with the list's domain behind it
    struct str what;   // in replies
    const char *class; // "Client host"
};

static bool is_domain_to_ask(struct str domain)
{
    long dot = str_rfind(domain, '.');
    struct str last = str_slice(domain, (size_t)(dot + 1), domain.len);
    size_t digits = 0;
    while (digits < last.len && last.ptr[digits] >= '0' && last.ptr[digits] <= '9')
        digits++;
    return last.len > digits && domain.ptr[0] != '[' && address_domain_is_valid(domain);
}

static void ask_about_domain(struct listing *l, struct str domain, struct str what, const char *class)
{
    *l = (struct listing){.what = what, .class = class};
    if (!access_is_unknown(domain) && is_domain_to_ask(domain))
        l->asked = domain;
}

static void describe(struct access_walk *w, const struct access_rule *r, struct listing *l)
{
    const struct access_facts *f = w->facts;
    struct buf reverse = BUF_INIT;
    *l = (struct listing){.class = "Client host"};
    switch ((enum rbl_subject)r->keyword->detail) {
    case RBL_ADDRESS:
        if (f->client_addr != NULL &&
            (net_addr_family(f->client_addr) == AF_INET || net_addr_family(f->client_addr) == AF_INET6))
            dns_add_reverse(&reverse, f->client_addr);
        *l = (struct listing){
            .asked = arena_str(w->arena, buf_str(&reverse)), .what = f->client_address, .class = "Client host"};
        break;
    case RBL_CLIENT:
        ask_about_domain(l, f->client_name, f->client_name, "Client host");
        break;
    case RBL_REVERSE:
        ask_about_domain(l, f->client_reverse, f->client_reverse, "Unverified Client host");
        break;
    case RBL_HELO:
        ask_about_domain(l, f->helo, f->helo, "Helo command");
        break;
    case RBL_SENDER:
        ask_about_domain(l, address_domain(f->sender), f->sender, "Sender address");
        break;
    case RBL_RECIPIENT:
        ask_about_domain(l, address_domain(f->recipient), f->recipient, "Recipient address");
        break;
    }
    buf_release(&reverse);
    if (l->asked.len > 0)
        l->query = arena_strf(w->arena, STR_FMT "." STR_FMT, STR_ARG(l->asked), STR_ARG(r->domain));
}

void ahead_of_list(struct access_walk *w, const struct access_rule *r)
{
    struct listing l;
    describe(w, r, &l);
    access_dns_ahead(w, l.query, DNS_TYPE_A);
}

// 1 listed, 0 not, -1 the list did not answer.
static int is_listed(struct access_walk *w, const struct access_rule *r, struct listing *l) CO
{
    describe(w, r, l);
    if (l->query.len == 0 || r->domain.len == 0)
        return 0;
    const struct access_dns *answer = access_dns(w, l->query, DNS_TYPE_A);
    if (answer->status == DNS_TRY_AGAIN) {
        log_warn(STR_FMT ": RBL lookup error: Host or domain name not found. Name service error for name=" STR_FMT
                         " type=A: %s",
                 STR_ARG(l->query), STR_ARG(l->query), dns_status_text(answer->status));
        return -1;
    }
    for (size_t i = 0; i < answer->count; i++)
        if (r->filter == NULL || address_filter_matches(r->filter, answer->records[i].addr)) {
            struct buf text = BUF_INIT;
            net_addr_add_text(&text, answer->records[i].addr);
            w->table = r->domain;
            w->key = arena_strf(w->arena, STR_FMT "=%s", STR_ARG(l->query), buf_cstr(&text));
            buf_release(&text);
            return 1;
        }
    return 0;
}

// The list's explanation: its texts, joined.
static struct str find_text(struct access_walk *w, struct str query) CO
{
    const struct access_dns *answer = access_dns(w, query, DNS_TYPE_TXT);
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < answer->count && b.len < TEXT_MAX; i++) {
        if (i > 0)
            buf_add_cstr(&b, " / ");
        buf_add_printable(&b, answer->records[i].text, TEXT_MAX);
    }
    buf_truncate(&b, b.len < TEXT_MAX ? b.len : TEXT_MAX);
    struct str text = arena_str(w->arena, buf_str(&b));
    buf_release(&b);
    return text;
}

// The reply as a template: of rbl_reply_maps, else default_rbl_reply.
static struct str find_template(struct access_walk *w, const struct access_rule *r) CO
{
    struct buf value = BUF_INIT;
    struct err err = ERR_INIT;
    struct str found_text = w->access->settings->default_rbl_reply;
    int found = table_list_lookup(w->access->rbl_reply_maps, r->argument, &value, NULL, &err);
    if (found < 0)
        log_warn("rbl_reply_maps: %s: using default_rbl_reply", err.text);
    if (found > 0)
        found_text = arena_str(w->arena, buf_str(&value));
    buf_release(&value);
    return found_text;
}

static struct str fill_template(struct access_walk *w, const struct access_rule *r, const struct listing *l,
                                struct str text) CO
{
    const struct access_macro macros[] = {
        {"rbl_code", arena_strf(w->arena, "%lld", (long long)w->access->settings->maps_rbl_reject_code)},
        {"rbl_domain", r->domain},
        {"rbl_reason", text},
        {"rbl_txt", text},
        {"rbl_what", l->what},
        {"rbl_class", str_from(l->class)}};
    struct access_expansion x = {.settings = w->access->settings,
                                 .facts = w->facts,
                                 .macros = macros,
                                 .macro_count = sizeof(macros) / sizeof(macros[0])};
    struct buf out = BUF_INIT;
    struct err err = ERR_INIT;
    if (access_expand(&x, find_template(w, r), &out, &err) < 0 || x.unknown_r.len > 0)
        log_warn("reply for " STR_FMT ": %s \"" STR_FMT "\"", STR_ARG(r->domain),
                 err.text[0] != '\0' ? err.text : "unknown name", STR_ARG(x.unknown_r));
    struct str reply = arena_str(w->arena, buf_str(&out));
    buf_release(&out);
    return reply;
}

// "554 5.7.1 text", "554 text".
static enum access_word refuse_listed(struct access_walk *w, const struct access_rule *r, const struct listing *l) CO
{
    struct access_subject subject = {l->what, l->class};
    struct access_action a;
    struct str reply = fill_template(w, r, l, find_text(w, l->query));
    access_action_parse(reply, &a);
    if (a.kind != ACTION_CODE) {
        log_warn("reply for " STR_FMT " has no code 4xx or 5xx: \"" STR_FMT "\"", STR_ARG(r->domain), STR_ARG(reply));
        return access_refuse_plain(w, &subject, REPLY(450, "4.7.1"), STR("Service unavailable"));
    }
    return access_refuse_plain(w, &subject, REPLY(a.code, a.status[0] != '\0' ? a.status : "5.7.1"), a.text);
}

enum access_word judge_list(struct access_walk *w, const struct access_rule *r)
{
    struct listing l;
    return is_listed(w, r, &l) > 0 ? refuse_listed(w, r, &l) : ACCESS_NEXT;
}

// Lists of the good must not open the relay: at RCPT they count for destinations of ours only.
enum access_word judge_good_list(struct access_walk *w, const struct access_rule *r)
{
    struct err err = ERR_INIT;
    struct listing l;
    if (w->facts->recipient.ptr != NULL) {
        int ours = route_is_authorized_destination(w->access->route, w->facts->recipient, &err);
        if (ours < 0)
            return access_refuse_lookup(w, access_subject_recipient(w).name);
        if (ours == 0)
            return ACCESS_NEXT;
    }
    int listed = is_listed(w, r, &l);
    if (listed >= 0)
        return listed > 0 ? ACCESS_PERMIT : ACCESS_NEXT;
    struct access_subject subject = {l.what, "Client host"};
    return access_defer_if_reject(w, &subject, REPLY(450, "4.7.1"), "Service unavailable");
}
