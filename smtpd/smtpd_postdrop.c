// SPDX-License-Identifier: ISC
// smtpd_postdrop.c: where a stand-alone session's message goes: to postdrop, since its user may not talk to cleanup.
//
// Blocking: a stand-alone process serves one session. The Received: line names no queue id; pickup adds one that does.
#include "lib/agent/postdrop.h"
#include "lib/mail/queue_record.h"
#include "smtpd/smtpd.h"

struct smtpd_postdrop {
    struct postdrop child;
    struct buf records;
    bool is_in_line;
};

static void flush_records(struct smtpd_postdrop *p)
{
    postdrop_write(&p->child, buf_str(&p->records));
    buf_clear(&p->records);
}

static int add_envelope(struct smtpd_postdrop *p, const struct submit_envelope *e)
{
    struct buf *b = &p->records;
    int bad = 0;
    if (e->envelope_id.len > 0)
        bad |= queue_record_add_attr(b, "envelope_id", e->envelope_id);
    if (e->ret_flags != 0)
        queue_record_addf(b, REC_ATTR, "ret_flags=%d", e->ret_flags);
    bad |= queue_record_add_attr(b, "rewrite_context", STR("local"));
    bad |= queue_record_add_text(b, REC_FROM, e->sender);
    for (size_t i = 0; i < e->attr_count; i++)
        if (strcmp(e->attrs[i].name, "encoding") == 0)
            bad |= queue_record_add_attr(b, "encoding", e->attrs[i].value);
    for (size_t i = 0; i < e->recipient_count; i++) {
        const struct submit_recipient *r = &e->recipients[i];
        if (r->notify != 0)
            queue_record_addf(b, REC_ATTR, "notify_flags=%d", r->notify);
        if (r->dsn_orcpt.len > 0)
            bad |= queue_record_add_attr(b, "dsn_orig_rcpt", r->dsn_orcpt);
        bad |= queue_record_add_text(b, REC_RCPT, r->address);
    }
    queue_record_add(b, REC_MESSAGE, STR(""));
    return bad ? -1 : 0;
}

struct smtpd_postdrop *smtpd_postdrop_begin(const struct settings *set, const struct submit_envelope *e,
                                            struct err *err)
{
    struct smtpd_postdrop *p = MEM_NEW(struct smtpd_postdrop);
    struct buf received = BUF_INIT;
    if (postdrop_open(&p->child, set->command_directory, false, err) < 0) {
        smtpd_postdrop_end(p);
        return NULL;
    }
    if (add_envelope(p, e) < 0) {
        smtpd_postdrop_end(p);
        err_set(err, ERR_PERMANENT, "control character in the envelope");
        return NULL;
    }
    struct str before = e->received_before;
    if (str_ends(before, STR(" id ")))
        before = str_slice(before, 0, before.len - 4);
    buf_add_str(&received, before);
    buf_add_str(&received, e->received_after);
    buf_add_char(&received, '\n');
    smtpd_postdrop_text(p, set, buf_str(&received));
    buf_release(&received);
    return p;
}

void smtpd_postdrop_text(struct smtpd_postdrop *p, const struct settings *set, struct str text)
{
    queue_record_add_content(&p->records, text, (size_t)set->line_length_limit, &p->is_in_line);
    flush_records(p);
}

void smtpd_postdrop_finish(struct smtpd_postdrop *p, struct submit_result *result_r)
{
    struct postdrop_answer answer;
    queue_record_add(&p->records, REC_EXTRACTED, STR(""));
    queue_record_add(&p->records, REC_END, STR(""));
    flush_records(p);
    postdrop_read_answer(&p->child, &answer);
    bool is_stored = answer.status == 0 && answer.queue_id.len < sizeof(result_r->queue_id);
    *result_r = (struct submit_result){.code = is_stored ? 250 : 451};
    strcpy(result_r->status, is_stored ? "2.0.0" : "4.3.0");
    strcpy(result_r->reason, "Error: queue file write error");
    if (is_stored)
        memcpy(result_r->queue_id, answer.queue_id.ptr, answer.queue_id.len);
    buf_release(&answer.text);
    smtpd_postdrop_end(p);
}

void smtpd_postdrop_end(struct smtpd_postdrop *p)
{
    if (p == NULL)
        return;
    postdrop_close(&p->child);
    buf_release(&p->records);
    mem_free(p);
}
