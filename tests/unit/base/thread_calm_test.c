/* Background priority: taken, given back, and not taken where it could not be given back. Linux
 * alone has it; elsewhere the calls do nothing. */
#include "support/support.h"

#include "base/thread_calm.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int disk_class(void) {
    return (int)syscall(SYS_ioprio_get, 1, 0) >> 13;
}

static int nice_value(void) {
    return getpriority(PRIO_PROCESS, 0);
}

typedef struct seen {
    int nice_value, disk_class;
} seen;

static void *look(void *user) {
    seen *out = user;
    *out = (seen){nice_value(), disk_class()};
    return NULL;
}

static void a_thread_gets_back_what_it_had(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    int nice_before = nice_value(), disk_before = disk_class();
    covey__calm outer, inner;
    covey__calm_enter(&env, false, &outer);
    assert_int_equal(disk_class(), 3);
    if (outer.processor) assert_int_equal(nice_value(), COVEY__CALM_NICE);
    covey__calm_enter(&env, false, &inner); /* twice is once */
    covey__calm_leave(&inner);
    assert_int_equal(disk_class(), 3);
    if (outer.processor) assert_int_equal(nice_value(), COVEY__CALM_NICE);
    covey__calm_leave(&outer);
    assert_int_equal(nice_value(), nice_before);
    assert_true(disk_class() != 3 || disk_before == 3);
}

/* Others of the process are not touched. */
static void it_is_the_calling_thread_alone(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey__calm calm;
    pthread_t thread;
    seen other;
    covey__calm_enter(&env, false, &calm);
    covey__calm_leave(&calm);
    assert_int_equal(pthread_create(&thread, NULL, look, &other), 0);
    pthread_join(thread, NULL);
    assert_int_equal(other.nice_value, nice_value());
    assert_int_equal(other.disk_class, disk_class());
}

static void a_fault_changes_nothing(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    test.point = "priority";
    test.point_fails = 1;
    covey__calm calm;
    int before = nice_value();
    covey__calm_enter(&test.env, true, &calm);
    assert_false(calm.disk);
    assert_false(calm.processor);
    assert_int_equal(nice_value(), before);
    covey__calm_leave(&calm);
}

/* In a process without rights: 0, or the line that failed. */
static int as_nobody(void) {
    struct rlimit none = {0, 0};
    covey__env env;
    covey__env_init(&env);
    covey__calm calm;
    if (setrlimit(RLIMIT_NICE, &none) != 0) return __LINE__;
    if (geteuid() == 0 && setuid(65534) != 0) return __LINE__;
    int before = nice_value();
    if (before >= COVEY__CALM_NICE) return 0;
    covey__calm_enter(&env, false, &calm);
    if (calm.processor || nice_value() != before) return __LINE__;
    if (disk_class() != 3) return __LINE__;
    covey__calm_leave(&calm);
    if (disk_class() == 3) return __LINE__;
    covey__calm_enter(&env, true, &calm); /* a thread of one's own may be calm for good */
    if (nice_value() != COVEY__CALM_NICE || disk_class() != 3) return __LINE__;
    return 0;
}

static void a_lent_thread_keeps_what_could_not_be_restored(void **state) {
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(as_nobody() == 0 ? 0 : 1);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_gets_back_what_it_had),
        cmocka_unit_test(it_is_the_calling_thread_alone),
        cmocka_unit_test(a_fault_changes_nothing),
        cmocka_unit_test(a_lent_thread_keeps_what_could_not_be_restored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
