/* covey delta: making a patch between two files, applying it, and saying what is in it. The work is
 * the library's (covey/delta.h); this file reads the command line, shows progress and prints
 * figures. */
#include "covey/commands.h"
#include "covey/context.h"

#include "common/files.h"
#include "common/json_text.h"
#include "common/options.h"

#include <covey/delta.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "usage: covey delta make|apply|info ...\n"
    "\n"
    "make   writes a patch: what turns an old file into a new one, in few bytes\n"
    "apply  makes the new file from the old one and the patch\n"
    "info   prints what is in a patch, tensor by tensor\n"
    "\n"
    "covey delta VERB --help says more.\n"
    "\n"
    "example: covey delta make assistant-1.0.0.gguf assistant-1.1.0.gguf assistant.patch\n"
    "         covey delta info assistant.patch\n"
    "         covey delta apply assistant-1.0.0.gguf assistant.patch assistant.gguf\n";

typedef struct arguments {
    bool json, force;
    const char *files[3];
} arguments;

static int failed(const char *verb, const covey_error *error) {
    char command[32];
    snprintf(command, sizeof command, "covey delta %s", verb);
    app_print_failure(command, error->message);
    if (error->status == COVEY_ERROR_EXISTS) fprintf(stderr, "%s: --force replaces it\n", command);
    return APP_EXIT_FAILED;
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double share(uint64_t part, uint64_t whole) {
    return whole == 0 ? 0.0 : 100.0 * (double)part / (double)whole;
}

static double rate(uint64_t bytes, double seconds) {
    return seconds <= 0.0 ? 0.0 : (double)bytes * 1e-6 / seconds;
}

/* A line that is written over on a terminal, nothing elsewhere. After Control-C the library stops,
 * and removes what it began. */
static covey_status on_progress(void *user, uint64_t done, uint64_t total) {
    double *last = user, now = seconds_now();
    if (total > 0 && now - *last > 0.1 && isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r\033[K%3.0f %%", share(done, total));
        *last = now;
    }
    return app_interrupted() ? COVEY_ERROR_CANCELLED : COVEY_OK;
}

static void end_progress(void) {
    if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
}

/* The words of a verb's command line; false when the process should end. */
static bool read_words(const app_command *command, arguments *a, int argc, char **argv,
                       int *exit_status) {
    app_positional words;
    if (!app_options_read(command, argc, argv, &words, exit_status)) return false;
    for (size_t i = 0; i < words.count && i < 3; i++) a->files[i] = words.items[i];
    return true;
}

static covey_status open_runtime(covey_runtime **runtime, covey_error *error) {
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.threads = 1;
    app_catch_signals(NULL);
    return covey_runtime_open(&options, runtime, error);
}

/* --- make --- */

static void print_made(const arguments *a, const covey_delta_result *r, double seconds) {
    if (a->json) {
        printf("{\"old_bytes\":%" PRIu64 ",\"new_bytes\":%" PRIu64 ",\"patch_bytes\":%" PRIu64
               ",\"head_bytes\":%" PRIu64 ",\"copied_bytes\":%" PRIu64 ",\"stored_bytes\":%" PRIu64
               ",\"compressed_bytes\":%" PRIu64 ",\"coded_bytes\":%" PRIu64
               ",\"seconds\":%.3f,\"mb_per_second\":%.1f}\n",
               r->old_bytes, r->new_bytes, r->patch_bytes, r->head_bytes, r->copied_bytes,
               r->stored_bytes, r->compressed_bytes, r->coded_bytes, seconds,
               rate(r->new_bytes, seconds));
        return;
    }
    printf("%s: %" PRIu64 " bytes, %.1f %% of %s (%" PRIu64 ")\n", a->files[2], r->patch_bytes,
           share(r->patch_bytes, r->new_bytes), a->files[1], r->new_bytes);
    printf("of the new file: %.1f %% copied, %.1f %% predicted from old tensors, %.1f %% "
           "compressed, %.1f %% stored\n",
           share(r->copied_bytes, r->new_bytes), share(r->coded_bytes, r->new_bytes),
           share(r->compressed_bytes, r->new_bytes), share(r->stored_bytes, r->new_bytes));
    printf("%.2f s, %.0f MB/s\n", seconds, rate(r->new_bytes, seconds));
}

static int verb_make(int argc, char **argv) {
    arguments a = {0};
    const app_option options[] = {
        {"force", 'f', APP_FLAG, &a.force, NULL, "replace PATCH if it is there already", 0, 0},
        {"json", 0, APP_FLAG, &a.json, NULL, "print one JSON object with the figures", 0, 0},
        {0}};
    const app_command command = {
        "covey delta make",
        "OLD NEW PATCH",
        "Writes PATCH, with which OLD becomes NEW, bit for bit. Of two GGUF files the tensors are\n"
        "matched by name and predicted from the old weights; of any other files equal stretches\n"
        "are copied and the rest is compressed. PATCH appears whole or not at all.",
        "  covey delta make assistant-1.0.0.gguf assistant-1.1.0.gguf assistant.patch",
        options,
        3,
        3};
    int exit_status;
    if (!read_words(&command, &a, argc, argv, &exit_status)) return exit_status;
    covey_runtime *runtime = NULL;
    covey_error error = {0};
    covey_delta_result result = COVEY_DELTA_RESULT_INIT;
    covey_delta_make_options make = COVEY_DELTA_MAKE_OPTIONS_INIT;
    make.old_path = a.files[0];
    make.new_path = a.files[1];
    make.patch_path = a.files[2];
    make.replace = a.force;
    double begun = seconds_now(), last = begun;
    covey_status status = open_runtime(&runtime, &error);
    if (status == COVEY_OK)
        status = covey_delta_make(runtime, &make, &result, &error, on_progress, &last);
    covey_runtime_close(runtime);
    end_progress();
    if (status != COVEY_OK) return failed("make", &error);
    app_share(a.files[2]);
    print_made(&a, &result, seconds_now() - begun);
    return APP_EXIT_DONE;
}

/* --- apply --- */

static int verb_apply(int argc, char **argv) {
    arguments a = {0};
    const app_option options[] = {
        {"force", 'f', APP_FLAG, &a.force, NULL, "replace NEW if it is there already", 0, 0},
        {"json", 0, APP_FLAG, &a.json, NULL, "print one JSON object with the figures", 0, 0},
        {0}};
    const app_command command = {
        "covey delta apply",
        "OLD PATCH NEW",
        "Makes NEW from OLD and PATCH. NEW appears whole, with the SHA-256 that the patch names, "
        "or\n"
        "not at all. OLD stays as it is; it must be the file that the patch was made from.",
        "  covey delta apply assistant-1.0.0.gguf assistant.patch assistant.gguf",
        options,
        3,
        3};
    int exit_status;
    if (!read_words(&command, &a, argc, argv, &exit_status)) return exit_status;
    covey_runtime *runtime = NULL;
    covey_error error = {0};
    covey_delta_apply_options apply = COVEY_DELTA_APPLY_OPTIONS_INIT;
    apply.old_path = a.files[0];
    apply.patch_path = a.files[1];
    apply.new_path = a.files[2];
    apply.replace = a.force;
    double begun = seconds_now(), last = begun;
    covey_status status = open_runtime(&runtime, &error);
    if (status == COVEY_OK) status = covey_delta_apply(runtime, &apply, &error, on_progress, &last);
    covey_runtime_close(runtime);
    end_progress();
    if (status != COVEY_OK) return failed("apply", &error);
    app_share(a.files[2]);
    double seconds = seconds_now() - begun;
    struct stat facts = {0};
    (void)stat(a.files[2], &facts);
    uint64_t bytes = (uint64_t)facts.st_size;
    if (a.json)
        printf("{\"new_bytes\":%" PRIu64 ",\"seconds\":%.3f,\"mb_per_second\":%.1f}\n", bytes,
               seconds, rate(bytes, seconds));
    else
        printf("%s: %" PRIu64 " bytes, %.2f s, %.0f MB/s\n", a.files[2], bytes, seconds,
               rate(bytes, seconds));
    return APP_EXIT_DONE;
}

/* --- info --- */

#define TYPES_MAX 32

/* Sums by type while the tensors pass. */
typedef struct totals {
    bool json;
    uint64_t rows;
    size_t type_count;
    struct {
        char name[16];
        uint64_t tensors, bytes, patch_bytes;
    } types[TYPES_MAX];
} totals;

/* How most of the tensor is made. */
static const char *kind_of(const covey_delta_tensor *t) {
    static const char *const names[] = {"copied", "predicted", "compressed", "stored"};
    const uint64_t bytes[] = {t->copied_bytes, t->coded_bytes, t->compressed_bytes,
                              t->stored_bytes};
    size_t most = 0;
    for (size_t i = 1; i < 4; i++)
        if (bytes[i] > bytes[most]) most = i;
    return names[most];
}

static void add_type(totals *all, const covey_delta_tensor *t) {
    const char *name = t->type[0] != '\0' ? t->type : "-";
    size_t i = 0;
    while (i < all->type_count && strcmp(all->types[i].name, name) != 0) i++;
    if (i == TYPES_MAX) return; /* there are not that many types */
    if (i == all->type_count) {
        snprintf(all->types[i].name, sizeof all->types[i].name, "%s", name);
        all->type_count++;
    }
    all->types[i].tensors++;
    all->types[i].bytes += t->bytes;
    all->types[i].patch_bytes += t->patch_bytes;
}

static covey_status on_tensor(void *user, const covey_delta_tensor *t) {
    totals *all = user;
    add_type(all, t);
    if (all->json) {
        printf("%s{\"name\":", all->rows++ == 0 ? "" : ",");
        app_put_json_text(stdout, t->name);
        printf(",\"type\":\"%s\",\"bytes\":%" PRIu64 ",\"patch_bytes\":%" PRIu64
               ",\"copied_bytes\":%" PRIu64 ",\"stored_bytes\":%" PRIu64
               ",\"compressed_bytes\":%" PRIu64 ",\"coded_bytes\":%" PRIu64 ",\"rank\":%" PRIu32
               "}",
               t->type, t->bytes, t->patch_bytes, t->copied_bytes, t->stored_bytes,
               t->compressed_bytes, t->coded_bytes, t->rank);
        return COVEY_OK;
    }
    if (all->rows++ == 0)
        printf("%-36s %-7s %12s %12s %7s  %s\n", "tensor", "type", "bytes", "in patch", "%",
               "made by");
    printf("%-36s %-7s %12" PRIu64 " %12" PRIu64 " %7.2f  %s", t->name[0] ? t->name : "(head)",
           t->type[0] ? t->type : "-", t->bytes, t->patch_bytes, share(t->patch_bytes, t->bytes),
           kind_of(t));
    if (t->rank > 0) printf(", rank %" PRIu32, t->rank);
    putchar('\n');
    return COVEY_OK;
}

static void print_json_end(const covey_delta_info *i) {
    printf("],\"old_bytes\":%" PRIu64 ",\"old_sha256\":\"%s\",\"new_bytes\":%" PRIu64
           ",\"new_sha256\":\"%s\",\"patch_bytes\":%" PRIu64 ",\"head_bytes\":%" PRIu64
           ",\"tensors_count\":%" PRIu64 ",\"parts\":%" PRIu64 ",\"frames\":%" PRIu64 "}\n",
           i->old_bytes, i->old_sha256, i->new_bytes, i->new_sha256, i->patch_bytes, i->head_bytes,
           i->tensor_count, i->part_count, i->frame_count);
}

static void print_totals(const totals *all, const covey_delta_info *i) {
    putchar('\n');
    for (size_t k = 0; k < all->type_count; k++)
        printf("%-36s %7" PRIu64 " %12" PRIu64 " %12" PRIu64 " %7.2f\n", all->types[k].name,
               all->types[k].tensors, all->types[k].bytes, all->types[k].patch_bytes,
               share(all->types[k].patch_bytes, all->types[k].bytes));
    printf("%-36s %7s %12s %12" PRIu64 "\n", "head of the patch", "", "", i->head_bytes);
    printf("%-36s %7" PRIu64 " %12" PRIu64 " %12" PRIu64 " %7.2f\n", "all", i->tensor_count,
           i->new_bytes, i->patch_bytes, share(i->patch_bytes, i->new_bytes));
    printf("\nold  %s  %" PRIu64 " bytes\nnew  %s  %" PRIu64 " bytes\n%" PRIu64
           " part%s in %" PRIu64 " frame%s\n",
           i->old_sha256, i->old_bytes, i->new_sha256, i->new_bytes, i->part_count,
           i->part_count == 1 ? "" : "s", i->frame_count, i->frame_count == 1 ? "" : "s");
}

static int verb_info(int argc, char **argv) {
    arguments a = {0};
    const app_option options[] = {
        {"json", 0, APP_FLAG, &a.json, NULL, "print one JSON object", 0, 0}, {0}};
    const app_command command = {
        "covey delta info",
        "PATCH",
        "Prints what is in a patch: a line for each tensor with its size and what it takes, sums "
        "by\n"
        "type, and which two files the patch lies between. Neither file is needed.",
        "  covey delta info assistant.patch",
        options,
        1,
        1};
    int exit_status;
    if (!read_words(&command, &a, argc, argv, &exit_status)) return exit_status;
    covey_runtime *runtime = NULL;
    covey_error error = {0};
    covey_delta_info info = COVEY_DELTA_INFO_INIT;
    totals all = {.json = a.json};
    covey_status status = open_runtime(&runtime, &error);
    if (status == COVEY_OK)
        status = covey_delta_show(runtime, a.files[0], &info, &error, NULL, NULL);
    if (status == COVEY_OK && a.json) fputs("{\"tensors\":[", stdout);
    if (status == COVEY_OK)
        status = covey_delta_show(runtime, a.files[0], &info, &error, on_tensor, &all);
    covey_runtime_close(runtime);
    if (status != COVEY_OK) return failed("info", &error);
    if (a.json)
        print_json_end(&info);
    else
        print_totals(&all, &info);
    return APP_EXIT_DONE;
}

int covey_cmd_delta(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } verbs[] = {{"make", verb_make}, {"apply", verb_apply}, {"info", verb_info}};
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return APP_EXIT_DONE;
    }
    for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(argv[1], verbs[i].name) == 0) return verbs[i].run(argc - 1, argv + 1);
    fprintf(stderr, "covey delta: make, apply or info expected%s%s\n\n%s",
            argc > 1 ? ", found " : "", argc > 1 ? argv[1] : "", usage);
    return APP_EXIT_USAGE;
}
