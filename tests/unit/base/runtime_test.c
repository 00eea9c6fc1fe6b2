/* The runtime: options, instruction sets, signals, trimming, and refused memory. */
#include "support/support.h"

#include "base/cpu.h"
#include "base/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void defaults(void **state) {
    (void)state;
    unsetenv("COVEY_ISA");
    covey_runtime *runtime;
    covey_error error;
    assert_int_equal(covey__runtime_new(NULL, &runtime, &error), COVEY_OK);
    assert_int_equal(covey_runtime_threads(runtime), 1);
    assert_string_equal(covey_runtime_isa(runtime), covey__isa_name(covey__cpu_best()));
    assert_int_equal(covey__runtime_isa_level(runtime), (int)covey__cpu_best());
    assert_null(covey__runtime_env(runtime)->crypto);
    assert_non_null(covey__runtime_pool(runtime));
    assert_int_equal(covey__runtime_signals(runtime).battery_percent, -1);
    covey_runtime_close(runtime);
    covey_runtime_close(NULL);
    covey_runtime_trim(NULL);
}

static covey_status open_with_isa(const char *isa, covey_runtime **runtime, covey_error *error) {
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.isa = isa;
    return covey__runtime_new(&options, runtime, error);
}

static void instruction_sets_can_be_forced(void **state) {
    (void)state;
    covey_runtime *runtime;
    covey_error error;
    for (covey__isa isa = COVEY__ISA_SCALAR; isa < COVEY__ISA_COUNT; isa++) {
        covey_status status = open_with_isa(covey__isa_name(isa), &runtime, &error);
        if (!covey__cpu_has(isa)) {
            assert_int_equal(status, COVEY_ERROR_UNSUPPORTED);
            continue;
        }
        assert_int_equal(status, COVEY_OK);
        assert_string_equal(covey_runtime_isa(runtime), covey__isa_name(isa));
        covey_runtime_close(runtime);
    }
    assert_int_equal(open_with_isa("sse9", &runtime, &error), COVEY_ERROR_INVALID_ARGUMENT);
    assert_non_null(
        strstr(error.message, "runtime: isa: found \"sse9\", but there are here: scalar"));
    for (covey__isa isa = COVEY__ISA_SCALAR; isa < COVEY__ISA_COUNT; isa++) {
        char listed[32];
        snprintf(listed, sizeof listed, " %s", covey__isa_name(isa));
        if (covey__cpu_has(isa))
            assert_non_null(strstr(error.message, listed));
        else
            assert_null(strstr(error.message, listed));
    }
    setenv("COVEY_ISA", "scalar", 1);
    assert_int_equal(open_with_isa(NULL, &runtime, &error), COVEY_OK);
    assert_string_equal(covey_runtime_isa(runtime), "scalar");
    covey_runtime_close(runtime);
    setenv("COVEY_ISA", "fast", 1);
    assert_int_equal(open_with_isa(NULL, &runtime, &error), COVEY_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "COVEY_ISA"));
    unsetenv("COVEY_ISA");
}

static void tables_are_copied(void **state) {
    (void)state;
    covey_crypto crypto;
    memset(&crypto, 0, sizeof crypto);
    crypto.size = sizeof crypto;
    crypto.user = &crypto;
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.crypto = &crypto;
    covey_runtime *runtime;
    covey_error error;
    assert_int_equal(covey__runtime_new(&options, &runtime, &error), COVEY_OK);
    const covey__env *env = covey__runtime_env(runtime);
    assert_true(env->crypto != NULL && env->crypto != &crypto && env->crypto->user == &crypto);
    assert_null(env->transport);
    covey_runtime_close(runtime);
    crypto.size = 0;
    assert_int_equal(covey__runtime_new(&options, &runtime, &error), COVEY_ERROR_INVALID_ARGUMENT);
    options.crypto = NULL;
    options.size = 0;
    assert_int_equal(covey__runtime_new(&options, &runtime, &error), COVEY_ERROR_INVALID_ARGUMENT);
}

/* A caller that was compiled when the options ended after `threads`. */
static void an_older_callers_options_are_enough(void **state) {
    (void)state;
    covey_runtime_options options;
    memset(&options, 0x55, sizeof options);
    covey_runtime_options init = COVEY_RUNTIME_OPTIONS_INIT;
    memcpy(&options, &init, offsetof(covey_runtime_options, clock));
    options.size = offsetof(covey_runtime_options, clock);
    options.threads = 2;
    covey_runtime *runtime;
    covey_error error;
    assert_int_equal(covey__runtime_new(&options, &runtime, &error), COVEY_OK);
    assert_int_equal(covey_runtime_threads(runtime), 2);
    covey_runtime_close(runtime);
}

static void signals_replace_what_they_set(void **state) {
    (void)state;
    covey_runtime *runtime;
    covey_error error;
    assert_int_equal(covey__runtime_new(NULL, &runtime, &error), COVEY_OK);
    covey_signals signals = COVEY_SIGNALS_INIT;
    signals.battery_percent = 80;
    signals.network = COVEY_NETWORK_METERED;
    assert_int_equal(covey_runtime_push_signals(runtime, &signals, &error), COVEY_OK);
    signals = (covey_signals)COVEY_SIGNALS_INIT;
    signals.battery_percent = 0;
    signals.charging = 1;
    assert_int_equal(covey_runtime_push_signals(runtime, &signals, &error), COVEY_OK);
    covey_signals kept = covey__runtime_signals(runtime);
    assert_int_equal(kept.battery_percent, 0);
    assert_int_equal(kept.charging, 1);
    assert_int_equal(kept.network, COVEY_NETWORK_METERED);
    assert_int_equal(kept.memory_available_bytes, -1);
    signals.battery_percent = 101;
    signals.charging = 0;
    assert_int_equal(covey_runtime_push_signals(runtime, &signals, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(covey__runtime_signals(runtime).charging, 1);
    covey_runtime_close(runtime);
}

static void count_trim(void *user) {
    ++*(int *)user;
}

static void trimming_calls_the_hooks(void **state) {
    (void)state;
    covey_runtime *runtime;
    covey_error error;
    assert_int_equal(covey__runtime_new(NULL, &runtime, &error), COVEY_OK);
    int first = 0, second = 0;
    covey__trim_hook a = {count_trim, &first, NULL}, b = {count_trim, &second, NULL};
    covey__runtime_trim_add(runtime, &a);
    covey__runtime_trim_add(runtime, &b);
    covey_runtime_trim(runtime);
    covey__runtime_trim_remove(runtime, &a);
    covey_runtime_trim(runtime);
    covey__runtime_trim_remove(runtime, &b);
    covey__runtime_trim_remove(runtime, &b);
    covey_runtime_trim(runtime);
    assert_int_equal(first, 1);
    assert_int_equal(second, 2);
    covey_runtime_close(runtime);
}

static covey_status open_and_close(const covey__env *env, void *user, covey_error *error) {
    (void)user;
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.allocator = &env->allocator;
    options.threads = 2;
    covey_runtime *runtime;
    covey_status status = covey__runtime_new(&options, &runtime, error);
    if (status == COVEY_OK) covey_runtime_close(runtime);
    return status;
}

static void refused_memory_leaves_nothing(void **state) {
    (void)state;
    assert_int_equal(test_fail_each_allocation(open_and_close, NULL), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(instruction_sets_can_be_forced),
        cmocka_unit_test(tables_are_copied),
        cmocka_unit_test(an_older_callers_options_are_enough),
        cmocka_unit_test(signals_replace_what_they_set),
        cmocka_unit_test(trimming_calls_the_hooks),
        cmocka_unit_test(refused_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
