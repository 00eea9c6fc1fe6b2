/* covey-fleet rollout: create, set, pause, resume, abort, list. */
#include "covey-fleet/fleet_commands.h"

#include <stdio.h>

#define FLEET_BYTES_MAX 9007199254740991.0 /* what a number of JSON keeps */

static covey_status ask_create(void *user, const fleet_session *session, const char *word,
                               char **text, covey_error *error) {
    covey_fleet_rollout_options *rollout = user;
    rollout->release = word;
    return covey_fleet_rollout_create(session->client, rollout, session->format, text, error);
}

static int rollout_create(int argc, char **argv) {
    static const char name[] = "covey-fleet rollout create";
    fleet_server server = {0};
    covey_fleet_rollout_options rollout = COVEY_FLEET_ROLLOUT_OPTIONS_INIT;
    const app_option options[] = {
        {"percent", 'p', APP_NUMBER, &rollout.percent, "P",
         "of the devices, by a stable draw (100)", 0, 100},
        {"classes", 'c', APP_TEXT, &rollout.classes, "LIST",
         "only these: tiny,small,medium,large (all)", 0, 0},
        {"bytes-max", 'b', APP_INT, &rollout.bytes_max, "BYTES",
         "that one device may fetch for it; beyond that it waits and says so (no bound)", 0,
         FLEET_BYTES_MAX},
        {"patched-first", 0, APP_FLAG, &rollout.patched_first, NULL,
         "first only devices that can go on by a patch", 0, 0},
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
    static app_positional words;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &words, &exit_status)) return exit_status;
    return fleet_ask(command.name, &server, words.items[0], ask_create, &rollout);
}

static covey_status ask_change(void *user, const fleet_session *session, const char *word,
                               char **text, covey_error *error) {
    return covey_fleet_rollout_change(session->client, word, user, session->format, text, error);
}

static int rollout_set(int argc, char **argv) {
    fleet_server server = {0};
    covey_fleet_rollout_changes to = COVEY_FLEET_ROLLOUT_CHANGES_INIT;
    const app_option options[] = {{"percent", 'p', APP_NUMBER, &to.percent, "P",
                                   "of the devices; less takes nothing back", 0, 100},
                                  {"everyone", 'e', APP_FLAG, &to.everyone, NULL,
                                   "devices without a patch too, after --patched-first", 0, 0},
                                  {"bytes-max", 'b', APP_INT, &to.bytes_max, "BYTES",
                                   "that one device may fetch for it; 0: no bound", 0,
                                   FLEET_BYTES_MAX},
                                  FLEET_SERVER_OPTIONS(server),
                                  {0}};
    const app_command command = {"covey-fleet rollout set",
                                 "ID [--percent P] [--everyone] [--bytes-max BYTES]",
                                 "Changes a rollout: how many devices it is for, whether those "
                                 "without a patch are too,\nand how many bytes each may fetch.",
                                 "  covey-fleet rollout set r-1 --percent 50\n"
                                 "  covey-fleet rollout set r-1 --everyone --bytes-max 20000000",
                                 options,
                                 1,
                                 1};
    static app_positional words;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &words, &exit_status)) return exit_status;
    if (to.percent < 0 && to.bytes_max < 0 && !to.everyone) {
        fprintf(stderr,
                "%s: expected --percent P, --everyone or --bytes-max BYTES; see %s --help\n",
                command.name, command.name);
        return APP_EXIT_USAGE;
    }
    return fleet_ask(command.name, &server, words.items[0], ask_change, &to);
}

static int to_state(const char *name, const char *summary, const char *example, const char *state,
                    int argc, char **argv) {
    fleet_server server = {0};
    covey_fleet_rollout_changes to = COVEY_FLEET_ROLLOUT_CHANGES_INIT;
    to.state = state;
    const app_option options[] = {FLEET_SERVER_OPTIONS(server), {0}};
    const app_command command = {name, "ID", summary, example, options, 1, 1};
    static app_positional words;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &words, &exit_status)) return exit_status;
    return fleet_ask(command.name, &server, words.items[0], ask_change, &to);
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

static covey_status ask_list(void *user, const fleet_session *session, const char *word,
                             char **text, covey_error *error) {
    (void)user;
    (void)word;
    return covey_fleet_rollouts(session->client, session->format, text, error);
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
    static app_positional words;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &words, &exit_status)) return exit_status;
    return fleet_ask(command.name, &server, NULL, ask_list, NULL);
}

int fleet_cmd_rollout(int argc, char **argv) {
    static const fleet_verb verbs[] = {
        {"create", rollout_create, "begin to offer a release"},
        {"set", rollout_set, "change the percentage, the budget of bytes, or who goes first"},
        {"pause", rollout_pause, "offer it to nobody for now"},
        {"resume", rollout_resume, "offer it again"},
        {"abort", rollout_abort, "end it for good"},
        {"list", rollout_list, "all of them, with what became of them"},
    };
    return fleet_verbs("covey-fleet rollout", verbs, sizeof(verbs) / sizeof(*verbs), argc, argv);
}
