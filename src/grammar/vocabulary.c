#include "grammar/grammar_parts.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_TOKENS = 1 << 22, MAX_DEPTH = 4096 };

struct sorted_token {
    struct str bytes;
    uint32_t id;
};

static int compare_tokens(const void *a, const void *b)
{
    const struct sorted_token *x = a, *y = b;
    int order = str_compare(x->bytes, y->bytes);
    if (order) return order;
    return x->id < y->id ? -1 : x->id > y->id;
}

static size_t common_prefix(struct str a, struct str b)
{
    size_t n = a.size < b.size ? a.size : b.size, i = 0;
    while (i < n && a.data[i] == b.data[i]) i++;
    return i;
}

/* `sorted` has no empty token. Nodes are made in depth-first order; `open` holds those on the path to the last one. */
static void build_trie(struct grammar_vocabulary *v, const struct sorted_token *sorted, size_t n,
                       uint32_t *open)
{
    struct str previous = {"", 0};
    v->nodes[0] = (struct trie_node){0};
    v->n_nodes = 1;
    for (size_t i = 0; i < n; i++) {
        struct str bytes = sorted[i].bytes;
        if (i && str_equal(bytes, previous)) {
            uint32_t first = v->nodes[v->n_nodes - 1].token - 1;
            v->next_same[sorted[i].id] = v->next_same[first];
            v->next_same[first] = sorted[i].id + 1;
            continue;
        }
        size_t shared = common_prefix(previous, bytes);
        for (size_t depth = shared + 1; depth <= previous.size; depth++)
            v->nodes[open[depth]].end = v->n_nodes;
        for (size_t depth = shared + 1; depth <= bytes.size; depth++) {
            open[depth] = v->n_nodes;
            v->nodes[v->n_nodes++] = (struct trie_node){.depth = (uint16_t)depth,
                                                        .byte = (uint8_t)bytes.data[depth - 1]};
        }
        v->nodes[v->n_nodes - 1].token = sorted[i].id + 1;
        previous = bytes;
    }
    for (size_t depth = 1; depth <= previous.size; depth++) v->nodes[open[depth]].end = v->n_nodes;
    v->nodes[0].end = v->n_nodes;
}

static size_t count_nodes(const struct sorted_token *sorted, size_t n)
{
    size_t nodes = 1;
    struct str previous = {"", 0};
    for (size_t i = 0; i < n; i++) {
        nodes += sorted[i].bytes.size - common_prefix(previous, sorted[i].bytes);
        previous = sorted[i].bytes;
    }
    return nodes;
}

static status fill(struct grammar_vocabulary *v, const struct str *tokens, const bool *special,
                   struct sorted_token *sorted, struct error *err)
{
    size_t n_sorted = 0;
    for (size_t i = 0; i < v->n_tokens; i++) {
        v->special[i] = special[i];
        if (tokens[i].size > MAX_DEPTH)
            return error_set(err, STATUS_LIMIT, "vocabulary: token %zu has %zu bytes, at most %d",
                             i, tokens[i].size, MAX_DEPTH);
        v->tokens[i] = arena_copy_str(&v->arena, tokens[i]);
        if (!v->tokens[i].data) return STATUS_NO_MEMORY;
        if (special[i] || tokens[i].size == 0) continue;
        if (tokens[i].size > v->max_token_bytes) v->max_token_bytes = (uint32_t)tokens[i].size;
        sorted[n_sorted++] = (struct sorted_token){v->tokens[i], (uint32_t)i};
    }
    qsort(sorted, n_sorted, sizeof *sorted, compare_tokens);
    v->nodes = ARENA_ARRAY(&v->arena, struct trie_node, count_nodes(sorted, n_sorted));
    uint32_t *open = ARENA_ARRAY(&v->arena, uint32_t, v->max_token_bytes + 1);
    if (!v->nodes || !open) return STATUS_NO_MEMORY;
    build_trie(v, sorted, n_sorted, open);
    return STATUS_OK;
}

static void destroy(struct grammar_vocabulary *v)
{
    token_run_destroy(v->json_runs[0]);
    token_run_destroy(v->json_runs[1]);
    arena_deinit(&v->arena);
    free(v);
}

status grammar_vocabulary_create_from(struct grammar_vocabulary **out, const struct str *tokens,
                                      const bool *special, size_t n_tokens, struct error *err)
{
    *out = NULL;
    if (n_tokens == 0 || n_tokens > MAX_TOKENS)
        return error_set(err, STATUS_LIMIT, "vocabulary: %zu tokens, expected 1 to %d", n_tokens,
                         MAX_TOKENS);
    struct grammar_vocabulary *v = calloc(1, sizeof *v);
    struct sorted_token *sorted = calloc(n_tokens, sizeof *sorted);
    status result = STATUS_NO_MEMORY;
    if (v && sorted) {
        atomic_init(&v->references, 1);
        v->n_tokens = n_tokens;
        v->tokens = ARENA_ARRAY(&v->arena, struct str, n_tokens);
        v->special = ARENA_ARRAY(&v->arena, bool, n_tokens);
        v->next_same = ARENA_ARRAY(&v->arena, uint32_t, n_tokens);
        if (v->tokens && v->special && v->next_same) result = fill(v, tokens, special, sorted, err);
    }
    free(sorted);
    if (result == STATUS_OK) result = token_run_prepare(v, err);
    if (result == STATUS_OK) {
        *out = v;
        return STATUS_OK;
    }
    if (v) destroy(v);
    return result == STATUS_NO_MEMORY ? error_set(err, result, "vocabulary: out of memory")
                                      : result;
}

status grammar_vocabulary_create(struct grammar_vocabulary **out, const struct tokenizer *tokenizer,
                                 struct error *err)
{
    *out = NULL;
    size_t n = (size_t)tokenizer_vocab_size(tokenizer);
    struct str *tokens = calloc(n + 1, sizeof *tokens);
    bool *special = calloc(n + 1, sizeof *special);
    status result = STATUS_NO_MEMORY;
    if (tokens && special) {
        for (size_t i = 0; i < n; i++) {
            tokens[i] = tokenizer_token_bytes(tokenizer, (token_id)i);
            special[i] = tokenizer_is_special(tokenizer, (token_id)i);
        }
        result = grammar_vocabulary_create_from(out, tokens, special, n, err);
    } else {
        error_set(err, result, "vocabulary: out of memory");
    }
    free(tokens);
    free(special);
    return result;
}

struct grammar_vocabulary *grammar_vocabulary_acquire(struct grammar_vocabulary *v)
{
    if (v) atomic_fetch_add_explicit(&v->references, 1, memory_order_relaxed);
    return v;
}

void grammar_vocabulary_release(struct grammar_vocabulary *v)
{
    if (!v || atomic_fetch_sub_explicit(&v->references, 1, memory_order_acq_rel) != 1) return;
    destroy(v);
}

size_t grammar_vocabulary_size(const struct grammar_vocabulary *v) { return v->n_tokens; }

size_t grammar_mask_words(const struct grammar_vocabulary *v) { return (v->n_tokens + 31) / 32; }

token_id vocabulary_find_special(const struct grammar_vocabulary *v, struct str text)
{
    for (size_t i = 0; i < v->n_tokens; i++)
        if (v->special[i] && str_equal(v->tokens[i], text)) return (token_id)i;
    return TOKEN_NONE;
}

void grammar_mask_apply(const uint32_t *bits, size_t n_words, float *logits, size_t n_logits)
{
    for (size_t word = 0; word * 32 < n_logits; word++) {
        uint32_t allowed = word < n_words ? bits[word] : 0;
        if (allowed == UINT32_MAX) continue;
        size_t first = word * 32, n = n_logits - first < 32 ? n_logits - first : 32;
        for (size_t i = 0; i < n; i++)
            if (!(allowed >> i & 1)) logits[first + i] = -INFINITY;
    }
}
