/* What tests share: a temporary folder, an environment that can be broken at any step, and the way
 * to the shared data. Include <cmocka.h> as this header does. Each helper fails the test when it
 * cannot do its work. */
#ifndef COVEY_TEST_SUPPORT_H
#define COVEY_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/env.h"

/* A new empty folder under $TMPDIR or /tmp; `test_folder_remove` deletes it and all in it. */
typedef struct test_folder {
    char path[256];
} test_folder;
void test_folder_make(test_folder *folder);
void test_folder_remove(test_folder *folder);
/* "folder/name", in one of a few static buffers that are used in turn: valid for eight calls. */
const char *test_path(const test_folder *folder, const char *name);

/* Whole files, for what a test expects; `test_read` ends the bytes with a NUL that is not counted,
 * and is freed with free(). NULL when there is no such file. */
void test_write(const char *path, const void *data, size_t size);
char *test_read(const char *path, size_t *size);

/* An environment whose allocator counts what is alive and can refuse the Nth request, and whose
 * fault point `point` fails at its Nth call. N counts from 1; 0 never fails. */
typedef struct test_env {
    covey__env env;
    int64_t alive;       /* blocks allocated and not freed */
    int64_t allocations; /* requests so far */
    int64_t fail_at;     /* the request that is refused */
    const char *point;   /* "write"; NULL counts every point */
    int64_t point_calls; /* calls of that point so far */
    int64_t point_fails; /* the call that fails, once */
    int point_errno;     /* with this; EIO when 0 */
} test_env;
void test_env_init(test_env *test);

/* Runs `step` with the first, second, … allocation refused until it succeeds without one refused.
 * Each failure must be COVEY_ERROR_NO_MEMORY and leave nothing allocated. Returns how many
 * allocations were refused. `step` releases what it made. */
typedef covey_status (*test_step_fn)(const covey__env *env, void *user, covey_error *error);
int test_fail_each_allocation(test_step_fn step, void *user);

/* "$COVEY_SHARED/name" in a static buffer, or NULL when the variable or the file is absent. */
const char *test_shared(const char *name);
/* The same, or the test is skipped with a message. */
#define TEST_SHARED_OR_SKIP(path, name)                                                            \
    const char *path = test_shared(name);                                                          \
    if (path == NULL) {                                                                            \
        print_message("skipped: $COVEY_SHARED/%s is not here\n", name);                            \
        skip();                                                                                    \
    }

/* A small generator for test data: the same numbers for the same seed, on every machine. */
uint64_t test_random(uint64_t *state);

#endif
