/* Stands in for the signals that wasi-libc lacks: there are none to block. */
#ifndef COVEY_WASI_SIGNAL_H
#define COVEY_WASI_SIGNAL_H

#define __NEED_sigset_t
#include <bits/alltypes.h>

#define SIG_BLOCK   0
#define SIG_SETMASK 2

static inline int sigfillset(sigset_t *set) {
    (void)set;
    return 0;
}
static inline int sigemptyset(sigset_t *set) {
    (void)set;
    return 0;
}

#endif
