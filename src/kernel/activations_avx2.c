/* Activations to int8 with AVX2: what activations_scalar.c defines. The greatest absolute value is
 * taken on the bits, as integers, so that a NaN counts as greater than every number. */
#include "kernel/lanes_avx2.h"

typedef struct factors {
    float d, inverse;
} factors;

/* The block's scale and the factor that its values are multiplied by; 0 for one that becomes 0. */
COVEY__INLINE factors factors_of(__m256i greatest) {
    __m128i m =
        _mm_max_epi32(_mm256_castsi256_si128(greatest), _mm256_extracti128_si256(greatest, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
    uint32_t bits = (uint32_t)_mm_cvtsi128_si32(m);
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

COVEY__INLINE __m256i greatest8(__m256i greatest, const float *x) {
    __m256i bits = _mm256_and_si256(covey__load256(x), _mm256_set1_epi32(0x7fffffff));
    return _mm256_max_epi32(greatest, bits);
}

COVEY__INLINE __m256i to_int32(const float *x, factors f) {
    __m256i q = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), _mm256_set1_ps(f.inverse)));
    return f.inverse != 0.0f ? q : _mm256_setzero_si256();
}

/* 32 values to int8, in order. */
COVEY__INLINE __m256i to_int8(const float *x, factors f) {
    __m256i a = _mm256_packs_epi32(to_int32(x, f), to_int32(x + 8, f));
    __m256i b = _mm256_packs_epi32(to_int32(x + 16, f), to_int32(x + 24, f));
    return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b),
                                       _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* The sums of the two halves of 16 values. */
COVEY__INLINE void sums16(__m256i q, int32_t sums[2]) {
    __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
    __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    fours = _mm256_add_epi32(fours, _mm256_shuffle_epi32(fours, 0x4e));
    fours = _mm256_add_epi32(fours, _mm256_shuffle_epi32(fours, 0xb1));
    sums[0] = _mm_cvtsi128_si32(_mm256_castsi256_si128(fours));
    sums[1] = _mm_cvtsi128_si32(_mm256_extracti128_si256(fours, 1));
}

/* 32 values as eight dwords of token `t`, from column `column`. */
COVEY__INLINE void put32(covey__activations *a, int32_t t, int32_t column, __m256i q) {
    size_t units = (size_t)a->columns / 4;
    int8_t *to = a->q + 4 * covey__act_at(a, t, (size_t)column / 4, units);
    if (a->group == 1) {
        _mm256_storeu_si256((__m256i *)(void *)to, q);
        return;
    }
    int32_t dwords[8];
    _mm256_storeu_si256((__m256i *)(void *)dwords, q);
    for (int i = 0; i < 8; i++) memcpy(to + 4 * COVEY__GROUP * i, dwords + i, 4);
}

static void row_q32(covey__activations *a, const float *x, int32_t t) {
    size_t blocks = (size_t)a->columns / 32;
    for (int32_t b = 0; b < a->columns / 32; b++, x += 32) {
        __m256i greatest = _mm256_setzero_si256();
        for (int32_t i = 0; i < 32; i += 8) greatest = greatest8(greatest, x + i);
        factors f = factors_of(greatest);
        __m256i q = to_int8(x, f);
        int32_t sums[2];
        sums16(q, sums);
        put32(a, t, 32 * b, q);
        size_t at = covey__act_at(a, t, (size_t)b, blocks);
        a->d[at] = f.d;
        a->bias[0][at] = -8 * (sums[0] + sums[1]);
        a->bias[1][at] = -128 * (sums[0] + sums[1]);
    }
}

static void row_q256(covey__activations *a, const float *x, int32_t t) {
    size_t blocks = (size_t)a->columns / 256, subs = (size_t)a->columns / 16;
    for (int32_t b = 0; b < a->columns / 256; b++) {
        __m256i greatest = _mm256_setzero_si256();
        for (int32_t i = 0; i < 256; i += 8) greatest = greatest8(greatest, x + 256 * b + i);
        factors f = factors_of(greatest);
        a->d[covey__act_at(a, t, (size_t)b, blocks)] = f.d;
        for (int32_t i = 0; i < 256; i += 32) {
            __m256i q = to_int8(x + 256 * b + i, f);
            int32_t sums[2];
            sums16(q, sums);
            put32(a, t, 256 * b + i, q);
            for (size_t j = 0; j < 2; j++) {
                size_t sub = (size_t)(256 * b + i) / 16 + j;
                a->bias[0][covey__act_at(a, t, sub, subs)] = -32 * sums[j];
                a->sums16[(size_t)t * subs + sub] = (int16_t)sums[j];
            }
            size_t both = (size_t)(256 * b + i) / 32;
            a->bias[1][covey__act_at(a, t, both, subs / 2)] = -128 * (sums[0] + sums[1]);
            a->sums32[(size_t)t * (subs / 2) + both] = (int16_t)(sums[0] + sums[1]);
        }
    }
}

static void row_f32(covey__activations *a, const float *x, int32_t t) {
    float *to = a->x + (size_t)t * covey__act_stride((size_t)a->columns);
    for (int32_t i = 0; i < a->columns; i += 16) {
        _mm256_storeu_ps(to + i, covey__get8(x + i, a->columns - i));
        _mm256_storeu_ps(to + i + 8, covey__get8(x + i + 8, a->columns - i - 8));
    }
}

void covey__activations_avx2(covey__activations *a, const float *x, size_t x_stride, int32_t t0,
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
