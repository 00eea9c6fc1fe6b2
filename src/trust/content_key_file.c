/* A publisher's content key in a file (docs/formats/key-file.md, "Content keys"): readable by its
 * owner alone, written once. Neighbours: key_file.c has the file's rules, envelope.h the key. */
#include "trust/envelope.h"

#include "base/error.h"
#include "base/json.h"
#include "base/sha256.h"
#include "trust/key_file.h"

#include <string.h>

#define ALGORITHM "covey-content-key-1"

covey_status covey__content_key_write(const covey__env *env, const char *path,
                                      const covey__content_key *key, covey_error *error) {
    covey__buffer text;
    char id[33], hex[65];
    covey__hex(key->id, sizeof key->id, id);
    covey__hex(key->key, sizeof key->key, hex);
    covey__buffer_init(&text, env, COVEY__KEY_FILE_BYTES_MAX);
    covey__buffer_format(
        &text, "{\"format\":1,\"algorithm\":\"" ALGORITHM "\",\"id\":\"%s\",\"key\":\"%s\"}\n", id,
        hex);
    explicit_bzero(hex, sizeof hex);
    covey_status status = covey__buffer_check(&text, error, "trust: content key file");
    if (status == COVEY_OK) status = covey__owner_file_write(env, path, &text, error);
    if (text.data != NULL) explicit_bzero(text.data, text.size);
    covey__buffer_free(&text);
    return status;
}

static covey_status take_hex(const covey__json *root, const char *name, uint8_t *out, size_t size,
                             covey_error *error) {
    const char *hex;
    covey_status status = covey__json_string(root, name, name, &hex, error);
    if (status != COVEY_OK) return status;
    bool right = covey__unhex(hex, strlen(hex), out, size);
    explicit_bzero((void *)(uintptr_t)hex, strlen(hex)); /* the arena's own; it may be the key */
    if (right) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_FORMAT, "%s: expected %zu hex digits", name, 2 * size);
}

covey_status covey__content_key_parse(const covey__env *env, const char *text, size_t size,
                                      covey__content_key *key, covey_error *error) {
    covey__arena arena;
    const covey__json *root = NULL;
    const char *algorithm = "";
    int64_t format;
    uint8_t id[16], bytes[32];
    covey__json_limits limits = {COVEY__KEY_FILE_BYTES_MAX, 4, 64};
    covey__arena_init(&arena, env, 64u << 10);
    covey_status status = covey__json_parse(&arena, text, size, limits, &root, error);
    if (status == COVEY_OK)
        status = covey__json_i64(root, "format", "format", 1, 1, &format, error);
    if (status == COVEY_OK)
        status = covey__json_string(root, "algorithm", "algorithm", &algorithm, error);
    if (status == COVEY_OK && strcmp(algorithm, ALGORITHM) != 0)
        status = covey__fail(error, COVEY_ERROR_FORMAT, "algorithm: expected \"" ALGORITHM "\"");
    if (status == COVEY_OK) status = take_hex(root, "id", id, sizeof id, error);
    if (status == COVEY_OK) status = take_hex(root, "key", bytes, sizeof bytes, error);
    if (status == COVEY_OK) {
        covey__content_key_of(bytes, key);
        if (memcmp(key->id, id, sizeof id) != 0) {
            covey__content_key_wipe(key);
            status = covey__fail(error, COVEY_ERROR_FORMAT, "id: it is not the key's");
        }
    }
    explicit_bzero(bytes, sizeof bytes);
    covey__arena_free(&arena);
    return status;
}

covey_status covey__content_key_read(const covey__env *env, const char *path,
                                     covey__content_key *key, covey_error *error) {
    char text[COVEY__KEY_FILE_BYTES_MAX];
    size_t size = 0;
    covey_status status = covey__owner_file_read(env, path, text, &size, error);
    if (status == COVEY_OK) {
        status = covey__content_key_parse(env, text, size, key, error);
        if (status != COVEY_OK) covey__prefix(error, status, "trust: content key file %s", path);
    }
    explicit_bzero(text, sizeof text);
    return status;
}
