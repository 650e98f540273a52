// SPDX-License-Identifier: ISC
// access.c: opens everything that decisions need, and the memory of one client.
#include "lib/access/access_impl.h"

bool access_has_word(struct str list, struct str word)
{
    struct str token;
    while (str_token(&list, ACCESS_SEPARATORS, &token))
        if (str_is_nocase(token, word))
            return true;
    return false;
}

// Classes may name each other, so all of them exist before the first is compiled.
static int compile_classes(struct access *a, struct err *err)
{
    struct str name, rest = a->settings->smtpd_restriction_classes;
    while (str_token(&rest, ACCESS_SEPARATORS, &name))
        if (map_get(&a->classes, name) == NULL)
            map_set(&a->classes, name, ARENA_NEW(&a->arena, struct access_list));
    rest = a->settings->smtpd_restriction_classes;
    while (str_token(&rest, ACCESS_SEPARATORS, &name)) {
        struct buf value = BUF_INIT;
        const char *parameter = arena_cstr(&a->arena, name);
        struct access_source source = {
            .list = LIST_RECIPIENT, .parameter = parameter, .may_open = true, .arena = &a->arena};
        int rc = conf_get_str(a->conf, parameter, "", &value, err);
        if (rc == 0 && str_trim(buf_str(&value)).len == 0)
            rc = err_set(err, ERR_PERMANENT, "restriction class `%s' needs a definition", parameter);
        if (rc == 0)
            access_compile(a, &source, arena_str(&a->arena, buf_str(&value)), map_get(&a->classes, name));
        buf_release(&value);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static void compile_lists(struct access *a)
{
    const struct settings *set = a->settings;
    const struct {
        const char *parameter;
        struct str text;
    } lists[LIST_COUNT] = {
        [LIST_CLIENT] = {"smtpd_client_restrictions", set->smtpd_client_restrictions},
        [LIST_HELO] = {"smtpd_helo_restrictions", set->smtpd_helo_restrictions},
        [LIST_SENDER] = {"smtpd_sender_restrictions", set->smtpd_sender_restrictions},
        [LIST_RELAY] = {"smtpd_relay_restrictions", set->smtpd_relay_restrictions},
        [LIST_RECIPIENT] = {"smtpd_recipient_restrictions", set->smtpd_recipient_restrictions},
        [LIST_DATA] = {"smtpd_data_restrictions", set->smtpd_data_restrictions},
        [LIST_END_OF_DATA] = {"smtpd_end_of_data_restrictions", set->smtpd_end_of_data_restrictions},
        [LIST_ETRN] = {"smtpd_etrn_restrictions", set->smtpd_etrn_restrictions},
    };
    for (int i = 0; i < LIST_COUNT; i++) {
        struct access_source source = {
            .list = (enum access_list_id)i, .parameter = lists[i].parameter, .may_open = true, .arena = &a->arena};
        access_compile(a, &source, lists[i].text, &a->lists[i]);
    }
}

static int open_tables(struct access *a, struct err *err)
{
    const struct settings *set = a->settings;
    bool backup_parents = access_has_word(set->parent_domain_matches_subdomains, STR("permit_mx_backup_networks"));
    a->relay_clientcerts = table_list_open(set->relay_clientcerts, 0);
    a->rbl_reply_maps = table_list_open(set->rbl_reply_maps, 0);
    a->permit_actions = match_list_open(set->smtpd_log_access_permit_actions, 0, err);
    a->backup_networks =
        match_list_open(set->permit_mx_backup_networks, MATCH_NETWORKS | (backup_parents ? MATCH_PARENTS : 0), err);
    access_open_rewrite(a);
    return a->permit_actions == NULL || a->backup_networks == NULL ? -1 : 0;
}

static int check_actions(const struct settings *set, struct err *err)
{
    const struct {
        const char *name;
        struct str value;
    } actions[] = {{"unknown_address_tempfail_action", set->unknown_address_tempfail_action},
                   {"unknown_helo_hostname_tempfail_action", set->unknown_helo_hostname_tempfail_action},
                   {"unverified_recipient_tempfail_action", set->unverified_recipient_tempfail_action},
                   {"unverified_sender_tempfail_action", set->unverified_sender_tempfail_action}};
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (!str_is_nocase(actions[i].value, STR("defer_if_permit")) && !str_is_nocase(actions[i].value, STR("defer")))
            return err_set(err, ERR_PERMANENT, "bad value of %s: \"" STR_FMT "\": use defer_if_permit or defer",
                           actions[i].name, STR_ARG(actions[i].value));
    return 0;
}

struct access *access_open(const struct conf *conf, const struct settings *settings, struct route *route,
                           struct err *err)
{
    struct access *a = MEM_NEW(struct access);
    a->conf = conf;
    a->settings = settings;
    a->route = route;
    a->classes = MAP_INIT_NOCASE;
    a->policies = policy_pool_new(settings);
    a->login_maps = table_list_open(settings->smtpd_sender_login_maps, 0);
    a->parents_bare = access_has_word(settings->parent_domain_matches_subdomains, STR("smtpd_access_maps"));
    a->checks_unlisted = !access_has_word(settings->receive_override_options, STR("no_unknown_recipient_checks"));
    if (compile_classes(a, err) == 0) {
        compile_lists(a);
        if (a->error.kind != ERR_NONE)
            *err = a->error;
        else if (open_tables(a, err) == 0 && check_actions(settings, err) == 0 && access_check_lists(a, err) == 0)
            return a;
    }
    access_close(a);
    return NULL;
}

void access_close(struct access *a)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;
    if (a == NULL)
        return;
    while ((entry = map_next(&a->tables, &it)) != NULL)
        table_close(entry->value);
    map_release(&a->tables);
    table_list_close(a->relay_clientcerts);
    table_list_close(a->rbl_reply_maps);
    match_list_close(a->permit_actions);
    match_list_close(a->backup_networks);
    map_release(&a->classes);
    policy_pool_free(a->policies);
    table_list_close(a->login_maps);
    arena_release(&a->arena);
    mem_free(a);
}

// ---- Sessions

struct access_session *access_session_new(struct access *a)
{
    struct access_session *as = MEM_NEW(struct access_session);
    as->access = a;
    return as;
}

void access_session_free(struct access_session *as)
{
    if (as == NULL)
        return;
    access_dns_forget(as);
    arena_release(&as->arena);
    mem_free(as);
}

void access_session_end_transaction(struct access_session *as)
{
    as->is_dropping = false;
    as->carried[2] = as->carried[1];
}

void access_session_trace(struct access_session *as, struct access_trace *trace)
{
    as->trace = trace;
}
