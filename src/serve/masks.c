#include "serve/masks.h"

#include <math.h>

enum { MAX_BAD_WORDS = 1024, MAX_BAD_WORD_TOKENS = 64 };

struct masks {
    uint64_t *allowed; /* a bit each token; NULL: all */
    int32_t n_allowed_bits;
    struct token_sequence *bad; /* no output may end in one of these */
    size_t n_bad;
};

static status read_allowed(struct job *job, struct masks *masks)
{
    const struct json *ids = job->asked.allowed_token_ids;
    int64_t id;
    int32_t vocab = job->serve->vocab_size;
    masks->allowed = ARENA_ARRAY(&job->arena, uint64_t, (size_t)vocab / 64 + 1);
    masks->n_allowed_bits = vocab;
    if (!masks->allowed) return job_no_memory(job);
    for (uint32_t i = 0; i < ids->n_items; i++) {
        if (!json_i64(&ids->items[i], &id) || id < 0 || id >= vocab)
            return refuse(&job->refusal, 400, "allowed_token_ids",
                          "allowed_token_ids[%u]: expected a token id below %d", i, vocab);
        masks->allowed[id / 64] |= (uint64_t)1 << (id % 64);
    }
    return STATUS_OK;
}

static bool same_ids(const struct token_sequence *a, const struct token_list *b)
{
    return a->count == b->count && !memcmp(a->ids, b->ids, b->count * sizeof *b->ids);
}

/* A word as it is and with a space before it, as it stands inside a sentence. */
static status add_word(struct job *job, struct masks *masks, struct str word, uint32_t index)
{
    struct strbuf text = {0};
    struct token_list list = {0};
    status result = STATUS_OK;
    for (int spaced = 0; spaced < 2 && result == STATUS_OK; spaced++) {
        struct tokenizer_encode_options options = {.special = TOKENIZER_SPECIAL_AS_TEXT};
        strbuf_clear(&text);
        list.count = 0;
        if (spaced) result = strbuf_append_char(&text, ' ');
        if (result == STATUS_OK) result = strbuf_append(&text, word);
        if (result == STATUS_OK)
            result =
                tokenizer_encode(job->serve->tokenizer, strbuf_view(&text), options, &list, NULL);
        if (result != STATUS_OK) break;
        if (list.count == 0 || list.count > MAX_BAD_WORD_TOKENS) {
            result = refuse(&job->refusal, 400, "bad_words",
                            "bad_words[%u]: %zu tokens, expected 1 to %d", index, list.count,
                            MAX_BAD_WORD_TOKENS);
            break;
        }
        if (spaced && same_ids(&masks->bad[masks->n_bad - 1], &list)) break;
        token_id *ids = ARENA_ARRAY(&job->arena, token_id, list.count);
        if (!ids) {
            result = STATUS_NO_MEMORY;
            break;
        }
        memcpy(ids, list.ids, list.count * sizeof *ids);
        masks->bad[masks->n_bad++] = (struct token_sequence){ids, list.count};
    }
    token_list_deinit(&list);
    strbuf_deinit(&text);
    return result == STATUS_NO_MEMORY ? job_no_memory(job) : result;
}

static status read_bad_words(struct job *job, struct masks *masks)
{
    const struct json *words = job->asked.bad_words;
    if (words->n_items > MAX_BAD_WORDS)
        return refuse(&job->refusal, 400, "bad_words", "bad_words: got %u, at most %d are accepted",
                      words->n_items, MAX_BAD_WORDS);
    masks->bad = ARENA_ARRAY(&job->arena, struct token_sequence, 2 * (size_t)words->n_items + 1);
    if (!masks->bad) return job_no_memory(job);
    for (uint32_t i = 0; i < words->n_items; i++) {
        if (!json_is(&words->items[i], JSON_STRING) || words->items[i].text.size == 0)
            return refuse(&job->refusal, 400, "bad_words", "bad_words[%u]: expected text", i);
        TRY(add_word(job, masks, words->items[i].text, i));
    }
    return STATUS_OK;
}

status masks_create(struct job *job, struct masks **out)
{
    *out = NULL;
    const struct asked *asked = &job->asked;
    if (!asked->allowed_token_ids && !(asked->bad_words && asked->bad_words->n_items))
        return STATUS_OK;
    struct masks *masks = ARENA_NEW(&job->arena, struct masks);
    if (!masks) return job_no_memory(job);
    if (asked->allowed_token_ids) TRY(read_allowed(job, masks));
    if (asked->bad_words) TRY(read_bad_words(job, masks));
    *out = masks;
    return STATUS_OK;
}

void masks_apply(void *argument, int32_t index, const token_id *output, int32_t n_output,
                 float *logits, int32_t vocab_size)
{
    (void)index;
    const struct masks *masks = argument;
    for (int32_t i = 0; masks->allowed && i < vocab_size; i++)
        if (i >= masks->n_allowed_bits || !(masks->allowed[i / 64] >> (i % 64) & 1))
            logits[i] = -INFINITY;
    for (size_t i = 0; i < masks->n_bad; i++) {
        const struct token_sequence *bad = &masks->bad[i];
        size_t before = bad->count - 1;
        if (before > (size_t)n_output) continue;
        if (before && memcmp(output + (size_t)n_output - before, bad->ids, before * sizeof *output))
            continue;
        if (bad->ids[before] < vocab_size) logits[bad->ids[before]] = -INFINITY;
    }
}
