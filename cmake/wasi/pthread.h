/* Stands in for the threads that wasi-libc lacks: one thread runs, so that locks are free and
 * waiting for another would be for ever. Starting one fails; pools of one thread start none. */
#ifndef COVEY_WASI_PTHREAD_H
#define COVEY_WASI_PTHREAD_H

#include <errno.h>
#include <signal.h>
#include <time.h>

typedef int pthread_t;
typedef int pthread_mutex_t;
typedef int pthread_cond_t;
typedef int pthread_rwlock_t;
typedef int pthread_once_t;
typedef int pthread_condattr_t;

#define PTHREAD_MUTEX_INITIALIZER  0
#define PTHREAD_COND_INITIALIZER   0
#define PTHREAD_RWLOCK_INITIALIZER 0
#define PTHREAD_ONCE_INIT          0

#define COVEY_WASI_NOTHING(name, type)                                                             \
    static inline int name(type *what) {                                                           \
        (void)what;                                                                                \
        return 0;                                                                                  \
    }
COVEY_WASI_NOTHING(pthread_mutex_lock, pthread_mutex_t)
COVEY_WASI_NOTHING(pthread_mutex_trylock, pthread_mutex_t)
COVEY_WASI_NOTHING(pthread_mutex_unlock, pthread_mutex_t)
COVEY_WASI_NOTHING(pthread_mutex_destroy, pthread_mutex_t)
COVEY_WASI_NOTHING(pthread_cond_signal, pthread_cond_t)
COVEY_WASI_NOTHING(pthread_cond_broadcast, pthread_cond_t)
COVEY_WASI_NOTHING(pthread_cond_destroy, pthread_cond_t)
COVEY_WASI_NOTHING(pthread_condattr_init, pthread_condattr_t)
COVEY_WASI_NOTHING(pthread_condattr_destroy, pthread_condattr_t)
COVEY_WASI_NOTHING(pthread_rwlock_rdlock, pthread_rwlock_t)
COVEY_WASI_NOTHING(pthread_rwlock_wrlock, pthread_rwlock_t)
COVEY_WASI_NOTHING(pthread_rwlock_unlock, pthread_rwlock_t)
COVEY_WASI_NOTHING(pthread_rwlock_destroy, pthread_rwlock_t)

static inline int pthread_mutex_init(pthread_mutex_t *mutex, const void *attributes) {
    (void)attributes;
    *mutex = 0;
    return 0;
}
static inline int pthread_cond_init(pthread_cond_t *condition, const void *attributes) {
    (void)attributes;
    *condition = 0;
    return 0;
}
static inline int pthread_rwlock_init(pthread_rwlock_t *lock, const void *attributes) {
    (void)attributes;
    *lock = 0;
    return 0;
}
static inline int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex) {
    (void)condition, (void)mutex;
    __builtin_trap(); /* nobody could ever signal it */
}
static inline int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                         const struct timespec *until) {
    (void)condition, (void)mutex, (void)until;
    return ETIMEDOUT;
}
#define pthread_condattr_setclock(attributes, clock) ((void)(attributes), (void)(clock), 0)
static inline int pthread_create(pthread_t *thread, const void *attributes,
                                 void *(*run)(void *argument), void *argument) {
    (void)thread, (void)attributes, (void)run, (void)argument;
    return EAGAIN;
}
static inline int pthread_join(pthread_t thread, void **result) {
    (void)thread, (void)result;
    return ESRCH;
}
static inline pthread_t pthread_self(void) {
    return 0;
}
static inline int pthread_sigmask(int how, const sigset_t *set, sigset_t *old) {
    (void)how, (void)set, (void)old;
    return 0;
}

#endif
