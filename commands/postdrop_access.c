// SPDX-License-Identifier: ISC
// postdrop_access.c: authorized_submit_users and local_login_sender_maps.
// Suspends: table lookups run in a coroutine of their own; the defaults need none.
#include "commands/postdrop.h"
#include "lib/co/co.h"
#include "lib/table/table.h"

struct question {
    const struct settings *settings;
    struct str login, sender;
    long uid;
    int result; // 1 yes, 0 no, -1 failed
    struct err *err;
};

// Runs one lookup function on a loop made for it.
static int ask(void (*fn)(void *arg), struct question *q)
{
    co_loop_init();
    co_jobs_inline();
    co_spawn("access", fn, q);
    co_loop_run(0);
    co_loop_free();
    return q->result;
}

static void lookup_submit_user(void *arg)
{
    co_assert_running();
    struct question *q = arg;
    struct match_list *list = match_list_open(q->settings->authorized_submit_users, 0, q->err);
    q->result = list == NULL ? -1 : match_list_has(list, q->login, q->err);
    if (list != NULL)
        match_list_close(list);
    co_loop_stop();
}

int postdrop_may_submit(const struct settings *s, struct str login, long uid, struct err *err)
{
    struct question q = {.settings = s, .login = login.len > 0 ? login : STR("unknown"), .uid = uid, .err = err};
    if (str_is(s->authorized_submit_users, STR("static:anyone")))
        return 0;
    int found = ask(lookup_submit_user, &q);
    if (found > 0)
        return 0;
    if (found < 0)
        return POSTDROP_WRITE;
    err_set(err, ERR_PERMANENT, "User " STR_FMT "(%ld) is not allowed to submit mail", STR_ARG(q.login), uid);
    return POSTDROP_DENIED;
}

// One item of the right-hand side: "*" any, "<>" the null sender, "@domain", or an address.
static bool item_allows(struct str item, struct str sender)
{
    if (str_is(item, STR("*")))
        return true;
    if (sender.len == 0)
        return str_is(item, STR("<>"));
    if (item.len > 0 && item.ptr[0] == '@')
        return str_ends_nocase(sender, item);
    return str_is_nocase(item, sender);
}

static void lookup_sender(void *arg)
{
    co_assert_running();
    struct question *q = arg;
    struct buf value = BUF_INIT, key = BUF_INIT;
    struct table_list *list = table_list_open(q->settings->local_login_sender_maps, 0);
    buf_add_str(&key, q->login);
    if (q->login.len == 0)
        buf_addf(&key, "uid:%ld", q->uid);
    q->result = table_list_lookup(list, buf_str(&key), &value, NULL, q->err);
    struct str rest = buf_str(&value), item;
    bool is_allowed = false;
    while (!is_allowed && str_token(&rest, ", \t\r\n", &item))
        is_allowed = item_allows(item, q->sender);
    if (q->result > 0 && !is_allowed)
        q->result = 0;
    table_list_close(list);
    buf_release(&value);
    buf_release(&key);
    co_loop_stop();
}

int postdrop_may_send_as(const struct settings *s, struct str login, long uid, struct str sender, struct err *err)
{
    struct question q = {.settings = s, .login = login, .uid = uid, .sender = sender, .err = err};
    if (str_is(s->local_login_sender_maps, STR("static:*")))
        return 0;
    int allowed = ask(lookup_sender, &q);
    if (allowed > 0)
        return 0;
    if (allowed < 0)
        return POSTDROP_WRITE;
    err_set(err, ERR_PERMANENT, "not authorized to use sender='" STR_FMT "'", STR_ARG(sender));
    return POSTDROP_DENIED;
}
