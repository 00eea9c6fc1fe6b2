/* Drafts: tokens that are guessed, put through one pass together with what was drawn, and kept as
 * far as the model draws the same. What is drawn depends on logits, seed and position alone, so a
 * generation with drafts says what one without them says (docs/engine.md). */
#ifndef COVEY_ENGINE_DRAFT_H
#define COVEY_ENGINE_DRAFT_H

#include <covey/session.h>

#define COVEY__DRAFT_MAX     16
#define COVEY__DRAFT_DEFAULT 4

/* One generation's. */
typedef struct covey__drafts {
    covey_session *session;
    covey_draft_fn guess; /* NULL: prompt lookup */
    void *user;
    int32_t most;  /* tokens of a draft; 0: none are made */
    float *logits; /* [most + 1][vocabulary_size]; NULL: none are made */
    bool owned;    /* they are not the session's: a draft may be longer than it foresaw */
    covey_token tokens[COVEY__DRAFT_MAX];
    size_t count, at;      /* of the draft whose keys and values are there; what was kept of it */
    int32_t misses, pause; /* drafts in a row of which nothing was kept; tokens until the next */
    int32_t drafted, kept; /* in all */
} covey__drafts;

covey_status covey__drafts_begin(covey__drafts *drafts, covey_session *session,
                                 const covey_generation_options *options,
                                 covey_error *error) COVEY_MUST_USE;
/* Forgets what is left of a draft; the session holds what was drawn. */
void covey__drafts_end(covey__drafts *drafts);
/* As covey_session_append: what a draft foresaw is there already, and what comes may bring a new
 * draft along, of at most `room` tokens. */
covey_status covey__drafts_append(covey__drafts *drafts, const covey_token *tokens, size_t count,
                                  int32_t room, covey_error *error) COVEY_MUST_USE;

/* The tokens that followed the latest earlier place of the last three tokens (or two); 0: none. */
size_t covey__draft_lookup(const covey_token *tokens, size_t token_count, covey_token *draft,
                           size_t draft_max);

#endif
