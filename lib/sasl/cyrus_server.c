// SPDX-License-Identifier: ISC
// cyrus_server.c: checks a client's credentials with Cyrus SASL: sasldb, saslauthd, SQL, LDAP, as its configuration
// says.
// Trust: responses come from clients and are hostile; Cyrus parses them, which is why this runs in a process of its
// own.
#include <stdio.h>

#include "lib/sasl/cyrus_impl.h"

#define CONFIG_MAX (64 * 1024)

int cyrus_server_init(const char *app, struct str path, struct err *err)
{
    static const sasl_callback_t callbacks[] = {{SASL_CB_LOG, CYRUS_PROC(cyrus_log), NULL},
                                                {SASL_CB_LIST_END, NULL, NULL}};

    if (cyrus_prepare(path, err) < 0)
        return -1;
    int rc = sasl_server_init(callbacks, app);
    return rc == SASL_OK
               ? 0
               : err_set(err, ERR_TEMPORARY, "SASL library initialization: %s", sasl_errstring(rc, NULL, NULL));
}

void cyrus_server_end(void)
{
    sasl_server_done();
}

// ---- What the library does not tell: its configuration

// The first file of that name along the path, as the library looks for it. False: there is none.
static bool read_config(const char *app, struct str path, struct buf *text_r)
{
    struct buf name = BUF_INIT;
    struct str folder;
    FILE *file = NULL;

    while (file == NULL && str_token(&path, ":", &folder)) {
        buf_clear(&name);
        buf_addf(&name, STR_FMT "/%s.conf", STR_ARG(folder), app);
        file = fopen(buf_cstr(&name), "re");
    }
    buf_release(&name);
    if (file == NULL)
        return false;
    buf_reserve(text_r, CONFIG_MAX);
    text_r->len = fread(text_r->ptr, 1, CONFIG_MAX - 1, file);
    text_r->ptr[text_r->len] = '\0';
    fclose(file);
    return true;
}

bool cyrus_config_lists(const char *app, struct str path, struct str mechanism)
{
    struct buf text = BUF_INIT;
    struct str rest, line, name, word;
    bool is_found = false, is_listed = false;

    (void)read_config(app, path, &text);
    rest = buf_str(&text);
    while (!is_found && str_token(&rest, "\n", &line)) { // of several such lines the first counts
        if (!str_cut(&line, ':', &name) || !str_is_nocase(str_trim(name), STR("mech_list")))
            continue;
        is_found = true;
        while (str_token(&line, " \t\r", &word))
            is_listed |= str_is_nocase(word, mechanism);
    }
    buf_release(&text);
    return is_listed;
}

// ---- Exchanges

struct cyrus_exchange *cyrus_server_new(const struct cyrus_identity *who, unsigned security, struct err *err)
{
    struct cyrus_exchange *x = MEM_NEW(struct cyrus_exchange);

    x->callbacks[0] = (sasl_callback_t){SASL_CB_LOG, CYRUS_PROC(cyrus_log), x};
    x->callbacks[1] = (sasl_callback_t){SASL_CB_LIST_END, NULL, NULL};
    int rc = sasl_server_new(who->service, who->host, who->realm, who->local, who->remote, x->callbacks, 0, &x->conn);
    if (rc == SASL_OK)
        rc = cyrus_set_security(x->conn, security);
    if (rc == SASL_OK && who->external != NULL)
        rc = sasl_setprop(x->conn, SASL_AUTH_EXTERNAL, who->external);
    if (rc == SASL_OK)
        return x;
    err_set(err, ERR_TEMPORARY, "SASL per-connection initialization: %s", sasl_errstring(rc, NULL, NULL));
    cyrus_exchange_free(x);
    return NULL;
}

int cyrus_server_mechanisms(struct cyrus_exchange *x, struct buf *list_r, struct err *err)
{
    const char *list = NULL;
    unsigned len = 0;
    int count = 0;
    int rc = sasl_listmech(x->conn, NULL, "", " ", "", &list, &len, &count);

    buf_clear(list_r);
    if (rc == SASL_NOMECH)
        return 0;
    if (rc != SASL_OK)
        return err_set(err, ERR_TEMPORARY, "SASL mechanisms: %s", sasl_errstring(rc, NULL, NULL));
    buf_add(list_r, list, len);
    return 0;
}

static bool is_temporary(int rc)
{
    return rc == SASL_FAIL || rc == SASL_NOMEM || rc == SASL_BUFOVER || rc == SASL_TRYAGAIN || rc == SASL_UNAVAIL ||
           rc == SASL_NOTINIT || rc == SASL_CONSTRAINT_VIOLAT;
}

static void add_username(struct cyrus_exchange *x, struct buf *username_r)
{
    const void *name = NULL;
    if (sasl_getprop(x->conn, SASL_USERNAME, &name) == SASL_OK && name != NULL)
        buf_add_printable(username_r, str_from(name), SASL_USER_MAX);
}

static void conclude(struct cyrus_exchange *x, int rc, struct sasl_answer *a)
{
    if (rc == SASL_NOUSER) // who guesses user names learns nothing from the difference
        rc = SASL_BADAUTH;
    add_username(x, &a->username);
    cyrus_take_log(x, &a->log);
    if (rc == SASL_OK && a->username.len > 0)
        a->outcome = SASL_ANSWER_ACCEPTED;
    else if (rc == SASL_OK)
        sasl_answer_fail(a, SASL_ANSWER_TEMPORARY, STR("no user name"));
    else
        sasl_answer_fail(a, is_temporary(rc) ? SASL_ANSWER_TEMPORARY : SASL_ANSWER_REFUSED,
                         str_from(sasl_errstring(rc, NULL, NULL)));
}

void cyrus_server_step(struct cyrus_exchange *x, const char *mechanism, struct str response,
                       struct sasl_answer *answer_r)
{
    struct buf bytes = BUF_INIT;
    const char *out = NULL;
    unsigned len = 0;
    int rc = response.ptr == NULL ? SASL_OK : cyrus_decode(response, &bytes);

    if (rc != SASL_OK) {
        conclude(x, rc, answer_r);
    } else {
        const char *in = response.ptr == NULL ? NULL : buf_cstr(&bytes);
        if (mechanism != NULL)
            rc = sasl_server_start(x->conn, mechanism, in, (unsigned)bytes.len, &out, &len);
        else
            rc = sasl_server_step(x->conn, in, (unsigned)bytes.len, &out, &len);
        if (rc == SASL_CONTINUE) {
            answer_r->outcome = SASL_ANSWER_CONTINUE;
            cyrus_encode(out, len, &answer_r->challenge);
            cyrus_take_log(x, &answer_r->log);
        } else {
            conclude(x, rc, answer_r);
        }
    }
    buf_wipe(&bytes);
}
