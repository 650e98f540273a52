// SPDX-License-Identifier: ISC
// tlsmgr.h: what the files of tlsmgr share.
#ifndef DROMOS_SERVICES_TLSMGR_H
#define DROMOS_SERVICES_TLSMGR_H

#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/conf/settings.h"
#include "lib/ipc/ipc.h"
#include "lib/ipc/service.h"
#include "lib/net/tls.h"

#define TLSMGR_FILE_MAX  (256 * 1024)
#define TLSMGR_FILES_MAX 20000 // files and directories that are watched

// ---- tlsmgr_files.c: which files and maps the configuration names. Paths and chain texts (see tls_service.h) live in
// `arena`.
struct tlsmgr_files {
    struct arena *arena;
    struct map paths;       // files
    struct map directories; // of server names
    struct map texts;       // chain texts
    struct map sni_maps;    // values of tls_server_sni_maps
};
int tlsmgr_files_collect(const struct conf *conf, struct tlsmgr_files *f, struct err *err);
void tlsmgr_files_add_text(struct tlsmgr_files *f, struct str text);
void tlsmgr_files_release(struct tlsmgr_files *f);

// ---- tlsmgr_reader.c: the process that reads the files. It keeps the rights that tlsmgr started with, so it finds a
// changed file that only root may read; it takes no input from anybody. It writes frames: file {path, content}, gone
// {path, reason}, end.
struct tlsmgr_watch {
    const char *const *paths;
    size_t path_count;
    const char *const *directories;
    size_t directory_count;
    int64_t interval_ms; // between two looks at the files
};
// Forks it. The descriptor from which the frames come; -1 with err. It ends when that is closed.
int tlsmgr_reader_start(const struct tlsmgr_watch *w, struct err *err);
void tlsmgr_reader_run(const struct tlsmgr_watch *w, int fd); // the process itself: returns when nobody listens

// ---- tlsmgr_pem.c: a key and its chain, taken out of files' contents and checked against each other.
struct tlsmgr_pair {
    struct tls_chain *chain;
    struct tls_key *key;
};
// `chain` text: each key before its certificates, in the order of the files; one key anywhere if there is but one. Adds
// to pairs_r.
int tlsmgr_pem_take_all(struct str pem, struct tlsmgr_pair *pairs_r, size_t *count_r, struct err *err);
int tlsmgr_pem_take_pair(struct str cert, struct str key, struct tlsmgr_pair *pair_r, struct err *err);
void tlsmgr_pair_free(struct tlsmgr_pair *p);

// ---- tlsmgr_store.c: the files' contents, the chains made of them, and the keys by id.
struct tlsmgr_store;
struct tlsmgr_store *tlsmgr_store_new(int64_t warn_days);
void tlsmgr_store_free(struct tlsmgr_store *s);
// The content is copied; "" with a reason for one that cannot be read.
void tlsmgr_store_set_file(struct tlsmgr_store *s, struct str path, struct str content, struct str reason);
bool tlsmgr_store_has_file(const struct tlsmgr_store *s, struct str path);
void tlsmgr_store_allow(struct tlsmgr_store *s, struct str text); // a chain text that clients may ask for
// After a batch of changes: makes the chains anew whose files have changed, and logs what became of them.
void tlsmgr_store_refresh(struct tlsmgr_store *s);
void tlsmgr_store_log_dates(struct tlsmgr_store *s); // warns about certificates that end soon; for once a day

struct tlsmgr_chains {
    struct tlsmgr_pair pairs[TLS_CHAINS_MAX];
    size_t count;
    uint64_t generation;
};
// The chains of a text: borrowed until the next change. -1: unknown text, or never usable (err says why).
int tlsmgr_store_chains(struct tlsmgr_store *s, struct str text, const struct tlsmgr_chains **chains_r,
                        struct err *err);
// As a text whose "file" is this content: for maps that hold the files themselves (postmap -F).
int tlsmgr_store_content(struct tlsmgr_store *s, struct str label, struct str pem,
                         const struct tlsmgr_chains **chains_r, struct err *err);

struct tlsmgr_key; // counted: stays while somebody signs with it
struct tlsmgr_key *tlsmgr_store_key(struct tlsmgr_store *s, struct str id); // NULL if unknown; the caller releases it
void tlsmgr_key_release(struct tlsmgr_key *k);
struct tls_key *tlsmgr_key_get(struct tlsmgr_key *k);
// May one more signature be made now? At most `per_second` on the average, with bursts of as many.
bool tlsmgr_key_may_sign(struct tlsmgr_key *k, int64_t per_second);

// ---- tlsmgr_names.c: chains by server name.
struct tlsmgr_names;
// Adds the files that tables name to f.
struct tlsmgr_names *tlsmgr_names_open(struct tlsmgr_files *f, struct tlsmgr_store *store);
void tlsmgr_names_close(struct tlsmgr_names *n);
// 1, 0 unknown, -1.
int tlsmgr_names_chains(struct tlsmgr_names *n, struct str maps, struct str name, const struct tlsmgr_chains **chains_r,
                        struct err *err) CO;

// ---- tlsmgr_tickets.c: keys that seal session tickets, rotated. Never on disk.
struct tlsmgr_tickets {
    struct tls_ticket_key keys[3]; // the newest first
    size_t count;
    int64_t rotated;   // clock_ms
    int64_t period_ms; // 0: no tickets
};
void tlsmgr_tickets_add(struct tlsmgr_tickets *t, struct ipc_msg *answer); // rotates when due
void tlsmgr_tickets_clear(struct tlsmgr_tickets *t);

// ---- tlsmgr_cache.c: remembered sessions.
struct tlsmgr_cache;
// `name` is "smtpd", "smtp" or "lmtp"; `database` may be "": nothing is remembered.
struct tlsmgr_cache *tlsmgr_cache_open(const char *name, struct str database, int64_t seconds);
void tlsmgr_cache_close(struct tlsmgr_cache *c);
struct str tlsmgr_cache_name(const struct tlsmgr_cache *c);
int tlsmgr_cache_get(struct tlsmgr_cache *c, struct str id, struct buf *session_r, struct err *err) CO; // 1, 0, -1
int tlsmgr_cache_put(struct tlsmgr_cache *c, struct str id, struct str session, struct err *err) CO;
int tlsmgr_cache_drop(struct tlsmgr_cache *c, struct str id, struct err *err) CO;
void tlsmgr_cache_clean(struct tlsmgr_cache *c) CO; // removes what has expired, logs how much

#endif
