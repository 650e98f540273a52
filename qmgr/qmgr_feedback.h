// SPDX-License-Identifier: ISC
// qmgr_feedback.h: concurrency windows, and the back-off between attempts. Pure arithmetic.
#ifndef DROMOS_QMGR_QMGR_FEEDBACK_H
#define DROMOS_QMGR_QMGR_FEEDBACK_H

#include "lib/base/str.h"

// "NUMBER", "NUMBER/concurrency" or "NUMBER/sqrt_concurrency", with NUMBER from 0 to 1.
enum qmgr_feedback_kind { FEEDBACK_CONSTANT, FEEDBACK_PER_WINDOW, FEEDBACK_PER_ROOT };
struct qmgr_feedback {
    double gain;
    enum qmgr_feedback_kind kind;
};
int qmgr_feedback_parse(struct str text, struct qmgr_feedback *feedback_r); // 0, -1
double qmgr_feedback_value(const struct qmgr_feedback *f, unsigned window);

struct qmgr_window_rules {
    unsigned initial;
    unsigned limit; // 0 none
    struct qmgr_feedback positive, negative;
    unsigned failed_cohort_limit; // 0: destinations never count as dead
};
struct qmgr_window {
    unsigned size;
    double success, failure,
        failed_cohorts; // success: 0 to 1, the next step up; failure: 1 down to 0, the next step down
};
void qmgr_window_reset(struct qmgr_window *w, const struct qmgr_window_rules *rules);
// It opens at the end of a series of successes, and shuts at the beginning of a series of failures: an overload is
// corrected at once. `busy`: deliveries under way. The window grows only as far as it is used.
void qmgr_window_succeeded(struct qmgr_window *w, const struct qmgr_window_rules *rules, unsigned busy);
bool qmgr_window_failed(struct qmgr_window *w, const struct qmgr_window_rules *rules); // true: the destination is dead

// Seconds to the next attempt of a message of this age: the age within the bounds, spread by `jitter` percent about
// that and not beyond the bounds. `random`: any number, each as likely.
struct qmgr_backoff {
    int64_t minimal, maximal; // seconds
    unsigned jitter;          // percent, 0 none
};
int64_t qmgr_backoff(int64_t age, const struct qmgr_backoff *rules, uint32_t random);

#endif
