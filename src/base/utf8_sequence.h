/* One well-formed UTF-8 sequence (Unicode 15, table 3-7): what base needs for JSON, GGUF keys and
 * messages. Everything else about text is the text layer's. */
#ifndef COVEY_BASE_UTF8_SEQUENCE_H
#define COVEY_BASE_UTF8_SEQUENCE_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the character at `text`, 1 to 4; 0 when it is malformed or does not end within `size`.
 * Overlong forms, surrogates and values above U+10FFFF are malformed. */
static inline size_t covey__utf8_sequence(const char *text, size_t size) {
    const unsigned char *s = (const unsigned char *)text;
    if (size == 0) return 0;
    if (s[0] < 0x80) return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4) return 0;
    size_t length = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (size < length) return 0;
    unsigned char low = 0x80, high = 0xbf; /* bounds of the second byte */
    if (s[0] == 0xe0) low = 0xa0;
    if (s[0] == 0xed) high = 0x9f;
    if (s[0] == 0xf0) low = 0x90;
    if (s[0] == 0xf4) high = 0x8f;
    if (s[1] < low || s[1] > high) return 0;
    for (size_t i = 2; i < length; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    return length;
}

/* Whether `size` bytes could be the beginning of a longer character that was cut off. */
static inline bool covey__utf8_is_cut(const char *text, size_t size) {
    const unsigned char *s = (const unsigned char *)text;
    if (size == 0 || s[0] < 0xc2 || s[0] > 0xf4) return false;
    size_t length = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (size >= length) return false;
    for (size_t i = 1; i < size; i++)
        if ((s[i] & 0xc0) != 0x80) return false;
    return true;
}

/* U+0080 to U+009F: controls that some terminals obey. */
static inline bool covey__utf8_is_c1(const char *text, size_t length) {
    const unsigned char *s = (const unsigned char *)text;
    return length == 2 && s[0] == 0xc2 && s[1] < 0xa0;
}

static inline bool covey__utf8_valid(const char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        size_t length = covey__utf8_sequence(text + at, size - at);
        if (length == 0) return false;
        at += length;
    }
    return true;
}

#endif
