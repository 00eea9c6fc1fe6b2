/* The program covey-fleet: finds the command and hands its arguments on. */
#include "covey-fleet/fleet_commands.h"

#include <stdio.h>
#include <string.h>

static const fleet_verb commands[] = {
    {"serve", fleet_cmd_serve, "run the control plane"},
    {"keys", fleet_cmd_keys, "who may sign: make, add, rotate, revoke keys"},
    {"publish", fleet_cmd_publish, "check, upload and sign a release"},
    {"sign", fleet_cmd_sign, "add a signature on a machine without a network"},
    {"steer", fleet_cmd_steer, "stop versions, set minimums, switch features off"},
    {"releases", fleet_cmd_releases, "list what was published"},
    {"rollout", fleet_cmd_rollout, "create, change and list rollouts"},
    {"devices", fleet_cmd_devices, "list devices, or explain one"},
    {"token", fleet_cmd_token, "make an enrollment token"},
    {"content-key", fleet_cmd_content_key, "give devices the key of private ensembles"},
    {"simulate", fleet_cmd_simulate, "what updates would cost a fleet, before there is one"},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(*commands))

static void help(FILE *out) {
    fputs("usage: covey-fleet COMMAND [options] ...\n\n"
          "The control plane of a fleet of devices, and its command line.\n\ncommands:\n",
          out);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        fprintf(out, "  %-11s %s\n", commands[i].name, commands[i].summary);
    }
    fputs(
        "\n\"covey-fleet COMMAND --help\" says more. Exit status: 0 done, 1 failed, 2 used "
        "wrongly, "
        "3 refused.\n"
        "\nexample:\n"
        "  covey-fleet keys init keys --product assistant\n"
        "  covey-fleet serve --data fleet --listen 127.0.0.1:8180 --online-key keys/online.key &\n"
        "  export COVEY_FLEET_URL=http://127.0.0.1:8180 COVEY_FLEET_TOKEN_FILE=fleet/admin.token\n"
        "  covey-fleet keys push --keys keys\n"
        "  covey-fleet publish build/assistant-1.1.0 --keys keys\n"
        "  covey-fleet rollout create assistant@1.1.0 --percent 10\n"
        "  covey-fleet devices\n",
        out);
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(name, commands[i].name) == 0)
            return app_finish("covey-fleet", commands[i].run(argc - 1, argv + 1));
    }
    if (strcmp(name, "--version") == 0) {
        printf("covey-fleet %s\n", covey_version());
        return app_finish("covey-fleet", APP_EXIT_DONE);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        help(stdout);
        return app_finish("covey-fleet", APP_EXIT_DONE);
    }
    if (name[0] != '\0') fprintf(stderr, "covey-fleet: unknown command \"%s\"\n\n", name);
    help(stderr);
    return APP_EXIT_USAGE;
}
