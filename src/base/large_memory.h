/* large_memory: memory for tables that are read at random places.
 *
 * Asks the system for huge pages, which spare such a table most of the misses in the processor's address
 * translation (and most page faults while it is filled). Where there are none it is ordinary memory.
 */
#ifndef BASE_LARGE_MEMORY_H
#define BASE_LARGE_MEMORY_H

#include <stddef.h>

/* Not initialised; aligned to a cache line at least; NULL when memory ran out. Freed by free(). */
void *large_memory_alloc(size_t bytes);

/* Addresses that cost nothing until they are written to, more than the machine's memory if need be; zeros. NULL when
 * there are not so many. */
void *address_space_reserve(size_t bytes);
void address_space_release(void *, size_t bytes);

#endif
