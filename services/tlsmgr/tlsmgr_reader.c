// SPDX-License-Identifier: ISC
// tlsmgr_reader.c: the process that looks at key and certificate files and sends their contents to tlsmgr.
// Trust: runs with the rights that tlsmgr was started with. Its list of files is fixed when it starts, it parses
// nothing, and reads from nobody: the socket is for writing, and for noticing that tlsmgr has ended. Contents are wiped
// once they are sent.
// Limits: TLSMGR_FILE_MAX a file, TLSMGR_FILES_MAX files.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sys/sys.h"
#include "services/tlsmgr/tlsmgr.h"

enum { SETTLE_MS = 1000 }; // a changed file is sent when it has rested that long

struct seen {
    struct stat st;
    int error;    // errno of the last look, 0 if it is there
    bool is_sent; // tlsmgr knows this state
};

struct reader {
    const struct tlsmgr_watch *watch;
    int fd;
    struct map files; // path -> struct seen
    int64_t last_change;
    bool is_first, has_sent;
};

// ---- Sending

static int send_frame(struct reader *r, struct ipc_msg *m)
{
    int rc = sys_write_all(r->fd, m->data.ptr, m->data.len);
    buf_wipe(&m->data);
    r->has_sent = true;
    return rc;
}

static int send_gone(struct reader *r, struct str path, const char *reason)
{
    struct ipc_msg m = IPC_MSG_INIT;
    ipc_begin(&m, 0, "gone");
    ipc_add_str(&m, "path", path);
    ipc_add_str(&m, "reason", str_from(reason));
    return ipc_end(&m) < 0 ? 0 : send_frame(r, &m);
}

static int send_file(struct reader *r, struct str path)
{
    struct ipc_msg m = IPC_MSG_INIT;
    struct buf content = BUF_INIT;
    struct err err = ERR_INIT;
    int rc;
    buf_reserve(&content, TLSMGR_FILE_MAX); // so that no copy is left behind by growing
    if (sys_read_file(path.ptr, TLSMGR_FILE_MAX, &content, &err) < 0) {
        rc = send_gone(r, path, err.text);
    } else {
        buf_reserve(&m.data, content.len + path.len + 200);
        ipc_begin(&m, 0, "file");
        ipc_add_str(&m, "path", path);
        ipc_add_str(&m, "content", buf_str(&content));
        rc = ipc_end(&m) < 0 ? send_gone(r, path, "the file is too large") : send_frame(r, &m);
    }
    buf_wipe(&content);
    return rc;
}

// ---- Looking

static bool is_same(const struct seen *s, int error, const struct stat *st)
{
    if (s->error != error || error != 0)
        return s->error == error;
    return s->st.st_ino == st->st_ino && s->st.st_dev == st->st_dev && s->st.st_size == st->st_size &&
           s->st.st_mtim.tv_sec == st->st_mtim.tv_sec && s->st.st_mtim.tv_nsec == st->st_mtim.tv_nsec &&
           s->st.st_ctim.tv_sec == st->st_ctim.tv_sec && s->st.st_ctim.tv_nsec == st->st_ctim.tv_nsec;
}

static struct seen *find(struct reader *r, struct str path)
{
    struct seen *s = map_get(&r->files, path);
    if (s == NULL && r->files.count < TLSMGR_FILES_MAX) {
        s = MEM_NEW(struct seen);
        s->error = -1;
        map_set(&r->files, path, s);
    }
    return s;
}

static void look_at(struct reader *r, struct str path, struct seen *s)
{
    struct stat st = {0};
    int error = stat(path.ptr, &st) < 0 ? errno : S_ISREG(st.st_mode) ? 0 : EINVAL;
    if (is_same(s, error, &st))
        return;
    s->st = st;
    s->error = error;
    s->is_sent = false;
    r->last_change = clock_ms();
}

static void list_file(struct reader *r, const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
        (void)find(r, str_from(path));
}

// NAME, NAME.pem, or NAME/fullchain.pem with NAME/privkey.pem.
static void list_directory(struct reader *r, const char *directory)
{
    DIR *dir = opendir(directory);
    struct dirent *entry;
    struct buf path = BUF_INIT;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.' && (entry->d_name[1] == '\0' || entry->d_name[1] == '.'))
            continue;
        buf_clear(&path);
        buf_addf(&path, "%s/%s", directory, entry->d_name);
        size_t length = path.len;
        list_file(r, buf_cstr(&path));
        buf_add_cstr(&path, "/fullchain.pem");
        list_file(r, buf_cstr(&path));
        buf_truncate(&path, length);
        buf_add_cstr(&path, "/privkey.pem");
        list_file(r, buf_cstr(&path));
    }
    if (dir != NULL)
        closedir(dir);
    buf_release(&path);
}

static void look(struct reader *r)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;
    for (size_t i = 0; i < r->watch->directory_count; i++)
        list_directory(r, r->watch->directories[i]);
    while ((entry = map_next(&r->files, &it)) != NULL)
        look_at(r, entry->key, entry->value);
}

// ---- Telling

static int tell(struct reader *r)
{
    struct map_iter it = MAP_ITER_INIT;
    struct map_entry *entry;
    struct ipc_msg end = IPC_MSG_INIT;
    r->has_sent = false;
    while ((entry = map_next(&r->files, &it)) != NULL) {
        struct seen *s = entry->value;
        if (s->is_sent)
            continue;
        s->is_sent = true;
        if ((s->error != 0 ? send_gone(r, entry->key, s->error == EINVAL ? "not a regular file" : strerror(s->error))
                           : send_file(r, entry->key)) < 0)
            return -1;
    }
    if (!r->has_sent && !r->is_first)
        return 0;
    r->is_first = false;
    ipc_begin(&end, 0, "end");
    (void)ipc_end(&end);
    return send_frame(r, &end);
}

// False when tlsmgr has ended.
static bool rest(struct reader *r, int64_t ms)
{
    struct pollfd p = {.fd = r->fd, .events = 0}; // an end is told unasked
    int rc = poll(&p, 1, (int)ms);
    return rc == 0 || (rc < 0 && errno == EINTR);
}

void tlsmgr_reader_run(const struct tlsmgr_watch *w, int fd)
{
    struct reader r = {.watch = w, .fd = fd, .is_first = true};
    for (size_t i = 0; i < w->path_count; i++)
        (void)find(&r, str_from(w->paths[i]));
    for (bool goes_on = true; goes_on;) {
        look(&r);
        bool is_settled = clock_ms() - r.last_change >= SETTLE_MS || r.is_first;
        if (is_settled && tell(&r) < 0)
            break;
        goes_on = rest(&r, is_settled ? w->interval_ms : SETTLE_MS);
    }
    struct map_iter it = MAP_ITER_INIT;
    for (struct map_entry *entry; (entry = map_next(&r.files, &it)) != NULL;)
        mem_free(entry->value);
    map_release(&r.files);
}

static void begin_child(int fd)
{
    signal(SIGTERM, SIG_DFL);
    signal(SIGALRM, SIG_DFL);
    signal(SIGHUP, SIG_IGN);
    if (fd != 3)
        (void)dup2(fd, 3);
    closefrom(4); // the loop, master's status channel, the log: nothing is said from here
    (void)fcntl(3, F_SETFL, fcntl(3, F_GETFL) & ~O_NONBLOCK);
    sys_no_core();
}

int tlsmgr_reader_start(const struct tlsmgr_watch *w, struct err *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(err, "socket for the reader of keys");
    pid_t pid = fork();
    if (pid == 0) {
        begin_child(pair[1]);
        tlsmgr_reader_run(w, 3);
        _exit(0);
    }
    close(pair[1]);
    if (pid > 0)
        return pair[0];
    close(pair[0]);
    return err_errno(err, "fork the reader of keys");
}
