/* covey enroll, update, status, rollback, token: the device's side of a fleet, for people and
 * scripts. */
#include "covey/commands.h"

#include "common/files.h"
#include "common/json_text.h"
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

#define LINE_SECONDS 10 /* between two lines about a fetch */

typedef struct progress {
    bool json, bar_open, terminal, pause, resume;
    time_t line_at; /* of the last line about a fetch; 0: none */
    const char *stop_after, *retry;
    bool stop, refused;
} progress;

/* "3.2 MB" */
static const char *size_text(double bytes, char out[32]) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    size_t unit = 0;
    while (bytes >= 999.5 && unit + 1 < sizeof units / sizeof *units) {
        bytes /= 1000;
        unit++;
    }
    snprintf(out, 32, "%.*f %s", unit && bytes < 99.5 ? 1 : 0, bytes, units[unit]);
    return out;
}

/* "about 3 min left": no more exact than it is known. */
static const char *left_text(int64_t left_ms, char out[48]) {
    int64_t seconds = (left_ms + 999) / 1000;
    if (left_ms < 0)
        snprintf(out, 48, "time left unknown");
    else if (seconds < 90)
        snprintf(out, 48, "about %d s left", (int)seconds);
    else if (seconds < 90 * 60)
        snprintf(out, 48, "about %d min left", (int)((seconds + 30) / 60));
    else
        snprintf(out, 48, "about %.1f h left", (double)seconds / 3600);
    return out;
}

static const char *speed_text(int64_t bytes_per_second, char out[48]) {
    char size[32];
    out[0] = 0;
    if (bytes_per_second > 0)
        snprintf(out, 48, "%s/s, ", size_text((double)bytes_per_second, size));
    return out;
}

static void print_bar(progress *p, const covey_agent_event *event) {
    char done[32], total[32], speed[48], left[48];
    int percent = event->bytes_total ? (int)(event->bytes_done * 100 / event->bytes_total) : 0;
    printf("\r  %-9s %s  %3d %%  %s of %s, %s%s\033[K", event->phase, event->release, percent,
           size_text((double)event->bytes_done, done), size_text((double)event->bytes_total, total),
           speed_text(event->bytes_per_second, speed), left_text(event->left_ms, left));
    fflush(stdout);
    p->bar_open = true;
}

/* Without a terminal: a line now and then, for a log. */
static void print_step(progress *p, const covey_agent_event *event) {
    char done[32], total[32], speed[48], left[48];
    time_t now = time(NULL);
    if (p->line_at && now < p->line_at + LINE_SECONDS) return;
    bool first = !p->line_at;
    p->line_at = now;
    if (first) return; /* a short fetch says its end, and nothing else */
    printf("  %-9s %s: %s of %s, %s%s\n", event->phase, event->release,
           size_text((double)event->bytes_done, done), size_text((double)event->bytes_total, total),
           speed_text(event->bytes_per_second, speed), left_text(event->left_ms, left));
    fflush(stdout);
}

static void on_event(void *user, const covey_agent_event *event) {
    progress *p = user;
    static const char *const kinds[] = {"progress", "done",    "waiting",
                                        "failed",   "damaged", "refused"};
    bool running = event->kind == COVEY_AGENT_EVENT_PROGRESS && !strcmp(event->phase, "fetch");
    if (event->kind == COVEY_AGENT_EVENT_REFUSED) p->refused = true;
    if (p->stop_after && !strcmp(p->stop_after, event->phase) &&
        event->kind == COVEY_AGENT_EVENT_DONE)
        p->stop = true;
    if (p->json) {
        fputs("{\"phase\":", stdout);
        app_put_json_text(stdout, event->phase);
        printf(",\"kind\":\"%s\",\"release\":", kinds[event->kind]);
        app_put_json_text(stdout, event->release);
        fputs(",\"message\":", stdout);
        app_put_json_text(stdout, event->message);
        printf(",\"bytes_done\":%" PRIu64 ",\"bytes_total\":%" PRIu64, event->bytes_done,
               event->bytes_total);
        if (running)
            printf(",\"bytes_per_second\":%" PRId64 ",\"left_ms\":%" PRId64,
                   event->bytes_per_second, event->left_ms);
        puts("}");
        fflush(stdout);
    } else if (running) {
        if (p->terminal && event->bytes_total)
            print_bar(p, event);
        else if (event->bytes_total)
            print_step(p, event);
    } else {
        if (p->bar_open) printf("\r\033[K");
        p->bar_open = false;
        printf("  %-9s %s%s%s\n", event->phase, event->release, *event->release ? ": " : "",
               event->message);
        fflush(stdout);
    }
}

/* ---- update -----------------------------------------------------------------------------------
 */

/* What an update came to, in words unless --json, and the exit status for it. */
static int conclude(const progress *p, const covey_agent_outcome *outcome, bool changed,
                    const covey_agent_summary *summary) {
    const char *problem = summary->problem;
    /* Nothing new is believed, or what is offered may not be taken. */
    bool held = summary->held_back[0] && outcome->state == COVEY_AGENT_IDLE && !p->stop;
    int status = APP_EXIT_DONE;
    if (p->refused)
        status = APP_EXIT_REFUSED;
    else if (outcome->state == COVEY_AGENT_UNENROLLED)
        status = APP_EXIT_FAILED;
    else if (outcome->state == COVEY_AGENT_WAITING || (held && !changed) || (*problem && !p->stop))
        status = APP_EXIT_WAITING;
    if (p->json) return status;
    if (app_interrupted())
        printf("Stopped. What was fetched is kept; covey update goes on from there.\n");
    else if (p->stop)
        printf("Stopped after %s, as asked.\n", p->stop_after);
    else if (outcome->state == COVEY_AGENT_UNENROLLED)
        printf("This device knows no control plane; covey enroll makes it known to one.\n");
    else if (*problem)
        printf("The control plane could not be asked; this device keeps what it has.\n");
    else if (outcome->state == COVEY_AGENT_WAITING)
        printf("%s\n", outcome->message);
    else if (changed)
        printf("This device moved to another ensemble.\n");
    else if (!held)
        printf("This device is up to date%s.\n", p->refused ? ", but for what it refused" : "");
    if (held && !*problem) printf("%s.\n", summary->held_back);
    return status;
}

/* SIGINT ends a step in the middle of an exchange. The handler knows one agent: this command's. */
static covey_agent *interruptible;

static void on_interrupt(void) {
    if (interruptible) covey_agent_interrupt(interruptible, true);
}

/* --pause and --resume: no step is taken. */
static int pause_updates(app_context *context, const progress *p) {
    covey_error error = {0};
    if (!app_open_agent(context, NULL, NULL, &error) ||
        covey_agent_pause(context->agent, p->pause, &error))
        return app_failed(context, &error);
    if (p->json)
        printf("{\"paused\":%s}\n", p->pause ? "true" : "false");
    else if (p->pause)
        printf("Updates are paused. What was fetched is kept; covey update --resume goes on.\n");
    else
        printf("Updates go on.\n");
    return APP_EXIT_DONE;
}

static int update_all(app_context *context, progress *p) {
    covey_error error = {0};
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_agent_summary summary = COVEY_AGENT_SUMMARY_INIT;
    bool check_now = true, changed = false;
    if (!app_open_agent(context, on_event, p, &error)) return app_failed(context, &error);
    if (p->retry && covey_agent_retry(context->agent, p->retry, &error))
        return app_failed(context, &error);
    interruptible = context->agent;
    app_catch_signals(on_interrupt);
    do {
        if (covey_agent_step(context->agent, p->stop_after ? 0 : 100, check_now, &outcome, &error))
            return app_failed(context, &error);
        check_now = false;
        changed |= outcome.current_changed;
    } while (outcome.state == COVEY_AGENT_WORKING && !p->stop && !app_interrupted());
    if (covey_agent_describe(context->agent, &summary, &error)) return app_failed(context, &error);
    return conclude(p, &outcome, changed, &summary);
}

static bool is_phase(const char *name) {
    static const char *const names[] = {"plan", "fetch", "verify", "stage", "probe"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) return true;
    return false;
}

int covey_cmd_update(int argc, char **argv) {
    app_context context = {.command = "covey update"};
    progress p = {.terminal = isatty(STDOUT_FILENO)};
    const app_option options[] = {
        {"json", 0, APP_FLAG, &p.json, NULL, "print one JSON object for each event", 0, 0},
        {"stop-after", 0, APP_TEXT, &p.stop_after, "PHASE",
         "end after plan, fetch, verify, stage or probe", 0, 0},
        {"retry", 0, APP_TEXT, &p.retry, "VERSION",
         "forget that this device refused this release, and take it when it is offered", 0, 0},
        {"pause", 0, APP_FLAG, &p.pause, NULL,
         "let no update go on, in any process, until --resume; check-ins go on", 0, 0},
        {"resume", 0, APP_FLAG, &p.resume, NULL, "let updates go on", 0, 0},
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
                                 "  covey update\n  covey update --json --state /var/lib/covey\n"
                                 "  covey update --retry 1.2.0\n  covey update --pause",
                                 options,
                                 0,
                                 0};
    static app_positional words;
    int status;
    if (!app_options_read(&command, argc, argv, &words, &status)) return status;
    if (p.stop_after && !is_phase(p.stop_after)) {
        fprintf(stderr,
                "covey update: --stop-after: expected plan, fetch, verify, stage or probe, found "
                "\"%s\"; see covey update --help\n",
                p.stop_after);
        return APP_EXIT_USAGE;
    }
    if (p.pause && p.resume) {
        fprintf(stderr, "covey update: --pause and --resume exclude each other\n");
        return APP_EXIT_USAGE;
    }
    status = p.pause || p.resume ? pause_updates(&context, &p) : update_all(&context, &p);
    interruptible = NULL;
    app_close(&context);
    return status;
}

/* ---- enroll -----------------------------------------------------------------------------------
 */

/* What a command came to: a sentence, or with --json an object of one member. */
static void print_outcome(bool json, const char *sentence, const char *member, const char *value) {
    if (json) {
        printf("{\"%s\":", member);
        app_put_json_text(stdout, value);
        puts("}");
    } else {
        printf("%s %s.\n", sentence, value);
    }
}

int covey_cmd_enroll(int argc, char **argv) {
    app_context context = {.command = "covey enroll"};
    const char *token_file = NULL, *root = NULL;
    bool json = false;
    const app_option options[] = {
        {"token-file", 0, APP_TEXT, &token_file, "FILE",
         "where the one-time token is (default: standard input)", 0, 0},
        {"root", 0, APP_TEXT, &root, "FILE|SHA256",
         "the root of trust: its metadata, or the SHA-256 of that", 0, 0},
        {"json", 0, APP_FLAG, &json, NULL, "print the control plane as JSON", 0, 0},
        APP_OPTION_STATE(context),
        APP_OPTION_BUILTIN(context),
        APP_OPTION_VERBOSE(context),
        {0}};
    const app_command command = {
        "covey enroll",
        "URL",
        "Makes this device known to a control plane with a one-time "
        "token. Without --root this device keeps\n"
        "the root of trust that it has, else the app's, else it trusts the "
        "control plane's now, and from then on only\n"
        "roots that follow it. The token is read from a file or standard "
        "input, so that it does not stand in the list\n"
        "of processes.",
        "  covey enroll http://127.0.0.1:8080 < token\n"
        "  covey enroll https://fleet.example --root root.json < token",
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
        covey_agent_enroll(context.agent, words.items[0], token, root, &error))
        status = app_failed(&context, &error);
    else
        print_outcome(json, "This device is enrolled with", "control_plane", words.items[0]);
    free(token);
    app_close(&context);
    return status;
}

/* ---- status -----------------------------------------------------------------------------------
 */

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

/* How far a trial came; what proves it. */
static void print_trial(const covey_agent_summary *s) {
    if (s->trial)
        printf("trial       %d good answers of %d, %d failed; or %d min of serving\n",
               (int)s->trial_good, (int)s->trial_answers, (int)s->trial_failed,
               (int)(s->trial_time_ms / 60000));
    if (s->without_probes)
        printf("%-11s it has no probes: that its model opened is all that was proved\n", "");
}

static void print_refused(const covey_agent_summary *s) {
    int32_t shown = (int32_t)(sizeof s->refused / sizeof *s->refused);
    for (int32_t i = 0; i < s->refused_count && i < shown; i++)
        printf("refused     %s\n", s->refused[i]);
    if (s->refused_count) printf("%-11s covey update --retry VERSION has one tried again\n", "");
}

static void print_slot(const char *name, const covey_agent_slot_info *slot, const char *state) {
    if (slot->digest[0])
        printf("%-11s %s@%s (%s), %s\n", name, slot->name, slot->version, slot->variant, state);
    else
        printf("%-11s –\n", name);
}

/* What is believed, and what the publisher's statements say here. */
static void print_trust(const covey_agent_summary *s) {
    char date[32] = "";
    int32_t shown = (int32_t)(sizeof s->statements / sizeof *s->statements);
    time_t expires = (time_t)(s->metadata_expires_ms / 1000);
    struct tm utc;
    if (s->metadata_version && gmtime_r(&expires, &utc))
        strftime(date, sizeof date, "%Y-%m-%d", &utc);
    if (s->metadata_version)
        printf("metadata    version %" PRId64 ", until %s\n", s->metadata_version, date);
    if (s->held_back[0]) printf("trust       %s\n", s->held_back);
    if (s->off[0]) printf("off         %s\n", s->off);
    for (int32_t i = 0; i < s->statement_count && i < shown; i++)
        printf("steering    %s\n", s->statements[i]);
    if (s->statement_count > shown)
        printf("steering    and %d more; covey status --json has them all\n",
               (int)(s->statement_count - shown));
}

static void print_ask(void *user, const char *line) {
    (void)user;
    printf("%-11s %s\n", "", line);
}

/* What the user switched off, and what an ensemble asks of them. */
static void print_users_word(app_context *context, const covey_agent_summary *s) {
    if (s->opted_out[0])
        printf("opted out   %s%s%s\n", s->opted_out,
               s->degrade[0] ? "; in place of the model: " : "", s->degrade);
    if (!s->ask_count) return;
    printf("consent     %s@%s asks for more than you gave; covey consent give or deny decides:\n",
           s->staged.name, s->staged.version);
    (void)covey_agent_asks(context->agent, NULL, print_ask, NULL);
}

static void print_status(app_context *context, const covey_agent_summary *s) {
    print_facts(context);
    print_slot("builtin", &s->builtin, "good");
    print_slot("current", &s->current, s->trial ? "trial" : "good");
    print_trial(s);
    print_slot("previous", &s->previous, "good");
    print_slot("staged", &s->staged, "staged");
    printf("fleet       %s\n", s->control_plane[0]
                                   ? s->control_plane
                                   : "none; covey enroll makes this device known to one");
    print_users_word(context, s);
    if (s->paused) printf("paused      updates wait; covey update --resume lets them go on\n");
    if (s->problem[0]) printf("problem     %s\n", s->problem);
    print_trust(s);
    print_refused(s);
    if (s->last_phase[0])
        printf("last step   %s of %s: %s%s%s\n", s->last_phase, s->last_release, s->last_outcome,
               s->last_message[0] ? ": " : "", s->last_message);
}

/* Prints the state, for people or as JSON. */
static covey_status show_status(app_context *context, bool json, covey_error *error) {
    covey_agent_summary summary = COVEY_AGENT_SUMMARY_INIT;
    char *text = NULL;
    if (json) {
        covey_status status = covey_agent_status(context->agent, &text, error);
        if (!status) puts(text);
        if (text) covey_agent_free_text(context->agent, text);
        return status;
    }
    covey_status status = covey_agent_describe(context->agent, &summary, error);
    if (!status) print_status(context, &summary);
    return status;
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
    if (!app_options_read(&command, argc, argv, &words, &status)) return status;
    status = APP_EXIT_DONE;
    if (!app_open_agent(&context, NULL, NULL, &error) || show_status(&context, json, &error))
        status = app_failed(&context, &error);
    app_close(&context);
    return status;
}

/* ---- rollback, token --------------------------------------------------------------------------
 */

int covey_cmd_rollback(int argc, char **argv) {
    app_context context = {.command = "covey rollback"};
    bool json = false;
    char answers[140];
    const app_option options[] = {
        {"json", 0, APP_FLAG, &json, NULL, "print the ensemble that answers as JSON", 0, 0},
        APP_OPTION_STATE(context),
        APP_OPTION_BUILTIN(context),
        APP_OPTION_VERBOSE(context),
        {0}};
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
    if (ensemble) {
        snprintf(answers, sizeof answers, "%s@%s", covey_ensemble_name(ensemble),
                 covey_ensemble_version(ensemble));
        print_outcome(json, "This device answers with", "ensemble", answers);
    }
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
