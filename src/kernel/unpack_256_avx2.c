/* Rows of blocks of 256 into tiles, with AVX2: see tile_avx2.h. What lies in the file is brought
 * into lanes by rows first, 16 bytes of 8 rows at a time, and taken apart there, where one step
 * does the same to all rows. */
#include "kernel/quants_avx2.h"
#include "kernel/tile_avx2.h"

/* 16 bytes at `at` of 8 rows, by dwords: register k has dword k of all rows, in order. */
COVEY__INLINE void dwords(const uint8_t *const p[8], size_t at, __m256i out[4]) {
    __m256i z[4];
    COVEY__UNROLL
    for (int i = 0; i < 4; i++) z[i] = covey__both(p[i] + at, p[i + 4] + at);
    covey__turn4(z, out);
}

/* ---- Scales of sub-blocks: four to a dword, and so what multiplies the activations' sums --------
 */

COVEY__INLINE void scales_q2_k(const uint8_t *const p[8], size_t at, __m256i s[4], __m256i o[4]) {
    dwords(p, at, s);
    COVEY__UNROLL
    for (int i = 0; i < 4; i++) {
        o[i] = covey__low4(_mm256_srli_epi16(s[i], 4));
        s[i] = covey__low4(s[i]);
    }
}

COVEY__INLINE void scales_q3_k(const uint8_t *const p[8], size_t at, __m256i s[4], __m256i o[4]) {
    const __m256i top = _mm256_set1_epi8(0x30);
    __m256i z[4];
    dwords(p, at + 92, z); /* 4 bytes that are of the levels, and the 12 of the scales */
    s[0] = _mm256_or_si256(covey__low4(z[1]), _mm256_and_si256(_mm256_slli_epi16(z[3], 4), top));
    s[1] = _mm256_or_si256(covey__low4(z[2]), _mm256_and_si256(_mm256_slli_epi16(z[3], 2), top));
    s[2] = _mm256_or_si256(covey__low4(_mm256_srli_epi16(z[1], 4)), _mm256_and_si256(z[3], top));
    s[3] = _mm256_or_si256(covey__low4(_mm256_srli_epi16(z[2], 4)),
                           _mm256_and_si256(_mm256_srli_epi16(z[3], 2), top));
    COVEY__UNROLL
    for (int i = 0; i < 4; i++) o[i] = s[i] = _mm256_sub_epi8(s[i], _mm256_set1_epi8(32));
}

/* 8 scales and 8 minima of six bits in 12 bytes. */
COVEY__INLINE void scales_q4_k(const uint8_t *const p[8], size_t at, __m256i s[4], __m256i o[4]) {
    const __m256i six = _mm256_set1_epi8(0x3f), top = _mm256_set1_epi8(0x30);
    __m256i z[4];
    dwords(p, at, z);
    s[0] = _mm256_and_si256(z[1], six);
    o[0] = _mm256_and_si256(z[2], six);
    s[1] = _mm256_or_si256(covey__low4(z[3]), _mm256_and_si256(_mm256_srli_epi16(z[1], 2), top));
    o[1] = _mm256_or_si256(covey__low4(_mm256_srli_epi16(z[3], 4)),
                           _mm256_and_si256(_mm256_srli_epi16(z[2], 2), top));
}

COVEY__INLINE void scales_q5_k(const uint8_t *const p[8], size_t at, __m256i s[4], __m256i o[4]) {
    scales_q4_k(p, at, s, o);
}

COVEY__INLINE void scales_q6_k(const uint8_t *const p[8], size_t at, __m256i s[4], __m256i o[4]) {
    dwords(p, at + 192, s);
    COVEY__UNROLL
    for (int i = 0; i < 4; i++) o[i] = s[i];
}

/* Four bits of each in four bytes, two more in 16 bits. */
COVEY__INLINE void scales_iq4_xs(const uint8_t *const p[8], size_t at, __m256i s[4], __m256i o[4]) {
    __m256i z[4];
    dwords(p, at, z);
    COVEY__UNROLL
    for (int i = 0; i < 2; i++) {
        const __m256i byte = _mm256_set1_epi32(0xff), bit = _mm256_set1_epi32(0x03030303);
        const __m256i apart =
            _mm256_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1, 0, -1, 1, -1,
                             4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1);
        __m256i two = _mm256_shuffle_epi8(i ? _mm256_srli_epi32(z[1], 16) : z[1], apart);
        __m256i low = covey__low4(_mm256_or_si256(two, _mm256_slli_epi16(two, 4)));
        /* bits 2s and 2s + 1 to byte s */
        __m256i high = _mm256_and_si256(_mm256_srli_epi32(z[0], 16 + 8 * i), byte);
        high = _mm256_or_si256(high, _mm256_slli_epi32(high, 12));
        high = _mm256_and_si256(_mm256_or_si256(high, _mm256_slli_epi32(high, 6)), bit);
        low = _mm256_or_si256(low, _mm256_slli_epi16(high, 4));
        o[i] = s[i] = _mm256_sub_epi8(low, _mm256_set1_epi8(32));
    }
}

COVEY__INLINE void scales_q2_k_whole(const uint8_t *const p[8], size_t at, __m256i s[4],
                                     __m256i o[4]) {
    scales_q2_k(p, at, s, o);
}
COVEY__INLINE void scales_q3_k_whole(const uint8_t *const p[8], size_t at, __m256i s[4],
                                     __m256i o[4]) {
    scales_q3_k(p, at, s, o);
    COVEY__UNROLL
    for (int i = 0; i < 4; i++) o[i] = _mm256_set1_epi8(127);
}

/* Byte `i` of each dword as the same int16 twice; bytes 2i and 2i + 1 as two. */
COVEY__INLINE __m256i twice(__m256i bytes, const int i) {
    __m256i left = _mm256_slli_epi32(bytes, 24 - 8 * i);
    return _mm256_srai_epi16(_mm256_blend_epi16(_mm256_srli_epi32(left, 16), left, 0xaa), 8);
}
COVEY__INLINE __m256i pair(__m256i bytes, const int i) {
    __m256i even = _mm256_srli_epi32(_mm256_slli_epi32(bytes, 24 - 16 * i), 16);
    __m256i odd = _mm256_slli_epi32(_mm256_srli_epi32(bytes, 16 * i), 16);
    return _mm256_srai_epi16(_mm256_blend_epi16(even, odd, 0xaa), 8);
}

COVEY__INLINE void put(const __m256i s[4], const __m256i o[4], int16_t *sub, int16_t *pairs,
                       const int subs) {
    COVEY__UNROLL
    for (int i = 0; i < subs; i++)
        _mm256_storeu_si256((__m256i *)(void *)(sub + 32 * i), twice(s[i / 4], i % 4));
    COVEY__UNROLL
    for (int i = 0; i < subs / 2; i++)
        _mm256_storeu_si256((__m256i *)(void *)(pairs + 32 * i), pair(o[i / 2], i % 2));
}
static COVEY__NOINLINE void put_8(const __m256i s[4], const __m256i o[4], int16_t *sub,
                                  int16_t *pairs) {
    put(s, o, sub, pairs, 8);
}
static COVEY__NOINLINE void put_16(const __m256i s[4], const __m256i o[4], int16_t *sub,
                                   int16_t *pairs) {
    put(s, o, sub, pairs, 16);
}

/* The blocks' float scales, and those of their minima. */
static COVEY__NOINLINE void put_d(const uint8_t *const p[8], size_t at, float *d) {
    _mm256_storeu_ps(d, covey__scales8(p, at));
}
static COVEY__NOINLINE void put_d_and_m(const uint8_t *const p[8], size_t at, float *to_d,
                                        float *to_m) {
    __m256 d, m;
    covey__scales8x2(p, at, &d, &m);
    _mm256_storeu_ps(to_d, d);
    _mm256_storeu_ps(to_m, m);
}

/* ---- Levels ---- */

/* Levels less `base`, times the scale of their sub-block, plus `more`, where that fits unsigned
 * bytes. */
COVEY__INLINE __m256i scaled(__m256i u, __m256i scale, const int base, const int more) {
    const __m256i low = _mm256_set1_epi16(0xff);
    __m256i v = _mm256_sub_epi8(u, _mm256_set1_epi8((char)base));
    __m256i even = _mm256_and_si256(_mm256_mullo_epi16(v, scale), low);
    __m256i odd = _mm256_mullo_epi16(_mm256_srli_epi16(v, 8), scale);
    return _mm256_add_epi8(_mm256_or_si256(even, _mm256_slli_epi16(odd, 8)),
                           _mm256_set1_epi8((char)more));
}

/* 8 rows' half `c` of a block: 128 columns. `whole`: the scales at `sub` go into the levels. */
typedef void (*half_fn)(const uint8_t *const p[8], size_t at, size_t c, uint8_t *to,
                        const int16_t *sub);
COVEY__INLINE void half_of(const uint8_t *const p[8], size_t at, size_t c, uint8_t *to,
                           const int16_t *sub, covey__raw raw, covey__split_fn split,
                           const bool whole, const int base, const int more) {
    for (size_t n = covey__opaque(2); n > 0; n--, at += 16, to += 256, sub += 32) {
        __m256i z[3][4];
        dwords(p, at + raw.low + raw.low_step * c, z[0]);
        if (raw.second) dwords(p, at + raw.low + raw.low_step * c + 32, z[1]);
        if (raw.high_bits) dwords(p, at + raw.high + raw.high_step * c, z[2]);
        COVEY__UNROLL
        for (int k = 0; k < 4; k++) {
            __m256i u[4],
                v[3] = {z[0][k], raw.second ? z[1][k] : z[0][k], raw.high_bits ? z[2][k] : z[0][k]};
            split(v, (int)c, u);
            COVEY__UNROLL
            for (int j = 0; j < 4; j++) {
                if (whole) u[j] = scaled(u[j], covey__load256(sub + 64 * j), base, more);
                _mm256_storeu_si256((__m256i *)(void *)(to + 512 * j + 64 * k), u[j]);
            }
        }
    }
}

#define HALF(name, type, whole, base, more)                                                        \
    COVEY__INLINE void half_##name(const uint8_t *const p[8], size_t at, size_t c, uint8_t *to,    \
                                   const int16_t *sub) {                                           \
        half_of(p, at, c, to, sub, covey__raw_##type, covey__split_##type, whole, base, more);     \
    }
HALF(q2_k, q2_k, false, 0, 0)
HALF(q3_k, q3_k, false, 0, 0)
HALF(q4_k, q4_k, false, 0, 0)
HALF(q5_k, q5_k, false, 0, 0)
HALF(q6_k, q6_k, false, 0, 0)
HALF(q2_k_whole, q2_k, true, 0, 0)
HALF(q3_k_whole, q3_k, true, 4, 127)

/* Made unsigned by 128 more. */
COVEY__INLINE void half_iq4_xs(const uint8_t *const p[8], size_t at, size_t c, uint8_t *to,
                               const int16_t *sub) {
    const __m256i sign = _mm256_set1_epi8((char)0x80);
    (void)sub;
    for (size_t j = 0, end = covey__opaque(4); j < end; j++, to += 512) {
        __m256i z[4];
        dwords(p, at + 8 + 64 * c + 16 * j, z);
        COVEY__UNROLL
        for (int k = 0; k < 8; k++) {
            __m256i v = k < 4 ? z[k] : _mm256_srli_epi16(z[k - 4], 4);
            v = _mm256_xor_si256(covey__book(covey__low4(v)), sign);
            _mm256_storeu_si256((__m256i *)(void *)(to + 64 * k), v);
        }
    }
}

/* `d_at`: where the block's float scales are. */
COVEY__INLINE void unpack(const covey__cut *cut, covey__tile *tile, const size_t bytes,
                          const size_t d_at, half_fn half,
                          void (*scales)(const uint8_t *const p[8], size_t at, __m256i s[4],
                                         __m256i o[4]),
                          const int subs, const bool minima) {
    const size_t halves = covey__opaque(2);
    for (int32_t side = 0; side < (int32_t)halves; side++) {
        const uint8_t *p[8];
        covey__rows(cut->w, cut->r + 8 * side, cut->end, (size_t)cut->k0 / 256 * bytes, p, 8);
        for (int32_t b = 0; b < cut->columns / 256; b++) {
            size_t at = (size_t)b * bytes;
            uint8_t *to = tile->q + (size_t)b * 4096 + (size_t)side * 32;
            int16_t *sub = tile->sub + b * subs * 32 + side * 16;
            __m256i s[4], o[4];
            scales(p, at, s, o);
            (subs == 8 ? put_8 : put_16)(s, o, sub, tile->pairs + b * subs * 16 + side * 16);
            for (size_t c = 0; c < halves; c++) {
                for (int i = 0; i < 8; i++)
                    covey__prefetch(p[i] + at + cut->ahead + bytes / 2 * c, bytes > 128 ? 128 : 64);
                half(p, at, c, to + 2048 * c, sub + 256 * c);
            }
            float *d = tile->d + 16 * b + 8 * side;
            if (minima)
                put_d_and_m(p, at + d_at, d, tile->m + 16 * b + 8 * side);
            else
                put_d(p, at + d_at, d);
        }
    }
}

#define UNPACK(type, bytes, d_at, subs, minima)                                                    \
    void covey__unpack_##type##_avx2(const covey__cut *cut, covey__tile *tile) {                   \
        unpack(cut, tile, bytes, d_at, half_##type, scales_##type, subs, minima);                  \
    }
UNPACK(q2_k, 84, 80, 16, true)
UNPACK(q3_k, 110, 108, 16, false)
UNPACK(q4_k, 144, 0, 8, true)
UNPACK(q5_k, 176, 0, 8, true)
UNPACK(q6_k, 210, 208, 16, false)
UNPACK(iq4_xs, 136, 0, 8, false)
UNPACK(q2_k_whole, 84, 80, 16, true)
UNPACK(q3_k_whole, 110, 108, 16, false)
