#include "engine/device_runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/memory_plan.h"
#include "model/llama_device.h"
#include "model/llama_step.h"
#include "op/cuda/op_cuda.h"

enum { MOST_GRAPH_TOKENS = 1024, GRAPHS = 80 };

/* Where a step's arrays stand, in elements of int32 from the beginning of the host's and the device's copy. */
struct places {
    size_t tokens, positions, slots, query_start, kv_lengths, logit_rows, counts, first_item, items,
        tiles, tables, total;
};

struct device_runner {
    struct device *device;
    struct op_cuda *cuda;
    struct op_table table;
    struct llama_model *model;
    const struct llama_config *config;
    struct llama_limits limits;
    struct llama_kv_cache cache; /* of the device, one block more than the engine knows */
    struct places at;
    int64_t max_items, max_tiles;
    int32_t *host, *arrays;          /* pinned, and the device's copy */
    void *workspace;                 /* the device's */
    int32_t *slot_table;             /* the host's, for the checks */
    float *logits, *cosines, *sines; /* the device's; (R, V), (positions, HD / 2) twice */
    float *angles_host;              /* pinned, where angles depend on the length */
    size_t block_bytes, plane_bytes;
    struct op_cuda_draw *draws, *draws_host;
    int32_t *chosen, *chosen_host;
    float *row_host; /* pinned: one row of logits */
    bool angles_vary, deterministic;
    struct device_graph *graphs[GRAPHS];
    int64_t n_graph_launches, n_eager;
};

/* ---- sizes ------------------------------------------------------------------------------------- */

static int64_t most_items(const struct engine_memory_plan *plan)
{
    return plan->kv_blocks * plan->options.block_size / OP_CUDA_LEAST_SPLIT +
           plan->options.max_num_seqs + 1;
}

static int64_t most_tiles(const struct engine_memory_plan *plan)
{
    return plan->options.max_num_batched_tokens / OP_CUDA_TILE + plan->options.max_num_seqs + 1;
}

static int64_t table_blocks(const struct engine_memory_plan *plan)
{
    return (plan->options.max_model_len + plan->options.block_size - 1) / plan->options.block_size;
}

/* How many tokens a graph is made for: few sizes, little padding. */
static int64_t bucket_of(int64_t n_tokens, int *index)
{
    static const struct {
        int64_t until, step;
    } ranges[] = {{4, 1}, {16, 4}, {128, 8}, {256, 16}, {512, 32}, {MOST_GRAPH_TOKENS, 64}};
    int64_t low = 0, at = 0;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if (n_tokens <= ranges[i].until) {
            int64_t steps = (n_tokens - low + ranges[i].step - 1) / ranges[i].step;
            *index = (int)(at + steps - 1);
            return low + steps * ranges[i].step;
        }
        at += (ranges[i].until - low) / ranges[i].step;
        low = ranges[i].until;
    }
    return 0;
}

/* Rows of logits: the engine's, and those that pad a graph. */
static int64_t most_rows(const struct engine_memory_plan *plan)
{
    int index;
    int64_t rows = memory_plan_llama_limits(plan).max_logit_rows, padded = 0;
    if (plan->options.max_num_seqs <= MOST_GRAPH_TOKENS)
        padded = bucket_of(plan->options.max_num_seqs, &index);
    return rows > padded ? rows : padded;
}

static struct places lay_out(const struct engine_memory_plan *plan)
{
    struct places at = {0};
    size_t end = 0, tokens = (size_t)plan->options.max_num_batched_tokens;
    size_t sequences = (size_t)plan->options.max_num_seqs;
#define PLACE(field, count)                                                                        \
    at.field = end;                                                                                \
    end += ((count) + 63) / 64 * 64
    PLACE(counts, 2);
    PLACE(tokens, tokens);
    PLACE(positions, tokens);
    PLACE(slots, tokens);
    PLACE(query_start, sequences + 1);
    PLACE(kv_lengths, sequences);
    PLACE(logit_rows, (size_t)most_rows(plan));
    PLACE(first_item, sequences);
    PLACE(items, 2 * (size_t)most_items(plan));
    PLACE(tiles, 2 * (size_t)most_tiles(plan));
    PLACE(tables, sequences * (size_t)table_blocks(plan));
#undef PLACE
    at.total = end;
    return at;
}

static struct llama_limits limits_of(const struct engine_memory_plan *plan)
{
    struct llama_limits limits = memory_plan_llama_limits(plan);
    limits.on_device = true;
    limits.max_logit_rows = most_rows(plan);
    limits.max_tokens = (limits.max_tokens + OP_CUDA_TILE - 1) / OP_CUDA_TILE * OP_CUDA_TILE;
    if (plan->options.deterministic)
        limits.max_logit_rows =
            (limits.max_logit_rows + OP_CUDA_TILE - 1) / OP_CUDA_TILE * OP_CUDA_TILE;
    return limits;
}

static struct op_cuda_limits cuda_limits(const struct llama_config *c,
                                         const struct engine_memory_plan *plan)
{
    struct llama_limits limits = limits_of(plan);
    return (struct op_cuda_limits){
        .max_tokens = limits.max_tokens,
        .max_logit_rows = limits.max_logit_rows,
        .max_decode_items = most_items(plan),
        .n_layers = c->num_hidden_layers,
        .hidden_size = c->hidden_size,
        .intermediate_size = c->intermediate_size,
        .n_heads = c->num_attention_heads,
        .n_kv_heads = c->num_key_value_heads,
        .head_dim = c->head_dim,
    };
}

size_t device_runner_bytes(const struct llama_config *c, const struct engine_memory_plan *plan)
{
    struct llama_limits limits = limits_of(plan);
    struct op_cuda_limits cuda = cuda_limits(c, plan);
    size_t workspace = llama_workspace_bytes(c, &limits);
    if (workspace == SIZE_MAX) return SIZE_MAX;
    size_t angles = (size_t)plan->options.max_model_len * (size_t)c->head_dim * sizeof(float);
    return workspace + op_cuda_bytes(&cuda) + lay_out(plan).total * sizeof(int32_t) + angles;
}

/* ---- life -------------------------------------------------------------------------------------- */

static void runner_destroy(void *self)
{
    struct device_runner *r = self;
    if (!r) return;
    device_use(r->device);
    for (int i = 0; i < GRAPHS; i++) device_graph_destroy(r->graphs[i]);
    void *const memory[] = {r->arrays,  r->workspace, r->cache.data, r->logits,
                            r->cosines, r->sines,     r->draws,      r->chosen};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) device_free(r->device, memory[i]);
    void *const pinned[] = {r->host, r->angles_host, r->draws_host, r->chosen_host, r->row_host};
    for (size_t i = 0; i < sizeof pinned / sizeof *pinned; i++)
        device_free_pinned(r->device, pinned[i]);
    llama_device_destroy(r->model, r->device);
    op_cuda_destroy(r->cuda);
    free(r->slot_table);
    device_close(r->device);
    free(r);
}

/* Angles of every position, once; kinds that depend on the length are computed with each step. */
static status fill_angle_tables(struct device_runner *r, int64_t n_positions, struct error *err)
{
    int64_t half = r->config->head_dim / 2;
    size_t bytes = (size_t)(n_positions * half) * sizeof(float);
    float *cosines = malloc(bytes), *sines = malloc(bytes);
    status result =
        cosines && sines ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "cuda: angles: no memory");
    for (int64_t p = 0; result == STATUS_OK && p < n_positions; p++)
        rope_angles(&r->config->rope, (int32_t)p, (int32_t)p + 1, cosines + p * half,
                    sines + p * half);
    struct device_lane *lane = NULL;
    if (result == STATUS_OK) result = device_lane_open(r->device, &lane, 4 << 20, err);
    for (int k = 0; k < 2 && result == STATUS_OK; k++)
        for (size_t at = 0; at < bytes && result == STATUS_OK; at += 4 << 20)
            result = device_lane_upload(lane, (char *)(k ? r->sines : r->cosines) + at,
                                        (const char *)(k ? sines : cosines) + at,
                                        bytes - at < 4 << 20 ? bytes - at : 4 << 20, err);
    if (result == STATUS_OK) result = device_lane_wait(lane, err);
    device_lane_close(lane);
    free(cosines);
    free(sines);
    return result;
}

static int64_t slot_table_size(int64_t n_tokens)
{
    int64_t size = 16;
    while (size < 2 * n_tokens) size *= 2;
    return size;
}

static status allocate(struct device_runner *r, const struct engine_memory_plan *plan,
                       struct error *err)
{
    const struct llama_config *c = r->config;
    struct device *d = r->device;
    int64_t rows = r->limits.max_logit_rows;
    size_t half = (size_t)c->head_dim / 2 * sizeof(float), V = (size_t)c->vocab_size;
    size_t positions =
        (size_t)(r->angles_vary ? r->limits.max_tokens : plan->options.max_model_len);
    r->cache.dtype = DTYPE_BF16;
    r->cache.n_blocks = plan->kv_blocks + 1;
    r->cache.block_tokens = plan->options.block_size;
    r->plane_bytes =
        (size_t)(r->cache.n_blocks * r->cache.block_tokens * c->num_key_value_heads * c->head_dim) *
        2;
    r->block_bytes = r->plane_bytes / (size_t)r->cache.n_blocks;
    TRY(device_allocate(d, r->plane_bytes * 2 * (size_t)c->num_hidden_layers, &r->cache.data, err));
    TRY(device_allocate(d, llama_workspace_bytes(c, &r->limits), &r->workspace, err));
    TRY(device_allocate(d, r->at.total * sizeof(int32_t), (void **)&r->arrays, err));
    TRY(device_allocate(d, (size_t)rows * V * sizeof(float), (void **)&r->logits, err));
    TRY(device_allocate(d, positions * half, (void **)&r->cosines, err));
    TRY(device_allocate(d, positions * half, (void **)&r->sines, err));
    TRY(device_allocate(d, (size_t)rows * sizeof *r->draws, (void **)&r->draws, err));
    TRY(device_allocate(d, (size_t)rows * sizeof *r->chosen, (void **)&r->chosen, err));
    TRY(device_allocate_pinned(d, r->at.total * sizeof(int32_t), (void **)&r->host, err));
    TRY(device_allocate_pinned(d, (size_t)rows * sizeof *r->draws, (void **)&r->draws_host, err));
    TRY(device_allocate_pinned(d, (size_t)rows * sizeof *r->chosen, (void **)&r->chosen_host, err));
    TRY(device_allocate_pinned(d, V * sizeof(float), (void **)&r->row_host, err));
    if (r->angles_vary)
        TRY(device_allocate_pinned(d, 2 * positions * half, (void **)&r->angles_host, err));
    r->slot_table = malloc((size_t)slot_table_size(r->limits.max_tokens) * sizeof *r->slot_table);
    if (!r->slot_table)
        return error_set(err, STATUS_NO_MEMORY, "engine: no memory for %lld tokens",
                         (long long)r->limits.max_tokens);
    /* a padding token's sums must be finite, whatever stood in the memory before */
    return device_set_zero(d, r->cache.data, r->plane_bytes * 2 * (size_t)c->num_hidden_layers,
                           err);
}

static status init(struct device_runner *r, const struct llama_model *model,
                   const struct engine_memory_plan *plan, struct thread_pool *pool,
                   struct error *err)
{
    r->config = llama_model_config(model);
    r->limits = limits_of(plan);
    r->at = lay_out(plan);
    r->max_items = most_items(plan);
    r->max_tiles = most_tiles(plan);
    r->angles_vary = rope_depends_on_length(&r->config->rope);
    struct op_cuda_limits limits = cuda_limits(r->config, plan);
    TRY(op_cuda_create(&r->cuda, r->device, &limits, err));
    r->deterministic = plan->options.deterministic;
    op_cuda_set_deterministic(r->cuda, r->deterministic);
    op_bodies_cuda(&r->table);
    const struct llama_device_options options = {
        .weights = plan->options.quantization,
        .threads = pool,
        .unfilled = plan->options.unfilled_weights,
        .progress = plan->options.on_weights,
        .argument = plan->options.on_weights_argument,
    };
    TRY(llama_device_create(&r->model, model, r->device, &options, err));
    r->config = llama_model_config(r->model);
    TRY(allocate(r, plan, err));
    if (!r->angles_vary) TRY(fill_angle_tables(r, plan->options.max_model_len, err));
    return device_wait(r->device, err);
}

/* ---- a step ------------------------------------------------------------------------------------ */

/* One new token for each sequence, a row of logits for each token, in order. */
static bool is_plain_decode(const struct llama_step *step)
{
    if (step->n_tokens != step->n_sequences || step->n_logit_rows != step->n_tokens) return false;
    for (int64_t i = 0; i < step->n_tokens; i++)
        if (step->logit_rows[i] != i) return false;
    return true;
}

static void copy_array(int32_t *to, const int32_t *from, int64_t n, int64_t padded, int32_t filler)
{
    memcpy(to, from, (size_t)n * sizeof *to);
    for (int64_t i = n; i < padded; i++) to[i] = filler;
}

/* Items and tiles; false when there are more than was planned. */
static bool divide(struct device_runner *r, const struct llama_step *step,
                   struct op_attention_work *work)
{
    int32_t *host = r->host;
    int64_t n_items = 0, n_tiles = 0;
    for (int64_t b = 0; b < step->n_sequences; b++) {
        int32_t n_queries = step->query_start[b + 1] - step->query_start[b];
        host[r->at.first_item + (size_t)b] = (int32_t)n_items;
        if (n_queries == 1 && !r->deterministic) {
            int32_t size = op_cuda_split(step->kv_lengths[b]);
            for (int32_t split = 0; split * size < step->kv_lengths[b]; split++, n_items++) {
                if (n_items == r->max_items) return false;
                host[r->at.items + 2 * (size_t)n_items] = (int32_t)b;
                host[r->at.items + 2 * (size_t)n_items + 1] = split;
            }
        } else { /* the last tiles have most to do: they go first */
            for (int32_t tile = (n_queries - 1) / OP_CUDA_TILE; tile >= 0; tile--, n_tiles++) {
                if (n_tiles == r->max_tiles) return false;
                host[r->at.tiles + 2 * (size_t)n_tiles] = (int32_t)b;
                host[r->at.tiles + 2 * (size_t)n_tiles + 1] = tile;
            }
        }
    }
    host[r->at.counts] = (int32_t)n_items;
    host[r->at.counts + 1] = (int32_t)step->max_blocks;
    /* three blocks on a multiprocessor, and a loop over what is more */
    int64_t room =
        3 * device_describe(r->device)->n_multiprocessors / r->config->num_key_value_heads;
    *work = (struct op_attention_work){
        .items_grid = n_items ? (room > 1 ? room : 1) : 0,
        .n_items = r->arrays + r->at.counts,
        .table_width = r->arrays + r->at.counts + 1,
        .items = r->arrays + r->at.items,
        .first_item = r->arrays + r->at.first_item,
        .n_tiles = n_tiles,
        .tiles = r->arrays + r->at.tiles,
    };
    return true;
}

/* The step with the device's arrays, padded to n_tokens; and the copies. */
static status send(struct device_runner *r, const struct llama_step *step, int64_t n_tokens,
                   struct op_attention_work *work, struct llama_step *sent, struct error *err)
{
    int32_t *host = r->host, *arrays = r->arrays;
    int64_t rows = n_tokens == step->n_tokens ? step->n_logit_rows : n_tokens;
    int32_t spare = (int32_t)((r->cache.n_blocks - 1) * r->cache.block_tokens);
    copy_array(host + r->at.tokens, step->tokens, step->n_tokens, n_tokens, 0);
    copy_array(host + r->at.positions, step->positions, step->n_tokens, n_tokens, 0);
    copy_array(host + r->at.slots, step->kv_slots, step->n_tokens, n_tokens, spare);
    copy_array(host + r->at.query_start, step->query_start, step->n_sequences + 1, 0, 0);
    copy_array(host + r->at.kv_lengths, step->kv_lengths, step->n_sequences, 0, 0);
    copy_array(host + r->at.logit_rows, step->logit_rows, step->n_logit_rows, 0, 0);
    for (int64_t i = step->n_logit_rows; i < rows; i++)
        host[r->at.logit_rows + (size_t)i] = (int32_t)i;
    if (!divide(r, step, work))
        return error_set(err, STATUS_INTERNAL,
                         "cuda: a step of more attention items than were planned");
    size_t tables = (size_t)(step->n_sequences * step->max_blocks);
    memcpy(host + r->at.tables, step->block_tables, tables * sizeof(int32_t));
    /* everything before the tiles that are not used, then the tables */
    size_t used = work->n_tiles ? r->at.tiles + 2 * (size_t)work->n_tiles
                                : r->at.items + 2 * (size_t)host[r->at.counts];
    TRY(device_upload(r->device, arrays, host, used * sizeof(int32_t), err));
    TRY(device_upload(r->device, arrays + r->at.tables, host + r->at.tables,
                      tables * sizeof(int32_t), err));
    *sent = (struct llama_step){
        .n_tokens = n_tokens,
        .n_sequences = step->n_sequences,
        .tokens = arrays + r->at.tokens,
        .positions = arrays + r->at.positions,
        .kv_slots = arrays + r->at.slots,
        .query_start = arrays + r->at.query_start,
        .kv_lengths = arrays + r->at.kv_lengths,
        .block_tables = arrays + r->at.tables,
        .max_blocks = step->max_blocks,
        .attention_work = work,
        .n_logit_rows = rows,
        .logit_rows = arrays + r->at.logit_rows,
    };
    return STATUS_OK;
}

/* Angles of kinds that depend on the length: from the host. */
static status send_angles(struct device_runner *r, const struct llama_step *step,
                          const struct llama_workspace *w, struct error *err)
{
    int64_t half = r->config->head_dim / 2;
    float *cosines = r->angles_host, *sines = cosines + step->n_tokens * half;
    for (int64_t t = 0; t < step->n_tokens; t++) {
        int32_t length = step->rope_lengths ? step->rope_lengths[t] : step->positions[t] + 1;
        rope_angles(&r->config->rope, step->positions[t], length, cosines + t * half,
                    sines + t * half);
    }
    size_t bytes = (size_t)(step->n_tokens * half) * sizeof(float);
    TRY(device_upload(r->device, w->cosines.data, cosines, bytes, err));
    return device_upload(r->device, w->sines.data, sines, bytes, err);
}

static status queue(struct device_runner *r, const struct llama_step *step,
                    const struct llama_workspace *w, struct error *err)
{
    const struct op_context ops = {&r->table, NULL, NULL, 0, r->cuda};
    if (!r->angles_vary) {
        int64_t half = r->config->head_dim / 2, n = r->limits.max_tokens;
        struct tensor rows =
            tensor_1d((void *)(uintptr_t)step->positions, DTYPE_I32, step->n_tokens);
        const struct op_gather_rows gathers[] = {
            {w->cosines, tensor_2d(r->cosines, DTYPE_F32, n, half), rows},
            {w->sines, tensor_2d(r->sines, DTYPE_F32, n, half), rows},
        };
        for (int i = 0; i < 2; i++) TRY(op_gather_rows(&ops, &gathers[i], err));
    }
    TRY(llama_compute(r->model, &ops, w, &r->cache, step, r->logits, err));
    return op_cuda_check(r->cuda, err);
}

static status check_step(struct device_runner *r, const struct llama_step *step, struct error *err)
{
    struct llama_workspace checks = {.slot_table = r->slot_table,
                                     .slot_table_size = slot_table_size(step->n_tokens)};
    TRY(llama_step_check_counts(&r->limits, &r->cache, step, err));
    return llama_step_check(r->config, &r->cache, step, &checks, err);
}

static status runner_run(void *self, const struct llama_step *step, float *logits,
                         struct error *err)
{
    struct device_runner *r = self;
    struct op_attention_work work;
    struct llama_step sent;
    struct llama_workspace w;
    int index = 0;
    (void)logits;          /* rows stay here */
    device_use(r->device); /* an engine may move to another thread */
    TRY(check_step(r, step, err));
    bool plain = step->n_tokens <= MOST_GRAPH_TOKENS && !r->angles_vary && !r->deterministic &&
                 is_plain_decode(step);
    int64_t n_tokens = plain ? bucket_of(step->n_tokens, &index) : step->n_tokens;
    if (n_tokens > r->limits.max_tokens || n_tokens > r->limits.max_logit_rows)
        plain = false, n_tokens = step->n_tokens;
    TRY(send(r, step, n_tokens, &work, &sent, err));
    llama_workspace_carve(&w, r->config, &r->limits, n_tokens, sent.n_logit_rows, r->workspace);
    if (r->angles_vary) TRY(send_angles(r, step, &w, err));
    if (!plain) {
        r->n_eager++;
        return queue(r, &sent, &w, err);
    }
    r->n_graph_launches++;
    if (!r->graphs[index]) { /* once eagerly: libraries choose and load what they run */
        TRY(queue(r, &sent, &w, err));
        TRY(device_wait(r->device, err));
        TRY(device_graph_begin(r->device, err));
        status queued = queue(r, &sent, &w, err);
        status ended =
            device_graph_end(r->device, &r->graphs[index], queued == STATUS_OK ? err : NULL);
        return queued != STATUS_OK ? queued : ended;
    }
    return device_graph_launch(r->device, r->graphs[index], err);
}

static void runner_copy_block(void *self, int32_t from, int32_t to)
{
    struct device_runner *r = self;
    device_use(r->device);
    for (int64_t i = 0; i < 2 * r->config->num_hidden_layers; i++) {
        char *base = (char *)r->cache.data + (size_t)i * r->plane_bytes;
        /* an error of the queue is met again by the step that follows */
        device_copy(r->device, base + (size_t)to * r->block_bytes,
                    base + (size_t)from * r->block_bytes, r->block_bytes, NULL);
    }
}

static status runner_choose(void *self, const struct step_draw *draws, int32_t n_draws,
                            token_id *tokens, struct error *err)
{
    struct device_runner *r = self;
    bool greedy = true;
    for (int32_t i = 0; i < n_draws; i++) {
        r->draws_host[i] = (struct op_cuda_draw){draws[i].seed, draws[i].stream, draws[i].counter,
                                                 draws[i].temperature, draws[i].row};
        greedy = greedy && !(draws[i].temperature > 0) && draws[i].row == i;
    }
    int64_t V = r->config->vocab_size;
    if (greedy) {
        op_cuda_argmax(r->cuda, r->logits, n_draws, V, r->chosen);
    } else {
        TRY(device_upload(r->device, r->draws, r->draws_host, (size_t)n_draws * sizeof *r->draws,
                          err));
        op_cuda_sample(r->cuda, r->logits, V, r->draws, n_draws, r->chosen);
    }
    TRY(op_cuda_check(r->cuda, err));
    TRY(device_download(r->device, r->chosen_host, r->chosen, (size_t)n_draws * sizeof *r->chosen,
                        err));
    TRY(device_wait(r->device, err));
    memcpy(tokens, r->chosen_host, (size_t)n_draws * sizeof *tokens);
    return STATUS_OK;
}

static status runner_fetch(void *self, int32_t row, float *logits, struct error *err)
{
    struct device_runner *r = self;
    size_t bytes = (size_t)r->config->vocab_size * sizeof(float);
    TRY(device_download(r->device, r->row_host,
                        r->logits + (size_t)row * (size_t)r->config->vocab_size, bytes, err));
    TRY(device_wait(r->device, err));
    memcpy(logits, r->row_host, bytes);
    return STATUS_OK;
}

status device_runner_create(struct step_runner *out, const struct llama_model *model,
                            struct device *device, const struct engine_memory_plan *plan,
                            struct thread_pool *pool, struct error *err)
{
    struct device_runner *r = calloc(1, sizeof *r);
    if (!r) {
        device_close(device);
        return error_set(err, STATUS_NO_MEMORY, "engine: no memory");
    }
    r->device = device;
    status result = init(r, model, plan, pool, err);
    if (result != STATUS_OK) {
        runner_destroy(r);
        return result;
    }
    *out = (struct step_runner){.self = r,
                                .run = runner_run,
                                .copy_block = runner_copy_block,
                                .destroy = runner_destroy,
                                .choose = runner_choose,
                                .fetch = runner_fetch};
    return STATUS_OK;
}

/* ---- which device ------------------------------------------------------------------------------ */

/* Whether op/cuda has what the model needs. */
static status check_model(const struct llama_config *c, struct error *err)
{
    if (c->quantization.layout != QUANTIZATION_NONE)
        return error_set(err, STATUS_UNSUPPORTED,
                         "cuda: packed weights (AWQ, GPTQ, FP8, compressed-tensors) run on the "
                         "processor only for now: --device cpu");
    struct op_cuda_limits limits = {
        .hidden_size = c->hidden_size,
        .intermediate_size = c->intermediate_size,
        .n_heads = c->num_attention_heads,
        .n_kv_heads = c->num_key_value_heads,
        .head_dim = c->head_dim,
    };
    return op_cuda_check_limits(&limits, err);
}

status device_choose(struct device **out, const struct llama_config *c, const char *name,
                     struct error *err)
{
    *out = NULL;
    struct error why;
    if (name && !strcmp(name, "cpu")) return STATUS_OK;
    if (!name || !strcmp(name, "auto")) {
        bool fits = check_model(c, &why) == STATUS_OK && device_count(&why) > 0;
        if (fits && device_open(out, 0, &why) != STATUS_OK) *out = NULL;
        return STATUS_OK;
    }
    int ordinal = 0, end = 0;
    bool good =
        !strcmp(name, "cuda") || (sscanf(name, "cuda:%d%n", &ordinal, &end) == 1 && !name[end]);
    if (!good)
        return error_set(err, STATUS_INVALID,
                         "device: got \"%s\", expected auto, cpu, cuda or cuda:N", name);
    TRY(check_model(c, err));
    return device_open(out, ordinal, err);
}
