/* What each pair of releases weighs, held against sums made by hand. */
#include "unit/fleet/simulate_fleet.h"

#include "fleet/simulate_ways.h"

/* 1,000 bytes, of which 900 as stored chunks; half of them are here from one release back. */
#define COMPONENT                                                                                  \
    "\"bytes\": 1000, \"stored\": 0.9, \"chunks\": [0.5, 1], \"patch\": [0.2, 0.3], "              \
    "\"patch_growth\": 2"
#define ONE "{\"releases\": 6, \"variants\": [{\"components\": [{" COMPONENT "}]}]}"

static void expect(const char *json, const char *policy, int32_t have, int32_t target,
                   uint64_t bytes, int32_t patches) {
    covey__env env;
    covey__sim_ways ways;
    covey__env_init(&env);
    covey__sim_scenario scenario = scenario_of(json);
    assert_int_equal(covey__sim_ways_make(&env, &scenario, policy_named(policy), &ways, NULL),
                     COVEY_OK);
    const covey__sim_way *way = covey__sim_ways_get(&ways, 0, have, target);
    if (way->bytes != bytes || way->patches != patches)
        fail_msg("%s, %d to %d: %d bytes by %d patches, expected %d by %d", policy, have, target,
                 (int)way->bytes, way->patches, (int)bytes, patches);
    covey__sim_ways_free(&ways);
}

static void by_policy(void **state) {
    (void)state;
    expect(ONE, "full", 3, 4, 900, 0);
    expect(ONE, "full", 1, 4, 900, 0);
    expect(ONE, "chunks", 3, 4, 450, 0);
    expect(ONE, "chunks", 2, 4, 900, 0);
    expect(ONE, "last", 3, 4, 200, 1);
    expect(ONE, "last", 2, 4, 900, 0);
    expect(ONE, "last-chain", 2, 4, 400, 2);
    expect(ONE, "last-chain", 1, 4, 900, 0);
    expect(ONE, "last-two", 2, 4, 300, 1);
    expect(ONE, "last-two", 1, 4, 900, 0);
    expect(ONE, "last-two-chain", 2, 4, 300, 1);
    expect(ONE, "last-two-chain", 1, 4, 500, 2); /* over one and over two */
    expect(ONE, "last-two-chain", 0, 4, 600, 2);
    expect(ONE, "last-two-chain", 0, 5, 900, 0);
}

/* 180 bytes more and the patch would save too little against the 450 that chunks take. */
static void patches_that_save_little_are_dropped(void **state) {
    (void)state;
    covey__env env;
    covey__sim_ways ways;
    const char *json = "{\"releases\": 4, \"variants\": [{\"components\": [{\"bytes\": 1000, "
                       "\"stored\": 0.9, \"chunks\": [0.5, 1], \"patch\": [0.33, 0.33]}]}]}";
    expect(json, "last-two-chain", 3, 4, 450, 0); /* 330 is more than 70 percent of 450 */
    expect(json, "last-two-chain", 2, 4, 330, 1); /* but not of 900 */
    covey__env_init(&env);
    covey__sim_scenario scenario = scenario_of(json);
    assert_int_equal(covey__sim_ways_make(&env, &scenario, policy_named("last-two"), &ways, NULL),
                     COVEY_OK);
    assert_int_equal(ways.patches_made, 4 + 3);
    assert_int_equal(ways.patches_dropped, 4);
    assert_int_equal(ways.made_from_bytes, 7000);
    covey__sim_ways_free(&ways);
}

/* Over two releases it costs what two patches cost: not kept where devices take two in a row. */
static void a_chain_makes_the_long_patch_needless(void **state) {
    (void)state;
    covey__env env;
    covey__sim_ways ways;
    const char *json = "{\"releases\": 4, \"variants\": [{\"components\": [{\"bytes\": 1000, "
                       "\"patch\": [0.1, 0.2]}]}]}";
    expect(json, "last-two", 2, 4, 200, 1);
    expect(json, "last-two-chain", 2, 4, 200, 2);
    covey__env_init(&env);
    covey__sim_scenario scenario = scenario_of(json);
    assert_int_equal(
        covey__sim_ways_make(&env, &scenario, policy_named("last-two-chain"), &ways, NULL),
        COVEY_OK);
    assert_int_equal(ways.patches_made, 4 + 3);
    assert_int_equal(ways.patches_dropped, 3);
    covey__sim_ways_free(&ways);
}

/* It changes with releases 2, 4 and 6. */
static void what_did_not_change_costs_nothing(void **state) {
    (void)state;
    const char *json = "{\"releases\": 6, \"variants\": [{\"components\": [{" COMPONENT
                       ", \"changes_every\": 2}]}]}";
    expect(json, "full", 2, 3, 0, 0);
    expect(json, "full", 3, 4, 900, 0);
    expect(json, "last", 1, 2, 200, 1);
    expect(json, "last", 0, 2, 200, 1); /* the same bytes as release 1 has */
    expect(json, "last", 1, 3, 450, 0); /* release 3 has no patch: 2 to 3 is no change */
    expect(json, "last-two", 1, 3, 200, 1);
}

static void the_origin_keeps(void **state) {
    (void)state;
    covey__env env;
    covey__sim_ways ways;
    covey__env_init(&env);
    covey__sim_scenario scenario = scenario_of(ONE);
    scenario.keep_releases = 3;
    assert_int_equal(covey__sim_ways_make(&env, &scenario, policy_named("full"), &ways, NULL),
                     COVEY_OK);
    assert_int_equal(ways.release_bytes, 3 * 900);
    assert_int_equal(ways.patch_bytes, 0);
    covey__sim_ways_free(&ways);
    assert_int_equal(covey__sim_ways_make(&env, &scenario, policy_named("last"), &ways, NULL),
                     COVEY_OK);
    assert_int_equal(ways.release_bytes, 900 + 2 * 450);
    assert_int_equal(ways.patch_bytes, 3 * 200);
    covey__sim_ways_free(&ways);
    /* Of the last three releases their own, and what leads into the two before them. */
    assert_int_equal(
        covey__sim_ways_make(&env, &scenario, policy_named("last-two-chain"), &ways, NULL),
        COVEY_OK);
    assert_int_equal(ways.patch_bytes, 5 * (200 + 300));
    covey__sim_ways_free(&ways);
}

static covey_status make(const covey__env *env, void *user, covey_error *error) {
    covey__sim_ways ways;
    covey_status status = covey__sim_ways_make(env, user, policy_named("last-two"), &ways, error);
    if (status == COVEY_OK) covey__sim_ways_free(&ways);
    return status;
}

static void memory_that_runs_out(void **state) {
    (void)state;
    covey__sim_scenario scenario =
        scenario_of("{\"variants\": [{\"percent\": 50, \"components\": [{\"bytes\": 1}]},"
                    "{\"percent\": 50, \"components\": [{\"bytes\": 1}]}]}");
    assert_int_equal(test_fail_each_allocation(make, &scenario), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_policy),
        cmocka_unit_test(patches_that_save_little_are_dropped),
        cmocka_unit_test(a_chain_makes_the_long_patch_needless),
        cmocka_unit_test(what_did_not_change_costs_nothing),
        cmocka_unit_test(the_origin_keeps),
        cmocka_unit_test(memory_that_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
