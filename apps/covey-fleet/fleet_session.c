/* What the commands of covey-fleet share: the log, the client, errors, durations. */
#include "covey-fleet/fleet_commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void log_line(void *user, covey_log_level level, const char *component,
                     const char *message) {
    static const char *const names[] = {"error", "warn", "info", "debug"};
    time_t now = time(NULL);
    struct tm parts;
    char when[32] = "";
    (void)user;
    if (gmtime_r(&now, &parts) != NULL) {
        (void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &parts);
    }
    fprintf(stderr, "%s %s %s: %s\n", when, names[level & 3], component, message);
}

covey_status fleet_runtime(covey_runtime **runtime, bool verbose, covey_error *error) {
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.log = log_line;
    options.log_level = verbose ? COVEY_LOG_DEBUG : COVEY_LOG_INFO;
    return covey_fleet_runtime_open(&options, runtime, error);
}

int fleet_failed(const char *command, const covey_error *error) {
    fprintf(stderr, "%s: %s\n", command,
            error->message[0] != '\0' ? error->message : "it failed without saying why");
    if (error->status == COVEY_ERROR_INVALID_ARGUMENT) return APP_EXIT_USAGE;
    bool refused = error->status == COVEY_ERROR_REFUSED || error->status == COVEY_ERROR_MISMATCH ||
                   (error->status == COVEY_ERROR_REMOTE &&
                    (error->found == 403 || error->found == 409 || error->found == 422));
    return refused ? APP_EXIT_REFUSED : APP_EXIT_FAILED;
}

int fleet_session_open(const char *command, const fleet_server *server, fleet_session *session) {
    covey_error error = {0};
    const char *url = server->url != NULL ? server->url : getenv("COVEY_FLEET_URL");
    const char *file =
        server->token_file != NULL ? server->token_file : getenv("COVEY_FLEET_TOKEN_FILE");
    memset(session, 0, sizeof(*session));
    if (url == NULL || file == NULL) {
        fprintf(stderr,
                "%s: expected --url URL and --admin-token-file FILE (DATA/admin.token of the "
                "server), or $COVEY_FLEET_URL and $COVEY_FLEET_TOKEN_FILE\n",
                command);
        return APP_EXIT_USAGE;
    }
    session->format = server->json ? COVEY_FLEET_JSON : COVEY_FLEET_TEXT;
    covey_status status = fleet_runtime(&session->runtime, false, &error);
    if (status == COVEY_OK) {
        status = covey_fleet_client_open(session->runtime, url, file, &session->client, &error);
    }
    if (status == COVEY_OK) return APP_EXIT_DONE;
    fleet_session_close(session);
    return fleet_failed(command, &error);
}

void fleet_session_close(fleet_session *session) {
    covey_fleet_client_close(session->client);
    covey_runtime_close(session->runtime);
}

/* Prints the text and frees it when `status` is COVEY_OK, else says the error. */
static int fleet_finish(const char *command, fleet_session *session, covey_status status,
                        char *text, const covey_error *error) {
    if (status != COVEY_OK) return fleet_failed(command, error);
    fputs(text, stdout);
    covey_fleet_text_free(session->client, text);
    return APP_EXIT_DONE;
}

int fleet_ask(const char *command, const fleet_server *server, const char *word,
              fleet_question question, void *user) {
    fleet_session session;
    covey_error error = {0};
    char *text = NULL;
    int exit_status = fleet_session_open(command, server, &session);
    if (exit_status != APP_EXIT_DONE) return exit_status;
    covey_status status = question(user, &session, word, &text, &error);
    exit_status = fleet_finish(command, &session, status, text, &error);
    fleet_session_close(&session);
    return exit_status;
}

int fleet_verbs(const char *command, const fleet_verb *verbs, size_t count, int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, verbs[i].name) == 0) return verbs[i].run(argc - 1, argv + 1);
    }
    bool asked = strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
    FILE *out = asked ? stdout : stderr;
    if (!asked && name[0] != '\0') {
        fprintf(stderr, "%s: unknown command \"%s\"\n\n", command, name);
    }
    fprintf(out, "usage: %s COMMAND [options] ...\n\ncommands:\n", command);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "  %-10s %s\n", verbs[i].name, verbs[i].summary);
    }
    fprintf(out, "\nexample:\n  %s %s --help\n", command, verbs[0].name);
    return asked ? APP_EXIT_DONE : APP_EXIT_USAGE;
}

bool fleet_duration(const char *text, int64_t *ms) {
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    int64_t value = 0;
    size_t i = 0;
    for (; text[i] >= '0' && text[i] <= '9' && i < 9; i++) value = value * 10 + (text[i] - '0');
    if (i == 0 || text[i] == '\0' || text[i + 1] != '\0') return false;
    for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
        if (units[u].unit != text[i]) continue;
        *ms = value * units[u].ms;
        return true;
    }
    return false;
}
