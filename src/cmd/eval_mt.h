/* eval_mt: what the parts of `twllm eval mt-bench` share. */
#ifndef CMD_EVAL_MT_H
#define CMD_EVAL_MT_H

#include "cmd/eval.h"
#include "eval/mt_bench.h"

struct mt_options {
    struct session_options session;
    struct remote_arguments remote;
    const char *judgments, *radar, *questions, *answers, *references, *generate, *results;
    const char *judge_url, *judge_api, *judge_model;
    bool json, placeholders;
};

/* Texts of two turns by question id: questions, answers or reference answers. */
struct mt_turns {
    struct arena arena;
    struct mt_turns_row {
        int64_t id;
        struct str category, model, turns[MT_BENCH_TURNS];
    } * rows;
    size_t count;
};
status mt_turns_read(struct mt_turns *, const char *path, struct error *);
void mt_turns_deinit(struct mt_turns *);
const struct mt_turns_row *mt_turns_find(const struct mt_turns *, int64_t id); /* or NULL */
/* The published run judged with the questions themselves where a reference answer belongs: repeated on demand. */
void mt_turns_put_placeholders(struct mt_turns *references, const struct mt_turns *questions);

/* What the judge reads about a turn; `reference` may be NULL. */
status mt_turns_fill(const struct mt_turns_row *question, const struct mt_turns_row *answer,
                     const struct mt_turns_row *reference, int turn, enum mt_bench_prompt *which,
                     struct strbuf *user);

/* Answers the questions, here or behind an API, into options->generate. *left: only the estimate was asked for. */
status eval_mt_answer(const struct mt_options *, const struct environment *, bool *left,
                      struct error *);
/* Has the answers judged, into options->judgments, as FastChat writes them. */
status eval_mt_judge(const struct mt_options *, const struct environment *, bool *left,
                     struct error *);

#endif
