/* bench_attention: op_attention with the heads of an 8B model (H 32, KH 8, HD 128, blocks of 16),
 * decoding and prefilling. The floor is the larger of the time to read keys and values once and the
 * time of the multiply-adds, with the ceilings measured in this run. */
#include "bench.h"

enum { HEADS = 32, KV_HEADS = 8, WIDTH = 128, BLOCK_TOKENS = 16, COPIES = 4 };

struct shape {
    int64_t n_sequences, n_queries, length;
};

static double time_attention(const struct op_context *context, struct shape shape, enum dtype dtype,
                             double seconds)
{
    int64_t max_blocks = (shape.length + BLOCK_TOKENS - 1) / BLOCK_TOKENS;
    int64_t n_tokens = shape.n_sequences * shape.n_queries;
    int64_t n_blocks = shape.n_sequences * max_blocks;
    size_t cache_bytes = (size_t)(n_blocks * KV_HEADS * BLOCK_TOKENS * WIDTH) * dtype_size(dtype);
    char *k = bench_alloc(cache_bytes * COPIES), *v = bench_alloc(cache_bytes * COPIES);
    struct tensor all = tensor_4d(k, dtype, n_blocks, KV_HEADS, BLOCK_TOKENS, WIDTH);
    bench_fill(&all, 1);
    for (int i = 1; i < COPIES; i++) memcpy(k + (size_t)i * cache_bytes, k, cache_bytes);
    memcpy(v, k, cache_bytes * COPIES);
    int32_t *tables = bench_alloc((size_t)n_blocks * 4);
    int32_t *start = bench_alloc((size_t)(shape.n_sequences + 1) * 4);
    int32_t *lengths = bench_alloc((size_t)shape.n_sequences * 4);
    for (int64_t i = 0; i < n_blocks; i++) tables[i] = (int32_t)(n_blocks - 1 - i);
    for (int64_t b = 0; b < shape.n_sequences; b++) {
        start[b + 1] = (int32_t)((b + 1) * shape.n_queries);
        lengths[b] = (int32_t)shape.length;
    }
    size_t q_bytes = (size_t)(n_tokens * HEADS * WIDTH) * 4;
    struct op_attention op = {
        .q = tensor_3d(bench_alloc(q_bytes), DTYPE_F32, n_tokens, HEADS, WIDTH),
        .out = tensor_3d(bench_alloc(q_bytes), DTYPE_F32, n_tokens, HEADS, WIDTH),
        .k_cache = all,
        .v_cache = all,
        .block_tables = tensor_2d(tables, DTYPE_I32, shape.n_sequences, max_blocks),
        .query_start = tensor_1d(start, DTYPE_I32, shape.n_sequences + 1),
        .kv_lengths = tensor_1d(lengths, DTYPE_I32, shape.n_sequences),
        .scale = 0.0883883f,
    };
    bench_fill(&op.q, 2);
    double best = 1e30, begin = bench_now();
    struct error err;
    for (int i = 0; i < 3 || bench_now() - begin < seconds; i++) {
        op.k_cache.data = k + (size_t)(i % COPIES) * cache_bytes;
        op.v_cache.data = v + (size_t)(i % COPIES) * cache_bytes;
        double before = bench_now();
        if (op_attention(context, &op, &err)) {
            fprintf(stderr, "%s\n", err.text);
            exit(1);
        }
        double took = bench_now() - before;
        if (took < best) best = took;
    }
    free(k);
    free(v);
    free(tables);
    free(start);
    free(lengths);
    free(op.q.data);
    free(op.out.data);
    return best;
}

int main(int argc, char **argv)
{
    static const struct shape shapes[] = {
        {1, 1, 1024}, {1, 1, 8192}, {16, 1, 1024}, {1, 512, 512}, {1, 512, 8192}};
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    struct bench_options options = bench_parse(argc, argv);
    struct bench_rig rig;
    bench_start(&rig, &options, 512, 14336);
    printf("%6s %4s %5s %7s %10s %8s %9s %9s\n", "type", "B", "T/B", "length", "us", "GB/s",
           "GFLOP/s", "of floor");
    for (int d = 0; d < 3; d++)
        for (int s = 0; s < (options.quick ? 1 : 5); s++) {
            struct shape shape = shapes[s];
            double took = time_attention(&rig.context, shape, dtypes[d], options.seconds);
            double n = (double)shape.length, t = (double)shape.n_queries;
            double visible = t * (n - t) + t * (t + 1) / 2; /* positions summed over queries */
            double flops = (double)shape.n_sequences * visible * HEADS * WIDTH * 4;
            double bytes = (double)shape.n_sequences * n * KV_HEADS * WIDTH * 2 *
                           (double)dtype_size(dtypes[d]);
            double floor_s = bytes / rig.ceiling.bytes_per_second;
            double compute_s = flops / rig.ceiling.flops_per_second;
            if (compute_s > floor_s) floor_s = compute_s;
            printf("%6s %4d %5d %7d %10.1f %8.1f %9.1f %8.0f%%\n", dtype_name(dtypes[d]),
                   (int)shape.n_sequences, (int)shape.n_queries, (int)shape.length, took * 1e6,
                   bytes / took * 1e-9, flops / took * 1e-9, 100 * floor_s / took);
            fflush(stdout);
        }
    bench_stop(&rig);
    return 0;
}
