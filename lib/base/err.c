// SPDX-License-Identifier: ISC
// err.c: errors as values, die() and bug().
#include "lib/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"

static int die_status = 1;

static void fill(struct err *e, enum err_kind kind, int errnum, const char *status)
{
    e->kind = kind;
    e->errnum = errnum;
    snprintf(e->status, sizeof e->status, "%s", status);
}

int err_set(struct err *e, enum err_kind kind, const char *format, ...)
{
    if (e == NULL)
        return -1;
    va_list ap;
    va_start(ap, format);
    vsnprintf(e->text, sizeof e->text, format, ap);
    va_end(ap);
    fill(e, kind, 0, "");
    return -1;
}

int err_errno(struct err *e, const char *format, ...)
{
    int errnum = errno;
    if (e == NULL)
        return -1;
    va_list ap;
    va_start(ap, format);
    vsnprintf(e->text, sizeof e->text, format, ap);
    va_end(ap);
    size_t len = strlen(e->text);
    char reason[128];
    snprintf(e->text + len, sizeof e->text - len, ": %s", strerror_r(errnum, reason, sizeof reason));
    enum err_kind kind = errnum == ETIMEDOUT ? ERR_TIMEOUT : errnum == ECANCELED ? ERR_CANCELLED : ERR_TEMPORARY;
    fill(e, kind, errnum, "");
    errno = errnum;
    return -1;
}

int err_status(struct err *e, enum err_kind kind, const char *status, const char *format, ...)
{
    if (e == NULL)
        return -1;
    va_list ap;
    va_start(ap, format);
    vsnprintf(e->text, sizeof e->text, format, ap);
    va_end(ap);
    fill(e, kind, 0, status);
    return -1;
}

void err_prefix(struct err *e, const char *format, ...)
{
    if (e == NULL)
        return;
    char old[ERR_TEXT_MAX];
    memcpy(old, e->text, sizeof old);
    va_list ap;
    va_start(ap, format);
    vsnprintf(e->text, sizeof e->text, format, ap);
    va_end(ap);
    size_t len = strlen(e->text);
    snprintf(e->text + len, sizeof e->text - len, ": %s", old);
}

void die_set_status(int status)
{
    die_status = status;
}

void die(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    log_vline(LOG_LEVEL_FATAL, format, ap);
    va_end(ap);
    exit(die_status);
}

void bug(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    log_vline(LOG_LEVEL_PANIC, format, ap);
    va_end(ap);
    abort();
}
