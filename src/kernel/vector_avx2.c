/* Rows of floats with AVX2: the operations of vector_scalar.c, the same bits. Lanes beyond the end
 * are zero, which adds nothing to a partial sum. */
#include "kernel/lanes_avx2.h"

#include <math.h>

void covey__rms_norm_avx2(const float *x, const float *w, int32_t n, float eps, float *out) {
    __m256 low = _mm256_setzero_ps(), high = low;
    for (int32_t i = 0; i < n; i += 16) {
        __m256 a = covey__get8(x + i, n - i), b = covey__get8(x + i + 8, n - i - 8);
        low = _mm256_add_ps(low, _mm256_mul_ps(a, a));
        high = _mm256_add_ps(high, _mm256_mul_ps(b, b));
    }
    float mean = covey__sum16(low, high) / (float)n;
    __m256 factor = _mm256_set1_ps(1.0f / sqrtf(mean + eps));
    for (int32_t i = 0; i < n; i += 8) {
        __m256 v = _mm256_mul_ps(covey__get8(x + i, n - i), factor);
        covey__put8(out + i, n - i, _mm256_mul_ps(v, covey__get8(w + i, n - i)));
    }
}

/* The first n of 8 lanes of x less the mean, zeros after them. */
COVEY__INLINE __m256 centred8(const float *x, int32_t n, __m256 mean) {
    __m256 c = _mm256_sub_ps(covey__get8(x, n), mean);
    return n >= 8 ? c : _mm256_and_ps(c, _mm256_castsi256_ps(covey__mask8(n)));
}

void covey__layer_norm_avx2(const float *x, const float *w, const float *b, int32_t n, float eps,
                            float *out) {
    __m256 low = _mm256_setzero_ps(), high = low;
    for (int32_t i = 0; i < n; i += 16) {
        low = _mm256_add_ps(low, covey__get8(x + i, n - i));
        high = _mm256_add_ps(high, covey__get8(x + i + 8, n - i - 8));
    }
    __m256 mean = _mm256_set1_ps(covey__sum16(low, high) / (float)n);
    low = high = _mm256_setzero_ps();
    for (int32_t i = 0; i < n; i += 16) {
        __m256 c = centred8(x + i, n - i, mean), e = centred8(x + i + 8, n - i - 8, mean);
        low = _mm256_add_ps(low, _mm256_mul_ps(c, c));
        high = _mm256_add_ps(high, _mm256_mul_ps(e, e));
    }
    __m256 factor = _mm256_set1_ps(1.0f / sqrtf(covey__sum16(low, high) / (float)n + eps));
    for (int32_t i = 0; i < n; i += 8) {
        __m256 c = _mm256_mul_ps(centred8(x + i, n - i, mean), factor);
        c = _mm256_mul_ps(c, covey__get8(w + i, n - i));
        covey__put8(out + i, n - i, _mm256_add_ps(c, covey__get8(b + i, n - i)));
    }
}

/* Pairs (2i, 2i + 1): cosine and sine doubled, neighbours swapped; the sine's sign alternates, and
 * a - b is a + (-b) to the bit. */
static void rope_norm(float *x, int32_t pairs, const float *row) {
    const __m256i twice0 = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    const __m256i twice1 = _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7);
    const __m256 sign = _mm256_setr_ps(-0.0f, 0.0f, -0.0f, 0.0f, -0.0f, 0.0f, -0.0f, 0.0f);
    for (int32_t i = 0; i < pairs; i += 8) {
        __m256 cosine = covey__get8(row + i, pairs - i);
        __m256 sine = covey__get8(row + pairs + i, pairs - i);
        for (int32_t half = 0; half < 2; half++) {
            int32_t n = 2 * (pairs - i) - 8 * half;
            float *at = x + 2 * i + 8 * half;
            if (n <= 0) break;
            __m256 v = covey__get8(at, n);
            __m256 c = _mm256_permutevar8x32_ps(cosine, half ? twice1 : twice0);
            __m256 s = _mm256_permutevar8x32_ps(sine, half ? twice1 : twice0);
            __m256 turned = _mm256_mul_ps(_mm256_permute_ps(v, 0xb1), s);
            covey__put8(at, n, _mm256_add_ps(_mm256_mul_ps(v, c), _mm256_xor_ps(turned, sign)));
        }
    }
}

static void rope_neox(float *x, int32_t pairs, const float *row) {
    for (int32_t i = 0; i < pairs; i += 8) {
        int32_t n = pairs - i;
        __m256 cosine = covey__get8(row + i, n), sine = covey__get8(row + pairs + i, n);
        __m256 a = covey__get8(x + i, n), b = covey__get8(x + pairs + i, n);
        covey__put8(x + i, n, _mm256_sub_ps(_mm256_mul_ps(a, cosine), _mm256_mul_ps(b, sine)));
        covey__put8(x + pairs + i, n,
                    _mm256_add_ps(_mm256_mul_ps(a, sine), _mm256_mul_ps(b, cosine)));
    }
}

void covey__rope_avx2(float *x, int32_t heads, int32_t head_dim, int32_t dims,
                      covey__rope_style style, const float *row) {
    for (int32_t h = 0; h < heads; h++, x += head_dim) {
        if (style == COVEY__ROPE_NEOX)
            rope_neox(x, dims / 2, row);
        else
            rope_norm(x, dims / 2, row);
    }
}

void covey__silu_mul_avx2(const float *gate, const float *up, size_t n, float *out) {
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    for (size_t i = 0; i < n; i += 8) {
        int32_t left = covey__left(n, i);
        __m256 g = covey__get8(gate + i, left), u = covey__get8(up + i, left);
        __m256 e = covey__exp8(_mm256_xor_ps(g, sign));
        covey__put8(out + i, left, _mm256_mul_ps(_mm256_div_ps(g, _mm256_add_ps(one, e)), u));
    }
}

void covey__gelu_mul_avx2(const float *gate, const float *up, size_t n, float *out) {
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    const __m256 cubic = _mm256_set1_ps(0.044715f), factor = _mm256_set1_ps(1.59576912f);
    for (size_t i = 0; i < n; i += 8) {
        int32_t left = covey__left(n, i);
        __m256 g = covey__get8(gate + i, left), u = covey__get8(up + i, left);
        __m256 cube = _mm256_mul_ps(_mm256_mul_ps(g, g), g);
        __m256 z = _mm256_mul_ps(_mm256_add_ps(g, _mm256_mul_ps(cube, cubic)), factor);
        __m256 e = covey__exp8(_mm256_xor_ps(z, sign));
        covey__put8(out + i, left, _mm256_mul_ps(_mm256_div_ps(g, _mm256_add_ps(one, e)), u));
    }
}

void covey__gelu_avx2(const float *x, size_t n, float *out) {
    const __m256 half = _mm256_set1_ps(0.5f), factor = _mm256_set1_ps(-0.707106781f);
    for (size_t i = 0; i < n; i += 8) {
        int32_t left = covey__left(n, i);
        __m256 v = covey__get8(x + i, left);
        __m256 tail = covey__erfc8(_mm256_mul_ps(v, factor));
        covey__put8(out + i, left, _mm256_mul_ps(_mm256_mul_ps(half, v), tail));
    }
}

void covey__add_avx2(float *x, const float *y, size_t n) {
    for (size_t i = 0; i < n; i += 8) {
        int32_t left = covey__left(n, i);
        covey__put8(x + i, left, _mm256_add_ps(covey__get8(x + i, left), covey__get8(y + i, left)));
    }
}

void covey__scale_avx2(float *x, float factor, size_t n) {
    __m256 f = _mm256_set1_ps(factor);
    for (size_t i = 0; i < n; i += 8) {
        int32_t left = covey__left(n, i);
        covey__put8(x + i, left, _mm256_mul_ps(covey__get8(x + i, left), f));
    }
}

/* Lanes beyond the end keep what the register held. */
COVEY__INLINE __m256 max_first(__m256 greatest, const float *p, int32_t n) {
    __m256 v = covey__get8(p, n);
    if (n < 8) v = _mm256_blendv_ps(greatest, v, _mm256_castsi256_ps(covey__mask8(n)));
    return _mm256_max_ps(v, greatest);
}

/* exp(p - max) of the first n lanes, stored; zero beyond. */
COVEY__INLINE __m256 exp_first(float *p, int32_t n, __m256 max) {
    __m256 e = covey__exp8(_mm256_sub_ps(covey__get8(p, n), max));
    if (n < 8) e = _mm256_and_ps(e, _mm256_castsi256_ps(covey__mask8(n)));
    covey__put8(p, n, e);
    return e;
}

void covey__softmax_avx2(float *x, size_t n) {
    __m256 greatest = _mm256_set1_ps(x[0]), partial[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (size_t i = 0; i < n; i += 8) greatest = max_first(greatest, x + i, covey__left(n, i));
    __m256 max = _mm256_set1_ps(covey__max8(greatest));
    for (size_t i = 0; i < n; i += 8) {
        __m256 *half = &partial[i / 8 % 2];
        *half = _mm256_add_ps(*half, exp_first(x + i, covey__left(n, i), max));
    }
    covey__scale_avx2(x, 1.0f / covey__sum16(partial[0], partial[1]), n);
}
