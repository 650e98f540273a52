// SPDX-License-Identifier: ISC
// postconf_edit.c: changes main.cf line by line and replaces the file by the new one.
//
// The work file main.cf.tmp is locked while it is made, so that editors take turns; the old file stays whole until the rename.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/postconf.h"
#include "lib/base/log.h"
#include "lib/sys/sys.h"

#define FILE_MAX  (16 * 1024 * 1024)
#define EDITS_MAX 10000

struct change {
    struct str name, value;
    unsigned used;
};
struct editor {
    enum postconf_edit edit;
    struct change *changes;
    size_t count;
    struct buf *out;
    struct change *current; // of the logical line that physical lines belong to; NULL: kept
};

static int add_change(struct editor *e, const char *text, struct err *err)
{
    struct str rest = str_from(text), name;
    struct change c = {0};
    if (strpbrk(text, "\n\r") != NULL)
        return err_set(err, ERR_PERMANENT, "-e, -X, or -# accepts no multi-line input");
    bool has_value = str_cut(&rest, '=', &name);
    c.name = str_trim(name);
    c.value = str_trim(rest);
    bool is_name = c.name.len > 0 && str_find(c.name, ' ') < 0 && str_find(c.name, '\t') < 0 && c.name.ptr[0] != '#';
    if (e->edit == POSTCONF_EDIT_SET && (!has_value || !is_name))
        return err_set(err, ERR_PERMANENT, "%s: \"%s\"",
                       has_value && c.name.len == 0 ? "missing attribute name" : "missing '=' after attribute name", text);
    if (e->edit != POSTCONF_EDIT_SET && (has_value || !is_name))
        return err_set(err, ERR_PERMANENT, "-X and -# take names without value: \"%s\"", text);
    for (size_t i = 0; i < e->count; i++)
        if (str_is(e->changes[i].name, c.name)) {
            e->changes[i] = c; // the last of several wins
            return 0;
        }
    e->changes[e->count++] = c;
    return 0;
}

static struct change *find_change(const struct editor *e, struct str line)
{
    struct str rest = line, name;
    if (!str_cut(&rest, '=', &name))
        return NULL;
    name = str_trim(name);
    for (size_t i = 0; i < e->count; i++)
        if (str_is(e->changes[i].name, name))
            return &e->changes[i];
    return NULL;
}

static void add_assignment(struct editor *e, const struct change *c)
{
    buf_addf(e->out, STR_FMT " = " STR_FMT "\n", STR_ARG(c->name), STR_ARG(c->value));
}

static void edit_line(struct editor *e, struct str line)
{
    struct str content = str_trim(line);
    bool is_plain = content.len == 0 || content.ptr[0] == '#';
    bool is_continuation = !is_plain && (line.ptr[0] == ' ' || line.ptr[0] == '\t');
    if (!is_plain && !is_continuation) {
        e->current = find_change(e, line);
        if (e->current != NULL) {
            e->current->used++;
            if (e->edit == POSTCONF_EDIT_SET)
                add_assignment(e, e->current);
        }
    }
    if (!is_plain && e->current != NULL && e->edit != POSTCONF_EDIT_COMMENT)
        return;
    if (!is_plain && e->current != NULL)
        buf_add_char(e->out, '#');
    buf_add_str(e->out, line);
    buf_add_char(e->out, '\n');
}

int postconf_edit_text(struct str text, enum postconf_edit edit, char *const *edits, struct buf *out, struct err *err)
{
    size_t count = 0;
    while (edits[count] != NULL)
        count++;
    if (count > EDITS_MAX)
        return err_set(err, ERR_PERMANENT, "more than %d changes at once", EDITS_MAX);
    struct editor e = {.edit = edit, .out = out, .changes = mem_alloc((count + 1) * sizeof(struct change))};
    int status = 0;
    for (size_t i = 0; status == 0 && i < count; i++)
        status = add_change(&e, edits[i], err);
    struct str rest = text, line;
    while (status == 0 && rest.len > 0) {
        str_cut(&rest, '\n', &line);
        if (line.ptr + line.len == text.ptr + text.len) // no newline at the end of the file
            rest = STR("");
        edit_line(&e, line);
    }
    for (size_t i = 0; status == 0 && i < e.count; i++) {
        if (e.changes[i].used > 1)
            log_warn("multiple entries for \"" STR_FMT "\"", STR_ARG(e.changes[i].name));
        if (e.changes[i].used == 0 && edit == POSTCONF_EDIT_SET)
            add_assignment(&e, &e.changes[i]);
    }
    mem_free(e.changes);
    return status;
}

// Opens and locks the work file. Another editor may rename it away while we wait: then the name is tried again.
static int open_work_file(const char *path, struct err *err)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        struct stat by_fd, by_name;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return err_errno(err, "open %s", path);
        if (sys_flock(fd, SYS_LOCK_EXCLUSIVE, true) == 1 && fstat(fd, &by_fd) == 0 && stat(path, &by_name) == 0 &&
            by_fd.st_ino == by_name.st_ino && by_fd.st_dev == by_name.st_dev)
            return fd;
        close(fd);
    }
    return err_set(err, ERR_TEMPORARY, "cannot lock %s: another program holds it", path);
}

static int write_work_file(int fd, const char *path, const struct buf *text, const struct stat *like, struct err *err)
{
    if (ftruncate(fd, 0) != 0 || sys_write_all(fd, text->ptr, text->len) != 0)
        return err_errno(err, "write %s", path);
    if ((geteuid() == 0 && fchown(fd, like->st_uid, like->st_gid) != 0) || fchmod(fd, like->st_mode & 07777) != 0)
        return err_errno(err, "set owner and mode of %s", path);
    if (fsync(fd) != 0)
        return err_errno(err, "write %s", path);
    return 0;
}

static void sync_directory(const char *path)
{
    struct buf dir = BUF_INIT;
    long slash = str_rfind(str_from(path), '/');
    buf_add(&dir, path, slash < 0 ? 0 : (size_t)slash);
    int fd = open(dir.len > 0 ? buf_cstr(&dir) : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    buf_release(&dir);
}

static int replace_file(const struct postconf_options *o, const char *path, const char *work, struct err *err)
{
    struct buf old = BUF_INIT, text = BUF_INIT;
    struct stat st;
    int status = -1, fd = open_work_file(work, err);
    if (fd < 0)
        return -1;
    if (stat(path, &st) != 0)
        err_errno(err, "open %s", path);
    else if (sys_read_file(path, FILE_MAX, &old, err) == 0 &&
             postconf_edit_text(buf_str(&old), o->edit, o->names, &text, err) == 0)
        status = write_work_file(fd, work, &text, &st, err);
    if (status == 0 && rename(work, path) != 0)
        status = err_errno(err, "rename %s to %s", work, path);
    if (status == 0)
        sync_directory(path);
    else
        (void)unlink(work);
    close(fd);
    buf_release(&old);
    buf_release(&text);
    return status;
}

int postconf_edit_main(const struct postconf_options *o, struct err *err)
{
    struct buf path = BUF_INIT;
    buf_addf(&path, "%s/main.cf", o->dir);
    char *target = realpath(buf_cstr(&path), NULL); // a symbolic link stays one
    int status = -1;
    if (target == NULL) {
        err_errno(err, "open %s", buf_cstr(&path));
    } else {
        buf_clear(&path);
        buf_addf(&path, "%s.tmp", target);
        status = replace_file(o, target, buf_cstr(&path), err);
    }
    free(target);
    buf_release(&path);
    return status;
}
