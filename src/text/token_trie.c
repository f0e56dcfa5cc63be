#include "text/token_trie.h"

#include <stdlib.h>

#include "base/large_memory.h"

enum { MAX_NODES = 1 << 24, FEW = 16 };

/* A string by its first eight bytes (zero behind its end), then by itself. */
struct entry {
    uint64_t head;
    int32_t id;
    uint32_t size;
};

/* Strings [first, end) share their first `depth` bytes, which lead to `node`. */
struct range {
    uint32_t node;
    int32_t first, end;
    uint32_t depth;
};

struct builder {
    const struct str *strings;
    struct entry *entries, *other;
    int32_t n;
    struct token_trie_node *nodes;
    size_t n_nodes, capacity;
    struct range
        *ranges; /* a stack of what is still to be built: disjoint, so never more than strings */
    size_t n_ranges;
};

static uint64_t head_of(struct str s)
{
    uint64_t head = 0;
    for (size_t i = 0; i < 8; i++) head = head << 8 | (i < s.size ? (unsigned char)s.data[i] : 0);
    return head;
}

/* By 16 bits at a time, least first; equal heads keep their order. */
static void sort_by_head(struct builder *b, uint32_t counts[0x10000])
{
    for (int shift = 0; shift < 64; shift += 16) {
        memset(counts, 0, 0x10000 * sizeof *counts);
        for (int32_t i = 0; i < b->n; i++) counts[b->entries[i].head >> shift & 0xFFFF]++;
        uint32_t sum = 0;
        for (int k = 0; k < 0x10000; k++) {
            uint32_t count = counts[k];
            counts[k] = sum;
            sum += count;
        }
        for (int32_t i = 0; i < b->n; i++)
            b->other[counts[b->entries[i].head >> shift & 0xFFFF]++] = b->entries[i];
        struct entry *sorted = b->other;
        b->other = b->entries;
        b->entries = sorted;
    }
}

struct tail {
    struct str text;
    struct entry entry;
};

static int compare_tails(const void *left, const void *right)
{
    const struct tail *a = left, *b = right;
    int order = str_compare(a->text, b->text);
    return order ? order : (a->entry.id > b->entry.id) - (a->entry.id < b->entry.id);
}

/* Strings of one head that go on behind it, or end inside it with zero bytes, in their true order. */
static status sort_equal_heads(struct builder *b, int32_t first, int32_t end)
{
    if (end - first <= FEW) { /* the common case */
        for (int32_t i = first + 1; i < end; i++) {
            struct entry moving = b->entries[i];
            int32_t at = i;
            for (; at > first &&
                   str_compare(b->strings[b->entries[at - 1].id], b->strings[moving.id]) > 0;
                 at--)
                b->entries[at] = b->entries[at - 1];
            b->entries[at] = moving;
        }
        return STATUS_OK;
    }
    struct tail *tails = malloc((size_t)(end - first) * sizeof *tails);
    if (!tails) return STATUS_NO_MEMORY;
    for (int32_t i = first; i < end; i++)
        tails[i - first] = (struct tail){b->strings[b->entries[i].id], b->entries[i]};
    qsort(tails, (size_t)(end - first), sizeof *tails, compare_tails);
    for (int32_t i = first; i < end; i++) b->entries[i] = tails[i - first].entry;
    free(tails);
    return STATUS_OK;
}

static status sort_entries(struct builder *b)
{
    uint32_t *counts = malloc(0x10000 * sizeof *counts);
    if (!counts) return STATUS_NO_MEMORY;
    sort_by_head(b, counts);
    free(counts);
    for (int32_t first = 0, end; first < b->n; first = end) {
        for (end = first + 1; end < b->n && b->entries[end].head == b->entries[first].head;) end++;
        if (end - first > 1) TRY(sort_equal_heads(b, first, end));
    }
    return STATUS_OK;
}

static unsigned char byte_at(const struct builder *b, int32_t i, uint32_t depth)
{
    const struct entry *e = &b->entries[i];
    return (unsigned char)(depth < 8 ? e->head >> (56 - 8 * depth)
                                     : (uint64_t)(unsigned char)b->strings[e->id].data[depth]);
}

static status reserve_nodes(struct builder *b, size_t more)
{
    if (b->capacity - b->n_nodes >= more) return STATUS_OK;
    size_t capacity = b->capacity + b->capacity / 2 + more;
    if (b->n_nodes + more > MAX_NODES) return STATUS_LIMIT;
    struct token_trie_node *nodes = realloc(b->nodes, capacity * sizeof *nodes);
    if (!nodes) return STATUS_NO_MEMORY;
    b->nodes = nodes;
    b->capacity = capacity;
    return STATUS_OK;
}

/* By byte % 32, as token_trie_child looks for them. */
static void order_children(struct range *children, int32_t n)
{
    for (int32_t i = 1; i < n; i++) {
        struct range moving = children[i];
        int32_t at = i;
        for (; at && (children[at - 1].node & 31) > (moving.node & 31); at--)
            children[at] = children[at - 1];
        children[at] = moving;
    }
}

/* Gives a range's node its value and its children; their ranges go on the stack, the first on top. */
static status build_node(struct builder *b, struct range r)
{
    struct range children[256]; /* .node holds the byte at first */
    int32_t at = r.first, n = 0;
    for (; at < r.end && b->entries[at].size == r.depth; at++)
        b->nodes[r.node].value = b->entries[at].id;
    for (; at < r.end; n++) {
        unsigned char byte = byte_at(b, at, r.depth);
        children[n] = (struct range){byte, at, 0, r.depth + 1};
        while (at < r.end && byte_at(b, at, r.depth) == byte) at++;
        children[n].end = at;
    }
    if (!n) return STATUS_OK;
    order_children(children, n);
    TRY(reserve_nodes(b, (size_t)n));
    struct token_trie_node *parent = &b->nodes[r.node];
    parent->children = (uint32_t)b->n_nodes;
    for (int32_t i = 0; i < n; i++) {
        uint8_t byte = (uint8_t)children[i].node;
        parent->below |= UINT32_C(1) << (byte & 31);
        b->nodes[b->n_nodes + (size_t)i] = (struct token_trie_node){
            .value = TOKEN_TRIE_NO_VALUE, .byte = byte, .last = i + 1 == n};
        children[i].node = (uint32_t)(b->n_nodes + (size_t)i);
    }
    b->n_nodes += (size_t)n;
    for (int32_t i = n; i-- > 0;) b->ranges[b->n_ranges++] = children[i];
    return STATUS_OK;
}

static status build_nodes(struct builder *b)
{
    TRY(reserve_nodes(b, (size_t)b->n * 2 + 1));
    b->nodes[b->n_nodes++] = (struct token_trie_node){.value = TOKEN_TRIE_NO_VALUE, .last = true};
    b->ranges[b->n_ranges++] = (struct range){0, 0, b->n, 0};
    while (b->n_ranges) TRY(build_node(b, b->ranges[--b->n_ranges]));
    return STATUS_OK;
}

static status build(struct builder *b, int32_t n_strings)
{
    size_t n = (size_t)n_strings + 1;
    b->entries = malloc(n * sizeof *b->entries);
    b->other = malloc(n * sizeof *b->other);
    b->ranges = malloc(n * sizeof *b->ranges);
    if (!b->entries || !b->other || !b->ranges) return STATUS_NO_MEMORY;
    for (int32_t i = 0; i < n_strings; i++) {
        struct str s = b->strings[i];
        if (s.size >= UINT32_MAX) return STATUS_LIMIT;
        if (s.size) b->entries[b->n++] = (struct entry){head_of(s), i, (uint32_t)s.size};
    }
    TRY(sort_entries(b));
    return build_nodes(b);
}

status token_trie_build(struct token_trie *t, const struct str *strings, int32_t n_strings)
{
    struct builder b = {.strings = strings};
    status result = build(&b, n_strings);
    free(b.entries);
    free(b.other);
    free(b.ranges);
    if (result == STATUS_OK) {
        t->nodes = large_memory_alloc(b.n_nodes * sizeof *t->nodes);
        t->n_nodes = (uint32_t)b.n_nodes;
        if (t->nodes)
            memcpy(t->nodes, b.nodes, b.n_nodes * sizeof *t->nodes);
        else
            result = STATUS_NO_MEMORY;
    }
    free(b.nodes);
    return result;
}

void token_trie_deinit(struct token_trie *t)
{
    free(t->nodes);
    *t = (struct token_trie){0};
}

struct token_trie_node *token_trie_find(const struct token_trie *t, struct str s)
{
    struct token_trie_node *node = t->nodes;
    for (size_t i = 0; node && i < s.size; i++)
        node = token_trie_child(t, node->children, node->below, (unsigned char)s.data[i]);
    return node;
}
