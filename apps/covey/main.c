/* The program covey: finds the command and hands its arguments on. */
#include "covey/commands.h"

#include "common/options.h"

#include <covey/base.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"run", covey_cmd_run, "answer prompts in the terminal"},
    {"serve", covey_cmd_serve,
     "answer on loopback in OpenAI's way, and keep the ensemble up to date"},
    {"token", covey_cmd_token, "print the token that serve asks for"},
    {"enroll", covey_cmd_enroll, "make this device known to a control plane"},
    {"update", covey_cmd_update, "bring this device to what its control plane wants"},
    {"status", covey_cmd_status, "show this device, its slots and the last update"},
    {"rollback", covey_cmd_rollback, "return to the ensemble before the current one"},
    {"audit", covey_cmd_audit, "show what updates may change here, and every change they made"},
    {"consent", covey_cmd_consent, "answer an ensemble that asks to reach further"},
    {"opt-out", covey_cmd_opt_out, "switch off updates, a feature, or the model"},
    {"bundle", covey_cmd_bundle, "build, check, show and compare ensembles"},
    {"delta", covey_cmd_delta, "make and apply patches between two versions of a file"},
    {"eval", covey_cmd_eval, "score a model on a file of prompts and answers"},
    {"bench", covey_cmd_bench, "measure speed and memory of a model"},
    {"inspect", covey_cmd_inspect, "print tokens, logits, perplexity or what a model is"},
    {"train", covey_cmd_train, "train a small model"},
    {"quantize", covey_cmd_quantize, "write a model in a smaller type"},
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static void help(FILE *out) {
    fputs("usage: covey COMMAND [options] ...\n\n"
          "Runs language models on this device and keeps them up to date.\n\ncommands:\n",
          out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputs("\n\"covey COMMAND --help\" says more. Exit status: 0 done, 1 failed, 2 used wrongly, 3 "
          "refused, 4 waiting,\n5 an answer that was cut short.\n"
          "\nexample:\n  covey run model.gguf \"Write one line about the sea.\"\n",
          out);
}

int main(int argc, char **argv) {
    /* a file that a limit ends is a failed write, which is told and cleaned up, not a death */
    (void)signal(SIGXFSZ, SIG_IGN);
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (!strcmp(name, commands[i].name))
            return app_finish("covey", commands[i].run(argc - 1, argv + 1));
    if (!strcmp(name, "--version")) {
        printf("covey %s\n", covey_version());
        return app_finish("covey", APP_EXIT_DONE);
    }
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
        help(stdout);
        return app_finish("covey", APP_EXIT_DONE);
    }
    if (*name) fprintf(stderr, "covey: unknown command \"%s\"\n\n", name);
    help(stderr);
    return APP_EXIT_USAGE;
}
