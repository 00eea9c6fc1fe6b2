/* covey-fleet publish and releases: from ensemble folders to a signed release on the server. */
#include "covey-fleet/fleet_keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char command_name[] = "covey-fleet publish";

/* A line on standard error that is written over, five times a second at most. */
typedef struct progress_line {
    bool shown, on;
    struct timespec last;
} progress_line;

static void show_progress(void *user, uint64_t done, uint64_t total, uint64_t sent) {
    progress_line *line = user;
    struct timespec now;
    if (!line->on) return;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    double passed =
        (double)(now.tv_sec - line->last.tv_sec) + (double)(now.tv_nsec - line->last.tv_nsec) / 1e9;
    if (line->shown && passed < 0.2) return;
    line->last = now;
    line->shown = true;
    fprintf(stderr, "\r%5.1f %% of %.1f MiB checked, %.1f MiB sent ",
            total > 0 ? 100.0 * (double)done / (double)total : 0.0, (double)total / 1048576.0,
            (double)sent / 1048576.0);
    fflush(stderr);
}

/* "DIR:tiny,small" cut in place: what follows the last colon is classes when it reads like them. */
static covey_fleet_bundle read_bundle(char *text) {
    covey_fleet_bundle bundle = {text, NULL};
    char *colon = strrchr(text, ':');
    if (colon != NULL && colon != text &&
        strspn(colon + 1, "abcdefghijklmnopqrstuvwxyz,") == strlen(colon + 1)) {
        *colon = '\0';
        bundle.classes = colon + 1;
    }
    return bundle;
}

/* What of patches was asked for, and the table of what became of them. */
typedef struct patch_words {
    const char *count, *folder;
    app_texts from;
    bool json;
    bool headed;
} patch_words;

/* One line a patch; a machine gets its own with the result. */
static void show_patch(void *user, const covey_fleet_patch *patch) {
    patch_words *words = user;
    char part[48], chunks[32], bytes[32] = "-";
    if (words->json) return;
    if (!words->headed)
        printf("%-32s %-10s %14s %14s  %s\n", "patch for", "from", "by chunks", "by patch", "");
    words->headed = true;
    (void)snprintf(part, sizeof(part), "%s (%s)", patch->file, patch->variant);
    (void)snprintf(chunks, sizeof(chunks), "%" PRIu64, patch->chunk_bytes);
    if (patch->patch_bytes > 0)
        (void)snprintf(bytes, sizeof(bytes), "%" PRIu64, patch->patch_bytes);
    printf("%-32s %-10s %14s %14s  %s\n", part, patch->from_release, chunks, bytes, patch->why);
}

/* "2", "none"; false when it is neither. */
static bool read_patch_count(const char *text, int32_t *count) {
    char *end;
    if (text == NULL) return true;
    if (strcmp(text, "none") == 0) {
        *count = 0;
        return true;
    }
    long number = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || number < 0 || number > 16) return false;
    *count = (int32_t)number;
    return true;
}

static void print_result(const covey_fleet_published *p, bool json) {
    if (json) {
        printf("{\"release\":\"%s\",\"digest\":\"%s\",\"blobs\":%" PRIu64 ",\"blobs_sent\":%" PRIu64
               ",\"bytes\":%" PRIu64 ",\"bytes_sent\":%" PRIu64 ",\"patches\":%" PRIu64
               ",\"patch_bytes\":%" PRIu64 ",\"was_known\":%s,\"was_exported\":%s}\n",
               p->release, p->digest, p->blob_count, p->blobs_sent, p->bytes_total, p->bytes_sent,
               p->patches_kept, p->patch_bytes, p->was_known ? "true" : "false",
               p->was_exported ? "true" : "false");
        return;
    }
    if (p->was_exported) {
        printf("uploaded %s, which waits for signatures: \"covey-fleet sign FILE\", then "
               "\"publish --import FILE\"\n",
               p->release);
        return;
    }
    printf("%s %s: %" PRIu64 " blobs of %" PRIu64 " bytes, of which %" PRIu64 " blobs of %" PRIu64
           " bytes were new to the server\n",
           p->was_known ? "was already published:" : "published", p->release, p->blob_count,
           p->bytes_total, p->blobs_sent, p->bytes_sent);
}

typedef struct publish_words {
    const char *release, *export_file, *import_file;
    patch_words patches;
    fleet_folder of;
    fleet_server server;
} publish_words;

static int publish(const app_positional *folders, publish_words *words, fleet_session *session,
                   covey_fleet_keys *keys) {
    covey_error error = {0};
    covey_fleet_bundle bundles[32];
    covey_fleet_publish_options options = COVEY_FLEET_PUBLISH_OPTIONS_INIT;
    covey_fleet_published published = COVEY_FLEET_PUBLISHED_INIT;
    progress_line line = {.on = isatty(STDERR_FILENO) == 1};
    char *texts[32] = {NULL};
    int exit_status = APP_EXIT_DONE;
    for (size_t i = 0; i < folders->count; i++) {
        texts[i] = strdup(folders->items[i]);
        if (texts[i] == NULL) abort();
        bundles[i] = read_bundle(texts[i]);
    }
    options.bundles = bundles;
    options.bundle_count = folders->count;
    options.release = words->release;
    options.keys = keys;
    options.export_file = words->export_file;
    options.progress = show_progress;
    options.progress_user = &line;
    options.patch_from = words->patches.from.items;
    options.patch_from_count = words->patches.from.count;
    options.patch_folder = words->patches.folder;
    options.patch = show_patch;
    options.patch_user = &words->patches;
    words->patches.json = words->server.json;
    if (!read_patch_count(words->patches.count, &options.patch_count)) {
        fprintf(stderr, "%s: --patches: expected a number up to 16, or none\n", command_name);
        for (size_t i = 0; i < folders->count; i++) free(texts[i]);
        return APP_EXIT_USAGE;
    }
    covey_status status = covey_fleet_publish(session->client, &options, &published, &error);
    if (line.shown) fprintf(stderr, "\r%*s\r", 60, "");
    if (status == COVEY_OK) {
        print_result(&published, words->server.json);
    } else {
        exit_status = fleet_failed(command_name, &error);
    }
    for (size_t i = 0; i < folders->count; i++) free(texts[i]);
    return exit_status;
}

static int import(publish_words *words) {
    fleet_session session;
    covey_fleet_keys *keys;
    covey_error error = {0};
    char *text = NULL;
    int exit_status =
        fleet_folder_open(command_name, &words->of, &words->server, true, &session, &keys);
    if (exit_status != APP_EXIT_DONE) return exit_status;
    covey_status status =
        covey_fleet_import(session.client, keys, words->import_file, &text, &error);
    exit_status = fleet_folder_finish(command_name, keys, status, text, &error);
    fleet_folder_close(&session, keys);
    return exit_status;
}

int fleet_cmd_publish(int argc, char **argv) {
    publish_words words = {.release = NULL};
    const app_option options[] = {{"release", 'r', APP_TEXT, &words.release, "NAME@VERSION",
                                   "what the bundles must be, as a check", 0, 0},
                                  {"export", 'x', APP_TEXT, &words.export_file, "FILE",
                                   "upload, but write what is to be signed there", 0, 0},
                                  {"import", 'i', APP_TEXT, &words.import_file, "FILE",
                                   "publish what others signed; no bundles then", 0, 0},
                                  {"patches", 'p', APP_TEXT, &words.patches.count, "N",
                                   "patches from the last N versions, or none (2)", 0, 0},
                                  {"patch-from", 0, APP_TEXTS, &words.patches.from, "VERSION",
                                   "from this version instead; may be given several times", 0, 0},
                                  {"patch-folder", 0, APP_TEXT, &words.patches.folder, "DIR",
                                   "keeps files of earlier versions for the next time", 0, 0},
                                  FLEET_FOLDER_OPTIONS(words.of),
                                  FLEET_SERVER_OPTIONS(words.server),
                                  {0}};
    const app_command command = {
        command_name,
        "BUNDLE_DIR[:CLASSES]... --keys DIR",
        "Checks every byte of the ensembles, uploads the blobs that the server lacks, signs the\n"
        "product's metadata with the release in it and publishes it. Several folders are variants\n"
        "of one release, the preferred first; CLASSES (tiny,small,medium,large) says which "
        "devices\n"
        "each is for, all when left out. May be repeated after any failure: nothing is sent "
        "twice.\n"
        "Patches are made from the last versions, whose files are taken from the control plane;\n"
        "those that save less than 30 % of what chunks would take are dropped.",
        "  covey-fleet publish build/assistant-q8:medium,large build/assistant-q4:tiny,small \\\n"
        "      --keys keys --release assistant@1.1.0",
        options,
        0,
        32};
    static app_positional folders;
    fleet_session session;
    covey_fleet_keys *keys = NULL;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &folders, &exit_status)) return exit_status;
    if (words.import_file != NULL && folders.count == 0) return import(&words);
    if (folders.count == 0 || words.import_file != NULL) {
        fprintf(stderr, "%s: expected folders of bundles, or --import FILE\n", command_name);
        return APP_EXIT_USAGE;
    }
    exit_status = fleet_folder_open(command_name, &words.of, &words.server, true, &session, &keys);
    if (exit_status != APP_EXIT_DONE) return exit_status;
    exit_status = publish(&folders, &words, &session, keys);
    fleet_folder_close(&session, keys);
    return exit_status;
}

static covey_status ask_releases(void *user, const fleet_session *session, const char *word,
                                 char **text, covey_error *error) {
    (void)user;
    (void)word;
    return covey_fleet_releases(session->client, session->format, text, error);
}

int fleet_cmd_releases(int argc, char **argv) {
    static const char name[] = "covey-fleet releases";
    fleet_server server = {0};
    const app_option options[] = {FLEET_SERVER_OPTIONS(server), {0}};
    const app_command command = {name,
                                 "",
                                 "Lists the published releases, newest first.",
                                 "  covey-fleet releases --json",
                                 options,
                                 0,
                                 0};
    static app_positional words;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &words, &exit_status)) return exit_status;
    return fleet_ask(command.name, &server, NULL, ask_releases, NULL);
}
