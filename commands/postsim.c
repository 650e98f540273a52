// SPDX-License-Identifier: ISC
// postsim.c: what the SMTP server would answer to a client, sender and recipient, and why: no message, no side effect.
//
// Names and tables are looked up; policy servers and address probes are asked with --ask-policy only.
// Suspends: DNS and table lookups.
#include "commands/postsim.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/access/access_client.h"
#include "lib/base/log.h"
#include "lib/ipc/log_setup.h"
#include "lib/mail/address.h"
#include "lib/net/dns.h"

#define GRACE_MS 1000

static struct settings settings;

struct simulation {
    const struct postsim *options;
    const struct conf *conf;
    struct access *access;
    struct route *route;
    struct access_session *session;
    struct access_facts facts;
    struct net_addr address;
    struct arena arena;
    struct postsim_result *result;
};

static void usage(void)
{
    die("usage: postsim --client address [--name host] [--helo name] [--from sender] --to recipient ... [--sasl-user "
        "name] [--service name] "
        "[--ask-policy] [--json] [-c config_dir] [-o name=value]");
}

static void parse_options(int argc, char **argv, struct postsim *p)
{
    enum { CLIENT = 1, NAME, HELO, FROM, TO, SASL_USER, SERVICE, ASK_POLICY, JSON };
    static const struct option options[] = {{"client", required_argument, NULL, CLIENT},
                                            {"name", required_argument, NULL, NAME},
                                            {"helo", required_argument, NULL, HELO},
                                            {"from", required_argument, NULL, FROM},
                                            {"to", required_argument, NULL, TO},
                                            {"sasl-user", required_argument, NULL, SASL_USER},
                                            {"service", required_argument, NULL, SERVICE},
                                            {"ask-policy", no_argument, NULL, ASK_POLICY},
                                            {"json", no_argument, NULL, JSON},
                                            {NULL, 0, NULL, 0}};
    const char **texts[] = {[CLIENT] = &p->client, [NAME] = &p->name,           [HELO] = &p->helo,
                            [FROM] = &p->sender,   [SASL_USER] = &p->sasl_user, [SERVICE] = &p->service};
    for (int letter; (letter = getopt_long(argc, argv, "c:o:", options, NULL)) != -1;) {
        if (letter == 'c')
            p->config_dir = optarg;
        else if (letter == 'o' && p->override_count + 1 < sizeof(p->overrides) / sizeof(p->overrides[0]))
            p->overrides[p->override_count++] = optarg;
        else if (letter == TO && p->recipient_count < POSTSIM_RECIPIENTS_MAX)
            p->recipients[p->recipient_count++] = optarg;
        else if (letter == ASK_POLICY)
            p->asks_policy = true;
        else if (letter == JSON)
            p->is_json = true;
        else if (letter < CLIENT || letter > SERVICE || letter == TO)
            usage();
        else
            *texts[letter] = optarg;
    }
    if (p->client == NULL || p->recipient_count == 0 || optind < argc)
        usage();
}

// The -o options of a row of master.cf are those of the server that is simulated; -o of ours come after them.
static void apply_service(struct conf *conf, const struct postsim *p, struct arena *arena)
{
    struct master_row *rows;
    size_t count;
    struct err err = ERR_INIT;
    bool is_found = false;
    struct buf path = BUF_INIT;
    buf_addf(&path, "%s/master.cf", conf_dir(conf));
    if (master_cf_read(conf, buf_cstr(&path), arena, &rows, &count, &err) < 0)
        die("%s", err.text);
    buf_release(&path);
    for (size_t i = 0; i < count; i++) {
        if (!str_is(rows[i].name, str_from(p->service)) || !str_is(rows[i].command, STR("smtpd")))
            continue;
        is_found = true;
        for (size_t a = 0; a + 1 < rows[i].argc; a++) {
            struct str value = rows[i].argv[a + 1], name;
            if (str_is(rows[i].argv[a], STR("-o")) && str_cut(&value, '=', &name))
                (void)conf_override(conf, str_trim(name), str_trim(value));
        }
    }
    if (!is_found)
        die("no row for smtpd in master.cf has the name %s", p->service);
    for (size_t i = 0; i < p->override_count; i++) {
        struct str value = str_from(p->overrides[i]), name;
        if (str_cut(&value, '=', &name))
            (void)conf_override(conf, str_trim(name), str_trim(value));
    }
}

// ---- The client

static void name_client(struct simulation *s) CO
{
    const char *given = s->options->name;
    struct access_facts *f = &s->facts;
    struct access_client names = {STR("unknown"), STR("unknown"), ACCESS_NAME_UNKNOWN, ACCESS_NAME_UNKNOWN};
    if (given != NULL && strcmp(given, "unknown") != 0)
        names = (struct access_client){str_from(given), str_from(given), ACCESS_NAME_OK, ACCESS_NAME_OK};
    else if (given == NULL && settings.smtpd_peername_lookup)
        access_client_look_up(&s->address, &s->arena, &names);
    f->client_name = names.name;
    f->client_reverse = names.reverse;
    f->name_status = names.name_status;
    f->reverse_status = names.reverse_status;
}

// All questions are about one message.
static struct str told_instance(const struct access_facts *f)
{
    return STR("0.0.0.0");
}

static void describe_client(struct simulation *s) CO
{
    struct access_facts *f = &s->facts;
    struct err err = ERR_INIT;
    struct buf text = BUF_INIT;
    name_client(s);
    net_addr_add_text(&text, &s->address);
    f->client_address = arena_str(&s->arena, buf_str(&text));
    buf_release(&text);
    f->client_addr = &s->address;
    f->client = arena_strf(&s->arena, STR_FMT "[" STR_FMT "]", STR_ARG(f->client_name), STR_ARG(f->client_address));
    f->client_port = STR("0");
    f->protocol = "ESMTP";
    f->instance = told_instance;
    struct match_list *mynetworks = match_list_open(settings.mynetworks, MATCH_NETWORKS, &err);
    int is_ours = mynetworks == NULL ? -1 : match_list_has_addr(mynetworks, f->client_name, &s->address, &err);
    if (is_ours < 0)
        log_warn("mynetworks: %s: treated as not listed", err.text);
    f->is_mynetworks = is_ours > 0;
    if (mynetworks != NULL)
        match_list_close(mynetworks);
    if (s->options->sasl_user != NULL)
        f->sasl = (struct access_sasl){.method = STR("PLAIN"), .username = str_from(s->options->sasl_user)};
    s->result->client = f->client;
}

// ---- The dialogue

static void note_status(struct postsim_result *r, const struct access_verdict *v)
{
    int status = v->outcome == ACCESS_PASS ? POSTSIM_ACCEPTED
                 : v->code / 100 == 4      ? POSTSIM_TEMPORARY
                                           : POSTSIM_REFUSED;
    if (r->status == POSTSIM_ACCEPTED || status == POSTSIM_REFUSED)
        r->status = status;
}

static struct postsim_stage *begin_stage(struct postsim_result *r, const char *name, struct str recipient)
{
    struct postsim_stage *at = &r->stages[r->stage_count++];
    *at = (struct postsim_stage){
        .name = name, .recipient = recipient, .first_step = r->trace.count, .end_step = r->trace.count};
    return at;
}

// An address that the server refuses for its form, before any list is asked. `recipient` is STR_NULL for the sender.
static bool is_refused_by_form(struct simulation *s, const char *name, struct str recipient) CO
{
    bool is_sender = recipient.ptr == NULL;
    struct str address = is_sender ? s->facts.sender : recipient;
    if (address.len > 0 ? address_is_sane(address) && !access_is_malformed(s->session, address) : is_sender)
        return false;
    struct access_verdict *v = &begin_stage(s->result, name, recipient)->verdict;
    *v = (struct access_verdict){
        .outcome = ACCESS_REFUSE, .code = 501, .reason = {.parameter = "the form of the address"}};
    strcpy(v->status, is_sender ? "5.1.7" : "5.1.3");
    strcpy(v->text, is_sender ? "Bad sender address syntax" : "Bad recipient address syntax");
    note_status(s->result, v);
    return true;
}

// False: refused.
static bool run_stage(struct simulation *s, enum access_stage stage, const char *name, struct str recipient) CO
{
    struct postsim_result *r = s->result;
    struct postsim_stage *at = begin_stage(r, name, recipient);
    s->facts.state = name;
    s->facts.recipient = recipient;
    access_decide(s->session, stage, &s->facts, &s->arena, &at->verdict);
    at->end_step = r->trace.count;
    note_status(r, &at->verdict);
    return at->verdict.outcome == ACCESS_PASS;
}

static void run_dialogue(struct simulation *s) CO
{
    const struct postsim *p = s->options;
    unsigned accepted = 0;
    if (!run_stage(s, ACCESS_CONNECT, "CONNECT", STR_NULL))
        return;
    s->facts.helo = str_from(p->helo != NULL ? p->helo : "");
    if (p->helo != NULL && !run_stage(s, ACCESS_HELO, "EHLO", STR_NULL))
        return;
    s->facts.sender = str_from(p->sender != NULL ? p->sender : "");
    if (is_refused_by_form(s, "MAIL", STR_NULL) || !run_stage(s, ACCESS_MAIL, "MAIL", STR_NULL))
        return;
    for (size_t i = 0; i < p->recipient_count; i++) {
        s->facts.recipient_count = accepted;
        struct str recipient = str_from(p->recipients[i]);
        accepted += !is_refused_by_form(s, "RCPT", recipient) && run_stage(s, ACCESS_RCPT, "RCPT", recipient);
    }
    s->facts.recipient_count = accepted;
    struct str only = accepted == 1 && p->recipient_count == 1 ? str_from(p->recipients[0]) : STR_NULL;
    if (accepted > 0 && run_stage(s, ACCESS_DATA, "DATA", only))
        (void)run_stage(s, ACCESS_END_OF_DATA, "END-OF-MESSAGE", only);
}

static void simulate(void *arg)
{
    co_assert_running();
    struct simulation *s = arg;
    describe_client(s);
    s->session = access_session_new(s->access);
    access_session_trace(s->session, &s->result->trace);
    run_dialogue(s);
    postsim_print(s->options, s->result);
    access_session_free(s->session);
    co_loop_stop();
}

static void open_engine(struct simulation *s)
{
    struct err err = ERR_INIT;
    s->route = route_open(&settings, &err);
    s->access = s->route != NULL ? access_open(s->conf, &settings, s->route, &err) : NULL;
    if (s->access == NULL || dns_init(&err) < 0)
        die("%s", err.text);
    if (s->options->asks_policy && chdir(settings.queue_directory.ptr) < 0) // where unix: names of servers begin
        log_warn("chdir " STR_FMT ": %m", STR_ARG(settings.queue_directory));
}

static struct conf *read_configuration(const struct postsim *p, struct arena *arena)
{
    struct err err = ERR_INIT;
    struct conf *conf = conf_open(p->config_dir != NULL ? p->config_dir : conf_default_dir(), p->overrides, &err);
    if (conf == NULL)
        die("%s", err.text);
    if (p->service != NULL)
        apply_service(conf, p, arena);
    if (settings_load(conf, "smtpd", arena, &settings, &err) < 0)
        die("%s", err.text);
    return conf;
}

int main(int argc, char **argv)
{
    struct postsim *p = MEM_NEW(struct postsim);
    struct simulation s = {.options = p, .result = MEM_NEW(struct postsim_result)};
    die_set_status(POSTSIM_USAGE);
    log_open(LOG_TO_FD, -1, "postsim", "postsim"); // nothing goes into the mail log
    log_add_stderr("postsim");
    opterr = 0;
    parse_options(argc, argv, p);
    if (net_addr_parse(str_from(p->client), 0, &s.address) < 0)
        die("--client wants an IP address, not \"%s\"", p->client);
    struct conf *conf = read_configuration(p, &s.arena);
    s.conf = conf;
    s.result->trace.asks_policy = p->asks_policy;
    table_use_backends();
    table_never_rebuild();
    co_loop_init();
    open_engine(&s);
    co_spawn("postsim", simulate, &s);
    co_loop_run(GRACE_MS);
    int status = s.result->status;
    access_close(s.access);
    route_close(s.route);
    dns_deinit();
    co_loop_free();
    conf_free(conf);
    arena_release(&s.arena);
    mem_free(s.result->trace.steps);
    mem_free(s.result);
    mem_free(p);
    return status;
}
