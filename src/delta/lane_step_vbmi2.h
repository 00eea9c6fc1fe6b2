/* The decoder's step with AVX-512 and its extension VBMI2, which deals words out to the lanes that
 * want one in one instruction. The states of lanes 0 to 31 are two registers of 32 words, their low
 * halves and their high ones, so nothing crosses lanes but those words. What the functions do is
 * said in lane_step_scalar.h.
 *
 * What counts is how soon the next state is there, since a step waits for the one before. So no
 * compare stands on that way. With t = slot - end modulo 2^16, t is below 2^15 where the end is at
 * or before the slot, else not; so the distance d to the symbol's start is the least of the slot
 * and the three t, and the greatest of (slot | 2^15) and the three t is d less the symbol's width
 * f, modulo 2^16. With the halves h and l of a state, f floor(x / 2^15) + d = 2 f h + c where c =
 * (f where l >= 2^15, else 0) + d is below 2^16, and 2 f as well. */
#ifndef COVEY_DELTA_LANE_STEP_VBMI2_H
#define COVEY_DELTA_LANE_STEP_VBMI2_H

#include <immintrin.h>

#include "delta/lane_coder.h"

typedef struct covey__lanes {
    __m512i low, high;
    __m512i slot; /* low without its top bit: ready for the next step at once */
    const uint8_t *at, *end;
    bool over;
    uint32_t some;
} covey__lanes;

static inline covey__lanes covey__lanes_load(const covey__lane_decoder *decoder) {
    const __m512i even =
        _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30, 28, 26,
                         24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    __m512i a = _mm512_load_si512(decoder->state), b = _mm512_load_si512(decoder->state + 16);
    __m512i low = _mm512_permutex2var_epi16(a, even, b);
    covey__lanes lanes = {
        low,
        _mm512_permutex2var_epi16(a, _mm512_or_si512(even, _mm512_set1_epi16(1)), b),
        _mm512_and_si512(low, _mm512_set1_epi16(0x7fff)),
        decoder->at,
        decoder->end,
        decoder->over,
        0};
    return lanes;
}

static inline __m512i covey__lanes_whole(__m256i low, __m256i high) {
    return _mm512_or_si512(_mm512_cvtepu16_epi32(low),
                           _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
}

static inline void covey__lanes_store(const covey__lanes *lanes, covey__lane_decoder *decoder) {
    _mm512_store_si512(decoder->state, covey__lanes_whole(_mm512_castsi512_si256(lanes->low),
                                                          _mm512_castsi512_si256(lanes->high)));
    _mm512_store_si512(decoder->state + 16,
                       covey__lanes_whole(_mm512_extracti64x4_epi64(lanes->low, 1),
                                          _mm512_extracti64x4_epi64(lanes->high, 1)));
    decoder->at = lanes->at;
    decoder->end = lanes->end;
    decoder->over = lanes->over;
}

/* The step for ends that are words of lanes 0 to 31. */
static inline uint32_t covey__lanes_decode(covey__lanes *lanes, __m512i e0, __m512i e1, __m512i e2,
                                           uint32_t mask, uint8_t symbol[COVEY__LANES]) {
    const __m512i top = _mm512_set1_epi16((short)0x8000);
    __m512i slot = lanes->slot;
    __m512i t0 = _mm512_sub_epi16(slot, e0), t1 = _mm512_sub_epi16(slot, e1);
    __m512i t2 = _mm512_sub_epi16(slot, e2), behind = _mm512_or_si512(slot, top);
    __m512i d = _mm512_min_epu16(_mm512_min_epu16(slot, t0), _mm512_min_epu16(t1, t2));
    __m512i most = _mm512_max_epu16(_mm512_max_epu16(behind, t0), _mm512_max_epu16(t1, t2));
    __m512i f = _mm512_sub_epi16(d, most), twice = _mm512_add_epi16(f, f);

    __m512i c = _mm512_add_epi16(d, _mm512_and_si512(f, _mm512_srai_epi16(lanes->low, 15)));
    __m512i below = _mm512_mullo_epi16(twice, lanes->high);
    __m512i above = _mm512_mulhi_epu16(twice, lanes->high);
    /* The mean of `below`, which is even, and c - 1, rounded up, has the carry of their sum as its
     * top bit; of c = 0 too, which stays 0. */
    __m512i mean = _mm512_avg_epu16(below, _mm512_subs_epu16(c, _mm512_set1_epi16(1)));
    __m512i size = _mm512_ternarylogic_epi32(above, mean, top, 0xf8); /* above | mean & top */
    __mmask32 wants = _mm512_mask_testn_epi16_mask(mask, size, size);
    __m512i low = _mm512_mask_add_epi16(lanes->low, mask, below, c);
    __m512i high = _mm512_mask_add_epi16(lanes->high, mask, above, _mm512_srli_epi16(mean, 15));

    __m512i words = _mm512_loadu_si512(lanes->at);
    __asm__("" : "+v"(words)); /* to expand from memory takes far longer, and waits for `wants` */
    lanes->low = _mm512_mask_expand_epi16(low, wants, words);
    lanes->slot = _mm512_mask_expand_epi16(_mm512_andnot_si512(top, low), wants,
                                           _mm512_andnot_si512(top, words));
    lanes->high = _mm512_mask_mov_epi16(high, wants, low);
    lanes->at += 2 * (size_t)__builtin_popcount(wants);
    if (__builtin_expect(lanes->at > lanes->end, 0)) {
        lanes->at = lanes->end;
        lanes->over = true;
    }
    /* 3 less the number of t of at least 2^15, that is of negative ones */
    __m512i less = _mm512_add_epi16(_mm512_srai_epi16(t0, 15), _mm512_srai_epi16(t1, 15));
    less = _mm512_add_epi16(less, _mm512_srai_epi16(t2, 15));
    __m512i symbols = _mm512_add_epi16(_mm512_set1_epi16(3), less);
    _mm256_storeu_si256((__m256i *)symbol, _mm512_maskz_cvtepi16_epi8(mask, symbols));
    lanes->some = mask & ~_mm512_movepi16_mask(t0);
    return mask & ~_mm512_movepi16_mask(t2);
}

/* The tables of two lanes. */
static inline __m128i covey__lanes_two(const covey__lane_table *a, const covey__lane_table *b) {
    __m128d low = _mm_castsi128_pd(_mm_loadl_epi64((const __m128i *)(const void *)a));
    return _mm_castpd_si128(_mm_loadh_pd(low, (const double *)(const void *)b));
}

/* Those of lanes j and j + 4 of each eight, for context + j: what the unpacking below puts in
 * order. (Gathers are slower on AMD's processors.) */
static inline __m512i covey__lanes_eight(const covey__lane_table *tables, const uint16_t *context) {
    __m128i t[4];
    for (int i = 0; i < 4; i++)
        t[i] = covey__lanes_two(&tables[context[8 * i]], &tables[context[8 * i + 4]]);
    __m256i a = _mm256_inserti128_si256(_mm256_castsi128_si256(t[0]), t[1], 1);
    __m256i b = _mm256_inserti128_si256(_mm256_castsi128_si256(t[2]), t[3], 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}

static inline uint32_t covey__lanes_step(covey__lanes *lanes, const covey__lane_table *tables,
                                         const uint16_t context[COVEY__LANES], uint32_t mask,
                                         uint8_t symbol[COVEY__LANES]) {
    __m512i a = covey__lanes_eight(tables, context), b = covey__lanes_eight(tables, context + 1);
    __m512i c = covey__lanes_eight(tables, context + 2);
    __m512i d = covey__lanes_eight(tables, context + 3);
    __m512i ab = _mm512_unpacklo_epi16(a, b), cd = _mm512_unpacklo_epi16(c, d);
    __m512i ef = _mm512_unpackhi_epi16(a, b), gh = _mm512_unpackhi_epi16(c, d);
    __m512i a_d = _mm512_unpacklo_epi32(ab, cd), e_h = _mm512_unpacklo_epi32(ef, gh);
    __m512i e0 = _mm512_unpacklo_epi64(a_d, e_h), e1 = _mm512_unpackhi_epi64(a_d, e_h);
    __m512i e2 =
        _mm512_unpacklo_epi64(_mm512_unpackhi_epi32(ab, cd), _mm512_unpackhi_epi32(ef, gh));
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

static inline __m512i covey__lanes_halves(uint16_t low, uint16_t high) {
    return _mm512_inserti64x4(_mm512_set1_epi16((short)low), _mm256_set1_epi16((short)high), 1);
}

static inline uint32_t covey__lanes_step_pair(covey__lanes *lanes, const covey__lane_table *low,
                                              const covey__lane_table *high, uint32_t mask,
                                              uint8_t symbol[COVEY__LANES]) {
    return covey__lanes_decode(lanes, covey__lanes_halves(low->end[0], high->end[0]),
                               covey__lanes_halves(low->end[1], high->end[1]),
                               covey__lanes_halves(low->end[2], high->end[2]), mask, symbol);
}

#endif
