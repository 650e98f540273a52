// SPDX-License-Identifier: ISC
// policy_server.c: what check_policy_service names: an endpoint and the limits for it.
#include "lib/access/policy_impl.h"

#define SEPARATORS ", \t\r\n"

static struct policy_server *server_new(const struct settings *set)
{
    struct policy_server *s = MEM_NEW(struct policy_server);

    *s = (struct policy_server){
        .settings = set,
        .timeout = set->smtpd_policy_service_timeout,
        .max_idle = set->smtpd_policy_service_max_idle,
        .max_ttl = set->smtpd_policy_service_max_ttl,
        .retry_delay = set->smtpd_policy_service_retry_delay,
        .request_limit = set->smtpd_policy_service_request_limit,
        .try_limit = set->smtpd_policy_service_try_limit,
        .default_action = set->smtpd_policy_service_default_action,
        .policy_context = set->smtpd_policy_service_policy_context,
        .arena = ARENA_INIT,
    };
    list_init(&s->kept);
    list_init(&s->waiting);
    return s;
}

void policy_server_free(struct policy_server *s)
{
    if (s == NULL)
        return;
    policy_connections_free(s);
    arena_release(&s->arena);
    mem_free(s->name);
    mem_free(s);
}

static int parse_inet(struct policy_server *s, struct str where, struct err *err)
{
    struct str host, port;

    if (net_split_host_port(where, STR(""), &host, &port) < 0 || host.len == 0 || net_port_by_name(port, &s->port) < 0)
        return err_set(err, ERR_PERMANENT, "policy service: need inet:host:port instead of \"%s\"", s->name);
    if (net_addr_parse(host, s->port, &s->addr) < 0)
        s->host = arena_str(&s->arena, host);
    return 0;
}

static int parse_endpoint(struct policy_server *s, struct str endpoint, struct err *err)
{
    struct str where = endpoint, scheme;

    bool has_scheme = str_cut(&where, ':', &scheme) && where.len > 0;
    bool is_unix = has_scheme && (str_is(scheme, STR("unix")) || str_is(scheme, STR("local")));
    s->name = mem_dup_str(is_unix ? where : endpoint);
    if (!has_scheme)
        return err_set(err, ERR_PERMANENT, "policy service: need inet:host:port or unix:path instead of \"%s\"",
                       s->name);
    if (is_unix)
        return net_addr_unix(where, &s->addr, err);
    return parse_inet(s, str_is(scheme, STR("inet")) ? where : endpoint, err);
}

static int take_number(struct str name, struct str value, int64_t min, int64_t *number_r, struct err *err)
{
    int64_t number;

    if (str_to_i64(value, &number) < 0 || number < min)
        return err_set(err, ERR_PERMANENT, "policy service: bad value of " STR_FMT ": \"" STR_FMT "\"", STR_ARG(name),
                       STR_ARG(value));
    *number_r = number;
    return 0;
}

static int take_time(struct str name, struct str value, int64_t *seconds_r, struct err *err)
{
    int64_t seconds;

    if (conf_parse_time(value, 's', &seconds) < 0 || seconds < 1)
        return err_set(err, ERR_PERMANENT, "policy service: bad time limit " STR_FMT ": \"" STR_FMT "\"", STR_ARG(name),
                       STR_ARG(value));
    *seconds_r = seconds;
    return 0;
}

static int take_setting(struct policy_server *s, struct str name, struct str value, struct err *err)
{
    if (str_is(name, STR("timeout")))
        return take_time(name, value, &s->timeout, err);
    if (str_is(name, STR("max_idle")))
        return take_time(name, value, &s->max_idle, err);
    if (str_is(name, STR("max_ttl")))
        return take_time(name, value, &s->max_ttl, err);
    if (str_is(name, STR("retry_delay")))
        return take_time(name, value, &s->retry_delay, err);
    if (str_is(name, STR("request_limit")))
        return take_number(name, value, 0, &s->request_limit, err);
    if (str_is(name, STR("try_limit")))
        return take_number(name, value, 1, &s->try_limit, err);
    if (str_is(name, STR("default_action")))
        s->default_action = arena_str(&s->arena, value);
    else if (str_is(name, STR("policy_context")))
        s->policy_context = arena_str(&s->arena, value);
    else
        return err_set(err, ERR_PERMANENT, "policy service %s: unknown setting \"" STR_FMT "\"", s->name,
                       STR_ARG(name));
    return 0;
}

// "name=value", or "{ name = value with blanks }".
static int parse_setting(struct policy_server *s, struct str item, struct err *err)
{
    struct str name;

    if (item.len >= 2 && item.ptr[0] == '{' && item.ptr[item.len - 1] == '}')
        item = str_slice(item, 1, item.len - 1);
    if (!str_cut(&item, '=', &name))
        return err_set(err, ERR_PERMANENT, "policy service %s: need name=value instead of \"" STR_FMT "\"", s->name,
                       STR_ARG(name));
    return take_setting(s, str_trim(name), str_trim(item), err);
}

struct policy_server *policy_server_parse(const struct settings *settings, struct str text, struct err *err)
{
    struct policy_server *s = server_new(settings);
    struct str rest = str_trim(text), item;
    int rc;

    if (rest.len >= 2 && rest.ptr[0] == '{' && rest.ptr[rest.len - 1] == '}')
        rest = str_slice(rest, 1, rest.len - 1);
    if (!str_token_braced(&rest, SEPARATORS, &item))
        item = STR("");
    rc = parse_endpoint(s, item, err);
    while (rc == 0 && str_token_braced(&rest, SEPARATORS, &item))
        rc = parse_setting(s, item, err);
    if (rc == 0)
        return s;
    policy_server_free(s);
    return NULL;
}
