/* What a key folder holds, for people and as JSON: roles, versions, keys, thresholds, expiry, and
 * which private keys are here. No key is opened.
 *
 * Neighbours: metadata_house.h has the weeks that warnings come ahead.
 */
#include "fleet/metadata_house.h"
#include "fleet/repository.h"

#include "base/error.h"
#include "base/utc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TEXT_BYTES_MAX (1u << 20)
#define DAY_MS         INT64_C(86400000)

typedef struct status_view {
    covey_fleet_keys *keys;
    covey__json_writer *w; /* NULL: text */
    covey__buffer *out;
    int64_t now_ms;
    int32_t warnings, expired;
} status_view;

static void show_key(status_view *v, const covey__tuf_key *key) {
    const covey__holder *holder = key != NULL ? covey__holder_find(v->keys, &key->key) : NULL;
    const char *id = key != NULL ? key->key.id : "unknown";
    if (v->w == NULL) {
        (void)covey__buffer_format(v->out, "    %.16s  %s%s\n", id,
                                   holder != NULL ? holder->name : "not here",
                                   holder == NULL       ? ""
                                   : holder->is_program ? " (a program)"
                                   : holder->encrypted  ? " (encrypted)"
                                                        : " (plain)");
        return;
    }
    covey__json_begin_object(v->w);
    covey__json_member_string(v->w, "id", id);
    covey__json_member_string(v->w, "file", holder != NULL ? holder->name : NULL);
    covey__json_member_bool(v->w, "encrypted", holder != NULL && holder->encrypted);
    covey__json_end_object(v->w);
}

static void show_json_head(status_view *v, const char *name, const covey__tuf_document *document,
                           const char *state) {
    covey__json_begin_object(v->w);
    covey__json_member_string(v->w, "role", name);
    covey__json_member_i64(v->w, "version", document != NULL ? document->version : 0);
    if (document != NULL) {
        char at[COVEY__UTC_SIZE];
        covey__utc_format(document->expires_ms, at);
        covey__json_member_string(v->w, "expires", at);
    }
    covey__json_member_string(v->w, "state", state);
}

/* `document` is NULL for timestamp and snapshot, which the control plane makes. */
static void show_role(status_view *v, const char *name, const covey__tuf_document *document,
                      const covey__tuf_role *role) {
    int64_t left_ms = document != NULL ? document->expires_ms - v->now_ms : INT64_MAX;
    const char *state = left_ms <= 0                         ? "expired"
                        : left_ms <= COVEY__METADATA_WARN_MS ? "expires-soon"
                                                             : "good";
    v->expired += left_ms <= 0;
    v->warnings += left_ms > 0 && left_ms <= COVEY__METADATA_WARN_MS;
    if (v->w != NULL) {
        show_json_head(v, name, document, state);
        covey__json_member_i64(v->w, "threshold", role->threshold);
        covey__json_name(v->w, "keys");
        covey__json_begin_array(v->w);
    } else if (document != NULL) {
        char at[COVEY__UTC_SIZE];
        covey__utc_format(document->expires_ms, at);
        (void)covey__buffer_format(
            v->out,
            "%-12s version %" PRId64 ", %" PRId64 " of %zu keys, expires %s (%" PRId64 " days)%s\n",
            name, document->version, role->threshold, role->key_count, at, left_ms / DAY_MS,
            left_ms <= 0                         ? "  EXPIRED: sign it anew"
            : left_ms <= COVEY__METADATA_WARN_MS ? "  SOON: sign it anew"
                                                 : "");
    } else {
        (void)covey__buffer_format(v->out, "%-12s made by the control plane\n", name);
    }
    for (size_t i = 0; i < role->key_count; i++) show_key(v, role->keys[i]);
    if (v->w == NULL) return;
    covey__json_end_array(v->w);
    covey__json_end_object(v->w);
}

static void show_all(status_view *v) {
    const covey__metadata_item *root = covey__metadata_item_find(v->keys->set, "root");
    const covey__metadata_item *targets = covey__metadata_item_find(v->keys->set, "targets");
    show_role(v, "root", root->document, &root->document->top[COVEY__TUF_ROOT]);
    show_role(v, "timestamp", NULL, &root->document->top[COVEY__TUF_TIMESTAMP]);
    if (targets == NULL) return;
    show_role(v, "targets", targets->document, &root->document->top[COVEY__TUF_TARGETS]);
    for (size_t i = 0; i < targets->document->role_count; i++) {
        const covey__tuf_role *role = &targets->document->roles[i];
        const covey__metadata_item *item = covey__metadata_item_find(v->keys->set, role->name);
        if (item != NULL) show_role(v, role->name, item->document, role);
    }
}

covey_status covey_fleet_keys_status(covey_fleet_keys *keys, covey_fleet_format format, char **text,
                                     int32_t *warnings, int32_t *expired, covey_error *error) {
    covey__buffer out;
    covey__json_writer w;
    covey__buffer_init(&out, keys->env, TEXT_BYTES_MAX);
    covey__json_writer_init(&w, &out, false);
    status_view v = {.keys = keys,
                     .w = format == COVEY_FLEET_JSON ? &w : NULL,
                     .out = &out,
                     .now_ms = covey__now_ms(keys->env)};
    if (v.w != NULL) {
        covey__json_begin_object(&w);
        covey__json_name(&w, "roles");
        covey__json_begin_array(&w);
    }
    show_all(&v);
    if (v.w != NULL) {
        covey__json_end_array(&w);
        covey__json_end_object(&w);
        (void)covey__buffer_byte(&out, '\n');
    }
    covey_status status = covey__buffer_check(&out, error, "status");
    if (status == COVEY_OK) {
        size_t size;
        *text = covey__buffer_take(&out, &size);
        *warnings = v.warnings;
        *expired = v.expired;
    }
    covey__buffer_free(&out);
    return status;
}
