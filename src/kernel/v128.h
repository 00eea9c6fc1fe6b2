/* Vectors of 128 bits, the same source for SSE4.1, NEON and WebAssembly: arithmetic is written with
 * the compilers' vector extension, whose +, -, * and / are one IEEE operation a lane, and what it
 * lacks comes from v128_sse41.h, v128_neon.h or v128_wasm.h. The *_v128.h files hold the kernels
 * themselves; each *_sse41.c, *_neon.c or *_wasm.c includes them for its set. Which maker and which
 * integer products are taken follows from the file's compile flags. */
#ifndef COVEY_KERNEL_V128_H
#define COVEY_KERNEL_V128_H

#include "kernel/v128_sets.h"

/* Unrolled whole, a loop over accumulators that fill the registers makes compilers spill them. */
#if defined(__clang__)
#define COVEY__UNROLL_LITTLE _Pragma("clang loop unroll_count(2)")
#else
#define COVEY__UNROLL_LITTLE _Pragma("GCC unroll 2")
#endif

typedef float covey__f4 __attribute__((vector_size(16)));
typedef int32_t covey__i4 __attribute__((vector_size(16)));
typedef uint32_t covey__u4 __attribute__((vector_size(16)));
typedef int16_t covey__h8 __attribute__((vector_size(16)));
typedef int8_t covey__b16 __attribute__((vector_size(16)));
typedef uint8_t covey__ub16 __attribute__((vector_size(16)));

#define COVEY__V128_MOVE(name, type)                                                               \
    COVEY__INLINE type covey__load_##name(const void *p) {                                         \
        type v;                                                                                    \
        memcpy(&v, p, 16);                                                                         \
        return v;                                                                                  \
    }                                                                                              \
    COVEY__INLINE void covey__store_##name(void *p, type v) {                                      \
        memcpy(p, &v, 16);                                                                         \
    }
COVEY__V128_MOVE(f4, covey__f4)
COVEY__V128_MOVE(i4, covey__i4)
COVEY__V128_MOVE(h8, covey__h8)
COVEY__V128_MOVE(b16, covey__b16)
COVEY__V128_MOVE(ub16, covey__ub16)

COVEY__INLINE covey__f4 covey__splat_f4(float x) {
    return (covey__f4){x, x, x, x};
}
COVEY__INLINE covey__i4 covey__splat_i4(int32_t x) {
    return (covey__i4){x, x, x, x};
}
COVEY__INLINE covey__h8 covey__splat_h8(int16_t x) {
    return (covey__h8){x, x, x, x, x, x, x, x};
}
COVEY__INLINE covey__ub16 covey__splat_ub16(uint8_t x) {
    return (covey__ub16){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
}
COVEY__INLINE covey__f4 covey__to_f4(covey__i4 x) {
    return __builtin_convertvector(x, covey__f4);
}
/* The first two lanes of a and b in turn, and the last two. */
COVEY__INLINE covey__i4 covey__zip_low(covey__i4 a, covey__i4 b) {
    return __builtin_shufflevector(a, b, 0, 4, 1, 5);
}
COVEY__INLINE covey__i4 covey__zip_high(covey__i4 a, covey__i4 b) {
    return __builtin_shufflevector(a, b, 2, 6, 3, 7);
}

#if defined(__aarch64__)
#include "kernel/v128_neon.h"
#elif defined(__wasm_simd128__)
#include "kernel/v128_wasm.h"
#else
#include "kernel/v128_sse41.h"
#endif

/* ---- Floats ------------------------------------------------------------------------------- */

COVEY__INLINE covey__f4 covey__zero_f4(void) {
    return covey__splat_f4(0.0f);
}
/* All ones in the lanes from `from` to before `to`. */
COVEY__INLINE covey__i4 covey__lanes4(int32_t from, int32_t to) {
    covey__i4 lane = {0, 1, 2, 3};
    return (lane >= from) & (lane < to);
}
COVEY__INLINE covey__f4 covey__only(covey__f4 x, covey__i4 mask) {
    return (covey__f4)((covey__i4)x & mask);
}
COVEY__INLINE covey__f4 covey__either(covey__i4 mask, covey__f4 a, covey__f4 b) {
    return (covey__f4)(((covey__i4)a & mask) | ((covey__i4)b & ~mask));
}
/* The first n of 4 floats, zeros after them; nothing beyond them is read. */
COVEY__INLINE covey__f4 covey__get4(const float *p, int32_t n) {
    if (n >= 4) return covey__load_f4(p);
    covey__f4 v = covey__zero_f4();
    if (n > 0) v[0] = p[0];
    if (n > 1) v[1] = p[1];
    if (n > 2) v[2] = p[2];
    return v;
}
COVEY__INLINE void covey__put4(float *p, int32_t n, covey__f4 v) {
    if (n >= 4) {
        covey__store_f4(p, v);
        return;
    }
    if (n > 0) p[0] = v[0];
    if (n > 1) p[1] = v[1];
    if (n > 2) p[2] = v[2];
}
COVEY__INLINE int32_t covey__left4(size_t n, size_t i) {
    return n - i >= 4 ? 4 : (int32_t)(n - i);
}

/* The 16 partial sums of a reduction by the tree of covey__tree16. */
COVEY__INLINE float covey__sum16(const covey__f4 p[4]) {
    covey__f4 four = (p[0] + p[2]) + (p[1] + p[3]);
    return (four[0] + four[2]) + (four[1] + four[3]);
}
COVEY__INLINE float covey__max4(covey__f4 v) {
    float a = v[0] > v[1] ? v[0] : v[1], b = v[2] > v[3] ? v[2] : v[3];
    return a > b ? a : b;
}

/* To the nearest integer, ties to even: |x| is below 2^22. */
COVEY__INLINE covey__f4 covey__round4(covey__f4 x) {
    return (x + 0x1.8p23f) - 0x1.8p23f;
}
COVEY__INLINE covey__i4 covey__round_i4(covey__f4 x) {
    return (covey__i4)(x + 0x1.8p23f) - 0x4b400000;
}

/* covey__exp_f32 in every lane. */
COVEY__INLINE covey__f4 covey__exp4(covey__f4 x) {
    covey__f4 t = covey__max_f4(x, covey__splat_f4(-87.0f));
    t = covey__min_f4(t, covey__splat_f4(88.0f));
    covey__f4 n = covey__round4(t * 1.44269504f);
    covey__f4 r = (t - n * 0.693359375f) - n * -2.12194440e-4f;
    covey__f4 p = covey__splat_f4(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * r) * r + (r + 1.0f);
    covey__i4 scaled = (covey__i4)p + (__builtin_convertvector(n, covey__i4) << 23);
    return (covey__f4)(scaled & ~(x < -87.0f));
}

/* covey__erfc_f32 in every lane. */
COVEY__INLINE covey__f4 covey__erfc4(covey__f4 x) {
    covey__f4 a = (covey__f4)((covey__i4)x & 0x7fffffff);
    covey__f4 t = covey__splat_f4(1.0f) / (a * 0.5f + 1.0f);
    covey__f4 p = covey__splat_f4(0.139546826f);
    p = p * t + -0.651341438f;
    p = p * t + 1.08690858f;
    p = p * t + -0.602669239f;
    p = p * t + -0.158279970f;
    p = p * t + 0.0430634469f;
    p = p * t + 0.0202513583f;
    p = p * t + 0.389675438f;
    p = p * t + 0.998275161f;
    p = p * t + -1.26543021f;
    covey__f4 r = t * covey__exp4(p - a * a);
    return covey__either(x < 0.0f, 2.0f - r, r);
}

/* 4 halves that follow each other, as floats. */
COVEY__INLINE covey__f4 covey__load_half4(const void *p) {
    uint16_t h[4];
    memcpy(h, p, 8);
    return covey__half4(h);
}
/* The halves at byte `at` of 4 rows, as floats. */
COVEY__INLINE covey__f4 covey__scales4(const uint8_t *const p[4], size_t at) {
    uint16_t h[4] = {covey__load_u16(p[0] + at), covey__load_u16(p[1] + at),
                     covey__load_u16(p[2] + at), covey__load_u16(p[3] + at)};
    return covey__half4(h);
}

/* ---- Sums and transposes ------------------------------------------------------------------- */

/* The sums of the lanes of z[0] to z[3], in order. */
COVEY__INLINE covey__i4 covey__sum_lanes4(const covey__i4 z[4]) {
    covey__i4 ab = covey__zip_low(z[0], z[1]) + covey__zip_high(z[0], z[1]);
    covey__i4 cd = covey__zip_low(z[2], z[3]) + covey__zip_high(z[2], z[3]);
    return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) +
           __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

/* Transposes 4 rows of 4 dwords. */
COVEY__INLINE void covey__transpose4(covey__i4 r[4]) {
    covey__i4 a = covey__zip_low(r[0], r[1]), b = covey__zip_high(r[0], r[1]);
    covey__i4 c = covey__zip_low(r[2], r[3]), d = covey__zip_high(r[2], r[3]);
    r[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
    r[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
    r[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
    r[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}

#endif
