/* Two small vocabularies for tests and fuzz targets: byte-level BPE with all bytes, some merges and
 * special tokens, and SentencePiece with all bytes as tokens of their own. */
#ifndef COVEY_TEST_SMALL_VOCABULARY_H
#define COVEY_TEST_SMALL_VOCABULARY_H

#include "text/pretokenizer.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>

enum { SMALL_TOKENS_MAX = 512, SMALL_POOL_MAX = 16384 };

typedef struct small_vocabulary {
    covey__vocabulary of;
    covey__text tokens[SMALL_TOKENS_MAX];
    int32_t types[SMALL_TOKENS_MAX];
    float scores[SMALL_TOKENS_MAX];
    covey__text merges[SMALL_TOKENS_MAX];
    char pool[SMALL_POOL_MAX];
    size_t pool_size;
} small_vocabulary;

static inline covey__text small_keep(small_vocabulary *v, const char *text, size_t size) {
    char *kept = v->pool + v->pool_size;
    memcpy(kept, text, size);
    v->pool_size += size;
    return (covey__text){kept, size};
}

static inline int32_t small_add(small_vocabulary *v, const char *text, size_t size, int32_t type,
                                float score) {
    size_t id = v->of.token_count++;
    v->tokens[id] = small_keep(v, text, size);
    v->types[id] = type;
    v->scores[id] = score;
    return (int32_t)id;
}

static inline int32_t small_add_text(small_vocabulary *v, const char *text, int32_t type,
                                     float score) {
    return small_add(v, text, strlen(text), type, score);
}

/* "left right", and the token that it makes. */
static inline void small_add_merge(small_vocabulary *v, const char *merge) {
    char joined[64];
    size_t size = 0;
    v->merges[v->of.merge_count++] = small_keep(v, merge, strlen(merge));
    for (const char *c = merge; *c; c++) {
        if (*c != ' ') {
            joined[size++] = *c;
        }
    }
    small_add(v, joined, size, COVEY__TOKEN_NORMAL, 0);
}

static inline void small_begin(small_vocabulary *v, const char *model, const char *pre) {
    memset(v, 0, sizeof *v);
    v->of = COVEY__VOCABULARY_INIT;
    v->of.model = (covey__text){model, strlen(model)};
    v->of.pretokenizer = (covey__text){pre, strlen(pre)};
    v->of.tokens = v->tokens;
    v->of.types = v->types;
    v->of.scores = v->scores;
    v->of.merges = v->merges;
}

/* Ids 0 to 255 are the bytes. */
static inline void small_bpe(small_vocabulary *v, const char *pre) {
    static const char *const merges[] = {"h e",
                                         "l l",
                                         "he ll",
                                         "hell o",
                                         "\xC4\xA0 w",
                                         "o r",
                                         "\xC4\xA0w or",
                                         "l d",
                                         "\xC4\xA0wor ld",
                                         "a a",
                                         "aa aa",
                                         "aaaa aaaa",
                                         "\xC4\xA0 \xC4\xA0",
                                         "i n",
                                         "in g",
                                         "' s",
                                         "\xC4\x8A \xC4\x8A",
                                         "1 2",
                                         "12 3",
                                         "\xC3\x83 \xC2\xA9"};
    small_begin(v, "gpt2", pre);
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        small_add(v, text, covey__utf8_encode(covey__byte_to_code((uint8_t)byte), text),
                  COVEY__TOKEN_NORMAL, 0);
    }
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++) {
        small_add_merge(v, merges[i]);
    }
    v->of.bos = small_add_text(v, "<|begin|>", COVEY__TOKEN_CONTROL, 0);
    v->of.eos = small_add_text(v, "<|end|>", COVEY__TOKEN_CONTROL, 0);
    small_add_text(v, "<|end|>x", COVEY__TOKEN_CONTROL, 0);
    small_add_text(v, "<tool>", COVEY__TOKEN_USER_DEFINED, 0);
    small_add_text(v, "[PAD0]", COVEY__TOKEN_UNUSED, 0);
}

/* Ids 3 to 258 are the bytes. */
static inline void small_spm(small_vocabulary *v) {
    static const struct {
        const char *text;
        float score;
    } pieces[] = {{"\xE2\x96\x81", -1},
                  {"h", -30},
                  {"e", -31},
                  {"l", -32},
                  {"o", -33},
                  {"w", -34},
                  {"r", -35},
                  {"d", -36},
                  {"a", -37},
                  {"he", -2},
                  {"ll", -3},
                  {"hell", -4},
                  {"hello", -5},
                  {"\xE2\x96\x81hello", -6},
                  {"\xE2\x96\x81w", -7},
                  {"or", -8},
                  {"\xE2\x96\x81wor", -9},
                  {"ld", -10},
                  {"\xE2\x96\x81world", -11},
                  {"aa", -12},
                  {"aaaa", -13},
                  {"\xE2\x96\x81\xE2\x96\x81", -14},
                  {"\xC3\xA9", -38},
                  {"lo", -3.5f}};
    small_begin(v, "llama", "");
    v->of.add_space_prefix = true;
    v->of.unknown = small_add_text(v, "<unk>", COVEY__TOKEN_UNKNOWN, 0);
    v->of.bos = small_add_text(v, "<s>", COVEY__TOKEN_CONTROL, 0);
    v->of.eos = small_add_text(v, "</s>", COVEY__TOKEN_CONTROL, 0);
    for (int byte = 0; byte < 256; byte++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)byte);
        small_add_text(v, name, COVEY__TOKEN_BYTE, 0);
    }
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        small_add_text(v, pieces[i].text, COVEY__TOKEN_NORMAL, pieces[i].score);
    }
    small_add_text(v, "<tool>", COVEY__TOKEN_USER_DEFINED, 0);
}

#endif
