/* Encrypting the components of an ensemble that is being built. */
#ifndef COVEY_LIBRARY_BUNDLE_ENCRYPT_H
#define COVEY_LIBRARY_BUNDLE_ENCRYPT_H

#include "bundle/manifest_build.h"
#include "trust/envelope.h"

/* The keyed digest that a plain file's encryption will have. */
covey_status covey__encrypted_identity(const covey__env *env, const covey__content_key *key,
                                       const char *path, uint8_t identity[32],
                                       covey_error *error) COVEY_MUST_USE;
/* Replaces the files of all parts whose role may be hidden, and marks the parts. */
covey_status covey__encrypt_parts(const covey__env *env, const covey__content_key *key,
                                  const char *folder, covey__manifest_part *parts, size_t count,
                                  covey_error *error) COVEY_MUST_USE;

#endif
