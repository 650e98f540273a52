// SPDX-License-Identifier: ISC
// err.h: errors as values, and the two ways to end a process: die() and bug().
//
// A library function returns 0 or -1 (or 1/0/-1: found, absent, failed) and describes the failure in a struct err.
// It neither logs nor exits; the edge (a session, a delivery) turns the struct err into a reply, a deferral or a
// bounce and logs it once. An unknown kind is temporary: it never becomes a bounce.
#ifndef DROMOS_BASE_ERR_H
#define DROMOS_BASE_ERR_H

#include "lib/base/str.h"

enum err_kind {
    ERR_NONE = 0,
    ERR_TEMPORARY, // may work later
    ERR_PERMANENT, // will never work
    ERR_PROTOCOL,  // the peer broke the rules, or closed the connection
    ERR_TIMEOUT,
    ERR_CANCELLED, // our own side gave up the wait
    ERR_BUG,
};

#define ERR_TEXT_MAX 512

struct err {
    enum err_kind kind;
    int errnum;              // errno, or 0
    char status[12];         // enhanced status code (RFC 3463) as "4.3.0", or ""
    char text[ERR_TEXT_MAX]; // what failed, on what; no capital, no full stop
};
#define ERR_INIT ((struct err){ERR_NONE, 0, "", ""})

#define MUST_CHECK __attribute__((warn_unused_result))

// Each fills *e (NULL is allowed) and returns -1, so that `return err_set(e, ...)` reads well.
int err_set(struct err *e, enum err_kind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
// Appends ": strerror(errno)" and records errno; the kind is TEMPORARY unless the errno is ETIMEDOUT or ECANCELED.
int err_errno(struct err *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
int err_status(struct err *e, enum err_kind kind, const char *status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void err_prefix(struct err *e, const char *format, ...) __attribute__((format(printf, 2, 3))); // "PREFIX: old text"

static inline bool err_is_permanent(const struct err *e)
{
    return e->kind == ERR_PERMANENT;
}

// Ends the process with status 1 after one `fatal:` line. Only at start-up and when out of memory.
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
// Aborts after one `panic:` line: an error in our own program.
void bug(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
// Commands may choose another status than 1 for die() (postqueue 69, sendmail 75).
void die_set_status(int status);

#endif
