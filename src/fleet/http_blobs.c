/* Blobs over HTTP: handing them out (whole, in ranges, or 304), taking them in, and saying which
 * are missing.
 *
 * Handing out is what any static server could do; the bytes go from the file to the socket by
 * sendfile. Taking in streams into blobs.c, which shows nothing before it is whole and checked.
 *
 * Neighbours: blobs.c; http.c calls covey__blob_put_begin and _data while a body comes in.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "fleet/routes.h"

#define MISSING_COUNT_MAX 4096

static int bad_name(covey__exchange *x) {
    return covey__answer_error(x, 400, "bad_request",
                               "expected 64 lower-case hex digits after /v1/blobs/sha256/");
}

/* One name a blob: upper-case digits are refused, so that caches hold it once. */
static bool read_name(covey__exchange *x, uint8_t sha256[32]) {
    size_t size = strlen(x->parameter);
    return strspn(x->parameter, "0123456789abcdef") == size &&
           covey__unhex(x->parameter, size, sha256, 32);
}

/* ---- out ---------------------------------------------------------------------------------- */

static const char *header(covey__exchange *x, const char *name) {
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

/* Whether a list of entity tags names this blob ("*" is any). The tag is the name in quotes. */
static bool tag_matches(covey__exchange *x, const char *list) {
    if (strcmp(list, "*") == 0) return true;
    const char *found = strstr(list, x->parameter);
    return found != NULL && found > list && found[-1] == '"' && found[64] == '"';
}

static bool read_number(const char **text, uint64_t *out) {
    const char *c = *text;
    *out = 0;
    if (*c < '0' || *c > '9') return false;
    for (; *c >= '0' && *c <= '9'; c++) {
        if (*out > (UINT64_MAX - 9) / 10) return false;
        *out = *out * 10 + (uint64_t)(*c - '0');
    }
    *text = c;
    return true;
}

typedef enum range_kind { RANGE_NONE, RANGE_ONE, RANGE_UNSATISFIABLE } range_kind;

/* A single byte range of RFC 9110; anything else than one is ignored, as that document allows. */
static range_kind read_range(const char *text, uint64_t size, uint64_t *first, uint64_t *count) {
    uint64_t a = 0, b = 0;
    if (strncmp(text, "bytes=", 6) != 0) return RANGE_NONE;
    text += 6;
    if (*text == '-') {
        text++;
        if (!read_number(&text, &b) || *text != '\0') return RANGE_NONE;
        if (b == 0 || size == 0) return RANGE_UNSATISFIABLE;
        *count = b < size ? b : size;
        *first = size - *count;
        return RANGE_ONE;
    }
    if (!read_number(&text, &a) || *text != '-') return RANGE_NONE;
    text++;
    b = UINT64_MAX;
    if (*text != '\0' && (!read_number(&text, &b) || *text != '\0' || b < a)) return RANGE_NONE;
    if (a >= size) return RANGE_UNSATISFIABLE;
    if (b >= size) b = size - 1;
    *first = a;
    *count = b - a + 1;
    return RANGE_ONE;
}

static void add_blob_headers(covey__exchange *x, struct MHD_Response *response) {
    char tag[72];
    (void)snprintf(tag, sizeof(tag), "\"%.64s\"", x->parameter);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, tag);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL,
                                  "public, max-age=31536000, immutable");
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                  "application/octet-stream");
}

static int respond(covey__exchange *x, int status, int descriptor, uint64_t first, uint64_t count,
                   uint64_t size) {
    char range[80];
    struct MHD_Response *response;
    if (status == 304 || count == 0) {
        response =
            MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
        (void)close(descriptor);
    } else {
        response = MHD_create_response_from_fd_at_offset64(count, descriptor, first);
        if (response == NULL) (void)close(descriptor);
    }
    if (response == NULL) return covey__answer_error(x, 503, "busy", "out of memory: try again");
    add_blob_headers(x, response);
    if (status == 206) {
        (void)snprintf(range, sizeof(range), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first,
                       first + count - 1, size);
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_RANGE, range);
    }
    x->response = response;
    if (strcmp(x->route->method, "GET") == 0) {
        covey__counter_add(&x->server->metrics.blob_bytes_out, count);
    }
    return status;
}

int covey__api_blob_get(covey__exchange *x) {
    covey_error error = {0};
    uint8_t sha256[32];
    uint64_t size = 0, first = 0, count = 0;
    int descriptor = -1;
    if (!read_name(x, sha256)) return bad_name(x);
    covey_status status = covey__blob_open(&x->server->blobs, sha256, &descriptor, &size, &error);
    if (status == COVEY_ERROR_NOT_FOUND) {
        return covey__answer_error(x, 404, "not_found", "this blob is not here");
    }
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    const char *known = header(x, MHD_HTTP_HEADER_IF_NONE_MATCH);
    if (known != NULL && tag_matches(x, known)) return respond(x, 304, descriptor, 0, 0, size);
    const char *range = header(x, MHD_HTTP_HEADER_RANGE);
    const char *only_if = header(x, MHD_HTTP_HEADER_IF_RANGE);
    if (range == NULL || (only_if != NULL && !tag_matches(x, only_if))) {
        return respond(x, 200, descriptor, 0, size, size);
    }
    switch (read_range(range, size, &first, &count)) {
    case RANGE_ONE:
        return respond(x, 206, descriptor, first, count, size);
    case RANGE_UNSATISFIABLE:
        (void)close(descriptor);
        return covey__answer_error(x, 416, "bad_range", "the blob has %" PRIu64 " bytes", size);
    case RANGE_NONE:
        break;
    }
    return respond(x, 200, descriptor, 0, size, size);
}

/* ---- in ----------------------------------------------------------------------------------- */

int covey__blob_put_begin(covey__exchange *x) {
    covey_error error = {0};
    uint8_t sha256[32];
    if (!read_name(x, sha256)) return bad_name(x);
    /* Already here, whole: the body is read and dropped, and answered as after a store. */
    if (covey__blob_has(&x->server->blobs, sha256)) {
        covey__buffer_clear(&x->answer);
        (void)covey__buffer_text(&x->answer, "{}");
        return 200;
    }
    covey_status status = covey__blob_begin(&x->server->blobs, sha256, &x->upload, &error);
    return status == COVEY_OK ? 0 : covey__answer_failure(x, status, &error);
}

int covey__blob_put_data(covey__exchange *x, const void *data, size_t size) {
    covey_error error = {0};
    covey_status status = covey__blob_write(&x->upload, data, size, &error);
    if (status == COVEY_OK) {
        covey__counter_add(&x->server->metrics.blob_bytes_in, size);
        return 0;
    }
    covey__blob_abort(&x->upload);
    if (status == COVEY_ERROR_LIMIT) {
        return covey__answer_error(x, 413, "too_large", "%s", error.message);
    }
    return covey__answer_failure(x, status, &error);
}

int covey__api_blob_put(covey__exchange *x) {
    covey_error error = {0};
    covey_status status = covey__blob_finish(&x->upload, &error);
    if (status == COVEY_ERROR_MISMATCH) {
        return covey__answer_error(x, 422, "digest_mismatch", "%s", error.message);
    }
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    (void)covey__buffer_text(&x->answer, "{}");
    return 201;
}

int covey__api_blobs_missing(covey__exchange *x) {
    static const char *const members[] = {"blobs", NULL};
    covey_error error = {0};
    const covey__json *root, *blobs;
    covey__json_writer w;
    int answer = covey__read_json(x, &root);
    if (answer != 0) return answer;
    covey_status status = covey__json_only(root, "", members, &error);
    if (status == COVEY_OK) {
        status = covey__json_member(root, "blobs", "blobs", COVEY__JSON_ARRAY, &blobs, &error);
    }
    if (status == COVEY_OK && blobs->size > MISSING_COUNT_MAX) {
        status = covey__fail(&error, COVEY_ERROR_LIMIT, "blobs: expected at most %d, found %zu",
                             MISSING_COUNT_MAX, blobs->size);
    }
    if (status != COVEY_OK) return covey__bad_field(x, &error);
    covey__json_writer_init(&w, &x->answer, false);
    covey__json_begin_object(&w);
    covey__json_name(&w, "missing");
    covey__json_begin_array(&w);
    for (const covey__json *each = blobs->child; each != NULL; each = each->next) {
        uint8_t sha256[32];
        if (each->kind != COVEY__JSON_STRING || !covey__unhex(each->text, each->size, sha256, 32)) {
            return covey__answer_error(x, 400, "bad_field", "blobs: expected 64 hex digits each");
        }
        if (!covey__blob_has(&x->server->blobs, sha256)) {
            covey__json_put_text(&w, each->text, each->size);
        }
    }
    covey__json_end_array(&w);
    covey__json_end_object(&w);
    return 200;
}
