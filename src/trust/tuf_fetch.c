/* Requests of a client of The Update Framework, and downloads of targets. A body is never longer
 * than was allowed, never slower than a document may be, and never trusted here: metadata goes to
 * its parser, a target to a temporary file that is dropped unless length and hash are right.
 * Neighbours: tuf_refresh.c, tuf_find.c. */
#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "trust/sha512.h"
#include "trust/tuf_client.h"
#include "trust/tuf_text.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define URL_BYTES_MAX    (16u << 10)
#define ANSWER_BYTES_MAX (64u << 10) /* of an error's page, which nobody reads */
#define READ_BYTES       (64u << 10)

/* One exchange: where its body goes. */
typedef struct transfer {
    covey_tuf *tuf;
    uint64_t bytes_max, bytes;
    uint64_t refused_bytes; /* of an answer that is no 200 */
    int64_t deadline_us;    /* 0: none */
    covey__buffer *buffer;  /* metadata */
    int descriptor;         /* a target's file: */
    const char *path;
    uint8_t *memory; /* a target's memory */
    covey__sha256 sha256;
    covey__sha512 sha512; /* only when the target has one */
    bool has_sha512;
    covey_status why; /* it was stopped from here */
    covey_error kept; /* what keep() said */
} transfer;

static covey_status keep(transfer *t, const void *data, size_t size) {
    if (t->buffer != NULL) return covey__buffer_append(t->buffer, data, size);
    covey__sha256_update(&t->sha256, data, size);
    if (t->has_sha512) covey__sha512_update(&t->sha512, data, size);
    if (t->memory != NULL) {
        memcpy(t->memory + t->bytes, data, size);
        return COVEY_OK;
    }
    return covey__file_write_at(t->tuf->env, t->descriptor, t->path, t->bytes, data, size,
                                &t->kept);
}

static covey_status on_data(void *user, const covey_http_response *response, const void *data,
                            size_t size) {
    transfer *t = user;
    t->tuf->report.received_bytes += size;
    if (t->deadline_us != 0 && covey__monotonic_us() > t->deadline_us)
        return t->why = COVEY_ERROR_TIMEOUT;
    if (response->status != 200) {
        t->refused_bytes += size;
        return t->refused_bytes > ANSWER_BYTES_MAX ? COVEY_ERROR_REMOTE : COVEY_OK;
    }
    if (size > t->bytes_max - t->bytes) return t->why = COVEY_ERROR_LIMIT;
    covey_status status = keep(t, data, size);
    if (status != COVEY_OK) return t->why = status;
    t->bytes += size;
    return COVEY_OK;
}

/* What stopped the exchange from our side, said. */
static covey_status explain(const transfer *t, covey_status status, covey_error *error) {
    if (t->why == COVEY_ERROR_LIMIT)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)t->bytes_max, -1,
                                 "longer than the %" PRIu64 " bytes that are allowed",
                                 t->bytes_max);
    if (t->why == COVEY_ERROR_TIMEOUT)
        return covey__fail(error, COVEY_ERROR_TIMEOUT,
                           "slower than the %" PRIu32 " ms that are allowed",
                           t->tuf->options.metadata_timeout_ms);
    if (t->why == COVEY_ERROR_NO_MEMORY)
        return covey__no_memory(error, "the answer", (size_t)t->bytes);
    if (error != NULL) *error = t->kept;
    return status;
}

/* OK for any complete answer, whose HTTP status is then in `*http_status`. Metadata is asked for
 * with the caller's headers, and past caches on the way: an old timestamp, or that there was no
 * newer root a while ago, is of no use. */
static covey_status get(transfer *t, const char *url, bool is_metadata, int *http_status,
                        covey_error *error) {
    covey_tuf *tuf = t->tuf;
    const char *headers[COVEY__TUF_HEADER_COUNT_MAX + 1] = {"Cache-Control: no-cache"};
    const covey_transport *transport = tuf->env->transport;
    if (transport == NULL || transport->fetch == NULL)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED, "this runtime has no transport");
    covey_http_response response = {.size = sizeof response};
    covey_http_request request = {.size = sizeof request};
    request.method = "GET";
    request.url = url;
    for (size_t i = 0; i < tuf->options.header_count; i++) headers[i + 1] = tuf->options.headers[i];
    request.headers = is_metadata ? headers : NULL;
    request.header_count = is_metadata ? tuf->options.header_count + 1 : 0;
    request.body_bytes_max = UINT64_MAX; /* on_data has the bound */
    request.connect_timeout_ms = tuf->options.connect_timeout_ms;
    request.idle_timeout_ms = tuf->options.idle_timeout_ms;
    int fault = covey__fault(tuf->env, "fetch", url);
    if (fault != 0) return covey__fail(error, COVEY_ERROR_NETWORK, "the request failed on purpose");
    tuf->report.request_count++;
    covey_status status = transport->fetch(transport->user, &request, &response, on_data, t, error);
    *http_status = response.status;
    if (status == COVEY_OK) return COVEY_OK;
    if (t->why != COVEY_OK) return explain(t, t->why, error);
    if (response.status != 200 && t->refused_bytes > ANSWER_BYTES_MAX) return COVEY_OK;
    return status;
}

static covey_status refused(int http_status, covey_error *error) {
    return covey__fail_sizes(error, COVEY_ERROR_REMOTE, 0, http_status,
                             "the server answered %d, expected 200", http_status);
}

covey_status covey__tuf_fetch(covey_tuf *tuf, const covey__tuf_request *request, covey__buffer *out,
                              bool *found, covey_error *error) {
    transfer t = {.tuf = tuf, .bytes_max = request->bytes_max, .buffer = out, .descriptor = -1};
    covey__buffer url;
    int http_status = 0;
    *found = false;
    covey__buffer_init(&url, tuf->env, URL_BYTES_MAX);
    (void)covey__buffer_text(&url, tuf->options.metadata_url);
    if (request->version > 0) (void)covey__buffer_format(&url, "%" PRId64 ".", request->version);
    (void)covey__tuf_quote_segment(&url, request->role);
    (void)covey__buffer_text(&url, ".json");
    covey_status status = covey__buffer_check(&url, error, "address");
    t.deadline_us = covey__monotonic_us() + (int64_t)tuf->options.metadata_timeout_ms * 1000;
    if (status == COVEY_OK) status = get(&t, url.data, true, &http_status, error);
    covey__buffer_free(&url);
    if (status != COVEY_OK) return status;
    bool absent = http_status == 404 || http_status == 403;
    if (absent && request->optional) return COVEY_OK;
    if (http_status != 200) return refused(http_status, error);
    *found = true;
    return COVEY_OK;
}

/* TARGETS_URL/DIR/[HASH.]NAME */
static covey_status target_url(const covey_tuf *tuf, const covey_tuf_target *target,
                               covey__buffer *url, covey_error *error) {
    if (tuf->options.targets_url == NULL)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "this client was opened without targets_url");
    const char *slash = strrchr(target->name, '/');
    const char *base = slash != NULL ? slash + 1 : target->name;
    char folder[COVEY__TUF_NAME_BYTES_MAX + 1] = "", hash[129];
    size_t folder_size = (size_t)(base - target->name);
    if (folder_size > COVEY__TUF_NAME_BYTES_MAX)
        return covey__fail(error, COVEY_ERROR_LIMIT, "a name that is too long");
    memcpy(folder, target->name, folder_size);
    if (target->has_sha256)
        covey__hex(target->sha256, 32, hash);
    else
        covey__hex(target->sha512, 64, hash);
    (void)covey__buffer_text(url, tuf->options.targets_url);
    (void)covey__tuf_quote_path(url, folder);
    if (tuf->root->consistent_snapshot) (void)covey__buffer_format(url, "%s.", hash);
    (void)covey__tuf_quote_path(url, base);
    return covey__buffer_check(url, error, "address");
}

static covey_status check_hashes(const covey_tuf_target *target, covey__sha256 *sha256,
                                 covey__sha512 *sha512, covey_error *error) {
    covey__tuf_hashes hashes = {true, target->has_sha256, {0}, target->sha512};
    uint8_t found256[32], found512[64];
    memcpy(hashes.sha256, target->sha256, sizeof hashes.sha256);
    covey__sha256_final(sha256, found256);
    covey__sha512_final(sha512, found512);
    return covey__tuf_hashes_check(&hashes, found256, found512, error);
}

/* Carries a target to where the transfer leads, and checks what came. */
static covey_status fetch_target(transfer *t, const covey_tuf_target *target, covey_error *error) {
    covey__buffer url;
    int http_status = 0;
    t->bytes_max = target->length;
    t->has_sha512 = target->sha512 != NULL;
    covey__sha256_init(&t->sha256);
    covey__sha512_init(&t->sha512);
    covey__buffer_init(&url, t->tuf->env, URL_BYTES_MAX);
    covey_status status = target_url(t->tuf, target, &url, error);
    if (status == COVEY_OK) status = get(t, url.data, false, &http_status, error);
    covey__buffer_free(&url);
    if (status != COVEY_OK) return status;
    if (http_status != 200) return refused(http_status, error);
    if (t->bytes != target->length)
        return covey__fail_sizes(error, COVEY_ERROR_MISMATCH, (int64_t)target->length,
                                 (int64_t)t->bytes, "expected %" PRIu64 " bytes, found %" PRIu64,
                                 target->length, t->bytes);
    return check_hashes(target, &t->sha256, &t->sha512, error);
}

/* Whether the file at `path` is the target already. What cannot be read is not. */
static bool is_there(const covey__env *env, const covey_tuf_target *target, const char *path) {
    uint64_t size = 0;
    int descriptor;
    if (covey__file_size(env, path, &size, NULL) != COVEY_OK || size != target->length)
        return false;
    if (covey__file_open(env, path, O_RDONLY | O_NONBLOCK, 0, &descriptor, NULL) != COVEY_OK)
        return false;
    uint8_t *piece = covey__alloc(env, READ_BYTES);
    covey__sha256 sha256;
    covey__sha512 sha512;
    covey__sha256_init(&sha256);
    covey__sha512_init(&sha512);
    covey_status status = piece != NULL ? COVEY_OK : COVEY_ERROR_NO_MEMORY;
    for (uint64_t at = 0; status == COVEY_OK && at < size;) {
        size_t count = size - at < READ_BYTES ? (size_t)(size - at) : READ_BYTES;
        status = covey__file_read_at(env, descriptor, path, at, piece, count, NULL);
        if (status == COVEY_OK) covey__sha256_update(&sha256, piece, count);
        if (status == COVEY_OK && target->sha512 != NULL)
            covey__sha512_update(&sha512, piece, count);
        at += count;
    }
    covey__free(env, piece);
    close(descriptor);
    return status == COVEY_OK && check_hashes(target, &sha256, &sha512, NULL) == COVEY_OK;
}

static covey_status check_target(const covey_tuf *tuf, const covey_tuf_target *target,
                                 covey_error *error) {
    if (target->size < sizeof *target || target->name == NULL || !tuf->refreshed ||
        (!target->has_sha256 && target->sha512 == NULL))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "tuf: expected a target that covey_tuf_find gave");
    return COVEY_OK;
}

static covey_status name_target(const covey_tuf_target *target, covey_status status,
                                covey_error *error) {
    char shown[160];
    return covey__prefix(error, status, "tuf: target \"%s\"",
                         covey__printable(target->name, strlen(target->name), shown, sizeof shown));
}

covey_status covey_tuf_download(covey_tuf *tuf, const covey_tuf_target *target, const char *path,
                                covey_error *error) {
    covey__replacement replacement;
    covey_status status = check_target(tuf, target, error);
    if (status != COVEY_OK) return status;
    if (is_there(tuf->env, target, path)) return COVEY_OK;
    status = covey__replace_begin(tuf->env, path, true, &replacement, error);
    if (status != COVEY_OK) return name_target(target, status, error);
    transfer t = {.tuf = tuf, .descriptor = replacement.descriptor, .path = replacement.temporary};
    status = fetch_target(&t, target, error);
    if (status == COVEY_OK)
        status = covey__replace_commit(&replacement, error);
    else
        covey__replace_abort(&replacement);
    return status == COVEY_OK ? status : name_target(target, status, error);
}

covey_status covey_tuf_download_to(covey_tuf *tuf, const covey_tuf_target *target, void *data,
                                   size_t capacity, covey_error *error) {
    static uint8_t nothing[1];
    covey_status status = check_target(tuf, target, error);
    if (status != COVEY_OK) return status;
    if (target->length > capacity)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)capacity,
                                 (int64_t)target->length,
                                 "tuf: the target has %" PRIu64 " bytes, there is room for %zu",
                                 target->length, capacity);
    transfer t = {.tuf = tuf, .descriptor = -1, .memory = data != NULL ? data : nothing};
    status = fetch_target(&t, target, error);
    return status == COVEY_OK ? status : name_target(target, status, error);
}
