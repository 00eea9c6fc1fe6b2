/* Attention with AVX2 and F16C: attention_lanes.h over 8 lanes. */
#include "kernel/lanes_avx2.h"

#define LANES      8
#define SCORE_ROWS 2
#define VALUE_ROWS 2

typedef __m256 lanes;

COVEY__INLINE lanes lanes_zero(void) {
    return _mm256_setzero_ps();
}
COVEY__INLINE lanes lanes_set1(float f) {
    return _mm256_set1_ps(f);
}
COVEY__INLINE lanes lanes_load(const float *p) {
    return _mm256_loadu_ps(p);
}
COVEY__INLINE void lanes_store(float *p, lanes v) {
    _mm256_storeu_ps(p, v);
}
COVEY__INLINE lanes lanes_add(lanes a, lanes b) {
    return _mm256_add_ps(a, b);
}
COVEY__INLINE lanes lanes_sub(lanes a, lanes b) {
    return _mm256_sub_ps(a, b);
}
COVEY__INLINE lanes lanes_mul(lanes a, lanes b) {
    return _mm256_mul_ps(a, b);
}
COVEY__INLINE lanes lanes_max(lanes v, lanes rest) {
    return _mm256_max_ps(v, rest);
}
COVEY__INLINE lanes lanes_get(const float *p, int32_t n) {
    return covey__get8(p, n);
}
COVEY__INLINE void lanes_put(float *p, int32_t n, lanes v) {
    covey__put8(p, n, v);
}
COVEY__INLINE lanes lanes_half(const uint8_t *p, int32_t n) {
    if (n >= LANES) return _mm256_cvtph_ps(covey__load128(p));
    uint16_t some[LANES] = {0};
    memcpy(some, p, 2 * (size_t)n);
    return _mm256_cvtph_ps(covey__load128(some));
}
COVEY__INLINE lanes lanes_int8(const uint8_t *p, int32_t n) {
    (void)n; /* heads of Q8_0 pages are multiples of 32 */
    __m128i eight = _mm_loadl_epi64((const __m128i *)(const void *)p);
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight));
}
COVEY__INLINE lanes lanes_exp(lanes v) {
    return covey__exp8(v);
}
COVEY__INLINE float lanes_greatest(lanes v) {
    return covey__max8(v);
}
COVEY__INLINE float lanes_sum16(const lanes partial[2]) {
    return covey__sum16(partial[0], partial[1]);
}
COVEY__INLINE lanes lanes_see(lanes v, lanes other, int32_t first, int32_t end) {
    __m256i before = covey__mask8(first), upto = covey__mask8(end);
    return _mm256_blendv_ps(other, v, _mm256_castsi256_ps(_mm256_andnot_si256(before, upto)));
}

#include "kernel/attention_lanes.h"

void covey__attention_avx2(const covey__attention *a, void *scratch) {
    attend(a, scratch);
}
