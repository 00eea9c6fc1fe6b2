/* The floating-point state that the arithmetic contract asks for: round to nearest even, subnormals
 * neither flushed nor read as zero, no traps. It is a register of the thread: entering sets it,
 * leaving restores what the caller had. */
#include "base/pool.h"

#if defined(__SSE__)
#include <immintrin.h>

/* MXCSR (Intel SDM volume 1, 10.2.3): flush to zero 15, rounding 14-13, traps masked 12-7,
 * denormals are zeros 6, sticky flags 5-0. The x87 control word (8.1.5): rounding 11-10, traps
 * masked 5-0. No arithmetic of ours uses the x87, but the C library asks it for the rounding mode
 * when it reads and prints numbers. */
#define CLEARED     0xe040u
#define MASKED      0x1f80u
#define X87_CLEARED 0x0c00u
#define X87_MASKED  0x003fu

static uint16_t read_x87(void) {
    uint16_t word;
    __asm__ volatile("fnstcw %0" : "=m"(word));
    return word;
}

static void write_x87(uint16_t word) {
    __asm__ volatile("fldcw %0" : : "m"(word));
}

covey__fp_state covey__fp_enter(void) {
    uint32_t sse = _mm_getcsr();
    uint16_t x87 = read_x87();
    uint32_t sse_wanted = (sse & ~CLEARED) | MASKED;
    uint16_t x87_wanted = (uint16_t)((x87 & ~X87_CLEARED) | X87_MASKED);
    if (sse_wanted != sse) _mm_setcsr(sse_wanted);
    if (x87_wanted != x87) write_x87(x87_wanted);
    return (covey__fp_state){(sse & 0xffffu) | (uint32_t)x87 << 16};
}

void covey__fp_leave(covey__fp_state state) {
    uint32_t sse = state.saved & 0xffffu;
    uint16_t x87 = (uint16_t)(state.saved >> 16);
    if (_mm_getcsr() != sse) _mm_setcsr(sse);
    if (read_x87() != x87) write_x87(x87);
}
#elif defined(__aarch64__)
/* FPCR (Arm ARM, C5.2.8): alternative half-precision 26, default NaN 25, flush to zero 24, rounding
 * 23-22, half-precision flush 19, traps 15 and 12-8. */
#define CLEARED 0x07c89f07u

static void write_fpcr(uint64_t value) {
    __asm__ volatile("msr fpcr, %0" : : "r"(value));
}

covey__fp_state covey__fp_enter(void) {
    uint64_t value;
    __asm__ volatile("mrs %0, fpcr" : "=r"(value));
    covey__fp_state state = {(uint32_t)value};
    if ((state.saved & CLEARED) != 0) write_fpcr(state.saved & ~CLEARED);
    return state;
}

void covey__fp_leave(covey__fp_state state) {
    if ((state.saved & CLEARED) != 0) write_fpcr(state.saved);
}
#else
#include <fenv.h>

covey__fp_state covey__fp_enter(void) {
    covey__fp_state state = {(uint32_t)fegetround()};
    fesetround(FE_TONEAREST);
    return state;
}

void covey__fp_leave(covey__fp_state state) {
    fesetround((int)state.saved);
}
#endif
