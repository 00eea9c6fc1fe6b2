/* covey-fleet token: enrollment tokens. */
#include "covey-fleet/fleet_commands.h"

#include <stdio.h>

typedef struct token_options {
    const char *expires, *note;
    int64_t uses, expires_ms;
} token_options;

static covey_status ask_token(void *user, const fleet_session *session, const char *word,
                              char **text, covey_error *error) {
    const token_options *o = user;
    (void)word;
    return covey_fleet_token_create(session->client, o->uses, o->expires_ms, o->note,
                                    session->format, text, error);
}

static int token_create(int argc, char **argv) {
    static const char name[] = "covey-fleet token create";
    fleet_server server = {0};
    token_options o = {"1h", NULL, 1, 0};
    const app_option options[] = {
        {"uses", 'n', APP_INT, &o.uses, "N", "devices that may enroll with it (1)", 1, 1000000},
        {"expires", 'e', APP_TEXT, &o.expires, "TIME", "90s, 30m, 1h, 7d (1h)", 0, 0},
        {"note", 0, APP_TEXT, &o.note, "TEXT", "for people", 0, 0},
        FLEET_SERVER_OPTIONS(server),
        {0}};
    const app_command command = {
        name,
        "",
        "Makes an enrollment token and prints it. It is shown this once; the server keeps its "
        "hash.",
        "  covey-fleet token create | covey enroll http://127.0.0.1:8180",
        options,
        0,
        0};
    static app_positional words;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &words, &exit_status)) return exit_status;
    if (!fleet_duration(o.expires, &o.expires_ms)) {
        fprintf(stderr, "%s: --expires: expected a time such as 90s, 30m, 1h or 7d, found \"%s\"\n",
                name, o.expires);
        return APP_EXIT_USAGE;
    }
    return fleet_ask(command.name, &server, NULL, ask_token, &o);
}

int fleet_cmd_token(int argc, char **argv) {
    static const fleet_verb verbs[] = {{"create", token_create, "make an enrollment token"}};
    return fleet_verbs("covey-fleet token", verbs, 1, argc, argv);
}
