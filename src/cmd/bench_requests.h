/* bench_requests: the engine alone under the load that a server would put on it: so many of a file's requests at a
 * time, the next when one ends. */
#ifndef CMD_BENCH_REQUESTS_H
#define CMD_BENCH_REQUESTS_H

#include "engine/engine.h"

struct bench_load_result {
    int64_t n_requests, concurrency, n_prompt_tokens, n_tokens;
    double seconds;              /* from the first submission to the last token */
    double processor_s;          /* of all threads */
    double gap_p50_s, gap_p99_s; /* between two tokens of one sequence */
};

/* Each line of `path`: {"prompt": [ids], "max_tokens": N}. Lengths are forced, choices greedy. STATUS_FORMAT names
 * the line. */
status bench_requests(struct engine *, const char *path, int64_t concurrency,
                      struct bench_load_result *, struct error *);

#endif
