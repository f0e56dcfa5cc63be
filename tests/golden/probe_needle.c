/* The needle's keys for the seeds 0 to 999, one per line, for the oracle test; with a length and a depth a prompt. */
#include <stdio.h>
#include <stdlib.h>

#include "eval/needle.h"

int main(int argc, char **argv)
{
    struct strbuf prompt = {0};
    if (argc == 3) {
        int64_t length = strtol(argv[1], NULL, 10);
        if (needle_prompt(length, strtod(argv[2], NULL), needle_key(0), &prompt) != STATUS_OK)
            return 1;
        fputs(prompt.data, stdout);
        strbuf_deinit(&prompt);
        return 0;
    }
    for (uint32_t seed = 0; seed < 1000; seed++) printf("%u\n", needle_key(seed));
    return 0;
}
