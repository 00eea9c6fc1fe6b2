/* The caller's side of a download in a test: what it takes, and engines and blobs made for it. */
#ifndef COVEY_TEST_DOWNLOAD_CALLER_H
#define COVEY_TEST_DOWNLOAD_CALLER_H

#include "download_double.h"

/* ---- The caller -------------------------------------------------------------------------------
 */

static inline covey_status double_take(void *user, const covey__download_item *item,
                                       const void *data, covey_error *error) {
    download_double *d = user;
    assert_int_equal(item->size, d->sizes[item->tag]);
    assert_memory_equal(data, d->blobs[item->tag], (size_t)item->size);
    d->taken[item->tag]++;
    return d->take_says ? covey__fail(error, d->take_says, "it is not wanted") : COVEY_OK;
}

static inline covey_status double_stream(void *user, const covey__download_item *item,
                                         uint64_t offset, const void *data, size_t size,
                                         covey_error *error) {
    download_double *d = user;
    (void)error;
    assert_int_equal(offset, d->streamed_size);
    assert_true(offset + size <= item->size);
    memcpy(d->streamed + offset, data, size);
    d->streamed_size += size;
    return COVEY_OK;
}

static inline covey_status double_streamed(void *user, const covey__download_item *item,
                                           covey_status status, covey_error *error) {
    download_double *d = user;
    (void)error;
    assert_int_equal(d->streamed_size, item->size);
    if (status == COVEY_ERROR_MISMATCH) {
        d->streamed_size = 0;
        d->restarts++;
        return COVEY_OK;
    }
    assert_int_equal(status, COVEY_OK);
    d->taken[item->tag]++;
    return COVEY_OK;
}

static inline void double_note(void *user, const char *mirror, const char *message) {
    download_double *d = user;
    assert_non_null(strstr(message, mirror));
    if (d->note_count < 8) snprintf(d->notes[d->note_count++], 300, "%s", message);
}

/* `blob_count` blobs of sizes up to `size_max`, `mirror_count` mirrors; exchanges that block where
 * `several` is false. */
static inline void double_make(download_double *d, bool several, int mirror_count, int blob_count,
                               uint64_t size_max, uint64_t seed) {
    memset(d, 0, sizeof *d);
    test_env_init(&d->test);
    d->seed = seed;
    d->transport =
        (covey_transport){.size = sizeof d->transport, .user = d, .fetch = double_blob_fetch};
    if (several) {
        d->transport.open = double_lines_open;
        d->transport.begin = double_lines_begin;
        d->transport.wait = double_lines_wait;
        d->transport.cancel = double_lines_cancel;
        d->transport.close = double_lines_close;
    }
    d->test.env.transport = &d->transport;
    d->blob_count = blob_count;
    for (int i = 0; i < blob_count; i++) {
        d->sizes[i] = size_max / 2 + 1 + test_random(&d->seed) % (size_max / 2);
        d->blobs[i] = malloc((size_t)d->sizes[i]);
        for (uint64_t k = 0; k < d->sizes[i]; k++) d->blobs[i][k] = (uint8_t)test_random(&d->seed);
        covey__sha256_of(d->blobs[i], (size_t)d->sizes[i], d->digests[i]);
    }
    d->streamed = malloc((size_t)size_max + 1);
    d->stall_ms = 5000;
    d->mirrors.pause_first_ms = 4;
    for (int i = 0; i < mirror_count; i++) {
        char url[40];
        snprintf(url, sizeof url, "http://m%d.test/blobs", i);
        covey__mirrors_add(&d->mirrors, url, COVEY__MIRROR_NAMED);
    }
}

static inline void double_unmake(download_double *d) {
    for (int i = 0; i < d->blob_count; i++) free(d->blobs[i]);
    free(d->streamed);
    for (int32_t i = 0; i < d->mirrors.count; i++)
        assert_int_equal(d->mirrors.list[i].in_flight, 0);
    assert_int_equal(d->test.alive, 0);
}

static inline void double_say(download_double *d, int mirror, double_act act) {
    assert_true(d->script_count[mirror] < DOUBLE_SCRIPT_MAX);
    d->script[mirror][d->script_count[mirror]++] = act;
}

static inline covey__download *double_download(download_double *d, const char *folder) {
    covey__download *download = NULL;
    covey_error error = {0};
    covey__download_options options = {.partial_folder = folder,
                                       .mirrors = &d->mirrors,
                                       .rate = &d->rate,
                                       .stall_ms = d->stall_ms,
                                       .note = double_note,
                                       .note_user = d};
    if (covey__download_new(&d->test.env, &options, &download, &error))
        fail_msg("%s", error.message);
    return download;
}

static inline covey__download_item double_item(download_double *d, int blob) {
    covey__download_item item = {
        .size = d->sizes[blob], .take = double_take, .user = d, .tag = (size_t)blob};
    memcpy(item.sha256, d->digests[blob], 32);
    return item;
}

static inline covey__download_item double_stream_item(download_double *d, int blob,
                                                      uint64_t first) {
    covey__download_item item = double_item(d, blob);
    item.take = NULL;
    item.data = double_stream;
    item.done = double_streamed;
    item.first = first;
    covey__sha256_init(&item.hash);
    covey__sha256_update(&item.hash, d->blobs[blob], (size_t)first);
    memcpy(d->streamed, d->blobs[blob], (size_t)first);
    d->streamed_size = first;
    return item;
}

/* Fetches blobs from..to in turn. */
static inline covey_status double_fetch_all(download_double *d, covey__download *download, int from,
                                            int to, covey_error *error) {
    int64_t deadline_us = covey__monotonic_us() + INT64_C(60000000);
    bool done = false;
    covey_status status = COVEY_OK;
    for (int i = from; !status && i < to; i++) {
        covey__download_item item = double_item(d, i);
        status = covey__download_run(download, deadline_us, 1, &done, error);
        if (status) return status;
        assert_true(done);
        status = covey__download_add(download, &item, error);
    }
    if (!status)
        status = covey__download_run(download, deadline_us, COVEY__DOWNLOAD_ALL, &done, error);
    if (!status) assert_true(done);
    return status;
}

#endif
