/* What the control plane of agent_double.h holds, and how it publishes: real, signed releases of
 * small ensembles. */
#ifndef COVEY_TEST_AGENT_RELEASES_H
#define COVEY_TEST_AGENT_RELEASES_H

#include "agent_repository.h"

#include "agent/agent.h"
#include "agent/agent_parts.h"
#include "base/json.h"
#include "bundle/release.h"

#include <sys/stat.h>
#include <unistd.h>

#define DOUBLE_BLOBS_MAX   256
#define DOUBLE_REPORTS_MAX 256

typedef struct double_blob {
    uint8_t sha256[32];
    void *data;
    size_t size;
} double_blob;

/* An exchange that was begun and not performed yet. */
typedef struct double_pending {
    void *user; /* NULL: free */
    char method[8], url[600], headers[2][300];
    const char *lines[2];
    covey_http_request request;
    covey_http_response *response;
    covey_http_sink sink;
} double_pending;

#define DOUBLE_PENDING_MAX 8
typedef struct double_line_set {
    struct control_double *c;
    double_pending pending[DOUBLE_PENDING_MAX];
} double_line_set;

typedef struct control_double {
    test_folder folder;
    covey_runtime *runtime;
    covey_transport transport;
    agent_repository repository;
    int64_t now_ms; /* the device's clock */
    double_blob blobs[DOUBLE_BLOBS_MAX];
    size_t blob_count;
    char target[65536];                    /* the check-in answer's target member, as JSON */
    char reports[DOUBLE_REPORTS_MAX][512]; /* "phase outcome release: message" */
    char report_ids[DOUBLE_REPORTS_MAX][64];
    size_t report_count;
    char last_checkin[65536], last_enrollment[4096];
    char wrapped[200]; /* any content key for this device, in hex; "": none was wrapped */
    uint64_t order;    /* in which pending exchanges are performed */
    int lines_open;
    /* counters */
    int checkins, blob_requests, range_requests, key_requests, bad_host_requests;
    uint64_t blob_bytes;
    /* misbehaviour */
    bool offline;
    int blob_status;      /* answer this to blobs; 0: as it should be */
    int cut_at_request;   /* the Nth blob request breaks in its middle; 0 never */
    bool ignore_range;    /* 200 with the whole */
    int spoil_at_request; /* the Nth blob has a wrong byte */
    const char *page;     /* 200 with this for blobs, as a sign-in page does */
    const char *mirrors;  /* of the answers to check-ins, a JSON list; NULL: none are named */
    const char *bad_host; /* part of an address: blobs from there have a wrong byte, or ... */
    int bad_host_status;  /* ... are answered with this */
    void (*on_blob)(struct control_double *c); /* at each blob request; may be NULL */
    int checkin_status;                        /* answer this to check-ins; 0: as it should be */
    uint32_t retry_after_ms;
    int64_t poll_ms;          /* 0: a minute */
    bool rootless;            /* enrollment names no metadata */
    bool unsigned_too;        /* what is published next is offered without being signed */
    int64_t served_timestamp; /* what check-ins say of the metadata; 0: the truth */
    const char *tools;        /* of the ensembles that are made next; NULL: a timer */
    bool tells_answers;       /* the app, of its answers */
    /* probes */
    covey_status probe_status;
    const char *probe_message;
    int probe_runs;
} control_double;

/* ---- Ensembles --------------------------------------------------------------------------------
 */

/* A folder with a "model" of `size` bytes that differs from version to version in few places, and a
 * manifest. */
static inline void double_ensemble(control_double *c, const char *name, const char *version,
                                   size_t size, uint64_t seed, const char *needs_app) {
    char text[4096], hex[2][65];
    uint8_t digest[32];
    const char *folder = test_path(&c->folder, name);
    assert_int_equal(mkdir(folder, 0700), 0);
    char path[400];
    uint8_t *model = malloc(size);
    uint64_t state = 1;
    for (size_t i = 0; i < size; i++) model[i] = (uint8_t)test_random(&state);
    state = seed;
    for (int i = 0; i < 2; i++) model[test_random(&state) % size] ^= 0xff;
    covey__sha256_of(model, size, digest);
    covey__hex(digest, 32, hex[0]);
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    test_write(path, model, size);
    free(model);
    char tools[512];
    if (c->tools)
        snprintf(tools, sizeof tools, "%s", c->tools);
    else /* other bytes in each version, and nothing more that is asked for */
        snprintf(tools, sizeof tools,
                 "[{\"type\":\"function\",\"function\":{\"name\":\"timer\","
                 "\"description\":\"%s\"}}]",
                 version);
    covey__sha256_of(tools, strlen(tools), digest);
    covey__hex(digest, 32, hex[1]);
    snprintf(path, sizeof path, "%s/tools.json", folder);
    test_write(path, tools, strlen(tools));
    snprintf(text, sizeof text,
             "{\"format\":1,\"name\":\"assistant\",\"version\":\"%s\",\"variant\":\"q8_0\","
             "\"components\":["
             "{\"role\":\"model\",\"file\":\"model.gguf\",\"size\":%zu,\"sha256\":\"%s\"},"
             "{\"role\":\"tools\",\"file\":\"tools.json\",\"size\":%zu,\"sha256\":\"%s\"}],"
             "\"needs\":{\"memory_bytes\":1000,\"engine_interface\":1,\"arithmetic_version\":1,"
             "\"app\":\"%s\"}}",
             version, size, hex[0], strlen(tools), hex[1], needs_app ? needs_app : "*");
    snprintf(path, sizeof path, "%s/ensemble.json", folder);
    test_write(path, text, strlen(text));
}

static inline covey_status double_add_blob(void *user, const uint8_t sha256[32], const void *data,
                                           size_t size, covey_error *error) {
    control_double *c = user;
    (void)error;
    for (size_t i = 0; i < c->blob_count; i++)
        if (!memcmp(c->blobs[i].sha256, sha256, 32)) return COVEY_OK;
    assert_true(c->blob_count < DOUBLE_BLOBS_MAX);
    double_blob *blob = &c->blobs[c->blob_count++];
    memcpy(blob->sha256, sha256, 32);
    blob->data = malloc(size ? size : 1);
    memcpy(blob->data, data, size);
    blob->size = size;
    return COVEY_OK;
}

/* Publishes a release and makes it the target. */
static inline void double_publish_variants(control_double *c, const covey__release_source *sources,
                                           size_t count, const char *version) {
    const covey__env *env = covey__runtime_env(c->runtime);
    covey_error error = {0};
    covey__buffer document;
    uint8_t digest[32];
    char hex[65];
    covey__buffer_init(&document, env, 1u << 20);
    covey_status status =
        covey__release_build(env, sources, count, &document, &error, double_add_blob, c);
    if (status) fail_msg("release: %s", error.message);
    covey__sha256_of(document.data, document.size, digest);
    covey__hex(digest, 32, hex);
    double_add_blob(c, digest, document.data, document.size, NULL);
    if (!c->unsigned_too) {
        if (repo_add_release(&c->repository, version, document.data, document.size))
            repo_publish(&c->repository);
    }
    snprintf(c->target, sizeof c->target,
             "{\"rollout\":\"r-1\",\"release\":{\"name\":\"assistant\",\"version\":\"%s\","
             "\"digest\":\"%s\","
             "\"size\":%zu},\"blob\":\"sha256/%s\"}",
             version, hex, document.size, hex);
    covey__buffer_free(&document);
}

/* Publishes a steering document of serial `serial` with these statements, as JSON. */
static inline void double_steer(control_double *c, int serial, const char *statements) {
    char text[8192];
    covey__tuf_make_target *target = &c->repository.steering;
    int size = snprintf(text, sizeof text,
                        "{\"format\":1,\"product\":\"assistant\",\"serial\":%d,"
                        "\"statements\":[%s]}",
                        serial, statements);
    target->name = "steering/assistant.json";
    target->length = (uint64_t)size;
    covey__sha256_of(text, (size_t)size, target->sha256);
    c->repository.has_steering = true;
    double_add_blob(c, target->sha256, text, (size_t)size, NULL);
    repo_publish(&c->repository);
}

/* One folder, for devices of every class. */
static inline void double_publish(control_double *c, const char *name, const char *version) {
    static const char *const classes[] = {"tiny", "small", "medium", "large"};
    covey__release_source source = {test_path(&c->folder, name), classes, 4};
    double_publish_variants(c, &source, 1, version);
}

#endif
