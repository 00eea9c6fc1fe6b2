/* The device's policy: a small signed or local document of settings (schema/policy.schema.json,
 * docs/formats/policy.md) and the decisions made by it. It grows in place. */
#ifndef COVEY_POLICY_H
#define COVEY_POLICY_H

#include "base/buffer.h"
#include <covey/device.h>

#define COVEY__POLICY_BYTES_MAX    (64u << 10)
#define COVEY__POLICY_FEATURES_MAX 32
#define COVEY__POLICY_HOSTS_MAX    16
#define COVEY__FEATURE_SIZE        65  /* a feature's name and its NUL */
#define COVEY__HOST_SIZE           129 /* a host's name and its NUL */
#define COVEY__MIRROR_SIZE         401 /* an http or https address and its NUL */
#define COVEY__POLICY_RATE_MAX     INT64_C(100000000000)

/* What stands in for what the user switched off; each is narrower than the next. */
typedef enum covey__degrade {
    COVEY__DEGRADE_OFF,
    COVEY__DEGRADE_BUILTIN,
    COVEY__DEGRADE_CLOUD
} covey__degrade;

typedef enum covey__leaves { /* each reaches further than the one before */
                             COVEY__LEAVES_NEVER,
                             COVEY__LEAVES_REDACTED,
                             COVEY__LEAVES_ALL
} covey__leaves;

typedef struct covey__policy {
    bool update_enabled;              /* false: the user opted out of updates; default true */
    bool update_on_metered;           /* default false */
    int64_t update_metered_bytes_max; /* up to so many bytes are fetched on a metered link anyway */
    bool update_only_charging;        /* default false */
    bool update_give_up_previous;     /* the previous ensemble, where an update has no room; default
                                         true */
    int32_t update_battery_min_percent;       /* not below this unless charging; default 20 */
    int32_t update_thermal_max_percent;       /* not above this; default 80 */
    int64_t update_rate_bytes_per_second_max; /* 0, the default: no ceiling */
    char update_mirror[COVEY__MIRROR_SIZE];   /* asked for blobs before all others; "": none */
    int64_t drain_deadline_ms; /* open conversations may finish on the old ensemble so long */
    /* What a trial has to show; the user's where it is said, else the ensemble's. */
    int32_t trial_answers;            /* so many good answers prove it; default 32 */
    int64_t trial_time_ms;            /* or so long a time; default 10 minutes */
    int32_t trial_slower_max_percent; /* of the time that the previous one took; 0: not held
                                         against it; default 200 */
    int32_t trial_busy_max_percent; /* of the machine that other programs take: above it, times are
                                       not compared; default 25 */
    bool has_trial;                 /* the section is there */
    /* The user's alone. */
    bool features_all; /* false: the user opted out of the model; default true */
    char features_off[COVEY__POLICY_FEATURES_MAX][COVEY__FEATURE_SIZE];
    int32_t feature_off_count;
    bool consent_ask; /* default true */
    /* The ensemble's, narrowed by the user's. */
    covey__degrade degrade_to; /* default builtin */
    bool has_degrade;          /* it is said */
    struct {
        char name[COVEY__FEATURE_SIZE];
        covey__degrade to;
    } degrade_features[COVEY__POLICY_FEATURES_MAX];
    int32_t degrade_feature_count;
    /* The ensemble's. */
    covey__leaves leaves_words; /* default never */
    bool leaves_numbers;        /* default false */
    char leaves_to[COVEY__POLICY_HOSTS_MAX][COVEY__HOST_SIZE];
    int32_t leaves_to_count;
} covey__policy;

const char *covey__degrade_name(covey__degrade degrade); /* "off", "builtin", "cloud" */

/* The defaults. */
void covey__policy_init(covey__policy *policy);
/* Strict: an unknown member is an error, since a setting that is not understood is not kept. */
covey_status covey__policy_parse(const covey__env *env, const char *text, size_t size,
                                 covey__policy *policy, covey_error *error) COVEY_MUST_USE;
covey_status covey__policy_write(const covey__policy *policy, covey__buffer *out,
                                 covey_error *error) COVEY_MUST_USE;

typedef struct covey__policy_decision {
    bool allowed;
    const char *rule; /* the setting that decided, "update.on_metered"; static */
    char reason[160]; /* one plain sentence */
} covey__policy_decision;
/* May this device fetch `bytes` now? A pure function of its arguments. Unknown facts do not hold an
 * update back. */
void covey__policy_may_fetch(const covey__policy *policy, const covey_device_facts *facts,
                             uint64_t bytes, covey__policy_decision *decision);

/* Whether the text is an http or https address of a base to which paths are added: no user, query
 * or fragment in it. */
bool covey__mirror_valid(const char *url);

/* Whether a feature's name is one: 1 to 64 of "A-Za-z0-9._-". */
bool covey__feature_valid(const char *name);
/* Whether the user switched the feature off. `product` is the name of the ensembles here, "" when
 * there are none: that feature is off with features.all too. Pure. */
bool covey__policy_opted_out(const covey__policy *user, const char *product, const char *feature);
/* Switches a feature off, or back on. LIMIT when there are too many. */
covey_status covey__policy_set_feature(covey__policy *user, const char *feature, bool off,
                                       covey_error *error) COVEY_MUST_USE;
/* What stands in for a feature that the user switched off: as the ensemble's policy says, narrowed
 * by the user's. `ensemble` may be NULL. "builtin" without a built-in ensemble is "off". Pure. */
covey__degrade covey__policy_degrade(const covey__policy *user, const covey__policy *ensemble,
                                     const char *feature, bool has_builtin);

#endif
