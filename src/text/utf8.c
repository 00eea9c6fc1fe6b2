/* UTF-8 by RFC 3629, strictly: no surrogates, no overlong forms, nothing above U+10FFFF. What is
 * invalid is taken one byte at a time, so that any bytes can be walked over and none is lost. */
#include "text/utf8.h"

#include "text/unicode_tables.h"

/* How many bytes a lead byte announces (0: not a lead byte), and the bounds of the second byte,
 * which is where overlong forms, surrogates and too large code points show. */
static uint8_t lead_size(uint8_t lead, uint8_t *second_min, uint8_t *second_max) {
    *second_min = 0x80;
    *second_max = 0xBF;
    if (lead < 0x80) {
        return 1;
    }
    if (lead >= 0xC2 && lead <= 0xDF) {
        return 2;
    }
    if (lead >= 0xE0 && lead <= 0xEF) {
        *second_min = lead == 0xE0 ? 0xA0 : 0x80;
        *second_max = lead == 0xED ? 0x9F : 0xBF;
        return 3;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        *second_min = lead == 0xF0 ? 0x90 : 0x80;
        *second_max = lead == 0xF4 ? 0x8F : 0xBF;
        return 4;
    }
    return 0;
}

/* Bytes of the character that are here and in order: its full size only if it is whole. */
static uint8_t good_bytes(const uint8_t *text, size_t size, uint8_t *full) {
    uint8_t second_min, second_max;
    *full = lead_size(text[0], &second_min, &second_max);
    if (*full == 0) {
        return 0;
    }
    uint8_t good = 1;
    while (good < *full && good < size) {
        uint8_t min = good == 1 ? second_min : 0x80;
        uint8_t max = good == 1 ? second_max : 0xBF;
        if (text[good] < min || text[good] > max) {
            break;
        }
        good++;
    }
    return good;
}

covey__utf8_char covey__utf8_decode(const char *text, size_t size) {
    const uint8_t *bytes = (const uint8_t *)text;
    if (bytes[0] < 0x80) {
        return (covey__utf8_char){bytes[0], 1, true};
    }
    uint8_t full;
    uint8_t good = good_bytes(bytes, size, &full);
    if (full == 0 || good < full) {
        return (covey__utf8_char){0xFFFD, 1, false};
    }
    uint32_t code = bytes[0] & (0xFFu >> (full + 1));
    for (uint8_t i = 1; i < full; i++) {
        code = code << 6 | (bytes[i] & 0x3F);
    }
    return (covey__utf8_char){code, full, true};
}

size_t covey__utf8_encode(uint32_t code, char out[4]) {
    uint8_t *bytes = (uint8_t *)out;
    if (code < 0x80) {
        bytes[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        bytes[0] = (uint8_t)(0xC0 | code >> 6);
        bytes[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        bytes[0] = (uint8_t)(0xE0 | code >> 12);
        bytes[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        bytes[2] = (uint8_t)(0x80 | (code & 0x3F));
        return 3;
    }
    bytes[0] = (uint8_t)(0xF0 | code >> 18);
    bytes[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
    bytes[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    bytes[3] = (uint8_t)(0x80 | (code & 0x3F));
    return 4;
}

bool covey__utf8_is_valid(const char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        covey__utf8_char c = covey__utf8_decode(text + at, size - at);
        if (!c.valid) {
            return false;
        }
        at += c.size;
    }
    return true;
}

size_t covey__utf8_whole(const char *text, size_t size) {
    for (size_t back = 1; back <= 3 && back <= size; back++) {
        const uint8_t *lead = (const uint8_t *)text + size - back;
        if ((*lead & 0xC0) == 0x80) {
            continue; /* a later byte of a character: its lead is further back */
        }
        uint8_t full;
        uint8_t good = good_bytes(lead, back, &full);
        return full > back && good == back ? size - back : size;
    }
    return size;
}

covey__unicode_class covey__unicode_class_of(uint32_t code) {
    static const uint8_t joined[16] = {
        [COVEY__CLASS_NONE] = COVEY__UNICODE_OTHER,
        [COVEY__CLASS_LETTER] = COVEY__UNICODE_LETTER,
        [COVEY__CLASS_NUMBER] = COVEY__UNICODE_NUMBER,
        [COVEY__CLASS_SPACE] = COVEY__UNICODE_SPACE,
        [COVEY__CLASS_MARK] = COVEY__UNICODE_MARK,
        [COVEY__CLASS_PUNCTUATION] = COVEY__UNICODE_PUNCTUATION,
        [COVEY__CLASS_SYMBOL] = COVEY__UNICODE_SYMBOL,
        [COVEY__CLASS_UPPER] = COVEY__UNICODE_LETTER,
        [COVEY__CLASS_LOWER] = COVEY__UNICODE_LETTER,
        [COVEY__CLASS_CONTROL] = COVEY__UNICODE_OTHER,
        [COVEY__CLASS_NONSPACING] = COVEY__UNICODE_MARK,
    };
    return (covey__unicode_class)joined[covey__unicode_look_up(code)];
}
