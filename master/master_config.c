// SPDX-License-Identifier: ISC
// master_config.c: one reading of the configuration, and the environment that children get from it.
#include <stdio.h>
#include <stdlib.h>

#include "lib/conf/drain.h"
#include "master/master.h"

extern char **environ;

enum { ENVIRONMENT_MAX = 200 };

static void add_variable(struct master_config *c, struct str name, struct str value)
{
    const char **list = (const char **)(uintptr_t)c->environment;
    struct str text = arena_strf(&c->arena, STR_FMT "=" STR_FMT, STR_ARG(name), STR_ARG(value));
    struct str prefix = str_slice(text, 0, name.len + 1);
    for (size_t i = 0; i < c->environment_count; i++) {
        if (str_starts(str_from(list[i]), prefix)) {
            list[i] = text.ptr;
            return;
        }
    }
    if (c->environment_count < ENVIRONMENT_MAX - 1)
        list[c->environment_count++] = text.ptr;
}

// import_environment: "NAME" is taken over when set, "NAME=VALUE" is set. What is ours (DROMOS_...) passes always.
static void make_environment(struct master_config *c)
{
    c->environment = (const char *const *)ARENA_ARRAY(&c->arena, const char *, ENVIRONMENT_MAX);
    add_variable(c, STR("PATH"), STR("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    struct str rest = c->settings.import_environment, token, name;
    while (str_token_braced(&rest, ", \t\r\n", &token)) {
        if (token.len >= 2 && token.ptr[0] == '{')
            token = str_trim(str_slice(token, 1, token.len - 1));
        struct str value = token;
        if (str_cut(&value, '=', &name)) {
            add_variable(c, str_trim(name), str_trim(value));
            continue;
        }
        const char *current = getenv(arena_cstr(&c->arena, token));
        if (current != NULL)
            add_variable(c, token, str_from(current));
    }
    for (char **e = environ; *e != NULL; e++) {
        struct str value = str_from(*e);
        bool is_ours = str_starts(value, STR("DROMOS_DNS_")) || str_starts(value, STR("DROMOS_TEST_"));
        bool is_sanitizer = str_find_str(value, STR("SAN_OPTIONS=")) > 0;
        if ((is_ours || is_sanitizer) && str_cut(&value, '=', &name))
            add_variable(c, name, value);
    }
    add_variable(c, STR("MAIL_CONFIG"), str_from(conf_dir(c->conf)));
}

struct master_config *master_config_read(const struct master *m, struct err *err)
{
    struct master_config *c = MEM_NEW(struct master_config);
    c->arena = ARENA_INIT;
    c->conf = conf_open(conf_default_dir(), NULL, err);
    if (c->conf == NULL || settings_load(c->conf, "master", &c->arena, &c->settings, err) < 0) {
        master_config_free(c);
        return NULL;
    }
    struct str path = arena_strf(&c->arena, "%s/master.cf", conf_dir(c->conf));
    if (master_cf_read(c->conf, path.ptr, &c->arena, &c->rows, &c->row_count, err) < 0) {
        master_config_free(c);
        return NULL;
    }
    master_builtin_add(c);
    int rc = drain_mark_read(&c->settings, &c->arena, &c->drain_nexthop, err);
    if (rc < 0) {
        master_config_free(c);
        return NULL;
    }
    c->is_draining = rc == 1;
    make_environment(c);
    return c;
}

void master_config_free(struct master_config *c)
{
    if (c == NULL)
        return;
    if (c->conf != NULL)
        conf_free(c->conf);
    arena_release(&c->arena);
    mem_free(c);
}
