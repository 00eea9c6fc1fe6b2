/* Updates by patches: in few bytes where all is well, and where it is not, by another way, which is
 * said, and never beyond the rollout's budget. */
#include "agent_patches.h"

#include "agent/agent_ways.h"

#define MODEL_BYTES 800000

static const patches_edge direct = {"builtin", "1.0.0", "v110", "1.1.0", NULL, false};

static void test_a_patch_takes_few_bytes(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = patches_device(&c, MODEL_BYTES, 0);
    uint64_t patch = patches_publish(&c, "1.1.0", &direct, 1);
    double_publish(&c, "v110", "1.1.0");
    uint64_t before = c.blob_bytes;
    covey_agent_outcome outcome = double_steps(&c, agent, 200);
    if (outcome.state != COVEY_AGENT_IDLE) fail_msg("%s", outcome.message);
    double_assert_serves(agent, "1.1.0");
    /* The documents are a few kilobytes; every chunk differs, so without the patch it were all. */
    assert_true(c.blob_bytes - before < patch + 10000);
    assert_true(patch < MODEL_BYTES / 10);
    assert_true(double_reported(&c, "plan ok assistant@1.1.0"));
    assert_true(double_reported(&c, "of 1 patch, 0 of chunks"));
    assert_false(double_reported(&c, "fell back"));
    double_finish(&c, agent);
}

static void test_two_versions_back_by_a_chain(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = patches_device(&c, MODEL_BYTES, 0);
    char path[400];
    patches_ensemble(&c, "v120", "1.2.0", MODEL_BYTES, 2, 0);
    const patches_edge edges[] = {{"v110", "1.1.0", "v120", "1.2.0", NULL, false}, direct};
    uint64_t patches = patches_publish(&c, "1.2.0", edges, 2);
    double_publish(&c, "v120", "1.2.0");
    uint64_t before = c.blob_bytes;
    double_steps(&c, agent, 200);
    double_assert_serves(agent, "1.2.0");
    assert_true(c.blob_bytes - before < patches + 10000);
    assert_true(double_reported(&c, "of 2 patches"));
    snprintf(path, sizeof path, "%s/update", agent->state_dir);
    assert_false(covey__file_exists(path)); /* what lay between is gone too */
    double_finish(&c, agent);
}

/* What rauc-hawkbit-updater did silently (#223) is said here, to the operator and in the log. */
static void test_a_patch_that_is_gone_is_said(void **unused) {
    (void)unused;
    control_double c;
    patches_edge lost = direct;
    covey_agent *agent = patches_device(&c, MODEL_BYTES, 0);
    lost.lost = true;
    patches_publish(&c, "1.1.0", &lost, 1);
    double_publish(&c, "v110", "1.1.0");
    for (int i = 0; i < 6; i++) double_steps(&c, agent, 200);
    double_assert_serves(agent, "1.1.0");
    if (!double_reported(&c, "fetch failed assistant@1.1.0: fell back: patch of model.gguf from "
                             "1.0.0"))
        fail_msg("it was not reported");
    assert_true(double_reported(&c, "bytes more"));
    double_finish(&c, agent);
}

static void test_a_patch_for_another_base_is_given_up_at_once(void **unused) {
    (void)unused;
    control_double c;
    patches_edge wrong = direct;
    covey_agent *agent = patches_device(&c, MODEL_BYTES, 0);
    patches_ensemble(&c, "other", "1.0.1", MODEL_BYTES, 7, 0);
    wrong.instead = "other";
    patches_publish(&c, "1.1.0", &wrong, 1);
    double_publish(&c, "v110", "1.1.0");
    covey_agent_outcome outcome = double_steps(&c, agent, 200);
    assert_int_equal(outcome.state, COVEY_AGENT_IDLE);
    double_assert_serves(agent, "1.1.0");
    assert_true(double_reported(&c, "fell back: patch of model.gguf from 1.0.0"));
    double_finish(&c, agent);
}

/* The estimate holds, the patch fails, and what chunks would take is over the budget. */
static void test_a_fallback_over_the_budget_waits(void **unused) {
    (void)unused;
    control_double c;
    patches_edge lost = direct;
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_agent *agent = patches_device(&c, MODEL_BYTES, 0);
    lost.lost = true;
    uint64_t patch = patches_publish(&c, "1.1.0", &lost, 1);
    double_publish(&c, "v110", "1.1.0");
    patches_budget(&c, patch + 20000);
    for (int i = 0; i < 6; i++) outcome = double_steps(&c, agent, 200);
    assert_int_equal(outcome.state, COVEY_AGENT_WAITING);
    if (!strstr(outcome.message, "over the rollout's budget")) fail_msg("%s", outcome.message);
    double_assert_serves(agent, "1.0.0");
    assert_true(c.blob_bytes < patch + 20000);
    assert_true(double_reported(&c, "fell back"));
    assert_true(double_reported(&c, "fetch waiting assistant@1.1.0: fetch: over the rollout's"));
    /* The operator raises it: the update goes on by itself. */
    patches_budget(&c, 2 * MODEL_BYTES);
    for (int i = 0; i < 4; i++) double_steps(&c, agent, 200);
    double_assert_serves(agent, "1.1.0");
    double_finish(&c, agent);
}

static void test_a_plan_over_the_budget_fetches_nothing(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = patches_device(&c, MODEL_BYTES, 0);
    double_publish(&c, "v110", "1.1.0");
    patches_budget(&c, 20000);
    covey_agent_outcome outcome = double_steps(&c, agent, 200);
    assert_int_equal(outcome.state, COVEY_AGENT_WAITING);
    if (!strstr(outcome.message, "over the rollout's budget")) fail_msg("%s", outcome.message);
    assert_true(double_reported(&c, "plan waiting assistant@1.1.0: over the rollout's budget"));
    assert_true(c.blob_bytes < 20000);
    /* A smaller way is there later: it is taken. */
    patches_publish(&c, "1.1.0", &direct, 1);
    repo_publish(&c.repository);
    for (int i = 0; i < 4; i++) double_steps(&c, agent, 200);
    double_assert_serves(agent, "1.1.0");
    assert_true(c.blob_bytes < 40000);
    double_finish(&c, agent);
}

/* A patch of some chunks is cut off in its middle, in another process each time. */
static void test_a_patch_goes_on_where_it_was_cut(void **unused) {
    (void)unused;
    const size_t size = 5u << 20, fresh = 3u << 20;
    uint64_t whole = 0;
    for (int cut = 0; cut < 5; cut += 2) {
        control_double c;
        covey_agent *agent = patches_device(&c, size, fresh);
        uint64_t patch = patches_publish(&c, "1.1.0", &direct, 1);
        double_publish(&c, "v110", "1.1.0");
        assert_true(patch > fresh && patch < fresh + (1u << 20));
        c.cut_at_request = cut ? 4 + cut : 0;
        double_steps(&c, agent, 400);
        if (cut) {
            covey_agent_close(agent);
            agent = double_agent(&c, true);
            for (int i = 0; i < 3; i++) double_steps(&c, agent, 400);
        }
        double_assert_serves(agent, "1.1.0");
        assert_false(double_reported(&c, "fell back"));
        if (cut == 0) whole = c.blob_bytes;
        /* A frame at the cut, in chunks of 1 MiB, comes twice at most. */
        if (c.blob_bytes > whole + (2u << 20))
            fail_msg("cut %d: %llu bytes, %llu without it", cut, (unsigned long long)c.blob_bytes,
                     (unsigned long long)whole);
        double_finish(&c, agent);
    }
}

/* A base that the disk changed is found before a byte of the patch is fetched. */
static void test_a_damaged_base_is_found_first(void **unused) {
    (void)unused;
    control_double c;
    char path[400];
    size_t size;
    covey_agent *agent = patches_device(&c, MODEL_BYTES, 0);
    patches_publish(&c, "1.1.0", &direct, 1);
    double_publish(&c, "v110", "1.1.0");
    double_steps(&c, agent, 4); /* far enough for the index of what is here */
    snprintf(path, sizeof path, "%s/model.gguf", test_path(&c.folder, "builtin"));
    char *model = test_read(path, &size);
    model[size / 2] ^= 1;
    test_write(path, model, size);
    free(model);
    for (int i = 0; i < 3; i++) double_steps(&c, agent, 200);
    double_assert_serves(agent, "1.1.0");
    assert_true(double_reported(&c, "fell back: patch of model.gguf from 1.0.0"));
    assert_true(double_reported(&c, "the base"));
    double_finish(&c, agent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_patch_takes_few_bytes),
        cmocka_unit_test(test_two_versions_back_by_a_chain),
        cmocka_unit_test(test_a_patch_that_is_gone_is_said),
        cmocka_unit_test(test_a_patch_for_another_base_is_given_up_at_once),
        cmocka_unit_test(test_a_fallback_over_the_budget_waits),
        cmocka_unit_test(test_a_plan_over_the_budget_fetches_nothing),
        cmocka_unit_test(test_a_patch_goes_on_where_it_was_cut),
        cmocka_unit_test(test_a_damaged_base_is_found_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
