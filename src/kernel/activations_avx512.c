/* Activations to int8 with AVX-512: what activations_scalar.c defines. The greatest absolute value
 * is taken on the bits, as integers, so that a NaN counts as greater than every number. */
#include "kernel/lanes_avx512.h"

typedef struct factors {
    float d, inverse;
} factors;

/* The block's scale and the factor that its values are multiplied by; 0 for one that becomes 0. */
COVEY__INLINE factors factors_of(__m512i greatest_bits) {
    uint32_t bits = (uint32_t)_mm512_reduce_max_epi32(greatest_bits);
    float amax = covey__bits_to_f32(bits);
    factors f = {0.0f, 0.0f};
    if (bits >= 0x7f800000u)
        f.d = covey__bits_to_f32(0x7fc00000u);
    else if (amax >= 0x1p-40f) {
        f.d = amax / 127.0f;
        f.inverse = 127.0f / amax;
    }
    return f;
}

COVEY__INLINE __m512i abs_bits(__m512 v) {
    return _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7fffffff));
}

/* 16 values to int8; all 0 where inverse is 0, also for NaN. */
COVEY__INLINE __m128i to_int8(__m512 v, factors f) {
    __mmask16 used = f.inverse != 0.0f ? 0xffff : 0;
    __m512 scaled = _mm512_mul_ps(v, _mm512_set1_ps(f.inverse));
    __m512i q =
        _mm512_maskz_cvt_roundps_epi32(used, scaled, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return _mm512_cvtepi32_epi8(q);
}

COVEY__INLINE int32_t sum16(__m128i q) {
    return _mm512_reduce_add_epi32(_mm512_cvtepi8_epi32(q));
}

/* 16 values as four dwords of token `t`, from column `column`. */
COVEY__INLINE void put16(covey__activations *a, int32_t t, int32_t column, __m128i q) {
    size_t units = (size_t)a->columns / 4;
    int8_t *to = a->q + 4 * covey__act_at(a, t, (size_t)column / 4, units);
    if (a->group == 1) {
        _mm_storeu_si128((__m128i *)(void *)to, q);
        return;
    }
    int32_t dwords[4];
    _mm_storeu_si128((__m128i *)(void *)dwords, q);
    for (int i = 0; i < 4; i++) memcpy(to + 4 * COVEY__GROUP * i, dwords + i, 4);
}

static void row_q32(covey__activations *a, const float *x, int32_t t) {
    size_t blocks = (size_t)a->columns / 32;
    for (int32_t b = 0; b < a->columns / 32; b++) {
        __m512 v0 = _mm512_loadu_ps(x + 32 * b), v1 = _mm512_loadu_ps(x + 32 * b + 16);
        factors f = factors_of(_mm512_max_epi32(abs_bits(v0), abs_bits(v1)));
        __m128i q0 = to_int8(v0, f), q1 = to_int8(v1, f);
        put16(a, t, 32 * b, q0);
        put16(a, t, 32 * b + 16, q1);
        __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(q0), q1, 1);
        __m512i wide = _mm512_cvtepi8_epi16(both);
        int32_t total = _mm512_reduce_add_epi32(_mm512_madd_epi16(wide, _mm512_set1_epi16(1)));
        size_t at = covey__act_at(a, t, (size_t)b, blocks);
        a->d[at] = f.d;
        a->bias[0][at] = -8 * total;
        a->bias[1][at] = -128 * total;
    }
}

static void row_q256(covey__activations *a, const float *x, int32_t t) {
    size_t blocks = (size_t)a->columns / 256, subs = (size_t)a->columns / 16;
    for (int32_t b = 0; b < a->columns / 256; b++) {
        __m512i greatest = _mm512_setzero_si512();
        for (int32_t i = 0; i < 256; i += 16)
            greatest = _mm512_max_epi32(greatest, abs_bits(_mm512_loadu_ps(x + 256 * b + i)));
        factors f = factors_of(greatest);
        a->d[covey__act_at(a, t, (size_t)b, blocks)] = f.d;
        for (int32_t i = 0; i < 256; i += 16) {
            __m128i q = to_int8(_mm512_loadu_ps(x + 256 * b + i), f);
            put16(a, t, 256 * b + i, q);
            size_t sub = (size_t)(256 * b + i) / 16;
            int32_t total = sum16(q);
            a->bias[0][covey__act_at(a, t, sub, subs)] = -32 * total;
            a->sums16[(size_t)t * subs + sub] = (int16_t)total;
            if (i % 32 == 0) continue;
            int32_t both = total + a->sums16[(size_t)t * subs + sub - 1];
            a->bias[1][covey__act_at(a, t, sub / 2, subs / 2)] = -128 * both;
            a->sums32[(size_t)t * (subs / 2) + sub / 2] = (int16_t)both;
        }
    }
}

static void row_f32(covey__activations *a, const float *x, int32_t t) {
    float *to = a->x + (size_t)t * covey__act_stride((size_t)a->columns);
    for (int32_t i = 0; i < a->columns; i += 16)
        _mm512_storeu_ps(to + i, _mm512_maskz_loadu_ps(covey__mask16(a->columns - i), x + i));
}

void covey__activations_avx512(covey__activations *a, const float *x, size_t x_stride, int32_t t0,
                               int32_t t1) {
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
