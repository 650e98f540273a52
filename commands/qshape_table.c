// SPDX-License-Identifier: ISC
// qshape_table.c: counts addresses by domain and age, and lays the table out.
// Trust: domains come from queue files, without control characters.
#include "commands/qshape.h"

#include <stdio.h>
#include <stdlib.h>

enum { NAME_MIN = 18, NAME_BYTES_MAX = 512, COLUMN_MIN = 2, LABEL_MAX = 24, BAR_MAX = 40 };

struct qshape_row {
    struct str name;
    int64_t total;
    int64_t counts[QSHAPE_BUCKETS_MAX];
    int64_t subdomains; // of a parent: how many different ones
    bool is_parent;
};

void qshape_table_init(struct qshape_table *t, unsigned buckets, int64_t first, bool is_linear)
{
    *t = (struct qshape_table){.arena = ARENA_INIT, .domains = MAP_INIT, .buckets = buckets, .width = 80};
    int64_t bound = first;
    for (unsigned i = 0; i + 1 < buckets; i++) {
        t->bounds[i] = bound;
        if (__builtin_add_overflow(bound, is_linear ? first : bound, &bound))
            bound = INT64_MAX / 2;
    }
    t->total = ARENA_NEW(&t->arena, struct qshape_row);
    t->total->name = STR("TOTAL");
}

void qshape_table_release(struct qshape_table *t)
{
    map_release(&t->domains);
    arena_release(&t->arena);
}

static struct qshape_row *find_row(struct qshape_table *t, struct str name, bool *is_new_r)
{
    struct qshape_row *row = map_get(&t->domains, name);
    *is_new_r = row == NULL;
    if (row == NULL) {
        row = ARENA_NEW(&t->arena, struct qshape_row);
        row->name = arena_str(&t->arena, name);
        map_set(&t->domains, name, row);
    }
    return row;
}

static void count(struct qshape_row *row, unsigned bucket)
{
    row->total++;
    row->counts[bucket]++;
}

// ".b.example" and so on for "a.b.example", but nothing for a top-level domain.
static void count_parents(struct qshape_table *t, struct str domain, unsigned bucket, bool is_new)
{
    long dot = str_find(domain, '.');
    while (dot >= 0) {
        struct str parent = str_slice(domain, (size_t)dot, domain.len);
        domain = str_slice(parent, 1, parent.len);
        dot = str_find(domain, '.');
        if (dot < 0)
            return;
        bool is_new_parent;
        struct qshape_row *row = find_row(t, parent, &is_new_parent);
        row->is_parent = true;
        row->subdomains += is_new;
        count(row, bucket);
    }
}

void qshape_table_count(struct qshape_table *t, struct str domain, int64_t age_seconds)
{
    unsigned bucket = 0;
    bool is_new;
    while (bucket + 1 < t->buckets && age_seconds >= t->bounds[bucket] * 60)
        bucket++;
    struct qshape_row *row = find_row(t, str_slice(domain, 0, NAME_BYTES_MAX), &is_new);
    count(row, bucket);
    count(t->total, bucket);
    if (t->shows_parents)
        count_parents(t, row->name, bucket, is_new);
}

// ---- Layout

struct layout {
    unsigned name_width, total_width;
    unsigned widths[QSHAPE_BUCKETS_MAX];
    char labels[QSHAPE_BUCKETS_MAX][LABEL_MAX];
};

static unsigned digits(int64_t number)
{
    char text[LABEL_MAX];
    return (unsigned)snprintf(text, sizeof text, "%lld", (long long)number);
}

static unsigned larger(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

static struct layout plan(const struct qshape_table *t)
{
    struct layout l = {.total_width = larger(COLUMN_MIN, digits(t->total->total))};
    unsigned used = l.total_width + 1;
    for (unsigned i = 0; i < t->buckets; i++) {
        bool is_last = i + 1 == t->buckets;
        int64_t bound = !is_last ? t->bounds[i] : i > 0 ? t->bounds[i - 1] : 0;
        snprintf(l.labels[i], LABEL_MAX, "%lld%s", (long long)bound, is_last ? "+" : "");
        l.widths[i] = larger(larger(COLUMN_MIN, (unsigned)strlen(l.labels[i])), digits(t->total->counts[i]));
        used += l.widths[i] + 1;
    }
    l.name_width = t->width > used + NAME_MIN ? t->width - used : NAME_MIN;
    return l;
}

static void print_row(const struct qshape_table *t, const struct layout *l, const struct qshape_row *row,
                      struct buf *out)
{
    struct str name = row->name;
    bool is_cut = name.len > l->name_width;
    if (is_cut)
        name = str_slice(name, name.len - (l->name_width - 1), name.len);
    buf_addf(out, "%s%*s" STR_FMT " %*lld", is_cut ? "+" : "", is_cut ? 0 : (int)(l->name_width - name.len), "",
             STR_ARG(name), (int)l->total_width, (long long)row->total);
    for (unsigned i = 0; i < t->buckets; i++)
        buf_addf(out, " %*lld", (int)l->widths[i], (long long)row->counts[i]);
    buf_add_char(out, '\n');
}

static void print_head(const struct qshape_table *t, const struct layout *l, struct buf *out)
{
    buf_addf(out, "%*s %*s", (int)l->name_width, "", (int)l->total_width, "T");
    for (unsigned i = 0; i < t->buckets; i++)
        buf_addf(out, " %*s", (int)l->widths[i], l->labels[i]);
    buf_add_char(out, '\n');
}

// All addresses by age, as bars.
static void print_bars(const struct qshape_table *t, const struct layout *l, struct buf *out)
{
    int64_t most = 1;
    for (unsigned i = 0; i < t->buckets; i++)
        most = t->total->counts[i] > most ? t->total->counts[i] : most;
    buf_add_char(out, '\n');
    for (unsigned i = 0; i < t->buckets; i++) {
        int64_t n = t->total->counts[i];
        int64_t length = (n * BAR_MAX + most - 1) / most;
        bool is_last = i + 1 == t->buckets;
        buf_addf(out, "%s %8s min |", is_last ? "  " : " <", l->labels[i]);
        for (int64_t k = 0; k < length; k++)
            buf_add_char(out, '#');
        buf_addf(out, "%s%lld\n", n > 0 ? " " : "", (long long)n);
    }
}

// ---- Order

static int compare(const void *a, const void *b)
{
    const struct qshape_row *x = *(struct qshape_row *const *)a, *y = *(struct qshape_row *const *)b;
    if (x->total != y->total)
        return x->total > y->total ? -1 : 1;
    if (x->name.len != y->name.len)
        return x->name.len < y->name.len ? -1 : 1;
    return str_compare(x->name, y->name);
}

void qshape_table_print(struct qshape_table *t, int64_t limit, struct buf *out)
{
    size_t rows = 0;
    struct qshape_row **sorted = mem_alloc((t->domains.count + 1) * sizeof(struct qshape_row *));
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;
    while ((entry = map_next(&t->domains, &it)) != NULL) {
        struct qshape_row *row = entry->value;
        if (!row->is_parent || row->subdomains >= t->subdomains_min)
            sorted[rows++] = row;
    }
    qsort(sorted, rows, sizeof sorted[0], compare);
    struct layout l = plan(t);
    print_head(t, &l, out);
    print_row(t, &l, t->total, out);
    for (size_t i = 0; i < rows && (limit == 0 || (int64_t)i < limit); i++)
        print_row(t, &l, sorted[i], out);
    if (t->draws_bars)
        print_bars(t, &l, out);
    mem_free(sorted);
}
