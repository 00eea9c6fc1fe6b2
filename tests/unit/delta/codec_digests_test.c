/* The coder of tensors against digests of its streams: format 1 says every bit of a stream, so all
 * processors and instruction sets must make the same bytes and read them alike. Seeds, starts and
 * tables are fixed here and made of integers: what an encoder chooses by logarithms may differ from
 * one libm to another, what it then writes may not. The program needs nothing of a system, so that
 * it runs in emulators too (tools/check-portable). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/error.h"
#include "base/sha256.h"
#include "delta/patch_tensor.h"
#include "delta/tensor_blocks.h"
#include "gguf/gguf.h"

#define BLOCKS  80 /* two batches and a half */
#define COLUMNS 512
#define RANK    3

typedef struct expected {
    uint8_t type;
    const char *digest; /* the first 8 bytes of SHA-256 over the streams of all cases */
} expected;

static const expected all[] = {
    {COVEY__TYPE_F32, "ce437d790c02aa66"},    {COVEY__TYPE_F16, "42d085f6fb88dcf5"},
    {COVEY__TYPE_BF16, "db973c8dfd188fe4"},   {COVEY__TYPE_Q4_0, "f2bcdeee7c644d56"},
    {COVEY__TYPE_Q4_1, "65546c5711135007"},   {COVEY__TYPE_Q5_0, "516c1a4173dccbc9"},
    {COVEY__TYPE_Q5_1, "de9d07ca46f7b27c"},   {COVEY__TYPE_Q8_0, "3621f70b3431540b"},
    {COVEY__TYPE_Q2_K, "640a8717ff095ac1"},   {COVEY__TYPE_Q3_K, "001f60ead3fd49a2"},
    {COVEY__TYPE_Q4_K, "357ee33889b625a7"},   {COVEY__TYPE_Q5_K, "802431d8df7f6c1b"},
    {COVEY__TYPE_Q6_K, "42577d5b51c31519"},   {COVEY__TYPE_IQ4_NL, "fa5ef42ab4434584"},
    {COVEY__TYPE_IQ4_XS, "6a4923de0cc8d460"},
};

static const covey__isa isas[] = {COVEY__ISA_SCALAR, COVEY__ISA_AVX2, COVEY__ISA_AVX_VNNI,
                                  COVEY__ISA_AVX512, COVEY__ISA_NEON, COVEY__ISA_WASM};

static covey__env env;

static uint32_t next(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* Where the type's F16 scales stand become sane ones, then some bytes of the new data change. */
static void fill(uint8_t type, int kind, uint64_t *seed, uint8_t *old, uint8_t *fresh,
                 size_t size) {
    static covey__block_batch batch;
    const covey__block_layout *layout = covey__block_layout_get(type);
    for (size_t i = 0; i < size; i++) old[i] = (uint8_t)next(seed);
    if (kind == 0) { /* anything: infinities and numbers that are none among the scales */
        for (size_t i = 0; i < size; i++) fresh[i] = (uint8_t)next(seed);
        return;
    }
    memcpy(fresh, old, size);
    if (!layout) {
        size_t width = covey__tensor_block_bytes(type);
        for (size_t i = 0; i < size; i += width) fresh[i] = (uint8_t)(fresh[i] + next(seed) % 5);
        return;
    }
    for (size_t at = 0; at < size; at += layout->bytes) {
        layout->take(old + at, 0, &batch);
        batch.d[0] = (uint16_t)(0x1c00 + next(seed) % 2048);
        batch.m[0] = (uint16_t)(0x2000 + next(seed) % 2048);
        layout->put(&batch, 0, old + at);
        batch.d[0] = (uint16_t)(batch.d[0] + next(seed) % 64);
        batch.m[0] = (uint16_t)(batch.m[0] + next(seed) % 3);
        for (int w = 0; w < layout->weights; w++) {
            int code =
                batch.codes[w] + (int)(next(seed) % 16 < 3) - (int)(next(seed) % 97 == 0) * 9;
            if (code >= layout->low && code <= layout->high) batch.codes[w] = (int8_t)code;
        }
        layout->put(&batch, 0, fresh + at);
    }
}

/* Tables that no choice of an encoder is in. */
static covey__tensor_coder *new_coder(covey__isa isa) {
    static uint8_t bytes[3 * 4096];
    covey__tensor_coder *coder;
    covey_error error = {0};
    assert_int_equal(covey__tensor_coder_new(&env, isa, &coder, &error), COVEY_OK);
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(100 + i * 37 % 71);
    for (uint16_t id = 0; id <= 2040; id++) { /* refused for ids that are none */
        size_t contexts = id == 2040 ? 85 : 600;
        covey_status status =
            covey__tensor_coder_set_tables(coder, id, bytes, 3 * contexts, &error);
        assert_true(status == COVEY_OK || status == COVEY_ERROR_FORMAT);
    }
    return coder;
}

/* Factors that fit no data: only that all predict alike counts. */
static const covey__tensor_factor *make_factor(uint8_t type, size_t size, uint64_t *seed,
                                               covey__tensor_factor *factor) {
    static int8_t u[BLOCKS * 256 / COLUMNS * RANK + RANK], v[COLUMNS * RANK];
    const covey__block_layout *layout = covey__block_layout_get(type);
    if (!layout || layout->has_codebook) return NULL;
    assert_int_equal(size / layout->bytes * layout->weights % COLUMNS, 0);
    for (size_t i = 0; i < sizeof u; i++) u[i] = (int8_t)(next(seed) % 255 - 127);
    for (size_t i = 0; i < sizeof v; i++) v[i] = (int8_t)(next(seed) % 255 - 127);
    *factor =
        (covey__tensor_factor){.columns = COLUMNS, .rank = RANK, .scale = 0x1p-18f, .v = v, .u = u};
    return factor;
}

static void decode_everywhere(const covey__tensor_part *part, const covey__buffer *stream) {
    covey_error error = {0};
    covey__tensor_part made = *part;
    uint8_t *copy = calloc(1, stream->size + COVEY__LANE_PAST);
    memcpy(copy, stream->data, stream->size);
    made.fresh = malloc(part->size);
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        covey__lane_decoder decoder;
        if (!covey__cpu_has(isas[i])) continue;
        covey__tensor_coder *coder = new_coder(isas[i]);
        memset(made.fresh, 0, part->size);
        assert_int_equal(covey__lane_decoder_init(&decoder, copy, stream->size, &error), COVEY_OK);
        assert_int_equal(covey__tensor_decode(coder, &made, &decoder, &error), COVEY_OK);
        assert_int_equal(covey__lane_decoder_finish(&decoder, &error), COVEY_OK);
        assert_memory_equal(made.fresh, part->fresh, part->size);
        covey__tensor_coder_free(coder);
    }
    free(made.fresh);
    free(copy);
}

/* Encodes on every instruction set, which must give the same stream, and adds it to the digest. */
static void digest_part(const covey__tensor_part *part, covey__sha256 *hash) {
    covey_error error = {0};
    covey__buffer first = {0};
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        covey__lane_encoder encoder;
        covey__buffer stream;
        size_t count;
        if (!covey__cpu_has(isas[i])) continue;
        covey__tensor_coder *coder = new_coder(isas[i]);
        covey__lane_encoder_init(&encoder, &env, 64 << 20);
        covey__buffer_init(&stream, &env, 64 << 20);
        assert_int_equal(covey__tensor_encode(coder, part, &encoder, &error), COVEY_OK);
        const covey__lane_table *tables = covey__tensor_coder_tables(coder, &count);
        assert_int_equal(covey__lane_encoder_finish(&encoder, tables, count, &stream, &error),
                         COVEY_OK);
        covey__lane_encoder_free(&encoder);
        covey__tensor_coder_free(coder);
        if (i == 0) {
            first = stream;
            continue;
        }
        assert_int_equal(stream.size, first.size);
        assert_memory_equal(stream.data, first.data, first.size);
        covey__buffer_free(&stream);
    }
    covey__sha256_update(hash, first.data, first.size);
    decode_everywhere(part, &first);
    covey__buffer_free(&first);
}

static void type_digest(uint8_t type, char hex[17]) {
    uint64_t seed = 1000u + type;
    covey__sha256 hash;
    uint8_t digest[32];
    size_t block = covey__tensor_block_bytes(type);
    size_t size = block * (covey__block_layout_get(type) ? BLOCKS : 1000);
    uint8_t *old = malloc(size), *fresh = malloc(size);
    covey__sha256_init(&hash);
    for (int kind = 0; kind < 4; kind++) {
        covey__tensor_factor factor;
        covey__tensor_part part = {.type = type, .old = old, .fresh = fresh, .size = size};
        fill(type, kind, &seed, old, fresh, size);
        for (int i = 0; i < COVEY__TENSOR_STREAMS; i++)
            part.starts[i] = (uint8_t)(kind < 2 ? 0 : 110 + next(&seed) % 20);
        if (kind == 3) part.factor = make_factor(type, size, &seed, &factor);
        if (kind == 2) part.size = block * 37; /* the second batch is not full */
        digest_part(&part, &hash);
    }
    covey__sha256_final(&hash, digest);
    covey__hex(digest, 8, hex);
    free(old);
    free(fresh);
}

static void streams_are_the_recorded_ones(void **state) {
    int wrong = 0;
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char hex[17];
        type_digest(all[i].type, hex);
        if (strcmp(hex, all[i].digest) == 0) continue;
        print_message("type %d: %s expected, found %s\n", all[i].type, all[i].digest, hex);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

int main(void) {
    covey__env_init(&env);
    const struct CMUnitTest tests[] = {cmocka_unit_test(streams_are_the_recorded_ones)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
