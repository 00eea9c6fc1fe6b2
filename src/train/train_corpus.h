/* The corpus in memory: every turn as tokens, and the order in which an epoch takes them. Files are
 * mapped and parsed line by line, so that memory holds the tokens alone. */
#ifndef COVEY_TRAIN_TRAIN_CORPUS_H
#define COVEY_TRAIN_TRAIN_CORPUS_H

#include "train/train_vocabulary.h"

typedef struct covey__train_turn {
    size_t start;    /* of its tokens; the next turn's start ends it */
    uint32_t answer; /* tokens before the assistant's text: <|user|> … <|assistant|> */
} covey__train_turn;

typedef struct covey__train_corpus {
    const covey__env *env;
    int32_t *tokens;
    size_t token_count, token_capacity;
    covey__train_turn *turns; /* turn_count + 1 of them */
    size_t turn_count, turn_capacity;
    size_t longest; /* tokens of the longest turn */
} covey__train_corpus;

/* Each line's two texts. */
typedef covey_status (*covey__corpus_fn)(void *user, const char *said, size_t said_size,
                                         const char *answer, size_t answer_size,
                                         covey_error *error);
/* Bytes read of all; anything but COVEY_OK stops. May be NULL. */
typedef covey_status (*covey__corpus_progress_fn)(void *user, uint64_t done, uint64_t total);

/* Walks over files of JSON lines. Errors name file and line. */
covey_status covey__corpus_walk(const covey__env *env, const char *const *paths, size_t path_count,
                                covey_error *error, covey__corpus_fn each,
                                covey__corpus_progress_fn progress, void *user) COVEY_MUST_USE;

void covey__corpus_init(covey__train_corpus *corpus, const covey__env *env);
void covey__corpus_free(covey__train_corpus *corpus);
/* Appends one turn. */
covey_status covey__corpus_add(covey__train_corpus *corpus,
                               const covey__train_vocabulary *vocabulary, const char *said,
                               size_t said_size, const char *answer, size_t answer_size,
                               covey_error *error) COVEY_MUST_USE;
size_t covey__corpus_turn_size(const covey__train_corpus *corpus, size_t turn);
/* SHA-256 over turns and tokens: a checkpoint goes on with the same corpus only. */
void covey__corpus_digest(const covey__train_corpus *corpus, uint8_t digest[32]);

/* Where training stands in the corpus: all that decides what comes next. */
typedef struct covey__corpus_position {
    uint64_t epoch;
    uint64_t turn;     /* of this epoch's order, the next to take */
    uint64_t sequence; /* drawn so far, over all epochs */
} covey__corpus_position;

/* An epoch's order of turns, shuffled by seed and epoch. `order` holds turn_count entries. */
void covey__corpus_shuffle(const covey__train_corpus *corpus, uint64_t seed, uint64_t epoch,
                           uint32_t *order);

#endif
