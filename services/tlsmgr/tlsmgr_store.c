// SPDX-License-Identifier: ISC
// tlsmgr_store.c: contents of key files, the chains made of them, keys by id: what is used, and what stays in use when
// a change is no good.
//
// A change is taken up when every file of a chain text can be read, its keys are those of its certificates, and its
// certificates are valid now. Else the old stay, and the log says so. At the first load an expired certificate is used
// all the same: it is what there is.
// Trust: files are the administrator's. Holds private keys; contents are wiped when they are replaced.
#include "services/tlsmgr/tlsmgr.h"

#include "lib/base/log.h"

enum { DAY = 86400 };

struct tlsmgr_key {
    struct tls_key *key;
    struct map *by_id; // where it stands; NULL once it is taken out
    unsigned users;
    double tokens;
    int64_t counted; // clock_ms
};

struct file {
    struct buf content;
    char *reason; // why it cannot be read, or NULL
    uint64_t change;
};

struct chain_set {
    char *text;
    struct tlsmgr_chains now;
    struct tlsmgr_key *keys[TLS_CHAINS_MAX], *former[TLS_CHAINS_MAX]; // former: handshakes under way still ask for them
    struct err why;                                                   // it was never usable
    bool is_tried;
    bool is_stale;   // a file has changed since
    bool is_content; // not made of files: the text is a label
    uint64_t content_hash;
};

struct tlsmgr_store {
    struct map files; // path -> struct file
    struct map sets;  // text -> struct chain_set
    struct map keys;  // id (hexadecimal) -> struct tlsmgr_key
    uint64_t generation;
    int64_t warn_days;
};

// ---- Keys

static void add_id(struct buf *text, const unsigned char *id)
{
    for (size_t i = 0; i < TLS_KEY_ID_SIZE; i++)
        buf_addf(text, "%02x", id[i]);
}

void tlsmgr_key_release(struct tlsmgr_key *k)
{
    struct buf id = BUF_INIT;
    if (k == NULL || --k->users > 0)
        return;
    add_id(&id, tls_key_id(k->key));
    if (k->by_id != NULL)
        map_remove(k->by_id, buf_str(&id));
    buf_release(&id);
    tls_key_free(k->key);
    mem_free(k);
}

// The key of a pair, shared with whoever has the same; takes the pair's.
static struct tlsmgr_key *keep_key(struct tlsmgr_store *s, struct tlsmgr_pair *pair)
{
    struct buf id = BUF_INIT;
    add_id(&id, tls_key_id(pair->key));
    struct tlsmgr_key *k = map_get(&s->keys, buf_str(&id));
    if (k == NULL) {
        k = MEM_NEW(struct tlsmgr_key);
        k->key = pair->key;
        k->by_id = &s->keys;
        map_set(&s->keys, buf_str(&id), k);
    } else {
        tls_key_free(pair->key);
    }
    pair->key = NULL;
    k->users++;
    buf_release(&id);
    return k;
}

struct tlsmgr_key *tlsmgr_store_key(struct tlsmgr_store *s, struct str id)
{
    struct buf text = BUF_INIT;
    if (id.len != TLS_KEY_ID_SIZE)
        return NULL;
    add_id(&text, (const unsigned char *)id.ptr);
    struct tlsmgr_key *k = map_get(&s->keys, buf_str(&text));
    buf_release(&text);
    if (k != NULL)
        k->users++;
    return k;
}

struct tls_key *tlsmgr_key_get(struct tlsmgr_key *k)
{
    return k->key;
}

bool tlsmgr_key_may_sign(struct tlsmgr_key *k, int64_t per_second)
{
    int64_t now = clock_ms();
    if (per_second <= 0)
        return true;
    k->tokens += k->counted == 0 ? (double)per_second : (double)(now - k->counted) * (double)per_second / 1000;
    k->counted = now;
    if (k->tokens > (double)per_second)
        k->tokens = (double)per_second;
    if (k->tokens < 1)
        return false;
    k->tokens -= 1;
    return true;
}

// ---- Files

void tlsmgr_store_set_file(struct tlsmgr_store *s, struct str path, struct str content, struct str reason)
{
    struct file *f = map_get(&s->files, path);
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;
    if (f == NULL) {
        if (s->files.count >= TLSMGR_FILES_MAX)
            return;
        f = MEM_NEW(struct file);
        map_set(&s->files, path, f);
    }
    buf_wipe(&f->content);
    mem_free(f->reason);
    f->reason = reason.len > 0 ? mem_dup_str(reason) : NULL;
    buf_reserve(&f->content, content.len);
    buf_add_str(&f->content, content);
    while ((entry = map_next(&s->sets, &it)) != NULL) {
        struct chain_set *set = entry->value;
        struct str word, rest = str_from(set->text);
        while (str_token(&rest, " ", &word))
            set->is_stale |= str_is(word, path);
    }
}

bool tlsmgr_store_has_file(const struct tlsmgr_store *s, struct str path)
{
    struct file *f = map_get(&s->files, path);
    return f != NULL && f->reason == NULL;
}

static int content_of(const struct tlsmgr_store *s, struct str path, struct str *content_r, struct err *err)
{
    struct file *f = map_get(&s->files, path);
    if (f == NULL || f->reason != NULL)
        return err_set(err, ERR_TEMPORARY, STR_FMT ": %s", STR_ARG(path), f == NULL ? "not read" : f->reason);
    *content_r = buf_str(&f->content);
    return 0;
}

// ---- Making chains

static void free_chains(struct tlsmgr_chains *c)
{
    for (size_t i = 0; i < c->count; i++)
        tlsmgr_pair_free(&c->pairs[i]);
    c->count = 0;
}

static int make_from_files(const struct tlsmgr_store *s, struct str rest, struct tlsmgr_chains *c, struct err *err)
{
    struct str path, content;
    struct buf all = BUF_INIT;
    int rc = 0;
    buf_reserve(&all, 4 * TLSMGR_FILE_MAX);
    while (rc == 0 && str_token(&rest, " ", &path)) {
        rc = content_of(s, path, &content, err);
        if (rc == 0 && all.len + content.len > 4 * TLSMGR_FILE_MAX - 10)
            rc = err_set(err, ERR_PERMANENT, "the files are too large");
        if (rc == 0) {
            buf_add_str(&all, content);
            buf_add_char(&all, '\n');
        }
    }
    if (rc == 0)
        rc = tlsmgr_pem_take_all(buf_str(&all), c->pairs, &c->count, err);
    buf_wipe(&all);
    return rc;
}

static int make_from_pairs(const struct tlsmgr_store *s, struct str rest, struct tlsmgr_chains *c, struct err *err)
{
    struct str cert_path, key_path, cert, key;
    while (str_token(&rest, " ", &cert_path) && str_token(&rest, " ", &key_path)) {
        if (c->count == TLS_CHAINS_MAX)
            return err_set(err, ERR_PERMANENT, "too many certificates");
        if (content_of(s, cert_path, &cert, err) < 0 || content_of(s, key_path, &key, err) < 0)
            return -1;
        if (tlsmgr_pem_take_pair(cert, key, &c->pairs[c->count], err) < 0) {
            err_prefix(err, STR_FMT, STR_ARG(cert_path));
            return -1;
        }
        c->count++;
    }
    return 0;
}

static int make(const struct tlsmgr_store *s, const char *text, struct tlsmgr_chains *c, struct err *err)
{
    struct str kind, rest = str_from(text);
    if (!str_cut(&rest, ' ', &kind))
        return err_set(err, ERR_BUG, "malformed list of files");
    return str_is(kind, STR("chain")) ? make_from_files(s, rest, c, err) : make_from_pairs(s, rest, c, err);
}

// Not yet, or no longer, valid.
static int check_dates(const struct tlsmgr_chains *c, struct err *err)
{
    int64_t from, until, now = clock_wall();
    for (size_t i = 0; i < c->count; i++) {
        tls_chain_dates(c->pairs[i].chain, &from, &until);
        if (now >= until)
            return err_set(err, ERR_PERMANENT, "the certificate of %s has expired",
                           tls_chain_subject(c->pairs[i].chain));
        if (now < from)
            return err_set(err, ERR_PERMANENT, "the certificate of %s is not valid yet",
                           tls_chain_subject(c->pairs[i].chain));
    }
    return 0;
}

static void log_use(const struct tlsmgr_store *s, const struct chain_set *set, bool only_trouble)
{
    int64_t from, until, now = clock_wall();
    for (size_t i = 0; i < set->now.count; i++) {
        const char *subject = tls_chain_subject(set->now.pairs[i].chain);
        tls_chain_dates(set->now.pairs[i].chain, &from, &until);
        int64_t days = (until - now) / DAY;
        if (now >= until)
            log_warn("the certificate of %s (%s) has expired: renew it", subject, set->text);
        else if (now < from)
            log_warn("the certificate of %s (%s) is not valid yet", subject, set->text);
        else if (days < s->warn_days)
            log_warn("the certificate of %s (%s) expires in %lld days: renew it", subject, set->text, (long long)days);
        else if (!only_trouble)
            log_info("certificate of %s (%s): %lld days left", subject, set->text, (long long)days);
    }
}

// The new chains come into use; the keys before the last are gone.
static void swap(struct tlsmgr_store *s, struct chain_set *set, struct tlsmgr_chains *made)
{
    for (size_t i = 0; i < TLS_CHAINS_MAX; i++) {
        tlsmgr_key_release(set->former[i]);
        set->former[i] = set->keys[i];
        set->keys[i] = i < made->count ? keep_key(s, &made->pairs[i]) : NULL;
    }
    free_chains(&set->now);
    set->now = *made;
    set->now.generation = ++s->generation;
    set->why = ERR_INIT;
}

static void load(struct tlsmgr_store *s, struct chain_set *set)
{
    struct tlsmgr_chains made = {.count = 0};
    struct err err = ERR_INIT;
    bool is_first = set->now.generation == 0;
    int rc = make(s, set->text, &made, &err);
    set->is_tried = true;
    set->is_stale = false;
    if (rc == 0 && !is_first && check_dates(&set->now, NULL) == 0)
        rc = check_dates(&made, &err);
    if (rc == 0) {
        swap(s, set, &made);
        log_use(s, set, false);
        return;
    }
    free_chains(&made);
    if (is_first) {
        set->why = err;
        log_warn("cannot use the certificates of \"%s\": %s", set->text, err.text);
    } else {
        log_warn("cannot use the changed certificates of \"%s\": %s: the old ones stay in use", set->text, err.text);
    }
}

void tlsmgr_store_refresh(struct tlsmgr_store *s)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;
    while ((entry = map_next(&s->sets, &it)) != NULL) {
        struct chain_set *set = entry->value;
        if (!set->is_content && (!set->is_tried || set->is_stale))
            load(s, set);
    }
}

void tlsmgr_store_log_dates(struct tlsmgr_store *s)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;
    while ((entry = map_next(&s->sets, &it)) != NULL)
        log_use(s, entry->value, true);
}

// ---- Asking

static struct chain_set *add_set(struct tlsmgr_store *s, struct str text)
{
    struct chain_set *set = map_get(&s->sets, text);
    if (set == NULL) {
        set = MEM_NEW(struct chain_set);
        set->text = mem_dup_str(text);
        map_set(&s->sets, text, set);
    }
    return set;
}

void tlsmgr_store_allow(struct tlsmgr_store *s, struct str text)
{
    add_set(s, text);
}

static int give(const struct chain_set *set, const struct tlsmgr_chains **chains_r, struct err *err)
{
    if (set->now.generation == 0) {
        *err = set->why;
        return err->kind != ERR_NONE ? -1 : err_set(err, ERR_TEMPORARY, "not read yet");
    }
    *chains_r = &set->now;
    return 0;
}

int tlsmgr_store_chains(struct tlsmgr_store *s, struct str text, const struct tlsmgr_chains **chains_r, struct err *err)
{
    struct chain_set *set = map_get(&s->sets, text);
    if (set == NULL || set->is_content)
        return err_set(err, ERR_PERMANENT, "neither main.cf nor master.cf names the certificates \"" STR_FMT "\"",
                       STR_ARG(str_slice(text, 0, 200)));
    if (!set->is_tried)
        load(s, set);
    return give(set, chains_r, err);
}

int tlsmgr_store_content(struct tlsmgr_store *s, struct str label, struct str pem,
                         const struct tlsmgr_chains **chains_r, struct err *err)
{
    struct chain_set *set = add_set(s, label);
    struct tlsmgr_chains made = {.count = 0};
    uint64_t hash = str_hash(pem);
    if (set->is_content && set->content_hash == hash)
        return give(set, chains_r, err);
    set->is_content = true;
    set->content_hash = hash;
    if (tlsmgr_pem_take_all(pem, made.pairs, &made.count, err) == 0) {
        swap(s, set, &made);
    } else {
        free_chains(&made);
        log_warn(STR_FMT ": %s%s", STR_ARG(label), err->text,
                 set->now.generation > 0 ? ": the old certificate stays in use" : "");
        if (set->now.generation == 0)
            set->why = *err;
    }
    return give(set, chains_r, err);
}

// ---- Life

struct tlsmgr_store *tlsmgr_store_new(int64_t warn_days)
{
    struct tlsmgr_store *s = MEM_NEW(struct tlsmgr_store);
    s->warn_days = warn_days;
    s->generation = (uint64_t)clock_wall_us(); // never one that a tlsmgr before this one has given
    return s;
}

static void free_set(struct chain_set *set)
{
    for (size_t i = 0; i < TLS_CHAINS_MAX; i++) {
        tlsmgr_key_release(set->keys[i]);
        tlsmgr_key_release(set->former[i]);
    }
    free_chains(&set->now);
    mem_free(set->text);
    mem_free(set);
}

void tlsmgr_store_free(struct tlsmgr_store *s)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;
    while ((entry = map_next(&s->sets, &it)) != NULL)
        free_set(entry->value);
    it = MAP_ITER_INIT;
    while ((entry = map_next(&s->keys, &it)) != NULL) // still used by a job
        ((struct tlsmgr_key *)entry->value)->by_id = NULL;
    it = MAP_ITER_INIT;
    while ((entry = map_next(&s->files, &it)) != NULL) {
        struct file *f = entry->value;
        buf_wipe(&f->content);
        mem_free(f->reason);
        mem_free(f);
    }
    map_release(&s->sets);
    map_release(&s->keys);
    map_release(&s->files);
    mem_free(s);
}
