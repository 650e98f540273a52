// SPDX-License-Identifier: ISC
// tlsmgr_test.c: unit tests of the store of keys: what comes into use, and what does not.
#include <check.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "services/tlsmgr/tlsmgr.h"

static void take(struct buf *out, BIO *bio)
{
    char *text;
    long size = BIO_get_mem_data(bio, &text);
    buf_add(out, text, (size_t)size);
    BIO_free(bio);
}

// A new key and a certificate for it, valid for `days` from now (negative: long ago).
static void make(const char *name, int days, struct buf *cert_r, struct buf *key_r)
{
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -100L * 86400);
    X509_gmtime_adj(X509_getm_notAfter(cert), days * 86400L + 3600);
    X509_set_pubkey(cert, pkey);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_sign(cert, pkey, EVP_sha256());
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, cert);
    take(cert_r, bio);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL);
    take(key_r, bio);
    X509_free(cert);
    EVP_PKEY_free(pkey);
}

static struct tlsmgr_store *store;
static struct buf cert1, key1, cert2, key2, old_cert, old_key;

static void setup(void)
{
    store = tlsmgr_store_new(14);
    make("one.example", 90, &cert1, &key1);
    make("two.example", 90, &cert2, &key2);
    make("old.example", -10, &old_cert, &old_key);
}

static void teardown(void)
{
    struct buf *all[] = {&cert1, &key1, &cert2, &key2, &old_cert, &old_key};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        buf_wipe(all[i]);
    tlsmgr_store_free(store);
}

static void put(const char *path, const struct buf *content)
{
    tlsmgr_store_set_file(store, str_from(path), buf_str(content), STR(""));
}

#define TEXT STR("pairs /cert /key")

static const struct tlsmgr_chains *expect(struct str text, const char *subject)
{
    const struct tlsmgr_chains *chains = NULL;
    struct err err = ERR_INIT;
    ck_assert_msg(tlsmgr_store_chains(store, text, &chains, &err) == 0, "%s", err.text);
    ck_assert_str_eq(tls_chain_subject(chains->pairs[0].chain), subject);
    return chains;
}

static void expect_failure(struct str text, const char *reason)
{
    const struct tlsmgr_chains *chains = NULL;
    struct err err = ERR_INIT;
    ck_assert_int_eq(tlsmgr_store_chains(store, text, &chains, &err), -1);
    ck_assert_msg(strstr(err.text, reason) != NULL, "%s", err.text);
}

START_TEST(a_change_comes_into_use_when_it_is_whole)
{
    tlsmgr_store_allow(store, TEXT);
    put("/cert", &cert1);
    put("/key", &key1);
    tlsmgr_store_refresh(store);
    uint64_t first = expect(TEXT, "one.example")->generation;
    put("/cert", &cert2); // the key is still the old one
    tlsmgr_store_refresh(store);
    ck_assert_uint_eq(expect(TEXT, "one.example")->generation, first);
    put("/key", &key2);
    tlsmgr_store_refresh(store);
    ck_assert_uint_ne(expect(TEXT, "two.example")->generation, first);
}
END_TEST

START_TEST(what_is_no_good_does_not_replace_what_is)
{
    struct buf garbage = BUF_INIT;
    buf_add_cstr(&garbage, "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n");
    tlsmgr_store_allow(store, TEXT);
    put("/cert", &cert1);
    put("/key", &key1);
    tlsmgr_store_refresh(store);
    put("/cert", &garbage);
    tlsmgr_store_refresh(store);
    expect(TEXT, "one.example");
    tlsmgr_store_set_file(store, STR("/cert"), STR(""), STR("No such file or directory"));
    tlsmgr_store_refresh(store);
    expect(TEXT, "one.example");
    put("/cert", &old_cert);
    put("/key", &old_key);
    tlsmgr_store_refresh(store);
    expect(TEXT, "one.example"); // expired
    put("/cert", &cert2);
    put("/key", &key2);
    tlsmgr_store_refresh(store);
    expect(TEXT, "two.example");
    buf_release(&garbage);
}
END_TEST

START_TEST(at_first_an_expired_one_is_better_than_none)
{
    tlsmgr_store_allow(store, TEXT);
    put("/cert", &old_cert);
    put("/key", &old_key);
    tlsmgr_store_refresh(store);
    expect(TEXT, "old.example");
}
END_TEST

START_TEST(failures_say_why)
{
    expect_failure(TEXT, "neither main.cf nor master.cf");
    tlsmgr_store_allow(store, TEXT);
    put("/cert", &cert1);
    tlsmgr_store_refresh(store);
    expect_failure(TEXT, "/key: not read");
    put("/key", &key2);
    tlsmgr_store_refresh(store);
    expect_failure(TEXT, "the private key is not that of the certificate of one.example");
}
END_TEST

START_TEST(chain_files_hold_keys_before_certificates)
{
    struct buf both = BUF_INIT;
    struct str text = STR("chain /all");
    buf_add_str(&both, buf_str(&cert1)); // one key: anywhere
    buf_add_str(&both, buf_str(&key1));
    tlsmgr_store_allow(store, text);
    put("/all", &both);
    tlsmgr_store_refresh(store);
    expect(text, "one.example");
    buf_clear(&both);
    buf_add_str(&both, buf_str(&key2));
    buf_add_str(&both, buf_str(&cert2));
    buf_add_str(&both, buf_str(&key1));
    buf_add_str(&both, buf_str(&cert1));
    put("/all", &both);
    tlsmgr_store_refresh(store);
    ck_assert_uint_eq(expect(text, "two.example")->count, 2);
    buf_wipe(&both);
}
END_TEST

START_TEST(keys_are_found_by_id_while_they_are_needed)
{
    tlsmgr_store_allow(store, TEXT);
    put("/cert", &cert1);
    put("/key", &key1);
    tlsmgr_store_refresh(store);
    unsigned char id[TLS_KEY_ID_SIZE];
    memcpy(id, tls_chain_key_id(expect(TEXT, "one.example")->pairs[0].chain), sizeof id);
    struct str key = str_of((const char *)id, sizeof id);
    struct tlsmgr_key *held = tlsmgr_store_key(store, key);
    ck_assert_ptr_nonnull(held);
    ck_assert_ptr_null(tlsmgr_store_key(store, STR("short")));
    put("/cert", &cert2);
    put("/key", &key2);
    tlsmgr_store_refresh(store);
    struct tlsmgr_key *former = tlsmgr_store_key(store, key); // handshakes under way
    ck_assert_ptr_eq(former, held);
    tlsmgr_key_release(former);
    put("/cert", &cert1);
    put("/key", &key1);
    tlsmgr_store_refresh(store);
    put("/cert", &cert2);
    put("/key", &key2);
    tlsmgr_store_refresh(store);
    tlsmgr_key_release(held);
    ck_assert_ptr_nonnull(former = tlsmgr_store_key(store, key));
    tlsmgr_key_release(former);
}
END_TEST

START_TEST(signatures_are_limited_by_key)
{
    tlsmgr_store_allow(store, TEXT);
    put("/cert", &cert1);
    put("/key", &key1);
    tlsmgr_store_refresh(store);
    struct tlsmgr_key *k = tlsmgr_store_key(
        store, str_of((const char *)tls_chain_key_id(expect(TEXT, "one.example")->pairs[0].chain), TLS_KEY_ID_SIZE));
    clock_fake_set(1000, 1700000000000000);
    for (int i = 0; i < 10; i++)
        ck_assert(tlsmgr_key_may_sign(k, 10));
    ck_assert(!tlsmgr_key_may_sign(k, 10));
    clock_fake_set(1100, 1700000000000000);
    ck_assert(tlsmgr_key_may_sign(k, 10));
    ck_assert(!tlsmgr_key_may_sign(k, 10));
    ck_assert(tlsmgr_key_may_sign(k, 0));
    clock_fake_end();
    tlsmgr_key_release(k);
}
END_TEST

// ---- The reader

static char directory[64];

static void write_file(const char *name, const char *content)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(content, f);
    fclose(f);
}

static void expect_frame(int fd, const char *verb, const char *content)
{
    unsigned char data[2048];
    struct ipc_view view;
    size_t size = 0, have = 0;
    int rc;
    while ((rc = ipc_decode((struct raw){data, have}, &view, &size, NULL)) == 0) {
        ck_assert_int_eq(recv(fd, data + have, 1, 0), 1); // a byte at a time: the next frame stays where it is
        have++;
    }
    ck_assert_int_eq(rc, 1);
    ck_assert_msg(str_is(view.verb, str_from(verb)), STR_FMT " is not %s", STR_ARG(view.verb), verb);
    if (content != NULL)
        ck_assert(str_is(ipc_str_or(&view, "content", STR("")), str_from(content)));
}

START_TEST(the_reader_sends_files_and_their_changes)
{
    char named[128];
    strcpy(directory, "/tmp/tlsmgr_test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(named, sizeof named, "%s/named.pem", directory);
    const char *paths[] = {named}, *directories[] = {directory};
    struct tlsmgr_watch watch = {paths, 1, directories, 1, 100};
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        tlsmgr_reader_run(&watch, pair[1]);
        _exit(0);
    }
    close(pair[1]);
    expect_frame(pair[0], "gone", NULL);
    expect_frame(pair[0], "end", NULL);
    write_file("named.pem", "first");
    expect_frame(pair[0], "file", "first");
    expect_frame(pair[0], "end", NULL);
    write_file("other.pem", "found in the directory");
    expect_frame(pair[0], "file", "found in the directory");
    expect_frame(pair[0], "end", NULL);
    unlink(named);
    expect_frame(pair[0], "gone", NULL);
    expect_frame(pair[0], "end", NULL);
    close(pair[0]);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid); // it ends by itself
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    snprintf(named, sizeof named, "%s/other.pem", directory);
    unlink(named);
    rmdir(directory);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tlsmgr");
    TCase *tc = tcase_create("tlsmgr");
    tcase_set_timeout(tc, 30);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_change_comes_into_use_when_it_is_whole);
    tcase_add_test(tc, what_is_no_good_does_not_replace_what_is);
    tcase_add_test(tc, at_first_an_expired_one_is_better_than_none);
    tcase_add_test(tc, failures_say_why);
    tcase_add_test(tc, chain_files_hold_keys_before_certificates);
    tcase_add_test(tc, keys_are_found_by_id_while_they_are_needed);
    tcase_add_test(tc, signatures_are_limited_by_key);
    tcase_add_test(tc, the_reader_sends_files_and_their_changes);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
