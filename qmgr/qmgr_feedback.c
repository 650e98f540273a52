// SPDX-License-Identifier: ISC
// qmgr_feedback.c: concurrency windows, and the back-off between attempts.
#include "qmgr/qmgr_feedback.h"

#include <stdlib.h>

#define ROUNDING 0.001

int qmgr_feedback_parse(struct str text, struct qmgr_feedback *feedback_r)
{
    struct str rest = text, head;
    char number[32];
    bool has_divisor = str_cut(&rest, '/', &head);
    head = str_trim(head);
    if (head.len == 0 || head.len >= sizeof number)
        return -1;
    memcpy(number, head.ptr, head.len);
    number[head.len] = '\0';
    char *end;
    double gain = strtod(number, &end);
    if (*end != '\0' || !(gain >= 0 && gain <= 1))
        return -1;
    enum qmgr_feedback_kind kind = FEEDBACK_CONSTANT;
    if (has_divisor) {
        rest = str_trim(rest);
        if (str_is_nocase(rest, STR("concurrency")))
            kind = FEEDBACK_PER_WINDOW;
        else if (str_is_nocase(rest, STR("sqrt_concurrency")))
            kind = FEEDBACK_PER_ROOT;
        else
            return -1;
    }
    *feedback_r = (struct qmgr_feedback){gain, kind};
    return 0;
}

static double root(double value)
{
    double guess = value > 1 ? value : 1;
    for (int i = 0; i < 30; i++) // Newton: halves the error's exponent each time
        guess = (guess + value / guess) / 2;
    return guess;
}

double qmgr_feedback_value(const struct qmgr_feedback *f, unsigned window)
{
    double size = window ? window : 1;
    if (f->kind == FEEDBACK_PER_WINDOW)
        return f->gain / size;
    if (f->kind == FEEDBACK_PER_ROOT)
        return f->gain / root(size);
    return f->gain;
}

void qmgr_window_reset(struct qmgr_window *w, const struct qmgr_window_rules *rules)
{
    unsigned size = rules->initial ? rules->initial : 1;
    if (rules->limit && size > rules->limit)
        size = rules->limit;
    *w = (struct qmgr_window){.size = size};
}

void qmgr_window_succeeded(struct qmgr_window *w, const struct qmgr_window_rules *rules, unsigned busy)
{
    w->failed_cohorts = 0;
    if ((rules->limit && w->size >= rules->limit) || w->size >= busy + rules->initial)
        return;
    w->success += qmgr_feedback_value(&rules->positive, w->size);
    while (w->success + ROUNDING >= 1 && (rules->limit == 0 || w->size < rules->limit)) {
        w->size++;
        w->success -= 1;
        w->failure = 0;
    }
}

bool qmgr_window_failed(struct qmgr_window *w, const struct qmgr_window_rules *rules)
{
    w->failed_cohorts += 1.0 / (w->size ? w->size : 1);
    if (rules->failed_cohort_limit && w->failed_cohorts + ROUNDING >= rules->failed_cohort_limit)
        return true;
    w->failure -= qmgr_feedback_value(&rules->negative, w->size);
    while (w->failure + ROUNDING < 0) {
        w->size -= w->size > 1;
        w->failure += 1;
        w->success = 0;
    }
    return false;
}

static int64_t within(int64_t value, int64_t minimal, int64_t maximal)
{
    if (value > maximal)
        value = maximal;
    return value < minimal ? minimal : value;
}

int64_t qmgr_backoff(int64_t age, const struct qmgr_backoff *rules, uint32_t random)
{
    int64_t pause = within(age, rules->minimal, rules->maximal);
    int64_t spread = pause * rules->jitter / 200; // to each side
    int64_t low = within(pause - spread, rules->minimal, rules->maximal);
    int64_t high = within(pause + spread, rules->minimal, rules->maximal);
    return low + (int64_t)random % (high - low + 1);
}
