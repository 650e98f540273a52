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
    bool from_headers;      // -h: keys are the headers of a message on standard input
    bool from_body;         // -b: and its body lines
    bool follows_mime;      // -m
    bool file_values;       // -F: values are names of files, stored as their contents in base64
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
// -F: the contents of the files that `names` lists, in base64, and back. 0 or -1.
int postmap_encode_files(struct str names, struct buf *out, struct err *err);
int postmap_decode(struct str text, struct buf *out, struct err *err);
// The next line of standard input without its line end. False at the end.
bool postmap_next_line(struct buf *line);

#endif
