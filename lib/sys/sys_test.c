// SPDX-License-Identifier: ISC
// sys_test.c: safe files, locks, spawning, and jails looked at from inside.
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/sys/sys.h"
#include "lib/sys/sys_internal.h"

static char dir[64];

static void enter_dir(void)
{
    snprintf(dir, sizeof dir, "/tmp/sys_test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(chdir(dir), 0);
}

static void leave_dir(void)
{
    static const char *const files[] = {"file", "link", "hard", "fifo", "lock", "sub/inside", "moved", "out"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlink(files[i]);
    rmdir("sub");
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(rmdir(dir), 0);
}

static int open_file(const char *path, int flags, struct err *err)
{
    struct stat st;
    struct sys_open how = {path, flags, 0600, (uid_t)-1, (gid_t)-1};
    int fd = sys_safe_open(&how, &st, err);
    if (fd >= 0)
        close(fd);
    return fd;
}

START_TEST(safe_open_takes_plain_files_only)
{
    struct err err = ERR_INIT;
    ck_assert_int_lt(open_file("file", O_RDWR, &err), 0);
    ck_assert_int_eq(err.errnum, ENOENT);
    ck_assert_int_ge(open_file("file", O_RDWR | O_CREAT, &err), 0);
    ck_assert_int_lt(open_file("file", O_RDWR | O_CREAT | O_EXCL, &err), 0);
    ck_assert_int_eq(mkfifo("fifo", 0600), 0);
    ck_assert_int_lt(open_file("fifo", O_RDONLY, &err), 0); // and does not hang
    ck_assert_int_lt(open_file(".", O_RDONLY, &err), 0);
    ck_assert_int_eq(link("file", "hard"), 0);
    ck_assert_int_lt(open_file("file", O_RDWR, &err), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "more than one link"));
}
END_TEST

START_TEST(safe_open_follows_only_roots_links)
{
    struct err err = ERR_INIT;
    ck_assert_int_ge(open_file("file", O_RDWR | O_CREAT, &err), 0);
    ck_assert_int_eq(symlink("file", "link"), 0);
    if (geteuid() == 0) {
        ck_assert_int_ge(open_file("link", O_RDWR, &err), 0);
        ck_assert_int_eq(lchown("link", 1, 1), 0);
    }
    ck_assert_int_lt(open_file("link", O_RDWR, &err), 0);
    ck_assert_int_lt(open_file("link", O_RDWR | O_CREAT, &err), 0);
}
END_TEST

START_TEST(file_systems_are_told_apart)
{
    int memory = open("/dev/shm", O_RDONLY | O_DIRECTORY), here = open(".", O_RDONLY | O_DIRECTORY);
    ck_assert(sys_sync_is_instant(memory) && sys_sync_covers_names(memory) && !sys_scans_freed_inodes(memory));
    if (sys_scans_freed_inodes(here)) { // ext4
        ck_assert(sys_sync_covers_names(here));
        ck_assert_int_eq(sys_spread_subdirectories(here), 0);
        ck_assert_int_eq(sys_spread_subdirectories(here), 0);
    }
    ck_assert(!sys_sync_is_instant(-1) && !sys_sync_covers_names(-1) && !sys_scans_freed_inodes(-1));
    ck_assert_int_lt(sys_spread_subdirectories(-1), 0);
    close(memory);
    close(here);
}
END_TEST

START_TEST(files_are_read_whole_or_refused)
{
    struct err err = ERR_INIT;
    struct buf text = BUF_INIT;
    int fd = open("file", O_WRONLY | O_CREAT, 0600);
    ck_assert_int_eq(sys_write_all(fd, "hello", 5), 0);
    close(fd);
    ck_assert_int_eq(sys_read_file("file", 5, &text, &err), 0);
    ck_assert_str_eq(buf_cstr(&text), "hello");
    ck_assert_int_eq(sys_read_file("file", 4, &text, &err), -1);
    buf_release(&text);
    ck_assert_int_eq(sys_make_dir("sub", 0750, (uid_t)-1, (gid_t)-1, &err), 0);
    struct stat st;
    ck_assert_int_eq(stat("sub", &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0750);
    ck_assert_int_eq(sys_make_dir("sub", 0700, (uid_t)-1, (gid_t)-1, &err), 0);
    ck_assert_int_eq(sys_make_dir("file", 0700, (uid_t)-1, (gid_t)-1, &err), -1);
}
END_TEST

START_TEST(locks_exclude)
{
    struct err err = ERR_INIT;
    pid_t pid;
    ck_assert_int_eq(sys_pid_lock_test("lock", &pid), 0);
    int fd = sys_pid_lock("lock", &err);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(sys_pid_lock_test("lock", &pid), 1);
    ck_assert_int_eq(pid, getpid());
    ck_assert_int_eq(sys_pid_lock("lock", &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "unable to set exclusive lock"));
    char text[40];
    ck_assert_int_eq(pread(fd, text, sizeof text, 0), 33);
    ck_assert_int_eq(text[32], '\n');
    close(fd);
    ck_assert_int_eq(sys_pid_lock_test("lock", &pid), 0);
    int one = open("lock", O_RDWR), two = open("lock", O_RDWR);
    ck_assert_int_eq(sys_flock(one, SYS_LOCK_SHARED, false), 1);
    ck_assert_int_eq(sys_flock(two, SYS_LOCK_SHARED, false), 1);
    ck_assert_int_eq(sys_flock(two, SYS_LOCK_EXCLUSIVE, false), 0);
    ck_assert_int_eq(sys_flock(one, SYS_LOCK_NONE, false), 1);
    ck_assert_int_eq(sys_flock(two, SYS_LOCK_EXCLUSIVE, false), 1);
    close(one);
    close(two);
}
END_TEST

START_TEST(spawn_places_descriptors)
{
    struct err err = ERR_INIT;
    int ends[2], other[2];
    char text[8] = "";
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(pipe(other), 0);
    int fds[] = {other[1], ends[1]}; // must become 3 and 4, although both numbers may be in use
    const char *argv[] = {"sh", "-c", "printf %s \"$V\" >&4; test ! -e /dev/fd/5 || echo leak >&4; read x || exit 7",
                          NULL};
    const char *envp[] = {"V=ok", NULL};
    struct sys_spawn how = {"/bin/sh", argv, envp, fds, 2, 3, false, false};
    pid_t pid;
    ck_assert_int_eq(sys_spawn(&how, &pid, &err), 0);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(WEXITSTATUS(status), 7); // standard input is /dev/null
    ck_assert_int_eq(read(ends[0], text, sizeof text - 1), 2);
    ck_assert_str_eq(text, "ok");
    how.path = "/nonexistent/program";
    ck_assert_int_eq(sys_spawn(&how, &pid, &err), -1);
    ck_assert_int_eq(err.errnum, ENOENT);
}
END_TEST

START_TEST(users_are_found)
{
    struct err err = ERR_INIT;
    struct sys_user user;
    gid_t gid;
    ck_assert_int_eq(sys_user_by_name(STR("root"), &user, &err), 1);
    ck_assert_uint_eq(user.uid, 0);
    ck_assert_int_eq(sys_user_by_uid(0, &user, &err), 1);
    ck_assert_str_eq(user.name, "root");
    ck_assert_int_eq(sys_user_by_name(STR("no such user here"), &user, &err), 0);
    ck_assert_int_eq(sys_group_by_name(STR("root"), &gid, &err), 1);
    ck_assert_int_eq(sys_group_by_name(STR("no such group here"), &gid, &err), 0);
    ck_assert_uint_ge(sys_cpu_count(), 1);
}
END_TEST

START_TEST(becoming_a_user_is_final)
{
    struct err err = ERR_INIT;
    struct sys_user user = {.uid = 65534, .gid = 65534, .name = "somebody"};
    if (geteuid() != 0)
        return;
    ck_assert_int_eq(sys_act_as(1000, 1000, &err), 0);
    ck_assert_uint_eq(geteuid(), 1000);
    sys_act_as_root();
    ck_assert_uint_eq(geteuid(), 0);
    struct sys_user bad = {.uid = 0, .gid = 5, .name = "toor"};
    ck_assert_int_eq(sys_become(&bad, &err), -1);
    ck_assert_int_eq(sys_become(&user, &err), 0);
    ck_assert_int_eq(setuid(0), -1);
    ck_assert_uint_eq(getgid(), 65534);
}
END_TEST

static void expect_refused_calls(void)
{
    char *argv[] = {(char[]){"true"}, NULL};
    ck_assert_int_eq(execv("/bin/true", argv), -1);
    ck_assert_int_eq(errno, EPERM);
    if (!SYS_SANITIZED) {
        ck_assert_int_eq(ptrace(PTRACE_TRACEME, 0, NULL, NULL), -1);
        ck_assert_int_eq(errno, EPERM);
    }
    ck_assert_int_eq(socket(AF_PACKET, SOCK_RAW, 0), -1);
    ck_assert_int_eq(errno, EAFNOSUPPORT);
    ck_assert_int_eq(socket(AF_APPLETALK, SOCK_DGRAM, 0), -1);
    ck_assert_int_eq(errno, EAFNOSUPPORT);
    ck_assert_int_ge(socket(AF_UNIX, SOCK_STREAM, 0), 0);
    ck_assert_int_ge(socket(AF_INET, SOCK_STREAM, 0), 0);
}

START_TEST(jail_refuses_from_inside)
{
    struct err err = ERR_INIT;
    ck_assert_int_eq(mkdir("sub", 0700), 0);
    int fd = open("file", O_WRONLY | O_CREAT, 0600);
    close(fd);
    const char *read_dirs[] = {"/usr", "/nonexistent", NULL};
    const char *write_dirs[] = {"sub", "/dev/null", NULL};
    ck_assert_int_eq(sys_jail(JAIL_WRITE_FILES, read_dirs, write_dirs, &err), 0);
    expect_refused_calls();
    ck_assert_int_ge(open("sub/inside", O_WRONLY | O_CREAT, 0600), 0);
    ck_assert_int_ge(open("/dev/null", O_RDWR), 0);
    if (open("file", O_RDONLY) >= 0) // a kernel without Landlock: nothing more to see
        return;
    ck_assert_int_eq(errno, EACCES);
    ck_assert_int_eq(open("/etc/passwd", O_RDONLY), -1);
    ck_assert_int_eq(open("out", O_WRONLY | O_CREAT, 0600), -1);
    ck_assert_int_eq(rename("sub/inside", "moved"), -1);
    ck_assert_int_ge(open("/usr/bin", O_RDONLY | O_DIRECTORY), 0);
    struct sockaddr_in loopback = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(s, (struct sockaddr *)&loopback, sizeof loopback), -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sys");
    TCase *t = tcase_create("sys");
    tcase_add_checked_fixture(t, enter_dir, leave_dir);
    tcase_add_test(t, safe_open_takes_plain_files_only);
    tcase_add_test(t, safe_open_follows_only_roots_links);
    tcase_add_test(t, file_systems_are_told_apart);
    tcase_add_test(t, files_are_read_whole_or_refused);
    tcase_add_test(t, locks_exclude);
    tcase_add_test(t, spawn_places_descriptors);
    tcase_add_test(t, users_are_found);
    suite_add_tcase(suite, t);
    TCase *last = tcase_create("final"); // no way back
    tcase_add_test(last, becoming_a_user_is_final);
    suite_add_tcase(suite, last);
    TCase *jail = tcase_create("jail");
    tcase_add_unchecked_fixture(jail, enter_dir, leave_dir); // by the parent: the jailed child cannot tidy up
    tcase_add_test(jail, jail_refuses_from_inside);
    suite_add_tcase(suite, jail);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
