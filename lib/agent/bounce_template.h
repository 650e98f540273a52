// SPDX-License-Identifier: ISC
// bounce_template.h: the texts of notifications, for the service that sends them and for postconf that shows them.
#ifndef DROMOS_AGENT_BOUNCE_TEMPLATE_H
#define DROMOS_AGENT_BOUNCE_TEMPLATE_H

#include "lib/conf/settings.h"

enum { BOUNCE_TEMPLATE_COUNT = 4 };

struct bounce_template {
    struct str charset, from, subject, postmaster_subject;
    struct str body;
};
struct bounce_templates {
    struct bounce_template of[BOUNCE_TEMPLATE_COUNT]; // by enum bounce_notice
};
extern const char *const bounce_template_names[BOUNCE_TEMPLATE_COUNT]; // "failure", "delay", "success", "verify"

// The built-in texts, or those of bounce_template_file, expanded. Warnings about an unusable file are logged.
void bounce_templates_load(struct bounce_templates *t, struct conf *conf, const struct settings *settings,
                           struct arena *arena);
// The two halves of it: the texts as written in `path` ("" for the built-in ones), and their expansion, which defines
// delay_warning_time_UNIT and maximal_queue_lifetime_UNIT in conf.
void bounce_templates_read(struct bounce_templates *t, const char *path, struct arena *arena);
void bounce_templates_expand(struct bounce_templates *t, struct conf *conf, const struct settings *settings,
                             struct arena *arena);
// "name = <<EOF" blocks; false when malformed. For tests.
bool bounce_templates_parse(struct bounce_templates *t, struct str text, struct arena *arena, struct err *err);

#endif
