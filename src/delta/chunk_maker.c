/* Cutting a file into chunks (docs/formats/chunk-index.md, "Cutting"). The cut is a pure function
 * of the bytes: no clock, no options, so that publisher and device cut alike. A GGUF is cut at its
 * tensors' borders, since a fine-tune changes some tensors and leaves others; what is not a GGUF,
 * and a GGUF's metadata, is cut by content with a gear hash and FastCDC's normalized cutting (Xia
 * et al., USENIX ATC 2016), so that an insertion moves few borders.
 *
 * One pass, in file order, that may stop at any chunk: each byte is read once, through a window of
 * WINDOW_BYTES, for the chunk's digest and the component's. Memory is that window, one compressed
 * chunk and the table, however large the file; only a GGUF's head is mapped, while its tensors'
 * borders are read. */
#include "delta/chunk_maker.h"

#include "base/error.h"
#include "base/file.h"
#include "base/file_cache.h"
#include "base/sha256.h"
#include "gguf/gguf.h"

#include <zstd.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TENSOR_CHUNK_MIN (128u << 10)
#define CONTENT_MIN      (32u << 10)
#define CONTENT_AVERAGE  (128u << 10)
#define CONTENT_MAX      (512u << 10)
#define ZSTD_LEVEL       9
#define WINDOW_BYTES     (2 * COVEY__CHUNK_BYTES_MAX)

/* Normalized cutting around 2^17 bytes: two more bits must be zero before the average, two fewer
 * after. The gear hash shifts left, so its high bits have seen the most bytes. */
#define MASK_HARD (~(uint64_t)0 << (64 - 19))
#define MASK_EASY (~(uint64_t)0 << (64 - 15))

struct covey__chunk_maker {
    const covey__env *env;
    covey__chunk_index *index; /* grows */
    size_t capacity;
    covey__chunk_fn each;
    void *user;
    /* where the bytes come from: memory, or a file through a window */
    const uint8_t *memory;
    int descriptor; /* -1: none */
    char *path;
    uint8_t *window;
    uint64_t window_from, window_to;
    /* how they are cut */
    bool even;           /* each COVEY__CHUNK_BYTES_MAX, stored as it is */
    uint64_t *borders;   /* where tensors begin, in file order; NULL: by content to the end */
    size_t border_count; /* of them */
    size_t border;       /* the next one */
    uint64_t at;         /* all before is in chunks */
    uint64_t piece_end;  /* of the tensors that are being cut */
    covey__sha256 hash;  /* of all before */
    ZSTD_CCtx *zstd;
    uint8_t *stored;
    size_t stored_capacity;
    uint64_t gear[256];
};
typedef struct covey__chunk_maker maker;

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

/* The bytes [m->at, m->at + size), which lie in the component. They are read ahead by whole pieces,
 * in file order, so nothing is read twice. */
static covey_status look(maker *m, size_t size, const uint8_t **bytes, covey_error *error) {
    if (m->descriptor < 0) {
        *bytes = m->memory + m->at;
        return COVEY_OK;
    }
    uint64_t total = m->index->component_size;
    while (m->window_to < m->at + size) {
        size_t kept = (size_t)(m->window_to - m->at), more = COVEY__PASS_BYTES;
        if (m->window_from < m->at) memmove(m->window, m->window + (m->at - m->window_from), kept);
        m->window_from = m->at;
        if (more > total - m->window_to) more = (size_t)(total - m->window_to);
        if (more > WINDOW_BYTES - kept) more = WINDOW_BYTES - kept;
        covey_status status = covey__file_read_passing(m->env, m->descriptor, m->path, m->window_to,
                                                       m->window + kept, more, error);
        if (status != COVEY_OK) return status;
        m->window_to += more;
    }
    *bytes = m->window + (m->at - m->window_from);
    return COVEY_OK;
}

/* The stored form: the smaller of content and zstd frame, the frame only if it saves over 3 %. */
static covey_status store_form(maker *m, const uint8_t *content, covey__chunk *chunk,
                               const void **stored, covey_error *error) {
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

/* The next `size` bytes are a chunk. */
static covey_status add_chunk(maker *m, const uint8_t *content, size_t size, covey_error *error) {
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
    chunk->offset = m->at;
    chunk->size = (uint32_t)size;
    covey__sha256_of(content, size, chunk->sha256);
    covey__sha256_update(&m->hash, content, size);
    covey_status status = store_form(m, content, chunk, &stored, error);
    if (status == COVEY_OK && m->each != NULL) status = m->each(m->user, chunk, stored, error);
    if (status != COVEY_OK) return status;
    index->chunk_count++;
    m->at += size;
    return COVEY_OK;
}

/* Small tensors share a piece until it has TENSOR_CHUNK_MIN bytes; one that would pass the maximum
 * starts anew. The last piece runs to the end of the file. */
static void next_piece(maker *m) {
    const uint64_t *borders = m->borders;
    size_t count = m->border_count, i = m->border;
    uint64_t from = borders[i], to, end = m->index->component_size;
    do {
        i++;
        to = i < count ? borders[i] : end;
    } while (i < count && to - from < TENSOR_CHUNK_MIN &&
             (i + 1 < count ? borders[i + 1] : end) - from <= COVEY__CHUNK_BYTES_MAX);
    m->border = i;
    m->piece_end = to;
}

static covey_status cut_evenly(maker *m, uint64_t to, covey_error *error) {
    uint64_t left = to - m->at;
    const uint8_t *bytes;
    size_t size = left > COVEY__CHUNK_BYTES_MAX ? COVEY__CHUNK_BYTES_MAX : (size_t)left;
    covey_status status = look(m, size, &bytes, error);
    return status == COVEY_OK ? add_chunk(m, bytes, size, error) : status;
}

static covey_status cut_by_content(maker *m, uint64_t to, covey_error *error) {
    uint64_t left = to - m->at;
    const uint8_t *bytes;
    size_t window = left > CONTENT_MAX ? CONTENT_MAX : (size_t)left;
    covey_status status = look(m, window, &bytes, error);
    if (status != COVEY_OK) return status;
    return add_chunk(m, bytes, content_cut(m->gear, bytes, window), error);
}

static covey_status cut_one(maker *m, covey_error *error) {
    uint64_t end = m->index->component_size;
    if (m->even) return cut_evenly(m, end, error);
    if (m->border_count == 0) return cut_by_content(m, end, error);
    if (m->at < m->borders[0]) return cut_by_content(m, m->borders[0], error);
    while (m->at == m->piece_end) next_piece(m); /* tensors without bytes share a border */
    return cut_evenly(m, m->piece_end, error);
}

/* Tensors in the order of their data, which need not be that of the table. */
static int by_offset(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static covey_status tensor_borders(maker *m, const covey__gguf *gguf, covey_error *error) {
    size_t tensors = covey__gguf_tensor_count(gguf);
    m->borders = covey__calloc(m->env, tensors + 1, sizeof *m->borders);
    if (m->borders == NULL)
        return covey__no_memory(error, "tensor borders", tensors * sizeof *m->borders);
    for (size_t i = 0; i < tensors; i++)
        m->borders[i] = covey__gguf_tensor_at(gguf, i)->file_offset;
    qsort(m->borders, tensors, sizeof *m->borders, by_offset);
    m->border_count = tensors;
    if (tensors > 0) m->piece_end = m->borders[0];
    return COVEY_OK;
}

/* Bytes that are no GGUF that this library reads are cut by content. Takes the map. */
static covey_status find_borders(maker *m, const covey__map *map, covey_error *error) {
    covey__gguf *gguf = NULL;
    covey_error ignored;
    if (map->size < 4 || memcmp(map->data, "GGUF", 4) != 0) {
        covey__map borrowed = *map;
        covey__map_close(&borrowed);
        return COVEY_OK;
    }
    covey_status status = covey__gguf_open(m->env, map, &gguf, &ignored);
    if (status == COVEY_ERROR_NO_MEMORY) return covey__no_memory(error, "gguf", map->size);
    if (status != COVEY_OK) return COVEY_OK;
    status = tensor_borders(m, gguf, error);
    covey__gguf_close(gguf);
    return status;
}

static covey_status prepare(maker *m, uint64_t size, covey_error *error) {
    covey__chunk_index *index = covey__calloc(m->env, 1, sizeof *index);
    if (index == NULL) return covey__no_memory(error, "index", sizeof *index);
    m->index = index;
    index->env = m->env;
    index->component_size = size;
    covey__sha256_init(&m->hash);
    fill_gear(m->gear);
    if (m->each == NULL || m->even) return COVEY_OK;
    m->zstd = ZSTD_createCCtx();
    m->stored_capacity = ZSTD_compressBound(COVEY__CHUNK_BYTES_MAX);
    m->stored = covey__alloc(m->env, m->stored_capacity);
    if (m->zstd == NULL || m->stored == NULL)
        return covey__no_memory(error, "compressor", m->stored_capacity);
    return COVEY_OK;
}

static covey_status open_file(maker *m, const char *path, covey_error *error) {
    covey__map map;
    uint64_t size;
    covey_status status = covey__file_size(m->env, path, &size, error);
    if (status == COVEY_OK) status = prepare(m, size, error);
    if (status != COVEY_OK || size == 0) return status; /* nothing cannot be mapped everywhere */
    m->path = covey__strdup(m->env, path);
    m->window = covey__alloc(m->env, WINDOW_BYTES);
    if (m->path == NULL || m->window == NULL)
        return covey__no_memory(error, "a window", WINDOW_BYTES);
    status = covey__file_open(m->env, path, O_RDONLY, 0, &m->descriptor, error);
    if (status != COVEY_OK || m->even) return status;
    status = covey__map_descriptor(m->env, m->descriptor, 0, size, &map, error);
    return status == COVEY_OK ? find_borders(m, &map, error) : status;
}

static covey_status new_maker(const covey__env *env, covey__chunk_fn each, void *user, bool even,
                              maker **made, covey_error *error) {
    *made = covey__calloc(env, 1, sizeof **made);
    if (*made == NULL) return covey__no_memory(error, "delta: cutting", sizeof **made);
    (*made)->env = env;
    (*made)->each = each;
    (*made)->user = user;
    (*made)->even = even;
    (*made)->descriptor = -1;
    return COVEY_OK;
}

covey_status covey__chunk_maker_open(const covey__env *env, const char *path,
                                     covey__chunk_maker **opened, covey_error *error) {
    covey_status status = new_maker(env, NULL, NULL, false, opened, error);
    if (status != COVEY_OK) return status;
    status = open_file(*opened, path, error);
    if (status == COVEY_OK) return COVEY_OK;
    covey__chunk_maker_free(*opened);
    *opened = NULL;
    return covey__prefix(error, status, "delta: cutting");
}

covey_status covey__chunk_maker_step(covey__chunk_maker *m, int64_t deadline_us,
                                     covey__chunk_index **index, covey_error *error) {
    *index = NULL;
    covey_status status = COVEY_OK;
    while (status == COVEY_OK && m->at < m->index->component_size) {
        status = cut_one(m, error);
        if (deadline_us != INT64_MAX && covey__monotonic_us() >= deadline_us) break;
    }
    if (status != COVEY_OK) return covey__prefix(error, status, "delta: cutting");
    if (m->at < m->index->component_size) return COVEY_OK;
    covey__sha256_final(&m->hash, m->index->component_sha256);
    *index = m->index;
    m->index = NULL;
    return COVEY_OK;
}

void covey__chunk_maker_free(covey__chunk_maker *m) {
    if (m == NULL) return;
    if (m->descriptor >= 0) close(m->descriptor);
    covey__chunk_index_free(m->index);
    ZSTD_freeCCtx(m->zstd);
    covey__free(m->env, m->stored);
    covey__free(m->env, m->window);
    covey__free(m->env, m->path);
    covey__free(m->env, m->borders);
    covey__free(m->env, m);
}

/* To the end; ends the maker. */
static covey_status run(maker *m, covey_status status, covey__chunk_index **index,
                        covey_error *error) {
    if (status == COVEY_OK)
        status = covey__chunk_maker_step(m, INT64_MAX, index, error);
    else
        covey__prefix(error, status, "delta: cutting");
    covey__chunk_maker_free(m);
    return status;
}

covey_status covey__chunk_index_make_memory(const covey__env *env, const void *data, size_t size,
                                            covey__chunk_index **index, covey_error *error,
                                            covey__chunk_fn each, void *user) {
    maker *m;
    *index = NULL;
    covey_status status = new_maker(env, each, user, false, &m, error);
    if (status != COVEY_OK) return status;
    m->memory = data;
    status = prepare(m, size, error);
    covey__map borrowed = {.data = data, .size = size};
    if (status == COVEY_OK) status = find_borders(m, &borrowed, error);
    return run(m, status, index, error);
}

static covey_status cut_file(const covey__env *env, const char *path, bool even,
                             covey__chunk_index **index, covey_error *error, covey__chunk_fn each,
                             void *user) {
    maker *m;
    *index = NULL;
    covey_status status = new_maker(env, each, user, even, &m, error);
    if (status != COVEY_OK) return status;
    return run(m, open_file(m, path, error), index, error);
}

covey_status covey__chunk_index_make(const covey__env *env, const char *path,
                                     covey__chunk_index **index, covey_error *error,
                                     covey__chunk_fn each, void *user) {
    return cut_file(env, path, false, index, error, each, user);
}

covey_status covey__chunk_index_make_even(const covey__env *env, const char *path,
                                          covey__chunk_index **index, covey_error *error,
                                          covey__chunk_fn each, void *user) {
    return cut_file(env, path, true, index, error, each, user);
}
