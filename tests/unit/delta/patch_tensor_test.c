/* Parts of tensors: every type comes back bit for bit on every instruction set; random bytes too,
 * and what a damaged stream gives is an error or noise, never a fault. */
#include "support/support.h"

#include "base/cpu.h"
#include "delta/patch_tensor.h"
#include "delta/residual.h"
#include "delta/tensor_blocks.h"
#include "gguf/gguf.h"

#include <stdlib.h>
#include <string.h>

#define BLOCKS 100 /* three batches and a bit */

static const covey__isa isas[] = {COVEY__ISA_SCALAR, COVEY__ISA_AVX2, COVEY__ISA_AVX512,
                                  COVEY__ISA_NEON};

typedef struct fixture {
    test_env test;
    uint8_t *old, *fresh, *made;
    size_t size;
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    test_env_init(&f->test);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    assert_int_equal(f->test.alive, 0);
    free(f->old);
    free(f->fresh);
    free(f->made);
    free(f);
    return 0;
}

static void allocate(fixture *f, size_t size) {
    free(f->old);
    free(f->fresh);
    free(f->made);
    f->old = calloc(1, size + 1);
    f->fresh = calloc(1, size + 1);
    f->made = calloc(1, size + 1);
    f->size = size;
}

/* A stream with the room behind it that a decoder wants. */
static uint8_t *padded(const covey__buffer *stream) {
    uint8_t *copy = calloc(1, stream->size + COVEY__LANE_PAST);
    memcpy(copy, stream->data, stream->size);
    return copy;
}

static void decode_with(fixture *f, const covey__tensor_coder *from, covey__isa isa,
                        const covey__tensor_part *part, const covey__buffer *stream) {
    covey_error error = {0};
    covey__tensor_coder *coder;
    covey__lane_decoder decoder;
    uint16_t id;
    const uint8_t *bytes;
    size_t size;
    uint8_t *copy = padded(stream);
    assert_int_equal(covey__tensor_coder_new(&f->test.env, isa, &coder, &error), COVEY_OK);
    for (size_t i = 0; covey__tensor_coder_set(from, i, &id, &bytes, &size); i++)
        assert_int_equal(covey__tensor_coder_set_tables(coder, id, bytes, size, &error), COVEY_OK);
    covey__tensor_part made = *part;
    covey__tensor_factor factor;
    if (part->factor) {
        factor = *part->factor;
        factor.u = NULL;
        made.factor = &factor;
    }
    memset(f->made, 0, f->size);
    made.fresh = f->made;
    assert_int_equal(covey__lane_decoder_init(&decoder, copy, stream->size, &error), COVEY_OK);
    assert_int_equal(covey__tensor_decode(coder, &made, &decoder, &error), COVEY_OK);
    assert_int_equal(covey__lane_decoder_finish(&decoder, &error), COVEY_OK);
    assert_memory_equal(f->made, part->fresh, f->size);
    covey__tensor_coder_free(coder);
    free(copy);
}

/* Returns the bytes of the stream. */
static size_t round_trip(fixture *f, uint8_t type, const covey__tensor_factor *factor) {
    covey_error error = {0};
    covey__tensor_coder *coder;
    covey__lane_encoder encoder;
    covey__buffer stream;
    size_t count;
    covey__tensor_part part = {
        .type = type, .old = f->old, .fresh = f->fresh, .size = f->size, .factor = factor};
    covey__buffer_init(&stream, &f->test.env, 64 << 20);
    covey__lane_encoder_init(&encoder, &f->test.env, 64 << 20);
    assert_int_equal(covey__tensor_coder_new(&f->test.env, COVEY__ISA_SCALAR, &coder, &error),
                     COVEY_OK);
    assert_int_equal(covey__tensor_starts(coder, &part, &error), COVEY_OK);
    assert_int_equal(covey__tensor_count(coder, &part, &error), COVEY_OK);
    covey__tensor_coder_fit(coder);
    assert_int_equal(covey__tensor_encode(coder, &part, &encoder, &error), COVEY_OK);
    const covey__lane_table *tables = covey__tensor_coder_tables(coder, &count);
    assert_int_equal(covey__lane_encoder_finish(&encoder, tables, count, &stream, &error),
                     COVEY_OK);
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++)
        if (covey__cpu_has(isas[i])) decode_with(f, coder, isas[i], &part, &stream);
    size_t size = stream.size;
    covey__lane_encoder_free(&encoder);
    covey__buffer_free(&stream);
    covey__tensor_coder_free(coder);
    return size;
}

static void random_bytes_of_every_type_come_back(void **state) {
    fixture *f = *state;
    uint64_t seed = 3;
    int types = 0;
    for (int type = 0; type < 64; type++) {
        size_t block = covey__tensor_block_bytes((uint8_t)type);
        if (!block) continue;
        types++;
        for (int round = 0; round < 4; round++) {
            allocate(f, block * (round == 0 ? 0 : round == 1 ? 1 : BLOCKS));
            for (size_t i = 0; i < f->size; i++) {
                f->old[i] = (uint8_t)test_random(&seed);
                f->fresh[i] = round == 3 ? f->old[i] : (uint8_t)test_random(&seed);
            }
            size_t size = round_trip(f, (uint8_t)type, NULL);
            if (round == 3) assert_true(size < COVEY__LANE_HEAD + f->size / 8);
        }
    }
    assert_int_equal(types, 15);
}

/* Scales of a sane size, the same codes but for some that moved by one: a fine-tune. */
static void make_pair(fixture *f, uint8_t type, uint64_t seed, int one_in) {
    static covey__block_batch batch;
    const covey__block_layout *layout = covey__block_layout_get(type);
    allocate(f, (size_t)layout->bytes * BLOCKS);
    for (int32_t i = 0; i < BLOCKS; i++) {
        uint8_t *old = f->old + (size_t)i * layout->bytes;
        for (int b = 0; b < layout->bytes; b++) old[b] = (uint8_t)test_random(&seed);
        layout->take(old, 0, &batch);
        batch.d[0] = (uint16_t)(0x2000 + test_random(&seed) % 1024);
        batch.m[0] = (uint16_t)(0x2000 + test_random(&seed) % 1024);
        for (int s = 0; s < layout->subs; s++) batch.scale[s][0] = (int8_t)(layout->scale_high - s);
        layout->put(&batch, 0, old);
        batch.d[0] = (uint16_t)(batch.d[0] + test_random(&seed) % 3);
        for (int w = 0; w < layout->weights; w++) {
            int8_t *code = &batch.codes[w];
            if (test_random(&seed) % (uint64_t)one_in == 0 && *code < layout->high) ++*code;
        }
        layout->put(&batch, 0, f->fresh + (size_t)i * layout->bytes);
    }
}

static void a_light_change_takes_few_bytes(void **state) {
    fixture *f = *state;
    for (int type = 0; type < 64; type++) {
        if (!covey__block_layout_get((uint32_t)type)) continue;
        make_pair(f, (uint8_t)type, 11 + (uint64_t)type, 50);
        size_t size = round_trip(f, (uint8_t)type, NULL);
        /* One code in fifty: 0.14 bits a code, and what tables do not know yet. */
        size_t weights = covey__tensor_block_weights((uint8_t)type) * BLOCKS;
        if (size > COVEY__LANE_HEAD + weights / 25 + (size_t)BLOCKS)
            print_message("type %d: %zu bytes for %zu weights\n", type, size, weights);
        assert_true(size <= COVEY__LANE_HEAD + weights / 25 + (size_t)BLOCKS);
    }
}

/* A change of rank one: with factors its codes are foretold. */
static void factors_foretell_what_has_few_directions(void **state) {
    fixture *f = *state;
    enum { COLUMNS = 256, ROWS = 64, BLOCK = 34 };
    int8_t u[ROWS], v[COLUMNS];
    uint64_t seed = 5;
    allocate(f, ROWS * COLUMNS / 32 * BLOCK);
    for (int i = 0; i < ROWS; i++) u[i] = (int8_t)(test_random(&seed) % 255 - 127);
    for (int i = 0; i < COLUMNS; i++) v[i] = (int8_t)(test_random(&seed) % 255 - 127);
    for (int row = 0; row < ROWS; row++)
        for (int column = 0; column < COLUMNS; column++) {
            size_t block = (size_t)(row * COLUMNS + column) / 32;
            uint8_t *old = f->old + block * BLOCK, *fresh = f->fresh + block * BLOCK;
            int code = (int)(test_random(&seed) % 161) - 80;
            int moved = code + (u[row] * v[column] + (1 << 30) + 256) / 512 - (1 << 21);
            old[0] = fresh[0] = 0;
            old[1] = fresh[1] = 0x3c; /* d = 1 */
            old[2 + column % 32] = (uint8_t)(int8_t)code;
            fresh[2 + column % 32] = (uint8_t)(int8_t)moved;
        }
    covey__tensor_factor factor = {
        .columns = COLUMNS, .rank = 1, .scale = 1.0f / 512, .v = v, .u = u};
    size_t plain = round_trip(f, COVEY__TYPE_Q8_0, NULL);
    size_t foretold = round_trip(f, COVEY__TYPE_Q8_0, &factor);
    assert_true(foretold * 4 < plain);
}

static void damaged_streams_are_errors_or_noise(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    uint64_t seed = 21;
    for (int type = 0; type < 64; type++) {
        size_t block = covey__tensor_block_bytes((uint8_t)type);
        if (!block) continue;
        allocate(f, block * 40);
        for (size_t i = 0; i < f->size; i++) f->old[i] = (uint8_t)test_random(&seed);
        covey__tensor_part part = {
            .type = (uint8_t)type, .old = f->old, .fresh = f->made, .size = f->size};
        for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
            covey__tensor_coder *coder;
            covey__lane_decoder decoder;
            size_t size = COVEY__LANE_HEAD + 2 * (test_random(&seed) % 300);
            if (!covey__cpu_has(isas[i])) continue;
            uint8_t *stream = calloc(1, size + COVEY__LANE_PAST);
            for (size_t b = 0; b < size; b++)
                stream[b] = (uint8_t)(test_random(&seed) | (b < COVEY__LANE_HEAD && b % 4 == 3));
            assert_int_equal(covey__tensor_coder_new(&f->test.env, isas[i], &coder, &error),
                             COVEY_OK);
            if (!covey__lane_decoder_init(&decoder, stream, size, &error)) {
                covey_status status = covey__tensor_decode(coder, &part, &decoder, &error);
                if (!status) status = covey__lane_decoder_finish(&decoder, &error);
                assert_int_equal(status, COVEY_ERROR_FORMAT);
            }
            covey__tensor_coder_free(coder);
            free(stream);
        }
    }
}

static void wrong_parts_and_sets_are_refused(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__tensor_coder *coder;
    uint8_t bytes[6] = {0};
    allocate(f, 144);
    assert_int_equal(covey__tensor_coder_new(&f->test.env, COVEY__ISA_SCALAR, &coder, &error),
                     COVEY_OK);
    assert_int_equal(
        covey__tensor_coder_set_tables(coder, 8 * COVEY__TYPE_Q8_0 + 1, bytes, 6, &error),
        COVEY_ERROR_FORMAT); /* Q8_0 has no second float */
    assert_int_equal(covey__tensor_coder_set_tables(coder, 65535, bytes, 6, &error),
                     COVEY_ERROR_FORMAT);
    assert_int_equal(covey__tensor_coder_set_tables(coder, 8 * COVEY__TYPE_Q8_0, bytes, 5, &error),
                     COVEY_ERROR_FORMAT);
    assert_int_equal(covey__tensor_coder_set_tables(coder, 8 * COVEY__TYPE_Q8_0, bytes, 6, &error),
                     COVEY_OK);
    assert_int_equal(covey__tensor_coder_set_tables(coder, 8 * COVEY__TYPE_Q8_0, bytes, 6, &error),
                     COVEY_ERROR_FORMAT);
    int8_t v[300] = {0};
    covey__tensor_factor factor = {.columns = 300, .rank = 1, .scale = 1.0f, .v = v, .u = v};
    covey__tensor_part part = {
        .type = COVEY__TYPE_Q4_K, .old = f->old, .fresh = f->fresh, .size = 144, .factor = &factor};
    assert_int_equal(covey__tensor_count(coder, &part, &error), COVEY_ERROR_FORMAT);
    part.factor = NULL;
    part.size = 143;
    assert_int_equal(covey__tensor_count(coder, &part, &error), COVEY_ERROR_FORMAT);
    part.size = 144;
    part.type = 200;
    assert_int_equal(covey__tensor_count(coder, &part, &error), COVEY_ERROR_FORMAT);
    covey__tensor_coder_free(coder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_bytes_of_every_type_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_light_change_takes_few_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(factors_foretell_what_has_few_directions, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(damaged_streams_are_errors_or_noise, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_parts_and_sets_are_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
