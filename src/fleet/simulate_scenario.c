/* The settings of a simulated fleet: their defaults, their bounds, and the documents that change
 * them. Documents come from people; whatever is wrong is said with the member's name.
 *
 * Invariants: after `finish` the shares of presence, links and variants make 100 percent, stages
 * rise to 100, and every bound below holds, so nothing that computes checks again. A setting stands
 * in one table, with its bounds; the documents, the errors and the defaults follow from it.
 *
 * Neighbours: simulate_ratios.h has what was measured; simulate_updates.c computes;
 * docs/simulate.md names the settings for people.
 */
#include "fleet/simulate_scenario.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/c_locale.h"
#include "base/error.h"
#include "fleet/simulate_ratios.h"

#define TEXT_MAX 256

const covey__sim_policy covey__sim_policies[] = {
    {"full", "every changed component whole", false, 0, false},
    {"chunks", "chunks that are not here", true, 0, false},
    {"last", "patches from the last release", true, 1, false},
    {"last-chain", "the same, two in a row where that helps", true, 1, true},
    {"last-two", "patches from the last two releases", true, 2, false},
    {"last-two-chain", "the same, two in a row where that helps", true, 2, true},
};
const size_t covey__sim_policy_count = sizeof(covey__sim_policies) / sizeof(*covey__sim_policies);

typedef enum kind { INTEGER, REAL, PAIRS } kind;
typedef struct setting {
    const char *name;
    kind kind;
    size_t offset; /* in covey__sim_scenario */
    double min, max;
} setting;
#define AT(member) offsetof(covey__sim_scenario, member)
static const setting settings_known[] = {
    {"devices", INTEGER, AT(devices), 1, COVEY__SIM_DEVICES_MAX},
    {"seed", INTEGER, AT(seed), 0, 9007199254740991.0},
    {"releases", INTEGER, AT(releases), 1, COVEY__SIM_RELEASES_MAX},
    {"every_days", REAL, AT(every_days), 0.01, 3650},
    {"jitter_days", REAL, AT(jitter_days), 0, 1825},
    {"after_days", REAL, AT(after_days), 0, 3650},
    {"presence", PAIRS, AT(presence), 0.001, 3650},
    {"links", PAIRS, AT(links), 0.001, 100000},
    {"stages", PAIRS, AT(stages), 0, 3650},
    {"patched_first_days", REAL, AT(patched_first_days), 0, 3650},
    {"window_minutes", REAL, AT(window_minutes), 0.1, 1440},
    {"server_mbit", REAL, AT(server_mbit), 0, 1e9},
    {"keep_releases", INTEGER, AT(keep_releases), 1, COVEY__SIM_RELEASES_MAX + 1},
    {"document_bytes", INTEGER, AT(document_bytes), 0, 1e9},
    {"patch_failure_percent", REAL, AT(patch_failure_percent), 0, 100},
    {"minimum_saving_percent", REAL, AT(minimum_saving_percent), 0, 100},
    {"make_mb_per_s", REAL, AT(make_mb_per_s), 0.001, 1e6},
    {"price_per_gb", REAL, AT(price_per_gb), 0, 1e6},
};
#define SETTING_COUNT (sizeof(settings_known) / sizeof(*settings_known))

static void pairs_of(covey__sim_pairs *pairs, const covey__sim_pair *items, size_t count) {
    memcpy(pairs->items, items, count * sizeof(*items));
    pairs->count = count;
}

void covey__sim_settings_init(covey__sim_settings *settings) {
    static const covey__sim_pair presence[] = {{70, 1}, {20, 7}, {8, 30}, {2, 120}};
    static const covey__sim_pair links[] = {{30, 10}, {50, 50}, {20, 200}};
    static const covey__sim_pair stages[] = {{1, 1}, {10, 2}, {50, 2}, {100, 0}};
    covey__sim_scenario *s = &settings->scenario;
    memset(settings, 0, sizeof(*settings));
    *s = (covey__sim_scenario){.devices = 1000000,
                               .seed = 1,
                               .releases = 12,
                               .keep_releases = 3,
                               .document_bytes = COVEY__SIM_DOCUMENT_BYTES,
                               .every_days = 30,
                               .jitter_days = 3,
                               .after_days = 30,
                               .window_minutes = 60,
                               .patch_failure_percent = 0.1,
                               .minimum_saving_percent = 30,
                               .make_mb_per_s = COVEY__SIM_MAKE_MB_PER_S};
    pairs_of(&s->presence, presence, 4);
    pairs_of(&s->links, links, 3);
    pairs_of(&s->stages, stages, 4);
    for (size_t i = 0; i < covey__sim_policy_count; i++) s->policies[i] = &covey__sim_policies[i];
    s->policy_count = covey__sim_policy_count;
    (void)snprintf(settings->type, sizeof(settings->type), "q4_k_m");
    (void)snprintf(settings->tuning, sizeof(settings->tuning), "light");
    settings->size_mb = 807;
}

/* ---- one document ------------------------------------------------------------------------ */

/* A number that begins at `*text`, digits and a point only; goes behind it. */
static bool take_number(const char **text, double *out) {
    char digits[32];
    size_t size = strspn(*text, "0123456789.");
    if (size == 0 || size >= sizeof(digits) || (*text)[0] == '.') return false;
    memcpy(digits, *text, size);
    digits[size] = '\0';
    if (strchr(digits, '.') != strrchr(digits, '.')) return false;
    *out = covey__c_strtod(digits);
    *text += size;
    return true;
}

static void skip_spaces(const char **text) {
    *text += strspn(*text, " ");
}

/* "70:1, 20:7"; a value that is left out is 0. */
static covey_status read_pairs(const char *name, const char *text, double min, double max,
                               covey__sim_pairs *out, covey_error *error) {
    covey__sim_pairs pairs = {.count = 0};
    const char *at = text;
    char shown[TEXT_MAX];
    for (skip_spaces(&at); pairs.count < COVEY__SIM_PAIRS_MAX; pairs.count++) {
        covey__sim_pair *pair = &pairs.items[pairs.count];
        if (!take_number(&at, &pair->percent) || pair->percent > 100) break;
        skip_spaces(&at);
        if (*at == ':') {
            at++;
            skip_spaces(&at);
            if (!take_number(&at, &pair->value)) break;
            skip_spaces(&at);
        }
        if (pair->value < min || pair->value > max) break;
        if (*at == '\0') {
            pairs.count++;
            *out = pairs;
            return COVEY_OK;
        }
        if (*at++ != ',') break;
        skip_spaces(&at);
    }
    return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                       "%s: expected at most %d pairs PERCENT:VALUE with values from %g to %g, "
                       "such as \"70:1, 30:7\", found \"%s\"",
                       name, COVEY__SIM_PAIRS_MAX, min, max,
                       covey__printable(text, strlen(text), shown, sizeof(shown)));
}

static covey_status read_number(const covey__json *node, const char *path, double min, double max,
                                double *out, covey_error *error) {
    double value = node->kind == COVEY__JSON_NUMBER ? covey__json_to_f64(node) : NAN;
    if (!(value >= min && value <= max)) {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "%s: expected a number from %.10g to %.10g", path, min, max);
    }
    *out = value;
    return COVEY_OK;
}

static covey_status read_integer(const covey__json *node, const char *path, double min, double max,
                                 int64_t *out, covey_error *error) {
    int64_t value;
    if (node->kind != COVEY__JSON_NUMBER || !covey__json_to_i64(node, &value) ||
        !((double)value >= min && (double)value <= max)) {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "%s: expected a whole number from %.17g to %.17g", path, min, max);
    }
    *out = value;
    return COVEY_OK;
}

static covey_status read_text(const covey__json *node, const char *path, char *out, size_t capacity,
                              covey_error *error) {
    if (node->kind != COVEY__JSON_STRING || node->size == 0 || node->size >= capacity ||
        strlen(node->text) != node->size) {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "%s: expected a text of 1 to %zu bytes", path, capacity - 1);
    }
    (void)covey__printable(node->text, node->size, out, capacity);
    return COVEY_OK;
}

static covey_status read_setting(const setting *known, const covey__json *node,
                                 covey__sim_scenario *scenario, covey_error *error) {
    char *field = (char *)scenario + known->offset, text[TEXT_MAX];
    if (known->kind == INTEGER) {
        return read_integer(node, known->name, known->min, known->max, (int64_t *)(void *)field,
                            error);
    }
    if (known->kind == REAL) {
        return read_number(node, known->name, known->min, known->max, (double *)(void *)field,
                           error);
    }
    covey_status status = read_text(node, known->name, text, sizeof(text), error);
    if (status != COVEY_OK) return status;
    return read_pairs(known->name, text, known->min, known->max, (covey__sim_pairs *)(void *)field,
                      error);
}

/* A share, or a list of them, with what they grow by. */
static covey_status read_ratios(const covey__json *node, const char *path, covey__sim_ratios *out,
                                covey_error *error) {
    bool is_list = node->kind == COVEY__JSON_ARRAY;
    if (is_list && (node->size == 0 || node->size > COVEY__SIM_RATIOS_MAX)) {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "%s: expected 1 to %d shares", path,
                           COVEY__SIM_RATIOS_MAX);
    }
    out->count = 0;
    for (const covey__json *item = is_list ? node->child : node; item != NULL;
         item = is_list ? item->next : NULL) {
        covey_status status = read_number(item, path, 0, 1, &out->items[out->count++], error);
        if (status != COVEY_OK) return status;
    }
    return COVEY_OK;
}

static covey_status read_component(const covey__json *node, const char *path,
                                   covey__sim_component *out, covey_error *error) {
    static const char *const names[] = {"name",   "bytes", "changes_every", "stored",
                                        "chunks", "patch", "patch_growth",  NULL};
    char field[128];
    int64_t bytes = 0;
    covey_status status =
        node->kind == COVEY__JSON_OBJECT
            ? covey__json_only(node, path, names, error)
            : covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "%s: expected an object", path);
    *out = (covey__sim_component){.changes_every = 1,
                                  .stored = 1,
                                  .chunks = {{1}, 1, 1},
                                  .patch = {{1}, 0, COVEY__SIM_PATCH_GROWTH}};
    if (status == COVEY_OK && covey__json_get(node, "bytes") == NULL) {
        status = covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "%s.bytes: is missing", path);
    }
    for (const covey__json *m = node->child; m != NULL && status == COVEY_OK; m = m->next) {
        (void)snprintf(field, sizeof(field), "%s.%s", path, m->name);
        if (strcmp(m->name, "name") == 0)
            status = read_text(m, field, out->name, sizeof(out->name), error);
        else if (strcmp(m->name, "bytes") == 0)
            status = read_integer(m, field, 1, 1e13, &bytes, error);
        else if (strcmp(m->name, "changes_every") == 0)
            status = read_integer(m, field, 1, 1000, &out->changes_every, error);
        else if (strcmp(m->name, "stored") == 0)
            status = read_number(m, field, 0, 1, &out->stored, error);
        else if (strcmp(m->name, "chunks") == 0)
            status = read_ratios(m, field, &out->chunks, error);
        else if (strcmp(m->name, "patch") == 0)
            status = read_ratios(m, field, &out->patch, error);
        else
            status = read_number(m, field, 1, 100, &out->patch.growth, error);
    }
    out->bytes = (uint64_t)bytes;
    return status;
}

static covey_status read_variant(const covey__json *node, const char *path, covey__sim_variant *out,
                                 covey_error *error) {
    static const char *const names[] = {"name", "percent", "components", NULL};
    const covey__json *part, *list;
    char field[96];
    memset(out, 0, sizeof(*out));
    covey_status status =
        node->kind == COVEY__JSON_OBJECT
            ? covey__json_only(node, path, names, error)
            : covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "%s: expected an object", path);
    out->percent = 100;
    if (status == COVEY_OK && (part = covey__json_get(node, "name")) != NULL) {
        (void)snprintf(field, sizeof(field), "%s.name", path);
        status = read_text(part, field, out->name, sizeof(out->name), error);
    }
    if (status == COVEY_OK && (part = covey__json_get(node, "percent")) != NULL) {
        (void)snprintf(field, sizeof(field), "%s.percent", path);
        status = read_number(part, field, 0, 100, &out->percent, error);
    }
    if (status != COVEY_OK) return status;
    list = covey__json_get(node, "components");
    if (list == NULL || list->kind != COVEY__JSON_ARRAY || list->size == 0 ||
        list->size > COVEY__SIM_COMPONENTS_MAX) {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "%s.components: expected 1 to %d of them", path,
                           COVEY__SIM_COMPONENTS_MAX);
    }
    for (part = list->child; part != NULL && status == COVEY_OK; part = part->next) {
        (void)snprintf(field, sizeof(field), "%s.components[%zu]", path, out->component_count);
        status = read_component(part, field, &out->components[out->component_count++], error);
    }
    return status;
}

static covey_status read_variants(const covey__json *node, covey__sim_settings *settings,
                                  covey_error *error) {
    covey__sim_scenario *scenario = &settings->scenario;
    covey_status status = COVEY_OK;
    char path[64];
    if (node->kind != COVEY__JSON_ARRAY || node->size == 0 ||
        node->size > COVEY__SIM_VARIANTS_MAX) {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "variants: expected 1 to %d",
                           COVEY__SIM_VARIANTS_MAX);
    }
    scenario->variant_count = 0;
    for (const covey__json *v = node->child; v != NULL && status == COVEY_OK; v = v->next) {
        (void)snprintf(path, sizeof(path), "variants[%zu]", scenario->variant_count);
        status = read_variant(v, path, &scenario->variants[scenario->variant_count++], error);
    }
    settings->has_variants = true;
    return status;
}

/* "full,last-two" */
static covey_status read_policies(const covey__json *node, covey__sim_scenario *scenario,
                                  covey_error *error) {
    char text[TEXT_MAX], *at = text;
    covey_status status = read_text(node, "policies", text, sizeof(text), error);
    if (status != COVEY_OK) return status;
    for (scenario->policy_count = 0; at != NULL;) {
        char *word = at + strspn(at, " "), *comma = strchr(word, ',');
        at = comma != NULL ? comma + 1 : NULL;
        if (comma != NULL) *comma = '\0';
        for (size_t end = strlen(word); end > 0 && word[end - 1] == ' ';) word[--end] = '\0';
        size_t i = 0;
        while (i < covey__sim_policy_count && strcmp(covey__sim_policies[i].name, word) != 0) i++;
        if (i == covey__sim_policy_count || scenario->policy_count == COVEY__SIM_POLICIES_MAX) {
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "policies: expected some of full, chunks, last, last-chain, "
                               "last-two, last-two-chain, found \"%s\"",
                               word);
        }
        scenario->policies[scenario->policy_count++] = &covey__sim_policies[i];
    }
    return COVEY_OK;
}

static covey_status read_member(const covey__json *node, covey__sim_settings *settings,
                                covey_error *error) {
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (strcmp(settings_known[i].name, node->name) == 0)
            return read_setting(&settings_known[i], node, &settings->scenario, error);
    }
    if (strcmp(node->name, "type") == 0)
        return read_text(node, "type", settings->type, sizeof(settings->type), error);
    if (strcmp(node->name, "tuning") == 0)
        return read_text(node, "tuning", settings->tuning, sizeof(settings->tuning), error);
    if (strcmp(node->name, "size_mb") == 0)
        return read_number(node, "size_mb", 0.001, 1e7, &settings->size_mb, error);
    if (strcmp(node->name, "variants") == 0) return read_variants(node, settings, error);
    if (strcmp(node->name, "policies") == 0) return read_policies(node, &settings->scenario, error);
    return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                       "\"%.64s\": there is no such setting; docs/simulate.md lists them",
                       node->name);
}

covey_status covey__sim_settings_read(const covey__env *env, const char *name, const char *json,
                                      size_t size, covey__sim_settings *settings,
                                      covey_error *error) {
    covey__json_limits limits = {1u << 20, 16, 32768};
    const covey__json *root = NULL;
    covey__arena arena;
    covey__arena_init(&arena, env, 16u << 20);
    covey_status status = covey__json_parse(&arena, json, size, limits, &root, error);
    if (status == COVEY_OK && root->kind != COVEY__JSON_OBJECT) {
        status = covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "expected an object of settings");
    }
    for (const covey__json *m = status == COVEY_OK ? root->child : NULL;
         m != NULL && status == COVEY_OK; m = m->next) {
        status = read_member(m, settings, error);
    }
    covey__arena_free(&arena);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "%s", name);
}

/* ---- the whole --------------------------------------------------------------------------- */

static covey_status apply_preset(covey__sim_settings *settings, covey_error *error) {
    covey__sim_scenario *s = &settings->scenario;
    for (size_t i = 0; i < COVEY__SIM_PRESET_COUNT; i++) {
        const covey__sim_preset *preset = &covey__sim_presets[i];
        if (strcmp(preset->type, settings->type) != 0 ||
            strcmp(preset->tuning, settings->tuning) != 0)
            continue;
        covey__sim_variant *variant = &s->variants[0];
        *variant = (covey__sim_variant){.percent = 100, .component_count = 1};
        (void)snprintf(variant->name, sizeof(variant->name), "%s", preset->type);
        variant->components[0] =
            (covey__sim_component){.name = "model",
                                   .bytes = (uint64_t)(settings->size_mb * 1e6 + 0.5),
                                   .changes_every = 1,
                                   .stored = preset->stored,
                                   .chunks = {{COVEY__SIM_CHUNKS}, 1, 1},
                                   .patch = {{preset->patch}, 1, COVEY__SIM_PATCH_GROWTH}};
        s->variant_count = 1;
        (void)snprintf(s->what, sizeof(s->what), "a model of %.6g MB, %s, %s fine-tunes",
                       settings->size_mb, preset->type, preset->tuning);
        return COVEY_OK;
    }
    return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                       "type, tuning: expected q8_0, q4_0 or q4_k_m, and light, middle or strong; "
                       "found \"%s\" and \"%s\"",
                       settings->type, settings->tuning);
}

static covey_status whole(const char *name, double percent, covey_error *error) {
    if (fabs(percent - 100) < 1e-6) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                       "%s: expected shares that make 100 percent, found %g", name, percent);
}

static double percent_of(const covey__sim_pairs *pairs) {
    double sum = 0;
    for (size_t i = 0; i < pairs->count; i++) sum += pairs->items[i].percent;
    return sum;
}

static covey_status check_stages(const covey__sim_pairs *stages, covey_error *error) {
    double before = 0;
    for (size_t i = 0; i < stages->count; before = stages->items[i].percent, i++) {
        if (stages->items[i].percent > before) continue;
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "stages: expected percentages that rise, found %g after %g",
                           stages->items[i].percent, before);
    }
    return whole("stages", before, error);
}

/* "variants: q4_k_m 70 %, q8_0 30 %", cut where there are many. */
static void name_variants(covey__sim_scenario *s) {
    size_t at = 0;
    for (size_t i = 0; i < s->variant_count && at < sizeof(s->what); i++) {
        const covey__sim_variant *v = &s->variants[i];
        int size = snprintf(s->what + at, sizeof(s->what) - at, "%s%s%s%g %%",
                            i == 0 ? "variants: " : ", ", v->name, v->name[0] != '\0' ? " " : "",
                            v->percent);
        at += size > 0 ? (size_t)size : sizeof(s->what);
    }
}

covey_status covey__sim_settings_finish(covey__sim_settings *settings, covey_error *error) {
    covey__sim_scenario *s = &settings->scenario;
    double variants = 0;
    covey_status status = COVEY_OK;
    if (!settings->has_variants) status = apply_preset(settings, error);
    if (settings->has_variants) name_variants(s);
    for (size_t i = 0; i < s->variant_count; i++) variants += s->variants[i].percent;
    if (status == COVEY_OK) status = whole("variants", variants, error);
    if (status == COVEY_OK) status = whole("presence", percent_of(&s->presence), error);
    if (status == COVEY_OK) status = whole("links", percent_of(&s->links), error);
    if (status == COVEY_OK) status = check_stages(&s->stages, error);
    if (status == COVEY_OK && s->jitter_days * 2 > s->every_days) {
        status = covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                             "jitter_days: expected at most half of every_days (%g), found %g",
                             s->every_days, s->jitter_days);
    }
    double days = s->every_days * (double)s->releases + s->jitter_days + s->after_days;
    if (status == COVEY_OK && days > COVEY__SIM_DAYS_MAX) {
        status = covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                             "releases, every_days, after_days: expected a run of at most %d days, "
                             "found %.0f",
                             COVEY__SIM_DAYS_MAX, days);
    }
    return status;
}

double covey__sim_ratio(const covey__sim_ratios *ratios, int32_t back) {
    double ratio = ratios->items[0];
    for (int32_t i = 1; i < back; i++) {
        ratio = (size_t)i < ratios->count ? ratios->items[i] : ratio * ratios->growth;
    }
    return ratio < 1 ? ratio : 1;
}
