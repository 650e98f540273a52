// SPDX-License-Identifier: ISC
// table_writer_impl.h: constant databases for table_writer.c. Private to lib/table.
#ifndef DROMOS_TABLE_TABLE_WRITER_IMPL_H
#define DROMOS_TABLE_TABLE_WRITER_IMPL_H

#include "lib/table/table_impl.h"

struct cdb_writer;
struct cdb_writer *cdb_writer_start(int fd); // NULL errno; fd stays the caller's
int cdb_writer_put(struct cdb_writer *w, struct str key, struct str value,
                   bool replaces);           // 1 stored, 0 the key exists, -1 errno
int cdb_writer_finish(struct cdb_writer *w); // writes the index; frees w; -1 errno

#ifndef TABLE_HAS_CDB
#define cdb_writer_start(fd)                         ((struct cdb_writer *)NULL)
#define cdb_writer_put(writer, key, value, replaces) (-1)
#define cdb_writer_finish(writer)                    (-1)
#endif

#endif
