/* New versions of documents: the content of the one that holds, with one thing changed, and a new
 * expiry. Nothing is signed here.
 *
 * Invariant: a draft is one version above what holds, or 1; what was not to be changed is carried
 * over, so that no release and no key is lost by a change of another.
 *
 * Neighbours: repository_sign.c signs; trust/tuf_make.h writes.
 */
#include "fleet/repository.h"

#include "base/error.h"
#include "trust/tuf_text.h"

#include <stdio.h>
#include <string.h>

void covey__key_list_of(const covey__tuf_role *role, covey__key_list *list) {
    list->count = 0;
    list->threshold = role->threshold;
    for (size_t i = 0; i < role->key_count && list->count < COVEY__TUF_ROLE_KEY_COUNT_MAX; i++)
        if (role->keys[i] != NULL) list->keys[list->count++] = role->keys[i]->key;
}

covey__tuf_signers covey__key_list_signers(const covey__key_list *list) {
    return (covey__tuf_signers){list->keys, list->count, list->threshold};
}

static covey__tuf_head next_head(covey__signing *signing, const char *role, int64_t now_ms) {
    const covey__metadata_item *held = covey__metadata_item_find(signing->bases, role);
    return (covey__tuf_head){held != NULL ? held->document->version + 1 : 1,
                             now_ms + COVEY__REPOSITORY_TTL_MS};
}

static covey_status put(covey__signing *signing, const char *role, covey_status status,
                        covey__buffer *text, covey_error *error) {
    if (status == COVEY_OK)
        status = covey__metadata_put(signing->drafts, role, text->data, text->size, error);
    covey__buffer_free(text);
    return status;
}

covey_status covey__draft_root(covey__signing *signing, const covey__key_list lists[4],
                               int64_t now_ms, covey_error *error) {
    covey__tuf_signers roles[4];
    covey__buffer text;
    for (int i = 0; i < 4; i++) roles[i] = covey__key_list_signers(&lists[i]);
    covey__buffer_init(&text, signing->env, COVEY__METADATA_BYTES_MAX);
    covey_status status =
        covey__tuf_make_root(signing->env, next_head(signing, "root", now_ms), roles, &text, error);
    return put(signing, "root", status, &text, error);
}

/* Room for one more than there are; all of it is the arena's. */
typedef struct content {
    covey__tuf_make_content made;
    covey__tuf_make_target *targets;
    covey__tuf_make_delegation *delegations;
    covey__key_list *lists;
} content;

static void copy_targets(content *c, const covey__tuf_document *held,
                         const covey__tuf_make_target *changed) {
    size_t count = 0;
    for (size_t i = 0; held != NULL && i < held->target_count; i++) {
        const covey__tuf_entry *entry = held->targets[i];
        if (changed != NULL && strcmp(entry->name, changed->name) == 0) continue;
        covey__tuf_make_target *target = &c->targets[count++];
        *target = (covey__tuf_make_target){
            .name = entry->name, .length = (uint64_t)entry->length, .custom = entry->custom};
        memcpy(target->sha256, entry->hashes.sha256, 32);
    }
    if (changed != NULL) c->targets[count++] = *changed;
    c->made.targets = c->targets;
    c->made.target_count = count;
}

static void copy_delegations(content *c, const covey__tuf_document *held,
                             const covey__draft_change *change) {
    size_t count = 0;
    bool found = change->changed == NULL;
    for (size_t i = 0; held != NULL && i < held->role_count; i++) {
        const covey__tuf_role *role = &held->roles[i];
        covey__tuf_make_delegation *made = &c->delegations[count];
        bool is_it = change->changed != NULL && strcmp(role->name, change->changed) == 0;
        covey__key_list_of(role, &c->lists[count]);
        *made = (covey__tuf_make_delegation){
            .name = role->name,
            .signers = covey__key_list_signers(is_it ? change->list : &c->lists[count]),
            .terminating = role->terminating,
            .paths = role->patterns,
            .path_count = role->pattern_count};
        found = found || is_it;
        count++;
    }
    if (!found) {
        c->delegations[count++] =
            (covey__tuf_make_delegation){.name = change->changed,
                                         .signers = covey__key_list_signers(change->list),
                                         .terminating = true,
                                         .paths = &change->path,
                                         .path_count = 1};
    }
    c->made.delegations = c->delegations;
    c->made.delegation_count = count;
}

covey_status covey__draft_targets(covey__signing *signing, const char *role,
                                  const covey__draft_change *change, int64_t now_ms,
                                  covey_error *error) {
    const covey__metadata_item *item = covey__metadata_item_find(signing->bases, role);
    const covey__metadata_item *draft = covey__metadata_item_find(signing->drafts, role);
    const covey__tuf_document *held = draft != NULL  ? draft->document
                                      : item != NULL ? item->document
                                                     : NULL;
    covey__arena arena;
    content c = {.made = {0}};
    covey__buffer text;
    size_t targets = (held != NULL ? held->target_count : 0) + 1;
    size_t roles = (held != NULL ? held->role_count : 0) + 1;
    covey__arena_init(&arena, signing->env, 256u << 20);
    covey__buffer_init(&text, signing->env, COVEY__METADATA_BYTES_MAX);
    c.targets = covey__arena_calloc(&arena, targets, sizeof(*c.targets));
    c.delegations = covey__arena_calloc(&arena, roles, sizeof(*c.delegations));
    c.lists = covey__arena_calloc(&arena, roles, sizeof(*c.lists));
    covey_status status = COVEY_OK;
    if (c.targets == NULL || c.delegations == NULL || c.lists == NULL) {
        status = covey__no_memory(error, role, targets);
    } else {
        copy_targets(&c, held, change->target);
        copy_delegations(&c, held, change);
        status = covey__tuf_make_targets(signing->env, next_head(signing, role, now_ms), &c.made,
                                         &text, error);
    }
    status = put(signing, role, status, &text, error);
    covey__arena_free(&arena);
    return status;
}

covey_status covey__repository_speaker(covey_fleet_keys *keys, const char *target,
                                       char role[COVEY__METADATA_ROLE_SIZE], covey_error *error) {
    const covey__metadata_item *targets = covey__metadata_item_find(keys->set, "targets");
    if (targets == NULL)
        return covey__fail(error, COVEY_ERROR_NOT_FOUND,
                           "this folder has no metadata yet: \"covey-fleet keys pull\"");
    for (size_t i = 0; i < targets->document->role_count; i++) {
        const covey__tuf_role *each = &targets->document->roles[i];
        for (size_t p = 0; !each->by_hash && p < each->pattern_count; p++) {
            if (!covey__tuf_glob(each->patterns[p], target)) continue;
            (void)snprintf(role, COVEY__METADATA_ROLE_SIZE, "%s", each->name);
            return COVEY_OK;
        }
    }
    return covey__fail(error, COVEY_ERROR_NOT_FOUND,
                       "no role speaks for %s: \"covey-fleet keys product add\" makes one", target);
}
