/* Q4_0 times one token, AVX2: 8 rows together, rows i and i + 4 in the halves of a register, low
 * nibbles against the first half of the block and high ones against the second. Weights stay
 * unsigned (0 to 15): four products fit int16, and the bias takes 8 times the sum back. */
#include "kernel/lanes_avx2.h"

#define ROWS 8

void covey__matvec_q4_0_avx2(const covey__weights *w, const covey__act_row *a, int32_t r0,
                             int32_t r1, const uint8_t *next, float *out) {
    const __m256i one = _mm256_set1_epi16(1), nibble = _mm256_set1_epi8(15);
    for (int32_t r = r0; r < r1; r += ROWS) {
        const uint8_t *p[ROWS], *ahead = covey__ahead(w, r, r1, ROWS, next);
        covey__rows(w, r, r1, 0, p, ROWS);
        __m256 acc = _mm256_setzero_ps();
        for (int32_t b = 0; b < w->columns / 32; b++, ahead += 18 * ROWS) {
            size_t at = (size_t)b * 18;
            covey__prefetch(ahead, 18 * ROWS);
            __m256i q0 = _mm256_broadcastsi128_si256(covey__load128(a->q + 32 * b));
            __m256i q1 = _mm256_broadcastsi128_si256(covey__load128(a->q + 32 * b + 16)), z[4];
            COVEY__UNROLL
            for (int i = 0; i < 4; i++) {
                __m256i both = _mm256_castsi128_si256(covey__load128(p[i] + at + 2));
                both = _mm256_inserti128_si256(both, covey__load128(p[i + 4] + at + 2), 1);
                __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
                __m256i pairs = _mm256_maddubs_epi16(_mm256_and_si256(both, nibble), q0);
                pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(high, q1));
                z[i] = _mm256_madd_epi16(pairs, one);
            }
            __m256i isum = _mm256_add_epi32(covey__sum_lanes4(z[0], z[1], z[2], z[3]),
                                            _mm256_set1_epi32(a->bias[0][b]));
            __m256 scale = _mm256_mul_ps(covey__scales8(p, at), _mm256_set1_ps(a->d[b]));
            acc = _mm256_add_ps(acc, _mm256_mul_ps(_mm256_cvtepi32_ps(isum), scale));
        }
        covey__put8(out + r, r1 - r, acc);
    }
}
