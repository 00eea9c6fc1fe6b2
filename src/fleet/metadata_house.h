/* The control plane's metadata as the server keeps it: opened beside the store, renewed by the
 * housekeeper, watched for what expires. */
#ifndef COVEY_FLEET_METADATA_HOUSE_H
#define COVEY_FLEET_METADATA_HOUSE_H

#include "fleet/metadata.h"

/* What people signed is to be signed anew this long before it expires. */
#define COVEY__METADATA_WARN_MS (INT64_C(28) * 86400000)
/* What the housekeeper renews is overdue when this is left of it. */
#define COVEY__METADATA_LATE_MS (INT64_C(86400000))

typedef struct covey__metadata_house {
    const covey__env *env;
    covey__metadata *metadata;
    covey__signer online;
    bool has_online;
    int64_t looked_ms, warned_ms, failed_ms; /* the housekeeper's own */
} covey__metadata_house;

/* `folder` is made when absent. `online_key_file` (may be NULL) is a plain owner-only key file. */
covey_status covey__metadata_house_open(const covey__env *env, const char *folder,
                                        const char *online_key_file, covey__metadata_house *house,
                                        covey_error *error) COVEY_MUST_USE;
void covey__metadata_house_close(covey__metadata_house *house); /* harmless on a zeroed one */

/* One round of the housekeeper: renews what is due, and says once a day in the log what expires. */
void covey__metadata_house_keep(covey__metadata_house *house);

/* Calls `each` for every role that is expired, expires within COVEY__METADATA_WARN_MS, or should
 * have been renewed here, with a sentence for people. Any thread. */
void covey__metadata_house_warnings(covey__metadata_house *house, int64_t now_ms,
                                    void (*each)(void *user, const char *role, const char *text),
                                    void *user);

#endif
