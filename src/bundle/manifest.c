/* The manifest's reader. Bytes come from outside: sizes, counts, names and roles are bounded and
 * checked before use. A manifest that is returned agrees with itself: one model, single roles once,
 * file names that are safe and distinct on every file system, adapters on this model. Its strings
 * live in its arena. Files are held against it in manifest_files.c, needs in needs.c. */
#include "bundle/manifest.h"

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "bundle/fields.h"
#include "trust/envelope.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ARENA_BYTES_MAX (16u << 20)

static const char *const single_roles[] = {"model", "template", "tools", "probes", "policy"};
static const char *const multiple_roles[] = {"adapter", "index"};

static bool role_in(const char *role, const char *const *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(role, list[i]) == 0) return true;
    return false;
}

static bool role_single(const char *role) {
    return role_in(role, single_roles, sizeof single_roles / sizeof single_roles[0]);
}

static bool role_known(const char *role) {
    return role_single(role) ||
           role_in(role, multiple_roles, sizeof multiple_roles / sizeof multiple_roles[0]);
}

bool covey__adapter_scale_valid(float scale) {
    float size = fabsf(scale);
    return size > 0.0f && size <= 1000.0f;
}

static covey_status parse_base(const covey__json *node, const char *path, covey__component *out,
                               covey_error *error) {
    char field[COVEY__FIELD_PATH_SIZE];
    bool is_adapter = strcmp(out->role, "adapter") == 0;
    out->has_base = covey__json_get(node, "base_sha256") != NULL;
    covey__field_path(field, "%s.base_sha256", path);
    if (out->has_base && !is_adapter)
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s: only adapters have a base", field);
    if (!is_adapter) return COVEY_OK;
    return covey__field_digest(node, "base_sha256", field, out->base_sha256, error);
}

/* How an adapter is used; the members mean nothing on other roles. */
static covey_status parse_use(const covey__json *node, const char *path, covey__component *out,
                              covey_error *error) {
    char field[COVEY__FIELD_PATH_SIZE];
    double scale = 1.0;
    covey_status status = COVEY_OK;
    if (strcmp(out->role, "adapter") != 0) return COVEY_OK;
    covey__field_path(field, "%s.scale", path);
    if (covey__json_get(node, "scale") != NULL)
        status = covey__json_f64(node, "scale", field, &scale, error);
    if (status != COVEY_OK) return status;
    out->scale = (float)scale;
    if (!covey__adapter_scale_valid(out->scale))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "%s: a number other than 0, of at most 1000 either way, expected",
                           field);
    covey__field_path(field, "%s.on_request", path);
    if (covey__json_get(node, "on_request") == NULL) return COVEY_OK;
    return covey__json_bool(node, "on_request", field, &out->on_request, error);
}

bool covey__role_may_hide(const char *role) {
    static const char *const open_roles[] = {"tools", "policy"};
    return !role_in(role, open_roles, sizeof open_roles / sizeof open_roles[0]);
}

const uint8_t *covey__component_identity(const covey__component *component) {
    return component->encrypted ? component->component_id : component->sha256;
}

static covey_status parse_hex(const covey__json *node, const char *name, const char *path,
                              uint8_t *out, size_t size, covey_error *error) {
    const char *text;
    covey_status status = covey__json_string(node, name, path, &text, error);
    if (status != COVEY_OK) return status;
    if (strspn(text, "0123456789abcdef") == strlen(text) &&
        covey__unhex(text, strlen(text), out, size))
        return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_FORMAT, "%s: %zu lower-case hex digits expected", path,
                       2 * size);
}

static covey_status parse_encryption_members(const covey__json *node, const char *path,
                                             covey__component *out, covey_error *error) {
    char field[COVEY__FIELD_PATH_SIZE], shown[64];
    const char *scheme;
    covey__field_path(field, "%s.scheme", path);
    covey_status status = covey__json_string(node, "scheme", field, &scheme, error);
    if (status != COVEY_OK) return status;
    if (strcmp(scheme, COVEY__ENCRYPTION_SCHEME) != 0)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "%s: \"%s\" is not known to this library (%s); update the app", field,
                           covey__printable(scheme, strlen(scheme), shown, sizeof shown),
                           COVEY_VERSION);
    covey__field_path(field, "%s.key", path);
    status = parse_hex(node, "key", field, out->key_id, sizeof out->key_id, error);
    covey__field_path(field, "%s.component", path);
    if (status == COVEY_OK)
        status =
            parse_hex(node, "component", field, out->component_id, sizeof out->component_id, error);
    covey__field_path(field, "%s.plain_size", path);
    if (status == COVEY_OK)
        status = covey__field_size(node, "plain_size", field, &out->plain_size, error);
    if (status != COVEY_OK) return status;
    if (out->plain_size > COVEY__ENVELOPE_PLAIN_MAX ||
        covey__envelope_size(out->plain_size) != out->size)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "%s: a file of %" PRIu64 " bytes does not hold %" PRIu64 " encrypted",
                           field, out->size, out->plain_size);
    return COVEY_OK;
}

/* `may` says that the manifest requires encryption: a reader that does not know it must have
 * refused. */
static covey_status parse_encryption(const covey__json *node, const char *path, bool may,
                                     covey__component *out, covey_error *error) {
    char field[COVEY__FIELD_PATH_SIZE];
    const covey__json *encryption;
    if (covey__json_get(node, "encryption") == NULL) return COVEY_OK;
    covey__field_path(field, "%s.encryption", path);
    covey_status status =
        covey__json_member(node, "encryption", field, COVEY__JSON_OBJECT, &encryption, error);
    if (status != COVEY_OK) return status;
    if (!may)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "%s: \"requires\" does not name \"" COVEY__FEATURE_ENCRYPTION "\"",
                           field);
    if (!covey__role_may_hide(out->role))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "%s: the role \"%s\" must be readable without a key", field, out->role);
    out->encrypted = true;
    return parse_encryption_members(encryption, field, out, error);
}

static covey_status parse_role(const covey__json *node, const char *path, covey__component *out,
                               covey_error *error) {
    char field[COVEY__FIELD_PATH_SIZE], shown[64];
    covey__field_path(field, "%s.optional", path);
    if (covey__json_get(node, "optional") != NULL) {
        covey_status status = covey__json_bool(node, "optional", field, &out->optional, error);
        if (status != COVEY_OK) return status;
    }
    covey__field_path(field, "%s.role", path);
    covey_status status = covey__field_name(node, "role", field, &out->role, error);
    if (status != COVEY_OK) return status;
    if (!role_known(out->role) && !out->optional)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "%s: \"%s\" is not known to this library (%s); update the app", field,
                           covey__printable(out->role, strlen(out->role), shown, sizeof shown),
                           COVEY_VERSION);
    return COVEY_OK;
}

static covey_status parse_component(const covey__json *node, size_t number, bool may_encrypt,
                                    covey__component *out, covey_error *error) {
    char path[COVEY__FIELD_PATH_SIZE], field[COVEY__FIELD_PATH_SIZE], shown[64];
    covey__field_path(path, "components[%zu]", number);
    if (node->kind != COVEY__JSON_OBJECT)
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s: an object expected", path);
    covey_status status = parse_role(node, path, out, error);
    if (status != COVEY_OK) return status;
    covey__field_path(field, "%s.file", path);
    status = covey__json_string(node, "file", field, &out->file, error);
    if (status != COVEY_OK) return status;
    if (!covey__component_name_valid(out->file))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "%s: \"%s\" is not allowed: \"name\" or \"folder/name\" of letters, "
                           "digits, '.', '_', '-' expected",
                           field,
                           covey__printable(out->file, strlen(out->file), shown, sizeof shown));
    covey__field_path(field, "%s.size", path);
    status = covey__field_size(node, "size", field, &out->size, error);
    if (status != COVEY_OK) return status;
    covey__field_path(field, "%s.sha256", path);
    status = covey__field_digest(node, "sha256", field, out->sha256, error);
    if (status != COVEY_OK) return status;
    status = parse_base(node, path, out, error);
    if (status == COVEY_OK) status = parse_use(node, path, out, error);
    return status == COVEY_OK ? parse_encryption(node, path, may_encrypt, out, error) : status;
}

static covey_status parse_components(covey__manifest *manifest, const covey__json *root,
                                     bool may_encrypt, covey_error *error) {
    const covey__json *list;
    covey_status status = covey__field_list(root, "components", "components",
                                            COVEY__COMPONENT_COUNT_MAX, &list, error);
    if (status != COVEY_OK) return status;
    manifest->components =
        covey__arena_calloc(&manifest->arena, list->size, sizeof *manifest->components);
    if (manifest->components == NULL)
        return covey__no_memory(error, "components", list->size * sizeof *manifest->components);
    for (const covey__json *node = list->child; node != NULL; node = node->next) {
        size_t number = manifest->component_count;
        status = parse_component(node, number, may_encrypt, &manifest->components[number], error);
        if (status != COVEY_OK) return status;
        manifest->component_count++;
    }
    return COVEY_OK;
}

static covey_status parse_os(covey__manifest *manifest, const covey__json *needs,
                             covey_error *error) {
    const covey__json *list;
    if (covey__json_get(needs, "os") == NULL) return COVEY_OK;
    covey_status status =
        covey__json_member(needs, "os", "needs.os", COVEY__JSON_OBJECT, &list, error);
    if (status != COVEY_OK) return status;
    if (list->size == 0 || list->size > 16)
        return covey__fail(error, COVEY_ERROR_FORMAT, "needs.os: 1 to 16 systems expected");
    manifest->os = covey__arena_calloc(&manifest->arena, list->size, sizeof *manifest->os);
    if (manifest->os == NULL) return covey__no_memory(error, "needs.os", list->size);
    for (const covey__json *node = list->child; node != NULL; node = node->next) {
        char path[COVEY__FIELD_PATH_SIZE];
        if (node->name_size != strlen(node->name) || !covey__ensemble_name_valid(node->name))
            return covey__fail(error, COVEY_ERROR_FORMAT, "needs.os: a system's name is not valid");
        covey__field_path(path, "needs.os.%s", node->name);
        covey__os_range *range = &manifest->os[manifest->os_count++];
        range->os = node->name;
        status = covey__field_range(list, node->name, path, &range->range, error);
        if (status != COVEY_OK) return status;
    }
    return COVEY_OK;
}

static covey_status parse_needs(covey__manifest *manifest, const covey__json *root,
                                covey_error *error) {
    const covey__json *needs;
    int64_t engine, arithmetic;
    covey_status status =
        covey__json_member(root, "needs", "needs", COVEY__JSON_OBJECT, &needs, error);
    if (status == COVEY_OK)
        status = covey__field_size(needs, "memory_bytes", "needs.memory_bytes",
                                   &manifest->memory_bytes, error);
    if (status == COVEY_OK)
        status = covey__json_i64(needs, "engine_interface", "needs.engine_interface", 1, INT32_MAX,
                                 &engine, error);
    if (status == COVEY_OK)
        status = covey__json_i64(needs, "arithmetic_version", "needs.arithmetic_version", 1,
                                 INT32_MAX, &arithmetic, error);
    if (status == COVEY_OK)
        status = covey__field_range(needs, "app", "needs.app", &manifest->app, error);
    if (status != COVEY_OK) return status;
    manifest->engine_interface = (int32_t)engine;
    manifest->arithmetic_version = (int32_t)arithmetic;
    return parse_os(manifest, needs, error);
}

/* The same file, or one is a folder of the other's path, on a file system that folds case. */
static bool names_clash(const char *a, const char *b) {
    size_t na = strlen(a), nb = strlen(b);
    size_t n = na < nb ? na : nb;
    if (strncasecmp(a, b, n) != 0) return false;
    return na == nb || (na > nb ? a[n] : b[n]) == '/';
}

static covey_status check_distinct(const covey__manifest *manifest, size_t number,
                                   covey_error *error) {
    const covey__component *one = &manifest->components[number];
    if (names_clash(one->file, COVEY__MANIFEST_FILE))
        return covey__fail(error, COVEY_ERROR_FORMAT, "components[%zu].file: %s is the manifest",
                           number, one->file);
    for (size_t i = 0; i < number; i++) {
        const covey__component *other = &manifest->components[i];
        if (names_clash(one->file, other->file))
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "components[%zu].file: %s is the place of components[%zu] too",
                               number, one->file, i);
        if (strcmp(one->role, other->role) == 0 && role_single(one->role))
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "components[%zu].role: a second \"%s\" (%s and %s); one is allowed",
                               number, one->role, other->file, one->file);
    }
    return COVEY_OK;
}

static covey_status check_itself(const covey__manifest *manifest, covey_error *error) {
    size_t adapters = 0;
    const covey__component *model = covey__manifest_find(manifest, "model");
    if (model == NULL)
        return covey__fail(error, COVEY_ERROR_FORMAT, "components: none has the role \"model\"");
    for (size_t i = 0; i < manifest->component_count; i++) {
        covey_status status = check_distinct(manifest, i, error);
        if (status != COVEY_OK) return status;
        const covey__component *one = &manifest->components[i];
        adapters += strcmp(one->role, "adapter") == 0;
        if (adapters > COVEY__ADAPTER_COUNT_MAX)
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "components[%zu]: one adapter more than %d, which is the most", i,
                               COVEY__ADAPTER_COUNT_MAX);
        if (one->has_base && memcmp(one->base_sha256, model->sha256, 32) != 0)
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "components[%zu].base_sha256: adapter %s was trained on another "
                               "model than %s",
                               i, one->file, model->file);
    }
    return COVEY_OK;
}

static covey_status parse_root(covey__manifest *manifest, const char *text, size_t size,
                               covey_error *error) {
    const covey__json *root;
    bool may_encrypt = false;
    covey__json_limits limits = {COVEY__MANIFEST_BYTES_MAX, 16, 1u << 16};
    covey_status status = covey__json_parse(&manifest->arena, text, size, limits, &root, error);
    if (status == COVEY_OK)
        status = covey__field_format_with(root, COVEY__MANIFEST_FORMAT, COVEY__FEATURE_ENCRYPTION,
                                          &may_encrypt, error);
    if (status == COVEY_OK)
        status = covey__field_name(root, "name", "name", &manifest->name, error);
    if (status == COVEY_OK)
        status = covey__field_version(root, "version", "version", &manifest->version, error);
    if (status == COVEY_OK)
        status = covey__field_name(root, "variant", "variant", &manifest->variant, error);
    if (status == COVEY_OK) status = parse_components(manifest, root, may_encrypt, error);
    if (status == COVEY_OK) status = parse_needs(manifest, root, error);
    if (status == COVEY_OK) status = check_itself(manifest, error);
    return status;
}

covey_status covey__manifest_parse(const covey__env *env, const char *text, size_t size,
                                   covey__manifest **manifest, covey_error *error) {
    *manifest = NULL;
    covey__manifest *made = covey__calloc(env, 1, sizeof *made);
    if (made == NULL) return covey__no_memory(error, "bundle: manifest", sizeof *made);
    covey__arena_init(&made->arena, env, ARENA_BYTES_MAX);
    covey_status status = parse_root(made, text, size, error);
    if (status != COVEY_OK) {
        covey__manifest_free(made);
        return covey__prefix(error, status, "bundle: manifest");
    }
    covey__sha256_of(text, size, made->digest);
    covey__hex(made->digest, 32, made->digest_hex);
    *manifest = made;
    return COVEY_OK;
}

covey_status covey__manifest_read(const covey__env *env, const char *folder,
                                  covey__manifest **manifest, covey_error *error) {
    covey__buffer text;
    *manifest = NULL;
    covey__buffer_init(&text, env, COVEY__MANIFEST_BYTES_MAX);
    char *path = covey__path_join(env, folder, COVEY__MANIFEST_FILE);
    if (path == NULL) return covey__no_memory(error, "bundle: path", strlen(folder));
    covey_status status = covey__file_read(env, path, &text, error);
    if (status != COVEY_OK) {
        covey__prefix(error, status, "bundle: manifest");
    } else {
        status = covey__manifest_parse(env, text.data, text.size, manifest, error);
        if (status != COVEY_OK) covey__prefix(error, status, "%s", path);
    }
    covey__free(env, path);
    covey__buffer_free(&text);
    return status;
}

void covey__manifest_free(covey__manifest *manifest) {
    if (manifest == NULL) return;
    const covey__env *env = manifest->arena.env;
    covey__arena_free(&manifest->arena);
    covey__free(env, manifest);
}

const covey__component *covey__manifest_find(const covey__manifest *manifest, const char *role) {
    for (size_t i = 0; i < manifest->component_count; i++)
        if (strcmp(manifest->components[i].role, role) == 0) return &manifest->components[i];
    return NULL;
}
