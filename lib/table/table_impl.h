// SPDX-License-Identifier: ISC
// table_impl.h: what the table types share: the registry's function table, watched files, logical lines. Private to
// lib/table.
#ifndef DROMOS_TABLE_TABLE_IMPL_H
#define DROMOS_TABLE_TABLE_IMPL_H

#include <sys/stat.h>

#include "lib/base/map.h"
#include "lib/table/table.h"

// A file whose change is noticed. The directory is kept open, so that the stat works after chroot.
struct table_watch {
    int dirfd;   // O_PATH of the directory, or -1
    char *path;  // as given
    char *base;  // last part of the path
    bool exists; // the rest describes the file when it was last taken up
    dev_t dev;
    ino_t ino;
    int64_t mtime_ns;
    off_t size;
    uid_t uid;
};
void table_watch_init(struct table_watch *w, const char *path);
void table_watch_release(struct table_watch *w);
void table_watch_take(struct table_watch *w);              // remembers the file as it is now
bool table_watch_has_changed(const struct table_watch *w); // one fstatat
int table_watch_open(const struct table_watch *w);         // read-only descriptor of the file; -1 errno

#define TABLE_WATCHES 3

struct table {
    const struct table_type *type;
    char *name; // "lmdb:/etc/postfix/x"
    char *body; // "/etc/postfix/x": points into name
    unsigned flags;
    void *data; // of the type; NULL when not usable
    struct err why;
    bool was_reported;
    bool is_failing; // the last query failed, and that was logged
    bool change_was_noted;
    struct table_watch watches[TABLE_WATCHES];
    unsigned watch_count;
    int64_t next_check; // clock_ms
};

// One kind of table. Functions get keys that are folded already.
struct table_type {
    const char *name;
    bool takes_partial_keys;
    bool is_file;                                    // body is a path: `watches` say when to open again
    void *(*open)(struct table *t, struct err *err); // NULL: failed; file types take their watches here
    // 1, 0, -1; the value is appended to the empty *value_r. May suspend: entered from a coroutine then.
    int (*lookup)(struct table *t, struct str key, struct buf *value_r, struct err *err);
    int (*next)(struct table *t, size_t *cursor, struct str *key_r, struct str *value_r,
                struct err *err); // may be NULL
    void (*close)(void *data);
    unsigned traits;
};
enum table_type_traits {
    TABLE_TYPE_KEEPS_CASE = 1, // queries are not folded: the type sees to case itself
    TABLE_TYPE_LONG_KEYS = 2,  // header and body lines are asked: keys up to TABLE_VALUE_MAX
    TABLE_TYPE_REPORTS = 4,    // a query that fails is logged: once, until one works again
    TABLE_TYPE_OTHERS = 8,     // others answer (a network peer): not for security-sensitive data
};
extern const struct table_type table_type_lmdb, table_type_hash, table_type_btree, table_type_texthash, table_type_cidr,
    table_type_static, table_type_inline, table_type_fail, table_type_environ, table_type_internal, table_type_unix,
    table_type_nis, table_type_unionmap, table_type_pipemap, table_type_randmap, table_type_regexp, table_type_pcre,
    table_type_tcp, table_type_socketmap, table_type_memcache, table_type_cdb, table_type_proxy, table_type_proxy_full;
void table_add_types(const struct table_type *const *more); // ends with NULL
// NULL: err says why not.
const struct table_type *table_type_choose(struct str name, bool is_proxied, unsigned flags, struct err *err);

int table_compound_owner(const struct table *t, uid_t *uid_r); // as table_owner: the least trusted of those inside
struct table_watch *table_add_watch(struct table *t, const char *path); // taken as it is now
void table_note_change(const char *name);                               // this process must start anew to see it
// Files of match lists, which are never read again: table_needs_restart looks at them. Not released before the process
// ends.
void table_watch_list_file(const char *path);

// ---- Tables in memory: what texthash, inline and an index without its file become.
struct table_memory {
    struct map entries; // key -> struct table_memory_value
    struct table_memory_value **order;
    size_t count, capacity;
    struct arena arena;
};
struct table_memory_value {
    struct str key, value;
};
struct table_memory *table_memory_new(void);
void table_memory_free(struct table_memory *m);
bool table_memory_add(struct table_memory *m, struct str key, struct str value); // false: the key exists
const struct table_memory_value *table_memory_get(const struct table_memory *m, struct str key);
int table_memory_next(struct table_memory *m, size_t *cursor, struct str *key_r, struct str *value_r);
struct table_memory *table_memory_load(const struct table_watch *w, const char *path, unsigned flags, struct err *err);

// ---- LMDB files, read only.
struct lmdb_reader;
struct lmdb_reader *lmdb_reader_open(const char *path, struct err *err);
int lmdb_reader_get(struct lmdb_reader *r, struct str key, struct buf *value_r, struct err *err);
int lmdb_reader_next(struct lmdb_reader *r, size_t *cursor, struct str *key_r, struct str *value_r, struct err *err);
void lmdb_reader_close(struct lmdb_reader *r);
// ---- Constant databases, read only. A key ends in NUL behind its length.
struct cdb_reader;
#ifdef TABLE_HAS_CDB
struct cdb_reader *cdb_reader_open(const struct table_watch *w, struct err *err);
int cdb_reader_get(struct cdb_reader *r, struct str key, struct buf *value_r, struct err *err);
int cdb_reader_next(struct cdb_reader *r, size_t *cursor, struct str *key_r, struct str *value_r, struct err *err);
void cdb_reader_close(struct cdb_reader *r);
#else
#define cdb_reader_open(watch, err)                      ((struct cdb_reader *)NULL)
#define cdb_reader_get(reader, key, value_r, err)        (-1)
#define cdb_reader_next(reader, cursor, key, value, err) (-1)
#define cdb_reader_close(reader)                         ((void)(reader))
#endif
// Rebuilds PATH.lmdb from the text PATH. The caller's rights decide whether that works.
int table_rebuild_index(const char *path, unsigned flags, struct err *err);

// ---- Logical lines: physical lines joined while the next begins with a blank; comment and empty lines left out.
#define TABLE_LINE_MAX (TABLE_VALUE_MAX + TABLE_KEY_MAX)
struct table_lines;
struct table_lines *table_lines_open_fd(int fd, const char *path);                                  // takes fd
int table_lines_next(struct table_lines *l, struct str *text_r, unsigned *line_r, struct err *err); // 1, 0 end, -1
void table_lines_close(struct table_lines *l);

// Is the first entry written as aliases(5) wants it ("name: value")? An alias file that is used through hash: must not
// be read, and its index not rebuilt, by the other grammar.
bool table_text_looks_like_aliases(const struct table_watch *w);
struct table_text *table_text_open_fd(int fd, const char *path, unsigned flags); // takes fd

// As table_list_lookup, but passes by the tables that take full keys only.
int table_list_lookup_partial(struct table_list *l, struct str key, struct buf *value_r, struct err *err) CO MUST_CHECK;

// The body of `{ item, {item with blanks} }` without its braces; false when there are none.
bool table_unbrace(struct str text, struct str *inside_r);
// Next list item of an inline table, without its own braces.
bool table_inline_item(struct str *rest, struct str *item_r);

#endif
