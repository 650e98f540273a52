// SPDX-License-Identifier: ISC
// policy_reply_fuzz.c: what policy servers answer, line by line, and the text that names a server.
#include "lib/access/policy_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct settings settings = {.smtpd_policy_service_default_action = STR("DUNNO")};
    struct str rest = str_of((const char *)data, size), line;
    struct buf action = BUF_INIT;
    struct policy_reply reply = {.action = &action};
    int rc = 0;

    policy_server_free(policy_server_parse(&settings, rest, NULL));
    while (rc == 0 && rest.len > 0) {
        str_cut(&rest, '\n', &line);
        rc = policy_reply_add_line(&reply, (struct raw){(const unsigned char *)line.ptr, line.len}, NULL);
    }
    if (rc == 1 && !reply.has_action)
        bug("a reply without an action");
    for (size_t i = 0; i < action.len; i++)
        if ((unsigned char)action.ptr[i] < ' ' || action.ptr[i] == 127)
            bug("a control character in an action");
    buf_release(&action);
    return 0;
}
