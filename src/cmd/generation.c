#include "cmd/generation.h"

#include <stdlib.h>

#include "data/json.h"

status generation_init(struct generation *generation, size_t n_completions)
{
    *generation = (struct generation){.n_completions = n_completions};
    generation->completions = calloc(n_completions, sizeof *generation->completions);
    return generation->completions ? STATUS_OK : STATUS_NO_MEMORY;
}

void generation_clear(struct generation *generation)
{
    for (size_t i = 0; generation->completions && i < generation->n_completions; i++) {
        struct completion *completion = &generation->completions[i];
        strbuf_deinit(&completion->text);
        strbuf_deinit(&completion->logprobs);
        strbuf_deinit(&completion->stop_reason);
        free(completion->tokens);
    }
    free(generation->completions);
    strbuf_deinit(&generation->prompt_logprobs);
    strbuf_deinit(&generation->error);
    *generation = (struct generation){0};
}

void generation_fail(struct generation *generation, const char *text)
{
    generation->failed = true;
    strbuf_clear(&generation->error);
    (void)!strbuf_append_c(&generation->error, text); /* without memory the reason stays empty */
}

static status write_token(struct strbuf *out, const struct twllm_model *model,
                          const struct twllm_logprob *logprob)
{
    char *text = NULL;
    size_t size = 0;
    int result = twllm_decode(model, &logprob->id, 1, 0, &text, &size, NULL);
    if (result == TWLLM_NO_MEMORY) return STATUS_NO_MEMORY;
    status written = strbuf_appendf(out, "{\"id\":%d,\"token\":", logprob->id);
    if (written == STATUS_OK) written = json_write_string(out, (struct str){text, size}, false);
    twllm_free(text);
    TRY(written);
    TRY(strbuf_append_c(out, ",\"logprob\":"));
    TRY(json_write_f64(out, (double)logprob->logprob));
    return strbuf_appendf(out, ",\"rank\":%d", logprob->rank);
}

/* One entry per token: the token itself, then the likeliest ones in "top". */
static status write_logprobs(struct strbuf *out, const struct twllm_model *model,
                             const struct twllm_logprob *logprobs, size_t n_tokens,
                             size_t per_token)
{
    for (size_t i = 0; i < n_tokens; i++) {
        const struct twllm_logprob *row = logprobs + i * per_token;
        TRY(strbuf_append_c(out, out->size ? "," : ""));
        if (row->id < 0) { /* the first token of a prompt has none */
            TRY(strbuf_append_c(out, "null"));
            continue;
        }
        TRY(write_token(out, model, row));
        TRY(strbuf_append_c(out, ",\"top\":["));
        bool begun = false;
        for (size_t k = 1; k < per_token; k++) {
            if (row[k].id < 0) continue;
            if (begun) TRY(strbuf_append_char(out, ','));
            TRY(write_token(out, model, &row[k]));
            TRY(strbuf_append_char(out, '}'));
            begun = true;
        }
        TRY(strbuf_append_c(out, "]}"));
    }
    return STATUS_OK;
}

static status take_tokens(struct completion *completion, const int32_t *tokens, size_t count)
{
    if (completion->n_tokens + count > completion->capacity) {
        size_t capacity = 2 * (completion->n_tokens + count) + 16;
        int32_t *grown = realloc(completion->tokens, capacity * sizeof *grown);
        if (!grown) return STATUS_NO_MEMORY;
        completion->tokens = grown;
        completion->capacity = capacity;
    }
    if (count) memcpy(completion->tokens + completion->n_tokens, tokens, count * sizeof *tokens);
    completion->n_tokens += count;
    return STATUS_OK;
}

status generation_take(struct generation *generation, const struct twllm_model *model,
                       const struct twllm_output *output)
{
    if (output->finish == TWLLM_FINISH_ERROR) {
        generation_fail(generation, output->error ? output->error : "");
        return STATUS_OK;
    }
    if (output->index < 0 || (size_t)output->index >= generation->n_completions)
        return STATUS_INTERNAL;
    struct completion *completion = &generation->completions[output->index];
    generation->n_prompt = output->n_prompt_tokens;
    generation->n_cached = output->n_cached_tokens;
    TRY(take_tokens(completion, output->tokens, output->n_tokens));
    TRY(strbuf_append(&completion->text, (struct str){output->text, output->text_size}));
    if (output->logprobs_per_token)
        TRY(write_logprobs(&completion->logprobs, model, output->logprobs, output->n_tokens,
                           output->logprobs_per_token));
    if (output->n_prompt_logprobs && output->prompt_logprobs_per_token) {
        /* The first token has nothing in front that could predict it. */
        if (output->n_prompt_logprobs + 1 == (size_t)output->n_prompt_tokens)
            TRY(strbuf_append_c(&generation->prompt_logprobs, "null"));
        TRY(write_logprobs(&generation->prompt_logprobs, model, output->prompt_logprobs,
                           output->n_prompt_logprobs, output->prompt_logprobs_per_token));
    }
    if (output->finish == TWLLM_RUNNING) return STATUS_OK;
    if (completion->finish == TWLLM_RUNNING) generation->n_finished++;
    completion->finish = (enum twllm_finish)output->finish;
    completion->cumulative_logprob = output->cumulative_logprob;
    if (output->stop_string_size)
        return json_write_string(&completion->stop_reason,
                                 (struct str){output->stop_string, output->stop_string_size},
                                 false);
    if (output->stop_token >= 0)
        return strbuf_appendf(&completion->stop_reason, "%d", output->stop_token);
    return STATUS_OK;
}

int64_t generation_n_tokens(const struct generation *generation)
{
    int64_t sum = 0;
    for (size_t i = 0; i < generation->n_completions; i++)
        sum += (int64_t)generation->completions[i].n_tokens;
    return sum;
}

static const char *finish_name(enum twllm_finish finish)
{
    switch (finish) {
    case TWLLM_FINISH_STOP:
        return "stop";
    case TWLLM_FINISH_LENGTH:
        return "length";
    case TWLLM_FINISH_CANCELLED:
        return "cancelled";
    default:
        return "error";
    }
}

static status write_completion(const struct completion *completion, struct strbuf *out)
{
    TRY(strbuf_append_c(out, "\"text\":"));
    TRY(json_write_string(out, strbuf_view(&completion->text), false));
    TRY(strbuf_append_c(out, ",\"tokens\":["));
    for (size_t i = 0; i < completion->n_tokens; i++)
        TRY(strbuf_appendf(out, "%s%d", i ? "," : "", completion->tokens[i]));
    TRY(strbuf_appendf(out, "],\"finish_reason\":\"%s\",\"stop_reason\":%s,\"cumulative_logprob\":",
                       finish_name(completion->finish),
                       completion->stop_reason.size ? completion->stop_reason.data : "null"));
    TRY(json_write_f64(out, completion->cumulative_logprob));
    if (completion->logprobs.size == 0) return STATUS_OK;
    TRY(strbuf_append_c(out, ",\"logprobs\":["));
    TRY(strbuf_append(out, strbuf_view(&completion->logprobs)));
    return strbuf_append_c(out, "]");
}

status generation_write(const struct generation *generation, struct str id, struct strbuf *out)
{
    TRY(strbuf_append_c(out, "{"));
    if (id.size) TRY(strbuf_appendf(out, "\"id\":%.*s,", STR_ARGS(id)));
    if (generation->failed) {
        TRY(strbuf_append_c(out, "\"finish_reason\":\"error\",\"error\":"));
        TRY(json_write_string(out, strbuf_view(&generation->error), false));
        return strbuf_append_c(out, "}");
    }
    if (generation->n_completions == 1) {
        TRY(write_completion(&generation->completions[0], out));
    } else {
        TRY(strbuf_append_c(out, "\"choices\":["));
        for (size_t i = 0; i < generation->n_completions; i++) {
            TRY(strbuf_appendf(out, "%s{\"index\":%zu,", i ? "," : "", i));
            TRY(write_completion(&generation->completions[i], out));
            TRY(strbuf_append_c(out, "}"));
        }
        TRY(strbuf_append_c(out, "]"));
    }
    if (generation->prompt_logprobs.size) {
        TRY(strbuf_append_c(out, ",\"prompt_logprobs\":["));
        TRY(strbuf_append(out, strbuf_view(&generation->prompt_logprobs)));
        TRY(strbuf_append_c(out, "]"));
    }
    return strbuf_appendf(out,
                          ",\"usage\":{\"prompt_tokens\":%d,\"cached_tokens\":%d,"
                          "\"completion_tokens\":%lld}}",
                          generation->n_prompt, generation->n_cached,
                          (long long)generation_n_tokens(generation));
}
