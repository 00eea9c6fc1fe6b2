/* The facts put together, the class that they make, and the call that apps use on this machine. */
#include "device_root.h"

#include "base/runtime.h"
#include "device/device_file.h"

#define GIB (INT64_C(1) << 30)

static void classes_by_memory_and_instructions(void **state) {
    (void)state;
    static const struct {
        int64_t memory;
        const char *isa;
        covey_device_class expected;
    } cases[] = {
        {-1, "avx2", COVEY_CLASS_TINY},         {2 * GIB - 2, "avx2", COVEY_CLASS_TINY},
        {2 * GIB, "avx2", COVEY_CLASS_SMALL},   {8 * GIB - 2, "avx512", COVEY_CLASS_SMALL},
        {8 * GIB, "avx2", COVEY_CLASS_MEDIUM},  {24 * GIB - 2, "avx2", COVEY_CLASS_MEDIUM},
        {24 * GIB, "avx2", COVEY_CLASS_LARGE},  {24 * GIB, "scalar", COVEY_CLASS_TINY},
        {INT64_MAX, "neon", COVEY_CLASS_LARGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(covey__device_classify(cases[i].memory, cases[i].isa), cases[i].expected);
    assert_string_equal(covey_device_class_name(COVEY_CLASS_TINY), "tiny");
    assert_string_equal(covey_device_class_name(COVEY_CLASS_SMALL), "small");
    assert_string_equal(covey_device_class_name(COVEY_CLASS_MEDIUM), "medium");
    assert_string_equal(covey_device_class_name(COVEY_CLASS_LARGE), "large");
    assert_string_equal(covey_device_class_name((covey_device_class)9), "unknown");
}

static void a_phone_is_played(void **state) {
    root_put(*state, "/proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 3145728 kB\n");
    root_put(*state, "/proc/sys/kernel/osrelease", "5.15.104-android13-9\n");
    root_put(*state, "/proc/cpuinfo",
             "processor\t: 0\nHardware\t: Some \x01Silicon SM8550\nprocessor\t: 1\n");
    root_put(*state, "/covey/architecture", "aarch64");
    root_put(*state, "/covey/isa", "neon");
    root_put(*state, "/covey/cores", "8");
    covey_device_facts facts = root_read(*state, NULL);
    assert_string_equal(facts.os, "linux");
    assert_string_equal(facts.os_version, "5.15.104");
    assert_string_equal(facts.architecture, "aarch64");
    assert_string_equal(facts.isa, "neon");
    assert_null(strchr(facts.cpu, '\x01'));
    assert_non_null(strstr(facts.cpu, "Silicon SM8550"));
    assert_int_equal(facts.device_class, COVEY_CLASS_MEDIUM);
    /* Free memory moves no class. */
    covey_signals pushed = COVEY_SIGNALS_INIT;
    pushed.memory_available_bytes = 1000;
    pushed.battery_percent = 7;
    pushed.charging = 0;
    pushed.thermal_percent = 90;
    facts = root_read(*state, &pushed);
    assert_int_equal(facts.memory_available_bytes, 1000);
    assert_int_equal(facts.battery_percent, 7);
    assert_int_equal(facts.charging, 0);
    assert_int_equal(facts.thermal_percent, 90);
    assert_int_equal(facts.device_class, COVEY_CLASS_MEDIUM);
}

static void this_machine(void **state) {
    device_root *root = *state;
    covey_runtime *runtime;
    covey_error error = {0};
    covey_device_facts facts = COVEY_DEVICE_FACTS_INIT;
    unsetenv("COVEY_DEVICE_ROOT");
    assert_int_equal(covey__runtime_new(NULL, &runtime, &error), COVEY_OK);
    assert_int_equal(covey_device_read(runtime, root->folder.path, &facts, &error), COVEY_OK);
    assert_true(facts.core_count > 0);
    assert_true(facts.memory_total_bytes > 0);
    assert_true(facts.memory_available_bytes > 0);
    assert_true(facts.memory_available_bytes <= facts.memory_total_bytes);
    assert_true(facts.storage_available_bytes > 0);
    assert_true(strlen(facts.os_version) > 0 && strlen(facts.isa) > 0);
    /* Another device by the environment variable. */
    root_put(root, "/proc/meminfo", "MemTotal: 1000 kB\n");
    setenv("COVEY_DEVICE_ROOT", root->folder.path, 1);
    assert_int_equal(covey_device_read(runtime, NULL, &facts, &error), COVEY_OK);
    assert_int_equal(facts.memory_total_bytes, 1024000);
    assert_int_equal(facts.storage_available_bytes, -1);
    unsetenv("COVEY_DEVICE_ROOT");
    covey_runtime_close(runtime);
}

static void a_caller_of_an_older_header_gets_what_it_knows(void **state) {
    (void)state;
    covey_runtime *runtime;
    covey_error error = {0};
    union {
        covey_device_facts facts;
        unsigned char bytes[sizeof(covey_device_facts)];
    } room;
    memset(&room, 0xee, sizeof room);
    room.facts.size = offsetof(covey_device_facts, device_class);
    assert_int_equal(covey__runtime_new(NULL, &runtime, &error), COVEY_OK);
    assert_int_equal(covey_device_read(runtime, NULL, &room.facts, &error), COVEY_OK);
    assert_int_equal(room.bytes[offsetof(covey_device_facts, device_class)], 0xee);
    assert_int_equal(room.facts.size, offsetof(covey_device_facts, device_class));
    room.facts.size = 0;
    assert_int_equal(covey_device_read(runtime, NULL, &room.facts, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    covey_runtime_close(runtime);
}

#define T(name) cmocka_unit_test_setup_teardown(name, root_set_up, root_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_by_memory_and_instructions),
        T(a_phone_is_played),
        T(this_machine),
        cmocka_unit_test(a_caller_of_an_older_header_gets_what_it_knows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
