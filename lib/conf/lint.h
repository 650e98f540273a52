// SPDX-License-Identifier: ISC
// lint.h: finds mistakes in main.cf, master.cf and the tables they name, before mail does.
//
// Nothing is looked up and nothing is changed: files are only examined. Findings are in the order of the files.
#ifndef DROMOS_CONF_LINT_H
#define DROMOS_CONF_LINT_H

#include "lib/conf/conf.h"

enum lint_level { LINT_NOTE, LINT_WARNING, LINT_ERROR };
struct lint_finding {
    enum lint_level level;
    const char *code; // one word for programs: "unknown-name", "bad-value", "open-relay" …
    const char *file; // NULL: a default or -o
    unsigned line;    // 0: none
    struct str text;  // what is wrong and what to do
};
struct lint {
    struct arena arena;
    const struct conf *conf;
    const char *master_path;
    const struct master_row *rows;
    size_t row_count;
    const char *const *table_types; // that this build has, ends with NULL
    struct lint_finding *findings;
    size_t count, capacity;
};
// conf, master_path, rows and table_types are filled in by the caller; what they point to must outlive *l.
void lint_run(struct lint *l);
// Only the defaults that compatibility_level keeps at what they were (notes); conf is all that it needs.
void lint_old_defaults(struct lint *l);
void lint_release(struct lint *l);
// ---- For those who find more.
struct lint_place {
    const char *file;
    unsigned line;
};
struct lint_place lint_place_of(const struct lint *l, const char *parameter); // where main.cf sets it
struct lint_kind {
    enum lint_level level;
    const char *code;
};
#define KIND(level, code) ((struct lint_kind){(level), (code)})
void lint_add(struct lint *l, struct lint_kind kind, struct lint_place place, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
size_t lint_distance(struct str a, struct str b, size_t limit); // edits between the two; limit + 1 when there are more

#endif
