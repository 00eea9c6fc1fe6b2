/* Who is offered what (docs/api.md): pure functions of a rollout and of what is known of a device.
 */
#ifndef COVEY_FLEET_COHORT_H
#define COVEY_FLEET_COHORT_H

#include "bundle/draw.h"
#include "fleet/store.h"

#define COVEY__CLASS_COUNT 4

/* "name@version" into its parts (each COVEY__RELEASE_NAME_SIZE); false when it is not one, with a
 * valid name and a semantic version. */
bool covey__release_split(const char *text, char *name, char *version);

/* "tiny" … "large"; NULL for a class that is none. -1 for a name that is none. */
const char *covey__class_name(int32_t device_class);
int32_t covey__class_parse(const char *name);

const char *covey__rollout_state_name(covey__rollout_state state);
bool covey__rollout_state_parse(const char *name, covey__rollout_state *state);

typedef enum covey__verdict {
    COVEY__VERDICT_OFFER,
    COVEY__VERDICT_HAS_IT,     /* it serves that version */
    COVEY__VERDICT_OLDER,      /* it serves a newer one */
    COVEY__VERDICT_OTHER_NAME, /* it serves another ensemble */
    COVEY__VERDICT_REFUSED,    /* it said no to this release */
    COVEY__VERDICT_CLASS,      /* the rollout is not for its class */
    COVEY__VERDICT_NO_PATCH,   /* those that can go on by a patch go first */
    COVEY__VERDICT_DRAW,       /* its draw is above the percentage */
    COVEY__VERDICT_PAUSED,
    COVEY__VERDICT_ABORTED
} covey__verdict;

/* One rollout and one device. `refused` is whether the device refused this release. */
covey__verdict covey__cohort_judge(const covey__rollout_row *rollout,
                                   const covey__device_known *device, bool refused);

/* The verdict in words for a person; `reason` is why the device refused, or NULL. */
void covey__verdict_text(covey__verdict verdict, const covey__rollout_row *rollout,
                         const covey__device_known *device, const char *reason, char *out,
                         size_t capacity);

/* Whether `a` goes before `b` when both would be offered: the higher version, then the newer. */
bool covey__cohort_prefers(const covey__rollout_row *a, const covey__rollout_row *b);

#endif
