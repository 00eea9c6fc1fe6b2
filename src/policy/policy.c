/* The device's policy: its reader and the one decision that it makes so far. A policy only holds
 * back; a device without one runs on the defaults. Its reader is strict, unlike a manifest's: a
 * setting that is not understood would silently not be kept, so it is refused and the policy before
 * it stays. The decision is a pure function of policy, facts and size, so that a table of cases can
 * test it and a user can be told why. */
#include "policy/policy.h"

#include "base/error.h"
#include "base/json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void covey__policy_init(covey__policy *policy) {
    *policy = (covey__policy){
        .update_enabled = true,
        .update_on_metered = false,
        .update_metered_bytes_max = 0,
        .update_only_charging = false,
        .update_battery_min_percent = 20,
        .update_thermal_max_percent = 80,
        .drain_deadline_ms = 10 * 60 * 1000,
    };
}

static covey_status optional_bool(const covey__json *object, const char *name, const char *path,
                                  bool *out, covey_error *error) {
    if (covey__json_get(object, name) == NULL) return COVEY_OK;
    return covey__json_bool(object, name, path, out, error);
}

static covey_status optional_i64(const covey__json *object, const char *name, const char *path,
                                 int64_t max, int64_t *out, covey_error *error) {
    if (covey__json_get(object, name) == NULL) return COVEY_OK;
    return covey__json_i64(object, name, path, 0, max, out, error);
}

static covey_status parse_update(const covey__json *update, covey__policy *policy,
                                 covey_error *error) {
    static const char *const names[] = {"enabled",
                                        "on_metered",
                                        "metered_bytes_max",
                                        "only_charging",
                                        "battery_min_percent",
                                        "thermal_max_percent",
                                        NULL};
    int64_t battery = policy->update_battery_min_percent;
    int64_t thermal = policy->update_thermal_max_percent;
    covey_status status = covey__json_only(update, "update", names, error);
    if (status == COVEY_OK)
        status = optional_bool(update, "enabled", "update.enabled", &policy->update_enabled, error);
    if (status == COVEY_OK)
        status = optional_bool(update, "on_metered", "update.on_metered",
                               &policy->update_on_metered, error);
    if (status == COVEY_OK)
        status = optional_i64(update, "metered_bytes_max", "update.metered_bytes_max",
                              INT64_C(1) << 50, &policy->update_metered_bytes_max, error);
    if (status == COVEY_OK)
        status = optional_bool(update, "only_charging", "update.only_charging",
                               &policy->update_only_charging, error);
    if (status == COVEY_OK)
        status = optional_i64(update, "battery_min_percent", "update.battery_min_percent", 100,
                              &battery, error);
    if (status == COVEY_OK)
        status = optional_i64(update, "thermal_max_percent", "update.thermal_max_percent", 100,
                              &thermal, error);
    policy->update_battery_min_percent = (int32_t)battery;
    policy->update_thermal_max_percent = (int32_t)thermal;
    return status;
}

static covey_status parse_root(const covey__json *root, covey__policy *policy, covey_error *error) {
    static const char *const names[] = {"format", "update", "drain", NULL};
    static const char *const drain_names[] = {"deadline_ms", NULL};
    const covey__json *section;
    int64_t format;
    if (root->kind != COVEY__JSON_OBJECT)
        return covey__fail(error, COVEY_ERROR_FORMAT, "an object expected");
    covey_status status = covey__json_i64(root, "format", "format", 1, INT32_MAX, &format, error);
    if (status != COVEY_OK) return status;
    if (format != 1)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "format: %" PRId64 " is newer than this library (%s); update the app",
                           format, COVEY_VERSION);
    status = covey__json_only(root, "policy", names, error);
    if (status == COVEY_OK && covey__json_get(root, "update") != NULL) {
        status = covey__json_member(root, "update", "update", COVEY__JSON_OBJECT, &section, error);
        if (status == COVEY_OK) status = parse_update(section, policy, error);
    }
    if (status == COVEY_OK && covey__json_get(root, "drain") != NULL) {
        status = covey__json_member(root, "drain", "drain", COVEY__JSON_OBJECT, &section, error);
        if (status == COVEY_OK) status = covey__json_only(section, "drain", drain_names, error);
        if (status == COVEY_OK)
            status = optional_i64(section, "deadline_ms", "drain.deadline_ms",
                                  INT64_C(7) * 24 * 3600 * 1000, &policy->drain_deadline_ms, error);
    }
    return status;
}

covey_status covey__policy_parse(const covey__env *env, const char *text, size_t size,
                                 covey__policy *policy, covey_error *error) {
    covey__arena arena;
    const covey__json *root;
    covey__policy read;
    covey__json_limits limits = {COVEY__POLICY_BYTES_MAX, 8, 256};
    covey__arena_init(&arena, env, 1u << 20);
    covey__policy_init(&read);
    covey_status status = covey__json_parse(&arena, text, size, limits, &root, error);
    if (status == COVEY_OK) status = parse_root(root, &read, error);
    covey__arena_free(&arena);
    if (status != COVEY_OK) return covey__prefix(error, status, "policy");
    *policy = read;
    return COVEY_OK;
}

covey_status covey__policy_write(const covey__policy *policy, covey__buffer *out,
                                 covey_error *error) {
    covey__json_writer writer;
    covey__json_writer_init(&writer, out, true);
    covey__json_begin_object(&writer);
    covey__json_member_i64(&writer, "format", 1);
    covey__json_name(&writer, "update");
    covey__json_begin_object(&writer);
    covey__json_member_bool(&writer, "enabled", policy->update_enabled);
    covey__json_member_bool(&writer, "on_metered", policy->update_on_metered);
    covey__json_member_i64(&writer, "metered_bytes_max", policy->update_metered_bytes_max);
    covey__json_member_bool(&writer, "only_charging", policy->update_only_charging);
    covey__json_member_i64(&writer, "battery_min_percent", policy->update_battery_min_percent);
    covey__json_member_i64(&writer, "thermal_max_percent", policy->update_thermal_max_percent);
    covey__json_end_object(&writer);
    covey__json_name(&writer, "drain");
    covey__json_begin_object(&writer);
    covey__json_member_i64(&writer, "deadline_ms", policy->drain_deadline_ms);
    covey__json_end_object(&writer);
    covey__json_end_object(&writer);
    covey__buffer_byte(out, '\n');
    return covey__buffer_check(out, error, "policy");
}

static void decide(covey__policy_decision *decision, bool allowed, const char *rule,
                   const char *format, ...) COVEY_PRINTF(4, 5);
static void decide(covey__policy_decision *decision, bool allowed, const char *rule,
                   const char *format, ...) {
    va_list list;
    decision->allowed = allowed;
    decision->rule = rule;
    va_start(list, format);
    vsnprintf(decision->reason, sizeof decision->reason, format, list);
    va_end(list);
}

/* Whether power and heat allow work now. */
static bool body_allows(const covey__policy *policy, const covey_device_facts *facts,
                        covey__policy_decision *decision) {
    bool has_battery = facts->battery_percent >= 0;
    if (policy->update_only_charging && has_battery && facts->charging == 0) {
        decide(decision, false, "update.only_charging",
               "updates wait until the device is charging");
        return false;
    }
    if (has_battery && facts->charging != 1 &&
        facts->battery_percent < policy->update_battery_min_percent) {
        decide(decision, false, "update.battery_min_percent",
               "the battery is at %" PRId32 " %%; updates wait for %" PRId32 " %% or a charger",
               facts->battery_percent, policy->update_battery_min_percent);
        return false;
    }
    if (facts->thermal_percent > policy->update_thermal_max_percent) {
        decide(decision, false, "update.thermal_max_percent",
               "the device is hot (%" PRId32 " %% of the way to its limit); updates wait for "
               "%" PRId32 " %%",
               facts->thermal_percent, policy->update_thermal_max_percent);
        return false;
    }
    return true;
}

void covey__policy_may_fetch(const covey__policy *policy, const covey_device_facts *facts,
                             uint64_t bytes, covey__policy_decision *decision) {
    if (!policy->update_enabled) {
        decide(decision, false, "update.enabled", "updates are switched off on this device");
        return;
    }
    if (!body_allows(policy, facts, decision)) return;
    /* No route out is not a reason to wait: the control plane may be on this machine. Whether it
     * can be reached is the transport's to say. */
    if (facts->network != COVEY_NETWORK_METERED || policy->update_on_metered) {
        decide(decision, true,
               facts->network == COVEY_NETWORK_METERED ? "update.on_metered" : "default",
               "nothing holds updates back");
        return;
    }
    if (bytes <= (uint64_t)policy->update_metered_bytes_max) {
        decide(decision, true, "update.metered_bytes_max",
               "%" PRIu64 " bytes are few enough for a metered network", bytes);
        return;
    }
    decide(decision, false, "update.on_metered",
           "the network is metered; %" PRIu64 " bytes wait for one that is not", bytes);
}
