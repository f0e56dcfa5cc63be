/* probe_logits FOLDER|FILE.gguf [key=value...]: runs a checkpoint over token sequences and writes what it computed.
 *
 * Standard input: one sequence of token ids per line. Standard output: without greedy, raw float32 logits
 * (sum of lengths, V) of every token, sequence after sequence; with greedy, a line of new ids for each.
 *   isa=auto|ref|avx2|...   the operations to use
 *   cache=F32|F16|BF16      element type of the kv cache [F32]
 *   block=N                 tokens of a cache block [16]
 *   threads=N               [2]
 *   chunk=N                 tokens of one sequence in one step; 0 = all at once [0]
 *   mixed=1                 all sequences advance together, by amounts that differ and change
 *   greedy=N                after the prompt, N tokens by arg max
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/checkpoint.h"
#include "model/llama.h"

enum { MAX_SEQUENCES = 64, MAX_LENGTH = 8192 };

struct sequence {
    int32_t ids[MAX_LENGTH];
    int n_ids, n_prompt, n_done;
    float *logits; /* (n_prompt, V) */
};

struct run {
    struct llama_config config;
    struct checkpoint *checkpoint;
    const struct llama_model *model;
    struct llama_model *packed; /* what an engine would run, when the table packs weights */
    struct op_table table;
    struct thread_pool *threads;
    struct llama_limits limits;
    struct llama_kv_cache cache;
    void *workspace;
    int64_t max_blocks;
    struct sequence *sequences;
    int n_sequences;
    int chunk, greedy;
    bool mixed;
};

static void stop(const char *message)
{
    fprintf(stderr, "%s\n", message);
    exit(1);
}

static void *allocate(size_t bytes)
{
    void *p = bytes < SIZE_MAX - 64 ? aligned_alloc(64, (bytes + 64) & ~(size_t)63) : NULL;
    if (!p) stop("no memory");
    memset(p, 0xEE, bytes); /* nothing may depend on what was there */
    return p;
}

/* Blocks are dealt to sequences in turn and from the top, so that tables are not the identity. */
static int32_t block_of(const struct run *r, int sequence, int64_t index)
{
    return (int32_t)(r->cache.n_blocks - 1 - (index * r->n_sequences + sequence));
}

struct step_arrays {
    int32_t tokens[MAX_LENGTH], positions[MAX_LENGTH], rope_lengths[MAX_LENGTH], slots[MAX_LENGTH],
        rows[MAX_LENGTH];
    int32_t query_start[MAX_SEQUENCES + 1], kv_lengths[MAX_SEQUENCES];
    int32_t owner[MAX_SEQUENCES];
};

static void add_sequence(const struct run *r, struct llama_step *step, struct step_arrays *a,
                         int32_t *tables, int b, int count)
{
    struct sequence *s = &r->sequences[b];
    int64_t block = r->cache.block_tokens;
    for (int i = 0; i < count; i++) {
        int64_t t = step->n_tokens++, position = s->n_done + i;
        a->tokens[t] = s->ids[position];
        a->positions[t] = (int32_t)position;
        a->rope_lengths[t] = (int32_t)(position < s->n_prompt ? s->n_prompt : position + 1);
        a->slots[t] = (int32_t)(block_of(r, b, position / block) * block + position % block);
        a->rows[t] = (int32_t)t;
    }
    int64_t n = step->n_sequences++;
    a->owner[n] = b;
    a->query_start[n + 1] = (int32_t)step->n_tokens;
    a->kv_lengths[n] = s->n_done + count;
    for (int64_t i = 0; i < r->max_blocks; i++) tables[n * r->max_blocks + i] = block_of(r, b, i);
}

/* How many tokens of sequence b go into step number `step`. */
static int share(const struct run *r, int b, int step)
{
    const struct sequence *s = &r->sequences[b];
    int left = s->n_ids - s->n_done, most = r->chunk ? r->chunk : left;
    if (r->mixed) most = 1 + (b * 7 + step * 5) % 13;
    return left < most ? left : most;
}

static int argmax(const float *logits, int64_t n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

static void take_logits(struct run *r, const struct step_arrays *a, int64_t n, const float *logits)
{
    struct sequence *s = &r->sequences[a->owner[n]];
    int64_t vocab = r->config.vocab_size;
    for (int32_t t = a->query_start[n]; t < a->query_start[n + 1]; t++, s->n_done++) {
        if (!r->greedy)
            memcpy(s->logits + s->n_done * vocab, logits + t * vocab, (size_t)vocab * 4);
        else if (s->n_done == s->n_ids - 1 && s->n_ids < s->n_prompt + r->greedy)
            s->ids[s->n_ids++] = argmax(logits + t * vocab, vocab);
    }
}

/* One step of the sequences [from, to); false when they are finished. */
static bool run_step(struct run *r, int from, int to, int number, int32_t *tables, float *logits)
{
    static struct step_arrays a;
    struct error err;
    struct llama_step step = {.tokens = a.tokens,
                              .positions = a.positions,
                              .rope_lengths = a.rope_lengths,
                              .kv_slots = a.slots,
                              .query_start = a.query_start,
                              .kv_lengths = a.kv_lengths,
                              .block_tables = tables,
                              .max_blocks = r->max_blocks,
                              .logit_rows = a.rows};
    for (int b = from; b < to; b++) {
        int count = share(r, b, number);
        if (step.n_tokens + count > r->limits.max_tokens)
            count = (int)(r->limits.max_tokens - step.n_tokens);
        if (count > 0) add_sequence(r, &step, &a, tables, b, count);
    }
    if (step.n_tokens == 0) return false;
    step.n_logit_rows = step.n_tokens;
    if (llama_forward(r->model, &r->table, r->threads, &r->limits, r->workspace, &r->cache, &step,
                      logits, &err) != STATUS_OK)
        stop(err.text);
    for (int64_t n = 0; n < step.n_sequences; n++) take_logits(r, &a, n, logits);
    return true;
}

static void open_model(struct run *r, const char *name, const char *isa, int threads)
{
    struct error err = {0};
    const struct checkpoint_options options = {.parts = CHECKPOINT_WEIGHTS};
    if (checkpoint_open(&r->checkpoint, name, &options, &err) != STATUS_OK ||
        op_table_init(&r->table, isa, &err) != STATUS_OK ||
        thread_pool_create(&r->threads, threads, &err) != STATUS_OK ||
        llama_model_pack(&r->packed, r->checkpoint->model, &r->table, r->threads, &err) !=
            STATUS_OK)
        stop(err.text);
    r->config = r->checkpoint->config;
    r->model = r->packed ? r->packed : r->checkpoint->model;
}

static void read_sequences(struct run *r)
{
    static char line[MAX_LENGTH * 8];
    r->sequences = calloc(MAX_SEQUENCES, sizeof *r->sequences);
    if (!r->sequences) stop("no memory");
    while (r->n_sequences < MAX_SEQUENCES && fgets(line, sizeof line, stdin)) {
        struct sequence *s = &r->sequences[r->n_sequences++];
        char *at = line, *end;
        for (long id = strtol(at, &end, 10); end != at && s->n_ids < MAX_LENGTH;
             at = end, id = strtol(at, &end, 10))
            s->ids[s->n_ids++] = (int32_t)id;
        s->n_prompt = s->n_ids;
        if (s->n_prompt + r->greedy > MAX_LENGTH) stop("sequence too long");
        s->logits = allocate((size_t)s->n_prompt * (size_t)r->config.vocab_size * 4);
    }
}

static void reserve(struct run *r, enum dtype cache_type, int64_t block_tokens)
{
    int64_t longest = 1;
    for (int b = 0; b < r->n_sequences; b++)
        if (r->sequences[b].n_prompt + r->greedy > longest)
            longest = r->sequences[b].n_prompt + r->greedy;
    r->max_blocks = (longest + block_tokens - 1) / block_tokens;
    r->cache = (struct llama_kv_cache){.dtype = cache_type,
                                       .n_blocks = r->max_blocks * r->n_sequences,
                                       .block_tokens = block_tokens};
    r->cache.data =
        allocate(llama_kv_cache_bytes(&r->config, cache_type, r->cache.n_blocks, block_tokens));
    r->limits = (struct llama_limits){.max_tokens = longest > 1024 ? longest : 1024,
                                      .max_logit_rows = longest > 1024 ? longest : 1024,
                                      .n_threads = thread_pool_size(r->threads)};
    r->workspace = allocate(llama_workspace_bytes(&r->config, &r->limits));
}

static void write_results(const struct run *r)
{
    for (int b = 0; b < r->n_sequences; b++) {
        const struct sequence *s = &r->sequences[b];
        if (!r->greedy)
            fwrite(s->logits, 4 * (size_t)r->config.vocab_size, (size_t)s->n_prompt, stdout);
        for (int i = s->n_prompt; i < s->n_ids; i++)
            printf("%" PRId32 "%c", s->ids[i], i + 1 < s->n_ids ? ' ' : '\n');
    }
}

static void deinit(struct run *r)
{
    for (int b = 0; b < r->n_sequences; b++) free(r->sequences[b].logits);
    free(r->sequences);
    free(r->cache.data);
    free(r->workspace);
    thread_pool_destroy(r->threads);
    llama_model_destroy(r->packed);
    checkpoint_close(r->checkpoint);
}

static bool option(const char *argument, const char *key, const char **value)
{
    size_t n = strlen(key);
    if (strncmp(argument, key, n) != 0 || argument[n] != '=') return false;
    *value = argument + n + 1;
    return true;
}

int main(int argc, char **argv)
{
    static struct run r;
    const char *isa = "auto", *cache = "F32", *value;
    int block = 16, threads = 2;
    if (argc < 2) stop("usage: probe_logits FOLDER [key=value...] < ids");
    for (int i = 2; i < argc; i++) {
        if (option(argv[i], "isa", &value))
            isa = value;
        else if (option(argv[i], "cache", &value))
            cache = value;
        else if (option(argv[i], "block", &value))
            block = (int)strtol(value, NULL, 10);
        else if (option(argv[i], "threads", &value))
            threads = (int)strtol(value, NULL, 10);
        else if (option(argv[i], "chunk", &value))
            r.chunk = (int)strtol(value, NULL, 10);
        else if (option(argv[i], "greedy", &value))
            r.greedy = (int)strtol(value, NULL, 10);
        else if (option(argv[i], "mixed", &value))
            r.mixed = *value == '1';
        else
            stop("unknown option");
    }
    open_model(&r, argv[1], isa, threads);
    read_sequences(&r);
    reserve(&r, dtype_from_name(str_of(cache)), block);
    size_t vocab = (size_t)r.config.vocab_size;
    float *logits = allocate((size_t)r.limits.max_tokens * vocab * 4);
    int32_t *tables = allocate((size_t)r.n_sequences * (size_t)r.max_blocks * 4);
    for (int b = 0, number = 0; !r.mixed && b < r.n_sequences; b++)
        while (run_step(&r, b, b + 1, number, tables, logits)) number++;
    for (int number = 0; r.mixed && run_step(&r, 0, r.n_sequences, number, tables, logits);)
        number++;
    write_results(&r);
    free(logits);
    free(tables);
    deinit(&r);
    return 0;
}
