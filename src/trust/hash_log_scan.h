/* How a segment of a hash log is read: for the check of the whole, and for what appends. */
#ifndef COVEY_TRUST_HASH_LOG_SCAN_H
#define COVEY_TRUST_HASH_LOG_SCAN_H

#include "trust/hash_log.h"

typedef struct covey__log_scan {
    const covey__env *env;
    /* Where the chain stands. Not anchored: the first line is believed. */
    bool anchored;
    covey__hash_log_head head;
    /* Of the segment that was scanned last. */
    uint32_t segment, kept_from; /* its "first" */
    bool closed;
    uint64_t end, line; /* of the whole lines: bytes, count */
    uint64_t torn_bytes, entry_count, first_seq;
    bool newest; /* the segment that is scanned is the last: only there can a line be torn */
    const covey__hash_log_head *known; /* a line that must be there; may be NULL */
    covey__hash_log_fn each;           /* may be NULL */
    void *user;
} covey__log_scan;

/* Reads one segment's text on from where the chain stands. MISMATCH at a broken line: `line` is the
 * number of the last right one. */
covey_status covey__log_scan_text(covey__log_scan *scan, uint32_t segment, const char *text,
                                  size_t size, covey_error *error) COVEY_MUST_USE;
/* The same of a file in the log's folder. */
covey_status covey__log_scan_file(covey__log_scan *scan, const char *folder, uint32_t segment,
                                  covey_error *error) COVEY_MUST_USE;
/* The path of a segment in new memory; NULL when refused. */
char *covey__log_segment_path(const covey__env *env, const char *folder, uint32_t segment);
/* The lowest and highest segment numbers in the folder; zeros when there are none. */
covey_status covey__log_segments(const covey__env *env, const char *folder, uint32_t *lowest,
                                 uint32_t *highest, covey_error *error) COVEY_MUST_USE;

#endif
