// SPDX-License-Identifier: ISC
// postconf_edit.c: changes the text of main.cf line by line.
#include "commands/postconf.h"
#include "lib/base/log.h"

#define EDITS_MAX 10000

struct change {
    struct str name, value;
    unsigned used;
};
struct editor {
    enum postconf_edit edit;
    struct change *changes;
    size_t count;
    struct buf *out;
    struct change *current; // of the logical line that physical lines belong to; NULL: kept
};

static int add_change(struct editor *e, const char *text, struct err *err)
{
    struct str rest = str_from(text), name;
    struct change c = {0};
    if (strpbrk(text, "\n\r") != NULL)
        return err_set(err, ERR_PERMANENT, "-e, -X, or -# accepts no multi-line input");
    if (text[0] == '#')
        return err_set(err, ERR_PERMANENT, "-e, -X, or -# accepts no comment input");
    bool has_value = str_cut(&rest, '=', &name);
    c.name = str_trim(name);
    c.value = str_trim(rest);
    bool is_name = c.name.len > 0 && str_find(c.name, ' ') < 0 && str_find(c.name, '\t') < 0 && c.name.ptr[0] != '#';
    if (e->edit == POSTCONF_EDIT_SET && (!has_value || !is_name))
        return err_set(err, ERR_PERMANENT, "%s: \"%s\"",
                       has_value && c.name.len == 0 ? "missing attribute name" : "missing '=' after attribute name",
                       text);
    if (e->edit != POSTCONF_EDIT_SET && (has_value || !is_name))
        return err_set(err, ERR_PERMANENT, "-X and -# take names without value: \"%s\"", text);
    for (size_t i = 0; i < e->count; i++)
        if (str_is(e->changes[i].name, c.name)) {
            if (e->edit == POSTCONF_EDIT_SET)
                log_warn("ignoring earlier request: '" STR_FMT " = " STR_FMT "'", STR_ARG(c.name),
                         STR_ARG(e->changes[i].value));
            e->changes[i] = c; // the last of several wins
            return 0;
        }
    e->changes[e->count++] = c;
    return 0;
}

// The text up to the sign, which may stand in a continuation line, without line ends.
static bool read_name(struct str text, struct buf *name_r)
{
    struct str line, name;
    for (bool is_first = true; text.len > 0; is_first = false) {
        (void)str_cut(&text, '\n', &line);
        struct str content = conf_trim(line);
        if (!is_first && (content.len == 0 || content.ptr[0] == '#'))
            continue;
        if (!is_first && !conf_is_blank(line.ptr[0]))
            return false;
        bool has_sign = str_cut(&line, '=', &name);
        buf_add_str(name_r, name);
        if (has_sign)
            return true;
    }
    return false;
}

// The change of the logical line that `text` begins with.
static struct change *find_change(const struct editor *e, struct str text)
{
    struct buf name = BUF_INIT;
    struct change *found = NULL;
    if (read_name(text, &name))
        for (size_t i = 0; i < e->count; i++)
            if (str_is(e->changes[i].name, conf_trim(buf_str(&name))))
                found = &e->changes[i];
    buf_release(&name);
    return found;
}

static void add_assignment(struct editor *e, const struct change *c)
{
    buf_addf(e->out, STR_FMT " = " STR_FMT "\n", STR_ARG(c->name), STR_ARG(c->value));
}

// `line` is what `text`, the rest of the file, begins with.
static void edit_line(struct editor *e, struct str line, struct str text)
{
    struct str content = conf_trim(line);
    bool is_plain = content.len == 0 || content.ptr[0] == '#';
    bool is_continuation = !is_plain && conf_is_blank(line.ptr[0]);
    if (!is_plain && !is_continuation) {
        e->current = find_change(e, text);
        if (e->current != NULL) {
            e->current->used++;
            if (e->edit == POSTCONF_EDIT_SET)
                add_assignment(e, e->current);
        }
    }
    if (!is_plain && e->current != NULL && e->edit != POSTCONF_EDIT_COMMENT)
        return;
    if (!is_plain && e->current != NULL)
        buf_add_char(e->out, '#');
    buf_add_str(e->out, line);
    buf_add_char(e->out, '\n');
}

int postconf_edit_text(struct str text, enum postconf_edit edit, char *const *edits, struct buf *out, struct err *err)
{
    size_t count = 0;
    while (edits[count] != NULL)
        count++;
    if (count > EDITS_MAX)
        return err_set(err, ERR_PERMANENT, "more than %d changes at once", EDITS_MAX);
    struct editor e = {.edit = edit, .out = out, .changes = mem_alloc((count + 1) * sizeof(struct change))};
    int status = 0;
    for (size_t i = 0; status == 0 && i < count; i++)
        status = add_change(&e, edits[i], err);
    struct str rest = text, line;
    while (status == 0 && rest.len > 0) {
        struct str from_here = rest;
        str_cut(&rest, '\n', &line);
        if (line.ptr + line.len == text.ptr + text.len) // no newline at the end of the file
            rest = STR("");
        edit_line(&e, line, from_here);
    }
    for (size_t i = 0; status == 0 && i < e.count; i++) {
        if (e.changes[i].used > 1)
            log_warn("multiple entries for \"" STR_FMT "\"", STR_ARG(e.changes[i].name));
        if (e.changes[i].used == 0 && edit == POSTCONF_EDIT_SET)
            add_assignment(&e, &e.changes[i]);
    }
    mem_free(e.changes);
    return status;
}
