/* token_class: what every token does from one automaton state. One walk over the trie of the vocabulary, in which whole
 * subtrees are skipped where no byte can follow; kept for as long as the grammar lives. */
#include <stdlib.h>

#include "base/hash.h"
#include "grammar/grammar_parts.h"

struct list {
    uint32_t *items;
    uint32_t n, capacity;
};

struct builder {
    struct grammar *grammar;
    struct list tokens, ends, overridden;
};

static bool append(struct builder *b, struct list *list, uint32_t item)
{
    if (list->n == list->capacity) {
        uint32_t larger = list->capacity ? 2 * list->capacity : 64;
        uint32_t *items = realloc(list->items, larger * sizeof *items);
        if (!items) {
            b->grammar->regulars.failure = STATUS_NO_MEMORY;
            return false;
        }
        list->items = items;
        list->capacity = larger;
    }
    list->items[list->n++] = item;
    return true;
}

static bool append_tokens(struct builder *b, struct list *list, uint32_t token_plus_one)
{
    for (; token_plus_one; token_plus_one = b->grammar->vocabulary->next_same[token_plus_one - 1])
        if (!append(b, list, token_plus_one - 1)) return false;
    return true;
}

static bool walk(struct builder *b, regular state, regular *path)
{
    const struct grammar_vocabulary *v = b->grammar->vocabulary;
    struct regular_set *set = &b->grammar->regulars;
    path[0] = state;
    for (uint32_t i = 1; i < v->n_nodes;) {
        struct trie_node node = v->nodes[i];
        regular next = regular_next(set, path[node.depth - 1], node.byte);
        if (next == REGULAR_NOTHING) {
            if (set->failure != STATUS_OK) return false;
            i = node.end;
            continue;
        }
        if (node.token && !append_tokens(b, &b->tokens, node.token)) return false;
        bool has_children = node.end > i + 1;
        if (has_children && regular_is_nullable(set, next) && !append(b, &b->ends, i)) return false;
        if (next == REGULAR_EMPTY) { /* nothing goes on inside */
            i = node.end;
            continue;
        }
        path[node.depth] = next;
        i++;
    }
    return true;
}

/* The same walk in step with another state whose class is known: where both are in one state the rest of the subtree is
 * the other's. A place where only the other may end makes everything below this state's own. */
static bool walk_beside(struct builder *b, regular state, regular base, regular *path,
                        regular *base_path)
{
    const struct grammar_vocabulary *v = b->grammar->vocabulary;
    struct regular_set *set = &b->grammar->regulars;
    uint32_t own_until = 0;
    path[0] = state;
    base_path[0] = base;
    for (uint32_t i = 1; i < v->n_nodes;) {
        struct trie_node node = v->nodes[i];
        regular next = regular_next(set, path[node.depth - 1], node.byte);
        regular other = regular_next(set, base_path[node.depth - 1], node.byte);
        if (set->failure != STATUS_OK) return false;
        bool own = i < own_until;
        if (!own && next == other) {
            i = node.end;
            continue;
        }
        if (node.token && !append_tokens(b, &b->overridden, node.token)) return false;
        if (node.token && next != REGULAR_NOTHING && !append_tokens(b, &b->tokens, node.token))
            return false;
        bool ends = regular_is_nullable(set, next), other_ends = regular_is_nullable(set, other);
        if (!own && other_ends && !ends) own_until = node.end, own = true;
        if (node.end > i + 1 && ends && (own || !other_ends) && !append(b, &b->ends, i))
            return false;
        path[node.depth] = next;
        base_path[node.depth] = other;
        i++;
    }
    return true;
}

static void *shrink(uint32_t *items, uint32_t n, struct regular_set *set)
{
    if (n == 0) {
        free(items);
        return NULL;
    }
    set->bytes += n * sizeof *items;
    uint32_t *smaller = realloc(items, n * sizeof *items);
    return smaller ? smaller : items;
}

/* What an intersection with complements is without the complements: the language that most tokens see. */
static regular without_complements(struct regular_set *set, regular state)
{
    struct regular_node node = *regular_at(set, state);
    if (node.kind != REGULAR_KIND_BOTH) return REGULAR_NOTHING;
    regular base = REGULAR_ALL;
    for (uint32_t i = 0; i < node.b; i++) {
        regular member = set->pool[node.a + i];
        if (regular_at(set, member)->kind != REGULAR_KIND_NOT)
            base = regular_both(set, base, member);
    }
    return base == state || base == REGULAR_ALL ? REGULAR_NOTHING : base;
}

static struct token_class *finish(struct builder *b, regular state, const struct token_class *base)
{
    struct regular_set *set = &b->grammar->regulars;
    const struct grammar_vocabulary *v = b->grammar->vocabulary;
    size_t n_words = grammar_mask_words(v);
    struct token_class *class = calloc(1, sizeof *class);
    if (!class) return NULL;
    class->state = state;
    class->base = base;
    if (b->tokens.n > n_words) {
        class->bits = calloc(n_words, sizeof *class->bits);
        if (!class->bits) {
            free(class);
            return NULL;
        }
        set->bytes += n_words * sizeof *class->bits;
        for (uint32_t i = 0; i < b->tokens.n; i++) mask_set(class->bits, b->tokens.items[i]);
    } else {
        class->n_tokens = b->tokens.n;
        class->tokens = shrink(b->tokens.items, b->tokens.n, set);
        b->tokens.items = NULL;
    }
    class->n_ends = b->ends.n;
    class->ends = shrink(b->ends.items, b->ends.n, set);
    b->ends.items = NULL;
    class->n_overridden = b->overridden.n;
    class->overridden = shrink(b->overridden.items, b->overridden.n, set);
    b->overridden.items = NULL;
    set->bytes += sizeof *class;
    return class;
}

/* The class of x{min,max} rest from what the run's one walk found. */
static struct token_class *finish_run(struct builder *b, regular state, const struct token_run *run,
                                      uint32_t min, uint32_t max)
{
    const struct grammar_vocabulary *v = b->grammar->vocabulary;
    struct token_class *class = calloc(1, sizeof *class);
    bool ok = class != NULL;
    for (uint32_t i = 0; i < run->tokens.n && ok; i++)
        if (run->tokens.items[i].after >= min && run->tokens.items[i].after <= max)
            ok = append(b, &b->tokens, run->tokens.items[i].what);
    for (uint32_t i = 0; i < run->ends.n && ok; i++)
        if (run->ends.items[i].after >= min && run->ends.items[i].after <= max)
            ok = append(b, &b->ends, run->ends.items[i].what);
    if (ok && max >= run->max_need) {
        class->bits = run->all;
        class->borrows_bits = true;
    } else if (ok) {
        class->bits = calloc(grammar_mask_words(v), sizeof *class->bits);
        if ((ok = class->bits != NULL)) token_run_fill(v, run, max, class->bits);
        b->grammar->regulars.bytes += grammar_mask_words(v) * sizeof *class->bits;
    }
    if (!ok) {
        free(class);
        return NULL;
    }
    class->state = state;
    class->n_tokens = b->tokens.n;
    class->tokens = shrink(b->tokens.items, b->tokens.n, &b->grammar->regulars);
    class->n_ends = b->ends.n;
    class->ends = shrink(b->ends.items, b->ends.n, &b->grammar->regulars);
    b->tokens.items = b->ends.items = NULL;
    return class;
}

static void insert(struct grammar *grammar, struct token_class *class)
{
    uint32_t slot =
        (uint32_t)hash_mum(class->state + 1, 0x9E3779B97F4A7C15u) & (grammar->n_class_buckets - 1);
    class->next = grammar->classes[slot];
    grammar->classes[slot] = class;
    grammar->n_classes++;
}

static bool grow(struct grammar *grammar)
{
    uint32_t old = grammar->n_class_buckets, n = old ? 2 * old : 64;
    struct token_class **buckets = calloc(n, sizeof *buckets);
    struct token_class **before = grammar->classes;
    if (!buckets) return false;
    grammar->classes = buckets;
    grammar->n_class_buckets = n;
    grammar->n_classes = 0;
    for (uint32_t i = 0; i < old; i++)
        for (struct token_class *class = before[i], *next; class; class = next) {
            next = class->next;
            insert(grammar, class);
        }
    free(before);
    return true;
}

static struct token_class *find(struct grammar *grammar, regular state)
{
    if (!grammar->n_class_buckets) return NULL;
    uint32_t slot =
        (uint32_t)hash_mum(state + 1, 0x9E3779B97F4A7C15u) & (grammar->n_class_buckets - 1);
    struct token_class *class = grammar->classes[slot];
    while (class && class->state != state) class = class->next;
    return class;
}

const struct token_class *token_class_of(struct grammar *grammar, regular state)
{
    struct regular_set *set = &grammar->regulars;
    struct token_class *class = find(grammar, state);
    if (class) return class;
    if (set->failure != STATUS_OK) return NULL;
    if (set->budget.max_bytes && set->bytes > set->budget.max_bytes) {
        set->failure = STATUS_LIMIT;
        return NULL;
    }
    regular base = without_complements(set, state);
    const struct token_class *base_class = NULL;
    if (base != REGULAR_NOTHING && !(base_class = token_class_of(grammar, base))) return NULL;
    struct builder b = {.grammar = grammar};
    uint32_t min, max;
    const struct token_run *run = token_run_of(grammar, state, &min, &max);
    if (!run && set->failure != STATUS_OK) return NULL;
    size_t n_path = grammar->vocabulary->max_token_bytes + 1;
    regular *path = calloc(2 * n_path, sizeof *path);
    bool ok = path != NULL;
    if (run)
        ok = path != NULL;
    else if (ok && base_class)
        ok = walk_beside(&b, state, base, path, path + n_path);
    else if (ok)
        ok = walk(&b, state, path);
    if (ok && grammar->n_classes >= grammar->n_class_buckets) ok = grow(grammar);
    if (ok) class = run ? finish_run(&b, state, run, min, max) : finish(&b, state, base_class);
    if (class)
        insert(grammar, class);
    else if (set->failure == STATUS_OK)
        set->failure = STATUS_NO_MEMORY;
    free(path);
    free(b.tokens.items);
    free(b.ends.items);
    free(b.overridden.items);
    return class;
}

void token_classes_destroy(struct grammar *grammar)
{
    for (uint32_t i = 0; i < grammar->n_class_buckets; i++)
        for (struct token_class *class = grammar->classes[i], *next; class; class = next) {
            next = class->next;
            free(class->overridden);
            if (!class->borrows_bits) free(class->bits);
            free(class->tokens);
            free(class->ends);
            free(class);
        }
    free(grammar->classes);
    grammar->classes = NULL;
    grammar->n_class_buckets = 0;
    for (struct token_run *run = grammar->runs, *next; run; run = next) {
        next = run->next;
        token_run_destroy(run);
    }
}
