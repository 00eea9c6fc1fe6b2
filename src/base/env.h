/* The inner side of covey_runtime: what every layer needs from outside. Each call that allocates,
 * logs, reads a clock, draws random bytes or touches a file takes the environment, so that a test
 * can break any of them. */
#ifndef COVEY_BASE_ENV_H
#define COVEY_BASE_ENV_H

#include <covey/runtime.h>

/* Called before each step that can fail outside of us: "open", "write", "fsync", "rename",
 * "unlink", "mkdir", and the agent's actions ("agent.stage", …), with what it is about (a path).
 * Returns 0 to go on or an errno to fail with instead. A test may also end the process here. */
typedef int (*covey__fault_fn)(void *user, const char *point, const char *subject);

typedef struct covey__env {
    covey_allocator allocator; /* resize is never NULL */
    covey_log_fn log;          /* may be NULL */
    void *log_user;
    covey_log_level log_level;
    covey_clock_fn clock; /* never NULL */
    void *clock_user;
    const covey_crypto *crypto;       /* NULL in programs built without trust */
    const covey_keystore *keystore;   /* NULL: the agent's own files */
    const covey_transport *transport; /* NULL in programs built without a transport */
    covey__fault_fn fault;            /* may be NULL */
    void *fault_user;
} covey__env;

/* The C library's allocator, no log, the system's clock, no faults. */
void covey__env_init(covey__env *env);

/* Memory. NULL when refused; `calloc` checks the product. `free` takes NULL. */
void *covey__alloc(const covey__env *env, size_t size);
void *covey__calloc(const covey__env *env, size_t count, size_t size);
void *covey__resize(const covey__env *env, void *pointer, size_t size);
void covey__free(const covey__env *env, void *pointer);
/* 64-byte aligned and zeroed, for vectors; freed with covey__free_aligned only. */
void *covey__alloc_aligned(const covey__env *env, size_t size);
void covey__free_aligned(const covey__env *env, void *pointer);
/* Copies of strings; NULL when refused. */
char *covey__strdup(const covey__env *env, const char *text);
char *covey__strndup(const covey__env *env, const char *text, size_t size);
/* A formatted string in new memory; NULL when refused. */
char *covey__format(const covey__env *env, const char *format, ...) COVEY_PRINTF(2, 3);

void covey__log(const covey__env *env, covey_log_level level, const char *component,
                const char *format, ...) COVEY_PRINTF(4, 5);

int64_t covey__now_ms(const covey__env *env); /* since 1970, as the environment says */
int64_t covey__monotonic_us(void);            /* never jumps */

/* 0, or the errno that a test wants here. */
int covey__fault(const covey__env *env, const char *point, const char *subject);

/* Bytes for keys and salts from the system. */
covey_status covey__random(const covey__env *env, void *out, size_t size,
                           covey_error *error) COVEY_MUST_USE;

#endif
