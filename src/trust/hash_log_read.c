/* Reading a hash log (docs/formats/hash-log.md). One walk serves all: lines are split, parsed and
 * held to the chain, segment after segment. Invariant: `head` in the scan is the last line that was
 * right, and everything before it is. A line without its newline, or with a NUL in it, at the very
 * end is torn and no more than that, and so is whatever is not right behind the head that the
 * caller keeps: it was never acknowledged. Every other fault is a broken line. Neighbour:
 * hash_log.c. */
#include "trust/hash_log_scan.h"

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static covey_status broken(const covey__log_scan *scan, covey_error *error, const char *why) {
    return covey__fail(error, COVEY_ERROR_MISMATCH, "segment %" PRIu32 ", line %" PRIu64 ": %s",
                       scan->segment, scan->line + 1, why);
}

static bool get_u64(const covey__json *object, const char *name, uint64_t *out) {
    int64_t value;
    const covey__json *member = covey__json_get(object, name);
    if (!covey__json_to_i64(member, &value) || value < 0) return false;
    *out = (uint64_t)value;
    return true;
}

static bool get_digest(const covey__json *object, const char *name, uint8_t out[32]) {
    const covey__json *member = covey__json_get(object, name);
    return member != NULL && member->kind == COVEY__JSON_STRING &&
           covey__unhex(member->text, member->size, out, 32);
}

/* The line that opens a segment: its number, and the lowest that is kept. */
static covey_status check_open(covey__log_scan *scan, const covey__json *open, covey_error *error) {
    uint64_t segment, first;
    if (scan->line != 0) return broken(scan, error, "\"open\" is not the segment's first line");
    if (!get_u64(open, "segment", &segment) || segment != scan->segment)
        return broken(scan, error, "it opens another segment");
    if (!get_u64(open, "first", &first) || first == 0 || first > segment)
        return broken(scan, error, "open.first is not a segment up to this one");
    scan->kept_from = (uint32_t)first;
    return COVEY_OK;
}

static covey_status check_close(covey__log_scan *scan, const covey__json *close, const char *text,
                                covey_error *error) {
    uint64_t segment;
    uint8_t claimed[32], digest[32];
    if (!get_u64(close, "segment", &segment) || segment != scan->segment)
        return broken(scan, error, "it closes another segment");
    covey__sha256_of(text, (size_t)scan->end, digest);
    if (!get_digest(close, "sha256", claimed) || memcmp(claimed, digest, 32) != 0)
        return broken(scan, error, "close.sha256 is not that of the segment");
    scan->closed = true;
    return COVEY_OK;
}

/* Number, link and kind of one line. */
static covey_status check_members(covey__log_scan *scan, const covey__json *root, const char *text,
                                  covey__hash_log_line *line, covey_error *error) {
    uint64_t time;
    uint8_t prev[32];
    const covey__json *open = covey__json_get(root, "open"),
                      *close = covey__json_get(root, "close");
    line->segment = scan->segment;
    line->entry = covey__json_get(root, "entry");
    if ((open != NULL) + (close != NULL) + (line->entry != NULL) != 1)
        return broken(scan, error, "expected one of \"entry\", \"open\" and \"close\"");
    if (!get_u64(root, "seq", &line->seq) || !get_digest(root, "prev", prev) ||
        !get_u64(root, "time", &time) || time > INT64_MAX)
        return broken(scan, error, "expected seq, prev and time");
    line->time_ms = (int64_t)time;
    if (!scan->anchored) {
        scan->head.seq = line->seq - 1;
        memcpy(scan->head.digest, prev, 32);
        scan->anchored = true;
    }
    if (line->seq == 0 || line->seq != scan->head.seq + 1)
        return broken(scan, error, "its number does not follow");
    if (memcmp(prev, scan->head.digest, 32) != 0)
        return broken(scan, error,
                      "its link does not hold: it was changed, or the line before was");
    if (scan->closed) return broken(scan, error, "it stands behind the line that closes");
    if (open != NULL) return check_open(scan, open, error);
    if (scan->line == 0) return broken(scan, error, "expected the line that opens the segment");
    if (close != NULL) return check_close(scan, close, text, error);
    if (line->entry->kind != COVEY__JSON_OBJECT)
        return broken(scan, error, "\"entry\" is no object");
    return COVEY_OK;
}

/* One whole line of `size` bytes at scan->end, newline not counted. */
static covey_status scan_line(covey__log_scan *scan, const char *text, size_t size,
                              covey_error *error) {
    covey__arena arena;
    covey__hash_log_line line = {0};
    const covey__json *root = NULL;
    covey__json_limits limits = {COVEY__HASH_LOG_LINE_MAX, 32, 8192};
    covey__arena_init(&arena, scan->env, 2u << 20);
    const char *at = text + scan->end;
    covey_status status = covey__json_parse(&arena, at, size, limits, &root, error);
    if (status != COVEY_OK && status != COVEY_ERROR_NO_MEMORY)
        status = broken(scan, error, "it is no JSON");
    if (status == COVEY_OK) status = check_members(scan, root, text, &line, error);
    if (status != COVEY_OK) goto out;
    covey__hash_log_head head = {.seq = line.seq};
    covey__sha256_of(at, size, head.digest);
    if (scan->known != NULL && scan->known->seq == head.seq &&
        memcmp(scan->known->digest, head.digest, 32) != 0) {
        status = broken(scan, error, "it is another line than the one that was written");
        goto out;
    }
    if (scan->each != NULL) status = scan->each(scan->user, &line);
    if (status != COVEY_OK) goto out;
    if (scan->first_seq == 0) scan->first_seq = line.seq;
    scan->entry_count += line.entry != NULL;
    scan->head = head;
    scan->line++;
    scan->end += size + 1;
out:
    covey__arena_free(&arena);
    return status;
}

covey_status covey__log_scan_text(covey__log_scan *scan, uint32_t segment, const char *text,
                                  size_t size, covey_error *error) {
    covey_status status = COVEY_OK;
    scan->segment = segment;
    scan->closed = false;
    scan->end = scan->line = scan->torn_bytes = 0;
    while (status == COVEY_OK && scan->end < size) {
        const char *at = text + scan->end;
        size_t left = size - (size_t)scan->end;
        const char *newline = memchr(at, '\n', left);
        size_t length = newline != NULL ? (size_t)(newline - at) : left;
        bool last = newline == NULL || length + 1 == left;
        if (newline == NULL || (last && memchr(at, '\0', length) != NULL)) {
            scan->torn_bytes = left;
            break;
        }
        status = scan_line(scan, text, length, error);
        bool unacknowledged =
            scan->newest && scan->known != NULL && scan->head.seq >= scan->known->seq;
        if (status == COVEY_ERROR_MISMATCH && unacknowledged) {
            scan->torn_bytes = left;
            return COVEY_OK;
        }
    }
    return status;
}

char *covey__log_segment_path(const covey__env *env, const char *folder, uint32_t segment) {
    return covey__format(env, "%s/%08" PRIu32 ".log", folder, segment);
}

covey_status covey__log_scan_file(covey__log_scan *scan, const char *folder, uint32_t segment,
                                  covey_error *error) {
    covey__buffer text;
    char *path = covey__log_segment_path(scan->env, folder, segment);
    if (path == NULL) return covey__no_memory(error, "trust: log", strlen(folder) + 16);
    covey__buffer_init(&text, scan->env, COVEY__HASH_LOG_SEGMENT_MAX + COVEY__HASH_LOG_LINE_MAX);
    covey_status status = covey__file_read(scan->env, path, &text, error);
    if (status == COVEY_OK)
        status = covey__log_scan_text(scan, segment, text.data, text.size, error);
    covey__buffer_free(&text);
    covey__free(scan->env, path);
    return status;
}

typedef struct range {
    uint32_t lowest, highest;
} range;

static covey_status see_name(void *user, const char *name, bool is_folder) {
    range *seen = user;
    if (is_folder || strlen(name) != 12 || strspn(name, "0123456789") != 8 ||
        strcmp(name + 8, ".log") != 0)
        return COVEY_OK;
    uint32_t number = 0;
    for (int i = 0; i < 8; i++) number = 10 * number + (uint32_t)(name[i] - '0');
    if (number == 0) return COVEY_OK;
    if (seen->lowest == 0 || number < seen->lowest) seen->lowest = number;
    if (number > seen->highest) seen->highest = number;
    return COVEY_OK;
}

covey_status covey__log_segments(const covey__env *env, const char *folder, uint32_t *lowest,
                                 uint32_t *highest, covey_error *error) {
    range seen = {0, 0};
    bool is_there = false;
    covey_status status = covey__file_find(env, folder, &is_there, error);
    if (status == COVEY_OK && is_there)
        status = covey__folder_list(env, folder, error, see_name, &seen);
    *lowest = seen.lowest;
    *highest = seen.highest;
    return status;
}

/* The lowest segment that must be there: what the newest one says. */
static covey_status find_first(covey__log_scan *scan, const char *folder, uint32_t lowest,
                               uint32_t highest, uint32_t *first, covey_error *error) {
    covey__log_scan newest = {.env = scan->env};
    *first = lowest;
    newest.anchored = false;
    covey_status status = covey__log_scan_file(&newest, folder, highest, error);
    if (newest.kept_from != 0) *first = newest.kept_from;
    /* A broken line is found again, in its place, by the walk over all. */
    return status == COVEY_ERROR_MISMATCH ? COVEY_OK : status;
}

static covey_status verify_all(covey__log_scan *scan, const char *folder, uint32_t first,
                               uint32_t highest, covey_error *error) {
    /* The first line of all has nothing before it; what a later segment follows was removed. */
    scan->anchored = first == 1;
    for (uint32_t segment = first; segment <= highest; segment++) {
        scan->newest = segment == highest;
        covey_status status = covey__log_scan_file(scan, folder, segment, error);
        if (status == COVEY_ERROR_NOT_FOUND) {
            scan->segment = segment;
            scan->line = 0;
            status =
                covey__fail(error, COVEY_ERROR_MISMATCH, "segment %" PRIu32 " is missing", segment);
        }
        if (status == COVEY_OK && scan->line == 0)
            status = broken(scan, error, "the segment is empty");
        if (status == COVEY_OK && segment < highest && (!scan->closed || scan->torn_bytes != 0))
            status = broken(scan, error, "the segment does not end with the line that closes it");
        if (status != COVEY_OK) return status;
    }
    return COVEY_OK;
}

static covey_status check_known(covey__log_scan *scan, covey_error *error) {
    const covey__hash_log_head *known = scan->known;
    if (known == NULL || known->seq <= scan->head.seq) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_MISMATCH,
                       "it ends at entry %" PRIu64 ", but entry %" PRIu64
                       " was written: its end was cut off",
                       scan->head.seq, known->seq);
}

/* Keeps a writer from turning the segments over meanwhile. A reader who may not take the lock (the
 * log on a read-only disk) reads without it. */
static covey_status lock_if_can(const covey__env *env, const char *folder, int *lock,
                                covey_error *error) {
    *lock = -1;
    if (!covey__file_exists(folder)) return COVEY_OK;
    char *path = covey__path_join(env, folder, "lock");
    if (path == NULL) return covey__no_memory(error, "a path", strlen(folder) + 6);
    covey_status status = COVEY_OK;
    if (covey__file_exists(path)) status = covey__lock_take(env, path, true, lock, error);
    covey__free(env, path);
    return status == COVEY_ERROR_NO_MEMORY ? status : COVEY_OK;
}

covey_status covey__hash_log_verify(const covey__env *env, const char *folder,
                                    const covey__hash_log_head *known, covey__hash_log_fn each,
                                    void *user, covey__hash_log_report *report,
                                    covey_error *error) {
    covey__log_scan scan = {.env = env, .known = known, .each = each, .user = user};
    uint32_t lowest = 0, highest = 0, first = 0;
    memset(report, 0, sizeof *report);
    int lock;
    covey_status status = lock_if_can(env, folder, &lock, error);
    if (status == COVEY_OK) status = covey__log_segments(env, folder, &lowest, &highest, error);
    if (status == COVEY_OK && highest != 0)
        status = find_first(&scan, folder, lowest, highest, &first, error);
    if (status == COVEY_OK && highest != 0)
        status = verify_all(&scan, folder, first, highest, error);
    if (status == COVEY_OK) status = check_known(&scan, error);
    covey__lock_drop(lock);
    report->first_seq = scan.first_seq;
    report->entry_count = scan.entry_count;
    report->torn_bytes = scan.torn_bytes;
    report->head = scan.head;
    if (status == COVEY_ERROR_MISMATCH) {
        report->broken_segment = scan.segment;
        report->broken_line = scan.line + 1;
    }
    if (status != COVEY_OK) covey__prefix(error, status, "trust: log");
    return status;
}
