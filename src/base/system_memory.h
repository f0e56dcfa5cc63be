/* system_memory: how much memory this process may still take, and random bytes from the kernel. */
#ifndef BASE_SYSTEM_MEMORY_H
#define BASE_SYSTEM_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct system_memory {
    uint64_t total_bytes;     /* of the machine, or the control group's limit when that is lower */
    uint64_t available_bytes; /* without swapping: MemAvailable, capped by what limits leave */
};

/* Reads /proc/meminfo and the cgroup (v2, then v1) memory limits of this process and its ancestors.
 * Page cache that the group could give back counts as available. Then this process's own limits on
 * address space and private memory (RLIMIT_AS, RLIMIT_DATA). A system without these files gets
 * its total from sysconf. Never fails: unknown values are 0. */
struct system_memory system_memory_read(void);

/* Fills from getrandom(2) or /dev/urandom. */
status system_random_bytes(void *out, size_t size, struct error *err);

#endif
