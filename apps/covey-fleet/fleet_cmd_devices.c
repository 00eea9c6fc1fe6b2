/* covey-fleet devices: list, show, revoke. Without a verb it lists. */
#include "covey-fleet/fleet_commands.h"

#include <stdio.h>
#include <string.h>

typedef struct device_page {
    covey_fleet_device_filter filter;
    int64_t limit;
} device_page;

static covey_status ask_list(void *user, const fleet_session *session, const char *word,
                             char **text, covey_error *error) {
    device_page *page = user;
    (void)word;
    page->filter.limit = (int32_t)page->limit;
    return covey_fleet_devices(session->client, &page->filter, session->format, text, error);
}

static int devices_list(int argc, char **argv) {
    static const char name[] = "covey-fleet devices list";
    fleet_server server = {0};
    device_page page = {COVEY_FLEET_DEVICE_FILTER_INIT, 100};
    const app_option options[] = {
        {"limit", 'n', APP_INT, &page.limit, "N", "devices on a page (100)", 1, 1000},
        {"after", 0, APP_TEXT, &page.filter.after, "ID", "the page after this device", 0, 0},
        {"class", 'c', APP_TEXT, &page.filter.device_class, "CLASS",
         "only tiny, small, medium or large", 0, 0},
        {"version", 0, APP_TEXT, &page.filter.version, "VERSION", "only devices that serve it", 0,
         0},
        FLEET_SERVER_OPTIONS(server),
        {0}};
    const app_command command = {name,
                                 "",
                                 "Lists devices in the order of their ids.",
                                 "  covey-fleet devices list --version 1.1.0",
                                 options,
                                 0,
                                 0};
    static app_positional words;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &words, &exit_status)) return exit_status;
    return fleet_ask(command.name, &server, NULL, ask_list, &page);
}

static covey_status ask_device(void *user, const fleet_session *session, const char *word,
                               char **text, covey_error *error) {
    (void)user;
    return covey_fleet_device(session->client, word, session->format, text, error);
}

static int devices_show(int argc, char **argv) {
    static const char name[] = "covey-fleet devices show";
    fleet_server server = {0};
    const app_option options[] = {FLEET_SERVER_OPTIONS(server), {0}};
    const app_command command = {
        name,
        "ID",
        "Tells what a device is, what it serves, why it is where it is, and what it reported.",
        "  covey-fleet devices show 0123456789abcdef0123456789abcdef",
        options,
        1,
        1};
    static app_positional words;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &words, &exit_status)) return exit_status;
    return fleet_ask(command.name, &server, words.items[0], ask_device, NULL);
}

static int devices_revoke(int argc, char **argv) {
    static const char name[] = "covey-fleet devices revoke";
    fleet_server server = {0};
    const app_option options[] = {FLEET_SERVER_OPTIONS(server), {0}};
    const app_command command = {
        name,
        "ID",
        "Makes a device's token worthless. It goes on with what it has; to come back it enrolls "
        "anew.",
        "  covey-fleet devices revoke 0123456789abcdef0123456789abcdef",
        options,
        1,
        1};
    static app_positional id;
    fleet_session session;
    covey_error error = {0};
    int exit_status;
    if (!app_options_read(&command, argc, argv, &id, &exit_status)) return exit_status;
    exit_status = fleet_session_open(name, &server, &session);
    if (exit_status != APP_EXIT_DONE) return exit_status;
    covey_status status = covey_fleet_device_revoke(session.client, id.items[0], &error);
    if (status != COVEY_OK) {
        exit_status = fleet_failed(name, &error);
    } else {
        printf(server.json ? "{}\n" : "Its token is worth nothing from now on.\n");
    }
    fleet_session_close(&session);
    return exit_status;
}

int fleet_cmd_devices(int argc, char **argv) {
    static const fleet_verb verbs[] = {
        {"list", devices_list, "a page of devices"},
        {"show", devices_show, "one device, and why it is where it is"},
        {"revoke", devices_revoke, "make a device's token worthless"},
    };
    bool help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    if (!help && (argc == 1 || argv[1][0] == '-')) return devices_list(argc, argv);
    return fleet_verbs("covey-fleet devices", verbs, sizeof(verbs) / sizeof(*verbs), argc, argv);
}
