// SPDX-License-Identifier: ISC
// table_cdb_writer.c: writes constant databases through libcdb, for table_writer.c.
#include <cdb.h>
#include <errno.h>

#include "lib/table/table_writer_impl.h"

struct cdb_writer {
    struct cdb_make make;
};

struct cdb_writer *cdb_writer_start(int fd)
{
    struct cdb_writer *w = MEM_NEW(struct cdb_writer);
    if (cdb_make_start(&w->make, fd) == 0)
        return w;
    mem_free(w);
    return NULL;
}

int cdb_writer_put(struct cdb_writer *w, struct str key, struct str value, bool replaces)
{
    int rc = cdb_make_put(&w->make, key.ptr, (unsigned)key.len, value.ptr, (unsigned)value.len,
                          replaces ? CDB_PUT_REPLACE : CDB_PUT_INSERT);
    if (rc < 0)
        return -1;
    return rc > 0 && !replaces ? 0 : 1;
}

int cdb_writer_finish(struct cdb_writer *w)
{
    int rc = cdb_make_finish(&w->make), saved = errno;

    mem_free(w);
    errno = saved;
    return rc;
}
