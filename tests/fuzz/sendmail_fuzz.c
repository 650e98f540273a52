// SPDX-License-Identifier: ISC
// sendmail_fuzz.c: NUL-separated words as sendmail's command line, what follows an empty word as its input.
#include "commands/sendmail.h"

#define WORDS_MAX 64

static struct settings settings; // too large for a stack frame

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = ARENA_INIT;
    struct str rest = str_of((const char *)data, size), word;
    struct sendmail_options o;
    struct sendmail_message m;
    struct buf records = BUF_INIT;
    struct err err = ERR_INIT;
    char *argv[WORDS_MAX + 1] = {NULL};
    int argc = 0;
    while (argc < WORDS_MAX && str_cut(&rest, '\0', &word) && word.len > 0)
        argv[argc++] = arena_cstr(&arena, word);
    settings.line_length_limit = 80;
    settings.header_size_limit = 1000;
    settings.sendmail_fix_line_endings = STR("always");
    if (sendmail_options_parse(argc, argv, &arena, &o, &err) == 0) {
        sendmail_message_init(&m, &settings, &o, &records);
        sendmail_message_add(&m, rest);
        sendmail_message_end(&m);
        sendmail_message_release(&m);
    }
    buf_release(&o.warnings);
    buf_release(&records);
    arena_release(&arena);
    return 0;
}
