/* Chat templates: a bounded interpreter for the part of Jinja that models' chat templates use, with
 * trim_blocks and lstrip_blocks set as Hugging Face sets them. What a template may cost is bounded:
 * its size, its depth, its steps and its output. A compiled template is immutable and may be
 * rendered by several threads at once.
 *
 * The output keeps apart what the template said from what came out of messages: the tokenizer
 * parses control tokens in the first only (covey__tokenizer_encode_spans). */
#ifndef COVEY_TEXT_TEMPLATE_H
#define COVEY_TEXT_TEMPLATE_H

#include "base/buffer.h"
#include "base/json.h"
#include "text/tokenizer.h"
#include <covey/model.h>

typedef struct covey__template covey__template;

/* UNSUPPORTED names the construct that is not here, its line and what to do; FORMAT says what is
 * wrong in the template, with its line. The text is borrowed for the call. */
covey_status covey__template_compile(const covey__env *env, const char *text, size_t size,
                                     covey__template **compiled, covey_error *error) COVEY_MUST_USE;
void covey__template_free(covey__template *compiled);

/* What a template is rendered with. All borrowed for the call. */
typedef struct covey__template_input {
    const covey_message *messages;
    size_t message_count;
    const covey__json *conversation; /* instead of messages: an array of message objects */
    const covey__json *tools;        /* an array of tool schemas, or NULL for none */
    const covey__json *variables;    /* an object of more variables, or NULL */
    bool from_api; /* `conversation` is as an API's clients send it: content that is null or absent
                      is "", and arguments of calls that are JSON text become what they say, unless
                      the template shows calls in another form only */
    bool probe;    /* a rendering that finds that form out: it takes fewer steps at most */
    bool add_generation_prompt;
    covey__text bos, eos; /* texts of those tokens, for bos_token and eos_token */
    int64_t now_ms;       /* for strftime_now, UTC; negative: strftime_now is not defined */
} covey__template_input;
#define COVEY__TEMPLATE_INPUT_INIT ((covey__template_input){.now_ms = -1})

/* What came out: text, and spans as covey__tokenizer_encode_spans takes them. */
typedef struct covey__rendered {
    covey__buffer text;
    covey__text_span *spans;
    size_t span_count;
    size_t span_capacity;
} covey__rendered;

/* Fills `rendered`, which needs no init; free it after success or failure. A template that calls
 * raise_exception gives INVALID_ARGUMENT with its message. */
covey_status covey__template_render(const covey__template *compiled,
                                    const covey__template_input *input, covey__rendered *rendered,
                                    covey_error *error) COVEY_MUST_USE;
void covey__rendered_free(covey__rendered *rendered);

/* Render and encode in one: a conversation to the ids of a prompt, with BOS in front where the
 * vocabulary wants one and the template did not write it. `input->bos` and `input->eos` are filled
 * in from the tokenizer when empty. Capacity and count as in covey__tokenizer_encode. */
covey_status covey__template_encode(const covey__template *compiled,
                                    const covey__tokenizer *tokenizer,
                                    const covey__template_input *input, int32_t *tokens,
                                    size_t capacity, size_t *count,
                                    covey_error *error) COVEY_MUST_USE;

#endif
