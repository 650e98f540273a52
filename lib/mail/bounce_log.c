// SPDX-License-Identifier: ISC
// bounce_log.c: the per-recipient text blocks of bounce/, defer/ and trace/ files.
// Trust: the file may be garbage or of an older writer: lines that make no sense are skipped.
#include "lib/mail/bounce_log.h"

static bool is_clean(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 32 || s.ptr[i] == 127)
            return false;
    return true;
}

static void add_field(struct buf *b, const char *name, struct str value)
{
    if (value.len > 0)
        buf_addf(b, "%s=" STR_FMT "\n", name, STR_ARG(value));
}

int bounce_log_add(struct buf *b, const struct bounce_entry *e, bool with_old_line)
{
    const struct str all[] = {e->recipient, e->original_recipient, e->dsn_orcpt, e->status,   e->action,
                              e->diag_type, e->diag_text,          e->mta_type,  e->mta_name, e->reason};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (!is_clean(all[i]))
            return -1;
    struct str shown = e->recipient.len > 0 ? e->recipient : STR("");
    buf_add_char(b, '\n');
    if (with_old_line)
        buf_addf(b, "<" STR_FMT ">: " STR_FMT "\n", STR_ARG(shown), STR_ARG(e->reason));
    buf_addf(b, "recipient=" STR_FMT "\n", STR_ARG(shown.len > 0 ? shown : STR("<>")));
    if (!str_is_nocase(e->original_recipient, e->recipient))
        add_field(b, "original_recipient", e->original_recipient);
    if (e->offset > 0)
        buf_addf(b, "offset=%lld\n", (long long)e->offset);
    add_field(b, "dsn_orig_rcpt", e->dsn_orcpt);
    if (e->notify != 0)
        buf_addf(b, "notify_flags=%d\n", e->notify);
    add_field(b, "status", e->status);
    add_field(b, "action", e->action);
    if (e->diag_type.len > 0 && e->diag_text.len > 0) {
        add_field(b, "diag_type", e->diag_type);
        add_field(b, "diag_text", e->diag_text);
    }
    if (e->mta_type.len > 0 && e->mta_name.len > 0) {
        add_field(b, "mta_type", e->mta_type);
        add_field(b, "mta_mname", e->mta_name);
    }
    add_field(b, "reason", e->reason);
    buf_add_char(b, '\n');
    return 0;
}

// ---- Reading

static void take_field(struct bounce_entry *e, struct str name, struct str value, struct arena *arena)
{
    const struct {
        struct str name;
        struct str *target;
    } fields[] = {
        {STR("recipient"), &e->recipient},     {STR("original_recipient"), &e->original_recipient},
        {STR("dsn_orig_rcpt"), &e->dsn_orcpt}, {STR("status"), &e->status},
        {STR("action"), &e->action},           {STR("diag_type"), &e->diag_type},
        {STR("diag_text"), &e->diag_text},     {STR("mta_type"), &e->mta_type},
        {STR("mta_mname"), &e->mta_name},      {STR("reason"), &e->reason},
    };
    int64_t number;
    if (str_is(name, STR("offset")) && str_to_i64(value, &number) == 0 && number >= 0)
        e->offset = number;
    if (str_is(name, STR("notify_flags")) && str_to_i64(value, &number) == 0 && number >= 0 && number < 16)
        e->notify = (int)number;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (str_is(name, fields[i].name))
            *fields[i].target = arena_str(arena, value);
}

// "<user@dom>: reason", the form that stands alone in old files.
static void take_old_line(struct bounce_entry *e, struct str line, struct arena *arena)
{
    long end = str_find_str(line, STR(">: "));
    if (end < 1)
        return;
    e->recipient = arena_str(arena, str_slice(line, 1, (size_t)end));
    e->reason = arena_str(arena, str_slice(line, (size_t)end + 3, line.len));
}

static void fill_defaults(struct bounce_entry *e, bool is_defer)
{
    if (str_is(e->recipient, STR("<>")))
        e->recipient = STR("");
    if (e->original_recipient.len == 0)
        e->original_recipient = e->recipient;
    if (e->status.len == 0)
        e->status = is_defer ? STR("4.0.0") : STR("5.0.0");
    if (e->action.len == 0)
        e->action = is_defer ? STR("delayed") : STR("failed");
    if (e->reason.len == 0)
        e->reason = STR("unknown reason");
}

int bounce_log_next(struct str *rest, bool is_defer, struct arena *arena, struct bounce_entry *entry_r)
{
    const struct str none = STR("");
    struct str line;
    bool has_any = false;
    *entry_r = (struct bounce_entry){.recipient = STR_NULL,
                                     .original_recipient = none,
                                     .dsn_orcpt = none,
                                     .status = none,
                                     .action = none,
                                     .diag_type = none,
                                     .diag_text = none,
                                     .mta_type = none,
                                     .mta_name = none,
                                     .reason = none};
    while (rest->len > 0) {
        struct str name;
        (void)str_cut(rest, '\n', &line);
        struct str value = line;
        if (str_trim(line).len == 0) {
            if (has_any)
                break;
        } else if (line.ptr[0] == '<') {
            take_old_line(entry_r, line, arena);
        } else if (str_cut(&value, '=', &name)) {
            take_field(entry_r, name, value, arena);
        }
        has_any = entry_r->recipient.ptr != NULL;
    }
    if (!has_any)
        return 0;
    fill_defaults(entry_r, is_defer);
    return 1;
}
