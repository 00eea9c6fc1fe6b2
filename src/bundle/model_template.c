/* The chat template out of a model and into a copy of one. An ensemble may hold its template as a
 * file, to be read and compared; the engine reads the model's own. This file keeps the two from
 * disagreeing: building writes the template into the model, and the deep check compares them. */
#include "bundle/model_template.h"

#include "base/error.h"
#include "base/file.h"
#include "gguf/gguf.h"

#include <string.h>

#define TEMPLATE_KEY       "tokenizer.chat_template"
#define TEMPLATE_BYTES_MAX (1u << 20)
#define PIECE_BYTES        ((size_t)16 << 20)

static covey_status compare(const covey__env *env, const char *model_path, const char *text,
                            size_t size, covey_error *error) {
    covey__gguf *gguf = NULL;
    covey__gguf_text own = {NULL, 0};
    covey_status status = covey__gguf_open_path(env, model_path, &gguf, error);
    if (status != COVEY_OK) return status;
    if (covey__gguf_has(gguf, TEMPLATE_KEY))
        status = covey__gguf_string(gguf, TEMPLATE_KEY, &own, error);
    if (status == COVEY_OK &&
        (own.size != size || (size != 0 && memcmp(own.data, text, size) != 0)))
        status = covey__fail(error, COVEY_ERROR_FORMAT,
                             "contradicts the model's own chat template, which is what answers; "
                             "build the ensemble again with --template");
    covey__gguf_close(gguf);
    return status;
}

covey_status covey__template_check(const covey__env *env, const covey__manifest *manifest,
                                   const char *folder, covey_error *error) {
    const covey__component *template_file = covey__manifest_find(manifest, "template");
    const covey__component *model = covey__manifest_find(manifest, "model");
    covey__buffer text;
    /* Behind a key they cannot be compared here; whoever built the ensemble did so before. */
    if (template_file == NULL || template_file->encrypted || model->encrypted) return COVEY_OK;
    covey__buffer_init(&text, env, TEMPLATE_BYTES_MAX);
    char *path = covey__path_join(env, folder, template_file->file);
    char *model_path = covey__path_join(env, folder, model->file);
    covey_status status = path == NULL || model_path == NULL
                              ? covey__no_memory(error, "path", strlen(folder))
                              : covey__file_read(env, path, &text, error);
    if (status == COVEY_OK)
        status = compare(env, model_path, text.data == NULL ? "" : text.data, text.size, error);
    covey__free(env, path);
    covey__free(env, model_path);
    covey__buffer_free(&text);
    if (status == COVEY_OK) return COVEY_OK;
    return covey__prefix(error, status, "bundle: component \"template\" (%s)", template_file->file);
}

static covey_status put_metadata(const covey__gguf *gguf, covey__gguf_writer *writer,
                                 const char *text, size_t size) {
    covey_status status = COVEY_OK;
    for (size_t i = 0; status == COVEY_OK && i < covey__gguf_value_count(gguf); i++) {
        covey__gguf_value value = covey__gguf_value_at(gguf, i);
        bool replaced = value.key.size == strlen(TEMPLATE_KEY) &&
                        memcmp(value.key.data, TEMPLATE_KEY, value.key.size) == 0;
        if (!replaced) status = covey__gguf_put_value(writer, &value);
    }
    return status == COVEY_OK ? covey__gguf_put_string(writer, TEMPLATE_KEY, text, size) : status;
}

static covey_status add_tensors(const covey__env *env, const covey__gguf *gguf,
                                covey__gguf_writer *writer, covey_error *error) {
    for (size_t i = 0; i < covey__gguf_tensor_count(gguf); i++) {
        const covey__gguf_tensor *tensor = covey__gguf_tensor_at(gguf, i);
        char *name = covey__strndup(env, tensor->name.data, tensor->name.size);
        if (name == NULL) return covey__no_memory(error, "tensor name", tensor->name.size);
        covey_status status = covey__gguf_add_tensor(
            writer, name, tensor->type, tensor->dimension_count, tensor->dimensions, error);
        covey__free(env, name);
        if (status != COVEY_OK) return status;
    }
    return COVEY_OK;
}

static covey_status write_tensors(const covey__gguf *gguf, covey__gguf_writer *writer,
                                  covey_error *error) {
    for (size_t i = 0; i < covey__gguf_tensor_count(gguf); i++) {
        const covey__gguf_tensor *tensor = covey__gguf_tensor_at(gguf, i);
        for (uint64_t at = 0; at < tensor->bytes;) {
            uint64_t left = tensor->bytes - at;
            size_t size = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
            covey_status status = covey__gguf_write_data(writer, tensor->data + at, size, error);
            if (status != COVEY_OK) return status;
            at += size;
        }
    }
    return COVEY_OK;
}

covey_status covey__template_set(const covey__env *env, const char *from, const char *to,
                                 const char *text, size_t size, covey_error *error) {
    covey__gguf *gguf = NULL;
    covey__gguf_writer *writer = NULL;
    covey_status status = covey__gguf_open_path(env, from, &gguf, error);
    if (status == COVEY_OK) status = covey__gguf_writer_new(env, to, &writer, error);
    if (status != COVEY_OK) goto out;
    status = put_metadata(gguf, writer, text, size);
    if (status != COVEY_OK) {
        covey__fail(error, status, "the model's metadata cannot be written");
        goto out;
    }
    status = add_tensors(env, gguf, writer, error);
    if (status == COVEY_OK) status = covey__gguf_write_header(writer, error);
    if (status == COVEY_OK) status = write_tensors(gguf, writer, error);
    if (status == COVEY_OK) status = covey__gguf_finish(writer, error);
out:
    covey__gguf_writer_free(writer);
    covey__gguf_close(gguf);
    if (status == COVEY_OK) return COVEY_OK;
    return covey__prefix(error, status, "bundle: template into model");
}
