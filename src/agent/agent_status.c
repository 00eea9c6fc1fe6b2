/* The agent's state as a JSON document for programs (schema/status.schema.json), and the slots as a
 * check-in has them. For people it is a struct: agent_describe.c. */
#include "agent/agent_parts.h"

#include "base/error.h"
#include "base/json.h"

#include <stdio.h>
#include <string.h>

static void put_public_slot(covey__json_writer *json, const char *name,
                            const covey__agent_slot *slot, const char *state) {
    if (!covey__state_begin_slot(json, name, slot)) return;
    covey__json_member_string(json, "state", state);
    if (slot->without_probes) covey__json_member_bool(json, "without_probes", true);
    covey__json_end_object(json);
}

static void put_builtin(covey__json_writer *json, const covey_ensemble *builtin) {
    covey__agent_slot slot = {0};
    if (builtin) {
        snprintf(slot.name, sizeof slot.name, "%s", covey_ensemble_name(builtin));
        snprintf(slot.version, sizeof slot.version, "%s", covey_ensemble_version(builtin));
        snprintf(slot.variant, sizeof slot.variant, "%s", covey_ensemble_variant(builtin));
        snprintf(slot.digest, sizeof slot.digest, "%s", covey_ensemble_digest(builtin));
    }
    put_public_slot(json, "builtin", &slot, "good");
}

static void put_staged(covey__json_writer *json, const covey__agent_update *update) {
    covey__agent_slot slot = {0};
    if (update->phase >= COVEY__PHASE_PROBE) {
        memcpy(slot.name, update->name, sizeof slot.name);
        memcpy(slot.version, update->version, sizeof slot.version);
        memcpy(slot.variant, update->variant, sizeof slot.variant);
        memcpy(slot.digest, update->digest, sizeof slot.digest);
    }
    put_public_slot(json, "staged", &slot, "staged");
}

void covey__state_write_slots(const covey_agent *agent, covey__json_writer *json) {
    const covey__agent_state *state = &agent->state;
    covey__json_name(json, "slots");
    covey__json_begin_object(json);
    put_builtin(json, agent->builtin);
    put_public_slot(json, "current", &state->current, state->current.trial ? "trial" : "good");
    put_public_slot(json, "previous", &state->previous, "good");
    put_staged(json, &state->update);
    covey__json_end_object(json);
}

static void put_trust(const covey_agent *agent, covey__json_writer *json) {
    const covey__agent_trust *trust = &agent->state.trust;
    covey__json_name(json, "trust");
    covey__json_begin_object(json);
    covey__json_member_string(json, "root_sha256",
                              trust->root_sha256[0] ? trust->root_sha256 : NULL);
    covey__json_member_i64(json, "root", trust->root);
    covey__json_member_i64(json, "timestamp", trust->timestamp);
    covey__json_member_i64(json, "expires_ms", trust->expires_ms);
    covey__json_member_string(json, "held_back", trust->message[0] ? trust->message : NULL);
    covey__json_end_object(json);
}

static void put_statement(void *user, const covey__steering_statement *statement,
                          const char *subject) {
    covey__json_writer *json = user;
    covey__json_begin_object(json);
    covey__json_member_string(json, "kind", covey__steering_kind_name(statement->kind));
    covey__json_member_string(json, "id", statement->id);
    covey__json_member_string(json, "subject", subject);
    if (statement->kind == COVEY__STEERING_END_OF_SUPPORT)
        covey__json_member_i64(json, "at_ms", statement->at_ms);
    covey__json_member_string(json, "reason", statement->reason);
    covey__json_member_string(json, "author", statement->author);
    covey__json_member_string(json, "issued", statement->issued);
    covey__json_end_object(json);
}

/* What the publisher's statements say here, and whether they left nothing to serve. */
static void put_steering(const covey_agent *agent, covey__json_writer *json) {
    covey_error why = {0};
    covey__json_name(json, "steering");
    if (!agent->steering) {
        covey__json_put_null(json);
        return;
    }
    covey__json_begin_object(json);
    covey__json_member_string(json, "product", agent->steering->product);
    covey__json_member_i64(json, "serial", agent->steering->serial);
    covey__json_member_string(json, "off", covey__agent_is_off(agent, &why) ? why.message : NULL);
    covey__json_name(json, "statements");
    covey__json_begin_array(json);
    covey__steering_each(agent, put_statement, json);
    covey__json_end_array(json);
    covey__json_end_object(json);
}

/* What the user switched off, and what the staged ensemble asks for. */
static void put_users_word(const covey_agent *agent, covey__json_writer *json) {
    const covey__agent_update *update = &agent->state.update;
    covey__degrade to;
    covey__reach missing;
    bool left = covey__opt_out_model(agent, &to);
    covey__json_member_string(json, "opted_out",
                              agent->state.opted_out[0] ? agent->state.opted_out : NULL);
    covey__json_member_string(json, "degrade", left ? covey__degrade_name(to) : NULL);
    covey__json_name(json, "consent");
    if (update->phase != COVEY__PHASE_ACTIVATE || update->consent != COVEY__CONSENT_ASKED ||
        covey__consent_asks(agent, &missing, NULL)) {
        covey__json_put_null(json);
        return;
    }
    covey__json_begin_object(json);
    covey__json_member_string(json, "name", update->name);
    covey__json_member_string(json, "version", update->version);
    covey__json_member_string(json, "digest", update->digest);
    covey__json_name(json, "asks");
    covey__json_begin_array(json);
    for (size_t i = 0; i < missing.count; i++) covey__json_put_string(json, missing.lines[i]);
    covey__json_end_array(json);
    covey__json_end_object(json);
    covey__reach_free(&missing);
}

/* How far a trial came, and what it has to show. */
static void put_trial(const covey_agent *agent, covey__json_writer *json) {
    const covey__agent_slot *current = &agent->state.current;
    covey__policy policy;
    covey__json_name(json, "trial");
    if (!current->digest[0] || !current->trial) {
        covey__json_put_null(json);
        return;
    }
    covey__trial_policy(agent, &policy);
    covey__json_begin_object(json);
    covey__json_member_i64(json, "good", current->good);
    covey__json_member_i64(json, "failed", current->failed);
    covey__json_member_i64(json, "starts", current->starts);
    covey__json_member_i64(json, "answers", policy.trial_answers);
    covey__json_member_i64(json, "time_ms", policy.trial_time_ms);
    covey__json_member_i64(json, "slower_max_percent", policy.trial_slower_max_percent);
    covey__json_end_object(json);
}

covey_status covey__state_write_status(const covey_agent *agent, covey__buffer *out,
                                       covey_error *error) {
    const covey__agent_state *state = &agent->state;
    covey__json_writer json;
    covey__json_writer_init(&json, out, true);
    covey__json_begin_object(&json);
    covey__json_member_string(&json, "library_version", covey_version());
    covey__json_member_string(&json, "state_dir", agent->state_dir);
    covey__agent_put_key(agent, false, &json);
    covey__json_name(&json, "control_plane");
    if (state->url[0]) {
        covey__json_begin_object(&json);
        covey__json_member_string(&json, "url", state->url);
        covey__json_member_string(&json, "device_id", state->device_id);
        covey__json_member_i64(&json, "last_checkin_ms", state->last_checkin_ms);
        covey__json_member_i64(&json, "next_checkin_ms", state->next_checkin_ms);
        covey__json_member_string(&json, "problem",
                                  state->checkin_message[0] ? state->checkin_message : NULL);
        covey__json_member_i64(&json, "reports_waiting", state->outbox_count);
        covey__json_member_i64(&json, "reports_dropped", state->outbox_dropped);
        covey__json_end_object(&json);
    } else {
        covey__json_put_null(&json);
    }
    put_trust(agent, &json);
    put_steering(agent, &json);
    put_users_word(agent, &json);
    covey__json_member_bool(&json, "paused", state->paused);
    covey__state_write_slots(agent, &json);
    put_trial(agent, &json);
    covey__state_put_update(&json, &state->update);
    covey__state_put_refused(&json, state);
    covey__json_name(&json, "last");
    if (state->last.id[0])
        covey__state_put_report(&json, &state->last);
    else
        covey__json_put_null(&json);
    covey__json_end_object(&json);
    return covey__buffer_check(out, error, "the status");
}
