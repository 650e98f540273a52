// SPDX-License-Identifier: ISC
// access_test.c: decisions over inline tables and a scripted name server.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/access/access_expand.h"
#include "lib/access/access_impl.h"

// ---- The name server: what is in the list, in order; all else does not exist.

static const struct {
    const char *name;
    int type;
    enum dns_status status;
    const char *value;
} zone[] = {
    {"2.2.0.192.list.example", DNS_TYPE_A, DNS_OK, "127.0.0.2"},
    {"2.2.0.192.list.example", DNS_TYPE_TXT, DNS_OK, "seen $sender"},
    {"2.2.0.192.dead.example", DNS_TYPE_A, DNS_TRY_AGAIN, NULL},
    {"sender.example.list.example", DNS_TYPE_A, DNS_OK, "127.0.0.9"},
    {"sender.example", DNS_TYPE_MX, DNS_OK, "mx.sender.example"},
    {"mx.sender.example", DNS_TYPE_A, DNS_OK, "198.51.100.7"},
    {"null.example", DNS_TYPE_MX, DNS_OK, ""},
    {"later.example", DNS_TYPE_MX, DNS_TRY_AGAIN, NULL},
    {"example", DNS_TYPE_NS, DNS_OK, "ns.example"},
    {"ns.example", DNS_TYPE_A, DNS_OK, "198.51.100.53"},
};
static struct buf asked; // names in the order of the questions
static struct arena zone_arena;

void access_dns_ahead(struct access_walk *w, struct str name, int type)
{
    buf_addf(&asked, STR_FMT "/%d ", STR_ARG(name), type);
}

const struct access_dns *access_dns(struct access_walk *w, struct str name, int type)
{
    struct access_dns *answer = ARENA_NEW(&zone_arena, struct access_dns);
    answer->status = DNS_NOT_FOUND;
    for (size_t i = 0; i < sizeof(zone) / sizeof(zone[0]); i++) {
        if (!str_is(name, str_from(zone[i].name)) || type != zone[i].type)
            continue;
        answer->status = zone[i].status;
        answer->count = zone[i].value != NULL;
        answer->records = ARENA_NEW(&zone_arena, struct access_dns_record);
        answer->records->text = str_from(zone[i].value);
        struct net_addr *addr = ARENA_NEW(&zone_arena, struct net_addr);
        if (type == DNS_TYPE_A && zone[i].value != NULL && net_addr_parse(str_from(zone[i].value), 0, addr) == 0)
            answer->records->addr = addr;
    }
    return answer;
}

void access_dns_trim(struct access_session *as)
{
}

void access_dns_forget(struct access_session *as)
{
}

// ---- The engine under test

static struct conf *conf;
static struct settings settings;
static struct route *route;
static struct access *access_engine;
static struct access_session *session;
static struct access_facts facts;
static struct net_addr client;
static struct arena arena;
static struct access_verdict verdict;

static void set(const char *name, const char *value)
{
    ck_assert_int_eq(conf_override(conf, str_from(name), str_from(value)), 0);
}

static void setup(void)
{
    log_open(LOG_TO_FD, -1, "test", "test");
    conf = conf_open_defaults("/nowhere");
    ck_assert_int_eq(net_addr_parse(STR("192.0.2.2"), 4000, &client), 0);
    facts = (struct access_facts){.state = "RCPT",
                                  .protocol = "ESMTP",
                                  .client = STR("client.example[192.0.2.2]"),
                                  .client_name = STR("client.example"),
                                  .client_reverse = STR("client.example"),
                                  .client_address = STR("192.0.2.2"),
                                  .client_addr = &client,
                                  .helo = STR("helo.example"),
                                  .sender = STR("s@sender.example"),
                                  .recipient = STR("r@ours.example")};
    set("compatibility_level", "3.6");
    set("myhostname", "mx.ours.example");
    set("mydestination", "ours.example");
    set("mynetworks", "127.0.0.0/8");
    set("inet_interfaces", "127.0.0.1");
    set("local_recipient_maps", "");
    set("alias_maps", "");
    set("smtpd_relay_restrictions", "permit_mynetworks, reject_unauth_destination");
}

static void teardown(void)
{
    access_session_free(session);
    access_close(access_engine);
    route_close(route);
    conf_free(conf);
    arena_release(&arena);
    arena_release(&zone_arena);
    buf_release(&asked);
    session = NULL;
    access_engine = NULL;
    route = NULL;
}

static int open_engine(struct err *err)
{
    ck_assert_int_eq(settings_load(conf, "smtpd", &arena, &settings, err), 0);
    route = route_open(&settings, err);
    ck_assert_ptr_nonnull(route);
    access_engine = access_open(conf, &settings, route, err);
    return access_engine == NULL ? -1 : 0;
}

// "ok", "hangup" or "554 5.7.1 text", for what is in `facts`.
static const char *decide(enum access_stage stage)
{
    struct err err = ERR_INIT;
    if (access_engine == NULL)
        ck_assert_msg(open_engine(&err) == 0, "%s", err.text);
    if (session == NULL)
        session = access_session_new(access_engine);
    access_decide(session, stage, &facts, &arena, &verdict);
    if (verdict.outcome == ACCESS_REFUSE)
        return arena_strf(&arena, "%d %s %s", verdict.code, verdict.status, verdict.text).ptr;
    return verdict.outcome == ACCESS_HANGUP ? "hangup" : "ok";
}

static const char *reason(void)
{
    struct buf b = BUF_INIT;
    access_reason_add(&b, &verdict.reason);
    const char *text = arena_str(&arena, buf_str(&b)).ptr;
    buf_release(&b);
    return text;
}

// ---- Lists

START_TEST(net_under_the_lists)
{
    static const struct {
        const char *relay, *recipient, *expected;
    } cases[] = {
        {"permit_mynetworks, reject_unauth_destination", "", "554 5.7.1 <x@far.example>: Relay access denied"},
        {"reject_unauth_destination", "permit", "554 5.7.1 <x@far.example>: Relay access denied"},
        {"check_sender_access inline:{sender.example=OK}, reject", "",
         "554 5.7.1 <x@far.example>: Relay access denied"},
        {"check_helo_access inline:{helo.example=OK}, reject", "", "554 5.7.1 <x@far.example>: Relay access denied"},
        {"check_client_access inline:{192.0.2=OK}, reject", "", "ok"},
        {"check_client_access inline:{192.0.2=permit}, reject", "", "ok"},
        {"check_recipient_access inline:{far.example=OK}, reject", "", "ok"},
        {"permit_dnswl_client list.example, reject", "",
         "554 5.7.1 <x@far.example>: Recipient address rejected: Access denied"},
        {"warn_if_reject reject", "", "554 5.7.1 <x@far.example>: Relay access denied"},
    };
    set("smtpd_client_restrictions", "permit_mynetworks, permit");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set("smtpd_relay_restrictions", cases[i].relay);
        set("smtpd_recipient_restrictions", cases[i].recipient);
        facts.recipient = STR("x@far.example");
        ck_assert_msg(strcmp(decide(ACCESS_RCPT), cases[i].expected) == 0, "%s: %s", cases[i].relay,
                      decide(ACCESS_RCPT));
        access_session_free(session);
        access_close(access_engine);
        route_close(route);
        session = NULL;
        access_engine = NULL;
        route = NULL;
    }
}
END_TEST

START_TEST(own_networks_may_relay)
{
    facts.is_mynetworks = true;
    facts.recipient = STR("x@far.example");
    ck_assert_str_eq(decide(ACCESS_RCPT), "ok");
}
END_TEST

START_TEST(logins_may_relay_where_the_list_says_so)
{
    set("smtpd_relay_restrictions", "permit_sasl_authenticated, reject");
    facts.recipient = STR("x@far.example");
    ck_assert_str_ne(decide(ACCESS_RCPT), "ok");
    facts.sasl = (struct access_sasl){.method = STR("anonymous"), .username = STR("x")};
    ck_assert_str_ne(decide(ACCESS_RCPT), "ok");
    facts.sasl.method = STR("PLAIN");
    ck_assert_str_eq(decide(ACCESS_RCPT), "ok");
}
END_TEST

START_TEST(certificates_may_relay)
{
    set("relay_clientcerts", "inline:{AA:BB=x}");
    set("smtpd_relay_restrictions", "permit_tls_clientcerts, reject");
    facts.recipient = STR("x@far.example");
    facts.tls = (struct access_tls){.is_on = true, .has_certificate = true, .certificate_fingerprint = STR("AA:BC")};
    ck_assert_str_ne(decide(ACCESS_RCPT), "ok");
    facts.tls.public_key_fingerprint = STR("AA:BB");
    ck_assert_str_eq(decide(ACCESS_RCPT), "ok");
}
END_TEST

START_TEST(some_restriction_must_stop_relaying)
{
    static const char *const bad[] = {"", "permit_mynetworks", "permit, reject", "check_sender_access inline:{a=b}",
                                      "loop"};
    static const char *const good[] = {"reject", "defer_if_permit", "stops",
                                       "permit_mynetworks, defer_unauth_destination"};
    set("smtpd_restriction_classes", "stops, loop");
    set("stops", "permit_mynetworks, reject");
    set("loop", "loop, permit");
    set("smtpd_recipient_restrictions", "");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]) + sizeof(good) / sizeof(good[0]); i++) {
        struct err err = ERR_INIT;
        bool is_good = i >= sizeof(bad) / sizeof(bad[0]);
        set("smtpd_relay_restrictions", is_good ? good[i - sizeof(bad) / sizeof(bad[0])] : bad[i]);
        ck_assert_int_eq(open_engine(&err), is_good ? 0 : -1);
        ck_assert(is_good || strstr(err.text, "reject_unauth_destination") != NULL);
        access_close(access_engine);
        route_close(route);
        access_engine = NULL;
        route = NULL;
    }
}
END_TEST

START_TEST(mistakes_forbid_to_start)
{
    static const struct {
        const char *name, *value;
    } bad[] = {{"smtpd_recipient_restrictions", "reject_rbl_client a.example=127.0.0"},
               {"smtpd_recipient_restrictions", "sleep soon"},
               {"smtpd_restriction_classes", "undefined"},
               {"unknown_address_tempfail_action", "hope"}};
    struct err err = ERR_INIT;
    set(bad[_i].name, bad[_i].value);
    ck_assert_int_eq(open_engine(&err), -1);
    ck_assert_str_ne(err.text, "");
}
END_TEST

START_TEST(a_list_is_walked_in_order)
{
    static const struct {
        const char *list, *expected, *reason;
    } cases[] = {
        {"reject", "554 5.7.1 <client.example[192.0.2.2]>: Client host rejected: Access denied",
         "smtpd_client_restrictions[1] reject"},
        {"permit_mynetworks defer", "450 4.3.2 <client.example[192.0.2.2]>: Client host rejected: Try again later",
         "smtpd_client_restrictions[2] defer"},
        {"warn_if_reject, reject, permit", "ok", ""},
        {"nonsense", "451 4.3.5 Server configuration error", "smtpd_client_restrictions[1] nonsense"},
        {"refuse", "554 5.7.1 <client.example[192.0.2.2]>: Client host rejected: Access denied",
         "smtpd_client_restrictions[1] reject"},
        {"recurse", "451 4.3.5 Server configuration error", "smtpd_client_restrictions[1] recurse"},
        {"defer_if_permit", "450 4.7.0 <client.example[192.0.2.2]>: Client host rejected: defer_if_permit requested",
         "smtpd_client_restrictions[1] defer_if_permit"},
        {"defer_if_reject, reject",
         "450 4.7.0 <client.example[192.0.2.2]>: Client host rejected: defer_if_reject requested",
         "smtpd_client_restrictions[1] defer_if_reject"},
        {"defer_if_reject", "ok", ""},
        {"defer_if_reject, defer_if_permit, nonsense",
         "450 4.7.0 <client.example[192.0.2.2]>: Client host rejected: defer_if_permit requested",
         "smtpd_client_restrictions[2] defer_if_permit"},
        {"check_client_access inline:{{client.example=REJECT 5.7.9 no}}",
         "554 5.7.9 <client.example[192.0.2.2]>: Client host rejected: no",
         "smtpd_client_restrictions[1] check_client_access inline:{{client.example=REJECT 5.7.9 no}} "
         "table=inline:{{client.example=REJECT 5.7.9 no}} key=client.example"},
    };
    set("smtpd_restriction_classes", "refuse, recurse");
    set("refuse", "reject");
    set("recurse", "recurse");
    set("smtpd_client_restrictions", cases[_i].list);
    ck_assert_str_eq(decide(ACCESS_RCPT), cases[_i].expected);
    ck_assert_str_eq(reason(), cases[_i].reason);
}
END_TEST

START_TEST(delayed_or_at_once)
{
    set("smtpd_delay_reject", "no");
    set("smtpd_client_restrictions", "defer_if_permit");
    set("smtpd_helo_restrictions", "check_helo_access inline:{{bad.example=REJECT} {held.example=HOLD}}");
    facts.sender = facts.recipient = STR_NULL;
    ck_assert_str_eq(decide(ACCESS_CONNECT), "ok");
    facts.helo = STR("bad.example");
    ck_assert_str_eq(decide(ACCESS_HELO), "554 5.7.1 <bad.example>: Helo command rejected: Access denied");
    facts.helo = STR("held.example");
    ck_assert_str_eq(decide(ACCESS_HELO), "ok");
    ck_assert_uint_eq(verdict.effect_count, 0); // there is no message to hold yet
    facts.sender = STR("s@sender.example");
    ck_assert_str_eq(decide(ACCESS_MAIL), "ok");
    facts.recipient = STR("r@ours.example");
    ck_assert_str_eq(decide(ACCESS_RCPT),
                     "450 4.7.0 <client.example[192.0.2.2]>: Client host rejected: defer_if_permit requested");
    ck_assert_str_eq(reason(), "smtpd_client_restrictions[1] defer_if_permit");
}
END_TEST

// ---- Tables

START_TEST(keys_in_order)
{
    static const struct {
        const char *restriction, *table, *expected_key;
    } cases[] = {
        {"check_client_access", "192=x, 192.0=OK, 192.0.2.2=OK", "192.0.2.2"},
        {"check_client_access", "192.0=OK, 192=OK", "192.0"},
        {"check_client_access", "example=OK, 192.0.2.2=OK", "example"},
        {"check_helo_access", "example=OK, helo.example=OK", "helo.example"},
        {"check_sender_access", "s@=OK, sender.example=OK", "sender.example"},
        {"check_sender_access", "s@=OK, example=OK", "example"},
        {"check_sender_access", "s@=OK", "s@"},
        {"check_recipient_access", "r@=OK, user@ours.example=OK", "r@"},
    };
    char list[256];
    snprintf(list, sizeof list, "%s inline:{%s}, reject", cases[_i].restriction, cases[_i].table);
    set("smtpd_recipient_restrictions", list);
    set("smtpd_log_access_permit_actions", "static:all");
    ck_assert_str_eq(decide(ACCESS_RCPT), "ok");
    bool is_found = false;
    for (size_t i = 0; i < verdict.effect_count; i++)
        is_found |= str_is(verdict.effects[i].reason.key, str_from(cases[_i].expected_key));
    ck_assert(is_found);
}
END_TEST

START_TEST(actions)
{
    static const struct {
        const char *value, *expected, *verb;
    } cases[] = {
        {"OK", "ok", NULL},
        {"1234", "ok", NULL},
        {"DUNNO", "554 5.7.1 <r@ours.example>: Recipient address rejected: Access denied", NULL},
        {"REJECT", "554 5.7.1 <s@sender.example>: Sender address rejected: Access denied", NULL},
        {"reject 5.1.1 text", "554 5.1.7 <s@sender.example>: Sender address rejected: text", NULL},
        {"DEFER", "450 4.7.1 <s@sender.example>: Sender address rejected: Access denied", NULL},
        {"550 5.2.1 gone", "550 5.2.1 <s@sender.example>: Sender address rejected: gone", NULL},
        {"DEFER_IF_REJECT later", "450 4.7.1 <s@sender.example>: Sender address rejected: later", NULL},
        {"HANGUP", "hangup", NULL},
        {"HOLD", "554 5.7.1 <r@ours.example>: Recipient address rejected: Access denied", "hold"},
        {"WARN look", "554 5.7.1 <r@ours.example>: Recipient address rejected: Access denied", "warn"},
        {"DISCARD", "ok", "discard"},
        {"FILTER smtp:[127.0.0.1]", "554 5.7.1 <r@ours.example>: Recipient address rejected: Access denied", "filter"},
        {"FILTER nothing", "554 5.7.1 <r@ours.example>: Recipient address rejected: Access denied", NULL},
        {"PREPEND X-A: b", "554 5.7.1 <r@ours.example>: Recipient address rejected: Access denied", NULL},
        {"permit_mynetworks, defer", "450 4.3.2 <s@sender.example>: Sender address rejected: Try again later", NULL},
        {"check_sender_access hash:/not/open", "451 4.3.5 Server configuration error", NULL},
        {"WHAT", "451 4.3.5 Server configuration error", NULL},
    };
    char list[256];
    snprintf(list, sizeof list, "check_sender_access inline:{{sender.example=%s}}, reject", cases[_i].value);
    set("smtpd_recipient_restrictions", list);
    ck_assert_str_eq(decide(ACCESS_RCPT), cases[_i].expected);
    if (cases[_i].verb != NULL) {
        ck_assert_uint_ge(verdict.effect_count, 1);
        ck_assert_str_eq(verdict.effects[0].verb, cases[_i].verb);
    }
}
END_TEST

START_TEST(discard_ends_all_checks_of_the_message)
{
    set("smtpd_sender_restrictions", "check_sender_access inline:{sender.example=DISCARD}");
    set("smtpd_data_restrictions", "reject");
    facts.recipient = STR("x@far.example");
    ck_assert_str_eq(decide(ACCESS_RCPT), "ok");
    ck_assert_str_eq(decide(ACCESS_DATA), "ok");
    access_session_end_transaction(session);
    facts.sender = STR("other@good.example");
    ck_assert_str_eq(decide(ACCESS_RCPT), "554 5.7.1 <x@far.example>: Relay access denied");
}
END_TEST

START_TEST(a_broken_table_is_temporary)
{
    set("smtpd_recipient_restrictions", "check_sender_access texthash:/nowhere/at/all");
    ck_assert_str_eq(decide(ACCESS_RCPT),
                     "451 4.3.5 <s@sender.example>: Sender address rejected: Server configuration error");
}
END_TEST

// ---- Names and DNS

START_TEST(names_of_hosts)
{
    static const struct {
        const char *list, *helo, *sender, *expected;
    } cases[] = {
        {"reject_invalid_helo_hostname", "a..b", NULL, "501 5.5.2 <a..b>: Helo command rejected: Invalid name"},
        {"reject_invalid_helo_hostname", "[1.2.3]", NULL,
         "501 5.5.2 <[1.2.3]>: Helo command rejected: invalid ip address"},
        {"reject_invalid_helo_hostname", "[IPv6:::1]", NULL, "ok"},
        {"reject_non_fqdn_helo_hostname", "host", NULL,
         "504 5.5.2 <host>: Helo command rejected: need fully-qualified hostname"},
        {"reject_unknown_helo_hostname", "sender.example", NULL, "ok"},
        {"reject_unknown_helo_hostname", "nobody.example", NULL,
         "450 4.7.1 <nobody.example>: Helo command rejected: Host not found"},
        {"reject_non_fqdn_sender", NULL, "user",
         "504 5.5.2 <user>: Sender address rejected: need fully-qualified address"},
        {"reject_unknown_sender_domain", NULL, "x@null.example",
         "550 5.7.27 <x@null.example>: Sender address rejected: Domain null.example does not accept mail (nullMX)"},
        {"reject_unknown_sender_domain", NULL, "x@later.example",
         "450 4.1.8 <x@later.example>: Sender address rejected: Domain not found"},
        {"reject_unknown_sender_domain, reject", NULL, "x@later.example",
         "554 5.7.1 <r@ours.example>: Recipient address rejected: Access denied"},
        {"reject_unknown_sender_domain", NULL, "x@ours.example", "ok"},
        {"reject_unknown_sender_domain", NULL, "", "ok"},
    };
    set("smtpd_recipient_restrictions", cases[_i].list);
    if (cases[_i].helo != NULL)
        facts.helo = str_from(cases[_i].helo);
    if (cases[_i].sender != NULL)
        facts.sender = str_from(cases[_i].sender);
    ck_assert_str_eq(decide(ACCESS_RCPT), cases[_i].expected);
}
END_TEST

START_TEST(unknown_clients)
{
    set("smtpd_client_restrictions", "reject_unknown_client_hostname");
    set("unknown_client_reject_code", "550");
    facts.client_name = STR("unknown");
    facts.name_status = ACCESS_NAME_FORGED;
    ck_assert_str_eq(decide(ACCESS_RCPT), "550 5.7.25 Client host rejected: cannot find your hostname, [192.0.2.2]");
    facts.name_status = ACCESS_NAME_TRY_AGAIN;
    ck_assert_str_eq(decide(ACCESS_RCPT), "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.2]");
}
END_TEST

START_TEST(lists_of_the_bad)
{
    static const struct {
        const char *list, *expected;
    } cases[] = {
        {"reject_rbl_client list.example",
         "554 5.7.1 Service unavailable; Client host [192.0.2.2] blocked using list.example; seen $sender"},
        {"reject_rbl_client list.example=127.0.0.[3..9]", "ok"},
        {"reject_rbl_client list.example=127.0.[0;2].[1..2]",
         "554 5.7.1 Service unavailable; Client host [192.0.2.2] blocked using list.example; seen $sender"},
        {"reject_rbl_client dead.example", "ok"},
        {"reject_rhsbl_sender list.example",
         "554 5.7.1 Service unavailable; Sender address [s@sender.example] blocked using list.example"},
        {"permit_dnswl_client list.example, reject", "ok"},
        {"permit_dnswl_client dead.example, reject",
         "450 4.7.1 <192.0.2.2>: Client host rejected: Service unavailable"},
    };
    set("smtpd_recipient_restrictions", cases[_i].list);
    ck_assert_str_eq(decide(ACCESS_RCPT), cases[_i].expected);
}
END_TEST

START_TEST(questions_of_a_list_go_out_together)
{
    set("smtpd_client_restrictions", "permit_mynetworks, reject_rbl_client one.example, reject_rbl_client two.example, "
                                     "reject_unknown_helo_hostname");
    ck_assert_str_eq(decide(ACCESS_RCPT), "450 4.7.1 <helo.example>: Helo command rejected: Host not found");
    ck_assert_msg(strncmp(buf_cstr(&asked), "2.2.0.192.one.example/1 2.2.0.192.two.example/1 helo.example/15 ", 64) ==
                      0,
                  "%s", buf_cstr(&asked));
    buf_clear(&asked);
    facts.is_mynetworks = true;
    ck_assert_str_eq(decide(ACCESS_RCPT), "ok");
    ck_assert_str_eq(buf_cstr(&asked), ""); // whoever is let through before is not looked up
}
END_TEST

START_TEST(servers_of_a_domain_refuse_but_never_permit)
{
    static const struct {
        const char *list, *expected;
    } cases[] = {
        {"check_sender_mx_access inline:{{198.51.100.7=REJECT mx}}",
         "554 5.7.1 <s@sender.example>: Sender address rejected: mx"},
        {"check_sender_mx_access inline:{{sender.example=REJECT parent}}",
         "554 5.7.1 <s@sender.example>: Sender address rejected: parent"},
        {"check_sender_mx_access inline:{{198.51=OK}}", "451 4.3.5 Server configuration error"},
        {"check_sender_ns_access inline:{{ns.example=REJECT ns}}",
         "554 5.7.1 <s@sender.example>: Sender address rejected: ns"},
        {"check_sender_ns_access inline:{{198.51.100=DUNNO}}", "ok"},
    };
    set("smtpd_recipient_restrictions", cases[_i].list);
    ck_assert_str_eq(decide(ACCESS_RCPT), cases[_i].expected);
}
END_TEST

// ---- Replies

START_TEST(expansion)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"$sender_name at ${sender_domain}", "s at sender.example"},
        {"$(helo_name)!", "helo.example!"},
        {"${extra?yes}${extra:no}", "yes"},
        {"${none?yes}${none:no}", "no"},
        {"${extra?{a $extra}:{b}}", "a v_1"},
        {"${none?{a}:{b ${extra}}}", "b v_1"},
        {"a$$b", "a$b"},
        {"$unknown", ""},
    };
    const struct access_macro macros[] = {{"extra", STR("v$1")}, {"none", STR("")}};
    settings.smtpd_expansion_filter = STR("\\t\\40abcdefghijklmnopqrstuvwxyz\\061.");
    struct access_expansion x = {.settings = &settings, .facts = &facts, .macros = macros, .macro_count = 2};
    struct buf out = BUF_INIT;
    struct err err = ERR_INIT;
    ck_assert_int_eq(access_expand(&x, str_from(cases[_i].text), &out, &err), 0);
    ck_assert_str_eq(buf_cstr(&out), cases[_i].expected);
    buf_release(&out);
}
END_TEST

START_TEST(bad_expansions)
{
    static const char *const bad[] = {"$", "${", "${a", "$(a}", "${a b}", "${?x}", "$-"};
    struct access_expansion x = {.settings = &settings, .facts = &facts};
    struct buf out = BUF_INIT;
    struct err err = ERR_INIT;
    ck_assert_int_eq(access_expand(&x, str_from(bad[_i]), &out, &err), -1);
    buf_release(&out);
}
END_TEST

START_TEST(steps_are_traced_without_effects)
{
    struct access_trace trace = {.steps = NULL};
    set("smtpd_client_restrictions", "sleep 3600, check_policy_service unix:private/nobody");
    set("smtpd_recipient_restrictions", "check_sender_access inline:{sender.example=reject_unauth_pipelining}, reject");
    struct err err = ERR_INIT;
    ck_assert_int_eq(open_engine(&err), 0);
    session = access_session_new(access_engine);
    access_session_trace(session, &trace);
    ck_assert_str_ne(decide(ACCESS_RCPT), "ok");
    ck_assert_uint_eq(trace.count, 7);
    ck_assert_str_eq(trace.steps[0].result, "skipped");
    ck_assert_str_eq(trace.steps[1].result, "skipped");
    ck_assert_str_eq(trace.steps[3].parameter, "smtpd_relay_restrictions");
    ck_assert_uint_eq(trace.steps[4].depth, 1);
    ck_assert_str_eq(trace.steps[6].result, "reject");
    mem_free(trace.steps);
}
END_TEST

#define LOOP(tcase, test, count) tcase_add_loop_test(tcase, test, 0, count)

int main(void)
{
    Suite *suite = suite_create("access");
    TCase *lists = tcase_create("lists"), *tables = tcase_create("tables"), *names = tcase_create("names"),
          *replies = tcase_create("replies");
    TCase *all[] = {lists, tables, names, replies};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        tcase_add_checked_fixture(all[i], setup, teardown);
        suite_add_tcase(suite, all[i]);
    }
    tcase_add_test(lists, net_under_the_lists);
    tcase_add_test(lists, own_networks_may_relay);
    tcase_add_test(lists, logins_may_relay_where_the_list_says_so);
    tcase_add_test(lists, certificates_may_relay);
    tcase_add_test(lists, some_restriction_must_stop_relaying);
    LOOP(lists, mistakes_forbid_to_start, 4);
    LOOP(lists, a_list_is_walked_in_order, 11);
    tcase_add_test(lists, delayed_or_at_once);
    LOOP(tables, keys_in_order, 8);
    LOOP(tables, actions, 18);
    tcase_add_test(tables, discard_ends_all_checks_of_the_message);
    tcase_add_test(tables, a_broken_table_is_temporary);
    LOOP(names, names_of_hosts, 12);
    tcase_add_test(names, unknown_clients);
    LOOP(names, lists_of_the_bad, 7);
    tcase_add_test(names, questions_of_a_list_go_out_together);
    LOOP(names, servers_of_a_domain_refuse_but_never_permit, 5);
    LOOP(replies, expansion, 8);
    LOOP(replies, bad_expansions, 7);
    tcase_add_test(replies, steps_are_traced_without_effects);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
