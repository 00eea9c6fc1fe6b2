/* What the commands share that need a key folder: its options, passphrases, and an open folder
 * beside a session, which may be without a control plane. */
#ifndef COVEY_APPS_FLEET_KEYS_H
#define COVEY_APPS_FLEET_KEYS_H

#include <covey/fleet_keys.h>

#include "covey-fleet/fleet_commands.h"

typedef struct fleet_folder {
    const char *folder, *passphrase_file;
    bool plain;                              /* new keys have no passphrase */
    bool once;                               /* one passphrase, asked for once, for all new keys */
    char known[COVEY_FLEET_PASSPHRASE_SIZE]; /* that one; wiped by whoever set `once` */
} fleet_folder;
#define FLEET_FOLDER_OPTIONS(of)                                                                   \
    {"keys", 'k', APP_TEXT, &(of).folder, "DIR", "the key folder (default: $COVEY_FLEET_KEYS)",    \
     0,      0},                                                                                   \
    {                                                                                              \
        "passphrase-file", 0, APP_TEXT, &(of).passphrase_file, "FILE",                             \
            "whose first line is the keys' passphrase (else the terminal is asked)", 0, 0          \
    }

/* For covey_fleet_keys_open and its like; `user` is a fleet_folder. */
bool fleet_passphrase(void *user, const char *key_file, bool is_new,
                      char text[COVEY_FLEET_PASSPHRASE_SIZE]);

/* Opens the folder, and a client where a control plane is named; `needs_server` makes that a must.
 * APP_EXIT_DONE, or the exit status after what was wrong was said. */
int fleet_folder_open(const char *command, fleet_folder *of, const fleet_server *server,
                      bool needs_server, fleet_session *session, covey_fleet_keys **keys);
void fleet_folder_close(fleet_session *session, covey_fleet_keys *keys);
/* Prints the text, or what is wrong; returns the exit status. */
int fleet_folder_finish(const char *command, covey_fleet_keys *keys, covey_status status,
                        char *text, const covey_error *error);
/* All of it: opens, asks, prints the answer (`*text` may stay NULL) or what is wrong, closes.
 * Returns the exit status. */
typedef covey_status (*fleet_folder_question)(void *user, const fleet_session *session,
                                              covey_fleet_keys *keys, char **text,
                                              covey_error *error);
int fleet_folder_ask(const char *command, fleet_folder *of, const fleet_server *server,
                     bool needs_server, fleet_folder_question question, void *user);
/* Whether a control plane is named at all. */
bool fleet_server_named(const fleet_server *server);

#endif
