/* Cutting a file into chunks (docs/formats/chunk-index.md, "Cutting"). The cut is a pure function
 * of the bytes: no clock, no options, so that publisher and device cut alike. A GGUF is cut at its
 * tensors' borders, since a fine-tune changes some tensors and leaves others; what is not a GGUF,
 * and a GGUF's metadata, is cut by content with a gear hash and FastCDC's normalized cutting (Xia
 * et al., USENIX ATC 2016), so that an insertion moves few borders. Files are mapped; memory is one
 * compressed chunk and the table. */
#include "delta/chunk_maker.h"

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "gguf/gguf.h"

#include <zstd.h>

#include <stdlib.h>
#include <string.h>

#define TENSOR_CHUNK_MIN (128u << 10)
#define CONTENT_MIN      (32u << 10)
#define CONTENT_AVERAGE  (128u << 10)
#define CONTENT_MAX      (512u << 10)
#define ZSTD_LEVEL       9

/* Normalized cutting around 2^17 bytes: two more bits must be zero before the average, two fewer
 * after. The gear hash shifts left, so its high bits have seen the most bytes. */
#define MASK_HARD (~(uint64_t)0 << (64 - 19))
#define MASK_EASY (~(uint64_t)0 << (64 - 15))

typedef struct maker {
    const covey__env *env;
    const uint8_t *data;
    covey__chunk_index *index;
    size_t capacity;
    covey__chunk_fn each;
    void *user;
    ZSTD_CCtx *zstd;
    uint8_t *stored;
    size_t stored_capacity;
    uint64_t gear[256];
    bool even; /* cut each COVEY__CHUNK_BYTES_MAX, stored as it is */
} maker;

/* The gear table: splitmix64 (Steele, Lea, Flood 2014) from a fixed seed. */
static void fill_gear(uint64_t gear[256]) {
    uint64_t state = UINT64_C(0x636f766579434443);
    for (int i = 0; i < 256; i++) {
        state += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t z = state;
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        gear[i] = z ^ (z >> 31);
    }
}

/* Length of the chunk that begins at `data`, of at most `size` bytes. */
static size_t content_cut(const uint64_t gear[256], const uint8_t *data, size_t size) {
    if (size <= CONTENT_MIN) return size;
    size_t end = size < CONTENT_MAX ? size : CONTENT_MAX;
    size_t average = end < CONTENT_AVERAGE ? end : CONTENT_AVERAGE;
    uint64_t hash = 0;
    size_t at = CONTENT_MIN;
    for (; at < average; at++) {
        hash = (hash << 1) + gear[data[at]];
        if ((hash & MASK_HARD) == 0) return at + 1;
    }
    for (; at < end; at++) {
        hash = (hash << 1) + gear[data[at]];
        if ((hash & MASK_EASY) == 0) return at + 1;
    }
    return end;
}

/* The stored form: the smaller of content and zstd frame, the frame only if it saves over 3 %. */
static covey_status store_form(maker *m, covey__chunk *chunk, const void **stored,
                               covey_error *error) {
    const uint8_t *content = m->data + chunk->offset;
    *stored = content;
    chunk->stored_size = chunk->size;
    memcpy(chunk->blob, chunk->sha256, 32);
    if (m->each == NULL || m->even) return COVEY_OK;
    size_t made =
        ZSTD_compressCCtx(m->zstd, m->stored, m->stored_capacity, content, chunk->size, ZSTD_LEVEL);
    if (ZSTD_isError(made))
        return covey__fail(error, COVEY_ERROR_INTERNAL, "zstd: %s", ZSTD_getErrorName(made));
    if (made >= chunk->size - chunk->size / 33 - 1) return COVEY_OK;
    *stored = m->stored;
    chunk->stored_size = (uint32_t)made;
    covey__sha256_of(m->stored, made, chunk->blob);
    return COVEY_OK;
}

static covey_status add_chunk(maker *m, uint64_t offset, size_t size, covey_error *error) {
    covey__chunk_index *index = m->index;
    if (index->chunk_count == m->capacity) {
        size_t capacity = m->capacity == 0 ? 64 : m->capacity * 2;
        covey__chunk *chunks =
            covey__resize(m->env, index->chunks, capacity * sizeof *index->chunks);
        if (chunks == NULL) return covey__no_memory(error, "chunks", capacity * sizeof *chunks);
        index->chunks = chunks;
        m->capacity = capacity;
    }
    covey__chunk *chunk = &index->chunks[index->chunk_count];
    const void *stored;
    chunk->offset = offset;
    chunk->size = (uint32_t)size;
    covey__sha256_of(m->data + offset, size, chunk->sha256);
    covey_status status = store_form(m, chunk, &stored, error);
    if (status != COVEY_OK) return status;
    index->chunk_count++;
    return m->each == NULL ? COVEY_OK : m->each(m->user, chunk, stored, error);
}

static covey_status cut_by_content(maker *m, uint64_t from, uint64_t to, covey_error *error) {
    while (from < to) {
        uint64_t left = to - from;
        size_t window = left > CONTENT_MAX ? CONTENT_MAX : (size_t)left;
        size_t size = content_cut(m->gear, m->data + from, window);
        covey_status status = add_chunk(m, from, size, error);
        if (status != COVEY_OK) return status;
        from += size;
    }
    return COVEY_OK;
}

static covey_status cut_evenly(maker *m, uint64_t from, uint64_t to, covey_error *error) {
    while (from < to) {
        uint64_t left = to - from;
        size_t size = left > COVEY__CHUNK_BYTES_MAX ? COVEY__CHUNK_BYTES_MAX : (size_t)left;
        covey_status status = add_chunk(m, from, size, error);
        if (status != COVEY_OK) return status;
        from += size;
    }
    return COVEY_OK;
}

/* Tensors in the order of their data, which need not be that of the table. */
static int by_offset(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static covey_status tensor_borders(const covey__env *env, const covey__gguf *gguf,
                                   uint64_t **borders, size_t *count, covey_error *error) {
    size_t tensors = covey__gguf_tensor_count(gguf);
    uint64_t *out = covey__calloc(env, tensors + 1, sizeof *out);
    if (out == NULL) return covey__no_memory(error, "tensor borders", tensors * sizeof *out);
    for (size_t i = 0; i < tensors; i++) out[i] = covey__gguf_tensor_at(gguf, i)->file_offset;
    qsort(out, tensors, sizeof *out, by_offset);
    *borders = out;
    *count = tensors;
    return COVEY_OK;
}

/* `borders` are where tensors begin; the last piece runs to the end of the file. Small tensors
 * share a chunk until it has TENSOR_CHUNK_MIN bytes; one that would pass the maximum starts anew.
 */
static covey_status cut_tensors(maker *m, const uint64_t *borders, size_t count, uint64_t end,
                                covey_error *error) {
    covey_status status = cut_by_content(m, 0, count == 0 ? end : borders[0], error);
    size_t i = 0;
    while (status == COVEY_OK && i < count) {
        uint64_t from = borders[i], to;
        do {
            i++;
            to = i < count ? borders[i] : end;
        } while (i < count && to - from < TENSOR_CHUNK_MIN &&
                 (i + 1 < count ? borders[i + 1] : end) - from <= COVEY__CHUNK_BYTES_MAX);
        status = cut_evenly(m, from, to, error);
    }
    return status;
}

/* False when the bytes are no GGUF that this library reads: then they are cut by content. */
static covey_status cut_gguf(maker *m, size_t size, bool *done, covey_error *error) {
    *done = false;
    if (size < 4 || memcmp(m->data, "GGUF", 4) != 0) return COVEY_OK;
    covey__map borrowed = {.data = m->data, .size = size};
    covey__gguf *gguf = NULL;
    uint64_t *borders = NULL;
    size_t count = 0;
    covey_error ignored;
    covey_status status = covey__gguf_open(m->env, &borrowed, &gguf, &ignored);
    if (status == COVEY_ERROR_NO_MEMORY) return covey__no_memory(error, "gguf", size);
    if (status != COVEY_OK) return COVEY_OK;
    status = tensor_borders(m->env, gguf, &borders, &count, error);
    if (status == COVEY_OK) status = cut_tensors(m, borders, count, size, error);
    covey__free(m->env, borders);
    covey__gguf_close(gguf);
    *done = true;
    return status;
}

static covey_status prepare(maker *m, const void *data, size_t size, covey_error *error) {
    covey__chunk_index *index = covey__calloc(m->env, 1, sizeof *index);
    if (index == NULL) return covey__no_memory(error, "index", sizeof *index);
    m->index = index;
    index->env = m->env;
    index->component_size = size;
    covey__sha256_of(data, size, index->component_sha256);
    fill_gear(m->gear);
    if (m->each == NULL || m->even) return COVEY_OK;
    m->zstd = ZSTD_createCCtx();
    m->stored_capacity = ZSTD_compressBound(COVEY__CHUNK_BYTES_MAX);
    m->stored = covey__alloc(m->env, m->stored_capacity);
    if (m->zstd == NULL || m->stored == NULL)
        return covey__no_memory(error, "compressor", m->stored_capacity);
    return COVEY_OK;
}

/* `m` has the bytes and who receives them. */
static covey_status cut(maker *m, size_t size, covey__chunk_index **index, covey_error *error) {
    bool done = false;
    *index = NULL;
    covey_status status = prepare(m, m->data, size, error);
    if (status == COVEY_OK && m->even) {
        status = cut_evenly(m, 0, size, error);
        done = true;
    }
    if (status == COVEY_OK && !done) status = cut_gguf(m, size, &done, error);
    if (status == COVEY_OK && !done) status = cut_by_content(m, 0, size, error);
    ZSTD_freeCCtx(m->zstd);
    covey__free(m->env, m->stored);
    if (status != COVEY_OK) {
        covey__chunk_index_free(m->index);
        return covey__prefix(error, status, "delta: cutting");
    }
    *index = m->index;
    return COVEY_OK;
}

static covey_status cut_file(maker *m, const char *path, covey__chunk_index **index,
                             covey_error *error) {
    covey__map map;
    uint64_t size;
    *index = NULL;
    covey_status status = covey__file_size(m->env, path, &size, error);
    if (status != COVEY_OK) return status;
    m->data = (const uint8_t *)"";
    if (size == 0) return cut(m, 0, index, error); /* cannot be mapped everywhere */
    status = covey__map_path(m->env, path, &map, error);
    if (status != COVEY_OK) return status;
    m->data = map.data;
    status = cut(m, map.size, index, error);
    covey__map_close(&map);
    return status;
}

covey_status covey__chunk_index_make_memory(const covey__env *env, const void *data, size_t size,
                                            covey__chunk_index **index, covey_error *error,
                                            covey__chunk_fn each, void *user) {
    maker m = {.env = env, .data = data, .each = each, .user = user};
    return cut(&m, size, index, error);
}

covey_status covey__chunk_index_make(const covey__env *env, const char *path,
                                     covey__chunk_index **index, covey_error *error,
                                     covey__chunk_fn each, void *user) {
    maker m = {.env = env, .each = each, .user = user};
    return cut_file(&m, path, index, error);
}

covey_status covey__chunk_index_make_even(const covey__env *env, const char *path,
                                          covey__chunk_index **index, covey_error *error,
                                          covey__chunk_fn each, void *user) {
    maker m = {.env = env, .each = each, .user = user, .even = true};
    return cut_file(&m, path, index, error);
}
