// SPDX-License-Identifier: ISC
// lint_relay.h: whether strangers may relay, asked of the SMTP server's own decisions.
#ifndef DROMOS_COMMANDS_LINT_RELAY_H
#define DROMOS_COMMANDS_LINT_RELAY_H

#include "lib/conf/lint.h"

// Adds a finding for each SMTP service that would take mail for any domain from anybody, and for those that would not
// start. Looks at files only. Not to be called from a coroutine.
void lint_relay_ask(struct lint *l, const char *dir, const char *const *overrides);

#endif
