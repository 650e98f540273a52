// SPDX-License-Identifier: ISC
// table.c: opens tables by type and name, answers queries, and takes up changed sources.
//
// Suspends: only in types that ask another process or the pool.
#include <stdio.h>

#include "lib/base/log.h"
#include "lib/table/table_impl.h"

#define CHECK_INTERVAL_MS 1000

struct table_watch *table_add_watch(struct table *t, const char *path)
{
    struct table_watch *w = &t->watches[t->watch_count++];
    table_watch_init(w, path);
    table_watch_take(w);
    return w;
}

static void release_watches(struct table *t)
{
    for (unsigned i = 0; i < t->watch_count; i++)
        table_watch_release(&t->watches[i]);
    t->watch_count = 0;
}

static struct str without_proxy(struct str type_name)
{
    while (str_starts(type_name, STR("proxy:")))
        type_name = str_slice(type_name, 6, type_name.len);
    return type_name;
}

static bool never_rebuilds;

void table_never_rebuild(void)
{
    never_rebuilds = true;
}

struct table *table_open(struct str type_name, unsigned flags)
{
    struct table *t = MEM_NEW(struct table);
    struct str rest, type;

    t->name = mem_dup_str(type_name);
    t->flags = flags | (never_rebuilds ? TABLE_NO_REBUILD : 0);
    rest = without_proxy(str_from(t->name));
    if (!str_cut(&rest, ':', &type)) {
        err_set(&t->why, ERR_TEMPORARY, "expecting \"type:name\" form instead of \"%s\"", t->name);
        return t;
    }
    t->body = t->name + (rest.ptr - t->name);
    t->type = table_type_choose(type, str_starts(type_name, STR("proxy:")), flags, &t->why);
    if (t->type == NULL)
        return t;
    t->data = t->type->open(t, &t->why);
    t->next_check = clock_ms() + CHECK_INTERVAL_MS;
    return t;
}

void table_close(struct table *t)
{
    if (t == NULL)
        return;
    if (t->data != NULL)
        t->type->close(t->data);
    release_watches(t);
    mem_free(t->name);
    mem_free(t);
}

struct str table_name(const struct table *t)
{
    return str_from(t->name);
}

bool table_is_usable(const struct table *t, struct err *why_r)
{
    if (t->data == NULL && why_r != NULL)
        *why_r = t->why;
    return t->data != NULL;
}

bool table_takes_partial_keys(const struct table *t)
{
    return t->type == NULL || t->type->takes_partial_keys;
}

int table_owner(const struct table *t, uid_t *uid_r)
{
    if (t->data == NULL || (t->type->traits & TABLE_TYPE_OTHERS))
        return -1;
    if (t->type == &table_type_unionmap || t->type == &table_type_pipemap)
        return table_compound_owner(t, uid_r);
    if (t->watch_count == 0)
        return 0;
    *uid_r = t->watches[t->watch_count - 1].uid;
    for (unsigned i = 0; i < t->watch_count; i++)
        if (t->watches[i].exists && t->watches[i].uid != 0)
            *uid_r = t->watches[i].uid; // text or index: the less trusted one counts
    return 1;
}

// Opens the source again. On failure the old contents go on serving and the process asks for a restart.
static void take_up_change(struct table *t)
{
    struct table fresh = {.type = t->type, .name = t->name, .body = t->body, .flags = t->flags};
    struct err err = ERR_INIT;

    fresh.data = t->type->open(&fresh, &err);
    if (fresh.data == NULL) {
        release_watches(&fresh);
        if (t->data != NULL && !t->change_was_noted) {
            t->change_was_noted = true;
            table_note_change(t->name);
        }
        return;
    }
    if (t->data != NULL)
        t->type->close(t->data);
    release_watches(t);
    t->data = fresh.data;
    t->watch_count = fresh.watch_count;
    memcpy(t->watches, fresh.watches, sizeof(t->watches));
    t->change_was_noted = t->was_reported = false;
}

static void check_for_change(struct table *t)
{
    int64_t now = clock_ms();

    if (now < t->next_check)
        return;
    t->next_check = now + CHECK_INTERVAL_MS;
    if (t->data == NULL) { // an unavailable file may have appeared
        take_up_change(t);
        return;
    }
    for (unsigned i = 0; i < t->watch_count && !t->change_was_noted; i++)
        if (table_watch_has_changed(&t->watches[i])) {
            take_up_change(t);
            return;
        }
}

static int report_unusable(struct table *t, struct err *err)
{
    if (!t->was_reported) {
        t->was_reported = true;
        log_warn("%s is unavailable. %s", t->name, t->why.text);
    }
    return err_status(err, ERR_TEMPORARY, "4.3.0", "%s is unavailable. %s", t->name, t->why.text);
}

// A failing table is logged once, not once a lookup.
static void report_failure(struct table *t, int found, const struct err *err)
{
    if (found < 0 && !t->is_failing && (t->type->traits & TABLE_TYPE_REPORTS))
        log_warn("table %s: %s", t->name, err->text);
    t->is_failing = found < 0;
}

// The key is folded into memory of this call: several sessions may be waiting in the same table.
static int lookup_folded(struct table *t, struct str key, struct buf *value_r, struct err *err) CO
{
    struct buf folded = BUF_INIT;
    int found;

    if ((t->flags & TABLE_KEEP_CASE) || (t->type->traits & TABLE_TYPE_KEEPS_CASE))
        buf_add_str(&folded, key);
    else
        buf_add_lower(&folded, key);
    buf_reserve(&folded, 1); // "" ends in NUL, too
    found = t->type->lookup(t, str_of(buf_cstr(&folded), folded.len), value_r, err);
    buf_release(&folded);
    return found;
}

int table_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    struct err own = ERR_INIT;
    size_t longest;
    int found;

    buf_clear(value_r);
    if (t->type != NULL && t->type->is_file)
        check_for_change(t);
    if (t->data == NULL)
        return report_unusable(t, err);
    longest = t->type->traits & TABLE_TYPE_LONG_KEYS ? TABLE_VALUE_MAX : TABLE_KEY_MAX;
    if (key.len > longest || memchr(key.ptr, 0, key.len) != NULL)
        return 0;
    if (err == NULL)
        err = &own;
    found = lookup_folded(t, key, value_r, err);
    report_failure(t, found, err);
    if (found > 0 && value_r->len > TABLE_VALUE_MAX)
        return err_status(err, ERR_TEMPORARY, "4.3.0", "table %s: value of \"" STR_FMT "\" is too long", t->name,
                          STR_ARG(key));
    if (found < 0 && err->status[0] == '\0')
        snprintf(err->status, sizeof(err->status), "4.3.0");
    return found;
}

int table_next(struct table *t, size_t *cursor, struct str *key_r, struct str *value_r, struct err *err)
{
    if (t->data == NULL)
        return report_unusable(t, err);
    if (t->type->next == NULL)
        return err_set(err, ERR_PERMANENT, "table %s cannot be listed", t->name);
    return t->type->next(t, cursor, key_r, value_r, err);
}

bool table_unbrace(struct str text, struct str *inside_r)
{
    text = str_trim(text);
    if (text.len < 2 || text.ptr[0] != '{' || text.ptr[text.len - 1] != '}')
        return false;
    *inside_r = str_trim(str_slice(text, 1, text.len - 1));
    return true;
}

bool table_inline_item(struct str *rest, struct str *item_r)
{
    struct str token;
    if (!str_token_braced(rest, ", \t\r\n", &token))
        return false;
    if (!table_unbrace(token, item_r))
        *item_r = token;
    return true;
}
