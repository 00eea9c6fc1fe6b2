/* A client that speaks HTTP over a plain socket, so that a test sees the bytes. */
#ifndef COVEY_TESTS_SERVE_SERVE_CLIENT_H
#define COVEY_TESTS_SERVE_SERVE_CLIENT_H

#include "support/support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 20000 /* how long a test waits for what must come */

static inline int client_open(uint16_t port) {
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(port)};
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(file >= 0);
    if (connect(file, (struct sockaddr *)&where, sizeof where)) {
        close(file);
        return -1;
    }
    return file;
}

static inline void client_send(int file, const char *bytes, size_t size) {
    while (size) {
        ssize_t sent = send(file, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0) return; /* the server may refuse before all is sent */
        bytes += sent;
        size -= (size_t)sent;
    }
}

#define TOKEN  "secret-token"
#define BEARER "Authorization: Bearer " TOKEN "\r\n"
#define JSON   "Content-Type: application/json\r\n"

/* A request with a good Host; `headers` are whole lines. */
static inline int client_ask(uint16_t port, const char *method, const char *url,
                             const char *headers, const char *body) {
    char head[2048];
    size_t size = body ? strlen(body) : 0;
    int file = client_open(port);
    assert_true(file >= 0);
    int length = snprintf(head, sizeof head,
                          "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n"
                          "Content-Length: %zu\r\n%s\r\n",
                          method, url, (unsigned)port, size, headers);
    assert_true(length > 0 && (size_t)length < sizeof head);
    client_send(file, head, (size_t)length);
    if (body) client_send(file, body, size);
    return file;
}

/* What came, head and body apart; chunks are put together. */
typedef struct reply {
    char *bytes; /* as they came */
    size_t size;
    int status;
    const char *head, *body;
    size_t body_size;
    bool whole; /* the last chunk came */
} reply;

static inline void reply_free(reply *r) {
    free(r->bytes);
    memset(r, 0, sizeof *r);
}

static inline void reply_join_chunks(reply *r, char *body) {
    char *to = body, *from = body, *end = r->bytes + r->size;
    while (from < end) {
        char *line_end = strstr(from, "\r\n");
        if (!line_end) break;
        size_t size = strtoul(from, NULL, 16);
        from = line_end + 2;
        if (!size) {
            r->whole = true;
            break;
        }
        if ((size_t)(end - from) < size) size = (size_t)(end - from);
        memmove(to, from, size);
        to += size;
        from += size + 2;
    }
    *to = 0;
    r->body_size = (size_t)(to - body);
}

static inline void reply_split(reply *r) {
    char *gap = strstr(r->bytes, "\r\n\r\n");
    r->head = r->body = r->bytes;
    if (!gap || sscanf(r->bytes, "HTTP/1.1 %d", &r->status) != 1) return;
    bool chunked = false;
    char *field = strstr(r->bytes, "Transfer-Encoding: chunked");
    chunked = field && field < gap;
    gap[2] = 0;
    r->body = gap + 4;
    r->body_size = r->size - (size_t)(r->body - r->bytes);
    if (chunked) reply_join_chunks(r, gap + 4);
}

/* Reads some bytes; false at the end. */
static inline bool client_read_some(int file, reply *r) {
    struct pollfd ready = {file, POLLIN, 0};
    if (poll(&ready, 1, PATIENCE_MS) != 1) fail_msg("nothing came from the server");
    r->bytes = realloc(r->bytes, r->size + 65537);
    assert_non_null(r->bytes);
    ssize_t size = recv(file, r->bytes + r->size, 65536, 0);
    if (size > 0) r->size += (size_t)size;
    r->bytes[r->size] = 0;
    return size > 0;
}

/* Reads until `text` came. */
static inline void client_read_until(int file, reply *r, const char *text) {
    while (!r->bytes || !strstr(r->bytes, text))
        if (!client_read_some(file, r)) fail_msg("the answer ended before \"%s\"", text);
}

static inline reply client_finish(int file, reply begun) {
    while (client_read_some(file, &begun)) {
    }
    close(file);
    reply_split(&begun);
    return begun;
}

static inline reply client_do(uint16_t port, const char *method, const char *url,
                              const char *headers, const char *body) {
    return client_finish(client_ask(port, method, url, headers, body), (reply){0});
}

static inline bool head_has(const reply *r, const char *line) {
    return strstr(r->head, line) != NULL;
}

static inline bool body_has(const reply *r, const char *text) {
    return strstr(r->body, text) != NULL;
}

/* Checks status and what the body must hold, says what came when it does not, and frees it. */
static inline void expect(reply r, int status, const char *text) {
    if (r.status != status || (text && !body_has(&r, text)))
        fail_msg("expected %d with \"%s\", found %d: %s\n%s", status, text ? text : "", r.status,
                 r.head ? r.head : "", r.body ? r.body : "");
    reply_free(&r);
}

#endif
