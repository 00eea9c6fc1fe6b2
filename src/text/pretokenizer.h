/* Pre-tokenizers of byte-level BPE: how text is cut into words, within which alone pairs merge.
 * Written out by hand from the regular expressions that the vocabularies' makers published; a
 * vocabulary names its own in tokenizer.ggml.pre. */
#ifndef COVEY_TEXT_PRETOKENIZER_H
#define COVEY_TEXT_PRETOKENIZER_H

#include "text/utf8.h"
#include <covey/base.h>

typedef enum covey__pretokenizer {
    COVEY__PRETOKENIZER_GPT2 = 0,   /* "gpt-2", "gpt2", "default" */
    COVEY__PRETOKENIZER_LLAMA3 = 1, /* "llama-bpe", "llama3", "llama-v3" */
    COVEY__PRETOKENIZER_QWEN2 = 2   /* "qwen2" */
} covey__pretokenizer;

/* An empty name is GPT-2's. UNSUPPORTED names the pre-tokenizer that is not here. */
covey_status covey__pretokenizer_find(const char *name, size_t name_size,
                                      covey__pretokenizer *pretokenizer,
                                      covey_error *error) COVEY_MUST_USE;

/* Whether vocabularies with this pre-tokenizer begin a text with BOS where their file does not say.
 */
bool covey__pretokenizer_adds_bos(const char *name, size_t name_size);

/* Where the word that begins at `text` ends: 1 to `size` bytes. `size` is at least 1; the text ends
 * there, which the patterns can see, so hand over all that is left. */
size_t covey__pretokenizer_next(covey__pretokenizer pretokenizer, const char *text, size_t size);

/* GPT-2's printable stand-in for a byte: a code point of 33 to 323. */
uint32_t covey__byte_to_code(uint8_t byte);
/* The byte that a code point stands for, or -1. */
int covey__code_to_byte(uint32_t code);

#endif
