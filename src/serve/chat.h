/* The parts of a completion: what a request asks for, and what is sent back.
 *
 *   chat_request.c   the body of a request, from JSON     chat_messages.c  its messages
 *   chat_tools.c     tools, and calls in answers          chat_arguments.c held to their schemas
 *   chat_teach.c     tools, where the template has none   chat_guide.c     what answers look like
 *   chat_logprobs.c  log-probabilities of tokens          chat_answer.c    answers, as JSON
 *   chat_adapters.c  which adapters answer */
#ifndef COVEY_SERVE_CHAT_H
#define COVEY_SERVE_CHAT_H

#include <covey/backend.h>
#include <covey/guide.h>

#include "base/buffer.h"
#include "base/json.h"
#include "base/runtime.h"

#define COVEY__SERVE_BODY_MAX     (4u << 20)
#define COVEY__SERVE_MESSAGES_MAX 1024
#define COVEY__SERVE_STOPS_MAX    16
#define COVEY__SERVE_TOOLS_MAX    128
#define COVEY__SERVE_CALLS_MAX    32
#define COVEY__TOOL_NAME_MAX      64
#define COVEY__PARAM_MAX          96
#define COVEY__SERVE_ANSWERS_MAX  8 /* of one request */

/* ---- chat_tools.c ---- */

typedef enum covey__tool_choice {
    COVEY__TOOLS_NONE,
    COVEY__TOOLS_AUTO,
    COVEY__TOOLS_REQUIRED
} covey__tool_choice;

typedef struct covey__tools {
    const covey__json *list; /* NULL: none; else each has a name */
    covey__tool_choice choice;
    const char *name;         /* of the one that must be called; NULL: any */
    const covey_guide *calls; /* what a call looks like; NULL where no tool may be called */
} covey__tools;

typedef struct covey__tool_call {
    const char *name;
    const char *arguments; /* JSON */
} covey__tool_call;

/* Why what began as a call is none. */
typedef struct covey__tool_fault {
    const char *code; /* NULL: nothing is wrong */
    char tool[COVEY__TOOL_NAME_MAX + 1];
    char message[200];
} covey__tool_fault;

/* The members "tools" and "tool_choice"; either may be NULL. */
covey_status covey__tools_read(const covey__json *list, const covey__json *choice,
                               covey__tools *out, covey_error *error) COVEY_MUST_USE;
/* The schema of a call of one of the tools that may be called. */
void covey__tools_put_schema(const covey__tools *tools, covey__buffer *out);
/* Bytes at the text's beginning that are surely no part of a call. `begins`: nothing stands before
 * the text. */
size_t covey__tools_text_size(const covey__tools *tools, const char *text, size_t size,
                              bool begins);
/* The calls that a text is made of; 0 when it is something else, or when it began as a call and is
 * not one that the tools allow: then `fault` says why. */
size_t covey__tools_calls(const covey__tools *tools, covey__arena *arena, const char *text,
                          size_t size, const covey__tool_call **out, covey__tool_fault *fault);

/* ---- chat_arguments.c ---- */

/* Whether the guide of the tools allows a call with these arguments, whatever the order of their
 * members. `tool` is one of the list. A fault otherwise. */
bool covey__arguments_fit(const covey__tools *tools, covey__arena *arena, const covey__json *tool,
                          const covey__json *arguments, covey__tool_fault *fault);

/* ---- chat_request.c ---- */

typedef struct covey__chat_request {
    covey__arena arena;
    covey_request request;               /* borrows from the arena */
    covey_chat chat;                     /* what request.chat points to */
    covey_generation_options generation; /* what request.generation points to */
    covey_sampling sampling;             /* what generation.sampling points to */
    covey_guide *guide;                  /* what generation.guide points to; NULL: none */
    covey_guide *calls;                  /* what tools.calls points to; NULL: none */
    covey__tools tools;
    const covey__json *said; /* the messages as they came; NULL: a prompt */
    covey_message *messages; /* their roles and texts, as many as said->size */
    int32_t answers;         /* asked for */
    bool logprobs;
    bool stream;
    bool include_usage;
} covey__chat_request;

/* `chat`: messages; else prompt. An option that is known but not supported is refused by its name.
 * What is said of a member begins with its path. The request must not be moved while it is used. */
covey_status covey__chat_request_parse(covey_runtime *runtime, const char *body, size_t size,
                                       bool chat, covey__chat_request *out, covey_error *error);
/* The path of the member that a message of covey__chat_request_parse is about, or NULL. */
const char *covey__chat_request_param(const char *message, char param[COVEY__PARAM_MAX]);
/* The same for any list of members. */
const char *covey__param_of(const char *const *members, const char *message,
                            char param[COVEY__PARAM_MAX]);
void covey__chat_request_free(covey__chat_request *request);

/* ---- chat_messages.c ---- */

/* Fills the request's messages, or its chat where `rich` or a message says more than its text. */
covey_status covey__chat_messages_read(covey__arena *arena, const covey__json *list, bool rich,
                                       covey__chat_request *out, covey_error *error) COVEY_MUST_USE;

/* ---- chat_teach.c ---- */

/* For a backend that does not show tools to its model: tells it of them in the first message, and
 * writes calls and their results in earlier turns as text. Does nothing where a conversation has
 * none of these. */
covey_status covey__chat_teach_tools(covey__chat_request *request,
                                     covey_error *error) COVEY_MUST_USE;

/* ---- chat_guide.c ---- */

/* The members "response_format" and "grammar", either of which may be NULL, or a required tool.
 * NULL in `*guide` where anything goes. */
covey_status covey__chat_guide_read(covey_runtime *runtime, const covey__json *format,
                                    const covey__json *grammar, const covey__tools *tools,
                                    covey_guide **guide, covey_error *error) COVEY_MUST_USE;
/* What a call of one of the tools looks like. */
covey_status covey__chat_calls_read(covey_runtime *runtime, const covey__tools *tools,
                                    covey_guide **guide, covey_error *error) COVEY_MUST_USE;

/* ---- chat_logprobs.c ---- */

#define COVEY__LOGPROB_PARTS 4

typedef struct covey__logprobs {
    covey_backend *backend; /* borrowed */
    bool chat;
    covey__buffer parts[COVEY__LOGPROB_PARTS];
    size_t text_bytes; /* of the tokens so far */
} covey__logprobs;

void covey__logprobs_init(covey__logprobs *notes, const covey__env *env, covey_backend *backend,
                          bool chat);
void covey__logprobs_free(covey__logprobs *notes);
/* A covey_token_fn over covey__logprobs. */
void covey__logprobs_note(void *user, const covey_token_score *score);
/* The member "logprobs" of a choice: what came since the last time, or null. NULL: null. */
void covey__logprobs_put(covey__json_writer *json, covey__logprobs *notes);

/* ---- chat_adapters.c ---- */

/* The adapters that an answer was computed with; copied, since its backend may be gone when it is
 * sent. */
typedef struct covey__used_adapter {
    int32_t id;
    float scale;
    char name[128], sha256[65];
} covey__used_adapter;
typedef struct covey__used_adapters {
    covey__used_adapter list[COVEY_ADAPTERS_MAX];
    size_t count;
} covey__used_adapters;

/* The member "lora"; NULL leaves the request as it is. */
covey_status covey__chat_adapters_read(covey__arena *arena, const covey__json *list,
                                       covey_request *out, covey_error *error) COVEY_MUST_USE;
/* Whether the backend has what the request names. */
covey_status covey__chat_adapters_check(const covey_request *request, covey_backend *backend,
                                        covey_error *error) COVEY_MUST_USE;
void covey__chat_adapters_note(covey__used_adapters *used, covey_backend *backend,
                               const covey_answer *answer);
/* The member "adapters" of an answer. */
void covey__chat_adapters_put_used(covey__json_writer *json, const covey__used_adapters *used);
/* The array of what the backend offers. */
void covey__chat_adapters_put_offers(covey__json_writer *json, covey_backend *backend);

/* ---- chat_answer.c ---- */

typedef struct covey__answer_head {
    bool chat;
    char id[48];
    int64_t created_s;
    const char *model;
    const char *label;
    const char *digest; /* the ensemble's; "": not known */
    covey__used_adapters adapters;
} covey__answer_head;

/* One answer of a request, or a piece of it. */
typedef struct covey__choice {
    int32_t index;
    const char *text;
    size_t text_size;
    covey__logprobs *logprobs; /* NULL: none were asked for */
    const covey__tool_call *calls;
    size_t call_count;
    const covey__tool_fault
        *fault;                 /* NULL, or one without a code: nothing began as a call in vain */
    const covey_answer *answer; /* how it ended */
} covey__choice;

/* `sum`: over all answers, for usage. */
void covey__answer_whole(covey__buffer *out, const covey__answer_head *head,
                         const covey__choice *choices, size_t choice_count,
                         const covey_answer *sum);
/* SSE events. `first` carries the role. */
void covey__answer_piece(covey__buffer *out, const covey__answer_head *head,
                         const covey__choice *choice, bool first);
/* The reason of one answer's end and our figures. */
void covey__answer_final(covey__buffer *out, const covey__answer_head *head,
                         const covey__choice *choice);
/* What stands behind the last answer. */
void covey__answer_end(covey__buffer *out, const covey__answer_head *head, const covey_answer *sum,
                       bool include_usage);
/* `param`: the member of the request that is at fault; NULL: none. */
void covey__answer_error(covey__buffer *out, int http_status, const char *code, const char *message,
                         const char *param);
/* The HTTP status of a failure of ours, and its code: OpenAI's where there is one for it. */
int covey__answer_http_status(covey_status status);
const char *covey__answer_code(covey_status status);

#endif
