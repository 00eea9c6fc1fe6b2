/* UTF-8 (RFC 3629) and the Unicode classes that pre-tokenizers ask for. */
#ifndef COVEY_TEXT_UTF8_H
#define COVEY_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A borrowed piece of text; may hold NULs, need not end in one. */
typedef struct covey__text {
    const char *data;
    size_t size;
} covey__text;

/* What stands at `text`: the code point and how many bytes it takes (1 to 4). An invalid byte is
 * one U+FFFD of one byte with `valid` false. `size` is at least 1. */
typedef struct covey__utf8_char {
    uint32_t code;
    uint8_t size;
    bool valid;
} covey__utf8_char;
covey__utf8_char covey__utf8_decode(const char *text, size_t size);

/* Writes 1 to 4 bytes; returns how many. `code` is a Unicode scalar value. */
size_t covey__utf8_encode(uint32_t code, char out[4]);

/* Whether all of it is valid UTF-8. */
bool covey__utf8_is_valid(const char *text, size_t size);

/* Length of the longest prefix that does not end within a character that more bytes could still
 * complete: what a stream may hand on now. Invalid bytes are not waited for. */
size_t covey__utf8_whole(const char *text, size_t size);

/* General categories, as Unicode's UnicodeData.txt gives them, joined to what regular expressions
 * of pre-tokenizers name. */
typedef enum covey__unicode_class {
    COVEY__UNICODE_OTHER = 0,
    COVEY__UNICODE_LETTER = 1,      /* \p{L} */
    COVEY__UNICODE_NUMBER = 2,      /* \p{N} */
    COVEY__UNICODE_SPACE = 3,       /* \s: White_Space */
    COVEY__UNICODE_MARK = 4,        /* \p{M} */
    COVEY__UNICODE_PUNCTUATION = 5, /* \p{P} */
    COVEY__UNICODE_SYMBOL = 6       /* \p{S} */
} covey__unicode_class;
covey__unicode_class covey__unicode_class_of(uint32_t code);

#endif
