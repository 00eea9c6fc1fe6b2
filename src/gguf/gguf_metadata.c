/* The walk over GGUF metadata. Each key is checked (length, UTF-8, no control characters, not
 * twice), each value's kind and extent too, arrays down to a fixed depth. For arrays of strings the
 * place of each is noted, so that a token is found in constant time later; four bytes a string,
 * where each takes at least eight in the file. Neighbours: gguf_read.c, gguf_values.c. */
#include "base/sort.h"
#include "base/utf8_sequence.h"
#include "gguf/gguf_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

size_t covey__gguf_kind_size(covey__gguf_kind kind) {
    switch (kind) {
    case COVEY__GGUF_U8:
    case COVEY__GGUF_I8:
    case COVEY__GGUF_BOOL:
        return 1;
    case COVEY__GGUF_U16:
    case COVEY__GGUF_I16:
        return 2;
    case COVEY__GGUF_U32:
    case COVEY__GGUF_I32:
    case COVEY__GGUF_F32:
        return 4;
    case COVEY__GGUF_U64:
    case COVEY__GGUF_I64:
    case COVEY__GGUF_F64:
        return 8;
    case COVEY__GGUF_STRING:
    case COVEY__GGUF_ARRAY:
        break;
    }
    return 0;
}

const char *covey__gguf_kind_name(covey__gguf_kind kind) {
    static const char *const names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                        "bool", "string", "array", "u64", "i64", "f64"};
    return (size_t)kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}

/* "gguf: key "…": what", the key made printable. */
static covey_status fail_key(covey_error *error, covey_status status, covey__gguf_text key,
                             const char *what) {
    char shown[120];
    return covey__fail(error, status, "gguf: key \"%s\": %s",
                       covey__printable(key.data, key.size, shown, sizeof shown), what);
}

static bool is_clean_text(covey__gguf_text text) {
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f) return false;
    return covey__utf8_valid(text.data, text.size);
}

static covey_status read_kind(covey__gguf_cursor *cursor, covey__gguf_text key,
                              covey__gguf_kind *kind, covey_error *error) {
    uint32_t number;
    if (!covey__gguf_read_u32(cursor, &number))
        return fail_key(error, COVEY_ERROR_FORMAT, key, "the file ends in its type");
    if (number > COVEY__GGUF_F64) {
        char what[64];
        snprintf(what, sizeof what, "its value type %" PRIu32 " is not known", number);
        return fail_key(error, COVEY_ERROR_UNSUPPORTED, key, what);
    }
    *kind = (covey__gguf_kind)number;
    return COVEY_OK;
}

static covey_status check_bools(covey__gguf_cursor *cursor, uint64_t count, covey__gguf_text key,
                                covey_error *error) {
    for (uint64_t i = 0; i < count; i++)
        if (cursor->data[cursor->at + i] > 1)
            return fail_key(error, COVEY_ERROR_FORMAT, key, "a bool is neither 0 nor 1");
    return COVEY_OK;
}

/* Walks `count` strings; notes where each begins when `offsets` is not NULL. */
static covey_status walk_strings(covey__gguf_cursor *cursor, uint64_t count, covey__gguf_text key,
                                 uint32_t *offsets, covey_error *error) {
    uint64_t begin = cursor->at;
    for (uint64_t i = 0; i < count; i++) {
        covey__gguf_text text;
        uint64_t offset = cursor->at - begin;
        if (offset > UINT32_MAX)
            return fail_key(error, COVEY_ERROR_LIMIT, key,
                            "an array of strings is larger than 4 GiB");
        if (offsets != NULL) offsets[i] = (uint32_t)offset;
        if (!covey__gguf_read_text(cursor, &text)) {
            char what[80];
            snprintf(what, sizeof what, "string %" PRIu64 " of %" PRIu64 " goes past the end", i,
                     count);
            return fail_key(error, COVEY_ERROR_FORMAT, key, what);
        }
    }
    return COVEY_OK;
}

static covey_status walk_array(covey__gguf *gguf, covey__gguf_cursor *cursor,
                               covey__gguf_entry *entry, int depth, covey_error *error);

/* Walks `count` values of one kind. `entry` belongs to the key; depth 0 is the value itself. */
static covey_status walk_values(covey__gguf *gguf, covey__gguf_cursor *cursor,
                                covey__gguf_entry *entry, covey__gguf_kind kind, uint64_t count,
                                int depth, covey_error *error) {
    covey__gguf_text key = entry->value.key;
    if (kind == COVEY__GGUF_STRING)
        return walk_strings(cursor, count, key, depth == 1 ? entry->string_offsets : NULL, error);
    if (kind == COVEY__GGUF_ARRAY) {
        for (uint64_t i = 0; i < count; i++) {
            covey_status status = walk_array(gguf, cursor, entry, depth + 1, error);
            if (status != COVEY_OK) return status;
        }
        return COVEY_OK;
    }
    uint64_t bytes;
    if (!covey__mul_u64(count, covey__gguf_kind_size(kind), &bytes) ||
        bytes > cursor->size - cursor->at)
        return fail_key(error, COVEY_ERROR_FORMAT, key, "its value goes past the end of the file");
    if (kind == COVEY__GGUF_BOOL) {
        covey_status status = check_bools(cursor, count, key, error);
        if (status != COVEY_OK) return status;
    }
    cursor->at += bytes;
    return COVEY_OK;
}

/* An array at the cursor: element kind, count, elements. */
static covey_status walk_array(covey__gguf *gguf, covey__gguf_cursor *cursor,
                               covey__gguf_entry *entry, int depth, covey_error *error) {
    covey__gguf_value *value = &entry->value;
    covey__gguf_kind kind;
    uint64_t count;
    if (depth > COVEY__GGUF_ARRAY_DEPTH_MAX)
        return fail_key(error, COVEY_ERROR_LIMIT, value->key, "arrays nested deeper than 4");
    covey_status status = read_kind(cursor, value->key, &kind, error);
    if (status != COVEY_OK) return status;
    if (!covey__gguf_read_u64(cursor, &count))
        return fail_key(error, COVEY_ERROR_FORMAT, value->key, "the file ends in its count");
    size_t size = covey__gguf_kind_size(kind);
    size_t least = size > 0 ? size : kind == COVEY__GGUF_STRING ? 8 : 12;
    if (count > (cursor->size - cursor->at) / least) {
        char what[96];
        snprintf(what, sizeof what, "its count %" PRIu64 " cannot fit into the file", count);
        return fail_key(error, COVEY_ERROR_FORMAT, value->key, what);
    }
    if (depth == 1) {
        value->element_kind = kind;
        value->count = count;
        value->data = cursor->data + cursor->at;
        if (kind == COVEY__GGUF_STRING) {
            entry->string_offsets = covey__calloc(gguf->env, (size_t)count, sizeof(uint32_t));
            if (entry->string_offsets == NULL)
                return covey__no_memory(error, "gguf: strings", (size_t)count * sizeof(uint32_t));
        }
    }
    return walk_values(gguf, cursor, entry, kind, count, depth, error);
}

static covey_status read_entry(covey__gguf *gguf, covey__gguf_cursor *cursor, uint64_t index,
                               covey__gguf_entry *entry, covey_error *error) {
    covey__gguf_value *value = &entry->value;
    if (!covey__gguf_read_text(cursor, &value->key))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "gguf: metadata key %" PRIu64 " goes past the end of the file", index);
    if (value->key.size == 0 || value->key.size > COVEY__GGUF_KEY_BYTES_MAX)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "gguf: metadata key %" PRIu64 ": expected 1 to 65535 bytes, found %zu",
                           index, value->key.size);
    if (!is_clean_text(value->key))
        return fail_key(error, COVEY_ERROR_FORMAT, value->key, "the key is not plain UTF-8 text");
    covey_status status = read_kind(cursor, value->key, &value->kind, error);
    if (status != COVEY_OK) return status;
    value->count = 1;
    value->element_kind = value->kind;
    value->data = cursor->data + cursor->at;
    if (value->kind == COVEY__GGUF_ARRAY)
        status = walk_array(gguf, cursor, entry, 1, error);
    else
        status = walk_values(gguf, cursor, entry, value->kind, 1, 0, error);
    value->data_size = (size_t)(cursor->data + cursor->at - value->data);
    return status;
}

static int compare_keys(const void *a, const void *b) {
    return covey__gguf_compare_texts(((const covey__gguf_entry *)a)->value.key,
                                     ((const covey__gguf_entry *)b)->value.key);
}

static covey_status sort_keys(covey__gguf *gguf, covey_error *error) {
    size_t count = gguf->value_count;
    gguf->values_sorted = covey__calloc(gguf->env, count, 2 * sizeof *gguf->values_sorted);
    if (gguf->values_sorted == NULL)
        return covey__no_memory(error, "gguf: keys", count * 2 * sizeof *gguf->values_sorted);
    for (size_t i = 0; i < count; i++) gguf->values_sorted[i] = &gguf->values[i];
    covey__sort_pointers(gguf->values_sorted, gguf->values_sorted + count, count, compare_keys);
    for (size_t i = 1; i < count; i++)
        if (compare_keys(gguf->values_sorted[i - 1], gguf->values_sorted[i]) == 0)
            return fail_key(error, COVEY_ERROR_FORMAT,
                            ((const covey__gguf_entry *)gguf->values_sorted[i])->value.key,
                            "it is there twice");
    return COVEY_OK;
}

const covey__gguf_entry *covey__gguf_find(const covey__gguf *gguf, const char *key) {
    covey__gguf_text wanted = {key, strlen(key)};
    size_t low = 0, high = gguf->value_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const covey__gguf_entry *entry = gguf->values_sorted[middle];
        int order = covey__gguf_compare_texts(entry->value.key, wanted);
        if (order == 0) return entry;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static covey_status read_alignment(covey__gguf *gguf, covey_error *error) {
    if (!covey__gguf_has(gguf, "general.alignment")) return COVEY_OK;
    uint64_t value;
    covey_status status =
        covey__gguf_u64(gguf, "general.alignment", 8, COVEY__GGUF_ALIGNMENT_MAX, &value, error);
    if (status != COVEY_OK) return status;
    if ((value & (value - 1)) != 0)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "gguf: key \"general.alignment\": expected a power of two, found "
                           "%" PRIu64,
                           value);
    gguf->alignment = value;
    return COVEY_OK;
}

covey_status covey__gguf_read_metadata(covey__gguf *gguf, covey__gguf_cursor *cursor,
                                       uint64_t count, covey_error *error) {
    gguf->values = covey__calloc(gguf->env, (size_t)count, sizeof *gguf->values);
    if (gguf->values == NULL)
        return covey__no_memory(error, "gguf: metadata", (size_t)count * sizeof *gguf->values);
    gguf->value_count = (size_t)count;
    covey_status status = COVEY_OK;
    for (uint64_t i = 0; i < count && status == COVEY_OK; i++)
        status = read_entry(gguf, cursor, i, &gguf->values[i], error);
    if (status == COVEY_OK) status = sort_keys(gguf, error);
    if (status == COVEY_OK) status = read_alignment(gguf, error);
    return status;
}
