/* covey-fleet sign: adds a signature on a machine without a network. */
#include "covey-fleet/fleet_keys.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct consent {
    bool yes, shown_only;
} consent;

static bool agree(void *user, const char *text) {
    const consent *c = user;
    char answer[16] = "";
    printf("%s", text);
    fflush(stdout);
    if (c->yes || c->shown_only) return true;
    if (isatty(STDIN_FILENO) != 1) {
        fprintf(stderr, "covey-fleet sign: there is no terminal to ask: --yes signs what is "
                        "shown above\n");
        return false;
    }
    printf("Sign this? [y/N] ");
    fflush(stdout);
    return fgets(answer, sizeof(answer), stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

int fleet_cmd_sign(int argc, char **argv) {
    static const char name[] = "covey-fleet sign";
    const char *key = NULL;
    consent c = {false, false};
    fleet_folder of = {0};
    const app_option options[] = {
        {"key", 0, APP_TEXT, &key, "FILE", "to sign with: a .key or .signer file", 0, 0},
        {"passphrase-file", 0, APP_TEXT, &of.passphrase_file, "FILE",
         "whose first line is the key's passphrase (else the terminal is asked)", 0, 0},
        {"yes", 'y', APP_FLAG, &c.yes, NULL, "do not ask", 0, 0},
        {0}};
    const app_command command = {
        name,
        "FILE",
        "Shows what a file that --export wrote would change, made from the documents themselves,\n"
        "and adds a signature of the key to it. Needs no network and no key folder. Without\n"
        "--key it only shows.",
        "  covey-fleet sign release.json --key root-2.key",
        options,
        1,
        1};
    app_positional file;
    covey_error error = {0};
    covey_runtime *runtime = NULL;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &file, &exit_status)) return exit_status;
    c.shown_only = key == NULL;
    covey_status status = fleet_runtime(&runtime, false, &error);
    if (status == COVEY_OK) {
        status =
            covey_fleet_sign(runtime, file.items[0], key, fleet_passphrase, &of, agree, &c, &error);
    }
    covey_runtime_close(runtime);
    if (status != COVEY_OK) return fleet_failed(name, &error);
    if (key != NULL) printf("signed with %s\n", key);
    return APP_EXIT_DONE;
}
