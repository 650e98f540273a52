// SPDX-License-Identifier: ISC
// access_generic.c: the table of restrictions, and those that need no lookup.
// Suspends: sleep.
#include "lib/access/access_impl.h"

enum generic {
    GENERIC_PERMIT,
    GENERIC_REJECT,
    GENERIC_DEFER,
    GENERIC_DEFER_IF_PERMIT,
    GENERIC_DEFER_IF_REJECT,
    GENERIC_PIPELINING,
    GENERIC_MULTI_BOUNCE,
    GENERIC_PLAINTEXT
};
enum identity { IDENTITY_MYNETWORKS, IDENTITY_INTERFACES, IDENTITY_SASL, IDENTITY_ANY_CERTIFICATE };

enum access_word judge_generic(struct access_walk *w, const struct access_rule *r)
{
    const struct settings *set = w->access->settings;
    const struct access_facts *f = w->facts;
    switch ((enum generic)r->keyword->detail) {
    case GENERIC_PERMIT:
        return ACCESS_PERMIT;
    case GENERIC_REJECT:
        return access_refuse(w, &w->subject, REPLY(set->reject_code, "5.7.1"), "Access denied");
    case GENERIC_DEFER:
        return access_refuse(w, &w->subject, REPLY(set->defer_code, "4.3.2"), "Try again later");
    case GENERIC_DEFER_IF_PERMIT:
        return access_defer_if_permit(w, &w->subject, REPLY(450, "4.7.0"), "defer_if_permit requested");
    case GENERIC_DEFER_IF_REJECT:
        return access_defer_if_reject(w, &w->subject, REPLY(450, "4.7.0"), "defer_if_reject requested");
    case GENERIC_PIPELINING:
        return f->has_pipelined
                   ? access_refuse(w, &w->subject, REPLY(503, "5.5.0"), "Improper use of SMTP command pipelining")
                   : ACCESS_NEXT;
    case GENERIC_MULTI_BOUNCE:
        return f->sender.ptr != NULL && f->sender.len == 0 && f->recipient_count + (w->stage == ACCESS_RCPT) > 1
                   ? access_refuse(w, &w->subject, REPLY(set->multi_recipient_bounce_reject_code, "5.5.3"),
                                   "Multi-recipient bounce")
                   : ACCESS_NEXT;
    case GENERIC_PLAINTEXT:
        return f->tls.is_on ? ACCESS_NEXT
                            : access_refuse_plain(w, &w->subject, REPLY(set->plaintext_reject_code, "4.7.1"),
                                                  STR("Session encryption is required"));
    }
    return ACCESS_NEXT;
}

enum access_word judge_identity(struct access_walk *w, const struct access_rule *r)
{
    const struct access_facts *f = w->facts;
    bool holds = false;
    switch ((enum identity)r->keyword->detail) {
    case IDENTITY_MYNETWORKS:
        holds = f->is_mynetworks;
        break;
    case IDENTITY_INTERFACES:
        holds = f->client_addr != NULL && route_is_own_address(w->access->route, f->client_addr);
        break;
    case IDENTITY_SASL:
        holds = f->sasl.method.len > 0 && !str_is_nocase(f->sasl.method, STR("anonymous"));
        break;
    case IDENTITY_ANY_CERTIFICATE:
        holds = f->tls.has_certificate && f->tls.is_trusted;
        break;
    }
    return holds ? ACCESS_PERMIT : ACCESS_NEXT;
}

enum access_word judge_sleep(struct access_walk *w, const struct access_rule *r)
{
    w->is_skipped = w->session->trace != NULL;
    if (!w->is_skipped && r->number > 0)
        co_sleep_until(clock_deadline(r->number));
    return ACCESS_NEXT;
}

enum access_word judge_removed(struct access_walk *w, const struct access_rule *r)
{
    const char *instead = str_is_nocase(r->word, STR("check_relay_domains")) ? "reject_unauth_destination"
                          : str_is_nocase(r->word, STR("reject_maps_rbl"))   ? "reject_rbl_client domain-name"
                                                                             : "permit_mynetworks";
    log_warn("support for restriction \"" STR_FMT "\" has been removed: use \"%s\" instead", STR_ARG(r->word), instead);
    return access_refuse_config(w);
}

// name, argument, detail, identifies, judge, ahead
const struct access_keyword access_keywords[] = {
    {"permit", ARGUMENT_NONE, GENERIC_PERMIT, false, judge_generic, NULL},
    {"reject", ARGUMENT_NONE, GENERIC_REJECT, false, judge_generic, NULL},
    {"defer", ARGUMENT_NONE, GENERIC_DEFER, false, judge_generic, NULL},
    {"defer_if_permit", ARGUMENT_NONE, GENERIC_DEFER_IF_PERMIT, false, judge_generic, NULL},
    {"defer_if_reject", ARGUMENT_NONE, GENERIC_DEFER_IF_REJECT, false, judge_generic, NULL},
    {"reject_unauth_pipelining", ARGUMENT_NONE, GENERIC_PIPELINING, false, judge_generic, NULL},
    {"reject_multi_recipient_bounce", ARGUMENT_NONE, GENERIC_MULTI_BOUNCE, false, judge_generic, NULL},
    {"reject_plaintext_session", ARGUMENT_NONE, GENERIC_PLAINTEXT, false, judge_generic, NULL},
    {"sleep", ARGUMENT_SECONDS, 0, false, judge_sleep, NULL},
    {"permit_mynetworks", ARGUMENT_NONE, IDENTITY_MYNETWORKS, true, judge_identity, NULL},
    {"permit_inet_interfaces", ARGUMENT_NONE, IDENTITY_INTERFACES, true, judge_identity, NULL},
    {"permit_sasl_authenticated", ARGUMENT_NONE, IDENTITY_SASL, true, judge_identity, NULL},
    {"permit_tls_all_clientcerts", ARGUMENT_NONE, IDENTITY_ANY_CERTIFICATE, true, judge_identity, NULL},
    {"permit_tls_clientcerts", ARGUMENT_NONE, 0, true, judge_client_certificate, NULL},
    {"permit_auth_destination", ARGUMENT_NONE, DESTINATION_PERMIT, true, judge_destination, NULL},
    {"reject_unauth_destination", ARGUMENT_NONE, DESTINATION_REJECT, false, judge_destination, NULL},
    {"defer_unauth_destination", ARGUMENT_NONE, DESTINATION_DEFER, false, judge_destination, NULL},
    {"permit_mx_backup", ARGUMENT_NONE, 0, true, judge_mx_backup, NULL},
    {"reject_unlisted_recipient", ARGUMENT_NONE, UNLISTED_RECIPIENT, false, judge_unlisted, NULL},
    {"check_recipient_maps", ARGUMENT_NONE, UNLISTED_RECIPIENT, false, judge_unlisted, NULL},
    {"check_policy_service", ARGUMENT_SERVICE, 0, true, judge_policy, NULL},
    {"check_client_access", ARGUMENT_TABLE, TABLE_CLIENT, true, judge_table, NULL},
    {"check_reverse_client_hostname_access", ARGUMENT_TABLE, TABLE_REVERSE, false, judge_table, NULL},
    {"check_helo_access", ARGUMENT_TABLE, TABLE_HELO, false, judge_table, NULL},
    {"check_sender_access", ARGUMENT_TABLE, TABLE_SENDER, false, judge_table, NULL},
    {"check_recipient_access", ARGUMENT_TABLE, TABLE_RECIPIENT, true, judge_table, NULL},
    {"check_etrn_access", ARGUMENT_TABLE, TABLE_ETRN, false, judge_table, NULL},
    {"check_sasl_access", ARGUMENT_TABLE, TABLE_LOGIN, true, judge_table, NULL},
    {"check_ccert_access", ARGUMENT_TABLE, TABLE_CERTIFICATE, true, judge_table, NULL},
    {"check_client_a_access", ARGUMENT_TABLE, SERVER_OF_CLIENT | SERVER_A, false, judge_servers, ahead_of_servers},
    {"check_client_mx_access", ARGUMENT_TABLE, SERVER_OF_CLIENT | SERVER_MX, false, judge_servers, ahead_of_servers},
    {"check_client_ns_access", ARGUMENT_TABLE, SERVER_OF_CLIENT | SERVER_NS, false, judge_servers, ahead_of_servers},
    {"check_reverse_client_hostname_a_access", ARGUMENT_TABLE, SERVER_OF_REVERSE | SERVER_A, false, judge_servers,
     ahead_of_servers},
    {"check_reverse_client_hostname_mx_access", ARGUMENT_TABLE, SERVER_OF_REVERSE | SERVER_MX, false, judge_servers,
     ahead_of_servers},
    {"check_reverse_client_hostname_ns_access", ARGUMENT_TABLE, SERVER_OF_REVERSE | SERVER_NS, false, judge_servers,
     ahead_of_servers},
    {"check_helo_a_access", ARGUMENT_TABLE, SERVER_OF_HELO | SERVER_A, false, judge_servers, ahead_of_servers},
    {"check_helo_mx_access", ARGUMENT_TABLE, SERVER_OF_HELO | SERVER_MX, false, judge_servers, ahead_of_servers},
    {"check_helo_ns_access", ARGUMENT_TABLE, SERVER_OF_HELO | SERVER_NS, false, judge_servers, ahead_of_servers},
    {"check_sender_a_access", ARGUMENT_TABLE, SERVER_OF_SENDER | SERVER_A, false, judge_servers, ahead_of_servers},
    {"check_sender_mx_access", ARGUMENT_TABLE, SERVER_OF_SENDER | SERVER_MX, false, judge_servers, ahead_of_servers},
    {"check_sender_ns_access", ARGUMENT_TABLE, SERVER_OF_SENDER | SERVER_NS, false, judge_servers, ahead_of_servers},
    {"check_recipient_a_access", ARGUMENT_TABLE, SERVER_OF_RECIPIENT | SERVER_A, false, judge_servers,
     ahead_of_servers},
    {"check_recipient_mx_access", ARGUMENT_TABLE, SERVER_OF_RECIPIENT | SERVER_MX, false, judge_servers,
     ahead_of_servers},
    {"check_recipient_ns_access", ARGUMENT_TABLE, SERVER_OF_RECIPIENT | SERVER_NS, false, judge_servers,
     ahead_of_servers},
    {"reject_unknown_client_hostname", ARGUMENT_NONE, NAME_VERIFIED, false, judge_client_name, NULL},
    {"reject_unknown_client", ARGUMENT_NONE, NAME_VERIFIED, false, judge_client_name, NULL},
    {"reject_unknown_reverse_client_hostname", ARGUMENT_NONE, NAME_REVERSE, false, judge_client_name, NULL},
    {"reject_invalid_helo_hostname", ARGUMENT_NONE, NAME_INVALID, false, judge_helo_name, NULL},
    {"reject_invalid_hostname", ARGUMENT_NONE, NAME_INVALID, false, judge_helo_name, NULL},
    {"reject_non_fqdn_helo_hostname", ARGUMENT_NONE, NAME_FULL, false, judge_helo_name, NULL},
    {"reject_non_fqdn_hostname", ARGUMENT_NONE, NAME_FULL, false, judge_helo_name, NULL},
    {"reject_unknown_helo_hostname", ARGUMENT_NONE, 0, false, judge_helo_exists, ahead_of_name},
    {"reject_unknown_hostname", ARGUMENT_NONE, 0, false, judge_helo_exists, ahead_of_name},
    {"reject_non_fqdn_sender", ARGUMENT_NONE, NAME_SENDER, false, judge_address_name, NULL},
    {"reject_non_fqdn_recipient", ARGUMENT_NONE, NAME_RECIPIENT, false, judge_address_name, NULL},
    {"reject_unknown_sender_domain", ARGUMENT_NONE, NAME_SENDER, false, judge_address_exists, ahead_of_name},
    {"reject_unknown_address", ARGUMENT_NONE, NAME_SENDER, false, judge_address_exists, ahead_of_name},
    {"reject_unknown_recipient_domain", ARGUMENT_NONE, NAME_RECIPIENT, false, judge_address_exists, ahead_of_name},
    {"reject_rbl_client", ARGUMENT_DOMAIN, RBL_ADDRESS, false, judge_list, ahead_of_list},
    {"reject_rbl", ARGUMENT_DOMAIN, RBL_ADDRESS, false, judge_list, ahead_of_list},
    {"reject_rhsbl_client", ARGUMENT_DOMAIN, RBL_CLIENT, false, judge_list, ahead_of_list},
    {"reject_rhsbl_reverse_client", ARGUMENT_DOMAIN, RBL_REVERSE, false, judge_list, ahead_of_list},
    {"reject_rhsbl_helo", ARGUMENT_DOMAIN, RBL_HELO, false, judge_list, ahead_of_list},
    {"reject_rhsbl_sender", ARGUMENT_DOMAIN, RBL_SENDER, false, judge_list, ahead_of_list},
    {"reject_rhsbl_recipient", ARGUMENT_DOMAIN, RBL_RECIPIENT, false, judge_list, ahead_of_list},
    {"permit_dnswl_client", ARGUMENT_DOMAIN, RBL_ADDRESS, false, judge_good_list, ahead_of_list},
    {"permit_rhswl_client", ARGUMENT_DOMAIN, RBL_CLIENT, false, judge_good_list, ahead_of_list},
    {"check_relay_domains", ARGUMENT_NONE, 0, false, judge_removed, NULL},
    {"permit_naked_ip_address", ARGUMENT_NONE, 0, false, judge_removed, NULL},
    {"reject_maps_rbl", ARGUMENT_NONE, 0, false, judge_removed, NULL},
    {"reject_authenticated_sender_login_mismatch", ARGUMENT_NONE, LOGIN_AUTHENTICATED, false, judge_login, NULL},
    {"reject_known_sender_login_mismatch", ARGUMENT_NONE, LOGIN_KNOWN, false, judge_login, NULL},
    {"reject_unauthenticated_sender_login_mismatch", ARGUMENT_NONE, LOGIN_UNAUTHENTICATED, false, judge_login, NULL},
    {"reject_sender_login_mismatch", ARGUMENT_NONE, LOGIN_ANY, false, judge_login, NULL},
    {"reject_unverified_sender", ARGUMENT_NONE, UNVERIFIED_SENDER, false, judge_unverified, NULL},
    {"reject_unverified_recipient", ARGUMENT_NONE, UNVERIFIED_RECIPIENT, false, judge_unverified, NULL},
    {"reject_unlisted_sender", ARGUMENT_NONE, UNLISTED_SENDER, false, judge_unlisted, NULL},
    {NULL, ARGUMENT_NONE, 0, false, NULL, NULL},
};
