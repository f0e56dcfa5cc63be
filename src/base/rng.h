/* rng: counter-based random numbers.
 *
 * A draw is a pure function of (seed, stream, counter), so a request's draws do not depend on what else
 * runs, on preemption or on replay. The mixing is SplitMix64's finaliser applied to a Weyl sequence
 * (Steele, Lea & Flood 2014) over a key made from seed and stream.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

static inline uint64_t rng_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline uint64_t rng_u64(uint64_t seed, uint64_t stream, uint64_t counter)
{
    uint64_t key = rng_mix(seed + 0x9E3779B97F4A7C15u) ^ rng_mix(stream + 0xD1B54A32D192ED03u);
    return rng_mix(rng_mix(key) + counter * 0x9E3779B97F4A7C15u);
}

/* Uniform in [0, 1) with 53 random bits. */
static inline double rng_uniform(uint64_t seed, uint64_t stream, uint64_t counter)
{
    return (double)(rng_u64(seed, stream, counter) >> 11) * 0x1.0p-53;
}

#endif
