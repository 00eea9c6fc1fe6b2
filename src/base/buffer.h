/* A growing byte buffer with a cap that must be named. After a failed append the buffer is
 * unchanged and stays failed
 * ("sticky"), so a writer may append many times and check once. data[size] is always NUL once data
 * is not NULL. */
#ifndef COVEY_BASE_BUFFER_H
#define COVEY_BASE_BUFFER_H

#include "base/env.h"

typedef struct covey__buffer {
    const covey__env *env;
    char *data;
    size_t size;
    size_t capacity;
    size_t size_max;
    covey_status status; /* COVEY_OK, NO_MEMORY or LIMIT */
} covey__buffer;

void covey__buffer_init(covey__buffer *buffer, const covey__env *env, size_t size_max);
void covey__buffer_free(covey__buffer *buffer);
void covey__buffer_clear(covey__buffer *buffer); /* keeps memory, clears the failure */
covey_status covey__buffer_append(covey__buffer *buffer, const void *data, size_t size);
covey_status covey__buffer_text(covey__buffer *buffer, const char *text);
covey_status covey__buffer_byte(covey__buffer *buffer, char byte);
covey_status covey__buffer_format(covey__buffer *buffer, const char *format, ...)
    COVEY_PRINTF(2, 3);
/* Room for `size` more bytes at data + size, to be counted by adding to `size`; NULL on failure. */
char *covey__buffer_reserve(covey__buffer *buffer, size_t size);
/* The memory becomes the caller's (free with covey__free); the buffer is empty afterwards. Never
 * NULL unless failed. */
char *covey__buffer_take(covey__buffer *buffer, size_t *size);
/* The buffer's failure as an error about `what`. */
covey_status covey__buffer_check(const covey__buffer *buffer, covey_error *error,
                                 const char *what) COVEY_MUST_USE;

#endif
