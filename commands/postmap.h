// SPDX-License-Identifier: ISC
// postmap.h: what postmap and postalias share: options, building, querying. The two differ in the grammar of the
// source.
#ifndef DROMOS_COMMANDS_POSTMAP_H
#define DROMOS_COMMANDS_POSTMAP_H

#include "lib/conf/settings.h"
#include "lib/table/table.h"

struct postmap {
    const char *program;
    bool is_alias; // postalias
    const struct settings *settings;
    const char *config_dir; // NULL: the default
    const char *query;      // -q, "-" for standard input
    const char *delete;     // -d
    bool incremental;       // -i
    bool replaces;          // -r
    bool lists;             // -s
    bool silent_duplicates; // -w
    bool keeps_root;        // -o
    bool default_mode;      // -p
    bool as_json;           // -j
    unsigned flags;         // of the table: case, NUL
    char **tables;          // "type:name" or "name"; ends with NULL
};

void postmap_options(struct postmap *p, int argc, char **argv);               // dies with the usage text
struct buf postmap_table_name(const struct postmap *p, const char *argument); // with the default type
int postmap_main(struct postmap *p, int argc, char **argv);

// Each returns the exit status, or dies.
int postmap_query(const struct postmap *p) CO;
int postmap_list(const struct postmap *p);
int postmap_delete(const struct postmap *p);
int postmap_build(const struct postmap *p, const char *table);
// The next line of standard input without its line end. False at the end.
bool postmap_next_line(struct buf *line);

#endif
