/* Recording bits probes, by the publisher. Prompts are of two kinds, in turn: a task probe's own
 * prompt, which takes the ways through the weights that matter, and tokens drawn evenly from the
 * whole vocabulary, which reach rows of the embedding that no task does. Their lengths differ so
 * that both short and long steps of prefill are taken. */
#include "library/probe_run.h"

#include "base/error.h"

#include <stdio.h>
#include <string.h>

#define TOKENS_DRAWN 8

typedef struct recording {
    covey_token *tokens;
    uint8_t (*logits)[32];
} recording;

static covey_status keep(void *user, size_t index, covey_token token, const uint8_t logits[32]) {
    recording *r = user;
    r->tokens[index] = token;
    memcpy(r->logits[index], logits, 32);
    return COVEY_OK;
}

/* splitmix64 (Steele, Lea, Flood 2014): the same prompts for everyone. */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static covey_status even_prompt(covey__probes *probes, const covey_model_info *info, int32_t number,
                                covey__bits_probe *probe, covey_error *error) {
    static const size_t lengths[] = {5, 70, 33, 150};
    size_t count = lengths[(size_t)number / 2 % (sizeof lengths / sizeof lengths[0])];
    size_t room = info->context_tokens_max > 0 ? (size_t)info->context_tokens_max : 4096;
    if (room < TOKENS_DRAWN + 1)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "the model's context of %zu tokens is too short", room);
    if (count + TOKENS_DRAWN > room) count = room - TOKENS_DRAWN;
    covey_token *prompt = covey__arena_calloc(&probes->arena, count, sizeof *prompt);
    if (prompt == NULL) return covey__no_memory(error, "prompt", count * sizeof *prompt);
    uint64_t state = (uint64_t)number;
    for (size_t i = 0; i < count; i++)
        prompt[i] = (covey_token)(next_random(&state) % (uint64_t)info->vocabulary_size);
    probe->prompt = prompt;
    probe->prompt_count = count;
    return COVEY_OK;
}

static covey_status task_prompt(covey__probes *probes, const covey_model *model, int32_t number,
                                covey__bits_probe *probe, covey_error *error) {
    covey_token *tokens;
    size_t count;
    const covey__env *env = probes->arena.env;
    const covey__task_probe *task = &probes->tasks[(size_t)number / 2 % probes->task_count];
    covey_status status = covey__task_prompt(env, model, task, &tokens, &count, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "task probe \"%s\"", task->name);
    covey_token *prompt = covey__arena_calloc(&probes->arena, count, sizeof *prompt);
    if (prompt != NULL) memcpy(prompt, tokens, count * sizeof *prompt);
    covey__free(env, tokens);
    if (prompt == NULL) return covey__no_memory(error, "prompt", count * sizeof *prompt);
    probe->prompt = prompt;
    probe->prompt_count = count;
    return COVEY_OK;
}

static covey_status record_one(covey__probes *probes, const covey__probed *probed, int32_t number,
                               covey__bits_probe *probe, covey_error *error) {
    char name[32];
    covey_model_info info = COVEY_MODEL_INFO_INIT;
    covey_model_describe(probed->model, &info);
    snprintf(name, sizeof name, "bits-%d", (int)number + 1);
    probe->name = covey__arena_strndup(&probes->arena, name, strlen(name));
    recording r = {
        .tokens = covey__arena_calloc(&probes->arena, TOKENS_DRAWN, sizeof *r.tokens),
        .logits = covey__arena_calloc(&probes->arena, TOKENS_DRAWN, sizeof *r.logits),
    };
    if (probe->name == NULL || r.tokens == NULL || r.logits == NULL)
        return covey__no_memory(error, "recording", TOKENS_DRAWN * sizeof *r.logits);
    bool from_task = number % 2 == 1 && probes->task_count > 0;
    covey_status status = from_task ? task_prompt(probes, probed->model, number, probe, error)
                                    : even_prompt(probes, &info, number, probe, error);
    probe->arithmetic_version = info.arithmetic_version;
    probe->kv = COVEY_KV_F16; /* what sessions have that do not choose */
    probe->tokens = r.tokens;
    probe->logits = (const uint8_t(*)[32])r.logits;
    probe->token_count = TOKENS_DRAWN;
    if (status == COVEY_OK) status = covey__bits_compute(probed, probe, error, keep, &r);
    return status;
}

covey_status covey__bits_record(covey__probes *probes, const covey__probed *probed, int32_t count,
                                covey_error *error) {
    if (count <= 0) return COVEY_OK;
    probes->bits = covey__arena_calloc(&probes->arena, (size_t)count, sizeof *probes->bits);
    if (probes->bits == NULL) return covey__no_memory(error, "bits probes", (size_t)count);
    for (int32_t i = 0; i < count; i++) {
        covey_status status = record_one(probes, probed, i, &probes->bits[i], error);
        if (status != COVEY_OK)
            return covey__prefix(error, status, "recording bits probe %d", (int)i + 1);
        probes->bits_count++;
    }
    return COVEY_OK;
}
