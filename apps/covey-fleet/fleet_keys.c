/* Key folders for the commands: where they are, and where passphrases come from. A passphrase is
 * read from an owner-only file or from the terminal, never from the command line, where every
 * process could see it. */
#include "covey-fleet/fleet_keys.h"

#include "common/files.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

/* Waits for a line; false for a signal that ends us, which is left pending. */
static bool line_comes(int terminal, const sigset_t *ends) {
    int signals = signalfd(-1, ends, SFD_CLOEXEC), ready;
    struct pollfd waits[2] = {{terminal, POLLIN, 0}, {signals, POLLIN, 0}};
    if (signals < 0) return true;
    do ready = poll(waits, 2, -1);
    while (ready < 0 && errno == EINTR);
    close(signals);
    return waits[1].revents == 0;
}

/* One line from the terminal, not shown. A signal that ends us waits until the terminal shows again
 * what is typed. */
static bool ask(FILE *terminal, const char *question, char text[COVEY_FLEET_PASSPHRASE_SIZE]) {
    struct termios before, silent;
    int descriptor = fileno(terminal);
    bool hidden = tcgetattr(descriptor, &before) == 0;
    sigset_t ends, mask;
    sigemptyset(&ends);
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) sigaddset(&ends, signals[i]);
    sigprocmask(SIG_BLOCK, &ends, &mask);
    fprintf(terminal, "%s", question);
    fflush(terminal);
    if (hidden) {
        silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(descriptor, TCSAFLUSH, &silent);
    }
    bool got =
        line_comes(descriptor, &ends) && fgets(text, COVEY_FLEET_PASSPHRASE_SIZE, terminal) != NULL;
    if (hidden) (void)tcsetattr(descriptor, TCSAFLUSH, &before);
    fputc('\n', terminal);
    fflush(terminal);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    if (got) text[strcspn(text, "\r\n")] = '\0';
    return got && text[0] != '\0';
}

static bool ask_terminal(const char *key_file, bool is_new,
                         char text[COVEY_FLEET_PASSPHRASE_SIZE]) {
    char again[COVEY_FLEET_PASSPHRASE_SIZE], question[400];
    FILE *terminal = fopen("/dev/tty", "r+");
    if (terminal == NULL) return false;
    (void)snprintf(question, sizeof(question), "%sassphrase of %s: ", is_new ? "New p" : "P",
                   key_file);
    bool got = ask(terminal, question, text);
    if (got && is_new) {
        got = ask(terminal, "Once more: ", again) && strcmp(text, again) == 0;
        if (!got) fprintf(terminal, "These are not the same.\n");
        explicit_bzero(again, sizeof(again));
    }
    fclose(terminal);
    return got;
}

bool fleet_passphrase(void *user, const char *key_file, bool is_new,
                      char text[COVEY_FLEET_PASSPHRASE_SIZE]) {
    fleet_folder *of = user;
    const char *file =
        of->passphrase_file != NULL ? of->passphrase_file : getenv("COVEY_FLEET_PASSPHRASE_FILE");
    if (file == NULL && is_new && of->once) {
        if (of->known[0] == '\0' && !ask_terminal(of->folder, true, of->known)) return false;
        memcpy(text, of->known, sizeof(of->known));
        return true;
    }
    if (file == NULL) return ask_terminal(key_file, is_new, text);
    char *line = app_read_secret(file);
    if (line == NULL) {
        fprintf(stderr, "covey-fleet: %s: %s\n", file,
                errno == EPERM ? "others may read this passphrase: chmod 600 it" : strerror(errno));
        return false;
    }
    int size = snprintf(text, COVEY_FLEET_PASSPHRASE_SIZE, "%s", line);
    bool right = size > 0 && size < COVEY_FLEET_PASSPHRASE_SIZE;
    explicit_bzero(line, strlen(line));
    free(line);
    if (!right)
        fprintf(stderr, "covey-fleet: %s: expected a passphrase of 1 to %d bytes in one line\n",
                file, COVEY_FLEET_PASSPHRASE_SIZE - 1);
    return right;
}

bool fleet_server_named(const fleet_server *server) {
    return (server->url != NULL || getenv("COVEY_FLEET_URL") != NULL) &&
           (server->token_file != NULL || getenv("COVEY_FLEET_TOKEN_FILE") != NULL);
}

int fleet_folder_open(const char *command, fleet_folder *of, const fleet_server *server,
                      bool needs_server, fleet_session *session, covey_fleet_keys **keys) {
    covey_error error = {0};
    *keys = NULL;
    memset(session, 0, sizeof(*session));
    if (of->folder == NULL) of->folder = getenv("COVEY_FLEET_KEYS");
    if (of->folder == NULL) {
        fprintf(stderr,
                "%s: expected --keys DIR, the key folder, or $COVEY_FLEET_KEYS; \"covey-fleet "
                "keys init DIR\" makes one\n",
                command);
        return APP_EXIT_USAGE;
    }
    covey_status status = COVEY_OK;
    if (needs_server || (server != NULL && fleet_server_named(server))) {
        int exit_status = fleet_session_open(command, server, session);
        if (exit_status != APP_EXIT_DONE) return exit_status;
    } else {
        status = fleet_runtime(&session->runtime, false, &error);
        if (server != NULL && server->json) session->format = COVEY_FLEET_JSON;
    }
    if (status == COVEY_OK) {
        status = covey_fleet_keys_open(session->runtime, of->folder,
                                       of->plain ? NULL : fleet_passphrase, of, keys, &error);
    }
    if (status == COVEY_OK) return APP_EXIT_DONE;
    fleet_session_close(session);
    return fleet_failed(command, &error);
}

void fleet_folder_close(fleet_session *session, covey_fleet_keys *keys) {
    covey_fleet_keys_close(keys);
    fleet_session_close(session);
}

int fleet_folder_finish(const char *command, covey_fleet_keys *keys, covey_status status,
                        char *text, const covey_error *error) {
    if (status != COVEY_OK) return fleet_failed(command, error);
    fputs(text != NULL ? text : "", stdout);
    covey_fleet_keys_text_free(keys, text);
    return APP_EXIT_DONE;
}

int fleet_folder_ask(const char *command, fleet_folder *of, const fleet_server *server,
                     bool needs_server, fleet_folder_question question, void *user) {
    fleet_session session;
    covey_fleet_keys *keys;
    covey_error error = {0};
    char *text = NULL;
    int exit_status = fleet_folder_open(command, of, server, needs_server, &session, &keys);
    if (exit_status != APP_EXIT_DONE) return exit_status;
    covey_status status = question(user, &session, keys, &text, &error);
    exit_status = fleet_folder_finish(command, keys, status, text, &error);
    fleet_folder_close(&session, keys);
    return exit_status;
}
