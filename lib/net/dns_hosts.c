// SPDX-License-Identifier: ISC
// dns_hosts.c: the hosts file, read once into memory so that a jailed process still knows it.
// Trust: the file is the administrator's; malformed lines are skipped.
// Limits: HOSTS_FILE_MAX bytes, HOSTS_PER_NAME addresses a name.
#include <stdio.h>

#include "lib/net/dns_internal.h"

#define HOSTS_FILE_MAX (8 * 1024 * 1024)
#define HOSTS_PER_NAME 16
#define NAME_MAX_BYTES 255

static void hosts_add(struct dns_hosts *h, struct str name, const struct net_addr *addr, bool is_canonical)
{
    struct dns_hosts_entry *entry = map_get(&h->names, name);

    if (name.len > NAME_MAX_BYTES)
        return;
    if (entry == NULL) {
        entry = MEM_NEW(struct dns_hosts_entry);
        entry->rank = h->names.count;
        map_set(&h->names, name, entry);
    }
    if (entry->count == HOSTS_PER_NAME)
        return;
    entry->addrs = mem_realloc(entry->addrs, sizeof *addr * (entry->count + 1));
    entry->addrs[entry->count++] = *addr;
    entry->is_canonical |= is_canonical;
}

void dns_hosts_parse(struct dns_hosts *h, struct str text)
{
    struct str line, word, before;

    h->names = MAP_INIT_NOCASE;
    while (text.len > 0) {
        struct net_addr addr;
        str_cut(&text, '\n', &line);
        str_cut(&line, '#', &before);
        if (!str_token(&before, " \t\r", &word) || net_addr_parse(word, 0, &addr) < 0)
            continue;
        for (bool is_first = true; str_token(&before, " \t\r", &word); is_first = false)
            hosts_add(h, word, &addr, is_first);
    }
}

void dns_hosts_read(struct dns_hosts *h, const char *path)
{
    struct buf text = BUF_INIT;
    char piece[2048];
    size_t n;
    FILE *file = fopen(path, "re");

    h->names = MAP_INIT_NOCASE;
    if (file == NULL)
        return;
    while (text.len < HOSTS_FILE_MAX && (n = fread(piece, 1, sizeof piece, file)) > 0)
        buf_add(&text, piece, n);
    fclose(file);
    dns_hosts_parse(h, buf_str(&text));
    buf_release(&text);
}

void dns_hosts_release(struct dns_hosts *h)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;

    while ((entry = map_next(&h->names, &it)) != NULL) {
        struct dns_hosts_entry *value = entry->value;
        mem_free(value->addrs);
        mem_free(value);
    }
    map_release(&h->names);
}

const struct dns_hosts_entry *dns_hosts_find(const struct dns_hosts *h, struct str name)
{
    return map_get(&h->names, name);
}
