/* Writing GGUF version 3. Metadata is encoded as it is put; tensors are declared; write_header puts
 * both at the head of a temporary beside `path`; the tensors' bytes follow in the order of their
 * declaration, each padded to the alignment; finish replaces `path` atomically. So a reader sees
 * the old file or the whole new one, and memory holds metadata only.
 *
 *   new → put…, add_tensor… → write_header → write_data… → finish     free at any point
 *
 * Failures of the puts are kept (the first one) and told by write_header. */
#include "gguf/gguf_file.h"

#include <inttypes.h>
#include <string.h>

#define HEADER_BYTES_MAX ((size_t)1 << 30)

typedef struct pending_tensor {
    uint64_t name_offset; /* in the info buffer: where its name's length stands */
    uint64_t bytes, offset;
} pending_tensor;

struct covey__gguf_writer {
    const covey__env *env;
    covey__replacement file;
    covey__buffer metadata; /* encoded key–value pairs */
    covey__buffer keys;     /* uint64 offsets of the keys in `metadata` */
    covey__buffer infos;    /* encoded tensor descriptions */
    covey__buffer tensors;  /* pending_tensor */
    uint64_t value_count, tensor_count;
    uint64_t alignment, data_bytes;
    uint64_t at; /* bytes of the file written so far */
    uint64_t data_start;
    uint64_t current, current_bytes; /* the tensor being written, and how far */
    bool header_written;
    covey_status status; /* the first failure of a put */
    covey_error failure;
};

covey_status covey__gguf_writer_new(const covey__env *env, const char *path,
                                    covey__gguf_writer **out, covey_error *error) {
    covey__gguf_writer *writer = covey__calloc(env, 1, sizeof *writer);
    if (writer == NULL) return covey__no_memory(error, "gguf writer", sizeof *writer);
    writer->env = env;
    writer->alignment = COVEY__GGUF_ALIGNMENT;
    covey__buffer_init(&writer->metadata, env, HEADER_BYTES_MAX);
    covey__buffer_init(&writer->keys, env, COVEY__GGUF_VALUES_MAX * sizeof(uint64_t));
    covey__buffer_init(&writer->infos, env, HEADER_BYTES_MAX);
    covey__buffer_init(&writer->tensors, env, COVEY__GGUF_TENSORS_MAX * sizeof(pending_tensor));
    covey_status status = covey__replace_begin(env, path, false, &writer->file, error);
    if (status != COVEY_OK) {
        covey__gguf_writer_free(writer);
        return covey__prefix(error, status, "gguf writer");
    }
    *out = writer;
    return COVEY_OK;
}

void covey__gguf_writer_free(covey__gguf_writer *writer) {
    if (writer == NULL) return;
    covey__replace_abort(&writer->file);
    covey__buffer_free(&writer->metadata);
    covey__buffer_free(&writer->keys);
    covey__buffer_free(&writer->infos);
    covey__buffer_free(&writer->tensors);
    covey__free(writer->env, writer);
}

static void put_u32(covey__buffer *out, uint32_t value) {
    uint8_t bytes[4];
    for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(value >> 8 * i);
    covey__buffer_append(out, bytes, sizeof bytes);
}

static void put_u64(covey__buffer *out, uint64_t value) {
    put_u32(out, (uint32_t)value);
    put_u32(out, (uint32_t)(value >> 32));
}

static void put_text(covey__buffer *out, const char *text, size_t size) {
    put_u64(out, size);
    covey__buffer_append(out, text, size);
}

/* Keeps the first failure; later ones follow from it as a rule. */
static covey_status keep(covey__gguf_writer *writer, covey_status status) {
    if (writer->status == COVEY_OK) writer->status = status;
    return writer->status;
}

static bool key_is_there(const covey__gguf_writer *writer, covey__gguf_text key) {
    for (size_t at = 0; at < writer->keys.size; at += sizeof(uint64_t)) {
        uint64_t offset;
        memcpy(&offset, writer->keys.data + at, sizeof offset);
        const uint8_t *data = (const uint8_t *)writer->metadata.data + offset;
        covey__gguf_text other = {(const char *)data + 8, (size_t)covey__gguf_load_u64(data)};
        if (covey__gguf_compare_texts(other, key) == 0) return true;
    }
    return false;
}

/* Begins a value: checks the key and writes it with its kind. */
static covey_status begin_value(covey__gguf_writer *writer, covey__gguf_text key,
                                covey__gguf_kind kind) {
    if (writer->status != COVEY_OK) return writer->status;
    char shown[120];
    const char *wrong = NULL;
    if (writer->header_written) wrong = "put after the header was written";
    if (key.size == 0 || key.size > COVEY__GGUF_KEY_BYTES_MAX)
        wrong = "expected 1 to 65535 bytes of key";
    if (wrong == NULL && key_is_there(writer, key)) wrong = "put twice";
    if (wrong != NULL)
        return keep(writer,
                    covey__fail(&writer->failure, COVEY_ERROR_INVALID_ARGUMENT,
                                "gguf writer: key \"%s\": %s",
                                covey__printable(key.data, key.size, shown, sizeof shown), wrong));
    uint64_t offset = writer->metadata.size;
    covey__buffer_append(&writer->keys, &offset, sizeof offset);
    put_text(&writer->metadata, key.data, key.size);
    put_u32(&writer->metadata, (uint32_t)kind);
    writer->value_count++;
    return COVEY_OK;
}

static covey_status end_value(covey__gguf_writer *writer) {
    covey_status status =
        covey__buffer_check(&writer->metadata, &writer->failure, "gguf writer: metadata");
    if (status == COVEY_OK)
        status = covey__buffer_check(&writer->keys, &writer->failure, "gguf writer: keys");
    return status == COVEY_OK ? COVEY_OK : keep(writer, status);
}

static covey__gguf_text text_of(const char *text) {
    return (covey__gguf_text){text, strlen(text)};
}

/* general.alignment decides where the tensors go, so a put of it is also an order. */
static covey_status note_alignment(covey__gguf_writer *writer, covey__gguf_text key,
                                   uint64_t value) {
    if (covey__gguf_compare_texts(key, text_of("general.alignment")) != 0) return COVEY_OK;
    if (value >= 8 && value <= COVEY__GGUF_ALIGNMENT_MAX && (value & (value - 1)) == 0 &&
        writer->tensor_count == 0) {
        writer->alignment = value;
        return COVEY_OK;
    }
    return keep(writer, covey__fail(&writer->failure, COVEY_ERROR_INVALID_ARGUMENT,
                                    "gguf writer: key \"general.alignment\": expected a power of "
                                    "two from 8 before the first tensor, found %" PRIu64,
                                    value));
}

covey_status covey__gguf_put_u32(covey__gguf_writer *writer, const char *key, uint32_t value) {
    covey_status status = begin_value(writer, text_of(key), COVEY__GGUF_U32);
    if (status == COVEY_OK) status = note_alignment(writer, text_of(key), value);
    if (status != COVEY_OK) return status;
    put_u32(&writer->metadata, value);
    return end_value(writer);
}

covey_status covey__gguf_put_u64(covey__gguf_writer *writer, const char *key, uint64_t value) {
    covey_status status = begin_value(writer, text_of(key), COVEY__GGUF_U64);
    if (status == COVEY_OK) status = note_alignment(writer, text_of(key), value);
    if (status != COVEY_OK) return status;
    put_u64(&writer->metadata, value);
    return end_value(writer);
}

covey_status covey__gguf_put_f32(covey__gguf_writer *writer, const char *key, float value) {
    covey_status status = begin_value(writer, text_of(key), COVEY__GGUF_F32);
    if (status != COVEY_OK) return status;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_u32(&writer->metadata, bits);
    return end_value(writer);
}

covey_status covey__gguf_put_bool(covey__gguf_writer *writer, const char *key, bool value) {
    covey_status status = begin_value(writer, text_of(key), COVEY__GGUF_BOOL);
    if (status != COVEY_OK) return status;
    covey__buffer_byte(&writer->metadata, value ? 1 : 0);
    return end_value(writer);
}

covey_status covey__gguf_put_string(covey__gguf_writer *writer, const char *key, const char *text,
                                    size_t size) {
    covey_status status = begin_value(writer, text_of(key), COVEY__GGUF_STRING);
    if (status != COVEY_OK) return status;
    put_text(&writer->metadata, text, size);
    return end_value(writer);
}

static covey_status begin_array(covey__gguf_writer *writer, const char *key, covey__gguf_kind kind,
                                size_t count) {
    covey_status status = begin_value(writer, text_of(key), COVEY__GGUF_ARRAY);
    if (status != COVEY_OK) return status;
    put_u32(&writer->metadata, (uint32_t)kind);
    put_u64(&writer->metadata, count);
    return COVEY_OK;
}

covey_status covey__gguf_put_strings(covey__gguf_writer *writer, const char *key,
                                     const covey__gguf_text *texts, size_t count) {
    covey_status status = begin_array(writer, key, COVEY__GGUF_STRING, count);
    if (status != COVEY_OK) return status;
    for (size_t i = 0; i < count; i++) put_text(&writer->metadata, texts[i].data, texts[i].size);
    return end_value(writer);
}

covey_status covey__gguf_put_i32s(covey__gguf_writer *writer, const char *key,
                                  const int32_t *values, size_t count) {
    covey_status status = begin_array(writer, key, COVEY__GGUF_I32, count);
    if (status != COVEY_OK) return status;
    for (size_t i = 0; i < count; i++) put_u32(&writer->metadata, (uint32_t)values[i]);
    return end_value(writer);
}

covey_status covey__gguf_put_f32s(covey__gguf_writer *writer, const char *key, const float *values,
                                  size_t count) {
    covey_status status = begin_array(writer, key, COVEY__GGUF_F32, count);
    if (status != COVEY_OK) return status;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        put_u32(&writer->metadata, bits);
    }
    return end_value(writer);
}

covey_status covey__gguf_put_value(covey__gguf_writer *writer, const covey__gguf_value *value) {
    covey_status status = begin_value(writer, value->key, value->kind);
    if (status == COVEY_OK && (value->kind == COVEY__GGUF_U32 || value->kind == COVEY__GGUF_I32))
        status = note_alignment(writer, value->key, covey__gguf_load_u32(value->data));
    if (status == COVEY_OK && (value->kind == COVEY__GGUF_U64 || value->kind == COVEY__GGUF_I64))
        status = note_alignment(writer, value->key, covey__gguf_load_u64(value->data));
    if (status != COVEY_OK) return status;
    if (value->kind == COVEY__GGUF_ARRAY) {
        put_u32(&writer->metadata, (uint32_t)value->element_kind);
        put_u64(&writer->metadata, value->count);
    }
    covey__buffer_append(&writer->metadata, value->data, value->data_size);
    return end_value(writer);
}

static covey_status fail_tensor(covey_error *error, const char *name, const char *what) {
    char shown[120];
    return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "gguf writer: tensor \"%s\": %s",
                       covey__printable(name, strlen(name), shown, sizeof shown), what);
}

static bool name_is_there(const covey__gguf_writer *writer, const char *name) {
    for (uint64_t i = 0; i < writer->tensor_count; i++) {
        pending_tensor tensor;
        memcpy(&tensor, writer->tensors.data + i * sizeof tensor, sizeof tensor);
        const uint8_t *data = (const uint8_t *)writer->infos.data + tensor.name_offset;
        covey__gguf_text other = {(const char *)data + 8, (size_t)covey__gguf_load_u64(data)};
        if (covey__gguf_compare_texts(other, text_of(name)) == 0) return true;
    }
    return false;
}

/* Bytes of a tensor; 0 when its shape is not one that the type allows. */
static uint64_t tensor_bytes(covey__type type, uint32_t dimension_count,
                             const uint64_t *dimensions) {
    const covey__type_info *info = covey__type_get((uint32_t)type);
    if (info == NULL || dimension_count < 1 || dimension_count > 4) return 0;
    if (dimensions[0] % info->block_values != 0) return 0;
    uint64_t elements = 1, bytes;
    for (uint32_t i = 0; i < dimension_count; i++)
        if (!covey__mul_u64(elements, dimensions[i], &elements)) return 0;
    if (!covey__mul_u64(elements / info->block_values, info->block_bytes, &bytes)) return 0;
    return bytes <= (uint64_t)INT64_MAX / 2 ? bytes : 0;
}

static uint64_t round_up(uint64_t value, uint64_t alignment) {
    return (value + alignment - 1) / alignment * alignment;
}

covey_status covey__gguf_add_tensor(covey__gguf_writer *writer, const char *name, covey__type type,
                                    uint32_t dimension_count, const uint64_t *dimensions,
                                    covey_error *error) {
    size_t name_size = strlen(name);
    uint64_t bytes = tensor_bytes(type, dimension_count, dimensions);
    if (writer->header_written) return fail_tensor(error, name, "added after the header");
    if (name_size == 0 || name_size > COVEY__GGUF_NAME_BYTES_MAX)
        return fail_tensor(error, name, "expected 1 to 255 bytes of name");
    if (bytes == 0)
        return fail_tensor(error, name, "its type or dimensions are not ones that GGUF allows");
    if (name_is_there(writer, name)) return fail_tensor(error, name, "added twice");
    pending_tensor tensor = {writer->infos.size, bytes, writer->data_bytes};
    if (!covey__add_u64(writer->data_bytes, bytes + writer->alignment, &writer->data_bytes))
        return fail_tensor(error, name, "the file would pass 2^63 bytes");
    writer->data_bytes = round_up(tensor.offset + bytes, writer->alignment);
    put_text(&writer->infos, name, name_size);
    put_u32(&writer->infos, dimension_count);
    for (uint32_t i = 0; i < dimension_count; i++) put_u64(&writer->infos, dimensions[i]);
    put_u32(&writer->infos, (uint32_t)type);
    put_u64(&writer->infos, tensor.offset);
    covey__buffer_append(&writer->tensors, &tensor, sizeof tensor);
    writer->tensor_count++;
    covey_status status = covey__buffer_check(&writer->infos, error, "gguf writer: tensors");
    if (status == COVEY_OK)
        status = covey__buffer_check(&writer->tensors, error, "gguf writer: tensors");
    return status == COVEY_OK ? COVEY_OK : keep(writer, status);
}

static covey_status write_bytes(covey__gguf_writer *writer, const void *data, size_t size,
                                covey_error *error) {
    covey_status status =
        covey__file_write_at(writer->env, writer->file.descriptor, writer->file.temporary,
                             writer->at, data, size, error);
    if (status == COVEY_OK) writer->at += size;
    return status;
}

static covey_status pad_to(covey__gguf_writer *writer, uint64_t end, covey_error *error) {
    static const uint8_t zeros[256] = {0};
    while (writer->at < end) {
        uint64_t left = end - writer->at;
        covey_status status =
            write_bytes(writer, zeros, left < sizeof zeros ? (size_t)left : sizeof zeros, error);
        if (status != COVEY_OK) return status;
    }
    return COVEY_OK;
}

covey_status covey__gguf_write_header(covey__gguf_writer *writer, covey_error *error) {
    if (writer->status != COVEY_OK) {
        if (error != NULL) *error = writer->failure;
        return writer->status;
    }
    if (writer->header_written || writer->file.descriptor < 0)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "gguf writer: the header is written already");
    writer->header_written = true;
    covey__buffer head;
    covey__buffer_init(&head, writer->env, 64);
    covey__buffer_append(&head, "GGUF", 4);
    put_u32(&head, 3);
    put_u64(&head, writer->tensor_count);
    put_u64(&head, writer->value_count);
    covey_status status = covey__buffer_check(&head, error, "gguf writer: header");
    if (status == COVEY_OK) status = write_bytes(writer, head.data, head.size, error);
    covey__buffer_free(&head);
    if (status == COVEY_OK)
        status = write_bytes(writer, writer->metadata.data, writer->metadata.size, error);
    if (status == COVEY_OK)
        status = write_bytes(writer, writer->infos.data, writer->infos.size, error);
    writer->data_start = round_up(writer->at, writer->alignment);
    if (status == COVEY_OK) status = pad_to(writer, writer->data_start, error);
    return status;
}

static pending_tensor current_tensor(const covey__gguf_writer *writer) {
    pending_tensor tensor;
    memcpy(&tensor, writer->tensors.data + writer->current * sizeof tensor, sizeof tensor);
    return tensor;
}

covey_status covey__gguf_write_data(covey__gguf_writer *writer, const void *data, size_t size,
                                    covey_error *error) {
    if (!writer->header_written || writer->current == writer->tensor_count)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "gguf writer: data %s",
                           writer->header_written ? "after the last tensor" : "before the header");
    pending_tensor tensor = current_tensor(writer);
    if (size > tensor.bytes - writer->current_bytes)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "gguf writer: tensor %" PRIu64 ": %zu bytes given, %" PRIu64 " expected",
                           writer->current, size, tensor.bytes - writer->current_bytes);
    covey_status status = write_bytes(writer, data, size, error);
    if (status != COVEY_OK) return status;
    writer->current_bytes += size;
    if (writer->current_bytes < tensor.bytes) return COVEY_OK;
    writer->current++;
    writer->current_bytes = 0;
    return pad_to(writer,
                  writer->data_start + round_up(tensor.offset + tensor.bytes, writer->alignment),
                  error);
}

covey_status covey__gguf_finish(covey__gguf_writer *writer, covey_error *error) {
    if (!writer->header_written || writer->current != writer->tensor_count)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "gguf writer: finished after %" PRIu64 " of %" PRIu64 " tensors",
                           writer->current, writer->tensor_count);
    covey_status status = covey__replace_commit(&writer->file, error);
    return covey__prefix(error, status, "gguf writer");
}
