/* What the CPU and the operating system both support. */
#ifndef COVEY_BASE_CPU_H
#define COVEY_BASE_CPU_H

#include <stdbool.h>
#include <stdint.h>

typedef enum covey__isa {
    COVEY__ISA_SCALAR = 0,
    COVEY__ISA_AVX2 = 1,
    COVEY__ISA_AVX512 = 2
} covey__isa;

typedef struct covey__cpu {
    bool sha;         /* SHA-NI and SSE4.1 */
    bool avx2;        /* AVX2 and F16C, with YMM state saved by the OS */
    bool avx512;      /* F, BW, DQ, VL with ZMM state saved by the OS */
    bool avx512_vnni; /* with the above */
} covey__cpu;
covey__cpu covey__cpu_read(void);
covey__isa covey__cpu_best(void); /* AVX512 needs VNNI too */
const char *covey__isa_name(covey__isa isa);

#endif
