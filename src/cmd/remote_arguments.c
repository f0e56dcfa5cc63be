#include "cmd/remote_arguments.h"

#include <stdio.h>
#include <strings.h>

#include "cmd/messages.h"

#define INTEGER(name_, field, placeholder_, help_, fallback_, low_, high_)                         \
    (struct argument)                                                                              \
    {                                                                                              \
        .name = name_, .type = ARGUMENT_INTEGER, .value = &a->field, .placeholder = placeholder_,  \
        .help = MESSAGE_OPTION_REMOTE_##help_, .fallback = fallback_, .low = low_, .high = high_   \
    }
#define NUMBER(name_, field, help_)                                                                \
    (struct argument)                                                                              \
    {                                                                                              \
        .name = name_, .type = ARGUMENT_NUMBER, .value = &a->field, .placeholder = "X",            \
        .help = MESSAGE_OPTION_REMOTE_##help_, .low = 0, .high = 1e12                              \
    }
#define TEXT(name_, field, placeholder_, help_)                                                    \
    (struct argument)                                                                              \
    {                                                                                              \
        .name = name_, .type = ARGUMENT_TEXT, .value = &a->field, .placeholder = placeholder_,     \
        .help = MESSAGE_OPTION_REMOTE_##help_                                                      \
    }
#define CHOICE(name_, field, choices_, help_)                                                      \
    (struct argument)                                                                              \
    {                                                                                              \
        .name = name_, .type = ARGUMENT_CHOICE, .value = &a->field, .placeholder = "WORD",         \
        .help = MESSAGE_OPTION_REMOTE_##help_, .fallback = a->field, .choices = choices_           \
    }

struct argument_group remote_arguments_group(struct remote_arguments *a,
                                             struct argument out[REMOTE_ARGUMENTS])
{
    size_t n = 0;
    *a = (struct remote_arguments){
        .api = "openai", .logprobs = "echo", .parallel = 8, .tries = 6, .timeout = 600, .top = 20};
    out[n++] = TEXT("url", url, "URL", URL);
    out[n++] = CHOICE("api", api, "openai|anthropic", API);
    out[n++] = TEXT("tokenizer", tokenizer, "MODEL", TOKENIZER);
    out[n++] = CHOICE("logprobs-by", logprobs, "echo|prompt|top", LOGPROBS);
    out[n++] = INTEGER("top-logprobs", top, "N", TOP, "20", 1, 1000);
    out[n++] = INTEGER("concurrency", parallel, "N", PARALLEL, "8", 1, REMOTE_MAX_PARALLEL);
    out[n++] = NUMBER("requests-per-minute", requests_per_minute, RPM);
    out[n++] = NUMBER("tokens-per-minute", tokens_per_minute, TPM);
    out[n++] = INTEGER("tries", tries, "N", TRIES, "6", 1, 100);
    out[n++] = INTEGER("timeout", timeout, "SECONDS", TIMEOUT, "600", 1, 86400);
    out[n++] = NUMBER("price-in", price_in, PRICE_IN);
    out[n++] = NUMBER("price-out", price_out, PRICE_OUT);
    out[n++] = NUMBER("max-cost", max_cost, MAX_COST);
    out[n++] = TEXT("ca-file", ca_file, "FILE", CA);
    out[n++] = (struct argument){.name = "estimate",
                                 .type = ARGUMENT_FLAG,
                                 .value = &a->only_estimate,
                                 .help = MESSAGE_OPTION_REMOTE_ESTIMATE};
    return (struct argument_group){MESSAGE_GROUP_REMOTE, out, n};
}

/* Is the address on this machine? */
static bool is_local(struct str address)
{
    static const char *const names[] = {"127.", "localhost", "[::1]"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_starts_with(address, str_of(names[i]))) return true;
    return false;
}

status remote_arguments_options(const struct remote_arguments *a, const char *model,
                                const char *option, const struct environment *environment,
                                struct remote_options *out, struct error *err)
{
    bool judge = strcmp(option, "model") != 0;
    const char *url_option = judge ? "judge-url" : "url";
    struct str url = str_of(a->url);
    bool plain = !strncasecmp(a->url, "http://", 7), secret = !strncasecmp(a->url, "https://", 8);
    if (url.size && url.data[url.size - 1] == '/') url.size--;
    if ((!plain && !secret) || url.size < 9 || url.size != strlen(a->url))
        return error_set(err, STATUS_INVALID, message(MESSAGE_REMOTE_BAD_URL), url_option, a->url);
    if (!model)
        return error_set(err, STATUS_INVALID, message(MESSAGE_REMOTE_NEEDS_MODEL), url_option,
                         option);
    *out = (struct remote_options){
        .api = !strcmp(a->api, "anthropic") ? REMOTE_ANTHROPIC : REMOTE_OPENAI,
        .logprobs = !strcmp(a->logprobs, "echo")     ? REMOTE_ECHO
                    : !strcmp(a->logprobs, "prompt") ? REMOTE_PROMPT
                                                     : REMOTE_TOP,
        .url = a->url,
        .model = model,
        .ca_file = a->ca_file,
        .n_parallel = (int)a->parallel,
        .n_tries = (int)a->tries,
        .timeout_s = (int)a->timeout,
        .first_wait_ms = 1000,
        .n_top = (int)a->top,
        .requests_per_minute = a->requests_per_minute,
        .tokens_per_minute = a->tokens_per_minute,
    };
    const char *name = out->api == REMOTE_ANTHROPIC ? "ANTHROPIC_API_KEY" : "OPENAI_API_KEY";
    out->key = environment->lookup(name);
    if (out->key && !*out->key) out->key = NULL;
    if (out->key && plain && !is_local(str_slice(url, 7, url.size)))
        return error_set(err, STATUS_INVALID, message(MESSAGE_REMOTE_PLAIN), a->url);
    return STATUS_OK;
}

status remote_arguments_announce(const struct remote_arguments *a,
                                 const struct remote_options *options,
                                 struct remote_question *const *questions, size_t count,
                                 bool *leave, struct error *err)
{
    struct remote_estimate e = remote_estimate(options, questions, count);
    double cost =
        ((double)e.n_prompt_tokens * a->price_in + (double)e.n_completion_tokens * a->price_out) /
        1e6;
    fprintf(stderr, message(MESSAGE_REMOTE_ESTIMATE_LINE), (long long)e.n_requests,
            e.is_guess ? message(MESSAGE_REMOTE_ABOUT) : "", (long long)e.n_prompt_tokens,
            (long long)e.n_completion_tokens);
    if (a->price_in > 0 || a->price_out > 0)
        fprintf(stderr, message(MESSAGE_REMOTE_COST), cost);
    else
        fputc('\n', stderr);
    *leave = a->only_estimate;
    if (a->max_cost > 0 && cost > a->max_cost)
        return error_set(err, STATUS_LIMIT, message(MESSAGE_REMOTE_TOO_DEAR), cost, a->max_cost);
    return STATUS_OK;
}
