/* Checked members of this layer's documents: every error names the field by its path and says what
 * was expected. The rules for growth (docs/formats/ensemble.md, "Growth") are kept in one place,
 * covey__field_format. */
#include "bundle/fields.h"

#include "base/error.h"
#include "base/semver.h"
#include "base/sha256.h"
#include "bundle/manifest.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void covey__field_path(char out[COVEY__FIELD_PATH_SIZE], const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(out, COVEY__FIELD_PATH_SIZE, format, list);
    va_end(list);
}

covey_status covey__field_digest(const covey__json *object, const char *name, const char *path,
                                 uint8_t out[32], covey_error *error) {
    const char *text;
    covey_status status = covey__json_string(object, name, path, &text, error);
    if (status != COVEY_OK) return status;
    size_t size = strlen(text);
    if (strspn(text, "0123456789abcdef") != size || !covey__unhex(text, size, out, 32))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "%s: a SHA-256 in 64 lower-case hex digits expected", path);
    return COVEY_OK;
}

covey_status covey__field_size(const covey__json *object, const char *name, const char *path,
                               uint64_t *out, covey_error *error) {
    int64_t value;
    covey_status status =
        covey__json_i64(object, name, path, 0, COVEY__JSON_INTEGER_MAX, &value, error);
    if (status == COVEY_OK) *out = (uint64_t)value;
    return status;
}

covey_status covey__field_list(const covey__json *object, const char *name, const char *path,
                               size_t count_max, const covey__json **out, covey_error *error) {
    covey_status status = covey__json_member(object, name, path, COVEY__JSON_ARRAY, out, error);
    if (status != COVEY_OK) return status;
    if ((*out)->size == 0 || (*out)->size > count_max)
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s: 1 to %zu elements expected, %zu found",
                           path, count_max, (*out)->size);
    return COVEY_OK;
}

/* `known` may be NULL. */
static covey_status check_requires(const covey__json *list, const char *known, bool *required,
                                   covey_error *error) {
    char shown[64];
    if (list->kind != COVEY__JSON_ARRAY)
        return covey__fail(error, COVEY_ERROR_FORMAT, "requires: a list of names expected");
    for (const covey__json *each = list->child; each != NULL; each = each->next) {
        if (each->kind != COVEY__JSON_STRING)
            return covey__fail(error, COVEY_ERROR_FORMAT, "requires: a list of names expected");
        if (known == NULL || strcmp(each->text, known) != 0)
            return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                               "requires: \"%s\" is not known to this library (%s); update the app",
                               covey__printable(each->text, each->size, shown, sizeof shown),
                               COVEY_VERSION);
        *required = true;
    }
    return COVEY_OK;
}

covey_status covey__field_format_with(const covey__json *root, int64_t format, const char *known,
                                      bool *required, covey_error *error) {
    int64_t found;
    *required = false;
    if (root->kind != COVEY__JSON_OBJECT)
        return covey__fail(error, COVEY_ERROR_FORMAT, "an object expected");
    covey_status status =
        covey__json_i64(root, "format", "format", 1, COVEY__JSON_INTEGER_MAX, &found, error);
    if (status != COVEY_OK) return status;
    if (found != format)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "format: %" PRId64 " is newer than this library (%s), which reads "
                           "%" PRId64 "; update the app",
                           found, COVEY_VERSION, format);
    const covey__json *list = covey__json_get(root, "requires");
    return list == NULL ? COVEY_OK : check_requires(list, known, required, error);
}

covey_status covey__field_format(const covey__json *root, int64_t format, covey_error *error) {
    bool required;
    return covey__field_format_with(root, format, NULL, &required, error);
}

covey_status covey__field_range(const covey__json *object, const char *name, const char *path,
                                const char **out, covey_error *error) {
    char shown[64];
    *out = "*";
    if (covey__json_get(object, name) == NULL) return COVEY_OK;
    covey_status status = covey__json_string(object, name, path, out, error);
    if (status != COVEY_OK) return status;
    if (strlen(*out) > 256 || !covey__semver_range_valid(*out))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "%s: \"%s\" is no range of versions, such as \">=1.2.0 <2.0.0\" or "
                           "\"*\"",
                           path, covey__printable(*out, strlen(*out), shown, sizeof shown));
    return COVEY_OK;
}

covey_status covey__field_version(const covey__json *object, const char *name, const char *path,
                                  const char **out, covey_error *error) {
    char shown[64];
    covey_status status = covey__json_string(object, name, path, out, error);
    if (status != COVEY_OK) return status;
    if (strlen(*out) > 64 || !covey__semver_valid(*out))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "%s: \"%s\" is no semantic version, such as \"1.2.0\"", path,
                           covey__printable(*out, strlen(*out), shown, sizeof shown));
    return COVEY_OK;
}

covey_status covey__field_name(const covey__json *object, const char *name, const char *path,
                               const char **out, covey_error *error) {
    char shown[64];
    covey_status status = covey__json_string(object, name, path, out, error);
    if (status != COVEY_OK) return status;
    if (!covey__ensemble_name_valid(*out))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "%s: \"%s\" is no name: 1 to 64 letters, digits, '.', '_', '-', the "
                           "first a letter or digit",
                           path, covey__printable(*out, strlen(*out), shown, sizeof shown));
    return COVEY_OK;
}
