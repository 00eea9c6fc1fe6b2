/* The kernel tables of the sets whose kernels are written in vectors of 128 bits (v128.h): SSE4.1,
 * NEON with its two extensions, WebAssembly. kernels.c asks here for what it does not know. */
#include "kernel/v128_sets.h"

#if defined(COVEY_SSE41) || defined(__aarch64__) || defined(__wasm_simd128__)
static void row(const covey__weights *w, int32_t r, float *out) {
    const uint8_t *data = w->data;
    covey__row_decode(w->type, data + (size_t)r * w->row_bytes, w->columns, out);
}
#endif

/* A set's table: its own products, with rows of floats and attention of `floats`. */
#define TABLE(id, set, floats)                                                                     \
    static void product_##set(const covey__product *p, int32_t r0, int32_t r1, const void *next,   \
                              void *scratch) {                                                     \
        covey__product_run(covey__product_ops_##set, p, r0, r1, next, scratch);                    \
    }                                                                                              \
    static const covey__kernels set##_kernels = {.isa = (id),                                      \
                                                 .activations = covey__activations_##floats,       \
                                                 .product = product_##set,                         \
                                                 .attention = covey__attention_##floats,           \
                                                 .rms_norm = covey__rms_norm_##floats,             \
                                                 .rope = covey__rope_##floats,                     \
                                                 .layer_norm = covey__layer_norm_##floats,         \
                                                 .silu_mul = covey__silu_mul_##floats,             \
                                                 .gelu_mul = covey__gelu_mul_##floats,             \
                                                 .gelu = covey__gelu_##floats,                     \
                                                 .add = covey__add_##floats,                       \
                                                 .scale = covey__scale_##floats,                   \
                                                 .softmax = covey__softmax_##floats,               \
                                                 .row = row};

#if defined(COVEY_SSE41)
TABLE(COVEY__ISA_SSE41, sse41, sse41)
#elif defined(__aarch64__)
TABLE(COVEY__ISA_NEON, neon, neon)
TABLE(COVEY__ISA_NEON_DOTPROD, neon_dotprod, neon)
TABLE(COVEY__ISA_NEON_I8MM, neon_i8mm, neon)
#elif defined(__wasm_simd128__)
TABLE(COVEY__ISA_WASM, wasm, wasm)
#endif

const covey__kernels *covey__kernels_v128(covey__isa isa) {
    switch (isa) {
#if defined(COVEY_SSE41)
    case COVEY__ISA_SSE41:
        return &sse41_kernels;
#elif defined(__aarch64__)
    case COVEY__ISA_NEON:
        return &neon_kernels;
    case COVEY__ISA_NEON_DOTPROD:
        return &neon_dotprod_kernels;
    case COVEY__ISA_NEON_I8MM:
        return &neon_i8mm_kernels;
#elif defined(__wasm_simd128__)
    case COVEY__ISA_WASM:
        return &wasm_kernels;
#endif
    default:
        return NULL;
    }
}
