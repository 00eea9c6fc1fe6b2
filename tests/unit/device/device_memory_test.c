/* Memory and cores of machines, containers and limits, played by files. */
#include "device_root.h"

#define MEMINFO "MemTotal:       16777216 kB\nMemFree:  100 kB\nMemAvailable:    8388608 kB\n"
#define GIB     (INT64_C(1) << 30)

static void of_the_machine(void **state) {
    root_put(*state, "/proc/meminfo", MEMINFO);
    covey_device_facts facts = root_read(*state, NULL);
    assert_int_equal(facts.memory_total_bytes, 16 * GIB);
    assert_int_equal(facts.memory_available_bytes, 8 * GIB);
}

static void absent_or_odd_is_unknown(void **state) {
    covey_device_facts facts = root_read(*state, NULL);
    assert_int_equal(facts.memory_total_bytes, -1);
    assert_int_equal(facts.memory_available_bytes, -1);
    assert_int_equal(facts.core_count, -1);
    root_put(*state, "/proc/meminfo", "MemTotal: many\nMemAvailable: -5 kB\n");
    facts = root_read(*state, NULL);
    assert_int_equal(facts.memory_available_bytes, -1);
}

static void of_a_version_2_group_and_its_parents(void **state) {
    root_put(*state, "/proc/meminfo", MEMINFO);
    root_put(*state, "/proc/self/cgroup", "0::/app/inner\n");
    root_put(*state, "/sys/fs/cgroup/app/inner/memory.max", "max\n");
    root_put(*state, "/sys/fs/cgroup/app/memory.max", "4294967296\n");
    root_put(*state, "/sys/fs/cgroup/app/memory.current", "3221225472\n");
    root_put(*state, "/sys/fs/cgroup/app/memory.stat", "anon 5\ninactive_file 1073741824\nx 1\n");
    covey_device_facts facts = root_read(*state, NULL);
    assert_int_equal(facts.memory_total_bytes, 4 * GIB);
    assert_int_equal(facts.memory_available_bytes, 2 * GIB); /* cache can be given back */
}

static void a_limit_above_the_machine_changes_nothing(void **state) {
    root_put(*state, "/proc/meminfo", MEMINFO);
    root_put(*state, "/proc/self/cgroup", "0::/\n");
    root_put(*state, "/sys/fs/cgroup/memory.max", "99999999999999\n");
    assert_int_equal(root_read(*state, NULL).memory_total_bytes, 16 * GIB);
}

static void of_a_version_1_group(void **state) {
    root_put(*state, "/proc/meminfo", MEMINFO);
    root_put(*state, "/proc/self/cgroup", "9:cpu,cpuacct:/x\n5:memory:/docker/abc\n");
    /* In a container the path is the host's; the mount's top is this group. */
    root_put(*state, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n");
    root_put(*state, "/sys/fs/cgroup/memory/memory.usage_in_bytes", "2147483648\n");
    covey_device_facts facts = root_read(*state, NULL);
    assert_int_equal(facts.memory_total_bytes, GIB);
    assert_int_equal(facts.memory_available_bytes, 0);
}

static void no_limit_in_version_1_is_a_huge_number(void **state) {
    root_put(*state, "/proc/meminfo", MEMINFO);
    root_put(*state, "/proc/self/cgroup", "5:memory:/\n");
    root_put(*state, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(root_read(*state, NULL).memory_total_bytes, 16 * GIB);
}

static void a_path_that_climbs_is_not_followed(void **state) {
    root_put(*state, "/proc/meminfo", MEMINFO);
    root_put(*state, "/proc/self/cgroup", "0::/../../secret\n");
    root_put(*state, "/secret/memory.max", "1\n");
    root_put(*state, "/sys/secret/memory.max", "1\n");
    assert_int_equal(root_read(*state, NULL).memory_total_bytes, 16 * GIB);
}

static void cores_and_quotas(void **state) {
    root_put(*state, "/covey/cores", "8");
    assert_int_equal(root_read(*state, NULL).core_count, 8);
    root_put(*state, "/sys/fs/cgroup/cpu.max", "max 100000\n");
    assert_int_equal(root_read(*state, NULL).core_count, 8);
    root_put(*state, "/sys/fs/cgroup/cpu.max", "250000 100000\n");
    assert_int_equal(root_read(*state, NULL).core_count, 3);
    root_put(*state, "/sys/fs/cgroup/cpu.max", "20000 100000\n");
    assert_int_equal(root_read(*state, NULL).core_count, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, root_set_up, root_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(of_the_machine),
        T(absent_or_odd_is_unknown),
        T(of_a_version_2_group_and_its_parents),
        T(a_limit_above_the_machine_changes_nothing),
        T(of_a_version_1_group),
        T(no_limit_in_version_1_is_a_huge_number),
        T(a_path_that_climbs_is_not_followed),
        T(cores_and_quotas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
