/* Stands in for train_bf16_avx512.c on other processors: no products in bfloat16. */
#include "train/train_kernels.h"

#if !defined(__x86_64__)
void covey__train_multiply_bf16(const covey__train_product *product, float *memory) {
    (void)product, (void)memory;
}
size_t covey__train_bf16_scratch(void) {
    return 0;
}
bool covey__train_has_bf16(void) {
    return false;
}
#endif
