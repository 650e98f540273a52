// SPDX-License-Identifier: ISC
// lint.c: collects findings, and checks the values of parameters by type and bounds.
#include "lib/conf/lint_private.h"
#include "lib/conf/settings.h"

enum { DISTANCE_NAME_MAX = 100 };

void lint_add(struct lint *l, struct lint_kind kind, struct lint_place place, const char *format, ...)
{
    struct buf text = BUF_INIT;
    va_list ap;
    va_start(ap, format);
    buf_vaddf(&text, format, ap);
    va_end(ap);
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 32;
        l->findings = mem_realloc(l->findings, l->capacity * sizeof(*l->findings));
    }
    l->findings[l->count++] =
        (struct lint_finding){kind.level, kind.code, place.file, place.line, arena_str(&l->arena, buf_str(&text))};
    buf_release(&text);
}

struct lint_place lint_place_of(const struct lint *l, const char *parameter)
{
    struct conf_entry e = {.file = NULL};
    (void)conf_origin(l->conf, str_from(parameter), &e);
    return (struct lint_place){e.file, e.line};
}

struct str lint_value(struct lint *l, const char *parameter)
{
    struct buf out = BUF_INIT;
    if (conf_get_str(l->conf, parameter, NULL, &out, NULL) != 0)
        buf_clear(&out);
    struct str value = arena_str(&l->arena, buf_str(&out));
    buf_release(&out);
    return value;
}

size_t lint_distance(struct str a, struct str b, size_t limit)
{
    size_t row[DISTANCE_NAME_MAX + 1];
    size_t gap = a.len > b.len ? a.len - b.len : b.len - a.len;
    if (a.len > DISTANCE_NAME_MAX || b.len > DISTANCE_NAME_MAX || gap > limit)
        return limit + 1;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0], best = i;
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t cost = diagonal + (a.ptr[i - 1] != b.ptr[j - 1]);
            diagonal = row[j];
            size_t edit = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = cost < edit ? cost : edit;
            best = row[j] < best ? row[j] : best;
        }
        if (best > limit)
            return limit + 1;
    }
    return row[b.len] <= limit ? row[b.len] : limit + 1;
}

void lint_values(struct lint *l)
{
    struct conf_entry e;
    size_t at = 0;
    while (conf_next(l->conf, &at, &e)) {
        const struct param *p = param_find(e.name);
        struct lint_place place = {e.file, e.line};
        struct err err = ERR_INIT;
        struct buf out = BUF_INIT;
        if (p != NULL && p->class == PARAM_REMOVED)
            lint_add(l, KIND(LINT_NOTE, "removed"), place, "parameter %s is no longer read: remove it", p->name);
        else if (p != NULL && settings_check_value(l->conf, p, &err) != 0)
            lint_add(l, KIND(LINT_ERROR, "bad-value"), place, "%s", err.text);
        else if (p == NULL && conf_expand(l->conf, e.value, &out, &err) != 0)
            lint_add(l, KIND(LINT_ERROR, "bad-value"), place, "parameter " STR_FMT ": %s", STR_ARG(e.name), err.text);
        buf_release(&out);
    }
}

void lint_run(struct lint *l)
{
    lint_names(l);
    lint_values(l);
    lint_old_defaults(l);
    lint_tables(l);
    lint_restrictions(l);
    lint_services(l);
    lint_relay(l);
}

void lint_release(struct lint *l)
{
    mem_free(l->findings);
    arena_release(&l->arena);
}
