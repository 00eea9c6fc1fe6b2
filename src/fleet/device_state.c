/* A device's account of itself. What is kept is written anew from the members that are known here,
 * each bounded, so that no device can make its row large or smuggle anything into the API's
 * answers.
 *
 * Neighbours: api_device.c; store.h keeps the JSON; api_admin.c shows it.
 */
#include "fleet/device_state.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/semver.h"
#include "base/sha256.h"
#include "bundle/manifest.h"
#include "fleet/cohort.h"

static const char *const slot_names[] = {"builtin", "current", "previous", "staged"};

/* A text member, cut to `bytes_max`; absent or of another kind leaves it out. */
static void copy_text(covey__json_writer *w, const covey__json *from, const char *name,
                      size_t bytes_max) {
    const covey__json *value = covey__json_get(from, name);
    if (value == NULL || value->kind != COVEY__JSON_STRING) return;
    covey__json_name(w, name);
    covey__json_put_text(w, value->text, value->size < bytes_max ? value->size : bytes_max);
}

static void copy_number(covey__json_writer *w, const covey__json *from, const char *name) {
    const covey__json *value = covey__json_get(from, name);
    int64_t number;
    if (value == NULL || value->kind != COVEY__JSON_NUMBER) return;
    if (covey__json_to_i64(value, &number)) covey__json_member_i64(w, name, number);
}

static covey_status read_class(const covey__json *device, covey__device_state *state,
                               covey_error *error) {
    const char *name;
    covey_status status = covey__json_string(device, "class", "device.class", &name, error);
    if (status != COVEY_OK) return status;
    state->device_class = covey__class_parse(name);
    if (state->device_class >= 0) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_FORMAT,
                       "device.class: expected tiny, small, medium or large");
}

/* One slot into the JSON; its name and version come back when it holds one. */
static covey_status copy_slot(covey__json_writer *w, const covey__json *slots, const char *which,
                              const char **name, const char **version, const char **variant,
                              covey_error *error) {
    const covey__json *slot = covey__json_get(slots, which);
    char path[48];
    *name = *version = *variant = "";
    covey__json_name(w, which);
    if (slot == NULL || slot->kind == COVEY__JSON_NULL) {
        covey__json_put_null(w);
        return COVEY_OK;
    }
    (void)snprintf(path, sizeof(path), "slots.%s.name", which);
    covey_status status = covey__json_string(slot, "name", path, name, error);
    if (status != COVEY_OK) return status;
    (void)snprintf(path, sizeof(path), "slots.%s.version", which);
    status = covey__json_string(slot, "version", path, version, error);
    if (status != COVEY_OK) return status;
    if (!covey__ensemble_name_valid(*name) || !covey__semver_valid(*version) ||
        strlen(*version) >= COVEY__RELEASE_NAME_SIZE) {
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "slots.%s: expected a name and a semantic version", which);
    }
    covey__json_begin_object(w);
    covey__json_member_string(w, "name", *name);
    covey__json_member_string(w, "version", *version);
    copy_text(w, slot, "variant", 64);
    const covey__json *node = covey__json_get(slot, "variant");
    if (node != NULL && node->kind == COVEY__JSON_STRING && covey__ensemble_name_valid(node->text))
        *variant = node->text;
    copy_text(w, slot, "digest", 64);
    copy_text(w, slot, "state", 16);
    covey__json_end_object(w);
    return COVEY_OK;
}

static covey_status copy_slots(covey__json_writer *w, const covey__json *root,
                               covey__device_state *state, covey_error *error) {
    const covey__json *slots = covey__json_get(root, "slots");
    const char *name, *version, *variant;
    covey__json_name(w, "slots");
    covey__json_begin_object(w);
    for (size_t i = 0; i < sizeof(slot_names) / sizeof(slot_names[0]); i++) {
        covey_status status = copy_slot(w, slots, slot_names[i], &name, &version, &variant, error);
        if (status != COVEY_OK) return status;
        /* What it serves: current where there is one, else what came with the app. */
        if (i <= 1 && name[0] != '\0') {
            state->name = name;
            state->version = version;
            state->variant = variant;
        }
    }
    covey__json_end_object(w);
    return COVEY_OK;
}

static covey_status read_refused(const covey__json *root, covey__device_state *state,
                                 covey_error *error) {
    const covey__json *list = covey__json_get(root, "refused");
    char name[COVEY__RELEASE_NAME_SIZE], version[COVEY__RELEASE_NAME_SIZE];
    if (list == NULL || list->kind == COVEY__JSON_NULL) return COVEY_OK;
    if (list->kind != COVEY__JSON_ARRAY || list->size > COVEY__REFUSED_COUNT_MAX) {
        return covey__fail(error, COVEY_ERROR_FORMAT, "refused: expected a list of at most %d",
                           COVEY__REFUSED_COUNT_MAX);
    }
    state->refused_said = true;
    for (const covey__json *each = list->child; each != NULL; each = each->next) {
        if (each->kind != COVEY__JSON_STRING || !covey__release_split(each->text, name, version)) {
            return covey__fail(error, COVEY_ERROR_FORMAT, "refused[%zu]: expected name@version",
                               state->refused_count);
        }
        state->refused[state->refused_count++] = each->text;
    }
    return COVEY_OK;
}

static covey_status read_encryption_key(const covey__json *root, covey__device_state *state,
                                        covey_error *error) {
    const char *hex;
    if (covey__json_get(root, "encryption_key") == NULL) return COVEY_OK;
    covey_status status = covey__json_string(root, "encryption_key", "encryption_key", &hex, error);
    if (status != COVEY_OK) return status;
    state->has_encryption_key = covey__unhex(hex, strlen(hex), state->encryption_key, 32);
    if (state->has_encryption_key) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_FORMAT, "encryption_key: expected 64 hex digits");
}

covey_status covey__device_state_read(const covey__json *root, covey__buffer *out,
                                      covey__device_state *state, covey_error *error) {
    const covey__json *device;
    covey__json_writer w;
    *state = (covey__device_state){.name = "", .version = "", .variant = ""};
    covey_status status =
        covey__json_member(root, "device", "device", COVEY__JSON_OBJECT, &device, error);
    if (status == COVEY_OK) status = read_class(device, state, error);
    if (status == COVEY_OK) status = read_refused(root, state, error);
    if (status == COVEY_OK) status = read_encryption_key(root, state, error);
    if (status != COVEY_OK) return status;
    covey__json_writer_init(&w, out, false);
    covey__json_begin_object(&w);
    covey__json_member_string(&w, "class", covey__class_name(state->device_class));
    copy_text(&w, device, "os", 31);
    copy_text(&w, device, "os_version", 31);
    copy_text(&w, device, "architecture", 15);
    copy_text(&w, device, "isa", 15);
    copy_text(&w, device, "cpu", 63);
    copy_number(&w, device, "core_count");
    copy_number(&w, device, "memory_total_bytes");
    copy_number(&w, device, "storage_available_bytes");
    copy_text(&w, root, "app_version", 64);
    copy_text(&w, root, "library_version", 64);
    const covey__json *paused = covey__json_get(root, "paused");
    if (paused != NULL && paused->kind == COVEY__JSON_BOOL && paused->boolean)
        covey__json_member_bool(&w, "paused", true);
    status = copy_slots(&w, root, state, error);
    if (status != COVEY_OK) return status;
    covey__json_end_object(&w);
    status = covey__buffer_check(out, error, "device state");
    state->json = out->data;
    return status;
}
