/* What v128.h takes from WebAssembly's SIMD128. */
#ifndef COVEY_KERNEL_V128_WASM_H
#define COVEY_KERNEL_V128_WASM_H

#include <wasm_simd128.h>

#include "kernel/v128_words.h"

COVEY__INLINE covey__f4 covey__max_f4(covey__f4 a, covey__f4 b) {
    return (covey__f4)wasm_f32x4_pmax((v128_t)a, (v128_t)b);
}
COVEY__INLINE covey__f4 covey__min_f4(covey__f4 a, covey__f4 b) {
    return (covey__f4)wasm_f32x4_pmin((v128_t)a, (v128_t)b);
}
/* The first 8 bytes as words, and the last 8. */
COVEY__INLINE covey__h8 covey__low_words(covey__b16 v) {
    return (covey__h8)wasm_i16x8_extend_low_i8x16((v128_t)v);
}
COVEY__INLINE covey__h8 covey__high_words(covey__b16 v) {
    return (covey__h8)wasm_i16x8_extend_high_i8x16((v128_t)v);
}
COVEY__INLINE covey__i4 covey__low_dwords(covey__h8 v) {
    return (covey__i4)wasm_i32x4_extend_low_i16x8((v128_t)v);
}
COVEY__INLINE covey__i4 covey__high_dwords(covey__h8 v) {
    return (covey__i4)wasm_i32x4_extend_high_i16x8((v128_t)v);
}
/* Products of words, summed in pairs. */
COVEY__INLINE covey__i4 covey__pairs(covey__h8 a, covey__h8 b) {
    return (covey__i4)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b);
}
/* acc plus products of 16 bytes in any order: only the sum of all lanes is defined. Two products
 * fit a word, at most 2 * 128 * 127. */
COVEY__INLINE covey__i4 covey__dot16(covey__i4 acc, covey__b16 w, covey__b16 a) {
    v128_t low = wasm_i16x8_extmul_low_i8x16((v128_t)w, (v128_t)a);
    v128_t high = wasm_i16x8_extmul_high_i8x16((v128_t)w, (v128_t)a);
    v128_t fours = wasm_i32x4_extadd_pairwise_i16x8(wasm_i16x8_add(low, high));
    return (covey__i4)wasm_i32x4_add((v128_t)acc, fours);
}
/* Entries of a table of 16 bytes; indices are below 16. */
COVEY__INLINE covey__b16 covey__lookup(covey__b16 table, covey__ub16 index) {
    return (covey__b16)wasm_i8x16_swizzle((v128_t)table, (v128_t)index);
}
/* 16 integers of -127 to 127 to bytes. */
COVEY__INLINE covey__b16 covey__narrow(covey__i4 a, covey__i4 b, covey__i4 c, covey__i4 d) {
    return (covey__b16)wasm_i8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4((v128_t)a, (v128_t)b),
                                               wasm_i16x8_narrow_i32x4((v128_t)c, (v128_t)d));
}

#endif
