#include "engine/logprobs.h"

static int32_t rank_of(const float *row, int32_t n, float value)
{
    int32_t above = 0;
    for (int32_t i = 0; i < n; i++) above += row[i] > value;
    return above + 1;
}

void logprobs_fill(struct logits_scratch *s, const float *row, token_id chosen, int32_t k,
                   struct token_logprob *out)
{
    bool finite;
    int32_t n = s->vocab_size;
    float maximum = logits_scan(s, row, &finite);
    double log_sum = logits_log_sum(row, n, maximum);
    out[0] = (struct token_logprob){chosen, (float)((double)row[chosen] - log_sum),
                                    rank_of(row, n, row[chosen])};
    token_id best[SAMPLING_MAX_LOGPROBS];
    int32_t found = logits_top(s, row, k < SAMPLING_MAX_LOGPROBS ? k : SAMPLING_MAX_LOGPROBS, best);
    for (int32_t i = 0; i < k; i++) {
        if (i >= found) {
            out[1 + i] = (struct token_logprob){TOKEN_NONE, 0, 0};
            continue;
        }
        float value = row[best[i]];
        bool tied = i > 0 && row[best[i - 1]] == value;
        out[1 + i] = (struct token_logprob){best[i], (float)((double)value - log_sum),
                                            tied ? out[i].rank : i + 1};
    }
}
