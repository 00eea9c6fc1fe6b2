/* Rows of floats in vectors of 128 bits: the operations of vector_scalar.c, the same bits, and
 * activations to int8 as activations_scalar.c defines them. Included by vector_*.c of each set with
 * COVEY__SET(name) naming its functions. Lanes beyond the end are zero, which adds nothing to a
 * partial sum. */
#ifndef COVEY_KERNEL_VECTOR_V128_H
#define COVEY_KERNEL_VECTOR_V128_H

#include <math.h>

#include "kernel/v128.h"

/* Adds f(lanes i to i + 15) to the 16 partial sums, for each f below. */
#define EACH16(n, expression)                                                                      \
    for (int32_t i = 0; i < (n); i += 16) {                                                        \
        COVEY__UNROLL                                                                              \
        for (int j = 0; j < 4; j++) {                                                              \
            int32_t at = i + 4 * j, left = (n)-at;                                                 \
            partial[j] = partial[j] + (expression);                                                \
        }                                                                                          \
    }

COVEY__INLINE covey__f4 square(covey__f4 x) {
    return x * x;
}

void COVEY__SET(covey__rms_norm)(const float *x, const float *w, int32_t n, float eps, float *out) {
    covey__f4 partial[4] = {{0}};
    EACH16(n, square(covey__get4(x + at, left)))
    float mean = covey__sum16(partial) / (float)n;
    float factor = 1.0f / sqrtf(mean + eps);
    for (int32_t i = 0; i < n; i += 4)
        covey__put4(out + i, n - i, covey__get4(x + i, n - i) * factor * covey__get4(w + i, n - i));
}

/* The first n of 4 lanes of x less the mean, zeros after them. */
COVEY__INLINE covey__f4 centred(const float *x, int32_t n, float mean) {
    covey__f4 c = covey__get4(x, n) - mean;
    return n >= 4 ? c : covey__only(c, covey__lanes4(0, n));
}

void COVEY__SET(covey__layer_norm)(const float *x, const float *w, const float *b, int32_t n,
                                   float eps, float *out) {
    covey__f4 partial[4] = {{0}};
    EACH16(n, covey__get4(x + at, left))
    float mean = covey__sum16(partial) / (float)n;
    for (int j = 0; j < 4; j++) partial[j] = covey__zero_f4();
    EACH16(n, square(centred(x + at, left, mean)))
    float factor = 1.0f / sqrtf(covey__sum16(partial) / (float)n + eps);
    for (int32_t i = 0; i < n; i += 4) {
        covey__f4 c = centred(x + i, n - i, mean) * factor * covey__get4(w + i, n - i);
        covey__put4(out + i, n - i, c + covey__get4(b + i, n - i));
    }
}

/* Pairs (2i, 2i + 1): cosine and sine doubled, neighbours swapped; the sine's sign alternates, and
 * a - b is a + (-b) to the bit. */
static void rope_norm(float *x, int32_t pairs, const float *row) {
    const covey__i4 sign = {INT32_MIN, 0, INT32_MIN, 0};
    for (int32_t i = 0; i < pairs; i += 2) {
        int32_t n = 2 * (pairs - i);
        covey__f4 v = covey__get4(x + 2 * i, n);
        covey__f4 cosine = covey__get4(row + i, n / 2 < 2 ? n / 2 : 2);
        covey__f4 sine = covey__get4(row + pairs + i, n / 2 < 2 ? n / 2 : 2);
        cosine = __builtin_shufflevector(cosine, cosine, 0, 0, 1, 1);
        sine = __builtin_shufflevector(sine, sine, 0, 0, 1, 1);
        covey__f4 turned = __builtin_shufflevector(v, v, 1, 0, 3, 2) * sine;
        covey__put4(x + 2 * i, n, v * cosine + (covey__f4)((covey__i4)turned ^ sign));
    }
}

static void rope_neox(float *x, int32_t pairs, const float *row) {
    for (int32_t i = 0; i < pairs; i += 4) {
        int32_t n = pairs - i;
        covey__f4 cosine = covey__get4(row + i, n), sine = covey__get4(row + pairs + i, n);
        covey__f4 a = covey__get4(x + i, n), b = covey__get4(x + pairs + i, n);
        covey__put4(x + i, n, a * cosine - b * sine);
        covey__put4(x + pairs + i, n, a * sine + b * cosine);
    }
}

void COVEY__SET(covey__rope)(float *x, int32_t heads, int32_t head_dim, int32_t dims,
                             covey__rope_style style, const float *row) {
    for (int32_t h = 0; h < heads; h++, x += head_dim) {
        if (style == COVEY__ROPE_NEOX)
            rope_neox(x, dims / 2, row);
        else
            rope_norm(x, dims / 2, row);
    }
}

void COVEY__SET(covey__silu_mul)(const float *gate, const float *up, size_t n, float *out) {
    for (size_t i = 0; i < n; i += 4) {
        int32_t left = covey__left4(n, i);
        covey__f4 g = covey__get4(gate + i, left);
        covey__put4(out + i, left, g / (1.0f + covey__exp4(-g)) * covey__get4(up + i, left));
    }
}

void COVEY__SET(covey__gelu_mul)(const float *gate, const float *up, size_t n, float *out) {
    for (size_t i = 0; i < n; i += 4) {
        int32_t left = covey__left4(n, i);
        covey__f4 g = covey__get4(gate + i, left);
        covey__f4 z = (g + ((g * g) * g) * 0.044715f) * 1.59576912f;
        covey__put4(out + i, left, g / (1.0f + covey__exp4(-z)) * covey__get4(up + i, left));
    }
}

void COVEY__SET(covey__gelu)(const float *x, size_t n, float *out) {
    for (size_t i = 0; i < n; i += 4) {
        int32_t left = covey__left4(n, i);
        covey__f4 v = covey__get4(x + i, left);
        covey__put4(out + i, left, (0.5f * v) * covey__erfc4(v * -0.707106781f));
    }
}

void COVEY__SET(covey__add)(float *x, const float *y, size_t n) {
    for (size_t i = 0; i < n; i += 4) {
        int32_t left = covey__left4(n, i);
        covey__put4(x + i, left, covey__get4(x + i, left) + covey__get4(y + i, left));
    }
}

void COVEY__SET(covey__scale)(float *x, float factor, size_t n) {
    for (size_t i = 0; i < n; i += 4) {
        int32_t left = covey__left4(n, i);
        covey__put4(x + i, left, covey__get4(x + i, left) * factor);
    }
}

void COVEY__SET(covey__softmax)(float *x, size_t n) {
    covey__f4 greatest = covey__splat_f4(x[0]), partial[4] = {{0}};
    size_t i = 0;
    for (; i + 4 <= n; i += 4) greatest = covey__max_f4(covey__load_f4(x + i), greatest);
    float top = covey__max4(greatest);
    for (; i < n; i++) top = x[i] > top ? x[i] : top;
    for (i = 0; i < n; i += 4) {
        int32_t left = covey__left4(n, i);
        covey__f4 e = covey__exp4(covey__get4(x + i, left) - top);
        if (left < 4) e = covey__only(e, covey__lanes4(0, left));
        covey__put4(x + i, left, e);
        partial[i / 4 % 4] = partial[i / 4 % 4] + e;
    }
    COVEY__SET(covey__scale)(x, 1.0f / covey__sum16(partial), n);
}

/* ---- Activations -------------------------------------------------------------------------- */

typedef struct factors {
    float d, inverse;
} factors;

/* The block's scale and the factor that its values are multiplied by; 0 for one that becomes 0. The
 * greatest absolute value is taken on the bits, so that a NaN counts as greater than every number.
 */
COVEY__INLINE factors factors_of(const float *x, int32_t n) {
    covey__i4 greatest = {0};
    for (int32_t i = 0; i < n; i += 4) {
        covey__i4 bits = (covey__i4)covey__load_f4(x + i) & 0x7fffffff;
        covey__i4 more = bits > greatest;
        greatest = (bits & more) | (greatest & ~more);
    }
    int32_t top = 0;
    for (int j = 0; j < 4; j++) top = greatest[j] > top ? greatest[j] : top;
    float amax = covey__bits_to_f32((uint32_t)top);
    factors f = {0.0f, 0.0f};
    if (top >= 0x7f800000)
        f.d = covey__bits_to_f32(0x7fc00000u);
    else if (amax >= 0x1p-40f) {
        f.d = amax / 127.0f;
        f.inverse = 127.0f / amax;
    }
    return f;
}

COVEY__INLINE covey__b16 to_int8(const float *x, float inverse) {
    if (inverse == 0.0f) return (covey__b16){0};
    covey__i4 q[4];
    COVEY__UNROLL
    for (int j = 0; j < 4; j++) q[j] = covey__round_i4(covey__load_f4(x + 4 * j) * inverse);
    return covey__narrow(q[0], q[1], q[2], q[3]);
}

COVEY__INLINE int32_t sum_of(covey__b16 q) {
    covey__b16 ones = (covey__b16)covey__splat_ub16(1);
    covey__i4 s = covey__dot16((covey__i4){0}, ones, q);
    return (s[0] + s[1]) + (s[2] + s[3]);
}

/* 16 values as four dwords of token `t`, from column `column`. */
COVEY__INLINE void put16(covey__activations *a, int32_t t, int32_t column, covey__b16 q) {
    int8_t *to = a->q + 4 * covey__act_at(a, t, (size_t)column / 4, (size_t)a->columns / 4);
    if (a->group == 1) {
        covey__store_b16(to, q);
        return;
    }
    covey__i4 dwords = (covey__i4)q;
    for (int i = 0; i < 4; i++) {
        int32_t each = dwords[i];
        memcpy(to + 4 * a->group * i, &each, 4);
    }
}

static void row_q32(covey__activations *a, const float *x, int32_t t) {
    for (int32_t b = 0; b < a->columns / 32; b++, x += 32) {
        factors f = factors_of(x, 32);
        covey__b16 q0 = to_int8(x, f.inverse), q1 = to_int8(x + 16, f.inverse);
        put16(a, t, 32 * b, q0);
        put16(a, t, 32 * b + 16, q1);
        size_t at = covey__act_at(a, t, (size_t)b, (size_t)a->columns / 32);
        int32_t sum = sum_of(q0) + sum_of(q1);
        a->d[at] = f.d;
        a->bias[0][at] = -8 * sum;
        a->bias[1][at] = -128 * sum;
    }
}

static void row_q256(covey__activations *a, const float *x, int32_t t) {
    size_t subs = (size_t)a->columns / 16;
    for (int32_t b = 0; b < a->columns / 256; b++) {
        factors f = factors_of(x + 256 * b, 256);
        a->d[covey__act_at(a, t, (size_t)b, subs / 16)] = f.d;
        for (int32_t column = 256 * b; column < 256 * b + 256; column += 32) {
            int32_t sums[2];
            for (int j = 0; j < 2; j++) {
                covey__b16 q = to_int8(x + column + 16 * j, f.inverse);
                put16(a, t, column + 16 * j, q);
                sums[j] = sum_of(q);
                size_t sub = (size_t)(column / 16 + j);
                a->bias[0][covey__act_at(a, t, sub, subs)] = -32 * sums[j];
                a->sums16[(size_t)t * subs + sub] = (int16_t)sums[j];
            }
            size_t both = (size_t)column / 32;
            a->bias[1][covey__act_at(a, t, both, subs / 2)] = -128 * (sums[0] + sums[1]);
            a->sums32[(size_t)t * (subs / 2) + both] = (int16_t)(sums[0] + sums[1]);
        }
    }
}

static void row_f32(covey__activations *a, const float *x, int32_t t) {
    float *to = a->x + (size_t)t * covey__act_stride((size_t)a->columns);
    size_t padded = covey__pad16((size_t)a->columns);
    memcpy(to, x, (size_t)a->columns * sizeof *x);
    for (size_t i = (size_t)a->columns; i < padded; i++) to[i] = 0.0f;
}

void COVEY__SET(covey__activations)(covey__activations *a, const float *x, size_t x_stride,
                                    int32_t t0, int32_t t1) {
    for (int32_t t = t0; t < t1; t++) {
        const float *row = x + (size_t)t * x_stride;
        if (a->kind == COVEY__ACT_F32)
            row_f32(a, row, t);
        else if (a->kind == COVEY__ACT_Q32)
            row_q32(a, row, t);
        else
            row_q256(a, row, t);
    }
}

#endif
