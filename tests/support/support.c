/* The helpers of support.h. They use the C library rather than src/base, so that a mistake there
 * cannot hide itself. */
#include "support/support.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void test_folder_make(test_folder *folder) {
    const char *parent = getenv("TMPDIR");
    if (parent == NULL || parent[0] == '\0') parent = "/tmp";
    snprintf(folder->path, sizeof folder->path, "%s/covey-test-XXXXXX", parent);
    if (mkdtemp(folder->path) == NULL) fail_msg("mkdtemp %s: %s", folder->path, strerror(errno));
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

void test_folder_remove(test_folder *folder) {
    if (folder->path[0] == '\0') return;
    if (nftw(folder->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
        fail_msg("removing %s: %s", folder->path, strerror(errno));
    folder->path[0] = '\0';
}

const char *test_path(const test_folder *folder, const char *name) {
    static char paths[8][512];
    static int turn;
    turn = (turn + 1) % 8;
    snprintf(paths[turn], sizeof paths[turn], "%s/%s", folder->path, name);
    return paths[turn];
}

void test_write(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    if (file == NULL) fail_msg("%s: %s", path, strerror(errno));
    size_t written = fwrite(data, 1, size, file);
    if (fclose(file) != 0 || written != size) fail_msg("%s: not written whole", path);
}

char *test_read(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) return NULL;
    size_t capacity = 4096, used = 0;
    char *data = malloc(capacity);
    assert_non_null(data);
    for (;;) {
        used += fread(data + used, 1, capacity - 1 - used, file);
        if (used < capacity - 1) break;
        capacity *= 2;
        data = realloc(data, capacity);
        assert_non_null(data);
    }
    fclose(file);
    data[used] = '\0';
    if (size != NULL) *size = used;
    return data;
}

static void *test_resize(void *user, void *pointer, size_t size) {
    test_env *test = user;
    if (size == 0) {
        if (pointer != NULL) test->alive--;
        free(pointer);
        return NULL;
    }
    if (++test->allocations == test->fail_at) return NULL;
    void *block = realloc(pointer, size);
    if (block != NULL && pointer == NULL) test->alive++;
    return block;
}

static int test_fault(void *user, const char *point, const char *subject) {
    (void)subject;
    test_env *test = user;
    if (test->point != NULL && strcmp(test->point, point) != 0) return 0;
    if (++test->point_calls != test->point_fails) return 0;
    return test->point_errno != 0 ? test->point_errno : EIO;
}

void test_env_init(test_env *test) {
    memset(test, 0, sizeof *test);
    covey__env_init(&test->env);
    test->env.allocator = (covey_allocator){test_resize, test};
    test->env.fault = test_fault;
    test->env.fault_user = test;
}

int test_fail_each_allocation(test_step_fn step, void *user) {
    for (int refused = 0;; refused++) {
        test_env test;
        test_env_init(&test);
        test.fail_at = refused + 1;
        covey_error error = {COVEY_OK, 0, 0, 0, ""};
        covey_status status = step(&test.env, user, &error);
        if (test.alive != 0)
            fail_msg("%d blocks left when allocation %d was refused", (int)test.alive, refused + 1);
        if (status == COVEY_OK && test.allocations < test.fail_at) return refused;
        if (status != COVEY_ERROR_NO_MEMORY)
            fail_msg("allocation %d refused: expected no_memory, found %s (%s)", refused + 1,
                     covey_status_name(status), error.message);
    }
}

const char *test_shared(const char *name) {
    static char path[1024];
    const char *shared = getenv("COVEY_SHARED");
    if (shared == NULL || shared[0] == '\0') shared = "../shared";
    snprintf(path, sizeof path, "%s/%s", shared, name);
    return access(path, R_OK) == 0 ? path : NULL;
}

/* SplitMix64 (Steele, Lea and Flood, 2014). */
uint64_t test_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
