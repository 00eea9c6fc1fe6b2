/* Downloads that ended before their end: their control plane wants another release now, or none.
 * What arrived is bytes that were paid for, and the next release has most of them too. So the
 * folder moves to partial/DIGEST, with its chunk indexes beside it, and is a source like an
 * installed ensemble (agent_survey.c finds out which chunks are there). Room that was reserved for
 * what never came goes back to the disk. When that very ensemble is wanted again the folder moves
 * back, and the fetch goes on. It ends when an update has all its files, when room is needed
 * (agent_space.c), when its user goes back, and when two others have more. */
#include "agent/agent_files.h"

#include "base/error.h"
#include "base/file_space.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- Which there are --------------------------------------------------------------------------
 */

static bool is_digest(const char *name) {
    return strlen(name) == 64 && strspn(name, "0123456789abcdef") == 64;
}

typedef struct search {
    size_t number, count;
    char *digest;
} search;

static covey_status count_one(void *user, const char *name, bool is_folder) {
    search *at = user;
    if (!is_folder || !is_digest(name)) return COVEY_OK;
    if (at->count++ == at->number) memcpy(at->digest, name, 65);
    return COVEY_OK;
}

bool covey__aside_at(const covey_agent *agent, size_t number, char digest[65]) {
    search at = {number, 0, digest};
    char *folder = covey__agent_path(agent, "partial");
    bool there = folder && covey__file_exists(folder) &&
                 !covey__folder_list(agent->env, folder, NULL, count_one, &at);
    covey__free(agent->env, folder);
    return there && at.count > number;
}

/* ---- Letting go -------------------------------------------------------------------------------
 */

static covey_status remove_in(const covey_agent *agent, const char *where, const char *digest,
                              covey_error *error) {
    char *folder = covey__agent_path(agent, "%s/%s", where, digest);
    char *index = covey__agent_path(agent, "%s/%s.index", where, digest);
    covey_status status = folder && index ? COVEY_OK : covey__no_memory(error, "a path", 0);
    if (!status) status = covey__tree_remove(agent->env, folder, error);
    if (!status) status = covey__tree_remove(agent->env, index, error);
    covey__free(agent->env, folder);
    covey__free(agent->env, index);
    return status;
}

covey_status covey__aside_remove(const covey_agent *agent, const char *digest, covey_error *error) {
    return remove_in(agent, "partial", digest, error);
}

covey_status covey__aside_remove_all(const covey_agent *agent, covey_error *error) {
    char *folder = covey__agent_path(agent, "partial");
    if (!folder) return covey__no_memory(error, "a path", 0);
    bool is_there = false;
    covey_status status = covey__file_find(agent->env, folder, &is_there, error);
    if (!status && is_there) {
        status = covey__tree_remove(agent->env, folder, error);
        /* or a power cut could bring it back, and nobody would look for it */
        if (!status) status = covey__folder_sync(agent->env, agent->state_dir, error);
    }
    covey__free(agent->env, folder);
    return status;
}

/* Bytes on the disk of the components that are there. */
static uint64_t taken(const covey_agent *agent, const char *digest) {
    uint64_t all = 0, bytes;
    covey__manifest *manifest = NULL;
    char *folder = covey__agent_path(agent, "partial/%s", digest);
    if (folder && !covey__manifest_read(agent->env, folder, &manifest, NULL))
        for (size_t i = 0; i < manifest->component_count; i++) {
            char *path = covey__path_join(agent->env, folder, manifest->components[i].file);
            if (path && !covey__file_taken(agent->env, path, &bytes, NULL)) all += bytes;
            covey__free(agent->env, path);
        }
    covey__manifest_free(manifest);
    covey__free(agent->env, folder);
    return all;
}

/* Those that hold least go, down to what may stay. */
static void hold_to_limit(const covey_agent *agent) {
    char digest[65], least[65] = "";
    for (;;) {
        size_t count = 0;
        uint64_t fewest = UINT64_MAX;
        for (; covey__aside_at(agent, count, digest); count++) {
            uint64_t bytes = taken(agent, digest);
            if (bytes >= fewest) continue;
            fewest = bytes;
            memcpy(least, digest, sizeof least);
        }
        if (count <= COVEY__ASIDE_MAX || !least[0]) return;
        if (covey__aside_remove(agent, least, NULL)) return;
    }
}

/* ---- To and fro -------------------------------------------------------------------------------
 */

/* The index folder goes first: components without it are of no use, and the next who looks removes
 * them. */
static covey_status move(const covey_agent *agent, const char *from, const char *to,
                         const char *digest, covey_error *error) {
    static const char *const suffixes[] = {".index", ""};
    char *into = covey__agent_path(agent, "%s", to);
    covey_status status =
        into ? covey__folder_make(agent->env, into, error) : covey__no_memory(error, "a path", 0);
    if (!status) status = remove_in(agent, to, digest, error);
    for (int i = 0; !status && i < 2; i++) {
        char *source = covey__agent_path(agent, "%s/%s%s", from, digest, suffixes[i]);
        char *target = covey__agent_path(agent, "%s/%s%s", to, digest, suffixes[i]);
        bool is_there = false;
        status = source && target ? covey__file_find(agent->env, source, &is_there, error)
                                  : covey__no_memory(error, "a path", 0);
        if (!status && is_there) status = covey__file_rename(agent->env, source, target, error);
        covey__free(agent->env, source);
        covey__free(agent->env, target);
    }
    covey__free(agent->env, into);
    return status;
}

/* Room that was reserved for what never came. */
static void unreserve(const covey_agent *agent, const char *digest) {
    covey__manifest *manifest = NULL;
    covey_error why = {0};
    char *folder = covey__agent_path(agent, "partial/%s", digest);
    if (folder && !covey__manifest_read(agent->env, folder, &manifest, NULL))
        for (size_t i = 0; i < manifest->component_count; i++) {
            int descriptor = -1;
            char *path = covey__path_join(agent->env, folder, manifest->components[i].file);
            if (!path ||
                covey__file_open(agent->env, path, O_RDWR | O_NOFOLLOW, 0, &descriptor, &why)) {
                covey__free(agent->env, path);
                continue;
            }
            if (covey__file_unreserve(agent->env, descriptor, path, &why))
                covey__log(agent->env, COVEY_LOG_WARN, "agent", "%s", why.message);
            close(descriptor);
            covey__free(agent->env, path);
        }
    covey__manifest_free(manifest);
    covey__free(agent->env, folder);
}

typedef struct keeping {
    covey_agent *agent;
    const char *wanted;
} keeping;

static covey_status keep_one(void *user, const char *name, bool is_folder) {
    const keeping *at = user;
    char digest[65];
    covey_error why = {0};
    if (!is_folder || strlen(name) < 64) return COVEY_OK;
    snprintf(digest, sizeof digest, "%.64s", name);
    if (!strcmp(digest, at->wanted) || !is_digest(digest)) return COVEY_OK;
    /* An index folder is listed behind its ensemble's: alone it is of no use. */
    covey_status status =
        name[64] ? COVEY_ERROR_NOT_FOUND : move(at->agent, "update", "partial", digest, &why);
    if (!status) {
        unreserve(at->agent, digest);
        return COVEY_OK;
    }
    if (!name[64])
        covey__log(at->agent->env, COVEY_LOG_WARN, "agent", "a download is not kept: %s",
                   why.message);
    if (remove_in(at->agent, "update", digest, &why))
        covey__log(at->agent->env, COVEY_LOG_WARN, "agent", "%s", why.message);
    return COVEY_OK;
}

void covey__aside_keep(covey_agent *agent, const char *digest) {
    keeping at = {agent, digest};
    char *folder = covey__agent_path(agent, "update");
    if (folder && covey__file_exists(folder) &&
        covey__folder_list(agent->env, folder, NULL, keep_one, &at))
        covey__log(agent->env, COVEY_LOG_WARN, "agent", "cannot list %s", folder);
    covey__free(agent->env, folder);
    hold_to_limit(agent);
}

/* What was found out about the files, which change from here on. */
static covey_status forget_one(void *user, const char *name, bool is_folder) {
    const keeping *at = user;
    if (is_folder || !strstr(name, ".have")) return COVEY_OK;
    char *path = covey__path_join(at->agent->env, at->wanted, name);
    covey_status status = path ? covey__file_remove(at->agent->env, path, NULL) : COVEY_OK;
    covey__free(at->agent->env, path);
    return status;
}

static covey_status take(covey_agent *agent, const char *digest, covey_error *error) {
    char *index = covey__agent_path(agent, "partial/%s.index", digest);
    keeping at = {agent, index};
    bool is_there = false;
    covey_status status = index ? covey__file_find(agent->env, index, &is_there, error)
                                : covey__no_memory(error, "a path", 0);
    if (!status && is_there) status = covey__folder_list(agent->env, index, error, forget_one, &at);
    covey__free(agent->env, index);
    return status ? status : move(agent, "partial", "update", digest, error);
}

covey_status covey__aside_take(covey_agent *agent, const char *digest, covey_error *error) {
    char *here = covey__agent_path(agent, "update/%s", digest);
    char *aside = covey__agent_path(agent, "partial/%s", digest);
    bool is_here = false, is_aside = false;
    covey_status status = here && aside ? covey__file_find(agent->env, aside, &is_aside, error)
                                        : covey__no_memory(error, "a path", 0);
    if (!status && is_aside) status = covey__file_find(agent->env, here, &is_here, error);
    if (!status && is_aside) {
        if (is_here)
            status = covey__aside_remove(agent, digest, error);
        else
            status = take(agent, digest, error);
    }
    covey__free(agent->env, here);
    covey__free(agent->env, aside);
    return status;
}
