/* Drafts: what is generated is the same with them and without, whatever guesses, on models that
 * were trained; and the lookup itself. */
#include "synthetic.h"

#include "engine/draft.h"
#include <covey/guide.h>

static void lookup_takes_the_latest_place(void **state) {
    (void)state;
    static const covey_token tokens[] = {1, 2, 3, 4, 9, 1, 2, 3, 5, 6, 7, 1, 2, 3};
    static const covey_token pairs[] = {8, 5, 6, 7, 4, 5, 6};
    static const covey_token none[] = {1, 2, 3, 4, 5};
    static const covey_token run[] = {4, 4, 4, 4};
    covey_token draft[4];
    assert_int_equal(covey__draft_lookup(tokens, 14, draft, 4), 4);
    assert_int_equal(draft[0], 5);
    assert_int_equal(draft[3], 1);
    assert_int_equal(covey__draft_lookup(tokens, 14, draft, 2), 2);
    assert_int_equal(covey__draft_lookup(pairs, 7, draft, 4), 4); /* two tokens agree */
    assert_int_equal(draft[0], 7);
    assert_int_equal(covey__draft_lookup(none, 5, draft, 4), 0);
    assert_int_equal(covey__draft_lookup(run, 4, draft, 4), 1);
    assert_int_equal(draft[0], 4);
    for (size_t i = 0; i < 3; i++) assert_int_equal(covey__draft_lookup(none, i, draft, 4), 0);
}

/* ---- Generation ---- */

typedef struct text {
    char bytes[8192];
    size_t size;
} text;

static bool take(void *user, const char *bytes, size_t size) {
    text *t = user;
    assert_true(t->size + size < sizeof t->bytes);
    memcpy(t->bytes + t->size, bytes, size);
    t->size += size;
    return true;
}

typedef struct answer {
    text text;
    covey_token tokens[1024];
    size_t count;
    covey_generation_result result;
} answer;

static void generate(covey_model *model, const covey_token *prompt, size_t prompt_count,
                     const covey_generation_options *options, bool alone, answer *out) {
    covey_error error = {.message = ""};
    covey_session_options session_options = COVEY_SESSION_OPTIONS_INIT;
    covey_session *session = NULL;
    session_options.context_tokens = 512;
    session_options.alone = alone;
    must(covey_session_open(model, &session_options, &session, &error), &error);
    append(session, prompt, prompt_count);
    memset(out, 0, sizeof *out);
    out->result = (covey_generation_result)COVEY_GENERATION_RESULT_INIT;
    must(covey_session_generate(session, options, &out->result, &error, take, &out->text), &error);
    size_t count = 0;
    const covey_token *tokens = covey__session_tokens(session, &count);
    assert_true(count <= 1024);
    memcpy(out->tokens, tokens, count * sizeof *tokens);
    out->count = count;
    covey_session_close(session);
}

static void expect_same(const answer *a, const answer *b) {
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->tokens, b->tokens, a->count * sizeof *a->tokens);
    assert_int_equal(a->text.size, b->text.size);
    assert_memory_equal(a->text.bytes, b->text.bytes, a->text.size);
    assert_int_equal(a->result.stop_reason, b->result.stop_reason);
    assert_int_equal(a->result.token_count, b->result.token_count);
    assert_true(a->result.confidence == b->result.confidence);
}

/* Guesses what is right, but for a share of tokens. */
typedef struct oracle {
    const answer *truth;
    uint64_t random;
    uint32_t wrong; /* of 16 */
} oracle;

static size_t guess(void *user, const covey_token *tokens, size_t token_count, covey_token *draft,
                    size_t draft_max) {
    oracle *o = user;
    size_t count = 0;
    (void)tokens;
    for (; count < draft_max && token_count + count < o->truth->count; count++) {
        bool wrong = next_random(&o->random) % 16 < o->wrong;
        draft[count] = o->truth->tokens[token_count + count] ^ (wrong ? 1 : 0);
    }
    return count;
}

/* Some ways of drawing, without drafts, with looked-up ones and with an oracle's. */
static int64_t check_prompt(covey_model *model, const covey_token *prompt, size_t prompt_count,
                            const covey_guide *guide) {
    int64_t accepted = 0;
    for (int way = 0; way < 3; way++) {
        static answer plain, drafted;
        covey_sampling sampling = COVEY_SAMPLING_INIT;
        covey_generation_options options = COVEY_GENERATION_OPTIONS_INIT;
        options.sampling = &sampling;
        const char *stop = "quux";
        options.tokens_max = 120;
        options.guide = guide;
        options.stop = &stop;
        options.stop_count = 1;
        options.score = true;
        options.draft_tokens = -1;
        if (way > 0) {
            sampling.temperature = 0.8f;
            sampling.top_p = 0.95f;
            sampling.seed = 40 + (uint64_t)way;
        }
        if (way == 2) sampling.repetition_penalty = 1.1f;
        generate(model, prompt, prompt_count, &options, true, &plain);
        assert_int_equal(plain.result.drafted_count, 0);
        options.draft_tokens = 0;
        generate(model, prompt, prompt_count, &options, false, &drafted);
        expect_same(&plain, &drafted);
        accepted += drafted.result.accepted_count;
        for (uint32_t wrong = 0; wrong <= 16; wrong += 5) {
            oracle o = {&plain, 99 + wrong, wrong};
            options.draft = guess;
            options.draft_user = &o;
            options.draft_tokens = wrong == 5 ? 16 : 3;
            generate(model, prompt, prompt_count, &options, wrong % 2 == 0, &drafted);
            expect_same(&plain, &drafted);
            if (wrong == 0 && plain.result.token_count > 8 && !guide)
                assert_true(drafted.result.accepted_count > plain.result.token_count / 2);
            options.draft = NULL;
        }
    }
    return accepted;
}

static const char *assistant_path(void) {
    static char path[1024];
    const char *root = getenv("COVEY_SOURCE_DIR");
    snprintf(path, sizeof path, "%s/models/assistant/1.1.0/model.gguf", root ? root : ".");
    return path;
}

static void the_assistant_says_the_same(void **state) {
    (void)state;
    static const char *const turns[] = {"<|user|>wake me at seven<|assistant|>",
                                        "<|user|>note: buy milk, milk and more milk<|assistant|>",
                                        "<|user|>a a a a a a a a a a a a a a a a<|assistant|>"};
    covey_runtime *runtime = open_runtime(2, NULL);
    covey_model *model = open_model(runtime, assistant_path());
    for (size_t i = 0; i < 3; i++) {
        covey_error error = {.message = ""};
        covey_token prompt[128];
        size_t count = 0;
        must(covey_model_tokenize(model, turns[i], strlen(turns[i]), true, prompt, 128, &count,
                                  &error),
             &error);
        check_prompt(model, prompt, count, NULL);
    }
    covey_model_close(model);
    covey_runtime_close(runtime);
}

static void guided_answers_are_the_same(void **state) {
    (void)state;
    static const char grammar[] = "root ::= \"[\" item (\", \" item)* \"]\"\n"
                                  "item ::= \"alpha\" | \"beta\" | [0-9]+\n";
    covey_error error = {.message = ""};
    covey_runtime *runtime = open_runtime(1, NULL);
    covey_model *model = open_model(runtime, assistant_path());
    covey_guide *guide = NULL;
    covey_token prompt[64];
    size_t count = 0;
    static const char turn[] = "<|user|>list: alpha, beta, alpha<|assistant|>";
    must(covey_guide_new_gbnf(runtime, grammar, strlen(grammar), NULL, &guide, &error), &error);
    must(covey_model_tokenize(model, turn, strlen(turn), true, prompt, 64, &count, &error), &error);
    check_prompt(model, prompt, count, guide);
    covey_guide_free(guide);
    covey_model_close(model);
    covey_runtime_close(runtime);
}

static void a_story_says_the_same(void **state) {
    (void)state;
    TEST_SHARED_OR_SKIP(shared, "data/models/stories260K.gguf");
    char path[1024];
    snprintf(path, sizeof path, "%s", shared);
    covey_runtime *runtime = open_runtime(2, NULL);
    covey_model *model = open_model(runtime, path);
    static const char begun[] =
        "Once upon a time, Tim and Sue had a red ball. Tim and Sue had a red";
    covey_error error = {.message = ""};
    covey_token prompt[128];
    size_t count = 0;
    must(covey_model_tokenize(model, begun, strlen(begun), false, prompt, 128, &count, &error),
         &error);
    int64_t accepted = check_prompt(model, prompt, count, NULL);
    assert_true(accepted > 0);
    covey_model_close(model);
    covey_runtime_close(runtime);
}

static void bad_numbers_are_refused(void **state) {
    (void)state;
    synthetic shape = SYNTHETIC_ODD;
    write_synthetic(&shape, in_folder("plain.gguf"));
    covey_error error = {.message = ""};
    covey_runtime *runtime = open_runtime(1, NULL);
    covey_model *model = open_model(runtime, in_folder("plain.gguf"));
    covey_session *session = open_session(model, 64, 0);
    covey_token one = 5;
    append(session, &one, 1);
    covey_generation_options options = COVEY_GENERATION_OPTIONS_INIT;
    options.draft_tokens = 17;
    assert_int_equal(covey_session_generate(session, &options, NULL, &error, NULL, NULL),
                     COVEY_ERROR_INVALID_ARGUMENT);
    options.draft_tokens = 0;
    options.top_logprobs = 21;
    assert_int_equal(covey_session_generate(session, &options, NULL, &error, NULL, NULL),
                     COVEY_ERROR_INVALID_ARGUMENT);
    covey_session_close(session);
    covey_model_close(model);
    covey_runtime_close(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookup_takes_the_latest_place),
        cmocka_unit_test(the_assistant_says_the_same),
        cmocka_unit_test(guided_answers_are_the_same),
        cmocka_unit_test(a_story_says_the_same),
        cmocka_unit_test(bad_numbers_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
