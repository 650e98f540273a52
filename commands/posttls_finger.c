// SPDX-License-Identifier: ISC
// posttls_finger.c: posttls-finger: connects to a mail server and says what TLS with it is like.
// Trust: servers and name servers are hostile; runs with the caller's rights and keeps no secret but the caller's own
// key.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/posttls_finger.h"
#include "lib/base/log.h"
#include "lib/ipc/tls_service.h"

#define FILE_SIZE_MAX (1024 * 1024)

void finger_say(const char *format, ...)
{
    struct buf text = BUF_INIT, line = BUF_INIT;
    va_list ap;

    va_start(ap, format);
    buf_vaddf(&text, format, ap);
    va_end(ap);
    buf_add_printable(&line, buf_str(&text), 0);
    printf("posttls-finger: %s\n", buf_cstr(&line));
    buf_release(&text);
    buf_release(&line);
}

static void add_file(struct str path, struct buf *text)
{
    char *name = mem_dup_str(path);
    FILE *file = fopen(name, "re");

    if (file == NULL)
        die("open %s: %m", name);
    buf_reserve(text, FILE_SIZE_MAX);
    size_t got = fread(text->ptr + text->len, 1, FILE_SIZE_MAX - 1, file);
    text->len += got;
    text->ptr[text->len] = '\0';
    if (!feof(file))
        die("%s: too large, or unreadable", name);
    fclose(file);
    buf_add_char(text, '\n');
    mem_free(name);
}

static void add_files(struct str list, struct buf *text)
{
    struct str path;

    while (str_token(&list, "\n", &path))
        add_file(path, text);
}

// ---- Our own certificates: -k, -K, -H

static int sign(void *arg, const struct tls_sign_request *request, struct buf *signature_r, struct err *err)
{
    struct finger *f = arg;

    for (size_t i = 0; i < f->key_count; i++)
        if (memcmp(tls_key_id(f->keys[i]), request->key_id, TLS_KEY_ID_SIZE) == 0)
            return tls_key_sign(f->keys[i], request->algorithm, request->digest, request->input, signature_r, err);
    return err_set(err, ERR_BUG, "no such key");
}

// The length of the text up to the next private key but the one that it begins with.
static size_t chain_end(struct str text)
{
    size_t at = 0;
    struct str line, rest = text;

    while (str_cut(&rest, '\n', &line)) {
        bool is_key = str_starts(line, STR("-----BEGIN ")) && str_find_str(line, STR("PRIVATE KEY-----")) > 0;
        if (is_key && at > 0)
            return at;
        at += line.len + 1;
    }
    return text.len;
}

static void use_certificates(struct finger *f)
{
    bool is_joint = f->chain_files.len > 0;
    struct str cert = f->cert_file.len > 0 ? f->cert_file : f->key_file, key = f->key_file.len > 0 ? f->key_file : cert;
    struct tls_chain *chains[TLS_CHAINS_MAX];
    struct buf text = BUF_INIT;
    struct err err = ERR_INIT;

    if (is_joint)
        add_files(f->chain_files, &text);
    else if (cert.len > 0)
        add_files(
            arena_strf(&f->arena, STR_FMT "\n" STR_FMT, STR_ARG(key), STR_ARG(str_is(key, cert) ? STR("") : cert)),
            &text);
    struct str rest = buf_str(&text);
    while (str_trim(rest).len > 0 && f->key_count < TLS_CHAINS_MAX) {
        // -k: whatever stands where, there is one key.
        struct str piece = str_slice(rest, 0, is_joint ? chain_end(rest) : rest.len);
        rest = str_slice(rest, piece.len, rest.len);
        chains[f->key_count] = tls_chain_parse(piece, &err);
        f->keys[f->key_count] = tls_key_parse(piece, &err);
        if (chains[f->key_count] == NULL || f->keys[f->key_count] == NULL)
            die("client certificate: %s", err.text);
        f->key_count++;
    }
    if (f->key_count > 0 && tls_client_context_set_chains(f->context, chains, f->key_count, &err) < 0)
        die("client certificate: %s", err.text);
    for (size_t i = 0; i < f->key_count; i++)
        tls_chain_free(chains[i]);
    buf_wipe(&text);
}

static void open_context(struct finger *f)
{
    struct tls_options options;
    struct err err = ERR_INIT;

    tls_options_from_settings(&f->settings, &f->groups, &options);
    f->keeper = (struct tls_keeper){.arg = f, .sign = sign};
    options.ca_file = f->ca_file;
    options.ca_path = f->ca_path;
    options.fingerprint_digest = f->digest;
    options.verify_depth = (int)f->settings.smtp_tls_scert_verifydepth;
    options.keeper = &f->keeper;
    f->context = tls_client_context_open(&options, &err);
    if (f->context == NULL)
        die("%s", err.text);
    use_certificates(f);
    add_files(f->anchor_files, &f->anchors);
}

static void probe(void *arg)
{
    co_assert_running();
    finger_probe(arg);
    co_loop_stop();
}

static int finish(struct finger *f)
{
    int status = f->status;

    dns_deinit();
    tls_client_context_close(f->context);
    for (size_t i = 0; i < f->key_count; i++)
        tls_key_free(f->keys[i]);
    co_loop_free();
    buf_release(&f->groups);
    buf_release(&f->anchors);
    conf_free(f->conf);
    arena_release(&f->arena);
    mem_free(f);
    return status;
}

int main(int argc, char **argv)
{
    struct finger *f = MEM_NEW(struct finger);
    struct err err = ERR_INIT;

    log_open(LOG_TO_STDERR, -1, "posttls-finger", "");
    finger_options(f, argc, argv);
    co_loop_init();
    if (dns_init(&err) < 0)
        die("%s", err.text);
    open_context(f);
    co_spawn("probe", probe, f);
    co_loop_run(1000);
    return finish(f);
}
