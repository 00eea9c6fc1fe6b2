/* covey-fleet serve: the control plane as a process. The library takes no signals; they are waited
 * for here. SIGTERM and SIGINT drain: no new connection, what is under way is finished, the store
 * is closed. A second one ends the process at once, which the store survives. */
#include "covey-fleet/fleet_commands.h"

#include "common/files.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

typedef struct serve_options {
    const char *data, *listen_at, *port_file, *blobs_url, *online_key;
    double poll_s;
    int64_t threads, drain_s;
    bool json, verbose;
    app_texts mirrors;
} serve_options;

static const char command_name[] = "covey-fleet serve";

static bool read_options(int argc, char **argv, serve_options *o, int *exit_status) {
    const app_option options[] = {
        {"data", 'd', APP_TEXT, &o->data, "DIR", "store, blobs and admin.token; made if absent", 0,
         0},
        {"listen", 'l', APP_TEXT, &o->listen_at, "ADDRESS:PORT",
         "where to listen (127.0.0.1:0: loopback, any free port)", 0, 0},
        {"port-file", 0, APP_TEXT, &o->port_file, "FILE", "write the port here once it serves", 0,
         0},
        {"online-key", 'o', APP_TEXT, &o->online_key, "FILE",
         "the key that signs snapshot and timestamp (online.key)", 0, 0},
        {"poll", 0, APP_NUMBER, &o->poll_s, "SECONDS", "how often devices check in (900)", 0.05,
         864000},
        {"blobs-url", 0, APP_TEXT, &o->blobs_url, "URL",
         "where devices fetch blobs (from this server)", 0, 0},
        {"mirror", 0, APP_TEXTS, &o->mirrors, "URL",
         "where devices find the same blobs too, and ask first; may be given up to 8 times", 0, 0},
        {"threads", 't', APP_INT, &o->threads, "N", "that answer requests (2)", 1, 64},
        {"drain", 0, APP_INT, &o->drain_s, "SECONDS", "to finish requests after SIGTERM (10)", 0,
         3600},
        {"json", 0, APP_FLAG, &o->json, NULL, "say where it serves as JSON", 0, 0},
        {"verbose", 'v', APP_FLAG, &o->verbose, NULL, "log more, on standard error", 0, 0},
        {0}};
    const app_command command = {
        command_name,
        "--data DIR",
        "Runs the control plane until SIGTERM. The first start makes DIR/admin.token, readable by\n"
        "its owner alone; every command that administers asks for it. The online key signs what "
        "is\n"
        "newest; without it the metadata that devices check cannot change. The protocol is plain "
        "HTTP:\n"
        "beyond loopback, put a TLS proxy in front.",
        "  covey-fleet serve --data fleet --listen 127.0.0.1:8180 --online-key keys/online.key",
        options,
        0,
        0};
    app_positional none;
    if (!app_options_read(&command, argc, argv, &none, exit_status)) return false;
    if (o->data != NULL) return true;
    fprintf(stderr, "%s: expected --data DIR; see %s --help\n", command_name, command_name);
    *exit_status = APP_EXIT_USAGE;
    return false;
}

static bool announce(const serve_options *o, const covey_fleet_server *server) {
    const char *url = covey_fleet_server_url(server);
    const char *token_file = covey_fleet_server_token_file(server);
    const char *port = strrchr(url, ':') + 1;
    if (o->json) {
        printf("{\"url\":\"%s\",\"port\":%s}\n", url, port);
    } else {
        printf("serving on %s\nadmin token: %s\n", url, token_file);
    }
    fflush(stdout);
    if (strncmp(url, "http://127.", 11) != 0 && strncmp(url, "http://[::1]", 12) != 0) {
        fprintf(stderr,
                "%s: %s can be reached from outside, and this is plain HTTP: put a TLS proxy in "
                "front\n",
                command_name, url);
    }
    char line[16];
    (void)snprintf(line, sizeof(line), "%s\n", port);
    if (o->port_file == NULL || app_write_secret(o->port_file, line)) return true;
    perror(o->port_file);
    return false;
}

static int wait_and_drain(const serve_options *o, covey_fleet_server *server,
                          const sigset_t *ending) {
    covey_error error = {0};
    int signal_number = 0;
    (void)sigwait(ending, &signal_number);
    fprintf(stderr, "%s: draining\n", command_name);
    (void)sigprocmask(SIG_UNBLOCK, ending, NULL); /* a second one ends it */
    covey_status status = covey_fleet_server_drain(server, o->drain_s * 1000, &error);
    return status == COVEY_OK ? APP_EXIT_DONE : fleet_failed(command_name, &error);
}

/* Each connection is a descriptor; the usual soft limit of 1,024 is too few for a fleet. */
static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int serve(const serve_options *o, covey_runtime *runtime, const sigset_t *ending) {
    covey_error error = {0};
    covey_fleet_server *server = NULL;
    covey_fleet_server_options options = COVEY_FLEET_SERVER_OPTIONS_INIT;
    options.data_dir = o->data;
    options.listen = o->listen_at;
    options.poll_ms = (int64_t)(o->poll_s * 1000.0);
    options.threads = (int32_t)o->threads;
    options.blobs_url = o->blobs_url;
    options.online_key_file = o->online_key;
    options.mirrors = o->mirrors.items;
    options.mirror_count = (size_t)o->mirrors.count;
    covey_status status = covey_fleet_server_open(runtime, &options, &server, &error);
    int exit_status = APP_EXIT_FAILED;
    if (status != COVEY_OK) {
        exit_status = fleet_failed(command_name, &error);
    } else if (announce(o, server)) {
        exit_status = wait_and_drain(o, server, ending);
    }
    covey_fleet_server_close(server);
    return exit_status;
}

int fleet_cmd_serve(int argc, char **argv) {
    serve_options o = {.poll_s = 900, .threads = 2, .drain_s = 10};
    covey_error error = {0};
    covey_runtime *runtime = NULL;
    sigset_t ending;
    int exit_status;
    if (!read_options(argc, argv, &o, &exit_status)) return exit_status;
    /* Blocked before any thread begins, so that only sigwait takes them. */
    (void)sigemptyset(&ending);
    (void)sigaddset(&ending, SIGTERM);
    (void)sigaddset(&ending, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &ending, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    if (fleet_runtime(&runtime, o.verbose, &error) != COVEY_OK) {
        return fleet_failed(command_name, &error);
    }
    exit_status = serve(&o, runtime, &ending);
    covey_runtime_close(runtime);
    return exit_status;
}
