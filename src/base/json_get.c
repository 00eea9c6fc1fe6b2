/* Reading a parsed JSON tree: look-ups and typed members whose errors name the field by its path.
 * Numbers are converted from the text as written, the same in every locale. Neighbour:
 * json_parse.c. */
#include "base/c_locale.h"
#include "base/error.h"
#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *kind_name(covey__json_kind kind) {
    static const char *const names[] = {"null",     "true or false", "a number",
                                        "a string", "an array",      "an object"};
    return names[kind];
}

const covey__json *covey__json_get(const covey__json *object, const char *name) {
    if (object == NULL || object->kind != COVEY__JSON_OBJECT) return NULL;
    size_t size = strlen(name);
    for (const covey__json *member = object->child; member != NULL; member = member->next)
        if (member->name_size == size && memcmp(member->name, name, size) == 0) return member;
    return NULL;
}

/* Whether `path` is the member's own already: "needs" or "variants[1].needs" for "needs". */
static bool ends_with(const char *path, const char *name) {
    size_t size = strlen(path), name_size = strlen(name);
    if (size < name_size || strcmp(path + size - name_size, name) != 0) return false;
    return size == name_size || path[size - name_size - 1] == '.';
}

/* "path.name", or the name alone at the root. */
static covey_status fail_field(covey_error *error, const char *path, const char *name,
                               const char *expected, const char *found) {
    bool nested = path != NULL && path[0] != '\0';
    if (nested && ends_with(path, name)) name = "";
    return covey__fail(error, COVEY_ERROR_FORMAT, "%s%s%s: expected %s, found %s",
                       nested ? path : "", nested && *name ? "." : "", name, expected, found);
}

covey_status covey__json_member(const covey__json *object, const char *name, const char *path,
                                covey__json_kind kind, const covey__json **out,
                                covey_error *error) {
    if (object == NULL || object->kind != COVEY__JSON_OBJECT)
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s: expected an object, found %s",
                           path != NULL && path[0] != '\0' ? path : "the document",
                           object == NULL ? "nothing" : kind_name(object->kind));
    const covey__json *member = covey__json_get(object, name);
    if (member == NULL) return fail_field(error, path, name, kind_name(kind), "nothing");
    if (member->kind != kind)
        return fail_field(error, path, name, kind_name(kind), kind_name(member->kind));
    *out = member;
    return COVEY_OK;
}

covey_status covey__json_string(const covey__json *object, const char *name, const char *path,
                                const char **out, covey_error *error) {
    const covey__json *member = NULL;
    covey_status status =
        covey__json_member(object, name, path, COVEY__JSON_STRING, &member, error);
    if (status != COVEY_OK) return status;
    if (memchr(member->text, '\0', member->size) != NULL)
        return fail_field(error, path, name, "a string without \\u0000", "one with it");
    *out = member->text;
    return COVEY_OK;
}

bool covey__json_to_i64(const covey__json *number, int64_t *out) {
    if (number == NULL || number->kind != COVEY__JSON_NUMBER) return false;
    const char *digit = number->text;
    bool negative = *digit == '-';
    if (negative) digit++;
    int64_t value = 0; /* built downwards: the lowest number has no positive twin */
    for (; *digit != '\0'; digit++) {
        if (*digit < '0' || *digit > '9') return false;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, *digit - '0', &value))
            return false;
    }
    if (!negative && value == INT64_MIN) return false;
    *out = negative ? value : -value;
    return true;
}

covey_status covey__json_i64(const covey__json *object, const char *name, const char *path,
                             int64_t min, int64_t max, int64_t *out, covey_error *error) {
    const covey__json *member = NULL;
    covey_status status =
        covey__json_member(object, name, path, COVEY__JSON_NUMBER, &member, error);
    if (status != COVEY_OK) return status;
    int64_t value;
    if (covey__json_to_i64(member, &value) && value >= min && value <= max) {
        *out = value;
        return COVEY_OK;
    }
    char expected[96], found[48];
    snprintf(expected, sizeof expected, "an integer from %" PRId64 " to %" PRId64, min, max);
    covey__printable(member->text, member->size, found, sizeof found);
    return fail_field(error, path, name, expected, found);
}

double covey__json_to_f64(const covey__json *number) {
    if (number == NULL || number->kind != COVEY__JSON_NUMBER) return NAN;
    return covey__c_strtod(number->text);
}

covey_status covey__json_f64(const covey__json *object, const char *name, const char *path,
                             double *out, covey_error *error) {
    const covey__json *member = NULL;
    covey_status status =
        covey__json_member(object, name, path, COVEY__JSON_NUMBER, &member, error);
    if (status != COVEY_OK) return status;
    double value = covey__json_to_f64(member);
    if (!isfinite(value)) {
        char found[48];
        covey__printable(member->text, member->size, found, sizeof found);
        return fail_field(error, path, name, "a number within double's range", found);
    }
    *out = value;
    return COVEY_OK;
}

covey_status covey__json_bool(const covey__json *object, const char *name, const char *path,
                              bool *out, covey_error *error) {
    const covey__json *member = NULL;
    covey_status status = covey__json_member(object, name, path, COVEY__JSON_BOOL, &member, error);
    if (status == COVEY_OK) *out = member->boolean;
    return status;
}

covey_status covey__json_only(const covey__json *object, const char *path, const char *const *names,
                              covey_error *error) {
    if (object == NULL || object->kind != COVEY__JSON_OBJECT) return COVEY_OK;
    for (const covey__json *member = object->child; member != NULL; member = member->next) {
        const char *const *name = names;
        while (*name != NULL && (strlen(*name) != member->name_size ||
                                 memcmp(*name, member->name, member->name_size) != 0))
            name++;
        if (*name != NULL) continue;
        char shown[80];
        bool nested = path != NULL && path[0] != '\0';
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s%s%s: this field is not known here",
                           nested ? path : "", nested ? "." : "",
                           covey__printable(member->name, member->name_size, shown, sizeof shown));
    }
    return COVEY_OK;
}
