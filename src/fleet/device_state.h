/* What a device says of itself, in enrollment and check-in, read and brought to one form. */
#ifndef COVEY_FLEET_DEVICE_STATE_H
#define COVEY_FLEET_DEVICE_STATE_H

#include "base/json.h"
#include "fleet/store.h"

/* Reads `device`, `slots`, `app_version`, `library_version`, `refused` and `encryption_key` of a
 * request. Everything but the digest is filled; strings are those of the tree, state->json is in
 * `out`. FORMAT names the field. */
covey_status covey__device_state_read(const covey__json *root, covey__buffer *out,
                                      covey__device_state *state,
                                      covey_error *error) COVEY_MUST_USE;

#endif
