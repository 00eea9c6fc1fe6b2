/* Opening a GGUF file: the header, then metadata and tensors by their own files, all checked before
 * the file is used, so that whoever holds a covey__gguf need check no bounds. Nothing is copied:
 * keys, strings and tensors point into the map, which lives as long as the object. Neighbours:
 * gguf_metadata.c, gguf_tensors.c, gguf_values.c (the getters). */
#include "gguf/gguf_file.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

bool covey__gguf_read_text(covey__gguf_cursor *cursor, covey__gguf_text *out) {
    uint64_t begin = cursor->at, size;
    if (!covey__gguf_read_u64(cursor, &size)) return false;
    if (!covey__gguf_skip(cursor, size)) {
        cursor->at = begin;
        return false;
    }
    *out = (covey__gguf_text){(const char *)cursor->data + begin + 8, (size_t)size};
    return true;
}

int covey__gguf_compare_texts(covey__gguf_text a, covey__gguf_text b) {
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    if (order != 0) return order;
    return (a.size > b.size) - (a.size < b.size);
}

static covey_status read_version(covey__gguf *gguf, covey__gguf_cursor *cursor,
                                 covey_error *error) {
    uint32_t magic, version;
    if (!covey__gguf_read_u32(cursor, &magic))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "gguf: magic: the file ends after %" PRIu64 " bytes", cursor->size);
    if (memcmp(cursor->data, "GGUF", 4) != 0)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "gguf: magic: expected \"GGUF\", found the bytes %02x %02x %02x %02x; "
                           "this is no GGUF file",
                           cursor->data[0], cursor->data[1], cursor->data[2], cursor->data[3]);
    if (!covey__gguf_read_u32(cursor, &version))
        return covey__fail(error, COVEY_ERROR_FORMAT, "gguf: version: the file ends here");
    if (version != 0 && (version & 0xffff) == 0)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "gguf: version: this is a big-endian file; convert it to little-endian");
    if (version == 1)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "gguf: version: expected 2 or 3, found 1; convert the model again with "
                           "a newer tool");
    if (version != 2 && version != 3)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "gguf: version: expected 2 or 3, found %" PRIu32, version);
    gguf->version = version;
    return COVEY_OK;
}

/* A count from the header: bounded by a maximum and by what could fit into the rest of the file. */
static covey_status read_count(covey__gguf_cursor *cursor, const char *field, uint64_t max,
                               uint64_t bytes_each, uint64_t *count, covey_error *error) {
    if (!covey__gguf_read_u64(cursor, count))
        return covey__fail(error, COVEY_ERROR_FORMAT, "gguf: %s: the file ends here", field);
    if (*count > max)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)max,
                                 *count > INT64_MAX ? INT64_MAX : (int64_t)*count,
                                 "gguf: %s: %" PRIu64 " is more than the limit of %" PRIu64, field,
                                 *count, max);
    if (*count > (cursor->size - cursor->at) / bytes_each)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "gguf: %s: %" PRIu64 " cannot fit into a file of %" PRIu64 " bytes",
                           field, *count, cursor->size);
    return COVEY_OK;
}

static covey_status read_all(covey__gguf *gguf, covey_error *error) {
    covey__gguf_cursor cursor = {gguf->map.data, gguf->map.size, 0};
    uint64_t tensor_count = 0, value_count = 0;
    covey_status status = read_version(gguf, &cursor, error);
    if (status == COVEY_OK) /* name, dimensions, type, offset */
        status = read_count(&cursor, "tensor_count", COVEY__GGUF_TENSORS_MAX, 8 + 1 + 4 + 8 + 4 + 8,
                            &tensor_count, error);
    if (status == COVEY_OK) /* key, type, value */
        status = read_count(&cursor, "metadata_kv_count", COVEY__GGUF_VALUES_MAX, 8 + 1 + 4 + 1,
                            &value_count, error);
    if (status == COVEY_OK) status = covey__gguf_read_metadata(gguf, &cursor, value_count, error);
    if (status == COVEY_OK) status = covey__gguf_read_tensors(gguf, &cursor, tensor_count, error);
    return status;
}

covey_status covey__gguf_open(const covey__env *env, const covey__map *take_map, covey__gguf **out,
                              covey_error *error) {
    covey__map map = *take_map;
    if ((uintptr_t)map.data % 4 != 0) {
        covey__map_close(&map);
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "gguf: the file must begin at a multiple of 4 bytes in memory");
    }
    covey__gguf *gguf = covey__calloc(env, 1, sizeof *gguf);
    if (gguf == NULL) {
        covey__map_close(&map);
        return covey__no_memory(error, "gguf", sizeof *gguf);
    }
    gguf->env = env;
    gguf->map = map;
    gguf->alignment = COVEY__GGUF_ALIGNMENT;
    covey_status status = read_all(gguf, error);
    if (status != COVEY_OK) {
        covey__gguf_close(gguf);
        return status;
    }
    *out = gguf;
    return COVEY_OK;
}

covey_status covey__gguf_open_path(const covey__env *env, const char *path, covey__gguf **gguf,
                                   covey_error *error) {
    covey__map map;
    covey_status status = covey__map_path(env, path, &map, error);
    if (status != COVEY_OK) return status;
    status = covey__gguf_open(env, &map, gguf, error);
    if (status == COVEY_OK) return COVEY_OK;
    char shown[160];
    return covey__prefix(error, status, "%s",
                         covey__printable(path, strlen(path), shown, sizeof shown));
}

void covey__gguf_close(covey__gguf *gguf) {
    if (gguf == NULL) return;
    const covey__env *env = gguf->env;
    for (size_t i = 0; gguf->values != NULL && i < gguf->value_count; i++)
        covey__free(env, gguf->values[i].string_offsets);
    covey__free(env, gguf->values);
    covey__free(env, gguf->values_sorted);
    covey__free(env, gguf->tensors);
    covey__free(env, gguf->tensors_sorted);
    covey__map_close(&gguf->map);
    covey__free(env, gguf);
}

uint64_t covey__gguf_data_offset(const covey__gguf *gguf) {
    return gguf->data_offset;
}
uint64_t covey__gguf_size(const covey__gguf *gguf) {
    return gguf->map.size;
}
const uint8_t *covey__gguf_bytes(const covey__gguf *gguf) {
    return gguf->map.data;
}

covey_status covey__gguf_check_file(const covey__gguf *gguf, covey_error *error) {
    return covey__map_check(&gguf->map, error);
}
