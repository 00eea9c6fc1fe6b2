/* Pre-tokenizers of byte-level BPE: how text is cut into words, within which alone pairs merge.
 * Written out by hand from the regular expressions that the vocabularies' makers published; a
 * vocabulary names its own in tokenizer.ggml.pre. */
#ifndef COVEY_TEXT_PRETOKENIZER_H
#define COVEY_TEXT_PRETOKENIZER_H

#include "text/utf8.h"
#include <covey/base.h>

typedef enum covey__pretokenizer {
    COVEY__PRETOKENIZER_GPT2 = 0,
    COVEY__PRETOKENIZER_LLAMA3 = 1,
    COVEY__PRETOKENIZER_QWEN2 = 2,
    COVEY__PRETOKENIZER_QWEN35,
    COVEY__PRETOKENIZER_STARCODER, /* also Command-R's and SmolLM's */
    COVEY__PRETOKENIZER_FALCON,
    COVEY__PRETOKENIZER_DEEPSEEK_LLM,
    COVEY__PRETOKENIZER_DEEPSEEK_CODER,
    COVEY__PRETOKENIZER_DEEPSEEK3,
    COVEY__PRETOKENIZER_GPT4O,
    COVEY__PRETOKENIZER_TEKKEN
} covey__pretokenizer;

/* What a name in tokenizer.ggml.pre means beside the pattern. */
typedef struct covey__pretokenizer_traits {
    covey__pretokenizer kind;
    bool whole_words_first; /* a word that is a token is not merged */
    bool adds_bos;          /* texts begin with BOS where the file does not say */
} covey__pretokenizer_traits;

/* An empty name is GPT-2's. UNSUPPORTED names the pre-tokenizer that is not here. */
covey_status covey__pretokenizer_find(const char *name, size_t name_size,
                                      covey__pretokenizer_traits *traits,
                                      covey_error *error) COVEY_MUST_USE;

/* Where the word that begins at `text` ends: 1 to `size` bytes. `size` is at least 1; the text ends
 * there, which the patterns can see, so hand over all that is left. */
size_t covey__pretokenizer_next(covey__pretokenizer pretokenizer, const char *text, size_t size);

/* GPT-2's printable stand-in for a byte: a code point of 33 to 323. */
uint32_t covey__byte_to_code(uint8_t byte);
/* The byte that a code point stands for, or -1. */
int covey__code_to_byte(uint32_t code);

#endif
