#define _GNU_SOURCE
/* probe_sampler: one JSON object per line on standard input,
 *   {"logits": [...], "tokens": [...], "n_prompt": n, "held": [ids], "text": [strings], "params": {...}}
 * and for each a line with the probabilities that the sampler would draw with, or its error. "text"
 * gives the bytes of each id (for DRY's sequence breakers). */
#include <string.h>

#include "engine/sampler.h"
#include "params_json.h"

struct texts {
    struct str *list;
};

static struct str text_bytes(const void *source, token_id id)
{
    return ((const struct texts *)source)->list[id];
}
static bool text_is_special(const void *source, token_id id)
{
    (void)source;
    (void)id;
    return false;
}

static void run(const char *line)
{
    struct arena arena = {0};
    struct json *o;
    struct error err;
    if (json_parse(&arena, str_of(line), &(struct json_options){0}, "stdin", &o, &err))
        probe_stop(err.text);
    const struct json *logits = json_get(o, "logits");
    int32_t n = (int32_t)logits->n_items;
    float *row = probe_array(&arena, (size_t)n, sizeof *row);
    double *p = probe_array(&arena, (size_t)n, sizeof *p);
    for (int32_t i = 0; i < n; i++) {
        double value;
        if (!json_f64(json_at(logits, (size_t)i), &value)) probe_stop("bad logit");
        row[i] = (float)value;
    }
    struct sampling_params params = probe_params(&arena, json_get(o, "params"));
    size_t n_tokens, n_held, n_texts;
    struct sampler_input in = {.params = &params, .seed = params.seed};
    in.tokens = probe_ids(&arena, json_get(o, "tokens"), &n_tokens);
    in.held_ids = probe_ids(&arena, json_get(o, "held"), &n_held);
    in.n_tokens = (int32_t)n_tokens;
    in.n_held_ids = (int32_t)n_held;
    probe_int(o, "n_prompt", &in.n_prompt);
    struct texts texts = {probe_strings(&arena, json_get(o, "text"), &n_texts)};
    if (n_texts > 0) in.text = (struct token_text){&texts, text_bytes, text_is_special};

    struct logits_scratch scratch;
    size_t bytes = logits_scratch_bytes(n, in.n_tokens + 1);
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!memory) probe_stop("no memory");
    logits_scratch_carve(&scratch, memory, n, in.n_tokens + 1);
    if (sampling_params_check(&params, n, &err) ||
        sampler_distribution(&scratch, &in, row, p, &err)) {
        printf("{\"error\": \"%s\"}\n", err.text);
    } else {
        for (int32_t i = 0; i < n; i++) printf("%s%.9g", i ? ", " : "[", p[i]);
        puts("]");
    }
    free(memory);
    arena_deinit(&arena);
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) run(line);
    free(line);
    return 0;
}
