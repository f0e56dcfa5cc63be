/* metrics: from right and wrong answers to scores, with the standard errors of lm-evaluation-harness. */
#ifndef EVAL_METRICS_H
#define EVAL_METRICS_H

#include <stdint.h>

#include "eval/task.h"

struct eval_tally {
    int64_t n, n_correct;
    int64_t n_unreadable; /* free answers in which no choice was found */
    int64_t n_outside;    /* right answer not among the choices: counted as wrong */
    int64_t n_truncated;  /* questions cut on the left to fit the model */
    int64_t n_failed;     /* questions the engine could not answer: counted as wrong */
};

struct eval_score {
    double value, standard_error; /* NaN where it cannot be had */
    int64_t n, n_correct;
};

/* Share of right answers; sample standard deviation / sqrt(n). */
struct eval_score eval_score_of(const struct eval_tally *);
/* All questions alike; the pooled standard error of the subsets, as the harness computes it for groups. */
struct eval_score eval_micro(const struct eval_tally *, size_t count);
/* The mean of the subsets' scores; empty ones are left out. */
struct eval_score eval_macro(const struct eval_tally *, size_t count);
/* The mean of the groups' means of their subsets. */
struct eval_score eval_macro_groups(const struct eval_task *, const struct eval_tally *);
/* The one the task is reported by. */
struct eval_score eval_primary(const struct eval_task *, const struct eval_tally *);
const char *eval_average_name(enum eval_average);

/* Paired comparison of two runs over the same questions: McNemar's exact test (two-sided binomial) on the
 * questions only one of them got right, and the difference with its standard error. */
struct eval_paired {
    int64_t n, only_first, only_second;
    double difference, standard_error, p_value; /* second minus first */
};
struct eval_paired eval_compare(const unsigned char *first, const unsigned char *second,
                                size_t count);

#endif
