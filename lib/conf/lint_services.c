// SPDX-License-Identifier: ISC
// lint_services.c: services that nothing can reach, and transports that are named but do not exist.
#include "lib/conf/lint_private.h"

static bool has_service(const struct lint *l, struct str name)
{
    for (size_t i = 0; i < l->row_count; i++)
        if (str_is(l->rows[i].name, name) && !str_is(l->rows[i].type, STR("inet")))
            return true;
    return false;
}

// Default or not: every *_service_name and every transport names a service.
static bool is_named_by_parameter(struct lint *l, struct str service)
{
    for (size_t i = 0; i < param_count; i++) {
        struct str name = str_from(param_table[i].name), value, head;
        if (param_table[i].class == PARAM_SERVICE ||
            (!str_ends(name, STR("_service_name")) && !str_ends(name, STR("_transport"))))
            continue;
        value = lint_value(l, param_table[i].name);
        (void)str_cut(&value, ':', &head);
        if (str_is(head, service))
            return true;
    }
    return false;
}

// A value that names it as "service:", "private/service", "public/service".
static bool is_mentioned(struct lint *l, struct str service)
{
    struct conf_entry e;
    size_t at = 0;
    while (conf_next(l->conf, &at, &e)) {
        struct str rest = e.value, word;
        while (str_token(&rest, ", \t:{}=", &word))
            if (str_is(word, service) ||
                (str_ends(word, service) && word.len > service.len && word.ptr[word.len - service.len - 1] == '/'))
                return true;
    }
    for (size_t row = 0; row < l->row_count; row++)
        for (size_t i = 0; i < l->rows[row].argc; i++)
            if (str_find_str(l->rows[row].argv[i], service) >= 0 && !str_is(l->rows[row].name, service))
                return true;
    return false;
}

static bool is_well_known(struct str name)
{
    static const char *const names[] = {"retry",   "discard", "error", "relay", "postlog", "pickup",   "qmgr", "local",
                                        "virtual", "smtp",    "lmtp",  "smtpd", "dnsblog", "tlsproxy", "anvil"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (str_is(name, str_from(names[i])))
            return true;
    return false;
}

static void check_reach(struct lint *l, bool has_routes)
{
    for (size_t i = 0; i < l->row_count; i++) {
        const struct master_row *r = &l->rows[i];
        if (str_is(r->type, STR("inet")) || str_is(r->type, STR("fifo")) || is_well_known(r->name) ||
            is_named_by_parameter(l, r->name) || is_mentioned(l, r->name))
            continue;
        struct lint_place place = {l->master_path, r->line};
        lint_add(l, KIND(LINT_NOTE, "unreached-service"), place, "%s the service " STR_FMT "%s",
                 has_routes ? "only a table can name" : "nothing reaches", STR_ARG(r->name),
                 has_routes ? "" : ": no parameter names it and there is no transport table");
    }
}

void lint_services(struct lint *l)
{
    static const char *const routes[] = {"transport_maps",         "sender_dependent_default_transport_maps",
                                         "mailbox_transport_maps", "fallback_transport_maps",
                                         "header_checks",          "smtpd_recipient_restrictions"};
    static const char *const transports[] = {"local_transport",   "virtual_transport", "relay_transport",
                                             "default_transport", "mailbox_transport", "fallback_transport"};
    bool has_routes = false;
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
        has_routes = has_routes || str_find(lint_value(l, routes[i]), ':') >= 0;
    for (size_t i = 0; i < sizeof(transports) / sizeof(transports[0]); i++) {
        struct str value = lint_value(l, transports[i]), head;
        (void)str_cut(&value, ':', &head);
        if (head.len > 0 && l->row_count > 0 && !has_service(l, head))
            lint_add(l, KIND(LINT_ERROR, "unknown-service"), lint_place_of(l, transports[i]),
                     "%s: master.cf has no service \"" STR_FMT "\": mail would wait for it", transports[i],
                     STR_ARG(head));
    }
    check_reach(l, has_routes);
}
