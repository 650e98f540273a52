// SPDX-License-Identifier: ISC
// posttls_finger.c: posttls-finger: connects to a mail server and says what TLS with it is like.
// Trust: servers and name servers are hostile; runs with the caller's rights and keeps no secret but the caller's own key.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
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

static void read_file(struct str path, struct buf *text_r)
{
    char *name = mem_dup_str(path);
    FILE *file = fopen(name, "re");

    if (file == NULL)
        die("open %s: %m", name);
    buf_reserve(text_r, FILE_SIZE_MAX);
    text_r->len = fread(text_r->ptr, 1, FILE_SIZE_MAX - 1, file);
    text_r->ptr[text_r->len] = '\0';
    if (!feof(file))
        die("%s: too large, or unreadable", name);
    fclose(file);
    mem_free(name);
}

// ---- Our own certificate: -k, -K, -H

static int sign(void *arg, const struct tls_sign_request *request, struct buf *signature_r, struct err *err)
{
    struct finger *f = arg;

    return tls_key_sign(f->key, request->algorithm, request->digest, request->input, signature_r, err);
}

static void use_certificate(struct finger *f)
{
    bool is_joint = f->chain_files.len > 0;
    struct str files = is_joint ? f->chain_files : f->cert_file;
    struct buf certs = BUF_INIT, key = BUF_INIT;
    struct err err = ERR_INIT;

    if (files.len == 0)
        return;
    read_file(files, &certs);
    read_file(is_joint || f->key_file.len == 0 ? files : f->key_file, &key);
    struct tls_chain *chain = tls_chain_parse(buf_str(&certs), &err);
    f->key = tls_key_parse(buf_str(&key), &err);
    if (chain == NULL || f->key == NULL || tls_client_context_set_chains(f->context, &chain, 1, &err) < 0)
        die("client certificate: %s", err.text);
    tls_chain_free(chain);
    buf_release(&certs);
    buf_wipe(&key);
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
    use_certificate(f);
    if (f->anchor_file.len > 0)
        read_file(f->anchor_file, &f->anchors);
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
    tls_key_free(f->key);
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
