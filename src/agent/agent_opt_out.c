/* What the user switched off: policy.json says it, state.json keeps what was seen of it, so that
 * the audit log and the control plane learn of a change however it was made, and so that it holds
 * while policy.json cannot be read. Nothing that a publisher signs brings it back. */
#include "agent/agent_parts.h"

#include "base/error.h"

#include <stdio.h>
#include <string.h>

/* As the log and status have it; names beyond what fits are counted. */
static void describe(const covey__policy *policy, char out[COVEY__OPTED_OUT_SIZE]) {
    int32_t left = 0;
    size_t size = 0;
    char more[32] = "";
    out[0] = 0;
    if (!policy->update_enabled || !policy->features_all)
        size += (size_t)snprintf(out, COVEY__OPTED_OUT_SIZE, "updates");
    if (!policy->features_all)
        size += (size_t)snprintf(out + size, COVEY__OPTED_OUT_SIZE - size, ", the model");
    for (int32_t i = 0; i < policy->feature_off_count; i++) {
        const char *name = policy->features_off[i];
        if (size + strlen(name) + 40 < COVEY__OPTED_OUT_SIZE)
            size += (size_t)snprintf(out + size, COVEY__OPTED_OUT_SIZE - size, "%s%s",
                                     size ? ", " : "", name);
        else
            left++;
    }
    if (left) snprintf(more, sizeof more, " and %d more", (int)left);
    snprintf(out + size, COVEY__OPTED_OUT_SIZE - size, "%s", more);
}

covey_status covey__opt_out_notice(covey_agent *agent, bool *acted, covey_error *error) {
    covey__policy policy;
    char now[COVEY__OPTED_OUT_SIZE], release[132] = "assistant";
    covey__agent_state *state = &agent->state;
    covey__agent_actions actions;
    if (covey__agent_policy(agent, &policy, NULL)) return COVEY_OK; /* what was seen holds */
    describe(&policy, now);
    const char *product = covey__agent_product(agent);
    bool off = product[0] && covey__policy_opted_out(&policy, product, product);
    if (!strcmp(now, state->opted_out) && off == state->model_off) return COVEY_OK;
    *acted = true;
    memcpy(state->opted_out, now, sizeof now);
    state->model_off = off;
    if (!state->url[0]) return covey__agent_save(agent, state, error);
    if (state->current.digest[0])
        covey__release_name(release, state->current.name, state->current.version);
    else if (agent->builtin)
        covey__release_name(release, covey_ensemble_name(agent->builtin),
                            covey_ensemble_version(agent->builtin));
    else
        return covey__agent_save(agent, state, error);
    /* The fact and no more: which features a user has is not the control plane's matter. */
    covey__agent_event_in told = {.kind = COVEY__EVENT_TOLD,
                                  .outcome = "ok",
                                  .release = release,
                                  .message =
                                      now[0] ? "its user opted out" : "its user opted in again"};
    return covey__agent_event(agent, &told, &actions, error);
}

bool covey__ensembles_policy(const covey_agent *agent, covey__policy *policy) {
    const covey__agent_slot *current = &agent->state.current;
    covey_ensemble *ensemble = NULL;
    covey__buffer text;
    char *folder = current->digest[0]   ? covey__agent_path(agent, "ensembles/%s", current->digest)
                   : agent->builtin_dir ? covey__strdup(agent->env, agent->builtin_dir)
                                        : NULL;
    bool found = false;
    if (folder && !covey__consent_open(agent, folder, &ensemble, NULL)) {
        found =
            !covey__consent_component(agent, ensemble, "policy", &text, NULL) &&
            !covey__policy_parse(agent->env, text.data ? text.data : "", text.size, policy, NULL);
        covey__buffer_free(&text);
    }
    covey_ensemble_close(ensemble);
    covey__free(agent->env, folder);
    return found;
}

static covey__degrade degrade_of(const covey_agent *agent, const covey__policy *user,
                                 const char *feature) {
    covey__policy policy;
    bool known = covey__ensembles_policy(agent, &policy);
    return covey__policy_degrade(user, known ? &policy : NULL, feature, agent->builtin != NULL);
}

bool covey__opt_out_model(const covey_agent *agent, covey__degrade *to) {
    covey__policy user;
    const char *product = covey__agent_product(agent);
    bool off = agent->state.model_off;
    if (covey__agent_policy(agent, &user, NULL))
        covey__policy_init(&user);
    else
        off = product[0] && covey__policy_opted_out(&user, product, product);
    if (!off) return false;
    *to = degrade_of(agent, &user, product);
    return true;
}

covey_status covey__opt_out_fail(covey__degrade to, covey_error *error) {
    return covey__fail(error, COVEY_ERROR_DENIED,
                       "agent: its user opted out of the model on this device%s",
                       to == COVEY__DEGRADE_CLOUD ? "; the app may ask its cloud instead" : "");
}

/* ---- What the owner may ask -------------------------------------------------------------------
 */

static covey_status change(covey_agent *agent, const char *what, bool off, covey__policy *policy,
                           covey_error *error) {
    if (!strcmp(what, "updates") || (!strcmp(what, "all") && !off)) policy->update_enabled = !off;
    if (!strcmp(what, "updates")) return COVEY_OK;
    if (!strcmp(what, "all")) {
        policy->features_all = !off;
        if (!off) policy->feature_off_count = 0;
        return COVEY_OK;
    }
    (void)agent;
    if (strncmp(what, "feature:", 8))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "expected \"updates\", \"all\" or \"feature:NAME\"");
    return covey__policy_set_feature(policy, what + 8, off, error);
}

static covey_status write_policy(covey_agent *agent, const covey__policy *policy,
                                 covey_error *error) {
    covey__buffer out;
    covey__buffer_init(&out, agent->env, COVEY__POLICY_BYTES_MAX);
    char *path = covey__agent_path(agent, "policy.json");
    covey_status status =
        path ? covey__policy_write(policy, &out, error) : covey__no_memory(error, "a path", 0);
    if (!status) status = covey__file_replace(agent->env, path, out.data, out.size, error);
    covey__free(agent->env, path);
    covey__buffer_free(&out);
    return status;
}

covey_status covey_agent_opt_out(covey_agent *agent, const char *what, bool off,
                                 covey_error *error) {
    covey__policy policy;
    bool acted = false;
    int lock = -1;
    covey_status status = covey__agent_lock(agent, true, &lock, error);
    if (status) return covey__prefix(error, status, "opt-out");
    status = covey__agent_load(agent, error);
    if (!status) {
        status = covey__agent_policy(agent, &policy, error);
        if (status == COVEY_ERROR_BUSY)
            covey__prefix(error, status, "policy.json must be right, or gone, before");
    }
    if (!status) status = change(agent, what, off, &policy, error);
    if (!status) status = write_policy(agent, &policy, error);
    if (!status) status = covey__opt_out_notice(agent, &acted, error);
    covey__lock_drop(lock);
    return status ? covey__prefix(error, status, "opt-out") : COVEY_OK;
}

/* "off", "builtin", "cloud": what the app should do for a feature that its user switched off. */
bool covey_agent_feature(covey_agent *agent, const char *name, char degrade[16], char *reason,
                         size_t capacity) {
    covey__policy user;
    const char *product = covey__agent_product(agent);
    if (degrade) degrade[0] = 0;
    if (reason && capacity) reason[0] = 0;
    if (!covey__agent_policy(agent, &user, NULL) && covey__policy_opted_out(&user, product, name)) {
        if (degrade)
            snprintf(degrade, 16, "%s", covey__degrade_name(degrade_of(agent, &user, name)));
        if (reason && capacity) snprintf(reason, capacity, "its user switched it off");
        return false;
    }
    if (covey_agent_flag(agent, name, reason, capacity)) return true;
    if (degrade) snprintf(degrade, 16, "off");
    return false;
}
