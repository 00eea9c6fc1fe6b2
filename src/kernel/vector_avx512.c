/* Rows of floats with AVX-512: the operations of vector_scalar.c, 16 lanes at a time, the same
 * bits. Lanes beyond the end are masked to zero, which adds nothing to a partial sum. */
#include "kernel/lanes_avx512.h"

#include <math.h>

void covey__rms_norm_avx512(const float *x, const float *w, int32_t n, float eps, float *out) {
    __m512 partial = _mm512_setzero_ps();
    for (int32_t i = 0; i < n; i += 16) {
        __m512 v = _mm512_maskz_loadu_ps(covey__mask16(n - i), x + i);
        partial = _mm512_add_ps(partial, _mm512_mul_ps(v, v));
    }
    float mean = covey__sum16(partial) / (float)n;
    __m512 factor = _mm512_set1_ps(1.0f / sqrtf(mean + eps));
    for (int32_t i = 0; i < n; i += 16) {
        __mmask16 m = covey__mask16(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), factor);
        _mm512_mask_storeu_ps(out + i, m, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(m, w + i)));
    }
}

void covey__layer_norm_avx512(const float *x, const float *w, const float *b, int32_t n, float eps,
                              float *out) {
    __m512 sums = _mm512_setzero_ps(), squares = sums;
    for (int32_t i = 0; i < n; i += 16)
        sums = _mm512_add_ps(sums, _mm512_maskz_loadu_ps(covey__mask16(n - i), x + i));
    __m512 mean = _mm512_set1_ps(covey__sum16(sums) / (float)n);
    for (int32_t i = 0; i < n; i += 16) {
        __mmask16 m = covey__mask16(n - i);
        __m512 c = _mm512_maskz_sub_ps(m, _mm512_maskz_loadu_ps(m, x + i), mean);
        squares = _mm512_add_ps(squares, _mm512_mul_ps(c, c));
    }
    __m512 factor = _mm512_set1_ps(1.0f / sqrtf(covey__sum16(squares) / (float)n + eps));
    for (int32_t i = 0; i < n; i += 16) {
        __mmask16 m = covey__mask16(n - i);
        __m512 c = _mm512_sub_ps(_mm512_maskz_loadu_ps(m, x + i), mean);
        c = _mm512_mul_ps(_mm512_mul_ps(c, factor), _mm512_maskz_loadu_ps(m, w + i));
        _mm512_mask_storeu_ps(out + i, m, _mm512_add_ps(c, _mm512_maskz_loadu_ps(m, b + i)));
    }
}

/* Pairs (2i, 2i + 1): 16 pairs are two registers, taken apart and put together again. */
static void rope_norm(float *x, int32_t pairs, const float *row) {
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i one = _mm512_set1_epi32(1), eight = _mm512_set1_epi32(8);
    for (int32_t i = 0; i < pairs; i += 16) {
        __mmask16 m = covey__mask16(pairs - i);
        __mmask16 m0 = covey__mask16(2 * (pairs - i)), m1 = covey__mask16(2 * (pairs - i) - 16);
        __m512 cosine = _mm512_maskz_loadu_ps(m, row + i);
        __m512 sine = _mm512_maskz_loadu_ps(m, row + pairs + i);
        __m512 v0 = _mm512_maskz_loadu_ps(m0, x + 2 * i);
        __m512 v1 = _mm512_maskz_loadu_ps(m1, x + 2 * i + 16);
        __m512 a = _mm512_permutex2var_ps(v0, even, v1);
        __m512 b = _mm512_permutex2var_ps(v0, _mm512_add_epi32(even, one), v1);
        __m512 ra = _mm512_sub_ps(_mm512_mul_ps(a, cosine), _mm512_mul_ps(b, sine));
        __m512 rb = _mm512_add_ps(_mm512_mul_ps(a, sine), _mm512_mul_ps(b, cosine));
        _mm512_mask_storeu_ps(x + 2 * i, m0, _mm512_permutex2var_ps(ra, low, rb));
        _mm512_mask_storeu_ps(x + 2 * i + 16, m1,
                              _mm512_permutex2var_ps(ra, _mm512_add_epi32(low, eight), rb));
    }
}

static void rope_neox(float *x, int32_t pairs, const float *row) {
    for (int32_t i = 0; i < pairs; i += 16) {
        __mmask16 m = covey__mask16(pairs - i);
        __m512 cosine = _mm512_maskz_loadu_ps(m, row + i);
        __m512 sine = _mm512_maskz_loadu_ps(m, row + pairs + i);
        __m512 a = _mm512_maskz_loadu_ps(m, x + i);
        __m512 b = _mm512_maskz_loadu_ps(m, x + pairs + i);
        _mm512_mask_storeu_ps(x + i, m,
                              _mm512_sub_ps(_mm512_mul_ps(a, cosine), _mm512_mul_ps(b, sine)));
        _mm512_mask_storeu_ps(x + pairs + i, m,
                              _mm512_add_ps(_mm512_mul_ps(a, sine), _mm512_mul_ps(b, cosine)));
    }
}

void covey__rope_avx512(float *x, int32_t heads, int32_t head_dim, int32_t dims,
                        covey__rope_style style, const float *row) {
    for (int32_t h = 0; h < heads; h++, x += head_dim) {
        if (style == COVEY__ROPE_NEOX)
            rope_neox(x, dims / 2, row);
        else
            rope_norm(x, dims / 2, row);
    }
}

COVEY__INLINE __mmask16 mask_at(size_t n, size_t i) {
    return n - i >= 16 ? 0xffff : (__mmask16)((1u << (n - i)) - 1);
}

void covey__silu_mul_avx512(const float *gate, const float *up, size_t n, float *out) {
    const __m512 one = _mm512_set1_ps(1.0f), sign = _mm512_set1_ps(-0.0f);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = mask_at(n, i);
        covey__prefetch_row(gate + i);
        covey__prefetch_row(up + i);
        __m512 g = _mm512_maskz_loadu_ps(m, gate + i), u = _mm512_maskz_loadu_ps(m, up + i);
        __m512 e = covey__exp16(_mm512_xor_ps(g, sign));
        _mm512_mask_storeu_ps(out + i, m,
                              _mm512_mul_ps(_mm512_div_ps(g, _mm512_add_ps(one, e)), u));
    }
}

void covey__gelu_mul_avx512(const float *gate, const float *up, size_t n, float *out) {
    const __m512 one = _mm512_set1_ps(1.0f), sign = _mm512_set1_ps(-0.0f);
    const __m512 cubic = _mm512_set1_ps(0.044715f), factor = _mm512_set1_ps(1.59576912f);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = mask_at(n, i);
        __m512 g = _mm512_maskz_loadu_ps(m, gate + i), u = _mm512_maskz_loadu_ps(m, up + i);
        __m512 cube = _mm512_mul_ps(_mm512_mul_ps(g, g), g);
        __m512 z = _mm512_mul_ps(_mm512_add_ps(g, _mm512_mul_ps(cube, cubic)), factor);
        __m512 e = covey__exp16(_mm512_xor_ps(z, sign));
        _mm512_mask_storeu_ps(out + i, m,
                              _mm512_mul_ps(_mm512_div_ps(g, _mm512_add_ps(one, e)), u));
    }
}

void covey__gelu_avx512(const float *x, size_t n, float *out) {
    const __m512 half = _mm512_set1_ps(0.5f), factor = _mm512_set1_ps(-0.707106781f);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = mask_at(n, i);
        __m512 v = _mm512_maskz_loadu_ps(m, x + i);
        __m512 tail = covey__erfc16(_mm512_mul_ps(v, factor));
        _mm512_mask_storeu_ps(out + i, m, _mm512_mul_ps(_mm512_mul_ps(half, v), tail));
    }
}

void covey__add_avx512(float *x, const float *y, size_t n) {
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = mask_at(n, i);
        covey__prefetch_row(x + i);
        covey__prefetch_row(y + i);
        __m512 sum =
            _mm512_add_ps(_mm512_maskz_loadu_ps(m, x + i), _mm512_maskz_loadu_ps(m, y + i));
        _mm512_mask_storeu_ps(x + i, m, sum);
    }
}

void covey__scale_avx512(float *x, float factor, size_t n) {
    __m512 f = _mm512_set1_ps(factor);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = mask_at(n, i);
        _mm512_mask_storeu_ps(x + i, m, _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), f));
    }
}

void covey__softmax_avx512(float *x, size_t n) {
    __m512 greatest = _mm512_set1_ps(x[0]), partial = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = mask_at(n, i);
        greatest = _mm512_mask_max_ps(greatest, m, _mm512_maskz_loadu_ps(m, x + i), greatest);
    }
    __m512 max = _mm512_set1_ps(_mm512_reduce_max_ps(greatest));
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = mask_at(n, i);
        __m512 e = covey__exp16(_mm512_sub_ps(_mm512_maskz_loadu_ps(m, x + i), max));
        _mm512_mask_storeu_ps(x + i, m, e);
        partial = _mm512_add_ps(partial, _mm512_maskz_mov_ps(m, e));
    }
    covey__scale_avx512(x, 1.0f / covey__sum16(partial), n);
}
