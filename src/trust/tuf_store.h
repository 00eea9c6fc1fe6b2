/* The local store of a client of The Update Framework (docs/trust.md): a folder with the trusted
 * metadata as it came, byte for byte: root.json, timestamp.json, snapshot.json, targets.json, and a
 * file a delegated role under a name that is safe in any folder (covey__tuf_local_name). */
#ifndef COVEY_TRUST_TUF_STORE_H
#define COVEY_TRUST_TUF_STORE_H

#include "base/buffer.h"

typedef struct covey__tuf_store {
    const covey__env *env;
    const char *folder; /* borrowed */
    /* Whether bytes that cannot be read are as good as absent. Only with a floor: without one, that
     * would be a way back to an older version. */
    bool tolerant;
} covey__tuf_store;

/* Appends a role's bytes; the buffer's cap is the document's. NOT_FOUND when there is no such file,
 * or one that cannot be a document. */
covey_status covey__tuf_store_read(const covey__tuf_store *store, const char *role,
                                   covey__buffer *out, covey_error *error) COVEY_MUST_USE;
/* Temporary, fsync, rename, fsync of the folder. Only when this is COVEY_OK may what was written be
 * believed. Makes the folder when it is absent. */
covey_status covey__tuf_store_write(const covey__tuf_store *store, const char *role,
                                    const void *data, size_t size,
                                    covey_error *error) COVEY_MUST_USE;
/* Absent is fine. */
covey_status covey__tuf_store_remove(const covey__tuf_store *store, const char *role,
                                     covey_error *error) COVEY_MUST_USE;

#endif
