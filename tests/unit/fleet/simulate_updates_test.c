/* The simulation against what can be said of it with a pencil: curves of adoption, mixtures,
 * queues, the share of devices that skip releases. Bounds are four standard deviations or a slot of
 * time, whichever is more. */
#include "unit/fleet/simulate_fleet.h"

#include "fleet/simulate_updates.h"

#include <math.h>

#define DEVICES 200000
/* A device is served in no time, all at once. */
#define INSTANT                                                                                    \
    "\"links\": \"100:100000\", \"stages\": \"100\", \"jitter_days\": 0, \"document_bytes\": 0, "
#define DEVICES_JSON "\"devices\": 200000, "

static covey__sim_result run_on(const covey__sim_scenario *scenario, const char *policy) {
    covey__env env;
    covey__sim_result result;
    covey_error error = {0};
    covey__env_init(&env);
    if (covey__simulate_updates(&env, scenario, policy_named(policy), &result, &error) != COVEY_OK)
        fail_msg("%s", error.message);
    return result;
}

static covey__sim_result run(const char *json, const char *policy) {
    covey__sim_scenario scenario = scenario_of(json);
    return run_on(&scenario, policy);
}

static void expect_near(const char *what, double found, double expected, double within) {
    if (fabs(found - expected) > within)
        fail_msg("%s: expected %g within %g, found %g", what, expected, within, found);
}

static const double shares[COVEY__SIM_ADOPTIONS] = {0.50, 0.90, 0.99};

/* The day is off by the deviation of the share, over the density there. */
static double deviation(double share, double density) {
    return 4 * sqrt(share * (1 - share) / DEVICES) / density + 0.02;
}

/* One group: 1 - exp(-t / mean). */
static void one_group(void **state) {
    (void)state;
    covey__sim_result r = run("{" DEVICES_JSON INSTANT "\"presence\": \"100:2\", \"releases\": 3, "
                              "\"every_days\": 60, \"after_days\": 60}",
                              "full");
    for (int release = 0; release < 3; release++) {
        expect_near("published", r.releases[release].published_day, 60 * (release + 1), 1e-3);
        for (int i = 0; i < COVEY__SIM_ADOPTIONS; i++) {
            expect_near("days", r.releases[release].days_to[i], -2 * log(1 - shares[i]),
                        deviation(shares[i], (1 - shares[i]) / 2));
        }
        assert_true(r.releases[release].percent_at_end > 99.99);
    }
    assert_true(r.updates >= 3 * DEVICES - 3 && r.updates <= 3 * DEVICES);
}

static double mixture(double days) {
    return 1 - 0.7 * exp(-days) - 0.2 * exp(-days / 7) - 0.1 * exp(-days / 40);
}

/* Shares of frequent and rare devices: a curve with a long tail. */
static void a_long_tail(void **state) {
    (void)state;
    covey__sim_result r = run("{" DEVICES_JSON INSTANT "\"presence\": \"70:1,20:7,10:40\", "
                              "\"releases\": 1, \"after_days\": 300}",
                              "full");
    for (int i = 0; i < COVEY__SIM_ADOPTIONS; i++) {
        double low = 0, high = 300;
        for (int step = 0; step < 60; step++) {
            double middle = (low + high) / 2;
            if (mixture(middle) < shares[i])
                low = middle;
            else
                high = middle;
        }
        double density = (mixture(low + 0.01) - mixture(low - 0.01)) / 0.02;
        expect_near("days", r.days_to[i], low, deviation(shares[i], density));
    }
}

/* A tenth first, the rest three days later. */
static void stages(void **state) {
    (void)state;
    covey__sim_result r =
        run("{" DEVICES_JSON "\"links\": \"100:100000\", \"presence\": \"100:0.01\", "
            "\"stages\": \"10:3,100\", \"releases\": 1}",
            "full");
    /* 3 days, and a share of 4/9 of those that were let in then */
    expect_near("half", r.days_to[0], 3 + 0.01 * -log(1 - 4.0 / 9), 0.02);
    covey__sim_result early =
        run("{" DEVICES_JSON "\"links\": \"100:100000\", \"presence\": \"100:0.01\", "
            "\"stages\": \"60:3,100\", \"releases\": 1}",
            "full");
    expect_near("half", early.days_to[0], 0.01 * -log(1 - 5.0 / 6), 0.02);
    expect_near("nine tenths", early.days_to[1], 3 + 0.01 * -log(1 - 3.0 / 4), 0.02);
}

/* The second release comes ten days after the first, which a share of 1/e has not then. In the next
 * five days these can go to the first alone, from which a patch leads on; after that to the second
 * at once. */
static double patched_first(double days) {
    double x = days / 10, early = 1 - exp(-x) * (1 + x);
    double late = exp(-0.5) - exp(-x) + (1 - exp(-0.5)) - 0.5 * exp(-x);
    return (1 - exp(-1)) * (1 - exp(-x)) + exp(-1) * (days <= 5 ? early : late);
}

static void devices_with_a_patch_first(void **state) {
    (void)state;
    const char *json = "{" DEVICES_JSON INSTANT "\"presence\": \"100:10\", \"releases\": 2, "
                       "\"every_days\": 10, \"after_days\": 200, \"patched_first_days\": 5, "
                       "\"variants\": [{\"components\": [{\"bytes\": 1000, \"patch\": 0.2}]}]}";
    covey__sim_result r = run(json, "last");
    for (int i = 0; i < COVEY__SIM_ADOPTIONS; i++) {
        double t = 0;
        while (patched_first(t) < shares[i]) t += 1e-3;
        double density = (patched_first(t + 0.01) - patched_first(t - 0.01)) / 0.02;
        expect_near("days", r.releases[1].days_to[i], t, deviation(shares[i], density));
    }
}

/* Three windows of a minute: the third time online, so a sum of three exponential times. */
static void windows(void **state) {
    (void)state;
    covey__sim_result r = run("{" DEVICES_JSON "\"links\": \"100:8\", \"window_minutes\": 1, "
                              "\"presence\": \"100:2\", \"stages\": \"100\", \"releases\": 1, "
                              "\"after_days\": 100, \"document_bytes\": 0, \"variants\": "
                              "[{\"components\": [{\"bytes\": 150000000}]}]}",
                              "full"); /* 60 MB a window */
    for (int i = 0; i < COVEY__SIM_ADOPTIONS; i++) {
        double x = 0; /* in means: 1 - exp(-x) (1 + x + x^2 / 2) */
        while (1 - exp(-x) * (1 + x + x * x / 2) < shares[i]) x += 1e-4;
        expect_near("days", r.days_to[i], 2 * x, deviation(shares[i], exp(-x) * x * x / 2 / 2));
    }
    expect_near("bytes", (double)r.bytes_served, 150e6 * DEVICES, 1e9);
}

/* All ask in minutes; the line takes ten days for them, at an even pace. */
static void a_narrow_line(void **state) {
    (void)state;
    covey__sim_result r = run("{" DEVICES_JSON INSTANT "\"presence\": \"100:0.01\", "
                              "\"releases\": 1, \"server_mbit\": 200, \"after_days\": 20, "
                              "\"variants\": [{\"components\": [{\"bytes\": 108000000}]}]}",
                              "full"); /* 2e5 of 108 MB at 25 MB/s: 10 days */
    for (int i = 0; i < COVEY__SIM_ADOPTIONS; i++)
        expect_near("days", r.days_to[i], 10 * shares[i], 0.05);
    expect_near("peak", r.peak_mbit, 200, 2);
}

/* With a mean as long as the time between releases a device skips each with a chance of 1/e. By
 * the number of releases between: who last updated k releases ago, or never did. */
static void skipped_releases(void **state) {
    (void)state;
    enum { RELEASES = 12 };
    const double p = 1 - exp(-1), chunks = 900, patch[] = {0, 200, 300};
    const char *json = "{" DEVICES_JSON INSTANT "\"presence\": \"100:10\", \"every_days\": 10, "
                       "\"after_days\": 10, \"patch_failure_percent\": 0, \"variants\": "
                       "[{\"components\": [{\"bytes\": 1000, \"stored\": 0.9, "
                       "\"patch\": [0.2, 0.3]}]}]}";
    double updates = 0, bytes[3] = {0}, patched[3] = {0};
    for (int release = 1; release <= RELEASES; release++) {
        for (int back = 1; back <= release; back++) {
            double began = release == back ? 1 : p; /* at the release before, or at the start */
            double share = began * pow(1 - p, back - 1) * p * DEVICES;
            updates += share;
            for (int depth = 0; depth <= 2; depth++) {
                bytes[depth] += share * (back <= depth ? patch[back] : chunks);
                patched[depth] += back <= depth ? share : 0;
            }
        }
    }
    static const char *const policies[] = {"chunks", "last", "last-two"};
    for (int depth = 0; depth <= 2; depth++) {
        covey__sim_result r = run(json, policies[depth]);
        expect_near("updates", (double)r.updates, updates, 4 * sqrt(updates));
        expect_near("bytes", (double)r.bytes_served, bytes[depth], 4 * sqrt(updates) * chunks);
        expect_near("patched", (double)r.by_patch, patched[depth], 4 * sqrt(updates));
        expect_near("mean", r.mean, bytes[depth] / updates, 2);
        assert_true(r.p50 == (depth == 0 ? chunks : 200) && r.p95 == chunks);
    }
}

/* One patch in ten fails; a chain when one of its two does. */
static void failures_fall_back(void **state) {
    (void)state;
    const char *json = "{" DEVICES_JSON INSTANT "\"presence\": \"100:10\", \"every_days\": 10, "
                       "\"patch_failure_percent\": 10, \"variants\": [{\"components\": "
                       "[{\"bytes\": 1000, \"patch\": 0.1, \"patch_growth\": 3}]}]}";
    covey__sim_result r = run(json, "last-chain");
    double one = (double)(r.by_patch - r.by_chain) * 0.1, two = (double)r.by_chain * 0.19;
    assert_true(r.by_chain > DEVICES / 2);
    expect_near("fallbacks", (double)r.fallbacks, one + two, 4 * sqrt(one + two));
    assert_int_equal(r.bytes_fallback, r.fallbacks * 1000);
    uint64_t rest = r.updates - r.by_patch;
    assert_int_equal(r.bytes_served,
                     (r.by_patch + r.by_chain) * 100 + rest * 1000 + r.bytes_fallback);
}

/* It takes four windows, a day or so each, and the next release comes after two days. */
static void a_newer_release_overtakes(void **state) {
    (void)state;
    covey__sim_result r =
        run("{\"devices\": 5000, \"links\": \"100:8\", \"window_minutes\": 1, "
            "\"presence\": \"100:1\", \"stages\": \"100\", \"releases\": 20, \"every_days\": 2, "
            "\"jitter_days\": 0, \"document_bytes\": 0, \"variants\": "
            "[{\"components\": [{\"bytes\": 200000000}]}]}",
            "full");
    assert_true(r.bytes_abandoned > 0);
    /* Whatever was served belongs to a whole update, was given up, or is still under way. */
    uint64_t kept = r.bytes_served - r.bytes_abandoned;
    assert_true(kept >= r.updates * 200000000);
    assert_true(kept <= (r.updates + 5000) * 200000000);
}

static void variants_and_components_add_up(void **state) {
    (void)state;
    covey__sim_result r =
        run("{\"devices\": 100000, " INSTANT "\"presence\": \"100:0.5\", \"releases\": 2, "
            "\"variants\": [{\"percent\": 25, \"components\": [{\"bytes\": 1000}, "
            "{\"bytes\": 500, \"changes_every\": 2}]}, "
            "{\"percent\": 75, \"components\": [{\"bytes\": 100}]}]}",
            "full");
    assert_int_equal(r.updates, 200000);
    /* release 1: 1,000 or 100; release 2: 1,500 or 100 */
    double expected = 25000 * 2500.0 + 75000 * 200.0;
    expect_near("bytes", (double)r.bytes_served, expected, 4 * sqrt(1e5 * 0.25 * 0.75) * 2300);
}

static void a_seed_is_a_result(void **state) {
    (void)state;
    covey__sim_scenario scenario = scenario_of("{\"devices\": 20000, \"server_mbit\": 20000}");
    covey__sim_result first = run_on(&scenario, "last-two-chain");
    covey__sim_result again = run_on(&scenario, "last-two-chain");
    assert_memory_equal(&first, &again, sizeof(first));
    scenario.seed = 2;
    again = run_on(&scenario, "last-two-chain");
    assert_int_not_equal(first.bytes_served, again.bytes_served);
}

static covey_status simulate(const covey__env *env, void *user, covey_error *error) {
    covey__sim_result result;
    return covey__simulate_updates(env, user, policy_named("last"), &result, error);
}

static void memory_that_runs_out(void **state) {
    (void)state;
    covey__sim_scenario scenario = scenario_of("{\"devices\": 100}");
    assert_int_equal(test_fail_each_allocation(simulate, &scenario), 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_group),
        cmocka_unit_test(a_long_tail),
        cmocka_unit_test(stages),
        cmocka_unit_test(devices_with_a_patch_first),
        cmocka_unit_test(windows),
        cmocka_unit_test(a_narrow_line),
        cmocka_unit_test(skipped_releases),
        cmocka_unit_test(failures_fall_back),
        cmocka_unit_test(a_newer_release_overtakes),
        cmocka_unit_test(variants_and_components_add_up),
        cmocka_unit_test(a_seed_is_a_result),
        cmocka_unit_test(memory_that_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
