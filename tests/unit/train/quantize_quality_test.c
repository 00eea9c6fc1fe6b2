/* Quantized models against llama.cpp's: two trained models whose widths are multiples of 256 take
 * each of the seven types. The tensors must have the types that llama.cpp's own quantizer writes,
 * so the K types are really used; the file must be as good as llama.cpp's, within 1 %, and read as
 * llama.cpp reads it, within 0.5 %. llama.cpp's figures are recorded here, of its v0.5.0:
 * `bench/perplexity-against-peer` measures all of them anew. */
#include "unit/engine/text_perplexity.h"

#include "base/arena.h"
#include "base/json.h"
#include <covey/train.h>

#define TURN_BYTES ((size_t)24000)

/* The types that llama.cpp gives a tied model of four layers: of a matrix as a rule, of the
 * embedding, and of what takes more bits, by layer. */
typedef struct mixture {
    covey_weight_type type;
    covey__type base, embedding, attention_output, value[4], down[4];
} mixture;

#define Q(type) COVEY__TYPE_##type
#define FOUR(type)                                                                                 \
    { Q(type), Q(type), Q(type), Q(type) }
#define TWO_AND_TWO(first, last)                                                                   \
    { Q(first), Q(first), Q(last), Q(last) }
static const mixture mixtures[] = {
    {COVEY_WEIGHT_Q8_0, Q(Q8_0), Q(Q8_0), Q(Q8_0), FOUR(Q8_0), FOUR(Q8_0)},
    {COVEY_WEIGHT_Q6_K, Q(Q6_K), Q(Q6_K), Q(Q6_K), FOUR(Q6_K), FOUR(Q6_K)},
    {COVEY_WEIGHT_Q5_K_M, Q(Q5_K), Q(Q6_K), Q(Q5_K), TWO_AND_TWO(Q5_K, Q6_K),
     TWO_AND_TWO(Q5_K, Q6_K)},
    {COVEY_WEIGHT_Q4_K_M, Q(Q4_K), Q(Q6_K), Q(Q4_K), TWO_AND_TWO(Q4_K, Q6_K),
     TWO_AND_TWO(Q4_K, Q6_K)},
    {COVEY_WEIGHT_Q4_0, Q(Q4_0), Q(Q6_K), Q(Q4_0), FOUR(Q4_0), FOUR(Q4_0)},
    {COVEY_WEIGHT_Q3_K_M, Q(Q3_K), Q(Q6_K), Q(Q4_K), TWO_AND_TWO(Q5_K, Q4_K), FOUR(Q4_K)},
    {COVEY_WEIGHT_Q2_K, Q(Q2_K), Q(Q6_K), Q(Q3_K), FOUR(Q3_K), FOUR(Q3_K)},
};
#define MIXTURE_COUNT (sizeof mixtures / sizeof mixtures[0])

static covey__type expected_type(const mixture *m, const char *name) {
    int layer = 0;
    char part[64];
    if (strcmp(name, "token_embd.weight") == 0) return m->embedding;
    assert_int_equal(sscanf(name, "blk.%d.%63s", &layer, part), 2);
    assert_in_range(layer, 0, 3);
    if (strcmp(part, "attn_v.weight") == 0) return m->value[layer];
    if (strcmp(part, "ffn_down.weight") == 0) return m->down[layer];
    return strcmp(part, "attn_output.weight") == 0 ? m->attention_output : m->base;
}

static void expect_types(const char *path, const mixture *m) {
    covey_error error = {.message = ""};
    covey__gguf *gguf = NULL;
    size_t matrices = 0;
    must(covey__gguf_open_path(&plain_env, path, &gguf, &error), &error);
    for (size_t i = 0; i < covey__gguf_tensor_count(gguf); i++) {
        const covey__gguf_tensor *t = covey__gguf_tensor_at(gguf, i);
        char name[80];
        snprintf(name, sizeof name, "%.*s", (int)t->name.size, t->name.data);
        covey__type expected = Q(F32);
        if (t->dimension_count > 1) {
            matrices++;
            expected = expected_type(m, name);
        }
        if (t->type != expected)
            fail_msg("%s: expected %s, found %s", name, covey__type_get(expected)->name,
                     covey__type_get(t->type)->name);
    }
    assert_int_equal(matrices, 29);
    covey__gguf_close(gguf);
}

/* Of one type, as bench/perplexity-against-peer prints them: the perplexity of llama.cpp's file in
 * our engine, and of our file in llama.cpp. */
typedef struct figures {
    double their_file, their_engine;
} figures;

static void check(const char *model, const char *text, size_t size, size_t positions,
                  const figures *recorded) {
    for (size_t i = 0; i < MIXTURE_COUNT; i++) {
        covey_error error = {.message = ""};
        covey_quantize_options options = COVEY_QUANTIZE_OPTIONS_INIT;
        char out[300];
        size_t found;
        snprintf(out, sizeof out, "%s", in_folder("quantized.gguf"));
        options.in_path = model;
        options.out_path = out;
        options.type = mixtures[i].type;
        covey_runtime *runtime = open_runtime(2, NULL);
        must(covey_quantize(runtime, &options, NULL, &error, NULL, NULL), &error);
        covey_runtime_close(runtime);
        expect_types(out, &mixtures[i]);
        double ours = perplexity_of(out, text, size, &found);
        assert_int_equal(found, positions);
        if (!(ours <= 1.01 * recorded[i].their_file))
            fail_msg("type %zu: expected at most 1 %% above %g, found %g", i,
                     recorded[i].their_file, ours);
        if (!(fabs(ours / recorded[i].their_engine - 1.0) <= 0.005))
            fail_msg("type %zu: expected %g within 0.5 %%, as llama.cpp reads it, found %g", i,
                     recorded[i].their_engine, ours);
    }
}

static void stories_3m(void **state) {
    (void)state;
    static const figures recorded[MIXTURE_COUNT] = {
        {18.6098, 18.6135}, {18.6176, 18.6174}, {18.7411, 18.7157}, {18.7367, 18.7460},
        {18.7342, 18.7450}, {19.2191, 19.0550}, {20.4056, 20.2618}};
    char model[1024];
    size_t size;
    TEST_SHARED_OR_SKIP(model_path, "data/models/stories3M.gguf");
    snprintf(model, sizeof model, "%s", model_path);
    TEST_SHARED_OR_SKIP(text_path, "data/text/stories.txt");
    char *text = test_read(text_path, &size);
    assert_non_null(text);
    check(model, text, size, 2048, recorded);
    free(text);
}

/* The first held-out turns as the assistant sees them, TURN_BYTES and the rest of a turn. */
static size_t read_turns(const char *path, char *out, size_t capacity) {
    size_t size, done = 0;
    char *lines = test_read(path, &size), *rest = NULL;
    assert_non_null(lines);
    covey__arena arena;
    covey__arena_init(&arena, &plain_env, 4u << 20);
    for (char *line = strtok_r(lines, "\n", &rest); line && done < TURN_BYTES;
         line = strtok_r(NULL, "\n", &rest)) {
        covey_error error = {.message = ""};
        const covey__json *turn;
        const char *user = NULL, *assistant = NULL;
        must(covey__json_parse(&arena, line, strlen(line), COVEY__JSON_LIMITS_DEFAULT, &turn,
                               &error),
             &error);
        must(covey__json_string(turn, "user", "", &user, &error), &error);
        must(covey__json_string(turn, "assistant", "", &assistant, &error), &error);
        int wrote = snprintf(out + done, capacity - done, "<|user|>%s<|assistant|>%s<|end|>", user,
                             assistant);
        assert_true(wrote > 0 && (size_t)wrote < capacity - done);
        done += (size_t)wrote;
    }
    covey__arena_free(&arena);
    free(lines);
    return done;
}

static void the_assistant(void **state) {
    (void)state;
    static const figures recorded[MIXTURE_COUNT] = {
        {116.2660, 116.2743}, {114.6223, 114.6565}, {114.8373, 114.3042}, {114.9855, 114.2833},
        {113.3901, 113.4659}, {115.0235, 114.9809}, {109.8360, 109.4922}};
    static char turns[2 * TURN_BYTES];
    const char *root = getenv("COVEY_SOURCE_DIR");
    char model[1024], heldout[1024];
    snprintf(model, sizeof model, "%s/models/assistant/1.0.0/model.gguf", root ? root : ".");
    snprintf(heldout, sizeof heldout, "%s/models/assistant/heldout.jsonl", root ? root : ".");
    check(model, turns, read_turns(heldout, turns, sizeof turns), 7168, recorded);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stories_3m),
        cmocka_unit_test(the_assistant),
    };
    return cmocka_run_group_tests_name("quantize_quality", tests, make_folder, remove_folder);
}
