/* The decoder's step with AVX2. A state's halves are words in two registers; a pair of them has
 * lanes 0-7 and 16-23, another lanes 8-15 and 24-31, so that packing the words of both gives bytes
 * of lanes 0 to 31 in order and unpacking these gives the words again: no shuffle crosses the
 * halves of a register. What the functions do is said in lane_step_scalar.h, the arithmetic in
 * lane_step_vbmi2.h. */
#ifndef COVEY_DELTA_LANE_STEP_AVX2_H
#define COVEY_DELTA_LANE_STEP_AVX2_H

#include <immintrin.h>

#include "delta/lane_coder.h"

typedef struct covey__lane_words {
    __m256i low, high;
} covey__lane_words;

typedef struct covey__lanes {
    covey__lane_words a, b; /* lanes 0-7 and 16-23; 8-15 and 24-31 */
    const uint8_t *at, *end;
    bool over;
    uint32_t some;
} covey__lanes;

/* The ends of sixteen lanes in the order of a or b. */
typedef struct covey__lane_ends {
    __m256i e0, e1, e2;
} covey__lane_ends;

static inline __m256i covey__lanes_join(const void *low, const void *high) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)low)),
                                   _mm_loadu_si128((const __m128i *)high), 1);
}

static inline covey__lane_words covey__lanes_split(const uint32_t *state) {
    const __m256i words = _mm256_set1_epi32(0xffff);
    __m256i x = covey__lanes_join(state, state + 16), y = covey__lanes_join(state + 4, state + 20);
    covey__lane_words split = {
        _mm256_packus_epi32(_mm256_and_si256(x, words), _mm256_and_si256(y, words)),
        _mm256_packus_epi32(_mm256_srli_epi32(x, 16), _mm256_srli_epi32(y, 16))};
    return split;
}

static inline covey__lanes covey__lanes_load(const covey__lane_decoder *decoder) {
    covey__lanes lanes = {covey__lanes_split(decoder->state),
                          covey__lanes_split(decoder->state + 8),
                          decoder->at,
                          decoder->end,
                          decoder->over,
                          0};
    return lanes;
}

static inline void covey__lanes_write(covey__lane_words words, uint32_t *state) {
    __m256i x = _mm256_unpacklo_epi16(words.low, words.high);
    __m256i y = _mm256_unpackhi_epi16(words.low, words.high);
    _mm_store_si128((__m128i *)state, _mm256_castsi256_si128(x));
    _mm_store_si128((__m128i *)(state + 4), _mm256_castsi256_si128(y));
    _mm_store_si128((__m128i *)(state + 16), _mm256_extracti128_si256(x, 1));
    _mm_store_si128((__m128i *)(state + 20), _mm256_extracti128_si256(y, 1));
}

static inline void covey__lanes_store(const covey__lanes *lanes, covey__lane_decoder *decoder) {
    covey__lanes_write(lanes->a, decoder->state);
    covey__lanes_write(lanes->b, decoder->state + 8);
    decoder->at = lanes->at;
    decoder->end = lanes->end;
    decoder->over = lanes->over;
}

/* All ones in the words of the active lanes; `bits` has the lanes' bits in each half. */
static inline __m256i covey__lanes_active(uint32_t mask, __m256i bits) {
    const __m256i halves = _mm256_set_epi8(3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 1, 0, 1,
                                           0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0);
    __m256i words = _mm256_shuffle_epi8(_mm256_set1_epi32((int)mask), halves);
    return _mm256_cmpeq_epi16(_mm256_and_si256(words, bits), bits);
}

/* A slot's distance from its symbol's start, the symbol's width, the symbol, and `first` and
 * `last`, which are negative where that is 0 and where it is not 3. */
typedef struct covey__lane_found {
    __m256i d, f, symbol, first, last;
} covey__lane_found;

static inline covey__lane_found covey__lanes_find(__m256i low, covey__lane_ends ends) {
    const __m256i top = _mm256_set1_epi16((short)0x8000);
    __m256i slot = _mm256_andnot_si256(top, low), behind = _mm256_or_si256(low, top);
    __m256i t0 = _mm256_sub_epi16(slot, ends.e0), t1 = _mm256_sub_epi16(slot, ends.e1);
    __m256i t2 = _mm256_sub_epi16(slot, ends.e2);
    __m256i most = _mm256_max_epu16(_mm256_max_epu16(behind, t0), _mm256_max_epu16(t1, t2));
    __m256i less = _mm256_add_epi16(_mm256_srai_epi16(t0, 15), _mm256_srai_epi16(t1, 15));
    less = _mm256_add_epi16(less, _mm256_srai_epi16(t2, 15));
    covey__lane_found found;
    found.d = _mm256_min_epu16(_mm256_min_epu16(slot, t0), _mm256_min_epu16(t1, t2));
    found.f = _mm256_sub_epi16(found.d, most);
    found.symbol = _mm256_add_epi16(_mm256_set1_epi16(3), less);
    found.first = t0;
    found.last = t2;
    return found;
}

/* The next state, and all ones in `empty` where it is below 2^16. */
static inline covey__lane_words covey__lanes_advance(covey__lane_words x, covey__lane_found found,
                                                     __m256i *empty) {
    __m256i c = _mm256_and_si256(found.f, _mm256_srai_epi16(x.low, 15));
    c = _mm256_add_epi16(c, found.d);
    __m256i twice = _mm256_add_epi16(found.f, found.f);
    __m256i below = _mm256_mullo_epi16(twice, x.high);
    __m256i above = _mm256_mulhi_epu16(twice, x.high);
    covey__lane_words next;
    next.low = _mm256_add_epi16(below, c);
    __m256i no_carry = _mm256_cmpeq_epi16(next.low, _mm256_adds_epu16(below, c));
    next.high = _mm256_add_epi16(_mm256_add_epi16(above, _mm256_set1_epi16(1)), no_carry);
    *empty = _mm256_and_si256(_mm256_cmpeq_epi16(above, _mm256_setzero_si256()), no_carry);
    return next;
}

static inline covey__lane_words covey__lanes_choose(covey__lane_words off, covey__lane_words on,
                                                    __m256i active) {
    covey__lane_words chosen = {_mm256_blendv_epi8(off.low, on.low, active),
                                _mm256_blendv_epi8(off.high, on.high, active)};
    return chosen;
}

/* Words from two places go to the lanes that want one, in each half of the register. */
static inline covey__lane_words covey__lanes_take(covey__lane_words x, __m256i empty,
                                                  const uint8_t *first, uint32_t first_wants,
                                                  const uint8_t *second, uint32_t second_wants) {
    __m256i places = covey__lanes_join(covey__lane_spread[first_wants & 255],
                                       covey__lane_spread[second_wants & 255]);
    covey__lane_words next = {_mm256_shuffle_epi8(covey__lanes_join(first, second), places), x.low};
    return covey__lanes_choose(x, next, empty);
}

static inline void covey__lanes_refill(covey__lanes *lanes, __m256i a, __m256i b) {
    uint32_t wants = (uint32_t)_mm256_movemask_epi8(_mm256_packs_epi16(a, b));
    const uint8_t *at = lanes->at, *at1 = at + 2 * (size_t)__builtin_popcount(wants & 0xff);
    const uint8_t *at2 = at + 2 * (size_t)__builtin_popcount(wants & 0xffff);
    const uint8_t *at3 = at + 2 * (size_t)__builtin_popcount(wants & 0xffffff);
    lanes->at = at + 2 * (size_t)__builtin_popcount(wants);
    lanes->a = covey__lanes_take(lanes->a, a, at, wants, at2, wants >> 16);
    lanes->b = covey__lanes_take(lanes->b, b, at1, wants >> 8, at3, wants >> 24);
    if (__builtin_expect(lanes->at > lanes->end, 0)) {
        lanes->at = lanes->end;
        lanes->over = true;
    }
}

/* The lanes whose word is not negative. */
static inline uint32_t covey__lanes_reached(__m256i a, __m256i b) {
    return ~(uint32_t)_mm256_movemask_epi8(_mm256_packs_epi16(a, b)); /* packing keeps the sign */
}

static inline uint32_t covey__lanes_decode(covey__lanes *lanes, covey__lane_ends a,
                                           covey__lane_ends b, uint32_t mask,
                                           uint8_t symbol[COVEY__LANES]) {
    covey__lane_found first = covey__lanes_find(lanes->a.low, a);
    covey__lane_found second = covey__lanes_find(lanes->b.low, b);
    __m256i first_empty, second_empty;
    covey__lane_words x = covey__lanes_advance(lanes->a, first, &first_empty);
    covey__lane_words y = covey__lanes_advance(lanes->b, second, &second_empty);
    __m256i symbols = _mm256_packus_epi16(first.symbol, second.symbol);
    if (mask != UINT32_MAX) {
        const __m256i bits =
            _mm256_set_epi16(128, 64, 32, 16, 8, 4, 2, 1, 128, 64, 32, 16, 8, 4, 2, 1);
        __m256i i = covey__lanes_active(mask, bits);
        __m256i j = covey__lanes_active(mask, _mm256_slli_epi16(bits, 8));
        x = covey__lanes_choose(lanes->a, x, i);
        y = covey__lanes_choose(lanes->b, y, j);
        first_empty = _mm256_and_si256(first_empty, i);
        second_empty = _mm256_and_si256(second_empty, j);
        symbols = _mm256_and_si256(symbols, _mm256_packs_epi16(i, j));
    }
    lanes->a = x;
    lanes->b = y;
    covey__lanes_refill(lanes, first_empty, second_empty);
    _mm256_storeu_si256((__m256i *)symbol, symbols);
    lanes->some = mask & covey__lanes_reached(first.first, second.first);
    return mask & covey__lanes_reached(first.last, second.last);
}

/* The tables of two lanes, of two others in the upper half. */
static inline __m256i covey__lanes_four(const covey__lane_table *tables, const uint16_t *context) {
    const void *p[4] = {&tables[context[0]], &tables[context[4]], &tables[context[16]],
                        &tables[context[20]]};
    __m128d low = _mm_castsi128_pd(_mm_loadl_epi64((const __m128i *)p[0]));
    __m128d high = _mm_castsi128_pd(_mm_loadl_epi64((const __m128i *)p[2]));
    low = _mm_loadh_pd(low, (const double *)p[1]);
    high = _mm_loadh_pd(high, (const double *)p[3]);
    return _mm256_castpd_si256(_mm256_insertf128_pd(_mm256_castpd128_pd256(low), high, 1));
}

/* Those of the lanes 0-7 and 16-23 that `context` begins with, turned to words in order. */
static inline covey__lane_ends covey__lanes_look_up(const covey__lane_table *tables,
                                                    const uint16_t *context) {
    __m256i a = covey__lanes_four(tables, context), b = covey__lanes_four(tables, context + 1);
    __m256i c = covey__lanes_four(tables, context + 2), d = covey__lanes_four(tables, context + 3);
    __m256i ab = _mm256_unpacklo_epi16(a, b), cd = _mm256_unpacklo_epi16(c, d);
    __m256i ef = _mm256_unpackhi_epi16(a, b), gh = _mm256_unpackhi_epi16(c, d);
    __m256i a_d = _mm256_unpacklo_epi32(ab, cd), e_h = _mm256_unpacklo_epi32(ef, gh);
    covey__lane_ends ends = {
        _mm256_unpacklo_epi64(a_d, e_h), _mm256_unpackhi_epi64(a_d, e_h),
        _mm256_unpacklo_epi64(_mm256_unpackhi_epi32(ab, cd), _mm256_unpackhi_epi32(ef, gh))};
    return ends;
}

static inline uint32_t covey__lanes_step(covey__lanes *lanes, const covey__lane_table *tables,
                                         const uint16_t context[COVEY__LANES], uint32_t mask,
                                         uint8_t symbol[COVEY__LANES]) {
    covey__lane_ends a = covey__lanes_look_up(tables, context);
    return covey__lanes_decode(lanes, a, covey__lanes_look_up(tables, context + 8), mask, symbol);
}

/* The k-th ends of all lanes as bytes, the low or the high ones. */
static inline __m256i covey__lanes_plane(const uint8_t *low, const uint8_t *high, __m256i place) {
    return _mm256_shuffle_epi8(covey__lanes_join(low, high), place);
}

static inline uint32_t covey__lanes_step_row(covey__lanes *lanes, const covey__lane_row *low,
                                             const covey__lane_row *high,
                                             const uint8_t column[COVEY__LANES], uint32_t mask,
                                             uint8_t symbol[COVEY__LANES]) {
    __m256i place = _mm256_loadu_si256((const __m256i *)column);
    __m256i l0 = covey__lanes_plane(low->plane[0][0], high->plane[0][0], place);
    __m256i h0 = covey__lanes_plane(low->plane[0][1], high->plane[0][1], place);
    __m256i l1 = covey__lanes_plane(low->plane[1][0], high->plane[1][0], place);
    __m256i h1 = covey__lanes_plane(low->plane[1][1], high->plane[1][1], place);
    __m256i l2 = covey__lanes_plane(low->plane[2][0], high->plane[2][0], place);
    __m256i h2 = covey__lanes_plane(low->plane[2][1], high->plane[2][1], place);
    covey__lane_ends a = {_mm256_unpacklo_epi8(l0, h0), _mm256_unpacklo_epi8(l1, h1),
                          _mm256_unpacklo_epi8(l2, h2)};
    covey__lane_ends b = {_mm256_unpackhi_epi8(l0, h0), _mm256_unpackhi_epi8(l1, h1),
                          _mm256_unpackhi_epi8(l2, h2)};
    return covey__lanes_decode(lanes, a, b, mask, symbol);
}

static inline __m256i covey__lanes_halves(uint16_t low, uint16_t high) {
    return _mm256_inserti128_si256(_mm256_set1_epi16((short)low), _mm_set1_epi16((short)high), 1);
}

static inline uint32_t covey__lanes_step_pair(covey__lanes *lanes, const covey__lane_table *low,
                                              const covey__lane_table *high, uint32_t mask,
                                              uint8_t symbol[COVEY__LANES]) {
    covey__lane_ends ends = {covey__lanes_halves(low->end[0], high->end[0]),
                             covey__lanes_halves(low->end[1], high->end[1]),
                             covey__lanes_halves(low->end[2], high->end[2])};
    return covey__lanes_decode(lanes, ends, ends, mask, symbol);
}

#endif
