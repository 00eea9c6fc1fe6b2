/* What a covey_runtime is to the layers above base. */
#ifndef COVEY_BASE_RUNTIME_H
#define COVEY_BASE_RUNTIME_H

#include "base/pool.h"

/* covey_runtime_open without the makers that base may not know (crypto, transport): what the
 * options leave NULL stays NULL. covey_runtime_open in src/library fills those in and calls this;
 * tests of low layers call it directly. */
covey_status covey__runtime_new(const covey_runtime_options *options, covey_runtime **runtime,
                                covey_error *error) COVEY_MUST_USE;

/* Borrowed from the runtime. covey_runtime itself is defined in base/runtime.c; the ISA is a number
 * that kernel gives a meaning to (covey__isa of base/cpu.h). */
const covey__env *covey__runtime_env(const covey_runtime *runtime);
covey__env *covey__runtime_env_for_tests(covey_runtime *runtime);
covey__pool *covey__runtime_pool(const covey_runtime *runtime);
int32_t covey__runtime_isa_level(const covey_runtime *runtime);
/* What the app pushed so far; fields it never pushed are at their INIT values. */
covey_signals covey__runtime_signals(const covey_runtime *runtime);

/* What covey_runtime_trim calls, from any thread. The hook is the caller's memory and must be
 * removed before that goes; once `remove` returns, the hook is not called any more. A hook must not
 * add or remove hooks. */
typedef struct covey__trim_hook {
    void (*trim)(void *user);
    void *user;
    struct covey__trim_hook *next; /* the runtime's */
} covey__trim_hook;
void covey__runtime_trim_add(covey_runtime *runtime, covey__trim_hook *hook);
void covey__runtime_trim_remove(covey_runtime *runtime, covey__trim_hook *hook);

/* Puts a transport into a runtime that was just made with none of its own; `close` runs once when
 * the runtime closes. */
void covey__runtime_lend_transport(covey_runtime *runtime, const covey_transport *transport,
                                   void (*close)(void *user), void *user);

#endif
