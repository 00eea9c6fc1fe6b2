/* Command lines by table; see options.h. */
#include "common/options.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool complain(const app_command *command, const char *format, ...) {
    va_list arguments;
    fprintf(stderr, "%s: ", command->name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "; see %s --help\n", command->name);
    return false;
}

void app_print_help(const app_command *command) {
    printf("usage: %s%s%s%s\n\n%s\n", command->name, command->options ? " [options]" : "",
           *command->arguments ? " " : "", command->arguments, command->summary);
    if (command->options && command->options->name && command->options->kind != APP_HEADING)
        printf("\noptions:\n");
    for (const app_option *option = command->options; option && option->name; option++) {
        char left[64];
        char letter[8] = "    ";
        if (option->kind == APP_HEADING) {
            printf("\n%s:\n", option->help);
            continue;
        }
        if (option->letter) snprintf(letter, sizeof letter, "-%c, ", option->letter);
        snprintf(left, sizeof left, "  %s--%s%s%s", letter, option->name,
                 option->argument ? " " : "", option->argument ? option->argument : "");
        printf("%-30s %s\n", left, option->help);
    }
    printf("  -h, --help                   this text\n");
    if (command->example) printf("\nexample:\n%s\n", command->example);
}

void app_print_failure(const char *command, const char *message) {
    const char *verb = strrchr(command, ' ');
    size_t size = verb ? strlen(++verb) : 0;
    if (size && !strncmp(message, verb, size) && message[size] == ':') message += size + 2;
    fprintf(stderr, "%s: %s\n", command, message);
}

int app_finish(const char *program, int status) {
    errno = 0;
    bool arrived = fflush(stdout) == 0 && !ferror(stdout);
    if (arrived || status != APP_EXIT_DONE) return status;
    fprintf(stderr, "%s: standard output cannot be written%s%s\n", program, errno ? ": " : "",
            errno ? strerror(errno) : "");
    return APP_EXIT_FAILED;
}

static const app_option *find(const app_command *command, const char *name, size_t size) {
    for (const app_option *option = command->options; option && option->name; option++) {
        if (strlen(option->name) == size && !strncmp(option->name, name, size)) return option;
        if (size == 1 && option->letter == *name) return option;
    }
    return NULL;
}

static bool store(const app_command *command, const app_option *option, const char *text) {
    char *end = NULL;
    errno = 0;
    if (option->kind == APP_TEXT) {
        *(const char **)option->value = text;
    } else if (option->kind == APP_TEXTS) {
        app_texts *list = option->value;
        if (list->count == APP_TEXTS_MAX)
            return complain(command, "--%s: at most %d times", option->name, APP_TEXTS_MAX);
        list->items[list->count++] = text;
    } else if (option->kind == APP_INT) {
        long long value = strtoll(text, &end, 10);
        if (!*text || *end || errno || (double)value < option->min || (double)value > option->max)
            return complain(command,
                            "--%s: expected a whole number from %.0f to %.0f, found \"%s\"",
                            option->name, option->min, option->max, text);
        *(int64_t *)option->value = value;
    } else {
        double value = strtod(text, &end);
        if (!*text || *end || errno || !(value >= option->min && value <= option->max))
            return complain(command, "--%s: expected a number from %g to %g, found \"%s\"",
                            option->name, option->min, option->max, text);
        *(double *)option->value = value;
    }
    return true;
}

/* One option at argv[*at]; moves *at over its value. */
static bool read_one(const app_command *command, int argc, char **argv, int *at) {
    const char *word = argv[*at];
    bool is_long = word[1] == '-';
    const char *name = word + (is_long ? 2 : 1);
    const char *equals = is_long ? strchr(name, '=') : NULL;
    size_t size = equals ? (size_t)(equals - name) : strlen(name);
    const app_option *option = is_long == (size > 1) ? find(command, name, size) : NULL;
    if (!option) return complain(command, "unknown option \"%s\"", word);
    if (option->kind == APP_FLAG) {
        if (equals) return complain(command, "--%s takes no value", option->name);
        *(bool *)option->value = true;
        return true;
    }
    if (equals) return store(command, option, equals + 1);
    if (*at + 1 >= argc) return complain(command, "%s needs a value: %s", word, option->argument);
    return store(command, option, argv[++*at]);
}

bool app_options_read(const app_command *command, int argc, char **argv, app_positional *positional,
                      int *exit_status) {
    bool ended = false;
    positional->count = 0;
    positional->items = argv + 1;
    *exit_status = APP_EXIT_USAGE;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (!ended && (!strcmp(word, "--help") || !strcmp(word, "-h"))) {
            app_print_help(command);
            *exit_status = APP_EXIT_DONE;
            return false;
        }
        if (!ended && !strcmp(word, "--")) {
            ended = true;
        } else if (!ended && word[0] == '-' && word[1]) {
            if (!read_one(command, argc, argv, &i)) return false;
        } else if (positional->count == command->positional_max) {
            return complain(command, "unexpected argument \"%s\"", word);
        } else {
            positional->items[positional->count++] = argv[i]; /* never behind what was read */
        }
    }
    if (positional->count < command->positional_min)
        return complain(command, "expected %s", command->arguments);
    return true;
}
