/* What every Covey header shares: linkage, status, error, version.
 *
 * The library is a guest in its caller's process. It installs no signal handlers, never forks,
 * never exits, prints nothing, and starts no thread that the caller did not allow (see runtime.h).
 *
 * Structs grow at their end, so that a program built against an older header goes on: one that may
 * grow begins with `size_t size`, its sizeof as the program knows it, set by its INIT. Such a
 * struct is never a member of another by value and never an array's element, since what stands
 * behind it would move; others point to it, NULL meaning its INIT values. A struct without `size`
 * is frozen: it never changes. covey_error is, too. */
#ifndef COVEY_BASE_H
#define COVEY_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#if defined(COVEY_BUILDING_LIBRARY)
#define COVEY_API __declspec(dllexport)
#else
#define COVEY_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define COVEY_API __attribute__((visibility("default")))
#else
#define COVEY_API
#endif

#if defined(__GNUC__)
#define COVEY_MUST_USE __attribute__((warn_unused_result))
#define COVEY_PRINTF(format_index, first_arg)                                                      \
    __attribute__((format(printf, format_index, first_arg)))
#else
#define COVEY_MUST_USE
#define COVEY_PRINTF(format_index, first_arg)
#endif

/* Semantic version of these headers. COVEY_ABI_VERSION is the shared library's: it changes only
 * when a program built against an older one would break. */
#define COVEY_VERSION_MAJOR 0
#define COVEY_VERSION_MINOR 1
#define COVEY_VERSION_PATCH 0
#define COVEY_VERSION       "0.1.0"
#define COVEY_ABI_VERSION   0

/* The version of the library that is running, as "major.minor.patch". Static memory; any thread. */
COVEY_API const char *covey_version(void);

/* The outcome of every call that can fail. Values are stable; new ones are appended, so a caller
 * treats a value it does not know as a failure. */
typedef enum covey_status {
    COVEY_OK = 0,
    COVEY_ERROR_INVALID_ARGUMENT = 1, /* the caller broke the call's contract */
    COVEY_ERROR_NO_MEMORY = 2,        /* the allocator refused */
    COVEY_ERROR_IO = 3,               /* the file system failed; covey_error.system_code is errno */
    COVEY_ERROR_NO_SPACE = 4,         /* storage is full, or a quota is; expected/found are bytes */
    COVEY_ERROR_NOT_FOUND = 5,        /* the named thing does not exist */
    COVEY_ERROR_EXISTS = 6,           /* the named thing exists already */
    COVEY_ERROR_FORMAT = 7,           /* bytes from outside break their format */
    COVEY_ERROR_UNSUPPORTED = 8, /* well formed, but this library or device lacks what it needs */
    COVEY_ERROR_LIMIT = 9,       /* larger than a stated bound; expected/found are the two sizes */
    COVEY_ERROR_MISMATCH = 10,   /* a digest, a signature or a seal differs */
    COVEY_ERROR_DENIED = 11,     /* a policy, a permission or a token says no */
    COVEY_ERROR_CONTEXT_SIZE =
        12, /* expected: the context's length; found: what it would have to hold (tokens) */
    COVEY_ERROR_CANCELLED = 13, /* the caller cancelled */
    COVEY_ERROR_BUSY = 14,      /* in use by another owner; try again */
    COVEY_ERROR_NETWORK = 15,   /* the other side could not be reached, or the line broke */
    COVEY_ERROR_TIMEOUT = 16,   /* a deadline passed */
    COVEY_ERROR_REMOTE =
        17, /* the other side answered with an error; expected 0, found its HTTP status */
    COVEY_ERROR_REFUSED = 18,  /* an ensemble did not pass its probes */
    COVEY_ERROR_NUMERIC = 19,  /* NaN or infinity where numbers must be */
    COVEY_ERROR_INTERNAL = 20, /* a mistake of ours: please report it */
    COVEY_ERROR_EXPIRED = 21,  /* signed, but no longer valid */
    COVEY_ERROR_ROLLBACK = 22, /* older than what was seen; expected/found are the two versions */
    COVEY_ERROR_SIGNATURE = 23 /* fewer good signatures than asked; expected/found count them */
} covey_status;

/* The stable lower-case name of a status, such as "not_found"; "unknown" for values it does not
 * know. Static memory; any thread. */
COVEY_API const char *covey_status_name(covey_status status);

#define COVEY_ERROR_MESSAGE_SIZE 480

/* Details of a failure, filled by the call that failed and left alone by one that succeeded. The
 * caller owns it, on its stack as a rule; calls take it as their last argument and accept NULL.
 * `message` is one line of UTF-8 without a trailing full stop or newline, always NUL-terminated:
 * what was expected, what was found, where, and what can be done. It never holds a secret or a
 * user's words. Frozen. */
typedef struct covey_error {
    covey_status status;
    int32_t system_code; /* errno of the operation that failed, 0 where none did */
    int64_t
        expected;  /* with LIMIT, CONTEXT_SIZE, NO_SPACE: the bound, in the unit the status names */
    int64_t found; /* with the same: what was found or needed */
    char message[COVEY_ERROR_MESSAGE_SIZE];
} covey_error;

#ifdef __cplusplus
}
#endif
#endif
