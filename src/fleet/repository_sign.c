/* From drafts to documents that hold: who must sign, who did, and what is kept at the end.
 *
 * Invariants: a draft is judged by the keys of the document above it, which may be a draft itself;
 * a root by the keys of the root before and by its own. Only as many keys are opened as thresholds
 * ask for, so that nobody types more passphrases than needed. Nothing is kept before all of it is
 * complete and right.
 *
 * Neighbours: repository_draft.c makes drafts; signing_file.c carries them to other machines.
 */
#include "fleet/repository.h"

#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

covey_status covey__signing_new(const covey__env *env, const covey__metadata_set *holds,
                                covey__signing **signing, covey_error *error) {
    covey__signing *made = covey__calloc(env, 1, sizeof(*made));
    if (made == NULL) return covey__no_memory(error, "signing", sizeof(*made));
    made->env = env;
    covey__buffer_init(&made->blob, env, 1u << 20);
    covey_status status = covey__metadata_set_new(env, &made->drafts, error);
    if (status == COVEY_OK)
        status = holds != NULL ? covey__metadata_set_copy(holds, &made->bases, error)
                               : covey__metadata_set_new(env, &made->bases, error);
    if (status != COVEY_OK) {
        covey__signing_free(made);
        return status;
    }
    *signing = made;
    return COVEY_OK;
}

void covey__signing_free(covey__signing *signing) {
    if (signing == NULL) return;
    covey__metadata_set_free(signing->drafts);
    covey__metadata_set_free(signing->bases);
    covey__buffer_free(&signing->blob);
    covey__free(signing->env, signing);
}

const covey__tuf_document *covey__signing_newest(covey__signing *signing, const char *role) {
    const covey__metadata_item *item = covey__metadata_item_find(signing->drafts, role);
    if (item == NULL) item = covey__metadata_item_find(signing->bases, role);
    return item != NULL ? item->document : NULL;
}

size_t covey__signing_judges(covey__signing *signing, const char *role,
                             const covey__tuf_role *judges[2]) {
    size_t count = 0;
    const covey__tuf_document *root = covey__signing_newest(signing, "root");
    if (root == NULL) return 0;
    if (strcmp(role, "root") == 0) {
        const covey__metadata_item *held = covey__metadata_item_find(signing->bases, "root");
        if (held != NULL) judges[count++] = &held->document->top[COVEY__TUF_ROOT];
        judges[count++] = &root->top[COVEY__TUF_ROOT];
        return count;
    }
    if (strcmp(role, "targets") == 0) {
        judges[count++] = &root->top[COVEY__TUF_TARGETS];
        return count;
    }
    const covey__tuf_document *targets = covey__signing_newest(signing, "targets");
    for (size_t i = 0; targets != NULL && i < targets->role_count; i++)
        if (strcmp(targets->roles[i].name, role) == 0) judges[count++] = &targets->roles[i];
    return count;
}

/* Whether this one key of a role signed. */
static bool signed_by(covey__signing *signing, const covey__tuf_document *document,
                      const covey__tuf_role *role, size_t key) {
    covey__tuf_role one = *role;
    one.key_ids = &role->key_ids[key];
    one.keys = &role->keys[key];
    one.key_count = 1;
    one.threshold = 1;
    return role->keys[key] != NULL &&
           covey__tuf_verify(signing->env, document, &one, NULL) == COVEY_OK;
}

bool covey__signing_has(covey__signing *signing, const char *role, const covey__public_key *key) {
    const covey__tuf_role *judges[2];
    const covey__metadata_item *draft = covey__metadata_item_find(signing->drafts, role);
    size_t count = covey__signing_judges(signing, role, judges);
    for (size_t j = 0; draft != NULL && j < count; j++)
        for (size_t i = 0; i < judges[j]->key_count; i++)
            if (judges[j]->keys[i] != NULL &&
                memcmp(judges[j]->keys[i]->key.fingerprint, key->fingerprint, 32) == 0 &&
                signed_by(signing, draft->document, judges[j], i))
                return true;
    return false;
}

covey_status covey__signing_add(covey__signing *signing, const char *role,
                                const covey__signer *signer, covey_error *error) {
    covey__buffer bytes, signature, out;
    const covey__env *env = signing->env;
    const covey__metadata_item *item = covey__metadata_item_find(signing->drafts, role);
    covey__buffer_init(&bytes, env, COVEY__METADATA_BYTES_MAX);
    covey__buffer_init(&signature, env, COVEY__SIGNATURE_SIZE_MAX);
    covey__buffer_init(&out, env, COVEY__METADATA_BYTES_MAX);
    covey_status status =
        covey__tuf_sign_bytes(env, item->text.data, item->text.size, &bytes, error);
    if (status == COVEY_OK)
        status = covey__signer_sign(signer, bytes.data, bytes.size, &signature, error);
    if (status == COVEY_OK)
        status = covey__tuf_add_signature(env, item->text.data, item->text.size, signer->key.id,
                                          signature.data, signature.size, &out, error);
    if (status == COVEY_OK)
        status = covey__metadata_put(signing->drafts, role, out.data, out.size, error);
    covey__buffer_free(&out);
    covey__buffer_free(&signature);
    covey__buffer_free(&bytes);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "signing %s", role);
}

/* ---- who is missing ------------------------------------------------------------------------ */

static void say_missing(covey__signing *signing, const covey__metadata_item *draft,
                        const covey__tuf_role *judge, const char *whose, covey__buffer *missing) {
    size_t have = 0;
    for (size_t i = 0; i < judge->key_count; i++)
        have += signed_by(signing, draft->document, judge, i);
    (void)covey__buffer_format(missing, "%s%s %" PRId64 " has %zu of %" PRId64 " signatures%s, of:",
                               missing->size > 0 ? "; " : "", draft->name, draft->document->version,
                               have, judge->threshold, whose);
    for (size_t i = 0; i < judge->key_count; i++)
        if (judge->keys[i] != NULL && !signed_by(signing, draft->document, judge, i))
            (void)covey__buffer_format(missing, " %.8s", judge->keys[i]->key.id);
}

bool covey__signing_complete(covey__signing *signing, covey__buffer *missing) {
    bool complete = true;
    for (size_t d = 0; d < signing->drafts->role_count; d++) {
        const covey__metadata_item *draft = &signing->drafts->roles[d];
        const covey__tuf_role *judges[2];
        size_t count = covey__signing_judges(signing, draft->name, judges);
        if (count == 0 && missing != NULL)
            (void)covey__buffer_format(missing, "%s%s: nothing delegates to it",
                                       missing->size > 0 ? "; " : "", draft->name);
        if (count == 0) complete = false;
        for (size_t j = 0; j < count; j++) {
            if (covey__tuf_verify(signing->env, draft->document, judges[j], NULL) == COVEY_OK)
                continue;
            complete = false;
            if (missing != NULL)
                say_missing(signing, draft, judges[j],
                            count < 2 ? ""
                            : j == 0  ? " by the keys before it"
                                      : " by its own keys",
                            missing);
        }
    }
    return complete;
}

/* ---- with the keys that are here ----------------------------------------------------------- */

static covey_status sign_for(covey_fleet_keys *keys, covey__signing *signing, const char *role,
                             size_t judge, covey_error *error) {
    const covey__tuf_role *judges[2];
    covey_status status = COVEY_OK;
    for (size_t i = 0; status == COVEY_OK; i++) {
        /* A root's own roles lie in the document, which each signature replaces. */
        size_t count = covey__signing_judges(signing, role, judges);
        const covey__metadata_item *draft = covey__metadata_item_find(signing->drafts, role);
        if (judge >= count || i >= judges[judge]->key_count) break;
        if (covey__tuf_verify(keys->env, draft->document, judges[judge], NULL) == COVEY_OK) break;
        const covey__tuf_key *key = judges[judge]->keys[i];
        covey__holder *holder = key != NULL ? covey__holder_find(keys, &key->key) : NULL;
        if (holder == NULL || signed_by(signing, draft->document, judges[judge], i)) continue;
        status =
            covey__holder_open(keys->env, holder, keys->passphrase, keys->passphrase_user, error);
        if (status == COVEY_OK) status = covey__signing_add(signing, role, &holder->signer, error);
    }
    return status;
}

covey_status covey__repository_sign(covey_fleet_keys *keys, covey__signing *signing,
                                    covey_error *error) {
    covey_status status = COVEY_OK;
    for (size_t d = 0; status == COVEY_OK && d < signing->drafts->role_count; d++)
        for (size_t j = 0; status == COVEY_OK && j < 2; j++)
            status = sign_for(keys, signing, signing->drafts->roles[d].name, j, error);
    return status;
}

covey_status covey__repository_commit(covey_fleet_keys *keys, covey__signing *signing,
                                      covey_error *error) {
    covey__metadata_set *next = NULL;
    const covey__metadata_item *root = covey__metadata_item_find(signing->drafts, "root");
    const covey__metadata_item *held = covey__metadata_item_find(keys->set, "root");
    covey_status status = covey__metadata_set_copy(keys->set, &next, error);
    if (status == COVEY_OK && root != NULL)
        status = covey__metadata_check_root(keys->env, held != NULL ? held->document : NULL,
                                            root->document, error);
    for (size_t i = 0; status == COVEY_OK && i < signing->drafts->role_count; i++) {
        const covey__metadata_item *draft = &signing->drafts->roles[i];
        const covey__metadata_item *old = covey__metadata_item_find(next, draft->name);
        if (old != NULL && old->document->version >= draft->document->version)
            status = covey__fail(error, COVEY_ERROR_ROLLBACK,
                                 "%s: version %" PRId64 " holds already: make this change again",
                                 draft->name, old->document->version);
        if (status == COVEY_OK)
            status =
                covey__metadata_put(next, draft->name, draft->text.data, draft->text.size, error);
    }
    /* Roles that expired elsewhere must not stop this one from being signed anew. */
    if (status == COVEY_OK) status = covey__metadata_check(next, INT64_MIN, error);
    if (status == COVEY_OK) status = covey__repository_keep(keys, next, error);
    covey__metadata_set_free(next);
    return status;
}

covey_status covey__repository_finish(covey_fleet_keys *keys, covey__signing *signing,
                                      const char *export_file, bool *complete, covey_error *error) {
    covey__buffer missing;
    *complete = false;
    covey_status status = covey__repository_sign(keys, signing, error);
    if (status != COVEY_OK) return status;
    if (export_file != NULL) return covey__signing_write(signing, export_file, error);
    covey__buffer_init(&missing, keys->env, 64u << 10);
    *complete = covey__signing_complete(signing, &missing);
    if (*complete) {
        status = covey__repository_commit(keys, signing, error);
    } else {
        status = covey__fail(error, COVEY_ERROR_SIGNATURE,
                             "not all keys that this needs are here: --export FILE writes what is "
                             "to be signed elsewhere. Missing: %s",
                             missing.data != NULL ? missing.data : "");
    }
    covey__buffer_free(&missing);
    return status;
}
