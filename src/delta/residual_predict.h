/* Predictions and contexts of codes, in plain loops over 32 lanes that a compiler turns into
 * vectors of whatever set the including file is compiled for. Floats are rounded operation by
 * operation, so all sets find the same contexts. */
#ifndef COVEY_DELTA_RESIDUAL_PREDICT_H
#define COVEY_DELTA_RESIDUAL_PREDICT_H

#include "delta/residual.h"
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

typedef struct residual_guess {
    uint8_t near[32]; /* F */
    int16_t prediction[32];
    int16_t below[32]; /* -1 where g is -1, else 0 */
} residual_guess;

/* Choices are made on the bits of floats: comparing floats keeps compilers from making vectors,
 * since it might raise a flag. */
static inline int32_t residual_bits(float x) {
    int32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

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

/* Of p, which lies within the codes: the prediction, F, and -1 where g is. */
static inline int32_t residual_nearest(float p, int32_t *near, int32_t *below) {
    float nearest = p + 12582912.0f; /* 1.5 * 2^23: what is added and taken away rounds */
    nearest = nearest - 12582912.0f;
    float rest = p - nearest;
    rest = rest + 0.0f; /* no negative zero */
    float scaled = fabsf(rest) * 28.0f;
    *below = residual_bits(rest) >> 31;
    /* 0.4375 is 28 / 64 */
    *near = residual_bits(scaled) < 0x3ee00000 ? 0 : (int32_t)scaled + 1;
    return (int32_t)nearest;
}

static inline float residual_within(float p, float low, float high) {
    p = p < low ? low : p;
    return p > high ? high : p;
}

static inline void residual_affine(const int8_t *old, const int32_t *dot, float k, float b, float h,
                                   float low, float high, int count, uint8_t *near_out,
                                   int16_t *prediction, int16_t *below_out) {
    for (int i = 0; i < count; i++) {
        int32_t near, below;
        float p = (float)old[i] * k;
        p = p + b;
        if (dot) {
            float move = (float)dot[i] * h;
            p = p + move;
        }
        prediction[i] = (int16_t)residual_nearest(residual_within(p, low, high), &near, &below);
        near_out[i] = (uint8_t)near;
        below_out[i] = (int16_t)below;
    }
}

static inline void residual_codebook(const int8_t *old, float k, int count, uint8_t *near_out,
                                     int16_t *prediction, int16_t *below) {
    uint8_t nears[16];
    int16_t nearest[16], belows[16];
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
        nearest[q] = (int16_t)best;
        belows[q] = (int16_t)(rest < 0.0f ? -1 : 0);
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
    int count = run->subs == 2 ? 16 : 32;
    for (int s = 0; s < run->subs; s++) {
        size_t at = g * (size_t)run->subs + (size_t)s, lane = (size_t)s * 16;
        if (run->has_codebook)
            residual_codebook(run->old + g * 32 + lane, run->k[at], count, guess->near + lane,
                              guess->prediction + lane, guess->below + lane);
        else if (count == 32)
            residual_affine(run->old + g * 32, run->h ? run->dot + g * 32 : NULL, run->k[at],
                            run->b[at], run->h ? run->h[at] : 0.0f, run->low, run->high, 32,
                            guess->near, guess->prediction, guess->below);
        else
            residual_affine(run->old + g * 32 + lane, run->h ? run->dot + g * 32 + lane : NULL,
                            run->k[at], run->b[at], run->h ? run->h[at] : 0.0f, run->low, run->high,
                            16, guess->near + lane, guess->prediction + lane, guess->below + lane);
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
