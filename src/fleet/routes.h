/* The handlers behind the routes, by file. Each answers in x->answer and returns the HTTP status.
 */
#ifndef COVEY_FLEET_ROUTES_H
#define COVEY_FLEET_ROUTES_H

#include "fleet/fleet_server.h"

/* api_device.c */
int covey__api_enroll(covey__exchange *x);
int covey__api_checkin(covey__exchange *x);
int covey__api_reports(covey__exchange *x);

/* api_metadata.c */
int covey__api_metadata_get(covey__exchange *x);
int covey__api_metadata_add(covey__exchange *x);
int covey__api_target_get(covey__exchange *x);
/* The member "metadata" of an answer: the versions that are served. */
void covey__metadata_write_versions(covey__exchange *x, covey__json_writer *w);

/* http_blobs.c */
int covey__api_blob_get(covey__exchange *x);
int covey__api_blob_put(covey__exchange *x);
int covey__api_blobs_missing(covey__exchange *x);

/* api_releases.c */
int covey__api_release_add(covey__exchange *x);
int covey__api_releases_list(covey__exchange *x);

/* api_rollouts.c */
int covey__api_rollout_add(covey__exchange *x);
int covey__api_rollout_change(covey__exchange *x);
int covey__api_rollout_get(covey__exchange *x);
int covey__api_rollouts_list(covey__exchange *x);

/* api_devices.c */
int covey__api_devices_list(covey__exchange *x);
int covey__api_device_get(covey__exchange *x);
int covey__api_device_revoke(covey__exchange *x);
int covey__api_token_add(covey__exchange *x);
int covey__api_tokens_list(covey__exchange *x);

/* api_content_keys.c */
int covey__api_content_key_get(covey__exchange *x);
int covey__api_content_keys_add(covey__exchange *x);
int covey__api_content_keys_list(covey__exchange *x);
int covey__api_content_key_devices(covey__exchange *x);

/* api_system.c */
int covey__api_health(covey__exchange *x);
int covey__api_metrics(covey__exchange *x);

#endif
