// SPDX-License-Identifier: ISC
// postconf.h: the parts of postconf: what is known, printing, and editing.
#ifndef DROMOS_COMMANDS_POSTCONF_H
#define DROMOS_COMMANDS_POSTCONF_H

#include "lib/base/map.h"
#include "lib/conf/conf.h"

enum postconf_class { POSTCONF_BUILTIN = 1, POSTCONF_SERVICE = 2, POSTCONF_USER = 4, POSTCONF_ALL = 7 };
enum postconf_mode {
    POSTCONF_MAIN,      // main.cf parameters
    POSTCONF_MASTER,    // -M: rows
    POSTCONF_FIELDS,    // -F: columns
    POSTCONF_PARAMS,    // -P: -o overrides
    POSTCONF_TYPES,     // -m
    POSTCONF_LOCKS,     // -l
    POSTCONF_SERVERS,   // -a: SASL server types
    POSTCONF_CLIENTS,   // -A: SASL client types
    POSTCONF_EXPANDED,  // -b: templates, expanded
    POSTCONF_TEMPLATES, // -t: templates as written
    POSTCONF_TLS,       // -T
    POSTCONF_ORIGIN,    // --origin
    POSTCONF_LINT,      // --lint
};
enum postconf_edit { POSTCONF_EDIT_NONE, POSTCONF_EDIT_SET, POSTCONF_EDIT_REMOVE, POSTCONF_EDIT_COMMENT };

#define POSTCONF_OVERRIDES_MAX 100

struct postconf_options {
    enum postconf_mode mode;
    enum postconf_edit edit;
    unsigned classes;
    bool only_set;       // -n
    bool defaults;       // -d
    bool expands;        // -x
    bool folds;          // -f
    bool json;           // -j
    bool no_names;       // -h
    bool no_values;      // -H
    bool is_quiet;       // -q
    bool all_parameters; // -PP: also those that a row does not set
    const char *dir;     // -c
    bool has_dir;
    const char *tls_mode;                              // -T
    const char *overrides[POSTCONF_OVERRIDES_MAX + 1]; // -o, ends with NULL
    char **names;                                      // what stands after the options, ends with NULL
};
// Fills *o or dies with one line that says which options do not go together.
void postconf_parse(struct postconf_options *o, int argc, char **argv);

// ---- Rows of master.cf as text (postconf_row.c)
enum { POSTCONF_COLUMNS = 8 };
extern const char *const postconf_column_names[POSTCONF_COLUMNS];
int postconf_find_column(struct str name); // -1: no such
struct postconf_option {
    struct str word;        // as it stands
    bool is_override;       // -o
    struct str name, value; // of -o
};
bool postconf_next_option(const struct master_row *row, size_t *at,
                          struct postconf_option *option_r); // *at starts as 0
void postconf_add_column(struct buf *out, const struct master_row *row, unsigned column);
void postconf_add_row(struct buf *out, const struct master_row *row, bool folds); // no newline at the end
bool postconf_matches(struct str pattern, struct str text);                       // "*" matches all
// "service/type/third": absent or empty parts are "*". Returns how many parts there are.
unsigned postconf_split_request(struct str request, struct str part_r[3]);

// A name that postconf lists or answers for.
struct postconf_known {
    const char *name;
    const char *default_text; // NULL: none
    unsigned class;
    bool is_hidden; // known and printed when set or asked for, but not listed
};
struct postconf {
    const struct postconf_options *options;
    struct arena arena;
    struct conf *conf, *defaults;
    struct master_row *rows;
    size_t row_count;
    struct map known;      // name -> struct postconf_known
    struct map main_names; // names that main.cf values refer to
    struct map master_names;
    struct map master_set; // names set by -o in master.cf
};
// Reads master.cf (a missing one is a warning) and finds out which names mean something.
void postconf_learn(struct postconf *p);
void postconf_release(struct postconf *p);

int postconf_print_main(struct postconf *p);                     // exit status
int postconf_print_master(struct postconf *p);                   // -M -F -P
int postconf_print_origin(struct postconf *p);                   // --origin: where each value comes from
void postconf_warn(struct postconf *p);                          // unused and undefined names
bool postconf_print_fixed(const struct postconf_options *o);     // -a -A -l -m -T: false when the mode is another
void postconf_print_templates(const struct postconf_options *o); // -b -t
// One "name = value" line by the options: blanks between words become one, long lines fold.
void postconf_print_line(const struct postconf_options *o, struct str name, struct str value);

// Edits DIR/main.cf or, with -M -F -P, DIR/master.cf: a changed copy is renamed over it. Comments, order, owner and
// mode stay.
int postconf_edit(const struct postconf_options *o, struct err *err);
// The new text of main.cf: pure. `edits` ends with NULL: values for -e, names for -X and -#.
int postconf_edit_text(struct str text, enum postconf_edit edit, char *const *edits, struct buf *out, struct err *err);
// The new text of master.cf by o->mode, o->edit and o->names.
int postconf_edit_master_text(struct str text, const struct postconf_options *o, struct buf *out, struct err *err);

#endif
