/* The parser keeps one growing stack of finished values. A container remembers where its children
 * begin on it; when it closes they move to the arena in one piece, so siblings are contiguous and
 * no value has an allocation of its own. */
#include "data/json.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/utf8.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "string_run finds the first byte by ctz");

struct frame {
    size_t first_child; /* index into pending; the container itself is the value before it */
    bool is_object;
};

struct parser {
    const char *at, *end, *begin;
    struct arena *arena;
    const char *source;
    struct error *err;
    bool last_key_wins, non_finite_numbers;

    struct json *pending;
    size_t n_pending, pending_capacity;
    struct frame *frames;
    int depth, max_depth;
    size_t n_values, max_values;

    uint64_t *key_table; /* scratch of repeated-key detection */
    size_t key_table_capacity;
};

__attribute__((format(printf, 4, 5), cold)) static status
fail(struct parser *p, status code, const char *where, const char *format, ...)
{
    size_t line = 1, column = 1;
    for (const char *c = p->begin; c < where; c++) {
        if (*c == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*c & 0xC0) != 0x80) {
            column++;
        }
    }
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return error_set(p->err, code, "%s: line %zu, column %zu: %s", p->source, line, column, what);
}

#ifdef __clang_analyzer__ /* as error_set in base/status.h */
#define fail(p, code, ...) ((void)fail(p, code, __VA_ARGS__), (code))
#endif

/* "'x'" or "the end of the text": what stands at p->at, for messages. */
static const char *found(const struct parser *p, char out[24])
{
    if (p->at >= p->end) return "the end of the text";
    unsigned char c = (unsigned char)*p->at;
    if (c > 0x20 && c < 0x7F)
        snprintf(out, 24, "'%c'", c);
    else
        snprintf(out, 24, "byte 0x%02X", c);
    return out;
}

static status fail_expected(struct parser *p, const char *expected)
{
    char out[24];
    return fail(p, STATUS_FORMAT, p->at, "expected %s, found %s", expected, found(p, out));
}

static status no_memory(struct parser *p)
{
    return fail(p, STATUS_NO_MEMORY, p->at, "no memory for the value tree");
}

static inline void skip_space(struct parser *p)
{
    while (p->at < p->end) {
        char c = *p->at;
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return;
        p->at++;
        uint64_t word;
        while (p->end - p->at >= 8 &&
               (memcpy(&word, p->at, 8), word == 0x2020202020202020u)) /* indentation */
            p->at += 8;
    }
}

/* ---- strings ---- */

/* First byte at or after s that is a quote, a backslash or a control character; `end` if none.
 * *any_high collects whether a byte >= 0x80 was passed. */
static inline const char *string_run(const char *s, const char *end, bool *any_high)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t high = 0;
    while (end - s >= 8) {
        uint64_t word;
        memcpy(&word, s, 8);
        uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
        /* The classic zero-byte test; false hits only follow a true one, so the first is exact.
         * Bytes >= 0x80 are masked out by ~word. */
        uint64_t hit =
            (((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | (word - ones * 0x20)) &
            ~word & highs;
        if (hit) {
            int n = __builtin_ctzll(hit) >> 3;
            high |= word & ((UINT64_C(1) << (8 * n)) - 1);
            *any_high |= (high & highs) != 0;
            return s + n;
        }
        high |= word;
        s += 8;
    }
    *any_high |= (high & highs) != 0;
    while (s < end && *s != '"' && *s != '\\' && (unsigned char)*s >= 0x20)
        *any_high |= (unsigned char)*s++ >= 0x80;
    return s;
}

/* Address of the first byte that is not UTF-8, or NULL. */
static const char *find_invalid_utf8(const char *s, const char *end)
{
    while (s < end) {
        unsigned char lead = (unsigned char)*s;
        if (lead < 0x80) {
            s++;
        } else if (lead >= 0xC2 && lead < 0xE0 && end - s >= 2 &&
                   ((unsigned char)s[1] & 0xC0) == 0x80) {
            s += 2; /* byte-level BPE vocabularies are full of these */
        } else {
            uint32_t code;
            size_t length = utf8_decode(s, (size_t)(end - s), &code);
            if (code == UTF8_INVALID) return s;
            s += length;
        }
    }
    return NULL;
}

static bool read_hex4(const char *s, const char *end, uint32_t *out)
{
    if (end - s < 4) return false;
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = s[i];
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            digit = (uint32_t)((c | 0x20) - 'a') + 10;
        else
            return false;
        value = value << 4 | digit;
    }
    *out = value;
    return true;
}

/* At "\u....": decodes one character, joining a surrogate pair; advances *s past it. */
static status read_unicode_escape(struct parser *p, const char **s, uint32_t *code)
{
    const char *start = *s;
    if (!read_hex4(start + 2, p->end, code))
        return fail(p, STATUS_FORMAT, start, "\\u needs four hexadecimal digits");
    *s = start + 6;
    if (*code < 0xD800 || *code > 0xDFFF) return STATUS_OK;
    uint32_t low;
    if (*code < 0xDC00 && p->end - *s >= 6 && (*s)[0] == '\\' && (*s)[1] == 'u' &&
        read_hex4(*s + 2, p->end, &low) && low >= 0xDC00 && low <= 0xDFFF) {
        *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
        *s += 6;
        return STATUS_OK;
    }
    return fail(p, STATUS_FORMAT, start, "lone surrogate \\u%04x", (unsigned)*code);
}

static char simple_escape(char c)
{
    switch (c) {
    case '"':
        return '"';
    case '\\':
        return '\\';
    case '/':
        return '/';
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return 0;
    }
}

/* The text between s and its closing quote `close` holds escapes: decodes a copy. */
static status unescape(struct parser *p, const char *s, const char *close, struct str *out)
{
    char *copy = arena_alloc_aligned(p->arena, (size_t)(close - s), 1); /* never longer decoded */
    if (!copy) return no_memory(p);
    char *to = copy;
    while (s < close) {
        const char *slash = memchr(s, '\\', (size_t)(close - s));
        size_t plain = (size_t)((slash ? slash : close) - s);
        memcpy(to, s, plain);
        to += plain;
        s += plain;
        if (!slash) break;
        if (s[1] == 'u') {
            uint32_t code = 0;
            TRY(read_unicode_escape(p, &s, &code));
            to += utf8_encode(code, to);
        } else {
            char c = simple_escape(s[1]);
            if (!c) return fail(p, STATUS_FORMAT, s, "unknown escape in a string");
            *to++ = c;
            s += 2;
        }
    }
    *out = (struct str){copy, (size_t)(to - copy)};
    return STATUS_OK;
}

/* p->at is the opening quote. */
static status parse_string(struct parser *p, struct str *out)
{
    const char *start = p->at + 1, *s = start;
    bool any_high = false, any_escape = false;
    for (;;) {
        s = string_run(s, p->end, &any_high);
        if (s == p->end) return fail(p, STATUS_FORMAT, p->at, "this string has no end");
        if (*s == '"') break;
        if (*s != '\\')
            return fail(p, STATUS_FORMAT, s, "control character 0x%02X in a string",
                        (unsigned)(unsigned char)*s);
        any_escape = true;
        s += 2;
        if (s > p->end) return fail(p, STATUS_FORMAT, p->at, "this string has no end");
    }
    if (any_high) {
        const char *bad = find_invalid_utf8(start, s);
        if (bad) return fail(p, STATUS_FORMAT, bad, "a string is not valid UTF-8");
    }
    if (any_escape)
        TRY(unescape(p, start, s, out));
    else
        *out = (struct str){start, (size_t)(s - start)};
    p->at = s + 1;
    return STATUS_OK;
}

/* ---- numbers ---- */

static inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

static const char *skip_digits(const char *s, const char *end)
{
    while (s < end && is_digit(*s)) s++;
    return s;
}

static bool take_word(struct parser *p, struct str word)
{
    struct str rest = {p->at, (size_t)(p->end - p->at)};
    if (!str_starts_with(rest, word)) return false;
    p->at += word.size;
    return true;
}

static status parse_number(struct parser *p, struct str *out)
{
    const char *start = p->at;
    if (*p->at == '-') p->at++;
    if (p->non_finite_numbers && take_word(p, STR("Infinity"))) goto done;
    if (p->at == p->end || !is_digit(*p->at)) return fail_expected(p, "a digit");
    p->at = *p->at == '0' ? p->at + 1 : skip_digits(p->at, p->end);
    if (p->at < p->end && *p->at == '.') {
        const char *digits = ++p->at;
        p->at = skip_digits(digits, p->end);
        if (p->at == digits) return fail_expected(p, "a digit after the decimal point");
    }
    if (p->at < p->end && (*p->at | 0x20) == 'e') {
        p->at++;
        if (p->at < p->end && (*p->at == '+' || *p->at == '-')) p->at++;
        const char *digits = p->at;
        p->at = skip_digits(digits, p->end);
        if (p->at == digits) return fail_expected(p, "a digit of the exponent");
    }
done:
    *out = (struct str){start, (size_t)(p->at - start)};
    return STATUS_OK;
}

/* ---- repeated keys ---- */

static bool key_equal(const struct json *a, const struct json *b)
{
    return str_equal(a->key, b->key);
}

static status repeated_key(struct parser *p, const struct json *member)
{
    const char *key = member->key.data;
    bool in_text = key && key >= p->begin && key <= p->end;
    int shown = member->key.size > 80 ? 80 : (int)member->key.size;
    return fail(p, STATUS_FORMAT, in_text ? key : p->at, "repeated key \"%.*s\"", shown, key);
}

/* `later` repeats `earlier`: an error, or the value moves to the first place (as in Python's dict)
 * and the later member is marked for removal. */
static status merge_repeated(struct parser *p, struct json *earlier, struct json *later,
                             size_t *n_removed)
{
    if (!p->last_key_wins) return repeated_key(p, later);
    *earlier = *later;
    later->key.data = NULL; /* no parsed key has NULL data */
    ++*n_removed;
    return STATUS_OK;
}

static int compare_members(const void *left, const void *right)
{
    const struct json *a = *(struct json *const *)left, *b = *(struct json *const *)right;
    int order = str_compare(a->key, b->key);
    return order ? order : (a > b) - (a < b);
}

/* For keys made to collide: n log n whatever they are. */
static status find_repeated_by_sorting(struct parser *p, struct json *members, size_t count,
                                       size_t *n_removed)
{
    struct json **order = malloc(count * sizeof *order);
    if (!order) return no_memory(p);
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (members[i].key.data) order[n++] = &members[i];
    qsort(order, n, sizeof *order, compare_members);
    status result = STATUS_OK;
    for (size_t i = 1, first = 0; i < n && result == STATUS_OK; i++) {
        if (key_equal(order[first], order[i]))
            result = merge_repeated(p, order[first], order[i], n_removed);
        else
            first = i;
    }
    free(order);
    return result;
}

/* Open addressing; a slot holds 32 hash bits above index + 1. hash_bytes is not keyed, so the total
 * number of probes is bounded and sorting takes over beyond it. */
static status find_repeated_by_hash(struct parser *p, struct json *members, size_t count,
                                    size_t *n_removed)
{
    size_t slots = 32;
    while (slots < 2 * count) slots *= 2;
    if (slots > p->key_table_capacity) {
        free(p->key_table);
        p->key_table = malloc(slots * sizeof *p->key_table);
        p->key_table_capacity = p->key_table ? slots : 0;
        if (!p->key_table) return no_memory(p);
    }
    memset(p->key_table, 0, slots * sizeof *p->key_table);
    size_t budget = 16 * count + 64;
    for (size_t i = 0; i < count; i++) {
        uint64_t hash = hash_bytes(members[i].key.data, members[i].key.size);
        uint64_t tag = hash & 0xFFFFFFFF00000000u;
        size_t slot = hash & (slots - 1);
        for (;; slot = (slot + 1) & (slots - 1)) {
            uint64_t entry = p->key_table[slot];
            if (!entry) {
                p->key_table[slot] = tag | (uint64_t)(i + 1);
                break;
            }
            if (--budget == 0) return find_repeated_by_sorting(p, members, count, n_removed);
            struct json *other = &members[(entry & 0xFFFFFFFFu) - 1];
            if ((entry & 0xFFFFFFFF00000000u) == tag && key_equal(other, &members[i])) {
                TRY(merge_repeated(p, other, &members[i], n_removed));
                break;
            }
        }
    }
    return STATUS_OK;
}

static status drop_repeated_keys(struct parser *p, struct json *members, size_t *count)
{
    enum { PAIRWISE = 8 };
    size_t n_removed = 0;
    if (*count <= PAIRWISE) {
        for (size_t i = 1; i < *count; i++) {
            for (size_t j = 0; j < i; j++) {
                if (members[j].key.data && key_equal(&members[j], &members[i])) {
                    TRY(merge_repeated(p, &members[j], &members[i], &n_removed));
                    break;
                }
            }
        }
    } else {
        TRY(find_repeated_by_hash(p, members, *count, &n_removed));
    }
    if (n_removed) {
        size_t kept = 0;
        for (size_t i = 0; i < *count; i++)
            if (members[i].key.data) members[kept++] = members[i];
        *count = kept;
    }
    return STATUS_OK;
}

/* ---- values ---- */

static status push_value(struct parser *p, struct json **out)
{
    if (p->n_values == p->max_values)
        return fail(p, STATUS_LIMIT, p->at, "more than %zu values", p->max_values);
    p->n_values++;
    if (p->n_pending == p->pending_capacity) {
        size_t capacity = p->pending_capacity ? p->pending_capacity * 2 : 64;
        struct json *pending = realloc(p->pending, capacity * sizeof *pending);
        if (!pending) return no_memory(p);
        p->pending = pending;
        p->pending_capacity = capacity;
    }
    *out = &p->pending[p->n_pending++];
    return STATUS_OK;
}

static status open_container(struct parser *p, bool is_object)
{
    if (p->depth == p->max_depth)
        return fail(p, STATUS_LIMIT, p->at, "nested deeper than %d", p->max_depth);
    p->frames[p->depth++] = (struct frame){p->n_pending, is_object};
    p->at++;
    return STATUS_OK;
}

static status close_container(struct parser *p)
{
    struct frame frame = p->frames[--p->depth];
    size_t count = p->n_pending - frame.first_child;
    struct json *children = &p->pending[frame.first_child];
    if (frame.is_object && count > 1) TRY(drop_repeated_keys(p, children, &count));
    struct json *items = NULL;
    if (count) {
        items = ARENA_ARRAY(p->arena, struct json, count);
        if (!items) return no_memory(p);
        memcpy(items, children, count * sizeof *items);
    }
    children[-1].items = items;
    children[-1].n_items = (uint32_t)count;
    p->n_pending = frame.first_child;
    p->at++;
    return STATUS_OK;
}

/* At the beginning of a key; leaves p->at behind the colon. */
static status parse_key(struct parser *p, struct str *key)
{
    skip_space(p);
    if (p->at == p->end || *p->at != '"') return fail_expected(p, "a quoted key");
    TRY(parse_string(p, key));
    skip_space(p);
    if (p->at == p->end || *p->at != ':') return fail_expected(p, "':'");
    p->at++;
    return STATUS_OK;
}

/* One scalar, or the opening of a container (then *opened). */
static status parse_value(struct parser *p, struct str key, bool *opened)
{
    struct json *value = NULL;
    *opened = false;
    if (p->at == p->end) return fail_expected(p, "a value");
    TRY(push_value(p, &value));
    *value = (struct json){.key = key};
    switch (*p->at) {
    case '{':
    case '[':
        value->type = *p->at == '{' ? JSON_OBJECT : JSON_ARRAY;
        *opened = true;
        return open_container(p, *p->at == '{');
    case '"':
        value->type = JSON_STRING;
        return parse_string(p, &value->text);
    case 't':
        value->type = JSON_TRUE;
        if (take_word(p, STR("true"))) return STATUS_OK;
        break;
    case 'f':
        value->type = JSON_FALSE;
        if (take_word(p, STR("false"))) return STATUS_OK;
        break;
    case 'n':
        if (take_word(p, STR("null"))) return STATUS_OK;
        break;
    case 'N':
        value->type = JSON_NUMBER;
        value->text = (struct str){p->at, 3};
        if (p->non_finite_numbers && take_word(p, STR("NaN"))) return STATUS_OK;
        break;
    case 'I':
        value->type = JSON_NUMBER;
        value->text = (struct str){p->at, 8};
        if (p->non_finite_numbers && take_word(p, STR("Infinity"))) return STATUS_OK;
        break;
    default:
        value->type = JSON_NUMBER;
        if (*p->at == '-' || is_digit(*p->at)) return parse_number(p, &value->text);
        break;
    }
    return fail_expected(p, "a value");
}

static status parse_document(struct parser *p)
{
    struct str key = {0};
    for (;;) {
        bool opened;
        skip_space(p);
        TRY(parse_value(p, key, &opened));
        bool may_be_empty = opened;
        for (;;) {
            skip_space(p);
            if (p->depth == 0) return p->at == p->end ? STATUS_OK : fail_expected(p, "the end");
            bool is_object = p->frames[p->depth - 1].is_object;
            char next = p->at < p->end ? *p->at : '\0';
            if (next == (is_object ? '}' : ']')) {
                TRY(close_container(p));
                may_be_empty = false;
                continue;
            }
            if (!may_be_empty) {
                if (next != ',') return fail_expected(p, is_object ? "',' or '}'" : "',' or ']'");
                p->at++;
            }
            key = (struct str){0};
            if (is_object) TRY(parse_key(p, &key));
            break;
        }
    }
}

status json_parse(struct arena *arena, struct str text, const struct json_options *options,
                  const char *source, struct json **out, struct error *err)
{
    static const struct json_options defaults;
    if (!options) options = &defaults;
    if (!text.data) text = STR("");
    size_t max_bytes = options->max_bytes ? options->max_bytes : (size_t)64 << 20;
    size_t max_values = options->max_values ? options->max_values : (size_t)16 << 20;
    if (max_values > UINT32_MAX) max_values = UINT32_MAX;
    if (text.size > max_bytes)
        return error_set(err, STATUS_LIMIT, "%s: %zu bytes of JSON, at most %zu are accepted",
                         source, text.size, max_bytes);
    struct parser p = {
        .begin = text.data,
        .at = text.data,
        .end = text.data + text.size,
        .arena = arena,
        .source = source,
        .err = err,
        .last_key_wins = options->last_key_wins,
        .non_finite_numbers = options->non_finite_numbers,
        .max_depth = options->max_depth > 0 ? options->max_depth : 128,
        .max_values = max_values,
    };
    if (str_starts_with(text, STR("\xEF\xBB\xBF"))) p.at += 3;
    p.frames = malloc((size_t)p.max_depth * sizeof *p.frames);
    status result = p.frames ? parse_document(&p) : no_memory(&p);
    if (result == STATUS_OK) {
        struct json *root = ARENA_NEW(arena, struct json);
        if (root)
            *out = memcpy(root, p.pending, sizeof *root);
        else
            result = no_memory(&p);
    }
    free(p.pending);
    free(p.frames);
    free(p.key_table);
    return result;
}
