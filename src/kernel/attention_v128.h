/* Attention in vectors of 128 bits: attention_lanes.h over 4 lanes, included by attention_*.c of
 * each set with COVEY__SET(name) naming its function. */
#ifndef COVEY_KERNEL_ATTENTION_V128_H
#define COVEY_KERNEL_ATTENTION_V128_H

#include "kernel/v128.h"

#define LANES      4
#define SCORE_ROWS 2
#define VALUE_ROWS (COVEY__MANY_REGISTERS ? 4 : 2)

typedef covey__f4 lanes;

COVEY__INLINE lanes lanes_zero(void) {
    return covey__zero_f4();
}
COVEY__INLINE lanes lanes_set1(float f) {
    return covey__splat_f4(f);
}
COVEY__INLINE lanes lanes_load(const float *p) {
    return covey__load_f4(p);
}
COVEY__INLINE void lanes_store(float *p, lanes v) {
    covey__store_f4(p, v);
}
COVEY__INLINE lanes lanes_add(lanes a, lanes b) {
    return a + b;
}
COVEY__INLINE lanes lanes_sub(lanes a, lanes b) {
    return a - b;
}
COVEY__INLINE lanes lanes_mul(lanes a, lanes b) {
    return a * b;
}
COVEY__INLINE lanes lanes_max(lanes v, lanes rest) {
    return covey__max_f4(v, rest);
}
COVEY__INLINE lanes lanes_get(const float *p, int32_t n) {
    return covey__get4(p, n);
}
COVEY__INLINE void lanes_put(float *p, int32_t n, lanes v) {
    covey__put4(p, n, v);
}
COVEY__INLINE lanes lanes_half(const uint8_t *p, int32_t n) {
    if (n >= LANES) return covey__load_half4(p);
    uint16_t some[LANES] = {0};
    memcpy(some, p, 2 * (size_t)n);
    return covey__half4(some);
}
COVEY__INLINE lanes lanes_int8(const uint8_t *p, int32_t n) {
    (void)n; /* heads of Q8_0 pages are multiples of 32 */
    covey__b16 four = {0};
    memcpy(&four, p, 4);
    return covey__to_f4(covey__low_dwords(covey__low_words(four)));
}
COVEY__INLINE lanes lanes_exp(lanes v) {
    return covey__exp4(v);
}
COVEY__INLINE float lanes_greatest(lanes v) {
    return covey__max4(v);
}
COVEY__INLINE float lanes_sum16(const lanes partial[4]) {
    return covey__sum16(partial);
}
COVEY__INLINE lanes lanes_see(lanes v, lanes other, int32_t first, int32_t end) {
    return covey__either(covey__lanes4(first, end), v, other);
}

#include "kernel/attention_lanes.h"

void COVEY__SET(covey__attention)(const covey__attention *a, void *scratch) {
    attend(a, scratch);
}

#endif
