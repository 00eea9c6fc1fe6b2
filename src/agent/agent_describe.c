/* The agent's state in a struct, for programs that show it to people. The same as a document is in
 * agent_state.c. */
#include "agent/agent_parts.h"

#include "base/error.h"
#include "base/utc.h"

#include <stdio.h>
#include <string.h>

static void fill_slot(covey_agent_slot_info *out, const char *name, const char *version,
                      const char *variant, const char *digest) {
    if (!digest[0]) return;
    snprintf(out->name, sizeof out->name, "%s", name);
    snprintf(out->version, sizeof out->version, "%s", version);
    snprintf(out->variant, sizeof out->variant, "%s", variant);
    snprintf(out->digest, sizeof out->digest, "%s", digest);
}

static void fill(const covey_agent *agent, const covey__agent_state *state,
                 covey_agent_summary *out) {
    const covey__agent_update *update = &state->update;
    const covey__agent_slot *current = &state->current, *previous = &state->previous;
    if (agent->builtin)
        fill_slot(&out->builtin, covey_ensemble_name(agent->builtin),
                  covey_ensemble_version(agent->builtin), covey_ensemble_variant(agent->builtin),
                  covey_ensemble_digest(agent->builtin));
    fill_slot(&out->current, current->name, current->version, current->variant, current->digest);
    fill_slot(&out->previous, previous->name, previous->version, previous->variant,
              previous->digest);
    if (update->phase >= COVEY__PHASE_PROBE)
        fill_slot(&out->staged, update->name, update->version, update->variant, update->digest);
    out->trial = current->trial;
    out->paused = state->paused;
    out->trial_good = current->good;
    out->trial_failed = current->failed;
    out->without_probes = current->without_probes;
    out->refused_count = state->refused_count;
    for (int32_t i = 0; i < state->refused_count && i < 8; i++) {
        const covey__agent_refusal *one = &state->refused[state->refused_count - 1 - i];
        covey__agent_say(out->refused[i], sizeof out->refused[i], "%s: %s", one->release,
                         one->message);
    }
    snprintf(out->control_plane, sizeof out->control_plane, "%s", state->url);
    snprintf(out->problem, sizeof out->problem, "%s", state->checkin_message);
    out->last_checkin_ms = state->last_checkin_ms;
    out->reports_waiting = state->outbox_count;
    if (!state->last.id[0]) return;
    snprintf(out->last_phase, sizeof out->last_phase, "%s", covey__phase_name(state->last.phase));
    snprintf(out->last_release, sizeof out->last_release, "%s", state->last.release);
    snprintf(out->last_outcome, sizeof out->last_outcome, "%s", state->last.outcome);
    snprintf(out->last_message, sizeof out->last_message, "%s", state->last.message);
}

static void add_statement(void *user, const covey__steering_statement *statement,
                          const char *subject) {
    covey_agent_summary *out = user;
    char end[COVEY__UTC_SIZE] = "";
    size_t count = sizeof out->statements / sizeof *out->statements;
    if ((size_t)out->statement_count++ >= count) return;
    if (statement->kind == COVEY__STEERING_END_OF_SUPPORT) covey__utc_format(statement->at_ms, end);
    covey__agent_say(out->statements[out->statement_count - 1], sizeof *out->statements,
                     "%s %s: %s%s%s: %s", covey__steering_kind_name(statement->kind), statement->id,
                     subject, end[0] ? " at " : "", end, statement->reason);
}

static void fill_trust(const covey_agent *agent, covey_agent_summary *out) {
    const covey__agent_trust *trust = &agent->state.trust;
    covey_error why = {0};
    snprintf(out->held_back, sizeof out->held_back, "%s", trust->message);
    out->metadata_version = trust->timestamp;
    out->metadata_expires_ms = trust->expires_ms;
    out->steering_serial = agent->steering ? agent->steering->serial : 0;
    if (covey__agent_is_off(agent, &why))
        covey__agent_say(out->off, sizeof out->off, "%s", why.message);
    covey__steering_each(agent, add_statement, out);
}

static void fill_users_word(covey_agent *agent, covey_agent_summary *out) {
    covey__degrade to;
    snprintf(out->opted_out, sizeof out->opted_out, "%s", agent->state.opted_out);
    if (covey__opt_out_model(agent, &to))
        snprintf(out->degrade, sizeof out->degrade, "%s", covey__degrade_name(to));
    out->ask_count = (int32_t)covey_agent_asks(agent, NULL, NULL, NULL);
}

covey_status covey_agent_describe(covey_agent *agent, covey_agent_summary *summary,
                                  covey_error *error) {
    covey_agent_summary full = COVEY_AGENT_SUMMARY_INIT;
    covey__agent_state *fresh = covey__alloc(agent->env, sizeof *fresh);
    if (!fresh) return covey__no_memory(error, "the agent's state", sizeof *fresh);
    covey_status status = covey__state_load(agent->env, agent->state_dir, fresh, error);
    if (!status) {
        covey__policy policy;
        agent->state = *fresh;
        covey__steering_load(agent);
        fill(agent, fresh, &full);
        fill_trust(agent, &full);
        fill_users_word(agent, &full);
        if (covey__agent_policy(agent, &policy, NULL)) covey__policy_init(&policy);
        full.drain_deadline_ms = policy.drain_deadline_ms;
        covey__trial_policy(agent, &policy);
        full.trial_answers = policy.trial_answers;
        full.trial_time_ms = policy.trial_time_ms;
        full.size = summary->size;
        memcpy(summary, &full, summary->size < sizeof full ? summary->size : sizeof full);
    }
    covey__free(agent->env, fresh);
    return status;
}
