// SPDX-License-Identifier: ISC
// postmap_query.c: postmap -q and -s.
//
// Suspends: in the tables asked.
#include <stdio.h>

#include "commands/postmap.h"
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
    int found = table_lookup(t, key, value, &err);

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

static void print_json_string(struct str s)
{
    putchar('"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 32 || c == 127)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void print_entry(const struct postmap *p, struct str key, struct str value)
{
    if (p->as_json) {
        putchar('{');
        print_json_string(key);
        fputs(": ", stdout);
        print_json_string(value);
        puts("}");
        return;
    }
    printf(STR_FMT "%s\t" STR_FMT "\n", STR_ARG(key), p->is_alias ? ":" : "", STR_ARG(value));
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

static bool query_one(const struct postmap *p, struct table **tables) CO
{
    struct buf value = BUF_INIT;
    bool found = ask_all(p, tables, str_from(p->query), &value) > 0;

    if (found && p->as_json)
        print_entry(p, str_from(p->query), buf_str(&value));
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
    found = strcmp(p->query, "-") == 0 ? query_lines(p, tables) : query_one(p, tables);
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
