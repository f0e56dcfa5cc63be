/* bench_linear_quantised: us, GB/s and G multiply-adds/s of op_linear with quantised weights at the shapes of an 8B model,
 * beside bf16 weights, and the fraction of the floor. Weights are packed where the bodies in use want that. The floor is
 * the longer of two times: for reading the weights once at the bandwidth measured in this run, and for the multiply-adds
 * of bytes (bf16: of bf16, or f32 where there are none) at the rate of their instruction alone on registers, measured
 * too. Copies are visited in turn, as in bench_linear. */
#include "bench.h"
#include "tensor/quant.h"

enum { WORKING_SET = 1 << 29 };

static double time_linear(const struct op_context *context, int64_t rows, int64_t width,
                          enum dtype dtype, int64_t n_tokens, double seconds)
{
    size_t bytes = 0;
    if (!dtype_bytes(dtype, rows * width, &bytes)) exit(1);
    int copies = (int)(WORKING_SET / bytes) + 1;
    unsigned char *data = bench_alloc(bytes * (size_t)copies);
    for (size_t i = 0; i < bytes * (size_t)copies;
         i++) /* f16 scales of any bytes but the exponent of infinity */
        data[i] = (unsigned char)((i * 2654435761u >> 13) & 0x37);
    struct tensor plain = tensor_2d(data, dtype, rows * copies, width);
    bench_fill(&plain, 1); /* of whole numbers: the bytes above may be denormal */
    struct op_linear op = {
        .x = tensor_2d(bench_alloc((size_t)(n_tokens * width) * 4), DTYPE_F32, n_tokens, width),
        .n_projections = 1,
        .outs[0] = tensor_2d(bench_alloc((size_t)(n_tokens * rows) * 4), DTYPE_F32, n_tokens, rows),
    };
    bench_fill(&op.x, 2);
    struct error err;
    struct op_pack pack = {.from = tensor_2d(data, dtype, rows, width)};
    unsigned char *packed = NULL;
    if (op_packs(context->table, &pack.from)) {
        packed = bench_alloc(bytes * (size_t)copies);
        for (int i = 0; i < copies; i++) {
            pack.from = tensor_2d(data + (size_t)i * bytes, dtype, rows, width);
            pack.to = tensor_2d(packed + (size_t)i * bytes, dtype, rows, width);
            pack.to.layout = TENSOR_ROWS_16;
            if (op_pack(context, &pack, &err)) exit(1);
        }
    }
    double best = 1e30, begin = bench_now();
    for (int i = 0; i < 3 || bench_now() - begin < seconds; i++) {
        op.weights[0] =
            tensor_2d((packed ? packed : data) + (size_t)(i % copies) * bytes, dtype, rows, width);
        op.weights[0].layout = packed ? TENSOR_ROWS_16 : TENSOR_ROW_MAJOR;
        double start = bench_now();
        if (op_linear(context, &op, &err)) {
            fprintf(stderr, "%s\n", err.text);
            exit(1);
        }
        double took = bench_now() - start;
        if (took < best) best = took;
    }
    free(packed);
    free(data);
    free(op.x.data);
    free(op.outs[0].data);
    return best;
}

static double madd_peak(const struct bench_ceiling *ceiling, enum dtype dtype)
{
    if (dtype_is_quantised(dtype) && ceiling->bytes_madds_per_second > 0)
        return ceiling->bytes_madds_per_second;
    double f32 = ceiling->flops_per_second / 2;
    return dtype == DTYPE_BF16 && ceiling->bf16_madds_per_second > f32
               ? ceiling->bf16_madds_per_second
               : f32;
}

int main(int argc, char **argv)
{
    static const enum dtype dtypes[] = {DTYPE_Q8_0, DTYPE_Q4_0,   DTYPE_Q4_K, DTYPE_Q6_K,
                                        DTYPE_Q5_K, DTYPE_IQ4_NL, DTYPE_Q2_K, DTYPE_BF16};
    static const int64_t tokens[] = {1, 2, 4, 8, 16, 512};
    struct bench_options options = bench_parse(argc, argv);
    struct bench_rig rig;
    bench_start(&rig, &options, 512, 14336);
    printf("%6s %5s %10s %8s %9s %9s\n", "type", "T", "us", "GB/s", "G madd/s", "of floor");
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++)
        for (int t = 0; t < 6; t++) {
            if (options.only && strcmp(options.only, dtype_name(dtypes[d]))) continue;
            const int64_t rows = 4096, width = 4096;
            size_t bytes = 0;
            dtype_bytes(dtypes[d], rows * width, &bytes);
            double took =
                time_linear(&rig.context, rows, width, dtypes[d], tokens[t], options.seconds);
            double madds = (double)rows * (double)width * (double)tokens[t];
            double memory = (double)bytes / rig.ceiling.bytes_per_second,
                   compute = madds / madd_peak(&rig.ceiling, dtypes[d]);
            double floor = memory > compute ? memory : compute;
            printf("%6s %5d %10.1f %8.2f %9.1f %9.2f\n", dtype_name(dtypes[d]), (int)tokens[t],
                   took * 1e6, (double)bytes / took / 1e9, madds / took / 1e9, floor / took);
            fflush(stdout);
        }
    bench_stop(&rig);
    return 0;
}
