/* covey bench --drafts SHARE: the same answer is generated without drafts and with drafts that are
 * right as a recorded sequence says: each guessed token is the answer's own with the probability
 * SHARE, drawn by a generator with a fixed seed, and else another one. So a model with random
 * weights can be measured as one that guesses well. The answer must be the same both times. */
#include "covey/bench_drafts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROMPT_TOKENS 16
#define TOKENS_MAX    4096
#define REPEATS_MAX   64

typedef struct recorded {
    covey_token tokens[PROMPT_TOKENS + TOKENS_MAX];
    size_t count;
    uint64_t random;
    double share;
} recorded;

typedef struct timing {
    double seconds;
    int32_t tokens, drafted, accepted;
    uint64_t passes;
} timing;

static void record(void *user, const covey_token_score *score) {
    recorded *r = user;
    if (r->count < sizeof r->tokens / sizeof *r->tokens) r->tokens[r->count++] = score->token;
}

static size_t guess(void *user, const covey_token *tokens, size_t token_count, covey_token *draft,
                    size_t draft_max) {
    recorded *r = user;
    size_t count = 0;
    (void)tokens;
    for (; count < draft_max && token_count + count < r->count; count++) {
        r->random = r->random * 6364136223846793005u + 1442695040888963407u;
        bool right = (double)(r->random >> 40) < r->share * (double)(1 << 24);
        draft[count] = r->tokens[token_count + count] ^ (right ? 0 : 1);
    }
    return count;
}

static covey_status open_prompted(covey_model *model, const bench_drafts *bench, recorded *r,
                                  covey_session **session, covey_error *error) {
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    options.context_tokens = PROMPT_TOKENS + bench->tokens + 32;
    options.kv_type = bench->kv;
    options.alone = true;
    covey_status status = covey_session_open(model, &options, session, error);
    if (status) return status;
    status = covey_session_append(*session, r->tokens, PROMPT_TOKENS, error);
    if (status) covey_session_close(*session);
    return status;
}

static covey_status generate(covey_model *model, const bench_drafts *bench, recorded *r,
                             const covey_generation_options *options, timing *out,
                             covey_error *error) {
    covey_session *session = NULL;
    covey_generation_result result = COVEY_GENERATION_RESULT_INIT;
    covey_kv_info before = COVEY_KV_INFO_INIT, after = COVEY_KV_INFO_INIT;
    struct timespec start, end;
    covey_status status = open_prompted(model, bench, r, &session, error);
    if (status) return status;
    covey_model_describe_kv(model, &before);
    clock_gettime(CLOCK_MONOTONIC, &start);
    status = covey_session_generate(session, options, &result, error, NULL, NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    covey_model_describe_kv(model, &after);
    covey_session_close(session);
    *out =
        (timing){(double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) * 1e-9,
                 result.token_count, result.drafted_count, result.accepted_count,
                 after.pass_count - before.pass_count};
    return status;
}

/* An answer of the wanted length, of a prompt that does not end it early. */
static covey_status record_answer(covey_model *model, const bench_drafts *bench, recorded *r,
                                  covey_error *error) {
    covey_model_info info = COVEY_MODEL_INFO_INIT;
    covey_generation_options options = COVEY_GENERATION_OPTIONS_INIT;
    covey_model_describe(model, &info);
    options.tokens_max = bench->tokens;
    options.draft_tokens = -1;
    options.token_scored = record;
    options.token_user = r;
    for (int seed = 1; seed <= 8; seed++) {
        timing unused;
        for (int i = 0; i < PROMPT_TOKENS; i++)
            r->tokens[i] = (i * 7919 + seed * 104729) % info.vocabulary_size;
        r->count = PROMPT_TOKENS;
        covey_status status = generate(model, bench, r, &options, &unused, error);
        if (status) return status;
        if (unused.tokens == bench->tokens) return COVEY_OK;
    }
    snprintf(error->message, sizeof error->message,
             "the model ends its answers before %d tokens; ask for fewer with -n",
             (int)bench->tokens);
    return COVEY_ERROR_UNSUPPORTED;
}

static int by_value(const void *a, const void *b) {
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static double median(double *values, int32_t count) {
    qsort(values, (size_t)count, sizeof *values, by_value);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static void print(const bench_drafts *bench, const timing *plain, const timing *drafted,
                  double ratio, double pass_cost) {
    double guessed = drafted->drafted ? (double)drafted->accepted / drafted->drafted : 0.0;
    if (bench->json) {
        printf("{\"draft_tokens\":%d,\"right\":%.2f,\"accepted\":%.3f,\"plain_tps\":%.2f,"
               "\"drafted_tps\":%.2f,\"ratio\":%.3f,\"pass_cost\":%.3f}\n",
               (int)bench->draft, bench->share, guessed, plain->tokens / plain->seconds,
               drafted->tokens / drafted->seconds, ratio, pass_cost);
        return;
    }
    printf("  without drafts %8.1f tokens/s\n", plain->tokens / plain->seconds);
    printf("  with drafts    %8.1f tokens/s: %.2f times, drafts of %d tokens\n",
           drafted->tokens / drafted->seconds, ratio, (int)bench->draft);
    printf("  accepted       %8.0f %% of the guessed tokens (each right with %.0f %%)\n",
           100.0 * guessed, 100.0 * bench->share);
    printf("  a pass         %8.2f times a pass of one token\n", pass_cost);
}

covey_status bench_drafts_run(covey_model *model, const bench_drafts *bench, covey_error *error) {
    double ratios[REPEATS_MAX], costs[REPEATS_MAX];
    timing plain = {0}, drafted = {0};
    int32_t repeats = bench->repeats < REPEATS_MAX ? bench->repeats : REPEATS_MAX;
    recorded *r = calloc(1, sizeof *r);
    covey_status status = r ? COVEY_OK : COVEY_ERROR_NO_MEMORY;
    if (!r) snprintf(error->message, sizeof error->message, "no memory for the answer");
    if (!status) status = record_answer(model, bench, r, error);
    for (int32_t i = 0; i < repeats && !status; i++) {
        covey_generation_options options = COVEY_GENERATION_OPTIONS_INIT;
        options.tokens_max = bench->tokens;
        options.draft_tokens = -1;
        status = generate(model, bench, r, &options, &plain, error);
        options.draft_tokens = bench->draft;
        options.draft = guess;
        options.draft_user = r;
        r->random = 1;
        r->share = bench->share;
        if (!status) status = generate(model, bench, r, &options, &drafted, error);
        if (status) break;
        ratios[i] = (drafted.tokens / drafted.seconds) / (plain.tokens / plain.seconds);
        costs[i] =
            (drafted.seconds / (double)drafted.passes) / (plain.seconds / (double)plain.passes);
    }
    if (!status) print(bench, &plain, &drafted, median(ratios, repeats), median(costs, repeats));
    free(r);
    return status;
}
