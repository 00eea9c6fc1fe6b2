/* The engine as a backend, on a small synthetic model: what is reused changes no answer, what does
 * not fit is said with both lengths, and a cancel reaches a running answer from another thread. */
#include "../engine/synthetic_lora.h"

#include "router/router.h"

#include <pthread.h>
#include <stdlib.h>

static const char template_text[] =
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}]{{ message['content'] }}"
    "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";

static covey_runtime *runtime;

static int begin(void **state) {
    make_folder(state);
    synthetic s = SYNTHETIC_ODD;
    s.context = 128;
    s.gain = 4.0f; /* so that answers differ with their prompts */
    s.chat_template = template_text;
    write_synthetic(&s, in_folder("small.gguf"));
    runtime = open_runtime(1, NULL);
    return 0;
}

static int finish(void **state) {
    covey_runtime_close(runtime);
    return remove_folder(state);
}

static covey_backend *make(int32_t conversations_max) {
    covey_error error = {0};
    covey_backend *backend = NULL;
    must(covey_backend_local(runtime, open_model(runtime, in_folder("small.gguf")),
                             conversations_max, &backend, &error),
         &error);
    return backend;
}

static covey_conversation *talk_on(covey_backend *backend, int32_t context) {
    covey_error error = {0};
    covey_conversation *talk = NULL;
    must(covey_conversation_open(backend, context, &talk, &error), &error);
    return talk;
}

typedef struct heard {
    char text[4096];
    size_t size;
    covey_answer answer;
} heard;

static bool hear(void *user, const char *text, size_t size) {
    heard *out = user;
    if (out->size + size >= sizeof out->text) return false;
    memcpy(out->text + out->size, text, size);
    out->size += size;
    return true;
}

static void ask(covey_conversation *talk, const covey_message *messages, size_t count,
                int32_t tokens, heard *out) {
    covey_request request = COVEY_REQUEST_INIT;
    covey_error error = {0};
    memset(out, 0, sizeof *out);
    out->answer = (covey_answer)COVEY_ANSWER_INIT;
    request.messages = messages;
    request.message_count = count;
    covey_generation_options generation = COVEY_GENERATION_OPTIONS_INIT;
    generation.tokens_max = tokens;
    request.generation = &generation;
    must(covey_conversation_generate(talk, &request, &out->answer, &error, hear, out), &error);
}

/* Its conversations take nothing over from each other. */
static covey_backend *make_alone(void) {
    covey_error error = {0};
    covey_backend *backend = NULL;
    covey_local_options options = COVEY_LOCAL_OPTIONS_INIT;
    covey_session_options session = COVEY_SESSION_OPTIONS_INIT;
    session.alone = true;
    options.session = &session;
    must(covey_backend_local_with(runtime, open_model(runtime, in_folder("small.gguf")), &options,
                                  &backend, &error),
         &error);
    return backend;
}

static void test_reuse_changes_nothing(void **state) {
    (void)state;
    covey_backend *backend = make(2), *lone = make_alone();
    covey_conversation *kept = talk_on(backend, 0), *fresh = NULL;
    static const covey_message turns[] = {{"user", "tell me of the sea"},
                                          {"assistant", "it is wide"},
                                          {"user", "and of the sky"},
                                          {"user", "tell me of something else"}};
    heard first, second, other, again;
    ask(kept, turns, 1, 8, &first);
    assert_int_equal(first.answer.reused_token_count, 0);
    assert_int_equal(first.answer.answer_token_count > 0, 1);
    ask(kept, turns, 3, 8, &second);
    assert_true(second.answer.reused_token_count > 10);
    assert_true(second.answer.reused_token_count < second.answer.prompt_token_count);
    ask(kept, turns + 3, 1, 8, &other); /* shares only how a prompt begins */
    assert_true(other.answer.reused_token_count < first.answer.prompt_token_count);
    ask(kept, turns + 3, 1, 8, &again); /* the very same prompt: its last token is computed */
    assert_int_equal(again.answer.reused_token_count, again.answer.prompt_token_count - 1);
    assert_string_equal(again.text, other.text);
    const heard *kept_heard[] = {&first, &second, &other};
    for (int i = 0; i < 3; i++) {
        heard alone, shared;
        fresh = talk_on(lone, 0);
        ask(fresh, i == 2 ? turns + 3 : turns, i == 1 ? 3 : 1, 8, &alone);
        assert_int_equal(alone.answer.reused_token_count, 0);
        assert_int_equal(alone.answer.prompt_token_count, kept_heard[i]->answer.prompt_token_count);
        assert_string_equal(alone.text, kept_heard[i]->text);
        covey_conversation_close(fresh);
        fresh = talk_on(backend, 0); /* another conversation computed what it begins with */
        ask(fresh, i == 2 ? turns + 3 : turns, i == 1 ? 3 : 1, 8, &shared);
        assert_true(shared.answer.reused_token_count > 0);
        assert_string_equal(shared.text, alone.text);
        covey_conversation_close(fresh);
    }
    covey_backend_release(lone);
    covey_conversation_close(kept);
    covey_backend_release(backend);
}

static void test_too_long(void **state) {
    (void)state;
    covey_backend *backend = make(1);
    covey_conversation *talk = talk_on(backend, 32);
    char words[100];
    memset(words, 'x', sizeof words - 1);
    words[sizeof words - 1] = 0;
    covey_message message = {"user", words};
    covey_request request = COVEY_REQUEST_INIT;
    covey_error error = {0};
    size_t count = 0;
    request.messages = &message;
    request.message_count = 1;
    must(covey_backend_count_tokens(backend, &request, &count, &error), &error);
    assert_int_equal(covey_conversation_generate(talk, &request, NULL, &error, NULL, NULL),
                     COVEY_ERROR_CONTEXT_SIZE);
    assert_int_equal(error.expected, 32);
    assert_int_equal(error.found, (int64_t)count + 1); /* with room for one token of answer */
    char number[16];
    snprintf(number, sizeof number, "%zu", count);
    assert_non_null(strstr(error.message, number));
    assert_non_null(strstr(error.message, "32"));
    /* It is as it was: a prompt that fits is answered. */
    heard out;
    message.content = "hi";
    ask(talk, &message, 1, 2, &out);
    covey_conversation_close(talk);
    covey_backend_release(backend);
}

static void test_all_taken(void **state) {
    (void)state;
    covey_backend *backend = make(2);
    char reason[80];
    covey_error error = {0};
    covey_conversation *one = talk_on(backend, 32), *two = talk_on(backend, 32), *three = NULL;
    assert_int_equal(covey_conversation_open(backend, 32, &three, &error), COVEY_ERROR_BUSY);
    assert_null(three);
    assert_int_equal(covey_backend_available(backend, reason, sizeof reason),
                     COVEY_UNAVAILABLE_BUSY);
    assert_string_equal(reason, "All 2 conversations are in use.");
    covey_conversation_close(two);
    assert_int_equal(covey_backend_available(backend, reason, sizeof reason), COVEY_AVAILABLE);
    three = talk_on(backend, 32);
    covey_conversation_close(three);
    covey_conversation_close(one);
    covey_backend_release(backend);
}

static void test_prompts(void **state) {
    (void)state;
    covey_backend *backend = make(1);
    covey_conversation *talk = talk_on(backend, 0);
    covey_request request = COVEY_REQUEST_INIT;
    covey_answer answer = COVEY_ANSWER_INIT;
    covey_error error = {0};
    request.prompt = "once</s>upon";
    covey_generation_options generation = COVEY_GENERATION_OPTIONS_INIT;
    generation.tokens_max = 1;
    request.generation = &generation;
    must(covey_conversation_generate(talk, &request, &answer, &error, NULL, NULL), &error);
    /* The end token's text stays text: one token a byte, beside what the vocabulary puts first. */
    assert_true(answer.prompt_token_count >= (int32_t)strlen(request.prompt));
    covey_message broken = {"user", "\xff\xfe"};
    request.prompt = NULL;
    request.messages = &broken;
    request.message_count = 1;
    covey_status status = covey_conversation_generate(talk, &request, NULL, &error, NULL, NULL);
    (void)status; /* whatever it says, it must not break what follows */
    generation.tokens_max = -1;
    request.messages = &(covey_message){"user", "x"};
    assert_int_equal(covey_conversation_generate(talk, &request, NULL, &error, NULL, NULL),
                     COVEY_ERROR_INVALID_ARGUMENT);
    heard out;
    ask(talk, &(covey_message){"user", "x"}, 1, 2, &out);
    covey_conversation_close(talk);
    covey_backend_release(backend);
}

/* ---- Files ---- */

static void hear_note(void *user, const void *note, size_t size) {
    snprintf(user, 100, "%.*s", (int)size, (const char *)note);
}

/* A conversation in a file goes on as if it had never been closed; on another configuration it is
 * refused, and the conversation stays what it was. */
static void test_files(void **state) {
    (void)state;
    covey_backend *backend = make(2), *lone = make_alone();
    covey_conversation *talk = talk_on(backend, 0), *other = NULL;
    static const covey_message turns[] = {
        {"user", "tell me of the sea"}, {"assistant", "it is wide"}, {"user", "and of the sky"}};
    covey_error error = {0};
    char path[300], note[100] = "";
    heard first, went_on, fresh;
    snprintf(path, sizeof path, "%s", in_folder("talk"));
    ask(talk, turns, 1, 8, &first);
    must(covey_conversation_save(talk, path, "my words", 8, &error), &error);
    ask(talk, turns, 3, 8, &went_on);
    covey_conversation_close(talk);
    talk = talk_on(lone, 0);
    must(covey_conversation_restore(talk, path, &error, hear_note, note), &error);
    assert_string_equal(note, "my words");
    ask(talk, turns, 3, 8, &fresh);
    assert_true(fresh.answer.reused_token_count > 20);
    assert_string_equal(fresh.text, went_on.text);
    /* Another KV type; then a context that is too short. */
    covey_local_options options = COVEY_LOCAL_OPTIONS_INIT;
    covey_session_options session = COVEY_SESSION_OPTIONS_INIT;
    covey_backend *f32 = NULL;
    session.kv_type = COVEY_KV_F32;
    options.session = &session;
    must(covey_backend_local_with(runtime, open_model(runtime, in_folder("small.gguf")), &options,
                                  &f32, &error),
         &error);
    other = talk_on(f32, 0);
    ask(other, turns, 1, 8, &first);
    assert_int_equal(covey_conversation_restore(other, path, &error, NULL, NULL),
                     COVEY_ERROR_MISMATCH);
    heard again;
    ask(other, turns, 1, 8, &again);
    assert_int_equal(again.answer.reused_token_count, again.answer.prompt_token_count - 1);
    assert_string_equal(again.text, first.text);
    covey_conversation_close(other);
    other = talk_on(lone, 16);
    assert_int_equal(covey_conversation_restore(other, path, &error, NULL, NULL),
                     COVEY_ERROR_CONTEXT_SIZE);
    assert_int_equal(covey_conversation_restore(other, in_folder("none"), &error, NULL, NULL),
                     COVEY_ERROR_NOT_FOUND);
    covey_conversation_close(other);
    covey_conversation_close(talk);
    covey_backend_release(f32);
    covey_backend_release(lone);
    covey_backend_release(backend);
}

/* ---- A full context ---- */

typedef struct watch {
    covey_token system[200]; /* what every window begins with */
    size_t keep, seen, shifts, last;
} watch;

/* Sees the session's tokens while it generates; drafts nothing. */
static size_t watch_tokens(void *user, const covey_token *tokens, size_t count, covey_token *draft,
                           size_t most) {
    watch *w = user;
    (void)draft;
    (void)most;
    if (!w->keep) return 0;
    assert_memory_equal(tokens, w->system, w->keep * sizeof *tokens);
    w->shifts += count < w->last;
    w->last = count;
    w->seen++;
    return 0;
}

static void ask_long(covey_conversation *talk, const covey_message *messages, size_t count,
                     watch *w, heard *out) {
    covey_request request = COVEY_REQUEST_INIT;
    covey_generation_options generation = COVEY_GENERATION_OPTIONS_INIT;
    covey_error error = {0};
    memset(out, 0, sizeof *out);
    out->answer = (covey_answer)COVEY_ANSWER_INIT;
    request.messages = messages;
    request.message_count = count;
    generation.tokens_max = 30;
    generation.draft = w ? watch_tokens : NULL;
    generation.draft_user = w;
    if (w) w->last = 0;
    request.generation = &generation;
    must(covey_conversation_generate(talk, &request, &out->answer, &error, hear, out), &error);
}

static covey_backend *make_sliding(bool alone) {
    covey_error error = {0};
    covey_backend *backend = NULL;
    covey_local_options options = COVEY_LOCAL_OPTIONS_INIT;
    covey_session_options session = COVEY_SESSION_OPTIONS_INIT;
    session.context_policy = COVEY_CONTEXT_SLIDE;
    session.keep_tokens = 5000; /* gives way to each request's */
    session.alone = alone;
    options.session = &session;
    must(covey_backend_local_with(runtime, open_model(runtime, in_folder("small.gguf")), &options,
                                  &backend, &error),
         &error);
    return backend;
}

/* A conversation that is far longer than its context goes on; each of its answers is what a new
 * conversation says to the same request; and the system prompt stands before all of them. */
static void test_slides(void **state) {
    (void)state;
    enum { TURNS = 12, ROOM = 96 };
    covey_backend *backend = make_sliding(false), *lone = make_sliding(true);
    covey_conversation *kept = talk_on(backend, ROOM), *fresh = NULL;
    covey_model *model = open_model(runtime, in_folder("small.gguf"));
    covey_message messages[2 * TURNS + 2] = {{"system", "be kind"}};
    static heard answers[TURNS];
    covey_error error = {0};
    watch w = {.keep = 0};
    int32_t dropped = 0, reused = 0;
    /* What stands before the user's words, and is kept. */
    must(covey_model_render_chat(model, messages, 1, false, w.system, 200, &w.keep, &error),
         &error);
    for (size_t turn = 0; turn < TURNS; turn++) {
        heard again, drafted;
        messages[1 + 2 * turn] = (covey_message){"user", turn % 2 ? "and then?" : "go on, please"};
        ask_long(kept, messages, 2 + 2 * turn, &w, &answers[turn]);
        messages[2 + 2 * turn] = (covey_message){"assistant", answers[turn].text};
        fresh = talk_on(lone, ROOM);
        ask_long(fresh, messages, 2 + 2 * turn, &w, &again);
        assert_string_equal(again.text, answers[turn].text);
        assert_int_equal(again.answer.dropped_token_count,
                         answers[turn].answer.dropped_token_count);
        assert_int_equal(again.answer.prompt_token_count, answers[turn].answer.prompt_token_count);
        covey_conversation_close(fresh);
        fresh = talk_on(backend, ROOM); /* over pages of others, and with drafts */
        ask_long(fresh, messages, 2 + 2 * turn, NULL, &drafted);
        assert_string_equal(drafted.text, answers[turn].text);
        covey_conversation_close(fresh);
        assert_true(answers[turn].answer.dropped_token_count >= dropped);
        assert_true(answers[turn].answer.prompt_token_count <= ROOM);
        dropped = answers[turn].answer.dropped_token_count;
        if (dropped) reused += answers[turn].answer.reused_token_count > (int32_t)w.keep;
    }
    assert_true(dropped > 2 * ROOM);
    assert_true(w.seen > 0 && w.shifts > 0); /* it slid within answers too */
    assert_true(reused > 0);                 /* not every turn is computed anew */
    covey_conversation_close(kept);
    covey_model_close(model);
    covey_backend_release(lone);
    covey_backend_release(backend);
}

/* An answer without a bound ends, though its context never does. */
static void test_sliding_ends(void **state) {
    (void)state;
    covey_backend *backend = make_sliding(false);
    covey_conversation *talk = talk_on(backend, 64);
    int32_t most = 0;
    for (int i = 0; i < 8; i++) {
        char words[2] = {(char)('a' + i), 0};
        heard out;
        ask(talk, &(covey_message){"user", words}, 1, 0, &out);
        assert_true(out.answer.answer_token_count <= 64);
        if (out.answer.answer_token_count > most) most = out.answer.answer_token_count;
        if (out.answer.answer_token_count == 64)
            assert_int_equal(out.answer.stop_reason, COVEY_STOP_LENGTH);
    }
    assert_int_equal(most, 64);
    covey_conversation_close(talk);
    covey_backend_release(backend);
}

static void test_report(void **state) {
    (void)state;
    covey_backend *backend = make(1);
    covey_backend_report report = {.size = sizeof report};
    covey_backend_get_report(backend, &report);
    assert_string_equal(report.kind, "covey");
    assert_string_equal(report.quantization, "F32");
    assert_string_equal(report.isa, covey_runtime_isa(runtime));
    assert_true(report.exact);
    assert_int_equal(report.arithmetic_version, 1);
    assert_int_equal(report.threads, 1);
    assert_int_equal(report.context_tokens_max, 128);
    assert_true(report.weight_bytes > 0);
    covey_backend_release(backend);
}

/* ---- Cancel ---- */

typedef struct canceller {
    covey_conversation *talk;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool speaks, cancelled;
    int pieces;
} canceller;

static void *cancel_it(void *user) {
    canceller *c = user;
    pthread_mutex_lock(&c->mutex);
    while (!c->speaks) pthread_cond_wait(&c->changed, &c->mutex);
    covey_conversation_cancel(c->talk);
    c->cancelled = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->mutex);
    return NULL;
}

/* Waits, in the middle of the answer, until the other thread has cancelled it. */
static bool wait_for_cancel(void *user, const char *text, size_t size) {
    canceller *c = user;
    (void)text;
    (void)size;
    pthread_mutex_lock(&c->mutex);
    c->pieces++;
    c->speaks = true;
    pthread_cond_broadcast(&c->changed);
    while (!c->cancelled) pthread_cond_wait(&c->changed, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
    return true;
}

static void test_cancel(void **state) {
    (void)state;
    covey_backend *backend = make(1);
    canceller c = {.talk = talk_on(backend, 0)};
    pthread_t thread;
    heard before, after;
    const covey_message message = {"user", "go on for long"};
    ask(c.talk, &message, 1, 8, &before);
    pthread_mutex_init(&c.mutex, NULL);
    pthread_cond_init(&c.changed, NULL);
    assert_int_equal(pthread_create(&thread, NULL, cancel_it, &c), 0);
    covey_request request = COVEY_REQUEST_INIT;
    covey_answer answer = COVEY_ANSWER_INIT;
    covey_error error = {0};
    request.messages = &message;
    request.message_count = 1;
    must(covey_conversation_generate(c.talk, &request, &answer, &error, wait_for_cancel, &c),
         &error);
    pthread_join(thread, NULL);
    assert_int_equal(answer.stop_reason, COVEY_STOP_CANCELLED);
    assert_int_equal(c.pieces, 1);
    /* What was cancelled is over: a cancel that comes late does not reach the next answer. */
    covey_conversation_cancel(c.talk);
    ask(c.talk, &message, 1, 8, &after);
    assert_int_not_equal(after.answer.stop_reason, COVEY_STOP_CANCELLED);
    assert_string_equal(after.text, before.text);
    pthread_cond_destroy(&c.changed);
    pthread_mutex_destroy(&c.mutex);
    covey_conversation_close(c.talk);
    covey_backend_release(backend);
}

/* Texts in one call get the vectors that each gets alone; a text that is too long is named. */
static void test_embeddings(void **state) {
    (void)state;
    covey_backend *backend = make(1);
    covey_backend_report report = {.size = sizeof report};
    covey_error error = {0};
    const covey_backend_text texts[] = {{"ab", 2}, {"a longer text", 13}, {"ab", 2}};
    float vectors[3][1024], alone[1024];
    size_t counts[3], count, failed = 7;
    covey_backend_get_report(backend, &report);
    size_t width = (size_t)report.embedding_width;
    assert_in_range(width, 1, 1024);
    float *flat = malloc(3 * width * sizeof *flat);
    assert_non_null(flat);
    must(covey_backend_embed_texts(backend, texts, 3, flat, counts, &failed, &error), &error);
    assert_int_equal(failed, 3);
    for (size_t i = 0; i < 3; i++) {
        memcpy(vectors[i], flat + i * width, width * sizeof *flat);
        must(covey_backend_embed(backend, texts[i].text, texts[i].text_size, alone, &count, &error),
             &error);
        assert_int_equal(count, counts[i]);
        assert_memory_equal(vectors[i], alone, width * sizeof *alone);
    }
    assert_memory_equal(vectors[0], vectors[2], width * sizeof *alone);
    assert_memory_not_equal(vectors[0], vectors[1], width * sizeof *alone);
    char words[4096];
    memset(words, 'x', sizeof words);
    const covey_backend_text long_one[] = {{"ab", 2}, {words, sizeof words}};
    assert_int_equal(covey_backend_embed_texts(backend, long_one, 2, flat, counts, &failed, &error),
                     COVEY_ERROR_CONTEXT_SIZE);
    assert_int_equal(failed, 1);
    assert_int_equal(error.expected, 128);
    free(flat);
    covey_backend_release(backend);
}

/* A template is asked whether it shows tools by trying it. */
static void test_takes_tools(void **state) {
    (void)state;
    covey_error error = {0};
    static const struct {
        const char *template_text;
        bool takes;
    } cases[] = {
        {template_text, false},
        {"{{ messages[0].content }}{% for t in tools %}{{ t.function.name }}{% endfor %}", true},
        {"{% if tools is defined %}yes{% endif %}", false},
        {"{{ raise_exception('no') }}{{ tools | tojson }}", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        synthetic s = SYNTHETIC_ODD;
        covey_backend *backend = NULL;
        covey_backend_report report = {.size = sizeof report};
        s.chat_template = cases[i].template_text;
        write_synthetic(&s, in_folder("tools.gguf"));
        must(covey_backend_local(runtime, open_model(runtime, in_folder("tools.gguf")), 1, &backend,
                                 &error),
             &error);
        covey_backend_get_report(backend, &report);
        if (report.takes_tools != cases[i].takes) fail_msg("%s", cases[i].template_text);
        covey_backend_release(backend);
        covey_local_options options = COVEY_LOCAL_OPTIONS_INIT;
        options.knows_tools = true;
        must(covey_backend_local_with(runtime, open_model(runtime, in_folder("tools.gguf")),
                                      &options, &backend, &error),
             &error);
        covey_backend_get_report(backend, &report);
        assert_true(report.takes_tools);
        covey_backend_release(backend);
    }
}

/* ---- Adapters ---- */

/* "one" at 0.5 by default, "two" at 0.75 where a request asks for it, "three" at -1 by default. */
static covey_backend *make_adapting(bool alone, int32_t conversations_max) {
    static const char *const files[] = {"one.gguf", "two.gguf", "three.gguf"};
    covey_error error = {0};
    covey_backend *backend = NULL;
    covey_local_options options = COVEY_LOCAL_OPTIONS_INIT;
    covey_session_options session = COVEY_SESSION_OPTIONS_INIT;
    covey_adapter_offer offers[] = {{NULL, 0.5f, false}, {NULL, 0.75f, true}, {NULL, -1.0f, false}};
    covey_model *model = open_model(runtime, in_folder("small.gguf"));
    for (int i = 0; i < 3; i++) {
        made m = MADE_PLAIN;
        m.seed = 3 + (uint64_t)i;
        write_adapter(in_folder("small.gguf"), &m, in_folder(files[i]));
        must(covey_adapter_open(model, in_folder(files[i]), &offers[i].adapter, &error), &error);
    }
    session.alone = alone;
    options.session = &session;
    options.conversations_max = conversations_max;
    options.adapters = offers;
    options.adapter_count = 3;
    must(covey_backend_local_with(runtime, model, &options, &backend, &error), &error);
    for (int i = 0; i < 3; i++) covey_adapter_close(offers[i].adapter); /* the backend holds them */
    return backend;
}

typedef struct chosen {
    bool chooses;
    size_t count;
    covey_adapter_choice list[3];
    size_t used; /* what the answer must say */
    covey_adapter_choice uses[3];
} chosen;

static const chosen choices[] = {
    {.used = 2, .uses = {{0, 0.5f}, {2, -1.0f}}},
    {.chooses = true},
    {.chooses = true, .count = 1, .list = {{1, NAN}}, .used = 1, .uses = {{1, 0.75f}}},
    {.chooses = true,
     .count = 2,
     .list = {{2, 1.0f}, {0, 0.25f}},
     .used = 2,
     .uses = {{0, 0.25f}, {2, 1.0f}}},
    {.chooses = true, .count = 2, .list = {{0, 0.0f}, {1, 1.5f}}, .used = 1, .uses = {{1, 1.5f}}},
};
#define CHOICES (sizeof choices / sizeof *choices)

typedef struct scored {
    heard heard;
    float logprobs[16];
    size_t count;
} scored;

static void note_score(void *user, const covey_token_score *score) {
    scored *out = user;
    if (out->count < 16) out->logprobs[out->count++] = score->logprob;
}

static covey_status ask_with(covey_conversation *talk, const covey_message *message,
                             const chosen *c, scored *out, covey_error *error) {
    static const covey_adapter_choice none;
    covey_request request = COVEY_REQUEST_INIT;
    covey_generation_options generation = COVEY_GENERATION_OPTIONS_INIT;
    memset(out, 0, sizeof *out);
    out->heard.answer = (covey_answer)COVEY_ANSWER_INIT;
    request.messages = message;
    request.message_count = 1;
    request.generation = &generation;
    request.adapters = c->chooses ? (c->count ? c->list : &none) : NULL;
    request.adapter_count = c->count;
    generation.tokens_max = 12;
    generation.token_scored = note_score;
    generation.token_user = out;
    return covey_conversation_generate(talk, &request, &out->heard.answer, error, hear,
                                       &out->heard);
}

static void assert_used(const chosen *c, const covey_answer *answer) {
    assert_int_equal(answer->adapter_count, c->used);
    for (size_t i = 0; i < c->used; i++) {
        assert_int_equal(answer->adapters[i].id, c->uses[i].id);
        assert_true(answer->adapters[i].scale == c->uses[i].scale);
    }
}

static const covey_message question = {"user", "tell me of the sea and what lives in it"};

static void solo_answers(scored solo[CHOICES]) {
    covey_error error = {0};
    covey_backend *lone = make_adapting(true, 1);
    for (size_t i = 0; i < CHOICES; i++) {
        covey_conversation *talk = talk_on(lone, 0);
        must(ask_with(talk, &question, &choices[i], &solo[i], &error), &error);
        assert_used(&choices[i], &solo[i].heard.answer);
        assert_true(solo[i].count > 0);
        for (size_t k = 0; k < i; k++) /* each set answers otherwise */
            assert_memory_not_equal(solo[i].logprobs, solo[k].logprobs, sizeof solo[i].logprobs);
        covey_conversation_close(talk);
    }
    covey_backend_release(lone);
}

typedef struct asker {
    covey_backend *backend;
    const scored *solo;
    uint64_t seed;
    const char *wrong;
    int64_t reused;
} asker;

static void *ask_in_turn(void *user) {
    asker *a = user;
    covey_error error = {0};
    covey_conversation *talk = NULL;
    scored found;
    if (covey_conversation_open(a->backend, 0, &talk, &error)) a->wrong = "open";
    for (int round = 0; round < 12 && !a->wrong; round++) {
        size_t i = test_random(&a->seed) % CHOICES;
        if (ask_with(talk, &question, &choices[i], &found, &error)) a->wrong = "failed";
        if (found.count != a->solo[i].count ||
            memcmp(found.logprobs, a->solo[i].logprobs, sizeof found.logprobs) ||
            strcmp(found.heard.text, a->solo[i].heard.text))
            a->wrong = "other bits";
        a->reused += found.heard.answer.reused_token_count;
    }
    covey_conversation_close(talk);
    return NULL;
}

/* Requests with other adapters at the same time, in changing conversations, answer as alone. */
static void test_adapters_side_by_side(void **state) {
    (void)state;
    scored solo[CHOICES];
    solo_answers(solo);
    covey_backend *backend = make_adapting(false, 4);
    pthread_t threads[4];
    asker askers[4];
    for (uint64_t i = 0; i < 4; i++) {
        askers[i] = (asker){backend, solo, 11 + i, NULL, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_in_turn, &askers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        if (askers[i].wrong) fail_msg("asker %d: %s", i, askers[i].wrong);
        assert_true(askers[i].reused > 0); /* what was computed under a set is found again */
    }
    covey_backend_release(backend);
}

static void test_adapters_that_are_not_there(void **state) {
    (void)state;
    static const chosen bad[] = {{.chooses = true, .count = 1, .list = {{3, 1.0f}}},
                                 {.chooses = true, .count = 1, .list = {{-1, 1.0f}}},
                                 {.chooses = true, .count = 2, .list = {{1, 1.0f}, {1, 1.0f}}},
                                 {.chooses = true, .count = 1, .list = {{1, INFINITY}}}};
    covey_error error = {0};
    covey_backend *backend = make_adapting(false, 1);
    covey_conversation *talk = talk_on(backend, 0);
    scored out, again;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(ask_with(talk, &question, &bad[i], &out, &error),
                         COVEY_ERROR_INVALID_ARGUMENT);
        assert_memory_equal(error.message, "adapters[", 9);
    }
    must(ask_with(talk, &question, &choices[0], &out, &error), &error); /* it still answers */
    must(ask_with(talk, &question, &choices[0], &again, &error), &error);
    assert_string_equal(out.heard.text, again.heard.text);
    covey_backend_adapter adapter = COVEY_BACKEND_ADAPTER_INIT;
    assert_true(covey_backend_get_adapter(backend, 1, &adapter));
    assert_string_equal(adapter.name, "two.gguf");
    assert_true(adapter.on_request && adapter.scale == 0.75f);
    assert_false(covey_backend_get_adapter(backend, 3, &adapter));
    assert_false(covey_backend_get_adapter(backend, -1, &adapter));
    covey_conversation_close(talk);
    covey_backend_release(backend);
    /* A backend without any. */
    backend = make(1);
    talk = talk_on(backend, 0);
    assert_false(covey_backend_get_adapter(backend, 0, &adapter));
    assert_int_equal(ask_with(talk, &question, &choices[2], &out, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    covey_conversation_close(talk);
    covey_backend_release(backend);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reuse_changes_nothing),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_all_taken),
        cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_slides),
        cmocka_unit_test(test_sliding_ends),
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_embeddings),
        cmocka_unit_test(test_takes_tools),
        cmocka_unit_test(test_adapters_side_by_side),
        cmocka_unit_test(test_adapters_that_are_not_there),
    };
    return cmocka_run_group_tests(tests, begin, finish);
}
