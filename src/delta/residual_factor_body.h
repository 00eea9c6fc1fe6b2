/* Products of some rows with directions, for the search of factors: compiled once for each
 * instruction set, as residual_body.h is. Four rows and sixteen directions at a time, in vectors of
 * the compiler's own; each number is a sum in the same order on every set. */
#include "delta/residual.h"

#include <string.h>

typedef float factor_eight __attribute__((vector_size(32)));

static inline factor_eight factor_load(const float *at) {
    factor_eight x;
    memcpy(&x, at, sizeof x);
    return x;
}

static inline void factor_store(float *at, factor_eight x) {
    memcpy(at, &x, sizeof x);
}

/* The last row stands for those that are missing. */
static inline void factor_rows(const float *rows, size_t count, size_t columns, size_t first,
                               const float *row[4]) {
    for (size_t j = 0; j < 4; j++)
        row[j] = rows + (first + j < count ? first + j : count - 1) * columns;
}

static void RESIDUAL_NAME(project)(const float *rows, size_t count, const float *v, size_t columns,
                                   size_t rank, float *u) {
    const float *row[4];
    for (size_t i = 0; i < count; i += 4) {
        factor_rows(rows, count, columns, i, row);
        for (size_t first = 0; first < rank; first += COVEY__FACTOR_WIDTH) {
            factor_eight low[4] = {{0}}, high[4] = {{0}};
            for (size_t c = 0; c < columns; c++) {
                factor_eight a = factor_load(v + c * rank + first);
                factor_eight b = factor_load(v + c * rank + first + 8);
                for (size_t j = 0; j < 4; j++) {
                    low[j] += a * row[j][c];
                    high[j] += b * row[j][c];
                }
            }
            for (size_t j = 0; j < 4 && i + j < count; j++) {
                factor_store(u + (i + j) * rank + first, low[j]);
                factor_store(u + (i + j) * rank + first + 8, high[j]);
            }
        }
    }
}

static void RESIDUAL_NAME(spread)(const float *rows, size_t count, const float *u, size_t columns,
                                  size_t rank, float *v) {
    const float *row[4];
    for (size_t i = 0; i < count; i += 4) {
        factor_rows(rows, count, columns, i, row);
        for (size_t first = 0; first < rank; first += COVEY__FACTOR_WIDTH) {
            factor_eight low[4] = {{0}}, high[4] = {{0}};
            for (size_t j = 0; j < 4 && i + j < count; j++) {
                low[j] = factor_load(u + (i + j) * rank + first);
                high[j] = factor_load(u + (i + j) * rank + first + 8);
            }
            for (size_t c = 0; c < columns; c++) {
                factor_eight a = factor_load(v + c * rank + first);
                factor_eight b = factor_load(v + c * rank + first + 8);
                for (size_t j = 0; j < 4; j++) {
                    a += low[j] * row[j][c];
                    b += high[j] * row[j][c];
                }
                factor_store(v + c * rank + first, a);
                factor_store(v + c * rank + first + 8, b);
            }
        }
    }
}
