// SPDX-License-Identifier: ISC
// qmgr_slots.c: the account of delivery slots of one message.
#include "qmgr/qmgr_slots.h"

unsigned qmgr_slots_allow(const struct qmgr_slots *s, const struct qmgr_slot_rules *rules, unsigned left)
{
    if (rules->cost == 0 || left == 0 || ((int64_t)s->deliveries + left) / rules->cost < rules->minimum)
        return 0;
    int64_t earned = s->deliveries / rules->cost - s->spent;
    if (s->deliveries <= s->spent * rules->cost || earned + rules->loan < 1)
        return 0;
    if (rules->discount >= 100)
        return UINT32_MAX;
    int64_t most = (earned + rules->loan) * 100 / (100 - rules->discount);
    return most > UINT32_MAX ? UINT32_MAX : (unsigned)most;
}

void qmgr_slots_delivered(struct qmgr_slots *s)
{
    s->deliveries++;
}

void qmgr_slots_spend(struct qmgr_slots *s, unsigned needed)
{
    s->spent += needed;
}
