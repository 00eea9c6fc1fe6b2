/* Private keys in files (docs/formats/release.md, "Key file"). A key is written once, with its mode
 * set as it is made, and never over another. It is read only if nobody else could have read or
 * changed it: the owner is this user (or root) and no bit is set for group and others. What was
 * read is wiped from memory; the caller wipes the key. */
#include "trust/key_file.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_BYTES_MAX 4096u

static covey_status render(const covey__env *env, const covey__key *key, covey__buffer *out,
                           covey_error *error) {
    char seed[65], public_key[65];
    covey__hex(key->seed, 32, seed);
    covey__hex(key->public_key, 32, public_key);
    covey__buffer_init(out, env, KEY_BYTES_MAX);
    covey__buffer_format(out,
                         "{\"format\":1,\"algorithm\":\"ed25519\",\"seed\":\"%s\","
                         "\"public\":\"%s\"}\n",
                         seed, public_key);
    explicit_bzero(seed, sizeof seed);
    return covey__buffer_check(out, error, "trust: key file");
}

static void wipe_buffer(covey__buffer *buffer) {
    if (buffer->data != NULL) explicit_bzero(buffer->data, buffer->size);
    covey__buffer_free(buffer);
}

covey_status covey__key_write(const covey__env *env, const char *path, const covey__key *key,
                              covey_error *error) {
    covey__buffer text;
    int descriptor = -1;
    covey_status status = render(env, key, &text, error);
    if (status != COVEY_OK) goto out;
    if (covey__file_exists(path)) {
        status =
            covey__fail(error, COVEY_ERROR_EXISTS,
                        "trust: %s exists; a key is never overwritten: name another file", path);
        goto out;
    }
    status = covey__file_open(env, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &descriptor,
                              error);
    if (status != COVEY_OK) goto out;
    status = covey__file_write_at(env, descriptor, path, 0, text.data, text.size, error);
    if (status == COVEY_OK) status = covey__file_sync(env, descriptor, path, error);
    close(descriptor);
    /* Half a key helps nobody and would block the next try. */
    if (status != COVEY_OK) unlink(path);
out:
    wipe_buffer(&text);
    return status;
}

static covey_status check_owner(int descriptor, const char *path, covey_error *error) {
    struct stat facts;
    if (fstat(descriptor, &facts) != 0)
        return covey__fail_errno(error, errno, "trust: %s: cannot be examined", path);
    if (!S_ISREG(facts.st_mode))
        return covey__fail(error, COVEY_ERROR_DENIED, "trust: %s is not a regular file", path);
    if (facts.st_uid != geteuid() && geteuid() != 0)
        return covey__fail(
            error, COVEY_ERROR_DENIED,
            "trust: %s belongs to user %ld, not to you; a key must be its user's own", path,
            (long)facts.st_uid);
    if ((facts.st_mode & 077) != 0)
        return covey__fail(error, COVEY_ERROR_DENIED,
                           "trust: %s may be read by others (mode %04o); make it yours alone: "
                           "chmod 600 %s",
                           path, (unsigned)(facts.st_mode & 07777), path);
    if (facts.st_size > (off_t)KEY_BYTES_MAX)
        return covey__fail(error, COVEY_ERROR_FORMAT, "trust: %s is too large for a key file",
                           path);
    return COVEY_OK;
}

static covey_status parse(const covey__env *env, covey__arena *arena, const char *text, size_t size,
                          covey__key *key, covey_error *error) {
    const covey__json *root;
    const char *algorithm, *seed_hex, *public_hex;
    int64_t format;
    uint8_t seed[32], public_key[32];
    covey__json_limits limits = {KEY_BYTES_MAX, 4, 64};
    covey_status status = covey__json_parse(arena, text, size, limits, &root, error);
    if (status == COVEY_OK)
        status = covey__json_i64(root, "format", "format", 1, 1, &format, error);
    if (status == COVEY_OK)
        status = covey__json_string(root, "algorithm", "algorithm", &algorithm, error);
    if (status == COVEY_OK) status = covey__json_string(root, "seed", "seed", &seed_hex, error);
    if (status == COVEY_OK)
        status = covey__json_string(root, "public", "public", &public_hex, error);
    if (status != COVEY_OK) return status;
    if (strcmp(algorithm, "ed25519") != 0)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED, "algorithm: only ed25519 is known here");
    if (!covey__unhex(seed_hex, strlen(seed_hex), seed, 32))
        return covey__fail(error, COVEY_ERROR_FORMAT, "seed: 64 hex digits expected");
    if (!covey__unhex(public_hex, strlen(public_hex), public_key, 32))
        return covey__fail(error, COVEY_ERROR_FORMAT, "public: 64 hex digits expected");
    status = covey__key_from_seed(env, seed, key, error);
    explicit_bzero(seed, sizeof seed);
    if (status != COVEY_OK) return status;
    if (memcmp(key->public_key, public_key, 32) != 0) {
        covey__key_wipe(key);
        return covey__fail(error, COVEY_ERROR_FORMAT, "public: is not the seed's public key");
    }
    return COVEY_OK;
}

covey_status covey__key_read(const covey__env *env, const char *path, covey__key *key,
                             covey_error *error) {
    int descriptor = -1;
    char text[KEY_BYTES_MAX];
    covey__arena arena;
    covey__arena_init(&arena, env, 64u << 10);
    ssize_t size = 0;
    covey_status status =
        covey__file_open(env, path, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0, &descriptor, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "trust: key file");
    status = check_owner(descriptor, path, error);
    if (status != COVEY_OK) goto out;
    size = pread(descriptor, text, sizeof text, 0);
    if (size < 0) {
        status = covey__fail_errno(error, errno, "trust: %s: cannot be read", path);
        goto out;
    }
    status = parse(env, &arena, text, (size_t)size, key, error);
    if (status != COVEY_OK) covey__prefix(error, status, "trust: key file %s", path);
out:
    explicit_bzero(text, sizeof text);
    covey__arena_free(&arena);
    close(descriptor);
    return status;
}
