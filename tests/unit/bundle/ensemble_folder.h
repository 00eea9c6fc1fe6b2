/* A small ensemble in a folder for the tests of this layer: a GGUF that no engine would run, tools
 * and a policy, under a manifest made by the library's own writer. */
#ifndef COVEY_TEST_ENSEMBLE_FOLDER_H
#define COVEY_TEST_ENSEMBLE_FOLDER_H

#include "support/support.h"

#include "base/file.h"
#include "bundle/manifest_build.h"
#include "gguf/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENSEMBLE_TEMPLATE "{{ messages[0]['content'] }}"

static inline void ensemble_model(const covey__env *env, const char *path, uint64_t seed) {
    covey__gguf_writer *writer;
    covey_error error;
    const uint64_t shape[1] = {100000};
    float *data = malloc(shape[0] * sizeof *data);
    for (uint64_t i = 0; i < shape[0]; i++) data[i] = (float)(test_random(&seed) % 1000);
    assert_int_equal(covey__gguf_writer_new(env, path, &writer, &error), COVEY_OK);
    covey__gguf_put_string(writer, "general.architecture", "llama", 5);
    covey__gguf_put_string(writer, "tokenizer.chat_template", ENSEMBLE_TEMPLATE,
                           strlen(ENSEMBLE_TEMPLATE));
    assert_int_equal(covey__gguf_add_tensor(writer, "kept", COVEY__TYPE_F32, 1, shape, &error),
                     COVEY_OK);
    assert_int_equal(covey__gguf_add_tensor(writer, "changed", COVEY__TYPE_F32, 1, shape, &error),
                     COVEY_OK);
    assert_int_equal(covey__gguf_write_header(writer, &error), COVEY_OK);
    float kept[1000];
    for (int i = 0; i < 1000; i++) kept[i] = (float)i * 0.37f;
    for (int i = 0; i < 100; i++)
        assert_int_equal(covey__gguf_write_data(writer, kept, sizeof kept, &error), COVEY_OK);
    assert_int_equal(covey__gguf_write_data(writer, data, shape[0] * sizeof *data, &error),
                     COVEY_OK);
    assert_int_equal(covey__gguf_finish(writer, &error), COVEY_OK);
    covey__gguf_writer_free(writer);
    free(data);
}

/* `seed` makes the model's changed tensor. */
static inline void ensemble_make(const covey__env *env, const char *folder, const char *version,
                                 const char *variant, uint64_t seed) {
    static const covey__manifest_part parts[] = {
        {.role = "model", .file = "model.gguf"},
        {.role = "tools", .file = "tools.json"},
        {.role = "policy", .file = "policies/policy.json"}};
    static const char tools[] = "[{\"name\":\"set_timer\"}]";
    static const char policy[] = "{\"format\":1}";
    covey_error error = {0};
    char path[400];
    snprintf(path, sizeof path, "%s/policies", folder);
    assert_int_equal(covey__folder_make(env, path, &error), COVEY_OK);
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    ensemble_model(env, path, seed);
    snprintf(path, sizeof path, "%s/tools.json", folder);
    test_write(path, tools, strlen(tools));
    snprintf(path, sizeof path, "%s/policies/policy.json", folder);
    test_write(path, policy, strlen(policy));
    covey__manifest_spec spec = {.name = "assistant",
                                 .version = version,
                                 .variant = variant,
                                 .parts = parts,
                                 .part_count = 3,
                                 .memory_bytes = 1000000,
                                 .arithmetic_version = 1,
                                 .app = ">=1.0.0 <3.0.0"};
    covey_status status = covey__manifest_write(env, folder, &spec, &error);
    if (status != COVEY_OK) fail_msg("manifest: %s", error.message);
}

/* Flips a bit of one byte of a file, its size kept. */
static inline void ensemble_flip(const char *path, size_t at) {
    size_t size;
    char *data = test_read(path, &size);
    assert_non_null(data);
    data[at < size ? at : size - 1] ^= 1;
    test_write(path, data, size);
    free(data);
}

#endif
