// SPDX-License-Identifier: ISC
// postcat.h: what postcat shows, and how.
#ifndef DROMOS_COMMANDS_POSTCAT_H
#define DROMOS_COMMANDS_POSTCAT_H

#include <stdbool.h>
#include <stdint.h>

enum postcat_parts { POSTCAT_ENVELOPE = 1, POSTCAT_HEADER = 2, POSTCAT_BODY = 4 };

struct postcat_options {
    unsigned parts;
    bool shows_types;   // -d
    bool shows_offsets; // -o
    bool prefixes_name; // -f
    bool is_raw;        // -r: pointer records are shown, not followed
    bool is_verbose;    // -v: every record with its name
    int64_t skip;       // -s: begin at this offset
};
// Prints the file to standard output; `name` stands in the section lines. Dies when a record cannot be read. Returns
// the exit status.
int postcat_show(int fd, const char *name, const struct postcat_options *options);

#endif
