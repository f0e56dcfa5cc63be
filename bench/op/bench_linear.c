/* bench_linear: us, GB/s and GFLOP/s of op_linear at the shapes of an 8B model, and the fraction of
 * the floor: the larger of the times for reading the weights once and for the multiply-adds, with
 * the ceilings measured in this run. Several copies of a weight are visited in turn, so that they
 * come from memory, as in a model. */
#include "bench.h"

enum { WORKING_SET = 1 << 30 };

struct shape {
    int64_t rows, width;
};

static double time_linear(const struct op_context *context, struct shape shape, enum dtype dtype,
                          int64_t n_tokens, double seconds)
{
    size_t bytes = (size_t)(shape.rows * shape.width) * dtype_size(dtype);
    int copies = (int)(WORKING_SET / bytes) + 1;
    char *data = bench_alloc(bytes * (size_t)copies);
    struct tensor weight = tensor_2d(data, dtype, shape.rows, shape.width);
    bench_fill(&weight, 1);
    for (int i = 1; i < copies; i++) memcpy(data + (size_t)i * bytes, data, bytes);
    struct op_linear op = {
        .x = tensor_2d(bench_alloc((size_t)(n_tokens * shape.width) * 4), DTYPE_F32, n_tokens,
                       shape.width),
        .n_projections = 1,
        .outs[0] = tensor_2d(bench_alloc((size_t)(n_tokens * shape.rows) * 4), DTYPE_F32, n_tokens,
                             shape.rows),
    };
    bench_fill(&op.x, 2);
    double best = 1e30, begin = bench_now();
    struct error err;
    for (int i = 0; i < 3 || bench_now() - begin < seconds; i++) {
        op.weights[0] = weight;
        op.weights[0].data = data + (size_t)(i % copies) * bytes;
        double start = bench_now();
        if (op_linear(context, &op, &err)) {
            fprintf(stderr, "%s\n", err.text);
            exit(1);
        }
        double took = bench_now() - start;
        if (took < best) best = took;
    }
    free(data);
    free(op.x.data);
    free(op.outs[0].data);
    return best;
}

int main(int argc, char **argv)
{
    static const struct shape shapes[] = {
        {4096, 4096}, {14336, 4096}, {4096, 14336}, {128256, 4096}};
    static const enum dtype dtypes[] = {DTYPE_BF16, DTYPE_F16, DTYPE_F32};
    static const int64_t tokens[] = {1, 2, 4, 8, 16, 128, 512};
    struct bench_options options = bench_parse(argc, argv);
    struct bench_rig rig;
    bench_start(&rig, &options, 512, 14336);
    printf("%6s %6s %6s %5s %10s %8s %9s %9s\n", "rows", "width", "type", "T", "us", "GB/s",
           "GFLOP/s", "of floor");
    for (size_t s = 0; s < (options.quick ? 1 : 4); s++)
        for (int d = 0; d < (s == 0 ? 3 : 1); d++)
            for (int t = 0; t < (s == 3 ? 3 : 7); t++) {
                double took =
                    time_linear(&rig.context, shapes[s], dtypes[d], tokens[t], options.seconds);
                double weights = (double)(shapes[s].rows * shapes[s].width);
                double bytes = weights * (double)dtype_size(dtypes[d]);
                double flops = 2 * weights * (double)tokens[t];
                double floor_s = bytes / rig.ceiling.bytes_per_second;
                double compute_s = flops / rig.ceiling.flops_per_second;
                if (compute_s > floor_s) floor_s = compute_s;
                printf("%6" PRId64 " %6" PRId64 " %6s %5" PRId64 " %10.1f %8.1f %9.1f %8.0f%%\n",
                       shapes[s].rows, shapes[s].width, dtype_name(dtypes[d]), tokens[t],
                       took * 1e6, bytes / took * 1e-9, flops / took * 1e-9, 100 * floor_s / took);
                fflush(stdout);
            }
    bench_stop(&rig);
    return 0;
}
