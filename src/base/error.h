/* How failures are said. The first place that knows fills the error; each layer on the way up adds
 * its prefix once. */
#ifndef COVEY_BASE_ERROR_H
#define COVEY_BASE_ERROR_H

#include <covey/base.h>

/* Fills `error` (NULL is allowed) and returns `status`, so that a failure is one line:
 *     return covey__fail(error, COVEY_ERROR_FORMAT, "gguf: tensor \"%s\": offset %" PRIu64 " is
 * past the end", …); */
covey_status covey__fail(covey_error *error, covey_status status, const char *format, ...)
    COVEY_PRINTF(3, 4);

/* As covey__fail, with errno's number and text appended; ENOSPC and EDQUOT become NO_SPACE, ENOENT
 * NOT_FOUND, ENOMEM NO_MEMORY, EACCES and EPERM DENIED, all others IO. */
covey_status covey__fail_errno(covey_error *error, int errno_value, const char *format, ...)
    COVEY_PRINTF(3, 4);

/* As covey__fail for LIMIT, CONTEXT_SIZE and NO_SPACE with their two numbers. */
covey_status covey__fail_sizes(covey_error *error, covey_status status, int64_t expected,
                               int64_t found, const char *format, ...) COVEY_PRINTF(5, 6);

/* Puts "prefix: " before the message, cutting its end if need be; returns `status`. */
covey_status covey__prefix(covey_error *error, covey_status status, const char *format, ...)
    COVEY_PRINTF(3, 4);

covey_status covey__no_memory(covey_error *error, const char *what, size_t bytes);

/* Tells the compiler that a failure is never COVEY_OK, so that it can follow which results are set
 * behind a checked call (and does not warn of ones that are not). */
static inline covey_status covey__not_ok(covey_status status) {
    if (status == COVEY_OK) __builtin_unreachable();
    return status;
}
#define covey__fail(...)       covey__not_ok(covey__fail(__VA_ARGS__))
#define covey__fail_errno(...) covey__not_ok(covey__fail_errno(__VA_ARGS__))
#define covey__fail_sizes(...) covey__not_ok(covey__fail_sizes(__VA_ARGS__))
#define covey__no_memory(...)  covey__not_ok(covey__no_memory(__VA_ARGS__))

/* Copies text from outside into a message so that it is one line of printable ASCII or UTF-8 of at
 * most `capacity - 1` bytes; returns `out`. */
const char *covey__printable(const char *text, size_t size, char *out, size_t capacity);

/* Checked arithmetic on sizes from outside: false when the result does not fit. */
static inline bool covey__add_u64(uint64_t a, uint64_t b, uint64_t *out) {
    return !__builtin_add_overflow(a, b, out);
}
static inline bool covey__mul_u64(uint64_t a, uint64_t b, uint64_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool covey__add_size(size_t a, size_t b, size_t *out) {
    return !__builtin_add_overflow(a, b, out);
}
static inline bool covey__mul_size(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

#endif
