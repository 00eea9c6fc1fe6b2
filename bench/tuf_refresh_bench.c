/* How long a client of The Update Framework takes over loopback HTTP, and what memory: a repository
 * is made and signed here, a child process serves it, and the library's own transport asks. The
 * store lies under $TMPDIR (or /tmp), so the disk's fsyncs count as they are there.
 * usage: tuf_refresh_bench [ROUNDS] */
#include "support/tuf_double.h"

#include "base/file.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TARGETS  1000
#define PRODUCTS 10

/* ---- The server -------------------------------------------------------------------------------
 */

static void answer(const tuf_double *d, int connection, const char *request) {
    char head[160], name[200] = "";
    const char *path = strstr(request, "/metadata/");
    if (path != NULL) (void)sscanf(path + strlen("/metadata/"), "%199[^ ]", name);
    const tuf_double_file *file = tuf_double_find(d, name);
    int size = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n",
                        file != NULL ? "200 OK" : "404 Not Found", file != NULL ? file->size : 0);
    if (send(connection, head, (size_t)size, MSG_NOSIGNAL | (file != NULL ? MSG_MORE : 0)) < 0)
        return;
    if (file != NULL) (void)!send(connection, file->data, file->size, MSG_NOSIGNAL);
}

static void serve(const tuf_double *d, int listener) {
    char request[4096];
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        size_t used = 0;
        for (;;) {
            ssize_t got = recv(connection, request + used, sizeof request - 1 - used, 0);
            if (got <= 0) break;
            used += (size_t)got;
            request[used] = '\0';
            if (strstr(request, "\r\n\r\n") == NULL) continue;
            answer(d, connection, request);
            used = 0;
        }
        close(connection);
    }
}

static pid_t start_server(const tuf_double *d, int *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    pid_t child = fork();
    if (child == 0) {
        serve(d, listener);
        _exit(0);
    }
    close(listener);
    return child;
}

/* ---- The repository ---------------------------------------------------------------------------
 */

/* `role_count` delegated roles that share TARGETS targets. */
static void publish(tuf_double *d, int role_count) {
    covey__buffer delegations, meta, list;
    covey__buffer_init(&delegations, d->env, 16u << 20);
    covey__buffer_init(&meta, d->env, 16u << 20);
    covey__buffer_init(&list, d->env, 16u << 20);
    (void)covey__buffer_text(&delegations, "{\"keys\":");
    tuf_double_keys(d, 1u << 4, &delegations);
    (void)covey__buffer_text(&delegations, ",\"roles\":[");
    for (int r = 0; r < role_count; r++) {
        char name[16];
        snprintf(name, sizeof name, "p%d", r);
        covey__buffer_clear(&list);
        for (int i = 0; i < TARGETS / role_count; i++)
            (void)covey__buffer_format(&list,
                                       "%s\"p%d/%d.0.0/release.json\":{\"length\":900,"
                                       "\"hashes\":{\"sha256\":\"%064d\"}}",
                                       i > 0 ? "," : "", r, i, i);
        tuf_double_delegate(
            d, &(tuf_double_delegated){
                   name, {1u << 4, 1u << 4, 1, 1, d->now_ms + TUF_DAY_MS}, list.data, NULL});
        (void)covey__buffer_format(&delegations, "%s{\"name\":\"%s\",\"paths\":[\"%s/*/*\"],",
                                   r > 0 ? "," : "", name, name);
        tuf_double_role_text(1u << 4, 1, &delegations);
        (void)covey__buffer_text(&delegations, "}");
        (void)covey__buffer_format(&meta, ",\"%s.json\":{\"version\":1}", name);
    }
    (void)covey__buffer_text(&delegations, "]}");
    d->delegations = delegations.data;
    d->more_meta = meta.data;
    tuf_double_publish(d, TUF_ALL);
    covey__buffer_free(&delegations);
    covey__buffer_free(&meta);
    covey__buffer_free(&list);
}

/* ---- The client -------------------------------------------------------------------------------
 */

typedef struct meter {
    size_t now, peak;
} meter;

/* Keeps each block's size before it. */
static void *metered(void *user, void *pointer, size_t size) {
    meter *m = user;
    size_t *old = pointer != NULL ? (size_t *)pointer - 2 : NULL;
    if (old != NULL) m->now -= *old;
    if (size == 0) {
        free(old);
        return NULL;
    }
    size_t *made = realloc(old, size + 2 * sizeof *made);
    if (made == NULL) abort();
    *made = size;
    m->now += size;
    if (m->now > m->peak) m->peak = m->now;
    return made + 2;
}

typedef struct figures {
    int64_t full_us, again_us;
    uint32_t requests;
    uint64_t bytes;
    size_t peak;
} figures;

static figures measure(const tuf_double *d, int port, int role_count) {
    figures f = {0, 0, 0, 0, 0};
    meter m = {0, 0};
    covey_allocator allocator = {metered, &m};
    covey_runtime_options runtime_options = COVEY_RUNTIME_OPTIONS_INIT;
    covey_tuf_options options = COVEY_TUF_OPTIONS_INIT;
    covey_tuf_report report = COVEY_TUF_REPORT_INIT;
    covey_runtime *runtime;
    covey_tuf *tuf;
    covey_error error = {0};
    char url[80], store[300], floor[300], name[60];
    runtime_options.allocator = &allocator;
    runtime_options.clock = tuf_double_clock;
    runtime_options.clock_user = (void *)(uintptr_t)d;
    assert_int_equal(covey_runtime_open(&runtime_options, &runtime, &error), COVEY_OK);
    size_t before = m.now;
    snprintf(url, sizeof url, "http://127.0.0.1:%d/metadata/", port);
    snprintf(store, sizeof store, "%s/store", d->folder.path);
    snprintf(floor, sizeof floor, "%s/floor.json", d->folder.path);
    options.store_dir = store;
    options.floor_path = floor;
    options.metadata_url = url;
    options.root = tuf_double_find(d, "1.root.json")->data;
    options.root_size = tuf_double_find(d, "1.root.json")->size;
    assert_int_equal(covey__tree_remove(d->env, store, NULL), COVEY_OK);
    assert_int_equal(covey_tuf_open(runtime, &options, &tuf, &error), COVEY_OK);
    m.peak = m.now;
    int64_t start = covey__monotonic_us();
    if (covey_tuf_refresh(tuf, 0, &report, &error) != COVEY_OK) fail_msg("%s", error.message);
    for (int i = 0; i < TARGETS; i++) {
        covey_tuf_target target = COVEY_TUF_TARGET_INIT;
        snprintf(name, sizeof name, "p%d/%d.0.0/release.json", i % role_count, i / role_count);
        if (covey_tuf_find(tuf, name, &target, &error) != COVEY_OK) fail_msg("%s", error.message);
    }
    f.full_us = covey__monotonic_us() - start;
    covey_tuf_get_report(tuf, &report);
    f.requests = report.request_count;
    f.bytes = report.received_bytes;
    f.peak = m.peak - before;
    start = covey__monotonic_us();
    if (covey_tuf_refresh(tuf, 1, &report, &error) != COVEY_OK) fail_msg("%s", error.message);
    f.again_us = covey__monotonic_us() - start;
    covey_tuf_close(tuf);
    covey_runtime_close(runtime);
    return f;
}

int main(int argc, char **argv) {
    static const int role_counts[] = {1, PRODUCTS, TARGETS};
    int rounds = argc > 1 ? atoi(argv[1]) : 5;
    printf("%d targets in    full ms  requests  bytes    nothing new ms  peak memory KiB\n",
           TARGETS);
    for (size_t i = 0; i < sizeof role_counts / sizeof *role_counts; i++) {
        static tuf_double d;
        int port;
        tuf_double_open(&d);
        publish(&d, role_counts[i]);
        pid_t server = start_server(&d, &port);
        figures best = measure(&d, port, role_counts[i]);
        for (int r = 1; r < rounds; r++) {
            figures f = measure(&d, port, role_counts[i]);
            if (f.full_us < best.full_us) best.full_us = f.full_us;
            if (f.again_us < best.again_us) best.again_us = f.again_us;
        }
        kill(server, SIGTERM);
        waitpid(server, NULL, 0);
        printf("%4d roles       %7.2f  %8u  %7llu  %14.2f  %15zu\n", role_counts[i],
               (double)best.full_us / 1000, best.requests, (unsigned long long)best.bytes,
               (double)best.again_us / 1000, best.peak / 1024);
        tuf_double_close(&d);
    }
    return 0;
}
