/* Killed anywhere: an update, the change of a target, a rollback, an automatic return, the removal
 * of what is not needed and an enrollment, each disturbed at every action on a file or the network
 * in every way of support/proof.h. After each the device answers with an ensemble that is whole, at
 * once, goes on to where it belongs by itself, and leaves nothing behind.
 *
 * COVEY_EXHAUSTIVE=full disturbs every action under sanitizers too, COVEY_EXHAUSTIVE_ONLY=NAME:N
 * one of one case. */
#include "agent_double.h"

#include "support/proof.h"

#define MODEL_BYTES 40000 /* two chunks */

typedef struct world {
    control_double c;
    covey_crypto crypto;
    covey_transport transport;
    const char *version; /* where it belongs in the end */
    covey_status bad;    /* what probes of the current ensemble say in the act */
} world;

/* ---- Lives ------------------------------------------------------------------------------------
 */

static covey_agent *open_agent(control_double *c, bool strict) {
    covey_agent_options options = COVEY_AGENT_OPTIONS_INIT;
    covey_agent *agent = NULL;
    covey_error error = {0};
    char state[300], shipped[300];
    snprintf(state, sizeof state, "%s", test_path(&c->folder, "state"));
    snprintf(shipped, sizeof shipped, "%s", test_path(&c->folder, "builtin"));
    options.state_dir = state;
    options.builtin_dir = shipped;
    options.app_version = "1.0.0";
    options.probe = double_probe;
    options.probe_user = c;
    covey_status status = covey__agent_open(c->runtime, &options, &agent, &error);
    if (strict && status) fail_msg("open: %s", error.message);
    return agent;
}

static void steps(control_double *c, covey_agent *agent, bool strict) {
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_ensemble *ensemble = NULL;
    covey_error error = {0};
    covey_status status = COVEY_OK;
    (void)c;
    for (int i = 0; !status && i < 100; i++) {
        status = covey_agent_step(agent, 0, i == 0, &outcome, &error);
        if (strict && status) fail_msg("step: %s", error.message);
        if (outcome.state != COVEY_AGENT_WORKING) break;
    }
    if (!covey_agent_current(agent, &ensemble, NULL)) covey_ensemble_close(ensemble);
    status = covey_agent_step(agent, 0, false, &outcome, &error);
    if (strict && status) fail_msg("step: %s", error.message);
}

/* Opens, updates, serves, closes. Errors are allowed while something is disturbed. */
static void live(control_double *c, proof_how how) {
    bool strict = how == PROOF_WHOLE;
    covey_agent *agent = open_agent(c, strict);
    if (!agent) return;
    for (int lives = how == PROOF_ON ? 3 : 1; lives > 0; lives--) {
        steps(c, agent, strict);
        c->now_ms += 2 * COVEY__RETRY_MAX_MS;
    }
    covey_agent_close(agent);
}

static void enter(world *w, const char *root) {
    snprintf(w->c.folder.path, sizeof w->c.folder.path, "%s", root);
    covey__runtime_env_for_tests(w->c.runtime)->fault = disk_point;
}

/* ---- What must hold ---------------------------------------------------------------------------
 */

/* What the device answers with right now is whole: every byte of it is checked. */
static void assert_answers(control_double *c) {
    covey_ensemble *ensemble = NULL, *whole = NULL;
    covey_error error = {0};
    char folder[700];
    covey_agent *agent = open_agent(c, true);
    if (covey_agent_current(agent, &ensemble, &error))
        fail_msg("nothing answers: %s", error.message);
    bool newer = strcmp(covey_ensemble_version(ensemble), "1.0.0") != 0;
    if (newer)
        snprintf(folder, sizeof folder, "%s/ensembles/%s", agent->state_dir,
                 covey_ensemble_digest(ensemble));
    else
        snprintf(folder, sizeof folder, "%s", test_path(&c->folder, "builtin"));
    if (covey_ensemble_open(c->runtime, folder, COVEY_CHECK_DIGESTS, &whole, &error))
        fail_msg("not whole: %s", error.message);
    covey_ensemble_close(whole);
    covey_ensemble_close(ensemble);
    covey_agent_close(agent);
}

static bool arrived(control_double *c, const char *version) {
    covey__agent_state state;
    covey_error error = {0};
    assert_int_equal(covey__state_load(covey__runtime_env(c->runtime),
                                       test_path(&c->folder, "state"), &state, &error),
                     COVEY_OK);
    const char *current = state.current.digest[0] ? state.current.version : "1.0.0";
    return !strcmp(current, version) && !state.current.trial && !state.outbox_count &&
           state.update.phase == COVEY__PHASE_NONE;
}

static void assert_arrives(world *w) {
    control_double *c = &w->c;
    for (int i = 0; i < 20; i++) {
        live(c, PROOF_WHOLE);
        if (arrived(c, w->version)) {
            live(c, PROOF_WHOLE); /* what is left is cleaned at the next start */
            assert_true(arrived(c, w->version));
            return;
        }
    }
    char *state = test_read(test_path(&c->folder, "state/state.json"), &(size_t){0});
    fprintf(stderr, "%s\n", state ? state : "no state");
    free(state);
    fail_msg("the device never came to %s", w->version);
}

static bool same_bytes(const char *path) {
    static const char *const differ[] = {"state/state.json", "state/audit.log/", "state/secrets/",
                                         "state/floor.json"};
    if (strstr(path, ".seal")) return false; /* inodes */
    for (size_t i = 0; i < sizeof differ / sizeof *differ; i++)
        if (!strncmp(path, differ[i], strlen(differ[i]))) return false;
    return true;
}

/* Indexes of the built-in ensemble are made when there is something to fetch. A document of the
 * metadata that failed to sync before the power went is fetched again when it is needed. */
static bool may_stay(const char *path, bool unsynced) {
    return !strncmp(path, "state/cache", 11) || (unsynced && !strncmp(path, "state/trust/", 12));
}

static void again(void *user, const char *root) {
    world *w = user;
    enter(w, root);
    assert_answers(&w->c);
    assert_arrives(w);
}

/* ---- Worlds -----------------------------------------------------------------------------------
 */

static void enroll(control_double *c) {
    covey_error error = {0};
    covey_agent *agent = open_agent(c, true);
    if (covey_agent_enroll(agent, "http://fleet.test", "cve_x", NULL, &error))
        fail_msg("%s", error.message);
    covey_agent_close(agent);
}

static void remove_folder(control_double *c, const char *name) {
    test_folder folder;
    snprintf(folder.path, sizeof folder.path, "%s", test_path(&c->folder, name));
    test_folder_remove(&folder);
}

static void publish(world *w, const char *version, uint64_t seed) {
    double_ensemble(&w->c, "next", version, MODEL_BYTES, seed, NULL);
    double_publish(&w->c, "next", version);
    remove_folder(&w->c, "next");
}

/* A device that shipped with 1.0.0, and a control plane that has a statement and 1.1.0. */
static world *make_world(bool enrolled) {
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    control_double *c = &w->c;
    double_open(c);
    covey__env *env = covey__runtime_env_for_tests(c->runtime);
    w->crypto = *env->crypto;
    w->crypto.random = disk_random;
    env->crypto = &w->crypto;
    w->transport = *env->transport;
    proof_transport(&w->transport);
    env->transport = &w->transport;
    w->version = "1.1.0";
    double_ensemble(c, "builtin", "1.0.0", MODEL_BYTES, 10, NULL);
    publish(w, "1.1.0", 11);
    double_steer(c, 1,
                 "{\"id\":\"k-1\",\"kind\":\"kill\",\"versions\":\"=1.0.9\",\"reason\":\"r\","
                 "\"author\":\"a\",\"issued\":\"2026-11-20T10:00:00Z\"}");
    if (enrolled) enroll(c);
    return w;
}

static int prove(world *w, proof_case *test) {
    char root[256];
    control_double *c = &w->c;
    snprintf(root, sizeof root, "%s", c->folder.path);
    test->user = w;
    if (!test->again) test->again = again;
    test->same_bytes = same_bytes;
    test->may_stay = may_stay;
    int lost = proof_run(test, root);
    c->folder.path[0] = 0;
    double_close(c);
    free(w);
    return lost;
}

/* ---- An update --------------------------------------------------------------------------------
 */

static void act_update(void *user, const char *root, proof_how how) {
    world *w = user;
    enter(w, root);
    live(&w->c, how);
}

static int update_by_chunks(void) {
    return prove(make_world(true), &(proof_case){.name = "update", .act = act_update, .twice = 10});
}

int main(void) {
    int lost = 0;
    lost += update_by_chunks();
    return lost ? 1 : 0;
}
