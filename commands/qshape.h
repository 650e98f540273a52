// SPDX-License-Identifier: ISC
// qshape.h: the table of qshape: domains by count, their addresses by age.
#ifndef DROMOS_COMMANDS_QSHAPE_H
#define DROMOS_COMMANDS_QSHAPE_H

#include "lib/base/map.h"
#include "lib/base/mem.h"

#define QSHAPE_BUCKETS_MAX 64

struct qshape_table {
    struct arena arena;
    struct map domains; // struct qshape_row by name
    struct qshape_row *total;
    unsigned buckets;                   // columns: each but the last ends at bounds[i]
    int64_t bounds[QSHAPE_BUCKETS_MAX]; // minutes
    unsigned width;                     // of a line
    bool shows_parents;                 // also ".example.com": the sum of its subdomains
    int64_t subdomains_min;             // ... when it has so many
    bool draws_bars;
};

// The first column ends at `first` minutes; the others are as wide (linear), or each ends at twice the age of the one
// before.
void qshape_table_init(struct qshape_table *t, unsigned buckets, int64_t first, bool is_linear);
void qshape_table_count(struct qshape_table *t, struct str domain, int64_t age_seconds);
// At most `limit` domains (0: all), the largest first.
void qshape_table_print(struct qshape_table *t, int64_t limit, struct buf *out);
void qshape_table_release(struct qshape_table *t);

#endif
