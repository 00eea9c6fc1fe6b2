/* A manifest against the files of a folder. The shallow check tells in microseconds that a file is
 * absent, no regular file, or of another size; the deep one hashes every byte, in pieces, since a
 * map of a file that shrinks would fault. Links are not followed: a component is a file here. */
#include "bundle/manifest.h"

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES (256u << 10)

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

static covey_status check_digest(const covey__env *env, int descriptor, const char *path,
                                 const covey__component *component, covey_error *error) {
    uint8_t digest[32];
    char want[65], found[65];
    covey__sha256 hash;
    covey_status status = COVEY_OK;
    uint8_t *piece = covey__alloc(env, PIECE_BYTES);
    if (piece == NULL) return covey__no_memory(error, "piece", PIECE_BYTES);
    covey__sha256_init(&hash);
    for (uint64_t at = 0; status == COVEY_OK && at < component->size;) {
        uint64_t left = component->size - at;
        size_t size = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        status = covey__file_read_at(env, descriptor, path, at, piece, size, error);
        covey__sha256_update(&hash, piece, size);
        at += size;
    }
    covey__free(env, piece);
    if (status != COVEY_OK) return status;
    covey__sha256_final(&hash, digest);
    if (memcmp(digest, component->sha256, 32) == 0) return COVEY_OK;
    covey__hex(component->sha256, 32, want);
    covey__hex(digest, 32, found);
    return covey__fail(error, COVEY_ERROR_MISMATCH,
                       "digest differs: SHA-256 %.16s… expected, %.16s… found", want, found);
}

static covey_status check_component(const covey__env *env, const covey__component *component,
                                    const char *folder, covey_check_depth depth,
                                    covey_error *error) {
    int descriptor = -1;
    char *path = covey__path_join(env, folder, component->file);
    if (path == NULL) return covey__no_memory(error, "path", strlen(folder));
    covey_status status = covey__file_open(
        env, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0, &descriptor, error);
    if (status == COVEY_OK) {
        status = check_size(env, descriptor, path, component, error);
        if (status == COVEY_OK && depth >= COVEY_CHECK_DIGESTS)
            status = check_digest(env, descriptor, path, component, error);
        close(descriptor);
    }
    covey__free(env, path);
    return status;
}

static covey_status check_pass(const covey__env *env, const covey__manifest *manifest,
                               const char *folder, covey_check_depth depth, covey_error *error) {
    for (size_t i = 0; i < manifest->component_count; i++) {
        const covey__component *component = &manifest->components[i];
        covey_status status = check_component(env, component, folder, depth, error);
        if (status != COVEY_OK)
            return covey__prefix(error, status, "bundle: component \"%s\" (%s)", component->role,
                                 component->file);
    }
    return COVEY_OK;
}

covey_status covey__manifest_check_files(const covey__env *env, const covey__manifest *manifest,
                                         const char *folder, covey_check_depth depth,
                                         covey_error *error) {
    /* What is absent or of another size is said before gigabytes are hashed. */
    covey_status status = check_pass(env, manifest, folder, COVEY_CHECK_MANIFEST, error);
    if (status != COVEY_OK || depth < COVEY_CHECK_DIGESTS) return status;
    return check_pass(env, manifest, folder, depth, error);
}
