/* Batteries, chargers and heat. */
#include "device_root.h"

#define SUPPLY "/sys/class/power_supply/"
#define ZONE   "/sys/class/thermal/thermal_zone"

static void a_server_has_no_battery(void **state) {
    covey_device_facts facts = root_read(*state, NULL);
    assert_int_equal(facts.battery_percent, -1);
    assert_int_equal(facts.charging, -1);
    assert_int_equal(facts.thermal_percent, -1);
}

static void a_laptop_on_battery_and_on_mains(void **state) {
    root_put(*state, SUPPLY "BAT0/type", "Battery\n");
    root_put(*state, SUPPLY "BAT0/capacity", "63\n");
    root_put(*state, SUPPLY "BAT0/status", "Discharging\n");
    root_put(*state, SUPPLY "AC/type", "Mains\n");
    root_put(*state, SUPPLY "AC/online", "0\n");
    covey_device_facts facts = root_read(*state, NULL);
    assert_int_equal(facts.battery_percent, 63);
    assert_int_equal(facts.charging, 0);
    root_put(*state, SUPPLY "AC/online", "1\n");
    root_put(*state, SUPPLY "BAT0/status", "Not charging\n");
    assert_int_equal(root_read(*state, NULL).charging, 1);
    root_put(*state, SUPPLY "AC/online", "0\n");
    root_put(*state, SUPPLY "BAT0/status", "Charging\n");
    assert_int_equal(root_read(*state, NULL).charging, 1);
}

static void a_mouse_is_not_the_device(void **state) {
    root_put(*state, SUPPLY "mouse/type", "Battery\n");
    root_put(*state, SUPPLY "mouse/scope", "Device\n");
    root_put(*state, SUPPLY "mouse/capacity", "5\n");
    root_put(*state, SUPPLY "mouse/status", "Discharging\n");
    covey_device_facts facts = root_read(*state, NULL);
    assert_int_equal(facts.battery_percent, -1);
    assert_int_equal(facts.charging, -1);
}

static void odd_numbers_are_unknown(void **state) {
    root_put(*state, SUPPLY "BAT0/type", "Battery\n");
    root_put(*state, SUPPLY "BAT0/capacity", "250\n");
    assert_int_equal(root_read(*state, NULL).battery_percent, -1);
    root_put(*state, SUPPLY "BAT0/capacity", "full\n");
    assert_int_equal(root_read(*state, NULL).battery_percent, -1);
}

static void heat_is_a_share_of_the_way_to_the_critical_point(void **state) {
    root_put(*state, ZONE "0/temp", "55000\n"); /* no critical point: says nothing */
    root_put(*state, ZONE "1/temp", "70000\n");
    root_put(*state, ZONE "1/trip_point_0_type", "passive\n");
    root_put(*state, ZONE "1/trip_point_0_temp", "80000\n");
    root_put(*state, ZONE "1/trip_point_1_type", "critical\n");
    root_put(*state, ZONE "1/trip_point_1_temp", "100000\n");
    assert_int_equal(root_read(*state, NULL).thermal_percent, 50);
    root_put(*state, ZONE "1/temp", "25000\n");
    assert_int_equal(root_read(*state, NULL).thermal_percent, 0);
    root_put(*state, ZONE "1/temp", "105000\n");
    assert_int_equal(root_read(*state, NULL).thermal_percent, 100);
    root_put(*state, ZONE "1/temp", "-273000\n");
    assert_int_equal(root_read(*state, NULL).thermal_percent, -1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, root_set_up, root_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(a_server_has_no_battery),
        T(a_laptop_on_battery_and_on_mains),
        T(a_mouse_is_not_the_device),
        T(odd_numbers_are_unknown),
        T(heat_is_a_share_of_the_way_to_the_critical_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
