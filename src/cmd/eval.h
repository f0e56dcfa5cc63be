/* eval: what the parts of `twllm eval` share. */
#ifndef CMD_EVAL_H
#define CMD_EVAL_H

#include "cmd/remote_arguments.h"
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
    char *command;                  /* as typed */
    struct remote_arguments remote; /* with a url: the model is there */
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
    struct eval_remote_question *remote; /* NULL: the engine is asked */
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

/* Models behind an API. The prompt of a question as it is sent: a JSON list of messages, or text. */
status eval_remote_prompt(const struct eval_job *, const struct eval_options *,
                          const struct eval_item *, struct strbuf *prompt, struct error *);
/* Makes the question ready to be sent; tokenizer NULL: as text. */
status eval_remote_prepare(const struct eval_job *, struct eval_question *,
                           const struct eval_options *, const struct tokenizer *, struct str prompt,
                           struct error *);
void eval_remote_deinit(struct eval_remote_question *); /* NULL is fine */
/* Asks them all and calls `take` for each answered one. Those that could not be asked are the error at the end,
 * STATUS_IO, when all others are answered. */
struct eval_remote_run {
    const struct remote_arguments *arguments;
    const char *model, *option;
    const struct environment *environment;
    status (*take)(void *argument, size_t index, struct error *);
    bool (*is_cancelled)(void *argument);
    void *argument;
    bool left; /* set: only the estimate was asked for */
};
status eval_remote_ask(struct eval_remote_run *, struct remote_question *const *, size_t count,
                       struct error *);
struct remote_question *eval_remote_question_of(struct eval_remote_question *);
/* The answer, for judging and for the samples. */
status eval_remote_take(struct eval_question *, struct error *);

/* Writes a single figure to `path` as a results.json. */
status eval_save_measure(const char *path, struct eval_measure, struct error *);

status eval_run_tasks(const struct eval_options *, const struct environment *, struct error *);

/* The other things `twllm eval` does; arguments behind their word. */
status eval_list(int argc, char *const *argv, const struct environment *, struct error *);
status eval_compare_runs(int argc, char *const *argv, const struct environment *, struct error *);
status eval_board(int argc, char *const *argv, const struct environment *, struct error *);
status eval_mt_bench(int argc, char *const *argv, const struct environment *, struct error *);
status eval_needle(int argc, char *const *argv, const struct environment *, struct error *);

#endif
