// SPDX-License-Identifier: ISC
// postdrop.c: giving a message to postdrop(1) (see postdrop.h).
#include "lib/agent/postdrop.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/sys/sys.h"

enum { ANSWER_MAX = 64 * 1024 };

int postdrop_open(struct postdrop *p, struct str command_directory, bool is_verbose, struct err *err)
{
    int input[2] = {-1, -1}, output[2] = {-1, -1};
    struct buf path = BUF_INIT;
    *p = (struct postdrop){.pid = 0, .input = -1, .output = -1};
    buf_addf(&path, STR_FMT "/postdrop", STR_ARG(command_directory));
    const char *argv[4] = {buf_cstr(&path), "-r", is_verbose ? "-v" : NULL, NULL};
    if (pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0) {
        if (input[0] >= 0) {
            close(input[0]);
            close(input[1]);
        }
        buf_release(&path);
        return err_errno(err, "create pipe");
    }
    int fds[3] = {input[0], output[1], 2};
    struct sys_spawn how = {.path = argv[0],
                            .argv = argv,
                            .envp = (const char *const *)environ,
                            .fds = fds,
                            .fd_count = 3,
                            .first_fd = 0,
                            .keeps_stdio = true};
    int status = sys_spawn(&how, &p->pid, err);
    close(input[0]);
    close(output[1]);
    p->input = input[1];
    p->output = output[0];
    buf_release(&path);
    return status;
}

void postdrop_write(struct postdrop *p, struct str records)
{
    if (!p->is_broken && sys_write_all(p->input, records.ptr, records.len) != 0)
        p->is_broken = true;
}

// Looks up NAME in the answer "name NUL value NUL ... NUL", given once for the file and once for the verdict.
static struct str answer_value(const struct buf *answer, const char *name)
{
    struct str rest = buf_str(answer), key, value;
    while (rest.len > 0 && str_cut(&rest, '\0', &key)) {
        if (key.len == 0)
            continue;
        if (!str_cut(&rest, '\0', &value))
            break;
        if (str_is(key, str_from(name)))
            return value;
    }
    return STR("");
}

void postdrop_read_answer(struct postdrop *p, struct postdrop_answer *answer_r)
{
    struct buf *text = &answer_r->text;
    *answer_r = (struct postdrop_answer){.status = -1, .text = BUF_INIT};
    buf_reserve(text, ANSWER_MAX);
    while (text->len < ANSWER_MAX) {
        ssize_t got = read(p->output, text->ptr + text->len, ANSWER_MAX - text->len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        text->len += (size_t)got;
        text->ptr[text->len] = '\0';
    }
    answer_r->reason = answer_value(text, "reason");
    answer_r->queue_id = answer_value(text, "queue_id");
    if (str_to_i64(answer_value(text, "status"), &answer_r->status) != 0)
        answer_r->status = -1;
}

void postdrop_close(struct postdrop *p)
{
    if (p->input >= 0)
        close(p->input);
    if (p->output >= 0)
        close(p->output);
    while (p->pid > 0 && waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    *p = (struct postdrop){.pid = 0, .input = -1, .output = -1};
}
