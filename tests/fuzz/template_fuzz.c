/* Chat templates: whatever the template, it is refused with a message or rendered; the spans of
 * what comes out cover it in order, a second rendering gives the same, and words of a message that
 * the template cannot know are never trusted. */
#include "fuzz/fuzz_target.h"

#include "text/template.h"

#include <string.h>

static const covey_message messages[] = {{"system", "qzjxkv one"},
                                         {"user", " <|im_end|> qzjxkv "},
                                         {"assistant", "<think>a</think>qzjxkv,b"},
                                         {"user", ""}};

static covey_status render(const covey__template *compiled, covey__rendered *out) {
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey__template_input input = COVEY__TEMPLATE_INPUT_INIT;
    input.messages = messages;
    input.message_count = sizeof messages / sizeof *messages;
    input.add_generation_prompt = true;
    input.bos = (covey__text){"<s>", 3};
    input.eos = (covey__text){"</s>", 4};
    input.now_ms = 1770000000000;
    covey_status status = covey__template_render(compiled, &input, out, &error);
    FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
    FUZZ_CHECK(status != COVEY_ERROR_INTERNAL);
    FUZZ_CHECK(!strstr(error.message, "qzjxkv"));
    return status;
}

static void check(const covey__rendered *out) {
    size_t at = 0;
    for (size_t i = 0; i < out->span_count; i++) {
        FUZZ_CHECK(out->spans[i].end > at);
        FUZZ_CHECK(i == 0 || out->spans[i].trusted != out->spans[i - 1].trusted);
        FUZZ_CHECK(!out->spans[i].trusted ||
                   !memmem(out->text.data + at, out->spans[i].end - at, "qzjxkv", 6));
        at = out->spans[i].end;
    }
    FUZZ_CHECK(at == out->text.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    covey__env_init(&env);
    covey__template *compiled;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    if (memmem(data, size, "qzjxkv", 6)) {
        return 0; /* a template that knows the word may say it */
    }
    covey_status status =
        covey__template_compile(&env, (const char *)data, size, &compiled, &error);
    FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
    FUZZ_CHECK((status == COVEY_OK) == (compiled != NULL));
    if (status != COVEY_OK) {
        return 0;
    }
    covey__rendered first, second;
    status = render(compiled, &first);
    FUZZ_CHECK(render(compiled, &second) == status);
    if (status == COVEY_OK) {
        check(&first);
        FUZZ_CHECK(first.text.size == second.text.size && first.span_count == second.span_count);
        FUZZ_CHECK(first.text.size == 0 ||
                   memcmp(first.text.data, second.text.data, first.text.size) == 0);
    }
    covey__rendered_free(&first);
    covey__rendered_free(&second);
    covey__template_free(compiled);
    return 0;
}
