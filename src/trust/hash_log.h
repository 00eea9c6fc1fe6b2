/* An append-only log whose lines are chained by SHA-256 (docs/formats/hash-log.md): changes, gaps
 * and reordering show, and with its head kept elsewhere truncation shows too. */
#ifndef COVEY_TRUST_HASH_LOG_H
#define COVEY_TRUST_HASH_LOG_H

#include "base/json.h"

#define COVEY__HASH_LOG_LINE_MAX      (64u << 10)
#define COVEY__HASH_LOG_SEGMENT_MAX   (16u << 20) /* bytes of a segment that a reader takes */
#define COVEY__HASH_LOG_ENTRY_MAX     (48u << 10) /* bytes of a caller's object */
#define COVEY__HASH_LOG_SEGMENT_LEAST 4096u

/* The last line: to be kept apart from the log. Zeros for a log with no lines. */
typedef struct covey__hash_log_head {
    uint64_t seq;
    uint8_t digest[32];
} covey__hash_log_head;

/* A log that is appended to. One owner at a time; processes take turns by its lock. */
typedef struct covey__hash_log {
    const covey__env *env;
    char *folder;
    uint64_t segment_bytes_max;
    uint32_t segment_count_max; /* older ones are removed */
    /* What was found or written last. */
    bool loaded;
    uint32_t segment, first_segment; /* 0: there is none yet */
    uint64_t end;                    /* of the newest segment's last whole line */
    bool closed;                     /* that line closes it */
    covey__hash_log_head head;
    bool has_known;
    covey__hash_log_head known; /* the head that its owner keeps */
} covey__hash_log;

typedef struct covey__hash_log_bounds {
    uint64_t segment_bytes_max; /* COVEY__HASH_LOG_SEGMENT_LEAST to COVEY__HASH_LOG_SEGMENT_MAX */
    uint32_t segment_count_max; /* 1 or more */
} covey__hash_log_bounds;
#define COVEY__HASH_LOG_BOUNDS_USUAL ((covey__hash_log_bounds){1u << 20, 8})

/* Opens the log in `folder` (made with the first append). MISMATCH when its newest segment is
 * broken: nothing can be appended then. */
covey_status covey__hash_log_open(const covey__env *env, const char *folder,
                                  covey__hash_log_bounds bounds, covey__hash_log *log,
                                  covey_error *error) COVEY_MUST_USE;
/* The same for who keeps the head apart: what is not right behind it was never acknowledged, and
 * the next append cuts it. `known` is copied; NULL: as above. That the log reaches it is the
 * caller's to check. */
covey_status covey__hash_log_open_after(const covey__env *env, const char *folder,
                                        covey__hash_log_bounds bounds,
                                        const covey__hash_log_head *known, covey__hash_log *log,
                                        covey_error *error) COVEY_MUST_USE;
void covey__hash_log_close(covey__hash_log *log);

/* Appends the caller's JSON object, at most COVEY__HASH_LOG_ENTRY_MAX bytes without a newline in
 * it; it is on the disk once this returns COVEY_OK, and `head` (may be NULL) is the new head. After
 * a failure the entry is not there, or is torn and cut later. */
covey_status covey__hash_log_append(covey__hash_log *log, const char *object, size_t size,
                                    covey__hash_log_head *head, covey_error *error) COVEY_MUST_USE;

/* One line as it is read. `entry` is NULL for lines that open or close a segment. */
typedef struct covey__hash_log_line {
    uint64_t seq;
    int64_t time_ms;
    uint32_t segment;
    const covey__json *entry; /* valid for the call */
} covey__hash_log_line;
typedef covey_status (*covey__hash_log_fn)(void *user, const covey__hash_log_line *line);

typedef struct covey__hash_log_report {
    uint64_t first_seq;        /* of the oldest line that is kept */
    uint64_t entry_count;      /* the caller's, that are right */
    uint64_t torn_bytes;       /* behind the last whole line */
    covey__hash_log_head head; /* of what is right */
    /* The first broken line, counted from 1; 0 when none is. */
    uint32_t broken_segment;
    uint64_t broken_line;
} covey__hash_log_report;

/* Reads and checks the whole log. `known` (may be NULL) is the head that was kept apart. `each`
 * (may be NULL) gets every line that is right, in order, and must not append; anything but COVEY_OK
 * from it stops. MISMATCH when the log was changed, cut or has lost a segment, with the first
 * broken line in the report. An absent log is an empty one. */
covey_status covey__hash_log_verify(const covey__env *env, const char *folder,
                                    const covey__hash_log_head *known, covey__hash_log_fn each,
                                    void *user, covey__hash_log_report *report,
                                    covey_error *error) COVEY_MUST_USE;

#endif
