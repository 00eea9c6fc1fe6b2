/* covey-fleet simulate: what a fleet would do, without one. A flag is a setting of the document
 * with '-' for '_', and goes above the file. */
#include "covey-fleet/fleet_commands.h"

#include <covey/fleet_simulate.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json_text.h"
#include "covey-fleet/yaml_json.h"

/* The flags that were given as a document of settings; NULL where memory ran out. */
static char *flags_to_json(const app_option *options, size_t *size) {
    char *json = NULL;
    FILE *out = open_memstream(&json, size);
    const char *comma = "";
    if (out == NULL) return NULL;
    fputc('{', out);
    for (const app_option *o = options; o->name != NULL; o++) {
        bool number = o->kind == APP_NUMBER && !isnan(*(const double *)o->value);
        bool text = o->kind == APP_TEXT && *(const char *const *)o->value != NULL;
        if (!number && !text) continue;
        fprintf(out, "%s\"", comma);
        for (const char *c = o->name; *c != '\0'; c++) fputc(*c == '-' ? '_' : *c, out);
        fputs("\":", out);
        if (number)
            fprintf(out, "%.17g", *(const double *)o->value);
        else
            app_put_json_text(out, *(const char *const *)o->value);
        comma = ",";
    }
    fputc('}', out);
    if (fclose(out) == 0) return json;
    free(json);
    return NULL;
}

static int simulate(const covey_fleet_scenario *scenarios, size_t count, bool json) {
    covey_runtime_options own = COVEY_RUNTIME_OPTIONS_INIT;
    covey_runtime *runtime = NULL;
    covey_error error = {0};
    char *text = NULL;
    own.threads = 0; /* one a core: policies are computed side by side */
    covey_status status = covey_fleet_runtime_open(&own, &runtime, &error);
    if (status == COVEY_OK) {
        status = covey_fleet_simulate_updates(
            runtime, scenarios, count, json ? COVEY_FLEET_JSON : COVEY_FLEET_TEXT, &text, &error);
    }
    if (status == COVEY_OK) fputs(text, stdout);
    if (status != COVEY_OK) app_print_failure("covey-fleet simulate", error.message);
    covey_fleet_simulated_free(runtime, text);
    covey_runtime_close(runtime);
    if (status == COVEY_OK) return APP_EXIT_DONE;
    return status == COVEY_ERROR_INVALID_ARGUMENT || status == COVEY_ERROR_FORMAT ? APP_EXIT_USAGE
                                                                                  : APP_EXIT_FAILED;
}

/* With the document `file` (NULL: none) below the flags. */
static int simulate_with(const app_command *command, const char *file, bool json) {
    covey_fleet_scenario scenarios[2];
    char message[256] = "", *document = NULL, *flags = NULL;
    size_t count = 0, document_size = 0, flags_size = 0;
    int exit_status = APP_EXIT_USAGE;
    if (file != NULL) {
        document = app_yaml_to_json(file, &document_size, message, sizeof(message));
        if (document == NULL) {
            fprintf(stderr, "%s: %s: %s\n", command->name, file, message);
            return exit_status;
        }
        scenarios[count++] = (covey_fleet_scenario){file, document, document_size};
    }
    flags = flags_to_json(command->options, &flags_size);
    if (flags == NULL) {
        fprintf(stderr, "%s: memory ran out\n", command->name);
        exit_status = APP_EXIT_FAILED;
    } else {
        scenarios[count++] = (covey_fleet_scenario){"options", flags, flags_size};
        exit_status = simulate(scenarios, count, json);
    }
    free(document);
    free(flags);
    return exit_status;
}

#define NUMBER_MAX 9007199254740991.0
#define NUMBER(name, i, unit, help)                                                                \
    { name, 0, APP_NUMBER, &numbers[i], unit, help, 0, NUMBER_MAX }
#define TEXT(name, i, form, help)                                                                  \
    { name, 0, APP_TEXT, &texts[i], form, help, 0, 0 }

static int simulate_updates(int argc, char **argv) {
    double numbers[16];
    const char *texts[6] = {NULL};
    bool json = false;
    const app_option options[] = {
        APP_OPTION_HEADING("the fleet"),
        NUMBER("devices", 0, "N", "how many (1,000,000)"),
        TEXT("presence", 0, "P:DAYS,...",
             "of P % the mean days between two times online (70:1,20:7,8:30,2:120)"),
        TEXT("links", 1, "P:MBIT,...", "of P % the line, in Mbit/s (30:10,50:50,20:200)"),
        NUMBER("window-minutes", 1, "N", "a device fetches when it is online; the rest later (60)"),
        NUMBER("server-mbit", 2, "N", "your line, in Mbit/s; 0: no bound (0)"),
        APP_OPTION_HEADING("the releases"),
        NUMBER("releases", 3, "N", "how many updates, up to 64 (12)"),
        NUMBER("every-days", 4, "N", "one so often (30)"),
        NUMBER("jitter-days", 5, "N", "earlier or later by up to that (3)"),
        NUMBER("after-days", 6, "N", "go on after the last one (30)"),
        TEXT("stages", 2, "P:DAYS,...",
             "a rollout reaches P %, goes on DAYS later (1:1,10:2,50:2,100)"),
        NUMBER("patched-first-days", 14, "N",
               "only devices with a patch are offered it until then (0)"),
        APP_OPTION_HEADING("what an update weighs (several variants or components: in FILE)"),
        NUMBER("size-mb", 7, "N", "the model's size, in 10^6 bytes (807)"),
        TEXT("type", 3, "TYPE", "q8_0, q4_0 or q4_k_m (q4_k_m)"),
        TEXT("tuning", 4, "HOW", "how far a release moves weights: light, middle, strong (light)"),
        APP_OPTION_HEADING("the origin"),
        NUMBER("keep-releases", 8, "N", "releases kept for devices that are late (3)"),
        NUMBER("minimum-saving-percent", 9, "P", "a patch that saves less is dropped (30)"),
        NUMBER("patch-failure-percent", 10, "P", "patches that fail on a device (0.1)"),
        NUMBER("make-mb-per-s", 11, "N", "making patches, a core (60)"),
        NUMBER("price-per-gb", 12, "N", "what you pay for 10^9 bytes served (0: not shown)"),
        APP_OPTION_HEADING("the run"),
        TEXT("policies", 5, "LIST", "of those below (all)"),
        NUMBER("seed", 13, "N", "of the draws; the same seed gives the same result (1)"),
        {"json", 0, APP_FLAG, &json, NULL, "print all figures, those of each release too", 0, 0},
        {0}};
    const app_command command = {
        "covey-fleet simulate updates",
        "[FILE]",
        "Computes what updates would cost a fleet that you describe, under each policy of "
        "patches:\n"
        "bytes served, storage, patches to make, days until devices have it. Nothing is served\n"
        "and no server is asked. FILE is YAML or JSON with these settings by their names, '_' for\n"
        "'-'; options go above it. Sizes in the result are decimal: 1 GB is 10^9 bytes.\n"
        "\n"
        "policies:\n"
        "  full             every changed component whole\n"
        "  chunks           chunks that are not on the device\n"
        "  last             and patches from the last release\n"
        "  last-chain       the same, two in a row where that helps\n"
        "  last-two         patches from the last two releases (what `publish` makes)\n"
        "  last-two-chain   the same, two in a row where that helps (what devices do with them)",
        "  covey-fleet simulate updates --devices 200000 --every-days 14 --type q8_0 --size-mb "
        "1320\n"
        "  covey-fleet simulate updates fleet.yaml --price-per-gb 0.02 --json",
        options,
        0,
        1};
    app_positional file;
    int exit_status;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) numbers[i] = NAN;
    if (!app_options_read(&command, argc, argv, &file, &exit_status)) return exit_status;
    return simulate_with(&command, file.count > 0 ? file.items[0] : NULL, json);
}

int fleet_cmd_simulate(int argc, char **argv) {
    static const fleet_verb verbs[] = {
        {"updates", simulate_updates, "bytes, storage and days, by policy of patches"},
    };
    return fleet_verbs("covey-fleet simulate", verbs, sizeof(verbs) / sizeof(*verbs), argc, argv);
}
