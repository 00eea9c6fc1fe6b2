/* Signing by an external program. It is started with posix_spawn in a process group of its own, so
 * that it and what it started can be ended together; bytes, signature and complaints go through one
 * poll loop, so neither side can block the other, with one deadline for all. Standard input is a
 * socket and not a pipe: a program that does not read to the end must not cost us a SIGPIPE, which
 * belongs to our caller. Neighbour: trust/signer.h, which verifies what comes back. */
#include "fleet/signer_program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sha256.h"

#define ARGUMENT_COUNT_MAX 64
#define OUTPUT_BYTES_MAX   (2 * COVEY__SIGNATURE_SIZE_MAX + 64)
#define COMPLAINT_MAX      160u

/* What the signer keeps; all in the signer's arena. */
typedef struct program {
    const covey__env *env;
    char **arguments, **environment;
    uint32_t timeout_ms;
} program;

/* One run. Descriptors are -1 once closed. */
typedef struct run {
    const program *program;
    pid_t child;
    int input, output, complaints;
    const uint8_t *bytes;
    size_t left;
    char text[OUTPUT_BYTES_MAX + 1], said[COMPLAINT_MAX];
    size_t text_size, said_size;
    int64_t deadline_us;
} run;

static char *copy(covey__arena *arena, const char *text) {
    return covey__arena_strndup(arena, text, strlen(text));
}

/* `first` (NULL-ended) and `second` (may be NULL) as one list of copies; NULL when refused. */
static char **copy_lists(covey__arena *arena, const char *const *first, const char *const *second) {
    size_t count = 0, used = 0;
    for (size_t i = 0; first[i] != NULL; i++) count++;
    for (size_t i = 0; second != NULL && second[i] != NULL; i++) count++;
    if (count > ARGUMENT_COUNT_MAX) return NULL;
    char **list = covey__arena_calloc(arena, count + 1, sizeof *list);
    for (size_t i = 0; list != NULL && first[i] != NULL; i++)
        if ((list[used++] = copy(arena, first[i])) == NULL) return NULL;
    for (size_t i = 0; list != NULL && second != NULL && second[i] != NULL; i++)
        if ((list[used++] = copy(arena, second[i])) == NULL) return NULL;
    return list;
}

static void close_one(int *descriptor) {
    if (*descriptor >= 0) close(*descriptor);
    *descriptor = -1;
}

static int add_actions(posix_spawn_file_actions_t *actions, const int child_ends[3]) {
    int code = 0;
    for (int i = 0; i < 3 && code == 0; i++)
        code = posix_spawn_file_actions_adddup2(actions, child_ends[i], i);
    return code;
}

/* In a group of its own, with no signal blocked or ignored. */
static int set_attributes(posix_spawnattr_t *attributes) {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int code = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                        POSIX_SPAWN_SETSIGDEF);
    if (code == 0) code = posix_spawnattr_setpgroup(attributes, 0);
    if (code == 0) code = posix_spawnattr_setsigmask(attributes, &none);
    if (code == 0) code = posix_spawnattr_setsigdefault(attributes, &all);
    return code;
}

static int spawn(run *r, const int child_ends[3]) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    const program *p = r->program;
    int code = covey__fault(p->env, "spawn", p->arguments[0]);
    if (code == 0) code = posix_spawn_file_actions_init(&actions);
    if (code != 0) return code;
    code = posix_spawnattr_init(&attributes);
    if (code == 0) {
        code = add_actions(&actions, child_ends);
        if (code == 0) code = set_attributes(&attributes);
        if (code == 0)
            code = posix_spawn(&r->child, p->arguments[0], &actions, &attributes, p->arguments,
                               p->environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

/* Starts the program; on success the parent's ends are open. */
static covey_status start(run *r, covey_error *error) {
    int in[2] = {-1, -1}, out[2] = {-1, -1}, complaints[2] = {-1, -1}, code = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) != 0 || pipe2(out, O_CLOEXEC) != 0 ||
        pipe2(complaints, O_CLOEXEC) != 0)
        code = errno;
    const int child_ends[3] = {in[1], out[1], complaints[1]};
    if (code == 0) code = spawn(r, child_ends);
    close_one(&in[1]);
    close_one(&out[1]);
    close_one(&complaints[1]);
    r->input = in[0];
    r->output = out[0];
    r->complaints = complaints[0];
    if (code == 0) return COVEY_OK;
    return covey__fail_errno(error, code, "%s cannot be started", r->program->arguments[0]);
}

/* Sends what the program takes. Not reading all is its own affair: the signature decides. */
static void send_some(run *r) {
    ssize_t sent = send(r->input, r->bytes, r->left, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
        r->bytes += sent;
        r->left -= (size_t)sent;
    } else if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    } else {
        r->left = 0;
    }
    if (r->left == 0) close_one(&r->input);
}

/* Reads up to `capacity` bytes in all; false when the program writes more than that. */
static bool read_some(int *descriptor, char *out, size_t *used, size_t capacity) {
    char spill[256];
    bool full = *used == capacity;
    ssize_t got = full ? read(*descriptor, spill, sizeof spill)
                       : read(*descriptor, out + *used, capacity - *used);
    if (got < 0 && errno == EINTR) return true;
    if (got <= 0)
        close_one(descriptor);
    else if (!full)
        *used += (size_t)got;
    return got <= 0 || !full;
}

static int left_ms(const run *r) {
    int64_t left = (r->deadline_us - covey__monotonic_us() + 999) / 1000;
    return left > 0 ? (int)left : 0;
}

static covey_status fail_late(const run *r, covey_error *error) {
    return covey__fail(error, COVEY_ERROR_TIMEOUT, "%s gave no signature within %u ms",
                       r->program->arguments[0], r->program->timeout_ms);
}

/* Until the program closed its standard output and error. */
static covey_status exchange(run *r, covey_error *error) {
    while (r->output >= 0 || r->complaints >= 0) {
        struct pollfd waits[3] = {
            {r->input, POLLOUT, 0}, {r->output, POLLIN, 0}, {r->complaints, POLLIN, 0}};
        int ready = poll(waits, 3, left_ms(r));
        if (ready < 0 && errno != EINTR) return covey__fail_errno(error, errno, "poll");
        if (ready <= 0 && left_ms(r) == 0) return fail_late(r, error);
        if (ready <= 0) continue;
        if (waits[0].revents != 0) send_some(r);
        if (waits[1].revents != 0 &&
            !read_some(&r->output, r->text, &r->text_size, OUTPUT_BYTES_MAX))
            return covey__fail(error, COVEY_ERROR_LIMIT, "%s writes more than a signature",
                               r->program->arguments[0]);
        if (waits[2].revents != 0) /* what does not fit is read and dropped */
            (void)read_some(&r->complaints, r->said, &r->said_size, sizeof r->said);
    }
    return COVEY_OK;
}

static covey_status check_end(const run *r, int code, covey_error *error) {
    char shown[2 * COMPLAINT_MAX];
    size_t size = r->said_size;
    while (size > 0 && (r->said[size - 1] == '\n' || r->said[size - 1] == ' ')) size--;
    covey__printable(r->said, size, shown, sizeof shown);
    const char *path = r->program->arguments[0];
    if (WIFSIGNALED(code))
        return covey__fail(error, COVEY_ERROR_IO, "%s was ended by signal %d: %s", path,
                           WTERMSIG(code), shown);
    if (WEXITSTATUS(code) == 0) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_IO, "%s ended with status %d: %s", path,
                       WEXITSTATUS(code), shown);
}

/* Waits for the program's end until the deadline. A caller that ignores SIGCHLD leaves us no
 * status: the signature decides. */
static covey_status reap(run *r, covey_error *error) {
    for (;;) {
        int code = 0;
        pid_t ended = waitpid(r->child, &code, WNOHANG);
        if (ended == r->child || (ended < 0 && errno == ECHILD)) {
            r->child = -1;
            return ended > 0 ? check_end(r, code, error) : COVEY_OK;
        }
        if (left_ms(r) == 0) return fail_late(r, error);
        poll(NULL, 0, left_ms(r) < 5 ? left_ms(r) : 5);
    }
}

static void end_run(run *r) {
    close_one(&r->input);
    close_one(&r->output);
    close_one(&r->complaints);
    if (r->child <= 0) return;
    kill(-r->child, SIGKILL); /* the whole group; it is not reaped yet, so the number is its own */
    kill(r->child, SIGKILL);
    while (waitpid(r->child, NULL, 0) < 0 && errno == EINTR) continue;
}

/* Hex digits, of an even number, are hex; all else is the signature itself. */
static void take_signature(run *r, covey__buffer *signature) {
    uint8_t bytes[OUTPUT_BYTES_MAX / 2];
    size_t size = r->text_size;
    while (size > 0 && strchr(" \t\r\n", r->text[size - 1]) != NULL) size--;
    if (size > 0 && size % 2 == 0 && covey__unhex(r->text, size, bytes, size / 2))
        covey__buffer_append(signature, bytes, size / 2);
    else
        covey__buffer_append(signature, r->text, r->text_size);
}

static covey_status sign_by_program(void *user, const void *bytes, size_t size,
                                    covey__buffer *signature, covey_error *error) {
    const program *p = user;
    run r = {.program = p,
             .child = -1,
             .input = -1,
             .output = -1,
             .complaints = -1,
             .bytes = bytes,
             .left = size,
             .deadline_us = covey__monotonic_us() + (int64_t)p->timeout_ms * 1000};
    covey_status status = start(&r, error);
    if (status == COVEY_OK) status = exchange(&r, error);
    if (status == COVEY_OK) status = reap(&r, error);
    if (status == COVEY_OK) take_signature(&r, signature);
    end_run(&r);
    if (status != COVEY_OK) return covey__prefix(error, status, "fleet: signer");
    return COVEY_OK;
}

covey_status covey__signer_of_program(const covey__env *env, const covey__signer_program *options,
                                      covey_key_scheme scheme, const void *key, size_t key_size,
                                      covey__signer *signer, covey_error *error) {
    if (options->arguments == NULL || options->arguments[0] == NULL ||
        options->arguments[0][0] != '/')
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "fleet: a signer is named by its absolute path");
    covey_status status = covey__signer_begin(env, scheme, key, key_size, signer, error);
    if (status != COVEY_OK) return status;
    char id[96] = "COVEY_KEY_ID=";
    strcat(id, signer->key.id);
    const char *const own[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", id, NULL};
    program *p = covey__arena_alloc(&signer->arena, sizeof *p);
    if (p != NULL) {
        p->env = env;
        p->timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : COVEY__SIGNER_TIMEOUT_MS;
        p->arguments = copy_lists(&signer->arena, options->arguments, NULL);
        p->environment = copy_lists(&signer->arena, own, options->environment);
    }
    if (p == NULL || p->arguments == NULL || p->environment == NULL) {
        covey__signer_close(signer);
        return covey__fail(error, COVEY_ERROR_NO_MEMORY,
                           "fleet: no memory for a signer's arguments (at most %d)",
                           ARGUMENT_COUNT_MAX);
    }
    signer->sign = sign_by_program;
    signer->user = p;
    return COVEY_OK;
}
