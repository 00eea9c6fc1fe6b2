/* Private ensembles on a device (docs/agent.md, "Private ensembles"): its X25519 key pair, and the
 * content keys that its publisher wrapped for it. All of them stand in the keystore, where the app
 * gave one, else in owner-only files: a content key by its id, the pair's private half as
 * "device_key". The public half goes along with each enrollment and check-in.
 *
 * Invariants: a content key is kept only when its id follows from it. Nothing that a control plane
 * answers here can end an update: a key that is not given, or wrapped for another key, is waited
 * for.
 *
 * Neighbours: agent_wire.c says the public key; agent_plan.c asks for keys before an update is
 * fetched; agent_slots.c and agent_stage.c give them to the ensembles that they open. */
#include "agent/agent_parts.h"

#include "base/error.h"
#include "base/sha256.h"
#include "bundle/component_open.h"

#include <stdio.h>
#include <string.h>

#define ANSWER_BYTES_MAX 4096u
#define DEVICE_KEY       "device_key"

/* ---- Secrets of 32 bytes, in hex --------------------------------------------------------------
 */

static bool secret_read(const covey_agent *agent, const char *name, uint8_t secret[32]) {
    char hex[80] = "";
    bool right = !covey__secret_get(agent, name, hex, sizeof hex, NULL) && strlen(hex) == 64 &&
                 covey__unhex(hex, 64, secret, 32);
    explicit_bzero(hex, sizeof hex);
    return right;
}

static covey_status secret_write(const covey_agent *agent, const char *name,
                                 const uint8_t secret[32], covey_error *error) {
    char hex[65];
    covey__hex(secret, 32, hex);
    covey_status status = covey__secret_put(agent, name, hex, error);
    explicit_bzero(hex, sizeof hex);
    return status;
}

/* ---- The device's own key ---------------------------------------------------------------------
 */

void covey__agent_put_key(const covey_agent *agent, bool make, covey__json_writer *json) {
    uint8_t secret[32], public_key[32];
    char hex[65];
    covey_error why = {0};
    covey_status status = COVEY_OK;
    if (!secret_read(agent, DEVICE_KEY, secret)) {
        if (!make) return;
        status = covey__random(agent->env, secret, sizeof secret, &why);
        if (!status) status = secret_write(agent, DEVICE_KEY, secret, &why);
    }
    if (!status) status = covey__x25519_public(agent->env, secret, public_key, &why);
    explicit_bzero(secret, sizeof secret);
    if (status) { /* without one it can take every ensemble but private ones */
        covey__log(agent->env, COVEY_LOG_DEBUG, "agent", "no key of this device: %s", why.message);
        return;
    }
    covey__hex(public_key, sizeof public_key, hex);
    covey__json_member_string(json, "encryption_key", hex);
}

/* ---- Content keys -----------------------------------------------------------------------------
 */

static bool content_key_here(const covey_agent *agent, const uint8_t id[16],
                             covey__content_key *key) {
    char name[COVEY__CONTENT_KEY_NAME_SIZE];
    uint8_t bytes[32];
    covey__content_key_name(id, name);
    bool here = secret_read(agent, name, bytes);
    if (here) covey__content_key_of(bytes, key);
    explicit_bzero(bytes, sizeof bytes);
    if (here && !memcmp(key->id, id, 16)) return true;
    covey__content_key_wipe(key);
    return false;
}

static covey_status not_given(const uint8_t id[16], covey_error *error) {
    char hex[33];
    covey__hex(id, 16, hex);
    return covey__fail(error, COVEY_ERROR_BUSY,
                       "the key of this ensemble was not given to this device yet (content key "
                       "%s); its publisher gives it with covey-fleet content-key wrap",
                       hex);
}

static covey_status collect(void *user, const covey_http_response *response, const void *data,
                            size_t size) {
    (void)response;
    return covey__buffer_append(user, data, size);
}

/* Asks the control plane for the key as it was wrapped for this device. */
static covey_status ask(covey_agent *agent, const char *id, covey__buffer *answer, int *http_status,
                        covey_error *error) {
    char token[COVEY__AGENT_TOKEN_SIZE], authorization[COVEY__AGENT_TOKEN_SIZE + 32];
    if (!agent->env->transport || !agent->state.url[0])
        return covey__fail(error, COVEY_ERROR_BUSY,
                           "the key of this ensemble is not on this device, which is not enrolled "
                           "where it could ask for it");
    covey_status status = covey__secret_get(agent, "device_token", token, sizeof token, error);
    if (status) return status;
    snprintf(authorization, sizeof authorization, "Authorization: Bearer %s", token);
    const char *headers[] = {authorization};
    char *url = covey__format(agent->env, "%s/v1/content-keys/%s", agent->state.url, id);
    covey_http_request request = {.size = sizeof request,
                                  .method = "GET",
                                  .url = url,
                                  .headers = headers,
                                  .header_count = 1,
                                  .body_bytes_max = ANSWER_BYTES_MAX,
                                  .connect_timeout_ms = 10000,
                                  .idle_timeout_ms = 30000};
    covey_http_response response = {.size = sizeof response};
    status = url ? covey__agent_carry(agent, &request, &response, collect, answer, error)
                 : covey__no_memory(error, "an address", 0);
    *http_status = response.status;
    explicit_bzero(token, sizeof token);
    explicit_bzero(authorization, sizeof authorization);
    covey__free(agent->env, url);
    return status;
}

static covey_status read_wrapped(const covey__buffer *answer, covey__arena *arena,
                                 uint8_t wrapped[COVEY__WRAPPED_KEY_BYTES], covey_error *error) {
    const covey__json *root;
    const char *hex;
    covey_status status = covey__json_parse(arena, answer->data ? answer->data : "", answer->size,
                                            COVEY__JSON_LIMITS_DEFAULT, &root, error);
    if (!status) status = covey__json_string(root, "wrapped", "wrapped", &hex, error);
    if (!status && !covey__unhex(hex, strlen(hex), wrapped, COVEY__WRAPPED_KEY_BYTES))
        status = covey__fail(error, COVEY_ERROR_FORMAT, "wrapped: expected %u hex digits",
                             2 * COVEY__WRAPPED_KEY_BYTES);
    return status;
}

/* Before it is kept, so that none is here that the audit log does not tell of. */
static covey_status tell_received(covey_agent *agent, const uint8_t id[16], covey_error *error) {
    covey__audit_entry entry = {.event = "key-received"};
    covey__hex(id, 16, entry.to);
    return covey__agent_save_noting(agent, &agent->state, &entry, error);
}

/* Opens what came and keeps the key. What does not open was wrapped for a key that this device had
 * before, or for another device: a later wrapping may fit. */
static covey_status take_key(covey_agent *agent, const uint8_t id[16], const covey__buffer *answer,
                             covey_error *error) {
    uint8_t wrapped[COVEY__WRAPPED_KEY_BYTES], secret[32];
    char name[COVEY__CONTENT_KEY_NAME_SIZE];
    covey__content_key key;
    covey__arena arena;
    covey_error why = {0};
    covey__arena_init(&arena, agent->env, 64u << 10);
    covey_status status = read_wrapped(answer, &arena, wrapped, &why);
    covey__arena_free(&arena);
    if (!status && !secret_read(agent, DEVICE_KEY, secret))
        status = covey__fail(&why, COVEY_ERROR_NOT_FOUND, "this device has no key of its own");
    if (!status)
        status = covey__content_key_unwrap(agent->env, id, agent->state.device_id, secret, wrapped,
                                           &key, &why);
    explicit_bzero(secret, sizeof secret);
    if (status == COVEY_ERROR_UNSUPPORTED || status == COVEY_ERROR_NO_MEMORY) {
        if (error) *error = why;
        return status;
    }
    if (status) {
        covey__log(agent->env, COVEY_LOG_WARN, "agent", "a wrapped content key cannot be used: %s",
                   why.message);
        return not_given(id, error);
    }
    covey__content_key_name(id, name);
    status = tell_received(agent, id, error);
    if (!status) status = secret_write(agent, name, key.key, error);
    covey__content_key_wipe(&key);
    return status;
}

static covey_status fetch_key(covey_agent *agent, const uint8_t id[16], covey_error *error) {
    char hex[33];
    covey__buffer answer;
    int http_status = 0;
    covey__hex(id, 16, hex);
    covey__buffer_init(&answer, agent->env, ANSWER_BYTES_MAX);
    covey_status status = ask(agent, hex, &answer, &http_status, error);
    if (status == COVEY_ERROR_LIMIT)
        status = covey__fail_sizes(error, COVEY_ERROR_REMOTE, 0, http_status,
                                   "the control plane sent too much for a content key");
    if (!status && http_status == 404)
        status = not_given(id, error);
    else if (!status && http_status != 200)
        status =
            covey__fail_sizes(error, COVEY_ERROR_REMOTE, 0, http_status,
                              "content key %s: the control plane answered %d", hex, http_status);
    if (!status) status = take_key(agent, id, &answer, error);
    covey__buffer_free(&answer);
    return status;
}

covey_status covey__agent_keys_fetch(covey_agent *agent, const covey__manifest *manifest,
                                     covey_error *error) {
    covey__content_key key;
    for (size_t i = 0; i < manifest->component_count; i++) {
        const covey__component *component = &manifest->components[i];
        if (!component->encrypted) continue;
        bool here = content_key_here(agent, component->key_id, &key);
        covey__content_key_wipe(&key);
        covey_status status = here ? COVEY_OK : fetch_key(agent, component->key_id, error);
        if (status) return status;
    }
    return COVEY_OK;
}

covey_status covey__agent_keys_give(const covey_agent *agent, covey_ensemble *ensemble,
                                    covey_error *error) {
    const covey__manifest *manifest = covey__ensemble_manifest(ensemble);
    covey__content_key key;
    for (size_t i = 0; i < manifest->component_count; i++) {
        const covey__component *component = &manifest->components[i];
        if (!component->encrypted) continue;
        if (!content_key_here(agent, component->key_id, &key))
            return not_given(component->key_id, error);
        covey_status status = covey_ensemble_give_key(ensemble, key.key, error);
        covey__content_key_wipe(&key);
        if (status) return status;
    }
    return COVEY_OK;
}

/* A lost keystore took the keys of what is installed along: they are asked for again. */
void covey__agent_keys_refresh(covey_agent *agent) {
    const covey__agent_slot *slots[] = {&agent->state.current, &agent->state.previous};
    covey_error why = {0};
    covey_status status = COVEY_OK;
    for (int i = 0; i < 2; i++) {
        covey__manifest *manifest = NULL;
        if (!slots[i]->digest[0]) continue;
        char *folder = covey__agent_path(agent, "ensembles/%s", slots[i]->digest);
        if (folder && !covey__manifest_read(agent->env, folder, &manifest, NULL))
            status = covey__agent_keys_fetch(agent, manifest, &why);
        covey__manifest_free(manifest);
        covey__free(agent->env, folder);
    }
    if (agent->builtin && !status)
        status = covey__agent_keys_fetch(agent, covey__ensemble_manifest(agent->builtin), &why);
    if (status) covey__log(agent->env, COVEY_LOG_WARN, "agent", "%s", why.message);
}
