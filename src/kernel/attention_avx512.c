/* Attention with AVX-512: attention_lanes.h over 16 lanes. */
#include "kernel/lanes_avx512.h"

#define LANES      16
#define SCORE_ROWS 8
#define VALUE_ROWS 4

typedef __m512 lanes;

COVEY__INLINE lanes lanes_zero(void) {
    return _mm512_setzero_ps();
}
COVEY__INLINE lanes lanes_set1(float f) {
    return _mm512_set1_ps(f);
}
COVEY__INLINE lanes lanes_load(const float *p) {
    return _mm512_loadu_ps(p);
}
COVEY__INLINE void lanes_store(float *p, lanes v) {
    _mm512_storeu_ps(p, v);
}
COVEY__INLINE lanes lanes_add(lanes a, lanes b) {
    return _mm512_add_ps(a, b);
}
COVEY__INLINE lanes lanes_sub(lanes a, lanes b) {
    return _mm512_sub_ps(a, b);
}
COVEY__INLINE lanes lanes_mul(lanes a, lanes b) {
    return _mm512_mul_ps(a, b);
}
COVEY__INLINE lanes lanes_max(lanes v, lanes rest) {
    return _mm512_max_ps(v, rest);
}
COVEY__INLINE lanes lanes_get(const float *p, int32_t n) {
    return n >= LANES ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(covey__mask16(n), p);
}
COVEY__INLINE void lanes_put(float *p, int32_t n, lanes v) {
    _mm512_mask_storeu_ps(p, covey__mask16(n), v);
}
COVEY__INLINE lanes lanes_half(const uint8_t *p, int32_t n) {
    return _mm512_cvtph_ps(n >= LANES ? covey__load256(p)
                                      : _mm256_maskz_loadu_epi16(covey__mask16(n), p));
}
COVEY__INLINE lanes lanes_int8(const uint8_t *p, int32_t n) {
    (void)n; /* heads of Q8_0 pages are multiples of 32 */
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(covey__load128(p)));
}
COVEY__INLINE lanes lanes_exp(lanes v) {
    return covey__exp16(v);
}
COVEY__INLINE float lanes_greatest(lanes v) {
    return _mm512_reduce_max_ps(v);
}
COVEY__INLINE float lanes_sum16(const lanes partial[1]) {
    return covey__sum16(partial[0]);
}
COVEY__INLINE lanes lanes_see(lanes v, lanes other, int32_t first, int32_t end) {
    __mmask16 m = (__mmask16)(covey__mask16(end) & ~covey__mask16(first));
    return _mm512_mask_mov_ps(other, m, v);
}

#include "kernel/attention_lanes.h"

void covey__attention_avx512(const covey__attention *a, void *scratch) {
    attend(a, scratch);
}
