/* What a drawn token was worth to the model: score.c. */
#ifndef COVEY_ENGINE_SCORE_H
#define COVEY_ENGINE_SCORE_H

#include <covey/session.h>

/* Fills logprob, entropy and top of `score` from the session's logits, which `token` was drawn
 * from. `scratch` takes vocabulary_size floats, `top` top_count items. */
void covey__score(const covey_session *session, covey_token token, float *scratch,
                  covey_token_score *score, covey_token_top *top, size_t top_count);

#endif
