// SPDX-License-Identifier: ISC
// params.c: the parameter table made from conf/params.def, and the search in it.
#include <stddef.h>

#include "lib/conf/settings.h"

#define ROW(type, unit, offset, name, text, min, max, class, used_by, since, sentence)                                 \
    {name, type, unit, text, min, max, PARAM_##class, used_by, since, sentence, offset},
#define MEMBER(type, unit, member, ...) ROW(type, unit, offsetof(struct settings, member), __VA_ARGS__)

#define PARAM_STRING(member, ...) MEMBER(PARAM_STRING, 0, member, __VA_ARGS__)
#define PARAM_RAW(member, ...)    MEMBER(PARAM_RAW, 0, member, __VA_ARGS__)
#define PARAM_INT(member, ...)    MEMBER(PARAM_INT, 0, member, __VA_ARGS__)
#define PARAM_LONG(member, ...)   MEMBER(PARAM_LONG, 0, member, __VA_ARGS__)
#define PARAM_BOOL(member, ...)   MEMBER(PARAM_BOOL, 0, member, __VA_ARGS__)
#define PARAM_TIME_S(member, ...) MEMBER(PARAM_TIME, 's', member, __VA_ARGS__)
#define PARAM_TIME_M(member, ...) MEMBER(PARAM_TIME, 'm', member, __VA_ARGS__)
#define PARAM_TIME_H(member, ...) MEMBER(PARAM_TIME, 'h', member, __VA_ARGS__)
#define PARAM_TIME_D(member, ...) MEMBER(PARAM_TIME, 'd', member, __VA_ARGS__)
#define PARAM_TIME_W(member, ...) MEMBER(PARAM_TIME, 'w', member, __VA_ARGS__)
// Type and unit of a service parameter come from its first column.
#define SERVICE_STRING           PARAM_STRING, 0
#define SERVICE_INT              PARAM_INT, 0
#define SERVICE_TIME_S           PARAM_TIME, 's'
#define ROW_EXPANDED(...)        ROW(__VA_ARGS__)
#define PARAM_SERVICE(kind, ...) ROW_EXPANDED(SERVICE_##kind, SIZE_MAX, __VA_ARGS__)

const struct param param_table[] = {
#include "conf/params.def"
#include "conf/params_undef.h"
};
const size_t param_count = sizeof(param_table) / sizeof(param_table[0]);

const struct param *param_find(struct str name)
{
    size_t low = 0, high = param_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_compare(str_from(param_table[middle].name), name);
        if (order == 0)
            return &param_table[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
