/* What the encoders share: rounding, and the search for a group's scale (encode_fit.c). A group is
 * 16 or 32 weights that share a scale, and with some types a least value. Each weight has an
 * importance, 0 or more: the error that is kept small is the sum of importance * difference^2. */
#ifndef COVEY_KERNEL_ENCODE_FIT_H
#define COVEY_KERNEL_ENCODE_FIT_H

#include "kernel/parts.h"

#define COVEY__GROUP_VALUES_MAX 32

COVEY__INLINE int covey__clamp(int x, int low, int high) {
    return x < low ? low : x > high ? high : x;
}

/* To the nearest whole number, ties to even, within [low, high]. A NaN gives low. */
COVEY__INLINE float covey__level(float x, float low, float high) {
    x = x > low ? x : low;
    x = x < high ? x : high;
    return (x + 12582912.0f) - 12582912.0f;
}

/* x[i] is about d * level[i] - m. */
typedef struct covey__affine {
    float d, m;
} covey__affine;

/* Levels 0 to `top`, d and m at least 0. */
covey__affine covey__fit_affine(const float *x, const float *importance, int n, int top);
/* Levels `low` (below 0) to `high`, and a scale of either sign: x[i] is about the scale times the
 * level. */
float covey__fit_symmetric(const float *x, const float *importance, int n, int low, int high);

/* The best levels for a given scale and least value; returns the error that is left. */
float covey__levels_affine(const float *x, const float *importance, int n, int top,
                           covey__affine fit, float *levels);
float covey__levels_symmetric(const float *x, const float *importance, int n, int low, int high,
                              float scale, float *levels);

#endif
