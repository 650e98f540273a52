// SPDX-License-Identifier: ISC
// lint_relay.c: has the SMTP server's decisions judge mail from strangers to strangers, for each SMTP service of
// master.cf.
//
// No name server and no table of another machine is asked: what would need them is passed over, which can only make the
// server look more open, never less.
// Suspends: in a loop of its own.
#include "commands/lint_relay.h"

#include "lib/access/access.h"
#include "lib/base/log.h"

#define FAR_DOMAIN "stranger.invalid"

struct proof {
    struct lint *lint;
    const char *dir;
    const char *const *overrides;
};

// One service: main.cf with the row's -o options.
struct service_proof {
    struct lint *lint;
    const struct master_row *row; // NULL: main.cf alone
    struct conf *conf;
    struct settings settings;
    struct route *route;
    struct access *access;
    struct match_list *mynetworks;
    struct arena arena;
};

static bool row_sets(const struct master_row *row, const char *parameter)
{
    for (size_t i = 0; row != NULL && i + 1 < row->argc; i++) {
        struct str value = row->argv[i + 1], name;
        if (str_is(row->argv[i], STR("-o")) && str_cut(&value, '=', &name) &&
            str_is(str_trim(name), str_from(parameter)))
            return true;
    }
    return false;
}

static struct lint_place place_of(const struct service_proof *s, const char *parameter)
{
    if (row_sets(s->row, parameter))
        return (struct lint_place){s->lint->master_path, s->row->line};
    return lint_place_of(s->lint, parameter);
}

static const char *domains_parameter(enum route_class class)
{
    switch (class) {
    case ROUTE_LOCAL:
        return "mydestination";
    case ROUTE_VIRTUAL_ALIAS:
        return "virtual_alias_domains";
    case ROUTE_VIRTUAL_MAILBOX:
        return "virtual_mailbox_domains";
    default:
        return "relay_domains";
    }
}

// Domains of nobody are ours.
static bool report_domains(struct service_proof *s) CO
{
    enum route_class class;
    struct err err = ERR_INIT;
    if (route_class_of_domain(s->route, STR(FAR_DOMAIN), &class, &err) < 0 || class == ROUTE_DEFAULT)
        return false;
    const char *parameter = domains_parameter(class);
    lint_add(s->lint, KIND(LINT_ERROR, "open-relay"), place_of(s, parameter),
             "%s makes every domain one of ours: mail for any domain is taken from anybody", parameter);
    return true;
}

// Why was it let through?
static void report_open(struct service_proof *s, const struct access_trace *trace, const char *stranger)
{
    static const char *const lists[] = {"smtpd_relay_restrictions", "smtpd_recipient_restrictions"};
    const struct access_step *permit = NULL;
    for (size_t i = 0; i < trace->count; i++) {
        const struct access_step *step = &trace->steps[i];
        bool is_relevant = strcmp(step->parameter, lists[0]) == 0 || strcmp(step->parameter, lists[1]) == 0;
        bool says_more = permit == NULL || str_is(permit->restriction, STR("permit"));
        if (says_more && is_relevant && strcmp(step->result, "permit") == 0)
            permit = step;
    }
    if (permit != NULL && !str_is(permit->restriction, STR("permit_mynetworks"))) {
        lint_add(s->lint, KIND(LINT_ERROR, "open-relay"), place_of(s, permit->parameter),
                 "%s: \"" STR_FMT "\" lets strangers such as %s relay through this host", permit->parameter,
                 STR_ARG(permit->restriction), stranger);
    } else {
        lint_add(s->lint, KIND(LINT_ERROR, "open-relay"), place_of(s, "mynetworks"),
                 "mynetworks takes in strangers such as %s: they may relay through this host", stranger);
    }
}

static bool has_skipped(const struct access_trace *trace)
{
    for (size_t i = 0; i < trace->count; i++)
        if (strcmp(trace->steps[i].result, "skipped") == 0 && trace->steps[i].position > 0)
            return true;
    return false;
}

static bool is_let_through(struct service_proof *s, const char *stranger, const char *sender,
                           struct access_trace *trace) CO
{
    struct net_addr addr;
    struct err err = ERR_INIT;
    struct access_verdict verdict;
    struct access_facts facts = {.state = "RCPT",
                                 .protocol = "ESMTP",
                                 .client_name = STR("unknown"),
                                 .client_reverse = STR("unknown"),
                                 .client_address = str_from(stranger),
                                 .client_addr = &addr,
                                 .client_port = STR("1024"),
                                 .sender = str_from(sender),
                                 .helo = s->settings.myhostname,
                                 .recipient = STR("x@" FAR_DOMAIN)};
    if (net_addr_parse(str_from(stranger), 25, &addr) < 0)
        return false;
    facts.client = arena_strf(&s->arena, "unknown[%s]", stranger);
    facts.is_mynetworks = match_list_has_addr(s->mynetworks, facts.client_name, &addr, &err) > 0;
    struct access_session *session = access_session_new(s->access);
    access_session_trace(session, trace);
    access_decide(session, ACCESS_RCPT, &facts, &s->arena, &verdict);
    access_session_free(session);
    return verdict.outcome == ACCESS_PASS;
}

// Addresses far apart, and senders that forgers use.
static void try_strangers(struct service_proof *s) CO
{
    static const char *const strangers[] = {"203.0.113.77", "198.51.100.1", "8.8.8.8",   "45.1.2.3",
                                            "91.1.2.3",     "150.1.2.3",    "185.1.2.3", "2001:db8::77",
                                            "2a00:1450::1", "2600:1f00::1"};
    const char *const senders[] = {"x@elsewhere.invalid", "",
                                   arena_strf(&s->arena, "postmaster@" STR_FMT, STR_ARG(s->settings.myhostname)).ptr};
    bool is_open = false, is_unjudged = false;
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]) && !is_open; i++) {
        for (size_t k = 0; k < sizeof(senders) / sizeof(senders[0]) && !is_open; k++) {
            struct access_trace trace = {.skips_network = true};
            is_open = is_let_through(s, strangers[i], senders[k], &trace);
            is_unjudged |= has_skipped(&trace);
            if (is_open)
                report_open(s, &trace, strangers[i]);
            mem_free(trace.steps);
        }
    }
    if (!is_open && is_unjudged && s->row == NULL)
        lint_add(
            s->lint, KIND(LINT_NOTE, "unjudged"), place_of(s, "smtpd_relay_restrictions"),
            "name servers, policy servers and tables of other machines were not asked whether strangers may relay");
}

static void open_service(struct service_proof *s, const struct proof *p)
{
    struct err err = ERR_INIT;
    s->conf = conf_open(p->dir, p->overrides, &err);
    for (size_t i = 0; s->conf != NULL && s->row != NULL && i + 1 < s->row->argc; i++) {
        struct str value = s->row->argv[i + 1], name;
        if (str_is(s->row->argv[i], STR("-o")) && str_cut(&value, '=', &name))
            (void)conf_override(s->conf, str_trim(name), str_trim(value));
    }
    if (s->conf == NULL || settings_load(s->conf, "smtpd", &s->arena, &s->settings, &err) < 0)
        return; // said elsewhere
    s->route = route_open(&s->settings, &err);
    s->mynetworks = match_list_open(s->settings.mynetworks, MATCH_NETWORKS, &err);
    if (s->route == NULL || s->mynetworks == NULL)
        return;
    s->access = access_open(s->conf, &s->settings, s->route, &err);
    if (s->access == NULL)
        lint_add(s->lint, KIND(LINT_ERROR, "bad-restriction"), place_of(s, "smtpd_relay_restrictions"),
                 "the SMTP server does not start: %s", err.text);
}

static void prove_service(const struct proof *p, const struct master_row *row) CO
{
    struct service_proof *s = MEM_NEW(struct service_proof);
    s->lint = p->lint;
    s->row = row;
    open_service(s, p);
    if (s->access != NULL && !report_domains(s))
        try_strangers(s);
    access_close(s->access);
    route_close(s->route);
    if (s->mynetworks != NULL)
        match_list_close(s->mynetworks);
    conf_free(s->conf);
    arena_release(&s->arena);
    mem_free(s);
}

static bool is_smtp_service(const struct master_row *row)
{
    return str_is(row->command, STR("smtpd"));
}

static bool has_options(const struct master_row *row)
{
    for (size_t i = 0; i < row->argc; i++)
        if (str_is(row->argv[i], STR("-o")))
            return true;
    return false;
}

static void prove_all(void *arg)
{
    co_assert_running();
    const struct proof *p = arg;
    bool has_main = false;
    for (size_t i = 0; i < p->lint->row_count; i++) {
        const struct master_row *row = &p->lint->rows[i];
        if (!is_smtp_service(row) || (!has_options(row) && has_main))
            continue;
        prove_service(p, has_options(row) ? row : NULL);
        has_main |= !has_options(row);
    }
    co_loop_stop();
}

void lint_relay_ask(struct lint *l, const char *dir, const char *const *overrides)
{
    struct proof p = {l, dir, overrides};
    bool was_quiet = log_set_quiet(true); // what is wrong with lists and tables is found, and said, by the other checks
    table_never_rebuild();
    co_loop_init();
    co_spawn("lint", prove_all, &p);
    co_loop_run(1000);
    co_loop_free();
    (void)log_set_quiet(was_quiet);
}
