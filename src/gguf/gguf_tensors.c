/* The walk over GGUF tensor descriptions: name, dimensions, type and place of each, checked one by
 * one and then together (no name twice, no bytes shared). Gaps between tensors are allowed, since
 * the alignment makes some. Neighbour: gguf_read.c. */
#include "base/sort.h"
#include "base/utf8_sequence.h"
#include "gguf/gguf_file.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static covey_status fail_tensor(covey_error *error, covey_status status, covey__gguf_text name,
                                const char *format, ...) COVEY_PRINTF(4, 5);

static covey_status fail_tensor(covey_error *error, covey_status status, covey__gguf_text name,
                                const char *format, ...) {
    char shown[120], what[240];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return covey__fail(error, status, "gguf: tensor \"%s\": %s",
                       covey__printable(name.data, name.size, shown, sizeof shown), what);
}

static covey_status check_name(covey__gguf_text name, uint64_t index, covey_error *error) {
    if (name.size == 0 || name.size > COVEY__GGUF_NAME_BYTES_MAX)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "gguf: tensor %" PRIu64 ": name: expected 1 to %d bytes, found %zu",
                           index, COVEY__GGUF_NAME_BYTES_MAX, name.size);
    bool clean = covey__utf8_valid(name.data, name.size);
    for (size_t i = 0; i < name.size; i++)
        clean = clean && (unsigned char)name.data[i] >= 0x20 && name.data[i] != 0x7f;
    if (clean) return COVEY_OK;
    return fail_tensor(error, COVEY_ERROR_FORMAT, name, "the name is not plain UTF-8 text");
}

static covey_status read_dimensions(covey__gguf_cursor *cursor, covey__gguf_tensor *tensor,
                                    covey_error *error) {
    uint32_t count;
    if (!covey__gguf_read_u32(cursor, &count))
        return fail_tensor(error, COVEY_ERROR_FORMAT, tensor->name,
                           "the file ends in its dimension count");
    if (count < 1 || count > 4)
        return fail_tensor(error, COVEY_ERROR_FORMAT, tensor->name,
                           "dimension count: expected 1 to 4, found %" PRIu32, count);
    tensor->dimension_count = count;
    tensor->element_count = 1;
    for (uint32_t i = 0; i < 4; i++) {
        tensor->dimensions[i] = 1;
        if (i >= count) continue;
        if (!covey__gguf_read_u64(cursor, &tensor->dimensions[i]))
            return fail_tensor(error, COVEY_ERROR_FORMAT, tensor->name,
                               "the file ends in its dimensions");
        if (tensor->dimensions[i] == 0)
            return fail_tensor(error, COVEY_ERROR_FORMAT, tensor->name,
                               "dimension %" PRIu32 " is 0", i);
        if (!covey__mul_u64(tensor->element_count, tensor->dimensions[i], &tensor->element_count) ||
            tensor->element_count > INT64_MAX)
            return fail_tensor(error, COVEY_ERROR_FORMAT, tensor->name,
                               "its dimensions multiply to more than 2^63 elements");
    }
    return COVEY_OK;
}

static covey_status read_type(covey__gguf_cursor *cursor, covey__gguf_tensor *tensor,
                              covey_error *error) {
    uint32_t type;
    if (!covey__gguf_read_u32(cursor, &type))
        return fail_tensor(error, COVEY_ERROR_FORMAT, tensor->name, "the file ends in its type");
    const covey__type_info *info = covey__type_get(type);
    if (info == NULL)
        return fail_tensor(error, COVEY_ERROR_UNSUPPORTED, tensor->name,
                           "type %" PRIu32 " is not known to this library; convert the model to "
                           "another type",
                           type);
    tensor->type = (covey__type)type;
    if (tensor->dimensions[0] % info->block_values != 0)
        return fail_tensor(error, COVEY_ERROR_FORMAT, tensor->name,
                           "its rows have %" PRIu64 " elements, expected a multiple of %" PRIu32
                           " for type %s",
                           tensor->dimensions[0], info->block_values, info->name);
    if (!covey__mul_u64(tensor->element_count / info->block_values, info->block_bytes,
                        &tensor->bytes))
        return fail_tensor(error, COVEY_ERROR_FORMAT, tensor->name,
                           "its size in bytes does not fit 64 bits");
    return COVEY_OK;
}

/* Reads one description; file_offset is from the data's start until place_tensors. */
static covey_status read_tensor(covey__gguf *gguf, covey__gguf_cursor *cursor, uint64_t index,
                                covey__gguf_tensor *tensor, covey_error *error) {
    if (!covey__gguf_read_text(cursor, &tensor->name))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "gguf: tensor %" PRIu64 ": name: goes past the end of the file", index);
    covey_status status = check_name(tensor->name, index, error);
    if (status == COVEY_OK) status = read_dimensions(cursor, tensor, error);
    if (status == COVEY_OK) status = read_type(cursor, tensor, error);
    if (status != COVEY_OK) return status;
    if (!covey__gguf_read_u64(cursor, &tensor->file_offset))
        return fail_tensor(error, COVEY_ERROR_FORMAT, tensor->name, "the file ends in its offset");
    if (tensor->file_offset % gguf->alignment != 0)
        return fail_tensor(error, COVEY_ERROR_FORMAT, tensor->name,
                           "offset: expected a multiple of the alignment %" PRIu64
                           ", found %" PRIu64,
                           gguf->alignment, tensor->file_offset);
    return COVEY_OK;
}

static covey_status place_tensors(covey__gguf *gguf, uint64_t header_end, covey_error *error) {
    uint64_t size = gguf->map.size;
    uint64_t start = (header_end + gguf->alignment - 1) / gguf->alignment * gguf->alignment;
    gguf->data_offset = start < size ? start : size; /* a vocabulary alone may end at once */
    for (size_t i = 0; i < gguf->tensor_count; i++) {
        covey__gguf_tensor *tensor = &gguf->tensors[i];
        uint64_t begin, end;
        if (!covey__add_u64(start, tensor->file_offset, &begin) ||
            !covey__add_u64(begin, tensor->bytes, &end) || end > size)
            return fail_tensor(error, COVEY_ERROR_FORMAT, tensor->name,
                               "its %" PRIu64 " bytes at offset %" PRIu64
                               " go past the end of the file (%" PRIu64
                               " bytes); it may be incomplete",
                               tensor->bytes, tensor->file_offset, size);
        tensor->file_offset = begin;
        tensor->data = gguf->map.data + begin;
    }
    return COVEY_OK;
}

static int compare_names(const void *a, const void *b) {
    return covey__gguf_compare_texts(((const covey__gguf_tensor *)a)->name,
                                     ((const covey__gguf_tensor *)b)->name);
}

static int compare_places(const void *a, const void *b) {
    uint64_t left = ((const covey__gguf_tensor *)a)->file_offset;
    uint64_t right = ((const covey__gguf_tensor *)b)->file_offset;
    return (left > right) - (left < right);
}

/* First by place, for overlaps, then by name, for names that are there twice and for look-ups. */
static covey_status check_together(covey__gguf *gguf, covey_error *error) {
    size_t count = gguf->tensor_count;
    gguf->tensors_sorted = covey__calloc(gguf->env, count, 2 * sizeof *gguf->tensors_sorted);
    if (gguf->tensors_sorted == NULL)
        return covey__no_memory(error, "gguf: tensors", count * 2 * sizeof *gguf->tensors_sorted);
    const void **sorted = gguf->tensors_sorted;
    for (size_t i = 0; i < count; i++) sorted[i] = &gguf->tensors[i];
    covey__sort_pointers(sorted, sorted + count, count, compare_places);
    for (size_t i = 1; i < count; i++) {
        const covey__gguf_tensor *before = sorted[i - 1], *after = sorted[i];
        char shown[120];
        if (before->file_offset + before->bytes > after->file_offset)
            return fail_tensor(
                error, COVEY_ERROR_FORMAT, after->name, "offset: its bytes overlap those of \"%s\"",
                covey__printable(before->name.data, before->name.size, shown, sizeof shown));
    }
    covey__sort_pointers(sorted, sorted + count, count, compare_names);
    for (size_t i = 1; i < count; i++)
        if (compare_names(sorted[i - 1], sorted[i]) == 0)
            return fail_tensor(error, COVEY_ERROR_FORMAT,
                               ((const covey__gguf_tensor *)sorted[i])->name,
                               "two tensors have this name");
    return COVEY_OK;
}

covey_status covey__gguf_read_tensors(covey__gguf *gguf, covey__gguf_cursor *cursor, uint64_t count,
                                      covey_error *error) {
    gguf->tensors = covey__calloc(gguf->env, (size_t)count, sizeof *gguf->tensors);
    if (gguf->tensors == NULL)
        return covey__no_memory(error, "gguf: tensors", (size_t)count * sizeof *gguf->tensors);
    gguf->tensor_count = (size_t)count;
    covey_status status = COVEY_OK;
    for (uint64_t i = 0; i < count && status == COVEY_OK; i++)
        status = read_tensor(gguf, cursor, i, &gguf->tensors[i], error);
    if (status == COVEY_OK) status = place_tensors(gguf, cursor->at, error);
    if (status == COVEY_OK) status = check_together(gguf, error);
    return status;
}

size_t covey__gguf_tensor_count(const covey__gguf *gguf) {
    return gguf->tensor_count;
}

const covey__gguf_tensor *covey__gguf_tensor_at(const covey__gguf *gguf, size_t index) {
    return index < gguf->tensor_count ? &gguf->tensors[index] : NULL;
}

const covey__gguf_tensor *covey__gguf_tensor_find(const covey__gguf *gguf, const char *name) {
    covey__gguf_text wanted = {name, strlen(name)};
    size_t low = 0, high = gguf->tensor_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const covey__gguf_tensor *tensor = gguf->tensors_sorted[middle];
        int order = covey__gguf_compare_texts(tensor->name, wanted);
        if (order == 0) return tensor;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
