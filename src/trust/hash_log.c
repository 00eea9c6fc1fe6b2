/* Appending to a hash log (docs/formats/hash-log.md). Under the folder's lock:
 *
 *   load      when nothing was read yet, or another process wrote: the newest segment is scanned
 *   cut       what is torn behind its last whole line
 *   rotate    when it is closed, or there is none: the next is made with its opening line, and what
 *             falls out of the bound is removed. When the entry does not fit: close, then that
 *   append    one write at the end, one fsync
 *
 * Each step leaves a log from which the next append goes on, whenever the process is killed.
 * Invariant: what is on the disk up to `end` was synced and is right; `head` is its last line.
 * Neighbour: hash_log_read.c. */
#include "trust/hash_log.h"

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "trust/hash_log_scan.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define SEGMENT_LAST   99999999u /* names have eight digits */
#define CLOSE_LINE_MAX 512u      /* room that is left for the line that closes */

static covey_status load(covey__hash_log *log, covey_error *error) {
    covey__log_scan scan = {.env = log->env, .newest = true};
    uint32_t lowest, highest;
    if (log->has_known) scan.known = &log->known;
    log->loaded = false;
    log->segment = log->first_segment = 0;
    log->end = 0;
    log->closed = false;
    memset(&log->head, 0, sizeof log->head);
    covey_status status = covey__log_segments(log->env, log->folder, &lowest, &highest, error);
    if (status != COVEY_OK) return status;
    if (highest != 0) {
        scan.anchored = highest == 1;
        status = covey__log_scan_file(&scan, log->folder, highest, error);
        if (status == COVEY_OK && scan.line == 0)
            status =
                covey__fail(error, COVEY_ERROR_MISMATCH, "segment %" PRIu32 " is empty", highest);
        if (status != COVEY_OK) return status;
        log->segment = highest;
        log->first_segment = scan.kept_from;
        log->end = scan.end;
        log->closed = scan.closed;
        log->head = scan.head;
    }
    log->loaded = true;
    return COVEY_OK;
}

covey_status covey__hash_log_open(const covey__env *env, const char *folder,
                                  covey__hash_log_bounds bounds, covey__hash_log *log,
                                  covey_error *error) {
    return covey__hash_log_open_after(env, folder, bounds, NULL, log, error);
}

covey_status covey__hash_log_open_after(const covey__env *env, const char *folder,
                                        covey__hash_log_bounds bounds,
                                        const covey__hash_log_head *known, covey__hash_log *log,
                                        covey_error *error) {
    memset(log, 0, sizeof *log);
    log->has_known = known != NULL;
    if (known != NULL) log->known = *known;
    if (bounds.segment_bytes_max < COVEY__HASH_LOG_SEGMENT_LEAST ||
        bounds.segment_bytes_max > COVEY__HASH_LOG_SEGMENT_MAX || bounds.segment_count_max == 0)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "trust: log: a segment has %u bytes to %u, and one is kept at least",
                           COVEY__HASH_LOG_SEGMENT_LEAST, COVEY__HASH_LOG_SEGMENT_MAX);
    log->env = env;
    log->segment_bytes_max = bounds.segment_bytes_max;
    log->segment_count_max = bounds.segment_count_max;
    log->folder = covey__strdup(env, folder);
    if (log->folder == NULL) return covey__no_memory(error, "trust: log", strlen(folder) + 1);
    covey_status status = load(log, error);
    if (status == COVEY_OK) return COVEY_OK;
    covey__hash_log_close(log);
    return covey__prefix(error, status, "trust: log %s", folder);
}

void covey__hash_log_close(covey__hash_log *log) {
    if (log->env != NULL) covey__free(log->env, log->folder);
    memset(log, 0, sizeof *log);
}

/* The line that follows the head, with its newline: {"seq", "prev", "time", NAME: value}. */
static covey_status render(const covey__hash_log *log, const char *name, const char *value,
                           size_t size, covey__buffer *out, covey_error *error) {
    char prev[65];
    int64_t now = covey__now_ms(log->env);
    covey__hex(log->head.digest, 32, prev);
    covey__buffer_init(out, log->env, COVEY__HASH_LOG_LINE_MAX);
    covey__buffer_format(out, "{\"seq\":%" PRIu64 ",\"prev\":\"%s\",\"time\":%" PRId64 ",\"%s\":",
                         log->head.seq + 1, prev, now > 0 ? now : 0, name);
    covey__buffer_append(out, value, size);
    covey__buffer_text(out, "}\n");
    return covey__buffer_check(out, error, "a line");
}

static void set_head(covey__hash_log *log, const covey__buffer *line) {
    log->head.seq++;
    covey__sha256_of(line->data, line->size - 1, log->head.digest);
}

static covey_status open_segment(const covey__hash_log *log, char **path, int *descriptor,
                                 covey_error *error) {
    *path = covey__log_segment_path(log->env, log->folder, log->segment);
    if (*path == NULL) return covey__no_memory(error, "a path", strlen(log->folder) + 16);
    covey_status status =
        covey__file_open(log->env, *path, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600, descriptor, error);
    if (status == COVEY_OK) return COVEY_OK;
    covey__free(log->env, *path);
    return status;
}

/* Writes a line at the end of the newest segment, over what is torn there. */
static covey_status write_line(covey__hash_log *log, const covey__buffer *line,
                               covey_error *error) {
    char *path;
    int descriptor;
    covey_status status = open_segment(log, &path, &descriptor, error);
    if (status != COVEY_OK) return status;
    status = covey__file_truncate(log->env, descriptor, path, log->end, error);
    if (status == COVEY_OK)
        status = covey__file_write_at(log->env, descriptor, path, log->end, line->data, line->size,
                                      error);
    if (status == COVEY_OK) status = covey__file_sync(log->env, descriptor, path, error);
    if (status == COVEY_OK) {
        log->end += line->size;
        set_head(log, line);
    } else {
        /* What is there now is not known: it is taken back, and read again before the next. */
        if (covey__file_truncate(log->env, descriptor, path, log->end, NULL) != COVEY_OK)
            covey__log(log->env, COVEY_LOG_WARN, "trust", "a torn line stays until the next entry");
        log->loaded = false;
    }
    close(descriptor);
    covey__free(log->env, path);
    return status;
}

/* Appends the line that closes the newest segment. */
static covey_status close_segment(covey__hash_log *log, covey_error *error) {
    covey__buffer text, value, line;
    uint8_t digest[32];
    char hex[65];
    char *path = covey__log_segment_path(log->env, log->folder, log->segment);
    if (path == NULL) return covey__no_memory(error, "a path", strlen(log->folder) + 16);
    covey__buffer_init(&text, log->env, COVEY__HASH_LOG_SEGMENT_MAX + COVEY__HASH_LOG_LINE_MAX);
    covey__buffer_init(&value, log->env, CLOSE_LINE_MAX);
    covey__buffer_init(&line, log->env, COVEY__HASH_LOG_LINE_MAX);
    covey_status status = covey__file_read(log->env, path, &text, error);
    if (status != COVEY_OK) goto out;
    covey__sha256_of(text.data, text.size < log->end ? text.size : (size_t)log->end, digest);
    covey__hex(digest, 32, hex);
    covey__buffer_format(&value, "{\"segment\":%" PRIu32 ",\"sha256\":\"%s\"}", log->segment, hex);
    status = covey__buffer_check(&value, error, "a line");
    if (status == COVEY_OK) status = render(log, "close", value.data, value.size, &line, error);
    if (status == COVEY_OK) status = write_line(log, &line, error);
    if (status == COVEY_OK) log->closed = true;
out:
    covey__buffer_free(&text);
    covey__buffer_free(&value);
    covey__buffer_free(&line);
    covey__free(log->env, path);
    return status;
}

/* Removes what lies below the lowest segment that is kept: also what a killed process left. */
static covey_status remove_old(const covey__hash_log *log, covey_error *error) {
    uint32_t lowest, highest;
    covey_status status = covey__log_segments(log->env, log->folder, &lowest, &highest, error);
    for (; status == COVEY_OK && lowest != 0 && lowest < log->first_segment; lowest++) {
        char *path = covey__log_segment_path(log->env, log->folder, lowest);
        if (path == NULL) return covey__no_memory(error, "a path", strlen(log->folder) + 16);
        status = covey__file_remove(log->env, path, error);
        covey__free(log->env, path);
    }
    return status;
}

/* Makes the next segment with its first line. */
static covey_status next_segment(covey__hash_log *log, covey_error *error) {
    covey__buffer value, line;
    if (log->segment == SEGMENT_LAST)
        return covey__fail(error, COVEY_ERROR_LIMIT, "there are no more names for segments");
    uint32_t segment = log->segment + 1;
    uint32_t first = log->first_segment != 0 ? log->first_segment : 1;
    if (segment - first >= log->segment_count_max) first = segment - log->segment_count_max + 1;
    covey__buffer_init(&value, log->env, 128);
    covey__buffer_init(&line, log->env, COVEY__HASH_LOG_LINE_MAX);
    covey__buffer_format(&value, "{\"segment\":%" PRIu32 ",\"first\":%" PRIu32 "}", segment, first);
    char *path = covey__log_segment_path(log->env, log->folder, segment);
    covey_status status = path != NULL
                              ? covey__buffer_check(&value, error, "a line")
                              : covey__no_memory(error, "a path", strlen(log->folder) + 16);
    if (status == COVEY_OK) status = render(log, "open", value.data, value.size, &line, error);
    if (status == COVEY_OK) {
        log->loaded = false; /* until it is known to be there */
        status = covey__file_replace(log->env, path, line.data, line.size, error);
    }
    if (status == COVEY_OK) {
        log->loaded = true;
        log->segment = segment;
        log->first_segment = first;
        log->end = line.size;
        log->closed = false;
        set_head(log, &line);
        status = remove_old(log, error);
    }
    covey__buffer_free(&value);
    covey__buffer_free(&line);
    covey__free(log->env, path);
    return status;
}

/* What the folder holds is what is remembered; else it is read again. */
static covey_status refresh(covey__hash_log *log, covey_error *error) {
    uint32_t lowest, highest;
    uint64_t size = 0;
    covey_status status = covey__log_segments(log->env, log->folder, &lowest, &highest, error);
    if (status == COVEY_OK && log->loaded && highest == log->segment && highest != 0) {
        char *path = covey__log_segment_path(log->env, log->folder, highest);
        if (path == NULL) return covey__no_memory(error, "a path", strlen(log->folder) + 16);
        status = covey__file_size(log->env, path, &size, error);
        covey__free(log->env, path);
    }
    if (status != COVEY_OK) return status;
    if (log->loaded && highest == log->segment && size == log->end) return COVEY_OK;
    return load(log, error);
}

static covey_status append_locked(covey__hash_log *log, const char *object, size_t size,
                                  covey_error *error) {
    covey__buffer line;
    covey__buffer_init(&line, log->env, COVEY__HASH_LOG_LINE_MAX);
    covey_status status = refresh(log, error);
    if (status == COVEY_OK && (log->segment == 0 || log->closed)) status = next_segment(log, error);
    if (status == COVEY_OK) status = render(log, "entry", object, size, &line, error);
    if (status == COVEY_OK && log->end + line.size + CLOSE_LINE_MAX > log->segment_bytes_max &&
        log->end > CLOSE_LINE_MAX) {
        covey__buffer_free(&line);
        status = close_segment(log, error);
        if (status == COVEY_OK) status = next_segment(log, error);
        if (status == COVEY_OK) status = render(log, "entry", object, size, &line, error);
    }
    if (status == COVEY_OK) status = write_line(log, &line, error);
    covey__buffer_free(&line);
    return status;
}

/* One object in one line, as it will be read. */
static covey_status check_object(const covey__env *env, const char *object, size_t size,
                                 covey_error *error) {
    covey__arena arena;
    const covey__json *root = NULL;
    covey__json_limits limits = {COVEY__HASH_LOG_ENTRY_MAX, 30, 8000};
    covey__arena_init(&arena, env, 2u << 20);
    covey_status status = covey__json_parse(&arena, object, size, limits, &root, error);
    bool right = status == COVEY_OK && root->kind == COVEY__JSON_OBJECT;
    covey__arena_free(&arena);
    if (status != COVEY_OK) return status;
    if (right && memchr(object, '\n', size) == NULL) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                       "an entry is one JSON object in one line");
}

covey_status covey__hash_log_append(covey__hash_log *log, const char *object, size_t size,
                                    covey__hash_log_head *head, covey_error *error) {
    int lock = -1;
    char *lock_path = NULL;
    covey_status status = check_object(log->env, object, size, error);
    if (status == COVEY_OK) status = covey__folder_make(log->env, log->folder, error);
    if (status != COVEY_OK) goto out;
    lock_path = covey__path_join(log->env, log->folder, "lock");
    status = lock_path != NULL ? covey__lock_take(log->env, lock_path, true, &lock, error)
                               : covey__no_memory(error, "a path", strlen(log->folder) + 6);
    if (status != COVEY_OK) goto out;
    status = append_locked(log, object, size, error);
    covey__lock_drop(lock);
    if (status == COVEY_OK) log->known = log->head;
    if (status == COVEY_OK && head != NULL) *head = log->head;
out:
    covey__free(log->env, lock_path);
    if (status != COVEY_OK) covey__prefix(error, status, "trust: log %s", log->folder);
    return status;
}
