/* forced: what must come next whatever is chosen. */
#include "grammar/grammar_parts.h"

/* The only byte that can come next after the threads of walk.items[from, from + n), or -1. */
static int only_byte(struct grammar_matcher *m, uint32_t from, uint32_t n)
{
    int only = -1;
    for (uint32_t i = 0; i < n; i++) {
        struct thread thread = m->walk.items[from + i];
        if (thread.state & THREAD_TOKEN) return -1;
        for (int byte = 0; byte < 256; byte++) {
            if (byte == only ||
                regular_next(&m->grammar->regulars, thread.state, (uint8_t)byte) == REGULAR_NOTHING)
                continue;
            if (only >= 0) return -1;
            only = byte;
        }
    }
    return only;
}

status grammar_matcher_forced_bytes(struct grammar_matcher *m, size_t max_bytes, struct strbuf *out,
                                    struct error *err)
{
    struct step step = m->steps[m->n_steps - 1];
    if (step.ended || step.complete) return STATUS_OK;
    pthread_mutex_lock(&m->grammar->lock);
    m->grammar->regulars.failure = STATUS_OK;
    m->grammar->regulars.budget.steps = 0;
    uint32_t from = 0, n = step.n_threads;
    m->walk.n = 0;
    status result = STATUS_OK;
    if (thread_list_reserve(m, &m->walk, n)) {
        if (n) memcpy(m->walk.items, m->history.items + step.threads, n * sizeof *m->walk.items);
        m->walk.n = n;
    }
    bool complete = false;
    for (size_t i = 0; i < max_bytes && !complete && m->failure == STATUS_OK; i++) {
        int byte = only_byte(m, from, n);
        if (byte < 0 || !threads_step(m, &m->walk, from, n, (uint8_t)byte, &complete)) break;
        if ((result = strbuf_append_char(out, (char)byte)) != STATUS_OK) break;
        from += n;
        n = m->walk.n - from;
    }
    if (result == STATUS_OK) result = m->failure;
    if (result == STATUS_OK) result = m->grammar->regulars.failure;
    pthread_mutex_unlock(&m->grammar->lock);
    return result == STATUS_OK
               ? STATUS_OK
               : error_set(err, result, "grammar: forced bytes: %s", status_text(result));
}

/* Encodes context + bytes; true when the tokens begin with exactly those of the context alone. */
static status encode(const struct tokenizer *tokenizer, struct str text, struct token_list *out,
                     struct error *err)
{
    out->count = 0;
    return tokenizer_encode(tokenizer, text,
                            (struct tokenizer_encode_options){TOKENIZER_SPECIAL_AS_TEXT, false},
                            out, err);
}

/* A pre-tokenizer cuts text into words, and no token spans two of them; so the tokens of all words but the last, which
 * later bytes may extend, stay as they are. What lies at most `margin` bytes before the end may be in the last word or
 * be moved by it (white space before a word goes to the word). */
static size_t settled_bytes(struct str text)
{
    size_t at = text.size;
    /* the last run of one kind of character, and one run more */
    for (int run = 0; run < 2 && at; run++) {
        bool letters = (uint8_t)text.data[at - 1] >= 0x80 ||
                       ((text.data[at - 1] | 0x20) >= 'a' && (text.data[at - 1] | 0x20) <= 'z');
        while (at) {
            uint8_t c = (uint8_t)text.data[at - 1];
            bool letter = c >= 0x80 || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
            if (letter != letters) break;
            at--;
        }
    }
    return at;
}

status grammar_matcher_forced_tokens(struct grammar_matcher *m, const struct tokenizer *tokenizer,
                                     struct str context, struct token_list *out, struct error *err)
{
    enum { MAX_FORCED = 4096 };
    struct strbuf text = {0};
    struct token_list before = {0}, all = {0};
    status result = STATUS_NO_MEMORY;
    TRY_GOTO(strbuf_append(&text, context));
    TRY_GOTO(grammar_matcher_forced_bytes(m, MAX_FORCED, &text, err));
    if (text.size == context.size) goto fail;
    TRY_GOTO(encode(tokenizer, context, &before, err));
    TRY_GOTO(encode(tokenizer, strbuf_view(&text), &all, err));
    bool joins = all.count < before.count ||
                 memcmp(all.ids, before.ids, before.count * sizeof *all.ids) != 0;
    if (before.count == 0) joins = false;
    size_t settled = settled_bytes(strbuf_view(&text)), at = context.size;
    for (size_t i = before.count; !joins && i < all.count; i++) {
        at += tokenizer_token_bytes(tokenizer, all.ids[i]).size;
        if (at > settled) break;
        TRY_GOTO(token_list_append(out, all.ids[i]));
    }
fail:
    strbuf_deinit(&text);
    token_list_deinit(&before);
    token_list_deinit(&all);
    return result;
}
