/* The library without memory: the n-th allocation fails, for n = 1, 2, ... until everything succeeds.
 * Whatever n is, the call that met it returns TWLLM_NO_MEMORY, or a request ends with an error, and all
 * that was opened can be closed. Under ASan this shows leaks and uses of what was never made.
 * The linker sends the library's allocations here (--wrap). */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "twllm.h"

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__real_aligned_alloc(size_t, size_t);
char *__real_strdup(const char *);
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);
void *__wrap_aligned_alloc(size_t, size_t);
char *__wrap_strdup(const char *);

static int64_t n_calls, failing; /* the one that fails; 0: none */
static bool lasting;             /* and all after it */

static bool fails(void)
{
    int64_t call = __atomic_add_fetch(&n_calls, 1, __ATOMIC_RELAXED);
    return failing && (lasting ? call >= failing : call == failing);
}
void *__wrap_malloc(size_t size) { return fails() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}
void *__wrap_realloc(void *old, size_t size) { return fails() ? NULL : __real_realloc(old, size); }
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}
char *__wrap_strdup(const char *text) { return fails() ? NULL : __real_strdup(text); }

struct run {
    int result;
    int64_t n_allocations;
    size_t n_text;
    bool request_failed;
    struct twllm_error error;
};

static void take_output(void *argument, const struct twllm_output *output)
{
    struct run *run = argument;
    run->n_text += output->text_size;
    if (output->finish != TWLLM_FINISH_ERROR) return;
    run->request_failed = true;
    CHECK(output->error && *output->error);
}

static int generate(struct twllm_engine *engine, const struct twllm_model *model,
                    const struct twllm_params *params, struct run *run)
{
    static const char request[] = "[{\"role\": \"user\", \"content\": \"你好\"}]";
    char *text = NULL;
    size_t size = 0, n_ids = 0;
    int32_t *ids = NULL;
    uint64_t id;
    int more = 1;
    int result = twllm_render_chat(model, request, TWLLM_TERMINATED, &text, &size, &run->error);
    if (!result)
        result = twllm_encode(model, text, size, TWLLM_ENCODE_SPECIAL, &ids, &n_ids, &run->error);
    if (!result) result = twllm_submit(engine, ids, n_ids, params, NULL, &id, &run->error);
    while (!result && more) result = twllm_step(engine, take_output, run, &more, &run->error);
    twllm_free(text);
    twllm_free(ids);
    return result;
}

/* What is opened, and how its request is decoded. */
struct scenario {
    const char *model, *params;
};

static struct run run_with(const struct scenario *scenario, int64_t n, bool from_then_on)
{
    struct run run = {0};
    struct twllm_model *model = NULL;
    struct twllm_engine *engine = NULL;
    struct twllm_params *params = NULL;
    struct twllm_engine_options options = {.max_num_seqs = 3, .threads = 1};
    n_calls = 0;
    lasting = from_then_on;
    failing = n;
    int result = twllm_model_open(&model, scenario->model, NULL, &run.error);
    if (!result) result = twllm_engine_create(&engine, model, &options, &run.error);
    if (!result) result = twllm_params_create(&params, model, &run.error);
    if (!result)
        result =
            twllm_params_set_json(params, scenario->params, strlen(scenario->params), &run.error);
    if (!result) result = generate(engine, model, params, &run);
    failing = 0;
    run.n_allocations = n_calls;
    run.result = result;
    twllm_params_destroy(params);
    twllm_engine_destroy(engine);
    twllm_model_close(model);
    return run;
}

static void check_failure(const struct scenario *scenario, int64_t n, bool from_then_on)
{
    struct run run = run_with(scenario, n, from_then_on);
    if (run.result == TWLLM_NO_MEMORY || run.request_failed) {
        CHECK(run.request_failed || run.error.text[0]);
        return;
    }
    check_fail(__FILE__, __LINE__, "allocation %lld%s: result %d, \"%s\", expected %d",
               (long long)n, from_then_on ? " and all after it" : "", run.result, run.error.text,
               TWLLM_NO_MEMORY);
}

static void check_scenario(const struct scenario *scenario)
{
    struct run whole = run_with(scenario, 0, false);
    CHECK_INT(whole.result, TWLLM_OK);
    CHECK(whole.n_text > 0 && whole.n_allocations > 20);
    for (int64_t n = 1; n <= whole.n_allocations; n++) {
        check_failure(scenario, n, false);
        check_failure(scenario, n, true);
    }
    struct run again = run_with(scenario, 0, false);
    CHECK(again.result == TWLLM_OK && again.n_text == whole.n_text);
}

TEST(every_allocation_of_the_embedded_model_may_fail)
{
    check_scenario(&(struct scenario){NULL, "{\"max_tokens\": 4, \"temperature\": 0}"});
}

TEST(every_allocation_of_a_folder_and_a_rich_request_may_fail)
{
    check_scenario(&(struct scenario){
        "models/default",
        "{\"max_tokens\": 4, \"seed\": 3, \"n\": 3, \"logprobs\": 2, \"prompt_logprobs\": 1, "
        "\"stop\": [\"\\u0001\"], \"stop_token_sequences\": [[7, 8]], \"logit_bias\": {\"5\": 1}, "
        "\"top_p\": 0.9, \"repetition_penalty\": 1.1, \"dry_multiplier\": 0.5, "
        "\"dry_sequence_breakers\": [\"x\"]}"});
}

TEST(every_allocation_of_a_beam_search_may_fail)
{
    check_scenario(&(struct scenario){NULL,
                                      "{\"max_tokens\": 4, \"temperature\": 0, \"num_beams\": 3, "
                                      "\"n\": 2, \"stop\": [\"\\u0001\"]}"});
}
