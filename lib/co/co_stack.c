// SPDX-License-Identifier: ISC
// co_stack.c: stacks for coroutines: mapped with a guard page, kept for the next one within bounds.
// Limits: CO_STACK_SIZE bytes a stack; WARM_MAX unused stacks keep their pages, COLD_MAX more keep one page each.
#include <sys/mman.h>
#include <unistd.h>

#include "lib/co/co_internal.h"

#ifdef CO_ASAN
#include <sanitizer/asan_interface.h>
#endif

// A warm stack costs no system call to take or give. Sanitizer builds keep none, so that pointers into a dead stack
// are found.
#if defined(CO_ASAN) || defined(CO_TSAN)
enum { WARM_MAX = 0, COLD_MAX = 0 };
#else
enum { WARM_MAX = 16, COLD_MAX = 112 };
#endif
enum { PAINT = 0xc5 };

static struct list warm = LIST_INIT(warm), cold = LIST_INIT(cold);
static int warm_count, cold_count;
static size_t page_size;
#ifdef CO_PAINT
static size_t high_water;
#endif

static struct co_stack *stack_map(void)
{
    if (page_size == 0)
        page_size = (size_t)sysconf(_SC_PAGESIZE);
    size_t size = CO_STACK_SIZE + page_size;
    char *map =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (map == MAP_FAILED || mprotect(map, page_size, PROT_NONE) < 0)
        die("no memory for the stack of a coroutine");
#ifdef CO_PAINT
    memset(map + page_size, PAINT, CO_STACK_SIZE);
#endif
    size_t head = (sizeof(struct co_stack) + 63) / 64 * 64;
    struct co_stack *stack = (struct co_stack *)(void *)(map + size - head);
    memset(stack, 0, sizeof *stack);
    list_init(&stack->link);
    stack->map = map;
    stack->map_size = size;
    return stack;
}

static void stack_unmap(struct co_stack *stack)
{
    co_context_release(&stack->context);
    char *map = stack->map;
    size_t size = stack->map_size;
#ifdef CO_ASAN
    ASAN_UNPOISON_MEMORY_REGION(map, size);
#endif
    munmap(map, size);
}

struct co_stack *co_stack_take(void (*entry)(void))
{
    struct list *kept = list_first(&warm) ? list_first(&warm) : list_first(&cold);
    if (kept) {
        *(list_first(&warm) ? &warm_count : &cold_count) -= 1;
        list_remove(kept);
        return container_of(kept, struct co_stack, link); // its context waits in `entry` for the next coroutine
    }
    struct co_stack *stack = stack_map();
    char *low = stack->map + page_size;
    co_context_prepare(&stack->context, entry, low, (size_t)((char *)stack - low));
    return stack;
}

static size_t stack_used(const struct co_stack *stack)
{
    const unsigned char *low = (const unsigned char *)stack->map + page_size, *at = low;
    while (at < (const unsigned char *)stack && *at == PAINT)
        at++;
    return CO_STACK_SIZE - (size_t)(at - low);
}

static void note_high_water(const struct co_stack *stack)
{
#ifdef CO_PAINT
    size_t used = stack_used(stack);
    if (used > high_water)
        high_water = used;
#else
    (void)stack_used;
#endif
}

void co_stack_give(struct co_stack *stack)
{
    note_high_water(stack);
    if (warm_count < WARM_MAX) {
        warm_count++;
        list_prepend(&warm, &stack->link); // the one used last is in the cache
        return;
    }
    if (cold_count >= COLD_MAX) {
        stack_unmap(stack);
        return;
    }
#ifndef CO_PAINT
    // All but the highest page, where the context waits, goes back to the system.
    madvise(stack->map + page_size, stack->map_size - 2 * page_size, MADV_DONTNEED);
#endif
    cold_count++;
    list_prepend(&cold, &stack->link);
}

size_t co_stack_high_water(void)
{
#ifdef CO_PAINT
    LIST_EACH(link, &co_the_loop.all)
    {
        const struct co *co = container_of(link, struct co, all);
        if (co->stack)
            note_high_water(co->stack);
    }
    return high_water;
#else
    return 0;
#endif
}

// In painted builds half a stack is the limit, so that there is room for what a test did not reach.
void co_stacks_free(void)
{
    if (co_stack_high_water() > CO_STACK_SIZE / 2)
        bug("a coroutine used %zu bytes of its stack", co_stack_high_water());
    LIST_EACH_SAFE(link, &warm)
    stack_unmap(container_of(link, struct co_stack, link));
    LIST_EACH_SAFE(link, &cold)
    stack_unmap(container_of(link, struct co_stack, link));
    list_init(&warm);
    list_init(&cold);
    warm_count = cold_count = 0;
}
