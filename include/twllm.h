/* twllm: run Llama-architecture language models, the Llama-3-Taiwan family first.
 *
 * This is the only public header of libtwllm: a plain C interface. In short:
 *
 *     twllm_model_open    a checkpoint: weights, tokenizer, chat template, generation defaults
 *     twllm_engine_create memory for many requests at once over one model
 *     twllm_chat          one streamed answer in one call; or
 *     twllm_submit_...    add requests, then twllm_step until nothing is left
 *
 * Conventions. Functions that can fail return an enum twllm_status, 0 for success, and fill the last
 * argument (which may be NULL) with a sentence that says what, where, what was found and what was
 * expected. Text is UTF-8 and carries its length in bytes; a length of TWLLM_TERMINATED means "up to
 * the NUL". Structures with options are zeroed by the caller; zero means the default. What a function
 * hands out as `char **` or `int32_t **` belongs to the caller, who frees it with twllm_free. Every
 * close, destroy and free function accepts NULL.
 *
 * Threads. A model may be used from any number of threads. An engine, and a params, belong to one
 * thread at a time. The library keeps no global state, prints nothing, never exits, and reads no
 * environment variable.
 */
#ifndef TWLLM_H
#define TWLLM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TWLLM_API __attribute__((visibility("default")))
#else
#define TWLLM_API
#endif

#define TWLLM_TERMINATED ((size_t)-1)

/* The library's version, "0.1.0". */
TWLLM_API const char *twllm_version(void);

/* ---- errors ----------------------------------------------------------------------------------- */

enum twllm_status {
    TWLLM_OK = 0,
    TWLLM_INTERNAL = 1,    /* a defect in the library */
    TWLLM_INVALID = 2,     /* an argument or request field is not acceptable */
    TWLLM_FORMAT = 3,      /* a file or text is malformed */
    TWLLM_UNSUPPORTED = 4, /* well-formed, but not supported */
    TWLLM_NOT_FOUND = 5,   /* a named thing does not exist */
    TWLLM_IO = 6,          /* the operating system refused a read or write */
    TWLLM_NO_MEMORY = 7,   /* memory could not be had */
    TWLLM_LIMIT = 8,       /* a budget (length, depth, count, steps, time) is exceeded */
    TWLLM_NO_SPACE = 9,    /* a fixed-size pool is exhausted for now */
    TWLLM_CANCELLED = 10,  /* the caller asked to stop */
    TWLLM_DEVICE = 11      /* an accelerator reported an error */
};

struct twllm_error {
    int status; /* enum twllm_status */
    char text[512];
};

/* "an argument or request field is not acceptable", ... A static string. */
TWLLM_API const char *twllm_status_text(int status);

/* Frees what the library handed out. */
TWLLM_API void twllm_free(void *);

/* ---- models ----------------------------------------------------------------------------------- */

struct twllm_model;

struct twllm_open_options {
    /* The folder of the Hugging Face cache (what the environment variable HF_HUB_CACHE names, usually
     * ~/.cache/huggingface/hub), in which names of models are looked up; NULL: paths only. */
    const char *hub_cache;
    int threads; /* of loading; 0: all processors */
    /* Called from the opening thread as loading proceeds: 0 <= done <= total, in bytes. May be NULL. */
    void (*on_progress)(void *user, uint64_t done, uint64_t total);
    void *user;
    int tokenizer_only; /* not 0: leave the weights alone; such a model makes no engine */
};

/* `name`: a folder as Hugging Face publishes it, a file in one, the name of a model in the cache
 * ("yentinglin/Llama-3-Taiwan-8B-Instruct"), or NULL for the small model that is part of the library.
 * On failure *model is NULL. options may be NULL. */
TWLLM_API int twllm_model_open(struct twllm_model **model, const char *name,
                               const struct twllm_open_options *options, struct twllm_error *);
/* No engine of this model may exist any more. */
TWLLM_API void twllm_model_close(struct twllm_model *);

struct twllm_model_info {
    const char *name;   /* as the checkpoint calls itself, or its path */
    int32_t vocab_size; /* of the logits */
    int32_t max_position_embeddings;
    int64_t n_parameters;
    uint64_t weights_bytes;
    const char *weights_dtype;  /* "BF16" */
    int32_t has_chat_template;  /* 0 or 1 */
    int32_t system_recommended; /* 1: the publisher says that a system message should be set */
    int32_t bos_id;             /* -1: none */
    int32_t n_eos_ids;
    const int32_t *eos_ids;
};
/* Pointers in it live as long as the model. */
TWLLM_API void twllm_model_get_info(const struct twllm_model *, struct twllm_model_info *);

/* ---- text ------------------------------------------------------------------------------------- */

enum twllm_encode_flags {
    TWLLM_ENCODE_SPECIAL =
        1,               /* "<|eot_id|>" becomes the special token; otherwise it is plain text */
    TWLLM_ENCODE_BOS = 2 /* begin with the model's first token, if the text does not */
};
TWLLM_API int twllm_encode(const struct twllm_model *, const char *text, size_t size, int flags,
                           int32_t **ids, size_t *n_ids, struct twllm_error *);

enum twllm_decode_flags {
    TWLLM_DECODE_SKIP_SPECIAL = 1 /* special tokens contribute nothing */
};
/* The exact bytes of the tokens (a NUL is added behind them, not counted); they may begin or end inside
 * a character. */
TWLLM_API int twllm_decode(const struct twllm_model *, const int32_t *ids, size_t n_ids, int flags,
                           char **text, size_t *size, struct twllm_error *);

/* The prompt that the model's chat template makes of a conversation. `messages_json`:
 * [{"role": "user", "content": "..."}, ...], or an object {"messages": [...], "tools": [...],
 * "documents": [...], "chat_template_kwargs": {...}, "add_generation_prompt": true}. */
TWLLM_API int twllm_render_chat(const struct twllm_model *, const char *messages_json, size_t size,
                                char **prompt, size_t *prompt_size, struct twllm_error *);

/* ---- sampling parameters ---------------------------------------------------------------------- */

/* What a request asks of decoding, with the names and meanings of vLLM and transformers: temperature,
 * top_p, top_k, min_p, typical_p, repetition_penalty, frequency_penalty, presence_penalty,
 * no_repeat_ngram_size, dry_multiplier, dry_base, dry_allowed_length, dry_penalty_last_n,
 * dry_sequence_breakers, xtc_probability, xtc_threshold, seed, logit_bias, logprobs, prompt_logprobs,
 * max_tokens, min_tokens, ignore_eos, stop, include_stop_str_in_output, stop_token_ids,
 * stop_token_sequences, skip_special_tokens, script, n, num_beams, length_penalty, early_stopping. */
struct twllm_params;

/* Begins with the defaults of `model` (its generation_config.json) over those of vLLM; model may be
 * NULL. */
TWLLM_API int twllm_params_create(struct twllm_params **, const struct twllm_model *model,
                                  struct twllm_error *);
/* An independent copy. */
TWLLM_API int twllm_params_copy(struct twllm_params **, const struct twllm_params *,
                                struct twllm_error *);
TWLLM_API void twllm_params_destroy(struct twllm_params *);

/* Sets one parameter from text: "0.7", "true". Given again, list parameters grow (stop: one string
 * each; stop_token_ids: "13,14"; stop_token_sequences: "13,14"; logit_bias: "128001=-100"); other
 * parameters are replaced. '-' in a name is read as '_'. TWLLM_NOT_FOUND for an unknown name,
 * TWLLM_INVALID for a value outside its range; then nothing is changed. */
TWLLM_API int twllm_params_set(struct twllm_params *, const char *name, const char *value,
                               struct twllm_error *);
/* Sets parameters from a JSON object, as OpenAI's and vLLM's APIs write them: {"temperature": 0.7,
 * "stop": ["\n\n"], "logit_bias": {"128001": -100}}. Lists are replaced. Unknown members are an
 * error. */
TWLLM_API int twllm_params_set_json(struct twllm_params *, const char *json, size_t size,
                                    struct twllm_error *);

/* ---- engines ---------------------------------------------------------------------------------- */

struct twllm_engine;

struct twllm_engine_options {       /* names and meanings of vLLM; 0: the default in brackets */
    int32_t max_model_len;          /* [what the checkpoint allows and memory holds] */
    int32_t max_num_seqs;           /* [256, or fewer by memory] */
    int32_t max_num_batched_tokens; /* tokens of one step [512] */
    int32_t block_size;             /* tokens of one block of the cache [16]; a power of two */
    uint64_t kv_cache_memory_bytes; /* [a share of free memory] */
    const char *kv_cache_dtype;     /* "f32", "f16", "bf16" [f32 for f32 weights, else f16] */
    int32_t disable_prefix_caching; /* [0] */
    int32_t threads;                /* [all processors] */
    const char *isa;                /* "ref", "avx2", "avx512", "neon", ... [the best there is] */
    uint64_t seed;                  /* base of the seeds of requests that bring none */
    const char *device;             /* "cpu", "cuda", "cuda:N" [a GPU where there is one] */
    const char *quantization;       /* of weights on a GPU: "none", "fp8" [none: bf16] */
    float gpu_memory_utilization;   /* share of the GPU's free memory to take [0.95] */
    int32_t deterministic;          /* on a GPU: results do not depend on other requests [0] */
    /* Guesses at the next tokens, judged several at a time: the same tokens in fewer steps. vLLM's JSON:
     * {"method": "ngram" or "draft_model", "num_speculative_tokens": 8, "prompt_lookup_max": 8,
     * "prompt_lookup_min": 2, "disable_by_batch_size": 8}, with these defaults; NULL: none. */
    const char *speculative_config;
    const struct twllm_model *draft_model; /* for "draft_model": must outlive the engine */
};

struct twllm_memory_plan { /* in bytes, unless said otherwise */
    uint64_t weights_bytes, kv_cache_bytes, workspace_bytes, logits_bytes, bookkeeping_bytes;
    uint64_t total_bytes;
    uint64_t available_bytes; /* of the machine, container limits considered; or of the GPU */
    int64_t kv_blocks, kv_bytes_per_token;
    struct twllm_engine_options options; /* every default replaced by what was chosen */
};
/* What an engine with these options would take; allocates none of it. options may be NULL. */
TWLLM_API int twllm_plan_memory(const struct twllm_model *, const struct twllm_engine_options *,
                                struct twllm_memory_plan *, struct twllm_error *);

/* The model must outlive the engine. options may be NULL. */
TWLLM_API int twllm_engine_create(struct twllm_engine **, const struct twllm_model *,
                                  const struct twllm_engine_options *, struct twllm_error *);
TWLLM_API void twllm_engine_destroy(struct twllm_engine *);
/* What the engine took. */
TWLLM_API void twllm_engine_get_plan(const struct twllm_engine *, struct twllm_memory_plan *);

/* Adds a request: token ids, as they are; copies everything. params NULL: the model's defaults. `user`
 * comes back with every output. The id names the request in outputs and for cancelling.
 * TWLLM_INVALID when the prompt does not fit the model length, with the numbers. */
TWLLM_API int twllm_submit(struct twllm_engine *, const int32_t *ids, size_t n_ids,
                           const struct twllm_params *, void *user, uint64_t *id,
                           struct twllm_error *);
/* Takes effect before the next step; unknown and finished ids are ignored. */
TWLLM_API void twllm_cancel(struct twllm_engine *, uint64_t id);

enum twllm_finish {
    TWLLM_RUNNING,
    TWLLM_FINISH_STOP,   /* an end-of-sequence token or one of the request's stops */
    TWLLM_FINISH_LENGTH, /* max_tokens or the model length */
    TWLLM_FINISH_CANCELLED,
    TWLLM_FINISH_ERROR /* this request alone failed; see `error` */
};

struct twllm_logprob {
    int32_t id;
    float logprob;
    int32_t rank; /* 1: the most likely token */
};

/* One completion's progress after a step. Pointers are valid during the callback. */
struct twllm_output {
    uint64_t id;
    void *user;
    int32_t index;         /* which of the n completions; with beams: rank, all at the end */
    int32_t finish;        /* enum twllm_finish */
    const int32_t *tokens; /* the new ones */
    size_t n_tokens;
    const char *text; /* new text, whole characters; not terminated */
    size_t text_size;
    const struct twllm_logprob *logprobs; /* per new token: the chosen one, then the likeliest */
    size_t logprobs_per_token;            /* 0: not asked for */
    const struct twllm_logprob *prompt_logprobs; /* once, with the first output of index 0 */
    size_t n_prompt_logprobs, prompt_logprobs_per_token;
    int32_t stop_token; /* the id that ended it, or -1 */
    const char *stop_string;
    size_t stop_string_size; /* 0: no stop string ended it */
    double cumulative_logprob;
    const char *error; /* with TWLLM_FINISH_ERROR */
    int32_t n_prompt_tokens, n_cached_tokens, n_generated_tokens;
};
typedef void twllm_on_output(void *argument, const struct twllm_output *);

/* Runs one step of everything submitted and calls on_output for every completion with something new.
 * *more is 0 when nothing is left to do. An error here is the engine's: only destroying it is left. */
TWLLM_API int twllm_step(struct twllm_engine *, twllm_on_output *, void *argument, int *more,
                         struct twllm_error *);

/* ---- one call for one answer ------------------------------------------------------------------ */

/* Renders the conversation, generates, and calls on_text with each new piece of text (whole
 * characters, not terminated); a result other than 0 stops the answer, and twllm_chat returns
 * TWLLM_CANCELLED. *answer, if wanted (it may be NULL), is the whole text. Other requests of the engine
 * must be finished. */
typedef int twllm_on_text(void *argument, const char *text, size_t size);
TWLLM_API int twllm_chat(struct twllm_engine *, const char *messages_json,
                         const struct twllm_params *, twllm_on_text *, void *argument,
                         char **answer, struct twllm_error *);

#ifdef __cplusplus
}
#endif

#endif
