/* The client's half of metadata: what is served is taken, what it lacks is sent. */
#ifndef COVEY_FLEET_CLIENT_METADATA_H
#define COVEY_FLEET_CLIENT_METADATA_H

#include "fleet/client.h"
#include "fleet/repository.h"

/* Takes what is served and newer into the folder, all of it verified. What only this folder has
 * stays, unless the control plane serves something else under the same version. `*served` is freed
 * with covey__metadata_set_free. */
covey_status covey__fleet_pull(covey_fleet_client *client, covey_fleet_keys *keys,
                               covey__metadata_set **served, covey_error *error) COVEY_MUST_USE;
/* Sends all that holds here and is not served. `sent` (may be NULL) gets a line a document. */
covey_status covey__fleet_push(covey_fleet_client *client, covey_fleet_keys *keys,
                               covey__metadata_set *served, covey__buffer *sent,
                               covey_error *error) COVEY_MUST_USE;
/* Puts a blob under its SHA-256. */
covey_status covey__fleet_put_blob(covey_fleet_client *client, const void *data, size_t size,
                                   covey_error *error) COVEY_MUST_USE;
/* POST /v1/releases; `was_known` may be NULL. */
covey_status covey__fleet_post_release(covey_fleet_client *client, const char *digest,
                                       bool *was_known, covey_error *error) COVEY_MUST_USE;

#endif
