/* The commands of covey-fleet, one file each, and what they share. */
#ifndef COVEY_APPS_FLEET_COMMANDS_H
#define COVEY_APPS_FLEET_COMMANDS_H

#include <covey/fleet.h>

#include "common/options.h"

/* argv[0] is the command's own name. Each returns the exit status. */
int fleet_cmd_serve(int argc, char **argv);
int fleet_cmd_keys(int argc, char **argv);
int fleet_cmd_publish(int argc, char **argv);
int fleet_cmd_sign(int argc, char **argv);
int fleet_cmd_steer(int argc, char **argv);
int fleet_cmd_releases(int argc, char **argv);
int fleet_cmd_rollout(int argc, char **argv);
int fleet_cmd_devices(int argc, char **argv);
int fleet_cmd_token(int argc, char **argv);
int fleet_cmd_content_key(int argc, char **argv);
int fleet_cmd_simulate(int argc, char **argv);

/* A command with commands of its own: hands on, or says what there is. */
typedef struct fleet_verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} fleet_verb;
int fleet_verbs(const char *command, const fleet_verb *verbs, size_t count, int argc, char **argv);

/* Where the control plane is and who asks. */
typedef struct fleet_server {
    const char *url, *token_file;
    bool json;
} fleet_server;
#define FLEET_SERVER_OPTIONS(server)                                                               \
    {"url", 0, APP_TEXT, &(server).url, "URL", "the control plane (default: $COVEY_FLEET_URL)",    \
     0,     0},                                                                                    \
        {"admin-token-file",                                                                       \
         0,                                                                                        \
         APP_TEXT,                                                                                 \
         &(server).token_file,                                                                     \
         "FILE",                                                                                   \
         "its admin token (default: $COVEY_FLEET_TOKEN_FILE)",                                     \
         0,                                                                                        \
         0},                                                                                       \
    {                                                                                              \
        "json", 0, APP_FLAG, &(server).json, NULL, "print the server's JSON", 0, 0                 \
    }

typedef struct fleet_session {
    covey_runtime *runtime;
    covey_fleet_client *client;
    covey_fleet_format format;
} fleet_session;
/* APP_EXIT_DONE, or the exit status after what was wrong was said. */
int fleet_session_open(const char *command, const fleet_server *server, fleet_session *session);
void fleet_session_close(fleet_session *session);

/* One question to the control plane: `word` is the command's positional argument, or NULL. `*text`
 * is what to print. */
typedef covey_status (*fleet_question)(void *user, const fleet_session *session, const char *word,
                                       char **text, covey_error *error);
/* Asks, and prints the answer or what is wrong; returns the exit status. */
int fleet_ask(const char *command, const fleet_server *server, const char *word,
              fleet_question question, void *user);

/* Says the error; returns the exit status. */
int fleet_failed(const char *command, const covey_error *error);
/* "90s", "30m", "2h", "7d" in milliseconds; false when it is none. */
bool fleet_duration(const char *text, int64_t *ms);
covey_status fleet_runtime(covey_runtime **runtime, bool verbose, covey_error *error);

#endif
