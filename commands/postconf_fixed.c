// SPDX-License-Identifier: ISC
// postconf_fixed.c: what does not depend on main.cf (-a -A -l -m -T), and the templates of notifications (-b -t).
#include <openssl/crypto.h>
#include <openssl/opensslv.h>
#include <stdio.h>
#include <stdlib.h>

#include "commands/postconf.h"
#include "lib/agent/bounce_template.h"
#include "lib/base/log.h"
#include "lib/table/table.h"

static void print_list(const char *const *items)
{
    for (; *items != NULL; items++)
        puts(*items);
}

static void print_tls(const char *mode)
{
    static const char *const algorithms[] = {"dsa", "ecdsa", "rsa", NULL};
    if (strcmp(mode, "compile-version") == 0)
        puts(OPENSSL_VERSION_TEXT);
    else if (strcmp(mode, "run-version") == 0)
        puts(OpenSSL_version(OPENSSL_VERSION));
    else if (strcmp(mode, "public-key-algorithms") == 0)
        print_list(algorithms);
    else {
        log_warn("unknown 'postconf -T' mode: %s", mode);
        exit(1);
    }
}

bool postconf_print_fixed(const struct postconf_options *o)
{
    static const char *const locks[] = {"flock", "fcntl", "dotlock", NULL};
    static const char *const servers[] = {"cyrus", "dovecot", NULL};
    static const char *const clients[] = {"cyrus", NULL};
    switch (o->mode) {
    case POSTCONF_TYPES:
        print_list(table_types());
        return true;
    case POSTCONF_LOCKS:
        print_list(locks);
        return true;
    case POSTCONF_SERVERS:
        print_list(servers);
        return true;
    case POSTCONF_CLIENTS:
        print_list(clients);
        return true;
    case POSTCONF_TLS:
        print_tls(o->tls_mode);
        return true;
    default:
        return false;
    }
}

static void print_header(const char *name, struct str value)
{
    if (value.len > 0)
        printf("%s: " STR_FMT "\n", name, STR_ARG(value));
}

static void print_template(const char *name, const struct bounce_template *t, bool is_expanded)
{
    printf(is_expanded ? "expanded_%s_text = <<EOF\n" : "%s_template = <<EOF\n", name);
    if (!is_expanded) {
        print_header("Charset", t->charset);
        print_header("From", t->from.len > 0 ? t->from : STR("MAILER-DAEMON (Mail Delivery System)"));
        print_header("Subject", t->subject);
        print_header("Postmaster-Subject", t->postmaster_subject);
        putchar('\n');
    }
    printf(STR_FMT "%sEOF\n\n", STR_ARG(t->body), is_expanded ? "\n" : "");
}

void postconf_print_templates(const struct postconf_options *o)
{
    struct arena arena = ARENA_INIT;
    struct err err = ERR_INIT;
    struct settings *settings = ARENA_NEW(&arena, struct settings);
    struct bounce_templates templates;
    struct conf *conf = conf_open(o->dir, o->overrides, &err);
    if (conf == NULL || settings_load(conf, "bounce", &arena, settings, &err) != 0)
        die("%s", err.text);
    const struct str configured = settings->bounce_template_file;
    const char *path = o->names[0] != NULL ? o->names[0] : configured.len > 0 ? configured.ptr : "";
    bounce_templates_read(&templates, path, &arena);
    if (o->mode == POSTCONF_EXPANDED)
        bounce_templates_expand(&templates, conf, settings, &arena);
    for (int i = 0; i < BOUNCE_TEMPLATE_COUNT; i++)
        print_template(bounce_template_names[i], &templates.of[i], o->mode == POSTCONF_EXPANDED);
    conf_free(conf);
    arena_release(&arena);
}
