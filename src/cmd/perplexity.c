/* twllm perplexity: how well a model predicts a text, and how far it is from another. */
#include <inttypes.h>
#include <math.h>
#include <unistd.h>

#include "cmd/measure.h"
#include "cmd/output.h"
#include "cmd/progress.h"
#include "cmd/terminal.h"
#include "eval/perplexity.h"

static const char examples[] =
    "twllm perplexity -m ./my-model -f story.txt\n"
    "# the original's log-probabilities, then what quantising changed\n"
    "twllm perplexity -m ./my-model -f story.txt --kl-divergence-base my-model.logits\n"
    "twllm quantize ./my-model my-model-q4.gguf Q4_K_M\n"
    "twllm perplexity -m my-model-q4.gguf --kl-divergence-base my-model.logits --kl-divergence\n";

struct options {
    struct measure_options measure;
    const char *base, *kv_cache_dtype;
    bool compares;
};

struct display {
    struct progress bar;
};

static bool show(void *argument, int64_t done, int64_t total, double perplexity)
{
    (void)total, (void)perplexity;
    struct display *display = argument;
    progress_update(&display->bar, (uint64_t)done);
    return !terminal_take_interrupt();
}

static status print_text(const struct options *o, const struct perplexity_result *r,
                         struct error *err)
{
    TRY(output_printf(err, "Final estimate: PPL = %.4f +/- %.5f\n", r->ppl.value, r->ppl.error));
    if (!o->compares) return STATUS_OK;
    TRY(output_printf(err, "PPL(base)          = %.4f +/- %.5f\n", r->base_ppl.value,
                      r->base_ppl.error));
    TRY(output_printf(err, "ln(PPL/PPL(base))  = %.6f +/- %.6f\n", r->log_ratio.value,
                      r->log_ratio.error));
    TRY(output_printf(err, "Mean KLD           = %.6f +/- %.6f\n", r->kl.value, r->kl.error));
    TRY(output_printf(err, "Median KLD         = %.6f\n99%% KLD            = %.6f\n", r->kl_median,
                      r->kl_p99));
    TRY(output_printf(err, "Maximum KLD        = %.6f\nRMS dp             = %.3f %%\n", r->kl_most,
                      100 * r->rms_difference));
    return output_printf(err, "Same top p         = %.3f +/- %.3f %%\n", 100 * r->same_top.value,
                         100 * r->same_top.error);
}

static status print_json(const struct options *o, const struct perplexity_result *r,
                         struct error *err)
{
    TRY(output_printf(err,
                      "{\"chunks\":%" PRId64 ",\"ctx_size\":%" PRId64 ",\"tokens\":%" PRId64
                      ",\"ppl\":%.9g,\"ppl_error\":%.9g",
                      r->n_chunks, r->n_ctx, r->n_counted, r->ppl.value, r->ppl.error));
    if (o->compares)
        TRY(output_printf(
            err,
            ",\"base_ppl\":%.9g,\"log_ratio\":%.9g,\"log_ratio_error\":%.9g,\"kl\":%.9g,"
            "\"kl_error\":%.9g,\"kl_median\":%.9g,\"kl_p99\":%.9g,\"kl_max\":%.9g,"
            "\"rms_dp\":%.9g,\"same_top\":%.9g",
            r->base_ppl.value, r->log_ratio.value, r->log_ratio.error, r->kl.value, r->kl.error,
            r->kl_median, r->kl_p99, r->kl_most, r->rms_difference, r->same_top.value));
    return output_printf(err, "}\n");
}

static status measure_all(struct measure *m, const struct options *o,
                          const struct environment *environment, struct error *err)
{
    struct display display;
    struct perplexity_result result;
    int64_t n_ctx = o->measure.ctx_size ? o->measure.ctx_size : 512;
    const struct perplexity_options options = {
        .model = model_llama(m->session.model),
        .table = &m->table,
        .threads = m->threads,
        .kv_dtype = o->kv_cache_dtype && !strcmp(o->kv_cache_dtype, "f32") ? DTYPE_F32 : DTYPE_F16,
        .tokens = m->tokens.ids,
        .n_tokens = m->tokens.count,
        .bos = m->bos,
        .n_ctx = n_ctx,
        .max_chunks = o->measure.chunks,
        .write_base = o->compares ? NULL : o->base,
        .read_base = o->compares ? o->base : NULL,
        .progress = show,
        .argument = &display,
    };
    int64_t total = (int64_t)m->tokens.count / n_ctx;
    if (o->measure.chunks && (total == 0 || o->measure.chunks < total)) total = o->measure.chunks;
    progress_begin(&display.bar, STDERR_FILENO, environment->term,
                   message(MESSAGE_PROGRESS_MEASURING), (uint64_t)total, false);
    terminal_catch_signals();
    status code = perplexity_run(&options, &result, err);
    progress_end(&display.bar);
    TRY(code);
    return o->measure.json ? print_json(o, &result, err) : print_text(o, &result, err);
}

status command_perplexity(int argc, char *const *argv, const struct environment *environment,
                          struct error *err)
{
    struct options o = {0};
    struct argument shared[MEASURE_ARGUMENTS];
    const struct argument arguments[] = {
        {.name = "kl-divergence-base",
         .type = ARGUMENT_TEXT,
         .value = &o.base,
         .placeholder = "FILE",
         .help = MESSAGE_OPTION_KL_BASE},
        {.name = "kl-divergence",
         .type = ARGUMENT_FLAG,
         .value = &o.compares,
         .help = MESSAGE_OPTION_KL},
        {.name = "kv-cache-dtype",
         .type = ARGUMENT_CHOICE,
         .value = &o.kv_cache_dtype,
         .placeholder = "TYPE",
         .choices = "f32|f16",
         .fallback = "f16",
         .help = MESSAGE_OPTION_KV_CACHE_DTYPE},
    };
    measure_arguments(&o.measure, shared);
    const struct command command = {
        .name = "perplexity",
        .usage = "",
        .summary = MESSAGE_PERPLEXITY_SUMMARY,
        .details = MESSAGE_PERPLEXITY_DETAILS,
        .examples = examples,
        .groups = {{MESSAGE_GROUP_OPTIONS, shared, MEASURE_ARGUMENTS},
                   {MESSAGE_GROUP_COMPARE, arguments, sizeof arguments / sizeof *arguments}},
    };
    struct arguments parsed;
    struct measure measure = {0};
    bool done;
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    if (result == STATUS_OK && !done && o.compares && !o.base)
        result = error_set(err, STATUS_INVALID, message(MESSAGE_OPTION_NEEDS_OTHER),
                           "kl-divergence", "kl-divergence-base");
    if (result == STATUS_OK && !done) {
        result = measure_open(&measure, &o.measure, environment, !o.compares, err);
        if (result == STATUS_OK) result = measure_all(&measure, &o, environment, err);
        measure_close(&measure);
    }
    arguments_deinit(&parsed);
    return result;
}
