/* Filling covey_error. A message is one line of UTF-8 and always NUL-terminated: when it does not
 * fit it is cut between characters, and control characters become spaces, so that nothing that is
 * formatted in from outside can break the line. Every layer uses this file; it uses none. */
#include "base/error.h"
#include "base/utf8_sequence.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Drops an incomplete last character and blanks control characters. */
static void tidy_message(char *message) {
    size_t size = strlen(message);
    size_t at = 0;
    while (at < size) {
        size_t length = covey__utf8_sequence(message + at, size - at);
        if (length == 0) {
            size_t left = size - at;
            if (left < 4 && covey__utf8_is_cut(message + at, left)) {
                message[at] = '\0';
                return;
            }
            message[at] = '?';
            length = 1;
        } else if ((unsigned char)message[at] < 0x20 || message[at] == 0x7f) {
            message[at] = ' ';
        }
        at += length;
    }
}

static void set_message(covey_error *error, covey_status status, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

/* The text is formed aside first: its arguments may point into `error` itself. */
static void set_message(covey_error *error, covey_status status, const char *format, va_list args) {
    char text[COVEY_ERROR_MESSAGE_SIZE];
    if (vsnprintf(text, sizeof text, format, args) < 0) text[0] = '\0';
    tidy_message(text);
    memset(error, 0, sizeof *error);
    error->status = status;
    memcpy(error->message, text, strlen(text) + 1);
}

covey_status(covey__fail)(covey_error *error, covey_status status, const char *format, ...) {
    assert(status != COVEY_OK);
    if (error != NULL) {
        va_list args;
        va_start(args, format);
        set_message(error, status, format, args);
        va_end(args);
    }
    return status;
}

static covey_status status_of_errno(int errno_value) {
    switch (errno_value) {
    case ENOSPC:
#ifdef EDQUOT
    case EDQUOT:
#endif
        return COVEY_ERROR_NO_SPACE;
    case ENOENT:
        return COVEY_ERROR_NOT_FOUND;
    case ENOMEM:
        return COVEY_ERROR_NO_MEMORY;
    case EACCES:
    case EPERM:
        return COVEY_ERROR_DENIED;
    default:
        return COVEY_ERROR_IO;
    }
}

/* strerror_r has two shapes: GNU returns the text, POSIX fills the buffer. */
static const char *errno_text(int errno_value, char *space, size_t size) {
#if defined(__GLIBC__)
    return strerror_r(errno_value, space, size);
#else
    return strerror_r(errno_value, space, size) == 0 ? space : "unknown error";
#endif
}

covey_status(covey__fail_errno)(covey_error *error, int errno_value, const char *format, ...) {
    covey_status status = status_of_errno(errno_value);
    if (error == NULL) return status;
    va_list args;
    va_start(args, format);
    set_message(error, status, format, args);
    va_end(args);
    error->system_code = errno_value;

    char space[128], suffix[192];
    int length = snprintf(suffix, sizeof suffix, ": %s (errno %d)",
                          errno_text(errno_value, space, sizeof space), errno_value);
    if (length < 0) return status;
    size_t suffix_size = strlen(suffix);
    size_t room = sizeof error->message - 1 - suffix_size;
    if (strlen(error->message) > room) {
        error->message[room] = '\0';
        tidy_message(error->message);
    }
    size_t size = strlen(error->message);
    memcpy(error->message + size, suffix, suffix_size + 1);
    return status;
}

covey_status(covey__fail_sizes)(covey_error *error, covey_status status, int64_t expected,
                                int64_t found, const char *format, ...) {
    assert(status != COVEY_OK);
    if (error != NULL) {
        va_list args;
        va_start(args, format);
        set_message(error, status, format, args);
        va_end(args);
        error->expected = expected;
        error->found = found;
    }
    return status;
}

covey_status covey__prefix(covey_error *error, covey_status status, const char *format, ...) {
    if (error == NULL || status == COVEY_OK) return status;
    char prefix[COVEY_ERROR_MESSAGE_SIZE], whole[2 * COVEY_ERROR_MESSAGE_SIZE];
    va_list args;
    va_start(args, format);
    if (vsnprintf(prefix, sizeof prefix, format, args) < 0) prefix[0] = '\0';
    va_end(args);
    if (error->status == COVEY_OK) { /* the place that failed had nothing to say */
        error->status = status;
        error->message[0] = '\0';
    }
    const char *rest = error->message[0] != '\0' ? error->message : covey_status_name(status);
    if (snprintf(whole, sizeof whole, "%s: %s", prefix, rest) < 0) return status;
    whole[COVEY_ERROR_MESSAGE_SIZE - 1] = '\0';
    tidy_message(whole);
    memcpy(error->message, whole, strlen(whole) + 1);
    return status;
}

covey_status(covey__no_memory)(covey_error *error, const char *what, size_t bytes) {
    return covey__fail_sizes(error, COVEY_ERROR_NO_MEMORY, 0,
                             (uint64_t)bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes,
                             "%s: no memory for %zu bytes", what, bytes);
}

const char *covey__printable(const char *text, size_t size, char *out, size_t capacity) {
    assert(capacity >= 5);
    size_t used = 0, cut = 0; /* where "..." goes if not all fits */
    for (size_t at = 0; at < size;) {
        size_t length = covey__utf8_sequence(text + at, size - at);
        bool plain = length > 0 && (unsigned char)text[at] >= 0x20 && text[at] != 0x7f &&
                     !covey__utf8_is_c1(text + at, length);
        size_t take = plain ? length : 1;
        if (used + take > capacity - 1) {
            memcpy(out + cut, "...", 4);
            return out;
        }
        if (plain)
            memcpy(out + used, text + at, length);
        else
            out[used] = '?';
        used += take;
        if (used <= capacity - 4) cut = used;
        at += length > 0 ? length : 1;
    }
    out[used] = '\0';
    return out;
}

const char *covey_status_name(covey_status status) {
    static const char *const names[] = {
        "ok",           "invalid_argument", "no_memory",   "io",      "no_space", "not_found",
        "exists",       "format",           "unsupported", "limit",   "mismatch", "denied",
        "context_size", "cancelled",        "busy",        "network", "timeout",  "remote",
        "refused",      "numeric",          "internal",    "expired", "rollback", "signature"};
    size_t index = (size_t)(int)status;
    return index < sizeof names / sizeof *names ? names[index] : "unknown";
}

const char *covey_version(void) {
    return COVEY_VERSION;
}
