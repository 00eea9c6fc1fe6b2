/* Private keys in files: one line of JSON with the seed in hex, readable by the owner alone. A file
 * that others may read is refused with the command that mends it. */
#ifndef COVEY_TRUST_KEY_FILE_H
#define COVEY_TRUST_KEY_FILE_H

#include "trust/crypto.h"

/* Writes a new file with mode 0600; EXISTS when there is one, which is never overwritten. */
covey_status covey__key_write(const covey__env *env, const char *path, const covey__key *key,
                              covey_error *error) COVEY_MUST_USE;
/* DENIED when the file is not the user's own or others may read it; FORMAT when it holds no key. */
covey_status covey__key_read(const covey__env *env, const char *path, covey__key *key,
                             covey_error *error) COVEY_MUST_USE;

#endif
