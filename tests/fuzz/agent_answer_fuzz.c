/* What a control plane answers a device, by a transport that answers with the input, and the
 * state.json that a device finds. The first byte says what the rest is, the second the HTTP status.
 * Whatever came: the state on the disk is one that is read again, no answer changes what serves,
 * and what an answer leads to is a release of this device's name with a higher version. */
#include "fuzz/fuzz_target.h"

#include "agent/agent.h"
#include "agent/agent_parts.h"
#include "base/runtime.h"
#include "base/semver.h"
#include "trust/crypto.h"

#include <string.h>
#include <unistd.h>

#define KEY "1111111111111111111111111111111111111111111111111111111111111111"

typedef struct fixture {
    char folder[64];
    covey_transport transport;
    covey_runtime *runtime;
    covey_agent *agent;
    const uint8_t *answer; /* what the transport says once; then the line is down */
    size_t answer_size;
    int status, requests;
} fixture;

static fixture fix;

static covey_status answer(void *user, const covey_http_request *request,
                           covey_http_response *response, covey_http_sink sink, void *sink_user,
                           covey_error *error) {
    fixture *f = user;
    (void)error;
    f->requests++;
    if (f->answer == NULL || f->answer_size > request->body_bytes_max) return COVEY_ERROR_NETWORK;
    const uint8_t *body = f->answer;
    f->answer = NULL;
    response->status = f->status;
    response->range_first = f->status == 206 ? request->range_first : 0;
    for (size_t at = 0; at < f->answer_size; at += 100) { /* in pieces, as it comes */
        size_t left = f->answer_size - at;
        covey_status status = sink(sink_user, response, body + at, left < 100 ? left : 100);
        if (status != COVEY_OK) return status;
    }
    return COVEY_OK;
}

static int64_t stopped_clock(void *user) {
    (void)user;
    return 1789000000000;
}

static void tear_down(void) {
    const covey__env *env = covey__runtime_env(fix.runtime);
    covey_agent_close(fix.agent);
    covey_status status = covey__tree_remove(env, fix.folder, NULL);
    FUZZ_CHECK(status == COVEY_OK);
    covey_runtime_close(fix.runtime);
}

static void set_up(void) {
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    covey_agent_options agent_options = COVEY_AGENT_OPTIONS_INIT;
    const char *base = getenv("TMPDIR");
    covey_error error;
    if (fix.runtime != NULL) return;
    snprintf(fix.folder, sizeof fix.folder, "%.40s/covey-fuzz-XXXXXX",
             base != NULL ? base : "/tmp");
    FUZZ_CHECK(mkdtemp(fix.folder) != NULL);
    fix.transport = (covey_transport){.size = sizeof fix.transport, .user = &fix, .fetch = answer};
    options.transport = &fix.transport;
    options.crypto = covey__crypto_openssl();
    options.clock = stopped_clock;
    FUZZ_CHECK(covey__runtime_new(&options, &fix.runtime, &error) == COVEY_OK);
    agent_options.state_dir = fix.folder;
    FUZZ_CHECK(covey__agent_open(fix.runtime, &agent_options, &fix.agent, &error) == COVEY_OK);
    FUZZ_CHECK(covey__secret_put(fix.agent, "device_token", "cvd_x", &error) == COVEY_OK);
    atexit(tear_down);
}

/* An enrolled device that serves assistant@1.0.0 and has an update under way where `updating`. */
static void begin(bool updating) {
    covey__agent_state *state = &fix.agent->state;
    covey_error error;
    covey__fetching_free(fix.agent);
    memset(state, 0, sizeof *state);
    state->poll_ms = 60000;
    snprintf(state->url, sizeof state->url, "http://fleet.test");
    snprintf(state->blobs_url, sizeof state->blobs_url, "http://fleet.test/v1/blobs");
    snprintf(state->device_id, sizeof state->device_id, "d");
    snprintf(state->trust.metadata_url, 100, "http://fleet.test/v1/metadata");
    snprintf(state->trust.root_sha256, 65, "%s", KEY);
    snprintf(state->current.name, 65, "assistant");
    snprintf(state->current.version, 65, "1.0.0");
    snprintf(state->current.variant, 65, "q8_0");
    snprintf(state->current.digest, 65, "%s", KEY);
    covey__agent_proof(fix.agent, state->current.proved);
    if (updating) {
        state->update.phase = COVEY__PHASE_PLAN;
        snprintf(state->update.name, 65, "assistant");
        snprintf(state->update.version, 65, "1.1.0");
        snprintf(state->update.release_digest, 65, "%s", KEY);
        state->update.release_size = 100;
        state->next_checkin_ms = stopped_clock(NULL) + 1000;
    }
    FUZZ_CHECK(covey__state_save(fix.agent->env, fix.folder, state, &error) == COVEY_OK);
}

/* What is on the disk is read, and written again it is the same. */
static void check_kept(covey__agent_state *state) {
    covey__buffer once, twice;
    covey_error error;
    const covey__env *env = fix.agent->env;
    char *path = covey__path_join(env, fix.folder, "state.json");
    covey__buffer_init(&once, env, 2u << 20);
    covey__buffer_init(&twice, env, 2u << 20);
    FUZZ_CHECK(covey__state_load(env, fix.folder, state, &error) == COVEY_OK);
    FUZZ_CHECK(covey__state_save(env, fix.folder, state, &error) == COVEY_OK);
    FUZZ_CHECK(covey__file_read(env, path, &once, &error) == COVEY_OK);
    FUZZ_CHECK(covey__state_load(env, fix.folder, state, &error) == COVEY_OK);
    FUZZ_CHECK(covey__state_save(env, fix.folder, state, &error) == COVEY_OK);
    FUZZ_CHECK(covey__file_read(env, path, &twice, &error) == COVEY_OK);
    FUZZ_CHECK(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
    covey__buffer_free(&once);
    covey__buffer_free(&twice);
    covey__free(env, path);
}

static void step(int count, bool check_now) {
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_error error;
    for (int i = 0; i < count; i++) {
        FUZZ_CHECK(covey_agent_step(fix.agent, 0, check_now && i == 0, &outcome, &error) ==
                   COVEY_OK);
        FUZZ_CHECK(outcome.next_step_ms >= 0);
    }
}

static void check_unmoved(void) {
    covey__agent_state state;
    check_kept(&state);
    FUZZ_CHECK(strcmp(state.current.version, "1.0.0") == 0);
    FUZZ_CHECK(strcmp(state.current.digest, KEY) == 0);
    FUZZ_CHECK(strcmp(state.url, "http://fleet.test") == 0);
    FUZZ_CHECK(strcmp(state.trust.root_sha256, KEY) == 0);
    FUZZ_CHECK(state.poll_ms >= 50 && state.poll_ms <= 86400000);
    FUZZ_CHECK(state.refused_count == 0); /* nothing here is signed */
    if (state.update.phase == COVEY__PHASE_NONE) return;
    FUZZ_CHECK(state.update.phase == COVEY__PHASE_PLAN);
    FUZZ_CHECK(strcmp(state.update.name, "assistant") == 0);
    FUZZ_CHECK(covey__semver_compare(state.update.version, "1.0.0") > 0);
}

static void enroll(void) {
    covey__agent_state state;
    covey_error error;
    begin(false);
    covey_status status = covey_agent_enroll(fix.agent, "http://other.test", "cve_x", NULL, &error);
    check_kept(&state);
    FUZZ_CHECK(strcmp(state.current.digest, KEY) == 0);
    FUZZ_CHECK((status == COVEY_OK) == (strcmp(state.url, "http://other.test") == 0));
    FUZZ_CHECK(strcmp(state.trust.root_sha256, KEY) == 0);
}

/* A state file: read or put aside, and the agent goes on from either. */
static void read_state(const uint8_t *data, size_t size) {
    covey__agent_state state;
    covey_error error;
    char *path = covey__path_join(fix.agent->env, fix.folder, "state.json"), *json = NULL;
    covey__fetching_free(fix.agent);
    FUZZ_CHECK(covey__file_replace(fix.agent->env, path, data, size, &error) == COVEY_OK);
    covey__free(fix.agent->env, path);
    covey_status status = covey__state_load(fix.agent->env, fix.folder, &state, &error);
    FUZZ_CHECK(status == COVEY_OK || status == COVEY_ERROR_FORMAT ||
               status == COVEY_ERROR_UNSUPPORTED || status == COVEY_ERROR_LIMIT);
    if (status == COVEY_ERROR_UNSUPPORTED) return;
    step(2, true);
    check_kept(&state);
    FUZZ_CHECK(covey_agent_status(fix.agent, &json, &error) == COVEY_OK);
    covey_agent_free_text(fix.agent, json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct {
        uint8_t letter;
        int status;
    } statuses[] = {{'2', 200}, {'6', 206}, {'4', 404}, {'5', 503}};
    set_up();
    if (size < 2) return 0;
    fix.answer = data + 2;
    fix.answer_size = size - 2;
    fix.status = 200;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].letter == data[1]) fix.status = statuses[i].status;
    switch (data[0]) {
    case 's':
        fix.answer = NULL;
        read_state(data + 2, size - 2);
        break;
    case 'e':
        enroll();
        break;
    case 'b': /* a release document */
        begin(true);
        step(1, false);
        check_unmoved();
        break;
    default:
        begin(data[0] == 'C');
        step(2, true);
        check_unmoved();
        break;
    }
    fix.answer = NULL;
    return 0;
}
