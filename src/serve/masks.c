#include "serve/masks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "serve/structure.h"
#include "serve/tool_parser.h"

enum { MAX_BAD_WORDS = 1024, MAX_BAD_WORD_TOKENS = 64 };

/* One completion. */
struct mask_sequence {
    struct grammar_matcher *matcher; /* of the answer */
    struct tool_parser *parser;      /* follows the answer when tools may be called */
    struct token_list seen;          /* the tokens that the parser has */
    struct grammar_matcher *call;    /* of the call that the answer is in */
    uint32_t tool;                   /* whose */
    size_t n_call_bytes;             /* of the call that the matcher has */
    bool is_free;                    /* the call does not follow its grammar: it is left alone */
    uint32_t *bits;
    struct error failure;
};

struct mask_sequences {
    struct masks *masks;
    struct mask_sequence *list;
    struct mask_sequences *next;
};

struct masks {
    const struct job *job;
    uint64_t *allowed; /* a bit each token; NULL: all */
    int32_t n_allowed_bits;
    struct token_sequence *bad; /* no output may end in one of these */
    size_t n_bad;
    struct grammar *grammar; /* of the whole answer, or NULL */
    struct grammar **calls;  /* of each tool, when the model may call them; NULL: none */
    size_t n_words;
    token_id *stop_ids;
    size_t n_stop_ids;
    int32_t n; /* completions of one prompt */
    struct mask_sequences *first;
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

/* Where the grammar's answer is complete, these may end it. */
static status read_stop_ids(struct job *job, struct masks *masks)
{
    const struct sampling_params *params = &job->asked.params->values;
    size_t n_eos;
    const token_id *eos = model_eos_ids(job->serve->options.model, &n_eos);
    masks->stop_ids = ARENA_ARRAY(&job->arena, token_id, n_eos + params->n_stop_token_ids + 1);
    if (!masks->stop_ids) return job_no_memory(job);
    for (size_t i = 0; i < n_eos; i++) masks->stop_ids[masks->n_stop_ids++] = eos[i];
    for (size_t i = 0; i < params->n_stop_token_ids; i++)
        masks->stop_ids[masks->n_stop_ids++] = params->stop_token_ids[i];
    return STATUS_OK;
}

/* Each tool's calls, in all shapes that are understood. */
static status compile_calls(struct job *job, struct masks *masks)
{
    const struct tools *tools = &job->tools;
    char param[96];
    masks->calls = ARENA_ARRAY(&job->arena, struct grammar *, tools->n);
    if (!masks->calls) return job_no_memory(job);
    for (uint32_t i = 0; i < tools->n; i++) {
        struct strbuf schema = {0};
        snprintf(param, sizeof param, "tools[%u]", i);
        status result = tools_write_call_schema(tools, i, &schema) == STATUS_OK
                            ? structure_compile(job, STRUCTURE_JSON_SCHEMA, strbuf_view(&schema),
                                                param, &masks->calls[i])
                            : job_no_memory(job);
        strbuf_deinit(&schema);
        TRY(result);
    }
    return STATUS_OK;
}

status masks_create(struct job *job, struct masks **out)
{
    const struct asked *asked = &job->asked;
    const struct sampling_params *params = &asked->params->values;
    bool may_call = job->tools.n > 0 && job->tools.choice == TOOLS_AUTO;
    struct masks *masks = ARENA_NEW(&job->arena, struct masks);
    *out = NULL;
    if (!masks) return job_no_memory(job);
    *out = masks; /* so that the job frees it, whatever happens */
    masks->job = job;
    masks->n = params->num_beams > params->n ? params->num_beams : params->n;
    masks->n_words = grammar_mask_words(job->serve->grammars.vocabulary);
    TRY(structure_read(job, &masks->grammar));
    if (may_call) TRY(compile_calls(job, masks));
    if (asked->allowed_token_ids) TRY(read_allowed(job, masks));
    if (asked->bad_words) TRY(read_bad_words(job, masks));
    TRY(read_stop_ids(job, masks));
    bool any = masks->grammar || masks->calls || masks->allowed || masks->n_bad;
    if (!any) *out = NULL;
    return STATUS_OK;
}

static status add_sequence(struct job *job, struct masks *masks, struct mask_sequence *s)
{
    s->bits = ARENA_ARRAY(&job->arena, uint32_t, masks->n_words + 1);
    if (!s->bits) return job_no_memory(job);
    if (masks->grammar && grammar_matcher_create(&s->matcher, masks->grammar, masks->stop_ids,
                                                 masks->n_stop_ids, NULL) != STATUS_OK)
        return job_no_memory(job);
    if (!masks->calls) return STATUS_OK;
    s->parser = ARENA_NEW(&job->arena, struct tool_parser);
    if (!s->parser) return job_no_memory(job);
    tool_parser_init(s->parser, job->tools.names, job->tools.n, job->tools.parallel ? 0 : 1);
    return STATUS_OK;
}

status masks_add_prompt(struct job *job, struct masks *masks, struct mask_sequences **out)
{
    struct mask_sequences *sequences = *out = ARENA_NEW(&job->arena, struct mask_sequences);
    if (!sequences) return job_no_memory(job);
    sequences->list = ARENA_ARRAY(&job->arena, struct mask_sequence, (size_t)masks->n);
    if (!sequences->list) return job_no_memory(job);
    sequences->masks = masks;
    sequences->next = masks->first;
    masks->first = sequences;
    for (int32_t i = 0; i < masks->n && (masks->grammar || masks->calls); i++)
        TRY(add_sequence(job, masks, &sequences->list[i]));
    return STATUS_OK;
}

void masks_destroy(struct masks *masks)
{
    if (!masks) return;
    for (struct mask_sequences *sequences = masks->first; sequences; sequences = sequences->next)
        for (int32_t i = 0; sequences->list && i < masks->n; i++) {
            struct mask_sequence *s = &sequences->list[i];
            grammar_matcher_destroy(s->matcher);
            grammar_matcher_destroy(s->call);
            if (s->parser) tool_parser_deinit(s->parser);
            token_list_deinit(&s->seen);
        }
    if (masks->grammar) grammar_release(masks->grammar);
    for (uint32_t i = 0; masks->calls && i < masks->job->tools.n; i++)
        if (masks->calls[i]) grammar_release(masks->calls[i]);
}

const char *masks_failure(const struct mask_sequences *sequences, int32_t index)
{
    const struct error *failure = &sequences->list[index].failure;
    return failure->code == STATUS_OK ? NULL : failure->text;
}

/* ---- on the engine's threads ------------------------------------------------------------------------------ */

static void ban_all_but_stops(const struct masks *masks, float *logits, int32_t vocab_size)
{
    for (int32_t i = 0; i < vocab_size; i++) {
        bool stops = false;
        for (size_t k = 0; k < masks->n_stop_ids; k++) stops = stops || masks->stop_ids[k] == i;
        if (!stops) logits[i] = -INFINITY;
    }
}

/* A failure ends the completion: it is reported as an error, not as an answer. */
static void constrain(const struct masks *masks, struct mask_sequence *s, status ready,
                      struct grammar_matcher *matcher, float *logits, int32_t vocab_size)
{
    if (ready == STATUS_OK) ready = grammar_matcher_mask(matcher, s->bits, &s->failure);
    if (ready == STATUS_OK) {
        s->failure.code = STATUS_OK;
        grammar_mask_apply(s->bits, masks->n_words, logits, (size_t)vocab_size);
    } else {
        if (s->failure.code == STATUS_OK) error_set(&s->failure, ready, "the grammar cannot go on");
        ban_all_but_stops(masks, logits, vocab_size);
    }
}

/* The parser has exactly the tokens of the output: new ones are added, and another history is read anew. */
static status follow(const struct masks *masks, struct mask_sequence *s, const token_id *output,
                     size_t n_output)
{
    const struct tools *tools = &masks->job->tools;
    bool extends =
        s->seen.count <= n_output &&
        (s->seen.count == 0 || !memcmp(s->seen.ids, output, s->seen.count * sizeof *output));
    if (!extends) {
        tool_parser_deinit(s->parser);
        tool_parser_init(s->parser, tools->names, tools->n, tools->parallel ? 0 : 1);
        s->seen.count = 0;
    }
    for (size_t i = s->seen.count; i < n_output; i++) {
        TRY(tool_parser_push(s->parser,
                             tokenizer_token_bytes(masks->job->serve->tokenizer, output[i])));
        TRY(token_list_append(&s->seen, output[i]));
    }
    strbuf_clear(&s->parser->content);
    return STATUS_OK;
}

/* Inside a call the schema of its tool rules, from the end of the tool's name on. */
static void constrain_call(const struct masks *masks, struct mask_sequence *s,
                           const token_id *output, int32_t n_output, float *logits,
                           int32_t vocab_size)
{
    uint32_t tool;
    if (follow(masks, s, output, (size_t)n_output) != STATUS_OK) {
        error_set(&s->failure, STATUS_NO_MEMORY, "the server has no memory for this answer");
        ban_all_but_stops(masks, logits, vocab_size);
        return;
    }
    if (!tool_parser_in_call(s->parser, &tool)) {
        grammar_matcher_destroy(s->call);
        s->call = NULL;
        s->is_free = false;
        return;
    }
    struct str text = tool_parser_call_text(s->parser);
    if (s->call && (s->tool != tool || s->n_call_bytes > text.size)) {
        grammar_matcher_destroy(s->call);
        s->call = NULL;
    }
    if (!s->call) {
        s->n_call_bytes = 0;
        s->is_free = false;
        s->tool = tool;
        if (grammar_matcher_create(&s->call, masks->calls[tool], masks->stop_ids, masks->n_stop_ids,
                                   &s->failure) != STATUS_OK) {
            ban_all_but_stops(masks, logits, vocab_size);
            return;
        }
    }
    struct str fresh = str_slice(text, s->n_call_bytes, text.size);
    if (!s->is_free && grammar_matcher_accept_bytes(s->call, fresh, NULL) != STATUS_OK)
        s->is_free = true; /* white space or an order of members that the schema does not have */
    s->n_call_bytes = text.size;
    if (!s->is_free) constrain(masks, s, STATUS_OK, s->call, logits, vocab_size);
}

void masks_apply(void *argument, int32_t index, const token_id *output, int32_t n_output,
                 float *logits, int32_t vocab_size)
{
    struct mask_sequences *sequences = argument;
    const struct masks *masks = sequences->masks;
    struct mask_sequence *s = &sequences->list[index];
    if (s->matcher) {
        status ready = grammar_matcher_sync(s->matcher, output, (size_t)n_output, &s->failure);
        constrain(masks, s, ready, s->matcher, logits, vocab_size);
    }
    if (s->parser) constrain_call(masks, s, output, n_output, logits, vocab_size);
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
