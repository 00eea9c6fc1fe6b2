/* The body of a completion request. Options of OpenAI's API are taken over unchanged or refused by
 * name: none is dropped in silence, for then an answer would not be what was asked for. Members
 * that only describe the caller are ignored, and so is the model's name, which every client must
 * send: one model is served, and the answer names it. */
#include "serve/serve.h"

#include "base/error.h"

#include <math.h>
#include <string.h>

static const char *const ignored[] = {"user", "metadata", "store", "safety_identifier", NULL};
static const char *const known[] = {"model",
                                    "messages",
                                    "prompt",
                                    "stream",
                                    "stream_options",
                                    "max_tokens",
                                    "max_completion_tokens",
                                    "temperature",
                                    "top_p",
                                    "top_k",
                                    "min_p",
                                    "seed",
                                    "stop",
                                    "repetition_penalty",
                                    "repeat_penalty",
                                    "repeat_last_n",
                                    "n",
                                    "presence_penalty",
                                    "frequency_penalty",
                                    "logprobs",
                                    "echo",
                                    "response_format",
                                    NULL};

static bool listed(const char *const *names, const char *name) {
    while (*names && strcmp(*names, name)) names++;
    return *names != NULL;
}

static const covey__json *present(const covey__json *root, const char *name) {
    const covey__json *node = covey__json_get(root, name);
    return node && node->kind != COVEY__JSON_NULL ? node : NULL;
}

/* A number in [min, max], or the default where it is absent. */
static covey_status number(const covey__json *root, const char *name, double min, double max,
                           double *out, covey_error *error) {
    const covey__json *node = present(root, name);
    if (!node) return COVEY_OK;
    double value = node->kind == COVEY__JSON_NUMBER ? covey__json_to_f64(node) : NAN;
    if (!(value >= min && value <= max))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "%s: expected a number from %g to %g", name, min, max);
    *out = value;
    return COVEY_OK;
}

static covey_status integer(const covey__json *root, const char *name, int64_t min, int64_t max,
                            int64_t *out, covey_error *error) {
    const covey__json *node = present(root, name);
    if (!node) return COVEY_OK;
    if (node->kind != COVEY__JSON_NUMBER || !covey__json_to_i64(node, out) || *out < min ||
        *out > max)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "%s: expected a whole number from %lld to %lld", name, (long long)min,
                           (long long)max);
    return COVEY_OK;
}

static covey_status boolean(const covey__json *root, const char *name, bool *out,
                            covey_error *error) {
    const covey__json *node = present(root, name);
    if (!node) return COVEY_OK;
    if (node->kind != COVEY__JSON_BOOL)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "%s: expected true or false", name);
    *out = node->boolean;
    return COVEY_OK;
}

static covey_status refuse_unsupported(const covey__json *root, covey_error *error) {
    for (const covey__json *node = root->child; node; node = node->next)
        if (node->kind != COVEY__JSON_NULL && !listed(known, node->name) &&
            !listed(ignored, node->name))
            return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                               "\"%.64s\" is not supported here; leave it out", node->name);
    static const char *const neutral[] = {"presence_penalty", "frequency_penalty", NULL};
    for (size_t i = 0; neutral[i]; i++) {
        double value = 0;
        covey_status status = number(root, neutral[i], -2, 2, &value, error);
        if (status) return status;
        if (value != 0)
            return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                               "%s other than 0 is not supported; use repetition_penalty",
                               neutral[i]);
    }
    int64_t n = 1;
    covey_status status = integer(root, "n", 1, 128, &n, error);
    if (!status && n != 1)
        status = covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                             "n: one answer a request is supported; ask again for more");
    bool wanted = false;
    const covey__json *format = present(root, "response_format");
    const covey__json *format_type = covey__json_get(format, "type");
    if (!status && format &&
        (!format_type || format_type->kind != COVEY__JSON_STRING ||
         strcmp(format_type->text, "text")))
        status =
            covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                        "response_format other than {\"type\":\"text\"} is not supported here");
    const covey__json *logprobs = present(root, "logprobs");
    if (!status && logprobs && !(logprobs->kind == COVEY__JSON_BOOL && !logprobs->boolean))
        status = covey__fail(error, COVEY_ERROR_UNSUPPORTED, "logprobs are not supported here");
    if (!status) status = boolean(root, "echo", &wanted, error);
    if (!status && wanted)
        status = covey__fail(error, COVEY_ERROR_UNSUPPORTED, "echo is not supported here");
    return status;
}

static covey_status sampling(const covey__json *root, covey_sampling *out, covey_error *error) {
    double temperature = 0, top_p = 1, min_p = 0, penalty = 1;
    int64_t top_k = 0, last = out->repetition_last, seed = 0;
    covey_status status = number(root, "temperature", 0, 100, &temperature, error);
    if (!status) status = number(root, "top_p", 0, 1, &top_p, error);
    if (!status) status = number(root, "min_p", 0, 1, &min_p, error);
    if (!status) status = number(root, "repetition_penalty", 0.01, 100, &penalty, error);
    if (!status) status = number(root, "repeat_penalty", 0.01, 100, &penalty, error);
    if (!status) status = integer(root, "top_k", 0, INT32_MAX, &top_k, error);
    if (!status) status = integer(root, "repeat_last_n", 0, INT32_MAX, &last, error);
    if (!status) status = integer(root, "seed", INT64_MIN, INT64_MAX, &seed, error);
    out->temperature = (float)temperature;
    out->top_p = (float)top_p;
    out->min_p = (float)min_p;
    out->repetition_penalty = (float)penalty;
    out->top_k = (int32_t)top_k;
    out->repetition_last = (int32_t)last;
    out->seed = (uint64_t)seed;
    return status;
}

static covey_status no_memory(covey_error *error) {
    return covey__fail(error, COVEY_ERROR_LIMIT, "the request is too large");
}

static covey_status stops(covey__arena *arena, const covey__json *root,
                          covey_generation_options *out, covey_error *error) {
    const covey__json *node = present(root, "stop");
    if (!node) return COVEY_OK;
    const covey__json *first = node->kind == COVEY__JSON_ARRAY ? node->child : node;
    size_t count = node->kind == COVEY__JSON_ARRAY ? node->size : 1;
    if (count > COVEY__SERVE_STOPS_MAX)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "stop: at most %d strings",
                           COVEY__SERVE_STOPS_MAX);
    const char **list = covey__arena_calloc(arena, count + 1, sizeof *list);
    if (!list) return no_memory(error);
    for (size_t i = 0; i < count; i++, first = first->next) {
        if (first->kind != COVEY__JSON_STRING || !first->size ||
            memchr(first->text, 0, first->size))
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "stop: expected a string or an array of strings, none empty");
        list[i] = first->text;
    }
    out->stop = list;
    out->stop_count = count;
    return COVEY_OK;
}

/* Content is a string, or an array of parts of which each is text. */
static covey_status content_of(covey__arena *arena, const covey__json *node, size_t index,
                               const char **out, covey_error *error) {
    if (node && node->kind == COVEY__JSON_STRING && !memchr(node->text, 0, node->size)) {
        *out = node->text;
        return COVEY_OK;
    }
    if (!node || node->kind != COVEY__JSON_ARRAY)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "messages[%zu].content: expected a string or an array of text parts",
                           index);
    size_t total = 1;
    for (const covey__json *part = node->child; part; part = part->next) {
        const covey__json *type = covey__json_get(part, "type"),
                          *text = covey__json_get(part, "text");
        if (!type || type->kind != COVEY__JSON_STRING || strcmp(type->text, "text") || !text ||
            text->kind != COVEY__JSON_STRING || memchr(text->text, 0, text->size))
            return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                               "messages[%zu].content: parts other than text are not supported",
                               index);
        total += text->size;
    }
    char *joined = covey__arena_alloc(arena, total), *at = joined;
    if (!joined) return no_memory(error);
    for (const covey__json *part = node->child; part; part = part->next) {
        const covey__json *text = covey__json_get(part, "text");
        memcpy(at, text->text, text->size);
        at += text->size;
    }
    *out = joined;
    return COVEY_OK;
}

static covey_status messages(covey__arena *arena, const covey__json *root, covey_request *out,
                             covey_error *error) {
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool", NULL};
    const covey__json *list = present(root, "messages");
    if (!list || list->kind != COVEY__JSON_ARRAY || !list->size ||
        list->size > COVEY__SERVE_MESSAGES_MAX)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "messages: expected an array of 1 to %d messages",
                           COVEY__SERVE_MESSAGES_MAX);
    covey_message *made = covey__arena_calloc(arena, list->size, sizeof *made);
    if (!made) return no_memory(error);
    size_t i = 0;
    for (const covey__json *node = list->child; node; node = node->next, i++) {
        const covey__json *role = covey__json_get(node, "role");
        if (!role || role->kind != COVEY__JSON_STRING || !listed(roles, role->text))
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "messages[%zu].role: expected system, user, assistant or tool", i);
        static const char *const fields[] = {"role", "content", "name", NULL};
        for (const covey__json *member = node->child; member; member = member->next)
            if (!listed(fields, member->name) && member->kind != COVEY__JSON_NULL)
                return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                                   "messages[%zu].%.64s is not supported here; leave it out", i,
                                   member->name);
        made[i].role = strcmp(role->text, "developer") ? role->text : "system";
        covey_status status =
            content_of(arena, covey__json_get(node, "content"), i, &made[i].content, error);
        if (status) return status;
    }
    out->messages = made;
    out->message_count = i;
    return COVEY_OK;
}

static covey_status stream_options(const covey__json *root, covey__chat_request *out,
                                   covey_error *error) {
    static const char *const names[] = {"include_usage", "include_obfuscation", NULL};
    const covey__json *options = present(root, "stream_options");
    if (!options) return COVEY_OK;
    if (options->kind != COVEY__JSON_OBJECT)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "stream_options: expected an object");
    for (const covey__json *node = options->child; node; node = node->next)
        if (!listed(names, node->name))
            return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                               "stream_options.%.64s is not supported here; leave it out",
                               node->name);
    return boolean(options, "include_usage", &out->include_usage, error);
}

static covey_status fill(covey__chat_request *out, const covey__json *root, bool chat,
                         covey_error *error) {
    if (root->kind != COVEY__JSON_OBJECT)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "the body is not a JSON object");
    covey_status status = refuse_unsupported(root, error);
    out->request = (covey_request)COVEY_REQUEST_INIT;
    if (!status) status = sampling(root, &out->request.generation.sampling, error);
    if (!status) status = stops(&out->arena, root, &out->request.generation, error);
    int64_t max = 0;
    if (!status) status = integer(root, "max_tokens", 1, INT32_MAX, &max, error);
    if (!status) status = integer(root, "max_completion_tokens", 1, INT32_MAX, &max, error);
    out->request.generation.tokens_max = (int32_t)max;
    if (!status) status = boolean(root, "stream", &out->stream, error);
    if (!status) status = stream_options(root, out, error);
    if (!status && present(root, "model") && present(root, "model")->kind != COVEY__JSON_STRING)
        status = covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "model: expected a string");
    if (status) return status;
    if (chat) return messages(&out->arena, root, &out->request, error);
    const covey__json *prompt = present(root, "prompt");
    if (!prompt || prompt->kind != COVEY__JSON_STRING || memchr(prompt->text, 0, prompt->size))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "prompt: expected one string");
    out->request.prompt = prompt->text;
    return COVEY_OK;
}

covey_status covey__chat_request_parse(const covey__env *env, const char *body, size_t size,
                                       bool chat, covey__chat_request *out, covey_error *error) {
    memset(out, 0, sizeof *out);
    covey__arena_init(&out->arena, env, 16u << 20);
    const covey__json *root = NULL;
    covey__json_limits limits = {COVEY__SERVE_BODY_MAX, 32, 100000};
    covey_status status = covey__json_parse(&out->arena, body, size, limits, &root, error);
    if (!status) status = fill(out, root, chat, error);
    if (status) covey__chat_request_free(out);
    return status;
}

void covey__chat_request_free(covey__chat_request *request) {
    covey__arena_free(&request->arena);
}
