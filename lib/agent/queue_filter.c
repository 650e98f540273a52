// SPDX-License-Identifier: ISC
// queue_filter.c: criteria, and the sink that lets matching messages through.
// Limits: of a message whose match is not known yet HELD_MAX recipients are kept.
#include "lib/agent/queue_filter.h"

#include "lib/base/clock.h"

enum kind { BY_FROM, BY_TO, BY_TO_DOMAIN, BY_AGE, BY_SIZE, BY_STATUS, BY_REASON, BY_QUEUE, KIND_COUNT };
enum comparison { AT_LEAST, MORE_THAN, AT_MOST, LESS_THAN };
enum { HELD_MAX = 2 * LIST_RECIPIENTS_MAX };

static const char *const kind_names[KIND_COUNT] = {
    [BY_FROM] = "from", [BY_TO] = "to",         [BY_TO_DOMAIN] = "to-domain", [BY_AGE] = "age",
    [BY_SIZE] = "size", [BY_STATUS] = "status", [BY_REASON] = "reason",       [BY_QUEUE] = "queue",
};

struct queue_criterion {
    struct queue_criterion *next;
    enum kind kind;
    struct str pattern;
    enum comparison comparison;
    int64_t number; // seconds or bytes
};

struct queue_held {
    struct queue_held *next;
    struct queue_list_recipient recipient;
};

// ---- Patterns

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

// * and ? over the whole text. Only the last * is ever tried again, so the cost is bounded.
static bool glob_is_match(struct str pattern, struct str text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, star_text = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = p++;
            star_text = t;
        } else if (p < pattern.len && (pattern.ptr[p] == '?' || lower(pattern.ptr[p]) == lower(text.ptr[t]))) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

static struct str domain_of(struct str address)
{
    long at = str_rfind(address, '@');
    return at < 0 ? STR("") : str_slice(address, (size_t)at + 1, address.len);
}

static bool address_is_match(struct str pattern, struct str address)
{
    if (str_is(pattern, STR("<>")))
        return address.len == 0;
    if (pattern.len > 0 && pattern.ptr[0] == '@')
        return glob_is_match(str_slice(pattern, 1, pattern.len), domain_of(address)) && address.len > 0;
    return glob_is_match(pattern, address);
}

static bool contains(struct str text, struct str part)
{
    for (size_t i = 0; i + part.len <= text.len; i++)
        if (str_is_nocase(str_slice(text, i, i + part.len), part))
            return true;
    return false;
}

static bool reason_is_match(struct str pattern, struct str reason)
{
    bool is_glob = str_find(pattern, '*') >= 0 || str_find(pattern, '?') >= 0;
    return is_glob ? glob_is_match(pattern, reason) : contains(reason, pattern);
}

static bool list_has(struct str list, struct str word)
{
    struct str item;
    while (str_token(&list, ", \t", &item))
        if (str_is(item, word))
            return true;
    return false;
}

static bool number_is_match(const struct queue_criterion *c, int64_t number)
{
    switch (c->comparison) {
    case MORE_THAN:
        return number > c->number;
    case AT_MOST:
        return number <= c->number;
    case LESS_THAN:
        return number < c->number;
    default:
        return number >= c->number;
    }
}

// ---- Reading criteria

static enum comparison take_comparison(struct str *text)
{
    static const struct {
        struct str sign;
        enum comparison comparison;
    } signs[] = {{STR(">="), AT_LEAST}, {STR("<="), AT_MOST}, {STR(">"), MORE_THAN}, {STR("<"), LESS_THAN}};
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
        if (str_starts(*text, signs[i].sign)) {
            *text = str_trim(str_slice(*text, signs[i].sign.len, text->len));
            return signs[i].comparison;
        }
    return AT_LEAST;
}

static int64_t unit_of(enum kind kind, char letter)
{
    static const struct {
        enum kind kind;
        char letter;
        int64_t factor;
    } units[] = {{BY_AGE, 's', 1},      {BY_AGE, 'm', 60},       {BY_AGE, 'h', 3600},     {BY_AGE, 'd', 86400},
                 {BY_AGE, 'w', 604800}, {BY_SIZE, 'k', 1 << 10}, {BY_SIZE, 'm', 1 << 20}, {BY_SIZE, 'g', 1 << 30}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (units[i].kind == kind && units[i].letter == lower(letter))
            return units[i].factor;
    return 0;
}

static int read_number(struct queue_criterion *c, struct str text)
{
    int64_t factor = 1;
    c->comparison = take_comparison(&text);
    if (text.len > 0 && (text.ptr[text.len - 1] < '0' || text.ptr[text.len - 1] > '9')) {
        factor = unit_of(c->kind, text.ptr[text.len - 1]);
        text = str_slice(text, 0, text.len - 1);
    }
    if (factor == 0 || text.len == 0 || text.ptr[0] < '0' || text.ptr[0] > '9' || str_to_i64(text, &c->number) < 0)
        return -1;
    return __builtin_mul_overflow(c->number, factor, &c->number) ? -1 : 0;
}

static int read_value(struct queue_criterion *c, struct str value)
{
    struct str queues = STR(QUEUE_MAILDROP " " QUEUE_INCOMING " " QUEUE_ACTIVE " " QUEUE_DEFERRED " " QUEUE_HOLD);
    struct str rest = c->pattern = value, name;
    if (value.len == 0)
        return -1;
    if (c->kind == BY_AGE || c->kind == BY_SIZE)
        return read_number(c, str_trim(value));
    while (c->kind == BY_QUEUE && str_token(&rest, ", \t", &name))
        if (!list_has(queues, name))
            return -1;
    return 0;
}

static int find_kind(const char *name)
{
    for (int i = 0; i < KIND_COUNT; i++)
        if (strcmp(kind_names[i], name) == 0)
            return i;
    return -1;
}

int queue_filter_add(struct queue_filter *f, const char *name, const char *value, struct err *err)
{
    int kind = find_kind(name);
    if (kind < 0)
        return err_set(err, ERR_PERMANENT, "no such criterion: %s", name);
    struct queue_criterion *c = ARENA_NEW(&f->arena, struct queue_criterion);
    c->kind = (enum kind)kind;
    if (read_value(c, arena_str(&f->arena, str_from(value))) < 0)
        return err_set(err, ERR_PERMANENT, "bad value for --%s: \"%.100s\"", name, value);
    c->next = f->first;
    f->first = c;
    if (f->now == 0)
        f->now = clock_wall();
    return 0;
}

void queue_filter_release(struct queue_filter *f)
{
    arena_release(&f->arena);
    *f = QUEUE_FILTER_INIT;
}

// ---- Matching

static bool is_about_recipient(enum kind kind)
{
    return kind == BY_TO || kind == BY_TO_DOMAIN || kind == BY_STATUS || kind == BY_REASON;
}

static bool message_is_match(const struct queue_filter *f, const struct queue_criterion *c,
                             const struct queue_list_message *m)
{
    switch (c->kind) {
    case BY_FROM:
        return address_is_match(c->pattern, m->sender);
    case BY_AGE:
        return number_is_match(c, f->now - m->arrival_s);
    case BY_SIZE:
        return number_is_match(c, m->size);
    default:
        return list_has(c->pattern, m->queue);
    }
}

static bool recipient_is_match(const struct queue_criterion *c, const struct queue_list_recipient *r)
{
    switch (c->kind) {
    case BY_TO:
        return address_is_match(c->pattern, r->address) ||
               (r->original.len > 0 && address_is_match(c->pattern, r->original));
    case BY_TO_DOMAIN:
        return glob_is_match(c->pattern, domain_of(r->address));
    case BY_STATUS:
        return glob_is_match(c->pattern, r->status);
    default:
        return reason_is_match(c->pattern, r->reason);
    }
}

// Each kind that was asked for (of the message's, or of the recipient's) has a criterion that holds.
static bool all_kinds_match(const struct queue_filter *f, const struct queue_list_message *m,
                            const struct queue_list_recipient *r)
{
    unsigned asked = 0, held = 0;
    for (const struct queue_criterion *c = f->first; c != NULL; c = c->next) {
        unsigned bit = 1U << c->kind;
        if (is_about_recipient(c->kind) != (r != NULL))
            continue;
        asked |= bit;
        if ((held & bit) == 0 && (r != NULL ? recipient_is_match(c, r) : message_is_match(f, c, m)))
            held |= bit;
    }
    return asked == held;
}

static bool asks_for_recipients(const struct queue_filter *f)
{
    for (const struct queue_criterion *c = f->first; c != NULL; c = c->next)
        if (is_about_recipient(c->kind))
            return true;
    return false;
}

bool queue_filter_may_match_queue(const struct queue_filter *f, struct str queue)
{
    bool is_asked = false;
    for (const struct queue_criterion *c = f->first; c != NULL; c = c->next) {
        if (c->kind == BY_QUEUE && list_has(c->pattern, queue))
            return true;
        is_asked = is_asked || c->kind == BY_QUEUE;
    }
    return !is_asked;
}

// ---- The sink

static struct queue_list_message copy_message(struct arena *a, const struct queue_list_message *m)
{
    struct queue_list_message copy = *m;
    copy.queue = arena_str(a, m->queue);
    copy.id = arena_str(a, m->id);
    copy.sender = arena_str(a, m->sender);
    return copy;
}

static void hold_recipient(struct queue_filter_pass *p, const struct queue_list_recipient *r)
{
    if (p->held_count == HELD_MAX)
        return;
    struct queue_held *held = ARENA_NEW(&p->arena, struct queue_held);
    held->recipient = (struct queue_list_recipient){
        .original = arena_str(&p->arena, r->original),
        .address = arena_str(&p->arena, r->address),
        .reason = arena_str(&p->arena, r->reason),
        .reason_kind = arena_str(&p->arena, r->reason_kind),
        .status = arena_str(&p->arena, r->status),
    };
    if (p->last_held != NULL)
        p->last_held->next = held;
    else
        p->held = held;
    p->last_held = held;
    p->held_count++;
}

static int pass_held(struct queue_filter_pass *p)
{
    int rc = p->next.message(p->next.arg, &p->message);
    for (struct queue_held *h = p->held; rc == 0 && h != NULL; h = h->next)
        rc = p->next.recipient(p->next.arg, &h->recipient);
    p->state = QUEUE_FILTER_PASSES;
    return rc;
}

static int take_message(void *arg, const struct queue_list_message *m)
{
    struct queue_filter_pass *p = arg;
    arena_reset(&p->arena);
    p->held = p->last_held = NULL;
    p->held_count = 0;
    p->state = QUEUE_FILTER_DROPS;
    if (!all_kinds_match(p->filter, m, NULL))
        return 0;
    if (!asks_for_recipients(p->filter)) {
        p->state = QUEUE_FILTER_PASSES;
        return p->next.message(p->next.arg, m);
    }
    p->state = QUEUE_FILTER_HOLDS;
    p->message = copy_message(&p->arena, m);
    return 0;
}

static int take_recipient(void *arg, const struct queue_list_recipient *r)
{
    struct queue_filter_pass *p = arg;
    if (p->state == QUEUE_FILTER_DROPS)
        return 0;
    if (p->state == QUEUE_FILTER_HOLDS) {
        hold_recipient(p, r);
        return all_kinds_match(p->filter, NULL, r) ? pass_held(p) : 0;
    }
    return p->next.recipient(p->next.arg, r);
}

void queue_filter_pass_init(struct queue_filter_pass *p, const struct queue_filter *filter, struct queue_list_sink next)
{
    *p = (struct queue_filter_pass){.filter = filter, .next = next, .arena = ARENA_INIT};
}

struct queue_list_sink queue_filter_pass_sink(struct queue_filter_pass *p)
{
    return (struct queue_list_sink){p, take_message, take_recipient};
}

void queue_filter_pass_release(struct queue_filter_pass *p)
{
    arena_release(&p->arena);
}
