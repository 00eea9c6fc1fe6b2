/* How long a fetch takes over a line with latency: the download engine with one exchange under way,
 * two, four and eight, and one exchange after the other each on a connection of its own, against a
 * server on loopback that waits before it answers a request, and once for each connection. Runs are
 * interleaved; each figure is the best of its rounds. usage: fetch_bench [MEGABYTES] [DELAY_MS]
 * [ROUNDS]      (500, 30, 3) */
#include "agent/agent_download.h"
#include "base/error.h"
#include "transport/transport_curl.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BLOB_BYTES (1u << 20)
#define BLOB_COUNT 16

static uint8_t blobs[BLOB_COUNT][BLOB_BYTES];
static uint8_t names[BLOB_COUNT][32];
static long delay_ms;

static void nap(long ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    (void)nanosleep(&time, NULL);
}

static void send_all(int line, const void *data, size_t size) {
    const char *at = data;
    while (size > 0) {
        ssize_t sent = send(line, at, size, MSG_NOSIGNAL);
        if (sent <= 0) return;
        at += sent;
        size -= (size_t)sent;
    }
}

static void *answer(void *user) {
    int line = (int)(intptr_t)user, one = 1;
    char text[4096];
    size_t size = 0;
    (void)setsockopt(line, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    nap(delay_ms); /* as the handshake would take on such a line */
    for (;;) {
        ssize_t got = recv(line, text + size, sizeof text - 1 - size, 0);
        if (got <= 0) break;
        size += (size_t)got;
        text[size] = 0;
        const char *hex = strstr(text, "/sha256/");
        if (!strstr(text, "\r\n\r\n") || !hex) continue;
        uint8_t digest[32];
        int blob = 0;
        if (!covey__unhex(hex + 8, 64, digest, 32)) break;
        while (blob < BLOB_COUNT && memcmp(names[blob], digest, 32) != 0) blob++;
        if (blob == BLOB_COUNT) break;
        size = 0;
        nap(delay_ms);
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", BLOB_BYTES);
        send_all(line, text, strlen(text));
        send_all(line, blobs[blob], BLOB_BYTES);
    }
    close(line);
    return NULL;
}

static void *serve(void *user) {
    int listener = *(int *)user;
    for (;;) {
        pthread_t thread;
        int line = accept(listener, NULL, NULL);
        if (line < 0) return NULL;
        if (pthread_create(&thread, NULL, answer, (void *)(intptr_t)line)) return NULL;
        (void)pthread_detach(thread);
    }
}

static covey_status take(void *user, const covey__download_item *item, const void *data,
                         covey_error *error) {
    (void)data, (void)error;
    *(uint64_t *)user += item->size;
    return COVEY_OK;
}

/* Seconds; `in_flight` 0: by fetch alone. */
static double run(const char *url, long count, size_t in_flight, int64_t ceiling) {
    covey__env env;
    covey_transport transport = *covey__transport_curl();
    covey__mirrors mirrors = {.count = 0};
    covey__rate rate = {0};
    covey__download_options options = {
        .mirrors = &mirrors, .rate = &rate, .in_flight_max = in_flight};
    covey__download *download = NULL;
    covey_error error = {0};
    uint64_t bytes = 0;
    bool done = false;
    covey__env_init(&env);
    covey__rate_set(&rate, ceiling);
    env.transport = &transport;
    if (!in_flight) transport.open = NULL;
    covey__mirrors_add(&mirrors, url, COVEY__MIRROR_ORIGIN);
    covey_status status = covey__download_new(&env, &options, &download, &error);
    int64_t begin_us = covey__monotonic_us(), deadline_us = begin_us + INT64_C(600000000);
    for (long i = 0; !status && i < count; i++) {
        covey__download_item item = {.size = BLOB_BYTES, .take = take, .user = &bytes};
        memcpy(item.sha256, names[i % BLOB_COUNT], 32);
        status = covey__download_run(download, deadline_us, 1, &done, &error);
        if (!status) status = covey__download_add(download, &item, &error);
    }
    if (!status)
        status = covey__download_run(download, deadline_us, COVEY__DOWNLOAD_ALL, &done, &error);
    double seconds = (double)(covey__monotonic_us() - begin_us) / 1e6;
    covey__download_free(download);
    if (status || !done || bytes != (uint64_t)count * BLOB_BYTES) {
        fprintf(stderr, "fetch_bench: %s\n", status ? error.message : "not all arrived");
        exit(1);
    }
    return seconds;
}

int main(int argc, char **argv) {
    static const size_t ways[] = {0, 1, 2, 4, 8};
    enum { WAYS = sizeof ways / sizeof *ways };
    long count = argc > 1 ? atol(argv[1]) : 500, rounds = argc > 3 ? atol(argv[3]) : 3;
    double best[WAYS] = {0};
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t size = sizeof at;
    pthread_t thread;
    char url[64];
    delay_ms = argc > 2 ? atol(argv[2]) : 30;
    uint64_t seed = 1;
    for (int i = 0; i < BLOB_COUNT; i++) {
        for (size_t k = 0; k < BLOB_BYTES; k++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            blobs[i][k] = (uint8_t)(seed >> 56);
        }
        covey__sha256_of(blobs[i], BLOB_BYTES, names[i]);
    }
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 64) ||
        getsockname(listener, (struct sockaddr *)&at, &size) ||
        pthread_create(&thread, NULL, serve, &listener))
        return 1;
    snprintf(url, sizeof url, "http://127.0.0.1:%u", ntohs(at.sin_port));
    int64_t ceiling = argc > 4 ? atoll(argv[4]) : 0;
    if (ceiling > 0) {
        double speed = (double)count * BLOB_BYTES / run(url, count, 4, ceiling);
        printf("%.0f bytes a second under a ceiling of %lld: %.3f of it\n", speed,
               (long long)ceiling, speed / (double)ceiling);
        return 0;
    }
    for (long round = 0; round < rounds; round++)
        for (int i = 0; i < WAYS; i++) {
            double seconds = run(url, count, ways[i], 0);
            if (!round || seconds < best[i]) best[i] = seconds;
        }
    printf("%ld blobs of 1 MiB, %ld ms before each answer, best of %ld\n", count, delay_ms, rounds);
    for (int i = 0; i < WAYS; i++) {
        char name[40] = "a connection for each";
        if (ways[i]) snprintf(name, sizeof name, "%zu under way", ways[i]);
        printf("%-22s %7.2f s  %7.1f MB/s  %.2f times one under way\n", name, best[i],
               (double)count * BLOB_BYTES / 1e6 / best[i], best[1] / best[i]);
    }
    return 0;
}
