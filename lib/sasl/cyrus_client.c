// SPDX-License-Identifier: ISC
// cyrus_client.c: shows credentials to a server with Cyrus SASL's mechanisms.
// Trust: challenges come from servers and are hostile: Cyrus parses them, and a server may ask for long computations
// (SCRAM).
#include <sasl/saslutil.h>

#include "lib/sasl/cyrus_impl.h"

// What Cyrus asks for by callback; wiped when the exchange ends.
struct cyrus_secret {
    char *username;
    char *authzid;       // "" none
    struct buf password; // a sasl_secret_t
};

int cyrus_client_init(struct str path, struct err *err)
{
    static const sasl_callback_t callbacks[] = {{SASL_CB_LOG, CYRUS_PROC(cyrus_log), NULL},
                                                {SASL_CB_LIST_END, NULL, NULL}};

    if (cyrus_prepare(path, err) < 0)
        return -1;
    int rc = sasl_client_init(callbacks);
    return rc == SASL_OK
               ? 0
               : err_set(err, ERR_TEMPORARY, "SASL library initialization: %s", sasl_errstring(rc, NULL, NULL));
}

void cyrus_client_end(void)
{
    sasl_client_done();
}

bool cyrus_client_has(const char *mechanism)
{
    const char **names = sasl_global_listmech();
    for (; names != NULL && *names != NULL; names++)
        if (str_is_nocase(str_from(*names), str_from(mechanism)))
            return true;
    return false;
}

static int tell_name(void *context, int id, const char **result, unsigned *len)
{
    const struct cyrus_secret *secret = context;
    *result = id == SASL_CB_USER ? secret->authzid : secret->username;
    if (len != NULL)
        *len = (unsigned)strlen(*result);
    return SASL_OK;
}

static int tell_password(sasl_conn_t *conn, void *context, int id, sasl_secret_t **secret_r)
{
    struct cyrus_secret *secret = context;
    *secret_r = (sasl_secret_t *)(void *)secret->password.ptr;
    return SASL_OK;
}

static struct cyrus_secret *new_secret(const struct cyrus_login *login)
{
    struct cyrus_secret *secret = MEM_NEW(struct cyrus_secret);
    size_t size = sizeof(sasl_secret_t) + login->password.len + 1;

    secret->username = mem_dup_str(login->username);
    secret->authzid = login->sends_authzid ? mem_dup_str(login->username) : mem_strdup("");
    buf_reserve(&secret->password, size);
    sasl_secret_t *s = (sasl_secret_t *)(void *)secret->password.ptr;
    s->len = login->password.len;
    memcpy(s->data, login->password.ptr, login->password.len);
    s->data[login->password.len] = '\0';
    secret->password.len = size; // all of it is wiped
    return secret;
}

void cyrus_secret_free(struct cyrus_secret *secret)
{
    if (secret == NULL)
        return;
    mem_free(secret->username);
    mem_free(secret->authzid);
    buf_wipe(&secret->password);
    mem_free(secret);
}

struct cyrus_exchange *cyrus_client_new(const struct cyrus_login *login, unsigned security, struct err *err)
{
    struct cyrus_exchange *x = MEM_NEW(struct cyrus_exchange);

    x->secret = new_secret(login);
    x->callbacks[0] = (sasl_callback_t){SASL_CB_USER, CYRUS_PROC(tell_name), x->secret};
    x->callbacks[1] = (sasl_callback_t){SASL_CB_AUTHNAME, CYRUS_PROC(tell_name), x->secret};
    x->callbacks[2] = (sasl_callback_t){SASL_CB_PASS, CYRUS_PROC(tell_password), x->secret};
    x->callbacks[3] = (sasl_callback_t){SASL_CB_LOG, CYRUS_PROC(cyrus_log), x};
    x->callbacks[4] = (sasl_callback_t){SASL_CB_LIST_END, NULL, NULL};
    int rc = sasl_client_new(login->service, login->host, NULL, NULL, x->callbacks, 0, &x->conn);
    if (rc == SASL_OK)
        rc = cyrus_set_security(x->conn, security);
    if (rc == SASL_OK)
        return x;
    err_set(err, ERR_TEMPORARY, "%s", sasl_errstring(rc, NULL, NULL));
    cyrus_exchange_free(x);
    return NULL;
}

int cyrus_client_step(struct cyrus_exchange *x, const char *mechanisms, struct str challenge, struct cyrus_move *move_r,
                      struct err *err)
{
    struct buf bytes = BUF_INIT;
    const char *out = NULL, *chosen = NULL;
    unsigned len = 0;
    int rc = cyrus_decode(challenge, &bytes);

    if (rc == SASL_OK && mechanisms != NULL)
        rc = sasl_client_start(x->conn, mechanisms, NULL, &out, &len, &chosen);
    else if (rc == SASL_OK)
        rc = sasl_client_step(x->conn, buf_cstr(&bytes), (unsigned)bytes.len, NULL, &out, &len);
    buf_wipe(&bytes);
    cyrus_take_log(x, &move_r->log);
    if (rc != SASL_OK && rc != SASL_CONTINUE)
        return err_set(err, ERR_TEMPORARY, "%s", sasl_errstring(rc, NULL, NULL));
    move_r->has_response = out != NULL;
    cyrus_encode(out, len, &move_r->response);
    buf_clear(&move_r->mechanism);
    if (chosen != NULL)
        buf_add_printable(&move_r->mechanism, str_from(chosen), SASL_NAME_MAX);
    return 0;
}
