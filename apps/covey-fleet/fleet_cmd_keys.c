/* covey-fleet keys: the publisher's key. It is made and kept where releases are published, never on
 * the server, which knows the public half only. */
#include "covey-fleet/fleet_commands.h"

#include <stdio.h>

static int keys_init(int argc, char **argv) {
    static const char name[] = "covey-fleet keys init";
    bool json = false;
    const app_option options[] = {
        {"json", 0, APP_FLAG, &json, NULL, "print the public key as JSON", 0, 0}, {0}};
    const app_command command = {
        name,
        "DIR",
        "Makes an Ed25519 key: DIR/release.key, private, yours alone, to sign releases with, and\n"
        "DIR/release.pub, for servers and devices to trust. Neither is ever overwritten.",
        "  covey-fleet keys init keys",
        options,
        1,
        1};
    app_positional folder;
    covey_error error = {0};
    covey_runtime *runtime = NULL;
    char public_key[65] = "";
    int exit_status;
    if (!app_options_read(&command, argc, argv, &folder, &exit_status)) return exit_status;
    covey_status status = fleet_runtime(&runtime, false, &error);
    if (status == COVEY_OK) {
        status = covey_fleet_keys_init(runtime, folder.items[0], public_key, &error);
    }
    covey_runtime_close(runtime);
    if (status != COVEY_OK) return fleet_failed(name, &error);
    if (json) {
        printf("{\"public_key\":\"%s\"}\n", public_key);
    } else {
        printf("%s/release.key  private: keep it\n%s/release.pub  %s\n", folder.items[0],
               folder.items[0], public_key);
    }
    return APP_EXIT_DONE;
}

static int keys_trust(int argc, char **argv) {
    static const char name[] = "covey-fleet keys trust";
    fleet_server server = {0};
    const app_option options[] = {FLEET_SERVER_OPTIONS(server), {0}};
    const app_command command = {
        name,
        "FILE",
        "Tells the server to accept releases signed by the public key in FILE. Devices that "
        "enroll\n"
        "from then on are told of it; those that pinned their keys before are not.",
        "  covey-fleet keys trust keys/release.pub",
        options,
        1,
        1};
    app_positional file;
    fleet_session session;
    covey_error error = {0};
    int exit_status;
    if (!app_options_read(&command, argc, argv, &file, &exit_status)) return exit_status;
    exit_status = fleet_session_open(name, &server, &session);
    if (exit_status != APP_EXIT_DONE) return exit_status;
    covey_status status = covey_fleet_trust(session.client, file.items[0], &error);
    if (status != COVEY_OK) {
        exit_status = fleet_failed(name, &error);
    } else {
        printf(server.json ? "{}\n" : "The server trusts it.\n");
    }
    fleet_session_close(&session);
    return exit_status;
}

int fleet_cmd_keys(int argc, char **argv) {
    static const fleet_verb verbs[] = {
        {"init", keys_init, "make a publisher's key"},
        {"trust", keys_trust, "have the server accept releases signed by a key"},
    };
    return fleet_verbs("covey-fleet keys", verbs, sizeof(verbs) / sizeof(*verbs), argc, argv);
}
