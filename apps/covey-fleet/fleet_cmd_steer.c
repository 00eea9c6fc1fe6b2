/* covey-fleet steer: statements that narrow what devices do (docs/formats/steering.md). */
#include "covey-fleet/fleet_keys.h"

#include <stdio.h>
#include <string.h>

static covey_status ask_add(void *user, const fleet_session *session, covey_fleet_keys *keys,
                            char **text, covey_error *error) {
    return covey_fleet_steer_add(session->client, keys, user, text, error);
}

static int steer_say(int argc, char **argv) {
    char name[80];
    fleet_folder of = {0};
    fleet_server server = {0};
    covey_fleet_statement said = COVEY_FLEET_STATEMENT_INIT;
    app_texts variants = {.count = 0}, classes = {.count = 0};
    const app_option options[] = {
        {"versions", 0, APP_TEXT, &said.versions, "RANGE",
         "kill, downgrade, end-of-support: which (\">=1.2.0 <=1.2.3\")", 0, 0},
        {"version", 0, APP_TEXT, &said.version, "VERSION", "minimum, pin, downgrade: to which", 0,
         0},
        {"flag", 0, APP_TEXT, &said.flag, "NAME", "flag: which feature is off", 0, 0},
        {"at", 0, APP_TEXT, &said.at, "TIME", "end-of-support: from when (2027-03-01T00:00:00Z)", 0,
         0},
        {"reason", 0, APP_TEXT, &said.reason, "TEXT", "why; devices show it", 0, 0},
        {"author", 0, APP_TEXT, &said.author, "TEXT", "who says so", 0, 0},
        {"id", 0, APP_TEXT, &said.id, "ID", "of the statement (made from its kind)", 0, 0},
        {"variant", 0, APP_TEXTS, &variants, "NAME", "kill: only this variant", 0, 0},
        {"class", 0, APP_TEXTS, &classes, "CLASS", "only devices of this class", 0, 0},
        {"app", 0, APP_TEXT, &said.app, "RANGE", "only these versions of the app", 0, 0},
        {"percent", 0, APP_NUMBER, &said.percent, "P", "only this share of the devices", 0, 100},
        FLEET_FOLDER_OPTIONS(of),
        FLEET_SERVER_OPTIONS(server),
        {0}};
    (void)snprintf(name, sizeof(name), "covey-fleet steer %.30s", argv[0]);
    const app_command command = {
        name,
        "PRODUCT --reason TEXT --author TEXT",
        "Adds a statement to the product's steering document and shows it. A document is checked\n"
        "as a device would check it. \"covey-fleet steer push\" signs and sends it.",
        "  covey-fleet steer kill assistant --versions \"=1.2.3\" --reason \"answers in the wrong "
        "language\" --author ops",
        options,
        1,
        1};
    app_positional product;
    int exit_status;
    said.kind = argv[0];
    if (!app_options_read(&command, argc, argv, &product, &exit_status)) return exit_status;
    if (said.reason == NULL || said.author == NULL) {
        fprintf(stderr, "%s: expected --reason TEXT and --author TEXT\n", name);
        return APP_EXIT_USAGE;
    }
    said.product = product.items[0];
    said.variants = variants.items;
    said.variant_count = variants.count;
    said.classes = classes.items;
    said.class_count = classes.count;
    return fleet_folder_ask(name, &of, &server, false, ask_add, &said);
}

static covey_status ask_show(void *user, const fleet_session *session, covey_fleet_keys *keys,
                             char **text, covey_error *error) {
    (void)session;
    return covey_fleet_steer_show(keys, user, text, error);
}

static int steer_show(int argc, char **argv) {
    static const char name[] = "covey-fleet steer show";
    fleet_folder of = {0};
    const app_option options[] = {FLEET_FOLDER_OPTIONS(of), {0}};
    const app_command command = {name,
                                 "PRODUCT",
                                 "Shows the product's steering document as it is in the folder.",
                                 "  covey-fleet steer show assistant --keys keys",
                                 options,
                                 1,
                                 1};
    app_positional product;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &product, &exit_status)) return exit_status;
    return fleet_folder_ask(name, &of, NULL, false, ask_show, product.items[0]);
}

typedef struct document {
    const char *product, *export_file;
} document;

static covey_status ask_push(void *user, const fleet_session *session, covey_fleet_keys *keys,
                             char **text, covey_error *error) {
    const document *of = user;
    return covey_fleet_steer_push(session->client, keys, of->product, of->export_file, text, error);
}

static int steer_push(int argc, char **argv) {
    static const char name[] = "covey-fleet steer push";
    fleet_folder of = {0};
    fleet_server server = {0};
    document sent = {NULL, NULL};
    const app_option options[] = {{"export", 'x', APP_TEXT, &sent.export_file, "FILE",
                                   "write what is to be signed there; \"keys import\" sends it", 0,
                                   0},
                                  FLEET_FOLDER_OPTIONS(of),
                                  FLEET_SERVER_OPTIONS(server),
                                  {0}};
    const app_command command = {
        name,
        "PRODUCT",
        "Checks that devices would take the document after the one they hold, signs it with the\n"
        "steering key and sends it.",
        "  covey-fleet steer push assistant --keys keys",
        options,
        1,
        1};
    app_positional product;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &product, &exit_status)) return exit_status;
    sent.product = product.items[0];
    return fleet_folder_ask(name, &of, &server, sent.export_file == NULL, ask_push, &sent);
}

int fleet_cmd_steer(int argc, char **argv) {
    static const fleet_verb verbs[] = {
        {"kill", steer_say, "stop versions, for good"},
        {"minimum", steer_say, "install nothing below a version"},
        {"flag", steer_say, "switch a feature off"},
        {"pin", steer_say, "no update beyond a version"},
        {"downgrade", steer_say, "permit an older version"},
        {"end-of-support", steer_say, "say from when versions are out of support"},
        {"show", steer_show, "show the document"},
        {"push", steer_push, "check, sign and send the document"},
    };
    return fleet_verbs("covey-fleet steer", verbs, sizeof(verbs) / sizeof(*verbs), argc, argv);
}
