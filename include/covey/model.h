/* Models: weights, vocabulary and chat template out of one GGUF. A model is immutable: any number
 * of threads and sessions may use one at the same time. */
#ifndef COVEY_MODEL_H
#define COVEY_MODEL_H

#include <covey/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct covey_model covey_model;

/* A token id, 0 to vocabulary size - 1. */
typedef int32_t covey_token;

/* Where the GGUF is: exactly one of path, descriptor (>= 0), memory. A descriptor is duplicated, so
 * the caller may close its own. Memory is borrowed until the model is closed. */
typedef struct covey_model_source {
    size_t size;
    const char *path;
    int descriptor;             /* -1 when unused */
    uint64_t descriptor_offset; /* bytes to the GGUF's start */
    uint64_t descriptor_length; /* bytes; 0 up to the end */
    const void *memory;
    size_t memory_size;
    bool vocabulary_only; /* tokens and template alone, of any architecture: no session opens on it
                           */
    const uint8_t *identity;   /* 32 bytes: a digest of all of the file (an ensemble's, say), which
                                  saved sessions are bound to; borrowed for the call. NULL: a digest
                                  of its metadata, its tensor table and samples of each tensor */
    int64_t idle_kv_bytes_max; /* keys and values kept of closed sessions, for prompts that begin
                                  alike; the least recently used go first. 0: 64 MiB; -1: none */
} covey_model_source;
#define COVEY_MODEL_SOURCE_INIT                                                                    \
    { sizeof(covey_model_source), NULL, -1, 0, 0, NULL, 0, false, NULL, 0 }

/* Maps (never copies) the weights and reads the vocabulary. Any thread. COVEY_ERROR_FORMAT names
 * the field that is wrong, COVEY_ERROR_UNSUPPORTED the architecture, tensor or type that this
 * library does not run. */
COVEY_API COVEY_MUST_USE covey_status covey_model_open(covey_runtime *runtime,
                                                       const covey_model_source *source,
                                                       covey_model **model, covey_error *error);

/* Closes it once its sessions are closed. NULL is allowed. Any thread. */
COVEY_API void covey_model_close(covey_model *model);

/* How the vectors of a text's tokens become one. */
typedef enum covey_pooling {
    COVEY_POOLING_MODEL = 0, /* as the model's file says; the mean where it says nothing */
    COVEY_POOLING_MEAN = 1,
    COVEY_POOLING_CLS = 2, /* the first token's */
    COVEY_POOLING_LAST = 3
} covey_pooling;

/* Strings are borrowed from the model. */
typedef struct covey_model_info {
    size_t size;
    const char *architecture; /* "llama", "qwen3", … */
    const char *name;         /* general.name, or "" */
    const char *quantization; /* type of most weight bytes: "F32", "Q8_0", … */
    uint64_t parameter_count;
    uint64_t weight_bytes;
    int32_t vocabulary_size;
    int32_t context_tokens_max; /* as trained */
    int32_t layer_count;
    int32_t embedding_width;
    int32_t arithmetic_version; /* docs/arithmetic.md */
    covey_token bos, eos;       /* -1 where the vocabulary has none */
    bool has_chat_template;
    int64_t load_ms; /* how long covey_model_open took */
    bool adds_bos;   /* the vocabulary wants a prompt to begin with BOS */
    /* The tokens that the vocabulary wants before and behind a text, which covey_model_tokenize
     * does not add: BOS or [CLS], EOS or [SEP]; -1 for none. */
    covey_token text_begin, text_end;
    bool generates; /* false: an encoder, which opens no session and gives embeddings alone */
    covey_pooling pooling;    /* of covey_model_embed where its options leave it to the model */
    bool chat_template_tools; /* the chat template shows a conversation's tools to the model */
} covey_model_info;
#define COVEY_MODEL_INFO_INIT                                                                      \
    {                                                                                              \
        sizeof(covey_model_info), NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, false, 0, false,    \
            -1, -1, false, COVEY_POOLING_MEAN, false                                               \
    }
/* Fills `info`, up to the size it was made with. Any thread. */
COVEY_API void covey_model_describe(const covey_model *model, covey_model_info *info);

/* Touches the pages of the weights, at most `bytes_max` of them (0: all), so that first answers do
 * not wait for the disk. Where the file is in the system's cache that is a matter of milliseconds,
 * else it reads the file; in the caller's thread, at its priority, in small steps. `goes_on` (may
 * be NULL) is asked between them; false ends it. Returns the bytes that were touched. Any thread.
 */
typedef bool (*covey_model_goes_on_fn)(void *user);
COVEY_API uint64_t covey_model_warm(const covey_model *model, uint64_t bytes_max,
                                    covey_model_goes_on_fn goes_on, void *user);

/* Text to tokens. Writes at most `capacity` ids and the full count to `*token_count`;
 * COVEY_ERROR_LIMIT when they do not fit (call again with more room). `text` need not end in NUL.
 * BOS is never added. With `parse_special`, the text of control tokens becomes those tokens: only
 * for text that the program wrote, never for a user's words. */
COVEY_API COVEY_MUST_USE covey_status covey_model_tokenize(const covey_model *model,
                                                           const char *text, size_t text_size,
                                                           bool parse_special, covey_token *tokens,
                                                           size_t capacity, size_t *token_count,
                                                           covey_error *error);

/* The bytes of one token, not always whole UTF-8 characters; nothing for control tokens unless
 * `special`. Writes at most `capacity` bytes, no NUL, and returns the full length in bytes; 0 for
 * an id out of range. */
COVEY_API size_t covey_model_token_bytes(const covey_model *model, covey_token token, bool special,
                                         char *bytes, size_t capacity);

/* Whether the token ends a turn (EOS, EOT and their like). */
COVEY_API bool covey_model_token_is_end(const covey_model *model, covey_token token);

/* One message of a conversation. Frozen: it stands in arrays (covey_chat.messages_json says more).
 * Strings are NUL-terminated UTF-8, borrowed for the call. */
typedef struct covey_message {
    const char *role; /* "system", "user", "assistant", "tool" */
    const char *content;
} covey_message;

/* A conversation to the tokens of a prompt by the model's chat template, ready for
 * covey_session_append, BOS included where the template or the vocabulary wants it. Control tokens
 * come from the template only: the same text inside a message stays text. With
 * `add_generation_prompt`, the assistant's turn is opened. Capacity and count are as in
 * covey_model_tokenize. COVEY_ERROR_UNSUPPORTED says what the template uses that this library does
 * not have, or that the model has none. Any thread. */
COVEY_API COVEY_MUST_USE covey_status
covey_model_render_chat(const covey_model *model, const covey_message *messages,
                        size_t message_count, bool add_generation_prompt, covey_token *tokens,
                        size_t capacity, size_t *token_count, covey_error *error);

/* A conversation with all that chat templates know. JSON is UTF-8, borrowed for the call, and NULL
 * where there is none; what stands in it never becomes a control token. */
typedef struct covey_chat {
    size_t size;
    const covey_message *messages; /* plain ones; not used where messages_json is given */
    size_t message_count;
    /* An array of messages as in OpenAI's API: role, content (a string, null, or parts for
     * templates that take them), name, tool_calls, tool_call_id, and what else the template reads.
     * Arguments of calls that are given as text become the objects that they say. */
    const char *messages_json;
    size_t messages_json_size;
    const char *tools_json; /* an array of tools: {"type": "function", "function": {…}} */
    size_t tools_json_size;
    const char *variables_json; /* an object of more variables: {"enable_thinking": false} */
    size_t variables_json_size;
    bool add_generation_prompt;
    int64_t now_ms; /* what strftime_now takes for now, in ms since 1970, UTC; -1: the clock */
} covey_chat;
#define COVEY_CHAT_INIT                                                                            \
    { sizeof(covey_chat), NULL, 0, NULL, 0, NULL, 0, NULL, 0, false, -1 }

/* covey_model_render_chat for such a conversation. COVEY_ERROR_FORMAT names the JSON that is wrong,
 * COVEY_ERROR_INVALID_ARGUMENT says why the template refuses the conversation. Any thread. */
COVEY_API COVEY_MUST_USE covey_status covey_model_render_conversation(
    const covey_model *model, const covey_chat *chat, covey_token *tokens, size_t capacity,
    size_t *token_count, covey_error *error);

#ifdef __cplusplus
}
#endif
#endif
