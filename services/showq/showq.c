// SPDX-License-Identifier: ISC
// showq.c: streams the content of all queues to postqueue, as it scans.
//
// The names are taken in order and read in pieces: jobs read the files of the next pieces while one is sent.
// Trust: clients ask nothing; queue files may be garbage. Reads only.
// Limits: PIECES pieces in memory, each of PIECE_BYTES and one message.
// Suspends: while a piece is read or the client is slow.
#include "lib/agent/queue_list.h"
#include "lib/ipc/service.h"

enum { SEND_SECONDS = 60, READ_SECONDS = 300, PIECES = 3, PIECE_FILES = 64, PIECE_BYTES = 64 * 1024 };

// Some files, and the frames that tell of them. Shared by the listing and the coroutine, or job, that reads.
struct piece {
    unsigned users;
    struct queue_layout layout;
    struct queue_list_sink sink;
    struct queue_list_teller teller;
    struct buf paths; // one after the other, each with its NUL
    size_t next;      // where the first stands that is not read yet
    struct ipc_msg out;
    bool is_open;         // a frame is being built
    bool is_read, is_bad; // as far as PIECE_BYTES allow; a message that makes no frame
    struct co *reader;
};

struct listing {
    struct ipc_conn *conn;
    struct queue_list_names *names;
    bool has_all_names;
    struct piece *pieces[PIECES]; // being read, the first of the order first
    size_t count;
};

// ---- Reading: in a job

static int end_frame(struct piece *p)
{
    if (!p->is_open)
        return 0;
    p->is_open = false;
    return ipc_end(&p->out);
}

static int tell_message(void *arg, const struct queue_list_message *m)
{
    struct piece *p = arg;
    if (end_frame(p) < 0)
        return -1;
    queue_list_add_message(&p->out, m);
    p->is_open = true;
    return 0;
}

static int tell_recipient(void *arg, const struct queue_list_recipient *r)
{
    struct piece *p = arg;
    if (ipc_size(&p->out) > QUEUE_LIST_FRAME) {
        if (end_frame(p) < 0)
            return -1;
        queue_list_add_more(&p->out);
        p->is_open = true;
    }
    queue_list_add_recipient(&p->out, r);
    return 0;
}

static void read_files(void *data)
{
    struct piece *p = data;
    while (p->next < p->paths.len && p->out.data.len < PIECE_BYTES && !p->is_bad) {
        const char *path = p->paths.ptr + p->next;
        p->is_bad = queue_list_teller_tell(&p->teller, path) < 0;
        p->next += strlen(path) + 1;
    }
    p->is_bad |= end_frame(p) < 0;
}

// ---- Pieces

static struct piece *piece_new(const struct settings *s)
{
    struct piece *p = MEM_NEW(struct piece);
    *p = (struct piece){.users = 1, .paths = BUF_INIT, .out = IPC_MSG_INIT, .sink = {p, tell_message, tell_recipient}};
    p->layout = queue_layout_of(s->hash_queue_names, s->hash_queue_depth, s->enable_long_queue_ids);
    queue_list_teller_init(&p->teller, &p->layout, &p->sink);
    return p;
}

static void piece_unref(void *data)
{
    struct piece *p = data;
    if (--p->users > 0)
        return;
    queue_list_teller_release(&p->teller);
    ipc_msg_release(&p->out);
    buf_release(&p->paths);
    mem_free(p);
}

// A reader that is given up leaves its reference to the job.
static void read_piece(void *arg)
{
    co_assert_running();
    struct piece *p = arg;
    if (co_job(read_files, p, piece_unref, clock_deadline(READ_SECONDS)) < 0)
        return;
    p->is_read = true;
    piece_unref(p);
}

static void begin_reading(struct piece *p)
{
    p->is_read = false;
    p->users++;
    p->reader = co_ref(co_spawn("read", read_piece, p));
}

static int end_reading(struct piece *p) CO
{
    int rc = co_join(p->reader, clock_deadline(READ_SECONDS));
    if (rc < 0)
        co_cancel(p->reader);
    co_unref(p->reader);
    p->reader = NULL;
    return rc == 0 && p->is_read && !p->is_bad ? 0 : -1;
}

// ---- The listing

// Keeps the readers busy. -1: a directory cannot be read.
static int begin_pieces(struct listing *l, const struct settings *s)
{
    struct err err = ERR_INIT;
    int rc = 1;
    while (!l->has_all_names && l->count < PIECES) {
        struct piece *p = piece_new(s);
        for (int i = 0; i < PIECE_FILES && (rc = queue_list_names_next(l->names, &p->paths, &err)) == 1; i++)
            buf_add_char(&p->paths, '\0');
        l->has_all_names = rc != 1;
        l->pieces[l->count++] = p;
        begin_reading(p);
    }
    return rc < 0 ? -1 : 0;
}

static void drop_first(struct listing *l)
{
    piece_unref(l->pieces[0]);
    l->count--;
    memmove(l->pieces, l->pieces + 1, l->count * sizeof(struct piece *));
}

static int send_first(struct listing *l) CO
{
    struct err err = ERR_INIT;
    struct piece *p = l->pieces[0];
    for (;;) {
        if (end_reading(p) < 0)
            return -1;
        if (p->out.data.len > 0 && ipc_send(l->conn, &p->out, clock_deadline(SEND_SECONDS), &err) < 0)
            return -1;
        if (p->next == p->paths.len)
            return 0;
        begin_reading(p); // messages with many recipients
    }
}

static int send_all(struct listing *l, const struct settings *s) CO
{
    bool is_whole = begin_pieces(l, s) == 0;
    while (l->count > 0) {
        if (send_first(l) < 0)
            return -1;
        drop_first(l);
        is_whole = is_whole && begin_pieces(l, s) == 0;
    }
    return is_whole ? 0 : -1;
}

static void send_end(struct listing *l) CO
{
    struct ipc_msg out = IPC_MSG_INIT;
    struct err err = ERR_INIT;
    ipc_begin(&out, 0, "end");
    if (ipc_end(&out) == 0)
        (void)!ipc_send(l->conn, &out, clock_deadline(SEND_SECONDS), &err);
    ipc_msg_release(&out);
}

static void serve(struct service_context *ctx, struct service_client *client)
{
    co_assert_running();
    struct listing l = {.conn = ipc_conn_new(client->fd), .names = queue_list_names_open()};
    if (send_all(&l, ctx->settings) == 0)
        send_end(&l); // without it the client knows that something is missing
    while (l.count > 0) {
        if (l.pieces[0]->reader != NULL) {
            co_cancel(l.pieces[0]->reader);
            co_unref(l.pieces[0]->reader);
        }
        drop_first(&l);
    }
    queue_list_names_close(l.names);
    ipc_conn_free(l.conn);
}

int main(int argc, char **argv)
{
    static const struct service service = {.program = "showq", .serve = serve};
    return service_main(&service, argc, argv);
}
