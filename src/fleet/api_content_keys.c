/* Content keys of private ensembles, as far as a control plane may see them (docs/api.md): sealed
 * to one device each, by their publisher, who has the key. A device asks for its own; the publisher
 * asks which devices lack one, and brings more.
 *
 * Invariants: nothing here can open a wrapped key. A device gets what was sealed to the key that it
 * named last, and nothing once it was revoked.
 *
 * Neighbours: store_sqlite_wraps.c keeps them; client_content_keys.c wraps.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/sha256.h"
#include "fleet/routes.h"

#define WRAPS_MAX 1000
#define PAGE_MAX  1000

static bool key_id(const char *hex, uint8_t id[16]) {
    return strspn(hex, "0123456789abcdef") == strlen(hex) && covey__unhex(hex, strlen(hex), id, 16);
}

static int no_key_id(covey__exchange *x) {
    return covey__answer_error(x, 400, "bad_request",
                               "a content key's id has 32 lower-case hex digits");
}

/* ---- for devices -------------------------------------------------------------------------- */

int covey__api_content_key_get(covey__exchange *x) {
    covey_error error = {0};
    covey__store *store = x->server->store;
    uint8_t id[16], wrapped[80];
    char hex[161];
    if (!key_id(x->parameter, id)) return no_key_id(x);
    covey_status status = store->driver->wrap_get(store, id, x->device.key, wrapped, &error);
    if (status == COVEY_ERROR_NOT_FOUND) {
        return covey__answer_error(x, 404, "not_wrapped",
                                   "this content key was not wrapped for this device's key yet");
    }
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    covey__json_writer w;
    covey__json_writer_init(&w, &x->answer, false);
    covey__json_begin_object(&w);
    covey__json_member_string(&w, "key", x->parameter);
    covey__hex(wrapped, sizeof(wrapped), hex);
    covey__json_member_string(&w, "wrapped", hex);
    covey__json_end_object(&w);
    return 200;
}

/* ---- for the publisher -------------------------------------------------------------------- */

static covey_status read_hex(const covey__json *object, const char *name, uint8_t *out, size_t size,
                             covey_error *error) {
    const char *hex;
    covey_status status = covey__json_string(object, name, name, &hex, error);
    if (status != COVEY_OK) return status;
    if (covey__unhex(hex, strlen(hex), out, size)) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_FORMAT, "%s: expected %zu hex digits", name, 2 * size);
}

static covey_status read_wrap(const covey__json *node, covey__wrap *wrap, covey_error *error) {
    static const char *const members[] = {"device", "device_key", "wrapped", NULL};
    covey_status status = covey__json_only(node, "", members, error);
    if (status == COVEY_OK) {
        status = covey__json_string(node, "device", "device", &wrap->device, error);
    }
    if (status == COVEY_OK) status = read_hex(node, "device_key", wrap->device_key, 32, error);
    if (status == COVEY_OK) status = read_hex(node, "wrapped", wrap->wrapped, 80, error);
    return status;
}

static covey_status read_wraps(covey__exchange *x, const covey__json *root, uint8_t id[16],
                               covey__wrap **wraps, size_t *count, covey_error *error) {
    static const char *const members[] = {"key", "wraps", NULL};
    const covey__json *list = NULL;
    covey_status status = covey__json_only(root, "", members, error);
    if (status == COVEY_OK) status = read_hex(root, "key", id, 16, error);
    if (status == COVEY_OK) {
        status = covey__json_member(root, "wraps", "wraps", COVEY__JSON_ARRAY, &list, error);
    }
    if (status == COVEY_OK && list->size > WRAPS_MAX) {
        status = covey__fail(error, COVEY_ERROR_LIMIT, "wraps: expected at most %d, found %zu",
                             WRAPS_MAX, list->size);
    }
    if (status != COVEY_OK) return status;
    *wraps = covey__arena_calloc(&x->arena, list->size > 0 ? list->size : 1, sizeof(**wraps));
    if (*wraps == NULL) return covey__no_memory(error, "wraps", list->size);
    for (const covey__json *each = list->child; each != NULL; each = each->next, (*count)++) {
        status = read_wrap(each, &(*wraps)[*count], error);
        if (status != COVEY_OK) return covey__prefix(error, status, "wraps[%zu]", *count);
    }
    return COVEY_OK;
}

int covey__api_content_keys_add(covey__exchange *x) {
    covey_error error = {0};
    covey__store *store = x->server->store;
    const covey__json *root;
    covey__wrap *wraps = NULL;
    uint8_t id[16];
    size_t count = 0, stored = 0;
    int answer = covey__read_json(x, &root);
    if (answer != 0) return answer;
    covey_status status = read_wraps(x, root, id, &wraps, &count, &error);
    if (status == COVEY_ERROR_NO_MEMORY) return covey__answer_failure(x, status, &error);
    if (status != COVEY_OK) return covey__bad_field(x, &error);
    status = store->driver->wrap_add(store, id, wraps, count, covey__now_ms(x->env), &error);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    covey__json_writer w;
    covey__json_writer_init(&w, &x->answer, false);
    covey__json_begin_object(&w);
    covey__json_name(&w, "skipped");
    covey__json_begin_array(&w);
    for (size_t i = 0; i < count; i++) {
        stored += wraps[i].stored;
        if (!wraps[i].stored) covey__json_put_string(&w, wraps[i].device);
    }
    covey__json_end_array(&w);
    covey__json_member_u64(&w, "stored", stored);
    covey__json_end_object(&w);
    return 200;
}

static covey_status write_key(void *user, const covey__wrap_key *key) {
    covey__json_writer *w = user;
    char hex[33];
    covey__hex(key->id, sizeof(key->id), hex);
    covey__json_begin_object(w);
    covey__json_member_string(w, "key", hex);
    covey__json_member_i64(w, "devices_wrapped", key->devices_wrapped);
    covey__json_member_i64(w, "devices_lacking", key->devices_lacking);
    covey__json_member_i64(w, "last_ms", key->last_ms);
    covey__json_end_object(w);
    return COVEY_OK;
}

int covey__api_content_keys_list(covey__exchange *x) {
    covey_error error = {0};
    covey__store *store = x->server->store;
    covey__json_writer w;
    covey__json_writer_init(&w, &x->answer, false);
    covey__json_begin_object(&w);
    covey__json_name(&w, "content_keys");
    covey__json_begin_array(&w);
    covey_status status = store->driver->wrap_each(store, write_key, &w, &error);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    covey__json_end_array(&w);
    covey__json_end_object(&w);
    return 200;
}

static const char *argument(covey__exchange *x, const char *name) {
    return MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, name);
}

static bool read_limit(const char *text, int32_t *limit) {
    size_t digits = strspn(text, "0123456789");
    *limit = 0;
    for (size_t i = 0; i < digits && i < 5; i++) *limit = *limit * 10 + (text[i] - '0');
    return text[digits] == '\0' && digits > 0 && digits <= 5 && *limit >= 1 && *limit <= PAGE_MAX;
}

typedef struct page {
    covey__json_writer w;
    int32_t count;
    char last[COVEY__DEVICE_ID_SIZE];
} page;

static covey_status write_device(void *user, const covey__wrap_device *row) {
    page *p = user;
    char hex[65];
    covey__hex(row->device_key, sizeof(row->device_key), hex);
    covey__json_begin_object(&p->w);
    covey__json_member_string(&p->w, "id", row->device);
    covey__json_member_string(&p->w, "encryption_key", row->has_key ? hex : NULL);
    covey__json_member_string(&p->w, "state",
                              !row->has_key     ? "no_key"
                              : row->is_current ? "wrapped"
                              : row->has_wrap   ? "stale"
                                                : "lacking");
    covey__json_end_object(&p->w);
    (void)snprintf(p->last, sizeof(p->last), "%s", row->device);
    p->count++;
    return COVEY_OK;
}

int covey__api_content_key_devices(covey__exchange *x) {
    covey_error error = {0};
    covey__store *store = x->server->store;
    const char *limit = argument(x, "limit"), *lacking = argument(x, "lacking");
    const char *after = argument(x, "after");
    covey__wrap_filter filter = {.after = after != NULL ? after : "",
                                 .device = argument(x, "device"),
                                 .lacking = lacking != NULL && strcmp(lacking, "1") == 0,
                                 .limit = 100};
    page p = {.count = 0};
    if (!key_id(x->parameter, filter.key)) return no_key_id(x);
    if (limit != NULL && !read_limit(limit, &filter.limit)) {
        return covey__answer_error(x, 400, "bad_request", "limit: expected 1 to %d", PAGE_MAX);
    }
    covey__json_writer_init(&p.w, &x->answer, false);
    covey__json_begin_object(&p.w);
    covey__json_name(&p.w, "devices");
    covey__json_begin_array(&p.w);
    covey_status status = store->driver->wrap_devices(store, &filter, write_device, &p, &error);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    covey__json_end_array(&p.w);
    covey__json_member_string(&p.w, "next", p.count == filter.limit ? p.last : NULL);
    covey__json_end_object(&p.w);
    return 200;
}
