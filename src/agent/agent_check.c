/* The update's files against their digests, as they were fetched and again as they were staged.
 * Gigabytes, so it goes in slices beside someone who serves: a step returns near its budget, and
 * the page cache stays as it was. The position is kept in memory: a process that starts again
 * begins anew, since only what it read itself tells it that the disk has it. */
#include "agent/agent_files.h"

#include "base/error.h"

#include <stdio.h>
#include <string.h>

struct covey__checking {
    char digest[65];
    char where[16];
    covey__manifest *manifest;
    covey__files_check *files;
};

void covey__check_free(covey_agent *agent) {
    covey__checking *checking = agent->checking;
    if (!checking) return;
    covey__files_check_free(checking->files);
    covey__manifest_free(checking->manifest);
    covey__free(agent->env, checking);
    agent->checking = NULL;
}

static covey_status begin(covey_agent *agent, const char *where, covey_error *error) {
    const char *digest = agent->state.update.digest;
    covey__checking *checking = covey__calloc(agent->env, 1, sizeof *checking);
    char *folder = covey__agent_path(agent, "%s/%s", where, digest);
    agent->checking = checking;
    covey_status status =
        checking && folder ? COVEY_OK : covey__no_memory(error, "a check", sizeof *checking);
    if (!status) {
        memcpy(checking->digest, digest, sizeof checking->digest);
        snprintf(checking->where, sizeof checking->where, "%s", where);
        status = covey__manifest_read(agent->env, folder, &checking->manifest, error);
    }
    /* The plan read this manifest: what breaks its format came since. */
    if (status == COVEY_ERROR_FORMAT || status == COVEY_ERROR_LIMIT) status = COVEY_ERROR_MISMATCH;
    if (!status && strcmp(checking->manifest->digest_hex, digest))
        status = covey__fail(error, COVEY_ERROR_MISMATCH, "the manifest was changed");
    if (!status)
        status =
            covey__files_check_new(agent->env, checking->manifest, folder, &checking->files, error);
    covey__free(agent->env, folder);
    return status;
}

covey_status covey__check_step(covey_agent *agent, const char *where, int64_t deadline_us,
                               bool *done, covey_error *error) {
    covey_status status = COVEY_OK;
    *done = false;
    if (agent->checking && (strcmp(agent->checking->digest, agent->state.update.digest) ||
                            strcmp(agent->checking->where, where)))
        covey__check_free(agent);
    if (!agent->checking) status = begin(agent, where, error);
    if (!status) status = covey__files_check_step(agent->checking->files, deadline_us, done, error);
    if (status || *done) covey__check_free(agent);
    return status;
}
