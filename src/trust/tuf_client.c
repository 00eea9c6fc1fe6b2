/* The client of The Update Framework as an app sees it (include/covey/tuf.h): opening, reports, the
 * first root. Neighbours: tuf_refresh.c, tuf_find.c and tuf_fetch.c do the work. */
#include "trust/tuf_client.h"
#include "base/error.h"
#include "base/runtime.h"
#include "trust/tuf_text.h"

#include <stdio.h>
#include <string.h>

covey_status covey__tuf_blame(covey_tuf *tuf, const char *role, covey_status status,
                              covey_error *error) {
    char shown[sizeof tuf->report.role];
    covey__printable(role, strlen(role), shown, sizeof shown);
    if (tuf->report.role[0] != '\0') return status;
    (void)snprintf(tuf->report.role, sizeof tuf->report.role, "%s", shown);
    return covey__prefix(error, status, "%s", shown);
}

void covey__tuf_drop(covey_tuf *tuf) {
    covey__tuf_drop_delegated(tuf);
    covey__tuf_free(tuf->root);
    covey__tuf_free(tuf->timestamp);
    covey__tuf_free(tuf->snapshot);
    covey__tuf_free(tuf->targets);
    tuf->root = tuf->timestamp = tuf->snapshot = tuf->targets = NULL;
    tuf->refreshed = false;
}

static void free_options(const covey__env *env, covey_tuf_options *o) {
    const void *owned[] = {o->store_dir, o->metadata_url, o->targets_url, o->floor_path, o->root};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        covey__free(env, (void *)(uintptr_t)owned[i]); /* const for the caller's sake */
    if (o->headers == NULL) return;
    for (size_t i = 0; i < o->header_count; i++) covey__free(env, (void *)(uintptr_t)o->headers[i]);
    covey__free(env, (void *)(uintptr_t)o->headers);
}

/* A copy of an address that ends in '/'. */
static char *copy_url(const covey__env *env, const char *url) {
    size_t size = strlen(url);
    return covey__format(env, "%s%s", url, size > 0 && url[size - 1] == '/' ? "" : "/");
}

static bool copy_headers(const covey__env *env, const covey_tuf_options *given,
                         covey_tuf_options *o) {
    if (given->header_count == 0) return true;
    const char **headers = covey__calloc(env, given->header_count, sizeof *headers);
    o->headers = headers;
    if (headers == NULL) return false;
    o->header_count = given->header_count;
    for (size_t i = 0; i < given->header_count; i++) {
        headers[i] = covey__strdup(env, given->headers[i]);
        if (headers[i] == NULL) return false;
    }
    return true;
}

static bool copy_strings(const covey__env *env, const covey_tuf_options *given,
                         covey_tuf_options *o) {
    o->store_dir = covey__strdup(env, given->store_dir);
    o->metadata_url = copy_url(env, given->metadata_url);
    if (o->store_dir == NULL || o->metadata_url == NULL) return false;
    if (given->targets_url != NULL) {
        o->targets_url = copy_url(env, given->targets_url);
        if (o->targets_url == NULL) return false;
    }
    if (given->floor_path != NULL) {
        o->floor_path = covey__strdup(env, given->floor_path);
        if (o->floor_path == NULL) return false;
    }
    if (given->root != NULL) {
        char *root = covey__alloc(env, given->root_size + 1);
        if (root == NULL) return false;
        memcpy(root, given->root, given->root_size);
        o->root = root;
        o->root_size = given->root_size;
    }
    return copy_headers(env, given, o);
}

static uint64_t bytes_or(uint64_t given, uint64_t otherwise) {
    uint64_t value = given != 0 ? given : otherwise;
    return value < COVEY__TUF_BYTES_MAX ? value : COVEY__TUF_BYTES_MAX;
}

static uint32_t count_or(uint32_t given, uint32_t otherwise, uint32_t max) {
    uint32_t value = given != 0 ? given : otherwise;
    return value < max ? value : max;
}

static void fill_defaults(const covey_tuf_options *given, covey_tuf_options *o) {
    o->size = sizeof *o;
    o->root_bytes_max = bytes_or(given->root_bytes_max, 512000);
    o->timestamp_bytes_max = bytes_or(given->timestamp_bytes_max, 16384);
    o->snapshot_bytes_max = bytes_or(given->snapshot_bytes_max, 2000000);
    o->targets_bytes_max = bytes_or(given->targets_bytes_max, 5000000);
    o->root_count_max = count_or(given->root_count_max, 256, UINT32_MAX);
    o->role_count_max = count_or(given->role_count_max, 33, COVEY__TUF_VISIT_COUNT_MAX);
    o->depth_max = count_or(given->depth_max, 8, COVEY__TUF_DEPTH_MAX);
    o->connect_timeout_ms = count_or(given->connect_timeout_ms, 10000, UINT32_MAX);
    o->idle_timeout_ms = count_or(given->idle_timeout_ms, 30000, UINT32_MAX);
    o->metadata_timeout_ms = count_or(given->metadata_timeout_ms, 60000, UINT32_MAX);
}

covey_status covey_tuf_open(covey_runtime *runtime, const covey_tuf_options *options,
                            covey_tuf **out, covey_error *error) {
    covey_tuf_options given = COVEY_TUF_OPTIONS_INIT;
    const covey__env *env = covey__runtime_env(runtime);
    *out = NULL;
    if (options->size <= sizeof options->size)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "tuf: size is not set; begin with COVEY_TUF_OPTIONS_INIT");
    memcpy(&given, options, options->size < sizeof given ? options->size : sizeof given);
    if (given.store_dir == NULL || given.metadata_url == NULL)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "tuf: expected store_dir and metadata_url");
    if (given.header_count > COVEY__TUF_HEADER_COUNT_MAX)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "tuf: %zu headers, at most %d are allowed", given.header_count,
                           COVEY__TUF_HEADER_COUNT_MAX);
    covey_tuf *tuf = covey__calloc(env, 1, sizeof *tuf);
    if (tuf == NULL) return covey__no_memory(error, "tuf", sizeof *tuf);
    tuf->env = env;
    fill_defaults(&given, &tuf->options);
    tuf->report = (covey_tuf_report)COVEY_TUF_REPORT_INIT;
    if (!copy_strings(env, &given, &tuf->options)) {
        covey_tuf_close(tuf);
        return covey__no_memory(error, "tuf: options", given.root_size);
    }
    tuf->store = (covey__tuf_store){env, tuf->options.store_dir, tuf->options.floor_path != NULL};
    *out = tuf;
    return COVEY_OK;
}

void covey_tuf_close(covey_tuf *tuf) {
    if (tuf == NULL) return;
    const covey__env *env = tuf->env;
    covey__tuf_drop(tuf);
    covey__tuf_floor_free(&tuf->floor);
    free_options(env, &tuf->options);
    covey__free(env, tuf);
}

/* The first of the trusted documents to expire. */
static void report_expiry(covey_tuf *tuf) {
    const covey__tuf_document *all[] = {tuf->root, tuf->timestamp, tuf->snapshot, tuf->targets};
    const covey__tuf_document *first = all[0];
    for (int i = 1; i < COVEY__TUF_TOP_COUNT; i++) {
        if (all[i]->expires_ms < first->expires_ms) first = all[i];
    }
    tuf->report.expires_ms = first->expires_ms;
    (void)snprintf(tuf->report.expires_role, sizeof tuf->report.expires_role, "%s",
                   covey__tuf_type_name(first->type));
}

static int64_t version_or(const covey__tuf_document *document, int64_t otherwise) {
    return document != NULL ? document->version : otherwise;
}

void covey_tuf_get_report(const covey_tuf *tuf, covey_tuf_report *report) {
    size_t size = report->size;
    memcpy(report, &tuf->report, size < sizeof *report ? size : sizeof *report);
    report->size = size;
}

covey_status covey_tuf_refresh(covey_tuf *tuf, int64_t root_version_latest,
                               covey_tuf_report *report, covey_error *error) {
    covey_tuf_report *r = &tuf->report;
    uint32_t requests = r->request_count;
    uint64_t bytes = r->received_bytes;
    *r = (covey_tuf_report)COVEY_TUF_REPORT_INIT;
    r->request_count = requests;
    r->received_bytes = bytes;
    covey_status status = covey__tuf_update(tuf, root_version_latest, error);
    r->after.root = version_or(tuf->root, 0);
    r->after.timestamp = version_or(tuf->timestamp, r->before.timestamp);
    r->after.snapshot = version_or(tuf->snapshot, r->before.snapshot);
    r->after.targets = version_or(tuf->targets, r->before.targets);
    r->time_ms = tuf->now_ms;
    r->time_is_floor = tuf->now_ms > tuf->clock_ms;
    if (status == COVEY_OK)
        report_expiry(tuf);
    else
        covey__tuf_drop(tuf);
    if (report != NULL) covey_tuf_get_report(tuf, report);
    return status == COVEY_OK ? status : covey__prefix(error, status, "tuf");
}

void covey_tuf_file_name(const char *name, char out[COVEY_TUF_FILE_NAME_SIZE]) {
    _Static_assert(COVEY_TUF_FILE_NAME_SIZE == COVEY__TUF_LOCAL_SIZE, "one size");
    covey__tuf_local_name(name, out);
}

covey_status covey_tuf_init(covey_runtime *runtime, const char *store_dir, const void *root,
                            size_t root_size, covey_error *error) {
    const covey__env *env = covey__runtime_env(runtime);
    covey__tuf_document *document = NULL;
    covey__tuf_store store = {env, store_dir, false};
    covey_status status = covey__tuf_parse(env, COVEY__TUF_ROOT, root, root_size, &document, error);
    if (status == COVEY_OK)
        status = covey__tuf_verify(env, document, document->top + COVEY__TUF_ROOT, error);
    covey__tuf_free(document);
    if (status != COVEY_OK) return covey__prefix(error, status, "tuf: root");
    status = covey__tuf_store_write(&store, "root", root, root_size, error);
    return status == COVEY_OK ? status : covey__prefix(error, status, "tuf");
}
