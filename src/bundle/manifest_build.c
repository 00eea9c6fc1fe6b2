/* The manifest's writer. It hashes what stands in the folder and reads back what it made with the
 * device's own reader, so that no ensemble is built that a device would refuse for its form. */
#include "bundle/manifest_build.h"

#include "base/c_locale.h"
#include "base/error.h"
#include "base/file.h"
#include "base/semver.h"
#include "base/sha256.h"
#include "bundle/fields.h"
#include "trust/envelope.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PIECE_BYTES (256u << 10)

/* "linux >=4.19.0" to its two parts; the range is "*" when there is none. */
static covey_status split_os(const char *text, char name[65], const char **range,
                             covey_error *error) {
    const char *space = strchr(text, ' ');
    size_t size = space == NULL ? strlen(text) : (size_t)(space - text);
    *range = space == NULL ? "*" : space + strspn(space, " ");
    if (size > 64) size = 64;
    memcpy(name, text, size);
    name[size] = '\0';
    if (!covey__ensemble_name_valid(name) || !covey__semver_range_valid(*range))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "needs.os: \"%s\" is no system with a range, such as \"linux\" or "
                           "\"linux >=4.19.0\"",
                           text);
    return COVEY_OK;
}

static covey_status check_spec(const covey__manifest_spec *spec, covey_error *error) {
    char name[65];
    const char *range;
    if (spec->name == NULL || !covey__ensemble_name_valid(spec->name))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "name: 1 to 64 letters, digits, '.', '_', '-' expected, found \"%s\"",
                           spec->name == NULL ? "" : spec->name);
    if (spec->version == NULL || strlen(spec->version) > 64 || !covey__semver_valid(spec->version))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "version: a semantic version such as \"1.2.0\" expected, found \"%s\"",
                           spec->version == NULL ? "" : spec->version);
    if (spec->variant == NULL || !covey__ensemble_name_valid(spec->variant))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "variant: 1 to 64 letters, digits, '.', '_', '-' expected, found \"%s\"",
                           spec->variant == NULL ? "" : spec->variant);
    if (spec->app != NULL && (strlen(spec->app) > 256 || !covey__semver_range_valid(spec->app)))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "needs.app: a range such as \">=1.2.0 <2.0.0\" expected, found \"%s\"",
                           spec->app);
    if (spec->memory_bytes > (uint64_t)COVEY__JSON_INTEGER_MAX)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "needs.memory_bytes: is larger than any device's memory");
    for (size_t i = 0; i < spec->os_count; i++) {
        covey_status status = split_os(spec->os[i], name, &range, error);
        if (status != COVEY_OK) return status;
    }
    return COVEY_OK;
}

covey_status covey__manifest_spec_check(const covey__manifest_spec *spec, covey_error *error) {
    covey_status status = check_spec(spec, error);
    return status == COVEY_OK ? status : covey__prefix(error, status, "bundle");
}

static covey_status hash_file(const covey__env *env, const char *path, uint64_t *size, char hex[65],
                              covey_error *error) {
    covey__sha256 hash;
    uint8_t digest[32];
    int descriptor = -1;
    covey_status status = covey__file_size(env, path, size, error);
    if (status != COVEY_OK) return status;
    uint8_t *piece = covey__alloc(env, PIECE_BYTES);
    if (piece == NULL) return covey__no_memory(error, "piece", PIECE_BYTES);
    covey__sha256_init(&hash);
    status = covey__file_open(env, path, O_RDONLY | O_CLOEXEC, 0, &descriptor, error);
    for (uint64_t at = 0; status == COVEY_OK && at < *size;) {
        uint64_t left = *size - at;
        size_t count = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        status = covey__file_read_at(env, descriptor, path, at, piece, count, error);
        covey__sha256_update(&hash, piece, count);
        at += count;
    }
    if (descriptor >= 0) close(descriptor);
    covey__free(env, piece);
    if (status != COVEY_OK) return status;
    covey__sha256_final(&hash, digest);
    covey__hex(digest, 32, hex);
    return COVEY_OK;
}

/* The scale as a number that reads back as the same float. */
static void write_use(const covey__manifest_part *part, const char *model_hex,
                      covey__json_writer *writer) {
    char scale[COVEY__C_DOUBLE_SIZE];
    covey__c_format_float(part->scale == 0.0f ? 1.0f : part->scale, scale);
    covey__json_member_string(writer, "base_sha256", model_hex);
    covey__json_name(writer, "scale");
    covey__json_put_raw(writer, scale, strlen(scale));
    if (part->on_request) covey__json_member_bool(writer, "on_request", true);
}

static covey_status write_encryption(const covey__env *env, const char *path,
                                     covey__json_writer *writer, covey_error *error) {
    covey__envelope_header header;
    char key[33], component[65];
    covey_status status = covey__envelope_file_header(env, path, &header, error);
    if (status != COVEY_OK) return status;
    covey__hex(header.key_id, sizeof header.key_id, key);
    covey__hex(header.component_id, sizeof header.component_id, component);
    covey__json_name(writer, "encryption");
    covey__json_begin_object(writer);
    covey__json_member_string(writer, "scheme", COVEY__ENCRYPTION_SCHEME);
    covey__json_member_string(writer, "key", key);
    covey__json_member_string(writer, "component", component);
    covey__json_member_u64(writer, "plain_size", header.plain_size);
    covey__json_end_object(writer);
    return COVEY_OK;
}

/* `model_hex` gets the model's digest, and gives it to the adapters behind. */
static covey_status write_part(const covey__env *env, const char *folder,
                               const covey__manifest_part *part, char model_hex[65],
                               covey__json_writer *writer, covey_error *error) {
    uint64_t size;
    char hex[65];
    char *path = covey__path_join(env, folder, part->file);
    if (path == NULL) return covey__no_memory(error, "path", strlen(folder));
    covey_status status = hash_file(env, path, &size, hex, error);
    if (status != COVEY_OK) {
        covey__free(env, path);
        return covey__prefix(error, status, "component \"%s\"", part->role);
    }
    covey__json_begin_object(writer);
    covey__json_member_string(writer, "role", part->role);
    covey__json_member_string(writer, "file", part->file);
    covey__json_member_u64(writer, "size", size);
    covey__json_member_string(writer, "sha256", hex);
    if (strcmp(part->role, "model") == 0) memcpy(model_hex, hex, sizeof hex);
    if (strcmp(part->role, "adapter") == 0) write_use(part, model_hex, writer);
    if (part->encrypted) status = write_encryption(env, path, writer, error);
    covey__json_end_object(writer);
    covey__free(env, path);
    return status == COVEY_OK ? status
                              : covey__prefix(error, status, "component \"%s\"", part->role);
}

static covey_status write_needs(const covey__manifest_spec *spec, covey__json_writer *writer,
                                covey_error *error) {
    char name[65];
    const char *range;
    covey__json_name(writer, "needs");
    covey__json_begin_object(writer);
    covey__json_member_u64(writer, "memory_bytes", spec->memory_bytes);
    covey__json_member_i64(writer, "engine_interface", COVEY__ENGINE_INTERFACE);
    covey__json_member_i64(writer, "arithmetic_version", spec->arithmetic_version);
    covey__json_member_string(writer, "app", spec->app == NULL ? "*" : spec->app);
    if (spec->os_count > 0) {
        covey__json_name(writer, "os");
        covey__json_begin_object(writer);
        for (size_t i = 0; i < spec->os_count; i++) {
            covey_status status = split_os(spec->os[i], name, &range, error);
            if (status != COVEY_OK) return status;
            covey__json_member_string(writer, name, range);
        }
        covey__json_end_object(writer);
    }
    covey__json_end_object(writer);
    return COVEY_OK;
}

static bool any_encrypted(const covey__manifest_spec *spec) {
    for (size_t i = 0; i < spec->part_count; i++)
        if (spec->parts[i].encrypted) return true;
    return false;
}

static covey_status render(const covey__env *env, const char *folder,
                           const covey__manifest_spec *spec, covey__buffer *out,
                           covey_error *error) {
    covey__json_writer writer;
    char model_hex[65] = "";
    covey__json_writer_init(&writer, out, true);
    covey__json_begin_object(&writer);
    covey__json_member_i64(&writer, "format", COVEY__MANIFEST_FORMAT);
    covey__json_name(&writer, "requires");
    covey__json_begin_array(&writer);
    if (any_encrypted(spec)) covey__json_put_string(&writer, COVEY__FEATURE_ENCRYPTION);
    covey__json_end_array(&writer);
    covey__json_member_string(&writer, "name", spec->name);
    covey__json_member_string(&writer, "version", spec->version);
    covey__json_member_string(&writer, "variant", spec->variant);
    covey__json_name(&writer, "components");
    covey__json_begin_array(&writer);
    for (size_t i = 0; i < spec->part_count; i++) {
        covey_status status = write_part(env, folder, &spec->parts[i], model_hex, &writer, error);
        if (status != COVEY_OK) return status;
    }
    covey__json_end_array(&writer);
    covey_status status = write_needs(spec, &writer, error);
    if (status != COVEY_OK) return status;
    covey__json_end_object(&writer);
    covey__buffer_byte(out, '\n');
    return covey__buffer_check(out, error, "manifest");
}

covey_status covey__manifest_write(const covey__env *env, const char *folder,
                                   const covey__manifest_spec *spec, covey_error *error) {
    covey__buffer text;
    covey__manifest *check = NULL;
    covey__buffer_init(&text, env, COVEY__MANIFEST_BYTES_MAX);
    char *path = covey__path_join(env, folder, COVEY__MANIFEST_FILE);
    covey_status status =
        path == NULL ? covey__no_memory(error, "path", strlen(folder)) : check_spec(spec, error);
    if (status == COVEY_OK) status = render(env, folder, spec, &text, error);
    if (status == COVEY_OK)
        status = covey__manifest_parse(env, text.data, text.size, &check, error);
    if (status == COVEY_OK) status = covey__file_replace(env, path, text.data, text.size, error);
    covey__manifest_free(check);
    covey__buffer_free(&text);
    covey__free(env, path);
    return status == COVEY_OK ? status : covey__prefix(error, status, "bundle");
}
