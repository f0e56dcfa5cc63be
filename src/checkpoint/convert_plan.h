/* convert_plan: which tensor goes where, of which type, in which file; known in whole before anything is written.
 * Private to convert. */
#ifndef CHECKPOINT_CONVERT_PLAN_H
#define CHECKPOINT_CONVERT_PLAN_H

#include "base/file_sink.h"
#include "base/siphash.h"
#include "checkpoint/convert.h"
#include "model/llama_weights.h"

struct convert_item {
    char name[LLAMA_WEIGHT_NAME_BYTES];
    struct tensor from, to;  /* to: without data */
    int64_t rows, columns;   /* as it is written, row by row */
    int64_t head_rows;       /* 0, or rows of a head whose order changes */
    bool is_mapped;          /* from lies in a map of the source */
    const float *importance; /* (columns), or NULL */
    size_t part;
    uint64_t offset; /* in the file of that part */
    size_t bytes;
    struct siphash_digest digest; /* of what was written */
    bool is_done;
};

struct convert_part {
    char *path;
    struct strbuf head;
    uint64_t size; /* of the whole file */
    struct file_sink sink;
};

struct convert_plan {
    const struct checkpoint *checkpoint;
    const struct convert_options *options;
    enum llama_layout layout; /* of the output */
    const char *output;
    struct convert_item *items;
    size_t n_items;
    struct convert_part *parts;
    size_t n_parts;
    uint64_t total_bytes;
    enum dtype main_type; /* of most matrices */
    float *rope_divisors; /* of rope_freqs.weight */
    float *importances;   /* means, one row of numbers for each matrix */
    struct strbuf config, generation, tokenizer_json, tokenizer_config,
        index; /* safetensors only */
    size_t n_without_importance;
};

status convert_plan_make(struct convert_plan *, const struct checkpoint *, const char *output,
                         const struct convert_options *, struct error *err);
void convert_plan_deinit(struct convert_plan *);
/* Where row r of the output comes from. */
int64_t convert_source_row(const struct convert_plan *, const struct convert_item *, int64_t r);

#endif
