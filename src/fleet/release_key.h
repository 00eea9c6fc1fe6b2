/* Public keys in files, as `covey-fleet keys init` writes them to release.pub. */
#ifndef COVEY_FLEET_RELEASE_KEY_H
#define COVEY_FLEET_RELEASE_KEY_H

#include "base/env.h"

/* 64 hex digits in the first line; FORMAT when they are not there. */
covey_status covey__release_key_read(const covey__env *env, const char *path, uint8_t key[32],
                                     covey_error *error) COVEY_MUST_USE;

#endif
