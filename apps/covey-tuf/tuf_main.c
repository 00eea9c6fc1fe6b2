/* The program covey-tuf: a client of The Update Framework for the command line, with the interface
 * that TUF's public conformance suite drives. Its exit status is 0 or 1 and nothing else. The
 * metadata folder holds metadata alone and the target folder targets alone; the clock is the
 * system's. Neighbour: include/covey/tuf.h, which does all of it. */
#include "common/files.h"
#include "common/options.h"

#include <covey/tuf.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOT_BYTES_MAX 512000

typedef struct arguments {
    const char *metadata_dir, *metadata_url, *target_dir, *target_base_url;
    app_texts target_names;
    const char *verb, *root;
} arguments;

static int fail(const char *message) {
    app_print_failure("covey-tuf", message);
    return APP_EXIT_FAILED;
}

static int init(covey_runtime *runtime, const arguments *a) {
    covey_error error = {0};
    size_t size = 0;
    char *root = app_read_file(a->root, ROOT_BYTES_MAX, &size);
    if (root == NULL) {
        char message[600];
        (void)snprintf(message, sizeof message, "%s: %s", a->root, strerror(errno));
        return fail(message);
    }
    covey_status status = covey_tuf_init(runtime, a->metadata_dir, root, size, &error);
    free(root);
    return status == COVEY_OK ? APP_EXIT_DONE : fail(error.message);
}

static covey_status download_one(covey_tuf *tuf, const arguments *a, const char *name,
                                 covey_error *error) {
    covey_tuf_target target = COVEY_TUF_TARGET_INIT;
    char file[COVEY_TUF_FILE_NAME_SIZE];
    covey_status status = covey_tuf_find(tuf, name, &target, error);
    if (status != COVEY_OK) return status;
    covey_tuf_file_name(name, file);
    char *path = app_join(a->target_dir, file);
    if (path == NULL) {
        (void)snprintf(error->message, sizeof error->message, "out of memory");
        return COVEY_ERROR_NO_MEMORY;
    }
    status = covey_tuf_download(tuf, &target, path, error);
    if (status == COVEY_OK) printf("%s: %s\n", name, path);
    free(path);
    return status;
}

/* All targets are tried; the first failure decides. */
static int download(covey_tuf *tuf, const arguments *a) {
    int result = APP_EXIT_DONE;
    if (!app_make_folder(a->target_dir)) {
        char message[600];
        (void)snprintf(message, sizeof message, "%s: %s", a->target_dir, strerror(errno));
        return fail(message);
    }
    for (size_t i = 0; i < a->target_names.count; i++) {
        covey_error error = {0};
        if (download_one(tuf, a, a->target_names.items[i], &error) != COVEY_OK)
            result = fail(error.message);
    }
    return result;
}

static int refresh(covey_runtime *runtime, const arguments *a) {
    covey_tuf_options options = COVEY_TUF_OPTIONS_INIT;
    covey_tuf_report report = COVEY_TUF_REPORT_INIT;
    covey_tuf *tuf = NULL;
    covey_error error = {0};
    options.store_dir = a->metadata_dir;
    options.metadata_url = a->metadata_url;
    options.targets_url = a->target_base_url;
    if (covey_tuf_open(runtime, &options, &tuf, &error) != COVEY_OK) return fail(error.message);
    int result = APP_EXIT_DONE;
    if (covey_tuf_refresh(tuf, 0, &report, &error) != COVEY_OK)
        result = fail(error.message);
    else
        printf("root %lld, timestamp %lld, snapshot %lld, targets %lld\n",
               (long long)report.after.root, (long long)report.after.timestamp,
               (long long)report.after.snapshot, (long long)report.after.targets);
    if (result == APP_EXIT_DONE && strcmp(a->verb, "download") == 0) result = download(tuf, a);
    covey_tuf_close(tuf);
    return result;
}

/* What the verb needs beside its options; NULL when all of it is there. */
static const char *missing(const arguments *a, size_t word_count) {
    bool is_init = strcmp(a->verb, "init") == 0, is_download = strcmp(a->verb, "download") == 0;
    if (!is_init && !is_download && strcmp(a->verb, "refresh") != 0)
        return "expected init, refresh or download";
    if (a->metadata_dir == NULL) return "expected --metadata-dir";
    if (is_init) return word_count == 2 ? NULL : "init: expected one ROOT";
    if (word_count != 1) return "unexpected words behind the command";
    if (a->metadata_url == NULL) return "expected --metadata-url";
    if (!is_download) return NULL;
    if (a->target_names.count == 0) return "download: expected --target-name";
    if (a->target_dir == NULL) return "download: expected --target-dir";
    return a->target_base_url != NULL ? NULL : "download: expected --target-base-url";
}

static int run(int argc, char **argv) {
    arguments a = {.verb = ""};
    const app_option options[] = {
        {"metadata-dir", 0, APP_TEXT, &a.metadata_dir, "DIR", "where trusted metadata is kept", 0,
         0},
        {"metadata-url", 0, APP_TEXT, &a.metadata_url, "URL", "where metadata is asked for", 0, 0},
        {"target-name", 0, APP_TEXTS, &a.target_names, "PATH",
         "the target to download; may be given several times", 0, 0},
        {"target-dir", 0, APP_TEXT, &a.target_dir, "DIR", "where targets are put", 0, 0},
        {"target-base-url", 0, APP_TEXT, &a.target_base_url, "URL", "where targets are asked for",
         0, 0},
        {NULL, 0, APP_FLAG, NULL, NULL, NULL, 0, 0}};
    const app_command command = {
        "covey-tuf",
        "init ROOT | refresh | download",
        "A client of The Update Framework, for any repository of it. init puts the first root "
        "into\n"
        "the metadata folder; refresh brings the metadata up to date; download does that and then\n"
        "fetches targets. The exit status is 0 or 1.",
        "  covey-tuf --metadata-dir trusted init root.json\n"
        "  covey-tuf --metadata-dir trusted --metadata-url https://example.org/metadata/ refresh\n",
        options,
        1,
        2};
    app_positional words;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &words, &exit_status))
        return exit_status == APP_EXIT_DONE ? APP_EXIT_DONE : APP_EXIT_FAILED;
    a.verb = words.items[0];
    a.root = words.count == 2 ? words.items[1] : NULL;
    const char *what = missing(&a, words.count);
    if (what != NULL) return fail(what);
    covey_runtime *runtime = NULL;
    covey_error error = {0};
    if (covey_runtime_open(NULL, &runtime, &error) != COVEY_OK) return fail(error.message);
    int result = strcmp(a.verb, "init") == 0 ? init(runtime, &a) : refresh(runtime, &a);
    covey_runtime_close(runtime);
    return result;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("covey-tuf %s\n", covey_version());
        return app_finish("covey-tuf", APP_EXIT_DONE) == APP_EXIT_DONE ? 0 : 1;
    }
    return app_finish("covey-tuf", run(argc, argv)) == APP_EXIT_DONE ? 0 : 1;
}
