/* covey bundle: making ensembles, checking them, and saying what they are and how two differ. The
 * work is the library's (covey/bundle.h); this file reads the command line, shows progress and
 * prints figures. */
#include "covey/commands.h"

#include "common/files.h"
#include "common/json_text.h"
#include "common/options.h"
#include "covey/context.h"

#include <covey/bundle.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct arguments {
    covey_bundle_options build;
    app_texts os, adapters, asked_adapters;
    covey_bundle_adapter adapter[COVEY_ADAPTERS_MAX];
    char adapter_path[COVEY_ADAPTERS_MAX][APP_PATH_BYTES_MAX];
    int64_t bits, task_max, task_tokens, memory, threads;
    bool json, no_probes;
    const char *content_key;
} arguments;

static int verb_build(int argc, char **argv);
static int verb_check(int argc, char **argv);
static int verb_show(int argc, char **argv);
static int verb_diff(int argc, char **argv);
static int verb_key(int argc, char **argv);

static const char usage[] =
    "usage: covey bundle build|check|show|diff|key ...\n"
    "\n"
    "build  makes an ensemble out of a model and what belongs to it, and proves it\n"
    "check  checks an ensemble to the last byte and runs its probes\n"
    "show   prints what an ensemble is\n"
    "diff   prints what changes from one ensemble to another, and the bytes it costs a device\n"
    "key    makes a content key, with which build encrypts an ensemble\n"
    "\n"
    "covey bundle VERB --help says more.\n"
    "\n"
    "example: covey bundle build --model assistant.gguf --name assistant --version 1.0.0 \\\n"
    "             --out assistant-1.0.0\n"
    "         covey bundle check assistant-1.0.0\n";

static int failed(const char *verb, const covey_error *error) {
    fprintf(stderr, "covey bundle %s: %s\n", verb, error->message);
    return error->status == COVEY_ERROR_REFUSED ? APP_EXIT_REFUSED : APP_EXIT_FAILED;
}

static void log_line(void *user, covey_log_level level, const char *component,
                     const char *message) {
    (void)user;
    fprintf(stderr, "%s: %s: %s\n", level == COVEY_LOG_WARN ? "warning" : "error", component,
            message);
}

static covey_status open_runtime(const arguments *a, covey_runtime **runtime, covey_error *error) {
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.log = log_line;
    options.log_level = COVEY_LOG_WARN;
    options.threads = (int32_t)a->threads;
    return covey_runtime_open(&options, runtime, error);
}

/* One line that is written over, on a terminal only. After Control-C the library stops, and removes
 * what it began. */
static bool on_progress(void *user, const char *what, uint64_t done, uint64_t total) {
    (void)user;
    if (!isatty(STDERR_FILENO)) return !app_interrupted();
    fprintf(stderr, "\r%s %llu of %llu ", what, (unsigned long long)done,
            (unsigned long long)total);
    if (done == total) fputs("\r\033[K", stderr);
    fflush(stderr);
    return !app_interrupted();
}

static void print_result(const covey_probe_result *r, bool json, bool passed) {
    if (json) {
        printf("{\"passed\":%s,\"bits_passed\":%d,\"bits_count\":%d,\"task_passed\":%d,"
               "\"task_count\":%d,\"task_score\":%.6f,\"task_score_min\":%.6f,\"elapsed_ms\":%lld,"
               "\"first_failure\":",
               passed ? "true" : "false", (int)r->bits_passed, (int)r->bits_count,
               (int)r->task_passed, (int)r->task_count, r->task_score, r->task_score_min,
               (long long)r->elapsed_ms);
        app_put_json_text(stdout, r->first_failure);
        puts("}");
        return;
    }
    printf("bits probes   %d of %d equal\n", (int)r->bits_passed, (int)r->bits_count);
    if (r->task_count > 0)
        printf("task probes   %d of %d, score %.3f, at least %.3f expected: %s\n",
               (int)r->task_passed, (int)r->task_count, r->task_score, r->task_score_min,
               r->task_score >= r->task_score_min ? "good" : "NOT GOOD");
    if (r->first_failure[0] != '\0') printf("first failure %s\n", r->first_failure);
    printf("proved in     %lld ms\n", (long long)r->elapsed_ms);
}

/* Those that are on by default, then those on request. */
static bool read_adapters(arguments *a, covey_error *error) {
    const app_texts *lists[] = {&a->adapters, &a->asked_adapters};
    size_t count = 0;
    if (a->adapters.count + a->asked_adapters.count > COVEY_ADAPTERS_MAX) {
        snprintf(error->message, sizeof error->message, "at most %d adapters", COVEY_ADAPTERS_MAX);
        return false;
    }
    for (size_t list = 0; list < 2; list++)
        for (size_t i = 0; i < lists[list]->count; i++) {
            covey_bundle_adapter *one = &a->adapter[count];
            char *path = a->adapter_path[count++];
            if (!app_split_adapter(lists[list]->items[i], path, &one->scale, error)) return false;
            if (one->scale == 0.0f) {
                snprintf(error->message, sizeof error->message,
                         "%.200s: the scale 0 would be no adapter; --adapter-on-request leaves it "
                         "off until a request asks for it",
                         lists[list]->items[i]);
                return false;
            }
            one->path = path;
            one->on_request = list == 1;
        }
    a->build.adapters = a->adapter;
    a->build.adapter_count = count;
    return true;
}

static int run_build(arguments *a) {
    covey_error error = {0};
    covey_runtime *runtime = NULL;
    covey_probe_result result = COVEY_PROBE_RESULT_INIT;
    char *text = NULL;
    a->build.needs_os = a->os.items;
    a->build.needs_os_count = a->os.count;
    a->build.bits_probe_count = a->bits == 0 ? -1 : (int32_t)a->bits;
    a->build.task_probe_count_max = (int32_t)a->task_max;
    a->build.task_tokens_max = (int32_t)a->task_tokens;
    a->build.needs_memory_bytes = (uint64_t)a->memory;
    if (!read_adapters(a, &error)) {
        failed("build", &error);
        return APP_EXIT_USAGE;
    }
    app_catch_signals(NULL);
    covey_status status = open_runtime(a, &runtime, &error);
    if (status == COVEY_OK)
        status = covey_bundle_build(runtime, &a->build, &result, &error, on_progress, NULL);
    bool proved = result.bits_count + result.task_count > 0;
    if (status == COVEY_OK) app_share(a->build.out);
    if (status == COVEY_OK && !a->json)
        status = covey_bundle_show(runtime, a->build.out, false, &text, &error);
    if (text != NULL) fputs(text, stdout);
    bool passed = result.bits_passed == result.bits_count &&
                  (result.task_count == 0 || result.task_score >= result.task_score_min);
    if (status != COVEY_OK && status != COVEY_ERROR_REFUSED) proved = false;
    if (proved || a->json) print_result(&result, a->json, status == COVEY_OK && passed);
    if (status == COVEY_OK && !passed)
        fprintf(stderr, "covey bundle build: kept although it fails its task probes "
                        "(--allow-failing)\n");
    covey_bundle_free_text(runtime, text);
    covey_runtime_close(runtime);
    if (status == COVEY_OK) return APP_EXIT_DONE;
    failed("build", &error);
    if (status != COVEY_ERROR_REFUSED) return APP_EXIT_FAILED;
    fprintf(stderr, "covey bundle build: nothing was kept; --allow-failing keeps it anyway\n");
    return APP_EXIT_REFUSED;
}

static int verb_build(int argc, char **argv) {
    static arguments a; /* its paths are large */
    a = (arguments){.build = COVEY_BUNDLE_OPTIONS_INIT, .bits = 3, .task_tokens = 96};
    a.build.task_score_min = 0.85;
    const app_option options[] = {
        {"model", 'm', APP_TEXT, &a.build.model, "FILE", "the GGUF that answers", 0, 0},
        {"name", 0, APP_TEXT, &a.build.name, "NAME", "name of the release", 0, 0},
        {"version", 0, APP_TEXT, &a.build.version, "VERSION", "semantic version", 0, 0},
        {"variant", 0, APP_TEXT, &a.build.variant, "NAME", "default: the model's quantization", 0,
         0},
        {"out", 'o', APP_TEXT, &a.build.out, "FOLDER", "where to build; must not exist", 0, 0},
        {"adapter", 0, APP_TEXTS, &a.adapters, "FILE[:SCALE]",
         "a LoRA for the model, used by default (scale 1); repeatable", 0, 0},
        {"adapter-on-request", 0, APP_TEXTS, &a.asked_adapters, "FILE[:SCALE]",
         "one that only requests use that ask for it; repeatable", 0, 0},
        {"tools", 0, APP_TEXT, &a.build.tools, "FILE", "tool schemas, JSON", 0, 0},
        {"template", 0, APP_TEXT, &a.build.chat_template, "FILE",
         "chat template; written into the model's copy too", 0, 0},
        {"policy", 0, APP_TEXT, &a.build.policy, "FILE", "device policy, JSON", 0, 0},
        {"task-probes", 0, APP_TEXT, &a.build.task_probes, "FILE", "JSON lines: prompt, expect", 0,
         0},
        {"task-probes-max", 0, APP_INT, &a.task_max, "N", "evenly spread over the file; 0: all", 0,
         16384},
        {"task-tokens", 0, APP_INT, &a.task_tokens, "N", "longest answer (96)", 1, 65536},
        {"min-score", 0, APP_NUMBER, &a.build.task_score_min, "SHARE",
         "least share of task probes to pass (0.85)", 0, 1},
        {"bits-probes", 0, APP_INT, &a.bits, "N", "recorded on this engine; 0: none (3)", 0, 64},
        {"needs-memory", 0, APP_INT, &a.memory, "BYTES", "default: the file and one session", 0,
         9007199254740991.0},
        {"needs-app", 0, APP_TEXT, &a.build.needs_app, "RANGE", "such as \">=1.2.0 <2.0.0\"", 0, 0},
        {"needs-os", 0, APP_TEXTS, &a.os, "RANGE", "\"linux\" or \"linux >=4.19.0\"; repeatable", 0,
         0},
        {"encrypt", 0, APP_TEXT, &a.build.content_key_file, "KEYFILE",
         "encrypt all but tools and policy with the content key of covey bundle key", 0, 0},
        {"allow-failing", 0, APP_FLAG, &a.build.allow_failing, NULL,
         "keep it although its task probes fail", 0, 0},
        {"threads", 't', APP_INT, &a.threads, "N", "0: one a core (0)", 0, 1024},
        {"json", 0, APP_FLAG, &a.json, NULL, "print the probes' figures as JSON", 0, 0},
        {NULL, 0, APP_FLAG, NULL, NULL, NULL, 0, 0},
    };
    const app_command command = {
        "covey bundle build",
        "",
        "Makes an ensemble: copies the model and what belongs to it, records bits probes on this\n"
        "engine, writes the manifest, and runs all probes as a device would. One that fails its\n"
        "task probes is not kept.",
        "  covey bundle build --model assistant.gguf --name assistant --version 1.0.0 \\\n"
        "      --tools tools.json --task-probes probes.jsonl --min-score 0.85 --out a-1.0.0",
        options,
        0,
        0};
    app_positional positional;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &positional, &exit_status)) return exit_status;
    const char *missing = a.build.model == NULL     ? "--model FILE"
                          : a.build.name == NULL    ? "--name NAME"
                          : a.build.version == NULL ? "--version VERSION"
                          : a.build.out == NULL     ? "--out FOLDER"
                                                    : NULL;
    if (missing == NULL) return run_build(&a);
    fprintf(stderr, "covey bundle build: %s is needed; see covey bundle build --help\n", missing);
    return APP_EXIT_USAGE;
}

static int run_check(const arguments *a, const char *folder) {
    covey_error error = {0};
    covey_runtime *runtime = NULL;
    covey_ensemble *ensemble = NULL;
    covey_probe_result result = COVEY_PROBE_RESULT_INIT;
    covey_status status = open_runtime(a, &runtime, &error);
    if (status == COVEY_OK)
        status = covey_ensemble_open(runtime, folder, COVEY_CHECK_DIGESTS, &ensemble, &error);
    if (status == COVEY_OK && !a->json)
        printf("%s@%s %s: %zu components are what the manifest says\n",
               covey_ensemble_name(ensemble), covey_ensemble_version(ensemble),
               covey_ensemble_variant(ensemble), covey_ensemble_component_count(ensemble));
    if (status == COVEY_OK && a->content_key != NULL)
        status = covey_ensemble_give_key_file(ensemble, a->content_key, &error);
    if (status == COVEY_OK && !a->no_probes) {
        status = covey_ensemble_probe(ensemble, &result, &error, on_progress, NULL);
        if (status == COVEY_OK || status == COVEY_ERROR_REFUSED)
            print_result(&result, a->json, status == COVEY_OK);
    } else if (status == COVEY_OK && a->json) {
        puts("{\"passed\":true}");
    }
    covey_ensemble_close(ensemble);
    covey_runtime_close(runtime);
    return status == COVEY_OK ? APP_EXIT_DONE : failed("check", &error);
}

static int verb_check(int argc, char **argv) {
    static arguments a;
    a = (arguments){.build = COVEY_BUNDLE_OPTIONS_INIT};
    const app_option options[] = {
        {"no-probes", 0, APP_FLAG, &a.no_probes, NULL, "digests and needs only", 0, 0},
        {"content-key", 0, APP_TEXT, &a.content_key, "KEYFILE",
         "opens an encrypted ensemble for its probes", 0, 0},
        {"threads", 't', APP_INT, &a.threads, "N", "0: one a core (0)", 0, 1024},
        {"json", 0, APP_FLAG, &a.json, NULL, "print the figures as JSON", 0, 0},
        {NULL, 0, APP_FLAG, NULL, NULL, NULL, 0, 0},
    };
    const app_command command = {
        "covey bundle check",
        "FOLDER",
        "Checks an ensemble as a device does: the manifest, what it needs, every byte of every\n"
        "component, and all probes.",
        "  covey bundle check assistant-1.0.0",
        options,
        1,
        1};
    app_positional positional;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &positional, &exit_status)) return exit_status;
    return run_check(&a, positional.items[0]);
}

/* Prints what `make` gives, for show and diff. */
static int print_text(const arguments *a, const char *verb, const char *from, const char *to) {
    covey_error error = {0};
    covey_runtime *runtime = NULL;
    char *text = NULL;
    covey_status status = open_runtime(a, &runtime, &error);
    if (status == COVEY_OK)
        status = to == NULL ? covey_bundle_show(runtime, from, a->json, &text, &error)
                            : covey_bundle_diff(runtime, from, to, a->json, &text, &error);
    if (text != NULL) fputs(text, stdout);
    covey_bundle_free_text(runtime, text);
    covey_runtime_close(runtime);
    return status == COVEY_OK ? APP_EXIT_DONE : failed(verb, &error);
}

static int verb_show(int argc, char **argv) {
    static arguments a;
    a = (arguments){.build = COVEY_BUNDLE_OPTIONS_INIT, .threads = 1};
    const app_option options[] = {
        {"json", 0, APP_FLAG, &a.json, NULL, "print the manifest and its digest as JSON", 0, 0},
        {NULL, 0, APP_FLAG, NULL, NULL, NULL, 0, 0},
    };
    const app_command command = {"covey bundle show",
                                 "FOLDER",
                                 "Prints what an ensemble is. Only its manifest is read; covey "
                                 "bundle check reads the rest.",
                                 "  covey bundle show assistant-1.0.0",
                                 options,
                                 1,
                                 1};
    app_positional positional;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &positional, &exit_status)) return exit_status;
    return print_text(&a, "show", positional.items[0], NULL);
}

static int verb_diff(int argc, char **argv) {
    static arguments a;
    a = (arguments){.build = COVEY_BUNDLE_OPTIONS_INIT, .threads = 1};
    const app_option options[] = {
        {"json", 0, APP_FLAG, &a.json, NULL, "print one JSON object", 0, 0},
        {NULL, 0, APP_FLAG, NULL, NULL, NULL, 0, 0},
    };
    const app_command command = {
        "covey bundle diff",
        "FROM TO",
        "Prints what changes from one ensemble to another, and how many bytes a device that has\n"
        "the first must fetch at most for the second.",
        "  covey bundle diff assistant-1.0.0 assistant-1.1.0",
        options,
        2,
        2};
    app_positional positional;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &positional, &exit_status)) return exit_status;
    return print_text(&a, "diff", positional.items[0], positional.items[1]);
}

static int verb_key(int argc, char **argv) {
    arguments a = {.threads = 1};
    const app_option options[] = {{NULL, 0, APP_FLAG, NULL, NULL, NULL, 0, 0}};
    const app_command command = {
        "covey bundle key",
        "FILE",
        "Makes a content key in a new file that only you may read, and prints its id. Ensembles "
        "are\n"
        "encrypted with it (covey bundle build --encrypt), and devices get it wrapped for each of\n"
        "them (covey-fleet content-key wrap). Keep a copy: without it nothing new can be "
        "encrypted\n"
        "for the devices that have it, and no device more can be given it.",
        "  covey bundle key assistant.content-key",
        options,
        1,
        1};
    app_positional positional;
    int exit_status;
    covey_error error = {0};
    covey_runtime *runtime = NULL;
    char id[33];
    if (!app_options_read(&command, argc, argv, &positional, &exit_status)) return exit_status;
    covey_status status = open_runtime(&a, &runtime, &error);
    if (status == COVEY_OK) status = covey_bundle_key(runtime, positional.items[0], id, &error);
    covey_runtime_close(runtime);
    if (status != COVEY_OK) return failed("key", &error);
    puts(id);
    return APP_EXIT_DONE;
}

int covey_cmd_bundle(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } verbs[] = {{"build", verb_build},
                 {"check", verb_check},
                 {"show", verb_show},
                 {"diff", verb_diff},
                 {"key", verb_key}};
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return APP_EXIT_DONE;
    }
    for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(argv[1], verbs[i].name) == 0) return verbs[i].run(argc - 1, argv + 1);
    fprintf(stderr, "covey bundle: build, check, show, diff or key expected%s%s\n\n%s",
            argc > 1 ? ", found " : "", argc > 1 ? argv[1] : "", usage);
    return APP_EXIT_USAGE;
}
