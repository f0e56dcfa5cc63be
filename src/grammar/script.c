#include "grammar/script.h"

#include <math.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "grammar/simplified_table.h"
#include "grammar/vocabulary.h"

struct script_filter {
    atomic_int references;
    struct grammar_vocabulary *vocabulary;
    bool strict; /* every continuation byte is a token: unfinished characters must be finished */
    uint32_t *banned; /* (n_banned) where no character is unfinished */
    uint32_t n_banned;
    uint32_t *finishing; /* (n_finishing) tokens that begin with a continuation byte */
    uint32_t n_finishing;
};

bool script_is_simplified_only(uint32_t code)
{
    size_t from = 0, to = sizeof simplified_only / sizeof *simplified_only;
    while (from < to) {
        size_t middle = (from + to) / 2;
        if (simplified_only[middle] == code) return true;
        if (simplified_only[middle] < code)
            from = middle + 1;
        else
            to = middle;
    }
    return false;
}

static bool is_continuation(uint8_t byte) { return (byte & 0xC0) == 0x80; }

/* Can these 1..3 bytes be the beginning of a permitted character? */
static bool is_beginning(const uint8_t *bytes, size_t n)
{
    char text[4];
    static const uint8_t lengths[] = {2, 2, 3, 4};
    uint8_t lead = bytes[0];
    if (lead < 0xC2 || lead > 0xF4) return false;
    size_t length = lengths[lead >> 4 & 3];
    if (n >= length) return false;
    memcpy(text, bytes, n);
    /* With one byte to come every character is tried: there are blocks of 64 that only Simplified Chinese uses. */
    uint32_t code;
    for (int last = 0; n + 1 == length && last < 64; last++) {
        text[n] = (char)(0x80 | last);
        if (utf8_decode(text, length, &code) == length && code != UTF8_INVALID &&
            !script_is_simplified_only(code))
            return true;
    }
    if (n + 1 == length) return false;
    for (int high = 0; high < 2; high++) { /* the lowest and the highest continuation */
        for (size_t i = n; i < length; i++) text[i] = (char)(high ? 0xBF : 0x80);
        if (utf8_decode(text, length, &code) == length && code != UTF8_INVALID) return true;
    }
    return false;
}

/* Do the bytes, after those pending, stay within permitted text? */
static bool is_permitted(const struct script_state *state, struct str bytes)
{
    char text[4];
    size_t n = state->n_pending, at = 0;
    memcpy(text, state->pending, n);
    while (at < bytes.size) {
        if (n == 0 && !((uint8_t)bytes.data[at] & 0x80)) {
            at++;
            continue;
        }
        text[n++] = bytes.data[at++];
        uint32_t code;
        if (utf8_decode(text, n, &code) == n && code != UTF8_INVALID) {
            if (code >= 0x80 && script_is_simplified_only(code)) return false;
            n = 0;
        } else if (n == 4 || !is_beginning((const uint8_t *)text, n)) {
            return false;
        }
    }
    return true;
}

status script_filter_create(struct script_filter **out, struct grammar_vocabulary *v,
                            struct error *err)
{
    static const struct script_state clean = {{0}, 0};
    *out = NULL;
    struct script_filter *f = calloc(1, sizeof *f);
    if (f) {
        atomic_init(&f->references, 1);
        f->vocabulary = grammar_vocabulary_acquire(v);
        f->banned = calloc(v->n_tokens, sizeof *f->banned);
        f->finishing = calloc(v->n_tokens, sizeof *f->finishing);
    }
    if (!f || !f->banned || !f->finishing) {
        script_filter_release(f);
        return error_set(err, STATUS_NO_MEMORY, "script filter: out of memory");
    }
    bool single[64] = {false};
    for (size_t i = 0; i < v->n_tokens; i++) {
        struct str bytes = v->tokens[i];
        if (v->special[i] || bytes.size == 0) continue;
        uint8_t first = (uint8_t)bytes.data[0];
        if (!is_permitted(&clean, bytes)) f->banned[f->n_banned++] = (uint32_t)i;
        if (!is_continuation(first)) continue;
        f->finishing[f->n_finishing++] = (uint32_t)i;
        if (bytes.size == 1) single[first & 0x3F] = true;
    }
    f->strict = true;
    for (int i = 0; i < 64; i++) f->strict &= single[i];
    *out = f;
    return STATUS_OK;
}

struct script_filter *script_filter_acquire(struct script_filter *f)
{
    if (f) atomic_fetch_add_explicit(&f->references, 1, memory_order_relaxed);
    return f;
}

void script_filter_release(struct script_filter *f)
{
    if (!f || atomic_fetch_sub_explicit(&f->references, 1, memory_order_acq_rel) != 1) return;
    grammar_vocabulary_release(f->vocabulary);
    free(f->banned);
    free(f->finishing);
    free(f);
}

void script_state_push_bytes(struct script_state *state, struct str bytes)
{
    char tail[6];
    size_t n = 0;
    if (bytes.size < 3)
        for (; n < state->n_pending; n++) tail[n] = (char)state->pending[n];
    size_t keep = bytes.size < 3 ? bytes.size : 3;
    memcpy(tail + n, bytes.data + bytes.size - keep, keep);
    n += keep;
    size_t unfinished = utf8_incomplete_tail((struct str){tail, n});
    state->n_pending = (uint8_t)unfinished;
    memcpy(state->pending, tail + n - unfinished, unfinished);
}

void script_state_push(struct script_state *state, const struct script_filter *f, token_id token)
{
    const struct grammar_vocabulary *v = f->vocabulary;
    if (token < 0 || (size_t)token >= v->n_tokens || v->special[token])
        state->n_pending = 0;
    else if (v->tokens[token].size)
        script_state_push_bytes(state, v->tokens[token]);
}

struct script_state script_state_of(const struct script_filter *f, const token_id *tokens,
                                    size_t n_tokens)
{
    struct script_state state = {{0}, 0};
    size_t from = n_tokens, n_bytes = 0;
    while (from && n_bytes < 4) {
        token_id token = tokens[--from];
        if (token >= 0 && (size_t)token < f->vocabulary->n_tokens)
            n_bytes += f->vocabulary->tokens[token].size;
    }
    for (; from < n_tokens; from++) script_state_push(&state, f, tokens[from]);
    return state;
}

/* Calls for each banned token; inside a character all ordinary tokens but some of the finishing ones are banned. */
static bool is_banned_inside(const struct script_filter *f, const struct script_state *state,
                             uint32_t token)
{
    return !is_permitted(state, f->vocabulary->tokens[token]);
}

static bool is_ordinary(const struct grammar_vocabulary *v, size_t token)
{
    return !v->special[token] && v->tokens[token].size;
}

static bool mask_inside(const struct script_filter *f, const struct script_state *state,
                        uint32_t *bits)
{
    const struct grammar_vocabulary *v = f->vocabulary;
    bool some = false;
    /* Marked are the tokens that stay: those that finish the character, and special ones. */
    for (uint32_t i = 0; i < f->n_finishing && !some; i++)
        some = mask_get(bits, f->finishing[i]) && !is_banned_inside(f, state, f->finishing[i]);
    if (!some) return false;
    uint32_t next = 0;
    for (size_t token = 0; token < v->n_tokens; token++) {
        bool finishing = next < f->n_finishing && f->finishing[next] == token;
        next += finishing;
        if (!mask_get(bits, (uint32_t)token) || !is_ordinary(v, token)) continue;
        if (!finishing || is_banned_inside(f, state, (uint32_t)token))
            bits[token / 32] &= ~(1u << token % 32);
    }
    return true;
}

bool script_filter_mask(const struct script_filter *f, const struct script_state *state,
                        uint32_t *bits)
{
    size_t n_words = grammar_mask_words(f->vocabulary);
    if (state->n_pending && f->strict) return mask_inside(f, state, bits);
    bool some = false;
    uint32_t n_cleared = 0;
    for (uint32_t i = 0; i < f->n_banned; i++) {
        /* Without a token for each byte an unfinished character is only kept from becoming a banned one. */
        uint32_t token = f->banned[i];
        n_cleared += mask_get(bits, token);
    }
    if (n_cleared == 0) return true;
    size_t n_set = 0;
    for (size_t i = 0; i < n_words; i++) n_set += (size_t)__builtin_popcount(bits[i]);
    some = n_set > n_cleared;
    for (uint32_t i = 0; i < f->n_banned && some; i++)
        bits[f->banned[i] / 32] &= ~(1u << f->banned[i] % 32);
    return some;
}

void script_filter_apply(const struct script_filter *f, const struct script_state *state,
                         float *logits, size_t n_logits)
{
    const struct grammar_vocabulary *v = f->vocabulary;
    if (!state->n_pending || !f->strict) {
        for (uint32_t i = 0; i < f->n_banned; i++)
            if (f->banned[i] < n_logits) logits[f->banned[i]] = -INFINITY;
        return;
    }
    uint32_t next = 0;
    for (size_t token = 0; token < v->n_tokens && token < n_logits; token++) {
        bool finishing = next < f->n_finishing && f->finishing[next] == token;
        next += finishing;
        if (!is_ordinary(v, token)) continue;
        if (!finishing || is_banned_inside(f, state, (uint32_t)token)) logits[token] = -INFINITY;
    }
}

static bool is_han(uint32_t code)
{
    return (code >= 0x4E00 && code <= 0x9FFF) || (code >= 0x3400 && code <= 0x4DBF) ||
           (code >= 0x20000 && code <= 0x323AF) || (code >= 0xF900 && code <= 0xFAFF);
}

void script_purity_count(struct script_purity *purity, struct str text)
{
    for (size_t at = 0; at < text.size;) {
        uint32_t code;
        if (!((uint8_t)text.data[at] & 0x80)) {
            at++;
            continue;
        }
        at += utf8_decode(text.data + at, text.size - at, &code);
        if (!is_han(code)) continue;
        purity->n_han++;
        purity->n_simplified += script_is_simplified_only(code);
    }
}
