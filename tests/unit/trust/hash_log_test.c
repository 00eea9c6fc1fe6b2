/* The hash log: what is appended is read; every changed byte, lost line and lost segment shows; a
 * process that is killed at any step leaves a log that goes on. */
#include "support/support.h"

#include "base/file.h"
#include "trust/hash_log.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct fixture {
    test_env test;
    test_folder root;
    char folder[300];
    covey__hash_log_head head;
    covey_error error;
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    test_env_init(&f->test);
    test_folder_make(&f->root);
    strcpy(f->folder, test_path(&f->root, "audit"));
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    test_folder_remove(&f->root);
    assert_int_equal(f->test.alive, 0);
    free(f);
    return 0;
}

static const covey__hash_log_bounds small = {COVEY__HASH_LOG_SEGMENT_LEAST, 3};

static void append_some(fixture *f, covey__hash_log_bounds bounds, int first, int count) {
    covey__hash_log log;
    assert_int_equal(covey__hash_log_open(&f->test.env, f->folder, bounds, &log, &f->error),
                     COVEY_OK);
    for (int i = first; i < first + count; i++) {
        char object[64];
        snprintf(object, sizeof object, "{\"n\":%d}", i);
        assert_int_equal(covey__hash_log_append(&log, object, strlen(object), &f->head, &f->error),
                         COVEY_OK);
    }
    covey__hash_log_close(&log);
}

typedef struct seen {
    int first, last, count;
} seen;

static covey_status see(void *user, const covey__hash_log_line *line) {
    seen *s = user;
    int64_t n;
    if (line->entry == NULL) return COVEY_OK;
    assert_true(covey__json_to_i64(covey__json_get(line->entry, "n"), &n));
    if (s->count == 0) s->first = (int)n;
    if (s->count > 0) assert_int_equal(n, s->last + 1);
    s->last = (int)n;
    s->count++;
    return COVEY_OK;
}

static covey_status verify(fixture *f, const covey__hash_log_head *known, seen *s,
                           covey__hash_log_report *report) {
    memset(s, 0, sizeof *s);
    return covey__hash_log_verify(&f->test.env, f->folder, known, see, s, report, &f->error);
}

static void what_is_appended_is_read(void **state) {
    fixture *f = *state;
    seen s;
    covey__hash_log_report report;
    assert_int_equal(verify(f, NULL, &s, &report), COVEY_OK); /* absent: empty */
    assert_int_equal(report.entry_count, 0);
    append_some(f, COVEY__HASH_LOG_BOUNDS_USUAL, 0, 3);
    append_some(f, COVEY__HASH_LOG_BOUNDS_USUAL, 3, 2);
    assert_int_equal(verify(f, &f->head, &s, &report), COVEY_OK);
    assert_int_equal(s.first, 0);
    assert_int_equal(s.last, 4);
    assert_int_equal(report.entry_count, 5);
    assert_int_equal(report.head.seq, 6); /* and the line that opens */
    assert_memory_equal(&report.head, &f->head, sizeof f->head);
    assert_int_equal(report.torn_bytes, 0);
}

static void segments_turn_over(void **state) {
    fixture *f = *state;
    seen s;
    covey__hash_log_report report;
    append_some(f, small, 0, 200);
    assert_int_equal(verify(f, &f->head, &s, &report), COVEY_OK);
    assert_int_equal(s.last, 199);
    assert_true(s.first > 0 && s.count < 200 && s.count > 40);
    assert_true(report.first_seq > 1);
    assert_int_equal(access(test_path(&f->root, "audit/00000001.log"), F_OK), -1);
    append_some(f, small, 200, 1);
    assert_int_equal(verify(f, &f->head, &s, &report), COVEY_OK);
    assert_int_equal(s.last, 200);
}

static void an_entry_must_be_one_object_in_one_line(void **state) {
    fixture *f = *state;
    static const char *const bad[] = {"", "1", "[]", "{", "{\"a\":1}{}", "{\n}", "{\"a\":1}\n"};
    covey__hash_log log;
    assert_int_equal(
        covey__hash_log_open(&f->test.env, f->folder, COVEY__HASH_LOG_BOUNDS_USUAL, &log, NULL),
        COVEY_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_not_equal(covey__hash_log_append(&log, bad[i], strlen(bad[i]), NULL, &f->error),
                             COVEY_OK);
    char *huge = malloc(COVEY__HASH_LOG_ENTRY_MAX + 1);
    memset(huge, 'x', COVEY__HASH_LOG_ENTRY_MAX + 1);
    memcpy(huge, "{\"a\":\"", 6);
    memcpy(huge + COVEY__HASH_LOG_ENTRY_MAX - 1, "\"}", 2);
    assert_int_equal(
        covey__hash_log_append(&log, huge, COVEY__HASH_LOG_ENTRY_MAX + 1, NULL, &f->error),
        COVEY_ERROR_LIMIT);
    memcpy(huge + COVEY__HASH_LOG_ENTRY_MAX - 2, "\"}", 2);
    assert_int_equal(covey__hash_log_append(&log, huge, COVEY__HASH_LOG_ENTRY_MAX, NULL, &f->error),
                     COVEY_OK);
    free(huge);
    covey__hash_log_close(&log);
}

/* Every byte of every segment, changed: the check says no, with the line at or before the change.
 */
static void every_changed_byte_shows(void **state) {
    fixture *f = *state;
    seen s;
    covey__hash_log_report report;
    append_some(f, small, 0, 60);
    for (int segment = 1; segment <= 3; segment++) {
        char name[64];
        size_t size;
        snprintf(name, sizeof name, "audit/%08d.log", segment);
        char path[400];
        strcpy(path, test_path(&f->root, name));
        char *text = test_read(path, &size);
        if (text == NULL) break;
        uint64_t line = 1;
        for (size_t i = 0; i < size; i += 7) {
            char kept = text[i];
            line = 1;
            for (size_t k = 0; k < i; k++) line += text[k] == '\n';
            text[i] = kept == 'x' ? 'y' : 'x';
            test_write(path, text, size);
            assert_int_equal(covey__hash_log_verify(&f->test.env, f->folder, &f->head, NULL, NULL,
                                                    &report, &f->error),
                             COVEY_ERROR_MISMATCH);
            assert_true(report.broken_segment >= 1 && report.broken_line >= 1);
            if (report.broken_segment == (uint32_t)segment)
                assert_in_range(report.broken_line, line, line + 1);
            text[i] = kept;
        }
        test_write(path, text, size);
        free(text);
    }
    assert_int_equal(verify(f, &f->head, &s, &report), COVEY_OK);
}

static void lost_lines_and_segments_show(void **state) {
    fixture *f = *state;
    seen s;
    covey__hash_log_report report;
    char path[400];
    size_t size;
    append_some(f, small, 0, 60);
    strcpy(path, test_path(&f->root, "audit/00000002.log"));
    char *text = test_read(path, &size);
    assert_non_null(text);
    /* Without its last line, without a line in the middle, without all. */
    size_t last = size - 1, second = (size_t)(strchr(text, '\n') - text) + 1;
    while (text[last - 1] != '\n') last--;
    test_write(path, text, last);
    assert_int_equal(verify(f, &f->head, &s, &report), COVEY_ERROR_MISMATCH);
    size_t third = (size_t)(strchr(text + second, '\n') - text) + 1;
    char *less = malloc(size);
    memcpy(less, text, second);
    memcpy(less + second, text + third, size - third);
    test_write(path, less, second + size - third);
    assert_int_equal(verify(f, &f->head, &s, &report), COVEY_ERROR_MISMATCH);
    assert_int_equal(report.broken_segment, 2);
    assert_int_equal(report.broken_line, 2);
    test_write(path, "", 0);
    assert_int_equal(verify(f, &f->head, &s, &report), COVEY_ERROR_MISMATCH);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(verify(f, &f->head, &s, &report), COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(f->error.message, "segment 2 is missing"));
    free(less);
    free(text);
}

static void a_cut_end_shows_by_the_head(void **state) {
    fixture *f = *state;
    seen s;
    covey__hash_log_report report;
    char path[400];
    size_t size;
    append_some(f, COVEY__HASH_LOG_BOUNDS_USUAL, 0, 4);
    covey__hash_log_head before = f->head;
    append_some(f, COVEY__HASH_LOG_BOUNDS_USUAL, 4, 1);
    strcpy(path, test_path(&f->root, "audit/00000001.log"));
    char *text = test_read(path, &size);
    size_t last = size - 1;
    while (text[last - 1] != '\n') last--;
    test_write(path, text, last);
    assert_int_equal(verify(f, NULL, &s, &report), COVEY_OK); /* alone it cannot know */
    assert_int_equal(verify(f, &before, &s, &report), COVEY_OK);
    assert_int_equal(verify(f, &f->head, &s, &report), COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(f->error.message, "cut off"));
    /* Another line in its place: the chain is whole, the head says no. */
    append_some(f, COVEY__HASH_LOG_BOUNDS_USUAL, 4, 1);
    covey__hash_log_head other = f->head;
    other.digest[0] ^= 1;
    assert_int_equal(verify(f, &other, &s, &report), COVEY_ERROR_MISMATCH);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(verify(f, &f->head, &s, &report), COVEY_ERROR_MISMATCH);
    free(text);
}

/* Cut at every byte of the last line: torn, not broken; the next append goes on from the one
 * before. */
static void a_torn_line_is_cut(void **state) {
    fixture *f = *state;
    seen s;
    covey__hash_log_report report;
    char path[400];
    size_t size;
    append_some(f, COVEY__HASH_LOG_BOUNDS_USUAL, 0, 3);
    covey__hash_log_head acknowledged = f->head;
    strcpy(path, test_path(&f->root, "audit/00000001.log"));
    size_t whole;
    free(test_read(path, &whole));
    append_some(f, COVEY__HASH_LOG_BOUNDS_USUAL, 3, 1);
    char *text = test_read(path, &size);
    for (size_t at = whole + 1; at < size; at++) {
        test_write(path, text, at);
        assert_int_equal(verify(f, &acknowledged, &s, &report), COVEY_OK);
        assert_int_equal(report.torn_bytes, at - whole);
        assert_int_equal(s.last, 2);
        append_some(f, COVEY__HASH_LOG_BOUNDS_USUAL, 3, 1);
        assert_int_equal(verify(f, &f->head, &s, &report), COVEY_OK);
        assert_int_equal(s.last, 3);
        assert_int_equal(report.torn_bytes, 0);
    }
    memset(text + whole, 0, size - 1 - whole); /* as a power cut leaves a block */
    test_write(path, text, size);
    assert_int_equal(verify(f, &acknowledged, &s, &report), COVEY_OK);
    assert_int_equal(report.torn_bytes, size - whole);
    append_some(f, COVEY__HASH_LOG_BOUNDS_USUAL, 3, 1);
    free(text);
}

static void nothing_is_appended_to_a_broken_log(void **state) {
    fixture *f = *state;
    covey__hash_log log;
    char path[400];
    size_t size;
    append_some(f, COVEY__HASH_LOG_BOUNDS_USUAL, 0, 3);
    strcpy(path, test_path(&f->root, "audit/00000001.log"));
    char *text = test_read(path, &size);
    strstr(text, "\"n\":1")[4] = '7';
    test_write(path, text, size);
    assert_int_equal(covey__hash_log_open(&f->test.env, f->folder, small, &log, &f->error),
                     COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(f->error.message, "line 4")); /* its link does not hold any more */
    free(text);
}

static void two_writers_take_turns(void **state) {
    fixture *f = *state;
    seen s;
    covey__hash_log_report report;
    covey__hash_log a, b;
    assert_int_equal(covey__hash_log_open(&f->test.env, f->folder, small, &a, NULL), COVEY_OK);
    assert_int_equal(covey__hash_log_open(&f->test.env, f->folder, small, &b, NULL), COVEY_OK);
    for (int i = 0; i < 100; i++) {
        char object[64];
        snprintf(object, sizeof object, "{\"n\":%d}", i);
        assert_int_equal(covey__hash_log_append(i % 3 == 0 ? &a : &b, object, strlen(object),
                                                &f->head, &f->error),
                         COVEY_OK);
    }
    covey__hash_log_close(&a);
    covey__hash_log_close(&b);
    assert_int_equal(verify(f, &f->head, &s, &report), COVEY_OK);
    assert_int_equal(s.last, 99);
}

/* Each call of each fault point fails in turn, over two segments' worth of entries: the log is
 * right after each, and what was acknowledged is in it. */
static void every_failed_step_leaves_a_right_log(void **state) {
    fixture *f = *state;
    static const char *const points[] = {"open",   "write", "fsync", "rename", "truncate",
                                         "unlink", "lock",  "mkdir", "read"};
    int failures = 0;
    for (size_t p = 0; p < sizeof points / sizeof *points; p++)
        for (int64_t nth = 1; nth < 400; nth += nth < 30 ? 1 : 7) {
            seen s;
            covey__hash_log_report report;
            covey__hash_log log;
            int acknowledged = -1;
            covey__hash_log_head head = {0};
            assert_int_equal(covey__tree_remove(&f->test.env, f->folder, NULL), COVEY_OK);
            assert_int_equal(covey__hash_log_open(&f->test.env, f->folder, small, &log, NULL),
                             COVEY_OK);
            f->test.point = points[p];
            f->test.point_calls = 0;
            f->test.point_fails = nth;
            int next = 0;
            for (int tries = 0; tries < 45; tries++) {
                char object[64];
                snprintf(object, sizeof object, "{\"n\":%d}", next);
                if (covey__hash_log_append(&log, object, strlen(object), &head, &f->error) ==
                    COVEY_OK)
                    acknowledged = next++;
                else
                    failures++;
            }
            bool fired = f->test.point_calls >= nth;
            f->test.point_fails = 0;
            covey__hash_log_close(&log);
            assert_int_equal(verify(f, &head, &s, &report), COVEY_OK);
            assert_int_equal(s.last, acknowledged);
            if (!fired) break;
        }
    assert_true(failures > 50);
}

/* A child is killed at the Nth fault point; what it leaves is right and goes on. */
static int64_t kill_at, kill_calls;

static int kill_here(void *user, const char *point, const char *subject) {
    (void)user, (void)point, (void)subject;
    if (++kill_calls == kill_at) _exit(9);
    return 0;
}

static void a_killed_writer_leaves_a_right_log(void **state) {
    fixture *f = *state;
    int64_t step = 1;
    for (;; step += step < 40 ? 1 : 3) {
        seen s;
        covey__hash_log_report report;
        int code = 0;
        assert_int_equal(covey__tree_remove(&f->test.env, f->folder, NULL), COVEY_OK);
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            covey__hash_log log;
            kill_at = step;
            kill_calls = 0;
            f->test.env.fault = kill_here;
            if (covey__hash_log_open(&f->test.env, f->folder, small, &log, NULL) != COVEY_OK)
                _exit(1);
            for (int i = 0; i < 40; i++) {
                char object[64];
                snprintf(object, sizeof object, "{\"n\":%d}", i);
                if (covey__hash_log_append(&log, object, strlen(object), NULL, NULL) != COVEY_OK)
                    _exit(2);
            }
            _exit(0);
        }
        assert_int_equal(waitpid(child, &code, 0), child);
        assert_true(WIFEXITED(code) && (WEXITSTATUS(code) == 9 || WEXITSTATUS(code) == 0));
        assert_int_equal(verify(f, NULL, &s, &report), COVEY_OK);
        append_some(f, small, s.count > 0 ? s.last + 1 : 0, 2);
        int count = s.count;
        assert_int_equal(verify(f, &f->head, &s, &report), COVEY_OK);
        assert_int_equal(s.count, count + 2);
        if (WEXITSTATUS(code) == 0) break;
    }
    assert_true(step > 100);
}

static covey_status allocation_step(const covey__env *env, void *user, covey_error *error) {
    fixture *f = user;
    covey__hash_log log;
    covey__hash_log_report report;
    if (covey__tree_remove(&f->test.env, f->folder, NULL) != COVEY_OK) return COVEY_ERROR_IO;
    covey_status status = covey__hash_log_open(env, f->folder, small, &log, error);
    if (status != COVEY_OK) return status;
    for (int i = 0; i < 30 && status == COVEY_OK; i++)
        status = covey__hash_log_append(&log, "{\"n\":1}", 7, NULL, error);
    covey__hash_log_close(&log);
    if (status == COVEY_OK)
        status = covey__hash_log_verify(env, f->folder, NULL, NULL, NULL, &report, error);
    return status;
}

static void survives_each_failed_allocation(void **state) {
    assert_true(test_fail_each_allocation(allocation_step, *state) > 30);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_appended_is_read),
        TEST(segments_turn_over),
        TEST(an_entry_must_be_one_object_in_one_line),
        TEST(every_changed_byte_shows),
        TEST(lost_lines_and_segments_show),
        TEST(a_cut_end_shows_by_the_head),
        TEST(a_torn_line_is_cut),
        TEST(nothing_is_appended_to_a_broken_log),
        TEST(two_writers_take_turns),
        TEST(every_failed_step_leaves_a_right_log),
        TEST(a_killed_writer_leaves_a_right_log),
        TEST(survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
