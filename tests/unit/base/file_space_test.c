/* Room on a disk: reserving, copying ranges, punching; each also where the system cannot. The
 * faults stand for systems that lack a call. $COVEY_REFLINK_DIR may name a folder on a file system
 * that shares blocks (XFS, btrfs). */
#include "support/support.h"

#include "base/file_space.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (1u << 20)

static test_folder folder;

static int make_folder(void **state) {
    (void)state;
    test_folder_make(&folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    test_folder_remove(&folder);
    return 0;
}

static uint8_t *pattern(size_t size, uint64_t seed) {
    uint8_t *data = malloc(size + 1);
    assert_non_null(data);
    for (size_t i = 0; i < size; i++) data[i] = (uint8_t)test_random(&seed);
    return data;
}

static int open_new(const char *path) {
    int descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(descriptor >= 0);
    return descriptor;
}

static void assert_file(const char *path, const void *data, size_t size) {
    size_t found;
    char *bytes = test_read(path, &found);
    assert_non_null(bytes);
    assert_int_equal(found, size);
    assert_memory_equal(bytes, data, size);
    free(bytes);
}

/* ---- Volumes ----------------------------------------------------------------------------------
 */

static void a_volume_tells_its_room(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey_error error;
    covey__volume volume;
    assert_int_equal(covey__volume_read(&test.env, folder.path, &volume, &error), COVEY_OK);
    assert_true(volume.total_bytes > 0);
    assert_true(volume.available_bytes <= volume.total_bytes);
    assert_true(volume.block_bytes >= 512 && (volume.block_bytes & (volume.block_bytes - 1)) == 0);
    assert_int_equal(covey__volume_read(&test.env, test_path(&folder, "no"), &volume, &error),
                     COVEY_ERROR_NOT_FOUND);
    test.point = "statvfs";
    test.point_fails = test.point_calls + 1;
    assert_int_equal(covey__volume_read(&test.env, folder.path, &volume, &error), COVEY_ERROR_IO);
}

static void holes_are_not_taken(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    uint64_t bytes = 1;
    const char *path = test_path(&folder, "taken");
    assert_int_equal(covey__file_taken(&env, path, &bytes, &error), COVEY_OK);
    assert_int_equal(bytes, 0);
    int descriptor = open_new(path);
    assert_int_equal(ftruncate(descriptor, 8 * MIB), 0);
    assert_int_equal(covey__file_taken(&env, path, &bytes, &error), COVEY_OK);
    assert_true(bytes < MIB);
    uint8_t *data = pattern(MIB, 3);
    assert_int_equal(pwrite(descriptor, data, MIB, 2 * MIB), MIB);
    assert_int_equal(fsync(descriptor), 0);
    assert_int_equal(covey__file_taken(&env, path, &bytes, &error), COVEY_OK);
    assert_true(bytes >= MIB && bytes < 2 * MIB);
    close(descriptor);
    assert_int_equal(mkdir(test_path(&folder, "tree"), 0700), 0);
    assert_int_equal(mkdir(test_path(&folder, "tree/below"), 0700), 0);
    test_write(test_path(&folder, "tree/one"), data, 200000);
    test_write(test_path(&folder, "tree/below/two"), data, 300000);
    assert_int_equal(symlink(path, test_path(&folder, "tree/link")), 0);
    assert_in_range(covey__tree_taken(&env, test_path(&folder, "tree")), 500000, 530000);
    assert_int_equal(covey__tree_taken(&env, test_path(&folder, "nothing")), 0);
    free(data);
    assert_int_equal(covey__file_taken(&env, folder.path, &bytes, &error), COVEY_OK);
    assert_int_equal(bytes, 0); /* a folder is none of the files that are counted */
}

/* ---- Reserving --------------------------------------------------------------------------------
 */

static void what_is_reserved_is_there(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    bool promised;
    uint64_t taken;
    const char *path = test_path(&folder, "reserved");
    uint8_t *data = pattern(5000, 1);
    test_write(path, data, 5000);
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(covey__file_reserve(&env, descriptor, path, 4 * MIB, &promised, &error),
                     COVEY_OK);
    struct stat info;
    assert_int_equal(fstat(descriptor, &info), 0);
    assert_int_equal(info.st_size, 4 * MIB);
    assert_int_equal(covey__file_taken(&env, path, &taken, &error), COVEY_OK);
    if (promised)
        assert_true(taken >= 4 * MIB);
    else
        print_message("nothing is promised by the file system of %s\n", folder.path);
    uint8_t kept[5000];
    assert_int_equal(pread(descriptor, kept, 5000, 0), 5000);
    assert_memory_equal(kept, data, 5000);
    /* less than there is changes nothing */
    assert_int_equal(covey__file_reserve(&env, descriptor, path, 10, &promised, &error), COVEY_OK);
    assert_int_equal(covey__file_reserve(&env, descriptor, path, 0, &promised, &error), COVEY_OK);
    assert_int_equal(fstat(descriptor, &info), 0);
    assert_int_equal(info.st_size, 4 * MIB);
    close(descriptor);
    free(data);
}

static void without_promises_nothing_is_written(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey_error error;
    bool promised = true;
    uint64_t taken;
    const char *path = test_path(&folder, "unpromised");
    int descriptor = open_new(path);
    test.point = "fallocate";
    test.point_fails = 1;
    test.point_errno = EOPNOTSUPP;
    assert_int_equal(covey__file_reserve(&test.env, descriptor, path, 4 * MIB, &promised, &error),
                     COVEY_OK);
    assert_false(promised);
    struct stat info;
    assert_int_equal(fstat(descriptor, &info), 0);
    assert_int_equal(info.st_size, 4 * MIB);
    assert_int_equal(covey__file_taken(&test.env, path, &taken, &error), COVEY_OK);
    assert_true(taken < MIB);
    close(descriptor);
}

static void a_refusal_leaves_the_file_and_has_both_numbers(void **state) {
    (void)state;
    static const int codes[] = {ENOSPC, EDQUOT, EIO};
    for (size_t i = 0; i < 3; i++) {
        test_env test;
        test_env_init(&test);
        covey_error error;
        bool promised = true;
        const char *path = test_path(&folder, "refused");
        int descriptor = open_new(path);
        assert_int_equal(pwrite(descriptor, "abc", 3, 0), 3);
        test.point = "fallocate";
        test.point_fails = 1;
        test.point_errno = codes[i];
        assert_int_equal(
            covey__file_reserve(&test.env, descriptor, path, 4 * MIB, &promised, &error),
            codes[i] == EIO ? COVEY_ERROR_IO : COVEY_ERROR_NO_SPACE);
        assert_false(promised);
        if (codes[i] != EIO) {
            assert_true(error.expected > 3 * (int64_t)MIB && error.expected <= 4 * (int64_t)MIB);
            assert_true(error.found >= 0);
        }
        assert_file(path, "abc", 3);
        close(descriptor);
    }
}

static void a_disk_that_is_too_small_says_so(void **state) {
    (void)state;
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    bool promised;
    char place[300], path[320];
    snprintf(place, sizeof place, "%s/small", folder.path);
    snprintf(path, sizeof path, "%s/file", place);
    assert_int_equal(mkdir(place, 0700), 0);
    if (mount("covey-test", place, "tmpfs", 0, "size=1m") != 0) {
        print_message("skipped: this process may not mount a small file system\n");
        rmdir(place);
        skip();
    }
    int descriptor = open_new(path);
    covey_status status = covey__file_reserve(&env, descriptor, path, 3 * MIB, &promised, &error);
    covey__volume volume;
    covey_error ignored;
    covey_status read = covey__volume_read(&env, place, &volume, &ignored);
    close(descriptor);
    assert_int_equal(umount(place), 0);
    assert_int_equal(rmdir(place), 0);
    assert_int_equal(status, COVEY_ERROR_NO_SPACE);
    assert_int_equal(error.expected, 3 * MIB);
    assert_int_equal(error.found, MIB);
    assert_int_equal(read, COVEY_OK);
    assert_int_equal(volume.available_bytes, MIB); /* what was taken before went back */
}

/* ---- Copying ----------------------------------------------------------------------------------
 */

/* Ranges at borders of blocks and elsewhere, into the middle and at the end. */
static void copy_ranges(const covey__env *env, const char *place, int *shared, int *copied) {
    static const struct {
        uint64_t from, to, size;
    } cases[] = {{0, 0, MIB},      {8192, 4096, 65536}, {4096, 12288, 4096},
                 {0, 100, 70000},  {33, 65, 300000},    {0, 2 * MIB, 4096},
                 {77, 2 * MIB, 5}, {0, 0, 0},           {MIB, 4096, MIB / 2}};
    covey_error error;
    char from_path[320], to_path[320];
    snprintf(from_path, sizeof from_path, "%s/from", place);
    snprintf(to_path, sizeof to_path, "%s/to", place);
    uint8_t *source = pattern(2 * MIB, 7), *target = pattern(2 * MIB, 8);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_write(from_path, source, 2 * MIB);
        test_write(to_path, target, 2 * MIB);
        covey__file_place from = {open(from_path, O_RDONLY | O_CLOEXEC), from_path, cases[i].from};
        covey__file_place to = {open(to_path, O_RDWR | O_CLOEXEC), to_path, cases[i].to};
        covey__copy_way way = COVEY__COPY_READ;
        assert_int_equal(covey__file_copy_range(env, &from, &to, cases[i].size, &way, &error),
                         COVEY_OK);
        *(way == COVEY__COPY_SHARED ? shared : copied) += cases[i].size > 0;
        close(from.descriptor);
        close(to.descriptor);
        size_t end = (size_t)(cases[i].to + cases[i].size), size = 2 * MIB > end ? 2 * MIB : end;
        uint8_t *expected = calloc(size, 1);
        assert_non_null(expected);
        memcpy(expected, target, 2 * MIB);
        memcpy(expected + cases[i].to, source + cases[i].from, cases[i].size);
        assert_file(to_path, expected, size);
        free(expected);
    }
    free(source);
    free(target);
    assert_int_equal(unlink(from_path), 0);
    assert_int_equal(unlink(to_path), 0);
}

static int without(void *user, const char *point, const char *subject) {
    (void)subject;
    const char *const *missing = user;
    for (int i = 0; i < 2; i++)
        if (missing[i] != NULL && strcmp(point, missing[i]) == 0)
            return i == 0 ? EOPNOTSUPP : EXDEV;
    return 0;
}

static void ranges_are_copied_whatever_the_system_has(void **state) {
    (void)state;
    const char *missing[][2] = {{NULL, NULL}, {"clone", NULL}, {"clone", "copy"}};
    for (size_t i = 0; i < 3; i++) {
        covey__env env;
        covey__env_init(&env);
        env.fault = without;
        env.fault_user = missing[i];
        int shared = 0, copied = 0;
        copy_ranges(&env, folder.path, &shared, &copied);
        if (i > 0) assert_int_equal(shared, 0);
        assert_int_equal(shared + copied, 8);
    }
}

static void blocks_are_shared_where_they_can_be(void **state) {
    (void)state;
    const char *place = getenv("COVEY_REFLINK_DIR");
    if (place == NULL) {
        print_message("skipped: $COVEY_REFLINK_DIR names no file system that shares blocks\n");
        skip();
    }
    covey__env env;
    covey__env_init(&env);
    int shared = 0, copied = 0;
    copy_ranges(&env, place, &shared, &copied);
    assert_int_equal(shared, 5); /* those whose borders are borders of blocks */
    assert_int_equal(copied, 3);
}

static void failing_copies_say_so(void **state) {
    (void)state;
    static const char *const points[] = {"clone", "copy"};
    covey_error error;
    const char *from_path = test_path(&folder, "source"), *to_path = test_path(&folder, "target");
    uint8_t *data = pattern(100000, 9);
    test_write(from_path, data, 100000);
    covey__file_place from = {open(from_path, O_RDONLY | O_CLOEXEC), from_path, 0};
    covey__file_place to = {open_new(to_path), to_path, 0};
    for (size_t i = 0; i < 2; i++) {
        test_env test;
        test_env_init(&test);
        test.point = points[i];
        test.point_fails = 1;
        test.point_errno = ENOSPC;
        covey_status status = covey__file_copy_range(&test.env, &from, &to, 50001, NULL, &error);
        if (i == 1 && status == COVEY_OK) continue; /* the blocks were shared */
        assert_int_equal(status, COVEY_ERROR_NO_SPACE);
    }
    covey__env env;
    covey__env_init(&env);
    from.offset = 90000; /* the source ends before */
    assert_int_equal(covey__file_copy_range(&env, &from, &to, 20000, NULL, &error),
                     COVEY_ERROR_FORMAT);
    from.offset = UINT64_MAX - 5;
    assert_int_equal(covey__file_copy_range(&env, &from, &to, 20000, NULL, &error), COVEY_ERROR_IO);
    close(from.descriptor);
    close(to.descriptor);
    free(data);
}

/* ---- Punching ---------------------------------------------------------------------------------
 */

static void holes_are_punched_or_said_to_be_none(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey_error error;
    bool freed;
    uint64_t before, after;
    const char *path = test_path(&folder, "punched");
    uint8_t *data = pattern(MIB, 11);
    test_write(path, data, MIB);
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(fsync(descriptor), 0);
    test.point = "punch";
    test.point_fails = 1;
    test.point_errno = EOPNOTSUPP;
    assert_int_equal(covey__file_punch(&test.env, descriptor, path, 65536, 524288, &freed, &error),
                     COVEY_OK);
    assert_false(freed);
    assert_file(path, data, MIB);
    test.point_fails = 2;
    test.point_errno = EIO;
    assert_int_equal(covey__file_punch(&test.env, descriptor, path, 65536, 524288, &freed, &error),
                     COVEY_ERROR_IO);
    assert_int_equal(covey__file_taken(&test.env, path, &before, &error), COVEY_OK);
    assert_int_equal(covey__file_punch(&test.env, descriptor, path, 65536, 524288, &freed, &error),
                     COVEY_OK);
    if (freed) {
        memset(data + 65536, 0, 524288);
        assert_int_equal(covey__file_taken(&test.env, path, &after, &error), COVEY_OK);
        assert_true(before - after >= 400000);
    } else {
        print_message("no holes are punched on the file system of %s\n", folder.path);
    }
    assert_file(path, data, MIB);
    assert_int_equal(covey__file_punch(&test.env, descriptor, path, 0, 0, &freed, &error),
                     COVEY_OK);
    assert_false(freed);
    close(descriptor);
    free(data);
}

static void what_was_never_written_is_given_back(void **state) {
    (void)state;
    test_env test;
    test_env_init(&test);
    covey_error error;
    bool promised;
    uint64_t taken;
    const char *path = test_path(&folder, "unreserved");
    uint8_t *data = pattern(MIB, 13), *all = calloc(8 * MIB, 1);
    assert_non_null(all);
    int descriptor = open_new(path);
    assert_int_equal(covey__file_reserve(&test.env, descriptor, path, 8 * MIB, &promised, &error),
                     COVEY_OK);
    for (size_t at = MIB; at < 8 * MIB; at += 3 * MIB) {
        memcpy(all + at, data, MIB);
        assert_int_equal(pwrite(descriptor, data, MIB, (off_t)at), MIB);
    }
    assert_int_equal(covey__file_unreserve(&test.env, descriptor, path, &error), COVEY_OK);
    assert_file(path, all, 8 * MIB);
    assert_int_equal(fsync(descriptor), 0);
    assert_int_equal(covey__file_taken(&test.env, path, &taken, &error), COVEY_OK);
    print_message("%llu of %u bytes are kept\n", (unsigned long long)taken, 8 * MIB);
    assert_true(taken >= 3 * MIB && taken <= 8 * MIB + 65536);
    test.point = "punch";
    assert_int_equal(covey__file_unreserve(&test.env, descriptor, path, &error), COVEY_OK);
    if (test.point_calls > 0) { /* there are holes here */
        test.point_fails = test.point_calls + 1;
        assert_true(taken < 4 * MIB);
        assert_int_equal(covey__file_unreserve(&test.env, descriptor, path, &error),
                         COVEY_ERROR_IO);
    }
    close(descriptor);
    free(all);
    free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_volume_tells_its_room),
        cmocka_unit_test(holes_are_not_taken),
        cmocka_unit_test(what_is_reserved_is_there),
        cmocka_unit_test(without_promises_nothing_is_written),
        cmocka_unit_test(a_refusal_leaves_the_file_and_has_both_numbers),
        cmocka_unit_test(a_disk_that_is_too_small_says_so),
        cmocka_unit_test(ranges_are_copied_whatever_the_system_has),
        cmocka_unit_test(blocks_are_shared_where_they_can_be),
        cmocka_unit_test(failing_copies_say_so),
        cmocka_unit_test(holes_are_punched_or_said_to_be_none),
        cmocka_unit_test(what_was_never_written_is_given_back),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
