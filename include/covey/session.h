/* Sessions: one conversation's KV state on one model. A session has one owner at a time; different
 * sessions may be used from different threads at once, and what they ask for at the same time is
 * computed together, in one pass over the weights. covey_session_cancel alone may be called from
 * anywhere.
 *
 * The logits of a session are a function of the model, the session's options that are marked
 * "declared" and the tokens alone: not of threads, of how the prompt was split, or of other
 * sessions (docs/arithmetic.md). Sessions in files: covey/session_file.h. */
#ifndef COVEY_SESSION_H
#define COVEY_SESSION_H

#include <covey/adapter.h>
#include <covey/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct covey_session covey_session;

/* How keys and values are kept (docs/arithmetic.md). Declared: it decides the logits' bits. */
typedef enum covey_kv_type {
    COVEY_KV_DEFAULT = 0, /* F16 */
    COVEY_KV_F32 = 1,
    COVEY_KV_F16 = 2,
    COVEY_KV_Q8_0 = 3 /* the model's head dimension must be a multiple of 32 */
} covey_kv_type;

/* What an append does that does not fit in the context any more. */
typedef enum covey_context_policy {
    COVEY_CONTEXT_ERROR = 0, /* COVEY_ERROR_CONTEXT_SIZE; nothing was appended */
    COVEY_CONTEXT_SLIDE = 1  /* whenever the context is full and a token comes, the session becomes
                                another one, of its first keep_tokens tokens and the later half of
                                the others, recomputed from their new positions. So it is, too, for
                                many tokens in one append, whatever pieces they come in */
} covey_context_policy;

typedef struct covey_session_options {
    size_t size;
    int32_t context_tokens; /* room for prompt and answer; 0: the model's own, at most 4,096.
                               Declared with LongRoPE (Phi-3.5): it selects the factors */
    int32_t batch_tokens;   /* prompt tokens computed in one pass; 0: 512. Moves speed and memory,
                               never a bit */
    covey_kv_type kv_type;  /* declared */
    covey_context_policy context_policy;
    int32_t keep_tokens; /* of COVEY_CONTEXT_SLIDE: the system prompt's length in tokens; less than
                            the context */
    bool alone;          /* takes no keys and values that another session computed, and leaves none
                            behind: for probes and measurements. Moves speed, never a bit */
    const covey_adapter_use *adapters; /* declared, in their order; borrowed for the call */
    size_t adapter_count;              /* at most COVEY_ADAPTERS_MAX */
} covey_session_options;
#define COVEY_SESSION_OPTIONS_INIT                                                                 \
    {                                                                                              \
        sizeof(covey_session_options), 0, 0, COVEY_KV_DEFAULT, COVEY_CONTEXT_ERROR, 0, false,      \
            NULL, 0                                                                                \
    }

/* Bytes that a session with these options will hold at most: KV state and scratch, shared prefixes
 * counted as its own. What the model keeps beyond its sessions is covey_model_source's
 * idle_kv_bytes_max. Any thread. */
COVEY_API COVEY_MUST_USE covey_status covey_session_plan(const covey_model *model,
                                                         const covey_session_options *options,
                                                         uint64_t *bytes, covey_error *error);

/* Opens a session; `options` may be NULL. All it will need is reserved here: later steps allocate
 * nothing. Any thread; the one that calls is the session's first owner. */
COVEY_API COVEY_MUST_USE covey_status covey_session_open(covey_model *model,
                                                         const covey_session_options *options,
                                                         covey_session **session,
                                                         covey_error *error);
/* Closes it, in its owner's thread. What it computed stays as an idle prefix for sessions to come,
 * within the model's budget. NULL is allowed. */
COVEY_API void covey_session_close(covey_session *session);

/* Opens another session with the same options, tokens and logits. Keys and values are shared, not
 * copied; a page that one of them writes to is copied then. In the owner's thread of `session`. */
COVEY_API COVEY_MUST_USE covey_status covey_session_fork(covey_session *session,
                                                         covey_session **forked,
                                                         covey_error *error);

/* Exchanges the session's adapters (`uses` is borrowed for the call, the adapters are held). Where
 * they differ from those that it has, it is empty then; what it held stays as an idle prefix of its
 * old adapters, and what others left with the new ones is taken over by the next append. Other
 * sessions' keys and values are not touched. On failure nothing changed. In its owner's thread. */
COVEY_API COVEY_MUST_USE covey_status covey_session_set_adapters(covey_session *session,
                                                                 const covey_adapter_use *uses,
                                                                 size_t use_count,
                                                                 covey_error *error);

/* Appends tokens and computes their KV state and the logits after the last. The longest beginning
 * of the session's tokens that this model has computed before, in any session of the same
 * configuration, is taken over instead of computed; never a bit moves.
 * COVEY_ERROR_CONTEXT_SIZE, with both lengths, when they do not fit: then nothing was appended.
 * After COVEY_ERROR_CANCELLED the session is as before, but for one that slid
 * (COVEY_CONTEXT_SLIDE): it stays the shorter one. COVEY_ERROR_NUMERIC names the layer whose
 * numbers overflow, or whose keys or values the session's KV type cannot hold. */
COVEY_API COVEY_MUST_USE covey_status covey_session_append(covey_session *session,
                                                           const covey_token *tokens,
                                                           size_t token_count, covey_error *error);

/* Of the last append: tokens whose keys and values were taken over from what was there. */
COVEY_API size_t covey_session_reused_count(const covey_session *session);

/* As covey_session_append, calling `each` with the logits after every token: for perplexity.
 * `logits` holds vocabulary_size floats, valid for the call. Anything but COVEY_OK from `each`
 * stops. Never slides. */
typedef covey_status (*covey_logits_fn)(void *user, size_t token_index, const float *logits,
                                        size_t logit_count);
COVEY_API COVEY_MUST_USE covey_status covey_session_append_each(covey_session *session,
                                                                const covey_token *tokens,
                                                                size_t token_count,
                                                                covey_error *error,
                                                                covey_logits_fn each, void *user);

/* Tokens for one session of several that go on together. Frozen: it stands in arrays. */
typedef struct covey_session_part {
    covey_session *session;
    const covey_token *tokens;
    size_t token_count;  /* 1 or more */
    covey_status status; /* out: what came of this part */
} covey_session_part;

/* Appends to several sessions of one model, which must differ from each other, in as few passes
 * over the weights as their tokens need: an answer's next tokens and pieces of prompts in one pass.
 * At most 64 parts, else COVEY_ERROR_LIMIT. Each part succeeds or fails by itself, as
 * covey_session_append does; the first failure is returned. What is wrong with the arguments
 * (COVEY_ERROR_INVALID_ARGUMENT, COVEY_ERROR_LIMIT, COVEY_ERROR_CONTEXT_SIZE) is found before
 * anything is computed, and then no part was appended. */
COVEY_API COVEY_MUST_USE covey_status covey_session_append_many(covey_session_part *parts,
                                                                size_t part_count,
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
    COVEY_STOP_CONTEXT = 2,  /* the context is full, and the session does not slide */
    COVEY_STOP_STRING = 3,   /* a stop string appeared */
    COVEY_STOP_CANCELLED = 4 /* covey_session_cancel, or the callback said so */
} covey_stop_reason;

/* One of the likeliest tokens at a place. Frozen: it stands in arrays. */
typedef struct covey_token_top {
    covey_token token;
    float logprob; /* natural logarithm of its probability */
} covey_token_top;
#define COVEY_TOP_MAX 20

/* A token of an answer as it was drawn. Probabilities are the model's own: of the whole vocabulary,
 * at temperature 1, before penalties, top-k and the like, and guides. */
typedef struct covey_token_score {
    size_t size;
    covey_token token;
    float logprob;
    float entropy;              /* of the distribution, in nats */
    bool forced;                /* a guide left no choice; then nothing but `token` is set */
    const covey_token_top *top; /* the likeliest first */
    size_t top_count;
} covey_token_score;
/* Receives each token of an answer when it is drawn, before its text is handed on, the ending token
 * included. Valid for the call. */
typedef void (*covey_token_fn)(void *user, const covey_token_score *score);

/* Guesses what follows `tokens` (the session's, with the one just drawn): writes at most
 * `draft_max` ids to `draft` and returns how many. Called between passes, in the generating thread.
 */
typedef size_t (*covey_draft_fn)(void *user, const covey_token *tokens, size_t token_count,
                                 covey_token *draft, size_t draft_max);

typedef struct covey_generation_options {
    size_t size;
    const covey_sampling *sampling; /* NULL: its INIT values, greedy */
    int32_t tokens_max;      /* 0: as the context allows; without end where the session slides */
    const char *const *stop; /* strings that end the answer and are not part of it: at most 32, of
                                at most 1,024 bytes each */
    size_t stop_count;
    const struct covey_guide *guide; /* what the answer must look like (covey/guide.h), from its
                                        first byte on; NULL: anything. Borrowed for the call */
    /* Drafts: guesses that one pass checks together. They move speed, never a token. */
    int32_t draft_tokens; /* of one draft, at most 16; 0: 4; -1: none */
    covey_draft_fn draft; /* NULL: what followed the same words earlier in the session */
    void *draft_user;
    /* Scores: how sure the model was. They cost a pass over the logits for each token. */
    bool score;                  /* fill the result's confidence; implied by token_scored */
    int32_t top_logprobs;        /* of each token, at most COVEY_TOP_MAX */
    covey_token_fn token_scored; /* NULL: none */
    void *token_user;
} covey_generation_options;
#define COVEY_GENERATION_OPTIONS_INIT                                                              \
    {                                                                                              \
        sizeof(covey_generation_options), NULL, 0, NULL, 0, NULL, 0, NULL, NULL, false, 0, NULL,   \
            NULL                                                                                   \
    }

typedef struct covey_generation_result {
    size_t size;
    covey_stop_reason stop_reason;
    int32_t token_count;    /* generated, the ending token included */
    int64_t first_token_us; /* from the call to the first token drawn */
    int64_t decode_us;      /* from the first token drawn to the last */
    int32_t forced_count;   /* of them, tokens that the guide left no choice about: no pass each */
    bool guide_complete;    /* the text is a whole answer under the guide; false without one */
    int32_t drafted_count;  /* tokens that were guessed, and ... */
    int32_t accepted_count; /* ... those of them that the model drew too */
    /* With `score`, over the tokens drawn (not the forced ones); else 0. */
    float confidence;   /* geometric mean of their probabilities, 0 to 1 */
    float mean_entropy; /* nats */
    float least_logprob;
} covey_generation_result;
#define COVEY_GENERATION_RESULT_INIT                                                               \
    { sizeof(covey_generation_result), COVEY_STOP_END, 0, 0, 0, 0, false, 0, 0, 0.0f, 0.0f, 0.0f }

/* Receives text as it forms: whole UTF-8 characters, not NUL-terminated, valid for the call. Return
 * false to stop. */
typedef bool (*covey_text_fn)(void *user, const char *text, size_t text_size);

/* Draws and appends tokens until something stops it. Needs at least one token in the session, and
 * leaves in it every token drawn but the one that ended the answer. `options`, `result` and `text`
 * may be NULL. */
COVEY_API COVEY_MUST_USE covey_status covey_session_generate(
    covey_session *session, const covey_generation_options *options,
    covey_generation_result *result, covey_error *error, covey_text_fn text, void *user);

/* Keys and values of all sessions of a model, and what was taken over instead of computed. */
typedef struct covey_kv_info {
    size_t size;
    uint64_t bytes;         /* reserved for pages of keys and values now */
    uint64_t used_bytes;    /* of those, of pages that open sessions hold; a shared one once */
    uint64_t idle_bytes;    /* of those, of prefixes that no open session holds */
    uint64_t session_count; /* open */
    uint64_t prompt_tokens; /* appended so far, where more than one came at once */
    uint64_t reused_tokens; /* of those, taken over */
    uint64_t evicted_pages; /* idle pages that were given up for the budget, for room or a trim */
    uint64_t pass_count;    /* passes over the weights */
    uint64_t run_count;     /* what they computed for: one a session and pass */
} covey_kv_info;
#define COVEY_KV_INFO_INIT                                                                         \
    { sizeof(covey_kv_info), 0, 0, 0, 0, 0, 0, 0, 0, 0 }
/* Fills `info`, up to the size it was made with. Any thread. */
COVEY_API void covey_model_describe_kv(covey_model *model, covey_kv_info *info);

#ifdef __cplusplus
}
#endif
#endif
