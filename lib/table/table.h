// SPDX-License-Identifier: ISC
// table.h: lookup tables by "type:name", and lists of them as parameters hold ("hash:/etc/aliases, static:all").
//
// Tables are opened before the jail and answer without opening files where possible; a changed source is noticed (at
// most one stat a second for each table) and taken up without a reload. hash: and btree: are served by LMDB (FILE.lmdb,
// rebuilt when the text is newer and the caller may write there; else the text is read into memory). A table that
// cannot be opened answers every query with a temporary failure, logged once. Values are bounded by TABLE_VALUE_MAX.
// May suspend only for network-backed types.
//
// ldap:, mysql:, pgsql:, redis: and sqlite: are asked of the proxymap service, but in programs that link the client
// libraries (table_use_backends). tcp:, socketmap: and memcache: are asked directly, or with proxy: in front of them of
// proxymap.
#ifndef DROMOS_TABLE_TABLE_H
#define DROMOS_TABLE_TABLE_H

#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/co/co.h"

#define TABLE_VALUE_MAX (256 * 1024)
#define TABLE_KEY_MAX   4096

struct table;
enum table_flags {
    TABLE_FOLD_KEYS = 1,    // lower-case query keys (default for case-insensitive file types)
    TABLE_ALIAS_SOURCE = 2, // the text has aliases(5) syntax (postalias), not postmap syntax
    TABLE_KEEP_CASE = 4,    // keys are taken as they are, in queries and in sources (postmap -f)
    TABLE_NO_NUL = 8,       // a writer stores keys and values without the trailing NUL that Postfix adds (postmap -n)
    TABLE_NO_REBUILD = 16,  // never rebuild an index that is older than its text (commands that query)
    // For alias_maps, mailbox_command_maps, virtual_mailbox_maps and the like: no tables that others answer (tcp,
    // socketmap, memcache), no $number results, and proxy: is passed over.
    TABLE_SENSITIVE = 32,
    // The cache of this one process: lmdb:, hash: and btree: (FILE.lmdb, made if need be), or proxy: of these
    // (proxywrite).
    TABLE_WRITE = 128,
    TABLE_ANY_BYTES = 256, // of a source: keys and values need not be UTF-8 (postmap -u)
    TABLE_NO_SUBSTITUTION =
        64, // regexp: and pcre: rules with $number results are skipped (transport_maps and the like)
};

// Never fails: a bad or unavailable table becomes one that reports its reason on every query.
struct table *table_open(struct str type_name, unsigned flags);
void table_close(struct table *t);
struct str table_name(const struct table *t); // "lmdb:/etc/postfix/x"
bool table_is_usable(const struct table *t, struct err *why_r);
bool table_takes_partial_keys(const struct table *t); // false for regexp, pcre, cidr, …: ask with the full key only
// 1 found, 0 absent, -1 failed (always temporary for the mail). The value is appended to *value_r (cleared first).
int table_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err) CO MUST_CHECK;
// Every entry of a table that can list itself (indexed, texthash, inline). *cursor starts as 0. The strings borrow from
// the table until the next call. 1, 0 end, -1 failed or the type has no listing. The table must not be looked up in
// between.
int table_next(struct table *t, size_t *cursor, struct str *key_r, struct str *value_r, struct err *err) MUST_CHECK;
// Tables opened with TABLE_WRITE. A key's value is set anew; 1 deleted, 0 there was none; the first key after `after`
// ("": the first of all), which need not exist: 1, 0 end. A change is seen by the next query; it may be lost when the
// machine goes down.
int table_update(struct table *t, struct str key, struct str value, struct err *err) CO MUST_CHECK;
int table_delete(struct table *t, struct str key, struct err *err) CO MUST_CHECK;
int table_next_after(struct table *t, struct str after, struct buf *key_r, struct buf *value_r,
                     struct err *err) CO MUST_CHECK;
// The owner of the file behind a table: the user whose rights its commands get. 1: *uid_r; 0: built into the
// configuration, as trusted as main.cf (static, inline, unix …); -1: unknown.
int table_owner(const struct table *t, uid_t *uid_r);
// A source has changed and cannot be opened again from inside the jail, or a file named in a match list has changed.
// The service then ends itself between two sessions and is started afresh: daemons set `.outdated = table_outdated` in
// their struct service. Cheap: at most one stat a second for each match-list file.
bool table_needs_restart(void);
const char *table_outdated(void); // the name of what has changed, or NULL

// An ordered list of tables: the first hit wins, an error in one ends the search.
struct table_list;
struct table_list *table_list_open(struct str list, unsigned flags); // never NULL; "" is an empty list
void table_list_close(struct table_list *l);
bool table_list_is_empty(const struct table_list *l);
int table_list_lookup(struct table_list *l, struct str key, struct buf *value_r,
                      struct table **table_r /* may be NULL */, struct err *err) CO MUST_CHECK;
// Address lookup in Postfix's documented order: user+ext@domain, user@domain, user+ext, user (for local domains),
// @domain. Options choose the partial forms.
enum table_address_keys {
    ADDRESS_KEY_FULL = 1,            // user+ext@domain, then without extension
    ADDRESS_KEY_LOCALPART = 2,       // user+ext, user: when the caller says that the domain is local (site)
    ADDRESS_KEY_AT_DOMAIN = 4,       // @domain
    ADDRESS_KEY_DOMAIN = 8,          // domain, and parent domains (.domain or domain)
    ADDRESS_KEY_PARENTS_DOTTED = 16, // parents are searched as .domain
    ADDRESS_KEY_LOCAL_AT = 32,       // user+ext@, user@, after the domains (access tables)
};
struct table_address_query {
    struct str address;   // internal form, as given
    struct str delimiter; // recipient_delimiter characters
    unsigned keys;
    bool domain_is_local; // allows ADDRESS_KEY_LOCALPART
};
// 1/0/-1. *extension_r (may be NULL): the extension that was not part of the matching key (with delimiter), to be
// propagated; borrows from address.
int table_list_lookup_address(struct table_list *l, const struct table_address_query *q, struct buf *value_r,
                              struct str *extension_r, struct err *err) CO MUST_CHECK;

// ---- Match lists: mynetworks, mydestination, relay_domains, debug_peer_list …: names, .parents, networks,
// !exclusions, /file/name and type:table items, in order.
struct match_list;
enum match_flags {
    MATCH_PARENTS = 1 /* an item also matches its subdomains */,
    MATCH_NETWORKS = 2 /* items are addresses and networks */
};
struct match_list *match_list_open(struct str list, unsigned flags,
                                   struct err *err); // NULL: a file cannot be read or a network is malformed
// The list of `parameter`: its items match subdomains where parent_domain_matches_subdomains names it.
struct match_list *match_list_open_domains(struct str list, unsigned flags, const char *parameter, struct str parents,
                                           struct err *err);
void match_list_close(struct match_list *m);
int match_list_has(struct match_list *m, struct str name, struct err *err) CO MUST_CHECK; // 1, 0, -1; names fold case
struct net_addr;
int match_list_has_addr(struct match_list *m, struct str name, const struct net_addr *addr,
                        struct err *err) CO MUST_CHECK;

// ---- Making tables (postmap, postalias). table_build replaces the index atomically under readers.
struct table_writer;
struct table_writer *table_writer_open(struct str type_name, bool keeps_old, unsigned flags, struct err *err);
int table_writer_put(struct table_writer *w, struct str key, struct str value, bool replaces,
                     struct err *err);                                            // 1 stored, 0 key exists, -1
int table_writer_delete(struct table_writer *w, struct str key, struct err *err); // 1, 0, -1
int table_writer_commit(struct table_writer *w, struct err *err) MUST_CHECK;      // durable, visible; frees w
void table_writer_abort(struct table_writer *w);
const char *const *table_types(void); // sorted names, ends with NULL

// ---- The types with large client libraries. Called once at start, before any table is opened.
void table_use_backends(void);
// For programs that only look: every table is opened as with TABLE_NO_REBUILD.
void table_never_rebuild(void);
bool table_type_is_backend(struct str name); // built in, and one of those
// proxymap_service_name and proxywrite_service_name, where they are not "proxymap" and "proxywrite".
void table_set_proxy_services(struct str reads, struct str writes);

// The text form shared by postmap, texthash and rebuilt hash: "key value" lines, # comments, continuation by leading
// blanks.
struct table_text;
struct table_text *table_text_open(const char *path, unsigned flags, struct err *err); // flags: TABLE_ALIAS_SOURCE
int table_text_next(struct table_text *t, struct str *key_r, struct str *value_r, unsigned *line_r,
                    struct err *err); // 1, 0 end, -1; malformed lines are warned about and skipped
void table_text_close(struct table_text *t);

#endif
