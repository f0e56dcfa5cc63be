/* DRY: a penalty that grows exponentially with the length of the repetition a token would continue.
 */
#include <math.h>

#include "engine/sampler.h"

static const struct str default_breakers[] = {STR("\n"), STR(":"), STR("\""), STR("*")};

struct breakers {
    const struct str *list;
    size_t count;
    const struct token_text *text;
};

static struct str token_bytes(const struct breakers *b, token_id id)
{
    return b->text->bytes(b->text->source, id);
}

/* Whether s, read backwards from byte `end` of tokens[at], spells `breaker`; it may begin in
 * earlier tokens. */
static bool ends_here(const struct breakers *b, const token_id *tokens, int32_t at, size_t end,
                      struct str breaker)
{
    struct str piece = token_bytes(b, tokens[at]);
    for (size_t k = breaker.size; k > 0; k--) {
        while (end == 0) {
            if (--at < 0) return false;
            piece = token_bytes(b, tokens[at]);
            end = piece.size;
        }
        if (piece.data[--end] != breaker.data[k - 1]) return false;
    }
    return true;
}

static bool breaker_ends_in(const struct breakers *b, const token_id *tokens, int32_t at)
{
    struct str piece = token_bytes(b, tokens[at]);
    for (size_t i = 0; i < b->count; i++)
        for (size_t end = 1; end <= piece.size; end++)
            if (ends_here(b, tokens, at, end, b->list[i])) return true;
    return false;
}

static bool token_contains_breaker(const struct breakers *b, token_id id)
{
    for (size_t i = 0; i < b->count; i++)
        if (str_find(token_bytes(b, id), b->list[i]) >= 0) return true;
    return false;
}

void sampler_dry_apply(struct logits_scratch *s, const struct sampler_input *in, float *row)
{
    const struct sampling_params *p = in->params;
    if (p->dry_multiplier == 0) return;
    int32_t n = in->n_tokens;
    if (p->dry_penalty_last_n >= 0 && p->dry_penalty_last_n < n) n = p->dry_penalty_last_n;
    if (n <= p->dry_allowed_length) return;
    const token_id *tokens = in->tokens + (in->n_tokens - n);
    sampler_match_suffix(tokens, n, s->match_lengths);
    int32_t longest = 0;
    for (int32_t i = 0; i < n - 1; i++)
        if (s->match_lengths[i] > longest) longest = s->match_lengths[i];
    if (longest < p->dry_allowed_length) return;

    struct breakers b = {p->dry_sequence_breakers, p->n_dry_sequence_breakers, &in->text};
    if (b.count == 0) {
        b.list = default_breakers;
        b.count = sizeof default_breakers / sizeof *default_breakers;
    }
    if (!in->text.bytes) b.count = 0;
    /* Only tokens after the last breaker count, and no more of them than the longest match has. */
    int32_t limit = 0;
    while (limit < longest && !breaker_ends_in(&b, tokens, n - 1 - limit)) limit++;
    if (limit < p->dry_allowed_length) return;

    /* counts holds the longest match in front of each token; the exponent is bounded so that the
     * penalty stays finite */
    int32_t most = p->dry_base > 1.000001f ? (int32_t)(88.7228391f / logf(p->dry_base)) : 0;
    for (int32_t i = 0; i < n - 1; i++) {
        int32_t match = s->match_lengths[i] < limit ? s->match_lengths[i] : limit;
        if (match > s->counts[tokens[i + 1]]) s->counts[tokens[i + 1]] = match;
    }
    for (int32_t i = 1; i < n; i++) {
        int32_t match = s->counts[tokens[i]];
        s->counts[tokens[i]] = 0;
        if (match < p->dry_allowed_length || token_contains_breaker(&b, tokens[i])) continue;
        int32_t exponent = match - p->dry_allowed_length;
        if (most > 0 && exponent > most) exponent = most;
        row[tokens[i]] -= p->dry_multiplier * powf(p->dry_base, (float)exponent);
    }
}
