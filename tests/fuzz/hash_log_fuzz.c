/* A segment of a hash log: what is right is right again with its own head kept apart, is not with
 * another head, and every byte of it belongs to a whole line or to the torn end. */
#include "fuzz/fuzz_target.h"

#include "trust/hash_log_scan.h"

#include <string.h>

static covey_status count_line(void *user, const covey__hash_log_line *line) {
    uint64_t *seq = user;
    FUZZ_CHECK(line->seq == *seq + 1 && line->time_ms >= 0);
    *seq = line->seq;
    return COVEY_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    covey__env_init(&env);
    uint64_t seq = 0;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey__log_scan scan = {.env = &env, .anchored = true, .each = count_line, .user = &seq};
    covey_status status = covey__log_scan_text(&scan, 1, (const char *)data, size, &error);
    FUZZ_CHECK(status == COVEY_OK || status == COVEY_ERROR_MISMATCH);
    FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
    FUZZ_CHECK(scan.entry_count <= scan.line && scan.end <= size);
    if (status != COVEY_OK) return 0;
    FUZZ_CHECK(scan.end + scan.torn_bytes == size);
    FUZZ_CHECK(scan.head.seq == scan.line);
    if (scan.line == 0) return 0;
    covey__hash_log_head known = scan.head;
    covey__log_scan again = {.env = &env, .anchored = true, .known = &known};
    FUZZ_CHECK(covey__log_scan_text(&again, 1, (const char *)data, size, NULL) == COVEY_OK);
    known.digest[7] ^= 1;
    again = (covey__log_scan){.env = &env, .anchored = true, .known = &known};
    FUZZ_CHECK(covey__log_scan_text(&again, 1, (const char *)data, size, NULL) ==
               COVEY_ERROR_MISMATCH);
    return 0;
}
