// SPDX-License-Identifier: ISC
// smtpd_footer.c: what smtpd_reject_filter_maps, smtpd_reject_footer and smtpd_reject_footer_maps make of a refusal.
// Trust: macro values come from the client: what smtpd_expansion_filter does not list becomes '_'. Suspends: table
// lookups.
#include "lib/access/access_expand.h"
#include "smtpd/smtpd.h"

#define REPLY_LINE_MAX 510

static void expand(struct smtpd_session *s, struct str text, struct buf *out)
{
    struct access_facts facts;
    struct err err = ERR_INIT;
    smtpd_collect_facts(s, buf_str(&s->refused_recipient), &facts);
    struct access_expansion x = {.settings = s->settings, .facts = &facts};
    if (access_expand(&x, text, out, &err) < 0)
        log_warn("smtpd_reject_footer: %s: left out", err.text);
}

// ---- The lines

// The codes of a reply line: "550 " or "550 5.1.1 ".
static struct str codes_of(struct str line)
{
    struct str status, rest;
    if (line.len < 4)
        return line;
    struct str text = str_slice(line, 4, line.len);
    return smtp_enhanced_status(text, &status, &rest) ? str_slice(line, 0, 4 + status.len + 1) : str_slice(line, 0, 4);
}

static void add_line(struct buf *out, struct str codes, struct str text)
{
    struct buf clean = BUF_INIT;
    buf_add_str(&clean, codes);
    buf_add_printable(&clean, text, 0);
    buf_add_str(out, str_slice(buf_str(&clean), 0, REPLY_LINE_MAX));
    buf_add_cstr(out, "\r\n");
    buf_release(&clean);
}

// `reply` is one line without its end. Footer texts know "\n" for a new line, and "\c" in front for the same one.
static void append_footer(struct buf *reply, struct str footer)
{
    struct buf out = BUF_INIT;
    struct str codes = codes_of(buf_str(reply)), line;
    if (str_starts(footer, STR("\\c"))) {
        footer = str_slice(footer, 2, footer.len);
        long end = str_find_str(footer, STR("\\n"));
        buf_add_str(reply, str_slice(footer, 0, end < 0 ? footer.len : (size_t)end));
        footer = end < 0 ? STR_NULL : str_slice(footer, (size_t)end + 2, footer.len);
        codes = codes_of(buf_str(reply));
    }
    add_line(&out, codes, str_slice(buf_str(reply), codes.len, reply->len));
    for (size_t last = 0; footer.len > 0;) {
        long end = str_find_str(footer, STR("\\n"));
        line = str_slice(footer, 0, end < 0 ? footer.len : (size_t)end);
        footer = end < 0 ? STR_NULL : str_slice(footer, (size_t)end + 2, footer.len);
        out.ptr[last + 3] = '-';
        last = out.len;
        add_line(&out, codes, line);
    }
    buf_clear(reply);
    buf_add_str(reply, buf_str(&out));
    buf_release(&out);
}

// ---- Which footer, which filter

static void filter_reply(struct smtpd_session *s, struct buf *reply) CO
{
    struct buf value = BUF_INIT;
    struct err err = ERR_INIT;
    struct table_list *maps = s->daemon->reject_filter;
    if (maps == NULL || table_list_is_empty(maps))
        return;
    int found = table_list_lookup(maps, buf_str(reply), &value, NULL, &err);
    int code;
    bool is_last;
    struct str text;
    if (found < 0) {
        log_warn("smtpd_reject_filter_maps: %s: the reply stays as it is", err.text);
    } else if (found > 0 &&
               (smtp_reply_line_parse(buf_str(&value), &code, &is_last, &text) < 0 || code < 400 || !is_last)) {
        log_warn("smtpd_reject_filter_maps: not a reply 4xx or 5xx: \"%s\": ignored", buf_cstr(&value));
    } else if (found > 0) {
        struct str id = smtpd_queue_id(s);
        log_info(STR_FMT ": reply filter in: %s", STR_ARG(id), buf_cstr(reply));
        buf_clear(reply);
        buf_add_printable(reply, buf_str(&value), REPLY_LINE_MAX);
        log_info(STR_FMT ": reply filter out: %s", STR_ARG(id), buf_cstr(reply));
    }
    buf_release(&value);
}

// The footer of this reply as written, before expansion. Empty: none.
static void find_footer(struct smtpd_session *s, struct str reply, struct buf *footer_r) CO
{
    struct err err = ERR_INIT;
    struct table_list *maps = s->daemon->footer_maps;
    int found = maps != NULL && !table_list_is_empty(maps) ? table_list_lookup(maps, reply, footer_r, NULL, &err) : 0;
    if (found < 0)
        log_warn("smtpd_reject_footer_maps: %s: no footer", err.text);
    if (found == 0)
        buf_add_str(footer_r, s->settings->smtpd_reject_footer);
}

// The reply that was written last, if it is a refusal in one line, is taken back from the output and written anew.
static void edit_refusal(struct smtpd_session *s, struct str line) CO
{
    struct buf reply = BUF_INIT, footer = BUF_INIT, expanded = BUF_INIT;
    buf_add_str(&reply, line);
    buf_truncate(stream_output(s->stream), s->reply_start);
    filter_reply(s, &reply);
    find_footer(s, buf_str(&reply), &footer);
    if (footer.len > 0)
        expand(s, buf_str(&footer), &expanded);
    if (expanded.len > 0)
        append_footer(&reply, buf_str(&expanded));
    else
        buf_add_cstr(&reply, "\r\n");
    stream_write_str(s->stream, buf_str(&reply));
    buf_release(&reply);
    buf_release(&footer);
    buf_release(&expanded);
}

void smtpd_reply_done(struct smtpd_session *s)
{
    struct buf *output = stream_output(s->stream);
    struct smtpd *d = s->daemon;
    if (s->reply_start >= output->len)
        return;
    struct str said = str_slice(buf_str(output), s->reply_start, output->len);
    bool has_footer =
        s->settings->smtpd_reject_footer.len > 0 || (d->footer_maps != NULL && !table_list_is_empty(d->footer_maps));
    bool has_filter = d->reject_filter != NULL && !table_list_is_empty(d->reject_filter);
    if ((has_footer || has_filter) && (said.ptr[0] == '4' || said.ptr[0] == '5') &&
        str_find(said, '\n') == (long)said.len - 1)
        edit_refusal(s, str_trim(said));
    smtpd_record_output(s, str_slice(buf_str(output), s->reply_start, output->len));
    s->reply_start = output->len;
    buf_clear(&s->refused_recipient);
}
