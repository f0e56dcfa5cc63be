/* bench_run: times the engine reading prompts and generating tokens, with forced lengths. */
#ifndef CMD_BENCH_RUN_H
#define CMD_BENCH_RUN_H

#include "engine/engine.h"

enum { BENCH_SIZES = 32, BENCH_REPEATS = 100 };

struct bench_result {
    bool is_decode, is_throughput;
    int64_t n_sequences;
    int64_t n_tokens; /* realised, of the timed part, all sequences together */
    int64_t n_prompt; /* tokens in front of the timed part of each sequence */
    double best_s, median_s;
    int64_t n_drafts, n_draft_tokens, n_accepted_tokens; /* of all runs */
};

/* One prompt of n_prompt tokens, read whole. */
status bench_prefill(struct engine *, int32_t vocab_size, int64_t n_prompt, int64_t repeats,
                     struct bench_result *, struct error *);
/* What the answers of bench_decode are made of. */
enum bench_answer {
    BENCH_FREE,  /* what the model says, greedily */
    BENCH_QUOTE, /* forced: 8 new tokens, then 56 quoted from the prompt, and again */
};
/* n_sequences at once, each generating n_generate tokens behind a prompt of n_prompt. The time begins
 * when every sequence has its first token. */
status bench_decode(struct engine *, int32_t vocab_size, int64_t n_sequences, int64_t n_prompt,
                    int64_t n_generate, int64_t repeats, enum bench_answer, struct bench_result *,
                    struct error *);

/* n_requests submitted at once, each a prompt and an answer of the given lengths: how long until the last is done, prompts
 * included. n_tokens are the answers'. */
status bench_throughput(struct engine *, int32_t vocab_size, int64_t n_requests, int64_t n_prompt,
                        int64_t n_generate, struct bench_result *, struct error *);

#endif
