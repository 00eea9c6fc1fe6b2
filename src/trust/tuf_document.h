/* Metadata of The Update Framework as values: root, timestamp, snapshot and targets, by the
 * specification 1.0.3x, section 4. What is here was well formed and within bounds; whether it is to
 * be believed is for covey__tuf_verify and the client. Members that are not known are ignored, but
 * count in what was signed. */
#ifndef COVEY_TRUST_TUF_DOCUMENT_H
#define COVEY_TRUST_TUF_DOCUMENT_H

#include "base/arena.h"
#include "trust/public_key.h"

#define COVEY__TUF_BYTES_MAX            (16u << 20) /* of any document, whatever the options say */
#define COVEY__TUF_JSON_DEPTH_MAX       32
#define COVEY__TUF_JSON_NODE_COUNT_MAX  (1u << 19)
#define COVEY__TUF_TREE_BYTES_MAX       (96u << 20) /* of the parsed tree, gone after reading */
#define COVEY__TUF_VALUE_BYTES_MAX      (64u << 20) /* of what is kept of a document */
#define COVEY__TUF_SIGNATURE_COUNT_MAX  256
#define COVEY__TUF_SIGNATURE_BYTES_MAX  1024  /* RSA with 8192 bits */
#define COVEY__TUF_KEY_COUNT_MAX        1024  /* in one document */
#define COVEY__TUF_ROLE_KEY_COUNT_MAX   64    /* of one role */
#define COVEY__TUF_DELEGATION_COUNT_MAX 4096  /* in one document */
#define COVEY__TUF_PATTERN_COUNT_MAX    65536 /* in one document */
#define COVEY__TUF_BIN_BITS_MAX         32
#define COVEY__TUF_KEY_ID_BYTES_MAX     128
#define COVEY__TUF_NAME_BYTES_MAX       1024 /* of a role, a target, a pattern */

typedef enum covey__tuf_type {
    COVEY__TUF_ROOT = 0,
    COVEY__TUF_TIMESTAMP = 1,
    COVEY__TUF_SNAPSHOT = 2,
    COVEY__TUF_TARGETS = 3
} covey__tuf_type;
#define COVEY__TUF_TOP_COUNT 4

typedef struct covey__tuf_key {
    const char *name; /* the id that this document gives it */
    covey__public_key key;
} covey__tuf_key;

/* Whose signatures count for a role, and how many. Ids without a key here have NULL. */
typedef struct covey__tuf_role {
    const char *name;
    const char **key_ids;
    const covey__tuf_key **keys;
    size_t key_count;
    int64_t threshold;
    /* of a delegation only */
    bool terminating;
    bool by_hash;          /* patterns are prefixes of SHA-256(name) in hex */
    const char **patterns; /* else globs, a segment at a time */
    size_t pattern_count;
} covey__tuf_role;

/* The hashes that are given of a file; those of algorithms that are not known here are ignored, but
 * one must be known. */
typedef struct covey__tuf_hashes {
    bool given;
    bool has_sha256;
    uint8_t sha256[32];
    const uint8_t *sha512; /* 64 bytes; NULL when absent */
} covey__tuf_hashes;

/* A metadata file that a timestamp or a snapshot names. */
typedef struct covey__tuf_file {
    const char *name; /* "snapshot.json" */
    int64_t version;
    int64_t length; /* -1: not said */
    covey__tuf_hashes hashes;
} covey__tuf_file;

typedef struct covey__tuf_entry {
    const char *name;
    int64_t length;
    covey__tuf_hashes hashes;
    const char *custom; /* JSON text; NULL when absent */
    size_t custom_size;
} covey__tuf_entry;

typedef struct covey__tuf_signature {
    const char *name;     /* the key's id */
    const uint8_t *bytes; /* NULL with 0 for what is no hex */
    size_t size;
} covey__tuf_signature;

typedef struct covey__tuf_document {
    covey__arena arena;
    covey__tuf_type type;
    int64_t version;
    int64_t expires_ms;
    int64_t issued_ms; /* "covey_issued" of a timestamp; 0 when absent */
    covey__tuf_signature *signatures;
    size_t signature_count;
    char *canonical; /* the signed part's canonical bytes, until covey__tuf_slim */
    size_t canonical_size;
    const void **keys; /* covey__tuf_key, sorted by id */
    size_t key_count;

    bool consistent_snapshot;                  /* root */
    covey__tuf_role top[COVEY__TUF_TOP_COUNT]; /* root: by covey__tuf_type */

    const void **files; /* timestamp and snapshot: covey__tuf_file, sorted by name */
    size_t file_count;

    const void **targets; /* targets: covey__tuf_entry, sorted by name */
    size_t target_count;
    covey__tuf_role *roles; /* delegations, in their order */
    size_t role_count;
    uint32_t bin_bits; /* succinct roles (TAP 15): 0 when there are none */
    const char *bin_prefix;
    covey__tuf_role bin; /* its keys and threshold; no name, no patterns */
} covey__tuf_document;

/* "root", "timestamp", "snapshot", "targets". */
const char *covey__tuf_type_name(covey__tuf_type type);

/* Reads a document of that type, whole. Free it with covey__tuf_free. FORMAT, LIMIT, UNSUPPORTED
 * (another major version of the specification) or NO_MEMORY. */
covey_status covey__tuf_parse(const covey__env *env, covey__tuf_type type, const void *data,
                              size_t size, covey__tuf_document **out,
                              covey_error *error) COVEY_MUST_USE;
void covey__tuf_free(covey__tuf_document *document); /* NULL is allowed */
/* Drops what only covey__tuf_verify needs. */
void covey__tuf_slim(covey__tuf_document *document);

/* OK when at least the role's threshold of distinct keys of the role signed the document: a key
 * under two ids counts once, a wrong signature counts as none. SIGNATURE otherwise. */
covey_status covey__tuf_verify(const covey__env *env, const covey__tuf_document *document,
                               const covey__tuf_role *role, covey_error *error) COVEY_MUST_USE;

/* Whether a key of `before` is no longer one of `after`'s: the keys were rotated. */
bool covey__tuf_rotated(const covey__tuf_role *before, const covey__tuf_role *after);

/* NULL when it is not there. */
const covey__tuf_file *covey__tuf_file_find(const covey__tuf_document *document, const char *name);
const covey__tuf_entry *covey__tuf_entry_find(const covey__tuf_document *document,
                                              const char *name);

/* OK when bytes are those that `file` names: length, then hash. MISMATCH otherwise. */
covey_status covey__tuf_file_check(const covey__tuf_file *file, const void *data, size_t size,
                                   covey_error *error) COVEY_MUST_USE;

/* Whether a hash that is known here is given. */
bool covey__tuf_hashes_known(const covey__tuf_hashes *hashes);
/* OK when every known hash is that of the bytes, of which both are given. MISMATCH otherwise. */
covey_status covey__tuf_hashes_check(const covey__tuf_hashes *hashes, const uint8_t sha256[32],
                                     const uint8_t sha512[64], covey_error *error) COVEY_MUST_USE;

/* For tuf_targets.c, the other half of the parser. */
typedef struct covey__tuf_reader {
    const covey__env *env;
    covey__tuf_document *document;
    size_t pattern_count; /* so far, of all delegations */
} covey__tuf_reader;
covey_status covey__tuf_read_targets(covey__tuf_reader *reader, const covey__json *signed_part,
                                     covey_error *error) COVEY_MUST_USE;
covey_status covey__tuf_read_keys(covey__tuf_reader *reader, const covey__json *object,
                                  const char *path, covey_error *error) COVEY_MUST_USE;
covey_status covey__tuf_read_role(covey__tuf_reader *reader, const covey__json *object,
                                  const char *path, covey__tuf_role *role,
                                  covey_error *error) COVEY_MUST_USE;
covey_status covey__tuf_read_hashes(covey__tuf_reader *reader, const covey__json *object,
                                    const char *path, covey__tuf_hashes *out,
                                    covey_error *error) COVEY_MUST_USE;
/* A copy in the document's arena of a name from outside: not empty, no NUL, at most `max` bytes. */
covey_status covey__tuf_copy_name(covey__tuf_reader *reader, const char *text, size_t size,
                                  size_t max, const char *what, const char **out,
                                  covey_error *error) COVEY_MUST_USE;
/* Things that begin with a `const char *name`, made ready for look-ups. Takes an array of `count`
 * of them with that stride; `*sorted` is the arena's. */
covey_status covey__tuf_sort(covey__tuf_reader *reader, const void *first, size_t stride,
                             size_t count, const void ***sorted, covey_error *error) COVEY_MUST_USE;
const void *covey__tuf_lookup(const void *const *sorted, size_t count, const char *name);

#endif
