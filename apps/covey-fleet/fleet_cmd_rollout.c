/* covey-fleet rollout: create, set, pause, resume, abort, list. */
#include "covey-fleet/fleet_commands.h"

#include <stdio.h>

static int rollout_create(int argc, char **argv) {
    static const char name[] = "covey-fleet rollout create";
    fleet_server server = {0};
    covey_fleet_rollout_options rollout = COVEY_FLEET_ROLLOUT_OPTIONS_INIT;
    const app_option options[] = {
        {"percent", 'p', APP_NUMBER, &rollout.percent, "P",
         "of the devices, by a stable draw (100)", 0, 100},
        {"classes", 'c', APP_TEXT, &rollout.classes, "LIST",
         "only these: tiny,small,medium,large (all)", 0, 0},
        {"note", 'n', APP_TEXT, &rollout.note, "TEXT", "for people", 0, 0},
        FLEET_SERVER_OPTIONS(server),
        {0}};
    const app_command command = {
        name,
        "NAME@VERSION",
        "Begins to offer a published release. Raising the percentage later only adds devices.",
        "  covey-fleet rollout create assistant@1.1.0 --percent 10 --classes small,medium",
        options,
        1,
        1};
    static app_positional release;
    fleet_session session;
    covey_error error = {0};
    char *text = NULL;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &release, &exit_status)) return exit_status;
    exit_status = fleet_session_open(name, &server, &session);
    if (exit_status != APP_EXIT_DONE) return exit_status;
    rollout.release = release.items[0];
    covey_status status =
        covey_fleet_rollout_create(session.client, &rollout, session.format, &text, &error);
    exit_status = fleet_finish(name, &session, status, text, &error);
    fleet_session_close(&session);
    return exit_status;
}

/* Shared by set, pause, resume and abort. */
static int change(const app_command *command, fleet_server *server, int argc, char **argv,
                  double *percent, const char *state) {
    static app_positional id;
    fleet_session session;
    covey_error error = {0};
    char *text = NULL;
    int exit_status;
    if (!app_options_read(command, argc, argv, &id, &exit_status)) return exit_status;
    if (*percent < 0 && state == NULL) {
        fprintf(stderr, "%s: expected --percent P; see %s --help\n", command->name, command->name);
        return APP_EXIT_USAGE;
    }
    exit_status = fleet_session_open(command->name, server, &session);
    if (exit_status != APP_EXIT_DONE) return exit_status;
    covey_status status = covey_fleet_rollout_set(session.client, id.items[0], *percent, state,
                                                  session.format, &text, &error);
    exit_status = fleet_finish(command->name, &session, status, text, &error);
    fleet_session_close(&session);
    return exit_status;
}

static int rollout_set(int argc, char **argv) {
    fleet_server server = {0};
    double percent = -1;
    const app_option options[] = {{"percent", 'p', APP_NUMBER, &percent, "P",
                                   "of the devices; less takes nothing back", 0, 100},
                                  FLEET_SERVER_OPTIONS(server),
                                  {0}};
    const app_command command = {"covey-fleet rollout set",
                                 "ID --percent P",
                                 "Changes the percentage of a rollout.",
                                 "  covey-fleet rollout set r-1 --percent 50",
                                 options,
                                 1,
                                 1};
    return change(&command, &server, argc, argv, &percent, NULL);
}

static int to_state(const char *name, const char *summary, const char *example, const char *state,
                    int argc, char **argv) {
    fleet_server server = {0};
    double percent = -1;
    const app_option options[] = {FLEET_SERVER_OPTIONS(server), {0}};
    const app_command command = {name, "ID", summary, example, options, 1, 1};
    return change(&command, &server, argc, argv, &percent, state);
}

static int rollout_pause(int argc, char **argv) {
    return to_state("covey-fleet rollout pause",
                    "Offers the release to nobody for now. Devices that have it keep it.",
                    "  covey-fleet rollout pause r-1", "paused", argc, argv);
}

static int rollout_resume(int argc, char **argv) {
    return to_state("covey-fleet rollout resume", "Offers the release again after a pause.",
                    "  covey-fleet rollout resume r-1", "running", argc, argv);
}

static int rollout_abort(int argc, char **argv) {
    return to_state("covey-fleet rollout abort",
                    "Ends the rollout for good. Devices that have the release keep it.",
                    "  covey-fleet rollout abort r-1", "aborted", argc, argv);
}

static int rollout_list(int argc, char **argv) {
    static const char name[] = "covey-fleet rollout list";
    fleet_server server = {0};
    const app_option options[] = {FLEET_SERVER_OPTIONS(server), {0}};
    const app_command command = {name,
                                 "",
                                 "Lists rollouts, newest first, with what became of them.",
                                 "  covey-fleet rollout list --json",
                                 options,
                                 0,
                                 0};
    static app_positional none;
    fleet_session session;
    covey_error error = {0};
    char *text = NULL;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &none, &exit_status)) return exit_status;
    exit_status = fleet_session_open(name, &server, &session);
    if (exit_status != APP_EXIT_DONE) return exit_status;
    covey_status status = covey_fleet_rollouts(session.client, session.format, &text, &error);
    exit_status = fleet_finish(name, &session, status, text, &error);
    fleet_session_close(&session);
    return exit_status;
}

int fleet_cmd_rollout(int argc, char **argv) {
    static const fleet_verb verbs[] = {
        {"create", rollout_create, "begin to offer a release"},
        {"set", rollout_set, "change the percentage"},
        {"pause", rollout_pause, "offer it to nobody for now"},
        {"resume", rollout_resume, "offer it again"},
        {"abort", rollout_abort, "end it for good"},
        {"list", rollout_list, "all of them, with what became of them"},
    };
    return fleet_verbs("covey-fleet rollout", verbs, sizeof(verbs) / sizeof(*verbs), argc, argv);
}
