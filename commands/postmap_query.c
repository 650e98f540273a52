// SPDX-License-Identifier: ISC
// postmap_query.c: postmap -q and -s.
//
// Suspends: in the tables asked.
#include <stdio.h>

#include "commands/postmap.h"
#include "commands/postmap_message.h"
#include "lib/mail/address.h"

static struct table *open_or_die(const struct postmap *p, const char *argument)
{
    struct buf name = postmap_table_name(p, argument);
    struct table *t = table_open(buf_str(&name), (p->flags & ~(unsigned)TABLE_NO_NUL) | TABLE_NO_REBUILD);
    struct err why = ERR_INIT;

    if (!table_is_usable(t, &why))
        die("%s", why.text);
    buf_release(&name);
    return t;
}

static int lookup_or_die(struct table *t, struct str key, struct buf *value) CO
{
    struct err err = ERR_INIT;
    int found = key.len > 0 ? table_lookup(t, key, value, &err) : 0;

    if (found < 0)
        die("%s", err.text);
    return found;
}

// postalias asks for the quoted form of a name first.
static int lookup_key(const struct postmap *p, struct table *t, struct str key, struct buf *value) CO
{
    struct buf quoted = BUF_INIT;
    int found = 0;

    if (p->is_alias && !str_starts(key, STR("\""))) {
        address_add_external(&quoted, key);
        if (!str_is(buf_str(&quoted), key))
            found = lookup_or_die(t, buf_str(&quoted), value);
        buf_release(&quoted);
    }
    return found > 0 ? found : lookup_or_die(t, key, value);
}

static void print_decoded(const struct postmap *p, struct str key, struct str value);

static void print_entry(const struct postmap *p, struct str key, struct str value)
{
    if (p->file_values) {
        print_decoded(p, key, value);
        return;
    }
    if (p->as_json) {
        struct buf line = BUF_INIT;
        buf_add_json(&line, key);
        buf_add_cstr(&line, ": ");
        buf_add_json(&line, value);
        printf("{%s}\n", buf_cstr(&line));
        buf_release(&line);
        return;
    }
    printf(STR_FMT "%s\t" STR_FMT "\n", STR_ARG(key), p->is_alias ? ":" : "", STR_ARG(value));
}

// -F: the contents of the files, not their base64 form.
static void print_decoded(const struct postmap *p, struct str key, struct str value)
{
    struct postmap plain = *p;
    struct buf contents = BUF_INIT;
    struct err err = ERR_INIT;

    if (postmap_decode(value, &contents, &err) != 0)
        die("%s: key " STR_FMT ": %s", p->tables[0], STR_ARG(key), err.text);
    plain.file_values = false;
    print_entry(&plain, key, buf_str(&contents));
    buf_release(&contents);
}

// 1 and the value of the first table that has the key.
static int ask_all(const struct postmap *p, struct table **tables, struct str key, struct buf *value) CO
{
    for (size_t i = 0; p->tables[i] != NULL; i++)
        if (lookup_key(p, tables[i], key, value) > 0)
            return 1;
    return 0;
}

static bool query_lines(const struct postmap *p, struct table **tables) CO
{
    struct buf line = BUF_INIT, value = BUF_INIT;
    bool any = false;

    while (postmap_next_line(&line))
        if (ask_all(p, tables, buf_str(&line), &value) > 0) {
            print_entry(p, buf_str(&line), buf_str(&value));
            any = true;
        }
    buf_release(&line);
    buf_release(&value);
    return any;
}

static bool query_keys(const struct postmap *p, struct table **tables, const struct message_key *keys, size_t count) CO
{
    struct buf value = BUF_INIT;
    bool any = false;

    for (size_t i = 0; i < count; i++)
        if ((keys[i].is_header ? p->from_headers : p->from_body) && ask_all(p, tables, keys[i].text, &value) > 0) {
            print_entry(p, keys[i].text, buf_str(&value));
            any = true;
        }
    buf_release(&value);
    return any;
}

// -h -b: the message on standard input, as the content checks of the mail system see it.
static bool query_message(const struct postmap *p, struct table **tables) CO
{
    struct message_keys *k = MEM_NEW(struct message_keys);
    struct message_key keys[2];
    struct buf line = BUF_INIT;
    bool any = false;

    message_keys_init(k, p->follows_mime, (size_t)p->settings->header_size_limit);
    while (postmap_next_line(&line)) {
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            buf_truncate(&line, line.len - 1);
        any |= query_keys(p, tables, keys, message_keys_line(k, buf_str(&line), keys));
    }
    any |= query_keys(p, tables, keys, message_keys_finish(k, keys));
    buf_release(&line);
    message_keys_release(k);
    mem_free(k);
    return any;
}

static void print_value_of_files(const struct postmap *p, struct str value)
{
    struct buf contents = BUF_INIT;
    struct err err = ERR_INIT;

    if (postmap_decode(value, &contents, &err) != 0)
        die("%s: %s", p->tables[0], err.text);
    puts(buf_cstr(&contents));
    buf_release(&contents);
}

static bool query_one(const struct postmap *p, struct table **tables) CO
{
    struct buf value = BUF_INIT;
    bool found = ask_all(p, tables, str_from(p->query), &value) > 0;

    if (found && p->as_json)
        print_entry(p, str_from(p->query), buf_str(&value));
    else if (found && p->file_values)
        print_value_of_files(p, buf_str(&value));
    else if (found)
        puts(buf_cstr(&value));
    buf_release(&value);
    return found;
}

static void finish_output(void)
{
    if (fflush(stdout) != 0)
        die("write error on standard output");
}

int postmap_query(const struct postmap *p)
{
    struct table **tables;
    size_t count = 0;
    bool found;

    while (p->tables[count] != NULL)
        count++;
    tables = mem_alloc((count + 1) * sizeof(struct table *));
    for (size_t i = 0; i < count; i++)
        tables[i] = open_or_die(p, p->tables[i]);
    if (strcmp(p->query, "-") != 0)
        found = query_one(p, tables);
    else
        found = p->from_headers || p->from_body ? query_message(p, tables) : query_lines(p, tables);
    for (size_t i = 0; i < count; i++)
        table_close(tables[i]);
    mem_free(tables);
    finish_output();
    return found ? 0 : 1;
}

int postmap_list(const struct postmap *p)
{
    struct table *t = open_or_die(p, p->tables[0]);
    struct str key, value;
    struct err err = ERR_INIT;
    size_t cursor = 0;
    int more;

    while ((more = table_next(t, &cursor, &key, &value, &err)) > 0)
        print_entry(p, key, value);
    if (more < 0)
        die("%s", err.text);
    table_close(t);
    finish_output();
    return 0;
}
