/* The functions of real numbers that inference needs, from add, subtract, multiply, divide and
 * square root alone: no libm, so that every platform computes the same bits. docs/arithmetic.md
 * gives each as a sequence of operations; the SIMD files repeat covey__exp_f32 lane by lane.
 * Also the counter-based generator, half-precision conversion and small scans. */
#include "kernel/parts.h"

/* Adding and subtracting 1.5 * 2^52 (or 2^23) rounds to the nearest integer, ties to even, without
 * a call whose inlining would depend on the target. */
static double round_f64(double x) {
    double shifted = x + 0x1.8p52;
    return shifted - 0x1.8p52;
}

static double bits_to_f64(uint64_t bits) {
    double value;
    memcpy(&value, &bits, 8);
    return value;
}

static uint64_t f64_bits(double value) {
    uint64_t bits;
    memcpy(&bits, &value, 8);
    return bits;
}

/* Polynomial and argument reduction in two steps as in the Cephes library's expf (S. Moshier). */
float covey__exp_f32(float x) {
    float t = x > -87.0f ? x : -87.0f;
    t = t < 88.0f ? t : 88.0f;
    float n = t * 1.44269504f + 0x1.8p23f;
    n = n - 0x1.8p23f;
    float r = t - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * r) * r + (r + 1.0f);
    float y = covey__bits_to_f32(covey__f32_bits(p) + ((uint32_t)(int32_t)n << 23));
    return x < -87.0f ? 0.0f : y;
}

/* erfc(a) = t * exp(p(t) - a * a) for a >= 0, with t = 1 / (1 + a / 2) and p fitted to the
 * logarithm over Chebyshev nodes of a from 0 to 9.4; beyond, the exponential is 0. */
float covey__erfc_f32(float x) {
    float a = covey__bits_to_f32(covey__f32_bits(x) & 0x7fffffffu);
    float t = 1.0f / (a * 0.5f + 1.0f);
    float p = 0.139546826f;
    p = p * t + -0.651341438f;
    p = p * t + 1.08690858f;
    p = p * t + -0.602669239f;
    p = p * t + -0.158279970f;
    p = p * t + 0.0430634469f;
    p = p * t + 0.0202513583f;
    p = p * t + 0.389675438f;
    p = p * t + 0.998275161f;
    p = p * t + -1.26543021f;
    float r = t * covey__exp_f32(p - a * a);
    return x < 0.0f ? 2.0f - r : r;
}

double covey__exp_f64(double x) {
    static const double c[14] = {1.0,
                                 1.0,
                                 1.0 / 2,
                                 1.0 / 6,
                                 1.0 / 24,
                                 1.0 / 120,
                                 1.0 / 720,
                                 1.0 / 5040,
                                 1.0 / 40320,
                                 1.0 / 362880,
                                 1.0 / 3628800,
                                 1.0 / 39916800,
                                 1.0 / 479001600,
                                 1.0 / 6227020800.0};
    double t = x > -708.0 ? x : -708.0;
    t = t < 709.0 ? t : 709.0;
    double n = round_f64(t * 0x1.71547652b82fep0);
    double r = t - n * 0x1.62e42fee00000p-1;
    r = r - n * 0x1.a39ef35793c76p-33;
    double p = c[13];
    for (int i = 12; i >= 0; i--) p = p * r + c[i];
    /* n may be 1023: two factors, so that neither overflows */
    int32_t whole = (int32_t)n, half = whole / 2;
    p = p * bits_to_f64((uint64_t)(1023 + half) << 52);
    p = p * bits_to_f64((uint64_t)(1023 + whole - half) << 52);
    return x < -708.0 ? 0.0 : p;
}

/* x = m * 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh((m - 1) / (m + 1)), by its series. */
double covey__log_f64(double x) {
    if (!(x > 0.0))
        return x == 0.0 ? bits_to_f64(0xfff0000000000000u) : bits_to_f64(0x7ff8000000000000u);
    if (x > 0x1.fffffffffffffp1023) return x;
    int32_t exponent = 0;
    if (x < 0x1p-1022) {
        x = x * 0x1p54;
        exponent = -54;
    }
    uint64_t bits = f64_bits(x);
    exponent += (int32_t)(bits >> 52) - 1023;
    double m = bits_to_f64((bits & 0xfffffffffffffu) | 0x3ff0000000000000u);
    if (m > 0x1.6a09e667f3bcdp0) {
        m = m * 0.5;
        exponent++;
    }
    double s = (m - 1.0) / (m + 1.0), z = s * s, p = 1.0 / 25;
    for (int i = 23; i >= 3; i -= 2) p = p * z + 1.0 / (double)i;
    double e = (double)exponent;
    double tail = (2.0 * s) * (z * p) + e * 0x1.a39ef35793c76p-33;
    return e * 0x1.62e42fee00000p-1 + (2.0 * s + tail);
}

float covey__log_f32(float x) {
    return (float)covey__log_f64((double)x);
}

double covey__pow_f64(double base, double exponent) {
    return covey__exp_f64(exponent * covey__log_f64(base));
}

/* x less a multiple of pi / 2 whose parts have 22 bits each, so that the products are exact. */
static double reduce(double x, int32_t *quadrant) {
    double n = round_f64(x * 0x1.45f306dc9c883p-1);
    double r = x - n * 0x1.921fb00000000p+0;
    r = r - n * 0x1.5110b00000000p-22;
    r = r - n * 0x1.1846980000000p-44;
    r = r - n * 0x1.3198a2e037073p-69;
    *quadrant = (int32_t)((int64_t)n & 3);
    return r;
}

static double sin_series(double r) {
    static const double c[9] = {1.0,
                                -1.0 / 6,
                                1.0 / 120,
                                -1.0 / 5040,
                                1.0 / 362880,
                                -1.0 / 39916800,
                                1.0 / 6227020800.0,
                                -1.0 / 1307674368000.0,
                                1.0 / 355687428096000.0};
    double z = r * r, p = c[8];
    for (int i = 7; i >= 1; i--) p = p * z + c[i];
    return r + r * (z * p);
}

static double cos_series(double r) {
    static const double c[10] = {1.0,
                                 -1.0 / 2,
                                 1.0 / 24,
                                 -1.0 / 720,
                                 1.0 / 40320,
                                 -1.0 / 3628800,
                                 1.0 / 479001600,
                                 -1.0 / 87178291200.0,
                                 1.0 / 20922789888000.0,
                                 -1.0 / 6402373705728000.0};
    double z = r * r, p = c[9];
    for (int i = 8; i >= 0; i--) p = p * z + c[i];
    return p;
}

double covey__sin_f64(double x) {
    int32_t quadrant;
    double r = reduce(x, &quadrant);
    double y = quadrant & 1 ? cos_series(r) : sin_series(r);
    return quadrant & 2 ? -y : y;
}

double covey__cos_f64(double x) {
    int32_t quadrant;
    double r = reduce(x, &quadrant);
    double y = quadrant & 1 ? sin_series(r) : cos_series(r);
    return quadrant == 1 || quadrant == 2 ? -y : y;
}

/* An exponent of all ones overflows into the sign. */
static uint32_t overflow(float x) {
    return (covey__f32_bits(x) & 0x7fffffffu) + 0x00800000u;
}

bool covey__finite(const float *x, size_t n) {
    uint32_t bad = 0;
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        /* rows that another thread wrote are far away */
        for (size_t j = 0; j < 64; j += 16) covey__prefetch_row(x + i + j);
        for (size_t j = 0; j < 64; j++) bad |= overflow(x[i + j]);
    }
    for (; i < n; i++) bad |= overflow(x[i]);
    return bad >> 31 == 0;
}

size_t covey__argmax(const float *x, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

/* Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3" (2011). */
float covey__uniform(uint64_t seed, uint64_t position, uint32_t draw) {
    uint32_t c[4] = {(uint32_t)position, (uint32_t)(position >> 32), draw, 0};
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)c[0] * 0xd2511f53u, b = (uint64_t)c[2] * 0xcd9e8d57u;
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ key[0], (uint32_t)b,
                            (uint32_t)(a >> 32) ^ c[3] ^ key[1], (uint32_t)a};
        memcpy(c, next, sizeof c);
        key[0] += 0x9e3779b9u;
        key[1] += 0xbb67ae85u;
    }
    return (float)(c[0] >> 8) * 0x1p-24f;
}

float covey__f16_to_f32(uint16_t half) {
    return covey__half(half);
}

uint16_t covey__f32_to_f16(float value) {
    uint32_t bits = covey__f32_bits(value), sign = (bits >> 16) & 0x8000u;
    bits &= 0x7fffffffu;
    if (bits >= 0x7f800000u)
        return (uint16_t)(sign | 0x7c00u |
                          (bits > 0x7f800000u ? 0x200u | (bits >> 13 & 0x3ffu) : 0));
    if (bits >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);
    if (bits < 0x38800000u) {
        /* 0.5 has the step of half's subnormals (2^-24): the addition rounds to it, to even */
        float sum = covey__bits_to_f32(bits) + 0.5f;
        return (uint16_t)(sign | (covey__f32_bits(sum) - 0x3f000000u));
    }
    uint32_t odd = (bits >> 13) & 1;
    return (uint16_t)(sign | ((bits - 0x38000000u + 0xfffu + odd) >> 13));
}

uint16_t covey__f32_to_bf16(float value) {
    uint32_t bits = covey__f32_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((bits >> 16) | 0x40u);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}
