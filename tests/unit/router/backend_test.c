/* The backend interface over a maker's table: what a table must have, who holds a backend, and what
 * a request must have before a maker sees it. */
#include "support/support.h"

#include "base/error.h"
#include "base/runtime.h"
#include "router/router.h"

#include <stdio.h>
#include <string.h>

/* A maker that counts what is asked of it. */
typedef struct counts {
    int open, closed, generated, counted, cancelled, destroyed;
    bool full;
    covey_generation_options generation; /* of the last request */
    covey_sampling sampling;
    bool chat;
} counts;

static covey_availability fake_available(void *user, char *reason, size_t size) {
    counts *c = user;
    if (c->full) snprintf(reason, size, "It is full.");
    return c->full ? COVEY_UNAVAILABLE_BUSY : COVEY_AVAILABLE;
}

static void fake_report(void *user, covey_backend_report *report) {
    (void)user;
    snprintf(report->kind, sizeof report->kind, "fake");
}

static covey_status fake_count(void *user, const covey_request *request, size_t *count,
                               covey_error *error) {
    (void)error;
    ((counts *)user)->counted++;
    *count = request->prompt ? strlen(request->prompt) : request->message_count;
    return COVEY_OK;
}

static covey_status fake_open(void *user, int32_t context_tokens, void **conversation,
                              covey_error *error) {
    counts *c = user;
    (void)context_tokens;
    if (c->full) return covey__fail(error, COVEY_ERROR_BUSY, "full");
    c->open++;
    *conversation = c;
    return COVEY_OK;
}

static void fake_close(void *user, void *conversation) {
    assert_ptr_equal(user, conversation);
    ((counts *)user)->closed++;
}

static covey_status fake_generate(void *user, void *conversation, const covey_request *request,
                                  covey_answer *answer, covey_error *error, covey_text_fn text,
                                  void *text_user) {
    counts *c = user;
    (void)error;
    (void)text;
    (void)text_user;
    assert_ptr_equal(user, conversation);
    c->generation = *request->generation;
    c->sampling = *request->generation->sampling;
    c->chat = request->chat != NULL;
    answer->answer_token_count = ++c->generated;
    return COVEY_OK;
}

static void fake_cancel(void *user, void *conversation) {
    assert_ptr_equal(user, conversation);
    ((counts *)user)->cancelled++;
}

static void fake_destroy(void *user) {
    ((counts *)user)->destroyed++;
}

static covey_runtime *runtime;

static covey_backend_table table_of(counts *c) {
    return (covey_backend_table){sizeof(covey_backend_table),
                                 c,
                                 fake_available,
                                 fake_report,
                                 fake_count,
                                 fake_open,
                                 fake_close,
                                 fake_generate,
                                 fake_cancel,
                                 fake_destroy,
                                 NULL,
                                 NULL,
                                 NULL,
                                 NULL,
                                 NULL,
                                 NULL};
}

static covey_backend *make(counts *c) {
    covey_backend_table table = table_of(c);
    covey_backend *backend = NULL;
    assert_int_equal(covey_backend_new(runtime, &table, &backend, NULL), COVEY_OK);
    return backend;
}

static int open_runtime(void **state) {
    (void)state;
    return covey__runtime_new(NULL, &runtime, NULL);
}

static int close_runtime(void **state) {
    (void)state;
    covey_runtime_close(runtime);
    return 0;
}

static void test_incomplete_tables(void **state) {
    (void)state;
    counts c = {0};
    for (int missing = 0; missing <= 8; missing++) {
        covey_backend_table table = table_of(&c);
        covey_backend *backend = NULL;
        covey_error error = {0};
        if (missing == 0) table.available = NULL;
        if (missing == 1) table.report = NULL;
        if (missing == 2) table.count_tokens = NULL;
        if (missing == 3) table.open = NULL;
        if (missing == 4) table.close = NULL;
        if (missing == 5) table.generate = NULL;
        if (missing == 6) table.cancel = NULL;
        if (missing == 7) table.size = offsetof(covey_backend_table, embed) - 1;
        if (missing == 8)
            table.destroy = NULL; /* that may be absent, as embed and token_bytes are */
        covey_status status = covey_backend_new(runtime, &table, &backend, &error);
        assert_int_equal(status, missing == 8 ? COVEY_OK : COVEY_ERROR_INVALID_ARGUMENT);
        assert_int_equal(backend != NULL, missing == 8);
        covey_backend_release(backend);
    }
    assert_int_equal(c.destroyed, 0);
}

static covey_status fake_embed(void *user, const char *text, size_t text_size, float *vector,
                               size_t *token_count, covey_error *error) {
    (void)user;
    if (text_size == 3) return covey__fail(error, COVEY_ERROR_NUMERIC, "three");
    vector[0] = (float)text[0];
    *token_count = text_size;
    return COVEY_OK;
}

static void report_of_one(void *user, covey_backend_report *report) {
    (void)user;
    report->embedding_width = 1;
}

/* A maker that embeds one text at a time, by an older table, serves several too. */
static void test_embed_texts(void **state) {
    (void)state;
    counts c = {0};
    covey_backend_table table = table_of(&c);
    covey_backend *backend = NULL;
    covey_error error = {0};
    const covey_backend_text texts[] = {{"a", 1}, {"bb", 2}, {"ccc", 3}};
    float vectors[3] = {0};
    size_t token_counts[3], failed = 9;
    table.embed = fake_embed;
    table.report = report_of_one;
    table.size = offsetof(covey_backend_table, embed_texts);
    assert_int_equal(covey_backend_new(runtime, &table, &backend, NULL), COVEY_OK);
    assert_int_equal(
        covey_backend_embed_texts(backend, texts, 2, vectors, token_counts, &failed, &error),
        COVEY_OK);
    assert_int_equal(failed, 2);
    assert_true(vectors[0] == 'a' && vectors[1] == 'b');
    assert_int_equal(token_counts[1], 2);
    assert_int_equal(
        covey_backend_embed_texts(backend, texts, 3, vectors, token_counts, &failed, &error),
        COVEY_ERROR_NUMERIC);
    assert_int_equal(failed, 2);
    covey_backend_release(backend);
}

/* It lives as long as anyone holds it: owners and open conversations. */
static void test_counting(void **state) {
    (void)state;
    counts c = {0};
    covey_conversation *one = NULL, *two = NULL;
    covey_backend *backend = make(&c);
    assert_int_equal(covey_conversation_open(backend, 0, &one, NULL), COVEY_OK);
    assert_int_equal(covey_conversation_open(backend, 0, &two, NULL), COVEY_OK);
    covey_backend_retain(backend);
    covey_backend_release(backend);
    covey_backend_release(backend);
    assert_int_equal(c.destroyed, 0);
    covey_conversation_close(one);
    assert_int_equal(c.destroyed, 0);
    covey_request request = COVEY_REQUEST_INIT;
    covey_answer answer = COVEY_ANSWER_INIT;
    request.prompt = "still here";
    assert_int_equal(covey_conversation_generate(two, &request, &answer, NULL, NULL, NULL),
                     COVEY_OK);
    assert_int_equal(answer.answer_token_count, 1);
    covey_conversation_cancel(two);
    assert_int_equal(c.cancelled, 1);
    covey_conversation_close(two);
    assert_int_equal(c.closed, 2);
    assert_int_equal(c.destroyed, 1);
    covey_backend_release(NULL);
    covey_conversation_close(NULL);
}

/* A conversation that could not be opened holds nothing. */
static void test_open_fails(void **state) {
    (void)state;
    counts c = {.full = true};
    covey_conversation *none = NULL;
    covey_error error = {0};
    char reason[64] = "?";
    covey_backend *backend = make(&c);
    assert_int_equal(covey_backend_available(backend, reason, sizeof reason),
                     COVEY_UNAVAILABLE_BUSY);
    assert_string_equal(reason, "It is full.");
    assert_int_equal(covey_backend_available(backend, NULL, 0), COVEY_UNAVAILABLE_BUSY);
    assert_int_equal(covey_conversation_open(backend, 0, &none, &error), COVEY_ERROR_BUSY);
    assert_null(none);
    covey_backend_release(backend);
    assert_int_equal(c.destroyed, 1);
}

static void test_requests_are_checked(void **state) {
    (void)state;
    counts c = {0};
    covey_conversation *talk = NULL;
    covey_backend *backend = make(&c);
    assert_int_equal(covey_conversation_open(backend, 0, &talk, NULL), COVEY_OK);
    const covey_message good = {"user", "hi"}, no_role = {NULL, "hi"}, no_content = {"user", NULL};
    const covey_adapter_choice choice = {0, 1.0f};
    const covey_request bad[] = {
        {sizeof(covey_request), NULL, 0, NULL, NULL, NULL, NULL, 0},
        {sizeof(covey_request), &good, 0, NULL, NULL, NULL, NULL, 0},
        {sizeof(covey_request), NULL, 1, NULL, NULL, NULL, NULL, 0},
        {sizeof(covey_request), &good, 1, "and a prompt", NULL, NULL, NULL, 0},
        {sizeof(covey_request), &no_role, 1, NULL, NULL, NULL, NULL, 0},
        {sizeof(covey_request), &no_content, 1, NULL, NULL, NULL, NULL, 0},
        {sizeof(covey_request), &good, 1, NULL, NULL, NULL, NULL, 1},
        {sizeof(covey_request), &good, 1, NULL, NULL, NULL, &choice, COVEY_ADAPTERS_MAX + 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        covey_error error = {0};
        size_t count = 0;
        assert_int_equal(covey_conversation_generate(talk, &bad[i], NULL, &error, NULL, NULL),
                         COVEY_ERROR_INVALID_ARGUMENT);
        assert_memory_equal(error.message, "request:", 8);
        assert_int_equal(covey_backend_count_tokens(backend, &bad[i], &count, &error),
                         COVEY_ERROR_INVALID_ARGUMENT);
    }
    assert_int_equal(c.generated + c.counted, 0);
    covey_request request = COVEY_REQUEST_INIT;
    size_t count = 0;
    request.messages = &good;
    request.message_count = 1;
    assert_int_equal(covey_backend_count_tokens(backend, &request, &count, NULL), COVEY_OK);
    assert_int_equal(count, 1);
    covey_conversation_close(talk);
    covey_backend_release(backend);
}

/* A program built against older headers knows less of each struct; its maker still gets all of
 * it. */
static void test_older_structs_are_completed(void **state) {
    (void)state;
    counts c = {0};
    covey_conversation *talk = NULL;
    covey_backend *backend = make(&c);
    assert_int_equal(covey_conversation_open(backend, 0, &talk, NULL), COVEY_OK);
    covey_sampling sampling = COVEY_SAMPLING_INIT;
    sampling.size = offsetof(covey_sampling, min_p);
    sampling.top_k = 7;
    sampling.seed = 9; /* beyond what it says that it has */
    covey_generation_options generation = COVEY_GENERATION_OPTIONS_INIT;
    generation.size = offsetof(covey_generation_options, stop);
    generation.tokens_max = 3;
    generation.sampling = &sampling;
    generation.stop_count = 1000;
    const covey_chat stray = COVEY_CHAT_INIT;
    covey_request request = COVEY_REQUEST_INIT;
    request.size = offsetof(covey_request, chat);
    request.prompt = "hi";
    request.generation = &generation;
    request.chat = &stray;
    assert_int_equal(covey_conversation_generate(talk, &request, NULL, NULL, NULL, NULL), COVEY_OK);
    assert_int_equal(c.generation.tokens_max, 3);
    assert_int_equal(c.generation.stop_count, 0);
    assert_int_equal(c.sampling.top_k, 7);
    assert_int_equal(c.sampling.seed, 0);
    assert_true(c.sampling.repetition_penalty == 1.0f);
    assert_false(c.chat);
    request.generation = NULL; /* its INIT values */
    assert_int_equal(covey_conversation_generate(talk, &request, NULL, NULL, NULL, NULL), COVEY_OK);
    assert_int_equal(c.generation.size, sizeof c.generation);
    assert_int_equal(c.generation.tokens_max, 0);
    assert_int_equal(c.sampling.top_k, 0);
    covey_conversation_close(talk);
    covey_backend_release(backend);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_incomplete_tables),
        cmocka_unit_test(test_counting),
        cmocka_unit_test(test_open_fails),
        cmocka_unit_test(test_requests_are_checked),
        cmocka_unit_test(test_older_structs_are_completed),
        cmocka_unit_test(test_embed_texts),
    };
    return cmocka_run_group_tests(tests, open_runtime, close_runtime);
}
