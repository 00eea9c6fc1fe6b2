/* What the CPU and the operating system both support. */
#ifndef COVEY_BASE_CPU_H
#define COVEY_BASE_CPU_H

#include <stdbool.h>
#include <stdint.h>

/* Instruction sets that kernels are written for. Not every set contains those before it: ask
 * covey__cpu_has. */
typedef enum covey__isa {
    COVEY__ISA_SCALAR = 0,
    COVEY__ISA_AVX2 = 1,
    COVEY__ISA_AVX512 = 2,
    COVEY__ISA_AVX_VNNI = 3, /* AVX2 with the 256-bit VEX form of VPDPBUSD */
    COVEY__ISA_SSE41 = 4,    /* x86 without AVX2; the source that NEON and WebAssembly share */
    COVEY__ISA_NEON = 5,     /* what every aarch64 has */
    COVEY__ISA_NEON_DOTPROD = 6,
    COVEY__ISA_NEON_I8MM = 7, /* with dotprod */
    COVEY__ISA_WASM = 8,      /* SIMD128 */
    COVEY__ISA_COUNT
} covey__isa;

typedef struct covey__cpu {
    bool sha;         /* SHA-NI and SSE4.1 */
    bool avx2;        /* AVX2 and F16C, with YMM state saved by the OS */
    bool avx512;      /* F, BW, DQ, VL with ZMM state saved by the OS */
    bool avx512_vnni; /* with the above */
    bool avx512_vbmi2;
    bool avx_vnni; /* with avx2 */
    bool sse41;    /* and SSSE3 */
    bool neon;
    bool neon_dotprod;
    bool neon_i8mm; /* with dotprod */
    bool wasm_simd; /* known when it is built: a module with it does not load without */
} covey__cpu;
covey__cpu covey__cpu_read(void);
bool covey__cpu_has(covey__isa isa); /* AVX512 needs VNNI too */
covey__isa covey__cpu_best(void);
const char *covey__isa_name(covey__isa isa);

#endif
