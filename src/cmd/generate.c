/* twllm generate: continues one prompt, or answers a file of them. */
#define _GNU_SOURCE
#include "cmd/generate.h"

#include <unistd.h>

#include "api/params.h"
#include "cmd/conversation.h"
#include "cmd/generation.h"
#include "cmd/input.h"
#include "cmd/output.h"
#include "cmd/terminal.h"

static const char examples[] =
    "twllm generate '臺灣最高的山是' --max-tokens 32\n"
    "twllm generate --chat '用一句話介紹臺南' --temperature 0 --json\n"
    "twllm generate --input prompts.jsonl --output answers.jsonl --max-tokens 128\n"
    "# prompts.jsonl: "
    "{\"id\":1,\"messages\":[{\"role\":\"user\",\"content\":\"你好\"}],\"top_p\":0.9}\n";

status generate_encode(const struct session *session, const struct generate_options *options,
                       struct str prompt, int32_t **ids, size_t *n_ids, struct error *err)
{
    struct twllm_error error = {0};
    bool special = options->special && !strcmp(options->special, "parse");
    int flags = TWLLM_ENCODE_BOS | (special ? TWLLM_ENCODE_SPECIAL : 0);
    if (!options->chat)
        return session_result(
            twllm_encode(session->model, prompt.data, prompt.size, flags, ids, n_ids, &error),
            &error, err);
    struct conversation conversation = {0};
    struct strbuf messages = {0};
    char *text = NULL;
    size_t size = 0;
    status result = STATUS_OK;
    const char *system = options->system ? options->system : session->config_system;
    if (system) result = conversation_set_system(&conversation, str_of(system));
    if (result == STATUS_OK) result = conversation_add(&conversation, "user", prompt);
    if (result == STATUS_OK) result = conversation_write(&conversation, true, &messages);
    if (result == STATUS_OK)
        result = session_result(
            twllm_render_chat(session->model, messages.data, messages.size, &text, &size, &error),
            &error, err);
    if (result == STATUS_OK)
        result = session_result(
            twllm_encode(session->model, text, size, TWLLM_ENCODE_SPECIAL, ids, n_ids, &error),
            &error, err);
    twllm_free(text);
    strbuf_deinit(&messages);
    conversation_deinit(&conversation);
    return result;
}

struct single {
    const struct twllm_model *model;
    struct generation generation;
    bool streams;
    status result;
    struct error *err;
};

static void take_output(void *argument, const struct twllm_output *output)
{
    struct single *single = argument;
    if (single->result != STATUS_OK) return;
    single->result = generation_take(&single->generation, single->model, output);
    if (single->result != STATUS_OK || !single->streams || !output->text_size) return;
    single->result = output_write((struct str){output->text, output->text_size}, single->err);
    if (single->result == STATUS_OK) single->result = output_flush(single->err);
}

static status print(const struct single *single, bool json, struct error *err)
{
    const struct generation *generation = &single->generation;
    if (json) {
        struct strbuf out = {0};
        status result = generation_write(generation, (struct str){"", 0}, &out);
        if (result == STATUS_OK) result = strbuf_append_c(&out, "\n");
        if (result == STATUS_OK) result = output_write(strbuf_view(&out), err);
        strbuf_deinit(&out);
        return result;
    }
    for (size_t i = 0; i < generation->n_completions; i++) {
        if (!single->streams) TRY(output_write(strbuf_view(&generation->completions[i].text), err));
        TRY(output_write(STR("\n"), err));
    }
    return STATUS_OK;
}

static status generate_single(struct session *session, const struct generate_options *options,
                              struct str prompt, struct error *err)
{
    struct twllm_error error = {0};
    const struct sampling_params *params = &session->params->values;
    struct single single = {.model = session->model,
                            .streams = !options->json && params->n == 1 && params->num_beams == 1,
                            .err = err};
    int32_t *ids = NULL;
    size_t n_ids = 0;
    int more = 1;
    bool cancelled = false;
    uint64_t id = 0;
    status result = generation_init(&single.generation, (size_t)params->n);
    if (result == STATUS_OK) result = generate_encode(session, options, prompt, &ids, &n_ids, err);
    if (result == STATUS_OK)
        result = session_result(
            twllm_submit(session->engine, ids, n_ids, session->params, NULL, &id, &error), &error,
            err);
    if (result == STATUS_OK && options->echo && !options->json) result = output_write(prompt, err);
    terminal_catch_signals();
    while (result == STATUS_OK && more) {
        if (!cancelled && (single.result != STATUS_OK || terminal_take_interrupt())) {
            twllm_cancel(session->engine, id);
            cancelled = true;
        }
        result = session_result(twllm_step(session->engine, take_output, &single, &more, &error),
                                &error, err);
    }
    if (result == STATUS_OK) result = single.result;
    if (result == STATUS_OK && single.generation.failed)
        result = error_set(err, STATUS_INTERNAL, "%s", strbuf_view(&single.generation.error).data);
    if (result == STATUS_OK) result = print(&single, options->json, err);
    if (result == STATUS_OK && cancelled)
        result = error_set(err, STATUS_CANCELLED, "%s", message(MESSAGE_CHAT_STOPPED));
    twllm_free(ids);
    generation_clear(&single.generation);
    return result;
}

enum { BATCH_SEQUENCES = 64 };

static status run(struct session *session, const struct generate_options *options,
                  const struct session_settings *settings, const struct environment *environment,
                  struct error *err)
{
    struct strbuf prompt = {0};
    status result = STATUS_OK;
    if (!options->input && !strcmp(options->prompt, "-"))
        result = input_read_all(&prompt, err);
    else if (!options->input)
        result = strbuf_append_c(&prompt, options->prompt);
    if (result == STATUS_OK) result = session_read_config(session, environment, err);
    if (result == STATUS_OK)
        result = session_open_model(session, &options->session, environment, false, err);
    if (result == STATUS_OK) result = session_make_params(session, settings, "256", err);
    if (result == STATUS_OK) {
        /* As many sequences as are wanted, so that the plan is not larger than the work. */
        const struct sampling_params *params = &session->params->values;
        int32_t single = params->n > params->num_beams ? params->n : params->num_beams;
        struct session_options engine = options->session;
        if (!engine.max_num_seqs) engine.max_num_seqs = options->input ? BATCH_SEQUENCES : single;
        result = session_make_engine(session, &engine, err);
    }
    if (result == STATUS_OK)
        result = options->input ? generate_batch(session, options, environment, err)
                                : generate_single(session, options, strbuf_view(&prompt), err);
    strbuf_deinit(&prompt);
    return result;
}

static status check_options(const struct generate_options *options, struct error *err)
{
    if (!options->input && !options->prompt)
        return error_set(err, STATUS_INVALID, "%s", message(MESSAGE_GENERATE_NEEDS_PROMPT));
    if (options->input && options->prompt)
        return error_set(err, STATUS_INVALID, message(MESSAGE_OPTIONS_EXCLUDE), "input", "prompt");
    if (options->output && !options->input)
        return error_set(err, STATUS_INVALID, message(MESSAGE_OPTION_NEEDS_OTHER), "output",
                         "input");
    if (options->resume && !options->output)
        return error_set(err, STATUS_INVALID, message(MESSAGE_OPTION_NEEDS_OTHER), "resume",
                         "output");
    return STATUS_OK;
}

status command_generate(int argc, char *const *argv, const struct environment *environment,
                        struct error *err)
{
    struct generate_options options = {0};
    struct session_settings settings = {0};
    struct session_sampling_arguments sampling;
    struct argument engine[SESSION_ENGINE_ARGUMENTS];
    const struct argument arguments[] = {
        session_model_argument(&options.session),
        {.name = "prompt",
         .letter = 'p',
         .type = ARGUMENT_TEXT,
         .value = &options.prompt,
         .help = MESSAGE_OPTION_GENERATE_PROMPT},
        {.name = "chat",
         .type = ARGUMENT_FLAG,
         .value = &options.chat,
         .help = MESSAGE_OPTION_CHAT_PROMPT},
        {.name = "system",
         .letter = 's',
         .type = ARGUMENT_TEXT,
         .value = &options.system,
         .help = MESSAGE_OPTION_SYSTEM},
        {.name = "special",
         .type = ARGUMENT_CHOICE,
         .value = &options.special,
         .placeholder = "HOW",
         .choices = "text|parse",
         .fallback = "text",
         .help = MESSAGE_OPTION_SPECIAL},
        {.name = "input",
         .letter = 'i',
         .type = ARGUMENT_TEXT,
         .value = &options.input,
         .placeholder = "FILE",
         .help = MESSAGE_OPTION_INPUT},
        {.name = "output",
         .letter = 'o',
         .type = ARGUMENT_TEXT,
         .value = &options.output,
         .placeholder = "FILE",
         .fallback = "-",
         .help = MESSAGE_OPTION_OUTPUT},
        {.name = "resume",
         .type = ARGUMENT_FLAG,
         .value = &options.resume,
         .help = MESSAGE_OPTION_RESUME},
        {.name = "echo",
         .type = ARGUMENT_FLAG,
         .value = &options.echo,
         .help = MESSAGE_OPTION_ECHO},
        {.name = "json",
         .type = ARGUMENT_FLAG,
         .value = &options.json,
         .help = MESSAGE_OPTION_JSON},
    };
    struct command command = {
        .name = "generate",
        .usage = "[PROMPT]",
        .summary = MESSAGE_GENERATE_SUMMARY,
        .details = MESSAGE_GENERATE_DETAILS,
        .examples = examples,
        .groups = {{MESSAGE_GROUP_OPTIONS, arguments, sizeof arguments / sizeof *arguments},
                   session_engine_group(&options.session, engine)},
        .max_positionals = 1,
    };
    session_sampling_groups(&settings, &sampling, "256", command.groups + 2);
    struct arguments parsed;
    struct session session = {0};
    bool done;
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    if (result == STATUS_OK && !done) {
        if (parsed.n_positionals) options.prompt = parsed.positionals[0];
        result = check_options(&options, err);
        if (result == STATUS_OK) result = run(&session, &options, &settings, environment, err);
    }
    session_close(&session);
    session_settings_deinit(&settings);
    arguments_deinit(&parsed);
    return result;
}
