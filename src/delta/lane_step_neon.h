/* The decoder's step with NEON: eight lanes at a time, their states' halves as words, as in
 * lane_step_vbmi2.h, which says how the next state is found. What the functions do is said in
 * lane_step_scalar.h. */
#ifndef COVEY_DELTA_LANE_STEP_NEON_H
#define COVEY_DELTA_LANE_STEP_NEON_H

#include <arm_neon.h>

#include "delta/lane_coder.h"

#if !defined(__AARCH64EL__)
#error "streams are read as little-endian words here"
#endif

typedef struct covey__lane_words {
    uint16x8_t low, high;
} covey__lane_words;

typedef struct covey__lanes {
    covey__lane_words a, b, c, d; /* of lanes 0-7, 8-15, 16-23, 24-31 */
    const uint8_t *at, *end;
    bool over;
    uint32_t some;
} covey__lanes;

/* The ends of eight lanes. */
typedef struct covey__lane_ends {
    uint16x8_t e0, e1, e2;
} covey__lane_ends;

static inline covey__lane_words covey__lanes_split(const uint32_t *state) {
    uint16x8_t x = vreinterpretq_u16_u32(vld1q_u32(state));
    uint16x8_t y = vreinterpretq_u16_u32(vld1q_u32(state + 4));
    covey__lane_words words = {vuzp1q_u16(x, y), vuzp2q_u16(x, y)};
    return words;
}

static inline void covey__lanes_write(covey__lane_words words, uint32_t *state) {
    vst1q_u32(state, vreinterpretq_u32_u16(vzip1q_u16(words.low, words.high)));
    vst1q_u32(state + 4, vreinterpretq_u32_u16(vzip2q_u16(words.low, words.high)));
}

static inline covey__lanes covey__lanes_load(const covey__lane_decoder *decoder) {
    covey__lanes lanes = {covey__lanes_split(decoder->state),
                          covey__lanes_split(decoder->state + 8),
                          covey__lanes_split(decoder->state + 16),
                          covey__lanes_split(decoder->state + 24),
                          decoder->at,
                          decoder->end,
                          decoder->over,
                          0};
    return lanes;
}

static inline void covey__lanes_store(const covey__lanes *lanes, covey__lane_decoder *decoder) {
    covey__lanes_write(lanes->a, decoder->state);
    covey__lanes_write(lanes->b, decoder->state + 8);
    covey__lanes_write(lanes->c, decoder->state + 16);
    covey__lanes_write(lanes->d, decoder->state + 24);
    decoder->at = lanes->at;
    decoder->end = lanes->end;
    decoder->over = lanes->over;
}

typedef struct covey__lane_masks {
    uint32_t some, more;
} covey__lane_masks;

/* Eight lanes go on, and those of the eight bits of `mask` take words where they want one. Writes
 * the symbols, and returns the masks of lanes with another symbol than 0, and with 3. */
static inline covey__lane_masks covey__lanes_eight(covey__lane_words *x, covey__lane_ends ends,
                                                   uint32_t mask, const uint8_t **at,
                                                   uint8_t *symbol) {
    static const uint16_t bits[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    const uint16x8_t bit = vld1q_u16(bits), top = vdupq_n_u16(0x8000), zero = vdupq_n_u16(0);
    uint16x8_t active = vtstq_u16(vdupq_n_u16((uint16_t)mask), bit);
    uint16x8_t slot = vbicq_u16(x->low, top), behind = vorrq_u16(x->low, top);
    uint16x8_t t0 = vsubq_u16(slot, ends.e0), t1 = vsubq_u16(slot, ends.e1);
    uint16x8_t t2 = vsubq_u16(slot, ends.e2);
    uint16x8_t d = vminq_u16(vminq_u16(slot, t0), vminq_u16(t1, t2));
    uint16x8_t most = vmaxq_u16(vmaxq_u16(behind, t0), vmaxq_u16(t1, t2));
    uint16x8_t f = vsubq_u16(d, most), twice = vaddq_u16(f, f);

    uint16x8_t c = vaddq_u16(d, vandq_u16(f, vcgeq_u16(x->low, top)));
    uint32x4_t p = vmull_u16(vget_low_u16(twice), vget_low_u16(x->high));
    uint32x4_t q = vmull_high_u16(twice, x->high);
    uint16x8_t first = vreinterpretq_u16_u32(vaddw_u16(p, vget_low_u16(c)));
    uint16x8_t second = vreinterpretq_u16_u32(vaddw_high_u16(q, c));
    uint16x8_t low = vbslq_u16(active, vuzp1q_u16(first, second), x->low);
    uint16x8_t high = vbslq_u16(active, vuzp2q_u16(first, second), x->high);

    uint16x8_t empty = vceqq_u16(high, zero);
    uint32_t wants = vaddvq_u16(vandq_u16(empty, bit));
    uint8x16_t words = vqtbl1q_u8(vld1q_u8(*at), vld1q_u8(covey__lane_spread[wants]));
    *at += 2 * (size_t)__builtin_popcount(wants);
    x->low = vbslq_u16(empty, vreinterpretq_u16_u8(words), low);
    x->high = vbslq_u16(empty, low, high);

    uint16x8_t bits_here = vandq_u16(active, bit);
    covey__lane_masks masks = {vaddvq_u16(vandq_u16(vcltq_u16(t0, top), bits_here)),
                               vaddvq_u16(vandq_u16(vcltq_u16(t2, top), bits_here))};
    uint16x8_t found = vaddq_u16(vcltq_u16(t0, top), vcltq_u16(t1, top)); /* less the symbol */
    found = vsubq_u16(zero, vaddq_u16(found, vcltq_u16(t2, top)));
    vst1_u8(symbol, vmovn_u16(vandq_u16(found, active)));
    return masks;
}

/* Takes the step, whose ends are those of lanes 0-7, 8-15, 16-23, 24-31. */
static inline uint32_t covey__lanes_decode(covey__lanes *lanes, const covey__lane_ends ends[4],
                                           uint32_t mask, uint8_t symbol[COVEY__LANES]) {
    const uint8_t *at = lanes->at;
    covey__lane_masks a = covey__lanes_eight(&lanes->a, ends[0], mask & 255, &at, symbol);
    covey__lane_masks b = covey__lanes_eight(&lanes->b, ends[1], mask >> 8 & 255, &at, symbol + 8);
    covey__lane_masks c =
        covey__lanes_eight(&lanes->c, ends[2], mask >> 16 & 255, &at, symbol + 16);
    covey__lane_masks d = covey__lanes_eight(&lanes->d, ends[3], mask >> 24, &at, symbol + 24);
    lanes->some = a.some | b.some << 8 | c.some << 16 | d.some << 24;
    lanes->at = at;
    if (__builtin_expect(at > lanes->end, 0)) {
        lanes->at = lanes->end;
        lanes->over = true;
    }
    return a.more | b.more << 8 | c.more << 16 | d.more << 24;
}

/* The tables of lanes j and j + 4 of the eight that `context` begins with. */
static inline uint16x8_t covey__lanes_two(const covey__lane_table *tables,
                                          const uint16_t *context) {
    return vcombine_u16(vld1_u16(tables[context[0]].end), vld1_u16(tables[context[4]].end));
}

static inline covey__lane_ends covey__lanes_look_up(const covey__lane_table *tables,
                                                    const uint16_t *context) {
    uint16x8_t a = covey__lanes_two(tables, context), b = covey__lanes_two(tables, context + 1);
    uint16x8_t c = covey__lanes_two(tables, context + 2), d = covey__lanes_two(tables, context + 3);
    uint32x4_t ab = vreinterpretq_u32_u16(vzip1q_u16(a, b));
    uint32x4_t cd = vreinterpretq_u32_u16(vzip1q_u16(c, d));
    uint32x4_t ef = vreinterpretq_u32_u16(vzip2q_u16(a, b));
    uint32x4_t gh = vreinterpretq_u32_u16(vzip2q_u16(c, d));
    uint64x2_t a_d = vreinterpretq_u64_u32(vzip1q_u32(ab, cd));
    uint64x2_t e_h = vreinterpretq_u64_u32(vzip1q_u32(ef, gh));
    uint64x2_t a_d2 = vreinterpretq_u64_u32(vzip2q_u32(ab, cd));
    uint64x2_t e_h2 = vreinterpretq_u64_u32(vzip2q_u32(ef, gh));
    covey__lane_ends ends = {vreinterpretq_u16_u64(vzip1q_u64(a_d, e_h)),
                             vreinterpretq_u16_u64(vzip2q_u64(a_d, e_h)),
                             vreinterpretq_u16_u64(vzip1q_u64(a_d2, e_h2))};
    return ends;
}

static inline uint32_t covey__lanes_step(covey__lanes *lanes, const covey__lane_table *tables,
                                         const uint16_t context[COVEY__LANES], uint32_t mask,
                                         uint8_t symbol[COVEY__LANES]) {
    covey__lane_ends ends[4] = {
        covey__lanes_look_up(tables, context), covey__lanes_look_up(tables, context + 8),
        covey__lanes_look_up(tables, context + 16), covey__lanes_look_up(tables, context + 24)};
    return covey__lanes_decode(lanes, ends, mask, symbol);
}

/* The k-th ends of sixteen lanes, the first eight or the others. */
static inline uint16x8_t covey__lanes_plane(const covey__lane_row *row, int k, uint8x16_t place,
                                            bool late) {
    uint8x16_t low = vqtbl1q_u8(vld1q_u8(row->plane[k][0]), place);
    uint8x16_t high = vqtbl1q_u8(vld1q_u8(row->plane[k][1]), place);
    return vreinterpretq_u16_u8(late ? vzip2q_u8(low, high) : vzip1q_u8(low, high));
}

static inline covey__lane_ends covey__lanes_column(const covey__lane_row *row, uint8x16_t place,
                                                   bool late) {
    covey__lane_ends ends = {covey__lanes_plane(row, 0, place, late),
                             covey__lanes_plane(row, 1, place, late),
                             covey__lanes_plane(row, 2, place, late)};
    return ends;
}

static inline uint32_t covey__lanes_step_row(covey__lanes *lanes, const covey__lane_row *low,
                                             const covey__lane_row *high,
                                             const uint8_t column[COVEY__LANES], uint32_t mask,
                                             uint8_t symbol[COVEY__LANES]) {
    uint8x16_t x = vld1q_u8(column), y = vld1q_u8(column + 16);
    covey__lane_ends ends[4] = {
        covey__lanes_column(low, x, false), covey__lanes_column(low, x, true),
        covey__lanes_column(high, y, false), covey__lanes_column(high, y, true)};
    return covey__lanes_decode(lanes, ends, mask, symbol);
}

static inline covey__lane_ends covey__lanes_same(const covey__lane_table *table) {
    covey__lane_ends ends = {vdupq_n_u16(table->end[0]), vdupq_n_u16(table->end[1]),
                             vdupq_n_u16(table->end[2])};
    return ends;
}

static inline uint32_t covey__lanes_step_pair(covey__lanes *lanes, const covey__lane_table *low,
                                              const covey__lane_table *high, uint32_t mask,
                                              uint8_t symbol[COVEY__LANES]) {
    covey__lane_ends x = covey__lanes_same(low), y = covey__lanes_same(high);
    covey__lane_ends ends[4] = {x, x, y, y};
    return covey__lanes_decode(lanes, ends, mask, symbol);
}

#endif
