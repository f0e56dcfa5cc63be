/* twllm imatrix: the importance of each matrix's inputs, measured on a text, for quantize. */
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "cmd/measure.h"
#include "cmd/output.h"
#include "cmd/progress.h"
#include "cmd/terminal.h"
#include "eval/activations.h"

static const char examples[] =
    "twllm imatrix -m ./my-model -f story.txt my-model.imatrix\n"
    "twllm imatrix -m ./my-model -f story.txt --chunks 1 --ctx-size 256 quick.imatrix\n"
    "twllm quantize ./my-model my-model-q4.gguf Q4_K_M --imatrix my-model.imatrix\n";

static bool show(void *argument, int64_t done, int64_t total)
{
    struct progress *bar = argument;
    bar->total = (uint64_t)total;
    progress_update(bar, (uint64_t)done);
    return !terminal_take_interrupt();
}

static status write_file(const struct importance *found, const char *path, struct error *err)
{
    struct strbuf bytes = {0};
    status result = importance_write(found, &bytes, err);
    if (result == STATUS_OK) result = file_write_atomic(path, strbuf_view(&bytes), err);
    strbuf_deinit(&bytes);
    return result;
}

static status measure_all(struct measure *m, const struct measure_options *o, const char *path,
                          const struct environment *environment, struct error *err)
{
    struct progress bar;
    struct importance found;
    const struct activations_options options = {
        .model = model_llama(m->session.model),
        .table = &m->table,
        .threads = m->threads,
        .tokens = m->tokens.ids,
        .n_tokens = m->tokens.count,
        .bos = m->bos,
        .n_ctx = o->ctx_size ? o->ctx_size : 512,
        .max_chunks = o->chunks,
        .progress = show,
        .argument = &bar,
    };
    progress_begin(&bar, STDERR_FILENO, environment->term, message(MESSAGE_PROGRESS_MEASURING), 0,
                   false);
    terminal_catch_signals();
    status result = activations_measure(&options, &found, err);
    progress_end(&bar);
    TRY(result);
    found.dataset = strdup(o->file);
    result = write_file(&found, path, err);
    if (result == STATUS_OK)
        result = o->json
                     ? output_printf(err, "{\"matrices\":%zu,\"chunks\":%u,\"chunk_tokens\":%u}\n",
                                     found.n_entries, found.n_chunks, found.chunk_tokens)
                     : output_printf(err, message(MESSAGE_IMATRIX_DONE), path, found.n_entries,
                                     found.n_chunks, found.chunk_tokens);
    importance_deinit(&found);
    return result;
}

status command_imatrix(int argc, char *const *argv, const struct environment *environment,
                       struct error *err)
{
    struct measure_options o = {0};
    struct argument shared[MEASURE_ARGUMENTS];
    measure_arguments(&o, shared);
    const struct command command = {
        .name = "imatrix",
        .usage = "OUTPUT",
        .summary = MESSAGE_IMATRIX_SUMMARY,
        .details = MESSAGE_IMATRIX_DETAILS,
        .examples = examples,
        .groups = {{MESSAGE_GROUP_OPTIONS, shared, MEASURE_ARGUMENTS}},
        .max_positionals = 1,
    };
    struct arguments parsed;
    struct measure measure = {0};
    bool done;
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    if (result == STATUS_OK && !done && parsed.n_positionals < 1)
        result =
            error_set(err, STATUS_INVALID, message(MESSAGE_ARGUMENT_MISSING), "OUTPUT", "imatrix");
    if (result == STATUS_OK && !done) {
        result = measure_open(&measure, &o, environment, true, err);
        if (result == STATUS_OK)
            result = measure_all(&measure, &o, parsed.positionals[0], environment, err);
        measure_close(&measure);
    }
    arguments_deinit(&parsed);
    return result;
}
