/* The floating-point state that the arithmetic contract asks for: round to nearest even, subnormals
 * neither flushed nor read as zero, no traps. It is a register of the thread: entering sets it,
 * leaving restores what the caller had. */
#include "base/pool.h"

#if defined(__x86_64__) || defined(__SSE__)
#include <immintrin.h>

/* MXCSR (Intel SDM volume 1, 10.2.3): flush to zero 15, rounding 14-13, traps masked 12-7,
 * denormals are zeros 6, sticky flags 5-0. */
#define CLEARED 0xe040u
#define MASKED  0x1f80u

covey__fp_state covey__fp_enter(void) {
    covey__fp_state state = {_mm_getcsr()};
    uint32_t wanted = (state.saved & ~CLEARED) | MASKED;
    if (wanted != state.saved) _mm_setcsr(wanted);
    return state;
}

void covey__fp_leave(covey__fp_state state) {
    if (_mm_getcsr() != state.saved) _mm_setcsr(state.saved);
}
#elif defined(__aarch64__)
/* FPCR (Arm ARM, C5.2.8): default NaN 25, flush to zero 24, rounding 23-22, half-precision flush
 * 19, traps 15 and 12-8. */
#define CLEARED 0x03c89f00u

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
