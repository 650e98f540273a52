// SPDX-License-Identifier: ISC
// table_cidr_index.c: which of many networks in file order is the first that holds an address, by binary search.
//
// Networks are nested or disjoint. Walking through their ends in address order, the innermost open network knows the
// lowest file position among itself and those around it; that is the answer up to the next end. Memory: two edges a
// network.
#include <netinet/in.h>
#include <stdlib.h>

#include "lib/table/table_cidr_impl.h"

#define NESTING_MAX 129 // prefix lengths from 0 to 128

struct edge {
    unsigned char addr[16]; // from here on (IPv4 in the first four bytes)
    uint32_t position;      // this network is the answer
};

struct cidr_index {
    struct edge *edges[2]; // IPv4, IPv6
    size_t counts[2];
};

struct span {
    unsigned char first[16], last[16];
    uint32_t position;
};

static void to_span(const struct cidr_item *item, size_t size, struct span *span_r)
{
    memset(span_r, 0, sizeof(*span_r));
    memcpy(span_r->first, item->net.addr, size);
    memcpy(span_r->last, item->net.addr, size);
    for (unsigned bit = item->net.bits; bit < size * 8; bit++)
        span_r->last[bit / 8] |= (unsigned char)(0x80U >> bit % 8);
    span_r->position = item->position;
}

// Outer networks come before those they hold; of equal ones the first in the file.
static int compare_spans(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    int order = memcmp(x->first, y->first, 16);
    if (order == 0)
        order = memcmp(y->last, x->last, 16);
    return order != 0 ? order : x->position < y->position ? -1 : x->position > y->position;
}

static void add_edge(struct edge *edges, size_t *count, const unsigned char *addr, uint32_t position)
{
    if (*count > 0 && memcmp(edges[*count - 1].addr, addr, 16) == 0) {
        edges[*count - 1].position = position;
        return;
    }
    if (*count > 0 && edges[*count - 1].position == position)
        return;
    memcpy(edges[*count].addr, addr, 16);
    edges[(*count)++].position = position;
}

// Adds one to an address of `size` bytes; false: there is none above it.
static bool next_address(unsigned char *addr, size_t size)
{
    while (size-- > 0)
        if (++addr[size] != 0)
            return true;
    return false;
}

struct walk {
    struct edge *edges;
    size_t count;
    struct span *open; // a stack; position: the lowest of it and those below
    size_t depth;
    size_t size;
};

static void close_spans_before(struct walk *w, const unsigned char *addr)
{
    while (w->depth > 0 && (addr == NULL || memcmp(w->open[w->depth - 1].last, addr, 16) < 0)) {
        struct span ended = w->open[--w->depth];
        if (next_address(ended.last, w->size))
            add_edge(w->edges, &w->count, ended.last, w->depth > 0 ? w->open[w->depth - 1].position : CIDR_NOWHERE);
    }
}

static void build_family(struct cidr_index *index, unsigned family, struct span *spans, size_t count)
{
    struct walk w = {.edges = mem_alloc((2 * count + 1) * sizeof(struct edge)),
                     .open = mem_alloc(NESTING_MAX * sizeof(struct span)),
                     .size = family ? 16 : 4};

    qsort(spans, count, sizeof(struct span), compare_spans);
    for (size_t i = 0; i < count; i++) {
        struct span next = spans[i];
        close_spans_before(&w, next.first);
        if (w.depth > 0 && memcmp(w.open[w.depth - 1].first, next.first, 16) == 0 &&
            memcmp(w.open[w.depth - 1].last, next.last, 16) == 0)
            continue; // the same network once more
        if (w.depth > 0 && w.open[w.depth - 1].position < next.position)
            next.position = w.open[w.depth - 1].position;
        add_edge(w.edges, &w.count, next.first, next.position);
        w.open[w.depth++] = next;
    }
    close_spans_before(&w, NULL);
    mem_free(w.open);
    index->edges[family] = w.edges;
    index->counts[family] = w.count;
}

struct cidr_index *cidr_index_new(const struct cidr_item *items, size_t count)
{
    struct cidr_index *index = MEM_NEW(struct cidr_index);
    struct span *spans = mem_alloc((count + 1) * sizeof(struct span));

    for (unsigned family = 0; family < 2; family++) {
        size_t used = 0;
        for (size_t i = 0; i < count; i++)
            if ((items[i].net.family == AF_INET6) == (family == 1))
                to_span(&items[i], family ? 16 : 4, &spans[used++]);
        build_family(index, family, spans, used);
    }
    mem_free(spans);
    return index;
}

void cidr_index_free(struct cidr_index *index)
{
    if (index == NULL)
        return;
    mem_free(index->edges[0]);
    mem_free(index->edges[1]);
    mem_free(index);
}

static unsigned address_key(const struct net_addr *addr, unsigned char *key_r)
{
    memset(key_r, 0, 16);
    if (net_addr_family(addr) == AF_INET) {
        memcpy(key_r, &((const struct sockaddr_in *)(const void *)&addr->sa)->sin_addr, 4);
        return 0;
    }
    memcpy(key_r, &((const struct sockaddr_in6 *)(const void *)&addr->sa)->sin6_addr, 16);
    return 1;
}

uint32_t cidr_index_find(const struct cidr_index *index, const struct net_addr *addr)
{
    unsigned char key[16];
    unsigned family = address_key(addr, key);
    const struct edge *edges = index->edges[family];
    size_t low = 0, high = index->counts[family]; // edges below `low` are at or before the address

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(edges[middle].addr, key, 16) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? edges[low - 1].position : CIDR_NOWHERE;
}
