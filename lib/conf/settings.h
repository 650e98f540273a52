// SPDX-License-Identifier: ISC
// settings.h: every built-in parameter as one typed, immutable struct. Members are named as the parameters.
//
// Strings (struct str, NUL-terminated) are expanded; PARAM_RAW ones are as written. Times are seconds. Booleans bool,
// numbers int64_t.
#ifndef DROMOS_CONF_SETTINGS_H
#define DROMOS_CONF_SETTINGS_H

#include "lib/conf/conf.h"

// conf/params.def holds lines  PARAM_xxx(member, "name", "default", min, max, CLASS, "used_by", "since", "sentence")
// with xxx one of STRING RAW INT LONG BOOL TIME_S TIME_M TIME_H TIME_D TIME_W; CLASS BUILTIN or LEGACY. Parameters of
// one service are PARAM_SERVICE(TYPE, "name", ...same columns) lines; they have no member and are read with conf_get_*.
// The one name that is no C identifier, 2bounce_notice_recipient, has the member double_bounce_notice_recipient.
struct settings {
#define PARAM_STRING(member, ...) struct str member;
#define PARAM_RAW(member, ...)    struct str member;
#define PARAM_INT(member, ...)    int64_t member;
#define PARAM_LONG(member, ...)   int64_t member;
#define PARAM_BOOL(member, ...)   bool member;
#define PARAM_TIME_S(member, ...) int64_t member;
#define PARAM_TIME_M(member, ...) int64_t member;
#define PARAM_TIME_H(member, ...) int64_t member;
#define PARAM_TIME_D(member, ...) int64_t member;
#define PARAM_TIME_W(member, ...) int64_t member;
#define PARAM_SERVICE(type, ...)  // of one master.cf service: no member, read with conf_get_*
#include "conf/params.def"
#include "conf/params_undef.h"
};

// Evaluates all parameters. A bad value of a parameter that `program` uses is an error; of others it is left to those
// who use it (the default is taken). Everything lives in `arena`.
int settings_load(const struct conf *c, const char *program, struct arena *arena, struct settings *settings_r,
                  struct err *err);

// Would the value that c has for p be taken? 0, or -1 and why not.
int settings_check_value(const struct conf *c, const struct param *p, struct err *err);

#endif
