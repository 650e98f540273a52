// SPDX-License-Identifier: ISC
// conf_private.h: what the files of lib/conf share: logical lines, and the inside of struct conf.
#ifndef DROMOS_CONF_PRIVATE_H
#define DROMOS_CONF_PRIVATE_H

#include "lib/base/map.h"
#include "lib/conf/conf.h"

#define CONF_FILE_MAX (16 * 1024 * 1024) // bytes of main.cf or master.cf

// ---- Logical lines: comments and blank lines dropped, continuation lines (leading blank) joined, CR and blanks at the
// end cut.
struct conf_lines {
    struct str text;
    size_t at;
    unsigned line;      // physical lines taken so far
    struct buf logical; // the line last returned
};
void conf_lines_init(struct conf_lines *l, struct str text); // borrows text
void conf_lines_release(struct conf_lines *l);
// *line_r borrows from l until the next call; *number_r is its first physical line. A first line of the file that
// starts with a blank is returned as it is: the caller complains.
bool conf_lines_next(struct conf_lines *l, struct str *line_r, unsigned *number_r);
// Splits "name = value": 0; -1 with err text "missing '=' after attribute name: ..." or "missing attribute name: ...".
int conf_split_assignment(struct str line, struct str *name_r, struct str *value_r, struct err *err);

// ---- main.cf
struct conf_value {
    struct str name, value; // in the arena
    unsigned line;          // 0: by override
    const char *file;       // NULL: by override
    bool is_superseded;     // set again further down
};
struct conf {
    struct arena arena;
    char *dir;
    char *path;               // of main.cf
    const char *reading;      // the file that conf_parse names in messages
    const struct conf *base;  // what is not set here is asked there; NULL: the built-in defaults
    struct map values;        // name -> struct conf_value, the latest
    struct conf_value **list; // in file order, then overrides
    size_t count, capacity;
    struct conf_runtime *runtime; // computed defaults, filled on demand
};
// Reads the assignments of `text` into c: the part of conf_open that does no I/O (tests, fuzzing).
int conf_parse(struct conf *c, struct str text, struct err *err);
struct conf *conf_new(const char *dir);

// Defaults that depend on this host or process: myhostname, mydomain, mynetworks, process_id, process_name.
bool conf_runtime_default(const struct conf *c, struct str name, struct str *value_r);
void conf_runtime_init(struct conf *c);
void conf_runtime_forget(struct conf *c); // after an override
void conf_runtime_free(struct conf *c);
// "3.6" as a number that orders levels; -1 when malformed.
int conf_parse_level(struct str text, int64_t *level_r);

// Typed values from expanded text; err text as the administrator reads it.
int conf_value_int(struct str name, struct str text, bool is_long, int64_t *value_r, struct err *err);
int conf_value_bool(struct str name, struct str text, bool *value_r, struct err *err);
int conf_value_time(struct str name, struct str text, char unit, int64_t *seconds_r, struct err *err);

#endif
