/* The kind of network by the default route. */
#include "device_root.h"

#define HEADER                                                                                     \
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"

static void without_files_it_is_unknown(void **state) {
    assert_int_equal(root_read(*state, NULL).network, COVEY_NETWORK_UNKNOWN);
}

static void without_a_route_out_there_is_none(void **state) {
    root_put(*state, "/proc/net/route",
             HEADER "eth0\t0000A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n");
    assert_int_equal(root_read(*state, NULL).network, COVEY_NETWORK_NONE);
}

static void what_a_link_costs_is_not_guessed(void **state) {
    root_put(*state, "/proc/net/route",
             HEADER "wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n");
    assert_int_equal(root_read(*state, NULL).network, COVEY_NETWORK_UNKNOWN);
}

static void a_modem_says_so_by_its_name(void **state) {
    root_put(*state, "/proc/net/route",
             HEADER "wwan0\t00000000\t0100A8C0\t0003\t0\t0\t700\t00000000\t0\t0\t0\n");
    assert_int_equal(root_read(*state, NULL).network, COVEY_NETWORK_METERED);
    /* The route with the lower metric is the one in use. */
    root_put(*state, "/proc/net/route",
             HEADER "wwan0\t00000000\t0100A8C0\t0003\t0\t0\t700\t00000000\t0\t0\t0\n"
                    "eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n");
    assert_int_equal(root_read(*state, NULL).network, COVEY_NETWORK_UNKNOWN);
}

static void a_route_of_version_6_counts(void **state) {
    root_put(*state, "/proc/net/route", HEADER);
    root_put(*state, "/proc/net/ipv6_route",
             "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
             "00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n"
             "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
             "fe800000000000000000000000000001 00000400 00000003 00000000 00450003   rmnet0\n");
    assert_int_equal(root_read(*state, NULL).network, COVEY_NETWORK_METERED);
}

static void what_the_app_pushed_wins(void **state) {
    covey_signals pushed = COVEY_SIGNALS_INIT;
    root_put(*state, "/proc/net/route",
             HEADER "wwan0\t00000000\t0100A8C0\t0003\t0\t0\t700\t00000000\t0\t0\t0\n");
    pushed.network = COVEY_NETWORK_UNMETERED;
    assert_int_equal(root_read(*state, &pushed).network, COVEY_NETWORK_UNMETERED);
}

#define T(name) cmocka_unit_test_setup_teardown(name, root_set_up, root_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(without_files_it_is_unknown),      T(without_a_route_out_there_is_none),
        T(what_a_link_costs_is_not_guessed), T(a_modem_says_so_by_its_name),
        T(a_route_of_version_6_counts),      T(what_the_app_pushed_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
