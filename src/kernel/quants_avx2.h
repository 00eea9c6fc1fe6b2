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
 */

COVEY__INLINE void covey__half_q2_k(const uint8_t *w, int half, __m256i u[4]) {
    const __m256i two = _mm256_set1_epi8(3);
    __m256i v = covey__load256(w + 16 + 32 * half);
    u[0] = _mm256_and_si256(v, two);
    u[1] = _mm256_and_si256(_mm256_srli_epi16(v, 2), two);
    u[2] = _mm256_and_si256(_mm256_srli_epi16(v, 4), two);
    u[3] = _mm256_and_si256(_mm256_srli_epi16(v, 6), two);
}

COVEY__INLINE void covey__half_q3_k(const uint8_t *w, int half, __m256i u[4]) {
    const __m256i two = _mm256_set1_epi8(3), third = _mm256_set1_epi8(4);
    __m256i v = covey__load256(w + 32 + 32 * half);
    __m256i h = _mm256_srl_epi16(covey__load256(w), _mm_cvtsi32_si128(4 * half));
    u[0] = _mm256_and_si256(_mm256_slli_epi16(h, 2), third);
    u[1] = _mm256_and_si256(_mm256_slli_epi16(h, 1), third);
    u[2] = _mm256_and_si256(h, third);
    u[3] = _mm256_and_si256(_mm256_srli_epi16(h, 1), third);
    u[0] = _mm256_or_si256(u[0], _mm256_and_si256(v, two));
    u[1] = _mm256_or_si256(u[1], _mm256_and_si256(_mm256_srli_epi16(v, 2), two));
    u[2] = _mm256_or_si256(u[2], _mm256_and_si256(_mm256_srli_epi16(v, 4), two));
    u[3] = _mm256_or_si256(u[3], _mm256_and_si256(_mm256_srli_epi16(v, 6), two));
}

/* 64 bytes: two runs of 32 low nibbles and 32 high ones. */
COVEY__INLINE void covey__half_nibbles(const uint8_t *q, __m256i u[4]) {
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i v0 = covey__load256(q), v1 = covey__load256(q + 32);
    u[0] = _mm256_and_si256(v0, nibble);
    u[1] = _mm256_and_si256(_mm256_srli_epi16(v0, 4), nibble);
    u[2] = _mm256_and_si256(v1, nibble);
    u[3] = _mm256_and_si256(_mm256_srli_epi16(v1, 4), nibble);
}

COVEY__INLINE void covey__half_q4_k(const uint8_t *w, int half, __m256i u[4]) {
    covey__half_nibbles(w + 16 + 64 * half, u);
}

COVEY__INLINE void covey__half_q5_k(const uint8_t *w, int half, __m256i u[4]) {
    const __m256i fifth = _mm256_set1_epi8(16);
    __m256i h = _mm256_srl_epi16(covey__load256(w + 16), _mm_cvtsi32_si128(4 * half));
    covey__half_nibbles(w + 48 + 64 * half, u);
    u[0] = _mm256_or_si256(u[0], _mm256_and_si256(_mm256_slli_epi16(h, 4), fifth));
    u[1] = _mm256_or_si256(u[1], _mm256_and_si256(_mm256_slli_epi16(h, 3), fifth));
    u[2] = _mm256_or_si256(u[2], _mm256_and_si256(_mm256_slli_epi16(h, 2), fifth));
    u[3] = _mm256_or_si256(u[3], _mm256_and_si256(_mm256_slli_epi16(h, 1), fifth));
}

COVEY__INLINE void covey__half_q6_k(const uint8_t *w, int half, __m256i u[4]) {
    const __m256i nibble = _mm256_set1_epi8(15), bits = _mm256_set1_epi8(0x30);
    __m256i l0 = covey__load256(w + 64 * half), l1 = covey__load256(w + 64 * half + 32);
    __m256i h = covey__load256(w + 128 + 32 * half);
    u[0] = _mm256_or_si256(_mm256_and_si256(l0, nibble),
                           _mm256_and_si256(_mm256_slli_epi16(h, 4), bits));
    u[1] = _mm256_or_si256(_mm256_and_si256(l1, nibble),
                           _mm256_and_si256(_mm256_slli_epi16(h, 2), bits));
    u[2] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(l0, 4), nibble),
                           _mm256_and_si256(h, bits));
    u[3] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(l1, 4), nibble),
                           _mm256_and_si256(_mm256_srli_epi16(h, 2), bits));
}

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

/* Levels less `base`, times their sub-blocks' scales, plus `more`, where that fits unsigned bytes.
 */
COVEY__INLINE void covey__scale_levels(__m256i u[4], __m256i scales, int half, int base, int more) {
    const __m256i low = _mm256_set1_epi16(0xff);
    __m128i eight = half ? _mm256_extracti128_si256(scales, 1) : _mm256_castsi256_si128(scales);
    __m256i both = _mm256_broadcastsi128_si256(eight);
    COVEY__UNROLL
    for (int j = 0; j < 4; j++) {
        __m256i scale = covey__spread(both, j, 16);
        __m256i v = _mm256_sub_epi8(u[j], _mm256_set1_epi8((char)base));
        __m256i even = _mm256_and_si256(_mm256_mullo_epi16(v, scale), low);
        __m256i odd = _mm256_mullo_epi16(_mm256_srli_epi16(v, 8), scale);
        v = _mm256_or_si256(even, _mm256_slli_epi16(odd, 8));
        u[j] = _mm256_add_epi8(v, _mm256_set1_epi8((char)more));
    }
}

/* Q2_K as unsigned levels of 0 to 45 without scales, and Q3_K as -124 to 128, plus 127. */
COVEY__INLINE void covey__half_q2_k_whole(const uint8_t *w, int half, __m256i u[4]) {
    covey__half_q2_k(w, half, u);
    covey__scale_levels(u, covey__scales_q2_k(w).scale, half, 0, 0);
}
COVEY__INLINE void covey__half_q3_k_whole(const uint8_t *w, int half, __m256i u[4]) {
    covey__half_q3_k(w, half, u);
    covey__scale_levels(u, covey__scales_q3_k(w).scale, half, 4, 127);
}
COVEY__INLINE covey__scales covey__scales_q2_k_whole(const uint8_t *w) {
    return covey__scales_q2_k(w);
}
COVEY__INLINE covey__scales covey__scales_q3_k_whole(const uint8_t *w) {
    (void)w;
    return (covey__scales){_mm256_setzero_si256(), _mm256_set1_epi16(127)};
}

typedef void (*covey__levels_fn)(const uint8_t *w0, const uint8_t *w1, __m256i u[2]);
typedef void (*covey__half_fn)(const uint8_t *w, int half, __m256i u[4]);
typedef covey__scales (*covey__scales_fn)(const uint8_t *w);

#endif
