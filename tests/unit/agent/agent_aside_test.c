/* Downloads that ended early: kept, gone on with, used for the next release, and gone in the end.
 */
#include "agent_double.h"

#include "agent/agent_files.h"
#include "base/file_space.h"

#define MODEL_BYTES 3000000

static const char *state_file(control_double *c, const char *name) {
    char path[300];
    snprintf(path, sizeof path, "state/%s", name);
    return test_path(&c->folder, path);
}

/* A model whose first half all versions share; the built-in one has nothing of it. */
static void ensemble(control_double *c, const char *version, uint64_t seed) {
    char path[400], text[4096], hex[2][65];
    uint8_t digest[32];
    const char *tools = "[]";
    snprintf(path, sizeof path, "%s", test_path(&c->folder, version));
    assert_int_equal(mkdir(path, 0700), 0);
    uint8_t *model = malloc(MODEL_BYTES);
    uint64_t state = 77;
    for (size_t i = 0; i < MODEL_BYTES; i++) {
        if (i == MODEL_BYTES / 2) state = seed;
        model[i] = (uint8_t)test_random(&state);
    }
    covey__sha256_of(model, MODEL_BYTES, digest);
    covey__hex(digest, 32, hex[0]);
    covey__sha256_of(tools, 2, digest);
    covey__hex(digest, 32, hex[1]);
    snprintf(path, sizeof path, "%s/model.gguf", test_path(&c->folder, version));
    test_write(path, model, MODEL_BYTES);
    free(model);
    snprintf(path, sizeof path, "%s/tools.json", test_path(&c->folder, version));
    test_write(path, tools, 2);
    snprintf(text, sizeof text,
             "{\"format\":1,\"name\":\"assistant\",\"version\":\"%s\",\"variant\":\"q8_0\","
             "\"components\":["
             "{\"role\":\"model\",\"file\":\"model.gguf\",\"size\":%d,\"sha256\":\"%s\"},"
             "{\"role\":\"tools\",\"file\":\"tools.json\",\"size\":2,\"sha256\":\"%s\"}],"
             "\"needs\":{\"memory_bytes\":1000,\"engine_interface\":1,\"arithmetic_version\":1,"
             "\"app\":\"*\"}}",
             version, MODEL_BYTES, hex[0], hex[1]);
    snprintf(path, sizeof path, "%s/ensemble.json", test_path(&c->folder, version));
    test_write(path, text, strlen(text));
}

static covey_agent *device(control_double *c) {
    covey_agent *agent = double_device(c, 100000, false);
    covey_error error = {0};
    covey_agent_close(agent);
    ensemble(c, "1.5.0", 5);
    ensemble(c, "1.6.0", 6);
    agent = double_agent(c, true);
    if (covey_agent_enroll(agent, "http://fleet.test/", "cve_x", NULL, &error))
        fail_msg("%s", error.message);
    return agent;
}

/* Steps until about half of the model arrived, and the line is gone. Returns the digest. */
static void fetch_half(control_double *c, covey_agent *agent, char digest[65]) {
    for (int i = 0; c->blob_bytes < MODEL_BYTES / 2; i++) {
        covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
        assert_true(i < 200);
        assert_int_equal(covey_agent_step(agent, 0, i == 0, &outcome, NULL), COVEY_OK);
    }
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_FETCH);
    memcpy(digest, agent->state.update.digest, 65);
}

static void withdraw(control_double *c, covey_agent *agent) {
    c->target[0] = 0;
    double_steps(c, agent, 100);
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_NONE);
}

static void test_withdrawn_and_offered_again(void **unused) {
    (void)unused;
    control_double c;
    char digest[65], path[200], target[sizeof c.target];
    covey_agent *agent = device(&c);
    double_publish(&c, "1.5.0", "1.5.0");
    snprintf(target, sizeof target, "%s", c.target);
    fetch_half(&c, agent, digest);
    uint64_t before = c.blob_bytes;
    withdraw(&c, agent);
    assert_false(covey__file_exists(state_file(&c, "update")));
    snprintf(path, sizeof path, "partial/%s/model.gguf", digest);
    assert_true(covey__file_exists(state_file(&c, path)));
    /* room that was reserved for what never came went back, where the file system can */
    uint64_t taken, whole;
    assert_int_equal(covey__file_taken(agent->env, state_file(&c, path), &taken, NULL), COVEY_OK);
    assert_int_equal(covey__file_size(agent->env, state_file(&c, path), &whole, NULL), COVEY_OK);
    assert_int_equal(whole, MODEL_BYTES);
    assert_true(taken >= MODEL_BYTES / 3);
    print_message("%llu of %d bytes are kept\n", (unsigned long long)taken, MODEL_BYTES);
    covey_agent_close(agent); /* it outlives the process */
    agent = double_agent(&c, true);
    assert_true(covey__file_exists(state_file(&c, path)));
    snprintf(c.target, sizeof c.target, "%s", target);
    double_steps(&c, agent, 200);
    double_assert_serves(agent, "1.5.0");
    /* each byte came once, but for the chunk that was cut and the small documents */
    assert_true(c.blob_bytes < MODEL_BYTES + 700000);
    assert_true(c.blob_bytes - before < MODEL_BYTES * 2 / 3);
    assert_false(covey__file_exists(state_file(&c, "partial")));
    assert_false(covey__file_exists(state_file(&c, "update")));
    double_finish(&c, agent);
}

/* The halves that 1.5.0 and 1.6.0 share came with 1.5.0 before its end. */
static void test_the_next_release_uses_it(void **unused) {
    (void)unused;
    control_double c;
    char digest[65], path[200];
    covey_agent *agent = device(&c);
    double_publish(&c, "1.5.0", "1.5.0");
    fetch_half(&c, agent, digest);
    uint64_t before = c.blob_bytes;
    double_publish(&c, "1.6.0", "1.6.0");
    for (int i = 0; strcmp(agent->state.update.version, "1.6.0") ||
                    agent->state.update.phase != COVEY__PHASE_FETCH;
         i++) {
        covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
        assert_true(i < 100);
        assert_int_equal(covey_agent_step(agent, 0, i == 0, &outcome, NULL), COVEY_OK);
    }
    snprintf(path, sizeof path, "partial/%s/model.gguf", digest);
    assert_true(covey__file_exists(state_file(&c, path)));
    /* the estimate counts what is there alone */
    assert_true(agent->state.update.fetch_bytes < MODEL_BYTES * 2 / 3);
    assert_true(agent->state.update.fetch_bytes > MODEL_BYTES / 3);
    int64_t estimate = agent->state.update.fetch_bytes;
    double_steps(&c, agent, 200);
    double_assert_serves(agent, "1.6.0");
    assert_true(c.blob_bytes - before < (uint64_t)estimate + 20000); /* and documents */
    assert_false(covey__file_exists(state_file(&c, "partial")));
    double_finish(&c, agent);
}

/* What is kept is held against its digests like any file here. */
static void test_damage_of_what_was_kept_costs_bytes_only(void **unused) {
    (void)unused;
    control_double c;
    char digest[65], path[200];
    covey_agent *agent = device(&c);
    double_publish(&c, "1.5.0", "1.5.0");
    fetch_half(&c, agent, digest);
    withdraw(&c, agent);
    double_publish(&c, "1.6.0", "1.6.0");
    double_steps(&c, agent, 3); /* it was looked through, so that the plan believes in it */
    snprintf(path, sizeof path, "partial/%s/model.gguf", digest);
    test_write(state_file(&c, path), "short", 5);
    double_steps(&c, agent, 200);
    double_assert_serves(agent, "1.6.0");
    double_finish(&c, agent);
}

/* Two at most: those with the most bytes. None after its user went back. */
static void test_few_are_kept(void **unused) {
    (void)unused;
    control_double c;
    char digests[3][65], found[65];
    covey_agent *agent = device(&c);
    ensemble(&c, "1.7.0", 7);
    static const char *const versions[] = {"1.5.0", "1.6.0", "1.7.0"};
    for (int i = 0; i < 3; i++) {
        /* The second one has least; the third finds shared bytes here, and has no half to fetch. */
        static const uint64_t begun[] = {0, MODEL_BYTES / 2 - 100000, MODEL_BYTES / 2 - 700000};
        c.blob_bytes = begun[i];
        double_publish(&c, versions[i], versions[i]);
        fetch_half(&c, agent, digests[i]);
    }
    withdraw(&c, agent);
    assert_true(covey__aside_at(agent, 1, found));
    assert_false(covey__aside_at(agent, 2, found));
    for (size_t i = 0; i < 2; i++) {
        assert_true(covey__aside_at(agent, i, found));
        assert_string_not_equal(found, digests[1]);
    }
    double_publish(&c, "v110", "1.1.0");
    c.offline = true; /* nothing moves on meanwhile */
    covey_error error = {0};
    snprintf(agent->state.current.digest, 65, "%064d", 1);
    snprintf(agent->state.current.name, 65, "assistant");
    snprintf(agent->state.current.version, 65, "1.0.9");
    assert_int_equal(covey__state_save(agent->env, agent->state_dir, &agent->state, &error), 0);
    assert_int_equal(covey_agent_rollback(agent, &error), COVEY_OK);
    assert_false(covey__aside_at(agent, 0, found));
    double_finish(&c, agent);
}

/* Both halves of this model are the same bytes: they come once. */
static void test_what_stands_twice_comes_once(void **unused) {
    (void)unused;
    control_double c;
    covey_agent *agent = device(&c);
    ensemble(&c, "1.8.0", 77);
    double_publish(&c, "1.8.0", "1.8.0");
    double_steps(&c, agent, 200);
    double_assert_serves(agent, "1.8.0");
    assert_true(c.blob_bytes > MODEL_BYTES / 2);
    assert_true(c.blob_bytes < MODEL_BYTES * 3 / 4);
    double_finish(&c, agent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_withdrawn_and_offered_again),
        cmocka_unit_test(test_the_next_release_uses_it),
        cmocka_unit_test(test_damage_of_what_was_kept_costs_bytes_only),
        cmocka_unit_test(test_few_are_kept),
        cmocka_unit_test(test_what_stands_twice_comes_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
