#include "cmd/conversion.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cmd/output.h"
#include "cmd/progress.h"
#include "data/json.h"

void conversion_arguments(struct conversion *c, struct argument out[CONVERSION_ARGUMENTS])
{
    const struct argument arguments[CONVERSION_ARGUMENTS] = {
        {.name = "split-max-size",
         .type = ARGUMENT_BYTES,
         .value = &c->split_bytes,
         .placeholder = "SIZE",
         .help = MESSAGE_OPTION_SPLIT},
        {.name = "allow-requantize",
         .type = ARGUMENT_FLAG,
         .value = &c->allow_requantize,
         .help = MESSAGE_OPTION_REQUANTIZE},
        {.name = "overwrite",
         .type = ARGUMENT_FLAG,
         .value = &c->overwrite,
         .help = MESSAGE_OPTION_CONVERT_OVERWRITE},
        {.name = "threads",
         .letter = 't',
         .type = ARGUMENT_INTEGER,
         .value = &c->threads,
         .placeholder = "N",
         .low = 1,
         .high = 1024,
         .help = MESSAGE_OPTION_THREADS},
        {.name = "json", .type = ARGUMENT_FLAG, .value = &c->json, .help = MESSAGE_OPTION_JSON},
    };
    memcpy(out, arguments, sizeof arguments);
}

struct hub_cache_options conversion_hub(const struct environment *environment)
{
    return (struct hub_cache_options){.hf_hub_cache = environment->hf_hub_cache,
                                      .hf_home = environment->hf_home,
                                      .xdg_cache_home = environment->xdg_cache_home,
                                      .home = environment->home};
}

struct display {
    struct progress bar;
    enum convert_phase phase;
    const char *term;
    bool begun;
};

static bool show(void *argument, enum convert_phase phase, uint64_t done, uint64_t total)
{
    static const enum message labels[] = {MESSAGE_PROGRESS_CONVERTING, MESSAGE_PROGRESS_VERIFY};
    struct display *display = argument;
    if (!display->begun || display->phase != phase) {
        if (display->begun) progress_end(&display->bar);
        progress_begin(&display->bar, STDERR_FILENO, display->term, message(labels[phase]), total,
                       true);
        display->begun = true;
        display->phase = phase;
    }
    progress_update(&display->bar, done);
    return true;
}

static status type_of(const char *option, const char *name, enum dtype *out, struct error *err)
{
    *out = DTYPE_NONE;
    if (!name) return STATUS_OK;
    enum quant_mix mix = quant_mix_from_name(str_of(name));
    if (mix != QUANT_MIX_NONE) *out = quant_mix_base(mix);
    if (*out != DTYPE_NONE) return STATUS_OK;
    return error_set(err, STATUS_INVALID, message(MESSAGE_OPTION_CHOICE), option, quant_mix_names(),
                     name);
}

static status check_output(const struct conversion *c, struct error *err)
{
    struct strbuf path = {0};
    bool exists = file_exists(c->output);
    if (c->to_safetensors && file_join(&path, str_of(c->output), STR("config.json")) == STATUS_OK)
        exists = exists || file_exists(path.data);
    strbuf_deinit(&path);
    bool folder = file_is_directory(c->output);
    if (folder && !c->to_safetensors)
        return error_set(err, STATUS_INVALID, message(MESSAGE_CONVERT_IS_FOLDER), c->output);
    if (file_exists(c->output) && c->to_safetensors)
        return error_set(err, STATUS_INVALID, message(MESSAGE_CONVERT_IS_FILE), c->output);
    if (exists && !c->overwrite)
        return error_set(err, STATUS_INVALID, message(MESSAGE_CONVERT_EXISTS), c->output);
    return STATUS_OK;
}

static status report_text(const struct conversion *c, const struct convert_report *r,
                          struct error *err)
{
    TRY(output_printf(err, message(MESSAGE_CONVERT_DONE), c->output, (double)r->bytes / 1e6,
                      r->n_tensors, r->n_files, r->bits_per_weight));
    if (r->error > 0) TRY(output_printf(err, message(MESSAGE_CONVERT_ERROR), r->error));
    if (r->resumed_bytes)
        TRY(output_printf(err, message(MESSAGE_CONVERT_RESUMED), (double)r->resumed_bytes / 1e6));
    if (r->n_without_importance)
        TRY(output_printf(err, message(MESSAGE_CONVERT_NO_IMPORTANCE), r->n_without_importance));
    return STATUS_OK;
}

static status report_json(const struct conversion *c, const struct convert_report *r,
                          struct error *err)
{
    struct strbuf out = {0};
    status result = strbuf_append_c(&out, "{\"output\":");
    if (result == STATUS_OK) result = json_write_string(&out, str_of(c->output), false);
    if (result == STATUS_OK)
        result = strbuf_appendf(
            &out,
            ",\"bytes\":%" PRIu64 ",\"files\":%zu,\"tensors\":%zu,"
            "\"n_parameters\":%" PRId64 ",\"bits_per_weight\":%.4f,\"relative_error\":%.8g,"
            "\"resumed_bytes\":%" PRIu64 ",\"without_importance\":%zu}\n",
            r->bytes, r->n_files, r->n_tensors, r->n_parameters, r->bits_per_weight, r->error,
            r->resumed_bytes, r->n_without_importance);
    if (result == STATUS_OK) result = output_write(strbuf_view(&out), err);
    strbuf_deinit(&out);
    return result;
}

static status convert(const struct conversion *c, struct convert_options *options,
                      const struct environment *environment, struct convert_report *report,
                      struct error *err)
{
    struct checkpoint *checkpoint;
    struct display display = {.term = environment->term};
    const struct checkpoint_options open = {.hub = conversion_hub(environment)};
    TRY(checkpoint_open(&checkpoint, c->model, &open, err));
    options->progress = show;
    options->argument = &display;
    status result = thread_pool_create(&options->threads, (int)c->threads, err);
    if (result == STATUS_OK) result = convert_run(checkpoint, c->output, options, report, err);
    if (display.begun) progress_end(&display.bar);
    thread_pool_destroy(options->threads);
    checkpoint_close(checkpoint);
    return result;
}

status conversion_run(const struct conversion *c, const struct environment *environment,
                      struct error *err)
{
    struct convert_report report;
    struct convert_options options = {
        .to_safetensors = c->to_safetensors,
        .types = {.mix = c->mix, .pure = c->pure, .with_importance = c->weights != NULL},
        .allow_requantize = c->allow_requantize,
        .split_bytes = (uint64_t)c->split_bytes,
        .weights = c->weights,
    };
    TRY(type_of("output-tensor-type", c->output_type, &options.types.output, err));
    TRY(type_of("token-embedding-type", c->embedding_type, &options.types.embeddings, err));
    TRY(check_output(c, err));
    TRY(convert(c, &options, environment, &report, err));
    return c->json ? report_json(c, &report, err) : report_text(c, &report, err);
}
