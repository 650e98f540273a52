// SPDX-License-Identifier: ISC
// access_impl.h: compiled restriction lists, and one walk over them. Private to lib/access.
#ifndef DROMOS_ACCESS_ACCESS_IMPL_H
#define DROMOS_ACCESS_ACCESS_IMPL_H

#include "lib/access/access.h"
#include "lib/access/access_action.h"
#include "lib/access/address_filter.h"
#include "lib/access/policy_client.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/net/dns.h"

#define ACCESS_SEPARATORS ", \t\r\n"
#define ACCESS_DEPTH_MAX  100 // restriction classes and lists from tables inside each other

// ---- Lists, compiled

enum access_list_id {
    LIST_CLIENT,
    LIST_HELO,
    LIST_SENDER,
    LIST_RELAY,
    LIST_RECIPIENT,
    LIST_DATA,
    LIST_END_OF_DATA,
    LIST_ETRN,
    LIST_COUNT,
};

// What a restriction says: go on with the next, this list is done, or the command is refused.
enum access_word { ACCESS_NEXT, ACCESS_PERMIT, ACCESS_DENY };
enum access_argument { ARGUMENT_NONE, ARGUMENT_TABLE, ARGUMENT_DOMAIN, ARGUMENT_SERVICE, ARGUMENT_SECONDS };

struct access_walk;
struct access_rule;
struct access_keyword {
    const char *name;
    enum access_argument argument;
    int detail;      // of the judge's own, to serve several keywords
    bool identifies; // its permission rests on who the client is or where the mail goes: the net under the lists lets
                     // it pass
    enum access_word (*judge)(struct access_walk *w, const struct access_rule *r); // may suspend
    void (*ahead)(struct access_walk *w,
                  const struct access_rule *r); // sends its questions to the name server; may be NULL
};
struct access_rule {
    const struct access_keyword *keyword; // NULL: a restriction class, or a word that is none
    const struct access_list *class;
    struct str word, argument; // as written
    struct table *table; // of ARGUMENT_TABLE; NULL: a list from a table names one that was not open before the jail
    struct policy_server *server;  // of ARGUMENT_SERVICE; NULL: it cannot be used, which was logged
    struct address_filter *filter; // of ARGUMENT_DOMAIN with "=address"
    struct str domain;             // of ARGUMENT_DOMAIN, without the filter
    int64_t number;                // of ARGUMENT_SECONDS
    unsigned position;
    bool only_warns;   // warn_if_reject stands before it
    bool is_malformed; // its argument; logged
};
struct access_list {
    const char *parameter;
    struct access_rule *rules;
    size_t count;
};
struct access {
    const struct conf *conf;
    const struct settings *settings;
    struct route *route;
    struct arena arena;
    struct access_list lists[LIST_COUNT];
    struct map classes; // name -> struct access_list
    struct map tables;  // "type:name" -> struct table
    struct policy_pool *policies;
    struct table_list *login_maps; // smtpd_sender_login_maps
    bool checks_unlisted;          // receive_override_options do not forbid it
    struct table_list *relay_clientcerts, *rbl_reply_maps;
    struct match_list *permit_actions;  // smtpd_log_access_permit_actions
    struct match_list *backup_networks; // permit_mx_backup_networks
    bool parents_bare;                  // parent_domain_matches_subdomains has smtpd_access_maps
    struct err error;                   // the first that forbids to start
};

// The words of `text`, which they borrow from, as rules.
struct access_source {
    enum access_list_id list;
    const char *parameter;
    bool may_open;       // tables
    struct arena *arena; // of the rules
};
void access_compile(struct access *a, const struct access_source *source, struct str text, struct access_list *list_r);
bool access_has_word(struct str list, struct str word);            // case folded
const struct access_keyword *access_keyword_find(struct str word); // NULL: no restriction of that name
extern const struct access_keyword access_keywords[];              // ends with a NULL name
struct table *access_find_table(struct access *a, struct str type_name, bool may_open); // NULL: not open
void access_open_rewrite(struct access *a);                                             // access_rewrite.c
int access_check_lists(struct access *a, struct err *err); // does any restriction stop relaying?

// ---- A walk: one decision

struct access_deferred {
    bool is_set;
    int code;
    char status[12];
    struct str text;
    struct access_reason reason;
};
struct access_session {
    struct access *access;
    struct arena arena;
    struct access_deferred carried[3]; // defer_if_permit after the client, HELO and sender lists
    bool is_dropping;                  // DISCARD was said in this transaction
    struct access_dns_entry *dns;      // answers of the name server
    unsigned dns_count;
    struct arena dns_arena;
    struct access_trace *trace; // may be NULL
};
// Whose reply it is: "<name>: CLASS rejected: ...".
struct access_subject {
    struct str name;
    const char *class; // "Client host", "Sender address" …
};
struct access_walk {
    struct access *access;
    struct access_session *session;
    const struct access_facts *facts;
    struct arena *arena;
    struct access_verdict *verdict;
    enum access_stage stage;
    enum access_list_id list;      // being walked
    struct access_subject subject; // of the list
    const char *parameter;
    unsigned depth;
    const struct access_rule *rule; // being judged
    unsigned position;              // of the restriction in the list at depth 0
    struct str table, key;          // of the entry that the rule found
    bool only_warns;
    bool is_skipped;     // the restriction was not asked, for it would have effects (trace)
    bool has_identified; // a rule that identifies permitted the mail
    struct access_deferred if_permit, if_reject;
};

static inline const struct settings *access_settings_now(const struct access_walk *w)
{
    return w->facts->settings != NULL ? w->facts->settings : w->access->settings;
}

// Refusals. `code` comes from parameters and tables; the status takes its first digit. Each returns what the walk does
// next.
struct access_reply {
    int64_t code;
    const char *status;
};
#define REPLY(code, status) ((struct access_reply){(code), (status)})
struct access_subject access_subject_client(const struct access_walk *w);
struct access_subject access_subject_reverse(const struct access_walk *w);
struct access_subject access_subject_helo(const struct access_walk *w);
struct access_subject access_subject_sender(const struct access_walk *w);
struct access_subject access_subject_recipient(const struct access_walk *w);
enum access_word access_refuse(struct access_walk *w, const struct access_subject *subject, struct access_reply reply,
                               const char *format, ...)
    __attribute__((format(printf, 4, 5))); // "<name>: CLASS rejected: text"
enum access_word access_refuse_plain(struct access_walk *w, const struct access_subject *subject,
                                     struct access_reply reply, struct str text);
// 451 4.3.5 Server configuration error; log what is wrong first.
enum access_word access_refuse_config(struct access_walk *w);
enum access_word access_refuse_lookup(struct access_walk *w,
                                      struct str key); // 451 4.3.0 <key>: Temporary lookup failure
enum access_word access_defer_if_permit(struct access_walk *w, const struct access_subject *subject,
                                        struct access_reply reply, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
enum access_word access_defer_if_reject(struct access_walk *w, const struct access_subject *subject,
                                        struct access_reply reply, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
// What is not known for certain is the administrator's choice: *_tempfail_action.
enum access_word access_refuse_uncertain(struct access_walk *w, struct str action, const struct access_subject *subject,
                                         struct access_reply reply, struct str why);
enum access_word access_apply_deferred(struct access_walk *w,
                                       const struct access_deferred *d); // the remembered refusal is the verdict
struct access_effect *access_add_effect(struct access_walk *w, enum access_effect_kind kind, const char *verb);
struct access_reason access_reason_now(const struct access_walk *w);
enum access_word access_walk_list(struct access_walk *w, const struct access_list *list) CO;

// The action of the policy server that check_policy_service names, or its default one (access_policy.c). 1, 0; -1:
// cancelled.
int access_ask_policy(struct access_walk *w, const struct access_rule *r, struct buf *action_r,
                      struct err *err) CO MUST_CHECK;

enum access_word access_hang_up(struct access_walk *w, struct str text);

// ---- Tables: the keys that a name has, in order (access_table.c)
struct access_lookup {
    struct access_walk *walk;
    struct table *table;
    struct access_subject subject;
    enum access_word word; // what the entry that was found does
};
// 1 found, 0 no entry, -1 the table failed; l->word is set unless 0.
int access_try_domain(struct access_lookup *l, struct str domain) CO; // the name and its parents
int access_try_address(struct access_lookup *l,
                       struct str address) CO;              // the address and its networks, cut at dots or colons
enum access_word access_no_permit(struct access_lookup *l); // l->word, but a permission is an error
enum access_word access_act(struct access_walk *w, struct str value,
                            const struct access_subject *subject) CO; // access_act.c
void access_log_permit(struct access_walk *w, struct str action, const struct access_subject *subject) CO;
struct str access_rule_option(const struct access_rule *r, struct str name); // of "{ table, name = value }", or ""
bool access_is_unknown(struct str name);                                     // "" or "unknown"

// ---- DNS, kept for the session (access_dns.c)
struct access_dns_record {
    uint16_t preference;
    struct str text;             // name or text
    const struct net_addr *addr; // of A and AAAA
};
struct access_dns {
    enum dns_status status;
    struct access_dns_record *records;
    size_t count;
};
void access_dns_ahead(struct access_walk *w, struct str name, int type); // sends the question, if it was not yet
const struct access_dns *access_dns(struct access_walk *w, struct str name,
                                    int type) CO; // lives as long as this decision
void access_dns_trim(struct access_session *as);  // between decisions
void access_dns_forget(struct access_session *as);
void access_host_ahead(struct access_walk *w, struct str name); // MX, A, AAAA

// ---- The judges by file, and the values of `detail` in their keywords
enum access_word judge_generic(struct access_walk *w, const struct access_rule *r);  // access_generic.c
enum access_word judge_identity(struct access_walk *w, const struct access_rule *r); // access_generic.c
enum access_word judge_sleep(struct access_walk *w, const struct access_rule *r) CO; // access_generic.c
enum access_word judge_removed(struct access_walk *w, const struct access_rule *r);  // access_generic.c
enum { DESTINATION_PERMIT, DESTINATION_REJECT, DESTINATION_DEFER };
enum access_word judge_destination(struct access_walk *w, const struct access_rule *r) CO; // access_destination.c
enum access_word judge_mx_backup(struct access_walk *w, const struct access_rule *r) CO;   // access_destination.c
enum { UNLISTED_RECIPIENT, UNLISTED_SENDER };
enum access_word judge_unlisted(struct access_walk *w, const struct access_rule *r) CO; // access_unlisted.c
enum access_login { LOGIN_AUTHENTICATED, LOGIN_UNAUTHENTICATED, LOGIN_KNOWN, LOGIN_ANY };
enum access_word judge_login(struct access_walk *w, const struct access_rule *r) CO; // access_login.c
enum { UNVERIFIED_RECIPIENT, UNVERIFIED_SENDER };
enum access_word judge_unverified(struct access_walk *w, const struct access_rule *r) CO; // access_verify.c
enum table_subject {
    TABLE_CLIENT,
    TABLE_REVERSE,
    TABLE_HELO,
    TABLE_SENDER,
    TABLE_RECIPIENT,
    TABLE_ETRN,
    TABLE_LOGIN,
    TABLE_CERTIFICATE
};
enum access_word judge_table(struct access_walk *w, const struct access_rule *r) CO;              // access_table.c
enum access_word judge_client_certificate(struct access_walk *w, const struct access_rule *r) CO; // access_table.c
enum access_word judge_policy(struct access_walk *w, const struct access_rule *r) CO;             // access_policy.c
enum { NAME_VERIFIED, NAME_REVERSE, NAME_INVALID, NAME_FULL, NAME_SENDER, NAME_RECIPIENT };
enum access_word judge_client_name(struct access_walk *w, const struct access_rule *r);       // access_name.c
enum access_word judge_helo_name(struct access_walk *w, const struct access_rule *r);         // access_name.c
enum access_word judge_helo_exists(struct access_walk *w, const struct access_rule *r) CO;    // access_name.c
enum access_word judge_address_name(struct access_walk *w, const struct access_rule *r);      // access_name.c
enum access_word judge_address_exists(struct access_walk *w, const struct access_rule *r) CO; // access_name.c
void ahead_of_name(struct access_walk *w, const struct access_rule *r);
enum {
    SERVER_OF_CLIENT,
    SERVER_OF_REVERSE,
    SERVER_OF_HELO,
    SERVER_OF_SENDER,
    SERVER_OF_RECIPIENT, // one of these, and
    SERVER_A = 16,
    SERVER_MX = 32,
    SERVER_NS = 64
};                                                                                     // one of these
enum access_word judge_servers(struct access_walk *w, const struct access_rule *r) CO; // access_server.c
void ahead_of_servers(struct access_walk *w, const struct access_rule *r);
enum rbl_subject { RBL_ADDRESS, RBL_CLIENT, RBL_REVERSE, RBL_HELO, RBL_SENDER, RBL_RECIPIENT };
enum access_word judge_list(struct access_walk *w, const struct access_rule *r) CO;      // access_rbl.c
enum access_word judge_good_list(struct access_walk *w, const struct access_rule *r) CO; // access_rbl.c
void ahead_of_list(struct access_walk *w, const struct access_rule *r);

#endif
