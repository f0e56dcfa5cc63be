#include "eval/score.h"

#include <math.h>
#include <stdlib.h>

#include "base/float16.h"
#include "base/utf8.h"
#include "text/jinja_unicode.h"

/* One input of the model: the prompt from `skip` on, then `n_tail` tokens of a choice; and of which choices the
 * next token's log-probability is wanted there. */
struct score_probe {
    struct score_request *request;
    size_t skip, n_tail;
    const token_id *tail; /* of the first choice with this input */
    token_id wanted[EVAL_MAX_LETTERS];
    float logprobs[EVAL_MAX_LETTERS];
    uint8_t choices[EVAL_MAX_LETTERS];
    int n_wanted;
    bool bf16;
};

enum { MAX_CHOICE_TOKENS = 16 };

struct choice {
    token_id ids[MAX_CHOICE_TOKENS];
    size_t count;
};

void score_request_deinit(struct score_request *r)
{
    free(r->prompt);
    free(r->probes);
    strbuf_deinit(&r->text);
    *r = (struct score_request){0};
}

int score_best(const double *logprobs, int count)
{
    int best = 0;
    for (int i = 1; i < count; i++)
        if (logprobs[i] > logprobs[best]) best = i;
    return best;
}

/* ---- preparing ---------------------------------------------------------------------------------- */

static status encode(const struct tokenizer *t, struct str text, bool add_bos,
                     struct token_list *out, struct error *err)
{
    struct tokenizer_encode_options options = {TOKENIZER_SPECIAL_PARSED, add_bos};
    out->count = 0;
    return tokenizer_encode(t, text, options, out, err);
}

/* Blanks at the end of a context belong to the choices, as in the harness. */
static size_t trimmed_size(struct str context)
{
    size_t size = 0;
    for (size_t at = 0; at < context.size;) {
        uint32_t code;
        at += utf8_decode(context.data + at, context.size - at, &code);
        if (!jinja_is_space(code)) size = at;
    }
    return size;
}

static status encode_choice(const struct tokenizer *t, struct strbuf *text, size_t n_context,
                            bool add_bos, struct token_list *whole, struct choice *out,
                            struct error *err)
{
    TRY(encode(t, strbuf_view(text), add_bos, whole, err));
    if (whole->count <= n_context || whole->count - n_context > MAX_CHOICE_TOKENS)
        return error_set(err, STATUS_UNSUPPORTED,
                         "a choice is %zd tokens behind its context, expected 1 to %d",
                         (ssize_t)whole->count - (ssize_t)n_context, MAX_CHOICE_TOKENS);
    out->count = whole->count - n_context;
    memcpy(out->ids, whole->ids + n_context, out->count * sizeof *out->ids);
    return STATUS_OK;
}

/* The probe that reads token `k` of the choice, found or added. */
static struct score_probe *probe_for(struct score_request *r, const struct choice *choices, int c,
                                     size_t k, size_t skip)
{
    for (size_t i = 0; i < r->n_probes; i++) {
        struct score_probe *p = &r->probes[i];
        if (p->n_tail == k && p->skip == skip &&
            !memcmp(choices[p->choices[0]].ids, choices[c].ids, k * sizeof(token_id)))
            return p;
    }
    struct score_probe *p = &r->probes[r->n_probes++];
    *p = (struct score_probe){.request = r, .skip = skip, .n_tail = k};
    return p;
}

/* Probes and, behind the prompt in one allocation, the tails they point into. */
static status add_probes(struct score_request *r, const struct choice *choices, int n_choices,
                         size_t max_tokens, struct error *err)
{
    size_t most = 0;
    for (int c = 0; c < n_choices; c++) most += choices[c].count;
    r->probes = calloc(most ? most : 1, sizeof *r->probes);
    token_id *ids = realloc(r->prompt, (r->n_prompt + most + 1) * sizeof *ids);
    if (ids) r->prompt = ids;
    if (!r->probes || !ids) return error_set(err, STATUS_NO_MEMORY, "a question: no memory");
    token_id *tails = ids + r->n_prompt;
    for (int c = 0; c < n_choices; c++) {
        size_t length = r->n_prompt + choices[c].count - 1;
        size_t skip = length > max_tokens ? length - max_tokens : 0;
        if (skip >= r->n_prompt)
            return error_set(err, STATUS_INVALID, "a choice is longer than what the model reads");
        r->is_truncated |= skip > 0;
        for (size_t k = 0; k < choices[c].count; k++) {
            struct score_probe *p = probe_for(r, choices, c, k, skip);
            p->tail = tails;
            p->choices[p->n_wanted] = (uint8_t)c;
            p->wanted[p->n_wanted++] = choices[c].ids[k];
        }
        memcpy(tails, choices[c].ids, choices[c].count * sizeof *tails);
        tails += choices[c].count;
    }
    return STATUS_OK;
}

status score_prepare_choices(struct score_request *r, const struct tokenizer *t, struct str context,
                             struct str choice_prefix, const char *letters, bool add_bos,
                             size_t max_tokens, struct error *err)
{
    struct token_list ids = {0}, whole = {0};
    struct choice choices[EVAL_MAX_LETTERS];
    struct strbuf text = {0};
    size_t cut = trimmed_size(context);
    r->is_choice = true;
    status result = encode(t, str_slice(context, 0, cut), add_bos, &ids, err);
    size_t n_context = ids.count;
    for (; result == STATUS_OK && letters[r->n_choices]; r->n_choices++) {
        strbuf_clear(&text);
        result = strbuf_append(&text, context);
        if (result == STATUS_OK) result = strbuf_append(&text, choice_prefix);
        if (result == STATUS_OK) result = strbuf_append_char(&text, letters[r->n_choices]);
        if (result == STATUS_OK)
            result =
                encode_choice(t, &text, n_context, add_bos, &whole, &choices[r->n_choices], err);
        if (result != STATUS_OK) break;
    }
    if (result == STATUS_OK && n_context == 0)
        result = error_set(err, STATUS_INVALID, "an empty context has no choices behind it");
    r->prompt = ids.ids;
    r->n_prompt = n_context;
    if (result == STATUS_OK) result = add_probes(r, choices, r->n_choices, max_tokens, err);
    token_list_deinit(&whole);
    strbuf_deinit(&text);
    return result;
}

status score_prepare_answer(struct score_request *r, const struct tokenizer *t, struct str prompt,
                            bool add_bos, size_t max_tokens, const struct sampling_params *params,
                            struct error *err)
{
    struct token_list ids = {0};
    TRY(encode(t, prompt, add_bos, &ids, err));
    size_t skip = ids.count > max_tokens ? ids.count - max_tokens : 0;
    r->is_truncated = skip > 0;
    r->prompt = ids.ids;
    r->n_prompt = ids.count - skip;
    r->params = *params;
    if (skip) memmove(ids.ids, ids.ids + skip, r->n_prompt * sizeof *ids.ids);
    if (r->n_prompt) return STATUS_OK;
    return error_set(err, STATUS_INVALID, "an empty prompt cannot be continued");
}

/* add_probes leaves the choices one behind the other, behind the prompt; every token of one has a probe. */
const token_id *score_choice_ids(const struct score_request *r, int index, size_t *count)
{
    size_t before = 0;
    *count = 0;
    for (size_t i = 0; i < r->n_probes; i++) {
        for (int k = 0; k < r->probes[i].n_wanted; k++) {
            before += r->probes[i].choices[k] < index;
            *count += r->probes[i].choices[k] == index;
        }
    }
    return r->prompt + r->n_prompt + before;
}

size_t score_choices_cut(const struct score_request *r)
{
    size_t most = 0;
    for (size_t i = 0; i < r->n_probes; i++)
        if (r->probes[i].skip > most) most = r->probes[i].skip;
    return most;
}

/* ---- running ------------------------------------------------------------------------------------ */

/* Reads the wanted log-probabilities; bans nothing. Float, as the harness computes them. */
static void read_logits(void *argument, int32_t index, const token_id *output, int32_t n_output,
                        float *logits, int32_t vocab_size)
{
    (void)index, (void)output;
    struct score_probe *p = argument;
    if (n_output > 0) return;
    if (p->bf16)
        for (int32_t i = 0; i < vocab_size; i++)
            logits[i] = bf16_to_float(bf16_from_float(logits[i]));
    float most = logits[0];
    double sum = 0;
    for (int32_t i = 1; i < vocab_size; i++) most = logits[i] > most ? logits[i] : most;
    for (int32_t i = 0; i < vocab_size; i++) sum += (double)expf(logits[i] - most);
    float log_sum = (float)((double)most + log(sum));
    for (int i = 0; i < p->n_wanted; i++) {
        bool inside = p->wanted[i] >= 0 && p->wanted[i] < vocab_size;
        p->logprobs[i] = inside ? logits[p->wanted[i]] - log_sum : -INFINITY;
    }
}

struct running {
    const struct score_run *run;
    struct score_request *const *requests;
    struct slot *slots; /* of the window */
    size_t n_in_flight;
    status result;
    struct error *err;
};

struct slot {
    struct running *owner;
    size_t index;
    bool used;
};

static void finish(struct slot *slot)
{
    struct running *running = slot->owner;
    struct score_request *r = running->requests[slot->index];
    for (int c = 0; c < r->n_choices; c++) r->logprobs[c] = 0;
    for (size_t i = 0; i < r->n_probes; i++) {
        const struct score_probe *p = &r->probes[i];
        for (int k = 0; k < p->n_wanted; k++) r->logprobs[p->choices[k]] += (double)p->logprobs[k];
    }
    slot->used = false;
    running->n_in_flight--;
    if (running->result == STATUS_OK)
        running->result =
            running->run->on_done(running->run->argument, slot->index, r, running->err);
}

static void take_output(void *argument, const struct engine_output *out)
{
    struct running *running = argument;
    struct slot *slot = out->user;
    struct score_request *r = running->requests[slot->index];
    if (!r->is_choice && out->index == 0) {
        if (strbuf_append(&r->text, out->text) != STATUS_OK) r->failed = true;
        r->n_generated += (int32_t)out->n_tokens;
    }
    if (out->finish == FINISH_NONE) return;
    if (out->finish == FINISH_ERROR && !r->failed) {
        r->failed = true;
        if (out->error) r->error = *out->error;
    }
    r->n_cached = out->n_cached_tokens;
    if (--r->n_left == 0) finish(slot);
}

static status submit_probe(struct running *running, struct slot *slot, struct score_probe *p,
                           struct error *err)
{
    const struct score_request *r = p->request;
    size_t head = r->n_prompt - p->skip, count = head + p->n_tail;
    token_id *ids = malloc(count * sizeof *ids);
    if (!ids) return error_set(err, STATUS_NO_MEMORY, "a question: no memory");
    memcpy(ids, r->prompt + p->skip, head * sizeof *ids);
    memcpy(ids + head, p->tail, p->n_tail * sizeof *ids);
    p->bf16 = running->run->bf16_logits;
    struct engine_request request = {.prompt = ids,
                                     .n_prompt = count,
                                     .params = sampling_params_default(),
                                     .user = slot,
                                     .mask = read_logits,
                                     .mask_argument = p};
    request.params.temperature = 0;
    request.params.max_tokens = 1;
    uint64_t id;
    status result = engine_submit(running->run->engine, &request, &id, err);
    free(ids);
    return result;
}

static status submit(struct running *running, struct slot *slot, struct error *err)
{
    struct score_request *r = running->requests[slot->index];
    uint64_t id;
    r->n_left = r->is_choice ? r->n_probes : 1;
    if (!r->is_choice) {
        struct engine_request request = {
            .prompt = r->prompt, .n_prompt = r->n_prompt, .params = r->params, .user = slot};
        return engine_submit(running->run->engine, &request, &id, err);
    }
    for (size_t i = 0; i < r->n_probes; i++) TRY(submit_probe(running, slot, &r->probes[i], err));
    return STATUS_OK;
}

static status fill_window(struct running *running, size_t window, size_t *next, size_t count)
{
    for (size_t i = 0; i < window && *next < count; i++) {
        struct slot *slot = &running->slots[i];
        if (slot->used) continue;
        *slot = (struct slot){running, (*next)++, true};
        running->n_in_flight++;
        TRY(submit(running, slot, running->err));
    }
    return STATUS_OK;
}

static status drive(struct running *running, size_t window, size_t count)
{
    const struct score_run *run = running->run;
    size_t next = 0;
    while (next < count || running->n_in_flight > 0) {
        bool more;
        if (run->is_cancelled && run->is_cancelled(run->argument))
            return error_set(running->err, STATUS_CANCELLED, "stopped");
        TRY(fill_window(running, window, &next, count));
        TRY(engine_step(run->engine, take_output, running, &more, running->err));
        TRY(running->result);
        if (!more && running->n_in_flight > 0)
            return error_set(running->err, STATUS_INTERNAL, "the engine lost %zu questions",
                             running->n_in_flight);
    }
    return STATUS_OK;
}

status score_run(const struct score_run *run, struct score_request *const *requests, size_t count,
                 struct error *err)
{
    size_t window = run->window ? run->window : 1;
    struct running running = {.run = run, .requests = requests, .err = err};
    running.slots = calloc(window, sizeof *running.slots);
    if (!running.slots) return error_set(err, STATUS_NO_MEMORY, "evaluation: no memory");
    status result = drive(&running, window, count);
    free(running.slots);
    return result;
}
