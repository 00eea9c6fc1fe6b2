/* GGUF files made byte by byte, so that tests can make what the writer refuses to. */
#ifndef COVEY_TEST_GGUF_BYTES_H
#define COVEY_TEST_GGUF_BYTES_H

#include <stdint.h>
#include <string.h>

#include "gguf/gguf.h"
#include "support/support.h"

#define BYTES_MAX 8192

typedef struct bytes {
    _Alignas(64) uint8_t data[BYTES_MAX];
    size_t size;
} bytes;

static inline void add_bytes(bytes *b, const void *data, size_t size) {
    memcpy(b->data + b->size, data, size);
    b->size += size;
}
static inline void add_u32(bytes *b, uint32_t value) {
    for (int i = 0; i < 4; i++) b->data[b->size++] = (uint8_t)(value >> 8 * i);
}
static inline void add_u64(bytes *b, uint64_t value) {
    add_u32(b, (uint32_t)value);
    add_u32(b, (uint32_t)(value >> 32));
}
static inline void add_text(bytes *b, const char *text) {
    add_u64(b, strlen(text));
    add_bytes(b, text, strlen(text));
}
static inline void add_header(bytes *b, uint32_t version, uint64_t tensors, uint64_t values) {
    b->size = 0;
    add_bytes(b, "GGUF", 4);
    add_u32(b, version);
    add_u64(b, tensors);
    add_u64(b, values);
}
static inline void add_key(bytes *b, const char *key, uint32_t kind) {
    add_text(b, key);
    add_u32(b, kind);
}
static inline void add_array(bytes *b, const char *key, uint32_t kind, uint64_t count) {
    add_key(b, key, COVEY__GGUF_ARRAY);
    add_u32(b, kind);
    add_u64(b, count);
}
/* A tensor description of up to two dimensions; 0 leaves the second out. */
static inline void add_tensor(bytes *b, const char *name, uint64_t d0, uint64_t d1, uint32_t type,
                              uint64_t offset) {
    add_text(b, name);
    add_u32(b, d1 > 0 ? 2 : 1);
    add_u64(b, d0);
    if (d1 > 0) add_u64(b, d1);
    add_u32(b, type);
    add_u64(b, offset);
}
static inline void add_padding(bytes *b, size_t alignment, size_t then) {
    while (b->size % alignment != 0) b->data[b->size++] = 0;
    memset(b->data + b->size, 0x11, then);
    b->size += then;
}

static inline covey_status open_bytes(const covey__env *env, const bytes *b, covey__gguf **gguf,
                                      covey_error *error) {
    covey__map map = {.data = b->data, .size = b->size};
    return covey__gguf_open(env, &map, gguf, error);
}

/* Opening must fail with this status and a message that holds `part`, and leave nothing. */
static inline void expect(const bytes *b, covey_status status, const char *part) {
    test_env test;
    test_env_init(&test);
    covey__gguf *gguf;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey_status found = open_bytes(&test.env, b, &gguf, &error);
    if (found != status || strstr(error.message, part) == NULL)
        fail_msg("expected %s with \"%s\", found %s: %s", covey_status_name(status), part,
                 covey_status_name(found), error.message);
    assert_int_equal(test.alive, 0);
}

#endif
