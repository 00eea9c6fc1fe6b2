/* Stands in for the jumps that wasi-libc lacks: nothing here jumps (tests/small/cmocka.h). */
#ifndef COVEY_WASI_SETJMP_H
#define COVEY_WASI_SETJMP_H

typedef int jmp_buf;

#endif
