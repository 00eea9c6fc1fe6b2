/* K types into tiles, AVX-512: the walk over a tile's blocks, and scales with rows in the lanes.
 * Included by matmul_*_k_avx512.c and matmul_iq4_xs_avx512.c. */
#ifndef COVEY_KERNEL_UNPACK_K_AVX512_H
#define COVEY_KERNEL_UNPACK_K_AVX512_H

#include "kernel/k_avx512.h"
#include "kernel/tile_avx512.h"

/* Where the scales of 16 rows' blocks go: parts of a tile's tables. */
typedef struct covey__tile_place {
    int32_t *sub;
    int16_t *mins;
    float *d, *m;
    int8_t (*bytes)[16]; /* for the chunks: 16 scales of each row, where a type asks for them */
} covey__tile_place;

/* 16 rows' dwords, z[k] holding rows 4k to 4k + 3 in its lanes: out[c] is dword c of all rows. */
COVEY__INLINE void covey__transpose4(const __m512i z[4], __m512i out[4]) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i low0 = _mm512_unpacklo_epi32(z[0], z[1]), high0 = _mm512_unpackhi_epi32(z[0], z[1]);
    __m512i low1 = _mm512_unpacklo_epi32(z[2], z[3]), high1 = _mm512_unpackhi_epi32(z[2], z[3]);
    out[0] = _mm512_permutexvar_epi32(order, _mm512_unpacklo_epi64(low0, low1));
    out[1] = _mm512_permutexvar_epi32(order, _mm512_unpackhi_epi64(low0, low1));
    out[2] = _mm512_permutexvar_epi32(order, _mm512_unpacklo_epi64(high0, high1));
    out[3] = _mm512_permutexvar_epi32(order, _mm512_unpackhi_epi64(high0, high1));
}

/* Dwords of two halves: d, and dmin. */
COVEY__INLINE void covey__put_halves(__m512i halves, float *d, float *m) {
    _mm512_storeu_ps(d, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(halves)));
    __m512i high = _mm512_srli_epi32(halves, 16);
    if (m) _mm512_storeu_ps(m, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(high)));
}

/* Four scales (bytes) of each row to a table [4][32 rows] of int32. */
COVEY__INLINE void covey__put_unsigned4(__m512i scales, int32_t *to) {
    const __m512i byte = _mm512_set1_epi32(255);
    _mm512_storeu_si512(to, _mm512_and_si512(scales, byte));
    _mm512_storeu_si512(to + 32, _mm512_and_si512(_mm512_srli_epi32(scales, 8), byte));
    _mm512_storeu_si512(to + 64, _mm512_and_si512(_mm512_srli_epi32(scales, 16), byte));
    _mm512_storeu_si512(to + 96, _mm512_srli_epi32(scales, 24));
}
COVEY__INLINE void covey__put_signed4(__m512i scales, int32_t *to) {
    _mm512_storeu_si512(to, _mm512_srai_epi32(_mm512_slli_epi32(scales, 24), 24));
    _mm512_storeu_si512(to + 32, _mm512_srai_epi32(_mm512_slli_epi32(scales, 16), 24));
    _mm512_storeu_si512(to + 64, _mm512_srai_epi32(_mm512_slli_epi32(scales, 8), 24));
    _mm512_storeu_si512(to + 96, _mm512_srai_epi32(scales, 24));
}

/* Four mins (bytes) of each row to two tables [32 rows][2] of int16. */
COVEY__INLINE void covey__put_mins4(__m512i mins, int16_t *to) {
    const __m512i first = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1));
    const __m512i second = _mm512_broadcast_i32x4(
        _mm_setr_epi8(2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1));
    _mm512_storeu_si512(to, _mm512_shuffle_epi8(mins, first));
    _mm512_storeu_si512(to + 64, _mm512_shuffle_epi8(mins, second));
}

/* Q4_K and Q5_K. */
COVEY__INLINE void covey__put_six_bits(const uint8_t *const p[16], size_t at,
                                       covey__tile_place to) {
    __m512i heads[4], bits[4], by_row[4];
    COVEY__UNROLL
    for (int k = 0; k < 4; k++) {
        heads[k] = covey__rows4(p + 4 * k, at);
        bits[k] = covey__six_bits4(heads[k]);
    }
    covey__transpose4(bits, by_row);
    COVEY__UNROLL
    for (int c = 0; c < 2; c++) {
        covey__put_unsigned4(by_row[c], to.sub + 128 * c);
        covey__put_mins4(by_row[2 + c], to.mins + 128 * c);
    }
    covey__transpose4(heads, by_row);
    covey__put_halves(by_row[0], to.d, to.m);
}

/* 64 levels (0 to 7) of four sub-blocks of 16, from number 4c on, to (level - zero) * scale + plus:
 * looked up in a table of eight products for each sub-block. */
COVEY__INLINE __m512i covey__scale_levels(__m512i levels, const int8_t scales[16], int c,
                                          const int16_t zero, const int16_t plus) {
    const __m512i level = _mm512_broadcast_i32x4(_mm_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7));
    const __m512i lane =
        _mm512_setr_epi32(0, 0, 0, 0, 0x10001, 0x10001, 0x10001, 0x10001, 0x20002, 0x20002, 0x20002,
                          0x20002, 0x30003, 0x30003, 0x30003, 0x30003);
    __m512i all = _mm512_castsi256_si512(_mm256_cvtepi8_epi16(covey__load128(scales)));
    __m512i index = _mm512_add_epi16(lane, _mm512_set1_epi16((int16_t)(4 * c)));
    __m512i table = _mm512_mullo_epi16(_mm512_permutexvar_epi16(index, all),
                                       _mm512_sub_epi16(level, _mm512_set1_epi16(zero)));
    table = _mm512_add_epi16(table, _mm512_set1_epi16(plus));
    return _mm512_shuffle_epi8(_mm512_packus_epi16(table, table), levels);
}

/* Columns 64c to 64c + 63 of a block, as unsigned bytes. */
typedef __m512i (*covey__k_chunk_fn)(const uint8_t *block, const int8_t scales[16], int c);
typedef void (*covey__k_scales_fn)(const uint8_t *const p[16], size_t at, covey__tile_place to);

COVEY__INLINE void covey__unpack_k(const covey__cut *cut, covey__tile *tile, const size_t bytes,
                                   const int subs, covey__k_chunk_fn chunk,
                                   covey__k_scales_fn scales) {
    for (int32_t half = 0; half < 2; half++) {
        const uint8_t *p[16];
        covey__rows(cut->w, cut->r + 16 * half, cut->end, (size_t)cut->k0 / 256 * bytes, p, 16);
        for (int32_t b = 0; b < cut->columns / 256; b++) {
            size_t at = (size_t)b * bytes;
            int8_t bytes16[16][16];
            uint8_t *to = tile->q + (size_t)b * 8192 + (size_t)half * 64;
            covey__tile_place place = {
                tile->sub + b * subs * 32 + half * 16, tile->mins + b * subs * 32 + half * 32,
                tile->d + b * 32 + half * 16, tile->m + b * 32 + half * 16, bytes16};
            scales(p, at, place);
            COVEY__NO_UNROLL
            for (int c = 0; c < 4; c++) {
                __m512i z[16];
                COVEY__NO_UNROLL
                for (int i = 0; i < 16; i++) {
                    z[i] = chunk(p[i] + at, bytes16[i], c);
                }
                covey__transpose16(z, to + 2048 * c, 128);
            }
        }
    }
}

#endif
