/* The tensor types' layouts: weights and bytes of a block, as ggml defines them
 * (github.com/ggml-org ggml, src/ggml-common.h). Knowing a layout is enough to read, check, copy
 * and patch a tensor; whether it can be computed with is the kernel's to say. */
#include "gguf/gguf.h"

const covey__type_info *covey__type_get(uint32_t type) {
    static const covey__type_info infos[] = {
        [COVEY__TYPE_F32] = {"F32", 1, 4},         [COVEY__TYPE_F16] = {"F16", 1, 2},
        [COVEY__TYPE_Q4_0] = {"Q4_0", 32, 18},     [COVEY__TYPE_Q4_1] = {"Q4_1", 32, 20},
        [COVEY__TYPE_Q5_0] = {"Q5_0", 32, 22},     [COVEY__TYPE_Q5_1] = {"Q5_1", 32, 24},
        [COVEY__TYPE_Q8_0] = {"Q8_0", 32, 34},     [COVEY__TYPE_Q2_K] = {"Q2_K", 256, 84},
        [COVEY__TYPE_Q3_K] = {"Q3_K", 256, 110},   [COVEY__TYPE_Q4_K] = {"Q4_K", 256, 144},
        [COVEY__TYPE_Q5_K] = {"Q5_K", 256, 176},   [COVEY__TYPE_Q6_K] = {"Q6_K", 256, 210},
        [COVEY__TYPE_IQ4_NL] = {"IQ4_NL", 32, 18}, [COVEY__TYPE_IQ4_XS] = {"IQ4_XS", 256, 136},
        [COVEY__TYPE_BF16] = {"BF16", 1, 2},
    };
    if (type >= sizeof infos / sizeof *infos || infos[type].name == NULL) return NULL;
    return &infos[type];
}
