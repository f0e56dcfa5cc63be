/* twllm quantize: a GGUF file of fewer bits. */
#include "cmd/conversion.h"

static const char examples[] =
    "twllm quantize ./my-model my-model-q4.gguf Q4_K_M\n"
    "twllm imatrix -m ./my-model -f story.txt my-model.imatrix\n"
    "twllm quantize ./my-model my-model-iq4.gguf IQ4_XS --imatrix my-model.imatrix\n"
    "twllm quantize ./my-model small.gguf Q4_0 --pure --output-tensor-type Q6_K\n";

static status run(struct conversion *c, const char *imatrix, const struct arguments *parsed,
                  const struct environment *environment, struct error *err)
{
    static const char *const names[] = {"MODEL", "OUTPUT", "TYPE"};
    if (parsed->n_positionals < 3)
        return error_set(err, STATUS_INVALID, message(MESSAGE_ARGUMENT_MISSING),
                         names[parsed->n_positionals], "quantize");
    c->model = parsed->positionals[0];
    c->output = parsed->positionals[1];
    c->mix = quant_mix_from_name(str_of(parsed->positionals[2]));
    if (c->mix == QUANT_MIX_NONE)
        return error_set(err, STATUS_INVALID, message(MESSAGE_QUANTIZE_TYPE_UNKNOWN),
                         parsed->positionals[2], quant_mix_names());
    if (!str_ends_with(str_of(c->output), STR(".gguf")))
        return error_set(err, STATUS_INVALID, message(MESSAGE_CONVERT_NOT_NAMED), c->output);
    struct importance weights = {0};
    if (imatrix) {
        TRY(importance_read(&weights, imatrix, err));
        c->weights = &weights;
    }
    status result = conversion_run(c, environment, err);
    importance_deinit(&weights);
    return result;
}

status command_quantize(int argc, char *const *argv, const struct environment *environment,
                        struct error *err)
{
    struct conversion c = {0};
    const char *imatrix = NULL;
    struct argument shared[CONVERSION_ARGUMENTS];
    const struct argument arguments[] = {
        {.name = "imatrix",
         .type = ARGUMENT_TEXT,
         .value = &imatrix,
         .placeholder = "FILE",
         .help = MESSAGE_OPTION_IMATRIX},
        {.name = "pure", .type = ARGUMENT_FLAG, .value = &c.pure, .help = MESSAGE_OPTION_PURE},
        {.name = "output-tensor-type",
         .type = ARGUMENT_TEXT,
         .value = &c.output_type,
         .placeholder = "TYPE",
         .help = MESSAGE_OPTION_OUTPUT_TYPE},
        {.name = "token-embedding-type",
         .type = ARGUMENT_TEXT,
         .value = &c.embedding_type,
         .placeholder = "TYPE",
         .help = MESSAGE_OPTION_EMBEDDING_TYPE},
    };
    conversion_arguments(&c, shared);
    const struct command command = {
        .name = "quantize",
        .usage = "MODEL OUTPUT TYPE",
        .summary = MESSAGE_QUANTIZE_SUMMARY,
        .details = MESSAGE_QUANTIZE_DETAILS,
        .examples = examples,
        .groups = {{MESSAGE_GROUP_OPTIONS, arguments, sizeof arguments / sizeof *arguments},
                   {MESSAGE_GROUP_CONVERT, shared, CONVERSION_ARGUMENTS}},
        .max_positionals = 3,
    };
    struct arguments parsed;
    bool done;
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    if (result == STATUS_OK && !done) result = run(&c, imatrix, &parsed, environment, err);
    arguments_deinit(&parsed);
    return result;
}
