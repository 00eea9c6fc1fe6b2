/* Predictions of codes whose weights are step * code - offset: the loop that patches spend most
 * time in. Written out for AVX-512 and AVX2, since compilers turn the plain loop, which defines it,
 * into several times as many instructions; which of them follows from the including file's flags.
 * All round alike, operation by operation. */
#ifndef COVEY_DELTA_RESIDUAL_AFFINE_H
#define COVEY_DELTA_RESIDUAL_AFFINE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct residual_guess {
    uint8_t near[32];      /* F */
    int8_t prediction[32]; /* within the codes */
    int8_t below[32];      /* -1 where g is -1, else 0 */
} residual_guess;

/* What predicts the codes of a sub-block. */
typedef struct residual_map {
    float k, b, h, low, high;
} residual_map;

#define RESIDUAL_ROUNDER 12582912.0f /* 1.5 * 2^23: what is added and taken away rounds */

/* Choices are made on the bits of floats: comparing floats keeps compilers from making vectors,
 * since it might raise a flag. */
static inline int32_t residual_bits(float x) {
    int32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

/* Of p, which lies within the codes: the prediction, F, and -1 where g is. */
static inline int32_t residual_nearest(float p, int32_t *near, int32_t *below) {
    float nearest = p + RESIDUAL_ROUNDER;
    nearest = nearest - RESIDUAL_ROUNDER;
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

#if defined(__AVX512BW__)
#include <immintrin.h>

static inline void residual_affine16(const int8_t *old, const int32_t *dot, const residual_map *map,
                                     residual_guess *guess, size_t at) {
    const __m512 rounder = _mm512_set1_ps(RESIDUAL_ROUNDER);
    __m128i codes = _mm_loadu_si128((const __m128i *)(const void *)old);
    __m512 p = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes));
    p = _mm512_mul_ps(p, _mm512_set1_ps(map->k));
    p = _mm512_add_ps(p, _mm512_set1_ps(map->b));
    if (dot != NULL) {
        __m512 move = _mm512_cvtepi32_ps(_mm512_loadu_si512(dot));
        p = _mm512_add_ps(p, _mm512_mul_ps(move, _mm512_set1_ps(map->h)));
    }
    p = _mm512_min_ps(_mm512_max_ps(p, _mm512_set1_ps(map->low)), _mm512_set1_ps(map->high));
    __m512 nearest = _mm512_sub_ps(_mm512_add_ps(p, rounder), rounder);
    __m512 rest = _mm512_add_ps(_mm512_sub_ps(p, nearest), _mm512_setzero_ps());
    __m512 scaled = _mm512_mul_ps(_mm512_abs_ps(rest), _mm512_set1_ps(28.0f));
    __mmask16 far =
        _mm512_cmpge_epi32_mask(_mm512_castps_si512(scaled), _mm512_set1_epi32(0x3ee00000));
    __m512i near = _mm512_maskz_add_epi32(far, _mm512_cvttps_epi32(scaled), _mm512_set1_epi32(1));
    __m512i below = _mm512_srai_epi32(_mm512_castps_si512(rest), 31);
    _mm_storeu_si128((__m128i *)(void *)(guess->near + at), _mm512_cvtepi32_epi8(near));
    _mm_storeu_si128((__m128i *)(void *)(guess->prediction + at),
                     _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(nearest)));
    _mm_storeu_si128((__m128i *)(void *)(guess->below + at), _mm512_cvtepi32_epi8(below));
}

#elif defined(__AVX2__)
#include <immintrin.h>

typedef struct residual_eight {
    __m256i near, prediction, below;
} residual_eight;

static inline residual_eight residual_affine8(const int8_t *old, const int32_t *dot,
                                              const residual_map *map) {
    const __m256 rounder = _mm256_set1_ps(RESIDUAL_ROUNDER);
    __m128i codes = _mm_loadl_epi64((const __m128i *)(const void *)old);
    __m256 p = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes));
    p = _mm256_mul_ps(p, _mm256_set1_ps(map->k));
    p = _mm256_add_ps(p, _mm256_set1_ps(map->b));
    if (dot != NULL) {
        __m256 move = _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)(const void *)dot));
        p = _mm256_add_ps(p, _mm256_mul_ps(move, _mm256_set1_ps(map->h)));
    }
    p = _mm256_min_ps(_mm256_max_ps(p, _mm256_set1_ps(map->low)), _mm256_set1_ps(map->high));
    __m256 nearest = _mm256_sub_ps(_mm256_add_ps(p, rounder), rounder);
    __m256 rest = _mm256_add_ps(_mm256_sub_ps(p, nearest), _mm256_setzero_ps());
    __m256 size = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), rest);
    __m256 scaled = _mm256_mul_ps(size, _mm256_set1_ps(28.0f));
    __m256i far =
        _mm256_cmpgt_epi32(_mm256_castps_si256(scaled), _mm256_set1_epi32(0x3ee00000 - 1));
    __m256i near = _mm256_sub_epi32(_mm256_cvttps_epi32(scaled), far);
    residual_eight eight = {_mm256_and_si256(near, far), _mm256_cvttps_epi32(nearest),
                            _mm256_srai_epi32(_mm256_castps_si256(rest), 31)};
    return eight;
}

/* Two times eight numbers that fit a byte, in order. */
static inline __m128i residual_bytes_of(__m256i a, __m256i b) {
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    return _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

static inline void residual_affine16(const int8_t *old, const int32_t *dot, const residual_map *map,
                                     residual_guess *guess, size_t at) {
    residual_eight a = residual_affine8(old, dot, map);
    residual_eight b = residual_affine8(old + 8, dot != NULL ? dot + 8 : NULL, map);
    _mm_storeu_si128((__m128i *)(void *)(guess->near + at), residual_bytes_of(a.near, b.near));
    _mm_storeu_si128((__m128i *)(void *)(guess->prediction + at),
                     residual_bytes_of(a.prediction, b.prediction));
    _mm_storeu_si128((__m128i *)(void *)(guess->below + at), residual_bytes_of(a.below, b.below));
}

#else

static inline void residual_affine16(const int8_t *old, const int32_t *dot, const residual_map *map,
                                     residual_guess *guess, size_t at) {
    uint8_t nears[16];
    int8_t predictions[16], belows[16];
    const residual_map m = *map;
    for (int i = 0; i < 16; i++) {
        int32_t near, below;
        float p = (float)old[i] * m.k;
        p = p + m.b;
        if (dot != NULL) {
            float move = (float)dot[i] * m.h;
            p = p + move;
        }
        predictions[i] = (int8_t)residual_nearest(residual_within(p, m.low, m.high), &near, &below);
        nears[i] = (uint8_t)near;
        belows[i] = (int8_t)below;
    }
    memcpy(guess->near + at, nears, 16);
    memcpy(guess->prediction + at, predictions, 16);
    memcpy(guess->below + at, belows, 16);
}
#endif

#endif
