/* The body of a completion request. Options of OpenAI's API are taken over unchanged or refused by
 * name: none is dropped in silence, for then an answer would not be what was asked for. Members
 * that only describe the caller are ignored, and so is the model's name, which every client must
 * send: one model is served, and the answer names it. */
#include "serve/chat.h"

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
                                    "top_logprobs",
                                    "tools",
                                    "tool_choice",
                                    "parallel_tool_calls",
                                    "grammar",
                                    "chat_template_kwargs",
                                    "lora",
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
    bool wanted = false;
    covey_status status = COVEY_OK;
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
    if (!status && !((float)top_p > 0))
        status = covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                             "top_p: expected a number above 0 and at most 1");
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

/* "logprobs" is a switch for chat, with the number in "top_logprobs", and a number for completions.
 */
static covey_status scores(const covey__json *root, bool chat, covey__chat_request *out,
                           covey_error *error) {
    covey_generation_options *generation = &out->generation;
    int64_t top = 0;
    covey_status status = COVEY_OK;
    if (chat) {
        status = boolean(root, "logprobs", &out->logprobs, error);
        if (!status) status = integer(root, "top_logprobs", 0, COVEY_TOP_MAX, &top, error);
        if (!status && top > 0 && !out->logprobs)
            status = covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                                 "top_logprobs: needs \"logprobs\": true");
    } else {
        const covey__json *node = present(root, "logprobs");
        out->logprobs = node && !(node->kind == COVEY__JSON_BOOL && !node->boolean);
        if (out->logprobs) status = integer(root, "logprobs", 0, 5, &top, error);
    }
    generation->score = true; /* every answer says how sure it is */
    generation->top_logprobs = (int32_t)top;
    return status;
}

static covey_status copy_json(covey__arena *arena, const covey__json *node, const char **text,
                              size_t *size, covey_error *error) {
    covey__buffer buffer;
    covey__json_writer json;
    covey__buffer_init(&buffer, arena->env, COVEY__SERVE_BODY_MAX);
    covey__json_writer_init(&json, &buffer, false);
    covey__json_put_node(&json, node);
    covey_status status = covey__buffer_check(&buffer, error, "the request");
    *text = status ? NULL : covey__arena_strndup(arena, buffer.data, buffer.size);
    *size = buffer.size;
    covey__buffer_free(&buffer);
    return status || *text ? status : no_memory(error);
}

/* What chat templates read beside messages. */
static covey_status chat_of(const covey__json *root, covey__chat_request *out, covey_error *error) {
    const covey__json *variables = present(root, "chat_template_kwargs");
    bool wanted = false;
    covey_status status =
        covey__tools_read(present(root, "tools"), present(root, "tool_choice"), &out->tools, error);
    if (!status) status = boolean(root, "parallel_tool_calls", &wanted, error);
    if (!status && variables && variables->kind != COVEY__JSON_OBJECT)
        status = covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                             "chat_template_kwargs: expected an object");
    static const char *const set[] = {"messages",  "tools",     "add_generation_prompt",
                                      "bos_token", "eos_token", NULL};
    for (const covey__json *one = variables ? variables->child : NULL; one && !status;
         one = one->next)
        if (listed(set, one->name))
            status = covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                                 "chat_template_kwargs.%.64s: it is set already", one->name);
    out->chat = (covey_chat)COVEY_CHAT_INIT;
    bool offered = out->tools.list && out->tools.choice != COVEY__TOOLS_NONE;
    if (!status && offered)
        status = copy_json(&out->arena, out->tools.list, &out->chat.tools_json,
                           &out->chat.tools_json_size, error);
    if (!status && variables)
        status = copy_json(&out->arena, variables, &out->chat.variables_json,
                           &out->chat.variables_json_size, error);
    if (status) return status;
    return covey__chat_messages_read(&out->arena, present(root, "messages"), offered || variables,
                                     out, error);
}

static covey_status refuse_of_chat(const covey__json *root, covey_error *error) {
    static const char *const names[] = {
        "tools",        "tool_choice",          "parallel_tool_calls",
        "top_logprobs", "chat_template_kwargs", NULL};
    for (size_t i = 0; names[i]; i++)
        if (present(root, names[i]))
            return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                               "\"%s\" belongs to /v1/chat/completions; leave it out", names[i]);
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

static covey_status plain_of(const covey__json *root, covey__chat_request *out,
                             covey_error *error) {
    covey_status status = refuse_of_chat(root, error);
    if (status) return status;
    const covey__json *prompt = present(root, "prompt");
    if (!prompt || prompt->kind != COVEY__JSON_STRING || memchr(prompt->text, 0, prompt->size))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "prompt: expected one string%s",
                           prompt && prompt->kind == COVEY__JSON_STRING ? " without \\u0000" : "");
    out->request.prompt = prompt->text;
    return COVEY_OK;
}

static covey_status fill(covey_runtime *runtime, covey__chat_request *out, const covey__json *root,
                         bool chat, covey_error *error) {
    if (root->kind != COVEY__JSON_OBJECT)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "the body is not a JSON object");
    covey_status status = refuse_unsupported(root, error);
    out->request = (covey_request)COVEY_REQUEST_INIT;
    out->generation = (covey_generation_options)COVEY_GENERATION_OPTIONS_INIT;
    out->sampling = (covey_sampling)COVEY_SAMPLING_INIT;
    out->request.generation = &out->generation;
    out->generation.sampling = &out->sampling;
    if (!status) status = sampling(root, &out->sampling, error);
    if (!status) status = stops(&out->arena, root, &out->generation, error);
    int64_t max = 0, answers = 1;
    if (!status) status = integer(root, "max_tokens", 1, INT32_MAX, &max, error);
    if (!status) status = integer(root, "max_completion_tokens", 1, INT32_MAX, &max, error);
    if (!status) status = integer(root, "n", 1, COVEY__SERVE_ANSWERS_MAX, &answers, error);
    out->generation.tokens_max = (int32_t)max;
    out->answers = (int32_t)answers;
    if (!status) status = boolean(root, "stream", &out->stream, error);
    if (!status) status = stream_options(root, out, error);
    if (!status) status = scores(root, chat, out, error);
    if (!status)
        status =
            covey__chat_adapters_read(&out->arena, present(root, "lora"), &out->request, error);
    if (!status && present(root, "model") && present(root, "model")->kind != COVEY__JSON_STRING)
        status = covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "model: expected a string");
    if (!status) status = chat ? chat_of(root, out, error) : plain_of(root, out, error);
    if (!status && out->tools.choice == COVEY__TOOLS_AUTO)
        status = covey__chat_calls_read(runtime, &out->tools, &out->calls, error);
    out->tools.calls = out->calls;
    if (!status)
        status = covey__chat_guide_read(runtime, present(root, "response_format"),
                                        present(root, "grammar"), &out->tools, &out->guide, error);
    out->generation.guide = out->guide;
    return status;
}

covey_status covey__chat_request_parse(covey_runtime *runtime, const char *body, size_t size,
                                       bool chat, covey__chat_request *out, covey_error *error) {
    memset(out, 0, sizeof *out);
    covey__arena_init(&out->arena, covey__runtime_env(runtime), 16u << 20);
    const covey__json *root = NULL;
    covey__json_limits limits = {COVEY__SERVE_BODY_MAX, 60, 100000};
    covey_status status = covey__json_parse(&out->arena, body, size, limits, &root, error);
    if (!status) status = fill(runtime, out, root, chat, error);
    if (status) covey__chat_request_free(out);
    return status;
}

void covey__chat_request_free(covey__chat_request *request) {
    covey_guide_free(request->guide);
    covey_guide_free(request->calls);
    request->guide = request->calls = NULL;
    covey__arena_free(&request->arena);
}

const char *covey__param_of(const char *const *members, const char *message,
                            char param[COVEY__PARAM_MAX]) {
    static const char in_path[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.[]-$";
    bool quoted = *message == '"'; /* a name that is not known */
    const char *from = message + quoted;
    size_t size = quoted ? strcspn(from, "\"") : strspn(from, in_path);
    size_t first = strcspn(from, ".[: ,\"");
    if (!size || size >= COVEY__PARAM_MAX) return NULL;
    memcpy(param, from, size);
    param[first < size ? first : size] = 0;
    if (!quoted && !listed(members, param)) return NULL;
    memcpy(param, from, size);
    param[size] = 0;
    return param;
}

const char *covey__chat_request_param(const char *message, char param[COVEY__PARAM_MAX]) {
    return covey__param_of(known, message, param);
}
