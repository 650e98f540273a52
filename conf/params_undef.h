// SPDX-License-Identifier: ISC
// params_undef.h: takes back the PARAM_ macros after an inclusion of params.def; included many times on purpose.
#undef PARAM_STRING
#undef PARAM_RAW
#undef PARAM_INT
#undef PARAM_LONG
#undef PARAM_BOOL
#undef PARAM_TIME_S
#undef PARAM_TIME_M
#undef PARAM_TIME_H
#undef PARAM_TIME_D
#undef PARAM_TIME_W
#undef PARAM_SERVICE
