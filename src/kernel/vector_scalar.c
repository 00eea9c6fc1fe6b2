/* The definition of what happens to single rows of floats: norms, RoPE, activation functions,
 * sums, softmax. docs/arithmetic.md, "Rows". */
#include "kernel/parts.h"

#include <math.h>

void covey__rms_norm_scalar(const float *x, const float *w, int32_t n, float eps, float *out) {
    float partial[COVEY__LANES] = {0};
    for (int32_t i = 0; i < n; i++) partial[i % 16] = partial[i % 16] + x[i] * x[i];
    float mean = covey__tree16(partial) / (float)n;
    float factor = 1.0f / sqrtf(mean + eps);
    for (int32_t i = 0; i < n; i++) out[i] = (x[i] * factor) * w[i];
}

void covey__layer_norm_scalar(const float *x, const float *w, const float *b, int32_t n, float eps,
                              float *out) {
    float sums[COVEY__LANES] = {0}, squares[COVEY__LANES] = {0};
    for (int32_t i = 0; i < n; i++) sums[i % 16] = sums[i % 16] + x[i];
    float mean = covey__tree16(sums) / (float)n;
    for (int32_t i = 0; i < n; i++) {
        float centred = x[i] - mean;
        squares[i % 16] = squares[i % 16] + centred * centred;
    }
    float factor = 1.0f / sqrtf(covey__tree16(squares) / (float)n + eps);
    for (int32_t i = 0; i < n; i++) out[i] = ((x[i] - mean) * factor) * w[i] + b[i];
}

void covey__rope_scalar(float *x, int32_t heads, int32_t head_dim, int32_t dims,
                        covey__rope_style style, const float *row) {
    int32_t pairs = dims / 2;
    int32_t step = style == COVEY__ROPE_NEOX ? 1 : 2,
            partner = style == COVEY__ROPE_NEOX ? pairs : 1;
    for (int32_t h = 0; h < heads; h++, x += head_dim) {
        for (int32_t i = 0; i < pairs; i++) {
            float cosine = row[i], sine = row[pairs + i];
            float a = x[i * step], b = x[i * step + partner];
            x[i * step] = a * cosine - b * sine;
            x[i * step + partner] = a * sine + b * cosine;
        }
    }
}

void covey__silu_mul_scalar(const float *gate, const float *up, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) {
        float g = gate[i];
        out[i] = (g / (1.0f + covey__exp_f32(-g))) * up[i];
    }
}

void covey__gelu_mul_scalar(const float *gate, const float *up, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) {
        float g = gate[i];
        float z = (g + ((g * g) * g) * 0.044715f) * 1.59576912f;
        out[i] = (g / (1.0f + covey__exp_f32(-z))) * up[i];
    }
}

void covey__gelu_scalar(const float *x, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) out[i] = (0.5f * x[i]) * covey__erfc_f32(x[i] * -0.707106781f);
}

void covey__add_scalar(float *x, const float *y, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = x[i] + y[i];
}

void covey__scale_scalar(float *x, float factor, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = x[i] * factor;
}

void covey__softmax_scalar(float *x, size_t n) {
    float greatest = x[0], partial[COVEY__LANES] = {0};
    for (size_t i = 1; i < n; i++) greatest = x[i] > greatest ? x[i] : greatest;
    for (size_t i = 0; i < n; i++) {
        x[i] = covey__exp_f32(x[i] - greatest);
        partial[i % 16] = partial[i % 16] + x[i];
    }
    float inverse = 1.0f / covey__tree16(partial);
    for (size_t i = 0; i < n; i++) x[i] = x[i] * inverse;
}
