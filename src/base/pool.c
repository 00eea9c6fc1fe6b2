/* The thread pool: fork-join with very short jobs in mind, since decoding runs hundreds of them a
 * token.
 *
 * A job begins when `generation` moves and ends when `finished` reaches that generation; a barrier
 * inside a job ends when `phase` moves. Whoever waits for one of these words spins for a while
 * (wait_for_change), then yields, then sleeps on the one condition variable.
 *
 * Invariants:
 *   1. One job at a time: `turn` is held from its beginning to its end, so `job` and `user` are
 *      written only while no worker reads them (before `generation` moves, after `finished` did).
 *   2. No lost wake-up: a sleeper counts itself in `sleepers` before it looks at its word a last
 *      time under `sleep_mutex`; whoever moves a word looks at `sleepers` after. All four accesses
 *      are sequentially consistent, so one of the two sees the other.
 *   3. `arrived` is zero outside barriers: the last to arrive resets it before it moves `phase`.
 *
 * Workers block all signals (they are a guest in the app's process) and keep the arithmetic
 * contract's floating-point state for all their life. */
#include "base/pool.h"
#include "base/error.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define THREADS_MAX      1024
#define PAUSES_PER_CHECK 32 /* between two looks at the clock */

/* Spinning is for the last moment before a word moves. Beyond it, yielding answers as fast on an
 * idle machine, and on a busy one it lets the thread run that everyone waits for: there, 80 us of
 * spinning made a job six times as long. Sleeping is for the pauses between tokens and requests. */
#define SPIN_US  5
#define YIELD_US 200

#define CACHE_LINE 64

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#define CPU_PAUSE() _mm_pause()
#elif defined(__aarch64__)
#define CPU_PAUSE() __asm__ volatile("isb")
#else
#define CPU_PAUSE() ((void)0)
#endif

/* Sequentially consistent accesses keep invariant 2 by themselves, on processors. qemu-user 7.2
 * does not keep a store apart from a later load of another word, unless a barrier says so. */
#if defined(__aarch64__)
#define STORE_BEFORE_LOAD() __asm__ volatile("dmb ish" ::: "memory")
#else
#define STORE_BEFORE_LOAD() ((void)0)
#endif

typedef struct worker {
    covey__pool *pool;
    pthread_t thread;
    int32_t index;
} worker;

struct covey__pool {
    const covey__env *env;
    int32_t threads;
    worker *workers; /* threads - 1, of indices 1 and up */
    int32_t started;
    pthread_mutex_t turn;
    pthread_mutex_t sleep_mutex;
    pthread_cond_t sleep_condition;
    covey__pool_fn job;
    void *user;
    bool stop;
    _Alignas(CACHE_LINE) _Atomic uint32_t generation;
    _Alignas(CACHE_LINE) _Atomic uint32_t finished;
    _Alignas(CACHE_LINE) _Atomic uint32_t phase;
    _Alignas(CACHE_LINE) _Atomic int32_t running; /* workers still in the job */
    _Alignas(CACHE_LINE) _Atomic int32_t arrived;
    _Alignas(CACHE_LINE) _Atomic int32_t sleepers;
};

/* Returns once `word` is no longer `old`. */
static void wait_for_change(covey__pool *pool, _Atomic uint32_t *word, uint32_t old) {
    int64_t begin = 0;
    for (;;) {
        for (int i = 0; i < PAUSES_PER_CHECK; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != old) return;
            CPU_PAUSE();
        }
        int64_t now = covey__monotonic_us();
        if (begin == 0) begin = now;
        if (now - begin >= SPIN_US + YIELD_US) break;
        if (now - begin >= SPIN_US) sched_yield();
    }
    pthread_mutex_lock(&pool->sleep_mutex);
    atomic_fetch_add(&pool->sleepers, 1);
    STORE_BEFORE_LOAD();
    while (atomic_load(word) == old) pthread_cond_wait(&pool->sleep_condition, &pool->sleep_mutex);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->sleep_mutex);
}

/* Moves `word` to `value` and wakes who sleeps. */
static void change(covey__pool *pool, _Atomic uint32_t *word, uint32_t value) {
    atomic_store(word, value);
    STORE_BEFORE_LOAD();
    if (atomic_load(&pool->sleepers) == 0) return;
    pthread_mutex_lock(&pool->sleep_mutex);
    pthread_cond_broadcast(&pool->sleep_condition);
    pthread_mutex_unlock(&pool->sleep_mutex);
}

static void *worker_main(void *argument) {
    worker *self = argument;
    covey__pool *pool = self->pool;
    covey__fp_state state = covey__fp_enter();
    uint32_t seen = 0;
    for (;;) {
        wait_for_change(pool, &pool->generation, seen);
        seen++;
        if (pool->stop) break;
        pool->job(pool->user, self->index, pool->threads);
        if (atomic_fetch_sub(&pool->running, 1) == 1) change(pool, &pool->finished, seen);
    }
    covey__fp_leave(state);
    return NULL;
}

static int32_t usable_cores(void) {
#if defined(__linux__)
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online <= THREADS_MAX ? (int32_t)online : 1;
}

static int start_workers(covey__pool *pool) {
    sigset_t all, before;
    sigfillset(&all);
    int code = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (code != 0) return code;
    for (int32_t i = 0; i < pool->threads - 1 && code == 0; i++) {
        worker *each = &pool->workers[i];
        each->pool = pool;
        each->index = i + 1;
        code = covey__fault(pool->env, "thread", "pool");
        if (code == 0) code = pthread_create(&each->thread, NULL, worker_main, each);
        if (code == 0) pool->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

covey_status covey__pool_new(const covey__env *env, int32_t threads, covey__pool **out,
                             covey_error *error) {
    if (threads < 0 || threads > THREADS_MAX)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "threads: %d given, expected 0 (one a core) to %d", (int)threads,
                           THREADS_MAX);
    if (threads == 0) threads = usable_cores();
    covey__pool *pool = covey__alloc_aligned(env, sizeof *pool);
    if (pool == NULL) return covey__no_memory(error, "pool", sizeof *pool);
    pool->env = env;
    pool->threads = threads;
    pthread_mutex_init(&pool->turn, NULL);
    pthread_mutex_init(&pool->sleep_mutex, NULL);
    pthread_cond_init(&pool->sleep_condition, NULL);
    pool->workers = covey__calloc(env, (size_t)threads, sizeof *pool->workers);
    if (pool->workers == NULL) {
        covey__pool_free(pool);
        return covey__no_memory(error, "pool", (size_t)threads * sizeof(worker));
    }
    int code = start_workers(pool);
    if (code != 0) {
        covey_status status = covey__fail_errno(error, code, "pool: thread %d of %d not started",
                                                (int)pool->started + 2, (int)threads);
        covey__pool_free(pool);
        return status;
    }
    *out = pool;
    return COVEY_OK;
}

void covey__pool_free(covey__pool *pool) {
    if (pool == NULL) return;
    if (pool->started > 0) {
        pool->stop = true;
        change(pool, &pool->generation, atomic_load(&pool->generation) + 1);
    }
    for (int32_t i = 0; i < pool->started; i++) pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->sleep_condition);
    pthread_mutex_destroy(&pool->sleep_mutex);
    pthread_mutex_destroy(&pool->turn);
    const covey__env *env = pool->env;
    covey__free(env, pool->workers);
    covey__free_aligned(env, pool);
}

int32_t covey__pool_threads(const covey__pool *pool) {
    return pool->threads;
}

void covey__pool_run(covey__pool *pool, covey__pool_fn job, void *user) {
    pthread_mutex_lock(&pool->turn);
    covey__fp_state state = covey__fp_enter();
    if (pool->threads > 1) {
        pool->job = job;
        pool->user = user;
        atomic_store_explicit(&pool->running, pool->threads - 1, memory_order_relaxed);
        uint32_t before = atomic_load_explicit(&pool->generation, memory_order_relaxed);
        change(pool, &pool->generation, before + 1);
        job(user, 0, pool->threads);
        wait_for_change(pool, &pool->finished, before);
    } else {
        job(user, 0, 1);
    }
    covey__fp_leave(state);
    pthread_mutex_unlock(&pool->turn);
}

void covey__pool_barrier(covey__pool *pool) {
    if (pool->threads == 1) return;
    uint32_t phase = atomic_load_explicit(&pool->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) == pool->threads - 1) {
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        change(pool, &pool->phase, phase + 1);
    } else {
        wait_for_change(pool, &pool->phase, phase);
    }
}
