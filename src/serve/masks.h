/* masks: bans tokens before each choice: allowed_token_ids, bad_words, the grammar of the answer, and the schema of a
 * tool once the answer has begun to call it. */
#ifndef SERVE_MASKS_H
#define SERVE_MASKS_H

#include "serve/job.h"

struct masks;
struct mask_sequences; /* of one prompt */

/* Reads them from job->asked and job->tools; *out is NULL when there is nothing to ban. */
status masks_create(struct job *, struct masks **out);
/* What the completions (or beams) of one more prompt need; lives as long as the masks. */
status masks_add_prompt(struct job *, struct masks *, struct mask_sequences **out);
void masks_destroy(struct masks *);

/* The engine's mask callback; `argument` is the mask_sequences. */
void masks_apply(void *argument, int32_t index, const token_id *output, int32_t n_output,
                 float *logits, int32_t vocab_size);
/* Why a completion could not go on: its grammar's budget was spent. NULL: it could. */
const char *masks_failure(const struct mask_sequences *, int32_t index);

#endif
