/* covey serve: the device's daemon. Answers on loopback in OpenAI's way, and keeps the ensemble up
 * to date meanwhile: when the agent moved, new conversations go to the new ensemble and open ones
 * finish on theirs. */
#include "covey/commands.h"

#include "common/files.h"
#include "common/options.h"
#include "covey/context.h"

#include <covey/serve.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct daemon_state {
    app_context context;
    const char *address, *port_file, *model_path;
    int64_t port, conversations, context_tokens, grace_ms, step_ms;
    bool no_update, no_token;
    covey_server *server;
    char label[192];
} daemon_state;

static void on_event(void *user, const covey_agent_event *event) {
    (void)user;
    if (!strcmp(event->message, "fetching") || !strcmp(event->message, "fetched") ||
        !strcmp(event->phase, "check-in"))
        return;
    fprintf(stderr, "%s %s%s%s\n", event->phase, event->release, *event->release ? ": " : "",
            event->message);
}

/* Loads what is current and exchanges it; the server keeps its own reference. */
static bool load(daemon_state *d, covey_error *error) {
    app_served served;
    if (!app_open_served(&d->context, d->model_path, (int32_t)d->conversations, &served, error))
        return false;
    covey_status status =
        covey_server_set_backend(d->server, served.backend, served.label, served.name, error);
    covey_backend_release(served.backend);
    if (status) return false;
    snprintf(d->label, sizeof d->label, "%s", served.label);
    fprintf(stderr, "Answering with %s (loaded in %d ms).\n", d->label, (int)served.info.load_ms);
    return true;
}

static bool write_port(const daemon_state *d) {
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

/* Steps the agent until a signal comes. A failure of an update is never a reason to stop answering.
 */
static void keep(daemon_state *d) {
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_error error = {0};
    while (!app_interrupted()) {
        int64_t wait_ms = d->step_ms;
        if (!d->model_path && !d->no_update) {
            if (covey_agent_step(d->context.agent, 50, false, &outcome, &error)) {
                fprintf(stderr, "covey serve: update: %s\n", error.message);
            } else {
                if (outcome.current_changed && !load(d, &error))
                    fprintf(stderr, "covey serve: %s\n", error.message);
                if (outcome.state == COVEY_AGENT_WORKING) wait_ms = 0;
            }
        }
        (void)covey_server_draining(d->server);
        if (wait_ms) pause_ms(wait_ms);
    }
}

static int serve_all(daemon_state *d) {
    covey_error error = {0};
    char *token = NULL;
    if (!app_open_runtime(&d->context, &error) || !app_find_state(&d->context, &error))
        return app_failed(&d->context, &error);
    if (!d->no_token && !(token = app_serve_token(&d->context, &error)))
        return app_failed(&d->context, &error);
    if (!d->model_path && !app_open_agent(&d->context, on_event, d, &error)) {
        free(token);
        return app_failed(&d->context, &error);
    }
    covey_server_options options = COVEY_SERVER_OPTIONS_INIT;
    options.address = d->address;
    options.port = (uint16_t)d->port;
    options.token = token;
    options.conversations_max = (int32_t)d->conversations;
    options.context_tokens = (int32_t)d->context_tokens;
    app_catch_signals(NULL);
    covey_status status = covey_server_open(d->context.runtime, &options, &d->server, &error);
    free(token);
    if (status) return app_failed(&d->context, &error);
    int result = APP_EXIT_DONE;
    if (!load(d, &error)) {
        result = app_failed(&d->context, &error);
    } else if (!write_port(d)) {
        result = APP_EXIT_FAILED;
    } else {
        fprintf(stderr, "Listening on http://%s:%u/v1 (covey token prints the token).\n",
                d->address ? d->address : "127.0.0.1", (unsigned)covey_server_port(d->server));
        keep(d);
        fprintf(stderr, "Stopping: answers may finish for %d ms.\n", (int)d->grace_ms);
    }
    covey_server_close(d->server, result ? 0 : d->grace_ms);
    return result;
}

int covey_cmd_serve(int argc, char **argv) {
    daemon_state d = {.context = {.command = "covey serve"},
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
        {"context", 'c', APP_INT, &d.context_tokens, "N",
         "tokens of context of each; 0: the model's, at most 4096", 0, 1 << 24},
        {"grace", 0, APP_INT, &d.grace_ms, "MS",
         "how long answers may finish at the end (default 5000)", 0, 600000},
        {"no-update", 0, APP_FLAG, &d.no_update, NULL, "serve what is here and leave updates alone",
         0, 0},
        {"no-token", 0, APP_FLAG, &d.no_token, NULL, "let every program of this machine ask", 0, 0},
        {"app-version", 0, APP_TEXT, &d.context.app_version, "V",
         "of the app, for what ensembles need", 0, 0},
        APP_OPTION_THREADS(d.context),
        APP_OPTION_STATE(d.context),
        APP_OPTION_BUILTIN(d.context),
        APP_OPTION_VERBOSE(d.context),
        {0}};
    const app_command command = {
        "covey serve",
        "[MODEL.gguf]",
        "Answers on loopback: /v1/chat/completions and /v1/completions (with \"stream\": true "
        "too), /v1/models,\n"
        "/health, /metrics. Without a model it serves this device's ensemble and keeps it up to "
        "date: open\n"
        "conversations (header X-Covey-Conversation) finish on the ensemble that they began with.",
        "  covey serve model.gguf --port 8080\n"
        "  curl -H \"Authorization: Bearer $(covey token)\" -H 'Content-Type: application/json' "
        "\\\n"
        "       -d '{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}' "
        "http://127.0.0.1:8080/v1/chat/completions",
        options,
        0,
        1};
    static app_positional words;
    int status;
    if (!app_options_read(&command, argc, argv, &words, &status)) return status;
    d.model_path = words.count ? words.items[0] : NULL;
    status = serve_all(&d);
    app_close(&d.context);
    return status;
}
