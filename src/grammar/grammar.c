#include "grammar/grammar.h"

#include <stdlib.h>

#include "base/clock.h"
#include "grammar/character_set.h"
#include "grammar/grammar_parts.h"
#include "grammar/script.h"

uint32_t grammar_max_depth(const struct grammar_options *options)
{
    return options && options->max_depth ? options->max_depth : GRAMMAR_DEFAULT_DEPTH;
}

status grammar_begin(struct grammar **out, const struct grammar_options *options, struct str source,
                     const char *what, struct error *err)
{
    static const struct grammar_options defaults;
    if (!options) options = &defaults;
    *out = NULL;
    size_t max_source =
        options->max_source_bytes ? options->max_source_bytes : GRAMMAR_DEFAULT_SOURCE_BYTES;
    if (source.size > max_source)
        return error_set(err, STATUS_LIMIT, "%s: %zu bytes, at most %zu are compiled", what,
                         source.size, max_source);
    struct grammar *grammar = calloc(1, sizeof *grammar);
    if (!grammar) return error_set(err, STATUS_NO_MEMORY, "%s: out of memory", what);
    atomic_init(&grammar->references, 1);
    pthread_mutex_init(&grammar->lock, NULL);
    grammar->vocabulary = grammar_vocabulary_acquire(options->vocabulary);
    grammar->script = options->script;
    grammar->max_steps = options->max_steps ? options->max_steps : GRAMMAR_DEFAULT_STEPS;
    int64_t limit_us =
        options->max_microseconds ? options->max_microseconds : GRAMMAR_DEFAULT_MICROSECONDS;
    struct regular_budget budget = {
        .max_bytes = options->max_bytes ? options->max_bytes : GRAMMAR_DEFAULT_BYTES,
        .max_steps = grammar->max_steps,
        .deadline_us = limit_us > 0 ? clock_monotonic_us() + limit_us : 0,
        .cancel = options->cancel,
    };
    status result = regular_set_init(&grammar->regulars, &budget);
    if (result == STATUS_OK)
        result = production_set_init(&grammar->productions, &grammar->regulars);
    if (result != STATUS_OK) {
        grammar_release(grammar);
        return error_set(err, result, "%s: %s", what, status_text(result));
    }
    *out = grammar;
    return STATUS_OK;
}

/* Every terminal without the texts that have a Simplified-only character: pieces are of whole characters, so that what
 * holds for each holds for the answer. */
static status keep_traditional(struct grammar *grammar)
{
    struct regular_set *set = &grammar->regulars;
    struct production_set *productions = &grammar->productions;
    struct character_set characters = {0};
    TRY(script_add_traditional(&characters));
    regular one = character_set_regular(set, &characters, CHARACTERS_AS_UTF8);
    character_set_deinit(&characters);
    regular traditional = regular_repeat(set, one, 0, REGULAR_FOREVER);
    for (uint32_t p = 0; p < productions->n_nodes; p++) {
        struct production_node *node = &productions->nodes[p];
        if (node->kind != PRODUCTION_KIND_TERMINAL) continue;
        if (regular_is_nothing(set, regular_without(set, node->a, traditional))) continue;
        regular kept = regular_both(set, node->a, traditional);
        bool none = regular_is_nothing(set, kept);
        if (none && grammar->script == GRAMMAR_HANT_WHERE_POSSIBLE) continue;
        node->a = none ? REGULAR_NOTHING : kept;
    }
    return STATUS_OK;
}

status grammar_end(struct grammar **out, struct grammar *grammar, production start, status result,
                   struct error *err)
{
    *out = NULL;
    if (result == STATUS_OK && grammar->script != GRAMMAR_SCRIPT_ANY &&
        keep_traditional(grammar) != STATUS_OK)
        result = error_set(err, STATUS_NO_MEMORY, "grammar: out of memory");
    if (result == STATUS_OK) result = regular_set_status(&grammar->regulars, err);
    if (result == STATUS_OK) result = production_finish(&grammar->productions, &start, err);
    if (result != STATUS_OK) {
        /* A spent budget shows in whatever was being done; it is the cause. */
        if (grammar->regulars.failure != STATUS_OK)
            result = regular_set_status(&grammar->regulars, err);
        grammar_release(grammar);
        return result;
    }
    grammar->start = start;
    grammar->regulars.budget.deadline_us = 0;
    grammar->regulars.budget.cancel = NULL;
    *out = grammar;
    return STATUS_OK;
}

struct grammar *grammar_acquire(struct grammar *grammar)
{
    if (grammar) atomic_fetch_add_explicit(&grammar->references, 1, memory_order_relaxed);
    return grammar;
}

void grammar_release(struct grammar *grammar)
{
    if (!grammar || atomic_fetch_sub_explicit(&grammar->references, 1, memory_order_acq_rel) != 1)
        return;
    token_classes_destroy(grammar);
    production_set_deinit(&grammar->productions);
    regular_set_deinit(&grammar->regulars);
    grammar_vocabulary_release(grammar->vocabulary);
    pthread_mutex_destroy(&grammar->lock);
    free(grammar);
}

size_t grammar_memory_bytes(const struct grammar *grammar)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&grammar->lock;
    pthread_mutex_lock(lock);
    size_t bytes = grammar->regulars.bytes + sizeof *grammar;
    pthread_mutex_unlock(lock);
    return bytes;
}

status grammar_compile_choice(struct grammar **out, const struct str *choices, size_t n,
                              const struct grammar_options *options, struct error *err)
{
    size_t bytes = 0;
    *out = NULL;
    if (n == 0) return error_set(err, STATUS_INVALID, "choice: the list is empty");
    for (size_t i = 0; i < n; i++) {
        if (__builtin_add_overflow(bytes, choices[i].size + 1, &bytes)) bytes = SIZE_MAX;
        if (choices[i].size == 0)
            return error_set(err, STATUS_INVALID, "choice: string %zu is empty", i);
    }
    struct grammar *grammar;
    TRY(grammar_begin(&grammar, options, (struct str){NULL, bytes}, "choice", err));
    regular any = regular_any_of(&grammar->regulars, choices, n);
    return grammar_end(out, grammar, production_terminal(&grammar->productions, any), STATUS_OK,
                       err);
}
