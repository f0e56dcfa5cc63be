#include "eval/metrics.h"

#include <math.h>

struct eval_score eval_score_of(const struct eval_tally *t)
{
    struct eval_score score = {(double)NAN, (double)NAN, t->n, t->n_correct};
    if (t->n == 0) return score;
    double n = (double)t->n, mean = (double)t->n_correct / n;
    score.value = mean;
    if (t->n > 1) score.standard_error = sqrt(mean * (1 - mean) * n / (n - 1)) / sqrt(n);
    return score;
}

struct eval_score eval_micro(const struct eval_tally *tallies, size_t count)
{
    struct eval_score all = {(double)NAN, (double)NAN, 0, 0};
    double squares = 0, n_used = 0;
    for (size_t i = 0; i < count; i++) {
        struct eval_score one = eval_score_of(&tallies[i]);
        if (one.n == 0) continue;
        all.n += one.n;
        all.n_correct += one.n_correct;
        n_used++;
        double n = (double)one.n, se = one.n > 1 ? one.standard_error : 0;
        squares += (n - 1) * se * se * n;
    }
    double n = (double)all.n;
    if (all.n > 0) all.value = (double)all.n_correct / n;
    if (n > n_used) all.standard_error = sqrt(squares / (n - n_used) / n);
    return all;
}

/* The mean of the scores that exist among tallies[of[0..count)]; independent errors. */
static struct eval_score mean_of(const struct eval_score *scores, size_t count)
{
    struct eval_score mean = {0, 0, 0, 0};
    double n_used = 0;
    for (size_t i = 0; i < count; i++) {
        if (scores[i].n == 0) continue;
        n_used++;
        mean.value += scores[i].value;
        if (scores[i].n > 1)
            mean.standard_error += scores[i].standard_error * scores[i].standard_error;
        mean.n += scores[i].n;
        mean.n_correct += scores[i].n_correct;
    }
    mean.value = n_used > 0 ? mean.value / n_used : (double)NAN;
    mean.standard_error = n_used > 0 ? sqrt(mean.standard_error) / n_used : (double)NAN;
    return mean;
}

struct eval_score eval_macro(const struct eval_tally *tallies, size_t count)
{
    struct eval_score scores[EVAL_MAX_SUBSETS];
    for (size_t i = 0; i < count; i++) scores[i] = eval_score_of(&tallies[i]);
    return mean_of(scores, count);
}

struct eval_score eval_macro_groups(const struct eval_task *task, const struct eval_tally *tallies)
{
    struct eval_score members[EVAL_MAX_SUBSETS], groups[EVAL_MAX_SUBSETS];
    size_t n_groups = 0;
    for (size_t i = 0; i < task->n_subsets; i++) {
        struct str group = task->subsets[i].group;
        size_t n_members = 0;
        bool seen = false;
        for (size_t k = 0; k < i; k++) seen |= str_equal(task->subsets[k].group, group);
        if (seen) continue;
        for (size_t k = i; k < task->n_subsets; k++)
            if (str_equal(task->subsets[k].group, group))
                members[n_members++] = eval_score_of(&tallies[k]);
        groups[n_groups++] = mean_of(members, n_members);
    }
    return mean_of(groups, n_groups);
}

struct eval_score eval_primary(const struct eval_task *task, const struct eval_tally *tallies)
{
    if (task->average == EVAL_MICRO) return eval_micro(tallies, task->n_subsets);
    if (task->average == EVAL_MACRO) return eval_macro(tallies, task->n_subsets);
    return eval_macro_groups(task, tallies);
}

const char *eval_average_name(enum eval_average average)
{
    static const char *const names[] = {"micro", "macro", "macro_groups"};
    return names[average];
}

/* P(X <= k) for X binomial(n, 1/2), in logarithms so that large n do not underflow. */
static double binomial_tail(int64_t k, int64_t n)
{
    double sum = 0, log_all = (double)n * log(2.0);
    for (int64_t i = 0; i <= k; i++)
        sum += exp(lgamma((double)n + 1) - lgamma((double)i + 1) - lgamma((double)(n - i) + 1) -
                   log_all);
    return sum;
}

struct eval_paired eval_compare(const unsigned char *first, const unsigned char *second,
                                size_t count)
{
    struct eval_paired r = {.n = (int64_t)count, .standard_error = (double)NAN, .p_value = 1};
    for (size_t i = 0; i < count; i++) {
        r.only_first += first[i] && !second[i];
        r.only_second += second[i] && !first[i];
    }
    double n = (double)count, b = (double)r.only_first, c = (double)r.only_second;
    if (count == 0) return r;
    r.difference = (c - b) / n;
    if (count > 1) {
        double variance = ((b + c) - (c - b) * (c - b) / n) / (n - 1);
        r.standard_error = sqrt(variance / n);
    }
    int64_t fewer = r.only_first < r.only_second ? r.only_first : r.only_second;
    double p = 2 * binomial_tail(fewer, r.only_first + r.only_second);
    if (r.only_first + r.only_second > 0) r.p_value = p < 1 ? p : 1;
    return r;
}
