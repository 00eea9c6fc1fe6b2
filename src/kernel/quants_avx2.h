/* Quantized blocks taken apart with AVX2, type by type, for products with one token
 * (matvec_*_avx2.c) and for tiles (unpack_*_avx2.c). Levels come as bytes in the order of columns:
 * as stored, so unsigned, or for Q8_0 and the types with a codebook as signed weights. blocks.c has
 * the same in plain C. */
#ifndef COVEY_KERNEL_QUANTS_AVX2_H
#define COVEY_KERNEL_QUANTS_AVX2_H

#include "kernel/blocks.h"
#include "kernel/lanes_avx2.h"

/* ---- Blocks of 32: two rows' at once ------------------------------------------------------------
 * u[0] holds levels 0 to 15 of one row and of the other, u[1] levels 16 to 31.
 */

/* 16 bytes of each row. */
COVEY__INLINE __m256i covey__both(const uint8_t *w0, const uint8_t *w1) {
    __m256i v = _mm256_castsi128_si256(covey__load128(w0));
    return _mm256_inserti128_si256(v, covey__load128(w1), 1);
}

COVEY__INLINE void covey__nibbles(__m256i both, __m256i u[2]) {
    const __m256i nibble = _mm256_set1_epi8(15);
    u[0] = _mm256_and_si256(both, nibble);
    u[1] = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
}

/* The weights that nibbles stand for. */
COVEY__INLINE __m256i covey__book(__m256i nibbles) {
    __m256i book = _mm256_broadcastsi128_si256(covey__load128(covey__codebook));
    return _mm256_shuffle_epi8(book, nibbles);
}

/* Adds 16 where bit i of a row's four bytes is set to level i. */
COVEY__INLINE void covey__fifth_bits(const uint8_t *high0, const uint8_t *high1, __m256i u[2]) {
    const __m256i byte = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0,
                                          0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    const __m256i fifth = _mm256_set1_epi8(16), two = _mm256_set1_epi8(2);
    __m256i both = _mm256_inserti128_si256(covey__spread32(high0),
                                           _mm256_castsi256_si128(covey__spread32(high1)), 1);
    COVEY__UNROLL
    for (int i = 0; i < 2; i++) {
        __m256i v = _mm256_shuffle_epi8(both, i ? _mm256_add_epi8(byte, two) : byte);
        v = _mm256_cmpeq_epi8(_mm256_and_si256(v, bit), bit);
        u[i] = _mm256_or_si256(u[i], _mm256_and_si256(v, fifth));
    }
}

COVEY__INLINE void covey__levels_q8_0(const uint8_t *w0, const uint8_t *w1, __m256i u[2]) {
    u[0] = covey__both(w0 + 2, w1 + 2);
    u[1] = covey__both(w0 + 18, w1 + 18);
}
COVEY__INLINE void covey__levels_q4_0(const uint8_t *w0, const uint8_t *w1, __m256i u[2]) {
    covey__nibbles(covey__both(w0 + 2, w1 + 2), u);
}
COVEY__INLINE void covey__levels_q4_1(const uint8_t *w0, const uint8_t *w1, __m256i u[2]) {
    covey__nibbles(covey__both(w0 + 4, w1 + 4), u);
}
COVEY__INLINE void covey__levels_q5_0(const uint8_t *w0, const uint8_t *w1, __m256i u[2]) {
    covey__nibbles(covey__both(w0 + 6, w1 + 6), u);
    covey__fifth_bits(w0 + 2, w1 + 2, u);
}
COVEY__INLINE void covey__levels_q5_1(const uint8_t *w0, const uint8_t *w1, __m256i u[2]) {
    covey__nibbles(covey__both(w0 + 8, w1 + 8), u);
    covey__fifth_bits(w0 + 4, w1 + 4, u);
}
COVEY__INLINE void covey__levels_iq4_nl(const uint8_t *w0, const uint8_t *w1, __m256i u[2]) {
    covey__nibbles(covey__both(w0 + 2, w1 + 2), u);
    u[0] = covey__book(u[0]);
    u[1] = covey__book(u[1]);
}

/* ---- Blocks of 256: a half of 128 levels, in four registers of 32 ------------------------------
 * covey__split_* take bytes of the file apart: u[j] are the levels of column j * 32 + i of the half
 * where v[0] and v[1] are byte i of its two runs of 32 low bits, and v[2] of the higher bits. That
 * is so whether a register holds 32 bytes of one row or, turned, 4 bytes of 8 rows.
 */

COVEY__INLINE __m256i covey__low4(__m256i v) {
    return _mm256_and_si256(v, _mm256_set1_epi8(15));
}

/* Where they lie: half c's low bits at low + low_step * c, the higher ones at high + high_step * c.
 */
typedef struct covey__raw {
    size_t low, low_step;
    bool second, high_bits;
    size_t high, high_step;
} covey__raw;
typedef void (*covey__split_fn)(const __m256i v[3], int half, __m256i u[4]);

COVEY__INLINE void covey__split_q2_k(const __m256i v[3], int half, __m256i u[4]) {
    const __m256i two = _mm256_set1_epi8(3);
    (void)half;
    u[0] = _mm256_and_si256(v[0], two);
    u[1] = _mm256_and_si256(_mm256_srli_epi16(v[0], 2), two);
    u[2] = _mm256_and_si256(_mm256_srli_epi16(v[0], 4), two);
    u[3] = _mm256_and_si256(_mm256_srli_epi16(v[0], 6), two);
}

COVEY__INLINE void covey__split_q3_k(const __m256i v[3], int half, __m256i u[4]) {
    const __m256i third = _mm256_set1_epi8(4);
    __m256i h = _mm256_srl_epi16(v[2], _mm_cvtsi32_si128(4 * half));
    covey__split_q2_k(v, half, u);
    u[0] = _mm256_or_si256(u[0], _mm256_and_si256(_mm256_slli_epi16(h, 2), third));
    u[1] = _mm256_or_si256(u[1], _mm256_and_si256(_mm256_slli_epi16(h, 1), third));
    u[2] = _mm256_or_si256(u[2], _mm256_and_si256(h, third));
    u[3] = _mm256_or_si256(u[3], _mm256_and_si256(_mm256_srli_epi16(h, 1), third));
}

COVEY__INLINE void covey__split_q4_k(const __m256i v[3], int half, __m256i u[4]) {
    (void)half;
    u[0] = covey__low4(v[0]);
    u[1] = covey__low4(_mm256_srli_epi16(v[0], 4));
    u[2] = covey__low4(v[1]);
    u[3] = covey__low4(_mm256_srli_epi16(v[1], 4));
}

COVEY__INLINE void covey__split_q5_k(const __m256i v[3], int half, __m256i u[4]) {
    const __m256i fifth = _mm256_set1_epi8(16);
    __m256i h = _mm256_srl_epi16(v[2], _mm_cvtsi32_si128(4 * half));
    covey__split_q4_k(v, half, u);
    u[0] = _mm256_or_si256(u[0], _mm256_and_si256(_mm256_slli_epi16(h, 4), fifth));
    u[1] = _mm256_or_si256(u[1], _mm256_and_si256(_mm256_slli_epi16(h, 3), fifth));
    u[2] = _mm256_or_si256(u[2], _mm256_and_si256(_mm256_slli_epi16(h, 2), fifth));
    u[3] = _mm256_or_si256(u[3], _mm256_and_si256(_mm256_slli_epi16(h, 1), fifth));
}

COVEY__INLINE void covey__split_q6_k(const __m256i v[3], int half, __m256i u[4]) {
    const __m256i bits = _mm256_set1_epi8(0x30);
    (void)half;
    u[0] = _mm256_or_si256(covey__low4(v[0]), _mm256_and_si256(_mm256_slli_epi16(v[2], 4), bits));
    u[1] = _mm256_or_si256(covey__low4(v[1]), _mm256_and_si256(_mm256_slli_epi16(v[2], 2), bits));
    u[2] = _mm256_or_si256(covey__low4(_mm256_srli_epi16(v[0], 4)), _mm256_and_si256(v[2], bits));
    u[3] = _mm256_or_si256(covey__low4(_mm256_srli_epi16(v[1], 4)),
                           _mm256_and_si256(_mm256_srli_epi16(v[2], 2), bits));
}

/* A half of one row. */
#define COVEY__HALF(type, ...)                                                                     \
    static const covey__raw covey__raw_##type = {__VA_ARGS__};                                     \
    COVEY__INLINE void covey__half_##type(const uint8_t *w, int half, __m256i u[4]) {              \
        const covey__raw raw = covey__raw_##type;                                                  \
        size_t c = (size_t)half;                                                                   \
        __m256i v[3] = {covey__load256(w + raw.low + raw.low_step * c)};                           \
        if (raw.second) v[1] = covey__load256(w + raw.low + raw.low_step * c + 32);                \
        if (raw.high_bits) v[2] = covey__load256(w + raw.high + raw.high_step * c);                \
        covey__split_##type(v, half, u);                                                           \
    }
COVEY__HALF(q2_k, 16, 32, false, false, 0, 0)
COVEY__HALF(q3_k, 32, 32, false, true, 0, 0)
COVEY__HALF(q4_k, 16, 64, true, false, 0, 0)
COVEY__HALF(q5_k, 48, 64, true, true, 16, 0)
COVEY__HALF(q6_k, 0, 64, true, true, 128, 32)

COVEY__INLINE void covey__half_iq4_xs(const uint8_t *w, int half, __m256i u[4]) {
    COVEY__UNROLL
    for (int j = 0; j < 4; j++) {
        __m128i both = covey__load128(w + 8 + 64 * half + 16 * j);
        __m256i v = _mm256_castsi128_si256(both);
        v = _mm256_inserti128_si256(v, _mm_srli_epi16(both, 4), 1);
        u[j] = covey__book(_mm256_and_si256(v, _mm256_set1_epi8(15)));
    }
}

/* ---- Blocks of 256: scales of sub-blocks, and what multiplies the activations' sums: the minima,
 * or for weights with an excess the scales again. With 16 sub-blocks 16 int16 each; with 8 the
 * scales stand in both halves, and the others in the low one, over zeros. -------------------------
 */

typedef struct covey__scales {
    __m256i scale, other;
} covey__scales;

COVEY__INLINE covey__scales covey__scales_q2_k(const uint8_t *w) {
    const __m128i nibble = _mm_set1_epi8(15);
    __m128i v = covey__load128(w);
    covey__scales s = {_mm256_cvtepu8_epi16(_mm_and_si128(v, nibble)),
                       _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(v, 4), nibble))};
    return s;
}

COVEY__INLINE covey__scales covey__scales_q3_k(const uint8_t *w) {
    __m128i low = _mm_loadl_epi64((const __m128i *)(const void *)(w + 96));
    low = _mm_and_si128(_mm_unpacklo_epi64(low, _mm_srli_epi16(low, 4)), _mm_set1_epi8(15));
    __m128i high = _mm256_castsi256_si128(covey__spread32(w + 104));
    high = _mm_and_si128(_mm_srlv_epi32(high, _mm_setr_epi32(0, 2, 4, 6)), _mm_set1_epi8(3));
    __m128i both = _mm_or_si128(low, _mm_slli_epi16(high, 4));
    __m256i v = _mm256_cvtepi8_epi16(_mm_sub_epi8(both, _mm_set1_epi8(32)));
    return (covey__scales){v, v};
}

COVEY__INLINE covey__scales covey__scales_q6_k(const uint8_t *w) {
    __m256i v = _mm256_cvtepi8_epi16(covey__load128(w + 192));
    return (covey__scales){v, v};
}

/* 8 scales and 8 minima of six bits in 12 bytes. */
COVEY__INLINE covey__scales covey__scales_q4_k(const uint8_t *w) {
    uint32_t a, b, c;
    memcpy(&a, w + 4, 4);
    memcpy(&b, w + 8, 4);
    memcpy(&c, w + 12, 4);
    uint32_t scale = (c & 0x0f0f0f0fu) | (a >> 2 & 0x30303030u);
    uint32_t min = (c >> 4 & 0x0f0f0f0fu) | (b >> 2 & 0x30303030u);
    uint64_t scales = (a & 0x3f3f3f3fu) | (uint64_t)scale << 32;
    uint64_t minima = (b & 0x3f3f3f3fu) | (uint64_t)min << 32;
    __m128i s = _mm_cvtepu8_epi16(_mm_cvtsi64_si128((int64_t)scales));
    __m128i m = _mm_cvtepu8_epi16(_mm_cvtsi64_si128((int64_t)minima));
    return (covey__scales){_mm256_broadcastsi128_si256(s), _mm256_zextsi128_si256(m)};
}

COVEY__INLINE covey__scales covey__scales_q5_k(const uint8_t *w) {
    return covey__scales_q4_k(w);
}

COVEY__INLINE covey__scales covey__scales_iq4_xs(const uint8_t *w) {
    uint32_t bytes;
    memcpy(&bytes, w + 4, 4);
    __m128i low = _mm_cvtsi32_si128((int32_t)bytes);
    low = _mm_unpacklo_epi8(low, _mm_srli_epi16(low, 4));
    __m256i high = _mm256_srlv_epi32(_mm256_set1_epi32(covey__load_u16(w + 2)),
                                     _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14));
    __m256i v = _mm256_and_si256(_mm256_cvtepu8_epi32(low), _mm256_set1_epi32(15));
    v = _mm256_or_si256(v, _mm256_slli_epi32(_mm256_and_si256(high, _mm256_set1_epi32(3)), 4));
    v = _mm256_sub_epi32(v, _mm256_set1_epi32(32));
    __m128i s = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    return (covey__scales){_mm256_broadcastsi128_si256(s), _mm256_zextsi128_si256(s)};
}

/* The int16 scales of the 32 columns j of a half: of one sub-block or of two (then `scales` are the
 * half's 8, in both halves of the register). */
COVEY__INLINE __m256i covey__spread(__m256i scales, const int j, const int sub) {
    const __m256i low = _mm256_setr_epi8(0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3,
                                         2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3);
    if (sub == 32)
        return _mm256_shuffle_epi8(scales, _mm256_set1_epi16((short)(0x0100 + 0x202 * j)));
    return _mm256_shuffle_epi8(scales, _mm256_add_epi8(low, _mm256_set1_epi8((char)(4 * j))));
}

typedef void (*covey__levels_fn)(const uint8_t *w0, const uint8_t *w1, __m256i u[2]);
typedef void (*covey__half_fn)(const uint8_t *w, int half, __m256i u[4]);
typedef covey__scales (*covey__scales_fn)(const uint8_t *w);

#endif
