/* covey-fleet content-key: wrap, list. Who gets the key of private ensembles. */
#include "covey-fleet/fleet_commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct wrap_arguments {
    covey_fleet_wrap_options wrap;
    bool all;
} wrap_arguments;

static int run_wrap(const char *name, const fleet_server *server,
                    const covey_fleet_wrap_options *options) {
    fleet_session session;
    covey_error error = {0};
    covey_fleet_wrapped done = COVEY_FLEET_WRAPPED_INIT;
    int exit_status = fleet_session_open(name, server, &session);
    if (exit_status != APP_EXIT_DONE) return exit_status;
    covey_status status = covey_fleet_content_key_wrap(session.client, options, &done, &error);
    if (status != COVEY_OK) {
        exit_status = fleet_failed(name, &error);
    } else if (server->json) {
        printf("{\"key\":\"%s\",\"devices\":%" PRIu64 ",\"wrapped\":%" PRIu64
               ",\"without_key\":%" PRIu64 ",\"skipped\":%" PRIu64 "}\n",
               done.key, done.devices, done.wrapped, done.without_key, done.skipped);
    } else {
        printf("Wrapped content key %s for %" PRIu64 " of %" PRIu64 " devices.\n", done.key,
               done.wrapped, done.devices);
        if (done.without_key > 0)
            printf("%" PRIu64 " have no key of their own yet: they get one when they check in with "
                   "a library that knows of it.\n",
                   done.without_key);
        if (done.skipped > 0) printf("%" PRIu64 " changed meanwhile; wrap again.\n", done.skipped);
    }
    fleet_session_close(&session);
    return exit_status;
}

static int content_key_wrap(int argc, char **argv) {
    static const char name[] = "covey-fleet content-key wrap";
    fleet_server server = {0};
    wrap_arguments a = {COVEY_FLEET_WRAP_OPTIONS_INIT, false};
    const app_option options[] = {
        {"device", 'd', APP_TEXT, &a.wrap.device, "ID", "for this device", 0, 0},
        {"device-key", 0, APP_TEXT, &a.wrap.device_key, "HEX",
         "refuse unless this is the device's key (covey status --json says it there)", 0, 0},
        {"all", 'a', APP_FLAG, &a.all, NULL, "for all enrolled devices that lack it", 0, 0},
        FLEET_SERVER_OPTIONS(server),
        {0}};
    const app_command command = {
        name,
        "KEYFILE",
        "Gives devices a content key: wraps it for each of them here and uploads that. The key\n"
        "itself never leaves this machine. Run it again for devices that enrolled since.",
        "  covey-fleet content-key wrap assistant.content-key --all",
        options,
        1,
        1};
    static app_positional words;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &words, &exit_status)) return exit_status;
    if ((a.wrap.device != NULL) == a.all) {
        fprintf(stderr, "%s: expected --device ID or --all\n", name);
        return APP_EXIT_USAGE;
    }
    a.wrap.key_file = words.items[0];
    return run_wrap(name, &server, &a.wrap);
}

typedef struct list_arguments {
    const char *after;
    bool lacking;
} list_arguments;

static covey_status ask_keys(void *user, const fleet_session *session, const char *word,
                             char **text, covey_error *error) {
    const list_arguments *a = user;
    if (word == NULL)
        return covey_fleet_content_keys(session->client, session->format, text, error);
    return covey_fleet_content_key_devices(session->client, word, a->after, a->lacking,
                                           session->format, text, error);
}

static int content_key_list(int argc, char **argv) {
    static const char name[] = "covey-fleet content-key list";
    fleet_server server = {0};
    list_arguments a = {NULL, false};
    const app_option options[] = {
        {"lacking", 'l', APP_FLAG, &a.lacking, NULL, "only devices that lack the key", 0, 0},
        {"after", 0, APP_TEXT, &a.after, "ID", "the page after this device", 0, 0},
        FLEET_SERVER_OPTIONS(server),
        {0}};
    const app_command command = {
        name,
        "[KEYID]",
        "Lists the content keys that were wrapped, and how many devices have and lack each; with\n"
        "a key's id, the devices and their keys.",
        "  covey-fleet content-key list 00112233445566778899aabbccddeeff --lacking",
        options,
        0,
        1};
    static app_positional words;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &words, &exit_status)) return exit_status;
    return fleet_ask(command.name, &server, words.count > 0 ? words.items[0] : NULL, ask_keys, &a);
}

int fleet_cmd_content_key(int argc, char **argv) {
    static const fleet_verb verbs[] = {
        {"wrap", content_key_wrap, "give devices a content key"},
        {"list", content_key_list, "list content keys, and who has them"}};
    return fleet_verbs("covey-fleet content-key", verbs, 2, argc, argv);
}
