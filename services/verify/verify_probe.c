// SPDX-License-Identifier: ISC
// verify_probe.c: probe messages: ordinary mail with a mark that keeps agents from delivering it.
//
// Trust: the address has been checked. Suspends: handing the message to cleanup, in a coroutine of its own.
#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "services/verify/verify.h"

enum { TRACE_PROBE = 256, SENDOPT_SMTPUTF8 = 1, SUBMIT_SECONDS = 100 };

struct probe {
    struct verify *verify;
    struct arena arena;
    struct str address;
};

static bool detects_utf8(const struct settings *set)
{
    struct str word, rest = set->smtputf8_autodetect_classes;

    while (set->smtputf8_enable && str_token(&rest, ", \t\r\n", &word))
        if (str_is_nocase(word, STR("verify")) || str_is_nocase(word, STR("all")))
            return true;
    return false;
}

static struct submit *begin(struct probe *p, struct err *err) CO
{
    static const struct submit_attr attrs[] = {{"rewrite_context", STR("local")}};
    const struct settings *set = p->verify->settings;
    struct submit_recipient recipient = {.address = p->address, .dsn_orcpt = STR("")};
    struct buf date = BUF_INIT;

    clock_add_rfc5322(&date, clock_wall());
    const struct submit_envelope e = {
        .sender = route_probe_sender(set, clock_wall(), &p->arena),
        .recipients = &recipient,
        .recipient_count = 1,
        .attrs = attrs,
        .attr_count = sizeof attrs / sizeof attrs[0],
        .flags = SUBMIT_MAP | SUBMIT_ADD_MISSING,
        .trace_flags = TRACE_PROBE,
        .sendopts = !str_is_ascii(p->address) && detects_utf8(set) ? SENDOPT_SMTPUTF8 : 0,
        .fullname = STR(""),
        .envelope_id = STR(""),
        .verp = STR(""),
        .filter = STR(""),
        .redirect = STR(""),
        .received_before = arena_strf(&p->arena, "Received: by " STR_FMT " (" STR_FMT ")\n\tid ",
                                      STR_ARG(set->myhostname), STR_ARG(set->mail_name)),
        .received_after = arena_strf(&p->arena, "; %s", buf_cstr(&date)),
        .log_tag = STR(""),
        .log_text = STR(""),
    };
    buf_release(&date);
    return submit_begin(p->verify->submit, &e, clock_deadline(SUBMIT_SECONDS), err);
}

static int send_probe(struct probe *p, struct err *err) CO
{
    struct submit_result result;
    struct submit *s = begin(p, err);

    if (s == NULL)
        return -1;
    if (submit_write(s, STR("Subject: probe\n\n"), err) < 0) {
        submit_abort(s);
        return -1;
    }
    if (submit_finish(s, &result, err) < 0)
        return -1;
    return result.code == 250 ? 0 : err_set(err, ERR_TEMPORARY, "%d %s %s", result.code, result.status, result.reason);
}

// No probe is under way: the next question sends one.
static void forget_probe(struct probe *p) CO
{
    struct buf value = BUF_INIT;
    struct verify_entry entry;

    if (verify_store_get(p->verify, p->address, &value, &entry) > 0) {
        entry.probed = 0;
        verify_store_put(p->verify, p->address, &entry);
    }
    buf_release(&value);
}

static void probe_main(void *arg)
{
    co_assert_running();
    struct probe *p = arg;
    struct verify *v = p->verify;
    struct err err = ERR_INIT;

    if (send_probe(p, &err) < 0) {
        log_warn("cannot send a probe to " STR_FMT ": %s", STR_ARG(p->address), err.text);
        forget_probe(p);
    }
    v->probes--;
    service_unhold(v->ctx);
    arena_release(&p->arena);
    mem_free(p);
}

void verify_probe_start(struct verify *v, struct str address)
{
    struct probe *p = MEM_NEW(struct probe);

    p->verify = v;
    p->arena = ARENA_INIT;
    p->address = arena_str(&p->arena, address);
    v->probes++;
    service_hold(v->ctx);
    co_spawn("probe", probe_main, p);
}
