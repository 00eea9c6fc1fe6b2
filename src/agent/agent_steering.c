/* Statements of the publisher on this device (docs/formats/steering.md): taken when the metadata
 * names a new document, held in steering.json, obeyed with a network or without. The rules are
 * src/bundle/steering.c; this file knows who this device is, and what is here.
 *
 * A document is believed in memory only once it is stored, and what is in memory is left only for
 * one that follows it. state.json keeps the highest serial, so that a file that was lost is no way
 * back to an older one. */
#include "agent/agent_parts.h"

#include "base/error.h"
#include "base/semver.h"
#include "base/sha256.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *covey__agent_product(const covey_agent *agent) {
    if (agent->state.current.digest[0]) return agent->state.current.name;
    return agent->builtin ? covey_ensemble_name(agent->builtin) : "";
}

/* ---- Holding ----------------------------------------------------------------------------------
 */

static void hex_of(const covey__buffer *bytes, char out[65]) {
    uint8_t digest[32];
    covey__sha256_of(bytes->data ? bytes->data : "", bytes->size, digest);
    covey__hex(digest, 32, out);
}

/* Puts a parsed document into memory; takes it. */
static void hold(covey_agent *agent, covey__steering *steering, const char *sha256) {
    covey__agent_trust *trust = &agent->state.trust;
    covey__steering_free(agent->steering);
    agent->steering = steering;
    memcpy(agent->steering_sha256, sha256, sizeof agent->steering_sha256);
    bool same = !strcmp(trust->steering_product, steering->product);
    if (same && steering->serial <= trust->steering_serial) return;
    snprintf(trust->steering_product, sizeof trust->steering_product, "%s", steering->product);
    trust->steering_serial = steering->serial;
}

void covey__steering_load(covey_agent *agent) {
    covey__buffer text;
    covey__steering *steering = NULL;
    covey_error why = {0};
    char sha256[65] = "";
    covey__buffer_init(&text, agent->env, COVEY__STEERING_BYTES_MAX);
    char *path = covey__agent_path(agent, "steering.json");
    covey_status status = path ? covey__file_read(agent->env, path, &text, &why)
                               : covey__no_memory(&why, "a path", 0);
    if (!status) hex_of(&text, sha256);
    if (!status && strcmp(sha256, agent->steering_sha256)) {
        status = covey__steering_parse(agent->env, text.data ? text.data : "", text.size, &steering,
                                       &why);
        if (!status) hold(agent, steering, sha256);
    }
    bool is_new = status && strcmp(sha256, agent->steering_damaged) != 0;
    memcpy(agent->steering_damaged, status ? sha256 : "", status ? sizeof sha256 : 1);
    if (is_new && status != COVEY_ERROR_NOT_FOUND)
        covey__log(agent->env, COVEY_LOG_ERROR, "agent", "steering.json: %s", why.message);
    covey__free(agent->env, path);
    covey__buffer_free(&text);
}

/* Whether a document may take the place of what was seen. */
static covey_status check_next(const covey_agent *agent, const char *product,
                               const covey__steering *next, covey_error *error) {
    const covey__agent_trust *trust = &agent->state.trust;
    const covey__steering *held = agent->steering;
    if (strcmp(next->product, product))
        return covey__fail(error, COVEY_ERROR_DENIED,
                           "steering: it is of the product %s, not of %s", next->product, product);
    if (held && !strcmp(held->product, product)) {
        covey_status status = covey__steering_follows(held, next, error);
        return status == COVEY_ERROR_EXISTS ? COVEY_ERROR_DENIED : status;
    }
    if (!strcmp(trust->steering_product, product) && next->serial < trust->steering_serial)
        return covey__fail(error, COVEY_ERROR_DENIED,
                           "steering: serial %" PRId64 " is below the one seen, %" PRId64,
                           next->serial, trust->steering_serial);
    return COVEY_OK;
}

static covey_status store(covey_agent *agent, const covey__buffer *text, covey_error *error) {
    char *path = covey__agent_path(agent, "steering.json");
    covey_status status = path
                              ? covey__file_replace(agent->env, path, text->data, text->size, error)
                              : covey__no_memory(error, "a path", 0);
    covey__free(agent->env, path);
    return status;
}

covey_status covey__steering_take(covey_agent *agent, const char *product,
                                  const covey_tuf_target *target, covey_error *error) {
    covey__steering *next = NULL;
    covey__buffer text;
    char sha256[65];
    covey__hex(target->sha256, 32, sha256);
    if (!strcmp(sha256, agent->steering_sha256)) return COVEY_OK;
    if (!target->has_sha256 || target->length > COVEY__STEERING_BYTES_MAX)
        return covey__fail_sizes(error, COVEY_ERROR_FORMAT, COVEY__STEERING_BYTES_MAX,
                                 (int64_t)target->length,
                                 "steering: a document of at most %u bytes with a SHA-256 expected",
                                 COVEY__STEERING_BYTES_MAX);
    covey__buffer_init(&text, agent->env, COVEY__STEERING_BYTES_MAX);
    covey_status status =
        covey__agent_get_blob(agent, target->sha256, target->length, &text, error);
    if (!status) status = covey__steering_parse(agent->env, text.data, text.size, &next, error);
    if (!status) status = check_next(agent, product, next, error);
    if (!status) status = store(agent, &text, error);
    covey__buffer_free(&text);
    if (status) {
        covey__steering_free(next);
        return status;
    }
    hold(agent, next, sha256);
    covey__agent_tell(agent, COVEY_AGENT_EVENT_DONE, "check-in", "", 0, 0,
                      "statements of serial %" PRId64 " hold", next->serial);
    return COVEY_OK;
}

/* ---- Judging ----------------------------------------------------------------------------------
 */

/* Who this device is. */
static covey__steering_device device_of(const covey_agent *agent) {
    covey_device_facts facts = {.size = sizeof facts};
    bool known = !covey_device_read(agent->runtime, agent->state_dir, &facts, NULL);
    return (covey__steering_device){
        .device_class = known ? covey_device_class_name(facts.device_class) : "",
        .device_id = agent->state.device_id,
        .app_version = agent->app_version,
    };
}

/* What holds for ensembles of this name; NULL: nothing does. */
static const covey__steering *steering_of(const covey_agent *agent, const char *name) {
    const covey__steering *steering = agent->steering;
    return steering && !strcmp(steering->product, name) ? steering : NULL;
}

static const char *version_here(const covey_agent *agent) {
    if (agent->state.current.digest[0]) return agent->state.current.version;
    return agent->builtin ? covey_ensemble_version(agent->builtin) : "";
}

void covey__steering_judge(const covey_agent *agent, covey__agent_event_in *event,
                           covey_error *why) {
    const covey__agent_update *target = event->target;
    event->denied = NULL;
    event->downgrade = false;
    if (!target) return;
    if (agent->builtin) {
        event->builtin_name = covey_ensemble_name(agent->builtin);
        event->builtin_version = covey_ensemble_version(agent->builtin);
    }
    const char *product = covey__agent_product(agent), *here = version_here(agent);
    covey__steering_device device = device_of(agent);
    if (product[0] && strcmp(product, target->name)) {
        (void)covey__fail(why, COVEY_ERROR_DENIED, "the ensembles of this device are %s", product);
        event->denied = why->message;
        return;
    }
    if (here[0] && !covey__semver_compare(target->version, here)) return; /* it is here already */
    if (covey__steering_may_install(steering_of(agent, target->name), &device, here,
                                    target->version, "", why))
        event->denied = why->message;
    else
        event->downgrade = here[0] && covey__semver_compare(target->version, here) < 0;
}

bool covey__steering_stops(const covey_agent *agent, const char *name, const char *version,
                           const char *variant, covey_error *why) {
    const covey__steering *steering = steering_of(agent, name);
    if (!steering) return false;
    covey__steering_device device = device_of(agent);
    const covey__steering_statement *statement =
        covey__steering_killed(steering, &device, version, variant);
    if (!statement) return false;
    char reason[200];
    (void)covey__fail(
        why, COVEY_ERROR_DENIED, "off by steering %s: %s", statement->id,
        covey__printable(statement->reason, strlen(statement->reason), reason, sizeof reason));
    return true;
}

bool covey__steering_forbids_return(const covey_agent *agent, const covey__agent_slot *slot,
                                    covey_error *why) {
    const char *name, *version, *variant;
    if (!slot && !agent->builtin) return false;
    name = slot ? slot->name : covey_ensemble_name(agent->builtin);
    version = slot ? slot->version : covey_ensemble_version(agent->builtin);
    variant = slot ? slot->variant : covey_ensemble_variant(agent->builtin);
    const covey__steering *steering = steering_of(agent, name);
    if (!steering) return false;
    covey__steering_device device = device_of(agent);
    return covey__steering_may_return(steering, &device, version, variant, !slot, why) != COVEY_OK;
}

bool covey__agent_is_off(const covey_agent *agent, covey_error *why) {
    const covey__agent_state *state = &agent->state;
    if (state->current.digest[0]) return false;
    if (agent->builtin)
        return covey__steering_stops(agent, covey_ensemble_name(agent->builtin),
                                     covey_ensemble_version(agent->builtin),
                                     covey_ensemble_variant(agent->builtin), why);
    if (!state->stopped[0] || agent->builtin_dir) return false;
    (void)covey__fail(why, COVEY_ERROR_DENIED, "%s", state->stopped);
    return true;
}

/* ---- Obeying ----------------------------------------------------------------------------------
 */

static covey_status stop_current(covey_agent *agent, const covey_error *why, covey_error *error) {
    covey__agent_actions actions;
    char release[132];
    covey__agent_event_in event = {.kind = COVEY__EVENT_CURRENT_STOPPED, .message = why->message};
    covey__release_name(release, agent->state.current.name, agent->state.current.version);
    covey_status status = covey__agent_event(agent, &event, &actions, error);
    if (!status)
        covey__agent_tell(agent, COVEY_AGENT_EVENT_DONE, "return", release, 0, 0, "%s",
                          why->message);
    return status;
}

static bool update_is_forbidden(const covey_agent *agent, covey_error *why) {
    const covey__agent_update *update = &agent->state.update;
    const covey__steering *steering = steering_of(agent, update->name);
    if (update->phase == COVEY__PHASE_NONE || !steering) return false;
    covey__steering_device device = device_of(agent);
    return covey__steering_may_install(steering, &device, version_here(agent), update->version,
                                       update->variant, why) != COVEY_OK;
}

covey_status covey__steering_obey(covey_agent *agent, bool *acted, covey_error *error) {
    const covey__agent_slot *current = &agent->state.current;
    covey__agent_actions actions;
    covey_error why = {0};
    char release[132];
    if (!agent->steering) return COVEY_OK;
    if (current->digest[0] &&
        covey__steering_stops(agent, current->name, current->version, current->variant, &why)) {
        *acted = true;
        return stop_current(agent, &why, error);
    }
    if (!update_is_forbidden(agent, &why)) return COVEY_OK;
    *acted = true;
    covey__agent_event_in event = {.kind = COVEY__EVENT_UPDATE_STOPPED, .message = why.message};
    covey__agent_release(agent, release);
    covey_status status = covey__agent_event(agent, &event, &actions, error);
    if (!status)
        covey__agent_tell(agent, COVEY_AGENT_EVENT_REFUSED, "plan", release, 0, 0, "stopped: %s",
                          why.message);
    return status;
}

/* ---- Telling ----------------------------------------------------------------------------------
 */

void covey__steering_each(const covey_agent *agent, covey__statement_fn each, void *user) {
    const char *product = covey__agent_product(agent), *here = version_here(agent);
    const covey__steering *steering = product[0] ? steering_of(agent, product) : agent->steering;
    if (!steering) return;
    covey__steering_device device = device_of(agent);
    const covey__steering_statement *pin = covey__steering_pinned(steering, &device);
    const covey__steering_statement *minimum = covey__steering_minimum(steering, &device);
    const covey__steering_statement *end =
        here[0] ? covey__steering_end_of_support(steering, &device, here) : NULL;
    if (pin) each(user, pin, pin->version);
    if (minimum) each(user, minimum, minimum->version);
    if (end) each(user, end, here);
    for (size_t i = 0; i < steering->statement_count; i++) {
        const covey__steering_statement *one = &steering->statements[i];
        if (one->kind == COVEY__STEERING_KILL && covey__steering_applies(one, &device))
            each(user, one, one->versions);
        else if (one->kind == COVEY__STEERING_FLAG && covey__steering_applies(one, &device))
            each(user, one, one->flag);
    }
}

bool covey_agent_flag(covey_agent *agent, const char *name, char *reason, size_t capacity) {
    covey__steering_load(agent);
    const char *product = covey__agent_product(agent);
    const covey__steering *steering = product[0] ? steering_of(agent, product) : agent->steering;
    covey__steering_device device = device_of(agent);
    const covey__steering_statement *off =
        steering ? covey__steering_flag_off(steering, &device, name) : NULL;
    const char *why = off ? off->reason : "";
    if (reason && capacity) covey__printable(why, strlen(why), reason, capacity);
    return !off;
}
