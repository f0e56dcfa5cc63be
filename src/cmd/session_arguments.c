/* The options that commands share, as tables. */
#include "cmd/session.h"

#include <stdio.h>
#include <string.h>

struct argument session_model_argument(struct session_options *options)
{
    return (struct argument){.name = "model",
                             .letter = 'm',
                             .type = ARGUMENT_TEXT,
                             .value = &options->model,
                             .placeholder = "MODEL",
                             .help = MESSAGE_OPTION_MODEL};
}

struct argument_group session_engine_group(struct session_options *options,
                                           struct argument out[SESSION_ENGINE_ARGUMENTS])
{
    const struct argument arguments[SESSION_ENGINE_ARGUMENTS] = {
        {.name = "threads",
         .letter = 't',
         .type = ARGUMENT_INTEGER,
         .value = &options->threads,
         .placeholder = "N",
         .low = 1,
         .high = 1024,
         .help = MESSAGE_OPTION_THREADS},
        {.name = "isa",
         .type = ARGUMENT_CHOICE,
         .value = &options->isa,
         .placeholder = "SET",
         .choices = "auto|ref|avx2|avx512|avx512vnni|avx512bf16|neon",
         .help = MESSAGE_OPTION_ISA},
        {.name = "device",
         .type = ARGUMENT_TEXT,
         .value = &options->device,
         .placeholder = "DEVICE",
         .fallback = "auto",
         .help = MESSAGE_OPTION_DEVICE},
        {.name = "quantization",
         .letter = 'q',
         .type = ARGUMENT_CHOICE,
         .value = &options->quantization,
         .placeholder = "TYPE",
         .choices = "none|fp8",
         .help = MESSAGE_OPTION_QUANTIZATION},
        {.name = "deterministic",
         .type = ARGUMENT_FLAG,
         .value = &options->deterministic,
         .help = MESSAGE_OPTION_DETERMINISTIC},
        {.name = "max-model-len",
         .type = ARGUMENT_INTEGER,
         .value = &options->max_model_len,
         .placeholder = "N",
         .low = 1,
         .high = 1 << 30,
         .help = MESSAGE_OPTION_MAX_MODEL_LEN},
        {.name = "max-num-seqs",
         .type = ARGUMENT_INTEGER,
         .value = &options->max_num_seqs,
         .placeholder = "N",
         .low = 1,
         .high = 65536,
         .help = MESSAGE_OPTION_MAX_NUM_SEQS},
        {.name = "max-num-batched-tokens",
         .type = ARGUMENT_INTEGER,
         .value = &options->max_num_batched_tokens,
         .placeholder = "N",
         .low = 1,
         .high = 1 << 24,
         .help = MESSAGE_OPTION_MAX_NUM_BATCHED_TOKENS},
        {.name = "block-size",
         .type = ARGUMENT_INTEGER,
         .value = &options->block_size,
         .placeholder = "N",
         .low = 1,
         .high = 4096,
         .fallback = "16",
         .help = MESSAGE_OPTION_BLOCK_SIZE},
        {.name = "kv-cache-dtype",
         .type = ARGUMENT_CHOICE,
         .value = &options->kv_cache_dtype,
         .placeholder = "TYPE",
         .choices = "auto|f32|f16|bf16",
         .help = MESSAGE_OPTION_KV_CACHE_DTYPE},
        {.name = "kv-cache-memory",
         .type = ARGUMENT_BYTES,
         .value = &options->kv_cache_memory,
         .placeholder = "SIZE",
         .help = MESSAGE_OPTION_KV_CACHE_MEMORY},
        {.name = "no-prefix-caching",
         .type = ARGUMENT_FLAG,
         .value = &options->no_prefix_caching,
         .help = MESSAGE_OPTION_NO_PREFIX_CACHING},
        {.name = "speculative-model",
         .type = ARGUMENT_TEXT,
         .value = &options->speculative_model,
         .placeholder = "MODEL|ngram",
         .help = MESSAGE_OPTION_SPECULATIVE_MODEL},
        {.name = "num-speculative-tokens",
         .type = ARGUMENT_INTEGER,
         .value = &options->num_speculative_tokens,
         .placeholder = "N",
         .low = 1,
         .high = 64,
         .fallback = "8",
         .help = MESSAGE_OPTION_NUM_SPECULATIVE_TOKENS},
        {.name = "speculative-config",
         .type = ARGUMENT_TEXT,
         .value = &options->speculative_config,
         .placeholder = "JSON",
         .help = MESSAGE_OPTION_SPECULATIVE_CONFIG},
    };
    memcpy(out, arguments, sizeof arguments);
    return (struct argument_group){MESSAGE_GROUP_ENGINE, out, SESSION_ENGINE_ARGUMENTS};
}

/* What the library says of a sampling option, in the reader's language where it is of the common kinds. */
static status tell_refused(const char *name, const char *text, const struct twllm_error *error,
                           int code, struct error *err)
{
    static const char expects[] = ", expected ";
    const char *expected = strstr(error->text, expects);
    expected = expected ? expected + strlen(expects) : "";
    if (!strcmp(expected, "a number"))
        return error_set(err, STATUS_INVALID, message(MESSAGE_OPTION_NOT_NUMBER), name, text);
    if (!strcmp(expected, "an integer"))
        return error_set(err, STATUS_INVALID, message(MESSAGE_OPTION_NOT_INTEGER), name, text);
    double low, high;
    int used = 0;
    if (sscanf(expected, "%lg to %lg%n", &low, &high, &used) == 2 && !expected[used]) {
        char from[32], until[32];
        snprintf(from, sizeof from, "%g", low);
        snprintf(until, sizeof until, "%g", high);
        return error_set(err, STATUS_INVALID, message(MESSAGE_OPTION_RANGE), name, from, until,
                         text);
    }
    const char *said = strstr(error->text, ": "); /* behind the parameter's own name */
    return error_set(err, (status)code, "--%s: %s", name, said ? said + 2 : error->text);
}

/* Checks the text at once, so that a mistake is told before a model is loaded. */
static status take_setting(void *value, const char *name, const char *text, struct error *err)
{
    struct session_settings *settings = value;
    struct twllm_error error = {0};
    if (settings->count == SESSION_SETTINGS)
        return error_set(err, STATUS_LIMIT, "--%s: more than %d sampling options", name,
                         SESSION_SETTINGS);
    int result = TWLLM_OK;
    if (!settings->checked) result = twllm_params_create(&settings->checked, NULL, &error);
    if (result == TWLLM_OK) result = twllm_params_set(settings->checked, name, text, &error);
    if (result != TWLLM_OK) return tell_refused(name, text, &error, result, err);
    settings->names[settings->count] = name;
    settings->texts[settings->count++] = text;
    return STATUS_OK;
}

void session_settings_deinit(struct session_settings *settings)
{
    twllm_params_destroy(settings->checked);
    settings->checked = NULL;
}

#define SETTING(name_, placeholder_, fallback_, help_)                                             \
    {                                                                                              \
        .name = name_, .type = ARGUMENT_HANDLED, .value = settings, .placeholder = placeholder_,   \
        .fallback = fallback_, .help = MESSAGE_OPTION_##help_, .handle = take_setting              \
    }
#define SETTING_FLAG(name_, help_)                                                                 \
    {                                                                                              \
        .name = name_, .type = ARGUMENT_FLAG, .value = settings, .help = MESSAGE_OPTION_##help_,   \
        .handle = take_setting                                                                     \
    }

void session_sampling_groups(struct session_settings *settings,
                             struct session_sampling_arguments *out, const char *default_max_tokens,
                             struct argument_group *groups)
{
    const struct session_sampling_arguments arguments = {
        .sampling =
            {
                SETTING("temperature", "X", NULL, TEMPERATURE),
                SETTING("top-p", "X", NULL, TOP_P),
                SETTING("top-k", "N", NULL, TOP_K),
                SETTING("min-p", "X", "0", MIN_P),
                SETTING("typical-p", "X", "1", TYPICAL_P),
                SETTING("repetition-penalty", "X", "1", REPETITION_PENALTY),
                SETTING("frequency-penalty", "X", "0", FREQUENCY_PENALTY),
                SETTING("presence-penalty", "X", "0", PRESENCE_PENALTY),
                SETTING("no-repeat-ngram-size", "N", "0", NO_REPEAT_NGRAM),
                SETTING("dry-multiplier", "X", "0", DRY_MULTIPLIER),
                SETTING("dry-base", "X", "1.75", DRY_BASE),
                SETTING("dry-allowed-length", "N", "2", DRY_ALLOWED_LENGTH),
                SETTING("dry-penalty-last-n", "N", "-1", DRY_PENALTY_LAST_N),
                SETTING("dry-sequence-breakers", "TEXT", NULL, DRY_BREAKERS),
                SETTING("xtc-probability", "X", "0", XTC_PROBABILITY),
                SETTING("xtc-threshold", "X", "0.1", XTC_THRESHOLD),
                SETTING("seed", "N", NULL, SEED),
                SETTING("logit-bias", "ID=X", NULL, LOGIT_BIAS),
                SETTING("script", "hant|any", "any", SCRIPT),
            },
        .stopping =
            {
                SETTING("max-tokens", "N", default_max_tokens, MAX_TOKENS),
                SETTING("min-tokens", "N", "0", MIN_TOKENS),
                SETTING("stop", "TEXT", NULL, STOP),
                SETTING("stop-token-ids", "IDS", NULL, STOP_TOKEN_IDS),
                SETTING("stop-token-sequences", "IDS", NULL, STOP_TOKEN_SEQUENCES),
                SETTING_FLAG("include-stop-str-in-output", INCLUDE_STOP),
                SETTING_FLAG("ignore-eos", IGNORE_EOS),
                SETTING_FLAG("skip-special-tokens", KEEP_SPECIAL),
                SETTING("n", "N", "1", N),
                SETTING("logprobs", "N", NULL, LOGPROBS),
                SETTING("prompt-logprobs", "N", NULL, PROMPT_LOGPROBS),
            },
        .beams =
            {
                SETTING("num-beams", "N", "1", NUM_BEAMS),
                SETTING("length-penalty", "X", "1", LENGTH_PENALTY),
                SETTING("early-stopping", "true|false|never", "false", EARLY_STOPPING),
            },
    };
    *out = arguments;
    groups[0] =
        (struct argument_group){MESSAGE_GROUP_SAMPLING, out->sampling, SESSION_SAMPLING_ARGUMENTS};
    groups[1] =
        (struct argument_group){MESSAGE_GROUP_STOPPING, out->stopping, SESSION_STOPPING_ARGUMENTS};
    groups[2] = (struct argument_group){MESSAGE_GROUP_BEAMS, out->beams, SESSION_BEAM_ARGUMENTS};
}
