/* The step of building that makes an ensemble private. It comes last, so that everything before
 * works on plain bytes: probes are recorded on them, adapters are bound to them. What a user is
 * asked to consent to, tools and policy, stays readable. Neighbours: bundle_build.c,
 * trust/envelope.h. */
#include "library/bundle_encrypt.h"

#include <covey/bundle.h>

#include "base/error.h"
#include "base/file.h"
#include "base/runtime.h"
#include "base/sha256.h"

#include <string.h>

covey_status covey__encrypted_identity(const covey__env *env, const covey__content_key *key,
                                       const char *path, uint8_t identity[32], covey_error *error) {
    covey__envelope_header header;
    covey__map map;
    uint8_t sha256[32];
    covey_status status = covey__map_path(env, path, &map, error);
    if (status != COVEY_OK) return status;
    covey__sha256_of(map.data, map.size, sha256);
    status = covey__envelope_header_make(key, map.size, sha256, &header, error);
    if (status == COVEY_OK) memcpy(identity, header.component_id, 32);
    covey__map_close(&map);
    return status;
}

covey_status covey__encrypt_parts(const covey__env *env, const covey__content_key *key,
                                  const char *folder, covey__manifest_part *parts, size_t count,
                                  covey_error *error) {
    covey_status status = COVEY_OK;
    for (size_t i = 0; i < count && status == COVEY_OK; i++) {
        if (!covey__role_may_hide(parts[i].role)) continue;
        char *path = covey__path_join(env, folder, parts[i].file);
        if (path == NULL) return covey__no_memory(error, "path", 1);
        status = covey__envelope_encrypt_file(env, key, path, path, error);
        covey__free(env, path);
        parts[i].encrypted = status == COVEY_OK;
    }
    return status;
}

covey_status covey_bundle_key(covey_runtime *runtime, const char *path, char id[33],
                              covey_error *error) {
    covey__content_key key;
    if (runtime == NULL || path == NULL || id == NULL)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "bundle: runtime, path and id must not be NULL");
    const covey__env *env = covey__runtime_env(runtime);
    covey_status status = covey__content_key_make(env, &key, error);
    if (status != COVEY_OK) return status;
    covey__hex(key.id, sizeof key.id, id);
    status = covey__content_key_write(env, path, &key, error);
    covey__content_key_wipe(&key);
    return status;
}
