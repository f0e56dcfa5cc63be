/* engine: many requests over one model by continuous batching.
 *
 * The caller drives: engine_submit adds requests, engine_step runs one step of the model for
 * whatever is scheduled and hands out what became known. All calls come from one thread at a time
 * (a server puts the engine on a thread of its own). Memory is planned before anything is
 * allocated; steps allocate nothing.
 *
 * Promise: the same prompt, parameters and seed give the same tokens whatever else is in the batch,
 * however the prompt is chunked, and whether or not its prefix was cached or the request was
 * preempted.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"
#include "engine/sampling_params.h"
#include "model/llama.h"
#include "text/tokenizer.h"

struct engine;

enum speculative_method {
    SPECULATIVE_NONE,
    SPECULATIVE_NGRAM,       /* what followed the same tokens earlier in the text */
    SPECULATIVE_DRAFT_MODEL, /* what a smaller model of the same vocabulary would say */
};
enum { SPECULATIVE_MAX_TOKENS = 64 };

/* Guesses at the next tokens, judged several to a step; the tokens stay the same (speculation.h). Names
 * of vLLM, 0 = the default in brackets. */
struct speculative_options {
    enum speculative_method method;
    int32_t
        num_speculative_tokens; /* most guesses for a sequence in one step [8]; it adapts below */
    int32_t prompt_lookup_max;  /* longest run of tokens that is looked up [8] */
    int32_t prompt_lookup_min;  /* shortest [2] */
    int32_t disable_by_batch_size; /* no guesses while more sequences than this generate [8] */
    const struct llama_model *draft_model; /* borrowed */
};

struct engine_options {             /* 0 = the default in brackets; vLLM's names */
    int32_t max_model_len;          /* [the checkpoint's, reduced to what memory holds] */
    int32_t max_num_seqs;           /* [256 or fewer by memory] */
    int32_t max_num_batched_tokens; /* tokens of one step [512 on a CPU] */
    int32_t block_size;             /* tokens of one kv block [16]; a power of two */
    size_t kv_cache_memory_bytes;   /* [a share of free memory, capped by max_num_seqs *
                                       max_model_len] */
    enum dtype kv_cache_dtype;      /* DTYPE_NONE = f32 for f32 weights, else f16 */
    bool disable_prefix_caching;
    int32_t threads; /* [all processors] */
    const char *isa; /* [auto] see op_table_init */
    const char *
        device; /* "cpu", "cuda", "cuda:N" [auto: a GPU when there is one that can run the model] */
    enum dtype quantization;      /* weights on a GPU: F8_E4M3, or [BF16] */
    float gpu_memory_utilization; /* the share of the GPU's free memory to take [0.95] */
    bool deterministic; /* on a GPU: a token's bits do not depend on what else is in the step */
    /* Benchmarks on a GPU: see llama_device.h. */
    const void *unfilled_weights;
    void (*on_weights)(void *argument, uint64_t done, uint64_t total);
    void *on_weights_argument;
    uint64_t seed;           /* base of the seeds drawn for requests that bring none */
    const token_id *eos_ids; /* the checkpoint's end-of-sequence ids (generation_config, config) */
    size_t n_eos_ids;
    struct speculative_options speculative;
};

/* What an engine with these options would take, computed without allocating. */
struct engine_memory_plan {
    size_t weights_bytes;  /* mapped from the files, shared page cache */
    size_t kv_cache_bytes; /* draft model included, like the workspace */
    size_t workspace_bytes;
    size_t draft_kv_cache_bytes, draft_workspace_bytes; /* of these, the draft model's */
    size_t logits_bytes;
    size_t bookkeeping_bytes;
    size_t total_bytes;
    size_t available_bytes; /* of the machine, cgroup limit considered; or of the GPU */
    bool on_device;
    char device_name[64];
    int64_t kv_blocks;
    int64_t kv_bytes_per_token;
    struct engine_options options; /* every 0 replaced by the value chosen */
};
status engine_plan_memory(const struct llama_config *, enum dtype weights, size_t weights_bytes,
                          const struct engine_options *, struct engine_memory_plan *,
                          struct error *err);

/* Borrows model and tokenizer (tokenizer NULL: no text, no stop strings). */
status engine_create(struct engine **, const struct llama_model *, const struct tokenizer *,
                     const struct engine_options *, struct error *err);
void engine_destroy(struct engine *);
const struct engine_memory_plan *engine_plan(const struct engine *);

/* What an answer is instead of tokens: one vector of the prompt's last hidden states. */
enum engine_pooling {
    ENGINE_POOLING_NONE,
    ENGINE_POOLING_MEAN,  /* the mean over all tokens */
    ENGINE_POOLING_LAST,  /* the last token's */
    ENGINE_POOLING_FIRST, /* the first token's ("cls") */
};

struct engine_request {
    const token_id *prompt; /* copied */
    size_t n_prompt;
    struct sampling_params params; /* everything it points to is copied */
    int32_t priority;              /* lower first; equal: first come first served */
    void *user;                    /* handed back with every output */
    uint64_t
        cache_salt; /* only requests of one salt share cached prefixes (timing tells who else asked) */
    /* NULL, or bans tokens before each choice by setting their logits to -INFINITY (structured output).
     * May be called from the engine's worker threads, one call at a time per completion. Must depend on
     * its arguments alone. For beams `index` and `output` are the beam's. */
    void (*mask)(void *argument, int32_t index, const token_id *output, int32_t n_output,
                 float *logits, int32_t vocab_size);
    void *mask_argument;
    /* Not NONE: nothing is generated; of params only n = 1 is accepted and the rest is not looked at. */
    enum engine_pooling pooling;
};
/* STATUS_INVALID for bad fields, a prompt that cannot fit max_model_len, or a request that could never
 * have its kv blocks even alone (numbers in the message); STATUS_NO_MEMORY. Then nothing was added.
 * *id identifies the request in outputs and cancel. May be called while outputs are handed out. */
status engine_submit(struct engine *, const struct engine_request *, uint64_t *id,
                     struct error *err);
/* Takes effect before the next step, which hands out a last output with finish reason CANCELLED for each
 * unfinished completion. Unknown or finished ids are ignored. May be called while outputs are handed
 * out. */
void engine_cancel(struct engine *, uint64_t id);

enum finish_reason {
    FINISH_NONE,   /* still running */
    FINISH_STOP,   /* eos, stop id, stop sequence or stop string */
    FINISH_LENGTH, /* max_tokens or max_model_len */
    FINISH_CANCELLED,
    FINISH_ERROR, /* this request alone failed; see error */
};

struct token_logprob {
    token_id id;
    float logprob;
    int32_t rank; /* 1 + the number of tokens that are more likely */
};

/* One completion's progress after a step. Pointers are valid until the next engine_step or destroy.
 * Logprobs are of the model's own distribution: before bias, penalties and temperature. */
struct engine_output {
    uint64_t id;
    void *user;
    int32_t index;          /* which of the n completions (beams: rank, all at the end) */
    const token_id *tokens; /* new tokens */
    size_t n_tokens;
    struct str text; /* new text, whole characters; text that might be the beginning of a
                        stop string is held back until that is decided */
    const struct token_logprob *logprobs; /* per new token: the chosen one, then the best ones */
    size_t logprobs_per_token;            /* 0 when not asked for */
    /* Once, with the first output of index 0: for the prompt tokens from the second on, the token
     * itself, then the best ones. */
    const struct token_logprob *prompt_logprobs;
    size_t n_prompt_logprobs, prompt_logprobs_per_token;
    const float *embedding; /* (n_embedding): the pooled vector, with finish reason STOP */
    size_t n_embedding;
    enum finish_reason finish;
    token_id stop_token;    /* the id that stopped it, or TOKEN_NONE */
    struct str stop_string; /* the stop string that matched, or empty */
    double
        cumulative_logprob; /* of the tokens so far; only where logprobs were asked for or beams */
    double beam_score;      /* cumulative_logprob / length^length_penalty */
    uint64_t seed;          /* the request's, drawn by the engine when it brought none */
    const struct error *error; /* with FINISH_ERROR */
    int32_t n_prompt_tokens, n_cached_tokens, n_generated_tokens;
};
typedef void engine_on_output(void *argument, const struct engine_output *);

/* Runs one step. Calls on_output for every completion that has something new. *more is false when
 * nothing is left to do. A returned error means the engine itself cannot go on; a request's own
 * failure comes as its output. */
status engine_step(struct engine *, engine_on_output *, void *argument, bool *more,
                   struct error *err);

struct engine_stats {
    int64_t n_running, n_waiting, n_preemptions, n_steps;
    int64_t n_prompt_tokens, n_generated_tokens, n_prefix_queries, n_prefix_hits; /* in tokens */
    int64_t kv_blocks_used, kv_blocks_total;
    /* Speculation: steps of a sequence that had guesses, the guesses, those accepted, and the steps of
     * which guess i was accepted, for the first n_guesses_most. */
    int64_t n_drafts, n_draft_tokens, n_accepted_tokens;
    int32_t n_guesses_most;
    int64_t n_accepted_at[SPECULATIVE_MAX_TOKENS];
};
void engine_get_stats(const struct engine *, struct engine_stats *);

#endif
