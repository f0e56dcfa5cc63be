/* bench_machine [THREADS]: the ceilings that the other benchmarks are compared with. */
#include "bench.h"

int main(int argc, char **argv)
{
    struct thread_pool *threads;
    struct error err;
    if (thread_pool_create(&threads, argc > 1 ? bench_number(argv[1]) : 0, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    struct bench_ceiling ceiling = bench_measure_ceiling(threads);
    printf("threads %d, read %.1f GB/s, fused multiply-add %.1f GFLOP/s\n",
           thread_pool_size(threads), ceiling.bytes_per_second * 1e-9,
           ceiling.flops_per_second * 1e-9);
    thread_pool_destroy(threads);
    return 0;
}
