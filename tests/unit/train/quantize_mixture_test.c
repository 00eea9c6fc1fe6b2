/* Which tensor takes which type, as llama.cpp's mixtures have it: the table was read off the files
 * that its own quantizer writes for a model of 16 layers, 8 heads and 2 KV heads. */
#include "support/support.h"

#include <stdio.h>
#include <string.h>

#include "train/quantize_mixture.h"

static const covey__mixture_model plain = {
    .tied = false, .importance = false, .layers = 16, .queries_per_key = 4};

static covey__type type_of(covey_weight_type type, const covey__mixture_model *model,
                           const char *name, uint64_t columns, uint64_t rows) {
    covey__gguf_tensor tensor = {.name = {name, strlen(name)},
                                 .type = COVEY__TYPE_F16,
                                 .dimension_count = rows > 1 ? 2 : 1,
                                 .dimensions = {columns, rows, 1, 1},
                                 .element_count = columns * rows};
    return covey__mixture_type(covey__mixture_get(type), model, &tensor);
}

#define IS(type, name, expected)                                                                   \
    assert_int_equal(type_of(COVEY_WEIGHT_##type, &plain, name, 512, 512), COVEY__TYPE_##expected)

static void values_and_the_way_down_take_more_bits(void **state) {
    (void)state;
    IS(Q4_K_M, "blk.0.attn_v.weight", Q6_K); /* the first eighth */
    IS(Q4_K_M, "blk.2.attn_v.weight", Q4_K);
    IS(Q4_K_M, "blk.4.attn_v.weight", Q6_K); /* every third */
    IS(Q4_K_M, "blk.15.ffn_down.weight", Q6_K);
    IS(Q4_K_M, "blk.3.ffn_down.weight", Q4_K);
    IS(Q4_K_M, "blk.0.ffn_up.weight", Q4_K);
    IS(Q4_K_M, "blk.0.attn_qkv.weight", Q5_K);
    IS(Q5_K_M, "blk.0.attn_v.weight", Q6_K);
    IS(Q5_K_M, "blk.2.attn_v.weight", Q5_K);
    IS(Q5_K_M, "blk.0.attn_qkv.weight", Q6_K);
    IS(Q3_K_M, "blk.1.attn_v.weight", Q5_K);
    IS(Q3_K_M, "blk.2.attn_v.weight", Q4_K);
    IS(Q3_K_M, "blk.0.ffn_down.weight", Q5_K);
    IS(Q3_K_M, "blk.1.ffn_down.weight", Q4_K);
    IS(Q3_K_M, "blk.1.attn_output.weight", Q4_K);
    IS(Q3_K_M, "blk.1.attn_q.weight", Q3_K);
    IS(Q2_K, "blk.1.attn_v.weight", Q4_K);
    IS(Q2_K, "blk.1.ffn_down.weight", Q3_K);
    IS(Q2_K, "blk.1.attn_output.weight", Q3_K);
    IS(Q2_K, "token_embd.weight", Q2_K);
    IS(Q6_K, "blk.9.ffn_down.weight", Q6_K);
    covey__mixture_model one_to_one = plain;
    one_to_one.queries_per_key = 1;
    assert_int_equal(type_of(COVEY_WEIGHT_Q2_K, &one_to_one, "blk.1.attn_v.weight", 512, 512),
                     COVEY__TYPE_Q3_K);
}

static void the_output_takes_most(void **state) {
    (void)state;
    covey__mixture_model tied = plain;
    tied.tied = true;
    IS(Q4_0, "output.weight", Q6_K);
    IS(Q2_K, "output.weight", Q6_K);
    IS(Q8_0, "output.weight", Q8_0);
    IS(F16, "output.weight", F16);
    assert_int_equal(type_of(COVEY_WEIGHT_Q4_K_M, &tied, "token_embd.weight", 512, 512),
                     COVEY__TYPE_Q6_K);
    IS(Q4_K_M, "token_embd.weight", Q4_K);
    assert_int_equal(type_of(COVEY_WEIGHT_Q4_0, &plain, "output.weight", 96, 512),
                     COVEY__TYPE_Q8_0);
}

static void rows_that_no_block_divides(void **state) {
    (void)state;
    static const struct {
        covey_weight_type type;
        covey__type expected;
    } cases[] = {{COVEY_WEIGHT_Q2_K, COVEY__TYPE_IQ4_NL}, {COVEY_WEIGHT_Q3_K_M, COVEY__TYPE_IQ4_NL},
                 {COVEY_WEIGHT_Q4_K_M, COVEY__TYPE_Q5_0}, {COVEY_WEIGHT_Q5_K_M, COVEY__TYPE_Q5_1},
                 {COVEY_WEIGHT_Q6_K, COVEY__TYPE_Q8_0},   {COVEY_WEIGHT_Q4_0, COVEY__TYPE_Q4_0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(type_of(cases[i].type, &plain, "blk.3.ffn_up.weight", 96, 64),
                         cases[i].expected);
        assert_int_equal(type_of(cases[i].type, &plain, "blk.3.ffn_up.weight", 20, 64),
                         COVEY__TYPE_F16);
    }
}

static void what_is_no_matrix_stays(void **state) {
    (void)state;
    IS(Q4_K_M, "blk.0.attn_norm.weight", F16);
    IS(Q4_K_M, "position_embd.weight", F16);
    IS(Q4_K_M, "token_types.weight", F16);
    IS(Q4_K_M, "blk.0.ffn_gate_inp.weight", F16);
    IS(Q4_K_M, "blk.0.attn_q.bias", F16);
    assert_int_equal(type_of(COVEY_WEIGHT_Q4_K_M, &plain, "blk.0.attn_q.weight", 512, 1),
                     COVEY__TYPE_F16);
}

static void importance_lifts_the_first_way_down_of_q4_0(void **state) {
    (void)state;
    covey__mixture_model known = plain;
    known.importance = true;
    assert_int_equal(type_of(COVEY_WEIGHT_Q4_0, &known, "blk.1.ffn_down.weight", 512, 512),
                     COVEY__TYPE_Q4_1);
    assert_int_equal(type_of(COVEY_WEIGHT_Q4_0, &known, "blk.2.ffn_down.weight", 512, 512),
                     COVEY__TYPE_Q4_0);
    IS(Q4_0, "blk.1.ffn_down.weight", Q4_0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_the_way_down_take_more_bits),
        cmocka_unit_test(the_output_takes_most),
        cmocka_unit_test(rows_that_no_block_divides),
        cmocka_unit_test(what_is_no_matrix_stays),
        cmocka_unit_test(importance_lifts_the_first_way_down_of_q4_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
