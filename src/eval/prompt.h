/* prompt: from a row of a data set to what the model reads. */
#ifndef EVAL_PROMPT_H
#define EVAL_PROMPT_H

#include "data/table.h"
#include "eval/task.h"

enum { EVAL_MAX_LETTERS = 26 };

/* One question. For tasks with "chat" prompt is the JSON list of messages, otherwise the text in front of the
 * model's chat template (if one is applied) and of the task's prefill. */
struct eval_item {
    struct strbuf prompt, answer;
    char letters[EVAL_MAX_LETTERS + 1]; /* loglikelihood: the choices */
    int gold;                           /* index of the answer in letters, -1: not among them */
    int shots;                          /* examples that stand in the prompt */
};
void eval_item_deinit(struct eval_item *);

/* STATUS_FORMAT when a column of the task is missing, naming file, column and what there is; or when the
 * table is empty. */
status eval_check_columns(const struct eval_task *, const struct table *, const char *source,
                          struct error *err);

/* Renders row `row`, with the first n_shots rows of `examples` (NULL: none) as examples. *item is overwritten;
 * it may be used again for the next row. Errors name the row. */
status eval_render(const struct eval_task *, const struct eval_subset *, const struct table *,
                   size_t row, const struct table *examples, int n_shots, struct eval_item *item,
                   struct error *err);

#endif
