/* The device's policy: a small signed or local document of settings (schema/policy.schema.json,
 * docs/formats/policy.md) and the decisions made by it. It grows in place. */
#ifndef COVEY_POLICY_H
#define COVEY_POLICY_H

#include "base/buffer.h"
#include <covey/device.h>

#define COVEY__POLICY_BYTES_MAX (64u << 10)

typedef struct covey__policy {
    bool update_enabled;              /* false: the user opted out of updates; default true */
    bool update_on_metered;           /* default false */
    int64_t update_metered_bytes_max; /* up to so many bytes are fetched on a metered link anyway */
    bool update_only_charging;        /* default false */
    int32_t update_battery_min_percent; /* not below this unless charging; default 20 */
    int32_t update_thermal_max_percent; /* not above this; default 80 */
    int64_t drain_deadline_ms; /* open conversations may finish on the old ensemble so long */
} covey__policy;

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

#endif
