// SPDX-License-Identifier: ISC
// smtp_reply_fuzz.c: what a hostile server may say to the SMTP and LMTP client: replies and their meaning.
#include <stdlib.h>

#include "smtp/smtp_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct smtp_reply reply = {.text = BUF_INIT};
    struct arena arena = ARENA_INIT;
    struct str line, rest = str_of((const char *)data, size);

    while (rest.len > 0) {
        int64_t limit;
        str_cut(&rest, '\n', &line);
        int got = smtp_reply_add_line(&reply, (struct raw){(const unsigned char *)line.ptr, line.len});
        if (got < 0)
            break;
        struct str joined = smtp_reply_joined(&reply, &arena);
        for (size_t i = 0; i < joined.len; i++) // fit for a log line and a bounce
            if ((unsigned char)joined.ptr[i] < ' ' || joined.ptr[i] == 127)
                abort();
        if (joined.len > SMTP_REPLY_KEPT + 1 || reply.code < 200 || reply.code > 599)
            abort();
        struct str dsn = smtp_reply_dsn(&reply, '4', &arena);
        if (dsn.len < 5 || dsn.len > 9 || dsn.ptr[0] != '4')
            abort();
        (void)smtp_reply_features(&reply, STR("size, dsn"), &limit);
        (void)smtp_reply_first_word(&reply);
        struct buf mechanisms = BUF_INIT;
        smtp_reply_add_mechanisms(&reply, &mechanisms);
        if (mechanisms.len > SMTP_REPLY_KEPT)
            abort();
        buf_release(&mechanisms);
        if (limit < 0)
            abort();
        if (got == 1)
            smtp_reply_clear(&reply);
    }
    smtp_reply_release(&reply);
    arena_release(&arena);
    return 0;
}
