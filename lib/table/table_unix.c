// SPDX-License-Identifier: ISC
// table_unix.c: unix:passwd.byname and unix:group.byname, usable from inside a jail.
//
// All accounts that can be listed are read when the table is opened, and again when /etc/passwd or /etc/group changes.
// A name that is not among them is absent when the name service uses local files only; else it is asked for on the
// pool, and inside a jail that hides the name service the answer is a temporary failure, never "absent".
// Suspends: in that last case.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "lib/sys/sys.h"
#include "lib/table/table_impl.h"

#define ACCOUNTS_MAX  200000
#define NSSWITCH      "/etc/nsswitch.conf"
#define NSSWITCH_MAX  65536
#define QUERY_SECONDS 30
#define QUERY_BUFFER  (64 * 1024)

struct unix_table {
    struct table_memory *accounts;
    bool is_group;
    bool asks_others; // LDAP, SSSD, NIS …
};

static void add_passwd_line(struct buf *b, const struct passwd *pw)
{
    buf_addf(b, "%s:%s:%u:%u:%s:%s:%s", pw->pw_name, pw->pw_passwd, (unsigned)pw->pw_uid, (unsigned)pw->pw_gid,
             pw->pw_gecos ? pw->pw_gecos : "", pw->pw_dir, pw->pw_shell);
}

static void add_group_line(struct buf *b, const struct group *gr)
{
    buf_addf(b, "%s:%s:%u:", gr->gr_name, gr->gr_passwd, (unsigned)gr->gr_gid);
    for (char **member = gr->gr_mem; *member != NULL; member++)
        buf_addf(b, "%s%s", member == gr->gr_mem ? "" : ",", *member);
}

static void read_accounts(struct unix_table *u)
{
    struct buf line = BUF_INIT;
    struct passwd *pw;
    struct group *gr;

    if (u->is_group) {
        setgrent();
        while (u->accounts->count < ACCOUNTS_MAX && (gr = getgrent()) != NULL) {
            buf_clear(&line);
            add_group_line(&line, gr);
            table_memory_add(u->accounts, str_from(gr->gr_name), buf_str(&line));
        }
        endgrent();
    } else {
        setpwent();
        while (u->accounts->count < ACCOUNTS_MAX && (pw = getpwent()) != NULL) {
            buf_clear(&line);
            add_passwd_line(&line, pw);
            table_memory_add(u->accounts, str_from(pw->pw_name), buf_str(&line));
        }
        endpwent();
    }
    buf_release(&line);
}

static bool source_is_local(struct str source)
{
    static const char *const local[] = {"files", "compat", "systemd", "db", "mymachines", "altfiles"};

    if (source.len > 0 && source.ptr[0] == '[')
        return true; // an action such as [NOTFOUND=return]
    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
        if (str_is(source, str_from(local[i])))
            return true;
    return false;
}

// Does nsswitch.conf name anything but local files for this database?
static bool name_service_is_remote(struct str database)
{
    struct buf content = BUF_INIT;
    struct str rest, line;
    bool is_remote = false;

    if (sys_read_file(NSSWITCH, NSSWITCH_MAX, &content, NULL) < 0)
        return false;
    rest = buf_str(&content);
    while (str_token(&rest, "\n", &line)) {
        struct str sources = str_trim(line), name, source;
        if (!str_cut(&sources, ':', &name) || !str_is(str_trim(name), database))
            continue;
        str_cut(&sources, '#', &name);
        while (str_token(&name, " \t", &source))
            is_remote |= !source_is_local(source);
    }
    buf_release(&content);
    return is_remote;
}

static void *unix_open(struct table *t, struct err *err)
{
    struct unix_table *u;
    struct str name = str_from(t->body);

    if (!str_is(name, STR("passwd.byname")) && !str_is(name, STR("group.byname"))) {
        err_set(err, ERR_TEMPORARY, "unknown table: %s", t->name);
        return NULL;
    }
    u = MEM_NEW(struct unix_table);
    u->is_group = str_starts(name, STR("group"));
    if (access(table_add_watch(t, u->is_group ? "/etc/group" : "/etc/passwd")->path, R_OK) < 0) {
        err_errno(err, "%s", t->watches[0].path);
        mem_free(u);
        return NULL;
    }
    u->asks_others = name_service_is_remote(u->is_group ? STR("group") : STR("passwd"));
    u->accounts = table_memory_new();
    read_accounts(u);
    return u;
}

static void unix_close(void *data)
{
    struct unix_table *u = data;
    table_memory_free(u->accounts);
    mem_free(u);
}

// ---- One name asked of the name service, on the pool.
struct unix_query {
    bool is_group;
    char *name;
    struct buf line;
    int found; // 1, 0, or -1 with
    int errnum;
};

static bool errno_means_absent(int rc)
{
    return rc == 0 || rc == ENOENT || rc == ESRCH;
}

static void run_query(void *data)
{
    struct unix_query *q = data;
    char *memory = mem_alloc(QUERY_BUFFER);
    struct passwd pw, *pw_found = NULL;
    struct group gr, *gr_found = NULL;
    int rc;

    if (access(NSSWITCH, R_OK) < 0) { // the jail hides it
        q->found = -1;
        q->errnum = errno;
        mem_free(memory);
        return;
    }
    if (q->is_group)
        rc = getgrnam_r(q->name, &gr, memory, QUERY_BUFFER, &gr_found);
    else
        rc = getpwnam_r(q->name, &pw, memory, QUERY_BUFFER, &pw_found);
    if (gr_found != NULL)
        add_group_line(&q->line, &gr);
    if (pw_found != NULL)
        add_passwd_line(&q->line, &pw);
    q->errnum = rc;
    q->found = gr_found != NULL || pw_found != NULL ? 1 : errno_means_absent(rc) ? 0 : -1;
    mem_free(memory);
}

static void release_query(void *data)
{
    struct unix_query *q = data;
    mem_free(q->name);
    buf_release(&q->line);
    mem_free(q);
}

static int ask_name_service(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    struct unix_table *u = t->data;
    struct unix_query *q = MEM_NEW(struct unix_query);
    int found;

    co_assert_running();
    q->is_group = u->is_group;
    q->name = mem_dup_str(key);
    if (co_job(run_query, q, release_query, clock_deadline(QUERY_SECONDS)) < 0)
        return err_errno(err, "table %s", t->name);
    found = q->found;
    if (found > 0)
        buf_add_str(value_r, buf_str(&q->line));
    if (found < 0)
        err_set(err, ERR_TEMPORARY, "table %s: %s", t->name, strerror(q->errnum));
    release_query(q);
    return found;
}

static int unix_lookup(struct table *t, struct str key, struct buf *value_r, struct err *err)
{
    struct unix_table *u = t->data;
    const struct table_memory_value *v = table_memory_get(u->accounts, key);

    if (v != NULL) {
        buf_add_str(value_r, v->value);
        return 1;
    }
    if (!u->asks_others || key.len == 0 || str_find(key, '@') >= 0)
        return 0;
    return ask_name_service(t, key, value_r, err);
}

// is_file: /etc/passwd is the file whose change is noticed.
const struct table_type table_type_unix = {"unix", true, true, unix_open, unix_lookup, NULL, unix_close, 0};
