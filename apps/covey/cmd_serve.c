/* covey serve: the device's daemon. Answers on loopback in OpenAI's way, and keeps the ensemble up
 * to date meanwhile: a thread of its own (serve_update.h) steps the agent and makes the next model
 * ready; this one exchanges it. New conversations go to the new ensemble, open ones finish on
 * theirs. */
#include "covey/commands.h"

#include "common/files.h"
#include "common/options.h"
#include "covey/context.h"
#include "covey/serve_update.h"

#include <covey/serve.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_MS 50 /* how often the main thread looks what the other has ready */

typedef struct serving {
    app_context context;
    const char *address, *port_file, *model_path;
    int64_t port, conversations, parallel, context_tokens, grace_ms, step_ms, memory_mib;
    bool no_update, no_token;
    covey_server *server;
    app_updater *updater; /* NULL: updates are left alone */
} serving;

static void on_event(void *user, const covey_agent_event *event) {
    (void)user;
    if (event->kind == COVEY_AGENT_EVENT_PROGRESS || !strcmp(event->phase, "check-in")) return;
    fprintf(stderr, "%s %s%s%s\n", event->phase, event->release, *event->release ? ": " : "",
            event->message);
}

/* Loads what is to answer first; the server keeps its own reference. */
static bool load(serving *d, covey_error *error) {
    app_served served;
    if (!app_open_served(&d->context, d->model_path, (int32_t)d->conversations,
                         (int32_t)d->context_tokens, &served, error))
        return false;
    covey_server_names names = COVEY_SERVER_NAMES_INIT;
    names.label = served.label;
    names.model = served.name;
    names.digest = served.digest[0] ? served.digest : NULL;
    covey_status status = covey_server_exchange(d->server, served.backend, &names, error);
    if (!status) {
        covey_answer usual = COVEY_ANSWER_INIT;
        app_default_adapters(served.backend, &usual);
        fprintf(stderr, "Answering with %s", served.label);
        app_put_adapters(stderr, served.backend, &usual, false);
        fprintf(stderr, " (loaded in %d ms).\n", (int)served.info.load_ms);
        if (d->updater) app_updater_serves(d->updater, &served);
    }
    covey_backend_release(served.backend);
    return status == COVEY_OK;
}

static bool write_port(const serving *d) {
    char text[16];
    if (!d->port_file) return true;
    snprintf(text, sizeof text, "%u\n", (unsigned)covey_server_port(d->server));
    if (app_write_secret(d->port_file, text)) return true;
    fprintf(stderr, "covey serve: cannot write %s: %s\n", d->port_file, strerror(errno));
    return false;
}

static void pause_ms(int64_t ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    nanosleep(&time, NULL); /* a signal ends it early */
}

/* Exchanges what is made ready until a signal comes. A failure of an update is never a reason to
 * stop answering. */
static void keep(serving *d) {
    while (!app_interrupted()) {
        bool acted = d->updater && app_updater_exchange(d->updater);
        (void)covey_server_draining(d->server);
        pause_ms(acted ? 1 : LOOK_MS);
    }
}

static bool start_updater(serving *d, bool wants_model) {
    sigset_t before;
    if (!d->updater) return true;
    const app_updater_options options = {
        .context = &d->context,
        .server = d->server,
        .conversations = (int32_t)d->conversations,
        .context_tokens = (int32_t)d->context_tokens,
        .step_ms = d->step_ms,
        .memory_max_bytes = d->memory_mib << 20,
    };
    app_hold_signals(&before);
    bool started = app_updater_start(d->updater, &options, wants_model);
    app_let_signals(&before);
    if (!started) fprintf(stderr, "covey serve: no thread for updates\n");
    return started;
}

/* The user's setting of how long open conversations may stay with an ensemble that was left; 0
 * (the server's default) with a model of one's own, which is never exchanged. */
static int64_t drain_deadline_ms(const serving *d) {
    covey_agent_summary summary = COVEY_AGENT_SUMMARY_INIT;
    covey_error ignored;
    if (d->model_path || covey_agent_describe(d->context.agent, &summary, &ignored)) return 0;
    return summary.drain_deadline_ms > 0 ? summary.drain_deadline_ms : 1;
}

/* Starts to listen. */
static bool listen_now(serving *d, covey_error *error) {
    sigset_t before;
    char *token = d->no_token ? NULL : app_serve_token(&d->context, error);
    if (!token && !d->no_token) return false;
    covey_server_options options = COVEY_SERVER_OPTIONS_INIT;
    options.address = d->address;
    options.port = (uint16_t)d->port;
    options.token = token;
    options.conversations_max = (int32_t)d->conversations;
    options.parallel_max = (int32_t)d->parallel;
    options.context_tokens = (int32_t)d->context_tokens;
    options.drain_deadline_ms = drain_deadline_ms(d);
    options.answered = d->updater ? app_updater_answered : NULL;
    options.answered_user = d->updater;
    app_hold_signals(&before);
    covey_status status = covey_server_open(d->context.runtime, &options, &d->server, error);
    app_let_signals(&before);
    free(token);
    return status == COVEY_OK;
}

/* A device that is enrolled but has no ensemble yet waits for its first one; so does one whose
 * publisher stopped what it has, or whose user switched it off. */
static bool may_come(serving *d, const covey_error *why) {
    covey_agent_summary summary = COVEY_AGENT_SUMMARY_INIT;
    covey_error ignored;
    bool off = why->status == COVEY_ERROR_DENIED;
    if (d->model_path || d->no_update || (why->status != COVEY_ERROR_NOT_FOUND && !off) ||
        covey_agent_describe(d->context.agent, &summary, &ignored) || !summary.control_plane[0])
        return false;
    bool opted_out = summary.degrade[0] && strcmp(summary.degrade, "builtin");
    if (off && !summary.off[0] && !opted_out) return false;
    if (off) covey_server_withdraw(d->server, why->message);
    fprintf(stderr, "%s; waiting for %s.\n", off ? why->message : "No ensemble is here yet",
            summary.control_plane);
    return true;
}

/* Answers until a signal comes. */
static int answer_all(serving *d) {
    covey_error error = {0};
    bool loaded = load(d, &error);
    if (!loaded && !may_come(d, &error)) return app_failed(&d->context, &error);
    if (!start_updater(d, !loaded) || !write_port(d)) return APP_EXIT_FAILED;
    bool six = d->address && strchr(d->address, ':');
    fprintf(stderr, "Listening on http://%s%s%s:%u/v1 (%s).\n", six ? "[" : "",
            d->address ? d->address : "127.0.0.1", six ? "]" : "",
            (unsigned)covey_server_port(d->server),
            d->no_token ? "no token is asked for" : "covey token prints the token");
    keep(d);
    fprintf(stderr, "Stopping: answers may finish for %d ms.\n", (int)d->grace_ms);
    return APP_EXIT_DONE;
}

static int serve_all(serving *d) {
    covey_error error = {0};
    d->context.tells_nothing = d->no_update; /* nobody would step it */
    if (!d->model_path && !d->no_update && !(d->updater = app_updater_new(&d->context))) {
        fprintf(stderr, "covey serve: no memory\n");
        return APP_EXIT_FAILED;
    }
    if (!app_open_runtime(&d->context, &error) || !app_find_state(&d->context, &error) ||
        (!d->model_path && !app_open_agent(&d->context, on_event, d, &error)))
        return app_failed(&d->context, &error);
    app_catch_signals(NULL);
    if (!listen_now(d, &error)) return app_failed(&d->context, &error);
    int result = answer_all(d);
    if (d->updater) app_updater_stop(d->updater);
    covey_server_close(d->server, result ? 0 : d->grace_ms);
    if (d->updater) app_updater_join(d->updater);
    return result;
}

static const char about[] =
    "Answers on loopback: /v1/chat/completions and /v1/completions (with \"stream\": true too),\n"
    "/v1/embeddings, /v1/models, /lora-adapters, /health, /metrics. An adapter with the scale 0\n"
    "is used by requests that ask for it alone (\"lora\"). Without a model it serves this\n"
    "device's ensemble and keeps it up to date: open conversations (header\n"
    "X-Covey-Conversation) finish on the ensemble that they began with, up to the policy's\n"
    "drain.deadline_ms.";
static const char examples[] =
    "  covey serve model.gguf --port 8080\n"
    "  curl -H \"Authorization: Bearer $(covey token)\" -H 'Content-Type: application/json' "
    "\\\n"
    "       -d '{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}' "
    "http://127.0.0.1:8080/v1/chat/completions";

int covey_cmd_serve(int argc, char **argv) {
    serving d = {.context = {.command = "covey serve", .prefix_cache_mib = APP_PREFIX_CACHE_MIB},
                 .port = 8080,
                 .conversations = 4,
                 .grace_ms = 5000,
                 .step_ms = 500};
    const app_option options[] = {
        {"address", 0, APP_TEXT, &d.address, "IP",
         "of this machine to listen on (default 127.0.0.1)", 0, 0},
        {"port", 'p', APP_INT, &d.port, "N", "0: the system chooses (default 8080)", 0, 65535},
        {"port-file", 0, APP_TEXT, &d.port_file, "FILE", "write the port there once it answers", 0,
         0},
        {"conversations", 0, APP_INT, &d.conversations, "N",
         "conversations that hold state at once (default 4)", 1, 1024},
        {"parallel", 0, APP_INT, &d.parallel, "N",
         "answers computed at once, in shared passes over the weights (as many as conversations)",
         1, 1024},
        {"context", 'c', APP_INT, &d.context_tokens, "N",
         "tokens of context of each; 0: the model's, at most 4096", 0, 1 << 24},
        {"grace", 0, APP_INT, &d.grace_ms, "MS",
         "how long answers may finish at the end (default 5000)", 0, 600000},
        {"memory", 0, APP_INT, &d.memory_mib, "MIB",
         "for two models at once, while one is exchanged for the next; 0: what is free (default 0)",
         0, 1 << 30},
        {"no-update", 0, APP_FLAG, &d.no_update, NULL, "serve what is here and leave updates alone",
         0, 0},
        {"no-token", 0, APP_FLAG, &d.no_token, NULL, "let every program of this machine ask", 0, 0},
        {"knows-tools", 0, APP_FLAG, &d.context.knows_tools, NULL,
         "the model was trained on its tools: do not describe them to it (ensembles say so)", 0, 0},
        {"app-version", 0, APP_TEXT, &d.context.app_version, "V",
         "of the app, for what ensembles need", 0, 0},
        APP_OPTION_WHEN_FULL(d.context),
        APP_OPTION_PREFIX_CACHE(d.context),
        APP_OPTION_KV(d.context),
        APP_OPTION_ADAPTER(d.context.adapters),
        APP_OPTION_THREADS(d.context),
        APP_OPTION_STATE(d.context),
        APP_OPTION_BUILTIN(d.context),
        APP_OPTION_VERBOSE(d.context),
        {0}};
    const app_command command = {"covey serve", "[MODEL.gguf]", about, examples, options, 0, 1};
    static app_positional words;
    int status;
    if (!app_options_read(&command, argc, argv, &words, &status)) return status;
    d.model_path = words.count ? words.items[0] : NULL;
    if (d.conversations < d.parallel) d.conversations = d.parallel;
    if (!app_context_fits("covey serve", d.context_tokens)) return APP_EXIT_USAGE;
    if (!app_read_sessions(&d.context)) return APP_EXIT_USAGE;
    status = serve_all(&d);
    app_close(&d.context);
    app_updater_free(d.updater);
    return status;
}
