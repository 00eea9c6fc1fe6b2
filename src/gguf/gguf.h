/* GGUF, versions 2 and 3, little-endian: a bounded reader over mapped or borrowed memory and a
 * writer. Format: github.com/ggml-org/ggml docs/gguf.md. Nothing of the file is trusted: counts,
 * lengths, offsets, alignment, types and UTF-8 of keys are checked before use, and an error names
 * the field. */
#ifndef COVEY_GGUF_H
#define COVEY_GGUF_H

#include "base/file.h"

/* Tensor types with the numbers that GGUF gives them. */
typedef enum covey__type {
    COVEY__TYPE_F32 = 0,
    COVEY__TYPE_F16 = 1,
    COVEY__TYPE_Q4_0 = 2,
    COVEY__TYPE_Q4_1 = 3,
    COVEY__TYPE_Q5_0 = 6,
    COVEY__TYPE_Q5_1 = 7,
    COVEY__TYPE_Q8_0 = 8,
    COVEY__TYPE_Q2_K = 10,
    COVEY__TYPE_Q3_K = 11,
    COVEY__TYPE_Q4_K = 12,
    COVEY__TYPE_Q5_K = 13,
    COVEY__TYPE_Q6_K = 14,
    COVEY__TYPE_IQ4_NL = 20,
    COVEY__TYPE_IQ4_XS = 23,
    COVEY__TYPE_BF16 = 30
} covey__type;

typedef struct covey__type_info {
    const char *name;      /* "Q8_0" */
    uint32_t block_values; /* weights a block */
    uint32_t block_bytes;
} covey__type_info;
/* NULL for a number that this library does not know the layout of. */
const covey__type_info *covey__type_get(uint32_t type);

typedef enum covey__gguf_kind { /* value types, GGUF's numbers */
                                COVEY__GGUF_U8,
                                COVEY__GGUF_I8,
                                COVEY__GGUF_U16,
                                COVEY__GGUF_I16,
                                COVEY__GGUF_U32,
                                COVEY__GGUF_I32,
                                COVEY__GGUF_F32,
                                COVEY__GGUF_BOOL,
                                COVEY__GGUF_STRING,
                                COVEY__GGUF_ARRAY,
                                COVEY__GGUF_U64,
                                COVEY__GGUF_I64,
                                COVEY__GGUF_F64
} covey__gguf_kind;

typedef struct covey__gguf_text {
    const char *data;
    size_t size;
} covey__gguf_text; /* not NUL-terminated */

typedef struct covey__gguf_tensor {
    covey__gguf_text name;
    covey__type type;
    uint32_t dimension_count; /* 1 to 4 */
    uint64_t dimensions[4];   /* [0] is the fastest; unused ones are 1 */
    uint64_t element_count;
    uint64_t bytes;
    uint64_t file_offset; /* from the GGUF's start */
    const uint8_t *data;
} covey__gguf_tensor;

typedef struct covey__gguf covey__gguf;

/* `path` and `descriptor` map; `memory` is borrowed. What was opened stays mapped until close. */
covey_status
covey__gguf_open(const covey__env *env, const covey__map *take_map, covey__gguf **gguf,
                 covey_error *error) COVEY_MUST_USE; /* takes the map, also on failure */
covey_status covey__gguf_open_path(const covey__env *env, const char *path, covey__gguf **gguf,
                                   covey_error *error) COVEY_MUST_USE;
void covey__gguf_close(covey__gguf *gguf);

/* MISMATCH when the file became shorter than what was opened. Cheap: one system call. */
covey_status covey__gguf_check_file(const covey__gguf *gguf, covey_error *error) COVEY_MUST_USE;

size_t covey__gguf_tensor_count(const covey__gguf *gguf);
const covey__gguf_tensor *covey__gguf_tensor_at(const covey__gguf *gguf, size_t index);
const covey__gguf_tensor *covey__gguf_tensor_find(const covey__gguf *gguf,
                                                  const char *name); /* NULL if absent */
uint64_t covey__gguf_data_offset(const covey__gguf *gguf);           /* where tensor data begins */
uint64_t covey__gguf_size(const covey__gguf *gguf);                  /* of the whole file, bytes */
const uint8_t *covey__gguf_bytes(const covey__gguf *gguf);

/* Metadata. The typed getters: NOT_FOUND when absent, FORMAT when of another kind or out of range;
 * integers of any width are accepted. */
bool covey__gguf_has(const covey__gguf *gguf, const char *key);
covey_status covey__gguf_u64(const covey__gguf *gguf, const char *key, uint64_t min, uint64_t max,
                             uint64_t *out, covey_error *error) COVEY_MUST_USE;
covey_status covey__gguf_f32(const covey__gguf *gguf, const char *key, float *out,
                             covey_error *error) COVEY_MUST_USE;
covey_status covey__gguf_bool(const covey__gguf *gguf, const char *key, bool *out,
                              covey_error *error) COVEY_MUST_USE;
covey_status covey__gguf_string(const covey__gguf *gguf, const char *key, covey__gguf_text *out,
                                covey_error *error) COVEY_MUST_USE;
/* Whether the key is there and is this string. */
bool covey__gguf_string_is(const covey__gguf *gguf, const char *key, const char *text);
/* An array's element kind and count; FORMAT when the key is not an array. */
covey_status covey__gguf_array(const covey__gguf *gguf, const char *key, covey__gguf_kind *kind,
                               size_t *count, covey_error *error) COVEY_MUST_USE;
/* Elements of an array. Strings are found in constant time. Out of range is our mistake: asserted.
 */
covey__gguf_text covey__gguf_array_string(const covey__gguf *gguf, const char *key, size_t index);
/* Copies a numeric array, converting to the asked type; FORMAT when a value does not fit. */
covey_status covey__gguf_array_i32(const covey__gguf *gguf, const char *key, int32_t *out,
                                   size_t count, covey_error *error) COVEY_MUST_USE;
covey_status covey__gguf_array_f32(const covey__gguf *gguf, const char *key, float *out,
                                   size_t count, covey_error *error) COVEY_MUST_USE;
/* Walk over all metadata in file order: key, kind, and the value's raw bytes in the file. */
typedef struct covey__gguf_value {
    covey__gguf_text key;
    covey__gguf_kind kind;
    covey__gguf_kind element_kind; /* of an array */
    uint64_t count;                /* of an array, else 1 */
    const uint8_t *data; /* the encoded value after its type (for an array: its elements) */
    size_t data_size;
} covey__gguf_value;
size_t covey__gguf_value_count(const covey__gguf *gguf);
covey__gguf_value covey__gguf_value_at(const covey__gguf *gguf, size_t index);

/* The writer: set metadata, add tensors (name, type, dimensions), then write header and data in
 * order. Bounded memory: tensor bytes are handed over one tensor at a time. Writes beside `path`
 * and replaces it atomically at finish. */
typedef struct covey__gguf_writer covey__gguf_writer;
covey_status covey__gguf_writer_new(const covey__env *env, const char *path,
                                    covey__gguf_writer **writer, covey_error *error) COVEY_MUST_USE;
void covey__gguf_writer_free(
    covey__gguf_writer *writer); /* without finish, nothing is left behind */
covey_status covey__gguf_put_u32(covey__gguf_writer *writer, const char *key, uint32_t value);
covey_status covey__gguf_put_u64(covey__gguf_writer *writer, const char *key, uint64_t value);
covey_status covey__gguf_put_f32(covey__gguf_writer *writer, const char *key, float value);
covey_status covey__gguf_put_bool(covey__gguf_writer *writer, const char *key, bool value);
covey_status covey__gguf_put_string(covey__gguf_writer *writer, const char *key, const char *text,
                                    size_t size);
covey_status covey__gguf_put_strings(covey__gguf_writer *writer, const char *key,
                                     const covey__gguf_text *texts, size_t count);
covey_status covey__gguf_put_i32s(covey__gguf_writer *writer, const char *key,
                                  const int32_t *values, size_t count);
covey_status covey__gguf_put_f32s(covey__gguf_writer *writer, const char *key, const float *values,
                                  size_t count);
/* Copies a value of another file as it stands. */
covey_status covey__gguf_put_value(covey__gguf_writer *writer, const covey__gguf_value *value);
covey_status covey__gguf_add_tensor(covey__gguf_writer *writer, const char *name, covey__type type,
                                    uint32_t dimension_count, const uint64_t *dimensions,
                                    covey_error *error);
/* After the last add_tensor; puts above are sticky and fail here. */
covey_status covey__gguf_write_header(covey__gguf_writer *writer,
                                      covey_error *error) COVEY_MUST_USE;
/* The next tensor's bytes, in the order added; may be called several times a tensor. */
covey_status covey__gguf_write_data(covey__gguf_writer *writer, const void *data, size_t size,
                                    covey_error *error) COVEY_MUST_USE;
covey_status covey__gguf_finish(covey__gguf_writer *writer, covey_error *error) COVEY_MUST_USE;

#endif
