/* Opening a component for use. What is plain is mapped; what is encrypted is opened chunk by chunk
 * into anonymous memory, so that no plain byte of it is ever in a file. The file's header must be
 * the one that the manifest names: key, keyed digest and size all take part in every chunk's key,
 * so a file that opens holds the bytes that were published. Neighbours: trust/envelope.h has the
 * format, ensemble.c keeps the keys. */
#include "bundle/component_open.h"

#include "base/error.h"
#include "base/runtime.h"
#include "base/sha256.h"

#include <stdio.h>
#include <string.h>

void covey__content_key_name(const uint8_t id[16], char name[COVEY__CONTENT_KEY_NAME_SIZE]) {
    char hex[33];
    covey__hex(id, 16, hex);
    snprintf(name, COVEY__CONTENT_KEY_NAME_SIZE, "content_key.%s", hex);
}

static covey_status check_header(const covey__component *component,
                                 const covey__envelope_header *header, covey_error *error) {
    if (header->plain_size == component->plain_size &&
        memcmp(header->key_id, component->key_id, sizeof header->key_id) == 0 &&
        memcmp(header->component_id, component->component_id, sizeof header->component_id) == 0)
        return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_MISMATCH,
                       "its header is not the one that the manifest names");
}

static covey_status decrypt(const covey_ensemble *ensemble, const covey__env *env,
                            const covey__component *component, const char *path, covey__map *map,
                            covey_error *error) {
    covey__envelope_header header;
    covey__content_key key = {{0}, {0}};
    covey_status status = covey__envelope_file_header(env, path, &header, error);
    if (status == COVEY_OK) status = check_header(component, &header, error);
    if (status == COVEY_OK && header.plain_size > SIZE_MAX / 2)
        status = covey__fail(error, COVEY_ERROR_LIMIT, "is too large for this device's memory");
    if (status == COVEY_OK)
        status = covey__ensemble_content_key(ensemble, component->key_id, &key, error);
    if (status == COVEY_OK) status = covey__map_memory(env, (size_t)header.plain_size, map, error);
    if (status == COVEY_OK)
        status = covey__envelope_decrypt_file(env, &key, path, map->base, map->size, error);
    if (status == COVEY_OK) status = covey__map_settle(map, error);
    covey__content_key_wipe(&key);
    if (status != COVEY_OK) covey__map_close(map);
    return status;
}

covey_status covey__component_map(const covey_ensemble *ensemble, const covey__component *component,
                                  covey__map *map, covey_error *error) {
    const covey__env *env = covey__runtime_env(covey__ensemble_runtime(ensemble));
    memset(map, 0, sizeof *map);
    char *path = covey__path_join(env, covey_ensemble_folder(ensemble), component->file);
    if (path == NULL) return covey__no_memory(error, "path", 1);
    covey_status status = component->encrypted ? decrypt(ensemble, env, component, path, map, error)
                                               : covey__map_path(env, path, map, error);
    covey__free(env, path);
    return status;
}
