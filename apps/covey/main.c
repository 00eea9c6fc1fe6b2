/* The program covey: finds the command and hands its arguments on. */
#include "covey/commands.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"bench", covey_cmd_bench},
    {"bundle", covey_cmd_bundle},
    {"inspect", covey_cmd_inspect},
    {"quantize", covey_cmd_quantize},
    {"train", covey_cmd_train},
};

int main(int argc, char **argv) {
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(argv[1], commands[i].name)) return commands[i].run(argc - 1, argv + 1);
    fputs("usage: covey bench|inspect|quantize|train ... (--help after a command says more)\n", stderr);
    return 2;
}
