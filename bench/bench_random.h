/* Random numbers of the benches' models: the same for the same seed, on every machine. The step is
 * SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014). */
#ifndef COVEY_BENCH_RANDOM_H
#define COVEY_BENCH_RANDOM_H

#include <stdint.h>

static inline uint64_t bench_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* From 0 up to, not including, 1. */
static inline double bench_uniform(uint64_t *state) {
    return (double)(bench_random(state) >> 11) / 9007199254740992.0;
}

#endif
