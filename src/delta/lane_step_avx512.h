/* The decoder's step with AVX-512: lanes 0 to 15 and 16 to 31 in a register each, their slots and
 * ends as 32 words in one. What the functions do is said in lane_step_scalar.h.
 *
 * No compare stands on the way to the next state. With t = slot - end modulo 2^16, t is below 2^15
 * where the end is at or before the slot, else not; so the distance to the symbol's start is the
 * least of the slot and the three t, and the greatest of (slot | 2^15) and the three t is that
 * distance less the symbol's width, modulo 2^16. */
#ifndef COVEY_DELTA_LANE_STEP_AVX512_H
#define COVEY_DELTA_LANE_STEP_AVX512_H

#include <immintrin.h>

#include "delta/lane_coder.h"

typedef struct covey__lanes {
    __m512i low, high;
    const uint8_t *at, *end;
    bool over;
} covey__lanes;

static inline covey__lanes covey__lanes_load(const covey__lane_decoder *decoder) {
    covey__lanes lanes = {_mm512_load_si512(decoder->state), _mm512_load_si512(decoder->state + 16),
                          decoder->at, decoder->end, decoder->over};
    return lanes;
}

static inline void covey__lanes_store(const covey__lanes *lanes, covey__lane_decoder *decoder) {
    _mm512_store_si512(decoder->state, lanes->low);
    _mm512_store_si512(decoder->state + 16, lanes->high);
    decoder->at = lanes->at;
    decoder->end = lanes->end;
    decoder->over = lanes->over;
}

static inline __m512i covey__lanes_renew(__m512i x, __mmask16 wants, const uint8_t *at) {
    __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)at));
    words = _mm512_maskz_expand_epi32(wants, words);
    return _mm512_mask_or_epi32(x, wants, _mm512_slli_epi32(x, 16), words);
}

/* Lanes with less than 2^16 take their words. */
static inline void covey__lanes_refill(covey__lanes *lanes, __m512i low, __m512i high) {
    const __m512i least = _mm512_set1_epi32(COVEY__LANE_STATE);
    __mmask16 first = _mm512_cmplt_epu32_mask(low, least);
    __mmask16 second = _mm512_cmplt_epu32_mask(high, least);
    const uint8_t *middle = lanes->at + 2 * (size_t)__builtin_popcount(first);
    lanes->low = covey__lanes_renew(low, first, lanes->at);
    lanes->high = covey__lanes_renew(high, second, middle);
    lanes->at = middle + 2 * (size_t)__builtin_popcount(second);
    if (__builtin_expect(lanes->at > lanes->end, 0)) {
        lanes->at = lanes->end;
        lanes->over = true;
    }
}

/* x becomes width * floor(x / 2^15) + distance in the active lanes. */
static inline __m512i covey__lanes_advance(__m512i x, __mmask16 active, __m256i width,
                                           __m256i distance) {
    __m512i product = _mm512_mullo_epi32(_mm512_srli_epi32(x, 15), _mm512_cvtepu16_epi32(width));
    return _mm512_mask_add_epi32(x, active, product, _mm512_cvtepu16_epi32(distance));
}

/* The step for ends that are words of lanes 0 to 31. */
static inline uint32_t covey__lanes_decode(covey__lanes *lanes, __m512i e0, __m512i e1, __m512i e2,
                                           uint32_t mask, uint8_t symbol[COVEY__LANES]) {
    const __m512i even =
        _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30, 28, 26,
                         24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    __m512i slot = _mm512_permutex2var_epi16(lanes->low, even, lanes->high);
    slot = _mm512_and_si512(slot, _mm512_set1_epi16(0x7fff));
    __m512i t0 = _mm512_sub_epi16(slot, e0), t1 = _mm512_sub_epi16(slot, e1);
    __m512i t2 = _mm512_sub_epi16(slot, e2);
    __m512i behind = _mm512_or_si512(slot, _mm512_set1_epi16((short)0x8000));
    __m512i least = _mm512_min_epu16(_mm512_min_epu16(slot, t0), _mm512_min_epu16(t1, t2));
    __m512i most = _mm512_max_epu16(_mm512_max_epu16(behind, t0), _mm512_max_epu16(t1, t2));
    __m512i width = _mm512_sub_epi16(least, most);
    __m512i low = covey__lanes_advance(lanes->low, (__mmask16)mask, _mm512_castsi512_si256(width),
                                       _mm512_castsi512_si256(least));
    __m512i high = covey__lanes_advance(lanes->high, (__mmask16)(mask >> 16),
                                        _mm512_extracti64x4_epi64(width, 1),
                                        _mm512_extracti64x4_epi64(least, 1));
    covey__lanes_refill(lanes, low, high);
    /* 3 less the number of t of at least 2^15, that is negative ones */
    __m512i negative = _mm512_add_epi16(_mm512_srai_epi16(t0, 15), _mm512_srai_epi16(t1, 15));
    negative = _mm512_add_epi16(negative, _mm512_srai_epi16(t2, 15));
    __m512i symbols = _mm512_add_epi16(_mm512_set1_epi16(3), negative);
    _mm256_storeu_si256((__m256i *)symbol, _mm512_maskz_cvtepi16_epi8(mask, symbols));
    return mask & ~_mm512_movepi16_mask(t2);
}

/* Words 0 and 1 of the tables of 16 lanes, then words 2 and 3. */
typedef struct covey__lane_ends {
    __m512i first, second;
} covey__lane_ends;

static inline covey__lane_ends covey__lanes_gather(const covey__lane_table *tables,
                                                   const uint16_t context[16]) {
    const __m512i order =
        _mm512_set_epi16(61, 57, 53, 49, 45, 41, 37, 33, 29, 25, 21, 17, 13, 9, 5, 1, 60, 56, 52,
                         48, 44, 40, 36, 32, 28, 24, 20, 16, 12, 8, 4, 0);
    __m512i index = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)context));
    __m512i a = _mm512_i32gather_epi64(_mm512_castsi512_si256(index), (const void *)tables, 8);
    __m512i b =
        _mm512_i32gather_epi64(_mm512_extracti64x4_epi64(index, 1), (const void *)tables, 8);
    covey__lane_ends ends = {_mm512_permutex2var_epi16(a, order, b), _mm512_setzero_si512()};
    ends.second = _mm512_permutex2var_epi16(a, _mm512_add_epi16(order, _mm512_set1_epi16(2)), b);
    return ends;
}

static inline uint32_t covey__lanes_step(covey__lanes *lanes, const covey__lane_table *tables,
                                         const uint16_t context[COVEY__LANES], uint32_t mask,
                                         uint8_t symbol[COVEY__LANES]) {
    covey__lane_ends a = covey__lanes_gather(tables, context);
    covey__lane_ends b = covey__lanes_gather(tables, context + 16);
    __m512i e0 = _mm512_inserti64x4(a.first, _mm512_castsi512_si256(b.first), 1);
    __m512i e1 = _mm512_shuffle_i64x2(a.first, b.first, 0xee);
    __m512i e2 = _mm512_inserti64x4(a.second, _mm512_castsi512_si256(b.second), 1);
    return covey__lanes_decode(lanes, e0, e1, e2, mask, symbol);
}

static inline uint32_t covey__lanes_step_row(covey__lanes *lanes, const covey__lane_row *low,
                                             const covey__lane_row *high,
                                             const uint8_t column[COVEY__LANES], uint32_t mask,
                                             uint8_t symbol[COVEY__LANES]) {
    /* end[0] and end[1] of a row fill a register; the upper lanes look in the second one. */
    const __m512i upper = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(32), 1);
    __m512i place = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)column));
    place = _mm512_or_si512(place, upper);
    __m512i a = _mm512_load_si512(low->end[0]), b = _mm512_load_si512(high->end[0]);
    __m512i e0 = _mm512_permutex2var_epi16(a, place, b);
    __m512i e1 = _mm512_permutex2var_epi16(a, _mm512_or_si512(place, _mm512_set1_epi16(16)), b);
    __m512i c = _mm512_castsi256_si512(_mm256_load_si256((const __m256i *)low->end[2]));
    __m512i d = _mm512_castsi256_si512(_mm256_load_si256((const __m256i *)high->end[2]));
    __m512i e2 = _mm512_permutex2var_epi16(c, place, d);
    return covey__lanes_decode(lanes, e0, e1, e2, mask, symbol);
}

static inline uint32_t covey__lanes_step_pair(covey__lanes *lanes, const covey__lane_table *low,
                                              const covey__lane_table *high, uint32_t mask,
                                              uint8_t symbol[COVEY__LANES]) {
    __m512i e[3];
    for (int k = 0; k < 3; k++)
        e[k] = _mm512_inserti64x4(_mm512_set1_epi16((short)low->end[k]),
                                  _mm256_set1_epi16((short)high->end[k]), 1);
    return covey__lanes_decode(lanes, e[0], e[1], e[2], mask, symbol);
}

#endif
