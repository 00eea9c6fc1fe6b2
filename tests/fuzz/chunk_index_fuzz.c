/* Chunk indexes, and stored chunks that the same bytes describe. What is read must be written back
 * to the same bytes; a plan over it must add up; and decoding never writes past the chunk. */
#include "fuzz/fuzz_target.h"

#include "base/sha256.h"
#include "delta/chunk_plan.h"

#include <string.h>

static void check_index(const covey__env *env, const covey__chunk_index *index, const uint8_t *data,
                        size_t size) {
    covey__buffer out;
    covey__chunk_plan *plan;
    covey__chunk_source source = {"none", index};
    covey__buffer_init(&out, env, COVEY__INDEX_BYTES_MAX);
    FUZZ_CHECK(covey__chunk_index_write(index, &out, NULL) == COVEY_OK);
    FUZZ_CHECK(out.size == size && memcmp(out.data, data, size) == 0);
    covey__buffer_free(&out);
    FUZZ_CHECK(covey__chunk_plan_make(env, index, &source, 1, &plan, NULL) == COVEY_OK);
    FUZZ_CHECK(plan->local_bytes <= index->component_size);
    covey__chunk_plan_free(plan);
    FUZZ_CHECK(covey__chunk_plan_make(env, index, NULL, 0, &plan, NULL) == COVEY_OK);
    FUZZ_CHECK(plan->local_bytes == 0);
    FUZZ_CHECK(plan->fetch_bytes <= covey__chunk_index_stored_bytes(index));
    covey__chunk_plan_free(plan);
}

/* The input as the stored form of a chunk whose maker lies about nothing but the content. */
static void check_chunk(const covey__env *env, const uint8_t *data, size_t size) {
    if (size < 5 || size > COVEY__CHUNK_BYTES_MAX) return;
    covey__chunk chunk = {
        .size = (uint32_t)(1 + (data[0] | data[1] << 8 | data[2] << 16) % COVEY__CHUNK_BYTES_MAX)};
    chunk.stored_size = (uint32_t)(size - 4);
    if (chunk.stored_size > chunk.size) return;
    covey__sha256_of(data + 4, size - 4, chunk.blob);
    if (chunk.stored_size == chunk.size) memcpy(chunk.sha256, chunk.blob, 32);
    uint8_t *out = malloc(chunk.size); /* exactly: a byte more is seen by the sanitizer */
    FUZZ_CHECK(out != NULL);
    covey_status status = covey__chunk_decode(env, &chunk, data + 4, size - 4, out, NULL);
    FUZZ_CHECK(status == COVEY_OK || status == COVEY_ERROR_FORMAT ||
               status == COVEY_ERROR_MISMATCH);
    FUZZ_CHECK(status != COVEY_OK || chunk.stored_size == chunk.size);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    covey__chunk_index *index;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey__env_init(&env);
    covey_status status = covey__chunk_index_parse(&env, data, size, &index, &error);
    FUZZ_CHECK((status == COVEY_OK) == (index != NULL));
    FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
    if (status == COVEY_OK) check_index(&env, index, data, size);
    covey__chunk_index_free(index);
    check_chunk(&env, data, size);
    return 0;
}
