/* libedit by its callbacks: they leave waiting to us, so that Ctrl-C can clear the line and SIGTERM
 * can end the program, which readline() does not let through. The terminal is in the editor's mode
 * only while a line is read: while an answer is printed, it is as the user had it. */
#include "covey/line_editor.h"

#include "common/files.h"
#include "covey/context.h"

#include <editline/readline.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HISTORY_LINES_MAX 1000

/* What libedit hands over has no place for a pointer of ours. */
static char *taken;
static bool complete;

static void take_line(char *line) {
    taken = line;
    complete = true;
    rl_callback_handler_remove();
}

/* The editor must know that a character may have several bytes, also where no locale is set. */
static void speak_utf8(void) {
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8")) setlocale(LC_CTYPE, "C.UTF-8");
}

void app_lines_begin(const char *path) {
    speak_utf8();
    rl_initialize();
    using_history();
    stifle_history(HISTORY_LINES_MAX);
    if (path && app_is_file(path)) read_history(path);
}

/* Waits for a key. Signals come only here, so none is lost between a look and the wait. */
static bool wait_for_key(const sigset_t *while_waiting) {
    struct pollfd keys = {STDIN_FILENO, POLLIN, 0};
    return ppoll(&keys, 1, NULL, while_waiting) == 1;
}

static void read_keys(const char *prompt, const sigset_t *while_waiting) {
    complete = false;
    taken = NULL;
    rl_callback_handler_install(prompt, take_line);
    while (!complete && !app_terminated()) {
        if (wait_for_key(while_waiting)) {
            rl_callback_read_char();
        } else if (app_interrupted() && !app_terminated()) {
            app_clear_interrupt();
            rl_callback_handler_remove();
            fputs("^C\n", stdout);
            rl_callback_handler_install(prompt, take_line);
        } else if (errno != EINTR) {
            break;
        }
    }
    if (!complete) rl_callback_handler_remove();
}

char *app_lines_read(const char *prompt) {
    sigset_t before;
    app_hold_signals(&before);
    read_keys(prompt, &before);
    app_let_signals(&before);
    if (taken) {
        taken[strcspn(taken, "\r\n")] = 0;
        if (taken[strspn(taken, " \t")]) add_history(taken);
    }
    return taken;
}

bool app_lines_end(const char *path) {
    mode_t before = umask(077);
    bool ok = !path || !write_history(path);
    umask(before);
    return ok;
}
