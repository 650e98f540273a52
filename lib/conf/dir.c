// SPDX-License-Identifier: ISC
// dir.c: which configuration directory a program uses, and which ones a set-gid program may be pointed at.
//
// Trust: MAIL_CONFIG comes from the caller of a set-gid command; only directories that the default main.cf lists are
// taken.
#include <stdlib.h>
#include <unistd.h>

#include "lib/conf/conf_private.h"

#define DEFAULT_DIR DROMOS_SYSCONFDIR "/postfix"

static bool has_callers_rights(void)
{
    return getuid() == 0 || (getuid() == geteuid() && getgid() == getegid());
}

static bool lists_directory(const struct conf *c, const char *parameter, const char *dir)
{
    struct buf list = BUF_INIT;
    struct str rest, item;
    bool found = false;
    if (conf_get_str(c, parameter, NULL, &list, NULL) == 0) {
        rest = buf_str(&list);
        while (!found && str_token(&rest, ", \t\r\n", &item))
            found = str_is(item, str_from(dir));
    }
    buf_release(&list);
    return found;
}

bool conf_dir_is_allowed(const char *dir)
{
    if (has_callers_rights() || strcmp(dir, DEFAULT_DIR) == 0)
        return true;
    struct conf *c = conf_open(DEFAULT_DIR, NULL, NULL);
    if (c == NULL)
        return false;
    bool is_allowed = lists_directory(c, "alternate_config_directories", dir) ||
                      lists_directory(c, "multi_instance_directories", dir);
    conf_free(c);
    return is_allowed;
}

const char *conf_default_dir(void)
{
    const char *dir = getenv("MAIL_CONFIG");
    if (dir == NULL || dir[0] == '\0' || !conf_dir_is_allowed(dir))
        return DEFAULT_DIR;
    return dir;
}
