/* Streams one answer: cc chat.c $(pkg-config --cflags --libs twllm) && ./a.out '你好' [MODEL] */
#include <stdio.h>
#include <twllm.h>

static int print(void *unused, const char *text, size_t size)
{
    (void)unused;
    fwrite(text, 1, size, stdout);
    return fflush(stdout); /* anything but 0 stops the answer */
}

int main(int argc, char **argv)
{
    struct twllm_model *model = NULL;
    struct twllm_engine *engine = NULL;
    struct twllm_params *params = NULL;
    struct twllm_error error = {0};
    struct twllm_engine_options options = {.max_num_seqs = 1};
    char messages[4096];
    /* A real program escapes the text for JSON. */
    snprintf(messages, sizeof messages, "[{\"role\": \"user\", \"content\": \"%s\"}]",
             argc > 1 ? argv[1] : "你好，你是誰？");

    int status = twllm_model_open(&model, argc > 2 ? argv[2] : NULL, NULL, &error);
    if (!status) status = twllm_engine_create(&engine, model, &options, &error);
    if (!status) status = twllm_params_create(&params, model, &error);
    if (!status) status = twllm_params_set(params, "max_tokens", "64", &error);
    if (!status) status = twllm_params_set(params, "temperature", "0", &error);
    if (!status) status = twllm_chat(engine, messages, params, print, NULL, NULL, &error);
    putchar('\n');
    if (status) fprintf(stderr, "%s\n", error.text);

    twllm_params_destroy(params);
    twllm_engine_destroy(engine);
    twllm_model_close(model);
    return status;
}
