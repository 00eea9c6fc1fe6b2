/* Counters, and the text that Prometheus reads, byte for byte. */
#include "support/support.h"

#include "telemetry/metrics.h"

#include <pthread.h>
#include <string.h>

static covey__env env;

static void test_counter(void **state) {
    (void)state;
    covey__counter counter = {0};
    covey__counter_add(&counter, 3);
    covey__counter_add(&counter, 0);
    covey__counter_add(&counter, 4);
    assert_int_equal(covey__counter_get(&counter), 7);
}

static void *add_many(void *user) {
    for (int i = 0; i < 1000; i++) covey__counter_add(user, 2);
    return NULL;
}

static void test_counter_from_threads(void **state) {
    (void)state;
    covey__counter counter = {0};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, &counter), 0);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    assert_int_equal(covey__counter_get(&counter), 6000);
}

static void test_text(void **state) {
    (void)state;
    covey__buffer out;
    covey__env_init(&env);
    covey__buffer_init(&out, &env, 4096);
    covey__metrics_family(&out, "covey_x_total", "counter", "What x does.");
    covey__metrics_sample(&out, "covey_x_total", "outcome=\"ok\"", UINT64_MAX);
    covey__metrics_sample(&out, "covey_x_total", NULL, 0);
    assert_int_equal(out.status, COVEY_OK);
    assert_string_equal(out.data, "# HELP covey_x_total What x does.\n"
                                  "# TYPE covey_x_total counter\n"
                                  "covey_x_total{outcome=\"ok\"} 18446744073709551615\n"
                                  "covey_x_total 0\n");
    covey__buffer_free(&out);
}

/* Buckets are cumulative, their bounds are inclusive, and the last takes the rest. */
static void test_histogram(void **state) {
    (void)state;
    covey__histogram histogram = {0};
    covey__buffer out;
    covey__env_init(&env);
    covey__buffer_init(&out, &env, 8192);
    static const int64_t samples[] = {-5, 0, 1000, 1001, 2000, 8192000, 8192001, 60000000};
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        covey__histogram_add_us(&histogram, samples[i]);
    covey__metrics_histogram(&out, "covey_t_seconds", "Time.", &histogram);
    assert_int_equal(out.status, COVEY_OK);
    static const char *const wanted[] = {
        "# TYPE covey_t_seconds histogram\n",
        "covey_t_seconds_bucket{le=\"0.001\"} 3\n",
        "covey_t_seconds_bucket{le=\"0.002\"} 5\n",
        "covey_t_seconds_bucket{le=\"1.024\"} 5\n",
        "covey_t_seconds_bucket{le=\"4.096\"} 5\n",
        "covey_t_seconds_bucket{le=\"8.192\"} 6\n",
        "covey_t_seconds_bucket{le=\"+Inf\"} 8\n",
        "covey_t_seconds_sum 76.388002\n",
        "covey_t_seconds_count 8\n",
    };
    const char *from = out.data;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        from = strstr(from, wanted[i]); /* in this order */
        if (!from) fail_msg("no %s in\n%s", wanted[i], out.data);
    }
    covey__buffer_free(&out);
}

/* A buffer that is too small says so once, at the end. */
static void test_bounded(void **state) {
    (void)state;
    covey__histogram histogram = {0};
    covey__buffer out;
    covey__env_init(&env);
    covey__buffer_init(&out, &env, 100);
    covey__metrics_histogram(&out, "covey_t_seconds", "Time.", &histogram);
    assert_int_equal(out.status, COVEY_ERROR_LIMIT);
    covey__buffer_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counter), cmocka_unit_test(test_counter_from_threads),
        cmocka_unit_test(test_text),    cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
