/* The arithmetic contract, end to end: the bits of the logits do not depend on threads, on the
 * instruction set, on how the prompt is split, on batch sizes, or on other sessions. The reference
 * is the scalar definition on one thread, one token at a time. */
#include "synthetic.h"

#include "base/cpu.h"

#define TOKENS   75 /* more than two pages and a batch of 64 */
#define SESSIONS 4
/* The thread sanitizer looks for races, which all instruction sets would share, and is slow. */
#if defined(__SANITIZE_THREAD__)
#define BEST_ISA_ALONE true
#define REAL_TOKENS    32
#else
#define BEST_ISA_ALONE false
#define REAL_TOKENS    TOKENS
#endif

typedef struct reference {
    const char *path;
    size_t vocabulary;
    covey_token tokens[SESSIONS][TOKENS];
    float *logits[SESSIONS]; /* [TOKENS][vocabulary] */
} reference;

static void check_bits(const reference *r, size_t session, size_t position, const float *found,
                       const char *what) {
    const float *expected = r->logits[session] + position * r->vocabulary;
    if (memcmp(expected, found, r->vocabulary * sizeof *found) == 0) return;
    for (size_t i = 0; i < r->vocabulary; i++)
        if (memcmp(&expected[i], &found[i], sizeof *found) != 0)
            fail_msg("%s: %s: position %zu, logit %zu: expected %a, found %a", r->path, what,
                     position, i, (double)expected[i], (double)found[i]);
}

static void make_reference(reference *r, const char *path, size_t tokens, size_t sessions) {
    memset(r, 0, sizeof *r);
    r->path = path;
    covey_runtime *runtime = open_runtime(1, "scalar");
    covey_model *model = open_model(runtime, path);
    r->vocabulary = (size_t)model->hyper.vocabulary_size;
    for (size_t s = 0; s < sessions; s++) {
        random_tokens(r->tokens[s], TOKENS, (int32_t)r->vocabulary, s + 11);
        r->logits[s] = malloc(tokens * r->vocabulary * sizeof(float));
        assert_non_null(r->logits[s]);
        covey_session *session = open_session(model, TOKENS, 0);
        for (size_t i = 0; i < tokens; i++) {
            append(session, &r->tokens[s][i], 1);
            memcpy(r->logits[s] + i * r->vocabulary, covey_session_logits(session, NULL),
                   r->vocabulary * sizeof(float));
        }
        covey_session_close(session);
    }
    covey_model_close(model);
    covey_runtime_close(runtime);
}

static void free_reference(reference *r) {
    for (size_t s = 0; s < SESSIONS; s++) free(r->logits[s]);
}

/* Prefill in pieces; the logits after each piece must be the reference's. */
static void check_pieces(const reference *r, covey_model *model, size_t tokens, size_t piece,
                         int32_t batch, const char *what) {
    covey_session *session = open_session(model, TOKENS, batch);
    for (size_t at = 0; at < tokens; at += piece) {
        size_t count = tokens - at < piece ? tokens - at : piece;
        append(session, r->tokens[0] + at, count);
        check_bits(r, 0, at + count - 1, covey_session_logits(session, NULL), what);
    }
    covey_session_close(session);
}

typedef struct each_check {
    const reference *r;
    const char *what;
    size_t seen;
} each_check;

static covey_status check_each(void *user, size_t index, const float *logits, size_t count) {
    each_check *check = user;
    assert_int_equal(count, check->r->vocabulary);
    assert_int_equal(index, check->seen++);
    check_bits(check->r, 0, index, logits, check->what);
    return COVEY_OK;
}

static void check_append_each(const reference *r, covey_model *model, size_t tokens,
                              const char *what) {
    covey_error error = {.message = ""};
    covey_session *session = open_session(model, TOKENS, 0);
    each_check check = {r, what, 0};
    must(covey_session_append_each(session, r->tokens[0], tokens, &error, check_each, &check),
         &error);
    assert_int_equal(check.seen, tokens);
    check_bits(r, 0, tokens - 1, covey_session_logits(session, NULL), what);
    covey_session_close(session);
}

/* Sessions that take turns, each in steps of another size. */
static void check_interleaved(const reference *r, covey_model *model, size_t tokens,
                              const char *what) {
    covey_session *sessions[SESSIONS];
    size_t at[SESSIONS] = {0}, left = SESSIONS * tokens;
    for (size_t s = 0; s < SESSIONS; s++) sessions[s] = open_session(model, TOKENS, 0);
    for (size_t turn = 0; left > 0; turn++) {
        size_t s = turn % SESSIONS, count = turn % 5 + 2 * s + 1;
        if (count > tokens - at[s]) count = tokens - at[s];
        append(sessions[s], r->tokens[s] + at[s], count);
        at[s] += count;
        left -= count;
        check_bits(r, s, at[s] - 1, covey_session_logits(sessions[s], NULL), what);
    }
    for (size_t s = 0; s < SESSIONS; s++) covey_session_close(sessions[s]);
}

/* Sessions of different lengths that go on in one pass. */
static void check_many(const reference *r, covey_model *model, size_t tokens, const char *what) {
    covey_error error = {.message = ""};
    covey_session *sessions[SESSIONS];
    for (size_t s = 0; s < SESSIONS; s++) {
        sessions[s] = open_session(model, TOKENS, 0);
        append(sessions[s], r->tokens[s], tokens / 2 + 3 * s);
    }
    for (size_t i = 0; i < 6; i++) {
        covey_session_part parts[SESSIONS];
        for (size_t s = 0; s < SESSIONS; s++)
            parts[s] = (covey_session_part){
                sessions[s], r->tokens[s] + covey_session_token_count(sessions[s]), 1, COVEY_OK};
        must(covey_session_append_many(parts, SESSIONS, &error), &error);
        for (size_t s = 0; s < SESSIONS; s++)
            check_bits(r, s, covey_session_token_count(sessions[s]) - 1,
                       covey_session_logits(sessions[s], NULL), what);
    }
    for (size_t s = 0; s < SESSIONS; s++) covey_session_close(sessions[s]);
}

/* What was forgotten leaves no trace. */
static void check_truncated(const reference *r, covey_model *model, size_t tokens,
                            const char *what) {
    covey_error error = {.message = ""};
    covey_session *session = open_session(model, TOKENS, 0);
    append(session, r->tokens[0], tokens / 2);
    append(session, r->tokens[1], tokens / 3);
    must(covey_session_truncate(session, tokens / 2, &error), &error);
    append(session, r->tokens[0] + tokens / 2, tokens - tokens / 2);
    check_bits(r, 0, tokens - 1, covey_session_logits(session, NULL), what);
    covey_session_close(session);
}

static void check_model(const reference *r, covey_model *model, size_t tokens, bool thoroughly,
                        const char *what) {
    model->parallel_bytes_min = 0; /* small as it is, on all threads */
    check_pieces(r, model, tokens, 7, 0, what);
    check_many(r, model, tokens, what);
    if (!thoroughly) return;
    check_pieces(r, model, tokens, tokens, 0, what);
    check_pieces(r, model, tokens, 64, 0, what);
    check_pieces(r, model, tokens, 1, 0, what);
    check_pieces(r, model, tokens, tokens, 31, what);
    check_append_each(r, model, tokens, what);
    check_interleaved(r, model, tokens, what);
    check_truncated(r, model, tokens, what);
}

/* The scalar set is slow, and the reference is made of it: it is checked thoroughly on two threads
 * only. */
static void check_all(const char *path, size_t tokens) {
    reference r;
    make_reference(&r, path, tokens, SESSIONS);
    for (covey__isa isa = COVEY__ISA_SCALAR; isa < COVEY__ISA_COUNT; isa++) {
        if (!covey__cpu_has(isa) || (BEST_ISA_ALONE && isa != covey__cpu_best())) continue;
        for (int32_t threads = 1; threads <= 3; threads++) {
            char what[64];
            snprintf(what, sizeof what, "%s, %d threads", covey__isa_name(isa), (int)threads);
            covey_runtime *runtime = open_runtime(threads, covey__isa_name(isa));
            covey_model *model = open_model(runtime, path);
            check_model(&r, model, tokens, isa > 0 || threads == 2, what);
            covey_model_close(model);
            covey_runtime_close(runtime);
        }
    }
    free_reference(&r);
}

static void check_synthetic(synthetic s) {
    const char *path = in_folder("exact.gguf");
    write_synthetic(&s, path);
    check_all(path, TOKENS);
}

static void test_f32(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    check_synthetic(s);
}

static void test_f16_tied(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.type = COVEY__TYPE_F16;
    s.tied = true;
    check_synthetic(s);
}

static void test_bf16_rope_factors(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.type = COVEY__TYPE_BF16;
    s.rope_factors = true;
    check_synthetic(s);
}

static void test_q8_0(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.type = COVEY__TYPE_Q8_0;
    check_synthetic(s);
}

static void test_q4_0_with_q8_0_output(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.type = COVEY__TYPE_Q4_0;
    s.output_type = COVEY__TYPE_Q8_0;
    s.scaling_type = "linear";
    s.linear_scaling = 4.0f;
    check_synthetic(s);
}

static void test_q6_k(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_WIDE;
    check_synthetic(s);
}

static void test_q4_0_with_q6_k_output(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_WIDE;
    s.type = COVEY__TYPE_Q4_0;
    check_synthetic(s);
}

static void test_smollm3(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.architecture = "smollm3";
    s.layers = 5; /* the fourth has no RoPE */
    s.tied = true;
    check_synthetic(s);
}

static void test_qwen2(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.architecture = "qwen2";
    s.type = COVEY__TYPE_Q8_0;
    check_synthetic(s);
}

static void test_qwen3(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.architecture = "qwen3";
    s.head_dim = 96; /* three times the width in all */
    s.type = COVEY__TYPE_Q4_0;
    s.tied = true;
    check_synthetic(s);
}

static void test_gemma3(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.architecture = "gemma3";
    s.layers = 7; /* the sixth sees all */
    s.tied = true;
    s.window = 20;
    s.scaling_type = "linear";
    s.linear_scaling = 8.0f;
    check_synthetic(s);
}

static void test_phi3(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_WIDE;
    s.architecture = "phi3";
    s.window = 33;
    s.original = 64; /* sessions here have a longer context */
    check_synthetic(s);
}

static void check_shared(const char *name, size_t tokens) {
    TEST_SHARED_OR_SKIP(path, name);
    check_all(path, tokens);
}

static void test_stories260k(void **state) {
    (void)state;
    check_shared("data/models/stories260K.gguf", TOKENS);
}

static void test_stories3m(void **state) {
    (void)state;
    check_shared("data/models/stories3M.gguf", REAL_TOKENS);
}

static covey_status check_if_model(void *user, const char *name, bool is_folder) {
    size_t size = strlen(name);
    if (is_folder || size < 6 || strcmp(name + size - 5, ".gguf") != 0) return COVEY_OK;
    char path[1024];
    snprintf(path, sizeof path, "%s/models/assistant/1.0.0/%s", getenv("COVEY_SOURCE_DIR"), name);
    check_all(path, REAL_TOKENS);
    ++*(int *)user;
    return COVEY_OK;
}

static void test_assistant(void **state) {
    (void)state;
    const char *source = getenv("COVEY_SOURCE_DIR");
    char folder_path[1024];
    snprintf(folder_path, sizeof folder_path, "%s/models/assistant/1.0.0", source ? source : "");
    int checked = 0;
    covey_status status =
        covey__folder_list(&plain_env, folder_path, NULL, check_if_model, &checked);
    if (status == COVEY_OK && checked > 0) return;
    print_message("skipped: no model in %s\n", folder_path);
    skip();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32),
        cmocka_unit_test(test_f16_tied),
        cmocka_unit_test(test_bf16_rope_factors),
        cmocka_unit_test(test_q8_0),
        cmocka_unit_test(test_q4_0_with_q8_0_output),
        cmocka_unit_test(test_q6_k),
        cmocka_unit_test(test_q4_0_with_q6_k_output),
        cmocka_unit_test(test_smollm3),
        cmocka_unit_test(test_qwen2),
        cmocka_unit_test(test_qwen3),
        cmocka_unit_test(test_gemma3),
        cmocka_unit_test(test_phi3),
        cmocka_unit_test(test_stories260k),
        cmocka_unit_test(test_stories3m),
        cmocka_unit_test(test_assistant),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
