// SPDX-License-Identifier: ISC
// access_generic.c: the table of restrictions, and those that need no lookup.
// Suspends: sleep.
#include "lib/access/access_impl.h"

enum generic { GENERIC_PERMIT, GENERIC_REJECT, GENERIC_DEFER, GENERIC_DEFER_IF_PERMIT, GENERIC_DEFER_IF_REJECT, GENERIC_PIPELINING,
               GENERIC_MULTI_BOUNCE, GENERIC_PLAINTEXT };
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
        return f->has_pipelined ? access_refuse(w, &w->subject, REPLY(503, "5.5.0"), "Improper use of SMTP command pipelining") : ACCESS_NEXT;
    case GENERIC_MULTI_BOUNCE:
        return f->sender.ptr != NULL && f->sender.len == 0 && f->recipient_count + (w->stage == ACCESS_RCPT) > 1
                   ? access_refuse(w, &w->subject, REPLY(set->multi_recipient_bounce_reject_code, "5.5.3"), "Multi-recipient bounce")
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

// Restrictions that need more than is compiled in here are in their own files; see access_impl.h.
static enum access_word judge_nothing(struct access_walk *w, const struct access_rule *r)
{
    return ACCESS_NEXT;
}

const struct access_keyword access_keywords[] = {
    {"permit", ARGUMENT_NONE, GENERIC_PERMIT, false, judge_generic},
    {"reject", ARGUMENT_NONE, GENERIC_REJECT, false, judge_generic},
    {"defer", ARGUMENT_NONE, GENERIC_DEFER, false, judge_generic},
    {"defer_if_permit", ARGUMENT_NONE, GENERIC_DEFER_IF_PERMIT, false, judge_generic},
    {"defer_if_reject", ARGUMENT_NONE, GENERIC_DEFER_IF_REJECT, false, judge_generic},
    {"reject_unauth_pipelining", ARGUMENT_NONE, GENERIC_PIPELINING, false, judge_generic},
    {"reject_multi_recipient_bounce", ARGUMENT_NONE, GENERIC_MULTI_BOUNCE, false, judge_generic},
    {"reject_plaintext_session", ARGUMENT_NONE, GENERIC_PLAINTEXT, false, judge_generic},
    {"permit_mynetworks", ARGUMENT_NONE, IDENTITY_MYNETWORKS, true, judge_identity},
    {"permit_inet_interfaces", ARGUMENT_NONE, IDENTITY_INTERFACES, true, judge_identity},
    {"permit_sasl_authenticated", ARGUMENT_NONE, IDENTITY_SASL, true, judge_identity},
    {"permit_tls_all_clientcerts", ARGUMENT_NONE, IDENTITY_ANY_CERTIFICATE, true, judge_identity},
    {"permit_auth_destination", ARGUMENT_NONE, DESTINATION_PERMIT, true, judge_destination},
    {"reject_unauth_destination", ARGUMENT_NONE, DESTINATION_REJECT, false, judge_destination},
    {"defer_unauth_destination", ARGUMENT_NONE, DESTINATION_DEFER, false, judge_destination},
    {"reject_unlisted_recipient", ARGUMENT_NONE, UNLISTED_RECIPIENT, false, judge_unlisted},
    {"check_recipient_maps", ARGUMENT_NONE, UNLISTED_RECIPIENT, false, judge_unlisted},
    {"check_client_access", ARGUMENT_TABLE, 0, true, judge_nothing},
    {"check_reverse_client_hostname_access", ARGUMENT_TABLE, 0, false, judge_nothing},
    {"check_client_a_access", ARGUMENT_TABLE, 0, false, judge_nothing},
    {"check_client_mx_access", ARGUMENT_TABLE, 0, false, judge_nothing},
    {"check_client_ns_access", ARGUMENT_TABLE, 0, false, judge_nothing},
    {"check_reverse_client_hostname_a_access", ARGUMENT_TABLE, 0, false, judge_nothing},
    {"check_reverse_client_hostname_mx_access", ARGUMENT_TABLE, 0, false, judge_nothing},
    {"check_reverse_client_hostname_ns_access", ARGUMENT_TABLE, 0, false, judge_nothing},
    {"check_ccert_access", ARGUMENT_TABLE, 0, true, judge_nothing},
    {"check_sasl_access", ARGUMENT_TABLE, 0, true, judge_nothing},
    {"check_helo_access", ARGUMENT_TABLE, 0, false, judge_nothing},
    {"check_helo_a_access", ARGUMENT_TABLE, 0, false, judge_nothing},
    {"check_helo_mx_access", ARGUMENT_TABLE, 0, false, judge_nothing},
    {"check_helo_ns_access", ARGUMENT_TABLE, 0, false, judge_nothing},
    {"check_sender_access", ARGUMENT_TABLE, 0, false, judge_nothing},
    {"check_sender_a_access", ARGUMENT_TABLE, 0, false, judge_nothing},
    {"check_sender_mx_access", ARGUMENT_TABLE, 0, false, judge_nothing},
    {"check_sender_ns_access", ARGUMENT_TABLE, 0, false, judge_nothing},
    {"check_recipient_access", ARGUMENT_TABLE, 0, true, judge_nothing},
    {"check_recipient_a_access", ARGUMENT_TABLE, 0, false, judge_nothing},
    {"check_recipient_mx_access", ARGUMENT_TABLE, 0, false, judge_nothing},
    {"check_recipient_ns_access", ARGUMENT_TABLE, 0, false, judge_nothing},
    {"check_etrn_access", ARGUMENT_TABLE, 0, false, judge_nothing},
    {"check_policy_service", ARGUMENT_SERVICE, 0, true, judge_nothing},
    {"permit_tls_clientcerts", ARGUMENT_NONE, 0, true, judge_nothing},
    {"permit_dnswl_client", ARGUMENT_DOMAIN, 0, false, judge_nothing},
    {"permit_rhswl_client", ARGUMENT_DOMAIN, 0, false, judge_nothing},
    {"permit_mx_backup", ARGUMENT_NONE, 0, true, judge_nothing},
    {"reject_rbl_client", ARGUMENT_DOMAIN, 0, false, judge_nothing},
    {"reject_rbl", ARGUMENT_DOMAIN, 0, false, judge_nothing},
    {"reject_rhsbl_client", ARGUMENT_DOMAIN, 0, false, judge_nothing},
    {"reject_rhsbl_reverse_client", ARGUMENT_DOMAIN, 0, false, judge_nothing},
    {"reject_rhsbl_helo", ARGUMENT_DOMAIN, 0, false, judge_nothing},
    {"reject_rhsbl_sender", ARGUMENT_DOMAIN, 0, false, judge_nothing},
    {"reject_rhsbl_recipient", ARGUMENT_DOMAIN, 0, false, judge_nothing},
    {"reject_unknown_client_hostname", ARGUMENT_NONE, 0, false, judge_nothing},
    {"reject_unknown_client", ARGUMENT_NONE, 0, false, judge_nothing},
    {"reject_unknown_reverse_client_hostname", ARGUMENT_NONE, 0, false, judge_nothing},
    {"reject_invalid_helo_hostname", ARGUMENT_NONE, 0, false, judge_nothing},
    {"reject_invalid_hostname", ARGUMENT_NONE, 0, false, judge_nothing},
    {"reject_non_fqdn_helo_hostname", ARGUMENT_NONE, 0, false, judge_nothing},
    {"reject_non_fqdn_hostname", ARGUMENT_NONE, 0, false, judge_nothing},
    {"reject_unknown_helo_hostname", ARGUMENT_NONE, 0, false, judge_nothing},
    {"reject_unknown_hostname", ARGUMENT_NONE, 0, false, judge_nothing},
    {"reject_authenticated_sender_login_mismatch", ARGUMENT_NONE, LOGIN_AUTHENTICATED, false, judge_login},
    {"reject_known_sender_login_mismatch", ARGUMENT_NONE, LOGIN_KNOWN, false, judge_login},
    {"reject_unauthenticated_sender_login_mismatch", ARGUMENT_NONE, LOGIN_UNAUTHENTICATED, false, judge_login},
    {"reject_sender_login_mismatch", ARGUMENT_NONE, LOGIN_ANY, false, judge_login},
    {"reject_non_fqdn_sender", ARGUMENT_NONE, 0, false, judge_nothing},
    {"reject_unknown_sender_domain", ARGUMENT_NONE, 0, false, judge_nothing},
    {"reject_unknown_address", ARGUMENT_NONE, 0, false, judge_nothing},
    {"reject_unverified_sender", ARGUMENT_NONE, 0, false, judge_nothing},
    {"reject_unverified_recipient", ARGUMENT_NONE, 0, false, judge_nothing},
    {"reject_unlisted_sender", ARGUMENT_NONE, UNLISTED_SENDER, false, judge_unlisted},
    {"reject_non_fqdn_recipient", ARGUMENT_NONE, 0, false, judge_nothing},
    {"reject_unknown_recipient_domain", ARGUMENT_NONE, 0, false, judge_nothing},
    {"sleep", ARGUMENT_SECONDS, 0, false, judge_nothing},
    {NULL, ARGUMENT_NONE, 0, false, NULL},
};
