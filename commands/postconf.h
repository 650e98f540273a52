// SPDX-License-Identifier: ISC
// postconf.h: the parts of postconf: what is known, printing, and editing.
#ifndef DROMOS_COMMANDS_POSTCONF_H
#define DROMOS_COMMANDS_POSTCONF_H

#include "lib/base/map.h"
#include "lib/conf/conf.h"

enum postconf_class { POSTCONF_BUILTIN = 1, POSTCONF_SERVICE = 2, POSTCONF_USER = 4, POSTCONF_ALL = 7 };
enum postconf_mode {
    POSTCONF_MAIN,    // main.cf parameters
    POSTCONF_MASTER,  // -M: rows
    POSTCONF_FIELDS,  // -F: columns
    POSTCONF_PARAMS,  // -P: -o overrides
    POSTCONF_TYPES,   // -m
    POSTCONF_LOCKS,   // -l
};
enum postconf_edit { POSTCONF_EDIT_NONE, POSTCONF_EDIT_SET, POSTCONF_EDIT_REMOVE, POSTCONF_EDIT_COMMENT };

struct postconf_options {
    enum postconf_mode mode;
    enum postconf_edit edit;
    unsigned classes;
    bool only_set;   // -n
    bool defaults;   // -d
    bool expands;    // -x
    bool folds;      // -f
    bool json;       // -j
    bool no_names;   // -h
    bool no_values;  // -H
    bool is_quiet;   // -q
    const char *dir; // -c
    bool has_dir;
    const char **overrides; // -o, ends with NULL
    char **names;           // what stands after the options, ends with NULL
};

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

int postconf_print_main(struct postconf *p);   // exit status
int postconf_print_master(struct postconf *p); // -M -F -P
void postconf_warn(struct postconf *p);        // unused and undefined names
// One "name = value" line by the options: blanks between words become one, long lines fold.
void postconf_print_line(const struct postconf_options *o, struct str name, struct str value);

// Edits DIR/main.cf in place of a copy renamed over it: values for -e, names for -X and -#. Comments, order, owner and mode stay.
int postconf_edit_main(const struct postconf_options *o, struct err *err);
// The new text of main.cf: pure. `edits` ends with NULL.
int postconf_edit_text(struct str text, enum postconf_edit edit, char *const *edits, struct buf *out, struct err *err);

#endif
