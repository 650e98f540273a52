// SPDX-License-Identifier: ISC
// smtpd.h: the SMTP server's session, its transaction, and the functions its files share.
#ifndef DROMOS_SMTPD_SMTPD_H
#define DROMOS_SMTPD_SMTPD_H

#include "lib/access/access.h"
#include "lib/agent/transcript.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/settings.h"
#include "lib/ipc/service.h"
#include "lib/ipc/submit.h"
#include "lib/mail/address.h"
#include "lib/mail/smtp_syntax.h"
#include "lib/net/stream.h"
#include "lib/route/route.h"
#include "lib/sasl/sasl.h"
#include "lib/table/table.h"
#include "smtpd/smtpd_content.h"

#define SMTPD_EHLO_SIZE       1
#define SMTPD_EHLO_PIPELINING 2
#define SMTPD_EHLO_VRFY       4
#define SMTPD_EHLO_ENHANCED   8
#define SMTPD_EHLO_8BITMIME   16
#define SMTPD_EHLO_DSN        32
#define SMTPD_EHLO_SMTPUTF8   64
#define SMTPD_EHLO_CHUNKING   128
#define SMTPD_EHLO_SILENT     256 // silent-discard: do not log what is discarded
#define SMTPD_EHLO_ETRN       512
#define SMTPD_EHLO_STARTTLS   1024
#define SMTPD_EHLO_AUTH       2048
#define SMTPD_EHLO_VERP       4096
#define SMTPD_EHLO_XCLIENT    8192
#define SMTPD_EHLO_XFORWARD   16384
#define SMTPD_EHLO_REQUIRETLS 32768
#define SMTPD_EHLO_ALL        (65535 & ~SMTPD_EHLO_SILENT)

// Kinds of trouble that notify_classes may want reported.
#define SMTPD_TROUBLE_RESOURCE 1
#define SMTPD_TROUBLE_SOFTWARE 2
#define SMTPD_TROUBLE_POLICY   4
#define SMTPD_TROUBLE_PROTOCOL 8
#define SMTPD_TROUBLE_DATA     16

// What all sessions of the process share; nothing changes after init.
struct smtpd {
    struct service_context *service;
    struct list sessions;
    struct co_timer *stress_timer; // NULL until there is stress
    bool is_stressed;
    const struct settings *settings;
    struct route *route;
    struct access *access;
    struct submit_pool *submit;
    struct smtpd_tls *tls;
    struct match_list *mynetworks;
    struct sasl_server *sasl; // NULL: clients cannot log in
    struct match_list *sasl_exceptions;
    unsigned ehlo_keywords; // what smtpd_discard_ehlo_keywords and the like leave
    struct table_list *ehlo_discard_maps, *command_filter, *reject_filter, *footer_maps;
    struct anvil_client *anvil; // NULL: no limits
    struct flush_client *flush;
    struct match_list *flush_domains; // fast_flush_domains
    struct match_list *limit_exceptions, *xclient_hosts, *xforward_hosts, *verp_clients;
    struct match_list *noop_commands, *forbidden_commands, *bare_newline_exclusions, *debug_peers;
    unsigned notify_classes;  // SMTPD_TROUBLE_*
    int64_t space_checked_ms; // when free_bytes was read
    int64_t free_bytes;
    unsigned instances; // messages so far, for the policy protocol
};

struct smtpd_count { // for the disconnect line
    unsigned ok, total;
};

struct smtpd_text {
    struct str text;
    struct smtpd_text *next;
};
struct smtpd_texts { // in the order of their coming, in transaction_arena
    struct smtpd_text *first, *last;
};

// One mail transaction. smtpd_transaction_reset is the only way back to the empty state.
struct smtpd_transaction {
    bool has_sender;
    struct str sender;
    struct submit_recipient *recipients;
    size_t recipient_count, recipient_cap;
    unsigned overshoot;  // RCPTs beyond smtpd_recipient_limit
    struct str encoding; // "7bit", "8bit" or ""
    struct str envelope_id;
    struct str verp; // two delimiters, or ""
    int ret_flags;
    int sendopts;
    int64_t declared_size;
    int64_t started_us;
    char instance[64]; // of the policy protocol; "" not yet made
    // What restrictions asked for.
    bool is_held, is_dropped;
    struct str filter, redirect;
    struct smtpd_texts bcc, prepended;
    bool lacks_file;       // it was asked for, in vain
    struct submit *submit; // also without content, when the id was asked for
    // Content under way (DATA or BDAT).
    bool has_content;
    struct smtpd_postdrop *postdrop; // instead of submit, when stand-alone
    struct smtpd_content content;
    int64_t content_bytes;        // stored so far, LF line ends counted as CR LF
    int64_t bdat_bytes;           // announced by the BDATs so far
    bool has_bdat;                // a BDAT was accepted: only BDAT may follow
    bool is_bad;                  // an earlier chunk failed: the rest is discarded
    struct submit_result failure; // why, when is_bad
};

// Where the next message came from, by XFORWARD. "" unavailable.
struct smtpd_forward {
    bool is_set, is_local, is_remote;
    struct str name, address, port, helo, protocol, ident;
};

struct smtpd_session {
    struct smtpd *daemon;
    const struct settings *settings;
    struct service_context *service;
    struct stream *stream;
    struct arena session_arena;     // client, HELO
    struct arena transaction_arena; // released by smtpd_transaction_reset
    struct buf queue_id;            // of the transaction; empty while nobody has asked
    struct smtpd_transaction transaction;
    struct arena forward_arena; // released by smtpd_xforward_reset
    struct smtpd_forward forward;

    struct net_addr peer, local;
    struct str client_name;    // verified name, or "unknown"
    struct str client_reverse; // unverified PTR name, or "unknown"
    struct str client_address; // "1.2.3.4"
    struct str client_rfc;     // "1.2.3.4" or "IPv6:::1"
    struct str client_port;
    struct str client_log; // "name[addr]"
    enum access_name_status name_status, reverse_status;
    bool is_mynetworks;
    bool has_pipelined;            // against the rules, at any time
    struct access_session *access; // NULL until the first decision
    struct access_tls tls;
    struct access_sasl sasl;
    bool is_standalone;

    struct str helo;
    const char *protocol;  // "SMTP" or "ESMTP"
    unsigned ehlo_offered; // SMTPD_EHLO_* for this client
    struct str denied;     // the refusal that the connection got: every command gets 503 but QUIT
    bool has_bare_lf;
    bool may_send_bare_lf;          // in smtpd_forbid_bare_newline_exclusions
    bool is_debugged;               // in debug_peer_list
    bool may_verp;                  // in smtpd_authorized_verp_clients
    bool may_xclient, may_xforward; // in smtpd_authorized_xclient_hosts, smtpd_authorized_xforward_hosts
    struct str etrn_domain;         // while ETRN is judged
    bool ends_after_reply;          // a refusal after which this client gets no second chance
    struct str anvil_key;           // "" when no limit is looked at
    bool is_closing;                // the last reply was sent or cannot be sent
    enum smtp_verb verb;            // being handled: the STAGE of log lines
    const char *stage;              // upper case, "CONNECT" …
    unsigned errors, junk;
    struct smtpd_count counts[SMTP_VERB_COUNT];
    bool command_failed; // set by smtpd_reply for 4xx and 5xx
    int64_t deadline;    // of the whole session
    struct list link;
    int64_t silent_since;         // clock_ms when the wait for a command began; 0: none is waited for
    bool is_overdue;              // dropped for its silence
    int64_t request_deadline;     // smtpd_per_request_deadline: of the command, or of the content so far
    unsigned troubles;            // SMTPD_TROUBLE_*
    size_t reply_start;           // where the reply that was written last begins in the stream's output
    struct buf refused_recipient; // of that reply: a copy, for it may outlive its transaction
    struct buf cleaned;           // the command line, where bytes of it had to go
    struct buf filtered;          // what smtpd_command_filter made of the command
    struct transcript transcript;
};

// smtpd_keywords.c: smtpd_discard_ehlo_keywords and smtpd_discard_ehlo_keyword_address_maps.
unsigned smtpd_keywords_offered(const struct settings *set);
void smtpd_keywords_for_client(struct smtpd_session *s) CO;

// smtpd_command.c: one command line: read, checked, dispatched.
int smtpd_command_read(struct smtpd_session *s,
                       struct str *line_r) CO; // 1; 0 refused, the reply was sent; -1 the client is gone
void smtpd_command_run(struct smtpd_session *s, struct str line) CO;
// One line of a bare LF in a session that must not have it: the reply was sent, the session ends.
bool smtpd_refuses_bare_lf(struct smtpd_session *s);

// smtpd_session.c
void smtpd_session_run(struct smtpd_session *s) CO;
void smtpd_greet_again(
    struct smtpd_session *s) CO; // after XCLIENT: the session starts over as the client that it named
void smtpd_transaction_reset(struct smtpd_session *s);
bool smtpd_skip_line(
    struct smtpd_session *s) CO; // the rest of a line that was too long; false: the client is gone, logged
void smtpd_lost(struct smtpd_session *s,
                const struct err *err) CO; // logs "lost connection after …" or "timeout after …"

// smtpd_stress.c: a time of stress begins or ends.
void smtpd_stress(struct service_context *ctx, bool is_stressed);

// smtpd_standalone.c: runs the session on standard input and output.
void smtpd_standalone_run(struct smtpd_session *s) CO;

// smtpd_reply.c: replies are buffered; the session flushes before it waits.
void smtpd_reply(struct smtpd_session *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void smtpd_reply_lines(struct smtpd_session *s, int code, const char *const *lines, size_t count);
void smtpd_limit_wait(struct smtpd_session *s); // the next waits end at smtpd_timeout, or with the session's deadline
void smtpd_limit_request(struct smtpd_session *s);                // a request begins
void smtpd_limit_progress(struct smtpd_session *s, size_t bytes); // so much content has come
int smtpd_flush(struct smtpd_session *s) CO;                      // -1: the client is gone, logged
// Logs "QID: reject: STAGE from C: REPLY; from=… to=… proto=… helo=…" and sends the reply.
void smtpd_reject(struct smtpd_session *s, const struct access_verdict *v, struct str recipient) CO;
// Logs "QID: VERB: STAGE from C: TEXT; from=…", and what decided where smtpd_log_decision wants it.
void smtpd_log_decision(struct smtpd_session *s, const char *verb, const struct access_reason *reason, struct str text,
                        struct str recipient) CO;

// smtpd_footer.c: the reply to a command is complete: filters, footers and transcript see it.
void smtpd_reply_done(struct smtpd_session *s) CO;

// smtpd_transcript.c
// What of the client's input may be kept or logged: no response to AUTH, at most max bytes (0: all).
void smtpd_add_loggable(const struct smtpd_session *s, struct buf *b, struct str input, size_t max);
void smtpd_record_input(struct smtpd_session *s, struct str line);
void smtpd_record_output(struct smtpd_session *s, struct str replies);
void smtpd_transcript_reset(
    struct smtpd_session *s); // a transaction begins anew: what was said is forgotten when it is long
void smtpd_transcript_send(
    struct smtpd_session *s) CO; // the session ends: reports it if it had such trouble; frees the text

// smtpd_limits.c: smtpd_client_*_limit. False: over the limit, the reply was sent.
bool smtpd_limit_connect(struct smtpd_session *s) CO;
void smtpd_limit_disconnect(struct smtpd_session *s) CO;
bool smtpd_limit_message(struct smtpd_session *s) CO;
bool smtpd_limit_recipient(struct smtpd_session *s) CO;
bool smtpd_limit_auth(struct smtpd_session *s) CO;
// True: logged; what to reply depends on who asks. has_session: a session was just made (and not resumed), else one is
// wanted.
bool smtpd_limit_tls_exceeded(struct smtpd_session *s, bool has_session) CO;

// smtpd_client.c: who is it?
void smtpd_client_identify(struct smtpd_session *s) CO;
void smtpd_client_describe(
    struct smtpd_session *s) CO; // from peer and names: the texts about it, and which lists it is in

// smtpd_upstream.c: reads what a proxy says of its client. False: nothing of use, logged.
bool smtpd_upstream_take(struct smtpd_session *s) CO;

// smtpd_xclient.c. False: the reply about XCLIENT or XFORWARD at the wrong time or by the wrong client, or about a
// malformed argument, was sent.
struct smtpd_attribute;
bool smtpd_takes_attributes(struct smtpd_session *s, const char *verb, struct str arguments, bool is_authorized);
bool smtpd_reply_attribute(struct smtpd_session *s, const char *verb, struct str word, struct smtpd_attribute *a_r);
void smtpd_reply_bad_attribute(struct smtpd_session *s, const struct smtpd_attribute *a);
void smtpd_xclient(struct smtpd_session *s, struct str arguments) CO;

void smtpd_etrn(struct smtpd_session *s, struct str arguments) CO; // smtpd_etrn.c

// smtpd_xforward.c
void smtpd_xforward(struct smtpd_session *s, struct str arguments) CO;
void smtpd_xforward_reset(struct smtpd_session *s);

// smtpd_auth.c: logging in.
bool smtpd_auth_offer(struct smtpd_session *s, struct buf *mechanisms_r) CO; // what EHLO announces to this client now

// smtpd_path.c: the address and the parameters of MAIL and RCPT.
struct smtpd_path {
    struct str address; // internal form, in the transaction's arena
    struct str sent;    // as sent, without angle brackets
    struct str rest;
    struct smtp_parameter params[SMTP_PARAMETERS_MAX];
    size_t param_count;
};
enum smtpd_path_status { SMTPD_PATH_OK, SMTPD_PATH_SYNTAX, SMTPD_PATH_BAD_ADDRESS /* logged */ };
enum smtpd_path_status smtpd_path_parse(struct smtpd_session *s, struct str keyword /* "FROM:" */, struct str arguments,
                                        struct smtpd_path *path_r) CO;
bool smtpd_is_malformed(struct smtpd_session *s,
                        struct str address) CO; // no mail can go there, whatever the tables say
void smtpd_reply_unsupported(struct smtpd_session *s, const struct smtp_parameter *p);

// Command handlers: each sends exactly one reply (or closes).
void smtpd_helo(struct smtpd_session *s, struct str arguments) CO; // smtpd_hello.c
void smtpd_ehlo(struct smtpd_session *s, struct str arguments) CO;
void smtpd_auth(struct smtpd_session *s, struct str arguments) CO; // smtpd_auth.c
void smtpd_mail(struct smtpd_session *s, struct str arguments) CO; // smtpd_mail.c
void smtpd_rcpt(struct smtpd_session *s, struct str arguments) CO; // smtpd_rcpt.c
void smtpd_vrfy(struct smtpd_session *s, struct str arguments) CO;
void smtpd_data(struct smtpd_session *s, struct str arguments) CO; // smtpd_data.c
// Waits until more than `have` bytes of content are there (not consumed). False: the client is gone, logged.
bool smtpd_get_content(struct smtpd_session *s, size_t have, struct raw *input_r) CO;
void smtpd_judge_bare_lf(
    struct smtpd_session *s); // content with a bare LF fails where smtpd_forbid_bare_newline = reject
void smtpd_bdat(struct smtpd_session *s, struct str arguments) CO;     // smtpd_bdat.c
void smtpd_starttls(struct smtpd_session *s, struct str arguments) CO; // smtpd_starttls.c

// smtpd_starttls.c: s->tls.is_on says whether TLS has begun.
bool smtpd_tls_wrap(
    struct smtpd_session *s) CO; // wrapper mode: the handshake before the greeting. False: the session is over
bool smtpd_may_require_tls(const struct smtpd_session *s);                 // MAIL … REQUIRETLS (smtpd_mail.c)
bool smtpd_tls_is_offered(const struct smtpd_session *s);                  // STARTTLS may be offered now
bool smtpd_tls_refuses(struct smtpd_session *s, enum smtp_verb verb);      // 530 was sent: this command needs TLS first
void smtpd_tls_add_received(const struct smtpd_session *s, struct buf *b); // lines for Received:, or nothing

// smtpd_tls.c
// Before the jail. Never NULL: without TLS it says so in the log.
struct smtpd_tls *smtpd_tls_open(const struct settings *set);
void smtpd_tls_close(struct smtpd_tls *t); // NULL is fine
// With certificates. NULL: TLS is not available now.
struct tls_server_context *smtpd_tls_context(struct smtpd_tls *t) CO;

// smtpd_store.c: handing the content to cleanup, shared by DATA and BDAT.
// Has the queue file made now, after MAIL, and logs that. 0; -1: there is none, logged.
int smtpd_store_open(struct smtpd_session *s) CO;
// What log lines begin with and policy servers are told: the id of the queue file, or "NOQUEUE". A message has a file
// from its first recipient on (smtpd_delay_open_until_valid_rcpt), but the file is made when somebody asks: nobody does
// for most messages, and those go to cleanup in one write, with their content.
struct str smtpd_queue_id(struct smtpd_session *s) CO;
int smtpd_store_begin(struct smtpd_session *s) CO; // 0; -1: transaction.failure says why (content must still be read)
void smtpd_store_text(struct smtpd_session *s, struct str text) CO;
void smtpd_store_finish(struct smtpd_session *s, struct submit_result *result_r) CO;
void smtpd_store_abort(struct smtpd_session *s); // what was handed over so far is forgotten
void smtpd_store_fail(struct smtpd_session *s, int code, const char *status, const char *reason);

// smtpd_postdrop.c: a stand-alone session's way of storing.
struct smtpd_postdrop *smtpd_postdrop_begin(const struct settings *set, const struct submit_envelope *e,
                                            struct err *err);
void smtpd_postdrop_text(struct smtpd_postdrop *p, const struct settings *set, struct str text);
void smtpd_postdrop_finish(struct smtpd_postdrop *p, struct submit_result *result_r); // frees p
void smtpd_postdrop_end(struct smtpd_postdrop *p); // without an end postdrop forgets the message; frees p; NULL is fine

// smtpd_access.c: may the client go on? Runs the restriction lists of the stage, logs and applies what they ask for.
// False: refused, and the reply was sent (or the client is to be hung up on). `recipient` is STR_NULL where there is
// none.
bool smtpd_allows(struct smtpd_session *s, enum access_stage stage, struct str recipient) CO;
struct access_session *smtpd_access_memory(struct smtpd_session *s); // s->access, made at first need
void smtpd_collect_facts(struct smtpd_session *s, struct str recipient,
                         struct access_facts *facts_r);         // in transaction_arena
bool smtpd_rewrites_headers(struct smtpd_session *s) CO;        // local_header_rewrite_clients
struct str smtpd_only_recipient(const struct smtpd_session *s); // after RCPT, when there is exactly one; else STR_NULL

#endif
