/* The needle's keys for the seeds 0 to 999, one per line, for the oracle test. */
#include <stdio.h>

#include "eval/needle.h"

int main(void)
{
    for (uint32_t seed = 0; seed < 1000; seed++) printf("%u\n", needle_key(seed));
    return 0;
}
