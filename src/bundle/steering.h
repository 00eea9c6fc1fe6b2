/* Steering statements (docs/formats/steering.md): what the publisher narrows on devices that are
 * out there. Reading and judging are pure: no clock, no file. */
#ifndef COVEY_BUNDLE_STEERING_H
#define COVEY_BUNDLE_STEERING_H

#include "base/env.h"

#define COVEY__STEERING_BYTES_MAX     (256u << 10)
#define COVEY__STEERING_COUNT_MAX     256
#define COVEY__STEERING_NAME_COUNT    8 /* classes or variants that one statement names, at most */
#define COVEY__STEERING_ARENA_BYTES   (4u << 20)
#define COVEY__STEERING_FLAG_SIZE_MAX 64

typedef enum covey__steering_kind {
    COVEY__STEERING_KILL,
    COVEY__STEERING_MINIMUM,
    COVEY__STEERING_FLAG,
    COVEY__STEERING_PIN,
    COVEY__STEERING_DOWNGRADE,
    COVEY__STEERING_END_OF_SUPPORT,
    COVEY__STEERING_UNKNOWN /* kept, never applied */
} covey__steering_kind;

typedef struct covey__steering_statement {
    covey__steering_kind kind;
    const char *id, *reason, *author, *issued;
    const char *versions;                             /* a range; "*" where the kind has none */
    const char *version;                              /* minimum, pin, downgrade; else "" */
    const char *flag;                                 /* flag; else "" */
    int64_t at_ms;                                    /* end-of-support, since 1970; else 0 */
    const char *variants[COVEY__STEERING_NAME_COUNT]; /* none: all */
    size_t variant_count;
    const char *classes[COVEY__STEERING_NAME_COUNT]; /* none: all */
    size_t class_count;
    const char *app; /* a range of app versions; "*": any */
    bool has_cohort;
    uint8_t salt[16];
    int64_t percent_milli; /* thousandths of a percent */
    const char *text;      /* the statement as JSON, for comparing two documents */
} covey__steering_statement;

typedef struct covey__steering {
    const char *product;
    int64_t serial;
    const covey__steering_statement *statements;
    size_t statement_count;
} covey__steering;

/* "kill", "minimum", …; "unknown". */
const char *covey__steering_kind_name(covey__steering_kind kind);

/* Free with covey__steering_free. FORMAT names the statement and its field; UNSUPPORTED for a
 * format or a required feature that this library does not know. */
covey_status covey__steering_parse(const covey__env *env, const char *text, size_t size,
                                   covey__steering **steering, covey_error *error) COVEY_MUST_USE;
void covey__steering_free(covey__steering *steering);

/* Whether `next` may take the place of `held` (NULL: none is held): the same product, a higher
 * serial, and every sticky statement of `held` unchanged. DENIED says which rule it breaks; EXISTS
 * when it is the very same serial. */
covey_status covey__steering_follows(const covey__steering *held, const covey__steering *next,
                                     covey_error *error) COVEY_MUST_USE;

/* The device that is asked about. Strings are borrowed. */
typedef struct covey__steering_device {
    const char *device_class;
    const char *device_id;   /* "" when not enrolled */
    const char *app_version; /* semantic version */
} covey__steering_device;

/* Whether its scope has this device: class, app, cohort. */
bool covey__steering_applies(const covey__steering_statement *statement,
                             const covey__steering_device *device);
/* The statement that stops this ensemble here, or NULL. */
const covey__steering_statement *covey__steering_killed(const covey__steering *steering,
                                                        const covey__steering_device *device,
                                                        const char *version, const char *variant);
/* The statement with the highest minimum, or NULL. */
const covey__steering_statement *covey__steering_minimum(const covey__steering *steering,
                                                         const covey__steering_device *device);
/* The statement with the lowest pin, or NULL. */
const covey__steering_statement *covey__steering_pinned(const covey__steering *steering,
                                                        const covey__steering_device *device);
/* The statement that switches the feature off, or NULL. */
const covey__steering_statement *covey__steering_flag_off(const covey__steering *steering,
                                                          const covey__steering_device *device,
                                                          const char *flag);
/* The statement with the earliest end of support of this version, or NULL. */
const covey__steering_statement *
covey__steering_end_of_support(const covey__steering *steering,
                               const covey__steering_device *device, const char *version);

/* Whether a device that serves `from` ("" for nothing) may install `to`: upwards within pin and
 * minimum, downwards only by a downgrade statement, never to what is killed. DENIED with the
 * statement's id and reason. `steering` NULL: upwards only. */
covey_status covey__steering_may_install(const covey__steering *steering,
                                         const covey__steering_device *device, const char *from,
                                         const char *to, const char *variant,
                                         covey_error *error) COVEY_MUST_USE;
/* Whether a device may return to an ensemble that it has (previous, built-in): not killed, not
 * below a minimum. The built-in one is not held to the minimum: it came with the app. */
covey_status covey__steering_may_return(const covey__steering *steering,
                                        const covey__steering_device *device, const char *version,
                                        const char *variant, bool builtin,
                                        covey_error *error) COVEY_MUST_USE;

#endif
