/* The thread pool: every index once, barriers, turns, sleep and wake, floating-point state. */
#include "support/support.h"

#include "base/pool.h"

#include <fenv.h>
#include <float.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

static const int32_t thread_counts[] = {1, 2, 3, 5};

static covey__pool *new_pool(const covey__env *env, int32_t threads) {
    covey__pool *pool;
    covey_error error;
    assert_int_equal(covey__pool_new(env, threads, &pool, &error), COVEY_OK);
    return pool;
}

typedef struct tally {
    int counts[8]; /* each written by its own thread alone */
    int32_t threads;
} tally;

static void count_job(void *user, int32_t index, int32_t count) {
    tally *each = user;
    each->counts[index]++;
    if (index == 0) each->threads = count;
}

static void every_thread_runs_each_job_once(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    for (int c = 0; c < 4; c++) {
        covey__pool *pool = new_pool(&env, thread_counts[c]);
        assert_int_equal(covey__pool_threads(pool), thread_counts[c]);
        tally each = {{0}, 0};
        for (int job = 1; job <= 2000; job++) {
            covey__pool_run(pool, count_job, &each);
            for (int32_t i = 0; i < thread_counts[c]; i++) assert_int_equal(each.counts[i], job);
        }
        assert_int_equal(each.threads, thread_counts[c]);
        covey__pool_free(pool);
    }
}

#define STEPS 300

typedef struct relay {
    covey__pool *pool;
    int values[8];
    _Atomic int wrong;
} relay;

/* In each step a thread writes its own value and then reads all of them between two barriers. */
static void relay_job(void *user, int32_t index, int32_t count) {
    relay *r = user;
    for (int step = 0; step < STEPS; step++) {
        r->values[index] = step * 10 + index;
        covey__pool_barrier(r->pool);
        for (int32_t i = 0; i < count; i++)
            if (r->values[i] != step * 10 + i) atomic_fetch_add(&r->wrong, 1);
        covey__pool_barrier(r->pool);
    }
}

static void barriers_separate_the_steps(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    for (int c = 0; c < 4; c++) {
        relay r = {new_pool(&env, thread_counts[c]), {0}, 0};
        for (int job = 0; job < 5; job++) covey__pool_run(r.pool, relay_job, &r);
        assert_int_equal(atomic_load(&r.wrong), 0);
        covey__pool_free(r.pool);
    }
}

/* Thread 1 lingers until the others have had time to fall asleep at the barrier: it yields until
 * the clock moved well past the pool's patience. */
static void late_job(void *user, int32_t index, int32_t count) {
    relay *r = user;
    (void)count;
    if (index == 1) {
        int64_t until = covey__monotonic_us() + 3000;
        while (covey__monotonic_us() < until) sched_yield();
        r->values[0]++;
    }
    covey__pool_barrier(r->pool);
    if (index == 2) r->values[1] += r->values[0];
}

static void sleepers_are_woken(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    relay r = {new_pool(&env, 3), {0}, 0};
    for (int job = 0; job < 10; job++) {
        int64_t until = covey__monotonic_us() + 2000; /* workers fall asleep between jobs too */
        while (covey__monotonic_us() < until) sched_yield();
        covey__pool_run(r.pool, late_job, &r);
    }
    assert_int_equal(r.values[0], 10);
    assert_int_equal(r.values[1], 55);
    covey__pool_free(r.pool);
}

typedef struct shared_job {
    covey__pool *pool;
    int inside; /* changed by index 0 only: two jobs at once would race here */
    int ran;
    int overlaps;
} shared_job;

static void exclusive_job(void *user, int32_t index, int32_t count) {
    shared_job *s = user;
    (void)count;
    if (index == 0) {
        if (s->inside++ != 0) s->overlaps++;
        s->ran++;
    }
    covey__pool_barrier(s->pool);
    if (index == 0) s->inside--;
}

static void *run_many(void *user) {
    shared_job *s = user;
    for (int i = 0; i < 300; i++) covey__pool_run(s->pool, exclusive_job, s);
    return NULL;
}

static void callers_take_turns(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    for (int32_t threads = 1; threads <= 2; threads++) {
        shared_job s = {new_pool(&env, threads), 0, 0, 0};
        pthread_t callers[3];
        for (int i = 0; i < 3; i++)
            assert_int_equal(pthread_create(&callers[i], NULL, run_many, &s), 0);
        for (int i = 0; i < 3; i++) pthread_join(callers[i], NULL);
        assert_int_equal(s.ran, 900);
        assert_int_equal(s.overlaps, 0);
        covey__pool_free(s.pool);
    }
}

typedef struct fp_result {
    int rounding[4];
    float subnormal[4];
} fp_result;

static void fp_job(void *user, int32_t index, int32_t count) {
    (void)count;
    fp_result *result = user;
    volatile float smallest = FLT_MIN;
    result->rounding[index] = fegetround();
    result->subnormal[index] = smallest / 2;
}

static void the_floating_point_state_is_the_contracts(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    fesetround(FE_UPWARD); /* the pool is even made in this state, which its threads inherit */
    covey__pool *pool = new_pool(&env, 3);
    fp_result result;
    memset(&result, 0, sizeof result);
    covey__pool_run(pool, fp_job, &result);
    int after = fegetround();
    fesetround(FE_TONEAREST);
    assert_int_equal(after, FE_UPWARD);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(result.rounding[i], FE_TONEAREST);
        assert_true(result.subnormal[i] > 0.0f);
    }
    covey__pool_free(pool);
}

static void bad_counts_are_refused(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey__pool *pool;
    covey_error error;
    assert_int_equal(covey__pool_new(&env, -1, &pool, &error), COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(covey__pool_new(&env, 100000, &pool, &error), COVEY_ERROR_INVALID_ARGUMENT);
    pool = new_pool(&env, 0);
    assert_true(covey__pool_threads(pool) >= 1);
    covey__pool_free(pool);
    covey__pool_free(NULL);
}

static covey_status make_and_free(const covey__env *env, void *user, covey_error *error) {
    (void)user;
    covey__pool *pool;
    covey_status status = covey__pool_new(env, 3, &pool, error);
    if (status == COVEY_OK) covey__pool_free(pool);
    return status;
}

static void nothing_is_left_when_it_cannot_be_made(void **state) {
    (void)state;
    assert_int_equal(test_fail_each_allocation(make_and_free, NULL), 2);
    for (int64_t n = 1; n <= 2; n++) {
        test_env test;
        test_env_init(&test);
        test.point = "thread";
        test.point_fails = n;
        covey_error error;
        assert_int_equal(make_and_free(&test.env, NULL, &error), COVEY_ERROR_IO);
        assert_int_equal(test.alive, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_thread_runs_each_job_once),
        cmocka_unit_test(barriers_separate_the_steps),
        cmocka_unit_test(sleepers_are_woken),
        cmocka_unit_test(callers_take_turns),
        cmocka_unit_test(the_floating_point_state_is_the_contracts),
        cmocka_unit_test(bad_counts_are_refused),
        cmocka_unit_test(nothing_is_left_when_it_cannot_be_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
