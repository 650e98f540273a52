// SPDX-License-Identifier: ISC
// smtp_command_fuzz.c: command lines with their parameters, and reply lines.
#include <stdlib.h>

#include "lib/mail/smtp_syntax.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct str line = str_of((const char *)data, size), arguments, text, status, rest;
    struct smtp_parameter params[SMTP_PARAMETERS_MAX];
    size_t count = 0;
    int code = 0;
    bool is_last;
    (void)smtp_verb_name(smtp_verb_parse(line, &arguments));
    if (smtp_parameters_parse(arguments, params, &count) == 0) {
        if (count > SMTP_PARAMETERS_MAX)
            abort();
        for (size_t i = 0; i < count; i++) {
            (void)smtp_notify_parse(params[i].value, &code);
            (void)smtp_ret_parse(params[i].value, &code);
        }
    }
    if (smtp_reply_line_parse(line, &code, &is_last, &text) == 0) {
        if (code < 200 || code > 599)
            abort();
        (void)smtp_enhanced_status(text, &status, &rest);
    }
    return 0;
}
