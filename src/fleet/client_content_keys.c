/* Giving devices the content key of private ensembles, on the publisher's machine. The key stays
 * here: what goes to the control plane is sealed to one device each.
 *
 * The control plane says which devices there are and what their keys are, so one in a thief's hands
 * could name a key of its own (docs/security.md); a device's key that is known from elsewhere can
 * be asked for by value.
 *
 * Neighbours: trust/envelope.h wraps; api_content_keys.c is the other side.
 */
#include <string.h>

#include "base/error.h"
#include "base/sha256.h"
#include "fleet/client.h"
#include "trust/envelope.h"

#define ANSWER_BYTES_MAX (4u << 20)
#define PAGE             500

typedef struct wrapping {
    covey_fleet_client *client;
    const covey__content_key *key;
    const covey_fleet_wrap_options *options;
    covey_fleet_wrapped done;
    char after[80]; /* the last device of the page before; "" at the end */
} wrapping;

static bool is_plain(const char *id) {
    return id[0] != '\0' && strlen(id) <= 64 && strspn(id, "0123456789abcdef") == strlen(id);
}

/* One device of the list into the request, when it can be wrapped for. */
static covey_status add_wrap(wrapping *w, const covey__json *device, covey__json_writer *out,
                             size_t *count, covey_error *error) {
    const char *id, *hex;
    uint8_t key[32], expected[32], wrapped[COVEY__WRAPPED_KEY_BYTES];
    char text[2 * COVEY__WRAPPED_KEY_BYTES + 1];
    const covey__json *named = covey__json_get(device, "encryption_key");
    covey_status status = covey__json_string(device, "id", "id", &id, error);
    if (status != COVEY_OK) return status;
    if (named == NULL || named->kind == COVEY__JSON_NULL) {
        w->done.without_key++;
        return COVEY_OK;
    }
    status = covey__json_string(device, "encryption_key", "encryption_key", &hex, error);
    if (status != COVEY_OK) return status;
    if (!covey__unhex(hex, strlen(hex), key, sizeof(key)) || !is_plain(id)) {
        return covey__fail(error, COVEY_ERROR_FORMAT, "a device's id or key is malformed");
    }
    if (w->options->device_key != NULL &&
        (!covey__unhex(w->options->device_key, strlen(w->options->device_key), expected, 32) ||
         memcmp(key, expected, 32) != 0)) {
        return covey__fail(error, COVEY_ERROR_REFUSED,
                           "device %s has the key %s by the control plane, not the one that was "
                           "expected",
                           id, hex);
    }
    status = covey__content_key_wrap(w->client->env, w->key, id, key, wrapped, error);
    if (status != COVEY_OK) return status;
    covey__hex(wrapped, sizeof(wrapped), text);
    covey__json_begin_object(out);
    covey__json_member_string(out, "device", id);
    covey__json_member_string(out, "device_key", hex);
    covey__json_member_string(out, "wrapped", text);
    covey__json_end_object(out);
    (*count)++;
    return COVEY_OK;
}

static covey_status send_wraps(wrapping *w, const covey__buffer *body, covey__arena *arena,
                               covey_error *error) {
    covey__buffer answer;
    const covey__json *root;
    int64_t stored = 0;
    covey__buffer_init(&answer, w->client->env, ANSWER_BYTES_MAX);
    covey_status status = covey__buffer_check(body, error, "request");
    if (status == COVEY_OK) {
        status = covey__fleet_call(w->client, "POST", "/v1/content-keys", body->data, body->size,
                                   &answer, NULL, error);
    }
    if (status == COVEY_OK) {
        status = covey__json_parse(arena, answer.data != NULL ? answer.data : "", answer.size,
                                   COVEY__JSON_LIMITS_DEFAULT, &root, error);
    }
    if (status == COVEY_OK) {
        status = covey__json_i64(root, "stored", "stored", 0, INT64_MAX, &stored, error);
    }
    w->done.wrapped += (uint64_t)stored;
    covey__buffer_free(&answer);
    return status;
}

static covey_status wrap_page(wrapping *w, const covey__json *root, covey__arena *arena,
                              covey_error *error) {
    const covey__json *list;
    covey__buffer body;
    covey__json_writer out;
    char id[33];
    size_t count = 0;
    uint64_t before = w->done.wrapped;
    covey__hex(w->key->id, sizeof(w->key->id), id);
    covey_status status =
        covey__json_member(root, "devices", "devices", COVEY__JSON_ARRAY, &list, error);
    if (status != COVEY_OK) return status;
    covey__buffer_init(&body, w->client->env, ANSWER_BYTES_MAX);
    covey__json_writer_init(&out, &body, false);
    covey__json_begin_object(&out);
    covey__json_member_string(&out, "key", id);
    covey__json_name(&out, "wraps");
    covey__json_begin_array(&out);
    for (const covey__json *d = list->child; d != NULL && status == COVEY_OK; d = d->next) {
        status = add_wrap(w, d, &out, &count, error);
    }
    covey__json_end_array(&out);
    covey__json_end_object(&out);
    w->done.devices += list->size;
    if (status == COVEY_OK && count > 0) status = send_wraps(w, &body, arena, error);
    w->done.skipped += count - (size_t)(w->done.wrapped - before);
    covey__buffer_free(&body);
    return status;
}

static covey_status next_page(wrapping *w, covey_error *error) {
    char id[33];
    const covey_fleet_wrap_options *o = w->options;
    covey__arena arena;
    covey__buffer answer;
    const covey__json *root, *next;
    covey_fleet_client *client = w->client;
    covey__hex(w->key->id, sizeof(w->key->id), id);
    char *path =
        o->device != NULL
            ? covey__format(client->env, "/v1/content-keys/%s/devices?device=%s", id, o->device)
            : covey__format(client->env, "/v1/content-keys/%s/devices?lacking=1&limit=%d&after=%s",
                            id, PAGE, w->after);
    if (path == NULL) return covey__no_memory(error, "path", 0);
    covey__arena_init(&arena, client->env, 64u << 20);
    covey__buffer_init(&answer, client->env, ANSWER_BYTES_MAX);
    covey_status status = covey__fleet_call(client, "GET", path, NULL, 0, &answer, NULL, error);
    if (status == COVEY_OK) {
        status = covey__json_parse(&arena, answer.data != NULL ? answer.data : "", answer.size,
                                   COVEY__JSON_LIMITS_DEFAULT, &root, error);
    }
    if (status == COVEY_OK) status = wrap_page(w, root, &arena, error);
    char last[sizeof(w->after)];
    memcpy(last, w->after, sizeof(last));
    w->after[0] = '\0';
    if (status == COVEY_OK && (next = covey__json_get(root, "next")) != NULL &&
        next->kind == COVEY__JSON_STRING && is_plain(next->text) && strcmp(next->text, last) > 0) {
        memcpy(w->after, next->text, strlen(next->text) + 1);
    }
    covey__buffer_free(&answer);
    covey__arena_free(&arena);
    covey__free(client->env, path);
    return status;
}

covey_status covey_fleet_content_key_wrap(covey_fleet_client *client,
                                          const covey_fleet_wrap_options *options,
                                          covey_fleet_wrapped *wrapped, covey_error *error) {
    covey_fleet_wrap_options full = COVEY_FLEET_WRAP_OPTIONS_INIT;
    covey__content_key key;
    memcpy(&full, options, options->size < sizeof(full) ? options->size : sizeof(full));
    if (full.key_file == NULL || (full.device != NULL && !is_plain(full.device)) ||
        (full.device_key != NULL && full.device == NULL)) {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "content key: expected its file, and a device's id or none");
    }
    wrapping w = {.client = client, .key = &key, .options = &full};
    w.done.size = sizeof(w.done);
    covey_status status = covey__content_key_read(client->env, full.key_file, &key, error);
    if (status != COVEY_OK) return status;
    do {
        status = next_page(&w, error);
    } while (status == COVEY_OK && w.after[0] != '\0');
    covey__hex(key.id, sizeof(key.id), w.done.key);
    covey__content_key_wipe(&key);
    if (status == COVEY_OK && full.device != NULL && w.done.devices == 0) {
        status = covey__fail(error, COVEY_ERROR_NOT_FOUND,
                             "device %s is not known there, or was revoked", full.device);
    }
    if (wrapped != NULL && wrapped->size >= sizeof(w.done)) *wrapped = w.done;
    return status;
}

covey_status covey_fleet_content_keys(covey_fleet_client *client, covey_fleet_format format,
                                      char **text, covey_error *error) {
    return covey__fleet_ask(client, "/v1/content-keys", COVEY__SHOWN_CONTENT_KEYS, format, text,
                            error);
}

covey_status covey_fleet_content_key_devices(covey_fleet_client *client, const char *key_id,
                                             const char *after, bool lacking,
                                             covey_fleet_format format, char **text,
                                             covey_error *error) {
    if (strlen(key_id) != 32 || !is_plain(key_id) || (after != NULL && !is_plain(after))) {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "content key: expected its id, 32 hex digits, as \"content-key list\" "
                           "prints it");
    }
    char *path =
        covey__format(client->env, "/v1/content-keys/%s/devices?limit=100&lacking=%d&after=%s",
                      key_id, lacking ? 1 : 0, after != NULL ? after : "");
    if (path == NULL) return covey__no_memory(error, "path", 0);
    covey_status status =
        covey__fleet_ask(client, path, COVEY__SHOWN_KEY_DEVICES, format, text, error);
    covey__free(client->env, path);
    return status;
}
