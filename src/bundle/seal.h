/* Seals: what a verified ensemble's files looked like (size, inode, modification time, digest of
 * head and tail), so that each load can tell in microseconds whether they may have changed. */
#ifndef COVEY_BUNDLE_SEAL_H
#define COVEY_BUNDLE_SEAL_H

#include "bundle/manifest.h"

#define COVEY__SEAL_BYTES_MAX (1u << 20)

/* Appends the seal of the manifest and every component in `folder`, as one JSON document that also
 * names the ensemble's digest. The files must have been verified before. Keep it outside of the
 * folder or beside the files; it is not part of the ensemble. */
covey_status covey__seal_make(const covey__env *env, const covey__manifest *manifest,
                              const char *folder, covey__buffer *out,
                              covey_error *error) COVEY_MUST_USE;

/* MISMATCH names the file and what differs: then hash it in full, or leave the slot. FORMAT when
 * the seal itself is damaged. */
covey_status covey__seal_check(const covey__env *env, const covey__manifest *manifest,
                               const char *folder, const char *seal, size_t seal_size,
                               covey_error *error) COVEY_MUST_USE;

#endif
