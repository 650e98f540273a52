// SPDX-License-Identifier: ISC
// in_flow.c: the page of counters that cleanup and the queue manager share.
#include "lib/ipc/in_flow.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"

#define IN_FLOW_PATH "private/in_flow"

struct counts {
    _Atomic uint64_t arrived, taken;
};
struct in_flow {
    struct counts *counts; // NULL: none, or not mapped yet
    bool is_tried;
};

static void map_page(struct in_flow *f)
{
    int fd = open(IN_FLOW_PATH, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    void *page = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, sizeof *f->counts) == 0)
        page = mmap(NULL, sizeof *f->counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    f->is_tried = true;
    f->counts = page != MAP_FAILED ? page : NULL;
    if (f->counts == NULL)
        log_warn("in_flow_delay has no effect: " IN_FLOW_PATH ": %m");
    if (fd >= 0)
        close(fd);
}

static void unmap_page(struct in_flow *f)
{
    if (f->counts != NULL)
        (void)munmap(f->counts, sizeof *f->counts);
    f->counts = NULL;
}

// Mapped at the first use: root, as which a daemon begins, has no business with files in there.
static struct counts *counts_of(struct in_flow *f)
{
    if (!f->is_tried)
        map_page(f);
    return f->counts;
}

struct in_flow *in_flow_new(void)
{
    return MEM_NEW(struct in_flow);
}

void in_flow_free(struct in_flow *f)
{
    if (f == NULL)
        return;
    unmap_page(f);
    mem_free(f);
}

void in_flow_arrived(struct in_flow *f)
{
    struct counts *c = counts_of(f);
    if (c != NULL)
        atomic_fetch_add_explicit(&c->arrived, 1, memory_order_relaxed);
}

// Only the queue manager writes `taken`. A message may be seen twice (in a scan, and by its notice).
void in_flow_taken(struct in_flow *f)
{
    struct counts *c = counts_of(f);
    if (c != NULL && c->taken < c->arrived)
        c->taken++;
}

void in_flow_level(struct in_flow *f)
{
    struct counts *c = counts_of(f);
    if (c != NULL)
        c->taken = c->arrived;
}

static bool has_waiting(struct in_flow *f, int64_t limit)
{
    const struct counts *c = counts_of(f);
    return c != NULL && (int64_t)(c->arrived - c->taken) >= limit;
}

bool in_flow_is_behind(struct in_flow *f, int64_t limit)
{
    if (!has_waiting(f, limit))
        return false;
    unmap_page(f); // somebody may have removed the file: then the queue manager counts in another one
    map_page(f);
    return has_waiting(f, limit);
}
