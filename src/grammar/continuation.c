/* continuation: what may follow a terminal, and the threads that begin it. See grammar_parts.h. */
#include <stdlib.h>

#include "base/hash.h"
#include "grammar/grammar_parts.h"

enum { NOT_EXPANDED = 0xFFFFFFFFu, MAX_MATCHER_BYTES = 64 << 20 };

bool matcher_fail(struct grammar_matcher *m, status code)
{
    if (m->failure == STATUS_OK) m->failure = code;
    return false;
}

static bool reserve(struct grammar_matcher *m, void **array, uint32_t *capacity, uint64_t need,
                    size_t element)
{
    if (need <= *capacity) return true;
    uint64_t larger = *capacity ? *capacity * 2ull : 32;
    if (larger < need) larger = need;
    m->bytes += (size_t)(larger - *capacity) * element;
    if (larger > UINT32_MAX / 2 || m->bytes > MAX_MATCHER_BYTES)
        return matcher_fail(m, STATUS_LIMIT);
    void *moved = realloc(*array, (size_t)larger * element);
    if (!moved) return matcher_fail(m, STATUS_NO_MEMORY);
    *array = moved;
    *capacity = (uint32_t)larger;
    return true;
}

#define RESERVE(m, array, capacity, need)                                                          \
    __extension__({                                                                                \
        void *reserve_array_ = (array);                                                            \
        bool reserve_ok_ = reserve((m), &reserve_array_, &(capacity), (need), sizeof *(array));    \
        (array) = reserve_array_;                                                                  \
        reserve_ok_;                                                                               \
    })

bool thread_list_reserve(struct grammar_matcher *m, struct thread_list *list, uint64_t need)
{
    return RESERVE(m, list->items, list->capacity, need);
}

static uint32_t hash_links(const struct link *links, uint32_t n, bool bottom)
{
    uint64_t h = hash_bytes(links, n * sizeof *links) ^ (bottom ? 0x9E3779B97F4A7C15u : 0);
    return (uint32_t)(h ^ (h >> 32));
}

static bool grow_buckets(struct grammar_matcher *m)
{
    uint32_t n = m->n_buckets ? 2 * m->n_buckets : 64;
    uint32_t *buckets = calloc(n, sizeof *buckets);
    if (!buckets) return matcher_fail(m, STATUS_NO_MEMORY);
    for (uint32_t i = 0; i < m->n_continuations; i++) {
        struct continuation *c = &m->continuations[i];
        uint32_t slot = hash_links(m->links + c->links, c->n_links, c->bottom) & (n - 1);
        c->hash_next = buckets[slot];
        buckets[slot] = i + 1;
    }
    free(m->buckets);
    m->buckets = buckets;
    m->n_buckets = n;
    return true;
}

/* The links lie at the end of m->links, from `links` on, sorted; they are taken off when the continuation exists. */
static uint32_t intern(struct grammar_matcher *m, uint32_t links, bool bottom)
{
    uint32_t n = m->n_links - links;
    uint32_t hash = hash_links(m->links + links, n, bottom);
    for (uint32_t i = m->buckets[hash & (m->n_buckets - 1)]; i;
         i = m->continuations[i - 1].hash_next) {
        const struct continuation *c = &m->continuations[i - 1];
        if (c->n_links == n && c->bottom == bottom &&
            memcmp(m->links + c->links, m->links + links, n * sizeof *m->links) == 0) {
            m->n_links = links;
            return i - 1;
        }
    }
    if (!RESERVE(m, m->continuations, m->continuation_capacity, (uint64_t)m->n_continuations + 1) ||
        (m->n_continuations >= m->n_buckets && !grow_buckets(m)))
        return CONTINUATION_BOTTOM;
    uint32_t slot = hash & (m->n_buckets - 1);
    m->continuations[m->n_continuations] = (struct continuation){
        .links = links,
        .n_links = n,
        .hash_next = m->buckets[slot],
        .threads = NOT_EXPANDED,
        .bottom = bottom,
    };
    m->buckets[slot] = ++m->n_continuations;
    return m->n_continuations - 1;
}

status continuations_init(struct grammar_matcher *m)
{
    /* The arrays are there from the beginning, so that offsets into them are never of nothing. */
    if (!grow_buckets(m) || !RESERVE(m, m->links, m->link_capacity, 16)) return m->failure;
    intern(m, 0, true);
    return m->failure;
}

void continuations_deinit(struct grammar_matcher *m)
{
    free(m->continuations);
    free(m->buckets);
    free(m->links);
    free(m->expanded.items);
    free(m->history.items);
    free(m->walk.items);
    free(m->walk_begin);
    free(m->work);
    free(m->visited);
    free(m->scratch_bits);
    free(m->kept[0].bits);
    free(m->kept[1].bits);
}

uint32_t continuation_push(struct grammar_matcher *m, production what, uint32_t used, uint32_t next)
{
    if (!RESERVE(m, m->links, m->link_capacity, (uint64_t)m->n_links + 1))
        return CONTINUATION_BOTTOM;
    uint32_t links = m->n_links;
    m->links[m->n_links++] = (struct link){what, used, next};
    return intern(m, links, false);
}

static int compare_links(const struct link *a, const struct link *b)
{
    if (a->what != b->what) return a->what < b->what ? -1 : 1;
    return a->used < b->used ? -1 : a->used > b->used;
}

enum { MAX_UNION_DEPTH = 4000 };

static uint32_t union_at(struct grammar_matcher *m, uint32_t a, uint32_t b, int depth)
{
    if (a == b) return a;
    if (depth > MAX_UNION_DEPTH || !regular_spend(&m->grammar->regulars, 4)) {
        matcher_fail(m, STATUS_LIMIT);
        return a;
    }
    struct continuation x = m->continuations[a], y = m->continuations[b];
    /* Common next parts are joined first: making them moves the end of m->links. */
    uint32_t joined_few[16] = {0}, *joined = joined_few, n_joined = 0, i = 0, k = 0;
    uint32_t shorter = x.n_links < y.n_links ? x.n_links : y.n_links;
    if (shorter > 16 && !(joined = calloc(shorter, sizeof *joined))) {
        matcher_fail(m, STATUS_NO_MEMORY);
        return a;
    }
    while (i < x.n_links && k < y.n_links) {
        struct link p = m->links[x.links + i], q = m->links[y.links + k];
        int order = compare_links(&p, &q);
        if (order == 0) joined[n_joined++] = union_at(m, p.next, q.next, depth + 1);
        i += order <= 0;
        k += order >= 0;
    }
    uint32_t result = a;
    uint32_t links = m->n_links;
    if (RESERVE(m, m->links, m->link_capacity, (uint64_t)links + x.n_links + y.n_links)) {
        n_joined = 0;
        for (i = 0, k = 0; i < x.n_links || k < y.n_links;) {
            const struct link *p = m->links + x.links + i, *q = m->links + y.links + k;
            int order = i == x.n_links ? 1 : k == y.n_links ? -1 : compare_links(p, q);
            struct link link = order <= 0 ? *p : *q;
            if (order == 0) link.next = joined[n_joined++];
            m->links[m->n_links++] = link;
            i += order <= 0;
            k += order >= 0;
        }
        result = intern(m, links, x.bottom || y.bottom);
    }
    if (joined != joined_few) free(joined);
    return result;
}

uint32_t continuation_union(struct grammar_matcher *m, uint32_t a, uint32_t b)
{
    return union_at(m, a, b, 0);
}

/* Expansion */

static bool visit(struct grammar_matcher *m, struct work_item item) /* true when new */
{
    if (2 * (m->n_visited + 1) > m->visited_capacity) {
        uint32_t larger = m->visited_capacity ? 2 * m->visited_capacity : 64;
        struct visited *table = calloc(larger, sizeof *table);
        if (!table) return matcher_fail(m, STATUS_NO_MEMORY);
        for (uint32_t i = 0; i < m->visited_capacity; i++) {
            if (m->visited[i].epoch != m->epoch) continue;
            uint32_t slot =
                (uint32_t)hash_bytes(&m->visited[i].item, sizeof(struct work_item)) & (larger - 1);
            while (table[slot].epoch) slot = (slot + 1) & (larger - 1);
            table[slot] = (struct visited){m->visited[i].item, m->epoch};
        }
        free(m->visited);
        m->visited = table;
        m->visited_capacity = larger;
    }
    uint32_t slot = (uint32_t)hash_bytes(&item, sizeof item) & (m->visited_capacity - 1);
    while (m->visited[slot].epoch == m->epoch) {
        const struct work_item *seen = &m->visited[slot].item;
        if (seen->what == item.what && seen->used == item.used && seen->next == item.next)
            return false;
        slot = (slot + 1) & (m->visited_capacity - 1);
    }
    m->visited[slot] = (struct visited){item, m->epoch};
    m->n_visited++;
    return true;
}

static bool push_work(struct grammar_matcher *m, production what, uint32_t used, uint32_t next)
{
    struct work_item item = {what, used, next};
    if (!m->grammar->productions.nodes[what].productive) return true;
    if (!visit(m, item)) return m->failure == STATUS_OK;
    if (!RESERVE(m, m->work, m->work_capacity, (uint64_t)m->n_work + 1)) return false;
    m->work[m->n_work++] = item;
    return true;
}

static bool push_links(struct grammar_matcher *m, uint32_t continuation, bool *complete)
{
    struct continuation c = m->continuations[continuation];
    *complete |= c.bottom;
    for (uint32_t i = 0; i < c.n_links; i++) {
        struct link link = m->links[c.links + i];
        if (!push_work(m, link.what, link.used, link.next)) return false;
    }
    return true;
}

static bool add_thread(struct grammar_matcher *m, uint32_t state, uint32_t rest)
{
    if (!thread_list_reserve(m, &m->expanded, (uint64_t)m->expanded.n + 1)) return false;
    m->expanded.items[m->expanded.n++] = (struct thread){state, rest};
    return true;
}

static bool expand_repeat(struct grammar_matcher *m, const struct production_node *node,
                          struct work_item item, bool *complete)
{
    uint32_t left = node->c == REGULAR_FOREVER ? REGULAR_FOREVER : node->c - item.used;
    uint32_t rest = item.next;
    if (left > 1) {
        uint32_t used = item.used + 1;
        if (left == REGULAR_FOREVER && used > node->b) used = node->b;
        rest = continuation_push(m, item.what, used, item.next);
    }
    if (item.used >= node->b && !push_links(m, item.next, complete)) return false;
    return push_work(m, node->a, 0, rest);
}

static bool expand_item(struct grammar_matcher *m, struct work_item item, bool *complete)
{
    const struct production_set *set = &m->grammar->productions;
    const struct production_node *node = &set->nodes[item.what];
    switch ((enum production_kind)node->kind) {
    case PRODUCTION_KIND_NOTHING:
        return true;
    case PRODUCTION_KIND_EMPTY:
        return push_links(m, item.next, complete);
    case PRODUCTION_KIND_TERMINAL:
        if (regular_is_nullable(&m->grammar->regulars, node->a) &&
            !push_links(m, item.next, complete))
            return false;
        return add_thread(m, node->a, item.next);
    case PRODUCTION_KIND_SEQUENCE:
        return push_work(m, node->a, 0,
                         node->b == PRODUCTION_EMPTY ? item.next
                                                     : continuation_push(m, node->b, 0, item.next));
    case PRODUCTION_KIND_CHOICE:
        for (uint32_t i = 0; i < node->b; i++)
            if (!push_work(m, set->pool[node->a + i], 0, item.next)) return false;
        return true;
    case PRODUCTION_KIND_REPEAT:
        return expand_repeat(m, node, item, complete);
    case PRODUCTION_KIND_RULE:
        return push_work(m, set->rules[node->a], 0, item.next);
    case PRODUCTION_KIND_TOKEN:
        return add_thread(m, THREAD_TOKEN | node->a, item.next);
    case PRODUCTION_KIND_CAPTURE:
        return push_work(m, node->a, 0, item.next);
    }
    return true;
}

bool continuation_expand(struct grammar_matcher *m, uint32_t continuation)
{
    if (m->failure != STATUS_OK) return false;
    if (m->continuations[continuation].threads != NOT_EXPANDED) return true;
    uint32_t first = m->expanded.n;
    bool complete = false;
    m->n_work = m->n_visited = 0;
    if (++m->epoch == 0) { /* the counter came round: old marks would look new */
        m->epoch = 1;
        if (m->visited) memset(m->visited, 0, m->visited_capacity * sizeof *m->visited);
    }
    push_links(m, continuation, &complete);
    while (m->n_work && m->failure == STATUS_OK) {
        if (!regular_spend(&m->grammar->regulars, 1)) return matcher_fail(m, STATUS_LIMIT);
        expand_item(m, m->work[--m->n_work], &complete);
    }
    if (m->failure != STATUS_OK || !threads_normalize(m, &m->expanded, first)) return false;
    struct continuation *c = &m->continuations[continuation];
    c->threads = first;
    c->n_threads = m->expanded.n - first;
    c->complete = complete;
    return true;
}

/* Threads */

static int compare_threads(const void *a, const void *b)
{
    const struct thread *x = a, *y = b;
    if (x->state != y->state) return x->state < y->state ? -1 : 1;
    return x->rest < y->rest ? -1 : x->rest > y->rest;
}

bool threads_normalize(struct grammar_matcher *m, struct thread_list *list, uint32_t from)
{
    uint32_t n = list->n - from, kept = from;
    if (n > GRAMMAR_MAX_THREADS) return matcher_fail(m, STATUS_LIMIT);
    if (n < 2) return true;
    qsort(list->items + from, n, sizeof *list->items, compare_threads);
    for (uint32_t i = from; i < from + n; i++) {
        struct thread thread = list->items[i];
        if (kept > from && list->items[kept - 1].state == thread.state)
            list->items[kept - 1].rest =
                continuation_union(m, list->items[kept - 1].rest, thread.rest);
        else
            list->items[kept++] = thread;
    }
    list->n = kept;
    return m->failure == STATUS_OK;
}

static bool append(struct grammar_matcher *m, struct thread_list *list, uint32_t from,
                   struct thread thread)
{
    for (uint32_t i = from; i < list->n; i++)
        if (list->items[i].state == thread.state && list->items[i].rest == thread.rest) return true;
    if (!thread_list_reserve(m, list, (uint64_t)list->n + 1)) return false;
    list->items[list->n++] = thread;
    return true;
}

bool threads_add(struct grammar_matcher *m, struct thread_list *list, uint32_t from,
                 struct thread thread, bool *complete)
{
    const struct regular_set *set = &m->grammar->regulars;
    /* A state that has nothing but its end is not worth a thread. */
    if (thread.state != REGULAR_EMPTY && !append(m, list, from, thread)) return false;
    if (!regular_is_nullable(set, thread.state)) return true;
    if (!continuation_expand(m, thread.rest)) return false;
    struct continuation c = m->continuations[thread.rest];
    *complete |= c.complete;
    if (c.n_threads == 0) return true;
    if (list->n == from) {
        if (!thread_list_reserve(m, list, (uint64_t)list->n + c.n_threads)) return false;
        memcpy(list->items + list->n, m->expanded.items + c.threads,
               c.n_threads * sizeof *list->items);
        list->n += c.n_threads;
        return true;
    }
    for (uint32_t i = 0; i < c.n_threads; i++)
        if (!append(m, list, from, m->expanded.items[c.threads + i])) return false;
    return true;
}

enum { NORMALIZE_ABOVE = 24 };

bool threads_step(struct grammar_matcher *m, struct thread_list *list, uint32_t from, uint32_t n,
                  uint8_t byte, bool *complete)
{
    uint32_t first = list->n;
    for (uint32_t i = 0; i < n; i++) {
        struct thread thread = list->items[from + i];
        if (thread.state & THREAD_TOKEN) continue;
        regular next = regular_next(&m->grammar->regulars, thread.state, byte);
        if (next == REGULAR_NOTHING) continue;
        if (!threads_add(m, list, first, (struct thread){next, thread.rest}, complete))
            return false;
    }
    if (list->n - first > NORMALIZE_ABOVE) return threads_normalize(m, list, first);
    return true;
}
