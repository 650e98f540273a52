#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# check_tsa.sh: clang's thread-safety analysis sees when the rules of suspension are broken. Each case below is one
# function: those marked `good` must compile, those marked `bad` must not, and for the reason given.
set -u
cd "$(dirname "$0")/.." || exit 1
command -v clang >/dev/null || { echo "tsa: no clang here, skipped"; exit 0; }
failed=0

compile() { # stdin: the function
    { echo '#include "lib/co/co.h"'
      echo 'void the_case(struct co_event *ev, struct co_lock *lock);'
      cat
    } | clang -std=gnu17 -D_GNU_SOURCE -I. -fsyntax-only -Wall -Wthread-safety -Werror -x c - 2>&1
}

good() { # name
    local output
    output=$(compile) || { echo "tsa: $1: refused, but should compile:"; echo "$output"; failed=1; }
}

bad() { # name, what the compiler must say
    local output
    if output=$(compile); then
        echo "tsa: $1: compiled, but breaks a rule"; failed=1
    elif [[ $output != *"$2"* ]]; then
        echo "tsa: $1: refused for another reason:"; echo "$output"; failed=1
    fi
}

good "entry point that asserts" <<'C'
void the_case(struct co_event *ev, struct co_lock *lock) { co_assert_running(); co_sleep_until(1); }
C
good "function marked CO" <<'C'
static int wait_for(struct co_event *ev) CO;
static int wait_for(struct co_event *ev) { return co_event_wait(ev, 1); }
void the_case(struct co_event *ev, struct co_lock *lock) { co_assert_running(); (void)wait_for(ev); }
C
good "atomic section that does not wait" <<'C'
void the_case(struct co_event *ev, struct co_lock *lock)
{
    co_assert_running();
    co_atomic_begin();
    co_event_signal(ev);
    co_atomic_end();
    co_sleep_until(1);
}
C
bad "wait in a function that is not marked" "requires holding coroutine 'co_running'" <<'C'
void the_case(struct co_event *ev, struct co_lock *lock) { co_sleep_until(1); }
C
bad "call of a marked function from an unmarked one" "requires holding coroutine 'co_running'" <<'C'
static void wait_for(struct co_event *ev) CO;
static void wait_for(struct co_event *ev) { co_sleep_until(1); }
void the_case(struct co_event *ev, struct co_lock *lock) { wait_for(ev); }
C
bad "wait inside an atomic section" "cannot call function 'co_sleep_until' while coroutine 'co_no_suspend' is held" <<'C'
void the_case(struct co_event *ev, struct co_lock *lock)
{
    co_assert_running();
    co_atomic_begin();
    co_sleep_until(1);
    co_atomic_end();
}
C
bad "atomic section that is not closed" "'co_no_suspend' is still held at the end of function" <<'C'
void the_case(struct co_event *ev, struct co_lock *lock) { co_atomic_begin(); }
C
bad "atomic section left on one path" "not held on every path" <<'C'
void the_case(struct co_event *ev, struct co_lock *lock)
{
    co_atomic_begin();
    if (ev == (void *)lock)
        co_atomic_end();
}
C
bad "result of a wait ignored" "unused-result" <<'C'
void the_case(struct co_event *ev, struct co_lock *lock) { co_assert_running(); co_lock_acquire(lock, 1); }
C

[ $failed -eq 0 ] && echo "tsa: good code compiles, broken rules are found"
exit $failed
