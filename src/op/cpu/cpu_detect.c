#include "op/cpu/cpu_detect.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <stdint.h>

/* XCR0: which register states the system saves on a context switch (Intel SDM vol. 1, 13.3). */
static uint64_t enabled_state(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

struct cpu_features cpu_detect(void)
{
    struct cpu_features features = {0};
    const uint64_t ymm_state = 0x06, zmm_state = 0xE6;
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return features;
    bool fma = c & bit_FMA, f16c = c & bit_F16C;
    uint64_t state = enabled_state();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return features;
    features.avx2 = (b & bit_AVX2) && fma && f16c && (state & ymm_state) == ymm_state;
    const unsigned avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
    features.avx512 = features.avx2 && (b & avx512) == avx512 && (state & zmm_state) == zmm_state;
    features.avx512vnni = features.avx512 && (c & bit_AVX512VNNI);
    if (features.avx512vnni && __get_cpuid_count(7, 1, &a, &b, &c, &d))
        features.avx512bf16 = a & bit_AVX512BF16;
    return features;
}
#elif defined(__aarch64__)
struct cpu_features cpu_detect(void) { return (struct cpu_features){.neon = true}; }
#else
struct cpu_features cpu_detect(void) { return (struct cpu_features){0}; }
#endif
