// SPDX-License-Identifier: ISC
// cleanup_map.c: envelope addresses: standard form, canonical mapping, blind copies, virtual alias expansion,
// duplicates. Suspends: in tables. Limits: virtual_alias_expansion_limit, _recursion_limit, _address_length_limit,
// duplicate_filter_limit.
#include "cleanup/cleanup.h"
#include "lib/agent/bounce_client.h"
#include "lib/mail/address.h"

enum { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2 };

// ---- Canonical mapping

static bool has_class(struct str classes, const char *class_name)
{
    struct str rest = classes, word;
    while (str_token(&rest, ", \t\r\n", &word))
        if (str_is_nocase(word, str_from(class_name)))
            return true;
    return false;
}

static void refuse_lookup(struct cleanup_message *m, const char *map, struct str address, const struct err *err)
{
    cleanup_warn(m, "%s map lookup problem for " STR_FMT " -- message not accepted, try again later (%s)", map,
                 STR_ARG(address), err->text);
    cleanup_refuse(m, 451, "4.3.0", "Error: queue file write error");
}

static struct str map_once(struct cleanup_message *m, struct table_list *maps, const char *map_name,
                           struct str address) CO
{
    struct err err = ERR_INIT;
    struct str mapped = address;
    if (address.len == 0 || !cleanup_is_good(m) || table_list_is_empty(maps))
        return address;
    if (route_canonical(m->daemon->route, maps, address, &m->arena, &mapped, &err) < 0) {
        refuse_lookup(m, map_name, address, &err);
        return address;
    }
    return mapped;
}

// Canonical maps, then masquerading. Class of the address ("header_sender" …) against each map's list of classes; the
// specific map comes first.
static struct str map_canonical(struct cleanup_message *m, struct str address, const char *class_name,
                                bool is_recipient) CO
{
    const struct settings *s = m->daemon->settings;
    if (is_recipient && has_class(s->recipient_canonical_classes, class_name))
        address = map_once(m, m->daemon->recipient_canonical, "recipient_canonical_maps", address);
    if (!is_recipient && has_class(s->sender_canonical_classes, class_name))
        address = map_once(m, m->daemon->sender_canonical, "sender_canonical_maps", address);
    if (has_class(s->canonical_classes, class_name))
        address = map_once(m, m->daemon->canonical, "canonical_maps", address);
    if (m->daemon->settings->masquerade_domains.len > 0 &&
        has_class(m->daemon->settings->masquerade_classes, class_name))
        address = cleanup_masquerade(m, address);
    return address;
}

static struct str standard_form(struct cleanup_message *m, bool is_local, struct str address) CO
{
    struct err err = ERR_INIT;
    struct str rewritten = address;
    if (address.len == 0)
        return address;
    if (route_rewrite(m->daemon->route, is_local, address, &m->arena, &rewritten, &err) < 0) {
        refuse_lookup(m, "address rewriting", address, &err);
        return address;
    }
    return rewritten;
}

struct str cleanup_map_sender(struct cleanup_message *m, struct str sender)
{
    sender = standard_form(m, true, sender);
    return m->flags & SUBMIT_MAP ? map_canonical(m, sender, "envelope_sender", false) : sender;
}

struct str cleanup_map_header_address(struct cleanup_message *m, struct str address, bool is_recipient)
{
    address = standard_form(m, m->is_local, address);
    if (m->flags & SUBMIT_MAP)
        address = map_canonical(m, address, is_recipient ? "header_recipient" : "header_sender", is_recipient);
    return address;
}

// ---- Lists

void cleanup_remember(struct cleanup_message *m, struct cleanup_recipients *list, const struct submit_recipient *r)
{
    if (list->count == list->room) {
        list->room = list->room ? list->room * 2 : 8;
        struct submit_recipient *items = ARENA_ARRAY(&m->arena, struct submit_recipient, list->room);
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
    }
    list->items[list->count++] = *r;
}

void cleanup_add_bcc(struct cleanup_message *m, struct str addresses)
{
    struct address_list list;
    struct err err = ERR_INIT;
    if (address_list_parse(addresses, &m->arena, &list, &err) < 0) {
        cleanup_warn(m, "bad BCC address \"" STR_FMT "\": %s", STR_ARG(addresses), err.text);
        return;
    }
    for (size_t i = 0; i < list.count; i++) {
        struct submit_recipient r = {.address = list.items[i], .dsn_orcpt = STR(""), .notify = NOTIFY_NEVER};
        cleanup_remember(m, &m->bcc, &r);
    }
}

static void find_bcc_in(struct cleanup_message *m, struct table_list *maps, const char *map_name, struct str address) CO
{
    struct buf value = BUF_INIT;
    struct err err = ERR_INIT;
    if (table_list_is_empty(maps) || address.len == 0)
        return;
    int found = route_lookup_address(m->daemon->route, maps, address, &value, NULL, &err);
    if (found < 0)
        refuse_lookup(m, map_name, address, &err);
    if (found > 0)
        cleanup_add_bcc(m, arena_str(&m->arena, buf_str(&value)));
    buf_release(&value);
}

void cleanup_find_bcc(struct cleanup_message *m)
{
    if ((m->flags & SUBMIT_MAP) == 0 || (m->flags & SUBMIT_BOUNCE) != 0 || cleanup_is_probe(m))
        return;
    if (m->daemon->settings->always_bcc.len > 0)
        cleanup_add_bcc(m, m->daemon->settings->always_bcc);
    find_bcc_in(m, m->daemon->sender_bcc, "sender_bcc_maps", m->sender);
}

// ---- Writing a recipient

// Not the first with these properties: true, and nothing is written.
static bool is_duplicate(struct cleanup_message *m, const struct submit_recipient *r, struct str original)
{
    int64_t limit = m->daemon->settings->duplicate_filter_limit;
    struct arena_mark mark = arena_mark(&m->arena);
    struct str key = arena_strf(&m->arena, "%d\n" STR_FMT "\n" STR_FMT "\n" STR_FMT, r->notify, STR_ARG(r->dsn_orcpt),
                                STR_ARG(original), STR_ARG(r->address));
    bool is_known = map_get(&m->seen_recipients, key) != NULL;
    if (!is_known && (limit <= 0 || m->seen_recipients.count < (size_t)limit))
        map_set(&m->seen_recipients, key, m);
    arena_reset_to(&m->arena, mark);
    return is_known;
}

// RFC 3461 4.2: what the sender asked for, else the address as it came.
static struct str original_recipient(struct cleanup_message *m, const struct submit_recipient *r, struct str original)
{
    if (r->dsn_orcpt.len > 0 || original.len == 0)
        return r->dsn_orcpt;
    return arena_strf(&m->arena, "%s;" STR_FMT, str_is_ascii(original) ? "rfc822" : "utf-8", STR_ARG(original));
}

static void write_recipient(struct cleanup_message *m, const struct submit_recipient *r, struct str original)
{
    struct str dsn_orcpt = original_recipient(m, r, original);
    if (!m->daemon->settings->enable_original_recipient)
        original = STR("");
    if (!cleanup_is_good(m) || is_duplicate(m, r, original))
        return;
    int bad = 0;
    if (r->notify != 0)
        queue_record_addf(&m->out, REC_ATTR, "notify_flags=%d", r->notify);
    if (dsn_orcpt.len > 0)
        bad |= queue_record_add_attr(&m->out, "dsn_orig_rcpt", dsn_orcpt);
    if (original.len > 0)
        bad |= queue_record_add_text(&m->out, REC_ORCPT, original);
    if (m->recipients == NULL)
        m->recipients = ARENA_ARRAY(&m->arena, struct delivery_recipient, ARRIVAL_RECIPIENTS_MAX);
    if (m->recipient_count < ARRIVAL_RECIPIENTS_MAX)
        m->recipients[m->recipient_count] = (struct delivery_recipient){.address = r->address,
                                                                        .original = original,
                                                                        .dsn_orcpt = dsn_orcpt,
                                                                        .notify = r->notify,
                                                                        .offset = cleanup_offset(m)};
    bad |= queue_record_add_text(&m->out, REC_RCPT, r->address);
    m->recipient_count++;
    cleanup_flush(m, 256 * 1024);
    if (bad)
        cleanup_refuse(m, 550, "5.1.3", "Error: control character in a recipient address");
}

// ---- Virtual aliases

struct expansion {
    struct str address;
    int64_t depth;
    bool is_final;    // the address expanded to itself
    bool is_replaced; // by items behind it
};

struct expanding {
    struct cleanup_message *m;
    struct str original;     // the address that is expanded
    struct expansion *items; // results and what is still to be looked up, in order
    size_t count, room;
    size_t open; // items that no lookup has replaced
};

static void expansion_add(struct expanding *x, struct str address, int64_t depth, bool is_final)
{
    if (x->count == x->room) {
        x->room = x->room ? x->room * 2 : 8;
        x->items = mem_realloc(x->items, x->room * sizeof *x->items);
    }
    x->items[x->count++] = (struct expansion){.address = address, .depth = depth, .is_final = is_final};
    x->open++;
}

static void refuse_expansion(struct expanding *x, const char *what)
{
    cleanup_warn(x->m,
                 "unreasonable virtual_alias_maps map %s for " STR_FMT " -- message not accepted, try again later",
                 what, STR_ARG(x->original));
    cleanup_refuse(x->m, 451, "4.6.0", "Alias expansion error");
}

// Adds the addresses that `from` was found to stand for.
static void add_results(struct expanding *x, struct expansion from, struct str value, struct str extension) CO
{
    struct cleanup_message *m = x->m;
    const struct settings *s = m->daemon->settings;
    struct address_list list = {NULL, 0};
    struct err err = ERR_INIT;
    struct str one[1] = {str_trim(value)};
    if (!route_propagates_extension(m->daemon->route, "virtual"))
        extension = STR_NULL;
    if (str_starts(one[0], STR("@")))
        list = (struct address_list){one, 1};
    else if (address_list_parse(value, &m->arena, &list, &err) < 0)
        refuse_lookup(m, "virtual_alias_maps", from.address, &err);
    for (size_t i = 0; i < list.count && cleanup_is_good(m); i++) {
        struct str mapped = route_mapped_address(m->daemon->route, from.address, list.items[i], extension, &m->arena);
        if (x->open >= (size_t)s->virtual_alias_expansion_limit)
            refuse_expansion(x, "expansion size");
        else if (s->virtual_alias_address_length_limit > 0 &&
                 mapped.len > (size_t)s->virtual_alias_address_length_limit)
            refuse_expansion(x, "result length");
        else
            expansion_add(x, mapped, from.depth + 1, str_is_nocase(mapped, from.address));
    }
}

// Looks item `at` up. False: it stands as it is.
static bool expand_one(struct expanding *x, size_t at) CO
{
    struct expansion item = x->items[at];
    struct buf value = BUF_INIT;
    struct str extension = STR_NULL;
    struct err err = ERR_INIT;
    if (item.is_final)
        return false;
    if (item.depth >= x->m->daemon->settings->virtual_alias_recursion_limit) {
        refuse_expansion(x, "nesting");
        return false;
    }
    int found =
        route_lookup_address(x->m->daemon->route, x->m->daemon->virtual_alias, item.address, &value, &extension, &err);
    if (found < 0)
        refuse_lookup(x->m, "virtual_alias_maps", item.address, &err);
    if (found > 0) {
        x->open--;
        add_results(x, item, buf_str(&value), extension);
    }
    buf_release(&value);
    return found > 0;
}

// Its delivery ends here: who asked for a report of success gets it now, and none from the addresses behind the alias
// (RFC 3461 5.2.7.3). Where it cannot be recorded, those report instead.
static void report_expansion(struct cleanup_message *m, struct submit_recipient *r, struct str original) CO
{
    struct err err = ERR_INIT;
    struct delivery_recipient expanded = {.address = r->address, .original = original, .notify = r->notify};
    struct delivery_report report = {.status = DELIVERY_SENT,
                                     .dsn = STR("2.0.0"),
                                     .text = STR("alias expanded"),
                                     .relay = STR("none"),
                                     .diag_text = STR(""),
                                     .mta_name = STR(""),
                                     .action = "expanded"};
    if ((r->notify & NOTIFY_SUCCESS) == 0 || !cleanup_is_good(m))
        return;
    expanded.dsn_orcpt = original_recipient(m, r, original);
    m->has_trace = true;
    if (bounce_client_append("trace", buf_str(&m->id), &expanded, &report, &err) < 0) {
        cleanup_warn(m, "trace service failure: %s", err.text);
        return;
    }
    r->notify &= ~NOTIFY_SUCCESS;
    if (r->notify == 0)
        r->notify = NOTIFY_NEVER;
}

static bool stands_for_itself(const struct expanding *x)
{
    return x->count == 1 || (x->count == 2 && x->items[1].is_final);
}

static void expand(struct cleanup_message *m, struct submit_recipient r, struct str original) CO
{
    struct expanding x = {.m = m, .original = r.address};
    expansion_add(&x, r.address, 0, false);
    for (size_t i = 0; i < x.count && cleanup_is_good(m); i++)
        x.items[i].is_replaced = expand_one(&x, i);
    if (!stands_for_itself(&x))
        report_expansion(m, &r, original);
    for (size_t i = 0; i < x.count && cleanup_is_good(m); i++) {
        r.address = x.items[i].address;
        if (!x.items[i].is_replaced)
            write_recipient(m, &r, original);
    }
    mem_free(x.items);
}

// ---- The way of a recipient

void cleanup_add_recipient(struct cleanup_message *m, const struct submit_recipient *given)
{
    struct submit_recipient r = *given;
    if (!cleanup_is_good(m))
        return;
    if (r.address.len == 0)
        r.address = m->daemon->settings->empty_address_recipient;
    if (!address_is_sane(r.address)) {
        cleanup_refuse(m, 550, "5.1.3", "Error: bad recipient address syntax");
        return;
    }
    r.address = standard_form(m, true, r.address);
    struct str original = r.address;
    if (m->flags & SUBMIT_MAP) {
        r.address = map_canonical(m, r.address, "envelope_recipient", true);
        if (!m->adds_bcc && !cleanup_is_probe(m))
            find_bcc_in(m, m->daemon->recipient_bcc, "recipient_bcc_maps", r.address);
    }
    m->notify_seen |= r.notify;
    if ((m->flags & SUBMIT_MAP) && !table_list_is_empty(m->daemon->virtual_alias))
        expand(m, r, original);
    else
        write_recipient(m, &r, original);
}

void cleanup_add_collected(struct cleanup_message *m)
{
    const struct cleanup_recipients *headers = &m->from_headers[m->headers_seen & SEEN_RESENT ? 1 : 0];
    int notify_seen;
    if (m->flags & SUBMIT_EXTRACT)
        for (size_t i = 0; i < headers->count; i++)
            cleanup_add_recipient(m, &headers->items[i]);
    notify_seen = m->notify_seen;
    struct cleanup_recipients bcc = m->bcc;
    m->adds_bcc = true;
    for (size_t i = 0; i < bcc.count; i++)
        cleanup_add_recipient(m, &bcc.items[i]);
    m->notify_seen = notify_seen;
}
