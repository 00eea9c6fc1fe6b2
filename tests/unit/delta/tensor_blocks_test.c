/* Blocks: what is taken apart is put together again, whatever the bytes; and the parts are what
 * ggml's layouts say (a weight is step * (code - zero) - offset). */
#include "support/support.h"

#include "delta/tensor_blocks.h"
#include "gguf/gguf.h"

#include <string.h>

static void any_bytes_come_back(void **state) {
    (void)state;
    static covey__block_batch batch;
    uint64_t seed = 7;
    int types = 0;
    for (uint32_t type = 0; type < 64; type++) {
        const covey__block_layout *layout = covey__block_layout_get(type);
        if (!layout) continue;
        const covey__type_info *info = covey__type_get(type);
        assert_int_equal(info->block_bytes, layout->bytes);
        assert_int_equal(info->block_values, layout->weights);
        types++;
        for (int round = 0; round < 200; round++) {
            uint8_t data[256], again[256];
            int32_t block = (int32_t)(test_random(&seed) % COVEY__BATCH_BLOCKS);
            for (int i = 0; i < layout->bytes; i++) data[i] = (uint8_t)test_random(&seed);
            memset(again, 0xaa, sizeof again);
            layout->take(data, block, &batch);
            for (int i = 0; i < layout->weights; i++) {
                int8_t code = batch.codes[block * layout->weights + i];
                assert_true(code >= layout->low && code <= layout->high);
            }
            layout->put(&batch, block, again);
            assert_memory_equal(data, again, layout->bytes);
        }
    }
    assert_int_equal(types, 12);
}

/* What a damaged patch makes of a batch is any number: it must not leave its bits. */
static void codes_out_of_range_stay_within_their_bits(void **state) {
    (void)state;
    static covey__block_batch batch;
    uint64_t seed = 9;
    for (uint32_t type = 0; type < 64; type++) {
        const covey__block_layout *layout = covey__block_layout_get(type);
        if (!layout) continue;
        uint8_t data[256];
        memset(data, 0x55, sizeof data);
        uint8_t *bytes = (uint8_t *)&batch;
        for (size_t i = 0; i < sizeof batch; i++) bytes[i] = (uint8_t)test_random(&seed);
        layout->put(&batch, 3, data);
        for (size_t i = layout->bytes; i < sizeof data; i++) assert_int_equal(data[i], 0x55);
    }
}

/* One block of Q4_K by hand. */
static void a_block_of_q4_k_is_read_right(void **state) {
    (void)state;
    static covey__block_batch batch;
    uint8_t data[144] = {0x00, 0x3c, 0x00, 0x38}; /* d 1, dmin 0.5 */
    data[4] = 5 | 2 << 6;                         /* scale 0; high bits of scale 4 */
    data[8] = 7 | 1 << 6;                         /* min 0; high bits of min 4 */
    data[12] = 3 | 9 << 4;                        /* low bits of scale 4 and min 4 */
    data[16] = 0xb4;                              /* codes 0 and 32 */
    covey__block_layout_get(COVEY__TYPE_Q4_K)->take(data, 0, &batch);
    assert_int_equal(batch.d[0], 0x3c00);
    assert_int_equal(batch.m[0], 0x3800);
    assert_int_equal(batch.scale[0][0], 5);
    assert_int_equal(batch.min[0][0], 7);
    assert_int_equal(batch.scale[4][0], 35);
    assert_int_equal(batch.min[4][0], 25);
    assert_int_equal(batch.codes[0], 4);
    assert_int_equal(batch.codes[32], 11);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_bytes_come_back),
        cmocka_unit_test(codes_out_of_range_stay_within_their_bits),
        cmocka_unit_test(a_block_of_q4_k_is_read_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
