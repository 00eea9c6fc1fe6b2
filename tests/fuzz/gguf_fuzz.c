/* GGUF: whatever opens must let every key, value, string and tensor byte be read within the file's
 * memory, and be found again by its name. An error must carry a message that begins "gguf". */
#include "fuzz/fuzz_target.h"

#include "gguf/gguf.h"

#include <string.h>

/* Kept from being optimised away: sanitizers are to see each byte read. */
static volatile uint64_t sum;

static void touch(const void *data, size_t size) {
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) sum += bytes[i];
}

/* The text with a NUL, or NULL when it is too long for a test of look-ups. */
static const char *terminated(covey__gguf_text text, char *out, size_t capacity) {
    if (text.size >= capacity || memchr(text.data, '\0', text.size) != NULL) return NULL;
    memcpy(out, text.data, text.size);
    out[text.size] = '\0';
    return out;
}

static void read_value(const covey__gguf *gguf, covey__gguf_value value) {
    char space[256];
    touch(value.key.data, value.key.size);
    touch(value.data, value.data_size);
    const char *key = terminated(value.key, space, sizeof space);
    if (key == NULL) return;
    FUZZ_CHECK(covey__gguf_has(gguf, key));
    covey_error error;
    uint64_t number;
    float real;
    bool flag;
    covey__gguf_text text;
    covey__gguf_kind kind;
    size_t count;
    int32_t integers[4];
    float reals[4];
    (void)!covey__gguf_u64(gguf, key, 0, UINT64_MAX, &number, &error);
    (void)!covey__gguf_f32(gguf, key, &real, &error);
    (void)!covey__gguf_bool(gguf, key, &flag, &error);
    if (covey__gguf_string(gguf, key, &text, &error) == COVEY_OK) touch(text.data, text.size);
    (void)!covey__gguf_array_i32(gguf, key, integers, 4, &error);
    (void)!covey__gguf_array_f32(gguf, key, reals, 4, &error);
    if (covey__gguf_array(gguf, key, &kind, &count, &error) != COVEY_OK) return;
    for (size_t i = 0; kind == COVEY__GGUF_STRING && i < count; i++) {
        text = covey__gguf_array_string(gguf, key, i);
        touch(text.data, text.size);
    }
}

static void read_tensor(const covey__gguf *gguf, const covey__gguf_tensor *tensor) {
    char space[256];
    touch(tensor->name.data, tensor->name.size);
    touch(tensor->data, (size_t)tensor->bytes);
    const char *name = terminated(tensor->name, space, sizeof space);
    if (name != NULL) FUZZ_CHECK(covey__gguf_tensor_find(gguf, name) == tensor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    covey__env_init(&env);
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey__map map = {.data = data, .size = size};
    covey__gguf *gguf;
    covey_status status = covey__gguf_open(&env, &map, &gguf, &error);
    if (status != COVEY_OK) {
        FUZZ_CHECK(status == error.status && strncmp(error.message, "gguf", 4) == 0);
        return 0;
    }
    for (size_t i = 0; i < covey__gguf_value_count(gguf); i++)
        read_value(gguf, covey__gguf_value_at(gguf, i));
    for (size_t i = 0; i < covey__gguf_tensor_count(gguf); i++)
        read_tensor(gguf, covey__gguf_tensor_at(gguf, i));
    covey__gguf_close(gguf);
    return 0;
}
