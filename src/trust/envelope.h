/* Encrypted components of private ensembles, and the content keys that open them
 * (docs/formats/encrypted-component.md). */
#ifndef COVEY_TRUST_ENVELOPE_H
#define COVEY_TRUST_ENVELOPE_H

#include "trust/crypto.h"

#define COVEY__ENVELOPE_HEADER_BYTES 80u
#define COVEY__ENVELOPE_CHUNK_BYTES  (1u << 20)
#define COVEY__ENVELOPE_PLAIN_MAX    ((uint64_t)1 << 46)

typedef struct covey__content_key {
    uint8_t key[32];
    uint8_t id[16]; /* follows from the key; no secret */
} covey__content_key;

/* A new one; one from its bytes. The caller wipes them. */
covey_status covey__content_key_make(const covey__env *env, covey__content_key *key,
                                     covey_error *error) COVEY_MUST_USE;
void covey__content_key_of(const uint8_t bytes[32], covey__content_key *key);
void covey__content_key_wipe(covey__content_key *key);
/* In a file that its owner alone may read (docs/formats/key-file.md); as covey__key_write and
 * covey__key_read. */
covey_status covey__content_key_write(const covey__env *env, const char *path,
                                      const covey__content_key *key,
                                      covey_error *error) COVEY_MUST_USE;
covey_status covey__content_key_read(const covey__env *env, const char *path,
                                     covey__content_key *key, covey_error *error) COVEY_MUST_USE;
/* The same of text in memory. */
covey_status covey__content_key_parse(const covey__env *env, const char *text, size_t size,
                                      covey__content_key *key, covey_error *error) COVEY_MUST_USE;

#define COVEY__WRAPPED_KEY_BYTES 80u
#define COVEY__DEVICE_ID_MAX     128u
/* Seals a content key to a device's X25519 key. */
covey_status covey__content_key_wrap(const covey__env *env, const covey__content_key *key,
                                     const char *device_id, const uint8_t device_key[32],
                                     uint8_t wrapped[80], covey_error *error) COVEY_MUST_USE;
/* Opens it. MISMATCH when it was not wrapped for this device, this device's key and this id. */
covey_status covey__content_key_unwrap(const covey__env *env, const uint8_t id[16],
                                       const char *device_id, const uint8_t device_private[32],
                                       const uint8_t wrapped[80], covey__content_key *key,
                                       covey_error *error) COVEY_MUST_USE;

typedef struct covey__envelope_header {
    uint64_t plain_size, chunk_count;
    uint8_t key_id[16], component_id[32];
    uint8_t bytes[COVEY__ENVELOPE_HEADER_BYTES]; /* as it stands in the file */
} covey__envelope_header;

/* The header of a content, by its size and digest. */
covey_status covey__envelope_header_make(const covey__content_key *key, uint64_t plain_size,
                                         const uint8_t plain_sha256[32],
                                         covey__envelope_header *header,
                                         covey_error *error) COVEY_MUST_USE;
/* FORMAT when it is none, UNSUPPORTED when it is of a later version. Nothing is believed of it
 * until a chunk opens. */
covey_status covey__envelope_header_read(const void *bytes, size_t size,
                                         covey__envelope_header *header,
                                         covey_error *error) COVEY_MUST_USE;
bool covey__envelope_is(const void *bytes, size_t size); /* by its first 8 bytes */
/* What the file of a header, or of so many plain bytes, weighs. */
uint64_t covey__envelope_size(uint64_t plain_size);

/* One file's key, ready. Chunks may be opened in any order, from several threads. */
typedef struct covey__envelope {
    const covey__env *env;
    covey__envelope_header header;
    uint8_t key[32], digest[32]; /* the header's */
} covey__envelope;

/* DENIED when it needs another content key. */
covey_status covey__envelope_open(const covey__env *env, const covey__content_key *key,
                                  const covey__envelope_header *header, covey__envelope *envelope,
                                  covey_error *error) COVEY_MUST_USE;
void covey__envelope_close(covey__envelope *envelope); /* wipes the key */
/* Plain bytes of a chunk; as stored it has COVEY__GCM_TAG_BYTES more. */
size_t covey__envelope_chunk_size(const covey__envelope_header *header, uint64_t index);
/* `sealed` is the chunk as stored; `plain` may begin where it does. MISMATCH when it is not that
 * chunk. */
covey_status covey__envelope_chunk_open(const covey__envelope *envelope, uint64_t index,
                                        const void *sealed, void *plain,
                                        covey_error *error) COVEY_MUST_USE;
covey_status covey__envelope_chunk_seal(const covey__envelope *envelope, uint64_t index,
                                        const void *plain, void *sealed,
                                        covey_error *error) COVEY_MUST_USE;

/* Whole files. Encrypts `from` to `to` (replaced atomically) with a few MiB of memory. */
covey_status covey__envelope_encrypt_file(const covey__env *env, const covey__content_key *key,
                                          const char *from, const char *to,
                                          covey_error *error) COVEY_MUST_USE;
/* The header of a file whose size is right for it. */
covey_status covey__envelope_file_header(const covey__env *env, const char *path,
                                         covey__envelope_header *header,
                                         covey_error *error) COVEY_MUST_USE;
/* Decrypts a whole file into `plain` of header.plain_size bytes, which is all zeros after a
 * failure. */
covey_status covey__envelope_decrypt_file(const covey__env *env, const covey__content_key *key,
                                          const char *path, void *plain, size_t plain_size,
                                          covey_error *error) COVEY_MUST_USE;

#endif
