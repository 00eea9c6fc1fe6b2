/* Numbers of tensors for the walk over a part: bits of floats as integers in the order of their
 * values, and what one unit in the last place is. */
#ifndef COVEY_DELTA_TENSOR_NUMBERS_H
#define COVEY_DELTA_TENSOR_NUMBERS_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "delta/residual_predict.h"
#include "gguf/gguf.h"

/* IEEE 754 binary16 to binary32, exactly. */
static inline float half(uint16_t u) {
    uint32_t sign = (uint32_t)(u & 0x8000) << 16, exponent = (u >> 10) & 31, mantissa = u & 1023;
    uint32_t bits;
    float value;
    if (exponent == 0) {
        value = (float)mantissa * 5.9604644775390625e-8f; /* 2^-24 */
        return sign ? -value : value;
    }
    bits = sign | (exponent == 31 ? 255 : exponent + 112) << 23 | mantissa << 13;
    memcpy(&value, &bits, 4);
    return value;
}

static inline float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

/* |x|, or 0 where it is infinite or no number. */
static inline float step_of(float x) {
    float size = fabsf(x);
    return residual_bits(size) < 0x7f800000 ? size : 0.0f;
}

/* Below 32,768 in size. */
static inline bool is_number(float x) {
    return (residual_bits(x) & INT32_MAX) < 0x47000000;
}

static inline uint32_t lanes_mask(int32_t count) {
    return count >= 32 ? UINT32_MAX : ((uint32_t)1 << count) - 1;
}

/* F16 bits in an order that differences respect. */
static inline int32_t ordered16(uint16_t u) {
    return u >= 0x8000 ? 65535 - u : u + 0x8000;
}

static inline uint16_t unordered16(int32_t value) {
    uint32_t m = (uint32_t)value & 0xffff;
    return (uint16_t)(m >= 0x8000 ? m - 0x8000 : 65535 - m);
}

static inline uint32_t get_float(const uint8_t *at, int planes) {
    uint32_t value = 0;
    for (int i = 0; i < planes; i++) value |= (uint32_t)at[i] << (8 * i);
    return value;
}

static inline uint32_t ordered(uint32_t u, uint32_t top) {
    return u & top ? (top - 1 + top) - u : u + top;
}

static inline uint32_t unordered(uint32_t m, uint32_t top) {
    return m & top ? m - top : (top - 1 + top) - m;
}

/* The step size of an old value: one unit in its last place, as a float of the same exponent
 * range. */
static inline float float_step(uint8_t type, uint32_t u) {
    if (type == COVEY__TYPE_F16) {
        uint32_t exponent = (u >> 10) & 31;
        return float_of_bits(((exponent ? exponent : 1) + 102) << 23);
    }
    int32_t mantissa = type == COVEY__TYPE_BF16 ? 7 : 23;
    int32_t exponent = (int32_t)((u >> mantissa) & 255) - mantissa;
    return float_of_bits((uint32_t)(exponent < 1 ? 1 : exponent) << 23);
}

#endif
