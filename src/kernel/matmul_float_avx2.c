/* F32, F16 and BF16 weights times many tokens, AVX2: 2 rows by 3 tokens a step, each output's
 * partial sums in two registers. */
#include "kernel/float_avx2.h"

#define ROWS   2
#define TOKENS 3
#define PARTS  2
typedef __m256 part;
#define part_zero()                 _mm256_setzero_ps()
#define part_load(from)             _mm256_loadu_ps(from)
#define part_store(to, v)           _mm256_storeu_ps(to, v)
#define part_add_product(sum, w, x) sum = _mm256_add_ps(sum, _mm256_mul_ps(w, x))
#define sum_parts(v)                covey__sum16((v)[0], (v)[1])

COVEY__INLINE void put_weights(float *to, uint32_t type, const uint8_t *row, int32_t k, int32_t n) {
    _mm256_storeu_ps(to, covey__weights8(type, row, k, n));
    _mm256_storeu_ps(to + 8, covey__weights8(type, row, k + 8, n - 8));
}
#include "kernel/float_tile.h"

void covey__matmul_float_avx2(const covey__product *p, int32_t r0, int32_t r1, void *scratch) {
    matmul_float(p, r0, r1, scratch);
}
