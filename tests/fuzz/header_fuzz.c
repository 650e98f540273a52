// SPDX-License-Identifier: ISC
// header_fuzz.c: header lines, folding and the size limit.
#include <stdlib.h>

#include "lib/mail/header.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    enum { LIMIT = 200 };
    struct header_scan h;
    struct str rest = str_of((const char *)data, size), line, header, name, value;
    header_scan_init(&h, LIMIT);
    for (bool more = true; more;) {
        more = str_cut(&rest, '\n', &line);
        enum header_event event = header_scan_line(&h, line, &header);
        if (header.len > LIMIT || (event == HEADER_DONE && header.len == 0))
            abort();
        if (header.len > 0 && header.len < LIMIT && !header_split(header, &name, &value))
            abort();
    }
    header = header_scan_finish(&h);
    if (header.len > LIMIT)
        abort();
    header_scan_release(&h);
    return 0;
}
