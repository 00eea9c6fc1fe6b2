/* What the kernel's tests share: a seeded generator, awkward inputs, the instruction sets of this
 * CPU, and random weights of every type. */
#ifndef COVEY_TESTS_KERNEL_CASES_H
#define COVEY_TESTS_KERNEL_CASES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "kernel/kernel.h"

/* Those with a quantizer first. */
static const uint32_t case_types[] = {
    COVEY__KT_F32,  COVEY__KT_F16,  COVEY__KT_BF16, COVEY__KT_Q8_0, COVEY__KT_Q4_0,
    COVEY__KT_Q6_K, COVEY__KT_Q4_1, COVEY__KT_Q5_0, COVEY__KT_Q5_1, COVEY__KT_IQ4_NL,
    COVEY__KT_Q2_K, COVEY__KT_Q3_K, COVEY__KT_Q4_K, COVEY__KT_Q5_K, COVEY__KT_IQ4_XS};
#define CASE_TYPES   (sizeof case_types / sizeof case_types[0])
#define CASE_ENCODED (CASE_TYPES - 1)

/* Where the 16-bit floats of a block lie: `count` of them from byte `at`; F32, F16 and BF16 are not
 * asked for. */
typedef struct case_halves {
    size_t bytes, at, count;
} case_halves;

static inline case_halves case_halves_of(uint32_t type) {
    size_t bytes = covey__kernel_row_bytes(type, covey__kernel_block(type));
    bool last = type == COVEY__KT_Q6_K || type == COVEY__KT_Q3_K;
    bool two = type == COVEY__KT_Q4_1 || type == COVEY__KT_Q5_1 || type == COVEY__KT_Q2_K ||
               type == COVEY__KT_Q4_K || type == COVEY__KT_Q5_K;
    size_t at = last ? bytes - 2 : type == COVEY__KT_Q2_K ? bytes - 4 : 0;
    return (case_halves){bytes, at, two ? 2 : 1};
}

static inline uint32_t case_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 32);
}

/* Roughly normal, with an outlier now and then. */
static inline float case_value(uint64_t *state) {
    float sum = 0.0f;
    for (int i = 0; i < 4; i++) sum += (float)(int32_t)case_random(state) * 0x1p-31f;
    return case_random(state) % 97 == 0 ? sum * 8.0f : sum;
}

static inline void *case_alloc(size_t size) {
    void *p = aligned_alloc(64, (size + 127) / 64 * 64);
    assert_non_null(p);
    memset(p, 0xa5, (size + 127) / 64 * 64);
    return p;
}

/* The SIMD instruction sets that this CPU runs; says which tests are left out. */
static inline int case_sets(covey__isa sets[COVEY__ISA_COUNT]) {
    static bool said = false;
    int count = 0;
    for (covey__isa each = COVEY__ISA_SCALAR + 1; each < COVEY__ISA_COUNT; each++) {
        if (covey__cpu_has(each))
            sets[count++] = each;
        else if (!said)
            print_message("this CPU has no %s: its path is not tested here\n",
                          covey__isa_name(each));
    }
    said = true;
    return count;
}

/* A float16 of moderate size, sometimes subnormal, zero or large. */
static inline uint16_t case_scale(uint64_t *state) {
    uint32_t bits = case_random(state), kind = case_random(state) % 64;
    uint16_t sign = (uint16_t)(bits & 0x8000);
    if (kind == 0) return (uint16_t)(sign | (bits & 0x3ff));
    if (kind == 1) return sign;
    if (kind == 2) return (uint16_t)(sign | 0x7800 | (bits & 0x3ff));
    return (uint16_t)(sign | ((5 + (bits >> 16) % 6) << 10) | (bits & 0x3ff));
}

/* Random bytes with sane scales: every quant value occurs, -128 among them. `slack` 0xa5 bytes
 * are not there: an overrun is the sanitizer's to find, so the size is exact. */
static inline void *case_weights(uint64_t *state, uint32_t type, int32_t rows, int32_t columns,
                                 covey__weights *w) {
    size_t row_bytes = covey__kernel_row_bytes(type, columns), size = row_bytes * (size_t)rows;
    uint8_t *data = malloc(size);
    assert_non_null(data);
    for (size_t i = 0; i < size; i++) data[i] = (uint8_t)case_random(state);
    size_t count = (size_t)rows * (size_t)columns;
    for (size_t i = 0; i < count && covey__kernel_act(type) == COVEY__ACT_F32; i++) {
        float value = case_value(state);
        covey__row_encode(type, &value, 1, data + i * (type == COVEY__KT_F32 ? 4 : 2));
    }
    case_halves halves = case_halves_of(type);
    for (size_t at = 0; at < size && covey__kernel_act(type) != COVEY__ACT_F32; at += halves.bytes)
        for (size_t i = 0; i < halves.count; i++) {
            uint16_t scale = case_scale(state);
            memcpy(data + at + halves.at + 2 * i, &scale, 2);
        }
    w->data = data;
    w->type = type;
    w->rows = rows;
    w->columns = columns;
    w->row_bytes = row_bytes;
    return data;
}

static inline void assert_same_bits(const float *a, const float *b, size_t n, const char *what) {
    for (size_t i = 0; i < n; i++) {
        uint32_t x, y;
        memcpy(&x, a + i, 4);
        memcpy(&y, b + i, 4);
        if (x != y)
            fail_msg("%s: value %zu is %a (%08x), defined as %a (%08x)", what, i, (double)b[i], y,
                     (double)a[i], x);
    }
}

#endif
