/* Command lines by table: one description of a command gives its parser, its --help and its
 * messages. Long and one-letter options, "--name=value" and "--name value"; "--" ends options. */
#ifndef COVEY_APPS_OPTIONS_H
#define COVEY_APPS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define APP_EXIT_DONE    0
#define APP_EXIT_FAILED  1
#define APP_EXIT_USAGE   2
#define APP_EXIT_REFUSED 3 /* an ensemble or a release was refused by its probes or checks */
#define APP_EXIT_WAITING 4 /* an update waits: space, network, settings, or another process */
#define APP_EXIT_CUT     5 /* an answer under a schema or a grammar ended before it was whole */

typedef enum app_option_kind {
    APP_FLAG,   /* bool */
    APP_TEXT,   /* const char *, borrowed from argv */
    APP_INT,    /* int64_t within [min, max] */
    APP_NUMBER, /* double within [min, max] */
    APP_TEXTS,  /* app_texts: may be given several times */
    APP_HEADING /* no option: a line between options in --help; its name is "" */
} app_option_kind;
#define APP_OPTION_HEADING(text)                                                                   \
    { "", 0, APP_HEADING, NULL, NULL, text, 0, 0 }

#define APP_TEXTS_MAX 64
typedef struct app_texts {
    const char *items[APP_TEXTS_MAX];
    size_t count;
} app_texts;

typedef struct app_option {
    const char *name; /* "threads" for --threads; NULL ends the table */
    char letter;      /* 't' for -t; 0 for none */
    app_option_kind kind;
    void *value;
    const char *argument; /* "N", "FILE"; NULL for a flag */
    const char *help;     /* one line, lower case, no full stop */
    double min, max;
} app_option;

typedef struct app_command {
    const char *name;      /* "covey run" */
    const char *arguments; /* "[MODEL] [PROMPT...]" */
    const char *summary;   /* what it does, in full sentences; may have several lines */
    const char *example;   /* lines that work */
    const app_option *options;
    size_t positional_min, positional_max;
} app_command;

/* What is not an option, in order: moved together inside of argv, and borrowed from it. */
#define APP_POSITIONAL_MAX SIZE_MAX
typedef struct app_positional {
    char **items;
    size_t count;
} app_positional;

/* Returns true to go on. On false the process should end with `*exit_status`: help was printed, or
 * what was wrong was said. */
bool app_options_read(const app_command *command, int argc, char **argv, app_positional *positional,
                      int *exit_status);
void app_print_help(const app_command *command);
/* "covey serve: message" on standard error. A layer that is called as the command is said once. */
void app_print_failure(const char *command, const char *message);
/* The exit status of a program whose command ended with `status`: what was printed must have
 * arrived, for a full disk is no success. */
int app_finish(const char *program, int status);

#endif
