// SPDX-License-Identifier: ISC
// dovecot_fuzz.c: the lines of an authentication server; whatever they hold, what goes on to clients and logs is safe.
#include <stdlib.h>

#include "lib/sasl/dovecot_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_greeting(struct str input)
{
    struct dovecot_greeting g = {.count = 0};
    struct buf list = BUF_INIT;
    struct str line;

    while (str_cut(&input, '\n', &line) && !g.is_done)
        if (dovecot_greeting_add(&g, line, NULL) < 0)
            break;
    require(g.count <= DOVECOT_MECHANISMS_MAX);
    dovecot_greeting_list(&g, SASL_NO_ANONYMOUS, &list);
    require(str_is_printable(buf_str(&list)));
    buf_release(&list);
}

static void check_answer(struct str line)
{
    struct sasl_answer a = SASL_ANSWER_INIT;
    uint32_t id = 0;

    if (dovecot_answer_parse(line, &id, &a, NULL) == 1) {
        require(id != 0);
        require(a.outcome != SASL_ANSWER_ACCEPTED || a.username.len > 0);
        require(a.outcome == SASL_ANSWER_CONTINUE || a.challenge.len == 0);
        require(str_is_printable(buf_str(&a.challenge)) && a.challenge.len <= SASL_TOKEN_MAX);
        require(memchr(buf_cstr(&a.username), '\n', a.username.len) == NULL &&
                memchr(buf_cstr(&a.reason), '\r', a.reason.len) == NULL);
        require(a.username.len <= 4 * SASL_USER_MAX && a.reason.len <= 4 * SASL_REASON_MAX);
    }
    sasl_answer_clear(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size}, line;

    check_greeting(rest);
    while (str_cut(&rest, '\n', &line))
        check_answer(line);
    check_answer(rest);
    return 0;
}
