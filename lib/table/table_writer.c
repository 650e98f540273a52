// SPDX-License-Identifier: ISC
// table_writer.c: builds FILE.lmdb or FILE.cdb beside the old one and renames it into place: readers see the old table
// or the new one.
//
// Limits: a transaction holds BATCH_PUTS entries or BATCH_BYTES, so memory does not grow with the table; the address
// space set aside for the file doubles as it fills.
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/sys/sys.h"
#include "lib/table/table_writer_impl.h"

#define KEY_MAX     510 // LMDB's 511 less the trailing NUL
#define BATCH_PUTS  8192
#define BATCH_BYTES (8 * 1024 * 1024)
#define HEADROOM    ((size_t)256 * 1024 * 1024) // more than one batch can use
#define MAP_START   (2 * HEADROOM)
#define FILE_MODE   0644

struct table_writer {
    char *path;             // FILE.lmdb
    char *temporary;        // FILE.lmdb.tmp
    struct cdb_writer *cdb; // instead of env and txn
    int lock_fd;            // of the temporary file
    unsigned flags;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    size_t map_size;
    size_t puts, bytes; // in this transaction
    bool is_loose;      // several transactions left free pages behind
};

static int fail(struct err *err, const struct table_writer *w, int rc)
{
    err_set(err, ERR_TEMPORARY, "database %s: %s", w->path, mdb_strerror(rc));
    if (err != NULL && rc > 0)
        err->errnum = rc;
    return -1;
}

static void writer_free(struct table_writer *w)
{
    if (w->txn != NULL)
        mdb_txn_abort(w->txn);
    if (w->env != NULL)
        mdb_env_close(w->env);
    if (w->cdb != NULL)
        (void)cdb_writer_finish(w->cdb);
    if (w->lock_fd >= 0)
        close(w->lock_fd);
    mem_free(w->path);
    mem_free(w->temporary);
    mem_free(w);
}

void table_writer_abort(struct table_writer *w)
{
    unlink(w->temporary);
    writer_free(w);
}

// The temporary file, locked and empty. A writer that waits for another's lock may then hold a file that was renamed
// away.
static int open_temporary(struct table_writer *w, struct err *err)
{
    for (unsigned i = 0; i < 100; i++) {
        struct stat by_fd, by_name;
        w->lock_fd = open(w->temporary, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
        if (w->lock_fd < 0)
            return err_errno(err, "create %s", w->temporary);
        if (sys_flock(w->lock_fd, SYS_LOCK_EXCLUSIVE, true) < 0 || fstat(w->lock_fd, &by_fd) < 0)
            return err_errno(err, "lock %s", w->temporary);
        if (lstat(w->temporary, &by_name) == 0 && by_name.st_ino == by_fd.st_ino && by_name.st_dev == by_fd.st_dev) {
            if (!S_ISREG(by_fd.st_mode) || by_fd.st_nlink != 1)
                return err_set(err, ERR_TEMPORARY, "%s is not a regular file", w->temporary);
            return ftruncate(w->lock_fd, 0) == 0 ? 0 : err_errno(err, "truncate %s", w->temporary);
        }
        close(w->lock_fd);
        w->lock_fd = -1;
    }
    return err_set(err, ERR_TEMPORARY, "%s: other programs keep replacing it", w->temporary);
}

static int copy_file(int from, int to)
{
    char block[2000];
    ssize_t n;

    while ((n = read(from, block, sizeof(block))) > 0)
        if (sys_write_all(to, block, (size_t)n) < 0)
            return -1;
    return (int)n;
}

static int copy_old(struct table_writer *w, struct err *err)
{
    int rc, from = open(w->path, O_RDONLY | O_CLOEXEC);

    if (from < 0)
        return err_errno(err, "open database %s", w->path);
    rc = copy_file(from, w->lock_fd);
    if (rc < 0)
        err_errno(err, "copy %s to %s", w->path, w->temporary);
    close(from);
    return rc;
}

static int open_env(struct table_writer *w)
{
    struct stat st;
    int rc = mdb_env_create(&w->env);

    w->map_size = MAP_START;
    if (fstat(w->lock_fd, &st) == 0)
        w->map_size += (size_t)st.st_size;
    if (rc == 0)
        rc = mdb_env_set_mapsize(w->env, w->map_size);
    if (rc == 0)
        rc = mdb_env_open(w->env, w->temporary, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, FILE_MODE);
    if (rc == 0)
        rc = mdb_txn_begin(w->env, NULL, 0, &w->txn);
    if (rc == 0)
        rc = mdb_dbi_open(w->txn, NULL, 0, &w->dbi);
    return rc;
}

// The suffix of the type's file; NULL: nothing of this type can be built.
static const char *suffix_of(struct str type)
{
#ifdef TABLE_HAS_CDB
    if (str_is(type, STR("cdb")))
        return ".cdb";
#endif
    return str_is(type, STR("lmdb")) || str_is(type, STR("hash")) || str_is(type, STR("btree")) ? ".lmdb" : NULL;
}

static int open_cdb(struct table_writer *w, bool keeps_old, struct err *err)
{
    if (keeps_old)
        return err_set(err, ERR_PERMANENT, "database %s: a cdb table can be built anew only, not changed", w->path);
    w->cdb = cdb_writer_start(w->lock_fd);
    return w->cdb == NULL ? err_errno(err, "database %s", w->path) : 0;
}

struct table_writer *table_writer_open(struct str type_name, bool keeps_old, unsigned flags, struct err *err)
{
    struct table_writer *w;
    struct str path = type_name, type;
    struct buf name = BUF_INIT;
    const char *suffix;
    int rc;

    if (!str_cut(&path, ':', &type) || (suffix = suffix_of(type)) == NULL) {
        err_set(err, ERR_PERMANENT, "unsupported dictionary type: " STR_FMT " does not support bulk-mode creation.",
                STR_ARG(type));
        return NULL;
    }
    w = MEM_NEW(struct table_writer);
    w->lock_fd = -1;
    w->flags = flags;
    buf_addf(&name, STR_FMT "%s", STR_ARG(path), suffix);
    w->path = mem_strdup(buf_cstr(&name));
    buf_add_cstr(&name, ".tmp");
    w->temporary = mem_strdup(buf_cstr(&name));
    buf_release(&name);
    if (open_temporary(w, err) < 0) {
        writer_free(w);
        return NULL;
    }
    if (str_is(type, STR("cdb"))) {
        if (open_cdb(w, keeps_old, err) == 0)
            return w;
        goto failed;
    }
    if (keeps_old && copy_old(w, err) < 0)
        goto failed;
    rc = open_env(w);
    if (rc == 0)
        return w;
    fail(err, w, rc);
failed:
    table_writer_abort(w);
    return NULL;
}

static int commit_batch(struct table_writer *w)
{
    MDB_envinfo info;
    int rc = mdb_txn_commit(w->txn);

    w->txn = NULL;
    w->puts = w->bytes = 0;
    w->is_loose = true;
    if (rc == 0)
        rc = mdb_env_info(w->env, &info);
    if (rc == 0 && (info.me_last_pgno + 1) * (size_t)sysconf(_SC_PAGESIZE) + HEADROOM > w->map_size) {
        w->map_size *= 2;
        rc = mdb_env_set_mapsize(w->env, w->map_size);
    }
    if (rc == 0)
        rc = mdb_txn_begin(w->env, NULL, 0, &w->txn);
    return rc;
}

static MDB_val stored(const struct table_writer *w, struct str s, struct buf *copy)
{
    buf_clear(copy);
    buf_add_str(copy, s);
    if ((w->flags & TABLE_NO_NUL) == 0)
        buf_add_char(copy, '\0');
    buf_reserve(copy, 1);
    return (MDB_val){copy->len, copy->ptr};
}

int table_writer_put(struct table_writer *w, struct str key, struct str value, bool replaces, struct err *err)
{
    struct buf key_copy = BUF_INIT, value_copy = BUF_INIT;
    MDB_val k = stored(w, key, &key_copy), v = stored(w, value, &value_copy);
    int rc;

    if (key.len == 0 || key.len > KEY_MAX || value.len > TABLE_VALUE_MAX) {
        buf_release(&key_copy);
        buf_release(&value_copy);
        return err_set(err, ERR_PERMANENT, "database %s: key \"%.60s\" or its value is too long", w->path,
                       key.len > 0 ? key.ptr : "");
    }
    if (w->cdb != NULL) {
        rc = cdb_writer_put(w->cdb, str_of(k.mv_data, k.mv_size), str_of(v.mv_data, v.mv_size), replaces);
        buf_release(&key_copy);
        buf_release(&value_copy);
        return rc < 0 ? err_errno(err, "database %s", w->path) : rc;
    }
    rc = mdb_put(w->txn, w->dbi, &k, &v, replaces ? 0 : MDB_NOOVERWRITE);
    w->puts++;
    w->bytes += key.len + value.len;
    buf_release(&key_copy);
    buf_release(&value_copy);
    if (rc == MDB_KEYEXIST)
        return 0;
    if (rc == 0 && (w->puts >= BATCH_PUTS || w->bytes >= BATCH_BYTES))
        rc = commit_batch(w);
    return rc == 0 ? 1 : fail(err, w, rc);
}

int table_writer_delete(struct table_writer *w, struct str key, struct err *err)
{
    struct buf copy = BUF_INIT;
    int rc = MDB_NOTFOUND;

    if (key.len == 0 || key.len > KEY_MAX || w->txn == NULL)
        return 0;
    for (unsigned nul = 0; nul < 2 && rc == MDB_NOTFOUND; nul++) {
        MDB_val k;
        buf_clear(&copy);
        buf_add_str(&copy, key);
        if (nul == 0)
            buf_add_char(&copy, '\0');
        k = (MDB_val){copy.len, copy.ptr};
        rc = mdb_del(w->txn, w->dbi, &k, NULL);
    }
    buf_release(&copy);
    if (rc == MDB_NOTFOUND)
        return 0;
    return rc == 0 ? 1 : fail(err, w, rc);
}

static int sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash == NULL ? mem_strdup(".") : mem_dup_str(str_of(path, slash == path ? 1 : (size_t)(slash - path)));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

    mem_free(dir);
    if (fd < 0)
        return -1;
    rc = fsync(fd);
    close(fd);
    return rc;
}

// Puts FILE.lmdb.tmp in place.
static int publish(const struct table_writer *w)
{
    if (fsync(w->lock_fd) < 0 || rename(w->temporary, w->path) < 0)
        return errno;
    return 0;
}

// Puts a copy without free pages in place; the lock on the temporary file keeps other writers away meanwhile.
static int publish_compact(const struct table_writer *w)
{
    char *copy = mem_alloc(strlen(w->temporary) + 2);
    struct stat st;
    int rc, fd;

    strcat(strcpy(copy, w->temporary), "2");
    fd = open(copy, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    rc = fd < 0 || fstat(w->lock_fd, &st) < 0 || fchmod(fd, st.st_mode & 0777) < 0 ? errno : 0;
    if (rc == 0)
        rc = mdb_env_copyfd2(w->env, fd, MDB_CP_COMPACT);
    if (rc == 0 && (fsync(fd) < 0 || rename(copy, w->path) < 0 || unlink(w->temporary) < 0))
        rc = errno;
    if (fd >= 0)
        close(fd);
    if (rc != 0)
        unlink(copy);
    mem_free(copy);
    return rc;
}

static int finish_cdb(struct table_writer *w)
{
    int rc = cdb_writer_finish(w->cdb) < 0 ? errno : 0;
    w->cdb = NULL;
    return rc;
}

static int finish_lmdb(struct table_writer *w)
{
    int rc = mdb_txn_commit(w->txn);

    w->txn = NULL;
    if (rc == 0)
        rc = w->is_loose ? publish_compact(w) : mdb_env_sync(w->env, 1);
    mdb_env_close(w->env);
    w->env = NULL;
    return rc;
}

int table_writer_commit(struct table_writer *w, struct err *err)
{
    int rc = w->cdb != NULL ? finish_cdb(w) : finish_lmdb(w);

    if (rc == 0 && !w->is_loose)
        rc = publish(w);
    if (rc == 0 && sync_directory(w->path) < 0)
        rc = errno;
    if (rc != 0) {
        fail(err, w, rc);
        table_writer_abort(w);
        return -1;
    }
    writer_free(w);
    return 0;
}

static int copy_text(struct table_writer *w, struct table_text *text, struct err *err)
{
    struct str key, value;
    unsigned line;
    int more;

    while ((more = table_text_next(text, &key, &value, &line, err)) > 0)
        if (table_writer_put(w, key, value, false, err) < 0)
            return -1;
    return more;
}

int table_rebuild_index(const char *path, unsigned flags, struct err *err)
{
    struct table_text *text = table_text_open(path, flags, err);
    struct table_writer *w;
    struct buf name = BUF_INIT;
    struct stat st;
    int rc;

    if (text == NULL)
        return -1;
    buf_addf(&name, "lmdb:%s", path);
    w = table_writer_open(buf_str(&name), false, flags, err);
    buf_release(&name);
    if (w == NULL) {
        table_text_close(text);
        return -1;
    }
    // Daemons run with a narrow umask; the index is to be read by whom the text may be read.
    rc = stat(path, &st) < 0 || fchmod(w->lock_fd, (st.st_mode & 0644) | 0600) < 0
             ? err_errno(err, "mode of %s", w->temporary)
             : 0;
    if (rc == 0)
        rc = copy_text(w, text, err);
    table_text_close(text);
    if (rc == 0)
        return table_writer_commit(w, err);
    table_writer_abort(w);
    return -1;
}
