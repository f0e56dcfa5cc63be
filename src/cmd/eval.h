/* eval: what the parts of `twllm eval` share. */
#ifndef CMD_EVAL_H
#define CMD_EVAL_H

#include "cmd/result_file.h"
#include "cmd/session.h"
#include "eval/report.h"
#include "eval/score.h"

enum { EVAL_TASKS = 64 };

struct eval_options {
    struct session_options session;
    const char *tasks[EVAL_TASKS]; /* names or paths */
    size_t n_tasks;
    const char *data, *output;
    int64_t shots, limit; /* shots -1: the task's own */
    bool apply_chat_template, bf16_logits, add_bos, overwrite, print_prompts, skip_missing;
    char *command; /* as typed */
};

/* One question of a task. */
struct eval_question {
    uint32_t subset, row;
    bool done, is_correct, is_unreadable, is_outside, is_truncated, failed;
    char prompt_hash[17]; /* the beginning of the prompt's SHA-256 */
    char letters[EVAL_MAX_LETTERS + 1];
    int gold;
    char *answer; /* the right one, as the task gives it; NULL once done */
    struct score_request *request;
};

/* A task being run: its rows, its questions, and where they go. */
struct eval_job {
    const struct eval_task *task;
    struct table *rows, *examples; /* per subset */
    struct eval_tally *tallies;    /* per subset */
    struct eval_question *questions;
    size_t n_questions;
    int shots;
    struct result_file samples;
    bool has_samples;
    int64_t synced_us; /* when the samples last reached the disk */
};

/* Reads the rows of every subset from folder or cache. */
status eval_job_load(struct eval_job *, const struct eval_task *, const struct eval_options *,
                     const struct environment *, struct error *);
void eval_job_deinit(struct eval_job *);
/* What the model reads for a question, chat template and prefill included. */
status eval_job_prompt(const struct eval_job *, const struct eval_question *,
                       const struct eval_options *, const struct session *, struct eval_item *item,
                       struct strbuf *prompt, struct error *);

/* Opens OUTPUT/samples_TASK.jsonl and takes over what an earlier run of the same settings (`run`, JSON) has
 * written there. */
status eval_samples_open(struct eval_job *, const struct eval_options *, struct str run,
                         struct error *);
/* Appends a finished question; it is on the disk within a second. */
status eval_samples_append(struct eval_job *, const struct eval_question *,
                           const struct score_request *, struct str shown, struct error *);

/* Marks what was found: the letter or text read from the answer goes to *shown. */
status eval_judge(const struct eval_task *, struct eval_question *, const struct score_request *,
                  struct strbuf *shown, struct error *);
void eval_count(struct eval_tally *, const struct eval_question *);

status eval_run_tasks(const struct eval_options *, const struct environment *, struct error *);

/* The other things `twllm eval` does; arguments behind their word. */
status eval_list(int argc, char *const *argv, const struct environment *, struct error *);
status eval_compare_runs(int argc, char *const *argv, const struct environment *, struct error *);
status eval_mt_bench(int argc, char *const *argv, const struct environment *, struct error *);
status eval_needle(int argc, char *const *argv, const struct environment *, struct error *);

#endif
