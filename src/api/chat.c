#include <stdlib.h>

#include "api/api.h"
#include "base/str.h"

struct answer {
    twllm_on_text *on_text;
    void *argument;
    struct strbuf text;
    bool wants_text, stopped, finished;
    status result;
    struct error err;
};

static void take_output(void *argument, const struct twllm_output *output)
{
    struct answer *answer = argument;
    if (output->index != 0) return;
    if (output->finish != TWLLM_RUNNING) answer->finished = true;
    if (output->finish == TWLLM_FINISH_ERROR)
        answer->result = error_set(&answer->err, STATUS_INTERNAL, "%s",
                                   output->error ? output->error : "the request failed");
    if (answer->stopped || output->text_size == 0) return;
    struct str piece = {output->text, output->text_size};
    if (answer->wants_text && strbuf_append(&answer->text, piece) != STATUS_OK)
        answer->result = error_set(&answer->err, STATUS_NO_MEMORY, "the answer's text: no memory");
    if (answer->on_text && answer->on_text(answer->argument, piece.data, piece.size) != 0)
        answer->stopped = true;
}

static int run(struct twllm_engine *engine, uint64_t id, struct answer *answer,
               struct twllm_error *error)
{
    int more = 1;
    bool cancelled = false;
    while (more) {
        int result = twllm_step(engine, take_output, answer, &more, error);
        if (result != TWLLM_OK) return result;
        if ((answer->stopped || answer->result != STATUS_OK) && !answer->finished && !cancelled) {
            twllm_cancel(engine, id);
            cancelled = true;
            more = 1;
        }
    }
    if (answer->result != STATUS_OK) return api_error(answer->result, &answer->err, error);
    if (!answer->stopped) return TWLLM_OK;
    return api_error(error_set(&answer->err, STATUS_CANCELLED, "stopped by the caller"),
                     &answer->err, error);
}

int twllm_chat(struct twllm_engine *engine, const char *messages_json,
               const struct twllm_params *params, twllm_on_text *on_text, void *argument,
               char **answer_text, struct twllm_error *error)
{
    const struct twllm_model *model = engine_model(engine);
    struct answer answer = {
        .on_text = on_text, .argument = argument, .wants_text = answer_text != NULL};
    char *prompt = NULL;
    size_t size = 0, n_ids = 0;
    int32_t *ids = NULL;
    uint64_t id = 0;
    if (answer_text) *answer_text = NULL;
    int result = twllm_render_chat(model, messages_json, TWLLM_TERMINATED, &prompt, &size, error);
    if (result == TWLLM_OK)
        result = twllm_encode(model, prompt, size, TWLLM_ENCODE_SPECIAL, &ids, &n_ids, error);
    if (result == TWLLM_OK) result = twllm_submit(engine, ids, n_ids, params, NULL, &id, error);
    if (result == TWLLM_OK) result = run(engine, id, &answer, error);
    if (answer_text && (result == TWLLM_OK || result == TWLLM_CANCELLED))
        *answer_text = strbuf_take(&answer.text);
    strbuf_deinit(&answer.text);
    twllm_free(prompt);
    twllm_free(ids);
    return result;
}
