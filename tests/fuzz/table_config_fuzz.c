// SPDX-License-Identifier: ISC
// table_config_fuzz.c: the "key = value" files of SQL, LDAP and cache tables.
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/table/table_source_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {"hosts", "query", "result_format", "expansion_limit", "domain", "password"};
    struct table_source source;
    char name[40];
    int fd = memfd_create("config", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        return 0;
    log_open(LOG_TO_FD, -1, "fuzz", "fuzz");
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    if (memchr(data, '/', size) == NULL && table_source_init(&source, name, NULL) == 0) { // no files in `domain`
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
            struct str value = table_config_str(source.config, keys[i], "");
            if (value.len != strlen(value.ptr))
                bug("a value is not what its length says");
        }
        (void)!table_source_take_sql(&source, NULL);
        table_source_release(&source);
    } else if (memchr(data, '/', size) == NULL) {
        table_source_release(&source);
    }
    close(fd);
    return 0;
}
