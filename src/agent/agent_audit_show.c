/* What the user is shown: which changes this channel may make here and which it may not, derived
 * from what this device believes now, and the log of those that it made, verified. */
#include "agent/agent_parts.h"

#include "base/error.h"
#include "base/sha256.h"
#include "base/utc.h"
#include "trust/hash_log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct showing {
    const covey_agent *agent;
    covey_agent_audit_fn each;
    void *user;
} showing;

static void say(showing *to, covey_agent_audit_kind kind, const char *format, ...)
    COVEY_PRINTF(3, 4);
static void say(showing *to, covey_agent_audit_kind kind, const char *format, ...) {
    char whole[1200], text[1000];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(whole, sizeof whole, format, arguments);
    va_end(arguments);
    covey_agent_audit_item item = COVEY_AGENT_AUDIT_ITEM_INIT;
    item.kind = kind;
    item.text = covey__printable(whole, strlen(whole), text, sizeof text);
    to->each(to->user, &item);
}

/* ---- Who ------------------------------------------------------------------------------------ */

static void say_role(void *user, const char *role, const char *patterns, int64_t threshold,
                     int64_t key_count, const char *keys) {
    showing *to = user;
    const char *what = !strcmp(role, "root")        ? "change who the other roles are"
                       : !strcmp(role, "timestamp") ? "say that something is new"
                       : !strcmp(role, "snapshot")  ? "say which metadata is the newest"
                       : !strcmp(role, "targets")   ? "say which role speaks for what"
                       : !strcmp(role, "steering")  ? "stop, pin and narrow, and never widen"
                                                    : "sign";
    say(to, COVEY_AGENT_AUDIT_MAY, "the role %s may %s%s%s: %" PRId64 " of %" PRId64 " key%s (%s)",
        role, what, patterns[0] ? " " : "", patterns, threshold, key_count,
        key_count == 1 ? "" : "s", keys);
}

static void say_who(showing *to) {
    const covey__agent_state *state = &to->agent->state;
    const char *product = covey__agent_product(to->agent);
    char date[COVEY__UTC_SIZE];
    if (!state->url[0]) {
        say(to, COVEY_AGENT_AUDIT_MAY_NOT,
            "change anything: this device knows no control plane; what answers changes by its "
            "user's hand or with the app");
        return;
    }
    say(to, COVEY_AGENT_AUDIT_MAY,
        "%s may offer this device (%s) newer releases of %s, which must be signed as below",
        state->url, state->device_id, product[0] ? product : "one product of its choice");
    if (state->trust.root)
        say(to, COVEY_AGENT_AUDIT_MAY, "trust begins at the root %s, and is at version %" PRId64,
            state->trust.root_sha256[0] ? state->trust.root_sha256 : "that came with the app",
            state->trust.root);
    covey__trust_each_role(to->agent, say_role, to);
    say(to, COVEY_AGENT_AUDIT_MAY_NOT,
        "install what no such role signed, or what differs by a byte");
    if (state->trust.expires_ms) {
        covey__utc_format(state->trust.expires_ms, date);
        say(to, COVEY_AGENT_AUDIT_MAY_NOT,
            "bring anything new on what was signed until now after %s", date);
    }
    if (state->trust.message[0])
        say(to, COVEY_AGENT_AUDIT_MAY_NOT, "bring anything new now: %s", state->trust.message);
}

/* ---- What ----------------------------------------------------------------------------------- */

static void say_statement(void *user, const covey__steering_statement *statement,
                          const char *subject) {
    showing *to = user;
    const char *what = "";
    switch (statement->kind) {
    case COVEY__STEERING_KILL:
        what = "serve, install or return to version";
        break;
    case COVEY__STEERING_MINIMUM:
        what = "install or return to what is below version";
        break;
    case COVEY__STEERING_PIN:
        what = "go beyond version";
        break;
    case COVEY__STEERING_FLAG:
        what = "use the feature";
        break;
    default:
        return;
    }
    say(to, COVEY_AGENT_AUDIT_MAY_NOT, "%s %s: %s %s, %s", what, subject,
        covey__steering_kind_name(statement->kind), statement->id, statement->reason);
}

static void say_versions(showing *to) {
    const covey_agent *agent = to->agent;
    const covey__agent_slot *current = &agent->state.current;
    const char *product = covey__agent_product(agent);
    const char *here = current->digest[0] ? current->version
                       : agent->builtin   ? covey_ensemble_version(agent->builtin)
                                          : "";
    if (product[0]) say(to, COVEY_AGENT_AUDIT_MAY_NOT, "install a product other than %s", product);
    if (here[0])
        say(to, COVEY_AGENT_AUDIT_MAY_NOT,
            "go below version %s because a server says so; a statement of the role steering may "
            "permit one older version",
            here);
    for (int32_t i = 0; i < agent->state.refused_count; i++)
        say(to, COVEY_AGENT_AUDIT_MAY_NOT, "install %s: %s", agent->state.refused[i].release,
            agent->state.refused[i].message);
    covey__steering_each(agent, say_statement, to);
}

/* ---- The user's word ------------------------------------------------------------------------ */

static void say_settings(showing *to) {
    covey__policy policy;
    if (covey__agent_policy(to->agent, &policy, NULL)) {
        say(to, COVEY_AGENT_AUDIT_MAY_NOT, "fetch anything until policy.json can be read");
        return;
    }
    if (to->agent->state.opted_out[0])
        say(to, COVEY_AGENT_AUDIT_MAY_NOT, "bring back what its user switched off: %s",
            to->agent->state.opted_out);
    if (!policy.update_enabled || !policy.features_all)
        say(to, COVEY_AGENT_AUDIT_MAY_NOT, "install anything: its user switched updates off");
    if (!policy.update_on_metered)
        say(to, COVEY_AGENT_AUDIT_MAY_NOT,
            "fetch more than %" PRId64 " bytes over a metered network",
            policy.update_metered_bytes_max);
    say(to, COVEY_AGENT_AUDIT_MAY_NOT, "fetch %s, or when it is hot (%" PRId32 " %%)",
        policy.update_only_charging ? "while it does not charge" : "on a low battery",
        policy.update_thermal_max_percent);
    if (policy.consent_ask)
        say(to, COVEY_AGENT_AUDIT_MAY_NOT,
            "activate what reaches further than what is here without asking you");
    else
        say(to, COVEY_AGENT_AUDIT_MAY,
            "let an ensemble reach further without asking: its owner consented beforehand");
}

/* What the ensemble that serves reaches. */
static void say_reach(showing *to) {
    const covey_agent *agent = to->agent;
    const covey__agent_slot *current = &agent->state.current;
    covey__reach reach;
    covey_error why = {0};
    char *folder = current->digest[0]   ? covey__agent_path(agent, "ensembles/%s", current->digest)
                   : agent->builtin_dir ? covey__strdup(agent->env, agent->builtin_dir)
                                        : NULL;
    if (!folder) return;
    covey__reach_init(&reach, agent->env);
    if (covey__consent_reach(agent, folder, &reach, &why))
        say(to, COVEY_AGENT_AUDIT_MAY, "what the ensemble here reaches cannot be read: %s",
            why.message);
    bool leaves = false;
    for (size_t i = 0; i < reach.count; i++) {
        say(to, COVEY_AGENT_AUDIT_MAY, "the ensemble here %s", reach.lines[i]);
        leaves = leaves || strstr(reach.lines[i], "your words away");
    }
    if (!leaves)
        say(to, COVEY_AGENT_AUDIT_MAY_NOT,
            "take your words from this device: the control plane gets versions, phases, times and "
            "sizes");
    covey__reach_free(&reach);
    covey__free(agent->env, folder);
}

/* ---- The log -------------------------------------------------------------------------------- */

static const char *text_of(const covey__json *entry, const char *name) {
    const covey__json *node = covey__json_get(entry, name);
    return node && node->kind == COVEY__JSON_STRING ? node->text : "";
}

static void show_entry(showing *to, const covey__json *entry, uint64_t seq, int64_t time_ms) {
    covey_agent_audit_item item = COVEY_AGENT_AUDIT_ITEM_INIT;
    item.kind = COVEY_AGENT_AUDIT_CHANGE;
    item.seq = seq;
    item.time_ms = time_ms;
    item.event = text_of(entry, "event");
    item.from = text_of(entry, "from");
    item.to = text_of(entry, "to");
    item.digest = text_of(entry, "digest");
    item.signed_by = text_of(entry, "signed_by");
    item.text = text_of(entry, "why");
    to->each(to->user, &item);
}

static covey_status show_line(void *user, const covey__hash_log_line *line) {
    if (line->entry) show_entry(user, line->entry, line->seq, line->time_ms);
    return COVEY_OK;
}

/* What is true but not in the log yet. */
static void show_pending(showing *to) {
    const covey__agent_audit *audit = &to->agent->state.audit;
    for (int32_t i = 0; i < audit->pending_count; i++) {
        covey__arena arena;
        const covey__json *entry = NULL;
        covey__arena_init(&arena, to->agent->env, 1u << 20);
        if (!covey__json_parse(&arena, audit->pending[i], strlen(audit->pending[i]),
                               COVEY__JSON_LIMITS_DEFAULT, &entry, NULL))
            show_entry(to, entry, 0, 0);
        covey__arena_free(&arena);
    }
}

static covey_status show_log(showing *to, covey_agent_audit_report *out, covey_error *error) {
    const covey__agent_audit *audit = &to->agent->state.audit;
    covey__hash_log_head head = {.seq = (uint64_t)audit->head_seq};
    covey__hash_log_report report = {0};
    covey_error why = {0};
    char *folder = covey__agent_path(to->agent, "audit.log");
    if (!folder) return covey__no_memory(error, "a path", 0);
    bool has_head = audit->head_seq && covey__unhex(audit->head_sha256, 64, head.digest, 32);
    covey_status status = covey__hash_log_verify(to->agent->env, folder, has_head ? &head : NULL,
                                                 to->each ? show_line : NULL, to, &report, &why);
    covey__free(to->agent->env, folder);
    out->entry_count = report.entry_count;
    out->first_seq = report.first_seq;
    out->broken_segment = report.broken_segment;
    out->broken_line = report.broken_line;
    out->intact = status == COVEY_OK;
    char *aside = covey__agent_path(to->agent, "audit.log.broken");
    out->has_broken = aside && covey__file_exists(aside);
    covey__free(to->agent->env, aside);
    if (status == COVEY_ERROR_MISMATCH)
        covey__printable(why.message, strlen(why.message), out->problem, sizeof out->problem);
    else if (status && error)
        *error = why;
    return status == COVEY_ERROR_MISMATCH ? COVEY_OK : status;
}

covey_status covey_agent_audit(covey_agent *agent, covey_agent_audit_report *report,
                               covey_error *error, covey_agent_audit_fn each, void *user) {
    showing to = {agent, each, user};
    covey_agent_audit_report full = COVEY_AGENT_AUDIT_REPORT_INIT;
    covey__agent_state *fresh = covey__alloc(agent->env, sizeof *fresh);
    if (!fresh) return covey__no_memory(error, "the agent's state", sizeof *fresh);
    covey_status status = covey__state_load(agent->env, agent->state_dir, fresh, error);
    if (!status) agent->state = *fresh;
    covey__free(agent->env, fresh);
    if (status) return covey__prefix(error, status, "audit");
    covey__steering_load(agent);
    if (each) {
        say_who(&to);
        say_versions(&to);
        say_settings(&to);
        say_reach(&to);
    }
    status = show_log(&to, &full, error);
    if (!status && each) show_pending(&to);
    if (status) return covey__prefix(error, status, "audit");
    full.size = report->size;
    memcpy(report, &full, report->size < sizeof full ? report->size : sizeof full);
    return COVEY_OK;
}
