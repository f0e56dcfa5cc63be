#include "grammar/regular.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"

/* Storage */

enum { ROWS_IN_BLOCK = 64, ROW = 256, FIRST_NODES = 256, FIRST_POOL = 1024 };
enum { LIVENESS_UNKNOWN, LIVENESS_ALIVE, LIVENESS_DEAD };

static regular fail(struct regular_set *set, status code)
{
    if (set->failure == STATUS_OK) set->failure = code;
    return REGULAR_NOTHING;
}

bool regular_spend(struct regular_set *set, uint64_t steps)
{
    if (set->failure != STATUS_OK) return false;
    uint64_t before = set->budget.steps;
    set->budget.steps += steps;
    if (set->budget.max_steps && set->budget.steps > set->budget.max_steps)
        return fail(set, STATUS_LIMIT), false;
    if ((before ^ set->budget.steps) >> 12) { /* now and then */
        if (set->budget.deadline_us && clock_monotonic_us() > set->budget.deadline_us)
            return fail(set, STATUS_LIMIT), false;
        if (set->budget.cancel && atomic_load_explicit(set->budget.cancel, memory_order_relaxed))
            return fail(set, STATUS_CANCELLED), false;
    }
    return true;
}

status regular_set_status(const struct regular_set *set, struct error *err)
{
    switch (set->failure) {
    case STATUS_OK:
        return STATUS_OK;
    case STATUS_LIMIT:
        return error_set(err, STATUS_LIMIT,
                         "grammar: its budget is spent (%zu bytes of automaton, %llu steps)",
                         set->bytes, (unsigned long long)set->budget.steps);
    case STATUS_CANCELLED:
        return error_set(err, STATUS_CANCELLED, "grammar: cancelled");
    default:
        return error_set(err, set->failure, "grammar: %s", status_text(set->failure));
    }
}

/* Grows an array to hold `need` elements, counting its bytes. */
static bool reserve(struct regular_set *set, void **array, uint32_t *capacity, uint64_t need,
                    size_t element)
{
    if (need <= *capacity) return true;
    uint64_t larger = *capacity + (uint64_t)*capacity / 2;
    if (larger < need) larger = need;
    size_t more = (size_t)(larger - *capacity) * element;
    if (larger > UINT32_MAX / 2 ||
        (set->budget.max_bytes && set->bytes + more > set->budget.max_bytes))
        return fail(set, STATUS_LIMIT), false;
    void *moved = realloc(*array, (size_t)larger * element);
    if (!moved) return fail(set, STATUS_NO_MEMORY), false;
    *array = moved;
    *capacity = (uint32_t)larger;
    set->bytes += more;
    return true;
}

static bool pool_reserve(struct regular_set *set, uint64_t more)
{
    void *pool = set->pool;
    bool ok =
        reserve(set, &pool, &set->pool_capacity, (uint64_t)set->n_pool + more, sizeof *set->pool);
    set->pool = pool;
    return ok;
}

static bool has_list(uint8_t kind)
{
    return kind == REGULAR_KIND_SWITCH || kind == REGULAR_KIND_CHOICE || kind == REGULAR_KIND_BOTH;
}

static uint32_t words_of(const struct regular_node *node)
{
    return node->kind == REGULAR_KIND_SWITCH ? 2 * node->b : node->b;
}

static uint32_t hash_node(const struct regular_set *set, const struct regular_node *node)
{
    uint64_t h;
    if (has_list(node->kind))
        h = hash_bytes(set->pool + node->a, words_of(node) * sizeof(uint32_t)) ^ node->kind;
    else
        h = hash_mum(((uint64_t)node->a << 32 | node->b) ^ 0x9E3779B97F4A7C15u,
                     ((uint64_t)node->c << 8 | node->kind) ^ 0xA0761D6478BD642Fu);
    return (uint32_t)(h ^ (h >> 32));
}

static bool same_node(const struct regular_set *set, const struct regular_node *x,
                      const struct regular_node *y)
{
    if (x->kind != y->kind || x->b != y->b) return false;
    if (has_list(x->kind))
        return memcmp(set->pool + x->a, set->pool + y->a, words_of(x) * sizeof(uint32_t)) == 0;
    return x->a == y->a && x->c == y->c;
}

static bool grow_buckets(struct regular_set *set)
{
    uint32_t n = set->n_buckets ? 2 * set->n_buckets : 2 * FIRST_NODES;
    uint32_t *buckets = calloc(n, sizeof *buckets);
    if (!buckets) return fail(set, STATUS_NO_MEMORY), false;
    set->bytes += (n - set->n_buckets) * sizeof *buckets;
    for (uint32_t i = 0; i < set->n_nodes; i++) {
        uint32_t slot = hash_node(set, &set->nodes[i]) & (n - 1);
        set->nodes[i].next = buckets[slot];
        buckets[slot] = i + 1;
    }
    free(set->buckets);
    set->buckets = buckets;
    set->n_buckets = n;
    return true;
}

/* The number of a node, making it when it is new. A list lies at the end of the pool, from node.a on; it is taken off
 * again when the node exists already. */
static regular intern(struct regular_set *set, struct regular_node node)
{
    uint32_t hash = hash_node(set, &node);
    for (uint32_t i = set->buckets[hash & (set->n_buckets - 1)]; i; i = set->nodes[i - 1].next)
        if (same_node(set, &set->nodes[i - 1], &node)) {
            if (has_list(node.kind)) set->n_pool = node.a;
            return i - 1;
        }
    if (!regular_spend(set, 1)) return REGULAR_NOTHING;
    void *nodes = set->nodes;
    bool ok = reserve(set, &nodes, &set->capacity, (uint64_t)set->n_nodes + 1, sizeof *set->nodes);
    set->nodes = nodes;
    if (!ok) return REGULAR_NOTHING;
    if (set->n_nodes >= set->n_buckets && !grow_buckets(set)) return REGULAR_NOTHING;
    node.row = NULL;
    node.liveness = node.nullable || !node.may_be_dead ? LIVENESS_ALIVE : (uint8_t)LIVENESS_UNKNOWN;
    uint32_t slot = hash & (set->n_buckets - 1);
    node.next = set->buckets[slot];
    set->nodes[set->n_nodes] = node;
    set->buckets[slot] = ++set->n_nodes;
    return set->n_nodes - 1;
}

status regular_set_init(struct regular_set *set, const struct regular_budget *budget)
{
    *set = (struct regular_set){.budget = *budget};
    if (!grow_buckets(set)) return STATUS_NO_MEMORY;
    void *nodes = NULL;
    if (!reserve(set, &nodes, &set->capacity, FIRST_NODES, sizeof *set->nodes)) goto fail;
    set->nodes = nodes;
    if (!pool_reserve(set, FIRST_POOL)) goto fail;
    regular nothing = intern(set, (struct regular_node){.kind = REGULAR_KIND_NOTHING});
    set->nodes[nothing].liveness = LIVENESS_DEAD;
    intern(set, (struct regular_node){.kind = REGULAR_KIND_EMPTY, .nullable = true});
    intern(set, (struct regular_node){.kind = REGULAR_KIND_NOT,
                                      .a = REGULAR_NOTHING,
                                      .nullable = true,
                                      .may_be_dead = true});
    if (set->failure == STATUS_OK) return STATUS_OK;
fail:;
    status failure = set->failure;
    regular_set_deinit(set);
    return failure;
}

void regular_set_deinit(struct regular_set *set)
{
    for (uint32_t i = 0; i < set->n_row_blocks; i++) free(set->row_blocks[i]);
    free(set->row_blocks);
    free(set->nodes);
    free(set->pool);
    free(set->buckets);
    *set = (struct regular_set){0};
}

/* Constructors */

regular regular_switch(struct regular_set *set, const struct regular_range *ranges, size_t n)
{
    if (!pool_reserve(set, 2 * (uint64_t)n)) return REGULAR_NOTHING;
    struct regular_node node = {.kind = REGULAR_KIND_SWITCH, .a = set->n_pool};
    for (size_t i = 0; i < n; i++) {
        if (ranges[i].then == REGULAR_NOTHING) continue;
        uint32_t *last = set->pool + set->n_pool - 2;
        if (node.b && last[1] == ranges[i].then && (last[0] >> 8) + 1 == ranges[i].low) {
            last[0] = (last[0] & 0xFF) | (uint32_t)ranges[i].high << 8;
            continue;
        }
        set->pool[set->n_pool++] = ranges[i].low | (uint32_t)ranges[i].high << 8;
        set->pool[set->n_pool++] = ranges[i].then;
        node.may_be_dead |= set->nodes[ranges[i].then].may_be_dead;
        node.b++;
    }
    return node.b ? intern(set, node) : REGULAR_NOTHING;
}

regular regular_byte_range(struct regular_set *set, uint8_t low, uint8_t high)
{
    return regular_switch(set, &(struct regular_range){low, high, REGULAR_EMPTY}, 1);
}

regular regular_literal(struct regular_set *set, struct str text)
{
    regular r = REGULAR_EMPTY;
    for (size_t i = text.size; i-- > 0;) {
        uint8_t byte = (uint8_t)text.data[i];
        r = regular_switch(set, &(struct regular_range){byte, byte, r}, 1);
    }
    return r;
}

regular regular_sequence(struct regular_set *set, regular a, regular b)
{
    if (a == REGULAR_NOTHING || b == REGULAR_NOTHING) return REGULAR_NOTHING;
    if (a == REGULAR_EMPTY) return b;
    if (b == REGULAR_EMPTY) return a;
    const struct regular_node *left = &set->nodes[a];
    if (left->kind == REGULAR_KIND_SEQUENCE) { /* (x y) b = x (y b): the spine leans right */
        regular spine[64], x = a;
        int n = 0;
        while (n < 64 && set->nodes[x].kind == REGULAR_KIND_SEQUENCE) {
            spine[n++] = set->nodes[x].a;
            x = set->nodes[x].b;
        }
        regular r = regular_sequence(set, x, b); /* again for a spine longer than 64 */
        while (n-- > 0) r = regular_sequence(set, spine[n], r);
        return r;
    }
    const struct regular_node *right = &set->nodes[b];
    if (left->kind == REGULAR_KIND_REPEAT && right->kind == REGULAR_KIND_REPEAT &&
        left->a == right->a && left->c == REGULAR_FOREVER && right->c == REGULAR_FOREVER &&
        left->b + right->b < REGULAR_FOREVER)
        return regular_repeat(set, left->a, left->b + right->b, REGULAR_FOREVER);
    struct regular_node node = {.kind = REGULAR_KIND_SEQUENCE, .a = a, .b = b};
    node.nullable = left->nullable && right->nullable;
    node.may_be_dead = left->may_be_dead || right->may_be_dead;
    return intern(set, node);
}

regular regular_repeat(struct regular_set *set, regular a, uint32_t min, uint32_t max)
{
    if (max == 0 || a == REGULAR_EMPTY) return REGULAR_EMPTY;
    if (a == REGULAR_NOTHING) return min ? REGULAR_NOTHING : REGULAR_EMPTY;
    if (a == REGULAR_ALL) return REGULAR_ALL;
    const struct regular_node *inner = &set->nodes[a];
    if (inner->nullable) min = 0;
    if (min == 1 && max == 1) return a;
    if (inner->kind == REGULAR_KIND_REPEAT && inner->c == REGULAR_FOREVER && inner->b <= 1) {
        if (inner->b == 0) return a; /* (x*){m,n} */
        a = inner->a;                /* (x+){m,n}, n > 1 or m = 0 */
        return regular_repeat(set, a, min, REGULAR_FOREVER);
    }
    if (inner->kind == REGULAR_KIND_REPEAT && inner->b == 0 && inner->c == 1 &&
        max == REGULAR_FOREVER)
        return regular_repeat(set, inner->a, 0, REGULAR_FOREVER);
    struct regular_node node = {.kind = REGULAR_KIND_REPEAT, .a = a, .b = min, .c = max};
    node.nullable = min == 0 || inner->nullable;
    node.may_be_dead = inner->may_be_dead;
    return intern(set, node);
}

regular regular_not(struct regular_set *set, regular a)
{
    if (set->nodes[a].kind == REGULAR_KIND_NOT) return set->nodes[a].a;
    return intern(set, (struct regular_node){.kind = REGULAR_KIND_NOT,
                                             .a = a,
                                             .nullable = !set->nodes[a].nullable,
                                             .may_be_dead = true});
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Switches whose every target is EMPTY are sets of bytes; the sets of one choice become one. Returns the new count. */
static size_t join_byte_sets(struct regular_set *set, uint32_t *members, size_t n)
{
    size_t n_sets = 0, kept = 0;
    bool bytes[256] = {false};
    for (size_t i = 0; i < n; i++) {
        const struct regular_node *node = &set->nodes[members[i]];
        bool is_set = node->kind == REGULAR_KIND_SWITCH;
        for (uint32_t k = 0; is_set && k < node->b; k++)
            is_set = set->pool[node->a + 2 * k + 1] == REGULAR_EMPTY;
        if (!is_set) continue;
        n_sets++;
    }
    if (n_sets < 2) return n;
    for (size_t i = 0; i < n; i++) {
        const struct regular_node *node = &set->nodes[members[i]];
        bool is_set = node->kind == REGULAR_KIND_SWITCH;
        for (uint32_t k = 0; is_set && k < node->b; k++)
            is_set = set->pool[node->a + 2 * k + 1] == REGULAR_EMPTY;
        if (!is_set) {
            members[kept++] = members[i];
            continue;
        }
        for (uint32_t k = 0; k < node->b; k++) {
            uint32_t range = set->pool[node->a + 2 * k];
            for (uint32_t byte = range & 0xFF; byte <= range >> 8; byte++) bytes[byte] = true;
        }
    }
    struct regular_range ranges[128];
    size_t n_ranges = 0;
    for (int byte = 0; byte < 256; byte++) {
        if (!bytes[byte]) continue;
        if (byte && bytes[byte - 1])
            ranges[n_ranges - 1].high = (uint8_t)byte;
        else
            ranges[n_ranges++] =
                (struct regular_range){(uint8_t)byte, (uint8_t)byte, REGULAR_EMPTY};
    }
    members[kept++] = regular_switch(set, ranges, n_ranges);
    return kept;
}

/* Sorts, drops repeats; members are copied to the pool and made a node of this kind. */
static regular intern_list(struct regular_set *set, uint8_t kind, uint32_t *members, size_t n)
{
    qsort(members, n, sizeof *members, compare_u32);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!kept || members[kept - 1] != members[i]) members[kept++] = members[i];
    if (kept == 1) return members[0];
    if (!pool_reserve(set, kept)) return REGULAR_NOTHING;
    struct regular_node node = {.kind = kind, .a = set->n_pool, .b = (uint32_t)kept};
    node.nullable = kind == REGULAR_KIND_BOTH;
    node.may_be_dead = kind == REGULAR_KIND_BOTH;
    for (size_t i = 0; i < kept; i++) {
        const struct regular_node *member = &set->nodes[members[i]];
        if (kind == REGULAR_KIND_BOTH)
            node.nullable &= member->nullable;
        else
            node.nullable |= member->nullable;
        node.may_be_dead |= member->may_be_dead;
        set->pool[set->n_pool++] = members[i];
    }
    return intern(set, node);
}

/* CHOICE and BOTH are duals: `zero` swallows all, `unit` is left out. */
static regular combine(struct regular_set *set, uint8_t kind, const regular *members, size_t n)
{
    regular zero = kind == REGULAR_KIND_CHOICE ? REGULAR_ALL : REGULAR_NOTHING;
    regular unit = kind == REGULAR_KIND_CHOICE ? REGULAR_NOTHING : REGULAR_ALL;
    uint32_t few[64], *flat = few;
    uint64_t n_flat = 0, need = 0;
    bool nullable = false;
    for (size_t i = 0; i < n; i++)
        need += set->nodes[members[i]].kind == kind ? set->nodes[members[i]].b : 1;
    if (!regular_spend(set, need / 8)) return REGULAR_NOTHING;
    if (need > 64 && !(flat = malloc(need * sizeof *flat))) return fail(set, STATUS_NO_MEMORY);
    regular result = zero;
    for (size_t i = 0; i < n; i++) {
        const struct regular_node *node = &set->nodes[members[i]];
        if (members[i] == zero) goto done;
        if (members[i] == unit) continue;
        if (node->kind == kind) {
            memcpy(flat + n_flat, set->pool + node->a, node->b * sizeof *flat);
            n_flat += node->b;
        } else {
            flat[n_flat++] = members[i];
        }
    }
    if (n_flat == 0) {
        result = unit;
        goto done;
    }
    if (kind == REGULAR_KIND_CHOICE) {
        n_flat = join_byte_sets(set, flat, n_flat);
        /* the empty string adds nothing beside another member that has it */
        for (uint64_t i = 0; i < n_flat; i++)
            nullable |= flat[i] != REGULAR_EMPTY && set->nodes[flat[i]].nullable;
        for (uint64_t i = 0; nullable && i < n_flat; i++)
            if (flat[i] == REGULAR_EMPTY) flat[i--] = flat[--n_flat];
    }
    for (uint64_t i = 0; i < n_flat; i++) { /* x and not x */
        if (set->nodes[flat[i]].kind != REGULAR_KIND_NOT) continue;
        for (uint64_t k = 0; k < n_flat; k++)
            if (flat[k] == set->nodes[flat[i]].a) goto done;
    }
    for (uint64_t i = 0; kind == REGULAR_KIND_BOTH && i < n_flat; i++) {
        if (flat[i] != REGULAR_EMPTY) continue; /* only the empty string is in question */
        bool all = true;
        for (uint64_t k = 0; k < n_flat; k++) all &= set->nodes[flat[k]].nullable;
        result = all ? REGULAR_EMPTY : REGULAR_NOTHING;
        goto done;
    }
    result = intern_list(set, kind, flat, n_flat);
done:
    if (flat != few) free(flat);
    return result;
}

regular regular_choice(struct regular_set *set, const regular *members, size_t n)
{
    return combine(set, REGULAR_KIND_CHOICE, members, n);
}

regular regular_either(struct regular_set *set, regular a, regular b)
{
    return combine(set, REGULAR_KIND_CHOICE, (regular[]){a, b}, 2);
}

regular regular_both(struct regular_set *set, regular a, regular b)
{
    return combine(set, REGULAR_KIND_BOTH, (regular[]){a, b}, 2);
}

regular regular_without(struct regular_set *set, regular a, regular b)
{
    return b == REGULAR_NOTHING ? a : regular_both(set, a, regular_not(set, b));
}

static int compare_str(const void *a, const void *b)
{
    return str_compare(*(const struct str *)a, *(const struct str *)b);
}

/* The sorted strings [from, to) agree in their first `depth` bytes. Unbranched stretches are a loop; only branching
 * recurses. */
enum { MAX_TRIE_LEVEL = 1000 };
static regular trie_of(struct regular_set *set, const struct str *strings, size_t from, size_t to,
                       size_t depth, int level)
{
    if (level > MAX_TRIE_LEVEL) return fail(set, STATUS_LIMIT);
    if (set->failure != STATUS_OK) return REGULAR_NOTHING;
    size_t first = depth;
    const struct str *low = &strings[from], *high = &strings[to - 1];
    while (depth < low->size && depth < high->size && low->data[depth] == high->data[depth])
        depth++; /* sorted: what the first and the last share, all share */
    regular r;
    if (depth == low->size && str_equal(*low, *high)) {
        r = REGULAR_EMPTY;
    } else {
        struct regular_range ranges[256] = {{0}};
        size_t n = 0;
        bool ends = false;
        while (from < to && strings[from].size == depth) from++, ends = true;
        while (from < to) {
            uint8_t byte = (uint8_t)strings[from].data[depth];
            size_t end = from + 1;
            while (end < to && (uint8_t)strings[end].data[depth] == byte) end++;
            ranges[n++] = (struct regular_range){
                byte, byte, trie_of(set, strings, from, end, depth + 1, level + 1)};
            from = end;
        }
        r = regular_switch(set, ranges, n);
        if (ends) r = regular_either(set, REGULAR_EMPTY, r);
    }
    struct str shared = str_slice(*low, first, depth);
    for (size_t i = shared.size; i-- > 0;) {
        uint8_t byte = (uint8_t)shared.data[i];
        r = regular_switch(set, &(struct regular_range){byte, byte, r}, 1);
    }
    return r;
}

regular regular_any_of(struct regular_set *set, const struct str *strings, size_t n)
{
    if (n == 0) return REGULAR_NOTHING;
    struct str *sorted = malloc(n * sizeof *sorted);
    if (!sorted) return fail(set, STATUS_NO_MEMORY);
    memcpy(sorted, strings, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_str);
    regular r = trie_of(set, sorted, 0, n, 0, 0);
    free(sorted);
    return r;
}

/* MULTIPLE: a = m, b = the value so far modulo m, c = digits of the fraction still allowed << 2 | phase. */
enum { PHASE_START, PHASE_INTEGER, PHASE_POINT, PHASE_FRACTION };

static regular multiple_state(struct regular_set *set, uint32_t m, uint32_t rest, uint32_t left,
                              uint32_t phase)
{
    uint64_t scaled = rest;
    for (uint32_t i = 0; i < left; i++) scaled = scaled * 10 % m;
    return intern(set, (struct regular_node){
                           .kind = REGULAR_KIND_MULTIPLE,
                           .a = m,
                           .b = rest,
                           .c = left << 2 | phase,
                           .nullable = scaled == 0 && phase != PHASE_START && phase != PHASE_POINT,
                           .may_be_dead = true,
                       });
}

regular regular_multiple(struct regular_set *set, uint32_t m, uint32_t n_fraction)
{
    return multiple_state(set, m, 0, n_fraction, PHASE_START);
}

/* Derivatives. `low` and `high` bound the bytes around `byte` that have the same derivative; each function narrows them. */

struct derivation {
    struct regular_set *set;
    uint8_t byte;
    int low, high;
};

static regular derive(struct derivation *, regular);

static void narrow(struct derivation *d, int low, int high)
{
    if (low > d->low) d->low = low;
    if (high < d->high) d->high = high;
}

static regular derive_switch(struct derivation *d, const struct regular_node *node)
{
    const uint32_t *ranges = d->set->pool + node->a;
    uint32_t from = 0, to = node->b; /* the first range whose high >= byte */
    while (from < to) {
        uint32_t middle = (from + to) / 2;
        if (ranges[2 * middle] >> 8 < d->byte)
            from = middle + 1;
        else
            to = middle;
    }
    int after_previous = from ? (int)(ranges[2 * from - 2] >> 8) + 1 : 0;
    if (from == node->b) {
        narrow(d, after_previous, 255);
        return REGULAR_NOTHING;
    }
    int low = (int)(ranges[2 * from] & 0xFF), high = (int)(ranges[2 * from] >> 8);
    if (d->byte < low) {
        narrow(d, after_previous, low - 1);
        return REGULAR_NOTHING;
    }
    narrow(d, low, high);
    return ranges[2 * from + 1];
}

static regular derive_multiple(struct derivation *d, struct regular_node node)
{
    uint32_t left = node.c >> 2, phase = node.c & 3;
    narrow(d, d->byte, d->byte);
    if (d->byte == '.')
        return phase == PHASE_INTEGER && left
                   ? multiple_state(d->set, node.a, node.b, left, PHASE_POINT)
                   : REGULAR_NOTHING;
    if (d->byte < '0' || d->byte > '9') return REGULAR_NOTHING;
    uint32_t rest = (uint32_t)(((uint64_t)node.b * 10 + d->byte - '0') % node.a);
    if (phase <= PHASE_INTEGER) return multiple_state(d->set, node.a, rest, left, PHASE_INTEGER);
    return left ? multiple_state(d->set, node.a, rest, left - 1, PHASE_FRACTION) : REGULAR_NOTHING;
}

/* The derivative of a sequence: of its first part, and of each next one while those before may be empty. */
static regular derive_sequence(struct derivation *d, regular r)
{
    regular result = REGULAR_NOTHING;
    for (;;) {
        struct regular_node node = d->set->nodes[r];
        if (node.kind != REGULAR_KIND_SEQUENCE) {
            regular last = derive(d, r);
            return regular_either(d->set, result, last);
        }
        regular first = regular_sequence(d->set, derive(d, node.a), node.b);
        result = result == REGULAR_NOTHING ? first : regular_either(d->set, result, first);
        if (!d->set->nodes[node.a].nullable) return result;
        r = node.b;
    }
}

static regular derive_list(struct derivation *d, struct regular_node node)
{
    uint32_t few[32] = {0}, *members = few;
    if (!regular_spend(d->set, node.b / 4)) return REGULAR_NOTHING;
    if (node.b > 32 && !(members = malloc(node.b * sizeof *members)))
        return fail(d->set, STATUS_NO_MEMORY);
    uint32_t n = 0;
    for (uint32_t i = 0; i < node.b; i++) {
        regular part = derive(d, d->set->pool[node.a + i]);
        if (node.kind == REGULAR_KIND_BOTH && part == REGULAR_NOTHING) {
            n = 0;
            members[n++] = REGULAR_NOTHING;
            break;
        }
        members[n++] = part;
    }
    regular result = combine(d->set, node.kind, members, n);
    if (members != few) free(members);
    return result;
}

/* Recursion follows the nesting of the source's operators, which its parser bounds. */
static regular derive(struct derivation *d, regular r)
{
    struct regular_node node = d->set->nodes[r]; /* a copy: nodes move as they grow */
    switch ((enum regular_kind)node.kind) {
    case REGULAR_KIND_NOTHING:
    case REGULAR_KIND_EMPTY:
        return REGULAR_NOTHING;
    case REGULAR_KIND_SWITCH:
        return derive_switch(d, &node);
    case REGULAR_KIND_SEQUENCE:
        return derive_sequence(d, r);
    case REGULAR_KIND_REPEAT: {
        regular first = derive(d, node.a);
        if (first == REGULAR_NOTHING) return REGULAR_NOTHING;
        uint32_t min = node.b ? node.b - 1 : 0;
        uint32_t max = node.c == REGULAR_FOREVER ? node.c : node.c - 1;
        return regular_sequence(d->set, first, regular_repeat(d->set, node.a, min, max));
    }
    case REGULAR_KIND_CHOICE:
    case REGULAR_KIND_BOTH:
        return derive_list(d, node);
    case REGULAR_KIND_NOT:
        return regular_not(d->set, derive(d, node.a));
    case REGULAR_KIND_MULTIPLE:
        return derive_multiple(d, node);
    }
    return REGULAR_NOTHING;
}

regular regular_derive(struct regular_set *set, regular r, uint8_t byte)
{
    struct derivation d = {.set = set, .byte = byte, .low = 0, .high = 255};
    regular next = derive(&d, r);
    return regular_is_nothing(set, next) ? REGULAR_NOTHING : next;
}

static bool make_row(struct regular_set *set, regular r)
{
    uint32_t block = set->n_row_blocks;
    if (!block || set->rows_in_last == ROWS_IN_BLOCK) {
        size_t bytes = (size_t)ROWS_IN_BLOCK * ROW * sizeof(uint32_t);
        if (set->budget.max_bytes && set->bytes + bytes > set->budget.max_bytes)
            return fail(set, STATUS_LIMIT), false;
        void **blocks = realloc(set->row_blocks, (block + 1) * sizeof *blocks);
        if (!blocks) return fail(set, STATUS_NO_MEMORY), false;
        set->row_blocks = blocks;
        if (!(blocks[block] = malloc(bytes))) return fail(set, STATUS_NO_MEMORY), false;
        set->bytes += bytes;
        set->n_row_blocks++;
        set->rows_in_last = 0;
    }
    uint32_t *row =
        (uint32_t *)set->row_blocks[set->n_row_blocks - 1] + (size_t)set->rows_in_last++ * ROW;
    memset(row, 0xFF, ROW * sizeof *row);
    set->nodes[r].row = row;
    return true;
}

regular regular_next_slow(struct regular_set *set, regular r, uint8_t byte)
{
    if (set->failure != STATUS_OK) return REGULAR_NOTHING;
    if (!set->nodes[r].row && !make_row(set, r)) return REGULAR_NOTHING;
    struct derivation d = {.set = set, .byte = byte, .low = 0, .high = 255};
    regular next = derive(&d, r);
    if (regular_is_nothing(set, next)) next = REGULAR_NOTHING;
    if (set->failure != STATUS_OK) return REGULAR_NOTHING;
    for (int i = d.low; i <= d.high; i++) set->nodes[r].row[i] = next;
    return next;
}

/* Liveness: breadth first over derivatives until a nullable one; then the path to it is alive. When none is found
 * everything seen is dead. */

struct search {
    regular *queue;
    uint32_t *from;
    uint32_t n, capacity;
};

static bool search_push(struct regular_set *set, struct search *search, regular r, uint32_t from)
{
    if (search->n == search->capacity) {
        uint32_t larger = search->capacity ? 2 * search->capacity : 64;
        regular *queue = realloc(search->queue, larger * sizeof *queue);
        if (queue) search->queue = queue;
        uint32_t *origins = realloc(search->from, larger * sizeof *origins);
        if (origins) search->from = origins;
        if (!queue || !origins) return fail(set, STATUS_NO_MEMORY), false;
        search->capacity = larger;
    }
    search->queue[search->n] = r;
    search->from[search->n++] = from;
    return true;
}

enum { LIVENESS_SEEN = 3 }; /* in the queue of the search that runs */

static void search_run(struct regular_set *set, struct search *search, regular start)
{
    if (!search_push(set, search, start, 0)) return;
    set->nodes[start].liveness = LIVENESS_SEEN;
    for (uint32_t at = 0; at < search->n && set->failure == STATUS_OK; at++) {
        regular r = search->queue[at];
        for (int byte = 0; byte < 256;) {
            struct derivation d = {.set = set, .byte = (uint8_t)byte, .low = 0, .high = 255};
            regular next = derive(&d, r);
            if (!regular_spend(set, 1)) return;
            byte = d.high + 1;
            uint8_t liveness = set->nodes[next].liveness;
            if (liveness == LIVENESS_ALIVE) {
                for (uint32_t i = at;; i = search->from[i]) {
                    set->nodes[search->queue[i]].liveness = LIVENESS_ALIVE;
                    if (i == 0) return;
                }
            }
            if (liveness == LIVENESS_UNKNOWN) {
                if (!search_push(set, search, next, at)) return;
                set->nodes[next].liveness = LIVENESS_SEEN;
            }
        }
    }
}

bool regular_is_nothing(struct regular_set *set, regular r)
{
    if (set->nodes[r].liveness == LIVENESS_UNKNOWN) {
        struct search search = {0};
        search_run(set, &search, r);
        bool alive = set->nodes[r].liveness == LIVENESS_ALIVE;
        for (uint32_t i = 0; i < search.n; i++) {
            struct regular_node *node = &set->nodes[search.queue[i]];
            if (node->liveness == LIVENESS_SEEN)
                node->liveness =
                    alive || set->failure != STATUS_OK ? (uint8_t)LIVENESS_UNKNOWN : LIVENESS_DEAD;
        }
        free(search.queue);
        free(search.from);
    }
    return set->nodes[r].liveness != LIVENESS_ALIVE;
}

bool regular_matches(struct regular_set *set, regular r, struct str text)
{
    for (size_t i = 0; i < text.size && r != REGULAR_NOTHING; i++)
        r = regular_derive(set, r, (uint8_t)text.data[i]);
    return set->nodes[r].nullable;
}
