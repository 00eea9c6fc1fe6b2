/* Predictions and contexts of codes, in plain loops over 32 lanes that a compiler turns into
 * vectors of whatever set the including file is compiled for. Floats are rounded operation by
 * operation, so all sets find the same contexts. */
#ifndef COVEY_DELTA_RESIDUAL_PREDICT_H
#define COVEY_DELTA_RESIDUAL_PREDICT_H

#include "delta/residual.h"
#include "delta/residual_affine.h"
#include "delta/tensor_blocks.h"

#include <math.h>
#include <string.h>

#define RESIDUAL_DEEP2   512u
#define RESIDUAL_DEEP3   544u
#define RESIDUAL_DEEP4   576u
#define RESIDUAL_DIGITS0 608u
#define RESIDUAL_DIGITS1 609u
#define RESIDUAL_DIGITS2 611u
#define RESIDUAL_DIGITS3 614u

/* A: half octaves of est / step. The step is 0 or more, and finite; est is no less than 0. */
static inline uint32_t residual_level(float est, float step) {
    float ratio = est / step;
    int32_t half_octaves = (int32_t)(((uint32_t)residual_bits(ratio) & 0x7fffffffu) >> 22) - 244;
    half_octaves = half_octaves < 0 ? 0 : half_octaves;
    half_octaves = half_octaves > 31 ? 31 : half_octaves;
    return (uint32_t)(residual_bits(step) != 0 ? half_octaves : 0);
}

static inline void residual_learn(float *est, float seen) {
    float change = seen - *est;
    change = change * 0.0625f;
    *est = *est + change;
}

static inline void residual_codebook(const int8_t *old, float k, int count, uint8_t *near_out,
                                     int8_t *prediction, int8_t *below) {
    uint8_t nears[16];
    int8_t nearest[16], belows[16];
    for (int q = 0; q < 16; q++) {
        float p = (float)covey__iq4_values[q] * k;
        int best = 0;
        for (int c = 1; c < 16; c++)
            if (fabsf(p - (float)covey__iq4_values[c]) < fabsf(p - (float)covey__iq4_values[best]))
                best = c;
        float rest = p - (float)covey__iq4_values[best];
        int side = rest < 0.0f ? best - 1 : best + 1;
        float size = 0.0f;
        if (side >= 0 && side < 16)
            size = fabsf(rest) /
                   fabsf((float)covey__iq4_values[side] - (float)covey__iq4_values[best]);
        float scaled = size * 28.0f;
        int32_t near = scaled < 0.4375f ? 0 : (int32_t)scaled + 1; /* 28 / 64, as below */
        nears[q] = (uint8_t)near;
        nearest[q] = (int8_t)best;
        belows[q] = (int8_t)(rest < 0.0f ? -1 : 0);
    }
    for (int i = 0; i < count; i++) {
        near_out[i] = nears[old[i] & 15];
        prediction[i] = nearest[old[i] & 15];
        below[i] = belows[old[i] & 15];
    }
}

/* A of the lower and of the upper half of group `g`. */
static inline void residual_levels_group(const covey__code_run *run, size_t g, float est,
                                         uint32_t level[2]) {
    const float *step = run->step + g * (size_t)run->subs;
    level[0] = level[1] = residual_level(est, step[0]);
    if (run->subs == 2) level[1] = residual_level(est, step[1]);
}

/* Guesses of group `g`: nothing of it waits for what was decoded before. */
static inline void residual_guess_group(const covey__code_run *run, size_t g,
                                        residual_guess *guess) {
    const int8_t *old = run->old + g * 32;
    const int32_t *dot = run->h ? run->dot + g * 32 : NULL;
    residual_map map = {.low = run->low, .high = run->high};
    for (size_t half = 0; half < 2; half++) {
        size_t sub = run->subs == 2 ? 2 * g + half : g, lane = 16 * half;
        if (run->has_codebook) {
            residual_codebook(old + lane, run->k[sub], 16, guess->near + lane,
                              guess->prediction + lane, guess->below + lane);
            continue;
        }
        map.k = run->k[sub];
        map.b = run->b[sub];
        map.h = run->h ? run->h[sub] : 0.0f;
        residual_affine16(old + lane, dot ? dot + lane : NULL, &map, guess, lane);
    }
}

/* Sums of |r| over a group's sub-blocks. */
static inline void residual_moved(const int16_t residual[32], int32_t subs, uint32_t moved[2]) {
    int count = subs == 2 ? 16 : 32;
    moved[1] = 0;
    for (int s = 0; s < subs; s++) {
        int32_t sum = 0;
        for (int i = 0; i < count; i++) {
            int16_t r = residual[s * 16 + i];
            sum += r < 0 ? -r : r;
        }
        moved[s] = (uint32_t)sum;
    }
}

/* The estimate after group `g`, for the sums of |r| in its halves, whichever part of them is in
 * which where it has one sub-block. */
static inline float residual_learn_group(const covey__code_run *run, size_t g, float est,
                                         uint32_t low, uint32_t high) {
    const float *step = run->step + g * (size_t)run->subs;
    float seen = (float)(int32_t)(run->subs == 2 ? low : low + high) * step[0];
    if (run->subs == 2) {
        float part = (float)(int32_t)high * step[1];
        seen = seen + part;
    }
    residual_learn(&est, seen);
    return est;
}

#endif
