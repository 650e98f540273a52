// SPDX-License-Identifier: ISC
// lint_access.c: restriction lists with parts that cannot be reached, and who may say that he is somebody else.
//
// Whether strangers may relay is asked of the SMTP server's own decisions (commands/lint_relay.c).
#include "lib/conf/lint_private.h"
#include "lib/net/addr.h"

static const char *const restriction_lists[] = {"smtpd_client_restrictions",      "smtpd_helo_restrictions",
                                                "smtpd_sender_restrictions",      "smtpd_relay_restrictions",
                                                "smtpd_recipient_restrictions",   "smtpd_data_restrictions",
                                                "smtpd_end_of_data_restrictions", "smtpd_etrn_restrictions"};

static bool ends_list(struct str word)
{
    return str_is_nocase(word, STR("permit")) || str_is_nocase(word, STR("reject")) ||
           str_is_nocase(word, STR("defer"));
}

static bool takes_argument(struct str word)
{
    return str_starts_nocase(word, STR("check_")) || str_starts_nocase(word, STR("reject_rbl_client")) ||
           str_starts_nocase(word, STR("reject_rhsbl_")) || str_starts_nocase(word, STR("permit_dnswl_client")) ||
           str_starts_nocase(word, STR("permit_rhswl_client")) || str_is_nocase(word, STR("sleep"));
}

static bool is_class(struct lint *l, struct str word)
{
    struct str rest = lint_value(l, "smtpd_restriction_classes"), class;
    while (str_token(&rest, LINT_SEPARATORS, &class))
        if (str_is_nocase(class, word))
            return true;
    return false;
}

static bool is_restriction(struct lint *l, struct str word)
{
    static const char *const starts[] = {"permit", "reject", "check_", "defer", "warn_if_reject", "sleep"};
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
        if (str_starts_nocase(word, str_from(starts[i])))
            return true;
    return str_find(word, ':') >= 0 || word.ptr[0] == '{' || is_class(l, word);
}

static void check_list(struct lint *l, const char *parameter, struct str list, struct lint_place place)
{
    struct str word, end = STR_NULL;
    bool only_warns = false;
    while (str_token_braced(&list, LINT_SEPARATORS, &word)) {
        if (end.ptr != NULL) {
            lint_add(l, KIND(LINT_WARNING, "unreached-restriction"), place,
                     "%s: \"" STR_FMT "\" is never reached: \"" STR_FMT "\" before it ends the list", parameter,
                     STR_ARG(word), STR_ARG(end));
            return;
        }
        if (!is_restriction(l, word))
            lint_add(l, KIND(LINT_ERROR, "unknown-restriction"), place,
                     "%s: \"" STR_FMT "\" is no restriction: the server would answer 451 to everybody", parameter,
                     STR_ARG(word));
        if (ends_list(word) && !only_warns)
            end = word;
        only_warns = str_is_nocase(word, STR("warn_if_reject"));
        struct str argument;
        if (takes_argument(word) && !str_token_braced(&list, LINT_SEPARATORS, &argument))
            lint_add(l, KIND(LINT_ERROR, "bad-restriction"), place, "%s: \"" STR_FMT "\" needs an argument", parameter,
                     STR_ARG(word));
    }
}

void lint_restrictions(struct lint *l)
{
    struct str classes = lint_value(l, "smtpd_restriction_classes"), class;
    for (size_t i = 0; i < sizeof(restriction_lists) / sizeof(restriction_lists[0]); i++)
        check_list(l, restriction_lists[i], lint_value(l, restriction_lists[i]),
                   lint_place_of(l, restriction_lists[i]));
    while (str_token(&classes, LINT_SEPARATORS, &class)) {
        const char *name = arena_cstr(&l->arena, class);
        check_list(l, name, lint_value(l, name), lint_place_of(l, name));
    }
    for (size_t row = 0; row < l->row_count; row++) {
        const struct master_row *r = &l->rows[row];
        for (size_t i = 0; i + 1 < r->argc; i++) {
            struct str value = r->argv[i + 1], name;
            struct buf out = BUF_INIT;
            if (str_is(r->argv[i], STR("-o")) && str_cut(&value, '=', &name) && str_starts(name, STR("smtpd_")) &&
                str_ends(str_trim(name), STR("_restrictions")) && conf_expand(l->conf, value, &out, NULL) == 0)
                check_list(l, arena_cstr(&l->arena, str_trim(name)), arena_str(&l->arena, buf_str(&out)),
                           (struct lint_place){l->master_path, r->line});
            buf_release(&out);
        }
    }
}

// ---- Relaying

// Is the address in the list, by its networks alone? Tables and files are counted in *unjudged.
static bool list_has(struct str list, const struct net_addr *address, struct str *item_r, unsigned *unjudged)
{
    struct str item;
    while (str_token(&list, LINT_SEPARATORS, &item)) {
        struct net_cidr network;
        struct str text = item;
        bool is_negated = text.len > 0 && text.ptr[0] == '!';
        if (is_negated)
            text = str_slice(text, 1, text.len);
        if (str_is(text, STR("static:all")) || str_starts(text, STR("static:"))) {
            *item_r = item;
            return !is_negated;
        }
        if (net_cidr_parse(text, &network, NULL) != 0) {
            *unjudged += str_find(text, '/') >= 0;
            continue;
        }
        if (net_cidr_matches(&network, address)) {
            *item_r = item;
            return !is_negated;
        }
    }
    return false;
}

// Documentation networks and others far apart: nobody's own clients.
static void check_clients(struct lint *l, const char *parameter, const char *consequence)
{
    static const char *const strangers[] = {"203.0.113.77", "198.51.100.1", "8.8.8.8",   "45.1.2.3",
                                            "91.1.2.3",     "150.1.2.3",    "185.1.2.3", "2001:db8::77",
                                            "2a00:1450::1", "2600:1f00::1"};
    struct str list = lint_value(l, parameter);
    unsigned unjudged = 0, found = 0;
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]) && found == 0; i++) {
        struct net_addr address;
        struct str item;
        if (net_addr_parse(str_from(strangers[i]), 25, &address) == 0 && list_has(list, &address, &item, &unjudged)) {
            lint_add(l, KIND(LINT_ERROR, "open-relay"), lint_place_of(l, parameter),
                     "%s: \"" STR_FMT "\" takes in strangers such as %s: %s", parameter, STR_ARG(item), strangers[i],
                     consequence);
            found++;
        }
    }
    if (found == 0 && unjudged > 0)
        lint_add(l, KIND(LINT_NOTE, "unjudged"), lint_place_of(l, parameter),
                 "%s: items in tables and files were not judged", parameter);
}

static void check_domains(struct lint *l, const char *parameter)
{
    struct str list = lint_value(l, parameter), item;
    while (str_token_braced(&list, LINT_SEPARATORS, &item)) {
        if (str_is(item, STR("*")) || str_is(item, STR(".")))
            lint_add(l, KIND(LINT_WARNING, "bad-value"), lint_place_of(l, parameter),
                     "%s: \"" STR_FMT "\" matches no domain: list domains", parameter, STR_ARG(item));
    }
}

void lint_relay(struct lint *l)
{
    static const char *const domain_lists[] = {"mydestination", "relay_domains", "virtual_alias_domains",
                                               "virtual_mailbox_domains"};
    check_clients(l, "smtpd_authorized_xclient_hosts", "they may claim to be a client of mynetworks");
    for (size_t i = 0; i < sizeof(domain_lists) / sizeof(domain_lists[0]); i++)
        check_domains(l, domain_lists[i]);
}
