/* Killed anywhere: an update, the change of a target, a rollback, an automatic return, the removal
 * of what is not needed and an enrollment, each disturbed at every action on a file or the network
 * in every way of support/proof.h. After each the device answers with an ensemble that is whole, at
 * once, goes on to where it belongs by itself, and leaves nothing behind.
 *
 * COVEY_EXHAUSTIVE=full disturbs every action under sanitizers too, COVEY_EXHAUSTIVE_ONLY=NAME:N
 * one of one case. */
#include "agent_double.h"

#include "bundle/patch_index.h"
#include "delta/chunk_maker.h"
#include "delta/patch.h"
#include "support/proof.h"

#define MODEL_BYTES 40000 /* two chunks */
#define DIGEST_A    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

typedef struct world {
    control_double c;
    covey_crypto crypto;
    covey_transport transport;
    const char *version; /* where it belongs in the end */
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

/* Indexes of the built-in ensemble are made when there is something to fetch. The number of an
 * enrollment that was answered is used by the next one. A device that could not ask went on to what
 * it was told before, which is then the previous ensemble. */
static char passed[200] = "nothing";

static bool may_stay(const char *path) {
    return !strncmp(path, "state/cache", 11) || !strcmp(path, "state/secrets/enroll_request") ||
           !strncmp(path, passed, strlen(passed));
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

static void prove(world *w, proof_case *test) {
    char root[256];
    control_double *c = &w->c;
    snprintf(root, sizeof root, "%s", c->folder.path);
    test->user = w;
    if (!test->again) test->again = again;
    test->same_bytes = same_bytes;
    test->may_stay = may_stay;
    (void)proof_run(test, root);
    c->folder.path[0] = 0;
    double_close(c);
    free(w);
}

/* ---- An update --------------------------------------------------------------------------------
 */

static void act_update(void *user, const char *root, proof_how how) {
    world *w = user;
    enter(w, root);
    live(&w->c, how);
}

/* With a new root of trust on the way: the one before must stand until the new one is there. */
static void update_by_chunks(void) {
    world *w = make_world(true);
    repo_publish_root(&w->c.repository);
    prove(w, &(proof_case){.name = "update", .act = act_update, .twice = 25});
}

static covey_status add_chunk(void *user, const covey__chunk *chunk, const void *stored,
                              covey_error *error) {
    return double_add_blob(user, chunk->blob, stored, chunk->stored_size, error);
}

static covey__patch_blob blob_of(const char *path) {
    covey__patch_blob blob = {.size = 0};
    size_t size = 0;
    char *bytes = test_read(path, &size);
    assert_non_null(bytes);
    blob.size = size;
    covey__sha256_of(bytes, size, blob.sha256);
    free(bytes);
    return blob;
}

/* A patch between the models of two folders, its chunks and their index among the blobs. */
static void make_edge(control_double *c, const char *from, const char *to,
                      covey__patch_edge *edge) {
    const covey__env *env = covey__runtime_env(c->runtime);
    covey__chunk_index *index = NULL;
    covey__buffer bytes;
    char old_path[400], new_path[400], patch[400];
    snprintf(old_path, sizeof old_path, "%s/%s/model.gguf", c->folder.path, from);
    snprintf(new_path, sizeof new_path, "%s/%s/model.gguf", c->folder.path, to);
    snprintf(patch, sizeof patch, "%s/patch", c->folder.path);
    assert_int_equal(covey__patch_make(env, old_path, new_path, patch, NULL, NULL, NULL), COVEY_OK);
    assert_int_equal(covey__chunk_index_make_even(env, patch, &index, NULL, add_chunk, c),
                     COVEY_OK);
    covey__buffer_init(&bytes, env, COVEY__INDEX_BYTES_MAX);
    assert_int_equal(covey__chunk_index_write(index, &bytes, NULL), COVEY_OK);
    edge->from = blob_of(old_path);
    edge->to = blob_of(new_path);
    edge->patch = blob_of(patch);
    edge->index.size = bytes.size;
    covey__sha256_of(bytes.data, bytes.size, edge->index.sha256);
    assert_int_equal(double_add_blob(c, edge->index.sha256, bytes.data, bytes.size, NULL),
                     COVEY_OK);
    covey__buffer_free(&bytes);
    covey__chunk_index_free(index);
    assert_int_equal(unlink(patch), 0);
}

/* 1.2.0, and the patches from 1.0.0 to 1.1.0 and from there to it. */
static void publish_patches(world *w) {
    static const char *variants[] = {"q8_0"};
    control_double *c = &w->c;
    covey__patch_edge edges[2] = {
        {"model", "model.gguf", "1.0.0", "1.1.0", .variants = variants, .variant_count = 1},
        {"model", "model.gguf", "1.1.0", "1.2.0", .variants = variants, .variant_count = 1}};
    covey__buffer text;
    covey_error error = {0};
    double_ensemble(c, "between", "1.1.0", MODEL_BYTES, 11, NULL);
    double_ensemble(c, "next", "1.2.0", MODEL_BYTES, 12, NULL);
    double_publish(c, "next", "1.2.0");
    make_edge(c, "builtin", "between", edges);
    make_edge(c, "between", "next", edges + 1);
    covey__buffer_init(&text, covey__runtime_env(c->runtime), COVEY__PATCH_INDEX_BYTES_MAX);
    if (covey__patch_index_write(covey__runtime_env(c->runtime), "assistant", "1.2.0", edges, 2,
                                 &text, &error))
        fail_msg("%s", error.message);
    covey__tuf_make_target *target = c->repository.releases + c->repository.release_count++;
    target->name = "assistant/1.2.0/patches.json";
    target->length = text.size;
    covey__sha256_of(text.data, text.size, target->sha256);
    double_add_blob(c, target->sha256, text.data, text.size, NULL);
    repo_publish(&c->repository);
    covey__buffer_free(&text);
    remove_folder(c, "between");
    remove_folder(c, "next");
}

static void act_patched(void *user, const char *root, proof_how how) {
    world *w = user;
    uint64_t before = w->c.blob_bytes;
    act_update(user, root, how);
    if (how == PROOF_WHOLE && w->c.blob_bytes - before > MODEL_BYTES / 2)
        fail_msg("it did not come by patches");
}

/* By a chain of two patches, with what the first makes in between. */
static void update_by_patches(void) {
    world *w = make_world(true);
    publish_patches(w);
    w->version = "1.2.0";
    prove(w, &(proof_case){.name = "patched update", .act = act_patched, .twice = 25});
}

/* Another release is wanted while half of the one before is here. */
static void target_changes(void) {
    world *w = make_world(true);
    covey_error error = {0};
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_agent *agent = open_agent(&w->c, true);
    for (int i = 0; i < 20 && agent->state.update.phase != COVEY__PHASE_FETCH; i++)
        assert_int_equal(covey_agent_step(agent, 0, i == 0, &outcome, &error), COVEY_OK);
    assert_int_equal(covey_agent_step(agent, 0, false, &outcome, &error), COVEY_OK);
    assert_int_equal(agent->state.update.phase, COVEY__PHASE_FETCH);
    snprintf(passed, sizeof passed, "state/ensembles/%s", agent->state.update.digest);
    covey_agent_close(agent);
    publish(w, "1.2.0", 12);
    w->version = "1.2.0";
    prove(w, &(proof_case){.name = "another target", .act = act_update, .only_ends = true});
    snprintf(passed, sizeof passed, "nothing");
}

/* ---- Back -------------------------------------------------------------------------------------
 */

/* Brings the device to a version; on trial: the last of it is not told that it served. */
static void bring(world *w, const char *version, uint64_t seed, bool on_trial) {
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_error error = {0};
    publish(w, version, seed);
    covey_agent *agent = open_agent(&w->c, true);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(covey_agent_step(agent, 0, i == 0, &outcome, &error), COVEY_OK);
        if (outcome.state != COVEY_AGENT_WORKING) break;
    }
    assert_string_equal(agent->state.current.version, version);
    assert_true(agent->state.current.trial);
    covey_agent_close(agent);
    w->version = version;
    if (!on_trial) live(&w->c, PROOF_WHOLE);
}

static bool serves(world *w, const char *version) {
    covey__agent_state state;
    assert_int_equal(covey__state_load(covey__runtime_env(w->c.runtime),
                                       test_path(&w->c.folder, "state"), &state, NULL),
                     COVEY_OK);
    return !strcmp(state.current.digest[0] ? state.current.version : "1.0.0", version);
}

static void go_back(world *w, proof_how how) {
    covey_error error = {0};
    covey_agent *agent = open_agent(&w->c, how == PROOF_WHOLE);
    if (!agent) return;
    covey_status status = covey_agent_rollback(agent, &error);
    if (status && how == PROOF_ON) status = covey_agent_rollback(agent, &error);
    if (status && how == PROOF_WHOLE) fail_msg("rollback: %s", error.message);
    steps(&w->c, agent, how == PROOF_WHOLE);
    covey_agent_close(agent);
}

static void act_rollback(void *user, const char *root, proof_how how) {
    enter(user, root);
    go_back(user, how);
}

/* Its user asks once more where it did not come to it. */
static void again_rollback(void *user, const char *root) {
    world *w = user;
    enter(w, root);
    assert_answers(&w->c);
    if (!serves(w, w->version)) go_back(w, PROOF_WHOLE);
    assert_arrives(w);
}

static void rollback(void) {
    world *w = make_world(true);
    bring(w, "1.1.0", 11, false);
    bring(w, "1.2.0", 12, false);
    w->version = "1.1.0";
    prove(w, &(proof_case){.name = "rollback", .act = act_rollback, .again = again_rollback});
}

/* What is on trial turns out to be unfit when an app opens it. */
static void leave_it(world *w, proof_how how) {
    covey_error error = {0}, why = {.status = COVEY_ERROR_NUMERIC, .message = "it computes wrong"};
    covey_ensemble *ensemble = NULL;
    covey_agent *agent = open_agent(&w->c, how == PROOF_WHOLE);
    if (!agent) return;
    for (int tries = how == PROOF_ON ? 3 : 1; tries > 0; tries--) {
        covey_status status = covey_agent_current(agent, &ensemble, &error);
        if (!status && strcmp(covey_ensemble_version(ensemble), w->version))
            status = covey_agent_leave_current(agent, ensemble, &why, &error);
        if (status && how == PROOF_WHOLE) fail_msg("leave: %s", error.message);
        covey_ensemble_close(ensemble);
        ensemble = NULL;
    }
    steps(&w->c, agent, how == PROOF_WHOLE);
    covey_agent_close(agent);
}

static void act_return(void *user, const char *root, proof_how how) {
    enter(user, root);
    leave_it(user, how);
}

static void again_return(void *user, const char *root) {
    world *w = user;
    enter(w, root);
    assert_answers(&w->c);
    for (int i = 0; i < 3 && !serves(w, w->version); i++) leave_it(w, PROOF_WHOLE);
    assert_arrives(w);
}

static void automatic_return(void) {
    world *w = make_world(true);
    bring(w, "1.1.0", 11, false);
    bring(w, "1.2.0", 12, true);
    w->version = "1.1.0";
    prove(w, &(proof_case){.name = "return", .act = act_return, .again = again_return});
}

/* ---- What is not needed -----------------------------------------------------------------------
 */

static void put_stray(control_double *c, const char *name) {
    char path[600];
    snprintf(path, sizeof path, "%s", test_path(&c->folder, name));
    for (char *at = path + strlen(c->folder.path) + 1; *at; at++) {
        if (*at != '/') continue;
        *at = 0;
        (void)mkdir(path, 0700);
        *at = '/';
    }
    test_write(path, "left over", 9);
}

static void act_clean(void *user, const char *root, proof_how how) {
    world *w = user;
    enter(w, root);
    covey_agent_close(open_agent(&w->c, how == PROOF_WHOLE));
    if (how == PROOF_ON) covey_agent_close(open_agent(&w->c, false));
}

static void cleaning(void) {
    static const char *const stray[] = {
        "state/ensembles/" DIGEST_A "/model.gguf",
        "state/ensembles/" DIGEST_A "/ensemble.json",
        "state/ensembles/" DIGEST_A ".index/0",
        "state/ensembles/" DIGEST_A ".seal",
        "state/ensembles/" DIGEST_B "/model.gguf",
        "state/update/release.json",
        "state/update/" DIGEST_B "/model.gguf",
        "state/update/" DIGEST_B "/tools.json",
        "state/state.json.new",
        "state/trust/snapshot.json.new",
    };
    world *w = make_world(true);
    bring(w, "1.1.0", 11, false);
    for (size_t i = 0; i < sizeof stray / sizeof *stray; i++) put_stray(&w->c, stray[i]);
    prove(w, &(proof_case){.name = "cleaning", .act = act_clean});
}

/* ---- Enrollment -------------------------------------------------------------------------------
 */

static void act_enroll(void *user, const char *root, proof_how how) {
    world *w = user;
    covey_error error = {0};
    enter(w, root);
    covey_agent *agent = open_agent(&w->c, how == PROOF_WHOLE);
    if (!agent) return;
    covey_status status = covey_agent_enroll(agent, "http://fleet.test", "cve_x", NULL, &error);
    if (status && how == PROOF_ON)
        status = covey_agent_enroll(agent, "http://fleet.test", "cve_x", NULL, &error);
    if (status && how == PROOF_WHOLE) fail_msg("enroll: %s", error.message);
    covey_agent_close(agent);
}

static void again_enroll(void *user, const char *root) {
    world *w = user;
    covey__agent_state state;
    enter(w, root);
    assert_answers(&w->c);
    assert_int_equal(covey__state_load(covey__runtime_env(w->c.runtime),
                                       test_path(&w->c.folder, "state"), &state, NULL),
                     COVEY_OK);
    if (!state.url[0]) enroll(&w->c);
    assert_arrives(w);
}

static void enrollment(void) {
    world *w = make_world(false);
    w->c.target[0] = 0;
    w->version = "1.0.0";
    prove(w, &(proof_case){.name = "enrollment", .act = act_enroll, .again = again_enroll});
}

/* A device's facts, the same on every machine. */
static void set_device(test_folder *device) {
    static const char memory[] = "MemTotal: 8000000 kB\nMemAvailable: 6000000 kB\n";
    test_folder_make(device);
    (void)mkdir(test_path(device, "proc"), 0700);
    (void)mkdir(test_path(device, "covey"), 0700);
    test_write(test_path(device, "proc/meminfo"), memory, sizeof memory - 1);
    test_write(test_path(device, "covey/isa"), "scalar", 6);
    (void)setenv("COVEY_DEVICE_ROOT", device->path, 1);
}

int main(void) {
    test_folder device;
    set_device(&device);
    update_by_chunks();
    update_by_patches();
    target_changes();
    rollback();
    automatic_return();
    cleaning();
    enrollment();
    test_folder_remove(&device);
    return proof_end();
}
