/* Tokenizers: text to token ids and back, for byte-level BPE ("gpt2" in GGUF), SentencePiece
 * ("llama") and WordPiece ("bert"). A tokenizer is immutable and shared: every function but new and
 * free may be called from several threads at once. It is built from plain arrays, so this layer
 * knows nothing of files. */
#ifndef COVEY_TEXT_TOKENIZER_H
#define COVEY_TEXT_TOKENIZER_H

#include "base/env.h"
#include "text/utf8.h"

typedef struct covey__tokenizer covey__tokenizer;

/* Types of tokens, with GGUF's numbers (tokenizer.ggml.token_type). */
typedef enum covey__token_type {
    COVEY__TOKEN_NORMAL = 1,
    COVEY__TOKEN_UNKNOWN = 2,
    COVEY__TOKEN_CONTROL = 3,      /* text becomes it only where special tokens are parsed */
    COVEY__TOKEN_USER_DEFINED = 4, /* found in any text before all else */
    COVEY__TOKEN_UNUSED = 5,
    COVEY__TOKEN_BYTE = 6 /* "<0x0A>" of SentencePiece */
} covey__token_type;

/* A vocabulary as its file gives it. Everything here is borrowed for the call of
 * covey__tokenizer_new only: the tokenizer keeps its own copy, in a compact form. */
typedef struct covey__vocabulary {
    covey__text model;         /* tokenizer.ggml.model: "gpt2", "llama" or "bert" */
    covey__text pretokenizer;  /* tokenizer.ggml.pre; empty: GPT-2's */
    const covey__text *tokens; /* tokenizer.ggml.tokens */
    size_t token_count;
    const float *scores;       /* token_count of them; NULL: all 0 */
    const int32_t *types;      /* token_count of them; NULL: all normal */
    const covey__text *merges; /* tokenizer.ggml.merges: "left right", best first */
    size_t merge_count;
    int32_t bos, eos, eot, eom, unknown, padding, cls, separator; /* -1: none */
    bool add_space_prefix; /* SentencePiece: a space before the text; GGUF's default is true */
    bool add_bos, add_eos, add_separator;
    bool special_strip_right; /* specials but "<s>", "<unk>" and "<|endoftext|>" swallow the white
                                 space behind them (Phi-3) */
    bool lower_case, strip_accents; /* WordPiece; true unless the file says otherwise */
} covey__vocabulary;
#define COVEY__VOCABULARY_INIT                                                                     \
    ((covey__vocabulary){.bos = -1,                                                                \
                         .eos = -1,                                                                \
                         .eot = -1,                                                                \
                         .eom = -1,                                                                \
                         .unknown = -1,                                                            \
                         .padding = -1,                                                            \
                         .cls = -1,                                                                \
                         .separator = -1,                                                          \
                         .lower_case = true,                                                       \
                         .strip_accents = true})

/* UNSUPPORTED names the model or pre-tokenizer that is not here; FORMAT the entry that is wrong. */
covey_status covey__tokenizer_new(const covey__env *env, const covey__vocabulary *vocabulary,
                                  covey__tokenizer **tokenizer, covey_error *error) COVEY_MUST_USE;
void covey__tokenizer_free(covey__tokenizer *tokenizer);

typedef struct covey__tokenizer_specials {
    int32_t token_count;
    int32_t bos, eos, eot, eom, unknown, padding, cls, separator; /* -1: none */
    bool add_bos, add_eos, add_separator; /* what the vocabulary wants around a text */
} covey__tokenizer_specials;
covey__tokenizer_specials covey__tokenizer_specials_of(const covey__tokenizer *tokenizer);

/* The tokens that belong before and behind a text, which encoding does not add: BOS or [CLS], EOS
 * or [SEP]; -1 for none. */
void covey__tokenizer_around(const covey__tokenizer *tokenizer, int32_t *begin, int32_t *end);

/* Text to ids. Writes at most `capacity` ids and the full count to `*count`; LIMIT with both
 * numbers when they do not fit. Adds no BOS. With `parse_special` the text of control tokens
 * becomes those tokens. Never fails on what the text holds; text may be any bytes. Scratch memory
 * comes from the tokenizer's environment. */
covey_status covey__tokenizer_encode(const covey__tokenizer *tokenizer, const char *text,
                                     size_t size, bool parse_special, int32_t *tokens,
                                     size_t capacity, size_t *count,
                                     covey_error *error) COVEY_MUST_USE;

/* Scratch memory that is enough to encode texts of up to `size` bytes, for loops that allocate
 * nothing. For one thread at a time; any tokenizer's, and it may outlive them. */
typedef struct covey__tokenizer_scratch covey__tokenizer_scratch;
covey_status covey__tokenizer_scratch_new(const covey__env *env, size_t size,
                                          covey__tokenizer_scratch **scratch,
                                          covey_error *error) COVEY_MUST_USE;
void covey__tokenizer_scratch_free(covey__tokenizer_scratch *scratch);
/* covey__tokenizer_encode without special tokens, in such scratch. */
covey_status covey__tokenizer_encode_within(covey__tokenizer_scratch *scratch,
                                            const covey__tokenizer *tokenizer, const char *text,
                                            size_t size, int32_t *tokens, size_t capacity,
                                            size_t *count, covey_error *error) COVEY_MUST_USE;

/* As above for text of which some stretches are trusted: a control token is found only where all
 * of its text is. Words and merges run across the seams, so the ids are those of the joined text.
 * Spans are in order; each reaches from the end of the one before to `end`, the last to `size`. */
typedef struct covey__text_span {
    size_t end;
    bool trusted;
} covey__text_span;
covey_status covey__tokenizer_encode_spans(const covey__tokenizer *tokenizer, const char *text,
                                           size_t size, const covey__text_span *spans,
                                           size_t span_count, int32_t *tokens, size_t capacity,
                                           size_t *count, covey_error *error) COVEY_MUST_USE;

/* The bytes of one token: not always whole characters. Nothing for control and unknown tokens
 * unless `special`. Writes at most `capacity` bytes, no NUL, and returns the full length; 0 for an
 * id out of range. */
size_t covey__tokenizer_bytes_of(const covey__tokenizer *tokenizer, int32_t token, bool special,
                                 char *bytes, size_t capacity);

/* The id of a token by the text that its bytes make (for control tokens their name, such as
 * "<|eot_id|>"), or -1. */
int32_t covey__tokenizer_find(const covey__tokenizer *tokenizer, const char *text, size_t size);

/* The type; COVEY__TOKEN_UNUSED for an id out of range. */
covey__token_type covey__tokenizer_type_of(const covey__tokenizer *tokenizer, int32_t token);

/* Whether it ends a turn: EOS, EOT, EOM, and control tokens with the names that end turns in known
 * vocabularies ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", …). */
bool covey__tokenizer_is_end(const covey__tokenizer *tokenizer, int32_t token);

#endif
