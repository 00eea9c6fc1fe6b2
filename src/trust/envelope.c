/* Encrypted components (docs/formats/encrypted-component.md): keys, headers, chunks. Invariants:
 * one content and one content key give one header, and every header has a key of its own, so no
 * nonce is ever used twice with a key; a chunk opens only as that chunk of that file. Keys that are
 * derived are wiped where they end. Neighbours: envelope_file.c streams whole files, hpke.c wraps.
 */
#include "trust/envelope.h"

#include "base/error.h"
#include "base/sha256.h"
#include "trust/hkdf.h"
#include "trust/hpke.h"

#include <inttypes.h>
#include <string.h>

#define MAGIC   "COVEYENC"
#define VERSION 1u

static uint32_t read_u32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t read_u64(const uint8_t *at) {
    return read_u32(at) | (uint64_t)read_u32(at + 4) << 32;
}

static void write_u64(uint8_t *at, uint64_t value) {
    for (int i = 0; i < 8; i++) at[i] = (uint8_t)(value >> 8 * i);
}

/* HKDF with a content key as the secret. */
static void derive(const uint8_t key[32], const uint8_t *salt, size_t salt_size, const void *info,
                   size_t info_size, uint8_t *out, size_t out_size) {
    uint8_t prk[32];
    covey__hkdf_extract(salt, salt_size, key, 32, prk);
    covey__hkdf_expand(prk, info, info_size, out, out_size);
    explicit_bzero(prk, sizeof prk);
}

void covey__content_key_of(const uint8_t bytes[32], covey__content_key *key) {
    static const char info[] = "covey-content-key-id-v1";
    memmove(key->key, bytes, 32);
    derive(key->key, NULL, 0, info, strlen(info), key->id, sizeof key->id);
}

covey_status covey__content_key_make(const covey__env *env, covey__content_key *key,
                                     covey_error *error) {
    uint8_t bytes[32];
    covey_status status = covey__random(env, bytes, sizeof bytes, error);
    if (status == COVEY_OK) covey__content_key_of(bytes, key);
    explicit_bzero(bytes, sizeof bytes);
    return status;
}

void covey__content_key_wipe(covey__content_key *key) {
    explicit_bzero(key, sizeof *key);
}

/* The info of a wrapped key: DOMAIN NUL id device. */
typedef struct wrap_info {
    uint8_t bytes[21 + 16 + COVEY__DEVICE_ID_MAX];
    size_t size;
} wrap_info;

static covey_status make_info(const uint8_t id[16], const char *device_id, wrap_info *info,
                              covey_error *error) {
    static const char domain[21] = "covey-content-key-v1";
    size_t size = strlen(device_id);
    if (size == 0 || size > COVEY__DEVICE_ID_MAX)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "trust: a device id has 1 to %u bytes, this one has %zu",
                           COVEY__DEVICE_ID_MAX, size);
    memcpy(info->bytes, domain, sizeof domain);
    memcpy(info->bytes + sizeof domain, id, 16);
    memcpy(info->bytes + sizeof domain + 16, device_id, size);
    info->size = sizeof domain + 16 + size;
    return COVEY_OK;
}

covey_status covey__content_key_wrap(const covey__env *env, const covey__content_key *key,
                                     const char *device_id, const uint8_t device_key[32],
                                     uint8_t wrapped[80], covey_error *error) {
    wrap_info info;
    covey_status status = make_info(key->id, device_id, &info, error);
    if (status != COVEY_OK) return status;
    covey__hpke_context context = {info.bytes, info.size, NULL, 0};
    return covey__hpke_seal(env, device_key, &context, key->key, 32, wrapped, error);
}

covey_status covey__content_key_unwrap(const covey__env *env, const uint8_t id[16],
                                       const char *device_id, const uint8_t device_private[32],
                                       const uint8_t wrapped[80], covey__content_key *key,
                                       covey_error *error) {
    wrap_info info;
    uint8_t bytes[32];
    covey_status status = make_info(id, device_id, &info, error);
    if (status != COVEY_OK) return status;
    covey__hpke_context context = {info.bytes, info.size, NULL, 0};
    status = covey__hpke_open(env, device_private, &context, wrapped, COVEY__WRAPPED_KEY_BYTES,
                              bytes, error);
    if (status == COVEY_OK) covey__content_key_of(bytes, key);
    explicit_bzero(bytes, sizeof bytes);
    if (status == COVEY_OK && memcmp(key->id, id, 16) != 0) {
        covey__content_key_wipe(key);
        status = covey__fail(error, COVEY_ERROR_MISMATCH, "it is another key than its id says");
    }
    if (status != COVEY_OK)
        return covey__prefix(error, status, "trust: a content key wrapped for this device");
    return COVEY_OK;
}

static uint64_t count_chunks(uint64_t plain_size) {
    if (plain_size == 0) return 1;
    return (plain_size - 1) / COVEY__ENVELOPE_CHUNK_BYTES + 1;
}

bool covey__envelope_is(const void *bytes, size_t size) {
    return size >= 8 && memcmp(bytes, MAGIC, 8) == 0;
}

uint64_t covey__envelope_size(uint64_t plain_size) {
    return COVEY__ENVELOPE_HEADER_BYTES + plain_size +
           COVEY__GCM_TAG_BYTES * count_chunks(plain_size);
}

covey_status covey__envelope_header_read(const void *bytes, size_t size,
                                         covey__envelope_header *header, covey_error *error) {
    static const uint8_t zeros[8];
    const uint8_t *at = bytes;
    if (size < COVEY__ENVELOPE_HEADER_BYTES || !covey__envelope_is(at, size))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "trust: this is no encrypted component (expected %s and %u bytes)",
                           MAGIC, COVEY__ENVELOPE_HEADER_BYTES);
    if (read_u32(at + 8) != VERSION || read_u32(at + 12) != COVEY__ENVELOPE_CHUNK_BYTES)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "trust: an encrypted component of version %" PRIu32
                           " with chunks of %" PRIu32 " bytes; version %u with %u is known here",
                           read_u32(at + 8), read_u32(at + 12), VERSION,
                           COVEY__ENVELOPE_CHUNK_BYTES);
    memset(header, 0, sizeof *header);
    header->plain_size = read_u64(at + 16);
    if (header->plain_size > COVEY__ENVELOPE_PLAIN_MAX || memcmp(at + 72, zeros, 8) != 0)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "trust: the header of an encrypted component is damaged");
    header->chunk_count = count_chunks(header->plain_size);
    memcpy(header->key_id, at + 24, 16);
    memcpy(header->component_id, at + 40, 32);
    memcpy(header->bytes, at, COVEY__ENVELOPE_HEADER_BYTES);
    return COVEY_OK;
}

covey_status covey__envelope_header_make(const covey__content_key *key, uint64_t plain_size,
                                         const uint8_t plain_sha256[32],
                                         covey__envelope_header *header, covey_error *error) {
    static const char info[] = "covey-component-id-v1";
    uint8_t bytes[COVEY__ENVELOPE_HEADER_BYTES] = {0};
    memcpy(bytes, MAGIC, 8);
    bytes[8] = VERSION;
    for (int i = 0; i < 4; i++) bytes[12 + i] = (uint8_t)(COVEY__ENVELOPE_CHUNK_BYTES >> 8 * i);
    write_u64(bytes + 16, plain_size);
    memcpy(bytes + 24, key->id, 16);
    derive(key->key, plain_sha256, 32, info, strlen(info), bytes + 40, 32);
    return covey__envelope_header_read(bytes, sizeof bytes, header, error);
}

covey_status covey__envelope_open(const covey__env *env, const covey__content_key *key,
                                  const covey__envelope_header *header, covey__envelope *envelope,
                                  covey_error *error) {
    static const char domain[] = "covey-component-key-v1"; /* with its NUL */
    uint8_t info[sizeof domain + COVEY__ENVELOPE_HEADER_BYTES];
    if (memcmp(key->id, header->key_id, 16) != 0) {
        char needed[33];
        covey__hex(header->key_id, 16, needed);
        return covey__fail(error, COVEY_ERROR_DENIED,
                           "trust: this component needs the content key %s", needed);
    }
    memset(envelope, 0, sizeof *envelope);
    envelope->env = env;
    envelope->header = *header;
    covey__sha256_of(header->bytes, sizeof header->bytes, envelope->digest);
    memcpy(info, domain, sizeof domain);
    memcpy(info + sizeof domain, header->bytes, sizeof header->bytes);
    derive(key->key, NULL, 0, info, sizeof info, envelope->key, sizeof envelope->key);
    return COVEY_OK;
}

void covey__envelope_close(covey__envelope *envelope) {
    explicit_bzero(envelope, sizeof *envelope);
}

size_t covey__envelope_chunk_size(const covey__envelope_header *header, uint64_t index) {
    if (index + 1 < header->chunk_count) return COVEY__ENVELOPE_CHUNK_BYTES;
    return (size_t)(header->plain_size - index * COVEY__ENVELOPE_CHUNK_BYTES);
}

#define AAD_BYTES 41u

/* Key and nonce of a chunk, and its associated data. */
static void set_chunk(const covey__envelope *envelope, uint64_t index, covey__gcm *gcm,
                      uint8_t aad[AAD_BYTES]) {
    memcpy(gcm->key, envelope->key, 32);
    memset(gcm->nonce, 0, 4);
    write_u64(gcm->nonce + 4, index);
    memcpy(aad, envelope->digest, 32);
    write_u64(aad + 32, index);
    aad[40] = index + 1 == envelope->header.chunk_count;
}

static covey_status check_index(const covey__envelope *envelope, uint64_t index,
                                covey_error *error) {
    if (index < envelope->header.chunk_count) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                       "trust: chunk %" PRIu64 " of %" PRIu64 " is asked for", index,
                       envelope->header.chunk_count);
}

covey_status covey__envelope_chunk_open(const covey__envelope *envelope, uint64_t index,
                                        const void *sealed, void *plain, covey_error *error) {
    covey__gcm gcm;
    uint8_t aad[AAD_BYTES];
    covey_status status = check_index(envelope, index, error);
    if (status != COVEY_OK) return status;
    set_chunk(envelope, index, &gcm, aad);
    size_t size = covey__envelope_chunk_size(&envelope->header, index);
    status = covey__gcm_open(envelope->env, &gcm, aad, sizeof aad, sealed,
                             size + COVEY__GCM_TAG_BYTES, plain, error);
    explicit_bzero(&gcm, sizeof gcm);
    if (status == COVEY_ERROR_MISMATCH)
        return covey__fail(error, status,
                           "trust: chunk %" PRIu64 " of %" PRIu64
                           " of an encrypted component is damaged or not in its place",
                           index, envelope->header.chunk_count);
    return status;
}

covey_status covey__envelope_chunk_seal(const covey__envelope *envelope, uint64_t index,
                                        const void *plain, void *sealed, covey_error *error) {
    covey__gcm gcm;
    uint8_t aad[AAD_BYTES];
    covey_status status = check_index(envelope, index, error);
    if (status != COVEY_OK) return status;
    set_chunk(envelope, index, &gcm, aad);
    status = covey__gcm_seal(envelope->env, &gcm, aad, sizeof aad, plain,
                             covey__envelope_chunk_size(&envelope->header, index), sealed, error);
    explicit_bzero(&gcm, sizeof gcm);
    return status;
}
