/* What architectures differ in: that each of them is what its name says, by comparing bits with one
 * another where they must agree, and that whatever is missing, unknown or not computed is refused
 * by name. */
#include "synthetic.h"

#define TOKENS 48

static covey_runtime *runtime;

static int set_up(void **state) {
    runtime = open_runtime(1, NULL);
    return make_folder(state);
}

static int tear_down(void **state) {
    covey_runtime_close(runtime);
    return remove_folder(state);
}

/* Logits after each of TOKENS tokens. */
typedef struct rows {
    float logits[TOKENS][SYNTHETIC_VOCABULARY];
} rows;

static covey_status keep_row(void *user, size_t index, const float *logits, size_t logit_count) {
    rows *all = user;
    memcpy(all->logits[index], logits, logit_count * sizeof *logits);
    return COVEY_OK;
}

static void compute(const synthetic *s, int32_t context, rows *out) {
    covey_error error = {.message = ""};
    covey_token tokens[TOKENS];
    const char *path = in_folder("hyper.gguf");
    write_synthetic(s, path);
    covey_model *model = open_model(runtime, path);
    covey_session *session = open_session(model, context, 0);
    random_tokens(tokens, TOKENS, SYNTHETIC_VOCABULARY, 2);
    must(covey_session_append_each(session, tokens, TOKENS, &error, keep_row, out), &error);
    covey_session_close(session);
    covey_model_close(model);
}

/* Rows from the first on that are equal in both. */
static size_t agree(const synthetic *a, int32_t a_context, const synthetic *b, int32_t b_context) {
    static rows first, second;
    compute(a, a_context, &first);
    compute(b, b_context, &second);
    for (size_t t = 0; t < TOKENS; t++)
        if (memcmp(first.logits[t], second.logits[t], sizeof first.logits[t]) != 0) return t;
    return TOKENS;
}

/* The same weights in both: three layers are llama's, the fourth differs from the second token on
 * (at position 0 nothing turns). */
static void test_smollm3_has_no_rope_in_the_fourth_layer(void **state) {
    (void)state;
    synthetic llama = SYNTHETIC_ODD, smollm3 = SYNTHETIC_ODD;
    smollm3.architecture = "smollm3";
    assert_int_equal(agree(&llama, TOKENS, &smollm3, TOKENS), TOKENS);
    llama.layers = smollm3.layers = 4;
    assert_int_equal(agree(&llama, TOKENS, &smollm3, TOKENS), 1);
}

static void test_window_begins_behind_its_length(void **state) {
    (void)state;
    synthetic plain = SYNTHETIC_ODD, windowed = SYNTHETIC_ODD;
    plain.architecture = windowed.architecture = "phi3";
    windowed.window = 17;
    assert_int_equal(agree(&plain, TOKENS, &windowed, TOKENS), 17);
}

/* Six layers: all but the last have the window, and a RoPE base of their own. */
static void test_gemma3_window_and_base(void **state) {
    (void)state;
    synthetic plain = SYNTHETIC_ODD, windowed = SYNTHETIC_ODD;
    plain.architecture = windowed.architecture = "gemma3";
    plain.layers = windowed.layers = 6;
    plain.window = 1 << 20;
    windowed.window = 17;
    assert_int_equal(agree(&plain, TOKENS, &windowed, TOKENS), 17);
    /* Every layer sees all with a pattern of 1: the window is gone, and with it the local base. */
    windowed.key = "gemma3.attention.sliding_window_pattern";
    windowed.key_value = 1;
    plain.window = 0;
    assert_int_equal(agree(&plain, TOKENS, &windowed, TOKENS), TOKENS);
    /* The default base is the local one, so scaling alone tells the layers' two apart. */
    plain.window = 1 << 20;
    plain.scaling_type = "linear";
    plain.linear_scaling = 4.0f;
    synthetic unscaled = plain;
    unscaled.linear_scaling = 1.0f;
    plain.layers = unscaled.layers = 5;
    assert_int_equal(agree(&plain, TOKENS, &unscaled, TOKENS), TOKENS);
    plain.layers = unscaled.layers = 6;
    assert_int_equal(agree(&plain, TOKENS, &unscaled, TOKENS), 1);
}

/* The declared context chooses the factors, not the number of tokens. */
static void test_long_rope(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.architecture = "phi3";
    s.original = 64;
    assert_int_equal(agree(&s, TOKENS, &s, 64), TOKENS);
    assert_int_equal(agree(&s, 65, &s, 512), TOKENS);
    assert_int_equal(agree(&s, 64, &s, 65), 1);
    synthetic named = s;
    named.scaling_type = "longrope";
    assert_int_equal(agree(&s, 65, &named, 65), TOKENS);
}

/* Where no type is named, the factor is that of linear scaling, as in llama.cpp. */
static void test_linear_scaling_by_default(void **state) {
    (void)state;
    synthetic named = SYNTHETIC_ODD;
    named.linear_scaling = 4.0f;
    synthetic unnamed = named, none = named;
    named.scaling_type = "linear";
    none.scaling_type = "none";
    assert_int_equal(agree(&named, TOKENS, &unnamed, TOKENS), TOKENS);
    assert_int_equal(agree(&named, TOKENS, &none, TOKENS), 1);
}

/* ---- Refusals ---- */

static void expect_refused(const synthetic *s, covey_status expected, const char *named) {
    covey_error error = {.message = ""};
    covey_model *model = NULL;
    const char *path = in_folder("refused.gguf");
    write_synthetic(s, path);
    covey_status status = try_model(runtime, path, &model, &error);
    if (status == COVEY_OK) fail_msg("opened, though %s is wrong", named);
    if (status != expected || !strstr(error.message, named))
        fail_msg("expected %s naming \"%s\", found %s: %s", covey_status_name(expected), named,
                 covey_status_name(status), error.message);
}

static void expect_missing(const char *architecture, const char *tensor) {
    synthetic s = SYNTHETIC_ODD;
    s.architecture = architecture;
    s.without = tensor;
    s.original = strncmp(tensor, "rope_factors", 12) == 0 ? 64 : 0;
    expect_refused(&s, COVEY_ERROR_FORMAT, tensor);
}

static void test_refuses_missing_tensors(void **state) {
    (void)state;
    expect_missing("smollm3", "blk.1.attn_v.weight");
    expect_missing("qwen2", "blk.1.attn_k.bias");
    expect_missing("qwen3", "blk.0.attn_q_norm.weight");
    expect_missing("gemma3", "blk.2.post_ffw_norm.weight");
    expect_missing("gemma3", "blk.0.post_attention_norm.weight");
    expect_missing("phi3", "blk.1.attn_qkv.weight");
    expect_missing("phi3", "rope_factors_long.weight");
    expect_missing("phi3", "rope_factors_short.weight");
    expect_missing("bert", "position_embd.weight");
    expect_missing("bert", "blk.1.layer_output_norm.bias");
    expect_missing("bert", "blk.2.ffn_up.bias");
}

static void expect_unknown(const char *architecture, const char *tensor) {
    synthetic s = SYNTHETIC_ODD;
    s.architecture = architecture;
    s.extra = tensor;
    expect_refused(&s, COVEY_ERROR_UNSUPPORTED, tensor);
}

static void test_refuses_unknown_tensors(void **state) {
    (void)state;
    expect_unknown("llama", "blk.0.attn_q_norm.weight");
    expect_unknown("qwen2", "blk.0.attn_output.bias");
    expect_unknown("qwen3", "blk.0.ffn_gate_exps.weight");
    expect_unknown("phi3", "blk.0.attn_q.weight");
    expect_unknown("gemma3", "rope_freqs.weight");
    expect_unknown("bert", "cls.weight");
}

static void test_refuses_misshapen_parts(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.architecture = "phi3";
    s.misshapen = "blk.1.attn_qkv.weight";
    expect_refused(&s, COVEY_ERROR_FORMAT, s.misshapen);
    s.misshapen = "blk.0.ffn_up.weight";
    expect_refused(&s, COVEY_ERROR_FORMAT, s.misshapen);
    s.architecture = "bert";
    s.misshapen = "position_embd.weight";
    expect_refused(&s, COVEY_ERROR_FORMAT, s.misshapen);
}

static void expect_key(const char *architecture, const char *suffix, uint32_t value,
                       covey_status expected) {
    char key[96];
    snprintf(key, sizeof key, "%s.%s", architecture, suffix);
    synthetic s = SYNTHETIC_ODD;
    s.architecture = architecture;
    s.key = key;
    s.key_value = value;
    expect_refused(&s, expected, key);
}

static void test_refuses_keys(void **state) {
    (void)state;
    expect_key("llama", "attention.sliding_window", 4096, COVEY_ERROR_UNSUPPORTED);
    expect_key("qwen2", "attention.sliding_window", 4096, COVEY_ERROR_UNSUPPORTED);
    expect_key("qwen3", "expert_count", 8, COVEY_ERROR_UNSUPPORTED);
    expect_key("gemma3", "final_logit_softcapping", 30, COVEY_ERROR_UNSUPPORTED);
    expect_key("gemma3", "attn_logit_softcapping", 50, COVEY_ERROR_UNSUPPORTED);
    expect_key("phi3", "attention.clamp_kqv", 3, COVEY_ERROR_UNSUPPORTED);
    expect_key("llama", "logit_scale", 2, COVEY_ERROR_UNSUPPORTED);
    expect_key("bert", "pooling_type", 4, COVEY_ERROR_UNSUPPORTED);
    expect_key("bert", "moe_every_n_layers", 2, COVEY_ERROR_UNSUPPORTED);
    expect_key("llama", "rope.freq_base_swa", 10000, COVEY_ERROR_UNSUPPORTED);
    synthetic s = SYNTHETIC_ODD;
    s.architecture = "qwen2";
    s.scaling_type = "yarn";
    expect_refused(&s, COVEY_ERROR_UNSUPPORTED, "yarn");
    s.scaling_type = "longrope";
    expect_refused(&s, COVEY_ERROR_UNSUPPORTED, "longrope");
}

/* The message says what there is. */
static void test_names_what_is_supported(void **state) {
    (void)state;
    static const char *const known[] = {"bert",  "gemma3", "llama",  "phi3",
                                        "qwen2", "qwen3",  "smollm3"};
    synthetic s = SYNTHETIC_ODD;
    s.architecture = "gemma2";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        expect_refused(&s, COVEY_ERROR_UNSUPPORTED, known[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smollm3_has_no_rope_in_the_fourth_layer),
        cmocka_unit_test(test_window_begins_behind_its_length),
        cmocka_unit_test(test_gemma3_window_and_base),
        cmocka_unit_test(test_long_rope),
        cmocka_unit_test(test_linear_scaling_by_default),
        cmocka_unit_test(test_refuses_missing_tensors),
        cmocka_unit_test(test_refuses_unknown_tensors),
        cmocka_unit_test(test_refuses_misshapen_parts),
        cmocka_unit_test(test_refuses_keys),
        cmocka_unit_test(test_names_what_is_supported),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
