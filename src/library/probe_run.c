/* Probes on the engine. A bits probe is recomputed token by token and compared by digest; the first
 * difference is told with its place. A task probe is answered greedily and its answer compared. All
 * probes run even after a failure, so that the figures are true; only memory running out or the
 * caller stops early. An engine that fails on a bits probe (a NaN, a token out of range) has failed
 * it: that is what a damaged weight looks like. */
#include "library/probe_run.h"

#include <covey/session.h>

#include "base/error.h"
#include "base/sha256.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_BYTES_MAX (1u << 20)

typedef struct prober {
    const covey__env *env;
    const covey__probed *probed;
    covey_probe_result *result;
    covey_progress_fn progress;
    void *user;
    uint64_t done, total;
} prober;

/* Little-endian float32, whatever this machine's order. */
static void hash_logits(const float *logits, size_t count, uint8_t digest[32]) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    covey__sha256 hash;
    covey__sha256_init(&hash);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &logits[i], 4);
        bits = __builtin_bswap32(bits);
        covey__sha256_update(&hash, &bits, 4);
    }
    covey__sha256_final(&hash, digest);
#else
    covey__sha256_of(logits, count * sizeof *logits, digest);
#endif
}

void covey__probed_use(covey__probed *probed, const covey_adapter_offer *offers, size_t count) {
    probed->adapter_count = 0;
    for (size_t i = 0; i < count; i++)
        if (!offers[i].on_request)
            probed->adapters[probed->adapter_count++] =
                (covey_adapter_use){offers[i].adapter, offers[i].scale};
}

/* Options of a session with the probed adapters. */
static covey_session_options session_of(const covey__probed *probed) {
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    options.adapters = probed->adapters;
    options.adapter_count = probed->adapter_count;
    return options;
}

covey_status covey__bits_compute(const covey__probed *probed, const covey__bits_probe *probe,
                                 covey_error *error, covey__bits_fn each, void *user) {
    size_t prompt_count = probe->prompt_count, token_count = probe->token_count;
    covey_session *session = NULL;
    covey_session_options options = session_of(probed);
    covey_sampling greedy = COVEY_SAMPLING_INIT;
    if (prompt_count + token_count > INT32_MAX)
        return covey__fail(error, COVEY_ERROR_LIMIT, "the probe has too many tokens");
    options.context_tokens = (int32_t)(prompt_count + token_count);
    options.kv_type = probe->kv;
    options.alone = true; /* it is to show what this device computes */
    covey_status status = covey_session_open(probed->model, &options, &session, error);
    if (status != COVEY_OK) return status;
    status = covey_session_append(session, probe->prompt, prompt_count, error);
    for (size_t i = 0; status == COVEY_OK && i < token_count; i++) {
        covey_token token;
        uint8_t digest[32];
        size_t count;
        const float *logits = covey_session_logits(session, &count);
        hash_logits(logits, count, digest);
        status = covey_session_sample(session, &greedy, &token, error);
        if (status == COVEY_OK && each != NULL) status = each(user, i, token, digest);
        if (status == COVEY_OK && i + 1 < token_count)
            status = covey_session_append(session, &token, 1, error);
    }
    covey_session_close(session);
    return status;
}

static bool report_progress(prober *p, const char *what) {
    p->done++;
    return p->progress == NULL || p->progress(p->user, what, p->done, p->total);
}

static covey_status stopped(covey_error *error) {
    return covey__fail(error, COVEY_ERROR_CANCELLED, "probe: stopped by the caller");
}

static void note_failure(covey_probe_result *result, const char *format, ...) COVEY_PRINTF(2, 3);
static void note_failure(covey_probe_result *result, const char *format, ...) {
    va_list list;
    if (result->first_failure[0] != '\0') return;
    va_start(list, format);
    vsnprintf(result->first_failure, sizeof result->first_failure, format, list);
    va_end(list);
}

typedef struct bits_check {
    const covey__bits_probe *probe;
    covey_probe_result *result;
    bool differs;
} bits_check;

static covey_status check_token(void *user, size_t index, covey_token token,
                                const uint8_t logits[32]) {
    bits_check *check = user;
    const covey__bits_probe *probe = check->probe;
    char want[65], found[65];
    if (memcmp(probe->logits[index], logits, 32) != 0) {
        covey__hex(probe->logits[index], 32, want);
        covey__hex(logits, 32, found);
        note_failure(check->result,
                     "bits probe \"%s\": the logits before token %zu differ: SHA-256 %.16s… "
                     "expected, %.16s… computed",
                     probe->name, index, want, found);
        check->differs = true;
    } else if (probe->tokens[index] != token) {
        note_failure(check->result,
                     "bits probe \"%s\": token %zu: %" PRId32 " expected, %" PRId32 " drawn",
                     probe->name, index, probe->tokens[index], token);
        check->differs = true;
    }
    return check->differs ? COVEY_ERROR_MISMATCH : COVEY_OK;
}

static covey_status check_tokens(const covey__bits_probe *probe, const covey_model_info *info,
                                 covey_error *error) {
    if (probe->arithmetic_version != info->arithmetic_version)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "recorded under arithmetic version %" PRId32
                           ", this engine has %" PRId32,
                           probe->arithmetic_version, info->arithmetic_version);
    for (size_t i = 0; i < probe->prompt_count; i++)
        if (probe->prompt[i] >= info->vocabulary_size)
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "token %" PRId32 " is not in the vocabulary of %" PRId32,
                               probe->prompt[i], info->vocabulary_size);
    return COVEY_OK;
}

static covey_status run_bits(prober *p, const covey__bits_probe *probe, covey_error *error) {
    covey_model_info info = COVEY_MODEL_INFO_INIT;
    covey_error failure = {0};
    bits_check check = {.probe = probe, .result = p->result};
    covey_model_describe(p->probed->model, &info);
    covey_status status = check_tokens(probe, &info, &failure);
    if (status == COVEY_OK)
        status = covey__bits_compute(p->probed, probe, &failure, check_token, &check);
    p->result->bits_count++;
    if (status == COVEY_ERROR_NO_MEMORY || status == COVEY_ERROR_CANCELLED) {
        if (error != NULL) *error = failure;
        return covey__prefix(error, status, "probe: bits probe \"%s\"", probe->name);
    }
    if (status == COVEY_OK)
        p->result->bits_passed++;
    else if (!check.differs)
        note_failure(p->result, "bits probe \"%s\": %s", probe->name, failure.message);
    return report_progress(p, "bits probes") ? COVEY_OK : stopped(error);
}

covey_status covey__task_prompt(const covey__env *env, const covey_model *model,
                                const covey__task_probe *task, covey_token **tokens, size_t *count,
                                covey_error *error) {
    *tokens = NULL;
    *count = 0;
    covey_status status = covey_model_render_chat(model, task->messages, task->message_count, true,
                                                  NULL, 0, count, error);
    if (status != COVEY_OK && status != COVEY_ERROR_LIMIT) return status;
    if (*count == 0) return covey__fail(error, COVEY_ERROR_FORMAT, "its prompt has no tokens");
    covey_token *made = covey__calloc(env, *count, sizeof *made);
    if (made == NULL) return covey__no_memory(error, "prompt", *count * sizeof *made);
    status = covey_model_render_chat(model, task->messages, task->message_count, true, made, *count,
                                     count, error);
    if (status != COVEY_OK) {
        covey__free(env, made);
        return status;
    }
    *tokens = made;
    return COVEY_OK;
}

static bool collect(void *user, const char *text, size_t size) {
    return covey__buffer_append(user, text, size) == COVEY_OK;
}

static covey_status answer_task(prober *p, const covey__task_probe *task, int32_t tokens_max,
                                covey__buffer *answer, covey_error *error) {
    covey_token *prompt = NULL;
    size_t count = 0;
    covey_session *session = NULL;
    covey_session_options options = session_of(p->probed);
    covey_generation_options generation = COVEY_GENERATION_OPTIONS_INIT;
    covey_model_info info = COVEY_MODEL_INFO_INIT;
    covey_model_describe(p->probed->model, &info);
    covey_status status =
        covey__task_prompt(p->env, p->probed->model, task, &prompt, &count, error);
    if (status != COVEY_OK) return status;
    int64_t room = (int64_t)count + tokens_max;
    if (info.context_tokens_max > 0 && room > info.context_tokens_max)
        room = info.context_tokens_max;
    options.context_tokens = room > INT32_MAX ? INT32_MAX : (int32_t)room;
    generation.tokens_max = tokens_max;
    status = covey_session_open(p->probed->model, &options, &session, error);
    if (status == COVEY_OK) status = covey_session_append(session, prompt, count, error);
    if (status == COVEY_OK)
        status = covey_session_generate(session, &generation, NULL, error, collect, answer);
    covey_session_close(session);
    covey__free(p->env, prompt);
    return status;
}

static void note_task(prober *p, const covey__task_probe *task, const covey__buffer *answer,
                      covey_status status, const covey_error *failure) {
    char want[80], found[80];
    if (status != COVEY_OK) {
        note_failure(p->result, "task probe \"%s\": %.160s", task->name, failure->message);
        return;
    }
    covey__printable(task->expect, strlen(task->expect), want, sizeof want);
    covey__printable(answer->data == NULL ? "" : answer->data, answer->size, found, sizeof found);
    note_failure(p->result, "task probe \"%s\": expected %s, answered %s", task->name, want, found);
}

static covey_status run_task(prober *p, const covey__probes *probes, const covey__task_probe *task,
                             covey_error *error) {
    covey__buffer answer;
    covey_error failure = {0};
    covey__buffer_init(&answer, p->env, ANSWER_BYTES_MAX);
    covey_status status = answer_task(p, task, probes->task_tokens_max, &answer, &failure);
    p->result->task_count++;
    bool stops = status == COVEY_ERROR_NO_MEMORY || status == COVEY_ERROR_CANCELLED;
    bool matches =
        status == COVEY_OK && answer.status == COVEY_OK &&
        covey__task_matches(p->env, task, answer.data == NULL ? "" : answer.data, answer.size);
    if (matches)
        p->result->task_passed++;
    else if (!stops)
        note_task(p, task, &answer, status, &failure);
    covey__buffer_free(&answer);
    if (stops) {
        if (error != NULL) *error = failure;
        return covey__prefix(error, status, "probe: task probe \"%s\"", task->name);
    }
    return report_progress(p, "task probes") ? COVEY_OK : stopped(error);
}

static covey_status verdict(const covey__probes *probes, covey_probe_result *result,
                            covey_error *error) {
    result->task_score_min = probes->task_score_min;
    if (result->task_count > 0)
        result->task_score = (double)result->task_passed / result->task_count;
    bool bits = result->bits_passed == result->bits_count;
    bool tasks = result->task_count == 0 || result->task_score >= result->task_score_min;
    if (bits && tasks) {
        /* A task probe or two may fail within the score: that is no failure of the ensemble. */
        return COVEY_OK;
    }
    if (!bits)
        return covey__fail(error, COVEY_ERROR_REFUSED,
                           "probe: %" PRId32 " of %" PRId32 " bits probes are equal: this device "
                           "does not compute what the publisher computed; %s",
                           result->bits_passed, result->bits_count, result->first_failure);
    return covey__fail(error, COVEY_ERROR_REFUSED,
                       "probe: task score %.3f (%" PRId32 " of %" PRId32 "), at least %.3f "
                       "expected; first: %s",
                       result->task_score, result->task_passed, result->task_count,
                       result->task_score_min, result->first_failure);
}

covey_status covey__probes_run(const covey__env *env, const covey__probes *probes,
                               const covey__probed *probed, covey_probe_result *result,
                               covey_error *error, covey_progress_fn progress, void *user) {
    prober p = {.env = env,
                .probed = probed,
                .result = result,
                .progress = progress,
                .user = user,
                .total = probes->bits_count + probes->task_count};
    for (size_t i = 0; i < probes->bits_count; i++) {
        covey_status status = run_bits(&p, &probes->bits[i], error);
        if (status != COVEY_OK) return status;
    }
    for (size_t i = 0; i < probes->task_count; i++) {
        covey_status status = run_task(&p, probes, &probes->tasks[i], error);
        if (status != COVEY_OK) return status;
    }
    return verdict(probes, result, error);
}
