/* Seals of verified files. A seal holds, for the manifest and each component, what a file system
 * says of it (size, inode, modification time) and the SHA-256 of its first and last 64 KiB. It
 * answers one question at each load, cheaply: has anything touched this file since it was hashed in
 * full? It is no defence against someone who can write the seal itself; the full digest is. The
 * change time is left out, since making a hard link for another slot would move it. */
#include "bundle/seal.h"

#include "base/error.h"
#include "base/file_cache.h"
#include "base/sha256.h"
#include "bundle/fields.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define END_BYTES (64u << 10)

typedef struct seal_entry {
    uint64_t size, inode;
    int64_t mtime_ns;
    char ends[65]; /* SHA-256 of head and tail, hex */
} seal_entry;

static covey_status hash_ends(const covey__env *env, int descriptor, const char *path,
                              uint64_t size, char out[65], covey_error *error) {
    uint8_t digest[32];
    covey__sha256 hash;
    size_t end = size < END_BYTES ? (size_t)size : END_BYTES;
    uint8_t *bytes = covey__alloc(env, END_BYTES);
    if (bytes == NULL) return covey__no_memory(error, "seal", END_BYTES);
    covey__sha256_init(&hash);
    covey_status status = covey__file_read_passing(env, descriptor, path, 0, bytes, end, error);
    if (status == COVEY_OK) {
        covey__sha256_update(&hash, bytes, end);
        status = covey__file_read_passing(env, descriptor, path, size - end, bytes, end, error);
    }
    if (status == COVEY_OK) {
        covey__sha256_update(&hash, bytes, end);
        covey__sha256_final(&hash, digest);
        covey__hex(digest, 32, out);
    }
    covey__free(env, bytes);
    return status;
}

static covey_status read_facts(const covey__env *env, int descriptor, const char *path,
                               seal_entry *entry, covey_error *error) {
    struct stat facts;
    covey_status status = covey__file_facts(env, descriptor, path, &facts, error);
    if (status != COVEY_OK) return status;
    if (!S_ISREG(facts.st_mode))
        return covey__fail(error, COVEY_ERROR_MISMATCH, "is not a regular file");
    entry->size = (uint64_t)facts.st_size;
    entry->inode = (uint64_t)facts.st_ino;
#if defined(__APPLE__)
    entry->mtime_ns = facts.st_mtimespec.tv_sec * INT64_C(1000000000) + facts.st_mtimespec.tv_nsec;
#else
    entry->mtime_ns = facts.st_mtim.tv_sec * INT64_C(1000000000) + facts.st_mtim.tv_nsec;
#endif
    return hash_ends(env, descriptor, path, entry->size, entry->ends, error);
}

static covey_status read_entry(const covey__env *env, const char *folder, const char *file,
                               seal_entry *entry, covey_error *error) {
    int descriptor = -1;
    char *path = covey__path_join(env, folder, file);
    if (path == NULL) return covey__no_memory(error, "path", strlen(folder));
    covey_status status = covey__file_open(
        env, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0, &descriptor, error);
    if (status == COVEY_OK) {
        status = read_facts(env, descriptor, path, entry, error);
        close(descriptor);
    }
    covey__free(env, path);
    return status;
}

/* The manifest is file number 0, components follow. */
static const char *file_at(const covey__manifest *manifest, size_t number) {
    return number == 0 ? COVEY__MANIFEST_FILE : manifest->components[number - 1].file;
}

covey_status covey__seal_make(const covey__env *env, const covey__manifest *manifest,
                              const char *folder, covey__buffer *out, covey_error *error) {
    covey__json_writer writer;
    char number[32];
    covey__json_writer_init(&writer, out, false);
    covey__json_begin_object(&writer);
    covey__json_member_i64(&writer, "format", 1);
    covey__json_member_string(&writer, "ensemble", manifest->digest_hex);
    covey__json_name(&writer, "files");
    covey__json_begin_array(&writer);
    for (size_t i = 0; i <= manifest->component_count; i++) {
        seal_entry entry;
        covey_status status = read_entry(env, folder, file_at(manifest, i), &entry, error);
        if (status != COVEY_OK)
            return covey__prefix(error, status, "bundle: seal: %s", file_at(manifest, i));
        covey__json_begin_object(&writer);
        covey__json_member_string(&writer, "file", file_at(manifest, i));
        covey__json_member_u64(&writer, "size", entry.size);
        /* As text: inodes and nanoseconds pass 2^53. */
        snprintf(number, sizeof number, "%" PRIu64, entry.inode);
        covey__json_member_string(&writer, "inode", number);
        snprintf(number, sizeof number, "%" PRId64, entry.mtime_ns);
        covey__json_member_string(&writer, "mtime_ns", number);
        covey__json_member_string(&writer, "ends_sha256", entry.ends);
        covey__json_end_object(&writer);
    }
    covey__json_end_array(&writer);
    covey__json_end_object(&writer);
    return covey__buffer_check(out, error, "bundle: seal");
}

static covey_status compare_text(const covey__json *node, const char *name, const char *found,
                                 covey_error *error) {
    const char *sealed;
    char shown[32];
    covey_status status = covey__json_string(node, name, name, &sealed, error);
    if (status != COVEY_OK || strcmp(sealed, found) == 0) return status;
    return covey__fail(error, COVEY_ERROR_MISMATCH,
                       "changed since it was verified: %s was %s, is "
                       "%.24s",
                       name, covey__printable(sealed, strlen(sealed), shown, sizeof shown), found);
}

static covey_status check_entry(const covey__env *env, const char *folder, const char *file,
                                const covey__json *node, covey_error *error) {
    seal_entry entry;
    uint64_t size;
    char number[32];
    covey_status status = compare_text(node, "file", file, error);
    if (status == COVEY_OK) status = covey__field_size(node, "size", "size", &size, error);
    if (status == COVEY_OK) status = read_entry(env, folder, file, &entry, error);
    if (status != COVEY_OK) return status;
    if (entry.size != size)
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "changed since it was verified: it had %" PRIu64 " bytes, has %" PRIu64,
                           size, entry.size);
    snprintf(number, sizeof number, "%" PRIu64, entry.inode);
    status = compare_text(node, "inode", number, error);
    if (status != COVEY_OK) return status;
    snprintf(number, sizeof number, "%" PRId64, entry.mtime_ns);
    status = compare_text(node, "mtime_ns", number, error);
    return status == COVEY_OK ? compare_text(node, "ends_sha256", entry.ends, error) : status;
}

static covey_status check_root(const covey__env *env, const covey__manifest *manifest,
                               const char *folder, const covey__json *root, covey_error *error) {
    const covey__json *files;
    const char *digest;
    covey_status status = covey__field_format(root, 1, error);
    if (status == COVEY_OK)
        status = covey__json_string(root, "ensemble", "ensemble", &digest, error);
    if (status == COVEY_OK)
        status = covey__json_member(root, "files", "files", COVEY__JSON_ARRAY, &files, error);
    if (status != COVEY_OK) return status;
    if (strcmp(digest, manifest->digest_hex) != 0 || files->size != manifest->component_count + 1)
        return covey__fail(error, COVEY_ERROR_MISMATCH, "is of another ensemble");
    size_t i = 0;
    for (const covey__json *node = files->child; node != NULL; node = node->next, i++) {
        status = check_entry(env, folder, file_at(manifest, i), node, error);
        if (status != COVEY_OK) return covey__prefix(error, status, "%s", file_at(manifest, i));
    }
    return COVEY_OK;
}

covey_status covey__seal_check(const covey__env *env, const covey__manifest *manifest,
                               const char *folder, const char *seal, size_t seal_size,
                               covey_error *error) {
    covey__arena arena;
    const covey__json *root;
    covey__json_limits limits = {COVEY__SEAL_BYTES_MAX, 8, 1u << 14};
    covey__arena_init(&arena, env, 8u << 20);
    covey_status status = covey__json_parse(&arena, seal, seal_size, limits, &root, error);
    if (status == COVEY_OK) status = check_root(env, manifest, folder, root, error);
    covey__arena_free(&arena);
    return status == COVEY_OK ? status : covey__prefix(error, status, "bundle: seal");
}
