/* Whole files in and out of their encrypted form, a chunk at a time. Encrypting reads the file
 * twice, once for the digest that its key follows from; when the second reading finds other bytes
 * nothing is left behind, for two contents under one key would give both away. Neighbour:
 * envelope.c. */
#include "trust/envelope.h"

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define SEALED_CHUNK (COVEY__ENVELOPE_CHUNK_BYTES + COVEY__GCM_TAG_BYTES)

static covey_status open_to_read(const covey__env *env, const char *path, int *descriptor,
                                 uint64_t *size, covey_error *error) {
    covey_status status = covey__file_size(env, path, size, error);
    if (status != COVEY_OK) return status;
    return covey__file_open(env, path, O_RDONLY | O_CLOEXEC, 0, descriptor, error);
}

/* Reads the plain file once: its digest, and, with an envelope, its chunks sealed to `out`. */
static covey_status pass(const covey__env *env, const char *path, int in, uint64_t size,
                         const covey__envelope *envelope, covey__replacement *out, uint8_t *chunk,
                         uint8_t digest[32], covey_error *error) {
    covey__sha256 hash;
    covey_status status = COVEY_OK;
    uint64_t index = 0, at = 0;
    covey__sha256_init(&hash);
    do {
        size_t piece = size - at < COVEY__ENVELOPE_CHUNK_BYTES ? (size_t)(size - at)
                                                               : COVEY__ENVELOPE_CHUNK_BYTES;
        status = covey__file_read_at(env, in, path, at, chunk, piece, error);
        if (status != COVEY_OK) return status;
        covey__sha256_update(&hash, chunk, piece);
        if (envelope != NULL) {
            status = covey__envelope_chunk_seal(envelope, index, chunk, chunk, error);
            if (status == COVEY_OK)
                status = covey__file_write_at(env, out->descriptor, out->temporary,
                                              COVEY__ENVELOPE_HEADER_BYTES + index * SEALED_CHUNK,
                                              chunk, piece + COVEY__GCM_TAG_BYTES, error);
            if (status != COVEY_OK) return status;
        }
        at += piece;
        index++;
    } while (at < size);
    covey__sha256_final(&hash, digest);
    return COVEY_OK;
}

/* The second reading, to a new file at `to`. */
static covey_status seal_to(const covey__env *env, const covey__envelope *envelope,
                            const char *from, int in, const char *to, uint8_t *chunk,
                            const uint8_t digest[32], covey_error *error) {
    covey__replacement out;
    uint8_t again[32];
    covey_status status = covey__replace_begin(env, to, true, &out, error);
    if (status != COVEY_OK) return status;
    status = covey__file_write_at(env, out.descriptor, out.temporary, 0, envelope->header.bytes,
                                  COVEY__ENVELOPE_HEADER_BYTES, error);
    if (status == COVEY_OK)
        status =
            pass(env, from, in, envelope->header.plain_size, envelope, &out, chunk, again, error);
    if (status == COVEY_OK && memcmp(digest, again, 32) != 0)
        status = covey__fail(error, COVEY_ERROR_MISMATCH, "%s changed while it was read", from);
    if (status == COVEY_OK) return covey__replace_commit(&out, error);
    covey__replace_abort(&out);
    return status;
}

covey_status covey__envelope_encrypt_file(const covey__env *env, const covey__content_key *key,
                                          const char *from, const char *to, covey_error *error) {
    covey__envelope envelope = {0};
    covey__envelope_header header;
    uint8_t digest[32], *chunk = NULL;
    uint64_t size;
    int in = -1;
    covey_status status = open_to_read(env, from, &in, &size, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "trust: encrypt");
    if (size > COVEY__ENVELOPE_PLAIN_MAX)
        status = covey__fail(error, COVEY_ERROR_LIMIT, "%s is too large", from);
    if (status == COVEY_OK && (chunk = covey__alloc(env, SEALED_CHUNK)) == NULL)
        status = covey__no_memory(error, "a chunk", SEALED_CHUNK);
    if (status == COVEY_OK) status = pass(env, from, in, size, NULL, NULL, chunk, digest, error);
    if (status == COVEY_OK) status = covey__envelope_header_make(key, size, digest, &header, error);
    if (status == COVEY_OK) status = covey__envelope_open(env, key, &header, &envelope, error);
    if (status == COVEY_OK) status = seal_to(env, &envelope, from, in, to, chunk, digest, error);
    if (chunk != NULL) explicit_bzero(chunk, SEALED_CHUNK);
    covey__free(env, chunk);
    covey__envelope_close(&envelope);
    close(in);
    if (status != COVEY_OK) return covey__prefix(error, status, "trust: encrypt");
    return COVEY_OK;
}

static covey_status read_header(const covey__env *env, const char *path, int *descriptor,
                                covey__envelope_header *header, covey_error *error) {
    uint8_t bytes[COVEY__ENVELOPE_HEADER_BYTES];
    uint64_t size;
    covey_status status = open_to_read(env, path, descriptor, &size, error);
    if (status != COVEY_OK) return status;
    status = covey__file_read_at(env, *descriptor, path, 0, bytes, sizeof bytes, error);
    if (status == COVEY_OK)
        status = covey__envelope_header_read(bytes, sizeof bytes, header, error);
    if (status == COVEY_OK && size != covey__envelope_size(header->plain_size))
        status = covey__fail(error, COVEY_ERROR_MISMATCH,
                             "%s has %" PRIu64 " bytes, by its header it must have %" PRIu64, path,
                             size, covey__envelope_size(header->plain_size));
    if (status != COVEY_OK) close(*descriptor);
    return status;
}

covey_status covey__envelope_file_header(const covey__env *env, const char *path,
                                         covey__envelope_header *header, covey_error *error) {
    int descriptor;
    covey_status status = read_header(env, path, &descriptor, header, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "trust: encrypted component");
    close(descriptor);
    return COVEY_OK;
}

static covey_status open_chunks(const covey__envelope *envelope, const char *path, int in,
                                uint8_t *plain, covey_error *error) {
    const covey__env *env = envelope->env;
    covey_status status = COVEY_OK;
    uint8_t *sealed = covey__alloc(env, SEALED_CHUNK);
    if (sealed == NULL) return covey__no_memory(error, "a chunk", SEALED_CHUNK);
    for (uint64_t i = 0; i < envelope->header.chunk_count && status == COVEY_OK; i++) {
        size_t size = covey__envelope_chunk_size(&envelope->header, i);
        status = covey__file_read_at(env, in, path, COVEY__ENVELOPE_HEADER_BYTES + i * SEALED_CHUNK,
                                     sealed, size + COVEY__GCM_TAG_BYTES, error);
        if (status == COVEY_OK)
            status = covey__envelope_chunk_open(envelope, i, sealed,
                                                plain + i * COVEY__ENVELOPE_CHUNK_BYTES, error);
    }
    covey__free(env, sealed);
    return status;
}

covey_status covey__envelope_decrypt_file(const covey__env *env, const covey__content_key *key,
                                          const char *path, void *plain, size_t plain_size,
                                          covey_error *error) {
    covey__envelope envelope = {0};
    covey__envelope_header header;
    int in;
    covey_status status = read_header(env, path, &in, &header, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "trust: encrypted component");
    if (header.plain_size != plain_size)
        status = covey__fail(error, COVEY_ERROR_MISMATCH,
                             "%s holds %" PRIu64 " bytes, not the %zu that were asked for", path,
                             header.plain_size, plain_size);
    if (status == COVEY_OK) status = covey__envelope_open(env, key, &header, &envelope, error);
    if (status == COVEY_OK) {
        status = open_chunks(&envelope, path, in, plain, error);
        if (status != COVEY_OK && plain_size > 0) explicit_bzero(plain, plain_size);
    }
    covey__envelope_close(&envelope);
    close(in);
    if (status != COVEY_OK) return covey__prefix(error, status, "trust: encrypted component");
    return COVEY_OK;
}
