/* bench_linear_quantised: us, GB/s and G multiply-adds/s of op_linear with quantised weights at the shapes of an 8B model,
 * beside bf16 weights, and the fraction of the floor. The floor of one token is the time for reading the weights once
 * at the bandwidth measured in this run; of many tokens, their multiply-adds at the peak of the instructions used
 * (vpmaddubsw or vpmaddwd alone on registers), measured too. Copies are visited in turn, as in bench_linear. */
#include "bench.h"
#include "tensor/quant.h"

enum { WORKING_SET = 1 << 29 };

#if defined(__x86_64__)
/* G multiply-adds/s of one core: 32 of each vpmaddubsw, each followed by an addition in 16 bits. */
__attribute__((target("avx2"))) static double byte_peak(void)
{
    __m256i sums[8], w = _mm256_set1_epi8(3), x = _mm256_set1_epi8(5);
    for (int i = 0; i < 8; i++) sums[i] = _mm256_setzero_si256();
    double best = 1e30;
    for (int repeat = 0; repeat < 20; repeat++) {
        double start = bench_now();
        for (int n = 0; n < 200000; n++)
            for (int i = 0; i < 8; i++) {
                __asm__ volatile("" : "+x"(w));
                sums[i] = _mm256_add_epi16(sums[i], _mm256_maddubs_epi16(w, x));
            }
        double took = bench_now() - start;
        if (took < best) best = took;
    }
    for (int i = 0; i < 8; i++) __asm__ volatile("" : : "x"(sums[i]));
    return 200000.0 * 8 * 32 / best / 1e9;
}
#else
static double byte_peak(void) { return 0; }
#endif

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
    struct op_linear op = {
        .x = tensor_2d(bench_alloc((size_t)(n_tokens * width) * 4), DTYPE_F32, n_tokens, width),
        .n_projections = 1,
        .outs[0] = tensor_2d(bench_alloc((size_t)(n_tokens * rows) * 4), DTYPE_F32, n_tokens, rows),
    };
    bench_fill(&op.x, 2);
    double best = 1e30, begin = bench_now();
    struct error err;
    for (int i = 0; i < 3 || bench_now() - begin < seconds; i++) {
        op.weights[0] = tensor_2d(data + (size_t)(i % copies) * bytes, dtype, rows, width);
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
    static const enum dtype dtypes[] = {DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_0, DTYPE_Q4_K,
                                        DTYPE_Q6_K, DTYPE_Q5_K, DTYPE_Q2_K};
    static const int64_t tokens[] = {1, 8, 512};
    struct bench_options options = bench_parse(argc, argv);
    struct bench_rig rig;
    bench_start(&rig, &options, 512, 14336);
    double peak = byte_peak() * thread_pool_size(rig.context.threads);
    printf("vpmaddubsw peak, %d threads: %.0f G multiply-adds/s\n",
           thread_pool_size(rig.context.threads), peak);
    printf("%6s %5s %10s %8s %9s %9s\n", "type", "T", "us", "GB/s", "G madd/s", "of floor");
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++)
        for (int t = 0; t < 3; t++) {
            const int64_t rows = 4096, width = 4096;
            size_t bytes = 0;
            dtype_bytes(dtypes[d], rows * width, &bytes);
            double took =
                time_linear(&rig.context, rows, width, dtypes[d], tokens[t], options.seconds);
            double madds = (double)rows * (double)width * (double)tokens[t];
            double memory = (double)bytes / rig.ceiling.bytes_per_second,
                   compute = madds / (peak * 1e9);
            double floor = memory > compute ? memory : compute;
            printf("%6s %5d %10.1f %8.2f %9.1f %9.2f\n", dtype_name(dtypes[d]), (int)tokens[t],
                   took * 1e6, (double)bytes / took / 1e9, madds / took / 1e9, floor / took);
        }
    bench_stop(&rig);
    return 0;
}
