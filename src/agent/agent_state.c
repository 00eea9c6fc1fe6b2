/* state.json: read with suspicion, written whole. It holds no secret; the device's token is in the
 * keystore. */
#include "agent/agent_parts.h"

#include "base/error.h"
#include "base/json.h"
#include "base/semver.h"
#include "base/sha256.h"

#include <stdio.h>
#include <string.h>

#define STATE_BYTES_MAX (1u << 20)

/* ---- Writing ----------------------------------------------------------------------------------
 */

static void put_speeds(covey__json_writer *json, const char *name,
                       const covey__speed speeds[COVEY__LOADS]) {
    covey__json_name(json, name);
    covey__json_begin_array(json);
    for (int i = 0; i < COVEY__LOADS; i++) {
        covey__json_put_i64(json, speeds[i].prompt_ns);
        covey__json_put_i64(json, speeds[i].decode_ns);
    }
    covey__json_end_array(json);
}

/* What the answers of an ensemble showed. */
static void put_answers(covey__json_writer *json, const covey__agent_slot *slot) {
    covey__json_member_i64(json, "runs", slot->runs);
    covey__json_member_i64(json, "good", slot->good);
    covey__json_member_i64(json, "failed", slot->failed);
    covey__json_member_bool(json, "without_probes", slot->without_probes);
    put_speeds(json, "speeds", slot->speeds);
}

bool covey__state_begin_slot(covey__json_writer *json, const char *name,
                             const covey__agent_slot *slot) {
    covey__json_name(json, name);
    if (!slot->digest[0]) {
        covey__json_put_null(json);
        return false;
    }
    covey__json_begin_object(json);
    covey__json_member_string(json, "name", slot->name);
    covey__json_member_string(json, "version", slot->version);
    covey__json_member_string(json, "variant", slot->variant);
    covey__json_member_string(json, "digest", slot->digest);
    return true;
}

static void put_slot(covey__json_writer *json, const char *name, const covey__agent_slot *slot) {
    if (!covey__state_begin_slot(json, name, slot)) return;
    covey__json_member_bool(json, "trial", slot->trial);
    covey__json_member_i64(json, "starts", slot->starts);
    covey__json_member_string(json, "proved", slot->proved);
    put_answers(json, slot);
    covey__json_end_object(json);
}

static void put_patches(covey__json_writer *json, const covey__agent_update *update) {
    covey__json_member_i64(json, "bytes_max", update->bytes_max);
    covey__json_member_i64(json, "spent_bytes", update->spent_bytes);
    covey__json_member_string(json, "how", update->how);
    covey__json_member_string(json, "patches", update->patches);
    covey__json_member_i64(json, "patches_size", update->patches_size);
    covey__json_name(json, "given_up");
    covey__json_begin_array(json);
    for (int32_t i = 0; i < update->given_up_count; i++)
        covey__json_put_string(json, update->given_up[i]);
    covey__json_end_array(json);
}

void covey__state_put_update(covey__json_writer *json, const covey__agent_update *update) {
    covey__json_name(json, "update");
    if (update->phase == COVEY__PHASE_NONE) {
        covey__json_put_null(json);
        return;
    }
    covey__json_begin_object(json);
    covey__json_member_string(json, "phase", covey__phase_name(update->phase));
    covey__json_member_string(json, "rollout", update->rollout);
    covey__json_member_string(json, "name", update->name);
    covey__json_member_string(json, "version", update->version);
    covey__json_member_string(json, "release_digest", update->release_digest);
    covey__json_member_i64(json, "release_size", update->release_size);
    covey__json_member_string(json, "variant", update->variant);
    covey__json_member_string(json, "digest", update->digest);
    covey__json_member_i64(json, "fetch_bytes", update->fetch_bytes);
    covey__json_member_i64(json, "total_bytes", update->total_bytes);
    covey__json_member_i64(json, "attempts", update->attempts);
    covey__json_member_i64(json, "repairs", update->repairs);
    covey__json_member_i64(json, "probe_starts", update->probe_starts);
    covey__json_member_i64(json, "retry_at_ms", update->retry_at_ms);
    covey__json_member_bool(json, "waiting_said", update->waiting_said);
    covey__json_member_i64(json, "consent", update->consent);
    covey__json_member_string(json, "signed_by", update->signed_by);
    put_patches(json, update);
    covey__json_member_bool(json, "without_probes", update->without_probes);
    covey__json_end_object(json);
}

void covey__state_put_report(covey__json_writer *json, const covey__agent_report *report) {
    covey__json_begin_object(json);
    covey__json_member_string(json, "id", report->id);
    covey__json_member_i64(json, "time_ms", report->time_ms);
    covey__json_member_string(json, "phase", covey__phase_name(report->phase));
    covey__json_member_string(json, "outcome", report->outcome);
    covey__json_member_string(json, "release", report->release);
    covey__json_member_string(json, "rollout", report->rollout);
    covey__json_member_string(json, "message", report->message);
    covey__json_member_i64(json, "bytes", report->bytes);
    covey__json_member_i64(json, "elapsed_ms", report->elapsed_ms);
    covey__json_end_object(json);
}

void covey__state_put_refused(covey__json_writer *json, const covey__agent_state *state) {
    covey__json_name(json, "refused");
    covey__json_begin_array(json);
    for (int32_t i = 0; i < state->refused_count; i++) {
        covey__json_begin_object(json);
        covey__json_member_string(json, "release", state->refused[i].release);
        covey__json_member_string(json, "message", state->refused[i].message);
        covey__json_member_string(json, "under", state->refused[i].under);
        covey__json_member_string(json, "digest", state->refused[i].digest);
        covey__json_end_object(json);
    }
    covey__json_end_array(json);
}

static void put_trust(covey__json_writer *json, const covey__agent_trust *trust) {
    covey__json_name(json, "trust");
    covey__json_begin_object(json);
    covey__json_member_string(json, "metadata_url", trust->metadata_url);
    covey__json_member_string(json, "root_sha256", trust->root_sha256);
    covey__json_member_i64(json, "root", trust->root);
    covey__json_member_i64(json, "timestamp", trust->timestamp);
    covey__json_member_i64(json, "expires_ms", trust->expires_ms);
    covey__json_member_string(json, "problem", trust->problem);
    covey__json_member_string(json, "message", trust->message);
    covey__json_member_i64(json, "steering_serial", trust->steering_serial);
    covey__json_member_string(json, "steering_product", trust->steering_product);
    covey__json_end_object(json);
}

static void put_audit(covey__json_writer *json, const covey__agent_state *state) {
    const covey__agent_audit *audit = &state->audit;
    covey__json_member_string(json, "opted_out", state->opted_out);
    covey__json_member_bool(json, "model_off", state->model_off);
    covey__json_name(json, "audit");
    covey__json_begin_object(json);
    covey__json_member_i64(json, "head_seq", audit->head_seq);
    covey__json_member_string(json, "head_sha256", audit->head_sha256);
    covey__json_name(json, "pending");
    covey__json_begin_array(json);
    for (int32_t i = 0; i < audit->pending_count; i++)
        covey__json_put_string(json, audit->pending[i]);
    covey__json_end_array(json);
    covey__json_end_object(json);
}

static void put_enrollment(covey__json_writer *json, const covey__agent_state *state) {
    covey__json_member_string(json, "url", state->url);
    covey__json_member_string(json, "blobs_url", state->blobs_url);
    covey__json_name(json, "mirrors");
    covey__json_begin_array(json);
    for (int32_t i = 0; i < state->mirror_count; i++)
        covey__json_put_string(json, state->mirrors[i]);
    covey__json_end_array(json);
    covey__json_member_bool(json, "paused", state->paused);
    covey__json_member_string(json, "device_id", state->device_id);
    covey__json_member_i64(json, "poll_ms", state->poll_ms);
    covey__json_member_i64(json, "next_checkin_ms", state->next_checkin_ms);
    covey__json_member_i64(json, "last_checkin_ms", state->last_checkin_ms);
    covey__json_member_i64(json, "checkin_failures", state->checkin_failures);
    covey__json_member_string(json, "checkin_message", state->checkin_message);
    put_trust(json, &state->trust);
}

covey_status covey__state_save(const covey__env *env, const char *state_dir,
                               const covey__agent_state *state, covey_error *error) {
    covey__buffer out;
    covey__json_writer json;
    covey__buffer_init(&out, env, STATE_BYTES_MAX);
    covey__json_writer_init(&json, &out, true);
    covey__json_begin_object(&json);
    covey__json_member_i64(&json, "format", 1);
    put_enrollment(&json, state);
    covey__json_member_string(&json, "stopped", state->stopped);
    put_slot(&json, "current", &state->current);
    put_slot(&json, "previous", &state->previous);
    covey__json_member_string(&json, "builtin_digest", state->builtin_digest);
    put_speeds(&json, "builtin_speeds", state->builtin_speeds);
    covey__state_put_update(&json, &state->update);
    covey__state_put_refused(&json, state);
    covey__json_name(&json, "outbox");
    covey__json_begin_array(&json);
    for (int32_t i = 0; i < state->outbox_count; i++)
        covey__state_put_report(&json, &state->outbox[i]);
    covey__json_end_array(&json);
    covey__json_member_i64(&json, "outbox_dropped", state->outbox_dropped);
    covey__json_member_i64(&json, "report_serial", state->report_serial);
    covey__json_member_i64(&json, "next_report_ms", state->next_report_ms);
    covey__json_name(&json, "last");
    if (state->last.id[0])
        covey__state_put_report(&json, &state->last);
    else
        covey__json_put_null(&json);
    put_audit(&json, state);
    covey__json_end_object(&json);
    covey_status status = covey__buffer_check(&out, error, "state.json");
    char *path = covey__path_join(env, state_dir, "state.json");
    if (!status && !path) status = covey__no_memory(error, "a path", 0);
    if (!status) status = covey__file_replace(env, path, out.data, out.size, error);
    if (status) covey__prefix(error, status, "agent: state");
    covey__free(env, path);
    covey__buffer_free(&out);
    return status;
}

/* ---- Reading ----------------------------------------------------------------------------------
 */

/* Reading goes on after a wrong member and remembers the first one. */
typedef struct reader {
    covey_status status;
    covey_error *error;
} reader;

static void get_text(reader *in, const covey__json *object, const char *name, char *out,
                     size_t capacity) {
    const char *text = NULL;
    if (in->status) return;
    in->status = covey__json_string(object, name, name, &text, in->error);
    if (!in->status && strlen(text) >= capacity)
        in->status = covey__fail(in->error, COVEY_ERROR_FORMAT, "%s: too long", name);
    if (!in->status) snprintf(out, capacity, "%s", text);
}

/* Of a message the beginning will do. */
static void get_words(reader *in, const covey__json *object, const char *name, char out[256]) {
    const char *text = "";
    if (!in->status) in->status = covey__json_string(object, name, name, &text, in->error);
    covey__printable(text, strlen(text), out, 256);
}

static void get_message(reader *in, const covey__json *object, char out[256]) {
    get_words(in, object, "message", out);
}

/* 64 hex digits, or "" where that is allowed: digests become paths. */
static void get_digest(reader *in, const covey__json *object, const char *name, bool empty_too,
                       char out[65]) {
    uint8_t bytes[32];
    get_text(in, object, name, out, 65);
    if (in->status || (empty_too && !out[0])) return;
    if (!covey__unhex(out, strlen(out), bytes, sizeof bytes))
        in->status = covey__fail(in->error, COVEY_ERROR_FORMAT, "%s: not a digest", name);
}

static void get_version(reader *in, const covey__json *object, char out[65]) {
    get_text(in, object, "version", out, 65);
    if (!in->status && !covey__semver_valid(out))
        in->status = covey__fail(in->error, COVEY_ERROR_FORMAT, "version: not a semantic version");
}

static int64_t get_number(reader *in, const covey__json *object, const char *name, int64_t max) {
    int64_t value = 0;
    if (!in->status) in->status = covey__json_i64(object, name, name, 0, max, &value, in->error);
    return value;
}

static bool get_bool(reader *in, const covey__json *object, const char *name) {
    bool value = false;
    if (!in->status) in->status = covey__json_bool(object, name, name, &value, in->error);
    return value;
}

static const covey__json *get_array(reader *in, const covey__json *object, const char *name,
                                    size_t count_max) {
    const covey__json *array = NULL;
    if (in->status) return NULL;
    in->status = covey__json_member(object, name, name, COVEY__JSON_ARRAY, &array, in->error);
    if (!in->status && array->size > count_max)
        in->status = covey__fail(in->error, COVEY_ERROR_FORMAT, "%s: too many elements", name);
    return in->status ? NULL : array;
}

/* An object, or NULL where the member is null. */
static const covey__json *get_object(reader *in, const covey__json *object, const char *name) {
    const covey__json *node = covey__json_get(object, name);
    if (in->status || (node && node->kind == COVEY__JSON_NULL)) return NULL;
    if (!node || node->kind != COVEY__JSON_OBJECT)
        in->status = covey__fail(in->error, COVEY_ERROR_FORMAT, "%s: expected an object", name);
    return in->status ? NULL : node;
}

static void get_speeds(reader *in, const covey__json *node, const char *name,
                       covey__speed speeds[COVEY__LOADS]) {
    const covey__json *list = get_array(in, node, name, (size_t)2 * COVEY__LOADS);
    const covey__json *item = list ? list->child : NULL;
    for (int i = 0; item && !in->status; i++, item = item->next) {
        int64_t *to = i % 2 ? &speeds[i / 2].decode_ns : &speeds[i / 2].prompt_ns;
        if (item->kind != COVEY__JSON_NUMBER || !covey__json_to_i64(item, to) || *to < 0)
            in->status = covey__fail(in->error, COVEY_ERROR_FORMAT, "%s: not a time", name);
    }
}

/* Absent in what a program before wrote. */
static void get_answers(reader *in, const covey__json *node, covey__agent_slot *slot) {
    if (!covey__json_get(node, "speeds")) return;
    slot->runs = (int32_t)get_number(in, node, "runs", INT32_MAX / 2);
    slot->good = (int32_t)get_number(in, node, "good", INT32_MAX / 2);
    slot->failed = (int32_t)get_number(in, node, "failed", INT32_MAX / 2);
    slot->without_probes = get_bool(in, node, "without_probes");
    get_speeds(in, node, "speeds", slot->speeds);
}

static void get_slot(reader *in, const covey__json *root, const char *name,
                     covey__agent_slot *slot) {
    const covey__json *node = get_object(in, root, name);
    if (!node) return;
    get_text(in, node, "name", slot->name, sizeof slot->name);
    get_version(in, node, slot->version);
    get_text(in, node, "variant", slot->variant, sizeof slot->variant);
    get_digest(in, node, "digest", false, slot->digest);
    slot->trial = get_bool(in, node, "trial");
    slot->starts = (int32_t)get_number(in, node, "starts", INT32_MAX);
    get_text(in, node, "proved", slot->proved, sizeof slot->proved);
    get_answers(in, node, slot);
}

static covey__phase get_phase(reader *in, const covey__json *node) {
    char name[16] = "";
    get_text(in, node, "phase", name, sizeof name);
    covey__phase phase = covey__phase_from(name);
    if (!in->status && phase == COVEY__PHASE_NONE)
        in->status = covey__fail(in->error, COVEY_ERROR_FORMAT, "phase: unknown");
    return phase;
}

/* Absent in a state from before there were patches. */
static void get_patches(reader *in, const covey__json *node, covey__agent_update *update) {
    uint8_t bytes[32];
    if (!covey__json_get(node, "bytes_max")) return;
    update->bytes_max = get_number(in, node, "bytes_max", INT64_MAX);
    update->spent_bytes = get_number(in, node, "spent_bytes", INT64_MAX);
    get_text(in, node, "how", update->how, sizeof update->how);
    get_digest(in, node, "patches", true, update->patches);
    update->patches_size = get_number(in, node, "patches_size", INT64_MAX);
    const covey__json *list = get_array(in, node, "given_up", COVEY__GIVEN_UP_MAX);
    for (const covey__json *one = list ? list->child : NULL; one; one = one->next) {
        if (one->kind != COVEY__JSON_STRING || !covey__unhex(one->text, one->size, bytes, 32)) {
            in->status = covey__fail(in->error, COVEY_ERROR_FORMAT, "given_up: not a digest");
            return;
        }
        snprintf(update->given_up[update->given_up_count++], sizeof *update->given_up, "%s",
                 one->text);
    }
}

static void get_update(reader *in, const covey__json *root, covey__agent_update *update) {
    const covey__json *node = get_object(in, root, "update");
    if (!node) return;
    update->phase = get_phase(in, node);
    get_text(in, node, "rollout", update->rollout, sizeof update->rollout);
    get_text(in, node, "name", update->name, sizeof update->name);
    get_version(in, node, update->version);
    get_digest(in, node, "release_digest", false, update->release_digest);
    update->release_size = get_number(in, node, "release_size", COVEY__RELEASE_BYTES_MAX);
    get_text(in, node, "variant", update->variant, sizeof update->variant);
    get_digest(in, node, "digest", update->phase == COVEY__PHASE_PLAN, update->digest);
    if (!in->status && update->phase > COVEY__PHASE_ACTIVATE)
        in->status = covey__fail(in->error, COVEY_ERROR_FORMAT, "phase: none of an update's");
    update->fetch_bytes = get_number(in, node, "fetch_bytes", INT64_MAX);
    update->total_bytes = get_number(in, node, "total_bytes", INT64_MAX);
    update->attempts = (int32_t)get_number(in, node, "attempts", INT32_MAX);
    update->repairs = (int32_t)get_number(in, node, "repairs", INT32_MAX);
    update->probe_starts = (int32_t)get_number(in, node, "probe_starts", INT32_MAX);
    update->retry_at_ms = get_number(in, node, "retry_at_ms", INT64_MAX);
    update->waiting_said = get_bool(in, node, "waiting_said");
    if (covey__json_get(node, "consent"))
        update->consent = (int32_t)get_number(in, node, "consent", COVEY__CONSENT_GIVEN);
    if (covey__json_get(node, "signed_by"))
        get_text(in, node, "signed_by", update->signed_by, sizeof update->signed_by);
    get_patches(in, node, update);
    if (covey__json_get(node, "without_probes"))
        update->without_probes = get_bool(in, node, "without_probes");
}

static void get_report(reader *in, const covey__json *node, covey__agent_report *report) {
    get_text(in, node, "id", report->id, sizeof report->id);
    report->time_ms = get_number(in, node, "time_ms", INT64_MAX);
    report->phase = get_phase(in, node);
    get_text(in, node, "outcome", report->outcome, sizeof report->outcome);
    get_text(in, node, "release", report->release, sizeof report->release);
    get_text(in, node, "rollout", report->rollout, sizeof report->rollout);
    get_message(in, node, report->message);
    report->bytes = get_number(in, node, "bytes", INT64_MAX);
    report->elapsed_ms = get_number(in, node, "elapsed_ms", INT64_MAX);
}

/* Absent in a state from before there was metadata. */
static void get_trust(reader *in, const covey__json *root, covey__agent_trust *trust) {
    if (!covey__json_get(root, "trust")) return;
    const covey__json *node = get_object(in, root, "trust");
    if (!node) return;
    get_text(in, node, "metadata_url", trust->metadata_url, sizeof trust->metadata_url);
    get_digest(in, node, "root_sha256", true, trust->root_sha256);
    trust->root = get_number(in, node, "root", INT64_MAX);
    trust->timestamp = get_number(in, node, "timestamp", INT64_MAX);
    trust->expires_ms = get_number(in, node, "expires_ms", INT64_MAX);
    get_text(in, node, "problem", trust->problem, sizeof trust->problem);
    get_message(in, node, trust->message);
    trust->steering_serial = get_number(in, node, "steering_serial", INT64_MAX);
    get_text(in, node, "steering_product", trust->steering_product, sizeof trust->steering_product);
}

/* Absent in what a program before wrote. */
static void get_audit(reader *in, const covey__json *root, covey__agent_state *state) {
    covey__agent_audit *audit = &state->audit;
    if (covey__json_get(root, "opted_out"))
        get_text(in, root, "opted_out", state->opted_out, sizeof state->opted_out);
    if (covey__json_get(root, "model_off")) state->model_off = get_bool(in, root, "model_off");
    const covey__json *node = covey__json_get(root, "audit") ? get_object(in, root, "audit") : NULL;
    if (!node) return;
    audit->head_seq = get_number(in, node, "head_seq", INT64_MAX);
    get_digest(in, node, "head_sha256", true, audit->head_sha256);
    const covey__json *list = get_array(in, node, "pending", COVEY__AUDIT_PENDING_MAX);
    for (const covey__json *entry = list ? list->child : NULL; entry && !in->status;
         entry = entry->next) {
        if (entry->kind != COVEY__JSON_STRING || entry->size >= COVEY__AUDIT_ENTRY_SIZE)
            in->status = covey__fail(in->error, COVEY_ERROR_FORMAT, "pending: not an entry");
        else
            snprintf(audit->pending[audit->pending_count++], COVEY__AUDIT_ENTRY_SIZE, "%s",
                     entry->text);
    }
}

/* Absent in what a program before wrote. */
static void get_mirrors(reader *in, const covey__json *root, covey__agent_state *state) {
    if (covey__json_get(root, "paused")) state->paused = get_bool(in, root, "paused");
    if (!covey__json_get(root, "mirrors")) return;
    const covey__json *list = get_array(in, root, "mirrors", COVEY__AGENT_MIRRORS_MAX);
    for (const covey__json *node = list ? list->child : NULL; node && !in->status;
         node = node->next) {
        if (node->kind != COVEY__JSON_STRING || node->size >= sizeof *state->mirrors ||
            !covey__agent_url_valid(node->text))
            in->status = covey__fail(in->error, COVEY_ERROR_FORMAT, "mirrors: not an address");
        else
            snprintf(state->mirrors[state->mirror_count++], sizeof *state->mirrors, "%s",
                     node->text);
    }
}

static void get_enrollment(reader *in, const covey__json *root, covey__agent_state *state) {
    get_text(in, root, "url", state->url, sizeof state->url);
    get_text(in, root, "blobs_url", state->blobs_url, sizeof state->blobs_url);
    get_mirrors(in, root, state);
    get_text(in, root, "device_id", state->device_id, sizeof state->device_id);
    state->poll_ms = get_number(in, root, "poll_ms", INT64_MAX);
    state->next_checkin_ms = get_number(in, root, "next_checkin_ms", INT64_MAX);
    state->last_checkin_ms = get_number(in, root, "last_checkin_ms", INT64_MAX);
    state->checkin_failures = (int32_t)get_number(in, root, "checkin_failures", INT32_MAX);
    get_text(in, root, "checkin_message", state->checkin_message, sizeof state->checkin_message);
    get_trust(in, root, &state->trust);
    if (covey__json_get(root, "stopped")) get_words(in, root, "stopped", state->stopped);
}

static covey_status read_root(const covey__json *root, covey__agent_state *state,
                              covey_error *error) {
    reader in = {COVEY_OK, error};
    if (get_number(&in, root, "format", INT64_MAX) != 1 && !in.status)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "format: written by a newer version of this program");
    get_enrollment(&in, root, state);
    get_slot(&in, root, "current", &state->current);
    get_slot(&in, root, "previous", &state->previous);
    if (covey__json_get(root, "builtin_speeds")) {
        get_digest(&in, root, "builtin_digest", true, state->builtin_digest);
        get_speeds(&in, root, "builtin_speeds", state->builtin_speeds);
    }
    get_update(&in, root, &state->update);
    const covey__json *list = get_array(&in, root, "refused", COVEY__REFUSED_MAX);
    for (const covey__json *node = list ? list->child : NULL; node && !in.status;
         node = node->next) {
        covey__agent_refusal *made = &state->refused[state->refused_count++];
        get_text(&in, node, "release", made->release, sizeof made->release);
        get_message(&in, node, made->message);
        if (covey__json_get(node, "under"))
            get_text(&in, node, "under", made->under, sizeof made->under);
        if (covey__json_get(node, "digest")) get_digest(&in, node, "digest", true, made->digest);
    }
    list = get_array(&in, root, "outbox", COVEY__OUTBOX_MAX);
    for (const covey__json *node = list ? list->child : NULL; node && !in.status; node = node->next)
        get_report(&in, node, &state->outbox[state->outbox_count++]);
    state->outbox_dropped = get_number(&in, root, "outbox_dropped", INT64_MAX);
    state->report_serial = get_number(&in, root, "report_serial", INT64_MAX);
    state->next_report_ms = get_number(&in, root, "next_report_ms", INT64_MAX);
    const covey__json *last = get_object(&in, root, "last");
    if (last) get_report(&in, last, &state->last);
    get_audit(&in, root, state);
    return in.status;
}

static void begin(covey__agent_state *state) {
    memset(state, 0, sizeof *state);
    state->poll_ms = COVEY__AGENT_POLL_DEFAULT_MS;
}

static covey_status load_file(const covey__env *env, const char *path, covey__agent_state *state,
                              covey_error *error) {
    covey__buffer text;
    covey__arena arena;
    const covey__json *root = NULL;
    begin(state);
    covey__buffer_init(&text, env, STATE_BYTES_MAX);
    covey__arena_init(&arena, env, 16u << 20);
    covey_status status = covey__file_read(env, path, &text, error);
    if (!status)
        status = covey__json_parse(&arena, text.data ? text.data : "", text.size,
                                   COVEY__JSON_LIMITS_DEFAULT, &root, error);
    if (!status) status = read_root(root, state, error);
    covey__arena_free(&arena);
    covey__buffer_free(&text);
    return status;
}

covey_status covey__state_load(const covey__env *env, const char *state_dir,
                               covey__agent_state *state, covey_error *error) {
    begin(state);
    char *path = covey__path_join(env, state_dir, "state.json");
    char *next = path ? covey__format(env, "%s.new", path) : NULL;
    covey_error why = {0}; /* of a new device there is none: `error` is left alone */
    covey_status status =
        next ? load_file(env, path, state, &why) : covey__no_memory(&why, "a path", 0);
    /* A new device, or one whose file system lost the name in a rename that a power cut tore: what
     * was to become state.json was synced before. One that may not be looked at is not new. */
    if (status == COVEY_ERROR_NOT_FOUND) {
        status = load_file(env, next, state, &why);
        bool passing = status == COVEY_ERROR_IO || status == COVEY_ERROR_NO_MEMORY;
        if (status) begin(state);
        if (!passing) status = COVEY_OK;
    }
    if (status == COVEY_ERROR_DENIED || status == COVEY_ERROR_INVALID_ARGUMENT)
        covey__prefix(&why, status, "agent"); /* the file is named already */
    else if (status)
        covey__prefix(&why, status, "agent: %s", path ? path : "");
    if (status && error) *error = why;
    covey__free(env, path);
    covey__free(env, next);
    return status;
}

covey_status covey__state_settle(const covey__env *env, const char *state_dir, covey_error *error) {
    char *path = covey__path_join(env, state_dir, "state.json");
    char *next = path ? covey__format(env, "%s.new", path) : NULL;
    covey__agent_state *state = covey__alloc(env, sizeof *state);
    bool is_there = true;
    covey_status status = next && state ? covey__file_find(env, path, &is_there, error)
                                        : covey__no_memory(error, "the agent's state", 0);
    if (!status && !is_there && !load_file(env, next, state, NULL)) {
        covey__log(env, COVEY_LOG_WARN, "agent", "state.json was lost in a rename, and is back");
        status = covey__file_rename(env, next, path, error);
        if (!status) status = covey__folder_sync(env, state_dir, error);
    }
    covey__free(env, state);
    covey__free(env, path);
    covey__free(env, next);
    return status;
}
