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

/* Where a token's values lie: unit u of a table is at place + u * group. */
typedef struct places {
    int8_t *q;
    float *d;
    int32_t *bias[2];
    size_t group;
} places;

static places places_of(const covey__activations *a, int32_t t) {
    size_t k = (size_t)a->columns;
    bool wide = a->kind == COVEY__ACT_Q256;
    places p = {a->q + 4 * covey__act_at(a, t, 0, k / 4),
                a->d + covey__act_at(a, t, 0, k / (wide ? 256 : 32)),
                {a->bias[0] + covey__act_at(a, t, 0, k / (wide ? 16 : 32)),
                 a->bias[1] + covey__act_at(a, t, 0, k / 32)},
                (size_t)a->group};
    return p;
}

/* 16 values as four dwords, from column `column`. */
COVEY__INLINE void put16(const places *p, size_t column, __m128i q) {
    int8_t *to = p->q + column * p->group;
    size_t step = 4 * p->group;
    if (p->group == 1) {
        _mm_storeu_si128((__m128i *)(void *)to, q);
        return;
    }
    int32_t dwords[4] = {_mm_cvtsi128_si32(q), _mm_extract_epi32(q, 1), _mm_extract_epi32(q, 2),
                         _mm_extract_epi32(q, 3)};
    for (size_t i = 0; i < 4; i++) memcpy(to + step * i, dwords + i, 4);
}

/* The sum of each 16 of 64 values, in all four dwords of its lane. */
COVEY__INLINE __m512i sums_by_16(__m512i q) {
    __m512i s = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1), q);
    s = _mm512_add_epi32(s, _mm512_shuffle_epi32(s, (_MM_PERM_ENUM)0x4e));
    return _mm512_add_epi32(s, _mm512_shuffle_epi32(s, (_MM_PERM_ENUM)0xb1));
}

static void row_q32(covey__activations *a, const float *x, int32_t t) {
    places p = places_of(a, t);
    for (int32_t b = 0; b < a->columns / 32; b++, x += 32) {
        covey__prefetch_row(x);
        covey__prefetch_row(x + 16);
        __m512 v0 = _mm512_loadu_ps(x), v1 = _mm512_loadu_ps(x + 16);
        factors f = factors_of(_mm512_max_epi32(abs_bits(v0), abs_bits(v1)));
        __m128i q0 = to_int8(v0, f), q1 = to_int8(v1, f);
        size_t column = (size_t)b * 32, at = (size_t)b * p.group;
        put16(&p, column, q0);
        put16(&p, column + 16, q1);
        __m128i sums = _mm_dpbusd_epi32(_mm_setzero_si128(), _mm_set1_epi8(1), q0);
        sums = _mm_dpbusd_epi32(sums, _mm_set1_epi8(1), q1);
        sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, 0x4e));
        int32_t total = _mm_cvtsi128_si32(sums) + _mm_extract_epi32(sums, 1);
        p.d[at] = f.d;
        p.bias[0][at] = -8 * total;
        p.bias[1][at] = -128 * total;
    }
}

/* The sums of 64 values from column `column` on. */
COVEY__INLINE void put_sums(covey__activations *a, const places *p, int32_t t, size_t column,
                            __m512i q) {
    int32_t totals[16];
    _mm512_storeu_si512(totals, sums_by_16(q));
    size_t subs = (size_t)a->columns / 16, first = column / 16;
    int16_t *sums16 = a->sums16 + (size_t)t * subs + first;
    int16_t *sums32 = a->sums32 + (size_t)t * (subs / 2) + first / 2;
    for (size_t j = 0; j < 4; j++) {
        int32_t total = totals[4 * j];
        p->bias[0][(first + j) * p->group] = -32 * total;
        sums16[j] = (int16_t)total;
        if (j % 2 == 0) continue;
        total += totals[4 * j - 4];
        p->bias[1][(first + j) / 2 * p->group] = -128 * total;
        sums32[j / 2] = (int16_t)total;
    }
}

static void row_q256(covey__activations *a, const float *x, int32_t t) {
    places p = places_of(a, t);
    for (int32_t b = 0; b < a->columns / 256; b++, x += 256) {
        __m512i greatest = _mm512_setzero_si512();
        for (int32_t i = 0; i < 256; i += 16) {
            covey__prefetch_row(x + i);
            greatest = _mm512_max_epi32(greatest, abs_bits(_mm512_loadu_ps(x + i)));
        }
        factors f = factors_of(greatest);
        p.d[(size_t)b * p.group] = f.d;
        for (int32_t i = 0; i < 256; i += 64) {
            __m128i q[4];
            size_t column = (size_t)(256 * b + i);
            COVEY__UNROLL
            for (int j = 0; j < 4; j++) {
                q[j] = to_int8(_mm512_loadu_ps(x + i + 16 * j), f);
                put16(&p, column + 16 * (size_t)j, q[j]);
            }
            __m512i all = _mm512_castsi128_si512(q[0]);
            all = _mm512_inserti32x4(all, q[1], 1);
            all = _mm512_inserti32x4(all, q[2], 2);
            put_sums(a, &p, t, column, _mm512_inserti32x4(all, q[3], 3));
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
