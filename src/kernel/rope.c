/* Rotary positions: the frequencies of a model, and tables of cosine and sine by position, in
 * double precision from our own functions and rounded to float once. Turning the heads themselves
 * is in vector_*.c. */
#include "kernel/parts.h"

void covey__rope_frequencies(double base, int32_t dims, double scale, const float *factors,
                             double *frequencies) {
    for (int32_t i = 0; i < dims / 2; i++) {
        double f = covey__pow_f64(base, (-2.0 * (double)i) / (double)dims) * scale;
        frequencies[i] = factors ? f / (double)factors[i] : f;
    }
}

void covey__rope_table(const double *frequencies, int32_t dims, int32_t position, int32_t positions,
                       float *table) {
    int32_t pairs = dims / 2;
    for (int32_t p = 0; p < positions; p++) {
        for (int32_t i = 0; i < pairs; i++) {
            double angle = (double)(position + p) * frequencies[i];
            table[i] = (float)covey__cos_f64(angle);
            table[pairs + i] = (float)covey__sin_f64(angle);
        }
        table += dims / 2 * 2;
    }
}
