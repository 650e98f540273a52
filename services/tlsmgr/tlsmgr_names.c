// SPDX-License-Identifier: ISC
// tlsmgr_names.c: the certificate of a server name: tls_server_sni_maps.
//
// An item is a table whose values are files' contents in base64 (postmap -F) or names of files, or a directory
// ("/path") that has for each name NAME.pem or NAME (key and chain), or NAME/privkey.pem and NAME/fullchain.pem.
// ".example.com" serves the names below it.
// Trust: names come from clients by way of smtpd: checked by is_name before they touch a path or a table.
// Suspends: in tables.
#include <ctype.h>
#include <openssl/evp.h>

#include "lib/table/table.h"
#include "services/tlsmgr/tlsmgr.h"

enum { ITEMS_MAX = 100, NAME_MAX_LENGTH = 253 };

struct item {
    char *directory; // or NULL
    struct table *table;
};

struct sni_map {
    struct item items[ITEMS_MAX];
    size_t count;
};

struct tlsmgr_names {
    struct tlsmgr_store *store;
    struct map maps; // value of the parameter -> struct sni_map
};

// A host name, in lower case already, maybe with a dot in front.
static bool is_name(struct str name)
{
    if (name.len == 0 || name.len > NAME_MAX_LENGTH)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool is_dot = c == '.' && (i + 1 == name.len || name.ptr[i + 1] == '.');
        if (is_dot || !(islower((unsigned char)c) || isdigit((unsigned char)c) || c == '-' || c == '.' || c == '_'))
            return false;
    }
    return true;
}

// ---- Directories

static int from_directory(struct tlsmgr_names *n, const char *directory, struct str name,
                          const struct tlsmgr_chains **chains_r, struct err *err)
{
    struct buf path = BUF_INIT, text = BUF_INIT;
    int rc = 0;
    buf_addf(&path, "%s/" STR_FMT "/fullchain.pem", directory, STR_ARG(name));
    if (tlsmgr_store_has_file(n->store, buf_str(&path)))
        buf_addf(&text, "pairs %s %s/" STR_FMT "/privkey.pem", buf_cstr(&path), directory, STR_ARG(name));
    for (int with_pem = 1; with_pem >= 0 && text.len == 0; with_pem--) {
        buf_clear(&path);
        buf_addf(&path, "%s/" STR_FMT "%s", directory, STR_ARG(name), with_pem ? ".pem" : "");
        if (tlsmgr_store_has_file(n->store, buf_str(&path)))
            buf_addf(&text, "chain %s", buf_cstr(&path));
    }
    if (text.len > 0) {
        tlsmgr_store_allow(n->store, buf_str(&text));
        rc = tlsmgr_store_chains(n->store, buf_str(&text), chains_r, err) < 0 ? -1 : 1;
    }
    buf_release(&path);
    buf_release(&text);
    return rc;
}

// ---- Tables

static void add_chain_text(struct str value, struct buf *text)
{
    struct str word;
    buf_add_cstr(text, "chain");
    while (str_token(&value, ", \t\r\n", &word)) {
        buf_add_char(text, ' ');
        buf_add_str(text, word);
    }
}

// Base64 with blanks in it, as postmap -F makes it.
static int decode(struct str value, struct buf *out)
{
    struct buf clean = BUF_INIT;
    int length = -1;
    for (size_t i = 0; i < value.len; i++)
        if (!isspace((unsigned char)value.ptr[i]))
            buf_add_char(&clean, value.ptr[i]);
    if (clean.len > 0 && clean.len % 4 == 0 && clean.len < 4 * TLSMGR_FILE_MAX) {
        buf_reserve(out, clean.len / 4 * 3 + 1);
        length = EVP_DecodeBlock((unsigned char *)out->ptr, (const unsigned char *)clean.ptr, (int)clean.len);
    }
    if (length > 0) {
        length -= (clean.ptr[clean.len - 1] == '=') + (clean.ptr[clean.len - 2] == '=');
        out->len = (size_t)length;
        out->ptr[out->len] = '\0';
    }
    buf_wipe(&clean);
    return length > 0 ? 0 : -1;
}

static int from_value(struct tlsmgr_names *n, struct str label, struct str value, const struct tlsmgr_chains **chains_r,
                      struct err *err)
{
    struct buf text = BUF_INIT;
    int rc;
    if (value.len > 0 && value.ptr[0] == '/') {
        add_chain_text(value, &text);
        rc = tlsmgr_store_chains(n->store, buf_str(&text), chains_r, err);
    } else if (decode(value, &text) < 0) {
        rc = err_set(err, ERR_PERMANENT, STR_FMT ": the value is not base64: was the table built with postmap -F?",
                     STR_ARG(label));
    } else {
        rc = tlsmgr_store_content(n->store, label, buf_str(&text), chains_r, err);
    }
    buf_wipe(&text);
    return rc < 0 ? -1 : 1;
}

static int from_table(struct tlsmgr_names *n, struct table *t, struct str name, const struct tlsmgr_chains **chains_r,
                      struct err *err) CO
{
    struct buf value = BUF_INIT, label = BUF_INIT;
    int found = table_lookup(t, name, &value, err);
    if (found > 0) {
        struct str table = table_name(t);
        buf_addf(&label, "sni " STR_FMT " " STR_FMT, STR_ARG(table), STR_ARG(name));
        found = from_value(n, buf_str(&label), buf_str(&value), chains_r, err);
    }
    buf_wipe(&value);
    buf_release(&label);
    return found;
}

// ---- Asking

static int from_items(struct tlsmgr_names *n, const struct sni_map *m, struct str name,
                      const struct tlsmgr_chains **chains_r, struct err *err) CO
{
    int found = 0;
    for (size_t i = 0; i < m->count && found == 0; i++)
        found = m->items[i].table != NULL ? from_table(n, m->items[i].table, name, chains_r, err)
                                          : from_directory(n, m->items[i].directory, name, chains_r, err);
    return found;
}

int tlsmgr_names_chains(struct tlsmgr_names *n, struct str maps, struct str name, const struct tlsmgr_chains **chains_r,
                        struct err *err)
{
    struct buf lower = BUF_INIT;
    struct sni_map *m = map_get(&n->maps, maps);
    if (m == NULL)
        return err_set(err, ERR_PERMANENT, "neither main.cf nor master.cf has this value of tls_server_sni_maps");
    buf_add_lower(&lower, name);
    int found = 0;
    if (is_name(buf_str(&lower)) && lower.ptr[0] != '.')
        for (struct str at = buf_str(&lower); found == 0 && at.len > 0;) {
            found = from_items(n, m, at, chains_r, err);
            long dot = str_find(str_slice(at, 1, at.len), '.');
            at = dot < 0 ? STR("") : str_slice(at, (size_t)dot + 1, at.len); // ".example.com"
        }
    buf_release(&lower);
    return found;
}

// ---- Opening

// Values that name files: the reader must look at those. For tables that can list themselves.
static void add_files_of(struct table *t, struct tlsmgr_files *f)
{
    size_t cursor = 0;
    struct str key, value;
    struct buf text = BUF_INIT;
    while (table_next(t, &cursor, &key, &value, NULL) == 1) {
        if (value.len == 0 || value.ptr[0] != '/')
            continue;
        buf_clear(&text);
        add_chain_text(value, &text);
        tlsmgr_files_add_text(f, arena_str(f->arena, buf_str(&text)));
    }
    buf_release(&text);
}

static struct sni_map *open_map(struct str list, struct tlsmgr_files *f)
{
    struct sni_map *m = MEM_NEW(struct sni_map);
    struct str word;
    while (m->count < ITEMS_MAX && str_token_braced(&list, ", \t\r\n", &word)) {
        struct item *item = &m->items[m->count++];
        if (word.ptr[0] == '/') {
            item->directory = mem_dup_str(word.ptr[word.len - 1] == '/' ? str_slice(word, 0, word.len - 1) : word);
        } else {
            item->table = table_open(word, TABLE_SENSITIVE | TABLE_NO_SUBSTITUTION);
            add_files_of(item->table, f);
        }
    }
    return m;
}

struct tlsmgr_names *tlsmgr_names_open(struct tlsmgr_files *f, struct tlsmgr_store *store)
{
    struct tlsmgr_names *n = MEM_NEW(struct tlsmgr_names);
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;
    n->store = store;
    while ((entry = map_next(&f->sni_maps, &it)) != NULL)
        map_set(&n->maps, entry->key, open_map(entry->key, f));
    return n;
}

void tlsmgr_names_close(struct tlsmgr_names *n)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;
    while ((entry = map_next(&n->maps, &it)) != NULL) {
        struct sni_map *m = entry->value;
        for (size_t i = 0; i < m->count; i++) {
            mem_free(m->items[i].directory);
            table_close(m->items[i].table);
        }
        mem_free(m);
    }
    map_release(&n->maps);
    mem_free(n);
}
