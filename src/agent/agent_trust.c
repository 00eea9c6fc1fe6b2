/* Whom this device believes: the first root, refreshes of the metadata at check-ins, and which
 * releases the metadata names (docs/trust.md). What a repository does, or does not do, never fails
 * a check-in and never touches what serves: nothing new is believed then, and the state says why.
 *
 * root.json of the state folder is the device's own first root; state.json names its SHA-256, so
 * one replacement of state.json changes it: the new one is put aside before (root.next.json) and
 * takes its place after, in covey__trust_settle, which can be done again from anywhere. Neighbours:
 * agent_wire.c asks; agent_steering.c holds statements; src/trust/tuf_*.c is the client. */
#include "agent/agent_parts.h"

#include "base/error.h"
#include "base/sha256.h"
#include "base/utc.h"
#include "bundle/patch_index.h"
#include "bundle/fields.h"
#include "trust/tuf_document.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define METADATA_TIMEOUT_MS 20000 /* one document; the state folder is locked meanwhile */
#define ROOT_COUNT_MAX      64    /* new roots in one refresh */
/* Problems that asking the repository again, before it changed, would not mend. */
#define DENIED   "denied"   /* statements forbid the target */
#define STEERING "steering" /* the document that came does not follow the one held */

/* ---- The first root ---------------------------------------------------------------------------
 */

static void hex_of(const covey__buffer *bytes, char out[65]) {
    uint8_t digest[32];
    covey__sha256_of(bytes->data ? bytes->data : "", bytes->size, digest);
    covey__hex(digest, 32, out);
}

/* A file of the state folder; NOT_FOUND, or the disk's failure. */
static covey_status read_file(const covey_agent *agent, const char *name, covey__buffer *out,
                              covey_error *error) {
    char *path = covey__agent_path(agent, "%s", name);
    covey__buffer_clear(out);
    covey_status status = path ? covey__file_read(agent->env, path, out, error)
                               : covey__no_memory(error, "a path", 0);
    covey__free(agent->env, path);
    return status;
}

/* The first root: the device's own, else the app's. */
static covey_status read_first_root(const covey_agent *agent, covey__buffer *out,
                                    covey_error *error) {
    const char *pinned = agent->state.trust.root_sha256;
    char found[65];
    covey_status status = read_file(agent, "root.json", out, error);
    if (!status) {
        hex_of(out, found);
        if (!pinned[0] || !strcmp(found, pinned)) return COVEY_OK;
        status = COVEY_ERROR_NOT_FOUND;
    }
    if (status != COVEY_ERROR_NOT_FOUND && status != COVEY_ERROR_LIMIT) return status;
    covey__buffer_clear(out);
    if (pinned[0])
        return covey__fail(error, COVEY_ERROR_NOT_FOUND, "its first root is not here any more");
    if (agent->root_path) return covey__file_read(agent->env, agent->root_path, out, error);
    return covey__fail(error, COVEY_ERROR_NOT_FOUND,
                       "this device has no root of trust; enroll it again");
}

covey_status covey__trust_has_root(const covey_agent *agent, bool *has_root, covey_error *error) {
    covey__buffer bytes;
    covey_error why = {0};
    covey__buffer_init(&bytes, agent->env, COVEY__ROOT_BYTES_MAX);
    covey_status status = read_first_root(agent, &bytes, &why);
    covey__buffer_free(&bytes);
    *has_root = !status;
    if (status != COVEY_ERROR_IO && status != COVEY_ERROR_NO_MEMORY && status != COVEY_ERROR_DENIED)
        return COVEY_OK;
    if (error) *error = why;
    return status;
}

/* A root that is signed by its own keys. */
static covey_status check_root(const covey_agent *agent, const covey__buffer *bytes,
                               covey_error *error) {
    covey__tuf_document *document = NULL;
    covey_status status = covey__tuf_parse(
        agent->env, COVEY__TUF_ROOT, bytes->data ? bytes->data : "", bytes->size, &document, error);
    if (!status)
        status = covey__tuf_verify(agent->env, document, document->top + COVEY__TUF_ROOT, error);
    covey__tuf_free(document);
    return status;
}

covey_status covey__trust_name_root(const covey_agent *agent, const char *root,
                                    covey__buffer *bytes, char sha256[65], covey_error *error) {
    uint8_t digest[32];
    if (covey__unhex(root, strlen(root), digest, sizeof digest)) {
        covey__hex(digest, 32, sha256);
        return COVEY_OK;
    }
    covey_status status = covey__file_read(agent->env, root, bytes, error);
    if (!status) status = check_root(agent, bytes, error);
    if (status)
        return covey__prefix(error, status,
                             "the root: expected a file with a root's metadata, or its SHA-256");
    hex_of(bytes, sha256);
    return COVEY_OK;
}

/* `*found` is false where the control plane has no root of that version, or it is not the one. */
static covey_status fetch_root(covey_agent *agent, const char *metadata_url, int64_t version,
                               const char *wanted, covey__buffer *bytes, bool *found,
                               covey_error *error) {
    int http_status = 0;
    char hex[65];
    char *url = covey__format(agent->env, "%s/%" PRId64 ".root.json", metadata_url, version);
    if (!url) return covey__no_memory(error, "an address", 0);
    covey__buffer_clear(bytes);
    covey_status status = covey__agent_get(agent, url, bytes, &http_status, error);
    covey__free(agent->env, url);
    *found = false;
    if (status || (http_status == 404 && wanted[0])) return status;
    if (http_status != 200)
        return covey__fail_sizes(error, COVEY_ERROR_REMOTE, 0, http_status,
                                 "root %" PRId64 ": the control plane answered %d", version,
                                 http_status);
    hex_of(bytes, hex);
    *found = !wanted[0] || !strcmp(hex, wanted);
    return COVEY_OK;
}

covey_status covey__trust_fetch_root(covey_agent *agent, const char *metadata_url, int64_t newest,
                                     covey__buffer *bytes, char sha256[65], covey_error *error) {
    bool found = false;
    int64_t oldest = newest > ROOT_COUNT_MAX ? newest - ROOT_COUNT_MAX : 1;
    if (!sha256[0]) oldest = newest;
    for (int64_t version = newest; !found && version >= oldest; version--) {
        covey_status status =
            fetch_root(agent, metadata_url, version, sha256, bytes, &found, error);
        if (status) return covey__prefix(error, status, "the root of trust");
    }
    if (!found)
        return covey__fail(error, COVEY_ERROR_DENIED,
                           "the control plane serves no root with the SHA-256 %s", sha256);
    covey_status status = check_root(agent, bytes, error);
    if (status) return covey__prefix(error, status, "the root of trust");
    hex_of(bytes, sha256);
    return COVEY_OK;
}

covey_status covey__trust_put_root(const covey_agent *agent, const covey__buffer *bytes,
                                   covey_error *error) {
    char *path = covey__agent_path(agent, "root.next.json");
    covey_status status =
        path ? covey__file_replace(agent->env, path, bytes->data, bytes->size, error)
             : covey__no_memory(error, "a path", 0);
    covey__free(agent->env, path);
    return status;
}

/* Removes what was seen of another root, and gives the new one its name. */
static covey_status exchange_root(covey_agent *agent, covey_error *error) {
    static const char *const names[] = {"trust", "floor.json", "steering.json"};
    covey_status status = COVEY_OK;
    for (size_t i = 0; !status && i < sizeof names / sizeof *names; i++) {
        char *path = covey__agent_path(agent, "%s", names[i]);
        status = path ? covey__tree_remove(agent->env, path, error)
                      : covey__no_memory(error, "a path", 0);
        covey__free(agent->env, path);
    }
    char *from = covey__agent_path(agent, "root.next.json");
    char *to = covey__agent_path(agent, "root.json");
    if (!status && (!from || !to)) status = covey__no_memory(error, "a path", 0);
    if (!status) status = covey__folder_sync(agent->env, agent->state_dir, error);
    if (!status) status = covey__file_rename(agent->env, from, to, error);
    if (!status) status = covey__folder_sync(agent->env, agent->state_dir, error);
    covey__free(agent->env, from);
    covey__free(agent->env, to);
    if (status) return status;
    covey__steering_free(agent->steering);
    agent->steering = NULL;
    agent->steering_sha256[0] = 0;
    return COVEY_OK;
}

covey_status covey__trust_settle(covey_agent *agent, covey_error *error) {
    char *pinned = agent->state.trust.root_sha256, found[65];
    covey__buffer bytes;
    covey__buffer_init(&bytes, agent->env, COVEY__ROOT_BYTES_MAX);
    covey_status status = read_file(agent, "root.json", &bytes, error);
    bool agrees = false;
    if (!status) {
        hex_of(&bytes, found);
        if (!pinned[0]) memcpy(pinned, found, sizeof found); /* state.json was lost: it was true */
        agrees = !strcmp(found, pinned);
    }
    if (status == COVEY_ERROR_NOT_FOUND || status == COVEY_ERROR_LIMIT) status = COVEY_OK;
    if (!status && !agrees && pinned[0]) {
        status = read_file(agent, "root.next.json", &bytes, error);
        if (!status) hex_of(&bytes, found);
        if (!status && !strcmp(found, pinned)) status = exchange_root(agent, error);
        if (status == COVEY_ERROR_NOT_FOUND) status = COVEY_OK; /* it is fetched again */
    }
    if (!status && agrees) { /* one that was put aside and never named */
        char *next = covey__agent_path(agent, "root.next.json");
        status = next ? covey__file_remove(agent->env, next, error)
                      : covey__no_memory(error, "a path", 0);
        covey__free(agent->env, next);
    }
    covey__buffer_free(&bytes);
    return status;
}

/* ---- Refreshes --------------------------------------------------------------------------------
 */

covey_status covey__trust_read_served(const covey__json *answer, covey__served_metadata *served,
                                      covey_error *error) {
    const covey__json *node = covey__json_get(answer, "metadata");
    *served = (covey__served_metadata){0, 0};
    if (!node || node->kind == COVEY__JSON_NULL) return COVEY_OK;
    if (node->kind != COVEY__JSON_OBJECT)
        return covey__fail(error, COVEY_ERROR_FORMAT, "metadata: expected an object");
    covey_status status = covey__json_i64(node, "root", "metadata.root", 0, COVEY__JSON_INTEGER_MAX,
                                          &served->root, error);
    if (!status)
        status = covey__json_i64(node, "timestamp", "metadata.timestamp", 0,
                                 COVEY__JSON_INTEGER_MAX, &served->timestamp, error);
    return status;
}

/* What a look at the metadata came to; the first failure stays. */
typedef struct finding {
    const char *problem; /* NULL: none; static memory */
    bool holds;          /* nothing new may be believed because of it */
    char message[256];
} finding;

static void find_fault(finding *found, const char *problem, bool holds, const char *format, ...)
    COVEY_PRINTF(4, 5);
static void find_fault(finding *found, const char *problem, bool holds, const char *format, ...) {
    char whole[600];
    va_list arguments;
    found->holds = found->holds || holds;
    if (found->problem) return;
    va_start(arguments, format);
    vsnprintf(whole, sizeof whole, format, arguments);
    va_end(arguments);
    covey__printable(whole, strlen(whole), found->message, sizeof found->message);
    found->problem = problem;
}

static bool is_expired(const covey_agent *agent) {
    const covey__agent_trust *trust = &agent->state.trust;
    return trust->timestamp && covey__agent_now(agent) >= trust->expires_ms;
}

static bool refresh_due(const covey_agent *agent, const covey__served_metadata *served) {
    const covey__agent_trust *trust = &agent->state.trust;
    bool lasts = !strcmp(trust->problem, DENIED) || !strcmp(trust->problem, STEERING);
    if (trust->problem[0] && !lasts) return true;
    if (served->timestamp && served->timestamp != trust->timestamp) return true;
    if (served->root && served->root != trust->root) return true;
    bool lost = trust->steering_serial && !agent->steering &&
                !strcmp(trust->steering_product, covey__agent_product(agent));
    return is_expired(agent) || lost;
}

/* A device that was enrolled before there was metadata pinned keys then, and is not moved to
 * another trust by a server's word. */
static bool enrolled_for(const covey__agent_trust *trust) {
    return trust->metadata_url[0] != 0;
}

/* A root where none is in hand: the one that was named when this device was enrolled, or on first
 * use the control plane's. */
static covey_status begin_root(covey_agent *agent, const covey__served_metadata *served,
                               covey_error *error) {
    covey__agent_trust *trust = &agent->state.trust;
    char sha256[65];
    covey__buffer bytes;
    bool has_root = false;
    covey_status status = covey__trust_settle(agent, error);
    if (!status) status = covey__trust_has_root(agent, &has_root, error);
    if (status || has_root) return status;
    if (!enrolled_for(trust) || !served->root)
        return covey__fail(error, COVEY_ERROR_NOT_FOUND,
                           "this device has no root of trust; enroll it again");
    covey__buffer_init(&bytes, agent->env, COVEY__ROOT_BYTES_MAX);
    memcpy(sha256, trust->root_sha256, sizeof sha256);
    status =
        covey__trust_fetch_root(agent, trust->metadata_url, served->root, &bytes, sha256, error);
    if (!status) status = covey__trust_put_root(agent, &bytes, error);
    covey__buffer_free(&bytes);
    if (status) return status;
    covey__agent_state next = agent->state;
    memcpy(next.trust.root_sha256, sha256, sizeof sha256);
    status = covey__agent_save(agent, &next, error);
    if (status) return status;
    agent->state = next;
    return covey__trust_settle(agent, error);
}

static covey_status open_client(covey_agent *agent, covey_tuf **tuf, covey_error *error) {
    covey_tuf_options options = COVEY_TUF_OPTIONS_INIT;
    covey__buffer root;
    covey__buffer_init(&root, agent->env, COVEY__ROOT_BYTES_MAX);
    char *store = covey__agent_path(agent, "trust");
    char *floor = covey__agent_path(agent, "floor.json");
    covey_status status = store && floor ? COVEY_OK : covey__no_memory(error, "a path", 0);
    if (!status) status = read_first_root(agent, &root, error);
    options.store_dir = store;
    options.floor_path = floor;
    options.metadata_url = agent->state.trust.metadata_url;
    options.root = root.data;
    options.root_size = root.size;
    options.root_count_max = ROOT_COUNT_MAX;
    options.metadata_timeout_ms = METADATA_TIMEOUT_MS;
    if (!status) status = covey_tuf_open(agent->runtime, &options, tuf, error);
    covey__buffer_free(&root);
    covey__free(agent->env, store);
    covey__free(agent->env, floor);
    return status;
}

/* Says why the repository is not believed. */
static void note_refusal(covey_agent *agent, covey_status status, const covey_error *why,
                         finding *found) {
    char date[COVEY__UTC_SIZE];
    if (status == COVEY_ERROR_EXPIRED && agent->state.trust.timestamp) {
        covey__utc_format(agent->state.trust.expires_ms, date);
        if (is_expired(agent) || covey__agent_now(agent) < agent->state.last_checkin_ms) {
            find_fault(found, covey_status_name(status), true,
                       "held back: the metadata expired on %s and the control plane has no newer",
                       date);
            return;
        }
    }
    find_fault(found, covey_status_name(status), true, "held back: %s", why->message);
}

static void refresh(covey_agent *agent, const covey__served_metadata *served, covey_tuf **tuf,
                    finding *found) {
    covey__agent_trust *trust = &agent->state.trust;
    covey_tuf_report report = COVEY_TUF_REPORT_INIT;
    covey_error why = {0};
    covey_status status = covey__agent_fault(agent, "agent.refresh", &why);
    if (!status) status = begin_root(agent, served, &why);
    if (!status && !trust->metadata_url[0]) /* the app's root came after the enrollment */
        covey__agent_say(trust->metadata_url, sizeof trust->metadata_url, "%s/v1/metadata",
                         agent->state.url);
    if (!status) status = open_client(agent, tuf, &why);
    if (!status) status = covey_tuf_refresh(*tuf, served->root, &report, &why);
    if (report.after.root) trust->root = report.after.root;
    if (status) {
        note_refusal(agent, status, &why, found);
        return;
    }
    trust->timestamp = report.after.timestamp;
    trust->expires_ms = report.expires_ms;
}

/* ---- Targets ----------------------------------------------------------------------------------
 */

static void check_steering(covey_agent *agent, covey_tuf *tuf, const char *product,
                           finding *found) {
    covey_tuf_target target = COVEY_TUF_TARGET_INIT;
    covey_error why = {0};
    if (!product[0]) return;
    char *name = covey__format(agent->env, "steering/%s.json", product);
    covey_status status =
        name ? covey_tuf_find(tuf, name, &target, &why) : covey__no_memory(&why, "a name", 0);
    bool held = agent->steering && !strcmp(agent->steering->product, product);
    if (status == COVEY_ERROR_NOT_FOUND && held)
        find_fault(found, STEERING, false,
                   "the metadata names no steering document any more; the one held goes on "
                   "holding");
    else if (status && status != COVEY_ERROR_NOT_FOUND)
        find_fault(found, covey_status_name(status), true, "held back: steering: %s", why.message);
    if (!status) {
        status = covey__steering_take(agent, product, &target, &why);
        bool content = status == COVEY_ERROR_DENIED || status == COVEY_ERROR_FORMAT;
        if (content)
            find_fault(found, STEERING, false, "refused, what was held goes on holding: %s",
                       why.message);
        else if (status)
            find_fault(found, covey_status_name(status), true, "held back: steering: %s",
                       why.message);
    }
    covey__free(agent->env, name);
}

/* Whether the metadata names this very release document. `*known` is false when that cannot be told
 * now. */
static bool is_listed(covey_agent *agent, covey_tuf *tuf, const covey__agent_update *target,
                      char *signed_by, bool *known, finding *found) {
    covey_tuf_target named = COVEY_TUF_TARGET_INIT;
    covey_error why = {0};
    uint8_t digest[32];
    char *name = covey__format(agent->env, "%s/%s/release.json", target->name, target->version);
    covey_status status =
        name ? covey_tuf_find(tuf, name, &named, &why) : covey__no_memory(&why, "a name", 0);
    covey__free(agent->env, name);
    *known = !status || status == COVEY_ERROR_NOT_FOUND;
    if (status == COVEY_ERROR_NOT_FOUND) {
        find_fault(found, covey_status_name(COVEY_ERROR_SIGNATURE), false,
                   "not signed: no trusted role names a release %s@%s", target->name,
                   target->version);
        return false;
    }
    if (status) {
        find_fault(found, covey_status_name(status), true, "held back: %s@%s: %s", target->name,
                   target->version, why.message);
        return false;
    }
    if (named.has_sha256 && covey__unhex(target->release_digest, 64, digest, 32) &&
        !memcmp(digest, named.sha256, 32) && named.length == (uint64_t)target->release_size) {
        covey__trust_signers(agent, named.role, signed_by);
        return true;
    }
    find_fault(found, covey_status_name(COVEY_ERROR_MISMATCH), false,
               "not signed: the control plane offers another document of %s@%s than the metadata "
               "names",
               target->name, target->version);
    return false;
}

/* The release's patch index, if the metadata names one. Nothing depends on it but bytes, so what is
 * wrong with it is no reason to doubt anything. */
static void find_patches(covey_agent *agent, covey_tuf *tuf, const covey__agent_update *target,
                         covey__verdict *verdict) {
    covey_tuf_target named = COVEY_TUF_TARGET_INIT;
    covey_error why = {0};
    char *name =
        covey__format(agent->env, "%s/%s/" COVEY__PATCH_INDEX_FILE, target->name, target->version);
    covey_status status =
        name ? covey_tuf_find(tuf, name, &named, &why) : covey__no_memory(&why, "a name", 0);
    covey__free(agent->env, name);
    if (!status && named.has_sha256 && named.length > 0 &&
        named.length <= COVEY__PATCH_INDEX_BYTES_MAX) {
        covey__hex(named.sha256, 32, verdict->patches);
        verdict->patches_size = (int64_t)named.length;
    } else if (status != COVEY_ERROR_NOT_FOUND) {
        covey__log(agent->env, COVEY_LOG_WARN, "agent", "no patches: %s",
                   status ? why.message : "the metadata names none that can be");
    }
}

/* ---- A check-in's answer ----------------------------------------------------------------------
 */

static bool is_at_hand(const covey_agent *agent, const covey__agent_update *target) {
    const covey__agent_update *update = &agent->state.update;
    return update->phase != COVEY__PHASE_NONE && !strcmp(update->name, target->name) &&
           !strcmp(update->version, target->version) &&
           !strcmp(update->release_digest, target->release_digest);
}

/* Whether the machine would begin with this target, were it signed. */
static bool would_begin(const covey_agent *agent, const covey__agent_event_in *event) {
    covey__agent_actions actions;
    if (!event->target || is_at_hand(agent, event->target)) return false;
    covey__agent_state *next = covey__alloc(agent->env, sizeof *next);
    if (!next) return true; /* asking costs a request, and no more */
    *next = agent->state;
    covey__machine(next, event, &actions);
    bool begins = next->update.phase == COVEY__PHASE_PLAN &&
                  !strcmp(next->update.release_digest, event->target->release_digest);
    covey__free(agent->env, next);
    return begins;
}

/* Keeps what was found, and reports it when it is another fault than before. */
static covey_status keep_finding(covey_agent *agent, const covey__agent_event_in *judged,
                                 const finding *found, covey_error *error) {
    covey__agent_trust *trust = &agent->state.trust;
    const covey__agent_slot *current = &agent->state.current;
    covey__agent_actions actions;
    char release[132] = "";
    const char *problem = found->problem ? found->problem : "";
    bool is_new = problem[0] && strcmp(problem, trust->problem) != 0;
    snprintf(trust->problem, sizeof trust->problem, "%s", problem);
    snprintf(trust->message, sizeof trust->message, "%s", found->message);
    if (!is_new) return COVEY_OK;
    if (current->digest[0])
        covey__release_name(release, current->name, current->version);
    else if (agent->builtin)
        covey__release_name(release, covey_ensemble_name(agent->builtin),
                            covey_ensemble_version(agent->builtin));
    else if (judged->target)
        covey__release_name(release, judged->target->name, judged->target->version);
    covey__agent_tell(agent, COVEY_AGENT_EVENT_FAILED, "check-in", "", 0, 0, "%s", found->message);
    if (!release[0]) return COVEY_OK;
    covey__agent_event_in told = {.kind = COVEY__EVENT_TOLD,
                                  .outcome = "failed",
                                  .release = release,
                                  .message = found->message};
    return covey__agent_event(agent, &told, &actions, error);
}

/* What the metadata says of the target. */
static void judge_target(covey_agent *agent, covey_tuf *tuf, bool begins,
                         covey__agent_event_in *event, const covey__agent_update *target,
                         covey__verdict *verdict, finding *found) {
    bool known = false, at_hand = is_at_hand(agent, target);
    if (found->holds) {
        verdict->take = at_hand; /* it was signed when it was taken */
        return;
    }
    if (!at_hand && !begins) return;
    if (is_listed(agent, tuf, target, verdict->signed_by, &known, found)) {
        event->signed_by = verdict->signed_by;
        find_patches(agent, tuf, target, verdict);
        return;
    }
    if (at_hand && known)
        *event = (covey__agent_event_in){.kind = COVEY__EVENT_TARGET_NONE};
    else
        verdict->take = at_hand;
}

covey_status covey__trust_judge(covey_agent *agent, const covey__served_metadata *served,
                                covey__agent_event_in *event, covey__verdict *verdict,
                                covey_error *error) {
    const covey__agent_update *target = event->target;
    covey__agent_trust *trust = &agent->state.trust;
    finding found = {0};
    covey_tuf *tuf = NULL;
    verdict->take = true;
    covey__steering_judge(agent, event, &verdict->denied);
    bool any = served->root || trust->root;
    if (would_begin(agent, event) || (any && refresh_due(agent, served))) {
        const char *product = covey__agent_product(agent);
        refresh(agent, served, &tuf, &found);
        if (!found.holds)
            check_steering(agent, tuf, product[0] || !event->target ? product : target->name,
                           &found);
        covey__steering_judge(agent, event, &verdict->denied);
        if (event->target)
            judge_target(agent, tuf, would_begin(agent, event), event, target, verdict, &found);
    } else if (!strcmp(trust->problem, STEERING)) {
        find_fault(&found, STEERING, false, "%s", trust->message);
    }
    if (event->target && event->denied)
        find_fault(&found, DENIED, false, "%s@%s is not taken: %s", target->name, target->version,
                   event->denied);
    covey_tuf_close(tuf);
    return keep_finding(agent, event, &found, error);
}
