/* idle_model: what an engine needs of a model and a tokenizer to be measured alone. Copies of blocks do
 * nothing, every token is one letter, none is special; logits come from the caller's function. */
#ifndef SIM_IDLE_MODEL_H
#define SIM_IDLE_MODEL_H

#include "engine/engine_core.h"

static inline void idle_copy_block(void *self, int32_t from, int32_t to)
{
    (void)self, (void)from, (void)to;
}

/* `write_logits` is a step_runner's run. */
static inline struct step_runner idle_runner(status (*write_logits)(void *self,
                                                                    const struct llama_step *,
                                                                    float *logits, struct error *))
{
    return (struct step_runner){.run = write_logits, .copy_block = idle_copy_block};
}

static inline struct str idle_letter(const void *source, token_id id)
{
    (void)source;
    return (struct str){&"abcdefghijklmnopqrstuvwxyz"[id % 26], 1};
}

static inline bool idle_is_special(const void *source, token_id id)
{
    (void)source, (void)id;
    return false;
}

static inline struct token_text idle_text(void)
{
    return (struct token_text){"", idle_letter, idle_is_special};
}

/* An engine_on_output: adds the tokens up in *(int64_t *)argument. */
static inline void idle_count_tokens(void *argument, const struct engine_output *out)
{
    *(int64_t *)argument += (int64_t)out->n_tokens;
}

#endif
