// SPDX-License-Identifier: ISC
// local_target.c: takes an alias value apart: addresses, |command, /file, :include:/list.
//
// Trust: values come from tables that users may own. Facts: reference on aliases(5).
#include "lib/mail/address.h"
#include "local/local.h"

// The length of the first item: up to a comma outside quotes, comments and angle brackets.
static size_t item_length(struct str text)
{
    bool quoted = false;
    unsigned comments = 0, angles = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\\')
            i++;
        else if (c == '"' && comments == 0)
            quoted = !quoted;
        else if (quoted)
            continue;
        else if (c == '(')
            comments++;
        else if (c == ')' && comments > 0)
            comments--;
        else if (c == '<')
            angles++;
        else if (c == '>' && angles > 0)
            angles--;
        else if ((c == ',' || c == '\n') && comments == 0 && angles == 0)
            return i;
    }
    return text.len;
}

// The text of an item that is quoted as a whole; other items as they are.
static struct str unquote(struct str item, struct arena *arena)
{
    struct buf text = BUF_INIT;
    struct str result;
    size_t i = 1;

    if (item.len < 2 || item.ptr[0] != '"')
        return item;
    for (; i < item.len && item.ptr[i] != '"'; i++) {
        if (item.ptr[i] == '\\' && i + 1 < item.len)
            i++;
        buf_add_char(&text, item.ptr[i]);
    }
    result = i + 1 == item.len ? arena_str(arena, buf_str(&text)) : item;
    buf_release(&text);
    return result;
}

static bool take_special(struct str item, struct arena *arena, struct local_target *target_r)
{
    struct str text = unquote(item, arena);

    *target_r = (struct local_target){LOCAL_TARGET_ADDRESS, text, false};
    if (str_starts(text, STR("|"))) {
        target_r->kind = LOCAL_TARGET_COMMAND;
        target_r->text = str_trim(str_slice(text, 1, text.len));
    } else if (str_starts_nocase(text, STR(":include:"))) {
        target_r->kind = LOCAL_TARGET_INCLUDE;
        target_r->text = str_trim(str_slice(text, 9, text.len));
    } else if (str_starts(text, STR("/")) || str_starts(text, STR("~/"))) {
        target_r->kind = LOCAL_TARGET_FILE;
    }
    return target_r->kind != LOCAL_TARGET_ADDRESS;
}

int local_targets_next(struct local_targets *t, struct local_target *target_r, struct err *err)
{
    struct address_list list;
    struct str item;
    size_t len;

    while (t->address_count == 0) {
        if (t->rest.len == 0)
            return 0;
        len = item_length(t->rest);
        item = str_trim(str_slice(t->rest, 0, len));
        t->rest = str_slice(t->rest, len + 1, t->rest.len);
        if (item.len == 0)
            continue;
        if (take_special(item, t->arena, target_r))
            return 1;
        target_r->is_final = item.ptr[0] == '\\';
        if (target_r->is_final)
            item = str_slice(item, 1, item.len);
        if (address_list_parse(item, t->arena, &list, err) < 0)
            return -1;
        if (target_r->is_final && list.count == 1) {
            target_r->text = list.items[0];
            return 1;
        }
        t->addresses = list.items;
        t->address_count = list.count;
    }
    *target_r = (struct local_target){LOCAL_TARGET_ADDRESS, t->addresses[0], false};
    t->addresses++;
    t->address_count--;
    return 1;
}
