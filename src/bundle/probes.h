/* The probes component, probes.json (docs/formats/ensemble.md): parsed and written here, run in
 * library/probe.c, since only that layer may know an engine. */
#ifndef COVEY_BUNDLE_PROBES_H
#define COVEY_BUNDLE_PROBES_H

#include <covey/session.h>

#include "base/arena.h"
#include "base/buffer.h"

#define COVEY__PROBES_FORMAT    1
#define COVEY__PROBES_BYTES_MAX (8u << 20)

typedef struct covey__bits_probe {
    const char *name;
    int32_t arithmetic_version;
    covey_kv_type kv; /* of the session: F32 where the file does not say */
    const covey_token *prompt;
    size_t prompt_count;
    const covey_token *tokens;   /* drawn greedily after the prompt */
    const uint8_t (*logits)[32]; /* [i]: SHA-256 of the f32 logits that tokens[i] was drawn from */
    size_t token_count;
} covey__bits_probe;

typedef enum covey__match { COVEY__MATCH_EXACT = 0, COVEY__MATCH_JSON = 1 } covey__match;

typedef struct covey__task_probe {
    const char *name;
    const covey_message *messages;
    size_t message_count;
    const char *expect;
    covey__match match;
} covey__task_probe;

typedef struct covey__probes {
    covey__arena arena;
    covey__bits_probe *bits;
    size_t bits_count;
    covey__task_probe *tasks;
    size_t task_count;
    double task_score_min; /* share of tasks that must match */
    int32_t task_tokens_max;
} covey__probes;

/* `text` is copied. FORMAT names the field. */
covey_status covey__probes_parse(const covey__env *env, const char *text, size_t size,
                                 covey__probes **probes, covey_error *error) COVEY_MUST_USE;
covey_status covey__probes_write(const covey__probes *probes, covey__buffer *out,
                                 covey_error *error) COVEY_MUST_USE;
void covey__probes_free(covey__probes *probes); /* NULL is allowed */

/* An empty set to be filled from its arena. */
covey_status covey__probes_new(const covey__env *env, covey__probes **probes,
                               covey_error *error) COVEY_MUST_USE;
/* Adds task probes from JSON lines: {"messages": [...] or "prompt" or "user": "...", "expect" or
 * "assistant": ..., "match": ..., "name": ...}. Errors name the line. */
covey_status covey__probes_add_lines(covey__probes *probes, const char *text, size_t size,
                                     covey_error *error) COVEY_MUST_USE;

/* Whether an answer is what a task probe expects. */
bool covey__task_matches(const covey__env *env, const covey__task_probe *probe, const char *answer,
                         size_t answer_size);

#endif
