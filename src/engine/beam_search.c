#include "engine/beam_search.h"

#include <math.h>
#include <string.h>

#include "engine/sequence_text.h"

static const float NEVER = -1.0e9f; /* transformers' "minus infinity" */

status beam_search_create(struct beam_search **out, struct request *r, int32_t n_ending_ids,
                          int32_t max_blocks, struct error *err)
{
    struct arena *a = &r->arena;
    struct beam_search *b = ARENA_NEW(a, struct beam_search);
    if (!b) return error_set(err, STATUS_NO_MEMORY, "beam search: no memory");
    size_t n = (size_t)r->params.num_beams;
    b->n_beams = (int32_t)n;
    b->n_kept = (int32_t)beam_search_n_kept(b->n_beams, n_ending_ids);
    b->max_blocks = max_blocks;
    b->can_improve = true;
    size_t kept = (size_t)b->n_kept, length = (size_t)r->max_output;
    b->lists = ARENA_ARRAY(a, struct beam_candidate, n * kept);
    b->list_sizes = ARENA_ARRAY(a, int32_t, n);
    b->heads = ARENA_ARRAY(a, int32_t, n);
    b->top = ARENA_ARRAY(a, token_id, n * kept);
    b->kept = ARENA_ARRAY(a, struct beam_candidate, kept);
    b->next = ARENA_ARRAY(a, struct beam_candidate, n);
    b->finished = ARENA_ARRAY(a, struct beam_finished, n + 1);
    b->tokens = ARENA_ARRAY(a, token_id, n * length);
    b->blocks = ARENA_ARRAY(a, int32_t, n * (size_t)max_blocks);
    b->prefixes = ARENA_ARRAY(a, struct siphash_digest, n);
    token_id *finished_tokens = ARENA_ARRAY(a, token_id, (n + 1) * length);
    if (!b->lists || !b->list_sizes || !b->heads || !b->top || !b->kept || !b->next ||
        !b->finished || !b->tokens || !b->blocks || !b->prefixes || !finished_tokens)
        return error_set(err, STATUS_NO_MEMORY, "beam search: no memory for %zu beams", n);
    for (size_t i = 0; i <= n; i++) {
        b->finished[i].score = NEVER;
        b->finished[i].tokens = finished_tokens + i * length;
    }
    *out = b;
    return STATUS_OK;
}

void beam_search_score(struct logits_scratch *s, const struct sampler_input *in,
                       struct sequence *beam, float *row)
{
    struct beam_search *b = beam->request->beams;
    bool finite;
    float maximum = logits_scan(s, row, &finite);
    float log_sum = (float)(logits_log_sum(row, s->vocab_size, maximum) - (double)maximum);
    for (int32_t i = 0; i < s->vocab_size; i++) row[i] = (row[i] - maximum) - log_sum;
    sampler_adjust(s, in, row);
    logits_scan(s, row, &finite);
    token_id *top = b->top + (size_t)beam->index * (size_t)b->n_kept;
    struct beam_candidate *list = b->lists + (size_t)beam->index * (size_t)b->n_kept;
    int32_t n = logits_top(s, row, b->n_kept, top);
    for (int32_t i = 0; i < n; i++)
        list[i] =
            (struct beam_candidate){row[top[i]] + beam->beam_score, beam->index, top[i], false};
    b->list_sizes[beam->index] = n;
}

/* ---- which candidates end ---- */

/* Whether a stop string ends inside the newest token of q. */
static bool newest_token_ends_string(const struct sequence *q, const struct token_text *text)
{
    const struct sampling_params *p = &q->request->params;
    if (p->n_stop == 0 || sequence_n_output(q) <= p->min_tokens) return false;
    token_id last = q->tokens[q->n_tokens - 1];
    if (p->skip_special_tokens && text->is_special(text->source, last)) return false;
    struct str newest = text->bytes(text->source, last);
    int32_t first = q->n_prompt + p->min_tokens;
    for (size_t i = 0; i < p->n_stop; i++) {
        for (size_t end = 1; end <= newest.size; end++) {
            struct str piece = newest;
            size_t at = end, left = p->stop[i].size;
            int32_t token = q->n_tokens - 1;
            for (; left > 0; left--) {
                while (at == 0 && --token >= first) {
                    bool skipped =
                        p->skip_special_tokens && text->is_special(text->source, q->tokens[token]);
                    piece = text->bytes(text->source, q->tokens[token]);
                    at = skipped ? 0 : piece.size;
                }
                if (at == 0 || piece.data[--at] != p->stop[i].data[left - 1]) break;
            }
            if (left == 0) return true;
        }
    }
    return false;
}

static bool candidate_ends(struct request *r, const struct beam_candidate *c,
                           const struct token_text *text)
{
    struct sequence *q = r->sequences[c->beam];
    q->tokens[q->n_tokens++] = c->id; /* for a moment: there is room for max_output tokens */
    bool ends = sequence_n_output(q) >= r->max_output || sequence_stops_by_token(q) ||
                newest_token_ends_string(q, text);
    q->n_tokens--;
    return ends;
}

/* The best n_kept of the beams' sorted lists. Returns how many there are. */
static int32_t merge_lists(struct beam_search *b, int32_t n_live)
{
    memset(b->heads, 0, (size_t)b->n_beams * sizeof *b->heads);
    int32_t n = 0;
    while (n < b->n_kept) {
        const struct beam_candidate *best = NULL;
        for (int32_t i = 0; i < n_live; i++) {
            if (b->heads[i] == b->list_sizes[i]) continue;
            const struct beam_candidate *c =
                b->lists + (size_t)i * (size_t)b->n_kept + (size_t)b->heads[i];
            if (!best || c->score > best->score) best = c;
        }
        if (!best) break;
        b->heads[best->beam]++;
        b->kept[n++] = *best;
    }
    return n;
}

/* ---- choosing ---- */

static float penalised(const struct request *r, float sum, int32_t length)
{
    return sum / (float)pow((double)length, (double)r->params.length_penalty);
}

/* A candidate that ended competes for a place among the finished. */
static void offer_finished(struct request *r, const struct beam_candidate *c, float score)
{
    struct beam_search *b = r->beams;
    int32_t place = b->n_beams;
    while (place > 0 && score > b->finished[place - 1].score) place--;
    if (place == b->n_beams) return;
    struct beam_finished spare = b->finished[b->n_beams];
    memmove(b->finished + place + 1, b->finished + place,
            (size_t)(b->n_beams - place) * sizeof *b->finished);
    /* The one pushed out gives its buffer to the next comer, the spare buffer serves now. */
    const struct sequence *q = r->sequences[c->beam];
    int32_t n_output = sequence_n_output(q);
    memcpy(spare.tokens, q->tokens + q->n_prompt, (size_t)n_output * sizeof(token_id));
    spare.tokens[n_output] = c->id;
    b->finished[place] = (struct beam_finished){score, c->score, true, spare.tokens, n_output + 1};
}

static bool all_finished(const struct beam_search *b)
{
    return b->finished[b->n_beams - 1].is_finished;
}

/* Whether the best running sum could still beat a finished score. */
static bool may_improve(const struct request *r, float best_sum, int32_t n_output)
{
    const struct beam_search *b = r->beams;
    bool longest = r->params.early_stopping == 2 && r->params.length_penalty > 0;
    float best = penalised(r, best_sum, longest ? r->max_output : n_output);
    float worst = b->finished[b->n_beams - 1].score; /* the list is sorted */
    for (int32_t i = 0; i < b->n_beams; i++)
        if (best > (b->finished[i].is_finished ? worst : NEVER)) return true;
    return false;
}

/* Sequence i becomes the beam next[i]. */
static void rearrange(struct scheduler *s, struct request *r)
{
    struct beam_search *b = r->beams;
    struct sequence *first = r->sequences[0];
    size_t n_output = (size_t)sequence_n_output(first), width = (size_t)r->max_output;
    if (!r->has_forked) {
        for (int32_t i = 1; i < b->n_beams; i++) {
            scheduler_fork(s, first, r->sequences[i]);
            r->sequences[i]->n_tokens = first->n_tokens;
        }
        r->has_forked = true;
        r->n_live_beams = b->n_beams;
    }
    for (int32_t i = 0; i < b->n_beams; i++) {
        const struct sequence *parent = r->sequences[b->next[i].beam];
        memcpy(b->tokens + (size_t)i * width, parent->tokens + parent->n_prompt,
               n_output * sizeof(token_id));
        memcpy(b->blocks + (size_t)i * (size_t)b->max_blocks, parent->blocks,
               (size_t)parent->n_blocks * sizeof(int32_t));
        b->prefixes[i] = parent->prefix;
        scheduler_share_blocks(s, parent->blocks, parent->n_blocks);
    }
    for (int32_t i = 0; i < b->n_beams; i++) {
        struct sequence *q = r->sequences[i];
        scheduler_release_blocks(s, q->blocks, q->n_blocks);
        memcpy(q->tokens + q->n_prompt, b->tokens + (size_t)i * width, n_output * sizeof(token_id));
        memcpy(q->blocks, b->blocks + (size_t)i * (size_t)b->max_blocks,
               (size_t)q->n_blocks * sizeof(int32_t));
        q->prefix = b->prefixes[i];
        q->tokens[q->n_tokens++] = b->next[i].id;
        q->beam_score = b->next[i].score;
    }
}

bool beam_search_advance(struct scheduler *s, struct request *r, const struct token_text *text)
{
    struct beam_search *b = r->beams;
    int32_t length = sequence_n_output(r->sequences[0]) + 1; /* with the new token */
    int32_t n_kept = merge_lists(b, r->n_live_beams);
    bool all_end = true;
    for (int32_t i = 0; i < n_kept; i++) {
        b->kept[i].ends = candidate_ends(r, &b->kept[i], text);
        all_end &= b->kept[i].ends;
    }
    /* Those that run on; when too few do, ended ones fill up and can never win. */
    int32_t n = 0;
    for (int32_t i = 0; i < n_kept && n < b->n_beams; i++)
        if (!b->kept[i].ends) b->next[n++] = b->kept[i];
    for (int32_t i = 0; i < n_kept && n < b->n_beams; i++) {
        if (!b->kept[i].ends) continue;
        b->next[n] = b->kept[i];
        b->next[n++].score += NEVER;
    }
    for (int32_t i = 0; i < b->n_beams && i < n_kept; i++)
        if (b->kept[i].ends) offer_finished(r, &b->kept[i], penalised(r, b->kept[i].score, length));

    b->can_improve = b->can_improve && may_improve(r, b->next[0].score, length);
    bool is_full = r->params.early_stopping == 1 && all_finished(b);
    if (!b->can_improve || is_full || all_end) return true;
    rearrange(s, r);
    return false;
}
