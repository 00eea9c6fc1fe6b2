/* covey enroll, update, status, rollback, token: the device's side of a fleet, for people and
 * scripts. */
#include "covey/commands.h"

#include "common/files.h"
#include "common/options.h"
#include "covey/context.h"

#include <covey/device.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- Progress ---------------------------------------------------------------------------------
 */

typedef struct progress {
    bool json, bar_open, terminal;
    const char *stop_after;
    bool stop, refused;
} progress;

static void print_json_text(const char *text) {
    putchar('"');
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '"' || *at == '\\')
            printf("\\%c", *at);
        else if (*at < 0x20)
            printf("\\u%04x", *at);
        else
            putchar(*at);
    }
    putchar('"');
}

static void print_bar(progress *p, const covey_agent_event *event) {
    int percent = event->bytes_total ? (int)(event->bytes_done * 100 / event->bytes_total) : 0;
    printf("\r  %-9s %s  %3d %%  %" PRIu64 " of %" PRIu64 " bytes", event->phase, event->release,
           percent, event->bytes_done, event->bytes_total);
    fflush(stdout);
    p->bar_open = true;
}

static void on_event(void *user, const covey_agent_event *event) {
    progress *p = user;
    bool running = !strcmp(event->message, "fetching");
    if (!strncmp(event->message, "refused", 7)) p->refused = true;
    if (p->stop_after && !strcmp(p->stop_after, event->phase) &&
        !strncmp(event->message, "done", 4))
        p->stop = true;
    if (p->json) {
        fputs("{\"phase\":", stdout);
        print_json_text(event->phase);
        fputs(",\"release\":", stdout);
        print_json_text(event->release);
        fputs(",\"message\":", stdout);
        print_json_text(event->message);
        printf(",\"bytes_done\":%" PRIu64 ",\"bytes_total\":%" PRIu64 "}\n", event->bytes_done,
               event->bytes_total);
        fflush(stdout);
    } else if (running) {
        if (p->terminal) print_bar(p, event);
    } else if (strcmp(event->message, "fetched")) {
        if (p->bar_open) printf("\r\033[K");
        p->bar_open = false;
        printf("  %-9s %s%s%s\n", event->phase, event->release, *event->release ? ": " : "",
               event->message);
        fflush(stdout);
    }
}

/* ---- update -----------------------------------------------------------------------------------
 */

static int update_all(app_context *context, progress *p) {
    covey_error error = {0};
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    bool check_now = true, changed = false;
    if (!app_open_agent(context, on_event, p, &error)) return app_failed(context, &error);
    app_catch_signals(NULL);
    do {
        if (covey_agent_step(context->agent, p->stop_after ? 0 : 100, check_now, &outcome, &error))
            return app_failed(context, &error);
        check_now = false;
        changed |= outcome.current_changed;
    } while (outcome.state == COVEY_AGENT_WORKING && !p->stop && !app_interrupted());
    if (p->json) return p->refused ? APP_EXIT_REFUSED : APP_EXIT_DONE;
    if (app_interrupted())
        printf("Stopped. What was fetched is kept; covey update goes on from there.\n");
    else if (p->stop)
        printf("Stopped after %s, as asked.\n", p->stop_after);
    else if (outcome.state == COVEY_AGENT_IDLE)
        printf("%s\n",
               changed ? "This device moved to a new ensemble." : "This device is up to date.");
    else
        printf("%s\n", outcome.message);
    if (p->refused) return APP_EXIT_REFUSED;
    if (outcome.state == COVEY_AGENT_UNENROLLED) return APP_EXIT_FAILED;
    return outcome.state == COVEY_AGENT_WAITING ? APP_EXIT_WAITING : APP_EXIT_DONE;
}

int covey_cmd_update(int argc, char **argv) {
    app_context context = {.command = "covey update"};
    progress p = {.terminal = isatty(STDOUT_FILENO)};
    const app_option options[] = {
        {"json", 0, APP_FLAG, &p.json, NULL, "print one JSON object for each event", 0, 0},
        {"stop-after", 0, APP_TEXT, &p.stop_after, "PHASE",
         "end after plan, fetch, verify, stage or probe", 0, 0},
        {"app-version", 0, APP_TEXT, &context.app_version, "V",
         "of the app, for what ensembles need", 0, 0},
        APP_OPTION_THREADS(context),
        APP_OPTION_STATE(context),
        APP_OPTION_BUILTIN(context),
        APP_OPTION_VERBOSE(context),
        {0}};
    const app_command command = {"covey update",
                                 "",
                                 "Asks the control plane once, and brings this device to what it "
                                 "wants: fetches, verifies, proves and\n"
                                 "activates it. Whatever fails, the device keeps what it has.\n\n"
                                 "exit status: 0 up to date or moved, 1 failed, 2 used wrongly, 3 "
                                 "a release was refused, 4 waiting",
                                 "  covey update\n  covey update --json --state /var/lib/covey",
                                 options,
                                 0,
                                 0};
    static app_positional words;
    int status;
    if (!app_options_read(&command, argc, argv, &words, &status)) return status;
    status = update_all(&context, &p);
    app_close(&context);
    return status;
}

/* ---- enroll -----------------------------------------------------------------------------------
 */

int covey_cmd_enroll(int argc, char **argv) {
    app_context context = {.command = "covey enroll"};
    const char *token_file = NULL, *key = NULL;
    const app_option options[] = {{"token-file", 0, APP_TEXT, &token_file, "FILE",
                                   "where the one-time token is (default: standard input)", 0, 0},
                                  {"release-key", 0, APP_TEXT, &key, "HEX",
                                   "the only key whose releases this device takes", 0, 0},
                                  APP_OPTION_STATE(context),
                                  APP_OPTION_BUILTIN(context),
                                  APP_OPTION_VERBOSE(context),
                                  {0}};
    const app_command command = {"covey enroll",
                                 "URL",
                                 "Makes this device known to a control plane with a one-time "
                                 "token. Without --release-key the keys that\n"
                                 "the control plane names now are pinned. The token is read from a "
                                 "file or standard input, so that it does not\n"
                                 "stand in the list of processes.",
                                 "  covey enroll http://127.0.0.1:8080 < token",
                                 options,
                                 1,
                                 1};
    static app_positional words;
    int status;
    covey_error error = {0};
    size_t size = 0;
    if (!app_options_read(&command, argc, argv, &words, &status)) return status;
    char *token =
        token_file ? app_read_file(token_file, 4096, &size) : app_read_stream(stdin, 4096, &size);
    if (!token) {
        fprintf(stderr, "covey enroll: cannot read the token: %s\n", strerror(errno));
        return APP_EXIT_FAILED;
    }
    token[strcspn(token, "\r\n")] = 0;
    status = APP_EXIT_DONE;
    if (!app_open_agent(&context, NULL, NULL, &error) ||
        covey_agent_enroll(context.agent, words.items[0], token, key, &error))
        status = app_failed(&context, &error);
    else
        printf("This device is enrolled with %s.\n", words.items[0]);
    free(token);
    app_close(&context);
    return status;
}

/* ---- status -----------------------------------------------------------------------------------
 */

/* Status is made of JSON that the library wrote itself with one member a line, so lines are enough
 * for people; programs take --json. */
static void print_facts(app_context *context) {
    covey_device_facts facts = {.size = sizeof facts};
    covey_error error = {0};
    if (covey_device_read(context->runtime, context->state_dir, &facts, &error)) return;
    printf("device      %s, %s %s, %d cores, %s, class %s\n", facts.cpu, facts.os, facts.os_version,
           (int)facts.core_count, covey_runtime_isa(context->runtime),
           covey_device_class_name(facts.device_class));
    printf("memory      %" PRId64 " MiB, %" PRId64 " MiB available\n",
           facts.memory_total_bytes >> 20, facts.memory_available_bytes >> 20);
    printf("storage     %" PRId64 " MiB available at %s\n", facts.storage_available_bytes >> 20,
           context->state_dir);
}

/* The text of member `name` inside of the object that follows `"section":` in our own status
 * document. */
static bool member(const char *json, const char *section, const char *name, char *out,
                   size_t capacity) {
    char pattern[64];
    snprintf(pattern, sizeof pattern, "\"%s\": {", section);
    const char *at = strstr(json, pattern), *end = at ? strchr(at, '}') : NULL;
    if (!at || !end) return false;
    snprintf(pattern, sizeof pattern, "\"%s\": \"", name);
    const char *value = strstr(at, pattern);
    if (!value || value > end) return false;
    value += strlen(pattern);
    size_t size = 0;
    while (value[size] && value[size] != '"' && size + 1 < capacity) {
        if (value[size] == '\\' && value[size + 1]) value++;
        out[size] = value[size];
        size++;
    }
    out[size] = 0;
    return true;
}

static void print_slot(const char *json, const char *slot) {
    char name[80], version[80], variant[80], state[80];
    if (member(json, slot, "name", name, sizeof name) &&
        member(json, slot, "version", version, sizeof version) &&
        member(json, slot, "variant", variant, sizeof variant) &&
        member(json, slot, "state", state, sizeof state))
        printf("%-11s %s@%s (%s), %s\n", slot, name, version, variant, state);
    else
        printf("%-11s –\n", slot);
}

static void print_status(app_context *context, const char *json) {
    char url[512], problem[300], phase[40], release[140], outcome[40], message[300];
    print_facts(context);
    print_slot(json, "builtin");
    print_slot(json, "current");
    print_slot(json, "previous");
    print_slot(json, "staged");
    if (member(json, "control_plane", "url", url, sizeof url)) {
        printf("fleet       %s\n", url);
        if (member(json, "control_plane", "problem", problem, sizeof problem))
            printf("problem     %s\n", problem);
    } else {
        printf("fleet       none; covey enroll makes this device known to one\n");
    }
    if (member(json, "last", "phase", phase, sizeof phase) &&
        member(json, "last", "release", release, sizeof release) &&
        member(json, "last", "outcome", outcome, sizeof outcome) &&
        member(json, "last", "message", message, sizeof message))
        printf("last step   %s of %s: %s%s%s\n", phase, release, outcome, *message ? ": " : "",
               message);
}

int covey_cmd_status(int argc, char **argv) {
    app_context context = {.command = "covey status"};
    bool json = false;
    const app_option options[] = {
        {"json", 0, APP_FLAG, &json, NULL, "print the whole state as JSON", 0, 0},
        APP_OPTION_STATE(context),
        APP_OPTION_BUILTIN(context),
        APP_OPTION_VERBOSE(context),
        {0}};
    const app_command command = {
        "covey status",
        "",
        "Shows this device, its slots, its control plane and the last step of an update.",
        "  covey status --json",
        options,
        0,
        0};
    static app_positional words;
    int status;
    covey_error error = {0};
    char *text = NULL;
    if (!app_options_read(&command, argc, argv, &words, &status)) return status;
    status = APP_EXIT_DONE;
    if (!app_open_agent(&context, NULL, NULL, &error) ||
        covey_agent_status(context.agent, &text, &error))
        status = app_failed(&context, &error);
    else if (json)
        puts(text);
    else
        print_status(&context, text);
    if (text) covey_agent_free_text(context.agent, text);
    app_close(&context);
    return status;
}

/* ---- rollback, token --------------------------------------------------------------------------
 */

int covey_cmd_rollback(int argc, char **argv) {
    app_context context = {.command = "covey rollback"};
    const app_option options[] = {
        APP_OPTION_STATE(context), APP_OPTION_BUILTIN(context), APP_OPTION_VERBOSE(context), {0}};
    const app_command command = {
        "covey rollback",
        "",
        "Returns to the ensemble before the current one. The version left is not taken again.",
        "  covey rollback",
        options,
        0,
        0};
    static app_positional words;
    int status;
    covey_error error = {0};
    covey_ensemble *ensemble = NULL;
    if (!app_options_read(&command, argc, argv, &words, &status)) return status;
    status = APP_EXIT_DONE;
    if (!app_open_agent(&context, NULL, NULL, &error) ||
        covey_agent_rollback(context.agent, &error) ||
        covey_agent_current(context.agent, &ensemble, &error))
        status = app_failed(&context, &error);
    else
        printf("This device answers with %s@%s.\n", covey_ensemble_name(ensemble),
               covey_ensemble_version(ensemble));
    covey_ensemble_close(ensemble);
    app_close(&context);
    return status;
}

int covey_cmd_token(int argc, char **argv) {
    app_context context = {.command = "covey token"};
    const app_option options[] = {APP_OPTION_STATE(context), {0}};
    const app_command command = {
        "covey token",
        "",
        "Prints the token that covey serve asks for, and makes it on first use. It is kept "
        "readable by you alone.",
        "  curl -H \"Authorization: Bearer $(covey token)\" http://127.0.0.1:8080/v1/models",
        options,
        0,
        0};
    static app_positional words;
    int status;
    covey_error error = {0};
    if (!app_options_read(&command, argc, argv, &words, &status)) return status;
    char *token = app_serve_token(&context, &error);
    status = token ? APP_EXIT_DONE : app_failed(&context, &error);
    if (token) puts(token);
    free(token);
    app_close(&context);
    return status;
}
