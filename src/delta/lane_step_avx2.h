/* The decoder's step with AVX2. States are four registers of lanes 0-3 and 16-19, 4-7 and 20-23,
 * 8-11 and 24-27, 12-15 and 28-31, so that packing two gives words of lanes 0-7 and 16-23 (or 8-15
 * and 24-31), and packing these gives bytes of lanes 0 to 31 in order: no shuffle crosses the
 * halves of a register. What the functions do is said in lane_step_scalar.h, why no compare is
 * needed in lane_step_avx512.h. */
#ifndef COVEY_DELTA_LANE_STEP_AVX2_H
#define COVEY_DELTA_LANE_STEP_AVX2_H

#include <immintrin.h>

#include "delta/lane_coder.h"

typedef struct covey__lanes {
    __m256i x[4];
    const uint8_t *at, *end;
    bool over;
} covey__lanes;

/* The ends of all lanes: [k][0] of lanes 0-7 and 16-23, [k][1] of the others. */
typedef struct covey__lane_ends {
    __m256i e[3][2];
} covey__lane_ends;

static inline __m256i covey__lanes_join(const void *low, const void *high) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)low)),
                                   _mm_loadu_si128((const __m128i *)high), 1);
}

static inline covey__lanes covey__lanes_load(const covey__lane_decoder *decoder) {
    covey__lanes lanes = {{_mm256_setzero_si256()}, decoder->at, decoder->end, decoder->over};
    for (int i = 0; i < 4; i++)
        lanes.x[i] = covey__lanes_join(decoder->state + 4 * i, decoder->state + 4 * i + 16);
    return lanes;
}

static inline void covey__lanes_store(const covey__lanes *lanes, covey__lane_decoder *decoder) {
    for (int i = 0; i < 4; i++) {
        uint32_t *state = decoder->state + 4 * i;
        _mm_store_si128((__m128i *)state, _mm256_castsi256_si128(lanes->x[i]));
        _mm_store_si128((__m128i *)(state + 16), _mm256_extracti128_si256(lanes->x[i], 1));
    }
    decoder->at = lanes->at;
    decoder->end = lanes->end;
    decoder->over = lanes->over;
}

/* Lanes with less than 2^16 take their words. */
static inline void covey__lanes_refill(covey__lanes *lanes) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i empty[2];
    for (int i = 0; i < 2; i++) {
        __m256i tops = _mm256_packus_epi32(_mm256_srli_epi32(lanes->x[2 * i], 16),
                                           _mm256_srli_epi32(lanes->x[2 * i + 1], 16));
        empty[i] = _mm256_cmpeq_epi16(tops, zero);
    }
    uint32_t wants = (uint32_t)_mm256_movemask_epi8(_mm256_packs_epi16(empty[0], empty[1]));
    const uint8_t *at[4];
    for (int i = 0; i < 4; i++)
        at[i] = lanes->at + 2 * (size_t)__builtin_popcount(wants & ((1u << 8 * i) - 1));
    lanes->at += 2 * (size_t)__builtin_popcount(wants);
    for (int i = 0; i < 2; i++) {
        __m256i places = covey__lanes_join(covey__lane_spread[wants >> 8 * i & 255],
                                           covey__lane_spread[wants >> (16 + 8 * i) & 255]);
        __m256i words = _mm256_shuffle_epi8(covey__lanes_join(at[i], at[i + 2]), places);
        for (int k = 0; k < 2; k++) {
            __m256i word =
                k ? _mm256_unpackhi_epi16(words, zero) : _mm256_unpacklo_epi16(words, zero);
            __m256i take = k ? _mm256_unpackhi_epi16(empty[i], empty[i])
                             : _mm256_unpacklo_epi16(empty[i], empty[i]);
            __m256i x = lanes->x[2 * i + k];
            __m256i full = _mm256_or_si256(_mm256_slli_epi32(x, 16), word);
            lanes->x[2 * i + k] = _mm256_blendv_epi8(x, full, take);
        }
    }
    if (__builtin_expect(lanes->at > lanes->end, 0)) {
        lanes->at = lanes->end;
        lanes->over = true;
    }
}

/* All ones in the words of the active lanes, in the order of covey__lane_ends. */
static inline void covey__lanes_active(uint32_t mask, __m256i active[2]) {
    const __m256i halves = _mm256_set_epi8(3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 1, 0, 1,
                                           0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0);
    const __m256i bits = _mm256_set_epi16(128, 64, 32, 16, 8, 4, 2, 1, 128, 64, 32, 16, 8, 4, 2, 1);
    const __m256i late = _mm256_slli_epi16(bits, 8);
    __m256i words = _mm256_shuffle_epi8(_mm256_set1_epi32((int)mask), halves);
    active[0] = _mm256_cmpeq_epi16(_mm256_and_si256(words, bits), bits);
    active[1] = _mm256_cmpeq_epi16(_mm256_and_si256(words, late), late);
}

/* What sixteen words tell of their lanes' next states and symbols. */
typedef struct covey__lane_found {
    __m256i least, width, symbol, last;
} covey__lane_found;

static inline covey__lane_found covey__lanes_find(__m256i slot, __m256i e0, __m256i e1, __m256i e2,
                                                  __m256i active) {
    const __m256i half = _mm256_set1_epi16((short)0x8000);
    __m256i t0 = _mm256_sub_epi16(slot, e0), t1 = _mm256_sub_epi16(slot, e1);
    __m256i t2 = _mm256_sub_epi16(slot, e2), behind = _mm256_or_si256(slot, half);
    __m256i least = _mm256_min_epu16(_mm256_min_epu16(slot, t0), _mm256_min_epu16(t1, t2));
    __m256i most = _mm256_max_epu16(_mm256_max_epu16(behind, t0), _mm256_max_epu16(t1, t2));
    __m256i negative = _mm256_add_epi16(_mm256_srai_epi16(t0, 15), _mm256_srai_epi16(t1, 15));
    negative = _mm256_add_epi16(negative, _mm256_srai_epi16(t2, 15));
    covey__lane_found found;
    /* A width of 2^15 at the slot's own distance leaves a state as it is. */
    found.least = _mm256_blendv_epi8(slot, least, active);
    found.width = _mm256_blendv_epi8(half, _mm256_sub_epi16(least, most), active);
    found.symbol = _mm256_and_si256(_mm256_add_epi16(negative, _mm256_set1_epi16(3)), active);
    found.last = t2;
    return found;
}

static inline __m256i covey__lanes_advance(__m256i x, __m256i width, __m256i distance) {
    return _mm256_add_epi32(_mm256_mullo_epi32(_mm256_srli_epi32(x, 15), width), distance);
}

static inline uint32_t covey__lanes_decode(covey__lanes *lanes, const covey__lane_ends *ends,
                                           uint32_t mask, uint8_t symbol[COVEY__LANES]) {
    const __m256i zero = _mm256_setzero_si256(), slots = _mm256_set1_epi32(0x7fff);
    __m256i active[2];
    covey__lane_found found[2];
    covey__lanes_active(mask, active);
    for (int i = 0; i < 2; i++) {
        __m256i *x = &lanes->x[2 * i];
        __m256i slot =
            _mm256_packus_epi32(_mm256_and_si256(x[0], slots), _mm256_and_si256(x[1], slots));
        found[i] = covey__lanes_find(slot, ends->e[0][i], ends->e[1][i], ends->e[2][i], active[i]);
        __m256i width = found[i].width, least = found[i].least;
        x[0] = covey__lanes_advance(x[0], _mm256_unpacklo_epi16(width, zero),
                                    _mm256_unpacklo_epi16(least, zero));
        x[1] = covey__lanes_advance(x[1], _mm256_unpackhi_epi16(width, zero),
                                    _mm256_unpackhi_epi16(least, zero));
    }
    covey__lanes_refill(lanes);
    _mm256_storeu_si256((__m256i *)symbol, _mm256_packus_epi16(found[0].symbol, found[1].symbol));
    /* Packing keeps the sign: set where the slot is before the last end. */
    __m256i before = _mm256_packs_epi16(found[0].last, found[1].last);
    return mask & ~(uint32_t)_mm256_movemask_epi8(before);
}

static inline __m128i covey__lanes_two(const covey__lane_table *a, const covey__lane_table *b) {
    __m128d low = _mm_castsi128_pd(_mm_loadl_epi64((const __m128i *)(const void *)a));
    return _mm_castpd_si128(_mm_loadh_pd(low, (const double *)(const void *)b));
}

static inline uint32_t covey__lanes_step(covey__lanes *lanes, const covey__lane_table *tables,
                                         const uint16_t context[COVEY__LANES], uint32_t mask,
                                         uint8_t symbol[COVEY__LANES]) {
    covey__lane_ends ends;
    for (int i = 0; i < 2; i++) {
        __m256i t[4]; /* of lanes j, j + 4, j + 16, j + 20 */
        for (int j = 0; j < 4; j++) {
            const uint16_t *c = context + 8 * i + j;
            __m128i low = covey__lanes_two(&tables[c[0]], &tables[c[4]]);
            __m128i high = covey__lanes_two(&tables[c[16]], &tables[c[20]]);
            t[j] = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
        }
        __m256i ab = _mm256_unpacklo_epi16(t[0], t[1]), cd = _mm256_unpacklo_epi16(t[2], t[3]);
        __m256i ef = _mm256_unpackhi_epi16(t[0], t[1]), gh = _mm256_unpackhi_epi16(t[2], t[3]);
        __m256i a_d = _mm256_unpacklo_epi32(ab, cd), e_h = _mm256_unpacklo_epi32(ef, gh);
        ends.e[0][i] = _mm256_unpacklo_epi64(a_d, e_h);
        ends.e[1][i] = _mm256_unpackhi_epi64(a_d, e_h);
        ends.e[2][i] =
            _mm256_unpacklo_epi64(_mm256_unpackhi_epi32(ab, cd), _mm256_unpackhi_epi32(ef, gh));
    }
    return covey__lanes_decode(lanes, &ends, mask, symbol);
}

static inline uint32_t covey__lanes_step_row(covey__lanes *lanes, const covey__lane_row *low,
                                             const covey__lane_row *high,
                                             const uint8_t column[COVEY__LANES], uint32_t mask,
                                             uint8_t symbol[COVEY__LANES]) {
    covey__lane_ends ends;
    __m256i place = _mm256_loadu_si256((const __m256i *)column);
    for (int k = 0; k < 3; k++) {
        __m256i bytes[2];
        for (int b = 0; b < 2; b++)
            bytes[b] =
                _mm256_shuffle_epi8(covey__lanes_join(low->plane[k][b], high->plane[k][b]), place);
        ends.e[k][0] = _mm256_unpacklo_epi8(bytes[0], bytes[1]);
        ends.e[k][1] = _mm256_unpackhi_epi8(bytes[0], bytes[1]);
    }
    return covey__lanes_decode(lanes, &ends, mask, symbol);
}

static inline uint32_t covey__lanes_step_pair(covey__lanes *lanes, const covey__lane_table *low,
                                              const covey__lane_table *high, uint32_t mask,
                                              uint8_t symbol[COVEY__LANES]) {
    covey__lane_ends ends;
    for (int k = 0; k < 3; k++)
        ends.e[k][0] = ends.e[k][1] =
            _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_set1_epi16((short)low->end[k])),
                                    _mm_set1_epi16((short)high->end[k]), 1);
    return covey__lanes_decode(lanes, &ends, mask, symbol);
}

#endif
