/* A manifest against the files of a folder. The shallow check tells in microseconds that a file is
 * absent, no regular file, or of another size; the deep one hashes every byte, in pieces, since a
 * map of a file that shrinks would fault. It is one pass over the components that may stop at any
 * piece; who checks in order to use the files at once runs it to its end, and finds them in the
 * page cache afterwards. Links are not followed: a component is a file here. */
#include "bundle/manifest.h"

#include "base/error.h"
#include "base/file.h"
#include "base/file_cache.h"
#include "base/sha256.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES (256u << 10)
#define STEP_BYTES  (8u << 20) /* of a step, however short */

struct covey__files_check {
    const covey__env *env;
    const covey__manifest *manifest;
    char *folder;
    uint8_t *piece; /* COVEY__PASS_BYTES */
    bool passing;   /* leaves the page cache as it was */
    size_t component;
    int descriptor; /* of the component that is hashed; -1: none */
    char *path;
    uint64_t at; /* all before is in the hash */
    covey__sha256 hash;
};

static covey_status check_size(const covey__env *env, int descriptor, const char *path,
                               const covey__component *component, covey_error *error) {
    struct stat facts;
    covey_status status = covey__file_facts(env, descriptor, path, &facts, error);
    if (status != COVEY_OK) return status;
    if (!S_ISREG(facts.st_mode))
        return covey__fail(error, COVEY_ERROR_MISMATCH, "is not a regular file");
    if ((uint64_t)facts.st_size != component->size)
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "has %" PRIu64 " bytes, the manifest says %" PRIu64,
                           (uint64_t)facts.st_size, component->size);
    return COVEY_OK;
}

static covey_status open_component(const covey__env *env, const char *path,
                                   const covey__component *component, int *descriptor,
                                   covey_error *error) {
    covey_status status = covey__file_open(
        env, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0, descriptor, error);
    if (status != COVEY_OK) return status;
    status = check_size(env, *descriptor, path, component, error);
    if (status == COVEY_OK) return COVEY_OK;
    close(*descriptor);
    *descriptor = -1;
    return status;
}

static covey_status fail_component(const covey__component *component, covey_status status,
                                   covey_error *error) {
    return covey__prefix(error, status, "bundle: component \"%s\" (%s)", component->role,
                         component->file);
}

/* What is absent or of another size is said before gigabytes are hashed. */
static covey_status check_sizes(const covey__env *env, const covey__manifest *manifest,
                                const char *folder, covey_error *error) {
    for (size_t i = 0; i < manifest->component_count; i++) {
        int descriptor = -1;
        char *path = covey__path_join(env, folder, manifest->components[i].file);
        if (path == NULL) return covey__no_memory(error, "path", strlen(folder));
        covey_status status =
            open_component(env, path, &manifest->components[i], &descriptor, error);
        covey__free(env, path);
        if (status != COVEY_OK) return fail_component(&manifest->components[i], status, error);
        close(descriptor);
    }
    return COVEY_OK;
}

/* ---- Every byte -------------------------------------------------------------------------------
 */

static void close_component(covey__files_check *check) {
    if (check->descriptor >= 0) close(check->descriptor);
    check->descriptor = -1;
    covey__free(check->env, check->path);
    check->path = NULL;
}

static covey_status begin_component(covey__files_check *check, const covey__component *component,
                                    covey_error *error) {
    check->path = covey__path_join(check->env, check->folder, component->file);
    if (check->path == NULL) return covey__no_memory(error, "path", strlen(check->folder));
    check->at = 0;
    covey__sha256_init(&check->hash);
    return open_component(check->env, check->path, component, &check->descriptor, error);
}

static covey_status end_component(covey__files_check *check, const covey__component *component,
                                  covey_error *error) {
    uint8_t digest[32];
    char want[65], found[65];
    close_component(check);
    covey__sha256_final(&check->hash, digest);
    check->component++;
    if (memcmp(digest, component->sha256, 32) == 0) return COVEY_OK;
    covey__hex(component->sha256, 32, want);
    covey__hex(digest, 32, found);
    return covey__fail(error, COVEY_ERROR_MISMATCH,
                       "digest differs: SHA-256 %.16s… expected, %.16s… found", want, found);
}

/* One piece, or the end of a component. `*bytes` were read. */
static covey_status check_piece(covey__files_check *check, const covey__component *component,
                                size_t *bytes, covey_error *error) {
    *bytes = 0;
    if (check->descriptor < 0) return begin_component(check, component, error);
    uint64_t left = component->size - check->at;
    if (left == 0) return end_component(check, component, error);
    size_t most = check->passing ? COVEY__PASS_BYTES : PIECE_BYTES;
    size_t size = left < most ? (size_t)left : most;
    covey_status status = check->passing
                              ? covey__file_read_passing(check->env, check->descriptor, check->path,
                                                         check->at, check->piece, size, error)
                              : covey__file_read_at(check->env, check->descriptor, check->path,
                                                    check->at, check->piece, size, error);
    if (status != COVEY_OK) return status;
    covey__sha256_update(&check->hash, check->piece, size);
    check->at += size;
    *bytes = size;
    return COVEY_OK;
}

covey_status covey__files_check_step(covey__files_check *check, int64_t deadline_us, bool *done,
                                     covey_error *error) {
    const covey__manifest *manifest = check->manifest;
    size_t read = 0, bytes;
    *done = false;
    while (check->component < manifest->component_count) {
        const covey__component *component = &manifest->components[check->component];
        covey_status status = check_piece(check, component, &bytes, error);
        if (status != COVEY_OK) return fail_component(component, status, error);
        if (read < STEP_BYTES)
            read += bytes;
        else if (deadline_us != INT64_MAX && covey__monotonic_us() >= deadline_us)
            return COVEY_OK;
    }
    *done = true;
    return COVEY_OK;
}

static covey_status new_check(const covey__env *env, const covey__manifest *manifest,
                              const char *folder, bool passing, covey__files_check **check,
                              covey_error *error) {
    *check = covey__calloc(env, 1, sizeof **check);
    if (*check == NULL) return covey__no_memory(error, "check", sizeof **check);
    size_t bytes = passing ? COVEY__PASS_BYTES : PIECE_BYTES;
    (*check)->env = env;
    (*check)->manifest = manifest;
    (*check)->passing = passing;
    (*check)->descriptor = -1;
    (*check)->folder = covey__strdup(env, folder);
    (*check)->piece = covey__alloc(env, bytes);
    if ((*check)->folder != NULL && (*check)->piece != NULL) return COVEY_OK;
    covey__files_check_free(*check);
    *check = NULL;
    return covey__no_memory(error, "piece", bytes);
}

covey_status covey__files_check_new(const covey__env *env, const covey__manifest *manifest,
                                    const char *folder, covey__files_check **check,
                                    covey_error *error) {
    *check = NULL;
    covey_status status = check_sizes(env, manifest, folder, error);
    return status == COVEY_OK ? new_check(env, manifest, folder, true, check, error) : status;
}

void covey__files_check_free(covey__files_check *check) {
    if (check == NULL) return;
    close_component(check);
    covey__free(check->env, check->folder);
    covey__free(check->env, check->piece);
    covey__free(check->env, check);
}

covey_status covey__manifest_check_files(const covey__env *env, const covey__manifest *manifest,
                                         const char *folder, covey_check_depth depth,
                                         covey_error *error) {
    covey__files_check *check = NULL;
    bool done = false;
    covey_status status = check_sizes(env, manifest, folder, error);
    if (status != COVEY_OK || depth < COVEY_CHECK_DIGESTS) return status;
    status = new_check(env, manifest, folder, false, &check, error);
    if (status == COVEY_OK) status = covey__files_check_step(check, INT64_MAX, &done, error);
    covey__files_check_free(check);
    return status;
}
