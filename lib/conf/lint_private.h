// SPDX-License-Identifier: ISC
// lint_private.h: the parts of lint.
#ifndef DROMOS_CONF_LINT_PRIVATE_H
#define DROMOS_CONF_LINT_PRIVATE_H

#include "lib/conf/lint.h"

#define LINT_SEPARATORS ", \t\r\n"

// The expanded value, in l->arena; "" when it cannot be expanded (lint_values says so).
struct str lint_value(struct lint *l, const char *parameter);

void lint_names(struct lint *l);        // lint_names.c: unknown names, with suggestions
void lint_values(struct lint *l);       // lint.c: types, bounds, expansion
void lint_tables(struct lint *l);       // lint_tables.c
void lint_services(struct lint *l);     // lint_services.c
void lint_restrictions(struct lint *l); // lint_access.c
void lint_relay(struct lint *l);        // lint_access.c

#endif
