/* covey run: answers prompts in the terminal. Interactive on a terminal, else one prompt from the
 * arguments or standard input. The answer goes to standard output, everything else to standard
 * error, so that it can be piped. */
#include "covey/commands.h"

#include "common/files.h"
#include "common/json_text.h"
#include "common/options.h"
#include "covey/context.h"
#include "covey/line_editor.h"
#include "covey/message_pack.h"
#include "covey/session_lock.h"

#include <covey/guide.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROMPT_BYTES_MAX (4u << 20)
#define MESSAGES_MAX     65536
#define GUIDE_BYTES_MAX  (1u << 20)

typedef struct run {
    app_context context;
    app_served served;
    covey_conversation *conversation;
    const char *system;
    int64_t context_tokens, tokens_max, top_k, seed;
    double temperature, top_p, min_p, repetition_penalty;
    bool raw, stats, json;
    bool is_cut;                  /* the last answer ended before its guide was satisfied */
    const char *schema, *grammar; /* files */
    const char *session_file;
    app_session_lock session_lock;
    bool restored;
    char *own_system; /* the session file's, where --system says none */
    covey_guide *guide;
    covey_message *messages;
    size_t message_count, message_capacity;
    int32_t dropped; /* tokens that the last answer did not see */
} run;

static covey_conversation *volatile answering; /* what an interrupt cancels */

static void cancel_answer(void) {
    if (answering) covey_conversation_cancel(answering);
}

typedef struct answer_text {
    char *text;
    size_t size, capacity;
    bool quiet, terminal;
} answer_text;

/* To a terminal, control characters that are not white space are shown as ^X: an answer must not
 * move the cursor or change what stands there. */
static bool show(const char *text, size_t size, bool terminal) {
    for (size_t i = 0; terminal && i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        bool c1 = c == 0xc2 && i + 1 < size && (unsigned char)text[i + 1] < 0xa0;
        if ((c >= 0x20 && c != 0x7f && !c1) || c == '\n' || c == '\t') {
            putchar(c);
        } else {
            printf("^%c", c1 ? '?' : c ^ 0x40);
            i += c1;
        }
    }
    if (!terminal) fwrite(text, 1, size, stdout);
    return fflush(stdout) == 0;
}

static bool on_text(void *user, const char *text, size_t size) {
    answer_text *out = user;
    if (out->size + size + 1 > out->capacity) {
        size_t capacity = 2 * (out->size + size + 1);
        char *larger = realloc(out->text, capacity);
        if (!larger) return false;
        out->text = larger;
        out->capacity = capacity;
    }
    memcpy(out->text + out->size, text, size);
    out->size += size;
    out->text[out->size] = 0;
    return out->quiet || show(text, size, out->terminal);
}

static const char *stop_name(covey_stop_reason reason) {
    static const char *const names[] = {"end", "length", "context", "stop", "cancelled"};
    return names[reason];
}

static double rate(int64_t count, int64_t us) {
    return us > 0 ? (double)count * 1e6 / (double)us : 0;
}

static void print_figures(const run *r, const covey_answer *answer, const char *text) {
    double first_ms = (double)answer->first_token_us / 1000.0;
    double prefill =
        rate(answer->prompt_token_count - answer->reused_token_count, answer->prefill_us);
    double decode = rate(answer->answer_token_count - 1, answer->decode_us);
    if (r->json) {
        fputs("{\"answer\":", stdout);
        app_put_json_text(stdout, text);
        fputs(",\"ensemble\":", stdout);
        app_put_json_text(stdout, r->served.label);
        fputs(",\"adapters\":", stdout);
        app_put_adapters(stdout, r->served.backend, answer, true);
        printf(
            ",\"route\":\"local\",\"stop_reason\":\"%s\",\"prompt_tokens\":%d,\"answer_tokens\":%d,"
            "\"time_to_first_token_ms\":%.2f,\"prefill_tps\":%.1f,\"decode_tps\":%.1f}\n",
            stop_name(answer->stop_reason), (int)answer->prompt_token_count,
            (int)answer->answer_token_count, first_ms, prefill, decode);
    } else if (r->stats) {
        fprintf(stderr, "[%s", r->served.label);
        app_put_adapters(stderr, r->served.backend, answer, false);
        fprintf(stderr,
                ": first token %.1f ms, prompt %d tokens at %.0f/s, answer %d tokens at %.0f/s]\n",
                first_ms, (int)answer->prompt_token_count, prefill, (int)answer->answer_token_count,
                decode);
    }
}

static void fill_generation(const run *r, covey_sampling *sampling,
                            covey_generation_options *generation) {
    sampling->temperature = (float)r->temperature;
    sampling->top_k = (int32_t)r->top_k;
    sampling->top_p = (float)r->top_p;
    sampling->min_p = (float)r->min_p;
    sampling->repetition_penalty = (float)r->repetition_penalty;
    sampling->seed = (uint64_t)r->seed;
    generation->sampling = sampling;
    generation->tokens_max = (int32_t)r->tokens_max;
    generation->guide = r->guide;
}

/* Room for two messages more; false when there is none. */
static bool make_room(run *r, covey_error *error) {
    if (r->message_count + 2 <= r->message_capacity) return true;
    size_t capacity = r->message_capacity ? 2 * r->message_capacity : 64;
    covey_message *larger =
        capacity > MESSAGES_MAX ? NULL : realloc(r->messages, capacity * sizeof *larger);
    if (!larger) {
        error->status = COVEY_ERROR_LIMIT;
        snprintf(error->message, sizeof error->message,
                 "this conversation has %zu messages, and there is no room for more; /clear begins "
                 "a new one",
                 r->message_count);
        return false;
    }
    r->messages = larger;
    r->message_capacity = capacity;
    return true;
}

/* Prompt and answer join the conversation, which then owns the answer's text. */
static bool remember(run *r, const char *prompt, char *answer) {
    char *kept = answer ? strdup(prompt) : NULL;
    if (!kept) return false;
    r->messages[r->message_count++] = (covey_message){"user", kept};
    r->messages[r->message_count++] = (covey_message){"assistant", answer};
    return true;
}

/* Says so when an answer ended before the schema or the grammar was satisfied. */
static bool is_cut(const run *r, const covey_answer *answer, const answer_text *out) {
    bool ran_out =
        answer->stop_reason == COVEY_STOP_LENGTH || answer->stop_reason == COVEY_STOP_CONTEXT;
    bool whole = false;
    size_t matched = 0;
    if (!r->guide || !ran_out) return false;
    if (covey_guide_match(r->guide, out->text ? out->text : "", out->size, &matched, &whole, NULL))
        whole = false;
    if (whole) return false;
    fprintf(stderr,
            "%s: the answer is cut short after %d tokens (finish reason: %s): the %s is not "
            "complete; allow more with %s\n",
            r->context.command, (int)answer->answer_token_count, stop_name(answer->stop_reason),
            r->schema ? "JSON" : "text",
            answer->stop_reason == COVEY_STOP_LENGTH ? "--max-tokens" : "--context");
    return true;
}

/* A trial proves itself by its answers. */
static void tell_agent(const run *r, covey_status status, const covey_answer *answer,
                       const covey_error *error) {
    covey_agent_answer told = COVEY_AGENT_ANSWER_INIT;
    if (!r->context.agent || !r->served.digest[0]) return;
    bool stopped = !status && answer->stop_reason == COVEY_STOP_CANCELLED;
    told.digest = r->served.digest;
    told.status = stopped ? COVEY_ERROR_CANCELLED : status;
    told.prompt_token_count = answer->prompt_token_count - answer->reused_token_count;
    told.answer_token_count = answer->answer_token_count;
    told.first_token_us = answer->first_token_us;
    told.decode_us = answer->decode_us;
    told.disturbed = true; /* beside whom, it does not know */
    covey_agent_answered(r->context.agent, &told, 1, status ? error->message : NULL);
}

/* Answers `prompt`. What was stopped by Ctrl-C stays in the conversation as far as it came. */
static bool answer_prompt(run *r, const char *prompt, covey_stop_reason *reason,
                          covey_error *error) {
    covey_sampling sampling = COVEY_SAMPLING_INIT;
    covey_generation_options generation = COVEY_GENERATION_OPTIONS_INIT;
    covey_request request = COVEY_REQUEST_INIT;
    covey_answer answer = COVEY_ANSWER_INIT;
    answer_text out = {.quiet = r->json, .terminal = isatty(STDOUT_FILENO)};
    bool chat = r->served.info.has_chat_template && !r->raw;
    if (chat && !make_room(r, error)) return false;
    if (chat) {
        r->messages[r->message_count] = (covey_message){"user", prompt};
        request.messages = r->messages;
        request.message_count = r->message_count + 1;
    } else {
        request.prompt = prompt;
    }
    fill_generation(r, &sampling, &generation);
    request.generation = &generation;
    answering = r->conversation;
    covey_status status =
        covey_conversation_generate(r->conversation, &request, &answer, error, on_text, &out);
    answering = NULL;
    tell_agent(r, status, &answer, error);
    if (!r->json && out.size) {
        puts("");
        fflush(stdout); /* what is said of the answer comes after it */
    }
    if (!status) print_figures(r, &answer, out.text ? out.text : "");
    r->is_cut = !status && is_cut(r, &answer, &out);
    if (!status && answer.dropped_token_count > r->dropped && !r->json)
        fprintf(stderr, "[the oldest %d tokens of this conversation are no longer seen]\n",
                (int)answer.dropped_token_count);
    r->dropped = status ? r->dropped : answer.dropped_token_count;
    *reason = status == COVEY_ERROR_CANCELLED ? COVEY_STOP_CANCELLED : answer.stop_reason;
    if (!status && chat && remember(r, prompt, out.text)) return true;
    free(out.text);
    return status == COVEY_OK || status == COVEY_ERROR_CANCELLED;
}

/* Messages from `first` on are ours to free; the system's text is not. */
static void forget(run *r) {
    for (size_t i = r->system ? 1 : 0; i < r->message_count; i++) {
        char *owned = NULL;
        memcpy(&owned, &r->messages[i].content, sizeof owned);
        free(owned);
    }
    r->message_count = 0;
    r->dropped = 0;
    if (r->system) r->messages[r->message_count++] = (covey_message){"system", r->system};
}

/* "/help" and its like; false when the line is a prompt. */
static bool interactive_command(run *r, const char *line, bool *leave) {
    if (!strcmp(line, "/exit") || !strcmp(line, "/quit") || !strcmp(line, "/bye")) {
        *leave = true;
    } else if (!strcmp(line, "/clear")) {
        forget(r);
        fputs("A new conversation.\n", stderr);
    } else if (!strcmp(line, "/help") || !strcmp(line, "/?")) {
        fputs("/clear begins a new conversation, /exit leaves (so does Ctrl-D), Ctrl-C stops an "
              "answer.\n",
              stderr);
    } else if (line[0] == '/' && line[1] && line[1] != ' ') {
        fprintf(stderr, "Unknown command %s; /help lists them.\n", line);
    } else {
        return false;
    }
    return true;
}

static void answer_line(run *r, const char *text) {
    covey_error error = {0};
    covey_stop_reason reason = COVEY_STOP_END;
    app_clear_interrupt();
    if (!answer_prompt(r, text, &reason, &error)) {
        fprintf(stderr, "%s: %s\n", r->context.command, error.message);
        if (error.status == COVEY_ERROR_CONTEXT_SIZE && r->message_count > (r->system ? 1 : 0))
            fputs("/clear begins a new conversation; with --when-full slide the oldest words "
                  "would make room.\n",
                  stderr);
    } else if (reason == COVEY_STOP_CANCELLED && !app_terminated()) {
        fputs("[stopped]\n", stderr);
    }
    app_clear_interrupt();
}

static int interactive(run *r) {
    covey_error error = {0};
    char *history = NULL, *line = NULL;
    if (app_find_state(&r->context, &error)) history = app_join(r->context.state_dir, "history");
    app_lines_begin(history);
    covey_answer usual = COVEY_ANSWER_INIT;
    app_default_adapters(r->served.backend, &usual);
    fputs(r->served.label, stderr);
    app_put_adapters(stderr, r->served.backend, &usual, false);
    fprintf(stderr, ", %s. /help lists commands.\n", r->served.info.quantization);
    if (!r->served.info.has_chat_template && !r->raw)
        fputs("This model has no chat template: it continues your text, and each line stands "
              "alone.\n",
              stderr);
    for (bool leave = false; !leave && (line = app_lines_read(">>> ")); free(line)) {
        const char *text = line + strspn(line, " \t");
        if (*text && !interactive_command(r, text, &leave)) answer_line(r, text);
    }
    if (!line) fputs("\n", stderr); /* the prompt's line is still open */
    if (!app_lines_end(history)) fprintf(stderr, "covey run: cannot write %s\n", history);
    free(history);
    return app_terminated() ? APP_EXIT_FAILED : APP_EXIT_DONE;
}

/* What standard input says; NULL after setting `error`. */
static char *read_prompt(covey_error *error) {
    size_t size = 0;
    char *text = app_read_stream(stdin, PROMPT_BYTES_MAX, &size);
    error->status = COVEY_ERROR_IO;
    if (!text && errno == EFBIG)
        snprintf(error->message, sizeof error->message,
                 "standard input is longer than the %u bytes that a prompt may have",
                 PROMPT_BYTES_MAX);
    else if (!text)
        snprintf(error->message, sizeof error->message, "standard input: %s", strerror(errno));
    if (!text) return NULL;
    size_t length = strlen(text);
    if (length < size) { /* what follows it would be left out in silence */
        error->status = COVEY_ERROR_FORMAT;
        snprintf(error->message, sizeof error->message,
                 "standard input: expected text, found a NUL byte at byte %zu", length);
        free(text);
        return NULL;
    }
    error->status = COVEY_OK;
    if (size && text[size - 1] == '\n') text[size - 1] = 0;
    return text;
}

/* The words of the arguments, or standard input; NULL when there is neither (then it is
 * interactive), or after setting `error`. */
static char *given_prompt(const app_positional *words, size_t first, covey_error *error) {
    size_t size = 0;
    if (words->count == first) return isatty(STDIN_FILENO) ? NULL : read_prompt(error);
    for (size_t i = first; i < words->count; i++) size += strlen(words->items[i]) + 1;
    char *text = calloc(1, size + 1);
    for (size_t i = first; text && i < words->count; i++) {
        if (i > first) strcat(text, " ");
        strcat(text, words->items[i]);
    }
    return text;
}

/* A first word that is a file, or looks like the name of one, is the model. */
static bool is_model(const char *word) {
    size_t size = strlen(word);
    if (app_is_folder(word) && strchr(word, '/')) return true; /* to be told that it is none */
    return app_is_file(word) || (size > 5 && !strcmp(word + size - 5, ".gguf"));
}

/* One prompt, one answer. An answer that was stopped is not the answer. */
static int answer_once(run *r, const char *prompt) {
    covey_error error = {0};
    covey_stop_reason reason = COVEY_STOP_END;
    if (!answer_prompt(r, prompt, &reason, &error)) return app_failed(&r->context, &error);
    if (reason != COVEY_STOP_CANCELLED) return r->is_cut ? APP_EXIT_CUT : APP_EXIT_DONE;
    fputs(app_interrupted() ? "covey run: stopped\n"
                            : "covey run: the answer could not be written\n",
          stderr);
    return APP_EXIT_FAILED;
}

/* What answers must look like, from the file that --schema or --grammar names. */
static bool open_guide(run *r, covey_error *error) {
    const char *path = r->schema ? r->schema : r->grammar;
    size_t size = 0;
    if (!path) return true;
    char *text = app_read_file(path, GUIDE_BYTES_MAX, &size);
    if (!text) {
        error->status = COVEY_ERROR_IO;
        snprintf(error->message, sizeof error->message, "cannot read %s: %s", path,
                 strerror(errno));
        return false;
    }
    covey_status status =
        r->schema
            ? covey_guide_new_json_schema(r->context.runtime, text, size, NULL, &r->guide, error)
            : covey_guide_new_gbnf(r->context.runtime, text, size, NULL, &r->guide, error);
    free(text);
    return status == COVEY_OK;
}

/* ---- Sessions in files ---- */

/* A message out of the file, after those that are there. Of the system there is one, the first. */
static bool take_message(void *user, const char *role, const char *content) {
    run *r = user;
    covey_error ignored;
    bool is_system = !strcmp(role, "system"), is_first = r->message_count == (r->system ? 1u : 0u);
    if ((is_system && (r->own_system || !is_first)) || !make_room(r, &ignored)) return false;
    char *kept = strdup(content);
    if (!kept) return false;
    if (is_system) { /* --system goes before it */
        r->own_system = kept;
        if (!r->system) r->system = kept;
        forget(r);
        return true;
    }
    bool user_says = !strcmp(role, "user");
    r->messages[r->message_count++] = (covey_message){user_says ? "user" : "assistant", kept};
    return true;
}

static void take_note(void *user, const void *note, size_t size) {
    run *r = user;
    r->restored = app_unpack_messages(note, size, take_message, r);
}

/* Whether a file can be made there: better known before a conversation than after it. */
static bool can_keep(const char *path, covey_error *error) {
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    bool can = folder && app_is_folder(folder) && !access(folder, W_OK);
    if (!can) {
        error->status = COVEY_ERROR_IO;
        snprintf(error->message, sizeof error->message,
                 "--session %.200s: cannot be kept there: %s", path,
                 folder && !app_is_folder(folder) ? "there is no such folder" : strerror(errno));
    }
    free(folder);
    return can;
}

/* Goes on where the file ends, if there is one. */
static bool restore_session(run *r, covey_error *error) {
    if (!r->session_file) return true;
    if (!r->served.info.has_chat_template || r->raw) {
        error->status = COVEY_ERROR_UNSUPPORTED;
        snprintf(error->message, sizeof error->message,
                 "--session needs a model with a chat template, and no --raw: else each prompt "
                 "stands alone");
        return false;
    }
    if (!app_session_lock_take(r->session_file, &r->session_lock, error)) return false;
    covey_status status =
        covey_conversation_restore(r->conversation, r->session_file, error, take_note, r);
    if (status == COVEY_ERROR_NOT_FOUND) { /* a new one */
        *error = (covey_error){0};
        return can_keep(r->session_file, error);
    }
    if (status == COVEY_OK && !r->restored) {
        status = error->status = COVEY_ERROR_FORMAT;
        snprintf(error->message, sizeof error->message,
                 "%.300s: it was not kept by covey run; name another file", r->session_file);
    }
    if (status == COVEY_OK && isatty(STDERR_FILENO))
        fprintf(stderr, "Going on with a conversation of %zu messages.\n", r->message_count);
    return status == COVEY_OK;
}

static bool save_session(run *r, covey_error *error) {
    size_t size = 0;
    if (!r->session_file) return true;
    if (r->message_count == (r->system ? 1u : 0u)) { /* nothing was said, or /clear came last */
        if (r->restored && remove(r->session_file) && errno != ENOENT) {
            error->status = COVEY_ERROR_IO;
            snprintf(error->message, sizeof error->message, "--session: cannot remove %.200s: %s",
                     r->session_file, strerror(errno));
            return false;
        }
        return true;
    }
    char *note = app_pack_messages(r->messages, r->message_count, &size);
    if (!note) {
        error->status = COVEY_ERROR_NO_MEMORY;
        snprintf(error->message, sizeof error->message, "no memory to keep the conversation");
        return false;
    }
    covey_status status =
        covey_conversation_save(r->conversation, r->session_file, note, size, error);
    free(note);
    return status == COVEY_OK;
}

static int run_all(run *r, const app_positional *words) {
    covey_error error = {0};
    int status = APP_EXIT_DONE;
    bool has_model = words->count && is_model(words->items[0]);
    if (!app_open_served(&r->context, has_model ? words->items[0] : NULL, 1, 0, &r->served,
                         &error)) {
        status = app_failed(&r->context, &error);
        if (!has_model && error.status == COVEY_ERROR_NOT_FOUND)
            fputs("With a model of your own: covey run MODEL.gguf [PROMPT...]\n", stderr);
        return status;
    }
    if (!open_guide(r, &error)) return app_failed(&r->context, &error);
    if (covey_conversation_open(r->served.backend, (int32_t)r->context_tokens, &r->conversation,
                                &error))
        return app_failed(&r->context, &error);
    if (!make_room(r, &error)) return app_failed(&r->context, &error);
    forget(r);
    if (!restore_session(r, &error)) return app_failed(&r->context, &error);
    app_catch_signals(cancel_answer);
    char *prompt = given_prompt(words, has_model ? 1 : 0, &error);
    if (error.status) {
        status = app_failed(&r->context, &error);
    } else if (!prompt) {
        status = interactive(r);
    } else {
        status = answer_once(r, prompt);
    }
    free(prompt);
    if (!save_session(r, &error)) status = app_failed(&r->context, &error);
    return status;
}

/* Whether the options make sense together; false after a message. */
static bool options_agree(run *r) {
    if (r->schema && r->grammar) {
        fputs("covey run: expected one of --schema and --grammar\n", stderr);
        return false;
    }
    if (r->session_file && !*r->session_file) {
        fputs("covey run: --session: expected the name of a file, found an empty one\n", stderr);
        return false;
    }
    if (!app_context_fits("covey run", r->context_tokens)) return false;
    if (!app_read_sessions(&r->context)) return false;
    return true;
}

int covey_cmd_run(int argc, char **argv) {
    run r = {.context = {.command = "covey run", .prefix_cache_mib = APP_PREFIX_CACHE_MIB},
             .session_lock = {.descriptor = -1},
             .top_p = 1,
             .repetition_penalty = 1};
    const app_option options[] = {
        {"system", 's', APP_TEXT, &r.system, "TEXT", "a system message before the conversation", 0,
         0},
        {"context", 'c', APP_INT, &r.context_tokens, "N",
         "tokens of context; 0: the model's, at most 4096", 0, 1 << 24},
        {"max-tokens", 'n', APP_INT, &r.tokens_max, "N",
         "longest answer in tokens; 0: as the context allows", 0, 1 << 24},
        {"temperature", 0, APP_NUMBER, &r.temperature, "X",
         "0 takes the likeliest token (default 0)", 0, 100},
        {"top-k", 0, APP_INT, &r.top_k, "N", "draw from the N likeliest tokens; 0: off", 0,
         1 << 24},
        {"top-p", 0, APP_NUMBER, &r.top_p, "X", "draw from the likeliest that make up X; 1: off", 0,
         1},
        {"min-p", 0, APP_NUMBER, &r.min_p, "X",
         "leave out what is under X of the likeliest; 0: off", 0, 1},
        {"repetition-penalty", 0, APP_NUMBER, &r.repetition_penalty, "X",
         "above 1 repeats less; 1: off", 0.01, 100},
        {"seed", 0, APP_INT, &r.seed, "N", "of the draw (default 0)", 0, 9e15},
        {"schema", 0, APP_TEXT, &r.schema, "FILE",
         "answers are JSON that this JSON Schema allows, whatever the model", 0, 0},
        {"grammar", 0, APP_TEXT, &r.grammar, "FILE",
         "answers are what this grammar (GBNF) allows, whatever the model", 0, 0},
        {"session", 0, APP_TEXT, &r.session_file, "FILE",
         "go on with the conversation in FILE, if there is one, and keep it there at the end", 0,
         0},
        {"raw", 0, APP_FLAG, &r.raw, NULL, "continue the text as it is, without a chat template", 0,
         0},
        {"stats", 0, APP_FLAG, &r.stats, NULL, "print time and rates after each answer", 0, 0},
        {"json", 0, APP_FLAG, &r.json, NULL, "print one JSON object for the answer", 0, 0},
        APP_OPTION_WHEN_FULL(r.context),
        APP_OPTION_PREFIX_CACHE(r.context),
        APP_OPTION_KV(r.context),
        APP_OPTION_ADAPTER(r.context.adapters),
        APP_OPTION_THREADS(r.context),
        APP_OPTION_STATE(r.context),
        APP_OPTION_BUILTIN(r.context),
        APP_OPTION_VERBOSE(r.context),
        {0}};
    const app_command command = {
        "covey run",
        "[MODEL.gguf] [PROMPT...]",
        "Answers with a model: a GGUF file of your own, or this device's ensemble when none is "
        "named.\n"
        "Without a prompt it reads standard input, or talks to you when that is a terminal.",
        "  covey run model.gguf \"Write one line about the sea.\"\n"
        "  echo \"set a timer for ten minutes\" | covey run models/assistant/1.0.0/model.gguf",
        options,
        0,
        APP_POSITIONAL_MAX};
    static app_positional words;
    int status;
    if (!app_options_read(&command, argc, argv, &words, &status)) return status;
    if (!options_agree(&r)) return APP_EXIT_USAGE;
    app_say_idle_adapters("covey run", &r.context.adapters);
    status = run_all(&r, &words);
    app_session_lock_drop(&r.session_lock);
    if (r.messages) forget(&r);
    free(r.messages);
    free(r.own_system);
    covey_conversation_close(r.conversation);
    covey_guide_free(r.guide);
    if (r.served.backend) covey_backend_release(r.served.backend);
    app_close(&r.context);
    return status;
}
