/* Parts of kind 2 of a patch: bytes as one zstd frame whose prefix is a range of the old file. */
#ifndef COVEY_DELTA_PATCH_BYTES_H
#define COVEY_DELTA_PATCH_BYTES_H

#include "base/env.h"

typedef struct covey__byte_packer covey__byte_packer;

/* How hard to look: hard where bytes are few or of text; quick for what is likely noise. */
typedef enum covey__pack_effort {
    COVEY__PACK_QUICK,
    COVEY__PACK_MIDDLE,
    COVEY__PACK_HARD
} covey__pack_effort;

covey_status covey__byte_packer_new(const covey__env *env, covey__byte_packer **packer,
                                    covey_error *error) COVEY_MUST_USE;
void covey__byte_packer_free(covey__byte_packer *packer);

/* `*made` is 0 when the bytes do not become at least 3 % smaller than `size`; else `out`, with room
 * for `size` bytes, has them. Under 32 MiB of memory. */
covey_status covey__bytes_pack(covey__byte_packer *packer, covey__pack_effort effort,
                               const void *prefix, size_t prefix_size, const void *data,
                               size_t size, void *out, size_t *made,
                               covey_error *error) COVEY_MUST_USE;

typedef struct covey__byte_unpacker covey__byte_unpacker;
covey_status covey__byte_unpacker_new(const covey__env *env, covey__byte_unpacker **unpacker,
                                      covey_error *error) COVEY_MUST_USE;
void covey__byte_unpacker_free(covey__byte_unpacker *unpacker);

/* Exactly `size` bytes from exactly one frame, else FORMAT. */
covey_status covey__bytes_unpack(covey__byte_unpacker *unpacker, const void *prefix,
                                 size_t prefix_size, const void *stored, size_t stored_size,
                                 void *out, size_t size, covey_error *error) COVEY_MUST_USE;

#endif
