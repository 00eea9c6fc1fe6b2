/* Messages as bytes: a line that names the form, then role and content of each, every text ended by
 * a NUL. The library keeps them under the session file's digest; here only the form is checked. */
#include "covey/message_pack.h"

#include <stdlib.h>
#include <string.h>

static const char form[] = "covey messages 1";

char *app_pack_messages(const covey_message *messages, size_t count, size_t *size) {
    *size = sizeof form;
    for (size_t i = 0; i < count; i++)
        *size += strlen(messages[i].role) + strlen(messages[i].content) + 2;
    char *packed = malloc(*size), *at = packed;
    if (!packed) return NULL;
    memcpy(at, form, sizeof form);
    at += sizeof form;
    for (size_t i = 0; i < count; i++) {
        const char *const texts[] = {messages[i].role, messages[i].content};
        for (int t = 0; t < 2; t++) {
            size_t bytes = strlen(texts[t]) + 1;
            memcpy(at, texts[t], bytes);
            at += bytes;
        }
    }
    return packed;
}

/* The text at `*at`, which goes behind it; NULL when it does not end within the bytes. */
static const char *next_text(const char *data, size_t size, size_t *at) {
    const char *text = data + *at, *end = memchr(text, 0, size - *at);
    if (!end) return NULL;
    *at += (size_t)(end - text) + 1;
    return text;
}

bool app_unpack_messages(const void *data, size_t size, app_message_fn take, void *user) {
    if (size < sizeof form || memcmp(data, form, sizeof form) != 0) return false;
    for (size_t at = sizeof form; at < size;) {
        const char *role = next_text(data, size, &at);
        const char *content = role && at < size ? next_text(data, size, &at) : NULL;
        if (!content || !take(user, role, content)) return false;
    }
    return true;
}
