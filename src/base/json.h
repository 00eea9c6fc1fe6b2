/* JSON by RFC 8259: a bounded parser into an arena, numbers kept as written, and a writer. Object
 * members keep their order; a duplicate name is an error. Strings are checked UTF-8; lone
 * surrogates in \u escapes are errors. */
#ifndef COVEY_BASE_JSON_H
#define COVEY_BASE_JSON_H

#include "base/arena.h"
#include "base/buffer.h"

typedef enum covey__json_kind {
    COVEY__JSON_NULL,
    COVEY__JSON_BOOL,
    COVEY__JSON_NUMBER,
    COVEY__JSON_STRING,
    COVEY__JSON_ARRAY,
    COVEY__JSON_OBJECT
} covey__json_kind;

typedef struct covey__json covey__json;
struct covey__json {
    covey__json_kind kind;
    bool boolean;
    const char *text; /* string: decoded, may hold NULs, text[size] is NUL. number: as written,
                         NUL-terminated */
    size_t size;      /* bytes of text; elements of an array; members of an object */
    const char *name; /* when a member of an object: its decoded name, NUL-terminated */
    size_t name_size;
    const covey__json *child; /* first element or member */
    const covey__json *next;  /* next element or member of the same parent */
    size_t offset;            /* in the input, for messages */
};

typedef struct covey__json_limits {
    size_t bytes_max;
    size_t depth_max;
    size_t node_count_max;
} covey__json_limits;
#define COVEY__JSON_LIMITS_DEFAULT ((covey__json_limits){16u << 20, 64, 1u << 20})

/* The whole input must be one value. The tree lives in the arena and borrows nothing from `text`.
 * Errors name line and column. */
covey_status covey__json_parse(covey__arena *arena, const char *text, size_t size,
                               covey__json_limits limits, const covey__json **root,
                               covey_error *error) COVEY_MUST_USE;

/* Look-ups. `get` gives NULL when absent or when `object` is not an object. */
const covey__json *covey__json_get(const covey__json *object, const char *name);

/* Typed members with an error that names the field, such as "components[2].size". `path` is that of
 * the object, "" for the document, or the member's own. */
covey_status covey__json_string(const covey__json *object, const char *name, const char *path,
                                const char **out,
                                covey_error *error) COVEY_MUST_USE; /* no NUL inside */
covey_status covey__json_i64(const covey__json *object, const char *name, const char *path,
                             int64_t min, int64_t max, int64_t *out,
                             covey_error *error) COVEY_MUST_USE;
covey_status covey__json_f64(const covey__json *object, const char *name, const char *path,
                             double *out, covey_error *error) COVEY_MUST_USE;
covey_status covey__json_bool(const covey__json *object, const char *name, const char *path,
                              bool *out, covey_error *error) COVEY_MUST_USE;
covey_status covey__json_member(const covey__json *object, const char *name, const char *path,
                                covey__json_kind kind, const covey__json **out,
                                covey_error *error) COVEY_MUST_USE;
/* The value of a number node as an integer; false when it is not one or does not fit. */
bool covey__json_to_i64(const covey__json *number, int64_t *out);
double covey__json_to_f64(const covey__json *number);
/* An error when the object has a member that is not in the NULL-ended list. */
covey_status covey__json_only(const covey__json *object, const char *path, const char *const *names,
                              covey_error *error) COVEY_MUST_USE;

/* The writer appends to a buffer (whose sticky status is checked once at the end) and puts commas
 * itself. */
typedef struct covey__json_writer {
    covey__buffer *out;
    int32_t depth;
    uint64_t has_element; /* a bit a level */
    bool after_name;
    bool pretty; /* two-space indent */
} covey__json_writer;
void covey__json_writer_init(covey__json_writer *writer, covey__buffer *out, bool pretty);
void covey__json_begin_object(covey__json_writer *writer);
void covey__json_end_object(covey__json_writer *writer);
void covey__json_begin_array(covey__json_writer *writer);
void covey__json_end_array(covey__json_writer *writer);
void covey__json_name(covey__json_writer *writer, const char *name);
void covey__json_put_string(covey__json_writer *writer, const char *text); /* NULL becomes null */
void covey__json_put_text(covey__json_writer *writer, const char *text,
                          size_t size); /* invalid UTF-8 becomes U+FFFD */
void covey__json_put_i64(covey__json_writer *writer, int64_t value);
void covey__json_put_u64(covey__json_writer *writer, uint64_t value);
void covey__json_put_f64(covey__json_writer *writer,
                         double value); /* shortest that reads back; NaN and infinity: null */
void covey__json_put_bool(covey__json_writer *writer, bool value);
void covey__json_put_null(covey__json_writer *writer);
void covey__json_put_raw(covey__json_writer *writer, const char *json, size_t size);
void covey__json_put_node(covey__json_writer *writer,
                          const covey__json *node); /* the tree as it was read */
/* name and value in one. */
void covey__json_member_string(covey__json_writer *writer, const char *name, const char *text);
void covey__json_member_i64(covey__json_writer *writer, const char *name, int64_t value);
void covey__json_member_u64(covey__json_writer *writer, const char *name, uint64_t value);
void covey__json_member_f64(covey__json_writer *writer, const char *name, double value);
void covey__json_member_bool(covey__json_writer *writer, const char *name, bool value);

#endif
