// SPDX-License-Identifier: ISC
// list.h: doubly linked lists whose links live in the members. All operations are O(1) but list_count.
#ifndef DROMOS_BASE_LIST_H
#define DROMOS_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

// A list head and a link are the same type; an initialised head or an unlinked link points to itself.
struct list {
    struct list *next;
    struct list *prev;
};
#define LIST_INIT(name)                                                                                                \
    {                                                                                                                  \
        &(name), &(name)                                                                                               \
    }
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_is_empty(const struct list *l)
{
    return l->next == l || l->next == NULL;
}
static inline void list_insert_between(struct list *item, struct list *prev, struct list *next)
{
    item->prev = prev;
    item->next = next;
    prev->next = item;
    next->prev = item;
}
static inline void list_append(struct list *head, struct list *item)
{
    list_insert_between(item, head->prev, head);
}
static inline void list_prepend(struct list *head, struct list *item)
{
    list_insert_between(item, head, head->next);
}
static inline void list_remove(struct list *item) // removing an unlinked, initialised item does nothing
{
    if (item->next == NULL)
        return;
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}
static inline struct list *list_first(const struct list *head) // NULL when empty
{
    return list_is_empty(head) ? NULL : head->next;
}
static inline size_t list_count(const struct list *head)
{
    size_t n = 0;
    for (const struct list *i = head->next; i != head; i = i->next)
        n++;
    return n;
}

#define LIST_EACH(item, head) for (struct list *item = (head)->next; item != (head); item = item->next)
// As LIST_EACH, and the current item may be removed.
#define LIST_EACH_SAFE(item, head)                                                                                     \
    for (struct list *item = (head)->next, *item##_next = item->next; item != (head);                                  \
         item = item##_next, item##_next = item->next)

#endif
