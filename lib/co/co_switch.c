// SPDX-License-Identifier: ISC
// co_switch.c: switching between machine contexts.
//
// A context is entered the first time through ucontext. glibc's swapcontext makes a system call for the signal mask at
// each switch, so ordinary builds go on with _setjmp and _longjmp, which make none.

// The fortified longjmp refuses to jump to another stack, which is what this file does for a living.
#undef _FORTIFY_SOURCE
#define _FORTIFY_SOURCE 0

#include "lib/co/co_internal.h"

#include <ucontext.h>

#ifdef CO_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef CO_TSAN
#include <sanitizer/tsan_interface.h>
#endif

void co_context_main(struct co_context *context)
{
    *context = (struct co_context){0};
#ifdef CO_TSAN
    context->sanitizer = __tsan_get_current_fiber();
#endif
}

void co_context_prepare(struct co_context *context, void (*entry)(void), char *stack, size_t size)
{
    *context = (struct co_context){.entry = entry, .stack = stack, .stack_size = size};
#ifdef CO_TSAN
    context->sanitizer = __tsan_create_fiber(0);
#endif
#ifndef CO_SETJMP
    if (getcontext(&context->uc) < 0)
        die("getcontext failed");
    context->uc.uc_stack.ss_sp = stack;
    context->uc.uc_stack.ss_size = size;
    context->uc.uc_link = NULL;
    makecontext(&context->uc, entry, 0);
#endif
}

void co_context_release(struct co_context *context)
{
#ifdef CO_TSAN
    __tsan_destroy_fiber(context->sanitizer);
#endif
}

#ifdef CO_SETJMP

void co_context_entered(struct co_context *context, struct co_context *main)
{
}

static void enter(struct co_context *to)
{
    ucontext_t first;
    if (getcontext(&first) < 0)
        die("getcontext failed");
    first.uc_stack.ss_sp = to->stack;
    first.uc_stack.ss_size = to->stack_size;
    first.uc_link = NULL;
    makecontext(&first, to->entry, 0);
    to->started = true;
    setcontext(&first);
    die("setcontext failed");
}

__attribute__((noinline)) void co_switch(struct co_context *from, struct co_context *to, bool ends)
{
    from->frame = __builtin_frame_address(0);
    if (_setjmp(from->env) != 0)
        return;
    if (!to->started && to->entry)
        enter(to);
    _longjmp(to->env, 1);
}

#else

__attribute__((no_sanitize("address"))) void co_context_entered(struct co_context *context, struct co_context *main)
{
#ifdef CO_ASAN
    const void *stack;
    __sanitizer_finish_switch_fiber(context->sanitizer, &stack, &main->stack_size);
    main->stack = (char *)(uintptr_t)stack;
#endif
}

__attribute__((noinline, no_sanitize("address"))) void co_switch(struct co_context *from, struct co_context *to,
                                                                 bool ends)
{
    from->frame = __builtin_frame_address(0);
#ifdef CO_ASAN
    __sanitizer_start_switch_fiber(ends ? NULL : &from->sanitizer, to->stack, to->stack_size);
#endif
#ifdef CO_TSAN
    __tsan_switch_to_fiber(to->sanitizer, 0);
#endif
    swapcontext(&from->uc, &to->uc);
#ifdef CO_ASAN
    __sanitizer_finish_switch_fiber(from->sanitizer, NULL, NULL);
#endif
}

#endif
