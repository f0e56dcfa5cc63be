/* twllm inspect: what a checkpoint holds, and the memory that running it would take. */
#include <stdio.h>
#include <unistd.h>

#include "api/api.h"
#include "cmd/inspect_report.h"
#include "cmd/output.h"
#include "cmd/progress.h"
#include "cmd/verify.h"

static const char examples[] =
    "twllm inspect\n"
    "twllm inspect ./my-model --max-model-len 8192 --max-num-seqs 4\n"
    "twllm inspect yentinglin/Llama-3-Taiwan-8B-Instruct --tensors --json\n"
    "twllm inspect ./my-model --verify\n";

struct inspect_options {
    struct session_options session;
    bool json, tensors, verify;
};

static status verify_all(const struct session *session, const struct inspect_options *options,
                         const struct environment *environment, int64_t *n_values,
                         struct error *err)
{
    const struct tensor_set *weights = model_weights(session->model);
    struct thread_pool *pool;
    struct progress progress;
    status result = STATUS_OK;
    uint64_t done = 0;
    TRY(thread_pool_create(&pool, (int)options->session.threads, err));
    progress_begin(&progress, STDERR_FILENO, environment->term, message(MESSAGE_PROGRESS_VERIFY),
                   weights->total_bytes, true);
    for (size_t i = 0; i < weights->n_entries && result == STATUS_OK; i++) {
        const struct tensor_entry *entry = tensor_set_at(weights, i);
        struct verify_counts found = verify_tensor(&entry->tensor, pool);
        if (found.first_bad >= 0)
            result = error_set(err, STATUS_FORMAT, message(MESSAGE_INSPECT_NOT_FINITE), entry->file,
                               entry->name.data, (long long)found.n_nan,
                               (long long)found.n_infinite, (long long)found.first_bad);
        *n_values += found.n_values;
        done += tensor_bytes(&entry->tensor);
        progress_update(&progress, done);
    }
    progress_end(&progress);
    thread_pool_destroy(pool);
    return result;
}

static status run(struct session *session, const struct inspect_options *options,
                  const struct environment *environment, struct error *err)
{
    struct inspect_report report = {.session = session, .with_tensors = options->tensors};
    struct twllm_engine_options engine;
    struct twllm_error error = {0};
    TRY(session_read_config(session, environment, err));
    TRY(session_open_model(session, &options->session, environment, false, err));
    session_engine_options(session, &options->session, &engine);
    TRY(session_result(twllm_plan_memory(session->model, &engine, &report.plan, &error), &error,
                       err));
    if (options->verify) {
        TRY(verify_all(session, options, environment, &report.n_verified, err));
        report.verified = true;
    }
    struct strbuf out = {0};
    status result =
        options->json ? inspect_report_json(&report, &out) : inspect_report_text(&report, &out);
    if (result == STATUS_OK) result = output_write(strbuf_view(&out), err);
    strbuf_deinit(&out);
    return result;
}

status command_inspect(int argc, char *const *argv, const struct environment *environment,
                       struct error *err)
{
    struct inspect_options options = {.session = {.leaves_weights = true}};
    struct argument engine[SESSION_ENGINE_ARGUMENTS];
    const struct argument arguments[] = {
        session_model_argument(&options.session),
        {.name = "tensors",
         .type = ARGUMENT_FLAG,
         .value = &options.tensors,
         .help = MESSAGE_OPTION_TENSORS},
        {.name = "verify",
         .type = ARGUMENT_FLAG,
         .value = &options.verify,
         .help = MESSAGE_OPTION_VERIFY},
        {.name = "json",
         .type = ARGUMENT_FLAG,
         .value = &options.json,
         .help = MESSAGE_OPTION_JSON},
    };
    const struct command command = {
        .name = "inspect",
        .usage = "[MODEL]",
        .summary = MESSAGE_INSPECT_SUMMARY,
        .details = MESSAGE_INSPECT_DETAILS,
        .examples = examples,
        .groups = {{MESSAGE_GROUP_OPTIONS, arguments, sizeof arguments / sizeof *arguments},
                   session_engine_group(&options.session, engine)},
        .max_positionals = 1,
    };
    struct arguments parsed;
    struct session session = {0};
    bool done;
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    if (result == STATUS_OK && !done) {
        if (parsed.n_positionals) options.session.model = parsed.positionals[0];
        result = run(&session, &options, environment, err);
    }
    session_close(&session);
    arguments_deinit(&parsed);
    return result;
}
