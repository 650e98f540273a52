// SPDX-License-Identifier: ISC
// postmap_build.c: creating a table from its source, adding entries from standard input, deleting keys.
//
// Trust: as root, the work is done with the rights of the source's owner, so that a table in a user's directory cannot
// be used to overwrite another file.
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/postmap.h"
#include "lib/base/log.h"
#include "lib/sys/sys.h"

#define PROGRESS_KEYS 100000

struct build {
    const struct postmap *postmap;
    const char *path; // behind the type
    struct table_writer *writer;
    struct buf encoded; // a value of -F
    size_t keys;
    bool shows_progress;
};

// Takes the owner's rights and, as umask, the source's mode. Undone by give_back.
static void take_rights(const struct postmap *p, const char *path)
{
    struct stat st;
    struct err err = ERR_INIT;
    mode_t mode = 0644;

    if (stat(path, &st) < 0)
        return; // what opens it says so
    if (!p->default_mode)
        mode = st.st_mode;
    umask(022 | (~mode & 077));
    if (!p->keeps_root && st.st_uid != 0 && geteuid() == 0 && sys_act_as(st.st_uid, st.st_gid, &err) < 0)
        die("%s", err.text);
}

static void give_back(void)
{
    if (!sys_is_rootless() && geteuid() != 0)
        sys_act_as_root();
}

static void show_progress(struct build *b)
{
    b->keys++;
    if (b->shows_progress && b->keys % PROGRESS_KEYS == 0)
        fprintf(stderr, "\r%s: %s: %zu keys", b->postmap->program, b->path, b->keys);
}

static void end_progress(const struct build *b)
{
    if (b->shows_progress && b->keys >= PROGRESS_KEYS)
        fprintf(stderr, "\n");
}

static int add_text(struct build *b, struct table_text *text, struct err *err)
{
    const struct postmap *p = b->postmap;
    struct str key, value;
    unsigned line;
    int more, stored;

    while ((more = table_text_next(text, &key, &value, &line, err)) > 0) {
        buf_clear(&b->encoded);
        stored = p->file_values ? postmap_encode_files(value, &b->encoded, err) : 0;
        if (stored == 0)
            stored = table_writer_put(b->writer, key, p->file_values ? buf_str(&b->encoded) : value, p->replaces, err);
        if (stored < 0) {
            err_prefix(err, "%s, line %u", b->path, line);
            return -1;
        }
        if (stored == 0 && !p->silent_duplicates)
            log_warn("%s, line %u: duplicate entry: \"" STR_FMT "\"", b->path, line, STR_ARG(key));
        show_progress(b);
    }
    return more;
}

// What Sendmail and NIS expect to find in an alias database.
static int add_alias_marks(struct build *b, struct err *err)
{
    struct buf now = BUF_INIT;
    int rc;

    buf_addf(&now, "%lld", (long long)clock_wall());
    rc = table_writer_put(b->writer, STR("YP_LAST_MODIFIED"), buf_str(&now), true, err);
    buf_release(&now);
    if (rc >= 0)
        rc = table_writer_put(b->writer, STR("YP_MASTER_NAME"), b->postmap->settings->myhostname, true, err);
    if (rc >= 0)
        rc = table_writer_put(b->writer, STR("@"), STR("@"), true, err);
    return rc < 0 ? -1 : 0;
}

static int finish(struct build *b, int rc, struct err *err)
{
    if (rc == 0 && b->postmap->is_alias)
        rc = add_alias_marks(b, err);
    end_progress(b);
    if (rc < 0) {
        table_writer_abort(b->writer);
        return -1;
    }
    return table_writer_commit(b->writer, err);
}

static struct table_text *open_source(const struct build *b, struct err *err)
{
    return table_text_open(b->postmap->incremental ? "/dev/stdin" : b->path, b->postmap->flags, err);
}

static int build_named(struct build *b, struct str name, struct err *err)
{
    struct table_text *text = open_source(b, err);
    int rc;

    if (text == NULL)
        return -1;
    b->writer = table_writer_open(name, b->postmap->incremental, b->postmap->flags, err);
    if (b->writer == NULL) {
        table_text_close(text);
        return -1;
    }
    rc = add_text(b, text, err);
    table_text_close(text);
    return finish(b, rc, err);
}

static const char *path_of(const struct buf *name)
{
    const char *text = buf_cstr(name);
    const char *colon = strchr(text, ':');
    return colon ? colon + 1 : text;
}

int postmap_build(const struct postmap *p, const char *table)
{
    struct buf name = postmap_table_name(p, table);
    struct build b = {.postmap = p, .path = path_of(&name), .shows_progress = isatty(2)};
    struct err err = ERR_INIT;

    take_rights(p, b.path);
    if (build_named(&b, buf_str(&name), &err) < 0)
        die("%s", err.text);
    give_back();
    buf_release(&b.encoded);
    buf_release(&name);
    return 0;
}

static size_t delete_keys(const struct postmap *p, struct table_writer *w)
{
    struct buf line = BUF_INIT, folded = BUF_INIT;
    struct err err = ERR_INIT;
    bool from_input = strcmp(p->delete, "-") == 0;
    size_t deleted = 0;

    if (!from_input)
        buf_add_cstr(&line, p->delete);
    while (!from_input || postmap_next_line(&line)) {
        int rc;
        buf_clear(&folded);
        if (p->flags & TABLE_KEEP_CASE)
            buf_add_str(&folded, buf_str(&line));
        else
            buf_add_lower(&folded, buf_str(&line));
        rc = table_writer_delete(w, buf_str(&folded), &err);
        if (rc < 0)
            die("%s", err.text);
        deleted += (size_t)rc;
        if (!from_input)
            break;
    }
    buf_release(&line);
    buf_release(&folded);
    return deleted;
}

static size_t delete_from(const struct postmap *p, const char *table)
{
    struct buf name = postmap_table_name(p, table);
    struct err err = ERR_INIT;
    struct table_writer *w;
    size_t deleted;

    take_rights(p, path_of(&name));
    w = table_writer_open(buf_str(&name), true, p->flags, &err);
    if (w == NULL)
        die("%s", err.text);
    deleted = delete_keys(p, w);
    if (deleted == 0)
        table_writer_abort(w);
    else if (table_writer_commit(w, &err) < 0)
        die("%s", err.text);
    give_back();
    buf_release(&name);
    return deleted;
}

// Keys from standard input are for one table; a single key is deleted from each.
int postmap_delete(const struct postmap *p)
{
    size_t deleted = 0;

    if (strcmp(p->delete, "-") == 0 && p->tables[1] != NULL)
        die("-d - works on one table");
    for (char **table = p->tables; *table != NULL; table++)
        deleted += delete_from(p, *table);
    return deleted > 0 ? 0 : 1;
}
