// SPDX-License-Identifier: ISC
// sys_internal.h: what differs in sanitizer builds.
#ifndef DROMOS_SYS_SYS_INTERNAL_H
#define DROMOS_SYS_SYS_INTERNAL_H

// The sanitizers trace their own process, read /proc and write reports at exit: builds with them cannot forbid that.
#if defined(__SANITIZE_ADDRESS__)
#define SYS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SYS_SANITIZED 1
#endif
#endif
#ifndef SYS_SANITIZED
#define SYS_SANITIZED 0
#endif

#endif
