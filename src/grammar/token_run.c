/* token_run: classes of states that are in the midst of a repetition.
 *
 * A string of at most n characters has a state for each number of characters left, and each would need a walk over the
 * vocabulary. But what a token does there depends on little: how many repetitions it holds, or, when it leaves the
 * repetition, after how many. One walk finds this for all states of  x{m,n} rest  with the same x and rest; where x and
 * rest begin with different bytes, and no x is the beginning of another, it is exact.
 */
#include <stdlib.h>

#include "grammar/grammar_parts.h"
#include "grammar/json_text.h"

enum { MAX_NEED = 250 };

static bool append(struct run_exits *list, uint32_t what, uint32_t after)
{
    if (list->n == list->capacity) {
        uint32_t larger = list->capacity ? 2 * list->capacity : 64;
        struct run_exit *items = realloc(list->items, larger * sizeof *items);
        if (!items) return false;
        list->items = items;
        list->capacity = larger;
    }
    list->items[list->n++] = (struct run_exit){what, after};
    return true;
}

/* The trie from node `top` on, whose byte leads to `state` of the rest. */
static bool walk_rest(struct grammar *grammar, struct token_run *run, uint32_t top, regular state,
                      regular *path, uint32_t after)
{
    const struct grammar_vocabulary *v = grammar->vocabulary;
    struct regular_set *set = &grammar->regulars;
    for (uint32_t i = top; i < v->nodes[top].end;) {
        struct trie_node node = v->nodes[i];
        regular next = i == top ? state : regular_next(set, path[node.depth - 1], node.byte);
        if (next == REGULAR_NOTHING) {
            if (set->failure != STATUS_OK) return false;
            i = node.end;
            continue;
        }
        for (uint32_t t = node.token; t; t = v->next_same[t - 1])
            if (!append(&run->tokens, t - 1, after)) return false;
        if (node.end > i + 1 && regular_is_nullable(set, next) && !append(&run->ends, i, after))
            return false;
        path[node.depth] = next;
        i = next == REGULAR_EMPTY ? node.end : i + 1;
    }
    return true;
}

static bool walk(struct grammar *grammar, struct token_run *run, regular *path, regular *rest_path,
                 uint8_t *counts)
{
    const struct grammar_vocabulary *v = grammar->vocabulary;
    struct regular_set *set = &grammar->regulars;
    regular start = regular_repeat(set, run->repeated, 0, REGULAR_FOREVER);
    path[0] = start;
    counts[0] = 0;
    for (uint32_t i = 1; i < v->n_nodes;) {
        struct trie_node node = v->nodes[i];
        regular before = path[node.depth - 1];
        regular next = regular_next(set, before, node.byte);
        uint8_t count = counts[node.depth - 1];
        if (before == start) {
            regular leaving = regular_next(set, run->rest, node.byte);
            if (leaving != REGULAR_NOTHING) {
                if (next != REGULAR_NOTHING) return true; /* two readings: not for this */
                if (!walk_rest(grammar, run, i, leaving, rest_path, count)) return false;
            }
        }
        if (set->failure != STATUS_OK) return false;
        if (next == REGULAR_NOTHING) {
            i = node.end;
            continue;
        }
        bool whole = next == start;
        if (!whole && regular_is_nullable(set, next)) return true; /* one x begins another */
        count = (uint8_t)(count + whole);
        uint8_t need = (uint8_t)(count + !whole);
        for (uint32_t t = node.token; t; t = v->next_same[t - 1]) run->need[t - 1] = need;
        if (node.token && need > run->max_need) run->max_need = need;
        path[node.depth] = next;
        counts[node.depth] = count;
        i++;
    }
    run->usable = true;
    return true;
}

static void fill_bits(const struct grammar_vocabulary *v, const uint8_t *need, uint32_t most,
                      uint32_t *bits)
{
    size_t n = v->n_tokens, word = 0;
    uint8_t limit = (uint8_t)(most < 255 ? most : 255);
    for (; (word + 1) * 32 <= n; word++) {
        const uint8_t *at = need + word * 32;
        uint32_t set = 0;
        /* need 0 (not in the repetition) becomes 255, above every limit */
        for (uint32_t i = 0; i < 32; i++) set |= (uint32_t)((uint8_t)(at[i] - 1) < limit) << i;
        bits[word] = set;
    }
    for (size_t i = word * 32; i < n; i++)
        if (need[i] && need[i] <= limit) mask_set(bits, (uint32_t)i);
}

void token_run_destroy(struct token_run *run)
{
    if (!run) return;
    if (!run->borrowed) {
        free(run->need);
        free(run->all);
        free(run->tokens.items);
        free(run->ends.items);
    }
    free(run);
}

static struct token_run *make(struct grammar *grammar, regular repeated, regular rest)
{
    const struct grammar_vocabulary *v = grammar->vocabulary;
    struct regular_set *set = &grammar->regulars;
    struct token_run *run = calloc(1, sizeof *run);
    size_t n_path = v->max_token_bytes + 1, n_words = grammar_mask_words(v);
    regular *path = calloc(2 * n_path, sizeof *path);
    uint8_t *counts = calloc(n_path, 1);
    bool ok = run && path && counts;
    if (ok) {
        run->repeated = repeated;
        run->rest = rest;
        run->need = calloc(v->n_tokens, 1);
        run->all = calloc(n_words, sizeof *run->all);
        ok = run->need && run->all && walk(grammar, run, path, path + n_path, counts);
    }
    if (ok && run->usable) fill_bits(v, run->need, 254, run->all);
    if (ok && !run->usable) { /* remembered as such, without what was found */
        free(run->need);
        free(run->all);
        run->need = NULL;
        run->all = NULL;
    }
    free(path);
    free(counts);
    if (!ok) {
        token_run_destroy(run);
        if (set->failure == STATUS_OK) set->failure = STATUS_NO_MEMORY;
        return NULL;
    }
    set->bytes += sizeof *run + (run->usable ? v->n_tokens + n_words * sizeof *run->all : 0) +
                  (run->tokens.capacity + run->ends.capacity) * sizeof(struct run_exit);
    return run;
}

const struct token_run *token_run_of(struct grammar *grammar, regular state, uint32_t *min,
                                     uint32_t *max)
{
    struct regular_set *set = &grammar->regulars;
    struct regular_node node = *regular_at(set, state);
    if (node.kind != REGULAR_KIND_SEQUENCE || grammar->vocabulary->max_token_bytes > MAX_NEED)
        return NULL;
    struct regular_node repeat = *regular_at(set, node.a), inner;
    *min = *max = 1;
    regular repeated = node.a;
    if (repeat.kind == REGULAR_KIND_REPEAT) {
        *min = repeat.b;
        *max = repeat.c;
        repeated = repeat.a;
    } else { /* x rest: the last of a counted repetition */
        bool known = false;
        for (const struct token_run *run = grammar->runs; run; run = run->next)
            known |= run->repeated == node.a && run->rest == node.b;
        if (!known) return NULL;
    }
    inner = *regular_at(set, repeated);
    if (inner.nullable || inner.may_be_dead || regular_is_nullable(set, node.b)) return NULL;
    struct token_run *run = grammar->runs;
    while (run && (run->repeated != repeated || run->rest != node.b)) run = run->next;
    if (!run) {
        if (!(run = make(grammar, repeated, node.b))) return NULL;
        run->next = grammar->runs;
        grammar->runs = run;
    }
    return run->usable ? run : NULL;
}

void token_run_fill(const struct grammar_vocabulary *v, const struct token_run *run, uint32_t most,
                    uint32_t *bits)
{
    fill_bits(v, run->need, most, bits);
}

bool token_run_borrow(struct grammar *grammar, const struct token_run *lent, regular repeated,
                      regular rest)
{
    struct token_run *run = calloc(1, sizeof *run);
    if (!run) {
        grammar->regulars.failure = STATUS_NO_MEMORY;
        return false;
    }
    *run = *lent;
    run->repeated = repeated;
    run->rest = rest;
    run->borrowed = true;
    run->next = grammar->runs;
    grammar->runs = run;
    return true;
}

status token_run_prepare(struct grammar_vocabulary *v, struct error *err)
{
    for (int i = 0; i < 2; i++) {
        struct grammar_options options = {.vocabulary = v, .no_unicode_escapes = i == 1};
        struct grammar *grammar;
        struct json_text text;
        TRY(grammar_begin(&grammar, &options, STR(""), "vocabulary", err));
        status result = json_text_init(&text, grammar, &options, err);
        regular quote = regular_literal(&grammar->regulars, STR("\""));
        if (result == STATUS_OK && v->max_token_bytes <= MAX_NEED &&
            !(v->json_runs[i] = make(grammar, text.character, quote)))
            result = regular_set_status(&grammar->regulars, err);
        grammar_release(grammar);
        TRY(result);
    }
    return STATUS_OK;
}
