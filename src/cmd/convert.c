/* twllm convert: a model's files in the other format, or in another type. */
#include <string.h>

#include "cmd/conversion.h"

static const char examples[] =
    "twllm convert yentinglin/Llama-3-Taiwan-8B-Instruct taiwan.gguf\n"
    "twllm convert taiwan.gguf ./taiwan --type BF16 --split-max-size 5G\n"
    "twllm convert taiwan.gguf taiwan-f16.gguf --type F16\n";

static status choose_format(struct conversion *c, const char *format, struct error *err)
{
    bool named = str_ends_with(str_of(c->output), STR(".gguf"));
    c->to_safetensors = format ? !strcmp(format, "safetensors") : !named;
    if (named || c->to_safetensors) return STATUS_OK;
    return error_set(err, STATUS_INVALID, message(MESSAGE_CONVERT_NOT_NAMED), c->output);
}

static status run(struct conversion *c, const char *format, const char *type,
                  const struct arguments *parsed, const struct environment *environment,
                  struct error *err)
{
    if (parsed->n_positionals < 2)
        return error_set(err, STATUS_INVALID, message(MESSAGE_ARGUMENT_MISSING),
                         parsed->n_positionals ? "OUTPUT" : "MODEL", "convert");
    c->model = parsed->positionals[0];
    c->output = parsed->positionals[1];
    TRY(choose_format(c, format, err));
    if (type && strcmp(type, "auto") != 0) c->mix = quant_mix_from_name(str_of(type));
    return conversion_run(c, environment, err);
}

status command_convert(int argc, char *const *argv, const struct environment *environment,
                       struct error *err)
{
    struct conversion c = {0};
    const char *format = NULL, *type = NULL;
    struct argument shared[CONVERSION_ARGUMENTS];
    const struct argument arguments[] = {
        {.name = "format",
         .type = ARGUMENT_CHOICE,
         .value = &format,
         .placeholder = "FORMAT",
         .choices = "gguf|safetensors",
         .help = MESSAGE_OPTION_CONVERT_FORMAT},
        {.name = "type",
         .type = ARGUMENT_CHOICE,
         .value = &type,
         .placeholder = "TYPE",
         .choices = "auto|F32|F16|BF16|Q8_0",
         .fallback = "auto",
         .help = MESSAGE_OPTION_CONVERT_TYPE},
    };
    conversion_arguments(&c, shared);
    const struct command command = {
        .name = "convert",
        .usage = "MODEL OUTPUT",
        .summary = MESSAGE_CONVERT_SUMMARY,
        .details = MESSAGE_CONVERT_DETAILS,
        .examples = examples,
        .groups = {{MESSAGE_GROUP_OPTIONS, arguments, sizeof arguments / sizeof *arguments},
                   {MESSAGE_GROUP_CONVERT, shared, CONVERSION_ARGUMENTS}},
        .max_positionals = 2,
    };
    struct arguments parsed;
    bool done;
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    if (result == STATUS_OK && !done) result = run(&c, format, type, &parsed, environment, err);
    arguments_deinit(&parsed);
    return result;
}
