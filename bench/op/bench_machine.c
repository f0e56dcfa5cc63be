/* bench_machine: the ceilings that the other benchmarks are compared with, alone. */
#include "bench.h"

int main(int argc, char **argv)
{
    struct bench_options options = bench_parse(argc, argv);
    struct bench_rig rig;
    bench_start(&rig, &options, 1, 1);
    bench_stop(&rig);
    return 0;
}
