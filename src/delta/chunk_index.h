/* The chunk index of a component (docs/formats/chunk-index.md): which pieces, in order, make the
 * file, and under which names their stored forms can be fetched. */
#ifndef COVEY_DELTA_CHUNK_INDEX_H
#define COVEY_DELTA_CHUNK_INDEX_H

#include "base/buffer.h"

#define COVEY__CHUNK_BYTES_MAX (1u << 20)  /* of one chunk's content, and of its stored form */
#define COVEY__INDEX_BYTES_MAX (16u << 20) /* of an index file */

typedef struct covey__chunk {
    uint64_t offset;      /* in the component */
    uint32_t size;        /* of the content, 1 to COVEY__CHUNK_BYTES_MAX */
    uint32_t stored_size; /* equal to size: stored as it is; smaller: one zstd frame */
    uint8_t sha256[32];   /* of the content: how a chunk is found again */
    uint8_t blob[32];     /* SHA-256 of the stored bytes: their name, <base>/sha256/<hex> */
} covey__chunk;

typedef struct covey__chunk_index {
    const covey__env *env;
    uint64_t component_size;
    uint8_t component_sha256[32];
    covey__chunk *chunks; /* without gaps, in file order */
    size_t chunk_count;
} covey__chunk_index;

/* Reads an index; what it says of itself is checked (sizes add up, raw chunks name themselves), not
 * yet that it is the index of any file. FORMAT names the chunk and field. */
covey_status covey__chunk_index_parse(const covey__env *env, const void *data, size_t size,
                                      covey__chunk_index **index,
                                      covey_error *error) COVEY_MUST_USE;
covey_status covey__chunk_index_read(const covey__env *env, const char *path,
                                     covey__chunk_index **index, covey_error *error) COVEY_MUST_USE;
/* Appends the index's bytes. */
covey_status covey__chunk_index_write(const covey__chunk_index *index, covey__buffer *out,
                                      covey_error *error) COVEY_MUST_USE;
void covey__chunk_index_free(covey__chunk_index *index); /* NULL is allowed */

/* Sum of stored sizes: what fetching everything costs. */
uint64_t covey__chunk_index_stored_bytes(const covey__chunk_index *index);

/* A stored chunk back to its content. `stored` must have stored_size bytes and `out` room for
 * chunk->size. The stored bytes are held against `blob` before they are decompressed, the content
 * against `sha256` after. MISMATCH when either differs. */
covey_status covey__chunk_decode(const covey__env *env, const covey__chunk *chunk,
                                 const void *stored, size_t stored_size, void *out,
                                 covey_error *error) COVEY_MUST_USE;

#endif
