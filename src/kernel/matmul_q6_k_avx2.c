/* Q6_K times many tokens, AVX2: unpacking and the inner loop for tile_avx2.h. Weights stay
 * unsigned, 0 to 63: two products of pairs fit int16 (4 * 63 * 127). Each sub-block's scale
 * multiplies its pairs on their way to int32; what the unsigned weights add too much is taken back
 * once a block. */
#include "kernel/q6_k_avx2.h"
#include "kernel/tile_avx2.h"

/* 8 rows' 16 scales of a block, as the two tables of int16 pairs. */
static void unpack_scales(const uint8_t *const p[8], size_t at, int16_t *sub, int16_t *pairs) {
    for (int i = 0; i < 8; i++) {
        int8_t scales[16];
        memcpy(scales, p[i] + at, 16);
        for (int j = 0; j < 16; j++) {
            sub[(j * 16 + i) * 2] = sub[(j * 16 + i) * 2 + 1] = scales[j];
            pairs[(j / 2 * 16 + i) * 2 + j % 2] = scales[j];
        }
    }
}

static void unpack(const covey__cut *cut, covey__tile *tile) {
    for (int32_t half = 0; half < 2; half++) {
        const uint8_t *p[8];
        covey__rows(cut->w, cut->r + 8 * half, cut->end, (size_t)cut->k0 / 256 * 210, p, 8);
        for (int32_t b = 0; b < cut->columns / 256; b++) {
            size_t at = (size_t)b * 210;
            uint8_t *to = tile->q + (size_t)b * 4096 + (size_t)half * 32;
            for (size_t c = 0; c < 2; c++) {
                __m256i u[8][4], z[8];
                for (int i = 0; i < 8; i++) {
                    const char *next = (const char *)p[i] + at + cut->ahead + 105 * c;
                    _mm_prefetch(next, _MM_HINT_T1);
                    _mm_prefetch(next + 64, _MM_HINT_T1);
                    covey__q6_k_half(p[i] + at + 64 * c, p[i] + at + 128 + 32 * c, u[i]);
                }
                for (size_t j = 0; j < 4; j++) {
                    for (int i = 0; i < 8; i++) z[i] = u[i][j];
                    covey__transpose8(z, to + 2048 * c + 512 * j, 64);
                }
            }
            unpack_scales(p, at + 192, tile->sub + b * 512 + half * 16,
                          tile->pairs + b * 256 + half * 16);
            _mm256_storeu_ps(tile->d + 16 * b + 8 * half, covey__scales8(p, at + 208));
        }
    }
}

/* Adds a sub-block of 16 columns: `w` is its 4 times 64 bytes. */
COVEY__INLINE void add_sub_block(const uint8_t *w, const int8_t *q, const int16_t *scales,
                                 __m256i sum[COVEY__TILE_TOKENS][2], const int tokens) {
    COVEY__UNROLL
    for (int half = 0; half < 2; half++) {
        __m256i scale = covey__load256(scales + 16 * half);
        COVEY__UNROLL
        for (int k = 0; k < 4; k += 2) {
            __m256i w0 = covey__load256(w + 64 * k + 32 * half);
            __m256i w1 = covey__load256(w + 64 * k + 64 + 32 * half);
            COVEY__UNROLL
            for (int t = 0; t < tokens; t++) {
                __m256i y0 =
                    _mm256_maddubs_epi16(w0, covey__spread32(q + 4 * (COVEY__GROUP * k + t)));
                __m256i y1 =
                    _mm256_maddubs_epi16(w1, covey__spread32(q + 4 * (COVEY__GROUP * (k + 1) + t)));
                __m256i scaled = _mm256_madd_epi16(_mm256_add_epi16(y0, y1), scale);
                sum[t][half] = _mm256_add_epi32(sum[t][half], scaled);
                COVEY__KEEP(sum[t][half]);
            }
        }
    }
}

/* 32 times the sum over sub-blocks of scale times sum of activations. */
COVEY__INLINE __m256i excess(const int16_t *pairs, const int16_t *sums16) {
    __m256i total = _mm256_setzero_si256();
    for (int j = 0; j < 8; j++) {
        __m256i scales = covey__load256(pairs + 32 * j);
        total = _mm256_add_epi32(total, _mm256_madd_epi16(scales, covey__spread32(sums16 + 2 * j)));
    }
    return _mm256_slli_epi32(total, 5);
}

COVEY__INLINE void tile_q6_k(const covey__tile *tile, const covey__stretch *s, const int tokens) {
    __m256 f[COVEY__TILE_TOKENS][2];
    covey__accumulators_get(s, f, tokens);
    const int8_t *q = s->q;
    const float *d = s->d;
    for (int32_t b = 0; b < s->columns / 256; b++) {
        __m256i sum[COVEY__TILE_TOKENS][2];
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) sum[t][0] = sum[t][1] = _mm256_setzero_si256();
        for (int32_t j = 0; j < 16; j++, q += 16 * COVEY__GROUP)
            add_sub_block(tile->q + (size_t)(b * 16 + j) * 256, q, tile->sub + (b * 16 + j) * 32,
                          sum, tokens);
        COVEY__UNROLL
        for (int half = 0; half < 2; half++) {
            __m256 dw = _mm256_loadu_ps(tile->d + 16 * b + 8 * half);
            COVEY__UNROLL
            for (int t = 0; t < tokens; t++) {
                const int16_t *sums16 = s->sums16 + (size_t)t * s->sums_stride + 16 * b;
                __m256i minus = excess(tile->pairs + b * 256 + 16 * half, sums16);
                __m256 isum = _mm256_cvtepi32_ps(_mm256_sub_epi32(sum[t][half], minus));
                __m256 y = _mm256_mul_ps(_mm256_mul_ps(isum, dw), _mm256_set1_ps(d[t]));
                f[t][half] = _mm256_add_ps(f[t][half], y);
            }
        }
        d += COVEY__GROUP;
    }
    covey__accumulators_put(s, f, tokens);
}

COVEY__TILE_OPS(tile_q6_k, unpack, 256, 16, 0)

void covey__matmul_q6_k_avx2(const covey__product *p, int32_t r0, int32_t r1, void *scratch) {
    covey__tile_run(&ops, p, r0, r1, scratch);
}
