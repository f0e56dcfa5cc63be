/* tokenizer.json of HF tokenizers: the vocabulary, the merges, the added tokens, and the stages around
 * them. A stage this program does not carry out is refused by name, never skipped. */
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/utf8.h"
#include "data/json.h"
#include "text/tokenizer_parts.h"

enum {
    MAX_PROBES = 4096,
    BATCH =
        32, /* keys looked up together: the table is larger than the caches, and what a lookup reads
                   is asked for while the others are on their way */
};

#define MARK "\xE2\x96\x81" /* U+2581, a space in the vocabularies of SentencePiece */

/* What one load needs besides the tokenizer. */
struct loader {
    struct tokenizer *t;
    const char *source;
    struct error *err;
    struct arena scratch;
    const struct json *root;
    int16_t byte_of[324]; /* byte-level alphabet: code point -> byte, or -1 */
    /* ids by the vocabulary's own keys */
    struct key_slot *slots;
    uint64_t mask;
    struct str *keys;
};

struct key_slot {
    uint32_t tag; /* upper half of the key's hash */
    token_id id;  /* TOKEN_NONE = empty */
};

__attribute__((format(printf, 3, 4), cold)) static status fail(struct loader *l, status code,
                                                               const char *format, ...)
{
    char text[384];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return error_set(l->err, code, "%s: %s", l->source, text);
}

/* For messages: at most 60 bytes of what the file says. */
#define SHOWN(s) (int)((s).size > 60 ? 60 : (s).size), (s).data

static struct str type_of(const struct json *stage)
{
    struct str type = {"", 0};
    json_str(json_get(stage, "type"), &type);
    return type;
}

static bool absent(const struct json *value) { return !value || value->type == JSON_NULL; }

/* The byte-level alphabet: printable Latin-1 stands for itself, the other 68 bytes for U+0100 onwards. */
static void fill_alphabet(struct loader *l)
{
    for (int code = 0; code < 324; code++) l->byte_of[code] = -1;
    int next = 256;
    for (int byte = 0; byte < 256; byte++) {
        bool itself = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
        l->byte_of[itself ? byte : next++] = (int16_t)byte;
    }
}

/* Key -> bytes in out (room for key.size); SIZE_MAX when some character is outside the alphabet. */
static size_t key_to_bytes(const struct loader *l, struct str key, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < key.size;) {
        unsigned char c = (unsigned char)key.data[i];
        uint32_t code = c;
        if (c < 0x80)
            i++;
        else
            i += utf8_decode(key.data + i, key.size - i, &code);
        if (code >= 324 || l->byte_of[code] < 0) return SIZE_MAX;
        out[n++] = (char)l->byte_of[code];
    }
    return n;
}

/* The slot of a key from the hash's first choice on: its own or an empty one; NULL when crowded out. */
static struct key_slot *slot_of(struct loader *l, struct str key, uint64_t hash)
{
    uint64_t slot = hash & l->mask;
    uint32_t tag = (uint32_t)(hash >> 32);
    for (int probe = 0; probe < MAX_PROBES; probe++, slot = (slot + 1) & l->mask) {
        struct key_slot *s = &l->slots[slot];
        if (s->id == TOKEN_NONE || (s->tag == tag && str_equal(l->keys[s->id], key))) return s;
    }
    return NULL;
}

static token_id find_key(struct loader *l, struct str key)
{
    struct key_slot *slot = slot_of(l, key, hash_bytes(key.data, key.size));
    return slot ? slot->id : TOKEN_NONE;
}

static status add_vocabulary_token(struct loader *l, struct str key, uint64_t hash, token_id id)
{
    struct tokenizer *t = l->t;
    if (l->keys[id].size)
        return fail(l, STATUS_FORMAT, "model.vocab: \"%.*s\" and \"%.*s\" both have id %d",
                    SHOWN(l->keys[id]), SHOWN(key), id);
    struct key_slot *slot = slot_of(l, key, hash);
    if (!slot) return fail(l, STATUS_LIMIT, "model.vocab: the table of tokens is too crowded");
    if (slot->id != TOKEN_NONE)
        return fail(l, STATUS_FORMAT, "model.vocab: \"%.*s\" is both %d and %d", SHOWN(key),
                    slot->id, id);
    *slot = (struct key_slot){(uint32_t)(hash >> 32), id};
    l->keys[id] = key;
    char *bytes = arena_alloc_aligned(&t->arena, key.size, 1);
    if (!bytes) return fail(l, STATUS_NO_MEMORY, "no memory for the vocabulary");
    size_t size = SIZE_MAX;
    if (t->marks == TOKENIZER_MARKS_NONE) {
        size = key_to_bytes(l, key, bytes);
    } else {
        memcpy(bytes, key.data, key.size);
        size = key.size;
    }
    if (size == SIZE_MAX) { /* no text can come to this token through BPE */
        memcpy(bytes, key.data, key.size);
        t->tokens[id] = (struct str){bytes, key.size};
    } else {
        t->tokens[id] = t->bpe_tokens[id] = (struct str){bytes, size};
    }
    return STATUS_OK;
}

static status read_vocabulary(struct loader *l, const struct json *vocabulary)
{
    if (!json_is(vocabulary, JSON_OBJECT))
        return fail(l, STATUS_FORMAT, "model.vocab is not an object of token to id");
    int64_t largest = -1;
    for (uint32_t i = 0; i < vocabulary->n_items; i++) {
        const struct json *item = &vocabulary->items[i];
        int64_t id;
        if (!json_i64(item, &id) || id < 0)
            return fail(l, STATUS_FORMAT,
                        "model.vocab: the id of \"%.*s\" is not a whole number from 0",
                        SHOWN(item->key));
        if (id >= TOKENIZER_MAX_IDS)
            return fail(l, STATUS_LIMIT,
                        "model.vocab: id %lld of \"%.*s\" is too large (at most %d)", (long long)id,
                        SHOWN(item->key), TOKENIZER_MAX_IDS - 1);
        if (item->key.size == 0 || item->key.size > TOKENIZER_MAX_TOKEN_BYTES)
            return fail(l, item->key.size ? STATUS_LIMIT : STATUS_FORMAT,
                        "model.vocab: token %lld is %zu bytes long (1 to %d allowed)",
                        (long long)id, item->key.size, TOKENIZER_MAX_TOKEN_BYTES);
        if (id > largest) largest = id;
    }
    TRY(tokenizer_reserve_ids(l->t, (int32_t)largest + 1, l->source, l->err));
    uint64_t n_slots = 256;
    while (n_slots < (uint64_t)vocabulary->n_items * 2) n_slots *= 2;
    l->mask = n_slots - 1;
    l->slots = ARENA_ARRAY(&l->scratch, struct key_slot, n_slots);
    l->keys = ARENA_ARRAY(&l->scratch, struct str, (size_t)largest + 2);
    if (!l->slots || !l->keys) return fail(l, STATUS_NO_MEMORY, "no memory for the vocabulary");
    memset(l->slots, 0xFF, n_slots * sizeof *l->slots);
    uint64_t hashes[BATCH];
    for (uint32_t i = 0; i < vocabulary->n_items; i++) {
        for (uint32_t k = i; i % BATCH == 0 && k < i + BATCH && k < vocabulary->n_items; k++) {
            struct str key = vocabulary->items[k].key;
            hashes[k - i] = hash_bytes(key.data, key.size);
            __builtin_prefetch(&l->slots[hashes[k - i] & l->mask], 1);
        }
        int64_t id = 0;
        json_i64(&vocabulary->items[i], &id);
        TRY(add_vocabulary_token(l, vocabulary->items[i].key, hashes[i % BATCH], (token_id)id));
    }
    return STATUS_OK;
}

/* One merge in either spelling: "left right" or ["left", "right"]. */
static bool merge_parts(const struct json *item, struct str *left, struct str *right)
{
    if (json_is(item, JSON_STRING)) {
        const char *end = item->text.data + item->text.size;
        const char *space = memchr(item->text.data, ' ', item->text.size);
        if (!space || memchr(space + 1, ' ', (size_t)(end - space - 1))) return false;
        *left = (struct str){item->text.data, (size_t)(space - item->text.data)};
        *right = (struct str){space + 1, (size_t)(end - space - 1)};
        return true;
    }
    return json_is(item, JSON_ARRAY) && item->n_items == 2 && json_str(&item->items[0], left) &&
           json_str(&item->items[1], right);
}

static bool is_joined(struct str whole, struct str left, struct str right)
{
    return whole.size == left.size + right.size && memcmp(whole.data, left.data, left.size) == 0 &&
           memcmp(whole.data + left.size, right.data, right.size) == 0;
}

/* The token that left and right make; `guess` is the one of the merge before: mostly it is that or the next. */
static token_id find_joined(struct loader *l, struct str left, struct str right, token_id guess)
{
    for (token_id id = guess; id < guess + 2 && id < l->t->n_ids; id++)
        if (is_joined(l->keys[id], left, right)) return id;
    char joined[2 * TOKENIZER_MAX_TOKEN_BYTES]; /* both are keys, so at most half of it each */
    memcpy(joined, left.data, left.size);
    memcpy(joined + left.size, right.data, right.size);
    struct str whole = {joined, left.size + right.size};
    return whole.size <= TOKENIZER_MAX_TOKEN_BYTES ? find_key(l, whole) : TOKEN_NONE;
}

struct merge_side {
    struct str text;
    uint64_t hash;
};

static status read_merge_batch(struct loader *l, const struct json *items, uint32_t first,
                               uint32_t n, struct bpe_merge *table, token_id *result)
{
    struct merge_side sides[2 * BATCH];
    for (uint32_t i = 0; i < n; i++) {
        struct merge_side *side = &sides[2 * i];
        if (!merge_parts(&items[i], &side[0].text, &side[1].text))
            return fail(l, STATUS_FORMAT,
                        "model.merges[%u] is neither \"left right\" nor [left, right]", first + i);
        for (int k = 0; k < 2; k++) {
            side[k].hash = hash_bytes(side[k].text.data, side[k].text.size);
            __builtin_prefetch(&l->slots[side[k].hash & l->mask]);
        }
    }
    for (uint32_t i = 0; i < 2 * n; i++) {
        token_id id = l->slots[sides[i].hash & l->mask].id;
        if (id != TOKEN_NONE) __builtin_prefetch(&l->keys[id]);
    }
    for (uint32_t i = 0; i < 2 * n; i++) {
        token_id id = l->slots[sides[i].hash & l->mask].id;
        if (id != TOKEN_NONE) __builtin_prefetch(l->keys[id].data);
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct merge_side *side = &sides[2 * i];
        token_id ids[2];
        for (int k = 0; k < 2; k++) {
            struct key_slot *slot = slot_of(l, side[k].text, side[k].hash);
            ids[k] = slot ? slot->id : TOKEN_NONE;
            if (ids[k] == TOKEN_NONE)
                return fail(l, STATUS_FORMAT, "model.merges[%u]: \"%.*s\" is not in the vocabulary",
                            first + i, SHOWN(side[k].text));
        }
        *result = find_joined(l, side[0].text, side[1].text, *result);
        if (*result == TOKEN_NONE)
            return fail(l, STATUS_FORMAT, "model.merges[%u]: \"%.*s%.*s\" is not in the vocabulary",
                        first + i, SHOWN(side[0].text), SHOWN(side[1].text));
        table[i] = (struct bpe_merge){ids[0], ids[1], *result, first + i};
    }
    return STATUS_OK;
}

static status read_merges(struct loader *l, const struct json *merges, struct bpe_source *bpe)
{
    if (!json_is(merges, JSON_ARRAY)) return fail(l, STATUS_FORMAT, "model.merges is not an array");
    struct bpe_merge *table =
        ARENA_ARRAY(&l->scratch, struct bpe_merge, (size_t)merges->n_items + 1);
    if (!table) return fail(l, STATUS_NO_MEMORY, "no memory for the merges");
    token_id result = 0;
    for (uint32_t first = 0; first < merges->n_items; first += BATCH) {
        uint32_t n = merges->n_items - first < BATCH ? merges->n_items - first : BATCH;
        TRY(read_merge_batch(l, merges->items + first, first, n, table + first, &result));
    }
    bpe->merges = table;
    bpe->n_merges = merges->n_items;
    return STATUS_OK;
}

/* Options of the BPE model that change its result and that this program does not carry out. */
static status refuse_model_options(struct loader *l, const struct json *model)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (int i = 0; i < 2; i++) {
        const struct json *value = json_get(model, affixes[i]);
        if (!absent(value) && !(json_is(value, JSON_STRING) && value->text.size == 0))
            return fail(l, STATUS_UNSUPPORTED, "model.%s is set, which is not supported",
                        affixes[i]);
    }
    double dropout;
    const struct json *value = json_get(model, "dropout");
    if (!absent(value) && !(json_f64(value, &dropout) && dropout == 0.0))
        return fail(l, STATUS_UNSUPPORTED, "model.dropout is set: encoding would be random");
    return STATUS_OK;
}

/* What becomes of characters that are no token: their bytes' tokens, or the unknown token. */
static status read_unknown(struct loader *l, const struct json *model, struct bpe_source *bpe,
                           token_id fallback[256])
{
    bool byte_fallback = false;
    TRY(json_member_bool(model, "byte_fallback", false, l->source, &byte_fallback, l->err));
    TRY(json_member_bool(model, "fuse_unk", false, l->source, &bpe->fuse_unknown, l->err));
    const struct json *unknown = json_get(model, "unk_token");
    struct str text;
    if (!absent(unknown)) {
        if (!json_str(unknown, &text))
            return fail(l, STATUS_FORMAT, "model.unk_token is not a string");
        bpe->unknown = find_key(l, text);
        if (bpe->unknown == TOKEN_NONE)
            return fail(l, STATUS_FORMAT, "model.unk_token \"%.*s\" is not in the vocabulary",
                        SHOWN(text));
    }
    if (!byte_fallback) return STATUS_OK;
    for (int byte = 0; byte < 256; byte++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)byte);
        fallback[byte] = find_key(l, str_of(name));
        if (fallback[byte] == TOKEN_NONE)
            return fail(l, STATUS_UNSUPPORTED,
                        "model.byte_fallback: \"%s\" is not in the vocabulary", name);
    }
    bpe->byte_fallback = fallback;
    return STATUS_OK;
}

static status read_model(struct loader *l)
{
    const struct json *model = json_get(l->root, "model");
    if (!json_is(model, JSON_OBJECT)) return fail(l, STATUS_FORMAT, "model is missing");
    struct str type = type_of(model);
    if (!str_equal_c(type, "BPE") && !absent(json_get(model, "type")))
        return fail(l, STATUS_UNSUPPORTED, "model.type \"%.*s\" is not supported (BPE is)",
                    SHOWN(type));
    TRY(refuse_model_options(l, model));
    struct bpe_source bpe = {.unknown = TOKEN_NONE};
    TRY(json_member_bool(model, "ignore_merges", false, l->source, &bpe.whole_piece_wins, l->err));
    TRY(read_vocabulary(l, json_get(model, "vocab")));
    TRY(read_merges(l, json_get(model, "merges"), &bpe));
    token_id fallback[256];
    if (l->t->marks != TOKENIZER_MARKS_NONE) {
        bpe.alphabet = BPE_CHARACTERS;
        TRY(read_unknown(l, model, &bpe, fallback));
    }
    bpe.tokens = l->t->bpe_tokens;
    bpe.n_tokens = l->t->n_ids;
    status result = bpe_create(&l->t->bpe, &bpe, l->err);
    return result == STATUS_OK ? result : error_prefix(l->err, result, "%s: model", l->source);
}

static status read_split(struct loader *l, const struct json *stage)
{
    const struct json *pattern = json_get(stage, "pattern");
    struct str regex = {"", 0}, behavior = {"", 0};
    bool invert = false;
    json_str(json_get(stage, "behavior"), &behavior);
    TRY(json_member_bool(stage, "invert", false, l->source, &invert, l->err));
    if (!json_str(json_get(pattern, "Regex"), &regex))
        return fail(l, STATUS_UNSUPPORTED,
                    "pre_tokenizer Split: only a Regex pattern is supported");
    if (!str_equal_c(behavior, "Isolated") || invert)
        return fail(l, STATUS_UNSUPPORTED,
                    "pre_tokenizer Split: behavior \"%.*s\"%s is not supported (Isolated is)",
                    SHOWN(behavior), invert ? " inverted" : "");
    if (!pretokenizer_find_pattern(regex, &l->t->pretokenizer))
        return fail(l, STATUS_UNSUPPORTED,
                    "pre_tokenizer Split: the pattern \"%.*s\" is not supported",
                    (int)(regex.size > 250 ? 250 : regex.size), regex.data);
    return STATUS_OK;
}

static status read_byte_level(struct loader *l, const struct json *stage, bool *use_regex)
{
    bool add_prefix_space;
    TRY(json_member_bool(stage, "add_prefix_space", true, l->source, &add_prefix_space, l->err));
    TRY(json_member_bool(stage, "use_regex", true, l->source, use_regex, l->err));
    if (add_prefix_space)
        return fail(l, STATUS_UNSUPPORTED,
                    "pre_tokenizer ByteLevel: add_prefix_space true is not supported");
    return STATUS_OK;
}

static bool is_string(const struct json *value, const char *text)
{
    struct str s;
    return json_str(value, &s) && str_equal_c(s, text);
}

static status read_metaspace(struct loader *l, const struct json *stage)
{
    static const char *const schemes[] = {"never", "first", "always"};
    bool split = true, add_prefix_space = true;
    TRY(json_member_bool(stage, "split", true, l->source, &split, l->err));
    if (split)
        return fail(l, STATUS_UNSUPPORTED, "pre_tokenizer Metaspace: split true is not supported");
    if (!is_string(json_get(stage, "replacement"), MARK))
        return fail(l, STATUS_UNSUPPORTED,
                    "pre_tokenizer Metaspace: replacement is not \"" MARK "\"");
    TRY(json_member_bool(stage, "add_prefix_space", true, l->source, &add_prefix_space, l->err));
    const struct json *scheme = json_get(stage, "prepend_scheme");
    l->t->prefix = TOKENIZER_PREFIX_ALWAYS;
    for (int i = 0; !absent(scheme); i++) {
        if (i == 3)
            return fail(l, STATUS_UNSUPPORTED,
                        "pre_tokenizer Metaspace: prepend_scheme is not first, always or never");
        l->t->prefix = (enum tokenizer_prefix)i;
        if (is_string(scheme, schemes[i])) break;
    }
    if (!add_prefix_space && l->t->prefix != TOKENIZER_PREFIX_NEVER)
        return fail(l, STATUS_FORMAT,
                    "pre_tokenizer Metaspace: add_prefix_space false contradicts prepend_scheme");
    l->t->marks = TOKENIZER_MARKS_PRETOKENIZED;
    l->t->pretokenizer = PRETOKENIZER_NONE;
    return STATUS_OK;
}

/* Accepted: ByteLevel with its own regex; Split then ByteLevel without it; Metaspace alone; nothing behind
 * a normalizer that marks spaces. */
static status read_pre_tokenizer(struct loader *l)
{
    const struct json *pre = json_get(l->root, "pre_tokenizer"), *stages = pre;
    uint32_t n = 1;
    if (l->t->marks == TOKENIZER_MARKS_NORMALIZED) {
        l->t->pretokenizer = PRETOKENIZER_NONE;
        if (absent(pre)) return STATUS_OK;
        return fail(
            l, STATUS_UNSUPPORTED,
            "pre_tokenizer \"%.*s\" behind a normalizer that replaces spaces is not supported",
            SHOWN(type_of(pre)));
    }
    if (absent(pre))
        return fail(l, STATUS_UNSUPPORTED,
                    "pre_tokenizer is missing, and no normalizer replaces spaces by \"" MARK "\"");
    if (str_equal_c(type_of(pre), "Metaspace")) return read_metaspace(l, pre);
    if (str_equal_c(type_of(pre), "Sequence")) {
        const struct json *list = json_get(pre, "pretokenizers");
        if (!json_is(list, JSON_ARRAY))
            return fail(l, STATUS_FORMAT, "pre_tokenizer.pretokenizers is not an array");
        stages = list->items;
        n = list->n_items;
    }
    bool split = false, byte_level = false;
    for (uint32_t i = 0; i < n; i++) {
        struct str type = type_of(&stages[i]);
        bool use_regex = false;
        if (str_equal_c(type, "Split") && !split && !byte_level) {
            TRY(read_split(l, &stages[i]));
            split = true;
        } else if (str_equal_c(type, "ByteLevel") && !byte_level) {
            TRY(read_byte_level(l, &stages[i], &use_regex));
            byte_level = true;
            if (use_regex && split)
                return fail(l, STATUS_UNSUPPORTED,
                            "pre_tokenizer: ByteLevel with use_regex after Split is not supported");
            if (!split) l->t->pretokenizer = use_regex ? PRETOKENIZER_GPT2 : PRETOKENIZER_NONE;
        } else {
            return fail(l, STATUS_UNSUPPORTED,
                        "pre_tokenizer: stage %u, \"%.*s\", is not supported here", i, SHOWN(type));
        }
    }
    if (!byte_level)
        return fail(l, STATUS_UNSUPPORTED, "pre_tokenizer has no ByteLevel: not byte-level BPE");
    return STATUS_OK;
}

static status check_replace(struct loader *l, const struct json *stage, const char *where,
                            const char *from, const char *to)
{
    if (is_string(json_get(json_get(stage, "pattern"), "String"), from) &&
        is_string(json_get(stage, "content"), to))
        return STATUS_OK;
    return fail(l, STATUS_UNSUPPORTED, "%s Replace: only the string \"%s\" by \"%s\" is supported",
                where, from, to);
}

/* Accepted: Replace " " by the mark, alone or behind Prepend of a mark. */
static status read_normalizer(struct loader *l)
{
    const struct json *normalizer = json_get(l->root, "normalizer");
    if (absent(normalizer)) return STATUS_OK;
    const struct json *stages = normalizer, *list = json_get(normalizer, "normalizers");
    uint32_t n = 1;
    if (str_equal_c(type_of(normalizer), "Sequence")) {
        if (!json_is(list, JSON_ARRAY))
            return fail(l, STATUS_FORMAT, "normalizer.normalizers is not an array");
        stages = list->items;
        n = list->n_items;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct str type = type_of(&stages[i]);
        if (str_equal_c(type, "Prepend") && i == 0 && n == 2) {
            if (!is_string(json_get(&stages[i], "prepend"), MARK))
                return fail(l, STATUS_UNSUPPORTED,
                            "normalizer Prepend: prepend is not \"" MARK "\"");
            l->t->prefix = TOKENIZER_PREFIX_ALWAYS;
        } else if (str_equal_c(type, "Replace") && i + 1 == n) {
            TRY(check_replace(l, &stages[i], "normalizer", " ", MARK));
            l->t->marks = TOKENIZER_MARKS_NORMALIZED;
        } else {
            return fail(
                l, STATUS_UNSUPPORTED, "normalizer \"%.*s\" is not supported%s", SHOWN(type),
                str_equal_c(type, "Prepend") || str_equal_c(type, "Replace") ? " there" : "");
        }
    }
    return STATUS_OK;
}

/* The decoder that goes with marks: Replace, ByteFallback, Fuse and perhaps Strip of one leading space. */
static status read_marks_decoder(struct loader *l, const struct json *decoder)
{
    static const char *const order[] = {"Replace", "ByteFallback", "Fuse", "Strip"};
    const struct json *list = json_get(decoder, "decoders");
    if (!str_equal_c(type_of(decoder), "Sequence") || !json_is(list, JSON_ARRAY) ||
        list->n_items < 3)
        return fail(l, STATUS_UNSUPPORTED,
                    "decoder is not a Sequence of Replace, ByteFallback, Fuse and perhaps Strip");
    for (uint32_t i = 0; i < list->n_items; i++) {
        struct str type = type_of(&list->items[i]);
        if (i > 3 || !str_equal_c(type, order[i]))
            return fail(l, STATUS_UNSUPPORTED,
                        "decoder.decoders[%u] \"%.*s\" is not supported there%s%s", i, SHOWN(type),
                        i > 3 ? "" : "; expected ", i > 3 ? "" : order[i]);
    }
    TRY(check_replace(l, &list->items[0], "decoder", MARK, " "));
    if (list->n_items < 4) return STATUS_OK;
    const struct json *strip = &list->items[3];
    int64_t start, stop;
    if (!is_string(json_get(strip, "content"), " ") ||
        !json_i64(json_get(strip, "start"), &start) || !json_i64(json_get(strip, "stop"), &stop) ||
        start < 0 || start > 1 || stop != 0)
        return fail(l, STATUS_UNSUPPORTED,
                    "decoder Strip: only one space at the start is supported");
    l->t->strips_prefix = start == 1;
    return STATUS_OK;
}

static status read_decoder(struct loader *l)
{
    const struct json *decoder = json_get(l->root, "decoder");
    if (l->t->marks != TOKENIZER_MARKS_NONE) return read_marks_decoder(l, decoder);
    if (absent(decoder) || str_equal_c(type_of(decoder), "ByteLevel")) return STATUS_OK;
    return fail(l, STATUS_UNSUPPORTED, "decoder \"%.*s\" is not supported (ByteLevel is)",
                SHOWN(type_of(decoder)));
}

static status read_added_token(struct loader *l, const struct json *item, uint32_t i)
{
    static const struct {
        const char *key;
        unsigned flag;
    } names[] = {{"special", ADDED_TOKEN_SPECIAL},
                 {"single_word", ADDED_TOKEN_SINGLE_WORD},
                 {"lstrip", ADDED_TOKEN_LSTRIP},
                 {"rstrip", ADDED_TOKEN_RSTRIP},
                 {"normalized", ADDED_TOKEN_NORMALIZED}};
    int64_t id;
    struct str content;
    unsigned flags = 0;
    if (!json_i64(json_get(item, "id"), &id) || id < 0 || id >= TOKENIZER_MAX_IDS)
        return fail(l, STATUS_FORMAT, "added_tokens[%u].id is not a whole number from 0 to %d", i,
                    TOKENIZER_MAX_IDS - 1);
    if (!json_str(json_get(item, "content"), &content))
        return fail(l, STATUS_FORMAT, "added_tokens[%u].content is not a string", i);
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        bool on = false;
        TRY(json_member_bool(item, names[k].key, false, l->source, &on, l->err));
        if (on) flags |= names[k].flag;
    }
    token_id known = find_key(l, content);
    if (known != TOKEN_NONE && known != id)
        return fail(l, STATUS_FORMAT,
                    "added_tokens[%u]: \"%.*s\" has id %lld, and %d in model.vocab", i,
                    SHOWN(content), (long long)id, known);
    return tokenizer_add_token(l->t, (token_id)id, content, flags, l->source, l->err);
}

static status read_added_tokens(struct loader *l)
{
    const struct json *list = json_get(l->root, "added_tokens");
    if (absent(list)) return STATUS_OK;
    if (!json_is(list, JSON_ARRAY)) return fail(l, STATUS_FORMAT, "added_tokens is not an array");
    for (uint32_t i = 0; i < list->n_items; i++) TRY(read_added_token(l, &list->items[i], i));
    return STATUS_OK;
}

/* The id of a template's special token. */
static status template_token(struct loader *l, const struct json *stage, const struct json *piece,
                             token_id *out)
{
    struct str name = {"", 0};
    json_str(json_get(json_get(piece, "SpecialToken"), "id"), &name);
    const struct json *known = json_get(stage, "special_tokens"), *entry = NULL;
    for (uint32_t i = 0; json_is(known, JSON_OBJECT) && i < known->n_items; i++)
        if (str_equal(known->items[i].key, name)) entry = &known->items[i];
    const struct json *ids = json_get(entry, "ids");
    int64_t id;
    if (!json_is(ids, JSON_ARRAY) || ids->n_items != 1 || !json_i64(&ids->items[0], &id) ||
        id < 0 || id >= l->t->n_ids)
        return fail(l, STATUS_FORMAT,
                    "post_processor.special_tokens does not give one id for \"%.*s\"", SHOWN(name));
    *out = (token_id)id;
    return STATUS_OK;
}

static status read_template(struct loader *l, const struct json *stage)
{
    const struct json *single = json_get(stage, "single");
    if (!json_is(single, JSON_ARRAY))
        return fail(l, STATUS_FORMAT, "post_processor.single is not an array");
    bool after = false;
    for (uint32_t i = 0; i < single->n_items; i++) {
        const struct json *piece = &single->items[i];
        if (json_get(piece, "Sequence") && !after) {
            after = true;
            continue;
        }
        token_id *place = after ? &l->t->put_after : &l->t->put_before;
        if (!json_get(piece, "SpecialToken") || *place != TOKEN_NONE)
            return fail(l, STATUS_UNSUPPORTED,
                        "post_processor.single: more than one token before or after the text");
        TRY(template_token(l, stage, piece, place));
    }
    return STATUS_OK;
}

static status read_post_processor(struct loader *l)
{
    const struct json *post = json_get(l->root, "post_processor"), *stages = post;
    if (absent(post)) return STATUS_OK;
    uint32_t n = 1;
    if (str_equal_c(type_of(post), "Sequence")) {
        const struct json *list = json_get(post, "processors");
        if (!json_is(list, JSON_ARRAY))
            return fail(l, STATUS_FORMAT, "post_processor.processors is not an array");
        stages = list->items;
        n = list->n_items;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct str type = type_of(&stages[i]);
        if (str_equal_c(type, "TemplateProcessing"))
            TRY(read_template(l, &stages[i]));
        else if (!str_equal_c(type, "ByteLevel"))
            return fail(l, STATUS_UNSUPPORTED, "post_processor \"%.*s\" is not supported",
                        SHOWN(type));
    }
    return STATUS_OK;
}

static status load_stages(struct loader *l)
{
    if (!json_is(l->root, JSON_OBJECT)) return fail(l, STATUS_FORMAT, "is not a JSON object");
    fill_alphabet(l);
    TRY(read_normalizer(l));
    TRY(read_pre_tokenizer(l));
    TRY(read_decoder(l));
    TRY(read_model(l));
    TRY(read_added_tokens(l));
    return read_post_processor(l);
}

status tokenizer_json_load_tree(struct tokenizer *t, const struct json *root, const char *source,
                                struct error *err)
{
    struct loader l = {.t = t, .source = source, .err = err, .root = root};
    status result = load_stages(&l);
    arena_deinit(&l.scratch);
    return result;
}

status tokenizer_json_load(struct tokenizer *t, struct str text, const char *source,
                           struct error *err)
{
    struct loader l = {.t = t, .source = source, .err = err};
    struct json_options options = {.max_bytes = TOKENIZER_MAX_FILE_BYTES};
    struct json *root = NULL;
    status result = json_parse(&l.scratch, text, &options, source, &root, err);
    l.root = root;
    if (result == STATUS_OK) result = load_stages(&l);
    arena_deinit(&l.scratch);
    return result;
}
