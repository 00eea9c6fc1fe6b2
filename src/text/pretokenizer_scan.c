/* Pre-tokenizers without a regular expression engine. Each scanner below stands for one pattern, an
 * ordered choice that the comments give branch by branch; what the pattern's look-ahead and
 * backtracking would find is computed in one pass forward, so that cutting a text takes time in
 * proportion to its length. Text that is not UTF-8 counts, byte by byte, as U+FFFD.
 *
 * Some vocabularies cut with several patterns in turn, each within the pieces that the one before
 * left (matches and what lies between alike). There a character at which an outer pattern cuts is
 * the end of the text for the inner one: `stop`. A scanner always begins where a piece begins, and
 * finds the same ends when it begins again behind one of its own cuts.
 *
 * Sources: GPT-2's encoder.py (OpenAI); the tokenizer.json of Llama 3, Qwen2 and Qwen3.5, StarCoder
 * and Command-R, Falcon, DeepSeek (LLM, Coder, V3), GPT-4o (o200k) and Mistral Nemo (tekken). */
#include "text/pretokenizer.h"

#include "text/unicode_tables.h"
#include <string.h>

#define BIT(class) (1u << COVEY__CLASS_##class)
#define LETTERS    (BIT(LETTER) | BIT(UPPER) | BIT(LOWER)) /* \p{L} */
#define MARKS      (BIT(MARK) | BIT(NONSPACING))           /* \p{M} */
#define SIGNS      (BIT(PUNCTUATION) | BIT(SYMBOL))        /* [\p{P}\p{S}] */
#define END        (1u << 15)                              /* of the text, or of the piece */
#define REST       (0x7FFFu & ~(LETTERS | BIT(NUMBER) | BIT(SPACE))) /* [^\s\p{L}\p{N}] */
#define UPPER_LIKE (BIT(UPPER) | BIT(LETTER) | MARKS) /* [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] */
#define LOWER_LIKE (BIT(LOWER) | BIT(LETTER) | MARKS) /* [\p{Ll}\p{Lm}\p{Lo}\p{M}] */

/* Bits of the ASCII characters, with `symbols` for $+<=>^`|~. */
#define C BIT(CONTROL)
#define W BIT(SPACE)
#define P BIT(PUNCTUATION)
#define N BIT(NUMBER)
#define U BIT(UPPER)
#define L BIT(LOWER)
/* clang-format off */
#define ASCII_BITS(S) { \
    C, C, C, C, C, C, C, C, C, W, W, W, W, W, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, \
    W, P, P, P, S, P, P, P, P, P, P, S, P, P, P, P, N, N, N, N, N, N, N, N, N, N, P, P, S, S, S, P, \
    P, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, P, P, P, S, P, \
    S, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, P, S, P, S, C}
/* clang-format on */
static const uint16_t plain_ascii[128] = ASCII_BITS(BIT(SYMBOL));
static const uint16_t falcon_ascii[128] = ASCII_BITS(BIT(PUNCTUATION));
#undef C
#undef W
#undef P
#undef N
#undef U
#undef L

typedef struct {
    const char *text;
    size_t size;
    uint32_t stop; /* classes at which the piece ends */
    bool stop_han; /* so do ideographs and kana */
    const uint16_t *ascii;
} subject;

/* [一-龥぀-ゟ゠-ヿ] */
static bool is_han(uint32_t code) {
    return (code >= 0x4E00 && code <= 0x9FA5) || (code >= 0x3040 && code <= 0x30FF);
}

/* The class of what stands at `at` as a bit, its code point and its bytes; END at the piece's end.
 */
static inline uint32_t code_at(const subject *s, size_t at, size_t *bytes, uint32_t *code) {
    *bytes = 0;
    *code = 0;
    if (at >= s->size) {
        return END;
    }
    uint8_t byte = (uint8_t)s->text[at];
    uint32_t bits;
    if (byte < 0x80) {
        *bytes = 1;
        *code = byte;
        bits = s->ascii[byte];
    } else {
        covey__utf8_char c = covey__utf8_decode(s->text + at, s->size - at);
        *bytes = c.size;
        *code = c.code;
        bits = s->stop_han && is_han(c.code) ? END : 1u << covey__unicode_look_up(c.code);
    }
    return bits & s->stop ? END : bits;
}

static inline uint32_t bits_at(const subject *s, size_t at, size_t *bytes) {
    uint32_t code;
    return code_at(s, at, bytes, &code);
}

static inline bool is_break(char c) {
    return c == '\r' || c == '\n';
}

/* Past the longest run, from `at`, of characters of these classes. */
static size_t run_of(const subject *s, size_t at, uint32_t classes) {
    size_t bytes;
    while (bits_at(s, at, &bytes) & classes) {
        at += bytes;
    }
    return at;
}

/* Past the line breaks from `at` on, and the slashes where `slash`. */
static size_t run_of_breaks(const subject *s, size_t at, bool slash) {
    while (at < s->size && (is_break(s->text[at]) || (slash && s->text[at] == '/'))) {
        at++;
    }
    return at;
}

/* 's|'t|'re|'ve|'m|'ll|'d: its bytes, or 0. */
static size_t contraction(const char *text, size_t size, bool any_case) {
    if (size < 2 || text[0] != '\'') {
        return 0;
    }
    char first = text[1], second = size > 2 ? text[2] : 0;
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
    uint32_t bits;
    while ((bits = bits_at(s, at, &bytes)) & BIT(SPACE)) {
        last = at;
        at += bytes;
        count++;
        after_break = is_break(s->text[last]) ? at : after_break;
    }
    if (breaks && after_break > 0) {
        return after_break;
    }
    return count > 1 && bits != END ? last : at;
}

/* \p{N}{1,max}: the text begins with one. */
static size_t numbers(const subject *s, size_t max) {
    size_t at = 0, bytes;
    for (size_t i = 0; i < max && bits_at(s, at, &bytes) & BIT(NUMBER); i++) {
        at += bytes;
    }
    return at;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t next_gpt2(const subject *s) {
    size_t size = contraction(s->text, s->size, false);
    if (size > 0) {
        return size;
    }
    size_t start = s->text[0] == ' ', bytes;
    uint32_t bits = bits_at(s, start, &bytes);
    if (bits & LETTERS) {
        return run_of(s, start + bytes, LETTERS);
    }
    if (bits & BIT(NUMBER)) {
        return run_of(s, start + bytes, BIT(NUMBER));
    }
    if (bits & REST) {
        return run_of(s, start + bytes, REST);
    }
    return white_space(s, false);
}

/* \p{N}, then GPT-2's within the rest. */
static size_t next_starcoder(subject *s) {
    size_t bytes;
    if (bits_at(s, 0, &bytes) & BIT(NUMBER)) {
        return bytes;
    }
    s->stop = BIT(NUMBER);
    return next_gpt2(s);
}

/* [\p{P}$+<=>^`|~]+, then GPT-2's within the rest, then [0-9][0-9][0-9] within that. */
static size_t next_falcon(subject *s) {
    size_t bytes;
    s->ascii = falcon_ascii;
    if (bits_at(s, 0, &bytes) & BIT(PUNCTUATION)) {
        return run_of(s, 0, BIT(PUNCTUATION));
    }
    s->stop = BIT(PUNCTUATION);
    size_t start = s->text[0] == ' ', at = start, digits = 0;
    while (bits_at(s, at, &bytes) & BIT(NUMBER)) {
        digits = bytes == 1 ? digits + 1 : 0;
        at += bytes;
        if (digits == 3) {
            return at == 3 ? 3 : at - 3;
        }
    }
    return at > start ? at : next_gpt2(s);
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*
 * |\s*[\r\n]+|\s+(?!\S)|\s+
 * with \p{N} for \p{N}{1,3} where digits_max is 1; `words` is \p{L}, in Qwen3.5 [\p{L}\p{M}]. */
static size_t next_llama3(const subject *s, size_t digits_max, uint32_t words) {
    size_t size = contraction(s->text, s->size, true);
    if (size > 0) {
        return size;
    }
    size_t bytes, more;
    uint32_t bits = bits_at(s, 0, &bytes);
    if (bits & words) {
        return run_of(s, bytes, words);
    }
    if (bits & BIT(NUMBER)) {
        return numbers(s, digits_max);
    }
    if (!is_break(s->text[0]) && bits_at(s, bytes, &more) & words) {
        return run_of(s, bytes + more, words);
    }
    size_t start = s->text[0] == ' ';
    uint32_t rest = REST & ~words;
    if (bits_at(s, start, &more) & rest) {
        return run_of_breaks(s, run_of(s, start + more, rest), false);
    }
    return white_space(s, true);
}

/* The end of [upper]*[lower]+, else of [upper]+[lower]*, from a letter or mark at `at`. The first
 * takes all upper-case letters that it can; where no lower-case one follows them it gives back as
 * far as the last that is of no case, which then is its [lower]+. */
static size_t cased_word(const subject *s, size_t at) {
    size_t bytes, caseless = 0;
    uint32_t bits;
    while ((bits = bits_at(s, at, &bytes)) & UPPER_LIKE) {
        at += bytes;
        caseless = bits & BIT(UPPER) ? caseless : at;
    }
    if (bits & LOWER_LIKE) {
        return run_of(s, at, LOWER_LIKE);
    }
    return caseless > 0 ? caseless : at;
}

/* [^\r\n\p{L}\p{N}]?[upper]*[lower]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
 * |[^\r\n\p{L}\p{N}]?[upper]+[lower]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
 * |\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * with upper [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and lower [\p{Ll}\p{Lm}\p{Lo}\p{M}]; tekken has no
 * contractions and \p{N} for \p{N}{1,3}. */
static size_t next_gpt4o(const subject *s, bool tekken) {
    size_t bytes, more, at = SIZE_MAX;
    uint32_t bits = bits_at(s, 0, &bytes);
    if (bits & (LETTERS | MARKS)) {
        at = cased_word(s, 0);
    } else if (bits & BIT(NUMBER)) {
        return numbers(s, tekken ? 1 : 3);
    } else if (!is_break(s->text[0]) && bits_at(s, bytes, &more) & (LETTERS | MARKS)) {
        at = cased_word(s, bytes);
    }
    if (at != SIZE_MAX) {
        return at + (tekken ? 0 : contraction(s->text + at, s->size - at, true));
    }
    size_t start = s->text[0] == ' ';
    if (bits_at(s, start, &more) & REST) {
        return run_of_breaks(s, run_of(s, start + more, REST), true);
    }
    return white_space(s, true);
}

static bool is_ascii_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* What lies between two matches of next_deepseek3's last pattern: characters that are no letters,
 * marks, punctuation, symbols or white space, up to one that a letter or mark follows. */
static size_t between(const subject *s) {
    size_t at = 0, bytes, more;
    while (bits_at(s, at, &bytes) & (BIT(CONTROL) | BIT(NONE)) &&
           !(bits_at(s, at + bytes, &more) & (LETTERS | MARKS))) {
        at += bytes;
    }
    return at;
}

/* \p{N}{1,3}, then [一-龥぀-ゟ゠-ヿ]+ within the rest, then within that
 * [!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+
 * | ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t next_deepseek3(subject *s) {
    size_t bytes, more;
    uint32_t code, bits = code_at(s, 0, &bytes, &code);
    if (bits & BIT(NUMBER)) {
        return numbers(s, 3);
    }
    if (is_han(code)) {
        size_t at = bytes;
        while (code_at(s, at, &more, &code), is_han(code)) {
            at += more;
        }
        return at;
    }
    s->stop = BIT(NUMBER);
    s->stop_han = true;
    if (code < 0x80 && bits & SIGNS && s->size > 1 && is_ascii_letter(s->text[1])) {
        size_t at = 2;
        while (at < s->size && is_ascii_letter(s->text[at])) {
            at++;
        }
        return at;
    }
    if (bits & (LETTERS | MARKS)) {
        return run_of(s, bytes, LETTERS | MARKS);
    }
    if (!(bits & SIGNS) && !is_break(s->text[0]) && bits_at(s, bytes, &more) & (LETTERS | MARKS)) {
        return run_of(s, bytes + more, LETTERS | MARKS);
    }
    size_t start = s->text[0] == ' ';
    if (bits_at(s, start, &more) & SIGNS) {
        return run_of_breaks(s, run_of(s, start + more, SIGNS), false);
    }
    return bits & BIT(SPACE) ? white_space(s, true) : between(s);
}

/* [一-龥ࠀ-一가-퟿], whose middle range reaches from U+0800 to the first ideograph. */
static bool is_eastern(uint32_t code) {
    return (code >= 0x800 && code <= 0x9FA5) || (code >= 0xAC00 && code <= 0xD7FF);
}

/* The letters that DeepSeek LLM's pattern lists: those with a case, without the scripts below. */
static bool is_listed_letter(uint32_t bits, uint32_t code) {
    static const uint32_t others[][2] = {{0x560, 0x588},     {0x10C7, 0x10FF},   {0x1C80, 0x1C88},
                                         {0x2D00, 0x2D2D},   {0xA78F, 0xA7FF},   {0xAB30, 0xAB68},
                                         {0x10570, 0x105BC}, {0x16E40, 0x16E7F}, {0x1D400, 0x1D7CB},
                                         {0x1DF00, 0x1DF2A}};
    bool listed = (bits & (BIT(UPPER) | BIT(LOWER))) != 0;
    for (size_t i = 0; listed && code > 0x500 && i < sizeof others / sizeof *others; i++) {
        listed = code < others[i][0] || code > others[i][1];
    }
    return listed;
}

/* [!-/:-~！-／：-～‘-‟　-。], in which `:-~` holds the letters of ASCII too. */
static bool is_listed_sign(uint32_t code) {
    return (code >= 0x21 && code <= 0x2F) || (code >= 0x3A && code <= 0x7E) ||
           (code >= 0xFF01 && code <= 0xFF0F) || (code >= 0xFF1A && code <= 0xFF5E) ||
           (code >= 0x2018 && code <= 0x201F) || (code >= 0x3000 && code <= 0x3002);
}

/* A character as DeepSeek's first two patterns see it. */
typedef struct {
    size_t end;
    bool is_end, breaks, space, letter, sign, eastern, number;
} glyph;

static glyph glyph_at(const subject *s, size_t at, bool coder) {
    size_t bytes;
    uint32_t code, bits = code_at(s, at, &bytes, &code);
    glyph g = {.end = at + bytes, .is_end = bits == END};
    if (!g.is_end) {
        g.breaks = code == '\r' || code == '\n';
        g.space = (bits & BIT(SPACE)) != 0;
        g.number = (bits & BIT(NUMBER)) != 0;
        g.eastern = is_eastern(code);
        g.letter = coder ? (bits & LETTERS) != 0 : is_listed_letter(bits, code);
        g.sign = coder ? (bits & BIT(PUNCTUATION)) != 0 : is_listed_sign(code);
    }
    return g;
}

/* Whether [\r\n] or \s?[letters]+ cuts before g[1]. */
static bool cuts_letters(const glyph *g) {
    return g[1].is_end || g[0].breaks || g[1].breaks ||
           (g[1].letter && !g[0].letter && !g[0].space) || (g[1].space && g[2].letter) ||
           (g[0].letter && !g[1].letter);
}

/* Whether those or \s?[signs]+ within their pieces cut before g[1]. */
static bool cuts_signs(const glyph *g) {
    return cuts_letters(g) || (g[1].sign && !g[0].sign && !g[0].space) ||
           (g[1].space && !g[1].sign && g[2].sign && !cuts_letters(g + 1)) ||
           (g[0].sign && !g[1].sign);
}

/* Whether the white space that begins with g[1] reaches to the end of its piece: \s+$. */
static bool ends_piece(const subject *s, const glyph *g) {
    glyph at[4] = {g[1], g[2], g[3], glyph_at(s, g[3].end, false)};
    while (!cuts_signs(at)) {
        if (!at[1].space) {
            return false;
        }
        at[0] = at[1];
        at[1] = at[2];
        at[2] = at[3];
        at[3] = glyph_at(s, at[3].end, false);
    }
    return true;
}

/* DeepSeek Coder: [\r\n], then \s?\p{L}+, then \s?\p{P}+, then [一-龥ࠀ-一가-퟿]+, then
 * \p{N}. DeepSeek LLM: [\r\n], then \s?[letters]+, then \s?[signs]+, then \s+$, then
 * [一-龥ࠀ-一가-퟿]+, then \p{N}+. Each within the pieces that those before left. Where one
 * of them cuts can be seen from the characters around but for \s+$, which looks ahead once a run of
 * white space. */
static size_t next_deepseek(const subject *s, bool coder) {
    glyph g[4];
    g[0] = glyph_at(s, 0, coder);
    for (int i = 1; i < 4; i++) {
        g[i] = glyph_at(s, g[i - 1].end, coder);
    }
    while (!cuts_signs(g) && g[0].eastern == g[1].eastern && g[0].number == g[1].number &&
           !(coder && g[0].number) && !(!coder && g[1].space && !g[0].space && ends_piece(s, g))) {
        g[0] = g[1];
        g[1] = g[2];
        g[2] = g[3];
        g[3] = glyph_at(s, g[3].end, coder);
    }
    return g[0].end;
}

size_t covey__pretokenizer_next(covey__pretokenizer pretokenizer, const char *text, size_t size) {
    subject s = {text, size, 0, false, plain_ascii};
    switch (pretokenizer) {
    case COVEY__PRETOKENIZER_LLAMA3:
        return next_llama3(&s, 3, LETTERS);
    case COVEY__PRETOKENIZER_QWEN2:
        return next_llama3(&s, 1, LETTERS);
    case COVEY__PRETOKENIZER_QWEN35:
        return next_llama3(&s, 1, LETTERS | MARKS);
    case COVEY__PRETOKENIZER_STARCODER:
        return next_starcoder(&s);
    case COVEY__PRETOKENIZER_FALCON:
        return next_falcon(&s);
    case COVEY__PRETOKENIZER_DEEPSEEK_LLM:
        return next_deepseek(&s, false);
    case COVEY__PRETOKENIZER_DEEPSEEK_CODER:
        return next_deepseek(&s, true);
    case COVEY__PRETOKENIZER_DEEPSEEK3:
        return next_deepseek3(&s);
    case COVEY__PRETOKENIZER_GPT4O:
        return next_gpt4o(&s, false);
    case COVEY__PRETOKENIZER_TEKKEN:
        return next_gpt4o(&s, true);
    case COVEY__PRETOKENIZER_GPT2:
    default:
        return next_gpt2(&s);
    }
}
