/* Drafts by prompt lookup: the text at hand often repeats itself (names, code, JSON, quoted
 * documents), so what followed the same few tokens before is a good guess of what follows now
 * (Saxena, Prompt Lookup Decoding, 2023). A guess costs a longer pass; drafts of which nothing was
 * kept make the next ones wait, twice as long each time.
 *
 * While a draft is open the session counts only what was drawn; the keys and values of the rest lie
 * behind it and are dropped with the draft. */
#include "engine/draft.h"

#include "engine/engine.h"

#include <string.h>

#define PATTERN_MAX 3
#define PATTERN_MIN 2
#define MISSES_MAX  5 /* of which the pause is a power of two */

static bool same_end(const covey_token *tokens, size_t end, size_t token_count, size_t size) {
    return memcmp(tokens + end - size, tokens + token_count - size, size * sizeof *tokens) == 0;
}

size_t covey__draft_lookup(const covey_token *tokens, size_t token_count, covey_token *draft,
                           size_t draft_max) {
    for (size_t size = PATTERN_MAX; size >= PATTERN_MIN; size--)
        for (size_t end = token_count - 1; token_count > size && end >= size; end--) {
            if (tokens[end - 1] != tokens[token_count - 1] ||
                !same_end(tokens, end, token_count, size))
                continue;
            size_t count = token_count - end < draft_max ? token_count - end : draft_max;
            memcpy(draft, tokens + end, count * sizeof *draft);
            return count;
        }
    return 0;
}

covey_status covey__drafts_begin(covey__drafts *drafts, covey_session *session,
                                 const covey_generation_options *options, covey_error *error) {
    memset(drafts, 0, sizeof *drafts);
    drafts->session = session;
    drafts->guess = options->draft;
    drafts->user = options->draft_user;
    if (options->draft_tokens < -1 || options->draft_tokens > COVEY__DRAFT_MAX)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "draft_tokens: expected -1 (none), 0 (%d) or 1 to %d",
                           COVEY__DRAFT_DEFAULT, COVEY__DRAFT_MAX);
    int32_t most = options->draft_tokens ? options->draft_tokens : COVEY__DRAFT_DEFAULT;
    if (most < 0) return COVEY_OK;
    drafts->most = most;
    drafts->logits = session->draft_logits;
    if (most <= COVEY__DRAFT_DEFAULT) return COVEY_OK;
    size_t rows = (size_t)most + 1;
    size_t bytes = rows * (size_t)session->model->hyper.vocabulary_size * sizeof(float);
    drafts->logits = covey__alloc(session->model->env, bytes);
    drafts->owned = drafts->logits != NULL;
    return drafts->owned ? COVEY_OK : covey__no_memory(error, "logits of drafts", bytes);
}

/* Closes the open draft. */
static void drop(covey__drafts *drafts) {
    if (drafts->count == 0) return;
    if (drafts->at == 0 && !drafts->guess) {
        if (drafts->misses < MISSES_MAX) drafts->misses++;
        drafts->pause = 1 << drafts->misses;
    } else {
        drafts->misses = 0;
    }
    drafts->count = drafts->at = 0;
    covey__session_drop_draft(drafts->session);
}

void covey__drafts_end(covey__drafts *drafts) {
    drop(drafts);
    if (drafts->owned) covey__free(drafts->session->model->env, drafts->logits);
    drafts->logits = NULL;
}

/* Takes what the open draft foresaw; returns how many of the tokens that are. */
static size_t keep(covey__drafts *drafts, const covey_token *tokens, size_t count) {
    size_t vocabulary = (size_t)drafts->session->model->hyper.vocabulary_size, kept = 0;
    while (kept < count && drafts->at < drafts->count &&
           tokens[kept] == drafts->tokens[drafts->at]) {
        kept++;
        drafts->at++;
        drafts->kept++;
    }
    if (kept > 0)
        covey__session_keep_draft(drafts->session, kept, drafts->logits + drafts->at * vocabulary);
    return kept;
}

/* A guess of what follows the session's tokens and these, into the draft's tokens. */
static size_t make(covey__drafts *drafts, const covey_token *tokens, size_t count, int32_t room) {
    covey_session *session = drafts->session;
    size_t held = session->token_count, most = (size_t)drafts->most;
    if (drafts->pause > 0) {
        drafts->pause -= (int32_t)count < drafts->pause ? (int32_t)count : drafts->pause;
        return 0;
    }
    size_t left = (size_t)session->context - held;
    if (count >= left || room <= 0) return 0;
    if (most > left - count) most = left - count;
    if (most > (size_t)room) most = (size_t)room;
    if (count + most > (size_t)session->batch) return 0;
    memcpy(session->tokens + held, tokens, count * sizeof *tokens); /* where they come to stand */
    size_t found =
        drafts->guess
            ? drafts->guess(drafts->user, session->tokens, held + count, drafts->tokens, most)
            : covey__draft_lookup(session->tokens, held + count, drafts->tokens, most);
    if (found > most) found = most;
    for (size_t i = 0; i < found; i++)
        if (drafts->tokens[i] < 0 || drafts->tokens[i] >= session->model->hyper.vocabulary_size)
            return i;
    return found;
}

covey_status covey__drafts_append(covey__drafts *drafts, const covey_token *tokens, size_t count,
                                  int32_t room, covey_error *error) {
    size_t kept = keep(drafts, tokens, count);
    tokens += kept;
    count -= kept;
    if (count == 0) return COVEY_OK;
    drop(drafts);
    size_t drafted = drafts->logits ? make(drafts, tokens, count, room - (int32_t)kept) : 0;
    if (drafted > 0) {
        covey_status status = covey__session_append_draft(drafts->session, tokens, count,
                                                          drafts->tokens, drafted, drafts->logits);
        if (status == COVEY_OK) {
            drafts->count = drafted;
            drafts->drafted += (int32_t)drafted;
            return COVEY_OK;
        }
    } /* what failed with a guess may do without it, or says why */
    return covey_session_append(drafts->session, tokens, count, error);
}
