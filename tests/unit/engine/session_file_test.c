/* Saved sessions: they go on as if nothing had been, in another process's model too; files of other
 * models, damaged and forged ones are refused, and writing one is whole or not at all. */
#include "synthetic.h"

#include "base/file.h"
#include "base/sha256.h"

#define HEADER 112

static covey_runtime *runtime;
static covey_model *model;
static covey_token tokens[200];

static const synthetic small = {.layers = 2,
                                .width = 64,
                                .ffn = 96,
                                .heads = 4,
                                .kv_heads = 2,
                                .head_dim = 32,
                                .context = 512,
                                .type = COVEY__TYPE_F32,
                                .output_type = COVEY__TYPE_F32,
                                .seed = 3};

static int set_up(void **state) {
    make_folder(state);
    write_synthetic(&small, in_folder("model.gguf"));
    runtime = open_runtime(1, NULL);
    model = open_model(runtime, in_folder("model.gguf"));
    random_tokens(tokens, 200, SYNTHETIC_VOCABULARY, 1);
    return 0;
}

static int tear_down(void **state) {
    covey_model_close(model);
    covey_runtime_close(runtime);
    return remove_folder(state);
}

static covey_session *open_kv(covey_kv_type kv, int32_t context) {
    covey_error error = {.message = ""};
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    options.context_tokens = context;
    options.kv_type = kv;
    covey_session *session = NULL;
    must(covey_session_open(model, &options, &session, &error), &error);
    return session;
}

static covey_session *restored(covey_model *from, const char *path) {
    covey_error error = {.message = ""};
    covey_session *session = NULL;
    must(covey_session_restore(from, NULL, path, &session, &error), &error);
    return session;
}

static void same_bits(const covey_session *a, const covey_session *b) {
    assert_memory_equal(covey_session_logits(a, NULL), covey_session_logits(b, NULL),
                        SYNTHETIC_VOCABULARY * sizeof(float));
}

static void save(const covey_session *session, const char *path) {
    covey_error error = {.message = ""};
    must(covey_session_save(session, path, &error), &error);
}

/* ---- Notes ---- */

typedef struct heard_note {
    char text[64];
    size_t size, calls;
} heard_note;

static void hear_note(void *user, const void *note, size_t size) {
    heard_note *heard = user;
    heard->calls++;
    heard->size = size;
    assert_true(size <= sizeof heard->text);
    memcpy(heard->text, note, size);
}

static covey_status restore_noted(const char *path, heard_note *heard, covey_error *error) {
    covey_session *session = NULL;
    memset(heard, 0, sizeof *heard);
    covey_status status =
        covey_session_restore_with_note(model, NULL, path, &session, error, hear_note, heard);
    if (status == COVEY_OK) assert_int_equal(covey_session_token_count(session), 40);
    covey_session_close(session);
    return status;
}

/* A note comes back as it was, once all of the file was checked, and moves nothing else. */
static void test_notes(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    static const char words[] = "any\0bytes \xff";
    heard_note heard;
    const char *path = in_folder("noted");
    covey_session *session = open_kv(COVEY_KV_F16, 100), *plain = NULL;
    append(session, tokens, 40);
    for (size_t size = 0; size <= sizeof words; size++) {
        must(covey_session_save_with_note(session, path, words, size, &error), &error);
        must(restore_noted(path, &heard, &error), &error);
        assert_int_equal(heard.calls, size > 0);
        assert_int_equal(heard.size, size);
        assert_memory_equal(heard.text, words, size);
        plain = restored(model, path); /* who wants no note */
        same_bits(plain, session);
        covey_session_close(plain);
    }
    /* Every byte of the note, its length and the digest counts; so does the file's end. */
    covey__buffer whole;
    covey__buffer_init(&whole, &plain_env, 1 << 20);
    must(covey__file_read(&plain_env, path, &whole, &error), &error);
    size_t from = whole.size - 32 - sizeof words - 4;
    for (size_t at = from; at < whole.size; at++) {
        whole.data[at] ^= 1;
        must(covey__file_replace(&plain_env, path, whole.data, whole.size, &error), &error);
        assert_int_equal(restore_noted(path, &heard, &error), COVEY_ERROR_FORMAT);
        assert_int_equal(heard.calls, 0);
        whole.data[at] ^= 1;
        must(covey__file_replace(&plain_env, path, whole.data, at, &error), &error);
        assert_int_equal(restore_noted(path, &heard, &error), COVEY_ERROR_FORMAT);
    }
    covey__buffer_free(&whole);
    assert_int_equal(covey_session_save_with_note(session, path, words,
                                                  (size_t)COVEY_NOTE_BYTES_MAX + 1, &error),
                     COVEY_ERROR_LIMIT);
    assert_int_equal(covey_session_save_with_note(session, path, NULL, 1, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    covey_session_close(session);
}

/* ---- What goes on ---- */

static void test_goes_on(void **state) {
    (void)state;
    const size_t counts[] = {1, 31, 32, 33, 100};
    for (int kv = COVEY_KV_F32; kv <= COVEY_KV_Q8_0; kv++)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            covey_session *session = open_kv((covey_kv_type)kv, 200);
            append(session, tokens, counts[i]);
            save(session, in_folder("session"));
            covey_model *other = open_model(runtime, in_folder("model.gguf"));
            covey_session *back = restored(other, in_folder("session"));
            assert_int_equal(covey_session_token_count(back), counts[i]);
            same_bits(session, back);
            append(session, tokens + counts[i], 40);
            append(back, tokens + counts[i], 40);
            same_bits(session, back);
            covey_session_close(back);
            covey_session_close(session);
            covey_model_close(other);
        }
}

static void test_empty_and_without_logits(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_session *session = open_kv(COVEY_KV_F16, 100);
    save(session, in_folder("session"));
    covey_session *back = restored(model, in_folder("session"));
    assert_int_equal(covey_session_token_count(back), 0);
    assert_null(covey_session_logits(back, NULL));
    covey_session_close(back);
    append(session, tokens, 50);
    must(covey_session_truncate(session, 45, &error), &error);
    save(session, in_folder("session"));
    back = restored(model, in_folder("session"));
    assert_null(covey_session_logits(back, NULL));
    append(session, tokens + 45, 10);
    append(back, tokens + 45, 10);
    same_bits(session, back);
    covey_session_close(back);
    covey_session_close(session);
}

static covey__buffer read_file(const char *path) {
    covey_error error = {.message = ""};
    covey__buffer bytes;
    covey__buffer_init(&bytes, &plain_env, (size_t)1 << 24);
    must(covey__file_read(&plain_env, path, &bytes, &error), &error);
    return bytes;
}

/* Nothing of what was truncated stays in the file: equal sessions make equal files. */
static void test_says_no_more(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    for (int kv = COVEY_KV_F32; kv <= COVEY_KV_Q8_0; kv++) {
        covey_session *longer = open_kv((covey_kv_type)kv, 200);
        covey_session *plain = open_kv((covey_kv_type)kv, 200);
        longer->alone = plain->alone = true;
        append(longer, tokens, 90);
        must(covey_session_truncate(longer, 39, &error), &error);
        append(longer, tokens + 39, 1);
        append(plain, tokens, 40);
        save(longer, in_folder("longer"));
        save(plain, in_folder("plain"));
        covey__buffer a = read_file(in_folder("longer")), b = read_file(in_folder("plain"));
        assert_int_equal(a.size, b.size);
        assert_memory_equal(a.data, b.data, a.size);
        covey__buffer_free(&a);
        covey__buffer_free(&b);
        covey_session_close(longer);
        covey_session_close(plain);
    }
}

/* What was restored serves its own session alone. */
static void test_stays_alone(void **state) {
    (void)state;
    covey_session *session = open_kv(COVEY_KV_F16, 200);
    append(session, tokens, 100);
    save(session, in_folder("session"));
    covey_session_close(session);
    covey_runtime_trim(runtime);
    covey_session *back = restored(model, in_folder("session"));
    append(back, tokens + 100, 20);
    covey_session_close(back);
    session = open_kv(COVEY_KV_F16, 200);
    append(session, tokens, 120);
    assert_int_equal(covey_session_reused_count(session), 0);
    covey_session_close(session);
}

/* ---- What is refused ---- */

static void refuse(covey_model *by, const covey_session_options *options, const char *path,
                   covey_status expected, const char *words) {
    covey_error error = {.message = ""};
    covey_session *session = NULL;
    covey_status status = covey_session_restore(by, options, path, &session, &error);
    if (status != expected || !strstr(error.message, words))
        fail_msg("expected %s with \"%s\", found %s: %s", covey_status_name(expected), words,
                 covey_status_name(status), error.message);
    assert_null(session);
}

static covey_model *open_identified(const char *path, const uint8_t *identity) {
    covey_error error = {.message = ""};
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    covey_model *opened = NULL;
    source.path = path;
    source.identity = identity;
    must(covey_model_open(runtime, &source, &opened, &error), &error);
    return opened;
}

static void test_another_model(void **state) {
    (void)state;
    covey_session *session = open_kv(COVEY_KV_F16, 100);
    append(session, tokens, 50);
    save(session, in_folder("session"));
    covey_session_close(session);
    synthetic trained = small; /* the same metadata and shapes, other weights */
    trained.seed = 4;
    write_synthetic(&trained, in_folder("trained.gguf"));
    covey_model *other = open_model(runtime, in_folder("trained.gguf"));
    refuse(other, NULL, in_folder("session"), COVEY_ERROR_MISMATCH, "another model");
    covey_model_close(other);

    uint8_t identity[32] = {1};
    other = open_identified(in_folder("model.gguf"), identity);
    refuse(other, NULL, in_folder("session"), COVEY_ERROR_MISMATCH, "another model");
    covey_model *same = open_identified(in_folder("model.gguf"), identity);
    covey_error error = {.message = ""};
    must(covey_session_open(other, NULL, &session, &error), &error);
    append(session, tokens, 50);
    save(session, in_folder("identified"));
    covey_session_close(session);
    covey_session_close(restored(same, in_folder("identified")));
    identity[31] = 1;
    covey_model *third = open_identified(in_folder("model.gguf"), identity);
    refuse(third, NULL, in_folder("identified"), COVEY_ERROR_MISMATCH, "another model");
    covey_model_close(third);
    covey_model_close(same);
    covey_model_close(other);
}

static void test_another_configuration(void **state) {
    (void)state;
    covey_session *session = open_kv(COVEY_KV_Q8_0, 100);
    append(session, tokens, 50);
    save(session, in_folder("session"));
    session->adapters[0] = 7;
    save(session, in_folder("adapted"));
    session->adapters[0] = 0;
    covey_session_close(session);
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    options.kv_type = COVEY_KV_F16;
    refuse(model, &options, in_folder("session"), COVEY_ERROR_MISMATCH, "KV type");
    options.kv_type = COVEY_KV_Q8_0;
    options.context_tokens = 49;
    refuse(model, &options, in_folder("session"), COVEY_ERROR_CONTEXT_SIZE, "50 tokens");
    options.context_tokens = 50;
    refuse(model, &options, in_folder("adapted"), COVEY_ERROR_MISMATCH, "adapters");
    refuse(model, NULL, in_folder("absent"), COVEY_ERROR_NOT_FOUND, "absent");
    refuse(model, NULL, folder.path, COVEY_ERROR_INVALID_ARGUMENT, "");
}

/* Writes the bytes with their digest, as somebody would who knows the format. */
static void write_forged(const covey__buffer *bytes, size_t size) {
    covey_error error = {.message = ""};
    uint8_t *data = (uint8_t *)bytes->data;
    if (size > 32) covey__sha256_of(data, size - 32, data + size - 32);
    must(covey__file_replace(&plain_env, in_folder("forged"), data, size, &error), &error);
}

static void forge(const covey__buffer *bytes, size_t at, const void *value, size_t size,
                  covey_status expected, const char *words) {
    uint8_t before[8];
    memcpy(before, bytes->data + at, size);
    memcpy(bytes->data + at, value, size);
    write_forged(bytes, bytes->size);
    refuse(model, NULL, in_folder("forged"), expected, words);
    memcpy(bytes->data + at, before, size);
}

static void test_damaged(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_session *session = open_kv(COVEY_KV_F16, 100);
    append(session, tokens, 40);
    save(session, in_folder("session"));
    covey_session_close(session);
    covey__buffer bytes = read_file(in_folder("session"));
    uint64_t random = 5;
    for (int i = 0; i < 200; i++) { /* any single bit */
        size_t at = next_random(&random) % bytes.size;
        char bit = (char)(1 << next_random(&random) % 8);
        bytes.data[at] ^= bit;
        must(covey__file_replace(&plain_env, in_folder("damaged"), bytes.data, bytes.size, &error),
             &error);
        session = NULL;
        covey_status status =
            covey_session_restore(model, NULL, in_folder("damaged"), &session, &error);
        assert_true(status != COVEY_OK && session == NULL && error.message[0]);
        bytes.data[at] ^= bit;
    }
    const uint32_t zero = 0, one = 1, many = 0x7fffffff, nan = 0x7fc00000;
    const uint16_t infinite = 0x7c00;
    forge(&bytes, 0, "X", 1, COVEY_ERROR_FORMAT, "no saved session");
    forge(&bytes, 8, &many, 4, COVEY_ERROR_UNSUPPORTED, "format");
    forge(&bytes, 12, &many, 4, COVEY_ERROR_MISMATCH, "arithmetic version");
    forge(&bytes, 16, &zero, 4, COVEY_ERROR_FORMAT, "KV type");
    forge(&bytes, 16, &one, 4, COVEY_ERROR_MISMATCH, "adapters"); /* F32 under F16's key */
    forge(&bytes, 20, &many, 4, COVEY_ERROR_FORMAT, "contradicts");
    forge(&bytes, 24, &many, 4, COVEY_ERROR_MISMATCH, "another model");
    forge(&bytes, 40, &many, 4, COVEY_ERROR_FORMAT, "contradicts");
    forge(&bytes, 44, &many, 4, COVEY_ERROR_FORMAT, "contradicts");
    forge(&bytes, HEADER, &many, 4, COVEY_ERROR_FORMAT, "token 0");
    forge(&bytes, HEADER + 40 * 4, &nan, 4, COVEY_ERROR_FORMAT, "logits");
    forge(&bytes, HEADER + 40 * 4 + SYNTHETIC_VOCABULARY * 4 + 20, &infinite, 2, COVEY_ERROR_FORMAT,
          "page 0");
    for (size_t size = 0; size < bytes.size; size += size < 200 ? 1 : 997) { /* cut anywhere */
        write_forged(&bytes, size); /* which moves the digest into the middle */
        session = NULL;
        assert_int_not_equal(
            covey_session_restore(model, NULL, in_folder("forged"), &session, &error), COVEY_OK);
        assert_null(session);
        covey__buffer_free(&bytes);
        bytes = read_file(in_folder("session"));
    }
    covey__buffer_free(&bytes);
}

/* ---- Faults ---- */

static int fail_at(void *user, const char *point, const char *subject) {
    (void)subject;
    return strcmp(point, user) == 0 ? 5 : 0; /* EIO */
}

static void test_faults(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey__env *env = covey__runtime_env_for_tests(runtime);
    covey_session *session = open_kv(COVEY_KV_F16, 100), *back = NULL;
    append(session, tokens, 40);
    save(session, in_folder("kept"));
    append(session, tokens + 40, 10);
    const char *const writing[] = {"open", "write", "fsync", "rename"};
    for (size_t i = 0; i < 4; i++) {
        env->fault = fail_at;
        env->fault_user = (void *)(uintptr_t)writing[i];
        covey_status status = covey_session_save(session, in_folder("kept"), &error);
        env->fault = NULL;
        if (status == COVEY_OK) fail_msg("%s: no failure", writing[i]);
        back = restored(model, in_folder("kept"));
        assert_int_equal(covey_session_token_count(back), 40); /* what was there before */
        covey_session_close(back);
    }
    const char *const reading[] = {"stat", "open", "read"};
    for (size_t i = 0; i < 3; i++) {
        env->fault = fail_at;
        env->fault_user = (void *)(uintptr_t)reading[i];
        covey_status status = covey_session_restore(model, NULL, in_folder("kept"), &back, &error);
        env->fault = NULL;
        assert_int_equal(status, COVEY_ERROR_IO);
        assert_null(back);
    }
    covey_session_close(session);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on),       cmocka_unit_test(test_empty_and_without_logits),
        cmocka_unit_test(test_says_no_more),  cmocka_unit_test(test_stays_alone),
        cmocka_unit_test(test_another_model), cmocka_unit_test(test_another_configuration),
        cmocka_unit_test(test_notes),         cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
