/* The vocabulary of a model that is trained: learned from a corpus by byte-level BPE, or taken from
 * a GGUF. Either way it gives a tokenizer and the four control tokens of the corpus's turns. */
#ifndef COVEY_TRAIN_TRAIN_VOCABULARY_H
#define COVEY_TRAIN_TRAIN_VOCABULARY_H

#include "base/arena.h"
#include "gguf/gguf.h"
#include "text/tokenizer.h"

typedef struct covey__train_vocabulary {
    covey__arena arena;
    const covey__gguf *source; /* where it was read from, borrowed; NULL when learned */
    covey__text *tokens;
    int32_t *types;
    size_t token_count;
    covey__text *merges;
    size_t merge_count;
    covey__tokenizer *tokenizer;
    int32_t pad, user, assistant, end; /* ids; pad may be -1 */
} covey__train_vocabulary;

/* Counts of the words that pairs are merged in. */
typedef struct covey__word_counts covey__word_counts;
covey_status covey__word_counts_new(const covey__env *env, covey__word_counts **counts,
                                    covey_error *error) COVEY_MUST_USE;
void covey__word_counts_free(covey__word_counts *counts);
covey_status covey__word_counts_add(covey__word_counts *counts, const char *text, size_t size,
                                    covey_error *error) COVEY_MUST_USE;

/* `each` is called now and then with the merges done; anything but COVEY_OK stops. */
typedef covey_status (*covey__vocabulary_fn)(void *user, size_t done, size_t total);
covey_status covey__train_vocabulary_learn(const covey__env *env, const covey__word_counts *counts,
                                           int32_t size, covey__train_vocabulary *vocabulary,
                                           covey_error *error, covey__vocabulary_fn each,
                                           void *user) COVEY_MUST_USE;
covey_status covey__train_vocabulary_load(const covey__env *env, const covey__gguf *source,
                                          covey__train_vocabulary *vocabulary,
                                          covey_error *error) COVEY_MUST_USE;
/* Tokenizer and control tokens of arrays that were just learned. */
covey_status covey__train_vocabulary_finish(const covey__env *env,
                                            covey__train_vocabulary *vocabulary,
                                            covey_error *error) COVEY_MUST_USE;
void covey__train_vocabulary_free(covey__train_vocabulary *vocabulary);

/* Puts tokenizer.* into a file, with the chat template. */
covey_status covey__train_vocabulary_put(const covey__train_vocabulary *vocabulary,
                                         covey__gguf_writer *writer,
                                         covey_error *error) COVEY_MUST_USE;

#endif
