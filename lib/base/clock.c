// SPDX-License-Identifier: ISC
// clock.c: monotonic and wall time, replaceable by tests, and their texts.
#include "lib/base/clock.h"

#include <stdlib.h>

struct fake_clock {
    bool active;
    int64_t mono_ms;
    int64_t wall_us;
};
static struct fake_clock fake; // tests only; set before any thread runs

static int64_t microseconds(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_ms(void)
{
    return fake.active ? fake.mono_ms : microseconds(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_wall_us(void)
{
    return fake.active ? fake.wall_us : microseconds(CLOCK_REALTIME);
}

int64_t clock_wall(void)
{
    return clock_wall_us() / 1000000;
}

void clock_fake_set(int64_t mono_ms, int64_t wall_us)
{
    fake = (struct fake_clock){true, mono_ms, wall_us};
}

void clock_fake_end(void)
{
    fake.active = false;
}

// English names, whatever the locale says.
static const char day_names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static struct tm local_time(int64_t wall)
{
    time_t t = (time_t)wall;
    struct tm tm = {0};
    if (localtime_r(&t, &tm) == NULL) {
        t = 0;
        gmtime_r(&t, &tm);
    }
    return tm;
}

void clock_add_rfc5322(struct buf *b, int64_t wall)
{
    struct tm tm = local_time(wall);
    long offset = tm.tm_gmtoff / 60;
    long minutes = offset < 0 ? -offset : offset;
    buf_addf(b, "%s, %d %s %d %02d:%02d:%02d %c%02ld%02ld", day_names[tm.tm_wday], tm.tm_mday, month_names[tm.tm_mon],
             tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec, offset < 0 ? '-' : '+', minutes / 60, minutes % 60);
    if (tm.tm_zone && tm.tm_zone[0])
        buf_addf(b, " (%s)", tm.tm_zone);
}

void clock_add_asctime(struct buf *b, int64_t wall)
{
    struct tm tm = local_time(wall);
    buf_addf(b, "%s %s %2d %02d:%02d:%02d %d", day_names[tm.tm_wday], month_names[tm.tm_mon], tm.tm_mday, tm.tm_hour,
             tm.tm_min, tm.tm_sec, tm.tm_year + 1900);
}

void clock_add_syslog(struct buf *b, int64_t wall)
{
    struct tm tm = local_time(wall);
    buf_addf(b, "%s %2d %02d:%02d:%02d", month_names[tm.tm_mon], tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}
