// SPDX-License-Identifier: ISC
// cyrus.c: what Cyrus's server and client have in common: locks, folders, log lines, base64, security properties.
#include <pthread.h>
#include <sasl/saslutil.h>

#include "lib/base/log.h"
#include "lib/sasl/cyrus_impl.h"

#define LOG_MAX 2000 // bytes kept of what the library says in one step

static void *lock_new(void)
{
    pthread_mutex_t *lock = MEM_NEW(pthread_mutex_t);
    pthread_mutex_init(lock, NULL);
    return lock;
}

static int lock_take(void *lock)
{
    return pthread_mutex_lock(lock) == 0 ? SASL_OK : SASL_FAIL;
}

static int lock_give(void *lock)
{
    return pthread_mutex_unlock(lock) == 0 ? SASL_OK : SASL_FAIL;
}

static void lock_free(void *lock)
{
    pthread_mutex_destroy(lock);
    mem_free(lock);
}

int cyrus_prepare(struct str path, struct err *err)
{
    sasl_set_mutex(lock_new, lock_take, lock_give, lock_free);
    if (path.len == 0)
        return 0;
    char *copy = mem_dup_str(path);
    int rc = sasl_set_path(SASL_PATH_TYPE_CONFIG, copy);
    mem_free(copy);
    return rc == SASL_OK ? 0
                         : err_set(err, ERR_PERMANENT, "SASL configuration path " STR_FMT ": %s", STR_ARG(path),
                                   sasl_errstring(rc, NULL, NULL));
}

// What an administrator must know. Lower levels hold passwords (SASL_LOG_PASS) and are never kept.
int cyrus_log(void *context, int level, const char *message)
{
    static const char *const kinds[] = {
        [SASL_LOG_ERR] = "problem", [SASL_LOG_FAIL] = "failure", [SASL_LOG_WARN] = "problem"};
    struct cyrus_exchange *x = context;
    struct buf line = BUF_INIT;

    if (message == NULL || level < SASL_LOG_ERR || level > SASL_LOG_WARN)
        return SASL_OK;
    buf_addf(&line, "SASL authentication %s: ", kinds[level]);
    buf_add_printable(&line, str_from(message), SASL_REASON_MAX);
    if (x == NULL)
        log_warn("%s", buf_cstr(&line));
    else if (x->log.len + line.len < LOG_MAX)
        buf_addf(&x->log, "%s\n", buf_cstr(&line));
    buf_release(&line);
    return SASL_OK;
}

void cyrus_take_log(struct cyrus_exchange *x, struct buf *log_r)
{
    buf_add_str(log_r, buf_str(&x->log));
    buf_clear(&x->log);
}

int cyrus_set_security(sasl_conn_t *conn, unsigned security)
{
    static const struct {
        unsigned ours, theirs;
    } flags[] = {{SASL_NO_PLAINTEXT, SASL_SEC_NOPLAINTEXT},        {SASL_NO_ACTIVE, SASL_SEC_NOACTIVE},
                 {SASL_NO_DICTIONARY, SASL_SEC_NODICTIONARY},      {SASL_NO_ANONYMOUS, SASL_SEC_NOANONYMOUS},
                 {SASL_FORWARD_SECRECY, SASL_SEC_FORWARD_SECRECY}, {SASL_MUTUAL_AUTH, SASL_SEC_MUTUAL_AUTH}};
    sasl_security_properties_t props = {.min_ssf = 0, .max_ssf = 0}; // no security layers: TLS is for that

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (security & flags[i].ours)
            props.security_flags |= flags[i].theirs;
    return sasl_setprop(conn, SASL_SEC_PROPS, &props);
}

int cyrus_decode(struct str base64, struct buf *bytes_r)
{
    unsigned len = 0;

    buf_clear(bytes_r);
    if (base64.len > SASL_TOKEN_MAX)
        return SASL_BADPROT;
    buf_reserve(bytes_r, base64.len + 1);
    int rc = sasl_decode64(base64.ptr, (unsigned)base64.len, bytes_r->ptr, (unsigned)base64.len + 1, &len);
    if (rc == SASL_OK) {
        bytes_r->len = len;
        bytes_r->ptr[len] = '\0';
    }
    return rc;
}

void cyrus_encode(const char *bytes, unsigned len, struct buf *base64_r)
{
    unsigned size = len / 3 * 4 + 5, written = 0;

    buf_clear(base64_r);
    if (bytes == NULL || len == 0 || len > SASL_TOKEN_MAX / 4 * 3)
        return;
    buf_reserve(base64_r, size);
    if (sasl_encode64(bytes, len, base64_r->ptr, size, &written) == SASL_OK) {
        base64_r->len = written;
        base64_r->ptr[written] = '\0';
    }
}

void cyrus_exchange_free(struct cyrus_exchange *x)
{
    if (x == NULL)
        return;
    sasl_dispose(&x->conn);
    cyrus_secret_free(x->secret);
    buf_release(&x->log);
    mem_free(x);
}
