/* Keeping house for metadata: what the control plane does about it without being asked. The clock
 * is the environment's.
 *
 * Invariant: nothing but snapshot and timestamp is ever made here. When the online key is missing
 * or wrong, devices go on with what they have until it expires, and the log says so.
 *
 * Neighbours: fleet_server.c calls this; metadata.c keeps the documents; api_metadata.c hands them
 * out; api_system.c shows the warnings.
 */
#include "fleet/metadata_house.h"

#include "base/error.h"
#include "base/utc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DAY_MS  (INT64_C(86400000))
#define LOOK_MS (INT64_C(30000))

covey_status covey__metadata_house_open(const covey__env *env, const char *folder,
                                        const char *online_key_file, covey__metadata_house *house,
                                        covey_error *error) {
    covey_status status = COVEY_OK;
    memset(house, 0, sizeof(*house));
    house->env = env;
    if (online_key_file != NULL) {
        covey__key key;
        status = covey__key_read(env, online_key_file, &key, error);
        if (status == COVEY_OK) {
            status = covey__signer_of_key(env, &key, &house->online, error);
            covey__key_wipe(&key);
        }
        if (status != COVEY_OK) return covey__prefix(error, status, "online key");
        house->has_online = true;
    }
    status = covey__metadata_open(env, folder, house->has_online ? &house->online : NULL,
                                  &house->metadata, error);
    if (status != COVEY_OK) covey__metadata_house_close(house);
    return status;
}

void covey__metadata_house_close(covey__metadata_house *house) {
    covey__metadata_close(house->metadata);
    covey__signer_close(&house->online);
    memset(house, 0, sizeof(*house));
}

/* ---- what expires -------------------------------------------------------------------------- */

typedef struct watch {
    int64_t now_ms;
    bool has_online;
    void (*each)(void *user, const char *role, const char *text);
    void *user;
} watch;

static bool is_made_here(const char *role) {
    return strcmp(role, "timestamp") == 0 || strcmp(role, "snapshot") == 0;
}

static void watch_role(void *user, const covey__metadata_role *role) {
    const watch *w = user;
    char at[COVEY__UTC_SIZE], text[240];
    int64_t left_ms = role->expires_ms - w->now_ms;
    bool online = is_made_here(role->name);
    if (role->version == 0 ||
        left_ms > (online ? COVEY__METADATA_LATE_MS : COVEY__METADATA_WARN_MS))
        return;
    covey__utc_format(role->expires_ms, at);
    const char *what = !online         ? "sign it anew (covey-fleet keys status)"
                       : w->has_online ? "it should have been renewed here: see the log"
                                       : "start the control plane with --online-key";
    if (left_ms <= 0) {
        (void)snprintf(text, sizeof(text), "%s expired at %s, devices take no update: %s",
                       role->name, at, what);
    } else {
        (void)snprintf(text, sizeof(text), "%s expires at %s, in %" PRId64 " days: %s", role->name,
                       at, left_ms / DAY_MS, what);
    }
    w->each(w->user, role->name, text);
}

void covey__metadata_house_warnings(covey__metadata_house *house, int64_t now_ms,
                                    void (*each)(void *user, const char *role, const char *text),
                                    void *user) {
    watch w = {now_ms, house->has_online, each, user};
    covey__metadata_each(house->metadata, watch_role, &w);
}

/* ---- the housekeeper's round --------------------------------------------------------------- */

static void log_warning(void *user, const char *role, const char *text) {
    const covey__metadata_house *house = user;
    (void)role;
    covey__log(house->env, COVEY_LOG_WARN, "fleet", "metadata: %s", text);
}

void covey__metadata_house_keep(covey__metadata_house *house) {
    covey_error error = {0};
    int64_t now_ms = covey__now_ms(house->env);
    /* A clock that was set back must not silence this until it has caught up. */
    bool due =
        house->looked_ms == 0 || now_ms - house->looked_ms >= LOOK_MS || now_ms < house->looked_ms;
    if (!due) return;
    house->looked_ms = now_ms;
    if (house->has_online && covey__metadata_renew(house->metadata, now_ms, &error) != COVEY_OK &&
        (house->failed_ms == 0 || now_ms - house->failed_ms >= DAY_MS / 24)) {
        house->failed_ms = now_ms;
        covey__log(house->env, COVEY_LOG_ERROR, "fleet", "the timestamp cannot be renewed: %s",
                   error.message);
    }
    if (house->warned_ms != 0 && now_ms - house->warned_ms < DAY_MS && now_ms >= house->warned_ms)
        return;
    house->warned_ms = now_ms;
    covey__metadata_house_warnings(house, now_ms, log_warning, house);
}
