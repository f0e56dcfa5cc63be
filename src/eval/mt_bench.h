/* mt_bench: TW MT-Bench, the form of FastChat's LLM judge that the published numbers come from.
 *
 * Questions, answers, references and judgments are FastChat's JSON lines. A question is judged twice: its first
 * turn with a single-turn prompt, its second with a multi-turn prompt, each in a form with a reference answer
 * where the reference file has the question's id (the category does not matter). Filling a prompt is plain
 * substitution. A rating is the first "[[n]]" of a judgment, else the first "[n]", else -1; published figures
 * count -1 as a score.
 */
#ifndef EVAL_MT_BENCH_H
#define EVAL_MT_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"
#include "data/json.h"

enum { MT_BENCH_TURNS = 2, MT_BENCH_CATEGORIES = 8, MT_BENCH_MAX_JUDGMENTS = 1 << 20 };
extern const char *const mt_bench_categories[MT_BENCH_CATEGORIES];

/* The category of a TW MT-Bench question (ids 81 to 160, ten of each in order), or -1. */
int mt_bench_category(int64_t question_id);
/* The temperature FastChat answers a category with. */
double mt_bench_temperature(struct str category);

/* The prompt names are those of the judge's file: single-v1, single-math-v1, and both with -multi-turn. */
enum mt_bench_prompt { MT_SINGLE, MT_SINGLE_MATH, MT_MULTI, MT_MULTI_MATH, MT_PROMPTS };
const char *mt_bench_prompt_name(enum mt_bench_prompt);
struct str mt_bench_system(enum mt_bench_prompt);

struct mt_bench_case {
    struct str questions[MT_BENCH_TURNS], answers[MT_BENCH_TURNS], references[MT_BENCH_TURNS];
};
/* Appends what the judge reads as the user's message. */
status mt_bench_fill(enum mt_bench_prompt, const struct mt_bench_case *, struct strbuf *out);

/* The rating in a judgment; -1 when there is none. */
double mt_bench_rating(struct str judgment);

struct mt_bench_score {
    int64_t question_id;
    int turn; /* 1 or 2 */
    double score;
    bool with_reference;
};

struct mt_bench_statistics {
    int64_t n;
    double mean, maximum, minimum, median, deviation; /* the population's */
};
/* Statistics of the scores that pass: category -1 and turn 0 stand for all; unparsable: whether -1 counts. */
struct mt_bench_statistics mt_bench_statistics(const struct mt_bench_score *, size_t count,
                                               int category, int turn, bool unparsable);

/* One model's scores from the lines of a judgment file. The score is read from the judgment again and must be
 * the one stored, unless `trust_stored`. Of a (question, turn) judged twice the last counts. */
struct mt_bench_run {
    struct str model; /* in the arena */
    struct mt_bench_score *scores;
    size_t count, capacity;
};
struct mt_bench_judgments {
    struct arena arena;
    struct mt_bench_run *models; /* in order of appearance */
    size_t n_models;
    int64_t n_differing; /* stored scores that the judgment's text does not give */
};
status mt_bench_read(struct mt_bench_judgments *, struct str jsonl, const char *source,
                     struct error *err);
void mt_bench_judgments_deinit(struct mt_bench_judgments *);

/* A radar chart of the categories' means (0 to 10), one polygon per model, as SVG. */
status mt_bench_radar(const struct mt_bench_judgments *, bool taiwan, struct strbuf *out);

#endif
