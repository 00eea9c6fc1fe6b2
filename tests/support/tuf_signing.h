/* The keys and the transport of tests/support/tuf_double.h: documents are signed by real keys, kept
 * by the name that a URL ends in, and served in the test's own process, which counts what is asked
 * and misbehaves on demand. Nothing touches a network. */
#ifndef COVEY_TEST_TUF_SIGNING_H
#define COVEY_TEST_TUF_SIGNING_H

#include "base/runtime.h"
#include "base/sha256.h"
#include "base/utc.h"
#include "support/support.h"
#include "trust/canonical_json.h"
#include "trust/crypto.h"

#include <covey/tuf.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TUF_KEYS      12
#define TUF_FILES_MAX 1200
#define TUF_DAY_MS    INT64_C(86400000)

enum { TUF_ROOT = 1, TUF_TIMESTAMP = 2, TUF_SNAPSHOT = 4, TUF_TARGETS = 8, TUF_ALL = 15 };

typedef struct tuf_double_file {
    char name[200];
    char *data;
    size_t size;
} tuf_double_file;

/* One role as it will be published next: bit i of a mask is key i. */
typedef struct tuf_double_role {
    unsigned keys, signers;
    int threshold;
    int64_t version;
    int64_t expires_ms;
} tuf_double_role;

typedef struct tuf_double {
    covey_runtime *runtime;
    const covey__env *env;
    test_folder folder;
    int64_t now_ms;
    covey__key keys[TUF_KEYS];
    tuf_double_role root, timestamp, snapshot, targets;
    bool consistent, hashes; /* hashes and lengths in timestamp and snapshot */
    const char *target_list; /* members of "targets" */
    const char *delegations; /* the object, or NULL */
    const char *more_meta;   /* further members of the snapshot's "meta", with a comma first */
    int64_t issued_ms;       /* 0: none */
    tuf_double_file files[TUF_FILES_MAX];
    size_t file_count;
    char headers[600]; /* of the last request, each with a newline behind it */
    char log[16384];   /* what was asked, each with a space behind it */
    int request_fails; /* the Nth request from now breaks; 0: none */
    int answer;        /* this status to everything; 0: as it is */
    uint64_t endless;  /* so many bytes of padding behind each body */
} tuf_double;

static inline const tuf_double_file *tuf_double_find(const tuf_double *d, const char *name) {
    for (size_t i = d->file_count; i-- > 0;) {
        if (strcmp(d->files[i].name, name) == 0) return d->files + i;
    }
    return NULL;
}

/* Serves `data`, which is copied, under that name. */
static inline void tuf_double_put(tuf_double *d, const char *name, const char *data, size_t size) {
    size_t at = 0;
    while (at < d->file_count && strcmp(d->files[at].name, name) != 0) at++;
    assert_true(at < TUF_FILES_MAX);
    if (at == d->file_count) d->file_count++;
    char *copy = malloc(size + 1); /* first: `data` may be the old one's */
    memcpy(copy, data, size);
    free(d->files[at].data);
    snprintf(d->files[at].name, sizeof d->files[at].name, "%s", name);
    d->files[at].data = copy;
    d->files[at].size = size;
}

static inline void tuf_double_remove(tuf_double *d, const char *name) {
    for (size_t i = 0; i < d->file_count; i++) {
        if (strcmp(d->files[i].name, name) == 0) snprintf(d->files[i].name, 8, "(gone)");
    }
}

static inline covey_status tuf_double_fetch(void *user, const covey_http_request *request,
                                            covey_http_response *response, covey_http_sink sink,
                                            void *sink_user, covey_error *error) {
    tuf_double *d = user;
    const char *name = strstr(request->url, "/metadata/");
    name = name != NULL ? name + strlen("/metadata/") : strstr(request->url, "/targets/") + 1;
    size_t used = strlen(d->log);
    snprintf(d->log + used, sizeof d->log - used, "%s ", name);
    d->headers[0] = '\0';
    for (size_t i = 0; i < request->header_count; i++) {
        used = strlen(d->headers);
        snprintf(d->headers + used, sizeof d->headers - used, "%s\n", request->headers[i]);
    }
    if (d->request_fails > 0 && --d->request_fails == 0) {
        if (error != NULL) snprintf(error->message, sizeof error->message, "the line broke");
        return COVEY_ERROR_NETWORK;
    }
    const tuf_double_file *file = tuf_double_find(d, name);
    response->status = d->answer != 0 ? d->answer : file != NULL ? 200 : 404;
    if (response->status != 200) return sink(sink_user, response, "{}", 2);
    size_t half = file->size / 2;
    covey_status status = sink(sink_user, response, file->data, half);
    if (status == COVEY_OK)
        status = sink(sink_user, response, file->data + half, file->size - half);
    static const char padding[4096];
    for (uint64_t sent = 0; status == COVEY_OK && sent < d->endless; sent += sizeof padding)
        status = sink(sink_user, response, padding, sizeof padding);
    return status;
}

static inline int64_t tuf_double_clock(void *user) {
    return ((tuf_double *)user)->now_ms;
}

static inline void tuf_double_open(tuf_double *d) {
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    covey_transport transport = {.size = sizeof transport, .user = d, .fetch = tuf_double_fetch};
    memset(d, 0, sizeof *d);
    assert_true(covey__utc_parse("2026-11-20T12:00:00Z", &d->now_ms));
    options.crypto = covey__crypto_openssl();
    options.transport = &transport;
    options.clock = tuf_double_clock;
    options.clock_user = d;
    assert_int_equal(covey__runtime_new(&options, &d->runtime, NULL), COVEY_OK);
    d->env = covey__runtime_env(d->runtime);
    test_folder_make(&d->folder);
    for (int i = 0; i < TUF_KEYS; i++) {
        uint8_t seed[32] = {(uint8_t)(i + 1), 7};
        assert_int_equal(covey__key_from_seed(d->env, seed, d->keys + i, NULL), COVEY_OK);
    }
    tuf_double_role *roles[] = {&d->root, &d->timestamp, &d->snapshot, &d->targets};
    for (unsigned i = 0; i < 4; i++)
        *roles[i] = (tuf_double_role){1u << i, 1u << i, 1, 1, d->now_ms + 30 * TUF_DAY_MS};
    d->consistent = true;
    d->target_list = "";
    d->more_meta = "";
}

static inline void tuf_double_close(tuf_double *d) {
    for (size_t i = 0; i < d->file_count; i++) free(d->files[i].data);
    covey_runtime_close(d->runtime);
    test_folder_remove(&d->folder);
}

/* Appends the "keys" object of the keys in the mask, named key-N. */
static inline void tuf_double_keys(tuf_double *d, unsigned mask, covey__buffer *out) {
    const char *comma = "";
    (void)covey__buffer_text(out, "{");
    for (int i = 0; i < TUF_KEYS; i++) {
        char hex[65];
        if (!(mask >> i & 1)) continue;
        covey__hex(d->keys[i].public_key, 32, hex);
        (void)covey__buffer_format(out,
                                   "%s\"key-%d\":{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\","
                                   "\"keyval\":{\"public\":\"%s\"}}",
                                   comma, i, hex);
        comma = ",";
    }
    (void)covey__buffer_text(out, "}");
}

/* Appends "keyids":[...],"threshold":N */
static inline void tuf_double_role_text(unsigned mask, int threshold, covey__buffer *out) {
    const char *comma = "";
    (void)covey__buffer_text(out, "\"keyids\":[");
    for (int i = 0; i < TUF_KEYS; i++) {
        if (!(mask >> i & 1)) continue;
        (void)covey__buffer_format(out, "%s\"key-%d\"", comma, i);
        comma = ",";
    }
    (void)covey__buffer_format(out, "],\"threshold\":%d", threshold);
}

/* The envelope around a signed part, signed by the keys of the mask. Free it with free(). */
static inline char *tuf_double_sign(tuf_double *d, const char *signed_part, unsigned signers,
                                    size_t *size) {
    covey__arena arena;
    covey__buffer canonical, out;
    const covey__json *node = NULL;
    covey_error error = {0};
    covey__arena_init(&arena, d->env, 64u << 20);
    covey__buffer_init(&canonical, d->env, 32u << 20);
    covey__buffer_init(&out, d->env, 32u << 20);
    if (covey__json_parse(&arena, signed_part, strlen(signed_part), COVEY__JSON_LIMITS_DEFAULT,
                          &node, &error) != COVEY_OK)
        fail_msg("%s: %.300s", error.message, signed_part);
    if (covey__canonical_json(node, &canonical, &error) != COVEY_OK) fail_msg("%s", error.message);
    (void)covey__buffer_text(&out, "{\"signatures\":[");
    const char *comma = "";
    for (int i = 0; i < TUF_KEYS; i++) {
        uint8_t signature[64];
        char hex[129];
        if (!(signers >> i & 1)) continue;
        assert_int_equal(
            covey__sign_bytes(d->env, canonical.data, canonical.size, d->keys + i, signature, NULL),
            COVEY_OK);
        covey__hex(signature, 64, hex);
        (void)covey__buffer_format(&out, "%s{\"keyid\":\"key-%d\",\"sig\":\"%s\"}", comma, i, hex);
        comma = ",";
    }
    (void)covey__buffer_text(&out, "],\n \"signed\": ");
    (void)covey__buffer_text(&out, signed_part);
    (void)covey__buffer_text(&out, "}\n");
    assert_int_equal(out.status, COVEY_OK);
    char *text = malloc(out.size + 1);
    memcpy(text, out.data, out.size + 1);
    *size = out.size;
    covey__buffer_free(&out);
    covey__buffer_free(&canonical);
    covey__arena_free(&arena);
    return text;
}

#endif
