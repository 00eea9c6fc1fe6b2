/* Secrets by name: the runtime's keystore where the app gave one, else owner-only files. */
#include "agent/agent_parts.h"

#include "base/error.h"

#include <string.h>

static char *secret_path(const covey_agent *agent, const char *name) {
    return covey__agent_path(agent, "secrets/%s", name);
}

covey_status covey__secret_get(const covey_agent *agent, const char *name, char *value,
                               size_t capacity, covey_error *error) {
    const covey_keystore *store = agent->env->keystore;
    if (store) {
        size_t size = 0;
        covey_status status = store->get(store->user, name, value, capacity - 1, &size);
        if (!status && size > capacity - 1) status = COVEY_ERROR_LIMIT;
        if (status) return covey__fail(error, status, "agent: the keystore has no \"%s\"", name);
        value[size] = 0;
        return COVEY_OK;
    }
    covey__buffer text;
    covey__buffer_init(&text, agent->env, capacity - 1);
    char *path = secret_path(agent, name);
    covey_status status = path ? covey__file_read(agent->env, path, &text, error)
                               : covey__no_memory(error, "a path", 0);
    if (!status) {
        memcpy(value, text.data ? text.data : "", text.size);
        value[text.size] = 0;
    }
    if (text.data) explicit_bzero(text.data, text.size);
    covey__free(agent->env, path);
    covey__buffer_free(&text);
    return status;
}

covey_status covey__secret_put(const covey_agent *agent, const char *name, const char *value,
                               covey_error *error) {
    const covey_keystore *store = agent->env->keystore;
    if (store) {
        covey_status status = store->put(store->user, name, value, strlen(value));
        if (status)
            return covey__fail(error, status, "agent: the keystore did not take \"%s\"", name);
        return COVEY_OK;
    }
    char *folder = covey__agent_path(agent, "secrets");
    char *path = secret_path(agent, name);
    covey_status status = COVEY_OK;
    if (!folder || !path) status = covey__no_memory(error, "a path", 0);
    if (!status) status = covey__folder_make(agent->env, folder, error);
    if (!status) status = covey__file_replace(agent->env, path, value, strlen(value), error);
    covey__free(agent->env, folder);
    covey__free(agent->env, path);
    return status;
}

covey_status covey__secret_remove(const covey_agent *agent, const char *name, covey_error *error) {
    const covey_keystore *store = agent->env->keystore;
    if (store) {
        covey_status status = store->remove(store->user, name);
        if (!status || status == COVEY_ERROR_NOT_FOUND) return COVEY_OK;
        return covey__fail(error, status, "agent: the keystore did not remove \"%s\"", name);
    }
    char *path = secret_path(agent, name);
    covey_status status =
        path ? covey__file_remove(agent->env, path, error) : covey__no_memory(error, "a path", 0);
    covey__free(agent->env, path);
    return status;
}
