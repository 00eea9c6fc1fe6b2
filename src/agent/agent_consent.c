/* Consent (docs/formats/policy.md): a staged ensemble that reaches further than what is here and
 * what was given waits in the phase "activate" until its user decides. What is given is kept in
 * consent.json; that the user gave it, in state.json first, so that the audit log has it whatever
 * happens next. A denial is kept in consent.json first: asked again, it refuses again. */
#include "agent/agent_parts.h"

#include "base/error.h"
#include "base/sha256.h"
#include "bundle/component_open.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CONSENT_BYTES_MAX (2u << 20)
#define DENIED_MAX        64

/* ---- consent.json -----------------------------------------------------------------------------
 */

typedef struct consents {
    covey__reach given;
    char denied[DENIED_MAX][65]; /* digests, oldest first */
    int32_t denied_count;
    bool exists; /* the file does, whatever is in it */
} consents;

static void read_denied(const covey__json *root, consents *all) {
    uint8_t digest[32];
    const covey__json *list = covey__json_get(root, "denied");
    for (const covey__json *item = list ? list->child : NULL; item; item = item->next) {
        if (item->kind != COVEY__JSON_STRING || all->denied_count == DENIED_MAX) continue;
        if (covey__unhex(item->text, item->size, digest, 32))
            memcpy(all->denied[all->denied_count++], item->text, 65);
    }
}

/* What cannot be read was not given. */
static covey_status read_consents(const covey_agent *agent, consents *all, covey_error *error) {
    covey__buffer text;
    covey__arena arena;
    const covey__json *root = NULL;
    covey__json_limits limits = {CONSENT_BYTES_MAX, 4, 4096};
    covey_error why = {0};
    all->denied_count = 0;
    covey__reach_init(&all->given, agent->env);
    covey__buffer_init(&text, agent->env, CONSENT_BYTES_MAX);
    covey__arena_init(&arena, agent->env, 16u << 20);
    char *path = covey__agent_path(agent, "consent.json");
    covey_status status = path ? covey__file_read(agent->env, path, &text, &why)
                               : covey__no_memory(error, "a path", 0);
    all->exists = status != COVEY_ERROR_NOT_FOUND;
    covey__free(agent->env, path);
    if (!status)
        status =
            covey__json_parse(&arena, text.data ? text.data : "", text.size, limits, &root, &why);
    const covey__json *list = !status ? covey__json_get(root, "given") : NULL;
    for (const covey__json *item = list ? list->child : NULL; !status && item; item = item->next)
        if (item->kind == COVEY__JSON_STRING)
            status = covey__reach_add(&all->given, item->text, &why);
    if (!status) read_denied(root, all);
    if (status && status != COVEY_ERROR_NOT_FOUND && status != COVEY_ERROR_NO_MEMORY)
        covey__log(agent->env, COVEY_LOG_ERROR, "agent", "consent.json: %s", why.message);
    covey__arena_free(&arena);
    covey__buffer_free(&text);
    if (status != COVEY_ERROR_NO_MEMORY) return COVEY_OK;
    if (error) *error = why;
    return status;
}

static covey_status write_consents(const covey_agent *agent, const consents *all,
                                   covey_error *error) {
    covey__buffer out;
    covey__json_writer json;
    covey__buffer_init(&out, agent->env, CONSENT_BYTES_MAX);
    covey__json_writer_init(&json, &out, true);
    covey__json_begin_object(&json);
    covey__json_member_i64(&json, "format", 1);
    covey__json_name(&json, "given");
    covey__json_begin_array(&json);
    for (size_t i = 0; i < all->given.count; i++)
        covey__json_put_string(&json, all->given.lines[i]);
    covey__json_end_array(&json);
    covey__json_name(&json, "denied");
    covey__json_begin_array(&json);
    for (int32_t i = 0; i < all->denied_count; i++) covey__json_put_string(&json, all->denied[i]);
    covey__json_end_array(&json);
    covey__json_end_object(&json);
    covey_status status = covey__buffer_check(&out, error, "consent.json");
    char *path = covey__agent_path(agent, "consent.json");
    if (!status && !path) status = covey__no_memory(error, "a path", 0);
    if (!status) status = covey__file_replace(agent->env, path, out.data, out.size, error);
    covey__free(agent->env, path);
    covey__buffer_free(&out);
    return status;
}

static bool was_denied(const consents *all, const char *digest) {
    for (int32_t i = 0; i < all->denied_count; i++)
        if (!strcmp(all->denied[i], digest)) return true;
    return false;
}

/* ---- Reach ------------------------------------------------------------------------------------
 */

covey_status covey__consent_open(const covey_agent *agent, const char *folder,
                                 covey_ensemble **ensemble, covey_error *error) {
    covey_error why = {0};
    *ensemble = NULL;
    covey_status status =
        covey_ensemble_open(agent->runtime, folder, COVEY_CHECK_MANIFEST, ensemble, error);
    if (!status && covey__agent_keys_give(agent, *ensemble, &why))
        covey__log(agent->env, COVEY_LOG_DEBUG, "agent", "consent: %s", why.message);
    return status;
}

covey_status covey__consent_component(const covey_agent *agent, const covey_ensemble *ensemble,
                                      const char *role, covey__buffer *out, covey_error *error) {
    const covey__component *component =
        covey__manifest_find(covey__ensemble_manifest(ensemble), role);
    covey__map map;
    covey__buffer_init(out, agent->env, COVEY__TOOLS_BYTES_MAX);
    if (!component) return COVEY_ERROR_NOT_FOUND;
    covey_status status = covey__component_map(ensemble, component, &map, error);
    if (status) return status == COVEY_ERROR_NOT_FOUND ? COVEY_ERROR_MISMATCH : status;
    covey__buffer_append(out, map.data, map.size);
    covey__map_close(&map);
    return covey__buffer_check(out, error, role);
}

static covey_status add_policy(const covey_agent *agent, const covey__buffer *text,
                               covey__reach *reach, covey_error *error) {
    covey__policy policy;
    const char *data = text->data ? text->data : "";
    covey_status status = covey__policy_parse(agent->env, data, text->size, &policy, error);
    return status ? status : covey__reach_add_policy(reach, &policy, error);
}

covey_status covey__consent_reach(const covey_agent *agent, const char *folder, covey__reach *reach,
                                  covey_error *error) {
    covey_ensemble *ensemble = NULL;
    covey__buffer text;
    covey_status status = covey__consent_open(agent, folder, &ensemble, error);
    if (status) return status;
    status = covey__consent_component(agent, ensemble, "tools", &text, error);
    if (!status)
        status = covey__reach_add_tools(reach, text.data ? text.data : "", text.size, error);
    covey__buffer_free(&text);
    if (!status || status == COVEY_ERROR_NOT_FOUND) {
        status = covey__consent_component(agent, ensemble, "policy", &text, error);
        if (!status) status = add_policy(agent, &text, reach, error);
        covey__buffer_free(&text);
    }
    covey_ensemble_close(ensemble);
    return status == COVEY_ERROR_NOT_FOUND ? COVEY_OK : status;
}

/* What is here; what of it cannot be read, reaches nothing. */
static void add_present(const covey_agent *agent, covey__reach *present) {
    const covey__agent_slot *current = &agent->state.current;
    covey_error why = {0};
    char *folder = current->digest[0]   ? covey__agent_path(agent, "ensembles/%s", current->digest)
                   : agent->builtin_dir ? covey__strdup(agent->env, agent->builtin_dir)
                                        : NULL;
    if (folder && covey__consent_reach(agent, folder, present, &why))
        covey__log(agent->env, COVEY_LOG_WARN, "agent", "consent: %s", why.message);
    covey__free(agent->env, folder);
}

static covey_status ask(const covey_agent *agent, const consents *all, covey__reach *missing,
                        covey_error *error) {
    covey__reach wanted, present;
    covey__reach_init(&wanted, agent->env);
    covey__reach_init(&present, agent->env);
    char *folder = covey__agent_path(agent, "ensembles/%s", agent->state.update.digest);
    covey_status status = folder ? covey__consent_reach(agent, folder, &wanted, error)
                                 : covey__no_memory(error, "a path", 0);
    if (!status) {
        add_present(agent, &present);
        status = covey__reach_missing(&wanted, &present, &all->given, missing, error);
    }
    covey__reach_free(&wanted);
    covey__reach_free(&present);
    covey__free(agent->env, folder);
    return status;
}

covey_status covey__consent_asks(const covey_agent *agent, covey__reach *missing,
                                 covey_error *error) {
    consents *all = covey__alloc(agent->env, sizeof *all);
    covey__reach_init(missing, agent->env);
    if (!all) return covey__no_memory(error, "consents", sizeof *all);
    covey_status status = read_consents(agent, all, error);
    if (!status && agent->state.update.phase == COVEY__PHASE_ACTIVATE)
        status = ask(agent, all, missing, error);
    covey__reach_free(&all->given);
    covey__free(agent->env, all);
    return status;
}

/* ---- Deciding ---------------------------------------------------------------------------------
 */

/* The user said yes to what is missing: it is kept, and nothing is missing any more. */
static covey_status keep_given(const covey_agent *agent, consents *all, const covey__reach *missing,
                               covey_error *error) {
    covey_status status = COVEY_OK;
    for (size_t i = 0; !status && i < missing->count; i++)
        status = covey__reach_add(&all->given, missing->lines[i], error);
    return status ? status : write_consents(agent, all, error);
}

static covey_status wait_for_it(covey_agent *agent, const covey__reach *missing,
                                covey_error *error) {
    char more[40] = "";
    if (missing->count > 1) snprintf(more, sizeof more, ", and %zu more", missing->count - 1);
    agent->state.update.consent = COVEY__CONSENT_ASKED;
    return covey__fail(error, COVEY_ERROR_BUSY,
                       "consent: it %.120s%s; covey consent give or deny decides",
                       missing->lines[0], more);
}

/* A device that never had an ensemble was enrolled for this one. */
static bool is_first(const covey_agent *agent, const consents *all) {
    return !all->exists && !agent->builtin_dir && !agent->state.current.digest[0] &&
           !agent->state.previous.digest[0] && !agent->state.stopped[0];
}

static covey_status decide(covey_agent *agent, consents *all, const covey__policy *policy,
                           covey_error *error) {
    covey__reach missing;
    if (was_denied(all, agent->state.update.digest))
        return covey__fail(error, COVEY_ERROR_REFUSED, COVEY__CONSENT_DENIED);
    covey__reach_init(&missing, agent->env);
    covey_status status = ask(agent, all, &missing, error);
    bool agreed = agent->state.update.consent == COVEY__CONSENT_GIVEN || !policy->consent_ask ||
                  is_first(agent, all);
    if (!status && missing.count)
        status =
            agreed ? keep_given(agent, all, &missing, error) : wait_for_it(agent, &missing, error);
    covey__reach_free(&missing);
    return status;
}

covey_status covey__consent_check(covey_agent *agent, covey_error *error) {
    covey__policy policy;
    covey_status status = covey__agent_policy(agent, &policy, error);
    if (status) return status;
    if (!policy.update_enabled || !policy.features_all)
        return covey__fail(error, COVEY_ERROR_BUSY, "%s: its user switched updates off",
                           policy.features_all ? "update.enabled" : "features.all");
    consents *all = covey__alloc(agent->env, sizeof *all);
    if (!all) return covey__no_memory(error, "consents", sizeof *all);
    status = read_consents(agent, all, error);
    if (!status) status = decide(agent, all, &policy, error);
    covey__reach_free(&all->given);
    covey__free(agent->env, all);
    return status;
}

static covey_status deny(covey_agent *agent, covey_error *error) {
    covey__agent_actions actions;
    covey__agent_event_in event = {.kind = COVEY__EVENT_REFUSED, .message = COVEY__CONSENT_DENIED};
    consents *all = covey__alloc(agent->env, sizeof *all);
    if (!all) return covey__no_memory(error, "consents", sizeof *all);
    covey_status status = read_consents(agent, all, error);
    if (!status && !was_denied(all, agent->state.update.digest)) {
        if (all->denied_count == DENIED_MAX)
            memmove(all->denied[0], all->denied[1], (DENIED_MAX - 1) * sizeof *all->denied);
        else
            all->denied_count++;
        memcpy(all->denied[all->denied_count - 1], agent->state.update.digest, 65);
        status = write_consents(agent, all, error);
    }
    covey__reach_free(&all->given);
    covey__free(agent->env, all);
    return status ? status : covey__agent_event(agent, &event, &actions, error);
}

static covey_status give(covey_agent *agent, covey_error *error) {
    covey__agent_state *next = covey__alloc(agent->env, sizeof *next);
    if (!next) return covey__no_memory(error, "the agent's state", sizeof *next);
    *next = agent->state;
    next->update.consent = COVEY__CONSENT_GIVEN;
    next->update.retry_at_ms = 0;
    covey_status status = covey__agent_save(agent, next, error);
    if (!status) agent->state = *next;
    covey__free(agent->env, next);
    return status;
}

covey_status covey_agent_consent(covey_agent *agent, const char *digest, bool given,
                                 covey_error *error) {
    const covey__agent_update *update = &agent->state.update;
    int lock = -1;
    covey_status status = covey__agent_lock(agent, true, &lock, error);
    if (status) return covey__prefix(error, status, "consent");
    status = covey__agent_load(agent, error);
    bool asked = update->phase == COVEY__PHASE_ACTIVATE && update->consent == COVEY__CONSENT_ASKED;
    if (!status && (!asked || (digest && strcmp(digest, update->digest))))
        status = covey__fail(error, COVEY_ERROR_NOT_FOUND, "nothing waits for consent%s",
                             digest && asked ? " under that digest" : "");
    if (!status) status = given ? give(agent, error) : deny(agent, error);
    covey__lock_drop(lock);
    return status ? covey__prefix(error, status, "consent") : COVEY_OK;
}

size_t covey_agent_asks(covey_agent *agent, char digest[65], covey_agent_ask_fn each, void *user) {
    covey__reach missing;
    const covey__agent_update *update = &agent->state.update;
    bool asked = update->phase == COVEY__PHASE_ACTIVATE && update->consent == COVEY__CONSENT_ASKED;
    if (digest) snprintf(digest, 65, "%s", asked ? update->digest : "");
    if (!asked) return 0;
    covey_status status = covey__consent_asks(agent, &missing, NULL);
    size_t count = status ? 0 : missing.count;
    for (size_t i = 0; each && i < count; i++) each(user, missing.lines[i]);
    covey__reach_free(&missing);
    return count;
}
