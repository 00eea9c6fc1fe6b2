/* The blob folder. A blob is blobs/sha256/HH/HEX, so that any static server can hand it out.
 *
 * Invariants: a file under sha256/ is whole and has the digest that it is named by: it was hashed
 * on the way in, synced, and only then renamed to its name. It is never written into. What is on
 * the way lies in incoming/, which is emptied at each start; nothing reads from there. One that the
 * disk changed counts as absent to a publisher, whose next upload takes its place.
 *
 * Neighbours: http_blobs.c serves and receives; publish_check.c reads manifests and indexes.
 */
#include "fleet/blobs.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

#define INCOMING_NAME_SIZE 33

static covey_status drop_incoming(void *user, const char *name, bool is_folder) {
    const covey__blobs *blobs = user;
    if (is_folder) return COVEY_OK;
    char *path = covey__path_join(blobs->env, blobs->incoming, name);
    if (path == NULL) return COVEY_ERROR_NO_MEMORY;
    covey_status status = covey__file_remove(blobs->env, path, NULL);
    covey__free(blobs->env, path);
    return status;
}

/* All 256 folders, so that an upload makes none: a new folder would have to be synced as well. */
static covey_status make_shards(const covey__blobs *blobs, covey_error *error) {
    covey_status status = COVEY_OK;
    for (unsigned i = 0; i < 256 && status == COVEY_OK; i++) {
        char *path = covey__format(blobs->env, "%s/sha256/%02x", blobs->folder, i);
        if (path == NULL) return covey__no_memory(error, "blobs: folder", 0);
        status = covey__folder_make(blobs->env, path, error);
        covey__free(blobs->env, path);
    }
    char *parent = covey__path_join(blobs->env, blobs->folder, "sha256");
    if (parent == NULL) return covey__no_memory(error, "blobs: folder", 0);
    if (status == COVEY_OK) status = covey__folder_sync(blobs->env, parent, error);
    covey__free(blobs->env, parent);
    return status;
}

covey_status covey__blobs_open(const covey__env *env, const char *folder, covey__blobs *blobs,
                               covey_error *error) {
    *blobs = (covey__blobs){.env = env};
    blobs->folder = covey__strdup(env, folder);
    blobs->incoming = covey__path_join(env, folder, "incoming");
    covey_status status = COVEY_OK;
    if (blobs->folder == NULL || blobs->incoming == NULL) {
        status = covey__no_memory(error, "blobs: folder", 0);
    }
    if (status == COVEY_OK) status = covey__folder_make(env, blobs->incoming, error);
    if (status == COVEY_OK) status = make_shards(blobs, error);
    if (status == COVEY_OK) {
        status = covey__folder_list(env, blobs->incoming, error, drop_incoming, blobs);
    }
    if (status != COVEY_OK) {
        covey__blobs_close(blobs);
        return covey__prefix(error, status, "blobs");
    }
    return COVEY_OK;
}

void covey__blobs_close(covey__blobs *blobs) {
    if (blobs->env == NULL) return;
    covey__free(blobs->env, blobs->folder);
    covey__free(blobs->env, blobs->incoming);
    *blobs = (covey__blobs){0};
}

/* "FOLDER/sha256/HH/HEX" in new memory. */
static char *blob_path(const covey__blobs *blobs, const uint8_t sha256[32]) {
    char hex[65];
    covey__hex(sha256, 32, hex);
    return covey__format(blobs->env, "%s/sha256/%.2s/%s", blobs->folder, hex, hex);
}

static char *parent_of(const covey__env *env, const char *path) {
    const char *slash = strrchr(path, '/');
    return covey__strndup(env, path, slash != NULL ? (size_t)(slash - path) : 0);
}

covey_status covey__blob_open(const covey__blobs *blobs, const uint8_t sha256[32], int *descriptor,
                              uint64_t *size, covey_error *error) {
    char *path = blob_path(blobs, sha256);
    if (path == NULL) return covey__no_memory(error, "blob: path", 0);
    struct stat info;
    covey_status status =
        covey__file_open(blobs->env, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0, descriptor, error);
    covey__free(blobs->env, path);
    if (status != COVEY_OK) return status;
    if (covey__file_facts(blobs->env, *descriptor, "blob", &info, NULL) != COVEY_OK ||
        !S_ISREG(info.st_mode)) {
        (void)close(*descriptor);
        return covey__fail(error, COVEY_ERROR_IO, "blob: is not a plain file");
    }
    *size = (uint64_t)info.st_size;
    return COVEY_OK;
}

bool covey__blob_has(const covey__blobs *blobs, const uint8_t sha256[32]) {
    uint8_t part[16384], digest[32];
    uint64_t size = 0;
    int descriptor = -1;
    covey__sha256 hash;
    covey_status status = covey__blob_open(blobs, sha256, &descriptor, &size, NULL);
    if (status != COVEY_OK) return false;
    covey__sha256_init(&hash);
    for (uint64_t at = 0; at < size && status == COVEY_OK;) {
        size_t count = size - at < sizeof part ? (size_t)(size - at) : sizeof part;
        status = covey__file_read_at(blobs->env, descriptor, "blob", at, part, count, NULL);
        if (status == COVEY_OK) covey__sha256_update(&hash, part, count);
        at += count;
    }
    (void)close(descriptor);
    covey__sha256_final(&hash, digest);
    return status == COVEY_OK && memcmp(digest, sha256, 32) == 0;
}

covey_status covey__blob_size(const covey__blobs *blobs, const uint8_t sha256[32], uint64_t *size,
                              covey_error *error) {
    int descriptor = -1;
    covey_status status = covey__blob_open(blobs, sha256, &descriptor, size, error);
    if (status == COVEY_OK) (void)close(descriptor);
    return status;
}

covey_status covey__blob_read(const covey__blobs *blobs, const uint8_t sha256[32],
                              covey__buffer *out, covey_error *error) {
    char *path = blob_path(blobs, sha256);
    if (path == NULL) return covey__no_memory(error, "blob: path", 0);
    size_t before = out->size;
    covey_status status = covey__file_read(blobs->env, path, out, error);
    covey__free(blobs->env, path);
    if (status != COVEY_OK) return status;
    uint8_t digest[32];
    covey__sha256_of(out->data + before, out->size - before, digest);
    if (memcmp(digest, sha256, 32) == 0) return COVEY_OK;
    char hex[65];
    covey__hex(sha256, 32, hex);
    return covey__fail(error, COVEY_ERROR_MISMATCH,
                       "blob %s: its bytes changed on disk; publish again", hex);
}

covey_status covey__blob_begin(const covey__blobs *blobs, const uint8_t sha256[32],
                               covey__blob_upload *upload, covey_error *error) {
    uint8_t random[16];
    char name[INCOMING_NAME_SIZE];
    *upload = (covey__blob_upload){.blobs = blobs, .descriptor = -1};
    memcpy(upload->sha256, sha256, 32);
    covey__sha256_init(&upload->hash);
    covey_status status = covey__random(blobs->env, random, sizeof(random), error);
    if (status != COVEY_OK) return status;
    covey__hex(random, sizeof(random), name);
    upload->path = covey__path_join(blobs->env, blobs->incoming, name);
    if (upload->path == NULL) return covey__no_memory(error, "blob: path", 0);
    status = covey__file_open(blobs->env, upload->path,
                              O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600,
                              &upload->descriptor, error);
    if (status != COVEY_OK) {
        upload->descriptor = -1;
        covey__blob_abort(upload);
    }
    return status;
}

covey_status covey__blob_write(covey__blob_upload *upload, const void *data, size_t size,
                               covey_error *error) {
    if (size > COVEY__BLOB_BYTES_MAX - upload->size) {
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, COVEY__BLOB_BYTES_MAX,
                                 (int64_t)(upload->size + size), "a blob is at most %u bytes",
                                 COVEY__BLOB_BYTES_MAX);
    }
    covey_status status = covey__file_write_at(upload->blobs->env, upload->descriptor, upload->path,
                                               upload->size, data, size, error);
    if (status != COVEY_OK) return status;
    covey__sha256_update(&upload->hash, data, size);
    upload->size += size;
    return COVEY_OK;
}

/* The file is whole and named rightly: into its place, so that it stays there. */
static covey_status settle(covey__blob_upload *upload, covey_error *error) {
    const covey__env *env = upload->blobs->env;
    char *path = blob_path(upload->blobs, upload->sha256);
    char *shard = path != NULL ? parent_of(env, path) : NULL;
    covey_status status = COVEY_OK;
    if (shard == NULL) status = covey__no_memory(error, "blob: path", 0);
    if (status == COVEY_OK) {
        status = covey__file_sync(env, upload->descriptor, upload->path, error);
    }
    if (status == COVEY_OK) status = covey__file_rename(env, upload->path, path, error);
    if (status == COVEY_OK) {
        covey__free(env, upload->path); /* gone from incoming/ */
        upload->path = NULL;
        status = covey__folder_sync(env, shard, error);
    }
    covey__free(env, shard);
    covey__free(env, path);
    return status;
}

covey_status covey__blob_finish(covey__blob_upload *upload, covey_error *error) {
    uint8_t digest[32];
    covey__sha256_final(&upload->hash, digest);
    covey_status status;
    if (memcmp(digest, upload->sha256, 32) == 0) {
        status = settle(upload, error);
    } else {
        char found[65];
        covey__hex(digest, 32, found);
        status =
            covey__fail(error, COVEY_ERROR_MISMATCH,
                        "the %" PRIu64 " bytes sent have the SHA-256 %s, not the one in the path",
                        upload->size, found);
    }
    covey__blob_abort(upload);
    return status;
}

void covey__blob_abort(covey__blob_upload *upload) {
    const covey__env *env = upload->blobs->env;
    if (upload->descriptor >= 0) (void)close(upload->descriptor);
    upload->descriptor = -1;
    if (upload->path != NULL) {
        if (covey__file_remove(env, upload->path, NULL) != COVEY_OK)
            covey__log(env, COVEY_LOG_WARN, "fleet", "half an upload stays behind");
        covey__free(env, upload->path);
        upload->path = NULL;
    }
}
