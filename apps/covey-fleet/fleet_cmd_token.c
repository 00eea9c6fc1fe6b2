/* covey-fleet token: enrollment tokens. */
#include "covey-fleet/fleet_commands.h"

#include <stdio.h>

static int token_create(int argc, char **argv) {
    static const char name[] = "covey-fleet token create";
    fleet_server server = {0};
    const char *expires = "1h", *note = NULL;
    int64_t uses = 1, expires_ms = 0;
    const app_option options[] = {
        {"uses", 'n', APP_INT, &uses, "N", "devices that may enroll with it (1)", 1, 1000000},
        {"expires", 'e', APP_TEXT, &expires, "TIME", "90s, 30m, 1h, 7d (1h)", 0, 0},
        {"note", 0, APP_TEXT, &note, "TEXT", "for people", 0, 0},
        FLEET_SERVER_OPTIONS(server),
        {0}};
    const app_command command = {
        name,
        "",
        "Makes an enrollment token and prints it. It is shown this once; the server keeps its "
        "hash.",
        "  covey enroll http://127.0.0.1:8180 --token \"$(covey-fleet token create)\"",
        options,
        0,
        0};
    static app_positional none;
    fleet_session session;
    covey_error error = {0};
    char *text = NULL;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &none, &exit_status)) return exit_status;
    if (!fleet_duration(expires, &expires_ms)) {
        fprintf(stderr, "%s: --expires: expected a time such as 90s, 30m, 1h or 7d, found \"%s\"\n",
                name, expires);
        return APP_EXIT_USAGE;
    }
    exit_status = fleet_session_open(name, &server, &session);
    if (exit_status != APP_EXIT_DONE) return exit_status;
    covey_status status = covey_fleet_token_create(session.client, uses, expires_ms, note,
                                                   session.format, &text, &error);
    exit_status = fleet_finish(name, &session, status, text, &error);
    fleet_session_close(&session);
    return exit_status;
}

int fleet_cmd_token(int argc, char **argv) {
    static const fleet_verb verbs[] = {{"create", token_create, "make an enrollment token"}};
    return fleet_verbs("covey-fleet token", verbs, 1, argc, argv);
}
