/* The growing buffer. Invariants: size <= size_max; capacity > size once data is not NULL, so that
 * the NUL after the content always has its byte; after a failure content and status stay as they
 * are until clear or free. Growth doubles, so appends cost constant time on average. */
#include "base/buffer.h"
#include "base/error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CAPACITY_FIRST 64

void covey__buffer_init(covey__buffer *buffer, const covey__env *env, size_t size_max) {
    memset(buffer, 0, sizeof *buffer);
    buffer->env = env;
    buffer->size_max = size_max < SIZE_MAX ? size_max : SIZE_MAX - 1;
}

void covey__buffer_free(covey__buffer *buffer) {
    if (buffer == NULL || buffer->env == NULL) return;
    covey__free(buffer->env, buffer->data);
    covey__buffer_init(buffer, buffer->env, buffer->size_max);
}

void covey__buffer_clear(covey__buffer *buffer) {
    buffer->size = 0;
    buffer->status = COVEY_OK;
    if (buffer->data != NULL) buffer->data[0] = '\0';
}

char *covey__buffer_reserve(covey__buffer *buffer, size_t size) {
    if (buffer->status != COVEY_OK) return NULL;
    size_t total;
    if (!covey__add_size(buffer->size, size, &total) || total > buffer->size_max) {
        buffer->status = COVEY_ERROR_LIMIT;
        return NULL;
    }
    if (buffer->data != NULL && total < buffer->capacity) return buffer->data + buffer->size;

    size_t capacity = buffer->capacity > 0 ? buffer->capacity : CAPACITY_FIRST;
    while (capacity <= total && capacity <= SIZE_MAX / 2) capacity *= 2;
    if (capacity <= total || capacity > buffer->size_max + 1) capacity = buffer->size_max + 1;
    char *data = covey__resize(buffer->env, buffer->data, capacity);
    if (data == NULL) {
        buffer->status = COVEY_ERROR_NO_MEMORY;
        return NULL;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    data[buffer->size] = '\0';
    return data + buffer->size;
}

covey_status covey__buffer_append(covey__buffer *buffer, const void *data, size_t size) {
    char *room = covey__buffer_reserve(buffer, size);
    if (room == NULL) return buffer->status;
    if (size > 0) memcpy(room, data, size);
    buffer->size += size;
    buffer->data[buffer->size] = '\0';
    return COVEY_OK;
}

covey_status covey__buffer_text(covey__buffer *buffer, const char *text) {
    return covey__buffer_append(buffer, text, strlen(text));
}

covey_status covey__buffer_byte(covey__buffer *buffer, char byte) {
    return covey__buffer_append(buffer, &byte, 1);
}

covey_status covey__buffer_format(covey__buffer *buffer, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0) {
        if (buffer->status == COVEY_OK) buffer->status = COVEY_ERROR_LIMIT;
        return buffer->status;
    }
    char *room = covey__buffer_reserve(buffer, (size_t)length);
    if (room == NULL) return buffer->status;
    va_start(args, format);
    vsnprintf(room, (size_t)length + 1, format, args);
    va_end(args);
    buffer->size += (size_t)length;
    return COVEY_OK;
}

char *covey__buffer_take(covey__buffer *buffer, size_t *size) {
    if (covey__buffer_reserve(buffer, 0) == NULL) return NULL;
    char *data = buffer->data;
    data[buffer->size] = '\0';
    if (size != NULL) *size = buffer->size;
    covey__buffer_init(buffer, buffer->env, buffer->size_max);
    return data;
}

covey_status covey__buffer_check(const covey__buffer *buffer, covey_error *error,
                                 const char *what) {
    if (buffer->status == COVEY_OK) return COVEY_OK;
    if (buffer->status == COVEY_ERROR_NO_MEMORY)
        return covey__no_memory(error, what, buffer->capacity);
    int64_t bound = (uint64_t)buffer->size_max > INT64_MAX ? INT64_MAX : (int64_t)buffer->size_max;
    return covey__fail_sizes(error, buffer->status, bound, (int64_t)buffer->size,
                             "%s: would be larger than the limit of %zu bytes", what,
                             buffer->size_max);
}
