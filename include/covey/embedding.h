/* Embeddings: one vector for a text, from an encoder (BERT) or from a model that also generates.
 * The bits are a function of the model, the pooling and the tokens alone (docs/arithmetic.md,
 * "Embeddings"). */
#ifndef COVEY_EMBEDDING_H
#define COVEY_EMBEDDING_H

#include <covey/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct covey_embedding_options {
    size_t size;
    covey_pooling pooling; /* COVEY_POOLING_MODEL: as the file says, the mean where it does not */
    bool raw;              /* leaves the vector's length as it is; else it becomes 1 */
} covey_embedding_options;
#define COVEY_EMBEDDING_OPTIONS_INIT                                                               \
    { sizeof(covey_embedding_options), COVEY_POOLING_MODEL, false }

/* One text, as tokens: at least one, and at most the model's context_tokens_max. Borrowed for the
 * call. Frozen: it stands in arrays. */
typedef struct covey_embedding_input {
    const covey_token *tokens;
    size_t token_count;
} covey_embedding_input;

/* Text to tokens as for an embedding: what the vocabulary wants before and behind a text ([CLS] and
 * [SEP], BOS, EOS) is there. Control tokens inside the text stay text. Capacity and count are as in
 * covey_model_tokenize. */
COVEY_API COVEY_MUST_USE covey_status covey_embedding_tokenize(const covey_model *model,
                                                               const char *text, size_t text_size,
                                                               covey_token *tokens, size_t capacity,
                                                               size_t *token_count,
                                                               covey_error *error);

/* The vectors of `input_count` texts, one after the other, embedding_width floats each, into
 * `vectors`. `options` may be NULL. Any thread; needs no session, and moves none. Memory is taken
 * for the call. COVEY_ERROR_CONTEXT_SIZE, with both lengths and the text's index, for a text that
 * is too long; COVEY_ERROR_NUMERIC when numbers overflow in the model. On failure nothing in
 * `vectors` is to be used. */
COVEY_API COVEY_MUST_USE covey_status covey_model_embed(covey_model *model,
                                                        const covey_embedding_options *options,
                                                        const covey_embedding_input *inputs,
                                                        size_t input_count, float *vectors,
                                                        covey_error *error);

#ifdef __cplusplus
}
#endif
#endif
