/* Backends: what can answer a request. The engine of this library is the first maker; what stands
 * above (the server, the router, the agent's probes) knows this interface only. */
#ifndef COVEY_BACKEND_H
#define COVEY_BACKEND_H

#include <covey/session_file.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct covey_backend covey_backend;
typedef struct covey_conversation covey_conversation;

typedef enum covey_availability {
    COVEY_AVAILABLE = 0,
    COVEY_UNAVAILABLE_NO_MODEL = 1,    /* nothing is loaded */
    COVEY_UNAVAILABLE_MEMORY = 2,      /* the device cannot hold it now */
    COVEY_UNAVAILABLE_UNSUPPORTED = 3, /* this device or library lacks what it needs */
    COVEY_UNAVAILABLE_BUSY = 4,        /* as many conversations as it takes are open */
    COVEY_UNAVAILABLE_CLOSING = 5      /* it drains */
} covey_availability;

/* What the backend really did when it loaded: to be compared with what the ensemble declares. */
typedef struct covey_backend_report {
    size_t size;
    char kind[32];              /* "covey" */
    char isa[32];               /* instruction set in use */
    char quantization[32];      /* type of most weight bytes, as run */
    bool exact;                 /* keeps the arithmetic contract: may answer bits probes */
    int32_t arithmetic_version; /* 0 where not exact */
    int32_t threads;
    int32_t context_tokens_max;
    int64_t load_ms;
    uint64_t weight_bytes;
    int32_t embedding_width; /* floats of a vector; 0 where it makes none */
    bool generates;          /* answers, too; an encoder makes vectors alone */
    bool takes_tools; /* covey_chat.tools_json reaches the model, or it knows its tools; where
                         not, the caller tells it of them in a message */
} covey_backend_report;

/* A text for covey_backend_embed_texts, borrowed for the call. Frozen: it stands in arrays. */
typedef struct covey_backend_text {
    const char *text;
    size_t text_size;
} covey_backend_text;

/* A request: messages through the chat template, or, where `prompt` is set, that text as it is. */
typedef struct covey_request {
    size_t size;
    const covey_message *messages;
    size_t message_count;
    const char *prompt;                         /* NULL with messages */
    const covey_generation_options *generation; /* NULL: its INIT values */
    const covey_chat *chat; /* in place of messages: a conversation with tools and variables; its
                               add_generation_prompt is taken as true. NULL: none */
    const covey_adapter_choice *adapters; /* these of the backend's adapters and no others, whatever
                                             their order; none with a count of 0. NULL: those that
                                             are on by default */
    size_t adapter_count;
} covey_request;
#define COVEY_REQUEST_INIT                                                                         \
    { sizeof(covey_request), NULL, 0, NULL, NULL, NULL, NULL, 0 }

typedef struct covey_answer {
    size_t size;
    covey_stop_reason stop_reason;
    int32_t prompt_token_count;
    int32_t reused_token_count; /* of the prompt, already in the conversation's state */
    int32_t answer_token_count;
    int64_t first_token_us; /* request to first token, prefill included */
    int64_t prefill_us;
    int64_t decode_us;
    /* With generation.score, as in covey_generation_result; else 0. */
    float confidence;
    float mean_entropy;
    int32_t forced_token_count;
    int32_t drafted_token_count;
    int32_t accepted_token_count;
    size_t adapter_count; /* that answered, and at which scales; by their numbers */
    covey_adapter_choice adapters[COVEY_ADAPTERS_MAX];
    int32_t dropped_token_count; /* of the request, which a sliding context had no room for; they
                                    are not in prompt_token_count */
} covey_answer;
#define COVEY_ANSWER_INIT                                                                          \
    {                                                                                              \
        sizeof(covey_answer), COVEY_STOP_END, 0, 0, 0, 0, 0, 0, 0.0f, 0.0f, 0, 0, 0, 0,            \
            {{0, 0.0f}}, 0                                                                         \
    }

/* An adapter that a backend offers. Strings are borrowed from the backend. */
typedef struct covey_backend_adapter {
    size_t size;
    const char *name; /* of its file, without folders */
    float scale;      /* where it is on */
    bool on_request;  /* off where a request chooses nothing */
    uint8_t sha256[32];
} covey_backend_adapter;
#define COVEY_BACKEND_ADAPTER_INIT                                                                 \
    {                                                                                              \
        sizeof(covey_backend_adapter), NULL, 0.0f, false, {                                        \
            0                                                                                      \
        }                                                                                          \
    }

/* What a maker provides. All functions may be called from several threads, but one conversation
 * from one at a time; `cancel` from any. An app may bring its own: it fills this table and calls
 * covey_backend_new. */
typedef struct covey_backend_table {
    size_t size;
    void *user;
    covey_availability (*available)(void *user, char *reason, size_t reason_size);
    void (*report)(void *user, covey_backend_report *report);
    /* Tokens that the request's prompt has. */
    covey_status (*count_tokens)(void *user, const covey_request *request, size_t *token_count,
                                 covey_error *error);
    covey_status (*open)(void *user, int32_t context_tokens, void **conversation,
                         covey_error *error);
    void (*close)(void *user, void *conversation);
    /* Answers. Where the request begins with what the conversation already holds, only the rest is
     * computed. A cancel from before the call has no effect on it. */
    covey_status (*generate)(void *user, void *conversation, const covey_request *request,
                             covey_answer *answer, covey_error *error, covey_text_fn text,
                             void *text_user);
    void (*cancel)(void *user, void *conversation);
    void (*destroy)(void *user);
    /* May be NULL, or behind the end of an older table: the vector of a text, of length 1, into
     * report's embedding_width floats, and the bytes of a token. */
    covey_status (*embed)(void *user, const char *text, size_t text_size, float *vector,
                          size_t *token_count, covey_error *error);
    size_t (*token_bytes)(void *user, covey_token token, char *bytes, size_t capacity);
    /* May be NULL, or behind the end of an older table; then `embed` is called for each text. As
     * covey_backend_embed_texts. */
    covey_status (*embed_texts)(void *user, const covey_backend_text *texts, size_t text_count,
                                float *vectors, size_t *token_counts, size_t *failed_text,
                                covey_error *error);
    /* May be NULL, or behind the end of an older table, for a backend without adapters. The adapter
     * with a number; false when there are not so many. */
    bool (*adapter)(void *user, int32_t id, covey_backend_adapter *adapter);
    /* May be NULL, or behind the end of an older table, for a backend that keeps no files. As
     * covey_conversation_save and covey_conversation_restore. */
    covey_status (*save)(void *user, void *conversation, const char *path, const void *note,
                         size_t note_size, covey_error *error);
    covey_status (*restore)(void *user, void *conversation, const char *path, covey_error *error,
                            covey_note_fn note, void *note_user);
} covey_backend_table;

/* A backend over a maker's table, which is copied. The backend is counted: conversations hold it,
 * so that it may be released while some are open; `destroy` runs after the last. Any thread. Makers
 * get requests as long as this library knows them, with generation and its sampling filled in. */
COVEY_API COVEY_MUST_USE covey_status covey_backend_new(covey_runtime *runtime,
                                                        const covey_backend_table *table,
                                                        covey_backend **backend,
                                                        covey_error *error);

/* The engine as a backend on a model that it takes: the model is closed with the backend. At most
 * `conversations_max` conversations at once, 0 for 4. On failure the model stays the caller's.
 * Any thread. */
COVEY_API COVEY_MUST_USE covey_status covey_backend_local(covey_runtime *runtime,
                                                          covey_model *take_model,
                                                          int32_t conversations_max,
                                                          covey_backend **backend,
                                                          covey_error *error);

/* What the conversations of a local backend are opened with. Of `session`, context_tokens give way
 * to covey_conversation_open's. With COVEY_CONTEXT_SLIDE a conversation goes on when its context is
 * full, and keep_tokens give way to the length of each request's system prompt (tools included; of
 * a plain prompt, BOS): behind it the oldest tokens go, as COVEY_CONTEXT_SLIDE says, so that an
 * answer is a function of its request and the context's length. An answer without a tokens_max then
 * ends after as many tokens as the context has. */
typedef struct covey_local_options {
    size_t size;
    int32_t conversations_max;            /* at once; 0: 4 */
    const covey_session_options *session; /* NULL: its INIT values */
    const covey_adapter_offer *adapters;  /* what requests choose from, borrowed for the call; not
                                             together with session->adapters, which are offers that
                                             are on by default */
    size_t adapter_count;
    bool knows_tools; /* the model was trained on its tools: it is not told of them in words, though
                         its chat template has no place for them */
} covey_local_options;
#define COVEY_LOCAL_OPTIONS_INIT                                                                   \
    { sizeof(covey_local_options), 0, NULL, NULL, 0, false }
/* The same with options; NULL is allowed. Any thread. */
COVEY_API COVEY_MUST_USE covey_status covey_backend_local_with(covey_runtime *runtime,
                                                               covey_model *take_model,
                                                               const covey_local_options *options,
                                                               covey_backend **backend,
                                                               covey_error *error);

/* One more reference for another owner, and the end of one, which may be NULL. Any thread. */
COVEY_API void covey_backend_retain(covey_backend *backend);
COVEY_API void covey_backend_release(covey_backend *backend);

/* Whether it can answer now; `reason` gets one plain sentence when it cannot. Any
 * thread. */
COVEY_API covey_availability covey_backend_available(covey_backend *backend, char *reason,
                                                     size_t reason_size);
/* What it did when it loaded; fills `report` up to the size it was made with. Any thread. */
COVEY_API void covey_backend_get_report(covey_backend *backend, covey_backend_report *report);
/* Tokens of the request's prompt, without answering it. Any thread. */
COVEY_API COVEY_MUST_USE covey_status covey_backend_count_tokens(covey_backend *backend,
                                                                 const covey_request *request,
                                                                 size_t *token_count,
                                                                 covey_error *error);

/* The vector of a text (report's embedding_width floats, of length 1) and how many tokens the text
 * had. COVEY_ERROR_UNSUPPORTED where the backend makes none. Any thread. */
COVEY_API COVEY_MUST_USE covey_status covey_backend_embed(covey_backend *backend, const char *text,
                                                          size_t text_size, float *vector,
                                                          size_t *token_count, covey_error *error);
/* The same for several texts, in as few passes over the weights as the backend can: `vectors` gets
 * text_count vectors, one after the other, `token_counts` as many numbers. On failure `failed_text`
 * (may be NULL) gets the index of the text that the error is about, or text_count. Memory is
 * taken for the call. Any thread. */
COVEY_API COVEY_MUST_USE covey_status covey_backend_embed_texts(
    covey_backend *backend, const covey_backend_text *texts, size_t text_count, float *vectors,
    size_t *token_counts, size_t *failed_text, covey_error *error);
/* The bytes of a token, at most `capacity` of them; returns their number, 0 for a control token or
 * where the backend does not tell. Any thread. */
COVEY_API size_t covey_backend_token_bytes(covey_backend *backend, covey_token token, char *bytes,
                                           size_t capacity);

/* Fills `adapter`, up to the size it was made with, with what is offered under the number; false
 * when there are not so many. Any thread. */
COVEY_API bool covey_backend_get_adapter(covey_backend *backend, int32_t id,
                                         covey_backend_adapter *adapter);

/* Opens a conversation with room for `context_tokens`; 0: the backend's default.
 * COVEY_ERROR_BUSY: as many are open as it takes. Any thread; a conversation has one owner at a
 * time. */
COVEY_API COVEY_MUST_USE covey_status covey_conversation_open(covey_backend *backend,
                                                              int32_t context_tokens,
                                                              covey_conversation **conversation,
                                                              covey_error *error);
/* Closes it and lets go of the backend, in its owner's thread. NULL is allowed. */
COVEY_API void covey_conversation_close(covey_conversation *conversation);
/* Answers a request, in the caller's thread. Where its prompt begins with what the conversation
 * holds, only the rest is computed. `text` gets the answer as it forms; it and `answer` may be
 * NULL. COVEY_ERROR_CONTEXT_SIZE, with both lengths, when the prompt does not fit. A stop by
 * covey_conversation_cancel or by `text` is COVEY_OK with the reason in `answer`, or
 * COVEY_ERROR_CANCELLED within the prompt. */
COVEY_API COVEY_MUST_USE covey_status covey_conversation_generate(covey_conversation *conversation,
                                                                  const covey_request *request,
                                                                  covey_answer *answer,
                                                                  covey_error *error,
                                                                  covey_text_fn text, void *user);
/* Writes what the conversation holds to a file, with a note, as covey_session_save_with_note does.
 * COVEY_ERROR_UNSUPPORTED where the backend keeps no files. In the owner's thread. */
COVEY_API COVEY_MUST_USE covey_status covey_conversation_save(covey_conversation *conversation,
                                                              const char *path, const void *note,
                                                              size_t note_size, covey_error *error);
/* Puts what a file holds in place of what the conversation holds, so that a request which begins so
 * need not compute it again. Fails as covey_session_restore does: COVEY_ERROR_NOT_FOUND where there
 * is no file, COVEY_ERROR_MISMATCH for one of another model, adapters or KV type. The conversation
 * is as before then. In the owner's thread, while no other one may cancel. */
COVEY_API COVEY_MUST_USE covey_status covey_conversation_restore(covey_conversation *conversation,
                                                                 const char *path,
                                                                 covey_error *error,
                                                                 covey_note_fn note, void *user);
/* Stops the answer that is being generated, in its prompt or at its next token; does nothing where
 * none is. Any thread, and from a signal handler. */
COVEY_API void covey_conversation_cancel(covey_conversation *conversation);

#ifdef __cplusplus
}
#endif
#endif
