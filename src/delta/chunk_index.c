/* The chunk index (docs/formats/chunk-index.md): reader, writer and the decoder of stored chunks.
 * An index comes from outside. What is returned satisfies: every chunk has 1 to
 * COVEY__CHUNK_BYTES_MAX bytes, offsets are sums of the sizes before and the last ends at the
 * component's size, a chunk stored as it is has one digest. No byte of a stored chunk reaches the
 * decompressor before it matched its name. Cutting files is chunk_maker.c's. */
#include "delta/chunk_index.h"

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"

#include <zstd.h>

#include <inttypes.h>
#include <string.h>

#define HEADER_BYTES 56u
#define ENTRY_BYTES  72u

static const char magic[8] = {'C', 'O', 'V', 'E', 'Y', 'I', 'D', 'X'};

static uint32_t get_u32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static uint64_t get_u64(const uint8_t *bytes) {
    return (uint64_t)get_u32(bytes) | (uint64_t)get_u32(bytes + 4) << 32;
}

static void put_u32(uint8_t *bytes, uint32_t value) {
    for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(value >> (8 * i));
}

static void put_u64(uint8_t *bytes, uint64_t value) {
    put_u32(bytes, (uint32_t)value);
    put_u32(bytes + 4, (uint32_t)(value >> 32));
}

/* One entry; `offset` is where it begins. */
static covey_status parse_entry(const uint8_t *entry, size_t number, uint64_t offset,
                                covey__chunk *chunk, covey_error *error) {
    chunk->offset = offset;
    chunk->size = get_u32(entry);
    chunk->stored_size = get_u32(entry + 4);
    memcpy(chunk->sha256, entry + 8, 32);
    memcpy(chunk->blob, entry + 40, 32);
    if (chunk->size == 0 || chunk->size > COVEY__CHUNK_BYTES_MAX)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "chunk %zu: size %" PRIu32 ", 1 to %u expected", number, chunk->size,
                           COVEY__CHUNK_BYTES_MAX);
    if (chunk->stored_size == 0 || chunk->stored_size > chunk->size)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "chunk %zu: stored size %" PRIu32 ", 1 to %" PRIu32 " expected", number,
                           chunk->stored_size, chunk->size);
    if (chunk->stored_size == chunk->size && memcmp(chunk->sha256, chunk->blob, 32) != 0)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "chunk %zu: is stored as it is, but its two digests differ", number);
    return COVEY_OK;
}

static covey_status parse_header(const uint8_t *bytes, size_t size, covey__chunk_index *index,
                                 covey_error *error) {
    if (size < HEADER_BYTES || memcmp(bytes, magic, sizeof magic) != 0)
        return covey__fail(error, COVEY_ERROR_FORMAT, "does not begin as a chunk index");
    uint32_t format = get_u32(bytes + 8);
    if (format != 1)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "format %" PRIu32 ": this library reads 1; update the app", format);
    if (size > COVEY__INDEX_BYTES_MAX)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, COVEY__INDEX_BYTES_MAX, (int64_t)size,
                                 "has %zu bytes, at most %u are allowed", size,
                                 COVEY__INDEX_BYTES_MAX);
    index->chunk_count = get_u32(bytes + 12);
    index->component_size = get_u64(bytes + 16);
    memcpy(index->component_sha256, bytes + 24, 32);
    /* In 64 bits: 2^32 entries of 72 bytes cannot overflow. */
    uint64_t expected = HEADER_BYTES + (uint64_t)index->chunk_count * ENTRY_BYTES;
    if (expected != size)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "names %zu chunks, which take %" PRIu64 " bytes; it has %zu",
                           index->chunk_count, expected, size);
    return COVEY_OK;
}

static covey_status parse_chunks(const uint8_t *bytes, covey__chunk_index *index,
                                 covey_error *error) {
    uint64_t offset = 0;
    for (size_t i = 0; i < index->chunk_count; i++) {
        covey_status status = parse_entry(bytes + HEADER_BYTES + i * ENTRY_BYTES, i, offset,
                                          &index->chunks[i], error);
        if (status != COVEY_OK) return status;
        offset += index->chunks[i].size; /* at most 2^18 chunks of 1 MiB: no overflow */
    }
    if (offset != index->component_size)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "chunks add up to %" PRIu64 " bytes, the component has %" PRIu64, offset,
                           index->component_size);
    return COVEY_OK;
}

covey_status covey__chunk_index_parse(const covey__env *env, const void *data, size_t size,
                                      covey__chunk_index **index, covey_error *error) {
    *index = NULL;
    covey__chunk_index *made = covey__calloc(env, 1, sizeof *made);
    if (made == NULL) return covey__no_memory(error, "delta: chunk index", sizeof *made);
    made->env = env;
    covey_status status = parse_header(data, size, made, error);
    if (status != COVEY_OK) goto fail;
    if (made->chunk_count > 0) {
        made->chunks = covey__calloc(env, made->chunk_count, sizeof *made->chunks);
        if (made->chunks == NULL) {
            status = covey__no_memory(error, "chunks", made->chunk_count * sizeof *made->chunks);
            goto fail;
        }
    }
    status = parse_chunks(data, made, error);
    if (status != COVEY_OK) goto fail;
    *index = made;
    return COVEY_OK;
fail:
    covey__chunk_index_free(made);
    return covey__prefix(error, status, "delta: chunk index");
}

covey_status covey__chunk_index_read(const covey__env *env, const char *path,
                                     covey__chunk_index **index, covey_error *error) {
    covey__buffer bytes;
    *index = NULL;
    covey__buffer_init(&bytes, env, COVEY__INDEX_BYTES_MAX);
    covey_status status = covey__file_read(env, path, &bytes, error);
    if (status == COVEY_OK)
        status = covey__chunk_index_parse(env, bytes.data, bytes.size, index, error);
    covey__buffer_free(&bytes);
    return status;
}

covey_status covey__chunk_index_write(const covey__chunk_index *index, covey__buffer *out,
                                      covey_error *error) {
    uint8_t header[HEADER_BYTES], entry[ENTRY_BYTES];
    size_t count_max = (COVEY__INDEX_BYTES_MAX - HEADER_BYTES) / ENTRY_BYTES;
    if (index->chunk_count > count_max)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)count_max,
                                 (int64_t)index->chunk_count,
                                 "delta: chunk index: %zu chunks, at most %zu are allowed",
                                 index->chunk_count, count_max);
    memcpy(header, magic, sizeof magic);
    put_u32(header + 8, 1);
    put_u32(header + 12, (uint32_t)index->chunk_count);
    put_u64(header + 16, index->component_size);
    memcpy(header + 24, index->component_sha256, 32);
    covey__buffer_append(out, header, sizeof header);
    for (size_t i = 0; i < index->chunk_count; i++) {
        const covey__chunk *chunk = &index->chunks[i];
        put_u32(entry, chunk->size);
        put_u32(entry + 4, chunk->stored_size);
        memcpy(entry + 8, chunk->sha256, 32);
        memcpy(entry + 40, chunk->blob, 32);
        covey__buffer_append(out, entry, sizeof entry);
    }
    return covey__buffer_check(out, error, "delta: chunk index");
}

void covey__chunk_index_free(covey__chunk_index *index) {
    if (index == NULL) return;
    covey__free(index->env, index->chunks);
    covey__free(index->env, index);
}

uint64_t covey__chunk_index_stored_bytes(const covey__chunk_index *index) {
    uint64_t sum = 0;
    for (size_t i = 0; i < index->chunk_count; i++) sum += index->chunks[i].stored_size;
    return sum;
}

static bool digest_is(const void *data, size_t size, const uint8_t expected[32]) {
    uint8_t digest[32];
    covey__sha256_of(data, size, digest);
    return memcmp(digest, expected, 32) == 0;
}

covey_status covey__chunk_decode(const covey__env *env, const covey__chunk *chunk,
                                 const void *stored, size_t stored_size, void *out,
                                 covey_error *error) {
    (void)env;
    char name[65];
    covey__hex(chunk->blob, 32, name);
    if (stored_size != chunk->stored_size)
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "delta: chunk %.16s…: %zu bytes, %" PRIu32 " expected", name,
                           stored_size, chunk->stored_size);
    if (!digest_is(stored, stored_size, chunk->blob))
        return covey__fail(error, COVEY_ERROR_MISMATCH, "delta: chunk %.16s…: digest differs",
                           name);
    if (chunk->stored_size == chunk->size) {
        memcpy(out, stored, stored_size);
        return COVEY_OK;
    }
    if (ZSTD_getFrameContentSize(stored, stored_size) != chunk->size ||
        ZSTD_findFrameCompressedSize(stored, stored_size) != stored_size)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "delta: chunk %.16s…: is not one zstd frame of %" PRIu32 " bytes", name,
                           chunk->size);
    size_t size = ZSTD_decompress(out, chunk->size, stored, stored_size);
    if (ZSTD_isError(size) || size != chunk->size)
        return covey__fail(error, COVEY_ERROR_FORMAT, "delta: chunk %.16s…: zstd: %s", name,
                           ZSTD_isError(size) ? ZSTD_getErrorName(size) : "wrong length");
    if (!digest_is(out, size, chunk->sha256))
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "delta: chunk %.16s…: its content's digest differs", name);
    return COVEY_OK;
}
