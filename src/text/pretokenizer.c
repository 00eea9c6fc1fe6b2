/* Pre-tokenizers without a regular expression engine. Each scanner below stands for one pattern, an
 * ordered choice that the comments give branch by branch; what the pattern's look-ahead and
 * backtracking would find is computed in one pass forward, so that cutting a text takes time in
 * proportion to its length. Text that is not UTF-8 counts, byte by byte, as U+FFFD.
 *
 * Sources: GPT-2's encoder.py (OpenAI); the tokenizer.json of Llama 3 and of Qwen2. */
#include "text/pretokenizer.h"

#include "base/error.h"
#include <string.h>

enum { CLASS_END = 255 };

typedef struct {
    const char *text;
    size_t size;
} subject;

/* The class of what stands at `at`, and its bytes; CLASS_END past the end. */
static inline uint8_t class_at(const subject *s, size_t at, size_t *bytes) {
    *bytes = 0;
    if (at >= s->size) {
        return CLASS_END;
    }
    covey__utf8_char c = covey__utf8_decode(s->text + at, s->size - at);
    *bytes = c.size;
    return (uint8_t)covey__unicode_class_of(c.code);
}

static inline bool is_rest(uint8_t class) {
    return class != COVEY__UNICODE_SPACE && class != COVEY__UNICODE_LETTER &&
           class != COVEY__UNICODE_NUMBER && class != CLASS_END;
}

static inline bool is_break(char c) {
    return c == '\r' || c == '\n';
}

/* Past the longest run, from `at`, of one class. */
static size_t run_of(const subject *s, size_t at, uint8_t class) {
    size_t bytes;
    while (class_at(s, at, &bytes) == class) {
        at += bytes;
    }
    return at;
}

/* [^\s\p{L}\p{N}]+ */
static size_t run_of_rest(const subject *s, size_t at) {
    size_t bytes;
    while (is_rest(class_at(s, at, &bytes))) {
        at += bytes;
    }
    return at;
}

/* 's|'t|'re|'ve|'m|'ll|'d: its bytes, or 0. */
static size_t contraction(const subject *s, bool any_case) {
    if (s->text[0] != '\'' || s->size < 2) {
        return 0;
    }
    char first = s->text[1], second = s->size > 2 ? s->text[2] : 0;
    if (any_case) {
        first = first >= 'A' && first <= 'Z' ? (char)(first + 32) : first;
        second = second >= 'A' && second <= 'Z' ? (char)(second + 32) : second;
    }
    if (first == 's' || first == 't' || first == 'm' || first == 'd') {
        return 2;
    }
    bool two = (first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
               (first == 'l' && second == 'l');
    return two ? 3 : 0;
}

/* \s*[\r\n]+ where `breaks`, then \s+(?!\S), then \s+. The text begins with white space. */
static size_t white_space(const subject *s, bool breaks) {
    size_t at = 0, last = 0, count = 0, after_break = 0, bytes;
    while (class_at(s, at, &bytes) == COVEY__UNICODE_SPACE) {
        last = at;
        at += bytes;
        count++;
        after_break = is_break(s->text[last]) ? at : after_break;
    }
    if (breaks && after_break > 0) {
        return after_break;
    }
    return count > 1 && at < s->size ? last : at;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t next_gpt2(const subject *s) {
    size_t size = contraction(s, false);
    if (size > 0) {
        return size;
    }
    size_t start = s->text[0] == ' ', bytes;
    uint8_t class = class_at(s, start, &bytes);
    if (class == COVEY__UNICODE_LETTER || class == COVEY__UNICODE_NUMBER) {
        return run_of(s, start + bytes, class);
    }
    if (is_rest(class)) {
        return run_of_rest(s, start + bytes);
    }
    return white_space(s, false);
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*
 * |\s*[\r\n]+|\s+(?!\S)|\s+        with \p{N} for \p{N}{1,3} where digits_max is 1 */
static size_t next_llama3(const subject *s, size_t digits_max) {
    size_t size = contraction(s, true);
    if (size > 0) {
        return size;
    }
    size_t bytes, more;
    uint8_t class = class_at(s, 0, &bytes);
    if (class == COVEY__UNICODE_LETTER) {
        return run_of(s, bytes, COVEY__UNICODE_LETTER);
    }
    if (class == COVEY__UNICODE_NUMBER) {
        size_t at = bytes;
        for (size_t i = 1; i < digits_max && class_at(s, at, &more) == COVEY__UNICODE_NUMBER; i++) {
            at += more;
        }
        return at;
    }
    if (!is_break(s->text[0]) && class_at(s, bytes, &more) == COVEY__UNICODE_LETTER) {
        return run_of(s, bytes + more, COVEY__UNICODE_LETTER);
    }
    size_t start = s->text[0] == ' ';
    if (is_rest(class_at(s, start, &more))) {
        size_t at = run_of_rest(s, start + more);
        while (at < s->size && is_break(s->text[at])) {
            at++;
        }
        return at;
    }
    return white_space(s, true);
}

size_t covey__pretokenizer_next(covey__pretokenizer pretokenizer, const char *text, size_t size) {
    subject s = {text, size};
    switch (pretokenizer) {
    case COVEY__PRETOKENIZER_LLAMA3:
        return next_llama3(&s, 3);
    case COVEY__PRETOKENIZER_QWEN2:
        return next_llama3(&s, 1);
    case COVEY__PRETOKENIZER_GPT2:
    default:
        return next_gpt2(&s);
    }
}

covey_status covey__pretokenizer_find(const char *name, size_t name_size,
                                      covey__pretokenizer *pretokenizer, covey_error *error) {
    static const struct {
        const char *name;
        covey__pretokenizer value;
    } known[] = {{"", COVEY__PRETOKENIZER_GPT2},
                 {"gpt-2", COVEY__PRETOKENIZER_GPT2},
                 {"gpt2", COVEY__PRETOKENIZER_GPT2},
                 {"default", COVEY__PRETOKENIZER_GPT2},
                 {"llama-bpe", COVEY__PRETOKENIZER_LLAMA3},
                 {"llama3", COVEY__PRETOKENIZER_LLAMA3},
                 {"llama-v3", COVEY__PRETOKENIZER_LLAMA3},
                 {"qwen2", COVEY__PRETOKENIZER_QWEN2}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strlen(known[i].name) == name_size && memcmp(known[i].name, name, name_size) == 0) {
            *pretokenizer = known[i].value;
            return COVEY_OK;
        }
    }
    char shown[64];
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                       "tokenizer: pre-tokenizer \"%s\" (tokenizer.ggml.pre) is not one of those "
                       "supported: gpt-2, llama-bpe, qwen2",
                       covey__printable(name, name_size, shown, sizeof shown));
}

bool covey__pretokenizer_adds_bos(const char *name, size_t name_size) {
    covey__pretokenizer found;
    return covey__pretokenizer_find(name, name_size, &found, NULL) == COVEY_OK &&
           found == COVEY__PRETOKENIZER_LLAMA3;
}

/* GPT-2 (bytes_to_unicode in encoder.py): the printable bytes of Latin-1 stand for themselves, the
 * other 68 take the code points from 256 on, in order. */
static bool stands_for_itself(uint32_t byte) {
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) ||
           (byte >= 174 && byte <= 255);
}

uint32_t covey__byte_to_code(uint8_t byte) {
    if (stands_for_itself(byte)) {
        return byte;
    }
    if (byte <= 32) {
        return 256u + byte;
    }
    return byte == 173 ? 323u : 289u + (byte - 127u);
}

int covey__code_to_byte(uint32_t code) {
    if (code < 256) {
        return stands_for_itself(code) ? (int)code : -1;
    }
    if (code < 289) {
        return (int)code - 256;
    }
    if (code < 323) {
        return (int)code - 289 + 127;
    }
    return code == 323 ? 173 : -1;
}
