/* measure: what `twllm perplexity` and `twllm imatrix` share: a model, a text as tokens, threads and operations. */
#ifndef CMD_MEASURE_H
#define CMD_MEASURE_H

#include "api/api.h"
#include "cmd/commands.h"
#include "cmd/session.h"
#include "op/op.h"

struct measure_options {
    struct session_options session;
    const char *file; /* of the text; "-": standard input */
    int64_t ctx_size, chunks;
    bool json;
};

struct measure {
    struct session session;
    struct op_table table;
    struct thread_pool *threads;
    struct token_list tokens;
    token_id bos; /* TOKEN_NONE: the tokenizer puts none in front */
};

enum { MEASURE_ARGUMENTS = 7 };
/* --model, --file, --ctx-size, --chunks, --threads, --isa, --json */
void measure_arguments(struct measure_options *, struct argument out[MEASURE_ARGUMENTS]);

/* Opens the model and encodes the text (with_text), a newline at its end left out, as llama.cpp reads it. */
status measure_open(struct measure *, const struct measure_options *, const struct environment *,
                    bool with_text, struct error *err);
void measure_close(struct measure *);

#endif
