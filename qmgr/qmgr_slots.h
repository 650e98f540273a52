// SPDX-License-Identifier: ISC
// qmgr_slots.h: preemptive scheduling by delivery slots: when may a small message go ahead of a large one?
//
// A message earns a slot with each `cost` deliveries. Another may go ahead of it when the slots that the other needs,
// less those earned, are at most `discount` percent of the need plus `loan`; the need is then taken off. Nobody goes
// ahead of a message before its first delivery, nor of one that has more taken off than it has earned. A message that
// could never earn `minimum` slots is never overtaken. Pure. Source: postconf(5), TRANSPORT_delivery_slot_cost and the
// parameters beside it.
#ifndef DROMOS_QMGR_QMGR_SLOTS_H
#define DROMOS_QMGR_QMGR_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

struct qmgr_slot_rules {
    unsigned cost; // 0: no message goes ahead of another
    unsigned loan, discount, minimum;
};

struct qmgr_slots {
    unsigned deliveries; // made so far
    int64_t spent;       // slots that went to others
};

// How many deliveries another message may need at most to go ahead of one with `left` deliveries to make. 0: none may.
unsigned qmgr_slots_allow(const struct qmgr_slots *s, const struct qmgr_slot_rules *rules, unsigned left);
void qmgr_slots_delivered(struct qmgr_slots *s);
void qmgr_slots_spend(struct qmgr_slots *s, unsigned needed);

#endif
