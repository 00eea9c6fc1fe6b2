/* Sessions: one conversation's KV state on one model. A session has one owner at a time; different
 * sessions may be used from different threads at once. covey_session_cancel alone may be called
 * from anywhere.
 *
 * The logits of a session are a function of the model, the session's options that are marked
 * "declared" and the tokens alone: not of threads, of how the prompt was split, or of other
 * sessions (docs/arithmetic.md). */
#ifndef COVEY_SESSION_H
#define COVEY_SESSION_H

#include <covey/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct covey_session covey_session;

typedef struct covey_session_options {
    size_t size;
    int32_t context_tokens; /* room for prompt and answer; 0: the model's own, at most 4,096 */
    int32_t batch_tokens;   /* prompt tokens computed in one pass; 0: 512. Moves speed and memory,
                               never a bit */
} covey_session_options;
#define COVEY_SESSION_OPTIONS_INIT                                                                 \
    { sizeof(covey_session_options), 0, 0 }

/* Bytes that a session with these options will hold at most: KV state and scratch. */
COVEY_API COVEY_MUST_USE covey_status covey_session_plan(const covey_model *model,
                                                         const covey_session_options *options,
                                                         uint64_t *bytes, covey_error *error);

/* Opens a session; `options` may be NULL. All it will need is reserved here: later steps allocate
 * nothing. */
COVEY_API COVEY_MUST_USE covey_status covey_session_open(covey_model *model,
                                                         const covey_session_options *options,
                                                         covey_session **session,
                                                         covey_error *error);
/* Closes it, in its owner's thread. NULL is allowed. */
COVEY_API void covey_session_close(covey_session *session);

/* Appends tokens and computes their KV state and the logits after the last.
 * COVEY_ERROR_CONTEXT_SIZE, with both lengths, when they do not fit: then nothing was appended.
 * After COVEY_ERROR_CANCELLED the session is as before. */
COVEY_API COVEY_MUST_USE covey_status covey_session_append(covey_session *session,
                                                           const covey_token *tokens,
                                                           size_t token_count, covey_error *error);

/* As covey_session_append, calling `each` with the logits after every token: for perplexity.
 * `logits` holds vocabulary_size floats, valid for the call. Anything but COVEY_OK from `each`
 * stops. */
typedef covey_status (*covey_logits_fn)(void *user, size_t token_index, const float *logits,
                                        size_t logit_count);
COVEY_API COVEY_MUST_USE covey_status covey_session_append_each(covey_session *session,
                                                                const covey_token *tokens,
                                                                size_t token_count,
                                                                covey_error *error,
                                                                covey_logits_fn each, void *user);

/* One token for each of several sessions of one model, in one pass over the weights: `tokens[i]`
 * goes to `sessions[i]`, which must differ from each other. At most 64, else COVEY_ERROR_LIMIT. All
 * or none are appended. */
COVEY_API COVEY_MUST_USE covey_status covey_session_append_many(covey_session *const *sessions,
                                                                const covey_token *tokens,
                                                                size_t session_count,
                                                                covey_error *error);

/* Logits after the last token: vocabulary_size floats, borrowed until the next call on the session;
 * NULL while empty. */
COVEY_API const float *covey_session_logits(const covey_session *session, size_t *logit_count);

/* Tokens held now. */
COVEY_API size_t covey_session_token_count(const covey_session *session);

/* Forgets all tokens after the first `token_count`. The logits are those after the last kept token
 * only once something is appended again. */
COVEY_API COVEY_MUST_USE covey_status covey_session_truncate(covey_session *session,
                                                             size_t token_count,
                                                             covey_error *error);

/* Stops the append or generation that runs on the session, or the next one, at the next token. Any
 * thread. */
COVEY_API void covey_session_cancel(covey_session *session);

/* How the next token is drawn. Order: repetition penalty, top-k, temperature, top-p, min-p, then a
 * draw by a counter-based generator keyed by (seed, position). Temperature 0 takes the largest
 * logit, the lowest id in a tie. */
typedef struct covey_sampling {
    size_t size;
    float temperature;        /* 0: greedy */
    int32_t top_k;            /* 0: off */
    float top_p;              /* 1: off */
    float min_p;              /* 0: off */
    float repetition_penalty; /* 1: off; > 1 makes what was said lately less likely */
    int32_t repetition_last;  /* tokens looked back on */
    uint64_t seed;
} covey_sampling;
#define COVEY_SAMPLING_INIT                                                                        \
    { sizeof(covey_sampling), 0.0f, 0, 1.0f, 0.0f, 1.0f, 64, 0 }

/* Draws from the logits after the last token; appends nothing. */
COVEY_API COVEY_MUST_USE covey_status covey_session_sample(covey_session *session,
                                                           const covey_sampling *sampling,
                                                           covey_token *token, covey_error *error);

typedef enum covey_stop_reason {
    COVEY_STOP_END = 0,      /* the model ended its turn */
    COVEY_STOP_LENGTH = 1,   /* tokens_max was reached */
    COVEY_STOP_CONTEXT = 2,  /* the context is full */
    COVEY_STOP_STRING = 3,   /* a stop string appeared */
    COVEY_STOP_CANCELLED = 4 /* covey_session_cancel, or the callback said so */
} covey_stop_reason;

typedef struct covey_generation_options {
    size_t size;
    covey_sampling sampling;
    int32_t tokens_max;      /* 0: as the context allows */
    const char *const *stop; /* strings that end the answer and are not part of it: at most 32, of
                                at most 1,024 bytes each */
    size_t stop_count;
} covey_generation_options;
#define COVEY_GENERATION_OPTIONS_INIT                                                              \
    { sizeof(covey_generation_options), COVEY_SAMPLING_INIT, 0, NULL, 0 }

typedef struct covey_generation_result {
    size_t size;
    covey_stop_reason stop_reason;
    int32_t token_count;    /* generated, the ending token included */
    int64_t first_token_us; /* from the call to the first token drawn */
    int64_t decode_us;      /* from the first token drawn to the last */
} covey_generation_result;
#define COVEY_GENERATION_RESULT_INIT                                                               \
    { sizeof(covey_generation_result), COVEY_STOP_END, 0, 0, 0 }

/* Receives text as it forms: whole UTF-8 characters, not NUL-terminated, valid for the call. Return
 * false to stop. */
typedef bool (*covey_text_fn)(void *user, const char *text, size_t text_size);

/* Draws and appends tokens until something stops it. Needs at least one token in the session, and
 * leaves in it every token drawn but the one that ended the answer. `options`, `result` and `text`
 * may be NULL. */
COVEY_API COVEY_MUST_USE covey_status covey_session_generate(
    covey_session *session, const covey_generation_options *options,
    covey_generation_result *result, covey_error *error, covey_text_fn text, void *user);

#ifdef __cplusplus
}
#endif
#endif
