// SPDX-License-Identifier: ISC
// conf.h: main.cf and master.cf: their grammar, $-expansion, and typed values.
//
// Trust: files are the administrator's, but malformed input must give one clear error with file and line.
// Limits: CONF_VALUE_MAX per value, CONF_EXPAND_DEPTH nested expansions.
#ifndef DROMOS_CONF_CONF_H
#define DROMOS_CONF_CONF_H

#include "lib/base/err.h"
#include "lib/base/mem.h"

#define CONF_VALUE_MAX    (256 * 1024)
#define CONF_EXPAND_DEPTH 100

struct conf; // main.cf's names and values, overrides, and defaults from conf/params.def

// Reads DIR/main.cf (absent: error), then DIR/main.cf.d/*.cf in the order of their names if that directory exists: a
// later file overrides an earlier one. `overrides` (may be NULL) are "name=value" strings of -o, ending with NULL.
// Warnings (duplicate names, malformed lines that Postfix tolerates) go to log_warn.
struct conf *conf_open(const char *dir, const char *const *overrides, struct err *err);
struct conf *conf_open_defaults(const char *dir); // as if DIR/main.cf were empty; reads no file
// An empty layer: what is overridden in it hides the values of `base`, which must live longer.
struct conf *conf_open_layer(const struct conf *base);
void conf_free(struct conf *c); // NULL is fine
const char *conf_dir(const struct conf *c);
// The directory to use: -c argument, else MAIL_CONFIG (ignored for set-gid programs unless listed), else the default.
const char *conf_default_dir(void);
// May this process use DIR? Always, unless it is set-gid and run by another user: then the default main.cf must list
// DIR in alternate_config_directories or multi_instance_directories.
bool conf_dir_is_allowed(const char *dir);

// The text as written (or the default), unexpanded. False: neither set nor known.
bool conf_raw(const struct conf *c, struct str name, struct str *value_r);
bool conf_is_set(const struct conf *c, struct str name); // in main.cf or by an override
int conf_override(struct conf *c, struct str name, struct str value);
// Expands $name ${name} $(name) ${name?text} ${name:text} ${name?{a}:{b}} ${{x} == {y} ? {a} : {b}} with all comparison
// operators (==, !=, <, <=, >=, > and <level …). Undefined names are empty. -1: nesting, size or syntax.
int conf_expand(const struct conf *c, struct str text, struct buf *out, struct err *err);
// Expanded value of a parameter; also for names that exist only by pattern, with a default that is itself expanded.
int conf_get_str(const struct conf *c, const char *name, const char *otherwise, struct buf *out, struct err *err);
int conf_get_int(const struct conf *c, const char *name, const char *otherwise, int64_t *value_r, struct err *err);
int conf_get_bool(const struct conf *c, const char *name, const char *otherwise, bool *value_r, struct err *err);
int conf_get_time(const struct conf *c, const char *name, const char *otherwise, int64_t *seconds_r, struct err *err);
// "10", "10s", "5m", "1h", "2d", "1w"; default_unit one of smhdw.
int conf_parse_time(struct str text, char default_unit, int64_t *seconds_r);

// Iteration over main.cf's own entries in file order, for postconf. *at starts as 0.
struct conf_entry {
    struct str name, value;
    unsigned line;    // 0: by override
    const char *file; // main.cf or a file of main.cf.d; NULL: by override
};
bool conf_next(const struct conf *c, size_t *at, struct conf_entry *entry_r);
bool conf_origin(const struct conf *c, struct str name, struct conf_entry *entry_r); // false: not set

// ---- The parameter table (conf/params.def)
enum param_type { PARAM_STRING, PARAM_RAW, PARAM_INT, PARAM_LONG, PARAM_BOOL, PARAM_TIME };
enum param_class { PARAM_BUILTIN, PARAM_SERVICE, PARAM_LEGACY, PARAM_REMOVED };
struct param {
    const char *name;
    enum param_type type;
    char unit; // of PARAM_TIME, else 0
    const char *default_text;
    int64_t min, max; // 0 and 0: none. Strings: lengths
    enum param_class class;
    const char *used_by; // programs, comma separated
    const char *since;
    const char *sentence;
    size_t offset; // in struct settings; SIZE_MAX for service parameters
};
extern const struct param param_table[]; // sorted by name (C locale)
extern const size_t param_count;
const struct param *param_find(struct str name);

// What separates words in main.cf and master.cf, and begins continuation lines.
bool conf_is_blank(char c);
struct str conf_trim(struct str s); // without blanks at both ends

// ---- master.cf
struct master_row {
    struct str name; // "smtp", "127.0.0.1:2525", "cleanup"
    struct str type; // inet unix unix-dgram fifo pass
    bool is_private, is_unpriv, is_chroot;
    int64_t wakeup;      // seconds, 0 never
    bool wakeup_if_used; // the `?`
    int64_t maxproc;     // 0: no limit; default_process_limit is filled in
    struct str command;  // program name
    struct str *argv;    // arguments after it, { } groups unwrapped
    size_t argc;
    unsigned line;
    struct str written[5]; // private unpriv chroot wakeup maxproc as in the file ("-" included)
};
// All rows in file order, the last of equal name/type winning; rows live in `arena`. err: file, line, what, what to do.
int master_cf_read(const struct conf *c, const char *path, struct arena *arena, struct master_row **rows_r,
                   size_t *count_r, struct err *err);

#endif
