// SPDX-License-Identifier: ISC
// queue_envelope_fuzz.c: queue files made of any bytes: records, envelope, content, with pointers followed.
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/mail/queue_file.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void read_content(int fd, int64_t offset)
{
    struct err err = ERR_INIT;
    struct str text;
    bool ended;
    struct queue_reader *r = queue_reader_open(fd, offset, &err);
    while (r != NULL && queue_reader_next(r, &text, &ended, &err) > 0)
        if (text.len > RECORD_MAX)
            abort();
    queue_reader_close(r);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct arena arena = ARENA_INIT;
    struct queue_envelope e;
    struct record record;
    struct err err = ERR_INIT;
    (void)queue_record_decode((struct raw){data, size}, &record);
    int fd = memfd_create("queue", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    if (queue_envelope_read(fd, &arena, 0, 0, &e, &err) == 0)
        read_content(fd, e.data_offset);
    else if (err.kind != ERR_PERMANENT)
        abort();
    int64_t next = 0;
    for (int i = 0; i < 20 && queue_envelope_read(fd, &arena, 1, next, &e, &err) == 0 && e.next_recipient_offset > 0;
         i++)
        next = e.next_recipient_offset;
    struct record_walk *w = record_walk_open(fd, 0, false, &err);
    while (record_walk_next(w, &record, &err) > 0)
        continue;
    record_walk_close(w);
    close(fd);
    arena_release(&arena);
    return 0;
}
