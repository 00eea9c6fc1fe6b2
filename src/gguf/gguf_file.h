/* What the GGUF reader's files share: the opened file, and the walk over its bytes. */
#ifndef COVEY_GGUF_FILE_H
#define COVEY_GGUF_FILE_H

#include "base/error.h"
#include "gguf/gguf.h"

#define COVEY__GGUF_KEY_BYTES_MAX   65535 /* the format's own bound */
#define COVEY__GGUF_NAME_BYTES_MAX  255
#define COVEY__GGUF_VALUES_MAX      65536
#define COVEY__GGUF_TENSORS_MAX     1048576
#define COVEY__GGUF_ARRAY_DEPTH_MAX 4
#define COVEY__GGUF_ALIGNMENT       32 /* where general.alignment does not say */
#define COVEY__GGUF_ALIGNMENT_MAX   1048576

/* A metadata value and, for an array of strings, where each string's length stands. */
typedef struct covey__gguf_entry {
    covey__gguf_value value;
    uint32_t *string_offsets; /* from value.data; NULL for other kinds */
} covey__gguf_entry;

struct covey__gguf {
    const covey__env *env;
    covey__map map;
    uint32_t version;
    uint64_t alignment;
    uint64_t data_offset;
    size_t value_count, tensor_count;
    covey__gguf_entry *values;   /* in file order */
    covey__gguf_tensor *tensors; /* in file order */
    const void **values_sorted;  /* the same by key; twice the room, for sorting */
    const void **tensors_sorted; /* the same by name */
};

/* A position in the file's bytes; everything is read through it. */
typedef struct covey__gguf_cursor {
    const uint8_t *data;
    uint64_t size, at;
} covey__gguf_cursor;

static inline uint32_t covey__gguf_load_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t covey__gguf_load_u64(const uint8_t *p) {
    return (uint64_t)covey__gguf_load_u32(p) | (uint64_t)covey__gguf_load_u32(p + 4) << 32;
}

/* False when the bytes are not there; the cursor does not move then. */
static inline bool covey__gguf_skip(covey__gguf_cursor *cursor, uint64_t size) {
    if (size > cursor->size - cursor->at) return false;
    cursor->at += size;
    return true;
}
static inline bool covey__gguf_read_u32(covey__gguf_cursor *cursor, uint32_t *out) {
    if (!covey__gguf_skip(cursor, 4)) return false;
    *out = covey__gguf_load_u32(cursor->data + cursor->at - 4);
    return true;
}
static inline bool covey__gguf_read_u64(covey__gguf_cursor *cursor, uint64_t *out) {
    if (!covey__gguf_skip(cursor, 8)) return false;
    *out = covey__gguf_load_u64(cursor->data + cursor->at - 8);
    return true;
}
bool covey__gguf_read_text(covey__gguf_cursor *cursor, covey__gguf_text *out);

/* Bytes of a value of this kind, 0 for strings, arrays and unknown kinds. */
size_t covey__gguf_kind_size(covey__gguf_kind kind);
const char *covey__gguf_kind_name(covey__gguf_kind kind);
int covey__gguf_compare_texts(covey__gguf_text a, covey__gguf_text b);
const covey__gguf_entry *covey__gguf_find(const covey__gguf *gguf, const char *key);

/* The walk: metadata, then tensors, from the cursor (gguf_metadata.c, gguf_tensors.c). */
covey_status covey__gguf_read_metadata(covey__gguf *gguf, covey__gguf_cursor *cursor,
                                       uint64_t count, covey_error *error) COVEY_MUST_USE;
covey_status covey__gguf_read_tensors(covey__gguf *gguf, covey__gguf_cursor *cursor, uint64_t count,
                                      covey_error *error) COVEY_MUST_USE;

#endif
