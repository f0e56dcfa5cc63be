/* perplexity: how well a model predicts a text, and how far its predictions are from another model's.
 *
 * The text is cut into windows of n_ctx tokens; in each the model sees BOS in place of the first token (where the
 * tokenizer adds one), and the tokens of the second half are counted: positions n_ctx / 2 to n_ctx - 2 predict their
 * successors. PPL = exp(mean of -ln p). These are the rules of llama.cpp's llama-perplexity, whose numbers these are.
 *
 * A base file holds a model's log-probabilities, rounded to 16 bits, for comparison, in llama.cpp's form:
 *   "_logits_" | n_ctx u32 | n_vocab i32 | n_chunk i32 | tokens i32 (n_chunk, n_ctx)
 *   | for each window and counted position: scale f32 | least f32 | level u16 (n_vocab, padded to an even number)
 *   ln p = scale level + least
 */
#ifndef EVAL_PERPLEXITY_H
#define EVAL_PERPLEXITY_H

#include "eval/windows.h"

struct perplexity_options {
    const struct llama_model *model;
    const struct op_table *table;
    struct thread_pool *threads;
    enum dtype kv_dtype;
    const token_id *tokens; /* of the whole text; with read_base the file's are taken */
    size_t n_tokens;
    token_id bos; /* TOKEN_NONE: none is put in */
    int64_t n_ctx;
    int64_t max_chunks;     /* 0: all */
    const char *write_base; /* path, or NULL */
    const char *read_base;  /* path, or NULL */
    bool (*progress)(void *argument, int64_t done, int64_t total, double perplexity);
    void *argument;
};

struct perplexity_mean {
    double value, error; /* standard error */
};

struct perplexity_result {
    int64_t n_chunks, n_ctx, n_counted;
    struct perplexity_mean ppl;
    /* against a base: */
    struct perplexity_mean base_ppl, log_ratio; /* ln(PPL / PPL of the base) */
    struct perplexity_mean kl, same_top;
    double kl_median, kl_most, kl_p99, rms_difference; /* of the probability of the right token */
};

status perplexity_run(const struct perplexity_options *, struct perplexity_result *,
                      struct error *err);

#endif
