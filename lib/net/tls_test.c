// SPDX-License-Identifier: ISC
// tls_test.c: unit tests of TLS below streams: both sides on a socketpair, keys in a keeper that suspends.
#include <check.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/net/tls.h"

// ---- A certificate of our own

struct identity {
    struct buf cert, key; // PEM
    struct tls_chain *chain;
    struct tls_key *private_key;
};

static void add_pem(struct buf *out, BIO *bio)
{
    char *text;
    long size = BIO_get_mem_data(bio, &text);
    buf_add(out, text, (size_t)size);
    BIO_free(bio);
}

static long certificate_seconds = 86400;

static void make_identity(struct identity *id, EVP_PKEY *pkey, const char *name)
{
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), certificate_seconds);
    X509_set_pubkey(cert, pkey);
    X509_NAME *subject = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, subject);
    struct buf san = BUF_INIT;
    buf_addf(&san, "DNS:%s", name);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, buf_cstr(&san));
    X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    buf_release(&san);
    ck_assert_int_gt(X509_sign(cert, pkey, EVP_PKEY_is_a(pkey, "ED25519") ? NULL : EVP_sha256()), 0);
    *id = (struct identity){BUF_INIT, BUF_INIT, NULL, NULL};
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, cert);
    add_pem(&id->cert, bio);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL);
    add_pem(&id->key, bio);
    X509_free(cert);
    EVP_PKEY_free(pkey);
    struct err err = ERR_INIT;
    id->chain = tls_chain_parse(buf_str(&id->cert), &err);
    ck_assert_msg(id->chain != NULL, "%s", err.text);
    id->private_key = tls_key_parse(buf_str(&id->key), &err);
    ck_assert_msg(id->private_key != NULL, "%s", err.text);
    ck_assert_mem_eq(tls_chain_key_id(id->chain), tls_key_id(id->private_key), TLS_KEY_ID_SIZE);
}

static void free_identity(struct identity *id)
{
    buf_release(&id->cert);
    buf_wipe(&id->key);
    tls_chain_free(id->chain);
    tls_key_free(id->private_key);
}

// ---- A keeper with the keys of two identities, which suspends before each answer

static struct identity identities[2];
static unsigned signatures, sessions_put, sessions_got;
static bool keeper_fails;
static struct tls_ticket_key ticket_key = {.name = "ticket key name", .aes = "1", .hmac = "2"};
static bool has_tickets;
static struct buf kept_id, kept_session;

static int keeper_sign(void *arg, const struct tls_sign_request *r, struct buf *signature_r, struct err *err)
{
    co_assert_running();
    signatures++;
    if (co_yield () < 0 || keeper_fails)
        return err_set(err, ERR_TEMPORARY, "the keeper is away");
    for (size_t i = 0; i < 2; i++)
        if (identities[i].private_key != NULL &&
            memcmp(tls_key_id(identities[i].private_key), r->key_id, TLS_KEY_ID_SIZE) == 0)
            return tls_key_sign(identities[i].private_key, r->algorithm, r->digest, r->input, signature_r, err);
    return err_set(err, ERR_PERMANENT, "unknown key");
}

static int keeper_ticket(void *arg, const unsigned char *name, struct tls_ticket_key *key_r)
{
    co_assert_running();
    if (co_yield () < 0 || !has_tickets || (name != NULL && memcmp(name, ticket_key.name, sizeof ticket_key.name) != 0))
        return 0;
    *key_r = ticket_key;
    return 1;
}

static void keeper_put(void *arg, struct str id, struct str session)
{
    sessions_put++;
    buf_clear(&kept_id);
    buf_clear(&kept_session);
    buf_add_str(&kept_id, id);
    buf_add_str(&kept_session, session);
}

static int keeper_get(void *arg, struct str id, struct buf *session_r)
{
    sessions_got++;
    if (!str_is(id, buf_str(&kept_id)))
        return 0;
    buf_add_str(session_r, buf_str(&kept_session));
    return 1;
}

static int keeper_name(void *arg, struct str name, struct tls_chain **chains_r, size_t *count_r, struct err *err)
{
    if (!str_is(name, STR("second.example")))
        return 0;
    chains_r[0] = identities[1].chain;
    *count_r = 1;
    return 1;
}

static const struct tls_keeper keeper = {.sign = keeper_sign,
                                         .ticket_key = keeper_ticket,
                                         .session_put = keeper_put,
                                         .session_get = keeper_get,
                                         .chains_for_name = keeper_name};

// ---- Two sides

static struct stream *server, *client;
static struct tls_server_context *server_context;
static struct tls_client_context *client_context;
static struct tls_server_options server_options;
static struct tls_options client_options;
static struct tls_client_start client_start;
static struct err server_err, client_err;
static int server_rc, client_rc;
static bool server_is_done;
static struct tls_info server_saw; // of the last handshake that succeeded
static void (*client_body)(void);

// Echoes lines in upper case until "bye".
static void run_server(void *arg)
{
    co_assert_running();
    const struct tls_server_start start = {.log_level = 2};
    struct raw line;
    enum line_end end;
    stream_set_deadline(server, clock_ms() + 5000);
    server_rc = stream_start_tls_server(server, server_context, &start, &server_err);
    if (server_rc == 0)
        server_saw = *stream_tls_info(server);
    while (server_rc == 0 && stream_read_line(server, 1000, &line, &end, NULL) == 1) {
        stream_printf(server, "you said " STR_FMT "\r\n", (int)line.len, (const char *)line.ptr);
        if (stream_flush(server, NULL) < 0)
            break;
        stream_idle(server);
    }
    stream_free(server);
    server_is_done = true;
}

static void run_client(void *arg)
{
    co_assert_running();
    client_rc = stream_start_tls_client(client, client_context, &client_start, &client_err);
    if (client_rc == 0 && client_body != NULL)
        client_body();
    stream_free(client);
    while (!server_is_done)
        co_sleep_until(clock_ms() + 1);
    co_loop_stop();
}

static void meet(void)
{
    int pair[2];
    co_loop_init();
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    server = stream_new(pair[0]);
    client = stream_new(pair[1]);
    stream_set_deadline(client, clock_ms() + 5000);
    server_is_done = false;
    server_err = client_err = ERR_INIT;
    co_spawn("server", run_server, NULL);
    co_spawn("client", run_client, NULL);
    co_loop_run(1000);
    co_loop_free();
}

static void open_contexts(size_t chain_count)
{
    struct err err = ERR_INIT;
    struct tls_chain *chains[2] = {identities[0].chain, identities[1].chain};
    server_context = tls_server_context_open(&server_options, &err);
    ck_assert_msg(server_context != NULL, "%s", err.text);
    ck_assert_msg(tls_server_context_set_chains(server_context, chains, chain_count, &err) == 0, "%s", err.text);
    client_context = tls_client_context_open(&client_options, &err);
    ck_assert_msg(client_context != NULL, "%s", err.text);
}

static void close_contexts(void)
{
    tls_server_context_close(server_context);
    tls_client_context_close(client_context);
    server_context = NULL;
    client_context = NULL;
}

static void setup(void)
{
    make_identity(&identities[0], EVP_RSA_gen(2048), "first.example");
    make_identity(&identities[1], EVP_EC_gen("P-256"), "second.example");
    server_options = (struct tls_server_options){.ticket_cipher = STR("aes-256-cbc"),
                                                 .common = {.ciphers = STR("ALL"),
                                                            .keeper = &keeper,
                                                            .protocols = STR(">=TLSv1.2"),
                                                            .groups = STR("X25519 nonsense prime256v1")}};
    client_options = (struct tls_options){.protocols = STR(">=TLSv1.2")};
    client_start = (struct tls_client_start){.check = TLS_CHECK_NONE};
    client_body = NULL;
    signatures = sessions_put = sessions_got = 0;
    keeper_fails = has_tickets = false;
}

static void teardown(void)
{
    close_contexts();
    free_identity(&identities[0]);
    free_identity(&identities[1]);
    buf_release(&kept_id);
    buf_release(&kept_session);
}

static struct tls_info seen; // by the client
static struct buf seen_session;

static void say(const char *text, const char *answer) CO
{
    struct raw line;
    enum line_end end;
    struct err err = ERR_INIT;
    stream_printf(client, "%s\r\n", text);
    ck_assert_int_eq(stream_flush(client, &err), 0);
    ck_assert_msg(stream_read_line(client, 1000, &line, &end, &err) == 1, "%s", err.text);
    ck_assert(str_is(raw_unchecked(line), str_from(answer)));
}

static void talk(void)
{
    co_assert_running();
    say("hello", "you said hello");
    say("again", "you said again");
    ck_assert(stream_is_alive(client));
    seen = *stream_tls_info(client);
    buf_clear(&seen_session);
    stream_tls_session(client, &seen_session);
}

static void expect_meeting(void)
{
    client_body = talk;
    meet();
    ck_assert_msg(client_rc == 0 && server_rc == 0, "client %s, server %s", client_err.text, server_err.text);
}

START_TEST(both_sides_talk_with_keys_elsewhere)
{
    open_contexts(1);
    expect_meeting();
    ck_assert_int_eq(signatures, 1);
    ck_assert_str_eq(seen.protocol, "TLSv1.3");
    ck_assert_str_eq(seen.subject, "first.example");
    ck_assert_str_eq(seen.server.name, "RSA-PSS");
    ck_assert_int_eq(seen.server.bits, 2048);
    ck_assert_str_eq(seen.exchange, "X25519");
    ck_assert_int_eq(strlen(seen.fingerprint), 95);
    ck_assert(seen.has_certificate && !seen.is_trusted && !seen.is_matched);
}
END_TEST

START_TEST(older_protocols_sign_too)
{
    client_options.protocols = STR("<=TLSv1.2");
    client_start.ciphers = STR("ECDHE-RSA-AES128-GCM-SHA256");
    open_contexts(1);
    expect_meeting();
    ck_assert_str_eq(seen.protocol, "TLSv1.2");
    client_start.ciphers = STR("DHE-RSA-AES256-SHA256");
    expect_meeting();
    ck_assert_str_eq(seen.cipher, "DHE-RSA-AES256-SHA256");
    ck_assert_int_eq(signatures, 2);
    client_start.ciphers = STR("AES256-SHA256"); // would have the server decrypt
    meet();
    ck_assert_int_eq(client_rc, -1);
}
END_TEST

START_TEST(the_oldest_protocol_signs_with_md5_and_sha1)
{
    server_options.common.protocols = STR(">=TLSv1");
    client_options.protocols = STR("<=TLSv1");
    client_options.ciphers = STR("ALL:@SECLEVEL=0");
    server_options.common.ciphers = STR("ALL:@SECLEVEL=0");
    open_contexts(1);
    expect_meeting();
    ck_assert_str_eq(seen.protocol, "TLSv1");
}
END_TEST

START_TEST(rsa_and_ecdsa_side_by_side)
{
    client_options.protocols = STR("<=TLSv1.2");
    open_contexts(2);
    client_start.ciphers = STR("ECDHE-ECDSA-AES128-GCM-SHA256");
    expect_meeting();
    ck_assert_str_eq(seen.subject, "second.example");
    client_start.ciphers = STR("ECDHE-RSA-AES128-GCM-SHA256");
    expect_meeting();
    ck_assert_str_eq(seen.subject, "first.example");
}
END_TEST

START_TEST(a_replaced_key_type_is_gone)
{
    struct err err = ERR_INIT;
    open_contexts(1);
    ck_assert_int_eq(tls_server_context_set_chains(server_context, &identities[1].chain, 1, &err), 0);
    expect_meeting();
    ck_assert_str_eq(seen.subject, "second.example");
    ck_assert_str_eq(seen.server.name, "ECDSA");
    ck_assert_str_eq(seen.server.group, "prime256v1");
}
END_TEST

START_TEST(edwards_keys_sign)
{
    free_identity(&identities[0]);
    make_identity(&identities[0], EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "ed.example");
    open_contexts(1);
    expect_meeting();
    ck_assert_str_eq(seen.subject, "ed.example");
    ck_assert_str_eq(seen.server.name, "ED25519");
}
END_TEST

START_TEST(a_keeper_that_fails_ends_the_handshake)
{
    open_contexts(1);
    keeper_fails = true;
    meet();
    ck_assert_int_eq(server_rc, -1);
    ck_assert_int_eq(client_rc, -1);
    ck_assert_str_eq(server_err.text, "-1");
}
END_TEST

START_TEST(names_choose_certificates)
{
    client_start.server_name = STR("second.example");
    open_contexts(1);
    expect_meeting();
    ck_assert_str_eq(seen.subject, "second.example");
    client_start.server_name = STR("unknown.example");
    expect_meeting();
    ck_assert_str_eq(seen.subject, "first.example");
}
END_TEST

START_TEST(tickets_resume_sessions)
{
    has_tickets = true;
    server_options.session_seconds = 3600;
    open_contexts(1);
    for (int old = 0; old < 2; old++) {
        client_start.session = STR_NULL;
        client_start.protocols = old ? STR("TLSv1.2") : STR("TLSv1.3");
        expect_meeting();
        ck_assert(!seen.is_resumed);
        unsigned before = signatures;
        struct buf session = BUF_INIT;
        buf_add_str(&session, buf_str(&seen_session));
        ck_assert_int_gt(session.len, 0);
        client_start.session = buf_str(&session);
        expect_meeting();
        ck_assert(seen.is_resumed);
        ck_assert_int_eq(signatures, before);
        ticket_key.name[0] ^= 1; // rotated away
        expect_meeting();
        ck_assert(!seen.is_resumed);
        buf_release(&session);
    }
    buf_release(&seen_session);
}
END_TEST

START_TEST(a_cache_resumes_clients_without_tickets)
{
    server_options.session_seconds = 3600;
    server_options.has_session_cache = true;
    client_options.ssl_options = STR("NO_TICKET");
    client_options.protocols = STR("TLSv1.2");
    open_contexts(1);
    expect_meeting();
    ck_assert_int_eq(sessions_put, 1);
    client_start.session = buf_str(&seen_session);
    struct buf session = BUF_INIT;
    buf_add_str(&session, buf_str(&seen_session));
    client_start.session = buf_str(&session);
    expect_meeting();
    ck_assert(seen.is_resumed);
    ck_assert_int_eq(sessions_got, 1);
    buf_release(&session);
    buf_release(&seen_session);
}
END_TEST

// ---- What a resumed session proves

static FILE *authority_file; // without a name, but for that of its descriptor
static char authority_path[32];

// The server asks for certificates, and trusts those that `authority` signed; the client shows the second identity's.
static void trust_clients_of(const struct identity *authority)
{
    struct err err = ERR_INIT;
    rewind(authority_file);
    ck_assert_int_eq(ftruncate(fileno(authority_file), 0), 0);
    ck_assert_uint_eq(fwrite(authority->cert.ptr, 1, authority->cert.len, authority_file), authority->cert.len);
    ck_assert_int_eq(fflush(authority_file), 0);
    close_contexts();
    server_options.asks_certificate = true;
    server_options.common.ca_file = str_from(authority_path);
    client_options.keeper = &keeper;
    open_contexts(1);
    ck_assert_int_eq(tls_client_context_set_chains(client_context, &identities[1].chain, 1, &err), 0);
}

static void setup_authorities(void)
{
    setup();
    has_tickets = true;
    server_options.session_seconds = 3600;
    authority_file = tmpfile();
    ck_assert_ptr_nonnull(authority_file);
    snprintf(authority_path, sizeof authority_path, "/dev/fd/%d", fileno(authority_file));
}

static void teardown_authorities(void)
{
    fclose(authority_file);
    certificate_seconds = 86400;
    buf_release(&seen_session);
    teardown();
}

// Meets again with the session of the last meeting that gave one.
static void expect_resumption(bool is_resumed, bool is_trusted)
{
    struct buf session = BUF_INIT;
    buf_add_str(&session, buf_str(&seen_session));
    ck_assert_uint_gt(session.len, 0);
    client_start.session = buf_str(&session);
    expect_meeting();
    client_start.session = STR_NULL;
    if (seen_session.len == 0)
        buf_add_str(&seen_session, buf_str(&session));
    buf_release(&session);
    ck_assert_int_eq(server_saw.is_resumed, is_resumed);
    ck_assert_int_eq(server_saw.has_certificate && server_saw.is_trusted, is_trusted);
}

static const struct str versions[] = {{"TLSv1.2", 7}, {"TLSv1.3", 7}};

START_TEST(a_session_proves_nothing_to_who_trusts_others)
{
    client_start.protocols = versions[_i];
    trust_clients_of(&identities[1]);
    expect_meeting();
    ck_assert(server_saw.is_trusted);
    expect_resumption(true, true);
    trust_clients_of(&identities[1]); // another process of the same service
    expect_resumption(true, true);
    trust_clients_of(&identities[0]);
    expect_resumption(false, false);
    trust_clients_of(&identities[1]); // as distrust proves nothing, either
    expect_resumption(false, true);
}
END_TEST

START_TEST(a_session_without_certificate_does_not_spare_the_question)
{
    client_start.protocols = versions[_i];
    open_contexts(1);
    expect_meeting();
    ck_assert(!server_saw.has_certificate);
    trust_clients_of(&identities[1]);
    expect_resumption(false, true);
}
END_TEST

START_TEST(a_session_does_not_outlive_the_certificate)
{
    client_start.protocols = versions[_i & 1];
    if (_i == 2) { // the cache instead of tickets
        server_options.has_session_cache = true;
        client_options.ssl_options = STR("NO_TICKET");
    }
    free_identity(&identities[1]);
    certificate_seconds = 2;
    make_identity(&identities[1], EVP_EC_gen("P-256"), "second.example");
    trust_clients_of(&identities[1]);
    expect_meeting();
    ck_assert(server_saw.is_trusted);
    expect_resumption(true, true);
    usleep(2200 * 1000);
    expect_resumption(false, false);
}
END_TEST

START_TEST(resumption_does_not_prolong_trust)
{
    client_start.protocols = versions[_i];
    server_options.session_seconds = 3;
    trust_clients_of(&identities[1]);
    expect_meeting();
    for (int i = 0; i < 2; i++) {
        usleep(1200 * 1000);
        expect_resumption(true, true);
    }
    usleep(2200 * 1000);
    expect_resumption(false, true);
}
END_TEST

START_TEST(a_client_resumes_nothing_that_has_expired)
{
    struct str names[] = {STR("first.example")};
    client_start.protocols = versions[_i];
    free_identity(&identities[0]);
    certificate_seconds = 2;
    make_identity(&identities[0], EVP_EC_gen("P-256"), "first.example");
    open_contexts(1);
    client_start.check = TLS_CHECK_NAMES;
    client_start.names = names;
    client_start.name_count = 1;
    client_start.trust_anchors = buf_str(&identities[0].cert);
    expect_meeting();
    ck_assert(seen.is_trusted && seen.is_matched);
    expect_resumption(true, false);
    ck_assert(seen.is_resumed && seen.is_matched);
    usleep(2200 * 1000);
    expect_resumption(false, false);
    ck_assert(!seen.is_trusted && !seen.is_matched);
}
END_TEST

START_TEST(peers_are_checked_by_name_and_fingerprint)
{
    struct str names[] = {STR("first.example")}, others[] = {STR("other.example")};
    open_contexts(1);
    client_start = (struct tls_client_start){.check = TLS_CHECK_NAMES, .names = names, .name_count = 1};
    expect_meeting();
    ck_assert(!seen.is_trusted && !seen.is_matched); // nobody vouches for it
    client_start.trust_anchors = buf_str(&identities[0].cert);
    expect_meeting();
    ck_assert(seen.is_trusted && seen.is_matched);
    client_start.names = others;
    expect_meeting();
    ck_assert(seen.is_trusted && !seen.is_matched);
    struct str prints[] = {STR("00:11"), str_from(seen.key_fingerprint)};
    char print[200];
    snprintf(print, sizeof print, "%s", seen.key_fingerprint);
    prints[1] = str_from(print);
    client_start =
        (struct tls_client_start){.check = TLS_CHECK_FINGERPRINT, .fingerprints = prints, .fingerprint_count = 2};
    expect_meeting();
    ck_assert(seen.is_matched);
    client_start.fingerprint_count = 1;
    expect_meeting();
    ck_assert(!seen.is_matched);
}
END_TEST

START_TEST(peers_are_checked_by_tlsa)
{
    struct str names[] = {STR("first.example")};
    unsigned char digest[32];
    struct tls_tlsa record = {3, 1, 1, {digest, sizeof digest}};
    memcpy(digest, tls_chain_key_id(identities[0].chain), sizeof digest);
    client_start = (struct tls_client_start){
        .check = TLS_CHECK_DANE, .names = names, .name_count = 1, .tlsa = &record, .tlsa_count = 1};
    open_contexts(1);
    expect_meeting();
    ck_assert(seen.is_trusted && seen.is_matched);
    digest[5] ^= 1;
    expect_meeting();
    ck_assert(!seen.is_matched);
    record.matching = 77;
    meet();
    ck_assert_int_eq(client_rc, -1);
    ck_assert_str_eq(client_err.text, "no usable TLSA record");
}
END_TEST

// A raw peer writes `hostile_text` and leaves.
static const char *hostile_text;

static void run_hostile(void *arg)
{
    co_assert_running();
    stream_printf(client, "%s", hostile_text);
    ck_assert_int_eq(stream_flush(client, NULL), 0);
    if (*hostile_text == '\0') {
        while (!server_is_done)
            co_sleep_until(clock_ms() + 1);
    }
    stream_free(client);
    while (!server_is_done)
        co_sleep_until(clock_ms() + 1);
    co_loop_stop();
}

static void run_impatient_server(void *arg)
{
    co_assert_running();
    const struct tls_server_start start = {.log_level = 0};
    struct raw data;
    stream_set_deadline(server, clock_ms() + 200);
    if (*hostile_text)
        ck_assert_int_eq(stream_peek(server, &data, NULL), 1); // all of it is buffered in the clear
    server_rc = stream_start_tls_server(server, server_context, &start, &server_err);
    ck_assert(stream_buffered(server) == 0);
    stream_free(server);
    server_is_done = true;
}

static void meet_hostile(const char *text)
{
    int pair[2];
    co_loop_init();
    hostile_text = text;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    server = stream_new(pair[0]);
    client = stream_new(pair[1]);
    stream_set_deadline(client, clock_ms() + 5000);
    server_is_done = false;
    server_err = ERR_INIT;
    co_spawn("server", run_impatient_server, NULL);
    co_spawn("hostile", run_hostile, NULL);
    co_loop_run(1000);
    co_loop_free();
    ck_assert_int_eq(server_rc, -1);
}

START_TEST(clear_text_is_thrown_away)
{
    open_contexts(1);
    meet_hostile("MAIL FROM:<>\r\n");
    ck_assert_str_eq(server_err.text, "lost connection");
    meet_hostile("");
    ck_assert_int_eq(server_err.kind, ERR_TIMEOUT);
}
END_TEST

START_TEST(protocol_lists)
{
    ck_assert(tls_protocols_are_valid(STR(">=TLSv1.2, <=0304")));
    ck_assert(tls_protocols_are_valid(STR("!SSLv2 !SSLv3")));
    ck_assert(tls_protocols_are_valid(STR("")));
    ck_assert(!tls_protocols_are_valid(STR("TLSv9")));
    ck_assert(!tls_protocols_are_valid(STR(">=nonsense")));
    ck_assert(!tls_protocols_are_valid(STR(">=12345")));
}
END_TEST

START_TEST(certificate_names)
{
    ck_assert(tls_name_matches(STR("a.example.com"), STR("A.example.COM"), false));
    ck_assert(tls_name_matches(STR("a.example.com"), STR("*.example.com"), false));
    ck_assert(!tls_name_matches(STR("b.a.example.com"), STR("*.example.com"), false));
    ck_assert(!tls_name_matches(STR("example.com"), STR("*.com"), false));
    ck_assert(!tls_name_matches(STR("example.com"), STR("*.example.com"), false));
    ck_assert(tls_name_matches(STR(".example.com"), STR("a.b.example.com"), false));
    ck_assert(!tls_name_matches(STR(".example.com"), STR("example.com"), false));
    ck_assert(tls_name_matches(STR("b.a.example.com"), STR("*.example.com"), true));
    ck_assert(!tls_name_matches(STR("example.com"), STR("*.example.com"), true));
    ck_assert(!tls_name_matches(STR("x"), STR(""), false));
}
END_TEST

START_TEST(broken_pem_is_refused)
{
    struct err err = ERR_INIT;
    ck_assert_ptr_null(tls_chain_parse(STR(""), &err));
    ck_assert_ptr_null(tls_chain_parse(STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), &err));
    ck_assert_ptr_null(tls_key_parse(STR("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), &err));
    struct buf both = BUF_INIT;
    buf_add_str(&both, buf_str(&identities[0].key));
    buf_add_str(&both, buf_str(&identities[0].cert));
    struct tls_chain *chain = tls_chain_parse(buf_str(&both), &err);
    ck_assert_msg(chain != NULL, "%s", err.text);
    ck_assert_str_eq(tls_chain_subject(chain), "first.example");
    tls_chain_free(chain);
    buf_truncate(&both, both.len - 100);
    ck_assert_ptr_null(tls_chain_parse(buf_str(&both), &err));
    buf_wipe(&both);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls");
    TCase *tc = tcase_create("tls");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, both_sides_talk_with_keys_elsewhere);
    tcase_add_test(tc, older_protocols_sign_too);
    tcase_add_test(tc, the_oldest_protocol_signs_with_md5_and_sha1);
    tcase_add_test(tc, rsa_and_ecdsa_side_by_side);
    tcase_add_test(tc, a_replaced_key_type_is_gone);
    tcase_add_test(tc, edwards_keys_sign);
    tcase_add_test(tc, a_keeper_that_fails_ends_the_handshake);
    tcase_add_test(tc, names_choose_certificates);
    tcase_add_test(tc, tickets_resume_sessions);
    tcase_add_test(tc, a_cache_resumes_clients_without_tickets);
    tcase_add_test(tc, peers_are_checked_by_name_and_fingerprint);
    tcase_add_test(tc, peers_are_checked_by_tlsa);
    tcase_add_test(tc, clear_text_is_thrown_away);
    tcase_add_test(tc, protocol_lists);
    tcase_add_test(tc, certificate_names);
    tcase_add_test(tc, broken_pem_is_refused);
    suite_add_tcase(suite, tc);
    tc = tcase_create("resumption");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup_authorities, teardown_authorities);
    tcase_add_loop_test(tc, a_session_proves_nothing_to_who_trusts_others, 0, 2);
    tcase_add_loop_test(tc, a_session_without_certificate_does_not_spare_the_question, 0, 2);
    tcase_add_loop_test(tc, a_session_does_not_outlive_the_certificate, 0, 3);
    tcase_add_loop_test(tc, resumption_does_not_prolong_trust, 0, 2);
    tcase_add_loop_test(tc, a_client_resumes_nothing_that_has_expired, 0, 2);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
