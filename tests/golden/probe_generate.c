#define _GNU_SOURCE
/* probe_generate FOLDER [key=value...]: all requests of standard input as one batch through the engine.
 *
 * A line is a JSON object: {"prompt": [ids], "priority": n, "salt": n, "params": {...}} or
 * {"text": "..."} in place of the prompt. A line of output for each completion:
 *   {"request": line, "index": i, "tokens": [...], "text": "...", "finish": n, "stop_token": id,
 *    "stop_string": "...", "score": x, "logprobs": [[[id, logprob, rank], ...], ...],
 *    "prompt_logprobs": [...], "cached": n, "error": "..."}
 * and a last one with the engine's statistics.
 *   isa, threads, block_size, max_num_seqs, max_num_batched_tokens, kv_blocks, max_model_len,
 *   kv_cache_dtype, no_prefix_cache=1, eos=ID (repeatable), tokenizer=1, stagger=N (steps between submits)
 */
#include <inttypes.h>
#include <string.h>

#include "checkpoint/checkpoint.h"
#include "engine/engine.h"
#include "params_json.h"

enum { MAX_REQUESTS = 512, MAX_EOS = 16 };

struct completion {
    struct strbuf tokens, logprobs, prompt_logprobs, text;
    int32_t n_tokens;
};

struct request {
    int line;
    struct engine_request engine_request;
    struct completion *completions;
};

static struct {
    struct engine_options options;
    token_id eos[MAX_EOS];
    int64_t kv_blocks;
    bool tokenizer;
    int stagger;
    struct request requests[MAX_REQUESTS];
    int n_requests;
} probe;

static void add_logprobs(struct strbuf *out, const struct token_logprob *list, size_t n, size_t per)
{
    for (size_t i = 0; i < n; i++) {
        strbuf_append_c(out, out->size ? ", [" : "[");
        for (size_t j = 0; j < per; j++)
            strbuf_appendf(out, "%s[%d, %.9g, %d]", j ? ", " : "", list[i * per + j].id,
                           (double)list[i * per + j].logprob, list[i * per + j].rank);
        strbuf_append_c(out, "]");
    }
}

static void on_output(void *argument, const struct engine_output *o)
{
    (void)argument;
    struct request *r = o->user;
    struct completion *c = &r->completions[o->index];
    for (size_t i = 0; i < o->n_tokens; i++)
        strbuf_appendf(&c->tokens, "%s%d", c->n_tokens++ ? ", " : "", o->tokens[i]);
    strbuf_append(&c->text, o->text);
    if (o->logprobs) add_logprobs(&c->logprobs, o->logprobs, o->n_tokens, o->logprobs_per_token);
    if (o->prompt_logprobs)
        add_logprobs(&c->prompt_logprobs, o->prompt_logprobs, o->n_prompt_logprobs,
                     o->prompt_logprobs_per_token);
    if (o->finish == FINISH_NONE) return;
    struct strbuf line = {0};
    strbuf_appendf(&line, "{\"request\": %d, \"index\": %d, \"tokens\": [", r->line, o->index);
    strbuf_append(&line, strbuf_view(&c->tokens));
    strbuf_append_c(&line, "], \"text\": ");
    json_write_string(&line, strbuf_view(&c->text), true);
    strbuf_appendf(&line, ", \"finish\": %d, \"stop_token\": %d, \"stop_string\": ", o->finish,
                   o->stop_token);
    json_write_string(&line, o->stop_string, true);
    strbuf_appendf(&line,
                   ", \"score\": %.9g, \"cumulative\": %.9g, \"cached\": %d, \"logprobs\": [",
                   o->beam_score, o->cumulative_logprob, o->n_cached_tokens);
    strbuf_append(&line, strbuf_view(&c->logprobs));
    strbuf_append_c(&line, "], \"prompt_logprobs\": [");
    strbuf_append(&line, strbuf_view(&c->prompt_logprobs));
    strbuf_append_c(&line, "], \"error\": ");
    json_write_string(&line, str_of(o->error ? o->error->text : ""), true);
    puts(strbuf_appendf(&line, "}") == STATUS_OK ? line.data : "no memory");
    strbuf_deinit(&line);
}

static void read_options(int argc, char **argv)
{
    struct engine_options *o = &probe.options;
    for (int i = 2; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value) probe_stop("expected key=value");
        *value++ = '\0';
        int32_t number = (int32_t)strtol(value, NULL, 10);
        if (!strcmp(argv[i], "isa"))
            o->isa = value;
        else if (!strcmp(argv[i], "threads"))
            o->threads = number;
        else if (!strcmp(argv[i], "block_size"))
            o->block_size = number;
        else if (!strcmp(argv[i], "max_num_seqs"))
            o->max_num_seqs = number;
        else if (!strcmp(argv[i], "max_num_batched_tokens"))
            o->max_num_batched_tokens = number;
        else if (!strcmp(argv[i], "kv_blocks"))
            probe.kv_blocks = number;
        else if (!strcmp(argv[i], "max_model_len"))
            o->max_model_len = number;
        else if (!strcmp(argv[i], "kv_cache_dtype"))
            o->kv_cache_dtype = dtype_from_name(str_of(value));
        else if (!strcmp(argv[i], "no_prefix_cache"))
            o->disable_prefix_caching = number;
        else if (!strcmp(argv[i], "tokenizer"))
            probe.tokenizer = number;
        else if (!strcmp(argv[i], "stagger"))
            probe.stagger = number;
        else if (!strcmp(argv[i], "eos") && o->n_eos_ids < MAX_EOS)
            probe.eos[o->n_eos_ids++] = number;
        else
            probe_stop("unknown option");
    }
    o->eos_ids = probe.eos;
}

static void read_request(struct arena *arena, char *line, const struct tokenizer *tokenizer)
{
    struct json *o;
    struct error err;
    if (probe.n_requests == MAX_REQUESTS) probe_stop("too many requests");
    if (json_parse(arena, arena_copy_str(arena, str_of(line)), &(struct json_options){0}, "stdin",
                   &o, &err))
        probe_stop(err.text);
    struct request *r = &probe.requests[probe.n_requests];
    struct str text;
    r->line = probe.n_requests++;
    r->engine_request.params = probe_params(arena, json_get(o, "params"));
    r->engine_request.user = r;
    probe_int(o, "priority", &r->engine_request.priority);
    int64_t salt;
    if (json_i64(json_get(o, "salt"), &salt)) r->engine_request.cache_salt = (uint64_t)salt;
    r->completions = probe_array(arena, SAMPLING_MAX_N, sizeof *r->completions);
    if (json_str(json_get(o, "text"), &text)) {
        static struct token_list lists[MAX_REQUESTS]; /* kept until the end */
        struct token_list *ids = &lists[r->line];
        if (!tokenizer) probe_stop("a text needs tokenizer=1");
        if (tokenizer_encode(tokenizer, text, (struct tokenizer_encode_options){0}, ids, &err))
            probe_stop(err.text);
        r->engine_request.prompt = ids->ids;
        r->engine_request.n_prompt = ids->count;
    } else {
        r->engine_request.prompt =
            probe_ids(arena, json_get(o, "prompt"), &r->engine_request.n_prompt);
    }
}

static void submit(struct engine *e, struct request *r)
{
    uint64_t id;
    struct error err;
    if (engine_submit(e, &r->engine_request, &id, &err))
        printf("{\"request\": %d, \"refused\": \"%s\"}\n", r->line, err.text);
}

int main(int argc, char **argv)
{
    struct error err;
    struct checkpoint *c;
    struct engine *e;
    struct arena arena = {0};
    if (argc < 2) probe_stop("usage: probe_generate FOLDER [key=value...]");
    read_options(argc, argv);
    struct checkpoint_options options = {.parts = CHECKPOINT_WEIGHTS |
                                                  (probe.tokenizer ? CHECKPOINT_TOKENIZER : 0)};
    if (checkpoint_open(&c, argv[1], &options, &err)) probe_stop(err.text);
    struct engine_options *o = &probe.options;
    if (o->block_size == 0) o->block_size = 16;
    if (probe.kv_blocks > 0) {
        enum dtype dtype = o->kv_cache_dtype ? o->kv_cache_dtype : DTYPE_F32;
        o->kv_cache_dtype = dtype;
        o->kv_cache_memory_bytes =
            llama_kv_cache_bytes(&c->config, dtype, probe.kv_blocks, o->block_size);
    }
    if (engine_create(&e, c->model, c->tokenizer, o, &err)) probe_stop(err.text);
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) read_request(&arena, line, c->tokenizer);
    free(line);

    bool more = true;
    int submitted = 0;
    for (int64_t step = 0; more || submitted < probe.n_requests; step++) {
        while (submitted < probe.n_requests &&
               (probe.stagger == 0 || step >= (int64_t)submitted * probe.stagger))
            submit(e, &probe.requests[submitted++]);
        if (engine_step(e, on_output, NULL, &more, &err)) probe_stop(err.text);
    }
    struct engine_stats s;
    engine_get_stats(e, &s);
    printf("{\"steps\": %" PRId64 ", \"preemptions\": %" PRId64 ", \"prefix_hits\": %" PRId64
           ", \"generated\": %" PRId64 "}\n",
           s.n_steps, s.n_preemptions, s.n_prefix_hits, s.n_generated_tokens);
    engine_destroy(e);
    checkpoint_close(c);
    arena_deinit(&arena);
    return 0;
}
