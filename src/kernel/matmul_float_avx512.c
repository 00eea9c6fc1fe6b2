/* F32, F16 and BF16 weights times many tokens, AVX-512: 4 rows by 6 tokens a step. */
#include "kernel/float_avx512.h"

#define ROWS   4
#define TOKENS 6
#define PARTS  1
typedef __m512 part;
#define part_zero()                 _mm512_setzero_ps()
#define part_load(from)             _mm512_loadu_ps(from)
#define part_store(to, v)           _mm512_storeu_ps(to, v)
#define part_add_product(sum, w, x) sum = _mm512_add_ps(sum, _mm512_mul_ps(w, x))
#define sum_parts(v)                covey__sum16((v)[0])
#define put_weights(to, type, p, k, n)                                                             \
    _mm512_storeu_ps(to, covey__weights16(type, p, k, covey__mask16(n)))
#include "kernel/float_tile.h"

void covey__matmul_float_avx512(const covey__product *p, int32_t r0, int32_t r1, void *scratch) {
    matmul_float(p, r0, r1, scratch);
}
