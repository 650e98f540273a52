// SPDX-License-Identifier: ISC
// queue_reader.c: the content of a queue file as lines.
// Trust: the file may be garbage. Limits: one record in memory.
#include "lib/mail/queue_file.h"

struct queue_reader {
    struct record_walk *walk;
    bool has_ended;
};

struct queue_reader *queue_reader_open(int fd, int64_t data_offset, struct err *err)
{
    struct record_walk *walk = record_walk_open(fd, data_offset, true, err);
    if (walk == NULL)
        return NULL;
    struct queue_reader *r = MEM_NEW(struct queue_reader);
    r->walk = walk;
    return r;
}

void queue_reader_close(struct queue_reader *r)
{
    if (r == NULL)
        return;
    record_walk_close(r->walk);
    mem_free(r);
}

int queue_reader_next(struct queue_reader *r, struct str *text_r, bool *line_ended_r, struct err *err)
{
    struct record record;
    while (!r->has_ended) {
        int rc = record_walk_next(r->walk, &record, err);
        if (rc < 0)
            return -1;
        if (rc == 0)
            return err_set(err, ERR_PERMANENT, "queue file ends inside the message content");
        switch (record.type) {
        case REC_NORM:
        case REC_CONT:
            *text_r = record.data;
            *line_ended_r = record.type == REC_NORM;
            return 1;
        case REC_PAD:
            break;
        case REC_EXTRACTED:
            r->has_ended = true;
            break;
        default:
            return err_set(err, ERR_PERMANENT, "unexpected record type %d in the message content", record.type);
        }
    }
    return 0;
}
