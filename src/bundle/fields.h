/* What the documents of this layer share: digests, sizes and the members that let formats grow. */
#ifndef COVEY_BUNDLE_FIELDS_H
#define COVEY_BUNDLE_FIELDS_H

#include "base/json.h"

/* Largest integer that every JSON reader keeps exactly. */
#define COVEY__JSON_INTEGER_MAX ((INT64_C(1) << 53) - 1)

/* Where a field stands, for messages: "components[2].size". What does not fit is cut. */
#define COVEY__FIELD_PATH_SIZE 128
void covey__field_path(char out[COVEY__FIELD_PATH_SIZE], const char *format, ...)
    COVEY_PRINTF(2, 3);

/* A member of 64 lower-case hex digits. */
covey_status covey__field_digest(const covey__json *object, const char *name, const char *path,
                                 uint8_t out[32], covey_error *error) COVEY_MUST_USE;
/* A member that is an integer from 0 to 2^53 - 1. */
covey_status covey__field_size(const covey__json *object, const char *name, const char *path,
                               uint64_t *out, covey_error *error) COVEY_MUST_USE;
/* A non-empty member of type array with at most `count_max` elements. */
covey_status covey__field_list(const covey__json *object, const char *name, const char *path,
                               size_t count_max, const covey__json **out,
                               covey_error *error) COVEY_MUST_USE;
/* "format" must be `format`, and "requires", where present, must be empty. UNSUPPORTED otherwise.
 */
covey_status covey__field_format(const covey__json *root, int64_t format,
                                 covey_error *error) COVEY_MUST_USE;
/* The same where "requires" may name the feature `known`; says whether it does. */
covey_status covey__field_format_with(const covey__json *root, int64_t format, const char *known,
                                      bool *required, covey_error *error) COVEY_MUST_USE;
/* An optional range of semantic versions; "*" when absent. */
covey_status covey__field_range(const covey__json *object, const char *name, const char *path,
                                const char **out, covey_error *error) COVEY_MUST_USE;
/* A semantic version of at most 64 bytes. */
covey_status covey__field_version(const covey__json *object, const char *name, const char *path,
                                  const char **out, covey_error *error) COVEY_MUST_USE;
/* A name as covey__ensemble_name_valid wants it. */
covey_status covey__field_name(const covey__json *object, const char *name, const char *path,
                               const char **out, covey_error *error) COVEY_MUST_USE;

#endif
