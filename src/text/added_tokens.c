#include "text/added_tokens.h"

#include "base/utf8.h"
#include "text/unicode_tables.h"

status added_tokens_insert(struct added_tokens *set, struct str text, token_id id, bool special)
{
    TRY(byte_trie_insert(&set->trie, text, id));
    set->begins[(unsigned char)text.data[0]] = true;
    set->any = true;
    set->any_ordinary |= !special;
    return STATUS_OK;
}

void added_tokens_deinit(struct added_tokens *set)
{
    byte_trie_deinit(&set->trie);
    *set = (struct added_tokens){0};
}

static unsigned class_before(struct str text, size_t end, size_t *begin)
{
    *begin = end - 1;
    while (*begin > 0 && end - *begin < 4 && ((unsigned char)text.data[*begin] & 0xC0) == 0x80)
        --*begin;
    uint32_t code;
    if (utf8_decode(text.data + *begin, end - *begin, &code) != end - *begin) {
        *begin = end - 1;
        return 0;
    }
    return unicode_class(code);
}

static unsigned class_after(struct str text, size_t begin, size_t *end)
{
    uint32_t code;
    *end = begin + utf8_decode(text.data + begin, text.size - begin, &code);
    return unicode_class(code);
}

static bool stands_alone(struct str text, size_t begin, size_t end)
{
    size_t ignored;
    if (begin > 0 && class_before(text, begin, &ignored) & UNICODE_WORD) return false;
    return end == text.size || !(class_after(text, end, &ignored) & UNICODE_WORD);
}

/* The leftmost, then longest token in text[from, ...). */
static bool find(const struct added_tokens *set, struct str text, size_t from, size_t *begin,
                 size_t *end, token_id *id)
{
    for (size_t start = from; start < text.size; start++) {
        if (!set->begins[(unsigned char)text.data[start]]) continue;
        uint32_t node = 0;
        bool found = false;
        for (size_t i = start; i < text.size; i++) {
            const struct byte_trie_edge *edge =
                byte_trie_step(&set->trie, node, (unsigned char)text.data[i]);
            if (!edge) break;
            node = edge->child;
            if (edge->value == BYTE_TRIE_NO_VALUE) continue;
            found = true;
            *id = edge->value;
            *end = i + 1;
        }
        if (!found) continue;
        *begin = start;
        return true;
    }
    return false;
}

/* Looks for the next token that counts; the text before it is [c->emitted, *text_end). */
static void find_token(const struct added_tokens *set, const uint8_t *flags_by_id, bool specials,
                       struct str text, struct added_tokens_cursor *c, size_t *text_end)
{
    size_t begin, end, ignored;
    token_id id;
    while (find(set, text, c->scanned, &begin, &end, &id)) {
        c->scanned = end;
        uint8_t flags = flags_by_id[id];
        if (!specials && flags & ADDED_TOKEN_SPECIAL) continue;
        if (flags & ADDED_TOKEN_SINGLE_WORD && !stands_alone(text, begin, end)) continue;
        if (flags & ADDED_TOKEN_LSTRIP)
            while (begin > c->emitted && class_before(text, begin, &ignored) & UNICODE_SPACE)
                begin = ignored;
        if (flags & ADDED_TOKEN_RSTRIP)
            while (end < text.size && class_after(text, end, &ignored) & UNICODE_SPACE)
                end = ignored;
        c->token = id;
        c->token_end = end;
        *text_end = begin;
        return;
    }
    c->scanned = *text_end = text.size;
}

bool added_tokens_next(const struct added_tokens *set, const uint8_t *flags_by_id, bool specials,
                       struct str text, struct added_tokens_cursor *c, token_id *token,
                       struct str *stretch)
{
    if (c->token_end == 0) { /* nothing found and held back */
        size_t text_end = text.size;
        if (set->any && (specials || set->any_ordinary))
            find_token(set, flags_by_id, specials, text, c, &text_end);
        if (text_end > c->emitted) {
            *token = TOKEN_NONE;
            *stretch = str_slice(text, c->emitted, text_end);
            c->emitted = text_end;
            return true;
        }
        if (c->token_end == 0) return false;
    }
    *token = c->token;
    *stretch = str_slice(text, c->emitted, c->token_end);
    c->emitted = c->token_end;
    c->token_end = 0;
    return true;
}
