/* Generation: the text that is handed on is whole characters, no stop string ever shows, and every
 * reason to stop leaves the session as session.h says. The models are random, so their text is
 * mostly invalid UTF-8: the hard case. */
#include "synthetic.h"

#include <pthread.h>

static covey_runtime *runtime;
static covey_model *model;

static int set_up(void **state) {
    make_folder(state);
    synthetic s = SYNTHETIC_ODD;
    s.type = COVEY__TYPE_Q8_0;
    write_synthetic(&s, in_folder("model.gguf"));
    runtime = open_runtime(1, NULL);
    model = open_model(runtime, in_folder("model.gguf"));
    return 0;
}

static int tear_down(void **state) {
    covey_model_close(model);
    covey_runtime_close(runtime);
    return remove_folder(state);
}

#define TEXT_MAX 8192

typedef struct heard {
    char text[TEXT_MAX];
    size_t size;
    int calls, stop_at; /* the call that says stop; 0: none */
    bool invalid;
    covey_session *cancel; /* cancelled at stop_at instead */
} heard;

static bool hear(void *user, const char *text, size_t size) {
    heard *h = user;
    assert_true(h->size + size <= TEXT_MAX && size > 0);
    memcpy(h->text + h->size, text, size);
    h->size += size;
    if (!covey__utf8_is_valid(text, size)) h->invalid = true;
    bool at_stop = ++h->calls == h->stop_at;
    if (at_stop && h->cancel) covey_session_cancel(h->cancel);
    return !at_stop || h->cancel;
}

static covey_generation_options hot(covey_sampling *sampling, uint64_t seed, int32_t tokens_max) {
    covey_generation_options options = COVEY_GENERATION_OPTIONS_INIT;
    *sampling = (covey_sampling)COVEY_SAMPLING_INIT;
    sampling->temperature = 1.5f;
    sampling->seed = seed;
    options.sampling = sampling;
    options.tokens_max = tokens_max;
    return options;
}

static covey_session *start(int32_t context) {
    const covey_token prompt[] = {1, 'H' + 3, 'i' + 3};
    covey_session *session = open_session(model, context, 0);
    append(session, prompt, 3);
    return session;
}

static covey_generation_result generate(covey_session *session,
                                        const covey_generation_options *options, heard *h) {
    covey_error error = {.message = ""};
    covey_generation_result result = COVEY_GENERATION_RESULT_INIT;
    must(covey_session_generate(session, options, &result, &error, hear, h), &error);
    return result;
}

/* The bytes of the session's tokens after the prompt, with U+FFFD for what is no character. */
static size_t expected_text(const covey_session *session, char *out) {
    char raw[TEXT_MAX];
    size_t raw_size = 0, size = 0, count = 0;
    const covey_token *tokens = covey__session_tokens(session, &count);
    for (size_t i = 3; i < count; i++)
        raw_size +=
            covey_model_token_bytes(model, tokens[i], false, raw + raw_size, TEXT_MAX - raw_size);
    for (size_t at = 0; at < raw_size;) {
        covey__utf8_char c = covey__utf8_decode(raw + at, raw_size - at);
        memcpy(out + size, c.valid ? raw + at : "\xef\xbf\xbd", c.valid ? c.size : 3);
        size += c.valid ? c.size : 3;
        at += c.size;
    }
    return size;
}

static void test_whole_characters(void **state) {
    (void)state;
    bool saw_long = false;
    for (uint64_t seed = 0; seed < 12; seed++) {
        heard h = {.size = 0};
        covey_session *session = start(512);
        covey_sampling sampling;
        covey_generation_options options = hot(&sampling, seed, 120);
        covey_generation_result result = generate(session, &options, &h);
        char expected[TEXT_MAX];
        size_t size = expected_text(session, expected);
        assert_false(h.invalid);
        assert_int_equal(h.size, size);
        assert_memory_equal(h.text, expected, size);
        assert_true(result.stop_reason == COVEY_STOP_LENGTH ||
                    result.stop_reason == COVEY_STOP_END);
        for (size_t i = 0; i + 1 < h.size; i++)
            if ((h.text[i] & 0xe0) == 0xc0) saw_long = true;
        covey_session_close(session);
    }
    assert_true(saw_long); /* characters of two tokens did occur */
}

static void test_length(void **state) {
    (void)state;
    heard h = {.size = 0};
    covey_session *session = start(512);
    covey_sampling sampling;
    covey_generation_options options = hot(&sampling, 3, 17);
    covey_generation_result result = generate(session, &options, &h);
    assert_int_equal(result.stop_reason, COVEY_STOP_LENGTH);
    assert_int_equal(result.token_count, 17);
    assert_int_equal(covey_session_token_count(session), 20);
    assert_true(result.first_token_us >= 0 && result.decode_us > 0);
    covey_session_close(session);
}

/* Going on is the same as never having stopped. */
static void test_goes_on(void **state) {
    (void)state;
    heard whole = {.size = 0}, parts = {.size = 0};
    covey_session *a = start(512), *b = start(512);
    covey_sampling sampling;
    covey_generation_options options = hot(&sampling, 4, 60);
    generate(a, &options, &whole);
    for (int i = 0; i < 6; i++) {
        options.tokens_max = 10;
        generate(b, &options, &parts);
    }
    size_t count_a, count_b;
    const covey_token *tokens_a = covey__session_tokens(a, &count_a);
    const covey_token *tokens_b = covey__session_tokens(b, &count_b);
    assert_int_equal(count_a, count_b);
    assert_memory_equal(tokens_a, tokens_b, count_a * sizeof *tokens_a);
    covey_session_close(a);
    covey_session_close(b);
}

static void test_context(void **state) {
    (void)state;
    heard h = {.size = 0};
    covey_session *session = start(24);
    covey_sampling sampling;
    covey_generation_options options = hot(&sampling, 5, 0);
    covey_generation_result result = generate(session, &options, &h);
    assert_int_equal(result.stop_reason, COVEY_STOP_CONTEXT);
    assert_int_equal(covey_session_token_count(session), 24);
    assert_int_equal(result.token_count, 21);
    char expected[TEXT_MAX];
    assert_int_equal(h.size, expected_text(session, expected));
    result = generate(session, &options, &h);
    assert_int_equal(result.stop_reason, COVEY_STOP_CONTEXT);
    assert_int_equal(result.token_count, 0);
    covey_session_close(session);
}

static void test_end(void **state) {
    (void)state;
    int ended = 0;
    for (uint64_t seed = 100; seed < 112; seed++) {
        heard h = {.size = 0};
        covey_session *session = start(512);
        covey_sampling sampling;
        covey_generation_options options = hot(&sampling, seed, 300);
        sampling.temperature = 50.0f; /* all tokens alike: one of 259 ends it */
        covey_generation_result result = generate(session, &options, &h);
        size_t held = covey_session_token_count(session);
        if (result.stop_reason == COVEY_STOP_END) {
            ended++;
            assert_int_equal(held, (size_t)result.token_count + 2); /* without the ending one */
        }
        covey_session_close(session);
    }
    assert_true(ended > 2 && ended < 12);
}

/* What came without stop strings, cut before the first one, must come with them: wherever they
 * begin, however tokens cut them, and whatever looks like their beginning. */
static void check_stop(const heard *plain, const char *const *stops, size_t stop_count,
                       uint64_t seed) {
    size_t first = plain->size;
    for (size_t i = 0; i < stop_count; i++)
        for (size_t at = 0; at + strlen(stops[i]) <= plain->size && at < first; at++)
            if (memcmp(plain->text + at, stops[i], strlen(stops[i])) == 0) first = at;
    heard h = {.size = 0};
    covey_session *session = start(512);
    covey_sampling sampling;
    covey_generation_options options = hot(&sampling, seed, 100);
    options.stop = stops;
    options.stop_count = stop_count;
    covey_generation_result result = generate(session, &options, &h);
    assert_int_equal(result.stop_reason == COVEY_STOP_STRING, first < plain->size);
    assert_int_equal(h.size, first);
    assert_memory_equal(h.text, plain->text, first);
    covey_session_close(session);
}

static void test_stop_strings(void **state) {
    (void)state;
    int all_tried = 0;
    for (uint64_t seed = 0; seed < 6; seed++) {
        heard plain = {.size = 0};
        covey_session *session = start(512);
        covey_sampling sampling;
        covey_generation_options options = hot(&sampling, seed, 100);
        generate(session, &options, &plain);
        covey_session_close(session);
        /* Stretches of ASCII out of the text itself, of several lengths. */
        int tried = 0;
        for (size_t size = 1; size <= 4; size++)
            for (size_t at = 5; at + size < plain.size && tried < 40; at += 5) {
                char stop[8] = {0};
                bool ascii = true;
                for (size_t i = 0; i < size; i++) {
                    stop[i] = plain.text[at + i];
                    if (stop[i] <= 0) ascii = false;
                }
                if (!ascii) continue;
                const char *stops[] = {"never in there", stop};
                check_stop(&plain, stops, 2, seed);
                tried++;
            }
        all_tried += tried;
    }
    assert_true(all_tried > 30);
}

/* A beginning that never becomes the stop string comes out at the end. */
static void test_held_text_is_not_lost(void **state) {
    (void)state;
    heard plain = {.size = 0}, held = {.size = 0};
    covey_session *a = start(512), *b = start(512);
    covey_sampling sampling;
    covey_generation_options options = hot(&sampling, 1, 100);
    generate(a, &options, &plain);
    char stop[64];
    size_t tail = plain.size - 1;
    while (tail > 0 && plain.size - tail < 9 && plain.text[tail - 1] > 0) tail--;
    assert_true(plain.text[plain.size - 1] > 0 || plain.size - tail >= 1);
    snprintf(stop, sizeof stop, "%.*s and more", (int)(plain.size - tail), plain.text + tail);
    const char *stops[] = {stop};
    options.stop = stops;
    options.stop_count = 1;
    generate(b, &options, &held);
    assert_int_equal(held.size, plain.size);
    assert_memory_equal(held.text, plain.text, plain.size);
    covey_session_close(a);
    covey_session_close(b);
}

static void test_callback_stops(void **state) {
    (void)state;
    heard h = {.stop_at = 5};
    covey_session *session = start(512);
    covey_sampling sampling;
    covey_generation_options options = hot(&sampling, 6, 200);
    covey_generation_result result = generate(session, &options, &h);
    assert_int_equal(result.stop_reason, COVEY_STOP_CANCELLED);
    assert_int_equal(h.calls, 5);
    h = (heard){.stop_at = 5, .cancel = session};
    result = generate(session, &options, &h);
    assert_int_equal(result.stop_reason, COVEY_STOP_CANCELLED);
    assert_int_equal(h.calls, 5);
    h = (heard){.size = 0};
    options.tokens_max = 3;
    result = generate(session, &options, &h);
    assert_int_equal(result.stop_reason, COVEY_STOP_LENGTH);
    covey_session_close(session);
}

static void *cancel_once(void *user) {
    covey_session_cancel(user);
    return NULL;
}

static void test_cancel_from_a_thread(void **state) {
    (void)state;
    heard h = {.size = 0};
    covey_session *session = start(512);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_once, session), 0);
    covey_sampling sampling;
    covey_generation_options options = hot(&sampling, 7, 0);
    sampling.temperature = 0.0f;
    sampling.repetition_penalty = 1.3f;
    covey_generation_result result = generate(session, &options, &h);
    pthread_join(thread, NULL);
    /* Either in time, or the flag waits for the next. */
    if (result.stop_reason != COVEY_STOP_CANCELLED) {
        result = generate(session, &options, &h);
        assert_int_equal(result.stop_reason, COVEY_STOP_CANCELLED);
        assert_int_equal(result.token_count, 0);
    }
    covey_session_close(session);
}

static void test_refuses(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_session *session = open_session(model, 64, 0);
    assert_int_equal(covey_session_generate(session, NULL, NULL, &error, NULL, NULL),
                     COVEY_ERROR_INVALID_ARGUMENT);
    covey_session_close(session);
    session = start(64);
    covey_sampling sampling;
    covey_generation_options options = hot(&sampling, 1, -1);
    assert_int_equal(covey_session_generate(session, &options, NULL, &error, NULL, NULL),
                     COVEY_ERROR_INVALID_ARGUMENT);
    const char *empty[] = {""};
    options = hot(&sampling, 1, 1);
    options.stop = empty;
    options.stop_count = 1;
    assert_int_equal(covey_session_generate(session, &options, NULL, &error, NULL, NULL),
                     COVEY_ERROR_LIMIT);
    options.stop_count = 1000;
    assert_int_equal(covey_session_generate(session, &options, NULL, &error, NULL, NULL),
                     COVEY_ERROR_LIMIT);
    options = hot(&sampling, 1, 1);
    sampling.top_p = -1.0f;
    assert_int_equal(covey_session_generate(session, &options, NULL, &error, NULL, NULL),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(covey_session_token_count(session), 3);
    /* No text wanted, no options: greedy to the end of the context. */
    must(covey_session_generate(session, NULL, NULL, &error, NULL, NULL), &error);
    covey_session_close(session);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_characters),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_context),
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_stop_strings),
        cmocka_unit_test(test_held_text_is_not_lost),
        cmocka_unit_test(test_callback_stops),
        cmocka_unit_test(test_cancel_from_a_thread),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
