/* A GGUF for the tests of chunking: metadata with a vocabulary, one tensor of 2.5 MiB, two of
 * 300 KiB and many of 4 KiB. `version` changes a metadata string, `salt` the bytes of tensor "big".
 */
#ifndef COVEY_TEST_DELTA_GGUF_H
#define COVEY_TEST_DELTA_GGUF_H

#include "support/support.h"

#include "gguf/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DELTA_GGUF_SMALL 40

static inline void delta_gguf_tensor(covey__gguf_writer *writer, uint64_t bytes, uint64_t seed) {
    covey_error error;
    uint8_t *data = malloc(bytes);
    for (uint64_t i = 0; i < bytes; i++) data[i] = (uint8_t)test_random(&seed);
    assert_int_equal(covey__gguf_write_data(writer, data, bytes, &error), COVEY_OK);
    free(data);
}

static inline void delta_gguf_make(const covey__env *env, const char *path, const char *version,
                                   uint64_t salt) {
    covey__gguf_writer *writer;
    covey_error error;
    char name[32];
    const uint64_t big[1] = {2621440 / 4}, middle[1] = {307200 / 4}, small[1] = {1024};
    assert_int_equal(covey__gguf_writer_new(env, path, &writer, &error), COVEY_OK);
    covey__gguf_put_string(writer, "general.architecture", "llama", 5);
    covey__gguf_put_string(writer, "general.version", version, strlen(version));
    assert_int_equal(covey__gguf_add_tensor(writer, "big", COVEY__TYPE_F32, 1, big, &error),
                     COVEY_OK);
    assert_int_equal(covey__gguf_add_tensor(writer, "middle.0", COVEY__TYPE_F32, 1, middle, &error),
                     COVEY_OK);
    assert_int_equal(covey__gguf_add_tensor(writer, "middle.1", COVEY__TYPE_F32, 1, middle, &error),
                     COVEY_OK);
    for (int i = 0; i < DELTA_GGUF_SMALL; i++) {
        snprintf(name, sizeof name, "small.%d", i);
        assert_int_equal(covey__gguf_add_tensor(writer, name, COVEY__TYPE_F32, 1, small, &error),
                         COVEY_OK);
    }
    assert_int_equal(covey__gguf_write_header(writer, &error), COVEY_OK);
    delta_gguf_tensor(writer, 2621440, 1 + salt);
    delta_gguf_tensor(writer, 307200, 100);
    delta_gguf_tensor(writer, 307200, 101);
    for (uint64_t i = 0; i < DELTA_GGUF_SMALL; i++) delta_gguf_tensor(writer, 4096, 200 + i);
    assert_int_equal(covey__gguf_finish(writer, &error), COVEY_OK);
    covey__gguf_writer_free(writer);
}

#endif
