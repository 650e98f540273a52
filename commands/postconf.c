// SPDX-License-Identifier: ISC
// postconf.c: shows and changes the configuration, and finds mistakes in it.
#include "commands/postconf.h"

#include <stdio.h>

#include "commands/lint_report.h"
#include "lib/base/log.h"

static int show(struct postconf *p)
{
    const struct postconf_options *o = p->options;
    struct err err = ERR_INIT;
    p->conf = o->defaults ? conf_open_defaults(o->dir) : conf_open(o->dir, o->overrides, &err);
    if (p->conf == NULL)
        die("%s", err.text);
    p->defaults = conf_open_defaults(o->dir);
    postconf_learn(p);
    int status = 0;
    if (o->mode == POSTCONF_MAIN)
        status = postconf_print_main(p);
    else if (o->mode == POSTCONF_ORIGIN)
        status = postconf_print_origin(p);
    else
        status = postconf_print_master(p);
    if (fflush(stdout) != 0)
        die("cannot write to standard output");
    if (!o->is_quiet && !o->defaults)
        postconf_warn(p);
    return status;
}

static void edit(const struct postconf_options *o)
{
    struct err err = ERR_INIT;
    if (postconf_edit(o, &err) != 0)
        die("%s", err.text);
}

int main(int argc, char **argv)
{
    struct postconf_options options;
    struct postconf p = {.options = &options};
    int status = 0;
    log_open(LOG_TO_STDERR, -1, "postconf", "");
    log_add_stderr("postconf");
    postconf_parse(&options, argc, argv);
    if (options.edit != POSTCONF_EDIT_NONE)
        edit(&options);
    else if (options.mode == POSTCONF_LINT)
        status = lint_report(options.dir, options.overrides, options.json ? LINT_REPORT_JSON : LINT_REPORT_TEXT);
    else if (options.mode == POSTCONF_EXPANDED || options.mode == POSTCONF_TEMPLATES)
        postconf_print_templates(&options);
    else if (!postconf_print_fixed(&options))
        status = show(&p);
    postconf_release(&p);
    return status;
}
