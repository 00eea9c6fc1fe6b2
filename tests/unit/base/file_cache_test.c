/* Passing over files: what is read is right, and the page cache is as it was. */
#include "support/support.h"

#include "base/file_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE (5u << 20)

static test_folder folder;
static uint8_t *data;

static int make_folder(void **state) {
    (void)state;
    /* The build's folder is on a disk where $TMPDIR may be memory, which no cache stands before. */
    const char *build = getenv("COVEY_BUILD_DIR");
    if (build != NULL) setenv("TMPDIR", build, 1);
    test_folder_make(&folder);
    data = malloc(SIZE);
    uint64_t seed = 5;
    for (size_t i = 0; data != NULL && i < SIZE; i++) data[i] = (uint8_t)test_random(&seed);
    return data == NULL;
}

static int remove_folder(void **state) {
    (void)state;
    free(data);
    test_folder_remove(&folder);
    return 0;
}

/* Bytes of the range that are in the cache. */
static size_t resident(int descriptor, size_t offset, size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), count = 0;
    unsigned char *pages = malloc(size / page + 1);
    void *base = mmap(NULL, size, PROT_READ, MAP_SHARED, descriptor, (off_t)offset);
    assert_non_null(pages);
    assert_true(base != MAP_FAILED);
    assert_int_equal(mincore(base, size, pages), 0);
    for (size_t i = 0; i < size / page; i++) count += (pages[i] & 1) * page;
    munmap(base, size);
    free(pages);
    return count;
}

/* A file on the disk, none of it in the cache; skips where that cannot be had. */
static int cold_file(const char *path) {
    test_write(path, data, SIZE);
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    assert_true(descriptor >= 0);
    assert_int_equal(fsync(descriptor), 0);
    covey__file_forget(descriptor, 0, SIZE);
    if (resident(descriptor, 0, SIZE) == 0) return descriptor;
    print_message("skipped: files of %s do not leave the cache\n", folder.path);
    close(descriptor);
    skip();
    return -1;
}

static void reading_past_leaves_the_cache_as_it_was(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    const char *path = test_path(&folder, "passed");
    int descriptor = cold_file(path);
    uint8_t *read = malloc(SIZE);
    assert_non_null(read);
    /* what someone else uses: a stretch within the second MiB, a page of the fourth */
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM);
    assert_int_equal(pread(descriptor, read, 131072, (1 << 20) + 65536), 131072);
    assert_int_equal(pread(descriptor, read, 1, 3 << 20), 1);
    size_t before = resident(descriptor, 0, SIZE);
    assert_true(before >= 131072 && before < SIZE / 2);
    for (size_t at = 0; at < SIZE;) { /* in pieces that end anywhere */
        size_t piece = SIZE - at < 700001 ? SIZE - at : 700001;
        assert_int_equal(
            covey__file_read_passing(&env, descriptor, path, at, read + at, piece, &error),
            COVEY_OK);
        at += piece;
    }
    assert_memory_equal(read, data, SIZE);
    assert_int_equal(resident(descriptor, (1 << 20) + 65536, 131072), 131072);
    assert_true(resident(descriptor, 3 << 20, 4096) > 0);
    /* a page at each piece's border may stay: the next piece finds it there */
    assert_true(resident(descriptor, 0, SIZE) <= before + 16 * (size_t)sysconf(_SC_PAGESIZE));
    /* all at once, and across the end */
    assert_int_equal(covey__file_read_passing(&env, descriptor, path, 0, read, SIZE, &error),
                     COVEY_OK);
    assert_memory_equal(read, data, SIZE);
    assert_int_equal(covey__file_read_passing(&env, descriptor, path, SIZE - 10, read, 11, &error),
                     COVEY_ERROR_FORMAT);
    assert_int_equal(
        covey__file_read_passing(&env, descriptor, path, UINT64_MAX - 3, read, 11, &error),
        COVEY_ERROR_IO);
    close(descriptor);
    free(read);
}

static void what_is_mapped_stays(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    const char *path = test_path(&folder, "mapped");
    int descriptor = cold_file(path);
    uint8_t *read = malloc(SIZE);
    volatile uint8_t *base = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, descriptor, 0);
    assert_non_null(read);
    assert_true(base != MAP_FAILED);
    for (size_t at = 0; at < SIZE; at += 4096) (void)base[at];
    assert_int_equal(covey__file_read_passing(&env, descriptor, path, 0, read, SIZE, &error),
                     COVEY_OK);
    covey__file_forget(descriptor, 0, SIZE);
    assert_int_equal(resident(descriptor, 0, SIZE), SIZE);
    munmap((void *)(uintptr_t)base, SIZE);
    close(descriptor);
    free(read);
}

static void flushed_bytes_leave_the_cache(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey_error error;
    const char *path = test_path(&folder, "flushed");
    int descriptor = cold_file(path);
    assert_int_equal(pwrite(descriptor, data + 100, SIZE - 100, 0), SIZE - 100);
    for (uint64_t at = 0; at < SIZE; at += 1 << 20) {
        assert_int_equal(covey__flush_start(&test.env, descriptor, path, at, 1 << 20, &error),
                         COVEY_OK);
        if (at == 0) continue;
        assert_int_equal(
            covey__flush_finish(&test.env, descriptor, path, at - (1 << 20), 1 << 20, &error),
            COVEY_OK);
    }
    /* a page of the cache may be 2 MiB and reach over the border of what is not flushed yet */
    assert_true(resident(descriptor, 0, SIZE - (1 << 20)) <= 2 << 20);
    assert_int_equal(
        covey__flush_finish(&test.env, descriptor, path, SIZE - (1 << 20), 1 << 20, &error),
        COVEY_OK);
    assert_int_equal(resident(descriptor, 0, SIZE), 0);
    uint8_t *read = malloc(SIZE);
    assert_non_null(read);
    assert_int_equal(pread(descriptor, read, SIZE - 100, 0), SIZE - 100);
    assert_memory_equal(read, data + 100, SIZE - 100);
    test.point = "flush";
    test.point_fails = test.point_calls + 1;
    assert_int_equal(covey__flush_start(&test.env, descriptor, path, 0, 4096, &error),
                     COVEY_ERROR_IO);
    test.point_fails = test.point_calls + 1;
    test.point_errno = ENOSPC;
    assert_int_equal(covey__flush_finish(&test.env, descriptor, path, 0, 4096, &error),
                     COVEY_ERROR_NO_SPACE);
    close(descriptor);
    free(read);
}

/* Written from the end to the start: at most two windows wait, and what is behind is on the disk.
 */
static void a_window_follows_what_is_written(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey_error error;
    covey__flush_window window = {0};
    const char *path = test_path(&folder, "window");
    int descriptor = cold_file(path);
    uint64_t whole = 40u << 20;
    test.point = "flush";
    for (uint64_t at = whole; at > 0;) {
        at -= 1 << 20;
        assert_int_equal(pwrite(descriptor, data, 1 << 20, (off_t)at), 1 << 20);
        assert_int_equal(
            covey__flush_written(&test.env, &window, descriptor, path, at, 1 << 20, &error),
            COVEY_OK);
        assert_true(window.bytes < COVEY__FLUSH_BYTES);
    }
    assert_int_equal(test.point_calls, 5 + 4); /* the first start has nothing to wait for */
    assert_true(resident(descriptor, 0, whole) <= 2 * COVEY__FLUSH_BYTES);
    test.point_fails = test.point_calls + 1;
    assert_int_equal(
        covey__flush_written(&test.env, &window, descriptor, path, 0, COVEY__FLUSH_BYTES, &error),
        COVEY_ERROR_IO);
    close(descriptor);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_past_leaves_the_cache_as_it_was),
        cmocka_unit_test(what_is_mapped_stays),
        cmocka_unit_test(flushed_bytes_leave_the_cache),
        cmocka_unit_test(a_window_follows_what_is_written),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
