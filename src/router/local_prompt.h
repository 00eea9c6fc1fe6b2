/* A request to the tokens that a session is given: rendered, and cut to the window that a full
 * context leaves. For backend_local.c. */
#ifndef COVEY_ROUTER_LOCAL_PROMPT_H
#define COVEY_ROUTER_LOCAL_PROMPT_H

#include "base/runtime.h"
#include <covey/backend.h>

/* Tokens of a request that is to be cut; more are refused. */
#define COVEY__PROMPT_TOKENS_MAX ((size_t)1 << 22)

/* Where prompts go to. */
typedef struct covey__prompter {
    const covey__env *env;
    const covey_model *model;
    const covey_model_info *info;
    bool slides;    /* a prompt beyond the context is cut; else refused */
    size_t context; /* of the session; 0: none, and count_tokens alone is asked for */
    int64_t now_ms; /* what templates are told of the time; 0: the clock's */
} covey__prompter;

typedef struct covey__prompt {
    covey_token *tokens; /* [context]: the caller's */
    size_t count;
    size_t keep;    /* of them, the system prompt's, which a slide keeps; 0 where none can slide */
    size_t dropped; /* of the request, behind those: they found no room */
} covey__prompt;

/* The tokens of the whole request; with capacity 0 only their count. */
covey_status covey__prompt_render(const covey__prompter *to, const covey_request *request,
                                  covey_token *tokens, size_t capacity, size_t *count,
                                  covey_error *error) COVEY_MUST_USE;

/* Fills `out->tokens` and what is said of them. COVEY_ERROR_CONTEXT_SIZE, with both lengths, when
 * they do not fit. */
covey_status covey__prompt_make(const covey__prompter *where, const covey_request *request,
                                covey__prompt *out, covey_error *error) COVEY_MUST_USE;

#endif
