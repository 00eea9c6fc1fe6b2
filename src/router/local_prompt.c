/* A request to tokens: by the chat template, or a plain text behind what the vocabulary puts first.
 * Where a session slides, a prompt that is longer than the context is cut to what the session would
 * hold if the tokens had come one by one (covey__slide_dropped), so an answer is a function of the
 * request and the context's length, whatever the conversation held before.
 *
 * What a slide keeps is the system prompt, as far as tokens go: the beginning that the conversation
 * shares with every other one that has the same system messages, tools and variables. So it is
 * found by rendering two others, whose user says other words, and comparing. That holds for any
 * template: those that put the system's text into the user's turn, that make one up where there is
 * none, or that refuse a conversation without a user. */
#include "router/local_prompt.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"
#include "engine/engine.h"

#include <string.h>

/* Messages at the beginning that are kept, and JSON of a conversation, at most. */
#define SYSTEM_MESSAGES_MAX 16
#define CHAT_JSON_MAX       (32u << 20)

/* ---- The whole request ---- */

static covey_chat chat_of(const covey__prompter *to, const covey_request *request) {
    covey_chat chat = COVEY_CHAT_INIT;
    const covey_chat *given = request->chat;
    if (given) {
        memcpy(&chat, given, given->size < sizeof chat ? given->size : sizeof chat);
    } else {
        chat.messages = request->messages;
        chat.message_count = request->message_count;
    }
    chat.size = sizeof chat;
    chat.add_generation_prompt = true;
    if (chat.now_ms < 0) chat.now_ms = to->now_ms ? to->now_ms : covey__now_ms(to->env);
    return chat;
}

static covey_status render_text(const covey__prompter *to, const char *text, covey_token *tokens,
                                size_t capacity, size_t *count, covey_error *error) {
    size_t bos = to->info->adds_bos && to->info->bos >= 0 ? 1 : 0;
    if (bos && capacity) tokens[0] = to->info->bos;
    covey_status status =
        covey_model_tokenize(to->model, text, strlen(text), false, tokens ? tokens + bos : NULL,
                             capacity > bos ? capacity - bos : 0, count, error);
    *count += bos;
    return status;
}

covey_status covey__prompt_render(const covey__prompter *to, const covey_request *request,
                                  covey_token *tokens, size_t capacity, size_t *count,
                                  covey_error *error) {
    if (request->prompt) return render_text(to, request->prompt, tokens, capacity, count, error);
    covey_chat chat = chat_of(to, request);
    return covey_model_render_conversation(to->model, &chat, tokens, capacity, count, error);
}

/* ---- What is kept ---- */

static bool is_system(const char *role) {
    return !strcmp(role, "system") || !strcmp(role, "developer");
}

/* The system messages at the beginning of `chat`, and then a user who says `words`, as messages or
 * as JSON in `json`. */
typedef struct other_chat {
    covey_chat chat;
    covey_message messages[SYSTEM_MESSAGES_MAX + 1];
    covey__buffer json;
} other_chat;

static void other_messages(const covey_chat *chat, const char *words, other_chat *out) {
    size_t count = 0;
    while (count < chat->message_count && count < SYSTEM_MESSAGES_MAX &&
           is_system(chat->messages[count].role)) {
        out->messages[count] = chat->messages[count];
        count++;
    }
    out->messages[count] = (covey_message){"user", words};
    out->chat.messages = out->messages;
    out->chat.message_count = count + 1;
}

static covey_status other_json(covey__arena *arena, const covey_chat *chat, const char *words,
                               other_chat *out, covey_error *error) {
    const covey__json *root = NULL;
    covey_status status = covey__json_parse(arena, chat->messages_json, chat->messages_json_size,
                                            COVEY__JSON_LIMITS_DEFAULT, &root, error);
    if (status) return status;
    covey__json_writer json;
    covey__json_writer_init(&json, &out->json, false);
    covey__json_begin_array(&json);
    for (const covey__json *one = root->child; one; one = one->next) {
        const covey__json *role = covey__json_get(one, "role");
        if (!role || role->kind != COVEY__JSON_STRING || !is_system(role->text)) break;
        covey__json_put_node(&json, one);
    }
    covey__json_begin_object(&json);
    covey__json_member_string(&json, "role", "user");
    covey__json_member_string(&json, "content", words);
    covey__json_end_object(&json);
    covey__json_end_array(&json);
    status = covey__buffer_check(&out->json, error, "the system messages");
    out->chat.messages_json = out->json.data;
    out->chat.messages_json_size = out->json.size;
    return status;
}

/* How many of `tokens` another conversation of the same system begins with. */
static covey_status shared(const covey__prompter *to, const covey_chat *chat, const char *words,
                           const covey_token *tokens, size_t count, size_t *same,
                           covey_error *error) {
    other_chat other = {.chat = *chat};
    covey__arena arena;
    covey__arena_init(&arena, to->env, CHAT_JSON_MAX);
    covey__buffer_init(&other.json, to->env, CHAT_JSON_MAX);
    size_t found = 0;
    covey_status status = COVEY_OK;
    covey_token *others = covey__calloc(to->env, count, sizeof *others);
    if (!others) status = covey__no_memory(error, "tokens", count * sizeof *others);
    if (!status && chat->messages_json)
        status = other_json(&arena, chat, words, &other, error);
    else if (!status)
        other_messages(chat, words, &other);
    if (!status)
        status =
            covey_model_render_conversation(to->model, &other.chat, others, count, &found, error);
    if (status == COVEY_ERROR_LIMIT && found > count) status = COVEY_OK; /* as far as it matters */
    size_t most = found < count ? found : count;
    for (*same = 0; !status && *same < most && others[*same] == tokens[*same];) ++*same;
    covey__free(to->env, others);
    covey__buffer_free(&other.json);
    covey__arena_free(&arena);
    return status;
}

/* The system prompt's tokens at the beginning of the request's. */
static covey_status find_kept(const covey__prompter *to, const covey_request *request,
                              const covey_token *tokens, size_t count, size_t *keep,
                              covey_error *error) {
    *keep = count > 0 && tokens[0] == to->info->bos && to->info->bos >= 0;
    if (request->prompt) return COVEY_OK;
    covey_chat chat = chat_of(to, request);
    size_t one = 0, other = 0; /* words that begin alike with one of them differ from the other */
    covey_status status = shared(to, &chat, "Q", tokens, count, &one, error);
    if (!status) status = shared(to, &chat, "7", tokens, count, &other, error);
    if (status == COVEY_ERROR_INVALID_ARGUMENT || status == COVEY_ERROR_UNSUPPORTED)
        return COVEY_OK; /* the template takes no such conversation */
    if (!status && one > *keep && other > *keep) *keep = one < other ? one : other;
    return status;
}

/* ---- The window ---- */

static covey_status too_long(const covey__prompter *to, size_t count, covey_error *error) {
    return covey__fail_sizes(error, COVEY_ERROR_CONTEXT_SIZE, (int64_t)to->context,
                             (int64_t)count + 1,
                             "prompt: %zu tokens do not fit a context of %zu with room for an "
                             "answer; shorten the prompt or open a longer context",
                             count, to->context);
}

/* The system prompt among `tokens`, which must leave room for something behind it: a template may
 * write the same whatever is said. */
static covey_status keep_system(const covey__prompter *to, const covey_request *request,
                                const covey_token *tokens, size_t count, covey__prompt *out,
                                covey_error *error) {
    covey_status status = find_kept(to, request, tokens, count, &out->keep, error);
    if (status || out->keep < to->context) return status;
    return covey__fail_sizes(error, COVEY_ERROR_CONTEXT_SIZE, (int64_t)to->context,
                             (int64_t)out->keep + 1,
                             "prompt: the system prompt alone has %zu tokens, which leaves no "
                             "room in a context of %zu; open a longer one",
                             out->keep, to->context);
}

static covey_status cut(const covey__prompter *to, const covey_request *request, covey__prompt *out,
                        covey_error *error) {
    size_t total = out->count, count = 0;
    if (total > COVEY__PROMPT_TOKENS_MAX)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)COVEY__PROMPT_TOKENS_MAX,
                                 (int64_t)total, "prompt: expected at most %zu tokens, found %zu",
                                 COVEY__PROMPT_TOKENS_MAX, total);
    covey_token *all = covey__calloc(to->env, total, sizeof *all);
    if (!all) return covey__no_memory(error, "the prompt's tokens", total * sizeof *all);
    covey_status status = covey__prompt_render(to, request, all, total, &count, error);
    if (!status) status = keep_system(to, request, all, count, out, error);
    if (!status) {
        size_t gone = covey__slide_dropped(count, out->keep, to->context), keep = out->keep;
        out->dropped = gone;
        out->count = count - gone;
        memcpy(out->tokens, all, keep * sizeof *all);
        memcpy(out->tokens + keep, all + keep + gone, (out->count - keep) * sizeof *all);
    }
    covey__free(to->env, all);
    return status;
}

covey_status covey__prompt_make(const covey__prompter *where, const covey_request *request,
                                covey__prompt *out, covey_error *error) {
    covey__prompter at_once = *where; /* one time for all renderings, which are compared */
    const covey__prompter *to = &at_once;
    int32_t most = request->generation->tokens_max;
    if (!at_once.now_ms) at_once.now_ms = covey__now_ms(where->env);
    out->count = out->keep = out->dropped = 0;
    covey_status status =
        covey__prompt_render(to, request, out->tokens, to->context, &out->count, error);
    bool beyond = status == COVEY_ERROR_LIMIT && out->count > to->context;
    if (status && !beyond) return status;
    if (!out->count)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "prompt: it is empty, and this model has no beginning token; give text");
    if (!to->slides) return out->count < to->context ? status : too_long(to, out->count, error);
    if (beyond) return cut(to, request, out, error);
    if (most > 0 && (size_t)most <= to->context - out->count) return COVEY_OK; /* never full */
    return keep_system(to, request, out->tokens, out->count, out, error);
}
