/* What a tokenizer is made of, for the files that build it, encode with it and read from it. After
 * covey__tokenizer_new nothing changes but `whole`, a cache whose every writer writes the same. */
#ifndef COVEY_TEXT_TOKENIZER_STATE_H
#define COVEY_TEXT_TOKENIZER_STATE_H

#include "text/pretokenizer.h"
#include "text/token_table.h"
#include "text/tokenizer.h"
#include <stdatomic.h>

#define COVEY__SPACE_MARK      "\xE2\x96\x81" /* U+2581: SentencePiece's stand-in for a space */
#define COVEY__SPACE_MARK_SIZE 3u

/* Whether merging a token's text from its smallest symbols leads to that token. */
enum { COVEY__WHOLE_UNKNOWN = 0, COVEY__WHOLE_YES = 1, COVEY__WHOLE_NO = 2 };

/* A token that is found in text before words are cut. Sorted by text, then by id. */
typedef struct covey__special {
    const char *data;
    uint32_t size;
    uint32_t id;
} covey__special;

struct covey__tokenizer {
    const covey__env *env;
    bool sentencepiece;
    bool wordpiece;
    covey__pretokenizer pretokenizer;
    bool whole_words_first;   /* a word that is a token is not merged (Llama 3) */
    bool spaces_begin_pieces; /* SentencePiece: no token has a space after anything else */
    bool add_space_prefix;
    bool special_strip_right;
    bool lower_case, strip_accents; /* WordPiece */
    covey__tokenizer_specials specials_of;
    covey__token_texts texts; /* byte-level BPE: decoded to bytes; SentencePiece: as given */
    uint8_t *types;
    bool *ends_turn;
    _Atomic uint8_t *whole;
    uint32_t *ranks;           /* SentencePiece: scores as numbers, the best is lowest */
    uint32_t text_size_max;    /* of tokens that plain text can become */
    covey__text_table by_text; /* those tokens */
    covey__merge_table merges; /* byte-level BPE */
    int32_t byte_ids[256];     /* -1: the vocabulary lacks it */
    covey__special *specials;
    size_t special_count;
    bool special_begins[256]; /* some special begins with this byte */
    size_t bytes;
};

/* Where ids go: the first `capacity` are kept, all are counted. */
typedef struct covey__token_sink {
    int32_t *tokens;
    size_t capacity, count;
} covey__token_sink;

static inline void covey__token_put(covey__token_sink *sink, int32_t id) {
    if (sink->count < sink->capacity) {
        sink->tokens[sink->count] = id;
    }
    sink->count++;
}

/* What lies between two special tokens, by WordPiece (tokenizer_wordpiece.c). */
void covey__word_piece_encode(const covey__tokenizer *tokenizer, const char *text, size_t size,
                              covey__token_sink *sink);

/* The merging of one word, in memory that is used again for the next. */
typedef struct covey__merger {
    const covey__env *env;
    const covey__tokenizer *tokenizer;
    const char *word;
    uint32_t capacity;       /* symbols that the arrays have room for */
    uint32_t count;          /* symbols now */
    uint32_t *start;         /* byte of the word that a symbol begins at; [count] is its end */
    int32_t *id;             /* -1: no token has the symbol's text */
    uint32_t *rank, *merged; /* of the pair of a symbol and the next; rank UINT32_MAX: none */
    uint32_t *previous, *next;
    uint64_t *heap; /* rank above symbol; twice the capacity */
    size_t heap_count;
} covey__merger;

/* Cuts `word` into symbols and merges them until no pair merges: `count`, `start` and `id` are the
 * result. */
covey_status covey__merger_run(covey__merger *merger, const char *word, size_t size,
                               covey_error *error) COVEY_MUST_USE;
/* Room for words of up to `size` bytes. */
covey_status covey__merger_reserve(covey__merger *merger, size_t size,
                                   covey_error *error) COVEY_MUST_USE;
void covey__merger_free(covey__merger *merger);

#endif
