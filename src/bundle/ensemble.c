/* covey_ensemble: a folder whose manifest was read and checked. It holds the manifest and the
 * folder's path and keeps no file open, so that closing one never takes a file from a session that
 * mapped it. Opening the model and running probes are library/ensemble_model.c's and
 * library/probe.c's, since this layer may not know an engine. */
#include "bundle/manifest.h"

#include "base/error.h"
#include "base/runtime.h"
#include "base/sha256.h"
#include "bundle/component_open.h"
#include "bundle/model_template.h"

#include <string.h>

#define CONTENT_KEYS_MAX 16

struct covey_ensemble {
    covey_runtime *runtime;
    covey__manifest *manifest;
    char *folder;
    char (*digests)[65]; /* one a component, in hex */
    covey__content_key keys[CONTENT_KEYS_MAX];
    size_t key_count;
};

static covey_status check(const covey__env *env, const covey__manifest *manifest,
                          const char *folder, covey_check_depth depth, covey_error *error) {
    covey__platform platform;
    char os_version[32];
    covey__platform_default(&platform, os_version);
    covey_status status = covey__manifest_check_needs(manifest, &platform, error);
    if (status == COVEY_OK)
        status = covey__manifest_check_files(env, manifest, folder, depth, error);
    if (status == COVEY_OK && depth >= COVEY_CHECK_DIGESTS)
        status = covey__template_check(env, manifest, folder, error);
    return status;
}

static covey_status make_strings(const covey__env *env, covey_ensemble *ensemble,
                                 const char *folder, covey_error *error) {
    const covey__manifest *manifest = ensemble->manifest;
    ensemble->folder = covey__strdup(env, folder);
    ensemble->digests = covey__calloc(env, manifest->component_count, sizeof *ensemble->digests);
    if (ensemble->folder == NULL || ensemble->digests == NULL)
        return covey__no_memory(error, "bundle: ensemble", strlen(folder));
    for (size_t i = 0; i < manifest->component_count; i++)
        covey__hex(manifest->components[i].sha256, 32, ensemble->digests[i]);
    return COVEY_OK;
}

covey_status covey_ensemble_open(covey_runtime *runtime, const char *folder,
                                 covey_check_depth depth, covey_ensemble **ensemble,
                                 covey_error *error) {
    if (runtime == NULL || folder == NULL || ensemble == NULL)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "bundle: runtime, folder and ensemble must not be NULL");
    *ensemble = NULL;
    const covey__env *env = covey__runtime_env(runtime);
    covey_ensemble *made = covey__calloc(env, 1, sizeof *made);
    if (made == NULL) return covey__no_memory(error, "bundle: ensemble", sizeof *made);
    made->runtime = runtime;
    covey_status status = covey__manifest_read(env, folder, &made->manifest, error);
    if (status == COVEY_OK) status = make_strings(env, made, folder, error);
    if (status == COVEY_OK) status = check(env, made->manifest, folder, depth, error);
    if (status != COVEY_OK) {
        covey_ensemble_close(made);
        return status;
    }
    *ensemble = made;
    return COVEY_OK;
}

void covey_ensemble_close(covey_ensemble *ensemble) {
    if (ensemble == NULL) return;
    const covey__env *env = covey__runtime_env(ensemble->runtime);
    for (size_t i = 0; i < ensemble->key_count; i++) covey__content_key_wipe(&ensemble->keys[i]);
    covey__manifest_free(ensemble->manifest);
    covey__free(env, ensemble->folder);
    covey__free(env, ensemble->digests);
    covey__free(env, ensemble);
}

const char *covey_ensemble_name(const covey_ensemble *ensemble) {
    return ensemble->manifest->name;
}

const char *covey_ensemble_version(const covey_ensemble *ensemble) {
    return ensemble->manifest->version;
}

const char *covey_ensemble_variant(const covey_ensemble *ensemble) {
    return ensemble->manifest->variant;
}

const char *covey_ensemble_digest(const covey_ensemble *ensemble) {
    return ensemble->manifest->digest_hex;
}

const char *covey_ensemble_folder(const covey_ensemble *ensemble) {
    return ensemble->folder;
}

size_t covey_ensemble_component_count(const covey_ensemble *ensemble) {
    return ensemble->manifest->component_count;
}

covey_status covey_ensemble_component(const covey_ensemble *ensemble, size_t index,
                                      covey_component *component, covey_error *error) {
    if (component == NULL || component->size < sizeof(size_t))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "bundle: component.size must be set to sizeof(covey_component)");
    if (index >= ensemble->manifest->component_count)
        return covey__fail(error, COVEY_ERROR_NOT_FOUND,
                           "bundle: there is no component %zu; the ensemble has %zu", index,
                           ensemble->manifest->component_count);
    const covey__component *found = &ensemble->manifest->components[index];
    covey_component full = {component->size,          found->role, found->file,
                            ensemble->digests[index], found->size, found->scale,
                            found->on_request};
    memcpy(component, &full, full.size < sizeof full ? full.size : sizeof full);
    return COVEY_OK;
}

static bool has_key(const covey_ensemble *ensemble, const uint8_t id[16]) {
    for (size_t i = 0; i < ensemble->key_count; i++)
        if (memcmp(ensemble->keys[i].id, id, 16) == 0) return true;
    return false;
}

static bool wants_key(const covey__manifest *manifest, const uint8_t id[16]) {
    for (size_t i = 0; i < manifest->component_count; i++)
        if (manifest->components[i].encrypted &&
            memcmp(manifest->components[i].key_id, id, 16) == 0)
            return true;
    return false;
}

covey_status covey_ensemble_give_key(covey_ensemble *ensemble, const uint8_t key[32],
                                     covey_error *error) {
    covey__content_key given;
    covey_status status = COVEY_OK;
    char hex[33];
    if (ensemble == NULL || key == NULL)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "bundle: ensemble and key must not be NULL");
    covey__content_key_of(key, &given);
    covey__hex(given.id, sizeof given.id, hex);
    if (!wants_key(ensemble->manifest, given.id))
        status = covey__fail(error, COVEY_ERROR_MISMATCH,
                             "bundle: no component of this ensemble was encrypted with the content "
                             "key %s",
                             hex);
    else if (!has_key(ensemble, given.id) && ensemble->key_count == CONTENT_KEYS_MAX)
        status = covey__fail(error, COVEY_ERROR_LIMIT, "bundle: at most %d content keys",
                             CONTENT_KEYS_MAX);
    else if (!has_key(ensemble, given.id))
        ensemble->keys[ensemble->key_count++] = given;
    covey__content_key_wipe(&given);
    return status;
}

covey_status covey_ensemble_give_key_file(covey_ensemble *ensemble, const char *path,
                                          covey_error *error) {
    covey__content_key key;
    if (ensemble == NULL || path == NULL)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "bundle: ensemble and path must not be NULL");
    covey_status status =
        covey__content_key_read(covey__runtime_env(ensemble->runtime), path, &key, error);
    if (status != COVEY_OK) return status;
    status = covey_ensemble_give_key(ensemble, key.key, error);
    covey__content_key_wipe(&key);
    return status;
}

bool covey_ensemble_encrypted(const covey_ensemble *ensemble) {
    for (size_t i = 0; i < ensemble->manifest->component_count; i++)
        if (ensemble->manifest->components[i].encrypted) return true;
    return false;
}

/* The keystore holds it in hex, as all that the agent keeps there. */
static bool key_from_store(const covey_keystore *store, const uint8_t id[16],
                           covey__content_key *key) {
    char name[COVEY__CONTENT_KEY_NAME_SIZE], hex[65] = "";
    uint8_t bytes[32];
    size_t size = 0;
    if (store == NULL) return false;
    covey__content_key_name(id, name);
    bool found = store->get(store->user, name, hex, 64, &size) == COVEY_OK && size == 64 &&
                 covey__unhex(hex, 64, bytes, sizeof bytes);
    if (found) covey__content_key_of(bytes, key);
    explicit_bzero(hex, sizeof hex);
    explicit_bzero(bytes, sizeof bytes);
    return found && memcmp(key->id, id, 16) == 0;
}

covey_status covey__ensemble_content_key(const covey_ensemble *ensemble, const uint8_t id[16],
                                         covey__content_key *key, covey_error *error) {
    char hex[33];
    for (size_t i = 0; i < ensemble->key_count; i++)
        if (memcmp(ensemble->keys[i].id, id, 16) == 0) {
            *key = ensemble->keys[i];
            return COVEY_OK;
        }
    if (key_from_store(covey__runtime_env(ensemble->runtime)->keystore, id, key)) return COVEY_OK;
    covey__hex(id, 16, hex);
    return covey__fail(error, COVEY_ERROR_DENIED,
                       "it is encrypted, and the content key %s is not here: an enrolled device "
                       "gets it from its publisher, an app gives it with covey_ensemble_give_key",
                       hex);
}

const covey__manifest *covey__ensemble_manifest(const covey_ensemble *ensemble) {
    return ensemble->manifest;
}

covey_runtime *covey__ensemble_runtime(const covey_ensemble *ensemble) {
    return ensemble->runtime;
}
