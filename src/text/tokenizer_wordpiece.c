/* WordPiece, as BERT has it (Devlin et al. 2018; Hugging Face's BertNormalizer, BertPreTokenizer
 * and WordPiece): text is cleaned of control characters, freed of accents and lower-cased, cut at
 * white space and around punctuation and Chinese characters, and each word becomes the longest
 * tokens that it is made of, from the left. A word that cannot be made so, or has more than a
 * hundred characters, is one unknown token.
 *
 * In GGUF a token that begins a word has U+2581 before it, and one that goes on with a word stands
 * as it is ("##" in BERT's own file). */
#include "text/tokenizer_state.h"

#include "base/error.h"
#include "text/unicode.h"
#include "text/unicode_tables.h"
#include <string.h>

enum { WORD_CHARACTERS_MAX = 100 };

/* What stands at a place of the text. */
enum { ACTION_SKIP, ACTION_SPACE, ACTION_ALONE, ACTION_INSIDE };

typedef struct {
    const covey__tokenizer *tokenizer;
    covey__token_sink *sink;
    size_t characters; /* of the word so far */
    size_t size;       /* bytes of `word`, its mark included */
    char word[COVEY__SPACE_MARK_SIZE + 4 * WORD_CHARACTERS_MAX];
} word_piece;

static int32_t find(const covey__tokenizer *t, const char *text, size_t size) {
    return size > t->text_size_max
               ? -1
               : covey__text_table_get(&t->by_text, &t->texts, covey__text_hash(text, size), text,
                                       size);
}

/* The longest token that `text` begins with, on whole characters: its bytes, or 0. */
static size_t longest(const covey__tokenizer *t, const char *text, size_t size, int32_t *id) {
    size_t end = size < t->text_size_max ? size : t->text_size_max;
    for (; end > 0; end--) {
        bool whole = end == size || ((uint8_t)text[end] & 0xC0) != 0x80;
        *id = whole ? find(t, text, end) : -1;
        if (*id >= 0) {
            return end;
        }
    }
    return 0;
}

static void emit_unknown(word_piece *w) {
    if (w->tokenizer->specials_of.unknown >= 0) {
        covey__token_put(w->sink, w->tokenizer->specials_of.unknown);
    }
}

/* Emits the word that has been gathered, and begins the next. */
static void end_word(word_piece *w) {
    size_t size = w->size, before = w->sink->count;
    bool known = w->characters <= WORD_CHARACTERS_MAX;
    bool any = w->characters > 0;
    w->characters = 0;
    w->size = COVEY__SPACE_MARK_SIZE;
    if (!any) {
        return;
    }
    for (size_t at = 0; known && at < size;) {
        int32_t id;
        size_t piece = longest(w->tokenizer, w->word + at, size - at, &id);
        known = piece > 0;
        if (known) {
            covey__token_put(w->sink, id);
        }
        at += piece;
    }
    if (!known) {
        w->sink->count = before;
        emit_unknown(w);
    }
}

static void add_code(word_piece *w, uint32_t code) {
    if (w->characters++ < WORD_CHARACTERS_MAX) {
        w->size += covey__utf8_encode(code, w->word + w->size);
    }
}

/* Ranges of CJK ideographs, those of Hugging Face's is_chinese_char. */
static bool is_chinese(uint32_t code) {
    static const uint32_t ranges[][2] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF},
                                         {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF},
                                         {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
    for (size_t i = 0; code >= 0x3400 && i < sizeof ranges / sizeof *ranges; i++) {
        if (code >= ranges[i][0] && code <= ranges[i][1]) {
            return true;
        }
    }
    return false;
}

static bool is_alone(uint32_t code) {
    uint8_t class = covey__unicode_look_up(code);
    return class == COVEY__CLASS_PUNCTUATION || (class == COVEY__CLASS_SYMBOL && code < 0x80);
}

static int action_of(uint32_t code) {
    uint8_t class = covey__unicode_look_up(code);
    if (code == '\t' || code == '\n' || code == '\r') {
        return ACTION_SPACE;
    }
    if (code < 0x20 || code == 0x7F || code == 0x85 || code == 0xFFFD ||
        class == COVEY__CLASS_CONTROL) {
        return ACTION_SKIP;
    }
    if (class == COVEY__CLASS_SPACE) {
        return ACTION_SPACE;
    }
    return is_chinese(code) ? ACTION_ALONE : ACTION_INSIDE;
}

/* A character of a word after its decomposition. */
static void add_bare(word_piece *w, uint32_t code) {
    code = w->tokenizer->lower_case ? covey__unicode_lower(code) : code;
    if (is_alone(code)) {
        end_word(w);
        add_code(w, code);
        end_word(w);
    } else {
        add_code(w, code);
    }
}

static void add_character(word_piece *w, uint32_t code) {
    int action = action_of(code);
    uint32_t bare[3] = {code, 0, 0};
    if (action == ACTION_SPACE || action == ACTION_ALONE) {
        end_word(w);
    }
    if (action == ACTION_SPACE || action == ACTION_SKIP) {
        return;
    }
    size_t count = w->tokenizer->strip_accents ? covey__unicode_bare(code, bare) : 1;
    for (size_t i = 0; i < count; i++) {
        add_bare(w, bare[i]);
    }
    if (action == ACTION_ALONE) {
        end_word(w);
    }
}

void covey__word_piece_encode(const covey__tokenizer *tokenizer, const char *text, size_t size,
                              covey__token_sink *sink) {
    word_piece w = {.tokenizer = tokenizer, .sink = sink, .size = COVEY__SPACE_MARK_SIZE};
    memcpy(w.word, COVEY__SPACE_MARK, COVEY__SPACE_MARK_SIZE);
    for (size_t at = 0; at < size;) {
        uint8_t byte = (uint8_t)text[at];
        if ((byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9')) {
            add_code(&w, byte);
            at++;
            continue;
        }
        covey__utf8_char c = covey__utf8_decode(text + at, size - at);
        add_character(&w, c.code);
        at += c.size;
    }
    end_word(&w);
}
