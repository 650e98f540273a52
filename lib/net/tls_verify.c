// SPDX-License-Identifier: ISC
// tls_verify.c: is the server the one that was asked for? By names, by fingerprints, or by TLSA records.
//
// The handshake goes on whatever the answer, so that the caller can log whom it met; the answer is is_trusted and
// is_matched.
// Trust: the server's certificate is hostile input.
#include <openssl/pem.h>

#include "lib/base/mem.h"
#include "lib/net/tls_internal.h"

enum { NAMES_MAX = 1000 };

// RFC 6125: "*." stands for one label, and for several only where that is wanted; ".example" as wanted is any name
// below example.
bool tls_name_matches(struct str wanted, struct str presented, bool wildcards_span_labels)
{
    if (wanted.len == 0 || presented.len == 0)
        return false;
    if (wanted.ptr[0] == '.')
        return str_ends_nocase(presented, wanted) && presented.len > wanted.len;
    if (!str_starts(presented, STR("*.")))
        return str_is_nocase(wanted, presented);
    struct str tail = str_slice(presented, 1, presented.len);
    if (str_find(str_slice(tail, 1, tail.len), '.') <= 0) // "*.com"
        return false;
    long dot = str_find(wanted, '.');
    if (wildcards_span_labels)
        return str_ends_nocase(wanted, tail) && wanted.len > tail.len;
    return dot > 0 && str_is_nocase(str_slice(wanted, (size_t)dot, wanted.len), tail);
}

static bool any_name_matches(const struct tls *t, const struct tls_client_start *start, struct str presented)
{
    for (size_t i = 0; i < start->name_count; i++)
        if (tls_name_matches(start->names[i], presented, t->wildcards_span_labels))
            return true;
    return false;
}

// DNS names of the subjectAltName; the CN serves only a certificate without any.
static bool certificate_has_name(const struct tls *t, X509 *cert, const struct tls_client_start *start)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    bool has_dns = false, is_found = false;
    for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names) && i < NAMES_MAX && !is_found; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS)
            continue;
        has_dns = true;
        struct str text =
            str_of((const char *)ASN1_STRING_get0_data(name->d.dNSName), (size_t)ASN1_STRING_length(name->d.dNSName));
        is_found = str_is_printable(text) && any_name_matches(t, start, text);
    }
    GENERAL_NAMES_free(names);
    char subject[TLS_NAME_MAX + 1];
    if (has_dns)
        return is_found;
    tls_name_of(X509_get_subject_name(cert), subject);
    return any_name_matches(t, start, str_from(subject));
}

static bool has_fingerprint(const struct tls_info *info, const struct tls_client_start *start)
{
    for (size_t i = 0; i < start->fingerprint_count; i++)
        if (str_is_nocase(start->fingerprints[i], str_from(info->fingerprint)) ||
            str_is_nocase(start->fingerprints[i], str_from(info->key_fingerprint)))
            return true;
    return false;
}

// ---- Before the handshake

static int go_on(int is_good, X509_STORE_CTX *store)
{
    return 1;
}

static int add_tlsa(struct tls *t, const struct tls_client_start *start, struct err *err)
{
    struct buf base = BUF_INIT;
    size_t usable = 0;
    buf_add_str(&base, start->name_count > 0 ? start->names[0] : start->server_name);
    int rc = SSL_dane_enable(t->ssl, buf_cstr(&base)) > 0 ? 0 : tls_err(err, "cannot start DANE");
    for (size_t i = 1; rc == 0 && i < start->name_count; i++) {
        buf_clear(&base);
        buf_add_str(&base, start->names[i]);
        if (!SSL_add1_host(t->ssl, buf_cstr(&base)))
            rc = tls_err(err, "cannot add a DANE name");
    }
    SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    for (size_t i = 0; rc == 0 && i < start->tlsa_count; i++) {
        const struct tls_tlsa *r = &start->tlsa[i];
        if (SSL_dane_tlsa_add(t->ssl, r->usage, r->selector, r->matching, r->data.ptr, r->data.len) > 0)
            usable++;
        ERR_clear_error(); // one that cannot be used is not there
    }
    buf_release(&base);
    return rc < 0 || usable > 0 ? rc : err_set(err, ERR_TEMPORARY, "no usable TLSA record");
}

static int add_anchors(struct tls *t, struct str pem, struct err *err)
{
    X509_STORE *store = X509_STORE_new();
    struct tls_chain *anchors = store != NULL ? tls_chain_parse(pem, err) : NULL;
    int rc = anchors == NULL ? -1 : 0;
    for (size_t i = 0; rc == 0 && i < anchors->count; i++)
        if (!X509_STORE_add_cert(store, anchors->certs[i]))
            rc = tls_err(err, "cannot use a trust anchor");
    if (rc == 0)
        rc = X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) && SSL_set1_verify_cert_store(t->ssl, store)
                 ? 0
                 : tls_err(err, "cannot use the trust anchors");
    tls_chain_free(anchors);
    X509_STORE_free(store);
    return rc;
}

static void offer_session(struct tls *t, struct str session)
{
    const unsigned char *at = (const unsigned char *)session.ptr;
    SSL_SESSION *s = session.len > 0 ? d2i_SSL_SESSION(NULL, &at, (long)session.len) : NULL;
    if (s != NULL && tls_session_is_current(s))
        SSL_set_session(t->ssl, s);
    SSL_SESSION_free(s);
    ERR_clear_error();
}

int tls_client_check_begin(struct tls *t, const struct tls_client_start *start, struct err *err)
{
    struct buf name = BUF_INIT;
    int rc = 0;
    SSL_set_verify(t->ssl, SSL_VERIFY_PEER, go_on);
    buf_add_str(&name, start->server_name);
    if (name.len > 0 && name.len <= TLS_NAME_MAX && !SSL_set_tlsext_host_name(t->ssl, buf_cstr(&name)))
        rc = tls_err(err, "server name %s", buf_cstr(&name));
    buf_release(&name);
    if (rc == 0 && start->check == TLS_CHECK_DANE)
        rc = add_tlsa(t, start, err);
    if (rc == 0 && start->trust_anchors.len > 0)
        rc = add_anchors(t, start->trust_anchors, err);
    offer_session(t, start->session);
    return rc;
}

// ---- After it

void tls_client_check_end(struct tls *t, const struct tls_client_start *start)
{
    struct tls_info *info = t->info;
    X509 *peer = SSL_get0_peer_certificate(t->ssl);
    if (peer == NULL) {
        snprintf(info->trouble, sizeof info->trouble, "no certificate");
        return;
    }
    switch (start->check) {
    case TLS_CHECK_NONE:
        break;
    case TLS_CHECK_NAMES:
        info->is_matched = info->is_trusted && certificate_has_name(t, peer, start);
        if (info->is_trusted && !info->is_matched)
            snprintf(info->trouble, sizeof info->trouble, "the certificate is for another name");
        break;
    case TLS_CHECK_FINGERPRINT:
        info->is_trusted = info->is_matched = has_fingerprint(info, start);
        snprintf(info->trouble, sizeof info->trouble, "%s",
                 info->is_matched ? "" : "the certificate has another fingerprint");
        break;
    case TLS_CHECK_DANE:
        // Of a resumed session the library says no more than that it was right once: by the same records, see
        // tls_client_context_add_trust.
        info->is_matched = info->is_trusted && (info->is_resumed || SSL_get0_dane_authority(t->ssl, NULL, NULL) >= 0);
        break;
    }
    ERR_clear_error();
}
