// SPDX-License-Identifier: ISC
// clock.h: the two clocks and the texts made of them.
//
// Monotonic time is in milliseconds and serves deadlines; wall time is in seconds or microseconds since 1970 and
// serves files, headers and logs. Tests replace both with clock_fake_set.
#ifndef DROMOS_BASE_CLOCK_H
#define DROMOS_BASE_CLOCK_H

#include <time.h>

#include "lib/base/str.h"

#define CLOCK_NEVER INT64_MAX // a deadline that never comes

int64_t clock_ms(void);                                // monotonic, milliseconds
int64_t clock_wall(void);                              // seconds since 1970
int64_t clock_wall_us(void);                           // microseconds since 1970
void clock_fake_set(int64_t mono_ms, int64_t wall_us); // from now on both clocks stand still at these values (tests)
void clock_fake_end(void);

static inline int64_t clock_deadline(int64_t seconds) // deadline `seconds` from now; 0 or less means never
{
    return seconds <= 0 ? CLOCK_NEVER : clock_ms() + seconds * 1000;
}

void clock_add_rfc5322(struct buf *b, int64_t wall); // "Sun, 22 Nov 2026 13:27:51 +0000 (UTC)" in local time
void clock_add_asctime(struct buf *b, int64_t wall); // "Sun Nov 22 13:27:51 2026" in local time
void clock_add_syslog(struct buf *b, int64_t wall);  // "Nov 22 13:27:51" in local time

#endif
