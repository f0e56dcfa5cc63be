/* What twllm.h promises of threads: a model serves any number of them, each with engines of its own.
 * The answers are those of one thread alone; ThreadSanitizer watches the rest. */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "twllm.h"

enum { N_THREADS = 4, ROUNDS = 3 };

static const char *const texts[] = {
    "臺灣的首都是哪裡？ The quick brown fox, 12345 times.",
    "今天天氣很好，我們去爬山。\n\n\tint main(void) { return 0; }",
    "<|im_start|>user\n你好<|im_end|> plain and special",
};
enum { N_TEXTS = sizeof texts / sizeof *texts };

/* Everything that one thread found out, to be compared. */
struct findings {
    int32_t *ids[N_TEXTS];
    size_t n_ids[N_TEXTS];
    char *prompt, *answer;
};

struct worker {
    const struct twllm_model *model;
    pthread_t thread;
    struct findings found;
    bool failed;
};

static void free_findings(struct findings *found)
{
    for (int i = 0; i < N_TEXTS; i++) twllm_free(found->ids[i]);
    twllm_free(found->prompt);
    twllm_free(found->answer);
    *found = (struct findings){0};
}

static bool use_text(const struct twllm_model *model, struct findings *found)
{
    bool good = true;
    for (int i = 0; i < N_TEXTS && good; i++) {
        char *text = NULL;
        size_t size = 0;
        good = twllm_encode(model, texts[i], TWLLM_TERMINATED, TWLLM_ENCODE_SPECIAL, &found->ids[i],
                            &found->n_ids[i], NULL) == TWLLM_OK &&
               twllm_decode(model, found->ids[i], found->n_ids[i], 0, &text, &size, NULL) ==
                   TWLLM_OK &&
               size == strlen(texts[i]) && !memcmp(text, texts[i], size);
        twllm_free(text);
    }
    size_t size;
    return good && twllm_render_chat(model, "[{\"role\": \"user\", \"content\": \"你好\"}]",
                                     TWLLM_TERMINATED, &found->prompt, &size, NULL) == TWLLM_OK;
}

static bool use_engine(const struct twllm_model *model, struct findings *found)
{
    struct twllm_engine_options options = {.max_num_seqs = 2, .threads = 2};
    struct twllm_engine *engine = NULL;
    struct twllm_params *params = NULL;
    bool good = twllm_engine_create(&engine, model, &options, NULL) == TWLLM_OK &&
                twllm_params_create(&params, model, NULL) == TWLLM_OK &&
                twllm_params_set(params, "seed", "11", NULL) == TWLLM_OK &&
                twllm_params_set(params, "max_tokens", "6", NULL) == TWLLM_OK &&
                twllm_chat(engine, "[{\"role\": \"user\", \"content\": \"你好\"}]", params, NULL,
                           NULL, &found->answer, NULL) == TWLLM_OK;
    twllm_params_destroy(params);
    twllm_engine_destroy(engine);
    return good;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    for (int round = 0; round < ROUNDS && !worker->failed; round++) {
        free_findings(&worker->found);
        worker->failed =
            !use_text(worker->model, &worker->found) || !use_engine(worker->model, &worker->found);
    }
    return NULL;
}

static bool equal(const struct findings *a, const struct findings *b)
{
    for (int i = 0; i < N_TEXTS; i++)
        if (a->n_ids[i] != b->n_ids[i] ||
            memcmp(a->ids[i], b->ids[i], a->n_ids[i] * sizeof *a->ids[i]))
            return false;
    return !strcmp(a->prompt, b->prompt) && !strcmp(a->answer, b->answer);
}

TEST(one_model_serves_many_threads)
{
    struct twllm_model *model;
    struct worker workers[N_THREADS] = {0}, alone = {0};
    struct twllm_error error = {0};
    CHECK_INT(twllm_model_open(&model, NULL, NULL, &error), TWLLM_OK);
    if (!model) return;
    alone.model = model;
    work(&alone);
    CHECK(!alone.failed);
    for (int i = 0; i < N_THREADS; i++) {
        workers[i].model = model;
        CHECK_INT(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        CHECK(!workers[i].failed && !alone.failed && equal(&workers[i].found, &alone.found));
        free_findings(&workers[i].found);
    }
    free_findings(&alone.found);
    twllm_model_close(model);
}
