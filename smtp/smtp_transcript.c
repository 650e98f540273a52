// SPDX-License-Identifier: ISC
// smtp_transcript.c: tells the postmaster what a server said that broke the protocol (notify_classes = protocol).
// Trust: the server's lines are made printable. Suspends: the coroutine that sends a report.
#include "lib/base/log.h"
#include "lib/ipc/service.h"
#include "smtp/smtp.h"

struct report {
    const struct smtp_client *client;
    struct transcript said;
    char *relay;
};

void smtp_transcript_init(struct smtp_client *client, struct service_context *service)
{
    struct buf path = BUF_INIT;
    struct str class, rest = client->settings->notify_classes;
    client->service = service;
    while (client->submit == NULL && str_token(&rest, ", \t\r\n", &class)) {
        if (!str_is_nocase(class, STR("protocol")))
            continue;
        buf_addf(&path, "public/" STR_FMT, STR_ARG(client->settings->cleanup_service_name));
        client->submit = submit_pool_new(buf_cstr(&path));
    }
    buf_release(&path);
}

struct smtp_transcript *smtp_transcript_new(const struct smtp_client *client)
{
    return client->submit != NULL ? MEM_NEW(struct smtp_transcript) : NULL;
}

void smtp_transcript_sent(struct smtp_transcript *t, struct str output)
{
    struct str line;
    while (t != NULL && !t->is_private && str_token(&output, "\r\n", &line))
        transcript_add(&t->said, TRANSCRIPT_OUT, line);
}

void smtp_transcript_heard(struct smtp_transcript *t, struct raw line)
{
    if (t != NULL)
        transcript_add(&t->said, TRANSCRIPT_IN, raw_unchecked(line)); // which makes it printable
}

void smtp_transcript_private(struct smtp_transcript *t, bool is_private)
{
    if (t != NULL)
        t->is_private = is_private;
}

void smtp_transcript_trouble(struct smtp_transcript *t)
{
    if (t != NULL)
        t->has_trouble = true;
}

static void report_main(void *arg)
{
    co_assert_running();
    struct report *r = arg;
    const struct smtp_client *client = r->client;
    struct err err = ERR_INIT;
    struct buf opening = BUF_INIT;
    struct transcript_report about = {client->profile.is_lmtp ? "LMTP client" : "SMTP client", str_from(r->relay),
                                      STR("")};
    buf_addf(&opening, "Unexpected response from %s.", r->relay);
    about.opening = buf_str(&opening);
    if (transcript_send(&r->said, &about, client->settings, client->submit, &err) < 0)
        log_warn("the postmaster's report about %s could not be sent: %s", r->relay, err.text);
    buf_release(&opening);
    transcript_clear(&r->said);
    service_unhold(client->service);
    mem_free(r->relay);
    mem_free(r);
}

void smtp_transcript_end(struct smtp_transcript *t, const struct smtp_client *client, const char *relay)
{
    if (t == NULL)
        return;
    if (t->has_trouble) { // the session's own coroutine goes on
        struct report *r = MEM_NEW(struct report);
        *r = (struct report){client, t->said, mem_strdup(relay)};
        t->said = (struct transcript){.lines = 0};
        service_hold(client->service);
        co_spawn("report", report_main, r);
    }
    transcript_clear(&t->said);
    mem_free(t);
}
