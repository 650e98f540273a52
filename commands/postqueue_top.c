// SPDX-License-Identifier: ISC
// postqueue_top.c: counts queued mail by destination, sender or reason, and prints the largest groups.
// Trust: names come from queue files, without control characters. Limits: GROUPS_MAX groups; what does not fit is
// counted as one.
#include <stdlib.h>

#include "commands/postqueue.h"
#include "lib/base/clock.h"

enum { GROUPS_MAX = 1000000, NAME_MAX_LENGTH = 500 };

struct group {
    struct str name;
    int64_t messages, recipients, oldest, last_message;
};

static const char *const labels[] = {[POSTQUEUE_TOP_DESTINATIONS] = "destination",
                                     [POSTQUEUE_TOP_SENDERS] = "sender",
                                     [POSTQUEUE_TOP_REASONS] = "reason"};

void postqueue_summary_init(struct postqueue_summary *s, enum postqueue_top top, struct str null_name)
{
    *s = (struct postqueue_summary){.top = top, .null_name = null_name, .groups = MAP_INIT, .arena = ARENA_INIT};
    s->groups.folds_case = true;
}

static struct group *find_group(struct postqueue_summary *s, struct str name)
{
    name = str_slice(name, 0, NAME_MAX_LENGTH);
    struct group *g = map_get(&s->groups, name);
    if (g == NULL && s->groups.count >= GROUPS_MAX) {
        name = STR("(all others)");
        g = map_get(&s->groups, name);
    }
    if (g == NULL) {
        g = ARENA_NEW(&s->arena, struct group);
        g->name = arena_str(&s->arena, name);
        g->oldest = s->arrival_s;
        map_set(&s->groups, name, g);
    }
    return g;
}

static void count_message(struct postqueue_summary *s, struct group *g)
{
    if (g->last_message == s->message_number)
        return;
    g->last_message = s->message_number;
    g->messages++;
    if (s->arrival_s < g->oldest)
        g->oldest = s->arrival_s;
}

static int take_message(void *arg, const struct queue_list_message *m)
{
    struct postqueue_summary *s = arg;
    s->message_number++;
    s->arrival_s = m->arrival_s;
    if (s->top != POSTQUEUE_TOP_SENDERS)
        return 0;
    s->sender = find_group(s, m->sender.len ? m->sender : s->null_name);
    count_message(s, s->sender);
    return 0;
}

static int take_recipient(void *arg, const struct queue_list_recipient *r)
{
    struct postqueue_summary *s = arg;
    struct group *g = s->sender;
    if (s->top == POSTQUEUE_TOP_DESTINATIONS) {
        long at = str_rfind(r->address, '@');
        g = find_group(s, at < 0 ? STR("(no domain)") : str_slice(r->address, (size_t)at + 1, r->address.len));
    } else if (s->top == POSTQUEUE_TOP_REASONS) {
        g = find_group(s, r->reason.len ? r->reason : STR("(none recorded)"));
    }
    if (g == NULL)
        return 0;
    g->recipients++;
    count_message(s, g);
    return 0;
}

struct queue_list_sink postqueue_summary_sink(struct postqueue_summary *s)
{
    return (struct queue_list_sink){s, take_message, take_recipient};
}

void postqueue_summary_release(struct postqueue_summary *s)
{
    map_release(&s->groups);
    arena_release(&s->arena);
}

// ---- Printing

static int compare(const void *a, const void *b)
{
    const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;
    if (x->messages != y->messages)
        return x->messages > y->messages ? -1 : 1;
    if (x->recipients != y->recipients)
        return x->recipients > y->recipients ? -1 : 1;
    return str_compare(x->name, y->name);
}

static void add_age(struct buf *b, int64_t seconds)
{
    static const struct {
        int64_t seconds;
        char letter;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (seconds >= 2 * units[i].seconds) {
            buf_addf(b, "%lld%c", (long long)(seconds / units[i].seconds), units[i].letter);
            return;
        }
    buf_addf(b, "%llds", (long long)(seconds > 0 ? seconds : 0));
}

static void print_group(const struct postqueue_summary *s, const struct group *g, bool is_json, struct buf *out)
{
    int64_t age = clock_wall() - g->oldest;
    struct buf text = BUF_INIT;
    if (is_json) {
        buf_add_char(out, '{');
        buf_add_json_pair(out, labels[s->top], g->name);
        buf_addf(out, ", \"messages\": %lld, \"recipients\": %lld, \"oldest_arrival_time\": %lld}\n",
                 (long long)g->messages, (long long)g->recipients, (long long)g->oldest);
        return;
    }
    add_age(&text, age);
    buf_addf(out, "%9lld %10lld %7s  " STR_FMT "\n", (long long)g->messages, (long long)g->recipients, buf_cstr(&text),
             STR_ARG(g->name));
    buf_release(&text);
}

void postqueue_summary_print(struct postqueue_summary *s, int64_t limit, bool is_json, struct buf *out)
{
    size_t count = 0;
    struct group **sorted = mem_alloc((s->groups.count + 1) * sizeof(struct group *));
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;
    while ((entry = map_next(&s->groups, &it)) != NULL)
        sorted[count++] = entry->value;
    qsort(sorted, count, sizeof sorted[0], compare);
    if (!is_json)
        buf_addf(out, "%9s %10s %7s  %s\n", "messages", "recipients", "oldest", labels[s->top]);
    for (size_t i = 0; i < count && (int64_t)i < limit; i++)
        print_group(s, sorted[i], is_json, out);
    if (!is_json && (int64_t)count > limit)
        buf_addf(out, "(%lld more)\n", (long long)((int64_t)count - limit));
    mem_free(sorted);
}
