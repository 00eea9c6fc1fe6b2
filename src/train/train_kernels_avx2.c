/* Training kernels for AVX2: tiles of 6 x 16, with a multiply and an add apart, since AVX2 does not
 * promise fused ones. */
#if defined(__x86_64__)
#include <immintrin.h>

#define LANES        8
#define TILE_ROWS    6
#define FMA(a, b, c) ((c) + (a) * (b))
#define SQRT(x)      ((vf)_mm256_sqrt_ps((__m256)(x)))
#include "train/train_kernels_body.h"

const covey__train_kernels covey__train_kernels_avx2 = TABLE_OF(false);
#else
typedef int covey__train_kernels_no_avx2;
#endif
