// SPDX-License-Identifier: ISC
// queue_filter_fuzz.c: criteria as the set-gid postqueue takes them, and matching them: lines "name=value", an empty
// line, then a message.
#include "lib/agent/queue_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take_message(void *arg, const struct queue_list_message *m)
{
    return 0;
}

static int take_recipient(void *arg, const struct queue_list_recipient *r)
{
    return 0;
}

static void add_criteria(struct queue_filter *f, struct str *rest)
{
    struct err err = ERR_INIT;
    struct str line, name;
    while (str_cut(rest, '\n', &line) && line.len > 0) {
        (void)str_cut(&line, '=', &name);
        char *name_text = arena_cstr(&f->arena, name), *value = arena_cstr(&f->arena, line);
        (void)!queue_filter_add(f, name_text, value, &err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct queue_filter filter = QUEUE_FILTER_INIT;
    struct queue_filter_pass pass;
    struct str rest = {(const char *)data, size < 4096 ? size : 4096}, word[4];
    add_criteria(&filter, &rest);
    for (size_t i = 0; i < 4; i++)
        (void)str_cut(&rest, '\n', &word[i]);
    queue_filter_pass_init(&pass, &filter, (struct queue_list_sink){NULL, take_message, take_recipient});
    struct queue_list_sink sink = queue_filter_pass_sink(&pass);
    struct queue_list_message m = {STR("deferred"), STR("ABCDEF1"), word[0], 1700000000, 1234, false};
    struct queue_list_recipient r = {.original = STR(""),
                                     .address = word[1],
                                     .reason = word[2],
                                     .reason_kind = STR("delay_reason"),
                                     .status = word[3]};
    (void)!sink.message(sink.arg, &m);
    (void)!sink.recipient(sink.arg, &r);
    (void)queue_filter_may_match_queue(&filter, word[0]);
    queue_filter_pass_release(&pass);
    queue_filter_release(&filter);
    return 0;
}
