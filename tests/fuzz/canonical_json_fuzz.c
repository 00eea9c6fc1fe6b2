/* Canonical JSON: a text, and the same tree written by the JSON writer, must have one canonical
 * form; and that form, with its control characters escaped so that it is JSON, must be its own. */
#include "fuzz/fuzz_target.h"

#include "trust/canonical_json.h"

#include <string.h>

#define OUT_MAX ((size_t)64 << 20)

/* The canonical form of a text. */
static covey_status make(const covey__env *env, const char *text, size_t size, covey__buffer *out,
                         covey__buffer *rewritten) {
    covey__arena arena;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    const covey__json *root = NULL;
    covey__json_limits limits = {OUT_MAX, 64, 200000};
    covey__json_writer writer;
    covey__arena_init(&arena, env, OUT_MAX);
    covey_status status = covey__json_parse(&arena, text, size, limits, &root, &error);
    if (status == COVEY_OK && rewritten != NULL) {
        covey__json_writer_init(&writer, rewritten, size % 2 == 0);
        covey__json_put_node(&writer, root);
        FUZZ_CHECK(rewritten->status == COVEY_OK);
    }
    if (status == COVEY_OK) {
        status = covey__canonical_json(root, out, &error);
        FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
        FUZZ_CHECK(status == COVEY_OK || out->size == 0);
        FUZZ_CHECK(status == COVEY_OK || status == COVEY_ERROR_FORMAT);
    }
    covey__arena_free(&arena);
    return status;
}

/* Control characters stand as themselves in the canonical form, and JSON does not take them so. */
static void escape(const covey__buffer *canonical, covey__buffer *out) {
    for (size_t i = 0; i < canonical->size; i++) {
        unsigned char c = (unsigned char)canonical->data[i];
        if (c < 0x20)
            covey__buffer_format(out, "\\u%04x", c);
        else
            covey__buffer_byte(out, (char)c);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    covey__buffer first, second, text;
    covey__env_init(&env);
    covey__buffer_init(&first, &env, OUT_MAX);
    covey__buffer_init(&second, &env, OUT_MAX);
    covey__buffer_init(&text, &env, OUT_MAX);
    if (make(&env, (const char *)data, size, &first, &text) == COVEY_OK) {
        FUZZ_CHECK(make(&env, text.data, text.size, &second, NULL) == COVEY_OK);
        FUZZ_CHECK(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
        covey__buffer_clear(&text);
        covey__buffer_clear(&second);
        escape(&first, &text);
        FUZZ_CHECK(make(&env, text.data, text.size, &second, NULL) == COVEY_OK);
        FUZZ_CHECK(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    }
    covey__buffer_free(&first);
    covey__buffer_free(&second);
    covey__buffer_free(&text);
    return 0;
}
