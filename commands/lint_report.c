// SPDX-License-Identifier: ISC
// lint_report.c: reads the configuration, has it checked, and prints what was found.
#include "commands/lint_report.h"

#include "commands/lint_relay.h"

#include <stdio.h>

#include "lib/base/log.h"
#include "lib/conf/lint.h"
#include "lib/table/table.h"

static const char *const level_names[] = {[LINT_NOTE] = "note", [LINT_WARNING] = "warning", [LINT_ERROR] = "error"};

static void print_json(const struct lint_finding *f)
{
    struct buf out = BUF_INIT;
    buf_add_char(&out, '{');
    buf_add_json_pair(&out, "level", str_from(level_names[f->level]));
    buf_add_cstr(&out, ", ");
    buf_add_json_pair(&out, "code", str_from(f->code));
    if (f->file != NULL) {
        buf_add_cstr(&out, ", ");
        buf_add_json_pair(&out, "file", str_from(f->file));
        buf_addf(&out, ", \"line\": %u", f->line);
    }
    buf_add_cstr(&out, ", ");
    buf_add_json_pair(&out, "text", f->text);
    printf("%s}\n", buf_cstr(&out));
    buf_release(&out);
}

static void print_finding(const struct lint_finding *f, enum lint_report_form form)
{
    struct buf place = BUF_INIT;
    if (f->file != NULL)
        buf_addf(&place, "%s:%u: ", f->file, f->line);
    if (form == LINT_REPORT_JSON)
        print_json(f);
    else if (form == LINT_REPORT_TEXT)
        printf("%s%s: " STR_FMT " [%s]\n", buf_cstr(&place), level_names[f->level], STR_ARG(f->text), f->code);
    else if (f->level == LINT_ERROR)
        log_error("%s" STR_FMT, buf_cstr(&place), STR_ARG(f->text));
    else if (f->level == LINT_WARNING)
        log_warn("%s" STR_FMT, buf_cstr(&place), STR_ARG(f->text));
    buf_release(&place);
}

static struct lint_finding broken(const char *text)
{
    return (struct lint_finding){LINT_ERROR, "unreadable", NULL, 0, str_from(text)};
}

int lint_report(const char *dir, const char *const *overrides, enum lint_report_form form)
{
    struct lint l = {.arena = ARENA_INIT, .table_types = table_types()};
    struct err err = ERR_INIT;
    struct master_row *rows = NULL;
    int worst = 0;
    struct conf *c = conf_open(dir, overrides, &err);
    l.conf = c;
    l.master_path = arena_strf(&l.arena, "%s/master.cf", dir).ptr;
    if (c == NULL || master_cf_read(c, l.master_path, &l.arena, &rows, &l.row_count, &err) != 0) {
        struct lint_finding f = broken(err.text);
        print_finding(&f, form);
        worst = LINT_ERROR;
    } else {
        l.rows = rows;
        lint_run(&l);
        lint_relay_ask(&l, dir, overrides);
    }
    for (size_t i = 0; i < l.count; i++) {
        print_finding(&l.findings[i], form);
        worst = (int)l.findings[i].level > worst ? (int)l.findings[i].level : worst;
    }
    lint_release(&l);
    conf_free(c);
    return worst;
}
