// SPDX-License-Identifier: ISC
// table_ldap.c: ldap: tables, through OpenLDAP's library: configuration, connections, TLS and binding.
//
// Trust: keys are hostile: escaped for filters (RFC 4515) and names (RFC 4514). Suspends: always (jobs).
#include "lib/table/table_ldap_impl.h"

#include <sasl/sasl.h>

static void set_tls_text(LDAP *ldap, int option, struct table_config *c, const char *key)
{
    struct str value = table_config_str(c, key, "");
    if (value.len > 0)
        ldap_set_option(ldap, option, value.ptr);
}

static int start_tls(LDAP *ldap, const struct ldap_setup *setup, struct table_config *c)
{
    int demand = setup->requires_cert ? LDAP_OPT_X_TLS_DEMAND : LDAP_OPT_X_TLS_NEVER, server = 0;

    set_tls_text(ldap, LDAP_OPT_X_TLS_CACERTFILE, c, "tls_ca_cert_file");
    set_tls_text(ldap, LDAP_OPT_X_TLS_CACERTDIR, c, "tls_ca_cert_dir");
    set_tls_text(ldap, LDAP_OPT_X_TLS_CERTFILE, c, "tls_cert");
    set_tls_text(ldap, LDAP_OPT_X_TLS_KEYFILE, c, "tls_key");
    set_tls_text(ldap, LDAP_OPT_X_TLS_RANDOM_FILE, c, "tls_random_file");
    set_tls_text(ldap, LDAP_OPT_X_TLS_CIPHER_SUITE, c, "tls_cipher_suite");
    ldap_set_option(ldap, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
    ldap_set_option(ldap, LDAP_OPT_X_TLS_NEWCTX, &server);
    return setup->starts_tls ? ldap_start_tls_s(ldap, NULL, NULL) : LDAP_SUCCESS;
}

static int answer_sasl(LDAP *ldap, unsigned flags, void *context, void *questions)
{
    struct table_config *c = context;

    for (sasl_interact_t *q = questions; q->id != SASL_CB_LIST_END; q++) {
        const char *key = q->id == SASL_CB_USER       ? "sasl_authz_id"
                          : q->id == SASL_CB_GETREALM ? "sasl_realm"
                          : q->id == SASL_CB_PASS     ? "bind_pw"
                                                      : "bind_dn";
        struct str value = table_config_str(c, key, "");
        q->result = value.ptr;
        q->len = (unsigned)value.len;
    }
    return LDAP_SUCCESS;
}

static int log_in(LDAP *ldap, const struct ldap_setup *setup, struct table_config *c)
{
    struct str password = table_config_str(c, "bind_pw", ""), name = table_config_str(c, "bind_dn", "");
    struct berval credentials = {.bv_len = password.len, .bv_val = (char *)(uintptr_t)password.ptr};
    struct buf properties = BUF_INIT;

    if (setup->bind == LDAP_BIND_NONE)
        return LDAP_SUCCESS;
    if (setup->bind == LDAP_BIND_SIMPLE)
        return ldap_sasl_bind_s(ldap, name.len > 0 ? name.ptr : NULL, LDAP_SASL_SIMPLE, &credentials, NULL, NULL, NULL);
    buf_addf(&properties, "minssf=%d", (int)setup->sasl_minssf);
    ldap_set_option(ldap, LDAP_OPT_X_SASL_SECPROPS, properties.ptr);
    buf_release(&properties);
    return ldap_sasl_interactive_bind_s(
        ldap, NULL, table_config_has(c, "sasl_mechs") ? table_config_str(c, "sasl_mechs", "").ptr : NULL, NULL, NULL,
        LDAP_SASL_QUIET, answer_sasl, c);
}

static void set_options(LDAP *ldap, const struct ldap_setup *setup)
{
    struct timeval patience = {.tv_sec = setup->timeout};
    int version = (int)setup->version, dereference = (int)setup->dereference, size_limit = (int)setup->size_limit;

    ldap_set_option(ldap, LDAP_OPT_PROTOCOL_VERSION, &version);
    ldap_set_option(ldap, LDAP_OPT_NETWORK_TIMEOUT, &patience);
    ldap_set_option(ldap, LDAP_OPT_TIMEOUT, &patience);
    ldap_set_option(ldap, LDAP_OPT_DEREF, &dereference);
    ldap_set_option(ldap, LDAP_OPT_SIZELIMIT, &size_limit);
    ldap_set_option(ldap, LDAP_OPT_REFERRALS, setup->chases_referrals ? LDAP_OPT_ON : LDAP_OPT_OFF);
}

static void *ldap_table_connect(const struct table_source *source, const void *data, const char *hosts, struct err *err)
{
    const struct ldap_setup *setup = data;
    LDAP *ldap = NULL;
    int rc = ldap_initialize(&ldap, setup->uris.ptr);

    if (rc == LDAP_SUCCESS) {
        set_options(ldap, setup);
        rc = start_tls(ldap, setup, source->config);
    }
    if (rc == LDAP_SUCCESS)
        rc = log_in(ldap, setup, source->config);
    if (rc == LDAP_SUCCESS)
        return ldap;
    err_set(err, ERR_TEMPORARY, "connect to ldap server %s: %s", setup->uris.ptr, ldap_err2string(rc));
    if (ldap != NULL)
        ldap_unbind_ext_s(ldap, NULL, NULL);
    return NULL;
}

static void ldap_close(void *connection)
{
    ldap_unbind_ext_s(connection, NULL, NULL);
}

// ---- Configuration

// "host", "host:port" and URIs, as one list of URIs, which the library tries in turn.
static void compose_uris(struct ldap_setup *setup, struct str hosts, int64_t port)
{
    struct str host;

    while (str_token(&hosts, ", \t\r\n", &host)) {
        if (setup->uris.len > 0)
            buf_add_char(&setup->uris, ' ');
        if (str_find_str(host, STR("://")) >= 0)
            buf_add_str(&setup->uris, host);
        else if (str_find(host, ':') >= 0)
            buf_addf(&setup->uris, "ldap://" STR_FMT, STR_ARG(host));
        else
            buf_addf(&setup->uris, "ldap://" STR_FMT ":%d", STR_ARG(host), (int)port);
    }
}

static int take_attributes(struct ldap_setup *setup, struct table_config *c, const char *key, const char *otherwise,
                           unsigned kind)
{
    struct str list = table_config_str(c, key, otherwise), name;

    while (str_token(&list, ", \t\r\n", &name)) {
        if (setup->attribute_count == LDAP_ATTRIBUTES_MAX)
            return -1;
        setup->names[setup->attribute_count] = mem_dup_str(name);
        setup->kinds[setup->attribute_count++] = (enum ldap_kind)kind;
    }
    return 0;
}

static int take_bind(struct ldap_setup *setup, struct table_config *c, struct err *err)
{
    struct str bind = table_config_str(c, "bind", "yes");

    if (str_is_nocase(bind, STR("yes")) || str_is_nocase(bind, STR("simple")))
        setup->bind = LDAP_BIND_SIMPLE;
    else if (str_is_nocase(bind, STR("no")) || str_is_nocase(bind, STR("none")))
        setup->bind = LDAP_BIND_NONE;
    else if (str_is_nocase(bind, STR("sasl")))
        setup->bind = LDAP_BIND_SASL;
    else
        return err_set(err, ERR_PERMANENT, "%s: unsupported bind = " STR_FMT, table_config_name(c), STR_ARG(bind));
    return 0;
}

static int take_scope(struct ldap_setup *setup, struct table_config *c, struct err *err)
{
    struct str scope = table_config_str(c, "scope", "sub");

    if (str_is_nocase(scope, STR("sub")))
        setup->scope = LDAP_SCOPE_SUBTREE;
    else if (str_is_nocase(scope, STR("one")))
        setup->scope = LDAP_SCOPE_ONELEVEL;
    else if (str_is_nocase(scope, STR("base")))
        setup->scope = LDAP_SCOPE_BASE;
    else
        return err_set(err, ERR_PERMANENT, "%s: unsupported scope = " STR_FMT, table_config_name(c), STR_ARG(scope));
    return 0;
}

static int take_numbers(struct ldap_setup *setup, const struct table_source *s, struct err *err)
{
    struct table_config *c = s->config;
    int64_t port;

    if (table_config_int(c, "server_port", 389, &port, err) < 0 ||
        table_config_int(c, "version", 3, &setup->version, err) < 0 ||
        table_config_int(c, "timeout", 10, &setup->timeout, err) < 0 ||
        table_config_int(c, "dereference", 0, &setup->dereference, err) < 0 ||
        table_config_int(c, "recursion_limit", 1000, &setup->recursion_limit, err) < 0 ||
        table_config_int(c, "size_limit", s->expansion_limit, &setup->size_limit, err) < 0 ||
        table_config_int(c, "sasl_minssf", 0, &setup->sasl_minssf, err) < 0 ||
        table_config_bool(c, "chase_referrals", false, &setup->chases_referrals, err) < 0 ||
        table_config_bool(c, "start_tls", false, &setup->starts_tls, err) < 0 ||
        table_config_bool(c, "tls_require_cert", false, &setup->requires_cert, err) < 0)
        return -1;
    if (setup->timeout < 1 || setup->timeout > TABLE_CLIENT_SECONDS)
        setup->timeout = TABLE_CLIENT_SECONDS;
    compose_uris(setup, table_config_str(c, "server_host", "localhost"), port);
    return 0;
}

static int take_setup(struct ldap_setup *setup, struct table_source *s, struct err *err)
{
    struct table_config *c = s->config;

    if (table_source_take_template(s, table_config_str(c, "query_filter", "(mailacceptinggeneralid=%s)"), &s->query,
                                   err) < 0 ||
        table_source_take_template(s, table_config_str(c, "search_base", ""), &setup->base, err) < 0 ||
        take_numbers(setup, s, err) < 0 || take_bind(setup, c, err) < 0 || take_scope(setup, c, err) < 0)
        return -1;
    if (take_attributes(setup, c, "result_attribute", "maildrop", LDAP_RESULT) < 0 ||
        take_attributes(setup, c, "terminal_result_attribute", "", LDAP_TERMINAL) < 0 ||
        take_attributes(setup, c, "leaf_result_attribute", "", LDAP_LEAF) < 0 ||
        take_attributes(setup, c, "special_result_attribute", "", LDAP_SPECIAL) < 0)
        return err_set(err, ERR_PERMANENT, "%s: more than %d attributes", table_config_name(c), LDAP_ATTRIBUTES_MAX);
    return 0;
}

static void free_setup(void *data)
{
    struct ldap_setup *setup = data;
    for (unsigned i = 0; i < setup->attribute_count; i++)
        mem_free(setup->names[i]);
    buf_release(&setup->uris);
    mem_free(setup);
}

static void *ldap_open(struct table *t, struct err *err)
{
    static const struct table_client_ops ops = {ldap_table_connect, ldap_table_query, ldap_close, free_setup};
    struct ldap_setup *setup = MEM_NEW(struct ldap_setup);
    struct table_source source;

    table_source_note_owner(t);
    if (table_source_init(&source, t->body, err) == 0 && take_setup(setup, &source, err) == 0) {
        struct table_client *client = table_client_new(&ops, &source, setup, STR(""), "ldap");
        table_client_set_intervals(client, 60, 30);
        return client;
    }
    table_source_release(&source);
    free_setup(setup);
    return NULL;
}

static int ldap_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    co_assert_running();
    return table_client_lookup(t->data, key, value_r, err);
}

static void ldap_table_close(void *data)
{
    table_client_free(data);
}

const struct table_type table_type_ldap = {
    "ldap", true, false, ldap_open, ldap_lookup, NULL, ldap_table_close, TABLE_TYPE_REPORTS};
