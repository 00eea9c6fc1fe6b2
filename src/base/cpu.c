/* What CPU and operating system support together: CPUID says what the CPU has, XGETBV whether the
 * system saves the wide registers when it switches threads (Intel SDM volume 1, 13.3 and 14.3;
 * volume 2, CPUID). On aarch64 Linux says it in the process's auxiliary vector. On other processors
 * everything is absent and the scalar definition runs. */
#include "base/cpu.h"

#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

#define XCR0_AVX    0x06u /* XMM and YMM */
#define XCR0_AVX512 0xe6u /* and the masks, and both halves of ZMM */

static uint32_t xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

covey__cpu covey__cpu_read(void) {
    covey__cpu cpu;
    memset(&cpu, 0, sizeof cpu);
    uint32_t a, b, c1, d, b7, c7;
    if (!__get_cpuid(1, &a, &b, &c1, &d)) return cpu;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d)) return cpu;
    bool ssse3 = (c1 >> 9 & 1) != 0, sse41 = (c1 >> 19 & 1) != 0;
    cpu.sse41 = ssse3 && sse41;
    cpu.sha = (b7 >> 29 & 1) != 0 && cpu.sse41;
    bool osxsave = (c1 >> 27 & 1) != 0, avx = (c1 >> 28 & 1) != 0, f16c = (c1 >> 29 & 1) != 0;
    if (!osxsave || !avx) return cpu;
    uint32_t saved = xcr0();
    cpu.avx2 = (saved & XCR0_AVX) == XCR0_AVX && f16c && (b7 >> 5 & 1) != 0;
    const uint32_t f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    cpu.avx512 =
        cpu.avx2 && (saved & XCR0_AVX512) == XCR0_AVX512 && (b7 & f_dq_bw_vl) == f_dq_bw_vl;
    cpu.avx512_vnni = cpu.avx512 && (c7 >> 11 & 1) != 0;
    cpu.avx512_vbmi2 = cpu.avx512 && (c7 >> 6 & 1) != 0;
    if (a >= 1) { /* leaf 7 has a sub-leaf 1 */
        __cpuid_count(7, 1, a, b, c7, d);
        cpu.avx_vnni = cpu.avx2 && (a >> 4 & 1) != 0;
    }
    return cpu;
}
#elif defined(__aarch64__)
#if defined(__linux__)
#include <sys/auxv.h>

/* Linux's hwcaps (Documentation/arch/arm64/elf_hwcaps.rst). */
#define CAP_DOTPROD (1ul << 20)
#define CAP2_I8MM   (1ul << 13)

static void read_system(covey__cpu *cpu) {
    cpu->neon_dotprod = (getauxval(AT_HWCAP) & CAP_DOTPROD) != 0;
    cpu->neon_i8mm = cpu->neon_dotprod && (getauxval(AT_HWCAP2) & CAP2_I8MM) != 0;
}
#else
/* Elsewhere what the compiler was told holds: all of Apple's 64-bit ARM has dotprod, say. */
static void read_system(covey__cpu *cpu) {
#if defined(__ARM_FEATURE_DOTPROD)
    cpu->neon_dotprod = true;
#endif
#if defined(__ARM_FEATURE_DOTPROD) && defined(__ARM_FEATURE_MATMUL_INT8)
    cpu->neon_i8mm = true;
#endif
}
#endif

covey__cpu covey__cpu_read(void) {
    covey__cpu cpu;
    memset(&cpu, 0, sizeof cpu);
    cpu.neon = true; /* part of the architecture's base */
    read_system(&cpu);
    return cpu;
}
#else
covey__cpu covey__cpu_read(void) {
    covey__cpu cpu;
    memset(&cpu, 0, sizeof cpu);
#if defined(__wasm_simd128__)
    cpu.wasm_simd = true;
#endif
    return cpu;
}
#endif

bool covey__cpu_has(covey__isa isa) {
    covey__cpu cpu = covey__cpu_read();
    switch (isa) {
    case COVEY__ISA_SCALAR:
        return true;
    case COVEY__ISA_AVX2:
        return cpu.avx2;
    case COVEY__ISA_AVX512:
        return cpu.avx512 && cpu.avx512_vnni;
    case COVEY__ISA_AVX_VNNI:
        return cpu.avx_vnni;
    case COVEY__ISA_SSE41:
#if defined(COVEY_SSE41)
        return cpu.sse41;
#else
        return false; /* not in this build */
#endif
    case COVEY__ISA_NEON:
        return cpu.neon;
    case COVEY__ISA_NEON_DOTPROD:
        return cpu.neon_dotprod;
    case COVEY__ISA_NEON_I8MM:
        return cpu.neon_i8mm;
    case COVEY__ISA_WASM:
        return cpu.wasm_simd;
    default:
        return false;
    }
}

covey__isa covey__cpu_best(void) {
    static const covey__isa fastest_first[] = {
        COVEY__ISA_AVX512,    COVEY__ISA_AVX_VNNI,     COVEY__ISA_AVX2, COVEY__ISA_SSE41,
        COVEY__ISA_NEON_I8MM, COVEY__ISA_NEON_DOTPROD, COVEY__ISA_NEON, COVEY__ISA_WASM};
    for (size_t i = 0; i < sizeof fastest_first / sizeof fastest_first[0]; i++)
        if (covey__cpu_has(fastest_first[i])) return fastest_first[i];
    return COVEY__ISA_SCALAR;
}

const char *covey__isa_name(covey__isa isa) {
    switch (isa) {
    case COVEY__ISA_SCALAR:
        return "scalar";
    case COVEY__ISA_AVX2:
        return "avx2";
    case COVEY__ISA_AVX512:
        return "avx512";
    case COVEY__ISA_AVX_VNNI:
        return "avx-vnni";
    case COVEY__ISA_SSE41:
        return "sse4.1";
    case COVEY__ISA_NEON:
        return "neon";
    case COVEY__ISA_NEON_DOTPROD:
        return "neon-dotprod";
    case COVEY__ISA_NEON_I8MM:
        return "neon-i8mm";
    case COVEY__ISA_WASM:
        return "wasm";
    default:
        break;
    }
    return "unknown";
}
