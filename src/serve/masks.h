/* masks: bans tokens before each choice: allowed_token_ids, bad_words. */
#ifndef SERVE_MASKS_H
#define SERVE_MASKS_H

#include "serve/job.h"

struct masks;

/* Reads them from job->asked; *out is NULL when there is nothing to ban. Lives in the job's arena. */
status masks_create(struct job *, struct masks **out);
/* The engine's mask callback; `argument` is the masks. */
void masks_apply(void *argument, int32_t index, const token_id *output, int32_t n_output,
                 float *logits, int32_t vocab_size);

#endif
