/* matcher: one answer's way through a grammar. */
#include <stdlib.h>

#include "grammar/grammar_parts.h"

static void begin(const struct grammar_matcher *m)
{
    struct grammar *grammar = m->grammar;
    pthread_mutex_lock(&grammar->lock);
    /* Another matcher may have spent its budget in the shared automaton, which is whole nevertheless. */
    grammar->regulars.failure = STATUS_OK;
    grammar->regulars.budget.steps = 0;
}

static status end(const struct grammar_matcher *m, struct error *err)
{
    struct grammar *grammar = m->grammar;
    status result = regular_set_status(&grammar->regulars, err);
    pthread_mutex_unlock(&grammar->lock);
    if (m->failure != STATUS_OK)
        return error_set(err, m->failure, "grammar: %s",
                         m->failure == STATUS_LIMIT
                             ? "the answer has too many unfinished readings for its budget"
                             : status_text(m->failure));
    return result;
}

static bool push_step(struct grammar_matcher *m, struct step step)
{
    if (m->n_steps == m->step_capacity) {
        size_t larger = m->step_capacity ? 2 * m->step_capacity : 64;
        struct step *steps = realloc(m->steps, larger * sizeof *steps);
        if (!steps) return matcher_fail(m, STATUS_NO_MEMORY);
        m->steps = steps;
        m->step_capacity = larger;
    }
    m->steps[m->n_steps++] = step;
    return true;
}

static const struct step *last_step(const struct grammar_matcher *m)
{
    return &m->steps[m->n_steps - 1];
}

/* Keeps walk.items[from, n) as the threads after a new step. */
static bool keep_threads(struct grammar_matcher *m, uint32_t from, token_id token, bool complete)
{
    if (!threads_normalize(m, &m->walk, from)) return false;
    uint32_t n = m->walk.n - from;
    if (!thread_list_reserve(m, &m->history, (uint64_t)m->history.n + n)) return false;
    struct step step = {
        .threads = m->history.n, .n_threads = n, .token = token, .complete = complete};
    if (n) memcpy(m->history.items + m->history.n, m->walk.items + from, n * sizeof *m->walk.items);
    m->history.n += n;
    return push_step(m, step);
}

status grammar_matcher_create(struct grammar_matcher **out, struct grammar *grammar,
                              const token_id *stop_ids, size_t n_stop_ids, struct error *err)
{
    *out = NULL;
    struct grammar_matcher *m = calloc(1, sizeof *m);
    if (!m) return error_set(err, STATUS_NO_MEMORY, "grammar matcher: out of memory");
    m->grammar = grammar_acquire(grammar);
    m->stop_ids = calloc(n_stop_ids + 1, sizeof *m->stop_ids);
    bool ok = m->stop_ids != NULL;
    if (ok && n_stop_ids) memcpy(m->stop_ids, stop_ids, n_stop_ids * sizeof *stop_ids);
    m->n_stop_ids = n_stop_ids;
    if (grammar->vocabulary) {
        m->walk_depths = grammar->vocabulary->max_token_bytes + 2;
        m->walk_begin = calloc(m->walk_depths, sizeof *m->walk_begin);
        m->scratch_bits = calloc(grammar_mask_words(grammar->vocabulary), sizeof *m->scratch_bits);
        ok = ok && m->walk_begin && m->scratch_bits;
    }
    if (!ok) matcher_fail(m, STATUS_NO_MEMORY);
    begin(m);
    if (m->failure == STATUS_OK && continuations_init(m) == STATUS_OK) {
        uint32_t all = continuation_push(m, grammar->start, 0, CONTINUATION_BOTTOM);
        bool complete = false;
        threads_add(m, &m->walk, 0, (struct thread){REGULAR_EMPTY, all}, &complete);
        keep_threads(m, 0, TOKEN_NONE, complete);
    }
    status result = end(m, err);
    if (result != STATUS_OK) {
        grammar_matcher_destroy(m);
        return result;
    }
    *out = m;
    return STATUS_OK;
}

void grammar_matcher_destroy(struct grammar_matcher *m)
{
    if (!m) return;
    continuations_deinit(m);
    grammar_release(m->grammar);
    free(m->stop_ids);
    free(m->steps);
    free(m);
}

/* Puts the last step's threads at the beginning of the walk. */
static uint32_t load_threads(struct grammar_matcher *m)
{
    const struct step *step = last_step(m);
    m->walk.n = 0;
    if (!thread_list_reserve(m, &m->walk, step->n_threads)) return 0;
    if (step->n_threads)
        memcpy(m->walk.items, m->history.items + step->threads,
               step->n_threads * sizeof *m->walk.items);
    return m->walk.n = step->n_threads;
}

/* Mask */

/* Sets the tokens below a trie node that the threads of walk.items[0, n) can read. */
static bool walk_below(struct grammar_matcher *m, uint32_t top, uint32_t n, uint32_t *bits)
{
    const struct grammar_vocabulary *v = m->grammar->vocabulary;
    uint32_t top_depth = v->nodes[top].depth;
    m->walk_begin[0] = 0;
    m->walk_begin[1] = n;
    for (uint32_t i = top + 1; i < v->nodes[top].end;) {
        struct trie_node node = v->nodes[i];
        uint32_t depth = node.depth - top_depth;
        uint32_t from = m->walk_begin[depth - 1], until = m->walk_begin[depth];
        bool complete = false;
        m->walk.n = until;
        if (!threads_step(m, &m->walk, from, until - from, node.byte, &complete)) return false;
        bool ends_here =
            m->walk.n == until; /* nothing may follow; the token may be the answer's last */
        if (node.token && (!ends_here || complete)) vocabulary_set(v, bits, node.token);
        if (ends_here) {
            if (m->grammar->regulars.failure != STATUS_OK) return false;
            i = node.end;
            continue;
        }
        m->walk_begin[depth + 1] = m->walk.n;
        i++;
    }
    return true;
}

/* Ends of terminals: what follows is read from the threads that the continuation begins with. */
static bool add_ends(struct grammar_matcher *m, const struct token_class *class, uint32_t rest,
                     uint32_t *bits)
{
    if (class->n_ends == 0) return true;
    if (!continuation_expand(m, rest)) return false;
    struct continuation c = m->continuations[rest];
    if (c.n_threads == 0) return true;
    if (!thread_list_reserve(m, &m->walk, c.n_threads)) return false;
    memcpy(m->walk.items, m->expanded.items + c.threads, c.n_threads * sizeof *m->walk.items);
    for (uint32_t i = 0; i < class->n_ends; i++)
        if (!walk_below(m, class->ends[i], c.n_threads, bits)) return false;
    return true;
}

static bool add_class(struct grammar_matcher *m, const struct token_class *class, uint32_t rest,
                      uint32_t *bits)
{
    size_t n_words = grammar_mask_words(m->grammar->vocabulary);
    if (class->base) { /* at most one level: a base has no complements */
        uint32_t *own = m->scratch_bits;
        memset(own, 0, n_words * sizeof *own);
        if (!add_class(m, class->base, rest, own)) return false;
        for (uint32_t i = 0; i < class->n_overridden; i++)
            own[class->overridden[i] / 32] &= ~(1u << class->overridden[i] % 32);
        for (size_t i = 0; i < n_words; i++) bits[i] |= own[i];
    }
    if (class->bits)
        for (size_t i = 0; i < n_words; i++) bits[i] |= class->bits[i];
    for (uint32_t i = 0; i < class->n_tokens; i++) mask_set(bits, class->tokens[i]);
    return add_ends(m, class, rest, bits);
}

enum { MAX_KEPT_THREADS = 16 };

static struct kept_mask *find_kept(struct grammar_matcher *m, const struct step *step)
{
    for (int i = 0; i < 2; i++) {
        struct kept_mask *kept = &m->kept[i];
        if (kept->n_threads && kept->n_threads == step->n_threads &&
            kept->complete == step->complete &&
            memcmp(kept->threads, m->history.items + step->threads,
                   step->n_threads * sizeof *kept->threads) == 0)
            return kept;
    }
    return NULL;
}

static void keep_mask(struct grammar_matcher *m, const struct step *step, const uint32_t *bits,
                      size_t n_words)
{
    struct kept_mask *kept = &m->kept[m->next_kept];
    if (step->n_threads == 0 || step->n_threads > MAX_KEPT_THREADS) return;
    if (!kept->bits && !(kept->bits = malloc(n_words * sizeof *bits))) return; /* only slower */
    memcpy(kept->bits, bits, n_words * sizeof *bits);
    memcpy(kept->threads, m->history.items + step->threads,
           step->n_threads * sizeof *kept->threads);
    kept->n_threads = step->n_threads;
    kept->complete = step->complete;
    m->next_kept ^= 1;
}

static status compute_mask(struct grammar_matcher *m, const struct step *step, uint32_t *bits,
                           struct error *err)
{
    const struct grammar_vocabulary *v = m->grammar->vocabulary;
    begin(m);
    for (uint32_t i = 0; i < step->n_threads && m->failure == STATUS_OK; i++) {
        struct thread thread = m->history.items[step->threads + i];
        if (thread.state & THREAD_TOKEN) {
            uint32_t token = thread.state & ~THREAD_TOKEN;
            if (token < v->n_tokens) mask_set(bits, token);
            continue;
        }
        const struct token_class *class = token_class_of(m->grammar, thread.state);
        if (!class || !add_class(m, class, thread.rest, bits)) break;
    }
    for (size_t i = 0; step->complete && i < m->n_stop_ids; i++)
        if (m->stop_ids[i] >= 0 && (size_t)m->stop_ids[i] < v->n_tokens)
            mask_set(bits, (uint32_t)m->stop_ids[i]);
    return end(m, err);
}

status grammar_matcher_mask(struct grammar_matcher *m, uint32_t *bits, struct error *err)
{
    const struct grammar_vocabulary *v = m->grammar->vocabulary;
    if (!v)
        return error_set(err, STATUS_INVALID,
                         "grammar: compiled without a vocabulary, so it has no masks");
    size_t n_words = grammar_mask_words(v);
    struct step step = *last_step(m);
    const struct kept_mask *kept = find_kept(m, &step);
    if (kept) {
        memcpy(bits, kept->bits, n_words * sizeof *bits);
        return STATUS_OK;
    }
    memset(bits, 0, n_words * sizeof *bits);
    if (step.ended) return STATUS_OK;
    TRY(compute_mask(m, &step, bits, err));
    keep_mask(m, &step, bits, n_words);
    return STATUS_OK;
}

/* Accepting */

static bool is_stop(const struct grammar_matcher *m, token_id token)
{
    for (size_t i = 0; i < m->n_stop_ids; i++)
        if (m->stop_ids[i] == token) return true;
    return false;
}

/* Reads bytes from the last step's threads; leaves the new ones at walk.items[*from ...]. False when they are refused or
 * on failure. */
static bool read_bytes(struct grammar_matcher *m, struct str bytes, uint32_t *from, bool *complete)
{
    uint32_t n = load_threads(m);
    *from = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        if (*from > 4096) { /* long texts: the threads behind are of no more use */
            memmove(m->walk.items, m->walk.items + *from, n * sizeof *m->walk.items);
            m->walk.n = n;
            *from = 0;
        }
        *complete = false;
        if (!threads_step(m, &m->walk, *from, n, (uint8_t)bytes.data[i], complete)) return false;
        *from += n;
        n = m->walk.n - *from;
        if (n == 0 && (!*complete || i + 1 < bytes.size)) return false;
    }
    return m->failure == STATUS_OK && m->grammar->regulars.failure == STATUS_OK;
}

static status refuse(token_id token, struct str bytes, struct error *err)
{
    if (token == TOKEN_NONE)
        return error_set(err, STATUS_INVALID, "grammar: the bytes '%.*s' cannot come next",
                         bytes.size > 40 ? 40 : (int)bytes.size, bytes.data);
    return error_set(err, STATUS_INVALID, "grammar: token %d cannot come next", (int)token);
}

static status accept_bytes(struct grammar_matcher *m, token_id token, struct str bytes,
                           struct error *err)
{
    uint32_t from;
    bool complete = last_step(m)->complete;
    begin(m);
    bool ok = read_bytes(m, bytes, &from, &complete) && keep_threads(m, from, token, complete);
    TRY(end(m, err));
    return ok ? STATUS_OK : refuse(token, bytes, err);
}

/* The threads that wait for this very token. */
static status accept_named(struct grammar_matcher *m, token_id token, struct error *err)
{
    struct step step = *last_step(m);
    bool complete = false, found = false;
    begin(m);
    m->walk.n = 0;
    for (uint32_t i = 0; i < step.n_threads && m->failure == STATUS_OK; i++) {
        struct thread thread = m->history.items[step.threads + i];
        if (thread.state != (THREAD_TOKEN | (uint32_t)token)) continue;
        found = true;
        threads_add(m, &m->walk, 0, (struct thread){REGULAR_EMPTY, thread.rest}, &complete);
    }
    bool ok = found && keep_threads(m, 0, token, complete);
    TRY(end(m, err));
    return ok ? STATUS_OK : refuse(token, STR(""), err);
}

status grammar_matcher_accept(struct grammar_matcher *m, token_id token, struct error *err)
{
    const struct grammar_vocabulary *v = m->grammar->vocabulary;
    const struct step *step = last_step(m);
    if (step->ended || token < 0) return refuse(token, STR(""), err);
    if (is_stop(m, token) && step->complete) {
        struct step last = *step;
        last.token = token;
        last.ended = true;
        last.threads = m->history.n; /* no threads: nothing can follow */
        last.n_threads = 0;
        return push_step(m, last) ? STATUS_OK
                                  : error_set(err, STATUS_NO_MEMORY, "grammar: out of memory");
    }
    bool ordinary = v && (size_t)token < v->n_tokens && !v->special[token];
    if (ordinary && v->tokens[token].size) {
        struct error ignored;
        status result = accept_bytes(m, token, v->tokens[token], &ignored);
        if (result == STATUS_OK) return result;
        if (result != STATUS_INVALID) return error_set(err, result, "%s", ignored.text);
    }
    return accept_named(m, token, err);
}

status grammar_matcher_accept_bytes(struct grammar_matcher *m, struct str bytes, struct error *err)
{
    if (last_step(m)->ended) return refuse(TOKEN_NONE, bytes, err);
    return accept_bytes(m, TOKEN_NONE, bytes, err);
}

void grammar_matcher_rollback(struct grammar_matcher *m, size_t n_steps)
{
    size_t keep = n_steps < m->n_steps ? m->n_steps - n_steps : 1;
    if (keep == m->n_steps) return;
    m->n_steps = keep;
    m->history.n = m->steps[keep - 1].threads + m->steps[keep - 1].n_threads;
}

size_t grammar_matcher_n_steps(const struct grammar_matcher *m) { return m->n_steps - 1; }

status grammar_matcher_sync(struct grammar_matcher *m, const token_id *tokens, size_t n_tokens,
                            struct error *err)
{
    size_t common = 0;
    while (common < n_tokens && common + 1 < m->n_steps &&
           m->steps[common + 1].token == tokens[common])
        common++;
    grammar_matcher_rollback(m, grammar_matcher_n_steps(m) - common);
    for (size_t i = common; i < n_tokens; i++) TRY(grammar_matcher_accept(m, tokens[i], err));
    return STATUS_OK;
}

bool grammar_matcher_is_complete(const struct grammar_matcher *m) { return last_step(m)->complete; }

bool grammar_matcher_has_ended(const struct grammar_matcher *m) { return last_step(m)->ended; }

bool grammar_matcher_is_exhausted(struct grammar_matcher *m)
{
    const struct step *step = last_step(m);
    return step->complete && step->n_threads == 0;
}
