#include "engine/step.h"

#include <stdlib.h>
#include <string.h>

static size_t most_blocks(const struct scheduler_limits *l, int32_t max_model_len)
{
    return (size_t)scheduler_blocks_for(l, max_model_len);
}

uint64_t step_arrays_bytes(const struct scheduler_limits *l, int32_t max_model_len)
{
    size_t sequences = (size_t)l->max_num_seqs;
    size_t count = 5 * (size_t)l->max_num_batched_tokens + 2 * (sequences + 1) +
                   sequences * most_blocks(l, max_model_len) + (size_t)l->max_logit_rows;
    return count * sizeof(int32_t);
}

status step_arrays_init(struct step_arrays *a, const struct scheduler_limits *l,
                        int32_t max_model_len, struct error *err)
{
    size_t tokens = (size_t)l->max_num_batched_tokens, sequences = (size_t)l->max_num_seqs;
    int32_t *at = malloc(step_arrays_bytes(l, max_model_len));
    *a = (struct step_arrays){.memory = at};
    if (!at)
        return error_set(err, STATUS_NO_MEMORY, "step: no memory for %zu tokens of %zu sequences",
                         tokens, sequences);
    a->tokens = at;
    a->positions = a->tokens + tokens;
    a->rope_lengths = a->positions + tokens;
    a->kv_slots = a->rope_lengths + tokens;
    a->hidden_rows = a->kv_slots + tokens;
    a->query_start = a->hidden_rows + tokens;
    a->kv_lengths = a->query_start + sequences + 1;
    a->logit_rows = a->kv_lengths + sequences + 1;
    a->block_tables = a->logit_rows + l->max_logit_rows;
    return STATUS_OK;
}

void step_arrays_deinit(struct step_arrays *a)
{
    free(a->memory);
    *a = (struct step_arrays){0};
}

/* Tokens [from, from + count) of one sequence, their places and its block table become sequence `index`
 * of the step; returns the place of the first. */
static int32_t add_tokens(struct step_arrays *a, int32_t index, const struct sequence *q,
                          int32_t from, int32_t count, int32_t width, int32_t size)
{
    int32_t at = a->query_start[index];
    for (int32_t i = 0; i < count; i++) {
        int32_t position = from + i;
        a->tokens[at + i] = q->tokens[position];
        a->positions[at + i] = position;
        a->rope_lengths[at + i] = position < q->n_prompt ? q->n_prompt : position + 1;
        a->kv_slots[at + i] = q->blocks[position / size] * size + position % size;
    }
    a->query_start[index + 1] = at + count;
    a->kv_lengths[index] = from + count;
    int32_t *table = a->block_tables + (size_t)index * (size_t)width;
    memcpy(table, q->blocks, (size_t)q->n_blocks * sizeof *table);
    memset(table + q->n_blocks, 0, (size_t)(width - q->n_blocks) * sizeof *table);
    return at;
}

/* The rows in the order in which the scheduler numbered them. */
static void add_rows(struct step_arrays *a, const struct sequence *q, int32_t at)
{
    if (q->prompt_row >= 0) {
        int32_t from, to;
        sequence_prompt_rows(q, &from, &to);
        for (int32_t i = from; i < to; i++)
            a->logit_rows[q->prompt_row + i - from] = at + i - q->n_computed;
    }
    if (q->hidden_row >= 0) {
        int32_t first, n = pooling_n_scheduled(q, &first);
        for (int32_t i = 0; i < n; i++)
            a->hidden_rows[q->hidden_row + i] = at + first + i - q->n_computed;
    }
    for (int32_t i = 0; q->logit_row >= 0 && i <= q->n_guesses; i++)
        a->logit_rows[q->logit_row + i] = at + q->n_scheduled - 1 - q->n_guesses + i;
}

static void fill(const struct step_arrays *a, int32_t n_sequences, int32_t width, int32_t n_rows,
                 struct llama_step *step)
{
    *step = (struct llama_step){
        .n_tokens = a->query_start[n_sequences],
        .n_sequences = n_sequences,
        .tokens = a->tokens,
        .positions = a->positions,
        .rope_lengths = a->rope_lengths,
        .kv_slots = a->kv_slots,
        .query_start = a->query_start,
        .kv_lengths = a->kv_lengths,
        .block_tables = a->block_tables,
        .max_blocks = width,
        .n_logit_rows = n_rows,
        .logit_rows = a->logit_rows,
        .hidden_rows = a->hidden_rows,
    };
}

void step_build(struct step_arrays *a, const struct scheduler *s, struct llama_step *step)
{
    int32_t width = 1;
    for (int32_t i = 0; i < s->n_scheduled; i++)
        if (s->scheduled[i]->n_blocks > width) width = s->scheduled[i]->n_blocks;
    a->query_start[0] = 0;
    for (int32_t i = 0; i < s->n_scheduled; i++) {
        const struct sequence *q = s->scheduled[i];
        int32_t at =
            add_tokens(a, i, q, q->n_computed, q->n_scheduled, width, s->limits.block_size);
        add_rows(a, q, at);
    }
    fill(a, s->n_scheduled, width, s->n_rows, step);
    step->n_hidden_rows = s->n_hidden_rows;
}

void step_build_parts(struct step_arrays *a, const struct step_part *parts, int32_t n,
                      int32_t block_size, struct llama_step *step)
{
    int32_t width = 1, n_rows = 0;
    for (int32_t i = 0; i < n; i++)
        if (parts[i].sequence->n_blocks > width) width = parts[i].sequence->n_blocks;
    a->query_start[0] = 0;
    for (int32_t i = 0; i < n; i++) {
        const struct step_part *p = &parts[i];
        int32_t at = add_tokens(a, i, p->sequence, p->from, p->count, width, block_size);
        if (p->wants_row) a->logit_rows[n_rows++] = at + p->count - 1;
    }
    fill(a, n, width, n_rows, step);
}
