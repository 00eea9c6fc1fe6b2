/* The audit log of the device (docs/formats/audit-log.md): audit.log/, a hash log. An entry is
 * stored with the change that it tells of, in one replacement of state.json, and appended to the
 * log after that; then the state keeps the log's new head and lets the entry go. So:
 *
 *  1. Nothing is believed that is not told: a kill between leaves the entry in state.json, and the
 *     next who has the lock appends it.
 *  2. Nothing is told twice: each entry has an id, and one that the log has already is let go.
 *  3. A log that ends before the head in state.json, or is not right, is put aside as
 *     audit.log.broken; a new one begins with an entry that says so.
 *
 * A log that cannot be written, by a full disk say, holds changes up once
 * COVEY__AUDIT_PENDING_MAX entries wait. */
#include "agent/agent_parts.h"

#include "base/error.h"
#include "base/sha256.h"
#include "trust/hash_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SEGMENT_BYTES_MAX (256u << 10)
#define SEGMENT_COUNT_MAX 8

/* ---- Entries ----------------------------------------------------------------------------------
 */

static void member(covey__json_writer *json, const char *name, const char *text) {
    if (text[0]) covey__json_member_string(json, name, text);
}

/* Fails only where `why` is so long that the whole does not fit. */
static covey_status render(const covey_agent *agent, const covey__audit_entry *entry,
                           const char *why, char out[COVEY__AUDIT_ENTRY_SIZE], covey_error *error) {
    covey__buffer text;
    covey__json_writer json;
    char id[24];
    snprintf(id, sizeof id, "%016" PRIx64, covey__agent_random(agent));
    covey__buffer_init(&text, agent->env, COVEY__AUDIT_ENTRY_SIZE - 1);
    covey__json_writer_init(&json, &text, false);
    covey__json_begin_object(&json);
    covey__json_member_string(&json, "id", id);
    covey__json_member_string(&json, "event", entry->event);
    member(&json, "from", entry->from);
    member(&json, "to", entry->to);
    member(&json, "digest", entry->digest);
    member(&json, "signed_by", entry->signed_by);
    member(&json, "why", why);
    covey__json_end_object(&json);
    covey_status status = covey__buffer_check(&text, error, "an audit entry");
    if (!status) memcpy(out, text.data, text.size + 1);
    covey__buffer_free(&text);
    return status;
}

static covey_status add_pending(const covey_agent *agent, covey__agent_state *state,
                                covey__audit_entry *entry, covey_error *error) {
    covey__agent_audit *audit = &state->audit;
    char brief[64];
    if (audit->pending_count == COVEY__AUDIT_PENDING_MAX)
        return covey__fail(error, COVEY_ERROR_IO,
                           "the audit log cannot be written; nothing is changed until it can");
    if (entry->role) covey__trust_signers(agent, entry->role, entry->signed_by);
    char *out = audit->pending[audit->pending_count];
    covey_status status = render(agent, entry, entry->why, out, error);
    if (status == COVEY_ERROR_LIMIT) {
        covey__printable(entry->why, strlen(entry->why), brief, sizeof brief);
        status = render(agent, entry, brief, out, error);
    }
    if (!status) audit->pending_count++;
    return status;
}

/* ---- The log ----------------------------------------------------------------------------------
 */

static const covey__hash_log_bounds bounds = {SEGMENT_BYTES_MAX, SEGMENT_COUNT_MAX};

/* Which entries at hand the log has. */
typedef struct known {
    const covey__agent_audit *audit;
    bool has[COVEY__AUDIT_PENDING_MAX];
} known;

static covey_status look_for(void *user, const covey__hash_log_line *line) {
    known *all = user;
    const covey__json *id = line->entry ? covey__json_get(line->entry, "id") : NULL;
    if (!id || id->kind != COVEY__JSON_STRING || id->size != 16) return COVEY_OK;
    for (int32_t i = 0; i < all->audit->pending_count; i++)
        if (!strncmp(all->audit->pending[i], "{\"id\":\"", 7) &&
            !strncmp(all->audit->pending[i] + 7, id->text, 16))
            all->has[i] = true;
    return COVEY_OK;
}

static void keep_head(covey__agent_audit *audit, const covey__hash_log_head *head) {
    audit->head_seq = (int64_t)head->seq;
    covey__hex(head->digest, 32, audit->head_sha256);
}

/* Whether the log goes as far as the head that was kept. */
static bool reaches(const covey__agent_audit *audit, const covey__hash_log_head *head) {
    char hex[65];
    covey__hex(head->digest, 32, hex);
    if ((int64_t)head->seq != audit->head_seq) return (int64_t)head->seq > audit->head_seq;
    return !audit->head_seq || !strcmp(hex, audit->head_sha256);
}

static covey_status put_aside(const covey_agent *agent, const char *folder, covey_error *error) {
    char *aside = covey__agent_path(agent, "audit.log.broken");
    bool is_there = false;
    covey_status status = aside ? covey__file_find(agent->env, folder, &is_there, error)
                                : covey__no_memory(error, "a path", 0);
    if (!status && is_there) {
        status = covey__tree_remove(agent->env, aside, error);
        if (!status) status = covey__file_rename(agent->env, folder, aside, error);
        if (!status) status = covey__folder_sync(agent->env, agent->state_dir, error);
    }
    covey__free(agent->env, aside);
    return status;
}

/* Opens the log, or a new one where it was damaged. */
static covey_status open_log(const covey_agent *agent, covey__agent_audit *audit,
                             const char *folder, covey__hash_log *log, covey_error *error) {
    covey__audit_entry begun = {.event = "log-replaced"};
    char text[COVEY__AUDIT_ENTRY_SIZE];
    covey_error why = {0};
    covey__hash_log_head kept = {.seq = (uint64_t)audit->head_seq};
    bool is_hex = !audit->head_seq || covey__unhex(audit->head_sha256, 64, kept.digest, 32);
    covey_status status =
        covey__hash_log_open_after(agent->env, folder, bounds, is_hex ? &kept : NULL, log, &why);
    if (!status && reaches(audit, &log->head)) return COVEY_OK;
    if (!status) {
        covey__hash_log_close(log);
        status = covey__fail(&why, COVEY_ERROR_MISMATCH, "the audit log was cut or removed");
    }
    if (status != COVEY_ERROR_MISMATCH) {
        if (error) *error = why;
        return status;
    }
    covey__log(agent->env, COVEY_LOG_ERROR, "agent", "audit.log is put aside: %s", why.message);
    status = put_aside(agent, folder, error);
    if (!status) status = covey__hash_log_open(agent->env, folder, bounds, log, error);
    if (status) return status;
    covey__printable(why.message, strlen(why.message), begun.why, sizeof begun.why);
    status = render(agent, &begun, begun.why, text, error);
    if (!status) status = covey__hash_log_append(log, text, strlen(text), NULL, error);
    if (status) covey__hash_log_close(log);
    return status;
}

/* Appends what waits, and lets go of it; the caller stores the state. */
static covey_status flush(const covey_agent *agent, covey__agent_audit *audit, covey_error *error) {
    covey__hash_log log;
    covey__hash_log_report report;
    known all = {.audit = audit};
    char *folder = covey__agent_path(agent, "audit.log");
    if (!folder) return covey__no_memory(error, "a path", 0);
    covey_status status = open_log(agent, audit, folder, &log, error);
    if (status) {
        covey__free(agent->env, folder);
        return status;
    }
    if ((int64_t)log.head.seq > audit->head_seq) /* a process was killed after it appended */
        status =
            covey__hash_log_verify(agent->env, folder, &log.head, look_for, &all, &report, error);
    covey__hash_log_head head = log.head;
    for (int32_t i = 0; !status && i < audit->pending_count; i++) {
        const char *entry = audit->pending[i];
        if (!all.has[i]) status = covey__hash_log_append(&log, entry, strlen(entry), &head, error);
    }
    if (!status) {
        keep_head(audit, &head);
        audit->pending_count = 0;
    }
    covey__hash_log_close(&log);
    covey__free(agent->env, folder);
    return status;
}

/* What is stored already is true whether the log has it or not; a failure is tried again. */
static void flush_stored(const covey_agent *agent, covey__agent_state *state) {
    covey_error why = {0};
    covey__agent_audit *next = covey__alloc(agent->env, sizeof *next);
    if (!next) return;
    *next = state->audit;
    covey_status status = flush(agent, next, &why);
    if (!status) {
        state->audit = *next;
        status = covey__state_save(agent->env, agent->state_dir, state, &why);
    }
    if (status) covey__log(agent->env, COVEY_LOG_WARN, "agent", "audit.log: %s", why.message);
    covey__free(agent->env, next);
}

covey_status covey__audit_settle(covey_agent *agent, covey_error *error) {
    (void)error;
    if (agent->state.audit.pending_count) flush_stored(agent, &agent->state);
    return COVEY_OK;
}

/* ---- Storing ----------------------------------------------------------------------------------
 */

static covey_status add_entries(covey_agent *agent, covey__agent_state *before,
                                covey__agent_state *state, const covey__audit_entry *note,
                                covey_error *error) {
    covey__audit_entry *entries =
        covey__calloc(agent->env, COVEY__AUDIT_DIFF_MAX + 1, sizeof *entries);
    if (!entries) return covey__no_memory(error, "audit entries", 0);
    size_t count = covey__audit_diff(before, state, entries);
    if (note) entries[count++] = *note;
    covey_status status = COVEY_OK;
    if (count && before->audit.pending_count) flush_stored(agent, before);
    state->audit = before->audit;
    for (size_t i = 0; !status && i < count; i++)
        status = add_pending(agent, state, entries + i, error);
    covey__free(agent->env, entries);
    return status;
}

covey_status covey__agent_save_noting(covey_agent *agent, covey__agent_state *state,
                                      const covey__audit_entry *entry, covey_error *error) {
    covey__agent_state *before = covey__alloc(agent->env, sizeof *before);
    covey_error why = {0};
    if (!before) return covey__no_memory(error, "the agent's state", sizeof *before);
    covey_status status = covey__state_load(agent->env, agent->state_dir, before, &why);
    if (status) {
        if (error) *error = why;
    } else {
        status = add_entries(agent, before, state, entry, error);
        int32_t news = state->audit.pending_count;
        if (!status) status = covey__state_save(agent->env, agent->state_dir, state, error);
        if (!status && news) flush_stored(agent, state);
        if (status) state->audit = before->audit;
    }
    covey__free(agent->env, before);
    return status;
}

covey_status covey__agent_save(covey_agent *agent, covey__agent_state *state, covey_error *error) {
    return covey__agent_save_noting(agent, state, NULL, error);
}
