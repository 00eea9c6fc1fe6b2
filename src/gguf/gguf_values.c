/* The typed getters of GGUF metadata. The walk at opening checked every extent, so these read
 * without bounds of their own; what they check is whether a value is of the kind and range that the
 * caller needs. Neighbour: gguf_metadata.c. */
#include "gguf/gguf_file.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

bool covey__gguf_has(const covey__gguf *gguf, const char *key) {
    return covey__gguf_find(gguf, key) != NULL;
}

size_t covey__gguf_value_count(const covey__gguf *gguf) {
    return gguf->value_count;
}

covey__gguf_value covey__gguf_value_at(const covey__gguf *gguf, size_t index) {
    assert(index < gguf->value_count);
    return gguf->values[index].value;
}

static covey_status find(const covey__gguf *gguf, const char *key, const covey__gguf_entry **entry,
                         covey_error *error) {
    *entry = covey__gguf_find(gguf, key);
    if (*entry != NULL) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_NOT_FOUND, "gguf: key \"%s\" is missing", key);
}

static covey_status fail_kind(covey_error *error, const char *key, const char *expected,
                              covey__gguf_kind found) {
    return covey__fail(error, COVEY_ERROR_FORMAT, "gguf: key \"%s\": expected %s, found %s", key,
                       expected, covey__gguf_kind_name(found));
}

/* An integer of any width as sign and value; false for other kinds. */
static bool load_integer(covey__gguf_kind kind, const uint8_t *data, bool *negative,
                         uint64_t *value) {
    int64_t number = 0;
    switch (kind) {
    case COVEY__GGUF_U8:
        number = data[0];
        break;
    case COVEY__GGUF_I8:
        number = (int8_t)data[0];
        break;
    case COVEY__GGUF_U16:
        number = data[0] | data[1] << 8;
        break;
    case COVEY__GGUF_I16:
        number = (int16_t)(data[0] | data[1] << 8);
        break;
    case COVEY__GGUF_U32:
        number = covey__gguf_load_u32(data);
        break;
    case COVEY__GGUF_I32:
        number = (int32_t)covey__gguf_load_u32(data);
        break;
    case COVEY__GGUF_U64:
        *negative = false;
        *value = covey__gguf_load_u64(data);
        return true;
    case COVEY__GGUF_I64:
        number = (int64_t)covey__gguf_load_u64(data);
        break;
    default:
        return false;
    }
    *negative = number < 0;
    *value = (uint64_t)number;
    return true;
}

static bool load_double(covey__gguf_kind kind, const uint8_t *data, double *value) {
    if (kind == COVEY__GGUF_F32) {
        uint32_t bits = covey__gguf_load_u32(data);
        float single;
        memcpy(&single, &bits, sizeof single);
        *value = (double)single;
        return true;
    }
    if (kind != COVEY__GGUF_F64) return false;
    uint64_t bits = covey__gguf_load_u64(data);
    memcpy(value, &bits, sizeof *value);
    return true;
}

covey_status covey__gguf_u64(const covey__gguf *gguf, const char *key, uint64_t min, uint64_t max,
                             uint64_t *out, covey_error *error) {
    const covey__gguf_entry *entry;
    covey_status status = find(gguf, key, &entry, error);
    if (status != COVEY_OK) return status;
    bool negative;
    uint64_t value;
    if (!load_integer(entry->value.kind, entry->value.data, &negative, &value))
        return fail_kind(error, key, "an integer", entry->value.kind);
    if (negative || value < min || value > max)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "gguf: key \"%s\": expected %" PRIu64 " to %" PRIu64
                           ", found %s%" PRIu64,
                           key, min, max, negative ? "-" : "", negative ? 0 - value : value);
    *out = value;
    return COVEY_OK;
}

covey_status covey__gguf_f32(const covey__gguf *gguf, const char *key, float *out,
                             covey_error *error) {
    const covey__gguf_entry *entry;
    covey_status status = find(gguf, key, &entry, error);
    if (status != COVEY_OK) return status;
    double value;
    if (!load_double(entry->value.kind, entry->value.data, &value))
        return fail_kind(error, key, "a float", entry->value.kind);
    if (!isfinite((float)value))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "gguf: key \"%s\": expected a finite 32-bit float", key);
    *out = (float)value;
    return COVEY_OK;
}

covey_status covey__gguf_bool(const covey__gguf *gguf, const char *key, bool *out,
                              covey_error *error) {
    const covey__gguf_entry *entry;
    covey_status status = find(gguf, key, &entry, error);
    if (status != COVEY_OK) return status;
    if (entry->value.kind != COVEY__GGUF_BOOL)
        return fail_kind(error, key, "a bool", entry->value.kind);
    *out = entry->value.data[0] != 0;
    return COVEY_OK;
}

static covey__gguf_text load_text(const uint8_t *data) {
    return (covey__gguf_text){(const char *)data + 8, (size_t)covey__gguf_load_u64(data)};
}

covey_status covey__gguf_string(const covey__gguf *gguf, const char *key, covey__gguf_text *out,
                                covey_error *error) {
    const covey__gguf_entry *entry;
    covey_status status = find(gguf, key, &entry, error);
    if (status != COVEY_OK) return status;
    if (entry->value.kind != COVEY__GGUF_STRING)
        return fail_kind(error, key, "a string", entry->value.kind);
    *out = load_text(entry->value.data);
    return COVEY_OK;
}

bool covey__gguf_string_is(const covey__gguf *gguf, const char *key, const char *text) {
    covey__gguf_text found;
    return covey__gguf_has(gguf, key) && covey__gguf_string(gguf, key, &found, NULL) == COVEY_OK &&
           found.size == strlen(text) && memcmp(found.data, text, found.size) == 0;
}

static covey_status find_array(const covey__gguf *gguf, const char *key,
                               const covey__gguf_value **out, covey_error *error) {
    const covey__gguf_entry *entry;
    covey_status status = find(gguf, key, &entry, error);
    if (status != COVEY_OK) return status;
    if (entry->value.kind != COVEY__GGUF_ARRAY)
        return fail_kind(error, key, "an array", entry->value.kind);
    *out = &entry->value;
    return COVEY_OK;
}

covey_status covey__gguf_array(const covey__gguf *gguf, const char *key, covey__gguf_kind *kind,
                               size_t *count, covey_error *error) {
    const covey__gguf_value *value;
    covey_status status = find_array(gguf, key, &value, error);
    if (status != COVEY_OK) return status;
    *kind = value->element_kind;
    *count = (size_t)value->count;
    return COVEY_OK;
}

covey__gguf_text covey__gguf_array_string(const covey__gguf *gguf, const char *key, size_t index) {
    const covey__gguf_entry *entry = covey__gguf_find(gguf, key);
    bool there = entry != NULL && entry->string_offsets != NULL && index < entry->value.count;
    assert(there);
    if (!there) return (covey__gguf_text){"", 0};
    return load_text(entry->value.data + entry->string_offsets[index]);
}

/* The array of exactly `count` elements. */
static covey_status find_counted(const covey__gguf *gguf, const char *key, size_t count,
                                 const covey__gguf_value **value, covey_error *error) {
    covey_status status = find_array(gguf, key, value, error);
    if (status != COVEY_OK) return status;
    if ((*value)->count == count) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_FORMAT,
                       "gguf: key \"%s\": expected %zu elements, found %" PRIu64, key, count,
                       (*value)->count);
}

covey_status covey__gguf_array_i32(const covey__gguf *gguf, const char *key, int32_t *out,
                                   size_t count, covey_error *error) {
    const covey__gguf_value *value;
    covey_status status = find_counted(gguf, key, count, &value, error);
    if (status != COVEY_OK) return status;
    size_t size = covey__gguf_kind_size(value->element_kind);
    for (size_t i = 0; i < count; i++) {
        bool negative;
        uint64_t number;
        if (!load_integer(value->element_kind, value->data + i * size, &negative, &number))
            return fail_kind(error, key, "an array of integers", value->element_kind);
        uint64_t magnitude = negative ? 0 - number : number;
        if (magnitude > (uint64_t)INT32_MAX + (negative ? 1 : 0))
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "gguf: key \"%s\": element %zu does not fit 32 bits", key, i);
        out[i] = (int32_t)(int64_t)number;
    }
    return COVEY_OK;
}

covey_status covey__gguf_array_f32(const covey__gguf *gguf, const char *key, float *out,
                                   size_t count, covey_error *error) {
    const covey__gguf_value *value;
    covey_status status = find_counted(gguf, key, count, &value, error);
    if (status != COVEY_OK) return status;
    size_t size = covey__gguf_kind_size(value->element_kind);
    for (size_t i = 0; i < count; i++) {
        double number;
        if (!load_double(value->element_kind, value->data + i * size, &number))
            return fail_kind(error, key, "an array of floats", value->element_kind);
        if (!isfinite((float)number))
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "gguf: key \"%s\": element %zu is no finite 32-bit float", key, i);
        out[i] = (float)number;
    }
    return COVEY_OK;
}
