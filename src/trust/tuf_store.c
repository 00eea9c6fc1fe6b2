/* The local store. Its one invariant: at any moment each file is a whole document that was verified
 * before it came there, or absent. base/file_replace.c keeps it across kills and power cuts; what
 * lies beside ends in ".new", which no reader takes. Neighbours: tuf_refresh.c and tuf_find.c write
 * here before they believe. */
#include "trust/tuf_store.h"
#include "base/error.h"
#include "base/file.h"
#include "trust/tuf_text.h"

#include <string.h>

static char *path_of(const covey__tuf_store *store, const char *role) {
    char local[COVEY__TUF_LOCAL_SIZE];
    covey__tuf_local_name(role, local);
    return covey__format(store->env, "%s/%s.json", store->folder, local);
}

covey_status covey__tuf_store_read(const covey__tuf_store *store, const char *role,
                                   covey__buffer *out, covey_error *error) {
    char *path = path_of(store, role);
    if (path == NULL) return covey__no_memory(error, "store", strlen(role));
    covey_status status = covey__file_read(store->env, path, out, error);
    bool absent = status == COVEY_ERROR_LIMIT || status == COVEY_ERROR_INVALID_ARGUMENT ||
                  (store->tolerant && status != COVEY_OK && status != COVEY_ERROR_NO_MEMORY);
    if (absent && status != COVEY_ERROR_NOT_FOUND) {
        covey__log(store->env, COVEY_LOG_WARN, "trust",
                   "the store's file of a role cannot be used and is taken as absent (%s)",
                   covey_status_name(status));
        status = covey__prefix(error, COVEY_ERROR_NOT_FOUND, "store");
        if (error != NULL) error->status = status;
    }
    covey__free(store->env, path);
    return status;
}

covey_status covey__tuf_store_write(const covey__tuf_store *store, const char *role,
                                    const void *data, size_t size, covey_error *error) {
    char *path = path_of(store, role);
    if (path == NULL) return covey__no_memory(error, "store", strlen(role));
    covey_status status = covey__folder_make(store->env, store->folder, error);
    if (status == COVEY_OK) status = covey__file_replace(store->env, path, data, size, error);
    covey__free(store->env, path);
    return status == COVEY_OK ? status : covey__prefix(error, status, "store");
}

covey_status covey__tuf_store_remove(const covey__tuf_store *store, const char *role,
                                     covey_error *error) {
    char *path = path_of(store, role);
    if (path == NULL) return covey__no_memory(error, "store", strlen(role));
    bool is_there = false;
    covey_status status = covey__file_find(store->env, path, &is_there, error);
    if (status == COVEY_OK && is_there) {
        status = covey__file_remove(store->env, path, error);
        if (status == COVEY_OK) status = covey__folder_sync(store->env, store->folder, error);
    }
    covey__free(store->env, path);
    return status == COVEY_OK ? status : covey__prefix(error, status, "store");
}
