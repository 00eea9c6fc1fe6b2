/* Makes metadata of The Update Framework (specification 1.0.3x, section 4): the repository's half.
 * Every function appends a whole document to `out`, with no signature yet; covey__tuf_sign_bytes
 * gives what is to be signed, covey__tuf_add_signature puts a signature in. Documents that these
 * functions make are read again by covey__tuf_parse. */
#ifndef COVEY_TRUST_TUF_MAKE_H
#define COVEY_TRUST_TUF_MAKE_H

#include "base/buffer.h"
#include "trust/public_key.h"

/* What every document has. */
typedef struct covey__tuf_head {
    int64_t version;    /* from 1 */
    int64_t expires_ms; /* since 1970; written to the second */
} covey__tuf_head;

/* Whose signatures count. A key that stands in several roles of one document is written once. */
typedef struct covey__tuf_signers {
    const covey__public_key *keys;
    size_t key_count;
    int64_t threshold;
} covey__tuf_signers;

/* The four top-level roles by covey__tuf_type: root, timestamp, snapshot, targets. */
covey_status covey__tuf_make_root(const covey__env *env, covey__tuf_head head,
                                  const covey__tuf_signers roles[4], covey__buffer *out,
                                  covey_error *error) COVEY_MUST_USE;

typedef struct covey__tuf_make_target {
    const char *name;
    uint64_t length;
    uint8_t sha256[32];
    const char *custom; /* a JSON object, or NULL */
} covey__tuf_make_target;

typedef struct covey__tuf_make_delegation {
    const char *name;
    covey__tuf_signers signers;
    bool terminating;
    const char *const *paths;
    size_t path_count;
} covey__tuf_make_delegation;

typedef struct covey__tuf_make_content {
    const covey__tuf_make_target *targets; /* each name once; written in order of name */
    size_t target_count;
    const covey__tuf_make_delegation *delegations; /* in order of preference */
    size_t delegation_count;
} covey__tuf_make_content;

covey_status covey__tuf_make_targets(const covey__env *env, covey__tuf_head head,
                                     const covey__tuf_make_content *content, covey__buffer *out,
                                     covey_error *error) COVEY_MUST_USE;

/* A document that a snapshot or a timestamp names: "targets.json" and the like. */
typedef struct covey__tuf_make_file {
    const char *name;
    int64_t version;
    uint64_t length;
    uint8_t sha256[32];
} covey__tuf_make_file;

covey_status covey__tuf_make_snapshot(const covey__env *env, covey__tuf_head head,
                                      const covey__tuf_make_file *files, size_t file_count,
                                      covey__buffer *out, covey_error *error) COVEY_MUST_USE;
/* `issued_ms` is written as "covey_issued" (docs/trust.md, "The floor of time"). */
covey_status covey__tuf_make_timestamp(const covey__env *env, covey__tuf_head head,
                                       int64_t issued_ms, const covey__tuf_make_file *snapshot,
                                       covey__buffer *out, covey_error *error) COVEY_MUST_USE;

/* Appends the bytes that a signature of this document is over. */
covey_status covey__tuf_sign_bytes(const covey__env *env, const void *document, size_t size,
                                   covey__buffer *out, covey_error *error) COVEY_MUST_USE;
/* Appends the document with one signature more; one by the same key id is replaced. */
covey_status covey__tuf_add_signature(const covey__env *env, const void *document, size_t size,
                                      const char *key_id, const void *signature,
                                      size_t signature_size, covey__buffer *out,
                                      covey_error *error) COVEY_MUST_USE;
/* Both, with a key that is at hand. `out` may not hold `document`. */
covey_status covey__tuf_sign(const covey__env *env, const void *document, size_t size,
                             const covey__key *key, covey__buffer *out,
                             covey_error *error) COVEY_MUST_USE;

#endif
