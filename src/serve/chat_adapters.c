/* Adapters in requests and answers. A request names them by number and scale, as llama-server's do:
 * {"lora": [{"id": 0, "scale": 0.5}]}; those that it does not name are off. A request without the
 * member gets those that are on by default. An answer says which ones it was computed with, for the
 * ensemble's name alone does not. */
#include "serve/chat.h"

#include "base/c_locale.h"
#include "base/error.h"
#include "base/sha256.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SCALE_MAX 1000.0

static covey_status read_one(const covey__json *node, size_t number, covey_adapter_choice *out,
                             covey_error *error) {
    bool has_id = false;
    out->scale = NAN;
    if (node->kind != COVEY__JSON_OBJECT)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "lora[%zu]: expected an object with \"id\" and \"scale\"", number);
    for (const covey__json *one = node->child; one; one = one->next) {
        double value = one->kind == COVEY__JSON_NUMBER ? covey__json_to_f64(one) : NAN;
        int64_t id = -1;
        if (!strcmp(one->name, "id")) {
            has_id = one->kind == COVEY__JSON_NUMBER && covey__json_to_i64(one, &id) && id >= 0 &&
                     id <= INT32_MAX;
            out->id = has_id ? (int32_t)id : -1;
        } else if (strcmp(one->name, "scale") != 0) {
            return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                               "lora[%zu].%.32s is not supported here; leave it out", number,
                               one->name);
        } else if (!(fabs(value) <= SCALE_MAX)) {
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "lora[%zu].scale: expected a number from %g to %g", number,
                               -SCALE_MAX, SCALE_MAX);
        } else {
            out->scale = (float)value;
        }
    }
    if (has_id) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                       "lora[%zu].id: expected the number of an adapter, as GET /lora-adapters "
                       "lists them",
                       number);
}

covey_status covey__chat_adapters_read(covey__arena *arena, const covey__json *list,
                                       covey_request *out, covey_error *error) {
    if (!list) return COVEY_OK;
    if (list->kind != COVEY__JSON_ARRAY || list->size > COVEY_ADAPTERS_MAX)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "lora: expected an array of at most %d objects with \"id\" and "
                           "\"scale\"",
                           COVEY_ADAPTERS_MAX);
    covey_adapter_choice *choices = covey__arena_calloc(arena, list->size + 1, sizeof *choices);
    if (!choices) return covey__fail(error, COVEY_ERROR_LIMIT, "the request is too large");
    size_t count = 0;
    for (const covey__json *node = list->child; node; node = node->next, count++) {
        covey_status status = read_one(node, count, &choices[count], error);
        if (status) return status;
        for (size_t i = 0; i < count; i++)
            if (choices[i].id == choices[count].id)
                return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                                   "lora[%zu].id: adapter %d is named twice", count,
                                   (int)choices[count].id);
    }
    out->adapters = choices;
    out->adapter_count = count;
    return COVEY_OK;
}

covey_status covey__chat_adapters_check(const covey_request *request, covey_backend *backend,
                                        covey_error *error) {
    covey_backend_adapter adapter = COVEY_BACKEND_ADAPTER_INIT;
    for (size_t i = 0; i < request->adapter_count; i++) {
        int32_t id = request->adapters[i].id, there = 0;
        if (covey_backend_get_adapter(backend, id, &adapter)) continue;
        while (covey_backend_get_adapter(backend, there, &adapter)) there++;
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "lora[%zu].id: there is no adapter %d; there are %d, counted from 0 "
                           "(GET /lora-adapters lists them)",
                           i, (int)id, (int)there);
    }
    return COVEY_OK;
}

void covey__chat_adapters_note(covey__used_adapters *used, covey_backend *backend,
                               const covey_answer *answer) {
    used->count = 0;
    for (size_t i = 0; i < answer->adapter_count; i++) {
        covey_backend_adapter adapter = COVEY_BACKEND_ADAPTER_INIT;
        covey__used_adapter *one = &used->list[used->count];
        if (!covey_backend_get_adapter(backend, answer->adapters[i].id, &adapter)) continue;
        one->id = answer->adapters[i].id;
        one->scale = answer->adapters[i].scale;
        snprintf(one->name, sizeof one->name, "%s", adapter.name);
        covey__hex(adapter.sha256, sizeof adapter.sha256, one->sha256);
        used->count++;
    }
}

static void put_scale(covey__json_writer *json, const char *name, float scale) {
    char text[COVEY__C_DOUBLE_SIZE];
    covey__c_format_float(scale, text);
    covey__json_name(json, name);
    covey__json_put_raw(json, text, strlen(text));
}

void covey__chat_adapters_put_used(covey__json_writer *json, const covey__used_adapters *used) {
    covey__json_name(json, "adapters");
    covey__json_begin_array(json);
    for (size_t i = 0; i < used->count; i++) {
        covey__json_begin_object(json);
        covey__json_member_i64(json, "id", used->list[i].id);
        covey__json_member_string(json, "name", used->list[i].name);
        put_scale(json, "scale", used->list[i].scale);
        covey__json_member_string(json, "sha256", used->list[i].sha256);
        covey__json_end_object(json);
    }
    covey__json_end_array(json);
}

void covey__chat_adapters_put_offers(covey__json_writer *json, covey_backend *backend) {
    covey_backend_adapter adapter = COVEY_BACKEND_ADAPTER_INIT;
    covey__json_begin_array(json);
    for (int32_t id = 0; covey_backend_get_adapter(backend, id, &adapter); id++) {
        char hex[65];
        covey__hex(adapter.sha256, sizeof adapter.sha256, hex);
        covey__json_begin_object(json);
        covey__json_member_i64(json, "id", id);
        covey__json_member_string(json, "path", adapter.name);
        put_scale(json, "scale", adapter.on_request ? 0.0f : adapter.scale);
        covey__json_member_bool(json, "on_request", adapter.on_request);
        put_scale(json, "request_scale", adapter.scale);
        covey__json_member_string(json, "sha256", hex);
        covey__json_end_object(json);
    }
    covey__json_end_array(json);
}
