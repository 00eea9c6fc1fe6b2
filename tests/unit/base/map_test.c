/* Maps: whole files, ranges at any offset, and what cannot be mapped. */
#include "support/support.h"

#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILE_BYTES 20000

static void files_and_ranges_are_mapped(void **state) {
    (void)state;
    test_folder folder;
    test_folder_make(&folder);
    covey__env env;
    covey__env_init(&env);
    covey_error error;
    const char *path = test_path(&folder, "file");
    unsigned char *data = malloc(FILE_BYTES);
    assert_non_null(data);
    for (int i = 0; i < FILE_BYTES; i++) data[i] = (unsigned char)(i * 7 + i / 251);
    test_write(path, data, FILE_BYTES);
    covey__map map;
    assert_int_equal(covey__map_path(&env, path, &map, &error), COVEY_OK);
    assert_int_equal(map.size, FILE_BYTES);
    assert_memory_equal(map.data, data, FILE_BYTES);
    covey__map_close(&map);
    assert_null(map.data);
    covey__map_close(&map);
    covey__map_close(NULL);

    int descriptor = open(path, O_RDONLY);
    static const uint64_t ranges[][2] = {{0, 0},     {1, 0},     {4096, 100},  {4097, 5000},
                                         {19999, 1}, {20000, 0}, {12345, 7655}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        uint64_t offset = ranges[i][0], length = ranges[i][1];
        assert_int_equal(covey__map_descriptor(&env, descriptor, offset, length, &map, &error),
                         COVEY_OK);
        assert_int_equal(map.size, length > 0 ? length : FILE_BYTES - offset);
        assert_memory_equal(map.data, data + offset, map.size);
        covey__map_close(&map);
    }
    static const uint64_t beyond[][2] = {
        {20001, 0}, {0, 20001}, {19999, 2}, {UINT64_MAX, 0}, {1, UINT64_MAX}};
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++)
        assert_int_equal(
            covey__map_descriptor(&env, descriptor, beyond[i][0], beyond[i][1], &map, &error),
            COVEY_ERROR_FORMAT);
    close(descriptor);
    free(data);
    test_folder_remove(&folder);
}

static void what_cannot_be_mapped(void **state) {
    (void)state;
    test_folder folder;
    test_folder_make(&folder);
    test_env test;
    test_env_init(&test);
    covey_error error;
    covey__map map;
    const char *path = test_path(&folder, "empty");
    test_write(path, "", 0);
    assert_int_equal(covey__map_path(&test.env, path, &map, &error), COVEY_OK);
    assert_int_equal(map.size, 0);
    assert_non_null(map.data);
    covey__map_close(&map);
    assert_int_equal(covey__map_path(&test.env, folder.path, &map, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(covey__map_path(&test.env, test_path(&folder, "no"), &map, &error),
                     COVEY_ERROR_NOT_FOUND);
    test_write(path, "bytes", 5);
    for (int64_t n = 1; n <= 3; n++) { /* open, stat, map */
        test.point_calls = 0;
        test.point_fails = n;
        assert_int_equal(covey__map_path(&test.env, path, &map, &error), COVEY_ERROR_IO);
        covey__map_close(&map);
    }
    test_folder_remove(&folder);
}

/* Whether the page at `data` has a flag of /proc/self/smaps. */
static bool page_has(const void *data, const char *flag) {
    char line[512];
    bool found = false, here = false;
    FILE *file = fopen("/proc/self/smaps", "r");
    if (file == NULL) return false;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        unsigned long begin, end;
        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2 && strchr(line, '-') < strchr(line, ' '))
            here = (uintptr_t)data >= begin && (uintptr_t)data < end;
        found = here && strncmp(line, "VmFlags:", 8) == 0 && strstr(line, flag) != NULL;
    }
    fclose(file);
    return found;
}

/* Whether flags can be asked for: emulators pass madvise over. */
static bool flags_are_told(void) {
    bool told = false;
#if defined(__linux__)
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    *(char *)page = 1;
    told = madvise(page, 4096, MADV_DONTDUMP) == 0 && page_has(page, " dd");
    munmap(page, 4096);
#endif
    if (!told) print_message("flags of memory are not told here, and not looked at\n");
    return told;
}

static void memory_stands_for_a_file(void **state) {
    (void)state;
    bool told = flags_are_told();
    test_env test;
    test_env_init(&test);
    covey_error error;
    covey__map map;
    assert_int_equal(covey__map_memory(&test.env, 12345, &map, &error), COVEY_OK);
    assert_int_equal(map.size, 12345);
    assert_ptr_equal(map.base, map.data);
    memset(map.base, 7, map.size);
    if (told) {
        assert_true(page_has(map.data, " dd")); /* in no core dump */
        assert_true(page_has(map.data, " wr"));
    }
    assert_int_equal(covey__map_settle(&map, &error), COVEY_OK);
    if (told) assert_false(page_has(map.data, " wr "));
    assert_int_equal(map.data[12344], 7);
    assert_int_equal(covey__map_check(&map, &error), COVEY_OK);
    covey__map_close(&map);
    assert_int_equal(covey__map_memory(&test.env, 0, &map, &error), COVEY_OK);
    assert_non_null(map.data);
    assert_int_equal(covey__map_settle(&map, &error), COVEY_OK);
    covey__map_close(&map);
    assert_int_equal(covey__map_memory(&test.env, SIZE_MAX - 5, &map, &error),
                     COVEY_ERROR_NO_MEMORY);
    test.point_calls = 0;
    test.point_fails = 1;
    assert_int_equal(covey__map_memory(&test.env, 5, &map, &error), COVEY_ERROR_NO_MEMORY);
    covey__map_close(&map);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_and_ranges_are_mapped),
        cmocka_unit_test(what_cannot_be_mapped),
        cmocka_unit_test(memory_stands_for_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
