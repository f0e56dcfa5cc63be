/* task: what an evaluation asks, as data: one JSON file per task, in the program or brought by the user.
 *
 *   {"name": "tw_legal", "title": "Legal Eval", "title_zh": "...", "about": "...",
 *    "dataset": "org/name",            hub name of the rows; a subset may name another
 *    "split": "test", "fewshot_split": "dev",
 *    "columns": ["question", "A"],     what a row must have
 *    "method": "loglikelihood"         the letters' log-likelihoods are compared
 *            | "generate",             an answer is generated and read by "parser"
 *    "description": "...\n\n",         stands once in front; rendered unless "description_is_template" is false
 *    "text": "{{question}}...Answer:", the question, unsolved
 *    "shot": "{{text}} {{answer}}",    a solved example; {{text}} is its rendered "text"
 *    "shot_delimiter": "\n\n",         behind every example
 *    "shots": 0,                       examples when the user does not say
 *    "prefill": "...",                 behind everything, after the model's chat template if one is applied
 *    "letters": "ABCD",                the choices, a template; a subset may name its own
 *    "choice_prefix": " ",             between the prompt and a letter
 *    "answer": "{{answer}}",           the right letter; for parser "exact" a JSON list of right texts
 *    "possible_answers": "ABCD",       a row whose answer is not among them is refused, by name
 *    "chat": true, "system": "...", "shot_answer": "{{answer}}",
 *                                      the prompt is a conversation: description and text are the first user turn
 *    "stop": ["\n"], "max_tokens": 128, "parser": "exact" | "ievals" | "miulab" | "miulab_cot" | "tceval" | "calls",
 *    "average": "micro" (questions) | "macro" (subsets) | "macro_groups" (groups of subsets),
 *    "subsets": [{"name": "...", "label": "...", "group": "...", "letters": "...", "config": "...",
 *                 "dataset": "...", "split": "...", "fewshot_split": "..."}]}
 *
 * Templates are Jinja as in chat templates (text/chat_template.h: one line end behind a template and those behind
 * block tags are dropped). They see the columns of the row, `doc` (all columns), `label` and `subset`. A task is
 * immutable once opened.
 */
#ifndef EVAL_TASK_H
#define EVAL_TASK_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"
#include "text/chat_template.h"

enum eval_method { EVAL_LOGLIKELIHOOD, EVAL_GENERATE };
enum eval_parser {
    EVAL_PARSER_EXACT,
    EVAL_PARSER_IEVALS,
    EVAL_PARSER_MIULAB,
    EVAL_PARSER_MIULAB_COT,
    EVAL_PARSER_TCEVAL,
    EVAL_PARSER_CALLS, /* answer: {"function": [...], "ground_truth": [...]} of eval/function_calls.h */
};
enum eval_average { EVAL_MICRO, EVAL_MACRO, EVAL_MACRO_GROUPS };

enum { EVAL_MAX_SUBSETS = 4096, EVAL_MAX_SHOTS = 64, EVAL_MAX_STOPS = 16 };

struct eval_subset {
    struct str name, label, group, config, dataset, split,
        fewshot_split;             /* fewshot_split may be empty */
    struct chat_template *letters; /* its own, or NULL: the task's */
};

struct eval_task {
    struct arena arena;
    struct str name, title, title_zh, about;
    enum eval_method method;
    enum eval_parser parser;
    enum eval_average average;
    struct chat_template *text, *shot, *shot_answer, *answer, *possible_answers, *letters, *system;
    struct chat_template *description; /* NULL: raw_description is taken as it stands */
    struct str raw_description, shot_delimiter, prefill, choice_prefix;
    bool chat;
    int shots, max_tokens;
    struct str *columns, *stops;
    size_t n_columns, n_stops;
    struct eval_subset *subsets;
    size_t n_subsets;
    char sha256[65]; /* of the file */
};

/* A task of the program by name, or a path to a user's file. */
status eval_task_open(struct eval_task **, const char *name_or_path, struct error *err);
status eval_task_parse(struct eval_task **, struct str json, const char *source, struct error *err);
void eval_task_close(struct eval_task *);

/* The files in the program: *name and *json of the index'th, false behind the last. */
bool eval_task_builtin(size_t index, const char **name, struct str *json);

#endif
