/* How a set of metadata is judged before it is served: as a device would, from the root down, but
 * over all roles at once, so that what is served never leaves a device in the middle. Pure: no
 * file, no clock.
 *
 * Neighbours: metadata.c keeps the sets; trust/tuf_document.h verifies one document. */
#include "fleet/metadata_parts.h"

#include "base/error.h"
#include "base/utc.h"
#include "trust/tuf_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool covey__metadata_role_valid(const char *role) {
    size_t size = strlen(role);
    return size >= 1 && size < COVEY__METADATA_ROLE_SIZE && role[0] != '.' &&
           strcmp(role, "root") != 0 && strcmp(role, "snapshot") != 0 &&
           strcmp(role, "timestamp") != 0 &&
           strspn(role, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
               size;
}

covey_status covey__metadata_check_root(const covey__env *env, const covey__tuf_document *held,
                                        const covey__tuf_document *next, covey_error *error) {
    covey_status status = COVEY_OK;
    int64_t expected = held == NULL ? 1 : held->version + 1;
    if (next->version != expected)
        return covey__fail_sizes(error, COVEY_ERROR_ROLLBACK, expected, next->version,
                                 "version %" PRId64 " expected, %" PRId64
                                 " found: each root follows the one before",
                                 expected, next->version);
    if (!next->consistent_snapshot)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "consistent_snapshot: must be true here");
    if (held != NULL) status = covey__tuf_verify(env, next, &held->top[COVEY__TUF_ROOT], error);
    if (status != COVEY_OK)
        return covey__prefix(error, status, "by the keys of root %" PRId64, held->version);
    status = covey__tuf_verify(env, next, &next->top[COVEY__TUF_ROOT], error);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "by its own keys");
}

static covey_status check_expiry(const covey__tuf_document *document, int64_t now_ms,
                                 covey_error *error) {
    char at[COVEY__UTC_SIZE];
    if (document->expires_ms > now_ms) return COVEY_OK;
    covey__utc_format(document->expires_ms, at);
    return covey__fail(error, COVEY_ERROR_EXPIRED,
                       "version %" PRId64 " expired at %s: sign it anew", document->version, at);
}

static covey_status check_role(covey__metadata_set *set, const char *name,
                               const covey__tuf_role *role, int64_t now_ms, covey_error *error) {
    const covey__metadata_item *item = covey__metadata_item_find(set, name);
    if (item == NULL)
        return covey__fail(error, COVEY_ERROR_NOT_FOUND,
                           "%s: it has no document: send one together with what names it", name);
    covey_status status = covey__tuf_verify(set->env, item->document, role, error);
    if (status == COVEY_OK) status = check_expiry(item->document, now_ms, error);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "%s", name);
}

/* Drops documents of roles that nothing delegates to any more. */
static void drop_orphans(covey__metadata_set *set, const covey__tuf_document *targets) {
    size_t kept = 0;
    for (size_t i = 0; i < set->role_count; i++) {
        covey__metadata_item *item = &set->roles[i];
        bool wanted = item->document->type != COVEY__TUF_TARGETS || item->document == targets;
        for (size_t r = 0; !wanted && r < targets->role_count; r++)
            wanted = strcmp(targets->roles[r].name, item->name) == 0;
        if (wanted) {
            if (kept != i) set->roles[kept] = *item;
            kept++;
            continue;
        }
        covey__tuf_free(item->document);
        covey__buffer_free(&item->text);
    }
    set->role_count = kept;
}

covey_status covey__metadata_check(covey__metadata_set *set, int64_t now_ms, covey_error *error) {
    const covey__metadata_item *root = covey__metadata_item_find(set, "root");
    if (root == NULL)
        return covey__fail(error, COVEY_ERROR_NOT_FOUND,
                           "root: there is none yet: send the first one (covey-fleet keys push)");
    covey_status status = check_expiry(root->document, now_ms, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "root");
    status = check_role(set, "targets", &root->document->top[COVEY__TUF_TARGETS], now_ms, error);
    if (status != COVEY_OK) return status;
    const covey__tuf_document *targets = covey__metadata_item_find(set, "targets")->document;
    if (targets->bin_bits != 0)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "targets: succinct roles are not served here");
    for (size_t i = 0; status == COVEY_OK && i < targets->role_count; i++) {
        const covey__tuf_role *role = &targets->roles[i];
        if (!covey__metadata_role_valid(role->name) || strcmp(role->name, "targets") == 0)
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "targets: a delegation has a name that is not 1 to 64 letters, "
                               "digits, '.', '_', '-'");
        status = check_role(set, role->name, role, now_ms, error);
        if (status == COVEY_OK &&
            covey__metadata_item_find(set, role->name)->document->role_count > 0)
            status = covey__fail(error, COVEY_ERROR_UNSUPPORTED, "%s: only targets delegates here",
                                 role->name);
    }
    if (status == COVEY_OK) drop_orphans(set, targets);
    return status;
}

/* ---- Looking up -------------------------------------------------------------------------------
 */

static bool take_entry(const covey__metadata_item *item, const char *name,
                       covey__metadata_target *target) {
    const covey__tuf_entry *entry = covey__tuf_entry_find(item->document, name);
    if (entry == NULL || !entry->hashes.has_sha256) return false;
    target->length = (uint64_t)entry->length;
    memcpy(target->sha256, entry->hashes.sha256, sizeof target->sha256);
    snprintf(target->role, sizeof target->role, "%s", item->name);
    return true;
}

static bool speaks_for(const covey__tuf_role *role, const char *name) {
    for (size_t i = 0; !role->by_hash && i < role->pattern_count; i++)
        if (covey__tuf_glob(role->patterns[i], name)) return true;
    return false;
}

bool covey__metadata_look_up(covey__metadata_set *set, const char *name,
                             covey__metadata_target *target) {
    const covey__metadata_item *top = covey__metadata_item_find(set, "targets");
    if (top == NULL) return false;
    if (take_entry(top, name, target)) return true;
    for (size_t i = 0; i < top->document->role_count; i++) {
        const covey__tuf_role *role = &top->document->roles[i];
        if (!speaks_for(role, name)) continue;
        const covey__metadata_item *item = covey__metadata_item_find(set, role->name);
        if (item != NULL && take_entry(item, name, target)) return true;
        if (role->terminating) return false;
    }
    return false;
}

/* ---- Listing ----------------------------------------------------------------------------------
 */

static void list_one(covey__metadata_set *set, const char *name, const covey__tuf_role *signers,
                     void (*each)(void *user, const covey__metadata_role *role), void *user) {
    const covey__metadata_item *item = covey__metadata_item_find(set, name);
    covey__metadata_role role = {.threshold = signers->threshold, .key_count = signers->key_count};
    snprintf(role.name, sizeof role.name, "%s", name);
    if (item != NULL) {
        role.version = item->document->version;
        role.expires_ms = item->document->expires_ms;
    }
    each(user, &role);
}

void covey__metadata_list(covey__metadata_set *set,
                          void (*each)(void *user, const covey__metadata_role *role), void *user) {
    const covey__metadata_item *root = covey__metadata_item_find(set, "root");
    const covey__metadata_item *targets = covey__metadata_item_find(set, "targets");
    if (root == NULL) return;
    for (int i = 0; i < COVEY__TUF_TOP_COUNT; i++)
        list_one(set, covey__tuf_type_name((covey__tuf_type)i), &root->document->top[i], each,
                 user);
    for (size_t i = 0; targets != NULL && i < targets->document->role_count; i++)
        list_one(set, targets->document->roles[i].name, &targets->document->roles[i], each, user);
}
