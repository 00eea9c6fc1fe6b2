/* The device's policy: its reader and the decisions that it makes. A policy only holds
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
        .update_give_up_previous = true,
        .update_battery_min_percent = 20,
        .update_thermal_max_percent = 80,
        .drain_deadline_ms = 10 * 60 * 1000,
        .trial_answers = 32,
        .trial_time_ms = 10 * 60 * 1000,
        .trial_slower_max_percent = 200,
        .trial_busy_max_percent = 25,
        .features_all = true,
        .consent_ask = true,
        .degrade_to = COVEY__DEGRADE_BUILTIN,
    };
}

static const char *const degrade_names[] = {"off", "builtin", "cloud"};
static const char *const leaves_names[] = {"never", "redacted", "all"};

const char *covey__degrade_name(covey__degrade degrade) {
    return degrade_names[degrade];
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

bool covey__mirror_valid(const char *url) {
    size_t size = strlen(url);
    if (size >= COVEY__MIRROR_SIZE || strpbrk(url, "\"<>\\@?#") != NULL) return false;
    for (size_t i = 0; i < size; i++)
        if (url[i] <= ' ' || url[i] > '~') return false;
    size_t scheme = strncmp(url, "https://", 8) == 0 ? 8 : strncmp(url, "http://", 7) == 0 ? 7 : 0;
    return scheme != 0 && url[scheme] != '\0' && url[scheme] != '/';
}

static covey_status read_mirror(const covey__json *update, covey__policy *policy,
                                covey_error *error) {
    const char *url = NULL;
    if (covey__json_get(update, "mirror") == NULL) return COVEY_OK;
    covey_status status = covey__json_string(update, "mirror", "update.mirror", &url, error);
    if (status != COVEY_OK) return status;
    if (!covey__mirror_valid(url))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "update.mirror: expected an address such as https://cache.lan/blobs, "
                           "without user or query");
    snprintf(policy->update_mirror, sizeof policy->update_mirror, "%s", url);
    return COVEY_OK;
}

static covey_status parse_update(const covey__json *update, covey__policy *policy,
                                 covey_error *error) {
    static const char *const names[] = {"enabled",
                                        "on_metered",
                                        "metered_bytes_max",
                                        "only_charging",
                                        "give_up_previous",
                                        "battery_min_percent",
                                        "thermal_max_percent",
                                        "rate_bytes_per_second_max",
                                        "mirror",
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
        status = optional_bool(update, "give_up_previous", "update.give_up_previous",
                               &policy->update_give_up_previous, error);
    if (status == COVEY_OK)
        status = optional_i64(update, "battery_min_percent", "update.battery_min_percent", 100,
                              &battery, error);
    if (status == COVEY_OK)
        status = optional_i64(update, "thermal_max_percent", "update.thermal_max_percent", 100,
                              &thermal, error);
    if (status == COVEY_OK)
        status =
            optional_i64(update, "rate_bytes_per_second_max", "update.rate_bytes_per_second_max",
                         COVEY__POLICY_RATE_MAX, &policy->update_rate_bytes_per_second_max, error);
    if (status == COVEY_OK) status = read_mirror(update, policy, error);
    policy->update_battery_min_percent = (int32_t)battery;
    policy->update_thermal_max_percent = (int32_t)thermal;
    return status;
}

/* One of three words. */
static covey_status read_word(const covey__json *node, const char *path, const char *const names[3],
                              int *out, covey_error *error) {
    for (int i = 0; i < 3; i++)
        if (node->kind == COVEY__JSON_STRING && strcmp(node->text, names[i]) == 0) {
            *out = i;
            return COVEY_OK;
        }
    return covey__fail(error, COVEY_ERROR_FORMAT, "%s: \"%s\", \"%s\" or \"%s\" expected", path,
                       names[0], names[1], names[2]);
}

static bool name_valid(const char *text, size_t size, size_t size_max, const char *others) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    if (size == 0 || size > size_max) return false;
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\0' || (!strchr(plain, text[i]) && !strchr(others, text[i]))) return false;
    return true;
}

bool covey__feature_valid(const char *name) {
    return name_valid(name, strlen(name), COVEY__FEATURE_SIZE - 1, "._-");
}

/* A list of names into rows of `row_size` bytes. */
static covey_status read_names(const covey__json *object, const char *name, const char *path,
                               char *rows, size_t row_size, int32_t count_max, const char *others,
                               int32_t *count, covey_error *error) {
    const covey__json *list;
    if (covey__json_get(object, name) == NULL) return COVEY_OK;
    covey_status status = covey__json_member(object, name, path, COVEY__JSON_ARRAY, &list, error);
    if (status != COVEY_OK) return status;
    if (list->size > (size_t)count_max)
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s: at most %" PRId32 " expected", path,
                           count_max);
    for (const covey__json *item = list->child; item != NULL; item = item->next) {
        if (item->kind != COVEY__JSON_STRING ||
            !name_valid(item->text, item->size, row_size - 1, others))
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "%s: names of 1 to %zu letters, digits and \"%s\" expected", path,
                               row_size - 1, others);
        memcpy(rows + (size_t)*count * row_size, item->text, item->size + 1);
        (*count)++;
    }
    return COVEY_OK;
}

static covey_status parse_features(const covey__json *section, covey__policy *policy,
                                   covey_error *error) {
    static const char *const names[] = {"all", "off", NULL};
    covey_status status = covey__json_only(section, "features", names, error);
    if (status == COVEY_OK)
        status = optional_bool(section, "all", "features.all", &policy->features_all, error);
    if (status == COVEY_OK)
        status =
            read_names(section, "off", "features.off", policy->features_off[0], COVEY__FEATURE_SIZE,
                       COVEY__POLICY_FEATURES_MAX, "._-", &policy->feature_off_count, error);
    return status;
}

static covey_status parse_degrade(const covey__json *section, covey__policy *policy,
                                  covey_error *error) {
    static const char *const names[] = {"to", "features", NULL};
    const covey__json *to = covey__json_get(section, "to"), *list = NULL;
    int word = COVEY__DEGRADE_BUILTIN;
    covey_status status = covey__json_only(section, "degrade", names, error);
    if (status == COVEY_OK && to != NULL)
        status = read_word(to, "degrade.to", degrade_names, &word, error);
    if (status == COVEY_OK && covey__json_get(section, "features") != NULL)
        status = covey__json_member(section, "features", "degrade.features", COVEY__JSON_OBJECT,
                                    &list, error);
    if (status != COVEY_OK) return status;
    policy->has_degrade = to != NULL;
    policy->degrade_to = (covey__degrade)word;
    for (const covey__json *item = list ? list->child : NULL; item != NULL; item = item->next) {
        if (policy->degrade_feature_count == COVEY__POLICY_FEATURES_MAX ||
            !name_valid(item->name, item->name_size, COVEY__FEATURE_SIZE - 1, "._-"))
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "degrade.features: at most %d names of 1 to 64 letters, digits and "
                               "\"._-\" expected",
                               COVEY__POLICY_FEATURES_MAX);
        status = read_word(item, "degrade.features", degrade_names, &word, error);
        if (status != COVEY_OK) return status;
        memcpy(policy->degrade_features[policy->degrade_feature_count].name, item->name,
               item->name_size + 1);
        policy->degrade_features[policy->degrade_feature_count++].to = (covey__degrade)word;
    }
    return COVEY_OK;
}

static covey_status parse_leaves(const covey__json *section, covey__policy *policy,
                                 covey_error *error) {
    static const char *const names[] = {"words", "numbers", "to", NULL};
    const covey__json *words = covey__json_get(section, "words");
    int word = COVEY__LEAVES_NEVER;
    covey_status status = covey__json_only(section, "leaves", names, error);
    if (status == COVEY_OK && words != NULL)
        status = read_word(words, "leaves.words", leaves_names, &word, error);
    policy->leaves_words = (covey__leaves)word;
    if (status == COVEY_OK)
        status =
            optional_bool(section, "numbers", "leaves.numbers", &policy->leaves_numbers, error);
    if (status == COVEY_OK)
        status = read_names(section, "to", "leaves.to", policy->leaves_to[0], COVEY__HOST_SIZE,
                            COVEY__POLICY_HOSTS_MAX, ".:_-", &policy->leaves_to_count, error);
    return status;
}

static covey_status parse_drain(const covey__json *section, covey__policy *policy,
                                covey_error *error) {
    static const char *const names[] = {"deadline_ms", NULL};
    covey_status status = covey__json_only(section, "drain", names, error);
    if (status != COVEY_OK) return status;
    return optional_i64(section, "deadline_ms", "drain.deadline_ms", INT64_C(7) * 24 * 3600 * 1000,
                        &policy->drain_deadline_ms, error);
}

static covey_status parse_trial(const covey__json *section, covey__policy *policy,
                                covey_error *error) {
    static const char *const names[] = {"answers", "time_ms", "slower_max_percent",
                                        "busy_max_percent", NULL};
    int64_t answers = policy->trial_answers, slower = policy->trial_slower_max_percent;
    int64_t busy = policy->trial_busy_max_percent;
    covey_status status = covey__json_only(section, "trial", names, error);
    if (status == COVEY_OK)
        status = optional_i64(section, "answers", "trial.answers", 1000000, &answers, error);
    if (status == COVEY_OK)
        status = optional_i64(section, "time_ms", "trial.time_ms", INT64_C(7) * 24 * 3600 * 1000,
                              &policy->trial_time_ms, error);
    if (status == COVEY_OK)
        status = optional_i64(section, "slower_max_percent", "trial.slower_max_percent", 100000,
                              &slower, error);
    if (status == COVEY_OK)
        status =
            optional_i64(section, "busy_max_percent", "trial.busy_max_percent", 100, &busy, error);
    policy->trial_busy_max_percent = (int32_t)busy;
    policy->trial_answers = (int32_t)answers;
    policy->trial_slower_max_percent = (int32_t)slower;
    policy->has_trial = true;
    return status;
}

static covey_status parse_consent(const covey__json *section, covey__policy *policy,
                                  covey_error *error) {
    static const char *const names[] = {"ask", NULL};
    covey_status status = covey__json_only(section, "consent", names, error);
    if (status != COVEY_OK) return status;
    return optional_bool(section, "ask", "consent.ask", &policy->consent_ask, error);
}

static covey_status parse_root(const covey__json *root, covey__policy *policy, covey_error *error) {
    static const char *const names[] = {"format", "update",  "drain", "features", "degrade",
                                        "leaves", "consent", "trial", NULL};
    static covey_status (*const readers[])(const covey__json *, covey__policy *, covey_error *) = {
        parse_update, parse_drain,   parse_features, parse_degrade,
        parse_leaves, parse_consent, parse_trial};
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
    for (size_t i = 0; status == COVEY_OK && i < sizeof readers / sizeof *readers; i++) {
        if (covey__json_get(root, names[i + 1]) == NULL) continue;
        status = covey__json_member(root, names[i + 1], names[i + 1], COVEY__JSON_OBJECT, &section,
                                    error);
        if (status == COVEY_OK) status = readers[i](section, policy, error);
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

static void write_features(const covey__policy *policy, covey__json_writer *writer) {
    covey__json_name(writer, "features");
    covey__json_begin_object(writer);
    covey__json_member_bool(writer, "all", policy->features_all);
    covey__json_name(writer, "off");
    covey__json_begin_array(writer);
    for (int32_t i = 0; i < policy->feature_off_count; i++)
        covey__json_put_string(writer, policy->features_off[i]);
    covey__json_end_array(writer);
    covey__json_end_object(writer);
}

/* What is not said stays unsaid: it would narrow what the ensemble says. */
static void write_degrade(const covey__policy *policy, covey__json_writer *writer) {
    if (!policy->has_degrade && policy->degrade_feature_count == 0) return;
    covey__json_name(writer, "degrade");
    covey__json_begin_object(writer);
    if (policy->has_degrade)
        covey__json_member_string(writer, "to", degrade_names[policy->degrade_to]);
    covey__json_name(writer, "features");
    covey__json_begin_object(writer);
    for (int32_t i = 0; i < policy->degrade_feature_count; i++)
        covey__json_member_string(writer, policy->degrade_features[i].name,
                                  degrade_names[policy->degrade_features[i].to]);
    covey__json_end_object(writer);
    covey__json_end_object(writer);
}

static void write_leaves(const covey__policy *policy, covey__json_writer *writer) {
    covey__json_name(writer, "leaves");
    covey__json_begin_object(writer);
    covey__json_member_string(writer, "words", leaves_names[policy->leaves_words]);
    covey__json_member_bool(writer, "numbers", policy->leaves_numbers);
    covey__json_name(writer, "to");
    covey__json_begin_array(writer);
    for (int32_t i = 0; i < policy->leaves_to_count; i++)
        covey__json_put_string(writer, policy->leaves_to[i]);
    covey__json_end_array(writer);
    covey__json_end_object(writer);
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
    covey__json_member_bool(&writer, "give_up_previous", policy->update_give_up_previous);
    covey__json_member_i64(&writer, "battery_min_percent", policy->update_battery_min_percent);
    covey__json_member_i64(&writer, "thermal_max_percent", policy->update_thermal_max_percent);
    if (policy->update_rate_bytes_per_second_max > 0)
        covey__json_member_i64(&writer, "rate_bytes_per_second_max",
                               policy->update_rate_bytes_per_second_max);
    if (policy->update_mirror[0])
        covey__json_member_string(&writer, "mirror", policy->update_mirror);
    covey__json_end_object(&writer);
    covey__json_name(&writer, "drain");
    covey__json_begin_object(&writer);
    covey__json_member_i64(&writer, "deadline_ms", policy->drain_deadline_ms);
    covey__json_end_object(&writer);
    if (policy->has_trial) {
        covey__json_name(&writer, "trial");
        covey__json_begin_object(&writer);
        covey__json_member_i64(&writer, "answers", policy->trial_answers);
        covey__json_member_i64(&writer, "time_ms", policy->trial_time_ms);
        covey__json_member_i64(&writer, "slower_max_percent", policy->trial_slower_max_percent);
        covey__json_member_i64(&writer, "busy_max_percent", policy->trial_busy_max_percent);
        covey__json_end_object(&writer);
    }
    write_features(policy, &writer);
    write_degrade(policy, &writer);
    write_leaves(policy, &writer);
    covey__json_name(&writer, "consent");
    covey__json_begin_object(&writer);
    covey__json_member_bool(&writer, "ask", policy->consent_ask);
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
    if (!policy->features_all) {
        decide(decision, false, "features.all", "the model is switched off on this device");
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

/* ---- What the user switched off ---- */

static int32_t find_off(const covey__policy *user, const char *feature) {
    for (int32_t i = 0; i < user->feature_off_count; i++)
        if (strcmp(user->features_off[i], feature) == 0) return i;
    return -1;
}

bool covey__policy_opted_out(const covey__policy *user, const char *product, const char *feature) {
    if (!user->features_all && product[0] != '\0' && strcmp(feature, product) == 0) return true;
    return find_off(user, feature) >= 0;
}

covey_status covey__policy_set_feature(covey__policy *user, const char *feature, bool off,
                                       covey_error *error) {
    int32_t at = find_off(user, feature);
    if (!covey__feature_valid(feature))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "policy: a feature's name has 1 to 64 letters, digits, '.', '_', '-'");
    if (off == (at >= 0)) return COVEY_OK;
    if (!off) {
        int32_t last = --user->feature_off_count;
        if (at != last)
            memcpy(user->features_off[at], user->features_off[last], COVEY__FEATURE_SIZE);
        return COVEY_OK;
    }
    if (user->feature_off_count == COVEY__POLICY_FEATURES_MAX)
        return covey__fail(error, COVEY_ERROR_LIMIT, "policy: at most %d features can be off",
                           COVEY__POLICY_FEATURES_MAX);
    snprintf(user->features_off[user->feature_off_count++], COVEY__FEATURE_SIZE, "%s", feature);
    return COVEY_OK;
}

/* What one document says of a feature; false when it says nothing. */
static bool says_degrade(const covey__policy *policy, const char *feature, covey__degrade *out) {
    for (int32_t i = 0; i < policy->degrade_feature_count; i++)
        if (strcmp(policy->degrade_features[i].name, feature) == 0) {
            *out = policy->degrade_features[i].to;
            return true;
        }
    *out = policy->degrade_to;
    return policy->has_degrade;
}

covey__degrade covey__policy_degrade(const covey__policy *user, const covey__policy *ensemble,
                                     const char *feature, bool has_builtin) {
    covey__degrade to = COVEY__DEGRADE_BUILTIN, users;
    if (ensemble != NULL && !says_degrade(ensemble, feature, &to)) to = COVEY__DEGRADE_BUILTIN;
    if (says_degrade(user, feature, &users) && users < to) to = users;
    return to == COVEY__DEGRADE_BUILTIN && !has_builtin ? COVEY__DEGRADE_OFF : to;
}
