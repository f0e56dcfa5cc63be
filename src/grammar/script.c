#include "grammar/script.h"

#include <math.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "grammar/simplified_table.h"

struct script_filter {
    struct str *tokens; /* (n_tokens) */
    bool *special;      /* (n_tokens) */
    size_t n_tokens;
    uint32_t *banned; /* (n_banned) where no character is unfinished */
    uint32_t n_banned;
    uint32_t *finishing; /* (n_finishing) tokens that begin with a continuation byte */
    uint32_t n_finishing;
    bool strict; /* every continuation byte is a token: unfinished characters must be finished */
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

status script_add_traditional(struct character_set *set)
{
    uint32_t from = 0;
    for (size_t i = 0; i < sizeof simplified_only / sizeof *simplified_only; i++) {
        if (simplified_only[i] > from) TRY(character_set_add(set, from, simplified_only[i] - 1));
        from = simplified_only[i] + 1;
    }
    return character_set_add(set, from, 0x10FFFF);
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
        uint32_t code;
        if (n == 0) { /* whole characters at once */
            size_t length = utf8_decode(bytes.data + at, bytes.size - at, &code);
            if (code != UTF8_INVALID) {
                if (code >= 0x80 && script_is_simplified_only(code)) return false;
                at += length;
                continue;
            }
        }
        text[n++] = bytes.data[at++];
        if (utf8_decode(text, n, &code) == n && code != UTF8_INVALID) {
            if (code >= 0x80 && script_is_simplified_only(code)) return false;
            n = 0;
        } else if (n == 4 || !is_beginning((const uint8_t *)text, n)) {
            return false;
        }
    }
    return true;
}

status script_filter_create(struct script_filter **out, const struct str *tokens,
                            const bool *special, size_t n_tokens, struct error *err)
{
    static const struct script_state clean = {{0}, 0};
    struct script_filter *f = *out = calloc(1, sizeof *f);
    size_t n = n_tokens ? n_tokens : 1;
    if (f) {
        f->n_tokens = n_tokens;
        f->tokens = calloc(n, sizeof *f->tokens);
        f->special = calloc(n, sizeof *f->special);
        f->banned = calloc(n, sizeof *f->banned);
        f->finishing = calloc(n, sizeof *f->finishing);
    }
    if (!f || !f->tokens || !f->special || !f->banned || !f->finishing) {
        script_filter_destroy(f);
        *out = NULL;
        return error_set(err, STATUS_NO_MEMORY, "script filter: no memory for %zu tokens", n);
    }
    bool single[64] = {false};
    for (size_t i = 0; i < n_tokens; i++) {
        struct str bytes = f->tokens[i] = tokens[i];
        f->special[i] = special[i];
        if (special[i] || bytes.size == 0) continue;
        uint8_t first = (uint8_t)bytes.data[0];
        if (!is_permitted(&clean, bytes)) f->banned[f->n_banned++] = (uint32_t)i;
        if (!is_continuation(first)) continue;
        f->finishing[f->n_finishing++] = (uint32_t)i;
        if (bytes.size == 1) single[first & 0x3F] = true;
    }
    f->strict = true;
    for (int i = 0; i < 64; i++) f->strict &= single[i];
    return STATUS_OK;
}

void script_filter_destroy(struct script_filter *f)
{
    if (!f) return;
    free(f->tokens);
    free(f->special);
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
    if (token < 0 || (size_t)token >= f->n_tokens || f->special[token])
        state->n_pending = 0;
    else if (f->tokens[token].size)
        script_state_push_bytes(state, f->tokens[token]);
}

struct script_state script_state_of(const struct script_filter *f, const token_id *tokens,
                                    size_t n_tokens)
{
    struct script_state state = {{0}, 0};
    size_t from = n_tokens, n_bytes = 0;
    while (from && n_bytes < 4) {
        token_id token = tokens[--from];
        if (token >= 0 && (size_t)token < f->n_tokens) n_bytes += f->tokens[token].size;
    }
    for (; from < n_tokens; from++) script_state_push(&state, f, tokens[from]);
    return state;
}

/* Is anything left that is not on the ascending list? */
static bool some_beside(const uint32_t *list, uint32_t n, const float *logits, size_t n_logits)
{
    uint32_t next = 0;
    for (size_t token = 0; token < n_logits; token++) {
        while (next < n && list[next] < token) next++;
        bool listed = next < n && list[next] == token;
        if (!listed && logits[token] > -INFINITY) return true;
    }
    return false;
}

static bool apply_between(const struct script_filter *f, float *logits, size_t n_logits)
{
    bool any = false;
    for (uint32_t i = 0; i < f->n_banned && f->banned[i] < n_logits; i++)
        any |= logits[f->banned[i]] > -INFINITY;
    if (!any) return true;
    if (!some_beside(f->banned, f->n_banned, logits, n_logits)) return false;
    for (uint32_t i = 0; i < f->n_banned && f->banned[i] < n_logits; i++)
        logits[f->banned[i]] = -INFINITY;
    return true;
}

static void ban_range(float *logits, size_t from, size_t to)
{
    for (; from < to; from++) logits[from] = -INFINITY;
}

/* Inside a character only some of the finishing tokens stay. */
static bool apply_inside(const struct script_filter *f, const struct script_state *state,
                         float *logits, size_t n_logits)
{
    bool some = false;
    for (uint32_t i = 0; i < f->n_finishing && f->finishing[i] < n_logits && !some; i++)
        some =
            logits[f->finishing[i]] > -INFINITY && is_permitted(state, f->tokens[f->finishing[i]]);
    if (!some) return false;
    size_t from = 0;
    for (uint32_t i = 0; i < f->n_finishing && f->finishing[i] < n_logits; i++) {
        size_t token = f->finishing[i];
        ban_range(logits, from, token + !is_permitted(state, f->tokens[token]));
        from = token + 1;
    }
    ban_range(logits, from, n_logits);
    return true;
}

/* Without a token for each byte an unfinished character is only kept from becoming a banned one. */
bool script_filter_apply(const struct script_filter *f, const struct script_state *state,
                         float *logits, size_t n_logits)
{
    return state->n_pending && f->strict ? apply_inside(f, state, logits, n_logits)
                                         : apply_between(f, logits, n_logits);
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
